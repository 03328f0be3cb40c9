"""hearth loadtest against a server: what it counts is what the server did."""
import json
import os
import subprocess

from hearth_api import HEARTH, needs_bard, serving

pytestmark = needs_bard


def loadtest(*args, env=None):
    return subprocess.run([HEARTH, "loadtest", *map(str, args)], capture_output=True, check=False, timeout=120,
                          stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})


def test_counts_are_the_servers(tmp_path):
    with serving(tmp_path / "home") as server:
        url = f"http://127.0.0.1:{server.port}"
        done = loadtest(url, "--clients", 3, "--requests", 7, "--prompt-words", 60, "--shared-words", 40,
                        "--max-tokens", 6, "--json")
        assert done.returncode == 0, done.stderr.decode()
        got = json.loads(done.stdout)
        assert (got["requests"], got["errors"]) == (7, 0) and got["model"].startswith("bard")
        assert got["output_tokens"] == 42
        assert got["output_tokens"] == server.metric("generated_tokens_total")
        assert got["prompt_tokens"] == server.metric("prompt_tokens_total")
        assert 0 <= got["cached_prompt_tokens"] < got["prompt_tokens"]
        for part in ("ttft_ms", "itl_ms", "latency_ms"):
            assert 0 < got[part]["p50"] <= got[part]["p90"] <= got[part]["p99"]
        assert got["latency_ms"]["p50"] >= got["ttft_ms"]["p50"]
        text = loadtest(url + "/v1", "--requests", 1, "--prompt-words", 9, "--max-tokens", 3)
        assert text.returncode == 0 and b"1 request by" in text.stdout and b"written" in text.stdout


def test_failures_are_told(tmp_path, server):
    url = f"http://127.0.0.1:{server.port}"
    done = loadtest(url, "--requests", 3, "--model", "nobody", "--json")
    assert done.returncode == 1 and b"3 requests failed" in done.stderr and b"404" in done.stderr
    assert json.loads(done.stdout)["errors"] == 3
    gone = loadtest("http://127.0.0.1:1")
    assert gone.returncode != 0 and gone.stderr.count(b"\n") == 1 and not gone.stdout
    wrong = loadtest(url, "--prompt-words", 5, "--shared-words", 5)
    assert wrong.returncode == 2 and b"--shared-words" in wrong.stderr
    assert loadtest("nowhere").returncode == 2
