"""Getting models from real programs on loopback: Debian's docker-registry, and nginx with a tree like Hugging
Face's."""
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from hub_rig import (BARD, HEARTH, NIGHTLY, Model, Nginx, Registry, absent_or_whole, check_store,  # noqa: E402
                     environment, hearth, models, pull, sha)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with Registry(tmp_path_factory.mktemp("registry")) as r:
        yield r


@pytest.fixture(scope="module")
def nginx(tmp_path_factory):
    with Nginx(tmp_path_factory.mktemp("nginx")) as n:
        yield n


# ---- a registry ----


def test_registry(registry, tmp_path):
    model = Model(seed=100)
    registry.load("library/one", "latest", model)
    done = pull(tmp_path, registry.name("library/one"), "--insecure")
    assert done.returncode == 0 and absent_or_whole(tmp_path, model), done.text
    said = [x["text"] for x in done.events if x["event"] == "status"]
    assert said == ["pulling manifest", "verifying sha256 digest", "writing manifest", "success"]
    assert [x["what"] for x in done.events if x.get("verified")] == ["config", "model", "license", "params"]
    # the second time there is nothing to do
    again = pull(tmp_path, registry.name("library/one"), "--insecure")
    assert again.returncode == 0 and not [x for x in again.events if x["event"] == "blob"]
    plain = hearth(tmp_path, "pull", "--insecure", registry.name("library/one"))
    assert plain.stdout == b"" and b"was here already" in plain.stderr
    assert pull(tmp_path, registry.name("library/none"), "--insecure").returncode == 3


def test_a_new_version(registry, tmp_path):
    old, new = Model(seed=101), Model(seed=102)
    name = registry.name("library/two")
    registry.load("library/two", "latest", old)
    assert pull(tmp_path, name, "--insecure").returncode == 0
    registry.load("library/two", "latest", new)
    done = hearth(tmp_path, "pull", "--insecure", name)
    assert done.returncode == 0 and b"--rollback" in done.stderr
    (text,) = check_store(tmp_path).values()
    assert text == new.manifest


def test_shared_blobs_come_once(registry, tmp_path):
    one = Model(seed=103)
    two = Model(seed=103, system=b"You are a pirate.")
    registry.load("library/three", "latest", one)
    registry.load("library/three", "pirate", two)
    assert pull(tmp_path, registry.name("library/three"), "--insecure").returncode == 0
    done = pull(tmp_path, registry.name("library/three:pirate"), "--insecure")
    (weights,) = [x for x in done.events if x.get("what") == "model"]
    assert weights["resumed"] == weights["total"] and len(check_store(tmp_path)) == 2


def test_push(registry, tmp_path):
    model = Model(seed=104)
    registry.load("library/four", "latest", model)
    assert pull(tmp_path, registry.name("library/four"), "--insecure").returncode == 0
    # the same under another name, by hand: the store's layout is Ollama's
    root = tmp_path / "models" / "manifests"
    (at,) = [p for p in root.rglob("*") if p.is_file()]
    to = at.parents[2] / "me" / "five" / "v1"
    to.parent.mkdir(parents=True)
    shutil.copy(at, to)
    done = hearth(tmp_path, "push", "--insecure", registry.name("me/five:v1"))
    assert done.returncode == 0, done.stderr
    r = registry.ask("GET", "/v2/me/five/manifests/v1", Accept="application/vnd.docker.distribution.manifest.v2+json")
    assert r.status == 200 and r.body == model.manifest
    for digest, data in model.blobs.items():
        assert registry.ask("GET", f"/v2/me/five/blobs/{digest}").body == data
    assert pull(tmp_path / "2", registry.name("me/five:v1"), "--insecure").returncode == 0
    assert absent_or_whole(tmp_path / "2", model)
    assert hearth(tmp_path, "push", "--insecure", registry.name("me/six")).returncode == 3
    assert hearth(tmp_path, "push", "hf.co/me/five").returncode == 2


# ---- Hugging Face ----


def gguf(n, seed):
    return b"GGUF" + random.Random(seed).randbytes(n)


