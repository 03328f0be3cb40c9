"""hearth cost against the same sums in exact fractions, from the same ledger."""
import calendar
import csv
import datetime
import io
import json
import random
import re
import sqlite3
import time
from fractions import Fraction

import pytest

from hearth_cli import ROOT, Terminal, ok, one_line, run

SHEET = sorted((ROOT / "data" / "prices").glob("*.csv"))[-1]
CHEAP, FLAGSHIP, OPEN = "openai/gpt-5.6-luna", "anthropic/claude-opus-5", "openrouter/llama-3.1-8b-instruct"
DAY = 86400000
UNTIL = calendar.timegm((2026, 11, 20, 0, 0, 0)) * 1000
SINCE = UNTIL - 10 * DAY
SPAN = ["--since", "2026-11-10", "--until", "2026-11-20"]


def price(name):
    for row in csv.DictReader(SHEET.open(encoding="utf-8")):
        if f"{row['provider']}/{row['model']}" == name and row["tier"] == "standard":
            inp, out = Fraction(row["input_usd_per_mtok"]), Fraction(row["output_usd_per_mtok"])
            return inp, Fraction(row["cached_input_usd_per_mtok"] or inp), out
    raise KeyError(name)


def bill(name, rows):
    inp, cached, out = price(name)
    return sum(((r["in"] - r["cached"]) * inp + r["cached"] * cached + r["out"] * out) / 10**6 for r in rows)


@pytest.fixture
def ledger(own_home, monkeypatch):
    """Some hundred requests of three keys and two models over ten days of UTC."""
    monkeypatch.setenv("TZ", "UTC")
    for name in ("anna", "ben"):
        ok("key", "create", name)
    db = sqlite3.connect(own_home / "hearth.db")
    keys = dict(db.execute("SELECT name, id FROM key").fetchall())
    keys["local"] = 0
    db.execute("INSERT INTO run(pid, started, ended) VALUES (1, 0, 1)")
    rng, rows = random.Random(6), []
    for seq in range(300):
        prompt = rng.randrange(1, 5000)
        begin = SINCE + rng.randrange(10 * DAY - 200000)
        row = {"key": rng.choice(list(keys)), "model": rng.choice(["bard", "Llama-3.1-8B-Instruct-Q4_K_M"]),
               "begin": begin, "end": begin + rng.randrange(10, 90000), "in": prompt,
               "cached": rng.randrange(prompt + 1), "out": rng.randrange(2000), "queue": rng.choice([0, 0, 1.5])}
        rows.append(row)
        day = int(time.strftime("%Y%m%d", time.gmtime(begin / 1000)))
        db.execute("INSERT INTO request(run, seq, key, model, dialect, endpoint, day, started_ms, finished_ms, prompt,"
                   " tokens_in, cached, tokens_out, queue_s, prefill_s, decode_s, finish) VALUES"
                   " (1,?,?,?,'openai','/v1/chat/completions',?,?,?,?,?,?,?,?,0,0,'end')",
                   (seq, keys[row["key"]], row["model"], day, begin - int(row["queue"] * 1000), row["end"], prompt,
                    prompt, row["cached"], row["out"], row["queue"]))
    db.commit()
    db.close()
    return rows


def declare(*args):
    ok("cost", "setup", *args)


def cost(*args):
    return json.loads(ok("cost", "--json", *SPAN, *args), parse_float=Fraction)


def busy_spans(rows):
    spans = []
    for begin, end in sorted((r["begin"], r["end"]) for r in rows):
        if spans and begin <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], end)
        else:
            spans.append([begin, end])
    return spans


def cents(x):
    return round(Fraction(x) * 100)


WHOLE = ["--price", "1234.56", "--years", "3", "--resale", "400", "--kwh-price", "0.31", "--idle-watts", "9",
         "--load-watts", "250", "--hours", "1.5", "--hour-price", "20"]


