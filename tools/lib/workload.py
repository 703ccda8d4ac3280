"""Real clients whose every send, acknowledgement, poll and commit goes into a History.

Idempotent producers with acks=all (librdkafka and kafka-python); consumers that were assigned all partitions and go back now and
then; members of one group that commit what they have read. All of them live through whatever happens to the nodes.
"""
import contextlib
import random
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from history import value_of
from kafka import KafkaConsumer, KafkaProducer
from kafka import TopicPartition as PythonPartition
from kafka.errors import KafkaError as PythonError
from kafka.errors import OffsetOutOfRangeError

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
# A client waits out any outage that is healed within this.
PATIENCE = 180
GROUP = "chaos-members"
OUT_OF_RANGE = {KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION}


def settings(bootstrap, **more):
    return {"bootstrap.servers": bootstrap, "log_level": 0, "socket.timeout.ms": 10_000, "reconnect.backoff.max.ms": 500,
            "topic.metadata.refresh.interval.ms": 5000, **more}


def create_topics(bootstrap, topics, replicas, seconds=60):
    """`topics`: name -> (partitions, configurations). Those that are there already stay."""
    admin, deadline = AdminClient(settings(bootstrap)), time.monotonic() + seconds
    for name, (partitions, configuration) in topics.items():
        while True:
            (future,) = admin.create_topics([NewTopic(name, partitions, replicas, config=configuration)]).values()
            try:
                future.result(20)
                break
            except KafkaException as error:
                if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                    break
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


