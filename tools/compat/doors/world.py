"""Two topics with every oddity, made by a real client, and the same rows in plain tables of SQLite."""
import base64
import datetime
import glob
import json
import random
import sqlite3
import struct

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

EPOCH = 1_714_554_000_000  # 2024-05-01T09:00:00Z
TOPICS = {"events": 5, "other": 3}   # the last partition of each stays empty
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
DELETED = ("events", 3, 4)   # topic, partition, and how many records are deleted at its beginning
COLUMNS = ("topic", "partition", "offset", "timestamp", "time", "key", "value", "headers",
           "producer_id", "leader_epoch", "compression", "batch_offset")


def record(rng, time):
    value = rng.choice([
        None, b"", b'{"n":%d,"user":"alice"}' % rng.randrange(100), "grün 🎈".encode(), b"\xff\xfe\0", b"a\0b",
        b"%d" % rng.randrange(1000), b"\xed\xa0\x80", b"x" * 300])
    headers = [("trace", b'a"b'), ("trace", None), ("bin", b"\xff\0")] if rng.randrange(3) == 0 else []
    return rng.choice([None, b"", b"k1", b"k2", b"\x80"]), value, headers, time


def fill(bootstrap):
    """Produces, with a batch every few records; returns what was acknowledged as (topic, partition, offset, key, value, headers, time)."""
    rng = random.Random(20_240_501)
    producers = [Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 5, "acks": "all",
                           "enable.idempotence": number % 2 == 1}) for number, codec in enumerate(CODECS)]
    rows, errors = [], []

    def stored(topic, made):
        def on_delivery(error, message):
            if error:
                errors.append(str(error))
            else:
                rows.append((topic, message.partition(), message.offset(), *made))
        return on_delivery

    for topic, partitions in TOPICS.items():
        times = {partition: EPOCH + partition * 1000 for partition in range(partitions - 1)}
        for _ in range(9):
            for partition in times:
                producer = rng.choice(producers)
                for _ in range(rng.randrange(1, 10)):
                    times[partition] += rng.randrange(-20_000, 60_000)
                    made = record(rng, times[partition])
                    key, value, headers, time = made
                    producer.produce(topic, value, key, partition, on_delivery=stored(topic, made), timestamp=time, headers=headers)
                # The batches of one partition come one after the other, whoever sends them.
                assert producer.flush(30) == 0
    assert not errors, errors[:3]
    topic, partition, offset = DELETED
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.delete_records([TopicPartition(topic, partition, offset)]).values():
        future.result(30)
    return [row for row in rows if row[:2] != DELETED[:2] or row[2] >= offset]


def batches(data):
    """What each batch's header says, out of the segments: {(topic, partition): [(base, last, producer, epoch, compression)]}."""
    found = {}
    for path in glob.glob(f"{data}/topics/*/*.db"):
        topic, partition = path.split("/")[-2].rsplit("-", 1)
        segment = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        for base, last, blob in segment.execute("SELECT base_offset, last_offset, data FROM record_batch"):
            epoch, = struct.unpack_from(">i", blob, 12)
            attributes, = struct.unpack_from(">h", blob, 21)
            producer, = struct.unpack_from(">q", blob, 43)
            found.setdefault((topic, int(partition)), []).append(
                (base, last, producer if producer >= 0 else None, epoch, CODECS[attributes & 7]))
        segment.close()
    return found


def text(data):
    """A key or value as SQL has it: TEXT if it is UTF-8 without NUL, else a BLOB."""
    try:
        return data if data is None or b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return data


def header(value):
    made = text(value)
    return {"base64": base64.b64encode(made).decode()} if isinstance(made, bytes) and made else made


def iso(milliseconds):
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds") + "Z"


def plain(path, data, rows):
    """Writes the rows as tables of their topics."""
    headers = batches(data)
    database = sqlite3.connect(path)
    for topic in TOPICS:
        database.execute(f"""CREATE TABLE {topic}(topic TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL,
            timestamp INTEGER NOT NULL, time TEXT, key, value, headers TEXT NOT NULL,
            producer_id INTEGER, leader_epoch INTEGER, compression TEXT, batch_offset INTEGER)""")
    for topic, partition, offset, key, value, pairs, time in rows:
        base, _, producer, epoch, codec = next(b for b in headers[topic, partition] if b[0] <= offset <= b[1])
        made = json.dumps([[name, header(value)] for name, value in pairs], separators=(",", ":"), ensure_ascii=False)
        database.execute(f"INSERT INTO {topic} VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", (
            topic, partition, offset, time, iso(time), text(key), text(value), made, producer, epoch, codec, base))
    database.commit()
    database.close()
