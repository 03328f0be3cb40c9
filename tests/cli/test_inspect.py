"""The commands that look at a model: show, tokenize, detokenize, logits, perplexity, bench."""
import json
import math
import random

import pytest

from hearth_cli import BARD, SHARED, needs_bard, needs_shared, ok, one_line, run

TEXT = "To be, or not to be: that is the question.\nGrüße — 世界 🌍\t\x07"


def tokens(*args, **kw):
    return json.loads(ok("tokenize", *args, "--json", **kw))


@needs_bard
def test_tokenize(tmp_path):
    ids = tokens("bard", TEXT)
    assert ids and ids == tokens(BARD, TEXT) == tokens("bard", stdin=TEXT.encode())
    assert ok("tokenize", "bard", TEXT, "--json") == b"[" + ",".join(map(str, ids)).encode() + b"]\n"
    assert run("tokenize", "bard", TEXT, "--json").stderr == b""
    rows = ok("tokenize", "bard", TEXT).decode().splitlines()
    assert [int(row.split()[0]) for row in rows] == ids and rows[0].endswith('"To"')
    assert tokens("bard", "") == [] == tokens("bard", stdin=b"")


@needs_bard
def test_tokenize_file_is_read_byte_for_byte(tmp_path):
    noise = random.Random(1).randbytes(5000) + b"\r\n\0\xff \n"
    file = tmp_path / "noise"
    file.write_bytes(noise)
    ids = tokens("bard", "--file", file)
    assert ids == tokens("bard", stdin=noise)
    assert ok("detokenize", "bard", stdin=json.dumps(ids).encode()) == noise
    assert run("tokenize", "bard", "--file", tmp_path / "none").returncode == 3


@needs_bard
def test_specials_and_bos_only_when_asked():
    plain = tokens("bard", "<|user|>Hi<|end|>")
    special = tokens("bard", "<|user|>Hi<|end|>", "--special")
    assert len(special) < len(plain)
    bos = tokens("bard", "Hi", "--bos")
    assert bos == [4091] + tokens("bard", "Hi")
    ids = ",".join(map(str, special))
    assert ok("detokenize", "bard", ids) == b"Hi"
    assert ok("detokenize", "bard", ids, "--special") == b"<|user|>Hi<|end|>"


@needs_bard
def test_detokenize():
    ids = tokens("bard", TEXT)
    want = TEXT.encode()
    assert ok("detokenize", "bard", ",".join(map(str, ids))) == want
    assert ok("detokenize", "bard", *ids) == want
    assert ok("detokenize", "bard", " ".join(map(str, ids))) == want
    assert json.loads(ok("detokenize", "bard", *ids, "--json")) == TEXT
    done = run("detokenize", "bard", "999999")
    assert done.returncode == 2 and "999999" in one_line(done)


@needs_bard
def test_logits():
    ids = tokens("bard", "To be, or not to be")
    listed = ",".join(map(str, ids))
    last = json.loads(ok("logits", "bard", "--tokens", listed, "--json"))
    every = json.loads(ok("logits", "bard", "--tokens", listed, "--all", "--json"))
    assert last["tokens"] == ids and last["n_vocab"] == len(last["logits"]) == 4096
    assert len(every["logits"]) == len(ids) and every["logits"][-1] == last["logits"]
    for k in range(1, len(ids)):  # what comes after does not matter
        part = json.loads(ok("logits", "bard", "--tokens", ",".join(map(str, ids[:k])), "--json"))
        assert part["logits"] == every["logits"][k - 1]
    exact = json.loads(ok("logits", "bard", "--tokens", listed, "--json", "--f32", "--kv", "f32"))["logits"]
    spread = max(exact) - min(exact)
    assert 0 < max(abs(a - b) for a, b in zip(exact, last["logits"])) < 0.05 * spread
    table = ok("logits", "bard", "--tokens", listed).decode().splitlines()
    assert len(table) == 11 and int(table[1].split()[0]) == max(range(4096), key=last["logits"].__getitem__)
    assert run("logits", "bard", "--tokens", "4096").returncode == 2


@needs_bard
def test_logits_of_many_tokens_do_not_depend_on_the_pieces():
    ids = [random.Random(2).randrange(4000) for _ in range(150)]
    every = json.loads(ok("logits", "bard", "--tokens", ",".join(map(str, ids)), "--all", "--json"))["logits"]
    for k in (64, 65, 128, 129):
        part = json.loads(ok("logits", "bard", "--tokens", ",".join(map(str, ids[:k])), "--json"))
        assert part["logits"] == every[k - 1]


