"""`quire mirror`: copies of other clusters' topics, with their offsets, whatever is killed meanwhile."""
import json
import os
import signal
import subprocess
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


def read(bootstrap, topic, partition=0, start=None, end=None):
    """Every record from `start` (the log's start) to the end: (offset, record)."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False,
                         "auto.offset.reset": "error", "check.crcs": True, "enable.partition.eof": True})
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
    try:
        return work() or True
    except KafkaException:
        return None


def committed(bootstrap, group, topic, partition=0):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    try:
        return consumer.committed([TopicPartition(topic, partition)], timeout=20)[0].offset
    finally:
        consumer.close()
