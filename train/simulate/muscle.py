"""Chin EMG: tone by stage, bursts with arousals and movements, atonia and twitches in R."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.signal import butter, lfilter, sosfilt

from train.simulate.eeg import RATE_HZ, slow_noise, smooth_gate

__all__ = ["chin_muscle"]

# Root mean square in µV by stage W N1 N2 N3 R, 10–60 Hz.
TONE_UV = np.array([14.0, 7.0, 5.0, 4.2, 1.8])


# The surface EMG of the chin falls by some 9 dB from 10 to 31 Hz at the rate of 64 Hz (real PSG).
BAND_HZ = (8.0, 45.0)
KNEE_HZ = 16.0
# Without atonia, R keeps part of the tone of N2, and twitches come in dense runs.
TWITCHES_PER_S, UNBOUND_TWITCHES_PER_S = 0.02, 0.35


def chin_muscle(
    rng: np.random.Generator,
    seconds: np.ndarray,
    arousals_s: Sequence[tuple[float, float]],
    movements_s: Sequence[tuple[float, float]],
    *,
    atonia: float = 1.0,
) -> np.ndarray:
    """Chin EMG in µV at 128 Hz for the stage of every second.

    ``atonia`` is 1 in normal R and 0 in REM sleep without atonia: tonic activity in runs of
    R, and phasic activity in most of its mini-epochs.
    """
    n = len(seconds) * RATE_HZ
    noise = _muscle_noise(rng, n)
    lost = float(np.clip(1 - atonia, 0, 1))
    rem = seconds == 4
    log_tone = np.log(TONE_UV[seconds]) + np.where(seconds == 0, 0.3, 0.16) * slow_noise(
        rng, len(seconds), 45.0
    )
    log_tone += 0.12 * slow_noise(rng, len(seconds), 3.0)
    tonic = slow_noise(rng, len(seconds), 40.0) > 0.2
    log_tone += np.where(rem, lost * np.where(tonic, 1.1, 0.3), 0.0)
    log_tone = np.convolve(np.pad(log_tone, 1, mode="edge"), np.ones(3) / 3, "valid")
    gain = rng.uniform(0.8, 1.25)
    tone = gain * np.exp(np.interp(np.arange(n) / RATE_HZ, np.arange(len(seconds)) + 0.5, log_tone))
    # Twitches gather in phasic R.
    phasic = np.exp(0.8 * slow_noise(rng, len(seconds), 30.0) - 0.32)
    per_s = (1 - lost) * TWITCHES_PER_S + lost * UNBOUND_TWITCHES_PER_S
    twitch_s = np.flatnonzero(rem & (rng.random(len(seconds)) < per_s * phasic))
    twitch = [(float(at), at + rng.uniform(0.1, 0.6 + 1.2 * lost)) for at in twitch_s]
    bursts = smooth_gate(n, arousals_s, rng.uniform(9, 22, len(arousals_s)), 0.3)
    bursts += smooth_gate(n, twitch, rng.uniform(4, 14, len(twitch)) * (1 + lost), 0.05)
    bursts += smooth_gate(n, movements_s, rng.uniform(30, 70, len(movements_s)), 0.4)
    return (noise * np.hypot(tone, gain * bursts)).astype(np.float32)


def _muscle_noise(rng: np.random.Generator, n: int) -> np.ndarray:
    """Noise with the spectrum of motor units under a surface electrode, unit SD."""
    band = butter(2, BAND_HZ, "bandpass", fs=RATE_HZ, output="sos")
    noise = sosfilt(band, rng.standard_normal(n))
    keep = np.exp(-2 * np.pi * KNEE_HZ / RATE_HZ)
    noise = lfilter([1 - keep], [1.0, -keep], noise)
    return noise / noise.std()
