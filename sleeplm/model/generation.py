"""Captions token by token, with an exact cache of keys and values.

Text tower and decoder are strictly causal, prefix and memory are constant: one step runs one token
per caption through both. Several captions of one epoch share its cross-attention keys; epochs whose
captions have all ended leave the batch. Logits are float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sleeplm.model.recoca import ReCoCa
from sleeplm.model.text import PAD, ResidualBlock

__all__ = ["Sampling", "generate"]

# Rows are copied when epochs leave the batch: only worth it when enough of them leave.
RETIRE_SHARE = 0.25


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen and when a caption ends.

    Parameters
    ----------
    min_length, max_length : int
        Tokens of a caption, counting the start token (and the end token when there is one).
    repetition_penalty : float
        Divides positive and multiplies negative logits of tokens already said; 1 is off.
    temperature : float
        0 takes the most likely token; above, tokens are drawn.
    top_k : int or None
        Draw from the k most likely tokens only.
    stop_at_pad : bool
        A generated pad ends a caption too. In the CLIP vocabulary id 0 is also ``!``: there
        only the end token ends one.
    end_at_limit : bool
        Put the end token at the last place of a caption that reached ``max_length``.
    """

    min_length: int = 16
    max_length: int = 256
    repetition_penalty: float = 1.0
    temperature: float = 0.0
    top_k: int | None = None
    stop_at_pad: bool = False
    end_at_limit: bool = False


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
        self.keys, self.values = self.keys[rows], self.values[rows]


def _cached_self_attention(
    block: ResidualBlock, x: Tensor, cache: _Cache, mask: Tensor | None = None
) -> Tensor:
    """A residual block for new positions [rows, L, D] behind those in the cache."""
    queries, keys, values = block.attn.queries_keys_values(block.ln_1(x))
    x = x + block.attn.attend(queries, *cache.extend(keys, values), mask)
    return x + block.mlp(block.ln_2(x))


class _State:
    """All that one batch of unfinished captions carries from step to step."""

    def __init__(
        self, model: ReCoCa, memory: Tensor, channel_indices: Tensor | None, rows: int, room: int
    ) -> None:
        self.model = model
        text, decoder = model.config.text_cfg, model.config.multimodal_cfg
        prefix = model.prefix(channel_indices, rows).to(memory.dtype)
        head_dim = text.width // text.heads
        self.text_caches = [
            _Cache(rows, text.heads, room, head_dim, memory) for _ in range(text.layers)
        ]
        head_dim = decoder.width // decoder.heads
        self.decoder_caches = [
            _Cache(rows, decoder.heads, room + prefix.shape[1], head_dim, memory)
            for _ in range(decoder.layers)
        ]
        self.cross = [cross.memory_keys_values(memory) for _, cross in model.text_decoder.layers()]
        if prefix.shape[1]:
            self._decode(prefix)  # the prefix sees itself both ways: no mask

    def _decode(self, x: Tensor) -> Tensor:
        layers = zip(self.model.text_decoder.layers(), self.decoder_caches, self.cross, strict=True)
        for (block, cross), cache, (keys, values) in layers:
            x = _cached_self_attention(block, x, cache)
            x = cross(x, keys, values)
        return x

    def step(self, ids: Tensor) -> Tensor:
        """Logits [rows, V] behind the texts ids [rows, n], of which all but the last were seen."""
        tower = self.model.text
        last = ids.shape[1] - 1
        x = tower.token_embedding(ids[:, -1:]) + tower.positional_embedding[last]
        x = x.to(self.text_caches[0].keys.dtype)
        # An id 0 inside a text hides the column behind it from everybody.
        visible = torch.ones_like(ids, dtype=torch.bool)
        visible[:, 1:] = ids[:, :-1] != PAD
        mask = None if bool(visible.all()) else visible[:, None, None, :]
        for block, cache in zip(tower.transformer.resblocks, self.text_caches, strict=True):
            assert isinstance(block, ResidualBlock)
            x = _cached_self_attention(block, x, cache, mask)
        return self.model.text_decoder.logits(self._decode(x)[:, -1])

    def keep(self, epochs: Tensor, rows: Tensor) -> None:
        for cache in (*self.text_caches, *self.decoder_caches):
            cache.keep(rows)
        self.cross = [(keys[epochs], values[epochs]) for keys, values in self.cross]


