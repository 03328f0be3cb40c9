"""hearth study bet: the table of the study it comes from, to the dollar, and the same sums in Python."""
import json
import re

import pytest

from hearth_cli import ok, one_line, run

DAY = ["--day", "2026-11-22"]  # an introductory price ends with the year

# Dollars a year at one round trip a day, at 50 tokens/s, and at the machine's own pace.
TABLE = {
    "anthropic/claude-fable-5": (32850, 94608, 47549),
    "anthropic/claude-opus-5": (16425, 47304, 23775),
    "openai/gpt-5.6-sol": (19162, 55188, 27737),
    "moonshotai/kimi-k3": (9855, 28382, 14265),
    "anthropic/claude-sonnet-5": (9855, 28382, 14265),
    "openai/gpt-5.6-terra": (7665, 22075, 11095),
    "google/gemini-3.1-pro-preview": (7665, 22075, 11095),
    "x-ai/grok-4.5": (4380, 12614, 6340),
    "anthropic/claude-haiku-4-5": (3285, 9461, 4755),
    "google/gemini-3.7-flash@intro": (2464, 7096, 3566),
    "deepseek/deepseek-v4-pro": (714, 2058, 1034),
    "deepseek/deepseek-v4-pro@other-source": (2858, 8231, 4137),
    "openai/gpt-5.6-luna": (766, 2208, 1109),
    "fireworks/gpt-oss-120b": (411, 1183, 594),
    "deepseek/deepseek-v4-flash": (230, 662, 333),
    "openrouter/deepseek-r1-0528": (1451, 4179, 2100),
    "openai/gpt-5": (6159, 17739, 8915),
    "google/gemini-2.5-pro": (6159, 17739, 8915),
    "anthropic/claude-opus-4-1": (49275, 141912, 71324),
}
EVEN = {"anthropic/claude-opus-5": 0.52, "openai/gpt-5.6-sol": 0.45, "openai/gpt-5.6-luna": 11.15,
        "deepseek/deepseek-v4-flash": 37.18}


def bet(*args):
    return json.loads(ok("study", "bet", "--json", *DAY, *args))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return json.loads(ok("study", "bet", "--json", *DAY, env={"HEARTH_HOME": str(tmp_path_factory.mktemp("h"))}))


def readings(api):
    return {r["pace"]: r for r in api["readings"]}


def test_the_table_to_the_dollar(whole):
    apis = {a["api"]: readings(a) for a in whole["apis"]}
    for name, dollars in TABLE.items():
        got = tuple(round(apis[name][p]["bill"]) for p in ("one-a-day", "saturated", "own"))
        assert got == dollars, name
    for name, trips in EVEN.items():
        assert round(apis[name]["one-a-day"]["turns_at"]["trips_a_day"], 2) == trips


def test_the_table_as_text_has_the_same_dollars():
    text = ok("study", "bet", *DAY).decode()
    for name, dollars in TABLE.items():
        row = next(line for line in text.splitlines() if line.split(" ")[0] == name)
        assert [int(n.replace(",", "")) for n in re.findall(r" ([\d,]+)  +\d+\.\d\d\b", row)] == list(dollars), row


def test_verdicts(whole):
    assert whole["price"] == 8549 and whole["tokens"] == 1500000 and len(whole["sheet_sha256"]) == 64
    said = {a["api"]: a["verdict"] for a in whole["apis"]}
    assert said["anthropic/claude-opus-5"] == said["openai/gpt-5.6-sol"] == "FALSE"
    assert said["deepseek/deepseek-v4-flash"] == said["openai/gpt-5.6-luna"] == "TRUE"
    assert said["openai/gpt-5.6-terra"] == "the pace decides"
    terra = readings(next(a for a in whole["apis"] if a["api"] == "openai/gpt-5.6-terra"))
    assert terra["one-a-day"]["verdict"] == "barely TRUE" and terra["saturated"]["verdict"] == "FALSE"


def test_variants():
    opus = readings(bet("--api", "opus-5")["apis"][0])
    assert opus["batch"]["bill"] == 8212.5 and round(opus["batch"]["times_machine"], 2) == 0.96
    assert round(opus["short"]["bill"]) == 2747 and round(opus["cached"]["bill"]) == 283
    sol = readings(bet("--api", "openai/gpt-5.6-sol")["apis"][0])
    assert round(sol["short"]["bill"]) == 2748 and round(sol["cached"]["bill"]) == 285
    flash = readings(bet("--api", "deepseek-v4-flash")["apis"][0])
    assert flash["batch"]["bill"] is None and flash["batch"]["unknown"]
    assert round(flash["own"]["trips"]) == 528


