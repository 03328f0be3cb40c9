"""Adapters (LoRA) over HTTP: which of them a request is answered with, in every dialect, alone and among others."""
import concurrent.futures
import json
import subprocess
import sys

import pytest

from hearth_api import HEARTH, ROOT, needs_bard, serving

sys.path.insert(0, str(ROOT / "tests" / "tools"))
import make_lora  # noqa: E402

pytestmark = needs_bard
PROMPT = "Look in thy glass, and tell the face thou viewest, now is the time that face should form another. " * 3
SETS = {  # what requests name: [(id, scale)]
    "none": [(0, 0), (1, 0)],
    "first": [(0, 1)],
    "half": [(0, 0.5)],
    "second": [(1, -0.75)],
    "both": [(0, 0.5), (1, 1)],
    "turned": [(1, 1), (0, 0.5)],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lora")
    shape = json.loads(subprocess.run([HEARTH, "show", "bard", "--json", "--tensors"], check=True,
                                      capture_output=True).stdout)
    paths = []
    for seed in (1, 2):
        paths.append(folder / f"style{seed}.gguf")
        paths[-1].write_bytes(make_lora.build(shape, seed=seed, rank=4, alpha=8, half=seed == 2))
    return paths


@pytest.fixture(scope="module")
def adapted(files, tmp_path_factory):
    """bard with two adapters, neither in force by itself."""
    with serving(tmp_path_factory.mktemp("home"), "--lora", f"{files[0]},{files[1]}", "--lora-init-without-apply",
                 "--parallel", 8) as s:
        yield s


def lora_of(name):
    return [{"id": i, "scale": s} for i, s in SETS[name]]


def complete(server, name=None, prompt=PROMPT, **more):
    """The answer's tokens with their probabilities, and how much of the prompt was known."""
    if name is not None:
        more["lora"] = lora_of(name)
    answer = server.post("/completion", {"prompt": prompt, "n_predict": 24, "temperature": 0, "ignore_eos": True,
                                         "return_tokens": True, "n_probs": 2, **more})
    assert answer.status == 200, answer.body
    got = answer.json()
    assert len(got["tokens"]) == 24
    return (got["tokens"], got["completion_probabilities"]), got["timings"]["cache_n"]


def test_the_list(adapted, files):
    first, second = adapted.get("/lora-adapters").json()
    assert (first["id"], second["id"]) == (0, 1) and first["path"] == files[0].name
    assert first["scale"] == second["scale"] == 0 and first["rank"] == 4 and first["alpha"] == 8
    assert first["name"] == "random 1" and first["matrices"] > 6 and first["task_name"] == ""
    params = adapted.get("/props").json()["default_generation_settings"]["params"]
    assert params["lora"] == [{"id": 0, "scale": 0}, {"id": 1, "scale": 0}]
    answer = adapted.post("/completion", {"prompt": "x", "n_predict": 1, "lora": [{"id": 1, "scale": 0.5}]}).json()
    assert answer["generation_settings"]["lora"] == [{"id": 0, "scale": 0}, {"id": 1, "scale": 0.5}]


def test_a_server_without(server):
    assert server.get("/lora-adapters").json() == []
    assert server.post("/lora-adapters", []).json() == {"success": True}
    refused = server.post("/completion", {"prompt": "x", "lora": [{"id": 0, "scale": 1}]})
    assert refused.status == 400 and "lora[0].id" in refused.error()["message"]


def test_a_mixed_batch_says_what_each_says_alone(adapted, server, files, tmp_path):
    """Alone: a server that has nothing else. Mixed: many at a time, all sets among each other."""
    a, b = files
    alone = {"none": complete(server)[0]}
    for name, args in (("first", ["--lora", a]), ("half", ["--lora-scaled", f"{a}:0.5"]),
                       ("second", ["--lora", f"{b}=-0.75"]), ("both", ["--lora", b, "--lora-scaled", f"{a}:0.5"])):
        with serving(tmp_path / name, *args) as own:
            alone[name] = complete(own)[0]
            if name == "first":
                assert complete(own, prompt="Look", lora=[]) == complete(own, prompt="Look")  # [] names none
    alone["turned"] = alone["both"]
    assert len({json.dumps(x) for x in alone.values()}) == 5
    names = list(SETS) * 3
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        mixed = list(pool.map(lambda name: complete(adapted, name, prompt=PROMPT), names))
    for name, (got, _) in zip(names, mixed):
        assert got == alone[name], name


def test_a_kept_prefix_stays_with_its_adapters(adapted):
    prompt = "When I do count the clock that tells the time. " * 12
    first = {}
    for name in ("none", "first", "half", "second", "both"):
        first[name], cached = complete(adapted, name, prompt)
        assert cached < 16, name  # what all prompts begin with
    for name in ("both", "second", "half", "first", "none"):
        again, cached = complete(adapted, name, prompt)
        assert again == first[name] and cached > 100, name
    assert complete(adapted, "turned", prompt)[1] > 100  # the order is none of its business
    assert complete(adapted, None, prompt)[0] == first["none"]


def test_kept_on_disk_too(files, tmp_path):
    prompt = "Shall I compare thee to a summer's day? " * 16
    args = ["--lora", files[0], "--cache-disk", tmp_path / "disk"]
    with serving(tmp_path / "home", *args) as s:
        adapted, plain = complete(s, None, prompt)[0], complete(s, None, prompt, lora=[{"id": 0, "scale": 0}])[0]
    with serving(tmp_path / "home", *args) as s:
        assert complete(s, None, prompt, lora=[{"id": 0, "scale": 0.5}])[1] < 16
        got, cached = complete(s, None, prompt)
        assert got == adapted != plain and cached >= 64
        got, cached = complete(s, None, prompt, lora=[{"id": 0, "scale": 0}])
        assert got == plain and cached >= 64


def test_set_for_everybody(files, tmp_path, server):
    with serving(tmp_path, "--lora", files[0], "--lora-scaled", f"{files[1]}:0.25") as s:
        assert [a["scale"] for a in s.get("/lora-adapters").json()] == [1, 0.25]
        assert s.post("/lora-adapters", [{"id": 0, "scale": 0.5}, {"id": 1, "scale": 1}]).json() == {"success": True}
        assert complete(s)[0] == complete(s, "both")[0]
        assert s.post("/lora-adapters", {"adapters": [{"id": 1, "scale": -0.75}], "model": "bard"}).status == 200
        assert [a["scale"] for a in s.get("/lora-adapters?model=bard").json()] == [0, -0.75]
        assert complete(s)[0] == complete(s, "second")[0] != complete(s, "both")[0]
        assert s.post("/lora-adapters", []).status == 200
        assert complete(s)[0] == complete(server)[0]


def test_every_dialect(adapted):
    """Each with an adapter says something else than without, and twice the same."""
    said = {}
    one = [{"id": 0, "scale": 1}]
    user = [{"role": "user", "content": "To be?"}]
    asked = {
        "/v1/chat/completions": ({"messages": user, "max_tokens": 12}, lambda a: a["choices"][0]["message"]["content"]),
        "/v1/completions": ({"prompt": "To be", "max_tokens": 12}, lambda a: a["choices"][0]["text"]),
        "/v1/responses": ({"input": "To be", "max_output_tokens": 16}, lambda a: a["output"][0]["content"][0]["text"]),
        "/v1/messages": ({"messages": user, "max_tokens": 12}, lambda a: a["content"][0]["text"]),
        "/api/chat": ({"messages": user, "stream": False, "options": {"num_predict": 12}}, lambda a: a["message"]["content"]),
        "/api/generate": ({"prompt": "To be", "stream": False, "options": {"num_predict": 12}}, lambda a: a["response"]),
        "/v1/embeddings": ({"input": "To be"}, lambda a: a["data"][0]["embedding"]),
        "/v1/rerank": ({"query": "To be", "documents": ["or not"]}, lambda a: a),
        "/api/embed": ({"input": "To be"}, lambda a: a["embeddings"]),
    }
    for path, (body, text) in asked.items():
        def ask(lora):
            mine = json.loads(json.dumps(body))
            if path.startswith("/api"):
                mine.setdefault("options", {}).update({"lora": lora, "temperature": 0})
            else:
                mine.update({"lora": lora, "temperature": 0})
            answer = adapted.post(path, mine)
            return answer
        if path == "/v1/rerank":  # bard cannot judge; its fields are checked all the same
            assert ask([{"id": 9, "scale": 1}]).status == 400
            continue
        plain, with_it, again = ask([]), ask(one), ask(one)
        assert plain.status == with_it.status == 200, (path, plain.body, with_it.body)
        said[path] = [text(x.json()) for x in (plain, with_it, again)]
        assert said[path][1] == said[path][2] != said[path][0], (path, said[path])
        wrong = ask([{"id": 0, "scale": 1}, {"id": 7, "scale": 1}])
        assert wrong.status == 400 and b"lora[1].id" in wrong.body, (path, wrong.body)
    assert said["/v1/embeddings"][1] == said["/api/embed"][1][0]


@pytest.mark.parametrize("lora, words", [
    ([{"id": 2, "scale": 1}], "lora[0].id: the adapters of \"bard\" are 0 to 1, not 2"),
    ([{"id": 0, "scale": 1}, {"id": 0, "scale": 2}], "lora[1].id: adapter 0 is named twice"),
    ([{"id": -1, "scale": 1}], "lora[0].id"), ([{"id": 0.5, "scale": 1}], "lora[0].id"),
    ([{"id": 0, "scale": "x"}], "lora[0].scale"), ([{"id": 0, "scale": 1e9}], "lora[0].scale"),
    ([{"id": 0}], "lora[0].scale is missing"), ([{"scale": 1}], "lora[0].id is missing"), ([3], "lora[0]"),
    ("style1", "lora"), ({"id": 0, "scale": 1}, "lora")])
def test_what_is_refused(adapted, lora, words):
    answer = adapted.post("/completion", {"prompt": "x", "n_predict": 1, "lora": lora})
    assert answer.status == 400 and words in answer.error()["message"], answer.body
    answer = adapted.post("/lora-adapters", lora)
    assert answer.status == 400, answer.body
    assert [a["scale"] for a in adapted.get("/lora-adapters").json()] == [0, 0]


def test_only_an_administrator_sets_them(files, tmp_path):
    key = json.loads(subprocess.run([HEARTH, "key", "create", "anna", "--json"], check=True, capture_output=True,
                                    env={"HEARTH_HOME": str(tmp_path), "PATH": "/usr/bin"}).stdout)["key"]
    with serving(tmp_path, "--lora", files[0], "--require-key") as s:
        bearer = {"Authorization": "Bearer " + key}
        assert s.get("/lora-adapters", **bearer).status == 200
        assert s.post("/lora-adapters", [{"id": 0, "scale": 0}], **bearer).status == 403


@pytest.mark.parametrize("args, words", [
    (["--lora", "/nowhere/x.gguf"], "/nowhere/x.gguf"), (["--lora-scaled", "x.gguf"], "FILE:SCALE"),
    (["--lora", "x.gguf=nan"], "x.gguf"), (["--lora", "x.gguf=1e9"], "a scale from"),
    (["--lora", str(ROOT / "models" / "bard" / "bard-q8_0.gguf")], "this is no adapter")])
def test_what_cannot_be_served(tmp_path, args, words):
    done = subprocess.run([HEARTH, "serve", "--listen", "127.0.0.1:0", *args], capture_output=True, check=False,
                          timeout=120, stdin=subprocess.DEVNULL, env={"HEARTH_HOME": str(tmp_path), "PATH": "/usr/bin"})
    assert done.returncode != 0
    assert sum(words in l for l in done.stderr.decode().splitlines()) >= 1, done.stderr.decode()


def test_a_model_that_was_made_with_some(files, tmp_path):
    """ADAPTER in a Modelfile: the server answers with them, also after it was unloaded; scales that were set stay."""
    home = tmp_path / "home"
    (tmp_path / "Modelfile").write_text(f"FROM bard\nADAPTER {files[0]}\nADAPTER {files[1]}\n")
    env = {"HEARTH_HOME": str(home), "PATH": "/usr/bin", "HEARTH_HOST": "off"}
    subprocess.run([HEARTH, "create", "styled", "-f", tmp_path / "Modelfile"], env=env, check=True, capture_output=True)
    with serving(home) as s:
        own = complete(s, None, model="styled")[0]
        assert own == complete(s, None, model="styled", lora=[{"id": 0, "scale": 1}, {"id": 1, "scale": 1}])[0]
        assert own != complete(s)[0] == complete(s, None, model="styled", lora=[{"id": 0, "scale": 0}])[0]
        assert len(s.get("/lora-adapters?model=styled").json()) == 2 and s.get("/lora-adapters").json() == []
        assert s.post("/lora-adapters?model=styled", [{"id": 0, "scale": 0.5}]).status == 200
        s.post("/api/generate", {"model": "styled", "keep_alive": 0})
        rows = {}
        while not rows or "styled:latest" in rows:
            rows = {m["name"] for m in s.get("/api/ps").json()["models"]} | {"asked"}
        assert [a["scale"] for a in s.get("/lora-adapters?model=styled").json()] == [0.5, 0]
        answer = subprocess.run([HEARTH, "run", "styled", "--raw", "--temp", "0", "--max-tokens", "8", "To be"],
                                env={**env, "HEARTH_HOST": f"{s.host}:{s.port}"}, check=True, capture_output=True,
                                stdin=subprocess.DEVNULL).stdout.decode()
        there = s.post("/completion", {"model": "styled", "prompt": "To be", "n_predict": 8, "temperature": 0}).json()
        assert answer.strip() == there["content"].strip()


def test_a_published_prefix_is_for_the_adapters_in_force(files, tmp_path):
    system = "You answer as a player of the Globe would, in verse, and never in prose. " * 6
    (tmp_path / "house").write_text(system)
    with serving(tmp_path / "home", "--lora", files[0], "--pin", tmp_path / "house") as s:
        def cached(**more):
            answer = s.post("/v1/chat/completions", {"max_tokens": 1, **more, "messages": [
                {"role": "system", "content": system}, {"role": "user", "content": "Who art thou?"}]}).json()
            return answer["usage"]["prompt_tokens_details"]["cached_tokens"]
        assert cached(lora=[{"id": 0, "scale": 0}]) < 16
        assert cached() >= 64
