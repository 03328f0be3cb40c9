"""Tools and thoughts in every dialect. Bard knows of neither, so whatever is right about its calls is the grammar's
doing; with another template it stands for a model that has a place for them."""
import itertools
import json
import pathlib
import re
import sys

import pytest

import hearth_api
import talking
from hearth_api import BARD, ROOT, needs_bard
from talking import DIALECTS, SCHEMAS, TOOLS, post, say

jsonschema = pytest.importorskip("jsonschema")
sys.path.insert(0, str(ROOT / "tests" / "tools"))
from with_template import with_template  # noqa: E402

pytestmark = needs_bard
ASK = [("user", "How is the weather?")]
EACH = pytest.mark.parametrize("dialect", DIALECTS)
STREAMS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])

# As Qwen's and their kin: tools in the system's turn, calls in tags, thoughts before the answer.
TEMPLATE = """
{%- if tools %}<|system|>Tools:
{%- for t in tools %}
{{ t | tojson }}
{%- endfor %}
<tool_call>
{"name": NAME, "arguments": ARGUMENTS}
</tool_call><|end|>{% endif %}
{%- for m in messages %}
{%- if m.role == 'tool' %}<|user|><tool_response {{ m.name }} {{ m.content }}><|end|>
{%- elif m.role == 'assistant' %}<|bard|>{% if m.reasoning_content %}<think>
{{ m.reasoning_content }}
</think>

{% endif %}{{ m.content }}{% for c in m.tool_calls or [] %}<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{% endfor %}<|end|>
{%- elif m.role == 'system' %}<|system|>{{ m.content }}<|end|>
{%- else %}<|user|>{{ m.content }}<|end|>
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|bard|>{% if enable_thinking %}<think>
{% endif %}{% endif %}"""


@pytest.fixture(scope="session")
def thinker(tmp_path_factory):
    home = tmp_path_factory.mktemp("thinker")
    (home / "thinker.gguf").write_bytes(with_template(BARD.read_bytes(), TEMPLATE.encode()))
    with hearth_api.serving(home, "--model", home / "thinker.gguf", "--drain", "1") as s:
        yield s
        assert s.child.poll() is None, s.text()


def check(said):
    for name, arguments in said.calls:
        jsonschema.validate(arguments, SCHEMAS[name])
    assert len(set(said.ids)) == len(said.ids) and all(said.ids)


# ---- calls ----

@EACH
@STREAMS
@pytest.mark.parametrize("choice", ["required", "weather", "clock"])
@pytest.mark.parametrize("which", ["bard", "thinker"])
def test_a_call_is_made(request, dialect, stream, choice, which):
    server = request.getfixturevalue("server" if which == "bard" else "thinker")
    for seed in range(2):
        said = say(server, dialect, ASK, tools=TOOLS, choice=choice, stream=stream, seed=seed, one=True, think=False)
        assert len(said.calls) == 1 and said.why == "tool_calls" and not said.notes, (said.__dict__, seed)
        check(said)
        if choice != "required":
            assert said.calls[0][0] == choice


@EACH
def test_a_stream_is_the_same_answer(server, dialect):
    for seed, choice in itertools.product(range(2), ["required", "auto"]):
        how = {"tools": TOOLS, "choice": choice, "seed": seed, "max_tokens": 100}
        assert say(server, dialect, ASK, **how).same(say(server, dialect, ASK, stream=True, **how))


@EACH
@STREAMS
def test_auto_and_none(thinker, dialect, stream):
    """Whatever begins as a call is one; without a choice nothing is."""
    for seed in range(4):
        said = say(thinker, dialect, ASK, tools=TOOLS, choice="auto", stream=stream, seed=seed, max_tokens=60)
        check(said)
        assert "<tool_call>" not in said.text
    with_none = say(thinker, dialect, ASK, tools=TOOLS, choice="none", max_tokens=8)
    without = say(thinker, dialect, ASK, max_tokens=8)
    assert not with_none.calls and with_none.prompt == without.prompt < said_prompt(thinker, dialect)


