"""Registries that do wrong. After each script the model is absent or byte-identical; a later pull gets it and
fetches at most a chunk again; progress never goes back; no token reaches a host that was not asked."""
import json
import pathlib
import random
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from hub_rig import (HEARTH, NIGHTLY, Model, absent_or_whole, check_store, environment, hearth, models,  # noqa: E402
                     pull)
from script_server import ScriptServer  # noqa: E402

MODEL = Model(size=2_000_000, seed=3)
CHUNK = 256 << 10  # of hub_rig.QUICK


class Hostile:
    """A registry that is right, except for what `wrong(self, request, wire)` does first; it gives True when it
    has answered. The weights alone are in its way; .served counts their bytes."""

    def __init__(self, wrong=None, model=MODEL, host="127.0.0.1", cert=None, manifest=None):
        self.wrong, self.model, self.served, self.asked = wrong, model, 0, 0
        self.manifest = model.manifest if manifest is None else manifest
        self.lock, self.random = threading.Lock(), random.Random(7)
        self.server = ScriptServer(self.answer, host, cert)

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *x):
        self.server.__exit__(*x)

    def name(self, path="ns/m", host=None):
        return self.server.url("/" + path, host)

    def answer(self, q, w):
        if q.path.startswith("/v2/ns/m/manifests/"):
            if self.wrong and getattr(self.wrong, "manifests", False) and self.wrong(self, q, w):
                return
            w.send(200, self.manifest, Content_Type="application/json")
            return
        digest = q.path.rpartition("/")[2]
        data = self.model.blobs.get(digest)
        if data is None:
            w.send(404, b'{"errors":[{"message":"no such blob"}]}')
            return
        if digest == self.model.digest:
            with self.lock:
                self.asked += 1
            if self.wrong and not getattr(self.wrong, "manifests", False) and self.wrong(self, q, w):
                return
        self.right(q, w, data)

    def right(self, q, w, data, stop=None, status=None, etag='"one"', **fields):
        """The blob, or its range; `stop`: cut after so many bytes of the answer."""
        first, last = q.range() or (0, None)
        last = len(data) - 1 if last is None else min(last, len(data) - 1)
        body = data[first:last + 1]
        if q.range():
            fields.setdefault("Content_Range", f"bytes {first}-{last}/{len(data)}")
        head = {"Content_Length": len(body), "ETag": etag, **fields}
        w.head(status or (206 if q.range() else 200), **{k: v for k, v in head.items() if v is not None})
        part = body if stop is None else body[:stop]
        for at in range(0, len(part), 16384):
            w.raw(part[at:at + 16384])
            if data is self.model.weights:
                with self.lock:
                    self.served += len(part[at:at + 16384])
        if stop is not None:
            w.close()


def weights(s):
    return s.model.weights


# ---- resuming ----


@pytest.mark.parametrize("round", range(12 if NIGHTLY else 3))
def test_resume_after_a_cut(round, tmp_path):
    """The server dies somewhere; what had come is kept, and no more than a chunk comes again."""
    model = Model(size=3_000_000, seed=20 + round)
    at = random.Random(round).randrange(300_000, 2_700_000)

    def dies(s, q, w):
        left = at - s.served
        if left <= 0:
            w.close()
        s.right(q, w, weights(s), stop=left)
        return True

    with Hostile(dies, model) as s:
        done = pull(tmp_path, s.name(), "--insecure", "--retries", "2", "--max-parallel", "1")
        assert done.returncode == 4, done.text
        first, s.wrong, s.served = s.served, None, 0
        done = pull(tmp_path, s.name(), "--insecure")
        assert done.returncode == 0 and absent_or_whole(tmp_path, model)
        assert first + s.served <= len(model.weights) + CHUNK
        resumed = next(x["resumed"] for x in done.events if x.get("what") == "model")
        assert resumed >= first - CHUNK


