"""Three hundred SQL statements through every door, against plain tables with the same rows.

    suite.py [PART]…      only the checks whose names have a PART in them
"""
import concurrent.futures
import datetime
import http.client
import json
import os
import platform
import random
import sqlite3
import subprocess
import sys
import tempfile

import psycopg

import node
import spelling
import world
from checks import check, equal, finish, shorten, wait_until
from node import Node

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
ONLY = sys.argv[1:]
HOSTS = [("sqlite3", "/usr/bin/python3"), ("apsw", sys.executable)]
if platform.machine() == "x86_64":
    HOSTS.append(("pysqlite3", sys.executable))


def wants(name):
    return not ONLY or any(part in name for part in ONLY)


def statements():
    with open(f"{ROOT}/Tests/Fixtures/sql/statements.sql") as file:
        return [line.rstrip("\n") for line in file if line.strip() and not line.startswith("--")]


def refused_by_postgres():
    """{statement: why}: what cannot be answered in Postgres' types."""
    reason, refused = None, {}
    with open(f"{HERE}/postgres.sql") as file:
        for line in file:
            if line.startswith("-- "):
                reason = line[3:].strip()
            elif line.strip():
                refused[line.rstrip("\n")] = reason
    return refused


class Text(bytes):
    """A text of SQLite, which may be no UTF-8."""


def expected(path, asked):
    """The rows of the plain tables: {statement: rows}, texts as Text, blobs as bytes."""
    database = sqlite3.connect(path)
    database.text_factory = Text
    return {sql: [list(row) for row in database.execute(sql)] for sql in asked}


def main():
    asked = statements()
    assert len(set(asked)) >= 300
    with tempfile.TemporaryDirectory(prefix="quire-doors-") as scratch, Node(f"{scratch}/data") as broker:
        os.environ.update(QUIRE_BOOTSTRAP=broker.kafka, QUIRE_SERVER=f"http://{broker.http}")
        for topic, partitions in world.TOPICS.items():
            done = node.run("topic", "create", topic, "--partitions", str(partitions), "--topic-config", "retention.ms=-1")
            assert done.returncode == 0, done.stderr
        rows = world.fill(broker.kafka)
        plain = f"{scratch}/plain.db"
        world.plain(plain, broker.data, rows)
        wanted = expected(plain, asked)
        with check(f"{len(rows)} rows in plain tables are those of the topics"):
            for topic in world.TOPICS:
                count = sum(row[0] == topic for row in rows)
                equal(HTTP(broker.http)(f"SELECT count(*) FROM {topic}"), [[count]], topic)
        # Files are read up to the high watermarks that are written down in them, a moment later.
        wait_until(lambda: written_down(broker.data) == len(rows), 20, "everything is written down")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            hosts = [pool.submit(host, *named, broker.data, plain, asked) for named in HOSTS]
            through("HTTP", HTTP(broker.http), asked, wanted, as_json)
            through("the command line", command_line, asked, wanted, as_json, pool)
            postgres(broker.postgres, asked, wanted, plain)
            for checks in hosts:
                checks.result()()
        parameters(broker, plain)
    finish()


def written_down(data):
    sql = " UNION ALL ".join(f"SELECT count(*) AS n FROM {topic}" for topic in world.TOPICS)
    done = node.run("query", f"SELECT sum(n) FROM ({sql})", "--data-dir", data, "--format", "csv")
    return int(done.stdout.split()[-1])


def through(door, ask, asked, wanted, form, pool=None):
    name = f"{len(asked)} statements through {door}"
    if not wants(name):
        return
    with check(name):
        rng = random.Random(3)
        spelled = [spelling.respell(sql, rng) for sql in asked]
        for sql, said, rows in zip(asked, spelled, (pool.map if pool else map)(ask, spelled)):
            same(rows, [[form(value) for value in row] for row in wanted[sql]], said)


def same(rows, expected, sql):
    assert typed(rows) == typed(expected), f"{sql}\n  got      {shorten(rows)}\n  expected {shorten(expected)}"


def typed(rows):
    # 1 and 1.0 and True are equal in Python.
    return [[(type(value), value) for value in row] for row in rows]


def as_json(value):
    """A value as JSON has it: what is no text is base64."""
    if isinstance(value, bytes):
        made = world.base64.b64encode(value).decode()
        if isinstance(value, Text):
            try:
                return value.decode()
            except UnicodeDecodeError:
                pass
        return {"base64": made}
    return value


def from_lines(text):
    def row(pairs):
        return dict(pairs) if [name for name, _ in pairs] == ["base64"] else [value for _, value in pairs]
    return [json.loads(line, object_pairs_hook=row) for line in text.splitlines()]


class HTTP:
    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address, timeout=60)

    def __call__(self, sql, **values):
        body = json.dumps({"sql": sql, "format": "jsonl", "parameters": values})
        self.connection.request("POST", "/v1/query", body, {"content-type": "application/json"})
        response = self.connection.getresponse()
        text = response.read().decode()
        assert response.status == 200, f"{response.status} {text}: {sql}"
        return from_lines(text)


