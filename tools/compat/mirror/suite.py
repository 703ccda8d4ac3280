"""`quire mirror`: copies of other clusters' topics, with their offsets, whatever is killed meanwhile."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

from checks import check, equal, finish, wait_until
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from node import Node, binary, die_with_parent, run
from records import Record, plain, varied

scratch = tempfile.mkdtemp(prefix="quire-mirror-", dir=os.environ.get("TMPDIR"))


def produce(bootstrap, topic, records, partition=0, codec="none", batch=10_000, **settings):
    """Acknowledged records at `topic`; a batch of at most `batch` records each."""
    errors = []
    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 5, "acks": "all",
                         "batch.num.messages": batch, "message.timeout.ms": 20_000, **settings})
    for record in records:
        producer.produce(topic, record.value, record.key, partition, timestamp=record.timestamp or 0,
                         headers=list(record.headers), on_delivery=lambda error, _: errors.append(error) if error else None)
    producer.flush(30)
    assert not errors, errors[0]


def offsets(bootstrap, topic, partition=0):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused"})
    try:
        return consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20, cached=False)
    finally:
        consumer.close()


def ends(bootstrap, topic, *expected):
    """Whether the logs of the first partitions are these, (start, end) each."""
    return attempt(lambda: [offsets(bootstrap, topic, partition) for partition in range(len(expected))] == list(expected))


def read(bootstrap, topic, partition=0, start=None, end=None):
    """Every record from `start` (the log's start) to the end: (offset, record)."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False,
                         "auto.offset.reset": "error", "check.crcs": True, "enable.partition.eof": True,
                         "fetch.wait.max.ms": 20})
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20, cached=False)
    start, end = low if start is None else start, high if end is None else end
    received, deadline = [], time.monotonic() + 30
    try:
        consumer.assign([TopicPartition(topic, partition, start)])
        while time.monotonic() < deadline:
            for message in consumer.consume(1000, 0.2):
                if message.error():
                    if message.error().name() == "_PARTITION_EOF":
                        return received
                    raise KafkaException(message.error())
                if message.offset() < end:
                    received.append((message.offset(), Record(
                        message.key(), message.value(), tuple(message.headers() or ()), message.timestamp()[1])))
        raise AssertionError(f"no end of {topic}-{partition} within 30 s")
    finally:
        consumer.close()


def same(source, target, topic, partitions=(0,)):
    for partition in partitions:
        equal(offsets(target, topic, partition), offsets(source, topic, partition), f"log of {topic}-{partition}")
        equal(read(target, topic, partition), read(source, topic, partition), f"record of {topic}-{partition}")


def mirror(source, node, *options, expect=0, seconds=60):
    """`quire mirror … --once`; its state at the end."""
    done = run("mirror", "--from", source, "--to", node.kafka, "--server", f"http://{node.http}", "--once", "--format", "json",
               *options, seconds=seconds)
    equal(done.returncode, expect, f"exit ({done.stderr.strip()})")
    return json.loads(done.stdout) if done.stdout.strip() else done.stderr


class Live:
    """`quire mirror` that runs until it is told to stop."""

    def __init__(self, source, node, *options):
        self.process = subprocess.Popen(
            [binary(), "mirror", "--from", source, "--to", node.kafka, "--server", f"http://{node.http}", "--format", "json",
             *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent)

    def stop(self, how=signal.SIGINT):
        self.process.send_signal(how)
        out, err = self.process.communicate(timeout=30)
        print("\n".join(f"# mirror: {line}" for line in err.splitlines()), file=sys.stderr)
        return self.process.returncode, out, err

    def kill(self):
        self.process.kill()
        self.process.communicate()


def create(bootstrap, topic, partitions=1, config=None):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(topic, partitions, 1, config=config or {})]).values():
        future.result(20)


def delete_records(bootstrap, topic, before, partition=0):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.delete_records([TopicPartition(topic, partition, before)]).values():
        future.result(20)


def commit(bootstrap, group, topic, offset, partition=0):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False})
    try:
        wait_until(lambda: attempt(lambda: consumer.commit(
            offsets=[TopicPartition(topic, partition, offset)], asynchronous=False)), 20, "a commit")
    finally:
        consumer.close()


