"""Anthropic's own libraries, from PyPI and npm, as they are."""
import subprocess

import pytest

from clients_rig import CLIENTS, MODELS, needs_clients, node, run_node, run_python, server  # noqa: F401

pytestmark = needs_clients


@pytest.mark.parametrize("model", MODELS)
def test_python(server, model):  # noqa: F811
    run_python(server, "check_anthropic.py", model)


@pytest.mark.parametrize("model", MODELS)
def test_node_and_its_types(server, model, tmp_path):  # noqa: F811
    """The library works, and what it was given has the types that it declares."""
    types = tmp_path / "types.ts"
    run_node(server, "anthropic.mjs", model, tmp_path, types)

    def compiles(source):
        types.write_text(source)
        tsc = [node(), CLIENTS / "node_modules" / "typescript" / "bin" / "tsc", "--noEmit", "--strict",
               "--skipLibCheck", "--target", "es2022", "--module", "nodenext", types]
        return subprocess.run(tsc, capture_output=True, check=False, cwd=tmp_path, timeout=300)

    source = types.read_text()
    good = compiles(source)
    assert good.returncode == 0, good.stdout.decode()
    assert compiles(source.replace('"stop_sequence"', '"stop_here"')).returncode != 0