def pull_and_kill(home, s, after, sig):
    """Kills a pull once the server has given `after` bytes."""
    child = subprocess.Popen(
        [*map(str, (HEARTH, "pull", "--json", "--insecure", "--chunk", "256", s.name()))],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(home))
    while s.served < after and child.poll() is None:
        time.sleep(0.0005)
    child.send_signal(sig)
    out, err = child.communicate(timeout=60)
    return child.returncode, out, err


@pytest.mark.parametrize("sig", [9, 2])
@pytest.mark.parametrize("round", range(100 if NIGHTLY else 2))
def test_resume_after_a_kill(round, sig, tmp_path):
    model = Model(size=6_000_000, seed=40 + round)

    def slowly(s, q, w):
        time.sleep(0.01)
        return False

    with Hostile(slowly, model) as s:
        code, _, err = pull_and_kill(tmp_path, s, random.Random(round).randrange(0, 6_000_000), sig)
        if sig == 2 and code != 0:
            assert code == 130 and err.decode().count("\n") == 1
        check_store(tmp_path)
        first, s.served, s.wrong = s.served, 0, None
        done = pull(tmp_path, s.name(), "--insecure")
        assert done.returncode == 0 and absent_or_whole(tmp_path, model), done.text
        # What the server had sent and the client not yet read is no loss of the journal's: some MB of sockets.
        resumed = next((x["resumed"] for x in done.events if x.get("what") == "model"), 0)
        assert s.served == len(model.weights) - resumed if resumed < len(model.weights) else s.served == 0
        assert first - resumed <= CHUNK + 4 * (4 << 20)


def test_changed_upstream_over_days(tmp_path):
    """Without a digest known beforehand the ETag decides: nothing of two versions is put together."""
    one, two = Model(size=2_000_000, seed=60), Model(size=2_000_000, seed=61)
    state = {"data": one.weights, "tag": '"one"', "limit": 900_000}
    served = [0]

    def answer(q, w):
        first, last = q.range()
        body = state["data"][first:last + 1]
        w.head(206, Content_Length=len(body), ETag=state["tag"], Content_Range=f"bytes {first}-{last}/2000000")
        for at in range(0, len(body), 10_000):
            if state["limit"] and served[0] >= state["limit"]:
                w.close()
            w.raw(body[at:at + 10_000])
            served[0] += 10_000

    with ScriptServer(answer) as s:
        done = pull(tmp_path, s.url("/m.gguf"), "--insecure", "--retries", "1")
        assert done.returncode == 4
        state.update(data=two.weights, tag='"two"', limit=0)
        done = pull(tmp_path, s.url("/m.gguf"), "--insecure")
        assert done.returncode == 0 and "changed upstream" in str(done.events), done.text
        (text,) = check_store(tmp_path).values()
        assert two.digest.encode() in text


def test_changed_upstream_meanwhile(tmp_path):
    data = Model(size=2_000_000).weights
    n = [0]

    def answer(q, w):
        n[0] += 1
        first, last = q.range()
        body = data[first:last + 1]
        w.send(206, body, ETag=f'"{min(n[0], 3)}"', Content_Range=f"bytes {first}-{last}/2000000")

    with ScriptServer(answer) as s:
        done = pull(tmp_path, s.url("/m.gguf"), "--insecure")
        assert done.returncode == 7 and "changed upstream" in done.text
        assert not check_store(tmp_path)


def test_what_is_no_model(tmp_path):
    page = b"<html>Please accept our cookies</html>"
    with ScriptServer(lambda q, w: w.send(206, page[:1], Content_Range=f"bytes 0-0/{len(page)}")
                      if q.range()[1] == 0 else
                      w.send(206, page, Content_Range=f"bytes 0-{len(page) - 1}/{len(page)}")) as s:
        done = pull(tmp_path, s.url("/m.gguf"), "--insecure")
        assert done.returncode == 7 and "no GGUF" in done.text and not models(tmp_path)


