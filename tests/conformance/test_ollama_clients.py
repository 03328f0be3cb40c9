"""Ollama's own libraries, from PyPI and npm, as they are."""
import pytest

from clients_rig import MODELS, needs_clients, run_node, run_python, server  # noqa: F401

pytestmark = needs_clients


@pytest.mark.parametrize("model", MODELS)
def test_python(server, model):  # noqa: F811
    run_python(server, "check_ollama.py", model)


@pytest.mark.parametrize("model", MODELS)
def test_node(server, model, tmp_path):  # noqa: F811
    run_node(server, "ollama.mjs", model, tmp_path)
