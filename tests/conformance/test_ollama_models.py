"""Models through Ollama's own libraries, from PyPI and npm, as they are: got from a real registry on loopback, listed,
shown, copied, made from a Modelfile's parts and from uploads, quantised, sent and removed."""
import hashlib
import pathlib
import sys

import pytest

from clients_rig import hearth_api, needs_clients, run_node, run_python

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "hub"))
from hub_rig import Model, Registry  # noqa: E402

pytestmark = needs_clients


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server, and what the checks are told: a model in a registry, and files."""
    folder = tmp_path_factory.mktemp("models")
    with Registry(folder / "registry") as registry, \
            hearth_api.serving(folder / "home", "--model", "bard", "--drain", "1") as server:
        model = Model(weights=hearth_api.BARD.read_bytes())
        registry.load("library/bard", "v1", model)
        f16 = folder / "f16.gguf"
        server.command("quantize", "bard", f16, "f16", "--allow-requantize")
        at = f"127.0.0.1:{registry.port}"
        yield server, {"HEARTH_PULL": f"{at}/library/bard:v1", "HEARTH_PUSH": f"{at}/me/{{}}:v1",
                       "HEARTH_DIGEST": hashlib.sha256(model.manifest).hexdigest(),
                       "HEARTH_Q8": str(hearth_api.BARD), "HEARTH_F16": str(f16)}
        assert server.child.poll() is None, server.text()


def told(env, who):
    return {**env, "HEARTH_PUSH": env["HEARTH_PUSH"].format(who)}


def test_python(served):
    server, env = served
    run_python(server, "check_ollama_models.py", "bard", env=told(env, "python"), keys=False)


def test_node(served, tmp_path):
    server, env = served
    run_node(server, "ollama_models.mjs", "bard", tmp_path, env=told(env, "node"), keys=False)
