"""Beginnings and ends: of clients, of models, of the server."""
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import struct
import threading
import time

import pytest

import hearth_api
from hearth_api import BARD, needs_bard

pytestmark = needs_bard
LONG = {"messages": [{"role": "user", "content": "x"}], "ignore_eos": True, "n": 16}


def raw(server, body, path="/v1/chat/completions"):
    data = json.dumps(body).encode()
    s = socket.create_connection((server.host, server.port))
    s.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
              % (path.encode(), len(data)) + data)
    return s


def leave(s, how):
    if how == "reset":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how == "half":
        s.shutdown(socket.SHUT_WR)
        while s.recv(65536):
            pass
    s.close()


def settled(server):
    server.wait_metric("calls", lambda n: n == 0)
    server.wait_metric("ledger_live", lambda n: n == 0)


def test_client_leaves(server):
    settled(server)
    before = server.metric("cancelled_total")
    for stream in (True, False):
        for how in ("close", "reset", "half"):
            s = raw(server, {**LONG, "stream": stream})
            if stream:
                assert s.recv(1) == b"H"
            leave(s, how)
            settled(server)
    assert server.metric("cancelled_total") > before
    assert server.chat(max_tokens=1).status == 200


def test_many_leave_at_once(server):
    them = [raw(server, {**LONG, "stream": i % 2 == 0}) for i in range(40)]
    for i, s in enumerate(them):
        leave(s, ("close", "reset", "half")[i % 3])
    settled(server)
    assert server.chat(max_tokens=1).status == 200


def test_slow_reader_gets_all(server):
    """Who reads slowly holds up nobody, and misses nothing."""
    ask = {"prompt": "To be", "seed": 1, "ignore_eos": True, "n": 4, "logprobs": 5, "max_tokens": 200}
    whole = server.post("/v1/completions", ask).json()["choices"]
    s = raw(server, {**ask, "stream": True}, "/v1/completions")
    assert s.recv(100)
    assert server.chat(max_tokens=4).status == 200
    got = b""
    while b"data: [DONE]" not in got:
        part = s.recv(4096)
        assert part
        got += part
    s.close()
    text = b""
    rest = got[got.index(b"\r\n\r\n") + 4:] if b"\r\n\r\n" in got else got
    for line in rest.split(b"\n"):
        text += line
    assert all(c["finish_reason"] == "length" for c in whole) and len(text) > 1000


def test_loading_then_ready(tmp_path):
    s = hearth_api.Server(tmp_path, "--drain", "0").wait_listening()
    seen = set()
    while True:
        answer = s.get("/health")
        seen.add(answer.status)
        if answer.status == 200:
            break
        assert answer.json()["status"] == "loading model"
    assert seen <= {200, 503}
    assert s.stop() == 0


