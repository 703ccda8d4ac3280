"""A node that is told to stop, that is killed, that has more partitions than it may have files open, or that cannot start."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import threading
import time

import node
import store
from checks import check, equal, wait_until
from confluent_kafka import Consumer, Producer, TopicPartition
from crash import none, whole
from faults_disk import create, started
from load import Load
from node import Node

PARTITIONS = 1000
DATABASES_MAX = 256
# Readers in use may pass the bound by their own number (read threads and SQL statements); quire.db and the groups' are not in it.
DATABASES_ASIDE = 4 + 4 + 5
NOBODY = 65534


# ---- refusing to start: what only a user without rights meets

def refusals(scratch):
    os.chmod(scratch, 0o755)
    program = shutil.copy(node.binary(), f"{scratch}/quire")
    existing = f"{scratch}/existing"
    with check("one clear line: preparing a data directory"), Node(existing):
        pass
    os.makedirs(f"{scratch}/parent")
    if os.geteuid() == 0:
        for directory, _, files in os.walk(existing):
            for path in (directory, *(os.path.join(directory, name) for name in files)):
                os.chown(path, NOBODY, NOBODY)
        os.chown(f"{scratch}/parent", NOBODY, NOBODY)
    os.chmod(existing, 0o500)
    os.chmod(f"{scratch}/parent", 0o500)

    def become_nobody():
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)

    for name, data, word in (("a read-only data directory", existing, existing),
                             ("a data directory in a read-only one", f"{scratch}/parent/data", f"{scratch}/parent/data")):
        with check(f"one clear line: {name}"):
            done = subprocess.run([program, "serve", "--data-dir", data, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"],
                                  capture_output=True, text=True, timeout=30, preexec_fn=become_nobody, cwd="/")
            equal(done.returncode, 1, f"exit (it said: {done.stderr.strip()[:300]})")
            lines = done.stderr.strip().splitlines()
            assert len(lines) == 1 and word in lines[0], lines[:5]
            equal(done.stdout, "", "stdout")


# ---- a thousand partitions

def many_partitions(scratch):
    broker = Node(f"{scratch}/data", "--set", f"quire.open.databases={DATABASES_MAX}", log=f"{scratch}/node.log")
    sent = {}
    try:
        with check(f"{PARTITIONS} partitions: created, and records taken by all of them"):
            started(broker)
            create("many", partitions=PARTITIONS)
            with OpenDatabases(broker) as opened:
                produce(broker, sent, 3)
        with check(f"{PARTITIONS} partitions: records read from all of them"), opened:
            expect(broker, sent)
        with check(f"{PARTITIONS} partitions: at most {DATABASES_MAX} databases were open"):
            print(f"# {opened.most} databases at most, in {opened.looks} looks", flush=True)
            assert opened.looks > 20 and 8 < opened.most <= DATABASES_MAX + DATABASES_ASIDE, f"{opened.most} databases"
        with check(f"{PARTITIONS} partitions: everything is there after kill -9 with WALs in use, and the start is quick"):
            produce(broker, sent, 2, size=2000)
            broker.kill()
            walls = sum(1 for path in pathlib.Path(broker.data).rglob("*.db-wal") if path.stat().st_size)
            assert walls > 50, f"only {walls} databases have a WAL"
            started(broker)
            print(f"# ready {broker.startup_seconds:.2f} s after kill -9 with {walls} WALs", flush=True)
            assert broker.startup_seconds < 10, f"ready after {broker.startup_seconds:.1f} s"
            expect(broker, sent)
        with check(f"{PARTITIONS} partitions: a clean stop leaves no WAL, and the next start is quick"):
            _, seconds = clean_stop(broker)
            started(broker)
            print(f"# stopped in {seconds:.2f} s, ready after {broker.startup_seconds:.2f} s", flush=True)
            assert broker.startup_seconds < 5, f"ready after {broker.startup_seconds:.1f} s"
            expect(broker, sent)
            equal(broker.stop(), 0, "exit status")
    finally:
        broker.kill()


def produce(broker, sent, count, size=20):
    """`count` records to each partition, all acknowledged."""
    producer = Producer({"bootstrap.servers": broker.kafka, "acks": "all", "linger.ms": 20, "log_level": 0,
                         "message.timeout.ms": 60_000})
    failures = []
    for _ in range(count):
        for partition in range(PARTITIONS):
            value = b"%d %d " % (partition, len(sent.setdefault(partition, []))) + b"." * size
            sent[partition].append(value)
            producer.produce("many", value, partition=partition,
                             on_delivery=lambda error, _: failures.append(str(error)) if error else None)
        producer.poll(0)
    assert producer.flush(120) == 0 and not failures, failures[:3] or "not everything was acknowledged"


def expect(broker, sent):
    consumer = Consumer({"bootstrap.servers": broker.kafka, "group.id": "many", "enable.auto.commit": False, "log_level": 0,
                         "auto.offset.reset": "error", "fetch.wait.max.ms": 20})
    consumer.assign([TopicPartition("many", partition, 0) for partition in range(PARTITIONS)])
    got, count, deadline = {}, sum(map(len, sent.values())), time.monotonic() + 60
    while sum(map(len, got.values())) < count and time.monotonic() < deadline:
        for message in consumer.consume(5000, 0.2):
            assert not message.error(), message.error()
            equal(message.offset(), len(got.setdefault(message.partition(), [])), f"offset in partition {message.partition()}")
            got[message.partition()].append(message.value())
    consumer.close()
    for partition, values in sent.items():
        equal(got.get(partition), values, f"partition {partition}")


class OpenDatabases:
    """Counts a node's open database files (their WALs and shared memory come on top) again and again during a `with`."""

    def __init__(self, broker):
        self.directory, self.most, self.looks = f"/proc/{broker.process.pid}/fd", 0, 0

    def look(self):
        open_now = 0
        for name in os.listdir(self.directory):
            with contextlib.suppress(FileNotFoundError):
                open_now += os.readlink(f"{self.directory}/{name}").endswith(".db")
        self.most, self.looks = max(self.most, open_now), self.looks + 1

    def __enter__(self):
        self.halt = threading.Event()
        self.thread = threading.Thread(target=lambda: [self.look() for _ in iter(lambda: self.halt.wait(0.01), True)], daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.halt.set()
        self.thread.join()


# ---- SIGTERM under load

def term_under_load(scratch):
    broker = Node(f"{scratch}/data", log=f"{scratch}/node.log")
    load = None
    try:
        with check("SIGTERM under load: exit 0 in bounded time, no WAL is left"):
            started(broker)
            load = Load(broker.kafka, 1, producers=4, churn=False).start()
            wait_until(lambda: len(load.acknowledged) > 5000, 30, "5000 records are acknowledged")
            begun, (_, seconds) = len(load.acknowledged), clean_stop(broker)
            print(f"# stopped in {seconds:.2f} s; {len(load.acknowledged) - begun} records were acknowledged meanwhile", flush=True)
            assert seconds < 12, f"it took {seconds:.1f} s"
        with check("SIGTERM under load: the next start is quick and everything acknowledged is there"):
            load.give_up()
            whole(broker.data)
            started(broker)
            assert broker.startup_seconds < 2, f"ready after {broker.startup_seconds:.1f} s"
            assert "did not end in order" not in broker.log_text(), "the stop was taken for a crash"
            none(load.failures + load.verify(broker.kafka))
            print(f"# {load.summary()}; ready after {broker.startup_seconds:.2f} s", flush=True)
        with check("SIGTERM under load: producers that live through a restart get everything in, once and in order"):
            broker.listen = broker.kafka
            second = Load(broker.kafka, 2, prefix="second", producers=4, churn=False).start()
            for _ in range(3):
                before = len(second.acknowledged)
                wait_until(lambda: len(second.acknowledged) > before + 2000, 30, "records are acknowledged")
                clean_stop(broker)
                started(broker)
            second.stop()
            none(second.failures + second.verify(broker.kafka) + load.verify(broker.kafka))
            print(f"# {second.summary()}", flush=True)
            equal(broker.stop(), 0, "exit status")
        with check("every segment opens in the stock sqlite3, and look-ups by offset and by time use its indexes"):
            print(f"# {stock_sqlite(broker.data)} segments", flush=True)
    finally:
        broker.kill()
        if load and not load.halt.is_set():
            load.give_up()


def clean_stop(broker):
    """Returns the exit status, which is 0, and the seconds it took."""
    begun = time.monotonic()
    status = broker.stop()
    seconds = time.monotonic() - begun
    equal(status, 0, "exit status")
    left = [str(path) for path in pathlib.Path(broker.data).rglob("*-wal")]
    assert not left, f"{len(left)} WALs are left, for example {left[0]}"
    return status, seconds


LOOK_UPS = (   # as anybody would ask them
    ("SELECT data FROM record_batch WHERE base_offset <= 77 ORDER BY base_offset DESC LIMIT 1", "INTEGER PRIMARY KEY (rowid<?)"),
    ("SELECT data FROM record_batch WHERE base_offset = 77", "INTEGER PRIMARY KEY (rowid=?)"),
    ("SELECT base_offset FROM record_batch WHERE running_max_timestamp >= 5 ORDER BY running_max_timestamp LIMIT 1",
     "COVERING INDEX record_batch_time (running_max_timestamp>?)"),
    ("SELECT data FROM record_batch WHERE running_max_timestamp >= 5 AND min_timestamp < 9 AND max_timestamp >= 5 "
     "ORDER BY running_max_timestamp, base_offset", "INDEX record_batch_time (running_max_timestamp>?)"))


def stock_sqlite(data):
    """Asks every segment; they are read where they are, as no node has them."""
    count, records = 0, 0
    for path in sorted(pathlib.Path(data, "topics").rglob("*.db")):
        sql = "PRAGMA integrity_check; PRAGMA application_id; SELECT ifnull(sum(record_count), 0) FROM record_batch;"
        answer = ask(path, sql).splitlines()
        equal(answer[0], "ok", f"integrity_check of {path}")
        assert int(answer[1]) != 0, f"{path} has no application id"
        records += int(answer[2])
        for look_up, plan in LOOK_UPS:
            said = ask(path, f"EXPLAIN QUERY PLAN {look_up}")
            assert plan in said and "SCAN" not in said and "TEMP B-TREE" not in said, f"{path}: {look_up}:\n{said}"
        count += 1
    assert count > 20 and records > 5000, f"{count} segments with {records} records"
    return count


def ask(path, sql):
    done = subprocess.run(["sqlite3", f"file:{path}?immutable=1", sql], capture_output=True, text=True, timeout=60)
    equal((done.returncode, done.stderr), (0, ""), f"sqlite3 {path}")
    return done.stdout
