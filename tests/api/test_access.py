"""Who may ask: hosts, origins, keys, rates and budgets."""
import subprocess
import time

import pytest

import hearth_api
from hearth_api import HEARTH, needs_bard

pytestmark = needs_bard


def has_command(name):
    return subprocess.run([HEARTH, "help", name], capture_output=True, check=False).returncode == 0


needs_keys = pytest.mark.skipif(not has_command("key"), reason="this build has no hearth key")


@pytest.mark.parametrize("host, ok", [
    ("localhost", True), ("localhost:1", True), ("127.0.0.1", True), ("[::1]:5", True), ("192.168.1.9:80", True),
    ("host.docker.internal:11434", True), ("a.localhost", True), ("LOCALHOST.", True),
    ("evil.example", False), ("localhost.evil.example", False), ("127.0.0.1.evil.example", False),
    ("evil.example:11434", False), ("[", False), (":80", False)])
@pytest.mark.parametrize("path", ["/", "/health", "/v1/models", "/nothing"])
def test_host(server, host, ok, path):
    answer = server.get(path, Host=host)
    assert (answer.status != 403) is ok, (answer.status, answer.body)


@pytest.mark.parametrize("origin, ok", [
    ("http://localhost:3000", True), ("https://127.0.0.1", True), ("http://192.168.1.9:8080", True),
    ("http://[::1]:1", True), ("http://[fd00::1]", True),
    ("null", False), ("https://evil.example", False), ("http://93.184.216.34", False), ("file://", False),
    ("app://other", False), ("http://localhost.evil.example", False), ("javascript://localhost", False)])
def test_origin(server, origin, ok):
    for method, path in (("GET", "/v1/models"), ("POST", "/v1/chat/completions"), ("OPTIONS", "/v1/models")):
        answer = server.ask(method, path, "{}" if method == "POST" else None, {"Origin": origin})
        assert (answer.status != 403) is ok, (method, answer.status, answer.body)
        allowed = answer.headers.get("Access-Control-Allow-Origin")
        assert allowed == (origin if ok else None)
        assert answer.headers.get("Access-Control-Allow-Credentials") is None


def test_cross_site_without_origin(server):
    assert server.get("/v1/models", **{"Sec-Fetch-Site": "cross-site"}).status == 403
    assert server.get("/v1/models", **{"Sec-Fetch-Site": "same-origin"}).status == 200


def test_preflight(server):
    answer = server.ask("OPTIONS", "/v1/chat/completions", None,
                        {"Origin": "http://localhost:1", "Access-Control-Request-Headers": "x-stainless-os"})
    assert answer.status == 204 and "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"] == "x-stainless-os"


def test_methods(server):
    answer = server.ask("DELETE", "/v1/chat/completions")
    assert answer.status == 405 and answer.headers["Allow"] == "POST"
    head = server.ask("HEAD", "/v1/models")
    assert head.status == 200 and head.body == b""


def test_any_key_will_do_here(server):
    """Client libraries must send something."""
    for name, value in (("Authorization", "Bearer sk-x"), ("x-api-key", "x"), ("api-key", "x")):
        assert server.get("/v1/models", **{name: value}).status == 200
    assert server.get("/v1/models", **{"x-api-key": "hk-looks-like-one"}).status == 401


def test_a_proxy_is_no_local_client(server):
    assert server.get("/v1/models", **{"X-Forwarded-For": "10.0.0.1"}).status == 401


def test_other_addresses_need_a_key(tmp_path):
    s = hearth_api.Server(tmp_path, "--listen", "0.0.0.0:0")
    assert s.child.wait(timeout=60) == 5
    assert "hearth key create" in s.text()
    s.stop()


def test_allow_host(tmp_path):
    with hearth_api.serving(tmp_path, "--allow-host", "Box.Example", "--allow-host", "app://mine") as s:
        assert s.get("/health", Host="box.example:80").status == 200
        assert s.get("/health", Origin="app://mine").status == 200
        assert s.get("/health", Origin="app://other").status == 403


