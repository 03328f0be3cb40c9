"""What stands beside a model's weights: adapters and a draft model, by its Modelfile, in every command that runs it."""

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
