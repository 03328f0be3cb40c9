"""hearth study --against a second Hearth on loopback: the same asks on both arms, its own counts, a bill, and a cap
that is never passed."""
import json
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "api"))

from hearth_api import NIGHTLY, needs_bard, serving  # noqa: E402
from hearth_cli import ok, run  # noqa: E402

pytestmark = needs_bard
SECRET = "sk-this-is-a-secret"
ROW = "openai/gpt-5.6-luna"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("served")) as s:
        yield s


def study(server, out, home, path, *args):
    ok("study", "--smoke", "--out", out, "--against", f"http://127.0.0.1:{server.port}{path}", "--against-model", "bard",
       "--key-env", "SERVICE_KEY", "--price-row", ROW, *args, env={"HEARTH_HOME": str(home), "SERVICE_KEY": SECRET})
    method = json.loads((out / "method.json").read_text(encoding="utf-8"))
    lines = [json.loads(x) for x in (out / "raw.jsonl").read_text(encoding="utf-8").splitlines()]
    runs, requests = {}, []
    for x in lines:
        if isinstance(x, list):
            requests.append(dict(zip(method["request_columns"], x)))
        elif x["type"] == "run":
            runs[x["run"]] = x
    answers = [x for x in lines if isinstance(x, dict) and x["type"] == "answer"]
    return method, runs, requests, answers


@pytest.mark.parametrize("path", ["/v1/messages", "/v1"] if NIGHTLY else ["/v1"])
def test_both_arms(server, tmp_path, own_home, path):
    out = tmp_path / "out"
    method, runs, requests, answers = study(server, out, own_home, path, "--cap", "5")
    assert {r["arm"] for r in runs.values()} == {"here", "there"}
    there = [r for r in requests if runs[r["run"]]["arm"] == "there"]
    assert there and all(r["prompt"] > 0 and r["bill_pico"] >= 0 for r in there)
    # 0.2 dollars a million in, 0.02 from the cache, 1.2 out: exactly that, to the last pico
    row = next(r for r in json.loads(ok("prices", "list", "--json"))["rows"] if r["id"] == ROW)
    assert (row["input_usd_per_mtok"], row["cached_input_usd_per_mtok"], row["output_usd_per_mtok"]) == (0.2, 0.02, 1.2)
    for r in there:
        assert r["bill_pico"] == (r["prompt"] - r["cached"]) * 200000 + r["cached"] * 20000 + r["out"] * 1200000
    asked = [{a["question"] for a in answers if a["arm"] == arm} for arm in ("here", "there")]
    assert asked[0] == asked[1] and len(asked[0]) == 20
    # asks that were under way when a run was given up are billed too
    billed = sum(r["bill_pico"] for r in there) + sum(a["bill_pico"] for a in answers if a["arm"] == "there")
    assert billed / 1e12 <= method["against"]["spent_usd"] + 1e-12 and method["against"]["spent_usd"] < 5
    assert b"to the last digit" in ok("study", "verify", out)
    for name in ("raw.jsonl", "method.json", "results.csv", "report.html"):
        assert SECRET not in (out / name).read_text(encoding="utf-8")
    assert "service" in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("cap", ["0", "0.0008", "0.004"] if NIGHTLY else ["0.0008"])
def test_the_cap_is_never_passed(server, tmp_path, own_home, cap):
    out = tmp_path / "out"
    method, runs, requests, answers = study(server, out, own_home, "/v1", "--cap", cap)
    assert method["against"]["spent_usd"] <= float(cap)
    bills = [r["bill_pico"] for r in requests if r["bill_pico"] > 0] + [a["bill_pico"] for a in answers]
    assert sum(b for b in bills if b > 0) / 1e12 <= float(cap) + 1e-12
    assert "spending cap" in (out / "report.html").read_text(encoding="utf-8")
    assert {r["arm"] for r in runs.values()} >= {"here"}
    if cap == "0":
        assert method["against"]["spent_usd"] == 0


def test_a_service_that_is_not_there(tmp_path):
    done = run("study", "--smoke", "--out", tmp_path / "x", "--against", "http://127.0.0.1:9/v1", "--price-row", ROW)
    assert done.returncode == 4 and not (tmp_path / "x" / "raw.jsonl").exists()
