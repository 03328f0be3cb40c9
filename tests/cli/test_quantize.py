"""hearth quantize: every type from bard, opened, run and scored; what it prints; what it refuses."""
import errno
import json
import os
import re
import resource
import shutil
import signal
import struct
import subprocess

import pytest

from hearth_cli import BARD, HEARTH, ROOT, Terminal, needs_bard, ok, one_line, run

TEXT = ROOT / "tests" / "conformance" / "sonnets-1-12.txt"

# How much the perplexity of a short text may differ from that of bard as it comes (Q8_0), in percent. Such
# differences are mostly bias of few bits, a little of it luck.
WITHIN = {
    "F16": 0.3, "BF16": 0.3, "Q8_0": 0.01, "Q6_K": 0.4, "Q5_K_M": 0.6, "Q5_K_S": 0.8, "Q5_1": 0.8, "Q5_0": 1,
    "Q4_K_M": 1.2, "Q4_K_S": 1.8, "Q4_1": 2.5, "Q4_0": 3.5, "IQ4_NL": 1.8, "IQ4_XS": 1.8, "MXFP4": 4.5,
    "Q3_K_M": 4.5, "Q2_K": 18,
}
# Bytes of all tensors over those of F16, in percent.
SIZE = {
    "F16": 100, "BF16": 100, "Q8_0": 53.2, "Q6_K": 41.2, "Q5_K_M": 36, "Q5_K_S": 35, "Q5_1": 38, "Q5_0": 35,
    "Q4_K_M": 32, "Q4_K_S": 30, "Q4_1": 32, "Q4_0": 30, "IQ4_NL": 30, "IQ4_XS": 29, "MXFP4": 29, "Q3_K_M": 26,
    "Q2_K": 22,
}

pytestmark = needs_bard


def perplexity(model, tmp_path):
    text = tmp_path / "text"
    text.write_bytes(TEXT.read_bytes()[:6000])
    return json.loads(ok("perplexity", model, text, "--ctx", 256, "--json"))["perplexity"]


def quantize(*args, **kw):
    return json.loads(ok("quantize", *args, "--allow-requantize", "--json", **kw))


@pytest.mark.parametrize("kind", WITHIN)
def test_every_type(kind, tmp_path):
    out = tmp_path / "out.gguf"
    made = quantize("bard", out, kind.lower())
    count = len(ok("show", "bard", "--tensors").splitlines())
    assert made["type"] == kind and made["fell_back"] == 0 and made["tensors"] == count
    assert sum(t["tensors"] for t in made["tensor_types"]) == count
    assert made["bytes"] == sum(t["bytes"] for t in made["tensor_types"])
    assert abs(made["bits_per_weight"] / 16 * 100 - SIZE[kind]) < 1.5
    shown = json.loads(ok("show", out, "--json"))
    assert {t["type"]: t["tensors"] for t in shown["tensor_types"]} == \
        {t["type"]: t["tensors"] for t in made["tensor_types"]}
    assert shown["runs"] and shown["chat_family"] == "bard"
    assert ok("run", out, "Shall I compare thee", "--temp", 0, "-n", 8).strip()
    change = perplexity(out, tmp_path) / perplexity("bard", tmp_path) - 1
    assert abs(change) * 100 < WITHIN[kind], f"{change:+.2%}"


def test_the_same_bytes_for_any_thread_count_and_by_path(tmp_path):
    files = []
    for i, (model, threads) in enumerate([("bard", 1), (BARD, 2), ("bard", 5)]):
        quantize(model, tmp_path / f"{i}.gguf", "Q4_0", "--threads", threads)
        files.append((tmp_path / f"{i}.gguf").read_bytes())
    assert files[0] == files[1] == files[2]


def test_what_it_says(tmp_path):
    out = tmp_path / "out.gguf"
    done = run("quantize", "bard", out, "Q8_0")  # has the type already: nothing to allow
    assert done.returncode == 0 and done.stderr == b""
    assert re.match(r": Q8_0, ([\d.]+ MB) of weights \(\1 before\), 8\.5\d bits each, in [\d.]+ s\n",
                    done.stdout.decode().removeprefix(str(out)))
    metadata = ok("show", out, "--metadata").decode()
    assert "general.file_type" in metadata and "general.quantization_version" in metadata