@pytest.mark.parametrize("by", ["key", "model", "day"])
def test_every_amount_to_the_cent(ledger, by):
    declare(*WHOLE)
    got = cost("--by", by)
    group = {"key": lambda r: r["key"], "model": lambda r: r["model"],
             "day": lambda r: time.strftime("%Y-%m-%d", time.gmtime(r["begin"] / 1000 - r["queue"]))}[by]
    spans = busy_spans(ledger)
    busy = sum(e - b for b, e in spans)
    assert got["busy_ms"] == busy and got["electricity_is"] == "declared"
    whole = {"electricity_work": Fraction(241 * busy, 3600 * 10**6) * Fraction("0.31"),
             "electricity_waiting": Fraction(9 * 10 * DAY, 3600 * 10**6) * Fraction("0.31"),
             "capital": Fraction("834.56") * 10 / (3 * 365), "upkeep": Fraction(30 * 12 * 10, 365)}
    for name, amount in whole.items():
        assert cents(got["sum"][name]) == cents(amount), name
    assert cents(got["sum"]["full"]) == cents(sum(whole.values()))
    total = sum(r["end"] - r["begin"] for r in ledger)
    assert {r[by] for r in got["rows"]} == {group(r) for r in ledger}
    for row in got["rows"]:
        mine = [r for r in ledger if group(r) == row[by]]
        part = Fraction(sum(r["end"] - r["begin"] for r in mine), total)
        for name, amount in whole.items():
            assert cents(row[name]) == cents(amount * part), (row[by], name)
        assert cents(row["same_weights"]) == cents(bill(OPEN, mine))
        assert cents(row["cheap"]) == cents(bill(CHEAP, mine))
        assert cents(row["flagship"]) == cents(bill(FLAGSHIP, mine))
        assert row["tokens_in"] == sum(r["in"] for r in mine) and row["requests"] == len(mine)
    for name in [*whole, "same_weights", "cheap", "flagship", "full"]:
        assert sum(Fraction(r[name]) for r in got["rows"]) == Fraction(got["sum"][name]), name
    assert got["stand_in"] is True  # nobody hosts bard


def test_break_even(ledger):
    declare(*WHOLE)
    got = cost()
    year = Fraction(365 * DAY, got["busy_ms"])
    capital, labour = 834.56 / 3, 360
    for name in ("same_weights", "cheap", "flagship"):
        value = float(Fraction(got["sum"][name]) * year)
        fixed, work = capital + labour + 9 * 8.76 * 0.31, 241 * 8.76 * 0.31
        said = got["break_even"][name]
        if value <= work:
            assert said["utilisation"] is None and said["never"] is True
        else:
            assert abs(float(said["utilisation"]) - fixed / (value - work)) < 1e-6
            assert said["never"] == (fixed / (value - work) > 1)
    text = ok("cost", *SPAN).decode()
    assert "never" in text and "hosted prices halved" in text and "declared watts, not measured" in text


def test_what_is_not_known_is_not_zero(ledger):
    got = cost()
    assert got["electricity_is"] == "not_measured"
    for name in ("electricity_work", "electricity_waiting", "capital", "full", "sunk"):
        assert got["sum"][name] is None
    assert cents(got["sum"]["flagship"]) == cents(bill(FLAGSHIP, ledger))
    text = ok("cost", *SPAN).decode()
    assert "not known" in text and "hearth cost setup" in text
    declare("--price", "600")
    got = cost()
    assert got["sum"]["capital"] is not None and got["sum"]["full"] is None