def test_hugging_face(nginx, tmp_path):
    files = {"m-Q4_K_M.gguf": gguf(400_000, 1), "m-Q8_0.gguf": gguf(800_000, 2), "README.md": b"# m",
             "mmproj-m-F16.gguf": gguf(1000, 3),
             **{f"big/m-BF16-0000{i}-of-00003.gguf": gguf(500_000 + i, 10 + i) for i in (1, 2, 3)}}
    nginx.face("user/repo", files)
    env = {"HF_ENDPOINT": nginx.url()}

    def get(name, **kw):
        done = pull(tmp_path, name, "--insecure", env=env, **kw)
        assert done.returncode == 0, done.text
        return {path: [layer["digest"] for layer in json.loads(text)["layers"]]
                for path, text in check_store(tmp_path).items()}

    assert get("hf.co/user/repo")["hf.co/user/repo/latest"] == [sha(files["m-Q4_K_M.gguf"])]
    assert get("hf.co/user/repo:q8_0")["hf.co/user/repo/q8_0"] == [sha(files["m-Q8_0.gguf"])]
    assert get("huggingface.co/user/repo:BF16")["hf.co/user/repo/BF16"] == [
        sha(files[f"big/m-BF16-0000{i}-of-00003.gguf"]) for i in (1, 2, 3)]
    done = pull(tmp_path, "hf.co/user/repo:Q3_K_M", "--insecure", env=env)
    assert done.returncode == 3 and "it has Q4_K_M, Q8_0, BF16" in done.text
    done = pull(tmp_path, "hf.co/user/none", "--insecure", env=env)
    assert done.returncode == 3 and "HF_TOKEN" in done.text


def test_hugging_face_without_digests(nginx, tmp_path):
    """Small files have none there: what came is what is kept, and a page is no model."""
    nginx.face("user/small", {"m-Q8_0.gguf": gguf(300_000, 5)}, lfs=False)
    nginx.face("user/page", {"m-Q8_0.gguf": b"<html>no</html>"}, lfs=False)
    env = {"HF_ENDPOINT": nginx.url()}
    assert pull(tmp_path, "hf.co/user/small", "--insecure", env=env).returncode == 0
    assert pull(tmp_path, "hf.co/user/small", "--insecure", env=env).returncode == 0
    assert pull(tmp_path, "hf.co/user/page", "--insecure", env=env).returncode == 7
    assert list(check_store(tmp_path)) == ["hf.co/user/small/latest"]


def test_what_runs(nginx, tmp_path):
    if not BARD.exists():
        pytest.skip("models/bard/bard-q8_0.gguf is not here")
    nginx.face("user/bard", {"bard-Q8_0.gguf": BARD.read_bytes()})
    env = {"HF_ENDPOINT": nginx.url()}
    assert pull(tmp_path, "hf.co/user/bard", "--insecure", env=env).returncode == 0
    (blob,) = [p for p in (tmp_path / "models" / "blobs").iterdir() if p.stat().st_size == BARD.stat().st_size]
    assert blob.read_bytes() == BARD.read_bytes()


def test_address(nginx, tmp_path):
    for i in (1, 2):
        nginx.put(f"files/My Model-0000{i}-of-00002.gguf".replace(" ", "_"), gguf(200_000, 20 + i))
    nginx.put("files/one.gguf", gguf(300_000, 30))
    assert pull(tmp_path, nginx.url("/files/one.gguf"), "--insecure").returncode == 0
    assert pull(tmp_path, nginx.url("/files/My_Model-00001-of-00002.gguf"), "--insecure").returncode == 0
    found = check_store(tmp_path)
    assert sorted(found) == ["registry.ollama.ai/library/My_Model/latest", "registry.ollama.ai/library/one/latest"]
    assert len(json.loads(found["registry.ollama.ai/library/My_Model/latest"])["layers"]) == 2
    assert pull(tmp_path, nginx.url("/files/none.gguf"), "--insecure").returncode == 3
    assert hearth(tmp_path, "pull", nginx.url("/files/one.gguf")).returncode == 5


# ---- what is said meanwhile ----


