"""What answers and the ledger say of energy: declared watts, a fake processor's counter, and no meter at all."""
import json
import math
import os
import threading
import time

import pytest

from hearth_api import needs_bard, serving

pytestmark = needs_bard

YES = {"X-Hearth-Energy": "yes"}
CHAT = {"messages": [{"role": "user", "content": "To be"}], "max_tokens": 12, "ignore_eos": True}
REQUESTS = 'energy_requests_joules_total{boundary="declared"}'
NOWHERE = ["--meter-from", "root=/nonexistent"]


class Counter(threading.Thread):
    """A processor in a folder: 50 W, told as powercap tells it, by a counter that begins again two seconds on."""

    def __init__(self, root):
        super().__init__(daemon=True)
        self.zone = root / "sys/class/powercap/intel-rapl:0"
        self.zone.mkdir(parents=True)
        self.most = 65_712_999_613
        (self.zone / "name").write_text("package-0\n")
        (self.zone / "max_energy_range_uj").write_text(f"{self.most}\n")
        self.began, self.stopped, self.gone = time.monotonic(), threading.Event(), False
        self.tell()
        self.start()

    def tell(self):
        uj = (self.most - 100_000_000 + int((time.monotonic() - self.began) * 50e6)) % (self.most + 1)
        temporary = self.zone / ".new"
        temporary.write_text(f"{uj}\n")
        os.replace(temporary, self.zone / "energy_uj")

    def run(self):
        while not self.stopped.wait(0.005):
            if not self.gone:
                self.tell()

    def vanish(self):
        self.gone = True
        time.sleep(0.05)
        (self.zone / "energy_uj").unlink()


@pytest.fixture(scope="module")
def declared(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("declared"), "--watts", "idle=10,load=110", *NOWHERE) as s:
        yield s


def energy_in(answer):
    usage = answer.json().get("usage") or answer.json()
    return usage["energy"]


def usage(s, n):
    """The ledger by key, once it has n settled requests: they are written a little later."""
    while True:
        rows = json.loads(s.command("usage", "--json"))
        if rows and rows[0]["requests"] - rows[0]["running"] >= n:
            return rows
        time.sleep(0.05)


ASKED = [
    ("/v1/chat/completions", CHAT),
    ("/v1/completions", {"prompt": "To be", "max_tokens": 12}),
    ("/v1/responses", {"input": "To be", "max_output_tokens": 12}),
    ("/v1/messages", {**CHAT, "model": "bard"}),
    ("/api/chat", {**CHAT, "model": "bard", "stream": False, "options": {"num_predict": 12}}),
    ("/api/generate", {"model": "bard", "prompt": "To be", "stream": False, "options": {"num_predict": 12}}),
    ("/completion", {"prompt": "To be", "n_predict": 12}),
    ("/v1/embeddings", {"input": ["To be, or not to be", "that is the question"]}),
    ("/api/embed", {"model": "bard", "input": "To be, or not to be"}),
]


@pytest.mark.parametrize("path, body", ASKED)
def test_each_dialect_tells(declared, path, body):
    answer = declared.ask("POST", path, body, YES)
    assert answer.status == 200, answer.body
    e = energy_in(answer)
    assert e["status"] == e["boundary"] == "declared" and e["why"] is None
    assert 0 < e["joules"] < 1e4 and 0 < e["share"] <= 1 + 1e-9 and e["uncertainty"] >= 0
    header = answer.headers["X-Hearth-Energy"]
    assert header.startswith("joules=") and "boundary=declared" in header
    assert math.isclose(float(header.split(";")[0][7:]), e["joules"], rel_tol=1e-5)
    plain = declared.ask("POST", path, body)
    assert "energy" not in json.dumps(plain.json()) and "X-Hearth-Energy" not in plain.headers


