"""kill -9 at random moments of an update: the model is one of its versions to the last byte, and can be updated."""
import json
import pathlib
import random
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from hostile_registry import Hostile  # noqa: E402
from hub_rig import HEARTH, NIGHTLY, Model, check_store, environment, hearth, pull  # noqa: E402


def verified(home):
    done = hearth(home, "verify", "--json")
    return done.returncode == 0 and json.loads(done.stdout)["faults"] == []


def test_kill_update(tmp_path):
    models, rng, hits = [Model(size=900_000, seed=n) for n in (1, 2)], random.Random(5), 0
    with Hostile(model=models[0], guarded=False) as s:
        name = f"127.0.0.1:{s.server.port}/ns/m"
        assert pull(tmp_path, s.name(), "--insecure").returncode == 0
        update = [HEARTH, "update", name, "--yes", "--insecure", "--chunk", "64", "--max-parallel", "2"]

        def serve(n):
            s.model, s.manifest = models[n], models[n].manifest

        def there():
            (text,) = check_store(tmp_path).values()
            return next(i for i, m in enumerate(models) if m.manifest == text)

        # A moment is a number of bytes that the server has given, or the end of all and a little.
        for i in range(60 if NIGHTLY else 8):
            want = 1 - there()
            serve(want)
            hearth(tmp_path, "update", name, "--forget")
            hearth(tmp_path, "gc", "--all", "--partial")
            s.begin()
            child = subprocess.Popen(update, env=environment(tmp_path), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            after = rng.randrange(0, 1_000_000)
            while s.served < min(after, 900_000) and child.poll() is None:
                time.sleep(0.0002)
            if after > 900_000:
                try:
                    child.wait((after - 900_000) / 2e6)
                except subprocess.TimeoutExpired:
                    pass
            hits += child.poll() is None
            child.kill()
            child.wait()
            assert verified(tmp_path), i
            assert there() in (0, 1)
            if i % 3 == 0:
                done = hearth(tmp_path, "update", name, "--yes", "--insecure")
                assert done.returncode == 0 and there() == want, done.stderr
                assert hearth(tmp_path, "update", name, "--rollback").returncode == 0
                assert there() == 1 - want and verified(tmp_path)
        assert hits > 0
