"""SQLAlchemy over psycopg: reflection, expressions, pandas."""
import pandas
import sqlalchemy as sa

from checks import check, equal


def run(door):
    engine = sa.create_engine(f"postgresql+psycopg://ada@{door.host}:{door.port}/quire")
    with check("SQLAlchemy: looks at what there is"):
        look = sa.inspect(engine)
        assert {"song_plays", "orders.v1", "events"} <= set(look.get_table_names()), look.get_table_names()
        assert "public" in look.get_schema_names()
        equal(look.get_view_names(), [])
        types = {column["name"]: str(column["type"]) for column in look.get_columns("song_plays")}
        equal(types, {"topic": "TEXT", "partition": "BIGINT", "offset": "BIGINT", "timestamp": "BIGINT", "time": "TIMESTAMP",
                      "key": "TEXT", "value": "TEXT", "headers": "JSON"})
        for what in ("get_indexes", "get_foreign_keys", "get_unique_constraints", "get_check_constraints"):
            equal(getattr(look, what)("song_plays"), [], what)
        equal(look.get_pk_constraint("song_plays")["constrained_columns"], [])
        equal(look.has_table("song_plays"), True)
        equal(look.has_table("nowhere"), False)
    with check("SQLAlchemy: reflects a table and asks it"):
        plays = sa.Table("song_plays", sa.MetaData(), autoload_with=engine)
        statement = (sa.select(plays.c.key, sa.func.count().label("plays"), sa.func.min(plays.c.time).label("first"))
                     .where(plays.c.offset < 70, plays.c.partition.in_([0, 1]), plays.c.key.ilike("U%"), plays.c.key.is_not(None))
                     .group_by(plays.c.key).order_by(sa.desc("plays"), plays.c.key).limit(2).offset(1))
        with engine.connect() as connection:
            equal([(row.key, row.plays, row.first.year) for row in connection.execute(statement)],
                  [("u1", 20, 2023), ("u2", 20, 2023)])
            equal(connection.execute(sa.select(sa.cast(sa.literal("7"), sa.Integer), sa.func.lower("ABC"))).one(), (7, "abc"))
            equal(connection.execute(sa.select(sa.exists().where(plays.c.key == "u1"))).scalar(), True)
    with check("pandas: a query, in whole and in chunks, and a table"):
        frame = pandas.read_sql('SELECT partition, "offset", time, key FROM song_plays WHERE key IS NOT NULL ORDER BY time', engine)
        equal((len(frame), str(frame["time"].dtype).split(",")[-1], frame["offset"].dtype.kind), (1000, " UTC]", "i"))
        with engine.connect().execution_options(stream_results=True) as connection:
            sizes = [len(chunk) for chunk in pandas.read_sql('SELECT "offset" FROM song_plays WHERE key IS NOT NULL', connection,
                                                             chunksize=300)]
        equal(sizes, [300, 300, 300, 100])
        assert len(pandas.read_sql_table("song_plays", engine, columns=["offset", "time"])) >= 1000
    engine.dispose()
