"""Whole sets of schemas: instances judged token by token, documents written by a model, the official test suite, and
schemas that try to break the program. The sets lie in the shared folder."""
import json
import os
import pathlib
import resource
import subprocess

import pytest

ROOT = pathlib.Path(os.environ.get("HEARTH_SOURCE") or pathlib.Path(__file__).parents[2])
HEARTH = os.environ.get("HEARTH_BIN") or str(ROOT / "build" / "hearth")
WRITE = pathlib.Path(HEARTH).parent / "tests" / "grammar_write"
BARD = ROOT / "models" / "bard" / "bard-q8_0.gguf"
SHARED = pathlib.Path(os.environ.get("HEARTH_SHARED") or "/nowhere")
SETS = SHARED / "json-schema"
NIGHTLY = os.environ.get("HEARTH_TEST_SIZE") == "nightly"

needs_bard = pytest.mark.skipif(not BARD.exists(), reason="models/bard/bard-q8_0.gguf is not here")
needs_sets = pytest.mark.skipif(not SETS.is_dir(), reason="HEARTH_SHARED has no json-schema")


def hearth(*args, **kw):
    return subprocess.run([HEARTH, *map(str, args)], capture_output=True, check=False, stdin=subprocess.DEVNULL, **kw)


def judged(vocab, lines):
    done = hearth("bench", vocab, "--grammar", lines, "--json")
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@needs_sets
@pytest.mark.parametrize("vocab", ["llama-bpe", "qwen2", "llama-spm"] if NIGHTLY else ["llama-spm"])
def test_instances_are_judged_rightly(vocab):
    got = judged(SHARED / "vocab" / f"ggml-vocab-{vocab}.gguf", SETS / "maskbench.jsonl")
    assert got["schemas"] == 576 and got["instances"] > 3000
    assert got["instances_wrong"] == 0
    assert got["refused"] <= 0.03 * got["schemas"]


# By the standard these keywords only annotate; for answers that are written they hold.
ENFORCED = {"format.json"}


@needs_sets
def test_the_official_suite(tmp_path):
    groups = []
    for path in sorted((SETS / "suite").glob("*.json")):
        if path.name not in ENFORCED:
            groups += [{"name": f"{path.name}: {g['description']}", **g} for g in json.loads(path.read_text())]
    assert len(groups) > 300
    whole = tmp_path / "suite.jsonl"
    whole.write_text("".join(json.dumps(g) + "\n" for g in groups))
    vocab = SHARED / "vocab" / "ggml-vocab-llama-spm.gguf"
    got = judged(vocab, whole)
    if got["instances_wrong"]:
        for g in groups:
            whole.write_text(json.dumps(g) + "\n")
            assert judged(vocab, whole)["instances_wrong"] == 0, g["name"]
    assert got["refused"] < 0.18 * got["schemas"]


def once_each(pairs):
    keys = [key for key, _ in pairs]
    assert len(keys) == len(set(keys)), f"a key comes twice: {keys}"
    return dict(pairs)


@needs_bard
@needs_sets
def test_written_documents_validate():
    """By a model that knows no JSON: each must be right by another's judgement."""
    jsonschema = pytest.importorskip("jsonschema")
    each, most, every = (20, 300, 1) if NIGHTLY else (4, 200, 24)
    done = subprocess.run([WRITE, BARD, SETS / "maskbench.jsonl", str(each), str(most), str(every)],
                          capture_output=True, check=True)
    schemas = [json.loads(line)["schema"] for line in (SETS / "maskbench.jsonl").read_text().splitlines()]
    written = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert written.pop()["lines"] == len(schemas)
    checkers = {}
    n = 0
    for row in written:
        if "text" not in row:
            continue
        if row["line"] not in checkers:
            kind = jsonschema.validators.validator_for(schemas[row["line"] - 1], jsonschema.Draft202012Validator)
            checkers[row["line"]] = kind(schemas[row["line"] - 1])
        checkers[row["line"]].validate(json.loads(row["text"], object_pairs_hook=once_each))
        n += 1
    assert n > (2500 if NIGHTLY else 20), f"{n} documents were completed"


FREE_KEYS = [{"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 3, "maxProperties": 6},
             {"type": "object", "patternProperties": {"^[abé]$": {"type": "boolean"}}, "additionalProperties": False,
              "minProperties": 3},
             {"type": "object", "properties": {"a": {"const": 0}}, "propertyNames": {"maxLength": 1}, "minProperties": 4,
              "maxProperties": 5}]


@needs_bard
def test_keys_that_are_not_named_come_once(tmp_path):
    lines = tmp_path / "s.jsonl"
    lines.write_text("".join(json.dumps({"schema": s}) + "\n" for s in FREE_KEYS))
    done = subprocess.run([WRITE, BARD, lines, "20", "200", "1"], capture_output=True, check=True)
    written = [json.loads(line) for line in done.stdout.decode().splitlines()]
    texts = [(FREE_KEYS[row["line"] - 1], row["text"]) for row in written if "text" in row]
    assert len(texts) > 20
    for by, text in texts:
        got = json.loads(text, object_pairs_hook=once_each)
        assert by["minProperties"] <= len(got) <= by.get("maxProperties", 3), text


# ---- hearth schema ----

PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
          "required": ["name"], "additionalProperties": False}


def schema(tmp_path, what, instance=None, *more, **kw):
    (tmp_path / "s.json").write_text(what if isinstance(what, str) else json.dumps(what))
    if instance is not None:
        (tmp_path / "i.json").write_text(instance)
        more = ("--instance", tmp_path / "i.json", *more)
    return hearth("schema", tmp_path / "s.json", "--json", *more, **kw)


