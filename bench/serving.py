#!/usr/bin/env python3
"""What many clients of one server see, row by row: the loads, the isolation and the faults of docs/server.md.

    bench/serving.py --hearth build/hearth --model MODEL.gguf [--only ROW] [--quick] [--json] [--csv FILE]

Every row starts a server of its own on a free port of this machine, and is bounded in time and count. A row has figures,
and `holds`: what must be true on any machine, however busy it is (no foreign secret, no page kept, ledger sums). Exit code
1 when something does not hold. --quick: the same in small, to show that everything works.
"""
import argparse
import csv
import json
import os
import random
import signal
import sqlite3
import sys
import threading
import time

from house import House, leave, quantile, together, words

MS = 1000


def rows_of(f):
    rows_of.all[f.__name__.replace("_", "-")] = f
    return f


rows_of.all = {}


@rows_of
def canaries(a):
    """16 owners with a secret in each of 12 prompts, pages too few for all: nobody sees another's, or a hit on it."""
    owners, prompts, rounds = (16, 12, 200) if not a.quick else (6, 3, 2)
    rng, foreign_text, foreign_hits, own_hits, evicted = random.Random(1), 0, 0, 0, 0
    with House(a.hearth, a.model, "--cache-ram", a.small_cache, "--parallel", 8, "--ctx", 1024, n_owners=owners) as h:
        secret = [[f"{rng.getrandbits(64):016x}" for _ in range(prompts)] for _ in range(owners)]

        def one_round(i, k):
            hits = 0
            for p in random.Random(k * 997 + i).sample(range(prompts), min(3, prompts)):
                text = f"{words(150, p)} The secret of this house is {secret[i][p]}. {words(20, i * 31 + p)}"
                x = h.ask(text, 8, i)
                if x.status != 200 or x.error:
                    raise RuntimeError(f"{x.status} {x.error}")
                hits += x.cached > 0
                seen.append((i, x.text))
            return hits

        seen = []
        for k in range(rounds):
            own_hits += sum(together(owners, lambda i: one_round(i, k)))
            # the very same words, asked by an owner who never did: nothing of it may be there already
            thief, victim = rng.sample(range(owners), 2)
            fresh = f"{rng.getrandbits(64):016x} {words(150, k + 10**6)}"
            h.ask(fresh, 2, victim)
            cached = h.ask(fresh, 2, thief).cached
            foreign_hits += cached if cached > 4 else 0 # up to there its own prompts may begin alike
        for i, text in seen:
            foreign_text += any(s in text for j in range(owners) if j != i for s in secret[j])
        evicted = h.metric("engine_evicted_pages_total")
        h.close()
    return {"answers": len(seen), "own_hits": own_hits, "evicted_pages": evicted, "foreign_secrets": foreign_text,
            "foreign_cached_tokens": foreign_hits}, [foreign_text == 0, foreign_hits == 0, own_hits > 0, evicted > 0]


@rows_of
def timing(a):
    """How well the time to the first token tells whether another owner's prompt is cached: 0.5 is not at all."""
    n = 200 if not a.quick else 6
    with House(a.hearth, a.model, n_owners=2) as h:
        known, unknown = [], []
        for k in range(n):
            for cached, into in ((True, known), (False, unknown)) if k % 2 else ((False, unknown), (True, known)):
                text = words(120, k * 2 + cached)
                if cached:
                    h.ask(text, 1, 0)
                into.append(h.ask(text, 1, 1).first)
        own = [h.ask(words(120, k * 2 + 1), 1, 0).first for k in range(n)]
        h.close()
    auc = sum((x < y) + (x == y) / 2 for x in known for y in unknown) / n / n
    own_auc = sum((x < y) + (x == y) / 2 for x in own for y in unknown) / n / n
    return {"probes": 2 * n, "auc": max(auc, 1 - auc), "auc_of_ones_own": own_auc}, []


