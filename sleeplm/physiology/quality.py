"""Signal quality of each channel and epoch: what is wrong, where, and what it takes away.

:func:`quality_night` judges a night; the answer withholds values in
:func:`sleeplm.physiology.measure_night`, finds artefacts, and says whether an extreme value is
real. Mains hum is judged on the signal as it was recorded, since 64 samples a second cannot hold
it (:mod:`sleeplm.physiology.mains`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag

import numpy as np
from scipy import ndimage

from sleeplm.physiology.oximetry import per_second, plausible_spo2

__all__ = [
    "MAINS_LIMIT_PCT",
    "QUALITY_WORDS",
    "UNUSABLE",
    "NightQuality",
    "Quality",
    "QualityStretch",
    "channel_quality",
    "quality_night",
]


class Quality(IntFlag):
    """What is wrong with an epoch of a channel; 0 is good."""

    GOOD = 0
    LOST = 1  # samples are missing (gaps)
    FLAT = 2  # the signal does not move
    CLIPPED = 4  # it rests on its own rail
    IMPLAUSIBLE = 8  # of an amplitude that the body does not make
    SATURATED = 16  # it stays at the end of the recording's range for a second or longer
    MAINS = 32  # the mains (50 or 60 Hz) hold a tenth of its power or more
    DETACHED = 64  # a belt, cannula or oximeter that came off
    EXCURSION = 128  # it swings far beyond the epochs around it: movement, electrode pop


#: Each flag in words for people.
QUALITY_WORDS: dict[Quality, str] = {
    Quality.LOST: "samples missing",
    Quality.FLAT: "flat",
    Quality.CLIPPED: "clipped",
    Quality.IMPLAUSIBLE: "implausible amplitude",
    Quality.SATURATED: "saturated",
    Quality.MAINS: "mains hum",
    Quality.DETACHED: "sensor off",
    Quality.EXCURSION: "movement or electrode pop",
}
#: Flags with which nothing is measured. Hum is filtered out on the way to 64 Hz, and clipped or
#: restless epochs keep their values.
UNUSABLE = Quality.LOST | Quality.FLAT | Quality.IMPLAUSIBLE | Quality.SATURATED | Quality.DETACHED
MAINS_LIMIT_PCT = 10.0
EPOCH_S = 30.0

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
_BREATHING = ("ABD", "THX", "AF")
_WAVEFORMS = (*_PLAUSIBLE_RANGE, *_BREATHING)
_PLAUSIBLE_VALUES = {"SPO2": (40.0, 100.5), "HR": (20.0, 240.0)}
_MOST_LOST = 0.2
_MOST_FLAT = 0.5
_MOST_CLIPPED = 0.05
_MOST_SATURATED = 0.05
#: How long a signal stays at an end of its range to be called saturated; flow that is limited
#: rests at its peak for a second or two.
_SATURATED_S, _SATURATED_BREATHING_S = 1.0, 3.0
#: Shares of the night's range: how far from the median a rail lies, how uneven it may be.
_RAIL_DISTANCE, _RAIL_RIPPLE = 0.1, 5e-3
#: A breathing signal whose quartiles lie closer than this share of its usual width is still; no
#: apnea lasts three minutes, a sensor that came off does.
_STILL_SHARE = 0.02
_STILL_EPOCHS = 6
_EXCURSION_TIMES = 6.0
_EXCURSION_EPOCHS = 41


@dataclass(frozen=True)
class QualityStretch:
    """Consecutive epochs of a channel with the same flags; seconds from the start."""

    channel: str
    onset_s: float
    duration_s: float
    flags: Quality
    words: str


@dataclass
class NightQuality:
    """Quality of every channel of a night.

    Parameters
    ----------
    n_epochs : int
    flags : dict of channel → uint8 [n_epochs]
        :class:`Quality` flags of the channels that are present.
    mains_pct : dict of channel → float32 [n_epochs]
        Share of 50 or 60 Hz in the recorded power; only of channels where it could be judged.
    not_judged : dict of channel → str
        Why the mains share is unknown, one phrase each.
    dropouts : dict ``"SPO2"``, ``"HR"`` → list of (start_s, end_s)
        To the second: where the sensor gave no value, an impossible one, or slipped.
    """

    n_epochs: int
    flags: dict[str, np.ndarray]
    mains_pct: dict[str, np.ndarray] = field(default_factory=dict)
    not_judged: dict[str, str] = field(default_factory=dict)
    dropouts: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def usable(self, channel: str) -> np.ndarray:
        """Epochs in which the channel can be measured, bool [n_epochs]; none if it is absent."""
        if channel not in self.flags:
            return np.zeros(self.n_epochs, dtype=bool)
        return np.asarray((self.flags[channel] & int(UNUSABLE)) == 0)

    def stretches(
        self, channel: str | None = None, which: Quality | None = None
    ) -> list[QualityStretch]:
        """Every stretch with a flag, by onset.

        Parameters
        ----------
        channel : str, optional
            Of one channel only.
        which : Quality, optional
            Only these flags (an or of several).
        """
        found = []
        for name, column in self.flags.items():
            if channel is not None and name != channel:
                continue
            flags = column & (255 if which is None else int(which))
            edges = np.flatnonzero(np.diff(flags)) + 1
            bounds = np.concatenate([[0], edges, [len(flags)]])
            for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
                if flags[start]:
                    present = Quality(int(flags[start]))
                    found.append(
                        QualityStretch(
                            name,
                            start * EPOCH_S,
                            (end - start) * EPOCH_S,
                            present,
                            _in_words(present),
                        )
                    )
        return sorted(found, key=lambda stretch: (stretch.onset_s, stretch.channel))

    def reasons(self, channel: str, start_s: float, end_s: float) -> list[str]:
        """Why a value of a channel between two times may not be real; empty where nothing is wrong.

        For a minimum at one moment ask from some seconds before to some after: a fall into a
        drop-out of the sensor is no fall.

        Parameters
        ----------
        channel : str
        start_s, end_s : float
            Seconds from the start of the recording.
        """
        if channel not in self.flags:
            return [f"{channel} was not recorded"]
        first = int(np.clip(start_s // EPOCH_S, 0, self.n_epochs - 1))
        last = int(np.clip(end_s // EPOCH_S, first, self.n_epochs - 1))
        present = Quality(int(np.bitwise_or.reduce(self.flags[channel][first : last + 1])))
        found = [words for flag, words in QUALITY_WORDS.items() if flag & present]
        found += [
            f"no plausible value for {end - start:.0f} s"
            for start, end in self.dropouts.get(channel, ())
            if start < end_s and end > start_s
        ]
        return found


def channel_quality(name: str, epochs: np.ndarray) -> np.ndarray:
    """What a channel's epochs show by themselves: lost, flat, clipped, saturated, implausible.

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
    filled = np.where(lost, 0.0, epochs) if lost.any() else np.asarray(epochs)
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
    flags[_saturated(name, filled, span)] |= np.uint8(Quality.SATURATED)
    if name in _PLAUSIBLE_RANGE:
        low, high = _PLAUSIBLE_RANGE[name]
        flags[(span < low) | (span > high)] |= np.uint8(Quality.IMPLAUSIBLE)
    return flags


