"""`quire query` as a person uses it: on a terminal, in a script, following.

    suite.py [PART]…      only the checks whose names have a PART in them
"""
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import urllib.request

import node
from checks import check, equal, finish, wait_until
from node import Node
from terminal import Terminal

ONLY = sys.argv[1:]
# So many rows of nothing that it never ends by itself.
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


def wants(name):
    return not ONLY or any(part in name for part in ONLY)


def quire(*arguments, ok=True, given=None):
    done = node.run(*arguments, seconds=60, stdin=given)
    assert (done.returncode == 0) == ok, f"exit {done.returncode}: quire {' '.join(arguments)}: {done.stderr[-800:]}"
    return done


def main():
    with tempfile.TemporaryDirectory(prefix="quire-prompt-") as scratch, Node(f"{scratch}/data") as broker:
        os.environ.update(QUIRE_BOOTSTRAP=broker.kafka, QUIRE_SERVER=f"http://{broker.http}", XDG_STATE_HOME=f"{scratch}/state")
        quire("topic", "create", "plays", "--partitions", "2")
        quire("topic", "create", "orders.v1", "--partitions", "1")
        quire("topic", "create", "hop", "--partitions", "1")
        lines = "".join(f'{{"user":"{"ann" if n % 2 else "bob"}","n":{n}}}\n' for n in range(100))
        quire("produce", "plays", given=lines)
        quire("column", "add", "plays", "who", "TEXT", "value ->> '$.user'", "--indexed")
        for name, part in PARTS:
            if wants(name):
                with check(name):
                    part(scratch, broker)
    finish()


def prompt(*arguments, **options):
    terminal = Terminal([node.binary(), "query", *arguments], **options)
    terminal.prompt()
    return terminal


def answers(scratch, broker):
    with prompt() as terminal:
        assert "100" in terminal.ask("SELECT count(*) FROM plays;")
        terminal.line("SELECT count(*)")
        terminal.expect(r"\.> $")
        terminal.line("FROM plays")
        terminal.expect(r"\.> $")
        assert "(1 row)" in terminal.ask("WHERE value ->> '$.user' = 'ann';")
        terminal.line("SELECT 'it is ; not")
        terminal.expect(r"'> $")
        assert r"it is ; not\nover" in terminal.ask("over' AS x;")
        assert "quire_lag" in terminal.ask(".tables")
        assert "orders.v1" in terminal.ask(".tables ord*")
        assert "hop@1" in terminal.ask(".tables hop*"), "names that can be asked"
        assert "INTEGER" in terminal.ask(".schema hop@1")
        shown = terminal.ask(".schema plays")
        assert "value" in shown and "HIDDEN" in shown and "who TEXT" in shown, shown
        terminal.ask(".format jsonl")
        assert '{"a":1,"b":"x"}' in terminal.ask("SELECT 1 AS a, 'x' AS b;")
        terminal.ask(".param set who ann")
        assert '{"n":50}' in terminal.ask("SELECT count(*) AS n FROM plays WHERE value ->> '$.user' = :who;")
        assert '{"x":7}' in terminal.ask("SELECT 7 AS x;"), "a parameter that is not named"
        terminal.ask(".timer on")
        assert "time: " in terminal.ask("SELECT 1;")
        assert "usage: .format" in terminal.ask(".format xml")
        terminal.line(".quit")
        equal(terminal.wait(), 0)


def errors(scratch, broker):
    with prompt() as terminal:
        shown = terminal.ask("SELECT usr FROM plays;")
        assert "error: no such column: usr" in shown, shown
        column = next(line for line in shown.splitlines() if line.strip() == "^").index("^")
        line = next(line for line in shown.splitlines() if line.startswith("  SELECT usr"))
        equal(line[column:column + 3], "usr")
        assert "error: " in terminal.ask("DELETE FROM plays;")
        assert "error: " in terminal.ask(".nonsense")
        assert "(1 row)" in terminal.ask("SELECT 1;"), "the prompt goes on"
        terminal.type("\x04")
        equal(terminal.wait(), 0)


def running(broker):
    with urllib.request.urlopen(f"http://{broker.http}/v1/queries", timeout=30) as reply:
        return json.load(reply)["queries"]


