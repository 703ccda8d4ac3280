"""What clients saw of partitions, and what is wrong with it: pure, nothing here talks to anybody.

In the manner of Jepsen's workload for Kafka. A record's value is unique: it says who sent it, which of that sender's records for
that partition it is, and carries bytes that follow from its name, so that a changed one is known. Offsets of a partition have no
gaps here: nothing is compacted, deleted or transactional.
"""
import collections
import threading
import zlib

# Every kind of anomaly that is looked for, with what it means.
KINDS = {
    "lost": "an acknowledged record is not at its offset, though the log reaches beyond it",
    "unseen": "the log ends before an acknowledged record",
    "duplicate": "one record stands at two offsets",
    "reordered": "a sender's records stand in another order than they were sent in",
    "inconsistent": "one offset had two records",
    "phantom": "a record that nobody sent there",
    "changed": "a record with other bytes than were sent",
    "vanished": "a record that a consumer was given is not in the log",
    "backward": "a poll gave an offset again, or an earlier one, without a seek",
    "skipped": "a poll left out an offset of the log, without a seek",
    "out of range": "a consumer was told that its position is not in the log",
    "gap": "the log has no record at an offset between its start and its end",
    "truncated": "the start of the log moved, and nothing was ever deleted",
    "commit lost": "a group's committed offset is behind one that was acknowledged",
    "commit phantom": "a group's committed offset was never sent",
}


def value_of(sender, number, size):
    """The bytes of a sender's record; as large as `size` allows, as its name has it."""
    name = f"{sender} {number} ".encode()
    return name + bytes([97 + zlib.crc32(name) % 26]) * (zlib.crc32(name[::-1]) % size)


def name_in(value):
    """(sender, number) of a value, or None if it is none of ours."""
    try:
        sender, number, _ = bytes(value).split(b" ", 2)
        return sender.decode(), int(number)
    except (ValueError, TypeError):
        return None


class Anomaly(collections.namedtuple("Anomaly", "kind where what")):
    def __str__(self):
        return f"{self.kind}: {self.where}: {self.what}"


