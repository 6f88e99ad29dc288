"""The signal encoder of ReCoCa (``biosignals.*``): patches, interleaved attention, poolers.

Shapes: B epochs, C channels, T patches per channel, D width, K latents, E shared embedding.
Attention runs over the channels of one patch, then over the patches of one channel; norms follow
the residual sum (post-norm RMS).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sleeplm.model.config import BiosignalsConfig

__all__ = ["Attention", "SignalEncoder"]

RMS_EPS = 1e-6
# From two rows to this many, the CPU multiplies faster with the weights on the left.
FEW_ROWS = 8


def affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x Wᵀ + b of x [..., inputs] and weight [outputs, inputs].

    A few rows with row-major weights cost MKL two to four times what one row costs, since it
    copies the weights first; as W xᵀ it does not.
    """
    rows = x.numel() // max(x.shape[-1], 1)
    if not (1 < rows <= FEW_ROWS and x.device.type == "cpu" and x.dtype == torch.float32):
        return F.linear(x, weight, bias)
    product = torch.mm(weight, x.reshape(rows, -1).T).T
    if bias is not None:
        product = product + bias
    return product.reshape(*x.shape[:-1], -1)


def apply_linear(layer: nn.Module, x: Tensor) -> Tensor:
    """A linear layer, plain or quantized."""
    if isinstance(layer, nn.Linear):
        return affine(x, layer.weight, layer.bias)
    quantized: Tensor = layer(x)
    return quantized


