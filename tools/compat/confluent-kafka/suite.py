"""confluent-kafka (current librdkafka) against a node."""
import time

import group
import scenarios
from checks import check, equal, wait_until
from confluent_kafka import (Consumer, ConsumerGroupTopicPartitions, IsolationLevel,
                             KafkaException, Producer, TopicPartition)
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic,
                                   OffsetSpec, ResourceType)
from records import Record, plain


class Confluent(scenarios.Client):
    strategies = ("range", "roundrobin", "cooperative-sticky")

    def produce(self, topic, batch, codec="none", partition=0, idempotent=False, **settings):
        offsets, errors = [], []

        def delivered(error, message):
            if error:
                errors.append(error)
            else:
                offsets.append(message.offset())

        producer = Producer({"bootstrap.servers": self.bootstrap, "compression.type": codec, "acks": "all",
                             "linger.ms": 20, "enable.idempotence": idempotent, "message.timeout.ms": 20_000, **settings})
        for record in batch:
            producer.produce(topic, record.value, record.key, partition, on_delivery=delivered,
                             timestamp=record.timestamp or 0, headers=list(record.headers))
        producer.flush(30)
        assert not errors, errors[0]
        equal(len(offsets), len(batch), "acknowledged records")
        return offsets

    def consume(self, topic, count, partition=0, start=0, **settings):
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "unused", "enable.auto.commit": False,
                             "auto.offset.reset": "error", "check.crcs": True, **settings})
        consumer.assign([TopicPartition(topic, partition, start)])
        received, deadline = [], time.monotonic() + 30
        try:
            while len(received) < count:
                assert time.monotonic() < deadline, f"only {len(received)} of {count} records within 30 s"
                for message in consumer.consume(count - len(received), 0.2):
                    if message.error():
                        raise KafkaException(message.error())
                    received.append((message.offset(), Record(
                        message.key(), message.value(), tuple(message.headers() or ()), message.timestamp()[1])))
        finally:
            consumer.close()
        return received

    def member(self, group_id, topic, strategy):
        reporter = group.Reporter()
        consumer = Consumer({
            "bootstrap.servers": self.bootstrap, "group.id": group_id, "partition.assignment.strategy": strategy,
            "auto.offset.reset": "earliest", "enable.auto.commit": False, "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 300, "topic.metadata.refresh.interval.ms": 1000,
            "debug": "cgrp,broker,metadata"})  # goes to the member's log
        consumer.subscribe([topic])
        while not reporter.stopping:
            messages = [message for message in consumer.consume(20, 0.1) if not message.error()]
            reporter.holds(partition.partition for partition in consumer.assignment())
            if messages:
                batch = [(message.partition(), message.offset()) for message in messages]
                reporter.received(batch)
                try:
                    consumer.commit(offsets=[TopicPartition(topic, p, o + 1) for p, o in dict(batch).items()],
                                    asynchronous=False)
                    reporter.committed(batch)
                except KafkaException:
                    pass  # a rebalance is under way: whoever holds the partition next gets these again
        consumer.close()

    def extras(self, node):
        if scenarios.wanted(self.only, "idempotent"):
            with check("idempotent producer"):
                equal(self.produce("idempotent", plain(5000), "lz4", idempotent=True), list(range(5000)), "offset")
        if scenarios.wanted(self.only, "admin"):
            Admin(self).run()


