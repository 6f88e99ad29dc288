"""Heart: beats that follow stage, breath, arousals and apneas; the ECG and the pulse rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from train.simulate.breathing import RespiratoryEvent
from train.simulate.eeg import RATE_HZ, slow_noise

__all__ = ["beat_times", "electrocardiogram", "pulse_rate"]

GRID_HZ = 8
# Rate relative to N2, and respiratory sinus arrhythmia (relative), by stage W N1 N2 N3 R.
STAGE_RATE = np.array([1.13, 1.05, 1.0, 0.98, 1.07])
SINUS_ARRHYTHMIA = np.array([0.025, 0.03, 0.04, 0.05, 0.02])
SLOW_SD = np.array([0.05, 0.04, 0.03, 0.018, 0.055])
# Amplitude (mV), delay from R (s), width (s) of P, Q, R, S, T.
WAVES = (
    (0.11, -0.165, 0.022),
    (-0.10, -0.030, 0.0085),
    (1.0, 0.0, 0.0105),
    (-0.20, 0.030, 0.0100),
    (0.26, 0.265, 0.048),
)
BEAT_BEFORE_S, BEAT_AFTER_S = 0.27, 0.47


def beat_times(
    rng: np.random.Generator,
    stages: np.ndarray,
    phase: np.ndarray,
    arousals_s: Sequence[tuple[float, float]],
    events: list[RespiratoryEvent],
) -> np.ndarray:
    """Times of the R peaks in seconds.

    ``phase`` is the breath cycle (0–1) at 64 Hz. Arousals raise the rate for about ten seconds;
    an apnea slows the heart and its end speeds it up.
    """
    n = len(stages) * 30 * GRID_HZ
    time_s = np.arange(n) / GRID_HZ
    stage = np.repeat(stages, 30 * GRID_HZ)
    smooth = np.ones(8 * GRID_HZ) / (8 * GRID_HZ)
    base = np.convolve(np.pad(STAGE_RATE[stage], 4 * GRID_HZ, mode="edge"), smooth, "same")
    base = base[4 * GRID_HZ : 4 * GRID_HZ + n]
    log_rate = np.log(base)
    log_rate += SLOW_SD[stage] * slow_noise(rng, n, 25.0 * GRID_HZ)
    log_rate += 0.5 * SLOW_SD[stage] * slow_noise(rng, n, 4.0 * GRID_HZ)
    breath = phase[:: 64 // GRID_HZ][:n]
    log_rate += SINUS_ARRHYTHMIA[stage] * rng.uniform(0.6, 1.5) * np.sin(2 * np.pi * (breath - 0.1))
    for start_s, end_s in arousals_s:
        _add_bump(log_rate, time_s, start_s - 0.5, 2.5, end_s - start_s, rng.uniform(0.08, 0.20))
    for event in events:
        slower = 0.0025 * min(event.duration_s, 40) * rng.uniform(0.5, 1.2)
        first, last = (int(edge * GRID_HZ) for edge in (event.onset_s, event.end_s))
        log_rate[first:last] -= slower * np.linspace(0, 1, max(last - first, 0))
        _add_bump(log_rate, time_s, event.end_s, 4.0, 3.0, rng.uniform(0.03, 0.12))
    resting = float(np.clip(rng.normal(62, 7), 48, 82))
    beats_per_s = np.clip(resting * np.exp(log_rate), 38, 150) / 60
    count = np.concatenate([[0.0], np.cumsum(beats_per_s) / GRID_HZ]) + rng.uniform(0, 1)
    whole = np.arange(np.ceil(count[0]), np.floor(count[-1]) + 1)
    beats = np.interp(whole, count, np.arange(n + 1) / GRID_HZ)
    return beats + 0.004 * rng.standard_normal(len(beats)).clip(-2.5, 2.5)


def _add_bump(
    log_rate: np.ndarray,
    time_s: np.ndarray,
    start_s: float,
    rise_s: float,
    hold_s: float,
    size: float,
) -> None:
    """Add a rise, a plateau and an exponential fall (τ 6 s) to the log rate, in place."""
    first = max(0, int(start_s * GRID_HZ))
    last = min(len(log_rate), int((start_s + rise_s + hold_s + 25) * GRID_HZ))
    if last <= first:
        return
    since = time_s[first:last] - start_s
    up = np.clip(since / rise_s, 0, 1)
    down = np.exp(-np.clip(since - rise_s - 0.5 * hold_s, 0, None) / 6.0)
    log_rate[first:last] += size * up * down


def electrocardiogram(
    rng: np.random.Generator, n: int, beats_s: np.ndarray, phase: np.ndarray
) -> np.ndarray:
    """ECG in mV at 128 Hz [n]: P-QRS-T at each beat, breathing in its amplitude, noise."""
    amplitude = rng.uniform(0.7, 1.3)
    scale = np.array([rng.uniform(0.7, 1.3) for _ in WAVES])
    scale[2] = 1.0
    interval = np.diff(beats_s, append=beats_s[-1:] + 1.0) if len(beats_s) else np.zeros(0)
    previous = np.concatenate([interval[:1], interval[:-1]])
    stretch = np.sqrt(np.clip(previous, 0.45, 1.5) / 0.95)
    breath = phase[np.clip((beats_s * 64).astype(int), 0, len(phase) - 1)]
    gain = amplitude * (
        1 + 0.07 * np.sin(2 * np.pi * breath) + 0.015 * rng.standard_normal(len(beats_s))
    )
    before, after = int(BEAT_BEFORE_S * RATE_HZ), int(BEAT_AFTER_S * RATE_HZ)
    start = np.floor(beats_s * RATE_HZ).astype(int)
    time_s = (start[:, None] + np.arange(-before, after)) / RATE_HZ - beats_s[:, None]
    wave = np.zeros_like(time_s)
    for (height, delay_s, width_s), factor in zip(WAVES, scale, strict=True):
        late = delay_s * (stretch[:, None] if delay_s > 0.1 else 1.0)
        wave += factor * height * np.exp(-0.5 * ((time_s - late) / width_s) ** 2)
    wave *= gain[:, None]
    trace = np.zeros(n + before + after + RATE_HZ)
    index = start[:, None] + np.arange(0, before + after)
    keep = (start >= 0) & (start < n)
    np.add.at(trace, index[keep], wave[keep])
    ecg = trace[before : before + n]
    breath_fast = np.repeat(phase, 2)[:n]
    ecg = ecg + 0.05 * np.sin(2 * np.pi * breath_fast) + 0.012 * rng.standard_normal(n)
    wander = slow_noise(rng, n // RATE_HZ + 2, 8.0)
    ecg += 0.04 * np.interp(np.arange(n) / RATE_HZ, np.arange(len(wander)), wander)
    return ecg.astype(np.float32)


def pulse_rate(n_seconds: int, beats_s: np.ndarray, average_s: float = 4.0) -> np.ndarray:
    """Heart rate as an oximeter shows it: mean over the last four seconds, whole bpm, 1 Hz."""
    middle = 0.5 * (beats_s[1:] + beats_s[:-1])
    rate = 60.0 / np.diff(beats_s)
    grid = np.arange(0, n_seconds, 0.25)
    instant = np.interp(grid, middle, rate)
    steps = int(average_s * 4)
    total = np.concatenate([np.full(steps, instant[0]), instant])
    mean = np.convolve(total, np.ones(steps) / steps, "valid")[1 : len(instant) + 1]
    return np.round(mean[::4][:n_seconds])