def test_refusals(tmp_path):
    out = tmp_path / "out.gguf"

    def refused(code, word, *args):
        done = run("quantize", *args)
        assert done.returncode == code and done.stdout == b"", done
        assert word in one_line(done)
        assert os.listdir(tmp_path) == before

    before = os.listdir(tmp_path)
    refused(2, "--allow-requantize", "bard", out, "Q4_0")
    refused(2, 'did you mean "Q4_K_M"', "bard", out, "q4_k_n")
    refused(2, "choose one of F16, BF16", "bard", out, "nonsense")
    refused(3, "there is no model", "nobody", out, "Q4_0")
    refused(3, "none", tmp_path / "none.gguf", out, "Q4_0")
    refused(3, "none", "bard", tmp_path / "none" / "out.gguf", "Q8_0")
    refused(2, "part", "bard", tmp_path / "x-00001-of-00002.gguf", "Q8_0")
    assert run("quantize", "bard", out).returncode == 2
    out.write_bytes(b"not a model")
    before = os.listdir(tmp_path)
    refused(1, "--force", "bard", out, "Q8_0")
    refused(7, "out.gguf", out, tmp_path / "other.gguf", "Q8_0")
    assert out.read_bytes() == b"not a model"
    ok("quantize", "bard", out, "Q8_0", "--force")
    assert os.listdir(tmp_path) == before and out.stat().st_size > 0.99 * BARD.stat().st_size
    refused(2, "is the model that is read", out, tmp_path / "." / "out.gguf", "Q8_0", "--force")
    os.symlink("out.gguf", tmp_path / "link.gguf")
    before = os.listdir(tmp_path)
    refused(2, "is the model that is read", out, tmp_path / "link.gguf", "Q8_0", "--force")


def test_a_full_disk_leaves_nothing(tmp_path):
    """A limit on the size of files stands for the disk that fills after it was looked at."""
    done = subprocess.run(
        [HEARTH, "quantize", "bard", tmp_path / "out.gguf", "F16", "--allow-requantize"], capture_output=True,
        check=False, preexec_fn=lambda: (signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
                                         resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))))
    assert done.returncode != 0 and os.strerror(errno.EFBIG) in one_line(done)
    assert os.listdir(tmp_path) == []


def long_model(path, elements):
    """A file with one F16 matrix: of a pattern that costs the quantiser time, or of a hole where it is vast."""
    def text(s):
        return struct.pack("<Q", len(s)) + s
    rows = elements // 4096
    head = (b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + text(b"general.architecture") + struct.pack("<I", 8) +
            text(b"llama") + text(b"blk.0.ffn_up.weight") + struct.pack("<IQQIQ", 2, 4096, rows, 1, 0))
    head += b"\0" * (-len(head) % 32)
    row = b"".join(struct.pack("<e", (i * 7919 % 1009 - 504) / 5000) for i in range(4096))
    path.write_bytes(head + (row * rows if elements < 1 << 30 else b""))
    os.truncate(path, len(head) + 2 * 4096 * rows)


def test_a_disk_that_is_too_small(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    try:
        long_model(tmp_path / "vast.gguf", max(free, 1 << 31))  # Q8_0 of it: 6 % more than is free
    except OSError as e:
        pytest.skip(f"no file so long: {e}")
    done = run("quantize", tmp_path / "vast.gguf", tmp_path / "out.gguf", "Q8_0")
    assert done.returncode == 6
    assert re.search(r"needs [\d.]+ MB of disk, where [\d.]+ MB are free", one_line(done))
    assert os.listdir(tmp_path) == ["vast.gguf"]


def test_progress_and_interrupt_on_a_terminal(tmp_path):
    source = tmp_path / "long.gguf"
    long_model(source, 48 << 20)
    t = Terminal("quantize", source, tmp_path / "out.gguf", "IQ4_XS", "-t", 1, home=tmp_path)
    t.expect(r"quantizing long\.gguf \[#*\.*\] +\d+ % of 101 MB")
    t.interrupt()
    assert t.end() == 130
    assert b"interrupted: nothing was written" in t.text
    assert os.listdir(tmp_path) == ["long.gguf"]
