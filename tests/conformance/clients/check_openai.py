"""OpenAI's own library for Python against the server at HEARTH_URL; run by test_openai_clients.py."""
import asyncio
import concurrent.futures
import json
import os
import typing

import openai
import pydantic
import pytest

from left import seen_leaving

URL, MODEL = os.environ["HEARTH_URL"], os.environ["HEARTH_MODEL"]
CLIENT = openai.OpenAI(base_url=URL + "/v1", api_key="any", max_retries=0)
USER = [{"role": "user", "content": "Who is there?"}]
ASK = {"model": MODEL, "messages": USER, "max_completion_tokens": 12, "seed": 7}
GREEDY = {"temperature": 0, "extra_body": {"ignore_eos": True}}


Name = typing.Annotated[str, pydantic.Field(max_length=12)]


class Guest(pydantic.BaseModel):
    """With bounds: a model that knows no JSON sees no reason to end a text."""
    name: Name
    age: int = pydantic.Field(ge=0, le=150)
    kind: typing.Literal["king", "fool"]
    friends: list[Name] = pydantic.Field(max_length=2)


def test_lists():
    assert MODEL in [m.id for m in CLIENT.models.list()]
    assert CLIENT.models.retrieve(MODEL).object == "model"


def test_chat_and_stream():
    whole = CLIENT.chat.completions.create(**ASK)
    assert whole.choices[0].message.content and whole._request_id
    assert whole.choices[0].finish_reason in ("stop", "length")
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens > 0
    chunks = list(CLIENT.chat.completions.create(**ASK, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[0].choices[0].delta.role == "assistant" and all(c.usage is None for c in chunks)


def test_usage_of_a_stream_and_cached_tokens():
    ask = {**ASK, "messages": [{"role": "system", "content": f"The same beginning for {MODEL}. " * 20}, *USER],
           "stream": True, "stream_options": {"include_usage": True}}
    first = list(CLIENT.chat.completions.create(**ask))
    assert not first[-1].choices and first[-1].usage.completion_tokens > 0
    again = list(CLIENT.chat.completions.create(**ask))[-1].usage
    assert again.prompt_tokens > again.prompt_tokens_details.cached_tokens >= 64


def test_stream_helper():
    with CLIENT.chat.completions.stream(**ASK, stream_options={"include_usage": True}) as stream:
        text = "".join(e.delta for e in stream if e.type == "content.delta")
        try:
            final = stream.get_final_completion()
        except openai.LengthFinishReasonError as cut:
            final = cut.completion
    assert text == final.choices[0].message.content and final.usage.completion_tokens > 0


def test_stop():
    ask = {**ASK, **GREEDY, "max_completion_tokens": 40}
    text = CLIENT.chat.completions.create(**ask).choices[0].message.content
    for stop in (text[5:8], ["no such text", text[5:8]]):
        cut = CLIENT.chat.completions.create(**ask, stop=stop).choices[0]
        assert cut.message.content == text[:text.index(text[5:8])] and cut.finish_reason == "stop"
        parts = CLIENT.chat.completions.create(**ask, stop=stop, stream=True)
        assert "".join(c.choices[0].delta.content or "" for c in parts) == cut.message.content


def test_choices_and_logprobs():
    got = CLIENT.chat.completions.create(**ASK, n=2, logprobs=True, top_logprobs=3)
    assert [c.index for c in got.choices] == [0, 1]
    assert len(got.choices[0].logprobs.content[0].top_logprobs) == 3
    assert got.choices[0].logprobs.content[0].logprob <= 0


def test_completions():
    whole = CLIENT.completions.create(model=MODEL, prompt="To be", max_tokens=12, seed=7)
    parts = CLIENT.completions.create(model=MODEL, prompt="To be", max_tokens=12, seed=7, stream=True)
    assert "".join(p.choices[0].text for p in parts) == whole.choices[0].text != ""


def test_embeddings():
    packed = CLIENT.embeddings.create(model=MODEL, input=["To be", "or not to be"])  # asks for base64 by itself
    plain = CLIENT.embeddings.create(model=MODEL, input=["To be", "or not to be"], encoding_format="float")
    assert packed.data[1].embedding == pytest.approx(plain.data[1].embedding, abs=1e-6)
    assert sum(v * v for v in plain.data[0].embedding) == pytest.approx(1, abs=1e-4)
    assert len(CLIENT.embeddings.create(model=MODEL, input="x", dimensions=8).data[0].embedding) == 8
    assert packed.usage.prompt_tokens > 0


def test_structured_answers():
    got = CLIENT.chat.completions.parse(model=MODEL, messages=USER, response_format=Guest, seed=7)
    guest = got.choices[0].message.parsed
    assert isinstance(guest, Guest) and guest.kind in ("king", "fool")
    answer = CLIENT.responses.parse(model=MODEL, input="Who is there?", text_format=Guest, extra_body={"seed": 7})
    assert isinstance(answer.output_parsed, Guest)
    with CLIENT.chat.completions.stream(model=MODEL, messages=USER, response_format=Guest, seed=7) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == guest


LOOK = {"name": "look", "description": "Looks there", "strict": True, "parameters": {
    "type": "object", "properties": {"where": {"enum": ["door", "wall"]}}, "required": ["where"],
    "additionalProperties": False}}


def test_tools():
    ask = {"model": MODEL, "seed": 7, "max_completion_tokens": 200, "parallel_tool_calls": False,
           "tools": [{"type": "function", "function": LOOK}]}
    for choice in ("required", {"type": "function", "function": {"name": "look"}}):
        called = CLIENT.chat.completions.create(**ask, messages=USER, tool_choice=choice).choices[0]
        call, = called.message.tool_calls
        assert called.finish_reason == "tool_calls" and call.function.name == "look"
        where = json.loads(call.function.arguments)["where"]
        assert where in ("door", "wall")
        with CLIENT.chat.completions.stream(**ask, messages=USER, tool_choice=choice) as stream:
            parts = "".join(e.arguments_delta for e in stream if e.type == "tool_calls.function.arguments.delta")
            again, = stream.get_final_completion().choices[0].message.tool_calls
        assert parts == again.function.arguments == call.function.arguments and again.id
    talk = [*USER, called.message.to_dict(), {"role": "tool", "tool_call_id": call.id, "content": "Nobody. " * 60}]
    told = CLIENT.chat.completions.create(**ask, messages=talk, tool_choice="none")
    assert not told.choices[0].message.tool_calls and told.usage.prompt_tokens > 120  # the result was before the model


def test_tools_of_responses():
    ask = {"model": MODEL, "max_output_tokens": 200, "parallel_tool_calls": False, "extra_body": {"seed": 7},
           "tools": [{"type": "function", **LOOK}]}
    called = CLIENT.responses.create(**ask, input="Who is there?", tool_choice="required")
    call, = [item for item in called.output if item.type == "function_call"]
    assert called.status == "completed" and json.loads(call.arguments)["where"] in ("door", "wall")
    events = list(CLIENT.responses.create(**ask, input="Who is there?", tool_choice="required", stream=True))
    parts = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
    assert "".join(parts) == call.arguments and events[-1].type == "response.completed"
    told = CLIENT.responses.create(
        **{**ask, "max_output_tokens": 12}, previous_response_id=called.id, tool_choice="none",
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "Nobody. " * 60}])
    assert told.usage.input_tokens > 120 and all(item.type != "function_call" for item in told.output)


