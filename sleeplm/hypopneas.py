"""Which hypopneas count by AASM rule 1A (≥ 3 % desaturation or arousal) and 1B (≥ 4 %).

The fall of SpO2 is measured from the signal; where the signal is missing there, it is taken from
the scored desaturation that lies close enough in time.
"""

from __future__ import annotations

import numpy as np

from sleeplm.scoring import Event, Scoring

__all__ = [
    "AROUSAL_AFTER_S",
    "DEPTH_TOLERANCE_PCT",
    "DESATURATION_WINDOW_S",
    "fall_with",
    "fall_within",
    "qualifies",
    "scored_fall",
    "stated_depth",
]

DESATURATION_WINDOW_S = 45.0
"""A hypopnea's desaturation is looked for until this long after its end (circulation delay)."""
BASELINE_BEFORE_S = 30.0
BASELINE_INTO_S = 10.0
AROUSAL_AFTER_S = 5.0
"""An arousal belongs to a hypopnea when it starts within it or this soon after its end."""
DEPTH_TOLERANCE_PCT = 0.05
"""EDF's 16-bit steps keep a fall of 3 % as 2.998 %, and 90 % as 89.999 %."""


def qualifies(
    event: Event,
    scoring: Scoring,
    spo2_per_second: np.ndarray | None,
    *,
    fall_pct: float,
    or_arousal: bool,
) -> bool | None:
    """Whether a hypopnea meets a rule; None where that cannot be known.

    Parameters
    ----------
    event : Event
        The hypopnea.
    scoring : Scoring
        Its scoring: arousals, and desaturations where the signal says nothing.
    spo2_per_second : array [n_seconds] or None
        Plausible SpO2 in %, NaN elsewhere.
    fall_pct : float
        Least fall of SpO2 in points.
    or_arousal : bool
        Whether an arousal alone is enough (rule 1A).
    """
    depth_pct = fall_with(event, spo2_per_second)
    if depth_pct is None:
        depth_pct = scored_fall(event, scoring)
    if depth_pct is not None and depth_pct >= fall_pct - DEPTH_TOLERANCE_PCT:
        return True
    if not or_arousal:
        return None if depth_pct is None else False
    if any(
        event.onset_s <= arousal.onset_s <= event.end_s + AROUSAL_AFTER_S
        for arousal in scoring.events_of("arousal")
    ):
        return True
    if depth_pct is None or not scoring.looked_for("arousal"):
        return None
    return False


def fall_with(event: Event, spo2_per_second: np.ndarray | None) -> float | None:
    """Fall of SpO2 with an event, in points: from the highest around its onset to the lowest after.

    Baseline: highest plausible second from 30 s before the onset to 10 s into the event; nadir:
    lowest plausible second after it, until 45 s past the end. None where fewer than half of these
    seconds are plausible.
    """
    if spo2_per_second is None:
        return None
    first = max(int(event.onset_s - BASELINE_BEFORE_S), 0)
    into_s = min(BASELINE_INTO_S, event.duration_s)
    turn = min(int(event.onset_s + into_s) + 1, len(spo2_per_second))
    stop = min(int(event.end_s + DESATURATION_WINDOW_S) + 1, len(spo2_per_second))
    window = spo2_per_second[first:stop]
    before = spo2_per_second[first:turn]
    if not np.isfinite(before).any() or np.isfinite(window).mean() < 0.5:
        return None
    peak = int(np.nanargmax(before))
    return float(window[peak] - np.nanmin(window[peak:]))


def scored_fall(event: Event, scoring: Scoring) -> float | None:
    """Depth of the desaturation that the scoring ties to an event by time; 0 where it has none.

    None where desaturations were not looked for, or one of those found states no depth.
    """
    if not scoring.looked_for("desaturation"):
        return None
    depths = [
        stated_depth(desaturation)
        for desaturation in scoring.events_of("desaturation")
        if event.onset_s <= desaturation.onset_s <= event.end_s + DESATURATION_WINDOW_S
    ]
    if any(depth is None for depth in depths):
        return None
    return max((depth for depth in depths if depth is not None), default=0.0)


def stated_depth(desaturation: Event) -> float | None:
    """Depth in points that a scored desaturation states, if it does."""
    evidence = desaturation.evidence
    if "depth_pct" in evidence:
        return float(evidence["depth_pct"])
    if "baseline_pct" in evidence and "nadir_pct" in evidence:
        return float(evidence["baseline_pct"]) - float(evidence["nadir_pct"])
    return None


def fall_within(event: Event, spo2_per_second: np.ndarray | None) -> float | None:
    """Fall of plausible SpO2 within an event's own time; None without values."""
    if spo2_per_second is None:
        return None
    window = spo2_per_second[max(int(event.onset_s), 0) : int(np.ceil(event.end_s)) + 1]
    if not np.isfinite(window).any():
        return None
    peak = int(np.nanargmax(window))
    return float(window[peak] - np.nanmin(window[peak:]))
