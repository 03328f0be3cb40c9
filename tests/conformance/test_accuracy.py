"""What the fast arithmetic costs a real model: SmolLM2 against the same weights, keys and values as floats. Its rows of
576 are no K-quants, so that it is also requantised to the types of blocks of 32. By day a window of 512 tokens, by
night (HEARTH_TEST_SIZE=nightly) every type on all that is here of the sonnets."""
import json
import os
import pathlib
import subprocess

import pytest

HEARTH = os.environ.get("HEARTH_BIN", "build/hearth")
MODEL = os.environ.get("HEARTH_SMOLLM2", "")
NIGHTLY = os.environ.get("HEARTH_TEST_SIZE") == "nightly"
WHOLE = pathlib.Path(os.environ.get("HEARTH_SHARED") or "none") / "shakespeare" / "sonnets.txt"
TEXT = WHOLE if NIGHTLY and WHOLE.exists() else pathlib.Path(__file__).parent / "sonnets-1-12.txt"
TYPES = ["Q8_0", "Q5_1", "Q5_0", "Q4_0", "IQ4_NL", "MXFP4"]

pytestmark = pytest.mark.skipif(not os.path.exists(MODEL), reason="SmolLM2 is not here (HEARTH_SMOLLM2)")


def hearth(*args):
    done = subprocess.run([HEARTH, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


# Of the divergence, in nats a token. This model has a few channels far larger than the rest: without the second rounding
# of such blocks (kern.h, refined rows) it would be at 0.0035 and more.
LIMIT = 0.002


def check(model):
    got = json.loads(hearth("perplexity", model, TEXT, "--kl", "--json", *([] if NIGHTLY else ["--windows", "2"])))
    print(f"{got['perplexity']:.4f} {got['float_perplexity']:.4f} {got['kl_mean']:.6f} {got['kl_p99']:.6f} "
          f"{got['same_top']:.4f}")
    assert got["perplexity"] == pytest.approx(got["float_perplexity"], rel=0.003)
    assert got["kl_mean"] < LIMIT
    return got


def test_as_it_comes():
    check(MODEL)


@pytest.mark.parametrize("kind", TYPES if NIGHTLY else TYPES[:1])
def test_every_type_of_blocks_of_32(kind, tmp_path):
    model = tmp_path / "model.gguf"
    hearth("quantize", MODEL, model, kind, "--allow-requantize")
    check(model)