def said_prompt(server, dialect):
    return say(server, dialect, ASK, tools=TOOLS, max_tokens=1).prompt


@EACH
def test_one_call_or_more(thinker, dialect):
    how = {"tools": TOOLS, "choice": "required", "temperature": 1.4, "max_tokens": 200, "think": False}
    some = [say(thinker, dialect, ASK, seed=s, **how) for s in range(3)]
    one = [say(thinker, dialect, ASK, seed=s, one=True, **how) for s in range(3)]
    for said in some + one:
        assert said.calls
        if said.why == "tool_calls":
            check(said)
        else:
            assert said.why == "length" and said.notes
    assert {len(s.calls) for s in one} == {1}


@EACH
@pytest.mark.parametrize("how, word", [
    ({"tools": TOOLS, "choice": "telescope"}, "telescope"),
    ({"choice": "required"}, "tool_choice"),
    ({"choice": "weather"}, "weather"),
    ({"tools": TOOLS + TOOLS[:1]}, "weather"),
    ({"tools": [("", "", {})]}, "name"),
])
def test_wrong_choices_are_named(server, dialect, how, word):
    answer = post(server, dialect, ASK, **how)
    assert answer.status == 400 and word in answer.body.decode(), answer.body


@pytest.mark.parametrize("dialect", ["chat", "responses", "anthropic"])
def test_what_a_strict_schema_cannot_have(server, dialect):
    tools = [("f", "", {"type": "object", "properties": {"x": {"type": "array", "uniqueItems": True}}})]
    answer = post(server, dialect, ASK, tools=tools, choice="required", strict=True)
    assert answer.status == 400 and "uniqueItems" in answer.body.decode()


@EACH
@STREAMS
def test_what_is_no_call_is_text_with_a_warning(server, dialect, stream):
    said = say(server, dialect, ASK, tools=TOOLS, choice="weather", max_tokens=3, stream=stream)
    assert not said.calls and said.why == "length" and said.text.startswith("{") and len(said.notes["warnings"]) == 1
    cut = say(server, dialect, ASK, tools=TOOLS, choice="weather", max_tokens=24, stream=stream)
    assert cut.why == "length" and (cut.text or cut.calls) and cut.notes["warnings"]


def test_allowed_tools(server):
    body = talking.body_of("chat", ASK, tools=TOOLS)
    allowed = [{"type": "function", "function": {"name": "clock"}}]
    for mode in ("required", "auto"):
        body["tool_choice"] = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": allowed}}
        for seed in range(4):
            calls = server.post("/v1/chat/completions", {**body, "seed": seed}).json()["choices"][0]["message"].get(
                "tool_calls", [])
            assert all(c["function"]["name"] == "clock" for c in calls) and (calls or mode == "auto")
    body["tool_choice"]["allowed_tools"]["tools"] = [{"type": "function", "function": {"name": "telescope"}}]
    assert "telescope" in server.post("/v1/chat/completions", body).error()["message"]
    flat = talking.body_of("responses", ASK, tools=TOOLS)
    flat["tool_choice"] = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "clock"}]}
    assert server.post("/v1/responses", flat).json()["output"][0]["name"] == "clock"


def test_functions_in_their_older_form(server):
    functions = [{"name": n, "description": d, "parameters": s} for n, d, s in TOOLS]
    ask = {"messages": [{"role": "user", "content": "x"}], "functions": functions, "function_call": {"name": "clock"},
           "max_tokens": 160, "seed": 1}
    choice = server.post("/v1/chat/completions", ask).json()["choices"][0]
    assert choice["finish_reason"] == "function_call" and "tool_calls" not in choice["message"]
    call = choice["message"]["function_call"]
    assert call["name"] == "clock"
    jsonschema.validate(json.loads(call["arguments"]), SCHEMAS["clock"])
    deltas = [c["delta"]["function_call"] for e in server.post("/v1/chat/completions", {**ask, "stream": True}).events()
              for c in e["choices"] if "function_call" in c["delta"]]
    assert deltas[0]["name"] == "clock" and "".join(d["arguments"] for d in deltas) == call["arguments"]
    talk = ask["messages"] + [{"role": "assistant", "content": None, "function_call": call},
                              {"role": "function", "name": "clock", "content": "noon"}]
    assert server.post("/v1/chat/completions", {**ask, "messages": talk, "function_call": "none"}).status == 200


