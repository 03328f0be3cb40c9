"""The store over HTTP, in Ollama's dialect, and what a model was made with in every dialect."""

import hashlib
import json
import pathlib
import re
import subprocess
import threading
import urllib.error
import urllib.request

import pytest

from hearth_store import BIN, put_ollama


class Server:
    def __init__(self, store, *more):
        self.store = store
        self.process = subprocess.Popen([*store.enter, BIN, "serve", "--listen", "127.0.0.1:0", *more], env=store.env,
                                        cwd=store.folder, stderr=subprocess.PIPE)
        self.said = []
        self.base = None
        for line in self.process.stderr:
            found = re.search(rb"listening on (http://\S+)", line)
            if found:
                self.base = found.group(1).decode()
            if line.startswith(b"ready"):
                break
        threading.Thread(target=lambda: self.said.extend(self.process.stderr), daemon=True).start()
        assert self.base

    def ask(self, method, path, body=None, raw=None):
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        q = urllib.request.Request(self.base + path, data=data, method=method,
                                   headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(q, timeout=60) as a:
                return a.status, a.read()
        except urllib.error.HTTPError as e:
            return e.code, e.read()

    def ok(self, method, path, body=None, **more):
        status, data = self.ask(method, path, body, **more)
        assert status in (200, 201), (path, status, data)
        return data

    def json(self, method, path, body=None):
        return json.loads(self.ok(method, path, body))

    def names(self):
        return [m["name"] for m in self.json("GET", "/api/tags")["models"]]

    def stop(self):
        self.process.terminate()
        assert self.process.wait(30) == 0


@pytest.fixture
def server(store):
    s = Server(store)
    yield s
    s.stop()


def test_create_show_copy_delete(server, store):
    done = server.ok("POST", "/api/create", {
        "model": "mine", "from": "bard", "system": "Be brief.", "template": "{{ .System }}|{{ .Prompt }}",
        "parameters": {"temperature": 0, "num_predict": 4, "stop": ["END"]}, "license": ["free", "really"],
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]})
    assert json.loads(done.splitlines()[-1]) == {"status": "success"}
    assert "mine:latest" in server.names()
    shown = server.json("POST", "/api/show", {"model": "mine"})
    assert shown["system"] == "Be brief." and shown["license"] == "free\nreally"
    assert shown["template"] == "{{ .System }}|{{ .Prompt }}" and len(shown["messages"]) == 2
    assert "temperature" in shown["parameters"] and "SYSTEM Be brief." in shown["modelfile"]
    row = [m for m in server.json("GET", "/api/tags")["models"] if m["name"] == "mine:latest"][0]
    manifest = (store.models / "manifests/registry.ollama.ai/library/mine/latest").read_bytes()
    assert row["digest"] == hashlib.sha256(manifest).hexdigest()
    server.ok("POST", "/api/copy", {"source": "mine", "destination": "x/y:z"})
    assert {"mine:latest", "x/y:z"} <= set(server.names())
    server.ok("DELETE", "/api/delete", {"model": "mine"})
    assert "mine:latest" not in server.names() and "x/y:z" in server.names()
    assert server.ask("DELETE", "/api/delete", {"model": "mine"})[0] == 404
    assert server.ask("POST", "/api/copy", {"source": "mine", "destination": "z"})[0] == 404
    assert server.ask("POST", "/api/show", {"model": "mine"})[0] == 404
    assert store.whole()


def test_blobs(server, store):
    store.create("tmp", "FROM bard")
    data = pathlib.Path(store.json("show", "tmp")["path"]).read_bytes()
    store.ok("rm", "tmp")
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    assert server.ask("HEAD", f"/api/blobs/{digest}")[0] == 404
    assert server.ask("POST", f"/api/blobs/{digest}", raw=data[:-1])[0] == 400
    assert server.ask("POST", f"/api/blobs/{digest}", raw=data)[0] == 201
    assert server.ask("HEAD", f"/api/blobs/{digest}")[0] == 200
    server.ok("POST", "/api/create", {"model": "up", "files": {"x.gguf": digest}, "stream": False})
    assert "up:latest" in server.names()
    for bad in ("sha256:x", "sha256:" + "0" * 64, "..%2f..%2fetc", digest.upper(), digest + "0"):
        assert server.ask("HEAD", f"/api/blobs/{bad}")[0] in (400, 404)
        assert server.ask("POST", "/api/create", {"model": "up2", "files": {"x.gguf": bad}})[0] in (400, 404)


