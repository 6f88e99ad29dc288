"""How good a model is, on nights whose truth is known: ``sleeplm evaluate``."""

from train.evaluate.measures import (
    AXES,
    HELD_OUT_SEEDS,
    as_markdown,
    cohen_kappa,
    evaluate,
    held_out_nights,
)

__all__ = ["AXES", "HELD_OUT_SEEDS", "as_markdown", "cohen_kappa", "evaluate", "held_out_nights"]
