"""What administrators do with a cluster of three nodes, and what it does when one of them is silent or its disk fails."""
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

import kafka
import replicas
from checks import check, equal, finish, wait_until
from cluster import Cluster
from confluent_kafka import ElectionType, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigEntry, ConfigResource, NewTopic, ResourceType, AlterConfigOpType
from kafka.admin import KafkaAdminClient
from kafka.errors import (InvalidReplicationAssignmentError, NoReassignmentInProgressError, UnknownTopicOrPartitionError)
from node import binary, run

NODES = (1, 2, 3)
THROTTLE = "quire.peer.catchup.bytes.per.second"


class World:
    def __init__(self, cluster):
        self.cluster, self.bootstrap = cluster, cluster.bootstrap
        self.confluent = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
        self.admin = KafkaAdminClient(bootstrap_servers=cluster.bootstrap.split(","))
        os.environ["QUIRE_BOOTSTRAP"] = cluster.bootstrap

    def create(self, topic, assignment, **config):
        new = NewTopic(topic, num_partitions=len(assignment), replica_assignment=assignment, config=config)
        self.confluent.create_topics([new])[topic].result()
        self.in_sync(topic)

    def partitions(self, topic):
        return self.confluent.list_topics(topic, timeout=20).topics[topic].partitions

    def in_sync(self, topic):
        def are():
            try:
                parts = self.partitions(topic).values()
            except KafkaException:
                return False
            return parts and all(sorted(part.isrs) == sorted(part.replicas) and part.leader >= 0 for part in parts)
        wait_until(are, 120, f"every replica of {topic} is in sync")

    def produce(self, topic, count, partition=0, size=0, bootstrap=None):
        """Returns when all are acknowledged by every in-sync replica."""
        errors = []
        producer = Producer({"bootstrap.servers": bootstrap or self.bootstrap, "acks": "all", "enable.idempotence": True,
                             "linger.ms": 5, "message.timeout.ms": 60_000, "log_level": 0})
        for number in range(count):
            producer.produce(topic, f"{topic} {number} ".encode().ljust(size, b"x"), partition=partition,
                             on_delivery=lambda error, _: errors.append(error) if error else None)
            producer.poll(0)
        equal(producer.flush(90), 0, "records that wait")
        equal(errors, [], "errors")

    def replicas(self, topic, partition=0):
        return self.partitions(topic)[partition].replicas

    def moves(self):
        return self.admin.list_partition_reassignments()

    def throttle(self, value):
        """Of each node, while it runs; none takes it back."""
        kind = AlterConfigOpType.SET if value else AlterConfigOpType.DELETE
        for name in self.cluster.nodes:
            entry = ConfigEntry(THROTTLE, str(value or 0), incremental_operation=kind)
            resource = ConfigResource(ResourceType.BROKER, str(name), incremental_configs=[entry])
            for future in self.confluent.incremental_alter_configs([resource]).values():
                future.result()

    def quire(self, *arguments, seconds=120):
        return run(*arguments, seconds=seconds)


# ---- the clients' requests

