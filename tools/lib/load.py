"""A load whose every acknowledgement is remembered, and the proof that a node still has what it acknowledged.

Producers (acks=all, idempotent), offset commits, topic creation and deletion, and DeleteRecords run until the load is
stopped or its node is gone. Each acknowledgement is noted with the monotonic time at which the client saw it, so that
`verify(until=t)` asks for exactly what had been promised by then.
"""
import random
import threading
import time
import zlib
from typing import NamedTuple

from checks import shorten
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
RETAINED_BYTES = 1 << 20
SHAPES = {   # suffix of the topic's name: partitions and configurations
    "steady": (4, {}),
    "rolling": (2, {"segment.bytes": str(300_000), "retention.ms": "-1"}),
    "retained": (1, {"segment.bytes": str(200_000), "retention.bytes": str(RETAINED_BYTES)}),
    "trimmed": (1, {"segment.bytes": str(200_000)}),
}
# Without auto-creation: a producer that asks about a topic just deleted would make it again.
NODE_SETTINGS = ("--set", "auto.create.topics.enable=false", "--set", "log.retention.check.interval.ms=200", "--set", "group.initial.rebalance.delay.ms=0")


class Acknowledged(NamedTuple):
    at: int            # monotonic nanoseconds
    topic: str
    partition: int
    offset: int
    stream: str        # one producer's records for one partition, numbered from 0
    number: int


def value_of(stream, number):
    """The bytes that a record has, told from its name alone, so that none need be remembered."""
    name = f"{stream} {number} ".encode()
    return name + bytes([97 + zlib.crc32(name) % 26]) * (zlib.crc32(name[::-1]) % 900)


