"""How much inspiratory flow is reduced, breath by breath, against what came before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, signal

from sleeplm.physiology.rows import row_percentile

__all__ = ["Inspirations", "flow_reduction", "inspirations", "reduction_by_epoch"]

_BAND_HZ = (0.05, 3.0)
#: Shorter is no inspiration but the heart or noise about the zero line.
_SHORTEST_S = 0.4
_BASELINE_S = 120.0
_LEAST_BREATHS = 4
_MOST_BREATHS = 60
#: Breathing is stable where the middle half of the breaths differs by less than this share.
_STABLE_SPREAD = 0.3
_LARGEST = 3
#: A swing this many times the usual one is the body that moves, not a breath.
_MOVEMENT = 4.0
_USUAL_BREATHS = 201
#: A pause shorter than this is part of a breath, not a reduction.
_PAUSE_S = 5.0
_GRID_HZ = 4.0
#: AASM counts a reduction that lasts 10 s.
_LEAST_REDUCTION_S = 10.0


@dataclass(frozen=True)
class Inspirations:
    """Inspirations of a night, each an array [n]: begin, length, peak flow in the channel's unit.

    ``full`` marks those that are long enough to be a breath.
    """

    onset_s: np.ndarray
    duration_s: np.ndarray
    peak: np.ndarray
    full: np.ndarray


def inspirations(flow: np.ndarray, rate_hz: float) -> Inspirations:
    """Every stretch of upward flow, from one zero crossing to the next.

    Parameters
    ----------
    flow : array [n_samples], any unit, inspiration upward as AASM displays it, without nan
    rate_hz : float
    """
    high_hz = min(_BAND_HZ[1], 0.45 * rate_hz)
    sections = signal.butter(2, (_BAND_HZ[0], high_hz), "bandpass", fs=rate_hz, output="sos")
    smooth = signal.sosfiltfilt(sections, flow)
    sign = smooth > 0
    edges = np.flatnonzero(np.diff(sign)) + 1
    if len(edges) < 3:
        none = np.zeros(0)
        return Inspirations(none, none, none, np.zeros(0, dtype=bool))
    rising = sign[edges[:-1]]
    starts, ends = edges[:-1][rising], edges[1:][rising]
    peaks = np.maximum.reduceat(smooth, edges)[:-1][rising]
    duration_s = (ends - starts) / rate_hz
    return Inspirations(starts / rate_hz, duration_s, peaks, duration_s >= _SHORTEST_S)


def _baselines(breaths: Inspirations) -> np.ndarray:
    """What each inspiration is compared with: peak flow [n] in the 2 minutes before it began.

    AASM's rule for baseline breathing: the mean of stable breathing in the 2 minutes before, or,
    where breathing is not stable, the mean of its three largest breaths. The median stands for
    the mean of stable breathing, since one sigh moves it less.
    """
    onset_s, baseline = breaths.onset_s[breaths.full], np.full(len(breaths.onset_s), np.nan)
    peak = breaths.peak[breaths.full]
    if len(peak) <= _LEAST_BREATHS:
        return baseline
    usual = ndimage.median_filter(peak, size=min(_USUAL_BREATHS, len(peak)), mode="nearest")
    peak = np.minimum(peak, _MOVEMENT * usual)
    # The last 60 full breaths before each inspiration, as far as they began within 2 minutes.
    stop = np.searchsorted(onset_s, breaths.onset_s)
    place = stop[:, None] - 1 - np.arange(_MOST_BREATHS)
    known = (place >= 0) & (onset_s[place.clip(0)] >= breaths.onset_s[:, None] - _BASELINE_S)
    table = np.where(known, peak[place.clip(0)], np.nan)
    enough = known.sum(axis=1) >= _LEAST_BREATHS
    if not enough.any():
        return baseline
    ordered = np.sort(table[enough], axis=1)
    lower, middle, upper = (row_percentile(ordered, share) for share in (0.25, 0.5, 0.75))
    last = known[enough].sum(axis=1)[:, None] - 1 - np.arange(_LARGEST)
    largest = np.take_along_axis(ordered, last, axis=1).mean(axis=1)
    baseline[enough] = np.where(upper - lower <= _STABLE_SPREAD * middle, middle, largest)
    return baseline


def flow_reduction(flow: np.ndarray, rate_hz: float) -> tuple[np.ndarray, float]:
    """Reduction of inspiratory flow over the night, %, at 4 Hz.

    The reduction of an inspiration is 100 · (1 − its peak flow / the baseline), from its beginning
    to the beginning of the next; the baseline is AASM's (Manual for the Scoring of Sleep, v3,
    respiratory rules: stable breathing, or the three largest breaths, of the 2 minutes before).
    Pauses under 5 s are not counted as reductions. Flow above the baseline reads 0 %.

    Parameters
    ----------
    flow : array [n_samples], any unit, inspiration upward, without nan
    rate_hz : float

    Returns
    -------
    reduction_pct : array [4 · seconds], 0–100
        nan where fewer than four breaths stand in the 2 minutes before.
    grid_hz : float
        4.0
    """
    n = int(len(flow) / rate_hz * _GRID_HZ)
    breaths = inspirations(flow, rate_hz)
    if len(breaths.peak) <= _LEAST_BREATHS:
        return np.full(n, np.nan), _GRID_HZ
    baseline = _baselines(breaths)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(baseline > 0, breaths.peak / baseline, np.nan)
    time_s = np.arange(n) / _GRID_HZ
    at = np.searchsorted(breaths.onset_s, time_s, side="right") - 1
    course = np.where(at >= 0, share[at.clip(0)], np.nan)
    # An inspiration that ended long ago holds no longer: nothing has flowed since.
    idle = time_s - (breaths.onset_s + breaths.duration_s)[at.clip(0)] > _PAUSE_S
    course = np.where(idle & np.isfinite(course), 0.0, course)
    known = np.isfinite(course)
    size = round(_PAUSE_S * _GRID_HZ)
    closed = ndimage.grey_closing(np.where(known, course, 0.0), size=size, mode="nearest")
    return np.where(known, 100.0 * (1.0 - np.clip(closed, 0.0, 1.0)), np.nan), _GRID_HZ


def reduction_by_epoch(
    flow: np.ndarray, rate_hz: float, n_epochs: int, epoch_s: float = 30.0
) -> np.ndarray:
    """Flow reduction of each epoch: the mean of the 10 s with the least flow.

    The 10 s, as long as an event lasts at least, are centred in the epoch and may reach 5 s
    beyond its edges.

    Returns
    -------
    array [n_epochs], %; nan where less than half of the epoch has a baseline.
    """
    reduction_pct, grid_hz = flow_reduction(flow, rate_hz)
    per_epoch = round(epoch_s * grid_hz)
    reduction_pct = reduction_pct[: n_epochs * per_epoch]
    known = np.isfinite(reduction_pct)
    width = round(_LEAST_REDUCTION_S * grid_hz)
    filled = np.where(known, reduction_pct, 0.0)
    held = ndimage.uniform_filter1d(filled, width, mode="nearest").reshape(n_epochs, -1)
    enough = known.reshape(n_epochs, -1).mean(axis=1) >= 0.5
    return np.where(enough, held.max(axis=1).clip(0.0, 100.0), np.nan)
