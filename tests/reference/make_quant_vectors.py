#!/usr/bin/env python3
"""Writes tests/quant/vectors.bin: blocks of every weight type with the floats that they stand for,
and floats with the blocks that the plain quantisers make of them, as the gguf package has both.

    python3 tests/reference/make_quant_vectors.py tests/quant/vectors.bin

Format, little endian: records until the end of the file, each
    u32 kind      0: blocks -> floats, 1: floats -> blocks
    u32 type      as in GGUF
    u32 n_blocks
    block bytes, then the floats
"""
import struct
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize

DECODED = "F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4".split()
ENCODED = "F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1".split()

# Where the halves stand in a block.
HALVES = {"F16": [0], "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2],
          "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
          "IQ4_NL": [0], "IQ4_XS": [0]}
# zero, minus zero, smallest and largest denormal, smallest normal, one, minus an odd one, largest
SCALES = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x3C00, 0xB555, 0x7BFF]
EXPONENTS = [0, 1, 2, 3, 127, 128, 129, 254]  # of MXFP4


def is_finite_half(h):
    return (h & 0x7C00) != 0x7C00


def blocks_of(name, rng):
    """Random blocks; the first ones have each extreme scale, in turn in every place of a half."""
    block, size = GGML_QUANT_SIZES[Type[name]]
    n = {1: 256, 32: 16, 256: 9}[block]
    b = rng.integers(0, 256, (n, size), dtype=np.uint8)
    if name == "MXFP4":
        b[: len(EXPONENTS), 0] = EXPONENTS
        b[:, 0] = np.minimum(b[:, 0], 254)
    for i, row in enumerate(b):
        for place, at in enumerate(HALVES.get(name, [])):
            h = int(rng.integers(0, 0x8000)) | (i & 1) << 15
            if i < len(SCALES):
                h = SCALES[(i + 3 * place) % len(SCALES)]
            while not is_finite_half(h):
                h = int(rng.integers(0, 0x7C00))
            row[at : at + 2] = list(struct.pack("<H", h))
    return b


def floats_of(rng):
    """Rows of 128 of several sizes and shapes; none so large that a half overflows."""
    rows = [rng.standard_normal(128) * s for s in (1.0, 0.02, 1e-4, 300.0)]
    rows.append(rng.standard_t(2, 128) * 0.02)
    rows.append(np.zeros(128))
    rows.append(np.repeat(rng.standard_normal(4), 32))  # constant blocks
    rows.append(np.where(rng.random(128) < 0.1, rng.standard_normal(128), 0.0))
    return np.concatenate(rows).astype(np.float32)


def main(path):
    rng = np.random.default_rng(20240607)
    out = bytearray()
    for name in DECODED:
        b = blocks_of(name, rng)
        with np.errstate(all="ignore"):
            x = dequantize(b.reshape(-1), Type[name]).reshape(-1).astype(np.float32)
        out += struct.pack("<3I", 0, int(Type[name]), len(b)) + b.tobytes() + x.tobytes()
    for name in ENCODED:
        x = floats_of(rng)
        with np.errstate(all="ignore"):
            b = np.frombuffer(quantize(x, Type[name]).tobytes(), np.uint8)
        n = len(x) // GGML_QUANT_SIZES[Type[name]][0]
        out += struct.pack("<3I", 1, int(Type[name]), n) + b.tobytes() + x.tobytes()
    with open(path, "wb") as f:
        f.write(out)
    print(f"{path}: {len(out)} bytes")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "tests/quant/vectors.bin")
