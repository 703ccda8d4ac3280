#!/usr/bin/env python3
"""Writes the golden frames of the Kafka protocol beside this script, with kafka-python's encoders.

    python3 -m venv venv && venv/bin/pip install kafka-python==3.0.12 && venv/bin/python generate.py

One file for each API; a line is `request|response <version> full|null <frame in hex>`. `full` has a value in every field,
`null` a null or an empty list wherever one may be. Frames have their length and their header.
"""
import glob
import importlib
import os
import random
import uuid

import kafka

# Every version that can be read, which for Produce and Fetch is more than is served.
APIS = {
    "Produce": (3, 13), "Fetch": (4, 16), "ListOffsets": (1, 10), "Metadata": (0, 12), "OffsetCommit": (0, 9),
    "OffsetFetch": (1, 9), "FindCoordinator": (0, 6), "JoinGroup": (0, 9), "Heartbeat": (0, 4), "LeaveGroup": (0, 5),
    "SyncGroup": (0, 5), "DescribeGroups": (0, 6), "ListGroups": (0, 5), "ApiVersions": (0, 4), "CreateTopics": (0, 7),
    "DeleteTopics": (1, 6), "DeleteRecords": (0, 2), "InitProducerId": (0, 4), "OffsetForLeaderEpoch": (2, 4),
    "DescribeConfigs": (0, 4), "AlterConfigs": (0, 2), "DescribeLogDirs": (1, 4), "CreatePartitions": (0, 3),
    "DeleteGroups": (0, 2), "IncrementalAlterConfigs": (0, 1), "OffsetDelete": (0, 0), "DescribeCluster": (0, 2),
    "DescribeTopicPartitions": (0, 0), "ElectLeaders": (0, 2), "AlterPartitionReassignments": (0, 1),
    "ListPartitionReassignments": (0, 0),
}
MODULES = [
    "producer.produce", "producer.transaction", "consumer.fetch", "consumer.group", "consumer.offsets", "consumer.metadata",
    "metadata.metadata", "metadata.api_versions", "metadata.find_coordinator", "admin.cluster", "admin.configs",
    "admin.groups", "admin.topics",
]
WORDS = ["orders", "café", "", "x", "клиент", "host.example", "用户事件", "a" * 140]


def find(name):
    for module in MODULES:
        found = getattr(importlib.import_module("kafka.protocol." + module), name, None)
        if found is not None:
            return found
    raise LookupError(name)


def scalar(kind, rng):
    bits = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}.get(kind)
    if bits:
        return rng.randrange(-1 << (bits - 1), 1 << (bits - 1)) if rng.random() < 0.7 else rng.randrange(0, 100)
    if kind == "bool":
        return True
    if kind == "string":
        return rng.choice(WORDS if rng.random() < 0.3 else WORDS[:4])
    if kind == "uuid":
        return uuid.UUID(int=rng.getrandbits(128))
    if kind in ("bytes", "records"):
        return rng.randbytes(rng.choice([1, 20, 20, 130]))
    if kind == "bitfield":  # kafka-python's word for the int32 of authorized operations
        return {bit for bit in range(32) if rng.random() < 0.5}
    raise ValueError(kind)


def value(field, version, rng, full):
    if not full and field.nullable_for_version_q(version):
        return None
    kind = field._json["type"]
    element = kind.removeprefix("[]")
    if field.is_struct_array() or field.is_struct():
        count = (2 if full else 1) if field.is_struct_array() else None
        if count is None:
            return structure(field, version, rng, full)
        return [structure(field, version, rng, full) for _ in range(count)]
    if kind.startswith("[]"):
        return [scalar(element, rng) for _ in range(3)] if full else []
    return scalar(kind, rng)


def values(fields, version, rng, full):
    chosen = {}
    for field in fields:
        if not field.for_version_q(version) or (field.tag is not None and not full):
            continue
        chosen[field.name] = value(field, version, rng, full)
    return chosen


def structure(field, version, rng, full):
    return field.data_class(version=version, **values(field.fields.values(), version, rng, full))


def frame(cls, name, version, full):
    rng = random.Random(f"{name} {version} {full}")
    message = cls(version=version, **values(cls._struct.fields.values(), version, rng, full))
    if cls.is_request():
        message.with_header(correlation_id=rng.randrange(1 << 31), client_id="golden-clïent")
    else:
        message.with_header(correlation_id=rng.randrange(1 << 31))
    return message.encode(header=True, framed=True)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    for old in glob.glob(os.path.join(here, "*.txt")):
        os.remove(old)
    for api, (first, last) in APIS.items():
        lines = [f"# kafka-python {kafka.__version__}, written by generate.py"]
        for kind in ("Request", "Response"):
            cls = find(api + kind)
            for version in range(first, last + 1):
                for full in (True, False):
                    frame_bytes = frame(cls, api + kind, version, full)
                    lines.append(f"{kind.lower()} {version} {'full' if full else 'null'} {frame_bytes.hex()}")
        with open(os.path.join(here, f"{cls.API_KEY:02d}-{api.replace('Id', 'ID')}.txt"), "w") as out:
            out.write("\n".join(lines) + "\n")


main()
