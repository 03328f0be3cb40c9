"""hearth meter with plugs that are small HTTP servers, with hearth-meterd, and with what people get wrong."""
import concurrent.futures
import contextlib
import http.server
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest

ROOT = pathlib.Path(os.environ.get("HEARTH_SOURCE") or pathlib.Path(__file__).parents[2])
BUILD = pathlib.Path(os.environ.get("HEARTH_BUILD") or ROOT / "build")
HEARTH = os.environ.get("HEARTH_BIN") or str(BUILD / "hearth")
METERD = BUILD / "hearth-meterd"
[*_, COUNTERS] = [None, *BUILD.glob("**/*fake_counters.so")]


def meter(*args, env=None, code=0):
    done = subprocess.run([HEARTH, "meter", *map(str, args)], capture_output=True, check=False, timeout=120,
                          stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})
    assert done.returncode == code, done.stderr.decode()
    return done


def told(*args, **kw):
    return [json.loads(line) for line in meter("--json", *args, **kw).stdout.decode().splitlines()]


@contextlib.contextmanager
def watching(*args, env=None):
    """The lines of `hearth meter --watch`, as long as somebody wants them."""
    child = subprocess.Popen([HEARTH, "meter", "--json", "--watch", *map(str, args)], stdout=subprocess.PIPE,
                             stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})
    try:
        yield (json.loads(line) for line in child.stdout)
    finally:
        child.send_signal(signal.SIGINT)
        child.wait(timeout=60)
        child.stdout.close()


def watch_for(enough, *args, env=None):
    """The first line with which it is enough: a busy machine takes longer to get there."""
    with watching(*args, env=env) as lines:
        return next(line for line, _ in zip(lines, range(60)) if enough(line))


# ---- plugs ----

class Plug:
    """Answers as one kind of plug does: so many watts, and a counter that is true to them."""

    def __init__(self, kind, watts=100.0):
        self.kind, self.watts, self.fault, self.told = kind, watts, None, []
        self.joules, self.at, self.lock = 5e6, time.monotonic(), threading.Lock()
        plug = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = plug.body(self.path)
                status = 404 if body is None else 200
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                if plug.fault == "silent":
                    time.sleep(3)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def used(self):
        with self.lock:
            now = time.monotonic()
            self.joules += self.watts * (now - self.at)
            self.at = now
            self.told.append(self.joules)
            return self.joules

    def body(self, path):
        joules, path = self.used(), urllib.parse.unquote(path)
        if self.fault == "junk":
            return b"<html>not found</html>"
        if self.kind == "shelly2" and path == "/rpc/Switch.GetStatus?id=0":
            return {"id": 0, "apower": self.watts, "voltage": 230.1, "aenergy": {"total": round(joules / 3600, 3)}}
        if self.kind == "shelly-pm" and path == "/rpc/PM1.GetStatus?id=0":
            return {"id": 0, "apower": self.watts, "aenergy": {"total": round(joules / 3600, 3)}}
        if self.kind == "shelly1" and path == "/meter/0":
            return {"power": self.watts, "is_valid": self.fault != "invalid", "total": int(joules / 60)}
        if self.kind in ("tasmota8", "tasmota10") and path == f"/cm?cmnd=Status {self.kind[7:]}":
            return {"StatusSNS": {"ENERGY": {"Power": self.watts, "Total": round(joules / 3.6e6, 3), "Voltage": 230}}}
        if self.kind == "json" and path == "/state":
            return {"meters": [{"power": "0"}, {"power": f"{self.watts}", "total": joules / 3600}]}
        return {"ERROR": "Unknown command"} if self.kind.startswith("tasmota") else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def watch(plug, setting, seconds=3):
    """However busy the machine is, a plug that answers is not given up."""
    return told("--watch", "-n", seconds, "--meter-from", "root=/nonexistent", "--plug",
                setting.format(plug.url) + ",timeout=5")


KINDS = [("shelly2", "{}"), ("shelly2", "shelly2={}"), ("shelly-pm", "{}/"), ("shelly1", "{}"), ("tasmota8", "{}"),
         ("tasmota10", "tasmota={}"), ("json", "json={}/state,watts=meters.1.power,energy=meters.1.total,unit=Wh"),
         ("json", "json={}/state,energy=meters.1.total,unit=Wh")]


