"""Exports beside the disk they go to, and the same questions by DuckDB over the Parquet that came out."""
import os
import random
import subprocess
import sys
import time

from node import Node, peak_of, run

RECORDS, PARTITIONS = 5_000_000, 12
SYNC_BYTES = 64 << 20
QUESTIONS = (
    ("count and sum over offset and timestamp", "SELECT count(*), sum(offset), sum(timestamp) FROM plays",
     "SELECT count(*), sum(\"offset\"), sum(epoch_ms(timestamp)) FROM '{path}'"),
    ("GROUP BY value ->> '$.user'", "SELECT value ->> '$.user' AS name, count(*) FROM plays GROUP BY name",
     "SELECT value ->> '$.user' AS name, count(*) FROM '{path}' GROUP BY name"),
)


def export(scratch, repeat, scale, row):
    import duckdb
    duckdb.sql("SET threads TO 2")
    count = int(RECORDS * scale)
    lines, data = f"{scratch}/plays.txt", f"{scratch}/plays"
    write_lines(lines, count)
    with Node(data) as broker:
        os.environ.update(QUIRE_BOOTSTRAP=broker.kafka, QUIRE_SERVER=f"http://{broker.http}")
        done(run("topic", "create", "plays", "--partitions", str(PARTITIONS)))
        done(run("produce", "plays", "--key-separator", ":", "--file", lines, seconds=600))
        os.remove(lines)
        for form in ("jsonl", "csv", "parquet", "sqlite"):
            for place, source in (("a node", ()), ("a data directory", ("--data-dir", data))):
                path = f"{scratch}/plays.{form}"
                times, disks, peak = [], [], 0
                for _ in range(repeat):
                    seconds, memory = exported(path, form, source)
                    times.append(seconds)
                    peak = max(peak, memory)
                    disks.append(disk(scratch, os.path.getsize(path)))
                ours, limit = sorted(times)[repeat // 2], sorted(disks)[repeat // 2]
                row(f"export to {form} from {place}", f"{count / ours / 1e6:.2f} M records/s, {os.path.getsize(path) / 1e6:.0f} MB, "
                    f"{peak >> 20} MB of memory", f"the disk takes as many bytes at {count / limit / 1e6:.1f} M records/s", limit / ours)
        for name, ours, theirs in QUESTIONS:
            slow = min(timed(lambda: done(run("query", ours, "--format", "csv", seconds=600))) for _ in range(repeat))
            fast = min(timed(lambda: duckdb.sql(theirs.format(path=f"{scratch}/plays.parquet")).fetchall()) for _ in range(repeat))
            row(f"SQL over a node: {name}", f"{count / slow / 1e6:.2f} M records/s",
                f"DuckDB over the Parquet: {count / fast / 1e6:.1f} M records/s", fast / slow)


def done(process):
    if process.returncode != 0:
        raise SystemExit(process.stderr[-2000:])


def timed(work):
    started = time.monotonic()
    work()
    return time.monotonic() - started


def write_lines(path, count):
    """Plays of songs, about 200 bytes each; the user is the key."""
    rng = random.Random(1)
    songs = ("Aquarela", "So What", "Blue in Green")
    with open(path, "w") as out:
        for number in range(count):
            user = f"user{rng.randrange(10_000)}"
            out.write(f'{user}:{{"user": "{user}", "n": {number}, "song": "{rng.choice(songs)}", "seconds": {rng.randrange(600)}, '
                      f'"session": "{rng.getrandbits(128):032x}", "agent": "Mozilla/5.0 (X11; Linux x86_64)", "ok": true}}\n')


def exported(path, form, source):
    """Seconds, and the most memory that the command line had, in bytes."""
    if os.path.exists(path):
        os.remove(path)
    started = time.monotonic()
    process = subprocess.Popen([os.environ["QUIRE"], "export", "plays", "--format", form, "--output", path, *source],
                               stderr=subprocess.PIPE, text=True)
    peak = peak_of(process)
    seconds = time.monotonic() - started
    if process.returncode != 0:
        raise SystemExit(process.stderr.read()[-2000:])
    print(f"   {form} {' '.join(source)}: {seconds:.2f} s", file=sys.stderr, flush=True)
    return seconds, peak


def disk(scratch, total):
    """Seconds for as many bytes in large writes, synced as often."""
    path, chunk = f"{scratch}/raw", os.urandom(1 << 20)
    started = time.monotonic()
    with open(path, "wb", buffering=0) as out:
        written = 0
        while written < total:
            written += out.write(chunk[:min(len(chunk), total - written)])
            if written % SYNC_BYTES == 0:
                os.fsync(out.fileno())
        os.fsync(out.fileno())
    seconds = time.monotonic() - started
    os.remove(path)
    return seconds