def _saturated(name: str, filled: np.ndarray, span: np.ndarray) -> np.ndarray:
    """Epochs that stay, a second or longer at a stretch, at an end of the night's range."""
    highest, lowest = filled.max(), filled.min()
    middle, extent = float(np.median(filled[:, ::8])), highest - lowest
    # The filter that brought the signal to 64 Hz leaves ripples on a rail. Where a signal rests
    # between beats is no rail, even if it never goes lower.
    ends = []
    if highest - middle > _RAIL_DISTANCE * extent:
        ends.append(filled >= highest - _RAIL_RIPPLE * extent)
    if middle - lowest > _RAIL_DISTANCE * extent:
        ends.append(filled <= lowest + _RAIL_RIPPLE * extent)
    least_s = _SATURATED_BREATHING_S if name in _BREATHING else _SATURATED_S
    length = max(round(least_s * filled.shape[1] / EPOCH_S), 1)
    share = np.zeros(len(filled))
    for at_end in ends:
        rows = np.flatnonzero(at_end.mean(axis=1) > _MOST_SATURATED / 2)
        if len(rows):
            held = ndimage.minimum_filter1d(at_end[rows].view(np.uint8), length, axis=1)
            # Each run has shrunk by the window's length less one.
            begins = (np.diff(held.astype(np.int8), axis=1, prepend=0) > 0).sum(axis=1)
            share[rows] += (held.sum(axis=1) + begins * (length - 1)) / filled.shape[1]
    return np.asarray((share > _MOST_SATURATED) & (span > 0))