def test_errors():
    with pytest.raises(openai.NotFoundError) as missing:
        CLIENT.chat.completions.create(model="nobody", messages=USER)
    assert missing.value.code == "model_not_found" and missing.value.request_id
    with pytest.raises(openai.BadRequestError) as wrong:
        CLIENT.chat.completions.create(**ASK, temperature=-1)
    assert wrong.value.param == "temperature" and wrong.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError) as wrong:
        list(CLIENT.chat.completions.create(**ASK, stream=True, top_p=7))
    assert wrong.value.param == "top_p"
    with pytest.raises(openai.BadRequestError) as long:
        CLIENT.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "word " * 20000}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as schema:
        CLIENT.chat.completions.create(**ASK, response_format={
            "type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "no such type"}}})
    assert "type" in schema.value.message
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=URL + "/v1", api_key="hk-nobodys", max_retries=0).models.list()
    slow = openai.OpenAI(base_url=URL + "/v1", api_key=os.environ["HEARTH_SLOW_KEY"], max_retries=0)
    with pytest.raises(openai.RateLimitError) as limit:
        for _ in range(3):
            slow.chat.completions.create(**ASK)
    assert 0 < int(limit.value.response.headers["retry-after"]) <= 60
    for call in (CLIENT.responses.retrieve, CLIENT.models.retrieve):
        with pytest.raises(openai.NotFoundError):
            call("resp_nobody")


def test_cancelled_streams():
    endless = {"temperature": 0, "extra_body": {"ignore_eos": True}}

    def leave(stream, text):
        assert any(text(event) for event in stream)
        stream.close()

    seen_leaving(lambda: leave(
        CLIENT.chat.completions.create(model=MODEL, messages=USER, max_tokens=900, stream=True, **endless),
        lambda e: e.choices and e.choices[0].delta.content))
    seen_leaving(lambda: leave(
        CLIENT.responses.create(model=MODEL, input="O", max_output_tokens=900, stream=True, **endless),
        lambda e: e.type == "response.output_text.delta"))


def test_twenty_at_once():
    def ask(seed):
        return CLIENT.chat.completions.create(**{**ASK, "seed": seed}).choices[0].message.content

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        got = list(pool.map(ask, [i % 4 for i in range(20)]))
    assert all(got[i] == got[i % 4] for i in range(20))


def test_async():
    async def ask():
        async with openai.AsyncOpenAI(base_url=URL + "/v1", api_key="any", max_retries=0) as one:
            stream = await one.chat.completions.create(**ASK, stream=True)
            return [c.choices[0].delta.content async for c in stream]

    assert any(asyncio.run(ask()))


def test_responses():
    ask = {"model": MODEL, "max_output_tokens": 12, "extra_body": {"seed": 7}}
    whole = CLIENT.responses.create(input="Who is there?", **ask)
    assert whole.output_text and whole.status in ("completed", "incomplete")
    assert whole.usage.total_tokens == whole.usage.input_tokens + whole.usage.output_tokens
    events = list(CLIENT.responses.create(input="Who is there?", stream=True, **ask))
    assert [e.sequence_number for e in events] == list(range(len(events)))
    assert events[0].type == "response.created" and events[-1].type == "response." + whole.status
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == whole.output_text
    with CLIENT.responses.stream(input="Who is there?", **ask) as stream:
        assert list(stream)[-1].response.output_text == whole.output_text

    more = CLIENT.responses.create(input="And then?", previous_response_id=whole.id, **ask)
    assert more.previous_response_id == whole.id and more.usage.input_tokens > whole.usage.input_tokens
    talk = [{"role": "user", "content": "Who is there?"}, *[o.to_dict() for o in whole.output],
            {"role": "user", "content": "And then?"}]
    assert CLIENT.responses.create(input=talk, **ask).output_text == more.output_text
    assert CLIENT.responses.retrieve(more.id).output_text == more.output_text
    assert CLIENT.responses.input_items.list(more.id).data
    CLIENT.responses.delete(more.id)
    with pytest.raises(openai.NotFoundError):
        CLIENT.responses.retrieve(more.id)
    with pytest.raises(openai.APIStatusError):
        CLIENT.responses.create(input="And?", previous_response_id=more.id, **ask)
