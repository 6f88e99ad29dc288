"""What the model's words on an epoch state, against what was measured and scored there.

A caption's numbers are read by :func:`sleeplm.captions.parse_caption`. They count as different
when they are farther from the measured value than :func:`tolerance` allows; how far that is is this
program's choice: captions are a small model's text, and one decimal of a band power says little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from sleeplm.captions import CaptionFields, parse_caption
from sleeplm.physiology.fields import FIELDS
from sleeplm.scoring import EPOCH_S, UNSCORED
from tools.artifacts import Disagreement, EpochCaption

if TYPE_CHECKING:
    from sleeplm.scoring import Scoring
    from tools.facts import NightFacts

__all__ = ["compare_caption", "tolerance"]

#: Least difference that counts, by unit of the field; and by share of the measured value.
_TOLERANCES: dict[str, tuple[float, float]] = {
    "%": (10.0, 0.0),
    "bpm": (5.0, 0.0),
    "ms": (10.0, 0.25),
    "breaths/min": (2.0, 0.0),
    "s": (0.5, 0.0),
    "Hz": (0.2, 0.25),
    "deg": (30.0, 0.0),
    "": (0.15, 0.25),
}
_SPO2_POINTS = 2.0
_COUNTS = 2.0


def tolerance(field: str, measured: float) -> float:
    """How far a stated value may lie from the measured one, in the field's unit."""
    if field.startswith("spo2"):
        return _SPO2_POINTS
    if field.endswith("_count"):
        return max(_COUNTS, 0.25 * abs(measured))
    least, share = _TOLERANCES.get(FIELDS[field].unit, (0.0, 0.25))
    return max(least, share * abs(measured))


def compare_caption(
    caption: EpochCaption,
    facts: NightFacts,
    scorings: Mapping[str, Scoring],
    label: Callable[[str], str],
) -> tuple[int, list[Disagreement]]:
    """Numbers of a caption that could be compared, and everything in it that others contradict.

    Parameters
    ----------
    caption : EpochCaption
        The model's text on one epoch.
    facts : NightFacts
        For the measured values and positions.
    scorings : mapping of source → Scoring
        Witnesses at hand; the model's own reading is no check of its captions.
    label : callable
        Names a measured field for people.
    """
    stated = parse_caption(caption.text, caption.system)
    epoch = caption.epoch - 1
    found: list[Disagreement] = []

    def differs(
        field: str, said: str, other: str, against: str, words: str, unit: str = ""
    ) -> None:
        found.append(
            Disagreement(
                epoch=caption.epoch,
                onset_s=caption.onset_s,
                clock=caption.clock,
                field=field,
                unit=unit,
                stated=said,
                found=other,
                against=against,
                text=f"epoch {caption.epoch}, {caption.clock}: {words}",
            )
        )

    compared = 0
    for field, value in stated.values.items():
        column = facts.measured(field)
        if column is None or not np.isfinite(column[epoch]):
            continue
        compared += 1
        measured = float(column[epoch])
        if abs(value - measured) <= tolerance(field, measured):
            continue
        unit = FIELDS[field].unit
        digits = 1 if unit else 2
        said = f"{value:.{digits}f} {unit}".rstrip()
        real = f"{measured:.{digits}f} {unit}".rstrip()
        words = f"{label(field)} is {said} by the model's words [model] but {real} [measured]"
        differs(field, said, real, "measured", words, unit)
    position = facts.positions[epoch]
    if stated.position not in (None, "unknown") and position and stated.position != position:
        words = f"position {stated.position} by the model's words [model] but {position} [measured]"
        differs("position", str(stated.position), position, "measured", words)
    for source, scoring in scorings.items():
        if source == "model":
            continue
        stage = scoring.stage_at(caption.onset_s)
        if stated.stage not in (None, UNSCORED) and stage not in (UNSCORED, stated.stage):
            words = f"stage {stated.stage} by the model's words [model] but {stage} [{source}]"
            differs("stage", str(stated.stage), stage, source, words)
        _compare_events(stated, scoring, epoch, lambda *told: differs("events", *told))
    return compared, found


def _compare_events(
    stated: CaptionFields, scoring: Scoring, epoch: int, differs: Callable[..., None]
) -> None:
    from tools.facts import kind_words

    source = scoring.scorer.kind
    start_s = epoch * EPOCH_S
    here = {e.kind for e in scoring.events if e.overlaps(start_s, start_s + EPOCH_S)}
    for kind in dict.fromkeys(event.kind for event in stated.events):
        if not scoring.looked_for(kind) or kind in here:
            continue
        instead = ", ".join(kind_words(other) for other in sorted(here)) or "no event"
        words = f"{kind_words(kind)} by the model's words [model] but {instead} [{source}]"
        differs(kind, instead, source, words)
    if stated.no_event and here:
        present = ", ".join(kind_words(kind) for kind in sorted(here))
        differs(
            "no event",
            present,
            source,
            f"no event by the model's words [model] but {present} [{source}]",
        )
