"""The HTTP door: its OpenAPI document is true, errors are seen in every format, and statements are followed by events.

    suite.py [PART]…      only the checks whose names have a PART in them
"""
import contextlib
import http.client
import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
import urllib.parse

import jsonschema
import psycopg
from openapi_spec_validator import validate
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

import node
from checks import check, equal, finish, wait_until
from node import Node

ONLY = sys.argv[1:]
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
# Fails behind some hundred thousand bytes of rows.
LATE = ("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 20000) "
        "SELECT x, CASE WHEN x = 19000 THEN json('no JSON') ELSE hex(zeroblob(20)) END AS y FROM n")
# Statuses that cannot be had from a healthy node.
UNREACHABLE = {("/ready", "get", 503), ("/v1/query", "get", 500), ("/v1/query", "post", 500), ("/v1/export", "post", 500),
               ("/v1/query", "get", 503)} | {("/v1/mirror/{topic}" + rest, method, 503) for rest, method in (
                   ("", "get"), ("/{partition}", "post"), ("/{partition}/begin", "post"))} | {
                       # Of a node that is alone; tools/compat/standby has two.
                       ("/v1/cluster/promote", "post", 200), ("/v1/cluster/forget-standby", "post", 200)}
JSON = {"Content-Type": "application/json"}
EVENTS = {"Accept": "text/event-stream"}


def quire(*arguments, given=None):
    done = node.run(*arguments, seconds=60, stdin=given)
    assert done.returncode == 0, f"exit {done.returncode}: quire {' '.join(arguments)}: {done.stderr[-800:]}"
    return done


class Door:
    """Requests whose answers are held against the document."""

    def __init__(self, broker):
        self.address = broker.http
        self.document = json.loads(self.ask("GET", "/v1/openapi.json", checked=False)[2])
        self.registry = Registry().with_resource("doc", Resource.from_contents(self.document, default_specification=DRAFT202012))
        self.seen = set()

    def ask(self, method, path, body=None, headers=None, checked=True):
        connection = http.client.HTTPConnection(self.address, timeout=60)
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        connection.request(method, path, content, {**(JSON if body is not None else {}), **(headers or {})})
        reply = connection.getresponse()
        if reply.headers.get_content_type() == "text/event-stream":
            text = b""
        else:
            text = reply.read()
        connection.close()
        if checked:
            self.compare(method.lower(), path, reply, text)
        return reply.status, reply.headers, text

    def compare(self, method, path, reply, text):
        bare = path.split("?")[0]
        template = "/v1/queries/{id}" if bare.startswith("/v1/queries/") else bare
        if bare.startswith("/v1/mirror/"):
            template = "/v1/mirror" + "".join(("/{topic}", "/{partition}", "/begin")[:len(bare.split("/")) - 3])
        answers = self.document["paths"][template][method]["responses"]
        assert str(reply.status) in answers, f"{method} {path}: status {reply.status} is not in the document"
        self.seen.add((template, method, reply.status))
        answer = answers[str(reply.status)]
        if "$ref" in answer:
            answer = self.document["components"]["responses"][answer["$ref"].rsplit("/", 1)[1]]
        for name, header in answer.get("headers", {}).items():
            assert name in reply.headers or not header.get("required"), f"{method} {path}: {reply.status} without {name}"
        kind = reply.headers.get_content_type()
        assert kind in answer["content"], f"{method} {path}: {kind} is not in the document"
        if kind == "application/json":
            schema = dict(answer["content"][kind]["schema"])
            if "$ref" in schema:
                schema = {"$ref": "doc" + schema["$ref"]}
            jsonschema.Draft202012Validator(schema, registry=self.registry).validate(json.loads(text))

    def accepts(self, schema, value):
        """The document has the request as it is sent."""
        jsonschema.Draft202012Validator({"$ref": f"doc#/components/schemas/{schema}"}, registry=self.registry).validate(value)

    def query(self, sql, **members):
        body = {"sql": sql, **members}
        self.accepts("Query", body)
        return self.ask("POST", "/v1/query", body)

    def running(self):
        return json.loads(self.ask("GET", "/v1/queries")[2])["queries"]


