#!/usr/bin/env python3
"""Writes a GGUF model of a published shape with random F16 weights: for speed, memory and format work.

    make_model.py SHAPE OUT.gguf [--vocab FILE.gguf] [--layers N] [--seed N]
    make_model.py --list

Random weights cost exactly the time that trained ones cost, and say nothing sensible. Matrices are F16, vectors and
routers F32; `hearth quantize` makes any other type of it. --vocab copies every tokenizer.* key of another GGUF file
(a vocabulary-only one will do) and its number of tokens; without it a byte-level vocabulary of the shape's own size
is made up. The mixtures of experts have the real widths, heads and experts, and few layers, so that they fit a small
machine: the time of a layer is what counts.

A tensor's numbers are stretches of one pool of normal random numbers, each from a place of its own, since drawing
billions would take longer than everything else. Needs numpy.
"""
import argparse
import mmap
import struct
import sys
from dataclasses import dataclass, field

import numpy as np

U32, I32, F32, BOOL, STRING, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10
FIXED = {0: 1, 1: 1, 2: 2, 3: 2, U32: 4, I32: 4, F32: 4, BOOL: 1, U64: 8, 11: 8, 12: 8}
PACK = {U32: "<I", I32: "<i", F32: "<f", BOOL: "<?", U64: "<Q"}
ALIGN = 32
POOL = (1 << 22) + 4099


@dataclass
class Shape:
    arch: str
    embd: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ff: int
    vocab: int
    context: int
    rope_base: float
    tied: bool = True
    head_norm: bool = False     # Q and K normed head by head
    experts: int = 0
    used: int = 0
    expert_ff: int = 0
    biases: bool = False        # on every matrix of a layer, and sinks in attention
    ffn_norm: str = "ffn_norm"
    more: list = field(default_factory=list)    # further keys: (name after the architecture, type, value)


SHAPES = {
    "llama-1b": Shape("llama", 2048, 16, 32, 8, 64, 8192, 128256, 131072, 5e5),
    "llama-8b": Shape("llama", 4096, 32, 32, 8, 128, 14336, 128256, 131072, 5e5, tied=False),
    "qwen3-0.6b": Shape("qwen3", 1024, 28, 16, 8, 128, 3072, 151936, 40960, 1e6, head_norm=True),
    "qwen3moe": Shape("qwen3moe", 2048, 3, 32, 4, 128, 6144, 151936, 40960, 1e6, tied=False, head_norm=True,
                      experts=128, used=8, expert_ff=768),
    "gpt-oss": Shape("gpt-oss", 2880, 2, 64, 8, 64, 2880, 128256, 131072, 150000.0, tied=False, experts=32, used=4,
                     expert_ff=2880, biases=True, ffn_norm="post_attention_norm",
                     more=[("attention.sliding_window", U32, 128), ("rope.scaling.type", STRING, "yarn"),
                           ("rope.scaling.factor", F32, 32.0),
                           ("rope.scaling.original_context_length", U32, 4096)]),
}


# ---- keys ----

def text(s):
    raw = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(raw)) + raw


def pair(key, kind, value):
    return text(key) + struct.pack("<I", kind) + (text(value) if kind == STRING else struct.pack(PACK[kind], value))


def pair_of_list(key, kind, values):
    body = b"".join(map(text, values)) if kind == STRING else np.asarray(values, "<i4").tobytes()
    return text(key) + struct.pack("<IIQ", ARRAY, kind, len(values)) + body


def value_end(data, at, kind):
    """The place after a value."""
    if kind == STRING:
        return at + 8 + struct.unpack_from("<Q", data, at)[0]
    if kind != ARRAY:
        return at + FIXED[kind]
    inner, n = struct.unpack_from("<IQ", data, at)
    at += 12
    if inner in FIXED:
        return at + n * FIXED[inner]
    for _ in range(n):
        at = value_end(data, at, inner)
    return at


def borrowed_tokenizer(path):
    """Every tokenizer.* pair of a GGUF file as it stands there, and the number of tokens."""
    pairs, n_tokens = [], 0
    with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
        magic, version, _, n_pairs = struct.unpack_from("<4sIQQ", data, 0)
        if magic != b"GGUF" or version not in (2, 3):
            sys.exit(f"make_model: {path} is no GGUF file of version 2 or 3")
        at = 24
        for _ in range(n_pairs):
            start = at
            length = struct.unpack_from("<Q", data, at)[0]
            name = data[at + 8:at + 8 + length]
            at += 8 + length
            kind = struct.unpack_from("<I", data, at)[0]
            if name == b"tokenizer.ggml.tokens":
                n_tokens = struct.unpack_from("<Q", data, at + 8)[0]
            at = value_end(data, at + 4, kind)
            if name.startswith(b"tokenizer."):
                pairs.append(data[start:at])
    if not n_tokens:
        sys.exit(f"make_model: {path} has no tokenizer.ggml.tokens")
    return pairs, n_tokens


def invented_tokenizer(n):
    """Byte-level BPE: the 256 bytes as GPT-2 prints them, fillers, and two control tokens."""
    shown = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    hidden = [b for b in range(256) if b not in shown]
    letter = {b: chr(b) for b in shown} | {b: chr(256 + i) for i, b in enumerate(hidden)}
    tokens = [letter[b] for b in range(256)] + [f"<unused{i}>" for i in range(n - 258)] + ["<begin>", "<end>"]
    return [pair("tokenizer.ggml.model", STRING, "gpt2"), pair("tokenizer.ggml.pre", STRING, "gpt-2"),
            pair_of_list("tokenizer.ggml.tokens", STRING, tokens),
            pair_of_list("tokenizer.ggml.token_type", I32, [1] * (n - 2) + [3, 3]),
            pair_of_list("tokenizer.ggml.merges", STRING, ["t h"]),
            pair("tokenizer.ggml.bos_token_id", U32, n - 2), pair("tokenizer.ggml.eos_token_id", U32, n - 1)]


