"""Events in seconds: which are found, how well they overlap, how late they begin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sleeplm.scoring import Event
from train.evaluate.reading import NightReading
from train.evaluate.scores import event_scores

if TYPE_CHECKING:
    from sleeplm.reader import SleepLM

__all__ = ["localization"]

#: Kinds with fewer true events are shown, and left out of the means over kinds.
LEAST_EVENTS = 5


def localization(
    model: SleepLM, readings: Sequence[NightReading], reference: Sequence[NightReading]
) -> dict[str, Any]:
    """Per kind of the model: F1 at IoU 0.3 and 0.5, mean IoU, median error of the onset.

    Beside each the same events moved round the night by a random time (what their number and
    length give by chance), for desaturations the rule on SpO2, and the automatic scoring where it
    was asked.
    """
    rng = np.random.default_rng(0)
    result: dict[str, Any] = {"by_kind": {}}
    moved: dict[str, Any] = {}
    kinds = [
        kind for kind in model.event_kinds if any(read.truth.events_of(kind) for read in readings)
    ]
    for kind in kinds:
        result["by_kind"][kind] = event_scores(
            [(read.truth.events_of(kind), read.model.events_of(kind)) for read in readings]
        )
        moved[kind] = event_scores([_moved(read, kind, rng) for read in readings])
    for name in ("f1_iou_0.3", "f1_iou_0.5"):
        values = [
            scores[name] for scores in result["by_kind"].values() if scores["true"] >= LEAST_EVENTS
        ]
        result[name] = float(np.mean(values)) if values else None
    result["baseline"] = {"moved by chance": moved}
    if "desaturation" in kinds:
        result["baseline"]["SpO2 rule"] = {
            "desaturation": event_scores(
                [(read.truth.events_of("desaturation"), read.ruled) for read in readings]
            )
        }
    result["baseline"]["automatic scoring"] = _automatic(readings, kinds)
    return result


def _moved(
    read: NightReading, kind: str, rng: np.random.Generator
) -> tuple[Sequence[Event], Sequence[Event]]:
    """The truth, and what the model read put round the clock of the night by a random time."""
    length_s = read.n_epochs * 30.0
    shift_s = float(rng.uniform(0.1, 0.9)) * length_s
    events = [
        Event(kind, (event.onset_s + shift_s) % length_s, event.duration_s)
        for event in read.model.events_of(kind)
    ]
    return read.truth.events_of(kind), sorted(events, key=lambda event: event.onset_s)


def _automatic(readings: Sequence[NightReading], kinds: Sequence[str]) -> dict[str, Any]:
    asked = [read for read in readings if read.automatic is not None]
    if not asked:
        reasons = {
            read.not_measured.get("automatic", "not asked; --baselines") for read in readings
        }
        return {"not_measured": "; ".join(sorted(reasons))}
    return {
        kind: event_scores(
            [
                (read.truth.events_of(kind), read.automatic.events_of(kind))
                for read in asked
                if read.automatic is not None
            ]
        )
        for kind in kinds
    }
