"""What if: the night's report under another lights off, or without a part of the night.

The scoring is changed, never the recording: epochs that are left out become unscored, so that they
stand in no count and no denominator, and events that begin in them are dropped.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sleeplm.report import Quantity
from sleeplm.scoring import EPOCH_S, UNSCORED
from sleeplm.severity import AHI_BANDS
from tools.failures import TryAgain
from tools.when import When, moment_s, resolve

if TYPE_CHECKING:
    from sleeplm.report import NightSummary
    from sleeplm.scoring import Scoring
    from tools.facts import NightFacts

__all__ = ["severity_margin", "supposed"]


def supposed(
    facts: NightFacts,
    lights_off: str | None,
    lights_on: str | None,
    leave_out: When | None,
) -> tuple[NightSummary, list[str]]:
    """The summary under the supposition, and the supposition in words.

    Parameters
    ----------
    facts : NightFacts
        The night and the scoring that answers rest on.
    lights_off, lights_on : str or None
        Clock times.
    leave_out : When or None
        Part of the night that is to stand in no count and no denominator.

    Raises
    ------
    TryAgain
        A time outside the recording, or lights that do not enclose anything.
    """
    from sleeplm.summary import summarize

    night, scoring = facts.night, facts.scoring
    words: list[str] = []
    off_s = on_s = None
    if lights_off is not None:
        off_s = moment_s(lights_off, night)
        words.append(f"lights off at {night.clock(off_s)}")
    if lights_on is not None:
        on_s = moment_s(lights_on, night)
        words.append(f"lights on at {night.clock(on_s)}")
    if off_s is not None and on_s is not None and off_s >= on_s:
        raise TryAgain(f"lights on at {lights_on} is not after lights off at {lights_off}")
    if off_s is not None:
        scoring = replace(scoring, lights_off_s=off_s)
    if on_s is not None:
        scoring = replace(scoring, lights_on_s=on_s)
    if leave_out is not None:
        scope = resolve(leave_out, night, facts.scoring, facts.positions)
        scoring = _without(scoring, scope.mask)
        minutes = float(scope.mask.sum()) * EPOCH_S / 60
        words.append(f"without {scope.text} ({minutes:.1f} min)")
    return summarize(scoring, night.recording, night.measurements()), words


def _without(scoring: Scoring, mask: np.ndarray) -> Scoring:
    stages = tuple(
        UNSCORED if index < len(mask) and mask[index] else stage
        for index, stage in enumerate(scoring.stages)
    )

    def is_kept(onset_s: float) -> bool:
        index = int(onset_s // EPOCH_S)
        return not (0 <= index < len(mask) and mask[index])

    return replace(
        scoring,
        stages=stages,
        probabilities=None,
        events=tuple(event for event in scoring.events if is_kept(event.onset_s)),
        untyped_apneas=tuple(
            (onset_s, length_s) for onset_s, length_s in scoring.untyped_apneas if is_kept(onset_s)
        ),
    )


def severity_margin(ahi: Quantity, sleep_min: float | None) -> str | None:
    """How many events fewer or more would move the AHI into the next band, in words.

    None where the AHI is not known.
    """
    if ahi.value is None or not sleep_min:
        return None
    hours = sleep_min / 60
    count = round(ahi.value * hours)
    index = next(i for i, (upper, _) in enumerate(AHI_BANDS) if ahi.value < upper)
    parts = []
    if index > 0:
        lower, word = AHI_BANDS[index - 1]
        # The upper bound of a band is no part of it: below it the milder word holds.
        fewer = count - int(np.ceil(lower * hours)) + 1
        parts.append(f"{max(fewer, 1)} fewer breathing events would make it {word}")
    upper, _ = AHI_BANDS[index]
    if np.isfinite(upper):
        more = int(np.ceil(upper * hours)) - count
        parts.append(f"{max(more, 1)} more would make it {AHI_BANDS[index + 1][1]}")
    rests = f"{count} events in {hours:.2f} h of sleep"
    return f"The class rests on {rests}: {' and '.join(parts)}."