def keys_of(name, s, n_vocab):
    own = [("block_count", U32, s.layers), ("context_length", U32, s.context), ("embedding_length", U32, s.embd),
           ("feed_forward_length", U32, s.ff), ("attention.head_count", U32, s.heads),
           ("attention.head_count_kv", U32, s.kv_heads), ("attention.key_length", U32, s.head_dim),
           ("attention.value_length", U32, s.head_dim), ("attention.layer_norm_rms_epsilon", F32, 1e-5),
           ("rope.freq_base", F32, s.rope_base), ("rope.dimension_count", U32, s.head_dim), ("vocab_size", U32, n_vocab)]
    if s.experts:
        own += [("expert_count", U32, s.experts), ("expert_used_count", U32, s.used),
                ("expert_feed_forward_length", U32, s.expert_ff)]
    head = [pair("general.architecture", STRING, s.arch), pair("general.name", STRING, f"random {name}"),
            pair("general.file_type", U32, 1)]
    return head + [pair(f"{s.arch}.{key}", kind, value) for key, kind, value in own + s.more]


# ---- tensors: (name, shape with the longest stride first, spread; None: all ones) ----

def tensors_of(s, n_vocab):
    d, q, kv = s.embd, s.heads * s.head_dim, s.kv_heads * s.head_dim
    out = [("token_embd.weight", (n_vocab, d), 0.02), ("output_norm.weight", (d,), None)]
    if not s.tied:
        out.append(("output.weight", (n_vocab, d), 0.02))
    for layer in range(s.layers):
        def add(name, *shape, spread=None, at=f"blk.{layer}."):
            out.append((at + name, shape, spread))

        def matrix(name, *shape):
            add(name + ".weight", *shape, spread=shape[-1] ** -0.5)
            if s.biases:
                add(name + ".bias", *shape[:-1], spread=0.02)

        add("attn_norm.weight", d)
        matrix("attn_q", q, d)
        matrix("attn_k", kv, d)
        matrix("attn_v", kv, d)
        matrix("attn_output", d, q)
        if s.head_norm:
            add("attn_q_norm.weight", s.head_dim)
            add("attn_k_norm.weight", s.head_dim)
        if s.biases:
            add("attn_sinks.weight", s.heads, spread=1.0)
        add(s.ffn_norm + ".weight", d)
        if s.experts:
            matrix("ffn_gate_inp", s.experts, d)
            matrix("ffn_gate_exps", s.experts, s.expert_ff, d)
            matrix("ffn_up_exps", s.experts, s.expert_ff, d)
            matrix("ffn_down_exps", s.experts, d, s.expert_ff)
        else:
            matrix("ffn_gate", s.ff, d)
            matrix("ffn_up", s.ff, d)
            matrix("ffn_down", d, s.ff)
    return out


def is_half(name, shape):
    return len(shape) > 1 and name.endswith(".weight") and "gate_inp" not in name


def padded(n):
    return -n % ALIGN


def write_numbers(f, name, shape, spread, pool, rng):
    left = int(np.prod(shape))
    kind = "<f2" if is_half(name, shape) else "<f4"
    size = left * (2 if kind == "<f2" else 4)
    if spread is None:
        f.write(np.ones(left, kind).tobytes())
    else:
        scaled = (pool * np.float32(spread)).astype(kind)
        while left > 0:
            start = int(rng.integers(0, len(pool)))
            part = scaled[start:start + left]
            f.write(part.tobytes())
            left -= len(part)
    f.write(b"\0" * padded(size))


def write_model(path, name, s, vocab, seed):
    tokenizer, n_vocab = borrowed_tokenizer(vocab) if vocab else (invented_tokenizer(s.vocab), s.vocab)
    tensors = tensors_of(s, n_vocab)
    keys = keys_of(name, s, n_vocab) + tokenizer
    infos, at = b"", 0
    for tensor, shape, _ in tensors:
        half = is_half(tensor, shape)
        infos += text(tensor) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), 1 if half else 0, at)
        size = int(np.prod(shape)) * (2 if half else 4)
        at += size + padded(size)
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(keys)) + b"".join(keys) + infos
    rng = np.random.default_rng(seed)
    pool = rng.standard_normal(POOL, dtype=np.float32)
    with open(path, "wb") as f:
        f.write(head + b"\0" * padded(len(head)))
        for tensor, shape, spread in tensors:
            write_numbers(f, tensor, shape, spread, pool, rng)
    return sum(int(np.prod(shape)) for _, shape, _ in tensors)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("shape", nargs="?", choices=SHAPES)
    ap.add_argument("out", nargs="?")
    ap.add_argument("--vocab", help="GGUF file whose tokenizer is copied")
    ap.add_argument("--layers", type=int, help="instead of the shape's own number")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--list", action="store_true", help="print the shapes")
    a = ap.parse_args()
    if a.list:
        for name, s in SHAPES.items():
            print(f"{name:12} {s.arch}, width {s.embd}, {s.layers} layers"
                  + (f", {s.used} of {s.experts} experts" if s.experts else ""))
        return
    if not a.shape or not a.out:
        ap.error("a shape and a file are needed")
    s = SHAPES[a.shape]
    s.layers = a.layers or s.layers
    n = write_model(a.out, a.shape, s, a.vocab, a.seed)
    print(f"{a.out}: {s.arch}, {s.layers} layers, {n / 1e6:.1f} M parameters")


if __name__ == "__main__":
    main()
