"""Beam search over captions, with the rules of the release.

The release scores a beam by the sum of its *raw logits* (no log-softmax) divided by its length,
takes the best 2·G candidates of a group of G beams, and keeps groups apart without any penalty for
likeness; its ids are met with ``raw_scores``. By default log-probabilities are summed, as a search
for the most probable caption needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from sleeplm.model.kv_cache import CaptionState

__all__ = ["beam_search"]

IMPOSSIBLE = -1e9  # score of beams that copy the first one at the start


@dataclass
class _Group:
    """The finished captions of one group of beams, best scores only."""

    size: int
    length_penalty: float
    finished: list[tuple[float, list[int]]] = field(default_factory=list)
    done: bool = False

    def add(self, ids: list[int], total: float, length: int) -> None:
        score = total / length**self.length_penalty
        if len(self.finished) < self.size:
            self.finished.append((score, ids))
            return
        worst = min(range(self.size), key=lambda place: self.finished[place][0])
        if score > self.finished[worst][0]:
            del self.finished[worst]
            self.finished.append((score, ids))

    def close(self, best_total: float, length: int) -> None:
        """Done when no open beam can still be better than the worst finished one."""
        if len(self.finished) == self.size:
            worst = min(score for score, _ in self.finished)
            self.done = self.done or worst >= best_total / length**self.length_penalty


def beam_search(
    state: CaptionState,
    captions: int,
    *,
    sot: int,
    eot: int,
    beams: int,
    groups: int,
    min_length: int,
    max_length: int,
    length_penalty: float = 1.0,
    raw_scores: bool = False,
) -> list[list[int]]:
    """Best caption of each prefix.

    Parameters
    ----------
    state : CaptionState
        Of ``captions · beams`` rows, the beams of a caption behind one another.
    captions : int
    sot, eot : int
        Ids of the start and the end token.
    beams, groups : int
        Beams of a caption, and into how many groups they are divided.
    min_length, max_length : int
        Tokens, counting the start token.
    length_penalty : float
        A caption's score is its sum divided by length to this power.
    raw_scores : bool
        Sum logits, as the release does, instead of log-probabilities.

    Returns
    -------
    list of lists of int
        From the start token to the end token, where one was reached.
    """
    size = beams // groups
    rows = captions * beams
    device = state.text_row.device
    ids = torch.full((rows, 1), sot, dtype=torch.long, device=device)
    totals = torch.full((captions, groups, size), IMPOSSIBLE, device=device)
    totals[:, :, 0] = 0.0
    finished = [[_Group(size, length_penalty) for _ in range(groups)] for _ in range(captions)]
    first_row = torch.arange(captions * groups, device=device).view(captions, groups, 1) * size
    while ids.shape[1] < max_length:
        scores = state.step(ids)
        if not raw_scores:
            scores = scores.log_softmax(dim=-1)
        if ids.shape[1] < min_length:
            scores[:, eot] = -torch.inf
        vocabulary = scores.shape[-1]
        scores = scores.view(captions, groups, size, vocabulary) + totals[..., None]
        best, places = scores.flatten(2).topk(2 * size, dim=-1)
        beam, token = places // vocabulary, places % vocabulary
        chosen = _next_beams(ids, best, beam, token, finished, eot)
        totals = best.gather(2, chosen)
        order = (first_row + beam.gather(2, chosen)).flatten()
        ids = torch.cat((ids[order], token.gather(2, chosen).view(rows, 1)), dim=1)
        if all(group.done for of_caption in finished for group in of_caption):
            break
        state.keep(order)
    texts = ids.view(captions, groups, size, -1).tolist()
    return [
        _best(of_caption, texts[caption], totals[caption].tolist(), eot, max_length)
        for caption, of_caption in enumerate(finished)
    ]


def _next_beams(
    ids: Tensor, best: Tensor, beam: Tensor, token: Tensor, finished: list[list[_Group]], eot: int
) -> Tensor:
    """Which of the candidates [captions, groups, 2·size] go on; those that end are put away."""
    captions, groups, candidates = token.shape
    size = candidates // 2
    length = ids.shape[1] + 1
    ends = (token == eot).tolist()
    totals, beams = best.tolist(), beam.tolist()
    texts = ids.view(captions, groups, size, -1)
    chosen: list[list[list[int]]] = []
    for caption in range(captions):
        chosen.append([])
        for number in range(groups):
            group, going_on = finished[caption][number], []
            for rank in range(candidates):
                if not ends[caption][number][rank]:
                    going_on.append(rank)
                elif rank < size and not group.done:
                    text = texts[caption, number, beams[caption][number][rank]].tolist()
                    group.add(text, totals[caption][number][rank], length)
                if len(going_on) == size:
                    break
            group.close(totals[caption][number][0], length)
            chosen[-1].append(going_on)
    return torch.tensor(chosen, device=ids.device)


def _best(
    groups: list[_Group],
    open_texts: list[list[list[int]]],
    totals: list[list[float]],
    eot: int,
    max_length: int,
) -> list[int]:
    """The best of all groups; beams that are still open at the end count as they are."""
    candidates: list[tuple[float, list[int]]] = []
    for group, texts, scores in zip(groups, open_texts, totals, strict=True):
        if not group.done:
            for text, score in zip(texts, scores, strict=True):
                group.add(text, score, len(text))
        candidates += group.finished
    _, place = max((score, place) for place, (score, _) in enumerate(candidates))
    text = candidates[place][1]
    return [*text, eot] if len(text) < max_length else text
