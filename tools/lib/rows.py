"""A file of JSON rows goes in by kcat and comes out identical; SQL over it equals what the file says; an export holds it once.

    rows.py [FILE]      without FILE: the 336,776 flights of flights.py, or as many made-up ones where they cannot be fetched
"""
import calendar
import collections
import csv
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time

import flights
import node
from checks import check, equal, finish
from confluent_kafka import Producer
from node import Node

COUNT = flights.COUNT
PARTITIONS = 4
CARRIERS = ("UA", "AA", "B6", "DL", "EV", "MQ", "US", "WN", "VX", "FL", "AS", "9E", "F9", "HA", "YV", "OO")


def make(path):
    rng = random.Random(2013)
    with open(path, "w") as out:
        for number in range(COUNT):
            month, day, hour = 1 + number * 12 // COUNT, rng.randrange(1, 29), rng.randrange(5, 24)
            row = {"time_hour": f"2013-{month:02}-{day:02}T{hour:02}:00:00Z", "carrier": rng.choice(CARRIERS),
                   "flight": rng.randrange(1, 8500), "distance": rng.randrange(17, 4984),
                   "dep_delay": None if rng.random() < 0.025 else rng.randrange(-43, 1302), "dest": rng.choice("ŁÓDŹ NYC LAX".split())}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def main():
    with tempfile.TemporaryDirectory(prefix="quire-rows-") as scratch:
        path = sys.argv[1] if len(sys.argv) > 1 else f"{scratch}/rows.jsonl"
        if len(sys.argv) < 2:
            try:
                flights.write(path)
                print(f"# {COUNT} real flights", flush=True)
            except Exception as error:
                said = getattr(error, "stderr", None) or b""
                print(f"# NOT THE REAL FILE, but made-up rows: {error} {said.decode()[-300:]}", flush=True)
                make(path)
        with open(path, "rb") as file:
            lines = file.read().splitlines()
        with check("rows: the node stops cleanly"), Node(f"{scratch}/data") as broker:
            os.environ.update(QUIRE_BOOTSTRAP=broker.kafka, QUIRE_SERVER=f"http://{broker.http}")
            assert node.run("topic", "create", "rows", "--partitions", "1").returncode == 0
            with check(f"rows: {len(lines)} lines in by kcat"):
                kcat(broker, "-P", "-l", path)
            with check("rows: out again by kcat, identical"):
                out = kcat(broker, "-C", "-e", "-q", "-o", "beginning")
                equal(out.splitlines(), lines, "line")
            values = [json.loads(line) for line in lines]
            questions(values)
            with check("rows: in again with the time of each flight as timestamp, and SQL windows of time as the file says"):
                timed(broker, lines, values)
            with check("rows: an export holds every record once"):
                export(scratch, lines)
    finish()


def kcat(broker, *arguments):
    done = subprocess.run(["kcat", "-b", broker.kafka, "-t", "rows", "-p", "0", *arguments], capture_output=True, timeout=180)
    assert done.returncode == 0, done.stderr.decode()[-1000:]
    return done.stdout


def query(sql):
    done = node.run("query", sql, "--format", "csv", seconds=300)
    assert done.returncode == 0, done.stderr
    return [row for row in csv.reader(io.StringIO(done.stdout))][1:]


def questions(values):
    with check("rows: SQL counts and sums as the file does"):
        equal(query("SELECT count(*), min(offset), max(offset) FROM rows"),
              [[str(len(values)), "0", str(len(values) - 1)]], "count and offsets")
        by_carrier = collections.defaultdict(lambda: [0, 0, 0])
        for value in values:
            sums = by_carrier[value["carrier"]]
            sums[0] += 1
            sums[1] += value["distance"]
            sums[2] += value["dep_delay"] or 0
        equal(query("SELECT value ->> '$.carrier' AS carrier, count(*), sum(value ->> '$.distance'), "
                    "sum(coalesce(value ->> '$.dep_delay', 0)) FROM rows GROUP BY carrier ORDER BY carrier"),
              [[carrier, *map(str, sums)] for carrier, sums in sorted(by_carrier.items())], "carrier")
    with check("rows: SQL windows of time as the file does"):
        hours = collections.Counter(value["time_hour"] for value in values if "2013-03-10" <= value["time_hour"] < "2013-03-12")
        equal(query("SELECT value ->> '$.time_hour' AS hour, count(*) FROM rows WHERE hour >= '2013-03-10' AND hour < '2013-03-12' "
                    "GROUP BY hour ORDER BY hour"), [[hour, str(count)] for hour, count in sorted(hours.items())], "hour")
    with check("rows: the newest, and one offset"):
        equal(query("SELECT offset FROM rows ORDER BY offset DESC LIMIT 3"),
              [[str(len(values) - 1 - number)] for number in range(3)], "offset")
        middle = len(values) // 2
        (found,) = query(f"SELECT value FROM rows WHERE partition = 0 AND offset = {middle}")
        equal(json.loads(found[0]), values[middle], "value")


