"""kill -9 at random moments, and files that may not grow, in each phase of what changes the store."""

import json
import random
import resource
import signal
import subprocess
import time

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
