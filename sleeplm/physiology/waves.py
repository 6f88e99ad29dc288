"""Single waves of EEG and EOG: sleep spindles, slow waves, rapid eye movements.

The rules are those of published detectors; every step works on the whole night at once. No stage
is known here, so whoever states a count says in which stage it was found: waves that look like
spindles or rapid eye movements occur in wake too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, signal

__all__ = ["Wave", "bursts", "count_by_epoch", "rapid_eye_movements", "slow_waves", "spindles"]

_BROAD_HZ = (1.0, 30.0)
_SIGMA_HZ = (11.25, 15.75)
_SIGMA_SHARE_HZ = (12.0, 15.0)
_SPINDLE_WINDOW_S = 0.3
_SPINDLE_S = (0.5, 2.0)
_SPINDLE_APART_S = 0.5
_LEAST_SHARE, _LEAST_CORRELATION, _RMS_DEVIATIONS, _HIGHEST_RMS_UV = 0.2, 0.65, 1.5, 10.0

_SLOW_HZ = (0.3, 1.5)
_SLOW_TRANSITION_HZ = 0.2
_TROUGH_UV, _CREST_UV, _SLOW_RANGE_UV = (40.0, 200.0), (10.0, 150.0), (75.0, 350.0)
_TROUGH_S, _CREST_S = (0.3, 1.5), (0.1, 1.0)

#: Down by 6 dB at these, so that 0.5–5 Hz pass whole.
_EYE_HZ = (0.25, 6.0)
_EYE_UV = (50.0, 325.0)
_EYE_S = (0.3, 1.2)
_EYE_PROMINENCE = 0.8
#: What counts as one burst is a convention of this project, not of a manual.
_BURST_APART_S = 1.0
_FRAMES_AT_ONCE = 20_000


@dataclass(frozen=True)
class Wave:
    """One wave: seconds from the start of the recording, peak to peak in µV, frequency in Hz."""

    onset_s: float
    duration_s: float
    amplitude_uv: float
    frequency_hz: float

    @property
    def end_s(self) -> float:
        return self.onset_s + self.duration_s


def spindles(eeg_uv: np.ndarray, rate_hz: float, usable: np.ndarray | None = None) -> list[Wave]:
    """Sleep spindles of one EEG channel.

    A spindle is where at least three signs agree, for 0.5–2 s: 12–15 Hz holds 20 % of the power
    of 1–30 Hz (windows of 2 s), the band-passed trace follows the broad one (correlation of 0.65
    over 0.3 s), and its root mean square over 0.3 s lies 1.5 trimmed standard deviations above
    the mean, or above 10 µV. Rules of Lacourse et al. (J. Neurosci. Methods 316:3, 2019), in the
    form and with the limits of YASA (Vallat & Walker, eLife 10:e70092, 2021).

    Parameters
    ----------
    eeg_uv : array [n_samples], µV, without nan
    rate_hz : float
        At least 40: spindles need 16 Hz and the broad band its top.
    usable : bool array [n_samples], optional
        Where the signal can be trusted: the threshold is taken and spindles are sought only there.

    Returns
    -------
    list of Wave
        By onset; empty where the sampling rate is too low.
    """
    if rate_hz < 40.0 or len(eeg_uv) < 4 * rate_hz:
        return []
    good = np.ones(len(eeg_uv), dtype=bool) if usable is None else usable
    if not good.any():
        return []
    top_hz = min(_BROAD_HZ[1], 0.45 * rate_hz)
    # Half the lower edge: this filter is down by 6 dB at its edge, and 1 Hz shall pass whole.
    broad = _banded(eeg_uv, rate_hz, (_BROAD_HZ[0] / 2, top_hz))
    sigma = _banded(eeg_uv, rate_hz, _SIGMA_HZ)
    width = max(round(_SPINDLE_WINDOW_S * rate_hz), 3)
    # A running mean can end a hair below zero.
    power = np.maximum(_mean(np.square(sigma), width), 0.0)
    rms = np.sqrt(power)
    limit = min(
        float(rms[good].mean()) + _RMS_DEVIATIONS * _trimmed_sd(rms[good][::4]), _HIGHEST_RMS_UV
    )
    # Both are band-passed: their local means are close to 0 but not quite.
    means = _mean(sigma, width), _mean(broad, width)
    covariance = _mean(sigma * broad, width) - means[0] * means[1]
    variances = (power - means[0] ** 2) * (_mean(np.square(broad), width) - means[1] ** 2)
    signs = (rms >= limit).astype(np.float32)
    signs += covariance >= _LEAST_CORRELATION * np.sqrt(np.maximum(variances, 1e-12))
    signs += _sigma_share(broad, rate_hz, top_hz) >= _LEAST_SHARE
    signs[~good] = 0.0
    found = _mean(signs, max(int(0.1 * rate_hz), 1)) > 2.0
    starts, ends = _spans(found)
    if not len(starts):
        return []
    # The distance runs from the last sample of one to the first of the next.
    apart = (starts[1:] - ends[:-1]) / rate_hz >= _SPINDLE_APART_S
    starts, ends = starts[np.r_[True, apart]], ends[np.r_[apart, True]]
    length_s = (ends - starts) / rate_hz
    kept = (length_s > _SPINDLE_S[0]) & (length_s < _SPINDLE_S[1])
    starts, ends, length_s = starts[kept], ends[kept], length_s[kept]
    if not len(starts):
        return []
    crossings = np.concatenate([[0], np.cumsum(np.diff(np.signbit(sigma)))])
    frequency_hz = (crossings[ends - 1] - crossings[starts]) / 2.0 / length_s
    highest, lowest = _extremes(sigma, starts, ends)
    return _waves(starts / rate_hz, length_s, highest - lowest, frequency_hz)


def slow_waves(eeg_uv: np.ndarray, rate_hz: float, usable: np.ndarray | None = None) -> list[Wave]:
    """Slow waves of one EEG channel: a trough, then a crest, in 0.3–1.5 Hz.

    The trough reaches −40 to −200 µV and lasts 0.3–1.5 s, the crest 10 to 150 µV and 0.1–1 s, and
    from one to the other are 75–350 µV (75 µV is AASM's limit for the slow waves of N3). Rules of
    Massimini et al. (J. Neurosci. 24:6862, 2004) and Carrier et al. (Eur. J. Neurosci. 33:758,
    2011), with the limits of YASA.

    Parameters
    ----------
    eeg_uv : array [n_samples], µV, without nan, positive up
    rate_hz : float
    usable : bool array [n_samples], optional

    Returns
    -------
    list of Wave
        From the beginning of the trough to the end of the crest, by onset.
    """
    taps = int(3.3 * rate_hz / _SLOW_TRANSITION_HZ) // 2 * 2 + 1
    if len(eeg_uv) < taps:
        return []
    half = _SLOW_TRANSITION_HZ / 2
    kernel = signal.firwin(
        taps, (_SLOW_HZ[0] - half, _SLOW_HZ[1] + half), pass_zero=False, fs=rate_hz
    )
    padded = np.pad(np.asarray(eeg_uv, dtype=np.float64), taps // 2, mode="reflect")
    slow = signal.oaconvolve(padded, kernel, mode="valid")
    edges = np.flatnonzero(np.diff(np.signbit(slow))) + 1
    if len(edges) < 3:
        return []
    starts, middles, ends = edges[:-2], edges[1:-1], edges[2:]
    # Between two zero crossings the trace has one sign; the first lobe decides the parity.
    troughs = np.minimum.reduceat(slow, edges)[:-2]
    crests = np.maximum.reduceat(slow, edges)[1:-1]
    trough_s, crest_s = (middles - starts) / rate_hz, (ends - middles) / rate_hz
    kept = (
        _within(-troughs, _TROUGH_UV)
        & _within(crests, _CREST_UV)
        & _within(crests - troughs, _SLOW_RANGE_UV)
        & _within(trough_s, _TROUGH_S)
        & _within(crest_s, _CREST_S)
    )
    if usable is not None:
        kept &= usable[starts] & usable[ends]
    length_s = (trough_s + crest_s)[kept]
    return _waves(starts[kept] / rate_hz, length_s, (crests - troughs)[kept], 1.0 / length_s)


def rapid_eye_movements(
    left_uv: np.ndarray, right_uv: np.ndarray, rate_hz: float, usable: np.ndarray | None = None
) -> list[Wave]:
    """Rapid movements that both eyes make together, so that the two EOGs deflect oppositely.

    Peaks of the negative product of the two traces (0.5–5 Hz) of 50²–325² µV², at least 0.3 s
    apart, whose bases lie 0.3–1.2 s apart. Rules of Agarwal et al. (IEEE Trans. Biomed. Eng.
    52:1390, 2005) with the amplitudes of Yetton et al. (J. Neurosci. Methods 259:72, 2016), in the
    form of YASA. EEG and blinks move both traces the same way and fall out.

    Parameters
    ----------
    left_uv, right_uv : arrays [n_samples], µV, without nan
        Each eye against the opposite (or one common) mastoid.
    rate_hz : float
    usable : bool array [n_samples], optional

    Returns
    -------
    list of Wave
        By onset. The amplitude is the geometric mean of the two deflections; the frequency that
        of a wave as long as the movement.
    """
    if len(left_uv) < 4 * rate_hz:
        return []
    product = -_banded(left_uv, rate_hz, _EYE_HZ) * _banded(right_uv, rate_hz, _EYE_HZ)
    peaks, found = signal.find_peaks(
        product,
        height=(_EYE_UV[0] ** 2, _EYE_UV[1] ** 2),
        distance=max(round(_EYE_S[0] * rate_hz), 1),
        prominence=_EYE_PROMINENCE * _EYE_UV[0] ** 2,
        wlen=round(_EYE_S[1] * rate_hz),
    )
    starts, ends = found["left_bases"], found["right_bases"]
    length_s = (ends - starts) / rate_hz
    kept = (length_s >= _EYE_S[0]) & (length_s < _EYE_S[1])
    if usable is not None:
        kept &= usable[peaks]
    return _waves(
        starts[kept] / rate_hz, length_s[kept], np.sqrt(product[peaks[kept]]), 1.0 / length_s[kept]
    )


def bursts(movements: list[Wave], least: int = 2) -> list[tuple[float, float]]:
    """Runs of at least ``least`` movements that begin less than 1 s after the one before ends.

    Returns
    -------
    list of (onset_s, duration_s)
    """
    found = []
    first = 0
    for number, movement in enumerate(movements):
        last = number + 1 == len(movements)
        if not last and movements[number + 1].onset_s - movement.end_s < _BURST_APART_S:
            continue
        if number + 1 - first >= least:
            onset_s = movements[first].onset_s
            found.append((onset_s, movement.end_s - onset_s))
        first = number + 1
    return found


def count_by_epoch(onsets_s: np.ndarray, n_epochs: int, epoch_s: float = 30.0) -> np.ndarray:
    """How many onsets lie in each epoch, float array [n_epochs]."""
    epoch = (np.asarray(onsets_s, dtype=float) // epoch_s).astype(int)
    return np.bincount(epoch[(epoch >= 0) & (epoch < n_epochs)], minlength=n_epochs).astype(float)


def _waves(
    onset_s: np.ndarray, duration_s: np.ndarray, amplitude_uv: np.ndarray, frequency_hz: np.ndarray
) -> list[Wave]:
    columns = (onset_s, duration_s, amplitude_uv, frequency_hz)
    return [Wave(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _banded(trace: np.ndarray, rate_hz: float, band_hz: tuple[float, float]) -> np.ndarray:
    sections = signal.butter(4, band_hz, "bandpass", fs=rate_hz, output="sos")
    return np.asarray(signal.sosfiltfilt(sections, trace))


def _mean(values: np.ndarray, width: int) -> np.ndarray:
    return np.asarray(ndimage.uniform_filter1d(values, width, mode="nearest"))


def _trimmed_sd(values: np.ndarray) -> float:
    """Standard deviation without the lowest and the highest tenth."""
    low, high = np.percentile(values, [10, 90])
    return float(values[(values >= low) & (values <= high)].std())


def _sigma_share(broad: np.ndarray, rate_hz: float, top_hz: float) -> np.ndarray:
    """Share of 12–15 Hz in the power around each sample: Hann windows of 2 s, every 0.2 s."""
    length, step = round(2.0 * rate_hz), max(round(0.2 * rate_hz), 1)
    frames = np.lib.stride_tricks.sliding_window_view(broad, length)[::step]
    window = signal.windows.hann(length, sym=False)
    frequencies_hz = np.fft.rfftfreq(length, 1.0 / rate_hz)
    inside = (frequencies_hz >= _BROAD_HZ[0]) & (frequencies_hz <= top_hz)
    in_sigma = (frequencies_hz >= _SIGMA_SHARE_HZ[0]) & (frequencies_hz <= _SIGMA_SHARE_HZ[1])
    share = np.zeros(len(frames))
    for first in range(0, len(frames), _FRAMES_AT_ONCE):
        part = slice(first, first + _FRAMES_AT_ONCE)
        power = np.square(np.abs(np.fft.rfft(frames[part] * window, axis=1)))
        total = power[:, inside].sum(axis=1)
        share[part] = power[:, in_sigma].sum(axis=1) / np.maximum(total, 1e-12)
    centres = np.arange(len(frames)) * step + length / 2.0
    return np.interp(np.arange(len(broad)), centres, share)


def _spans(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and one past the last index of every run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], found.astype(np.int8), [0]])))
    return edges[::2], edges[1::2]


def _extremes(
    values: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Highest and lowest value of each span; spans do not overlap."""
    bounds = np.stack([starts, np.minimum(ends, len(values) - 1)], axis=1).ravel()
    return np.maximum.reduceat(values, bounds)[::2], np.minimum.reduceat(values, bounds)[::2]


def _within(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return np.asarray((values >= limits[0]) & (values <= limits[1]))
