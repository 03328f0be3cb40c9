"""The Ollama dialect, as raw requests and against Ollama's own document of its API."""
import datetime
import json
import pathlib
import threading
import time

import pytest

import hearth_api
from hearth_api import SHARED, needs_bard

pytestmark = needs_bard
SHORT = {"num_predict": 8, "seed": 7}


def lines(answer):
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.body.endswith(b"\n")
    return [json.loads(line) for line in answer.body.decode().split("\n")[:-1]]


def generate(server, prompt="To be, or not to be", **more):
    return server.post("/api/generate", {"model": "bard", "prompt": prompt, "options": SHORT, **more})


def chat(server, text="Who is there?", **more):
    ask = {"model": "bard", "messages": [{"role": "user", "content": text}], "options": SHORT, **more}
    return server.post("/api/chat", ask)


def test_front(server):
    assert server.get("/").body == b"Ollama is running"
    head = server.ask("HEAD", "/")
    assert head.status == 200 and head.body == b""
    assert b"Hearth" in server.get("/", Accept="text/html,*/*").body
    version = server.get("/api/version").json()["version"]
    assert [int(n) for n in version.split(".")] >= [0, 6, 4]
    assert server.get("/api/status").json()["cloud"]["disabled"] is True


def test_generate_stream_and_whole_agree(server):
    events, whole = lines(generate(server)), generate(server, stream=False).json()
    assert "".join(e["response"] for e in events) == whole["response"] != ""
    assert all(not e["done"] for e in events[:-1])
    for last in (events[-1], whole):
        assert last["done"] is True and last["done_reason"] == "length"
        assert last["eval_count"] == 8 and last["prompt_eval_count"] > 4
        assert last["total_duration"] >= last["prompt_eval_duration"] + last["eval_duration"] > 0
        assert last["load_duration"] >= 0 and last["model"] == "bard"
        assert datetime.datetime.fromisoformat(last["created_at"][:26] + "+00:00").year >= 2024


def test_chat_stream_and_whole_agree(server):
    events, whole = lines(chat(server)), chat(server, stream=False).json()
    assert "".join(e["message"]["content"] for e in events) == whole["message"]["content"] != ""
    assert {e["message"]["role"] for e in events} == {"assistant"}
    assert events[-1]["message"]["content"] == "" and events[-1]["eval_count"] == whole["eval_count"]


def test_names(server):
    for name in ("bard", "bard:latest"):
        assert generate(server, model=name, stream=False).json()["model"] == name
    missing = generate(server, model="bard:7b")
    assert missing.status == 404 and "not found" in missing.error() and "bard:7b" in missing.error()


def test_stop_and_end(server):
    text = generate(server, stream=False, options={"num_predict": 40, "seed": 7}).json()["response"]
    cut = text.strip()[5]
    got = generate(server, stream=False, options={"num_predict": 40, "seed": 7, "stop": [cut]}).json()
    assert got["response"] == text.split(cut)[0] and got["done_reason"] == "stop"


def test_options_reach_the_sampler(server):
    greedy = [generate(server, stream=False, options={"temperature": 0, "num_predict": 12, "seed": s}).json()["response"]
              for s in (1, 2)]
    assert greedy[0] == greedy[1]
    drawn = {generate(server, stream=False, options={"temperature": 2, "num_predict": 12, "seed": s}).json()["response"]
             for s in range(4)}
    assert len(drawn) > 1


def test_num_ctx(server):
    short = generate(server, stream=False, options={"num_ctx": 16, "seed": 1, "ignore_eos": True}).json()
    assert short["prompt_eval_count"] + short["eval_count"] == 16 and short["done_reason"] == "length"
    long = generate(server, prompt="alas " * 60, options={"num_ctx": 16})
    assert long.status == 400 and "num_ctx is 16" in long.error()
    too_long = generate(server, prompt="alas " * 5000)
    assert too_long.status == 400 and "context" in too_long.error()


def test_context_goes_on(server):
    """The tokens that come back are the conversation's: sent again, they are the beginning of the next."""
    one = generate(server, stream=False).json()
    assert len(one["context"]) == one["prompt_eval_count"] + one["eval_count"]
    two = generate(server, prompt="And then?", context=one["context"], stream=False).json()
    assert two["context"][:len(one["context"])] == one["context"]
    alone = generate(server, prompt="And then?", stream=False).json()
    # the token that begins every text is there once
    assert two["prompt_eval_count"] == len(one["context"]) + alone["prompt_eval_count"] - 1
    assert generate(server, context=[10 ** 7]).status == 400
    assert "context" not in generate(server, raw=True, stream=False).json()


def test_system_and_raw(server):
    plain, system = (generate(server, stream=False, **more).json() for more in ({}, {"system": "Speak."}))
    assert system["prompt_eval_count"] > plain["prompt_eval_count"]
    raw = generate(server, raw=True, stream=False).json()
    assert raw["prompt_eval_count"] < plain["prompt_eval_count"]


