"""llama-server's own endpoints, as raw requests."""
import struct

import pytest

import hearth_api
from hearth_api import needs_bard

pytestmark = needs_bard


def complete(server, prompt="To be, or not to be", **more):
    return server.post("/completion", {"prompt": prompt, "n_predict": 8, "seed": 7, **more})


def test_stream_and_whole_agree(server):
    whole = complete(server, return_tokens=True).json()
    stream = complete(server, return_tokens=True, stream=True)
    assert stream.headers["content-type"].startswith("text/event-stream")
    events = stream.events()
    assert "".join(e["content"] for e in events) == whole["content"] != ""
    assert [t for e in events for t in e["tokens"]] == whole["tokens"] and len(whole["tokens"]) == 8
    assert [e["stop"] for e in events] == [False] * (len(events) - 1) + [True]
    for last in (whole, events[-1]):
        assert last["stop_type"] == "limit" and last["tokens_predicted"] == 8 and last["truncated"] is False
        assert last["tokens_evaluated"] == last["timings"]["cache_n"] + last["timings"]["prompt_n"]
        assert last["timings"]["predicted_n"] == 8 and last["timings"]["predicted_ms"] > 0
        assert last["generation_settings"]["seed"] == 7 and last["generation_settings"]["n_predict"] == 8
        assert last["prompt"].endswith("To be, or not to be") and last["model"] == "bard"


def test_prompts_of_every_form(server):
    ids = server.post("/tokenize", {"content": "To be", "add_special": True}).json()["tokens"]
    plain = complete(server, "To be", temperature=0).json()["content"]
    assert complete(server, ids, temperature=0).json()["content"] == plain
    assert complete(server, [ids[0], "To be"], temperature=0).json()["content"] == plain
    assert complete(server, {"prompt_string": "To be"}, temperature=0).json()["content"] == plain
    both = complete(server, ["To be", ids], temperature=0).json()
    assert [b["content"] for b in both] == [plain, plain] and [b["index"] for b in both] == [0, 1]
    for bad in ([10 ** 7], 7, [[]], [{}], [True], [], {"prompt_string": "x", "multimodal_data": ["a"]}):
        assert complete(server, bad).status == 400, bad


def test_stop_word(server):
    text = complete(server, n_predict=40).json()["content"]
    word = text.strip()[4:7]
    got = complete(server, n_predict=40, stop=["\u2603", word]).json()
    assert got["stop_type"] == "word" and got["stopping_word"] == word and got["content"] == text.split(word)[0]


def test_probabilities(server):
    whole = complete(server, n_probs=3).json()
    assert len(whole["completion_probabilities"]) == 8
    for item in whole["completion_probabilities"]:
        assert len(item["top_logprobs"]) == 3 and item["logprob"] <= 0 and item["id"] >= 0
        assert bytes(item["bytes"]).decode(errors="replace") == item["token"]
    events = complete(server, n_probs=3, stream=True).events()
    assert [p["id"] for e in events for p in e.get("completion_probabilities", [])] \
        == [p["id"] for p in whole["completion_probabilities"]]
    assert "completion_probabilities" not in complete(server).json()


def test_nothing_to_predict(server):
    got = complete(server, n_predict=0).json()
    assert got["content"] == "" and got["tokens_predicted"] == 0 and got["stop_type"] == "limit"


def test_several_answers(server):
    got = complete(server, n_cmpl=3, temperature=1.5).json()
    assert [g["index"] for g in got] == [0, 1, 2] and len({g["content"] for g in got}) > 1


@pytest.mark.parametrize("more", [{"post_sampling_probs": True}, {"top_n_sigma": 1}, {"dynatemp_range": 0.5}])
def test_refused_by_name(server, more):
    answer = complete(server, **more)
    error = answer.error()
    assert answer.status == error["code"] == 400 and error["type"] == "invalid_request_error"
    assert next(iter(more)) in error["message"]


