"""How good a model is, on nights whose truth is known: ``sleeplm evaluate``.

Nights are read one by one (:mod:`train.evaluate.reading`), here or elsewhere; each axis is a
module of its own and is shown beside baselines that were computed in the same run. Nights are
simulated from seeds that no recipe trains on, or recordings with a scoring beside them.
"""

from train.evaluate.nights import (
    HELD_OUT_SEEDS,
    NightSource,
    held_out_nights,
    held_out_sources,
    recording_sources,
    reference_sources,
)
from train.evaluate.reading import AXES
from train.evaluate.run import evaluate, evaluate_sources
from train.evaluate.scores import cohen_kappa
from train.evaluate.table import as_markdown

__all__ = [
    "AXES",
    "HELD_OUT_SEEDS",
    "NightSource",
    "as_markdown",
    "cohen_kappa",
    "evaluate",
    "evaluate_sources",
    "held_out_nights",
    "held_out_sources",
    "recording_sources",
    "reference_sources",
]
