"""What bench/serving.py says must hold on any machine, in small: nobody sees another's secret or its pages, whoever
leaves leaves nothing behind, kill -9 loses a moment at most, and nobody starves."""
import json
import subprocess
import sys

import pytest

from hearth_api import BARD, HEARTH, NIGHTLY, ROOT, needs_bard

pytestmark = needs_bard


@pytest.mark.parametrize("row", ["canaries", "leaves", "killed", "restart", "fairness", "long-prompt", "slow-clients"])
def test_it_holds(row):
    size = [] if NIGHTLY and row in ("canaries", "leaves", "killed") else ["--quick"]
    done = subprocess.run([sys.executable, ROOT / "bench" / "serving.py", "--hearth", HEARTH, "--model", BARD, "--only",
                           row, "--json", *size], capture_output=True, check=False, timeout=900, stdin=subprocess.DEVNULL)
    assert done.stdout, done.stderr.decode()[-2000:]
    got = json.loads(done.stdout)
    assert all(got["holds"]) and got["holds"] and done.returncode == 0, got