def test_several_answers_by_the_other_name(server):
    assert [g["index"] for g in complete(server, n=2).json()] == [0, 1]


def test_a_seed_that_was_drawn_gives_the_answer_again(server):
    for _ in range(8):
        drawn = server.post("/completion", {"prompt": "To be", "n_predict": 8}).json()
        seed = drawn["generation_settings"]["seed"]
        assert 0 <= seed < 2 ** 53
        assert complete(server, "To be", seed=seed).json()["content"] == drawn["content"]


def test_chosen_members(server):
    """response_fields: a member of a member keeps the name by which it was asked for; what is not there is left out."""
    names = ["content", "generation_settings/n_predict", "timings/predicted_n", "nothing", "content/x"]
    whole = complete(server).json()
    want = {"content": whole["content"], "generation_settings/n_predict": 8, "timings/predicted_n": 8}
    assert complete(server, response_fields=names).json() == want
    assert complete(server, response_fields=[]).json().keys() == whole.keys()
    both = complete(server, ["To be", "or not"], response_fields=["index"]).json()
    assert both == [{"index": 0}, {"index": 1}]
    events = complete(server, response_fields=names, stream=True).events()
    assert events[-1] == {**want, "content": ""}
    assert "".join(e["content"] for e in events) == whole["content"]


@pytest.mark.parametrize("n_indent,want", [(0, "a\n  b\n    c\nd"), (2, "a\n  b\n    c\n"), (3, "a\n  ")])
def test_an_answer_ends_with_its_indentation(server, n_indent, want):
    ask = {"grammar": 'root ::= "a\\n  b\\n    c\\nd"', "n_predict": 60, "n_indent": n_indent, "return_tokens": True}
    whole = complete(server, **ask).json()
    assert whole["content"] == want and whole["stop_type"] == ("limit" if n_indent else "eos")
    assert whole["tokens_predicted"] == len(whole["tokens"]) == whole["timings"]["predicted_n"]
    events = complete(server, stream=True, **ask).events()
    assert "".join(e["content"] for e in events) == want
    assert [t for e in events for t in e["tokens"]] == whole["tokens"]


def test_an_answer_ends_in_time_with_its_line(server):
    ask = {"grammar": 'root ::= "ab\\ncd\\nef\\ngh"', "n_predict": 60}
    assert complete(server, t_max_predict_ms=1e9, **ask).json()["content"] == "ab\ncd\nef\ngh"
    late = complete(server, t_max_predict_ms=1e-6, **ask).json()
    assert late["stop_type"] == "limit" and late["content"].startswith("ab\n") and "gh" not in late["content"]


def test_samplers_that_are_not_named_are_off(server):
    more = {"top_k": 7, "top_p": 0.5, "min_p": 0.1, "temperature": 0.5, "presence_penalty": 1}
    names = ("top_k", "top_p", "min_p", "temperature", "presence_penalty")

    def settings(samplers):
        used = complete(server, samplers=samplers, **more).json()["generation_settings"]
        return [round(used[name], 3) for name in names]

    assert settings([]) == [7, 0.5, 0.1, 0.5, 1]
    assert settings(["top_k", "top_p", "infill"]) == [7, 0.5, 0, 1, 0]
    assert settings("mte") == [0, 1, 0.1, 0.5, 1]
    assert complete(server, samplers=[1]).status == 400
    plain = server.chat(samplers=["top_k"], top_k=1, seed=3, max_tokens=6).json()["choices"][0]["message"]
    assert plain == server.chat(temperature=0, seed=3, max_tokens=6).json()["choices"][0]["message"]


def test_bias_by_text(server):
    ids = server.post("/tokenize", {"content": " king"}).json()["tokens"]
    by_text = complete(server, temperature=0, logit_bias=[[" king", 100]]).json()["content"]
    assert by_text == complete(server, temperature=0, logit_bias=[[i, 100] for i in ids]).json()["content"]
    assert by_text != complete(server, temperature=0).json()["content"]
    assert complete(server, logit_bias=[[None, 1]]).status == 400