def attempt(work):
    """Its value, or None while brokers are away or not ready."""
    try:
        return work()
    except KafkaException:
        return None


def committed(bootstrap, group, topic, partition=0):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    try:
        return consumer.committed([TopicPartition(topic, partition)], timeout=20)[0].offset
    finally:
        consumer.close()


def fixed(node):
    """From its next start on the node has the ports it has now."""
    node.listen, node.options = node.kafka, (*node.options, "--http", node.http)
    return node


def doctor(data):
    done = run("doctor", "--data-dir", data)
    equal(done.returncode, 0, f"exit of the doctor ({done.stdout}{done.stderr})")


class Mock:
    """The mock cluster of Debian's librdkafka, three brokers, in a process of its own."""

    def __init__(self):
        self.process = subprocess.Popen([os.environ["MOCK_CLUSTER"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        preexec_fn=die_with_parent)
        self.bootstrap = self.process.stdout.readline().strip()

    def tell(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        equal(self.process.stdout.readline().strip(), "ok", f"answer to {words}")

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)


def from_debians_mock_cluster(node):
    """The mock brokers of librdkafka 2.0.2: leaders move, brokers go and come back, while it is copied live."""
    mock = Mock()
    mock.tell("topic", "moving", 2)
    # So that the topic is there: a client waits long for one that is not.
    mirror(mock.bootstrap, node, "moving", "--group", "nobody")
    live = Live(mock.bootstrap, node, "moving", "--group", "nobody")
    try:
        for number, steps in enumerate([(), [("leader", "moving", 0, 2), ("leader", "moving", 1, 3)], [("leader", "moving", 0, 3), ("down", 1)],
                                        [("up", 1), ("leader", "moving", 1, 1)], [("down", -1), ("up", -1)]]):
            for step in steps:
                mock.tell(*step)
            for partition in range(2):
                produce(mock.bootstrap, "moving", varied(60, seed=number), partition, "lz4", batch=7)
            end = 60 * number + 60
            wait_until(lambda: ends(node.kafka, "moving", (0, end), (0, end)), 60, f"the copy after {steps}")
        same(mock.bootstrap, node.kafka, "moving", range(2))
    finally:
        status, _, err = live.stop()
        mock.end()
    equal(status, 130, f"exit ({err})")


def from_a_mock_cluster(node):
    """librdkafka's mock brokers: other version ranges, no settings, no list of groups."""
    mock = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 3, "log_level": 3})
    source = ",".join(f"{broker.host}:{broker.port}" for broker in mock.list_topics(timeout=20).brokers.values())
    for partition, codec in enumerate(["none", "gzip", "snappy", "zstd"]):
        produce(source, "mocked", varied(150, seed=partition), partition, codec, batch=1 + partition * 16)
    commit(source, "mock-group", "mocked", 55)
    state = mirror(source, node, "mocked", "--group", "mock-group")
    equal([each["records"] for each in state["partitions"]], [150] * 4, "records")
    same(source, node.kafka, "mocked", range(4))
    equal(committed(node.kafka, "mock-group", "mocked"), 55, "committed offset")
    produce(source, "mocked", varied(50, seed=9), 1)
    state = mirror(source, node, "--topics", "moc.*", "--group", "mock-group")
    equal([each["records"] for each in state["partitions"]], [0, 50, 0, 0], "records of the second run")
    same(source, node.kafka, "mocked", range(4))


def keeps_offsets(source, node):
    """A log that begins inside of a batch; all codecs; settings; groups go on where they were."""
    create(source.kafka, "kept", 4, {"retention.ms": "-1", "segment.bytes": "1000000", "min.insync.replicas": "1"})
    for partition, codec in enumerate(["none", "gzip", "lz4", "zstd"]):
        produce(source.kafka, "kept", varied(300, seed=partition), partition, codec, batch=17)
    delete_records(source.kafka, "kept", 123, 0)
    delete_records(source.kafka, "kept", 300, 1)
    for partition, offset in enumerate([200, 300, 10, 299]):
        commit(source.kafka, "readers", "kept", offset, partition)
    state = mirror(source.kafka, node, "kept")
    equal([each["records"] >= 177 for each in state["partitions"]], [True, False, True, True], "records")
    same(source.kafka, node.kafka, "kept", range(4))
    equal(offsets(node.kafka, "kept", 0), (123, 300), "log of the first partition")
    equal(offsets(node.kafka, "kept", 1), (300, 300), "log of the second partition")
    settings = json.loads(run("topic", "describe", "kept", "--bootstrap", node.kafka, "--format", "json").stdout)
    assert '"retention.ms"' in json.dumps(settings) and "1000000" in json.dumps(settings), settings
    goes_on(node.kafka, "readers", "kept", 0, 200)


