"""Captions token by token: greedy, drawn, or by beam search.

One step runs one token per caption through text tower and decoder, behind an exact cache
(:mod:`sleeplm.model.kv_cache`). Epochs whose captions have all ended leave the batch. A caption
written alone takes several tokens in one pass where drafts are right
(:mod:`sleeplm.model.drafts`). Logits are float32.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sleeplm.model.beams import beam_search
from sleeplm.model.drafts import Drafts
from sleeplm.model.kv_cache import CaptionState
from sleeplm.model.recoca import ReCoCa
from sleeplm.model.text import PAD

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
    top_p : float or None
        Draw from the fewest tokens whose probabilities reach this together.
    stop_sequences : tuple of tuples of int
        A caption ends behind any of these runs of ids (from ``min_length`` on).
    beams, beam_groups : int
        Above 1, beam search instead of greedy; groups divide the beams and do not see each other.
    length_penalty : float
        A beam's score is its sum divided by its length to this power.
    raw_scores : bool
        Beams sum logits, as the release does, not log-probabilities.
    stop_at_pad : bool
        A generated pad ends a caption too. In the CLIP vocabulary id 0 is also ``!``: there
        only the end token ends one.
    end_at_limit : bool
        Put the end token at the last place of a caption that reached ``max_length``.
    drafted : bool
        Guess tokens of a caption that is written alone and let the model check them together:
        the same ids, sooner. Plays no part in drawing, beam search, batches, bf16 and int8.
    """

    min_length: int = 16
    max_length: int = 256
    repetition_penalty: float = 1.0
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    stop_sequences: tuple[tuple[int, ...], ...] = ()
    beams: int = 1
    beam_groups: int = 1
    length_penalty: float = 1.0
    raw_scores: bool = False
    stop_at_pad: bool = False
    end_at_limit: bool = False
    drafted: bool = True

    def __post_init__(self) -> None:
        if self.beams < 1 or self.beam_groups < 1 or self.beams % self.beam_groups:
            raise ValueError(f"{self.beams} beams do not divide into {self.beam_groups} groups")
        if self.beams > 1 and (
            self.temperature > 0
            or self.stop_sequences
            or self.repetition_penalty != 1.0
            or self.end_at_limit
            or self.stop_at_pad
        ):
            raise ValueError(
                "beam search takes no temperature, stop sequences, repetition penalty, "
                "stop_at_pad or end_at_limit"
            )
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must lie above 0 and at most at 1, not {self.top_p}")
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} exceeds max_length {self.max_length}")


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
    if sampling.top_p is not None:
        ordered, places = logits.softmax(dim=-1).sort(dim=-1, descending=True)
        surplus = ordered.cumsum(dim=-1) - ordered >= sampling.top_p  # the first always stays
        logits = logits.masked_fill(surplus.gather(1, places.argsort(dim=-1)), -torch.inf)
    return torch.multinomial(F.softmax(logits, dim=-1), 1, generator=rng)[:, 0]


def _next(
    logits: Tensor, ids: Tensor, eot: int, sampling: Sampling, rng: torch.Generator | None = None
) -> Tensor:
    """Next token ids [rows] by all rules; may change the logits."""
    if ids.shape[1] < sampling.min_length:
        logits[:, eot] = -torch.inf
    chosen = _choose(logits, ids, sampling, rng)
    if sampling.end_at_limit and ids.shape[1] == sampling.max_length - 1:
        return torch.full_like(chosen, eot)
    return chosen


