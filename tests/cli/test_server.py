"""hearth run where a server answers: the same text as in this process, refusals, and when it is not asked."""
import json
import pathlib
import sys
import time

import pytest

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "api"), str(HERE.parent / "tools")]
import hearth_api  # noqa: E402
from hearth_cli import BARD, Terminal, needs_bard, ok, one_line, run  # noqa: E402
from script_server import ScriptServer  # noqa: E402

pytestmark = needs_bard
TIMES = ("prefill_s", "decode_s", "cached_tokens", "drafted_tokens", "accepted_tokens")


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    with hearth_api.serving(tmp_path_factory.mktemp("home"), "--drain", "1") as s:
        yield {"HEARTH_HOST": f"127.0.0.1:{s.port}"}, s


def plain(text):
    o = json.loads(text)
    return {k: v for k, v in o.items() if k not in TIMES}


@pytest.mark.parametrize("args", [
    [], ["--raw"], ["--system", "You are a king."], ["--temp", "0"], ["--stop", "the"], ["--logprobs"],
    ["--logprobs", "3"], ["--ignore-eos"], ["--top-k", "3", "--repeat-penalty", "1.3"],
    ["--mirostat", "2"], ["--dry-multiplier", "0.8", "--min-p", "0.01"],
    ["--xtc-probability", "0.5", "--xtc-threshold", "0.05", "--typical", "0.9"],
    ["--frequency-penalty", "0.5", "--presence-penalty", "-0.5", "--repeat-last-n", "-1"],
])
def test_the_same_answer(there, args):
    env, server = there
    line = ["run", "--seed", "7", "-n", "24", *args, "Speak, what art thou? \u00e4\u4e16 <|im_end|>"]
    before = server.metric("requests_total")
    far, here = ok(*line, "--json", env=env), ok(*line, "--json", "--local", env=env)
    assert plain(far) == plain(here)
    assert server.metric("requests_total") > before
    far, here = run(*line, env=env), run(*line, env={"HEARTH_HOST": "off"})
    assert (far.stdout, far.stderr) == (here.stdout, here.stderr)


def test_when_it_is_not_asked(there):
    env, server = there
    before = server.metric("requests_total")
    for args in (["--local"], ["--ctx", "512"], ["--threads", "1"], ["--kv", "q8"], ["--no-pack"], ["-m", BARD]):
        ok("run", "-n", "2", *args, "To be or", env=env if args[0] != "-m" else
           {"HEARTH_HOST": "", "OLLAMA_HOST": env["HEARTH_HOST"]})
    assert server.metric("requests_total") == before + 1  # this question itself


def test_where_it_is(there):
    env, server = there
    port = env["HEARTH_HOST"].split(":")[1]
    for host in (f":{port}", f"0.0.0.0:{port}", f"localhost:{port}", f"http://127.0.0.1:{port}",
                 f"http://127.0.0.1:{port}/"):
        said = run("run", "--verbose", "-n", "2", "To be or", env={"HEARTH_HOST": host}).stderr.decode()
        assert f"the server at {host}" in said
    said = run("run", "--verbose", "-n", "2", "To be or", env={"HEARTH_HOST": "", "OLLAMA_HOST": f":{port}"})
    assert b"the server at" in said.stderr


def test_refusals(there):
    env, _ = there
    assert run("run", "-m", "nobody", "To be", env=env).returncode == 3
    done = run("run", "To be or", env={"HEARTH_HOST": "127.0.0.1:1"})
    assert done.returncode == 4 and "--local" in one_line(done)
    assert run("run", "-n", "2", "To be or", env={"HEARTH_HOST": "", "OLLAMA_HOST": "127.0.0.1:1"}).returncode == 0
    done = run("run", "--seed", str(2 ** 64 - 1), "To be or", env=env)
    assert done.returncode == 2 and "--local" in one_line(done)
    with ScriptServer(lambda q, w: w.send(200, b'{"data":[{"id":"bard","owned_by":"library"}]}')) as s:
        done = run("run", "To be or", env={"HEARTH_HOST": s.url()})
        assert done.returncode == 4 and "not Hearth" in one_line(done)
        assert run("run", "-n", "2", "To be or", env={"HEARTH_HOST": "", "OLLAMA_HOST": s.url()}).returncode == 0


def test_keys(tmp_path):
    with hearth_api.serving(tmp_path, "--drain", "1", "--require-key") as s:
        key = s.command("key", "create", "me").split()[-1]
        time.sleep(0.6)  # the server looks at the file a few times a second
        env = {"HEARTH_HOST": f"127.0.0.1:{s.port}"}
        done = run("run", "To be or", env=env)
        assert done.returncode == 5 and "401" in one_line(done)
        assert run("run", "-n", "2", "To be or", env={**env, "HEARTH_API_KEY": key}).returncode == 0


def test_a_server_that_breaks_off():
    """What was written stays; the exit code says that it is not all."""
    def answer(q, w):
        if q.path == "/v1/models":
            w.send(200, b'{"data":[{"id":"bard","owned_by":"hearth"}]}')
        elif q.path == "/props":
            w.send(200, b'{"default_generation_settings":{"n_ctx":100},"chat_family":null}')
        else:
            w.head(200, Transfer_Encoding="chunked")
            for event in script:
                data = b"data: " + event + b"\n\n"
                w.raw(b"%x\r\n%s\r\n" % (len(data), data))
            w.raw(b"0\r\n\r\n") if ends else w.close()

    token = b'{"content":"Aye","tokens":[5],"stop":false}'
    for script, ends, code in (([token], False, 4), ([token], True, 4), ([token, b"{{"], True, 7),
                               ([token, b'{"error":{"message":"tired"}}'], True, 1),
                               ([token, b'{"stop":true,"stop_type":"eos","tokens_evaluated":4}'], True, 0)):
        with ScriptServer(answer) as s:
            done = run("run", "To be or", env={"HEARTH_HOST": s.url()})
            assert (done.returncode, done.stdout) == (code, b"Aye\n"), (script, done)


def test_the_chat(there, tmp_path):
    env, _ = there
    t = Terminal("run", "--seed", "1", "-n", "8", "--no-markdown", home=tmp_path, env=env)
    t.prompt()
    t.line("/set ctx 64")
    t.expect("--local")
    t.line("/show info")
    t.expect("at the server")
    t.line("Who is there?")
    t.prompt()
    t.line("/usage")
    t.expect("answers so far: 1")
    t.line("/bye")
    assert t.end() == 0
