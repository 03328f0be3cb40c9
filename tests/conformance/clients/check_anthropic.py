"""Anthropic's own library for Python against the server at HEARTH_URL; run by test_anthropic_clients.py."""
import asyncio
import concurrent.futures
import json
import os

import anthropic
import pytest

from left import seen_leaving

URL, MODEL = os.environ["HEARTH_URL"], os.environ["HEARTH_MODEL"]
CLIENT = anthropic.Anthropic(base_url=URL, api_key="any", max_retries=0)
USER = [{"role": "user", "content": "Who is there?"}]
SEED = {"extra_body": {"seed": 7}}
GREEDY = {"extra_body": {"temperature": 0, "ignore_eos": True}}


def test_lists():
    assert MODEL in [m.id for m in CLIENT.models.list(limit=1)]  # goes on to further pages by itself
    assert CLIENT.models.retrieve(MODEL).type == "model"


def test_message_and_stream():
    ask = {"model": MODEL, "messages": USER, "max_tokens": 12, **SEED}
    whole = CLIENT.messages.create(**ask)
    assert whole.content[0].text and whole._request_id.startswith("req_")
    with CLIENT.messages.stream(**ask) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == final.content[0].text == whole.content[0].text
    assert final.stop_reason == whole.stop_reason in ("end_turn", "max_tokens")
    assert final.usage.output_tokens == whole.usage.output_tokens > 0
    kinds = [e.type for e in CLIENT.messages.create(**ask, stream=True)]
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"


def test_count_and_cache():
    ask = {"model": MODEL, "messages": USER, "system": f"The same beginning for {MODEL}. " * 20}
    counted = CLIENT.messages.count_tokens(**ask).input_tokens
    CLIENT.messages.create(**ask, max_tokens=1)
    usage = CLIENT.messages.create(**ask, max_tokens=1).usage
    assert usage.cache_read_input_tokens >= 64
    assert usage.input_tokens + usage.cache_read_input_tokens == counted


def test_stop():
    ask = {"model": MODEL, "messages": USER, "max_tokens": 40, **GREEDY}
    text = CLIENT.messages.create(**ask).content[0].text
    cut = CLIENT.messages.create(**ask, stop_sequences=["no such text", text[5:8]])
    assert cut.content[0].text == text[:text.index(text[5:8])]
    assert (cut.stop_reason, cut.stop_sequence) == ("stop_sequence", text[5:8])


def test_errors():
    with pytest.raises(anthropic.NotFoundError) as missing:
        CLIENT.messages.create(model="nobody", messages=USER, max_tokens=1)
    assert missing.value.request_id == missing.value.body["request_id"]
    with pytest.raises(anthropic.BadRequestError, match="temperature"):
        CLIENT.messages.create(model=MODEL, messages=USER, max_tokens=1, extra_body={"temperature": -1})
    stranger = anthropic.Anthropic(base_url=URL, auth_token="hk-nobodys", max_retries=0)
    with pytest.raises(anthropic.AuthenticationError):
        stranger.models.list()
    slow = anthropic.Anthropic(base_url=URL, api_key=os.environ["HEARTH_SLOW_KEY"], max_retries=0)
    with pytest.raises(anthropic.RateLimitError) as limit:
        for _ in range(3):
            slow.messages.create(model=MODEL, messages=USER, max_tokens=1)
    assert 0 < int(limit.value.response.headers["retry-after"]) <= 60


def test_cancelled_stream():
    def leave():
        with CLIENT.messages.stream(model=MODEL, messages=USER, max_tokens=900, **GREEDY) as stream:
            assert next(iter(stream.text_stream))

    seen_leaving(leave)


def test_twenty_at_once():
    def ask(seed):
        return CLIENT.messages.create(model=MODEL, messages=USER, max_tokens=12,
                                      extra_body={"seed": seed}).content[0].text

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        got = list(pool.map(ask, [i % 4 for i in range(20)]))
    assert all(got[i] == got[i % 4] for i in range(20))


def test_tools():
    look = {"name": "look", "description": "Looks there", "input_schema": {
        "type": "object", "properties": {"where": {"enum": ["door", "wall"]}}, "required": ["where"],
        "additionalProperties": False}}
    once = {"disable_parallel_tool_use": True}
    ask = {"model": MODEL, "max_tokens": 200, "tools": [look], **SEED}
    for choice in ({"type": "any", **once}, {"type": "tool", "name": "look", **once}):
        called = CLIENT.messages.create(**ask, messages=USER, tool_choice=choice)
        use = called.content[-1]
        assert called.stop_reason == "tool_use" and (use.type, use.name) == ("tool_use", "look")
        assert use.input["where"] in ("door", "wall")
        with CLIENT.messages.stream(**ask, messages=USER, tool_choice=choice) as stream:
            parts = "".join(e.partial_json for e in stream if e.type == "input_json")
            assert stream.get_final_message().content[-1].input == json.loads(parts) == use.input
    talk = [*USER, {"role": "assistant", "content": called.content},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "Nobody. " * 60}]}]
    told = CLIENT.messages.create(**{**ask, "max_tokens": 12}, messages=talk, tool_choice={"type": "none"})
    assert told.stop_reason in ("end_turn", "max_tokens")
    assert told.usage.input_tokens + told.usage.cache_read_input_tokens > 120  # the result was before the model


def test_async():
    async def ask():
        one = anthropic.AsyncAnthropic(base_url=URL, auth_token="any", max_retries=0)
        async with one.messages.stream(model=MODEL, messages=USER, max_tokens=12) as stream:
            return [t async for t in stream.text_stream]

    assert asyncio.run(ask())
