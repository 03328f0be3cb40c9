"""Answers longer than the context, in every dialect that has a word for it."""
import pytest

import hearth_api
from hearth_api import needs_bard

pytestmark = needs_bard
ASK = {"prompt": "To be", "temperature": 0.9, "seed": 4, "ignore_eos": True}
LONG = 300


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    with hearth_api.serving(tmp_path_factory.mktemp("shift"), "--ctx", "128", "--drain", "1") as s:
        yield s


def native(server, **more):
    answer = server.post("/completion", {**ASK, "n_predict": LONG, **more})
    assert answer.status == 200, answer.body
    return answer.json()


def test_a_full_context_ends_the_answer(small):
    got = native(small)
    assert got["stop_type"] == "limit" and got["tokens_predicted"] + got["tokens_evaluated"] == 128
    chat = small.chat("x", ignore_eos=True).json()
    assert chat["choices"][0]["finish_reason"] == "length" and chat["usage"]["total_tokens"] == 128


def test_with_shift_it_goes_on(small):
    ended, went_on = native(small), native(small, context_shift=True)
    assert went_on["tokens_predicted"] == LONG and went_on["content"].startswith(ended["content"])
    other = native(small, context_shift=True, n_keep=0)
    assert other["content"].startswith(ended["content"]) and other["content"] != went_on["content"]
    body = {"prompt": "To be", "raw": True, "stream": False, "shift": True, "model": "bard",
            "options": {"num_predict": LONG, "ignore_eos": True}}
    assert small.post("/api/generate", body).json()["eval_count"] == LONG
    chat = small.chat("x", ignore_eos=True, max_tokens=LONG, context_shift=True).json()
    assert chat["usage"]["completion_tokens"] == LONG


def test_the_server_may_be_started_so(tmp_path):
    with hearth_api.serving(tmp_path, "--ctx", "128", "--context-shift", "--drain", "1") as s:
        assert native(s)["tokens_predicted"] == LONG
        assert native(s, context_shift=False)["tokens_predicted"] < 128
