"""What Grafana's Postgres data source asks: its version query, its browser of tables and columns, and what its macros become."""
import psycopg

from checks import check, equal

# The shapes of the statements in Grafana's published source, with the search path taken apart in SQL.
PATH = """quote_ident(table_schema) IN (SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
  FROM generate_series(array_lower(string_to_array(current_setting('search_path'),','),1),
    array_upper(string_to_array(current_setting('search_path'),','),1)) as i, string_to_array(current_setting('search_path'),',') s)"""
VERSION = "SELECT current_setting('server_version_num')::int/100 as version"
TIMESCALE = "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"
TABLES = f"""SELECT CASE WHEN {PATH} THEN quote_ident(table_name) ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END
  AS "table" FROM information_schema.tables WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog')
  ORDER BY CASE WHEN {PATH} THEN 0 ELSE 1 END, 1"""


def columns(table):
    return f"""SELECT quote_ident(column_name) AS "column", data_type AS "type" FROM information_schema.columns
      WHERE CASE WHEN array_length(parse_ident('{table}'),1) = 2
        THEN quote_ident(table_schema) = (parse_ident('{table}'))[1] AND quote_ident(table_name) = (parse_ident('{table}'))[2]
        ELSE quote_ident(table_name) = '{table}' AND {PATH} END"""


def run(door):
    connection = psycopg.connect(door.dsn, autocommit=True)

    def ask(sql):
        return connection.execute(sql).fetchall()

    with check("Grafana: version, tables and columns"):
        equal(ask(VERSION), [(1500,)])
        equal(ask(TIMESCALE), [])
        names = [name for name, in ask(TABLES)]
        assert {"song_plays", '"orders.v1"', "events"} <= set(names), names
        expected = [("topic", "text"), ("partition", "bigint"), ('"offset"', "bigint"), ("timestamp", "bigint"),
                    ("time", "timestamp with time zone"), ("key", "text"), ("value", "text"), ("headers", "json")]
        equal([(name.strip('"'), kind) for name, kind in ask(columns("song_plays"))],
              [(name.strip('"'), kind) for name, kind in expected])
        equal(ask(columns("public.song_plays")), ask(columns("song_plays")))
    with check("Grafana: a time series with its macros"):
        rows = ask("""SELECT floor(extract(epoch from time)/300)*300 AS "time", key AS metric,
            avg((value ->> '$.seconds')::float8) AS value FROM song_plays
            WHERE time BETWEEN '2023-11-14T22:13:20Z' AND '2023-11-14T22:20:00.5Z' GROUP BY 1, 2 ORDER BY 1, 2""")
        equal([row[0] for row in rows[:1]], [1699999800.0])
        equal(len({row[1] for row in rows}), 7)
        equal(ask("""SELECT count(*) FROM song_plays WHERE time BETWEEN '2023-11-14T22:13:20Z' AND '2023-11-14T22:13:29Z'"""), [(10,)])
        equal(ask("""SELECT date_trunc('minute', time) AS "time", count(*) FROM song_plays WHERE key IS NOT NULL
            GROUP BY 1 ORDER BY 1 LIMIT 1""")[0][1], 40)
    connection.close()
