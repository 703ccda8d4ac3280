"""A program on a pseudo terminal of its own, as a person has it: keys go in, the screen comes out."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>()][0-9A-B]?|\r|\x07|\x0f")
# A slow, busy machine has as long as this for whatever is waited for.
PATIENCE = 30


class Terminal:
    def __init__(self, command, env=None, rows=40, columns=120):
        self.seen = ""
        self.raw = b""
        self.status = None
        self.process, self.master = pty.fork()
        if self.process == 0:
            os.execvpe(command[0], command, {**os.environ, "TERM": "xterm", "LANG": "C.UTF-8", **(env or {})})
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.status is None:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        os.close(self.master)

    def type(self, keys):
        os.write(self.master, keys.encode())

    def line(self, text):
        self.type(text + "\n")

    def _read(self, seconds):
        if not select.select([self.master], [], [], seconds)[0]:
            return True
        try:
            more = os.read(self.master, 65536)
        except OSError:
            more = b""
        self.raw += more
        self.seen = CONTROL.sub("", self.raw.decode(errors="replace"))
        return bool(more)

    def expect(self, pattern, seconds=PATIENCE):
        """Waits until the screen has it; what is up to its end counts as read, and is returned."""
        deadline = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self.seen)
            if match:
                taken, self.seen = self.seen[:match.end()], self.seen[match.end():]
                self.raw = self.seen.encode()
                return taken
            if time.monotonic() > deadline or not self._read(0.2):
                raise AssertionError(f"no {pattern!r} in {self.seen[-2000:]!r}")

    def expect_pressing(self, key, pattern, seconds=PATIENCE):
        """As `expect`, with a key that is pressed again where nobody saw it."""
        deadline = time.monotonic() + seconds
        while True:
            self.type(key)
            try:
                return self.expect(pattern, 1)
            except AssertionError:
                if time.monotonic() > deadline:
                    raise

    def prompt(self):
        return self.expect(r"quire> $")

    def ask(self, text):
        """Types a line and returns what is shown up to the next prompt."""
        self.line(text)
        return self.expect(r"\nquire> $")

    def wait(self, seconds=PATIENCE):
        """The exit status."""
        deadline = time.monotonic() + seconds
        while self.status is None:
            self._read(0.1)
            process, status = os.waitpid(self.process, os.WNOHANG)
            if process:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                raise AssertionError(f"still running; on the screen: {self.seen[-2000:]!r}")
        return self.status
