"""Breathing from belts and airflow: rate, interval variability, flatness of inspiratory flow."""

from __future__ import annotations

import numpy as np
from scipy import ndimage, signal

__all__ = ["breath_statistics", "breath_times", "inspiratory_flatness"]

_BREATH_BAND_HZ = (0.08, 0.8)
_SHORTEST_BREATH_S = 1.2
#: A pause of 10 s is an apnea (AASM, section VIII), not a breath.
_LONGEST_BREATH_S = 10.0
#: A swing below this share of the breaths around it (2 minutes) is no breath.
_SMALLEST_SWING = 0.2
_LOCAL_S = 120.0
#: Nor is an interval this many times the median of the 21 around it: it holds a pause, or a swell
#: of the filter within one.
_LONGEST_TIMES_MEDIAN, _MEDIAN_BREATHS = 1.6, 21
#: Breaths must fill this share of the epoch: the two breaths beside an apnea are no rate.
_LEAST_BREATHING = 1 / 3


def _banded(trace: np.ndarray, rate_hz: float, low_hz: float, high_hz: float) -> np.ndarray:
    sections = signal.butter(2, (low_hz, high_hz), "bandpass", fs=rate_hz, output="sos")
    return np.asarray(signal.sosfiltfilt(sections, trace))


def breath_times(trace: np.ndarray, rate_hz: float) -> np.ndarray:
    """Times of the breaths' peaks in seconds, interpolated between samples.

    Peaks of the 0.08–0.8-Hz signal at least 1.2 s apart whose prominence is at least 20 % of the
    local amplitude, which is the interdecile range over 2 minutes (peak detection on effort
    signals as in Khodadad et al., Physiol. Meas. 39:094001, 2018).

    Parameters
    ----------
    trace : array [n_samples], any unit and polarity
    rate_hz : float
    """
    # 16 samples a second are plenty for a breath and quarter the work.
    step = max(int(rate_hz // 16), 1)
    rate = rate_hz / step
    breathing = _banded(trace, rate_hz, *_BREATH_BAND_HZ)[::step]
    local = _local_amplitude(breathing, rate)
    peaks, properties = signal.find_peaks(
        breathing, distance=max(round(_SHORTEST_BREATH_S * rate), 1), prominence=1e-12
    )
    peaks = peaks[properties["prominences"] >= _SMALLEST_SWING * local[peaks]]
    peaks = peaks[(peaks > 0) & (peaks < len(breathing) - 1)]
    before, at, after = breathing[peaks - 1], breathing[peaks], breathing[peaks + 1]
    curvature = before - 2.0 * at + after
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = np.where(curvature < 0, 0.5 * (before - after) / curvature, 0.0)
    return np.asarray((peaks + np.clip(shift, -0.5, 0.5)) / rate)


def _local_amplitude(breathing: np.ndarray, rate_hz: float) -> np.ndarray:
    """Interdecile range in windows of 2 minutes, interpolated to every sample."""
    width = max(min(round(_LOCAL_S * rate_hz), len(breathing)), 1)
    hop = max(width // 4, 1)
    starts = np.arange(0, max(len(breathing) - width, 0) + 1, hop)
    windows = np.lib.stride_tricks.sliding_window_view(breathing, width)[starts]
    low, high = np.percentile(windows, [10, 90], axis=1)
    return np.interp(np.arange(len(breathing)), starts + width / 2.0, high - low)


def breath_statistics(
    times_s: np.ndarray, n_epochs: int, epoch_s: float = 30.0
) -> tuple[np.ndarray, np.ndarray]:
    """Respiratory rate and breath-interval variability of each epoch.

    Only intervals that lie whole within an epoch count, and none with a pause in it: longer than
    10 s or than 1.6 times the median of the 21 intervals around. The rate is
    60 over their mean, for at least two; the variability is their sample standard deviation, for
    at least three. Both are withheld where the intervals fill less than a third of the epoch: what
    is left beside an apnea are a few recovery breaths, and their rate is not the epoch's.

    Returns
    -------
    rate_bpm, interval_sd_s : arrays [n_epochs], nan where withheld.
    """
    intervals = np.diff(times_s)
    usual = ndimage.median_filter(intervals, size=_MEDIAN_BREATHS, mode="nearest")
    epoch = (times_s[:-1] // epoch_s).astype(int)
    inside = (
        (epoch == (times_s[1:] // epoch_s).astype(int))
        & (intervals <= np.minimum(_LONGEST_BREATH_S, _LONGEST_TIMES_MEDIAN * usual))
        & (epoch < n_epochs)
    )
    epoch, intervals = epoch[inside], intervals[inside]
    count = np.bincount(epoch, minlength=n_epochs)
    total = np.bincount(epoch, weights=intervals, minlength=n_epochs)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
        squares = np.bincount(epoch, weights=np.square(intervals - mean[epoch]), minlength=n_epochs)
        filled = total >= _LEAST_BREATHING * epoch_s
        rate_bpm = np.where(filled & (count >= 2), 60.0 / mean, np.nan)
        spread_s = np.sqrt(squares / (count - 1))
        interval_sd_s = np.where(filled & (count >= 3), spread_s, np.nan)
    return rate_bpm, interval_sd_s


def inspiratory_flatness(
    flow: np.ndarray, rate_hz: float, n_epochs: int, epoch_s: float = 30.0
) -> np.ndarray:
    """Flatness of inspiratory flow: mean over peak flow of each inspiration, median per epoch.

    1 is a plateau (flow limitation), 2/π = 0.64 a sine, 0.5 a triangle (form of the flattening
    index of Teschler et al., Am. J. Respir. Crit. Care Med. 154:734, 1996). Inspiration is upward,
    as AASM displays it.

    Parameters
    ----------
    flow : array [n_samples]
    rate_hz : float
    n_epochs : int

    Returns
    -------
    array [n_epochs], 0–1; nan where an epoch holds fewer than two inspirations.
    """
    sections = signal.butter(2, (0.05, 3.0), "bandpass", fs=rate_hz, output="sos")
    smooth = signal.sosfiltfilt(sections, flow)
    sign = smooth > 0
    edges = np.flatnonzero(np.diff(sign)) + 1
    if len(edges) < 3:
        return np.full(n_epochs, np.nan)
    rising = sign[edges]
    starts, ends = edges[:-1][rising[:-1]], edges[1:][rising[:-1]]
    areas = np.add.reduceat(smooth, edges)[:-1][rising[:-1]]
    peaks = np.maximum.reduceat(smooth, edges)[:-1][rising[:-1]]
    length = ends - starts
    local = _local_amplitude(smooth, rate_hz)[starts]
    epoch = ((starts + length / 2) / rate_hz // epoch_s).astype(int)
    good = (
        (length >= 0.4 * rate_hz)
        & (length <= 5.0 * rate_hz)
        & (peaks >= _SMALLEST_SWING * local / 2)
        & (epoch < n_epochs)
    )
    flatness, epoch = areas[good] / length[good] / peaks[good], epoch[good]
    return _median_by_epoch(flatness, epoch, n_epochs, least=2)


def _median_by_epoch(
    values: np.ndarray, epoch: np.ndarray, n_epochs: int, least: int
) -> np.ndarray:
    present = np.unique(epoch)
    medians = np.full(n_epochs, np.nan)
    if len(present):
        medians[present] = ndimage.median(values, labels=epoch, index=present)
        medians[np.bincount(epoch, minlength=n_epochs) < least] = np.nan
    return medians
