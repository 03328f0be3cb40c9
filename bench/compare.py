#!/usr/bin/env python3
"""Hearth beside a peer on the same file with the same threads, in turns: A B A B ...

    bench/compare.py --table [--only NAME,...] [--quick]       every figure that Hearth is to reach
    bench/compare.py MODEL.gguf [-p 512] [-n 64] [-c 1]        one model of your own

The peer is llama-bench where it is on PATH, else llama.cpp's library as `make peers` installs it or as llama-cpp-python
carries it (tests/peers/llama_cpp.py says where it is looked for). Without a peer Hearth runs alone. Models for the table
are made into the folder --models (bench/models.py). One row a run is appended to --csv, with the share of the machine's
limit measured around Hearth's run of the same pair; medians, spreads, ratios of the pairs and targets are printed as
a table. A pair during which other programs took more than --disturbed of the processors is measured again; the share
that they took is in the CSV file. On a machine that others use, --gate names a command that takes it for the pairs of
a row: it prints a line when they may begin and ends when its stdin closes.
"""
import argparse
import contextlib
import csv
import dataclasses
import datetime
import os
import pathlib
import platform
import re
import shlex
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))

import models  # noqa: E402
import table  # noqa: E402
from engines import Failed, Hearth, Work, find_peer  # noqa: E402

COLUMNS = ["date", "cpu", "threads", "row", "model", "type", "bytes", "engine", "version", "work", "context", "sequences",
           "kv", "tokens", "tokens_per_s", "share_of_limit", "limit", "limit_per_s", "others_share_of_cpu"]


def cpu_name():
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def hearth_version(program):
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                            check=False).stdout.strip()
    return f"{said}+{commit}" if commit else said


