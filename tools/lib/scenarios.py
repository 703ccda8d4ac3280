"""What every client is asked to do. A suite is one subclass of Client and `scenarios.main(ItsClass)`."""
import os
import sys
import tempfile

import group
import records
import store
from checks import check, equal, finish
from node import Node


class Client:
    """What the scenarios need of a client. Topics come into being by being used (4 partitions)."""

    codecs = ("none", "gzip", "snappy", "lz4", "zstd")
    strategies = ()              # assignment strategies, each run as one group scenario
    sample = staticmethod(records.varied)   # a client that cannot send some kind of record narrows this

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def produce(self, topic, batch, codec="none", partition=0, idempotent=False):
        """Sends every record with acks=all; returns their offsets, in order, or None where the client does not tell."""
        raise NotImplementedError

    def consume(self, topic, count, partition=0, start=0):
        """Returns the next `count` records from `start` as (offset, Record); fails after 30 s."""
        raise NotImplementedError

    def member(self, group_id, topic, strategy):
        """One group member until SIGTERM, reporting through `group.Reporter`. Runs in a process of its own."""
        raise NotImplementedError

    def extras(self, node):
        """Checks of this client alone: admin calls, look-ups by time, and so on."""


def main(kind):
    if sys.argv[1:2] == ["member"]:
        kind(sys.argv[2]).member(*sys.argv[3:6])
        return
    given = os.environ.get("QUIRE_BOOTSTRAP")
    if given:  # a node, or a mock, that is already there: its files cannot be looked into
        run(kind(given), None)
    else:
        with tempfile.TemporaryDirectory(prefix="quire-compat-") as data, check("the node stops cleanly"):
            with Node(data, "--set", "group.initial.rebalance.delay.ms=0") as node:
                run(kind(node.kafka), node)
    finish()


def run(client, node):
    only = sys.argv[1:]
    for codec in client.codecs:
        if wanted(only, codec):
            round_trip(client, node, codec)
    for strategy in client.strategies:
        if wanted(only, f"group-{strategy}"):
            group.scenario(client, strategy)
    client.only = only
    client.extras(node)


def wanted(only, name):
    return not only or any(part in name for part in only)


def round_trip(client, node, codec):
    sent = client.sample()
    topic = f"round-trip-{codec}"
    with check(f"produce and consume, {codec}"):
        offsets = client.produce(topic, sent, codec)
        if offsets is not None:
            equal(offsets, list(range(len(sent))), "offset of record")
        received = client.consume(topic, len(sent))
        equal([offset for offset, _ in received], list(range(len(sent))), "offset of consumed record")
        compare([record for _, record in received], sent)
    with check(f"consume from the middle of a batch, {codec}"):
        middle = len(sent) // 2
        received = client.consume(topic, 5, start=middle)
        equal([offset for offset, _ in received], list(range(middle, middle + 5)), "offset")
        compare([record for _, record in received], sent[middle:middle + 5])
    if node:
        with check(f"stored as sent, {codec}"):
            codecs = store.stored_codecs(node.data, topic)
            assert codec in codecs, f"no batch is stored with {codec}: {codecs}"
            assert set(codecs) <= {codec, "none"}, f"stored codecs: {codecs}"  # a client may find a batch not worth it


def compare(received, sent):
    """A record that was sent without timestamp may have any."""
    equal(len(received), len(sent), "records")
    for index, (got, wanted_record) in enumerate(zip(received, sent)):
        if wanted_record.timestamp is None:
            got = got._replace(timestamp=None)
        equal(got, wanted_record, f"record {index}")
