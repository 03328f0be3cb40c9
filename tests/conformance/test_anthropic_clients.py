"""Anthropic's own libraries, from PyPI and npm, as they are. HEARTH_CLIENTS names the folder that holds them,
pinned by clients/: python/ and node_modules/. They talk to bard, and to SmolLM2 where it is there."""
import asyncio
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "api"))
import hearth_api  # noqa: E402

CLIENTS = pathlib.Path(os.environ.get("HEARTH_CLIENTS") or "/nonexistent")
SMOLLM2 = os.environ.get("HEARTH_SMOLLM2") or "/nonexistent"
MODELS = ["bard"] + ([pathlib.Path(SMOLLM2).stem] if os.path.exists(SMOLLM2) else [])
pytestmark = [hearth_api.needs_bard,
              pytest.mark.skipif(not CLIENTS.exists(), reason="the clients are not here (HEARTH_CLIENTS)")]
USER = [{"role": "user", "content": "Who is there?"}]
SEED = {"extra_body": {"seed": 7}}
GREEDY = {"extra_body": {"temperature": 0, "ignore_eos": True}}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    more = ["--model", SMOLLM2] if len(MODELS) > 1 else []
    with hearth_api.serving(tmp_path_factory.mktemp("home"), "--model", "bard", *more, "--drain", "1") as s:
        yield s


@pytest.fixture(scope="module")
def library():
    if not (CLIENTS / "python").exists():
        pytest.skip("the Python library is not here")
    sys.path.insert(0, str(CLIENTS / "python"))
    return pytest.importorskip("anthropic")


@pytest.fixture(scope="module")
def client(server, library):
    return library.Anthropic(base_url=f"http://127.0.0.1:{server.port}", api_key="any", max_retries=0)


@pytest.mark.parametrize("model", MODELS)
class TestPython:
    def test_lists(self, client, model):
        assert model in [m.id for m in client.models.list(limit=1)]  # goes on to further pages by itself
        assert client.models.retrieve(model).type == "model"

    def test_message_and_stream(self, client, model):
        ask = {"model": model, "messages": USER, "max_tokens": 12, **SEED}
        whole = client.messages.create(**ask)
        assert whole.content[0].text and whole._request_id.startswith("req_")
        with client.messages.stream(**ask) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        assert text == final.content[0].text == whole.content[0].text
        assert final.stop_reason == whole.stop_reason in ("end_turn", "max_tokens")
        assert final.usage.output_tokens == whole.usage.output_tokens > 0
        kinds = [e.type for e in client.messages.create(**ask, stream=True)]
        assert kinds[0] == "message_start" and kinds[-1] == "message_stop"

    def test_count_and_cache(self, client, model):
        ask = {"model": model, "messages": USER, "system": f"The same beginning for {model}. " * 20}
        counted = client.messages.count_tokens(**ask).input_tokens
        client.messages.create(**ask, max_tokens=1)
        usage = client.messages.create(**ask, max_tokens=1).usage
        assert usage.cache_read_input_tokens >= 64
        assert usage.input_tokens + usage.cache_read_input_tokens == counted

    def test_stop(self, client, model):
        ask = {"model": model, "messages": USER, "max_tokens": 40, **GREEDY}
        text = client.messages.create(**ask).content[0].text
        cut = client.messages.create(**ask, stop_sequences=["no such text", text[5:8]])
        assert cut.content[0].text == text[:text.index(text[5:8])]
        assert (cut.stop_reason, cut.stop_sequence) == ("stop_sequence", text[5:8])

    def test_errors(self, server, client, library, model):
        with pytest.raises(library.NotFoundError) as missing:
            client.messages.create(model="nobody", messages=USER, max_tokens=1)
        assert missing.value.request_id == missing.value.body["request_id"]
        with pytest.raises(library.BadRequestError, match="temperature"):
            client.messages.create(model=model, messages=USER, max_tokens=1, extra_body={"temperature": -1})
        with pytest.raises(library.BadRequestError, match="tools"):
            client.messages.create(model=model, messages=USER, max_tokens=1,
                                   tools=[{"name": "look", "input_schema": {"type": "object"}}])
        stranger = library.Anthropic(base_url=f"http://127.0.0.1:{server.port}", auth_token="hk-nobodys",
                                     max_retries=0)
        with pytest.raises(library.AuthenticationError):
            stranger.models.list()

    def test_cancelled_stream(self, server, client, model):
        before = server.metric("cancelled_total")
        with client.messages.stream(model=model, messages=USER, max_tokens=900, **GREEDY) as stream:
            assert next(iter(stream.text_stream))
        server.wait_metric("cancelled_total", lambda n: n > before)

    def test_twenty_at_once(self, client, model):
        def ask(seed):
            return client.messages.create(model=model, messages=USER, max_tokens=12,
                                          extra_body={"seed": seed}).content[0].text

        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            got = list(pool.map(ask, [i % 4 for i in range(20)]))
        assert all(got[i] == got[i % 4] for i in range(20))

    def test_async(self, server, library, model):
        async def ask():
            one = library.AsyncAnthropic(base_url=f"http://127.0.0.1:{server.port}", auth_token="any", max_retries=0)
            async with one.messages.stream(model=model, messages=USER, max_tokens=12) as stream:
                return [t async for t in stream.text_stream]

        assert asyncio.run(ask())


@pytest.mark.parametrize("model", MODELS)
def test_node_and_its_types(server, model, tmp_path):
    """The library works, and what it was given has the types that it declares."""
    node, modules = shutil.which("node"), CLIENTS / "node_modules"
    if not node or not (modules / "@anthropic-ai").exists():
        pytest.skip("node, or the library from npm, is not here")
    (tmp_path / "node_modules").symlink_to(modules)
    script, types = shutil.copy(HERE / "clients" / "anthropic.mjs", tmp_path), tmp_path / "types.ts"
    done = subprocess.run([node, script, f"http://127.0.0.1:{server.port}", model, types], capture_output=True,
                          check=False, timeout=300)
    assert done.returncode == 0 and done.stdout.startswith(b"ok"), done.stderr.decode()

    def compiles(source):
        types.write_text(source)
        tsc = [node, modules / "typescript" / "bin" / "tsc", "--noEmit", "--strict", "--skipLibCheck", "--target",
               "es2022", "--module", "nodenext", types]
        return subprocess.run(tsc, capture_output=True, check=False, cwd=tmp_path, timeout=300)

    source = types.read_text()
    good = compiles(source)
    assert good.returncode == 0, good.stdout.decode()
    assert compiles(source.replace('"stop_sequence"', '"stop_here"')).returncode != 0
