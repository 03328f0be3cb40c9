"""snippets.json is what Jinja2 makes of make_snippets.py; where jinja2 is at hand, it is made anew."""

import json
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent


def test_snippets_are_those_of_jinja2():
    jinja2 = pytest.importorskip("jinja2")
    if tuple(int(x) for x in jinja2.__version__.split(".")[:2]) != (3, 1) or sys.version_info < (3, 11):
        pytest.skip("made with Jinja2 3.1 on Python 3.11 or newer")
    made = subprocess.run([sys.executable, str(HERE / "make_snippets.py")], stdout=subprocess.PIPE, check=True).stdout
    now, kept = json.loads(made)["snippets"], json.loads((HERE / "snippets.json").read_text())["snippets"]
    assert [s["t"] for s in now] == [s["t"] for s in kept]
    differ = [(a, b) for a, b in zip(now, kept) if a.get("text") != b.get("text")]
    assert not differ, differ[:5]
