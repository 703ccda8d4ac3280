"""psql 15: rows, meta-commands, completion, cursors, COPY, errors, cancel."""
import os
import pty
import re
import select
import signal
import subprocess
import time

from checks import check, equal, wait_until
from door import EVENTS, PLAYS, ROWS

MANY_ROWS = f'SELECT e."offset", e.time, e.value, g FROM events e, generate_series(1, {ROWS // EVENTS}) g'


def run(door):
    def psql(*commands, options=("-At",), fails=False, stdin=None):
        arguments = [part for command in commands for part in ("-c", command)]
        environment = {**os.environ, "PGHOST": door.host, "PGPORT": str(door.port), "PGUSER": "ada", "PGDATABASE": "quire"}
        done = subprocess.run(["psql", "-X", *options, *arguments], env=environment, capture_output=True, text=True, timeout=600,
                              input=stdin)
        assert (done.returncode != 0) == fails, f"exit {done.returncode}: {done.stderr}"
        return done.stderr if fails else done.stdout

    with check("psql: rows with the types they have"):
        equal(psql('SELECT partition, "offset", time, key FROM song_plays ORDER BY time LIMIT 2'),
              "0|0|2023-11-14 22:13:20+00|u0\n1|0|2023-11-14 22:13:21+00|u1\n")
        equal(psql("SELECT count(*), sum((value ->> '$.seconds')::int) FROM song_plays WHERE key ILIKE 'U1'"),
              f"{len(range(1, PLAYS, 7))}|{sum(range(1, PLAYS, 7))}\n")
        equal(psql('SELECT value, length(value) FROM "orders.v1" WHERE "offset" < 3'), "plain|5\n|0\n|\n")
        equal(psql('SELECT value::bytea FROM "orders.v1" WHERE "offset" = 3'), "\\xff006279746573\n")
    with check("psql: a value of another type than its column's ends the query"):
        message = psql('SELECT value FROM "orders.v1" ORDER BY "offset"', options=("-At", "-v", "VERBOSITY=verbose"), fails=True)
        assert "22000" in message and "row 4" in message, message
    with check("psql: \\dt, \\d, \\d song_plays and others"):
        equal(psql("\\dt"), "public|events|table|ada\npublic|orders.v1|table|ada\npublic|song_plays|table|ada\n")
        described = psql("\\d song_plays", options=())
        for line in (r'Table "public\.song_plays"', r"partition +\| bigint +\| +\| not null", r"time +\| timestamp with time zone",
                     r"headers +\| json"):
            assert re.search(line, described), described
        assert 'Table "public.orders.v1"' in psql('\\d "orders.v1"', options=())
        assert "Did not find" in psql("\\d nowhere", fails=True)
        for command in ("\\d", "\\d+ song_plays", "\\d pg_class", "\\dt+", "\\dt *.*", "\\d song*", "\\dn", "\\dn+", "\\l", "\\du",
                        "\\df", "\\dv", "\\di", "\\ds", "\\dT", "\\dx", "\\dp", "\\db", "\\conninfo", "\\encoding", "\\dS"):
            psql(command)
    with check("psql: completes names of tables and columns"):
        equal(completed(door, "SELECT * FROM song_p"), "song_plays")
        equal(completed(door, "SELECT * FROM song_plays WHERE heade"), "headers")
    with check("psql: what tools write on their own"):
        script = """BEGIN READ ONLY; SET search_path TO public; SHOW server_version; SELECT current_schema() , version() ~ 'Quire';
            SELECT E'a\\'b' || $x$'c$x$ :: text -- ' comment
            , count(*) FILTER (WHERE key = ANY ('{u1,u2}'::text[])) FROM song_plays
            WHERE time >= '2023-11-14T22:13:20Z' AND date_trunc('day', time) = '2023-11-14' LIMIT ALL; COMMIT"""
        equal(psql(script).split("\n")[2:], ["15.0", "public|t", f"a'b'c|{2 * len(range(1, PLAYS, 7))}", "COMMIT", ""])
    with check("psql: an error says where"):
        message = psql("SELECT key,\n  nope FROM song_plays", fails=True)
        assert "no such column: nope" in message and "LINE 2:   nope" in message and "          ^" in message, message
        assert "read-only transaction" in psql("DELETE FROM song_plays", fails=True)
    with check("psql: a script of several statements, and a failed block"):
        output = psql(stdin="BEGIN;\nSELECT 1;\nSELECT nope;\nSELECT 2;\nROLLBACK;\nSELECT 3;\n")
        equal(output.split(), ["BEGIN", "1", "ROLLBACK", "3"])
    with check("psql: rows by cursor (FETCH_COUNT)"):
        equal(len(psql('SELECT "offset" FROM song_plays', options=("-At", "-v", "FETCH_COUNT=64")).split()), PLAYS)
    with check("psql: COPY as text and CSV"):
        equal(psql('COPY (SELECT value, \'a\tb\\c\' FROM "orders.v1" WHERE "offset" < 3) TO STDOUT'),
              "plain\ta\\tb\\\\c\n\ta\\tb\\\\c\n\\N\ta\\tb\\\\c\n")
        equal(psql("\\copy (select 'x,y' a, null b, 'it''s \"z\"' c) to stdout with (format csv, header)"),
              'a,b,c\n"x,y",,"it\'s ""z"""\n')
    with check("psql: many rows by COPY in bounded memory"), door.is_bounded():
        command = ["psql", "-X", "-h", door.host, "-p", str(door.port), "-U", "ada", "-c", f"COPY ({MANY_ROWS}) TO STDOUT", "quire"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            time.sleep(1)   # a reader that is slow at first
            equal(sum(chunk.count(b"\n") for chunk in iter(lambda: process.stdout.read(1 << 16), b"")), ROWS)
        equal(process.returncode, 0)
    with check("psql: Ctrl-C cancels, and a client that is killed leaves nothing behind"):
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        for number, says in ((signal.SIGINT, b"cancel"), (signal.SIGKILL, b"")):
            with subprocess.Popen(["psql", "-X", "-h", door.host, "-p", str(door.port), "-U", "ada", "-c", endless, "quire"],
                                  stderr=subprocess.PIPE) as process:
                wait_until(lambda: "RECURSIVE" in psql("SELECT sql FROM quire_queries WHERE sql NOT LIKE '%quire_queries%'"), 30, "it runs")
                process.send_signal(number)
                _, errors = process.communicate(timeout=20)
                assert says in errors, errors
        equal(psql("SELECT 1"), "1\n")
        quiet(door)


def quiet(door):
    """The node's processor time stands still: nobody's query runs on."""
    def ticks():
        with open(f"/proc/{door.node.process.pid}/stat") as stat:
            return sum(map(int, stat.read().rsplit(")", 1)[1].split()[11:13]))
    for _ in range(20):
        before = ticks()
        time.sleep(0.5)
        if ticks() - before < 10:
            return
    raise AssertionError("the node is busy with something")


def completed(door, text):
    """What psql makes of the text when the tabulator is pressed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="dumb", PSQL_HISTORY="/dev/null", INPUTRC="/dev/null")
        os.execlp("psql", "psql", "-X", "-h", door.host, "-p", str(door.port), "-U", "ada", "quire")
    try:
        seen = until(terminal, lambda seen: "=>" in seen)
        os.write(terminal, text.encode() + b"\t")
        seen = until(terminal, lambda seen: seen.endswith(" ") and len(seen) > len(text), seconds=5)
        return seen.split()[-1] if seen.split() else seen
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def until(terminal, is_done, seconds=15):
    seen, deadline = "", time.monotonic() + seconds
    while time.monotonic() < deadline and not is_done(seen):
        if select.select([terminal], [], [], 0.1)[0]:
            seen += os.read(terminal, 4096).decode(errors="replace")
    return seen