# ---- what came of them ----

LOOP = [("system", "Be brief."), ("user", "Rome and the time?"),
        ("calls", "I need both.", "Let me see.", [("call_1", "weather", {"city": "Rome", "days": 2}),
                                                  ("call_2", "clock", {"zone": "CET"})]),
        ("result", "call_2", "clock", "noon"), ("result", "call_1", "weather", "sunny")]


@pytest.mark.parametrize("which", ["bard", "thinker"])
def test_results_go_back_in_every_dialect(request, which):
    """The same prompt, to the token: ids, names and thoughts in their places, results in the order of the calls."""
    server = request.getfixturevalue("server" if which == "bard" else "thinker")
    tokens = {d: say(server, d, LOOP, tools=TOOLS, max_tokens=1).prompt for d in DIALECTS}
    assert len(set(tokens.values())) == 1, tokens
    body = {"messages": talking.messages_of("chat", LOOP), "tools": talking.tools_of("chat", TOOLS, False)}
    prompt = server.post("/apply-template", body).json()["prompt"]
    assert prompt.index("sunny") < prompt.index("noon") and "weather" in prompt
    counted = server.post("/v1/messages/count_tokens", talking.body_of("anthropic", LOOP, tools=TOOLS))
    assert counted.json()["input_tokens"] == tokens["chat"]
    if which == "thinker":
        assert "<tool_response weather sunny>" in prompt and "I need both." in prompt
        assert '<tool_call>\n{"name": "clock", "arguments": {"zone": "CET"}}\n</tool_call>' in prompt


def test_errors_of_tools(thinker):
    def prompt(**more):
        talk = talking.messages_of("anthropic", LOOP)
        talk[-1]["content"][0].update(more)
        body = {"messages": talk}
        return thinker.post("/v1/messages/count_tokens", body).json()["input_tokens"]

    assert prompt(is_error=True) > prompt(is_error=False) == prompt()


def test_what_a_template_cannot_do_is_the_conversations_fault(thinker):
    deep = '{"zone": ' + "[" * 2000 + "]" * 2000 + "}"
    call = {"id": "call_1", "type": "function", "function": {"name": "clock", "arguments": deep}}
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "call_1", "content": "Noon."}]
    answer = thinker.post("/v1/chat/completions", {**talking.body_of("chat", ASK, tools=TOOLS), "messages": messages})
    assert answer.status == 400 and "deep" in answer.error()["message"], answer.body


