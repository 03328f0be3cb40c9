"""Documents that bard writes under schemas, judged by two others: Python's jsonschema and ajv from npm. Bard knows no
JSON, so whatever is right about them is the grammar's doing. Under the schemas beside this file, and those of the
shared folder where there is one.

Where ajv cannot judge, the class is named here, and any other is a failure."""
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from clients_rig import CLIENTS, HERE, needs_clients, node

HEARTH = pathlib.Path(os.environ.get("HEARTH_BIN") or HERE.parents[1] / "build" / "hearth")
WRITE = HEARTH.parent / "tests" / "grammar_write"
BARD = HERE.parents[1] / "models" / "bard" / "bard-q8_0.gguf"
SHARED = pathlib.Path(os.environ.get("HEARTH_SHARED") or "/nowhere") / "json-schema" / "maskbench.jsonl"
NIGHTLY = os.environ.get("HEARTH_TEST_SIZE") == "nightly"
EACH = 20 if NIGHTLY else 4

# What ajv does not compile: the words of its message, and at most how many of the schemas.
NOT_COMPILED = {
    "an id from before draft 6 that is not at the top": (r'keyword "id", use "\$id"', 8),
    "an escape in a pattern that its regular expressions do not know": (r"Invalid regular expression: .*Invalid escape", 3),
}
SIBLINGS = 24  # at most so many have keywords beside a $ref, of a draft in which those do not count

pytestmark = needs_clients


def written(schemas, folder):
    """Rows {"line", "text"}, in a file as well."""
    done = subprocess.run([WRITE, BARD, schemas, str(EACH), "300", "1"], capture_output=True, check=True, timeout=3000)
    (folder / "written.jsonl").write_bytes(done.stdout)
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def judged(program, script, path, folder, **env):
    done = subprocess.run([program, script, path, folder / "written.jsonl"], capture_output=True, check=False, timeout=600,
                          env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **env})
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def judged_by_jsonschema(path, folder):
    """The pinned one: in older ones [0] is [false]."""
    libraries = CLIENTS / "python-openai2"
    if not libraries.exists():
        pytest.skip("the libraries from PyPI are not here")
    return judged(sys.executable, HERE / "clients" / "judge_schemas.py", path, folder, PYTHONPATH=str(libraries))


def judged_by_ajv(path, folder):
    program = node()
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    (folder / "schemas.mjs").write_bytes((HERE / "clients" / "schemas.mjs").read_bytes())
    return judged(program, folder / "schemas.mjs", path, folder)


def both(path, folder):
    rows = written(path, folder)
    assert rows[-1]["lines"] == len(path.read_text().splitlines())
    texts = [row for row in rows if "text" in row]
    by_python = judged_by_jsonschema(path, folder)
    assert not by_python["wrong"] and by_python["checked"] == len(texts), by_python["wrong"][:3]
    return {row["line"] for row in texts}, texts, [row for row in rows if "refused" in row], judged_by_ajv(path, folder)


def test_schemas_of_our_own(tmp_path):
    path = HERE / "schemas.jsonl"
    lines, texts, refused, ajv = both(path, tmp_path)
    assert not refused and not ajv["wrong"] and not ajv["not_compiled"] and not ajv["siblings"], ajv
    assert ajv["checked"] == len(texts)
    assert len(lines) == len(path.read_text().splitlines()), f"documents for lines {sorted(lines)} only"


@pytest.mark.skipif(not SHARED.exists(), reason="HEARTH_SHARED has no json-schema")
def test_real_schemas(tmp_path):
    lines, texts, refused, ajv = both(SHARED, tmp_path)
    assert not ajv["wrong"], ajv["wrong"][:3]
    for what, (words, most) in NOT_COMPILED.items():
        of_it = [line for line, why in ajv["not_compiled"].items() if re.search(words, why)]
        print(f"{len(of_it)} not compiled by ajv: {what}")
        assert len(of_it) <= most, of_it
        for line in of_it:
            del ajv["not_compiled"][line]
    assert not ajv["not_compiled"]
    assert len(set(ajv["siblings"])) <= SIBLINGS
    assert len(refused) <= 17
    assert len(lines) >= 530 and ajv["checked"] >= 0.98 * len(texts), (len(lines), ajv["checked"])
