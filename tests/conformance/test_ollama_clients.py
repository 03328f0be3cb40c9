"""Ollama's own libraries, from PyPI and npm, as they are: HEARTH_CLIENTS names the folder in which
packaging/fetch-clients.sh put them. They talk to bard, and to SmolLM2 where it is there."""
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


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    more = ["--model", SMOLLM2] if len(MODELS) > 1 else []
    with hearth_api.serving(tmp_path_factory.mktemp("home"), "--model", "bard", *more, "--drain", "1") as s:
        yield s


@pytest.mark.parametrize("model", MODELS)
def test_python(server, model):
    """In a process of its own: the library's modules must not meet those of the tests."""
    if not (CLIENTS / "python").exists():
        pytest.skip("the library from PyPI is not here")
    env = {**os.environ, "PYTHONPATH": str(CLIENTS / "python"), "HEARTH_URL": f"http://127.0.0.1:{server.port}",
           "HEARTH_MODEL": model}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", HERE / "clients" / "check_ollama.py"],
                          capture_output=True, check=False, env=env, timeout=600)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


@pytest.mark.parametrize("model", MODELS)
def test_node(server, model, tmp_path):
    node = shutil.which("node")
    if not node or not (CLIENTS / "node_modules" / "ollama").exists():
        pytest.skip("node, or the library from npm, is not here")
    (tmp_path / "node_modules").symlink_to(CLIENTS / "node_modules")
    script = shutil.copy(HERE / "clients" / "ollama.mjs", tmp_path)
    done = subprocess.run([node, script, f"http://127.0.0.1:{server.port}", model], capture_output=True, check=False,
                          timeout=300)
    assert done.returncode == 0 and done.stdout.startswith(b"ok"), done.stderr.decode()