def requests(world):
    cluster = world.cluster
    moved = kafka.TopicPartition("moved", 0)
    with check("partitions are moved by hand, and kafka-python sees them on their way"):
        world.create("moved", [[1, 2]], **{"segment.bytes": "1048576"})
        world.produce("moved", 12_000, size=1000)
        world.throttle(1_000_000)
        equal(world.admin.alter_partition_reassignments({moved: [3, 2]}), {moved: None})
        under_way = world.moves()[moved]
        equal({key: sorted(value) for key, value in under_way.items()},
              {"replicas": [1, 2, 3], "adding_replicas": [3], "removing_replicas": [1]}, "the move")
        equal(world.admin.list_partition_reassignments([kafka.TopicPartition("other", 0)]), {}, "moves of another topic")
        # 12 MB at 1 MB/s: it is throttled for as long as this takes.
        time.sleep(2)
        assert moved in world.moves(), "the throttle does nothing"
    with check("a move is taken back"):
        equal(world.admin.alter_partition_reassignments({moved: None}), {moved: None})
        equal(world.moves(), {}, "moves")
        # As in Kafka those that were to stay go first from now on.
        equal(sorted(world.replicas("moved")), [1, 2], "replicas")
        equal(world.admin.alter_partition_reassignments({moved: None}), {moved: NoReassignmentInProgressError})
    with check("a move that is no longer throttled ends, and what it brought leads"):
        equal(world.admin.alter_partition_reassignments({moved: [3, 2]}), {moved: None})
        time.sleep(1)
        assert moved in world.moves(), "it was not throttled"
        world.throttle(None)
        wait_until(lambda: not world.moves(), 60, "the move ends")
        equal(world.replicas("moved"), [3, 2], "replicas")
        wait_until(lambda: world.partitions("moved")[0].leader in (2, 3), 20, "one of them leads")
        world.produce("moved", 10)
        wait_until(lambda: not list((cluster.data(1) / "topics").glob("moved-*")), 60, "no files where it was")
    with check("what cannot be moved is refused with Kafka's codes"):
        missing = kafka.TopicPartition("nothing", 0)
        for partition, nodes, error in ((moved, [9], InvalidReplicationAssignmentError), (moved, [3, 3], InvalidReplicationAssignmentError),
                                        (missing, [1], UnknownTopicOrPartitionError)):
            equal(world.admin.alter_partition_reassignments({partition: nodes}), {partition: error}, f"{nodes}")
    with check("leaders are elected by both clients"):
        world.create("elected", [[2, 1, 3]])
        # Another one leads after its own was restarted.
        cluster.stop(2)
        wait_until(lambda: world.partitions("elected")[0].leader == 1, 60, "another one leads")

        def codes(kind, partitions):
            # One that knows nothing of a node that was there before.
            others = [cluster.address(name) for name in NODES if cluster.alive(name)]
            admin = KafkaAdminClient(bootstrap_servers=others)
            answer = admin.elect_leaders(kind, partitions, raise_errors=False)
            admin.close()
            return [part.error_code for topic in answer.replica_election_results for part in topic.partition_result]
        equal(codes(0, {"elected": [0]}), [80], "PREFERRED_LEADER_NOT_AVAILABLE")
        equal(codes(1, {"elected": [0]}), [84], "ELECTION_NOT_NEEDED")
        equal(codes(0, {"nothing": [0]}), [3], "UNKNOWN_TOPIC_OR_PARTITION")
        cluster.start(2)
        world.in_sync("elected")
        if world.partitions("elected")[0].leader != 2:
            found = world.confluent.elect_leaders(ElectionType.PREFERRED, [TopicPartition("elected", 0)]).result()
            # The controller may have come first, which does so by itself.
            assert all(error is None or error.name() == "ELECTION_NOT_NEEDED" for error in found.values()), found
        wait_until(lambda: world.partitions("elected")[0].leader == 2, 60, "the preferred replica leads")
        equal(codes(0, {"elected": [0]}), [84], "ELECTION_NOT_NEEDED")
    with check("DeleteRecords is answered when every replica has let go, and not while one does not say so"):
        world.create("cut", [[1, 2]])
        world.produce("cut", 100)
        answer = world.admin.delete_records({kafka.TopicPartition("cut", 0): 40})
        low = [part["low_watermark"] if isinstance(part, dict) else part.low_watermark for part in answer.values()]
        equal(low, [40], "low watermark")
        world.produce("cut", 1)
    with check("both clients are told the same nodes"):
        equal({node.id for node in world.confluent.describe_cluster().result().nodes}, set(NODES), "nodes")


# ---- faults

def first_acknowledged(world, topic, since):
    """Seconds from `since` until a new client's record is acknowledged by the whole in-sync set."""
    others = ",".join(world.cluster.address(name) for name in NODES if world.cluster.alive(name))
    while True:
        done = []
        producer = Producer({"bootstrap.servers": others, "acks": "all", "message.timeout.ms": 1500, "log_level": 0,
                             "socket.timeout.ms": 1000, "topic.metadata.refresh.interval.ms": 200, "retries": 0})
        producer.produce(topic, b"after", partition=0, on_delivery=lambda error, _: done.append(error))
        producer.flush(3)
        if done == [None]:
            return time.monotonic() - since
        assert time.monotonic() - since < 90, "nothing is acknowledged any more"


def silent(world):
    cluster = world.cluster

    def led_by(topic, name):
        """As that node says."""
        asked = AdminClient({"bootstrap.servers": cluster.address(name), "log_level": 0})
        return asked.list_topics(topic, timeout=20).topics[topic].partitions[0].leader
    with check("a leader that is stopped (SIGSTOP) is replaced before its session ends, and is a follower when it goes on"):
        world.create("silent", [[1, 2, 3]], **{"min.insync.replicas": "2"})
        world.produce("silent", 100)
        # Each node has heard each other one.
        time.sleep(2)
        begin = time.monotonic()
        cluster.pause(1)
        try:
            wait_until(lambda: led_by("silent", 2) in (2, 3), 60, "another one leads")
            noticed = time.monotonic() - begin
            seconds = first_acknowledged(world, "silent", begin)
        finally:
            cluster.go_on(1)
        why = "silence" if any("it says nothing any more" in cluster.log_text(name) for name in (2, 3)) else "the end of its session"
        print(f"# SIGSTOP of a leader: another one after {noticed:.1f} s, by {why}; first acknowledged produce after {seconds:.1f} s",
              flush=True)
        world.in_sync("silent")
        world.produce("silent", 100)