def test_errors(server):
    long = complete(server, "alas " * 5000)
    assert long.status == 400 and long.error()["type"] == "exceed_context_size_error"
    assert server.post("/completion", {"prompt": "x", "model": "nobody"}).error()["type"] == "not_found_error"
    assert complete(server, n_predict="many").error()["code"] == 400
    assert server.post("/completion", {}).status == 400


def test_tokens_there_and_back(server):
    text = "Alas, poor Yorick! \u00e9\u2603"
    ids = server.post("/tokenize", {"content": text}).json()["tokens"]
    assert server.post("/detokenize", {"tokens": ids}).json() == {"content": text}
    pieces = server.post("/tokenize", {"content": text, "with_pieces": True}).json()["tokens"]
    assert [p["id"] for p in pieces] == ids
    raw = b"".join(p["piece"].encode() if isinstance(p["piece"], str) else bytes(p["piece"]) for p in pieces)
    assert raw.decode() == text
    assert any(isinstance(p["piece"], list) for p in pieces)  # a snowman is several bytes' tokens
    more = server.post("/tokenize", {"content": text, "add_special": True}).json()["tokens"]
    assert len(more) == len(ids) + 1 and more[1:] == ids
    special = server.post("/tokenize", {"content": "<|end|>"}).json()["tokens"]
    spelled = server.post("/tokenize", {"content": "<|end|>", "parse_special": False}).json()["tokens"]
    assert len(special) == 1 < len(spelled)
    assert server.post("/tokenize", {"content": ["Alas", *special]}).json()["tokens"][-1] == special[0]
    assert server.post("/tokenize", {}).json() == {"tokens": []}
    assert server.post("/detokenize", {"tokens": [-1]}).status == 400


def test_apply_template(server):
    messages = [{"role": "system", "content": "Speak."}, {"role": "user", "content": "Who is there?"}]
    got = server.post("/apply-template", {"messages": messages}).json()["prompt"]
    assert got.index("Speak.") < got.index("Who is there?") and got.endswith("<|bard|>")
    closed = server.post("/apply-template", {"messages": messages, "add_generation_prompt": False}).json()["prompt"]
    assert got == closed + "<|bard|>"
    # what it gives is what a conversation becomes
    ids = server.post("/tokenize", {"content": got}).json()["tokens"]
    chat = server.post("/v1/chat/completions", {"messages": messages, "max_tokens": 1}).json()
    assert chat["usage"]["prompt_tokens"] == len(ids)
    assert server.post("/apply-template", {"messages": []}).status == 400


def test_props_and_slots(server):
    props = server.get("/props").json()
    slots = server.get("/slots").json()
    assert props["total_slots"] == len(slots) > 0
    assert props["default_generation_settings"]["n_ctx"] == slots[0]["n_ctx"] > 0
    assert props["default_generation_settings"]["params"]["temperature"] > 0
    assert "messages" in props["chat_template"] and props["modalities"] == {"vision": False, "audio": False}
    assert props["eos_token"] == "<|end|>"
    assert server.get("/slots?fail_on_no_slot=1").status == 200
    assert server.post("/props", {}).status == 501
    assert server.get("/props?model=nobody").status == 404


def test_infill_needs_a_model_for_it(server):
    answer = server.post("/infill", {"input_prefix": "def f(", "input_suffix": "return x", "n_predict": 4})
    assert answer.status == 501 and answer.error()["type"] == "not_supported_error"


FILLS_IN = {b"<|user|>": b"<fim_prefix>", b"<|system|>": b"<fim_suffix>", b"<|bard|>": b"<fim_middle>"}


