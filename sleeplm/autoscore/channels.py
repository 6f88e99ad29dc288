"""Which channels of a recording can be scored, epoch by epoch, and which are named as lost.

A detached electrode or belt must not become wake, sleep or an apnea: its epochs are left out, and
the channel is named with the minutes that it lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from sleeplm.physiology.quality import channel_quality
from sleeplm.scoring import EPOCH_S

if TYPE_CHECKING:
    from sleeplm.recording import Recording

__all__ = ["EEG_CHANNELS", "Usable", "runs", "usable_channels"]

EEG_CHANNELS = ("EEG_C4_A1", "EEG_C3_A2")
"""In the order of preference where both are equally good (AASM: C4-M1 first, C3-M2 as backup)."""
BELTS = ("THX", "ABD")
RATE_HZ = 64
LEAST_SHARE = 0.25
"""A channel that is good for less than this share of the epochs is not used at all."""
DEAD_SHARE = 0.02
"""A breathing signal whose quartiles lie closer than this share of its usual width has no breath
in it (the threshold that psgscoring's polygraphy window was measured with, 250 MESA nights)."""
BREATHING_HZ = (0.1, 0.7)
LEAST_BREATH_POWER = 0.05
"""White noise has 0.02 of its power at the rates of breathing, a flow signal more than half."""
DEAD_RUN = 6
"""Epochs: no apnea lasts three minutes, a sensor that came off does."""
PREFERENCE = 0.02
"""The first EEG derivation is kept unless the other is good for this much more of the night."""
_PLAUSIBLE_SPO2 = (50.0, 100.5)


@dataclass
class Usable:
    """What can be scored.

    Attributes
    ----------
    signals : dict of str to float32 array [n_epochs · 1920]
        The channels to hand over; belts are mended where one of them came off.
    good : dict of str to bool array [n_epochs]
        Per channel, the epochs in which it measures anything.
    eeg : str or None
        The derivation to stage from.
    problems : list of str
        One sentence for each channel that is lost in part or whole.
    """

    signals: dict[str, np.ndarray] = field(default_factory=dict)
    good: dict[str, np.ndarray] = field(default_factory=dict)
    eeg: str | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def belts(self) -> list[str]:
        return [name for name in BELTS if name in self.signals]

    def effort(self, n_epochs: int) -> np.ndarray:
        """Epochs in which at least one belt measures breathing."""
        known = [self.good[name] for name in self.belts]
        return np.any(known, axis=0) if known else np.zeros(n_epochs, dtype=bool)


def runs(mask: np.ndarray) -> Iterator[tuple[int, int]]:
    """(first, end) of every run of true values."""
    first = 0
    for value, group in groupby(mask.tolist()):
        length = sum(1 for _ in group)
        if value:
            yield first, first + length
        first += length


def usable_channels(recording: Recording) -> Usable:
    """Judge every channel by its signal, never by its declared unit or rate."""
    found = Usable()
    for name, values in recording.signals.items():
        epochs = np.asarray(values, dtype=np.float32).reshape(recording.n_epochs, -1)
        good = _good_epochs(name, epochs)
        share = float(good.mean())
        if share < LEAST_SHARE:
            found.problems.append(
                f"{name} is flat, clipped or detached for {100 * (1 - share):.0f} % of the "
                "recording and is not used"
            )
            continue
        if share < 1 and name not in ("POS", "HR"):
            lost_min = float((~good).sum()) * EPOCH_S / 60
            found.problems.append(
                f"{name} is flat, clipped or detached for {lost_min:.1f} min, which are not "
                "scored from it"
            )
        found.signals[name] = values
        found.good[name] = good
    present = [name for name in EEG_CHANNELS if name in found.signals]
    if present:
        shares = {name: float(found.good[name].mean()) for name in present}
        best = max(present, key=lambda name: shares[name])
        found.eeg = present[0] if shares[best] - shares[present[0]] < PREFERENCE else best
    _mend_belts(found)
    return found


def _good_epochs(name: str, epochs: np.ndarray) -> np.ndarray:
    """Epochs [n_epochs] in which a channel measures anything."""
    if name == "SPO2":
        low, high = _PLAUSIBLE_SPO2
        return np.asarray(((epochs >= low) & (epochs <= high)).mean(axis=1) >= 0.5)
    if name in ("AF", *BELTS):
        return _breathing_epochs(epochs)
    return np.asarray(channel_quality(name, epochs) == 0)


def _breathing_epochs(epochs: np.ndarray) -> np.ndarray:
    """Epochs with a breathing signal; short stillness is an apnea, long stillness a lost sensor.

    Still is what is narrow beside the wide tenth of the night, so that a sensor that was off for
    most of it is no measure of itself; or what has next to no power at the rates of breathing.
    """
    quarter, half = np.percentile(epochs, (25, 75), axis=1)
    width = half - quarter
    usual = float(np.percentile(width, 90))
    power = np.abs(np.fft.rfft(epochs - epochs.mean(axis=1, keepdims=True), axis=1)) ** 2
    rate_hz = np.fft.rfftfreq(epochs.shape[1], 1 / RATE_HZ)
    low, high = BREATHING_HZ
    breath = power[:, (rate_hz >= low) & (rate_hz <= high)].sum(axis=1)
    dead = (width <= DEAD_SHARE * usual) | (breath <= LEAST_BREATH_POWER * power.sum(axis=1))
    lost = np.zeros(len(epochs), dtype=bool)
    for first, end in runs(dead):
        if end - first >= min(DEAD_RUN, len(epochs)):
            lost[first:end] = True
    return ~lost


def _mend_belts(found: Usable) -> None:
    """Where one belt came off, put the other one's signal in its place.

    The types of apneas then rest on the belt that works, and not on stillness of a detached one.
    """
    if len(found.belts) < 2:
        return
    width = {
        name: float(np.subtract(*np.percentile(found.signals[name][::4], (75, 25))))
        for name in BELTS
    }
    for name, other in (BELTS, BELTS[::-1]):
        broken = ~found.good[name] & found.good[other]
        if not broken.any():
            continue
        mended = np.array(found.signals[name], dtype=np.float32).reshape(len(broken), -1)
        ratio = width[name] / width[other] if width[other] > 0 else 1.0
        mended[broken] = ratio * found.signals[other].reshape(len(broken), -1)[broken]
        found.signals[name] = mended.reshape(-1)
