"""Figures of agreement between what is true and what was read; numpy and scipy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sleeplm.matching import matched_pairs
from sleeplm.scoring import STAGES, Event

__all__ = [
    "Agreement",
    "auroc",
    "bland_altman",
    "class_scores",
    "cohen_kappa",
    "event_scores",
    "f1_binary",
    "ranks",
    "rouge_l",
    "spearman",
]


def cohen_kappa(truth: Sequence[str], read: Sequence[str]) -> float:
    """Cohen's κ: agreement beyond what the two distributions of labels give by chance."""
    labels = sorted(set(truth) | set(read))
    place = {label: row for row, label in enumerate(labels)}
    matrix = np.zeros((len(labels), len(labels)))
    for one, other in zip(truth, read, strict=True):
        matrix[place[one], place[other]] += 1
    matrix /= max(matrix.sum(), 1.0)
    chance = float(matrix.sum(axis=1) @ matrix.sum(axis=0))
    return float((np.trace(matrix) - chance) / (1 - chance)) if chance < 1 else 0.0


def class_scores(
    truth: Sequence[str], read: Sequence[str], labels: Sequence[str] = STAGES
) -> dict[str, Any]:
    """κ, accuracy, macro-F1, balanced accuracy and recall by label; labels not in truth left out.

    Macro-F1 and balanced accuracy are means over the labels that are in ``truth``.
    """
    true, said = np.asarray(truth, dtype=object), np.asarray(read, dtype=object)
    recall, f1 = {}, []
    for label in labels:
        is_true, is_said = true == label, said == label
        if is_true.any():
            both = int((is_true & is_said).sum())
            recall[label] = both / int(is_true.sum())
            f1.append(2 * both / int(is_true.sum() + is_said.sum()))
    return {
        "epochs": len(true),
        "kappa": cohen_kappa(list(true), list(said)),
        "accuracy": float(np.mean(true == said)) if len(true) else 0.0,
        "macro_f1": float(np.mean(f1)) if f1 else 0.0,
        "balanced_accuracy": float(np.mean(list(recall.values()))) if recall else 0.0,
        "recall": recall,
    }


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties share their mean rank."""
    values = np.asarray(values, dtype=float)
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place]


def auroc(truth: np.ndarray, score: np.ndarray) -> float | None:
    """Area under the ROC curve by ranks (Mann-Whitney), ties count half; None for one class."""
    positive = np.asarray(truth, dtype=bool)
    known = np.isfinite(np.asarray(score, dtype=float))
    positive, score = positive[known], np.asarray(score, dtype=float)[known]
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if n_positive == 0 or n_negative == 0:
        return None
    total = float(ranks(score)[positive].sum()) - n_positive * (n_positive + 1) / 2
    return total / (n_positive * n_negative)


def f1_binary(truth: np.ndarray, read: np.ndarray) -> float | None:
    """F1 of the positive class; None where neither holds one."""
    truth, read = np.asarray(truth, dtype=bool), np.asarray(read, dtype=bool)
    size = int(truth.sum() + read.sum())
    return 2 * int((truth & read).sum()) / size if size else None


def spearman(one: np.ndarray, other: np.ndarray) -> float | None:
    """Rank correlation, ties by mean ranks; None where one does not vary."""
    first, second = ranks(one), ranks(other)
    if len(first) < 2 or first.std() == 0 or second.std() == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


@dataclass(frozen=True)
class Agreement:
    """Two ways of measuring one quantity, in its unit (Bland & Altman, Lancet 1986).

    ``bias`` is the mean of read − true, ``low`` and ``high`` the limits of agreement, bias ± 1.96
    standard deviations (n − 1) of the differences. ``r`` is Pearson's; None where undefined.
    """

    n: int
    r: float | None
    mean_absolute_error: float
    bias: float
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def bland_altman(truth: Sequence[float], read: Sequence[float]) -> Agreement | None:
    """Agreement over nights; None where no night has both values."""
    pairs = np.array(
        [(t, r) for t, r in zip(truth, read, strict=True) if np.isfinite(t) and np.isfinite(r)],
        dtype=float,
    ).reshape(-1, 2)
    if not len(pairs):
        return None
    difference = pairs[:, 1] - pairs[:, 0]
    bias = float(difference.mean())
    varies = len(pairs) > 1 and (pairs.std(axis=0) > 1e-12).all()
    spread = 1.96 * float(difference.std(ddof=1)) if len(pairs) > 1 else None
    return Agreement(
        n=len(pairs),
        r=float(np.corrcoef(pairs.T)[0, 1]) if varies else None,
        mean_absolute_error=float(np.abs(difference).mean()),
        bias=bias,
        low=None if spread is None else bias - spread,
        high=None if spread is None else bias + spread,
    )


def event_scores(pairs: Sequence[tuple[Sequence[Event], Sequence[Event]]]) -> dict[str, Any]:
    """F1 at IoU 0.3 and 0.5 over nights of (true, read) events, mean IoU and error of the onset.

    Mean IoU and the median absolute error of the onset are of the pairs matched at IoU 0.3.
    """
    n_true = sum(len(truth) for truth, _ in pairs)
    n_read = sum(len(read) for _, read in pairs)
    scores: dict[str, Any] = {"true": n_true, "read": n_read}
    for least in (0.3, 0.5):
        matched = [
            (truth[i], read[j]) for truth, read in pairs for i, j in _matched(truth, read, least)
        ]
        scores[f"f1_iou_{least}"] = 2 * len(matched) / max(n_true + n_read, 1)
        if least == 0.3:
            overlaps = [_iou(one, other) for one, other in matched]
            errors = [abs(one.onset_s - other.onset_s) for one, other in matched]
            scores["iou"] = float(np.mean(overlaps)) if overlaps else None
            scores["onset_error_s"] = float(np.median(errors)) if errors else None
    return scores


def _matched(truth: Sequence[Event], read: Sequence[Event], least: float) -> list[tuple[int, int]]:
    """Pairs of positions; both are sorted by onset, as matched_pairs needs them."""
    return matched_pairs(
        sorted(truth, key=lambda event: event.onset_s),
        sorted(read, key=lambda event: event.onset_s),
        least,
    )


def _iou(one: Event, other: Event) -> float:
    shared = min(one.end_s, other.end_s) - max(one.onset_s, other.onset_s)
    return shared / (max(one.end_s, other.end_s) - min(one.onset_s, other.onset_s))


def rouge_l(truth: str, text: str) -> float:
    """ROUGE-L F1 (Lin 2004): longest common subsequence of lower-case words, 0–1."""
    first, second = truth.lower().split(), text.lower().split()
    if not first or not second:
        return float(first == second)
    row = [0] * (len(second) + 1)
    for word in first:
        before = row[:]
        for place, other in enumerate(second, start=1):
            row[place] = (
                before[place - 1] + 1 if word == other else max(before[place], row[place - 1])
            )
    common = row[-1]
    precision, recall = common / len(second), common / len(first)
    return 2 * precision * recall / (precision + recall) if common else 0.0
