"""Runs the commands of the README's tour, so that what it says is true.

In the section headed "A five-minute tour" every ```sh block is a check: its lines must succeed, in one directory, and what
they print must be the ```text block that follows, if one does. The block that starts the node is left out: the tour runs
against a node on free ports, and the two default addresses are replaced by its own.
"""
import os
import re
import shlex
import subprocess
import sys
import tempfile

import node
from checks import check, equal, finish
from node import Node

BLOCK = re.compile(r"^```sh\n(.*?)^```\n(?:\n*(?:<!--.*?-->\n)?^```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def main(readme):
    with open(readme) as file:
        text = file.read()
    tour = re.search(r"^## A five-minute tour\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)[1]
    with tempfile.TemporaryDirectory(prefix="quire-tour-") as directory:
        os.symlink(node.binary(), f"{directory}/quire")
        os.symlink(node.extension(), f"{directory}/libquire.so")
        with check("tour: the node stops cleanly"), Node(f"{directory}/quire-data") as broker:
            for number, (commands, expected) in enumerate(BLOCK.findall(tour), 1):
                if commands.startswith("quire serve"):
                    continue
                with check(f"tour: step {number}, {commands.splitlines()[0][:60]}"):
                    step(commands, expected, directory, broker)
    finish()


def step(commands, expected, directory, broker):
    commands = commands.replace("127.0.0.1:9092", broker.kafka).replace("127.0.0.1:8080", broker.http)
    commands = commands.replace("port=5433", f"port={broker.postgres.rsplit(':', 1)[1]}")
    path = f"{directory}:{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "QUIRE_BOOTSTRAP": broker.kafka,
                   "QUIRE_SERVER": f"http://{broker.http}"}
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], cwd=directory, env=environment, text=True,
                          capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"exit {done.returncode}: {shlex.quote(commands)}\n{done.stdout[-800:]}{done.stderr[-800:]}"
    if expected:
        equal(lines(done.stdout), lines(expected), "line")


def lines(text):
    return [line.rstrip() for line in text.rstrip().splitlines()]


main(sys.argv[1])
