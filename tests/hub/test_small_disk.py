"""A disk of 64 MB that is full, at every phase, under a server that runs on: what was there is read and answers, the
message says how many bytes are needed, and once there is room the same goes through, without a restart."""
import hashlib
import json
import pathlib
import re
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from hearth_store import NIGHTLY, SmallDisk  # noqa: E402
from hostile_registry import Hostile  # noqa: E402
from hub_rig import BARD, Model, Registry, sha  # noqa: E402
from test_http import Server  # noqa: E402

TALK = {"model": "keep", "stream": False, "messages": [{"role": "user", "content": "Sing."}],
        "options": {"num_predict": 3, "temperature": 0, "seed": 1}}


class House:
    """A store on a small disk with a model to keep, its server, and a registry outside."""

    def __init__(self, store, disk):
        self.store, self.disk = store, disk
        store.create("keep", "FROM bard\nSYSTEM keep")
        self.server = Server(store)
        self.song = self.sing()

    def sing(self):
        return self.server.json("POST", "/api/chat", TALK)["message"]["content"]

    def still_reads(self):
        """Whatever the disk is like: a list, a look, an answer from a process of its own and from the server."""
        assert "keep:latest" in self.store.names() and "keep:latest" in self.server.names()
        assert self.store.ok("show", "keep", "--system") == "keep\n"
        assert self.sing() == self.song
        assert self.store.ok("run", "keep", "--raw", "-n", "1", "--temp", "0", "Once")

    def lefts(self, need):
        """Free bytes that are too few for so many."""
        half, most = need // 2 // 4096 * 4096, (need - 4096) // 4096 * 4096
        return sorted({0, min(4096, most), half if half <= most else 0, most}) if NIGHTLY else [half if half <= most else 0]

    def refused(self, need, act, exact=True):
        """act() gives (whether it went through, what it said): with too little room it does not, and says how much
        is needed; then it does."""
        for left in self.lefts(need):
            self.disk.fill(left)
            before = self.store.names()
            went, said = act()
            assert not went, (left, said)
            figures = [float(x) * {"bytes": 1, "MB": 1e6}[u] for x, u in re.findall(r"([\d.]+) (bytes|MB)\b", said)]
            assert figures and max(figures) > 0, (left, said)
            assert not exact or max(figures) >= need * 9 // 10, (left, need, said)
            assert self.store.names() == before
            self.still_reads()
        self.disk.free()
        went, said = act()
        assert went, said
        assert self.store.whole()
        self.still_reads()


@pytest.fixture
def house(store):
    disk = SmallDisk(store)
    h = House(store, disk)
    yield h
    disk.free()
    h.server.stop()
    disk.close()


def command(h, *args, input=None):
    def act():
        done = h.store.run(*args, input=input)
        if done.returncode:
            assert done.returncode == 6 and done.stderr.count(b"hearth: ") == 1, done.stderr
        return done.returncode == 0, done.stderr.decode().rpartition("hearth: ")[2]
    return act


def request(h, path, body=None, raw=None):
    def act():
        status, data = h.server.ask("POST", path, body, raw=raw)
        if status not in (200, 201):
            assert status == 507, (status, data)
            return False, json.loads(data)["error"]
        last = json.loads(data.splitlines()[-1]) if data else {}
        return "error" not in last, last.get("error", "")
    return act


def test_made_and_copied(house, store):
    house.refused(4096, command(house, "create", "long", "-f", "-", input=b"FROM keep\nSYSTEM " + b"x" * 5000), exact=False)
    house.refused(4096, command(house, "cp", "keep", "new/copy:v1"), exact=False)
    half = store.folder / "half.gguf"
    store.ok("quantize", "bard", half, "F16", "--allow-requantize")
    size = int(half.stat().st_size * 0.53)
    house.refused(size, command(house, "create", "small", "-q", "Q8_0", "-f", "-", input=b"FROM ./half.gguf"))
    store.ok("quantize", "bard", house.store.folder / "out.gguf", "Q4_0", "--allow-requantize")
    inside = store.folder / "home" / "out.gguf"
    need = (store.folder / "out.gguf").stat().st_size
    house.refused(need, command(house, "quantize", "bard", inside, "Q4_0", "--allow-requantize", "--force"))


