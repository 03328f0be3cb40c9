"""Further programs and libraries from PyPI that are told to use a server of one's own, as they are."""
import pytest

from clients_rig import MODELS, ledger, ledger_reaches, needs_clients, run_python, server  # noqa: F401

pytestmark = needs_clients


@pytest.mark.parametrize("model", MODELS)
def test_litellm(server, model):  # noqa: F811
    before = ledger(server, "cancelled")
    # Without this it looks for prices on a page of its makers before it does anything.
    run_python(server, "check_litellm.py", model, "python-openai2", {"LITELLM_LOCAL_MODEL_COST_MAP": "True"})
    ledger_reaches(server, "cancelled", before + 4)


def test_llm(server):  # noqa: F811
    before = ledger(server, "cancelled")
    run_python(server, "check_llm.py", "bard")
    ledger_reaches(server, "cancelled", before + 1)


def test_instructor(server):  # noqa: F811
    run_python(server, "check_instructor.py", "bard", "python-openai2")


def test_pydantic_ai(server):  # noqa: F811
    run_python(server, "check_pydantic_ai.py", "bard")
