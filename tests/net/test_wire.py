"""The HTTP server over the wire: what it reads as one request, what it refuses, how long it waits, and what
happens when there are too many clients or they leave."""
import contextlib
import json
import os
import pathlib
import re
import select
import socket
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from net_server import SANITIZE, Answer, Server, request, reset, rest, until  # noqa: E402

NIGHTLY = os.environ.get("HEARTH_TEST_SIZE") == "nightly"


@pytest.fixture(scope="module")
def server():
    with Server("--body-max", 200000) as s:
        yield s


# ---- what one request is ----------------------------------------------------------------------------------

POST = b"POST /e HTTP/1.1\r\nHost: h\r\n"
SMUGGLING = {
    "two lengths": (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    "one length twice": (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    "a list of lengths": (POST + b"Content-Length: 5, 5\r\n\r\nhello", 400),
    "a signed length": (POST + b"Content-Length: +5\r\n\r\nhello", 400),
    "a length and chunks": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunks and a length": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    "two codings": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "a coding twice": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "a coding in disguise": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    "space before a colon": (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    "a folded field": (POST + b"X: a\r\n Content-Length: 5\r\n\r\nhello", 400),
    "a bare LF": (b"GET / HTTP/1.1\nHost: h\n\n", 400),
    "a bare CR": (POST + b"X: a\rContent-Length: 5\r\n\r\nhello", 400),
    "a NUL": (POST + b"X: a\0b\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "another host in the target": (b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a chunk too long": (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n", 400),
    "a chunk without CR": (POST + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", 400),
    "a hexadecimal prefix": (POST + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", 400),
    "a negative chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n", 400),
    "a chunk of 2^64": (POST + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\nx", 400),
    "a trailer": (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "no HTTP": (b"hello there\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400),
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_smuggling(server, name):
    """One refusal, and the connection ends: the request behind it is never served."""
    data, status = SMUGGLING[name]
    seen = server.stats()["requests"]
    answer = server.ask(data + request("/hello"))
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert answer.count(b"\r\nDate: ") == 1 and b"\r\nConnection: close\r\n" in answer
    assert server.stats()["requests"] == seen + 1  # the second look itself


def test_limits(server):
    def status(data):
        return int(server.ask(data).split()[1])

    end = b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    assert status(b"GET /" + b"a" * 8191 + end) == 200
    assert status(b"GET /" + b"a" * 8192 + end) == 414
    assert status(request("/", *[f"F{i}: x" for i in range(98)], "Connection: close")) == 200
    assert status(request("/", *[f"F{i}: x" for i in range(100)])) == 431
    assert status(request("/", "X: " + "x" * 65000, "Connection: close")) == 200
    assert status(request("/", "X: " + "x" * 66000)) == 431
    assert status(request("/", "Connection: close", method="POST", body=b"x" * 200000)) == 200
    assert status(request("/", method="POST", body=b"x" * 200001)) == 413
    assert status(request("/", "Content-Length: 99999999999999999999")) == 413
    chunked = request("/", "Transfer-Encoding: chunked") + b"30d40\r\n" + b"x" * 200000 + b"\r\n"
    assert status(chunked + b"0\r\n\r\n") == 200
    assert status(chunked + b"1\r\nx\r\n0\r\n\r\n") == 413


@pytest.mark.skipif(bool(SANITIZE), reason="a sanitizer has its own memory")
def test_a_large_header_takes_no_memory(server):
    before = server.resident()
    with server.dial() as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nX: ")
        try:
            for _ in range(200):
                s.sendall(b"x" * 65536)
        except OSError:
            pass  # it was cut off
    assert server.resident() - before < 2 << 20


WHOLE = [
    request("/a%20b?q=x+y", "X-Test: one"),
    request("/e", "X-Test:\t two ", "Content-Type: text/plain", method="POST", body=b"hello"),
    POST + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    request("/hello") + request("/e", method="PUT", body=b"2") + request("/none") + request("/hello"),
    POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HEAD /hello HTTP/1.0\r\n\r\n",
]


@pytest.mark.parametrize("n", range(len(WHOLE)))
def test_split_at_every_byte(server, n):
    """The answer is the same wherever a request is cut in two, and when it comes byte by byte."""
    data = WHOLE[n]

    def ask(*pieces):
        with server.dial() as s:
            for i, piece in enumerate(pieces):
                if i:
                    time.sleep(0.001)
                try:
                    s.sendall(piece)
                except OSError:
                    break  # refused before its end
            try:
                answers = [Answer(s, head_only=data.startswith(b"HEAD")) for _ in range(max(1, data.count(b" /")))]
            except EOFError as e:
                raise AssertionError(e) from e
            return [(a.status, re.sub(b"Date: [^\r]*", b"", a.raw), a.body) for a in answers]

    whole = ask(data)
    for cut in range(1, len(data)):
        assert ask(data[:cut], data[cut:]) == whole, cut
    assert ask(*[data[i:i + 1] for i in range(len(data))]) == whole


# ---- answers ----------------------------------------------------------------------------------------------

def test_keep_alive_and_pipelining(server):
    with server.dial() as s:
        s.sendall(request("/stream?n=3&size=5&ms=5") + request("/hello") + request("/hello", method="HEAD") +
                  request("/e", method="POST", body=b"x" * 100000) + request("/none") + request("/big?n=100000"))
        a = Answer(s)
        assert (a.status, a.chunks) == (200, [b"aaaaa", b"bbbbb", b"ccccc"])
        assert a.fields["content-type"] == "text/event-stream"
        assert Answer(s).body == b"hello\n"
        assert Answer(s, head_only=True).fields["content-length"] == "6"
        assert json.loads(Answer(s).body)["body"] == "x" * 100000
        a = Answer(s)
        assert a.status == 204 and "content-length" not in a.fields
        assert len(Answer(s).body) == 100000
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", a.fields["date"])


def test_connection_ends(server):
    assert server.ask(b"GET /hello HTTP/1.0\r\n\r\n").endswith(b"Connection: close\r\n\r\nhello\n")
    assert server.ask(request("/hello", "Connection: close") + request("/hello")).count(b"hello\n") == 1
    chunked = request("/e", "Transfer-Encoding: chunked") + b"2\r\nhi\r\n0\r\n\r\n"
    answer = server.ask(chunked + request("/hello"))  # closes after a chunked request
    assert answer.count(b"HTTP/1.1") == 1 and b"Connection: close" in answer and b'"body":"hi"' in answer
    stream = server.ask(b"GET /stream?n=3&size=2 HTTP/1.0\r\n\r\n")
    assert stream.endswith(b"\r\n\r\naabbcc") and b"chunked" not in stream
    with server.dial() as s:
        s.sendall(b"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert Answer(s).fields["connection"] == "keep-alive"
        s.sendall(request("/hello"))
        assert Answer(s).body == b"hello\n"
    with server.dial() as s:  # a client that is done speaking still gets what the handler said at once
        s.sendall(request("/hello"))
        s.shutdown(socket.SHUT_WR)
        assert rest(s).endswith(b"hello\n")


def test_expect(server):
    with server.dial() as s:
        s.sendall(request("/e", "Expect: 100-continue", "Content-Length: 2"))
        assert Answer(s).status == 100
        s.sendall(b"hi")
        assert json.loads(Answer(s).body)["body"] == "hi"
    with server.dial() as s:  # refused before the body is sent
        s.sendall(request("/e", "Expect: 100-continue", "Content-Length: 200001"))
        assert Answer(s).status == 413
        assert rest(s) == b""
    with server.dial() as s:  # no waiting: no interim answer
        s.sendall(request("/e", "Expect: 100-continue", "Content-Length: 2") + b"hi")
        assert Answer(s).status == 200
    assert b" 417 " in server.ask(request("/e", "Expect: tea"))


def test_a_refused_upload_hears_why(server):
    """The client is still sending when the answer comes; a reset must not overtake it."""
    for _ in range(5):
        with server.dial() as s:
            s.sendall(request("/e", "Content-Length: 3000000"))
            try:
                for _ in range(30):
                    s.sendall(b"x" * 100000)
            except OSError:
                pass
            assert rest(s).startswith(b"HTTP/1.1 413 ")


# ---- time -------------------------------------------------------------------------------------------------

# ---- bodies that stream -----------------------------------------------------------------------------------


def digest(data):
    total = 0
    for byte in data:
        total = (total * 31 + byte) % 2**64
    return f"{len(data)} {total} end "


def chunked(pieces):
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


CHUNKED = ("Transfer-Encoding: chunked",)


@pytest.mark.parametrize("n", [1, 1000, 200_001, 700_000])
def test_a_body_streams(server, n):
    """Larger than --body-max too; the next request on the connection is the next one."""
    body = bytes(i % 251 for i in range(n))
    with server.dial() as s:
        for _ in range(2):
            s.sendall(request("/take?ms=1", method="POST", body=body) + request("/hello"))
            assert Answer(s).body.decode() == digest(body)
            assert Answer(s).body == b"hello\n"
        s.sendall(request("/take", method="POST"))  # no body at all
        assert Answer(s).body.decode() == digest(b"")
    pieces = [body[i:i + 7919] for i in range(0, n, 7919)]
    a = server.ask(request("/take", *CHUNKED, method="POST") + chunked(pieces))
    assert a.endswith(digest(body).encode()) and b"\r\nConnection: close" in a


def test_a_streaming_body_at_every_byte(server):
    """However it is cut into packets."""
    data = request("/take", *CHUNKED, method="POST") + chunked([b"hello", b"there!"])
    for i in range(1, len(data)) if NIGHTLY else range(1, len(data), 7):
        with server.dial() as s:
            s.sendall(data[:i])
            time.sleep(0.002)
            s.sendall(data[i:])
            assert Answer(s).body.decode() == digest(b"hellothere!")


def test_leave_comes_from_who_takes_the_body(server):
    """"Expect: 100-continue" is answered when the body is wanted, and not where it is refused."""
    for path, want in (("/take?ms=20", 100), ("/no", 403)):
        with server.dial() as s:
            s.sendall(request(path, "Expect: 100-continue", "Content-Length: 5", method="POST"))
            a = Answer(s)
            assert a.status == want
            if want == 100:
                s.sendall(b"hello")
                assert Answer(s).body.decode() == digest(b"hello")
            else:
                assert a.fields["connection"] == "close"


def test_a_streaming_body_refused(server):
    """An answer that does not wait for the body reaches a client that goes on sending for a while."""
    for path, want in (("/no", b"HTTP/1.1 403"), ("/take?most=1", b"HTTP/1.1 200")):
        with server.dial() as s:
            s.sendall(request(path, "Content-Length: 50000000", method="POST") + bytes(300_000))
            assert rest(s).startswith(want)
    until(server.has_no_clients)


def test_a_streaming_body_that_lies(server):
    for tail in (b"5\nhello", b"5\r\nhelloX", b"x\r\n", b"0\r\nA: b\r\n\r\n"):
        a = server.ask(request("/take", *CHUNKED, method="POST") + b"3\r\nabc\r\n" + tail + request("/hello"))
        assert a.startswith(b"HTTP/1.1 400") and a.count(b"HTTP/1.1") == 1 and b" broken " in a, a


@pytest.mark.parametrize("end", ["close", "reset", "half"])
def test_a_streaming_body_cut_short(server, end):
    before = server.stats()
    with server.dial() as s:
        s.sendall(request("/take", "Content-Length: 1000", method="POST") + b"x" * 500)
        if end == "reset":
            reset(s)
        elif end == "half":
            s.shutdown(socket.SHUT_WR)
            assert rest(s) == b""
    until(lambda: server.stats()["cut"] == before["cut"] + 1)
    assert server.stats()["gone"] == before["gone"] + 1
    until(server.has_no_clients)


def test_a_streaming_body_that_stops():
    with Server("--body-ms", "100") as server, server.dial() as s:
        s.sendall(request("/take", "Content-Length: 1000", method="POST") + b"x" * 500)
        a = Answer(s)
        assert a.status == 400 and b"in time" in a.body and a.fields["connection"] == "close"
        # while nobody takes it, it is not the client that is late
        with server.dial() as s2:
            body = bytes(2_000_000)
            sender = threading.Thread(target=s2.sendall, args=(request("/take?ms=300", method="POST", body=body),))
            sender.start()
            assert Answer(s2).body.decode().startswith("2000000 0 end")
            sender.join()


def test_memory_of_a_streaming_body(server):
    """A body of any length takes the window and no more, while its taker is slow."""
    before, n = server.resident(), 24 << 20
    with server.dial() as s:
        s.sendall(request("/take?ms=2", f"Content-Length: {n}", method="POST"))
        most = 0
        for _ in range(n >> 20):
            s.sendall(bytes(1 << 20))
            most = max(most, server.resident())
        assert Answer(s).body.decode() == f"{n} 0 end "
    assert most - before < 4 << 20, (before, most)


def test_deadlines():
    with Server("--header-ms", 200, "--body-ms", 200, "--idle-ms", 200) as server:
        slow, body, idle, silent = (server.dial() for _ in range(4))
        slow.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n")
        body.sendall(request("/e", "Content-Length: 5") + b"he")
        idle.sendall(request("/hello"))
        assert Answer(idle).status == 200
        try:
            while True:  # one field after the other does not move an absolute deadline
                slow.sendall(b"X: y\r\n")
                time.sleep(0.02)
        except OSError:
            pass
        assert b"HTTP/1.1 408 " in rest(body)
        assert rest(idle) == b"" and rest(silent) == b""
        with server.dial() as s:
            s.sendall(request("/hello") + b"GET")
            assert Answer(s).status == 200
            assert rest(s).startswith(b"HTTP/1.1 408 ")
        with server.dial() as s:  # a body in small pieces takes as long as it takes
            s.sendall(request("/e", "Content-Length: 8"))
            for _ in range(8):
                time.sleep(0.05)
                s.sendall(b"x")
            assert Answer(s).status == 200
        for s in (slow, body, idle, silent):
            s.close()
        until(lambda: server.stats()["connections"] == 1)


def test_slow_bodies_hold_nobody_up():
    """Where bodies are too many at a time, those that have been coming for longest make room."""
    with Server("--bodies-max", 300_000, "--body-ms", 1000) as server:
        slow, over = [server.dial() for _ in range(3)], threading.Event()
        for s in slow:
            s.sendall(request("/e", "Content-Length: 200000") + b"x" * 90_000)

        def drip():
            while not over.wait(0.1):
                for s in slow:
                    with contextlib.suppress(OSError):
                        s.sendall(b"x")

        dripping = threading.Thread(target=drip)
        dripping.start()
        heard = b""
        while not heard.startswith(b"HTTP/1.1 200 "):
            heard = server.ask(request("/e", "Content-Length: 100000", "Connection: close") + b"y" * 100_000)
            assert heard[:13] in (b"HTTP/1.1 200 ", b"HTTP/1.1 503 ")  # at first nobody is slow yet
        over.set()
        dripping.join()
        assert select.select(slow, [], [], 60)[0]  # who made room is told, or gone
        for s in slow:
            s.close()
        until(server.has_no_clients)


def test_slow_headers_hold_nobody_up():
    """Hundreds of clients that send a byte now and then, and others that are served meanwhile."""
    n = 1000 if NIGHTLY else 300
    with Server("--header-ms", 1500) as server:
        slow = [server.dial() for _ in range(n)]
        text = request("/hello", "X: " + "x" * 100)
        for step in range(4):
            for s in slow:
                try:
                    s.sendall(text[step:step + 1])
                except OSError:
                    pass
            for _ in range(10):
                assert server.get("/hello").status == 200
        assert all(rest(s).startswith(b"HTTP/1.1 408 ") for s in slow)
        for s in slow:
            s.close()
        until(server.has_no_clients)


def test_slow_reader():
    """A stream whose client does not read: the producer waits, nobody else notices, and in the end the client
    is dropped; one that floods is dropped at the cap."""
    with Server("--stall-ms", 500) as server:
        with server.dial() as s:
            s.sendall(request("/stream?n=1000&size=65536"))
            Answer.need(s, 100)
            assert server.get("/hello").status == 200
            assert SANITIZE or server.resident() < 64 << 20
            until(lambda: server.stats()["gone"] == 1)
        with server.dial() as s:
            s.sendall(request("/flood?n=100000&size=65536"))
            until(lambda: server.stats()["gone"] == 2)
        with server.dial() as s:  # slow, but it reads: everything arrives
            s.sendall(request("/stream?n=100&size=65536"))
            time.sleep(0.1)
            assert len(Answer(s).body) == 6553600
        until(lambda: server.stats()["exchanges"] == 1)
        stats = server.stats()
        assert stats["gone"] == 2 and stats["drained"] > 0 and stats["refused_writes"] == 2


# ---- many -------------------------------------------------------------------------------------------------

def test_too_many_connections():
    with Server("--max", 20) as server:
        held = [server.dial() for _ in range(20)]
        for s in held:
            s.sendall(request("/hello"))
            assert Answer(s).status == 200
        for _ in range(3):
            with server.dial() as s:
                s.sendall(request("/hello"))
                a = Answer(s)
                assert a.status == 503 and int(a.fields["retry-after"]) > 0 and a.fields["connection"] == "close"
        held[0].sendall(request("/hello"))  # those inside are served
        assert Answer(held[0]).status == 200
        for s in held:
            s.close()
        until(lambda: server.get("/hello").status == 200)
        assert server.stats()["refused"] >= 3


@pytest.mark.parametrize("most", [None, 100000])
def test_out_of_descriptors(most):
    """1,000 clients and 256 descriptors: each is accepted and gets an answer or a refusal, those inside are
    served meanwhile, and afterwards all is as before. With `most` the server believes that it has room, and
    descriptors really run out."""
    with Server(*(["--max", most] if most else []), descriptors=256) as server:
        clients, answers = [], []
        for _ in range(1000):
            s = server.dial()
            clients.append(s)
            try:
                s.sendall(request("/hello"))
                answers.append(Answer(s).status)
            except (EOFError, OSError):
                answers.append(0)  # cut off: refused with no room even for saying so
        assert answers[:150] == [200] * 150 and answers[-1] != 200
        served = answers.count(200)
        assert 150 <= served < 256 and answers.count(503) > (1000 - served) * 0.9, answers
        clients[0].sendall(request("/hello"))
        assert Answer(clients[0]).status == 200
        for s in clients:
            s.close()
        until(server.has_no_clients)
        stats = server.stats()
        assert stats["accepted"] == 1001 and stats["refused"] == 1000 - served
        errors = server.stop()[1]
        assert "out of file descriptors" in errors or not most


@pytest.mark.skipif(bool(SANITIZE), reason="a sanitizer has its own memory")
def test_memory_of_a_connection():
    """1,000 idle connections and 200 open streams cost at most 16 KB each."""
    with Server() as server:
        for _ in range(50):
            server.get("/hello")
        before = server.resident()
        clients = []
        for i in range(1200):
            s = server.dial()
            s.sendall(request("/hello" if i < 1000 else "/tick?ms=200", "Accept: */*", "User-Agent: test"))
            if i < 1000:
                assert Answer(s).status == 200
            clients.append(s)
        until(lambda: server.stats()["ticks"] > 1000)
        each = (server.resident() - before) / 1200
        print(f"\n{each:.0f} bytes for each of 1,000 idle connections and 200 streams")
        assert each <= 16384
        for s in clients:
            s.close()


# ---- clients that leave -----------------------------------------------------------------------------------

def leave(s, how):
    if how == 0:
        s.close()
    elif how == 1:
        reset(s)
    else:
        s.shutdown(socket.SHUT_WR)


def test_leaving():
    """Clients leave by FIN, RST and half-close: while they send, wait, stream, and stream what they do not
    read. Each is noticed once, and no descriptor stays."""
    rounds = 500 if NIGHTLY else 100
    with Server() as server:
        assert server.get("/hello").status == 200
        expect, kept = 0, []
        for i in range(rounds):
            s = server.dial()
            kind = i % 5
            if kind == 0:
                s.sendall(request("/e", "Content-Length: 10") + b"half")
            if kind == 1:
                s.sendall(request("/park"))
            if kind == 2:
                s.sendall(request("/tick?ms=5"))
                Answer.need(s, 50)
            if kind == 3:
                s.sendall(request("/stream?n=100000&size=20000"))
                Answer.need(s, 50)
            if kind == 4:
                s.sendall(request("/park") + request("/hello"))
            if kind:
                expect += 1
                if kind in (1, 4):
                    until(lambda: server.stats()["parked"] == 1)
            leave(s, i % 3)
            kept.append(s)
            if kind:
                until(lambda: server.stats()["gone"] == expect)
        until(server.has_no_clients)
        stats = server.stats()
        assert (stats["gone"], stats["exchanges"], stats["parked"]) == (expect, 1, 0)
        for s in kept:
            s.close()


def test_stop_drains():
    """A stream that ends in time is whole; one that does not is cut, and its owner hears of it."""
    server = Server("--drain-ms", 20000)
    idle, stream = server.dial(), server.dial()
    idle.sendall(request("/hello"))
    assert Answer(idle).status == 200
    stream.sendall(request("/stream?n=20&size=3&ms=20"))
    Answer.need(stream, 40)
    server.child.terminate()
    assert rest(idle) == b""
    assert rest(stream).endswith(b"\r\n0\r\n\r\n")
    assert "stopped gone=0" in server.stop()[0]

    server = Server("--drain-ms", 100)
    parked = server.dial()
    parked.sendall(request("/park"))
    until(lambda: server.stats()["parked"] == 1)
    server.child.terminate()
    assert rest(parked) == b""
    assert "stopped gone=1" in server.stop()[0]


# ---- addresses --------------------------------------------------------------------------------------------

def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_ipv6_and_names():
    with Server(addresses=("[::1]:0",)) as server:
        with socket.create_connection(("::1", server.port)) as s:
            s.sendall(request("/e"))
            seen = json.loads(Answer(s).body)
        assert server.addresses == [f"[::1]:{server.port}"] and seen["peer"] == "::1" and seen["local"]
        with Server(addresses=(f"127.0.0.1:{server.port}", "localhost:0")) as other:  # IPv6 alone was taken
            assert other.get("/hello").status == 200


def test_unix_socket(tmp_path):
    with Server(addresses=(f"unix:{tmp_path}/s",)) as server:
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(f"{tmp_path}/s")
            s.sendall(request("/e"))
            seen = json.loads(Answer(s).body)
        assert seen["peer"] == "unix" and seen["local"] and not seen["tls"]
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
        assert server.addresses == [f"unix:{tmp_path}/s"]
    assert not (tmp_path / "s").exists()


def test_taken(server):
    with pytest.raises(AssertionError) as told:
        Server(addresses=(server.addresses[0],))
    text = str(told.value)
    assert f"net_server (process {server.child.pid})" in text and "--listen" in text and text.count("\n") == 1


def test_curl(server, tmp_path):
    curl = ["curl", "-sS", "--max-time", "60"]
    if subprocess.run([*curl, "--version"], capture_output=True).returncode:
        pytest.skip("curl is not installed")
    url = f"http://127.0.0.1:{server.port}"
    (tmp_path / "body").write_bytes(b"z" * 150000)
    seen = subprocess.run([*curl, "-T", tmp_path / "body", url + "/p"], capture_output=True, check=True)
    assert len(json.loads(seen.stdout)["body"]) == 150000
    seen = subprocess.run([*curl, "-H", "Transfer-Encoding: chunked", "-T", tmp_path / "body", url + "/p"],
                          capture_output=True, check=True)
    assert len(json.loads(seen.stdout)["body"]) == 150000
    seen = subprocess.run([*curl, "-N", url + "/stream?n=5&size=2", url + "/hello"], capture_output=True, check=True)
    assert seen.stdout == b"aabbccddeehello\n"