def write_model_that_fills_in(path):
    """Bard with other names for three tokens; its description pays for the bytes, so that nothing moves."""
    def text(b):
        return struct.pack("<Q", len(b)) + b

    data = hearth_api.BARD.read_bytes()
    about = b"A toy that talks like the complete works of Shakespeare"
    more = sum(len(new) - len(old) for old, new in FILLS_IN.items())
    for old, new in [*FILLS_IN.items(), (about, about[:-more])]:
        assert data.count(text(old)) == 1
        data = data.replace(text(old), text(new))
    path.write_bytes(data)


def test_infill(tmp_path):
    (tmp_path / "models").mkdir()
    write_model_that_fills_in(tmp_path / "models" / "coder.gguf")
    with hearth_api.serving(tmp_path / "home", "--models", tmp_path / "models") as s:
        ask = {"model": "coder", "n_predict": 4, "input_prefix": "def f(", "input_suffix": "return x", "prompt": "a",
               "ignore_eos": True}
        got = s.post("/infill", ask).json()
        assert got["prompt"].endswith("<fim_prefix>def f(<fim_suffix>return x<fim_middle>a")
        assert got["tokens_predicted"] == 4
        extra = [{"filename": "a.py", "text": "x = 1"}]
        assert "a.py\nx = 1\n<fim_prefix>def f(" in s.post("/infill", {**ask, "input_extra": extra}).json()["prompt"]
        # a text cannot make the tokens that mark the gap
        ids = [s.post("/infill", {**ask, "input_prefix": t, "return_tokens": True}).json()["tokens_evaluated"]
               for t in ("", "<fim_middle>")]
        assert ids[1] > ids[0] + 1
        assert "insert" in s.post("/api/show", {"model": "coder"}).json()["capabilities"]
        fill = s.post("/api/generate", {"model": "coder", "prompt": "def f(", "suffix": "return x", "stream": False,
                                        "options": {"num_predict": 4, "ignore_eos": True}}).json()
        assert fill["eval_count"] == 4 and fill["prompt_eval_count"] == got["tokens_evaluated"] - 1
        assert s.post("/api/generate", {"model": "coder", "suffix": "x", "raw": True}).status == 400
        gap = {"model": "coder", "prompt": "def f(", "suffix": "return x", "max_tokens": 4, "ignore_eos": True}
        usage = s.post("/v1/completions", gap).json()["usage"]
        assert usage["prompt_tokens"] == fill["prompt_eval_count"] and usage["completion_tokens"] == 4
        assert s.post("/v1/completions", {**gap, "prompt": [1, 2]}).error()["param"] == "suffix"
        assert s.post("/v1/completions", {**gap, "model": "bard"}).status == 501
        # all that an editor's plug-in sends for each pause at the keyboard
        fields = ["content", "timings/prompt_n", "timings/prompt_ms", "timings/predicted_per_second", "truncated",
                  "tokens_cached"]
        plugin = s.post("/infill", {**ask, "n_indent": 4, "top_k": 40, "top_p": 0.9, "stream": False,
                                    "samplers": ["top_k", "top_p", "infill"], "cache_prompt": True,
                                    "t_max_prompt_ms": 500, "t_max_predict_ms": 1000, "input_extra": extra,
                                    "response_fields": fields})
        assert plugin.status == 200 and list(plugin.json()) == fields


def test_metrics(server):
    def figure(name):
        rows = [l for l in server.get("/metrics").body.decode().split("\n") if l.startswith(f"llamacpp:{name} ")]
        return float(rows[0].split()[1])

    before = figure("tokens_predicted_total")
    complete(server)
    assert figure("tokens_predicted_total") >= before + 8
    assert figure("prompt_tokens_total") > 0 and figure("requests_processing") >= 0
    server.wait_metric("ledger_live", lambda n: n == 0)
    for name in ("prompt_seconds_total", "tokens_predicted_seconds_total", "prompt_tokens_seconds",
                 "predicted_tokens_seconds", "n_decode_total", "n_busy_slots_per_decode"):
        assert figure(name) > 0, name
