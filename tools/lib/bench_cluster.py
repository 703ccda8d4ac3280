"""Three nodes and etcd on this machine, against one node on this machine: what replication costs, and how long a change takes.

All of it runs on loopback addresses, and clients, nodes and etcd share the processors.
"""
import glob
import os
import statistics
import subprocess
import threading
import time

from checks import wait_until
from cluster import Cluster
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from node import Node

NODES = 3
SETTINGS = ("min.insync.replicas=2",)
TICKS = os.sysconf("SC_CLK_TCK")


def cluster(scratch, repeat, scale, bench, parts=()):
    """`parts`: names of PARTS, all of them where there are none."""
    for name in parts or PARTS:
        PARTS[name](scratch, repeat, scale, bench)


class Running:
    """A cluster in a fresh directory."""

    def __init__(self, scratch, bench, *settings):
        self.fresh, self.settings = bench.Fresh(scratch), settings

    def __enter__(self):
        self.cluster = Cluster(self.fresh.__enter__(), NODES, loopback=True, settings=[*SETTINGS, *self.settings])
        try:
            return self.cluster.up()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self.cluster.destroy()
        self.fresh.__exit__()


def create(running, topic, partitions, **configuration):
    """Returns when every replica of it is in sync, and every partition has taken a record."""
    admin = AdminClient({"bootstrap.servers": running.bootstrap})
    (future,) = admin.create_topics([NewTopic(topic, partitions, NODES, config=configuration)], operation_timeout=60).values()
    future.result(300)
    wait_whole(running, topic, 300)
    producer, failures = Producer({"bootstrap.servers": running.bootstrap, "acks": "all", "log_level": 0}), []
    for partition in range(partitions):
        producer.produce(topic, b"first", partition=partition, on_delivery=lambda error, _: error and failures.append(error))
    left = producer.flush(300)
    assert not left and not failures, f"{left} records of {topic} have no answer, {len(failures)} failed: {failures[:3]}"


def isrs(running, topic):
    admin = AdminClient({"bootstrap.servers": running.bootstrap})
    try:
        known = admin.list_topics(topic, timeout=10).topics[topic].partitions
    except (KafkaException, KeyError):
        return {}
    return {index: partition.isrs if partition.leader >= 0 else [] for index, partition in known.items()}


def wait_whole(running, topic, seconds):
    wait_until(lambda: (found := isrs(running, topic)) and all(len(isr) == NODES for isr in found.values()), seconds,
               f"every replica of {topic} is in sync: {isrs(running, topic)}")


def leader(running, topic, partition=0):
    return AdminClient({"bootstrap.servers": running.bootstrap}).list_topics(topic, timeout=10).topics[topic].partitions[partition].leader


def sum_of(running, metric):
    return sum(running.metric(name, metric) for name in running.nodes if running.alive(name))


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def used(running):
    """Processor seconds of the nodes, and of etcd."""
    return (sum(processor_seconds(running.processes[name].pid) for name in running.nodes),
            processor_seconds(running.processes["etcd"].pid))


# ---- throughput

def throughput(scratch, repeat, scale, bench):
    for record_bytes, count in ((100, int(4_000_000 * scale)), (1024, int(600_000 * scale))):
        bound = {}

        def one():
            with bench.Fresh(scratch) as data, Node(data) as broker:
                bench.create(broker, "bench", 12)
                before, started = processor_seconds(broker.process.pid), time.monotonic()
                result = produce(broker.kafka)
                bound["one"] = (processor_seconds(broker.process.pid) - before, time.monotonic() - started)
                return result

        def three():
            with Running(scratch, bench) as running:
                create(running, "bench", 12)
                before, started = used(running), time.monotonic()
                result = produce(running.bootstrap)
                after = used(running)
                bound["three"] = (after[0] - before[0], time.monotonic() - started)
                return result

        def produce(bootstrap):
            return bench.tool("client", bootstrap, "produce", "bench", 12, record_bytes, count, *bench.TUNED)

        results = bench.alternate(repeat, one=one, three=three)
        alone, replicated = (bench.median(results[name], "records_per_second") for name in ("one", "three"))
        busy = {name: seconds / elapsed for name, (seconds, elapsed) in bound.items()}
        bench.row(f"produce, acks=all, 3 replicas, {record_bytes}-byte records, tuned client, 12 partitions",
                  f"{replicated / 1e3:.0f} k/s ({bench.megabytes(replicated * record_bytes)})",
                  f"1 replica {alone / 1e3:.0f} k/s", replicated / alone, ">= 0.45", replicated / alone >= 0.45)
        bench.row(f"processors busy meanwhile, {record_bytes}-byte records", f"three nodes {busy['three']:.2f} of {os.cpu_count()}",
                  f"one node {busy['one']:.2f}")


