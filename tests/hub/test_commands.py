"""The commands of the model store, on stores of their own."""

import hashlib
import json
import os
import pathlib
import tarfile

import pytest

from hearth_store import BIN, put_ollama

MODELFILE = '''# made by hand
from bard
PARAMETER temperature 0.25
parameter stop "END"
PARAMETER stop """two
lines"""
PARAMETER num_predict 7
SYSTEM """You say "little"."""
TEMPLATE """{{ if .System }}<s>{{ .System }}</s>{{ end }}{{ .Prompt }}"""
MESSAGE user Who are you?
MESSAGE assistant A bard.
LICENSE free
RENDERER plain
PARSER plain
REQUIRES 0.5.0
'''


def bard(store):
    """The file of the model inside the program."""
    store.create("tmp", "FROM bard")
    path = pathlib.Path(store.json("show", "tmp")["path"])
    data = path.read_bytes()
    store.ok("rm", "tmp")
    return data


@pytest.fixture
def gguf(store):
    path = store.folder / "Tiny-Bard-Q8_0.gguf"
    path.write_bytes(bard(store))
    return path


def test_create_show_and_back(store):
    assert store.create("mine", MODELFILE).returncode == 0
    assert store.names() == ["mine:latest"]
    text = store.ok("show", "mine", "--modelfile")
    assert store.create("again", text).returncode == 0
    first = json.loads((store.models / "manifests/registry.ollama.ai/library/mine/latest").read_text())
    second = json.loads((store.models / "manifests/registry.ollama.ai/library/again/latest").read_text())
    assert first == second
    for want in ['PARAMETER stop "END"', 'PARAMETER stop """two\nlines"""', "PARAMETER temperature 0.25",
                 'SYSTEM You say "little".', "MESSAGE assistant A bard.", "LICENSE free", "REQUIRES 0.5.0"]:
        assert want in text
    assert "temperature                    0.25" in store.ok("show", "mine", "--parameters")
    assert store.ok("show", "mine", "--system") == 'You say "little".\n'
    assert store.ok("show", "mine", "--template").startswith("{{ if .System }}")
    assert store.ok("show", "mine", "--license") == "free\n"


def test_made_of_another(store):
    store.create("a", "FROM bard\nPARAMETER temperature 0.5\nPARAMETER top_k 3\nSYSTEM one")
    store.create("b", "FROM a\nPARAMETER temperature 0.6\n")
    text = store.ok("show", "b", "--modelfile")
    assert "temperature 0.6" in text and "top_k 3" in text and "SYSTEM one" in text
    du = store.json("du")
    assert du["blob_bytes"] < 1.1 * max(m["bytes"] for m in du["models"])


def test_copy_and_remove(store):
    store.create("a", "FROM bard")
    store.ok("cp", "A", "ns/b:one")
    assert store.names() == ["a:latest", "ns/b:one"]
    before = store.blobs()
    store.ok("rm", "a")
    assert store.blobs() == before and store.names() == ["ns/b:one"]
    store.ok("rm", "ns/b:ONE")
    assert store.blobs() == [] and store.names() == []
    assert "no model" in store.fails(3, "rm", "a")
    store.create("c", "FROM bard")
    store.fails(3, "rm", "c", "nothing")
    assert store.names() == ["c:latest"]  # none is removed where one is not there


@pytest.mark.parametrize("text,said", [
    ("", "FROM"), ("FROM nothing-there", "no model"), ("FROM bard\nPARAMETER temperature hot", "line 2"),
    ("FROM bard\nPARAMETER wat 1", "line 2"), ("FROM bard\nPARAMETER top_p 2", "line 2"), ("FROM bard\nWAT 1", "line 2"),
    ("FROM bard\nSYSTEM \"\"\"x", "line 2"), ("FROM bard\nMESSAGE robot hi", "line 2"),
    ("FROM bard\nTEMPLATE {{ if }}", "line 2"), ("FROM ./no.gguf", "no.gguf"), ("FROM .", "Safetensors"),
    ("FROM https://example.invalid/x.gguf", "pull"), ("FROM bard\nADAPTER ./x", "x")])
