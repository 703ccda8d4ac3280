"""A disk that is full, and a disk that fails to sync."""
import contextlib
import os
import pathlib
import subprocess
import time
import urllib.request

import node
from checks import check, equal, wait_until
from crash import none, whole
from node import Node
from stream import Background, Stream, timed

REFUSED = {"KAFKA_STORAGE_ERROR"}
NEVER = "3600000"


def create(name, *configuration, partitions=1):
    done = node.run("topic", "create", name, "--partitions", str(partitions),
                    *(word for pair in configuration for word in ("--topic-config", pair)))
    assert done.returncode == 0, done.stderr


def started(broker):
    broker.start()
    os.environ.update(QUIRE_BOOTSTRAP=broker.kafka, QUIRE_SERVER=f"http://{broker.http}")
    return broker


# ---- a full disk

class SmallDisk:
    """A directory with little room: a file system of its own where one may be mounted, else one that the recorder pretends."""

    def __init__(self, scratch, size):
        self.path, self.size, self.env = f"{scratch}/disk", size, {}
        os.mkdir(self.path)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "quire-faults", self.path], capture_output=True)
        self.is_mounted = done.returncode == 0
        if not self.is_mounted or os.environ.get("FAULTS_PRETEND"):
            self.unmount()
            with open(f"{scratch}/fault", "w") as fault:
                fault.write(f"room {size}")
            self.env = {"LD_PRELOAD": os.environ["POWERLOSS_RECORDER"], "POWERLOSS_DIR": self.path,
                        "POWERLOSS_LOG": "/dev/null", "POWERLOSS_FAULT": f"{scratch}/fault"}
        print(f"# the small disk is {'a tmpfs' if self.is_mounted else 'pretended by the recorder'}", flush=True)

    def unmount(self):
        if self.is_mounted:
            subprocess.run(["umount", "--lazy", self.path], check=True)
        self.is_mounted = False

    def free(self):
        if self.is_mounted:
            status = os.statvfs(self.path)
            return status.f_bavail * status.f_frsize
        return max(0, self.size - sum(path.stat().st_blocks * 512 for path in pathlib.Path(self.path).rglob("*") if path.is_file()))

    def take(self, count):
        """Takes so much room, as another program would."""
        with open(f"{self.path}/ballast", "ab", buffering=0) as ballast:
            ballast.write(b"x" * count)

    def fill(self):
        """Takes what room is left, as another program would."""
        with open(f"{self.path}/ballast", "ab", buffering=0) as ballast, contextlib.suppress(OSError):
            while self.free():
                ballast.write(b"x" * min(self.free(), 1 << 16))

    def empty(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.path}/ballast")


def full_disk(scratch):
    disk = SmallDisk(scratch, 32 << 20)
    disk.take(8 << 20)  # more than a node keeps back, so that emptying the disk later is of use to it
    broker = Node(f"{disk.path}/data", env=disk.env, log=f"{scratch}/node.log")
    kept, spare, brief = Stream("kept"), Stream("spare"), Stream("brief")
    try:
        with check("full disk: produce is refused, and everything acknowledged is there"):
            retention(broker, NEVER)
            started(broker)
            create("kept", "segment.bytes=2000000")
            create("spare", "segment.bytes=200000", "retention.bytes=600000")
            spare.connect(broker.kafka).send_all(8000)
            until_full(kept.connect(broker.kafka))
            for stream in (kept, spare):
                _, seconds = timed(lambda: until_full(stream, disk))
                assert seconds < 10, f"it took {seconds:.0f} s to be refused"
            none(kept.problems(broker.kafka) + spare.problems(broker.kafka))
        with check("full disk: SQL and export still read"):
            read_by_sql(kept, scratch)
        with check("full disk: SIGTERM ends in exit 0, and the node starts on the full disk and serves what it has"):
            equal(broker.stop(), 0, "exit status")
            disk.fill()
            started(broker)
            none(kept.problems(broker.kafka) + spare.problems(broker.kafka))
            equal(set(kept.connect(broker.kafka).send(20)), REFUSED, "errors")
        with check("full disk: after kill -9 the node starts as well, twice"):
            for _ in range(2):
                broker.kill()
                started(broker)
                none(kept.problems(broker.kafka) + spare.problems(broker.kafka))
                kept.connect(broker.kafka)
                assert set(kept.send(20)) <= REFUSED   # folding WALs may have made room
        with check("full disk: retention by size frees room after a start, and the node serves again"):
            broker.kill()
            retention(broker, "200")
            started(broker)
            serves_again(broker, kept)
            none(kept.problems(broker.kafka) + spare.problems(broker.kafka, begins_at_0=False))
            assert spare.problems(broker.kafka), "retention has let nothing go"
        with check("full disk: retention by time frees room in a running node, and it serves again"):
            disk.empty()
            create("brief", "segment.bytes=200000", "retention.ms=6000")
            spare.connect(broker.kafka).send_all(50)
            brief.connect(broker.kafka).send_all(6000)
            disk.fill()
            until_full(kept)
            wait_until(lambda: brief.problems(broker.kafka), 20, "records expire")
            serves_again(broker, kept)
            none(kept.problems(broker.kafka) + brief.problems(broker.kafka, begins_at_0=False))
        with check("full disk: the node serves when somebody else makes room"):
            until_full(kept)
            disk.empty()
            serves_again(broker, kept)
        with check("full disk: the data directory is whole, and everything is there after a clean stop"):
            equal(broker.stop(), 0, "exit status")
            whole(broker.data)
            started(broker)
            none(kept.problems(broker.kafka) + spare.problems(broker.kafka, begins_at_0=False))
            print(f"# {len(kept.acknowledged) + len(spare.acknowledged) + len(brief.acknowledged)} records acknowledged", flush=True)
    finally:
        broker.kill()
        disk.unmount()