def cancels(scratch, broker):
    with prompt() as terminal:
        terminal.line(f"{ENDLESS};")
        wait_until(lambda: any("RECURSIVE" in query["sql"] for query in running(broker)), 30, "the statement runs")
        terminal.type("\x03")
        terminal.expect("cancelled")
        terminal.expect(r"quire> $")
        wait_until(lambda: not running(broker), 30, "nothing is left on the node")
        terminal.type("SELECT nonsense")
        terminal.expect("SELECT nonsense")
        terminal.type("\x03")
        terminal.expect(r"\nquire> $")
        assert "(1 row)" in terminal.ask("SELECT 1;"), "the line was thrown away"
        terminal.line("SELECT")
        terminal.expect(r"\.> $")
        terminal.type("\x03")
        terminal.expect(r"\nquire> $")
        assert "(1 row)" in terminal.ask("SELECT 1;"), "the statement was thrown away"
        terminal.type("\x04")
        equal(terminal.wait(), 0)


def completes(scratch, broker):
    with prompt() as terminal:
        terminal.type("sel\t")
        terminal.expect("select ")
        terminal.type("cou\t")
        terminal.expect(r"count\(")
        # What is not known yet is known a moment later.
        terminal.type("*) FROM pl")
        terminal.expect_pressing("\t", "plays ")
        terminal.type("WHERE parti\t")
        terminal.expect(r"(?i)partition")
        terminal.type("\x03")
        terminal.expect(r"quire> $")
        terminal.type("SELECT max(comp\t")
        terminal.expect("compression ")
        terminal.type(") FROM \"ord")
        terminal.expect_pressing("\t", r'"orders\.v1" ')
        terminal.line(";")
        terminal.expect(r"\(1 row\)")
        terminal.prompt()
        terminal.type("SELECT * FROM quire_t\t\t")
        terminal.expect("quire_topics +quire_transactions")
        terminal.type("\x03")
        terminal.expect(r"quire> $")
        terminal.type(".ta\t")
        terminal.expect(r"\.tables ")
        terminal.type("\x03")
        terminal.expect(r"quire> $")
    # A node that does not answer keeps nobody from typing.
    with prompt() as terminal:
        os.kill(broker.process.pid, signal.SIGSTOP)
        try:
            terminal.type("sel\t")
            terminal.expect("select ")
            terminal.type("* FROM quire_top\t")
            terminal.expect("quire_topics ")
        finally:
            os.kill(broker.process.pid, signal.SIGCONT)


def remembers(scratch, broker):
    with prompt() as terminal:
        terminal.line("SELECT 'remembered'")
        terminal.expect(r"\.> $")
        terminal.ask("AS word;")
        terminal.type("\x04")
        equal(terminal.wait(), 0)
    path = f"{scratch}/state/quire/history"
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o600)
    with open(path) as history:
        equal(history.read().splitlines()[-1], "SELECT 'remembered' AS word;")
    with prompt() as terminal:
        terminal.type("\x1b[A")
        terminal.expect("SELECT 'remembered' AS word;")
        terminal.line("")
        terminal.expect(r"remembered\s*\n\(1 row\)")
        terminal.prompt()
        terminal.type("\x04")
        equal(terminal.wait(), 0)


def pages(scratch, broker):
    pager = f"{scratch}/pager"
    with open(pager, "w") as script:
        script.write(f"#!/bin/sh\ncat >{scratch}/paged\necho PAGED\n")
    os.chmod(pager, 0o755)
    with prompt(env={"PAGER": pager}, rows=20) as terminal:
        assert "PAGED" not in terminal.ask("SELECT 1;")
        assert "PAGED" in terminal.ask("SELECT value FROM plays;")
        with open(f"{scratch}/paged") as paged:
            equal(paged.read().count("user"), 100)
    with prompt(env={"PAGER": "head -n 3"}, rows=20) as terminal:
        terminal.ask("SELECT a.value FROM plays a, plays b;")
        assert "(1 row)" in terminal.ask("SELECT 1;"), "a pager that is left early ends the statement, not the prompt"
        wait_until(lambda: not running(broker), 30, "nothing is left on the node")