def test_imported(house, store):
    data = BARD.read_bytes() + b"\0" * 32
    (store.folder / "x.gguf").write_bytes(data)
    house.refused(len(data), command(house, "import", "x.gguf", "--name", "more"))
    store.ok("export", "more", "more.tar")
    store.ok("rm", "more")
    house.refused(len(data), command(house, "import", "more.tar"))
    house.refused(len(data), command(house, "export", "more", store.folder / "home" / "inside.tar"))


def test_fetched_and_renewed(house, store):
    first, second = Model(size=6_000_000, seed=1), Model(size=7_000_000, seed=2)
    with Hostile(model=first, guarded=False) as s:
        name = s.name("ns/m")
        house.refused(len(first.weights), command(house, "pull", name, "--insecure", "--retry-wait", "0.02"))
        here = f"127.0.0.1:{s.server.port}/ns/m:latest"
        s.model, s.manifest = second, second.manifest
        house.refused(len(second.weights), command(house, "update", here, "--yes", "--insecure"))
        assert store.json("update", here, "--insecure")["state"] == "up to date"
        house.disk.fill(0)
        assert store.run("update", here, "--rollback").returncode in (0, 6)
        house.still_reads()
        house.disk.free()
        assert store.whole()
        third = Model(size=6_500_000, seed=3)
        s.model, s.manifest = third, third.manifest
        ask = {"model": s.name("ns/other").replace("/other", "/m") + ":three", "insecure": True}
        house.refused(len(third.weights), request(house, "/api/pull", {**ask, "stream": False}))
        store.ok("rm", f"127.0.0.1:{s.server.port}/ns/m:three")
        store.ok("gc", "--all")
        house.refused(len(third.weights), request(house, "/api/pull", ask))


def test_uploaded(house, store):
    data = BARD.read_bytes() + b"\0" * 64
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    house.refused(len(data), request(house, f"/api/blobs/{digest}", raw=data))
    body = {"model": "up", "files": {"x.gguf": digest}, "system": "y" * 5000, "stream": False}
    house.refused(4096, request(house, "/api/create", body), exact=False)
    copy = {"source": "keep", "destination": "by/http"}
    house.refused(4096, request(house, "/api/copy", copy), exact=False)


def test_sent(house, store, tmp_path):
    """Sending only reads."""
    with Registry(tmp_path / "registry") as r:
        store.ok("cp", "keep", f"127.0.0.1:{r.port}/me/keep")
        house.disk.fill(0)
        store.ok("push", r.name("me/keep"), "--insecure")
        house.disk.free()
        sent = r.ask("GET", "/v2/me/keep/manifests/latest", Accept="application/vnd.docker.distribution.manifest.v2+json")
        assert sent.status == 200 and sha(BARD.read_bytes()).encode() in sent.body


def test_room_is_made(house, store):
    """On a disk without a byte, what gives room back works: rm, gc, verify --repair, DELETE."""
    for name in ("a", "b", "c"):
        store.create(name, f"FROM bard\nSYSTEM {name}" + name * 9000)
    house.disk.fill(0)
    store.ok("rm", "a")
    house.disk.fill(0)
    assert house.server.ask("DELETE", "/api/delete", {"model": "b"})[0] == 200
    house.disk.fill(0)
    assert store.json("gc", "--all", "--dry-run")["files"] == 0
    store.create("c", "FROM bard\nSYSTEM no room")
    store.ok("gc", "--all")
    big = max((house.disk.home / "models" / "blobs").iterdir(), key=lambda p: p.stat().st_size)
    data = bytearray(big.read_bytes())
    house.still_reads()
    data[len(data) // 2] ^= 1
    with open(big, "r+b") as f:
        f.write(data)
    assert store.run("verify").returncode == 7
    store.ok("verify", "--repair")
    assert store.whole()
    data[len(data) // 2] ^= 1
    house.disk.free()
    store.create("keep", "FROM bard\nSYSTEM keep")
    house.still_reads()


def test_the_ledger(house, store):
    """Requests on a full disk are served and counted, and written once there is room."""
    def used():
        return sum(row["requests"] for row in store.json("usage"))

    until(lambda: used() == 1)
    house.disk.fill(0)
    for _ in range(5):
        assert house.sing() == house.song
    house.disk.free()
    until(lambda: used() == 6)
    assert house.sing() == house.song
    until(lambda: used() == 7)


def until(what):
    import time
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)
