#!/usr/bin/env python3
"""Writes a low-rank adapter (LoRA) in GGUF for a model: random, and strong enough to change what the model says.

    make_lora.py MODEL.json OUT.gguf [--seed N] [--rank N] [--alpha X] [--gain X] [--only TEXT] [--half]

MODEL.json is what `hearth show MODEL --json --tensors` prints. Every matrix of the layers whose name holds TEXT
(default: all) gets a pair; of a mixture's experts each has its own. --gain is the size of the change beside that of
random weights of this width (1: about as large).
"""
import argparse
import json
import random
import struct

U32, F32, STRING = 4, 6, 8
ALIGN = 32


def text(s):
    raw = s.encode()
    return struct.pack("<Q", len(raw)) + raw


def pair(key, kind, value):
    return text(key) + struct.pack("<I", kind) + (text(value) if kind == STRING
                                                  else struct.pack("<f" if kind == F32 else "<I", value))


def numbers(rng, n, scale, half):
    return struct.pack(f"<{n}{'e' if half else 'f'}", *(rng.gauss(0, scale) for _ in range(n)))


def tensors_of(model, rng, rank, gain, only, half):
    for t in model["tensors"]:
        shape = t["shape"]
        if len(shape) < 2 or not t["name"].startswith("blk.") or only not in t["name"]:
            continue
        n_in, n_out, more = shape[0], shape[1], shape[2:]
        experts = more[0] if more else 1
        yield t["name"] + ".lora_a", [n_in, rank, *more], numbers(rng, n_in * rank * experts, n_in ** -0.5, half)
        yield (t["name"] + ".lora_b", [rank, n_out, *more],
               numbers(rng, rank * n_out * experts, gain * rank ** -0.5, half))


def build(model, seed=1, rank=4, alpha=0.0, gain=1.0, only="", half=False):
    """The file's bytes."""
    rng = random.Random(seed)
    tensors = list(tensors_of(model, rng, rank, gain, only, half))
    keys = [pair("general.type", STRING, "adapter"), pair("general.architecture", STRING, model["architecture"]),
            pair("general.name", STRING, f"random {seed}"), pair("adapter.type", STRING, "lora"),
            pair("adapter.lora.alpha", F32, alpha)]
    head = struct.pack("<IIQQ", 0x46554747, 3, len(tensors), len(keys)) + b"".join(keys)
    body, at = b"", 0
    for name, shape, data in tensors:
        head += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 1 if half else 0, at)
        body += data + b"\0" * (-len(data) % ALIGN)
        at = len(body)
    return head + b"\0" * (-len(head) % ALIGN) + body


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("out")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--rank", type=int, default=4)
    p.add_argument("--alpha", type=float, default=0.0)
    p.add_argument("--gain", type=float, default=1.0)
    p.add_argument("--only", default="")
    p.add_argument("--half", action="store_true", help="numbers of 16 bits")
    a = p.parse_args()
    with open(a.model, encoding="utf-8") as f:
        model = json.load(f)
    with open(a.out, "wb") as f:
        f.write(build(model, a.seed, a.rank, a.alpha, a.gain, a.only, a.half))


if __name__ == "__main__":
    main()
