"""Eye movements at E1-M2 and E2-M1: saccades, blinks, slow rolling; out of phase at both eyes."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from train.simulate.eeg import RATE_HZ, slow_noise

__all__ = ["eye_movements", "eye_spread"]

# Bursts of rapid eye movements a minute in R, gaze SD in µV, amplifier high-pass in Hz.
REM_BURSTS_PER_MIN = 6.0
GAZE_UV = 55.0
HIGH_PASS_HZ = 0.3


def eye_movements(
    rng: np.random.Generator,
    seconds: np.ndarray,
    *,
    rem_density: float = 1.0,
    blink_rate: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """(left, right) in µV at 128 Hz for the stage of every second (W N1 N2 N3 R = 0–4).

    ``rem_density`` and ``blink_rate`` are factors on bursts of rapid eye movements in R and on
    blinks in W.
    """
    n = len(seconds) * RATE_HZ
    gaze = _steps(n, *_saccades(rng, seconds, rem_density))
    rolling = _rolling(rng, seconds, n)
    blinks = _blinks(rng, seconds, n, blink_rate)
    keep = np.exp(-2 * np.pi * HIGH_PASS_HZ / RATE_HZ)
    horizontal = lfilter([1.0, -1.0], [1.0, -keep], gaze + rolling)
    left = rng.uniform(0.85, 1.15) * horizontal + blinks
    right = -rng.uniform(0.85, 1.15) * horizontal - rng.uniform(0.3, 0.7) * blinks
    return left.astype(np.float32), right.astype(np.float32)


def eye_spread(
    rng: np.random.Generator, left: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What C3-M2 and C4-M1 see of eye movements and blinks, in µV: add it to the EEG.

    The corneo-retinal field spreads over the head: a tenth to a fifth of it reaches the central
    leads. E1 is referred to the same mastoid as C3, so that both also share what M2 sees.
    """
    share = rng.uniform(0.1, 0.22)
    skew = rng.uniform(0.9, 1.1)
    return (share * left).astype(np.float32), (share * skew * right).astype(np.float32)


def _saccades(
    rng: np.random.Generator, seconds: np.ndarray, rem_density: float
) -> tuple[np.ndarray, np.ndarray]:
    """Times (s) of saccades and the gaze after each (µV); density in R waxes and wanes."""
    times: list[np.ndarray] = []
    phasic = np.exp(0.7 * slow_noise(rng, len(seconds), 45.0))
    phasic /= phasic.mean()
    rate = np.where(seconds == 4, rem_density * REM_BURSTS_PER_MIN / 60 * phasic, 0.0)
    rate = np.where(seconds == 0, 0.12, rate)
    starts = np.flatnonzero(rng.random(len(seconds)) < rate)
    for start in starts:
        inside = int(rng.integers(1, 6)) if seconds[start] == 4 else int(rng.integers(1, 3))
        times.append(start + np.sort(rng.uniform(0, 0.55 * inside + 0.3, inside)))
    if not times:
        return np.zeros(0), np.zeros(0)
    at = np.sort(np.concatenate(times))
    stage = seconds[np.clip(at.astype(int), 0, len(seconds) - 1)]
    scale = np.where(stage == 0, 0.8 * GAZE_UV, GAZE_UV)
    return at, scale * rng.standard_normal(len(at))


def _steps(n: int, at_s: np.ndarray, gaze_uv: np.ndarray) -> np.ndarray:
    """Gaze held between saccades of about 50 ms."""
    if not len(at_s):
        return np.zeros(n)
    index = np.searchsorted(at_s, np.arange(n) / RATE_HZ, side="right")
    held = np.concatenate([[0.0], gaze_uv])[index]
    kernel = np.hanning(9)
    return np.convolve(held, kernel / kernel.sum(), "same")


def _rolling(rng: np.random.Generator, seconds: np.ndarray, n: int) -> np.ndarray:
    """Slow rolling eye movements of drowsiness: 25–90 µV, 2–5 s a swing."""
    hz = 0.5 / np.clip(2.9 + 0.8 * slow_noise(rng, len(seconds), 6.0), 1.8, 5.0)
    level = np.where(seconds == 1, 1.0, 0.0) + np.where(seconds == 0, 0.15, 0.0)
    fades = np.clip(0.75 + 0.6 * slow_noise(rng, len(seconds), 5.0), 0, 1.5)
    level = np.convolve(level * fades, np.ones(3) / 3, "same") * 55.0
    at = np.arange(n) / RATE_HZ
    grid = np.arange(len(seconds)) + 0.5
    phase = 2 * np.pi * np.cumsum(np.interp(at, grid, hz)) / RATE_HZ
    return np.interp(at, grid, level) * np.sin(phase)


def _blinks(rng: np.random.Generator, seconds: np.ndarray, n: int, blink_rate: float) -> np.ndarray:
    """Blinks of wake, 60–180 µV, about 0.3 s, in runs while the eyes are open."""
    open_eyes = slow_noise(rng, len(seconds), 40.0) > 0.2
    rate = np.where((seconds == 0) & open_eyes, 0.28, np.where(seconds == 0, 0.03, 0.0))
    starts = np.flatnonzero(rng.random(len(seconds)) < blink_rate * rate)
    length = int(0.45 * RATE_HZ)
    trace = np.zeros(n + length + RATE_HZ)
    onset = starts * RATE_HZ + rng.integers(0, RATE_HZ, len(starts))
    time_s = np.arange(length) / RATE_HZ
    width = rng.uniform(0.05, 0.085, len(starts))[:, None]
    shape = np.exp(-0.5 * ((time_s - 0.2) / width) ** 2)
    np.add.at(
        trace,
        onset[:, None] + np.arange(length),
        shape * rng.uniform(60, 180, len(starts))[:, None],
    )
    return trace[:n]
