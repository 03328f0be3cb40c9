"""instructor against the server at HEARTH_URL: a schema for the answer, and a call that must be; run by
test_python_clients.py."""
import os
import typing

import instructor
import openai
import pydantic
import pytest

URL, MODEL = os.environ["HEARTH_URL"], os.environ["HEARTH_MODEL"]
PLAIN = openai.OpenAI(base_url=URL + "/v1", api_key="any", max_retries=0)
USER = [{"role": "user", "content": "Who is there?"}]


class Friend(pydantic.BaseModel, extra="forbid"):
    name: str = pydantic.Field(max_length=8)


class Guest(pydantic.BaseModel, extra="forbid"):
    """With bounds: a model that knows no JSON sees no reason to end a text, nor a list of members."""
    name: str = pydantic.Field(max_length=12)
    age: int = pydantic.Field(ge=0, le=150)
    kind: typing.Literal["king", "fool"]
    friends: list[Friend] = pydantic.Field(max_length=2)


@pytest.mark.parametrize("mode", [instructor.Mode.JSON_SCHEMA, instructor.Mode.TOOLS])
def test_answers(mode):
    client = instructor.from_openai(PLAIN, mode=mode)
    ask = {"model": MODEL, "messages": USER, "response_model": Guest, "max_retries": 0, "seed": 7}
    assert isinstance(client.chat.completions.create(**ask), Guest)
    guest, raw = client.chat.completions.create_with_completion(**ask)
    assert guest.age <= 150 and raw.usage.completion_tokens > 0
    last = list(client.chat.completions.create_partial(**ask))[-1]
    assert last.kind in ("king", "fool") and last.age <= 150


def test_error():
    client = instructor.from_openai(PLAIN, mode=instructor.Mode.JSON_SCHEMA)
    with pytest.raises(Exception, match="nobody"):
        client.chat.completions.create(model="nobody", messages=USER, response_model=Guest, max_retries=0)
