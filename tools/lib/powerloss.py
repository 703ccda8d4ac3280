"""Power cuts under load: everything acknowledged before the cut is there once, in order, at its offset.

A node under load runs with the recorder preloaded. Then, for many moments of that recording, the data directory is
built as a power cut would have left it, and a node is started on it. Half of the moments are random, half lie right
after something rare: a name made, renamed or removed, or a file cut short (rolls, retention, topics made and deleted).

--ignore-syncs is the test of this test: nothing counts as synced, so it must fail.
"""
import argparse
import os
import random
import shutil
import tempfile
import time

import cut
from checks import check, failures, finish
from crash import none, whole
from load import NODE_SETTINGS, Load
from node import Node, NodeFailed

ROUNDS_PER_RECORDING = 10


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seed", type=int, default=int(time.time()))
    options.add_argument("--seconds", type=float, default=6, help="of load in each recording")
    options.add_argument("--keep", action="store_true", help="keeps what a round that failed was about")
    options.add_argument("--ignore-syncs", action="store_true", help="nothing counts as synced: must fail")
    options = options.parse_args()
    print(f"# seed {options.seed}", flush=True)
    for first in range(0, options.rounds, ROUNDS_PER_RECORDING):
        recording(options, range(first, min(first + ROUNDS_PER_RECORDING, options.rounds)))
    finish()


def recording(options, rounds):
    scratch = tempfile.mkdtemp(prefix="quire-powerloss-")
    rng = random.Random(f"{options.seed} {rounds[0]}")
    good = False
    try:
        failed_before = len(failures)
        load = None
        with check(f"load under the recorder, for rounds from {rounds[0]}"):
            load, root_inode = record(scratch, rng, options)
        if not load:
            return
        tape = cut.Recording(f"{scratch}/log", root_inode, options.ignore_syncs)
        for number, position in zip(rounds, sorted(choose(tape, load, rng, len(rounds)))):
            with check(f"power cut, round {number}"):
                one_cut(tape, position, load, f"{scratch}/cut", random.Random(f"{options.seed} cut {number}"), options, number)
        good = len(failures) == failed_before
    finally:
        if options.keep and not good:
            print(f"# kept {scratch}")
        else:
            shutil.rmtree(scratch)


def record(scratch, rng, options):
    data = f"{scratch}/data"
    os.mkdir(data, 0o700)
    preload = {"LD_PRELOAD": os.environ["POWERLOSS_RECORDER"], "POWERLOSS_DIR": data, "POWERLOSS_LOG": f"{scratch}/log"}
    broker = Node(data, *NODE_SETTINGS, env=preload, log=f"{scratch}/node.log").start()
    load = Load(broker.kafka, rng.random()).start()
    try:
        time.sleep(options.seconds)
        assert broker.alive(), f"the node ended by itself:\n{broker.log_text()[-3000:]}"
    finally:
        broker.kill()
        load.give_up()
    none(load.failures)
    print(f"# {load.summary()}; log {os.path.getsize(f'{scratch}/log') >> 20} MiB", flush=True)
    return load, os.stat(data).st_ino


def choose(tape, load, rng, count):
    """Positions in the log to cut after: none before the first acknowledgement."""
    first = min(ack.at for ack in load.acknowledged)
    entries = [entry for entry in tape.entries() if entry[1] >= first]
    rare = [index for index, (_, _, operation, _) in enumerate(entries)
            if operation in (cut.CREATE, cut.RENAME, cut.UNLINK, cut.TRUNCATE)]
    chosen = set()
    for _ in range(count * 50):
        if len(chosen) == count:
            break
        index = rng.choice(rare) + rng.randrange(4) if rare and rng.random() < 0.5 else rng.randrange(len(entries))
        chosen.add(entries[min(index, len(entries) - 1)][0])
    return chosen


def one_cut(tape, position, load, directory, rng, options, number):
    tape.play_through(position)
    torn = tape.write_cut(directory, rng)
    if options.keep:
        shutil.copytree(directory, f"{directory}-{number}")
    try:
        broker = Node(directory, *NODE_SETTINGS)
        with broker:
            none(load.verify(broker.kafka, until=tape.now))
        whole(directory)
        known = sum(1 for ack in load.acknowledged if ack.at <= tape.now)
        print(f"# {known} records had been acknowledged; {torn}; ready after {broker.startup_seconds:.2f} s", flush=True)
        if options.keep:
            shutil.rmtree(f"{directory}-{number}")
    except NodeFailed as error:
        raise AssertionError(f"the node after the cut: {error}") from None
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