class Events:
    """A stream of server-sent events, read line by line."""

    def __init__(self, address, sql, headers=None, method="GET", **given):
        host, port = address.rsplit(":", 1)
        self.connection = http.client.HTTPConnection(host, int(port), timeout=60)
        if method == "GET":
            self.connection.request("GET", "/v1/query?" + urllib.parse.urlencode({"sql": sql, **given}), headers={**EVENTS, **(headers or {})})
        else:
            body = json.dumps({"sql": sql, "follow": True, **given})
            self.connection.request("POST", "/v1/query", body, {**JSON, **EVENTS, **(headers or {})})
        self.reply = self.connection.getresponse()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.reply.close()
        self.connection.close()

    def next(self):
        """The next event as a dictionary; None at the end."""
        event = {}
        while True:
            line = self.reply.readline().decode()
            if not line:
                return None
            line = line.rstrip("\n")
            if not line and event:
                event["data"] = json.loads(event["data"])
                return event
            name, _, value = line.partition(": ")
            if name and not line.startswith(":"):
                event[name] = value

    def rows(self, count):
        found = []
        while len(found) < count:
            event = self.next()
            assert event is not None and event["event"] in ("row", "columns"), f"{event} behind {len(found)} rows"
            if event["event"] == "row":
                found.append(event)
        return found


def main():
    with tempfile.TemporaryDirectory(prefix="quire-http-") as scratch:
        with Node(f"{scratch}/data", "--set", "quire.query.concurrency=2") as broker:
            os.environ.update(QUIRE_BOOTSTRAP=broker.kafka, QUIRE_SERVER=f"http://{broker.http}")
            quire("topic", "create", "plays", "--partitions", "2")
            quire("produce", "plays", given="".join(f'{{"n":{n}}}\n' for n in range(100)))
            door = Door(broker)
            for name, part in PARTS:
                if not ONLY or any(part in name for part in ONLY):
                    with check(name):
                        part(door, broker)
    finish()


def document(door, broker):
    validate(door.document)
    assert door.document["info"]["version"] in quire("--version").stdout


def mirrors(door, stranger):
    """What is brought to the log of a mirror: batches without records are the shortest."""
    quire("topic", "create", "copied", "--partitions", "1", "--topic-config", "quire.mirror.source=cluster/copied/id")
    kind = {"Content-Type": "application/vnd.quire.batches"}
    topic_id = json.loads(door.ask("GET", "/v1/mirror/copied")[2])["topic_id"]
    good, other = f"?topic-id={topic_id}", "?topic-id=another"
    equal(door.ask("GET", "/v1/mirror/nothing")[0], 404)
    equal(door.ask("GET", "/v1/mirror/copied", None, stranger)[0], 403)
    for path, more in (("/v1/mirror/copied/0/begin", "&offset=5"), ("/v1/mirror/copied/0", "")):
        equal(door.ask("POST", path + good + more, b"", kind)[0], 200)
        equal(door.ask("POST", path + other + more, b"", kind)[0], 404)
        equal(door.ask("POST", path, b"", kind)[0], 400)
        equal(door.ask("POST", path + good + more, b"", {**kind, **stranger})[0], 403)
        equal(door.ask("POST", path + good + more, b"", {"Content-Type": "text/plain"})[0], 415)
    begun = json.loads(door.ask("POST", "/v1/mirror/copied/0" + good, empty_batch(5, 7), kind)[2])
    equal(begun, {"partition": 0, "log_start_offset": 5, "log_end_offset": 8})
    equal(door.ask("POST", "/v1/mirror/copied/0" + good, empty_batch(9, 9), kind)[0], 409)
    equal(door.ask("POST", "/v1/mirror/copied/0/begin" + good + "&offset=20", b"", kind)[0], 409)
    equal(door.ask("POST", "/v1/mirror/copied/0" + good, bytes((32 << 20) + 1), kind)[0], 413)


