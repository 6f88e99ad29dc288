"""Hum of the mains, measured on the signal as it was recorded.

The 64 samples a second on which everything else is measured end at 32 Hz: hum can neither be seen
nor do harm there, provided that the recording itself was fast enough to keep 50 or 60 Hz apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

if TYPE_CHECKING:
    from sleeplm.recording import Recording

__all__ = ["MAINS_HZ", "mains_share", "recorded_mains"]

MAINS_HZ = (50.0, 60.0)
_WAVEFORMS = ("EEG_C3_A2", "EEG_C4_A1", "EOG_L", "EOG_R", "EMG_CHIN", "ECG")
_LOWEST_HZ = 0.5
_HALF_WIDTH_HZ = 1.0
_NEIGHBOURS_HZ = 4.0
_WINDOW_S = 2.0
_EPOCHS_AT_ONCE = 64


def mains_share(trace: np.ndarray, rate_hz: float, epoch_s: float = 30.0) -> np.ndarray:
    """Share of 50 or 60 Hz, whichever is larger, in the power of each epoch.

    Power within 1 Hz of the line above what its neighbours (1–4 Hz off) lead one to expect, over
    all power from 0.5 Hz to half the sampling rate (Welch, windows of 2 s).

    Parameters
    ----------
    trace : array [n_samples], any unit, at its own rate
    rate_hz : float

    Returns
    -------
    array [n_epochs], %; all nan where the rate is too low to show either line.
    """
    per_epoch = round(epoch_s * rate_hz)
    n_epochs = len(trace) // per_epoch
    shares = np.full(n_epochs, np.nan)
    lines = [hz for hz in MAINS_HZ if hz + _NEIGHBOURS_HZ <= rate_hz / 2]
    if not lines:
        return shares
    for first in range(0, n_epochs, _EPOCHS_AT_ONCE):
        last = min(first + _EPOCHS_AT_ONCE, n_epochs)
        epochs = np.asarray(trace[first * per_epoch : last * per_epoch], dtype=np.float64)
        epochs = np.nan_to_num(epochs).reshape(last - first, per_epoch)
        frequencies_hz, density = signal.welch(
            epochs, fs=rate_hz, nperseg=round(_WINDOW_S * rate_hz), axis=1
        )
        total = density[:, frequencies_hz >= _LOWEST_HZ].sum(axis=1)
        excess = np.zeros(last - first)
        for line_hz in lines:
            away = np.abs(frequencies_hz - line_hz)
            near = away <= _HALF_WIDTH_HZ
            beside = (away > _HALF_WIDTH_HZ) & (away <= _NEIGHBOURS_HZ)
            expected = np.median(density[:, beside], axis=1) * near.sum()
            excess = np.maximum(excess, density[:, near].sum(axis=1) - expected)
        with np.errstate(invalid="ignore", divide="ignore"):
            shares[first:last] = np.where(total > 0, 100.0 * excess / total, np.nan)
    return shares


def recorded_mains(
    recording: Recording, channels: Sequence[str] = _WAVEFORMS
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Mains share of a recording's electrical channels, read again at their own rate.

    Parameters
    ----------
    recording : Recording
        From a file in EDF or BDF.
    channels : sequence of str

    Returns
    -------
    mains_pct : dict of channel → array [n_epochs]
    not_judged : dict of channel → str
        Why a channel that is present could not be judged.
    """
    present = [name for name in channels if recording.sources.get(name) is not None]
    shares: dict[str, np.ndarray] = {}
    reasons: dict[str, str] = {}
    native = _native(recording, present)
    for name in present:
        source = recording.sources[name]
        assert source is not None
        if source.rate_hz / 2 < MAINS_HZ[0] + _NEIGHBOURS_HZ:
            reasons[name] = f"it was recorded at {source.rate_hz:g} Hz, too slow to show 50 Hz"
        elif name not in native:
            reasons[name] = "its samples as recorded are not at hand"
        else:
            rate_hz, trace = native[name]
            shares[name] = mains_share(trace, rate_hz)
    return shares, reasons


def _native(
    recording: Recording, channels: Sequence[str]
) -> Mapping[str, tuple[float, np.ndarray]]:
    """Channels as the file holds them, by label; differences of labels are taken."""
    from sleeplm.edf_header import is_edf, read_edf_header, read_samples

    path = recording.path
    # In a file with gaps the samples do not lie where the clock says.
    if path is None or not path.is_file() or recording.gaps or not is_edf(path):
        return {}
    edf = read_edf_header(path)
    index: dict[str, int] = {}
    for number, entry in enumerate(edf.signals):
        if not entry.is_annotation and not entry.problem:
            index.setdefault(entry.label, number)
    wanted: dict[str, list[int]] = {}
    for name in channels:
        source = recording.sources[name]
        assert source is not None
        labels = source.derivation.split(" − ") if source.derivation else [source.label]
        if all(label in index for label in labels) and len(labels) <= 2:
            wanted[name] = [index[label] for label in labels]
    needed = sorted({number for numbers in wanted.values() for number in numbers})
    digital = read_samples(edf, needed)
    found = {}
    for name, numbers in wanted.items():
        rates = {float(edf.rate_hz(edf.signals[number])) for number in numbers}
        if len(rates) > 1:
            continue
        traces = [
            edf.signals[number].to_physical(digital[number].reshape(-1)) for number in numbers
        ]
        trace = traces[0] if len(traces) == 1 else traces[0] - traces[1]
        found[name] = (rates.pop(), trace)
    return found