@pytest.mark.parametrize("parallel", ["1", "4"])
def test_tries_are_told(parallel, tmp_path):
    """However many connections end: a line for each try, counted up, and from 1 again once anything has come."""
    def cut(s, q, w):
        first, last = q.range()
        w.head(206, Content_Length=last - first + 1, Content_Range=f"bytes {first}-{last}/{len(MODEL.weights)}")
        w.close()

    with Hostile(cut) as s:
        more = ["--insecure", "--max-parallel", parallel, "--retries", "3"]
        done = pull(tmp_path, s.name(), *more)
        assert done.returncode == 4
        tries = [x for x in done.events if x["event"] == "retry"]
        assert [(x["attempt"], x["attempts"]) for x in tries] == [(1, 3), (2, 3), (3, 3)], tries
        assert tries[1]["text"].endswith(", trying again (2 of 3)") and tries[1]["wait_s"] == 0.04
        said = hearth(tmp_path, "pull", "--retry-wait", "0.02", *more, s.name()).stderr.decode().splitlines()
        assert [x for x in said if "trying again" in x] == [x["text"] for x in tries], said
        s.wrong = lambda s, q, w: s.asked % 2 == 0 and cut(s, q, w)
        done = pull(tmp_path, s.name(), "--insecure", "--max-parallel", "1", "--chunk", "64", "--retries", "1")
        assert done.returncode == 0 and absent_or_whole(tmp_path, MODEL)
        tries = [x["attempt"] for x in done.events if x["event"] == "retry"]
        assert len(tries) > 1 and set(tries) == {1}, tries


# ---- secrets ----


AUTH = "Basic bWU6c2VjcmV0"


def guarded(realm=None, scheme="Bearer"):
    """A registry that wants a token, and says where it is to be had."""
    def script(s, q, w):
        if q.fields.get("authorization") in ("Bearer good", AUTH if scheme == "Basic" else "-"):
            return False
        where = realm or s.server.url("/token")
        w.send(401, b"", WWW_Authenticate=f'{scheme} realm="{where}",service="registry",scope="x"')
        return True
    script.manifests = True
    return script


@pytest.mark.parametrize("foreign", ["host", "port", "http", "userinfo", "lookalike", "file", "nothing"])
def test_foreign_realms(foreign, tmp_path):
    """A token is asked for at the registry itself, and nobody else hears of the secret."""
    seen = []

    def sniff(q, w):
        seen.append(q)
        w.send(200, b'{"token":"good"}')

    with ScriptServer(sniff, host="127.0.0.2") as b, Hostile() as s:
        realm = {"host": b.url("/token"), "port": b.url("/token", "127.0.0.1"), "userinfo":
                 f"http://127.0.0.1:{s.server.port}@127.0.0.2:{b.port}/token", "file": "file:///etc/passwd",
                 "http": "http://localhost/token", "lookalike": "http://127.0.0.1.nip.invalid/token",
                 "nothing": ""}[foreign]
        s.wrong = guarded(realm or " ")
        done = pull(tmp_path, s.name(), "--insecure", env={
            "HEARTH_REGISTRY_AUTH": f"127.0.0.1:{s.server.port}=me:secret"})
        assert done.returncode in (2, 5), done.text
        assert not check_store(tmp_path) and not seen
        assert all(q.fields.get("authorization") in (None,) for q in s.server.requests)


def test_a_realm_of_its_own(tmp_path):
    def script(s, q, w):
        if q.path == "/token":
            assert q.fields.get("authorization") == AUTH
        return False

    with Hostile() as s:
        plain = s.answer

        def answer(q, w):
            if q.path == "/token":
                w.send(200, b'{"token":"good"}' if q.fields.get("authorization") == AUTH else b"{}")
            elif q.fields.get("authorization") != "Bearer good":
                guarded()(s, q, w)
            else:
                plain(q, w)

        s.server.answer = answer
        env = {"HEARTH_REGISTRY_AUTH": f"127.0.0.1:{s.server.port}=me:secret"}
        done = pull(tmp_path, s.name(), "--insecure", env=env)
        assert done.returncode == 0 and absent_or_whole(tmp_path, MODEL), done.text
        asked = [q.target for q in s.server.requests if q.path == "/token"]
        assert "service=registry" in asked[0] and "scope=repository%3Ans%2Fm%3Apull" in asked[0]
        assert hearth(tmp_path / "2", "pull", "--insecure", s.name()).returncode == 5


