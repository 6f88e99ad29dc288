"""Bring one channel from its own rate to the model's 64 Hz without moving it in time."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

__all__ = ["RATE_HZ", "hold", "resample"]

RATE_HZ = 64
_LARGEST_FACTOR = 20_000
_PHASES = 2048
_ZERO_CROSSINGS = 12
_CHUNK = 65_536


def n_at_model_rate(n_samples: int, rate_hz: Fraction) -> int:
    """Samples at 64 Hz that lie within ``n_samples`` at ``rate_hz``, rounded to the nearest."""
    return round(n_samples * RATE_HZ / rate_hz)


def resample(values: np.ndarray, rate_hz: Fraction | float) -> np.ndarray:
    """A waveform at 64 Hz: band-limited, sample 0 stays at time 0, no drift over the night.

    Rates whose ratio to 64 Hz is a fraction of moderate terms go through a polyphase filter;
    any other (199.9997 Hz …) through a windowed sinc evaluated at the exact times.

    Parameters
    ----------
    values : float32 array [n]
    rate_hz : Fraction or float

    Returns
    -------
    float32 array [round(n · 64 / rate)]
    """
    rate = Fraction(rate_hz).limit_denominator(10**9)
    n_out = n_at_model_rate(len(values), rate)
    if n_out == 0 or len(values) == 0:
        return np.zeros(n_out, dtype=np.float32)
    values = np.asarray(values, dtype=np.float32)
    ratio = Fraction(RATE_HZ) / rate
    if ratio == 1:
        return values[:n_out].copy()
    if len(values) < 4:
        return hold(values, rate)
    if max(ratio.numerator, ratio.denominator) <= _LARGEST_FACTOR:
        from scipy.signal import resample_poly

        out = resample_poly(values, ratio.numerator, ratio.denominator, padtype="line")
    else:
        out = _windowed_sinc(values, float(rate), n_out)
    return _fit(np.asarray(out, dtype=np.float32), n_out)


def hold(values: np.ndarray, rate_hz: Fraction | float) -> np.ndarray:
    """Codes and slow numbers at 64 Hz: each sample lasts until the next one. No value is made up.

    A sample stands for the time from itself to the next (saturation at 1 Hz, position codes), so
    a step does not ring and no code between two codes appears.
    """
    rate = Fraction(rate_hz).limit_denominator(10**9)
    n_out = n_at_model_rate(len(values), rate)
    times = np.arange(n_out, dtype=np.float64)
    index = np.floor(times * float(rate / RATE_HZ) + 1e-9).astype(np.int64)
    return np.asarray(values, dtype=np.float32)[np.minimum(index, len(values) - 1)]


def _fit(values: np.ndarray, n_out: int) -> np.ndarray:
    if len(values) >= n_out:
        return values[:n_out]
    return np.pad(values, (0, n_out - len(values)), mode="edge")


def _windowed_sinc(values: np.ndarray, rate_hz: float, n_out: int) -> np.ndarray:
    """Kaiser-windowed sinc from a table of phases, at the exact output times."""
    cutoff = min(1.0, RATE_HZ / rate_hz) * 0.94
    half = int(np.ceil(_ZERO_CROSSINGS / cutoff))
    offsets = np.arange(-half + 1, half + 1)
    phases = np.arange(_PHASES + 1)[:, None] / _PHASES
    distance = offsets[None, :] - phases
    window = np.i0(8.0 * np.sqrt(np.clip(1 - (distance / half) ** 2, 0, 1))) / np.i0(8.0)
    kernel = cutoff * np.sinc(cutoff * distance) * window
    kernel = (kernel / kernel.sum(axis=1, keepdims=True)).astype(np.float32)
    padded = np.pad(values, (half, half + 1), mode="edge")
    out = np.empty(n_out, dtype=np.float32)
    for first in range(0, n_out, _CHUNK):
        place = np.arange(first, min(first + _CHUNK, n_out)) * (rate_hz / RATE_HZ)
        whole = np.floor(place).astype(np.int64)
        phase = np.rint((place - whole) * _PHASES).astype(np.int64)
        taps = np.minimum(whole[:, None] + offsets[None, :] + half, len(padded) - 1)
        out[first : first + len(place)] = np.einsum("nk,nk->n", padded[taps], kernel[phase])
    return out