# ---- what travels

def shipped(scratch, repeat, scale, bench):
    def batches(running):
        bench.tool("client", running.bootstrap, "produce", "bench", 1, 1024, int(300_000 * scale), "batch.size=16384",
                   "batch.num.messages=15", "linger.ms=5", "queue.buffering.max.messages=1000000",
                   "queue.buffering.max.kbytes=2000000")

    def single(running):
        host, port = running.address(leader(running, "bench")).split(":")
        bench.tool("latency", host, port, "bench", 1, 100, 200, max(5, int(20 * scale)))

    for name, goal, work, bound in (
            ("16-KiB batches, as many as there are", "<= 1.3 at 12 or more a commit", batches, 1.3),
            ("single records of 100 bytes at 200/s", "< 10", single, 10)):
        with Running(scratch, bench) as running:
            create(running, "bench", 1)
            before = counters(running)
            work(running)
            wait_quiet(running)
            grown = {key: value - before[key] for key, value in counters(running).items()}
        taken, commits = grown["quire_appended_bytes_total"], max(grown["quire_group_commits_total"], 1)
        ratio = grown["quire_replica_page_set_bytes_total"] / (NODES - 1) / taken
        per_commit = grown["quire_appended_batches_total"] / commits
        bench.row(f"shipped to each follower per byte taken in, {name}",
                  f"{ratio:.2f}", f"{per_commit:.1f} batches, {taken / commits / 1024:.1f} KiB a commit", ratio, goal,
                  (ratio <= bound) if work is single or per_commit >= 12 else None)


def counters(running):
    """Of the appended ones those of the leader, for nobody else appends to the topic."""
    return {name: sum_of(running, name) for name in
            ("quire_appended_bytes_total", "quire_appended_batches_total", "quire_group_commits_total",
             "quire_replica_page_set_bytes_total")}


def wait_quiet(running):
    before = None
    for _ in range(60):
        now = sum_of(running, "quire_replica_page_set_bytes_total")
        if now == before:
            return
        before = now
        time.sleep(0.5)


def latency(scratch, repeat, scale, bench):
    seconds = max(2, int(15 * scale))

    def measure(address, rate):
        host, port = address.split(":")
        bench.tool("latency", host, port, "bench", 1, 100, rate, 1)
        return bench.tool("latency", host, port, "bench", 1, 100, rate, seconds)

    for rate in (200, 2000):
        def one():
            with bench.Fresh(scratch) as data, Node(data) as broker:
                bench.create(broker, "bench", 1)
                return measure(broker.kafka, rate)

        def three():
            with Running(scratch, bench) as running:
                create(running, "bench", 1)
                return measure(running.address(leader(running, "bench")), rate)

        results = bench.alternate(repeat, one=one, three=three)
        figures = {name: [bench.median(results[name], key) for key in ("p50_us", "p99_us", "p999_us")] for name in results}
        ours, theirs = (" / ".join(f"{value:.0f}" for value in figures[name]) for name in ("three", "one"))
        bench.row(f"single produces at {rate}/s, p50 / p99 / p99.9, 3 replicas", f"{ours} us", f"1 replica {theirs} us",
                  figures["three"][1] / figures["one"][1])


# ---- changes of leaders

class Clock:
    """Sends to partition 0 all the time with a client's default settings; knows when each acknowledgement came."""

    def __init__(self, bootstrap, topic):
        self.times, self.failures, self.halt, self.topic = [], [], threading.Event(), topic
        self.producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 0, "log_level": 0})
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        def delivered(error, message):
            (self.failures if error else self.times).append(error or (time.monotonic(), message.latency()))
        while not self.halt.is_set():
            self.producer.produce(self.topic, bytes(100), partition=0, on_delivery=delivered)
            self.producer.poll(0.005)
        self.producer.flush(60)

    def stop(self):
        self.halt.set()
        self.thread.join(90)

    def first_after(self, moment, seconds=60):
        """Of records sent after it: an acknowledgement that was under way does not count. Infinite: none for so long."""
        while time.monotonic() < moment + seconds:
            first = next((at for at, taken in list(self.times) if at - (taken or 0) > moment), None)
            if first:
                return first - moment
            time.sleep(0.01)
        return float("inf")

    def longest_gap(self, since):
        times = [since, *(at for at, _ in self.times if at > since)]
        return max((b - a for a, b in zip(times, times[1:])), default=float("inf"))

    def acknowledges(self):
        wait_until(lambda: len(self.times) > 100, 60, "records are acknowledged")


