"""What the tests over the wire share: the small server of prog_server.c as a process, and a raw client."""
import json
import os
import pathlib
import resource
import signal
import socket
import struct
import subprocess
import time

BUILD = pathlib.Path(os.environ.get("HEARTH_BUILD") or pathlib.Path(__file__).parents[2] / "build")
PROGRAM = BUILD / "tests" / "net_server"
SANITIZE = os.environ.get("HEARTH_SANITIZE") or ""


class Server:
    """with Server("--max", "5") as s: s.get("/hello")"""

    def __init__(self, *args, addresses=("127.0.0.1:0",), descriptors=None):
        def limit():
            if descriptors:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        self.child = subprocess.Popen([PROGRAM, *map(str, args), *addresses], stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True, preexec_fn=limit)
        self.addresses, self.fingerprint = [], None
        for line in self.child.stdout:
            word, _, rest = line.strip().partition(" ")
            if word == "listening":
                self.addresses.append(rest)
            if word == "tls":
                self.fingerprint = rest
            if word == "ready":
                break
        else:
            raise AssertionError(self.child.communicate()[1])
        tcp = [a for a in self.addresses if not a.startswith("unix:")]
        self.port = int(tcp[0].rsplit(":", 1)[1]) if tcp else None
        self.idle = self.descriptors()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        out, errors = self.stop()
        if kind is None:
            assert self.child.returncode == 0, errors
            assert "anitizer" not in errors, errors

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            return self.child.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.communicate()
            raise AssertionError("the server did not stop")

    def dial(self, timeout=20):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def ask(self, data):
        """Sends bytes and gives everything that comes until the end."""
        with self.dial() as s:
            s.sendall(data)
            return rest(s)

    def get(self, path):
        with self.dial() as s:
            s.sendall(request(path))
            return Answer(s)

    def stats(self):
        return json.loads(self.get("/stats").body)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))

    def has_no_clients(self):
        """Every descriptor that a client took is back."""
        return self.descriptors() == self.idle

    def resident(self):
        """Bytes of memory that are the process's own."""
        for line in open(f"/proc/{self.child.pid}/status"):
            if line.startswith("RssAnon"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no RssAnon")


def request(path, *fields, method="GET", body=b""):
    head = [f"{method} {path} HTTP/1.1", "Host: localhost", *fields]
    if body:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def rest(s):
    data = b""
    try:
        while piece := s.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


class Answer:
    """One whole answer read off a socket, no byte more."""

    def __init__(self, s, head_only=False):
        self.raw = b""
        while not self.raw.endswith(b"\r\n\r\n"):
            self.raw += self.need(s, 1)
        lines = self.raw.decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.fields = {k.lower(): v for k, v in (x.split(": ", 1) for x in lines[1:] if x)}
        self.body, self.chunks = b"", []
        if head_only or self.status in (100, 204, 304):
            return
        if self.fields.get("transfer-encoding") == "chunked":
            while True:
                line = b""
                while not line.endswith(b"\r\n"):
                    line += self.need(s, 1)
                piece = self.need(s, int(line, 16) + 2)[:-2]
                if not piece:
                    break
                self.chunks.append(piece)
            self.body = b"".join(self.chunks)
        elif "content-length" in self.fields:
            self.body = self.need(s, int(self.fields["content-length"]))
        else:
            self.body = rest(s)

    @staticmethod
    def need(s, n):
        data = b""
        while len(data) < n:
            piece = s.recv(n - len(data))
            if not piece:
                raise EOFError(data)
            data += piece
        return data


def reset(s):
    """Ends a connection with an RST."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def until(what, timeout=60):
    """Waits until what() is true."""
    end = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)
