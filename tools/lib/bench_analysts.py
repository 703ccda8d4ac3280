"""Producers at half of their full rate, alone and beside four analysts who scan the whole history without a pause."""
import http.client
import json
import statistics
import threading
import time

from node import Node

HISTORY, PARTITIONS, RECORD_BYTES, ANALYSTS, SECONDS = 2_000_000, 12, 100, 4, 15
SQL = "SELECT count(*), count(DISTINCT key), sum(length(value)) FROM events"


def analysts(scratch, repeat, scale, bench):
    history, seconds = int(HISTORY * scale), max(4, int(SECONDS * scale))
    with bench.Fresh(scratch) as data, Node(data) as broker:
        bench.create(broker, "events", PARTITIONS)
        bench.create(broker, "live", PARTITIONS)
        bench.tool("client", broker.kafka, "produce", "events", PARTITIONS, 0, history, "run=1", "events=1")
        full = bench.tool("client", broker.kafka, "produce", "live", PARTITIONS, RECORD_BYTES, 2_000_000)["records_per_second"]
        rate = int(full / 2)

        def produce():
            return bench.tool("client", broker.kafka, "produce", "live", PARTITIONS, RECORD_BYTES, rate * seconds, f"rate={rate}")

        alone, beside, scans = [], [], []
        for _ in range(repeat):
            alone.append(produce())
            with Analysts(broker) as people:
                people.wait_for_a_scan()
                begin, before = time.monotonic(), people.scanned(history)
                beside.append(produce())
                scans.append((people.scanned(history) - before) / (time.monotonic() - begin))
        # Every record that was to be sent is there, and was acknowledged: the client fails otherwise.
        produced = 2_000_000 + rate * seconds * 2 * repeat
        stored = json.loads(ask(broker, 'SELECT count(*) AS n FROM live')[0])["n"]
        if stored != produced:
            raise SystemExit(f"{produced} records were acknowledged, and {stored} are there")
    quiet, busy = ([statistics.median(run[key] for run in runs) / 1e3 for key in ("p50_us", "p99_us", "p999_us")] for runs in (alone, beside))
    both = [" / ".join(f"{value:.1f}" for value in figures) for figures in (busy, quiet)]
    bench.row(f"produce at {rate / 1e3:.0f} k/s beside {ANALYSTS} full scans, p50 / p99 / p99.9", f"{both[0]} ms", f"without them {both[1]} ms",
              busy[1] / quiet[1], "p99 <= 2", busy[1] <= 2 * quiet[1])
    bench.row("the scans meanwhile, together", f"{statistics.median(scans) / 1e6:.2f} M records/s")


class Analysts:
    """Each asks again as soon as it has its answer, and is cut off in the middle at the end."""

    def __init__(self, broker):
        self.broker, self.scans, self.is_over = broker, 0, False
        self.connections = [http.client.HTTPConnection(broker.http, timeout=600) for _ in range(ANALYSTS)]
        self.threads = [threading.Thread(target=self.scan, args=(connection,)) for connection in self.connections]

    def scan(self, connection):
        while not self.is_over:
            try:
                ask(self.broker, SQL, connection)
                self.scans += 1
            except (OSError, http.client.HTTPException):
                if not self.is_over:
                    raise

    def wait_for_a_scan(self):
        while self.scans < ANALYSTS:
            time.sleep(0.05)

    def scanned(self, history):
        """Records, those of the scans that are under way included."""
        running = [json.loads(line) for line in ask(self.broker, "SELECT records_decoded, sql FROM quire_queries")]
        return self.scans * history + sum(query["records_decoded"] for query in running if query["sql"] == SQL)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        for connection in self.connections:
            if connection.sock:
                connection.sock.shutdown(2)
        for thread in self.threads:
            thread.join()
        until = time.monotonic() + 30
        while any(SQL.encode() in line for line in ask(self.broker, "SELECT sql FROM quire_queries")):
            if time.monotonic() > until:
                raise SystemExit("statements of those who went are still running")
            time.sleep(0.05)


def ask(broker, sql, connection=None):
    connection = connection or http.client.HTTPConnection(broker.http, timeout=600)
    connection.request("POST", "/v1/query", json.dumps({"sql": sql, "format": "jsonl"}), {"Content-Type": "application/json"})
    reply = connection.getresponse()
    body = reply.read()
    if reply.status != 200:
        raise SystemExit(f"{sql}: {reply.status} {body[-1000:]}")
    return body.splitlines()
