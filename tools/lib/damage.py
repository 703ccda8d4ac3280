"""Damage to what a node has on its disk, and what a power cut leaves of it."""
import os
import pathlib
import shutil
import time

import cut


def damage(data, rng):
    """Flips a bit, or cuts a tail off, in one file of a node's topics or coordinator shards; returns what was done.

    Not of shared memory: SQLite maps it, so that would be a fault of memory and not of a disk."""
    files = [path for part in ("topics", "coordinator") for path in sorted(pathlib.Path(data, part).rglob("*"))
             if path.is_file() and not path.name.endswith("-shm") and path.stat().st_size > 0 and ".deleted-" not in str(path)]
    if not files:
        return "nothing: there are no files"
    path = rng.choice(files)
    name, size = path.relative_to(data), path.stat().st_size
    if rng.random() < 0.3:
        kept = size - rng.randrange(1, min(size, 1 << rng.randrange(4, 18)) + 1)
        os.truncate(path, kept)
        return f"{name} cut from {size} to {kept} bytes"
    at = rng.randrange(size)
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
