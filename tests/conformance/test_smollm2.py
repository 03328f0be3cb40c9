"""A real model, SmolLM2-135M-Instruct (Q4_1): numbers against transformers in FP32 on the same weights
(smollm2.json, by tests/reference/make_smollm2.py), the same bytes however it is run, memory, and whether it follows
instructions. HEARTH_SMOLLM2 names the file; without it everything here is skipped."""
import json
import os
import pathlib
import subprocess

import pytest

HEARTH = os.environ.get("HEARTH_BIN", "build/hearth")
MODEL = os.environ.get("HEARTH_SMOLLM2", "")
HERE = pathlib.Path(__file__).parent
EXPECTED = json.loads((HERE / "smollm2.json").read_text(encoding="utf-8"))

pytestmark = pytest.mark.skipif(not os.path.exists(MODEL), reason="SmolLM2 is not here (HEARTH_SMOLLM2)")


def hearth(*args, env=None, stdin=subprocess.DEVNULL):
    done = subprocess.run([HEARTH, *map(str, args)], stdin=stdin, capture_output=True, check=False,
                          env={**os.environ, **(env or {})})
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def hearth_json(*args):
    return json.loads(hearth(*args, "--json"))


@pytest.mark.parametrize("case", EXPECTED["prompts"], ids=lambda c: c["text"][:20])
def test_tokens(case):
    assert hearth_json("tokenize", MODEL, case["text"]) == case["ids"]
    assert hearth("detokenize", MODEL, ",".join(map(str, case["ids"]))).decode().rstrip("\n") == case["text"].rstrip("\n")


@pytest.mark.parametrize("case", EXPECTED["prompts"], ids=lambda c: c["text"][:20])
def test_logits(case):
    """The largest logits are within 2 % of their range of the FP32 ones: activations have 8 bits."""
    got = hearth_json("logits", MODEL, "--tokens", ",".join(map(str, case["ids"])))["logits"]
    worst = max(abs(got[i] - v) for i, v in case["top"]) / case["range"]
    assert worst < 0.02
    likeliest = max(range(len(got)), key=got.__getitem__)
    assert likeliest == case["top"][0][0] or case["gaps"][0] < 0.3


@pytest.mark.parametrize("case", EXPECTED["prompts"], ids=lambda c: c["text"][:20])
def test_greedy(case):
    """Teacher-forced: at each step the likeliest token is FP32's, unless its two likeliest were close."""
    ids = case["ids"] + case["greedy"]
    rows = hearth_json("logits", MODEL, "--tokens", ",".join(map(str, ids)), "--all")["logits"]
    first = len(case["ids"]) - 1
    for step, (want, gap) in enumerate(zip(case["greedy"], case["gaps"])):
        row = rows[first + step]
        got = max(range(len(row)), key=row.__getitem__)
        assert got == want or gap < 0.3, f"step {step}: {got} instead of {want}, gap {gap}"


def test_perplexity():
    want = EXPECTED["perplexity"]
    got = hearth_json("perplexity", MODEL, HERE / want["file"], "--ctx", want["ctx"])
    assert got["tokens_scored"] == want["n_scored"]
    assert got["perplexity"] == pytest.approx(want["value"], rel=0.005)


def test_same_bytes_however_run():
    """Threads and kernels' tile sizes change nothing; a sampled text depends on its seed alone."""
    args = ["run", MODEL, "--raw", "-n", "48", "--seed", "7", EXPECTED["prompts"][0]["text"]]
    one = hearth(*args, "--threads", "1")
    assert one and one == hearth(*args, "--threads", "2")
    assert one != hearth(*args, "--threads", "2", "--seed", "8")


QUESTIONS = [("What is the capital of France? Answer in one word.", "Paris"), ("What is 2 + 2?", "4"),
             ("What is the opposite of hot?", "cold"), ("Which planet do we live on?", "Earth")]


def test_follows_instructions():
    """Three of four plain questions are answered: the chat template reaches the model as it was trained."""
    answers = [hearth("run", MODEL, "--temp", "0", "-n", "40", q).decode() for q, _ in QUESTIONS]
    right = [want.lower() in a.lower() for (_, want), a in zip(QUESTIONS, answers)]
    assert sum(right) >= 3, answers


def peak_kib(*args):
    """Peak resident memory of one hearth process, anonymous and mapped."""
    child = subprocess.Popen([HEARTH, *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return usage.ru_maxrss


@pytest.mark.skipif(bool(os.environ.get("HEARTH_SANITIZE")), reason="sanitizers need memory of their own")
def test_peak_memory():
    """At most the file x 1.15, the KV cache, and 150 MB: the mapping is given back while packing."""
    show = hearth_json("show", MODEL, "--ctx", 2048)
    kv = show["memory"]["kv_bytes"]
    peak = peak_kib("run", MODEL, "--raw", "--ctx", 2048, "-n", 16, "Once upon a time") * 1024
    assert peak <= os.path.getsize(MODEL) * 1.15 + kv + 150e6
