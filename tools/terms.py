"""Why an event was called what it is, and whether its nadir is real: measured, event by event.

Airflow and effort are compared with the two minutes before the event. An amplitude is the range of
the signal over five seconds (about one breath); before the event its upper quartile counts, so that
earlier events do not lower the comparison. The limit below which effort is called absent is this
program's choice: the AASM manual says absent and gives no number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sleeplm.hypopneas import DESATURATION_WINDOW_S
from sleeplm.scoring import RESPIRATORY_KINDS
from tools.artifacts import EventTerms, FoundEvent

if TYPE_CHECKING:
    from sleeplm.night import Night

__all__ = ["explained"]

RATE_HZ = 64
BREATH_S = 5.0
BEFORE_S = 120.0
#: Effort below this share of that before the event is called absent.
ABSENT_EFFORT_PCT = 25.0
#: How far around a nadir its signal is judged.
AROUND_NADIR_S = 10.0
_BELTS = (("THX", "thorax"), ("ABD", "abdomen"))


def explained(night: Night, event: FoundEvent) -> FoundEvent:
    """The event with its measured terms: airflow, effort, and what speaks against its nadir."""
    terms = EventTerms()
    words: list[str] = []
    if event.kind in (*RESPIRATORY_KINDS, "rera"):
        _flow(night, event, terms, words)
        _effort(night, event, terms, words)
    if event.nadir_pct is not None:
        _nadir(night, event, terms, words)
    terms.text = "; ".join(words)
    return event.model_copy(update={"terms": terms})


def _amplitudes(samples: np.ndarray, start_s: float, end_s: float) -> np.ndarray:
    """Range of the signal over each five seconds between two times; empty where too short."""
    width = int(BREATH_S * RATE_HZ)
    part = samples[max(int(start_s * RATE_HZ), 0) : max(int(end_s * RATE_HZ), 0)]
    whole = part[: len(part) // width * width].reshape(-1, width)
    whole = whole[np.isfinite(whole).all(axis=1)]
    return whole.max(axis=1) - whole.min(axis=1) if len(whole) else np.zeros(0)


def _share(samples: np.ndarray, event: FoundEvent, start_s: float, end_s: float) -> float | None:
    """Amplitude between two times as a percentage of that before the event."""
    before = _amplitudes(samples, event.onset_s - BEFORE_S, event.onset_s)
    inside = _amplitudes(samples, start_s, end_s)
    if len(before) < 6 or not len(inside):
        return None
    usual = float(np.percentile(before, 75))
    return 100.0 * float(np.median(inside)) / usual if usual > 0 else None


def _usable(night: Night, channel: str, event: FoundEvent) -> np.ndarray | None:
    samples = night.recording.channel(channel)
    if samples is None:
        return None
    usable = night.measurements().signal_quality.usable(channel)
    first, last = int(event.onset_s // 30), int(event.end_s // 30)
    return samples if usable[first : last + 1].all() else None


def _flow(night: Night, event: FoundEvent, terms: EventTerms, words: list[str]) -> None:
    flow = _usable(night, "AF", event)
    share = None if flow is None else _share(flow, event, event.onset_s, event.end_s)
    if share is None:
        words.append("airflow not measurable here")
        return
    terms.flow_reduction_pct = round(max(100.0 - share, 0.0), 1)
    words.append(f"airflow reduced by {terms.flow_reduction_pct:.0f} %")


def _effort(night: Night, event: FoundEvent, terms: EventTerms, words: list[str]) -> None:
    middle_s = event.onset_s + event.duration_s / 2
    halves: dict[str, list[float]] = {"first": [], "second": []}
    for channel, name in _BELTS:
        belt = _usable(night, channel, event)
        if belt is None:
            continue
        first = _share(belt, event, event.onset_s, max(middle_s, event.onset_s + BREATH_S))
        second = _share(belt, event, min(middle_s, event.end_s - BREATH_S), event.end_s)
        if first is None or second is None:
            continue
        setattr(terms, f"{name}_effort_pct", [round(first, 1), round(second, 1)])
        halves["first"].append(first)
        halves["second"].append(second)
        words.append(
            f"effort of the {name} {first:.0f} % of before in the first half, {second:.0f} % in "
            "the second"
        )
    if not halves["first"]:
        words.append("effort not measurable here")
        return
    absent = {half: max(values) < ABSENT_EFFORT_PCT for half, values in halves.items()}
    if absent["first"] and absent["second"]:
        terms.effort = "absent"
        words.append("effort absent throughout, as in a central event")
    elif absent["first"]:
        terms.effort = "returns"
        words.append("effort absent at first and back later, as in a mixed event")
    else:
        terms.effort = "present"
        words.append("effort goes on, as in an obstructive event")


def _nadir(night: Night, event: FoundEvent, terms: EventTerms, words: list[str]) -> None:
    from sleeplm.physiology.oximetry import per_second, plausible_spo2

    samples = night.recording.channel("SPO2")
    if samples is None:
        words.append("SpO2 was not recorded, so its nadir cannot be checked")
        return
    plausible = plausible_spo2(per_second(samples, RATE_HZ))
    start = max(int(event.onset_s), 0)
    stop = int(event.end_s + DESATURATION_WINDOW_S)
    window = plausible[start:stop]
    if not np.isfinite(window).any():
        terms.nadir_doubts = ["no plausible value around it"]
        words.append("no plausible SpO2 value around it: the nadir is not supported")
        return
    at_s = start + int(np.nanargmin(window))
    quality = night.measurements().signal_quality
    reasons = quality.reasons("SPO2", at_s - AROUND_NADIR_S, at_s + AROUND_NADIR_S)
    terms.nadir_at_s = float(at_s)
    terms.nadir_doubts = reasons
    place = night.clock(at_s)
    if reasons:
        words.append(f"the SpO2 nadir at {place} is in doubt: {', '.join(reasons)}")
    else:
        words.append(
            f"nothing in the signal speaks against the SpO2 nadir at {place} "
            f"({AROUND_NADIR_S:.0f} s before and after it are plausible)"
        )
