"""Signal quality of each channel and epoch: lost, flat, clipped, implausible."""

from __future__ import annotations

from enum import IntFlag

import numpy as np

__all__ = ["Quality", "channel_quality"]


class Quality(IntFlag):
    """What is wrong with an epoch of a channel; 0 is good."""

    GOOD = 0
    LOST = 1  # samples are missing (gaps)
    FLAT = 2  # the signal does not move
    CLIPPED = 4  # it rests on its own rail
    IMPLAUSIBLE = 8  # of an amplitude that the body does not make


#: Peak-to-peak limits within an epoch, in the channel's unit (µV; mV for the ECG). Below the first
#: the electrode is off or the input shorted, above the second it is no biological signal.
_PLAUSIBLE_RANGE: dict[str, tuple[float, float]] = {
    "EEG_C3_A2": (2.0, 2000.0),
    "EEG_C4_A1": (2.0, 2000.0),
    "EOG_L": (2.0, 4000.0),
    "EOG_R": (2.0, 4000.0),
    "EMG_CHIN": (0.2, 5000.0),
    "ECG": (0.02, 20.0),
}
_WAVEFORMS = (*_PLAUSIBLE_RANGE, "ABD", "THX", "AF")
_PLAUSIBLE_VALUES = {"SPO2": (40.0, 100.5), "HR": (20.0, 240.0)}
_MOST_LOST = 0.2
_MOST_FLAT = 0.5
_MOST_CLIPPED = 0.05


def channel_quality(name: str, epochs: np.ndarray) -> np.ndarray:
    """Quality flags of one channel.

    Parameters
    ----------
    name : str
        House name of the channel (``"ECG"`` …): limits are per kind of signal.
    epochs : array [n_epochs, n_samples]
        Physical units; nan where samples are missing.

    Returns
    -------
    array [n_epochs] of uint8, an or of :class:`Quality`.
    """
    flags = np.zeros(len(epochs), dtype=np.uint8)
    lost = ~np.isfinite(epochs)
    flags[lost.mean(axis=1) > _MOST_LOST] |= np.uint8(Quality.LOST)
    filled = np.where(lost, 0.0, epochs)
    if name in _PLAUSIBLE_VALUES:
        low, high = _PLAUSIBLE_VALUES[name]
        implausible = lost | (filled < low) | (filled > high)
        flags[implausible.mean(axis=1) > _MOST_FLAT] |= np.uint8(Quality.IMPLAUSIBLE)
        return flags
    if name not in _WAVEFORMS:
        return flags
    highest, lowest = filled.max(axis=1), filled.min(axis=1)
    span = highest - lowest
    still = np.abs(np.diff(filled, axis=1)) <= 1e-4 * np.maximum(span, 1e-12)[:, None]
    # A slow belt interpolated from 10 Hz moves at every step, a dead one at none.
    flags[(span == 0) | (still.mean(axis=1) > _MOST_FLAT)] |= np.uint8(Quality.FLAT)
    rail = 1e-3 * span[:, None]
    on_rail = (filled >= highest[:, None] - rail) | (filled <= lowest[:, None] + rail)
    resting = on_rail[:, 1:] & still
    flags[(span > 0) & (resting.mean(axis=1) > _MOST_CLIPPED)] |= np.uint8(Quality.CLIPPED)
    if name in _PLAUSIBLE_RANGE:
        low, high = _PLAUSIBLE_RANGE[name]
        flags[(span < low) | (span > high)] |= np.uint8(Quality.IMPLAUSIBLE)
    return flags
