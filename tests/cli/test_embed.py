"""hearth embed: vectors of the built-in model, as lines and as JSON, and what is refused."""
import json
import math

import pytest

from hearth_cli import needs_bard, ok, one_line, run

pytestmark = needs_bard


def fails(code, *args):
    done = run(*args)
    assert done.returncode == code, done.stderr
    return one_line(done)


def vectors(*args, **more):
    return json.loads(ok("embed", "bard", "--json", *args, **more))


def test_one_vector_a_text_of_length_one():
    a, b, c = vectors("To be", "or not to be", "To be")
    assert a == c and a != b and len(a) == len(b)
    assert abs(math.sqrt(sum(x * x for x in a)) - 1) < 1e-5


def test_lines_say_what_json_says():
    lines = ok("embed", "bard", "To be", "or not").decode().splitlines()
    assert [[float(x) for x in line.split()] for line in lines] == vectors("To be", "or not")


def test_lines_of_a_file_are_texts(tmp_path):
    file = tmp_path / "texts"
    file.write_text("To be\n\nor not")
    assert vectors("--file", str(file)) == vectors("To be", "or not")
    assert vectors(stdin=b"To be\nor not\n") == vectors("To be", "or not")


def test_pooling_and_raw():
    last, mean = vectors("To be, or not"), vectors("To be, or not", "--pooling", "mean")
    assert last != mean
    assert vectors("To be, or not", "--raw") != last


def test_what_is_refused(tmp_path):
    empty = tmp_path / "empty"
    empty.write_text("\n")
    assert "no text" in fails(2, "embed", "bard", "--file", str(empty))
    assert "not both" in fails(2, "embed", "bard", "x", "--file", str(empty))
    empty.write_text("word " * 100000)
    assert "fit" in fails(6, "embed", "bard", "--file", str(empty))
