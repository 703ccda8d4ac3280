"""A cluster under real clients and random faults: every acknowledged record once and in order, and replicas equal page for page.

A round draws some faults from the seed, puts load on the cluster, makes the faults, heals everything, waits until every replica is
in sync again, and then compares: what clients saw with the log (history.py), and the replicas' databases with each other.
The same seed draws the same faults; what they meet is another matter.
"""
import argparse
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback

import damage
import network
import replicas
from checks import shorten
from cluster import ETCD, Cluster
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from history import History
from node import NodeFailed
from onlookers import Onlookers
from plans import FAULTS, WANT_ROOT, Plan
from scaling import Scaling
from workload import PATIENCE, Workload, check_commits, create_topics, read_logs, settings

ROOT = pathlib.Path(__file__).resolve().parents[2]
# One whose segments are sealed every second or two, with an index file or more beside each.
TOPICS = {"steady": (3, {}), "rolling": (2, {"segment.bytes": "300000", "quire.columns": '[{"name": "key", "indexed": true}]'})}
SETTINGS = ["auto.create.topics.enable=false", "group.initial.rebalance.delay.ms=0", "log.retention.check.interval.ms=1000"]
# What is damaged has to be found before the replicas are compared.
SCRUB = ["quire.scrub.pause.ms=1000", "quire.scrub.bytes.per.second=33554432"]
DISK = "512m"


