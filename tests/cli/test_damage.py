"""Damaged model files at the command line: `hearth show`, with its estimate of memory, gives facts or one line of
complaint, never a signal. The header of a small valid file is cut, its bits flipped and its integer fields set to
boundary values; a sample of them here, every one with HEARTH_TEST_SIZE=nightly (tests/gguf and tests/model load every
one in one process)."""
import os
import struct

from hearth_cli import run

U32, F32, STRING, ARRAY, I32 = 4, 6, 8, 9, 5
EDGES = [0, 1, 2, 3, 7, 8, 31, 32, 127, 128, 255, 256, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40,
         2**53, 2**63 - 1, 2**63, 2**64 - 1]
STRIDE = 1 if os.environ.get("HEARTH_TEST_SIZE") == "nightly" else 41


class Header:
    """Bytes of a GGUF header, and where its integers stand."""

    def __init__(self):
        self.b, self.fields = b"", []

    def num(self, fmt, v):
        if fmt in "IQ":
            self.fields.append((len(self.b), struct.calcsize("<" + fmt)))
        self.b += struct.pack("<" + fmt, v)

    def text(self, s):
        self.num("Q", len(s.encode()))
        self.b += s.encode()

    def pair(self, key, kind, v):
        self.text(key)
        self.num("I", kind)
        if kind == STRING:
            self.text(v)
        else:
            self.num({U32: "I", F32: "f"}[kind], v)

    def array(self, key, kind, items):
        self.text(key)
        self.num("I", ARRAY)
        self.num("I", kind)
        self.num("Q", len(items))
        for x in items:
            self.text(x) if kind == STRING else self.num("i", x)


def valid_file():
    """A llama of one layer, 32 wide, with eight tokens: (bytes, length of the header, integer fields)."""
    h, d = Header(), 32
    tensors = [("token_embd.weight", (d, 8)), ("output_norm.weight", (d,)), ("blk.0.attn_norm.weight", (d,)),
               ("blk.0.attn_q.weight", (d, d)), ("blk.0.attn_k.weight", (d, d)), ("blk.0.attn_v.weight", (d, d)),
               ("blk.0.attn_output.weight", (d, d)), ("blk.0.ffn_norm.weight", (d,)), ("blk.0.ffn_gate.weight", (d, d)),
               ("blk.0.ffn_up.weight", (d, d)), ("blk.0.ffn_down.weight", (d, d))]
    h.b = b"GGUF"
    h.num("I", 3)
    h.num("Q", len(tensors))
    h.num("Q", 14)
    h.pair("general.architecture", STRING, "llama")
    for key, v in (("block_count", 1), ("context_length", 64), ("embedding_length", d), ("feed_forward_length", d),
                   ("attention.head_count", 2), ("attention.head_count_kv", 1 * 2), ("rope.dimension_count", 16)):
        h.pair("llama." + key, U32, v)
    h.pair("llama.attention.layer_norm_rms_epsilon", F32, 1e-5)
    h.pair("tokenizer.ggml.model", STRING, "gpt2")
    h.pair("tokenizer.ggml.pre", STRING, "gpt-2")
    h.array("tokenizer.ggml.tokens", STRING, ["a", "b", "c", "d", "e", "ab", "<s>", "</s>"])
    h.array("tokenizer.ggml.token_type", I32, [1] * 6 + [3, 3])
    h.array("tokenizer.ggml.merges", STRING, ["a b"])
    at = 0
    for name, shape in tensors:
        h.text(name)
        h.num("I", len(shape))
        size = 4
        for n in shape:
            h.num("Q", n)
            size *= n
        h.num("I", 0)
        h.num("Q", at)
        at += size
    header = len(h.b)
    assert header < 4096
    return h.b + bytes(-header % 32) + bytes(at), header, h.fields


def damaged():
    good, header, fields = valid_file()
    for cut in range(header):
        yield f"cut at {cut}", good[:cut]
    for bit in range(header * 8):
        yield f"bit {bit}", good[:bit // 8] + bytes([good[bit // 8] ^ 1 << bit % 8]) + good[bit // 8 + 1:]
    for at, size in fields:
        for v in EDGES:
            yield f"{size} bytes at {at} = {v}", good[:at] + (v % 2**(8 * size)).to_bytes(size, "little") + good[at + size:]


def test_show_of_the_valid_file(tmp_path):
    path = tmp_path / "good.gguf"
    path.write_bytes(valid_file()[0])
    done = run("show", path)
    assert done.returncode == 0 and b"llama" in done.stdout, done.stderr


def test_show_of_damaged_files(tmp_path):
    path, seen = tmp_path / "bad.gguf", set()
    for i, (what, data) in enumerate(damaged()):
        if i % STRIDE:
            continue
        path.write_bytes(data)
        done = run("show", path, "--ctx", "64", "--json")
        assert done.returncode in (0, 1, 2, 6, 7), (what, done.returncode, done.stderr)
        assert b"Sanitizer" not in done.stderr, (what, done.stderr)
        assert done.returncode == 0 or done.stderr.count(b"\n") == 1, (what, done.stderr)
        seen.add(done.returncode)
    assert {0, 7} <= seen
