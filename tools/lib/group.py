"""Consumer groups: members come and go, and no record is lost or given to two members that both stay."""
import faulthandler
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict

import records
from checks import check, wait_until
from node import die_with_parent, run

SETTLE_SECONDS = 30
PARTITIONS = 4


class Reporter:
    """In the member's process: says on stdout what it holds, receives and has committed, one JSON line each."""

    def __init__(self):
        self.stopping = False
        self.assigned = None
        signal.signal(signal.SIGTERM, self.stop)
        faulthandler.register(signal.SIGUSR1)

    def stop(self, *_):
        self.stopping = True

    def holds(self, partitions):
        now = sorted(partitions)
        if now != self.assigned:
            self.assigned = now
            self.say(holds=now)

    def received(self, batch):
        """`batch`: (partition, offset) of each record. Said before the commit, so that a death between shows."""
        self.say(received=[list(item) for item in batch])

    def committed(self, batch):
        self.say(committed=[list(item) for item in batch])

    def say(self, **event):
        print(json.dumps(event), flush=True)


class Member:
    """In the test's process: one member process and what it has said."""

    def __init__(self, command, name):
        self.name = name
        self.holds = None
        self.received = []      # (partition, offset), in order
        self.committed = set()
        self.ended = False
        self.log = tempfile.TemporaryFile()  # what its client logs, shown if it does not get on
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, stdin=subprocess.DEVNULL,
                                        text=True, preexec_fn=die_with_parent)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            if not line.startswith("{"):
                print(f"{self.name}: {line.rstrip()}", file=sys.stderr)
                continue
            event = json.loads(line)
            if "holds" in event:
                self.holds = event["holds"]
            self.received += [tuple(item) for item in event.get("received", ())]
            self.committed.update(tuple(item) for item in event.get("committed", ()))

    def leave(self):
        """Closes the consumer in an orderly way."""
        self.process.terminate()
        assert self.process.wait(30) == 0, f"{self.name}: exit {self.process.returncode} when asked to leave"
        self.end()

    def die(self):
        self.process.kill()
        self.process.wait()
        self.end()

    def log_tail(self, lines=80):
        """What its client logged last, each thing once, and where each of its threads is."""
        self.process.send_signal(signal.SIGUSR1)
        time.sleep(0.5)
        size = os.fstat(self.log.fileno()).st_size
        text = os.pread(self.log.fileno(), size, 0).decode(errors="replace")  # its place in the file is the child's too
        told, shown = set(), []
        for line in text.splitlines():
            what = re.sub(r"\d", "", line)  # but for the time
            if what not in told:
                told.add(what)
                shown.append(f"    {self.name}: {line[:500]}\n")
        return "".join(shown[-lines:])

    def end(self):
        self.reader.join(5)
        self.ended, self.holds = True, []

    def __repr__(self):
        return f"{self.name}{self.holds}"


class Group:
    def __init__(self, client, strategy):
        self.client, self.strategy = client, strategy
        stamp = int(time.time() * 1000) % 1_000_000
        self.topic = f"group-{strategy}-{stamp}"
        self.id = f"{self.topic}-members"
        self.members = []
        self.sent = 0           # records in each partition

    def join(self, name):
        self.members.append(Member(
            [sys.executable, sys.argv[0], "member", self.client.bootstrap, self.id, self.topic, self.strategy], name))
        return self.members[-1]

    def present(self):
        return [member for member in self.members if not member.ended]

    def settle(self):
        """Waits until the members hold every partition once, each at least one, and that for half a second."""
        stable_since = None
        deadline = time.monotonic() + SETTLE_SECONDS
        previous = None
        while time.monotonic() < deadline:
            for member in self.present():
                assert member.process.poll() is None, f"{member.name} ended: {member.process.returncode}"
            holds = [tuple(member.holds or ()) for member in self.present()]
            flat = sorted(partition for held in holds for partition in held)
            good = flat == list(range(PARTITIONS)) and all(holds)
            if not good or holds != previous:
                stable_since, previous = time.monotonic(), holds
            elif time.monotonic() - stable_since > 0.5:
                return
            time.sleep(0.02)
        for member in self.present():
            print(member.log_tail(), file=sys.stderr, flush=True)
        print(run("group", "describe", self.id, "--bootstrap", self.client.bootstrap).stdout, file=sys.stderr, flush=True)
        raise AssertionError(f"not settled within {SETTLE_SECONDS} s: {self.present()}")

    def produce(self, each=50):
        """Sends `each` records to every partition; returns the (partition, offset) they should have."""
        for partition in range(PARTITIONS):
            self.client.produce(self.topic, records.plain(each), partition=partition)
        fresh = {(partition, offset) for partition in range(PARTITIONS) for offset in range(self.sent, self.sent + each)}
        self.sent += each
        return fresh

    def deliveries(self):
        by_record = defaultdict(list)
        for member in self.members:
            for record in list(member.received):
                by_record[record].append(member)
        return by_record

    def all_delivered(self, wanted, seconds=20):
        def missing():
            return wanted - self.deliveries().keys()
        try:
            wait_until(lambda: not missing(), seconds, "every record delivered")
        except AssertionError:
            raise AssertionError(f"lost: {len(missing())} of {len(wanted)}, first {sorted(missing())[:5]}; "
                                 f"members {self.present()}") from None

    def stable_phase(self):
        """With nobody coming or going: each record to exactly one member, once."""
        fresh = self.produce()
        self.all_delivered(fresh)
        time.sleep(0.3)
        deliveries = self.deliveries()
        twice = {record: deliveries[record] for record in fresh if len(deliveries[record]) != 1}
        assert not twice, f"given out more than once: {list(twice.items())[:5]}"

    def check_no_committed_record_again(self):
        """A record that a member has committed is not given to anybody else later."""
        bad = [(record, members) for record, members in self.deliveries().items()
               if len(set(map(id, members))) > 1 and record in members[0].committed and record in members[1].committed]
        assert not bad, f"{len(bad)} records were committed by two members: {bad[:5]}"

    def close(self):
        for member in self.present():
            member.die()


def scenario(client, strategy):
    group = Group(client, strategy)
    try:
        with check(f"group {strategy}: one member gets everything"):
            everything = group.produce()
            first = group.join("first")
            group.settle()
            group.all_delivered(everything)
            group.stable_phase()
        with check(f"group {strategy}: two more join while records arrive"):
            second, third = group.join("second"), group.join("third")
            during = group.produce(100)
            group.settle()
            group.all_delivered(during)
            group.stable_phase()
        with check(f"group {strategy}: one leaves"):
            second.leave()
            during = group.produce(100)
            group.settle()
            group.all_delivered(during)
            group.stable_phase()
        with check(f"group {strategy}: one dies"):
            third.die()
            during = group.produce(100)
            group.settle()
            group.all_delivered(during)
            group.stable_phase()
        with check(f"group {strategy}: nothing lost, nothing given to two"):
            group.all_delivered({(p, o) for p in range(PARTITIONS) for o in range(group.sent)}, seconds=1)
            group.check_no_committed_record_again()
        with check(f"group {strategy}: a new member goes on where the last one committed"):
            first.leave()
            last = group.join("last")
            group.settle()
            group.stable_phase()
            assert min(offset for _, offset in last.received) == group.sent - 50, "began before the committed offset"
            last.leave()
    finally:
        group.close()