class Load:
    def __init__(self, bootstrap, seed, prefix="load", producers=3, churn=True):
        self.bootstrap, self.prefix, self.rng = bootstrap, prefix, random.Random(seed)
        self.acknowledged, self.failures = [], []
        self.attempted = {}        # stream -> records handed to the client
        self.created, self.deletions = {}, {}     # topic -> (at, partitions); topic -> [attempted at, acknowledged at]
        self.commits, self.commit_attempted = [], {}   # (at, group, topic, partition, offset)
        self.trims, self.trim_attempted = [], 0        # (at, offset)
        self.halt = threading.Event()
        self.threads = []
        self.producers = producers
        self.churn = churn

    # ---- running it

    def start(self):
        admin = AdminClient(self.client())
        for shape, (partitions, configuration) in SHAPES.items():
            self.create(admin, f"{self.prefix}-{shape}", partitions, configuration)
        work = [(self.produce, number) for number in range(self.producers)] + [(self.commit,)]
        if self.churn:
            work += [(self.make_and_delete_topics,), (self.trim,)]
        for target, *arguments in work:
            thread = threading.Thread(target=self.guarded, args=(target, *arguments), daemon=True)
            thread.start()
            self.threads.append(thread)
        return self

    def stop(self, seconds=60):
        """Ends the load; every producer first gets what it has sent acknowledged, or fails."""
        self.halt.set()
        deadline = time.monotonic() + seconds
        for thread in self.threads:
            thread.join(max(0, deadline - time.monotonic()))
            if thread.is_alive() and not self.abandoned:
                self.failures.append(f"{thread.name} still ran {seconds} s after the end of the load")

    def give_up(self):
        """Ends the load of a node that is gone for good: what was not acknowledged stays so."""
        self.abandoned = True
        self.stop(3)   # a call that still waits for the node ends by itself, and nothing comes of it

    abandoned = False

    def guarded(self, work, *arguments):
        try:
            work(*arguments)
        except Exception as error:  # a client call that failed for another reason than the node's absence
            if not self.abandoned:
                self.failures.append(f"{work.__name__}: {error!r}")

    def client(self, **settings):
        return {"bootstrap.servers": self.bootstrap, "log_level": 0, "socket.timeout.ms": 5000,
                "reconnect.backoff.max.ms": 200, "topic.metadata.refresh.interval.ms": 2000, **settings}

    def produce(self, number):
        rng = random.Random(self.rng.random() + number)
        producer = Producer(self.client(**{
            "acks": "all", "enable.idempotence": True, "linger.ms": rng.choice((0, 2, 20)),
            "compression.type": CODECS[rng.randrange(len(CODECS))], "message.timeout.ms": 60_000,
            "queue.buffering.max.messages": 3000}))
        targets = [(f"{self.prefix}-{shape}", partition)
                   for shape, (partitions, _) in SHAPES.items() for partition in range(partitions)]
        while not self.halt.is_set():
            for _ in range(rng.randrange(1, 200)):
                topic, partition = rng.choice(targets)
                self.send(producer, f"{self.prefix}/{number}", topic, partition)
            producer.poll(rng.choice((0, 0.001, 0.01)))
        self.drain(producer)

    def send(self, producer, name, topic, partition):
        stream = f"{name}/{topic}/{partition}"
        number = self.attempted.get(stream, 0)

        def delivered(error, message):
            if error is None:
                self.acknowledged.append(
                    Acknowledged(time.monotonic_ns(), topic, partition, message.offset(), stream, number))
            elif not self.abandoned:
                self.failures.append(f"record {number} of {stream}: {error}")

        while True:
            try:
                producer.produce(topic, value_of(stream, number), str(number), partition, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.05)
                if self.halt.is_set():
                    return
        self.attempted[stream] = number + 1

    def drain(self, producer):
        deadline = time.monotonic() + 50
        while len(producer) and not self.abandoned and time.monotonic() < deadline:
            producer.flush(0.5)
        if self.abandoned:
            producer.purge()
            producer.flush(1)
        elif len(producer):
            self.failures.append(f"{len(producer)} records were neither acknowledged nor refused within 50 s")

    def commit(self):
        """Commits rising offsets for one group, as a consumer without members does."""
        group, topic = f"{self.prefix}-group", f"{self.prefix}-steady"
        consumer = Consumer(self.client(**{"group.id": group, "enable.auto.commit": False}))
        offset = 0
        while not self.halt.is_set():
            offset += 1
            partition = offset % 4
            self.commit_attempted[group, topic, partition] = offset
            try:
                consumer.commit(offsets=[TopicPartition(topic, partition, offset)], asynchronous=False)
            except KafkaException:
                time.sleep(0.02)   # the node is away: not acknowledged
                continue
            self.commits.append((time.monotonic_ns(), group, topic, partition, offset))
            time.sleep(0.002)
        consumer.close()

    def make_and_delete_topics(self):
        rng = random.Random(self.rng.random())
        admin = AdminClient(self.client())
        producer = Producer(self.client(**{"acks": "all", "enable.idempotence": True, "message.timeout.ms": 60_000}))
        number = 0
        while not self.halt.is_set():
            topic, number = f"{self.prefix}-made-{number}", number + 1
            if not self.create(admin, topic, rng.randrange(1, 4), {}):
                continue
            for _ in range(rng.randrange(20)):
                self.send(producer, f"{self.prefix}/made", topic, 0)
            self.drain(producer)
            if rng.random() < 0.3:
                self.deletions[topic] = [time.monotonic_ns(), None]
                if self.succeeds(admin.delete_topics([topic], operation_timeout=5, request_timeout=10)):
                    self.deletions[topic][1] = time.monotonic_ns()
            self.halt.wait(rng.random() * 0.1)

    def create(self, admin, topic, partitions, configuration):
        new = NewTopic(topic, partitions, 1, config=configuration)
        if not self.succeeds(admin.create_topics([new], operation_timeout=5, request_timeout=10)):
            return False
        self.created[topic] = (time.monotonic_ns(), partitions)
        return True

    def trim(self):
        rng = random.Random(self.rng.random())
        topic = f"{self.prefix}-trimmed"
        admin = AdminClient(self.client())
        while not self.halt.wait(rng.random() * 0.3):
            offsets = [ack.offset for ack in list(self.acknowledged) if ack.topic == topic]
            if not offsets:
                continue
            before = max(self.trim_attempted, max(offsets) * 2 // 3)
            self.trim_attempted = before
            if self.succeeds(admin.delete_records([TopicPartition(topic, 0, before)], operation_timeout=5, request_timeout=10)):
                self.trims.append((time.monotonic_ns(), before))

    def succeeds(self, futures):
        (future,) = futures.values()
        while True:
            try:
                future.result(0.2)
                return True
            except KafkaException as error:
                # Away, or done by an attempt whose answer was lost: not acknowledged. Anything else is a failure.
                if not error.args[0].retriable() and error.args[0].name() not in (
                        "_TRANSPORT", "_DESTROY_BROKER", "_TIMED_OUT", "REQUEST_TIMED_OUT", "_ALL_BROKERS_DOWN", "_NOENT",
                        "TOPIC_ALREADY_EXISTS", "UNKNOWN_TOPIC_OR_PART", "OFFSET_OUT_OF_RANGE", "_DESTROY"):
                    self.failures.append(f"admin: {error}")
                return False
            except TimeoutError:
                if self.abandoned:
                    return False

    # ---- what must be there afterwards

    def verify(self, bootstrap, until=None):
        """Returns what is wrong on the node at `bootstrap`, as lines of text; nothing when all that was acknowledged by
        `until` (all of it without) is there."""
        until = until or time.monotonic_ns()
        problems = []
        client = {**self.client(), "bootstrap.servers": bootstrap}
        metadata = AdminClient(client).list_topics(timeout=20).topics
        gone = {topic for topic, (attempted, _) in self.deletions.items() if attempted <= until}
        for topic, (at, partitions) in self.created.items():
            if topic in gone:
                acknowledged_at = self.deletions[topic][1]
                if topic in metadata and acknowledged_at and acknowledged_at <= until:
                    problems.append(f"topic {topic}: deleted, and there again")
            elif at <= until and topic not in metadata:
                problems.append(f"topic {topic}: its creation was acknowledged, and it is not there")
            elif at <= until and len(metadata[topic].partitions) != partitions:
                problems.append(f"topic {topic}: {len(metadata[topic].partitions)} partitions instead of {partitions}")
        expected = {}
        for ack in list(self.acknowledged):
            if ack.at <= until and ack.topic not in gone:
                expected.setdefault((ack.topic, ack.partition), []).append(ack)
        mine = [topic for topic in metadata if topic in self.created and topic not in gone]
        for topic in mine:
            for partition in metadata[topic].partitions:
                problems += self.verify_partition(client, topic, partition, expected.pop((topic, partition), []), until)
        for (topic, partition), acks in expected.items():
            problems.append(f"{topic}-{partition}: gone, with {len(acks)} acknowledged records")
        return problems + self.verify_commits(client, until)

    def verify_partition(self, client, topic, partition, acks, until):
        where, problems = f"{topic}-{partition}", []
        try:
            low, records = read_all(client, topic, partition)
        except Exception as error:
            return [f"{where}: cannot be read: {error}"]
        streams = {}
        for index, (offset, value) in enumerate(records):
            if offset != low + index:
                problems.append(f"{where}: offset {offset} stands where {low + index} should")
                break
            stream, number, _ = value.split(b" ", 2)
            stream, number = stream.decode(), int(number)
            if value != value_of(stream, number):
                problems.append(f"{where}: offset {offset} has other bytes than were sent: {shorten(value, 80)}")
            if number >= self.attempted.get(stream, 0) or not stream.endswith(f"/{topic}/{partition}"):
                problems.append(f"{where}: offset {offset} was never sent there: {stream} {number}")
            previous = streams.get(stream)
            if number != (previous + 1 if previous is not None else number if low else 0):
                problems.append(f"{where}: {stream} has {number} after {previous} (offset {offset}): lost, twice or out of order")
            streams[stream] = number
        end = low + len(records)
        for ack in acks:
            if ack.offset >= end:
                problems.append(f"{where}: acknowledged offset {ack.offset} is lost, the end is {end}")
                break
            if ack.offset >= low:
                value = records[ack.offset - low][1]
                if not value.startswith(f"{ack.stream} {ack.number} ".encode()):
                    problems.append(f"{where}: offset {ack.offset} was acknowledged for {ack.stream} {ack.number}, "
                                    f"and has {shorten(value, 60)}")
                    break
        return problems[:5] + self.verify_start(where, topic, low, records, until)

    def verify_start(self, where, topic, low, records, until):
        """Only retention and DeleteRecords may have moved the start, and no further than they may."""
        if topic.endswith("-retained"):
            kept = sum(len(value) for _, value in records)
            # Segments go whole and count their bytes compressed; runs of one letter compress at most about tenfold.
            if low and kept < RETAINED_BYTES // 2:
                return [f"{where}: only {kept} bytes are left, retention.bytes is {RETAINED_BYTES}"]
        elif topic.endswith("-trimmed"):
            least = max((offset for at, offset in self.trims if at <= until), default=0)
            if not least <= low <= self.trim_attempted:
                return [f"{where}: begins at {low}, records were deleted before {least} to {self.trim_attempted}"]
        elif low:
            return [f"{where}: begins at {low}, and nothing was ever deleted"]
        return []

    def verify_commits(self, client, until):
        latest = {}
        for at, group, topic, partition, offset in self.commits:
            if at <= until:
                latest[group, topic, partition] = offset
        problems = []
        for (group, topic, partition), offset in latest.items():
            consumer = Consumer({**client, "group.id": group, "enable.auto.commit": False})
            found = consumer.committed([TopicPartition(topic, partition)], timeout=20)[0].offset
            consumer.close()
            if not offset <= found <= self.commit_attempted[group, topic, partition]:
                problems.append(f"{group}: {topic}-{partition} is at {found}, acknowledged was {offset}, "
                                f"sent {self.commit_attempted[group, topic, partition]}")
        return problems

    def summary(self):
        return (f"{len(self.acknowledged)} records, {len(self.commits)} commits, {len(self.created)} topics "
                f"and {sum(1 for _, done in self.deletions.values() if done)} deletions acknowledged")


def read_all(client, topic, partition, seconds=60):
    """The log start offset, and every (offset, value) from there to the high watermark."""
    consumer = Consumer({**client, "group.id": "reader", "enable.auto.commit": False, "auto.offset.reset": "error",
                         "check.crcs": True, "fetch.wait.max.ms": 20})
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)
        if low == high:
            return low, []
        consumer.assign([TopicPartition(topic, partition, low)])
        records, deadline = [], time.monotonic() + seconds
        while not records or records[-1][0] < high - 1:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(records)} records from {low} within {seconds} s, the end is {high}")
            for message in consumer.consume(2000, 0.2):
                if message.error():
                    raise KafkaException(message.error())
                records.append((message.offset(), message.value()))
        return low, records
    finally:
        consumer.close()
