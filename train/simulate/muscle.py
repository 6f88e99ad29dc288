"""Chin EMG: tone by stage, bursts with arousals and movements, atonia and twitches in R."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.signal import butter, sosfilt

from train.simulate.eeg import RATE_HZ, slow_noise, smooth_gate

__all__ = ["chin_muscle"]

# Root mean square in µV by stage W N1 N2 N3 R, 10–60 Hz.
TONE_UV = np.array([14.0, 7.0, 5.0, 4.2, 1.8])


def chin_muscle(
    rng: np.random.Generator,
    seconds: np.ndarray,
    arousals_s: Sequence[tuple[float, float]],
    movements_s: Sequence[tuple[float, float]],
) -> np.ndarray:
    """Chin EMG in µV at 128 Hz for the stage of every second."""
    n = len(seconds) * RATE_HZ
    band = butter(2, [10, 60], "bandpass", fs=RATE_HZ, output="sos")
    noise = sosfilt(band, rng.standard_normal(n))
    noise /= noise.std()
    log_tone = np.log(TONE_UV[seconds]) + np.where(seconds == 0, 0.3, 0.16) * slow_noise(
        rng, len(seconds), 45.0
    )
    log_tone += 0.12 * slow_noise(rng, len(seconds), 3.0)
    log_tone = np.convolve(np.pad(log_tone, 1, mode="edge"), np.ones(3) / 3, "valid")
    gain = rng.uniform(0.8, 1.25)
    tone = gain * np.exp(np.interp(np.arange(n) / RATE_HZ, np.arange(len(seconds)) + 0.5, log_tone))
    twitch_s = np.flatnonzero((seconds == 4) & (rng.random(len(seconds)) < 0.02))
    twitch = [(float(at), at + rng.uniform(0.15, 0.6)) for at in twitch_s]
    bursts = smooth_gate(n, arousals_s, rng.uniform(9, 22, len(arousals_s)), 0.3)
    bursts += smooth_gate(n, twitch, rng.uniform(4, 14, len(twitch)), 0.05)
    bursts += smooth_gate(n, movements_s, rng.uniform(30, 70, len(movements_s)), 0.4)
    return (noise * np.hypot(tone, gain * bursts)).astype(np.float32)