def test_measured_energy_by_the_time_of_use(ledger, own_home):
    """Every request measured, and electricity that costs more by day."""
    db = sqlite3.connect(own_home / "hearth.db")
    db.execute("UPDATE request SET joules = seq * 100 + 0.5")
    db.commit()
    db.close()
    (own_home / "cost.toml").write_text('[tariff]\nprice-per-kwh = 0.10\n'
                                        'time-of-use = ["mon-fri 07:00-21:00 = 0.40", "23:00-01:00 = 0.05"]\n'
                                        'solar = ["12:00-13:00 = 0.5"]\nexport-price = 0.08\n', encoding="utf-8")
    got = cost()
    assert got["electricity_is"] == "measured" and got["sum"]["capital"] is None

    def kwh(at):
        t = datetime.datetime.fromtimestamp(at / 1000, datetime.timezone.utc)
        p = Fraction("0.40") if t.weekday() < 5 and 7 <= t.hour < 21 else Fraction("0.10")
        p = Fraction("0.05") if t.hour in (23, 0) else p
        return (p + Fraction("0.08")) / 2 if t.hour == 12 else p

    want = Fraction(0)
    for seq, r in enumerate(ledger):
        at, joules = r["begin"], Fraction(seq * 100) + Fraction(1, 2)
        while at < r["end"]:
            end = min(r["end"], (at // 900000 + 1) * 900000)
            want += joules * (end - at) / (r["end"] - r["begin"]) / 3600000 * kwh(at)
            at = end
    assert abs(Fraction(got["sum"]["electricity_work"]) - want) < Fraction(1, 10**6)


def test_split_to_the_cent(ledger):
    rows = list(csv.DictReader(io.StringIO(ok("cost", "split", *SPAN, "--total", "100.01").decode())))
    total = sum(r["end"] - r["begin"] for r in ledger)
    shares = {k: Fraction(sum(r["end"] - r["begin"] for r in ledger if r["key"] == k), total)
              for k in {r["key"] for r in ledger}}
    assert sum(Fraction(r["amount"]) for r in rows) == Fraction("100.01") and len(rows) == 3
    for r in rows:
        assert abs(Fraction(r["amount"]) - shares[r["key"]] * Fraction("100.01")) < Fraction(1, 100)
        assert len(r["amount"].split(".")[1]) == 2
    left = {k: s * 10001 - int(s * 10001) for k, s in shares.items()}
    more = sorted(left, key=left.get, reverse=True)[:10001 - sum(int(s * 10001) for s in shares.values())]
    for r in rows:
        assert Fraction(r["amount"]) * 100 == int(shares[r["key"]] * 10001) + (r["key"] in more)
    done = run("cost", "split", *SPAN)
    assert done.returncode == 2 and "--total" in one_line(done)
    declare(*WHOLE)
    rows = list(csv.DictReader(io.StringIO(ok("cost", "split", *SPAN).decode())))
    assert cents(sum(Fraction(r["amount"]) for r in rows)) == cents(cost()["sum"]["full"])


def test_setup_writes_what_it_was_told(own_home):
    declare(*WHOLE, "--currency", "EUR")
    text = (own_home / "cost.toml").read_text(encoding="utf-8")
    assert "purchase-price = 1234.56" in text and 'currency = "EUR"' in text and text.count("#") > 15
    assert (own_home / "cost.toml").stat().st_mode & 0o777 == 0o600
    done = run("cost", "setup", "--price", "1")
    assert done.returncode == 2 and "--force" in one_line(done)
    assert (own_home / "cost.toml").read_text(encoding="utf-8") == text
    declare("--force", "--price", "1")
    assert "purchase-price = 1 " in (own_home / "cost.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("text, word", [
    ("[machine]\nprice = 3\n", "cost.toml:2"),
    ("[machine]\npurchase-price = -3\n", "purchase-price"),
    ("[machine]\npurchase-price = 3\nresale = 4\n", "resale"),
    ("[machine]\nyears = 0\n", "years"),
    ('[tariff]\nprice-per-kwh = 1\ntime-of-use = ["mon 7-8 = 1"]\n', "time-of-use"),
    ('[tariff]\nprice-per-kwh = 1\ntime-of-use = ["mon 07:10-08:00 = 1"]\n', "quarters"),
    ('[tariff]\ntime-of-use = ["mon 07:00-08:00 = 1"]\n', "price-per-kwh is missing"),
    ('[tariff]\nprice-per-kwh = 1\nsolar = ["07:00-08:00 = 2"]\n', "solar"),
    ('[compare]\nsame-weights = ["x"]\n', "same-weights"),
    ("[tariff]\nunits-per-usd = 0\n", "units-per-usd"),
    ("nonsense", "cost.toml:1"),
])
def test_a_bad_file_is_one_clear_line(own_home, text, word):
    own_home.mkdir()
    (own_home / "cost.toml").write_text(text, encoding="utf-8")
    done = run("cost")
    assert done.returncode == 2 and word in one_line(done), done.stderr


def test_stand_ins_and_rates(ledger, own_home):
    (own_home / "cost.toml").write_text('[tariff]\ncurrency = "EUR"\nunits-per-usd = 0.9\n[compare]\n'
                                        'cheap = "groq/gpt-oss-20b"\nsame-weights = ["bard* = groq/gpt-oss-20b"]\n',
                                        encoding="utf-8")
    got = cost("--by", "model")
    rows = {r["model"]: r for r in got["rows"]}
    mine = [r for r in ledger if r["model"] == "bard"]
    assert got["currency"] == "EUR" and got["stand_in"] is False
    assert cents(rows["bard"]["same_weights"]) == cents(bill("groq/gpt-oss-20b", mine) * 9 / 10)
    assert rows["bard"]["same_weights"] == rows["bard"]["cheap"]


def test_an_empty_ledger():
    done = run("cost")
    assert done.returncode == 0 and b"nothing was used" in done.stderr


def test_compare():
    text = ok("cost", "compare", "--hardware", "essay,DGX Spark").decode()
    assert "8549" in text and "4699" in text and text.count("\n") == 6
    row = next(line for line in text.splitlines() if "essay" in line)
    assert " 9.835" in row  # 261.8 W / 26.62 tokens a second
    assert run("cost", "compare", "--hardware", "mac studio m3").returncode == 2
    assert run("cost", "compare", "--hardware", "abacus").returncode == 3
    assert len(ok("cost", "compare").decode().splitlines()) > 20


def on_a_terminal(home, columns, *args):
    t = Terminal("cost", *SPAN, *args, home=home, columns=columns)
    assert t.end() == 0
    return re.sub(r"\x1b\[\d*m", "", t.text.decode().replace("\r", ""))


def test_charts(ledger, own_home):
    """Bars of one scale on a terminal, the longest for what is most; days as columns; nothing of it in a pipe."""
    declare(*WHOLE)
    text = on_a_terminal(own_home, 120, "--by", "day")
    bars = dict(re.findall(r"^(here, full view|here, sunk view|same weights|cheap|flagship) +[\d.]+  (\S+)$", text, re.M))
    got = cost()["sum"]
    names = {"here, full view": "full", "here, sunk view": "sunk", "same weights": "same_weights", "cheap": "cheap",
             "flagship": "flagship"}
    assert set(bars) == set(names)
    most = max(Fraction(got[n]) for n in names.values())
    for name, bar in bars.items():
        assert abs(bar.count("█") - int(40 * Fraction(got[names[name]]) / most)) <= 1, name
    assert "here, full view, by day, 2026-11-10 to 2026-11-19\n" in text and "flagship, by day, " in text
    labels = re.findall(r"^2026-11-\d\d", text, re.M)
    assert labels == sorted(labels) and "waiting" in text.splitlines()[0]
    narrow = on_a_terminal(own_home, 70)
    table = narrow.split("\n\n")[0].splitlines()
    assert table[0].split() == ["key", "requests", "tokens", "here", "same", "weights", "cheap", "flagship"]
    assert max(map(len, table)) <= 70
    plain = ok("cost", *SPAN, "--by", "day").decode()
    assert "█" not in plain and ", by day," not in plain and "\x1b" not in plain


def test_what_is_not_known_has_no_bar(ledger, own_home):
    text = on_a_terminal(own_home, 120)
    assert re.search(r"^here, full view +not known$", text, re.M) and re.search(r"^flagship +[\d.]+  █", text, re.M)
    assert cost()["break_even"]["complete"] is False


def test_nothing_used_is_not_never(own_home):
    assert json.loads(ok("cost", "--json"))["break_even"]["flagship"]["never"] is None
