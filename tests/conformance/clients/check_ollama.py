"""Ollama's own library for Python against the server at HEARTH_URL; run by test_ollama_clients.py."""
import asyncio
import concurrent.futures
import json
import os

import httpx
import ollama
import pytest

from left import seen_leaving

URL, MODEL = os.environ["HEARTH_URL"], os.environ["HEARTH_MODEL"]
CLIENT = ollama.Client(host=URL)
OPTIONS = {"num_predict": 12, "seed": 7}
USER = [{"role": "user", "content": "Who is there?"}]


def test_lists():
    assert f"{MODEL}:latest" in [m.model for m in CLIENT.list().models]
    assert CLIENT.show(MODEL).details.format == "gguf"
    CLIENT.generate(MODEL, "x", options={"num_predict": 1})
    assert f"{MODEL}:latest" in [m.model for m in CLIENT.ps().models]


def test_chat_and_stream():
    whole = CLIENT.chat(MODEL, USER, options=OPTIONS)
    parts = list(CLIENT.chat(MODEL, USER, options=OPTIONS, stream=True))
    assert "".join(p.message.content for p in parts) == whole.message.content != ""
    for end in (whole, parts[-1]):
        assert end.done and end.done_reason in ("stop", "length")
        assert end.total_duration > 0 and end.eval_duration > 0 and end.prompt_eval_duration > 0
        assert end.prompt_eval_count > 0 and end.eval_count > 0


def test_generate_and_stop():
    whole = CLIENT.generate(MODEL, "To be", options=OPTIONS)
    stop = whole.response.strip()[3:5]
    cut = CLIENT.generate(MODEL, "To be", options={**OPTIONS, "stop": [stop]})
    assert cut.response == whole.response.split(stop)[0] and cut.done_reason == "stop"
    assert CLIENT.generate(MODEL, "And?", context=whole.context, options=OPTIONS).prompt_eval_count \
        > len(whole.context)


def test_embeddings():
    got = CLIENT.embed(MODEL, ["To be", "or not to be"])
    assert len(got.embeddings) == 2 and len(got.embeddings[0]) == len(got.embeddings[1]) > 8
    assert len(CLIENT.embeddings(MODEL, "To be").embedding) == len(got.embeddings[0])


def test_structured_answers():
    kinds = {"type": "object", "properties": {"kind": {"enum": ["king", "fool"]}}, "required": ["kind"],
             "additionalProperties": False}
    for answer in (CLIENT.chat(MODEL, USER, format=kinds, options={"seed": 7}).message.content,
                   CLIENT.generate(MODEL, "Who?", format=kinds, options={"seed": 7}).response):
        assert json.loads(answer)["kind"] in ("king", "fool")


def look(where: str) -> str:
    """Looks there.

    Args:
      where: door or wall
    """
    return f"Nobody at the {where}."


class Must(httpx.HTTPTransport):
    """Ollama's API has no word for a call that must be; the server has, and it is put in on the way."""

    def handle_request(self, request):
        body = {**json.loads(request.content), "tool_choice": "required", "parallel_tool_calls": False}
        headers = [(k, v) for k, v in request.headers.raw if k.lower() != b"content-length"]
        return super().handle_request(httpx.Request(request.method, request.url, headers=headers, json=body))


def test_tools():
    forced = ollama.Client(host=URL, transport=Must())
    tool = ollama.Tool(function={"name": "look", "description": "Looks there", "parameters": {
        "type": "object", "properties": {"where": {"type": "string", "enum": ["door", "wall"]}},
        "required": ["where"]}})
    ask = {"model": MODEL, "tools": [tool], "options": {**OPTIONS, "num_predict": 200}}
    called = forced.chat(messages=USER, **ask)
    call, = called.message.tool_calls
    assert call.function.name == "look" and call.function.arguments["where"] in ("door", "wall")
    parts = [c for p in forced.chat(messages=USER, stream=True, **ask) for c in p.message.tool_calls or []]
    assert [c.function for c in parts] == [call.function]
    result = {"role": "tool", "tool_name": "look", "content": look("door") * 40}
    told = CLIENT.chat(messages=[*USER, called.message, result], **{**ask, "tools": [look]})
    assert told.done and told.prompt_eval_count > called.prompt_eval_count + 90


def test_errors():
    with pytest.raises(ollama.ResponseError) as missing:
        CLIENT.chat("nobody", USER)
    assert missing.value.status_code == 404
    with pytest.raises(ollama.ResponseError) as wrong:
        list(CLIENT.generate(MODEL, "x", options={"temperature": "hot"}, stream=True))
    assert wrong.value.status_code == 400 and "temperature" in wrong.value.error
    with pytest.raises(ollama.ResponseError) as stranger:
        ollama.Client(host=URL, headers={"Authorization": "Bearer hk-nobodys"}).chat(MODEL, USER)
    assert stranger.value.status_code == 401
    slow = ollama.Client(host=URL, headers={"Authorization": f"Bearer {os.environ['HEARTH_SLOW_KEY']}"})
    with pytest.raises(ollama.ResponseError) as limit:
        for _ in range(3):
            slow.chat(MODEL, USER, options=OPTIONS)
    assert limit.value.status_code == 429


def test_cancelled_stream():
    def leave():
        stream = CLIENT.generate(MODEL, "O", stream=True, options={"num_predict": 900, "ignore_eos": True})
        assert next(stream).response is not None
        stream.close()

    seen_leaving(leave)


def test_twenty_at_once():
    def ask(seed):
        return CLIENT.chat(MODEL, USER, options={**OPTIONS, "seed": seed}).message.content

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        got = list(pool.map(ask, [i % 4 for i in range(20)]))
    assert all(got[i] == got[i % 4] for i in range(20))


def test_async():
    async def ask():
        one = ollama.AsyncClient(host=URL)
        return [p.message.content async for p in await one.chat(MODEL, USER, options=OPTIONS, stream=True)]

    assert "".join(asyncio.run(ask()))
