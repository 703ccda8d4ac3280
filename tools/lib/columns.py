"""Declared columns and indexes against a real node: declared by the command line and by a Kafka admin client, asked through every door,
damaged, deleted, half built and killed, and always the same answers."""
import glob
import json
import os
import random
import signal
import subprocess
import tempfile
import time
import urllib.request

import psycopg
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from checks import check, equal, finish, wait_until
from node import Node, binary

TOPIC = "plays"
RECORDS = 12_000
ADMIN_SECONDS = 30


class Trial:
    def __init__(self, directory):
        self.data = os.path.join(directory, "data")
        self.node = Node(self.data, log=os.path.join(directory, "log"))
        self.sent = []

    def start(self):
        self.node.start()
        self.admin = AdminClient({"bootstrap.servers": self.node.kafka, "log_level": 0})

    def cli(self, *arguments, fails=False):
        env = {**os.environ, "QUIRE_BOOTSTRAP": self.node.kafka, "QUIRE_SERVER": f"http://{self.node.http}"}
        done = subprocess.run([binary(), *arguments], capture_output=True, text=True, env=env, timeout=60)
        assert (done.returncode != 0) == fails, f"{arguments}: exit {done.returncode}: {done.stderr}"
        return done.stderr if fails else done.stdout

    def ask(self, sql, offline=False):
        extra = ["--data-dir", self.data] if offline else []
        return [json.loads(line) for line in self.cli("query", "--format", "jsonl", *extra, sql).splitlines()]

    def http(self, sql):
        request = urllib.request.Request(
            f"http://{self.node.http}/v1/query", json.dumps({"sql": sql, "format": "jsonl"}).encode(),
            {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            return [json.loads(line) for line in response.read().splitlines()]

    def declare(self, columns):
        entry = ConfigEntry("quire.columns", columns, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, TOPIC, incremental_configs=[entry])
        for future in self.admin.incremental_alter_configs([resource]).values():
            future.result(ADMIN_SECONDS)

    def produce(self, count):
        producer = Producer({"bootstrap.servers": self.node.kafka, "batch.num.messages": 100, "compression.type": "lz4", "log_level": 0})
        for _ in range(count):
            number = len(self.sent)
            user = "rare" if number % 997 == 0 else f"user-{number % 500}"
            text = f"{random.choice(['red', 'green', 'blue'])} {'needle' if number % 1499 == 0 else 'hay'}"
            value = {"user": user, "n": number % 1000, "text": text}
            self.sent.append((f"key-{number}", value))
            producer.produce(TOPIC, key=f"key-{number}", value=json.dumps(value), partition=number % 3)
            producer.poll(0)
        equal(producer.flush(60), 0, "records left")

    def files(self):
        return sorted(glob.glob(f"{self.data}/topics/{TOPIC}-*/*.index"))

    def uncovered(self):
        rows = self.http(f"SELECT sum(uncovered_records) AS n, count(*) AS number FROM quire_indexes WHERE topic = '{TOPIC}'")
        return rows[0]["n"] if rows[0]["number"] else None

    def wait_covered(self):
        wait_until(lambda: self.uncovered() == 0, 60, "all records are indexed")

    def expected(self):
        """What the questions have to answer, from what was sent."""
        users = [n for n, (_, v) in enumerate(self.sent) if v["user"] == "rare"]
        return {
            "SELECT count(*) AS c FROM plays WHERE user = 'rare'": len(users),
            "SELECT count(*) AS c FROM plays WHERE user IN ('rare', 'user-7', 'nobody')":
                sum(v["user"] in ("rare", "user-7") for _, v in self.sent),
            "SELECT count(*) AS c FROM plays WHERE n BETWEEN 5 AND 7": sum(5 <= v["n"] <= 7 for _, v in self.sent),
            "SELECT count(*) AS c FROM plays WHERE key = 'key-1234'": sum(k == "key-1234" for k, _ in self.sent),
            "SELECT count(*) AS c FROM plays WHERE words MATCH 'needle'": sum("needle" in v["text"] for _, v in self.sent),
            "SELECT max(n) AS c FROM plays WHERE user = 'rare' AND words MATCH 'red OR green OR blue'":
                max((self.sent[n][1]["n"] for n in users), default=None),
        }

    def check_answers(self, offline=False):
        for sql, wanted in self.expected().items():
            rows = self.ask(sql, offline=True) if offline else self.http(sql)
            equal(rows, [{"c": wanted}], sql)


def main():
    with tempfile.TemporaryDirectory(prefix="quire-columns-") as directory:
        trial = Trial(directory)
        trial.start()
        try:
            run(trial)
        finally:
            trial.node.kill()
    finish()


def run(trial):
    for future in trial.admin.create_topics(
            [NewTopic(TOPIC, 3, 1, config={"segment.bytes": "100000"})]).values():
        future.result(ADMIN_SECONDS)
    trial.produce(RECORDS)

    with check("columns are added, listed and dropped by the command line"):
        trial.cli("column", "add", TOPIC, "user", "TEXT", "value ->> '$.user'", "--indexed")
        trial.cli("column", "add", TOPIC, "n", "INTEGER", "value ->> '$.n'", "--indexed")
        trial.cli("column", "add", TOPIC, "words", "TEXT", "value ->> '$.text'", "--fulltext")
        trial.cli("column", "add", TOPIC, "late", "TIMESTAMPTZ", "time")
        trial.cli("column", "add", TOPIC, "key", "--indexed")
        trial.cli("column", "drop", TOPIC, "late")
        listed = json.loads(trial.cli("column", "list", TOPIC, "--format", "json"))
        equal([(c["name"], c["type"], c["indexed"], c["fulltext"]) for c in listed],
              [("user", "TEXT", True, False), ("n", "INTEGER", True, False), ("words", "TEXT", False, True),
               ("key", None, True, False)])
        assert "value ->> '$.user'" in trial.cli("column", "list", TOPIC)
        assert "every topic has a column" in trial.cli("column", "add", TOPIC, "offset", "TEXT", "key", fails=True)
        assert "no such function: nope" in trial.cli("column", "add", TOPIC, "x", "TEXT", "nope(value)", fails=True)
        assert "drop it first" in trial.cli("column", "add", TOPIC, "user", "TEXT", "key", fails=True)

    with check("a Kafka admin client reads and sets them; what cannot be is refused in words"):
        resource = ConfigResource(ResourceType.TOPIC, TOPIC)
        described = list(trial.admin.describe_configs([resource]).values())[0].result(ADMIN_SECONDS)
        text = described["quire.columns"].value
        equal([column["name"] for column in json.loads(text)], ["user", "n", "words", "key"])
        for columns, words in [
                ('[{"name":"a","type":"TEXT","expression":"random()"}]', "non-deterministic"),
                ('[{"name":"a","type":"TEXT","expression":"(SELECT 1)"}]', "subquer"),
                ('[{"name":"a","type":"TEXT","expression":"max(value) OVER ()"}]', "column a"),
                ('[{"name":"a","type":"TEXT","expression":"count(*)"}]', "aggregate"),
                ('[{"name":"a","type":"PICTURE","expression":"1"}]', "'PICTURE' is none of"),
                ('[{"name":"time","type":"TEXT","expression":"1"}]', "every topic has"),
                ('[{"name":"a"', "at byte 12"), ("user TEXT", "JSON array")]:
            try:
                trial.declare(columns)
                raise AssertionError(f"{columns} was taken")
            except KafkaException as error:
                text_of_error = error.args[0].str()
                equal(error.args[0].name(), "INVALID_CONFIG")
                assert words in text_of_error, text_of_error
        trial.declare(text)

    with check("while nothing is indexed yet, answers are right"):
        trial.check_answers()

    with check("history is indexed in the background, and the answers stay"):
        trial.wait_covered()
        trial.check_answers()
        trial.check_answers(offline=True)
        assert trial.files(), "no index files"
        plan = trial.http("EXPLAIN QUERY PLAN SELECT * FROM plays WHERE user = 'rare'")[0]["detail"]
        assert "USING index user (user=?)" in plan, plan

    with check("Postgres clients are told their types, before and with the rows"):
        host, port = trial.node.postgres.rsplit(":", 1)
        with psycopg.connect(f"host={host} port={port} dbname=quire user=tester", autocommit=True) as connection:
            rows = connection.execute(
                "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'plays' "
                "AND column_name IN ('user', 'n', 'words') ORDER BY ordinal_position").fetchall()
            equal(rows, [("user", "text"), ("n", "bigint"), ("words", "text")])
            cursor = connection.execute('SELECT "user", n, words FROM plays WHERE "user" = %s ORDER BY n LIMIT 1', ["rare"])
            equal([column.type_code for column in cursor.description], [25, 20, 25])
            equal(cursor.fetchall()[0][0], "rare")

    with check("new records are found at once, and indexed"):
        trial.produce(1500)
        trial.check_answers()
        trial.wait_covered()
        trial.check_answers()

    with check("indexes are asked: a key's record is read, not the topic"):
        read = read_by(trial, "SELECT count(*) AS c FROM plays WHERE key = 'key-777'")
        whole = read_by(trial, "SELECT count(*) AS c FROM plays WHERE key LIKE 'key-777'")
        assert read * 10 < whole, f"{read} batches by index of {whole}"

    with check("damaged, deleted and cut index files lose no answer and come back"):
        trial.node.stop()
        for number, path in enumerate(trial.files()):
            size = os.path.getsize(path)
            if number % 3 == 0:
                os.unlink(path)
            elif number % 3 == 1:
                with open(path, "r+b") as file:
                    for page in range(0, size, 4096):
                        file.seek(page + random.randrange(4096))
                        byte = file.read(1)
                        file.seek(-1, 1)
                        file.write(bytes([byte[0] ^ 0x40]))
            else:
                os.truncate(path, size // 2)
        trial.check_answers(offline=True)
        trial.start()
        trial.check_answers()
        trial.wait_covered()
        trial.check_answers()

    with check("a node that is killed while it builds answers right and goes on by itself"):
        for number in range(3):
            # Another definition: everything is built anew.
            columns = json.loads(trial.cli("column", "list", TOPIC, "--format", "json"))
            declared = [
                {key: value for key, value in column.items() if value is not None} for column in columns]
            for column in declared:
                if column["name"] == "n":
                    column["expression"] = "value ->> '$.n'" + " + 0" * (number + 1)
            trial.declare(json.dumps(declared))
            time.sleep(0.2 + 0.5 * number)
            trial.node.process.send_signal(signal.SIGKILL)
            trial.node.process.wait()
            trial.node.process = None
            trial.check_answers(offline=True)
            trial.start()
            trial.check_answers()
        trial.wait_covered()
        trial.check_answers()
        drafts = glob.glob(f"{trial.data}/topics/*/*.index-draft*")
        equal(drafts, [], "drafts left")

    with check("the doctor finds nothing wrong beside indexes, and metrics tell of them"):
        metrics = urllib.request.urlopen(f"http://{trial.node.http}/metrics", timeout=10).read().decode()
        assert "quire_index_uncovered_records 0" in metrics, "metric"
        trial.node.stop()
        done = subprocess.run([binary(), "doctor", "--data-dir", trial.data], capture_output=True, text=True, timeout=60)
        equal(done.returncode, 0, done.stdout + done.stderr)
        trial.start()

    with check("what is dropped leaves no file, and deleted topics leave none"):
        for name in ["user", "n", "words", "key"]:
            trial.cli("column", "drop", TOPIC, name)
        wait_until(lambda: not trial.files(), 30, "index files go")
        equal(trial.http("SELECT count(*) AS c FROM plays")[0]["c"], len(trial.sent))
        for future in trial.admin.delete_topics([TOPIC]).values():
            future.result(ADMIN_SECONDS)
        wait_until(lambda: not glob.glob(f"{trial.data}/topics/*"), 30, "the topic's files go")
        equal(trial.node.stop(), 0, "exit status")


def read_by(trial, sql):
    """Batches that a statement read, as the list of running statements tells while it runs: asked of the plan's own words it would be
    no measurement. Here the statement asks for itself."""
    rows = trial.http(f"SELECT c, (SELECT batches_read FROM quire_queries ORDER BY started DESC LIMIT 1) AS b FROM ({sql})")
    return rows[0]["b"]


if __name__ == "__main__":
    main()
