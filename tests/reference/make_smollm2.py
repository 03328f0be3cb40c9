#!/usr/bin/env python3
"""What SmolLM2-135M-Instruct (Q4_1) says, by Hugging Face transformers in FP32 on the dequantised weights.

    make_smollm2.py MODEL.gguf [--out tests/conformance/smollm2.json]

Writes for some prompts the ids, the 16 largest logits of the last position, 32 greedy tokens with the gap between the
two largest logits at each, and the perplexity of tests/conformance/sonnets-1-12.txt. The ids come from the file's own
vocabulary through the `tokenizers` package. Needs torch, transformers, gguf, tokenizers.
"""
import argparse
import json
import math
import pathlib

import numpy as np
import torch
import transformers
from gguf import GGUFReader, dequantize
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from make_reference import unpermute

HERE = pathlib.Path(__file__).parent
PROMPTS = ["Once upon a time, in a land far away,", "The capital of France is", "def fibonacci(n):\n    ",
           "Water boils at a temperature of", "My favourite recipe starts with"]
N_GREEDY, WINDOW = 32, 512


def load(path):
    r = GGUFReader(path)
    f = {k: v.contents() for k, v in r.fields.items() if not k.startswith("tokenizer.ggml.") or k.endswith("_id")}
    t = {x.name: np.array(dequantize(x.data, x.tensor_type), np.float32) for x in r.tensors}
    n_head, n_kv = f["llama.attention.head_count"], f["llama.attention.head_count_kv"]
    cfg = transformers.LlamaConfig(
        vocab_size=t["token_embd.weight"].shape[0], hidden_size=f["llama.embedding_length"],
        intermediate_size=f["llama.feed_forward_length"], num_hidden_layers=f["llama.block_count"],
        num_attention_heads=n_head, num_key_value_heads=n_kv,
        rms_norm_eps=float(f["llama.attention.layer_norm_rms_epsilon"]),
        max_position_embeddings=f["llama.context_length"], tie_word_embeddings="output.weight" not in t,
        rope_parameters={"rope_type": "default", "rope_theta": float(f["llama.rope.freq_base"])})
    w = {"model.embed_tokens.weight": t["token_embd.weight"], "model.norm.weight": t["output_norm.weight"]}
    if "output.weight" in t:
        w["lm_head.weight"] = t["output.weight"]
    for i in range(cfg.num_hidden_layers):
        b, h = f"blk.{i}.", f"model.layers.{i}."
        w[h + "input_layernorm.weight"] = t[b + "attn_norm.weight"]
        w[h + "post_attention_layernorm.weight"] = t[b + "ffn_norm.weight"]
        w[h + "self_attn.q_proj.weight"] = unpermute(t[b + "attn_q.weight"], n_head)
        w[h + "self_attn.k_proj.weight"] = unpermute(t[b + "attn_k.weight"], n_kv)
        w[h + "self_attn.v_proj.weight"] = t[b + "attn_v.weight"]
        w[h + "self_attn.o_proj.weight"] = t[b + "attn_output.weight"]
        for x in ("gate", "up", "down"):
            w[h + f"mlp.{x}_proj.weight"] = t[b + f"ffn_{x}.weight"]
    m = transformers.LlamaForCausalLM(cfg).float().eval()
    m.load_state_dict({k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in w.items()}, strict=False)
    m.tie_weights()
    tokens = r.fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(x.split(" ")) for x in r.fields["tokenizer.ggml.merges"].contents()]
    tok = Tokenizer(models.BPE({s: i for i, s in enumerate(tokens)}, merges))
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tok.decoder = decoders.ByteLevel()
    return m, tok


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("model")
    ap.add_argument("--out", type=pathlib.Path, default=HERE.parent / "conformance/smollm2.json")
    a = ap.parse_args()
    torch.set_num_threads(1)
    model, tok = load(a.model)
    out = {"prompts": []}
    with torch.no_grad():
        for text in PROMPTS:
            ids = tok.encode(text, add_special_tokens=False).ids
            row = {"text": text, "ids": list(ids), "greedy": [], "gaps": []}
            for step in range(N_GREEDY):
                x = model(torch.tensor([ids])).logits[0, -1]
                top = torch.topk(x, 16)
                if step == 0:
                    row["range"] = float(x.max() - x.min())
                    row["top"] = [[int(i), float(v)] for i, v in zip(top.indices, top.values)]
                row["greedy"].append(int(top.indices[0]))
                row["gaps"].append(round(float(top.values[0] - top.values[1]), 5))
                ids = ids + [int(top.indices[0])]
            row["continuation"] = tok.decode(row["greedy"])
            out["prompts"].append(row)
        ids = tok.encode((HERE.parent / "conformance/sonnets-1-12.txt").read_text(), add_special_tokens=False).ids
        nll, n = 0.0, 0
        for start in range(0, len(ids) - WINDOW + 1, WINDOW):
            w = torch.tensor([ids[start:start + WINDOW]])
            logp = torch.log_softmax(model(w).logits[0].double(), -1)
            for i in range(WINDOW // 2, WINDOW - 1):
                nll -= float(logp[i, w[0, i + 1]])
                n += 1
        out["perplexity"] = {"file": "sonnets-1-12.txt", "n_tokens": len(ids), "ctx": WINDOW, "n_scored": n,
                             "value": math.exp(nll / n)}
    a.out.write_text(json.dumps(out, indent=1, ensure_ascii=False) + "\n")
    print(out["perplexity"], [p["continuation"] for p in out["prompts"]])


if __name__ == "__main__":
    main()