def _ends(ids: Tensor, eot: int, sampling: Sampling) -> Tensor:
    """Whether the last token of each of ids [rows, n] ends its caption."""
    chosen = ids[:, -1]
    done = chosen == eot
    if sampling.stop_at_pad:
        done = done | (chosen == PAD)
    for sequence in sampling.stop_sequences:
        if ids.shape[1] >= max(sampling.min_length, 1 + len(sequence)):
            tail = ids[:, -len(sequence) :]
            done = done | (tail == torch.tensor(sequence, device=ids.device)).all(dim=1)
    return done


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
    drafts: MutableMapping[int, Drafts] | None = None,
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
    drafts : mutable mapping of modality index → Drafts, optional
        What earlier captions taught; it learns from those written now.
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
    if sampling.beams > 1:
        return _searched(model, memory, channel_indices, rows, sot, eot, sampling, progress)
    systems = [0] * rows if channel_indices is None else channel_indices[:, 0].tolist()
    drafts = {} if drafts is None else drafts
    tables = [drafts.setdefault(system, Drafts(model.config.width)) for system in systems]
    greedy = sampling.drafted and sampling.temperature <= 0 and _is_exact(model, memory)
    state = CaptionState(model, memory, channel_indices, rows, sampling.max_length)
    if rows == 1 and greedy:
        caption = _drafted(state, sot, eot, sampling, tables[0], device)
        if progress is not None:
            progress(1, 1)
        return [caption]
    captions: list[list[int]] = [[] for _ in range(rows)]
    ids = torch.full((rows, 1), sot, dtype=torch.long, device=device)
    done = torch.zeros(rows, dtype=torch.bool, device=device)
    owner = torch.arange(rows, device=device)  # which caption each row of the batch is

    def collect(which: Tensor) -> None:
        for index, text in zip(owner[which].tolist(), ids[which].tolist(), strict=True):
            captions[index] = _ended(text, eot, sampling)

    while ids.shape[1] < sampling.max_length:
        logits = state.step(ids)
        chosen = torch.where(done, PAD, _next(logits, ids, eot, sampling, rng))
        ids = torch.cat((ids, chosen[:, None]), dim=1)
        done = done | _ends(ids, eot, sampling)
        by_epoch = done.unflatten(0, (-1, per_epoch)).all(dim=1)
        leaving = int(by_epoch.sum())
        if leaving == len(by_epoch):
            break
        if leaving >= RETIRE_SHARE * len(by_epoch):
            gone = by_epoch.repeat_interleave(per_epoch)
            collect(gone)
            staying = (~gone).nonzero()[:, 0]
            state.keep(staying, (~by_epoch).nonzero()[:, 0])
            ids, done, owner = ids[staying], done[staying], owner[staying]
            if progress is not None:
                progress(rows - len(owner), rows)
    collect(torch.ones_like(done))
    if greedy:
        for table, caption in zip(tables, captions, strict=True):
            table.learn(caption)
    if progress is not None:
        progress(rows, rows)
    return captions


def _is_exact(model: ReCoCa, memory: Tensor) -> bool:
    """Whether rows run together do not change each other beyond the rounding of float32.

    int8 scales activations over all rows, so wrong guesses would bend right ones.
    """
    first = model.text_decoder.resblocks[0].get_submodule("mlp.c_fc")
    return memory.dtype == torch.float32 and isinstance(first, nn.Linear)


def _drafted(
    state: CaptionState,
    sot: int,
    eot: int,
    sampling: Sampling,
    drafts: Drafts,
    device: torch.device,
) -> list[int]:
    """One greedy caption, in passes over drafts; the model's own choice decides every token."""
    text = [sot]
    ids = torch.tensor([text], device=device)
    done = False
    while not done and len(text) < sampling.max_length:
        guesses = drafts.draft(text, sampling.max_length - len(text) - 1)
        run = torch.cat((ids, ids.new_tensor([guesses])), dim=1) if guesses else ids
        logits = state.several(run, 1 + len(guesses))
        drafts.passes += 1
        drafts.run += len(guesses)
        for place in range(1 + len(guesses)):
            chosen = _next(logits[place : place + 1], ids, eot, sampling)
            token = int(chosen)
            drafts.add(text, token)
            drafts.written += 1
            text.append(token)
            ids = torch.cat((ids, chosen[:, None]), dim=1)
            done = bool(_ends(ids, eot, sampling))
            if done or len(text) == sampling.max_length:
                break
            if place < len(guesses) and token != guesses[place]:
                break
        state.rewind(len(text) - 1)
    return _ended(text, eot, sampling)


def _searched(
    model: ReCoCa,
    memory: Tensor,
    channel_indices: Tensor | None,
    rows: int,
    sot: int,
    eot: int,
    sampling: Sampling,
    progress: Callable[[int, int], None] | None,
) -> list[list[int]]:
    """Captions by beam search."""
    if channel_indices is not None:
        channel_indices = channel_indices.repeat_interleave(sampling.beams, dim=0)
    state = CaptionState(model, memory, channel_indices, rows * sampling.beams, sampling.max_length)
    captions = beam_search(
        state,
        rows,
        sot=sot,
        eot=eot,
        beams=sampling.beams,
        groups=sampling.beam_groups,
        min_length=sampling.min_length,
        max_length=sampling.max_length,
        length_penalty=sampling.length_penalty,
        raw_scores=sampling.raw_scores,
    )
    if progress is not None:
        progress(rows, rows)
    return captions


def _ended(ids: list[int], eot: int, sampling: Sampling) -> list[int]:
    """A row up to its end token, its first pad or a stop sequence, without what fills it up."""
    for place, index in enumerate(ids[1:], start=1):
        if index == eot:
            return ids[: place + 1]
        if index == PAD and sampling.stop_at_pad:
            return ids[:place]
        for sequence in sampling.stop_sequences:
            enough = place + 1 >= max(sampling.min_length, 1 + len(sequence))
            if enough and tuple(ids[place + 1 - len(sequence) : place + 1]) == sequence:
                return ids[: place + 1]
    return ids