@contextlib.contextmanager
def gate(command):
    """The machine for the pairs of a row, where somebody has to be asked for it."""
    if not command:
        yield
        return
    with subprocess.Popen(shlex.split(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as held:
        held.stdout.readline()
        yield
        held.stdin.close()


# ---- one comparison ----

@dataclasses.dataclass
class Side:
    name: str
    version: str
    engine: object
    work: Work
    runs: list = dataclasses.field(default_factory=list)


def sides_of(row, model, a, peer):
    """Who takes turns: Hearth and the peer, or Hearth with all sequences and with one."""
    ours = Side("hearth", a.version, Hearth(a.hearth, model, row.work, a.threads), row.work)
    if row.alone and row.work.sequences > 1:
        one = dataclasses.replace(row.work, sequences=1)
        return [ours, Side("hearth", a.version, Hearth(a.hearth, model, one, a.threads), one)]
    if row.alone or not peer:
        return [ours]
    name, version, make = peer
    return [ours, Side(name, version, make(model, row.work, a.threads), row.work)]


def busy_seconds(pids):
    """Processor time since the start: of the whole machine, and of these processes."""
    tick = os.sysconf("SC_CLK_TCK")
    with open("/proc/stat", encoding="ascii") as f:
        user, nice, system, _, _, irq, softirq = map(int, f.readline().split()[1:8])
    own = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            own += sum(map(int, f.read().rsplit(")", 1)[1].split()[11:15]))    # with ended children
    return (user + nice + system + irq + softirq) / tick, own / tick


def pair_once(sides):
    """One run of each, and the share of the processors that other programs took meanwhile."""
    pids = [os.getpid()] + [side.engine.process.pid for side in sides if hasattr(side.engine, "process")]
    began, (all_before, own_before) = time.monotonic(), busy_seconds(pids)
    runs = [side.engine.measure() for side in sides]
    took, (all_after, own_after) = time.monotonic() - began, busy_seconds(pids)
    others = (all_after - all_before) - (own_after - own_before)
    return runs, max(0.0, others / took / os.cpu_count())


def turns(sides, a):
    """The pairs; what each run said is kept in its side. Disturbed pairs are repeated, as many times as there are pairs."""
    for side in sides:
        side.engine.wait_ready()
    spare = a.pairs
    with gate(a.gate):
        while len(sides[0].runs) < a.pairs:
            runs, others = pair_once(sides)
            again = others > a.disturbed and spare > 0
            spare -= again
            note = f" (others took {100 * others:.0f} %{': again' if again else ''})" if others > a.disturbed else ""
            for side, run in zip(sides, runs):
                shown = [f"{what} {value:.2f}" for what, value in (("prefill", run.prefill), ("decode", run.decode),
                                                                  ("unguided", run.unguided)) if value]
                print(f"  pair {len(side.runs) + 1}: {side.name:12} {', '.join(shown)} tokens/s{note}", file=sys.stderr,
                      flush=True)
                if not again:
                    run.others = others
                    side.runs.append(run)
    for side in sides:
        side.engine.close()


def share_of(rate, run, what):
    """The share that `rate` would be, from a run of Hearth in the same minute: bytes and products are the same."""
    share, own = getattr(run, what + "_share"), getattr(run, what)
    return rate * share / own if share and own else None


def csv_rows(row, model, sides, a):
    date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    for pair in range(a.pairs):
        for side in sides:
            run, same = side.runs[pair], sides[0].runs[pair]
            w = side.work
            for what, n, limit in (("prefill", w.prompt, "dot"), ("decode", w.tokens, "read"), ("unguided", w.tokens, "")):
                rate = getattr(run, what)
                if not rate:
                    continue
                comparable = limit and w == sides[0].work
                share = share_of(rate, same, what) if comparable else getattr(run, what + "_share", None)
                label = "rewrite" if w.rewrite and what == "decode" else what
                most = getattr(same, limit) if limit and share else None
                yield [date, a.cpu, a.threads, row.name, model.name, row.kind, os.path.getsize(model), side.name,
                       side.version, label, w.context, w.sequences, w.kv, n, f"{rate:.3f}",
                       f"{share:.4f}" if share else "", {"dot": "8-bit MAC", "read": "read bytes"}[limit] if share else "",
                       f"{most:.4g}" if most else "", f"{run.others:.3f}"]


def csv_append(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as f:
        w = csv.writer(f)
        if fresh:
            w.writerow(COLUMNS)
        w.writerows(rows)


# ---- what it comes to ----

def spread(values, digits=1, scale=1.0, unit=""):
    v = [x * scale for x in values]
    return f"{statistics.median(v):.{digits}f}{unit} ({min(v):.{digits}f} .. {max(v):.{digits}f})"


def verdict(value, target, digits=2, scale=1.0, unit=""):
    if not target:
        return ""
    met = "met" if value >= target else "missed"
    return f"{target * scale:.{digits}f}{unit}: {met}"


def rewriting(runs):
    """What was written, and how much of it as asked: what is no rewriting says nothing of the speed of one."""
    agrees = min(r.agrees for r in runs)
    return f"rewrite a page, {100 * agrees:.0f} % as asked{'' if agrees >= table.REWRITTEN else ': NOT A REWRITING'}"


def lines_of(row, model, sides, medians):
    """Markdown rows: work, Hearth, the other, ratio and target, share and target."""
    ours, other = sides[0].runs, sides[1].runs if len(sides) > 1 else []
    w = row.work
    for what in ("prefill", "decode"):
        mine = [getattr(r, what) for r in ours]
        if not mine[0]:
            continue
        medians[row.name, what] = statistics.median(mine)
        theirs = [r.unguided for r in ours] if w.rewrite else [getattr(r, what) for r in other]
        n = w.prompt if what == "prefill" else w.tokens
        label = rewriting(ours) if w.rewrite else f"{what} {n}"
        label += f", {w.context} tokens of context, KV {w.kv}" if what == "decode" and w.context > 1 else ""
        label += f", {w.sequences} sequences" if w.sequences > 1 else ""
        ratio, target = "", getattr(row, what + "_ratio")
        if theirs and theirs[0]:
            pairs = [x / y for x, y in zip(mine, theirs)]
            ratio = f"{spread(pairs, 2)} | {verdict(statistics.median(pairs), target)}"
        else:
            ratio = f"not measured | {target or ''}"
        shares = [getattr(r, what + "_share") for r in ours]
        share = " | "
        if shares[0]:
            aim = getattr(row, what + "_share")
            share = f"{spread(shares, 0, 100, ' %')} | {verdict(statistics.median(shares), aim, 0, 100, ' %')}"
        yield (f"| {row.shape or model.name} {row.kind} | {label} | {spread(mine)} | "
               f"{spread(theirs) if theirs and theirs[0] else 'not measured'} | {ratio} | {share} |")
    if row.kept and (row.beside, "decode") in medians:
        kept = medians[row.name, "decode"] / medians[row.beside, "decode"]
        yield f"| {row.shape} {row.kind} | of its own speed at empty context | {kept:.2f} | | | | | {verdict(kept, row.kept)} |"


HEADER = """| model | work | Hearth tokens/s | beside it | ratio of pairs | target | share of limit | target |
|---|---|---|---|---|---|---|---|"""


def compare(row, model, a, peer, medians, out):
    print(f"{row.name}: {model}", file=sys.stderr, flush=True)
    sides = []
    try:
        sides = sides_of(row, model, a, peer)
        turns(sides, a)
    except Failed as e:
        for side in sides:
            with contextlib.suppress(OSError, AttributeError):
                side.engine.process.kill()
        print(f"  left out: {e}", file=sys.stderr)
        return False
    csv_append(a.csv, csv_rows(row, model, sides, a))
    for line in lines_of(row, model, sides, medians):
        out.append(line)
        print(line, file=sys.stderr, flush=True)
    return True


def run_table(a, peer):
    only = a.only.split(",") if a.only else [row.name for row in table.ROWS]
    unknown = set(only) - {row.name for row in table.ROWS}
    if unknown:
        sys.exit(f"compare: no row {', '.join(sorted(unknown))}; there are {', '.join(r.name for r in table.ROWS)}")
    rows = [table.shortened(r) if a.quick else r for r in table.ROWS if r.name in only]
    paths = {}
    for row in rows:
        if row.shape:
            paths[row.name] = models.make(row.shape, row.kind, a.models, a.hearth)
        else:
            paths[row.name] = a.text_model
            row.work.rewrite = str(HERE / row.work.rewrite)
    if not a.only:
        models.forget_sources(a.models)
    medians, out, ok = {}, [], True
    for row in rows:
        ok = compare(row, paths[row.name], a, peer, medians, out) and ok
    print(HEADER, *out, sep="\n")
    return ok


def run_model(a, peer):
    kind = re.search(r"((?:I?Q\d|MXFP4|B?F16|F32)\w*)\.gguf$", a.model.name, re.IGNORECASE)
    work = Work(prompt=a.p, tokens=a.n, context=a.c, kv=a.kv)
    row = table.Row(a.model.stem, "", kind.group(1).upper() if kind else "", work)
    out = []
    ok = compare(row, a.model, a, peer, {}, out)
    print(HEADER, *out, sep="\n")
    return ok


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("model", nargs="?", type=pathlib.Path)
    ap.add_argument("--table", action="store_true", help="every row of bench/table.py")
    ap.add_argument("--only", default="", help="rows of the table, with commas")
    ap.add_argument("--quick", action="store_true", help="two pairs of short runs: minutes instead of an hour")
    ap.add_argument("-p", type=int, default=512, help="tokens of prefill")
    ap.add_argument("-n", type=int, default=64, help="tokens of decode")
    ap.add_argument("-c", type=int, default=1, help="tokens of context in front of decode")
    ap.add_argument("--kv", choices=["f16", "q8"], default="f16")
    ap.add_argument("-t", "--threads", type=int, default=len(os.sched_getaffinity(0)))
    ap.add_argument("--pairs", type=int, default=5)
    ap.add_argument("--hearth", default=str(ROOT / "build/hearth"))
    ap.add_argument("--models", type=pathlib.Path, default=models.cache_folder())
    ap.add_argument("--text-model", type=pathlib.Path, default=ROOT / "models/bard/bard-q8_0.gguf",
                    help="a model that writes sense, for the row that rewrites a page (default: bard)")
    ap.add_argument("--gate", default="", help="command that takes the machine for the pairs of a row")
    ap.add_argument("--disturbed", type=float, default=0.05, metavar="SHARE",
                    help="repeat pairs while others took more than this of the processors (0.05)")
    ap.add_argument("--csv", type=pathlib.Path, default=ROOT / "bench/results" / f"{platform.node()}.csv")
    a = ap.parse_args()
    if bool(a.model) == a.table:
        ap.error("give a model, or --table")
    if a.quick:
        a.pairs = 2
    a.cpu, a.version = cpu_name(), hearth_version(a.hearth)
    peer = find_peer()
    print(f"{a.cpu}, {a.threads} threads, {a.pairs} pairs; peer: {' '.join(peer[:2]) if peer else 'none'}", file=sys.stderr)
    sys.exit(0 if (run_table if a.table else run_model)(a, peer) else 1)


if __name__ == "__main__":
    main()