def test_names_that_are_none(tmp_path):
    for name, code in (("bard", 2), ("./x.gguf", 2), ("a b", 2), ("../../etc", 2), ("hf.co/x", 2), ("x:y:z", 2)):
        done = hearth(tmp_path, "pull", name)
        assert done.returncode == code and done.stderr.count(b"\n") == 1, (name, done.stderr)
    assert hearth(tmp_path, "pull", "--limit-rate", "fast", "x").returncode == 2


def test_rate_and_interrupt(nginx, tmp_path):
    """Ctrl-C keeps what there is; without a terminal a line is written now and then, not a bar."""
    nginx.put("slow/m.gguf", gguf(3_000_000, 40))
    args = [HEARTH, "pull", "--insecure", "--limit-rate", "1M", nginx.url("/slow/m.gguf")]
    child = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(tmp_path))
    part = tmp_path / "models" / "partial"
    while not list(part.glob("*")) or max(p.stat().st_blocks for p in part.glob("*")) * 512 < 500_000:
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130 and out == b"" and b"\r" not in err and b"goes on" in err
    done = pull(tmp_path, nginx.url("/slow/m.gguf"), "--insecure")
    assert done.returncode == 0 and done.events[1]["resumed"] >= 400_000


def test_the_disk_is_looked_at_first(registry, tmp_path):
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("no mount namespaces here")
    model = Model(size=4_000_000, seed=105)
    registry.load("library/big", "latest", model)
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (f"mount -t tmpfs -o size=3m none {disk} && "
              f"{HEARTH} pull --insecure {registry.name('library/big')}; echo code $?; ls -R {disk} | grep -c sha256")
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, check=False, text=True,
                          env=environment(disk), timeout=60)
    if "code 6" not in done.stdout and "mount" in done.stderr:
        pytest.skip("nothing can be mounted here")
    assert "code 6" in done.stdout, done
    assert "MB" in done.stderr or "bytes" in done.stderr


# ---- kill -9 ----


@pytest.mark.parametrize("round", range(200 if NIGHTLY else 6))
def test_kill(registry, tmp_path, round):
    """At a random moment of a pull, and of a pull over an older version: the store is whole, and a pull ends it."""
    name = registry.name(f"library/kill{round % 3}")
    old, new = Model(size=2_000_000, seed=200 + round % 3), Model(size=2_000_000, seed=300 + round % 3)
    registry.load(f"library/kill{round % 3}", "latest", old if round % 2 else new)
    if round % 2:
        assert pull(tmp_path, name, "--insecure").returncode == 0
        registry.load(f"library/kill{round % 3}", "latest", new)
    child = subprocess.Popen([HEARTH, "pull", "--insecure", "--chunk", "64", name], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, env=environment(tmp_path))
    time.sleep(random.Random(round).uniform(0.01, 0.12))
    child.kill()
    child.wait()
    for text in check_store(tmp_path).values():
        assert text in (old.manifest, new.manifest)
    done = pull(tmp_path, name, "--insecure")
    assert done.returncode == 0, done.text
    (text,) = check_store(tmp_path).values()
    assert text == new.manifest


# ---- newer versions ----


def test_update_and_back(registry, tmp_path):
    old, new = Model(seed=110), Model(seed=111)
    name, shown = registry.name("library/up"), f"127.0.0.1:{registry.port}/library/up"
    registry.load("library/up", "latest", old)
    assert pull(tmp_path, name, "--insecure").returncode == 0

    def update(*args):
        done = hearth(tmp_path, "update", "--insecure", *args)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    def here():
        (text,) = check_store(tmp_path).values()
        return text

    assert "up to date" in update() and here() == old.manifest
    registry.load("library/up", "latest", new)
    assert "newer version" in update(shown) and here() == old.manifest  # only told
    assert "updated" in update("--yes", shown) and here() == new.manifest
    assert "up to date" in update()
    update("--rollback", shown)
    assert here() == old.manifest
    update("--rollback", shown)
    assert here() == new.manifest
    update("--forget", shown)
    assert hearth(tmp_path, "update", "--rollback", shown).returncode == 3
    assert hearth(tmp_path, "update", "--rollback").returncode == 2
    assert hearth(tmp_path, "update", "none").returncode == 3


# ---- fit, search ----


