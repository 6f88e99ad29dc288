"""How far scorings of one night agree, and which stretches a person should look at first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sleeplm.matching import LEAST_IOU, matched_pairs
from sleeplm.report import Agreement, EventAgreement, Stretch
from sleeplm.scoring import (
    EPOCH_S,
    EVENT_KINDS,
    RESPIRATORY_KINDS,
    STAGES,
    UNSCORED,
    Scoring,
)

if TYPE_CHECKING:
    from sleeplm.report import NightSummary

__all__ = [
    "COMPARED_FIELDS",
    "LEAST_IOU",
    "compare",
    "event_agreement",
    "matched_pairs",
    "review_first",
    "stage_agreement",
]

COMPARED_FIELDS = ("ahi", "odi3", "arousal_index", "tst")
REVIEW_EPOCHS = 10
REVIEW_STRETCHES = 5
LEAST_DOUBT = 0.2
"""Stretches with less doubt per epoch than this are not worth a second look."""


def stage_agreement(first: Scoring, second: Scoring) -> Agreement:
    """Agreement of the stages over the epochs that both have scored.

    Returns
    -------
    Agreement
        ``epochs`` (how many were compared), ``agreement_percent`` and ``kappa`` (Cohen 1960), each
        None where it is not defined: with no shared epoch, and (κ) for two scorings of one and the
        same single stage. ``confusion[a][b]``: epochs that are ``a`` for the first and ``b`` for
        the second.
    """
    pairs = [
        (mine, theirs)
        for mine, theirs in zip(first.stages, second.stages, strict=False)
        if UNSCORED not in (mine, theirs)
    ]
    if not pairs:
        return Agreement(epochs=0)
    same = sum(mine == theirs for mine, theirs in pairs) / len(pairs)
    chance = sum(
        sum(mine == stage for mine, _ in pairs) * sum(theirs == stage for _, theirs in pairs)
        for stage in STAGES
    ) / (len(pairs) ** 2)
    return Agreement(
        epochs=len(pairs),
        agreement_percent=100 * same,
        kappa=(same - chance) / (1 - chance) if chance < 1 else None,
        confusion={
            mine: {theirs: pairs.count((mine, theirs)) for theirs in STAGES} for mine in STAGES
        },
    )


def event_agreement(first: Scoring, second: Scoring, kinds: Sequence[str]) -> EventAgreement | None:
    """F1 of events of some kinds as one class; None where either did not look for them."""
    if not (first.looked_for(kinds) and second.looked_for(kinds)):
        return None
    mine, theirs = first.events_of(kinds), second.events_of(kinds)
    matched = len(matched_pairs(mine, theirs))
    return EventAgreement(
        first=len(mine),
        second=len(theirs),
        matched=matched,
        f1=2 * matched / (len(mine) + len(theirs)) if mine or theirs else None,
    )


def compare(
    first: Scoring, second: Scoring, first_summary: NightSummary, second_summary: NightSummary
) -> Agreement:
    """Stages, events by kind, indices and severity of two scorings of one night.

    ``differences`` are the first's value less the second's.
    """
    found = stage_agreement(first, second)
    classes: dict[str, tuple[str, ...]] = {"apnea_or_hypopnea": RESPIRATORY_KINDS}
    classes |= {kind: (kind,) for kind in EVENT_KINDS}
    for name, kinds in classes.items():
        agreed = event_agreement(first, second, kinds)
        if agreed is not None and agreed.f1 is not None:
            found.events[name] = agreed
    for field in COMPARED_FIELDS:
        mine, theirs = (s.quantity(field).value for s in (first_summary, second_summary))
        found.differences[field] = None if mine is None or theirs is None else mine - theirs
    found.severity = _severity_sentence(first_summary, second_summary)
    return found


def _severity_sentence(first: NightSummary, second: NightSummary) -> str | None:
    if first.severity.word == second.severity.word:
        return None
    if first.severity.word is None or second.severity.word is None:
        return None
    parts = [
        f"{summary.scorer['kind']} {summary.ahi.value:.1f}/h ({summary.severity.word})"
        for summary in (first, second)
    ]
    return f"The difference changes the severity class of the AHI: {' against '.join(parts)}."


def review_first(scorings: Mapping[str, Scoring]) -> list[Stretch]:
    """The stretches of five minutes where witnesses differ most or are least sure, worst first.

    The doubt of an epoch is the share of pairs of witnesses that stage it differently, plus the
    share that disagree about a breathing event in it, plus the mean of one minus the probability
    of the stage that was chosen (where a witness states probabilities).
    """
    n_epochs = min((scoring.n_epochs for scoring in scorings.values()), default=0)
    if n_epochs < REVIEW_EPOCHS:
        return []
    names = list(scorings)
    pairs = [(a, b) for index, a in enumerate(names) for b in names[index + 1 :]]
    stages = np.zeros(n_epochs)
    events = np.zeros(n_epochs)
    for a, b in pairs:
        stages += _stage_difference(scorings[a], scorings[b], n_epochs) / len(pairs)
        events += _event_difference(scorings[a], scorings[b], n_epochs) / len(pairs)
    unsure = _uncertainty(list(scorings.values()), n_epochs)
    window = np.ones(REVIEW_EPOCHS) / REVIEW_EPOCHS
    means = [np.convolve(part, window, mode="valid") for part in (stages, events, unsure)]
    doubt = np.sum(means, axis=0)
    found: list[Stretch] = []
    while len(found) < REVIEW_STRETCHES:
        first = int(doubt.argmax())
        if doubt[first] < LEAST_DOUBT:
            break
        found.append(_stretch(first, doubt[first], [float(part[first]) for part in means]))
        doubt[max(first - REVIEW_EPOCHS + 1, 0) : first + REVIEW_EPOCHS] = 0
    return found


def _stretch(first: int, doubt: float, parts: list[float]) -> Stretch:
    stages, events, unsure = parts
    reasons = []
    if stages >= 0.1:
        reasons.append(f"stages differ in {100 * stages:.0f} % of the comparisons")
    if events >= 0.1:
        reasons.append(f"breathing events differ in {100 * events:.0f} %")
    if unsure >= 0.1:
        reasons.append(f"the chosen stage has a probability of {1 - unsure:.2f} on average")
    return Stretch(
        epoch=first + 1,
        last_epoch=first + REVIEW_EPOCHS,
        onset_s=first * EPOCH_S,
        end_s=(first + REVIEW_EPOCHS) * EPOCH_S,
        doubt=round(float(doubt), 3),
        why="; ".join(reasons) or "small doubts of several kinds",
    )


def _stage_difference(first: Scoring, second: Scoring, n_epochs: int) -> np.ndarray:
    return np.array(
        [
            float(mine != theirs and UNSCORED not in (mine, theirs))
            for mine, theirs in zip(first.stages[:n_epochs], second.stages[:n_epochs], strict=True)
        ]
    )


def _event_difference(first: Scoring, second: Scoring, n_epochs: int) -> np.ndarray:
    """1 in epochs that a breathing event of only one of the two touches."""
    difference = np.zeros(n_epochs)
    if not (first.looked_for("hypopnea") and second.looked_for("hypopnea")):
        return difference
    mine, theirs = first.events_of(RESPIRATORY_KINDS), second.events_of(RESPIRATORY_KINDS)
    pairs = matched_pairs(mine, theirs)
    for events, paired in (
        (mine, {index for index, _ in pairs}),
        (theirs, {index for _, index in pairs}),
    ):
        for index, event in enumerate(events):
            if index not in paired:
                last = int(np.ceil(max(event.end_s, event.onset_s + 1) / EPOCH_S))
                difference[int(event.onset_s // EPOCH_S) : last] = 1.0
    return difference


def _uncertainty(scorings: Sequence[Scoring], n_epochs: int) -> np.ndarray:
    stated = [
        1 - scoring.probabilities[:n_epochs].max(axis=1)
        for scoring in scorings
        if scoring.probabilities is not None
    ]
    if not stated:
        return np.zeros(n_epochs)
    table = np.stack(stated)
    known = np.isfinite(table)
    return np.where(known, table, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
