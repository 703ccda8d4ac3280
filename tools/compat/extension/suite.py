"""libquire.so in the programs that people load it into: the sqlite3 shell, Debian's Python, other Pythons' SQLite, Datasette.

    suite.py [PART]…      only the checks whose names have a PART in them
"""
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

from confluent_kafka import Producer

import node
from checks import check, equal, finish, wait_until
from node import Node

ONLY = sys.argv[1:]
LIBRARY = node.extension()
LOAD = f".load {LIBRARY}"
PLAYS = 600
TIME = 1_714_554_000_000


def wants(name):
    return not ONLY or any(part in name for part in ONLY)


def main():
    with tempfile.TemporaryDirectory(prefix="quire-extension-") as scratch:
        data = f"{scratch}/data"
        with check("the node stops cleanly"), Node(data) as broker:
            os.environ.update(QUIRE_BOOTSTRAP=broker.kafka, QUIRE_SERVER=f"http://{broker.http}")
            for topic, partitions in (("plays", 3), ("orders.v1", 1), ("Twins", 1), ("twins", 1), ("moving", 1),
                                      ("sqlite_master", 1), ("sqlite_new", 1)):
                made = node.run("topic", "create", topic, "--partitions", str(partitions), "--topic-config", "retention.ms=-1")
                assert made.returncode == 0, made.stderr
            producer = Producer({"bootstrap.servers": broker.kafka, "log_level": 0})
            for number in range(PLAYS):
                producer.produce("plays", b'{"n":%d}' % number, b"k%d" % (number % 7), number % 3, timestamp=TIME + number * 1000)
            producer.produce("orders.v1", b"\xff\0", None, 0, timestamp=TIME)
            producer.produce("sqlite_new", b"its own", None, 0, timestamp=TIME)
            for topic in ("Twins", "twins"):
                producer.produce(topic, topic.encode(), None, 0, timestamp=TIME)
            assert producer.flush(30) == 0
            wait_until(lambda: ask(data, "SELECT count(*) FROM plays") == [(PLAYS,)], 20, "everything is written down")
            for part in (shell, columns, running, interruptions, hosts):
                part(scratch, data, broker, producer)
        for part in (library, files, damage, datasette):
            part(scratch, data)
    finish()


def sql(*commands, **environment):
    """What the sqlite3 shell prints for these."""
    done = subprocess.run(["sqlite3", "-batch", ":memory:"], input="\n".join([LOAD, *commands]), capture_output=True, text=True,
                          timeout=60, env={**os.environ, **environment})
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr}"
    return done.stdout.strip()


def refused(*commands, **environment):
    done = subprocess.run(["sqlite3", "-batch", ":memory:"], input="\n".join([LOAD, *commands]), capture_output=True, text=True,
                          timeout=60, env={**os.environ, **environment})
    assert done.returncode == 1, f"exit {done.returncode}: {done.stdout} {done.stderr}"
    return done.stderr.strip()


def connect(data=None, **options):
    connection = sqlite3.connect(":memory:", **options)
    connection.enable_load_extension(True)
    connection.load_extension(LIBRARY)
    if data:
        connection.execute("SELECT quire_attach(?)", (data,)).fetchall()
    return connection


def ask(data, question):
    connection = connect(data)
    rows = connection.execute(question).fetchall()
    connection.close()
    return rows


def named(name):
    return wants(name) and check(name)