def retention(broker, interval):
    broker.options = ("--set", f"log.retention.check.interval.ms={interval}")


def until_full(stream, disk=None):
    """Sends until the node has no room; with `disk`, the ballast takes what a WAL that was folded has freed."""
    for _ in range(400):
        if disk:
            disk.fill()
        refused = stream.send(100)
        if refused:
            return equal(set(refused), REFUSED, "errors")
    raise AssertionError(f"{stream.sent} records, and the disk is not full")


def serves_again(broker, stream):
    stream.connect(broker.kafka)
    wait_until(lambda: not stream.send(20), 20, "records are taken again")


def read_by_sql(stream, scratch):
    done = node.run("query", f"SELECT count(*) AS n FROM {stream.topic}", "--format", "csv")
    equal(done.returncode, 0, f"exit ({done.stderr.strip()[:300]})")
    assert int(done.stdout.split()[-1]) >= len(stream.acknowledged), done.stdout
    done = node.run("export", stream.topic, "--format", "jsonl", "--output", f"{scratch}/export.jsonl")
    equal(done.returncode, 0, f"exit ({done.stderr.strip()[:300]})")


# ---- a disk that fails to sync

def failed_sync(scratch):
    data, fault = f"{scratch}/data", f"{scratch}/fault"
    os.mkdir(data, 0o700)
    environment = {"LD_PRELOAD": os.environ["POWERLOSS_RECORDER"], "POWERLOSS_DIR": data, "POWERLOSS_LOG": "/dev/null",
                   "POWERLOSS_FAULT": fault}
    broker = Node(data, env=environment, log=f"{scratch}/node.log")
    bad, good, stubborn = Stream("bad"), Stream("good"), Stream("stubborn")
    streams = (bad, good, stubborn)

    def fail(word):
        with open(f"{fault}.new", "w") as file:
            file.write(f"sync {word}")
        os.rename(f"{fault}.new", fault)

    def fenced():
        with urllib.request.urlopen(f"http://{broker.http}/metrics", timeout=10) as reply:
            lines = reply.read().decode().splitlines()
        return sum(float(line.split()[1]) for line in lines if line.split()[0] == "quire_fenced_partitions") > 0

    try:
        started(broker)
        for stream in streams:
            create(stream.topic)
            stream.connect(broker.kafka).send_all(500)
        # One that sends again what was refused, as clients do: it must get everything in, once and in order.
        stubborn.connect(broker.kafka, **{"enable.idempotence": True, "retries": 1000, "retry.backoff.ms": 50})
        with check("failed sync: the partition refuses, the others serve"):
            fail("/bad-0/")
            for _ in range(3):
                equal(set(bad.send(20)), REFUSED, "errors")
            good.send_all(500)
            none(good.problems(broker.kafka))
            assert fenced(), "no metric says so"
        with check("failed sync: the partition is rebuilt when the disk is well, and serves again"):
            os.unlink(fault)
            wait_until(lambda: not bad.send(20), 20, "records are taken again")
            bad.send_all(300)
            none(bad.problems(broker.kafka))
            wait_until(lambda: not fenced(), 10, "the fence is lifted")
        with check("failed sync: an idempotent producer under load gets everything in, once and in order"):
            with Background(lambda: good.send_all(50)), Background(lambda: stubborn.send_all(50)):
                for _ in range(2):
                    before = len(good.acknowledged)
                    fail("/stubborn-0/")
                    wait_until(fenced, 10, "the partition is fenced")
                    wait_until(lambda: len(good.acknowledged) > before + 100, 10, "the other partition is served")
                    os.unlink(fault)
                    wait_until(lambda: not fenced(), 20, "the fence is lifted")
            equal(len(stubborn.acknowledged), stubborn.sent, "acknowledged records")
            none(stubborn.problems(broker.kafka) + good.problems(broker.kafka))
        with check("failed sync: a node that ends while a partition is fenced takes only what was durable"):
            fail("/bad-0/")
            equal(set(bad.send(20)), REFUSED, "errors")
            broker.kill()
            os.unlink(fault)
            started(broker)
            none(problem for stream in streams for problem in stream.problems(broker.kafka))
            bad.connect(broker.kafka).send_all(100)
        with check("failed sync: the data directory is whole, and everything is there after a clean stop"):
            equal(broker.stop(), 0, "exit status")
            whole(data)
            started(broker)
            none(problem for stream in streams for problem in stream.problems(broker.kafka))
            equal(broker.stop(), 0, "exit status")
    finally:
        broker.kill()
