"""The text tower of ReCoCa (``text.*``): a causal CLIP transformer with an appended CLS vector.

Two facts of the released weights shape this file. The key mask is shifted by one: column 0 is
always seen, column j ≥ 1 is seen iff token j − 1 is not the pad id 0, so CLS sees all tokens and
the first pad but not itself. And CLS always stands at the last position row, whatever the length
of the text.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sleeplm.model.config import TextConfig
from sleeplm.model.encoder import Attention, apply_linear

__all__ = ["MLP", "PAD", "ResidualBlock", "TextTower"]

PAD = 0
LAYER_NORM_EPS = 1e-5
TEXT_MLP_RATIO = 4


class MLP(nn.Sequential):
    """Linear, exact GELU, linear (``c_fc``, ``c_proj``)."""

    def __init__(self, width: int, ratio: float) -> None:
        hidden = int(width * ratio)
        super().__init__(
            OrderedDict(
                c_fc=nn.Linear(width, hidden), gelu=nn.GELU(), c_proj=nn.Linear(hidden, width)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        first, bend, second = self
        return apply_linear(second, bend(apply_linear(first, x)))


class ResidualBlock(nn.Module):
    """Pre-norm self-attention and MLP."""

    def __init__(self, width: int, heads: int, ratio: float) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.attn = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.mlp = MLP(width, ratio)

    def forward(self, x: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """[B, L, D]; ``mask`` [B or 1, 1, L, L] is True where a key may be seen."""
        x = x + self.attn.attend(*self.attn.queries_keys_values(self.ln_1(x)), mask, causal)
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """A stack of residual blocks under the key ``resblocks``."""

    def __init__(self, width: int, layers: int, heads: int, ratio: float) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(ResidualBlock(width, heads, ratio) for _ in range(layers))


class TextTower(nn.Module):
    """Token ids → token states for the caption decoder, and a contrastive embedding.

    Parameters
    ----------
    config : TextConfig
    embed_dim : int
        Size E of the embedding shared with signals.
    """

    def __init__(self, config: TextConfig, embed_dim: int) -> None:
        super().__init__()
        self.context_length = config.context_length
        self.cls_emb = nn.Parameter(torch.empty(config.width))
        self.positional_embedding = nn.Parameter(
            torch.empty(config.context_length + 1, config.width)
        )
        self.text_projection = nn.Parameter(torch.empty(config.width, embed_dim))
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.transformer = Transformer(config.width, config.layers, config.heads, TEXT_MLP_RATIO)
        self.ln_final = nn.LayerNorm(config.width, eps=LAYER_NORM_EPS)

    def _run(self, ids: Tensor, with_cls: bool) -> Tensor:
        """Outputs of the last block for ids [B, S] and, when asked, CLS behind them."""
        length = ids.shape[1]
        x = self.token_embedding(ids) + self.positional_embedding[:length]
        visible = torch.ones_like(ids, dtype=torch.bool)
        visible[:, 1:] = ids[:, :-1] != PAD
        if with_cls:
            cls = self.cls_emb + self.positional_embedding[self.context_length]
            x = torch.cat((x, cls.expand(len(x), 1, -1).to(x.dtype)), dim=1)
            # CLS sees itself only behind a row without any pad.
            sees_itself = ids[:, -1] != PAD
            if length < self.context_length:
                sees_itself = torch.zeros_like(sees_itself)
            visible = torch.cat((visible, sees_itself[:, None]), dim=1)
        size = x.shape[1]
        causal = torch.ones(size, size, dtype=torch.bool, device=ids.device).tril()
        mask = causal & visible[:, None, None, :]
        for block in self.transformer.resblocks:
            x = block(x, mask)
        return x

    def states(self, ids: Tensor) -> Tensor:
        """Token states [B, S, D] of ids [B, S], without the final norm; CLS plays no part."""
        return self._run(ids, with_cls=False)

    def embed_cls(self, cls: Tensor) -> Tensor:
        """CLS outputs [B, D] → embeddings [B, E] before normalisation."""
        return self.ln_final(cls) @ self.text_projection

    def embedding(self, ids: Tensor) -> Tensor:
        """Unnormalised embeddings [B, E] of ids [B, S] as if padded to the context length.

        Only the longest true length plus one pad is run: what lies behind is seen by nobody, so
        the result is the same.
        """
        used = (ids != PAD).any(dim=0).nonzero()
        true_length = int(used[-1]) + 1 if len(used) else 0
        needed = min(true_length + 1, self.context_length)
        if ids.shape[1] < needed:
            ids = F.pad(ids, (0, needed - ids.shape[1]), value=PAD)
        return self.embed_cls(self._run(ids[:, :needed], with_cls=True)[:, -1])

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Unit embeddings [B, E] and token states [B, S, D] of ids [B, S]."""
        if ids.shape[1] < self.context_length:
            return F.normalize(self.embedding(ids), dim=-1), self.states(ids)
        x = self._run(ids, with_cls=True)
        return F.normalize(self.embed_cls(x[:, -1]), dim=-1), x[:, :-1]
