"""OpenAI's dialect, by raw requests against bard."""
import math
import threading

import pytest

from hearth_api import needs_bard

pytestmark = needs_bard
USER = [{"role": "user", "content": "To be, or not to be"}]


def text_of(answer):
    assert answer.status == 200, answer.body
    return [c["message"]["content"] for c in answer.json()["choices"]]


def streamed(answer):
    """The texts of a stream, by index, and its last usage."""
    assert answer.status == 200, answer.body
    texts, finish, usage = {}, {}, None
    for event in answer.events():
        assert "error" not in event, event
        usage = event.get("usage") or usage
        for c in event["choices"]:
            texts[c["index"]] = texts.get(c["index"], "") + (c["delta"].get("content") or "")
            if c["finish_reason"]:
                finish[c["index"]] = c["finish_reason"]
    return texts, finish, usage


def test_models(server):
    listed = server.get("/v1/models").json()
    assert listed["object"] == "list" and listed["data"][0]["id"] == "bard"
    assert server.get("/v1/models/bard").json()["id"] == "bard"
    assert server.get("/v1/models/bard:latest").json()["id"] == "bard"
    gone = server.get("/v1/models/no/such")
    assert gone.status == 404 and gone.error()["code"] == "model_not_found"


def test_stream_is_the_same_answer(server):
    ask = {"messages": USER, "seed": 7, "max_tokens": 24}
    whole = server.post("/v1/chat/completions", ask)
    stream = server.post("/v1/chat/completions", {**ask, "stream": True, "stream_options": {"include_usage": True}})
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    assert stream.body.endswith(b"data: [DONE]\n\n")
    texts, finish, usage = streamed(stream)
    assert [texts[0]] == text_of(whole)
    assert finish[0] == whole.json()["choices"][0]["finish_reason"]
    assert usage["completion_tokens"] == whole.json()["usage"]["completion_tokens"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_cached_tokens(server):
    ask = {"messages": [{"role": "user", "content": "the same beginning " * 40}], "max_tokens": 1}
    server.post("/v1/chat/completions", ask)
    again = server.post("/v1/chat/completions", ask).json()["usage"]
    assert 64 <= again["prompt_tokens_details"]["cached_tokens"] < again["prompt_tokens"]


def test_n_choices(server):
    ask = {"messages": USER, "seed": 3, "max_tokens": 8, "n": 3}
    texts = text_of(server.post("/v1/chat/completions", ask))
    assert len(texts) == 3 and len(set(texts)) > 1
    again, finish, _ = streamed(server.post("/v1/chat/completions", {**ask, "stream": True}))
    assert [again[i] for i in range(3)] == texts and len(finish) == 3
    assert text_of(server.post("/v1/chat/completions", {**ask, "n": 1})) == texts[:1]


def test_stop(server):
    ask = {"messages": USER, "temperature": 0, "max_tokens": 40, "ignore_eos": True}
    whole = text_of(server.post("/v1/chat/completions", ask))[0]
    stop = whole[8:11]
    cut = server.post("/v1/chat/completions", {**ask, "stop": stop})
    assert text_of(cut) == [whole[:whole.index(stop)]]
    assert cut.json()["choices"][0]["finish_reason"] == "stop"


def test_logprobs(server):
    ask = {"messages": USER, "temperature": 0, "max_tokens": 6, "logprobs": True, "top_logprobs": 3,
           "ignore_eos": True}
    choice = server.post("/v1/chat/completions", ask).json()["choices"][0]
    rows = choice["logprobs"]["content"]
    assert len(rows) == 6
    assert b"".join(bytes(r["bytes"]) for r in rows).decode().strip() == choice["message"]["content"].strip()
    for r in rows:
        tops = [t["logprob"] for t in r["top_logprobs"]]
        assert len(tops) == 3 and tops == sorted(tops, reverse=True)
        assert math.isclose(r["logprob"], tops[0]) and r["token"] == r["top_logprobs"][0]["token"]
    events = server.post("/v1/chat/completions", {**ask, "stream": True}).events()
    parts = [c["logprobs"]["content"] for e in events for c in e["choices"] if c["logprobs"]]
    assert [r for p in parts for r in p] == rows


def test_logit_bias(server):
    ask = {"messages": USER, "temperature": 0, "max_tokens": 1, "logprobs": True, "top_logprobs": 2}
    tops = server.post("/v1/chat/completions", ask).json()["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    # the vocabulary's numbers are not in the answer: ban by trying
    banned = {str(i): -1000 for i in range(2048)}
    other = server.post("/v1/chat/completions", {**ask, "logit_bias": banned})
    assert other.status == 200
    bad = server.post("/v1/chat/completions", {**ask, "logit_bias": {"99999999": 1}})
    assert bad.status == 400 and bad.error()["param"] == "logit_bias" and tops


def test_completions(server):
    ask = {"prompt": "To be", "seed": 5, "max_tokens": 8, "logprobs": 2, "echo": True, "ignore_eos": True}
    whole = server.post("/v1/completions", ask).json()
    choice = whole["choices"][0]
    assert whole["object"] == "text_completion" and choice["text"].startswith("To be")
    rows = choice["logprobs"]
    assert len(rows["tokens"]) == len(rows["token_logprobs"]) == len(rows["top_logprobs"]) == 8
    assert rows["text_offset"][0] == len("To be")
    said = [t for t in rows["tokens"] if not t.startswith("<|")]  # control tokens have no text
    assert choice["text"] == "To be" + "".join(said)
    events = server.post("/v1/completions", {**ask, "stream": True}).events()
    assert "".join(c["text"] for e in events for c in e["choices"]) == choice["text"]
    offsets = [o for e in events for c in e["choices"] for o in c["logprobs"]["text_offset"]]
    assert offsets == rows["text_offset"]


def test_many_prompts(server):
    ask = {"prompt": ["To be", "Now is the"], "n": 2, "seed": 5, "max_tokens": 4}
    got = server.post("/v1/completions", ask).json()
    assert [c["index"] for c in got["choices"]] == [0, 1, 2, 3]
    alone = server.post("/v1/completions", {**ask, "prompt": "To be", "n": 1}).json()
    assert alone["choices"][0]["text"] == got["choices"][0]["text"]
    ids = server.post("/v1/completions", {**ask, "prompt": [1, 2, 3], "n": 1}).json()
    assert ids["usage"]["prompt_tokens"] == 3


def test_responses(server):
    first = server.post("/v1/responses", {"input": "Who is there?", "seed": 1, "max_output_tokens": 8}).json()
    assert first["object"] == "response" and first["output"][0]["content"][0]["type"] == "output_text"
    again = server.get("/v1/responses/" + first["id"])
    assert again.json() == first
    more = server.post("/v1/responses", {"input": "And who are you?", "previous_response_id": first["id"],
                                         "max_output_tokens": 4}).json()
    assert more["usage"]["input_tokens"] > first["usage"]["input_tokens"] + first["usage"]["output_tokens"]
    items = server.get(f"/v1/responses/{more['id']}/input_items").json()["data"]
    assert [i["role"] for i in items] == ["user", "assistant", "user"]
    assert server.ask("DELETE", "/v1/responses/" + first["id"]).json()["deleted"] is True
    assert server.get("/v1/responses/" + first["id"]).status == 404
    lost = server.post("/v1/responses", {"input": "x", "previous_response_id": first["id"]})
    assert lost.status == 404 and lost.error()["param"] == "previous_response_id"
    kept = server.post("/v1/responses", {"input": "x", "store": False, "max_output_tokens": 1}).json()
    assert server.get("/v1/responses/" + kept["id"]).status == 404


def test_responses_stream(server):
    ask = {"input": [{"role": "user", "content": [{"type": "input_text", "text": "Who is there?"}]}],
           "seed": 1, "max_output_tokens": 8}
    whole = server.post("/v1/responses", ask).json()
    events = server.post("/v1/responses", {**ask, "stream": True}).events()
    assert [e["sequence_number"] for e in events] == list(range(len(events)))
    assert events[0]["type"] == "response.created"
    assert events[-1]["type"] in ("response.completed", "response.incomplete")
    text = "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")
    assert text == whole["output"][0]["content"][0]["text"]
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == text


@pytest.mark.parametrize("path, body, status, param", [
    ("/v1/chat/completions", {}, 400, "messages"),
    ("/v1/chat/completions", {"messages": []}, 400, "messages"),
    ("/v1/chat/completions", {"messages": [{"role": "king", "content": "x"}]}, 400, "messages[0].role"),
    ("/v1/chat/completions", {"messages": [{"content": "x"}]}, 400, "messages[0].role"),
    ("/v1/chat/completions", {"messages": USER, "temperature": -1}, 400, "temperature"),
    ("/v1/chat/completions", {"messages": USER, "temperature": "hot"}, 400, "temperature"),
    ("/v1/chat/completions", {"messages": USER, "n": 0}, 400, "n"),
    ("/v1/chat/completions", {"messages": USER, "model": "gpt-99"}, 404, "model"),
    ("/v1/chat/completions", {"messages": USER, "top_logprobs": 2}, 400, "top_logprobs"),
    ("/v1/chat/completions", {"messages": USER, "keep_alive": "soon"}, 400, "keep_alive"),
    ("/v1/chat/completions", {"messages": USER, "response_format": {"type": "verse"}}, 400, "response_format.type"),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}]}, 400, "messages[0].content[0]"),
    ("/v1/completions", {"prompt": [1, "x"]}, 400, "prompt"),
    ("/v1/completions", {"prompt": [10 ** 9]}, 400, "prompt"),
    ("/v1/completions", {"prompt": []}, 400, "prompt"),
    ("/v1/completions", {"prompt": "x", "suffix": "y"}, 501, "suffix"),
    ("/v1/responses", {"input": "x", "background": True}, 400, "background"),
    ("/v1/responses", {}, 400, "input"),
])
def test_errors(server, path, body, status, param):
    answer = server.post(path, body)
    assert answer.status == status, answer.body
    e = answer.error()
    assert e["param"] == param and e["message"] and e["type"] and e["code"]