def test_create_refuses(store, text, said):
    done = store.create("mine", text)
    assert done.returncode not in (0, 139) and said in done.stderr.decode(), done.stderr.decode()
    assert store.names() == []


def test_create_quantizes(store):
    store.create("half", "FROM bard")
    done = store.create("small", "FROM bard", "--quantize", "Q4_0")
    assert done.returncode == 2 and b"--allow-requantize" in done.stderr
    assert store.create("small", "FROM bard", "--quantize", "Q4_0", "--allow-requantize").returncode == 0
    size = {m["name"]: m["bytes"] for m in store.json("list")["models"]}
    assert size["small:latest"] < 0.7 * size["half:latest"] and store.whole()


def test_file_and_folder_paths(store, gguf):
    (store.folder / "sub").mkdir()
    (store.folder / "sub" / "Modelfile").write_text("FROM ../Tiny-Bard-Q8_0.gguf\nSYSTEM x\n")
    store.ok("create", "m", "-f", "sub/Modelfile")
    assert store.json("show", "m")["architecture"]


def test_import_of_a_file(store, gguf):
    assert store.ok("import", gguf) == "Tiny-Bard:Q8_0\n"
    assert store.ok("import", gguf, "--name", "x/y:z") == "x/y:z\n"
    assert store.names() == ["Tiny-Bard:Q8_0", "x/y:z"]
    gguf.write_bytes(gguf.read_bytes()[:1000])
    store.fails(7, "import", gguf, "--name", "cut")
    assert "cut:latest" not in store.names()


def test_archive_goes_round(store, tmp_path):
    store.create("ns/mine:v1", MODELFILE)
    store.ok("export", "ns/mine:v1", "m.tar")
    with tarfile.open(store.folder / "m.tar") as tar:
        names = tar.getnames()
    assert names[-1] == "manifests/registry.ollama.ai/ns/mine/v1"
    assert all(n.startswith("blobs/sha256-") for n in names[:-1])
    assert "--force" in store.fails(2, "export", "ns/mine:v1", "m.tar")
    manifest = (store.models / names[-1]).read_bytes()
    store.ok("rm", "ns/mine:v1")
    assert store.ok("import", "m.tar") == "ns/mine:v1\n"
    assert (store.models / names[-1]).read_bytes() == manifest and store.whole()
    store.create("ns/mine:v1", "FROM bard")
    store.fails(2, "import", "m.tar")
    store.ok("import", "m.tar", "--force")
    assert (store.models / names[-1]).read_bytes() == manifest