def goes_on(bootstrap, group, topic, partition, offset):
    """The group's next consumer begins with exactly this record."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "error",
                         "enable.auto.commit": False, "session.timeout.ms": 6000})
    try:
        consumer.subscribe([topic])
        first = {}

        def seen():
            for message in consumer.consume(500, 0.2):
                if not message.error():
                    first.setdefault(message.partition(), message.offset())
            return first.get(partition) is not None
        wait_until(seen, 30, "a record for the group")
        equal(first[partition], offset, "first offset of the group")
    finally:
        consumer.close()


def goes_behind(source, node):
    """Into a topic that has records: behind them, offsets shifted by a fixed number, committed ones too."""
    create(source.kafka, "mapped", 2)
    create(node.kafka, "mapped", 1)
    mine = varied(40, seed=5)
    produce(node.kafka, "mapped", mine)
    theirs = [varied(200, seed=6), varied(100, seed=7)]
    for partition in range(2):
        produce(source.kafka, "mapped", theirs[partition], partition, "lz4", batch=17)
    commit(source.kafka, "shifted", "mapped", 150)
    mirror(source.kafka, node, "mapped")
    produce(source.kafka, "mapped", theirs[0])
    mirror(source.kafka, node, "mapped")
    copy = read(node.kafka, "mapped")
    equal([record for _, record in copy[:40]], mine, "record that was there")
    equal([(offset - 40, record) for offset, record in copy[40:]], read(source.kafka, "mapped"), "shifted record")
    equal(read(node.kafka, "mapped", 1), read(source.kafka, "mapped", 1), "record of a partition that was added")
    equal(committed(node.kafka, "shifted", "mapped"), 190, "shifted committed offset")


def goes_behind_what_was_emptied(source, node):
    """A target without records whose log ends inside of the first batch at the source: it cannot begin there."""
    create(source.kafka, "emptied")
    create(node.kafka, "emptied")
    theirs = varied(100, seed=8)
    produce(source.kafka, "emptied", theirs, codec="lz4", batch=100)
    delete_records(source.kafka, "emptied", 60)
    produce(node.kafka, "emptied", plain(55))
    delete_records(node.kafka, "emptied", 55)
    first = json.loads(run("query", "SELECT min(base_offset) AS first FROM quire_batches WHERE topic = 'emptied'", "--server",
                           f"http://{source.http}", "--format", "jsonl").stdout)["first"]
    mirror(source.kafka, node, "emptied")
    copy = {offset + first - 55: record for offset, record in read(node.kafka, "emptied")}
    equal({offset: record for offset, record in copy.items() if offset >= 60}, dict(read(source.kafka, "emptied")), "shifted record")
    produce(source.kafka, "emptied", plain(5))
    mirror(source.kafka, node, "emptied")
    equal(offsets(node.kafka, "emptied")[1] + first - 55, 105, "end of the log")


def belongs_to_its_source(source, node):
    """A mirror takes no records of producers until it is none any more."""
    create(source.kafka, "owned")
    produce(source.kafka, "owned", plain(10))
    mirror(source.kafka, node, "owned")
    try:
        produce(node.kafka, "owned", plain(1))
        raise RuntimeError("a mirror took a record of a producer")
    except AssertionError as error:
        assert "POLICY_VIOLATION" in str(error), error
    equal(run("mirror", "--stop", "owned", "--to", node.kafka).returncode, 0, "exit of --stop")
    produce(node.kafka, "owned", plain(1))
    equal(offsets(node.kafka, "owned"), (0, 11), "log")


def tells_histories_apart(source, node):
    """A topic that was created anew, or that retention cut, at the source."""
    create(source.kafka, "again")
    produce(source.kafka, "again", plain(50))
    mirror(source.kafka, node, "again")
    admin = AdminClient({"bootstrap.servers": source.kafka})
    for future in admin.delete_topics(["again"]).values():
        future.result(20)
    wait_until(lambda: attempt(lambda: create(source.kafka, "again") or True), 20, "the topic's second creation")
    produce(source.kafka, "again", plain(80))
    message = mirror(source.kafka, node, "again", expect=1)
    assert "created anew" in message, message
    equal(offsets(node.kafka, "again"), (0, 50), "log")


def steps_over_what_is_gone(source, node):
    """What the source let go of before it was copied is a hole, which every client passes over, and is said."""
    create(source.kafka, "holes")
    produce(source.kafka, "holes", varied(100), codec="gzip", batch=10)
    mirror(source.kafka, node, "holes")
    produce(source.kafka, "holes", varied(200, seed=2), codec="lz4", batch=10)
    delete_records(source.kafka, "holes", 200)
    state = mirror(source.kafka, node, "holes")
    equal([(each["lost"], each["source_offset"]) for each in state["partitions"]], [(100, 300)], "lost and end")
    delete_records(source.kafka, "holes", 300)
    produce(source.kafka, "holes", plain(1))
    mirror(source.kafka, node, "holes")
    numbers = [*range(100), *range(200, 301)]
    equal([offset for offset, _ in read(node.kafka, "holes")], numbers, "offset")
    equal(read(node.kafka, "holes", start=150)[0][0], 200, "first offset behind the hole")
    equal(offsets(node.kafka, "holes"), (0, 301), "log")
    equal(with_kafka_python(node.kafka, "holes", len(numbers)), numbers, "offset by kafka-python")
    equal(with_aiokafka(node.kafka, "holes", len(numbers)), numbers, "offset by aiokafka")
    for sql, rows in (
            ("SELECT count(*), min(offset), max(offset) FROM holes", ["201,0,300"]),
            ("SELECT offset FROM holes ORDER BY timestamp DESC LIMIT 1", ["300"]),
            ("SELECT count(*) FROM (SELECT * FROM holes ORDER BY timestamp LIMIT 500)", ["201"]),
            ("SELECT count(*) FROM holes WHERE time > '2020-01-01' AND offset BETWEEN 90 AND 210", ["21"]),
            ("SELECT base_offset, min_timestamp, records FROM quire_batches WHERE topic = 'holes' AND records = 0", ["100,,0"])):
        done = run("query", sql, "--server", f"http://{node.http}", "--format", "csv")
        equal(done.stdout.splitlines()[1:], rows, f"answer to {sql} ({done.stderr})")


def with_kafka_python(bootstrap, topic, count):
    from kafka import KafkaConsumer, TopicPartition as Partition
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False,
                             consumer_timeout_ms=500)
    consumer.assign([Partition(topic, 0)])
    consumer.seek_to_beginning()
    found = []
    wait_until(lambda: found.extend(message.offset for message in consumer) or len(found) >= count, 30, "records")
    consumer.close()
    return found


def with_aiokafka(bootstrap, topic, count):
    import asyncio

    from aiokafka import AIOKafkaConsumer, TopicPartition as Partition

    async def consume():
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.assign([Partition(topic, 0)])
            return [(await asyncio.wait_for(consumer.getone(), 20)).offset for _ in range(count)]
        finally:
            await consumer.stop()
    return asyncio.run(consume())


def follows_live(source, node):
    """Records, partitions and commits that come while it runs; Ctrl-C and SIGTERM end it with its state."""
    create(source.kafka, "live", 1)
    mirror(source.kafka, node, "live")
    live = Live(source.kafka, node, "live")
    try:
        for number in range(3):
            produce(source.kafka, "live", plain(100, b"%d" % number))
            wait_until(lambda: attempt(lambda: offsets(node.kafka, "live") == (0, 100 * number + 100)), 20, "a copy")
        admin = AdminClient({"bootstrap.servers": source.kafka})
        for future in admin.create_partitions([NewPartitions("live", 2)]).values():
            future.result(20)
        produce(source.kafka, "live", plain(20), 1)
        commit(source.kafka, "live-group", "live", 42)
        wait_until(lambda: attempt(lambda: offsets(node.kafka, "live", 1) == (0, 20)), 30, "a copy of the new partition")
        wait_until(lambda: committed(node.kafka, "live-group", "live") == 42, 30, "a committed offset")
        commit(source.kafka, "live-group", "live", 7)
        wait_until(lambda: committed(node.kafka, "live-group", "live") == 7, 30, "an offset that was taken back")
    finally:
        status, out, err = live.stop()
    equal(status, 130, f"exit after Ctrl-C ({err})")
    equal([each["target_offset"] for each in json.loads(out)["partitions"]], [300, 20], "state")
    live = Live(source.kafka, node, "live")
    produce(source.kafka, "live", plain(5))
    wait_until(lambda: attempt(lambda: offsets(node.kafka, "live") == (0, 305)), 20, "a copy")
    equal(live.stop(signal.SIGTERM)[0], 143, "exit after SIGTERM")
    same(source.kafka, node.kafka, "live", (0, 1))


def killing():
    """kill -9 of each while records flow: every record is there once, with equal bytes at equal offsets."""
    source, node = Node(f"{scratch}/killed-source").start(), Node(f"{scratch}/killed-target").start()
    fixed(source), fixed(node)
    create(source.kafka, "kills", 3)
    ended, errors, fed = threading.Event(), [], []

    def delivered(error, message):
        if error:
            errors.append(f"{error} ({message.value()[:10]})")

    def feed():
        producer = Producer({"bootstrap.servers": source.kafka, "linger.ms": 5, "batch.num.messages": 50,
                             "compression.type": "lz4", "enable.idempotence": True, "message.timeout.ms": 60_000})
        number = 0
        while not ended.is_set():
            for _ in range(200):
                try:
                    producer.produce("kills", b"%d " % number + b"x" * 200, partition=number % 3, on_delivery=delivered)
                    number += 1
                except BufferError:
                    # More waits for a source that is away, or slow, than the client keeps.
                    producer.poll(0.1)
            producer.poll(0.02)
        left = producer.flush(60)
        if left:
            errors.append(f"{left} records were never delivered")
        fed.append(number)

    mirror(source.kafka, node, "kills")
    feeder = threading.Thread(target=feed)
    feeder.start()
    live = Live(source.kafka, node, "kills")
    try:
        for victim in ("target", "mirror", "source", "target", "mirror"):
            before = wait_until(lambda: attempt(lambda: offsets(node.kafka, "kills")[1] + 1), 30, "the target's offsets")
            wait_until(lambda: attempt(lambda: offsets(node.kafka, "kills")[1] > before + 100), 30, f"progress before the {victim} dies")
            if victim == "mirror":
                live.kill()
                live = Live(source.kafka, node, "kills")
            else:
                dying = node if victim == "target" else source
                dying.kill()
                dying.start()
    finally:
        ended.set()
        feeder.join()
        live.kill()
    mirror(source.kafka, node, "kills")
    same(source.kafka, node.kafka, "kills", range(3))
    equal(errors, [], "delivery errors")
    numbers = sorted(int(record.value.split()[0]) for p in range(3) for _, record in read(node.kafka, "kills", p))
    # A feeder that broke off would leave its queue behind, which looks like records that were lost.
    equal(fed, [len(numbers)], "records that were fed")
    equal(numbers, list(range(len(numbers))), "number")
    equal(source.stop(), 0, "exit of the source")
    equal(node.stop(), 0, "exit of the target")
    doctor(node.data)


def main():
    with Node(f"{scratch}/source") as source, Node(f"{scratch}/target") as node:
        with check("from librdkafka's mock cluster"):
            from_a_mock_cluster(node)
        with check("from Debian's mock cluster, whose leaders move and whose brokers go and come back"):
            from_debians_mock_cluster(node)
        for body in (keeps_offsets, goes_behind, goes_behind_what_was_emptied, belongs_to_its_source, tells_histories_apart, steps_over_what_is_gone,
                     follows_live):
            with check(body.__name__.replace("_", " ")):
                body(source, node)
    with check("the doctor finds nothing wrong with mirrors"):
        doctor(node.data)
    with check("survives kills of target, mirror and source"):
        killing()
    finish()


if __name__ == "__main__":
    main()
