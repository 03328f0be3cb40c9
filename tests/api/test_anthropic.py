"""Anthropic's dialect, by raw requests against bard."""
import json
import time

import pytest

import hearth_api
from hearth_api import needs_bard

pytestmark = needs_bard
USER = [{"role": "user", "content": "To be, or not to be"}]
THEIRS = {"anthropic-version": "2023-06-01"}
BILLING = "x-anthropic-billing-header: cc_version=2.1.330.{0}; cc_entrypoint=cli; cch={0:05x};"


def ask(server, messages=None, **more):
    return server.post("/v1/messages", {"messages": messages or USER, "max_tokens": 16, **more}, **THEIRS)


def good(answer):
    assert answer.status == 200, answer.body
    return answer.json()


def text_of(message):
    assert [b["type"] for b in message["content"]] == ["text"]
    return message["content"][0]["text"]


def named_events(answer):
    """(event's name, its data), which must say the same type."""
    assert answer.status == 200, answer.body
    out = []
    for block in answer.body.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        assert name.startswith("event: ") and data.startswith("data: ")
        out.append((name[7:], json.loads(data[6:])))
        assert out[-1][1]["type"] == out[-1][0]
    return out


def test_message(server):
    answer = ask(server, seed=7, model="bard")
    m = good(answer)
    assert m["id"].startswith("msg_") and m["type"] == "message" and m["role"] == "assistant" and m["model"] == "bard"
    assert m["stop_reason"] in ("end_turn", "max_tokens") and m["stop_sequence"] is None and text_of(m)
    usage = m["usage"]
    assert 1 <= usage["output_tokens"] <= 16 and usage["cache_creation_input_tokens"] == 0
    counted = good(server.post("/v1/messages/count_tokens", {"messages": USER}))
    assert counted == {"input_tokens": usage["input_tokens"] + usage["cache_read_input_tokens"]}
    assert answer.headers["request-id"].startswith("req_") and answer.headers["request-id"] != m["id"]
    assert answer.headers["x-request-id"] == answer.headers["request-id"]


def test_stream_is_the_same_answer(server):
    whole = good(ask(server, seed=7, max_tokens=24))
    answer = ask(server, seed=7, max_tokens=24, stream=True)
    assert answer.headers["Content-Type"].startswith("text/event-stream") and answer.headers["request-id"]
    events = named_events(answer)
    names = [n for n, _ in events if n != "content_block_delta"]
    assert names == ["message_start", "content_block_start", "ping", "content_block_stop", "message_delta", "message_stop"]
    first = events[0][1]["message"]
    assert first["content"] == [] and first["stop_reason"] is None and set(first) == set(whole)
    deltas = [e["delta"] for n, e in events if n == "content_block_delta"]
    assert {d["type"] for d in deltas} == {"text_delta"}
    assert "".join(d["text"] for d in deltas) == text_of(whole)
    last = events[-2][1]
    assert last["delta"]["stop_reason"] == whole["stop_reason"]
    assert last["usage"]["output_tokens"] == whole["usage"]["output_tokens"]
    sums = [u["input_tokens"] + u["cache_read_input_tokens"] for u in (first["usage"], last["usage"], whole["usage"])]
    assert len(set(sums)) == 1
    assert first["usage"]["cache_read_input_tokens"] == last["usage"]["cache_read_input_tokens"]


def test_stop_reasons(server):
    greedy = {"temperature": 0, "ignore_eos": True}
    whole = good(ask(server, max_tokens=40, **greedy))
    assert whole["stop_reason"] == "max_tokens" and whole["usage"]["output_tokens"] == 40
    text = text_of(whole)
    early, late = text[6:9], text[14:18]
    # first of several by where they stand in the text, not in the list
    for stops in ([early], [late, early, "no such text"]):
        for stream in (False, True):
            answer = ask(server, max_tokens=40, stop_sequences=stops, stream=stream, **greedy)
            if stream:
                events = named_events(answer)
                got = "".join(e["delta"]["text"] for n, e in events if n == "content_block_delta")
                end = events[-2][1]["delta"]
            else:
                end = good(answer)
                got = text_of(end)
            assert got == text[:text.index(early)]
            assert (end["stop_reason"], end["stop_sequence"]) == ("stop_sequence", early)
    empty = named_events(ask(server, stop_sequences=[text[:3]], stream=True, **greedy))
    assert [n for n, _ in empty if n != "ping"] == ["message_start", "content_block_start", "content_block_stop",
                                                    "message_delta", "message_stop"]
    full = good(ask(server, max_tokens=100000, ignore_eos=True))
    assert full["stop_reason"] == "model_context_window_exceeded"


