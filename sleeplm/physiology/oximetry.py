"""Oxygen saturation and the oximeter's heart rate: extremes, trends, desaturations."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy import ndimage

__all__ = [
    "Trend",
    "desaturations",
    "per_second",
    "plausible_spo2",
    "trend_segments",
    "update_interval_s",
]

#: (direction, start_s, end_s) within an epoch; the direction is increasing, decreasing or stable.
Trend = tuple[str, float, float]

_LOWEST_PCT, _HIGHEST_PCT = 50.0, 100.5
#: Saturation of arterial blood does not fall faster; what does is a probe that slips.
_FASTEST_FALL_PCT_PER_S = 4.0
#: No step of an oximeter that shows a new value only every few seconds is larger.
_LARGEST_STEP_PCT = 30.0
#: Steps from which an oximeter's update interval is told: how large, and how many at least.
_STEP_PCT, _LEAST_STEPS = 3.0, 20
#: Oximeters average over 4, 8 or 16 beats or seconds; longer holds are only a level saturation.
_LONGEST_UPDATE_S = 16.0
#: A rise of more than one display step ends a fall: the last digit flickers.
_REVERSAL_PCT = 1.5
#: Falls with events are over within a minute; what takes longer is a drift of the level.
_LONGEST_FALL_S = 60
#: A file keeps 16 bits of a wide range: a fall of 3 points may be stored as 2.998.
_ROUNDING_PCT = 0.05
_LONGEST_RECOVERY_S = 120


def per_second(trace: np.ndarray, rate_hz: float) -> np.ndarray:
    """Median of each whole second; nan where a second has no finite sample."""
    width = round(rate_hz)
    seconds = trace[: len(trace) // width * width].reshape(-1, width)
    known = np.isfinite(seconds).any(axis=1)
    medians = np.full(len(seconds), np.nan)
    if known.all() and np.isfinite(seconds).all():
        return np.asarray(np.median(seconds, axis=1), dtype=float)
    medians[known] = np.nanmedian(seconds[known], axis=1)
    return medians


def plausible_spo2(spo2_pct: np.ndarray) -> np.ndarray:
    """Saturation at 1 Hz with sensor-off and slips set to nan.

    Out are values below 50 % or above 100 %, seconds around a fall or rise of more than 4 points
    for each second since the oximeter's last update, and the two seconds at each edge of what was
    taken out.

    Parameters
    ----------
    spo2_pct : array [n_seconds]
    """
    values = np.asarray(spo2_pct, dtype=float)
    with np.errstate(invalid="ignore"):
        bad = ~np.isfinite(values) | (values < _LOWEST_PCT) | (values > _HIGHEST_PCT)
        step = np.abs(np.diff(values, prepend=values[:1]))
        largest = min(_FASTEST_FALL_PCT_PER_S * update_interval_s(values), _LARGEST_STEP_PCT)
        jump = step > largest
    if (bad | jump).any():
        bad = ndimage.binary_dilation(bad | jump, iterations=2)
    return np.where(bad, np.nan, np.minimum(values, 100.0))


def update_interval_s(spo2_pct: np.ndarray) -> float:
    """How many seconds an oximeter holds a value before it shows the next one; 1 where unknown.

    Many hold it for 4, 8 or 16 s: a true fall then comes in steps of ten points, which within one
    second no blood could do. Told from the first quarter of the holds before large steps; few
    steps, or holds longer than any oximeter's, tell nothing.

    Parameters
    ----------
    spo2_pct : array [n_seconds]
    """
    values = np.asarray(spo2_pct, dtype=float)
    with np.errstate(invalid="ignore"):
        known = (values >= _LOWEST_PCT) & (values <= _HIGHEST_PCT)
        step = np.abs(np.diff(values))
    step[~(known[1:] & known[:-1])] = np.inf
    changes = np.flatnonzero(step >= 0.5)
    if len(changes) < 2:
        return 1.0
    held_s = np.diff(changes)
    large = np.isfinite(step[changes[1:]]) & (step[changes[1:]] >= _STEP_PCT)
    large &= np.isfinite(step[changes[:-1]])
    if large.sum() < _LEAST_STEPS:
        return 1.0
    interval_s = float(np.percentile(held_s[large], 25))
    return max(interval_s, 1.0) if interval_s <= _LONGEST_UPDATE_S else 1.0


def desaturations(
    spo2: np.ndarray, drop_pct: float = 3.0, rate_hz: float = 1.0
) -> list[tuple[float, float, float, float]]:
    """Falls of saturation by at least ``drop_pct`` points, from their own local baseline.

    The baseline is the highest saturation in the minute before the nadir, since the last
    reversal (a rise of more than 1 point ends a fall). The onset is the last second at that
    level; the end is the first second within 1 point of the baseline after the nadir, or the start
    of the next fall, the end of known values, or 2 minutes, whichever is first. (Fall from a peak
    to a nadir, as in Karhu et al., Comput. Biol. Med. 2022, ABOSA; thresholds of 3 and 4 % are
    AASM's.) Sensor-off and implausible values end a fall and never start one.

    Parameters
    ----------
    spo2 : array [n_samples], %
    drop_pct : float
        3 or 4 in the AASM rules; more than 1.5.
    rate_hz : float
        Sampling rate of ``spo2``.

    Returns
    -------
    list of (onset_s, duration_s, baseline_pct, nadir_pct)

    Raises
    ------
    ValueError
        ``drop_pct`` is too small to be told from flicker.
    """
    if not drop_pct > _REVERSAL_PCT:
        raise ValueError(f"drop_pct is {drop_pct}; use more than {_REVERSAL_PCT} (3 or 4 by AASM)")
    seconds = per_second(spo2, rate_hz) if rate_hz != 1.0 else np.asarray(spo2, dtype=float)
    values = plausible_spo2(seconds)
    found: list[tuple[float, float, float, float]] = []
    known = np.concatenate([[False], np.isfinite(values), [False]])
    edges = np.flatnonzero(np.diff(known.astype(np.int8)))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        stretch = ndimage.median_filter(values[start:stop], size=3, mode="nearest")
        found.extend(
            (float(start + onset), float(end - onset), baseline, nadir)
            for onset, end, baseline, nadir in _falls(stretch, drop_pct)
        )
    return found


def _falls(values: np.ndarray, drop_pct: float) -> list[tuple[int, int, float, float]]:
    """(onset, end, baseline, nadir) of each fall in a stretch without gaps, indices in seconds."""
    turns = _turning_points(values)
    falls = []
    for number, (index, is_peak) in enumerate(turns):
        if is_peak:
            continue
        peak = turns[number - 1][0] if number else 0
        first = max(peak, index - _LONGEST_FALL_S)
        baseline = float(values[first : index + 1].max())
        nadir = float(values[index])
        if baseline - nadir < drop_pct - _ROUNDING_PCT:
            continue
        onset = first + int(np.flatnonzero(values[first : index + 1] >= baseline - 0.25)[-1])
        next_peak = turns[number + 1][0] if number + 1 < len(turns) else len(values) - 1
        limit = min(next_peak, index + _LONGEST_RECOVERY_S)
        recovered = np.flatnonzero(values[index : limit + 1] >= baseline - 1.0)
        end = index + int(recovered[0]) if len(recovered) else limit
        falls.append((onset, max(end, onset + 1), baseline, nadir))
    return falls


def _turning_points(values: np.ndarray) -> list[tuple[int, bool]]:
    """Alternating (index, is_peak) where the signal reverses by more than the flicker."""
    turns: list[tuple[int, bool]] = []
    falling: bool | None = None
    high = low = 0
    for index, value in enumerate(values.tolist()):
        if value >= values[high]:
            high = index
        if value <= values[low]:
            low = index
        if falling is not True and values[high] - value >= _REVERSAL_PCT:
            turns.append((high, True))
            falling, low = True, index
        elif falling is not False and value - values[low] >= _REVERSAL_PCT:
            turns.append((low, False))
            falling, high = False, index
    if falling:
        turns.append((low, False))
    return turns


def trend_segments(
    seconds: np.ndarray, least_slope: float, least_change: float, shortest_s: int = 5
) -> list[Trend]:
    """One epoch's course as stretches that rise, fall or hold, in order.

    The slope is taken over 5 s of the smoothed trace; a stretch rises or falls when it is steeper
    than ``least_slope`` (unit/s) and changes the level by ``least_change`` in all. Stretches
    shorter than ``shortest_s`` join their longer neighbour.

    Parameters
    ----------
    seconds : array [n_seconds]
        One value a second; an epoch with a gap has no trend.

    Returns
    -------
    list of (direction, start_s, end_s), which cover the epoch; empty with a gap.
    """
    if not np.isfinite(seconds).all() or len(seconds) < 2 * shortest_s:
        return []
    smooth = ndimage.uniform_filter1d(np.asarray(seconds, dtype=float), 3, mode="nearest")
    slope = ndimage.uniform_filter1d(np.gradient(smooth), 5, mode="nearest")
    direction = np.sign(slope) * (np.abs(slope) >= least_slope)
    segments = _runs(direction)
    # Short runs are absorbed by their longer neighbour until none is left.
    while len(segments) > 1:
        lengths = [end - start for _, start, end in segments]
        shortest = int(np.argmin(lengths))
        if lengths[shortest] >= shortest_s:
            break
        before = lengths[shortest - 1] if shortest > 0 else -1
        after = lengths[shortest + 1] if shortest + 1 < len(lengths) else -1
        host = shortest - 1 if before >= after else shortest + 1
        segments[shortest] = (segments[host][0], segments[shortest][1], segments[shortest][2])
        segments = _merged(segments)
    judged = [
        (
            sign if abs(smooth[min(end, len(smooth)) - 1] - smooth[start]) >= least_change else 0.0,
            start,
            end,
        )
        for sign, start, end in segments
    ]
    names = {1.0: "increasing", -1.0: "decreasing", 0.0: "stable"}
    return [(names[float(sign)], float(start), float(end)) for sign, start, end in _merged(judged)]


def _runs(direction: np.ndarray) -> list[tuple[float, int, int]]:
    edges = np.concatenate([[0], np.flatnonzero(np.diff(direction)) + 1, [len(direction)]])
    return [(float(direction[start]), int(start), int(end)) for start, end in pairwise(edges)]


def _merged(segments: list[tuple[float, int, int]]) -> list[tuple[float, int, int]]:
    merged: list[tuple[float, int, int]] = []
    for sign, start, end in segments:
        if merged and merged[-1][0] == sign:
            merged[-1] = (sign, merged[-1][1], end)
        else:
            merged.append((sign, start, end))
    return merged
