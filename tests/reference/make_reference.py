#!/usr/bin/env python3
"""Reference logits for tiny random models of every architecture, by Hugging Face transformers in FP32.

    make_reference.py [NAME ...] [--out DIR] [--check]

For each model two files are written to DIR (default tests/model/vectors):
    NAME.json  metadata pairs and tensors as they stand in a GGUF file, with the prompt;
    NAME.f32   logits of every position of the prompt, [n_prompt][n_vocab], little-endian float; of models
               that sum up a text, the final state of every position, [n_prompt][n_embd], then what their
               classifier says of the whole;
    NAME.nextn.f32  of models with a layer that guesses ahead, its logits: row i of the first [n_prompt - 1] from the
               state of token i and token i + 1, then three more that follow the likeliest tokens: the model's own
               behind the prompt, then what the layer said itself.

Weights are in neither: both sides draw them from the seed. Element i of tensor T is
    centre + spread * u,   u = (philox >> 8) * 2^-23 - 1,
where philox is word i % 4 of Philox 4x32-10 with key = seed, counter = (i / 4, FNV-1a 64 of T's name), all in
single precision. tests/support/tiny.c does the same in C and builds the GGUF file in memory.

Adapters (LoRA) are described and drawn in the same way: MODEL-lora1.json and MODEL-lora2.json. MODEL-lora.f32 has
the logits with both in force, by transformers with W + scale * alpha / rank * B A in the place of W; the scales are
in the adapters' descriptions.

--check compares with the files that are there instead of writing. Needs torch, transformers, numpy (see
requirements.txt beside this file). Nothing is fetched: the models are made here.
"""
import argparse
import json
import math
import pathlib
import sys

import numpy as np

SEED = 20261123
N_PROMPT = 64
N_BYTES = 256      # a byte-level vocabulary: 256 bytes, then control tokens
N_VOCAB = 272
EMBD = 256
ORIGINAL_CTX = 32  # trained context of the models whose rope is stretched


# ---------------------------------------------------------------- the shared generator


def fnv1a(name):
    h = 0xCBF29CE484222325
    for b in name.encode():
        h = (h ^ b) * 0x100000001B3 & (2**64 - 1)
    return h


def philox(seed, stream, n_blocks):
    """n_blocks x 4 words of Philox 4x32-10, counters 0..n_blocks-1."""
    mask = np.uint64(0xFFFFFFFF)
    ctr = np.arange(n_blocks, dtype=np.uint64)
    c = [ctr & mask, ctr >> np.uint64(32),
         np.full(n_blocks, stream & 0xFFFFFFFF, np.uint64), np.full(n_blocks, stream >> 32, np.uint64)]
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0 = np.uint64(0xD2511F53) * c[0]
        p1 = np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & mask,
             (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & mask]
        k0 = (k0 + 0x9E3779B9) & 0xFFFFFFFF
        k1 = (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, 1).astype(np.uint32)