class Chaos:
    def __init__(self, options, faults, directory):
        self.options, self.faults = options, faults
        self.directory = pathlib.Path(directory)
        replication = min(3, options.nodes)
        self.cluster = Cluster(
            self.directory / "cluster", options.nodes, loopback=options.loopback, clocks="clock" in faults,
            disk=DISK if "disk" in faults else None, etcd=options.nodes > 1,
            settings=[*SETTINGS, *(SCRUB if "flip" in faults else ()), f"min.insync.replicas={min(2, replication)}", *options.set])
        self.replication = replication
        self.history = History()
        self.partitions = [(topic, index) for topic, (count, _) in TOPICS.items() for index in range(count)]
        self.resolved, self.killed, self.said = {}, set(), []
        self.scaling = None

    def begin(self):
        self.cluster.up()
        self.admin = AdminClient(settings(self.cluster.bootstrap))
        create_topics(self.cluster.bootstrap, TOPICS, self.replication)

    def end(self):
        self.cluster.destroy()

    # ---- a round

    def round(self, number):
        """Returns (what it did, what is wrong)."""
        rng = random.Random(f"{self.options.seed} {number}")
        plan = Plan(rng, self.faults, self.cluster.nodes, self.options.seconds)
        problems, self.said, self.resolved, self.killed, self.scaling = [], [], {}, set(), None
        if plan.power:
            self.record()
        self.wait_whole(problems)
        load = Workload(self.cluster.bootstrap, self.history, self.partitions, f"{number}", rng.random(), self.options.rate,
                        members=0 if "groups" in self.options.without else 2).start()
        # With the power a writer beside the node would be forgotten by the record of what is synced.
        onlookers = Onlookers(self.cluster, list(TOPICS), self.history, rng.random(), {plan.damaged} - {None}, plan.power).start()
        try:
            self.make_faults(plan)
            self.noticed_ends(problems)
            if plan.power:
                with onlookers.files_rest:
                    self.lose_power(rng)
            self.heal(problems)
            healed = time.monotonic()
            if self.wait_whole(problems):
                self.say(f"whole {time.monotonic() - healed:.1f} s after the healing")
            if self.scaling:
                self.finish_scaling(plan, problems)
        finally:
            load.stop(PATIENCE if not problems else 20)
            problems += onlookers.stop()
        problems += load.failures
        self.say(onlookers.summary())
        self.compare(plan, problems)
        self.noticed_ends(problems)
        return str(plan), problems

    def say(self, what):
        self.said.append(what)
        print(f"#   {what}", flush=True)

    def make_faults(self, plan):
        started = time.monotonic()
        for at, verb, arguments in plan.events:
            time.sleep(max(0, started + at - time.monotonic()))
            who = [self.resolve(one) if isinstance(one, tuple) else one for one in arguments]
            try:
                done = getattr(self, "do_" + verb)(*who)
            except (ProcessLookupError, FileNotFoundError, KeyError) as error:
                done = f"not possible: {error!r}"
            self.say(f"{time.monotonic() - started:5.1f} s {verb} {' '.join(map(str, who))}{': ' + done if done else ''}")
        time.sleep(max(0, started + plan.seconds - time.monotonic()))

    def resolve(self, who):
        """The node that is the leader of some partition, or the controller, now; the same one again when it is started again."""
        kind, draw = who
        if kind == "node":
            return draw
        if who not in self.resolved:
            nodes = self.cluster.nodes
            self.resolved[who] = nodes[draw % len(nodes)]
            try:
                metadata = self.admin.list_topics(timeout=1)
                if kind == "controller":
                    found = metadata.controller_id
                else:
                    topic, index = self.partitions[draw % len(self.partitions)]
                    found = metadata.topics[topic].partitions[index].leader
                if found in nodes:
                    self.resolved[who] = found
            except (KafkaException, KeyError):
                pass
        return self.resolved[who]

    # ---- faults

    def do_kill(self, name):
        if self.cluster.alive(name):
            self.killed.add(name)
            self.cluster.kill(name)

    def do_start(self, name):
        if not self.cluster.alive(name):
            # Without waiting: etcd may be away, and the next fault is due.
            if name == ETCD:
                self.cluster.start(ETCD)
            else:
                self.cluster.launch(name)
            self.killed.discard(name)

    def do_term(self, name):
        if self.cluster.alive(name):
            self.killed.add(name)
            begun = time.monotonic()
            status = self.cluster.stop(name)
            return f"exit {status} after {time.monotonic() - begun:.1f} s"

    def do_pause(self, name):
        if self.cluster.alive(name):
            self.cluster.pause(name)

    def do_cont(self, name):
        self.cluster.go_on(name)

    def do_isolate(self, name, refuse):
        self.cluster.isolate(name, refuse)

    def do_cut(self, one, other, one_way, refuse):
        if one == other:
            other = self.cluster.nodes[self.cluster.nodes.index(one) - 1]
        if one != other and (other != ETCD or self.cluster.known["etcd"]):
            self.cluster.cut(one, other, one_way, refuse)

    def do_links(self):
        self.cluster.network.heal()

    def do_clock(self, name, seconds):
        self.cluster.set_clock(name, seconds)

    def do_fill(self, name):
        self.cluster.fill_disk(name)

    def do_empty(self, name):
        self.cluster.disk_ballast(name).unlink(missing_ok=True)

    def do_damage(self, name, kind, role, seed):
        try:
            known = self.admin.list_topics(timeout=1).topics
            led = {f"{topic}-{index}" for topic, index in self.partitions if known[topic].partitions[index].leader == name}
        except (KafkaException, KeyError):
            return damage.damage(self.cluster.data(name), random.Random(seed), kind)
        return damage.damage(self.cluster.data(name), random.Random(seed), kind, lambda partition: (partition in led) == (role == "led"))

    def do_wipe(self, name):
        """Only while every replica is in sync: with one of several disks nothing may be lost then."""
        if not self.cluster.alive(name) or self.not_whole(self.admin):
            return "not possible: not all replicas are in sync"
        self.killed.add(name)
        self.cluster.kill(name)
        shutil.rmtree(self.cluster.data(name))

    def do_scale(self, leaving):
        self.scaling = Scaling(self.cluster, leaving)
        return self.scaling.launch()

    def record(self):
        """Starts every node anew under the recorder, which remembers what is synced."""
        for name in self.cluster.nodes:
            self.cluster.stop(name)
        for name in self.cluster.nodes:
            self.cluster.environment[name] = damage.begin_recording(self.cluster.data(name), self.directory / f"writes-{name}")
        self.cluster.up()

    def lose_power(self, rng):
        names = [*self.cluster.nodes, *([ETCD] if self.cluster.known["etcd"] else [])]
        self.cluster.kill(*names)
        for name in self.cluster.nodes:
            log = self.directory / f"writes-{name}"
            self.say(f"power lost, node {name}: {damage.cut_power(self.cluster.data(name), log, rng)}")
            log.unlink()
            del self.cluster.environment[name]
        self.killed.update(names)

    # ---- afterwards

    def heal(self, problems):
        try:
            self.cluster.heal()
            self.killed.clear()
        except (NodeFailed, OSError) as error:
            problems.append(f"it does not start again: {error}")

    def finish_scaling(self, plan, problems):
        problems += self.scaling.finish(PATIENCE)
        for line in self.scaling.said:
            self.say(line)
        if self.scaling.attempts != 2 and all(verb == "scale" for _, verb, _ in plan.events):
            problems.append(f"without any other fault the commands took {self.scaling.attempts} attempts: {self.scaling.said}")
        self.wait_whole(problems)

    def noticed_ends(self, problems):
        for name in [*self.cluster.nodes, *([ETCD] if self.cluster.known["etcd"] else [])]:
            if not self.cluster.alive(name) and name not in self.killed:
                problems.append(f"{name} ended by itself:\n{self.cluster.log_text(name)[-2500:]}")

    def wait_whole(self, problems, seconds=120):
        """Every node says of every partition that it has a leader and all its replicas in sync."""
        deadline, lacking = time.monotonic() + seconds, {}
        for name in self.cluster.nodes:
            admin = AdminClient(settings(self.cluster.address(name)))
            while True:
                lacking = self.not_whole(admin)
                if not lacking:
                    break
                if time.monotonic() > deadline:
                    problems.append(f"not whole within {seconds} s, as node {name} sees it: {shorten(lacking, 600)}")
                    return False
                time.sleep(0.2)
        return True

    def not_whole(self, admin):
        try:
            topics = admin.list_topics(timeout=5).topics
        except KafkaException as error:
            return str(error)
        lacking = {}
        for topic, index in self.partitions:
            known = topics[topic].partitions.get(index) if topic in topics else None
            if known is None or known.leader < 0 or len(known.replicas) < self.replication or len(known.isrs) < len(known.replicas):
                lacking[f"{topic}-{index}"] = known and (known.leader, known.replicas, known.isrs)
        return lacking

    def replicas_of(self, directory):
        """Of a directory of partitions, or None for what is not one of ours."""
        topic, _, index = directory.rpartition("-")
        if topic not in TOPICS:
            return [] if "groups" in self.options.without else None
        return self.admin.list_topics(topic, timeout=10).topics[topic].partitions[int(index)].replicas

    def compare(self, plan, problems):
        try:
            check_commits(self.cluster.bootstrap, self.history)
            logs = read_logs(self.cluster.bootstrap, self.partitions, 60 if problems else PATIENCE)
        except (KafkaException, TimeoutError) as error:
            problems.append(f"cannot be read: {error}")
            return
        problems += map(str, self.history.judge(logs))
        self.history.anomalies.clear()
        if not all(map(self.cluster.alive, self.cluster.nodes)):
            return
        known = {name: self.replicas_of(name) for name in {f"{topic}-{index}" for topic, index in self.partitions}}
        others = self.replicas_of("")
        is_damaged = plan.damaged is not None
        compared, different = self.compare_files(lambda name: known.get(name, others), is_damaged, 30 if problems or is_damaged else 120)
        if different and plan.damaged in self.cluster.nodes:
            # What lies in a -wal behind frames that count no more is used only when the node starts again.
            self.say(f"found by nobody yet, so that node {plan.damaged} starts again: {shorten(different, 500)}")
            self.cluster.kill(plan.damaged)
            self.cluster.start(plan.damaged)
            self.wait_whole(problems)
            compared, different = self.compare_files(lambda name: known.get(name, others), True, 90)
        problems += different
        self.say(f"{self.history.summary()}; {compared} pairs of databases compared")

    def compare_files(self, replicas_of, is_damaged, seconds):
        return replicas.check_identical(self.cluster, replicas_of, is_damaged, "doctor" not in self.options.without, seconds,
                                        str(self.directory / "different") if self.options.keep else None)


