#!/usr/bin/env python3
"""Copies a GGUF model with another chat template: with_template.py MODEL.gguf TEMPLATE.jinja OUT.gguf

So a small model can stand for a family whose template has a place for tools and thoughts.
"""
import pathlib
import struct
import sys

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
U32, STRING, ARRAY = 4, 8, 9
KEY = b"tokenizer.chat_template"


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 24

    def take(self, form):
        value = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return value[0]

    def text(self):
        n = self.take("Q")
        self.at += n
        return self.data[self.at - n:self.at]

    def skip(self, kind):
        if kind == STRING:
            self.text()
        elif kind == ARRAY:
            inner, n = self.take("I"), self.take("Q")
            if inner in SIZES:
                self.at += SIZES[inner] * n
            else:
                for _ in range(n):
                    self.skip(inner)
        else:
            self.at += SIZES[kind]


def text(raw):
    return struct.pack("<Q", len(raw)) + raw


def with_template(data, template):
    n_tensors, n_pairs = struct.unpack_from("<QQ", data, 8)
    r, pairs, align = Reader(data), b"", 32
    for _ in range(n_pairs):
        begin = r.at
        key, kind = r.text(), r.take("I")
        value = r.at
        r.skip(kind)
        if key == b"general.alignment":
            align = struct.unpack_from("<I", data, value)[0]
        if key != KEY:
            pairs += data[begin:r.at]
    infos = r.at
    had = n_pairs - (KEY in data[:infos])
    for _ in range(n_tensors):
        r.text()
        n_dims = r.take("I")
        r.at += 8 * n_dims + 12
    pairs += text(KEY) + struct.pack("<I", STRING) + text(template)
    head = data[:8] + struct.pack("<QQ", n_tensors, had + 1) + pairs + data[infos:r.at]
    weights = data[(r.at + align - 1) // align * align:]
    return head + bytes(-len(head) % align) + weights


if __name__ == "__main__":
    model, template, out = map(pathlib.Path, sys.argv[1:])
    out.write_bytes(with_template(model.read_bytes(), template.read_bytes()))
