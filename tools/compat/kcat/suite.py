"""Debian's kcat against a node."""
import os
import re
import select
import signal
import subprocess
import sys

import group
import scenarios
from checks import check, equal
from records import Record, plain, varied

# Lengths before bytes, so that any byte may be in a key or value; headers last, ended by a line that is not theirs.
FORMAT = "%o %T %K %S\\n%k%s\\n%h\\n--\\n"


class Kcat(scenarios.Client):
    strategies = ("range", "roundrobin", "cooperative-sticky")

    @staticmethod
    def sample():
        """kcat splits lines: no line feeds or the separator; one set of headers per run, and no timestamps of one's own."""
        return [record._replace(headers=(), timestamp=None) for record in varied()
                if record.key and record.value and b"\n" not in record.key + record.value and b"\x1f" not in record.key]

    def call(self, *arguments, stdin=b"", seconds=60):
        done = subprocess.run(["kcat", "-b", self.bootstrap, *arguments], input=stdin, capture_output=True, timeout=seconds)
        assert done.returncode == 0, f"exit {done.returncode}: {done.stderr.decode(errors='replace')[-1000:]}"
        return done.stdout

    def produce(self, topic, batch, codec="none", partition=0, idempotent=False, options=()):
        lines = b"".join(record.key + b"\x1f" + record.value + b"\n" for record in batch)
        self.call("-P", "-t", topic, "-p", str(partition), "-z", codec, "-K", "\x1f", "-X", "acks=all",
                  "-X", f"enable.idempotence={str(idempotent).lower()}", *options, stdin=lines)

    def consume(self, topic, count, partition=0, start=0, options=()):
        data = self.call("-C", "-t", topic, "-p", str(partition), "-o", str(start), "-c", str(count), "-q", "-f", FORMAT,
                         "-X", "check.crcs=true", *options)
        received, at = [], 0
        while at < len(data):
            end = data.index(b"\n", at)
            offset, timestamp, key_length, value_length = map(int, data[at:end].split())
            at = end + 1
            key, at = (None, at) if key_length < 0 else (data[at:at + key_length], at + key_length)
            value, at = (None, at) if value_length < 0 else (data[at:at + value_length], at + value_length)
            end = data.index(b"\n--\n", at)
            headers = tuple((name.decode(), text) for name, _, text in
                            (pair.partition(b"=") for pair in data[at + 1:end].split(b",") if pair))
            at = end + 4
            received.append((offset, Record(key, value, headers, timestamp)))
        return received

    def member(self, group_id, topic, strategy):
        """kcat tells its assignment on stderr and commits by itself (at least on a clean exit, which Ctrl-C is)."""
        reporter = group.Reporter()
        process = subprocess.Popen(
            ["kcat", "-b", self.bootstrap, "-G", group_id, "-u", "-f", "%p %o\\n", "-X", "auto.offset.reset=earliest",
             "-X", f"partition.assignment.strategy={strategy}", "-X", "session.timeout.ms=6000",
             "-X", "heartbeat.interval.ms=300", "-X", "auto.commit.interval.ms=200", topic],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, preexec_fn=group.die_with_parent)
        held, rest = set(), {process.stdout: b"", process.stderr: b""}
        while not reporter.stopping and process.poll() is None:
            ready, _, _ = select.select(list(rest), [], [], 0.1)
            for stream in ready:
                *lines, rest[stream] = (rest[stream] + os.read(stream.fileno(), 65536)).split(b"\n")
                if stream is process.stdout:
                    batch = [tuple(map(int, line.split())) for line in lines if line]
                    if batch:
                        reporter.received(batch)
                    continue
                for line in lines:
                    held = assignment(line.decode(), held)
                    reporter.holds(held)
        process.send_signal(signal.SIGINT)
        process.wait(20)
        sys.exit(0 if reporter.stopping else 1)

    def extras(self, node):
        if scenarios.wanted(self.only, "headers"):
            with check("headers"):
                headers = (("a", b"1"), ("b", b""), ("a", b"2"))
                options = [part for name, value in headers for part in ("-H", f"{name}={value.decode()}")]
                self.produce("headers", plain(3), options=options)
                for _, record in self.consume("headers", 3):
                    equal(record.headers, headers, "headers")
        if scenarios.wanted(self.only, "null"):
            with check("null and empty values"):
                self.call("-P", "-t", "nulls", "-p", "0", "-Z", "-K", ":", stdin=b"key:\n:value\n")
                self.call("-P", "-t", "nulls", "-p", "0", "-K", ":", stdin=b"key:\n")
                equal([(r.key, r.value) for _, r in self.consume("nulls", 3)],
                      [(b"key", None), (None, b"value"), (b"key", b"")], "record")
        if scenarios.wanted(self.only, "idempotent"):
            with check("idempotent producer"):
                sent = plain(5000)
                self.produce("idempotent", sent, "lz4", idempotent=True)
                scenarios.compare([record for _, record in self.consume("idempotent", 5000)], sent)
        if scenarios.wanted(self.only, "timestamp"):
            with check("query by timestamp, and consume from a timestamp"):
                self.produce("times", plain(10))
                at = self.consume("times", 10)[0][1].timestamp
                assert b"offset 0" in self.call("-Q", "-t", f"times:0:{at}")
                assert b"offset -1" in self.call("-Q", "-t", f"times:0:{at + 3_600_000}")
                out = self.call("-C", "-t", "times", "-p", "0", "-o", f"s@{at}", "-e", "-q", "-f", "%o\\n")
                equal(len(out.split()), 10, "records")
        if scenarios.wanted(self.only, "list"):
            with check("list"):
                listing = self.call("-L").decode()
                assert 'topic "times" with 4 partitions' in listing and " 1 brokers:" in listing, listing
                assert '"controllerid"' in self.call("-L", "-J").decode()


def assignment(line, held):
    """What is held after `% Group g rebalanced …: assigned: t [0], t [1]`, or the incremental forms of it."""
    if "rebalanced" not in line:
        return held
    partitions = {int(number) for number in re.findall(r" \[(\d+)\]", line)}
    return held - partitions if "revoke" in line else held | partitions


scenarios.main(Kcat)