def test_a_kept_response_has_its_calls(thinker):
    first = thinker.post("/v1/responses", talking.body_of("responses", ASK, tools=TOOLS, choice="weather", one=True,
                                                            think=False)).json()
    call = first["output"][-1]
    more = {"input": [{"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}],
            "previous_response_id": first["id"], "max_output_tokens": 4}
    second = thinker.post("/v1/responses", more)
    assert second.status == 200, second.body
    items = thinker.get(f"/v1/responses/{second.json()['id']}/input_items").json()["data"]
    assert [i["type"] for i in items] == ["function_call_output", "function_call", "message"]
    assert items[1]["arguments"] == call["arguments"] and items[0]["call_id"] == items[1]["call_id"] == call["call_id"]


def test_tools_that_take_a_text(thinker):
    body = talking.body_of("responses", ASK, max_tokens=300)
    body.update(tools=[{"type": "custom", "name": "note"}, {"type": "web_search"}], tool_choice="required", seed=2,
                parallel_tool_calls=False, max_output_tokens=400)
    events = thinker.post("/v1/responses", {**body, "stream": True}).events()
    whole = events[-1]["response"]
    assert "web_search" in whole["warnings"][0]
    if events[-1]["type"] == "response.completed":
        call = whole["output"][-1]
        assert call["type"] == "custom_tool_call" and call["name"] == "note"
        assert [e["input"] for e in events if e["type"] == "response.custom_tool_call_input.done"] == [call["input"]]
        again = [{"role": "user", "content": "x"}, call,
                 {"type": "custom_tool_call_output", "call_id": call["call_id"], "output": "written"}]
        assert thinker.post("/v1/responses", {**body, "input": again, "max_output_tokens": 2}).status == 200


# ---- thoughts ----

@EACH
@STREAMS
def test_a_thought_is_told_apart_and_ends_in_time(thinker, dialect, stream):
    for budget in (0, 6):
        said = say(thinker, dialect, ASK, think=True, budget=budget, stream=stream, seed=3, max_tokens=60)
        assert "think>" not in said.text + said.thought and said.text
        assert len(said.thought) < 80 and bool(said.thought) == (budget > 0)
    whole = say(thinker, dialect, ASK, think=True, budget=6, seed=3, max_tokens=60)
    assert whole.same(say(thinker, dialect, ASK, think=True, budget=6, seed=3, max_tokens=60, stream=True))
    assert not say(thinker, dialect, ASK, think=False, max_tokens=20).thought


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_switch_has_one_meaning_wherever_it_is(thinker, dialect):
    """As the dialect says it, as a field, or as a template's variable: the same prompt and the same answer."""
    how = {"seed": 5, "max_tokens": 24}
    on, off = (say(thinker, dialect, ASK, think=think, **how) for think in (True, False))
    assert on.thought and not off.thought
    for said, think in ((on, True), (off, False)):
        for more in ({"enable_thinking": think}, {"chat_template_kwargs": {"enable_thinking": think}}):
            assert say(thinker, dialect, ASK, **how, **more).same(said), more


@EACH
@pytest.mark.parametrize("said, thinks", [
    ({"think": False, "enable_thinking": True}, True),
    ({"think": True, "chat_template_kwargs": {"thinking": False}}, False),
    ({"think": True, "chat_template_kwargs": {"reasoning_effort": "none"}}, False),
    ({"think": False, "chat_template_kwargs": {"reasoning_effort": "high"}}, True),
    ({"think": False, "enable_thinking": True, "chat_template_kwargs": {"enable_thinking": False}}, True),
    ({"think": False, "chat_template_kwargs": {"enable_thinking": True, "thinking": False}}, True),
])
def test_which_switch_goes_first(thinker, dialect, said, thinks):
    assert bool(say(thinker, dialect, ASK, seed=5, max_tokens=24, **said).thought) == thinks


@EACH
@STREAMS
def test_a_schema_or_a_call_after_the_thought(thinker, dialect, stream):
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 99}}, "required": ["n"],
              "additionalProperties": False}
    how = {"think": True, "budget": 8, "stream": stream, "seed": 1, "max_tokens": 200}
    said = say(thinker, dialect, ASK, schema=schema, **how)
    jsonschema.validate(json.loads(said.text), schema)
    assert said.thought and said.why == "stop"
    said = say(thinker, dialect, ASK, tools=TOOLS, choice="required", one=True, **how)
    check(said)
    assert said.thought and len(said.calls) == 1 and said.why == "tool_calls"


def test_tokens_of_thoughts_are_counted(thinker):
    for dialect, out, details in (("chat", "completion_tokens", "completion_tokens_details"),
                                  ("responses", "output_tokens", "output_tokens_details")):
        body = talking.body_of(dialect, ASK, think=True, budget=6, max_tokens=40, seed=3, ignore_eos=True)
        usage = thinker.post(talking.PATHS[dialect], body).json()["usage"]
        assert 4 <= usage[details]["reasoning_tokens"] <= 20 < usage[out] == 40


