"""Models of published shapes with random weights, made once into a cache folder: what bench/compare.py measures.

    path = make("llama-1b", "Q4_K_M", folder, "build/hearth")

The F16 file is written by tests/tools/make_model.py with a real vocabulary where one is found ($HEARTH_SHARED/vocab or
../shared/vocab beside the repository), and quantised by `hearth quantize`.
"""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
VOCABULARY = {"llama-1b": "llama-bpe", "llama-8b": "llama-bpe", "qwen3-0.6b": "qwen2", "qwen3moe": "qwen2",
              "gpt-oss": "llama-bpe"}


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "hearth" / "bench"


def vocabulary(shape):
    shared = os.environ.get("HEARTH_SHARED") or ROOT.parent / "shared"
    path = pathlib.Path(shared) / "vocab" / f"ggml-vocab-{VOCABULARY[shape]}.gguf"
    return ["--vocab", str(path)] if path.exists() else []


def path_of(shape, kind, folder):
    return pathlib.Path(folder) / f"{shape}-{kind.lower()}.gguf"


def make(shape, kind, folder, hearth):
    """The path of a model; it is made when it is not there."""
    out = path_of(shape, kind, folder)
    if out.exists():
        return out
    source = path_of(shape, "f16", folder)
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    if not source.exists():
        part = source.with_suffix(".part")
        subprocess.run([sys.executable, str(ROOT / "tests/tools/make_model.py"), shape, str(part), *vocabulary(shape)],
                       check=True)
        part.rename(source)
    if kind.lower() != "f16":
        subprocess.run([hearth, "quantize", str(source), str(out), kind], check=True)
    return out


def forget_sources(folder):
    """F16 files are large and only a step on the way."""
    for source in pathlib.Path(folder).glob("*-f16.gguf"):
        source.unlink()
