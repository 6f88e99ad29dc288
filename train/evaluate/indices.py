"""Full-night indices: does the model's scoring give the figures of the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from train.evaluate.reading import INDICES, NightReading
from train.evaluate.scores import bland_altman

if TYPE_CHECKING:
    from sleeplm.reader import SleepLM

__all__ = ["indices"]


def indices(
    model: SleepLM, readings: Sequence[NightReading], reference: Sequence[NightReading]
) -> dict[str, Any]:
    """r, mean absolute error, bias and limits of agreement (Bland & Altman) over nights.

    Baselines: the mean of the reference nights for every night, the rule on SpO2 for the ODI, and
    the automatic scoring where it was asked.
    """
    silent = [read for read in (*readings, *reference) if "expert" not in read.indices]
    if silent:
        return {"not_measured": silent[0].not_measured.get("indices", "not read")}
    result: dict[str, Any] = {
        "by_index": {name: _compared(readings, "model", name) for name in INDICES},
        "pairs": {
            name: [
                [read.indices["expert"].get(name), read.indices["model"].get(name)]
                for read in readings
            ]
            for name in INDICES
        },
    }
    usual: dict[str, Any] = {
        name: _agreement(readings, name, [_usual(reference, name)] * len(readings))
        for name in INDICES
    }
    automatic: dict[str, Any] = {
        name: found
        for name in INDICES
        if (found := _compared(readings, "automatic", name)) is not None
    }
    baseline: dict[str, dict[str, Any]] = {
        "mean of the reference nights": (
            usual if reference else {"not_measured": "no reference nights to learn from"}
        ),
        "SpO2 rule": {"odi3": _compared(readings, "SpO2 rule", "odi3")},
        "automatic scoring": dict(automatic) or {"not_measured": "not asked; --baselines"},
    }
    return {**result, "baseline": baseline}


def _usual(reference: Sequence[NightReading], name: str) -> float:
    values = [read.indices["expert"][name] for read in reference if name in read.indices["expert"]]
    return float(np.mean(values)) if values else float("nan")


def _compared(readings: Sequence[NightReading], witness: str, name: str) -> dict[str, Any] | None:
    said = [read.indices.get(witness, {}).get(name, float("nan")) for read in readings]
    return _agreement(readings, name, said)


def _agreement(
    readings: Sequence[NightReading], name: str, said: Sequence[float]
) -> dict[str, Any] | None:
    truth = [read.indices["expert"].get(name, float("nan")) for read in readings]
    found = bland_altman(truth, said)
    return None if found is None else {**found.to_dict(), "unit": INDICES[name]}