# ---- the command

def main():
    parser = argparse.ArgumentParser(prog="tools/chaos", description="Random faults under real clients.")
    parser.add_argument("--minutes", type=float, help="rounds until then")
    parser.add_argument("--rounds", type=int, help="so many rounds (3, without --minutes)")
    parser.add_argument("--first", type=int, default=0, help="number of the first round: with its seed, the same faults")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--faults", default=",".join(FAULTS), help=f"of {','.join(FAULTS)} (all)")
    parser.add_argument("--seconds", type=float, default=12, help="of faults in a round")
    parser.add_argument("--rate", type=float, default=150, help="records per second of each of three producers")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for every node")
    parser.add_argument("--without", default="", help="checks to leave out: groups (and coordinator databases), doctor")
    parser.add_argument("--loopback", action="store_true", help="no network namespaces")
    parser.add_argument("--directory", default=str(ROOT / ".build"))
    parser.add_argument("--report", help="where the summary goes (default .build/chaos-SEED.txt)")
    parser.add_argument("--keep", action="store_true", help="keeps the directory of a round that failed")
    parser.add_argument("--go-on", action="store_true", help="goes on after a failure, with a new cluster")
    options = parser.parse_args()
    faults = options.faults.split(",")
    if unknown := set(faults) - set(FAULTS):
        parser.error(f"no fault {', '.join(sorted(unknown))}")
    if options.loopback or not network.is_possible():
        left_out = [fault for fault in faults if fault in WANT_ROOT]
        faults = [fault for fault in faults if fault not in WANT_ROOT]
        options.loopback = True
        if left_out:
            print(f"# no namespaces: without {', '.join(left_out)}", flush=True)
    if options.nodes == 1:
        faults = [fault for fault in faults if fault not in ("cut", "etcd", "flip", "wipe", "scale")]
    if not options.minutes and options.rounds is None:
        options.rounds = 3
    print(f"# seed {options.seed}, faults {','.join(faults)}, {options.nodes} nodes", flush=True)
    raise SystemExit(run(options, faults))


