"""OpenAI's own libraries, from PyPI (two generations of it) and npm, as they are."""
import pytest

from clients_rig import MODELS, ledger, ledger_reaches, needs_clients, run_node, run_python, server  # noqa: F401

pytestmark = needs_clients


@pytest.mark.parametrize("model", MODELS)
def test_python(server, model):  # noqa: F811
    before = ledger(server, "cancelled")
    run_python(server, "check_openai.py", model)
    ledger_reaches(server, "cancelled", before + 2)


def test_older_python(server):  # noqa: F811
    run_python(server, "check_openai.py", "bard", "python-openai2")


@pytest.mark.parametrize("model", MODELS)
def test_node(server, model, tmp_path):  # noqa: F811
    before = ledger(server, "cancelled")
    run_node(server, "openai.mjs", model, tmp_path)
    ledger_reaches(server, "cancelled", before + 2)