class History:
    """Partitions are (topic, index). Senders number their records for one partition from 0. May be written by several threads."""

    def __init__(self, size=900):
        self.size = size
        self.lock = threading.Lock()
        self.sent = {}               # (partition, sender) -> how many
        self.acknowledged = {}       # partition -> {offset: (sender, number)}
        self.unplaced = {}           # partition -> {(sender, number)}: acknowledged, the client does not know where
        self.polled = {}             # partition -> {offset: (sender, number)}
        self.anomalies = []          # seen while it was written
        self.commits = {}            # (group, partition) -> greatest acknowledged
        self.commits_sent = {}       # (group, partition) -> set of all sent
        self.refused = collections.Counter()   # name of the error -> how often a send ended in it

    # ---- writing

    def send(self, partition, sender):
        """The number of this sender's next record for the partition."""
        with self.lock:
            number = self.sent.get((partition, sender), 0)
            self.sent[partition, sender] = number + 1
            return number

    def ack(self, partition, sender, number, offset):
        """`offset` is None where the client knows only that the record is there: its answer was lost, and a later one's came."""
        with self.lock:
            if offset is None:
                self.unplaced.setdefault(partition, set()).add((sender, number))
                return
            self.note(self.acknowledged, partition, offset, (sender, number), "acknowledged for")

    def refuse(self, error):
        with self.lock:
            self.refused[error] += 1

    def note(self, known, partition, offset, name, how):
        before = known.setdefault(partition, {}).setdefault(offset, name)
        if before != name:
            self.anomalies.append(Anomaly("inconsistent", text(partition), f"offset {offset} was {how} {before} and {name}"))

    def commit_sent(self, group, partition, offset):
        with self.lock:
            self.commits_sent.setdefault((group, partition), set()).add(offset)

    def commit(self, group, partition, offset):
        """Acknowledged. Offsets that a group commits only rise here."""
        with self.lock:
            self.commits[group, partition] = max(offset, self.commits.get((group, partition), -1))

    def least_commit(self, group, partition):
        """What the coordinator may not answer less than, if it is asked from now on."""
        with self.lock:
            return self.commits.get((group, partition), -1)

    def committed(self, group, partition, offset, least):
        """What the coordinator answered, negative: nothing; `least` is of `least_commit` before it was asked."""
        with self.lock:
            where = f"{group} of {text(partition)}"
            if offset < least:
                self.anomalies.append(Anomaly("commit lost", where, f"is at {offset}, acknowledged was {least}"))
            if offset >= 0 and offset not in self.commits_sent.get((group, partition), ()):
                self.anomalies.append(Anomaly("commit phantom", where, f"is at {offset}, which was never sent"))

    def reader(self, who):
        return Reader(self, who)

    # ---- judging

    def judge(self, logs):
        """Every anomaly, with `logs`, what was read at the end when all was well: {partition: (start, [(offset, value)])}."""
        found = list(self.anomalies)
        for partition in sorted({*self.acknowledged, *self.unplaced, *self.polled, *(partition for partition, _ in self.sent)}):
            if partition not in logs:
                found.append(Anomaly("unseen", text(partition), "the partition is not there"))
                continue
            found += self.judge_partition(partition, *logs[partition])
        return found

    def judge_partition(self, partition, start, records):
        where, log = text(partition), {}
        if start != 0:
            yield Anomaly("truncated", where, f"begins at {start}")
        stands, latest, expected = {}, {}, start
        for offset, value in records:
            if offset != expected:
                yield Anomaly("gap", where, f"offset {offset} stands where {expected} should")
            expected = offset + 1
            problem, name = self.identify(partition, offset, value)
            if problem:
                yield problem
            if name is None:
                continue
            log[offset] = name
            if name in stands:
                yield Anomaly("duplicate", where, f"{name} stands at {stands[name]} and at {offset}")
                continue
            stands[name] = offset
            sender, number = name
            if number < latest.get(sender, -1):
                yield Anomaly("reordered", where, f"{sender} has {number} at {offset}, behind {latest[sender]}")
            latest[sender] = max(number, latest.get(sender, -1))
        yield from self.missing(partition, where, log, stands, expected)

    def missing(self, partition, where, log, stands, end):
        for offset, name in sorted(self.acknowledged.get(partition, {}).items()):
            if log.get(offset) == name:
                continue
            elsewhere = f"; it stands at {stands[name]}" if name in stands else ""
            if offset >= end:
                yield Anomaly("unseen", where, f"{name} was acknowledged at {offset}, the log ends at {end}{elsewhere}")
            else:
                yield Anomaly("lost", where, f"{name} was acknowledged at {offset}, where {log.get(offset)} stands{elsewhere}")
        for name in sorted(self.unplaced.get(partition, ())):
            if name not in stands:
                yield Anomaly("lost", where, f"{name} was acknowledged, and stands nowhere")
        for offset, name in sorted(self.polled.get(partition, {}).items()):
            if log.get(offset) != name:
                yield Anomaly("vanished", where, f"a consumer got {name} at {offset}, where {log.get(offset)} stands")

    def identify(self, partition, offset, value):
        """(what is wrong with a value, its name or None)."""
        name = name_in(value)
        if name is None:
            return Anomaly("changed", text(partition), f"offset {offset} has {bytes(value or b'')[:40]!r}"), None
        if name[1] >= self.sent.get((partition, name[0]), 0):
            return Anomaly("phantom", text(partition), f"offset {offset} has {name}, which was never sent there"), name
        if value != value_of(*name, self.size):
            return Anomaly("changed", text(partition), f"offset {offset} has other bytes than {name} had"), name
        return None, name

    def summary(self):
        return (f"{sum(self.sent.values())} sent, {sum(map(len, self.acknowledged.values()))} acknowledged, "
                f"{sum(map(len, self.polled.values()))} offsets polled, {len(self.commits)} groups' offsets committed"
                + (f", refused {dict(self.refused)}" if self.refused else ""))


class Reader:
    """One consumer's polls of partitions that were assigned to it."""

    def __init__(self, history, who):
        self.history, self.who = history, who
        self.next = {}               # partition -> the offset that has to come; None: any

    def seek(self, partition, offset=None):
        """It was assigned, or goes on from `offset`; without, from wherever the group stands."""
        self.next[partition] = offset

    def out_of_range(self, partition, error):
        with self.history.lock:
            self.history.anomalies.append(Anomaly("out of range", f"{text(partition)} by {self.who}",
                                                  f"{error} at {self.next.get(partition)}"))

    def poll(self, partition, offset, value):
        history, expected = self.history, self.next.get(partition)
        where = f"{text(partition)} by {self.who}"
        with history.lock:
            if expected is not None and offset < expected:
                history.anomalies.append(Anomaly("backward", where, f"{offset} came where {expected} should"))
            elif expected is not None and offset > expected:
                history.anomalies.append(Anomaly("skipped", where, f"{offset} came where {expected} should"))
            problem, name = history.identify(partition, offset, value)
            if problem:
                history.anomalies.append(problem)
            if name:
                history.note(history.polled, partition, offset, name, "polled as")
        self.next[partition] = offset + 1


def text(partition):
    return f"{partition[0]}-{partition[1]}"
