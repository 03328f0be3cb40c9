"""hearth key and hearth usage, through the program; the store itself is tested in tests/store."""
import json
import os
import re
import sqlite3
import time

import pytest

from hearth_cli import Terminal, ok, one_line, run


@pytest.fixture
def home(tmp_path):
    return {"HEARTH_HOME": str(tmp_path / "home"), "TZ": "UTC"}


def make(home, name, *options):
    return json.loads(ok("key", "create", name, *options, "--json", env=home))


def listed(home, *options):
    return json.loads(ok("key", "list", "--json", *options, env=home))


def put_requests(home, rows):
    """Rows as a server would have written them: (key, model, started, tokens in, cached, out, finish)."""
    with sqlite3.connect(os.path.join(home["HEARTH_HOME"], "hearth.db")) as db:
        run_id = db.execute("INSERT INTO run(pid, started, ended) VALUES(1, 1, 1)").lastrowid
        for i, (key, model, started, tokens_in, cached, out, finish) in enumerate(rows):
            day = int(time.strftime("%Y%m%d", time.gmtime(started)))
            db.execute(
                "INSERT INTO request(run, seq, key, model, dialect, endpoint, day, started_ms, finished_ms, prompt, "
                "tokens_in, cached, tokens_out, queue_s, prefill_s, decode_s, finish) "
                "VALUES(?,?,?,?,'openai','/v1',?,?,?,?,?,?,?,0.25,0.5,1.25,?)",
                (run_id, i, key, model, day, started * 1000, started * 1000, tokens_in, tokens_in, cached, out, finish))
    db.close()


def test_create_prints_the_key_alone(home):
    done = run("key", "create", "anna", env=home)
    assert done.returncode == 0
    assert re.fullmatch(rb"hk-[0-9A-Za-z]{8}-[0-9A-Za-z]{43}\n", done.stdout)
    assert '"anna"' in one_line(done)
    secret = done.stdout.strip().split(b"-")[2]
    for folder, _, names in os.walk(home["HEARTH_HOME"]):
        for name in names:
            with open(os.path.join(folder, name), "rb") as f:
                assert secret not in f.read(), name
    assert os.stat(home["HEARTH_HOME"]).st_mode & 0o777 == 0o700
    assert os.stat(os.path.join(home["HEARTH_HOME"], "hearth.db")).st_mode & 0o777 == 0o600


def test_everything_is_kept(home):
    made = make(home, "anna", "--budget", "200k-tokens/day", "--budget", "3M/month", "--rate", "2/s", "--models",
                "bard, qwen*", "--priority", "-3", "--expires", "2030-01-02", "--admin")
    key = listed(home)[0]
    assert made.pop("key").startswith(f"hk-{key['id']}-")
    assert {k: v for k, v in key.items() if k in made} == made
    assert key["budget"] == {"day": 200000, "month": 3000000}
    assert key["rate_per_minute"] == 120 and key["models"] == ["bard", "qwen*"] and key["priority"] == -3
    assert key["expires"] == 1893542400 and key["admin"] is True and key["revoked"] is None
    table = ok("key", "list", env=home).decode()
    for word in ("anna", key["id"], "2030-01-02", "0 of 200,000/day, 0 of 3,000,000/month", "120/min", "admin"):
        assert word in table
    assert len(table.splitlines()) == 2


def test_names_are_taken_once(home):
    first = make(home, "anna")
    done = run("key", "create", "anna", env=home)
    assert done.returncode == 2 and done.stdout == b"" and "already" in one_line(done)
    revoked = json.loads(ok("key", "revoke", "anna", "--json", env=home))
    assert revoked["id"] == first["id"] and revoked["revoked"] >= first["created"]
    assert listed(home) == []
    again = make(home, "anna")
    assert again["id"] != first["id"]
    assert [k["id"] for k in listed(home, "--all")] == [first["id"], again["id"]]
    assert "revoked" in ok("key", "list", "-a", env=home).decode()


def test_rotate_keeps_all_but_the_secret(home):
    made = make(home, "anna", "--rate", "5")
    turned = json.loads(ok("key", "rotate", "anna", "--overlap", "1h", "--json", env=home))
    assert turned["key"] != made["key"] and turned["id"] == made["id"] and turned["rate_per_minute"] == 5
    assert ok("key", "rotate", made["id"], env=home).decode().startswith(f"hk-{made['id']}-")


