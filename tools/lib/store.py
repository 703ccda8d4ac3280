"""Reads a node's files from outside with Python's own sqlite3, always on a copy: a data directory is the node's alone."""
import os
import pathlib
import shutil
import sqlite3
import struct
import subprocess
import tempfile
import urllib.parse

CODECS = {0: "none", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}


def segments(data, topic, partition):
    return sorted(pathlib.Path(data, "topics", f"{topic}-{partition}").glob("*.db"))


def stored_codecs(data, topic, partition=0):
    """The codec bits of every stored batch, by name, with how many batches have them."""
    counts = {}
    with tempfile.TemporaryDirectory() as scratch:
        for segment in segments(data, topic, partition):
            copy = copy_database(segment, scratch)
            with sqlite3.connect(copy) as database:
                for (head,) in database.execute("SELECT substr(data, 1, 61) FROM record_batch"):
                    (attributes,) = struct.unpack_from(">h", head, 21)
                    codec = CODECS[attributes & 7]
                    counts[codec] = counts.get(codec, 0) + 1
            database.close()
    return counts


def copy_database(path, directory):
    """Copies a database with its WAL, as a crash would leave them; SQLite builds the -shm file anew."""
    target = os.path.join(directory, os.path.basename(path))
    shutil.copyfile(path, target)
    if os.path.exists(f"{path}-wal"):
        shutil.copyfile(f"{path}-wal", f"{target}-wal")
    return target


def integrity(data):
    """`PRAGMA integrity_check` by the stock sqlite3 on a copy of every database; returns (count, problems)."""
    count, problems = 0, []
    with tempfile.TemporaryDirectory() as scratch:
        for path in sorted(pathlib.Path(data).rglob("*.db")):
            if not path.is_file() or path.stat().st_size == 0 and not pathlib.Path(f"{path}-wal").exists():
                continue
            copy = copy_database(path, scratch)
            done = subprocess.run(["sqlite3", "file:" + urllib.parse.quote(copy), "PRAGMA integrity_check"],
                                  capture_output=True, text=True, timeout=120)
            if done.stdout.strip() != "ok":
                problems.append(f"{path}: {done.stdout.strip()} {done.stderr.strip()}")
            count += 1
            for name in os.listdir(scratch):
                os.unlink(os.path.join(scratch, name))
    return count, problems