def test_models_come_and_go(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("one", "two", "three"):
        shutil.copy(BARD, folder / f"{name}.gguf")
    with hearth_api.serving(tmp_path / "home", "--model", folder / "two.gguf", "--models", folder,
                            "--max-models", "2") as s:
        assert [m["id"] for m in s.get("/v1/models").json()["data"]] == ["two", "bard", "one", "three"]
        ask = {"prompt": "To be", "seed": 1, "max_tokens": 4}
        texts = set()
        for name in ("one", "three", "two", "bard", "one"):
            got = s.post("/v1/completions", {**ask, "model": name}).json()
            assert got["model"] == name
            texts.add(got["choices"][0]["text"])
            loaded = [m["id"] for m in s.get("/v1/models").json()["data"] if m["loaded"]]
            assert name in loaded and len(loaded) <= 2
        assert len(texts) == 1
        s.post("/v1/completions", {**ask, "model": "one", "keep_alive": 0})
        while any(m["id"] == "one" and m["loaded"] for m in s.get("/v1/models").json()["data"]):
            time.sleep(0.01)
        assert s.post("/v1/completions", {**ask, "model": "nobody"}).status == 404


def test_a_file_without_a_template_is_told_of_once(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    data = BARD.read_bytes()
    for old, new in [(b"tokenizer.chat_template", b"tokenizer.chat_templatX")]:
        assert data.count(old) == 1
        data = data.replace(old, new)
    (folder / "family.gguf").write_bytes(data)
    for old, new in [(b"<|user|>", b"<|uuuu|>"), (b"<|system|>", b"<|ssssss|>"), (b"<|bard|>", b"<|bbbb|>")]:
        data = data.replace(old, new)
    (folder / "bare.gguf").write_bytes(data)
    with hearth_api.serving(tmp_path / "home", "--models", folder, "--max-models", "1") as s:
        for name in ("bare", "family", "bare", "family"):
            assert s.chat(model=name, max_tokens=1).status == 200
        prompt = s.post("/apply-template", {"model": "bare", "messages": [{"role": "user", "content": "x"}]}).json()
        assert "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n" in prompt["prompt"]
        lines = [line for line in s.text().splitlines() if "chat template" in line]
        assert len(lines) == 2 and "bare.gguf" in lines[0] and "served as chatml" in lines[0]
        assert "family.gguf" in lines[1] and "bard" in lines[1]


def test_models_at_once(tmp_path):
    """More models asked for at once than may be in memory: each gets its turn."""
    folder = tmp_path / "models"
    folder.mkdir()
    names = ["one", "two", "three"]
    for name in names:
        shutil.copy(BARD, folder / f"{name}.gguf")
    with hearth_api.serving(tmp_path / "home", "--models", folder, "--max-models", "1") as s:
        got = []

        def one(i):
            got.append(s.post("/v1/completions", {"prompt": "x", "model": names[i % 3], "max_tokens": 4}).status)

        threads = [threading.Thread(target=one, args=(i,)) for i in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert got == [200] * 12


def test_damaged_model_is_an_error(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "bad.gguf").write_bytes(b"GGUF" + b"\xff" * 100)
    with hearth_api.serving(tmp_path / "home", "--models", folder) as s:
        answer = s.chat(model="bad")
        assert answer.status == 500 and "bad.gguf" in answer.error()["message"]
        assert s.chat(max_tokens=1).status == 200


def test_missing_model_ends_the_start(tmp_path):
    s = hearth_api.Server(tmp_path, "--model", tmp_path / "none.gguf")
    assert s.child.wait(timeout=60) == 3
    assert "none.gguf" in s.text()
    s.stop()


def test_drain_lets_answers_end(tmp_path):
    with hearth_api.serving(tmp_path, "--drain", "60") as s:
        c, r = s.open("POST", "/v1/completions",
                      {"prompt": "x", "ignore_eos": True, "max_tokens": 300, "stream": True, "n": 4})
        first = r.read(10)
        s.child.send_signal(signal.SIGTERM)
        rest = first + r.read()
        c.close()
        assert rest.endswith(b"data: [DONE]\n\n")
        assert s.child.wait(timeout=120) == 0


def test_stop_ends_streams_with_an_error(tmp_path):
    with hearth_api.serving(tmp_path, "--drain", "0") as s:
        c, r = s.open("POST", "/v1/chat/completions", {**LONG, "n": 100, "stream": True})
        first = r.read(10)
        s.child.send_signal(signal.SIGTERM)
        rest = first + r.read()
        c.close()
        assert b'"shutting_down"' in rest or rest.endswith(b"data: [DONE]\n\n")
        assert s.child.wait(timeout=120) == 0


def test_the_end_of_a_terminal_is_an_end(tmp_path):
    """SIGHUP stops it as SIGTERM does, unless it was started by nohup."""
    with hearth_api.serving(tmp_path / "a", "--drain", "60") as s:
        c, r = s.open("POST", "/v1/completions", {"prompt": "x", "ignore_eos": True, "max_tokens": 300, "stream": True})
        first = r.read(10)
        s.child.send_signal(signal.SIGHUP)
        rest = first + r.read()
        c.close()
        assert rest.endswith(b"data: [DONE]\n\n")
        assert s.child.wait(timeout=120) == 0
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # children inherit it
    try:
        s = hearth_api.Server(tmp_path / "b")
    finally:
        signal.signal(signal.SIGHUP, before)
    s.wait_ready()
    s.child.send_signal(signal.SIGHUP)
    assert s.chat(max_tokens=1).status == 200 and "stopping" not in s.text()
    assert s.stop() == 0


OTHER_CLOCK = pathlib.Path(os.environ.get("HEARTH_BUILD", ".")) / "tests" / "libother_clock.so"


@pytest.mark.skipif(bool(os.environ.get("HEARTH_SANITIZE")), reason="sanitizers must be loaded before all else")
def test_somebody_sets_the_clock(tmp_path):
    """By a day ahead, and back by two: what has a time of its own still ends in it."""
    offset, folder = tmp_path / "offset", tmp_path / "models"
    folder.mkdir()
    shutil.copy(BARD, folder / "other.gguf")

    def settle(seconds):
        (tmp_path / "new").write_text(str(seconds))
        (tmp_path / "new").rename(offset)

    settle(0)
    with hearth_api.serving(tmp_path / "home", "--models", folder, "--drain", "1",
                            env={"LD_PRELOAD": str(OTHER_CLOCK), "OTHER_CLOCK": str(offset)}) as s:
        for seconds in (0, 86400, -86400, 86400):
            settle(seconds)
            assert s.chat(max_tokens=1).status == 200
            assert s.chat(max_tokens=1, model="other", keep_alive=1).status == 200
            end = time.monotonic() + 60
            while any(m["loaded"] for m in s.get("/v1/models").json()["data"] if m["id"] == "other"):
                assert time.monotonic() < end, f"not given up with the clock at {seconds}"
                time.sleep(0.01)
        c, r = s.open("POST", "/v1/completions", {"prompt": "x", "ignore_eos": True, "max_tokens": -1, "n": 128, "stream": True})
        r.read(10)
        s.child.send_signal(signal.SIGTERM)
        reader = threading.Thread(target=r.read)
        reader.start()
        assert s.child.wait(timeout=60) == 0
        reader.join()
        c.close()


@pytest.mark.skipif(not hearth_api.NIGHTLY, reason="takes ten seconds of waiting; nightly")
def test_keep_alive_while_queued(tmp_path):
    with hearth_api.serving(tmp_path, "--parallel", "1", "--drain", "0") as s:
        first, r = s.open("POST", "/v1/completions",
                          {"prompt": "x", "ignore_eos": True, "max_tokens": -1, "n": 128, "stream": True})
        second, waiting = s.open("POST", "/v1/chat/completions",
                                 {"messages": [{"role": "user", "content": "x"}], "stream": True})
        assert waiting.status == 200
        got = b""
        while got.count(b": keep-alive") < 2:
            got += waiting.readline()
        assert b'"content":""' in got
        second.close()
        first.close()


def test_second_signal_stops_at_once(tmp_path):
    s = hearth_api.Server(tmp_path, "--drain", "3600").wait_ready()
    c, r = s.open("POST", "/v1/chat/completions", {**LONG, "n": 128, "stream": True})
    r.read(10)
    s.child.send_signal(signal.SIGTERM)
    while "stopping" not in s.text():
        time.sleep(0.01)
    code = s.stop()
    c.close()
    assert code in (0, 128 + signal.SIGTERM)
    s.log.close()


def test_own_certificate(tmp_path):
    s = hearth_api.Server(tmp_path, "--tls", "self")
    while "own certificate" not in s.text():
        assert s.child.poll() is None, s.text()
        time.sleep(0.01)
    port = int(s.text().split("https://127.0.0.1:")[1].split("\n")[0])
    trust = ssl.create_default_context(cafile=tmp_path / "tls" / "cert.pem")
    c = http.client.HTTPSConnection("localhost", port, context=trust, timeout=60)
    c.request("GET", "/v1/models")
    assert c.getresponse().status == 200
    c.close()
    assert s.stop() == 0


def test_unix_socket(tmp_path):
    path = tmp_path / "sock"
    s = hearth_api.Server(tmp_path, "--listen", f"unix:{path}")
    c = socket.socket(socket.AF_UNIX)
    while c.connect_ex(str(path)) != 0:  # the path is there a moment before it is listened at
        assert s.child.poll() is None, s.text()
        time.sleep(0.01)
    c.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x.localhost\r\nConnection: close\r\n\r\n")
    got = b""
    while part := c.recv(4096):
        got += part
    c.close()
    assert got.startswith(b"HTTP/1.1 200")
    assert s.stop() == 0