class Admin:
    def __init__(self, client):
        self.client = client
        self.admin = AdminClient({"bootstrap.servers": client.bootstrap})

    def one(self, futures):
        """The result of a call about one thing."""
        (future,) = futures.values()
        return future.result(15)

    def refused(self, call, code):
        try:
            call()
        except KafkaException as error:
            equal(error.args[0].name(), code, "error")
        else:
            raise AssertionError(f"was not refused with {code}")

    def run(self):
        for step in (self.topics, self.configurations, self.partitions, self.delete_records, self.offsets_by_time,
                     self.groups, self.cluster, self.delete_topics):
            with check("admin: " + step.__doc__):
                step()

    def topics(self):
        """create, describe and list topics"""
        self.one(self.admin.create_topics([NewTopic("admin", 3, 1, config={"retention.ms": "-1"})]))
        self.refused(lambda: self.one(self.admin.create_topics([NewTopic("admin", 3, 1)])), "TOPIC_ALREADY_EXISTS")
        self.refused(lambda: self.one(self.admin.create_topics([NewTopic("bad name", 1, 1)])), "TOPIC_EXCEPTION")
        self.refused(lambda: self.one(self.admin.create_topics([NewTopic("many", 1, 3)])), "INVALID_REPLICATION_FACTOR")
        self.refused(lambda: self.one(self.admin.create_topics([NewTopic("odd", 1, 1, config={"no.such": "1"})])),
                     "INVALID_CONFIG")
        self.one(self.admin.create_topics([NewTopic("only-validated", 1, 1)], validate_only=True))
        topics = self.admin.list_topics(timeout=10).topics
        assert "only-validated" not in topics
        equal(sorted(topics["admin"].partitions), [0, 1, 2], "partitions")
        from confluent_kafka import TopicCollection
        described = self.one(self.admin.describe_topics(TopicCollection(["admin"])))
        equal(len(described.partitions), 3, "described partitions")
        assert str(described.topic_id) != "AAAAAAAAAAAAAAAAAAAAAA", "no topic id"

    def values(self):
        return self.one(self.admin.describe_configs([ConfigResource(ResourceType.TOPIC, "admin")]))

    def alter(self, operation, name, value):
        entry = ConfigEntry(name, value, incremental_operation=operation)
        self.one(self.admin.incremental_alter_configs(
            [ConfigResource(ResourceType.TOPIC, "admin", incremental_configs=[entry])]))

    def configurations(self):
        """describe and alter configurations, all four operations"""
        values = self.values()
        equal(values["retention.ms"].value, "-1", "retention.ms as created")
        assert not values["retention.ms"].is_default and values["segment.bytes"].is_default
        assert {"cleanup.policy", "compression.type", "max.message.bytes", "message.timestamp.type", "min.insync.replicas",
                "retention.bytes", "segment.bytes", "segment.ms"} <= values.keys(), sorted(values)
        self.alter(AlterConfigOpType.SET, "segment.bytes", "2097152")
        equal(self.values()["segment.bytes"].value, "2097152", "segment.bytes after SET")
        self.alter(AlterConfigOpType.DELETE, "segment.bytes", None)
        assert self.values()["segment.bytes"].is_default, "segment.bytes after DELETE"
        self.alter(AlterConfigOpType.SUBTRACT, "cleanup.policy", "compact")   # a list without it: nothing to do
        self.alter(AlterConfigOpType.APPEND, "cleanup.policy", "delete")
        equal(self.values()["cleanup.policy"].value, "delete", "cleanup.policy after APPEND")
        self.refused(lambda: self.alter(AlterConfigOpType.SET, "segment.bytes", "many"), "INVALID_CONFIG")
        self.refused(lambda: self.alter(AlterConfigOpType.SET, "no.such.key", "1"), "INVALID_CONFIG")
        self.one(self.admin.alter_configs([ConfigResource(ResourceType.TOPIC, "admin", {"retention.ms": "86400000"})]))
        equal(self.values()["retention.ms"].value, "86400000", "retention.ms after AlterConfigs")
        node_id = next(iter(self.admin.list_topics(timeout=10).brokers))
        assert self.one(self.admin.describe_configs([ConfigResource(ResourceType.BROKER, str(node_id))]))

    def partitions(self):
        """create partitions"""
        self.one(self.admin.create_partitions([NewPartitions("admin", 5)]))
        wait_until(lambda: len(self.admin.list_topics("admin", timeout=10).topics["admin"].partitions) == 5, 10, "five")
        self.refused(lambda: self.one(self.admin.create_partitions([NewPartitions("admin", 2)])), "INVALID_PARTITIONS")
        equal(self.client.produce("admin", plain(10), partition=4), list(range(10)), "offset")

    def delete_records(self):
        """delete records"""
        self.client.produce("admin", plain(100), partition=0)
        result = self.one(self.admin.delete_records([TopicPartition("admin", 0, 40)]))
        equal(result.low_watermark, 40, "low watermark")
        equal(self.client.consume("admin", 3, start=40)[0][0], 40, "first offset")
        self.refused(lambda: self.client.consume("admin", 1, start=39), "_AUTO_OFFSET_RESET")
        self.refused(lambda: self.one(self.admin.delete_records([TopicPartition("admin", 0, 1000)])), "OFFSET_OUT_OF_RANGE")

    def offsets_by_time(self):
        """offsets by timestamp, earliest, latest, largest timestamp"""
        base = int(time.time() * 1000) - 100_000
        times = [base + step for step in (0, 100, 50, 300, 200, 300, 250)]
        self.client.produce("times", [Record(b"k", b"v", (), at) for at in times])

        def offset(spec):
            return self.one(self.admin.list_offsets({TopicPartition("times", 0): spec},
                                                    isolation_level=IsolationLevel.READ_UNCOMMITTED)).offset

        equal(offset(OffsetSpec.earliest()), 0, "earliest")
        equal(offset(OffsetSpec.latest()), 7, "latest")
        equal(offset(OffsetSpec.max_timestamp()), 3, "offset of the largest timestamp")
        for at, expected in ((base - 5, 0), (base + 60, 1), (base + 101, 3), (base + 300, 3), (base + 301, -1)):
            equal(offset(OffsetSpec.for_timestamp(at)), expected, f"first offset at or after {at - base}")

    def groups(self):
        """list, describe, change and delete groups"""
        consumer = Consumer({"bootstrap.servers": self.client.bootstrap, "group.id": "admin-group",
                             "auto.offset.reset": "earliest", "enable.auto.commit": False, "client.id": "the-member"})
        consumer.subscribe(["times"])
        wait_until(lambda: consumer.poll(0.2), 20, "a record")
        consumer.commit(offsets=[TopicPartition("times", 0, 3, metadata="noted")], asynchronous=False)
        described = self.one(self.admin.describe_consumer_groups(["admin-group"]))
        equal(described.state.name, "STABLE", "state")
        equal([member.client_id for member in described.members], ["the-member"], "members")
        equal(len(described.members[0].assignment.topic_partitions), 4, "assigned partitions")
        self.refused(lambda: self.one(self.admin.delete_consumer_groups(["admin-group"])), "NON_EMPTY_GROUP")
        consumer.close()
        wait_until(lambda: self.one(self.admin.describe_consumer_groups(["admin-group"])).state.name == "EMPTY", 10, "empty")
        listed = {g.group_id for g in self.admin.list_consumer_groups(request_timeout=10).result(15).valid}
        assert "admin-group" in listed, listed

        def stored():
            found = self.one(self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("admin-group")]))
            return {(p.topic, p.partition): (p.offset, p.metadata) for p in found.topic_partitions}

        equal(stored(), {("times", 0): (3, "noted")}, "committed offsets")
        self.one(self.admin.alter_consumer_group_offsets(
            [ConsumerGroupTopicPartitions("admin-group", [TopicPartition("times", 0, 1), TopicPartition("times", 2, 0)])]))
        equal({key: offset for key, (offset, _) in stored().items()}, {("times", 0): 1, ("times", 2): 0}, "altered")
        self.one(self.admin.delete_consumer_groups(["admin-group"]))
        self.refused(lambda: self.one(self.admin.delete_consumer_groups(["admin-group"])), "GROUP_ID_NOT_FOUND")

    def cluster(self):
        """describe the cluster"""
        described = self.admin.describe_cluster(request_timeout=10).result(15)
        assert described.cluster_id and len(described.nodes) == 1, described
        equal(f"{described.nodes[0].host}:{described.nodes[0].port}", self.client.bootstrap, "address")

    def delete_topics(self):
        """delete topics, and create one again under the same name"""
        self.one(self.admin.delete_topics(["admin"]))
        wait_until(lambda: "admin" not in self.admin.list_topics(timeout=10).topics, 10, "gone")
        self.refused(lambda: self.one(self.admin.delete_topics(["admin"])), "UNKNOWN_TOPIC_OR_PART")
        self.one(self.admin.create_topics([NewTopic("admin", 1, 1)]))
        equal(self.client.produce("admin", plain(3)), [0, 1, 2], "offset in the new topic")


scenarios.main(Confluent)