@needs_bard
def test_more_tokens_than_the_context_are_refused_before_anything_is_printed():
    done = run("logits", "bard", "--tokens", ",".join(map(str, range(1025))), "--json")
    assert done.returncode == 6 and done.stdout == b"" and "1024" in one_line(done)


@needs_bard
def test_a_model_without_a_tokenizer(tmp_path):
    """Numbers go in and out of it; what needs text says so."""
    model = tmp_path / "numbers.gguf"
    model.write_bytes(BARD.read_bytes().replace(b"tokenizer.ggml.model", b"tokenizer.ggml.spare"))
    text = tmp_path / "text"
    text.write_text("To be. " * 2000, encoding="utf-8")
    with_text = ok("logits", "bard", "--tokens", "1,2,3").decode().splitlines()
    without = ok("logits", model, "--tokens", "1,2,3").decode().splitlines()
    assert [row.split()[:2] for row in without[1:]] == [row.split()[:2] for row in with_text[1:]]
    assert all(row.endswith('""') for row in without[1:])
    ok("bench", model, "-p", "8", "-n", "2", "-r", "1")
    assert json.loads(ok("show", model, "--json"))["tokenizer"] is None
    for args in [("perplexity", model, text), ("tokenize", model, "x"), ("detokenize", model, "1"),
                 ("run", model, "--raw", "x")]:
        done = run(*args)
        assert done.returncode == 1 and "no tokenizer" in one_line(done) and done.stdout == b""


def nll(row, token):
    top = max(row)
    return math.log(sum(math.exp(v - top) for v in row)) - (row[token] - top)


