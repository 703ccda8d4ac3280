"""Known bugs, made again in a copy of the tree: the test that is there because of each has to fail.

A bug whose place is not found, because the code has changed, is a failure too: it is to be made anew here.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

from checks import check, finish

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))


@dataclass
class Bug:
    name: str
    what: str
    file: str
    old: str
    new: str
    test: str        # of `swift test --filter`: suite/function


BUGS = (
    Bug("acknowledged-before-synced", "appends are answered before their WAL is synced",
        "Sources/Storage/StorageLane.swift", "    sync(committed)\n", "    defer { sync(committed) }\n",
        "StorageTests.FailureTests/failedSync"),
    Bug("stale-manifest", "a roll does not tell the successor of the segment before it",
        "Sources/Storage/PartitionWriter+Roll.swift", "    next.segments.append(record)\n", "",
        "StorageTests.SegmentTests"),
    Bug("state-left-behind", "a roll forgets the idempotent producers",
        "Sources/Storage/PartitionWriter+Roll.swift", "    next.generation = 0\n", "    next.generation = 0\n    next.producers = [:]\n",
        "StorageTests.IdempotenceTests/survives"),
    Bug("removed-while-read", "retention unlinks a segment that a query has pinned",
        "Sources/Storage/SegmentFile.swift", "pinCount == 0", "pinCount >= 0",
        "StorageTests.SegmentTests"),
    Bug("checksum-not-looked-at", "batches from the disk are served without a look at their CRC",
        "Sources/Storage/SegmentConnection.swift", "      try header.verifyChecksum(of: bytes)\n", "",
        "StorageTests.DamageTests/oneBatch"),
    Bug("copied-after-said", "a checkpoint's pages are written after SQLite has said that they are",
        "Sources/SQLite/GatheringVFS.swift", "      case SQLITE_FCNTL_CKPT_DONE: gathered.flushUnreported()\n", "",
        "SQLiteTests.CheckpointOrderTests"),
    Bug("view-of-each-cursor", "a statement in another program sees a new state of history with each table that it opens",
        "Sources/Query/Hosted/HostedSQL.swift", "    if let view { return view }\n", "",
        "QueryTests.HostedTests/views"),
    Bug("planned-for-one-partition", "a plan for a topic of one partition is kept when that has grown",
        "Sources/Query/ScanPlan.swift", "partitionCount <= 1 && !mayGrow", "partitionCount <= 1",
        "QueryTests.HostedTests/growth"),
    Bug("notified-while-reading", "what a leader is told of while it reads for a follower counts as read",
        "Sources/Shipping/Leader/LeaderConversation+Sending.swift", "if !outcome.isDrained { stream.notifiedSince = since }",
        "stream.notifiedSince = outcome.isDrained ? nil : since",
        "ShippingTests.ShippingTests/manyPartitions"),
)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--directory", default=os.path.join(ROOT, ".build", "mutations"))
    options.add_argument("--list", action="store_true")
    options.add_argument("names", nargs="*", metavar="NAME")
    options = options.parse_args()
    if options.list:
        for bug in BUGS:
            print(f"{bug.name}: {bug.what}; caught by {bug.test}")
        return
    unknown = set(options.names) - {bug.name for bug in BUGS}
    if unknown:
        raise SystemExit(f"there is no {', '.join(sorted(unknown))}; see --list")
    bugs = [bug for bug in BUGS if not options.names or bug.name in options.names]
    copy_tree(options.directory)
    with check("mutations: without a bug the tests pass"):
        said = built_and_tested(options.directory, "|".join(sorted({bug.test for bug in bugs})))
        assert said.returncode == 0, said.stdout[-3000:]
    for bug in bugs:
        with check(f"mutations: {bug.name} is caught ({bug.test})"):
            with_bug(options.directory, bug)
    finish()


def copy_tree(directory):
    """The files of the tree as they are now, with their times, so that only what has changed is built again."""
    names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.split("\0")
    names = {name for name in names if name and os.path.isfile(os.path.join(ROOT, name))}
    for below, directories, files in os.walk(directory):
        directories[:] = [name for name in directories if name not in (".build", ".git")]
        for name in files:
            path = os.path.join(below, name)
            if os.path.relpath(path, directory) not in names:
                os.unlink(path)
    for name in names:
        source, target = os.path.join(ROOT, name), os.path.join(directory, name)
        if not os.path.exists(target) or open(source, "rb").read() != open(target, "rb").read():
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(source, target)


def with_bug(directory, bug):
    path = os.path.join(directory, bug.file)
    with open(path) as file:
        sound = file.read()
    assert sound.count(bug.old) == 1, f"{bug.file} has the place of this bug {sound.count(bug.old)} times"
    try:
        write(path, sound.replace(bug.old, bug.new))
        said = built_and_tested(directory, bug.test)
        failed = re.findall(r"✘ Test \"(.+?)\" (?:with .* )?failed after", said.stdout)
        assert said.returncode != 0 and failed, f"nothing failed:\n{said.stdout[-2000:]}"
        for name in failed:
            print(f"# failed: {name}", flush=True)
    finally:
        write(path, sound)


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def built_and_tested(directory, tests):
    build = subprocess.run(["swift", "build", "--package-path", directory, "--build-tests",
                            "--explicit-target-dependency-import-check", "error"], capture_output=True, text=True)
    assert build.returncode == 0, "it does not build:\n" + (build.stdout + build.stderr)[-3000:]
    done = subprocess.run(["swift", "test", "--package-path", directory, "--skip-build", "--no-parallel", "--filter", tests],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    assert re.search(r"Test run with [1-9]\d* test", done.stdout), f"no test ran:\n{done.stdout[-2000:]}"
    return done


if __name__ == "__main__":
    main()
