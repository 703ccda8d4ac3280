"""The questions people ask of a topic, of a running node over a kept connection, and scans beside a plain table of SQLite."""
import glob
import http.client
import json
import os
import statistics
import threading
import time

from confluent_kafka import Consumer, TopicPartition

from node import Node, run

RECORDS, PARTITIONS = 10_000_000, 12
# 10,000 of them are five minutes.
DISTANCE_MS = 30
WINDOW_ROWS = 10_000
GROUP = "halfway"
SCANS = (("count", "count(*)", None), ("sums", "count(*), sum(offset), sum(timestamp / 1000)", None),
         ("group_by_user", "GROUP BY value ->> '$.user'", 0.8))


def query(scratch, repeat, scale, bench):
    for compression in ("none", "zstd"):
        with bench.Fresh(scratch) as data:
            ask_a_node(data, int(RECORDS * scale), compression, repeat, bench)
        with bench.Fresh(scratch) as data:
            scan(data, int(RECORDS * scale), compression, repeat, bench)


def kind(compression):
    return compression if compression != "none" else "uncompressed"


# ---- questions to a node

class Connection:
    """One HTTP connection that stays open."""

    def __init__(self, broker):
        self.http = http.client.HTTPConnection(broker.http, timeout=600)

    def ask(self, sql):
        """Seconds to the last byte, and the rows."""
        started = time.perf_counter()
        self.http.request("POST", "/v1/query", json.dumps({"sql": sql, "format": "jsonl"}), {"Content-Type": "application/json"})
        reply = self.http.getresponse()
        body = reply.read()
        seconds = time.perf_counter() - started
        if reply.status != 200:
            raise SystemExit(f"{sql}: {reply.status} {body[-1000:]}")
        return seconds, body.splitlines()


def ask_a_node(data, count, compression, repeat, bench):
    what = f"{count / 1e6:.0f} M records, {kind(compression)}"
    with Node(data) as broker:
        fill(broker, count, compression, bench)
        connection = Connection(broker)
        questions = make_questions(connection, count)
        consumed = bench.tool("client", broker.kafka, "consume", "events", PARTITIONS, count)["seconds"]
        warm = {}
        for name, sql, rows in questions:
            times = []
            for _ in range(20 + repeat):
                seconds, got = connection.ask(sql)
                if len(got) != rows:
                    raise SystemExit(f"{name}: {len(got)} rows and not {rows}")
                times.append(seconds)
            warm[name] = statistics.median(times)
        two_at_once(broker, what, count, repeat, bench)
    for name, sql, _ in questions:
        cold = min(fresh(data, sql) for _ in range(repeat))
        bench.row(f"{name}, {what}", f"{warm[name] * 1e3:.1f} ms", f"on a fresh start {cold * 1e3:.0f} ms; a consumer of it all {consumed:.1f} s",
                  consumed / warm[name], "< 10 and 100 ms, >= 100", warm[name] < 0.01 and cold < 0.1 and consumed / warm[name] >= 100)


def fill(broker, count, compression, bench):
    bench.create(broker, "events", PARTITIONS)
    os.environ.update(QUIRE_BOOTSTRAP=broker.kafka, QUIRE_SERVER=f"http://{broker.http}")
    bench.tool("client", broker.kafka, "produce", "events", PARTITIONS, 0, count, "run=1", f"events={DISTANCE_MS}",
               f"compression.codec={compression}")
    consumer = Consumer({"bootstrap.servers": broker.kafka, "group.id": GROUP})
    consumer.commit(offsets=[TopicPartition("events", partition, count // PARTITIONS // 2) for partition in range(PARTITIONS)],
                    asynchronous=False)
    consumer.close()
    started = time.monotonic()
    done(run("column", "add", "events", "key", "--indexed"))
    connection = Connection(broker)
    while not indexed(connection, count):
        if time.monotonic() - started > 1800:
            raise SystemExit("the index is not complete after half an hour")
        time.sleep(0.2)
    seconds = time.monotonic() - started
    size = sum(os.path.getsize(path) for path in glob.glob(f"{broker.data}/topics/*/*.index"))
    bench.row(f"an index on the key, {count / 1e6:.0f} M records, {kind(compression)}", f"{count / seconds / 1e6:.2f} M records/s",
              f"{size / count:.1f} bytes a record")


def indexed(connection, count):
    _, rows = connection.ask("SELECT sum(covered_records) AS covered FROM quire_indexes WHERE topic = 'events' AND name = 'key'")
    return (json.loads(rows[0])["covered"] or 0) >= count


def make_questions(connection, count):
    middle = json.loads(connection.ask("SELECT timestamp FROM events WHERE partition = 0 AND offset = "
                                       f"{count // PARTITIONS // 2}")[1][0])["timestamp"]
    until = middle + WINDOW_ROWS * DISTANCE_MS
    return (
        ("last 20 records", "SELECT * FROM events ORDER BY timestamp DESC LIMIT 20", 20),
        ("five minutes, 10,000 rows", f"SELECT * FROM events WHERE timestamp >= {middle} AND timestamp < {until}", WINDOW_ROWS),
        ("one key by its index", "SELECT * FROM events WHERE key = 'play-4711'", count // 1_000_000),
        ("newest timestamp and lag per partition",
         "SELECT partition, newest_timestamp, lag, lag_seconds FROM quire_partitions JOIN quire_lag USING (topic, partition) "
         f"WHERE topic = 'events' AND group_id = '{GROUP}'", PARTITIONS),
    )


def fresh(data, sql):
    """Seconds of the first question to a node that has just started, with nothing of its data in memory."""
    for path in glob.glob(f"{data}/**", recursive=True):
        if os.path.isfile(path):
            file = os.open(path, os.O_RDONLY)
            os.fsync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)
    with Node(data) as broker:
        return Connection(broker).ask(sql)[0]


def two_at_once(broker, what, count, repeat, bench):
    sql = "SELECT count(*), sum(offset), sum(timestamp / 1000) FROM events"

    def both():
        started = time.perf_counter()
        threads = [threading.Thread(target=lambda: Connection(broker).ask(sql)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - started

    alone = statistics.median(Connection(broker).ask(sql)[0] for _ in range(repeat))
    together = statistics.median(both() for _ in range(repeat))
    bench.row(f"two scans at once, {what}", f"{2 * count / together / 1e6:.1f} M/s", f"one {count / alone / 1e6:.1f} M/s", 2 * alone / together,
              ">= 1.5", 2 * alone / together >= 1.5)


def done(process):
    if process.returncode != 0:
        raise SystemExit(process.stderr[-2000:])


# ---- scans in process

def scan(data, count, compression, repeat, bench):
    result = bench.tool("quire-bench", "query", data, count, PARTITIONS, compression, repeat, *(name for name, _, _ in SCANS), seconds=3600)
    for key, name, goal in SCANS:
        figures = result[key]
        rate = figures["records_per_second"]
        is_rate = key == "sums" and compression == "none"
        bench.row(f"{name}, {result['records'] / 1e6:.0f} M records, {kind(compression)}", f"{rate / 1e6:.2f} M/s",
                  f"plain table {figures['plain_seconds']:.2f} s", figures["ratio"],
                  f">= {goal}" if goal else ">= 3 M/s" if is_rate else None,
                  figures["ratio"] >= goal if goal else rate >= 3e6 if is_rate else None)