def test_thoughts_and_calls_may_stay_as_they_are(thinker):
    body = talking.body_of("chat", ASK, think=True, budget=4, max_tokens=40, seed=2)
    raw = thinker.post("/v1/chat/completions", {**body, "reasoning_format": "none"}).json()["choices"][0]["message"]
    assert "</think>" in raw["content"] and "reasoning_content" not in raw
    body = talking.body_of("chat", ASK, tools=TOOLS, choice="weather", one=True, seed=2, think=False)
    raw = thinker.post("/v1/chat/completions", {**body, "parse_tool_calls": False}).json()["choices"][0]
    assert raw["message"]["content"].startswith("<tool_call>") and raw["finish_reason"] == "stop"
    shown = thinker.post("/v1/chat/completions", {**body, "answer_format": "verse"})
    assert shown.status == 400 and "hermes" in shown.error()["message"]


def test_logprobs_beside_thoughts_and_calls(thinker):
    """Every token has its row, whatever it became."""
    body = talking.body_of("chat", ASK, tools=TOOLS, choice="weather", one=True, think=True, budget=4, seed=5)
    body.update(logprobs=True, top_logprobs=1)
    whole = thinker.post("/v1/chat/completions", body).json()
    rows = whole["choices"][0]["logprobs"]["content"]
    assert len(rows) == whole["usage"]["completion_tokens"]
    events = thinker.post("/v1/chat/completions", {**body, "stream": True}).events()
    parts = [r for e in events for c in e["choices"] if c["logprobs"] for r in c["logprobs"]["content"]]
    assert parts == rows


# ---- what a model can ----

def test_what_is_said_of_a_model(server, thinker):
    able = thinker.post("/api/show", {"model": "thinker"}).json()["capabilities"]
    assert {"completion", "tools", "thinking"} <= set(able)
    assert "thinking" not in server.post("/api/show", {"model": "bard"}).json()["capabilities"]


# ---- long conversations ----

@EACH
def test_old_turns_go_where_that_is_wanted(server, dialect):
    long = [("system", "Remember the word heron.")]
    for i in range(30):
        long += [("user", f"Question {i}: " + "what is this and that? " * 6), ("assistant", f"Answer {i}. " * 8)]
    long += [("user", "And the last question?")]
    refused = post(server, dialect, long, max_tokens=20)
    assert refused.status == 400
    said = say(server, dialect, long, max_tokens=20, truncation="auto")
    assert 0 < said.notes["dropped_turns"] < 30 and said.prompt <= 1024 - 20
    one_less = long[:1] + long[1 + 2 * said.notes["dropped_turns"]:]
    assert say(server, dialect, one_less, max_tokens=20).prompt == said.prompt
    one_more = long[:1] + long[1 + 2 * (said.notes["dropped_turns"] - 1):]
    more = post(server, dialect, one_more, max_tokens=2)
    assert more.status == 400 or talking.said_in(dialect, more, False).prompt > 1024 - 20
    short = say(server, dialect, ASK, max_tokens=20, truncation="auto")
    assert not short.notes
    too_long = post(server, dialect, [("user", "word " * 3000)], max_tokens=20, truncation="auto")
    assert too_long.status == 400 and re.search("[0-9]{4} tokens", too_long.body.decode())


def test_calls_go_with_their_results(thinker):
    """In a long row of calls the oldest go first, each with what came of it; the newest stays."""
    talk = [("user", "Work!")]
    for i in range(30):
        talk += [("calls", "", "", [(f"call_{i}", "clock", {"zone": "CET"})]), ("result", f"call_{i}", "clock", f"r{i} " * 20)]
    said = say(thinker, "chat", talk, max_tokens=20, truncation="auto")
    n = said.notes["dropped_turns"]
    assert 0 < n < 30
    assert say(thinker, "chat", talk[:1] + talk[1 + 2 * n:], max_tokens=20).prompt == said.prompt


def test_template_helper_makes_a_model(tmp_path):
    assert with_template(BARD.read_bytes(), b"x") != BARD.read_bytes() and pathlib.Path(ROOT).exists()