def shell(scratch, data, *_):
    segment = f"{data}/topics/plays-1/{0:020}.db"
    if context := named("sqlite3: a topic by name, of the table's name, and one segment file"):
        with context:
            equal(sql(f"CREATE VIRTUAL TABLE temp.p USING quire('{data}', 'plays');", "SELECT count(*), max(time) FROM p;"),
                  f"{PLAYS}|2024-05-01T09:09:59.000Z")
            equal(sql(f"CREATE VIRTUAL TABLE plays USING quire('{data}');", "SELECT sum(value ->> '$.n') FROM plays;"),
                  str(sum(range(PLAYS))))
            equal(sql(f'CREATE VIRTUAL TABLE s USING quire("{segment}");', "SELECT DISTINCT topic, partition, count(*) FROM s;"),
                  f"plays|1|{PLAYS // 3}")
    if context := named("sqlite3: quire_attach makes tables that .tables lists, also in another schema, and again"):
        with context:
            listed = sql(f"SELECT quire_attach('{data}');", f"SELECT quire_attach('{data}');", ".tables")
            assert listed.splitlines()[0] == listed.splitlines()[1], listed
            for name in ("temp.plays", "temp.orders.v1", "temp.Twins@1", "temp.twins@2", "temp.quire_lag", "temp.quire_batches"):
                assert name in listed.split(), f"{name} is not in {listed}"
            assert "quire_nodes" not in listed and "sqlite_" not in listed, listed
            equal(sql(f"CREATE VIRTUAL TABLE temp.reserved USING quire('{data}', 'sqlite_new');", "SELECT value FROM reserved;"),
                  "its own")
            equal(sql("ATTACH ':memory:' AS old;", f"SELECT quire_attach('{data}', 'old') > 10;", "SELECT count(*) FROM old.plays;",
                      "SELECT hex(value) FROM old.\"orders.v1\";", "SELECT value FROM \"Twins@1\";").splitlines(),
                  ["1", str(PLAYS), "FF00", "Twins"])
    if context := named("sqlite3: QUIRE_DATA_DIR makes every topic a table at once"):
        with context:
            equal(sql("SELECT key, count(*) FROM plays GROUP BY key ORDER BY 2 DESC, 1 LIMIT 1;",
                      "SELECT p.topic, records FROM quire_partitions p WHERE topic = 'plays' AND partition = 2;",
                      "SELECT quire_attach() > 10;", QUIRE_DATA_DIR=data).splitlines(), ["k0|86", "plays|200", "1"])
            assert "QUIRE_DATA_DIR: /nowhere: No such file or directory" in refused("SELECT 1;", QUIRE_DATA_DIR="/nowhere")
    if context := named("sqlite3: functions for events, and what the shell has stays the shell's"):
        with context:
            equal(sql("SELECT to_iso(tumble('2024-05-01T09:07:31Z', '5 minutes'));", "SELECT from_iso('1970-01-01T00:00:01Z');",
                      "SELECT median(x), percentile(x, 75) FROM (SELECT 1 AS x UNION SELECT 2 UNION SELECT 4);",
                      "SELECT count(*) FROM hop(60000, '2 minutes', '1 minute');", "SELECT base64(x'ff'), length(uuid());",
                      "SELECT header('[[\"a\",\"b\"]]', 'a'), instr('abc', 'c'), replace('aa', 'a', 'b'), trim('xax', 'x');",
                      "SELECT time_bucket('1 hour', 3600001), 'quire' REGEXP '^qu';").splitlines(),
                  ["2024-05-01T09:05:00.000Z", "1000", "2.0|3.0", "2", "/w==|36", "b|3|bb|a", "3600000|1"])
            # Shell functions of Debian's sqlite3 that we have by the same name.
            before = subprocess.run(["sqlite3", ":memory:", "SELECT name, narg FROM pragma_function_list ORDER BY 1, 2"],
                                    capture_output=True, text=True, check=True).stdout.splitlines()
            after = sql("SELECT name, narg FROM pragma_function_list ORDER BY 1, 2;").splitlines()
            ours = {"tumble", "time_bucket", "from_iso", "to_iso", "header", "base64", "uuid", "percentile", "median", "quire_attach",
                    "quire_version"}
            equal([row for row in after if row.split("|")[0] not in ours], before, "function")
    if context := named("sqlite3: the plan says what is read, pages by rowid are read in place"):
        with context:
            plan = sql(f"SELECT quire_attach('{data}');",
                       "EXPLAIN QUERY PLAN SELECT value FROM plays WHERE partition = 1 AND offset > 5;",
                       "EXPLAIN QUERY PLAN SELECT rowid, * FROM plays WHERE rowid > 300 ORDER BY rowid LIMIT 101;")
            assert "partition=?, offset>?" in plan and "rowID>?, merged by offset" in plan, plan
            assert "TEMP B-TREE" not in plan, plan
            connection = connect(data)
            rows = connection.execute("SELECT rowid, partition, offset FROM plays ORDER BY rowid").fetchall()
            equal([row[1:] for row in rows], sorted((row[1:] for row in rows), key=lambda row: row[::-1]), "row")
            for rowid, partition, offset in rows[::97]:
                equal(connection.execute("SELECT partition, offset FROM plays WHERE rowid = ?", (rowid,)).fetchall(),
                      [(partition, offset)])
    if context := named("sqlite3: what cannot be is an error in words"):
        with context:
            for command, words in {
                    "CREATE VIRTUAL TABLE x USING quire('/nowhere', 'plays');": "/nowhere: No such file or directory",
                    f"CREATE VIRTUAL TABLE x USING quire('{data}', 'pays');": "there is no topic pays",
                    f"CREATE VIRTUAL TABLE x USING quire('{data}', 'twins', 'b');": "quire takes a data directory and a topic",
                    f"CREATE VIRTUAL TABLE x USING quire('{scratch}', 'plays');": "quire.db",
                    f"CREATE VIRTUAL TABLE x USING quire('{node.binary()}');": "not a database",
                    f"CREATE VIRTUAL TABLE x USING quire('{data}/quire.db');": "is not a segment database of Quire",
                    f"CREATE VIRTUAL TABLE x USING quire('{segment}', 'twins');": "is a segment of the topic plays, not of twins",
                    "CREATE VIRTUAL TABLE x USING quire;": "quire needs a data directory or a segment file",
                    "SELECT quire_attach();": "quire_attach needs a data directory",
                    f"SELECT quire_attach('{data}', 'nothing');": "nothing",
                    f"SELECT quire_attach('{data}');\nINSERT INTO plays(value) VALUES (1);": "may not be modified",
                    f"SELECT quire_attach('{data}');\nUPDATE plays SET value = 1;": "may not be modified",
                    f"CREATE VIEW v AS SELECT quire_attach('{data}') AS n;\nSELECT * FROM v;": "unsafe use of quire_attach"}.items():
                said = refused(command)
                assert words in said, f"{command}: {said}"