def leave_all(h, n, rng):
    """n clients come, a dozen at a time, and leave in the queue, in prefill and in decode."""
    for _ in range(n // 12):
        some = []
        for i in range(12):
            where, how = ("queue", "prefill", "decode")[i % 3], ("close", "reset", "half")[i // 3 % 3]
            s = h.raw(words(400 if where == "prefill" else 20, rng.getrandbits(30)), 2000, stream=i % 2 == 0)
            if where == "decode" and i % 2 == 0:
                s.settimeout(5)
                try:
                    s.recv(1)
                except TimeoutError:
                    pass
            some.append((s, how))
        until = time.monotonic() + 0.4 # those of the decode kind are far from their end
        while h.metric("ledger_live") < len(some) and time.monotonic() < until:
            time.sleep(0.002)
        rng.shuffle(some)
        for s, how in some:
            leave(s, how)
    h.settled()


@rows_of
def leaves(a):
    """Clients leave in the queue, in prefill and in decode, three times as many: pages, descriptors and rows of the
    ledger afterwards; and memory after each round, once the server has rested for a moment. The memory for kept
    prefixes is full before; what is touched for the first time in the first round is no loss."""
    n, rng = 504 if not a.quick else 36, random.Random(2)
    with House(a.hearth, a.model, "--parallel", 2, "--cache-ram", "6M", n_owners=0) as h:
        while h.metric("engine_evicted_pages_total") == 0:
            h.ask(words(300, rng.getrandbits(30)), 4)
        h.settled()
        fds, began, resting = h.descriptors(), time.monotonic(), []
        for _ in range(3):
            leave_all(h, n, rng)
            time.sleep(4) # what calls have left in the heap is given back after 2 s of rest
            resting.append(h.memory())
        seconds = time.monotonic() - began
        used, cancelled = h.metric("engine_kv_used_bytes"), h.metric("cancelled_total")
        until = time.monotonic() + 10 # the last connections, those of the questions above too, close on their own
        while h.descriptors() > fds and time.monotonic() < until:
            time.sleep(0.02)
        fds_after, grown = h.descriptors(), [y - x for x, y in zip(resting, resting[1:])]
        h.stop()
        rows, live = ledger_rows(h)
    return {"clients": 3 * n, "seconds": seconds, "cancelled": cancelled, "kv_used_bytes": used,
            "descriptors": fds_after - fds, "resident_bytes_after_each_round": resting, "ledger_rows": rows,
            "open_rows": live}, [used == 0, fds_after <= fds, live == 0, rows > 3 * n,
                                              grown[1] <= 2 << 20 or bool(os.environ.get("HEARTH_SANITIZE"))]


@rows_of
def fairness(a):
    """8 owners, the first with ten times the requests of the others: tokens served while all have some waiting."""
    seconds = 60 if not a.quick else 4
    with House(a.hearth, a.model, "--parallel", 8, n_owners=8) as h:
        served, until = [0] * 8, time.monotonic() + seconds
        lock = threading.Lock()

        def client(i):
            owner = 0 if i < 20 else (i - 20) // 2 + 1
            k = 0
            while time.monotonic() < until:
                x = h.ask(words(60, i * 1000 + k), 32, owner, stop=lambda: time.monotonic() > until)
                k += 1
                with lock:
                    served[owner] += len(x.at) + (x.usage.get("prompt_tokens") or 0)
        together(34, client)
        h.close()
    most, least = max(served), max(1, min(served))
    return {"tokens_by_owner": served, "largest_over_smallest": most / least}, [min(served) > 0]


@rows_of
def long_prompt(a):
    """Chats of 50 tokens that arrive while another owner's 16k-token prompt is prefilled, alone and beside two who decode.

    The prompt is read once. Now and then two others decode for a while, and a chat comes beside them; another one comes
    while nobody decodes. So every depth of the prompt is met, and it is read in minutes and not in a quarter of an hour."""
    tokens, pause, beside = (16000, 12, 6) if not a.quick else (600, 0.02, 0.1)
    with House(a.hearth, a.model, "--ctx", tokens + 400, "--parallel", 8, n_owners=4) as h:
        per_word = h.ask(words(400, 1), 1, 3).usage["prompt_tokens"] / 400
        gaps, firsts, alone, big = [], [], [], []
        reader = threading.Thread(target=lambda: big.append(h.ask(words(int(tokens / per_word), 100), 1, 0)))
        reader.start()
        began, k = time.monotonic(), 0
        while reader.is_alive() and time.monotonic() - began < 330:
            reader.join(pause)
            if not reader.is_alive():
                break
            alone.append(h.ask(words(45, 500 + 2 * k), 8, 1).first)
            over = threading.Event()
            threads = [threading.Thread(target=lambda i=i: gaps.extend(h.ask(words(30, i + 2 * k), 400, 2,
                                                                             stop=over.is_set).gaps)) for i in range(2)]
            for t in threads:
                t.start()
            reader.join(beside / 2)
            if reader.is_alive():
                firsts.append(h.ask(words(45, 501 + 2 * k), 8, 1).first)
                reader.join(beside / 2)
            over.set()
            for t in threads:
                t.join()
            k += 1
        seconds, read = time.monotonic() - began, not reader.is_alive()
        h.stop(signal.SIGKILL) # what is left of the prompt need not be read
        reader.join()
    return {"prompt_tokens": tokens, "read_to_its_end": read, "seconds": seconds, "chats": len(firsts) + len(alone),
            "first_token_beside_decodes_ms_median": MS * quantile(firsts, 0.5),
            "first_token_beside_decodes_ms_largest": MS * max(firsts, default=float("nan")),
            "first_token_alone_ms_median": MS * quantile(alone, 0.5),
            "first_token_alone_ms_largest": MS * max(alone, default=float("nan")), "gaps": len(gaps),
            "between_tokens_ms_p50": MS * quantile(gaps, 0.5), "between_tokens_ms_p99": MS * quantile(gaps, 0.99),
            "between_tokens_ms_largest": MS * max(gaps, default=float("nan"))}, [
                not read or not big[0].error, len(firsts + alone) > 0, all(x == x for x in firsts + alone)]


@rows_of
def slow_clients(a):
    """The time to the first token with and without 1,000 connections that send a header a byte a second."""
    n, asks = (1000, 60) if not a.quick else (60, 5)
    with House(a.hearth, a.model, n_owners=2) as h:
        def measured(seed):
            return [h.ask(words(40, seed + i), 4, 0).first for i in range(asks)]
        alone, beside = [], []
        h.ask("warm", 4, 0)
        slow, over = [], threading.Event()

        def drip():
            head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 4000
            at = 0
            while not over.wait(1):
                for s in slow:
                    try:
                        s.send(head[at:at + 1])
                    except OSError:
                        pass
                at += 1
        import socket
        for part in range(3):
            alone += measured(part * 10000)
            over.clear()
            slow[:] = [socket.create_connection(("127.0.0.1", h.port)) for _ in range(n)]
            t = threading.Thread(target=drip)
            t.start()
            beside += measured(part * 10000 + 5000)
            over.set()
            t.join()
            for s in slow:
                s.close()
        h.close()
    return {"slow": n, "asked": len(beside), "first_token_ms_p50": MS * quantile(alone, 0.5),
            "first_token_ms_p99": MS * quantile(alone, 0.99), "beside_ms_p50": MS * quantile(beside, 0.5),
            "beside_ms_p99": MS * quantile(beside, 0.99),
            "p99_ratio": quantile(beside, 0.99) / quantile(alone, 0.99)}, [len(beside) == 3 * asks]


@rows_of
def restart(a):
    """The first token of a 4k-token prompt: cold, and after a restart with --cache-disk."""
    n, pairs = (4096, 3) if not a.quick else (300, 1)
    cold, warm, cached = [], [], []
    with House(a.hearth, a.model, "--ctx", n + 200, n_owners=0) as h:
        per_word = h.ask(words(300, 1), 1).usage["prompt_tokens"] / 300
        h.stop()
        for k in range(pairs):
            text, folder = words(int(n / per_word), 50 + k), h.home / f"pages{k}"
            for into in (cold, warm):
                h.start("--ctx", n + 200, "--cache-disk", folder)
                x = h.ask(text, 1)
                into.append(x.first)
                if into is warm:
                    cached.append(x.cached)
                h.stop()
    return {"prompt_tokens": n, "cold_ms": MS * quantile(cold, 0.5), "after_restart_ms": MS * quantile(warm, 0.5),
            "ratio": quantile(warm, 0.5) / quantile(cold, 0.5), "cached_tokens": min(cached)}, [min(cached) > n * 0.8]


@rows_of
def killed(a):
    """kill -9 under load, again and again: the database opens clean, and counts what clients saw, but for a moment's."""
    times = 50 if not a.quick else 3
    lost, written = [], "select sum(tokens_out) from request"
    with House(a.hearth, a.model, "--parallel", 4, n_owners=2) as h:
        for k in range(times):
            seen, over = [0] * 4, []

            def client(i):
                while not over:
                    x = h.ask(words(20, k * 100 + i), 400, i % 2)
                    seen[i] += len(x.at)
                    if x.error or x.status != 200:
                        return
            before = ledger(h, written)
            threads = [threading.Thread(target=client, args=(i,)) for i in range(4)]
            for t in threads:
                t.start()
            time.sleep(random.Random(k).uniform(0.3, 1.2))
            h.child.send_signal(signal.SIGKILL)
            h.child.wait()
            over.append(True)
            for t in threads:
                t.join()
            h.start("--parallel", 4)
            lost.append(sum(seen) - (ledger(h, written) - before))
        h.stop()
        rows, live = ledger_rows(h)
        crashed = ledger(h, "select count(*) from run where crashed")
        clean = ledger(h, "pragma integrity_check") == "ok"
    return {"kills": times, "rows": rows, "seen_but_not_counted_median": quantile(lost, 0.5),
            "seen_but_not_counted_largest": max(lost), "clean": clean}, [clean, live == 0, crashed == times]


def ledger(h, question):
    """One number from the database of a house; the server may run."""
    with sqlite3.connect(f"file:{h.home / 'hearth.db'}?mode=ro", uri=True, timeout=30) as db:
        return db.execute(question).fetchone()[0] or 0


def ledger_rows(h):
    """Rows of the ledger, and those of them that were never settled."""
    return ledger(h, "select count(*) from request"), ledger(h, "select count(*) from request where finish is null")


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--hearth", required=True)
    ap.add_argument("--model", required=True)
    ap.add_argument("--only", action="append", choices=sorted(rows_of.all), help="may be given several times")
    ap.add_argument("--small-cache", default="8M", help="memory for pages that is too little for all prompts")
    ap.add_argument("--quick", action="store_true")
    ap.add_argument("--json", action="store_true")
    ap.add_argument("--csv", help="a row for each figure is added to this file")
    a = ap.parse_args()
    bad = 0
    for name in a.only or rows_of.all:
        figures, holds = rows_of.all[name](a)
        bad += not all(holds)
        if a.json:
            print(json.dumps({"row": name, "holds": holds, **figures}), flush=True)
        else:
            print(f"{name}: {'holds' if all(holds) else 'DOES NOT HOLD'}")
            for k, v in figures.items():
                print(f"    {k:40s} {v:.4g}" if isinstance(v, float) else f"    {k:40s} {v}", flush=True)
        if a.csv:
            with open(a.csv, "a", newline="", encoding="utf-8") as f:
                for k, v in figures.items():
                    csv.writer(f).writerow([time.strftime("%Y-%m-%d"), a.model.rsplit("/", 1)[-1], name, k, v])
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
