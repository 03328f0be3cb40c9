"""A server that does wrong on purpose: a function answers each request with raw bytes.

    def answer(request, wire):
        wire.send(200, b"hello")            # or wire.raw(b"HTTP/1.1 ..."), wire.reset(), time.sleep
    with ScriptServer(answer) as s:
        ... s.url("/path"), s.requests
"""
import socket
import ssl
import struct
import threading


class Request:
    def __init__(self, method, target, fields, body):
        self.method, self.target, self.fields, self.body = method, target, fields, body
        self.path = target.partition("?")[0]

    def range(self):
        """(first, last or None) of the request's Range, or None."""
        text = self.fields.get("range")
        if not text:
            return None
        first, _, last = text.removeprefix("bytes=").partition("-")
        return int(first), int(last) if last else None


class Gone(Exception):
    """The client left, or the script ended the connection."""


class Wire:
    def __init__(self, sock):
        self.sock = sock

    def raw(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            raise Gone from None

    def head(self, status, **fields):
        lines = [f"HTTP/1.1 {status} X"] + [f"{k.replace('_', '-')}: {v}" for k, v in fields.items()]
        self.raw("\r\n".join(lines).encode() + b"\r\n\r\n")

    def send(self, status, body=b"", **fields):
        self.head(status, **{"Content_Length": len(body), **fields})
        self.raw(body)

    def close(self):
        raise Gone

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone


class ScriptServer:
    def __init__(self, answer, host="127.0.0.1", cert=None):
        self.answer, self.host, self.requests = answer, host, []
        self.context = None
        if cert:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*cert)
        self.listener = socket.create_server((host, 0))
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.ended = False

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.ended = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def url(self, path="/", host=None):
        return f"http{'s' if self.context else ''}://{host or self.host}:{self.port}{path}"

    def accept(self):
        while not self.ended:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context:
                sock = self.context.wrap_socket(sock, server_side=True)
            with sock.makefile("rb") as f:
                while request := self.read(f):
                    with self.lock:
                        self.requests.append(request)
                    self.answer(request, Wire(sock))
        except (OSError, Gone):
            pass
        finally:
            try:
                sock.close()
            except OSError:
                pass

    @staticmethod
    def read(f):
        line = f.readline().decode("latin-1")
        if not line.strip():
            return None
        method, target, _ = line.split(" ", 2)
        fields = {}
        while (line := f.readline().decode("latin-1").strip()):
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        return Request(method, target, fields, f.read(int(fields.get("content-length", 0))))