def test_template_of_the_request(server):
    own = "{{ if .System }}<|system|>{{ .System }}<|end|>{{ end }}<|user|>{{ .Prompt }}<|end|><|bard|>"
    for more in ({}, {"system": "Speak."}):
        usual, other = (generate(server, stream=False, **more, **t).json()
                        for t in ({}, {"template": own}))
        assert other["context"] == usual["context"]
    # what is asked cannot make control tokens, what the template says can
    begins = generate(server, prompt="<|end|>", template=own, stream=False).json()
    assert begins["prompt_eval_count"] > generate(server, prompt="x", template=own, stream=False).json()["prompt_eval_count"]


def test_answer_that_is_begun(server):
    whole = server.post("/api/chat", {"model": "bard", "stream": False, "options": {**SHORT, "temperature": 0}, "messages": [
        {"role": "user", "content": "Who is there?"}, {"role": "assistant", "content": "Nay, answer"}]}).json()
    assert whole["message"]["content"] and not whole["message"]["content"].startswith("Nay")


def test_logprobs(server):
    whole = generate(server, stream=False, logprobs=True, top_logprobs=3).json()
    assert len(whole["logprobs"]) == whole["eval_count"]
    for item in whole["logprobs"]:
        assert item["logprob"] <= 0 and len(item["top_logprobs"]) == 3
        assert bytes(item["bytes"]).decode(errors="replace") == item["token"]
    events = lines(generate(server, logprobs=True))
    assert [x["token"] for e in events for x in e.get("logprobs", [])] == [x["token"] for x in whole["logprobs"]]
    assert generate(server, top_logprobs=3).status == 400


REFUSED = [{"format": "yaml"}, {"template": "{{ .Prompt "}, {"images": ["aaaa"]},
           {"think": True}, {"think": "high"}, {"suffix": "and so"}, {"options": {"temperature": "hot"}},
           {"options": {"mirostat": 1}}, {"keep_alive": "soon"}, {"think": "deep"}]


@pytest.mark.parametrize("more", REFUSED, ids=lambda m: next(iter(m)))
def test_what_is_refused_is_named(server, more):
    answer = generate(server, **more)
    assert answer.status in (400, 501)
    name = next(iter(more))
    assert {"images": "image", "think": "think", "suffix": "fill in", "options": ""}.get(name, name) in answer.error()


def test_tools_and_images_of_a_chat(server):
    assert chat(server, tools=[], think=False, format="", stream=False).status == 200
    image = [{"role": "user", "content": "x", "images": ["aaaa"]}]
    assert "image" in server.post("/api/chat", {"model": "bard", "messages": image}).error()


def test_bodies_that_are_none(server):
    for body in (b"", b"{", b"[]", b"{\"model\":7}", b"{\"model\":\"bard\",\"messages\":[{}]}"):
        answer = server.post("/api/chat", body)
        assert answer.status == 400 and isinstance(answer.error(), str)


def test_lists(server):
    tags = server.get("/api/tags").json()["models"]
    assert tags[0]["name"] == tags[0]["model"] == "bard:latest"
    assert tags[0]["details"]["family"] == "llama" and tags[0]["details"]["quantization_level"] == "Q8_0"
    assert len(tags[0]["digest"]) == 64 and tags[0]["size"] > 10 ** 6
    running = server.get("/api/ps").json()["models"]
    assert [m["name"] for m in running] == ["bard:latest"]
    assert running[0]["digest"] == tags[0]["digest"] and running[0]["context_length"] > 0


def test_show(server):
    show = server.post("/api/show", {"model": "bard"}).json()
    assert show["capabilities"] == ["completion"]
    assert show["model_info"]["general.architecture"] == "llama"
    assert show["model_info"]["llama.context_length"] > 0
    assert show["model_info"]["tokenizer.ggml.tokens"] is None and "messages" in show["template"]
    verbose = server.post("/api/show", {"name": "bard:latest", "verbose": True}).json()
    assert len(verbose["model_info"]["tokenizer.ggml.tokens"]) == show["model_info"]["llama.vocab_size"]
    assert server.post("/api/show", {"model": "nobody"}).status == 404


def test_unknown_path(server):
    answer = server.get("/api/nothing")
    assert answer.status == 404 and isinstance(answer.error(), str)


