"""The node under test: where it listens, what is in it, and how much memory it takes."""
import os
import re

from confluent_kafka import Producer

PLAYS = 1000
EVENTS = 100_000
# Rows of the large answers, a multiple of EVENTS: a million with a release build take some seconds, with a debug build minutes.
ROWS = int(os.environ.get("QUIRE_POSTGRES_ROWS", "200000"))


class Door:
    def __init__(self, node):
        self.node = node
        self.host, port = node.postgres.rsplit(":", 1)
        self.port = int(port)
        self.dsn = f"host={self.host} port={self.port} user=ada dbname=quire"

    def fill(self):
        """`song_plays`: JSON with keys; `orders.v1`: a name that wants quotes, and bytes; `events`: many."""
        producer = Producer({"bootstrap.servers": self.node.kafka, "linger.ms": 50, "queue.buffering.max.messages": 1_000_000})
        for index in range(PLAYS):
            producer.produce("song_plays", b'{"user":"u%d","seconds":%d}' % (index % 7, index), key=b"u%d" % (index % 7),
                             partition=index % 2, timestamp=1_700_000_000_000 + index * 1000, headers=[("n", b"%d" % index)])
        for value in (b"plain", b"", None, b"\xff\x00bytes", "ünï".encode()):
            producer.produce("orders.v1", value, partition=0, timestamp=1_700_000_000_000)
        for index in range(EVENTS):
            producer.produce("events", b'{"n":%d,"padding":"%s"}' % (index, b"x" * 60), partition=index % 4,
                             timestamp=1_700_000_000_000 + index)
            if index % 10_000 == 0:
                producer.poll(0)
        assert producer.flush(60) == 0, "records were not acknowledged"

    def memory(self):
        """Resident bytes of the node: now, and the most there ever were."""
        with open(f"/proc/{self.node.process.pid}/status") as status:
            text = status.read()
        return tuple(int(re.search(rf"{name}:\s+(\d+) kB", text)[1]) << 10 for name in ("VmRSS", "VmHWM"))

    def is_bounded(self, most=96 << 20):
        """A context in which the node's memory may not grow by more than `most` bytes."""
        return _Bounded(self, most)


class _Bounded:
    def __init__(self, door, most):
        self.door, self.most = door, most

    def __enter__(self):
        with open(f"/proc/{self.door.node.process.pid}/clear_refs", "w") as clear:
            clear.write("5")   # the highest mark begins anew
        self.before, _ = self.door.memory()

    def __exit__(self, kind, *_):
        if kind is None:
            _, peak = self.door.memory()
            assert peak - self.before <= self.most, f"memory grew by {(peak - self.before) >> 20} MiB"