def check_plug(kind, setting):
    with Plug(kind) as plug:
        last = watch(plug, setting)[-1]
    assert (last["boundary"], last["status"], last["why"]) == ("wall", "measured", None)
    assert last["lost_seconds"] == 0 and last["seconds"] > 1
    # Watts times time, or what the counter told last less what it told first: the very numbers, whenever they came.
    if "watts" in setting or kind != "json":
        assert last["joules"] == pytest.approx(100 * last["seconds"], rel=1e-6)
    else:
        assert last["joules"] == pytest.approx(plug.told[-1] - plug.told[0], abs=0.01)
    assert last["sources"][0]["accuracy"] > 0 and last["sources"][0]["step_j"] > 0


def together(check, cases):
    """They wait for seconds to pass, so they do it at the same time."""
    with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
        for done in [pool.submit(check, *case) for case in cases]:
            done.result()


def test_plugs():
    together(check_plug, KINDS)


def test_a_share_of_a_plug():
    with Plug("shelly2") as plug:
        last = watch(plug, "{},share=0.25")[-1]
    assert abs(last["watts"] - 25) < 0.01


def check_failure(fault, why):
    with Plug("shelly1") as plug:
        plug.fault = fault
        setting = "shelly1={}".format(plug.url) + (",timeout=5" if fault != "silent" else "")
        last = told("--watch", "-n", 2, "--meter-from", "root=/nonexistent", "--plug", setting)[-1]
    assert last["boundary"] == "wall" and last["joules"] is None
    assert why in last["sources"][0]["why_lost"]


def test_plugs_that_fail():
    together(check_failure, [("junk", "no JSON"), ("invalid", "not valid"), ("silent", "does not answer")])


def test_a_plug_that_vanishes():
    with Plug("shelly2") as plug, watching("--meter-from", "root=/nonexistent", "--plug",
                                           plug.url + ",timeout=5") as lines:
        assert next(lines)["joules"] is not None
        plug.fault = "junk"
        last = next(line for line, _ in zip(lines, range(60)) if line["joules"] is None)
    assert last["lost_seconds"] > 0 and last["why"]


@pytest.mark.parametrize("setting", ["", "192.168.1.4", "ftp://x", "shelly9=http://x", "json=http://x/y",
                                     "http://x,watts=a", "http://x,share=0", "http://x,share=2", "http://x,timeout=6", "http://x,colour=red",
                                     "json=http://x,energy=a,unit=calories", "http://" + "x" * 500])
def test_wrong_plugs(setting):
    done = meter("--plug", setting, code=2)
    assert done.stderr.count(b"\n") == 1 and b"--plug" in done.stderr


@pytest.mark.parametrize("args", [["--watts", "9"], ["--meter", "declared"], ["--meter-from", "rot=/x"]])
def test_wrong_settings(args):
    assert meter(*args, code=2).stderr.count(b"\n") == 1


def test_nothing_to_measure_with():
    assert meter("--meter-from", "root=/nonexistent").stdout == b"energy: not measured (no energy counter)\n"
    [said] = told("--meter-from", "root=/nonexistent")
    assert said["status"] == "not_measured" and said["boundary"] == "none"
    assert [said[k] for k in ("watts", "joules", "step_j", "instrument")] == [None] * 4


def test_declared_is_always_called_so():
    text = meter("--watts", "idle=9,load=250", "--meter-from", "root=/nonexistent", "--watch", "-n", 2).stdout.decode()
    lines = text.splitlines()
    assert len(lines) == 3 and all("declared" in line for line in lines) and "not measured" in lines[0]


# ---- a processor's counters, and the helper that reads them ----

@pytest.fixture
def processor(tmp_path):
    """50 W in a package, of which 20 in its cores; 5 W in memory. The package's begins again within two seconds.
    lib_fake_counters.c reads the recipes, and says what each counter says at the time when it is read."""
    root, most = tmp_path / "tree", 262_143_328_850
    for zone, name, watts, left_j in [("intel-rapl:0", "package-0", 50, 80), ("intel-rapl:0:0", "core", 20, 80),
                                      ("intel-rapl:0:1", "dram", 5, 1e5)]:
        folder = root / "sys/class/powercap" / zone
        folder.mkdir(parents=True)
        (folder / "name").write_text(name + "\n")
        (folder / "max_energy_range_uj").write_text(f"{most}\n")
        start = most - int(left_j * 1e6)
        (folder / "energy_uj").write_text(f"{watts * 10**6} {time.monotonic_ns()} {start} {most + 1}\n")
    return root


@pytest.fixture
def counters():
    """What a program is started with to see the processor's counters."""
    assert COUNTERS, "fake_counters.so is built with the tests"
    options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    return {"LD_PRELOAD": str(COUNTERS), "ASAN_OPTIONS": options.strip(":")}