def test_blocks_are_texts(server):
    """Each way to say the same gives the same prompt."""
    def tokens(messages, **more):
        return good(server.post("/v1/messages/count_tokens", {"messages": messages, **more}))["input_tokens"]

    def block(text):
        return {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}

    assert tokens([{"role": "user", "content": [block("To be, or not to be")]}]) == tokens(USER)
    assert (tokens([{"role": "user", "content": [block("To be"), block("or not")]}])
            == tokens([{"role": "user", "content": "To be\nor not"}])
            == tokens([{"role": "user", "content": "To be"}, {"role": "user", "content": "or not"}]))
    assert tokens(USER, system="Be brief") == tokens(USER, system=[block("Be brief")]) > tokens(USER)
    talk = USER + [{"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": "x"},
                                                     {"type": "redacted_thinking", "data": "x"}, block("that is")]}]
    assert tokens(talk + [{"role": "user", "content": "the"}]) > tokens(USER) + 2
    used = [{"role": "assistant", "content": [block("I look"), {"type": "tool_use", "id": "toolu_1", "name": "look",
                                                               "input": {"at": "moon"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1",
                                          "content": [block("it is full")]}, block("Well?")]}]
    assert tokens(USER + used) > tokens(USER) + 8
    assert good(ask(server, USER + used, max_tokens=1))["usage"]["output_tokens"] == 1


def test_same_prompt_as_openai(server):
    theirs = good(ask(server, system="Be brief", seed=5))
    ours = server.post("/v1/chat/completions", {"messages": [{"role": "system", "content": "Be brief"}] + USER,
                                                "max_tokens": 16, "seed": 5}).json()
    assert text_of(theirs) == ours["choices"][0]["message"]["content"]
    assert ours["usage"]["prompt_tokens"] == (theirs["usage"]["input_tokens"]
                                              + theirs["usage"]["cache_read_input_tokens"])


@pytest.mark.parametrize("form", ["block", "first line", "string"])
def test_attribution_keeps_the_cache(server, form):
    """The line that differs from request to request must not hide the prefix that does not."""
    long = f"A system prompt of some length, {form}. " * 12

    def system(i):
        line = BILLING.format(i)
        if form == "block":
            return [{"type": "text", "text": line}, {"type": "text", "text": long}]
        return line + "\n" + long if form == "string" else [{"type": "text", "text": line + "\n\n" + long}]

    first = good(ask(server, system=system(1), max_tokens=1))["usage"]
    second = good(ask(server, system=system(2), max_tokens=1))["usage"]
    plain = good(ask(server, system=long, max_tokens=1))["usage"]
    assert second["cache_read_input_tokens"] >= 64
    assert second["cache_read_input_tokens"] == plain["cache_read_input_tokens"]
    sizes = [u["input_tokens"] + u["cache_read_input_tokens"] for u in (first, second, plain)]
    assert sizes[0] == sizes[1] == sizes[2]


def test_models(server):
    for header in (THEIRS, {"x-api-key": "any"}):
        listed = good(server.get("/v1/models", **header))
        assert listed["data"][0]["id"] == "bard" and listed["data"][0]["type"] == "model"
        assert listed["has_more"] is False and listed["first_id"] == listed["last_id"] == "bard"
        one = good(server.get("/v1/models/bard", **header))
        assert one == listed["data"][0] and one["display_name"] and one["created_at"].endswith("Z")
        gone = server.get("/v1/models/no/such", **header)
        assert gone.status == 404 and gone.error()["type"] == "not_found_error"
    assert good(server.get("/v1/models"))["object"] == "list"
    assert good(server.get("/v1/models/bard"))["object"] == "model"
    assert good(server.get("/v1/models?limit=1&after_id=bard", **THEIRS))["data"] == []
    for query in ("limit=0", "limit=x", "after_id=nobody"):
        assert server.get("/v1/models?" + query, **THEIRS).status == 400


def test_pages_of_models(tmp_path):
    files = []
    for name in "abc":
        files.append(tmp_path / f"{name}.gguf")
        files[-1].symlink_to(hearth_api.BARD)
    with hearth_api.serving(tmp_path / "home", *[a for f in files for a in ("--model", f)]) as s:
        seen, after = [], ""
        while True:
            page = good(s.get("/v1/models?limit=2" + after, **THEIRS))
            seen += [m["id"] for m in page["data"]]
            if not page["has_more"]:
                break
            after = "&after_id=" + page["last_id"]
        assert seen == ["a", "b", "c", "bard"]
        back = good(s.get("/v1/models?limit=2&before_id=bard", **THEIRS))
        assert [m["id"] for m in back["data"]] == ["b", "c"] and back["has_more"]


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}


