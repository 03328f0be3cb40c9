"""POST /api/blobs: files of any length go to the disk as they come; what is not whole, or not what the address says,
leaves nothing."""
import hashlib
import http.client
import json
import os
import random
import signal
import socket
import time

import pytest

import hearth_api

MB = 1 << 20
BIG = 70 * MB  # a request that is held in memory may have 64 MB
PIECE = random.Random(5).randbytes(MB)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with hearth_api.serving(tmp_path_factory.mktemp("home"), "--drain", "1") as s:
        yield s


def pieces(size, first=b""):
    """So many bytes, in pieces; the same each time for the same beginning."""
    yield first
    for at in range(len(first), size, MB):
        yield PIECE[:min(MB, size - at)]


def digest_of(parts):
    h = hashlib.sha256()
    for p in parts:
        h.update(p)
    return "sha256:" + h.hexdigest()


def upload(server, digest, parts, size=None):
    """As httpx sends a file (size given) or a generator (chunked). The answer."""
    c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    headers = {"Content-Length": str(size)} if size is not None else {}
    c.request("POST", f"/api/blobs/{digest}", parts, headers, encode_chunked=size is None)
    a = hearth_api.Answer(c.getresponse())
    c.close()
    return a


def files(server, folder):
    root = server.home / "models" / folder
    return sorted(p.name for p in root.iterdir()) if root.exists() else []


def until(what):
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def resident(server):
    for line in open(f"/proc/{server.child.pid}/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024


@pytest.mark.parametrize("sized", [True, False])
def test_larger_than_memory_allows(server, sized):
    """With memory that stays as it is."""
    first = b"sized" if sized else b"chunked"
    digest = digest_of(pieces(BIG, first))
    assert server.get(f"/api/blobs/{digest}").status == 404
    before, most = resident(server), [0]

    def watched():
        for p in pieces(BIG, first):
            yield p
            most[0] = max(most[0], resident(server))

    a = upload(server, digest, watched(), BIG if sized else None)
    assert a.status == 201, a.body
    assert most[0] - before < 8 * MB
    assert server.get(f"/api/blobs/{digest}").status == 200
    blob = server.home / "models" / "blobs" / digest.replace(":", "-")
    assert blob.stat().st_size == BIG and files(server, "tmp") == []
    with open(blob, "rb") as f:
        assert digest_of(iter(lambda: f.read(MB), b"")) == digest
    again = upload(server, digest, pieces(BIG, first), BIG if sized else None)
    assert again.status == 200 and files(server, "tmp") == []


def test_nothing_at_all(server):
    digest = digest_of([])
    assert upload(server, digest, [], 0).status == 201
    assert server.get(f"/api/blobs/{digest}").status == 200


def test_another_digest(server):
    before = files(server, "blobs")
    a = upload(server, digest_of([b"this"]), [b"that"], 4)
    assert a.status == 400 and digest_of([b"that"]) in a.json()["error"]
    for bad in ("sha256:xyz", "sha256-" + "0" * 63, "../../etc/passwd", "md5:" + "0" * 32):
        assert upload(server, bad, [b"that"], 4).status == 400, bad
    assert files(server, "blobs") == before and files(server, "tmp") == []


@pytest.mark.parametrize("how", ["close", "reset", "lie"])
def test_cut_short(server, how):
    before = files(server, "blobs")
    digest = digest_of([how.encode()])
    length = "Transfer-Encoding: chunked" if how == "lie" else f"Content-Length: {BIG}"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as s:
        s.sendall(f"POST /api/blobs/{digest} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n".encode())
        s.sendall(b"100000\r\n" + PIECE + b"\r\n" if how == "lie" else PIECE)
        until(lambda: files(server, "tmp"))
        if how == "reset":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if how == "lie":
            s.sendall(b"x\r\n")
            assert s.recv(100).startswith(b"HTTP/1.1 400")
    until(lambda: not files(server, "tmp"))
    assert files(server, "blobs") == before


def test_more_than_the_disk_has(server):
    """Said before the body is read."""
    c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    c.putrequest("POST", "/api/blobs/" + digest_of([b"huge"]))
    c.putheader("Content-Length", str(1 << 60))
    c.endheaders()
    a = hearth_api.Answer(c.getresponse())
    assert a.status == 507 and files(server, "tmp") == []
    assert "bytes" in a.json()["error"] or "MB" in a.json()["error"] or "GB" in a.json()["error"]


def test_a_file_that_may_not_grow(tmp_path):
    """Where the disk ends in the middle of it: the answer says so, and nothing stays."""
    digest = digest_of(pieces(8 * MB))
    wrapped = f"#!/bin/sh\nulimit -f 4096\nexec {hearth_api.HEARTH} \"$@\"\n"
    (tmp_path / "small").write_text(wrapped)
    os.chmod(tmp_path / "small", 0o755)
    whole, hearth_api.HEARTH = hearth_api.HEARTH, str(tmp_path / "small")
    try:
        with hearth_api.serving(tmp_path / "home", "--drain", "1") as s:
            a = upload(s, digest, pieces(8 * MB), 8 * MB)
            assert a.status == 507 and files(s, "tmp") == [] and files(s, "blobs") == []
            assert upload(s, digest_of([b"small"]), [b"small"], 5).status == 201
    finally:
        hearth_api.HEARTH = whole


def test_who_may(tmp_path):
    """Administrators, once there are keys; told before the body is read."""
    with hearth_api.serving(tmp_path, "--drain", "1") as s:
        key = s.command("key", "create", "someone").split()[0]
        digest = digest_of([b"mine"])
        until(lambda: s.get(f"/api/blobs/{digest}").status in (401, 403))  # the server knows of the key
        for headers in ({}, {"Authorization": f"Bearer {key}"}):
            c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=60)
            c.putrequest("POST", f"/api/blobs/{digest}")
            for k, v in {"Content-Length": str(BIG), "Expect": "100-continue", **headers}.items():
                c.putheader(k, v)
            c.endheaders()
            assert hearth_api.Answer(c.getresponse()).status in (401, 403)
        assert files(s, "blobs") == []


def test_a_server_that_stops(tmp_path):
    with hearth_api.serving(tmp_path, "--drain", "0") as s:
        with socket.create_connection(("127.0.0.1", s.port), timeout=60) as c:
            c.sendall(f"POST /api/blobs/{digest_of([b'a'])} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BIG}\r\n\r\n"
                      .encode() + PIECE)
            until(lambda: files(s, "tmp"))
            s.child.send_signal(signal.SIGTERM)
            assert s.child.wait(60) == 0
        assert files(s, "tmp") == [] and files(s, "blobs") == []


def test_blobs_make_a_model(server):
    """What was uploaded is what /api/create makes a model of."""
    if not hearth_api.BARD.exists():
        pytest.skip("models/bard/bard-q8_0.gguf is not here")
    data = hearth_api.BARD.read_bytes()
    digest = digest_of([data])
    assert upload(server, digest, [data], len(data)).status in (200, 201)
    a = server.post("/api/create", {"model": "uploaded", "files": {"bard.gguf": digest}})
    assert json.loads(a.body.splitlines()[-1]) == {"status": "success"}, a.body
    assert "uploaded:latest" in [m["name"] for m in server.get("/api/tags").json()["models"]]
