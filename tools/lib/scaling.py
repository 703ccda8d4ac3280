"""A node joins under load, gets its share of the partitions, and another one gives up its own and leaves."""
import os
import subprocess
import threading
import time

from node import READY, binary


def quire(cluster, *arguments, seconds=180):
    """A command of `quire cluster`; returns the finished process."""
    environment = {**os.environ, "QUIRE_BOOTSTRAP": cluster.bootstrap}
    return subprocess.run([binary(), "cluster", *arguments], capture_output=True, text=True, timeout=seconds, env=environment)


class Scaling:
    """`leaving` goes when the new node, which is started at once by who calls `launch`, has its share.

    With other faults around a command may end without having done all of it: as an operator would, it is given again until `deadline`."""

    def __init__(self, cluster, leaving):
        self.cluster, self.leaving = cluster, leaving
        self.said, self.failures, self.attempts = [], [], 0
        self.is_done, self.gives_up = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def launch(self):
        """By the thread that starts nodes, since they end with it."""
        self.joining, self.begin = self.cluster.launch_new()
        self.thread.start()
        return f"node {self.joining} joins, node {self.leaving} is to leave"

    def run(self):
        try:
            self.until(lambda: READY.search(self.cluster.log_text(self.joining, self.begin)))
            self.until(lambda: self.command("rebalance", "--execute"))
            self.until(lambda: self.command("drain", str(self.leaving), "--execute"))
            self.is_done.set()
        except TimeoutError:
            self.failures.append(f"scaling did not come to an end: {self.said[-3:]}")

    def until(self, succeeds):
        while not succeeds():
            if self.gives_up.wait(0.5):
                raise TimeoutError

    def command(self, *arguments):
        begun = time.monotonic()
        self.attempts += 1
        try:
            done = quire(self.cluster, *arguments)
        except subprocess.TimeoutExpired:
            self.said.append(f"{arguments}: no end within 180 s")
            return False
        self.said.append(f"{' '.join(arguments)}: exit {done.returncode} after {time.monotonic() - begun:.1f} s: {done.stderr.strip()[-300:]}")
        return done.returncode == 0

    def finish(self, seconds):
        """When all is healed: waits for the rest; stops the node that leaves, which has nothing more; what went wrong."""
        self.is_done.wait(seconds)
        self.gives_up.set()
        self.thread.join(200)
        if not self.failures:
            if left := self.left_behind():
                self.failures.append(f"node {self.leaving} was drained and has {left}")
            self.cluster.forget(self.leaving)
        return self.failures

    def left_behind(self, seconds=30):
        """Directories of partitions that a drained node still has."""
        deadline = time.monotonic() + seconds
        while True:
            left = [path.name for part in ("topics", "coordinator") for path in (self.cluster.data(self.leaving) / part).glob("*/")
                    if "~" not in path.name and ".deleted" not in path.name]
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.2)