def run(options, faults):
    report, failed, number = [], 0, options.first
    ends = time.monotonic() + options.minutes * 60 if options.minutes else None
    chaos = None
    try:
        while (options.rounds is None or number < options.first + options.rounds) and (not ends or time.monotonic() < ends):
            chaos = chaos or begin(options, faults)
            problems = one(chaos, options, number, report)
            number += 1
            if problems:
                failed += 1
                leave(chaos, options.keep)
                chaos = None
                if not options.go_on:
                    break
    finally:
        if chaos:
            leave(chaos, False)
    summary = f"# seed {options.seed}: {number - options.first} rounds, {failed} failed; faults {','.join(faults)}, {options.nodes} nodes"
    print(summary, flush=True)
    path = pathlib.Path(options.report or ROOT / ".build" / f"chaos-{options.seed}.txt")
    path.write_text("\n".join([summary, *report]) + "\n")
    return 1 if failed or number == options.first else 0


def begin(options, faults):
    directory = tempfile.mkdtemp(prefix="chaos-", dir=options.directory)
    chaos = Chaos(options, faults, directory)
    try:
        chaos.begin()
    except BaseException:
        for name in chaos.cluster.nodes:
            print(f"# node {name}:\n{chaos.cluster.log_text(name)[-1500:]}", flush=True)
        leave(chaos, options.keep)
        raise
    return chaos


def leave(chaos, keep):
    chaos.end()
    if keep:
        print(f"# kept {chaos.directory}", flush=True)
    else:
        shutil.rmtree(chaos.directory, ignore_errors=True)


def one(chaos, options, number, report):
    print(f"# round {number}", flush=True)
    started = time.monotonic()
    try:
        plan, problems = chaos.round(number)
    except Exception:
        plan, problems = "", [traceback.format_exc()]
    for problem in problems[:20]:
        print("    " + problem.replace("\n", "\n    "), flush=True)
    if len(problems) > 20:
        print(f"    … and {len(problems) - 20} more", flush=True)
    line = f"{'not ok' if problems else 'ok'} chaos, seed {options.seed}, round {number}"
    print(f"{line}    # {time.monotonic() - started:.0f} s: {plan}", flush=True)
    report += [f"{line}: {plan}", *("    " + what for what in chaos.said), *("    " + problem for problem in problems)]
    return problems


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))   # so that nothing is left running, mounted or cut
    main()
