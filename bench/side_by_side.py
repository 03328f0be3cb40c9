#!/usr/bin/env python3
"""The load of `hearth loadtest` on Hearth and on llama-server, with the same file, taking turns.

    LLAMA_SERVER=.../llama-server bench/side_by_side.py --hearth build/hearth --model MODEL.gguf [--shared 300 --shared 0]

Every run starts a server of its own, so that nothing is kept from the one before.
Hearth runs with and without guessing ahead; llama-server has a place for each client (-np), with what one request of this
load needs as its context. Both have the same threads. Printed: output tokens per second, times to the first token and
between tokens, and how Hearth's stand to llama-server's. --quick: the same in small, to show that everything works.
"""
import argparse
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

from house import House, quantile

ROOT = pathlib.Path(__file__).resolve().parent.parent


class LlamaServer:
    def __init__(self, a):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.log = tempfile.NamedTemporaryFile()
        self.child = subprocess.Popen(
            [a.llama_server, "-m", a.model, "-np", str(a.clients), "-c", str(a.clients * a.ctx), "-t", str(a.threads),
             "-tb", str(a.threads), "--host", "127.0.0.1", "--port", str(self.port)],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        while not self.ready():
            if self.child.poll() is not None:
                raise RuntimeError("llama-server ended: " + pathlib.Path(self.log.name).read_text(errors="replace")[-2000:])
            time.sleep(0.05)

    def ready(self):
        with contextlib.suppress(OSError), contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port)) as c:
            c.request("GET", "/health")
            return c.getresponse().status == 200
        return False

    def close(self):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.log.close()


def load(a, port, shared, clients, requests):
    done = subprocess.run(
        [a.hearth, "loadtest", f"http://127.0.0.1:{port}", "--clients", str(clients), "--requests", str(requests),
         "--prompt-words", str(a.words), "--shared-words", str(min(shared, a.words)), "--max-tokens", str(a.tokens),
         "--text", str(a.text), "--timeout", "1800", "--json"],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise RuntimeError(done.stderr or done.stdout)
    return json.loads(done.stdout)


def one_run(a, who, shared):
    if who == "llama-server":
        server = LlamaServer(a)
    else:
        more = ["--no-speculation"] if who == "hearth, no speculation" else []
        server = House(a.hearth, a.model, "--threads", a.threads, "--ctx", a.ctx, "--parallel", a.clients, *more)
    with contextlib.closing(server):
        return load(a, server.port, shared, a.clients, a.requests)


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--hearth", required=True)
    ap.add_argument("--model", required=True)
    ap.add_argument("--llama-server", default=os.environ.get("LLAMA_SERVER"), help="default: $LLAMA_SERVER")
    ap.add_argument("--text", default=ROOT / "data/shakespeare/hamlet.txt")
    ap.add_argument("--shared", action="append", type=int, help="words that all prompts share; default 300, then 0")
    ap.add_argument("--clients", type=int, default=8)
    ap.add_argument("--requests", type=int, default=16)
    ap.add_argument("--words", type=int, default=400)
    ap.add_argument("--tokens", type=int, default=64)
    ap.add_argument("--ctx", type=int, default=2048, help="of each request")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--pairs", type=int, default=1)
    ap.add_argument("--quick", action="store_true")
    a = ap.parse_args()
    if not a.llama_server:
        ap.error("where is llama-server? --llama-server FILE, or LLAMA_SERVER in the environment")
    if a.quick:
        a.clients, a.requests, a.words, a.tokens = 2, 2, 20, 4
    for shared in a.shared or [300, 0]:
        seen = {}
        for _ in range(a.pairs):
            for who in ("hearth", "llama-server", "hearth, no speculation"):
                got = one_run(a, who, shared)
                seen.setdefault(who, []).append(got)
                print(json.dumps({"server": who, "shared_words": shared, **got}), flush=True)
        peer = seen["llama-server"]
        for who in ("hearth", "hearth, no speculation"):
            faster = quantile([x["output_tokens_per_s"] / y["output_tokens_per_s"] for x, y in zip(seen[who], peer)], 0.5)
            sooner = quantile([x["ttft_ms"]["p90"] / y["ttft_ms"]["p90"] for x, y in zip(seen[who], peer)], 0.5)
            print(f"{who}, {shared} words shared: {faster:.2f} x the tokens per second, {sooner:.3f} x the time to the first "
                  "token at p90", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
