"""Each field of each endpoint with values that it may not have: 400 that names it, or a valid answer; never 5xx."""
import copy
import json
import re

import pytest

import hearth_api
from hearth_api import needs_bard

pytestmark = needs_bard

# What an endpoint needs at least, so that one field can be wrong at a time.
LEAST = {
    "messages": [{"role": "user", "content": "x"}],
    "prompt": "x",
    "input": "x",
    "query": "x",
    "documents": ["x"],
    "max_tokens": 1,
    "max_output_tokens": 1,
    "n_predict": 1,
    "num_predict": 1,
    "content": "x",
    "tokens": [1],
    "model": "bard",
    "options": {"num_predict": 1},
}


def wrong_values(schema):
    """Values at and beyond the borders of a field, by its schema."""
    yield None
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    for kind, value in (("boolean", True), ("integer", 7), ("string", "x"), ("array", []), ("object", {})):
        if kind not in types and not (kind == "integer" and "number" in types):
            yield value
    if "minimum" in schema:
        yield schema["minimum"]
        yield schema["maximum"]
        yield schema["minimum"] - 1
        yield schema["maximum"] + 1
        yield schema["maximum"] * 2 + 1
    yield 1e308
    yield -1e308
    yield 2 ** 62
    yield "y" * (1 << 20 if hearth_api.NIGHTLY else 1 << 16)
    yield [[[[]]]]


def is_allowed(schema, value):
    """False: the server must refuse it. None: it may."""
    types = schema.get("type")
    if value is None or types is None:
        return None
    types = [types] if isinstance(types, str) else types
    fits = (isinstance(value, bool) and "boolean" in types
            or isinstance(value, (int, float)) and not isinstance(value, bool)
            and ("number" in types or "integer" in types)
            or isinstance(value, str) and "string" in types
            or isinstance(value, list) and "array" in types or isinstance(value, dict) and "object" in types)
    if not fits:
        return False
    if isinstance(value, (int, float)) and "minimum" in schema:
        return None if schema["minimum"] <= value <= schema["maximum"] else False
    if isinstance(value, str) and "maxLength" in schema and len(value) > schema["maxLength"]:
        return False
    if isinstance(value, str) and "enum" in schema and value not in schema["enum"]:
        return False
    return None


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            body = operation.get("requestBody")
            if method == "post" and body and not operation["summary"].startswith("the same as"):
                yield path, body["content"]["application/json"]["schema"]


def fields(schema, prefix=()):
    for name, inner in schema["properties"].items():
        yield prefix + (name,), inner
        if inner.get("type") == "object" and "properties" in inner:
            yield from fields(inner, prefix + (name,))


def with_value(schema, path, value):
    body = {k: copy.deepcopy(v) for k, v in LEAST.items() if k in schema["properties"]}
    at = body
    for name in path[:-1]:
        at = at.setdefault(name, {})
    at[path[-1]] = value
    return body


def test_every_route_is_in_the_document(server):
    paths = server.get("/openapi.json").json()["paths"]
    rows = [row for source in (hearth_api.ROOT / "src" / "api").rglob("*.c")
            for row in re.findall(r'^    \{"([A-Z]+)", "(/[^"]*)"', source.read_text(), re.M)]
    assert len(rows) > 50
    missing = [row for row in rows if row[0].lower() not in paths.get(row[1], {})]
    assert missing == []
    for path in ("/v1/chat/completions", "/v1/messages", "/api/chat", "/completion", "/chat/completions"):
        assert paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]["model"]
    assert paths["/models"]["get"]["summary"] == "the same as /v1/models"


def test_numbers_that_no_integer_holds(server):
    """They are JSON: a known field names itself, and what is not known is tolerated."""
    answer = server.chat(max_tokens=1, seed=2 ** 64 - 1)
    assert answer.status == 400 and answer.error()["param"] == "seed"
    answer = server.chat(max_tokens=1, seed=7, unknown=2 ** 64 - 1, metadata={"trace": 2 ** 70})
    assert answer.status == 200, answer.body


def test_every_field(server):
    document = server.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    connection, asked, refused = server.connect(), 0, 0
    for path, schema in operations(document):
        for name, inner in fields(schema):
            for value in wrong_values(inner):
                body = json.dumps(with_value(schema, name, value))
                connection.request("POST", path, body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                got = answer.read()
                where = (path, ".".join(name), str(value)[:60], got[:300])
                assert answer.status < 500 or answer.status == 501, where
                asked += 1
                if is_allowed(inner, value) is False and len(name) == 1:
                    refused += 1
                    assert answer.status == 400, where
                    assert name[-1] in got.decode(), where
    connection.close()
    assert asked > 500 and refused > 200
    assert server.get("/health").status == 200


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "0x10", "1" * 400, "1." + "0" * 400])
def test_strange_numbers(server, number):
    body = '{"messages":[{"role":"user","content":"x"}],"max_tokens":1,"temperature":%s}' % number
    answer = server.post("/v1/chat/completions", body)
    assert answer.status in (200, 400), answer.body
