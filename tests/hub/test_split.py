"""Models of several parts, end to end: by path, imported, made, uploaded, pulled from a repository, an address and a
registry, run, looked at, checked, exported, removed. Everywhere the answer is that of the whole file."""
import hashlib
import json
import pathlib
import sys

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1] / "api"),
                str(pathlib.Path(__file__).parents[1] / "tools")]
import hearth_api  # noqa: E402
import split_model  # noqa: E402
from hearth_store import put_ollama  # noqa: E402
from hub_rig import BARD, Model, Nginx, Registry, sha  # noqa: E402

pytestmark = pytest.mark.skipif(not BARD.exists(), reason="models/bard/bard-q8_0.gguf is not here")
COUNT = 3
ASK = ("--raw", "-n", "6", "--temp", "0", "To be or not")


@pytest.fixture(scope="module")
def parts():
    made = split_model.split(BARD.read_bytes(), COUNT)
    assert len(made) == COUNT and all(len(p) > 1000 for p in made)
    return dict(zip(split_model.names("Tiny-Bard-Q8_0", COUNT), made))


@pytest.fixture
def folder(store, parts):
    for name, data in parts.items():
        (store.folder / name).write_bytes(data)
    return store.folder


def answer(store, name):
    return store.ok("run", name, *ASK)


def views(store):
    return sorted(str(p) for p in (store.models / "split").rglob("*")) if (store.models / "split").exists() else []


def runs_as_bard(store, name):
    assert answer(store, name) == answer(store, "bard") != ""
    shown, whole = store.json("show", name), store.json("show", "bard")
    for key in ("architecture", "parameters", "context_length"):
        assert shown.get(key) == whole.get(key), key
    assert store.whole()


def test_by_path(store, folder, parts):
    """Any of the parts opens all."""
    first, *others = sorted(parts)
    want = answer(store, "bard")
    for name in (first, others[-1]):
        assert answer(store, folder / name) == want
    whole = store.json("show", BARD)
    shown = store.json("show", folder / first)
    assert shown["architecture"] == whole["architecture"]
    fit, fit_whole = (json.loads(store.ok("fit", "--quick", "--json", p)) for p in (folder / first, BARD))
    assert fit["kv_bytes"] == fit_whole["kv_bytes"] and 0 <= fit["weight_bytes"] - fit_whole["weight_bytes"] < 10000
    (folder / others[0]).unlink()
    assert others[0] in store.fails(3, "run", folder / first, *ASK)


@pytest.mark.parametrize("lie,said", [({"split.count": 4}, "split.count"), ({"split.no": 1}, "split.no"),
                                      ({"split.tensors.count": 7}, "split.tensors.count")])
def test_parts_that_lie(store, lie, said):
    for name, data in zip(split_model.names("liar", COUNT), split_model.split(BARD.read_bytes(), COUNT, lie)):
        (store.folder / name).write_bytes(data)
    first = store.folder / split_model.names("liar", COUNT)[0]
    done = store.run("run", first, *ASK)
    assert done.returncode in (3, 7) and done.stderr.count(b"\n") == 1, done.stderr
    assert said in done.stderr.decode() or "parts" in done.stderr.decode() or "part" in done.stderr.decode()
    assert store.run("import", first).returncode in (3, 7) and store.names() == []


def test_import_and_life(store, folder, parts):
    assert store.ok("import", folder / sorted(parts)[0]) == "Tiny-Bard:Q8_0\n"
    for name in parts:
        (folder / name).unlink()
    runs_as_bard(store, "Tiny-Bard:Q8_0")
    row, = store.json("list")["models"]
    assert row["bytes"] >= sum(map(len, parts.values()))
    store.ok("cp", "Tiny-Bard:Q8_0", "copy")
    store.create("mine", "FROM copy\nLICENSE x")
    assert answer(store, "mine") == answer(store, "bard")
    store.ok("export", "mine", "mine.tar")
    for name in ("Tiny-Bard:Q8_0", "copy"):
        store.ok("rm", name)
    assert answer(store, "mine") == answer(store, "bard")
    text = store.ok("show", "mine", "--modelfile")
    assert "LICENSE x" in text
    store.ok("rm", "mine")
    assert store.blobs() == [] and views(store) == []
    assert store.ok("import", "mine.tar") == "mine:latest\n"
    runs_as_bard(store, "mine")
    # the view is links alone: it may go, and comes back
    views_before = views(store)
    assert views_before
    for p in sorted((store.models / "split").rglob("*"), reverse=True):
        p.rmdir() if p.is_dir() and not p.is_symlink() else p.unlink()
    assert answer(store, "mine") == answer(store, "bard") and views(store) == views_before
    blob = store.models / "blobs" / f"sha256-{hashlib.sha256(sorted(parts.items())[1][1]).hexdigest()}"
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    assert store.run("verify").returncode == 7


