"""A server of the built program with a folder of its own, and what its clients see: for bench/serving.py."""
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

WORDS = ("the of and to in is that it was for on with as his they be at one have this from or had by hot but some what "
         "there we can out other were all your when up use word how said an each she which their time if will way about "
         "many then them would write like so these her long make thing see him two has look more day could go come did "
         "my sound no most number who over know water than call first people may down side been now find").split()


def words(n, seed):
    """n words, others for every seed."""
    x, out = seed * 2654435761 % 2**32 or 1, []
    for _ in range(n):
        x = (x * 1664525 + 1013904223) % 2**32
        out.append(WORDS[(x >> 16) % len(WORDS)])
    return " ".join(out)


def quantile(xs, q):
    xs = sorted(xs)
    return xs[min(len(xs) - 1, int(q * len(xs)))] if xs else float("nan")


class Answer:
    """What one client saw of one stream. Times in seconds since it was asked."""

    def __init__(self):
        self.status, self.text, self.usage, self.at, self.error = 0, "", {}, [], None

    first = property(lambda self: self.at[0] if self.at else float("nan"))
    gaps = property(lambda self: [b - a for a, b in zip(self.at, self.at[1:])])
    cached = property(lambda self: (self.usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0))


class House:
    """One `hearth serve`, and `n` owners with a key each."""

    def __init__(self, hearth, model, *args, n_owners=0, home=None):
        self.hearth, self.model = hearth, model
        self.own = None if home else tempfile.TemporaryDirectory()
        self.home = pathlib.Path(home or self.own.name)
        self.env = {**os.environ, "HEARTH_HOME": str(self.home)}
        self.keys = [json.loads(self.run("key", "create", f"owner{i}", "--json"))["key"] for i in range(n_owners)]
        self.start(*args)

    def run(self, *args):
        return subprocess.run([self.hearth, *map(str, args)], env=self.env, check=True, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL).stdout

    def start(self, *args):
        self.args = args
        with open(self.home / "log", "wb") as log:
            self.child = subprocess.Popen(
                [self.hearth, "serve", "--model", str(self.model), "--listen", "127.0.0.1:0", *map(str, args)],
                env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.port = None
        while True:
            text = (self.home / "log").read_text(errors="replace")
            if self.child.poll() is not None:
                raise RuntimeError("the server ended: " + text)
            line = next((l for l in text.split("\n") if l.startswith("listening on")), None)
            if line:
                self.port = int(line.rsplit(":", 1)[1])
                with contextlib.suppress(OSError):
                    if self.get("/health")[0] == 200:
                        return
            time.sleep(0.02)

    def stop(self, sig=signal.SIGTERM):
        if self.child.poll() is None:
            self.child.send_signal(sig)
        self.child.wait(timeout=60)

    def close(self):
        self.stop()
        if self.own:
            self.own.cleanup()

    __enter__ = lambda self: self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        if self.own:
            self.own.cleanup()

    # ---- asking ----

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)

    def get(self, path):
        with contextlib.closing(self.connect()) as c:
            c.request("GET", path)
            r = c.getresponse()
            return r.status, r.read().decode()

    def metric(self, name):
        for line in self.get("/metrics")[1].split("\n"):
            if line.startswith((f"hearth_{name} ", f"hearth_{name}{{")):
                return float(line.rsplit(" ", 1)[1])
        raise KeyError(name)

    def settled(self):
        while self.metric("calls") or self.metric("ledger_live"):
            time.sleep(0.01)

    def request(self, prompt, tokens, owner=None, **more):
        head = {"Content-Type": "application/json"}
        if owner is not None:
            head["Authorization"] = "Bearer " + self.keys[owner]
        body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True, "stream": True, **more}
        if body["stream"]:
            body["stream_options"] = {"include_usage": True}
        return json.dumps(body), head

    def ask(self, prompt, tokens, owner=None, stop=None, **more):
        """A streamed completion, read to its end or until stop() is true."""
        a = Answer()
        try:
            with contextlib.closing(self.connect()) as c:
                began = time.monotonic()
                c.request("POST", "/v1/completions", *self.request(prompt, tokens, owner, **more))
                r = c.getresponse()
                a.status = r.status
                for line in r:
                    if not line.startswith(b"data: {"):
                        continue
                    event = json.loads(line[6:])
                    a.usage = event.get("usage") or a.usage
                    if event.get("choices"):
                        a.text += event["choices"][0]["text"]
                        a.at.append(time.monotonic() - began)
                    if stop and stop():
                        break
        except (OSError, http.client.HTTPException, ValueError) as e:
            a.error = e
        return a

    def raw(self, prompt, tokens, owner=None, **more):
        """The socket of a request that was sent; whatever becomes of it is the caller's."""
        body, head = self.request(prompt, tokens, owner, **more)
        lines = "".join(f"{k}: {v}\r\n" for k, v in head.items())
        s = socket.create_connection(("127.0.0.1", self.port))
        s.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
                  .encode() + body.encode())
        return s

    # ---- looking at the process ----

    def memory(self):
        """Resident bytes."""
        for line in open(f"/proc/{self.child.pid}/status"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise KeyError("VmRSS")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))


def leave(s, how):
    """Ends a connection as clients do: by FIN, by RST, or by half, which counts as gone."""
    if how == "reset":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how == "half":
        s.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            while s.recv(65536):
                pass
    s.close()


def together(n, work):
    """work(i) on n threads; their results in order."""
    out = [None] * n

    def one(i):
        out[i] = work(i)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return out
