#!/usr/bin/env python3
"""Trains Bard on the complete works of Shakespeare, on a CPU.

The learning rate rises, stays, and falls linearly over the last steps.  With
--minutes the number of steps is settled while the rate still stays, from the
time passed so far, and is printed and recorded; the same number given as
--steps makes the same run again.  A run that was stopped goes on from its last
checkpoint when it is started again with the same --out; as long as the rate
still stays, it may go on towards another number of steps.
"""
import argparse
import csv
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from corpus import Corpus, Windows, held_out_windows, read_files, train_tokenizer
from net import Bard, Config

FALL = 0.4          # part of the steps during which the learning rate falls


def parse_args():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True, help="folder with the works as .txt files")
    p.add_argument("--out", required=True,
                   help="folder for the vocabulary, checkpoints and the log")
    length = p.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int, help="number of steps")
    length.add_argument("--minutes", type=float, help="wall-clock time to fill with steps")
    p.add_argument("--fall", type=int, help="with --steps: the last steps, during which the "
                   f"learning rate falls (default {FALL:.0%}% of the steps)")
    p.add_argument("--batch", type=int, default=8192, help="tokens per step (default %(default)s)")
    p.add_argument("--window", type=int, default=512,
                   help="window before the learning rate falls (default %(default)s)")
    p.add_argument("--last-window", type=int, default=1024,
                   help="window while it falls (default %(default)s)")
    p.add_argument("--lr", type=float, default=4e-3, help="peak learning rate (default %(default)s)")
    p.add_argument("--warmup", type=int, default=50, help="steps of warm-up (default %(default)s)")
    p.add_argument("--weight-decay", type=float, default=0.1, help="default %(default)s")
    p.add_argument("--dropout", type=float, default=0.1, help="default %(default)s")
    p.add_argument("--dropout-steps", type=int, default=200,
                   help="steps with dropout; there is none after them (default %(default)s)")
    p.add_argument("--seed", type=int, default=1616, help="default %(default)s")
    p.add_argument("--threads", type=int, default=2, help="default %(default)s")
    p.add_argument("--eval-every", type=int, default=100,
                   help="steps between held-out measurements (default %(default)s)")
    p.add_argument("--save-every", type=int, default=50,
                   help="steps between checkpoints (default %(default)s)")
    p.add_argument("--no-compile", action="store_true", help="do not use torch.compile")
    return p.parse_args()