def test_made_one_file_by_quantising(store, folder, parts):
    store.ok("quantize", "bard", folder / "f16.gguf", "f16", "--allow-requantize")
    for name, data in zip(split_model.names("f16", 2), split_model.split((folder / "f16.gguf").read_bytes(), 2)):
        (folder / name).write_bytes(data)
    done = store.create("small", "FROM ./f16-00001-of-00002.gguf", "--quantize", "Q4_K_M")
    assert done.returncode == 0, done.stderr
    whole = store.create("small2", "FROM ./f16.gguf", "--quantize", "Q4_K_M")
    assert whole.returncode == 0
    layers = [json.loads((store.models / "manifests/registry.ollama.ai/library" / n / "latest").read_text())["layers"]
              for n in ("small", "small2")]
    assert [x["digest"] for x in layers[0]] == [x["digest"] for x in layers[1]]  # the same bytes


def test_pulled(store, parts, tmp_path):
    with Nginx(tmp_path / "nginx") as nginx:
        nginx.face("user/split", {f"Q8_0/{name}": data for name, data in parts.items()})
        for name, data in parts.items():
            nginx.put(f"files/{name}", data)
        store.env["HF_ENDPOINT"] = nginx.url()
        far = json.loads(store.ok("fit", "--quick", "--json", "--insecure", "hf.co/user/split:Q8_0"))
        here = json.loads(store.ok("fit", "--quick", "--json", BARD))
        assert far["kv_bytes"] == here["kv_bytes"] and far["fetch_bytes"] == sum(map(len, parts.values()))
        store.ok("pull", "--insecure", "hf.co/user/split")
        runs_as_bard(store, "hf.co/user/split")
        second = nginx.url("/files/" + sorted(parts)[1])
        store.ok("pull", "--insecure", second)
        runs_as_bard(store, "Tiny-Bard-Q8_0")
        assert "was here already" in store.run("pull", "--insecure", "hf.co/user/split").stderr.decode()
        assert "up to date" in store.ok("update", "--insecure", "hf.co/user/split")


def test_from_a_registry(store, parts, tmp_path):
    with Registry(tmp_path / "registry") as registry:
        model = Model(weights=sorted(parts.items())[0][1])
        m = json.loads(model.manifest)
        more = [{"mediaType": "application/vnd.ollama.image.model", "digest": sha(d), "size": len(d)}
                for _, d in sorted(parts.items())[1:]]
        m["layers"][1:1] = more
        model.manifest = json.dumps(m).encode()
        model.blobs.update({sha(d): d for d in parts.values()})
        registry.load("library/split", "latest", model)
        name = registry.name("library/split")
        store.ok("pull", "--insecure", name)
        runs_as_bard(store, f"127.0.0.1:{registry.port}/library/split")


def test_where_others_keep_it(store, parts):
    """In place: what lies in another program's store is not touched, and the view is in ours."""
    put_ollama(store.ollama, "theirs", [("model", d) for _, d in sorted(parts.items())])
    repo = store.cache / "models--user--Repo-GGUF"
    (repo / "snapshots" / "abc").mkdir(parents=True)
    for name, data in parts.items():
        (repo / "snapshots" / "abc" / name).write_bytes(data)
    before = sorted((str(p), p.stat().st_mtime_ns) for p in [*store.ollama.rglob("*"), *store.cache.rglob("*")])
    for name in ("theirs", "hf.co/user/Repo-GGUF:Q8_0"):
        runs_as_bard(store, name)
    assert before == sorted((str(p), p.stat().st_mtime_ns)
                            for p in [*store.ollama.rglob("*"), *store.cache.rglob("*")])
    store.ok("import", "ollama")
    (store.ollama / "manifests").rename(store.ollama / "gone")
    runs_as_bard(store, "theirs")


def test_uploaded_and_served(tmp_path, parts):
    """By blobs of /api/create, in the order of their names; then a server runs it."""
    with hearth_api.serving(tmp_path / "home", "--model", "bard", "--drain", "1") as s:
        files = {}
        for name, data in parts.items():
            assert s.post(f"/api/blobs/{sha(data)}", data).status == 201
            files[name] = sha(data)
        a = s.post("/api/create", {"model": "parts", "files": files, "stream": False})
        assert a.status == 200 and a.json() == {"status": "success"}, a.body
        said = {m: s.post("/api/generate", {"model": m, "prompt": "To be", "raw": True, "stream": False,
                                            "options": {"num_predict": 6, "temperature": 0}}).json()["response"]
                for m in ("bard", "parts")}
        assert said["bard"] == said["parts"] != ""
        assert s.post("/api/show", {"model": "parts"}).json()["details"]["quantization_level"] == "Q8_0"
        wrong = dict(zip(parts, reversed(list(files.values()))))
        assert s.post("/api/create", {"model": "wrong", "files": wrong, "stream": False}).status == 400
        assert [m["name"] for m in s.get("/api/tags").json()["models"]].count("wrong:latest") == 0
