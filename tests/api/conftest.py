import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import hearth_api  # noqa: E402


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """One server with bard for all tests that leave it as it was."""
    with hearth_api.serving(tmp_path_factory.mktemp("home"), "--drain", "1") as s:
        yield s
        assert s.child.poll() is None, s.text()
