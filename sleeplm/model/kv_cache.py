"""Keys and values of captions under way: one step runs one token per caption, or several of one.

Text tower and decoder are strictly causal, prefix and memory are constant, so all that was
computed for earlier tokens is kept, exactly. Captions of one epoch share its cross-attention
keys. The text tower sees nothing but text: captions that begin with the same tokens share its
rows until they part.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sleeplm.model.precision import one_thread_for
from sleeplm.model.recoca import ReCoCa
from sleeplm.model.text import PAD, ResidualBlock

__all__ = ["CaptionState"]


class _Cache:
    """Keys and values of one self-attention, [rows, heads, room, d], filled up to ``length``."""

    def __init__(self, rows: int, heads: int, room: int, head_dim: int, like: Tensor) -> None:
        self.keys = like.new_empty(rows, heads, room, head_dim)
        self.values = like.new_empty(rows, heads, room, head_dim)
        self.length = 0

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        end = self.length + keys.shape[2]
        self.keys[:, :, self.length : end] = keys
        self.values[:, :, self.length : end] = values
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def keep(self, rows: Tensor) -> None:
        """Take rows in a new order, some of them several times or not at all."""

        def taken(old: Tensor) -> Tensor:
            new = old.new_empty(len(rows), *old.shape[1:])
            new[:, :, : self.length] = old[rows, :, : self.length]
            return new

        self.keys, self.values = taken(self.keys), taken(self.values)


def _cached_self_attention(
    block: ResidualBlock, x: Tensor, cache: _Cache, mask: Tensor | None = None
) -> Tensor:
    """A residual block for new positions [rows, L, D] behind those in the cache."""
    queries, keys, values = block.attn.queries_keys_values(block.ln_1(x))
    x = x + block.attn.attend(queries, *cache.extend(keys, values), mask)
    return x + block.mlp(block.ln_2(x))


def _causal(new: int, total: int, device: torch.device) -> Tensor:
    """Mask [new, total] for the last ``new`` of ``total`` positions."""
    return torch.ones(new, total, dtype=torch.bool, device=device).tril(total - new)


class CaptionState:
    """All that one batch of unfinished captions carries from step to step.

    Parameters
    ----------
    model : ReCoCa
    memory : [B, M, D]
        Of B epochs.
    channel_indices : [rows, P] or None
        Modality prefix of each caption; those of one epoch behind one another.
    rows : int
        Captions, a multiple of B.
    room : int
        Most tokens that a caption can have.
    """

    def __init__(
        self, model: ReCoCa, memory: Tensor, channel_indices: Tensor | None, rows: int, room: int
    ) -> None:
        self.model = model
        text, decoder = model.config.text_cfg, model.config.multimodal_cfg
        prefix = model.prefix(channel_indices, rows).to(memory.dtype)
        self.prefix_len = prefix.shape[1]
        head_dim = text.width // text.heads
        self.text_row = torch.zeros(rows, dtype=torch.long, device=memory.device)
        self.text_caches = [
            _Cache(1, text.heads, room, head_dim, memory) for _ in range(text.layers)
        ]
        head_dim = decoder.width // decoder.heads
        self.decoder_caches = [
            _Cache(rows, decoder.heads, room + prefix.shape[1], head_dim, memory)
            for _ in range(decoder.layers)
        ]
        self.cross = [cross.memory_keys_values(memory) for _, cross in model.text_decoder.layers()]
        if prefix.shape[1]:
            self._run_decoder(prefix, None)  # the prefix sees itself both ways: no mask

    def _decode(self, x: Tensor) -> Tensor:
        """States of new positions [rows, L, D], each of which sees all before it and itself."""
        new, total = x.shape[1], x.shape[1] + self.decoder_caches[0].length
        mask = None if new == 1 else _causal(new, total, x.device)
        return self._run_decoder(x, mask)

    def _run_decoder(self, x: Tensor, mask: Tensor | None) -> Tensor:
        layers = zip(self.model.text_decoder.layers(), self.decoder_caches, self.cross, strict=True)
        for (block, cross), cache, (keys, values) in layers:
            x = _cached_self_attention(block, x, cache, mask)
            x = cross(x, keys, values)
        return x

    def _visible(self, texts: Tensor) -> Tensor:
        """Which columns of texts [rows, n] may be seen: an id 0 hides the one behind it."""
        visible = torch.ones_like(texts, dtype=torch.bool)
        visible[:, 1:] = texts[:, :-1] != PAD
        return visible

    def _text_states(self, ids: Tensor) -> Tensor:
        """States [rows, 1, D] of the last tokens of ids [rows, n], each distinct text run once."""
        tower = self.model.text
        vocabulary = tower.token_embedding.num_embeddings
        distinct, self.text_row = torch.unique(
            self.text_row * vocabulary + ids[:, -1], return_inverse=True
        )
        parents = distinct // vocabulary
        count = self.text_caches[0].keys.shape[0] if self.text_caches else 0
        # Sorted, and none without a child: as many as before means the same ones.
        if len(parents) != count or not torch.equal(
            parents, torch.arange(count, device=parents.device)
        ):
            for cache in self.text_caches:
                cache.keep(parents)
        member = torch.empty(len(parents), dtype=torch.long, device=ids.device)
        member[self.text_row] = torch.arange(len(ids), device=ids.device)
        texts = ids[member]
        x = tower.token_embedding(texts[:, -1:]) + tower.positional_embedding[ids.shape[1] - 1]
        x = x.to(self.decoder_caches[0].keys.dtype)
        visible = self._visible(texts)
        mask = None if bool(visible.all()) else visible[:, None, None, :]
        return self._run_text(x, mask)[self.text_row]

    def _run_text(self, x: Tensor, mask: Tensor | None) -> Tensor:
        blocks = self.model.text.transformer.resblocks
        for block, cache in zip(blocks, self.text_caches, strict=True):
            assert isinstance(block, ResidualBlock)
            x = _cached_self_attention(block, x, cache, mask)
        return x

    def step(self, ids: Tensor) -> Tensor:
        """Logits [rows, V] behind the texts ids [rows, n], of which all but the last were seen."""
        with one_thread_for(ids.shape[0], self.model.config.width, ids.device):
            return self.model.text_decoder.logits(self._decode(self._text_states(ids))[:, -1])

    def several(self, ids: Tensor, new: int) -> Tensor:
        """Logits [new, V] behind each of the last ``new`` tokens of one text ids [1, n].

        All tokens before these must have been seen.
        """
        if new == 1:
            return self.step(ids)
        tower, end = self.model.text, ids.shape[1]
        places = tower.positional_embedding[end - new : end]
        x = (tower.token_embedding(ids[:, -new:]) + places).to(self.decoder_caches[0].keys.dtype)
        mask = _causal(new, end, ids.device) & self._visible(ids)
        with one_thread_for(new, self.model.config.width, ids.device):
            return self.model.text_decoder.logits(self._decode(self._run_text(x, mask))[0])

    def rewind(self, tokens: int) -> None:
        """Forget all but the first ``tokens`` tokens."""
        for cache in self.text_caches:
            cache.length = tokens
        for cache in self.decoder_caches:
            cache.length = self.prefix_len + tokens

    def keep(self, rows: Tensor, epochs: Tensor | None = None) -> None:
        """Go on with these rows only, in this order, and these epochs; None keeps all epochs."""
        self.text_row = self.text_row[rows]
        for cache in self.decoder_caches:
            cache.keep(rows)
        if epochs is not None:
            self.cross = [(keys[epochs], values[epochs]) for keys, values in self.cross]
