"""Processes that are known by number and time of birth, so that a later command can stop them, and only them."""
import contextlib
import os
import signal
import subprocess
import time

from network import started_at
from node import die_with_parent


class Process:
    def __init__(self, pid, started):
        self.pid, self.started = pid, started

    @classmethod
    def start(cls, command, log, env=None, detached=False):
        """Its output goes to the end of `log`. Not `detached`, it ends with the thread that started it."""
        with open(log, "ab") as out:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, start_new_session=True,
                                     preexec_fn=None if detached else die_with_parent)
        child.returncode = 0   # reaped here: no warning that it still runs
        return cls(child.pid, started_at(child.pid))

    def alive(self):
        with contextlib.suppress(ChildProcessError):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.started is not None and started_at(self.pid) == self.started

    def stopped(self):
        with open(f"/proc/{self.pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "Tt"

    def signal(self, which):
        if self.alive():
            os.kill(self.pid, which)

    def wait(self, seconds):
        """Whether it has ended by then; `status` is how, if it was a child of this process."""
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    status = None

    def kill(self):
        self.signal(signal.SIGKILL)
        self.wait(20)

    def end(self, seconds=60):
        """SIGTERM, as an operator would; false if it had to be killed."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        if self.wait(seconds):
            return True
        self.kill()
        return False
