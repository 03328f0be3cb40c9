#!/usr/bin/env python3
"""Reads Bard's GGUF file back, and measures and samples what is in it.

The weights are dequantised and run in 32-bit floats.  With --data the held-out
losses are measured; with --run also those of the checkpoint before
quantisation.  With --expected the vectors that the tests of other programs
compare themselves with are written.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader, quants
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from corpus import BOS, END, held_out_windows, read_files
from net import Bard, Config
from train import held_out_loss

PROMPT = ("HAMLET\tTo be, or not to be: that is the question:\n"
          "\tWhether 'tis nobler in the mind to suffer\n"
          "\tThe slings and arrows of outrageous fortune,\n"
          "\tOr to take arms against a sea of troubles,\n"
          "\tAnd by opposing end them?")
CONVERSATIONS = [
    ["Good morrow, sir. What news?"],
    ["Who art thou?"],
    ["Dost thou love me?"],
    ["What is the weather like today?"],
    ["Write a sonnet."],
    ["Where is the king?", None, "Then bring me to him."],
]


def read_gguf(path):
    """Returns (fields, {tensor name: float32 array})."""
    reader = GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    tensors = {t.name: torch.from_numpy(quants.dequantize(t.data, t.tensor_type).copy())
               for t in reader.tensors}
    return fields, tensors


def config_of(fields):
    get = lambda key: fields["llama." + key]
    return Config(
        vocab=get("vocab_size"), context=get("context_length"), width=get("embedding_length"),
        layers=get("block_count"), heads=get("attention.head_count"),
        kv_heads=get("attention.head_count_kv"), head_dim=get("rope.dimension_count"),
        feed_forward=get("feed_forward_length"), rope_base=get("rope.freq_base"),
        eps=get("attention.layer_norm_rms_epsilon"))


def tokenizer_of(fields):
    tokens = fields["tokenizer.ggml.tokens"]
    control = [t for t, kind in zip(tokens, fields["tokenizer.ggml.token_type"]) if kind == 3]
    tok = Tokenizer(models.BPE(
        vocab={t: i for i, t in enumerate(tokens)},
        merges=[tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"]]))
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens([AddedToken(t, special=True) for t in control])
    return tok


@torch.no_grad()
def generate(model, ids, count, rng, temperature=0.7, top_k=40):
    """Appends up to count sampled tokens to a list of ids."""
    ids = list(ids)
    for _ in range(count):
        logits = model(torch.tensor([ids[-model.config.context:]]))[0, -1]
        top = torch.topk(logits, top_k)
        choice = torch.multinomial(torch.softmax(top.values / temperature, 0), 1, generator=rng)
        ids.append(int(top.indices[choice]))
        if ids[-1] in (BOS, END):
            break
    return ids


def speak(model, tok, template):
    rng = torch.Generator().manual_seed(1616)
    for turns in CONVERSATIONS:
        messages = []
        for turn in turns:
            if turn is not None:
                messages.append({"role": "user", "content": turn})
                print(f"\n> {turn}")
            if turn is None or turn is turns[-1]:
                text = template.render(messages=messages, bos_token="<|endoftext|>",
                                       add_generation_prompt=True)
                ids = tok.encode(text).ids
                answer = tok.decode(generate(model, ids, 200, rng)[len(ids):])
                messages.append({"role": "assistant", "content": answer})
                print(answer)
    ids = [BOS, *tok.encode("To be, or not to be").ids]
    print("\n" + tok.decode(generate(model, ids, 120, rng)))


@torch.no_grad()
def expected(model, tok):
    ids = [BOS, *tok.encode(PROMPT).ids]
    logits = model(torch.tensor([ids]))[0]
    last = torch.topk(logits[-1], 5)
    chosen = torch.log_softmax(logits.double(), -1)[:-1].gather(1, torch.tensor(ids[1:])[:, None])
    return {
        "what": "logits of bard-q8_0.gguf, weights dequantised, computed in 32-bit floats",
        "text": PROMPT,
        "ids": ids,
        "argmax": logits.argmax(-1).tolist(),
        "mean_negative_log_likelihood": round(-chosen.mean().item(), 6),
        "last_top5": [{"id": i, "logit": round(v, 5)}
                      for i, v in zip(last.indices.tolist(), last.values.tolist())],
    }


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("gguf", help="the GGUF file")
    p.add_argument("--data", help="folder with the works as .txt files")
    p.add_argument("--run", help="the --out folder of train.py")
    p.add_argument("--checkpoint", default="best.pt", help="default %(default)s")
    p.add_argument("--expected", help="the JSON file to write")
    p.add_argument("--speak", action="store_true", help="print conversations and a completion")
    p.add_argument("--threads", type=int, default=2, help="default %(default)s")
    args = p.parse_args()
    torch.set_num_threads(args.threads)

    fields, tensors = read_gguf(args.gguf)
    model = Bard(config_of(fields))
    model.load_state_dict(tensors)
    model.eval()
    tok = tokenizer_of(fields)

    if args.data:
        files = read_files(args.data)
        for text in [t for group in files for t in group.values()]:
            if tok.decode(tok.encode(text).ids) != text:
                raise SystemExit("a text does not survive the vocabulary")
        held = held_out_windows(files[1], tok, model.config.context)
        quantised = held_out_loss(model, held, precise=True)
        print("Q8_0 ", json.dumps(quantised))
        if args.run:
            saved = torch.load(Path(args.run) / args.checkpoint, weights_only=False)
            plain = Bard(model.config)
            plain.load_state_dict(saved["model"])
            before = held_out_loss(plain, held, precise=True)
            print("float", json.dumps(before))
            for form in before:
                change = quantised[form]["loss"] / before[form]["loss"] - 1
                print(f"{form}: the loss changes by {change:+.4%}")
                if abs(change) > 0.005:
                    raise SystemExit("quantisation costs too much")
    model.eval()
    if args.expected:
        text = json.dumps(expected(model, tok), indent=1)
        Path(args.expected).write_text(text + "\n", encoding="utf-8")
    if args.speak:
        env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        speak(model, tok, env.from_string(fields["tokenizer.chat_template"]))


if __name__ == "__main__":
    main()
