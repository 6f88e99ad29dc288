"""Thoraco-abdominal asynchrony: the angle by which one belt lags the other."""

from __future__ import annotations

import numpy as np
from scipy import ndimage, signal

from sleeplm.physiology.rows import row_percentile

__all__ = ["phase_angles", "seems_inverted"]

_BREATH_BAND_HZ = (0.1, 0.8)
_GRID_HZ = 8.0
_LOCAL_S, _USUAL_PERCENTILE = 300.0, 75
#: Below this share of the belt's usual swing (5 minutes) there is no effort to compare.
_LEAST_EFFORT = 0.15
_WINDOW_S = 10.0
_LEAST_KNOWN = 0.6
_LEAST_EPOCH = 0.5
#: Mean resultant length of the angles: below it the belts hold no relation.
_LEAST_RELATION = 0.5
#: Belts that oppose each other for hours are wired the other way round.
_INVERTED_DEG = 135.0
_INVERTED_EPOCHS = 120


def phase_angles(
    thorax: np.ndarray, abdomen: np.ndarray, rate_hz: float, n_epochs: int, epoch_s: float = 30.0
) -> tuple[np.ndarray, np.ndarray]:
    """Phase angle between the belts, 0° (together) to 180° (paradox), whichever leads.

    The angle of the cross-correlation of the analytic signals (0.1–0.8 Hz) at lag 0, which is the
    lag of the largest cross-correlation as a share of the breath: cross-correlation measured the
    angle best of six methods (Prisk, Hammer & Newth, Pediatr. Pulmonol. 34:462, 2002). Each moment
    counts the same whatever the swing, so that one deep breath does not hide a paradoxical apnea.
    Moments without effort in one of the belts are left out.

    Parameters
    ----------
    thorax, abdomen : arrays [n_samples], any unit, without nan
    rate_hz : float
    n_epochs : int

    Returns
    -------
    typical_deg : array [n_epochs]
        Median over the windows of 10 s that are centred in the epoch.
    most_deg : array [n_epochs]
        The window that is most out of phase. A window counts where effort was seen in 60 % of it
        and the belts hold a relation (mean resultant length of 0.5); both are nan where less than
        half of the windows count.
    """
    belts = [_analytic(trace, rate_hz) for trace in (thorax, abdomen)]
    product = belts[0] * np.conj(belts[1])
    effort = np.ones(len(product), dtype=bool)
    for belt in belts:
        swing = np.abs(belt)
        effort &= swing > np.maximum(_LEAST_EFFORT * _usual_swing(swing), 1e-9)
    size = np.abs(product)
    unit = np.where(effort, product / np.where(size > 0, size, 1.0), 0.0)
    per_epoch = round(epoch_s * _GRID_HZ)
    unit, effort = unit[: n_epochs * per_epoch], effort[: n_epochs * per_epoch]

    width = round(_WINDOW_S * _GRID_HZ)
    held = ndimage.uniform_filter1d(effort.astype(float), width, mode="nearest")
    course = ndimage.uniform_filter1d(unit.real, width, mode="nearest") + 1j * (
        ndimage.uniform_filter1d(unit.imag, width, mode="nearest")
    )
    window_deg = _angle(course, held).reshape(n_epochs, -1)
    known = np.isfinite(window_deg)
    enough = known.mean(axis=1) >= _LEAST_EPOCH
    typical_deg, most_deg = np.full(n_epochs, np.nan), np.full(n_epochs, np.nan)
    typical_deg[enough] = row_percentile(np.sort(window_deg[enough], axis=1), 0.5)
    most_deg[enough] = np.where(known, window_deg, -1.0)[enough].max(axis=1)
    return typical_deg, most_deg


def seems_inverted(typical_deg: np.ndarray) -> bool:
    """Whether the belts oppose each other all night: then one of them is wired the other way.

    Parameters
    ----------
    typical_deg : array [n_epochs]
        From :func:`phase_angles`; at least an hour of known angles is needed for a verdict.
    """
    known = typical_deg[np.isfinite(typical_deg)]
    return len(known) >= _INVERTED_EPOCHS and float(np.median(known)) > _INVERTED_DEG


def _analytic(trace: np.ndarray, rate_hz: float) -> np.ndarray:
    """Analytic signal of the breathing band on an 8-Hz grid."""
    sections = signal.butter(2, _BREATH_BAND_HZ, "bandpass", fs=rate_hz, output="sos")
    breathing = signal.sosfiltfilt(sections, np.asarray(trace, dtype=np.float64))
    n = int(len(trace) / rate_hz * _GRID_HZ)
    coarse = np.interp(np.arange(n) / _GRID_HZ, np.arange(len(trace)) / rate_hz, breathing)
    # A length with small factors: the transform of a prime length takes minutes.
    padded = signal.hilbert(coarse, N=_fast_length(n))
    return np.asarray(padded[:n])


def _fast_length(n: int) -> int:
    from scipy.fft import next_fast_len

    return int(next_fast_len(n))


def _usual_swing(swing: np.ndarray) -> np.ndarray:
    """Upper quartile over 5 minutes, at one value a second, for every sample."""
    step = round(_GRID_HZ)
    size = min(round(_LOCAL_S), max(len(swing) // step, 1))
    coarse = ndimage.percentile_filter(swing[::step], _USUAL_PERCENTILE, size=size, mode="nearest")
    return np.repeat(coarse, step)[: len(swing)]


def _angle(mean: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Angle in degrees of a mean of unit vectors, of which ``share`` are not zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        relation = np.abs(mean) / share
    good = (share >= _LEAST_KNOWN) & (relation >= _LEAST_RELATION)
    return np.where(good, np.degrees(np.abs(np.angle(mean))), np.nan)
