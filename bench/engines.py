"""The programs that bench/compare.py lets take turns, each behind the same three calls.

    e = Hearth("build/hearth", "model.gguf", Work(prompt=512, tokens=64), threads=2)
    e.wait_ready()
    run = e.measure()      # Run(prefill=tokens/s or None, decode=..., ...)
    e.close()

Hearth and llama.cpp's library are processes that live as long as the comparison and work when they are given a line:
loading, warming up and filling a long context happen once. llama-bench is started anew for each measurement.
"""
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests/peers"))


@dataclasses.dataclass
class Work:
    prompt: int = 0         # tokens of prefill
    tokens: int = 0         # tokens to decode
    context: int = 1        # in front of them
    sequences: int = 1      # decoding together: Hearth alone
    kv: str = "f16"
    rewrite: str = ""       # a text file: Hearth alone, with guesses and without; `tokens` is the most
    change: str = ""        # in it, OLD=NEW


@dataclasses.dataclass
class Run:
    prefill: float | None = None
    decode: float | None = None
    unguided: float | None = None
    agrees: float | None = None     # share of the page that was written as asked
    prefill_share: float | None = None
    decode_share: float | None = None
    read: float | None = None       # bytes a second at that time
    dot: float | None = None        # 8-bit multiply-adds a second
    others: float = 0.0             # share of the processors that other programs had during the pair


class Failed(Exception):
    pass


class Paced:
    """A process that measures once for every line it is given."""

    def __init__(self, command, env=None):
        self.command = command
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=env, text=True)

    def line(self):
        text = self.process.stdout.readline()
        if not text:
            raise Failed(f"{self.command[0]}: {self.process.stderr.read().strip() or 'ended early'}")
        return json.loads(text)

    def wait_ready(self):
        self.line()

    def measure(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        got = self.line()
        limits = (got.get("limits") or [{}])[0]
        return Run(got.get("prefill"), got.get("decode"), got.get("unguided"), got.get("agrees"),
                   got.get("prefill_share"), got.get("decode_share"), limits.get("read_bytes_per_s"), limits.get("dot_macs_per_s"))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Hearth(Paced):
    name = "hearth"

    def __init__(self, program, model, work, threads):
        command = [program, "bench", str(model), "--paced", "--limits", "-r", "1000", "-t", str(threads),
                   "-p", str(work.prompt), "-n", str(work.tokens), "--kv", work.kv]
        if work.rewrite:
            command += ["--rewrite", work.rewrite] + (["--change", work.change] if work.change else [])
        else:
            command += ["--context", str(work.context), "--sequences", str(work.sequences)]
        super().__init__(command)


class Library(Paced):
    name = "llama.cpp"

    def __init__(self, model, work, threads):
        spec = {"prompt": work.prompt, "tokens": work.tokens, "context": work.context, "kv": work.kv, "threads": threads}
        super().__init__([sys.executable, str(HERE / "peer_worker.py"), str(model), json.dumps(spec)])


class LlamaBench:
    name = "llama-bench"

    def __init__(self, model, work, threads):
        self.model, self.work, self.threads = model, work, threads

    def wait_ready(self):
        pass

    def ask(self, *what):
        kv = {"q8": "q8_0"}.get(self.work.kv, self.work.kv)
        done = subprocess.run(["llama-bench", "-m", self.model, "-t", str(self.threads), "-r", "1", "-o", "json",
                               "-ctk", kv, "-ctv", kv, *map(str, what)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"llama-bench: {done.stderr.strip()}")
        return json.loads(done.stdout)[-1]["avg_ts"]

    def measure(self):
        w, run = self.work, Run()
        if w.prompt:
            run.prefill = self.ask("-p", w.prompt, "-n", 0)
        if w.tokens:
            run.decode = self.ask("-p", 0, "-n", w.tokens, *(["-d", w.context] if w.context > 1 else []))
        return run

    def close(self):
        pass


def find_peer():
    """(name, version, function of model, work, threads), or None."""
    if shutil.which("llama-bench"):
        return "llama-bench", os.path.realpath(shutil.which("llama-bench")), LlamaBench
    import llama_cpp
    if llama_cpp.library_folder():
        return "llama.cpp", llama_cpp.version(), Library
    return None
