"""Who looks at nodes while they are written to: SQL over Postgres' protocol, and `sqlite3` processes on their very files.

Neither may ever see a torn view (records without their predecessors, half a commit) or be given another record than was sent; what
one life of a node has answered never goes back. That a node does not answer, or says why it cannot, is no fault here.
"""
import collections
import pathlib
import random
import re
import subprocess
import threading
import time

import psycopg

SEGMENT = re.compile(r"(\d{20})(?:\.(\d+))?\.db")
# In one read transaction: the rows, whether they go on from each other, everything twice with time between, and the tables' own order.
FILE_SQL = """.timeout 20000
BEGIN;
SELECT 'state', base_offset, leader_epoch, commit_sequence FROM partition_state;
SELECT 'rows', count(*), sum(last_offset - base_offset + 1), min(base_offset), max(last_offset) FROM record_batch;
SELECT 'gaps', count(*) FROM (SELECT base_offset - lag(last_offset) OVER (ORDER BY base_offset) AS step FROM record_batch) WHERE step <> 1;
SELECT 'integrity', integrity_check FROM pragma_integrity_check(3);
SELECT 'state', base_offset, leader_epoch, commit_sequence FROM partition_state;
SELECT 'rows', count(*), sum(last_offset - base_offset + 1), min(base_offset), max(last_offset) FROM record_batch;
COMMIT;
"""


class TornView(Exception):
    """What nobody may see."""


class Question:
    """SQL on one node: what it has said before, by its life."""

    def __init__(self, topic, history=None):
        self.topic, self.history = topic, history
        self.seen = {}     # (node, life) -> {partition: last offset}

    def ask(self, address, node, life, rng):
        host, port = address.rsplit(":", 1)
        with psycopg.connect(host=host, port=int(port), user="onlooker", dbname="quire", autocommit=True, connect_timeout=5) as door:
            rows = door.execute(
                f'SELECT partition, count(*), min("offset"), max("offset") FROM "{self.topic}" GROUP BY partition').fetchall()
            self.judge(node, life, rows)
            if self.history and rows:
                partition, _, _, last = rng.choice(rows)
                begin = rng.choice((max(0, last - 40), rng.randrange(last + 1)))
                self.compare(partition, door.execute(
                    f'SELECT "offset", value FROM "{self.topic}" WHERE partition = {partition} AND "offset" BETWEEN {begin} '
                    f'AND {begin + 40} ORDER BY "offset"').fetchall(), begin, last, node)

    def judge(self, node, life, rows):
        seen = self.seen.setdefault((node, life), {})
        answered = set()
        for partition, count, first, last in rows:
            answered.add(partition)
            if first != 0 or count != last + 1:
                raise TornView(f"node {node}: {self.topic}-{partition} has {count} records from {first} to {last}")
            if last < seen.get(partition, -1):
                raise TornView(f"node {node}: {self.topic}-{partition} went back to {last} from {seen[partition]}")
            seen[partition] = last
        if lacking := set(seen) - answered:
            raise TornView(f"node {node}: {self.topic} has nothing in partitions {sorted(lacking)} any more")

    def compare(self, partition, rows, begin, last, node):
        where = (self.topic, partition)
        wanted = list(range(begin, min(begin + 40, last) + 1))
        if [offset for offset, _ in rows][:len(wanted)] != wanted:
            raise TornView(f"node {node}: {self.topic}-{partition} has {[offset for offset, _ in rows]} in place of {wanted}")
        with self.history.lock:
            for offset, value in rows:
                value = value.encode() if isinstance(value, str) else value
                problem, name = self.history.identify(where, offset, value)
                if problem:
                    self.history.anomalies.append(problem)
                if name:
                    self.history.note(self.history.polled, where, offset, name, f"selected on node {node} as")


def segments(directory):
    """The segments of a partition's directory, oldest first; of each the newest generation."""
    found = {}
    for path in pathlib.Path(directory).glob("*.db"):
        if match := SEGMENT.fullmatch(path.name):
            found[int(match[1])] = max(found.get(int(match[1]), (-1, None)), (int(match[2] or 0), path))
    return [path for _, (_, path) in sorted(found.items())]


