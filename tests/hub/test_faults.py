"""kill -9 at random moments, and a disk that is full, in each phase of what changes the store."""

import json
import os
import random
import resource
import signal
import subprocess
import time

import pytest

from hearth_store import BIN, NIGHTLY

MODELFILE = b"FROM bard\nSYSTEM %d\nPARAMETER temperature 0.%d\nLICENSE free\n"


def killed(store, args, after_s, input=None):
    """Runs a command and kills it after a while; True when it was still running."""
    p = subprocess.Popen([BIN, *args], env=store.env, cwd=store.folder, stdin=subprocess.PIPE,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if input is not None:
        p.stdin.write(input)
    p.stdin.close()
    try:
        p.wait(after_s)
        return False
    except subprocess.TimeoutExpired:
        p.send_signal(signal.SIGKILL)
        p.wait()
        return True


def test_kill_at_random_moments(store):
    """Whatever is killed, every name that is listed is whole, and the next command goes on."""
    rng = random.Random(11)
    rounds, hits = (200 if NIGHTLY else 24), 0
    store.create("keep", "FROM bard\nSYSTEM keep")
    began = time.monotonic()
    store.create("time", "FROM bard\nSYSTEM time")
    usual = time.monotonic() - began
    for i in range(rounds):
        what = ["create", "rm", "gc", "cp", "import"][i % 5]
        after = rng.uniform(0, 1.2 * usual)
        if what == "create":
            hits += killed(store, ["create", f"m{i % 3}", "-f", "-"], after, MODELFILE % (i, i))
        elif what == "import":
            if not (store.folder / "keep.tar").exists():
                store.ok("export", "keep", "keep.tar")
            store.run("rm", "keep") if i % 2 else None
            hits += killed(store, ["import", "keep.tar"], after)
        elif what == "rm":
            store.create(f"r{i}", f"FROM bard\nSYSTEM {i}")
            hits += killed(store, ["rm", f"r{i}"], after / 2)
        elif what == "cp":
            hits += killed(store, ["cp", "time", f"c{i}"], after / 2)
        else:
            hits += killed(store, ["gc", "--all"], after / 2)
        done = store.run("verify", "--json", *([] if i % 4 == 3 or NIGHTLY else ["--quick"]))
        assert done.returncode == 0 and json.loads(done.stdout)["faults"] == [], (what, done.stdout)
    assert hits > 0, "none was killed while it ran"
    store.ok("gc", "--all")
    usage = store.json("du")
    assert usage["unused_bytes"] == 0 and usage["left_over_bytes"] == 0
    assert store.run("import", "keep.tar").returncode == 0 and store.whole()
    assert not [p for p in store.models.rglob(".hearth-tmp*")] or NIGHTLY


def sized(store, limit, *args, input=None):
    """A command whose files may not grow past a limit: as on a disk that is full."""
    def small():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return subprocess.run([BIN, *args], env=store.env, cwd=store.folder, input=input, capture_output=True,
                          preexec_fn=small, timeout=60)


def test_files_that_may_not_grow(store):
    store.create("keep", "FROM bard\nSYSTEM keep")
    size = store.json("du")["blob_bytes"]
    store.ok("export", "keep", "keep.tar")
    store.ok("rm", "keep")
    rng = random.Random(3)
    for k in [0, 1, 600, size // 2, *[rng.randrange(size) for _ in range(60 if NIGHTLY else 6)]]:
        done = sized(store, k, "import", "keep.tar")
        assert done.returncode == 6 and done.stderr.count(b"\n") == 1, (k, done)
        assert b"needed" in done.stderr or k <= 600, done.stderr
        assert store.names() == [] and store.whole()
    assert store.ok("import", "keep.tar") == "keep:latest\n"
    for k in (0, 10, 100):
        done = sized(store, k, "create", "more", "-f", "-", input=b"FROM keep\nSYSTEM " + b"x" * 5000)
        assert done.returncode == 6, done
        assert store.names() == ["keep:latest"] and store.whole()
        assert store.ok("run", "keep", "--raw", "-n", "1", "--temp", "0", "Once")


@pytest.fixture
def small_disk(store):
    """64 MB of memory as a disk, where this user may mount one."""
    home = store.folder / "home"
    home.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(home)],
                                           capture_output=True).returncode != 0:
        pytest.skip("the small disk left out: only root may mount one")
    yield home
    subprocess.run(["umount", "-l", str(home)], check=True)


def test_disk_full(store, small_disk):
    store.create("keep", "FROM bard\nSYSTEM keep")
    (store.folder / "x.gguf").write_bytes(
        (store.models / "blobs" / max(store.blobs(), key=lambda b: (store.models / "blobs" / b).stat().st_size)).read_bytes()
        + b"\0" * 32)
    store.ok("export", "keep", "keep.tar")
    need = (store.folder / "x.gguf").stat().st_size
    fill = small_disk / "fill"
    free = os.statvfs(small_disk).f_bavail * 4096
    for left in (0, 4096, 40960, need // 2, need - 8192):
        with open(fill, "wb") as f:
            os.posix_fallocate(f.fileno(), 0, max(free - left, 4096))
        done = store.run("import", "x.gguf", "--name", "more")
        assert done.returncode == 6 and str(need).encode() in done.stderr, done.stderr
        assert store.names() == ["keep:latest"] and store.run("verify").returncode in (0, 6)
        assert store.ok("run", "keep", "--raw", "-n", "1", "--temp", "0", "Once")
        fill.unlink()
    assert store.run("import", "keep.tar").returncode == 0
    assert store.whole() and store.json("du")["left_over_bytes"] == 0