def make_optimizers(model, args):
    """Muon for the blocks' matrices, AdamW for the embedding and the norms."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and n.startswith("blk.")]
    norms = [p for p in model.parameters() if p.ndim == 1]
    return [
        torch.optim.Muon(matrices, lr=args.lr, weight_decay=args.weight_decay,
                         adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW([{"params": [model.token_embd.weight], "weight_decay": args.weight_decay},
                           {"params": norms, "weight_decay": 0.0}],
                          lr=args.lr, betas=(0.9, 0.95), fused=True),
    ]


def rate(step, steps, warmup, fall):
    """The factor of the peak learning rate at a step; steps may be unknown."""
    if step < warmup:
        return (step + 1) / warmup
    if steps is None:
        return 1.0
    return min(1.0, (steps - step) / fall)


@torch.no_grad()
def held_out_loss(model, windows, precise=False):
    """{form: {"loss": nats per token, "bits_per_byte": ...}}."""
    model.eval()
    result = {}
    for form, (docs, size) in windows.items():
        total = count = 0
        for i in range(0, len(docs), 8):
            part = docs[i:i + 8]
            longest = max(len(d) for d in part) - 1
            ids = torch.zeros(len(part), longest, dtype=torch.long)
            targets = torch.full((len(part), longest), -1)
            for row, doc in enumerate(part):
                ids[row, :len(doc) - 1] = torch.tensor(doc[:-1])
                targets[row, :len(doc) - 1] = torch.tensor(doc[1:])
            with torch.autocast("cpu", torch.bfloat16, enabled=not precise):
                total += model(ids, targets).double().sum().item()
            count += int((targets >= 0).sum())
        result[form] = {"loss": total / count, "tokens": count, "bytes": size,
                        "bits_per_byte": total / math.log(2) / size}
    model.train()
    return result


def save(path, value):
    """Writes the whole file or nothing."""
    torch.save(value, f"{path}.new")
    os.replace(f"{path}.new", path)


def main():
    args = parse_args()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    train_files, held_files = read_files(args.data)
    tok_path = out / "tokenizer.json"
    if not tok_path.exists():
        train_tokenizer(train_files.values()).save(str(tok_path))
    tok = Tokenizer.from_file(str(tok_path))
    corpus = Corpus(train_files, tok, args.seed)
    held = held_out_windows(held_files, tok, Config.context)

    model = Bard(Config())
    optimizers = make_optimizers(model, args)
    windows = {form: Windows(corpus, form) for form in ("plain", "chat")}
    step, steps, elapsed, best, seen = 0, args.steps, 0.0, math.inf, 0
    last = out / "last.pt"
    if last.exists():
        saved = torch.load(last, weights_only=False)
        model.load_state_dict(saved["model"])
        for optimizer, state in zip(optimizers, saved["optimizers"]):
            optimizer.load_state_dict(state)
        windows = {form: Windows(corpus, form, state) for form, state in saved["windows"].items()}
        step, elapsed, best, seen = (saved[k] for k in ("step", "elapsed", "best", "seen"))
        steps = steps or saved["steps"]
        rows = (out / "loss.csv").read_text().splitlines(keepends=True)
        (out / "loss.csv").write_text("".join(
            rows[:1] + [row for row in rows[1:] if int(row.split(",")[0]) <= step]))
        print(f"going on from step {step}", flush=True)
    else:
        print(f"{sum(p.numel() for p in model.parameters())} parameters, tokens of one pass: "
              + ", ".join(f"{form} {len(w.data)}" for form, w in windows.items()), flush=True)
        with open(out / "loss.csv", "w", newline="") as f:
            csv.writer(f, lineterminator="\n").writerow(["step", "tokens", "train", "plain", "chat"])
    run = model if args.no_compile else torch.compile(model, dynamic=False)
    model.train()

    recent = []
    began = time.monotonic() - elapsed
    while steps is None or step < steps:
        elapsed = time.monotonic() - began
        if steps is None and elapsed > args.minutes * 60 * (1 - FALL):
            steps = math.ceil(step / (1 - FALL))
            print(f"the run will have {steps} steps", flush=True)
        fall = args.fall or (steps and round(FALL * steps))
        factor = rate(step, steps, args.warmup, fall)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = args.lr * factor
        falling = steps is not None and step >= steps - fall
        length = args.last_window if falling else args.window
        half = args.batch // length // 2
        batch = torch.from_numpy(np.concatenate(
            [windows["plain"].take(half, length), windows["chat"].take(half, length)]))
        model.set_dropout(args.dropout if step < args.dropout_steps else 0.0)
        torch.manual_seed(args.seed * 1_000_003 + step)     # for the dropout
        with torch.autocast("cpu", torch.bfloat16):
            loss = run(batch[:, :-1].contiguous(), batch[:, 1:].contiguous()).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        step += 1
        seen += batch.shape[0] * length
        recent.append(loss.item())
        if step % 10 == 0 or step < 5:
            elapsed = time.monotonic() - began
            print(f"step {step}/{steps or '?'} loss {np.mean(recent[-10:]):.4f} "
                  f"rate {factor:.3f} {elapsed:.0f} s {elapsed / step:.2f} s/step", flush=True)
        done = step == steps
        if step % args.eval_every == 0 or done:
            result = held_out_loss(model, held)
            losses = [result[form]["loss"] for form in ("plain", "chat")]
            print(f"step {step} held-out {json.dumps(result)}", flush=True)
            with open(out / "loss.csv", "a", newline="") as f:
                csv.writer(f, lineterminator="\n").writerow(
                    [step, seen] + [f"{x:.4f}" for x in (np.mean(recent), *losses)])
            recent = []
            if sum(losses) < best:
                best = sum(losses)
                save(out / "best.pt", {"model": model.state_dict(), "step": step})
        if step % args.save_every == 0 or done:
            save(last, {"model": model.state_dict(),
                        "optimizers": [o.state_dict() for o in optimizers],
                        "windows": {form: w.state() for form, w in windows.items()},
                        "step": step, "steps": steps, "elapsed": time.monotonic() - began,
                        "best": best, "seen": seen, "args": vars(args)})
    print(f"done: {steps} steps, {seen} tokens, {elapsed / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    main()
