"""A real `quire serve` process on free ports."""
import atexit
import ctypes
import os
import re
import signal
import subprocess
import tempfile
import time

READY = re.compile(r"is ready: Kafka on (\S+), HTTP on (\S+), Postgres (?:on )?(\S+), data in")
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def die_with_parent():
    """For `preexec_fn`: a child never outlives the script that started it."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def binary():
    path = os.environ.get("QUIRE")
    if not path:
        raise SystemExit("QUIRE is not set: the path of the binary under test")
    return os.path.realpath(path)


def extension():
    """libquire.so of the same build."""
    path = os.environ.get("QUIRE_EXTENSION") or os.path.join(os.path.dirname(binary()), "libquire.so")
    if not os.path.exists(path):
        raise SystemExit(f"there is no {path}: tools/extension makes it")
    return os.path.realpath(path)


class NodeFailed(Exception):
    pass


class Node:
    """One node; `with Node(data) as node` stops it with SIGTERM and fails unless that exits 0."""

    def __init__(self, data, *options, listen="127.0.0.1:0", env=None, log=None, command=None):
        self.command = command or [binary(), "serve"]
        self.data, self.options, self.listen = str(data), options, listen
        self.env = {"QUIRE_POSTGRES": "127.0.0.1:0", **os.environ, **(env or {})}
        self.log = log or tempfile.mktemp(prefix="quire-node-", suffix=".log")
        self.process = None
        self.kafka = self.http = self.postgres = None
        atexit.register(self._leave)

    def start(self, seconds=60):
        """Returns when the node says that it is ready; `startup_seconds` is how long that took."""
        started = time.monotonic()
        with open(self.log, "ab") as log:
            begin = log.tell()
            self.process = subprocess.Popen(
                [*self.command, "--data-dir", self.data, "--listen", self.listen, "--http", "127.0.0.1:0", *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, preexec_fn=die_with_parent)
        while time.monotonic() - started < seconds:
            match = READY.search(self.log_text(begin))
            if match:
                self.startup_seconds = time.monotonic() - started
                self.kafka, self.http, self.postgres = match[1], match[2], match[3]
                return self
            if self.process.poll() is not None:
                raise NodeFailed(f"exit {self.process.returncode} at start:\n{self.log_text(begin)[-3000:]}")
            time.sleep(0.005)
        self.kill()
        raise NodeFailed(f"not ready within {seconds} s:\n{self.log_text(begin)[-3000:]}")

    def stop(self, seconds=30):
        """SIGTERM, as an operator would; returns the exit status."""
        if self.process is None:
            return None
        process, self.process = self.process, None
        process.terminate()
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise NodeFailed(f"still running {seconds} s after SIGTERM:\n{self.log_text()[-3000:]}") from None

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def log_text(self, begin=0):
        with open(self.log, "rb") as log:
            log.seek(begin)
            return log.read().decode(errors="replace")

    def _leave(self):
        self.kill()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if self.process and self.process.poll() is not None:
            raise NodeFailed(f"the node ended by itself, status {self.process.returncode}:\n{self.log_text()[-3000:]}")
        status = self.stop()
        if status != 0 and kind is None:
            raise NodeFailed(f"exit {status} after SIGTERM:\n{self.log_text()[-3000:]}")


def peak_of(process):
    """Waits for a process and returns the most memory that it had, in bytes, as far as looks every few milliseconds show.

    `ru_maxrss` would not do: it begins with what the parent had when it forked."""
    peak = 0
    while process.poll() is None:
        try:
            with open(f"/proc/{process.pid}/status") as status:
                peak = max([peak, *(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))])
        except OSError:
            pass
        time.sleep(0.005)
    return peak


def run(*arguments, stdin=None, seconds=120):
    """`quire ARGUMENTS`; returns the finished process with text stdout and stderr."""
    return subprocess.run([binary(), *arguments], input=stdin, capture_output=True, text=True, timeout=seconds)