def _choose(logits: Tensor, ids: Tensor, sampling: Sampling, rng: torch.Generator | None) -> Tensor:
    """Next token ids [rows] from logits [rows, V] of texts ids [rows, n]."""
    if sampling.repetition_penalty != 1.0:
        said = logits.gather(1, ids)
        penalty = sampling.repetition_penalty
        said = torch.where(said < 0, said * penalty, said / penalty)
        logits = logits.scatter(1, ids, said)
    if sampling.temperature <= 0:
        return logits.argmax(dim=-1)
    logits = logits / sampling.temperature
    if sampling.top_k is not None:
        least = logits.topk(min(sampling.top_k, logits.shape[-1]), dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    return torch.multinomial(F.softmax(logits, dim=-1), 1, generator=rng)[:, 0]


@torch.inference_mode()
def generate(
    model: ReCoCa,
    memory: Tensor,
    channel_indices: Tensor | None,
    *,
    sot: int,
    eot: int,
    sampling: Sampling | None = None,
    seed: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[int]]:
    """Write captions of encoded epochs.

    Parameters
    ----------
    model : ReCoCa
    memory : [B, M, D]
        ``SignalFeatures.memory`` of B epochs.
    channel_indices : [B · R, P] or None
        Modality prefix of R captions per epoch, those of one epoch behind one another; usually
        ``[m, −1]``. None writes one caption per epoch without a prefix.
    sot, eot : int
        Ids of the start and the end token.
    sampling : Sampling, optional
        By default the released demo's: greedy (what its three beams in three groups amount to),
        at least 16 tokens, at most what the config says.
    seed : int, optional
        For drawing with a temperature.
    progress : callable, optional
        Called with captions ended and captions in all.

    Returns
    -------
    list of lists of int
        Ids from the start token to the end token, where one was reached, without pads.

    Raises
    ------
    ValueError
        The prefixes do not divide among the epochs, or lengths exceed the context.
    """
    limits = model.config.generation
    if sampling is None:
        sampling = Sampling(min_length=limits.min_length, max_length=limits.max_length)
    context = model.config.text_cfg.context_length
    if not 2 <= sampling.max_length <= context:
        raise ValueError(f"max_length {sampling.max_length} must lie in 2 … {context} tokens")
    epochs = memory.shape[0]
    rows = epochs if channel_indices is None else channel_indices.shape[0]
    if epochs == 0 or rows == 0:
        return []
    if rows % epochs:
        raise ValueError(f"{rows} prefixes do not divide among {epochs} epochs")
    per_epoch, device = rows // epochs, memory.device
    rng = None if seed is None else torch.Generator(device).manual_seed(seed)
    state = _State(model, memory, channel_indices, rows, sampling.max_length)
    captions: list[list[int]] = [[] for _ in range(rows)]
    ids = torch.full((rows, 1), sot, dtype=torch.long, device=device)
    done = torch.zeros(rows, dtype=torch.bool, device=device)
    owner = torch.arange(rows, device=device)  # which caption each row of the batch is

    def collect(which: Tensor) -> None:
        for index, text in zip(owner[which].tolist(), ids[which].tolist(), strict=True):
            captions[index] = _ended(text, eot, sampling.stop_at_pad)

    while ids.shape[1] < sampling.max_length:
        logits = state.step(ids)
        if ids.shape[1] < sampling.min_length:
            logits[:, eot] = -torch.inf
        chosen = _choose(logits, ids, sampling, rng)
        if sampling.end_at_limit and ids.shape[1] == sampling.max_length - 1:
            chosen = torch.full_like(chosen, eot)
        chosen = torch.where(done, PAD, chosen)
        ids = torch.cat((ids, chosen[:, None]), dim=1)
        done = done | (chosen == eot)
        if sampling.stop_at_pad:
            done = done | (chosen == PAD)
        by_epoch = done.unflatten(0, (-1, per_epoch)).all(dim=1)
        leaving = int(by_epoch.sum())
        if leaving == len(by_epoch):
            break
        if leaving >= RETIRE_SHARE * len(by_epoch):
            gone = by_epoch.repeat_interleave(per_epoch)
            collect(gone)
            staying = (~gone).nonzero()[:, 0]
            state.keep((~by_epoch).nonzero()[:, 0], staying)
            ids, done, owner = ids[staying], done[staying], owner[staying]
            if progress is not None:
                progress(rows - len(owner), rows)
    collect(torch.ones_like(done))
    if progress is not None:
        progress(rows, rows)
    return captions


def _ended(ids: list[int], eot: int, stop_at_pad: bool) -> list[int]:
    """A row up to its end token (or its first pad), without what was filled in behind."""
    for place, index in enumerate(ids[1:], start=1):
        if index == eot:
            return ids[: place + 1]
        if index == PAD and stop_at_pad:
            return ids[:place]
    return ids
