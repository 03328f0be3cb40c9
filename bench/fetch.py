"""How fast a blob of 1 GB is fetched from nginx on loopback, beside what this machine can do at all:

    HEARTH_BIN=build/hearth python3 bench/fetch.py [--rounds 3] [--folder /dev/shm] [HEARTH...]

Interleaved, best of the rounds. `openssl speed sha256` is one core that does nothing else; `curl -o` receives and
writes without hashing, `curl | openssl` receives and hashes without writing, `curl | tee | openssl` does what a pull
does. Memory is the program's high-water mark, its libraries included. Several HEARTH programs are compared."""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests" / "hub"))
from hub_rig import HEARTH, Nginx, environment  # noqa: E402

SIZE = 1_000_000_000


def run(args, env=None, shell=False):
    """(MB/s, CPU seconds, MB of memory at most)"""
    began, before, memory = time.monotonic(), os.times(), 0
    child = subprocess.Popen(args, env=env, shell=shell, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while child.poll() is None:
        try:
            text = pathlib.Path(f"/proc/{child.pid}/status").read_text()
            memory = max([memory, *(int(x.split()[1]) for x in text.splitlines() if x.startswith("VmHWM"))])
        except OSError:
            pass
        try:
            child.wait(0.02)
        except subprocess.TimeoutExpired:
            pass
    took, after = time.monotonic() - began, os.times()
    assert child.returncode == 0, args
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return SIZE / 1e6 / took, cpu, memory / 1000


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--folder", default="/dev/shm")
    p.add_argument("--parallel", default="1,4")
    p.add_argument("--only-hearth", action="store_true")
    p.add_argument("hearth", nargs="*", default=[HEARTH])
    o = p.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(dir=o.folder))
    found = {}
    try:
        with Nginx(folder / "nginx") as n:
            with open(n.www / "m.gguf", "wb") as f:
                f.write(b"GGUF" + os.urandom((1 << 20) - 4))
                piece = os.urandom(1 << 20)
                while f.tell() < SIZE:
                    f.write(piece[:SIZE - f.tell()])
            said = subprocess.run(["openssl", "speed", "-seconds", "2", "-bytes", "262144", "sha256"],
                                  capture_output=True, text=True, check=True).stdout
            limit = float(said.split()[-1].rstrip("k")) / 1000
            address, out = n.url("/m.gguf"), folder / "out"
            ways = {} if o.only_hearth else {
                "curl -o": f"curl -s -o {out} {address}",
                "curl | openssl": f"curl -s {address} | openssl sha256",
                "curl | tee | openssl": f"curl -s {address} | tee {out} | openssl sha256"}
            for program in o.hearth:
                for k in o.parallel.split(","):
                    ways[f"{program} pull --max-parallel {k}"] = [program, "pull", "--insecure", "--max-parallel", k,
                                                                  address]
            for _ in range(o.rounds):
                for name, args in ways.items():
                    home = folder / "home"
                    found.setdefault(name, []).append(run(args, environment(home), isinstance(args, str)))
                    shutil.rmtree(home, ignore_errors=True)
                    out.unlink(missing_ok=True)
    finally:
        shutil.rmtree(folder)
    print(f"openssl speed sha256: {limit:.0f} MB/s\n")
    print("| | MB/s | of openssl | CPU s | memory MB |\n|---|---|---|---|---|")
    for name, rows in found.items():
        best = max(rows)
        print(f"| {name} | {best[0]:.0f} | {best[0] / limit:.2f} | {min(r[1] for r in rows):.2f} | "
              f"{max(r[2] for r in rows):.1f} |")


if __name__ == "__main__":
    main()