def columns(scratch, data, *_):
    if context := named("sqlite3: declared columns, their indexes and full text"):
        with context:
            for arguments in (("plays", "n", "INTEGER", "value ->> '$.n'", "--indexed"), ("plays", "value", "--fulltext")):
                done = node.run("column", "add", *arguments)
                assert done.returncode == 0, done.stderr
            wait_until(lambda: ask(data, "SELECT count(*) FROM quire_columns") == [(2,)], 20, "both columns are there")
            question = f"SELECT quire_attach('{data}') > 0;"
            equal(sql(question, "SELECT n, partition, typeof(n) FROM plays WHERE n = 42;", "SELECT n FROM plays WHERE value MATCH '77';",
                      "SELECT max(n), sum(n) FROM plays WHERE n BETWEEN 5 AND 7;").splitlines(), ["1", "42|0|integer", "77", "7|18"])
            plan = sql(question, "EXPLAIN QUERY PLAN SELECT * FROM plays WHERE n = 42;")
            assert "index" in plan and "n=?" in plan, plan
            said = refused(question, "SELECT * FROM \"twins@2\" WHERE value MATCH 'x';")
            assert "MATCH needs a fulltext index" in said, said


def running(scratch, data, broker, producer):
    if context := named("beside a running node: each statement sees what is written down when it begins, and stays with it"):
        with context:
            connection = connect(data)
            under_way = connection.execute("SELECT offset, value FROM \"orders.v1\" ORDER BY offset")
            equal(under_way.fetchone()[0], 0)
            held = connection.execute("SELECT count(*) FROM plays").fetchone()[0]
            for number in range(30):
                producer.produce("orders.v1", b"more %d" % number, None, 0)
                producer.produce("plays", b'{"n":0}', b"late", 0)
            assert producer.flush(30) == 0
            wait_until(lambda: ask(data, 'SELECT count(*) FROM "orders.v1"') == [(31,)], 20, "more is written down")
            equal(under_way.fetchall(), [], "rows of the statement that was under way")
            equal(connection.execute('SELECT count(*) FROM "orders.v1"').fetchone()[0], 31)
            equal(connection.execute("SELECT count(*) FROM plays").fetchone()[0], held + 30)
            made = node.run("topic", "create", "later", "--partitions", "1")
            assert made.returncode == 0, made.stderr
            time.sleep(1.1)   # a list of topics may be a second old
            connection.execute("SELECT quire_attach(?)", (data,)).fetchall()
            equal(connection.execute("SELECT count(*) FROM later").fetchone()[0], 0)
    if context := named("beside a running node: one statement over a topic and what the system says of it is of one moment"):
        with context:
            stop = threading.Event()

            def produce():
                own = Producer({"bootstrap.servers": broker.kafka, "linger.ms": 1, "log_level": 0})
                while not stop.is_set():
                    own.produce("moving", b"x", None, 0)
                    own.flush(30)
            thread = threading.Thread(target=produce)
            thread.start()
            try:
                connection = connect(data)
                # While it pauses, more is written down.
                connection.create_function("pause", 0, lambda: time.sleep(1.5) or 0)
                wait_until(lambda: ask(data, "SELECT count(*) > 0 FROM moving") == [(1,)], 20, "something is written down")
                before = None
                for question in (
                        "SELECT count(*) FROM moving WHERE offset >= (SELECT pause())"
                        " UNION ALL SELECT high_watermark FROM quire_partitions WHERE topic = 'moving'"
                        " UNION ALL SELECT max(offset) + 1 FROM moving",
                        "WITH n(i) AS (SELECT count(*) FROM moving), m(i) AS (SELECT pause() + max(offset) + 1 FROM moving)"
                        " SELECT i FROM n UNION ALL SELECT i FROM m"
                        " UNION ALL SELECT records FROM quire_topics WHERE topic = 'moving'"):
                    if before is not None:
                        wait_until(lambda: {row[0] for row in ask(data, "SELECT count(*) FROM moving")} != before, 30, "more is written down")
                    counts = {row[0] for row in connection.execute(question)}
                    assert len(counts) == 1 and counts != before, f"{counts} of {question}, after {before}"
                    before = counts
            finally:
                stop.set()
                thread.join()


