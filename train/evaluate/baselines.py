"""What needs no model: features of the signals, rules, and outside scorers.

A method whose library is missing gives :class:`NotMeasured`, whose text goes into the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sleeplm.errors import SleepLMError
from sleeplm.physiology import desaturations
from sleeplm.scoring import EPOCH_S, Event

if TYPE_CHECKING:
    from sleeplm.recording import Recording

__all__ = [
    "WAVE_CHANNELS",
    "NotMeasured",
    "band_features",
    "feature_names",
    "ruled_desaturations",
    "signal_features",
    "standardised",
    "yasa_stages",
]

RATE_HZ = 64
EPOCH_SAMPLES = 1920
BANDS_HZ = (
    (0.1, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, 8.0),
    (8.0, 12.0), (12.0, 16.0), (16.0, 24.0), (24.0, 31.0),
)  # fmt: skip
WAVE_CHANNELS = (
    "ECG", "ABD", "THX", "AF", "EOG_L", "EOG_R", "EEG_C3_A2", "EEG_C4_A1", "EMG_CHIN",
)  # fmt: skip
SLOW_CHANNELS = ("SPO2", "HR")
SLOW_FEATURES = ("mean", "range", "sd")


class NotMeasured(SleepLMError):
    """A baseline cannot be had here; its text says why, for the table."""


def band_features(epochs: np.ndarray, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Log band powers of one channel, [n, samples] → [n, 10].

    Nine shares of the epoch's power between 0.1 and 31 Hz (log10), and its total against the
    recording's median (log10), so that neither gain nor unit matters.
    """
    from scipy.signal import welch

    frequency, density = welch(epochs, rate_hz, nperseg=10 * rate_hz, axis=-1)
    powers = np.stack(
        [density[:, (frequency >= low) & (frequency < high)].sum(axis=1) for low, high in BANDS_HZ],
        axis=1,
    )
    total = powers.sum(axis=1, keepdims=True)
    usual = max(float(np.median(total)), 1e-30)
    shares = np.log10(np.maximum(powers / np.maximum(total, 1e-30), 1e-5))
    return np.column_stack([shares, np.log10(np.maximum(total / usual, 1e-5))])


def feature_names(channels: Sequence[str] | None = None) -> list[str]:
    """Names of the columns of :func:`signal_features`; of some channels only where named."""
    names = [
        f"{channel}:{low}-{high}"
        for channel in WAVE_CHANNELS
        for low, high in (*BANDS_HZ, ("total", "total"))
    ]
    names += [f"{channel}:{what}" for channel in SLOW_CHANNELS for what in SLOW_FEATURES]
    if channels is None:
        return names
    return [name for name in names if name.partition(":")[0] in channels]


def signal_features(signals: Mapping[str, np.ndarray], n_epochs: int) -> np.ndarray:
    """Band powers of every wave channel, and level and spread of SpO2 and heart rate.

    Returns
    -------
    float32 array [n_epochs, F]
        Columns by :func:`feature_names`; 0 for channels that are missing.
    """
    parts = []
    for channel in WAVE_CHANNELS:
        if channel in signals:
            samples = np.nan_to_num(_epochs(signals[channel], n_epochs))
            parts.append(band_features(samples))
        else:
            parts.append(np.zeros((n_epochs, len(BANDS_HZ) + 1)))
    for channel in SLOW_CHANNELS:
        if channel in signals:
            parts.append(_levels(_epochs(signals[channel], n_epochs)))
        else:
            parts.append(np.zeros((n_epochs, len(SLOW_FEATURES))))
    return np.concatenate(parts, axis=1).astype(np.float32)


def standardised(features: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Features in standard deviations from the mean of those of ``by``, clipped at ±5.

    A column that hardly varies there would otherwise outweigh all others.
    """
    center, spread = by.mean(axis=0, dtype=float), by.std(axis=0, dtype=float)
    return np.clip((features - center) / np.where(spread > 1e-6, spread, 1.0), -5.0, 5.0)


def _epochs(samples: np.ndarray, n_epochs: int) -> np.ndarray:
    return np.asarray(samples, float)[: n_epochs * EPOCH_SAMPLES].reshape(n_epochs, -1)


def _levels(epochs: np.ndarray) -> np.ndarray:
    """Mean, range and standard deviation of plausible samples, [n, 3]; 0 where there are none."""
    table = np.zeros((len(epochs), len(SLOW_FEATURES)))
    for row, samples in enumerate(epochs):
        known = samples[(samples > 20) & (samples < 250)]
        if known.size:
            table[row] = known.mean(), np.ptp(known), known.std()
    return table


def ruled_desaturations(spo2_pct: np.ndarray | None, rate_hz: float = RATE_HZ) -> list[Event]:
    """Falls of SpO2 by 3 points or more (:func:`sleeplm.physiology.desaturations`), as events."""
    if spo2_pct is None:
        return []
    return [
        Event("desaturation", onset_s, duration_s)
        for onset_s, duration_s, _, _ in desaturations(spo2_pct, rate_hz=rate_hz)
    ]


def yasa_stages(recording: Recording) -> list[str]:
    """Stages by YASA from the recording's EEG (EOG and chin EMG where there).

    Raises
    ------
    NotMeasured
        YASA is not installed, there is no EEG, or the recording is shorter than it needs.
    """
    try:
        import yasa  # noqa: F401
    except ImportError:
        raise NotMeasured("yasa is not installed") from None
    from sleeplm.autoscore.channels import usable_channels
    from sleeplm.autoscore.staging import LEAST_STAGING_S, stage

    usable = usable_channels(recording)
    if usable.eeg is None:
        raise NotMeasured("no usable EEG")
    if recording.n_epochs * EPOCH_S < LEAST_STAGING_S:
        raise NotMeasured(f"yasa needs {LEAST_STAGING_S / 60:.0f} minutes")
    return list(stage(usable)[0])
