"""One pass over a night: every measurement that captions and summaries state, per epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sleeplm.physiology.airflow import reduction_by_epoch
from sleeplm.physiology.asynchrony import phase_angles, seems_inverted
from sleeplm.physiology.cardiac import beat_statistics, detect_beats
from sleeplm.physiology.fields import FIELDS
from sleeplm.physiology.muscle import chin_emg
from sleeplm.physiology.oximetry import (
    Trend,
    desaturations,
    per_second,
    plausible_spo2,
    trend_segments,
)
from sleeplm.physiology.quality import NightQuality, quality_night
from sleeplm.physiology.respiration import (
    breath_statistics,
    breath_times,
    inspiratory_flatness,
)
from sleeplm.physiology.rows import row_percentile
from sleeplm.physiology.spectral import EEG_BANDS_HZ, EOG_BANDS_HZ, relative_band_powers
from sleeplm.physiology.waves import (
    Wave,
    bursts,
    count_by_epoch,
    rapid_eye_movements,
    slow_waves,
    spindles,
)

__all__ = ["EPOCH_S", "POSITION_NAMES", "NightMeasurements", "measure_night"]

EPOCH_S = 30.0
POSITION_NAMES: dict[int, str] = {
    0: "right",
    1: "left",
    2: "supine",
    3: "prone",
    4: "upright",
    -1: "unknown",
}
_CHANNELS = tuple(dict.fromkeys(entry.channel for entry in FIELDS.values()))
#: Heart rate moves by ≥ 3 bpm at ≥ 0.4 bpm/s, saturation by ≥ 1 point at ≥ 0.15 points/s.
_TRENDS = {"hr": (0.4, 3.0), "spo2": (0.15, 1.0)}
_LEAST_KNOWN = 0.5
_BASELINE_S = 120
_BASELINE_SHARE = 0.9
#: A file keeps 16 bits of a wide range: a fall of 4 points may be stored as 3.998.
_ROUNDING_PCT = 0.05


@dataclass
class NightMeasurements:
    """Measurements of a night by field name.

    Parameters
    ----------
    values : dict of field name → float32 [n_epochs]
        Every name of :data:`sleeplm.physiology.FIELDS`; nan = missing or withheld, never 0.
    units : dict of field name → unit
    trends : dict ``"hr"``, ``"spo2"`` → per epoch a list of (direction, start_s, end_s)
    quality : dict of channel → uint8 [n_epochs]
        :class:`Quality` flags of the channels that are present.
    signal_quality : NightQuality
        The same flags with their stretches, drop-outs and words.
    missing : tuple of str
        Channels that captions describe and this night lacks.
    beats_s : array
        Times of the ECG's beats.
    desaturations : list of (onset_s, duration_s, baseline_pct, nadir_pct)
        Falls of at least 3 points; :meth:`falls_of` gives those of 4.
    spindles, slow_waves : dict of EEG channel → list of Wave
    eye_movements : list of Wave
        Rapid movements of both eyes.
    problems : list of str
        What was withheld for the whole night, one sentence each.
    """

    n_epochs: int
    values: dict[str, np.ndarray]
    units: dict[str, str]
    trends: dict[str, list[list[Trend]]]
    quality: dict[str, np.ndarray]
    missing: tuple[str, ...]
    signal_quality: NightQuality
    beats_s: np.ndarray = field(default_factory=lambda: np.zeros(0))
    desaturations: list[tuple[float, float, float, float]] = field(default_factory=list)
    spindles: dict[str, list[Wave]] = field(default_factory=dict)
    slow_waves: dict[str, list[Wave]] = field(default_factory=dict)
    eye_movements: list[Wave] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def falls_of(self, least_pct: float) -> list[tuple[float, float, float, float]]:
        """The desaturations of at least ``least_pct`` points, 3 or 4 by AASM."""
        return [
            fall for fall in self.desaturations if fall[2] - fall[3] >= least_pct - _ROUNDING_PCT
        ]

    def epoch(self, index: int) -> dict[str, float]:
        """The values of one epoch that are known."""
        if not 0 <= index < self.n_epochs:
            raise IndexError(f"epoch index {index} is outside 0–{self.n_epochs - 1}")
        return {
            name: float(column[index])
            for name, column in self.values.items()
            if np.isfinite(column[index])
        }

    def position(self, index: int) -> str | None:
        """Name of the body position of one epoch; None where none was recorded."""
        code = self.values["position"][index]
        return POSITION_NAMES[int(code)] if np.isfinite(code) else None


def measure_night(
    signals: Mapping[str, np.ndarray],
    rate_hz: float = 64.0,
    gaps: Sequence[tuple[float, float]] = (),
    mains: tuple[Mapping[str, np.ndarray], Mapping[str, str]] = ({}, {}),
) -> NightMeasurements:
    """Measure every complete 30-s epoch of a night.

    Parameters
    ----------
    signals : mapping of channel → array [n_samples]
        House channel names, physical units (µV, mV, %, bpm, position codes), one common rate.
        Absent channels are absent from the mapping; nan marks samples that are missing.
    rate_hz : float
        Common sampling rate.
    gaps : sequence of (start_s, end_s)
        Stretches in which nothing was recorded, whatever the samples there hold.
    mains : (shares, reasons), optional
        From :func:`sleeplm.physiology.mains.recorded_mains`, which needs the file.

    Returns
    -------
    NightMeasurements

    Raises
    ------
    ValueError
        Channels of different lengths, or no complete epoch.
    """
    lengths = {name: len(trace) for name, trace in signals.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"channels have different lengths: {lengths}")
    epoch_samples = round(EPOCH_S * rate_hz)
    n_epochs = next(iter(lengths.values()), 0) // epoch_samples
    if not n_epochs:
        raise ValueError("no complete 30-s epoch to measure")
    kept = {
        name: _without_gaps(trace[: n_epochs * epoch_samples], gaps, rate_hz)
        for name, trace in signals.items()
        if name in _CHANNELS
    }
    if not kept:
        raise ValueError(f"none of the channels {', '.join(signals)} is known")
    judged = quality_night(kept, rate_hz, *mains)
    night = NightMeasurements(
        n_epochs=n_epochs,
        values={name: np.full(n_epochs, np.nan, dtype=np.float32) for name in FIELDS},
        units={name: entry.unit for name, entry in FIELDS.items()},
        trends={name: [[] for _ in range(n_epochs)] for name in _TRENDS},
        quality=judged.flags,
        missing=tuple(name for name in _CHANNELS if name not in signals),
        signal_quality=judged,
    )
    for channel, measure in _MEASURES.items():
        if channel in kept:
            usable = judged.usable(channel)
            _keep(night, measure(night, channel, kept[channel], rate_hz), usable)
    for (first, second), measure_pair in _PAIRS.items():
        if first in kept and second in kept:
            usable = judged.usable(first) & judged.usable(second)
            _keep(night, measure_pair(night, kept[first], kept[second], rate_hz), usable)
    return night


def _keep(night: NightMeasurements, columns: dict[str, np.ndarray], usable: np.ndarray) -> None:
    """Store what can be true; withhold the rest."""
    for name, column in columns.items():
        entry = FIELDS[name]
        with np.errstate(invalid="ignore"):
            kept = usable & (column >= entry.low) & (column <= entry.high)
        night.values[name] = np.where(kept, column, np.nan).astype(np.float32)


def _without_gaps(
    trace: np.ndarray, gaps: Sequence[tuple[float, float]], rate_hz: float
) -> np.ndarray:
    if not gaps:
        return np.asarray(trace)
    lost = np.array(trace, dtype=np.float32)
    for start_s, end_s in gaps:
        lost[max(round(start_s * rate_hz), 0) : max(round(end_s * rate_hz), 0)] = np.nan
    return lost


def _filled(trace: np.ndarray) -> np.ndarray:
    """The trace as float64 with gaps bridged by their neighbours' line."""
    values = np.asarray(trace, dtype=np.float64)
    known = np.isfinite(values)
    if known.all():
        return values
    if not known.any():
        return np.zeros_like(values)
    index = np.arange(len(values))
    return np.interp(index, index[known], values[known])


