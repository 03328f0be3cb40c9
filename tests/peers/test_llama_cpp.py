"""Hearth against llama.cpp on the same file: greedy continuations and perplexity. Run by `make peers`.

SmolLM2-135M-Instruct (Q4_1) is taken from $HEARTH_SMOLLM2. Activations are rounded differently in the two (blocks of
32 in both, but other sums), so a greedy step may differ where the two likeliest tokens are close: allowed under a gap
of 0.05 in the logits of the peer.
"""
import json
import math
import os
import pathlib
import subprocess

import numpy as np
import pytest

llama_cpp = pytest.importorskip("llama_cpp")

HEARTH = os.environ.get("HEARTH_BIN", "build/hearth")
MODEL = os.environ.get("HEARTH_SMOLLM2", "")
SHARED = os.environ.get("HEARTH_SHARED", "")
PROMPTS = ["Once upon a time, in a land far away,", "The capital of France is",
           "def fibonacci(n):\n    ", "Water boils at a temperature of", "My favourite recipe starts with"]

pytestmark = [
    pytest.mark.skipif(not llama_cpp.library_folder(), reason="no llama.cpp library"),
    pytest.mark.skipif(not os.path.exists(MODEL), reason="SmolLM2 is not here (HEARTH_SMOLLM2)"),
]


@pytest.fixture(scope="module")
def peer():
    p = llama_cpp.Peer(MODEL, n_ctx=2048)
    yield p
    p.close()


def hearth(*args):
    done = subprocess.run([HEARTH, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def hearth_logits(ids):
    return np.array(hearth("logits", MODEL, "--tokens", ",".join(map(str, ids)), "--json")["logits"], np.float32)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_continuation(peer, prompt):
    """32 greedy tokens are equal, or the first that differs had a top-two gap under 0.05."""
    ids = peer.tokenize(prompt)
    assert hearth("tokenize", MODEL, prompt, "--json") == ids
    peer.clear()
    logits = peer.eval(ids)
    for step in range(32):
        theirs = int(logits.argmax())
        ours = int(hearth_logits(ids).argmax())
        if ours != theirs:
            top = np.sort(logits)[-2:]
            gap = float(top[1] - top[0])
            print(f"{prompt!r}: step {step} differs, gap {gap:.4f}")
            assert gap < 0.05
            return
        ids.append(theirs)
        logits = peer.eval([theirs])
    print(f"{prompt!r}: 32 tokens equal")


def perplexity(peer, ids, n_ctx):
    """Windows of n_ctx tokens, the second half of each is scored: what `hearth perplexity` states."""
    total, count = 0.0, 0
    for start in range(0, len(ids) - n_ctx + 1, n_ctx):
        window = ids[start:start + n_ctx]
        peer.clear()
        logits = peer.eval(window, all=True).astype(np.float64)
        for i in range(n_ctx // 2, n_ctx - 1):
            x = logits[i]
            m = x.max()
            total += m + math.log(np.exp(x - m).sum()) - x[window[i + 1]]
            count += 1
    return math.exp(total / count), count


@pytest.mark.skipif(not os.path.exists(pathlib.Path(SHARED) / "shakespeare/sonnets.txt"), reason="no sonnets.txt")
def test_perplexity(peer):
    """Perplexity on sonnets.txt is within 0.5 % of the peer's."""
    text = pathlib.Path(SHARED) / "shakespeare/sonnets.txt"
    ours = hearth("perplexity", MODEL, text, "--ctx", 512, "--json")
    theirs, count = perplexity(peer, peer.tokenize(text.read_bytes()), 512)
    ratio = ours["perplexity"] / theirs
    print(f"hearth {ours['perplexity']:.4f}, llama.cpp {theirs:.4f} over {count} tokens, ratio {ratio:.5f}")
    assert ours["tokens_scored"] == count
    assert abs(ratio - 1) < 0.005