def test_every_line_of_the_arithmetic_adds_up():
    text = ok("study", "bet", "--api", "claude-opus-5", *DAY).decode()
    assert "365 x 1,500,000 = 547,500,000 tokens each way" in text
    assert "547.5 M x $5 + 547.5 M x $25 = $2,737.50 + $13,687.50 = $16,425.00" in text
    assert "$16,425.00 / $8,549 = 1.92 times the machine: FALSE" in text
    assert "below 0.52 trips a day" in text and text.count("with any of:") == 6
    assert "verdict: FALSE at every pace" in text and "any number of streams" in text
    for line in re.findall(r"= \$([\d,.]+) \+ \$([\d,.]+) = \$([\d,.]+)", text):
        a, b, c = (float(x.replace(",", "")) for x in line)
        assert abs(a + b - c) < 0.015, line


def test_what_turns_a_verdict_turns_it():
    """Each value at which the verdict is said to turn is put in: the bill is then the price."""
    for api in ("anthropic/claude-opus-5", "openai/gpt-5.6-luna"):
        turn = readings(bet("--api", api)["apis"][0])["one-a-day"]["turns_at"]
        price = turn["machine_price"]
        for args in (["--tokens", str(round(turn["tokens_of_the_works"]))], ["--price", f"{price:.2f}"]):
            assert abs(readings(bet("--api", api, *args)["apis"][0])["one-a-day"]["times_machine"] - 1) < 1e-4
        turn = readings(bet("--api", api)["apis"][0])["saturated"]["turns_at"]
        again = readings(bet("--api", api, "--stream", str(turn["stream_tokens_per_s"]))["apis"][0])
        assert abs(again["saturated"]["times_machine"] - 1) < 1e-4


def test_hardware_by_words():
    done = run("study", "bet", "--hardware", "Mac Studio M3 Ultra 512GB")
    assert done.returncode == 2 and done.stdout == b""
    assert "(essay)" in done.stderr.decode() and "32c/80g" in done.stderr.decode()
    assert bet("--hardware", "studio ESSAY")["price"] == 8549
    assert bet("--hardware", "mac studio m3 ultra 512gb (essay)")["price"] == 8549
    assert bet("--hardware", "32c/80g")["price"] == 9499
    done = run("study", "bet", "--hardware", "pdp-11")
    assert done.returncode == 3 and "pdp-11" in one_line(done)
    assert run("study", "bet", "--api", "gemini").returncode == 2


def test_a_machine_with_gaps():
    spark = bet("--hardware", "DGX Spark", "--api", "luna")
    own = readings(spark["apis"][0])["own"]
    assert own["bill"] is None and "--prefill" in own["unknown"] and spark["prefill_tokens_per_s"] is None
    own = readings(bet("--hardware", "DGX Spark", "--api", "luna", "--prefill", "100", "--decode", "10")["apis"][0])
    assert round(own["own"]["trips"], 6) == round(31536000 / (15000 + 150000), 6)
    mini = bet("--hardware", "Mac mini base", "--api", "luna", "--pace", "one-a-day")["apis"][0]
    assert mini["verdict"] is None and "--price" in mini["readings"][0]["unknown"]
    assert bet("--hardware", "Mac mini base", "--api", "luna", "--price", "500")["apis"][0]["verdict"]
    assert bet("--hardware", "cloud vm h100")["price"] == 2.49 * 8760


def test_pace_and_tokens():
    one = bet("--api", "opus-5", "--pace", "own", "--tokens", "3000000")["apis"][0]
    assert [r["pace"] for r in one["readings"]] == ["own"] and one["verdict"] == "FALSE"
    assert round(one["readings"][0]["bill"]) == 23775  # a year of the machine is a year, however long the works
    assert bet("--api", "opus-5", "--tokens", "3000000")["apis"][0]["readings"][0]["bill"] == 32850


def test_electricity(whole):
    assert round(whole["electricity_a_year"]) == 390
    assert round(bet("--load-watts", "250")["electricity_a_year"]) == 372
    assert round(bet("--load-watts", "227", "--kwh-price", "0.30")["electricity_a_year"]) == 597


def test_introductory_prices_end():
    flash = {d: bet("--api", "gemini-3.7-flash", "--day", d)["apis"][0] for d in ("2026-12-31", "2027-01-01")}
    assert flash["2026-12-31"]["api"].endswith("@intro") and not flash["2027-01-01"]["api"].endswith("@intro")
    bills = [f["readings"][0]["bill"] for f in flash.values()]
    assert bills == [2463.75, 4927.5]


def test_bad_words():
    for args in (["--price", "much"], ["--day", "tomorrow"], ["--tokens", "0"], ["--pace", "slow"]):
        done = run("study", "bet", *args)
        assert done.returncode == 2 and done.stdout == b""
        one_line(done)