def interruptions(scratch, data, *_):
    if context := named("sqlite3: Ctrl-C stops a scan"):
        with context:
            shell = subprocess.Popen(["sqlite3", "-batch", ":memory:"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True)
            shell.stdin.write(f"{LOAD}\nSELECT quire_attach('{data}');\n"
                              "SELECT count(*) FROM plays a, plays b, plays c, plays d WHERE a.value < b.value || c.value || d.value;\n")
            shell.stdin.flush()
            shell.stdout.readline()
            shell.stdin.close()
            time.sleep(1)
            said = ""
            try:
                # One that comes before the scan has begun stops nothing.
                wait_until(lambda: shell.send_signal(signal.SIGINT) or time.sleep(0.5) or shell.poll() is not None, 30, "it ends")
                said = shell.stderr.read()
            finally:
                shell.kill()
            assert "nterrupt" in said, said
    if context := named("Python: interrupt and a progress handler stop a scan, also one that finds nothing"):
        with context:
            connection = connect(data)
            done = threading.Event()

            def interrupt():
                while not done.wait(0.2):
                    connection.interrupt()
            thread = threading.Thread(target=interrupt)
            thread.start()
            fails("interrupted", lambda: connection.execute("SELECT count(*) FROM plays a, plays b, plays c, plays d").fetchall())
            done.set()
            thread.join()
            # The statement itself has fewer steps than that: only within the scan there are as many.
            time.sleep(0.1)   # the scan before was asked about a moment ago
            connection.set_progress_handler(lambda: 1, 2000)
            fails("interrupted", lambda: connection.execute("SELECT * FROM plays WHERE producer_id = 424242").fetchall())
            connection.set_progress_handler(None, 0)
            equal(connection.execute("SELECT count(*) FROM plays WHERE producer_id = 424242").fetchall(), [(0,)])


def fails(words, act):
    try:
        act()
    except sqlite3.Error as error:
        assert words in str(error), f"{error} instead of {words}"
    else:
        raise AssertionError(f"nothing failed with {words}")


def hosts(scratch, data, *_):
    if context := named("Python: many connections of many threads, and one of several"):
        with context:
            shared = connect(data, check_same_thread=False)
            wrong = []

            def work(own):
                try:
                    for _ in range(20):
                        connection = shared if own is None else own
                        found = connection.execute("SELECT count(*), sum(value ->> '$.n') FROM plays WHERE key <> 'late'").fetchall()
                        if found != [(PLAYS, sum(range(PLAYS)))]:
                            wrong.append(found)
                except Exception as error:   # noqa: a thread's error is the check's
                    wrong.append(error)
            threads = [threading.Thread(target=work, args=(own,)) for own in
                       [None, None] + [connect(data, check_same_thread=False) for _ in range(3)]]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(120)
            equal(wrong, [])
    if context := named("Python: a closed connection leaves no file, no thread and no memory behind"):
        with context:
            def once():
                connection = connect(data)
                connection.execute("SELECT * FROM plays ORDER BY timestamp DESC").fetchone()
                connection.execute("SELECT * FROM quire_batches").fetchall()
                connection.close()
            for _ in range(100):
                once()
            before = (len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")), resident())
            for _ in range(100):
                once()
            after = (len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")), resident())
            equal(after[:2], before[:2], "files and threads")
            assert after[2] - before[2] < 16 << 20, f"{(after[2] - before[2]) >> 10} KiB more after 100 connections"
    for module in ("pysqlite3", "apsw") if platform.machine() == "x86_64" else ("apsw",):
        if context := named(f"{module}: a program with SQLite of its own, which has loaded it, and Debian's beside it, which may not"):
            with context:
                made = "m.Connection(':memory:')" if module == "apsw" else "m.connect(':memory:')"
                script = f"""
import sqlite3, {module} as m
c = {made}
c.enable_load_extension(True)
c.load_extension({LIBRARY!r})
print(*c.cursor().execute("SELECT quire_attach(?) > 10", ({data!r},)).fetchall()[0])
print(*c.cursor().execute("SELECT count(*), sum(value ->> '$.n') FROM plays WHERE key <> 'late'").fetchall()[0])
print(c.cursor().execute("SELECT sqlite_version()").fetchall()[0][0] != sqlite3.sqlite_version)
d = sqlite3.connect(":memory:")
d.enable_load_extension(True)
try:
    d.load_extension({LIBRARY!r})
except sqlite3.OperationalError as error:
    print(error)
"""
                done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
                assert done.returncode == 0, done.stderr
                lines = done.stdout.splitlines()
                equal(lines[:3], ["1", f"{PLAYS} {sum(range(PLAYS))}", "True"])
                assert "another copy of SQLite in this process" in lines[3], lines
    if context := named("a host whose SQLite is too old, or lacks something, is told so"):
        with context:
            for way, words in (("old", "Quire needs SQLite 3.38 or later; this program has 3.40.1"),
                               ("vtab_in", "Quire needs sqlite3_vtab_in, which this program's SQLite was built without"),
                               ("none", "")):
                done = subprocess.run([sys.executable, "-c", STRANGE_HOST, LIBRARY, way], capture_output=True, text=True, timeout=60)
                equal((done.returncode, done.stdout.strip()), (0, f"1 {words}".strip()), done.stderr)


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# A host that hands over a table of functions made up of Debian's.
STRANGE_HOST = r"""
import ctypes, re, sys
library, way = sys.argv[1:]
sqlite = ctypes.CDLL("libsqlite3.so.0")
text = open("/usr/include/sqlite3ext.h").read()
fields = text[text.index("struct sqlite3_api_routines"):text.index("};")]
names = re.findall(r"^  (?! )[^\n(]*\(\*(\w+)\)", fields, re.MULTILINE)
old = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 3037002)
def address(name):
    if name == way: return None
    if name == "libversion_number" and way == "old": return ctypes.cast(old, ctypes.c_void_p).value
    spelled = {"interruptx": "interrupt", "xvsnprintf": "vsnprintf", "xsnprintf": "snprintf"}.get(name, name)
    try: return ctypes.cast(getattr(sqlite, "sqlite3_" + spelled), ctypes.c_void_p).value
    except AttributeError: return None
table = (ctypes.c_void_p * len(names))(*[address(name) for name in names])
message = ctypes.c_char_p()
entry = ctypes.CDLL(library).sqlite3_quire_init
entry.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
code = entry(None, ctypes.byref(message), None if way == "none" else table)
print(code, (message.value or b"").decode())
"""


def library(scratch, *_):
    if context := named("the library: one symbol to be seen, no SQLite wanted, and nothing but C libraries of Debian"):
        with context:
            def lines(*command):
                return subprocess.run([*command, LIBRARY], capture_output=True, text=True, check=True).stdout.splitlines()
            seen = [line.split()[-1] for line in lines("nm", "-D", "--defined-only") if line.split()[-2].isupper()]
            equal(seen, ["sqlite3_quire_init"])
            equal([line for line in lines("nm", "-D", "--undefined-only") if " sqlite3_" in line], [])
            needed = {re.search(r"\[(.*?)\.so", line)[1] for line in lines("readelf", "-d") if "NEEDED" in line}
            allowed = {"libc", "libm", "libstdc++", "libgcc_s", "libz", "libsnappy", "liblz4", "libzstd", "ld-linux-x86-64",
                       "ld-linux-aarch64"}
            assert needed <= allowed, needed - allowed
    if context := named("loading starts no thread and opens no file"):
        with context:
            script = f"""
import os, sqlite3
c = sqlite3.connect(":memory:")
c.enable_load_extension(True)
before = len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))
c.load_extension({LIBRARY!r})
assert (len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))) == before
"""
            done = subprocess.run(["/usr/bin/python3", "-c", script], capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr


def fingerprint(directory):
    found = {}
    for path in sorted(glob.glob(f"{directory}/**", recursive=True)):
        # -shm is SQLite's scratch, which every reader shares.
        if os.path.isfile(path) and not path.endswith("-shm"):
            with open(path, "rb") as file:
                found[path] = hashlib.sha256(file.read()).hexdigest()
    return found


def files(scratch, data):
    if context := named("no node runs: everything is there, and no file is changed"):
        with context:
            before = {path: digest for path, digest in fingerprint(data).items() if os.path.getsize(path)}
            equal(ask(data, "SELECT count(*), sum(value ->> '$.n') FROM plays WHERE key <> 'late'"), [(PLAYS, sum(range(PLAYS)))])
            ask(data, "SELECT * FROM quire_batches, quire_lag, quire_groups, quire_producers")
            equal({path: digest for path, digest in fingerprint(data).items() if path in before}, before)
    if context := named("a copied segment file by itself, also where nothing can be written"):
        with context:
            copied = f"{scratch}/elsewhere"
            os.mkdir(copied)
            for path in glob.glob(f"{data}/topics/plays-1/{0:020}.db*"):
                if not path.endswith("-shm"):
                    shutil.copy(path, f"{copied}/copy.db{path.split('.db')[1]}")
            connection = connect()
            connection.execute(f"CREATE VIRTUAL TABLE s USING quire('{copied}/copy.db')")
            count = connection.execute("SELECT count(*) FROM s").fetchone()[0]
            equal(count, PLAYS // 3)


def damage(scratch, data):
    if context := named("damage is an error of the statements that meet it, and of no others"):
        with context:
            broken = f"{scratch}/broken"
            shutil.copytree(data, broken)
            (path,) = glob.glob(f"{broken}/topics/plays-0/*.db")
            for name in (path, path + "-wal"):
                if os.path.exists(name) and os.path.getsize(name):
                    with open(name, "r+b") as file:
                        content = file.read()
                        file.seek(content.index(b'{"n":0}'))
                        file.write(b'{"n":9}')
            connection = connect(broken)
            fails("plays-0", lambda: connection.execute("SELECT sum(length(value)) FROM plays").fetchall())
            equal(connection.execute("SELECT count(value) FROM plays WHERE partition = 1").fetchone()[0], PLAYS // 3)
            shutil.rmtree(broken)
            fails("", lambda: connection.execute("SELECT * FROM twins").fetchall())


def datasette(scratch, data):
    def get(path, *arguments, **environment):
        done = subprocess.run([sys.executable, "-m", "datasette", *arguments, f"--load-extension={LIBRARY}", "--get", path], capture_output=True, text=True,
                              timeout=120, env={**os.environ, **environment})
        assert done.returncode == 0, f"{path}: {done.stderr[-2000:]}"
        return json.loads(done.stdout)

    if context := named("Datasette: SQL over topics with QUIRE_DATA_DIR and no database at all"):
        with context:
            equal(get("/_memory.json?sql=select+key,count(*)+n+from+plays+where+key<>'late'+group+by+1+limit+2&_shape=array", "--memory",
                      QUIRE_DATA_DIR=data), [{"key": "k0", "n": 86}, {"key": "k1", "n": 86}])
    if context := named("Datasette: a catalogue database lists topics as tables, with pages, facets and rows"):
        with context:
            catalogue = f"{scratch}/history.db"
            made = subprocess.run(["sqlite3", "-batch", catalogue], input=f"{LOAD}\nSELECT quire_attach('{data}', 'main');", text=True,
                                  capture_output=True, timeout=60)
            assert made.returncode == 0, made.stderr
            for arguments in ([catalogue], ["-i", catalogue]):
                listed = get("/history.json", *arguments)
                assert {"plays", "orders.v1", "quire_partitions"} <= {table["name"] for table in listed["tables"]}, listed["tables"]
            page = get("/history/plays.json?_size=50&_facet=key&key__not=late", catalogue)
            equal((len(page["rows"]), len(page["facet_results"]["key"]["results"])), (50, 7))
            second = get(f"/history/plays.json?_size=50&key__not=late&_next={page['next']}", catalogue)
            equal(sorted([row[2:4] for row in page["rows"] + second["rows"]]),
                  sorted([partition, offset] for offset in range(34) for partition in range(3) if offset < 33 or partition == 0), "row")
            row = get(f"/history/plays/{page['next']}.json", catalogue)
            equal(row["rows"][0][2:4], page["rows"][-1][2:4])


main()
