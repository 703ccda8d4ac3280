"""What a node serves at /metrics: exactly what METRICS.md lists, described, and moving when it should.

    metrics.py METRICS.md
"""
import json
import os
import re
import sys
import tempfile
import urllib.error
import urllib.request

import node
from checks import check, equal, finish, wait_until
from confluent_kafka import Consumer, Producer
from node import Node

ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", re.MULTILINE)
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def main(page):
    with open(page) as file:
        listed = {name: (kind, sorted(re.findall(r"\w+", labels))) for name, kind, labels in ROW.findall(file.read())}
    with tempfile.TemporaryDirectory(prefix="quire-metrics-") as scratch:
        # Segments that roll soon, and a checkpoint before each roll is sealed.
        with check("metrics: the node stops cleanly"), Node(f"{scratch}/data", "--set", "log.segment.bytes=1048576") as broker:
            os.environ.update(QUIRE_BOOTSTRAP=broker.kafka, QUIRE_SERVER=f"http://{broker.http}")
            ask(broker, "/ready")
            with check("metrics: a node serves what METRICS.md lists, no more and no less, each with HELP and TYPE"):
                as_listed(broker, listed)
            with check("metrics: requests, bytes, latencies, syncs, group commits, WALs and databases move with produce and fetch"):
                produce_and_fetch(broker)
            with check("metrics: segments roll and are sealed, WALs shrink"):
                roll(broker)
            with check("metrics: HTTP requests are counted by route and status, with their latency"):
                http(broker)
            with check("metrics: topics, partitions and connections go up and down"):
                up_and_down(broker)
    finish()


# ---- reading

