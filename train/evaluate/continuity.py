"""Continuity: do embeddings lie as far apart as the physiology of their epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from train.evaluate.baselines import standardised
from train.evaluate.pool import Pool
from train.evaluate.reading import NightReading
from train.evaluate.scores import spearman

if TYPE_CHECKING:
    from sleeplm.reader import SleepLM

__all__ = ["continuity", "physiological_distance"]

EPOCHS = 400
#: Pairs of epochs that share fewer measured fields than this are left out.
LEAST_FIELDS = 5


def continuity(
    model: SleepLM, readings: Sequence[NightReading], reference: Sequence[NightReading]
) -> dict[str, Any]:
    """Spearman's ρ over pairs of epochs of embedding distance (1 − cosine) and physiological one.

    The physiological distance is the root mean square difference of the z-scored measured fields
    that both epochs have (position, a code, left out). The baseline is the distance of signal
    features, of which the band powers are measured fields too: a high bar.
    """
    pool = Pool(readings)
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(len(pool))[:EPOCHS])
    table = np.stack(
        [column[rows] for name, column in pool.values.items() if name != "position"], axis=1
    )
    distance = physiological_distance(table)
    vectors = pool.embeddings[rows]
    scaled = standardised(pool.features[rows], pool.features[rows])
    one, other = np.triu_indices(len(rows), 1)
    known = np.isfinite(distance[one, other])
    one, other = one[known], other[known]
    physiological = distance[one, other]
    of_features = np.sqrt(((scaled[one] - scaled[other]) ** 2).mean(axis=1))
    same_night = pool.night[rows][one] == pool.night[rows][other]
    of_model = 1 - (vectors[one] * vectors[other]).sum(axis=1)
    return {
        "epochs": len(rows),
        "pairs": len(one),
        "spearman": spearman(of_model, physiological),
        "spearman_within_nights": spearman(of_model[same_night], physiological[same_night]),
        "baseline": {
            "band-power distance": {
                "spearman": spearman(of_features, physiological),
                "spearman_within_nights": spearman(
                    of_features[same_night], physiological[same_night]
                ),
            }
        },
    }


def physiological_distance(values: np.ndarray) -> np.ndarray:
    """Root mean square difference of z-scored columns that both rows have, [N, F] → [N, N].

    nan where two rows share fewer than :data:`LEAST_FIELDS` known values.
    """
    with np.errstate(invalid="ignore"):
        known_columns = np.isfinite(values).sum(axis=0) > 1
        values = values[:, known_columns].astype(float)
        spread = np.nanstd(values, axis=0)
        scaled = (values - np.nanmean(values, axis=0)) / np.where(spread > 0, spread, 1.0)
    known = np.isfinite(scaled).astype(float)
    filled = np.nan_to_num(scaled)
    shared = known @ known.T
    squares = (filled**2) @ known.T
    total = squares + squares.T - 2 * filled @ filled.T
    distance = np.sqrt(np.maximum(total, 0.0) / np.maximum(shared, 1.0))
    return np.where(shared >= LEAST_FIELDS, distance, np.nan)
