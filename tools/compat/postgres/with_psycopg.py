"""psycopg 3: parameters in text and binary, cursors of the server, COPY, pipelines, errors."""
import datetime

import psycopg
from psycopg.rows import dict_row

from checks import check, equal
from door import PLAYS

UTC = datetime.timezone.utc
FIRST = datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def run(door):
    connection = psycopg.connect(door.dsn)
    with check("psycopg: values come as what they are, in text and in binary"):
        for binary in (False, True):
            cursor = connection.cursor(binary=binary, row_factory=dict_row)
            cursor.execute('SELECT "offset", time, key, headers, value::json AS j, 1.5::float8 AS f, true AS b, NULL AS n, '
                           "value::bytea AS raw FROM song_plays WHERE partition = %s ORDER BY 1 LIMIT 1", (0,))
            equal(cursor.fetchone(), {"offset": 0, "time": FIRST, "key": "u0", "headers": [["n", "0"]],
                                      "j": {"user": "u0", "seconds": 0}, "f": 1.5, "b": True, "n": None,
                                      "raw": b'{"user":"u0","seconds":0}'})
    with check("psycopg: parameters of every type"):
        values = (7, -(1 << 40), 2.5, "ü'\\", b"\x00\xff", True, None, FIRST)
        for marker in ("%s", "%t", "%b"):
            row = connection.execute(f"SELECT {marker}::int8, {marker}::int8, {marker}::float8, {marker}::text, {marker}::bytea, "
                                     f"{marker}::bool, {marker}::text, {marker}::timestamptz", values).fetchone()
            equal(row, values, f"with {marker}")
        count = "SELECT count(*) FROM song_plays WHERE"
        for condition, parameters in (("time < %s", (FIRST + datetime.timedelta(seconds=10),)), ('"offset" < %s', (5,)),
                                      ('"offset" = ANY(%s)', ([0, 1, 2, 3, 4],)),
                                      ("value ->> '$.user' = %s AND time < %s", ("u1", FIRST + datetime.timedelta(minutes=1)))):
            found = connection.execute(f"{count} {condition}", parameters).fetchone()[0]
            equal(found, 9 if "user" in condition else 10, condition)
    with check("psycopg: cursors of the server and streams"):
        with connection.transaction(), connection.cursor(name="rows") as cursor:
            cursor.itersize = 99
            cursor.execute("SELECT * FROM song_plays WHERE partition <= %s", (1,))
            equal(sum(1 for _ in cursor), PLAYS)
        equal(sum(1 for _ in connection.cursor().stream("SELECT * FROM song_plays")), PLAYS)
    with check("psycopg: COPY"):
        with connection.cursor().copy('COPY (SELECT "offset", key FROM song_plays ORDER BY time LIMIT 3) TO STDOUT') as copy:
            copy.set_types(["int8", "text"])
            equal(list(copy.rows()), [(0, "u0"), (0, "u1"), (1, "u2")])
    with check("psycopg: a pipeline, and an error in the middle of it"):
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int8", (number,)) for number in range(20)]
            equal([cursor.fetchone()[0] for cursor in cursors], list(range(20)))
        connection.rollback()
    with check("psycopg: errors have SQLSTATE and place, and a block fails as a whole"):
        for statement, state in (("SELECT nope FROM song_plays", "42703"), ("SELECT * FROM nowhere", "42P01"), ("SELEC 1", "42601"),
                                 ("SELECT 'x'::int8", "22P02"), ("SELECT nope()", "42883"), ("CREATE TABLE t (a int)", "25006"),
                                 ("SELECT 'x'::nothing", "42704"), ("SELECT '2024-02-30'::timestamptz", "22007")):
            try:
                connection.execute(statement)
            except psycopg.Error as error:
                equal(error.sqlstate, state, statement)
            else:
                raise AssertionError(f"no error: {statement}")
            connection.rollback()
        try:
            connection.execute("SELECT 1, nope FROM song_plays")
        except psycopg.Error as error:
            equal(error.diag.statement_position, "11")
        equal(connection.info.transaction_status, psycopg.pq.TransactionStatus.INERROR)
        connection.rollback()
    with check("psycopg: one transaction sees one cut"):
        with connection.transaction():
            before = connection.execute("SELECT count(*) FROM song_plays").fetchone()
            from confluent_kafka import Producer
            producer = Producer({"bootstrap.servers": door.node.kafka})
            producer.produce("late", b"x")
            producer.produce("song_plays", b"{}", partition=0)
            assert producer.flush(30) == 0
            equal(connection.execute("SELECT count(*) FROM song_plays").fetchone(), before)
        after = connection.execute("SELECT count(*) FROM song_plays").fetchone()
        equal(after[0], before[0] + 1)
    connection.close()