def test_loading_and_giving_up(tmp_path):
    """keep_alive 0 gives a model up after the answer; an empty prompt loads it, or gives it up."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "other.gguf").symlink_to(hearth_api.BARD)
    with hearth_api.serving(tmp_path / "home", "--models", folder) as s:
        def there():
            return [m["name"] for m in s.get("/api/ps").json()["models"]]

        def gone():
            while "other:latest" in there():
                pass

        assert s.post("/api/generate", {"model": "other", "keep_alive": 0}).json()["done_reason"] == "unload"
        assert there() == ["bard:latest"]  # nothing was loaded for it
        assert s.post("/api/generate", {"model": "other"}).json()["done_reason"] == "load"
        assert there() == ["bard:latest", "other:latest"]
        assert s.post("/api/chat", {"model": "other:latest", "keep_alive": 0}).json()["done_reason"] == "unload"
        gone()
        assert generate(s, model="other", keep_alive=0, stream=False).json()["done"] is True
        gone()
        assert generate(s, model="other", keep_alive=-1, stream=False).json()["load_duration"] > 0
        expires = ""  # what a call says of keep_alive holds once it has ended, just after its answer
        while not expires.startswith("23"):
            expires = {m["name"]: m["expires_at"] for m in s.get("/api/ps").json()["models"]}["other:latest"]


@pytest.mark.parametrize("name", ["bard", "other"])
def test_what_was_given_up_stays_when_it_comes_back(tmp_path, name):
    """keep_alive 0 ends one stay in memory. The next one, of which nobody says how long, is as long as ever."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "other.gguf").symlink_to(hearth_api.BARD)
    with hearth_api.serving(tmp_path / "home", "--models", folder) as s:
        def stay():
            return {m["name"]: m["expires_at"] for m in s.get("/api/ps").json()["models"]}.get(f"{name}:latest")

        generate(s, model=name, stream=False, keep_alive=0)
        while stay():
            time.sleep(0.01)
        generate(s, model=name, stream=False)
        assert (stay() or "now") > time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 60))


def test_error_in_a_stream(tmp_path):
    """A server that stops ends a stream with a line that says so."""
    with hearth_api.serving(tmp_path / "home", "--drain", "0") as s:
        options = {"num_predict": -1, "seed": 1, "ignore_eos": True}
        opened = [s.open("POST", "/api/generate", {"model": "bard", "prompt": "O", "options": options})
                  for _ in range(8)]
        first = [json.loads(r.readline()) for _, r in opened]
        assert all("response" in f for f in first)
        stopper = threading.Thread(target=s.stop)
        stopper.start()
        last = [json.loads(r.read().decode().strip().split("\n")[-1]) for _, r in opened]
        stopper.join()
        for end in last:
            assert end.get("done") is True or "shutting down" in end["error"]


# ---- Ollama's document ----

DOCUMENT = pathlib.Path(SHARED or "/nonexistent") / "specs" / "ollama-openapi.yaml"


@pytest.fixture(scope="module")
def check():
    jsonschema, yaml = pytest.importorskip("jsonschema"), pytest.importorskip("yaml")
    if not DOCUMENT.exists():
        pytest.skip(f"{DOCUMENT} is not here")
    schemas = yaml.safe_load(DOCUMENT.read_text())["components"]["schemas"]

    def check_one(value, name):
        assert set(value) & set(schemas[name]["properties"]), value  # nothing in it is required
        schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        errors = list(jsonschema.Draft202012Validator(schema).iter_errors(value))
        assert not errors, f"{name}: {errors[0].json_path}: {errors[0].message[:300]}"

    return check_one


def test_document_generate(server, check):
    for more in ({}, {"logprobs": True, "top_logprobs": 2}, {"prompt": ""}):
        check(generate(server, stream=False, **more).json(), "GenerateResponse")
    for event in lines(generate(server, logprobs=True)):
        check(event, "GenerateStreamEvent")


def test_document_chat(server, check):
    tool = {"type": "function", "function": {"name": "f", "parameters": {
        "type": "object", "properties": {"x": {"enum": [1, 2]}}, "required": ["x"], "additionalProperties": False}}}
    called = {"tools": [tool], "tool_choice": "required", "options": {"num_predict": 80}}
    for more in ({}, {"logprobs": True, "top_logprobs": 2}, {"messages": []}, called):
        check(chat(server, stream=False, **more).json(), "ChatResponse")
    for more in ({}, called):
        for event in lines(chat(server, **more)):
            check(event, "ChatStreamEvent")


def test_document_models(server, check):
    check(server.get("/api/tags").json(), "ListResponse")
    check(server.get("/api/ps").json(), "PsResponse")
    check(server.get("/api/version").json(), "VersionResponse")
    check(server.post("/api/show", {"model": "bard", "verbose": True}).json(), "ShowResponse")
    for answer in (generate(server, model="nobody"), server.post("/api/show", {"model": "nobody"})):
        check(answer.json(), "ErrorResponse")


def test_document_check_can_fail(check):
    with pytest.raises(AssertionError):
        check({"model": 7}, "GenerateResponse")
    with pytest.raises(AssertionError):
        check({"models": [{"details": {"families": "llama"}}]}, "ListResponse")