@pytest.mark.parametrize("path", ["/v1/moderations", "/v1/images/generations", "/v1/models/", "/nothing"])
def test_paths_that_are_not_here(server, path):
    answer = server.get(path)
    assert answer.status == 404 and answer.error()["code"] == "unknown_url" and path in answer.error()["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{\"messages\":NaN}", b"[" * 100000, b"\xff\xfe",
                                  b'{"messages":[{"role":"user","content":"a\\u0000b"}]}'])
def test_no_json(server, body):
    answer = server.post("/v1/chat/completions", body)
    assert answer.status == 400 and answer.error()["message"]


def test_context_length(server):
    answer = server.chat("word " * 5000)
    assert answer.status == 400 and answer.error()["code"] == "context_length_exceeded"
    for words in ("prompt is too long: ", "this model's maximum context length is "):  # by which programs know it
        assert words in answer.error()["message"]
    assert "1024" in answer.error()["message"]


def test_together_as_alone(server):
    """Many at once get what each would get alone."""
    asks = [{"prompt": f"Scene {i}", "seed": i, "max_tokens": 12} for i in range(12)]
    alone = [server.post("/v1/completions", a).json()["choices"][0]["text"] for a in asks]
    got = [None] * len(asks)

    def one(i):
        got[i] = server.post("/v1/completions", asks[i]).json()["choices"][0]["text"]

    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(asks))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == alone


def test_unknown_fields_are_tolerated(server):
    assert server.chat(max_tokens=1, no_such_field={"a": [1]}, temperature=None).status == 200
