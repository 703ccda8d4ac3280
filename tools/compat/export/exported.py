"""Records of every kind, and the ways in which other tools read back what an export made of them."""
import base64
import collections
import csv
import datetime
import io
import json
import random
import sqlite3

from confluent_kafka import Producer

Record = collections.namedtuple("Record", "topic partition offset timestamp key value headers")
BEGIN = 1_741_478_400_000  # 2025-03-09T00:00:00Z
DAY = 86_400_000


def odd(rng):
    """What a format may lose: (key, value, headers)."""
    texts = [b"", b"plain", 'quo"te'.encode(), b"a,b", b"line\nbreak", b"cr\rlf\r\n", "grün 🎷".encode(), b"nul\0inside", b"\\N", b"null",
             b" spaces ", b'{"a": [1, 2.0], "b": "\\u00e9"}', b"X'00'", b'"', b"\xff\xfe binary", b"\xc3\x28", bytes(range(256))]
    headers = [[], [("a", b"1")], [("same", b"1"), ("same", b"2"), ("same", None)], [("", b"")], [("ü", b"\xff\x00"), ("b", "grün".encode())]]
    yield from ((key, value, []) for key in (None, *texts) for value in (None, *texts))
    yield from ((b"h", b"v", listed) for listed in headers)
    yield b"large", rng.randbytes(1 << 20), []
    yield b"large text", b"x" * (1 << 20), headers[2]
    yield rng.randbytes(1000), json.dumps({"n": 1}).encode(), headers[4]


