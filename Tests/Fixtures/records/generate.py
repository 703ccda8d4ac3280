"""Writes the fixtures of this directory: record batches as other implementations encode them.

    pip install kafka-python==3.0.12 python-snappy==0.7.3 lz4==4.4.5 zstandard
    python generate.py <directory>

kafka-python-<codec>.batch: kafka-python's own encoder. variant-*.batch: the same records, framed in further ways that clients use,
by the reference libraries' Python bindings. All hold the five records of `rows`; the gzip one has a producer id.
"""
import gzip, struct, sys
import cramjam, lz4.frame, zstandard
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.util import calc_crc32c

directory = sys.argv[1]
rows = [
    (b"key-0", b"value-0", [], 1700000000000),
    (None, b"null key", [("h", b"1")], 1700000000005),
    (b"", b"", [("empty", b""), ("null", None)], 1699999999997),
    (b"null value", None, [], 1700000000100),
    ("schlüssel".encode(), b"x" * 300, [("dup", b"a"), ("dup", b"b"), ("ünï", bytes(range(256)))], 1700000000007),
]


def write(name, data):
    with open(f"{directory}/{name}.batch", "wb") as file:
        file.write(data)


for codec, name in enumerate(["none", "gzip", "snappy", "lz4", "zstd"]):
    idempotent = name == "gzip"
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=codec, is_transactional=False, producer_id=4711 if idempotent else -1,
        producer_epoch=3 if idempotent else -1, base_sequence=2**31 - 2 if idempotent else -1, batch_size=1 << 20)
    for i, (key, value, headers, timestamp) in enumerate(rows):
        builder.append(i, timestamp=timestamp, key=key, value=value, headers=headers)
    batch = bytes(builder.build())
    write(f"kafka-python-{name}", batch)
    if name == "none":
        plain = batch


def variant(name, codec, section):
    tail = struct.pack(">h", codec) + plain[23:61] + section
    write(f"variant-{name}", plain[:8] + struct.pack(">iiB", 9 + len(tail), -1, 2) + struct.pack(">I", calc_crc32c(tail)) + tail)


records = plain[61:]
half = len(records) // 2
variant("gzip-two-members", 1, gzip.compress(records[:half], mtime=0) + gzip.compress(records[half:], mtime=0))
variant("snappy-block", 2, bytes(cramjam.snappy.compress_raw(records)))
blocks = [bytes(cramjam.snappy.compress_raw(part)) for part in (records[:half], records[half:])]
header = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
variant("snappy-two-streams", 2, b"".join(header + struct.pack(">i", len(block)) + block for block in blocks))
variant("lz4-content-size-linked-blocks-checksums", 3, lz4.frame.compress(
    records, store_size=True, block_linked=True, content_checksum=True, block_checksum=True, block_size=lz4.frame.BLOCKSIZE_MAX4MB))
variant("lz4-no-content-size", 3, lz4.frame.compress(records, store_size=False, block_linked=False))
variant("lz4-two-frames", 3, lz4.frame.compress(records[:half]) + lz4.frame.compress(records[half:]))
variant("zstd-content-size", 4, zstandard.ZstdCompressor(write_content_size=True).compress(records))
variant("zstd-no-content-size", 4, zstandard.ZstdCompressor(write_content_size=False).compress(records))
variant("zstd-two-frames-level-19", 4, b"".join(
    zstandard.ZstdCompressor(level=19, write_content_size=False, write_checksum=True).compress(part)
    for part in (records[:half], records[half:])))
