#!/usr/bin/env python3
"""Splits a GGUF model as the format's own tools do: split_model.py MODEL.gguf STEM PARTS

Writes STEM-00001-of-0000N.gguf and so on. The first part has all metadata, each split.no, split.count (both u16) and
split.tensors.count (i32); tensors go to the parts in their order, so many to each.
"""
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from with_template import ARRAY, STRING, U32, Reader, text  # noqa: E402,F401

I32, U16 = 5, 2


def aligned(n, align):
    return (n + align - 1) // align * align


def split(data, count, lie=None):
    """The parts' bytes. lie: what each part says instead, {"split.count": 9}."""
    n_tensors, n_pairs = struct.unpack_from("<QQ", data, 8)
    r, align = Reader(data), 32
    begin = r.at
    for _ in range(n_pairs):
        key, kind = r.text(), r.take("I")
        at = r.at
        r.skip(kind)
        if key == b"general.alignment":
            align = struct.unpack_from("<I", data, at)[0]
    pairs = data[begin:r.at]
    infos = []
    for _ in range(n_tensors):
        at = r.at
        r.text()
        n_dims = r.take("I")
        r.at += 8 * n_dims + 4
        offset = r.take("Q")
        infos.append((data[at:r.at - 8], offset))
    base = aligned(r.at, align)
    ends = sorted(o for _, o in infos) + [len(data) - base]
    size = {o: ends[i + 1] - o for i, o in enumerate(ends[:-1])}
    per_part = -(-n_tensors // count)
    out = []
    for no in range(count):
        mine = infos[no * per_part:(no + 1) * per_part]
        said = {"split.no": (U16, "H", no), "split.count": (U16, "H", count), "split.tensors.count": (I32, "i", n_tensors)}
        marks = b"".join(text(k.encode()) + struct.pack("<I" + form, kind, (lie or {}).get(k, value))
                         for k, (kind, form, value) in said.items())
        head = (data[:4] + struct.pack("<IQQ", 3, len(mine), len(said) + (n_pairs if no == 0 else 0))
                + (pairs if no == 0 else b"") + marks)
        body = b""
        for info, offset in mine:
            head += info + struct.pack("<Q", len(body))
            piece = data[base + offset:base + offset + size[offset]]
            body += piece.ljust(aligned(len(piece), align), b"\0")
        out.append(head.ljust(aligned(len(head), align), b"\0") + body)
    return out


def names(stem, count):
    return [f"{stem}-{i:05}-of-{count:05}.gguf" for i in range(1, count + 1)]


def main():
    model, stem, count = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    for name, part in zip(names(stem, count), split(model.read_bytes(), count)):
        pathlib.Path(name).write_bytes(part)


if __name__ == "__main__":
    main()
