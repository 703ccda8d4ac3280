"""kafka-python 3 against a node."""
import logging
import time

import group
import scenarios
from checks import check, equal, wait_until
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata
from records import Record, plain, varied

ASSIGNORS = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor,
             "cooperative-sticky": CooperativeStickyAssignor}


class KafkaPython(scenarios.Client):
    strategies = tuple(ASSIGNORS)

    @staticmethod
    def sample():
        """kafka-python refuses records without key and value, and header values that are null."""
        return [record._replace(headers=tuple((name, value or b"") for name, value in record.headers))
                for record in varied() if record.key is not None or record.value is not None]

    def produce(self, topic, batch, codec="none", partition=0, idempotent=False):
        producer = KafkaProducer(
            bootstrap_servers=self.bootstrap, acks="all", compression_type=None if codec == "none" else codec,
            linger_ms=20, enable_idempotence=idempotent)
        try:
            sent = [producer.send(topic, record.value, record.key, list(record.headers), partition, record.timestamp)
                    for record in batch]
            producer.flush(30)
            return [one.get(10).offset for one in sent]
        finally:
            producer.close()

    def consume(self, topic, count, partition=0, start=0):
        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False, auto_offset_reset="none")
        place = TopicPartition(topic, partition)
        consumer.assign([place])
        consumer.seek(place, start)
        received, deadline = [], time.monotonic() + 30
        try:
            while len(received) < count:
                assert time.monotonic() < deadline, f"only {len(received)} of {count} records within 30 s"
                for message in consumer.poll(200, max_records=count - len(received)).get(place, ()):
                    received.append((message.offset, Record(
                        message.key, message.value, tuple(message.headers or ()), message.timestamp)))
        finally:
            consumer.close()
        return received

    def member(self, group_id, topic, strategy):
        reporter = group.Reporter()
        logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(name)s %(message)s")  # goes to the member's log
        consumer = KafkaConsumer(
            topic, bootstrap_servers=self.bootstrap, group_id=group_id, enable_auto_commit=False,
            auto_offset_reset="earliest", session_timeout_ms=6000, heartbeat_interval_ms=300,
            partition_assignment_strategy=[ASSIGNORS[strategy]], metadata_max_age_ms=1000)
        while not reporter.stopping:
            # Long enough for a join to end within one poll: see FINDINGS.md.
            polled = consumer.poll(1000, max_records=20)
            reporter.holds(place.partition for place in consumer.assignment())
            batch = [(message.partition, message.offset) for messages in polled.values() for message in messages]
            if batch:
                reporter.received(batch)
                try:
                    consumer.commit({TopicPartition(topic, p): OffsetAndMetadata(o + 1, "", -1)
                                     for p, o in dict(batch).items()})
                    reporter.committed(batch)
                except KafkaError:
                    pass  # a rebalance is under way: whoever holds the partition next gets these again
        consumer.close()

    def extras(self, node):
        if scenarios.wanted(self.only, "idempotent"):
            with check("idempotent producer"):
                equal(self.produce("idempotent", plain(2000), "gzip", idempotent=True), list(range(2000)), "offset")
        if scenarios.wanted(self.only, "admin"):
            self.admin_checks()

    def admin_checks(self):
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        with check("admin: create, describe and list topics"):
            admin.create_topics({"admin": {"num_partitions": 3, "replication_factor": 1, "configs": {"retention.ms": "-1"}}})
            assert "admin" in admin.list_topics()
            (described,) = admin.describe_topics(["admin"])
            equal(len(described["partitions"]), 3, "partitions")
        with check("admin: describe and alter configurations"):
            topic = ConfigResource(ConfigResourceType.TOPIC, "admin")
            equal(find(admin.describe_configs([topic], config_filter="all"), "retention.ms"), "-1", "as created")
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "admin", {"segment.bytes": "2097152"})])
            equal(find(admin.describe_configs([topic], config_filter="all"), "segment.bytes"), "2097152", "altered")
            admin.reset_configs([ConfigResource(ConfigResourceType.TOPIC, "admin", {"segment.bytes": None})])
            equal(find(admin.describe_configs([topic], config_filter="modified"), "segment.bytes"), None, "reset")
        with check("admin: create partitions"):
            admin.create_partitions({"admin": 5})
            wait_until(lambda: len(admin.describe_topics(["admin"])[0]["partitions"]) == 5, 10, "five partitions")
        with check("admin: delete records"):
            self.produce("admin", plain(100))
            admin.delete_records({TopicPartition("admin", 0): 40})
            consumer = KafkaConsumer(bootstrap_servers=self.bootstrap)
            place = TopicPartition("admin", 0)
            equal(consumer.beginning_offsets([place]), {place: 40}, "beginning")
            equal(consumer.end_offsets([place]), {place: 100}, "end")
            consumer.close()
        with check("offsets by timestamp"):
            base = int(time.time() * 1000) - 100_000
            self.produce("times", [Record(b"k", b"v", (), base + step) for step in (0, 100, 50, 300, 200)])
            consumer = KafkaConsumer(bootstrap_servers=self.bootstrap)
            place = TopicPartition("times", 0)
            for at, expected in ((base - 5, 0), (base + 60, 1), (base + 101, 3), (base + 301, None)):
                found = consumer.offsets_for_times({place: at})[place]
                equal(found and found.offset, expected, f"first offset at or after {at - base}")
            consumer.close()
        with check("admin: list, describe, change and delete groups"):
            consumer = KafkaConsumer("times", bootstrap_servers=self.bootstrap, group_id="admin-group",
                                     enable_auto_commit=False, auto_offset_reset="earliest", client_id="the-member")
            wait_until(lambda: consumer.poll(200), 20, "a record")
            consumer.commit({TopicPartition("times", 0): OffsetAndMetadata(3, "noted", -1)})
            described = admin.describe_groups(["admin-group"])["admin-group"]
            equal(described["group_state"], "Stable", "state")
            equal([member["client_id"] for member in described["members"]], ["the-member"], "members")
            consumer.close()
            assert "admin-group" in [found["group_id"] for found in admin.list_groups()]
            place = TopicPartition("times", 0)
            stored = admin.list_group_offsets(["admin-group"])["admin-group"][place]
            equal((stored.offset, stored.metadata), (3, "noted"), "committed")
            admin.alter_group_offsets("admin-group", {place: OffsetAndMetadata(1, "", -1)})
            equal(admin.list_group_offsets(["admin-group"])["admin-group"][place].offset, 1, "altered")
            admin.delete_group_offsets("admin-group", [place])
            admin.delete_groups(["admin-group"])
            assert "admin-group" not in [found["group_id"] for found in admin.list_groups()]
        with check("admin: describe the cluster and its log directories"):
            described = admin.describe_cluster()
            equal(len(described["brokers"]), 1, "brokers")
            assert described["cluster_id"]
            assert admin.describe_log_dirs()
        with check("admin: delete topics"):
            admin.delete_topics(["admin"])
            wait_until(lambda: "admin" not in admin.list_topics(), 10, "gone")
        admin.close()


def find(value, key):
    """The value of one configuration anywhere in a describe_configs result, or None."""
    if isinstance(value, dict):
        if key in value:
            found = value[key]
            return found["value"] if isinstance(found, dict) else getattr(found, "value", found)
        values = value.values()
    elif isinstance(value, (list, tuple)):
        values = value
    else:
        return None
    return next((found for found in (find(item, key) for item in values) if found is not None), None)


scenarios.main(KafkaPython)