@needs_bard
def test_perplexity(tmp_path):
    """Against the definition, from the logits of each window."""
    file = tmp_path / "text"
    file.write_text("Shall I compare thee to a summer's day?\nThou art more lovely and more temperate:\n" * 6, encoding="utf-8")
    got = json.loads(ok("perplexity", "bard", file, "--ctx", "32", "--json"))
    ids = tokens("bard", "--file", file, "--bos")
    bos, scores = ids[0], []
    for w in range(len(ids) // 32):
        window = [bos] + ids[w * 32 + 1:w * 32 + 32]
        rows = json.loads(ok("logits", "bard", "--tokens", ",".join(map(str, window)), "--all", "--json"))["logits"]
        scores += [nll(rows[i], window[i + 1]) for i in range(16, 31)]
    mean = sum(scores) / len(scores)
    variance = sum(s * s for s in scores) / len(scores) - mean * mean
    assert got["tokens_scored"] == len(scores) and got["windows"] == len(ids) // 32
    assert got["perplexity"] == pytest.approx(math.exp(mean), rel=1e-6)
    assert got["standard_error"] == pytest.approx(math.exp(mean) * math.sqrt(variance / (len(scores) - 1)), rel=1e-4)
    assert f"{got['perplexity']:.4f} ±" in ok("perplexity", "bard", file, "--ctx", "32").decode()
    assert run("perplexity", "bard", file, "--ctx", "2048").returncode == 6
    done = run("perplexity", "bard", file, "--ctx", "1024")
    assert done.returncode == 2 and "1024" in one_line(done)
    assert run("perplexity", "bard", tmp_path / "none").returncode == 3


def spreads(got, keys):
    for key in keys:
        assert set(got[key]) == {"median", "min", "max"}
        assert 0 < got[key]["min"] <= got[key]["median"] <= got[key]["max"]


@needs_bard
def test_bench():
    got = json.loads(ok("bench", "bard", "-p", "32", "-n", "8", "-t", "1", "-r", "3", "--json"))
    spreads(got, ("prefill_tokens_per_s", "decode_tokens_per_s"))
    assert got["threads"] == 1 and got["repetitions"] == 3 and got["kernels"]
    assert got["prefill_share_of_peak"] is None and got["decode_share_of_read"] is None and "limits" not in got
    done = run("bench", "bard", "-p", "4000", "-n", "8")
    assert done.returncode == 6 and "1024" in one_line(done)
    got = json.loads(ok("bench", "bard", "-p", "0", "-n", "8", "-r", "1", "--json"))
    assert got["prefill_tokens_per_s"] is None and got["decode_tokens_per_s"]


@needs_bard
def test_bench_profile_sums_to_the_whole():
    args = ["bench", "bard", "-p", "32", "-n", "8", "-t", "2", "-r", "1", "--profile"]
    got = json.loads(ok(*args, "--json"))
    for half in ("prefill_seconds_by_step", "decode_seconds_by_step"):
        steps = dict(got[half])
        whole = steps.pop("all")
        assert {"qkv", "attention", "head", "wait", "other"} <= set(steps)
        assert all(v >= 0 for v in steps.values()) and 0 < steps["wait"] < whole
        assert sum(steps.values()) == pytest.approx(whole, rel=1e-9)
    text = ok(*args).decode()
    assert "2 threads" in text and "prefill" in text and "attention" in text and "wait" in text


def profile_rows(*args):
    """The table's lines by name: the figures without their shares."""
    text = ok("bench", "bard", "-p", "16", "-n", "8", "-t", "2", "-r", "1", "--profile", *args).decode()
    said, table = text[text.index("one more run"):].split("\n", 1)
    rows = [line.split() for line in table.splitlines()]
    return said, {r[0]: [float(x) for x in r[1:] if not x.endswith("%")] for r in rows if r and "%" in r[-2] + r[-1]}


@needs_bard
def test_bench_profile_says_what_it_measured():
    """Several sequences: a step is a token of each, and both columns sum to their whole."""
    said, rows = profile_rows("-s", "4")
    assert "8 steps of decoding, of 4 sequences with a token each" in said
    whole = rows.pop("all")
    for i in range(3):
        assert sum(r[i] for r in rows.values()) == pytest.approx(whole[i], abs=1e-4 * len(rows))
    prefill, step, token = whole
    assert prefill > 0 and token == pytest.approx(step / 4, abs=1e-4)
    said, rows = profile_rows()
    assert "8 steps of decoding, of 1 token each" in said and all(len(r) == 2 for r in rows.values())


@needs_bard
def test_bench_context_and_sequences():
    got = json.loads(ok("bench", "bard", "-p", "0", "-n", "8", "-r", "2", "--context", "200", "--sequences", "3", "--json"))
    assert got["context"] == 200 and got["sequences"] == 3
    spreads(got, ["decode_tokens_per_s"])


@needs_bard
def test_bench_rewrite(tmp_path):
    page = tmp_path / "page"
    page.write_text("The king came to the river in the morning. The queen stayed in the castle, and the king came back "
                    "to the river alone. Who has seen the king?", encoding="utf-8")
    ask = ["bench", "bard", "-p", "0", "-n", "64", "-r", "1", "--rewrite", page]
    got = json.loads(ok(*ask, "--change", "castle=garden", "--json"))
    spreads(got, ("decode_tokens_per_s", "unguided_tokens_per_s"))
    assert 2 <= got["decode_tokens"] <= 64 and 0 <= got["guesses_right"] <= got["guesses"]
    assert 0 < got["rewrite_agrees"] <= 1
    assert b"as asked" in ok(*ask)    # it finds a word itself
    for change, why in (("castle", "OLD=NEW"), ("king=man", "does not come once"), ("moon=sun", "does not come once")):
        done = run(*ask, "--change", change)
        assert done.returncode == 2 and why in one_line(done)
    assert run("bench", "bard", "--change", "castle=garden").returncode == 2
    assert run(*ask, "--sequences", "2").returncode == 2
    assert run("bench", "bard", "--rewrite", tmp_path / "none").returncode == 3
    page.write_text("It is so. Or not?", encoding="utf-8")
    done = run(*ask)
    assert done.returncode == 2 and "no word of 5 letters" in one_line(done)


@needs_bard
def test_bench_limits():
    """The machine alone, and a model beside it: every share is there and is what its parts give."""
    alone = json.loads(ok("bench", "--limits", "-t", "2", "--json"))
    assert [row["threads"] for row in alone["limits"]] == [1, 2]
    assert all(row["read_bytes_per_s"] > 0 for row in alone["limits"]) and "model" not in alone
    got = json.loads(ok("bench", "bard", "--limits", "-t", "1", "-p", "32", "-n", "8", "-r", "1", "--json"))
    spreads(got, ["decode_share_of_read"])
    if got["limits"][0]["dot_macs_per_s"]:
        spreads(got, ["prefill_share_of_peak"])
    assert "GB/s" in ok("bench", "--limits", "-t", "1").decode()
    assert run("bench").returncode == 2


@needs_bard
def test_bench_paced():
    """A line in, a line out: whoever compares two programs lets them take turns."""
    lines = ok("bench", "bard", "--paced", "-p", "16", "-n", "4", "-r", "9", stdin=b"\n\n").decode().splitlines()
    ready, *rest = map(json.loads, lines)
    assert ready["ready"] and len(rest) == 2
    assert all(r["prefill"] > 0 and r["decode"] > 0 and not r["ready"] for r in rest)


@needs_bard
def test_bench_kernels_are_chosen_by_the_environment():
    got = json.loads(ok("bench", "bard", "-p", "4", "-n", "2", "-r", "1", "--json", env={"HEARTH_CPU": "ref"}))
    assert got["kernels"] == "ref"


@needs_bard
def test_show_everything_as_json():
    plain = json.loads(ok("show", "bard", "--json"))
    got = json.loads(ok("show", "bard", "--json", "--tensors", "--metadata", "--template"))
    tensors, metadata = got.pop("tensors"), got.pop("metadata")
    assert set(got) == set(plain) and got["chat_template"] == plain["chat_template"]
    listed = ok("show", "bard", "--tensors").decode().splitlines()
    assert [row.split()[0] for row in listed] == [t["name"] for t in tensors]
    assert sum(math.prod(t["shape"]) for t in tensors) == plain["parameters"]
    assert sum(t["bytes"] for t in tensors if t["type"] == "Q8_0") == plain["tensor_types"][0]["bytes"]
    rows = ok("show", "bard", "--metadata").decode().splitlines()
    assert [row.split()[0] for row in rows] == list(metadata)
    assert metadata["general.architecture"] == "llama" and metadata["llama.context_length"] == 1024
    assert metadata["tokenizer.ggml.tokens"] == {"array_of": "string", "length": 4096}
    assert metadata["tokenizer.chat_template"] == plain["chat_template"]


@needs_bard
def test_show():
    got = json.loads(ok("show", "bard", "--json"))
    assert got == {**json.loads(ok("show", BARD, "--json")), "path": "bard"} | {"memory": got["memory"]}
    assert got["architecture"] == "llama" and got["runs"] and got["chat_family"] == "bard"
    assert got["layers"] == 8 and got["width"] == 256 and got["vocabulary"] == 4096
    assert got["file_bytes"] == BARD.stat().st_size
    assert sum(t["share"] for t in got["tensor_types"]) == pytest.approx(1)
    assert sum(t["parameters"] for t in got["tensor_types"]) == got["parameters"] <= 8_000_000
    memory = got["memory"]
    assert memory["ctx"] == got["context"] and memory["total_bytes"] == memory["weight_bytes"] + memory["kv_bytes"]
    # 8 layers, 2 KV heads of 64, keys and values, 2 bytes each
    assert memory["kv_bytes"] == got["context"] * 8 * 2 * 64 * 2 * 2
    half = json.loads(ok("show", "bard", "--json", "--ctx", str(got["context"] // 2)))["memory"]
    assert half["kv_bytes"] * 2 == memory["kv_bytes"]
    small = json.loads(ok("show", "bard", "--json", "--kv", "q8"))["memory"]
    assert small["kv_bytes"] < memory["kv_bytes"]
    text = ok("show", "bard").decode()
    for word in ("llama", "Q8_0", "gpt2", "chat template   bard", "KV cache", "fits here"):
        assert word in text
    assert "<|bard|>" in ok("show", "bard", "--template").decode()
    assert "token_embd.weight" in ok("show", "bard", "--tensors").decode()
    assert "general.architecture" in ok("show", "bard", "--metadata").decode()


@needs_bard
def test_show_says_when_it_does_not_fit():
    got = json.loads(ok("show", "bard", "--json", "--ctx", "16777216"))["memory"]
    if got["fits"]:
        pytest.skip("1 check of memory: this machine has room for 16 million tokens")
    assert got["kv_bytes"] > got["available_bytes"] and got["largest_ctx_that_fits"] > 0
    assert "does not fit here" in ok("show", "bard", "--ctx", "16777216").decode()


@needs_shared
@pytest.mark.parametrize("name", ["bert-bge", "deepseek-llm", "falcon", "gpt-2", "llama-bpe", "llama-spm", "phi-3",
                                  "qwen2", "starcoder"])
def test_files_with_a_vocabulary_only(name):
    path = f"{SHARED}/vocab/ggml-vocab-{name}.gguf"
    got = json.loads(ok("show", path, "--json"))
    assert got["runs"] is False and got["tensor_types"] == [] and got["memory"] is None
    assert got["tokenizer"]["tokens"] > 1000
    assert "vocabulary only" in ok("show", path).decode()
    assert ok("show", path, "--metadata")
    ids = tokens(path, "Hello world")
    assert ids and "hello world" in ok("detokenize", path, *ids).decode().lower()
    assert run("run", path, "hi").returncode in (1, 7)
