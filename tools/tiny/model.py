"""The network of the embedded model: a llama-architecture decoder in plain PyTorch.

Every tensor has the name and the shape that llama.cpp expects after export. The rotary embedding turns
neighbouring pairs of a head (0,1), (2,3), ... which is what llama.cpp does for the `llama` architecture, so
the query and key matrices are exported as they are. (Weights in the transformers layout would first have to
be permuted.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the network; all widths are multiples of 256 so that K-quants can pack the rows."""

    n_vocab: int = 4096
    n_embd: int = 256
    n_layer: int = 6
    n_head: int = 8
    n_head_kv: int = 4
    n_ff: int = 768
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.n_embd // self.n_head


class RMSNorm(nn.Module):
    """Root mean square normalisation with a learned scale."""

    def __init__(self, dim: int, eps: float) -> None:
        """Make the parts for the given sizes."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension in float32."""
        return F.rms_norm(x.float(), self.weight.shape, self.weight, self.eps)


class Rotary(nn.Module):
    """Tables of rotary angles, grown on demand."""

    def __init__(self, config: ModelConfig) -> None:
        """Make the parts for the given sizes."""
        super().__init__()
        exponent = torch.arange(0, config.head_dim, 2).float() / config.head_dim
        self.register_buffer("freqs", config.rope_theta**-exponent, persistent=False)

    def tables(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine for each position and pair: two tensors of (len, head_dim / 2)."""
        angles = positions.float()[:, None] * self.freqs[None, :]
        return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn neighbouring pairs of the last dimension of x (batch, heads, len, head_dim)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Block(nn.Module):
    """Attention and feed-forward with pre-normalisation."""

    def __init__(self, config: ModelConfig) -> None:
        """Make the parts for the given sizes."""
        super().__init__()
        kv_dim = config.n_head_kv * config.head_dim
        self.config = config
        self.attn_norm = RMSNorm(config.n_embd, config.norm_eps)
        self.attn_q = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.attn_k = nn.Linear(config.n_embd, kv_dim, bias=False)
        self.attn_v = nn.Linear(config.n_embd, kv_dim, bias=False)
        self.attn_output = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.ffn_norm = RMSNorm(config.n_embd, config.norm_eps)
        self.ffn_gate = nn.Linear(config.n_embd, config.n_ff, bias=False)
        self.ffn_up = nn.Linear(config.n_embd, config.n_ff, bias=False)
        self.ffn_down = nn.Linear(config.n_ff, config.n_embd, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """One residual step over x (batch, len, n_embd)."""
        batch, length, _ = x.shape
        c = self.config
        h = self.attn_norm(x)
        q = self.attn_q(h).view(batch, length, c.n_head, c.head_dim).transpose(1, 2)
        k = self.attn_k(h).view(batch, length, c.n_head_kv, c.head_dim).transpose(1, 2)
        v = self.attn_v(h).view(batch, length, c.n_head_kv, c.head_dim).transpose(1, 2)
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        group = c.n_head // c.n_head_kv
        if group > 1:
            k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn_output(mixed.transpose(1, 2).reshape(batch, length, c.n_embd))
        h = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))


class TinyModel(nn.Module):
    """The whole decoder; input and output share one embedding matrix."""

    def __init__(self, config: ModelConfig) -> None:
        """Make the parts for the given sizes."""
        super().__init__()
        self.config = config
        self.token_embd = nn.Embedding(config.n_vocab, config.n_embd)
        self.blk = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.output_norm = RMSNorm(config.n_embd, config.norm_eps)
        self.rotary = Rotary(config)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                std = 0.02
                if name.endswith(("attn_output.weight", "ffn_down.weight")):
                    std /= math.sqrt(2 * config.n_layer)
                nn.init.normal_(parameter, std=std)

    def hidden(self, tokens: Tensor, first_position: int = 0) -> Tensor:
        """Final normalised states of tokens (batch, len)."""
        positions = torch.arange(first_position, first_position + tokens.shape[1], device=tokens.device)
        cos, sin = self.rotary.tables(positions)
        x = self.token_embd(tokens)
        for block in self.blk:
            x = block(x, cos, sin)
        return self.output_norm(x)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, len, n_vocab) of the next token at every position."""
        return F.linear(self.hidden(tokens), self.token_embd.weight)

    def count(self) -> int:
        """Number of parameters, the shared embedding counted once."""
        return sum(parameter.numel() for parameter in self.parameters())
