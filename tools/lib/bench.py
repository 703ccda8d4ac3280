"""The bench table: every figure beside what it is measured against, in one run, medians of alternating repeats."""
import argparse
import glob
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import bench_analysts
import bench_cluster
import bench_export
import bench_query
from node import Node, run

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
TOOLS = os.environ["QUIRE_BENCH_TOOLS"]
PAGE_BYTES, CHECKPOINT_BYTES = 8192, 4 << 20
TUNED = ("linger.ms=50", "batch.num.messages=100000", "batch.size=1000000", "queue.buffering.max.messages=1000000",
         "queue.buffering.max.kbytes=2000000")
# Records of 1 KiB that leave a WAL just below CHECKPOINT_BYTES, in the batches of TUNED.
WAL_RECORDS = 3700
rows = []


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the data, once: whether it runs, not how fast")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--directory", default=os.path.join(ROOT, ".build"))
    parser.add_argument("sections", nargs="*", default=[])
    options = parser.parse_args()
    if options.quick:
        options.repeat = 1
    scale = 0.1 if options.quick else 1
    this = sys.modules[__name__]
    sections = {"append": append, "throughput": throughput, "latency": latency,
                "query": lambda *arguments: bench_query.query(*arguments, this),
                "analysts": lambda *arguments: bench_analysts.analysts(*arguments, this),
                "start": start_up, "restart": restart, "memory": memory,
                "export": lambda *arguments: bench_export.export(*arguments, row),
                "cluster": lambda *arguments: bench_cluster.cluster(
                    *arguments, this, [name.partition("-")[2] for name in options.sections if name.startswith("cluster-")])}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as scratch:
        for name, section in sections.items():
            if not options.sections or any(wanted == name or wanted.startswith(f"{name}-") for wanted in options.sections):
                print(f"== {name}", file=sys.stderr, flush=True)
                section(scratch, options.repeat, scale)
    print_table()


# ---- running things