def ask(broker, path, body=None):
    request = urllib.request.Request(f"http://{broker.http}{path}", data=body and json.dumps(body).encode(),
                                     headers={"Content-Type": "application/json"} if body else {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read().decode()


class Metrics:
    """One answer of /metrics; `metrics("name", label="value")` is the sum of the series that fit."""

    def __init__(self, broker):
        self.text = ask(broker, "/metrics")
        self.samples = []
        for line in self.text.splitlines():
            if not line.startswith("#"):
                name, labels, value = SAMPLE.match(line).groups()
                self.samples.append((name, dict(LABEL.findall(labels or "")), float(value)))

    def __call__(self, name, **labels):
        found = [value for sample, has, value in self.samples if sample == name and labels.items() <= has.items()]
        assert found or labels, f"there is no {name}"
        return sum(found)


def as_listed(broker, listed):
    Metrics(broker)  # the first answer is itself counted in the second
    text = Metrics(broker).text
    served, helped = {}, set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, meaning = line.split(" ", 3)[2:]
            helped.add(name)
            assert meaning != "Not described.", line
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name in helped and name not in served, line
            served[name] = (kind, set())
        else:
            name, labels, _ = SAMPLE.match(line).groups()
            family = next((base for base in (name, re.sub("_(bucket|sum|count)$", "", name)) if base in served), None)
            assert family, f"no TYPE line before {line}"
            served[family][1].update(key for key, _ in LABEL.findall(labels or ""))
    equal({name: (kind, sorted(labels - {"le"})) for name, (kind, labels) in served.items()}, listed, "metrics")


def grew(before, after, name, **labels):
    assert after(name, **labels) > before(name, **labels), f"{name} {labels} did not grow: {after(name, **labels)}"


# ---- moving

def produce(broker, topic, count, size=1000):
    producer = Producer({"bootstrap.servers": broker.kafka, "linger.ms": 5})
    for number in range(count):
        producer.produce(topic, bytes(size), key=str(number), on_delivery=none)
        if number % 100 == 99:
            producer.flush(30)
    assert producer.flush(30) == 0


def none(error, _):
    assert error is None, error


def produce_and_fetch(broker):
    node.run("topic", "create", "events", "--partitions", "2")
    before = Metrics(broker)
    produce(broker, "events", 500)
    consumer = Consumer({"bootstrap.servers": broker.kafka, "group.id": "g", "auto.offset.reset": "earliest"})
    consumer.subscribe(["events"])
    got = []
    wait_until(lambda: got.extend(consumer.consume(500, 0.5)) or len(got) >= 500, 60, "500 records are consumed")
    consumer.close()
    after = Metrics(broker)
    for api in ("produce", "fetch", "metadata", "offsetCommit", "joinGroup"):
        grew(before, after, "quire_kafka_requests_total", api=api)
        grew(before, after, "quire_kafka_request_seconds_count", api=api)
    grew(before, after, "quire_kafka_request_seconds_sum", api="produce")
    for name in ("quire_kafka_received_bytes_total", "quire_kafka_sent_bytes_total", "quire_appended_bytes_total"):
        assert after(name) - before(name) > 500_000, f"{name}: {after(name) - before(name)}"
    for name in ("quire_appended_batches_total", "quire_group_commits_total", "quire_wal_syncs_total", "quire_sync_seconds_count",
                 "quire_sync_seconds_sum", "quire_group_commit_bytes_count", "quire_group_commit_appends_sum",
                 "quire_wal_bytes_count"):
        grew(before, after, name)
    grown = after("quire_appended_bytes_total") - before("quire_appended_bytes_total")
    equal(after("quire_group_commit_bytes_sum") - before("quire_group_commit_bytes_sum"), grown, "bytes of group commits")
    # The 500 kB are in the WALs, which are not folded before they have 4 MiB.
    assert after("quire_wal_total_bytes") > before("quire_wal_total_bytes") + 500_000, after("quire_wal_total_bytes")
    assert after("quire_open_databases") > before("quire_open_databases"), after("quire_open_databases")


def roll(broker):
    before = Metrics(broker)
    produce(broker, "events", 6000)
    grew(before, Metrics(broker), "quire_segments_rolled_total")
    wait_until(lambda: Metrics(broker)("quire_segments_sealed_total") >= Metrics(broker)("quire_segments_rolled_total"), 30,
               "every segment that was rolled is sealed")
    after = Metrics(broker)
    # 6 MB went in. A sealed segment has no WAL, and those of two active 1-MiB segments are no larger.
    assert after("quire_wal_total_bytes") < 3 << 20, f"{after('quire_wal_total_bytes')} bytes of WALs"


def http(broker):
    before = Metrics(broker)
    ask(broker, "/v1/query", {"sql": "SELECT count(*) FROM events"})
    try:
        ask(broker, "/v1/query", {"sql": "SELECT * FROM nothing_of_the_kind"})
        raise AssertionError("a wrong statement was answered")
    except urllib.error.HTTPError as error:
        equal(error.code, 400, "status")
    # Counted behind the last byte, which the client has before.
    wait_until(lambda: Metrics(broker)("quire_http_request_seconds_count", route="/v1/query") >= 2, 10, "two latencies")
    after = Metrics(broker)
    for status in ("200", "400"):
        name, labels = "quire_http_requests_total", {"route": "/v1/query", "status": status}
        equal(after(name, **labels) - before(name, **labels), 1, f"requests with status {status}")
    equal(after("quire_http_request_seconds_count", route="/v1/query"), 2, "latencies")
    grew(before, after, "quire_http_request_seconds_sum", route="/v1/query")
    grew(before, after, "quire_http_requests_total", route="/metrics", status="200")


def up_and_down(broker):
    before = Metrics(broker)
    node.run("topic", "create", "short", "--partitions", "3")
    producer = Producer({"bootstrap.servers": broker.kafka})
    producer.list_topics("short", timeout=10)
    # librdkafka leaves the connection it began with and comes back.
    wait_until(lambda: Metrics(broker)("quire_kafka_connections") >= 1, 20, "there is a connection")
    during = Metrics(broker)
    equal((during("quire_topics") - before("quire_topics"), during("quire_partitions") - before("quire_partitions")), (1, 3))
    del producer
    node.run("topic", "delete", "short")
    wait_until(lambda: Metrics(broker)("quire_partitions") == before("quire_partitions"), 20, "the partitions are gone")
    wait_until(lambda: Metrics(broker)("quire_kafka_connections") == 0, 20, "the connections are gone")


main(sys.argv[1])
