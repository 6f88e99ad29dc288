"""The two decoders of ReCoCa: captions (``text_decoder.*``) and signals (``signal_decoder.*``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sleeplm.model.config import ModelConfig, MultimodalConfig
from sleeplm.model.encoder import Attention
from sleeplm.model.text import LAYER_NORM_EPS, MLP, ResidualBlock

__all__ = ["CaptionDecoder", "SignalDecoder"]


class CrossBlock(nn.Module):
    """Pre-norm attention to the memory, with a norm of its own for it, and an MLP."""

    def __init__(self, width: int, heads: int, ratio: float) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.ln_1_kv = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.attn = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.mlp = MLP(width, ratio)

    def memory_keys_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [B, heads, M, d] of memory [B, M, D]; constant over a caption."""
        return self.attn.keys_values(self.ln_1_kv(memory))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """x [B·R, L, D] with R captions per row of the memory, neighbours in the batch."""
        rows, length, _ = x.shape
        # Without a mask, the R captions of one epoch are one long query: its keys are read once.
        queries = self.attn.queries(self.ln_1(x).reshape(keys.shape[0], -1, x.shape[-1]))
        x = x + self.attn.attend(queries, keys, values).reshape(rows, length, -1)
        return x + self.mlp(self.ln_2(x))


class CaptionDecoder(nn.Module):
    """Prefix vectors and token states, conditioned on the memory → next-token logits."""

    def __init__(self, config: MultimodalConfig, vocab_size: int) -> None:
        super().__init__()
        width, heads, ratio = config.width, config.heads, config.mlp_ratio
        layers = range(config.layers)
        self.resblocks = nn.ModuleList(ResidualBlock(width, heads, ratio) for _ in layers)
        self.cross_attn = nn.ModuleList(CrossBlock(width, heads, ratio) for _ in layers)
        self.ln_final = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.text_projection = nn.Parameter(torch.empty(width, vocab_size))

    def layers(self) -> Iterator[tuple[ResidualBlock, CrossBlock]]:
        """Self-attention and cross-attention blocks in pairs, from the first layer to the last."""
        for block, cross in zip(self.resblocks, self.cross_attn, strict=True):
            yield cast(ResidualBlock, block), cast(CrossBlock, cross)

    def logits(self, x: Tensor) -> Tensor:
        """[…, D] → [… , V] in float32: half precision makes ties of close tokens."""
        norm = self.ln_final
        with torch.autocast(x.device.type, enabled=False):
            x = F.layer_norm(
                x.float(), norm.normalized_shape, norm.weight.float(), norm.bias.float(), norm.eps
            )
            return x @ self.text_projection.float()

    def forward(self, prefix: Tensor, states: Tensor, memory: Tensor) -> Tensor:
        """Logits [B, S, V] for prefix [B, P, D], states [B, S, D] and memory [B / R, M, D].

        The prefix sees itself both ways and no text; text sees the prefix and what went before.
        """
        x = torch.cat((prefix, states), dim=1)
        n_prefix, size = prefix.shape[1], x.shape[1]
        seen = torch.ones(size, size, dtype=torch.bool, device=x.device).tril()
        seen[:n_prefix, :n_prefix] = True
        for block, cross in self.layers():
            x = block(x, seen)
            x = cross(x, *cross.memory_keys_values(memory))
        return self.logits(x[:, n_prefix:])


class SignalDecoder(nn.Module):
    """Latents → the whole model input, every channel (the paper's light reconstruction)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        signals = config.biosignals_cfg
        width = signals.transformer_width
        self.shape = (signals.input_channels, signals.signal_length)
        layer = nn.TransformerEncoderLayer(
            width,
            signals.transformer_heads,
            dim_feedforward=2 * width,
            dropout=signals.dropout,
            activation="relu",
            batch_first=True,
            norm_first=True,
        )
        self.transformer = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
        self.to_signal = nn.Sequential(
            nn.Linear(width, width // 2),
            nn.ReLU(),
            nn.Linear(width // 2, signals.input_channels * signals.signal_length),
        )

    def forward(self, latents: Tensor) -> Tensor:
        """[B, K, D] → [B, C, samples]."""
        return self.to_signal(self.transformer(latents).mean(dim=1)).unflatten(-1, self.shape)
