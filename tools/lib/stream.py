"""Numbered records for one partition, which of them were acknowledged, and the proof that those are there."""
import threading
import time

from confluent_kafka import KafkaException, Producer
from load import read_all


class Stream:
    """Sends with acks=all. Without retries (unless `settings` ask for them), so that every refusal of the node is seen."""

    def __init__(self, topic, partition=0, size=1000):
        self.topic, self.partition, self.size = topic, partition, size
        self.sent = 0
        self.acknowledged = {}       # offset -> number
        self.refusals = {}           # name of the error -> how often
        self.producer = None
        self.lock = threading.Lock()

    def connect(self, bootstrap, **settings):
        self.producer = Producer({
            "bootstrap.servers": bootstrap, "acks": "all", "log_level": 0, "retries": 0, "linger.ms": 5,
            "batch.num.messages": 50, "message.timeout.ms": 30_000, "socket.timeout.ms": 10_000,
            "reconnect.backoff.max.ms": 200, "queue.buffering.max.messages": 5000, **settings})
        return self

    def value(self, number):
        return b"%s %d %d " % (self.topic.encode(), self.partition, number) + bytes([97 + number % 26]) * (number * 7 % self.size)

    def produce(self):
        number, self.sent = self.sent, self.sent + 1

        def delivered(error, message):
            with self.lock:
                if error is None:
                    self.acknowledged[message.offset()] = number
                else:
                    self.refusals[error.name()] = self.refusals.get(error.name(), 0) + 1

        while True:
            try:
                return self.producer.produce(self.topic, self.value(number), partition=self.partition, on_delivery=delivered)
            except BufferError:
                self.producer.poll(0.05)

    def send(self, count, seconds=60):
        """Hands over `count` records and waits for what becomes of them; returns what was refused, as `refusals`."""
        before = dict(self.refusals)
        for _ in range(count):
            self.produce()
        left = self.producer.flush(seconds)
        assert left == 0, f"{left} records of {self.topic}-{self.partition} were neither acknowledged nor refused in {seconds} s"
        return {name: count - before.get(name, 0) for name, count in self.refusals.items() if count > before.get(name, 0)}

    def send_all(self, count, seconds=60):
        """As `send`, for records that must be acknowledged."""
        refused = self.send(count, seconds)
        assert not refused, f"{self.topic}-{self.partition}: refused: {refused}"

    def problems(self, bootstrap, begins_at_0=True):
        """What is wrong with the partition, as lines of text: every acknowledged record must be there at its offset, and no
        record twice, out of order or changed. What was refused may be there or not."""
        where = f"{self.topic}-{self.partition}"
        try:
            low, records = read_all({"bootstrap.servers": bootstrap, "log_level": 0}, self.topic, self.partition, 30)
        except (KafkaException, TimeoutError) as error:
            return [f"{where}: cannot be read: {error}"]
        found, previous = {}, -1
        for index, (offset, value) in enumerate(records):
            number = int(value.split(b" ", 3)[2])
            if value != self.value(number):
                return [f"{where}: offset {offset} has other bytes than were sent"]
            if offset != low + index:
                return [f"{where}: offset {offset} stands where {low + index} should"]
            if number <= previous:
                return [f"{where}: record {number} stands behind {previous} (offset {offset})"]
            previous = found[offset] = number
        if begins_at_0 and low != 0:
            return [f"{where}: begins at {low}, and nothing was ever deleted"]
        lost = [offset for offset, number in self.acknowledged.items() if offset >= low and found.get(offset) != number]
        if lost:
            return [f"{where}: {len(lost)} acknowledged records are not there, the first at offset {min(lost)}; the log has "
                    f"{low} to {low + len(records)}"]
        return []


class Background:
    """Runs `work()` again and again on a thread until the end of a `with`, whose failure it becomes."""

    def __init__(self, work):
        self.work, self.error, self.halt = work, None, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        try:
            while not self.halt.is_set():
                self.work()
        except Exception as error:
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.halt.set()
        self.thread.join(60)
        if kind is None and self.error:
            raise self.error


def timed(work):
    """Returns what `work()` returns, and the seconds it took."""
    started = time.monotonic()
    return work(), time.monotonic() - started
