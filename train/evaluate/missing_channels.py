"""What is left when channels are taken away: staging, events and numbers, by what remains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sleeplm.captions import parse_caption
from sleeplm.night import NEEDED_CHANNELS
from sleeplm.scoring import STAGES
from train.captions.mix import left_to_see
from train.evaluate.baselines import feature_names
from train.evaluate.captions import Tally, medians
from train.evaluate.linear import LogisticRegression
from train.evaluate.pool import Pool
from train.evaluate.reading import NightReading
from train.evaluate.scores import class_scores, f1_binary

if TYPE_CHECKING:
    from sleeplm.reader import SleepLM

__all__ = ["missing_channels"]


def missing_channels(
    model: SleepLM, readings: Sequence[NightReading], reference: Sequence[NightReading]
) -> dict[str, Any]:
    """By what remains: κ, macro-F1 of event kinds, error of caption numbers, invented numbers.

    Events are those that the remaining channels can show, others are left out of the mean; so are
    stages without any EEG, though κ is given for interest. The baseline learns its stages from
    the same channels of the reference nights.
    """
    names = list(dict.fromkeys(name for read in readings for name in read.missing))
    middle = medians(Pool(reference if reference else readings))
    learned = Pool(reference)
    result: dict[str, Any] = {"by_set": {}, "baseline": {"majority": {"kappa": 0.0}}}
    bands: dict[str, Any] = {}
    for name in names:
        given = [read for read in readings if name in read.missing]
        result["by_set"][name] = _one_set(model, given, name, middle)
        if reference and not name.endswith("taken away"):
            bands[name] = _by_band_power(given, name, learned)
    result["baseline"]["band power + logistic regression"] = bands or {
        "not_measured": "no reference nights to learn from"
    }
    return result


def _one_set(
    model: SleepLM, readings: Sequence[NightReading], name: str, middle: Any
) -> dict[str, Any]:
    truth, said = [], []
    held: dict[str, list[tuple[bool, bool]]] = {}
    told, always = Tally(), Tally()
    for read in readings:
        part = read.missing[name]
        gone = set(read.present) - set(part.channels)
        truth += [read.truth.stages[row] for row in part.rows]
        said += part.stages
        for kind, covered in part.events.items():
            if all(set(group) & set(part.channels) for group in NEEDED_CHANNELS.get(kind, ())):
                found = zip(read.holds(kind)[part.rows], covered >= 1.0, strict=True)
                held.setdefault(kind, []).extend(found)
        for place, row in enumerate(part.caption_rows):
            seen = left_to_see(read.fields[row], gone, set())
            systems = {s: parse_caption(texts[place], s) for s, texts in part.captions.items()}
            told.add(seen, systems)
            always.add(seen, dict.fromkeys(systems, middle))
    usual = {field: float(np.median(errors)) for field, errors in always.errors.items()}
    scores = class_scores(truth, said, STAGES)
    f1 = {
        kind: value
        for kind, pairs in held.items()
        if sum(one for one, _ in pairs) >= 3
        and (value := f1_binary(np.array([t for t, _ in pairs]), np.array([s for _, s in pairs])))
        is not None
    }
    described = told.scores(usual)
    return {
        "channels": float(np.mean([len(read.missing[name].channels) for read in readings])),
        "epochs": len(truth),
        "kappa": scores["kappa"],
        "event_f1": float(np.mean(list(f1.values()))) if f1 else None,
        "event_f1_by_kind": f1,
        "relative_error": described["relative_error"],
        "not_in_truth": described["not_in_truth"],
    }


def _by_band_power(readings: Sequence[NightReading], name: str, learned: Pool) -> dict[str, Any]:
    """κ of logistic regression on the features of the channels that are left."""
    channels = set(readings[0].missing[name].channels)
    columns = [i for i, column in enumerate(feature_names()) if column.split(":")[0] in channels]
    if not columns:
        return {"kappa": 0.0}
    stager = LogisticRegression().fit(learned.features[:, columns], learned.stages)
    truth, said = [], []
    for read in readings:
        rows = read.missing[name].rows
        truth += [read.truth.stages[row] for row in rows]
        said += stager.predict(read.features[rows][:, columns])
    return {"kappa": class_scores(truth, said)["kappa"]}
