"""What the tests of the server share: a server of the built program on a free port, and raw requests to it."""
import contextlib
import http.client
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

ROOT = pathlib.Path(os.environ.get("HEARTH_SOURCE") or pathlib.Path(__file__).parents[2])
HEARTH = os.environ.get("HEARTH_BIN") or str(ROOT / "build" / "hearth")
BARD = ROOT / "models" / "bard" / "bard-q8_0.gguf"
SHARED = os.environ.get("HEARTH_SHARED") or ""
NIGHTLY = os.environ.get("HEARTH_TEST_SIZE") == "nightly"

needs_bard = pytest.mark.skipif(not BARD.exists(), reason="models/bard/bard-q8_0.gguf is not here")


class Answer:
    """A whole answer. json() of the body, events() of a stream of server-sent events."""

    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    def json(self):
        return json.loads(self.body)

    def error(self):
        return self.json()["error"]

    def events(self):
        out = []
        for block in self.body.decode().split("\n\n"):
            data = [line[6:] for line in block.split("\n") if line.startswith("data: ")]
            if data and data[0] != "[DONE]":
                out.append(json.loads(data[0]))
        return out


class Server:
    def __init__(self, home, *args, env=None):
        self.home = pathlib.Path(home)
        self.home.mkdir(parents=True, exist_ok=True)
        listen = [] if "--listen" in args else ["--listen", "127.0.0.1:0"]
        self.env = {**os.environ, "HEARTH_HOME": str(self.home), "HEARTH_THREADS": "1", **(env or {})}
        self.log = open(self.home / "log", "wb+")
        self.child = subprocess.Popen([HEARTH, "serve", *listen, *map(str, args)], stdin=subprocess.DEVNULL,
                                      stdout=self.log, stderr=self.log, env=self.env)
        self.host, self.port = "127.0.0.1", None

    def text(self):
        return (self.home / "log").read_text(errors="replace")

    def wait_listening(self):
        while "listening on" not in self.text():
            assert self.child.poll() is None, self.text()
            time.sleep(0.01)
        line = next(l for l in self.text().split("\n") if l.startswith("listening on"))
        self.port = int(line.rsplit(":", 1)[1])
        return self

    def wait_ready(self):
        self.wait_listening()
        while self.get("/health").status != 200:
            assert self.child.poll() is None, self.text()
            time.sleep(0.01)
        return self

    def connect(self):
        return http.client.HTTPConnection(self.host, self.port, timeout=120)

    def open(self, method, path, body=None, headers=None):
        """A connection and its response, of which the body is still to be read."""
        c = self.connect()
        data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
        c.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
        return c, c.getresponse()

    def ask(self, method, path, body=None, headers=None):
        c, response = self.open(method, path, body, headers)
        with contextlib.closing(c):
            return Answer(response)

    def get(self, path, **headers):
        return self.ask("GET", path, headers=headers)

    def post(self, path, body, **headers):
        return self.ask("POST", path, body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def chat(self, text="To be", **more):
        return self.post("/v1/chat/completions", {"messages": [{"role": "user", "content": text}], **more})

    def metric(self, name):
        for line in self.get("/metrics").body.decode().split("\n"):
            if line.startswith(f"hearth_{name} "):
                return float(line.split()[1])
        raise KeyError(name)

    def wait_metric(self, name, test):
        while not test(self.metric(name)):
            assert self.child.poll() is None, self.text()
            time.sleep(0.01)

    def command(self, *args):
        done = subprocess.run([HEARTH, *map(str, args)], capture_output=True, env=self.env, check=False,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def stop(self, sig=signal.SIGTERM):
        if self.child.poll() is None:
            self.child.send_signal(sig)
        code = self.child.wait(timeout=120)
        self.log.close()
        return code


@contextlib.contextmanager
def serving(home, *args, **kw):
    s = Server(home, *args, **kw)
    try:
        yield s.wait_ready()
    finally:
        if s.child.poll() is None:
            s.child.send_signal(signal.SIGTERM)
            try:
                s.child.wait(timeout=60)
            except subprocess.TimeoutExpired:
                s.child.kill()
                s.child.wait()
                raise
