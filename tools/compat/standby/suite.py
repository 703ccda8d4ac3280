"""A leader and its warm standby through their whole life, with real clients.

    suite.py

Prints `ok NAME` or `not ok NAME` for each check; exits 1 if one failed."""
import contextlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import psycopg
from checks import check, equal, finish, wait_until
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from kafka import KafkaProducer
from kafka.errors import NotLeaderForPartitionError
from node import Node, NodeFailed, run

PARTITIONS = 4
TOPIC = "plays"
# Segments that roll soon, so that some are sealed, shipped as files, and deleted.
SETTINGS = ("--set", "log.segment.bytes=262144", "--set", "auto.create.topics.enable=true")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Peers:
    """The two data directories and the addresses that stay the same when a node starts anew."""

    def __init__(self, scratch):
        self.scratch = scratch
        self.ports = {1: free_port(), 2: free_port()}
        self.kafka = {1: free_port(), 2: free_port()}

    def node(self, number, *options, data=None, standby=False):
        other = 3 - number
        flags = ["--peer", f"127.0.0.1:{self.ports[number]}", *SETTINGS, *options]
        if standby:
            flags += ["--standby-of", f"127.0.0.1:{self.ports[other]}"]
        return Node(data or f"{self.scratch}/{number}", *flags, listen=f"127.0.0.1:{self.kafka[number]}",
                    log=f"{self.scratch}/{number}.log")


# ---- asking

def cluster(node):
    with urllib.request.urlopen(f"http://{node.http}/v1/cluster", timeout=30) as answer:
        return json.load(answer)


