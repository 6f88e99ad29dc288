"""Which event kinds an epoch holds: by prompts against embeddings, by the event head, by place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from train.evaluate.asking import event_directions
from train.evaluate.pool import Pool
from train.evaluate.reading import NightReading
from train.evaluate.scores import auroc, f1_binary

if TYPE_CHECKING:
    from sleeplm.reader import SleepLM

__all__ = ["events"]


def events(
    model: SleepLM, readings: Sequence[NightReading], reference: Sequence[NightReading]
) -> dict[str, Any]:
    """Per kind the model knows: AUROC and, of what it locates, F1 and balanced accuracy.

    An epoch holds a kind when a second or more of it lies in the epoch. The macro figures are
    means over kinds. The baseline learns signal features → kind from the reference nights.
    """
    pool = Pool(readings)
    known = [kind for kind in pool.kinds() if kind in model.event_kinds]
    result: dict[str, Any] = {"by_kind": {kind: _kind(model, pool, kind) for kind in known}}
    result.update(macro(result["by_kind"]))
    learned = Pool(reference)
    by_kind = {kind: by_features(pool, learned, kind) for kind in known} if reference else {}
    result["baseline"] = {
        "majority (none)": {"auroc": 0.5, "f1": 0.0, "balanced_accuracy": 0.5},
        "band power + logistic regression": (
            {"by_kind": by_kind, **macro(by_kind)}
            if by_kind
            else {"not_measured": "no reference nights to learn from"}
        ),
    }
    return result


def _kind(model: SleepLM, pool: Pool, kind: str) -> dict[str, Any]:
    truth = pool.holds(kind)
    similarity = pool.embeddings @ event_directions(model, [kind])[0]
    covered = pool.joined(lambda read: read.located[kind])
    scores = {
        "epochs": int(truth.sum()),
        "auroc": auroc(truth, similarity),
        "located_auroc": auroc(truth, covered),
        **recognition(truth, covered >= 1.0),
    }
    head = _head(pool, kind)
    if head is not None:
        scores["head_auroc"] = auroc(truth, head)
    return scores


def _head(pool: Pool, kind: str) -> np.ndarray | None:
    first = pool.readings[0]
    if first.event_probabilities is None or kind not in first.event_kinds:
        return None
    column = first.event_kinds.index(kind)
    return pool.joined(lambda read: read.event_probabilities[:, column])  # type: ignore[index]


def recognition(truth: np.ndarray, read: np.ndarray) -> dict[str, Any]:
    """F1 and balanced accuracy of one kind."""
    return {
        "f1": f1_binary(truth, read),
        "balanced_accuracy": float(np.mean([read[truth].mean(), (~read[~truth]).mean()])),
    }


def by_features(pool: Pool, learned: Pool, kind: str) -> dict[str, Any]:
    """The baseline of one kind: logistic regression on signal features of other nights."""
    recogniser = learned.recogniser(kind)
    if recogniser is None:
        return {"not_measured": "the reference nights lack it"}
    truth = pool.holds(kind)
    score = recogniser.probabilities(pool.features)[:, recogniser.labels.index("yes")]
    return {"auroc": auroc(truth, score), **recognition(truth, score >= 0.5)}


def macro(by_kind: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Means over the kinds of what each of them has."""
    means = {}
    for name in ("auroc", "located_auroc", "head_auroc", "f1", "balanced_accuracy"):
        values = [scores[name] for scores in by_kind.values() if scores.get(name) is not None]
        if values:
            means[name] = float(np.mean(values))
    return means
