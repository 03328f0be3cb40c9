import pathlib
import sys

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1] / "tools")]

from hearth_store import Store  # noqa: E402


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)
