"""Three nodes and etcd, as one Kafka cluster to librdkafka and kafka-python."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import kafka
import replicas
import scaling
from checks import check, equal, finish, wait_until
from cluster import ETCD, Cluster
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType
from node import binary
from onlookers import Question, look_at_file, segments

NODES = (1, 2, 3)
# librdkafka tries a commit three times within half a second, and then leaves it to the application; others do for longer.
TRIED_AGAIN = {"COORDINATOR_LOAD_IN_PROGRESS"}
SELECTOR = "org.apache.kafka.common.replica.RackAwareReplicaSelector"


class Load(threading.Thread):
    """Produces with acks=all until it is told to end; `acknowledged` has (partition, offset, value).

    The offset is None where librdkafka has learned from a later batch's acknowledgement that an earlier one, whose answer was lost, is there.
    """

    def __init__(self, bootstrap, topic, partitions, size=0):
        super().__init__(daemon=True)
        self.topic, self.partitions, self.padding = topic, partitions, "x" * size
        self.acknowledged, self.errors, self.ends = [], [], threading.Event()
        self.producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True, "linger.ms": 5,
                                  "message.timeout.ms": 120_000, "log_level": 0})
        self.start()

    def delivered(self, error, message):
        if error:
            self.errors.append(str(error))
        else:
            self.acknowledged.append((message.partition(), message.offset(), message.value()))

    def run(self):
        number = 0
        while not self.ends.is_set():
            self.producer.produce(self.topic, f"{self.topic} {self.padding} {number}".encode(), partition=number % self.partitions,
                                  on_delivery=self.delivered)
            self.producer.poll(0)
            number += 1
            time.sleep(0.002)
        self.producer.flush(120)

    def goes_on(self, seconds=60):
        """Waits until something that was sent from now on is acknowledged."""
        seen = len(self.acknowledged)
        wait_until(lambda: len(self.acknowledged) > seen + 50, seconds, "records are acknowledged again")

    def end(self):
        self.ends.set()
        self.join(150)
        assert not self.errors, f"failed records: {self.errors[:5]}"
        assert self.acknowledged, "nothing was acknowledged"
        return self.acknowledged


class Member(threading.Thread):
    """Reads a topic as the only member of a group, commits what it has read, and notes every error that it is given."""

    def __init__(self, bootstrap, topic):
        super().__init__(daemon=True)
        self.topic, self.found, self.errors, self.commits, self.ends = topic, [], [], 0, threading.Event()
        self.consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"members-of-{topic}", "auto.offset.reset": "earliest",
                                  "enable.auto.commit": False, "log_level": 0})
        self.consumer.subscribe([topic])
        self.start()

    def run(self):
        while not self.ends.is_set():
            for one in self.consumer.consume(500, 0.2):
                if one.error():
                    self.errors.append(str(one.error()))
                else:
                    self.found.append((one.partition(), one.offset(), one.value()))
            try:
                if self.found:
                    self.consumer.commit(asynchronous=False)
                    self.commits += 1
            except KafkaException as error:
                if error.args[0].name() not in ("_NO_OFFSET", *TRIED_AGAIN):
                    self.errors.append(str(error))
        self.consumer.close()

    def end(self, count, seconds=60):
        wait_until(lambda: len(self.found) >= count, seconds, f"the group has read {count} records")
        self.ends.set()
        self.join(30)
        equal(self.errors, [], f"errors of the group's member: {self.errors[:3]}")
        assert self.commits > 3, f"{self.commits} commits"
        return self.found


class Loop(threading.Thread):
    """Calls `look` over and over until `end`, which raises what that raised."""

    def __init__(self, look):
        super().__init__(daemon=True)
        self.look, self.rounds, self.failure, self.ends = look, 0, None, threading.Event()
        self.start()

    def run(self):
        try:
            while not self.ends.is_set():
                self.look()
                self.rounds += 1
        except Exception as error:
            self.failure = error

    def end(self, rounds):
        wait_until(lambda: self.failure or self.rounds >= rounds, 60, f"{rounds} rounds")
        self.ends.set()
        self.join(60)
        if self.failure:
            raise self.failure


def same_records(found, sent, what):
    """Each was read once, where it was acknowledged, and each partition has them in the order in which they were sent."""
    places = {}
    for partition, offset, value in found:
        places.setdefault((partition, value), []).append(offset)
    twice = sorted((partition, offsets, value) for (partition, value), offsets in places.items() if len(offsets) > 1)
    equal(twice[:20], [], f"{len(twice)} times more than once, as (partition, offsets, value): {what}")
    equal(sorted((partition, value) for partition, _, value in found), sorted((partition, value) for partition, _, value in sent), what)
    equal({one for one in sent if one[1] is not None} - set(found), set(), f"{what} elsewhere than acknowledged")
    numbers = {}
    for partition, _, value in sorted(found):
        numbers.setdefault(partition, []).append(int(value.split()[-1]))
    for partition, read in numbers.items():
        equal(read, sorted(read), f"{what} in order, in partition {partition}")


class World:
    def __init__(self, cluster):
        self.cluster, self.bootstrap = cluster, cluster.bootstrap
        self.admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})

    def create(self, topic, **settings):
        for future in self.admin.create_topics([NewTopic(topic, **settings)]).values():
            future.result()

    def partitions(self, topic):
        return self.admin.list_topics(topic, timeout=20).topics[topic].partitions

    def in_sync(self, topic, count=3):
        def are():
            try:
                return all(len(part.isrs) == count and part.leader >= 0 for part in self.partitions(topic).values())
            except KafkaException:
                return False
        wait_until(are, 120, f"every partition of {topic} has {count} replicas in sync")

    def read(self, topic, count, **settings):
        """As a group, from the beginning: (partition, offset, value) of each record that comes, and stays away for a while."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": f"readers-of-{topic}-{time.monotonic_ns()}",
                             "auto.offset.reset": "earliest", "log_level": 0, **settings})
        consumer.subscribe([topic])
        found, deadline = [], time.monotonic() + 90
        while len(found) < count and time.monotonic() < deadline:
            found += [(one.partition(), one.offset(), one.value()) for one in consumer.consume(500, 0.5) if not one.error()]
        consumer.close()
        return sorted(found)

    def read_kafka_python(self, topic, count):
        consumer = kafka.KafkaConsumer(bootstrap_servers=self.bootstrap.split(","), auto_offset_reset="earliest")
        consumer.assign([kafka.TopicPartition(topic, number) for number in self.partitions(topic)])
        consumer.seek_to_beginning()
        found, deadline = [], time.monotonic() + 90
        while len(found) < count and time.monotonic() < deadline:
            for batch in consumer.poll(500).values():
                found += [(one.partition, one.offset, one.value) for one in batch]
        consumer.close()
        return sorted(found)

    def psql(self, name, sql):
        host, port = self.cluster.address(name, "postgres").rsplit(":", 1)
        done = subprocess.run(["psql", "-XAtF", " ", "-c", sql], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "PGHOST": host, "PGPORT": port, "PGUSER": "ada", "PGDATABASE": "quire"})
        equal(done.returncode, 0, done.stderr)
        return [tuple(map(int, line.split())) for line in done.stdout.splitlines()]


