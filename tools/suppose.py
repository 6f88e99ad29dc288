"""What if: the night's report under another lights off, or without a part of the night.

The scoring is changed, never the recording: epochs that are left out become unscored, so that they
stand in no count and no denominator, and events that begin in them are dropped.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sleeplm.report import Quantity
from sleeplm.scoring import EPOCH_S, RESPIRATORY_KINDS, UNSCORED
from sleeplm.severity import AHI_BANDS
from tools.failures import CannotAnswer, TryAgain
from tools.when import moment_s, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sleeplm.night import Night
    from sleeplm.report import NightSummary
    from sleeplm.scoring import Scoring
    from tools.arguments import SummarizeArguments
    from tools.artifacts import FoundEvent
    from tools.facts import NightFacts

__all__ = ["severity_margin", "supposed", "weakest_events"]

#: More events than this are no margin.
MOST_WEAK = 10


def supposed(facts: NightFacts, arguments: SummarizeArguments) -> tuple[NightSummary, list[str]]:
    """The summary under the supposition, and the supposition in words.

    Parameters
    ----------
    facts : NightFacts
        The night and the scoring that answers rest on.
    arguments : SummarizeArguments
        Another lights off or on; a part of the night, or the epochs in which a channel was
        unusable, that are to stand in no count and no denominator.

    Raises
    ------
    TryAgain
        A time outside the recording, or lights that do not enclose anything.
    CannotAnswer
        A channel that was not recorded, or one that was never lost.
    """
    from sleeplm.summary import summarize

    night, scoring = facts.night, facts.scoring
    lights_off, lights_on, leave_out = (
        arguments.lights_off,
        arguments.lights_on,
        arguments.leave_out,
    )
    words: list[str] = []
    off_s = on_s = None
    if lights_off is not None:
        off_s = moment_s(lights_off, night)
    elif arguments.lights_off_shift_min is not None:
        off_s = _shifted(night, scoring, arguments.lights_off_shift_min)
    if off_s is not None:
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
    if arguments.leave_out_bad is not None:
        mask, minutes = _unusable(night, arguments.leave_out_bad)
        scoring = _without(scoring, mask)
        words.append(
            f"without the epochs of unusable {arguments.leave_out_bad} ({minutes:.1f} min)"
        )
    return summarize(scoring, night.recording, night.measurements()), words


def _shifted(night: Night, scoring: Scoring, minutes: float) -> float:
    """Lights off as stated (else the start of the recording), moved by some minutes."""
    stated_s = scoring.lights_off_s or 0.0
    off_s = stated_s + 60 * minutes
    end_s = night.n_epochs * EPOCH_S
    if not 0 <= off_s < end_s:
        raise TryAgain(
            f"lights off at {night.clock(stated_s)} can be moved by {-stated_s / 60:.0f} to "
            f"{(end_s - stated_s) / 60:.0f} min to stay within the recording"
        )
    return off_s


def _unusable(night: Night, channel: str) -> tuple[np.ndarray, float]:
    """Epochs in which a channel cannot be used, and how many minutes they are."""
    if night.recording.channel(channel) is None:
        raise CannotAnswer(f"{channel} was not recorded in this night")
    mask = ~night.measurements().signal_quality.usable(channel)[: night.n_epochs]
    if not mask.any():
        raise CannotAnswer(f"{channel} was usable in every epoch of this night, so nothing changes")
    if mask.all():
        raise CannotAnswer(f"{channel} was usable in no epoch of this night, so nothing is left")
    return mask, float(mask.sum()) * EPOCH_S / 60


def weakest_events(
    facts: NightFacts, summary: NightSummary, others: Mapping[str, Scoring]
) -> list[FoundEvent]:
    """The events without which the severity class would be milder, the weakest first.

    Weak is what another scoring does not hold, then what falls least in SpO2, then what is short;
    as many as it takes, at most :data:`MOST_WEAK`. Empty where the class is the mildest, or more
    would have to go.
    """
    if summary.ahi.value is None or not summary.tst.value:
        return []
    hours = summary.tst.value / 60
    count = round(summary.ahi.value * hours)
    index = next(i for i, (upper, _) in enumerate(AHI_BANDS) if summary.ahi.value < upper)
    if index == 0:
        return []
    needed = max(count - int(np.ceil(AHI_BANDS[index - 1][0] * hours)) + 1, 1)
    if needed > MOST_WEAK:
        return []
    events = [
        facts.found(event)
        for event in facts.scoring.events_of(RESPIRATORY_KINDS)
        if facts.scoring.in_sleep(event)
    ]

    def strength(event: FoundEvent) -> tuple[int, float, float]:
        seen = sum(
            any(e.overlaps(event.onset_s, event.end_s) for e in other.events_of(RESPIRATORY_KINDS))
            for other in others.values()
        )
        depth = np.inf if event.depth_pct is None else event.depth_pct
        return seen, float(depth), event.duration_s

    return sorted(events, key=strength)[:needed]


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
