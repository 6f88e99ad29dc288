"""Leg EMG: no channel of the model, so it is read from the file to score limb movements."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sleeplm.edf_header import is_edf, read_edf_header, read_samples
from sleeplm.errors import RecordingError
from sleeplm.montage import normalise_label

__all__ = ["LEAST_LEG_RATE_HZ", "LegEmg", "leg_signals"]

LEAST_LEG_RATE_HZ = 100.0
"""Muscle bursts lie above 10 Hz and reach past 50: slower channels hold an envelope or a trend."""
_LEFT = re.compile(r"(emg)?(leftleg|legl|legleft|lleg|lat|tibl|tibleft|lefttib|leftta|tal)(ant)?")
_RIGHT = re.compile(r"(emg)?(rightleg|legr|legright|rleg|rat|tibr|tibright|righttib|rightta|tar)")
_EITHER = re.compile(r"(emg)?(leg|legs|tib|tibant|tibialis|emgleg|emgtib)")
_MICROVOLTS = {"v": 1e6, "mv": 1e3, "uv": 1.0}


@dataclass(frozen=True)
class LegEmg:
    """Leg EMG of a recording.

    Attributes
    ----------
    signals : dict of ``"left"``, ``"right"`` to float64 array, µV
        Empty where there is none; an unsided channel is called ``"left"``.
    rate_hz : float
    reason : str or None
        Why there is none.
    """

    signals: dict[str, np.ndarray] = field(default_factory=dict)
    rate_hz: float = 0.0
    reason: str | None = None


def leg_signals(path: Path | None) -> LegEmg:
    """Leg EMG of an EDF file by its whole label (never by a part of one)."""
    if path is None or not path.is_file() or not is_edf(path):
        return LegEmg(reason="no leg EMG channel")
    try:
        edf = read_edf_header(path)
    except RecordingError:
        return LegEmg(reason="no leg EMG channel can be read")
    if edf.discontinuous:
        return LegEmg(reason="leg EMG is not read from a recording with gaps")
    found: dict[str, int] = {}
    for index, signal in enumerate(edf.signals):
        label = normalise_label(signal.label)
        for side, pattern in (("left", _LEFT), ("right", _RIGHT), ("unsided", _EITHER)):
            if not signal.is_annotation and not signal.problem and pattern.fullmatch(label):
                found.setdefault(side, index)
    if "left" not in found and "right" not in found and "unsided" in found:
        found["left"] = found["unsided"]
    found.pop("unsided", None)
    if not found:
        return LegEmg(reason="no leg EMG channel")
    rates = {float(edf.rate_hz(edf.signals[index])) for index in found.values()}
    if len(rates) > 1 or min(rates) < LEAST_LEG_RATE_HZ:
        return LegEmg(reason=f"leg EMG is stored at {min(rates):g} Hz, too slow for muscle bursts")
    samples = read_samples(edf, list(found.values()))
    signals = {}
    for side, index in found.items():
        unit = edf.signals[index].unit.strip().casefold().replace("µ", "u").replace("μ", "u")
        if unit not in _MICROVOLTS:
            return LegEmg(reason="leg EMG has no unit of voltage, and its rule is in µV")
        values = edf.signals[index].to_physical(samples[index].reshape(-1)).astype(np.float64)
        signals[side] = values * _MICROVOLTS[unit]
    return LegEmg(signals, rates.pop())