def held_open(path, seconds):
    """A `sqlite3` process that holds a read transaction for so long; what it counted in it at both ends."""
    count = "SELECT coalesce(max(last_offset), -1) FROM record_batch;"
    script = f".timeout 20000\nBEGIN;\n{count}\n.shell sleep {seconds}\n{count}\nCOMMIT;\n{count}\n"
    done = subprocess.run(["sqlite3", "-batch", str(path)], input=script, capture_output=True, text=True, timeout=60)
    equal(done.stderr, "", "sqlite3")
    return list(map(int, done.stdout.split()))


def checks(world):
    cluster = world.cluster
    with check("a topic with three replicas is on three nodes, one of which leads each partition"):
        world.create("plays", num_partitions=6, replication_factor=3, config={"min.insync.replicas": "2"})
        world.in_sync("plays")
        parts = world.partitions("plays").values()
        assert all(sorted(part.replicas) == list(NODES) for part in parts)
        equal({part.leader for part in parts}, set(NODES), "leaders")
        equal({one.id for one in world.admin.list_topics(timeout=20).brokers.values()}, set(NODES), "nodes")
    with check("a replication factor of more than there are nodes is refused"):
        try:
            world.create("too-many", num_partitions=1, replication_factor=4)
            raise AssertionError("it was created")
        except KafkaException as error:
            equal(error.args[0].name(), "INVALID_REPLICATION_FACTOR")
    with check("a leader that is killed is replaced, and nothing that was acknowledged is lost, doubled or out of order"):
        load = Load(world.bootstrap, "plays", 6)
        load.goes_on()
        for _ in range(2):
            leader = world.partitions("plays")[0].leader
            cluster.kill(leader)
            load.goes_on()
            cluster.start(leader)
            world.in_sync("plays")
        sent = load.end()
        same_records(world.read("plays", len(sent)), sent, "record of librdkafka's group")
        same_records(world.read_kafka_python("plays", len(sent)), sent, "record of kafka-python")
    with check("a rolling restart is seen by nobody, and every node ends in order"):
        world.create("rolled", num_partitions=3, replication_factor=3, config={"min.insync.replicas": "2"})
        load = Load(world.bootstrap, "rolled", 3)
        load.goes_on()
        for name in NODES:
            begin = cluster.log(name).stat().st_size
            assert cluster.stop(name) in (0, None), f"node {name} did not end in order"
            assert "Quire has stopped" in cluster.log_text(name, begin), cluster.log_text(name, begin)
            load.goes_on(20)
            cluster.start(name)
            world.in_sync("rolled")
        sent = load.end()
        same_records(world.read("rolled", len(sent)), sent, "record")
    with check("while etcd is away records come and go, topics cannot be created, and afterwards they can"):
        load = Load(world.bootstrap, "rolled", 3)
        load.goes_on()
        cluster.kill(ETCD)
        load.goes_on()
        try:
            world.create("meanwhile", num_partitions=1, replication_factor=3)
            raise AssertionError("a topic was created")
        except KafkaException:
            pass
        load.goes_on()
        cluster.start(ETCD)
        load.end()

        def created():
            try:
                world.create("afterwards", num_partitions=1, replication_factor=3)
                return True
            except KafkaException:
                return False
        wait_until(created, 60, "a topic is created")
        world.in_sync("afterwards")
    with check("a consumer reads from the in-sync replica in its rack"):
        count = 500
        world.create("racks", num_partitions=1, replica_assignment=[[1, 2]])
        world.in_sync("racks", 2)
        load = Load(world.bootstrap, "racks", 1)
        wait_until(lambda: len(load.acknowledged) >= count, 60, "records are acknowledged")
        sent = load.end()
        served = set()

        def note(text):
            for part in json.loads(text)["topics"].get("racks", {}).get("partitions", {}).values():
                served.add(part["broker"])
        found = world.read("racks", len(sent), **{"client.rack": "rack-2", "statistics.interval.ms": 50, "stats_cb": note})
        same_records(found, sent, "record")
        assert 2 in served, f"it read from {served}"
    with check("SQL is answered by followers, and a node that lacks partitions says where they are"):
        world.create("here", num_partitions=2, replica_assignment=[[1], [3]])
        status, text = world.cluster.ask(3, "SELECT count(*) AS n FROM rolled")
        equal(status, 200, text)
        assert json.loads(text.splitlines()[0])["n"] > 0
        status, text = world.cluster.ask(2, "SELECT count(*) FROM here")
        assert status >= 400 and "partition 0 on node 1" in text and "partition 1 on node 3" in text, (status, text)
        status, text = world.cluster.ask(1, "SELECT count(*) FROM here")
        assert status >= 400 and "partition 1 on node 3" in text and "partition 0" not in text, (status, text)
    with check("the configuration of a node is that node's to describe"):
        for name in NODES:
            found = world.admin.describe_configs([ConfigResource(ResourceType.BROKER, str(name))])
            for future in found.values():
                equal(future.result()["broker.rack"].value, f"rack-{name}")
    with check("psql on a follower, and sqlite3 on its files, see each commit whole while its pages are applied"):
        world.create("watched", num_partitions=2, replica_assignment=[[1, 2, 3], [2, 1, 3]], config={"segment.bytes": "50000"})
        world.in_sync("watched")
        load = Load(world.bootstrap, "watched", 2, 300)
        load.goes_on()
        question, places = Question("watched"), []
        loops = [
            Loop(lambda: question.judge(3, 1, world.psql(
                3, 'SELECT partition, count(*), min("offset"), max("offset") FROM watched GROUP BY partition'))),
            Loop(lambda: places.append(look_at_file(segments(cluster.data(3) / "topics" / "watched-0")[-1])))]
        for _ in range(20):   # a segment may have had its last record already, and a slow machine applies nothing for a second
            before, still, after = held_open(segments(cluster.data(3) / "topics" / "watched-1")[-1], 1)
            equal(still, before, "the end of the log in one transaction")
            if after > before:
                break
        assert after > before, "nothing was applied beside a transaction that reads"
        load.goes_on()
        for loop in loops:
            loop.end(10)
        known = [place for place in places if place]
        equal(known, sorted(known), "positions of the follower's files")
        assert known[-1] > known[0], known
        wait_until(lambda: len(segments(cluster.data(3) / "topics" / "watched-0")) > 1, 60, "a segment has a successor")
        sent = load.end()
        same_records(world.read("watched", len(sent)), sent, "record")
        wait_until(lambda: sum(row[1] for row in world.psql(3, "SELECT partition, count(*) FROM watched GROUP BY partition"))
                   == len(sent), 30, "psql has every record")
        equal([len(part.isrs) for part in world.partitions("watched").values()], [3, 3], "replicas in sync")
    with check("a topic that is deleted is gone from every node"):
        for future in world.admin.delete_topics(["rolled"]).values():
            future.result()
        for name in NODES:
            wait_until(lambda: not list((cluster.data(name) / "topics").glob("rolled-*")), 60, f"no files on node {name}")
    with check("a data directory goes neither from one cluster to another nor to a node that is alone"):
        cluster.stop(3)

        def refusal(data, *options):
            done = subprocess.run(
                [binary(), "serve", "--data-dir", str(data), "--listen", "127.0.0.1:0", "--http", "off", "--postgres", "off",
                 *options], capture_output=True, text=True, timeout=60)
            equal(done.returncode, 1, done.stderr)
            return done.stderr
        text = refusal(cluster.data(3), "--node-id", "3")
        assert "--etcd" in text, text
        text = refusal(cluster.data(3), "--node-id", "3", "--etcd", cluster.etcd_url, "--set", "quire.etcd.prefix=/another/")
        assert "belongs to the cluster" in text, text
        cluster.start(3)
    with check("a fourth node gets its share under load, and another gives up its own and leaves: no client sees an error"):
        world.create("scaled", num_partitions=6, replication_factor=3, config={"min.insync.replicas": "2"})
        world.in_sync("scaled")
        load, member = Load(world.bootstrap, "scaled", 6), Member(world.bootstrap, "scaled")
        load.goes_on()
        cluster.add()
        placed = {number: part.replicas for number, part in world.partitions("scaled").items()}
        plan = scaling.quire(cluster, "rebalance")
        assert plan.returncode == 0 and "to copy" in plan.stdout and "--execute carries it out" in plan.stderr, plan
        equal({number: part.replicas for number, part in world.partitions("scaled").items()}, placed, "replicas after a plan")
        for arguments in (("rebalance",), ("drain", "2")):
            done = scaling.quire(cluster, *arguments, "--execute", seconds=90)
            assert done.returncode == 0 and "moved" in done.stderr, done
        load.goes_on()
        for topic in ("scaled", "plays", "watched"):
            world.in_sync(topic)
            for number, part in world.partitions(topic).items():
                equal(sorted(part.replicas), [1, 3, 4], f"replicas of {topic}-{number}")
        for part in ("topics", "coordinator"):
            wait_until(lambda: not [path for path in (cluster.data(2) / part).glob("*/") if "~" not in path.name], 30,
                       "a drained node has nothing more")
        cluster.forget(2)
        load.goes_on()
        sent = load.end()
        same_records(member.end(len(sent)), sent, "record of the group")
        same_records(world.read("scaled", len(sent)), sent, "record")
    with check("the databases of replicas are the same, page for page, at the same commit"):
        compared, problems = replicas.check_identical(cluster, lambda _: None)
        assert not problems, "\n".join(problems)
        assert compared >= 12, f"{compared} pairs were compared"


def main():
    if len(sys.argv) > 1:
        print("the checks build on each other: all of them run", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="quire-cluster-") as directory:
        cluster = Cluster(pathlib.Path(directory), loopback=True, settings=[
            f"replica.selector.class={SELECTOR}", "group.initial.rebalance.delay.ms=0"])
        cluster.environment = {name: {"QUIRE_BROKER_RACK": f"rack-{name}"} for name in (*NODES, 4)}
        with cluster:
            try:
                checks(World(cluster))
            finally:
                if os.environ.get("QUIRE_KEEP_LOGS"):
                    for name in (*NODES, 4, ETCD):
                        pathlib.Path(os.environ["QUIRE_KEEP_LOGS"], f"{name}.log").write_text(cluster.log_text(name))
    finish()


main()
