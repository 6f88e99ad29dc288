"""Sleep stages: by the stage head, and zero-shot by the words of the prompts alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sleeplm.scoring import STAGES
from train.evaluate.asking import center, stage_words
from train.evaluate.pool import NO_REFERENCE, Pool
from train.evaluate.reading import NightReading
from train.evaluate.scores import auroc, class_scores

if TYPE_CHECKING:
    from sleeplm.reader import SleepLM

__all__ = ["staging"]


def staging(
    model: SleepLM, readings: Sequence[NightReading], reference: Sequence[NightReading]
) -> dict[str, Any]:
    """κ, macro-F1, balanced accuracy and mean one-against-rest AUROC of both ways of staging."""
    pool = Pool(readings)
    truth = pool.stages
    words = stage_words(model)
    similarity = pool.embeddings @ np.stack([center(model, words[stage]) for stage in STAGES]).T
    probabilities = pool.joined(lambda read: read.stage_probabilities)
    majority = max(STAGES, key=truth.count)
    return {
        "zero_shot": _scores(truth, similarity),
        "head": _scores(truth, probabilities),
        "baseline": {
            "majority": {**class_scores(truth, [majority] * len(truth)), "auroc": 0.5},
            "band power + logistic regression": _by_band_power(truth, pool, reference),
            "yasa": _by_yasa(readings),
        },
    }


def _scores(truth: list[str], table: np.ndarray) -> dict[str, Any]:
    said = [STAGES[best] for best in table.argmax(axis=1)]
    return {**class_scores(truth, said), "auroc": mean_auroc(truth, table)}


def mean_auroc(truth: Sequence[str], table: np.ndarray) -> float | None:
    """Mean over the stages in ``truth`` of one stage against the rest."""
    true = np.asarray(truth, dtype=object)
    areas = [auroc(true == stage, table[:, column]) for column, stage in enumerate(STAGES)]
    known = [area for area in areas if area is not None]
    return float(np.mean(known)) if known else None


def _by_band_power(
    truth: list[str], pool: Pool, reference: Sequence[NightReading]
) -> dict[str, Any]:
    if not reference:
        return dict(NO_REFERENCE)
    stager = Pool(reference).stager
    table = np.zeros((len(pool), len(STAGES)))
    for column, label in enumerate(stager.labels):
        table[:, STAGES.index(label)] = stager.probabilities(pool.features)[:, column]
    return _scores(truth, table)


def _by_yasa(readings: Sequence[NightReading]) -> dict[str, Any]:
    asked = [read for read in readings if read.yasa is not None]
    if not asked:
        reasons = {read.not_measured.get("yasa", "not asked; --baselines") for read in readings}
        return {"not_measured": "; ".join(sorted(reasons))}
    truth, said = [], []
    for read in asked:
        assert read.yasa is not None
        for row in read.scored_rows:
            if read.yasa[row] in STAGES:
                truth.append(read.truth.stages[row])
                said.append(read.yasa[row])
    return {**class_scores(truth, said), "nights": len(asked)}
