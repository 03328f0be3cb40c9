#!/usr/bin/env python3
"""llama.cpp's library behind the protocol of `hearth bench --paced`: for bench/compare.py.

    peer_worker.py MODEL '{"prompt": 512, "tokens": 64, "context": 1, "kv": "f16", "threads": 2}'

Loads, warms up (which fills the context, once for all), prints {"ready": true}; then measures once for every line on
stdin and prints {"prefill": tokens/s, "decode": tokens/s}. Greedy from the raw logits: the least that a program has
to do for a token.
"""
import json
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/peers"))

from llama_cpp import Peer  # noqa: E402  the module beside run.sh, not the package of that name


def say(**what):
    print(json.dumps(what), flush=True)


def prefill(peer, n):
    ids = [random.randrange(100, peer.n_vocab - 1000) for _ in range(n)]
    start = time.perf_counter()
    peer.eval(ids)
    return n / (time.perf_counter() - start)


def decode(peer, ids, n):
    """n tokens after the context; what is there of it already is kept."""
    have = min(peer.pos, len(ids) - 1)
    peer.cut(have)
    token = int(peer.eval(ids[have:]).argmax())
    start = time.perf_counter()
    for _ in range(n):
        token = int(peer.eval([token]).argmax())
    return n / (time.perf_counter() - start)


def measure(peer, spec, context):
    out = {}
    if spec["prompt"]:
        peer.clear()
        out["prefill"] = prefill(peer, spec["prompt"])
        peer.clear()
    if spec["tokens"]:
        out["decode"] = decode(peer, context, spec["tokens"])
    return out


def main():
    model, spec = sys.argv[1], json.loads(sys.argv[2])
    n_ctx = max(spec["prompt"], spec["context"] + spec["tokens"]) + 64
    peer = Peer(model, n_ctx=n_ctx, n_threads=spec["threads"], q8_kv=spec["kv"] == "q8")
    random.seed(1616)
    context = [random.randrange(100, peer.n_vocab - 1000) for _ in range(spec["context"])]
    measure(peer, {**spec, "prompt": min(spec["prompt"], 64), "tokens": min(spec["tokens"], 4)}, context)
    say(ready=True)
    for _ in sys.stdin:
        say(ready=False, **measure(peer, spec, context))


if __name__ == "__main__":
    main()
