"""Answers that obey a schema or a grammar, in every dialect that has a field for it. Bard knows no JSON, so whatever
is right about these answers is the grammar's doing."""
import json
import re

import pytest

from hearth_api import needs_bard

jsonschema = pytest.importorskip("jsonschema")
pytestmark = needs_bard

SCHEMAS = [
    {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 1,
     "maximum": 120}}, "required": ["name", "age"], "additionalProperties": False},
    {"type": "array", "items": {"enum": ["king", "queen", 7, None]}, "minItems": 2, "maxItems": 4},
    {"anyOf": [{"type": "boolean"}, {"type": "object", "properties": {"day": {"type": "string", "format": "date"}},
                                     "required": ["day"], "additionalProperties": False}]},
    {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "required": ["v"], "additionalProperties": False,
     "properties": {"v": {"type": "number", "minimum": -2.5, "maximum": 2.5, "multipleOf": 0.5},
                    "next": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}}}}},
    {"type": "string", "pattern": "^[A-Z][a-z]{2,6} (and|or) [A-Z][a-z]{2,6}$"},
]


def ask(server, schema, **more):
    form = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    answer = server.chat("Speak.", response_format=form, **{"max_tokens": 200, "temperature": 1, **more})
    assert answer.status == 200, answer.error()
    return answer.json()["choices"]


@pytest.mark.parametrize("schema", SCHEMAS, ids=range(len(SCHEMAS)))
def test_answers_validate(server, schema):
    ended = 0
    for seed in range(4):
        for choice in ask(server, schema, seed=seed, n=2):
            if choice["finish_reason"] != "stop":
                continue
            ended += 1
            jsonschema.validate(json.loads(choice["message"]["content"]), schema)
    assert ended >= 3


def test_order_and_repetition(server):
    schema = {"type": "object", "properties": {k: {"type": "boolean"} for k in "zebra"}, "required": list("zebra"),
              "additionalProperties": False}
    one = ask(server, schema, seed=3)[0]["message"]["content"]
    assert list(json.loads(one)) == list("zebra")
    assert ask(server, schema, seed=3)[0]["message"]["content"] == one


def test_any_object(server):
    for body, path in (({"response_format": {"type": "json_object"}, "max_tokens": 40}, "/v1/chat/completions"),
                       ({"format": "json", "stream": False, "options": {"num_predict": 40}}, "/api/chat")):
        body.update(model="bard", messages=[{"role": "user", "content": "Speak."}])
        answer = server.post(path, body).json()
        message = answer["message"] if "message" in answer else answer["choices"][0]["message"]
        assert message["content"].lstrip().startswith("{")


def test_responses(server):
    form = {"type": "json_schema", "name": "x", "schema": SCHEMAS[1], "strict": True}
    body = {"model": "bard", "input": "Speak.", "text": {"format": form}, "max_output_tokens": 200}
    text = server.post("/v1/responses", body).json()["output"][0]["content"][0]["text"]
    jsonschema.validate(json.loads(text), SCHEMAS[1])


def test_ollama_schema(server):
    body = {"model": "bard", "prompt": "Speak.", "stream": False, "format": SCHEMAS[0], "options": {"num_predict": 200}}
    jsonschema.validate(json.loads(server.post("/api/generate", body).json()["response"]), SCHEMAS[0])


def test_native_grammar(server):
    body = {"prompt": "Speak.", "n_predict": 60, "grammar": 'root ::= ("yes" | "no") " "? [0-9]{3}'}
    assert re.fullmatch(r"(yes|no) ?\d{3}", server.post("/completion", body).json()["content"])
    body = {"prompt": "Speak.", "n_predict": 200, "json_schema": SCHEMAS[0]}
    jsonschema.validate(json.loads(server.post("/completion", body).json()["content"]), SCHEMAS[0])


def test_llama_servers_forms_in_a_chat(server):
    """Its clients send them beside OpenAI's response_format."""
    def said(**more):
        return server.chat("Speak.", max_tokens=200, temperature=1.5, **more).json()["choices"][0]["message"]["content"]

    assert re.fullmatch("(yes|no) [0-9]", said(grammar='root ::= ("yes" | "no") " " [0-9]'))
    for more in ({"json_schema": SCHEMAS[0]}, {"response_format": {"type": "json_object", "schema": SCHEMAS[0]}}):
        jsonschema.validate(json.loads(said(**more)), SCHEMAS[0])


@pytest.mark.parametrize("path, more, word", [
    ("/v1/chat/completions", {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {
        "type": "array", "uniqueItems": True}}}}, "uniqueItems"),
    ("/v1/chat/completions", {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "schema"),
    ("/v1/chat/completions", {"grammar": "root ::= ("}, "grammar"),
    ("/v1/chat/completions", {"grammar": "root ::= \"a\"", "response_format": {"type": "json_object"}}, "grammar"),
    ("/v1/chat/completions", {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {
        "type": "string", "pattern": "(a"}}}}, "pattern"),
    ("/api/chat", {"format": {"$ref": "http://elsewhere.example/x"}}, "$ref"),
    ("/api/chat", {"format": "yaml"}, "format"),
    ("/completion", {"prompt": "x", "grammar": "root ::= root"}, "recursion"),
    ("/completion", {"prompt": "x", "grammar": "root ::= \"a\"", "json_schema": {"type": "null"}}, "json_schema"),
])
def test_what_cannot_be_enforced_is_named(server, path, more, word):
    body = {"model": "bard", "messages": [{"role": "user", "content": "Speak."}], **more}
    answer = server.post(path, body)
    assert answer.status == 400 and word in json.dumps(answer.json())
