"""Every answer and event of the OpenAI dialect agrees with OpenAI's own document of its API."""
import json
import pathlib

import pytest

from hearth_api import SHARED, needs_bard

jsonschema = pytest.importorskip("jsonschema")
DOCUMENT = pathlib.Path(SHARED or "/nonexistent") / "specs" / "openai-openapi.json"
pytestmark = [needs_bard, pytest.mark.skipif(not DOCUMENT.exists(), reason=f"{DOCUMENT} is not here")]
USER = [{"role": "user", "content": "To be, or not to be"}]


def plain(node):
    """The older `nullable` as JSON Schema says it; what only describes is left out."""
    if isinstance(node, list):
        return [plain(n) for n in node]
    if not isinstance(node, dict):
        return node
    out = {k: plain(v) for k, v in node.items() if k not in ("description", "example", "x-oaiMeta", "discriminator")}
    if out.pop("nullable", False) is True:
        out = {"anyOf": [out, {"type": "null"}]}
    return out


@pytest.fixture(scope="session")
def document():
    schemas = plain(json.loads(DOCUMENT.read_text())["components"]["schemas"])
    # Their own service ends the stream of a completion with a reason and has null before; the document forgets that.
    reason = schemas["CreateCompletionResponse"]["properties"]["choices"]["items"]["properties"]["finish_reason"]
    schemas["StreamedCompletion"] = json.loads(json.dumps(schemas["CreateCompletionResponse"]).replace(
        json.dumps(reason), json.dumps({"anyOf": [reason, {"type": "null"}]})))
    # The usage of a stream's other events is null, as the text of stream_options says.
    for name in ("StreamedCompletion", "CreateChatCompletionStreamResponse"):
        usage = schemas[name]["properties"]["usage"]
        schemas[name]["properties"]["usage"] = {"anyOf": [usage, {"type": "null"}]}
    return schemas


@pytest.fixture(scope="session")
def check(document):
    def check_one(value, name):
        schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": document}}
        errors = sorted(jsonschema.Draft202012Validator(schema).iter_errors(value), key=lambda e: e.json_path)
        assert not errors, f"{name}: {errors[0].json_path}: {errors[0].message[:300]}\n{json.dumps(value)[:800]}"

    return check_one


def test_the_check_can_fail(check):
    with pytest.raises(AssertionError):
        check({"object": "list"}, "ListModelsResponse")
    with pytest.raises(AssertionError):
        check({"id": "x", "object": "chat.completion", "created": 1, "model": "x", "choices": [{}]},
              "CreateChatCompletionResponse")


FUNCTION = {"name": "look", "description": "looks", "parameters": {
    "type": "object", "properties": {"at": {"enum": ["moon", "sun"]}}, "required": ["at"], "additionalProperties": False}}
CALLS = {"tools": [{"type": "function", "function": FUNCTION}], "tool_choice": "required", "max_tokens": 60}
TALK = [{"role": "user", "content": "Look."}, {"type": "function_call", "call_id": "c1", "name": "look",
                                               "arguments": "{\"at\": \"moon\"}"},
        {"type": "function_call_output", "call_id": "c1", "output": "full"}]
CHATS = [{}, CALLS, {**CALLS, "tool_choice": "auto", "logprobs": True}, {"n": 2}, {"logprobs": True, "top_logprobs": 2}, {"stop": ["e"], "max_tokens": 20},
         {"metadata": {"a": "b"}, "user": "ann"}]


@pytest.mark.parametrize("more", CHATS)
def test_chat(server, check, more):
    ask = {"messages": USER, "max_tokens": 5, **more}
    answer = server.post("/v1/chat/completions", ask)
    assert answer.status == 200
    check(answer.json(), "CreateChatCompletionResponse")
    for options in ({}, {"stream_options": {"include_usage": True}}):
        events = server.post("/v1/chat/completions", {**ask, "stream": True, **options}).events()
        assert len(events) >= 3
        for event in events:
            check(event, "CreateChatCompletionStreamResponse")


@pytest.mark.parametrize("more", [{}, {"logprobs": 2, "echo": True}, {"prompt": ["a", "b"], "n": 2}, {"stop": "e"}])
def test_completions(server, check, more):
    ask = {"prompt": "To be", "max_tokens": 5, **more}
    check(server.post("/v1/completions", ask).json(), "CreateCompletionResponse")
    events = server.post("/v1/completions", {**ask, "stream": True, "stream_options": {"include_usage": True}}).events()
    assert len(events) >= 2
    for event in events:
        check(event, "StreamedCompletion")


@pytest.mark.parametrize("more", [{}, {"instructions": "Speak."}, {"metadata": {"a": "b"}, "max_output_tokens": 200},
                                  {"top_logprobs": 2, "include": ["message.output_text.logprobs"]},
                                  {"reasoning": {"effort": "low"}},
                                  {"tools": [{"type": "function", **FUNCTION}], "tool_choice": "required",
                                   "max_output_tokens": 80},
                                  {"input": TALK, "text": {"format": {"type": "json_schema", "name": "x", "schema": {
                                      "type": "object"}}}}])
def test_responses(server, check, more):
    ask = {"input": "Who is there?", "max_output_tokens": 6, **more}
    whole = server.post("/v1/responses", ask).json()
    check(whole, "Response")
    check(server.get("/v1/responses/" + whole["id"]).json(), "Response")
    check(server.get(f"/v1/responses/{whole['id']}/input_items").json(), "ResponseItemList")
    events = server.post("/v1/responses", {**ask, "stream": True}).events()
    for event in events:
        check(event, "ResponseStreamEvent")
        kind = "".join(w.capitalize() for w in event["type"].replace("_", ".").split(".") if w != "output")
        if event["type"] in ("response.created", "response.in_progress", "response.completed", "response.incomplete"):
            check(event, kind + "Event")


def test_embeddings(server, check):
    for ask in ({"input": "x"}, {"input": ["x", "y"], "dimensions": 4}):
        check(server.post("/v1/embeddings", ask).json(), "CreateEmbeddingResponse")


def test_models(server, check):
    check(server.get("/v1/models").json(), "ListModelsResponse")
    check(server.get("/v1/models/bard").json(), "Model")


def test_errors(server, check):
    for answer in (server.chat(temperature=-1), server.get("/v1/models/none"), server.get("/v1/none"),
                   server.chat("x " * 5000), server.get("/v1/models", Host="evil.example")):
        assert answer.status >= 400
        check(answer.json(), "ErrorResponse")


def test_with_energy(server, check):
    """Hearth's own member is beside what the document knows, in answers that were asked for it."""
    body = {"messages": USER, "max_tokens": 8}
    answer = server.post("/v1/chat/completions", body, X_Hearth_Energy="yes").json()
    assert "joules" in answer["usage"]["energy"]
    check(answer, "CreateChatCompletionResponse")
    answer = server.post("/v1/completions", {"prompt": "To be", "max_tokens": 8}, X_Hearth_Energy="yes").json()
    assert "joules" in answer["usage"]["energy"]
    check(answer, "CreateCompletionResponse")
    answer = server.post("/v1/responses", {"input": "To be", "max_output_tokens": 8}, X_Hearth_Energy="yes").json()
    assert "joules" in answer["usage"]["energy"]
    check(answer, "Response")
