"""Hostile bytes and rough handling: the node lives, other clients are served, and every refusal is one clear line."""
import json
import os
import random
import resource
import socket
import sqlite3
import struct
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

import node
import store
from checks import check, equal, finish, wait_until
from confluent_kafka import Consumer, Producer, TopicPartition
from node import Node

MEMORY_GROWTH_MAX = 400 << 20


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(16384, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    with tempfile.TemporaryDirectory(prefix="quire-hostile-") as scratch:
        data = f"{scratch}/data"
        with check("the node stops cleanly"), Node(data) as broker:
            bytes_of_all_kinds(broker)
            http(broker)
            refusals(broker, scratch)
            files(broker)
    finish()


# ---- the Kafka port

def bytes_of_all_kinds(broker):
    good = GoodClient(broker.kafka)
    before = memory(broker)
    rng = random.Random(1)
    try:
        for name, attack in (("random bytes", random_bytes), ("oversized and negative lengths", lengths),
                             ("known requests with random bodies", random_bodies),
                             ("requests cut short", truncated), ("thousands of half-open connections", half_open),
                             ("slow drips", slow)):
            with check(f"hostile: {name}"):
                served = good.served
                attack(broker.kafka, rng)
                assert broker.alive(), f"the node ended:\n{broker.log_text()[-2000:]}"
                wait_until(lambda: good.served > served + 5, 10, "another client is served")
                assert not good.failures, good.failures[0]
        with check("hostile: memory stays bounded"):
            grown = memory(broker) - before
            assert grown < MEMORY_GROWTH_MAX, f"grown by {grown >> 20} MiB"
    finally:
        good.stop()


class GoodClient:
    """Produces and consumes a record again and again, beside the hostile ones."""

    def __init__(self, bootstrap):
        self.bootstrap, self.served, self.failures, self.halt = bootstrap, 0, [], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 0, "message.timeout.ms": 10_000})
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "good", "auto.offset.reset": "earliest"})
        consumer.assign([TopicPartition("good", 0, 0)])
        while not self.halt.is_set():
            producer.produce("good", b"value %d" % self.served, partition=0,
                             on_delivery=lambda error, _: self.failures.append(str(error)) if error else None)
            producer.flush(10)
            deadline = time.monotonic() + 10
            while (message := consumer.poll(0.5)) is None or message.error():
                if time.monotonic() > deadline:
                    self.failures.append("a record did not come back within 10 s")
                    return
            if message.value() != b"value %d" % self.served:
                self.failures.append(f"got {message.value()} as record {self.served}")
            self.served += 1
            time.sleep(0.01)
        consumer.close()

    def stop(self):
        self.halt.set()
        self.thread.join(20)


def connect(address, timeout=5):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout)


def offer(address, data, wait=0.05):
    """Sends bytes and takes what comes back, until the node closes or `wait` is over."""
    try:
        with connect(address) as stream:
            stream.sendall(data)
            stream.settimeout(wait)
            return stream.recv(65536)
    except OSError:
        return b""


