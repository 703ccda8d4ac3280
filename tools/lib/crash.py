"""kill -9 under load: everything acknowledged is there once, in order, at its offset, and every database is whole.

Each round loads the node, kills it at a random moment and starts it again. In half of the rounds the producers live
through that and go on, so that the node must recognise what they send again.
"""
import argparse
import random
import shutil
import tempfile
import time

import node
import store
from checks import check, finish
from load import NODE_SETTINGS, Load
from node import Node

ROUNDS_PER_DIRECTORY = 10


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seed", type=int, default=int(time.time()))
    options.add_argument("--keep", action="store_true", help="keeps the data directory of a round that failed")
    options = options.parse_args()
    print(f"# seed {options.seed}", flush=True)
    for first in range(0, options.rounds, ROUNDS_PER_DIRECTORY):
        directory(options, range(first, min(first + ROUNDS_PER_DIRECTORY, options.rounds)))
    finish()


def directory(options, rounds):
    """Some rounds on one data directory, and at their end everything once more after a clean stop."""
    data = tempfile.mkdtemp(prefix="quire-crash-")
    broker, loads, good = Node(data, *NODE_SETTINGS).start(), [], False
    broker.listen = broker.kafka
    try:
        for number in rounds:
            with check(f"kill -9, round {number}"):
                one_round(broker, loads, random.Random(f"{options.seed} {number}"), f"round{number}")
        with check(f"after {len(rounds)} rounds: everything, after a clean stop"):
            if not broker.alive():
                broker.start()
            assert broker.stop() == 0, "SIGTERM did not end in exit 0"
            whole(data)
            broker.start()
            none(problem for load in loads for problem in load.verify(broker.kafka))
            assert broker.stop() == 0, "SIGTERM did not end in exit 0"
            good = True
    finally:
        broker.kill()
        if options.keep and not good:
            print(f"# kept {data}, log {broker.log}")
        else:
            shutil.rmtree(data)


def one_round(broker, loads, rng, name):
    if not broker.alive():
        broker.start()
    load = Load(broker.kafka, rng.random(), name).start()
    loads.append(load)
    lives_on = rng.random() < 0.5
    try:
        time.sleep(0.2 + rng.random() * 2)
        assert broker.alive(), f"the node ended by itself:\n{broker.log_text()[-3000:]}"
        broker.kill()
        whole(broker.data)
        if not lives_on:
            load.give_up()
        broker.start()
        if lives_on:
            time.sleep(rng.random())
            load.stop()
        none(load.failures + load.verify(broker.kafka))
        assert load.acknowledged, "nothing was acknowledged in this round"
        print(f"# {name}: {load.summary()}; producers {'lived on' if lives_on else 'were gone'}; "
              f"ready after {broker.startup_seconds:.2f} s", flush=True)
    finally:
        if not load.halt.is_set():
            load.give_up()


def whole(data):
    """Of a data directory without a node: SQLite's own check of every database, and ours."""
    count, problems = store.integrity(data)
    assert count > 1, "there are no databases"
    none(problems)
    done = node.run("doctor", "--data-dir", data)
    assert done.returncode == 0, f"quire doctor: exit {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-1500:]}"


def none(problems):
    problems = list(problems)
    assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems[:12])


if __name__ == "__main__":
    main()