@pytest.mark.parametrize("instance, accepted", [('{"name":"Kate","age":3}', True), ('{"age": 3, "name": "Kate"}', True),
                                                ('{"name":"Kate","age":-3}', False), ('{"name":"Kate"', False)])
def test_one_instance(tmp_path, instance, accepted):
    done = schema(tmp_path, PERSON, instance)
    got = json.loads(done.stdout)
    assert got["accepted"] is accepted and done.returncode == (0 if accepted else 1)
    assert got["compile_us"] > 0


@pytest.mark.parametrize("instance, accepted", [('{"a":1,"b":2,"x1":3}', True), ('{"a":1,"c":2}', False), ('[1,2]', True),
                                                ('[1,2,null]', True), ('[1,2,3]', False)])
def test_what_is_not_evaluated(tmp_path, instance, accepted):
    by = {"properties": {"a": True}, "allOf": [{"$ref": "#/$defs/b"}, {"patternProperties": {"^x": True}}],
          "$defs": {"b": {"properties": {"b": True}, "prefixItems": [True, True]}}, "unevaluatedProperties": False,
          "unevaluatedItems": {"type": "null"}}
    assert json.loads(schema(tmp_path, by, instance).stdout)["accepted"] is accepted


def test_an_anchor_beside_the_schemas_own_id(tmp_path):
    by = {"$id": "http://localhost/top", "$defs": {"n": {"$anchor": "n", "type": "integer"}}, "items": {"$ref": "#n"}}
    assert schema(tmp_path, by, "[1]").returncode == 0 and schema(tmp_path, by, '["1"]').returncode == 1


def test_an_address_is_written_more_narrowly_than_read(tmp_path):
    by = {"type": "string", "format": "email"}
    assert schema(tmp_path, by, '"a@b"').returncode == 0 and schema(tmp_path, by, '"a@b"', "--ordered").returncode == 1
    assert schema(tmp_path, by, '"a.b@c-d.e"', "--ordered").returncode == 0


@needs_sets
def test_a_token_that_goes_from_one_element_to_the_next(tmp_path):
    by = {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True}
    vocab = SHARED / "vocab" / "ggml-vocab-qwen2.gguf"
    assert json.loads(schema(tmp_path, by, '["a","b"]', "--vocab", vocab).stdout)["accepted"]
    assert not json.loads(schema(tmp_path, by, '["a","a"]', "--vocab", vocab).stdout)["accepted"]


@needs_bard
def test_one_instance_token_by_token(tmp_path):
    got = json.loads(schema(tmp_path, PERSON, '{"name":"Kate"}', "--vocab", BARD).stdout)
    assert got["accepted"] and got["tokens"] > 3 and got["mask_us"]["p99"] >= got["mask_us"]["mean"] / 2
    bad = json.loads(schema(tmp_path, PERSON, '{"nome":"Kate"}', "--vocab", BARD).stdout)
    assert not bad["accepted"] and bad["stopped_at_byte"] <= 3


@pytest.mark.parametrize("what, words", [
    ({"type": "array", "uniqueItems": True}, ["uniqueItems", "in #)"]),
    ({"properties": {"a": {"anyOf": [{"properties": {"b": True}}], "unevaluatedProperties": False}}},
     ["unevaluatedProperties", "#/properties/a"]),
    ({"if": {"prefixItems": [True]}, "unevaluatedItems": False}, ["unevaluatedItems", "in #)"]),
    ({"properties": {"a": {"not": {"multipleOf": 3}}}}, ["multipleOf", "in #/properties/a/not)"]),
    ({"oneOf": [{"type": "integer", "multipleOf": 3}, {"type": "integer", "multipleOf": 5}]}, ["multipleOf", "in #/oneOf/"]),
    ({"properties": {"a": {"type": "string", "pattern": "(a)\\1"}}}, ["pattern", "#/properties/a"]),
    ({"$schema": "http://localhost/mine", "type": "number"}, ["$schema"]),
    ({"$ref": "other.json"}, ["$ref", "other.json"]), ({"type": "strnig"}, ["type"]), ("{", ["not JSON"])])
def test_what_cannot_be_enforced_is_named(tmp_path, what, words):
    done = schema(tmp_path, what)
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1
    for word in words:
        assert word in done.stderr.decode()


def bombs():
    yield "brackets", "[" * 60_000
    yield "items", '{"items":' * 60_000 + "{}" + "}" * 60_000
    yield "enum", json.dumps({"enum": [f"{i:x}" * 3 for i in range(100_000)]})
    yield "regex", json.dumps({"type": "string", "pattern": "^(a|b)*a(a|b){60}$"})
    yield "nested regex", json.dumps({"type": "string", "pattern": "^((a{1,99}){1,99}){1,99}$"})
    yield "many patterns", json.dumps({"properties": {f"p{i}": {"pattern": f"^.{{0,{i}}}x{{100}}"} for i in range(300)}})
    for i, pattern in enumerate(["^(a{1,99}){1,99}$", "(.{1,200}){1,100}x", "(a?){10000}a{3000}", "^(?!n b)c{44}{44}"]):
        yield f"regex {i}", json.dumps({"type": "string", "pattern": pattern})
    yield "anyOf", json.dumps({"allOf": [{"anyOf": [{"required": [f"a{i}"]}, {"required": [f"b{i}"]}]} for i in range(40)]})
    loop = {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
    yield "loop", json.dumps(loop)


@pytest.mark.parametrize("what", [pytest.param(text, id=name) for name, text in bombs()])
def test_bombs_are_bounded(tmp_path, what):
    """Refused by name, or compiled, within little memory."""
    def little():
        resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
        resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    done = schema(tmp_path, what, preexec_fn=little, timeout=60)
    assert done.returncode in (0, 2, 6), done.stderr[:300]
    assert done.returncode == 0 or done.stderr.count(b"\n") == 1
