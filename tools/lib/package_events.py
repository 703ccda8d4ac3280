"""Real events for the quickstart: this machine's own package log, one JSON Lines record for each of its lines.

    package_events.py FILE          writes them for `quire produce --format jsonl`, prints how many and where from
    package_events.py --same A B    fails unless two files hold the same records, in the same order for each key
"""
import glob
import gzip
import json
import os
import sys
import time


def from_log():
    """Lines such as `2025-06-24 14:36:25 status installed libc-bin:amd64 2.36-9`, oldest file first."""
    for path in sorted(glob.glob("/var/log/dpkg.log*"), key=os.path.getmtime):
        with (gzip.open if path.endswith(".gz") else open)(path, "rt", errors="replace") as log:
            for line in log:
                words = line.split()
                try:
                    at = time.mktime(time.strptime(" ".join(words[:2]), "%Y-%m-%d %H:%M:%S"))
                except ValueError:
                    continue
                action = words[2] if len(words) > 2 else ""
                package = words[4 if action == "status" else 3] if len(words) > 4 else None
                yield at, action, package, words[3:]


def from_installed():
    """Where there is no log: one event for each installed package, at the time its file list was written."""
    for path in sorted(glob.glob("/var/lib/dpkg/info/*.list"), key=os.path.getmtime):
        package = os.path.basename(path).removesuffix(".list")
        yield os.path.getmtime(path), "installed", package, [package]


def write(path):
    events = list(from_log())
    source = "/var/log/dpkg.log"
    if not events:
        events, source = list(from_installed()), "/var/lib/dpkg/info"
    with open(path, "w") as out:
        for at, action, package, words in events:
            value = json.dumps({"action": action, "package": package, "words": words})
            json.dump({"timestamp": int(at * 1000), "key": package, "value": value}, out)
            out.write("\n")
    print(len(events), source)


def by_key(path):
    keys = {}
    with open(path) as lines:
        for line in lines:
            record = json.loads(line)
            keys.setdefault(record.get("key"), []).append((record["timestamp"], record["value"]))
    for key in (None,):  # without a key a record may go to any partition
        keys.get(key, []).sort()
    return keys


def same(first, second):
    a, b = by_key(first), by_key(second)
    if a != b:
        different = [key for key in a.keys() | b.keys() if a.get(key) != b.get(key)]
        sys.exit(f"{len(different)} keys differ, for example {different[0]!r}: "
                 f"{str(a.get(different[0]))[:200]} and {str(b.get(different[0]))[:200]}")


if sys.argv[1] == "--same":
    same(sys.argv[2], sys.argv[3])
else:
    write(sys.argv[1])
