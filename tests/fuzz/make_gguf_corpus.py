#!/usr/bin/env python3
"""Writes the seed files of the GGUF fuzz target: small files that each show the reader one thing.

    python3 tests/fuzz/make_gguf_corpus.py [tests/fuzz/corpus/gguf]
"""
import os
import struct
import sys

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
SCALAR = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q",
          I64: "q", F64: "d"}
# type: elements and bytes of a block
BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
          10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
          20: (32, 18), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8),
          30: (1, 2), 39: (32, 17)}


def string(s):
    s = s.encode() if isinstance(s, str) else s
    return struct.pack("<Q", len(s)) + s


def value(kind, v):
    if kind == STRING:
        return string(v)
    if kind == ARRAY:
        elem, items = v
        return struct.pack("<IQ", elem, len(items)) + b"".join(value(elem, i) for i in items)
    return struct.pack("<" + SCALAR[kind], v)


def pair(key, kind, v):
    return string(key) + struct.pack("<I", kind) + value(kind, v)


def model(pairs=(), tensors=(), version=3, align=32, cut=0):
    """tensors: (name, shape, type); their data is a counter."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs)) + b"".join(pairs)
    data = b""
    for name, shape, kind in tensors:
        n = 1
        for axis in shape:
            n *= axis
        block, size = BLOCKS.get(kind, (1, 1))
        data += b"\0" * (-len(data) % align)
        head += string(name)
        head += struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, len(data))
        data += bytes((i * 37 + 1) % 119 for i in range(n // block * size))
    head += b"\0" * (-len(head) % align)
    whole = head + data
    return whole[: len(whole) - cut]


def seeds():
    scalars = [pair(f"k{kind}", kind, 1) for kind in SCALAR]
    yield "empty", model()
    yield "version-2", model([pair("a", U8, 1)], version=2)
    yield "version-1", model(version=1)
    yield "big-endian", b"GGUF" + struct.pack(">IQQ", 3, 0, 0)
    yield "scalars", model(scalars)
    yield "arrays", model([pair(f"k{kind}", ARRAY, (kind, [0, 1, 1])) for kind in SCALAR])
    tokens = (STRING, ["a", "", "h\u00e9", "x" * 70])
    yield "strings", model([pair("tokenizer.ggml.tokens", ARRAY, tokens),
                            pair("s", STRING, b"\xff\0\n")])
    deep = (I32, [1, 2])
    for _ in range(3):
        deep = (ARRAY, [deep])
    yield "nested", model([pair("deep", ARRAY, deep)])
    yield "nested-too-deep", model([pair("deep", ARRAY, (ARRAY, [deep]))])
    small = [k for k in BLOCKS if BLOCKS[k][0] < 256]
    large = [k for k in BLOCKS if BLOCKS[k][0] == 256]
    yield "tensors-32", model((), [(f"t{k}", (BLOCKS[k][0], 2), k) for k in small])
    yield "tensors-256", model((), [(f"t{k}", (256,), k) for k in large])
    yield "tensor-4d", model((), [("t", (2, 3, 4, 5), 0)])
    yield "tensor-unknown", model((), [("t", (2,), 16)])
    yield "tensor-cut", model((), [("t", (64,), 8)], cut=3)
    yield "tensor-twice", model((), [("t", (4,), 0), ("t", (4,), 0)])
    for align in (8, 4096):
        yield f"align-{align}", model([pair("general.alignment", U32, align)],
                                      [("a", (3,), 0), ("b", (3,), 0)], align=align)
    yield "align-48", model([pair("general.alignment", U32, 48)])
    yield "key-twice", model([pair("a", U8, 1), pair("a", U8, 2)])
    yield "split", model([pair("split.no", U16, 0), pair("split.count", U16, 3),
                          pair("split.tensors.count", I32, 9)])
    yield "llama", model([pair("general.architecture", STRING, "llama"),
                          pair("llama.block_count", U32, 1),
                          pair("llama.embedding_length", U32, 32),
                          pair("llama.context_length", U32, 64),
                          pair("llama.attention.head_count", U32, 2),
                          pair("llama.rope.freq_base", F32, 10000.0)],
                         [("token_embd.weight", (32, 4), 1), ("blk.0.attn_q.weight", (32, 32), 8)])


def main(folder):
    os.makedirs(folder, exist_ok=True)
    total = 0
    for name, data in seeds():
        total += len(data)
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)
    print(f"{folder}: {total} bytes")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "tests/fuzz/corpus/gguf")