def test_fit(nginx, tmp_path):
    if not BARD.exists():
        pytest.skip("models/bard/bard-q8_0.gguf is not here")
    nginx.face("user/fit", {"bard-Q8_0.gguf": BARD.read_bytes(), "bard-Q4_K_M.gguf": BARD.read_bytes()})
    env = {"HF_ENDPOINT": nginx.url()}
    here = json.loads(hearth(tmp_path, "fit", "--json", "--quick", BARD).stdout)
    assert here["fits"] and here["weight_bytes"] == BARD.stat().st_size and here["tokens_per_s_at_most"] is None
    there = json.loads(hearth(tmp_path, "fit", "--json", "--quick", "--insecure", "hf.co/user/fit:Q8_0", env=env).stdout)
    assert there["best"] in ("Q8_0", "Q4_K_M") and there["fetch_bytes"] == BARD.stat().st_size
    same = ("weight_bytes", "kv_bytes", "work_bytes", "ctx", "ctx_train")
    assert {k: there[k] for k in same} == {k: here[k] for k in same}
    far = hearth(tmp_path, "fit", "--quick", "--insecure", "-c", "64", nginx.url(
        "/user/fit/resolve/0123456789abcdef0123456789abcdef01234567/bard-Q8_0.gguf"))
    assert far.returncode == 0 and b"it fits" in far.stdout and b"64 tokens" in far.stdout
    speed = json.loads(hearth(tmp_path, "fit", "--json", BARD).stdout)["tokens_per_s_at_most"]
    assert speed > 0
    assert not models(tmp_path)  # nothing was fetched
    nginx.put("fit/page.gguf", b"<html>" * 100)
    assert hearth(tmp_path, "fit", "--insecure", nginx.url("/fit/page.gguf")).returncode == 7
    assert hearth(tmp_path, "fit", tmp_path / "none.gguf").returncode == 3


def test_search(nginx, tmp_path):
    nginx.put("api/models/index.html", b"")
    with Nginx(tmp_path / "n", "location = /api/models { default_type application/json; return 200 "
               "'[{\"id\":\"user/repo\",\"downloads\":7},{\"downloads\":1}]'; }") as n:
        done = hearth(tmp_path, "search", "--insecure", "qwen3", "4b", env={"HF_ENDPOINT": n.url()})
        assert done.returncode == 0 and done.stdout.split() == [b"hf.co/user/repo", b"7"]
        log = (tmp_path / "n" / "access").read_text()
        assert "search=qwen3%204b" in log and "filter=gguf" in log


# ---- over HTTP ----


def test_over_http(registry, tmp_path):
    """/api/pull and /api/push tell what they do as Ollama does."""
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "api"))
    import hearth_api
    model = Model(seed=112)
    registry.load("library/http", "latest", model)
    with hearth_api.serving(tmp_path, "--drain", "1") as s:
        name = registry.name("library/http")
        lines = [json.loads(x) for x in s.post("/api/pull", {"model": name, "insecure": True}).body.splitlines()]
        assert lines[0] == {"status": "pulling manifest"} and lines[-1] == {"status": "success"}
        parts = [x for x in lines if x.get("digest") == model.digest]
        assert parts[-1] == {"status": f"pulling {model.digest[7:19]}", "digest": model.digest,
                             "total": len(model.weights), "completed": len(model.weights)}
        assert absent_or_whole(tmp_path, model)
        assert any("library/http" in x["name"] for x in s.get("/api/tags").json()["models"])  # known at once
        a = s.post("/api/pull", {"model": name, "insecure": True, "stream": False})
        assert a.status == 200 and a.json() == {"status": "success"}
        a = s.post("/api/push", {"model": name, "insecure": True})
        assert json.loads(a.body.splitlines()[-1]) == {"status": "success"}
        assert s.post("/api/pull", {"model": registry.name("library/nobody"), "insecure": True,
                                    "stream": False}).status == 404
        a = s.post("/api/pull", {"model": registry.name("library/nobody"), "insecure": True})
        assert "error" in json.loads(a.body.splitlines()[-1])
        for bad in ("/etc/passwd", "../x.gguf", "http://127.0.0.1:1/x.gguf", name, "", "bard"):
            assert s.post("/api/pull", {"model": bad, "stream": False}).status == 400, bad


# ---- hearth run ----