@pytest.mark.parametrize("args", [
    ["key", "create"], ["key", "create", "a", "b"], ["key", "create", ""], ["key", "create", "local"],
    ["key", "create", "a\nb"], ["key", "create", "x" * 65], ["key", "create", "a", "--models", "x" * 600],
    ["key", "create", "a", "--budget", "5"], ["key", "create", "a", "--budget", "-5/day"],
    ["key", "create", "a", "--budget", "1.5/day"], ["key", "create", "a", "--budget", "5k/year"],
    ["key", "create", "a", "--budget", "5/day", "--budget", "6/day"], ["key", "create", "a", "--budget", "1e9/day"],
    ["key", "create", "a", "--rate", "0"], ["key", "create", "a", "--rate", "5/h"],
    ["key", "create", "a", "--rate", "99999999"], ["key", "create", "a", "--expires", "soon"],
    ["key", "create", "a", "--expires", "2030-02-30"], ["key", "create", "a", "--expires", "0d"],
    ["key", "create", "a", "--expires", "-1d"], ["key", "rotate", "a", "--overlap", "1"],
    ["key", "create", "a", "--priority", "1000"], ["usage", "--since", "never"], ["usage", "--by", "moon"],
])
def test_wrong_usage(home, args):
    done = run(*args, env=home)
    assert done.returncode == 2 and done.stdout == b"", done
    one_line(done)
    assert not os.path.exists(os.path.join(home["HEARTH_HOME"], "hearth.db")) or listed(home, "--all") == []


@pytest.mark.parametrize("args", [["key", "revoke", "nobody"], ["key", "rotate", "nobody"],
                                  ["usage", "--key", "nobody"]])
def test_no_such_key(home, args):
    done = run(*args, env=home)
    assert done.returncode == 3 and '"nobody"' in one_line(done)


def test_nothing_there_is_nothing_made(home):
    for args in (["key", "list"], ["usage"]):
        done = run(*args, env=home)
        assert done.returncode == 0 and done.stdout == b"" and one_line(done)
    assert listed(home) == [] and json.loads(ok("usage", "--json", env=home)) == []
    assert not os.path.exists(home["HEARTH_HOME"])


def test_a_file_of_something_else(home):
    os.mkdir(home["HEARTH_HOME"])
    path = os.path.join(home["HEARTH_HOME"], "hearth.db")
    with open(path, "w", encoding="utf-8") as f:
        f.write("these are not the tables that you are looking for " * 100)
    for args in (["key", "list"], ["key", "create", "anna"], ["usage"]):
        done = run(*args, env=home)
        assert done.returncode == 7 and done.stdout == b"" and "hearth.db" in done.stderr.decode()


def test_usage(home):
    make(home, "anna", "--budget", "1k/day")
    make(home, "bert")
    now = int(time.time())
    put_requests(home, [
        (1, "bard", now, 100, 40, 20, "end"), (1, "qwen", now, 1000, 0, 5, "cancelled"),
        (2, "bard", now - 40 * 86400, 7, 0, 3, "crashed"), (0, "bard", now, 1, 0, 1, None),
    ])
    rows = json.loads(ok("usage", "--json", env=home))
    assert [r["key"] for r in rows] == ["anna", "bert", "local"]
    assert rows[0] == {"key": "anna", "requests": 2, "running": 0, "failed": 0, "tokens_in": 1100,
                       "tokens_cached": 40, "tokens_out": 25, "queue_seconds": 0.5, "prefill_seconds": 1,
                       "decode_seconds": 2.5, "joules": None, "boundary": None}
    assert rows[1]["failed"] == 1 and rows[2]["running"] == 1
    by_model = json.loads(ok("usage", "--by", "model", "--json", env=home))
    assert [(r["model"], r["requests"]) for r in by_model] == [("qwen", 1), ("bard", 3)]
    by_day = json.loads(ok("usage", "--by", "day", "--json", env=home))
    assert [r["day"] for r in by_day] == sorted(r["day"] for r in by_day) and len(by_day) == 2
    assert by_day[1]["day"] == time.strftime("%Y-%m-%d", time.gmtime(now))
    assert [r["key"] for r in json.loads(ok("usage", "--since", "7d", "--json", env=home))] == ["anna", "local"]
    assert [r["key"] for r in json.loads(ok("usage", "--until", "7d", "--json", env=home))] == ["bert"]
    assert json.loads(ok("usage", "--key", "local", "--model", "bard", "--json", env=home))[0]["tokens_in"] == 1
    assert json.loads(ok("usage", "--model", "nope", "--json", env=home)) == []
    key = listed(home)[0]
    assert key["used"]["day"] == 1125 and abs(key["last_used"] - now) < 2
    assert "1,125 of 1,000/day" in ok("key", "list", env=home).decode()


def test_usage_as_a_table(home):
    make(home, "Zoë")
    put_requests(home, [(1, "bard", 10**9, 3000, 0, 1000, "end"), (0, "bard", 10**9, 900, 0, 100, "error")])
    done = run("usage", env=home)
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 4 and "█" not in done.stdout.decode() and "\x1b" not in done.stdout.decode()
    assert lines[1].split()[:3] == ["Zoë", "1", "3,000"] and lines[3].split()[:3] == ["all", "2", "3,900"]
    assert "1 failed" in one_line(done)
    terminal = Terminal("usage", home=home["HEARTH_HOME"], columns=120)
    assert terminal.end() == 0
    bars = re.findall("█+", terminal.text.decode())
    assert [len(bar) for bar in bars] == [16, 4]