def draw(t):
    """The values of one tensor of a spec, in GGUF's row order."""
    if "eye" in t:
        return np.float32(t["eye"]) * np.eye(t["ne"][1], t["ne"][0], dtype=np.float32)
    if "values" in t:
        return np.array(t["values"], np.float32).reshape(t["ne"][::-1])
    n = math.prod(t["ne"])
    w = philox(SEED, fnv1a(t.get("stream", t["name"])), (n + 3) // 4).reshape(-1)[:n]
    u = (w >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)
    x = np.float32(t["centre"]) + np.float32(t["spread"]) * u
    return x.reshape(t["ne"][::-1])


def prompt_ids():
    w = philox(SEED, fnv1a("prompt"), N_PROMPT // 4).reshape(-1)
    return [int(x) % N_BYTES for x in w]


# ---------------------------------------------------------------- specs: what a GGUF file would hold


class Spec:
    def __init__(self, name, arch, **p):
        self.name, self.arch, self.p = name, arch, p
        self.kv, self.tensors = [], []

    def key(self, key, kind, value):
        self.kv.append({"key": f"{self.arch}.{key}", "type": kind, "value": value})

    def matrix(self, name, n_in, n_out, *more, gain=1.0):
        self.tensors.append({"name": name + ".weight", "ne": [n_in, n_out, *more], "centre": 0.0,
                             "spread": float(np.float32(gain * math.sqrt(3.0 / n_in)))})

    def vector(self, name, n, centre, spread):
        self.tensors.append({"name": name, "ne": [n], "centre": centre, "spread": spread})

    def norm(self, name, n):
        self.vector(name + ".weight", n, 1.0, 0.25)

    def as_json(self):
        more = {k: self.p[k] for k in ("n_embd", "n_scores", "n_first") if k in self.p}
        return {"name": self.name, "arch": self.arch, "seed": SEED, "n_vocab": N_VOCAB, **more,
                "prompt": prompt_ids(), "kv": self.kv, "tensors": self.tensors}


def layered(name, arch, n_layer=2, n_head=4, n_kv=2, hd=64, ff=512, base=10000.0, tied=True, eps=1e-5, ctx=256,
            window=0, qk_norm=False, qkv_bias=False, out_bias=False, post_norms=False, packed=False,
            experts=0, used=0, expert_ff=0, expert_bias=False, sinks=False, extra=(), n_rot=0, shared=0, dense=0,
            nextn=None, idle=False):
    """The metadata and tensors that the dense and mixture-of-experts transformers here have in common."""
    s = Spec(name, arch, n_layer=n_layer, n_head=n_head, n_kv=n_kv, hd=hd, ff=ff, base=base, tied=tied, eps=eps,
             ctx=ctx, window=window, experts=experts, used=used, expert_ff=expert_ff, n_rot=n_rot or hd, shared=shared,
             dense=dense, nextn=nextn)
    s.key("block_count", "u32", n_layer + (nextn is not None))
    s.key("context_length", "u32", ctx)
    s.key("embedding_length", "u32", EMBD)
    s.key("feed_forward_length", "u32", ff)
    s.key("attention.head_count", "u32", n_head)
    s.key("attention.head_count_kv", "u32", n_kv)
    s.key("attention.key_length", "u32", hd)
    s.key("attention.value_length", "u32", hd)
    s.key("attention.layer_norm_rms_epsilon", "f32", eps)
    s.key("rope.dimension_count", "u32", n_rot or hd)
    s.key("rope.freq_base", "f32", base)
    if nextn is not None:
        s.key("nextn_predict_layers", "u32", 1)
    if shared:
        s.key("expert_shared_count", "u32", shared)
        s.key("leading_dense_block_count", "u32", dense)
        s.key("expert_gating_func", "u32", 2)
        s.key("expert_weights_norm", "u32", 1)
        s.key("expert_weights_scale", "f32", 1.5)
    if window:
        s.key("attention.sliding_window", "u32", window)
    if experts:
        s.key("expert_count", "u32", experts)
        s.key("expert_used_count", "u32", used)
        s.key("expert_feed_forward_length", "u32", expert_ff)
    for k in extra:
        s.key(*k)

    # Rows of about unit length, so that tied logits spread over some units.
    s.matrix("token_embd", EMBD, N_VOCAB, gain=1.0)
    s.norm("output_norm", EMBD)
    if not tied:
        s.matrix("output", EMBD, N_VOCAB, gain=4.0)
    quiet = 0.0 if idle else 1.0  # idle: layers add nothing, so that a token alone says what follows it
    for i in range(n_layer + (nextn is not None)):
        b = f"blk.{i}."
        if i == n_layer:
            nextn_tensors(s, b, nextn, idle)
        s.norm(b + "attn_norm", EMBD)
        if packed:
            s.matrix(b + "attn_qkv", EMBD, (n_head + 2 * n_kv) * hd, gain=1.5)
        else:
            s.matrix(b + "attn_q", EMBD, n_head * hd, gain=1.5)
            s.matrix(b + "attn_k", EMBD, n_kv * hd, gain=1.5)
            s.matrix(b + "attn_v", EMBD, n_kv * hd)
        if qkv_bias:
            s.vector(b + "attn_q.bias", n_head * hd, 0.0, 0.5)
            s.vector(b + "attn_k.bias", n_kv * hd, 0.0, 0.5)
            s.vector(b + "attn_v.bias", n_kv * hd, 0.0, 0.5)
        if qk_norm:
            s.norm(b + "attn_q_norm", hd)
            s.norm(b + "attn_k_norm", hd)
        if sinks:
            s.vector(b + "attn_sinks.weight", n_head, 0.5, 1.0)
        s.matrix(b + "attn_output", n_head * hd, EMBD, gain=quiet)
        if out_bias:
            s.vector(b + "attn_output.bias", EMBD, 0.0, 0.25)
        if post_norms:
            s.norm(b + "post_attention_norm", EMBD)
            s.norm(b + "post_ffw_norm", EMBD)
        # gpt-oss and glm4moe name the norm before their feed-forward after where it stands
        s.norm(b + ("post_attention_norm" if sinks or shared else "ffn_norm"), EMBD)
        if experts and i >= dense:
            s.matrix(b + "ffn_gate_inp", EMBD, experts, gain=2.0)
            s.matrix(b + "ffn_gate_exps", EMBD, expert_ff, experts)
            s.matrix(b + "ffn_up_exps", EMBD, expert_ff, experts)
            s.matrix(b + "ffn_down_exps", expert_ff, EMBD, experts)
            if shared:
                s.vector(b + "exp_probs_b.bias", experts, 0.0, 0.5)
                s.matrix(b + "ffn_gate_shexp", EMBD, shared * expert_ff)
                s.matrix(b + "ffn_up_shexp", EMBD, shared * expert_ff)
                s.matrix(b + "ffn_down_shexp", shared * expert_ff, EMBD)
            if expert_bias:
                s.vector(b + "ffn_gate_inp.bias", experts, 0.0, 0.5)
                for t, n in (("gate", expert_ff), ("up", expert_ff), ("down", EMBD)):
                    s.tensors.append({"name": f"{b}ffn_{t}_exps.bias", "ne": [n, experts], "centre": 0.0, "spread": 0.25})
        elif packed:
            s.matrix(b + "ffn_up", EMBD, 2 * ff)
            s.matrix(b + "ffn_down", ff, EMBD)
        else:
            s.matrix(b + "ffn_gate", EMBD, ff)
            s.matrix(b + "ffn_up", EMBD, ff)
            s.matrix(b + "ffn_down", ff, EMBD, gain=quiet)
    return s


def nextn_tensors(s, b, own, idle):
    """What the layer that guesses ahead has beside a layer's own; `own`: it has its own norm, embedding and head."""
    b += "nextn."
    if idle:
        s.tensors.append({"name": b + "eh_proj.weight", "ne": [2 * EMBD, EMBD], "eye": 1.0})
        s.vector(b + "enorm.weight", EMBD, 1.0, 0.0)
    else:
        s.matrix(b + "eh_proj", 2 * EMBD, EMBD, gain=1.5)
        s.norm(b + "enorm", EMBD)
    s.norm(b + "hnorm", EMBD)
    if own:
        s.norm(b + "shared_head_norm", EMBD)
        s.matrix(b + "embed_tokens", EMBD, N_VOCAB)
        s.matrix(b + "shared_head_head", EMBD, N_VOCAB)


MEAN, CLS, LAST, RANK = 1, 2, 3, 4


def encoder(name, arch, pooling, n_layer=2, n_head=4, ff=512, n_scores=0, n_first=N_PROMPT, eps=1e-12, base=1000.0):
    """bert (biases, positions, exact GELU) and nomic-bert (rope, a gate, one matrix for Q, K and V)."""
    bert = arch == "bert"
    s = Spec(name, arch, n_layer=n_layer, n_head=n_head, ff=ff, n_scores=n_scores, n_first=n_first, eps=eps, base=base,
             ctx=256, n_embd=EMBD)
    s.key("block_count", "u32", n_layer)
    s.key("context_length", "u32", 256)
    s.key("embedding_length", "u32", EMBD)
    s.key("feed_forward_length", "u32", ff)
    s.key("attention.head_count", "u32", n_head)
    s.key("attention.layer_norm_epsilon", "f32", eps)
    s.key("pooling_type", "u32", pooling)
    if not bert:
        s.key("rope.freq_base", "f32", base)

    def normed(at):
        s.norm(at, EMBD)
        s.vector(at + ".bias", EMBD, 0.0, 0.25)

    def linear(at, n_in, n_out, gain=1.0):
        s.matrix(at, n_in, n_out, gain=gain)
        if bert:
            s.vector(at + ".bias", n_out, 0.0, 0.25)

    s.matrix("token_embd", EMBD, N_VOCAB, gain=4.0)
    s.matrix("token_types", EMBD, 2, gain=4.0)
    if bert:
        s.matrix("position_embd", EMBD, 256, gain=4.0)
    normed("token_embd_norm")
    for i in range(n_layer):
        b = f"blk.{i}."
        if bert:
            for x in "qkv":
                linear(b + "attn_" + x, EMBD, EMBD, gain=1.5)
        else:
            s.matrix(b + "attn_qkv", EMBD, 3 * EMBD, gain=1.5)
        linear(b + "attn_output", EMBD, EMBD)
        normed(b + "attn_output_norm")
        linear(b + "ffn_up", EMBD, ff)
        if not bert:
            s.matrix(b + "ffn_gate", EMBD, ff)
        linear(b + "ffn_down", ff, EMBD)
        normed(b + "layer_output_norm")
    if n_scores:
        s.matrix("cls", EMBD, EMBD)
        s.vector("cls.bias", EMBD, 0.0, 0.25)
        s.matrix("cls.output", EMBD, n_scores)
        s.vector("cls.output.bias", n_scores, 0.0, 0.25)
    return s


def judge():
    """The form of Qwen3's rerankers: a decoder whose last state two rows turn into yes and no."""
    s = layered("qwen3-rank", "qwen3", base=1e6, qk_norm=True, eps=1e-6, n_head=4, n_kv=2, hd=64, ctx=512)
    s.key("pooling_type", "u32", RANK)
    s.matrix("cls.output", EMBD, 2)
    s.p.update(n_embd=EMBD, n_scores=2, n_first=N_PROMPT)
    return s


def table(s, name, values):
    s.tensors.append({"name": name, "ne": [len(values)], "values": [float(np.float32(v)) for v in values]})


def llama3_factors(hd, base, factor=8.0, low=1.0, high=4.0, old=ORIGINAL_CTX):
    """rope_freqs.weight of a Llama 3.1 file: what each frequency is divided by."""
    out = []
    for i in range(hd // 2):
        freq = base ** (-2.0 * i / hd)
        wavelen = 2 * math.pi / freq
        if wavelen < old / high:
            out.append(1.0)
        elif wavelen > old / low:
            out.append(factor)
        else:
            smooth = (old / wavelen - low) / (high - low)
            out.append(1.0 / ((1 - smooth) / factor + smooth))
    return out


def long_factors(hd, which):
    return [1.0 + (0.02 if which == "short" else 0.15) * i for i in range(hd // 2)]


SCALING = "rope.scaling."
LONG_ATTN = math.sqrt(1 + math.log(256 / ORIGINAL_CTX) / math.log(ORIGINAL_CTX))


def specs():
    out = [
        layered("llama", "llama", base=500000.0),
        layered("llama-untied", "llama", n_head=8, n_kv=1, hd=32, tied=False),
        layered("llama-linear", "llama", extra=[(SCALING + "type", "str", "linear"), (SCALING + "factor", "f32", 4.0)]),
        layered("llama-yarn", "llama", ctx=128, extra=[
            (SCALING + "type", "str", "yarn"), (SCALING + "factor", "f32", 4.0),
            (SCALING + "original_context_length", "u32", ORIGINAL_CTX)]),
        layered("mistral", "llama", n_head=6, n_kv=2, hd=32, window=16, tied=False),
        layered("qwen2", "qwen2", base=1e6, qkv_bias=True, eps=1e-6),
        layered("qwen3", "qwen3", base=1e6, qk_norm=True, eps=1e-6, n_head=6, n_kv=2, hd=64),
        layered("gemma2", "gemma2", post_norms=True, window=16, eps=1e-6, extra=[
            ("attn_logit_softcapping", "f32", 5.0), ("final_logit_softcapping", "f32", 3.0)]),
        layered("gemma3", "gemma3", n_layer=6, base=1e6, post_norms=True, qk_norm=True, window=16, eps=1e-6, n_kv=1, extra=[
            (SCALING + "type", "str", "linear"), (SCALING + "factor", "f32", 8.0)]),
        layered("phi3", "phi3", packed=True, window=24, tied=False, extra=[
            (SCALING + "original_context_length", "u32", ORIGINAL_CTX), (SCALING + "attn_factor", "f32", LONG_ATTN)]),
        layered("smollm3", "smollm3", n_layer=4, base=5e6, eps=1e-6),
        layered("qwen3moe", "qwen3moe", base=1e6, qk_norm=True, eps=1e-6, tied=False, experts=8, used=2, expert_ff=256),
        layered("gpt-oss", "gpt-oss", base=150000.0, tied=False, window=16, qkv_bias=True, out_bias=True, sinks=True,
                experts=8, used=4, expert_ff=256, expert_bias=True, ctx=256, extra=[
                    (SCALING + "type", "str", "yarn"), (SCALING + "factor", "f32", 8.0),
                    (SCALING + "original_context_length", "u32", ORIGINAL_CTX)]),
    ]
    out += [
        layered("glm4moe", "glm4moe", n_layer=3, n_rot=32, qkv_bias=True, qk_norm=True, tied=False, experts=8, used=3,
                expert_ff=256, shared=1, dense=1, nextn=False),
        layered("qwen3-nextn", "qwen3", base=1e6, qk_norm=True, eps=1e-6, nextn=True),
        layered("qwen3-sure", "qwen3", base=1e6, qk_norm=True, eps=1e-6, tied=False, nextn=False, idle=True),
    ]
    out += [
        encoder("bert", "bert", CLS, n_scores=1, n_first=40),
        encoder("nomic-bert", "nomic-bert", MEAN),
        judge(),
    ]
    by_name = {s.name: s for s in out}
    table(by_name["llama"], "rope_freqs.weight", llama3_factors(64, 500000.0))
    table(by_name["phi3"], "rope_factors_long.weight", long_factors(64, "long"))
    table(by_name["phi3"], "rope_factors_short.weight", long_factors(64, "short"))
    return out


# ---------------------------------------------------------------- adapters


ADAPTED = ["llama-untied", "gemma2", "phi3", "qwen3moe", "gpt-oss"]


class Adapter:
    """Low-rank pairs for matrices of a model. One A is for an embedding transposed, as files have it."""

    def __init__(self, base, number, rank, alpha, scale, wanted):
        self.name, self.base, self.rank, self.alpha, self.scale = f"{base.name}-lora{number}", base, rank, alpha, scale
        self.tensors = []
        heads = [dict(t, name="output.weight") for t in base.tensors if t["name"] == "token_embd.weight"]
        for t in base.tensors + (heads if base.p["tied"] else []):
            name, ne = t["name"], t["ne"]
            if not name.endswith(".weight") or len(ne) < 2 or not wanted(name):
                continue
            k, n, experts = ne[0], ne[1], ne[2:]
            a = [rank, n] if name == "token_embd.weight" else [k, rank]
            b = [rank, k] if name == "token_embd.weight" else [rank, n]
            self.tensors.append(self.half(f"{name}.lora_a", a + experts, math.sqrt(3.0 / k)))
            self.tensors.append(self.half(f"{name}.lora_b", b + experts, 0.3 * math.sqrt(3.0 / rank)))

    def half(self, name, ne, spread):
        return {"name": name, "ne": ne, "centre": 0.0, "spread": float(np.float32(spread)),
                "stream": f"{self.name} {name}"}

    def as_json(self):
        key = lambda k, t, v: {"key": k, "type": t, "value": v}
        kv = [key("general.type", "str", "adapter"), key("adapter.type", "str", "lora")]
        kv += [key("adapter.lora.alpha", "f32", self.alpha)] if self.alpha else []
        return {"name": self.name, "arch": self.base.arch, "adapter": True, "scale": self.scale, "seed": SEED, "kv": kv,
                "tensors": self.tensors}

    def merge(self, g):
        t = {x["name"]: draw(x).astype(np.float64) for x in self.tensors}
        gain = self.scale * (self.alpha / self.rank if self.alpha else 1.0)
        for name in (n[:-7] for n in t if n.endswith(".lora_a")):
            a, b = t[name + ".lora_a"], t[name + ".lora_b"]
            g[name] = g[name] + gain * (a @ b.T if name == "token_embd.weight" else b @ a)


def adapters_of(s):
    """The first changes everything, with more lanes than a panel has; the second a part, and names no alpha."""
    return [Adapter(s, 1, 24, 36.0, 0.5, lambda name: True),
            Adapter(s, 2, 3, 0.0, -0.75, lambda name: "attn_" in name or "ffn_down" in name)]


def adapted_logits(s):
    """An adapter of the embedding changes what is read of it, not a head that is tied to it."""
    g = {t["name"]: draw(t).astype(np.float64) for t in s.tensors}
    if s.p["tied"]:
        g["output.weight"] = g["token_embd.weight"]
    for a in adapters_of(s):
        a.merge(g)
    loose = Spec(s.name, s.arch, **{**s.p, "tied": False})
    loose.tensors = s.tensors
    return logits_of(loose, {k: v.astype(np.float32) for k, v in g.items()})


# ---------------------------------------------------------------- the same model in transformers


def build_hf(s):
    import transformers as T
    p = s.p
    n_layer, hd = p["n_layer"], p["hd"]
    common = dict(vocab_size=N_VOCAB, hidden_size=EMBD, intermediate_size=p["ff"], num_hidden_layers=n_layer,
                  num_attention_heads=p["n_head"], num_key_value_heads=p["n_kv"], head_dim=hd, rms_norm_eps=p["eps"],
                  max_position_embeddings=p["ctx"], tie_word_embeddings=p["tied"], bos_token_id=None,
                  eos_token_id=None, pad_token_id=None)
    rope = {"rope_type": "default", "rope_theta": p["base"]}
    alternating = ["sliding_attention" if i % 2 == 0 else "full_attention" for i in range(n_layer)]
    yarn = {"rope_type": "yarn", "rope_theta": p["base"], "original_max_position_embeddings": ORIGINAL_CTX,
            "beta_fast": 32.0, "beta_slow": 1.0}
    name = s.name
    if name.startswith("llama"):
        if name == "llama":
            rope = {"rope_type": "llama3", "rope_theta": p["base"], "factor": 8.0, "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0, "original_max_position_embeddings": ORIGINAL_CTX}
        elif name == "llama-linear":
            rope = {"rope_type": "linear", "rope_theta": p["base"], "factor": 4.0}
        elif name == "llama-yarn":
            rope = {**yarn, "factor": 4.0}
        return T.LlamaForCausalLM(T.LlamaConfig(**common, rope_parameters=rope))
    if name == "mistral":
        return T.MistralForCausalLM(T.MistralConfig(**common, rope_parameters=rope, sliding_window=p["window"]))
    if name == "qwen2":
        return T.Qwen2ForCausalLM(T.Qwen2Config(**common, rope_parameters=rope))
    if name.startswith("qwen3") and s.arch == "qwen3":
        return T.Qwen3ForCausalLM(T.Qwen3Config(**common, rope_parameters=rope))
    if name == "gemma2":
        return T.Gemma2ForCausalLM(T.Gemma2Config(
            **common, rope_parameters=rope, query_pre_attn_scalar=hd, sliding_window=p["window"],
            attn_logit_softcapping=5.0, final_logit_softcapping=3.0, layer_types=alternating))
    if name == "gemma3":
        return T.Gemma3ForCausalLM(T.Gemma3TextConfig(
            **common, query_pre_attn_scalar=hd, sliding_window=p["window"],
            layer_types=["full_attention" if i % 6 == 5 else "sliding_attention" for i in range(n_layer)],
            rope_parameters={"full_attention": {"rope_type": "linear", "rope_theta": p["base"], "factor": 8.0},
                             "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}))
    if name == "phi3":
        return T.Phi3ForCausalLM(T.Phi3Config(
            **common, sliding_window=p["window"], original_max_position_embeddings=ORIGINAL_CTX, rope_parameters={
                "rope_type": "longrope", "rope_theta": p["base"], "original_max_position_embeddings": ORIGINAL_CTX,
                "attention_factor": LONG_ATTN,
                "long_factor": long_factors(hd, "long"), "short_factor": long_factors(hd, "short")}))
    if name == "smollm3":
        return T.SmolLM3ForCausalLM(T.SmolLM3Config(**common, rope_parameters=rope, no_rope_layer_interval=4))
    if name == "glm4moe":
        return T.Glm4MoeForCausalLM(T.Glm4MoeConfig(
            **common, rope_parameters={**rope, "partial_rotary_factor": p["n_rot"] / hd}, attention_bias=True,
            use_qk_norm=True, n_routed_experts=p["experts"], num_experts_per_tok=p["used"], n_shared_experts=p["shared"],
            moe_intermediate_size=p["expert_ff"], first_k_dense_replace=p["dense"], norm_topk_prob=True,
            routed_scaling_factor=1.5, n_group=1, topk_group=1))
    if name == "qwen3moe":
        return T.Qwen3MoeForCausalLM(T.Qwen3MoeConfig(
            **common, rope_parameters=rope, num_experts=p["experts"], num_experts_per_tok=p["used"],
            moe_intermediate_size=p["expert_ff"], norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[]))
    if name == "gpt-oss":
        common["intermediate_size"] = p["expert_ff"]
        return T.GptOssForCausalLM(T.GptOssConfig(
            **common, num_local_experts=p["experts"], num_experts_per_tok=p["used"], sliding_window=p["window"],
            layer_types=alternating, rope_parameters={**yarn, "factor": 8.0, "truncate": False}))
    raise SystemExit(f"no transformers twin for {name}")


def unpermute(w, n_head):
    """Llama files hold Q and K rows with rotary pairs side by side; transformers has them half a head apart."""
    rows, k = w.shape
    return w.reshape(n_head, rows // n_head // 2, 2, k).swapaxes(1, 2).reshape(rows, k)


def hf_weights(s, g=None):
    """Names and values as transformers wants them, from the drawn GGUF tensors."""
    p, g = s.p, g or {t["name"]: draw(t) for t in s.tensors}
    gemma = s.arch.startswith("gemma")
    norm = (lambda w: w - np.float32(1)) if gemma else (lambda w: w)
    out = {"model.embed_tokens.weight": g["token_embd.weight"], "model.norm.weight": norm(g["output_norm.weight"])}
    if not p["tied"]:
        out["lm_head.weight"] = g["output.weight"]
    for i in range(p["n_layer"]):
        b, h = f"blk.{i}.", f"model.layers.{i}."
        a, m = h + "self_attn.", h + "mlp."
        out[h + "input_layernorm.weight"] = norm(g[b + "attn_norm.weight"])
        if s.arch == "phi3":
            out[a + "qkv_proj.weight"] = g[b + "attn_qkv.weight"]
        else:
            for x, n in (("q", p["n_head"]), ("k", p["n_kv"]), ("v", 0)):
                w = g[b + f"attn_{x}.weight"]
                out[a + f"{x}_proj.weight"] = unpermute(w, n) if s.arch in ("llama", "smollm3") and n else w
                if b + f"attn_{x}.bias" in g:
                    out[a + f"{x}_proj.bias"] = g[b + f"attn_{x}.bias"]
        for x in ("q", "k"):
            if b + f"attn_{x}_norm.weight" in g:
                out[a + f"{x}_norm.weight"] = norm(g[b + f"attn_{x}_norm.weight"])
        out[a + "o_proj.weight"] = g[b + "attn_output.weight"]
        if b + "attn_output.bias" in g:
            out[a + "o_proj.bias"] = g[b + "attn_output.bias"]
        if b + "attn_sinks.weight" in g:
            out[a + "sinks"] = g[b + "attn_sinks.weight"]
        if gemma:
            out[h + "post_attention_layernorm.weight"] = norm(g[b + "post_attention_norm.weight"])
            out[h + "pre_feedforward_layernorm.weight"] = norm(g[b + "ffn_norm.weight"])
            out[h + "post_feedforward_layernorm.weight"] = norm(g[b + "post_ffw_norm.weight"])
        else:
            out[h + "post_attention_layernorm.weight"] = g[b + ("post_attention_norm" if s.arch in ("gpt-oss", "glm4moe") else "ffn_norm") + ".weight"]
        if s.arch == "phi3":
            out[m + "gate_up_proj.weight"] = g[b + "ffn_up.weight"]
            out[m + "down_proj.weight"] = g[b + "ffn_down.weight"]
        elif s.arch == "gpt-oss":
            gate, up = g[b + "ffn_gate_exps.weight"], g[b + "ffn_up_exps.weight"]
            both = np.stack([gate, up], 2).reshape(gate.shape[0], -1, EMBD)  # rows gate, up, gate, up ...
            out[m + "router.weight"], out[m + "router.bias"] = g[b + "ffn_gate_inp.weight"], g[b + "ffn_gate_inp.bias"]
            out[m + "experts.gate_up_proj"] = both.swapaxes(1, 2)
            out[m + "experts.gate_up_proj_bias"] = np.stack(
                [g[b + "ffn_gate_exps.bias"], g[b + "ffn_up_exps.bias"]], 2).reshape(gate.shape[0], -1)
            out[m + "experts.down_proj"] = g[b + "ffn_down_exps.weight"].swapaxes(1, 2)
            out[m + "experts.down_proj_bias"] = g[b + "ffn_down_exps.bias"]
        elif p["experts"] and i >= p["dense"]:
            if p["shared"]:
                out[m + "gate.e_score_correction_bias"] = g[b + "exp_probs_b.bias"]
                for x in ("gate", "up", "down"):
                    out[m + f"shared_experts.{x}_proj.weight"] = g[b + f"ffn_{x}_shexp.weight"]
            out[m + "gate.weight"] = g[b + "ffn_gate_inp.weight"]
            out[m + "experts.gate_up_proj"] = np.concatenate([g[b + "ffn_gate_exps.weight"], g[b + "ffn_up_exps.weight"]], 1)
            out[m + "experts.down_proj"] = g[b + "ffn_down_exps.weight"]
        else:
            for x in ("gate", "up", "down"):
                out[m + f"{x}_proj.weight"] = g[b + f"ffn_{x}.weight"]
    return out


def build_encoder(s):
    import transformers as T
    p = s.p
    common = dict(vocab_size=N_VOCAB, hidden_size=EMBD, intermediate_size=p["ff"], num_hidden_layers=p["n_layer"],
                  num_attention_heads=p["n_head"], max_position_embeddings=p["ctx"], type_vocab_size=2,
                  layer_norm_eps=p["eps"], pad_token_id=None)
    if s.arch == "bert":
        return T.BertForSequenceClassification(T.BertConfig(**common, num_labels=p["n_scores"]))
    return T.NomicBertModel(T.NomicBertConfig(**{**common, "pad_token_id": 0}, rope_parameters={
        "rope_type": "default", "rope_theta": p["base"]}))


def encoder_weights(s):
    g, out = {t["name"]: draw(t) for t in s.tensors}, {}

    def put(to, at):
        for part in ("weight", "bias"):
            if f"{at}.{part}" in g:
                out[f"{to}.{part}"] = g[f"{at}.{part}"]

    bert = s.arch == "bert"
    base = "bert." if bert else ""
    e = base + "embeddings."
    put(e + "word_embeddings", "token_embd")
    put(e + "token_type_embeddings", "token_types")
    put(e + "position_embeddings", "position_embd")
    put(e + "LayerNorm", "token_embd_norm")
    for i in range(s.p["n_layer"]):
        b = f"blk.{i}."
        if bert:
            h = f"bert.encoder.layer.{i}."
            for x, name in (("q", "query"), ("k", "key"), ("v", "value")):
                put(h + "attention.self." + name, b + "attn_" + x)
            put(h + "attention.output.dense", b + "attn_output")
            put(h + "attention.output.LayerNorm", b + "attn_output_norm")
            put(h + "intermediate.dense", b + "ffn_up")
            put(h + "output.dense", b + "ffn_down")
            put(h + "output.LayerNorm", b + "layer_output_norm")
        else:
            h = f"layers.{i}."
            for k, name in enumerate(("q_proj", "k_proj", "v_proj")):
                out[h + f"self_attn.{name}.weight"] = g[b + "attn_qkv.weight"][k * EMBD:(k + 1) * EMBD]
            put(h + "self_attn.o_proj", b + "attn_output")
            put(h + "post_attention_layernorm", b + "attn_output_norm")
            put(h + "mlp.up_proj", b + "ffn_up")
            put(h + "mlp.gate_proj", b + "ffn_gate")
            put(h + "mlp.down_proj", b + "ffn_down")
            put(h + "post_mlp_layernorm", b + "layer_output_norm")
    if bert:
        put("bert.pooler.dense", "cls")
        put("classifier", "cls.output")
    return out


def state_of(s):
    """The final state of every position, then the scores."""
    import torch
    torch.manual_seed(0)
    torch.set_num_threads(1)
    if s.name == "qwen3-rank":
        model, want = build_hf(s).float().eval(), hf_weights(s)
    else:
        model, want = build_encoder(s).float().eval(), encoder_weights(s)
    model.set_attn_implementation("eager")
    state = model.state_dict()
    bad = [k for k in want if k not in state or tuple(state[k].shape) != want[k].shape]
    bad += [k for k in state if k not in want and not k.endswith(("inv_freq", "position_ids", "lm_head.weight"))]
    if bad:
        sys.exit(f"{s.name}: {bad}")
    model.load_state_dict({k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in want.items()}, strict=False)
    ids = torch.tensor([prompt_ids()])
    with torch.no_grad():
        if s.name == "qwen3-rank":
            hidden = model.model(ids, use_cache=False).last_hidden_state[0]
            head = torch.from_numpy(draw(next(t for t in s.tensors if t["name"] == "cls.output.weight")))
            scores = torch.softmax(hidden[-1] @ head.T, -1)[:1]  # the first is yes
            scores = torch.cat([scores, 1 - scores])
        else:
            types = torch.tensor([[0] * s.p["n_first"] + [1] * (N_PROMPT - s.p["n_first"])])
            inner = model.bert if s.arch == "bert" else model
            hidden = inner(ids, token_type_ids=types).last_hidden_state[0]
            scores = model(ids, token_type_ids=types).logits[0] if s.p["n_scores"] else torch.zeros(0)
    return np.concatenate([hidden.numpy().reshape(-1), scores.numpy().reshape(-1)]).astype("<f4")[None]


def logits_of(s, g=None):
    if "n_embd" in s.p:
        return state_of(s)
    import torch
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = build_hf(s).float().eval()
    model.set_attn_implementation("eager")
    state, want = model.state_dict(), hf_weights(s, g)
    missing = [k for k in state if k not in want and not k.endswith("inv_freq") and
               not (k == "lm_head.weight" and s.p["tied"])]
    unknown = [k for k in want if k not in state]
    if missing or unknown:
        sys.exit(f"{s.name}: transformers has {missing} and lacks {unknown}")
    for k, v in want.items():
        if tuple(state[k].shape) != v.shape:
            sys.exit(f"{s.name}: {k} is {tuple(state[k].shape)} in transformers, {v.shape} here")
    model.load_state_dict({k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in want.items()}, strict=False)
    model.tie_weights()
    with torch.no_grad():
        return model(torch.tensor([prompt_ids()]), use_cache=False).logits[0].numpy().astype("<f4")


def nextn_of(s):
    """Logits of the layer that guesses ahead. transformers leaves it out; its layer is one of the model's kind, fed
    with eh_proj of the token's embedding and the state before it, both normed."""
    import torch
    torch.manual_seed(0)
    torch.set_num_threads(1)
    p, n = s.p, s.p["n_layer"]
    p["n_layer"] = n + 1  # one layer more, which does not run with the others
    model, want = build_hf(s).float().eval(), hf_weights(s)
    p["n_layer"] = n
    model.set_attn_implementation("eager")
    model.load_state_dict({k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in want.items()}, strict=False)
    model.tie_weights()
    extra = model.model.layers[n]
    del model.model.layers[n]
    model.config.num_hidden_layers = n
    g = {t["name"]: torch.from_numpy(np.ascontiguousarray(draw(t))) for t in s.tensors if f"blk.{n}.nextn." in t["name"]}

    def own(name, other):
        return g.get(f"blk.{n}.nextn.{name}.weight", other)

    def norm(x, w):
        return w * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + p["eps"]))

    embd = own("embed_tokens", model.model.embed_tokens.weight)
    head = own("shared_head_head", model.lm_head.weight)

    def layer(states, ids):
        """States and logits of the layer over a whole text."""
        x = torch.cat([norm(embd[ids], own("enorm", None)), norm(states, own("hnorm", None))], -1) @ own("eh_proj", None).T
        k = x.shape[0]
        mask = torch.full((k, k), float("-inf")).triu(1)[None, None]
        pos = model.model.rotary_emb(x[None], torch.arange(k)[None])
        y = extra(x[None], attention_mask=mask, position_embeddings=pos, position_ids=torch.arange(k)[None])
        y = norm((y[0] if isinstance(y, tuple) else y)[0], own("shared_head_norm", model.model.norm.weight))
        return y, y @ head.T

    with torch.no_grad():
        ids = torch.tensor(prompt_ids())
        states = model.model(ids[None], use_cache=False).last_hidden_state[0]
        out = [layer(states[:-1], ids[1:])[1]]
        ids = torch.cat([ids[1:], (states[-1] @ model.lm_head.weight.T).argmax()[None]])
        for _ in range(3):
            y, logits = layer(states, ids)
            out.append(logits[-1:])
            states, ids = torch.cat([states, y[-1:]]), torch.cat([ids, logits[-1].argmax()[None]])
        return torch.cat(out).numpy().astype("<f4")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("names", nargs="*")
    ap.add_argument("--out", default=pathlib.Path(__file__).parent.parent / "model" / "vectors", type=pathlib.Path)
    ap.add_argument("--check", action="store_true")
    a = ap.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    known = {s.name: (s, logits_of) for s in specs()}
    known |= {f"{n}-lora": (known[n][0], adapted_logits) for n in ADAPTED}
    bad = 0
    for name in a.names or known:
        if name not in known:
            sys.exit(f"no model {name}; known: {' '.join(known)}")
        s, compute = known[name]
        logits = compute(s)
        ahead = nextn_of(s) if compute is logits_of and s.p.get("nextn") is not None else None
        span = float(logits.max() - logits.min())
        if a.check:
            have = np.fromfile(a.out / f"{name}.f32", "<f4").reshape(logits.shape)
            diff = float(np.abs(have - logits).max()) / span
            if ahead is not None:
                have = np.fromfile(a.out / f"{name}.nextn.f32", "<f4").reshape(ahead.shape)
                diff = max(diff, float(np.abs(have - ahead).max()) / float(ahead.max() - ahead.min()))
            bad += diff > 1e-5
            print(f"{name}: largest difference {diff:.2e} of the range")
        else:
            for x in [s] if compute is logits_of else adapters_of(s):
                (a.out / f"{x.name}.json").write_text(json.dumps(x.as_json(), separators=(",", ":")) + "\n")
            logits.tofile(a.out / f"{name}.f32")
            if ahead is not None:
                ahead.tofile(a.out / f"{name}.nextn.f32")
            top = np.sort(logits, 1)
            print(f"{name}: range {span:.2f}, smallest top-two gap {float((top[:, -1] - top[:, -2]).min()):.4f}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
