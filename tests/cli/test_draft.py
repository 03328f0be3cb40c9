"""hearth run --draft: a smaller quantisation of bard guesses for bard; the same answers, and one line where it cannot."""
import json

import pytest

from hearth_cli import ROOT, needs_bard, ok, one_line, run

TEXT = ROOT / "tests" / "conformance" / "sonnets-1-12.txt"
PROMPT = "Shall I compare thee to a summer's day?"

pytestmark = needs_bard


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    out = tmp_path_factory.mktemp("draft") / "small.gguf"
    ok("quantize", "bard", out, "Q4_0", "--allow-requantize")
    return out


@pytest.mark.parametrize("sampling", [["--temp", 0], ["--seed", 3], ["--seed", 4, "--temp", 1.2]])
def test_the_same_answer(small, sampling):
    ask = ["run", "bard", PROMPT, "-n", 60, "--json", "--raw", "--ignore-eos", *sampling]
    plain = json.loads(ok(*ask, "--no-speculation"))
    drafted = json.loads(ok(*ask, "--draft", small))
    assert plain["drafted_tokens"] == 0 < drafted["drafted_tokens"]
    assert plain["tokens"] == drafted["tokens"] and plain["text"] == drafted["text"]


def test_rewriting_with_a_draft_model(small, tmp_path):
    text = tmp_path / "text"
    text.write_bytes(TEXT.read_bytes()[:600])
    got = json.loads(ok("bench", "bard", "--rewrite", text, "--draft", small, "-n", 40, "-r", 1, "-p", 16, "--json"))
    assert got["decode_tokens_per_s"]["median"] > 0


def test_refusals(tmp_path):
    done = run("run", "bard", PROMPT, "--draft", tmp_path / "none.gguf")
    assert done.returncode == 3 and "none.gguf" in one_line(done)
    done = run("bench", "bard", "--draft", "bard")
    assert done.returncode == 2 and "--rewrite" in one_line(done)
