"""The records that every client suite sends: what a client may legally put into a record."""
import random
from typing import NamedTuple, Optional


class Record(NamedTuple):
    key: Optional[bytes]
    value: Optional[bytes]
    headers: tuple = ()          # of (name, bytes or None)
    timestamp: Optional[int] = None  # milliseconds


def varied(count=200, seed=1, now=1_750_000_000_000):
    """Null, empty, binary, large and plain keys and values; repeated and empty headers; times out of order."""
    rng = random.Random(seed)
    text = b"the quick brown fox jumps over the lazy dog " * 20
    made = [
        Record(None, b"null key"), Record(b"", b"empty key"), Record(b"null value", None), Record(b"empty value", b""),
        Record(b"", b""), Record(None, None), Record(bytes(range(256)), bytes(reversed(range(256)))),
        Record(b"large", rng.randbytes(50_000) + text * 60),
        Record("schlüssel ✓".encode(), "größe\0mit null".encode()),
        Record(b"headers", b"one", (("a", b"1"),)),
        Record(b"headers", b"repeated", (("a", b"1"), ("b", b""), ("a", b"2"))),
        Record(b"headers", b"null and binary", (("null", None), ("bytes", bytes(range(256))), ("größe", b"x"))),
    ]
    while len(made) < count:
        number = len(made)
        made.append(Record(b"key-%d" % (number % 17), text[: rng.randrange(len(text))] + b"%d" % number,
                           (("n", b"%d" % number),) if number % 3 == 0 else ()))
    return [record._replace(timestamp=now + rng.randrange(-3_600_000, 0)) for record in made]


def plain(count, prefix=b"record", size=0):
    return [Record(b"k%d" % (i % 13), b"%s-%d" % (prefix, i) + b"." * size) for i in range(count)]