def test_archive_that_lies(store):
    store.create("mine", "FROM bard\nSYSTEM short")
    store.ok("export", "mine", "m.tar")
    good = (store.folder / "m.tar").read_bytes()
    store.ok("rm", "mine")
    bad = store.folder / "bad.tar"
    for at in (600, len(good) // 2):
        bad.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
        store.fails(7, "import", bad)
    for size in (100, 512, 5000, len(good) - 1100):
        bad.write_bytes(good[:size])
        store.run("import", bad)
        assert store.names() == []
    for name in ("../../evil", "blobs/../../evil", "manifests/../../../../evil", "/tmp/evil", "blobs/sha256-x"):
        with tarfile.open(bad, "w") as tar:
            info = tarfile.TarInfo(name)
            info.size = 4
            import io
            tar.addfile(info, io.BytesIO(b"evil"))
            link = tarfile.TarInfo("blobs/sha256-" + "0" * 64)
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(link)
        assert store.run("import", bad).returncode in (2, 7), name
    assert not list(store.folder.rglob("evil*")) and store.names() == []


def test_others_are_read_only(store, gguf):
    manifest = put_ollama(store.ollama, "theirs",
                          [("model", gguf.read_bytes()), ("params", b'{"temperature":0.1,"stop":["X"],"new":1}'),
                           ("system", b"Be kind.")])
    hex_ = hashlib.sha256(gguf.read_bytes()).hexdigest()
    repo = store.cache / "models--user--Repo-GGUF"
    (repo / "blobs").mkdir(parents=True)
    (repo / "snapshots" / "abc").mkdir(parents=True)
    (repo / "blobs" / hex_).write_bytes(gguf.read_bytes())
    (repo / "snapshots" / "abc" / gguf.name).symlink_to(f"../../blobs/{hex_}")
    (repo / "snapshots" / "abc" / "out.gguf").symlink_to("/etc/passwd")
    before = sorted((str(p), p.stat().st_mtime_ns) for p in [*store.ollama.rglob("*"), *store.cache.rglob("*")])
    rows = {m["name"]: m for m in store.json("list")["models"]}
    assert rows["theirs:latest"]["place"] == "ollama"
    assert rows["hf.co/user/Repo-GGUF:Q8_0"]["id"] == hex_
    assert len(rows) == 2
    for name in ("theirs", "hf.co/user/repo-gguf", "hf.co/user/Repo-GGUF:q8_0"):
        assert store.json("show", name)["architecture"]
        assert store.ok("run", name, "--raw", "-n", "3", "--temp", "0", "Once")
    assert store.ok("show", "theirs", "--system") == "Be kind.\n"
    assert "only read" in store.fails(5, "rm", "theirs")
    store.ok("gc", "--all", "--partial")
    assert before == sorted((str(p), p.stat().st_mtime_ns)
                            for p in [*store.ollama.rglob("*"), *store.cache.rglob("*")])
    store.ok("cp", "theirs", "ours")
    assert store.ok("import", "ollama") == "theirs:latest\n"
    assert store.ok("import", "hf") == "hf.co/user/Repo-GGUF:Q8_0\n"
    manifest.unlink()
    assert store.ok("show", "ours", "--system") == "Be kind.\n" and store.whole()


def test_verify_repairs(store):
    store.create("mine", MODELFILE)
    big = max((store.models / "blobs").iterdir(), key=lambda p: p.stat().st_size)
    data = bytearray(big.read_bytes())
    data[len(data) // 2] ^= 1
    big.write_bytes(data)
    done = store.run("verify")
    assert done.returncode == 7 and big.name[7:] in done.stdout.decode()
    assert store.run("verify", "mine").returncode == 7
    assert store.run("verify", "--quick").returncode == 0
    store.ok("verify", "--repair")
    assert store.names() == [] and store.whole()
    assert store.create("mine", MODELFILE).returncode == 0 and store.whole()


def test_gc(store):
    store.create("mine", "FROM bard\nSYSTEM one")
    store.create("mine", "FROM bard\nSYSTEM two")  # the first text belongs to nobody now
    unused = store.json("du")["unused_bytes"]
    assert unused >= 3
    spared = store.json("gc")
    assert spared["files"] == 0 and spared["spared"] > 0
    assert store.json("gc", "--all", "--dry-run")["bytes"] == unused
    assert store.json("gc", "--all")["bytes"] == unused and store.json("du")["unused_bytes"] == 0
    (store.models / "tmp" / "99-1").write_bytes(b"left")
    assert store.json("gc")["bytes"] == 4 and store.whole()


def test_not_found_says_what_to_do(store):
    said = store.fails(3, "run", "nothing", "hi")
    assert "hearth list" in said and "hearth pull" in said
    assert os.path.exists(BIN)


def test_run_uses_the_recipe(store):
    store.create("short", "FROM bard\nPARAMETER num_predict 3\nPARAMETER temperature 0\n")
    data = json.loads(store.ok("run", "short", "--json", "Once upon a time"))
    assert data["answer_tokens"] == 3
    data = json.loads(store.ok("run", "short", "--json", "-n", "5", "Once upon a time"))
    assert data["answer_tokens"] == 5
    store.create("told", 'FROM bard\nTEMPLATE """{{ range .Messages }}<{{ .Role }}>{{ .Content }}{{ end }}"""\n'
                 "SYSTEM Be a bard.\nMESSAGE user Hail!\nMESSAGE assistant Well met.\n")
    count = lambda *more: json.loads(store.ok("run", *more, "--json", "-n", "1", "--temp", "0", "Sing."))["prompt_tokens"]
    assert count("told") > count("told", "--system", "x") > count("bard", "--raw")
