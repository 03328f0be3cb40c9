"""litellm, by each of its ways to a server of one's own, against the server at HEARTH_URL; run by
test_python_clients.py."""
import asyncio
import concurrent.futures
import json
import os

import litellm
import pydantic
import pytest

from left import seen_leaving

URL, MODEL = os.environ["HEARTH_URL"], os.environ["HEARTH_MODEL"]
USER = [{"role": "user", "content": "Who is there?"}]
WAYS = {"openai": URL + "/v1", "lm_studio": URL + "/v1", "ollama_chat": URL, "ollama": URL, "anthropic": URL}
ASK = {"messages": USER, "max_tokens": 12, "temperature": 0, "num_retries": 0, "max_retries": 0}


class Guest(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=12)
    age: int = pydantic.Field(ge=0, le=150)


def reach(way, key="any", model=MODEL):
    return {"model": f"{way}/{model}", "api_base": WAYS.get(way, URL + "/v1"), "api_key": key}


@pytest.mark.parametrize("way", WAYS)
class TestEachWay:
    def test_chat_stream_usage_and_stop(self, way):
        whole = litellm.completion(**reach(way), **ASK)
        text = whole.choices[0].message.content
        assert text and whole.usage.completion_tokens > 0 and whole.usage.prompt_tokens > 0
        chunks = list(litellm.completion(**reach(way), **ASK, stream=True, stream_options={"include_usage": True}))
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == text
        usage = [c.usage for c in chunks if getattr(c, "usage", None)][-1]
        assert usage.completion_tokens == whole.usage.completion_tokens
        cut = litellm.completion(**reach(way), **ASK, stop=[text[4:7]]).choices[0]
        assert cut.message.content == text[:text.index(text[4:7])] and cut.finish_reason == "stop"

    def test_errors(self, way):
        with pytest.raises(litellm.NotFoundError):
            litellm.completion(**reach(way, model="nobody"), **ASK)
        with pytest.raises(litellm.AuthenticationError, match="key"):
            litellm.completion(**reach(way, key="hk-nobodys"), **ASK)

    def test_twenty_at_once(self, way):
        def ask(i):
            one = {**ASK, "messages": [{"role": "user", "content": f"Who is there? {i}"}]}
            return litellm.completion(**reach(way), **one).choices[0].message.content

        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            got = list(pool.map(ask, [i % 4 for i in range(20)]))
        assert all(got[i] == got[i % 4] for i in range(20))

    def test_async_and_cancelled_stream(self, way):
        async def ask():
            endless = {"ignore_eos": True} if "ollama" in way else {"extra_body": {"ignore_eos": True}}
            stream = await litellm.acompletion(**reach(way), **{**ASK, "max_tokens": 900}, **endless, stream=True)
            async for chunk in stream:
                if chunk.choices[0].delta.content:
                    break
            await stream.aclose()

        if way == "anthropic":  # there it keeps its connection open
            asyncio.run(ask())
        else:
            seen_leaving(lambda: asyncio.run(ask()))


@pytest.mark.parametrize("way", ["openai", "lm_studio", "ollama_chat", "ollama"])
def test_structured_answers(way):
    answer = litellm.completion(**reach(way), **{**ASK, "max_tokens": 200}, response_format=Guest)
    assert Guest.model_validate_json(answer.choices[0].message.content)


@pytest.mark.parametrize("way", ["openai", "lm_studio", "anthropic"])
def test_tools(way):
    look = {"type": "function", "function": {"name": "look", "description": "Looks there", "parameters": {
        "type": "object", "properties": {"where": {"type": "string", "enum": ["door", "wall"]}},
        "required": ["where"], "additionalProperties": False}}}
    # With tools it would look for those of MCP first, with a package that is not here.
    ask = {**ASK, "max_tokens": 200, "tools": [look], "parallel_tool_calls": False, "_skip_mcp_handler": True}
    called = litellm.completion(**reach(way), **ask, tool_choice="required").choices[0]
    call, = called.message.tool_calls
    assert called.finish_reason == "tool_calls" and json.loads(call.function.arguments)["where"] in ("door", "wall")
    chunks = list(litellm.completion(**reach(way), **ask, tool_choice="required", stream=True))
    parts = litellm.stream_chunk_builder(chunks).choices[0].message.tool_calls
    assert json.loads(parts[0].function.arguments) == json.loads(call.function.arguments)
    result = {"role": "tool", "tool_call_id": call.id, "content": "Nobody. " * 60}
    ask["messages"] = [*USER, called.message.model_dump(), result]
    told = litellm.completion(**reach(way), **ask, tool_choice="none")
    assert not told.choices[0].message.tool_calls and told.usage.prompt_tokens > 120  # the result was before the model


def test_typed_errors():
    with pytest.raises(litellm.BadRequestError, match="top_p"):
        litellm.completion(**reach("openai"), **ASK, top_p=7)
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(**reach("openai"), **{**ASK, "messages": [{"role": "user", "content": "word " * 20000}]})
    with pytest.raises(litellm.RateLimitError):
        for _ in range(3):
            litellm.completion(**reach("openai", key=os.environ["HEARTH_SLOW_KEY"]), **ASK)


def test_cached_tokens():
    for way in ("openai", "anthropic"):
        long = {**ASK, "messages": [{"role": "system", "content": f"The same beginning for {way}. " * 20}, *USER]}
        litellm.completion(**reach(way), **long)
        assert litellm.completion(**reach(way), **long).usage.prompt_tokens_details.cached_tokens >= 64


def test_embeddings():
    lengths = set()
    for way in ("openai", "ollama"):
        got = litellm.embedding(**reach(way), input=["To be", "or not to be"])
        lengths |= {len(item["embedding"]) for item in got.data}
    assert len(lengths) == 1 and lengths.pop() > 8


def test_lists_and_text():
    found = litellm.get_valid_models(check_provider_endpoint=True, custom_llm_provider="openai", api_key="any",
                                     api_base=URL + "/v1")
    assert any(MODEL in name for name in found)
    text = litellm.text_completion(**reach("text-completion-openai"), prompt="To be", max_tokens=8)
    assert text.choices[0].text
