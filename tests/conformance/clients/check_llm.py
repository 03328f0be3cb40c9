"""llm, the command, told of the server at HEARTH_URL by its file of further models; run by test_python_clients.py."""
import concurrent.futures
import json
import os
import signal
import subprocess
import sys

import pytest

from left import seen_leaving

URL, MODEL = os.environ["HEARTH_URL"], os.environ["HEARTH_MODEL"]
MODELS = f"""
- {{model_id: house, model_name: {MODEL}, api_base: "{URL}/v1", supports_schema: true}}
- {{model_id: house-responses, model_name: {MODEL}, api_base: "{URL}/v1", responses: true}}
- {{model_id: house-text, model_name: {MODEL}, api_base: "{URL}/v1", completion: true}}
- {{model_id: nobody, model_name: nobody, api_base: "{URL}/v1"}}
- {{model_id: strange, model_name: {MODEL}, api_base: "{URL}/v1", headers: {{Authorization: Bearer hk-nobodys}}}}
"""


@pytest.fixture(scope="session")
def env(tmp_path_factory):
    home = tmp_path_factory.mktemp("llm")
    (home / "extra-openai-models.yaml").write_text(MODELS)
    return {**os.environ, "LLM_USER_PATH": str(home)}


@pytest.fixture(scope="session")
def library(env):
    os.environ["LLM_USER_PATH"] = env["LLM_USER_PATH"]
    return pytest.importorskip("llm")


@pytest.fixture(scope="session")
def llm(library):
    """The command, run in this process: it takes seconds to start."""
    testing, cli = pytest.importorskip("click.testing"), pytest.importorskip("llm.cli").cli

    def run(*args, status=0):
        done = testing.CliRunner().invoke(cli, args)
        assert done.exit_code == status, done.output
        return done.output

    return run


def test_lists_and_answers(llm):
    assert "house" in llm("models", "list")
    ask = ["-m", "house", "Who is there?", "-o", "seed", "7", "-o", "max_tokens", "12"]
    text = llm(*ask)
    assert text.strip() and llm(*ask, "--no-stream") == text
    rows = json.loads(llm("logs", "--json"))
    assert rows[0]["output_tokens"] > 0 and rows[0]["input_tokens"] > 0
    assert llm("-c", "And then?", "-o", "max_tokens", "12", "-o", "temperature", "0").strip()
    for model in ("house-responses", "house-text"):
        assert llm("-m", model, "To be, or", "-o", "max_tokens", "12", "-o", "temperature", "0").strip()


def test_schema(llm):
    schema = {"type": "object", "properties": {"kind": {"enum": ["king", "fool"]}}, "required": ["kind"],
              "additionalProperties": False}
    assert json.loads(llm("-m", "house", "Who?", "--schema", json.dumps(schema)))["kind"] in ("king", "fool")


def test_errors(llm):
    assert "nobody" in llm("-m", "nobody", "Who?", status=1)
    assert "key" in llm("-m", "strange", "Who?", status=1)
    assert "max_tokens" in llm("-m", "house", "Who?", "-o", "max_tokens", "-5", status=1)


def test_interrupted(env):
    def leave():
        child = subprocess.Popen([sys.executable, "-m", "llm", "-m", "house", "O", "--schema", '{"type": "string"}'],
                                 env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert child.stdout.read(1)
        child.send_signal(signal.SIGINT)
        child.wait(timeout=60)
        child.stdout.close()

    seen_leaving(leave)


def test_twenty_at_once(library):
    house = library.get_model("house")

    def ask(seed):
        return house.prompt("Who is there?", seed=seed, max_tokens=12).text()

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        got = list(pool.map(ask, [i % 4 for i in range(20)]))
    assert all(got[i] == got[i % 4] for i in range(20)) and got[0]
