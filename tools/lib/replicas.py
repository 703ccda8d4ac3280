"""Compares the databases of replicas, page for page, on copies that were made while no node ran.

Two databases are compared when they stand at the same commit; replicas that do not get there in time are a problem too, for
they are asked when nobody writes.
"""
import collections
import contextlib
import os
import pathlib
import shutil
import sqlite3
import subprocess
import tempfile
import time

from node import binary

PAGE_SOURCES = ("topics", "coordinator")


class Copy:
    """A database with its WAL folded in, of one node."""

    def __init__(self, path):
        self.path = path
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
            busy, *_ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert not busy, f"{path} is in use"
            self.position = position(database)
            (self.integrity,) = database.execute("PRAGMA integrity_check(3)").fetchone()
            (self.page_bytes,) = database.execute("PRAGMA page_size").fetchone()

    def first_difference(self, other):
        with open(self.path, "rb") as mine, open(other.path, "rb") as theirs:
            page = 1
            while True:
                a, b = mine.read(self.page_bytes), theirs.read(self.page_bytes)
                if a != b:
                    return page
                if not a:
                    return None
                page += 1


def position(database):
    """(leader epoch, commit sequence), where the database has one."""
    with contextlib.suppress(sqlite3.Error):
        return tuple(database.execute("SELECT leader_epoch, commit_sequence FROM partition_state").fetchone())
    return None


def snapshot(cluster, target):
    """Copies the data of every node while all of them stand still."""
    for name in cluster.nodes:
        cluster.pause(name)
    try:
        for name in cluster.nodes:
            copied = pathlib.Path(target, str(name))
            for part in PAGE_SOURCES:
                source = cluster.data(name) / part
                if source.exists():
                    shutil.copytree(source, copied / part, ignore=lambda _, names: [one for one in names if one.endswith("-shm")])
            for file in cluster.data(name).glob("quire.db*"):
                if not file.name.endswith("-shm"):
                    shutil.copyfile(file, copied / file.name)
    finally:
        for name in cluster.nodes:
            cluster.go_on(name)


def differences(copies, replicas_of, is_damaged):
    """(what is wrong for good, what may only be late, how many were compared) of {node: directory}.

    `replicas_of(directory name)`: the nodes that have it, or None: all that do. `is_damaged`: somebody has damaged files, so that
    a difference may still be found and healed; else none may ever be."""
    wrong, late, compared = [], [], 0
    databases = collections.defaultdict(dict)   # relative path -> {node: Copy}
    for node, directory in copies.items():
        for path in sorted(pathlib.Path(directory).rglob("*.db")):
            name = str(path.relative_to(directory))
            if ".deleted-" in name:
                continue
            if path.stat().st_size == 0 and not os.path.exists(f"{path}-wal"):
                continue
            try:
                copy = Copy(str(path))
            except (sqlite3.Error, AssertionError) as error:
                (late if is_damaged else wrong).append(f"node {node}: {name}: {error}")
                continue
            if copy.integrity != "ok":
                (late if is_damaged else wrong).append(f"node {node}: {name}: integrity_check: {copy.integrity}")
            if name != "quire.db":
                databases[name][node] = copy
    for name, found in sorted(databases.items()):
        expected = replicas_of(pathlib.Path(name).parent.name)
        nodes = sorted(set(found) & set(expected)) if expected is not None else sorted(found)
        if expected is not None and len(nodes) < len(expected):
            late.append(f"{name}: only on nodes {nodes} of {sorted(expected)}")
        for node in nodes[1:]:
            first, other = found[nodes[0]], found[node]
            if first.position != other.position:
                late.append(f"{name}: node {nodes[0]} is at {first.position}, node {node} at {other.position}")
                continue
            page = first.first_difference(other)
            if page is not None:
                what = f"{name}: at the same commit {first.position}, page {page} of nodes {nodes[0]} and {node} differs"
                (late if is_damaged else wrong).append(what)
            compared += 1
    return wrong, late, compared


def check_identical(cluster, replicas_of, is_damaged=False, with_doctor=True, seconds=90, keep=None):
    """Polls until every node's databases are whole and equal to those of the other replicas; returns (how many pairs were
    compared, what is still different afterwards)."""
    deadline = time.monotonic() + seconds
    while True:
        scratch = tempfile.mkdtemp(prefix="copies-", dir=cluster.directory)
        try:
            snapshot(cluster, scratch)
            wrong, late, compared = differences({name: os.path.join(scratch, str(name)) for name in cluster.nodes},
                                                replicas_of, is_damaged)
            if wrong or (late and time.monotonic() > deadline):
                if keep:
                    shutil.copytree(scratch, keep, dirs_exist_ok=True)
                return compared, wrong + late
            if not late:
                return compared, doctor(scratch, cluster.nodes) if with_doctor else []
        finally:
            shutil.rmtree(scratch)
        time.sleep(1)


def doctor(scratch, nodes):
    """What `quire doctor` has to say of the copies."""
    problems = []
    for name in nodes:
        done = subprocess.run([binary(), "doctor", "--data-dir", os.path.join(scratch, str(name))], capture_output=True, text=True,
                              timeout=300)
        if done.returncode != 0:
            problems.append(f"node {name}: quire doctor: exit {done.returncode}: {done.stdout[-800:]}{done.stderr[-800:]}")
    return problems