class Workload:
    """`partitions`: all that it sends to. `rate`: records per second of each producer."""

    def __init__(self, bootstrap, history, partitions, name, seed, rate=150, kinds=("librdkafka", "librdkafka", "kafka-python"),
                 members=2):
        self.bootstrap, self.history, self.partitions, self.name, self.rate = bootstrap, history, partitions, name, rate
        self.rng = random.Random(seed)
        self.failures = []
        self.sending, self.reading = threading.Event(), threading.Event()
        self.sending.set(), self.reading.set()
        self.unanswered = {}         # sender -> records that it still waits for
        self.readers, self.members = {}, {}   # name -> Reader
        work = [(self.produce if kind == "librdkafka" else self.produce_by_python, f"{name}/p{number}", random.Random(self.rng.random()))
                for number, kind in enumerate(kinds)]
        work += [(self.read, f"{name}/r0", random.Random(self.rng.random())),
                 (self.read_by_python, f"{name}/r1", random.Random(self.rng.random()))]
        work += [(self.be_member, f"{name}/m{number}", random.Random(self.rng.random())) for number in range(members)]
        self.threads = [(job not in (self.produce, self.produce_by_python),
                         threading.Thread(target=self.guarded, args=(job, who, rng), name=who, daemon=True))
                        for job, who, rng in work]

    def start(self):
        for _, thread in self.threads:
            thread.start()
        return self

    def stop(self, seconds=PATIENCE):
        """Ends it: every producer first gets an answer for what it has sent, and readers go on meanwhile. `failures` says what
        clients saw that none may see."""
        deadline = time.monotonic() + seconds
        self.sending.clear()
        self.join(False, deadline)
        if not self.failures:
            self.wait_for_readers(60)
        self.reading.clear()
        self.join(True, time.monotonic() + 30)
        for sender, count in self.unanswered.items():
            if count:
                self.failures.append(f"{sender}: {count} records have had no answer when all was well for long")

    def join(self, are_readers, deadline):
        for is_reader, thread in self.threads:
            if is_reader == are_readers:
                thread.join(max(0.1, deadline - time.monotonic()))
                if thread.is_alive():
                    self.failures.append(f"{thread.name} does not end")

    def wait_for_readers(self, seconds):
        """Every reader, and the members together, get to the end of what was acknowledged."""
        ends = {partition: max(offsets) + 1 for partition, offsets in self.history.acknowledged.items()}
        deadline = time.monotonic() + seconds
        while behind := {f"{who}, {partition[0]}-{partition[1]}": (places.get(partition), end) for who, places in self.places()
                         for partition, end in ends.items() if (places.get(partition) or 0) < end}:
            if time.monotonic() > deadline:
                self.failures.append(f"{len(behind)} readers stand still (where, of): {dict(list(behind.items())[:4])}")
                return
            time.sleep(0.05)

    def places(self):
        yield from ((who, reader.next) for who, reader in self.readers.items())
        if self.members:
            yield "members", {partition: max(reader.next.get(partition) or 0 for reader in self.members.values())
                              for partition in self.partitions}

    def guarded(self, job, who, rng):
        try:
            job(who, rng)
        except Exception as error:
            self.failures.append(f"{who}: {error!r}")

    # ---- sending

    def bursts(self, rng):
        """Partitions to send to, in bursts, at about `rate`."""
        started, sent = time.monotonic(), 0
        while self.sending.is_set():
            for _ in range(rng.randrange(1, 40)):
                sent += 1
                yield rng.choice(self.partitions)
            while self.sending.is_set() and sent > self.rate * (time.monotonic() - started):
                yield None

    def answered(self, who, partition, number, offset, error):
        self.unanswered[who] -= 1
        if error is None:
            self.history.ack(partition, who, number, offset)
        else:
            self.history.refuse(str(error))
            self.failures.append(f"{who}: record {number} for {partition[0]}-{partition[1]}: {error}")

    def produce(self, who, rng):
        fatal = []
        producer = Producer(settings(self.bootstrap, **{
            "acks": "all", "enable.idempotence": True, "linger.ms": rng.choice((0, 2, 20)), "client.id": who,
            "compression.type": rng.choice(CODECS), "delivery.timeout.ms": (PATIENCE - 20) * 1000, "retry.backoff.max.ms": 500,
            "queue.buffering.max.messages": 2000, "error_cb": lambda error: error.fatal() and fatal.append(error)}))
        self.unanswered[who] = 0
        for target in self.bursts(rng):
            producer.poll(0.02 if target is None else 0)
            if target is None or len(producer) >= 1900:
                continue
            number = self.history.send(target, who)
            self.unanswered[who] += 1
            producer.produce(target[0], value_of(who, number, self.history.size), str(number), target[1],
                             on_delivery=lambda error, message, target=target, number=number: self.answered(
                                 who, target, number, None if error else message.offset(), error and error.name()))
            if fatal:
                break
        producer.flush(PATIENCE - 10)
        if fatal:
            self.failures.append(f"{who}: fatal: {fatal[0]}")

    def produce_by_python(self, who, rng):
        producer = KafkaProducer(
            bootstrap_servers=self.bootstrap.split(","), acks="all", enable_idempotence=True, linger_ms=rng.choice((0, 5)),
            client_id=who, delivery_timeout_ms=(PATIENCE - 20) * 1000, max_block_ms=(PATIENCE - 20) * 1000,
            compression_type=rng.choice((None, "gzip", "lz4", "zstd")), request_timeout_ms=10_000, reconnect_backoff_max_ms=500,
            metadata_max_age_ms=5000, bootstrap_timeout_ms=60_000)
        self.unanswered[who] = 0
        for target in self.bursts(rng):
            if target is None or self.unanswered[who] >= 2000:
                time.sleep(0.02)
                continue
            number = self.history.send(target, who)
            try:
                future = producer.send(target[0], value_of(who, number, self.history.size), str(number).encode(), partition=target[1])
            except PythonError as error:
                self.history.refuse(type(error).__name__)
                self.failures.append(f"{who}: {error!r}")
                continue
            self.unanswered[who] += 1
            future.add_callback(lambda metadata, target=target, number=number: self.answered(who, target, number, metadata.offset, None))
            future.add_errback(lambda error, target=target, number=number: self.answered(
                who, target, number, None, type(error).__name__))
        with contextlib.suppress(PythonError):   # what has no answer is counted
            producer.flush(PATIENCE - 10)
        with contextlib.suppress(PythonError):
            producer.close(5)

    # ---- reading

    def read(self, who, rng):
        """Every partition from its beginning on; back again now and then."""
        reader = self.readers[who] = self.history.reader(who)
        consumer = Consumer(settings(self.bootstrap, **{
            "group.id": who, "enable.auto.commit": False, "auto.offset.reset": "error", "check.crcs": True, "fetch.wait.max.ms": 50,
            "client.id": who}))
        for partition in self.partitions:
            reader.seek(partition, self.begin(partition, rng))
        consumer.assign([TopicPartition(*partition, reader.next[partition]) for partition in self.partitions])
        while self.reading.is_set():
            for message in consumer.consume(500, 0.1):
                self.take(reader, consumer, message)
            if rng.random() < 0.01:
                self.go_back(reader, consumer, rng.choice(self.partitions), rng)
        consumer.close()

    def begin(self, partition, rng):
        """Mostly where the log is being written: reading all of it from the start every time would be most of the work."""
        known = len(self.history.acknowledged.get(partition, ()))
        return 0 if rng.random() < 0.2 else max(0, known - 50)

    def go_back(self, reader, consumer, partition, rng):
        offset = max(0, (reader.next[partition] or 0) - rng.randrange(300))
        try:
            # Incrementally: a message of before that waits to be handed over would look like a jump.
            consumer.incremental_unassign([TopicPartition(*partition)])
            consumer.incremental_assign([TopicPartition(*partition, offset)])
        except KafkaException:
            return
        reader.seek(partition, offset)

    def take(self, reader, consumer, message):
        partition = (message.topic(), message.partition())
        if not message.error():
            reader.poll(partition, message.offset(), message.value())
        elif message.error().code() in OUT_OF_RANGE:
            reader.out_of_range(partition, message.error().str())
            consumer.incremental_unassign([TopicPartition(*partition)])
            consumer.incremental_assign([TopicPartition(*partition, max(0, (reader.next[partition] or 0) - 100))])
            reader.seek(partition)

    def read_by_python(self, who, rng):
        reader = self.readers[who] = self.history.reader(who)
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap.split(","), client_id=who, enable_auto_commit=False, auto_offset_reset="none",
            check_crcs=True, fetch_max_wait_ms=50, request_timeout_ms=15_000, reconnect_backoff_max_ms=500,
            metadata_max_age_ms=5000, bootstrap_timeout_ms=60_000)
        consumer.assign([PythonPartition(*partition) for partition in self.partitions])
        for partition in self.partitions:
            reader.seek(partition, self.begin(partition, rng))
            consumer.seek(PythonPartition(*partition), reader.next[partition])
        while self.reading.is_set():
            try:
                batches = consumer.poll(100, 500)
            except OffsetOutOfRangeError as error:
                for partition in error.args[0]:
                    reader.out_of_range((partition.topic, partition.partition), "OffsetOutOfRangeError")
                    consumer.seek(partition, max(0, (reader.next[partition.topic, partition.partition] or 0) - 100))
                    reader.seek((partition.topic, partition.partition))
                continue
            except PythonError:
                time.sleep(0.1)   # no node answers
                continue
            for partition, messages in batches.items():
                for message in messages:
                    reader.poll((partition.topic, partition.partition), message.offset, message.value)
        consumer.close()

    def be_member(self, who, rng):
        """Reads what the group assigns to it, from what the group has committed, and commits."""
        history = self.history
        reader = self.members[who] = history.reader(who)
        topics = sorted({topic for topic, _ in self.partitions})

        def assigned(consumer, partitions):
            for partition in partitions:
                reader.seek((partition.topic, partition.partition))

        consumer = Consumer(settings(self.bootstrap, **{
            "group.id": GROUP, "enable.auto.commit": False, "auto.offset.reset": "earliest", "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 1000, "fetch.wait.max.ms": 50, "client.id": who}))
        consumer.subscribe(topics, on_assign=assigned)
        commit_at = time.monotonic() + 0.5
        while self.reading.is_set():
            for message in consumer.consume(500, 0.1):
                if not message.error():
                    reader.poll((message.topic(), message.partition()), message.offset(), message.value())
            if time.monotonic() > commit_at:
                self.commit(history, consumer, reader)
                commit_at = time.monotonic() + 0.2 + rng.random()
        consumer.close()

    def commit(self, history, consumer, reader):
        try:
            mine = {(one.topic, one.partition) for one in consumer.assignment()}
        except KafkaException:
            return
        offsets = {partition: reader.next[partition] for partition in mine if reader.next.get(partition) is not None}
        if not offsets:
            return
        for partition, offset in offsets.items():
            history.commit_sent(GROUP, partition, offset)
        try:
            done = consumer.commit(offsets=[TopicPartition(*partition, offset) for partition, offset in offsets.items()],
                                   asynchronous=False)
        except KafkaException:
            return   # a rebalance, or nobody there: not acknowledged
        for one in done:
            if not one.error:
                history.commit(GROUP, (one.topic, one.partition), one.offset)


# ---- when all is well again

def read_logs(bootstrap, partitions, seconds=180):
    """{partition: (start, [(offset, value)])}, each up to its high watermark."""
    consumer = Consumer(settings(bootstrap, **{"group.id": "judge", "enable.auto.commit": False, "auto.offset.reset": "error",
                                               "check.crcs": True, "fetch.wait.max.ms": 20}))
    try:
        deadline, logs, ends = time.monotonic() + seconds, {}, {}
        for partition in partitions:
            low, high = watermarks(consumer, partition, deadline)
            logs[partition], ends[partition] = (low, []), high
        consumer.assign([TopicPartition(*partition, low) for partition, (low, _) in logs.items()])
        missing = {partition for partition, (low, _) in logs.items() if ends[partition] > low}
        while missing:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the log of {sorted(missing)} could not be read to its end within {seconds} s")
            for message in consumer.consume(5000, 0.2):
                partition = (message.topic(), message.partition())
                if message.error():
                    raise KafkaException(message.error())
                logs[partition][1].append((message.offset(), message.value()))
                if message.offset() >= ends[partition] - 1:
                    missing.discard(partition)
        return {partition: (low, [pair for pair in records if pair[0] < ends[partition]])
                for partition, (low, records) in logs.items()}
    finally:
        consumer.close()


def watermarks(consumer, partition, deadline):
    while True:
        try:
            return consumer.get_watermark_offsets(TopicPartition(*partition), timeout=10)
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def check_commits(bootstrap, history, group=GROUP, seconds=60):
    """Asks for what the group has committed, of every partition of which a commit was acknowledged."""
    partitions = [partition for known, partition in list(history.commits) if known == group]
    if not partitions:
        return
    least = {partition: history.least_commit(group, partition) for partition in partitions}
    consumer = Consumer(settings(bootstrap, **{"group.id": group, "enable.auto.commit": False}))
    deadline = time.monotonic() + seconds
    try:
        while True:
            try:
                found = consumer.committed([TopicPartition(*partition) for partition in partitions], timeout=10)
                break
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
    finally:
        consumer.close()
    for one in found:
        history.committed(group, (one.topic, one.partition), one.offset, least[one.topic, one.partition])
