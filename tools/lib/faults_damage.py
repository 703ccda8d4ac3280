"""Bytes on the disk that are not what was written there: their range answers an error, everything else serves."""
import json
import os
import shutil
import sqlite3
import struct
import time

import node
import store
from checks import check, equal
from confluent_kafka import Consumer, TopicPartition
from crash import none
from faults_disk import create, started
from hostile import connect, header
from node import Node
from stream import Stream

STORAGE_ERROR = 56


def main(scratch):
    pristine = f"{scratch}/pristine"
    hurt, whole = Stream("hurt"), Stream("whole")
    with check("damage: a directory to damage"), Node(pristine, log=f"{scratch}/node.log") as broker:
        os.environ.update(QUIRE_BOOTSTRAP=broker.kafka, QUIRE_SERVER=f"http://{broker.http}")
        create("hurt", "segment.bytes=300000")
        create("whole")
        for stream in (hurt, whole):
            stream.connect(broker.kafka).send_all(3000)
    files = store.segments(pristine, "hurt", 0)
    assert len(files) > 3, files
    for name, file, damage in (("a byte of a sealed segment", files[1], flip), ("a byte of the active segment", files[-1], flip),
                               ("a page header of a sealed segment", files[1], break_page),
                               ("a page header of the active segment", files[-1], break_page)):
        data = f"{scratch}/{name.replace(' ', '-')}"
        shutil.copytree(pristine, data)
        damaged = damage(f"{data}/topics/hurt-0/{file.name}")
        one(scratch, data, name, file.name, damaged, hurt, whole)
        shutil.rmtree(data)


# ---- making damage

def batches(path):
    """(base offset, last offset, bytes) of every batch."""
    database = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    rows = database.execute("SELECT base_offset, last_offset, data FROM record_batch ORDER BY base_offset").fetchall()
    database.close()
    return rows


def overwrite(path, at, new):
    """Returns what was there."""
    with open(path, "r+b") as file:
        file.seek(at)
        old = file.read(len(new))
        file.seek(at)
        file.write(new)
    return old


def place(path, row):
    """Where a batch begins in its file: where a changed byte shows, for older copies may lie in free space."""
    with open(path, "rb") as file:
        content = file.read()
    at = content.find(row[2][:61])
    while at >= 0:
        old = overwrite(path, at, bytes([content[at] ^ 1]))
        is_it = row not in batches(path)
        overwrite(path, at, old)
        if is_it:
            return at
        at = content.find(row[2][:61], at + 1)
    raise AssertionError("the batch is not in its file")


