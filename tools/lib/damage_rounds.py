"""Damage to every kind of file of one of three nodes, under load: found, healed, and nothing wrong is ever read.

A round damages one node: one file of each of many partitions at once, each in another way; some of them it leads. It is damaged while it
runs, after a kill, after an orderly stop, or its quire.db is. Then everything that was acknowledged is read, from each node's copy, and the
nodes' databases are compared page for page."""
import argparse
import os
import pathlib
import random
import tempfile
import time

import replicas
from checks import check, equal, finish, wait_until
from cluster import Cluster
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

NODES = (1, 2, 3)
TOPIC = "damaged"
PARTITIONS = 12


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 4]))
    return f"a bit of byte {at} flipped"


def keep(path, size):
    was = path.stat().st_size
    os.truncate(path, size)
    return f"cut from {was} to {size} bytes"


def page(number, at=0):
    return lambda path, rng: flip(path, min(path.stat().st_size - 1, number * 8192 + at))


def frame(at):
    return lambda path, rng: flip(path, min(path.stat().st_size - 1, 32 + rng.randrange(3) * (8192 + 24) + at))


# (which file, how): each on a partition of its own
DAMAGES = [
    ("sealed", "header", page(0, 20)), ("sealed", "a page", lambda path, rng: flip(path, rng.randrange(path.stat().st_size))),
    ("sealed", "cut in the middle", lambda path, rng: keep(path, path.stat().st_size // 2 + 100)),
    ("sealed", "gone", lambda path, rng: path.unlink() or "gone"),
    ("active", "header", page(0, 20)), ("active", "schema", page(0, 200)),
    ("active", "a page", lambda path, rng: flip(path, rng.randrange(path.stat().st_size))),
    ("active", "cut at a page", lambda path, rng: keep(path, max(8192, path.stat().st_size // 16384 * 8192))),
    ("log", "header", lambda path, rng: flip(path, 17)), ("log", "a frame's header", frame(8)), ("log", "a frame's page", frame(600)),
    ("log", "cut", lambda path, rng: keep(path, path.stat().st_size // 2 + 5)),
]


def segments(directory):
    return sorted(directory.glob("*.db"))


def hurt(directory, which, how, rng):
    """What was done; None where there is no such file."""
    found = segments(directory)
    if not found or which == "sealed" and len(found) < 2:
        return None
    path = found[0] if which == "sealed" else found[-1]
    if which == "log":
        path = path.with_name(path.name + "-wal")
    if not path.exists() or path.stat().st_size < 100:
        return None
    return f"{path.parent.name}/{path.name}: {how(path, rng)}"


class Load:
    def __init__(self, bootstrap):
        self.acknowledged = {partition: {} for partition in range(PARTITIONS)}
        self.errors = []
        self.number = 0
        self.producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True, "linger.ms": 5,
                                  "message.timeout.ms": 120_000, "log_level": 0})

    def delivered(self, error, message):
        if error:
            self.errors.append(str(error))
        elif message.offset() is not None and message.offset() >= 0:
            self.acknowledged[message.partition()][message.offset()] = message.value()

    def some(self, count):
        for _ in range(count):
            self.producer.produce(TOPIC, f"{self.number} ".encode() + b"d" * 700, partition=self.number % PARTITIONS,
                                  on_delivery=self.delivered)
            self.number += 1
            self.producer.poll(0)
        left = self.producer.flush(120)
        assert left == 0 and not self.errors, (left, self.errors[:3])


def expect_right(bootstrap, acknowledged, seconds=90):
    """Everything that was acknowledged is where it was put; what is read is what was written."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "damage", "enable.auto.commit": False, "log_level": 0,
                         "auto.offset.reset": "error"})
    try:
        for partition, wanted in acknowledged.items():
            wanted = dict(wanted)
            consumer.assign([TopicPartition(TOPIC, partition, 0)])
            deadline = time.monotonic() + seconds
            while wanted:
                assert time.monotonic() < deadline, f"partition {partition}: {len(wanted)} records are not read, from {min(wanted)} on"
                for message in consumer.consume(500, 0.5):
                    if message.error():
                        continue
                    expected = wanted.pop(message.offset(), None)
                    if expected is not None:
                        equal(message.value(), expected, f"partition {partition}, offset {message.offset()}")
    finally:
        consumer.close()


def round_of(cluster, load, victim, when, rng):
    directory = cluster.data(victim)
    if when == "killed":
        cluster.kill(victim)
    elif when == "stopped":
        cluster.stop(victim)
    done = []
    if when == "quire.db":
        cluster.kill(victim)
        path = directory / "quire.db"
        done.append(f"quire.db: {flip(path, 5)}" if rng.random() < 0.5 else f"quire.db: {keep(path, path.stat().st_size // 2)}")
    else:
        ways = list(DAMAGES)
        rng.shuffle(ways)
        for partition, (which, name, how) in zip(range(PARTITIONS), ways):
            what = hurt(directory / "topics" / f"{TOPIC}-{partition}", which, how, rng)
            done.append(f"{which}, {name}: {what}" if what else f"{which}, {name}: no such file")
        for shard in range(4):
            what = hurt(directory / "coordinator" / str(shard), *rng.choice([("active", page(0, 200)), ("active", page(2, 9)),
                                                                            ("log", frame(300))]), rng)
            if what:
                done.append(f"coordinator: {what}")
    for line in done:
        print(f"# node {victim}, {when}: {line}", flush=True)
    with check(f"node {victim}, {when}: what was acknowledged is read right while it is damaged"):
        if not cluster.alive(victim):
            cluster.start(victim)
        expect_right(cluster.bootstrap, load.acknowledged)
        load.some(600)
    with check(f"node {victim}, {when}: healed, page for page as the others"):
        compared, problems = replicas.check_identical(cluster, lambda _: None, is_damaged=True, seconds=200)
        equal(problems, [])
        assert compared > PARTITIONS
    with check(f"node {victim}, {when}: everything is read from each node's copy"):
        expect_right(cluster.bootstrap, load.acknowledged)
        found, healed = (sum(cluster.metric(name, metric) for name in NODES)
                         for metric in ("quire_damage_found_total", "quire_replica_heals_total"))
        print(f"# damage found {found:.0f}, heals {healed:.0f}, resyncs "
              f"{sum(cluster.metric(name, 'quire_replica_resyncs_total') for name in NODES):.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="tools/damage", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", default="running,killed,stopped,quire.db")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    directory = tempfile.mkdtemp(prefix="damage-", dir=os.environ.get("QUIRE_SCRATCH"))
    print(f"# seed {options.seed}, {directory}", flush=True)
    with Cluster(pathlib.Path(directory) / "cluster", settings=("quire.scrub.bytes.per.second=67108864", "quire.scrub.pause.ms=2000",
                                                                  "quire.checkpoint.bytes=262144"), loopback=True) as cluster:
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
        for future in admin.create_topics([NewTopic(TOPIC, PARTITIONS, 3, config={"segment.bytes": "200000", "min.insync.replicas": "2"})]).values():
            future.result(60)
        load = Load(cluster.bootstrap)
        load.some(8_000)
        with check("before: the nodes have the same"):
            equal(replicas.check_identical(cluster, lambda _: None, seconds=120)[1], [])
        for when in options.rounds.split(","):
            round_of(cluster, load, rng.choice(NODES), when, rng)
        wait_until(lambda: all(map(cluster.alive, NODES)), 5, "every node runs")
    finish()


main()