def post(node, path, body):
    request = urllib.request.Request(f"http://{node.http}{path}", data=json.dumps(body).encode(),
                                     headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def sql(node, text):
    host, port = node.postgres.rsplit(":", 1)
    with psycopg.connect(host=host, port=int(port), user="q", dbname="q", autocommit=True, connect_timeout=30) as connection:
        return connection.execute(text).fetchall()


def is_in_step(leader):
    """The standby is there and lacks nothing."""
    facts = cluster(leader)
    return len(facts["nodes"]) == 2 and facts["under_replicated_partitions"] == 0 and all(
        replica["lag_commits"] == 0 for replica in facts["replicas"])


def may_be_promoted(standby):
    return cluster(standby)["promotion"]["is_possible"]


# ---- producing and consuming

class Load:
    """Produces numbered records with acks=all in the background; `acknowledged` is what a client may rely on."""

    def __init__(self, node, prefix):
        self.prefix, self.acknowledged, self.next = prefix, {}, 0
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.producer = Producer({
            "bootstrap.servers": node.kafka, "acks": "all", "enable.idempotence": True, "linger.ms": 2,
            "message.timeout.ms": 120000, "retry.backoff.ms": 50, "retry.backoff.max.ms": 200,
            "reconnect.backoff.max.ms": 500, "log_level": 0})
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stopping.is_set():
            if len(self.producer) < 400:
                for _ in range(40):
                    value = f"{self.prefix}-{self.next}-" + "x" * 200
                    self.producer.produce(TOPIC, value.encode(), str(self.next).encode(), partition=self.next % PARTITIONS,
                                          on_delivery=self._delivered)
                    self.next += 1
            self.producer.poll(0.01)

    def _delivered(self, error, message):
        if error is None:
            with self.lock:
                # librdkafka may know only that it is there: the answer was lost, and that of a later batch came.
                place = message.offset() if message.offset() is not None else message.value()
                self.acknowledged[(message.partition(), place)] = message.value()

    def missing(self, records):
        """What was acknowledged and is not among `records`, {(partition, offset): value}."""
        values = {(partition, value) for (partition, _), value in records.items()}
        return [key for key, value in self.acknowledged.items() if records.get(key) != value and key not in values]

    def count(self):
        with self.lock:
            return len(self.acknowledged)

    def goes_on(self, seconds=60, records=200):
        before = self.count()
        wait_until(lambda: self.count() >= before + records, seconds, f"{records} more acknowledged records")

    def stop(self, flush=60):
        """With a `flush` of 0 what is on its way is given up: it may be there or not."""
        self.stopping.set()
        self.thread.join()
        if flush:
            left = self.producer.flush(flush)
            assert left == 0, f"{left} records are not acknowledged"
        else:
            self.producer.purge()
            self.producer.poll(0)


def produce_once(node, acks, count=1, topic=TOPIC, value=b"once", timeout=30000):
    """The errors of some records that are sent once; none where they were taken."""
    errors = []
    producer = Producer({"bootstrap.servers": node.kafka, "acks": acks, "retries": 0, "message.timeout.ms": timeout,
                         "log_level": 0})
    for number in range(count):
        producer.produce(topic, value, partition=number % PARTITIONS,
                         on_delivery=lambda error, _: errors.append(error) if error else None)
    producer.flush(60)
    return errors


def read_all(node, topic=TOPIC, partitions=PARTITIONS):
    """Every record by partition and offset, as a consumer that names its partitions sees it."""
    consumer = Consumer({"bootstrap.servers": node.kafka, "group.id": "unused", "enable.auto.commit": False, "log_level": 0,
                         "enable.partition.eof": True, "auto.offset.reset": "earliest"})
    records, ended = {}, set()
    try:
        consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        deadline = time.monotonic() + 90
        while len(ended) < partitions:
            assert time.monotonic() < deadline, "a consumer does not reach the end"
            message = consumer.poll(1)
            if message is None:
                continue
            if message.error():
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                ended.add(message.partition())
            else:
                records[(message.partition(), message.offset())] = message.value()
    finally:
        consumer.close()
    return records


def commit_offsets(node, group, offset):
    consumer = Consumer({"bootstrap.servers": node.kafka, "group.id": group, "enable.auto.commit": False,
                         "log_level": 0})
    try:
        consumer.commit(offsets=[TopicPartition(TOPIC, number, offset) for number in range(PARTITIONS)], asynchronous=False)
    finally:
        consumer.close()


def committed(node, group):
    consumer = Consumer({"bootstrap.servers": node.kafka, "group.id": group, "enable.auto.commit": False,
                         "log_level": 0})
    try:
        return [part.offset for part in consumer.committed(
            [TopicPartition(TOPIC, number) for number in range(PARTITIONS)], timeout=60)]
    finally:
        consumer.close()


def refusal_of(call):
    try:
        call()
    except KafkaException as error:
        return error.args[0]
    raise AssertionError("it was not refused")


# ---- what looks at a standby while it is written

class Watch:
    """Calls `look` over and over in a thread; it fails by raising."""

    def __init__(self, look):
        self.look, self.rounds, self.failure = look, 0, None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stopping.is_set() and self.failure is None:
            try:
                self.look()
                self.rounds += 1
            except Exception as error:  # told by `end`
                self.failure = error
            time.sleep(0.02)

    def end(self, rounds=5):
        wait_until(lambda: self.failure or self.rounds >= rounds, 60, "enough looks at the standby")
        self.stopping.set()
        self.thread.join()
        if self.failure:
            raise self.failure


class MonotonicQuestion:
    """SQL on the standby: never a torn answer (records without their predecessors), never one that goes back."""

    def __init__(self):
        self.seen = {}

    def restarted(self):
        """A node that was killed knows the high watermark of a second ago, until its leader tells it."""
        self.seen = {}

    def look(self, node):
        seen = self.seen
        try:
            rows = sql(node, f"SELECT partition, count(*), max(offset), min(offset) FROM {TOPIC} GROUP BY partition")
        except psycopg.OperationalError:
            return  # the standby is being killed
        for partition, count, last, first in rows:
            assert first == 0 and count == last + 1, f"partition {partition}: {count} records from {first} to {last}"
            assert last >= seen.get(partition, -1), f"partition {partition} went back to {last} from {seen[partition]}"
            seen[partition] = last


def look_at_files(data):
    """A foreign sqlite3 on the standby's newest segment."""
    for number in range(PARTITIONS):
        directory = f"{data}/topics/{TOPIC}-{number}"
        try:
            newest = max(name for name in os.listdir(directory) if name.endswith(".db"))
        except (ValueError, FileNotFoundError):
            continue
        with contextlib.suppress(sqlite3.OperationalError):  # gone meanwhile, or locked by a recovery
            with contextlib.closing(sqlite3.connect(f"{directory}/{newest}", timeout=20)) as connection:
                answer = connection.execute("PRAGMA integrity_check").fetchall()
                assert answer == [("ok",)], (newest, answer[:3])
                rows, end = connection.execute("SELECT count(*), max(base_offset) FROM record_batch").fetchone()
                assert rows == 0 or end is not None


# ---- the life of a pair

def main():
    with tempfile.TemporaryDirectory(prefix="quire-standby-") as scratch:
        peers = Peers(scratch)
        leader = peers.node(1).start()
        standby = peers.node(2, standby=True)
        life(scratch, peers, leader, standby)
        for node in (leader, standby):
            node.kill()
    finish()


def life(scratch, peers, leader, standby):
    admin = AdminClient({"bootstrap.servers": leader.kafka, "log_level": 0})
    create(admin, TOPIC)
    equal(produce_once(leader, "all", 2000), [], "errors")
    with check("standby: it starts, has what the leader has, and may be promoted"):
        standby.start()
        wait_until(lambda: may_be_promoted(standby), 60, "the standby has everything")
        wait_until(lambda: is_in_step(leader), 60, "the leader knows")
        equal(len(read_all(standby)), 2000, "records on the standby")
    with check("standby: the leader's metadata names it as a replica that is in sync"):
        described = admin.list_topics(TOPIC, timeout=30).topics[TOPIC].partitions
        equal([(sorted(part.replicas), sorted(part.isrs), part.leader) for part in described.values()],
              [([1, 2], [1, 2], 1)] * PARTITIONS)
    with check("standby: records, topics, offsets and settings are refused there, and nothing is created by asking"):
        refusals(standby)
    with check("standby: topics come, grow and go with the leader's"):
        follow_topics(admin, standby)
    with check("standby: a second one is refused with a sentence"):
        second(scratch, peers)
    load = Load(leader, "first")
    with check("standby: killed and started under load, every time it catches up"):
        under_load(scratch, peers, leader, standby, load)
    with check("standby: while it is away acks=all is refused before the append, acks=1 is not, and acks=all goes on when it is back"):
        load.stop()
        away(peers, leader, standby)
    with check("standby: the leader killed and started goes on with it"):
        load = Load(leader, "second")
        load.goes_on()
        leader.kill()
        leader.start()
        load.goes_on(120)
        load.stop(120)
        wait_until(lambda: is_in_step(leader), 60, "in step")
    with check("standby: `quire cluster status`, SQL and metrics say how far it is"):
        status(leader, standby)
    first = {}
    with check("standby: the leader's disk is destroyed; promoted, it has everything that was acknowledged, and the groups"):
        first = promote(scratch, peers, leader, standby)
    with check("standby: the old leader, started from a copy of its directory, is refused"):
        old = refused(scratch, peers, standby)
    with check("standby: the old leader becomes the new one's standby, and what it had beyond that is undone"):
        old = come_back(scratch, peers, standby)
    with check("standby: promoted while the leader lives, nothing is lost, and the deposed one takes nothing more"):
        switch_over(peers, standby, old)
    with check("standby: the files of both are whole"):
        whole(standby, old)


def create(admin, topic, partitions=PARTITIONS, config=None):
    # Of a leader whose standby has to hear of it first.
    admin.create_topics([NewTopic(topic, partitions, 1, config=config or {})])[topic].result(60)


def refusals(standby):
    # librdkafka asks again for as long as it may, whatever `retries` says.
    producer = KafkaProducer(bootstrap_servers=standby.kafka, acks="all", retries=0, enable_idempotence=False)
    try:
        producer.send(TOPIC, b"refused", partition=0).get(30)
        raise AssertionError("a standby took a record")
    except NotLeaderForPartitionError:
        pass
    finally:
        producer.close(5)
    admin = AdminClient({"bootstrap.servers": standby.kafka, "log_level": 0})
    error = refusal_of(lambda: create(admin, "mine"))
    assert error.code() == KafkaError.POLICY_VIOLATION and "standby" in error.str(), error
    error = refusal_of(lambda: admin.delete_topics([TOPIC])[TOPIC].result(30))
    assert error.code() == KafkaError.POLICY_VIOLATION, error
    topics = admin.list_topics("unheard-of", timeout=30).topics
    equal(topics["unheard-of"].error.code(), KafkaError.UNKNOWN_TOPIC_OR_PART, "an unknown topic")
    code, answer = post(standby, "/v1/cluster/forget-standby", {})
    assert code == 409, answer
    consumer = Consumer({"bootstrap.servers": standby.kafka, "group.id": "g", "enable.auto.commit": False, "log_level": 0,
                         "session.timeout.ms": 6000})
    try:
        error = refusal_of(lambda: consumer.committed([TopicPartition(TOPIC, 0)], timeout=3))
    finally:
        consumer.close()


def follow_topics(admin, standby):
    create(admin, "short", 1, {"retention.ms": "86400000"})
    there = AdminClient({"bootstrap.servers": standby.kafka, "log_level": 0})

    def partitions(topic):
        found = there.list_topics(timeout=30).topics.get(topic)
        return len(found.partitions) if found else 0

    wait_until(lambda: partitions("short") == 1, 60, "a new topic is on the standby")
    from confluent_kafka.admin import NewPartitions
    admin.create_partitions([NewPartitions("short", 3)])["short"].result(60)
    wait_until(lambda: partitions("short") == 3, 60, "new partitions are on the standby")
    value = sql(standby, "SELECT value FROM quire_configs WHERE resource_name = 'short' AND name = 'retention.ms'")
    equal(value, [("86400000",)], "a setting")
    directory = f"{standby.data}/topics/short-0"
    wait_until(lambda: os.path.exists(directory), 60, "its files are there")
    admin.delete_topics(["short"])["short"].result(60)
    wait_until(lambda: partitions("short") == 0, 60, "the deleted topic is gone from the standby")
    wait_until(lambda: not os.path.exists(directory), 60, "and its files")


def second(scratch, peers):
    other = Node(f"{scratch}/3", "--node-id", "3", "--standby-of", f"127.0.0.1:{peers.ports[1]}", log=f"{scratch}/3.log")
    try:
        other.start()
        wait_until(lambda: "has a standby, node 2" in other.log_text(), 60, "the refusal in its log")
        facts = cluster(other)
        assert not facts["promotion"]["is_possible"], facts["promotion"]
        code, answer = post(other, "/v1/cluster/promote", {})
        assert code == 409 and "never had" in answer["error"]["message"], answer
    finally:
        other.kill()


def under_load(scratch, peers, leader, standby, load):
    question = MonotonicQuestion()
    watches = [Watch(lambda: question.look(standby)), Watch(lambda: look_at_files(standby.data))]
    load.goes_on()
    for _ in range(3):
        standby.kill()
        time.sleep(0.3)
        question.restarted()
        standby.start()
        load.goes_on(120)
    for watch in watches:
        watch.end()
    wait_until(lambda: is_in_step(leader), 120, "in step")


def away(peers, leader, standby):
    standby.kill()
    wait_until(lambda: not any(node["role"] == "standby" and node["is_connected"] for node in cluster(leader)["nodes"]), 30,
               "the leader notices that the standby is away")
    end = sql(leader, f"SELECT sum(high_watermark) FROM quire_partitions WHERE topic = '{TOPIC}'")
    errors = produce_once(leader, "all", 4)
    equal({error.code() for error in errors}, {KafkaError.NOT_ENOUGH_REPLICAS}, "acks=all")
    facts = cluster(leader)
    assert facts["under_replicated_partitions"] == PARTITIONS and "acks=all is refused" in facts["notes"][0], facts["notes"]
    equal(produce_once(leader, "1", 4, value=b"for the leader alone"), [], "acks=1")
    # Nobody may see yet what the standby has not.
    equal(sql(leader, f"SELECT sum(high_watermark) FROM quire_partitions WHERE topic = '{TOPIC}'"), end, "high watermark")
    standby.start()
    wait_until(lambda: is_in_step(leader), 60, "in step")
    equal(produce_once(leader, "all", 4), [], "acks=all when it is back")


def status(leader, standby):
    done = run("cluster", "status", "--server", f"http://{leader.http}")
    assert done.returncode == 0 and "standby" in done.stdout and "0 under-replicated" in done.stdout, done
    done = run("cluster", "status", "--format", "json", "--server", f"http://{standby.http}")
    facts = json.loads(done.stdout)
    assert facts["controller"] == 1 and facts["promotion"]["is_possible"], facts
    rows = sql(leader, "SELECT node_id, count(*), sum(is_in_sync), sum(lag_commits) FROM quire_replicas GROUP BY node_id")
    equal(sorted(rows), [(1, PARTITIONS, PARTITIONS, 0), (2, PARTITIONS, PARTITIONS, 0)], "quire_replicas")
    equal(sql(standby, "SELECT node_id, role FROM quire_cluster ORDER BY node_id"), [(1, "leader"), (2, "standby")])
    with urllib.request.urlopen(f"http://{leader.http}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    assert "\nquire_under_replicated_partitions 0" in text and "\nquire_replica_lag_commits 0" in text, text
    sent = next(float(line.split()[1]) for line in text.splitlines() if line.startswith("quire_peer_sent_bytes_total "))
    assert sent > 0


def promote(scratch, peers, leader, standby):
    commit_offsets(leader, "readers", 7)
    load = Load(leader, "third")
    load.goes_on()
    # In the middle of it; what was not acknowledged may be there or not.
    standby.kill()
    equal(produce_once(leader, "1", 8, value=b"for the leader alone, again"), [], "acks=1")
    leader.kill()
    load.stop(flush=0)
    shutil.move(leader.data, f"{scratch}/copy")
    acknowledged = load.acknowledged
    standby.start()
    assert read_all(standby), "a standby whose leader is away is read"
    code, answer = post(standby, "/v1/cluster/promote", {})
    assert code == 200, answer
    records = read_all(standby)
    missing = load.missing(records)
    assert not missing, f"{len(missing)} of {len(acknowledged)} acknowledged records are not there, {missing[:3]}"
    assert b"for the leader alone, again" not in records.values()
    equal(committed(standby, "readers"), [7] * PARTITIONS, "committed offsets")
    commit_offsets(standby, "readers", 9)
    equal(produce_once(standby, "all", 8), [], "the new leader takes records")
    epochs = {replica["leader_epoch"] for replica in cluster(standby)["replicas"]}
    assert min(epochs) >= 1000, epochs
    # It stays what it is, whatever it is started with.
    standby.kill()
    standby.start()
    equal(produce_once(standby, "all", 8), [], "after a restart")
    return records


def refused(scratch, peers, standby):
    before = read_all(standby)
    old = peers.node(1, data=f"{scratch}/copy")
    old.start()
    errors = produce_once(old, "1", 4, timeout=2000)
    equal(len(errors) == 4 and {error.code() for error in errors} <= {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError._MSG_TIMED_OUT}, True, errors)
    wait_until(lambda: cluster(old)["nodes"][0]["role"] == "fenced", 60, "it hears that the other one was promoted")
    equal(len(produce_once(old, "1", 4, timeout=2000)), 4, "refused records")
    wait_until(lambda: not cluster(standby)["notes"], 60, "the new leader knows that it has been told")
    old.stop()
    try:
        old.start()
        raise AssertionError("a deposed leader started")
    except NodeFailed as failure:
        assert "--standby-of" in str(failure) and "node 2" in str(failure), failure
    equal(len(read_all(standby)), len(before), "records of the new leader")
    return old


def come_back(scratch, peers, leader):
    old = peers.node(1, data=f"{scratch}/copy", standby=True)
    old.start()
    wait_until(lambda: may_be_promoted(old), 90, "the old leader has everything")
    equal(produce_once(leader, "all", 8), [], "acks=all with the old leader as the standby")
    wait_until(lambda: is_in_step(leader), 60, "in step")
    equal(read_all(old), read_all(leader), "records")
    return old


def switch_over(peers, leader, standby):
    load = Load(leader, "fourth")
    load.goes_on()
    done = run("cluster", "promote", "--server", f"http://{standby.http}")
    assert done.returncode == 0 and "has been told" in done.stdout, done
    wait_until(lambda: produce_once(leader, "1", 4, timeout=2000), 30, "the deposed leader refuses records")
    load.stop(flush=0)
    records = read_all(standby)
    missing = load.missing(records)
    assert not missing, f"{len(missing)} of {len(load.acknowledged)} acknowledged records are not there, {missing[:3]}"
    equal(produce_once(standby, "all", 8), [], "the new leader takes records")
    equal(committed(standby, "readers"), [9] * PARTITIONS, "committed offsets")
    facts = cluster(leader)
    equal([node["role"] for node in facts["nodes"] if node["is_this_node"]], ["fenced"])


def whole(*nodes):
    for node in nodes:
        equal(node.stop(), 0, "exit status")
        done = run("doctor", "--data-dir", node.data)
        assert done.returncode == 0, done.stdout + done.stderr


main()