def flip(path):
    """Turns one byte of a batch in the middle; returns the range of offsets it has."""
    rows = batches(path)
    base, last, data = rows[len(rows) // 2]
    overwrite(path, place(path, (base, last, data)) + 80, bytes([data[80] ^ 0x40]))
    return base, last


def break_page(path):
    """Overwrites the header of the page in which a batch in the middle begins; returns the range of offsets that begin in it."""
    with open(path, "rb") as file:
        (size,) = struct.unpack(">H", file.read(18)[16:])
    rows = batches(path)
    pages = [place(path, row) // size for row in rows]
    page = pages[len(pages) // 2]
    overwrite(path, page * size, b"\x77" * 8)
    on_it = [row for row, number in zip(rows, pages) if number == page]
    return on_it[0][0], on_it[-1][1]


# ---- what must come of it

def one(scratch, data, name, file, damaged, hurt, whole):
    first, last = damaged
    with check(f"damage, {name}: doctor names file, batch and offsets, and exits 1"):
        done = node.run("doctor", "--data-dir", data)
        equal(done.returncode, 1, "exit")
        said = done.stdout + done.stderr
        for word in (file, str(first), str(last)):
            assert word in said, f"{word} is not named:\n{said[-1500:]}"
    broker = Node(data, log=f"{scratch}/node.log")
    before = {stream: (stream.sent, dict(stream.acknowledged)) for stream in (hurt, whole)}
    try:
        with check(f"damage, {name}: its range answers an error, and everything around it serves"):
            started(broker)
            equal(fetch_error(broker.kafka, "hurt", 0, first), STORAGE_ERROR, "error of a fetch in the range")
            equal(consume(broker.kafka, 0, first - 1), list(range(first)), "offsets in front of it")
            equal(consume(broker.kafka, last + 1, 2999), list(range(last + 1, 3000)), "offsets behind it")
            none(whole.problems(broker.kafka))
            equal(fetch_error(broker.kafka, "hurt", 0, last + 1), 0, "error of a fetch behind it")
        with check(f"damage, {name}: a consumer that reads through it gets nothing past it by itself"):
            got = consume(broker.kafka, max(0, first - 200), 2999, seconds=1)
            equal(got, list(range(max(0, first - 200), first)), "offsets")
        with check(f"damage, {name}: SQL and export end in an error that names it, and read what is around it"):
            refused(file, "query", "SELECT count(*) FROM hurt WHERE length(value) > 0", "--format", "csv")
            refused(file, "query", f"SELECT length(value) FROM hurt WHERE offset = {first}", "--format", "csv")
            log_end = len(broker.log_text())
            refused(file, "export", "hurt", "--format", "jsonl", "--output", f"{scratch}/out.jsonl")
            assert file in broker.log_text()[log_end:], "the log does not say why the export was cut off"
            assert not os.path.exists(f"{scratch}/out.jsonl"), "half an export was left behind"
            for where, count in ((f"offset < {first}", first), (f"offset > {last}", 2999 - last)):
                done = node.run("query", f"SELECT count(*) AS n, sum(length(value)) FROM hurt WHERE {where}", "--format", "jsonl")
                equal(done.returncode, 0, f"exit for {where} ({done.stderr.strip()[:300]})")
                equal(json.loads(done.stdout)["n"], count, where)
            done = node.run("export", "whole", "--format", "jsonl", "--output", f"{scratch}/whole.jsonl")
            equal(done.returncode, 0, f"exit of another topic's export ({done.stderr.strip()[:300]})")
        with check(f"damage, {name}: offline readers end in an error that names it"):
            equal(broker.stop(), 0, "exit status")
            refused(file, "query", "SELECT count(*) FROM hurt WHERE length(value) > 0", "--data-dir", data)
            refused(file, "export", "hurt", "--format", "jsonl", "--output", f"{scratch}/out.jsonl", "--data-dir", data)
            started(broker)
        with check(f"damage, {name}: both partitions take records, and all of it stands a restart"):
            for stream in before:
                stream.connect(broker.kafka).send_all(100)
            equal(consume(broker.kafka, last + 1, 3099), list(range(last + 1, 3100)), "offsets behind it")
            equal(broker.stop(), 0, "exit status")
            started(broker)
            equal(consume(broker.kafka, last + 1, 3099), list(range(last + 1, 3100)), "offsets behind it, after a restart")
            equal(fetch_error(broker.kafka, "hurt", 0, first), STORAGE_ERROR, "error of a fetch in the range")
            none(whole.problems(broker.kafka))
            equal(broker.stop(), 0, "exit status")
    finally:
        broker.kill()
        for stream, (sent, acknowledged) in before.items():
            stream.sent, stream.acknowledged = sent, acknowledged


def refused(word, *arguments):
    done = node.run(*arguments)
    assert done.returncode == 1, f"{arguments[0]}: exit {done.returncode}: {done.stdout[-300:]}{done.stderr[-300:]}"
    assert word in done.stderr, f"{arguments[0]}: {word} is not named: {done.stderr[-500:]}"


def consume(bootstrap, start, last, seconds=20):
    """The offsets that a stock client gets from `start` on until it has `last`, or the time is over."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "damage", "enable.auto.commit": False, "log_level": 0,
                         "auto.offset.reset": "error", "check.crcs": True, "fetch.wait.max.ms": 20})
    consumer.assign([TopicPartition("hurt", 0, start)])
    offsets, deadline = [], time.monotonic() + seconds
    while (not offsets or offsets[-1] < last) and time.monotonic() < deadline:
        offsets += [message.offset() for message in consumer.consume(1000, 0.1) if not message.error()]
    consumer.close()
    return [offset for offset in offsets if offset <= last]


def fetch_error(bootstrap, topic, partition, offset):
    """The error code of a bare Fetch (version 4): stock clients keep this one to themselves and ask again."""
    name = topic.encode()
    frame = header(1, 4) + struct.pack(">iiiib", -1, 100, 1, 1 << 20, 0) + struct.pack(">ih", 1, len(name)) + name
    frame += struct.pack(">iiqi", 1, partition, offset, 1 << 20)
    with connect(bootstrap) as stream:
        stream.sendall(struct.pack(">i", len(frame)) + frame)
        stream.settimeout(10)
        answer = b""
        while len(answer) < 4 or len(answer) < 4 + struct.unpack(">i", answer[:4])[0]:
            answer += stream.recv(1 << 16)
    at = 4 + 4 + 4 + 4 + 2 + len(name) + 4 + 4   # length, correlation, throttle, topics, name, partitions, index
    return struct.unpack_from(">h", answer, at)[0]