def clusters(door, stranger):
    """A node that is alone leads everything, and has nobody to be promoted or forgotten."""
    facts = json.loads(door.ask("GET", "/v1/cluster")[2])
    equal([(one["role"], one["is_this_node"]) for one in facts["nodes"]], [("leader", True)])
    assert all(one["state"] == "leading" and one["is_in_sync"] for one in facts["replicas"]), facts
    equal((facts["under_replicated_partitions"], facts["offline_partitions"], facts["promotion"]), (0, 0, None))
    equal(door.ask("GET", "/v1/cluster", None, stranger)[0], 403)
    for path in ("/v1/cluster/promote", "/v1/cluster/forget-standby"):
        equal(door.ask("POST", path, {})[0], 409)
        equal(door.ask("POST", path, {}, stranger)[0], 403)
        equal(door.ask("POST", path, b"{}", {"Content-Type": "text/plain"})[0], 415)
    equal(door.ask("POST", "/v1/cluster/promote", {"force": 1})[0], 400)


def empty_batch(first, last):
    from kafka.record.util import calc_crc32c
    behind_crc = struct.pack(">hiqqqhii", 0, last - first, -1, -1, -1, -1, -1, 0)
    return struct.pack(">qiibI", first, 49, -1, 2, calc_crc32c(behind_crc)) + behind_crc


def answers(door, broker):
    """Every status of every route, and each reply is what the document says."""
    for path in ("/health", "/ready", "/metrics", "/v1/queries", "/v1/openapi.json"):
        equal(door.ask("GET", path)[0], 200)
    stranger = {"Host": "evil.example"}
    for method, path in (("GET", "/metrics"), ("GET", "/v1/queries"), ("GET", "/v1/openapi.json"), ("DELETE", "/v1/queries/1"),
                         ("GET", "/v1/query?sql=x"), ("POST", "/v1/query"), ("POST", "/v1/export")):
        equal(door.ask(method, path, {} if method == "POST" else None, stranger)[0], 403)
    for form, kind in (("json", "application/json"), ("jsonl", "application/x-ndjson"), ("csv", "text/csv"), ("table", "text/plain")):
        status, headers, _ = door.query("SELECT value FROM plays WHERE offset < :n", format=form, parameters={"n": 3})
        equal((status, headers.get_content_type()), (200, kind))
    for body, code in (({"sql": "SELECT usr FROM plays"}, "sql"), ({"sql": "CREATE TABLE x(y)"}, "not_permitted"),
                       ({"sql": "SELECT :x"}, "parameter"), ({}, "request"), ({"sql": "SELECT 1", "from": 5}, "request"),
                       ({"sql": ENDLESS, "limits": {"time_ms": 50}}, "limit"),
                       ({"sql": "SELECT hex(zeroblob(3000000))", "limits": {"memory_bytes": 600_000}}, "limit"),
                       ({"sql": "SELECT count(*) FROM plays", "follow": True}, "not_permitted")):
        status, _, text = door.ask("POST", "/v1/query", body)
        equal((status, json.loads(text)["error"]["code"]), (400, code), f"the answer to {body}")
    equal(json.loads(door.query("SELECT usr FROM plays")[2])["error"]["position"], 7)
    for path in ("/v1/query", "/v1/export"):
        equal(door.ask("POST", path, b"x" * (1 << 21))[0], 413)
        equal(door.ask("POST", path, b"{}", {"Content-Type": "text/plain"})[0], 415)
    equal(door.ask("GET", "/v1/query?sql=SELECT+1")[0], 406)
    equal(door.ask("GET", "/v1/query?sql=SELECT+1", headers=EVENTS)[0], 400)
    equal(door.ask("GET", "/v1/query?sql=SELECT+*+FROM+plays", headers=EVENTS)[0], 200)
    equal(door.ask("POST", "/v1/query", {"sql": "SELECT * FROM plays", "follow": True}, EVENTS)[0], 200)
    equal(door.ask("DELETE", "/v1/queries/x")[0], 400)
    equal(door.ask("DELETE", "/v1/queries/123456789")[0], 404)
    equal(door.ask("POST", "/v1/export", {"topics": []})[0], 400)
    for form in ("jsonl", "csv", "parquet", "records"):
        body = {"topics": ["plays"], "format": form, "partitions": [{"topic": "plays", "partition": 0, "from": 0, "to": 5}]}
        door.accepts("Export", body)
        equal(door.ask("POST", "/v1/export", body)[0], 200)
    mirrors(door, stranger)
    clusters(door, stranger)
    with busy(door):
        for path, body in (("/v1/query", {"sql": "SELECT 1"}), ("/v1/export", {"topics": ["plays"]})):
            status, headers, text = door.ask("POST", path, body)
            equal((status, json.loads(text)["error"]["code"], headers["Retry-After"]), (503, "busy", "1"))
        running = [query for query in door.running() if "RECURSIVE" in query["sql"]]
        equal(len(running), 2)
        for query in running:
            equal(door.ask("DELETE", f"/v1/queries/{query['id']}")[0], 200)
    promised = {(path, method, int(status)) for path, methods in door.document["paths"].items()
                for method, operation in methods.items() for status in operation["responses"]}
    equal(sorted(promised - door.seen - UNREACHABLE), [], "promised and not seen")


