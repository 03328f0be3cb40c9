"""hearth imatrix and quantize --imatrix: a matrix of bard's, what it is worth at few bits, what is refused."""
import json

import pytest

from hearth_cli import ROOT, needs_bard, ok, one_line, run

TEXT = ROOT / "tests" / "conformance" / "sonnets-1-12.txt"

pytestmark = needs_bard


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imatrix")
    text = folder / "text"
    text.write_bytes(TEXT.read_bytes()[3000:])
    out = folder / "bard.imatrix"
    made = json.loads(ok("imatrix", "bard", text, "-o", out, "--ctx", 128, "--json"))
    assert made["windows"] > 5 and made["matrices"] > 50
    return out


def perplexity(model, tmp_path):
    text = tmp_path / "text"
    text.write_bytes(TEXT.read_bytes()[:3000])
    return json.loads(ok("perplexity", model, text, "--ctx", 128, "--json"))["perplexity"]


@pytest.mark.parametrize("kind", ["Q2_K", "Q3_K_M", "Q4_0"])
def test_no_worse_at_few_bits(kind, matrix, tmp_path):
    plain, weighed = tmp_path / "plain.gguf", tmp_path / "weighed.gguf"
    ok("quantize", "bard", plain, kind, "--allow-requantize")
    made = json.loads(ok("quantize", "bard", weighed, kind, "--allow-requantize", "--imatrix", matrix, "--json"))
    assert made["weighed"] > 50
    assert plain.read_bytes() != weighed.read_bytes()
    # Some 250 tokens are scored: above 3 bits, luck weighs as much as the rounding.
    assert perplexity(weighed, tmp_path) < perplexity(plain, tmp_path) * (1 if kind == "Q2_K" else 1.01)
    assert "quantize.imatrix.chunks_count" in ok("show", weighed, "--metadata").decode()


def test_the_same_for_any_thread_count(matrix, tmp_path):
    text = tmp_path / "text"
    text.write_bytes(TEXT.read_bytes()[3000:])
    again = tmp_path / "again"
    ok("imatrix", "bard", text, "-o", again, "--ctx", 128, "--threads", 1)
    strip = lambda path: path.read_bytes()[-60000:]
    assert strip(again) == strip(matrix)


def test_refusals(matrix, tmp_path):
    out = tmp_path / "out"
    for args, code, words in [
        (["imatrix", "bard", TEXT], 2, "-o FILE"),
        (["imatrix", "bard", TEXT, "-o", out, "--ctx", 1 << 19], 6, "context"),
        (["imatrix", "bard", tmp_path / "none", "-o", out], 3, "none"),
        (["quantize", "bard", out, "Q4_0", "--allow-requantize", "--imatrix", tmp_path / "none"], 3, "none"),
        (["quantize", "bard", out, "Q4_0", "--allow-requantize", "--imatrix", TEXT], 2, "no importance matrix"),
        (["quantize", "bard", out, "Q4_0", "--allow-requantize", "--imatrix",
          ROOT / "models" / "bard" / "bard-q8_0.gguf"], 2, "no importance matrix"),
    ]:
        done = run(*args)
        assert done.returncode == code and words in one_line(done)
    assert not out.exists()