@pytest.mark.parametrize("how", [301, 302, 303, 307, 308])
def test_storage_hosts_get_no_token(how, tmp_path):
    """Blobs may lie elsewhere: the redirect is followed, the token stays."""
    seen = []
    with Hostile() as storage:
        right = storage.answer

        def sniff(q, w):
            seen.append(q)
            right(q, w)

        storage.server.answer = sniff

        def elsewhere(s, q, w):
            w.send(how, b"", Location=storage.server.url(q.target, "localhost"))
            return True

        with Hostile(elsewhere) as s:
            plain = s.answer

            def answer(q, w):
                if q.fields.get("authorization") != AUTH:
                    guarded(scheme="Basic")(s, q, w)
                else:
                    plain(q, w)

            s.server.answer = answer
            env = {"HEARTH_REGISTRY_AUTH": f"127.0.0.1:{s.server.port}=me:secret"}
            done = pull(tmp_path, s.name(), "--insecure", env=env)
            assert done.returncode == 0 and absent_or_whole(tmp_path, MODEL), done.text
            assert seen and not any("authorization" in q.fields for q in seen)


def test_a_token_that_expires(tmp_path):
    """Another is fetched in the middle of it."""
    state = {"n": 0, "uses": 0}
    with Hostile() as s:
        plain = s.answer

        def answer(q, w):
            good = f"Bearer t{state['n']}"
            if q.path == "/token":
                state["n"] += 1
                state["uses"] = 0
                w.send(200, json.dumps({"token": f"t{state['n']}"}).encode())
                return
            state["uses"] += 1
            if q.fields.get("authorization") != good or state["uses"] > 3:
                guarded()(s, q, w)
            else:
                plain(q, w)

        s.server.answer = answer
        done = pull(tmp_path, s.name(), "--insecure", "--chunk", "64", "--max-parallel", "2")
        assert done.returncode == 0 and absent_or_whole(tmp_path, MODEL), done.text
        assert state["n"] > 1


def test_plain_http_is_asked_for(tmp_path):
    with Hostile() as s:
        done = hearth(tmp_path, "pull", s.name())
        assert done.returncode == 5 and b"--insecure" in done.stderr and not s.server.requests


def test_tls(tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", tmp_path / "key", "-out", tmp_path / "cert", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    with Hostile(cert=(tmp_path / "cert", tmp_path / "key")) as s:
        name, other = f"localhost:{s.server.port}/ns/m", f"127.0.0.1:{s.server.port}/ns/m"
        trusted = {"SSL_CERT_FILE": str(tmp_path / "cert")}
        assert pull(tmp_path / "a", name, "--retries", "0").returncode == 5          # nobody vouches for it
        assert pull(tmp_path / "a", other, "--retries", "0", env=trusted).returncode == 5  # another name
        assert not check_store(tmp_path / "a")
        assert pull(tmp_path / "a", name, env=trusted).returncode == 0
        assert absent_or_whole(tmp_path / "a", MODEL)
        assert pull(tmp_path / "b", other, "--insecure").returncode == 0
        with Hostile() as plain:  # never from TLS to plain http, insecure or not
            def down(s, q, w):
                w.send(302, b"", Location=plain.server.url(q.target))
                return True
            s.wrong = down
            assert pull(tmp_path / "c", other, "--insecure", "--retries", "1").returncode == 5
            assert not plain.server.requests and not check_store(tmp_path / "c")
