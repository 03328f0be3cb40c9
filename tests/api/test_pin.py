"""Prefixes that are published to all: every owner's first conversation finds them, and nothing else is shared."""
import json
import os
import subprocess

import pytest

from hearth_api import BARD, HEARTH, needs_bard, serving

pytestmark = needs_bard
SYSTEM = "You answer as a player of the Globe would, in verse, and never in prose. " * 6


def first_cached(server, key, system):
    answer = server.post("/v1/chat/completions", {"max_tokens": 1, "messages": [
        {"role": "system", "content": system}, {"role": "user", "content": "Who art thou?"}]},
        Authorization="Bearer " + key)
    assert answer.status == 200, answer.body
    return answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"]


@pytest.mark.parametrize("text", [SYSTEM + "\n", json.dumps([{"role": "system", "content": SYSTEM}]),
                                  json.dumps({"messages": [{"role": "system", "content": SYSTEM}]})])
def test_everybody_finds_it(tmp_path, text):
    (tmp_path / "house").write_text(text)
    env = {**os.environ, "HEARTH_HOME": str(tmp_path / "home")}
    keys = [json.loads(subprocess.run([HEARTH, "key", "create", name, "--json"], env=env, check=True,
                                      capture_output=True).stdout)["key"] for name in ("anna", "ben")]
    with serving(tmp_path / "home", "--pin", tmp_path / "house") as server:
        for key in keys:
            assert first_cached(server, key, SYSTEM) >= 64
        assert first_cached(server, keys[0], "Another " + SYSTEM) < 16


@pytest.mark.parametrize("text, words", [("short", "64"), ("{", "line 1"), ('{"messages":[]}', "messages"),
                                         ("\xff", "UTF-8"), (None, "No such file")])
def test_what_cannot_be_published(tmp_path, text, words):
    if text is not None:
        (tmp_path / "house").write_bytes(text.encode("latin-1"))
    done = subprocess.run([HEARTH, "serve", "--model", BARD, "--listen", "127.0.0.1:0", "--pin", tmp_path / "house"],
                          capture_output=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode not in (0, None)
    complaint = [l for l in done.stderr.decode().splitlines() if "cannot be published" in l]
    assert len(complaint) == 1 and words in complaint[0], done.stderr.decode()