def damaged(world):
    """A leader whose files go bad, and one whose disk does."""
    cluster = world.cluster
    with check("a leader that finds damage lets another one lead, and is healed from it"):
        world.create("damaged", [[1, 2, 3]], **{"segment.bytes": "1048576", "min.insync.replicas": "2"})
        world.produce("damaged", 3000, size=1000)
        world.in_sync("damaged")
        files = sorted((cluster.data(1) / "topics" / "damaged-0").glob("*.db"))

        def sealed():
            return [path for path in sorted((cluster.data(1) / "topics" / "damaged-0").glob("*.db"))[:-1]
                    if not pathlib.Path(f"{path}-wal").exists()]
        path = wait_until(sealed, 60, f"a segment of {files} is sealed")[0]
        before = path.read_bytes()
        with open(path, "r+b") as file:
            file.seek(len(before) // 2)
            file.write(bytes([before[len(before) // 2] ^ 1]))
        wait_until(lambda: world.partitions("damaged")[0].leader != 1, 90, "another one leads")
        wait_until(lambda: path.exists() and path.read_bytes() == before, 90, "the file is as it was")
        world.in_sync("damaged")
        world.produce("damaged", 10)
    with check("a leader whose disk fails to sync lets another one lead"):
        world.create("failing", [[3, 1, 2]], **{"min.insync.replicas": "2"})
        world.produce("failing", 100)
        equal(world.partitions("failing")[0].leader, 3, "leader")
        fault = cluster.directory / "fault"
        (cluster.directory / "fault.new").write_text("sync /failing-0/")
        os.rename(cluster.directory / "fault.new", fault)
        try:
            world.produce("failing", 100)
            wait_until(lambda: world.partitions("failing")[0].leader != 3, 30, "another one leads")
            world.produce("failing", 100)
        finally:
            fault.unlink()
        world.in_sync("failing")
    with check("after all that the databases of replicas are the same, page for page"):
        compared, problems = replicas.check_identical(cluster, lambda _: None)
        assert not problems, "\n".join(problems)


# ---- secrets

def secrets(world):
    cluster = world.cluster

    def restart(name, secret=None):
        """Returns where its log begins."""
        cluster.stop(name)
        environment = cluster.environment.setdefault(name, {})
        environment.pop("QUIRE_PEER_SECRET_FILE", None)
        if secret:
            path = cluster.directory / f"secret-{name}"
            path.unlink(missing_ok=True)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(secret)
            environment["QUIRE_PEER_SECRET_FILE"] = str(path)
        begin = cluster.log(name).stat().st_size
        cluster.start(name)
        return begin

    def refused(words, **begins):
        """Whoever wants something of the other says so: who that is depends on who leads."""
        wait_until(lambda: any(words in cluster.log_text(int(name[1:]), begin) for name, begin in begins.items()), 60, f"a node says: {words}")

    with check("nodes whose secrets differ, or of which one has none, give each other nothing and say why"):
        world.create("secret", [[1, 2], [2, 1]])
        second = restart(2, "the secret of node 2")
        refused("one of the two nodes has a shared secret, and the other has none", _2=second)
        first = restart(1, "another one, of node 1")
        refused("has another secret", _1=first, _2=second)
        wait_until(lambda: any(len(part.isrs) == 1 for part in world.partitions("secret").values()), 90, "they are not in sync")
        restart(1, "the secret of node 2")
        world.in_sync("secret")
        for name in (1, 2):
            restart(name)
        world.in_sync("secret")
    with check("a peer listener that other machines reach wants a secret"):
        done = subprocess.run(
            [binary(), "serve", "--data-dir", str(cluster.directory / "open"), "--peer", "0.0.0.0:0", "--etcd", cluster.etcd_url],
            capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and "needs a shared secret in a file (quire.peer.secret.file)" in done.stderr, done.stderr


# ---- history

def history(world):
    cluster = world.cluster
    with check("SQL about a topic of which a node has a part is answered for that part, and refused where it needs the rest"):
        world.create("parts", [[1], [3], [1]])
        for partition in range(3):
            world.produce("parts", 10 + partition, partition)

        def count(where):
            status, text = world.cluster.ask(1, f"SELECT count(*) AS n FROM parts {where}")
            return json.loads(text.splitlines()[0])["n"] if status == 200 else text
        equal([count(f"WHERE partition = {number}") for number in (0, 2)], [10, 12], "records")
        equal(count("WHERE partition IN (0, 2) AND offset < 5"), 10, "records")
        for where in ("", "WHERE partition = 1", "WHERE partition >= 1", "WHERE offset > 1000", "ORDER BY timestamp LIMIT 1"):
            text = count(where)
            assert "partition 1 on node 3" in str(text), f"{where}: {text}"
    with check("reading a part of a topic offline says what is missing"):
        done = world.quire("query", "SELECT count(*) FROM parts", "--data-dir", str(cluster.data(1)))
        equal(done.returncode, 0, done.stderr)
        assert "of its 3 partitions 1 is on other nodes" in done.stderr, done.stderr
        done = world.quire("query", "SELECT count(*) FROM damaged", "--data-dir", str(cluster.data(1)))
        assert "other nodes" not in done.stderr, done.stderr


# ---- expansion

def expansion(world):
    cluster, four = world.cluster, 4
    with check("a node is added, and partitions spread to it: planned, throttled, interrupted, taken back, done"):
        world.create("spread", [[1, 2], [2, 3], [3, 1], [1, 3]] * 2, **{"segment.bytes": "1048576"})
        for partition in range(8):
            world.produce("spread", 1500, partition, size=1000)
        equal(cluster.add(), four)
        plan = json.loads(world.quire("cluster", "rebalance", "--format", "json").stdout)
        assert plan["moves"] and any(four in move["to"] for move in plan["moves"]), plan
        arguments = ("cluster", "rebalance", "--execute", "--throttle", "200000")
        process = subprocess.Popen([binary(), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(world.moves, 60, "partitions are moved")
        process.kill()
        process.wait()
        time.sleep(1)
        assert world.moves(), "what has begun goes on without the command"
        # Whoever decides is killed: what it has begun is in etcd.
        controller = world.confluent.describe_cluster().result().controller.id
        cluster.kill(controller)
        cluster.start(controller)
        wait_until(lambda: world.confluent.describe_cluster().result().controller.id > 0, 60, "somebody decides")
        done = world.quire("cluster", "rebalance", "--cancel")
        equal(done.returncode, 0, done.stderr)
        equal(world.moves(), {}, "moves")
        world.throttle(None)
        world.in_sync("spread")
        done = world.quire("cluster", "rebalance", "--execute", seconds=300)
        equal(done.returncode, 0, done.stderr)
        equal(world.moves(), {}, "moves")
        on_four = [part for part in world.partitions("spread").values() if four in part.replicas]
        assert on_four, "nothing is on the new node"
        world.in_sync("spread")
    with check("a node is drained while records come, and can be stopped for good"):
        ends, errors = threading.Event(), []

        def produce():
            producer = Producer({"bootstrap.servers": world.bootstrap, "acks": "all", "enable.idempotence": True, "log_level": 0})
            number = 0
            while not ends.is_set():
                producer.produce("spread", b"x", partition=number % 8, on_delivery=lambda error, _: error and errors.append(error))
                producer.poll(0.01)
                number += 1
            errors.extend(["unsent"] * producer.flush(60))
        thread = threading.Thread(target=produce)
        thread.start()
        try:
            time.sleep(1)
            done = world.quire("cluster", "drain", str(four), "--execute", seconds=300)
        finally:
            ends.set()
            thread.join()
        equal(done.returncode, 0, done.stderr)
        equal(errors, [], "errors")
        assert all(four not in part.replicas for part in world.partitions("spread").values())
        wait_until(lambda: not list((cluster.data(four) / "topics").glob("spread-*")), 60, "no files of it are left there")
        cluster.forget(four)
        world.produce("spread", 10)


def main():
    if len(sys.argv) > 1:
        print("the checks build on each other: all of them run", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="quire-administration-") as directory:
        cluster = Cluster(pathlib.Path(directory), loopback=True, settings=[
            "group.initial.rebalance.delay.ms=0", "quire.scrub.bytes.per.second=50000000", "quire.scrub.pause.ms=1000"])
        # Node 3 has a disk that can be told to fail.
        data = cluster.data(3)
        cluster.environment = {3: {
            "LD_PRELOAD": os.environ["POWERLOSS_RECORDER"], "POWERLOSS_DIR": str(data), "POWERLOSS_LOG": "/dev/null",
            "POWERLOSS_FAULT": str(cluster.directory / "fault")}}
        data.mkdir(parents=True, mode=0o700)
        with cluster:
            world = World(cluster)
            try:
                for part in (requests, silent, damaged, secrets, history, expansion):
                    part(world)
            finally:
                if os.environ.get("QUIRE_KEEP_LOGS"):
                    for name in (*NODES, "etcd"):
                        pathlib.Path(os.environ["QUIRE_KEEP_LOGS"], f"{name}.log").write_text(cluster.log_text(name))
    finish()


main()
