"""Debian's librdkafka 2.0.2 against a node, through the C program beside this file."""
import os
import struct
import subprocess
import sys

import checks
import scenarios
from checks import check, equal
from records import Record, plain

CLIENT = os.environ["LIBRDKAFKA_CLIENT"]


def field(value):
    return struct.pack("<i", -1) if value is None else struct.pack("<i", len(value)) + value


def encode(record):
    headers = b"".join(field(name.encode()) + field(value) for name, value in record.headers)
    return (struct.pack("<q", record.timestamp or 0) + field(record.key) + field(record.value)
            + struct.pack("<i", len(record.headers)) + headers)


class Decoder:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def field(self):
        length = self.take("<i")
        if length < 0:
            return None
        self.at += length
        return self.data[self.at - length:self.at]

    def messages(self):
        while self.at < len(self.data):
            offset, timestamp, key, value = self.take("<q"), self.take("<q"), self.field(), self.field()
            headers = tuple((self.field().decode(), self.field()) for _ in range(self.take("<i")))
            yield offset, Record(key, value, headers, timestamp)


class Librdkafka(scenarios.Client):
    strategies = ("range", "roundrobin", "cooperative-sticky")

    def call(self, *arguments, stdin=b""):
        done = subprocess.run([CLIENT, self.bootstrap, *map(str, arguments)], input=stdin, capture_output=True, timeout=60)
        assert done.returncode == 0, f"{arguments[0]}: exit {done.returncode}: {done.stderr.decode()[-1000:]}"
        return done.stdout

    def produce(self, topic, batch, codec="none", partition=0, idempotent=False):
        printed = self.call("produce", topic, partition, codec, str(idempotent).lower(), stdin=b"".join(map(encode, batch)))
        return [int(line) for line in printed.split()]

    def consume(self, topic, count, partition=0, start=0):
        return list(Decoder(self.call("consume", topic, partition, start, count)).messages())

    def member(self, *arguments):
        os.execv(CLIENT, [CLIENT, self.bootstrap, "member", *arguments])

    def extras(self, node):
        if scenarios.wanted(self.only, "idempotent"):
            with check("idempotent producer"):
                equal(self.produce("idempotent", plain(5000), "lz4", idempotent=True), list(range(5000)), "offset")
        if scenarios.wanted(self.only, "admin"):
            self.tell("create")
            self.produce("admin", [Record(b"k", b"v", (), 1000 + 100 * i) for i in range(100)])
            self.tell("admin")

    def tell(self, verb):
        """Passes the program's own `ok` and `not ok` lines on."""
        with check(f"admin calls run to their end ({verb})"):
            done = subprocess.run([CLIENT, self.bootstrap, verb], stdout=subprocess.PIPE, text=True, timeout=180)
            sys.stdout.write(done.stdout)
            checks.failures += [line for line in done.stdout.splitlines() if line.startswith("not ok")]
            equal(done.returncode, 0, "exit")


scenarios.main(Librdkafka)