def test_run_asks_once(nginx, tmp_path):
    if not BARD.exists():
        pytest.skip("models/bard/bard-q8_0.gguf is not here")
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "cli"))
    from hearth_cli import Terminal
    address = nginx.url("/ask/bard-q8_0.gguf")
    nginx.put("ask/bard-q8_0.gguf", BARD.read_bytes())
    env = environment(tmp_path, HEARTH_HOST="off")
    t = Terminal("run", "-n", "4", address, "To be or", home=tmp_path, env=env)
    t.expect(r"Fetch it.*\[Y/n\]")
    t.line("n")
    assert t.end() == 3 and not models(tmp_path)
    done = hearth(tmp_path, "run", address, "To be or")  # nobody can be asked
    assert done.returncode == 3 and not models(tmp_path)
    t = Terminal("run", home=tmp_path, env=env)
    t.expect("is a toy")
    t.line("/bye")
    assert t.end() == 0


def test_gated(tmp_path):
    """The message says what to do: accept the terms on that page, and where a token comes from."""
    name, data = "m-Q8_0.gguf", gguf(300_000, 6)
    only = ('location /user/gated/resolve/ { if ($http_authorization = "") { return 401 "{}"; } '
            'if ($http_authorization != "Bearer hf_good") { return 403 "{}"; } }')
    with Nginx(tmp_path / "nginx", only) as n:
        n.face("user/gated", {name: data}, gated="manual")
        env, page = {"HF_ENDPOINT": n.url()}, n.url("/user/gated")
        done = pull(tmp_path, "hf.co/user/gated", "--insecure", env=env)
        assert done.returncode == 5 and done.text.count("\n") == 1, done.text
        assert page in done.text and "HF_TOKEN" in done.text and "/settings/tokens" in done.text
        done = pull(tmp_path, "hf.co/user/gated", "--insecure", env={**env, "HF_TOKEN": "hf_other"})
        assert done.returncode == 5 and page in done.text and "accept its terms" in done.text, done.text
        assert "hf_other" not in done.text and not models(tmp_path)
        (tmp_path / ".cache" / "huggingface").mkdir(parents=True)
        (tmp_path / ".cache" / "huggingface" / "token").write_text("hf_good\n")
        assert pull(tmp_path, "hf.co/user/gated", "--insecure", env=env).returncode == 0
        assert list(check_store(tmp_path)) == ["hf.co/user/gated/latest"]


def test_kinds_that_are_not_run(registry, tmp_path):
    """Refused before the weights come, with what to pull instead; those that may be read are fetched."""
    registry.load("library/new", "latest", Model(seed=120, family="gemma4"))
    done = pull(tmp_path, registry.name("library/new"), "--insecure")
    assert done.returncode == 1 and "hearth pull gemma3:4b" in done.text and done.text.count("\n") == 1
    assert "model" not in [x.get("what") for x in done.events] and not models(tmp_path)
    registry.load("library/may", "latest", Model(seed=121, family="mistral3"))
    assert pull(tmp_path, registry.name("library/may"), "--insecure").returncode == 0


def test_plain_http_without_saying_so(registry, tmp_path):
    """insecure, and a host that speaks nothing but http: as Ollama's programs name it."""
    registry.load("library/plain", "latest", Model(seed=122))
    assert pull(tmp_path, f"127.0.0.1:{registry.port}/library/plain", "--insecure").returncode == 0
    assert pull(tmp_path / "2", f"127.0.0.1:{registry.port}/library/plain").returncode != 0


def test_run_fetches_and_answers(registry, tmp_path):
    if not BARD.exists():
        pytest.skip("models/bard/bard-q8_0.gguf is not here")
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "cli"))
    from hearth_cli import Terminal
    registry.load("library/run", "latest", Model(weights=BARD.read_bytes()))
    t = Terminal("run", "--insecure", "-n", "4", registry.name("library/run"), "To be or", home=tmp_path,
                 env=environment(tmp_path, HEARTH_HOST="off"))
    t.expect(r"Fetch it.*\[Y/n\]")
    t.line("y")
    assert t.end() == 0 and list(models(tmp_path)) == [f"127.0.0.1:{registry.port}/library/run/latest"]
