"""Few-shot linear probes: what a share of the labels makes of frozen embeddings.

Probes learn from the reference nights and are measured on the others, so no sleeper is on both
sides. Band powers with the same labels stand beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from train.evaluate.linear import LogisticRegression
from train.evaluate.pool import NO_REFERENCE, Pool
from train.evaluate.reading import NightReading
from train.evaluate.scores import auroc, class_scores

if TYPE_CHECKING:
    from sleeplm.reader import SleepLM

__all__ = ["SHARES", "drawn_share", "probes"]

SHARES = (0.01, 0.05, 0.1, 0.5, 1.0)
DRAWS = 3


def probes(
    model: SleepLM, readings: Sequence[NightReading], reference: Sequence[NightReading]
) -> dict[str, Any]:
    """κ and balanced accuracy of stages, mean AUROC of event kinds, by share of labels.

    Shares below one are means over :data:`DRAWS` draws; every class keeps an epoch at least.
    """
    if not reference:
        return dict(NO_REFERENCE)
    test, learn = Pool(readings), Pool(reference)
    kinds = [kind for kind in test.kinds() if learn.holds(kind).sum() >= 2]
    held = {kind: (learn.holds(kind), test.holds(kind)) for kind in kinds}
    result: dict[str, Any] = {
        "labelled_epochs": len(learn),
        "event_kinds": kinds,
        "embeddings": _by_share(learn.embeddings, test.embeddings, learn, test, held),
    }
    result["baseline"] = {
        "band power + logistic regression": _by_share(
            learn.features, test.features, learn, test, held
        )
    }
    return result


def _by_share(
    known: np.ndarray,
    asked: np.ndarray,
    learn: Pool,
    test: Pool,
    held: dict[str, tuple[np.ndarray, np.ndarray]],
) -> dict[str, dict[str, float]]:
    table = {}
    for share in SHARES:
        draws = [
            _one_draw(known, asked, learn, test, held, share, seed)
            for seed in range(DRAWS if share < 1 else 1)
        ]
        table[f"{100 * share:g} %"] = {
            name: float(np.mean([draw[name] for draw in draws if name in draw]))
            for name in draws[0]
        }
    return table


def _one_draw(
    known: np.ndarray,
    asked: np.ndarray,
    learn: Pool,
    test: Pool,
    held: dict[str, tuple[np.ndarray, np.ndarray]],
    share: float,
    seed: int,
) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    rows = drawn_share(learn.stages, share, rng)
    probe = LogisticRegression().fit(known[rows], [learn.stages[row] for row in rows])
    scores = class_scores(test.stages, probe.predict(asked))
    found = {
        "labels": float(len(rows)),
        "kappa": float(scores["kappa"]),
        "balanced_accuracy": float(scores["balanced_accuracy"]),
    }
    areas = []
    for in_learn, in_test in held.values():
        words = ["yes" if one else "no" for one in in_learn]
        rows = drawn_share(words, share, rng)
        probe = LogisticRegression().fit(known[rows], [words[row] for row in rows])
        area = auroc(in_test, probe.probabilities(asked)[:, probe.labels.index("yes")])
        if area is not None:
            areas.append(area)
    if areas:
        found["event_auroc"] = float(np.mean(areas))
    return found


def drawn_share(labels: Sequence[str], share: float, rng: np.random.Generator) -> np.ndarray:
    """Rows of a share of each label's examples, at least one of each, sorted."""
    given = np.asarray(labels, dtype=object)
    rows = []
    for label in sorted(set(labels)):
        of_label = np.flatnonzero(given == label)
        rows.append(rng.permutation(of_label)[: max(1, round(share * len(of_label)))])
    return np.sort(np.concatenate(rows))
