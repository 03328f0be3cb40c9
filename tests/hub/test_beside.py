"""What stands beside a model's weights: adapters and a draft model, by its Modelfile, in every command that runs it."""

import hashlib
import json

import make_lora
import pytest

from hearth_store import Store
from test_http import Server

PROMPT = "Shall I compare thee to a summer's day?"
ASK = ["-n", 40, "--temp", 0, "--json", "--raw", "--ignore-eos"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """mine: bard with a smaller bard that guesses ahead; styled: bard with an adapter."""
    store = Store(tmp_path_factory.mktemp("beside"))
    store.ok("quantize", "bard", "small.gguf", "Q4_0", "--allow-requantize")
    shape = json.loads(store.ok("show", "bard", "--json", "--tensors"))
    (store.folder / "style.gguf").write_bytes(make_lora.build(shape, seed=3, rank=4))
    for name, text in (("mine", "DRAFT small.gguf"), ("styled", "ADAPTER style.gguf")):
        done = store.run("create", name, "-f", "-", input=f"FROM bard\n{text}\n".encode())
        assert done.returncode == 0, done.stderr
    return store


def answer(store, *args):
    return json.loads(store.ok("run", *args, PROMPT, *ASK))


def test_a_draft_guesses_and_changes_nothing(made):
    plain, mine = answer(made, "bard"), answer(made, "mine")
    assert plain["tokens"] == mine["tokens"] and mine["drafted_tokens"] > 0
    assert answer(made, "mine", "--no-speculation")["drafted_tokens"] == 0
    assert answer(made, "styled")["tokens"] != plain["tokens"]
    assert answer(made, "bard", "--lora", made.folder / "style.gguf")["tokens"] == answer(made, "styled")["tokens"]
    assert answer(made, "styled", "--lora", f"{made.folder}/style.gguf=-1")["tokens"] == plain["tokens"]


def test_what_is_said_of_them(made):
    mine, styled, plain = (json.loads(made.ok("fit", n, "--json", "--quick")) for n in ("mine", "styled", "bard"))
    assert plain["draft_bytes"] == plain["adapter_bytes"] == 0
    assert mine["draft_bytes"] > (made.folder / "small.gguf").stat().st_size
    assert styled["adapter_bytes"] == (made.folder / "style.gguf").stat().st_size
    for f in (mine, styled, plain):
        assert f["need_bytes"] == sum(f[k + "_bytes"] for k in ("weight", "kv", "work", "draft", "adapter"))
    assert "its draft model" in made.ok("fit", "mine", "--quick") and "its adapters" in made.ok("fit", "styled", "--quick")
    assert "random 3" in made.ok("show", "styled") and "draft" in made.ok("show", "mine")
    shown = json.loads(made.ok("show", "styled", "--json"))
    assert [a["name"] for a in shown["adapters"]] == ["random 3"] and shown["draft"] is None
    assert json.loads(made.ok("show", "mine", "--json"))["draft"]["file_bytes"] > 0


def test_a_server_has_them_too(made):
    server = Server(made)
    try:
        def ask(model, **more):
            got = server.json("POST", "/completion", {"model": model, "prompt": PROMPT, "n_predict": 40, "temperature": 0,
                                                      "ignore_eos": True, "return_tokens": True, **more})
            return got["tokens"], got["timings"].get("draft_n", 0)
        plain, mine, styled = ask("bard"), ask("mine"), ask("styled")
        assert plain[0] == mine[0] != styled[0] and mine[1] > 0
        assert ask("styled", lora=[{"id": 0, "scale": 0}])[0] == plain[0]
        sizes = {m["name"]: m["size"] for m in server.json("GET", "/api/ps")["models"]}
        assert sizes["mine:latest"] > sizes["bard:latest"] < sizes["styled:latest"]
    finally:
        server.stop()


def test_a_draft_that_cannot_guess(made):
    """Another vocabulary, or no model at all: it is said once, and the model answers without."""
    plain = answer(made, "bard")
    file = bytearray((made.folder / "small.gguf").read_bytes())
    at = file.find(b"tokenizer.ggml.tokens")
    at = file.find(b"the", at)
    file[at:at + 3] = b"7h7"
    (made.folder / "other.gguf").write_bytes(file)
    for name, path in (("odd", "other.gguf"), ("odder", "style.gguf")):
        done = made.run("create", name, "-f", "-", input=f"FROM bard\nDRAFT {path}\n".encode())
        if done.returncode:
            assert path == "style.gguf" and b"adapter" in done.stderr
            continue
        done = made.run("run", name, PROMPT, *map(str, ASK))
        assert done.returncode == 0 and json.loads(done.stdout)["tokens"] == plain["tokens"]
        assert done.stderr.count(b"its draft model is not used") == 1, done.stderr
    server = Server(made)
    try:
        got = server.json("POST", "/completion", {"model": "odd", "prompt": PROMPT, "n_predict": 40, "temperature": 0,
                                                  "ignore_eos": True, "return_tokens": True})
        assert got["tokens"] == plain["tokens"]
    finally:
        server.stop()


def test_parameters_that_say_how(made):
    """num_ctx, num_batch, num_thread, draft_num_predict: the engine obeys, and says the same."""
    plain = answer(made, "bard")
    done = made.run("create", "set", "-f", "-", input=b"FROM mine\nPARAMETER num_ctx 256\nPARAMETER num_batch 32\n"
                    b"PARAMETER num_thread 1\nPARAMETER draft_num_predict 0\nPARAMETER num_keep 8\nPARAMETER mirostat 1\n")
    assert done.returncode == 0, done.stderr
    assert answer(made, "set")["tokens"] == plain["tokens"]
    server = Server(made)
    try:
        got = server.json("POST", "/completion", {"model": "set", "prompt": PROMPT, "n_predict": 40, "temperature": 0,
                                                  "ignore_eos": True, "return_tokens": True})
        assert got["tokens"] == plain["tokens"] and server.json("GET", "/props?model=set")[
            "default_generation_settings"]["n_ctx"] == 256
        server.json("POST", "/completion", {"model": "bard", "prompt": "x", "n_predict": 1})
        sizes = {m["name"]: m["size"] for m in server.json("GET", "/api/ps")["models"]}
        assert sizes["set:latest"] == sizes["bard:latest"]
    finally:
        server.stop()


SETTINGS = {"temperature": 0.25, "top_k": 7, "top_p": 0.5, "min_p": 0.125, "typical_p": 0.75, "repeat_last_n": 33,
            "repeat_penalty": 1.5, "presence_penalty": -0.5, "frequency_penalty": 0.5, "seed": 42, "num_ctx": 512,
            "num_predict": 24, "mirostat_tau": 4.5, "mirostat_eta": 0.25, "num_keep": 5, "num_batch": 64, "num_gpu": -1,
            "main_gpu": 0, "num_thread": 2, "use_mmap": True, "draft_num_predict": 3}
STOPS = ["<|end|>", "say \"stop\"", "two  blanks"]
TALK = [("system", "Thou art brief."), ("user", "hi\n\"there\""), ("assistant", "ho")]
TEMPLATE = "{{ if .System }}{{ .System }}\n{{ end }}{{ .Prompt }}\n"


def whole_modelfile():
    def word(v):
        return str(v).lower() if isinstance(v, bool) else str(v)
    lines = ["# everything at once", "FROM bard", "ADAPTER style.gguf", "DRAFT small.gguf", f'TEMPLATE """{TEMPLATE}"""',
             'SYSTEM You are "brief".', 'LICENSE """free\nreally"""', "LICENSE as in beer", "renderer qwen3-coder",
             "PARSER qwen3-coder", "Requires v0.14.0"]
    lines += [f"PARAMETER {k} {word(v)}" for k, v in SETTINGS.items()]
    lines += [f'PARAMETER stop """{s}"""' for s in STOPS]
    lines += [f'MESSAGE {role} """{text}"""' for role, text in TALK]
    return "\n".join(lines) + "\n"


def manifest(store, name):
    return (store.models / "manifests/registry.ollama.ai/library" / name / "latest").read_bytes()


def test_every_instruction_goes_round(made):
    assert made.run("create", "whole", "-f", "-", input=whole_modelfile().encode()).returncode == 0
    text = made.ok("show", "whole", "--modelfile")
    for word in ("FROM ", "ADAPTER ", "DRAFT ", "TEMPLATE ", "SYSTEM ", "LICENSE ", "RENDERER qwen3-coder", "REQUIRES 0.14.0",
                 "PARSER qwen3-coder", "MESSAGE assistant ho", *(f"PARAMETER {k} " for k in SETTINGS)):
        assert word in text, word
    done = made.run("create", "again", "-f", "-", input=text.encode())
    assert done.returncode == 0, done.stderr
    assert manifest(made, "again") == manifest(made, "whole") and made.ok("show", "again", "--modelfile") == text
    shown = made.ok("show", "whole")
    for word in ("adapter", "draft", "renderer", "requires", "temperature", "0.25", "stop"):
        assert word in shown, word
    # a model that is made of it inherits all but what it says itself
    assert made.run("create", "heir", "-f", "-", input=b"FROM whole\nPARAMETER top_k 9\nSYSTEM \"\"\"Be long.\"\"\"\n").returncode == 0
    heir = made.ok("show", "heir", "--modelfile")
    assert "PARAMETER top_k 9" in heir and "SYSTEM Be long." in heir and "DRAFT " in heir and "ADAPTER " in heir
    assert heir.replace("top_k 9", "top_k 7").replace("SYSTEM Be long.", 'SYSTEM You are "brief".') == text


def test_the_same_over_http(made):
    assert made.run("create", "whole", "-f", "-", input=whole_modelfile().encode()).returncode == 0
    server = Server(made)
    try:
        def upload(path):
            data = (made.folder / path).read_bytes()
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            server.ok("POST", f"/api/blobs/{digest}", raw=data)
            return digest
        body = {"model": "far", "from": "bard", "adapters": {"style.gguf": upload("style.gguf")},
                "draft_files": {"small.gguf": upload("small.gguf")}, "template": TEMPLATE, "system": 'You are "brief".',
                "license": ["free\nreally", "as in beer"], "renderer": "qwen3-coder", "parser": "qwen3-coder",
                "requires": "0.14.0", "parameters": {**SETTINGS, "stop": STOPS},
                "messages": [{"role": r, "content": t} for r, t in TALK], "stream": False}
        assert server.json("POST", "/api/create", body) == {"status": "success"}
        assert manifest(made, "far") == manifest(made, "whole")
        shown = server.json("POST", "/api/show", {"model": "far"})
        assert shown["requires"] == "0.14.0" and shown["renderer"] == "qwen3-coder" and "DRAFT " in shown["modelfile"]
        got = server.json("POST", "/api/chat", {"model": "far", "stream": False, "messages": [{"role": "user", "content": "x"}]})
        assert got["done"] and got["eval_count"] <= 24
        made.ok("quantize", "bard", "plain.gguf", "F16", "--allow-requantize")
        files = {"files": {"plain.gguf": upload("plain.gguf")}, "draft_files": {"d.gguf": upload("plain.gguf")}}
        server.ok("POST", "/api/create", {"model": "packed", **files, "quantize": "q8_0", "draft_quantize": "q4_0"})
        sizes = {m["name"]: m["size"] for m in server.json("GET", "/api/tags")["models"]}
        assert sizes["packed:latest"] < (made.folder / "plain.gguf").stat().st_size
        assert "DRAFT " in server.json("POST", "/api/show", {"model": "packed"})["modelfile"]
        # what is wrong is one 400
        for more, word in (({"requires": "soon"}, "REQUIRES"), ({"quantize": "Q9_9"}, "quantize"),
                           ({"draft_quantize": "q4_K_M", "draft_files": {}}, "no draft"),
                           ({"draft_files": {"a": body["adapters"]["style.gguf"]}}, "DRAFT"),
                           ({"adapters": {"a": body["draft_files"]["small.gguf"]}}, "ADAPTER"),
                           ({"draft_files": {"a": "sha256:" + "0" * 64}}, "not"),
                           ({"parameters": {"top_k": "many"}}, "top_k"), ({"parameters": {"topk": 1}}, "topk"),
                           ({"messages": [{"role": "ghost", "content": "x"}]}, "messages"),
                           ({"template": "{{ if }}"}, "")):
            status, said = server.ask("POST", "/api/create", {**body, "model": "bad", **more})
            assert status in (400, 404) and word in said.decode() and "bad:latest" not in server.names(), (more, said)
    finally:
        server.stop()


def test_a_draft_by_name_and_its_type(made):
    done = made.run("create", "self", "-f", "-", "--draft-quantize", "Q4_0", input=b"FROM bard\nDRAFT bard\n")
    assert done.returncode == 2 and b"Q8_0 already" in done.stderr
    assert made.run("create", "named", "-f", "-", input=b"FROM bard\nDRAFT mine\n").returncode == 0
    assert answer(made, "named")["tokens"] == answer(made, "bard")["tokens"]
    done = made.run("create", "none", "-f", "-", input=b"FROM bard\nDRAFT nobody-has-this\n")
    assert done.returncode != 0 and b"DRAFT" in done.stderr
    done = made.run("create", "none", "-f", "-", input=b"FROM bard\nREQUIRES soon\n")
    assert done.returncode == 2 and b"line 2" in done.stderr and b"0.14.0" in done.stderr


@pytest.mark.parametrize("args, code, words", [
    (["--lora", "nowhere.gguf"], 3, "nowhere.gguf"), (["--lora", "style.gguf=1e9"], 2, "a scale from"),
    (["--lora", "small.gguf"], 2, "this is no adapter"), (["--lora", "=1"], 2, "a file is wanted"),
    (["--lora", "style.gguf,nowhere.gguf"], 3, "nowhere.gguf"), (["--draft", "nowhere.gguf"], 3, "nowhere.gguf")])
def test_what_run_refuses(made, args, code, words):
    assert words in made.fails(code, "run", "bard", PROMPT, *args)


def test_embed_and_bench_have_adapters(made):
    plain, styled = made.ok("embed", "bard", PROMPT), made.ok("embed", "styled", PROMPT)
    assert plain != styled and len(plain.split()) == len(styled.split())
    for args in (["styled"], ["bard", "-s", 2, "--lora-turns", "--lora", "style.gguf", "--lora", "style.gguf=0.5"]):
        got = json.loads(made.ok("bench", *args, "-p", 16, "-n", 4, "-r", 1, "--json"))
        assert got["decode_tokens_per_s"]["median"] > 0
