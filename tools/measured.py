"""Events that no scorer has to find: what the measured signals show by a stated rule.

Each finder returns what it found and the rule in words, or None where its channel was not
recorded. The rules are the tables' own: heart rate and its thirty seconds after the AASM manual's
sinus bradycardia and tachycardia of adults, falls of SpO2 of 3 points, changes of the position
channel, epochs that the quality check refuses.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sleeplm.night import Night

__all__ = ["MEASURED_KINDS", "MeasuredEvent", "MeasuredEvents", "measured_events"]

BRADYCARDIA_BPM = 40.0
TACHYCARDIA_BPM = 90.0
SUSTAINED_S = 30
#: A position that holds for less than this is a movement on the way to another.
LEAST_POSITION_S = 15
SIGNAL_RATE_HZ = 64.0


@dataclass(frozen=True)
class MeasuredEvent:
    """One finding: seconds from the start of the recording, and typed terms of its own."""

    kind: str
    onset_s: float
    duration_s: float
    channel: str
    evidence: dict[str, float]
    detail: str = ""


@dataclass(frozen=True)
class MeasuredEvents:
    """All findings of one kind and the rule that made them, in words."""

    events: tuple[MeasuredEvent, ...]
    rule: str


def measured_events(night: Night, kind: str) -> MeasuredEvents | None:
    """Events of one of :data:`MEASURED_KINDS`; None where the night lacks its channel."""
    finder = _FINDERS.get(kind)
    return finder(night) if finder is not None else None


def _desaturations(night: Night) -> MeasuredEvents | None:
    if night.recording.channel("SPO2") is None:
        return None
    events = tuple(
        MeasuredEvent(
            "desaturation",
            onset_s,
            duration_s,
            "SPO2",
            {"baseline_pct": baseline_pct, "nadir_pct": nadir_pct},
        )
        for onset_s, duration_s, baseline_pct, nadir_pct in night.measurements().desaturations
    )
    return MeasuredEvents(events, "falls of SpO2 by at least 3 points")


def _heart_rate(night: Night) -> tuple[np.ndarray, str] | None:
    """Plausible heart rate per second and its channel: the HR channel, else ECG beats."""
    samples = night.recording.channel("HR")
    if samples is not None:
        from sleeplm.physiology.oximetry import per_second

        rate = np.asarray(per_second(samples, SIGNAL_RATE_HZ), dtype=float)
        return np.where((rate >= 20) & (rate <= 250), rate, np.nan), "HR"
    beats = np.asarray(night.measurements().beats_s)
    if len(beats) < 3:
        return None
    intervals_s = np.diff(beats)
    rate = np.full(int(night.duration_s), np.nan)
    for start_s, interval_s in zip(beats[:-1], intervals_s, strict=True):
        if 0.24 <= interval_s <= 3.0:
            rate[int(start_s) : int(np.ceil(start_s + interval_s))] = 60.0 / interval_s
    return rate, "ECG"


def _slow(night: Night) -> MeasuredEvents | None:
    return _sustained(night, "bradycardia", lambda rate: rate < BRADYCARDIA_BPM)


def _fast(night: Night) -> MeasuredEvents | None:
    return _sustained(night, "tachycardia", lambda rate: rate > TACHYCARDIA_BPM)


def _sustained(
    night: Night, kind: str, beyond: Callable[[np.ndarray], np.ndarray]
) -> MeasuredEvents | None:
    measured = _heart_rate(night)
    if measured is None:
        return None
    rate, channel = measured
    with np.errstate(invalid="ignore"):
        inside = beyond(rate)
    events = []
    for start, stop in _runs(inside):
        if stop - start < SUSTAINED_S:
            continue
        part = rate[start:stop]
        extreme = float(part.min() if kind == "bradycardia" else part.max())
        events.append(
            MeasuredEvent(kind, float(start), float(stop - start), channel, {"rate_bpm": extreme})
        )
    limit = f"below {BRADYCARDIA_BPM:g}" if kind == "bradycardia" else f"above {TACHYCARDIA_BPM:g}"
    return MeasuredEvents(
        tuple(events), f"heart rate ({channel}) {limit} bpm for at least {SUSTAINED_S} s"
    )


def _position_changes(night: Night) -> MeasuredEvents | None:
    from sleeplm.montage import POSITION_CODES

    signal = night.recording.channel("POS")
    if signal is None:
        return None
    names = {code: name for name, code in POSITION_CODES.items() if code >= 0}
    per = int(SIGNAL_RATE_HZ)
    codes = np.rint(np.nan_to_num(np.asarray(signal)[per // 2 :: per], nan=-1)).astype(int)
    runs = [
        (start, stop, int(codes[start]))
        for start, stop in _level_runs(codes)
        if stop - start >= LEAST_POSITION_S and int(codes[start]) in names
    ]
    events = []
    for (_, before_stop, before), (start, _, code) in itertools.pairwise(runs):
        if code == before:
            continue
        events.append(
            MeasuredEvent(
                "position_change",
                float(before_stop),
                float(start - before_stop),
                "POS",
                {},
                f"from {names[before]} to {names[code]}",
            )
        )
    return MeasuredEvents(
        tuple(events),
        f"changes of the position channel, each position held for at least {LEAST_POSITION_S} s",
    )


def _artifacts(night: Night) -> MeasuredEvents | None:
    quality = night.measurements().signal_quality
    if not quality.flags:
        return None
    events = [
        MeasuredEvent(
            "artifact",
            stretch.onset_s,
            stretch.duration_s,
            stretch.channel,
            {},
            f"{stretch.channel}: {stretch.words}",
        )
        for stretch in quality.stretches()
    ]
    events.sort(key=lambda event: (event.onset_s, event.channel))
    return MeasuredEvents(
        tuple(events), "epochs in which a channel is lost, flat, clipped or not plausible"
    )


def _eeg_waves(kind: str) -> Callable[[Night], MeasuredEvents | None]:
    def find(night: Night) -> MeasuredEvents | None:
        measurements = night.measurements()
        held = measurements.spindles if kind == "spindle" else measurements.slow_waves
        channel = next((name for name in ("EEG_C3_A2", "EEG_C4_A1") if name in held), None)
        if channel is None:
            return None
        # Both sides see most waves; counting both would double them.
        events = tuple(
            MeasuredEvent(kind, wave.onset_s, wave.duration_s, channel, {})
            for wave in held[channel]
        )
        words = "sleep spindles" if kind == "spindle" else "slow waves"
        return MeasuredEvents(events, f"{words} as detected in {channel}")

    return find


def _eye_movement_bursts(night: Night) -> MeasuredEvents | None:
    from sleeplm.physiology.waves import bursts

    measurements = night.measurements()
    if not np.isfinite(measurements.values["eog_rem_count"]).any():
        return None
    spans = bursts(measurements.eye_movements)
    events = []
    for start_s, duration_s in spans:
        count = sum(
            start_s <= wave.onset_s < start_s + duration_s for wave in measurements.eye_movements
        )
        events.append(
            MeasuredEvent(
                "rem_burst",
                start_s,
                duration_s,
                "EOG_L",
                {"movements": count},
                f"{count} movements",
            )
        )
    return MeasuredEvents(tuple(events), "runs of rapid movements of both eyes as detected")


def _runs(mask: np.ndarray) -> Iterator[tuple[int, int]]:
    """[start, stop) of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], np.asarray(mask, bool), [False]])))
    yield from ((int(a), int(b)) for a, b in edges.reshape(-1, 2))


def _level_runs(codes: np.ndarray) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(codes)) + 1
    bounds = [0, *(int(edge) for edge in edges), len(codes)]
    yield from itertools.pairwise(bounds)


_FINDERS: dict[str, Callable[[Night], MeasuredEvents | None]] = {
    "desaturation": _desaturations,
    "bradycardia": _slow,
    "tachycardia": _fast,
    "position_change": _position_changes,
    "artifact": _artifacts,
    "spindle": _eeg_waves("spindle"),
    "slow_wave": _eeg_waves("slow_wave"),
    "rem_burst": _eye_movement_bursts,
}
#: Kinds that can be measured where their channel was recorded.
MEASURED_KINDS: tuple[str, ...] = tuple(_FINDERS)
