"""Beats of a single-lead ECG at a low sampling rate: rate and ultra-short variability."""

from __future__ import annotations

import numpy as np
from scipy import ndimage, signal

__all__ = ["beat_statistics", "detect_beats"]

_QRS_BAND_HZ = (5.0, 25.0)
_REFRACTORY_S = 0.28
_SEARCH_S = 0.08
_UPSAMPLING = 8
#: An interval is accepted in this range (30–200/min) and within 25 % of its neighbours' median
#: (artefact and ectopy filter in the manner of Malik et al., Eur. Heart J. 17:354, 1996).
_RR_RANGE_S = (0.3, 2.0)
_RR_DEVIATION = 0.25
_LEAST_INTERVALS = 8
_LEAST_DIFFERENCES = 10
_LEAST_ACCEPTED = 0.9
_LEAST_SIMILARITY = 0.7
#: A beat that looks less like the others comes from another focus, or is none.
_LEAST_BEAT_SIMILARITY = 0.5


def detect_beats(ecg: np.ndarray, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Times of the R peaks, whichever way they point, finer than the sampling grid.

    Energy of the slope in the QRS band, integrated over 0.12 s, with a threshold that follows the
    local beat height (after Pan & Tompkins, IEEE Trans. Biomed. Eng. 32:230, 1985). Then each
    beat is placed on the extremum of the 8-fold interpolated QRS, on the side that dominates in
    the recording: on the 15.6-ms grid of 64 Hz an RMSSD would otherwise be floored at 9 ms.

    Parameters
    ----------
    ecg : array [n_samples], any unit and polarity
    rate_hz : float

    Returns
    -------
    times_s : array [n_beats]
    similarity : array [n_beats]
        Correlation of the beat with the median beat of regular stretches, −1 to 1.
    """
    high_hz = min(_QRS_BAND_HZ[1], 0.45 * rate_hz)
    sections = signal.butter(2, (_QRS_BAND_HZ[0], high_hz), "bandpass", fs=rate_hz, output="sos")
    qrs = signal.sosfiltfilt(sections, ecg)
    slope = np.gradient(qrs)
    width = max(round(0.12 * rate_hz), 1)
    # The running sum can end a hair below zero.
    power = np.maximum(ndimage.uniform_filter1d(np.square(slope), width, mode="nearest"), 0.0)
    energy = np.sqrt(power)
    height = _local_height(energy, rate_hz)
    candidates, _ = signal.find_peaks(energy, distance=round(_REFRACTORY_S * rate_hz))
    candidates = candidates[energy[candidates] > 0.4 * height[candidates]]
    reach = round(2 * _SEARCH_S * rate_hz)
    candidates = candidates[(candidates >= reach) & (candidates < len(qrs) - reach)]
    if len(candidates) < 3:
        return np.zeros(0), np.zeros(0)

    windows = qrs[candidates[:, None] + np.arange(-reach, reach + 1)]
    fine = signal.resample_poly(windows, _UPSAMPLING, 1, axis=1)
    middle = reach * _UPSAMPLING
    search = round(_SEARCH_S * rate_hz * _UPSAMPLING)
    near = fine[:, middle - search : middle + search + 1]
    # Noise that passes for beats comes irregularly: only regular beats decide the side and the
    # template. The larger deflection decides once for all, so that it never flips between beats.
    regular = _regular(candidates)
    upward = np.median(near[regular].max(axis=1)) >= np.median(-near[regular].min(axis=1))
    near = near if upward else -near
    offset = near.argmax(axis=1) - search
    times_s = (candidates + offset / _UPSAMPLING) / rate_hz

    half = round(_SEARCH_S * rate_hz * _UPSAMPLING)
    columns = np.clip(middle + offset[:, None] + np.arange(-half, half + 1), 0, fine.shape[1] - 1)
    aligned = np.take_along_axis(fine, columns, axis=1)
    template = np.median(aligned[regular], axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        similarity = (aligned @ template) / (
            np.linalg.norm(aligned, axis=1) * np.linalg.norm(template)
        )
    order = np.argsort(times_s, kind="stable")
    times_s, similarity = times_s[order], np.nan_to_num(similarity[order])
    apart = np.concatenate([[True], np.diff(times_s) > _REFRACTORY_S / 2])
    return times_s[apart], similarity[apart]


def _regular(candidates: np.ndarray) -> np.ndarray:
    """Whether the intervals on both sides of a beat are within 10 % of the local median."""
    intervals = np.diff(candidates).astype(float)
    local = ndimage.median_filter(intervals, size=11, mode="nearest")
    near = np.abs(intervals - local) <= 0.1 * local
    both = np.concatenate([[False], near]) & np.concatenate([near, [False]])
    # Both sides regular by chance, as in noise, is common; five in a row are not.
    steady = ndimage.binary_opening(both, structure=np.ones(5, dtype=bool))
    return steady if steady.any() else np.ones(len(candidates), dtype=bool)


def _local_height(energy: np.ndarray, rate_hz: float) -> np.ndarray:
    """Typical height of a beat around each sample: median over 15 s of the 1.5-s maxima."""
    block = max(round(1.5 * rate_hz), 1)
    n_blocks = max(len(energy) // block, 1)
    maxima = energy[: n_blocks * block].reshape(n_blocks, -1).max(axis=1)
    typical = ndimage.median_filter(maxima, size=11, mode="nearest")
    centres = (np.arange(n_blocks) + 0.5) * block
    return np.interp(np.arange(len(energy)), centres, typical)


def beat_statistics(
    times_s: np.ndarray,
    n_epochs: int,
    epoch_s: float = 30.0,
    similarity: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Beat rate and RMSSD of each epoch, from the intervals that lie whole within it.

    The rate is 60 over the mean of the accepted intervals; RMSSD is the root mean square of
    successive differences (Task Force, Circulation 93:1043, 1996; ultra-short: Munoz et al., PLoS
    ONE 10:e0138921, 2015). Intervals beside an ectopic beat, which comes early or late or looks
    different, are not accepted. RMSSD is withheld unless 90 % of the intervals are accepted, ten
    differences of neighbouring accepted intervals remain, and the beats look alike.

    Parameters
    ----------
    times_s : array [n_beats], sorted
    n_epochs : int
    similarity : array [n_beats] or None
        From :func:`detect_beats`; None for beats that an expert has audited.

    Returns
    -------
    rate_bpm, rmssd_ms : arrays [n_epochs], nan where withheld.
    """
    rate_bpm, rmssd_ms = np.full(n_epochs, np.nan), np.full(n_epochs, np.nan)
    if len(times_s) < 3:
        return rate_bpm, rmssd_ms
    intervals = np.diff(times_s)
    local = ndimage.median_filter(intervals, size=11, mode="nearest")
    accepted = (
        (intervals >= _RR_RANGE_S[0])
        & (intervals <= _RR_RANGE_S[1])
        & (np.abs(intervals - local) <= _RR_DEVIATION * local)
    )
    if similarity is not None:
        alike_beat = similarity >= _LEAST_BEAT_SIMILARITY
        accepted &= alike_beat[:-1] & alike_beat[1:]
    epoch = (times_s // epoch_s).astype(int)
    whole = (epoch[:-1] == epoch[1:]) & (epoch[:-1] < n_epochs)
    used = whole & accepted

    count = np.bincount(epoch[:-1][used], minlength=n_epochs)
    offered = np.bincount(epoch[:-1][whole], minlength=n_epochs)
    total = np.bincount(epoch[:-1][used], weights=intervals[used], minlength=n_epochs)
    pairs = used[:-1] & used[1:] & (epoch[:-2] == epoch[1:-1])
    differences = np.diff(intervals)[pairs]
    n_pairs = np.bincount(epoch[:-2][pairs], minlength=n_epochs)
    squares = np.bincount(epoch[:-2][pairs], weights=np.square(differences), minlength=n_epochs)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate_bpm = np.where(count >= _LEAST_INTERVALS, 60.0 * count / total, np.nan)
        reliable = (count >= _LEAST_ACCEPTED * offered) & (n_pairs >= _LEAST_DIFFERENCES)
        if similarity is not None:
            beats = np.bincount(epoch[epoch < n_epochs], minlength=n_epochs)
            alike = np.bincount(
                epoch[epoch < n_epochs],
                weights=similarity[epoch < n_epochs],
                minlength=n_epochs,
            )
            reliable &= alike / beats >= _LEAST_SIMILARITY
        rmssd_ms = np.where(reliable, 1000.0 * np.sqrt(squares / n_pairs), np.nan)
    return rate_bpm, rmssd_ms