def command_line(sql):
    done = subprocess.run([node.binary(), "query", "-", "--format", "jsonl"], input=sql, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{done.stderr}: {sql}"
    return from_lines(done.stdout)


def host(module, python, data, plain, asked):
    """Runs the statements in a program that has loaded the extension; returns the check of its answers, to be made in turn."""
    name = f"{len(asked)} statements in {os.path.basename(python)} with {module} and libquire"
    if not wants(name):
        return lambda: None

    library = node.extension()
    done = subprocess.run([python, f"{HERE}/host.py", module, library, data, plain], input=json.dumps(asked), capture_output=True,
                          text=True, timeout=300)

    def checks():
        with check(name):
            assert done.returncode == 0, f"exit {done.returncode}: {done.stderr[-2000:]}"
            answer = json.loads(done.stdout)
            print(f"# SQLite {answer['version']}", flush=True)
            assert not answer["different"], f"{len(answer['different'])} differ, the first: {': '.join(answer['different'][0])}"
    return checks


def postgres(address, asked, wanted, plain):
    name = f"{len(asked)} statements through Postgres' protocol"
    if not wants(name):
        return
    refused = refused_by_postgres()
    rng = random.Random(5)
    with check(name), connected(address) as connection:
        equal(sorted(set(refused) - set(asked)), [], "a statement that is not asked at all")
        for sql in asked:
            said = spelling.respell(sql, rng)
            try:
                answer = connection.execute(said)
            except psycopg.errors.DataException as error:
                assert sql in refused, f"{error}: {said}"
                typed_by_itself(connection, sql, plain)
                continue
            except psycopg.Error as error:
                raise AssertionError(f"{error}: {said}") from None
            assert sql not in refused, f"is answered, although {refused[sql]}: {said}"
            oids = [column.type_code for column in answer.description]
            same(answer.fetchall(), [[as_postgres(*pair) for pair in zip(row, oids)] for row in wanted[sql]], said)
    print(f"# {len(refused)} of them with columns of one type each, and why is in postgres.sql", flush=True)


def typed_by_itself(connection, sql, plain):
    """Asks a statement whose columns have values of several types for the type and the bytes of each."""
    tables = sqlite3.connect(plain)
    count = len(tables.execute(sql).description)
    names = [f"c{number}" for number in range(count)]
    columns = ", ".join(f"typeof({name}) || ' ' || hex({name})" for name in names)
    said = f"WITH q({', '.join(names)}) AS ({sql}) SELECT {columns} FROM q"
    same(connection.execute(said).fetchall(), [list(row) for row in tables.execute(said)], said)


def connected(address):
    host, port = address.rsplit(":", 1)
    connection = psycopg.connect(host=host, port=int(port), user="ada", dbname="quire", autocommit=True)
    connection.adapters.register_loader("json", psycopg.types.string.TextLoader)
    return connection


def as_postgres(value, oid):
    """A value in the type that its column was said to have."""
    if oid == 17 and value is not None:
        return bytes(value)
    if value is None:
        return value
    if oid == 16:
        return bool(value)
    if oid == 701:
        return float(value)
    if oid == 1184:
        return datetime.datetime.fromisoformat(value.decode().replace("Z", "+00:00"))
    if isinstance(value, Text):
        return value.decode()
    # Text is also what a column is whose first row was NULL and told no type.
    return str(value) if oid == 25 else value


def parameters(broker, plain):
    name = "parameters of every type through every door"
    if not wants(name):
        return
    ask = HTTP(broker.http)
    tables = sqlite3.connect(plain)
    tables.text_factory = Text
    topics = sqlite3.connect(":memory:")
    topics.text_factory = Text
    topics.enable_load_extension(True)
    topics.load_extension(node.extension())
    topics.execute("SELECT quire_attach(?)", (broker.data,))
    fits = {"partition": (2, 1.5), "offset": (20, 7.25), "timestamp": (world.EPOCH + 60_000, -1), "key": ("k1", ""),
            "time": ("2024-05-01T09:02:00.000Z",)}
    with check(name), connected(broker.postgres) as connection:
        for column, own in fits.items():
            for value in dict.fromkeys((*own, 20, 20.5, "20", "2e1", "abc", "", None, 2**63 - 1)):
                for comparison in ("=", "<", ">=", "IS", "<>"):
                    sql = f"SELECT partition, offset FROM events WHERE {column} {comparison} :v ORDER BY partition, offset"
                    rows = [list(row) for row in tables.execute(sql, {"v": value})]
                    said = f"{sql} with {value!r}"
                    same(ask(sql, v=value), rows, f"HTTP: {said}")
                    same([list(row) for row in topics.execute(sql, {"v": value})], rows, f"the extension: {said}")
                    if value in own and comparison != "IS":
                        answer = connection.execute(sql.replace(":v", "%s"), (value,)).fetchall()
                        same(answer, rows, f"Postgres: {said}")
                    if value in own and comparison == ">=" and value != "":
                        done = node.run("query", sql, "--format", "jsonl", "-p", f"v={value}")
                        same(from_lines(done.stdout), rows, f"the command line: {said}")


main()
