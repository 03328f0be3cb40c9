"""The figures that Hearth is to reach, row by row: what is measured on which model, and the least that will do.

A ratio is Hearth's tokens per second over the peer's, over its own with one sequence, or over its own without guesses.
A share is of what the machine could do at most in the same minute: the 8-bit peak for prefill, the read bandwidth for
decode. The row that rewrites asks in a text that the model goes on with, not in a conversation, which small models
shorten: the page of page.txt, and a line that says that it follows again with one word replaced. The old word is banned, so
that the model does change it. As many tokens are decoded as the page has, and set beside it (src/cli/bench_rewrite.c): with
less than REWRITTEN of it in its order the row says that it is no rewriting. `kept` is decode after a long context over decode from an empty one, of Hearth alone.
"""
import dataclasses

from engines import Work


@dataclasses.dataclass
class Row:
    name: str                   # for --only
    shape: str                  # of bench/models.py; "" a text model given by --text-model
    kind: str
    work: Work
    prefill_ratio: float = 0    # targets; 0: none
    prefill_share: float = 0
    decode_ratio: float = 0
    decode_share: float = 0
    kept: float = 0             # of the row named `beside`
    beside: str = ""
    alone: bool = False         # no peer: beside itself


REWRITTEN = 0.95

PREFILL = Work(prompt=512)
BOTH = Work(prompt=512, tokens=64)

ROWS = [
    Row("llama-q4_0", "llama-1b", "Q4_0", PREFILL, prefill_ratio=3.0, prefill_share=0.5),
    Row("llama-q4_k_m", "llama-1b", "Q4_K_M", BOTH, prefill_ratio=3.0, prefill_share=0.5, decode_ratio=1.5,
        decode_share=0.85),
    Row("llama-q8_0", "llama-1b", "Q8_0", BOTH, prefill_ratio=4.0, decode_ratio=1.5, decode_share=0.85),
    Row("llama-q5_k_m", "llama-1b", "Q5_K_M", PREFILL, prefill_ratio=4.0),
    Row("llama-q6_k", "llama-1b", "Q6_K", PREFILL, prefill_ratio=4.0),
    Row("qwen3-q4_k_m", "qwen3-0.6b", "Q4_K_M", PREFILL, prefill_ratio=3.5),
    Row("qwen3moe-q4_k_m", "qwen3moe", "Q4_K_M", PREFILL, prefill_ratio=4.0),
    Row("gpt-oss-mxfp4", "gpt-oss", "MXFP4", PREFILL, prefill_ratio=4.0),
    Row("context-8192", "llama-1b", "Q4_K_M", Work(tokens=64, context=8192, kv="q8"), decode_ratio=2.0, kept=0.75,
        beside="llama-q4_k_m"),
    Row("sequences-8", "qwen3-0.6b", "Q4_K_M", Work(tokens=64, sequences=8), decode_ratio=4.0, alone=True),
    Row("rewrite", "", "", Work(tokens=512, rewrite="page.txt", change="Saturday=Sunday"), decode_ratio=2.5, alone=True),
]


def shortened(row):
    """The same row in a fraction of the time: shows that everything works, says little."""
    w = row.work
    return dataclasses.replace(row, work=dataclasses.replace(
        w, prompt=min(w.prompt, 128), tokens=min(w.tokens, 64 if w.rewrite else 16), context=min(w.context, 512)))
