"""Signal ↔ text: the rank of an epoch among others for its own description."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from train.captions import joint_text
from train.evaluate.pool import Pool
from train.evaluate.reading import NightReading

if TYPE_CHECKING:
    from sleeplm.reader import SleepLM

__all__ = ["POOL_SIZES", "ranked", "retrieval"]

POOL_SIZES = (50, 200, 1000)
RECALLS = (1, 5, 10)


def retrieval(
    model: SleepLM, readings: Sequence[NightReading], reference: Sequence[NightReading]
) -> dict[str, Any]:
    """R@1/5/10 and median rank, both ways, in pools of several sizes.

    Texts are the joint captions of the truth in varied wording (stage, events and brain), as the
    tower is trained with. A smaller pool is a part of the largest, averaged over several draws.
    """
    pool = Pool(readings)
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(len(pool))[: max(POOL_SIZES)])
    texts = [joint_text(pool.fields[row], rng) for row in rows]
    similarity = pool.embeddings[rows] @ model.encode_text(texts).T
    result: dict[str, Any] = {"pools": {}, "baseline": {"chance": {}}}
    for size in POOL_SIZES:
        if size > len(rows):
            continue
        tables = [
            similarity[np.ix_(chosen, chosen)]
            for chosen in (
                rng.permutation(len(rows))[:size] for _ in range(max(1, min(10, 1000 // size)))
            )
        ]
        result["pools"][str(size)] = {
            "signal_to_text": _scores(np.concatenate([ranked(table) for table in tables])),
            "text_to_signal": _scores(np.concatenate([ranked(table.T) for table in tables])),
        }
        result["baseline"]["chance"][str(size)] = {
            **{f"recall_at_{k}": k / size for k in RECALLS},
            "median_rank": (size + 1) / 2,
        }
    if not result["pools"]:
        result["not_measured"] = f"{len(rows)} epochs; the smallest pool has {min(POOL_SIZES)}"
    return result


def ranked(similarity: np.ndarray) -> np.ndarray:
    """Rank from 1 of each row's own column; those exactly as alike share the mean of their places.

    Many quiet epochs have one and the same text: a strict count would call them all first.
    """
    own = np.diag(similarity)[:, None]
    better = (similarity > own).sum(axis=1)
    equal = (similarity == own).sum(axis=1) - 1
    return better + equal / 2 + 1


def _scores(rank: np.ndarray) -> dict[str, float]:
    return {
        **{f"recall_at_{k}": float(np.mean(rank <= k)) for k in RECALLS},
        "median_rank": float(np.median(rank)),
    }