@pytest.mark.parametrize("body, status, kind, words", [
    ({"max_tokens": 1}, 400, "invalid_request_error", "messages is missing"),
    ({"messages": USER}, 400, "invalid_request_error", "max_tokens is missing"),
    ({"messages": USER, "max_tokens": 0}, 400, "invalid_request_error", "max_tokens"),
    ({"messages": [], "max_tokens": 1}, 400, "invalid_request_error", "messages"),
    ({"messages": [{"role": "king", "content": "x"}], "max_tokens": 1}, 400, "invalid_request_error", "messages[0].role"),
    ({"messages": [{"role": "user"}], "max_tokens": 1}, 400, "invalid_request_error", "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}], "max_tokens": 1}, 400, "invalid_request_error",
     "messages[0].content[0].text is missing"),
    ({"messages": [{"role": "user", "content": [IMAGE]}], "max_tokens": 1}, 400, "invalid_request_error",
     "messages[0].content[0]: this model takes text, not image"),
    ({"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x", "content": [IMAGE]}]}],
      "max_tokens": 1}, 400, "invalid_request_error", "messages[0].content[0].content[0]"),
    ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}], "max_tokens": 1}, 400,
     "invalid_request_error", "messages[0].content[0].tool_use_id is missing"),
    ({"messages": USER, "max_tokens": 1, "system": [IMAGE]}, 400, "invalid_request_error", "system[0]"),
    ({"messages": USER, "max_tokens": 1, "tools": [{"name": "x", "input_schema": "none"}]}, 400,
     "invalid_request_error", "tools[0].input_schema"),
    ({"messages": USER, "max_tokens": 1, "output_config": {"format": {"type": "json_schema", "schema": {
        "type": "array", "uniqueItems": True}}}}, 400, "invalid_request_error", "output_config.format"),
    ({"messages": USER, "max_tokens": 1, "stop_sequences": ["x" * 5000]}, 400, "invalid_request_error", "stop_sequences"),
    ({"messages": USER, "max_tokens": 1, "thinking": {"type": "loud"}}, 400, "invalid_request_error", "thinking.type"),
    ({"messages": USER, "max_tokens": 1, "model": "claude-99"}, 404, "not_found_error", "claude-99"),
    ({"messages": [{"role": "user", "content": "word " * 5000}], "max_tokens": 1}, 400, "invalid_request_error", "1024"),
    (b"{", 400, "invalid_request_error", ""),
])
def test_errors(server, body, status, kind, words):
    answer = server.post("/v1/messages", body)
    assert answer.status == status, answer.body
    e = answer.json()
    assert e["type"] == "error" and e["error"]["type"] == kind and words in e["error"]["message"]
    assert e["request_id"] == answer.headers["request-id"]


def test_errors_before_a_call(server):
    for answer, status, kind in ((server.get("/v1/messages"), 405, "invalid_request_error"),
                                 (server.post("/v1/messages", {}, Host="evil.example"), 403, "permission_error")):
        assert answer.status == status and answer.json()["type"] == "error"
        assert answer.error()["type"] == kind and answer.json()["request_id"] is None
    bad = server.post("/v1/messages", {}, x_api_key="hk-nobodys")
    assert bad.status == 401 and bad.error()["type"] == "authentication_error"


def test_what_is_accepted(server):
    more = {"tools": [], "thinking": {"type": "enabled", "budget_tokens": 1024}, "metadata": {"user_id": "ann"},
            "top_k": 5, "top_p": 0.9, "temperature": 0.5, "service_tier": "auto", "stop_sequences": []}
    assert good(ask(server, **more))["type"] == "message"
    tool = {"name": "x", "input_schema": {"type": "object"}}
    assert good(ask(server, tools=[tool], tool_choice={"type": "none"}))["type"] == "message"


def test_keys_and_the_ledger(tmp_path):
    with hearth_api.serving(tmp_path, "--require-key") as s:
        key = s.command("key", "create", "ann").strip().split()[-1]
        time.sleep(0.6)  # the server looks at the file a few times a second
        for header in ({"x-api-key": key}, {"Authorization": "Bearer " + key}):
            assert s.post("/v1/messages", {"messages": USER, "max_tokens": 2}, **header).status == 200
        none = s.post("/v1/messages", {"messages": USER, "max_tokens": 2})
        assert none.status == 401 and none.error()["type"] == "authentication_error"


def test_end_of_the_server_is_an_error_event(tmp_path):
    s = hearth_api.Server(tmp_path, "--drain", "0").wait_ready()
    c, r = s.open("POST", "/v1/messages", {"messages": USER, "max_tokens": 900, "ignore_eos": True, "stream": True})
    assert r.readline() == b"event: message_start\n"
    # many others, so that this one is not at its end before the signal is seen
    others = [s.open("POST", "/v1/completions", {"prompt": "x", "ignore_eos": True, "n": 64, "stream": True})]
    s.child.send_signal(15)
    rest = r.read().decode()
    last = rest.strip().split("\n\n")[-1].split("\n")
    assert last[0] == "event: error"
    e = json.loads(last[1][6:])
    assert e["type"] == "error" and e["error"]["type"] == "overloaded_error" and e["request_id"].startswith("req_")
    for other, _ in others + [(c, r)]:
        other.close()
    s.stop()


@pytest.mark.skipif(not hearth_api.NIGHTLY, reason="takes ten seconds of waiting; nightly")
def test_pings_while_queued(tmp_path):
    with hearth_api.serving(tmp_path, "--parallel", "1", "--drain", "0") as s:
        first, _ = s.open("POST", "/v1/completions",
                          {"prompt": "x", "ignore_eos": True, "max_tokens": -1, "n": 128, "stream": True})
        second, waiting = s.open("POST", "/v1/messages", {"messages": USER, "max_tokens": 4, "stream": True})
        assert waiting.status == 200
        got = b""
        while got.count(b"event: ping") < 2:
            line = waiting.readline()
            assert line
            got += line
        assert got.startswith(b"event: message_start") and b"content_block_delta" not in got
        second.close()
        first.close()
