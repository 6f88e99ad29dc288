"""The form of one breath: volume that a belt sees, and airflow at the nose.

Inspiration is an active half-wave that flattens where the airway limits it; expiration is passive,
fast at first, and ends in a pause. Both are functions of the time within the breath, so that a
whole night is evaluated at once.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter, lfilter, lfilter_zi

from train.simulate.eeg import slow_noise

__all__ = ["airflow", "belt", "drift", "effort", "pause_constant_s"]

RATE_HZ = 64
BELT_HIGH_PASS_HZ = 0.1

# Shape of the passive expiration, exp(−(t/τ)^k): peak flow early, then a pause. k = 1.5 gives the
# rounded start and the sharp peak flow of a nasal pressure trace.
_DECAY_POWER = 1.5
# Time of the peak expiratory flow in τ, and the flow there: maximum of k·x^(k−1)·exp(−x^k).
_PEAK_AT = ((_DECAY_POWER - 1) / _DECAY_POWER) ** (1 / _DECAY_POWER)
_PEAK = _DECAY_POWER * _PEAK_AT ** (_DECAY_POWER - 1) * np.exp(-(_PEAK_AT**_DECAY_POWER))


def pause_constant_s(expiration_s: np.ndarray, decay_s: np.ndarray) -> np.ndarray:
    """Decay constant (s) of expirations that must be over when the next breath begins."""
    return np.minimum(decay_s, expiration_s / 2.4)


def effort(within_s: np.ndarray, inspiration_s: np.ndarray, decay_s: np.ndarray) -> np.ndarray:
    """Volume over a breath, 0 at its start and end, 1 at the end of inspiration."""
    rise = np.clip(within_s / inspiration_s, 0.0, 1.0)
    filled = 0.65 * (0.5 - 0.5 * np.cos(np.pi * rise)) + 0.35 * rise
    late = np.maximum(within_s - inspiration_s, 0.0) / decay_s
    return np.asarray(filled * np.exp(-(late**_DECAY_POWER)))


def airflow(
    within_s: np.ndarray,
    inspiration_s: np.ndarray,
    decay_s: np.ndarray,
    limitation: np.ndarray,
    skew: np.ndarray,
) -> np.ndarray:
    """Airflow over a breath, about +1 at its inspiratory and −1 at its expiratory peak.

    ``limitation`` 0 leaves the inspiration a sine (mean over peak 0.64), 1 is 0.70, 4 is 0.88; a
    ``skew`` below 1 puts its peak early.
    """
    rise = np.clip(within_s / inspiration_s, 0.0, 1.0) ** skew
    gain = np.maximum(limitation, 1e-3)
    into = np.tanh(gain * np.sin(np.pi * rise)) / np.tanh(gain)
    late = np.maximum(within_s - inspiration_s, 0.0) / decay_s
    out = _DECAY_POWER * np.sqrt(late) * np.exp(-(late**_DECAY_POWER)) / _PEAK
    return np.asarray(np.where(within_s < inspiration_s, into, -out))


def belt(
    rng: np.random.Generator, n: int, moved: np.ndarray, position: np.ndarray | None
) -> np.ndarray:
    """A belt's signal: noise, slow drift, and a new level and gain with each posture.

    The amplifier is AC-coupled: AASM 2.6 (III) asks for a low-frequency filter of 0.1 Hz.
    """
    signal = moved + 0.005 * rng.standard_normal(n) + drift(rng, n, 0.06)
    if position is None:
        return _coupled(signal)
    edges = np.concatenate([[0], np.flatnonzero(np.diff(position)) + 1, [len(position)]])
    gain, level = np.ones(len(position)), np.zeros(len(position))
    for first, last in pairwise(edges.tolist()):
        gain[first:last] = np.exp(0.15 * rng.standard_normal())
        level[first:last] = 0.25 * rng.standard_normal()
    at = np.minimum(np.arange(n) // (30 * RATE_HZ), len(position) - 1)
    width = 4 * RATE_HZ
    signal = signal * uniform_filter1d(gain[at], width, mode="nearest")
    return _coupled(signal + uniform_filter1d(level[at], width, mode="nearest"))


def _coupled(signal: np.ndarray) -> np.ndarray:
    """What a first-order high-pass leaves of a belt."""
    numerator, denominator = butter(1, BELT_HIGH_PASS_HZ, "highpass", fs=RATE_HZ)
    rest = lfilter_zi(numerator, denominator) * signal[:1]
    return np.asarray(lfilter(numerator, denominator, signal, zi=rest)[0])


def drift(rng: np.random.Generator, n: int, sd: float) -> np.ndarray:
    """Slow wander of a sensor's base line, smooth at the rate of breathing."""
    coarse = uniform_filter1d(slow_noise(rng, n // RATE_HZ + 2, 60.0), 25, mode="nearest")
    return np.asarray(sd * np.interp(np.arange(n) / RATE_HZ, np.arange(len(coarse)), coarse))
