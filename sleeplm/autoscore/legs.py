"""Leg EMG: no channel of the model, so it is read from the file to score limb movements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sleeplm.edf_header import EdfSignal, is_edf, read_edf_header, read_samples
from sleeplm.errors import RecordingError
from sleeplm.montage import alias_table, normalise_label

__all__ = ["LEAST_LEG_RATE_HZ", "LegEmg", "leg_signals"]

LEAST_LEG_RATE_HZ = 100.0
"""Muscle bursts lie above 10 Hz and reach past 50: slower channels hold an envelope or a trend."""
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
    found = _found([signal.label if _usable(signal) else "" for signal in edf.signals])
    if not found:
        return LegEmg(reason="no leg EMG channel")
    used = sorted({index for pair in found.values() for index in pair if index is not None})
    rates = {float(edf.rate_hz(edf.signals[index])) for index in used}
    if len(rates) > 1 or min(rates) < LEAST_LEG_RATE_HZ:
        return LegEmg(reason=f"leg EMG is stored at {min(rates):g} Hz, too slow for muscle bursts")
    samples = read_samples(edf, used)
    in_uv = {}
    for index in used:
        unit = edf.signals[index].unit.strip().casefold().replace("µ", "u").replace("μ", "u")
        if unit not in _MICROVOLTS:
            return LegEmg(reason="leg EMG has no unit of voltage, and its rule is in µV")
        values = edf.signals[index].to_physical(samples[index].reshape(-1)).astype(np.float64)
        in_uv[index] = values * _MICROVOLTS[unit]
    signals = {
        side: in_uv[plus] if minus is None else in_uv[plus] - in_uv[minus]
        for side, (plus, minus) in found.items()
    }
    return LegEmg(signals, rates.pop())


def _usable(signal: EdfSignal) -> bool:
    return not signal.is_annotation and not signal.problem


def _found(labels: Sequence[str]) -> dict[str, tuple[int, int | None]]:
    """The signals of each leg, by the alias table: one, or two electrodes to subtract.

    A label may begin or end with "EMG", as channel types do.
    """
    place: dict[str, int] = {}
    for index, label in enumerate(labels):
        key = normalise_label(label)
        for form in (key, key.removeprefix("emg"), key.removesuffix("emg")):
            if form:
                place.setdefault(form, index)

    def first(names: Sequence[str]) -> int | None:
        keys = map(normalise_label, names)
        return next((place[key] for key in keys if key in place), None)

    table = alias_table()["legs"]
    found: dict[str, tuple[int, int | None]] = {}
    for side in ("left", "right"):
        single = first(table[side])
        if single is not None:
            found[side] = (single, None)
    for pair in table["pairs"]:
        plus, minus = first(pair["plus"]), first(pair["minus"])
        if plus is not None and minus is not None:
            found.setdefault(pair["side"], (plus, minus))
    either = first(table["either"])
    if not found and either is not None:
        found["left"] = (either, None)
    return found