def carriers(key):
    return [{"Authorization": "Bearer " + key}, {"x-api-key": key}, {"api-key": key}]


@needs_keys
def test_keys(tmp_path):
    with hearth_api.serving(tmp_path, "--require-key") as s:
        key = s.command("key", "create", "ann").strip().split()[-1]
        other = s.command("key", "create", "bob").strip().split()[-1]
        while any(s.get("/v1/models", Authorization="Bearer " + k).status != 200 for k in (key, other)):
            time.sleep(0.01)  # the server looks at the file a few times a second
        routes = [r for r, item in s.get("/openapi.json").json()["paths"].items() if "{" not in r
                  and all("security" in operation for operation in item.values())]
        assert {"/v1/models", "/v1/chat/completions", "/v1/messages", "/api/chat", "/completion", "/props"} <= {*routes}
        assert len(routes) > 3
        for path in routes:
            assert s.get(path).status in (401, 405), path
            for good, bad in zip(carriers(key), carriers(key[:-1] + ("a" if key[-1] != "a" else "b"))):
                assert s.get(path, **good).status in (200, 405), (path, good)
                assert s.get(path, **bad).status in (401, 405), path
        two = s.get("/v1/models", **{"Authorization": "Bearer " + key, "x-api-key": other})
        assert two.status == 401
        assert s.get("/health").status == 200


@needs_keys
def test_revoked_key_ends_its_stream(tmp_path):
    with hearth_api.serving(tmp_path, "--ctx", "1024") as s:
        key = s.command("key", "create", "ann").strip().split()[-1]
        time.sleep(0.6)
        # answers that end are asked for again until one is cut: the model is fast, and its context short
        body = {"messages": [{"role": "user", "content": "x"}], "stream": True, "ignore_eos": True, "n": 100}
        c, r = s.open("POST", "/v1/chat/completions", body, {"x-api-key": key})
        assert r.status == 200
        s.command("key", "revoke", "ann")
        rest = r.read()
        c.close()
        assert s.get("/v1/models", **{"x-api-key": key}).status == 401
        assert b'"invalid_api_key"' in rest or rest.endswith(b"data: [DONE]\n\n")


@needs_keys
def test_budget(tmp_path):
    with hearth_api.serving(tmp_path) as s:
        key = s.command("key", "create", "ann", "--budget", "30/day").strip().split()[-1]
        time.sleep(0.6)
        body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 40, "ignore_eos": True}
        assert s.post("/v1/chat/completions", body, x_api_key=key).status == 200
        no = s.post("/v1/chat/completions", body, x_api_key=key)
        assert no.status == 429 and int(no.headers["Retry-After"]) >= 1, no.body
        assert no.error()["code"] == "insufficient_quota"


@needs_keys
def test_rate(tmp_path):
    with hearth_api.serving(tmp_path) as s:
        key = s.command("key", "create", "ann", "--rate", "2/min").strip().split()[-1]
        time.sleep(0.6)
        body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
        got = [s.post("/v1/chat/completions", body, x_api_key=key).status for _ in range(4)]
        assert got[:2] == [200, 200] and 429 in got[2:]


@needs_keys
def test_responses_belong_to_their_owner(tmp_path):
    with hearth_api.serving(tmp_path) as s:
        ann, bob = (s.command("key", "create", n).strip().split()[-1] for n in ("ann", "bob"))
        time.sleep(0.6)
        mine = s.post("/v1/responses", {"input": "x", "max_output_tokens": 1}, x_api_key=ann).json()
        path = "/v1/responses/" + mine["id"]
        assert s.get(path, **{"x-api-key": ann}).status == 200
        for who in ({"x-api-key": bob}, {}):
            assert s.get(path, **who).status == 404
            assert s.get(path + "/input_items", **who).status == 404
            assert s.ask("DELETE", path, None, who).status == 404
        assert s.post("/v1/responses", {"input": "y", "previous_response_id": mine["id"]}, x_api_key=bob).status == 404
