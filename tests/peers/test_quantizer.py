"""Hearth's quantiser beside llama.cpp's, from the same file of halves: perplexity on sonnets.txt. Run by `make peers`."""
import json
import os
import pathlib
import subprocess

import pytest

llama_cpp = pytest.importorskip("llama_cpp")

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEARTH = os.environ.get("HEARTH_BIN", "build/hearth")
TEXT = pathlib.Path(os.environ.get("HEARTH_SHARED", "")) / "shakespeare/sonnets.txt"
WORSE = 1.003  # no more than this times the peer's perplexity

pytestmark = [
    pytest.mark.skipif(not llama_cpp.library_folder(), reason="no llama.cpp library"),
    pytest.mark.skipif(not TEXT.exists(), reason="no sonnets.txt"),
]


def hearth(*args):
    done = subprocess.run([HEARTH, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def perplexity(model):
    return json.loads(hearth("perplexity", model, TEXT, "--ctx", 256, "--windows", 60, "--json"))["perplexity"]


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    path = tmp_path_factory.mktemp("halves") / "bard-f16.gguf"
    hearth("quantize", ROOT / "models/bard/bard-q8_0.gguf", path, "F16", "--allow-requantize")
    return path


@pytest.mark.parametrize("kind", [k for k in llama_cpp.FTYPES if k != "F16"])
def test_no_worse_than_the_peers(halves, tmp_path, kind):
    hearth("quantize", halves, tmp_path / "ours.gguf", kind)
    llama_cpp.quantize(halves, tmp_path / "theirs.gguf", kind)
    ours, theirs = perplexity(tmp_path / "ours.gguf"), perplexity(tmp_path / "theirs.gguf")
    print(f"{kind}: hearth {ours:.3f}, llama.cpp {theirs:.3f}: {100 * (ours / theirs - 1):+.2f} %")
    assert ours <= WORSE * theirs
