#!/usr/bin/env python3
"""Hearth against a peer on the same file, interleaved: A B A B ...

    bench/compare.py MODEL.gguf [-p 512] [-n 64] [-t 2] [--pairs 5] [--hearth build/hearth] [--csv FILE]

The peer is llama-bench where it is on PATH, else llama.cpp's library as `make peers` installs it (see
tests/peers/llama_cpp.py). Each run is a process of its own: it loads the model, warms up once, and measures one
prefill of -p tokens and one decode of -n tokens from an empty context. One row a run is appended to the CSV file
(default bench/results/HOST.csv); medians, spread and ratios are printed.
"""
import argparse
import csv
import datetime
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/peers"))


def cpu_name():
    for line in open("/proc/cpuinfo", encoding="utf-8"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def run_hearth(a):
    """(prefill, decode) in tokens per second: medians of one process."""
    done = subprocess.run([a.hearth, "bench", a.model, "-p", str(a.p), "-n", str(a.n), "-t", str(a.t), "-r", "1", "--json"],
                          capture_output=True, check=True)
    r = json.loads(done.stdout)
    return r["prefill_tokens_per_s"]["median"], r["decode_tokens_per_s"]["median"]


def run_llama_bench(a):
    done = subprocess.run(["llama-bench", "-m", a.model, "-p", str(a.p), "-n", str(a.n), "-t", str(a.t), "-r", "1", "-o", "json"],
                          capture_output=True, check=True)
    rows = json.loads(done.stdout)
    return (next(r["avg_ts"] for r in rows if r["n_prompt"]), next(r["avg_ts"] for r in rows if r["n_gen"]))


def measure_library(model, n_prompt, n_gen, n_threads):
    """In a process of its own: the library, driven directly. Greedy, so that the head is paid for."""
    from llama_cpp import Peer
    peer = Peer(model, n_ctx=n_prompt + n_gen + 64, n_threads=n_threads)
    ids = [100 + i % 1000 for i in range(n_prompt)]
    peer.eval(ids[:32])
    peer.clear()
    start = time.perf_counter()
    peer.eval(ids)
    prefill = n_prompt / (time.perf_counter() - start)
    peer.clear()
    token = int(peer.eval(ids[:1]).argmax())
    start = time.perf_counter()
    for _ in range(n_gen):
        token = int(peer.eval([token]).argmax())
    print(json.dumps([prefill, n_gen / (time.perf_counter() - start)]))


def run_library(a):
    done = subprocess.run([sys.executable, __file__, "--library", a.model, str(a.p), str(a.n), str(a.t)],
                          capture_output=True, check=True)
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def pick_peer():
    if shutil.which("llama-bench"):
        return "llama-bench", run_llama_bench
    import llama_cpp
    if llama_cpp.library_folder():
        return "llama.cpp", run_library
    sys.exit("compare: no peer: put llama-bench on PATH, or run `make peers` and set HEARTH_PEERS to its folder")


def summary(name, values):
    return f"{name} {statistics.median(values):.1f} ({min(values):.1f} .. {max(values):.1f})"


def main():
    if sys.argv[1:2] == ["--library"]:
        model, p, n, t = sys.argv[2:6]
        return measure_library(model, int(p), int(n), int(t))
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("model")
    ap.add_argument("-p", type=int, default=512, help="tokens of prefill")
    ap.add_argument("-n", type=int, default=64, help="tokens of decode")
    ap.add_argument("-t", type=int, default=os.cpu_count(), help="threads")
    ap.add_argument("--pairs", type=int, default=5)
    ap.add_argument("--hearth", default=str(ROOT / "build/hearth"))
    ap.add_argument("--csv", type=pathlib.Path, default=ROOT / "bench/results" / f"{platform.node()}.csv")
    a = ap.parse_args()
    peer_name, run_peer = pick_peer()
    results = {"hearth": [], peer_name: []}
    for pair in range(a.pairs):
        for name, run in (("hearth", run_hearth), (peer_name, run_peer)):
            prefill, decode = run(a)
            results[name].append((prefill, decode))
            print(f"pair {pair + 1}  {name:12} prefill {prefill:9.1f}  decode {decode:8.2f} tokens/s", flush=True)

    a.csv.parent.mkdir(parents=True, exist_ok=True)
    fresh = not a.csv.exists()
    with open(a.csv, "a", newline="", encoding="utf-8") as f:
        w = csv.writer(f)
        if fresh:
            w.writerow(["date", "cpu", "threads", "model", "bytes", "program", "n_prefill", "n_decode",
                        "prefill_tokens_per_s", "decode_tokens_per_s"])
        for name, rows in results.items():
            for prefill, decode in rows:
                w.writerow([datetime.date.today().isoformat(), cpu_name(), a.t, pathlib.Path(a.model).name,
                            os.path.getsize(a.model), name, a.p, a.n, f"{prefill:.2f}", f"{decode:.3f}"])
    for i, what in enumerate(("prefill", "decode")):
        ours, theirs = ([r[i] for r in results[k]] for k in ("hearth", peer_name))
        ratios = [x / y for x, y in zip(ours, theirs)]
        print(f"{what}: {summary('hearth', ours)}, {summary(peer_name, theirs)} tokens/s; "
              f"ratio median {statistics.median(ratios):.2f} ({min(ratios):.2f} .. {max(ratios):.2f})")


if __name__ == "__main__":
    main()
