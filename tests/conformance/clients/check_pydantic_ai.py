"""pydantic-ai against the server at HEARTH_URL, by chat, responses and messages; run by test_python_clients.py."""
import asyncio
import os
import typing

import pydantic
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic_ai import Agent, ModelHTTPError, NativeOutput, ToolOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

URL, MODEL = os.environ["HEARTH_URL"], os.environ["HEARTH_MODEL"]
FEW = {"temperature": 0, "max_tokens": 12}


class Guest(pydantic.BaseModel, extra="forbid"):
    name: str = pydantic.Field(max_length=12)
    kind: typing.Literal["king", "fool"]


def openai_provider(key):
    return OpenAIProvider(openai_client=AsyncOpenAI(base_url=URL + "/v1", api_key=key, max_retries=0))


def chat(name=MODEL, key="any"):
    return OpenAIChatModel(name, provider=openai_provider(key))


def responses(name=MODEL, key="any"):
    return OpenAIResponsesModel(name, provider=openai_provider(key))


def messages(name=MODEL, key="any"):
    client = AsyncAnthropic(base_url=URL, api_key=key, max_retries=0)
    return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=client))


def run(agent, prompt="Who is there?", **more):
    async def ask():
        return await agent.run(prompt, **more)

    return asyncio.run(ask())


@pytest.mark.parametrize("way", [chat, responses, messages])
def test_text_stream_and_errors(way):
    whole = run(Agent(way()), model_settings=FEW)
    assert whole.output and whole.usage.output_tokens > 0 and whole.usage.input_tokens > 0

    async def stream():
        async with Agent(way()).run_stream("Who is there?", model_settings=FEW) as answer:
            return [piece async for piece in answer.stream_text(delta=True, debounce_by=None)]

    assert "".join(asyncio.run(stream())) == whole.output
    for model, status in ((way("nobody"), 404), (way(key="hk-nobodys"), 401)):
        with pytest.raises(ModelHTTPError) as refused:
            run(Agent(model), model_settings=FEW)
        assert refused.value.status_code == status

    async def many():
        return await asyncio.gather(*(Agent(way()).run(f"Who? {i % 4}", model_settings=FEW) for i in range(20)))

    got = [answer.output for answer in asyncio.run(many())]
    assert all(got[i] == got[i % 4] for i in range(20))


@pytest.mark.parametrize("way", [chat, responses])
def test_structured_answers(way):
    answer = run(Agent(way(), output_type=NativeOutput(Guest, strict=True)))
    assert isinstance(answer.output, Guest)


@pytest.mark.parametrize("way", [chat, responses, messages])
def test_answers_as_calls(way):
    """The answer is a call of a tool that must be called; without parallel calls, since this model would never end."""
    agent = Agent(way(), output_type=ToolOutput(Guest))
    answer = run(agent, model_settings={"parallel_tool_calls": False, "max_tokens": 300})
    assert isinstance(answer.output, Guest)
