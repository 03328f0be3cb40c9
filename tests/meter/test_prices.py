"""hearth prices: the sheet that comes with the program, and others."""
import csv
import hashlib
import json

import pytest

from hearth_cli import ROOT, ok, one_line, run

HEAD = "provider,model,input_usd_per_mtok,output_usd_per_mtok,as_of,source"
ROW = "acme,one,1,2,2026-01-01,somewhere"
SHEET = sorted((ROOT / "data" / "prices").glob("*.csv"))[-1]


def listing():
    return json.loads(ok("prices", "list", "--json"))


def test_the_sheet_inside_is_the_file():
    got = listing()
    assert got["sha256"] == hashlib.sha256(SHEET.read_bytes()).hexdigest() and not got["imported"]
    rows = list(csv.DictReader(SHEET.open(encoding="utf-8")))
    assert len(rows) == len(got["rows"]) >= 24
    for want, row in zip(rows, got["rows"]):
        assert row["id"].startswith(f"{want['provider']}/{want['model']}") and row["source"] == want["source"]
        assert row["input_usd_per_mtok"] == float(want["input_usd_per_mtok"])
        assert row["cached_input_usd_per_mtok"] == (float(want["cached_input_usd_per_mtok"])
                                                    if want["cached_input_usd_per_mtok"] else None)
        assert row["as_of"] and row["source"] and row["tier"]


def test_import_and_back(tmp_path, own_home):
    inside = listing()
    new = tmp_path / "new.csv"
    new.write_text(f"{HEAD}\n{ROW}\n", encoding="utf-8")
    done = run("prices", "import", new)
    digest = hashlib.sha256(new.read_bytes()).hexdigest()
    assert done.returncode == 0 and digest in done.stderr.decode()
    assert listing()["sha256"] == digest and listing()["imported"] and len(listing()["rows"]) == 1
    assert (own_home / "prices.csv").stat().st_mode & 0o777 == 0o600
    (own_home / "prices.csv").unlink()
    assert listing() == inside


@pytest.mark.parametrize("text, word", [
    ("", "no price sheet"),
    ("a,b\n1,2\n", "no price sheet"),
    (HEAD + "\n", "without rows"),
    (HEAD + "\nacme,one,1\n", "new.csv:2: 3 fields"),
    (HEAD + "\n" + ROW.replace(",1,", ",cheap,") + "\n", "new.csv:2: input_usd_per_mtok"),
    (HEAD + "\n" + ROW.replace(",1,", ",0.1234567,") + "\n", "six places"),
    (HEAD + "\n" + ROW.replace(",1,", ",-1,") + "\n", "no price"),
    (HEAD + "\n" + ROW.replace("2026-01-01", "yesterday") + "\n", "new.csv:2: as_of"),
    (HEAD + "\n" + ROW.replace("acme", "") + "\n", "needs provider"),
    (HEAD + "\n" + ROW + "\n" + ROW + "\n", "new.csv:3: acme/one is in line 2"),
    (HEAD + '\n"acme,one,1,2\n', "never closed"),
    (HEAD + "\n\0,one,1,2,2026-01-01,x\n", "NUL"),
])
def test_a_bad_sheet_is_refused_and_changes_nothing(tmp_path, text, word):
    before = listing()
    new = tmp_path / "new.csv"
    new.write_text(text, encoding="utf-8")
    done = run("prices", "import", new)
    assert done.returncode == 7 and word in one_line(done)
    assert listing() == before


def test_diff(tmp_path):
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    old.write_text(f"{HEAD}\n{ROW}\nacme,two,3,4,2026-01-01,x\n", encoding="utf-8")
    new.write_text(f"{HEAD}\nacme,one,1.5,2,2026-02-01,x\nacme,three,3,4,2026-01-01,x\n", encoding="utf-8")
    lines = [line.split() for line in ok("prices", "diff", old, new).decode().splitlines()]
    assert lines[1][:6] == ["changed", "acme/one", "1", "to", "1.5", "(+50"]
    assert [line[:2] for line in lines[1:]] == [["changed", "acme/one"], ["new", "acme/three"], ["gone", "acme/two"]]
    assert b"same prices" in run("prices", "diff").stderr
    assert run("prices", "diff", tmp_path / "none.csv").returncode == 3


def test_age_is_said():
    done = run("prices", "list")
    assert done.returncode == 0 and b"older than 90 days" in done.stderr
