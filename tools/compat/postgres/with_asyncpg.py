"""asyncpg: everything binary, prepared statements described before they have parameters, cursors."""
import asyncio
import datetime
import decimal

import asyncpg

from checks import check, equal

FIRST = datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=datetime.timezone.utc)


def run(door):
    asyncio.run(talk(door))


async def talk(door):
    connection = await asyncpg.connect(host=door.host, port=door.port, user="ada", database="quire", ssl=False)
    with check("asyncpg: rows and parameters, whose types follow from the statement"):
        row = await connection.fetchrow(
            'SELECT topic, partition, "offset", time, key, value ->> \'$.seconds\' AS s, headers FROM song_plays '
            'WHERE "offset" >= $1 AND time >= $2 AND key = $3 ORDER BY time LIMIT $4', 0, FIRST, "u1", 1)
        equal(dict(row), {"topic": "song_plays", "partition": 1, "offset": 0, "time": FIRST + datetime.timedelta(seconds=1),
                          "key": "u1", "s": "1", "headers": '[["n","1"]]'})
        equal(await connection.fetchval("SELECT count(*) FROM song_plays WHERE key = ANY($1) AND partition = ANY($2) "
                                        "AND time < $3", ["u1", "u2"], [0, 1], FIRST + datetime.timedelta(seconds=9)), 3)
        equal(await connection.fetchval("SELECT max(time) FROM song_plays WHERE time < $1", FIRST + datetime.timedelta(seconds=9)),
              FIRST + datetime.timedelta(seconds=8))
        equal(await connection.fetch("SELECT 1.5 AS a, true AS b, X'00ff' AS c"), [(1.5, True, b"\x00\xff")])
        for number in ("-0.00025", "12345.678", "5", "9007199254740993"):
            equal(await connection.fetchval("SELECT CAST($1::numeric AS text)", decimal.Decimal(number)), number)
        equal(await connection.fetchrow("SELECT b, a FROM (VALUES (1, 'x'), (2, 'y')) AS t(a, b) ORDER BY a DESC LIMIT 1"), ("y", 2))
    with check("asyncpg: a prepared statement, many times"):
        statement = await connection.prepare('SELECT "offset" FROM song_plays WHERE partition = $1 AND "offset" = $2')
        equal([parameter.name for parameter in statement.get_parameters()], ["int8", "int8"])
        for number in range(20):
            equal(await statement.fetchval(0, number), number)
    with check("asyncpg: a cursor in a transaction"):
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            count = 0
            async for _ in connection.cursor("SELECT * FROM song_plays WHERE partition = 1", prefetch=50):
                count += 1
            equal(count, 500)
    with check("asyncpg: errors, a timeout, COPY and a reset"):
        try:
            await connection.fetch("SELECT nope FROM song_plays")
        except asyncpg.UndefinedColumnError as error:
            equal(error.position, "8")
        try:
            await connection.fetch("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n", timeout=0.5)
        except asyncio.TimeoutError:
            pass
        else:
            raise AssertionError("no timeout")
        chunks = bytearray()

        async def sink(data):
            chunks.extend(data)
        await connection.copy_from_query('SELECT "offset" FROM song_plays WHERE partition = $1 ORDER BY 1 LIMIT 3', 1, output=sink)
        equal(bytes(chunks), b"0\n1\n2\n")
        await connection.reset()
        equal(await connection.fetchval("SELECT current_schema()"), "public")
    await connection.close()