def look_at_file(path, read_only=False):
    """One `sqlite3` process with that file; returns its (leader epoch, commit sequence), or None where it cannot be read now."""
    target = f"file:{path}?mode={'ro' if read_only else 'rw'}"
    done = subprocess.run(["sqlite3", "-batch", "-cmd", ".separator ' '", target], input=FILE_SQL, capture_output=True, text=True,
                          timeout=120)
    if done.returncode != 0 or done.stderr.strip():
        # Gone meanwhile, not yet whole, or in the hands of somebody who recovers it; never what SQLite says of a damaged one.
        if "malformed" in done.stderr or "not a database" in done.stderr:
            raise TornView(f"{path}: {done.stderr.strip()}")
        return None
    lines = [line.split(" ") for line in done.stdout.splitlines()]
    answers = collections.defaultdict(list)
    for first, *rest in lines:
        answers[first].append(rest)
    if not answers["state"]:
        return None
    for name in ("state", "rows"):
        if answers[name][0] != answers[name][1]:
            raise TornView(f"{path}: one transaction saw {name} {answers[name][0]} and {answers[name][1]}")
    if answers["integrity"] != [["ok"]] or answers["gaps"] != [["0"]]:
        raise TornView(f"{path}: {done.stdout}")
    base, epoch, sequence = map(int, answers["state"][0])
    count, records, first, last = (int(word or 0) for word in answers["rows"][0])
    if count and (first != base or records != last - first + 1):
        raise TornView(f"{path}: {records} records in {count} batches from {first} to {last}, base {base}")
    return epoch, sequence


class Onlookers:
    """Two threads that look at any node of a cluster, over and over. `topics`: those with SQL; `avoid`: nodes whose files are damaged."""

    def __init__(self, cluster, topics, history=None, seed=0, avoid=(), read_only=False, pause=0.15):
        self.cluster, self.avoid, self.read_only, self.pause = cluster, set(avoid), read_only, pause
        self.topics = topics
        self.questions = [Question(topic, history) for topic in topics]
        self.failures, self.refusals = [], collections.Counter()
        self.answered, self.files = collections.Counter(), collections.Counter()   # node -> how often
        self.stopping = threading.Event()
        self.files_rest = threading.Lock()   # held by who takes the files away: SQLite would make new ones
        self.threads = [threading.Thread(target=self.run, args=(look, random.Random(f"{seed} {number}")), daemon=True)
                        for number, look in enumerate((self.ask, self.open))]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        """Returns what they saw that nobody may see."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(150)
            if thread.is_alive():
                self.failures.append("an onlooker gets no answer for ever")
        return self.failures

    def summary(self):
        return f"{sum(self.answered.values())} answers over Postgres' protocol, {sum(self.files.values())} looks by sqlite3"

    def run(self, look, rng):
        while not self.stopping.is_set():
            try:
                look(rng)
            except TornView as error:
                if len(self.failures) < 20:
                    self.failures.append(f"an onlooker saw: {error}")
            except (psycopg.Error, OSError, KeyError, IndexError, subprocess.TimeoutExpired) as error:
                self.refusals[f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"] += 1
            self.stopping.wait(self.pause)

    def ask(self, rng):
        node, question = rng.choice(self.cluster.nodes), rng.choice(self.questions)
        life = self.cluster.processes[node].pid
        question.ask(self.cluster.address(node, "postgres"), node, life, rng)
        self.answered[node] += 1

    def open(self, rng):
        with self.files_rest:
            self.look_at_one(rng)

    def look_at_one(self, rng):
        nodes = [node for node in self.cluster.nodes if node not in self.avoid]
        node = rng.choice(nodes)
        topics = self.cluster.data(node) / "topics"
        directory = rng.choice([path for path in sorted(topics.iterdir()) if path.name.rpartition("-")[0] in self.topics])
        files = segments(directory)
        # Mostly the one that is written to.
        path = files[-1] if rng.random() < 0.7 else rng.choice(files)
        if look_at_file(path, self.read_only) is not None:
            self.files[node] += 1
