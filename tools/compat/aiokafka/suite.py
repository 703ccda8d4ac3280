"""aiokafka against a node."""
import asyncio
import time

import group
import scenarios
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError
from checks import check, equal
from records import Record, plain, varied

ASSIGNORS = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor, "sticky": StickyPartitionAssignor}


class AioKafka(scenarios.Client):
    strategies = tuple(ASSIGNORS)

    @staticmethod
    def sample():
        """aiokafka refuses records without key and value, and header values that are null."""
        return [record._replace(headers=tuple((name, value or b"") for name, value in record.headers))
                for record in varied() if record.key is not None or record.value is not None]

    def produce(self, topic, batch, codec="none", partition=0, idempotent=False):
        return asyncio.run(self.produce_async(topic, batch, codec, partition, idempotent))

    async def produce_async(self, topic, batch, codec, partition, idempotent):
        async with AIOKafkaProducer(
                bootstrap_servers=self.bootstrap, acks="all", linger_ms=20, enable_idempotence=idempotent,
                compression_type=None if codec == "none" else codec) as producer:
            sent = [await producer.send(topic, record.value, record.key, partition, record.timestamp, list(record.headers))
                    for record in batch]
            return [(await one).offset for one in sent]

    def consume(self, topic, count, partition=0, start=0):
        return asyncio.run(asyncio.wait_for(self.consume_async(topic, count, partition, start), 30))

    async def consume_async(self, topic, count, partition, start):
        place = TopicPartition(topic, partition)
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False, auto_offset_reset="none")
        async with consumer:
            consumer.assign([place])
            consumer.seek(place, start)
            received = []
            while len(received) < count:
                for message in (await consumer.getmany(place, timeout_ms=200, max_records=count - len(received))).get(place, ()):
                    received.append((message.offset, Record(
                        message.key, message.value, tuple(message.headers), message.timestamp)))
            return received

    def member(self, group_id, topic, strategy):
        asyncio.run(self.member_async(group_id, topic, ASSIGNORS[strategy]))

    async def member_async(self, group_id, topic, assignor):
        reporter = group.Reporter()
        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=self.bootstrap, group_id=group_id, enable_auto_commit=False,
            auto_offset_reset="earliest", session_timeout_ms=6000, heartbeat_interval_ms=300,
            partition_assignment_strategy=[assignor], metadata_max_age_ms=1000)
        async with consumer:
            while not reporter.stopping:
                polled = await consumer.getmany(timeout_ms=100, max_records=20)
                reporter.holds(place.partition for place in consumer.assignment())
                batch = [(message.partition, message.offset) for messages in polled.values() for message in messages]
                if batch:
                    reporter.received(batch)
                    try:
                        await consumer.commit({TopicPartition(topic, p): o + 1 for p, o in dict(batch).items()})
                        reporter.committed(batch)
                    except KafkaError:
                        pass  # a rebalance is under way: whoever holds the partition next gets these again

    def extras(self, node):
        if scenarios.wanted(self.only, "idempotent"):
            with check("idempotent producer"):
                equal(self.produce("idempotent", plain(2000), "gzip", idempotent=True), list(range(2000)), "offset")
        if scenarios.wanted(self.only, "admin"):
            asyncio.run(self.admin_checks())

    async def admin_checks(self):
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        place = TopicPartition("admin", 0)
        with check("admin: create, describe and list topics"):
            await admin.create_topics([NewTopic("admin", 3, 1, topic_configs={"retention.ms": "-1"})])
            assert "admin" in await admin.list_topics()
            (described,) = await admin.describe_topics(["admin"])
            equal(len(described["partitions"]), 3, "partitions")
        with check("admin: describe and alter configurations"):
            assert "retention.ms" in repr(await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "admin")]))
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "admin", {"segment.bytes": "2097152"})])
            assert "2097152" in repr(await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "admin")]))
        with check("admin: create partitions"):
            await admin.create_partitions({"admin": NewPartitions(5)})
            equal(len((await admin.describe_topics(["admin"]))[0]["partitions"]), 5, "partitions")
        with check("admin: delete records"):
            await self.produce_async("admin", plain(100), "none", 0, False)
            await admin.delete_records({place: RecordsToDelete(before_offset=40)})
            async with AIOKafkaConsumer(bootstrap_servers=self.bootstrap) as consumer:
                equal(await consumer.beginning_offsets([place]), {place: 40}, "beginning")
                equal(await consumer.end_offsets([place]), {place: 100}, "end")
        with check("offsets by timestamp"):
            base = int(time.time() * 1000) - 100_000
            times = TopicPartition("times", 0)
            await self.produce_async("times", [Record(b"k", b"v", (), base + step) for step in (0, 100, 50, 300, 200)],
                                     "none", 0, False)
            async with AIOKafkaConsumer(bootstrap_servers=self.bootstrap) as consumer:
                for at, expected in ((base - 5, 0), (base + 60, 1), (base + 101, 3), (base + 301, None)):
                    found = (await consumer.offsets_for_times({times: at}))[times]
                    equal(found and found.offset, expected, f"first offset at or after {at - base}")
        with check("admin: list and describe groups, their offsets"):
            consumer = AIOKafkaConsumer("times", bootstrap_servers=self.bootstrap, group_id="admin-group",
                                        enable_auto_commit=False, auto_offset_reset="earliest")
            async with consumer:
                deadline = time.monotonic() + 20
                while not await consumer.getmany(timeout_ms=200):
                    assert time.monotonic() < deadline, "no record"
                await consumer.commit({TopicPartition("times", 0): (3, "noted")})
                assert "Stable" in repr(await admin.describe_consumer_groups(["admin-group"]))
            assert "admin-group" in repr(await admin.list_consumer_groups())
            stored = (await admin.list_consumer_group_offsets("admin-group"))[TopicPartition("times", 0)]
            equal((stored.offset, stored.metadata), (3, "noted"), "committed")
        with check("admin: delete topics"):
            await admin.delete_topics(["admin"])
            assert "admin" not in await admin.list_topics()
        await admin.close()


scenarios.main(AioKafka)
