"""Vercel's AI SDK and LangChain, from npm, as they are."""
import pytest

from clients_rig import MODELS, ledger, ledger_reaches, needs_clients, run_node, server  # noqa: F401

pytestmark = needs_clients


@pytest.mark.parametrize("model", MODELS)
def test_ai(server, model, tmp_path):  # noqa: F811
    before = ledger(server, "cancelled")
    run_node(server, "ai.mjs", model, tmp_path)
    ledger_reaches(server, "cancelled", before + 3)


@pytest.mark.parametrize("model", MODELS)
def test_langchain(server, model, tmp_path):  # noqa: F811
    before = ledger(server, "cancelled")
    run_node(server, "langchain.mjs", model, tmp_path)
    ledger_reaches(server, "cancelled", before + 3)
