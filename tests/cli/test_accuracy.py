"""What the fast arithmetic costs: for every type of weight, the model as it is run against the same weights, keys and
values as floats. Bard requantised to each type; HEARTH_TEST_SIZE=nightly takes all of the sonnets that are here."""
import json
import math
import os
import pathlib

import pytest

from hearth_cli import ROOT, SHARED, needs_bard, ok, run

TYPES = ["BF16", "F16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0", "IQ4_NL",
         "IQ4_XS", "MXFP4", "Q3_K_M", "Q2_K"]
NIGHTLY = os.environ.get("HEARTH_TEST_SIZE") == "nightly"
WHOLE = pathlib.Path(SHARED or "none") / "shakespeare" / "sonnets.txt"
TEXT = WHOLE if NIGHTLY and WHOLE.exists() else ROOT / "tests" / "conformance" / "sonnets-1-12.txt"
SIZE = [] if NIGHTLY else ["--ctx", "256", "--windows", "2"]


def compare(model, *args):
    return json.loads(ok("perplexity", model, TEXT, "--kl", "--json", *SIZE, *args))


@needs_bard
@pytest.mark.parametrize("kind", TYPES)
def test_every_type(kind, tmp_path):
    """Perplexity within 0.3 % of the float path's, mean divergence under 0.002 nats a token."""
    model = tmp_path / "model.gguf"
    ok("quantize", "bard", model, kind, "--allow-requantize")
    got = compare(model)
    assert got["tokens_scored"] > 200
    assert got["perplexity"] == pytest.approx(got["float_perplexity"], rel=0.003)
    assert 0 <= got["kl_mean"] < 0.002 and got["kl_mean"] <= got["kl_p99"] <= got["kl_max"]
    assert got["same_top"] > 0.95


@needs_bard
def test_divergence_is_seen():
    """8-bit keys and values are further away than 16-bit ones, and floats against floats are not away at all."""
    near, far = compare("bard"), compare("bard", "--kv", "q8")
    assert near["float_perplexity"] == far["float_perplexity"]
    assert 0 < near["kl_mean"] < far["kl_mean"] < 0.002
    assert "KL divergence" in ok("perplexity", "bard", TEXT, "--kl", *SIZE).decode()
    assert run("perplexity", "bard", TEXT, "--kl", "--f32").returncode == 2


def log_softmax(row):
    top = max(row)
    rest = top + math.log(sum(math.exp(v - top) for v in row))
    return [v - rest for v in row]


@needs_bard
def test_divergence_is_the_definition(tmp_path):
    """From the logits of both paths: the sum of p log(p / q) over the vocabulary, p of the floats."""
    file = tmp_path / "text"
    file.write_text("Shall I compare thee to a summer's day?\nThou art more lovely and more temperate:\n", encoding="utf-8")
    got = json.loads(ok("perplexity", "bard", file, "--ctx", "16", "--windows", "1", "--kl", "--json"))
    ids = json.loads(ok("tokenize", "bard", "--file", file, "--bos", "--json"))[:16]
    asked = ["logits", "bard", "--tokens", ",".join(map(str, ids)), "--all", "--json"]
    fast = json.loads(ok(*asked))["logits"]
    exact = json.loads(ok(*asked, "--f32", "--kv", "f32"))["logits"]
    kl, same = [], 0
    for i in range(8, 15):
        p, q = log_softmax(exact[i]), log_softmax(fast[i])
        kl.append(sum(math.exp(a) * (a - b) for a, b in zip(p, q)))
        same += p.index(max(p)) == q.index(max(q))
    assert got["tokens_scored"] == len(kl) and got["same_top"] == pytest.approx(same / len(kl))
    assert got["kl_mean"] == pytest.approx(sum(kl) / len(kl), rel=1e-3, abs=1e-7)
    assert got["kl_max"] == pytest.approx(max(kl), rel=1e-3, abs=1e-7)
