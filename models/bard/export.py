#!/usr/bin/env python3
"""Writes a checkpoint of Bard as a GGUF file: matrices Q8_0, norms F32."""
import argparse
import json
import os
from pathlib import Path

import torch
from gguf import GGMLQuantizationType, GGUFWriter, TokenType, quants

from corpus import BOS, CONTROL, END, VOCAB
from net import Config

CHAT_TEMPLATE = (
    "{{- bos_token -}}\n"
    "{%- for message in messages -%}\n"
    "  {%- if message['role'] == 'assistant' -%}\n"
    "    {{- '<|bard|>' -}}\n"
    "  {%- elif message['role'] == 'system' or message['role'] == 'developer' -%}\n"
    "    {{- '<|system|>' -}}\n"
    "  {%- else -%}\n"
    "    {{- '<|user|>' -}}\n"
    "  {%- endif -%}\n"
    "  {{- message['content'] | trim -}}\n"
    "  {{- '<|end|>' -}}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}\n"
    "  {{- '<|bard|>' -}}\n"
    "{%- endif -%}\n"
)


def write_gguf(path, weights, tokenizer, config=None):
    """weights: {tensor name: float array}; tokenizer: the parsed tokenizer.json."""
    c = config or Config()
    w = GGUFWriter(f"{path}.new", "llama")
    w.add_name("Bard")
    w.add_description("A toy that talks like the complete works of Shakespeare")
    w.add_license("mit")
    w.add_size_label("7M")
    w.add_languages(["en"])
    w.add_file_type(7)                              # mostly Q8_0
    w.add_quantization_version(2)
    w.add_block_count(c.layers)
    w.add_context_length(c.context)
    w.add_embedding_length(c.width)
    w.add_feed_forward_length(c.feed_forward)
    w.add_head_count(c.heads)
    w.add_head_count_kv(c.kv_heads)
    w.add_key_length(c.head_dim)
    w.add_value_length(c.head_dim)
    w.add_layer_norm_rms_eps(c.eps)
    w.add_rope_dimension_count(c.head_dim)
    w.add_rope_freq_base(c.rope_base)
    w.add_vocab_size(c.vocab)

    ids = dict(tokenizer["model"]["vocab"])
    ids.update((t["content"], t["id"]) for t in tokenizer["added_tokens"])
    tokens = sorted(ids, key=ids.get)
    if [ids[t] for t in tokens] != list(range(VOCAB)) or tokens[-len(CONTROL):] != CONTROL:
        raise SystemExit("the vocabulary is not Bard's")
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(tokens)
    w.add_token_types([TokenType.CONTROL if t in CONTROL else TokenType.NORMAL for t in tokens])
    w.add_token_merges(merges)
    w.add_bos_token_id(BOS)
    w.add_eos_token_id(END)
    w.add_eot_token_id(END)
    w.add_add_bos_token(True)
    w.add_add_eos_token(False)
    w.add_add_space_prefix(False)
    w.add_chat_template(CHAT_TEMPLATE)

    for name, value in weights.items():
        value = value.float().numpy()
        if value.ndim == 2:
            q8_0 = GGMLQuantizationType.Q8_0
            w.add_tensor(name, quants.quantize(value, q8_0), raw_dtype=q8_0)
        else:
            w.add_tensor(name, value)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    os.replace(f"{path}.new", path)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--run", required=True, help="the --out folder of train.py")
    p.add_argument("--checkpoint", default="best.pt", help="default %(default)s")
    p.add_argument("out", help="the GGUF file to write")
    args = p.parse_args()
    saved = torch.load(Path(args.run) / args.checkpoint, weights_only=False)
    tokenizer = json.loads((Path(args.run) / "tokenizer.json").read_text(encoding="utf-8"))
    write_gguf(args.out, saved["model"], tokenizer)
    print(f"{args.out}: step {saved['step']}, {os.path.getsize(args.out)} bytes")


if __name__ == "__main__":
    main()
