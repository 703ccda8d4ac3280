"""Groups of three clients while their coordinator's node is killed or stopped: no record is skipped, no commit goes back."""
import asyncio
import threading
import time

import aiokafka
import kafka
from aiokafka.errors import KafkaError as AioKafkaError
from checks import equal, wait_until
from confluent_kafka import Consumer, KafkaException, TopicPartition
from kafka.errors import KafkaError

PARTITIONS = 4


class Group:
    """Two members that process what they are given, and commit behind it; what was processed and acknowledged is kept here."""

    def __init__(self, world, client, member):
        self.world, self.client = world, client
        self.topic = self.id = f"team-{client}"
        self.lock, self.ends = threading.Lock(), threading.Event()
        self.processed = {number: set() for number in range(PARTITIONS)}
        self.acknowledged = {}
        self.problems, self.looks = [], 0
        self.threads = [threading.Thread(target=self.guard, args=(member, self), daemon=True) for _ in range(2)]
        self.threads.append(threading.Thread(target=self.guard, args=(type(self).watch, self), daemon=True))
        for thread in self.threads:
            thread.start()

    def guard(self, work, *arguments):
        try:
            work(*arguments)
        except Exception as error:   # a thread that ends is noticed
            self.problems.append(f"{self.client}: {type(error).__name__}: {error}")

    def process(self, records):
        """Takes (partition, offset) pairs; returns what is to be committed."""
        behind = {}
        with self.lock:
            for partition, offset in records:
                self.processed[partition].add(offset)
                behind[partition] = offset + 1
        return behind

    def commit(self, offsets):
        with self.lock:
            for partition, offset in offsets.items():
                self.acknowledged[partition] = max(self.acknowledged.get(partition, 0), offset)

    def watch(self):
        """Asks again and again for what the group has committed."""
        consumer = Consumer({"bootstrap.servers": self.world.bootstrap, "group.id": self.id, "log_level": 0})
        while not self.ends.is_set():
            with self.lock:
                least = dict(self.acknowledged)
            try:
                found = consumer.committed([TopicPartition(self.topic, number) for number in least], timeout=5) if least else []
            except KafkaException:
                continue   # its coordinator is not there
            for one in found:
                if one.error is None and one.offset < least[one.partition]:
                    self.problems.append(f"{self.client}: {least[one.partition]} was committed of {one.partition}, now {one.offset}")
            self.looks += bool(found)
            time.sleep(0.1)
        consumer.close()

    def coordinator(self):
        found = []

        def is_there():
            try:
                found[:] = [self.world.admin.describe_consumer_groups([self.id], request_timeout=5)[self.id].result().coordinator.id]
                return True
            except KafkaException:
                return False
        wait_until(is_there, 60, f"{self.id} has a coordinator")
        return found[0]

    def goes_on(self, seconds=90):
        """Waits until every partition is processed further, and commits of it are acknowledged."""
        with self.lock:
            seen = {number: max(offsets, default=-1) for number, offsets in self.processed.items()}
        wait_until(lambda: self.problems or all(self.acknowledged.get(number, 0) > seen[number] + 1 for number in seen), seconds,
                   f"{self.id} goes on with every partition")
        equal(self.problems, [], "problems")

    def end(self, sent):
        """Every record that was acknowledged to its producer has been processed by somebody."""
        wanted = {number: {offset for partition, offset, _ in sent if partition == number and offset is not None}
                  for number in range(PARTITIONS)}
        wait_until(lambda: self.problems or all(wanted[number] <= self.processed[number] for number in wanted), 90,
                   f"{self.id} has processed everything")
        self.ends.set()
        for thread in self.threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self.threads), f"a member of {self.id} does not close"
        equal(self.problems, [], "problems")
        assert self.looks > 5, f"the offsets of {self.id} were read {self.looks} times"


def confluent_member(group):
    consumer = Consumer({
        "bootstrap.servers": group.world.bootstrap, "group.id": group.id, "enable.auto.commit": False, "auto.offset.reset": "earliest",
        "session.timeout.ms": 6000, "heartbeat.interval.ms": 1000, "log_level": 0})
    consumer.subscribe([group.topic])
    while not group.ends.is_set():
        records = [(one.partition(), one.offset()) for one in consumer.consume(100, 0.1) if not one.error()]
        behind = group.process(records)
        if not behind:
            continue
        try:
            done = consumer.commit(offsets=[TopicPartition(group.topic, *one) for one in behind.items()], asynchronous=False)
        except KafkaException:
            continue   # a rebalance, or nobody there: they come again, here or at another member
        group.commit({one.partition: one.offset for one in done if not one.error})
    consumer.close()


def kafka_python_member(group):
    consumer = kafka.KafkaConsumer(
        group.topic, bootstrap_servers=group.world.bootstrap.split(","), group_id=group.id, enable_auto_commit=False,
        auto_offset_reset="earliest", session_timeout_ms=6000, heartbeat_interval_ms=1000, default_api_timeout_ms=10_000)
    while not group.ends.is_set():
        try:
            records = [(one.partition, one.offset) for batch in consumer.poll(100).values() for one in batch]
            behind = group.process(records)
            if behind:
                consumer.commit({kafka.TopicPartition(group.topic, number): kafka.OffsetAndMetadata(offset, "", -1)
                                 for number, offset in behind.items()})
                group.commit(behind)
        except KafkaError:
            time.sleep(0.1)
    consumer.close()


def aiokafka_member(group):
    async def run():
        consumer = aiokafka.AIOKafkaConsumer(
            group.topic, bootstrap_servers=group.world.bootstrap, group_id=group.id, enable_auto_commit=False,
            auto_offset_reset="earliest", session_timeout_ms=6000, heartbeat_interval_ms=1000)
        await consumer.start()
        while not group.ends.is_set():
            try:
                records = [(one.partition, one.offset) for batch in (await consumer.getmany(timeout_ms=100)).values() for one in batch]
                behind = group.process(records)
                if behind:
                    await consumer.commit({aiokafka.TopicPartition(group.topic, number): offset for number, offset in behind.items()})
                    group.commit(behind)
            except AioKafkaError:
                await asyncio.sleep(0.1)
        await consumer.stop()
    asyncio.run(run())


MEMBERS = {"librdkafka": confluent_member, "kafka-python": kafka_python_member, "aiokafka": aiokafka_member}


def survive(world, load_of):
    """Groups of all clients under load, while the node that coordinates one after the other goes: by kill -9, and in order."""
    cluster = world.cluster
    loads, groups = {}, {}
    for client in MEMBERS:
        world.create(f"team-{client}", num_partitions=PARTITIONS, replication_factor=3, config={"min.insync.replicas": "2"})
    for client, member in MEMBERS.items():
        world.in_sync(f"team-{client}")
        loads[client] = load_of(f"team-{client}", PARTITIONS)
        groups[client] = Group(world, client, member)
    for group in groups.values():
        group.goes_on()
    for client, leaves in [("librdkafka", cluster.kill), ("kafka-python", cluster.stop), ("aiokafka", cluster.kill)]:
        node = groups[client].coordinator()
        leaves(node)
        for group in groups.values():
            group.goes_on()
        cluster.start(node)
        world.in_sync(f"team-{client}")
    for client, group in groups.items():
        group.end(loads[client].end())