class Attention(nn.Module):
    """Multi-head attention with the parameter names of ``torch.nn.MultiheadAttention``.

    Queries, keys and values share one fused projection. Projecting and attending are apart, so
    that a generator can keep keys and values.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def _split(self, x: Tensor) -> Tensor:
        """[B, L, D] → [B, heads, L, d]."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def queries(self, x: Tensor) -> Tensor:
        width = x.shape[-1]
        return self._split(affine(x, self.in_proj_weight[:width], self.in_proj_bias[:width]))

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        width = x.shape[-1]
        both = affine(x, self.in_proj_weight[width:], self.in_proj_bias[width:])
        keys, values = both.chunk(2, dim=-1)
        return self._split(keys), self._split(values)

    def queries_keys_values(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """All three of a self-attention in one product."""
        parts = affine(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        queries, keys, values = (self._split(part) for part in parts)
        return queries, keys, values

    def attend(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        """[B, heads, L, d] → [B, L, D]; ``mask`` is True where a key may be seen."""
        mixed = F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, is_causal=causal
        )
        return apply_linear(self.out_proj, mixed.transpose(1, 2).flatten(2))

    def forward(
        self, x: Tensor, memory: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Self-attention of ``x`` [B, L, D], or attention of ``x`` to ``memory`` [B, M, D]."""
        if memory is None:
            return self.attend(*self.queries_keys_values(x), mask)
        return self.attend(self.queries(x), *self.keys_values(memory), mask)


class RMSNorm(nn.Module):
    """x / √(mean x² + 1e-6) · weight, computed in float32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), RMS_EPS)


class RotaryEmbedding(nn.Module):
    """Angles position × frequency for pairs of features; learned, or the fixed geometric series."""

    freqs: Tensor

    def __init__(self, head_dim: int, learned: bool) -> None:
        super().__init__()
        self._turns: Tensor | None = None
        if learned:
            self.freqs = nn.Parameter(torch.empty(head_dim // 2).normal_(std=0.02))
        else:
            self.register_buffer("freqs", rope_frequencies(head_dim))

    def turns(self, length: int) -> Tensor:
        """Cosine and sine [length, d/2, 2] of the angles; of a fixed series computed once."""
        if isinstance(self.freqs, nn.Parameter) or torch.compiler.is_compiling():
            return self._compute(length)
        kept = self._turns
        if kept is None or kept.shape[0] != length or kept.device != self.freqs.device:
            # A table made in inference mode could not be used in training later.
            with torch.inference_mode(False), torch.no_grad():
                self._turns = kept = self._compute(length)
        return kept

    def _compute(self, length: int) -> Tensor:
        freqs = self.freqs.float()
        positions = torch.arange(length, dtype=torch.float32, device=freqs.device)
        angles = torch.outer(positions, freqs)
        return torch.stack((angles.cos(), angles.sin()), dim=-1)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._turns = None
        super()._load_from_state_dict(*args, **kwargs)


def rope_frequencies(head_dim: int) -> Tensor:
    """10000^(−2j/d) for j = 0 … d/2 − 1, in float32."""
    return 1.0 / 10000.0 ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the interleaved pairs (2j, 2j+1) of x [..., L, d] by their angles, in float32.

    A pair times a unit complex number is (even·cos − odd·sin, even·sin + odd·cos): one product
    where complex numbers are at hand, written out where the compiler knows none.
    """
    pairs = x.float().unflatten(-1, (-1, 2))
    if torch.compiler.is_compiling():
        (even, odd), (cos, sin) = pairs.unbind(-1), turns.unbind(-1)
        turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    else:
        turned = torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(turns))
    return turned.flatten(-2).to(x.dtype)


class RotaryAttention(nn.Module):
    """Self-attention over the next-to-last axis of [N, L, D], with rotary positions."""

    def __init__(self, width: int, heads: int, dropout: float, rope: RotaryEmbedding) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.rotary_emb = rope
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        def split(projected: Tensor) -> Tensor:  # [N, L, D] → [N, heads, L, d]
            return projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        turns = self.rotary_emb.turns(x.shape[1])
        mixed = F.scaled_dot_product_attention(
            rotate(split(self.q_proj(x)), turns),
            rotate(split(self.k_proj(x)), turns),
            split(self.v_proj(x)),
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class Gate(nn.Module):
    """The gated half of SwiGLU: silu(w1 x) · (w2 x)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, hidden, bias=False)
        self.w2 = nn.Linear(width, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.w1(x)) * self.w2(x)


class SwiGLU(nn.Module):
    """Feed-forward part of an encoder block; no biases."""

    def __init__(self, width: int, ratio: float, dropout: float) -> None:
        super().__init__()
        hidden = int(width * ratio)
        self.gate_proj = Gate(width, hidden)
        self.down_proj = nn.Linear(hidden, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.down_proj(self.dropout(self.gate_proj(x))))


class DualBlock(nn.Module):
    """Attention over channels, then over time; each followed by its feed-forward part."""

    def __init__(self, config: BiosignalsConfig, channel_rope: RotaryEmbedding) -> None:
        super().__init__()
        width, heads, dropout = (
            config.transformer_width,
            config.transformer_heads,
            config.dropout,
        )
        layers = range(config.num_temporal_layers)
        head_dim = width // heads
        self.channel_attention = RotaryAttention(width, heads, dropout, channel_rope)
        self.channel_norm = RMSNorm(width)
        self.channel_mlp = SwiGLU(width, config.mlp_ratio, dropout)
        self.channel_mlp_norm = RMSNorm(width)
        self.temporal_attention_layers = nn.ModuleList(
            RotaryAttention(width, heads, dropout, RotaryEmbedding(head_dim, learned=False))
            for _ in layers
        )
        self.temporal_norms = nn.ModuleList(RMSNorm(width) for _ in layers)
        self.temporal_mlps = nn.ModuleList(SwiGLU(width, config.mlp_ratio, dropout) for _ in layers)
        self.temporal_mlp_norms = nn.ModuleList(RMSNorm(width) for _ in layers)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, D] → the same shape."""
        batch, channels, patches, _ = x.shape
        by_patch = x.transpose(1, 2).flatten(0, 1)  # [B·T, C, D]
        by_patch = self.channel_norm(by_patch + self.channel_attention(by_patch))
        by_patch = self.channel_mlp_norm(by_patch + self.channel_mlp(by_patch))
        by_channel = by_patch.unflatten(0, (batch, patches)).transpose(1, 2).flatten(0, 1)
        for attention, norm, mlp, mlp_norm in zip(
            self.temporal_attention_layers,
            self.temporal_norms,
            self.temporal_mlps,
            self.temporal_mlp_norms,
            strict=True,
        ):
            by_channel = norm(by_channel + attention(by_channel))  # [B·C, T, D]
            by_channel = mlp_norm(by_channel + mlp(by_channel))
        return by_channel.unflatten(0, (batch, channels))


class Patching(nn.Module):
    """One convolution shared by all channels, each channel alone."""

    def __init__(self, config: BiosignalsConfig) -> None:
        super().__init__()
        self.conv_patching = nn.Conv1d(
            1, config.conv_embed_dim, config.patch_size, stride=config.patch_size
        )

    def forward(self, signals: Tensor) -> Tensor:
        """[B, C, samples] → [B, C, T, conv_embed_dim]."""
        # A stride equal to the kernel makes the convolution a linear map of whole patches.
        weight = self.conv_patching.weight.squeeze(1)
        patches = signals.unflatten(-1, (-1, weight.shape[1])).to(weight.dtype)
        return F.linear(patches, weight, self.conv_patching.bias)


class AttentionalPooler(nn.Module):
    """Learned queries that attend to all tokens; no norm, no residual."""

    def __init__(self, width: int, heads: int, queries: int) -> None:
        super().__init__()
        self.query_tokens = nn.Parameter(torch.empty(1, queries, width).normal_(std=0.02))
        self.attn = Attention(width, heads)

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, L, D] → [B, queries, D]."""
        return self.attn(self.query_tokens.expand(tokens.shape[0], -1, -1), tokens)


class SignalEncoder(nn.Module):
    """Channels of one epoch → tokens, latents and the contrastive embedding.

    Parameters
    ----------
    config : BiosignalsConfig
    embed_dim : int
        Size E of the embedding shared with text.
    """

    def __init__(self, config: BiosignalsConfig, embed_dim: int) -> None:
        super().__init__()
        width, heads = config.transformer_width, config.transformer_heads
        self.patching = Patching(config)
        self.embed_projection = nn.Linear(config.conv_embed_dim, width)
        self.channel_id_embed = nn.Embedding(config.input_channels, width)
        self.shared_channel_rope = RotaryEmbedding(width // heads, learned=True)
        self.transformer_blocks = nn.ModuleList(
            DualBlock(config, self.shared_channel_rope) for _ in range(config.transformer_layers)
        )
        self.ln_final = RMSNorm(width)
        self.decoder_pooler = AttentionalPooler(width, heads, config.decoder_tokens)
        self.contrastive_pooler = AttentionalPooler(width, heads, 1)
        self.attn_pool = Attention(width, heads)
        self.proj_to_embed = nn.Linear(width, embed_dim)

    def embed(self, signals: Tensor) -> Tensor:
        """Patch tokens [B, C, T, D] of signals [B, C, samples], before any channel is named."""
        return self.embed_projection(self.patching(signals))

    def contextualise(self, tokens: Tensor) -> Tensor:
        """Name the channels and run the blocks: [B, C, T, D] → [B, C, T, D]."""
        tokens = tokens + self.channel_id_embed.weight[: tokens.shape[1], None]
        for block in self.transformer_blocks:
            tokens = block(tokens)
        return self.ln_final(tokens)

    def pool(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Latents [B, K, D] and the embedding [B, E] before normalisation.

        The embedding attends with the global token to the *latents*, so that the contrastive
        loss trains these too.
        """
        flat = tokens.flatten(1, 2)
        latents = self.decoder_pooler(flat)
        pooled = self.attn_pool(self.contrastive_pooler(flat), latents)
        return latents, self.proj_to_embed(pooled[:, 0])

    def forward(self, signals: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, samples] → unit embedding [B, E] and latents [B, K, D]."""
        latents, embedding = self.pool(self.contextualise(self.embed(signals)))
        return F.normalize(embedding, dim=-1), latents