def test_a_processor(processor, counters):
    last = told("--watch", "-n", 3, "--meter-from", f"root={processor}", env=counters)[-1]
    assert last["instrument"] == "rapl-powercap package-0, package-0 dram"
    assert last["lost_seconds"] == 0 and last["seconds"] > 2
    assert last["joules"] / last["seconds"] == pytest.approx(55, abs=1e-4)
    text = meter("--meter-from", f"root={processor}", env=counters).stdout.decode()
    assert "a part of its package: never added" in text and "boundary parts" in text


@pytest.fixture
def helper(processor, counters, tmp_path):
    path = tmp_path / "meterd.sock"
    child = subprocess.Popen([METERD, "--root", processor, "--socket", path], stderr=subprocess.PIPE,
                             env={**os.environ, **counters})
    while not path.exists():
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.01)
    yield path, child
    if child.poll() is None:
        child.terminate()
    assert child.wait(timeout=30) in (0, -signal.SIGKILL)
    child.stderr.close()


def test_the_helper_tells_a_line_a_second(helper):
    path, child = helper
    assert path.stat().st_mode & 0o777 == 0o660
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(path))
        lines = [json.loads(line) for _, line in zip(range(3), s.makefile())]
        s.sendall(b"GET / HTTP/1.1\r\n\r\n")  # it takes no orders
        with contextlib.suppress(ConnectionResetError):
            while s.recv(4096):
                pass
    gaps = [b["t_ns"] - a["t_ns"] for a, b in zip(lines, lines[1:])]
    assert min(gaps) >= 1e9  # never more often: what is computed would show
    watts = (lines[2]["joules"] - lines[0]["joules"]) / (sum(gaps) * 1e-9)
    assert watts == pytest.approx(55, abs=1e-4) and lines[2]["lost"] == 0
    child.terminate()
    child.wait(timeout=30)
    assert not path.exists()


def test_a_meter_that_asks_the_helper(helper):
    path, child = helper
    where = ("--meter-from", f"root=/nonexistent,meterd={path}")
    last = watch_for(lambda line: (line["seconds"] or 0) > 1.5, *where)
    assert last["boundary"] == "parts" and last["instrument"].startswith("hearth-meterd rapl-powercap package-0")
    assert last["joules"] / last["seconds"] == pytest.approx(55, abs=1e-4) and last["lost_seconds"] == 0
    child.kill()
    child.wait()
    said = told(*where)  # the socket is still there
    assert said[0]["status"] == "not_measured" and "cannot be reached" in said[0]["sources"][0]["why_not"]


def test_direct_reading_goes_before_the_helper(helper, processor, counters):
    path, _ = helper
    [said] = told("--meter-from", f"root={processor},meterd={path}", env=counters)
    by_kind = {s["kind"]: s for s in said["sources"]}
    assert not by_kind["hearth-meterd"]["counted"] and "directly" in by_kind["hearth-meterd"]["why_not"]


def test_a_helper_without_counters(tmp_path):
    done = subprocess.run([METERD, "--root", tmp_path, "--socket", tmp_path / "s"], capture_output=True, check=False)
    assert done.returncode == 3 and b"no counter" in done.stderr
    done = subprocess.run([METERD, "--colour"], capture_output=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith(b"usage")


NONSENSE = [b"", b"hello\n", b'{"hearth-meterd":2}\n', b"x" * 5000, b"[]\n\n\n",
            b'{"hearth-meterd":1,"t_ns":-1,"joules":1,"lost":0,"step_j":1,"instrument":"x"}\n']


def check_nonsense(path, says):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))
        s.listen(4)

        def serve():
            c, _ = s.accept()
            c.sendall(says)
            time.sleep(0.3)
            c.close()

        threading.Thread(target=serve, daemon=True).start()
        [said] = told("--meter-from", f"root=/nonexistent,meterd={path}")
    assert said["status"] == "not_measured" and said["sources"][0]["why_not"]


def test_a_helper_that_talks_nonsense(tmp_path):
    together(check_nonsense, [(tmp_path / str(i), says) for i, says in enumerate(NONSENSE)])


def test_powermetrics(tmp_path):
    """Apple's program, played by a script: its watts are a vendor's model, and called so."""
    script = tmp_path / "powermetrics"
    plist = ("<plist><dict><key>processor</key><dict><key>combined_power</key><real>12500.5</real></dict></dict>"
             "</plist>")
    script.write_text(f"#!/bin/sh\nwhile :; do printf '{plist}\\0'; sleep 0.5; done\n")
    script.chmod(0o755)
    last = watch_for(lambda line: line["watts"], "--meter-from", f"root=/nonexistent,powermetrics={script}")
    assert last["boundary"] == "soc-model" and abs(last["watts"] - 12.5005) < 1e-6