def tool(name, *arguments, seconds=600):
    """A C program of tools/bench-src, or quire-bench: the JSON it prints."""
    path = os.environ["QUIRE_BENCH"] if name == "quire-bench" else os.path.join(TOOLS, f"bench-{name}")
    done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, timeout=seconds)
    if done.returncode != 0:
        raise SystemExit(f"{name} {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def warm():
    subprocess.run([os.path.join(TOOLS, "bench-warm"), "3000"], check=True)


def alternate(repeat, **variants):
    """Runs each variant in turn, `repeat` times; returns their results by name."""
    results = {name: [] for name in variants}
    for _ in range(repeat):
        for name, variant in variants.items():
            results[name].append(variant())
            print(f"   {name}: {results[name][-1]}", file=sys.stderr, flush=True)
    return results


def median(results, key):
    return statistics.median(result[key] for result in results)


class Fresh:
    """A new directory that is gone afterwards."""

    def __init__(self, scratch):
        self.path = os.path.join(scratch, "data")

    def __enter__(self):
        shutil.rmtree(self.path, ignore_errors=True)
        os.makedirs(self.path)
        warm()
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def discarding(data):
    """A node that answers every produce at once and keeps nothing."""
    return Node(data, command=[os.environ["QUIRE_BENCH"], "discard"])


def row(what, figure, against="", ratio=None, target=None, met=None):
    rows.append((what, figure, against, "" if ratio is None else f"{ratio:.2f}", target or "",
                 "" if met is None else ("yes" if met else "**no**")))


def print_table():
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    print(f"\n{platform.system()} {platform.release()}, {os.cpu_count()} processors, {memory_bytes >> 30} GiB; "
          f"{time.strftime('%Y-%m-%d')}; medians\n")
    print("| what | Quire | against | ratio | to reach | reached |\n|---|---|---|---|---|---|")
    for cells in rows:
        print("| " + " | ".join(cells) + " |")


def megabytes(rate):
    return f"{rate / 1e6:.0f} MB/s"


# ---- sections

def append(scratch, repeat, scale):
    """The append path in process, without network or client."""
    total = int(2_000_000_000 * scale)
    # A segment's schema is all of its migrations, in order.
    schema = os.path.join(scratch, "segment.sql")
    with open(schema, "w") as out:
        for path in sorted(glob.glob(os.path.join(ROOT, "migrations", "segment", "*.sql"))):
            out.write(open(path).read() + "\n")
    for partitions in (1, 12):
        group_bytes = []

        def ours():
            with Fresh(scratch) as data:
                result = tool("quire-bench", "append", data, partitions, 16384, total)
                group_bytes.append(int(result["bytes"] / result["groups"]))
                return result

        def baseline(kind):
            with Fresh(scratch) as data:
                return tool("baseline", kind, data, schema, partitions, 16384, statistics.median_low(group_bytes), total,
                            PAGE_BYTES, CHECKPOINT_BYTES)

        results = alternate(repeat, ours=ours, loop=lambda: baseline("sqlite"), raw=lambda: baseline("raw"))
        mine, loop, raw = (median(results[name], "bytes_per_second") for name in ("ours", "loop", "raw"))
        name = f"append in process, 16-KiB batches, {partitions} partition{'s' * (partitions > 1)}"
        row(name, megabytes(mine), f"C loop {megabytes(loop)}", mine / loop, ">= 0.8", mine / loop >= 0.8)
        row(name, megabytes(mine), f"raw file {megabytes(raw)}", mine / raw)
        stall = max(result["longest_stall_ms"] for result in results["ours"])
        row(f"longest time without an acknowledgement meanwhile, {partitions} partition{'s' * (partitions > 1)}", f"{stall:.0f} ms",
            target="< 20 ms", met=stall < 20)


def throughput(scratch, repeat, scale):
    for record_bytes, count in ((100, int(10_000_000 * scale)), (1024, int(1_500_000 * scale))):
        for partitions in (1, 12):
            for label, settings in (("defaults", ()), ("tuned", TUNED)):
                produce_and_consume(scratch, repeat, record_bytes, count, partitions, label, settings)


def produce_and_consume(scratch, repeat, record_bytes, count, partitions, label, settings):
    disk = {}

    def ours():
        with Fresh(scratch) as data:
            with Node(data) as broker:
                create(broker, "bench", partitions)
                result = tool("client", broker.kafka, "produce", "bench", partitions, record_bytes, count, *settings)
                written = io_bytes(broker)
                consumed = tool("client", broker.kafka, "consume", "bench", partitions, count)
                result["consumed_per_second"] = consumed["records_per_second"]
                result["memory"] = peak_memory(broker)
            disk["ratio"] = tree_bytes(data) / (record_bytes * count)
            disk["written"] = written / (record_bytes * count)
            return result

    def discard():
        with Fresh(scratch) as data, discarding(data) as broker:
            create(broker, "bench", partitions)
            return tool("client", broker.kafka, "produce", "bench", partitions, record_bytes, count, *settings)

    results = alternate(repeat, discard=discard, ours=ours)
    mine, theirs = (median(results[name], "records_per_second") for name in ("ours", "discard"))
    consumed = median(results["ours"], "consumed_per_second")
    name = f"{record_bytes}-byte records, {label} client, {partitions} partition{'s' * (partitions > 1)}"
    goal = None if record_bytes != 100 else 0.9 if label == "tuned" else 0.8
    row(f"produce, {name}", f"{mine / 1e3:.0f} k/s ({megabytes(mine * record_bytes)})", f"discarding {theirs / 1e3:.0f} k/s",
        mine / theirs, goal and f">= {goal}", goal and mine / theirs >= goal)
    if record_bytes > 100:
        allowed = disk_allows(scratch, repeat, record_bytes * count)
        row(f"produce, {name}", megabytes(mine * record_bytes), f"a disk that writes everything twice {megabytes(allowed)}",
            mine * record_bytes / allowed, ">= 0.8", mine * record_bytes / allowed >= 0.8)
    row(f"consume, {name}", f"{consumed / 1e3:.0f} k/s", f"its produce {mine / 1e3:.0f} k/s", consumed / mine, ">= 1",
        consumed >= mine)
    row(f"bytes on disk per byte in, {name}", f"{disk['ratio']:.2f}", f"written meanwhile {disk['written']:.2f}")
    row(f"largest resident memory, {name}", f"{median(results['ours'], 'memory') / 1e6:.0f} MB")


def disk_allows(scratch, repeat, total):
    """Half of what a raw file takes in groups of 1 MiB: everything is written to a log and to its place."""
    def once():
        with Fresh(scratch) as data:
            return tool("baseline", "raw", data, "-", 1, 16384, 1 << 20, total, PAGE_BYTES, CHECKPOINT_BYTES)
    return median(alternate(repeat, raw=once)["raw"], "bytes_per_second") / 2


def latency(scratch, repeat, scale):
    seconds = max(2, int(15 * scale))
    for partitions in (1, 12):
        def ours():
            with Fresh(scratch) as data, Node(data) as broker:
                create(broker, "bench", partitions)
                return measure(broker.kafka)

        def discard():
            with Fresh(scratch) as data, discarding(data) as broker:
                create(broker, "bench", partitions)
                return measure(broker.kafka)

        def measure(address):
            host, port = address.split(":")
            tool("latency", host, port, "bench", partitions, 100, 2000, 1)
            return tool("latency", host, port, "bench", partitions, 100, 2000, seconds)

        results = alternate(repeat, discard=discard, ours=ours)
        figures = {name: [median(results[name], key) for key in ("p50_us", "p99_us", "p999_us")] for name in results}
        mine, theirs = (" / ".join(f"{value:.0f}" for value in figures[name]) for name in ("ours", "discard"))
        row(f"single produces at 2,000/s, p50 / p99 / p99.9, {partitions} partition{'s' * (partitions > 1)}", f"{mine} us",
            f"discarding {theirs} us", figures["ours"][1] / figures["discard"][1], "p99 < 1 ms", figures["ours"][1] < 1000)


def start_up(scratch, repeat, scale):
    def seconds(data):
        with Node(data) as broker:
            return broker.startup_seconds

    with Fresh(scratch) as data:
        times = [seconds(os.path.join(data, str(number))) for number in range(repeat + 2)]
        row("start, empty", f"{statistics.median(times):.3f} s", target="< 0.3 s", met=statistics.median(times) < 0.3)
    with Fresh(scratch) as data:
        count = int(10_000_000 * scale)
        with Node(data) as broker:
            create(broker, "bench", 12)
            tool("client", broker.kafka, "produce", "bench", 12, 100, count, *TUNED)
        times = [seconds(data) for _ in range(repeat)]
        row(f"start, {count / 1e6:.0f} M records", f"{statistics.median(times):.3f} s", target="< 1 s",
            met=statistics.median(times) < 1)


def restart(scratch, repeat, scale):
    """After kill -9, where every partition has a WAL just short of a checkpoint. Once: it is some 4 GB of them."""
    partitions = int(1000 * scale)
    with Fresh(scratch) as data:
        # As many databases open as there are partitions: an idle one that is closed has no WAL left.
        broker = Node(data, "--set", f"quire.open.databases={partitions * 2}").start()
        create(broker, "many", partitions)
        tool("client", broker.kafka, "produce", "many", partitions, 1024, partitions * WAL_RECORDS, f"run={WAL_RECORDS}", *TUNED)
        broker.kill()
        wal = sum(os.stat(path).st_size for path in glob.glob(f"{data}/topics/many-*/*.db-wal")) / partitions
        started = time.monotonic()
        with Node(data) as broker:
            name = f"start after kill -9, {partitions} partitions with WALs of {wal / (1 << 20):.1f} MiB"
            row(f"{name}, until ready", f"{broker.startup_seconds:.3f} s")
            os.environ["QUIRE_BOOTSTRAP"] = broker.kafka
            done = run("topic", "describe", "many", "--format", "json", seconds=600)
            assert done.returncode == 0, done.stderr
            offsets = [partition["high_watermark"] for partition in json.loads(done.stdout)[0]["partitions"]]
            assert offsets == [WAL_RECORDS] * partitions, "a partition does not have what was acknowledged"
            row(f"{name}, until every partition has told its offsets", f"{time.monotonic() - started:.1f} s")
            tool("client", broker.kafka, "produce", "many", partitions, 100, partitions, "run=1", "message.timeout.ms=600000")
            row(f"{name}, until every partition has taken one more record", f"{time.monotonic() - started:.1f} s")


def memory(scratch, repeat, scale):
    with Fresh(scratch) as data, Node(data) as broker:
        time.sleep(2)
        idle = status(broker, "VmRSS")
        row("resident memory, idle", f"{idle / 1e6:.0f} MB", target="< 50 MB", met=idle < 50e6)


# ---- looking at a node

def create(broker, topic, partitions):
    os.environ["QUIRE_BOOTSTRAP"] = broker.kafka
    done = run("topic", "create", topic, "--partitions", str(partitions), seconds=300)
    if done.returncode != 0:
        raise SystemExit(f"quire topic create: {done.stderr}")


def status(broker, key):
    with open(f"/proc/{broker.process.pid}/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":"))


def peak_memory(broker):
    return status(broker, "VmHWM")


def io_bytes(broker):
    with open(f"/proc/{broker.process.pid}/io") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))


def tree_bytes(path):
    return sum(os.lstat(os.path.join(directory, name)).st_blocks * 512
               for directory, _, names in os.walk(path) for name in names)


if __name__ == "__main__":
    main()