def produce(bootstrap, topic, partitions, count, seed=1, padding=40):
    """Puts `count` records (of `padding` bytes and some) into a topic and returns them as they are stored, by partition and offset."""
    rng = random.Random(seed)
    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": "zstd", "linger.ms": 20,
                         "message.max.bytes": 4 << 20, "queue.buffering.max.kbytes": 1 << 18})
    stored = []

    def delivered(wanted):
        def note(error, message):
            assert error is None, error
            stored.append(Record(topic, message.partition(), message.offset(), *wanted))
        return note

    def usual(number):
        user = rng.choice(("ann", "ben", "cy", "dora"))
        return user.encode(), json.dumps({"user": user, "n": number, "text": rng.randbytes(padding // 2).hex()}).encode(), []

    fields = list(odd(rng))
    for number in range(count):
        key, value, headers = fields[number] if number < len(fields) else usual(number)
        # Three days; some records come late.
        timestamp = BEGIN + number * 3 * DAY // count - (DAY if number % 97 == 0 else 0)
        while True:
            try:
                producer.produce(topic, value, key, number % partitions, timestamp=timestamp, headers=headers,
                                 on_delivery=delivered((timestamp, key, value, headers)))
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(120) == 0
    assert len(stored) == count, f"{len(stored)} of {count} were stored"
    return sorted(stored, key=lambda record: record[:3])


def _field(text, encoding):
    return None if encoding == "null" else base64.b64decode(text) if encoding == "base64" else text.encode()


def _header(value):
    return None if value is None else base64.b64decode(value["base64"]) if isinstance(value, dict) else value.encode()


def _headers(pairs):
    return [(name, _header(value)) for name, value in pairs]


def read_jsonl(path):
    with open(path, "rb") as file:
        for line in file.read().split(b"\n")[:-1]:
            row = json.loads(line)
            yield Record(row["topic"], row["partition"], row["offset"], row["timestamp"], _field(row["key"], row["key_encoding"]),
                         _field(row["value"], row["value_encoding"]), _headers(row["headers"]))


def read_csv(path):
    csv.field_size_limit(1 << 30)
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(io.StringIO(file.read(), newline="")):
            yield Record(row["topic"], int(row["partition"]), int(row["offset"]), int(row["timestamp"]),
                         _field(row["key"], row["key_encoding"]), _field(row["value"], row["value_encoding"]),
                         _headers(json.loads(row["headers"] or "[]")))


def read_sqlite(path):
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)

    def field(value):
        return value.encode() if isinstance(value, str) else value

    for row in connection.execute("SELECT topic, partition, offset, timestamp, key, value, headers FROM records "
                                  "ORDER BY topic, partition, offset"):
        yield Record(*row[:4], field(row[4]), field(row[5]), _headers(json.loads(row[6])))
    connection.close()


def from_arrow(table):
    def field(text, blob):
        return blob if text is None else text.encode()

    columns = {name: table.column(name).to_pylist() for name in table.column_names if name != "timestamp"}
    stamps = table.column("timestamp").cast("int64").to_pylist()
    for index in range(table.num_rows):
        def at(name):
            return columns[name][index]
        yield Record(at("topic"), at("partition"), at("offset"), -1 if stamps[index] is None else stamps[index],
                     field(at("key"), at("key_bytes")), field(at("value"), at("value_bytes")),
                     [(header["key"], header["value"]) for header in at("headers")])


def read_parquet(path):
    import pyarrow.parquet
    return from_arrow(pyarrow.parquet.read_table(path))


def read_duckdb(path):
    import duckdb
    rows = duckdb.sql(f"SELECT topic, partition, \"offset\", epoch_ms(timestamp), key, key_bytes, value, value_bytes, headers "
                      f"FROM '{path}' ORDER BY topic, partition, \"offset\"").fetchall()
    for topic, partition, offset, timestamp, key, key_bytes, value, value_bytes, headers in rows:
        yield Record(topic, partition, offset, -1 if timestamp is None else timestamp, key_bytes if key is None else key.encode(),
                     value_bytes if value is None else value.encode(), [(header["key"], header["value"]) for header in headers])


def read_pandas_jsonl(path):
    import pandas
    for row in pandas.read_json(path, lines=True, dtype=False, convert_dates=False).to_dict("records"):
        yield Record(row["topic"], row["partition"], row["offset"], row["timestamp"], _field(row["key"], row["key_encoding"]),
                     _field(row["value"], row["value_encoding"]), _headers(row["headers"]))


def read_pandas_csv(path):
    import pandas
    frame = pandas.read_csv(path, dtype={"key": str, "value": str, "headers": str}, keep_default_na=False, lineterminator="\n")
    for row in frame.to_dict("records"):
        yield Record(row["topic"], row["partition"], row["offset"], row["timestamp"], _field(row["key"], row["key_encoding"]),
                     _field(row["value"], row["value_encoding"]), _headers(json.loads(row["headers"] or "[]")))


# Declared columns: (partition, offset) and the values by name.


def from_json(value):
    """What JSON of the node says of a value of SQL."""
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else value


def as_type(row, columns, form):
    """The row as a format has it: text in CSV, types of its own in Parquet."""
    def cell(name, kind):
        value = row[name]
        if value is None:
            return None
        if form == "csv":
            return f"X'{value.hex().upper()}'" if isinstance(value, bytes) else str(value)
        if form == "parquet":
            if kind == "BLOB":
                return value.encode() if isinstance(value, str) else value
            if kind == "BOOLEAN":
                return bool(value)
            if kind == "TIMESTAMPTZ":
                return datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
        return value
    return {name: cell(name, kind) for name, kind, *_ in columns}


def columns_of_jsonl(path, names):
    with open(path, "rb") as file:
        for line in file.read().split(b"\n")[:-1]:
            row = json.loads(line)
            assert list(row)[-len(names):] == list(names), list(row)
            yield (row["partition"], row["offset"]), {name: from_json(row[name]) for name in names}


def columns_of_csv(path, names):
    """By DuckDB, which tells an empty field from an empty text if it is asked to."""
    import duckdb
    rows = duckdb.sql(f"SELECT partition, \"offset\", {', '.join(names)} FROM read_csv('{path}', all_varchar = true, header = true, "
                      "nullstr = '', allow_quoted_nulls = false, max_line_size = 4000000, quote = '\"', escape = '\"', delim = ',', "
                      "auto_detect = false, columns = {" + ", ".join(f"'{name}': 'VARCHAR'" for name in _csv_names(path)) + "})")
    for partition, offset, *values in rows.fetchall():
        yield (int(partition), int(offset)), dict(zip(names, values))


def _csv_names(path):
    with open(path, newline="") as file:
        return next(csv.reader([file.readline()]))


def columns_of_sqlite(path, names):
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    for partition, offset, *values in connection.execute(f"SELECT partition, offset, {', '.join(names)} FROM records"):
        yield (partition, offset), dict(zip(names, values))
    connection.close()


def columns_by_arrow(path, names):
    import pyarrow.parquet
    for row in pyarrow.parquet.read_table(path, columns=["partition", "offset", *names]).to_pylist():
        yield (row["partition"], row["offset"]), {name: row[name] for name in names}


def columns_by_duckdb(path, names):
    import duckdb
    types = {name: kind for name, kind, *_ in duckdb.sql(f"DESCRIBE SELECT * FROM '{path}'").fetchall()}
    # Times with a zone would need another package here; as numbers they are as good.
    times = [name for name in names if types[name] == "TIMESTAMP WITH TIME ZONE"]
    listed = ", ".join(f"epoch_ms({name})" if name in times else name for name in names)
    for partition, offset, *values in duckdb.sql(f"SELECT partition, \"offset\", {listed} FROM '{path}'").fetchall():
        row = dict(zip(names, values))
        for name in times:
            row[name] = None if row[name] is None else datetime.datetime.fromtimestamp(row[name] / 1000, datetime.timezone.utc)
        yield (partition, offset), row


COLUMN_READERS = {"jsonl": [columns_of_jsonl], "csv": [columns_of_csv], "sqlite": [columns_of_sqlite],
                  "parquet": [columns_by_arrow, columns_by_duckdb]}

READERS = {"jsonl": [read_jsonl, read_pandas_jsonl], "csv": [read_csv, read_pandas_csv], "parquet": [read_parquet, read_duckdb], "sqlite": [read_sqlite]}
