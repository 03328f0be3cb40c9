"""The page /usage: whose figures it shows, that it needs nothing from anywhere, and how it looks in a browser."""
import base64
import contextlib
import datetime
import html.parser
import json
import os
import pathlib
import pty
import random
import re
import shutil
import sqlite3
import struct
import subprocess
import termios
import time
import zlib

import pytest

from hearth_api import BARD, HEARTH, serving

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed (packaging/debian-packages-browser.txt)")
NOWHERE = ["--meter-from", "root=/nonexistent"]


def create_key(s, *args):
    key = s.command("key", "create", *args).split()[0]
    while s.get("/v1/models", Authorization=f"Bearer {key}").status != 200:
        time.sleep(0.02)  # a server notices a new key a little later
    return key


ODD = "gemma3-12b" if os.environ.get("HEARTH_SCREENSHOTS") else "<b>odd & long name of a model file that goes on</b>"


def seed(home, joules=True):
    """A month of three people's requests, some of them odd."""
    db, draw = sqlite3.connect(home / "hearth.db"), random.Random(7)
    keys = [0] + [row[0] for row in db.execute("SELECT id FROM key ORDER BY id")]
    db.execute("INSERT INTO run(id, pid, started, ended) VALUES(900, 1, 0, 0)")
    today, seq = datetime.date.today(), 0
    for back in range(30):
        day = today - datetime.timedelta(days=back)
        if back in (5, 6, 12):
            continue
        for key in keys:
            for model in ("bard", "qwen3-4b-q4_k_m", ODD):
                if draw.random() < 0.5 and back:
                    continue
                seq += 1
                n_in, n_out = draw.randrange(200, 9000), draw.randrange(50, 2500)
                cached = int(n_in * draw.random() * 0.8)
                started = int(datetime.datetime.combine(day, datetime.time(12)).timestamp() * 1000)
                db.execute(
                    "INSERT INTO request(run, seq, key, model, dialect, endpoint, day, started_ms, finished_ms, requests,"
                    " prompt, tokens_in, cached, tokens_out, queue_s, prefill_s, decode_s, finish, joules, boundary)"
                    " VALUES(900, ?, ?, ?, 'openai', '/v1', ?, ?, ?, 1, ?, ?, ?, ?, 0.1, ?, ?, ?, ?, ?)",
                    (seq, key, model, int(day.strftime("%Y%m%d")), started, started, n_in, n_in, cached, n_out,
                     n_in / 400, n_out / 25, draw.choice(["end", "end", "end", "stop", "length", "cancelled"]),
                     n_out * 12.9 if joules else None, "wall" if joules else None))
    db.commit()
    db.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    home = tmp_path_factory.mktemp("usage")
    with serving(home, *NOWHERE) as s:
        s.keys = {"anna": create_key(s, "anna"), "boss": create_key(s, "boss", "--admin")}
        seed(home)
        yield s