def timed(broker, lines, values):
    """The file is not in the order of time: its months are 1, 10, 11, 12, 2 and so on."""
    done = node.run("topic", "create", "timed", "--partitions", str(PARTITIONS), "--topic-config", "retention.ms=-1")
    assert done.returncode == 0, done.stderr
    moments = [int(calendar.timegm(time.strptime(hour, "%Y-%m-%dT%H:%M:%SZ"))) * 1000 for hour in hours(values)]
    at = dict(zip(hours(values), moments))
    failures = []
    producer = Producer({"bootstrap.servers": broker.kafka, "linger.ms": 20, "compression.type": "zstd",
                         "queue.buffering.max.messages": len(lines)})
    for number, (line, value) in enumerate(zip(lines, values)):
        producer.produce("timed", line, value["carrier"], number % PARTITIONS, timestamp=at[value["time_hour"]],
                         on_delivery=lambda error, _: failures.append(str(error)) if error else None)
        if number % 1000 == 0:
            producer.poll(0)
    assert producer.flush(60) == 0 and not failures, failures[:3]
    first, last = min(moments), max(moments)
    rng = random.Random(1)
    windows = [(first, last + 1), (last, last + 1), (first, first), (last + 1, last + 10**9)]
    windows += [(begin, begin + rng.choice((1, 3_600_000, 86_400_000, 30 * 86_400_000))) for begin in rng.sample(moments, 6)]
    for begin, end in windows:
        inside = [value for value in values if begin <= at[value["time_hour"]] < end]
        equal(query(f"SELECT count(*), coalesce(sum(value ->> '$.distance'), 0), count(DISTINCT key) FROM timed "
                    f"WHERE timestamp >= {begin} AND timestamp < {end}"),
              [[str(len(inside)), str(sum(value["distance"] for value in inside)), str(len({v["carrier"] for v in inside}))]],
              f"window {begin} to {end}")
        by_partition = query(f"SELECT partition, min(offset), count(*) FROM timed WHERE timestamp >= {begin} AND timestamp < {end} "
                             f"GROUP BY partition ORDER BY partition")
        numbers = collections.defaultdict(list)
        for number, value in enumerate(values):
            if begin <= at[value["time_hour"]] < end:
                numbers[number % PARTITIONS].append(number // PARTITIONS)
        equal(by_partition, [[str(p), str(numbers[p][0]), str(len(numbers[p]))] for p in sorted(numbers)], f"window {begin} to {end}")
    months = collections.Counter(value["time_hour"][:7] for value in values)
    equal(query("SELECT strftime('%Y-%m', timestamp / 1000, 'unixepoch') AS month, count(*) FROM timed GROUP BY month ORDER BY month"),
          [[month, str(count)] for month, count in sorted(months.items())], "month")


def hours(values):
    return sorted({value["time_hour"] for value in values})


def export(scratch, lines):
    first, second = f"{scratch}/first.jsonl", f"{scratch}/second.jsonl"
    for path in (first, second):
        done = node.run("export", "rows", "--format", "jsonl", "--output", path, seconds=300)
        assert done.returncode == 0, done.stderr
    with open(first, "rb") as a, open(second, "rb") as b:
        text = a.read()
        assert text == b.read(), "the same range exported twice differs"
    records = [json.loads(line) for line in text.splitlines()]
    equal([record["offset"] for record in records], list(range(len(lines))), "offset")
    equal([record["value"].encode() for record in records], lines, "value")


main()