def offline(scratch, broker):
    wait_until(lambda: "100" in quire("query", "SELECT count(*) FROM plays", "--data-dir", broker.data).stdout, 30, "written down")
    with prompt("--data-dir", broker.data) as terminal:
        assert "100" in terminal.ask("SELECT count(*) FROM plays;")
        assert "orders.v1" in terminal.ask(".tables")
        terminal.line(f"SELECT 'begun'; {ENDLESS};")
        terminal.expect(r"\(1 row\)")
        terminal.expect_pressing("\x03", "cancelled")
        terminal.expect(r"quire> $")
        assert "(1 row)" in terminal.ask("SELECT 1;")


def without_library(scratch, broker):
    empty = f"{scratch}/no-libedit"
    os.makedirs(empty, exist_ok=True)
    # A file of that name that is no library stands in its way.
    open(f"{empty}/libedit.so.2", "w").close()
    with prompt(env={"LD_LIBRARY_PATH": empty}) as terminal:
        assert "100" in terminal.ask("SELECT count(*) FROM plays;")
        terminal.type("SELECT nonsense\x03")
        terminal.expect(r"\nquire> $")
        assert "(1 row)" in terminal.ask("SELECT 1;")
        terminal.type("\x04")
        equal(terminal.wait(), 0)


def scripts(scratch, broker):
    done = quire("query", "--format", "csv", given="SELECT 1 AS a; -- one;\nSELECT ';' AS b\n;\n.format jsonl\nSELECT 3 AS c")
    equal(done.stdout, 'a\n1\nb\n;\n{"c":3}\n')
    done = quire("query", given="SELECT 1 AS a;\nSELECT usr FROM plays;\nSELECT 'never';\n", ok=False)
    assert "never" not in done.stdout and "1" in done.stdout, done.stdout
    equal(done.stderr, "quire: line 2: no such column: usr\n")
    with open(f"{scratch}/statements.sql", "w") as file:
        file.write("SELECT :x AS x;\n")
    equal(quire("query", "--format", "csv", "-p", "x=5", "-p", "y=6", given=f".read {scratch}/statements.sql\n").stdout, "x\n5\n")
    equal(quire("query", given="").stdout, "")
    for text, words in (("SELECT 1 AS a;\nSELECT 1" + ",\n 1" * 400_000, "line 2: the statement has more than 1048576 bytes"),
                        ("SELECT 1 AS a;\nSELECT '" + "x" * (17 << 20), "a line has more than 16777216 bytes")):
        done = quire("query", "--format", "csv", given=text, ok=False)
        assert done.stdout == "a\n1\n" and words in done.stderr, (done.stdout[:100], done.stderr[:300])


def limits(scratch, broker):
    for arguments, words in (
        (("--limit-time", "200ms"), "longer than its limit"), (("--limit-memory", "600KiB"), "of memory"),
    ):
        for where in ((), ("--data-dir", broker.data)):
            sql = ENDLESS if "time" in arguments[0] else "SELECT hex(zeroblob(3000000))"
            done = quire("query", sql, *arguments, *where, ok=False)
            assert words in done.stderr, done.stderr
    done = quire("query", "SELECT value FROM plays", "--limit-output", "100", ok=False)
    assert "limit of 100 bytes" in done.stderr, done.stderr
    done = quire("query", "SELECT hex(randomblob(2000)) AS x FROM plays a, plays b ORDER BY x", "--limit-disk", "64KiB", ok=False)
    assert "temporary disk" in done.stderr, done.stderr


