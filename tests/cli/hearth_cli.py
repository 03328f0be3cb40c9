"""What the tests of the command line share: running the program, and talking to it through a terminal."""
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import termios
import time

import pytest

ROOT = pathlib.Path(os.environ.get("HEARTH_SOURCE") or pathlib.Path(__file__).parents[2])
HEARTH = os.environ.get("HEARTH_BIN") or str(ROOT / "build" / "hearth")
BARD = ROOT / "models" / "bard" / "bard-q8_0.gguf"
SHARED = os.environ.get("HEARTH_SHARED") or ""

needs_bard = pytest.mark.skipif(not BARD.exists(), reason="models/bard/bard-q8_0.gguf is not here")
needs_shared = pytest.mark.skipif(not SHARED, reason="HEARTH_SHARED is not set")


def run(*args, stdin=None, env=None, timeout=300):
    """Runs hearth to its end; gives the finished process with bytes in stdout and stderr."""
    given = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
    return subprocess.run([HEARTH, *map(str, args)], capture_output=True, check=False, timeout=timeout,
                          env={**os.environ, "NO_COLOR": "", **(env or {})}, **given)


def ok(*args, **kw):
    done = run(*args, **kw)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def one_line(done):
    """The single line of a complaint."""
    text = done.stderr.decode()
    assert text.endswith("\n") and text.count("\n") == 1, text
    return text


class Terminal:
    """hearth on a terminal of its own. `text` is all that it has written, as bytes."""

    def __init__(self, *args, home, env=None, columns=80, stdout=None):
        self.text = b""
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, columns))
        full = {**os.environ, "HEARTH_HOME": str(home), "TERM": "xterm", "NO_COLOR": "", **(env or {})}

        def own_terminal():
            os.setsid()
            import fcntl
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.child = subprocess.Popen([HEARTH, *map(str, args)], stdin=slave, stdout=stdout or slave, stderr=slave,
                                      env=full, preexec_fn=own_terminal, close_fds=True)
        os.close(slave)

    def read(self, wait):
        ready, _, _ = select.select([self.master], [], [], wait)
        if not ready:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            data = b""
        self.text += data
        return bool(data)

    def expect(self, pattern, timeout=120):
        """Waits until the pattern has been written after what was expected before; gives the match."""
        if isinstance(pattern, str):
            pattern = pattern.encode()
        start = getattr(self, "seen", 0)
        end = time.monotonic() + timeout
        while True:
            found = re.compile(pattern, re.S).search(self.text, start)
            if found:
                self.seen = found.end()
                return found
            if time.monotonic() > end or (not self.read(1.0) and self.child.poll() is not None):
                while self.read(0.1):
                    pass
                found = re.compile(pattern, re.S).search(self.text, start)
                if found:
                    self.seen = found.end()
                    return found
                raise AssertionError(f"{pattern!r} did not come; after it: {self.text[start:]!r}")

    def prompt(self, timeout=120):
        return self.expect(r">>> ", timeout)

    def type(self, text):
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    def line(self, text):
        self.type(text + "\r")

    def interrupt(self):
        self.type("\x03")

    def end(self, timeout=60):
        """Waits for the process's end; gives its exit code."""
        stop = time.monotonic() + timeout
        while self.child.poll() is None and time.monotonic() < stop:
            self.read(0.1)
        while self.read(0.05):
            pass
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGKILL)
            raise AssertionError(f"hearth did not end: {self.text!r}")
        os.close(self.master)
        return self.child.wait()


def plain(data):
    """Terminal output without escape sequences and carriage returns."""
    text = data.decode(errors="replace") if isinstance(data, bytes) else data
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")
