"""Damage to what a node has on its disk, and what a power cut leaves of it."""
import collections
import os
import pathlib
import shutil
import time

import cut
from onlookers import segments


KINDS = ("active", "active-wal", "sealed", "coordinator", "coordinator-wal", "index")


def kind_of(path, newest):
    """What a file is, or None for what is nothing of a node's for long: drafts, and SQLite's shared memory, which it maps, so that
    damage there would be a fault of memory and not of a disk."""
    name, is_topic = path.name, path.parent.parent.name == "topics"
    if name.endswith(".index"):
        return "index"
    if name.endswith(".db-wal"):
        return "active-wal" if is_topic else "coordinator-wal"
    if name.endswith(".db"):
        return "coordinator" if not is_topic else "active" if path in newest else "sealed"
    return None


def files(data, leads=None):
    """{kind: files} of a node. `leads`: only of partitions' directories (`song_plays-0`) of which that is true."""
    found = collections.defaultdict(list)
    for part in ("topics", "coordinator"):
        for directory in sorted(pathlib.Path(data, part).glob("*/")):
            if "~" in directory.name or leads and part == "topics" and not leads(directory.name):
                continue
            newest = segments(directory)[-1:]
            for path in sorted(directory.iterdir()):
                kind = kind_of(path, newest)
                if kind and path.stat().st_size > 0:
                    found[kind].append(path)
    return found


def damage(data, rng, kind=None, leads=None):
    """Flips a bit, or cuts a tail off, in one file of a node; returns what was done.

    In one of `kind` where there is one, and one of a partition of which `leads` is true where there is one."""
    there = files(data, leads)
    if kind not in there:
        there = files(data)
    if not there:
        return "nothing: there are no files"
    path = rng.choice(there[kind if kind in there else rng.choice(sorted(there))])
    name, size = path.relative_to(data), path.stat().st_size
    # What a -wal has behind its last frames is of former turns, and nothing; most of it is in front.
    at = rng.randrange(size // 2 if path.name.endswith("-wal") and rng.random() < 0.7 else size)
    if rng.random() < 0.3:
        kept = size - rng.randrange(1, min(size, 1 << rng.randrange(4, 18)) + 1)
        os.truncate(path, kept)
        return f"{name} cut from {size} to {kept} bytes"
    with open(path, "r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1 << rng.randrange(8)]))
    return f"{name}: a bit of byte {at} of {size} flipped"


# ---- power

def begin_recording(data, log):
    """Starts a log for tools/powerloss-src/record.c with what is in `data` now, all of it durable; returns the environment."""
    pathlib.Path(data).mkdir(mode=0o700, parents=True, exist_ok=True)
    ticket = 1 << 62
    with open(log, "wb") as out:
        def note(operation, inode, a=0, b=0, payload=b""):
            out.write(cut.ENTRY.pack(time.monotonic_ns(), operation, len(payload), inode, a, b) + payload)

        def sync(inode):
            note(cut.SYNC_BEGIN, inode, ticket)
            note(cut.SYNC_END, inode, ticket, 1)

        def directory(path):
            parent = os.stat(path).st_ino
            for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
                if entry.name.endswith("-shm"):
                    continue
                inode = entry.inode()
                note(cut.CREATE, inode, parent, int(entry.is_dir(follow_symlinks=False)), entry.name.encode())
                if entry.is_dir(follow_symlinks=False):
                    directory(entry.path)
                    continue
                with open(entry.path, "rb") as file:
                    content = file.read()
                if content:
                    note(cut.WRITE, inode, 0, 0, content)
                sync(inode)
            sync(parent)

        directory(data)
    return {"LD_PRELOAD": os.environ["POWERLOSS_RECORDER"], "POWERLOSS_DIR": os.path.realpath(data), "POWERLOSS_LOG": str(log)}


def cut_power(data, log, rng):
    """Leaves of `data`, whose node has been killed, what a power cut at this moment would; returns how much was torn."""
    root = os.stat(data).st_ino
    tape = cut.Recording(log, root)
    last = None
    for position, *_ in tape.entries():
        last = position
    if last is not None:
        tape.play_through(last)
    made = f"{data}.cut"
    shutil.rmtree(made, ignore_errors=True)
    torn = tape.write_cut(made, rng)
    shutil.rmtree(data)
    os.rename(made, data)
    os.chmod(data, 0o700)
    return torn