@pytest.mark.parametrize("path, body", [
    ("/v1/chat/completions", {**CHAT, "stream": True, "stream_options": {"include_usage": True}}),
    ("/v1/messages", {**CHAT, "model": "bard", "stream": True}),
])
def test_streams_tell_at_their_end(declared, path, body):
    events = declared.ask("POST", path, body, YES).events()
    told = [e["usage"]["energy"] for e in events if e.get("usage") and "energy" in e["usage"]]
    assert len(told) == 1 and told[0]["joules"] > 0


def test_a_bare_vector_tells_in_its_header(declared):
    answer = declared.ask("POST", "/api/embeddings", {"model": "bard", "prompt": "To be"}, YES)
    assert set(answer.json()) == {"embedding"} and answer.headers["X-Hearth-Energy"].startswith("joules=")
    refused = declared.ask("POST", "/v1/embeddings", {"input": "To be", "dimensions": 100000}, YES)
    assert refused.status == 400 and "X-Hearth-Energy" not in refused.headers


def test_several_answers_are_added_up(declared):
    e = energy_in(declared.ask("POST", "/v1/chat/completions", {**CHAT, "n": 3}, YES))
    assert e["joules"] > 0 and e["share"] <= 1 + 1e-9


def test_figures_agree(declared):
    """The sum over the ledger is what the meter gave to requests, and all of it is what it measured."""
    told = sum(energy_in(declared.ask("POST", "/v1/chat/completions", CHAT, YES))["joules"] for _ in range(3))
    end = time.monotonic() + 20
    while True:
        rows = json.loads(declared.command("usage", "--json"))
        given = declared.metric(REQUESTS)
        if rows[0]["joules"] is not None and math.isclose(rows[0]["joules"], given, rel_tol=1e-6):
            break
        assert time.monotonic() < end, (rows, given)
        time.sleep(0.1)
    assert given >= told


def measured(s):
    """The energy of an answer, and how many were asked for: only where this machine keeps the counter waiting, more than one."""
    end = time.monotonic() + 60
    for asked in range(1, 1000):
        e = energy_in(s.post("/v1/chat/completions", CHAT))
        assert e["boundary"] == "parts" and (e["status"] == "measured" or "still" in e["why"]), e
        if e["status"] == "measured":
            return e, asked
        assert time.monotonic() < end, e


def test_a_counter_is_measured(tmp_path):
    counter = Counter(tmp_path / "tree")
    with serving(tmp_path / "home", "--energy", "--meter-from", f"root={tmp_path}/tree") as s:
        e, before = measured(s)
        while counter.began + 4 > time.monotonic():
            time.sleep(0.05)
        _, behind = measured(s)
        assert 0 < e["joules"] < 50 * 60
        counter.vanish()
        lost = energy_in(s.post("/v1/chat/completions", CHAT))
        assert lost["status"] == "not_measured" and lost["joules"] is None
        assert "gone" in lost["why"]
        rows = usage(s, before + behind + 1)
        assert [r["joules"] for r in rows] == [None]  # not of the last one: no sum for all
    counter.stopped.set()


@pytest.mark.parametrize("options", [NOWHERE, ["--meter", "off"]])
def test_not_measured(tmp_path, options):
    with serving(tmp_path, *options) as s:
        answer = s.ask("POST", "/v1/chat/completions", CHAT, YES)
        e = energy_in(answer)
        assert e["status"] == "not_measured" and e["boundary"] == "none" and e["why"]
        assert [e[k] for k in ("joules", "marginal_joules", "solo_joules", "share", "uncertainty")] == [None] * 5
        assert answer.headers["X-Hearth-Energy"] == "not-measured"
        assert "hearth_energy_joules_total" not in s.get("/metrics").body.decode()
        assert usage(s, 1)[0]["joules"] is None


def test_a_client_that_leaves_is_metered_too(declared):
    before = declared.metric(REQUESTS)
    c, response = declared.open("POST", "/v1/chat/completions", {**CHAT, "max_tokens": 4000, "stream": True})
    response.read(10)
    c.close()
    declared.wait_metric(REQUESTS, lambda x: x > before)
