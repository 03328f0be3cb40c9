"""Bard's network: a llama with grouped-query attention, in PyTorch.

RoPE turns neighbouring pairs of dimensions (2i, 2i+1), as GGUF's "llama"
architecture expects, so that the weights are exported as they are.
"""
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Config:
    vocab: int = 4096
    context: int = 1024
    width: int = 256
    layers: int = 8
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    feed_forward: int = 768
    rope_base: float = 10000.0
    eps: float = 1e-5


class Norm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        x = x.float()
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


def rope_tables(config):
    half = torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim
    angle = torch.arange(config.context, dtype=torch.float64)[:, None] * config.rope_base ** -half
    return angle.cos().float(), angle.sin().float()


def rope(x, cos, sin):
    """x is [batch, time, heads, head_dim]; cos and sin are [time, head_dim / 2]."""
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos[:, None, :], sin[:, None, :]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).type_as(x)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, self.dropout = c, 0.0
        linear = lambda i, o: nn.Linear(i, o, bias=False)
        self.attn_norm = Norm(c.width, c.eps)
        self.attn_q = linear(c.width, c.heads * c.head_dim)
        self.attn_k = linear(c.width, c.kv_heads * c.head_dim)
        self.attn_v = linear(c.width, c.kv_heads * c.head_dim)
        self.attn_output = linear(c.heads * c.head_dim, c.width)
        self.ffn_norm = Norm(c.width, c.eps)
        self.ffn_gate = linear(c.width, c.feed_forward)
        self.ffn_up = linear(c.width, c.feed_forward)
        self.ffn_down = linear(c.feed_forward, c.width)

    def drop(self, x):
        return F.dropout(x, self.dropout, self.training)

    def forward(self, x, cos, sin):
        c = self.c
        batch, time, _ = x.shape
        h = self.attn_norm(x)
        q = rope(self.attn_q(h).view(batch, time, c.heads, c.head_dim), cos, sin)
        k = rope(self.attn_k(h).view(batch, time, c.kv_heads, c.head_dim), cos, sin)
        v = self.attn_v(h).view(batch, time, c.kv_heads, c.head_dim)
        groups = c.heads // c.kv_heads
        k, v = k.repeat_interleave(groups, 2), v.repeat_interleave(groups, 2)
        y = F.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True)
        x = x + self.drop(self.attn_output(y.transpose(1, 2).reshape(batch, time, -1)))
        h = self.ffn_norm(x)
        return x + self.drop(self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h)))


class Bard(nn.Module):
    """Parameters carry the names of their GGUF tensors."""

    def __init__(self, config=None):
        super().__init__()
        self.config = c = config or Config()
        self.dropout = 0.0
        self.token_embd = nn.Embedding(c.vocab, c.width)
        self.blk = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.output_norm = Norm(c.width, c.eps)
        cos, sin = rope_tables(c)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for name, p in self.named_parameters():
            if p.ndim == 2:
                out = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(p, std=0.02 / (2 * c.layers) ** 0.5 if out else 0.02)

    def set_dropout(self, p):
        self.dropout = p
        for block in self.blk:
            block.dropout = p

    def forward(self, ids, targets=None):
        """Logits, or with targets the loss per token in nats (-1: not counted)."""
        time = ids.shape[1]
        x = F.dropout(self.token_embd(ids), self.dropout, self.training)
        for block in self.blk:
            x = block(x, self.cos[:time], self.sin[:time])
        logits = F.linear(self.output_norm(x), self.token_embd.weight)
        if targets is None:
            return logits
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(),
                               ignore_index=-1, reduction="none").view_as(targets)