@contextlib.contextmanager
def busy(door):
    """As many statements run as may."""
    threads = [threading.Thread(target=door.ask, args=("POST", "/v1/query", {"sql": ENDLESS})) for _ in range(2)]
    wait_until(lambda: not door.running(), 30, "the statements before are gone")
    for thread in threads:
        thread.start()
    wait_until(lambda: len(door.running()) == 2, 30, "two statements run")
    yield
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def late_errors(door, broker):
    for form in ("json", "jsonl", "csv", "table"):
        connection = http.client.HTTPConnection(broker.http, timeout=60)
        connection.request("POST", "/v1/query", json.dumps({"sql": LATE, "format": form}), JSON)
        reply = connection.getresponse()
        equal(reply.status, 200)
        try:
            reply.read()
            raise AssertionError(f"{form}: the answer looks whole")
        except http.client.IncompleteRead as error:
            last = error.partial.decode().rstrip("\n").rsplit("\n", 1)[1]
            assert "malformed JSON" in last, (form, last)
            if form == "jsonl":
                equal(json.loads(last)["error"]["code"], "sql")
            if form == "json":
                with contextlib.suppress(json.JSONDecodeError):
                    json.loads(error.partial)
                    raise AssertionError("the array ends")
        done = node.run("query", LATE, "--format", form)
        equal(done.returncode, 1)
        assert "malformed JSON" in done.stderr and "malformed" not in done.stdout, done.stderr
    # The node goes away in the middle of an answer.
    with tempfile.TemporaryDirectory(prefix="quire-http-cut-") as scratch, Node(f"{scratch}/data") as other:
        sql = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"
        process = subprocess.Popen([node.binary(), "query", sql, "--server", f"http://{other.http}"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, preexec_fn=node.die_with_parent)
        process.stdout.read(100_000)
        other.kill()
        rest = process.communicate(timeout=60)
        equal(process.returncode, 1)
        assert b"cut off" in rest[1], rest[1]
        other.start()


def events(door, broker):
    quire("topic", "create", "live", "--partitions", "3")
    sql = "SELECT value, offset FROM live WHERE value <> 'hidden'"
    with Events(broker.http, sql) as stream:
        equal(stream.reply.headers.get_content_type(), "text/event-stream")
        first = stream.next()
        equal((first["event"], first["data"]), ("columns", ["value", "offset"]))
        for partition in range(3):
            values = [f"{partition}-{n}" for n in range(50)]
            quire("produce", "live", "--partition", str(partition), given="".join(f"{value}\nhidden\n" for value in values))
            equal([row["data"]["value"] for row in stream.rows(50)], values)
    everything = [f"{partition}-{n}" for partition in range(3) for n in range(50)]
    # Wherever a client breaks off, it goes on with the next row.
    for stop in (1, 49, 50, 51, 120):
        with Events(broker.http, sql, **{"from": "beginning"}) as stream:
            rows = stream.rows(stop)
        with Events(broker.http, sql, {"Last-Event-ID": rows[-1]["id"]}, method="POST") as stream:
            rest = stream.rows(150 - stop)
        equal([row["data"]["value"] for row in rows + rest], everything)
    with Events(broker.http, sql, {"Last-Event-ID": rest[-1]["id"]}) as stream:
        quire("produce", "live", "--partition", "1", given="later\n")
        equal([row["data"]["value"] for row in stream.rows(1)], ["later"])
    # Also where SQLite would rather look up one alternative after the other.
    for condition, expected in (("offset = 98 OR timestamp < 5 OR offset = 4", [(p, n) for p in range(3) for n in (2, 49)]),
                                ("offset IN (98, 4, 0)", [(p, n) for p in range(3) for n in (0, 2, 49)])):
        parts = f"SELECT value FROM live WHERE {condition}"
        expected = [f"{p}-{n}" for p, n in expected]
        for stop in range(1, len(expected)):
            with Events(broker.http, parts, **{"from": "beginning"}) as stream:
                rows = stream.rows(stop)
            with Events(broker.http, parts, {"Last-Event-ID": rows[-1]["id"]}) as stream:
                rest = stream.rows(len(expected) - stop)
            equal([row["data"]["value"] for row in rows + rest], expected)
    # A partition that is not there has no records to wait for.
    status, _, text = door.ask("GET", f"/v1/query?sql={urllib.parse.quote(sql)}&from=7:0", headers=EVENTS)
    equal((status, b"no partition 7" in text), (400, True))
    done = node.run("query", "--follow", "--from", "7:0", sql, seconds=60)
    equal((done.returncode, "no partition 7" in done.stderr), (1, True))
    with Events(broker.http, "SELECT value FROM live WHERE value = :v", parameters=json.dumps({"v": "2-7"}), **{"from": "beginning"}) as stream:
        equal(stream.rows(1)[0]["data"], {"value": "2-7"})
    wait_until(lambda: not door.running(), 30, "closed streams are gone")


def event_ends(door, broker):
    quire("topic", "create", "ending", "--partitions", "1")
    with Events(broker.http, "SELECT json(value) FROM ending") as stream:
        equal(stream.next()["event"], "columns")
        quire("produce", "ending", given="no JSON\n")
        event = stream.next()
        equal((event["event"], event["data"]["code"]), ("error", "sql"))
        equal(stream.next(), None)
    with Events(broker.http, "SELECT * FROM ending") as stream:
        equal(stream.next()["event"], "columns")
        query = door.running()[0]
        equal((query["is_following"], query["sql"]), (True, "SELECT * FROM ending"))
        door.ask("DELETE", f"/v1/queries/{query['id']}")
        equal(stream.next()["data"]["code"], "cancelled")
    with Events(broker.http, "SELECT * FROM ending") as stream:
        equal(stream.next()["event"], "columns")
        quire("topic", "delete", "ending")
        quire("topic", "create", "ending", "--partitions", "1")
        equal(stream.next()["data"]["code"], "history")
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
        equal(door.ask("GET", "/v1/query?sql=SELECT+*+FROM+plays", headers={**EVENTS, **headers})[0], 403)
    equal(door.ask("GET", "/v1/query?sql=SELECT+*+FROM+plays", headers={**EVENTS, "Last-Event-ID": "5"})[0], 400)


def slow(door, broker):
    """Nobody reads: the node keeps little of the answer, and whoever asks meanwhile is answered."""
    quire("topic", "create", "large", "--partitions", "1")
    quire("produce", "large", given=("x" * 1000 + "\n") * 20_000)
    with Events(broker.http, "SELECT value FROM large", **{"from": "beginning"}) as stream:
        wait_until(lambda: any(query["is_following"] and query["rows"] > 100 for query in door.running()), 30, "rows are under way")
        equal(door.query("SELECT 1")[0], 200)
        equal(len(stream.rows(20_000)), 20_000)
    # And not for ever: its thread and its place are free again.
    with (tempfile.TemporaryDirectory(prefix="quire-http-stall-") as scratch,
          Node(f"{scratch}/data", "--set", "quire.query.stall.ms=500", "--set", "quire.query.concurrency=1") as other,
          contextlib.closing(http.client.HTTPConnection(other.http, timeout=60)) as connection):
        another = Door(other)
        sql = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT printf('%.*c', 100000, 'x') FROM n"
        connection.request("POST", "/v1/query", json.dumps({"sql": sql, "format": "csv"}), JSON)
        wait_until(lambda: another.running(), 30, "the statement runs")
        wait_until(lambda: not another.running(), 30, "the client that reads nothing is cut off")
        equal(another.query("SELECT 1")[0], 200)
        try:
            connection.getresponse().read()
            raise AssertionError("the answer looks whole")
        except (http.client.IncompleteRead, ConnectionError):
            pass


def postgres(door, broker):
    """Statements of the other door are in the same registry, and stop the same way."""
    dsn = f"host={broker.postgres.rsplit(':', 1)[0]} port={broker.postgres.rsplit(':', 1)[1]} dbname=quire user=q"
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*)::int8 FROM n"
    states = []

    def run():
        with psycopg.connect(dsn, autocommit=True) as connection:
            try:
                connection.execute(endless)
            except psycopg.Error as error:
                states.append(error.sqlstate)
            equal(connection.execute("SELECT 1::int8").fetchone(), (1,))

    wait_until(lambda: not door.running(), 30, "the statements before are gone")
    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    running = wait_until(lambda: len(door.running()) == 2 and door.running(), 30, "both statements run")
    equal({query["door"] for query in running}, {"postgres"})
    assert all("RECURSIVE" in query["sql"] for query in running)
    equal(door.query("SELECT 1")[0], 503)
    for query in running:
        equal(door.ask("DELETE", f"/v1/queries/{query['id']}")[0], 200)
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    equal(states, ["57014", "57014"])
    # Clients that do not read hold no thread, and a place.
    rows = "COPY (WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n) TO STDOUT"
    with psycopg.connect(dsn) as one, psycopg.connect(dsn) as other, psycopg.connect(dsn, autocommit=True) as third:
        for connection in (one, other):
            connection.pgconn.send_query(rows.encode())
            connection.pgconn.flush()
        wait_until(lambda: len(door.running()) == 2, 30, "both statements run")

        def refused():
            try:
                third.execute("SELECT 1")
            except psycopg.Error as error:
                return error.sqlstate

        equal(wait_until(refused, 30, "a third statement is refused"), "53400")
        for connection in (one, other):
            connection.pgconn.finish()
        wait_until(lambda: not door.running(), 30, "statements end with their clients")
    with psycopg.connect(dsn, autocommit=True) as connection:
        # An idle portal is no running statement; a slow client's time is not its statement's.
        connection.autocommit = False
        with connection.transaction(), connection.cursor(name="idle") as cursor:
            cursor.itersize = 2
            cursor.execute("SELECT value FROM plays")
            cursor.fetchone()
            equal(door.running(), [])
        try:
            connection.execute("SELECT substring(value FROM 'a.*') FROM plays")
            raise AssertionError("substring with a pattern is not refused")
        except psycopg.Error as error:
            equal(error.sqlstate, "0A000")


PARTS = [
    ("the OpenAPI document is one", document),
    ("every route answers as the document says", answers),
    ("errors behind the first row are seen in every format", late_errors),
    ("events: each row once, and from where a client was", events),
    ("events: streams end with a word", event_ends),
    ("events: a client that does not read", slow),
    ("statements of Postgres clients are in the same registry", postgres),
]

if __name__ == "__main__":
    main()