def quality_night(
    signals: Mapping[str, np.ndarray],
    rate_hz: float = 64.0,
    mains_pct: Mapping[str, np.ndarray] | None = None,
    not_judged: Mapping[str, str] | None = None,
) -> NightQuality:
    """Judge every channel of a night, epoch by epoch.

    Parameters
    ----------
    signals : mapping of channel → array [n_samples]
        House channel names, physical units, one common rate and length; nan where samples are
        missing.
    rate_hz : float
    mains_pct : mapping of channel → array [n_epochs], optional
        From :func:`sleeplm.physiology.mains.recorded_mains`.
    not_judged : mapping of channel → str, optional
        From the same.

    Returns
    -------
    NightQuality

    Raises
    ------
    ValueError
        No channel, or not one complete epoch.
    """
    per_epoch = round(EPOCH_S * rate_hz)
    n_epochs = min((len(trace) for trace in signals.values()), default=0) // per_epoch
    if not n_epochs:
        raise ValueError("no complete 30-s epoch to judge")
    night = NightQuality(n_epochs, {}, not_judged=dict(not_judged or {}))
    for name, trace in signals.items():
        epochs = np.asarray(trace[: n_epochs * per_epoch]).reshape(n_epochs, per_epoch)
        flags = channel_quality(name, epochs)
        if name in _PLAUSIBLE_VALUES:
            night.dropouts[name], off = _dropouts(name, trace[: n_epochs * per_epoch], rate_hz)
            flags[off] |= np.uint8(Quality.DETACHED)
        if name in _BREATHING:
            flags[_came_off(epochs)] |= np.uint8(Quality.DETACHED)
        if name in _WAVEFORMS:
            flags[_excursions(epochs, flags)] |= np.uint8(Quality.EXCURSION)
        night.flags[name] = flags
    for name, share in (mains_pct or {}).items():
        if name not in night.flags:
            continue
        column = np.full(n_epochs, np.nan, dtype=np.float32)
        known = min(n_epochs, len(share))
        column[:known] = share[:known]
        night.mains_pct[name] = column
        with np.errstate(invalid="ignore"):
            night.flags[name][column >= MAINS_LIMIT_PCT] |= np.uint8(Quality.MAINS)
    for name in _PLAUSIBLE_RANGE:
        if name in night.flags and name not in night.mains_pct:
            night.not_judged.setdefault(
                name, f"mains hum cannot be seen at {rate_hz:g} Hz; it needs the file's own rate"
            )
    return night


def _in_words(flags: Quality) -> str:
    return ", ".join(words for flag, words in QUALITY_WORDS.items() if flag & flags)


def _dropouts(
    name: str, trace: np.ndarray, rate_hz: float
) -> tuple[list[tuple[float, float]], np.ndarray]:
    """Seconds without a plausible value, and the epochs in which the sensor was off."""
    seconds = per_second(trace, rate_hz)
    low, high = _PLAUSIBLE_VALUES[name]
    with np.errstate(invalid="ignore"):
        off = ~((seconds >= low) & (seconds <= high))
    bad = off | ~np.isfinite(plausible_spo2(seconds)) if name == "SPO2" else off
    edges = np.flatnonzero(np.diff(np.concatenate([[0], bad.astype(np.int8), [0]]))).tolist()
    stretches = [
        (float(start), float(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)
    ]
    n_epochs = len(seconds) // int(EPOCH_S)
    share = off[: n_epochs * int(EPOCH_S)].reshape(n_epochs, -1).mean(axis=1)
    return stretches, share > _MOST_FLAT


def _came_off(epochs: np.ndarray) -> np.ndarray:
    """Epochs of a breathing signal that lie in three minutes or more of stillness."""
    # A quarter of the samples shows breathing well enough.
    few = epochs[:, ::4]
    lower, upper = np.percentile(np.where(np.isfinite(few), few, 0.0), (25, 75), axis=1)
    width = upper - lower
    usual = float(np.median(width[width > 0])) if (width > 0).any() else 0.0
    still = width <= _STILL_SHARE * usual
    if len(still) < _STILL_EPOCHS:
        return np.zeros(len(still), dtype=bool)
    return np.asarray(ndimage.binary_opening(still, structure=np.ones(_STILL_EPOCHS, dtype=bool)))


def _excursions(epochs: np.ndarray, flags: np.ndarray) -> np.ndarray:
    """Epochs whose range is many times the median range of the 20 minutes around them."""
    known = np.where(np.isfinite(epochs), epochs, 0.0)
    span = known.max(axis=1) - known.min(axis=1)
    good = (flags & int(Quality.LOST | Quality.FLAT | Quality.DETACHED)) == 0
    if not good.any():
        return np.zeros(len(span), dtype=bool)
    # What is still around it must not make an ordinary epoch look restless.
    filled = np.where(good, span, np.median(span[good]))
    around = ndimage.median_filter(filled, size=min(_EXCURSION_EPOCHS, len(span)), mode="nearest")
    return np.asarray(good & (span > _EXCURSION_TIMES * around))