def _usable_samples(night: NightMeasurements, trace: np.ndarray, *channels: str) -> np.ndarray:
    """Samples of the epochs in which all channels can be trusted, bool [n_samples]."""
    good = np.all([night.signal_quality.usable(channel) for channel in channels], axis=0)
    return np.repeat(good, len(trace) // night.n_epochs)


def _eeg(
    night: NightMeasurements, channel: str, trace: np.ndarray, rate_hz: float
) -> dict[str, np.ndarray]:
    side = {"EEG_C3_A2": "c3", "EEG_C4_A1": "c4"}[channel]
    filled = _filled(trace)
    shares = relative_band_powers(
        filled.reshape(night.n_epochs, -1), rate_hz, EEG_BANDS_HZ, total_hz=(0.5, 30.0)
    )
    columns = {f"eeg_{side}_{band}_pct": share for band, share in shares.items()}
    usable = _usable_samples(night, trace, channel)
    for what, find, store in (
        ("spindle", spindles, night.spindles),
        ("slow_wave", slow_waves, night.slow_waves),
    ):
        store[channel] = find(filled, rate_hz, usable)
        onsets_s = np.array([wave.onset_s for wave in store[channel]])
        columns[f"eeg_{side}_{what}_count"] = count_by_epoch(onsets_s, night.n_epochs, EPOCH_S)
    return columns


def _eog(
    night: NightMeasurements, channel: str, trace: np.ndarray, rate_hz: float
) -> dict[str, np.ndarray]:
    side = {"EOG_L": "l", "EOG_R": "r"}[channel]
    epochs = _filled(trace).reshape(night.n_epochs, -1)
    shares = relative_band_powers(
        epochs, rate_hz, EOG_BANDS_HZ, total_hz=(0.3, 30.0), window_s=10.0
    )
    return {f"eog_{side}_{movement}_pct": share for movement, share in shares.items()}


def _ecg(
    night: NightMeasurements, channel: str, trace: np.ndarray, rate_hz: float
) -> dict[str, np.ndarray]:
    night.beats_s, similarity = detect_beats(_filled(trace), rate_hz)
    rate_bpm, rmssd_ms = beat_statistics(night.beats_s, night.n_epochs, EPOCH_S, similarity)
    return {"ecg_rate_bpm": rate_bpm, "ecg_rmssd_ms": rmssd_ms}


def _belt(
    night: NightMeasurements, channel: str, trace: np.ndarray, rate_hz: float
) -> dict[str, np.ndarray]:
    times_s = breath_times(_filled(trace), rate_hz)
    rate_bpm, interval_sd_s = breath_statistics(times_s, night.n_epochs, EPOCH_S)
    return {
        f"{channel.lower()}_rate_bpm": rate_bpm,
        f"{channel.lower()}_interval_sd_s": interval_sd_s,
    }


def _flow(
    night: NightMeasurements, channel: str, trace: np.ndarray, rate_hz: float
) -> dict[str, np.ndarray]:
    flow = _filled(trace)
    rate_bpm, _ = breath_statistics(breath_times(flow, rate_hz), night.n_epochs, EPOCH_S)
    flatness = inspiratory_flatness(flow, rate_hz, night.n_epochs, EPOCH_S)
    reduction_pct = reduction_by_epoch(flow, rate_hz, night.n_epochs, EPOCH_S)
    return {"af_rate_bpm": rate_bpm, "af_flatness": flatness, "af_reduction_pct": reduction_pct}


def _eyes(
    night: NightMeasurements, left: np.ndarray, right: np.ndarray, rate_hz: float
) -> dict[str, np.ndarray]:
    usable = _usable_samples(night, left, "EOG_L", "EOG_R")
    night.eye_movements = rapid_eye_movements(_filled(left), _filled(right), rate_hz, usable)
    onsets_s = np.array([wave.onset_s for wave in night.eye_movements])
    burst_onsets_s = np.array([onset_s for onset_s, _ in bursts(night.eye_movements)])
    return {
        "eog_rem_count": count_by_epoch(onsets_s, night.n_epochs, EPOCH_S),
        "eog_rem_burst_count": count_by_epoch(burst_onsets_s, night.n_epochs, EPOCH_S),
    }


def _belts(
    night: NightMeasurements, thorax: np.ndarray, abdomen: np.ndarray, rate_hz: float
) -> dict[str, np.ndarray]:
    typical_deg, most_deg = phase_angles(
        _filled(thorax), _filled(abdomen), rate_hz, night.n_epochs, EPOCH_S
    )
    if seems_inverted(typical_deg):
        night.problems.append(
            "thorax and abdomen oppose each other all night: one belt seems to be wired the other "
            "way round, and their asynchrony is withheld"
        )
        return {}
    return {"thx_abd_phase_deg": typical_deg, "thx_abd_phase_max_deg": most_deg}


def _chin(
    night: NightMeasurements, channel: str, trace: np.ndarray, rate_hz: float
) -> dict[str, np.ndarray]:
    statistics = chin_emg(_filled(trace), rate_hz, len(trace) // night.n_epochs)
    return {f"emg_{name}": column for name, column in statistics.items()}


def _position(
    night: NightMeasurements, channel: str, trace: np.ndarray, rate_hz: float
) -> dict[str, np.ndarray]:
    """The code that most samples of the epoch carry; a code outside the table is unknown."""
    codes = np.rint(np.where(np.isfinite(trace), trace, -1.0)).astype(int)
    codes = np.where((codes >= 0) & (codes <= 4), codes, -1).reshape(night.n_epochs, -1)
    counts = np.stack([(codes == code).sum(axis=1) for code in range(-1, 5)], axis=1)
    return {"position": counts.argmax(axis=1).astype(float) - 1.0}


def _oximeter_rate(
    night: NightMeasurements, channel: str, trace: np.ndarray, rate_hz: float
) -> dict[str, np.ndarray]:
    seconds = per_second(trace, rate_hz)
    entry = FIELDS["hr_mean_bpm"]
    with np.errstate(invalid="ignore"):
        good = (seconds >= entry.low) & (seconds <= entry.high)
    epochs = np.where(good, seconds, np.nan).reshape(night.n_epochs, -1)
    night.trends["hr"] = _trends("hr", epochs)
    lowest, highest, mean = _extremes(epochs)
    return {"hr_min_bpm": lowest, "hr_max_bpm": highest, "hr_mean_bpm": mean}


def _saturation(
    night: NightMeasurements, channel: str, trace: np.ndarray, rate_hz: float
) -> dict[str, np.ndarray]:
    seconds = plausible_spo2(per_second(trace, rate_hz))
    night.desaturations = desaturations(seconds, 3.0)
    epochs = seconds.reshape(night.n_epochs, -1)
    night.trends["spo2"] = _trends("spo2", epochs)
    lowest, _, mean = _extremes(epochs)
    baseline = _resting_level(seconds, night.n_epochs)
    return {"spo2_min_pct": lowest, "spo2_mean_pct": mean, "spo2_baseline_pct": baseline}


def _resting_level(seconds: np.ndarray, n_epochs: int) -> np.ndarray:
    """The 90th percentile of the epoch and the 2 minutes before it; nan below half known.

    What saturation holds between falls: AASM looks for the baseline in the 2 minutes before an
    event, and the percentile keeps falls and single high readings out of it.
    """
    per_epoch = int(EPOCH_S)
    padded = np.concatenate([np.full(_BASELINE_S, np.nan), seconds[: n_epochs * per_epoch]])
    windows = np.lib.stride_tricks.sliding_window_view(padded, _BASELINE_S + per_epoch)[::per_epoch]
    own = np.isfinite(windows[:, _BASELINE_S:]).sum(axis=1)
    enough = own >= _LEAST_KNOWN * per_epoch
    level = np.full(n_epochs, np.nan)
    if enough.any():
        level[enough] = row_percentile(np.sort(windows[enough], axis=1), _BASELINE_SHARE)
    return level


def _trends(name: str, epochs: np.ndarray) -> list[list[Trend]]:
    least_slope, least_change = _TRENDS[name]
    return [trend_segments(seconds, least_slope, least_change) for seconds in epochs]


def _extremes(epochs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minimum, maximum and mean of each row; nan where less than half is known."""
    known = np.isfinite(epochs)
    count = known.sum(axis=1)
    enough = count >= max(_LEAST_KNOWN * epochs.shape[1], 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, epochs, 0.0).sum(axis=1) / count
    lowest = np.where(known, epochs, np.inf).min(axis=1)
    highest = np.where(known, epochs, -np.inf).max(axis=1)
    return (
        np.where(enough, lowest, np.nan),
        np.where(enough, highest, np.nan),
        np.where(enough, mean, np.nan),
    )


_MEASURES = {
    "EOG_L": _eog,
    "EOG_R": _eog,
    "EEG_C3_A2": _eeg,
    "EEG_C4_A1": _eeg,
    "ECG": _ecg,
    "HR": _oximeter_rate,
    "SPO2": _saturation,
    "ABD": _belt,
    "THX": _belt,
    "AF": _flow,
    "EMG_CHIN": _chin,
    "POS": _position,
}
_PAIRS = {("EOG_L", "EOG_R"): _eyes, ("THX", "ABD"): _belts}