def test_no_path_of_a_client_is_opened(server, store):
    for name in ("/etc/passwd", "./x.gguf", "../x", "/dev/zero", "x.gguf", "file:///etc/passwd"):
        first = server.ask("POST", "/api/create", {"model": "m", "from": name})
        assert first[0] in (400, 404), (name, first)
        assert server.ask("POST", "/api/create", {"model": name, "from": "bard"})[0] == 400
        for path in ("/api/show", "/api/generate", "/api/chat"):
            assert server.ask("POST", path, {"model": name})[0] == 404
        assert server.ask("POST", "/api/create", {"model": "m", "modelfile": f"FROM {name}"})[0] in (400, 404)
        assert server.ask("POST", "/api/create", {"model": "m", "modelfile": f"FROM bard\nADAPTER {name}"})[0] == 400
    assert store.names() == []


def test_recipe_in_every_dialect(server, store):
    """Three tokens at most, and the prompt longer by the model's own system text and messages."""
    store.create("mine", "FROM bard\nPARAMETER num_predict 3\nPARAMETER temperature 0\n"
                 "SYSTEM You are a very old poet who lives by the sea.\nMESSAGE user Hail!\nMESSAGE assistant Well met.\n")
    talk = [{"role": "user", "content": "Sing."}]

    def counts(model, own):
        a = server.json("POST", "/v1/chat/completions", {"model": model, "messages": talk, **own})["usage"]
        b = server.json("POST", "/api/chat", {"model": model, "messages": talk, "stream": False,
                                              "options": {"num_predict": own["max_tokens"]} if own else {}})
        c = server.json("POST", "/v1/responses", {"model": model, "input": "Sing.",
                                                  **({"max_output_tokens": own["max_tokens"]} if own else {})})["usage"]
        d = server.json("POST", "/v1/messages", {"model": model, "messages": talk, "max_tokens": 3})["usage"]
        return [(a["prompt_tokens"], a["completion_tokens"]), (b["prompt_eval_count"], b["eval_count"]),
                (c["input_tokens"], c["output_tokens"]), (d["input_tokens"] + d.get("cache_read_input_tokens", 0), d["output_tokens"])]

    plain, made = counts("bard", {"max_tokens": 3}), counts("mine", {})
    for (p, _), (m, n) in zip(plain, made):
        assert m > p + 10 and n <= 3, (plain, made)
    assert counts("mine", {"max_tokens": 2})[0][1] == 2
    system = [{"role": "system", "content": "x"}, *talk]
    b = server.json("POST", "/api/chat", {"model": "mine", "messages": system, "stream": False})
    assert b["prompt_eval_count"] < made[1][0]


def test_a_replaced_model_is_loaded_anew(server, store):
    store.create("mine", "FROM bard\nPARAMETER num_predict 2\nPARAMETER temperature 0")
    ask = lambda: server.json("POST", "/api/chat", {"model": "mine", "stream": False,
                                                    "messages": [{"role": "user", "content": "Sing."}]})["eval_count"]
    assert ask() == 2
    store.create("mine", "FROM bard\nPARAMETER num_predict 5\nPARAMETER temperature 0")
    assert ask() == 5
    store.ok("rm", "mine")
    assert server.ask("POST", "/api/chat", {"model": "mine", "messages": []})[0] == 404


def test_ps_and_stop(server, store):
    store.env["HEARTH_HOST"] = server.base
    store.create("mine", "FROM bard")
    server.ok("POST", "/api/generate", {"model": "MINE:latest", "stream": False})
    assert "mine:latest" in [m["name"] for m in store.json("ps")["models"]]
    assert "mine:latest" in store.ok("ps")
    store.ok("stop", "mine")
    for _ in range(100):
        if "mine:latest" not in store.ok("ps"):
            break
    assert "mine:latest" not in store.ok("ps")
    store.fails(3, "stop", "nothing")


def test_serve_by_name_and_ollamas_store(store):
    store.create("tmp", "FROM bard")
    data = pathlib.Path(store.json("show", "tmp")["path"]).read_bytes()
    store.ok("rm", "tmp")
    put_ollama(store.ollama, "theirs", [("model", data), ("params", b'{"num_predict":2}')])
    s = Server(store, "--model", "theirs")
    try:
        assert "theirs:latest" in s.names()
        a = s.json("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "Sing."}]})
        assert a["model"] == "theirs" and a["usage"]["completion_tokens"] <= 2
        assert s.ask("DELETE", "/api/delete", {"model": "theirs"})[0] == 404
    finally:
        s.stop()