class Page(html.parser.HTMLParser):
    """Well nested, and what it says."""
    VOID = {"meta", "br", "link", "img", "rect"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID or (tag == "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def page(s, query="", **headers):
    answer = s.get("/usage" + query, **headers)
    assert answer.status == 200 and answer.headers["Content-Type"] == "text/html; charset=utf-8"
    return answer, Page(answer.body.decode())


def rows(text, title):
    part = text.split(f"<h2>{title}</h2>")[1].split("</table>")[0]
    return [re.findall(r"<td>(.*?)</td>", row) for row in part.split("<tr>")[2:]]


def test_it_needs_nothing_from_anywhere(served):
    answer, seen = page(served, **{"Authorization": f"Bearer {served.keys['boss']}"})
    assert "script" not in seen.tags and "link" not in seen.tags and "img" not in seen.tags
    assert not [v for k, v in seen.attributes if k in ("src", "onclick") or (v or "").startswith(("http", "//"))]
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "svg" in seen.tags and "prefers-color-scheme:dark" in answer.body.decode()
    assert "<b>odd" not in answer.body.decode() and "&lt;b&gt;odd &amp; long" in answer.body.decode()


def test_whose_figures(served):
    sums = {r["key"]: r for r in json.loads(served.command("usage", "--json", "--since", "60d"))}
    _, seen = page(served, **{"Authorization": f"Bearer {served.keys['anna']}"})
    words = " ".join(seen.words)
    assert "of the key anna" in words and f"{sums['anna']['tokens_in']:,}" in words
    assert "boss" not in words and "By key" not in words
    text = page(served, **{"x-api-key": served.keys["boss"]})[0].body.decode()
    assert {r[0]: r[3] for r in rows(text, "By key")} == {k: f"{v['tokens_in']:,}" for k, v in sums.items()}
    assert "of this machine" in page(served)[0].body.decode()  # keys exist: no key, no administration


def test_a_browser_is_asked_for_a_key(tmp_path):
    with serving(tmp_path, "--require-key", *NOWHERE) as s:
        key = create_key(s, "anna")
        refused = s.get("/usage")
        assert refused.status == 401 and refused.headers["WWW-Authenticate"].startswith("Basic realm=")
        assert s.get("/v1/models").headers["WWW-Authenticate"] == "Bearer"
        for text, status in ((f"x:{key}", 200), (f":{key}", 200), ("x:hk-1-2", 401), (key, 401), ("", 401)):
            basic = base64.b64encode(text.encode()).decode()
            assert s.get("/usage", Authorization=f"Basic {basic}").status == status, text
        assert s.get("/usage", Authorization="Basic ***").status == 401


@pytest.mark.parametrize("days, status", [("1", 200), ("366", 200), ("0", 400), ("367", 400), ("x", 400), ("-1", 400)])
def test_days(served, days, status):
    assert served.get(f"/usage?days={days}").status == status


def test_nothing_used(tmp_path):
    with serving(tmp_path, *NOWHERE) as s:
        assert "Nothing was used" in page(s)[0].body.decode()


def test_not_measured_is_said(tmp_path):
    with serving(tmp_path, *NOWHERE) as s:
        seed(tmp_path, joules=False)
        text = page(s)[0].body.decode()
    assert "Energy: not measured" in text and {r[-1] for r in rows(text, "By model")} == {"not measured"}


# ---- in a browser ----

def chromium(tmp_path, *args):
    done = subprocess.run([CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                           f"--user-data-dir={tmp_path}/profile", "--disable-dev-shm-usage", *map(str, args)],
                          capture_output=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return done.stdout.decode()


def pixels(path):
    """Width, height and rows of a PNG of 8 bits a channel."""
    data = path.read_bytes()
    width, height, depth, kind = struct.unpack(">IIBB", data[16:26])
    assert depth == 8 and kind in (2, 6)
    at, packed, step = 8, b"", 3 if kind == 2 else 4
    while at < len(data):
        n = struct.unpack(">I", data[at:at + 4])[0]
        packed += data[at + 8:at + 8 + n] if data[at + 4:at + 8] == b"IDAT" else b""
        at += n + 12
    raw, rows_, before = zlib.decompress(packed), [], bytearray(width * step)
    for y in range(height):
        how, line = raw[y * (width * step + 1)], bytearray(raw[y * (width * step + 1) + 1:(y + 1) * (width * step + 1)])
        for i in range(len(line)):
            left, up = line[i - step] if i >= step else 0, before[i]
            corner = before[i - step] if i >= step else 0
            if how == 1:
                line[i] = (line[i] + left) & 255
            elif how == 2:
                line[i] = (line[i] + up) & 255
            elif how == 3:
                line[i] = (line[i] + (left + up) // 2) & 255
            elif how == 4:
                p = left + up - corner
                best = min((abs(p - left), 0, left), (abs(p - up), 1, up), (abs(p - corner), 2, corner))[2]
                line[i] = (line[i] + best) & 255
        rows_.append(bytes(line))
        before = line
    return width, height, step, rows_


@needs_chromium
@pytest.mark.parametrize("name, width, scheme", [("light", 900, 1), ("dark", 900, 0), ("phone", 400, 1)])
def test_in_a_browser(served, tmp_path, name, width, scheme):
    body = served.get("/usage", Authorization=f"Bearer {served.keys['boss']}").body.decode()
    file, shot = tmp_path / "page.html", tmp_path / "shot.png"
    file.write_text(body)
    chromium(tmp_path, f"--window-size={width},1500", f"--blink-settings=preferredColorScheme={scheme}",
             f"--screenshot={shot}", file.as_uri())
    w, _, step, image = pixels(shot)
    assert w == width
    ground = image[2][:3]
    assert (sum(ground) < 150) == (name == "dark"), ground
    colours = {line[x:x + 3] for line in image[::5] for x in range(0, len(line), 5 * step)}
    wanted = {"dark": ["5b9ee0", "eb9f50", "5cc08a"]}.get(name, ["2f6fb0", "d9822b", "2e8b57"])
    assert all(bytes.fromhex(c) in colours for c in wanted), wanted
    keep = pathlib.Path(os.environ.get("HEARTH_SCREENSHOTS") or tmp_path)
    shutil.copy(shot, keep / f"usage-{name}.png")


@needs_chromium
def test_it_fits_a_phone(served, tmp_path):
    body = served.get("/usage", Authorization=f"Bearer {served.keys['boss']}").body.decode()
    file = tmp_path / "page.html"
    file.write_text(body.replace("</main>", "</main><script>document.title=document.documentElement.scrollWidth+' of '+"
                                            "innerWidth</script>"))
    text = chromium(tmp_path, "--window-size=500,900", "--dump-dom", file.as_uri())
    wide, room = map(int, re.search(r"<title>(\d+) of (\d+)</title>", text).groups())
    assert wide <= room


# ---- the same on a terminal ----

def test_usage_on_a_terminal(served):
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 120))
    done = subprocess.Popen([HEARTH, "usage", "--by", "day", "--since", "40d"], stdout=slave, stderr=slave,
                            stdin=slave, env={**served.env, "TERM": "xterm"})
    os.close(slave)
    text = b""
    with contextlib.suppress(OSError):
        while piece := os.read(master, 65536):
            text += piece
    os.close(master)
    assert done.wait() == 0
    text = text.decode()
    assert "tokens by day, " in text and "energy by day, " in text and "boundary wall" in text
    assert "█" in text.split("tokens by day")[1] and "kWh" in text or "Wh" in text


def test_usage_in_a_pipe_is_plain(served):
    text = served.command("usage", "--by", "day", "--since", "40d")
    assert "█" not in text and "\x1b" not in text and "by day," not in text
    assert "energy" in text.splitlines()[0] and " Wh" in text