def begin_following(*arguments):
    """A `quire query --follow` whose statement runs."""
    process = subprocess.Popen([node.binary(), "query", "--follow", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, preexec_fn=node.die_with_parent)
    return process


def follows(scratch, broker):
    quire("topic", "create", "live", "--partitions", "3")
    quire("produce", "live", given="before\n")
    process = begin_following("SELECT value FROM live WHERE value <> 'hidden'", "--format", "jsonl")
    wait_until(lambda: any(query["is_following"] for query in running(broker)), 30, "the statement is followed")
    expected = []
    for part in range(5):
        values = [f"{part}-{n}" for n in range(20)]
        quire("produce", "live", "--partition", str(part % 3), given="".join(f"{value}\n" for value in values + ["hidden"]))
        expected += values
        for value in values:
            equal(json.loads(process.stdout.readline())["value"], value)
    quire("topic", "alter", "live", "--partitions", "4")
    quire("produce", "live", "--partition", "3", given="in a new partition\n")
    equal(json.loads(process.stdout.readline())["value"], "in a new partition")
    process.send_signal(signal.SIGINT)
    equal(process.wait(30), 130)
    equal(process.stdout.read(), "")
    wait_until(lambda: not running(broker), 30, "nothing is left on the node")
    process = begin_following("SELECT offset FROM plays WHERE who = 'ann'", "--from", "beginning", "--format", "jsonl")
    for _ in range(50):
        json.loads(process.stdout.readline())
    quire("produce", "plays", given='{"user":"bob"}\n{"user":"ann"}\n')
    json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    equal((process.wait(30), process.stdout.read()), (130, ""))
    for form, first in (("csv", "value\n"), ("table", None), ("json", None)):
        process = begin_following("SELECT value FROM live", "--from", "beginning", "--format", form)
        shown = ""
        while "in a new partition" not in shown:
            shown += process.stdout.readline()
            if form == "json" and shown.count("\n") == 1 + len(expected) + 5:
                break
        assert first is None or shown.startswith(first), shown[:200]
        process.terminate()
        equal(process.wait(30), 143)


def stops_following(scratch, broker):
    quire("topic", "create", "gone", "--partitions", "1")
    process = begin_following("SELECT * FROM gone")
    query = wait_until(lambda: [query for query in running(broker) if query["is_following"]], 30, "the statement is followed")[0]
    request = urllib.request.Request(f"http://{broker.http}/v1/queries/{query['id']}", method="DELETE")
    urllib.request.urlopen(request, timeout=30).close()
    equal(process.wait(30), 1)
    assert "cancelled" in process.stderr.read()
    process = begin_following("SELECT * FROM gone")
    wait_until(lambda: any(query["is_following"] for query in running(broker)), 30, "the statement is followed")
    quire("topic", "delete", "gone")
    equal(process.wait(30), 1)
    assert "deleted" in process.stderr.read()
    process = begin_following("SELECT * FROM plays")
    wait_until(lambda: any(query["is_following"] for query in running(broker)), 30, "the statement is followed")
    process.stdout.close()
    equal(process.wait(30), 0, "exit after a closed output")
    wait_until(lambda: not running(broker), 30, "nothing is left on the node")
    for sql in ("SELECT count(*) FROM plays", "SELECT * FROM plays ORDER BY offset", "SELECT * FROM plays ORDER BY value",
                "SELECT * FROM plays LIMIT 3", "SELECT DISTINCT value FROM plays", "SELECT DISTINCT offset FROM plays",
                "SELECT value FROM plays GROUP BY value", "SELECT offset FROM plays GROUP BY offset",
                "SELECT a.value FROM plays a, plays b", "SELECT value FROM plays UNION ALL SELECT 1",
                "SELECT row_number() OVER () FROM plays", "SELECT 1", "SELECT * FROM quire_topics",
                "SELECT value FROM plays WHERE offset = (SELECT max(offset) FROM plays)", "EXPLAIN SELECT * FROM plays",
                "SELECT e.value FROM plays, json_each(plays.value) e"):
        done = node.run("query", "--follow", sql, seconds=30)
        equal(done.returncode, 1, sql)
        assert "cannot be followed" in done.stderr, (sql, done.stderr)
    for arguments in (("--follow",), ("--follow", "SELECT 1", "--data-dir", broker.data), ("SELECT 1", "--from", "end")):
        equal(node.run("query", *arguments, stdin="").returncode, 2)


PARTS = [
    ("a prompt answers statements of several lines and dot commands", answers),
    ("errors have a place, and the prompt goes on", errors),
    ("Ctrl-C cancels a statement on the node and clears a line", cancels),
    ("Tab completes tables, columns, functions, keywords and commands", completes),
    ("history is kept, in a file of its owner", remembers),
    ("long answers go through a pager", pages),
    ("a data directory has a prompt as well", offline),
    ("a prompt without libedit", without_library),
    ("statements from standard input stop at the first error", scripts),
    ("limits are options", limits),
    ("--follow prints what comes in, each record once, until Ctrl-C", follows),
    ("--follow ends when it is told to, and refuses what it cannot follow", stops_following),
]

if __name__ == "__main__":
    main()
