"""Concepts that a model was trained without, asked for by their words.

A kind is unseen when it is not among the config's event kinds. How well words find it: the AUROC
over epochs of the likeness of embedding and phrases (against those of "no event"), of the seconds
that the phrase locates, and the rank of true epochs when the night's epochs are searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from train.evaluate.asking import event_directions
from train.evaluate.events import by_features
from train.evaluate.pool import Pool
from train.evaluate.reading import NightReading
from train.evaluate.scores import auroc

if TYPE_CHECKING:
    from sleeplm.reader import SleepLM

__all__ = ["concept", "unseen"]

SEARCHED = 20


def unseen(
    model: SleepLM, readings: Sequence[NightReading], reference: Sequence[NightReading]
) -> dict[str, Any]:
    """Every kind that the nights hold and the model was not trained to name.

    The baseline is no zero-shot method: it has labels of the kind, and shows what there is to see.
    """
    pool = Pool(readings)
    kinds = [kind for kind in pool.kinds() if kind not in model.event_kinds]
    result: dict[str, Any] = {"by_kind": {kind: concept(model, pool, kind) for kind in kinds}}
    if not kinds:
        result["not_measured"] = "the nights hold no event kind that the model was trained without"
    areas = [one["auroc"] for one in result["by_kind"].values() if one["auroc"] is not None]
    result["auroc"] = float(np.mean(areas)) if areas else None
    learned = Pool(reference)
    result["baseline"] = {
        "chance": {"auroc": 0.5},
        "with labels: band power + logistic regression": (
            {kind: by_features(pool, learned, kind) for kind in kinds}
            if reference
            else {"not_measured": "no reference nights to learn from"}
        ),
    }
    return result


def concept(model: SleepLM, pool: Pool, kind: str) -> dict[str, Any]:
    """How well the words of one kind find its epochs.

    ``precision_at_20``: share that hold the kind among the twenty epochs likest to the phrases;
    ``share`` is what it would be by chance.
    """
    truth = pool.holds(kind)
    similarity = pool.embeddings @ event_directions(model, [kind])[0]
    best = np.argsort(-similarity)[:SEARCHED]
    return {
        "epochs": int(truth.sum()),
        "share": float(truth.mean()),
        "auroc": auroc(truth, similarity),
        "located_auroc": auroc(truth, pool.joined(lambda read: read.located[kind])),
        f"precision_at_{SEARCHED}": float(truth[best].mean()),
    }