def changes(scratch, repeat, scale, bench):
    killed, planned, failures = [], [], []
    with Running(scratch, bench) as running:
        create(running, "bench", 12)
        for times, end in ((killed, "kill"), (planned, "stop")):
            for _ in range(max(3, repeat + 2)):
                clock = Clock(running.bootstrap, "bench")
                clock.acknowledges()
                victim, moment = leader(running, "bench"), time.monotonic()
                getattr(running, end)(victim)
                first = clock.first_after(moment)
                time.sleep(1)
                clock.stop()
                times.append(first if end == "kill" else clock.longest_gap(moment))
                failures += clock.failures
                running.start(victim)
                wait_whole(running, "bench", 120)
    for name, times, goal in (("from kill -9 of a leader to the next produce acknowledged to the same client", killed, 3),
                              ("longest time without an acknowledgement while a leader is stopped (SIGTERM)", planned, 1)):
        middle = statistics.median(times)
        bench.row(name, f"{middle:.2f} s ({min(times):.2f} to {max(times):.2f})", f"{len(failures)} produces failed", None,
                  f"< {goal} s", middle < goal and not failures)


# ---- catching up

def catch_up(scratch, repeat, scale, bench):
    total = int((1 << 30) * scale)
    with Running(scratch, bench, "quire.peer.catchup.bytes.per.second=0") as running:
        create(running, "bench", 4)
        away = next(name for name in running.nodes if name != leader(running, "bench"))
        running.stop(away)
        bench.tool("client", running.bootstrap, "produce", "bench", 4, 1024, total // 1024, *bench.TUNED)
        before, cpu = bench.tree_bytes(running.data(away)), used_by(running, {away})
        started = time.monotonic()
        running.start(away)
        wait_whole(running, "bench", 600)
        seconds = time.monotonic() - started
        copied, busy = bench.tree_bytes(running.data(away)) - before, used_by(running, set()) - cpu
        source = running.data(leader(running, "bench")) / "topics"
        plain = copy_rate(source, os.path.join(scratch, "plain"))
    bench.row(f"a follower {total / (1 << 30):.1f} GiB behind, from its start until it is in sync",
              f"{seconds:.1f} s ({bench.megabytes(copied / seconds)}), {busy / seconds:.2f} of {os.cpu_count()} processors",
              f"copying the files, synced {bench.megabytes(plain)}", copied / seconds / plain, ">= 0.7", copied / seconds / plain >= 0.7)


def used_by(running, without):
    return sum(processor_seconds(running.processes[name].pid) for name in running.nodes if name not in without)


def copy_rate(source, target):
    """What the same bytes take by `cp` and a sync, from the disk to the disk as the follower's do, twice, the better one."""
    rates = []
    for _ in range(2):
        for path in glob.glob(f"{source}/*/*"):
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        started = time.monotonic()
        subprocess.run(["cp", "-r", "--reflink=never", str(source), target], check=True)
        for path in glob.glob(f"{target}/*/*"):
            with open(path, "rb") as file:
                os.fdatasync(file.fileno())
        size = sum(os.path.getsize(path) for path in glob.glob(f"{target}/*/*"))
        rates.append(size / (time.monotonic() - started))
        subprocess.run(["rm", "-r", target], check=True)
    return max(rates)


# ---- doing nothing

def idle(scratch, repeat, scale, bench):
    partitions, seconds = int(1000 * scale), max(10, int(30 * scale))
    with Running(scratch, bench) as running:
        def look():
            time.sleep(5)
            before, etcd = used(running)
            time.sleep(seconds)
            after, etcd_after = used(running)
            resident = sum(resident_bytes(running.processes[name].pid) for name in running.nodes)
            return (after - before) / seconds, (etcd_after - etcd) / seconds, resident

        cpu, etcd, memory = look()
        create(running, "many", partitions)
        with_cpu, with_etcd, with_memory = look()
    bench.row(f"idle, per replicated partition of {partitions}, all three nodes",
              f"{(with_cpu - cpu) / partitions * 1e6:.0f} us of processor a second, {(with_memory - memory) / partitions / 1024:.0f} KiB",
              f"without partitions: {cpu * 100:.1f} % of a processor, {memory / 1e6:.0f} MB; etcd {etcd * 100:.1f} -> {with_etcd * 100:.1f} %")


def resident_bytes(pid):
    with open(f"/proc/{pid}/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


PARTS = {"throughput": throughput, "shipped": shipped, "latency": latency, "changes": changes, "catch-up": catch_up, "idle": idle}