def random_bytes(address, rng):
    for _ in range(300):
        offer(address, rng.randbytes(rng.randrange(1, 400)), 0.002)
    offer(address, rng.randbytes(1 << 20))
    offer(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    offer(address, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")


def lengths(address, rng):
    for length in (-1, -2**31, 2**31 - 1, 200 << 20, 0, 1, 3, 7):
        offer(address, struct.pack(">i", length) + b"\0" * 16)
    held = []
    for _ in range(50):   # fifty promises of 100 MiB, none kept
        stream = connect(address)
        stream.sendall(struct.pack(">i", 100 << 20) + header(0, 9) + b"\0" * 100)
        held.append(stream)
    time.sleep(0.5)
    for stream in held:
        stream.close()


def header(key, version, client=b"hostile"):
    return struct.pack(">hhih", key, version, 1, len(client)) + client


def random_bodies(address, rng):
    for _ in range(1500):
        key, version = rng.choice((0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23, 32, 33, 35, 37, 42, 44,
                                   47, 60, 75, rng.randrange(-5, 100))), rng.randrange(-1, 14)
        body = rng.randbytes(rng.randrange(200)) if rng.random() < 0.5 else b"\xff" * rng.randrange(60) + b"\x7f\xff\xff\xff" * 4
        frame = header(key, version) + body
        offer(address, struct.pack(">i", len(frame)) + frame, 0.002)


def truncated(address, rng):
    frame = header(3, 1) + struct.pack(">i", 1) + struct.pack(">h", 4) + b"good"
    whole = struct.pack(">i", len(frame)) + frame
    assert offer(address, whole, 5), "the whole request was not answered"
    for end in range(len(whole)):
        offer(address, whole[:end], 0.001)
    for end in range(4, len(frame)):   # a right length around a request that is cut short
        offer(address, struct.pack(">i", end) + frame[:end], 0.001)


def half_open(address, rng):
    held = []
    try:
        for _ in range(3000):
            held.append(connect(address))
            if rng.random() < 0.5:
                held[-1].sendall(b"\0\0")
    finally:
        time.sleep(0.5)
        for stream in held:
            stream.close()


def slow(address, rng):
    frame = header(18, 0)
    whole = struct.pack(">i", len(frame)) + frame
    streams = [connect(address) for _ in range(100)]
    for position in range(len(whole)):
        for stream in streams:
            stream.sendall(whole[position:position + 1])
        time.sleep(0.01)
    for stream in streams:
        stream.settimeout(10)
        assert len(stream.recv(4096)) > 20, "a request that came a byte at a time was not answered"
        stream.close()


def memory(broker):
    with open(f"/proc/{broker.process.pid}/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS"))


# ---- the HTTP port

def http(broker):
    def get(path):
        return urllib.request.urlopen(f"http://{broker.http}{path}", timeout=10)

    with check("http: health, readiness and metrics"):
        equal(get("/health").status, 200, "/health")
        equal(get("/ready").status, 200, "/ready")
        metrics = get("/metrics").read().decode()
        assert "# TYPE" in metrics and metrics.count("quire_") > 10, metrics[:300]
    with check("http: another host's name or a web page's origin is refused"):
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            try:
                request = urllib.request.Request(f"http://{broker.http}/metrics", headers=headers)
                status = urllib.request.urlopen(request, timeout=10).status
            except urllib.error.HTTPError as error:
                status = error.code
            assert 400 <= status < 500, f"{headers}: {status}"


# ---- refusing to start

def refusals(broker, scratch):
    def refused(name, *arguments, status=1, says=""):
        with check(f"one clear line: {name}"):
            done = subprocess.run([node.binary(), *arguments], capture_output=True, text=True, timeout=30)
            equal(done.returncode, status, f"exit (it said: {done.stderr.strip()[:300]})")
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            assert lines and len(lines) == 1, f"{len(lines)} lines: {lines[:5]}"
            assert says in done.stderr, done.stderr
            equal(done.stdout, "", "stdout")

    free = ("--http", "127.0.0.1:0")
    refused("a second node on the data directory", "serve", "--data-dir", broker.data, "--listen", "127.0.0.1:0", *free,
            says=broker.data)
    refused("a taken port", "serve", "--data-dir", f"{scratch}/other", "--listen", broker.kafka, *free, says=broker.kafka.split(":")[1])
    refused("a bad address", "serve", "--data-dir", f"{scratch}/other", "--listen", "nonsense", *free, status=2)
    refused("an unknown option", "serve", "--no-such-option", status=2)
    refused("an unknown configuration key", "serve", "--data-dir", f"{scratch}/other", "--set", "no.such.key=1", status=2)
    refused("a data directory that cannot be made", "serve", "--data-dir", "/proc/nowhere", "--listen", "127.0.0.1:0", *free)
    refused("a node that is not there", "topic", "list", "--bootstrap", "127.0.0.1:1") if supports_bootstrap() else None
    with check("one clear line: a database from a newer version"):
        newer = f"{scratch}/newer"
        with Node(newer):
            pass
        database = sqlite3.connect(f"{newer}/quire.db")
        database.execute("PRAGMA user_version = 9999")
        database.close()
        done = subprocess.run([node.binary(), "serve", "--data-dir", newer, "--listen", "127.0.0.1:0", *free],
                              capture_output=True, text=True, timeout=30)
        equal(done.returncode, 1, "exit")
        assert "newer" in done.stderr, done.stderr


def supports_bootstrap():
    return "--bootstrap" in node.run("topic", "list", "--help").stdout


# ---- the files

def files(broker):
    producer = Producer({"bootstrap.servers": broker.kafka, "batch.num.messages": 10})
    for number in range(5000):
        producer.produce("files", b"value %d" % number, b"key", 0)
    producer.flush(20)
    with check("files: a segment opens in the stock sqlite3, with its index used"), tempfile.TemporaryDirectory() as scratch:
        copy = store.copy_database(store.segments(broker.data, "files", 0)[0], scratch)

        def ask(sql):
            done = subprocess.run(["sqlite3", copy, sql], capture_output=True, text=True, timeout=20)
            equal(done.stderr, "", "stderr")
            return done.stdout

        equal(ask("PRAGMA integrity_check").strip(), "ok", "integrity_check")
        equal(ask("SELECT sum(record_count) FROM record_batch").strip(), "5000", "records")
        assert int(ask("PRAGMA application_id")) != 0 and int(ask("PRAGMA user_version")) >= 1
        assert "INTEGER PRIMARY KEY (rowid" in ask(
            "EXPLAIN QUERY PLAN SELECT data FROM record_batch WHERE base_offset <= 77 ORDER BY base_offset DESC LIMIT 1")
        assert "record_batch_time" in ask("EXPLAIN QUERY PLAN SELECT base_offset FROM record_batch "
                                          "WHERE running_max_timestamp >= 5 ORDER BY running_max_timestamp LIMIT 1")
    with check("files: the data directory is the owner's alone"):
        equal(oct(os.stat(broker.data).st_mode & 0o777), "0o700", "mode")
    with check("files: offline reading beside the running node"):
        done = node.run("query", "SELECT count(*) AS n FROM files", "--data-dir", broker.data, "--format", "jsonl")
        equal(done.returncode, 0, f"exit ({done.stderr.strip()[:300]})")
        assert 0 <= json.loads(done.stdout)["n"] <= 5000, done.stdout


if __name__ == "__main__":
    main()
