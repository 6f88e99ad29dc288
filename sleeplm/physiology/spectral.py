"""Relative spectral power of EEG and EOG, one value per epoch."""

from __future__ import annotations

import numpy as np
from scipy import signal

__all__ = ["EEG_BANDS_HZ", "EOG_BANDS_HZ", "epoch_spectra", "relative_band_powers"]

#: AASM bands (Manual for the Scoring of Sleep, v3, section IV) for delta to alpha; sigma is the
#: spindle band. Together they cover the total without a gap, so the five shares add to 100 %.
EEG_BANDS_HZ: dict[str, tuple[float, float]] = {
    "delta": (0.5, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 12.0),
    "sigma": (12.0, 15.0),
    "beta": (15.0, 30.0),
}
#: Slow rolling movements deflect for more than 500 ms, saccades for less (AASM, section IV), which
#: puts the power of the former below 1 Hz and of the latter above; 0.3 Hz is AASM's EOG high-pass.
EOG_BANDS_HZ: dict[str, tuple[float, float]] = {"slow": (0.3, 1.0), "saccade": (1.0, 8.0)}


def epoch_spectra(
    epochs: np.ndarray, rate_hz: float, window_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """Power spectral density of each epoch by Welch's method (IEEE Trans. Audio 15:70, 1967).

    Parameters
    ----------
    epochs : array [n_epochs, n_samples]
    rate_hz : float
    window_s : float
        Length of the Hann windows, which overlap by half; the resolution is 1 / ``window_s``.

    Returns
    -------
    frequencies_hz : array [n_frequencies]
    density : array [n_epochs, n_frequencies], unit² / Hz
    """
    length = min(round(window_s * rate_hz), epochs.shape[-1])
    frequencies_hz, density = signal.welch(epochs, fs=rate_hz, nperseg=length, axis=-1)
    return frequencies_hz, density


def relative_band_powers(
    epochs: np.ndarray,
    rate_hz: float,
    bands_hz: dict[str, tuple[float, float]],
    total_hz: tuple[float, float],
    window_s: float = 4.0,
) -> dict[str, np.ndarray]:
    """Share of each band in the power of ``total_hz``, in percent.

    Returns
    -------
    dict of band name → array [n_epochs], nan where an epoch has no power at all.
    """
    frequencies_hz, density = epoch_spectra(epochs, rate_hz, window_s)

    def power(low_hz: float, high_hz: float) -> np.ndarray:
        inside = (frequencies_hz >= low_hz) & (frequencies_hz < high_hz)
        return np.asarray(density[:, inside].sum(axis=1))

    total = power(*total_hz)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            name: np.where(total > 0, 100.0 * power(low, high) / total, np.nan)
            for name, (low, high) in bands_hz.items()
        }
