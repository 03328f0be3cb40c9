"""Models through Ollama's own library for Python: got, listed, shown, copied, made, sent and removed, by the server at
HEARTH_URL from a registry; run by test_ollama_models.py."""
import asyncio
import hashlib
import os
import pathlib

import ollama
import pytest

URL, NAME, PUSH = (os.environ[k] for k in ("HEARTH_URL", "HEARTH_PULL", "HEARTH_PUSH"))
Q8, F16 = (pathlib.Path(os.environ[k]) for k in ("HEARTH_Q8", "HEARTH_F16"))
CLIENT = ollama.Client(host=URL)
OPTIONS = {"num_predict": 8, "seed": 7}
USER = [{"role": "user", "content": "Who is there?"}]


def names():
    return sorted(m.model for m in CLIENT.list().models)


def row(name):
    found, = [m for m in CLIENT.list().models if m.model == name]
    return found


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = names()
    yield
    for name in set(names()) - set(before):
        CLIENT.delete(name)


def test_pull():
    steps = list(CLIENT.pull(NAME, insecure=True, stream=True))
    assert steps[0].status == "pulling manifest" and steps[-1].status == "success"
    parts = [s for s in steps if s.digest]
    assert all(s.status.startswith("pulling ") and s.total >= (s.completed or 0) for s in parts)
    weights = "sha256:" + hashlib.sha256(Q8.read_bytes()).hexdigest()
    assert [s for s in parts if s.digest == weights][-1].completed == Q8.stat().st_size
    assert CLIENT.pull(NAME, insecure=True).status == "success"  # it is here already
    got = row(NAME)
    assert got.digest == os.environ["HEARTH_DIGEST"]  # of the manifest, as Ollama's own list has it
    assert got.size >= Q8.stat().st_size and got.details.format == "gguf"
    assert got.details.quantization_level == "Q8_0" and got.modified_at.tzinfo
    shown = CLIENT.show(NAME)
    assert shown.parameters.split() == ["temperature", "0.5"] and shown.license == "Do as you please."
    assert shown.modelinfo["general.architecture"] == shown.details.family
    assert "completion" in shown.capabilities and shown.modelfile.startswith("#") or "FROM" in shown.modelfile
    assert CLIENT.chat(NAME, USER, options=OPTIONS).message.content
    assert NAME in [m.model for m in CLIENT.ps().models]


def test_copy_and_delete():
    CLIENT.pull(NAME, insecure=True)
    assert CLIENT.copy(NAME, "copied").status == "success"
    assert row("copied:latest").digest == row(NAME).digest
    before = CLIENT.generate(NAME, "To be", options=OPTIONS).response
    assert CLIENT.delete(NAME).status == "success"
    assert NAME not in names() and "copied:latest" in names()
    assert CLIENT.generate("copied", "To be", options=OPTIONS).response == before
    assert CLIENT.delete("copied").status == "success"
    for gone in (lambda: CLIENT.delete("copied"), lambda: CLIENT.show("copied"), lambda: CLIENT.copy("copied", "x"),
                 lambda: CLIENT.generate("copied", "x")):
        with pytest.raises(ollama.ResponseError) as e:
            gone()
        assert e.value.status_code == 404 and "copied" in e.value.error


def test_create_from_another():
    CLIENT.pull(NAME, insecure=True)
    parts = {"system": "You say little.", "license": ["one", "two"],
             "template": "{{ if .System }}<{{ .System }}>{{ end }}{{ .Prompt }}",
             "parameters": {"temperature": 0.25, "stop": ["END", "FIN"], "num_predict": 5},
             "messages": [{"role": "user", "content": "Hail!"}, {"role": "assistant", "content": "Well met."}]}
    steps = list(CLIENT.create("mine", from_=NAME, stream=True, **parts))
    assert steps[-1].status == "success" and len(steps) > 1
    shown = CLIENT.show("mine")
    assert shown.template == parts["template"] and shown.license.endswith("one\ntwo")
    lines = [line.split() for line in shown.parameters.splitlines()]
    assert ["temperature", "0.25"] in lines and ["num_predict", "5"] in lines
    assert sorted(line[1].strip('"') for line in lines if line[0] == "stop") == ["END", "FIN"]
    for want in ("SYSTEM You say little.", "MESSAGE user Hail!", "MESSAGE assistant Well met.",
                 "PARAMETER temperature 0.25"):
        assert want in shown.modelfile
    assert CLIENT.generate("mine", "To be", options={"seed": 7, "stop": []}).eval_count == 5
    assert CLIENT.create("mine2", from_="mine", system="Else.").status == "success"
    assert "SYSTEM Else." in CLIENT.show("mine2").modelfile and CLIENT.show("mine2").template == parts["template"]


def test_create_from_a_blob():
    digest = CLIENT.create_blob(Q8)
    assert digest == CLIENT.create_blob(str(Q8)) == "sha256:" + hashlib.sha256(Q8.read_bytes()).hexdigest()
    assert CLIENT.create("uploaded", files={"model.gguf": digest}, system="x").status == "success"
    assert CLIENT.show("uploaded").details.quantization_level == "Q8_0"
    assert CLIENT.generate("uploaded", "To be", options=OPTIONS).response


def test_create_quantized():
    digest = CLIENT.create_blob(F16)
    steps = list(CLIENT.create("small", files={"f16.gguf": digest}, quantize="q4_K_M", stream=True))
    assert steps[-1].status == "success"
    assert CLIENT.show("small").details.quantization_level == "Q4_K_M"
    assert row("small:latest").size < F16.stat().st_size / 2
    assert CLIENT.generate("small", "To be", options=OPTIONS).response
    for kw in ({"quantize": "q9_X"}, {"files": {"f16.gguf": "sha256:" + "0" * 64}}, {"files": {"a": "no"}},
               {"from_": "nobody"}, {"from_": "small", "parameters": {"temperature": "hot"}},
               {"from_": "small", "template": "{{ if }}"}):
        with pytest.raises(ollama.ResponseError) as e:
            CLIENT.create("bad", **{"files": {"f16.gguf": digest}, **kw} if "from_" not in kw else kw)
        assert e.value.status_code in (400, 404) and e.value.error, kw
    assert "bad:latest" not in names()


def test_push():
    CLIENT.pull(NAME, insecure=True)
    CLIENT.copy(NAME, PUSH)
    steps = list(CLIENT.push(PUSH, insecure=True, stream=True))
    assert steps[-1].status == "success" and any(s.digest for s in steps)
    CLIENT.delete(PUSH)
    assert CLIENT.pull(PUSH, insecure=True).status == "success"
    assert row(PUSH).digest == row(NAME).digest


def test_pull_what_is_not_there():
    for call in (lambda: CLIENT.pull(NAME + "x", insecure=True), lambda: list(CLIENT.pull(NAME + "x", insecure=True, stream=True))):
        with pytest.raises(ollama.ResponseError) as e:
            call()
        assert e.value.error


def test_async():
    async def work():
        one = ollama.AsyncClient(host=URL)
        digest = await one.create_blob(Q8)
        assert (await one.create("async", files={"model.gguf": digest})).status == "success"
        last = None
        async for step in await one.pull(NAME, insecure=True, stream=True):
            last = step
        assert last.status == "success"
        await one.copy("async", "async2")
        await one.delete("async")
        assert "async2:latest" in [m.model for m in (await one.list()).models]

    asyncio.run(work())
