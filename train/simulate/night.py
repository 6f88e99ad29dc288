"""One simulated night: stages, then breathing and its events, then every channel, with the truth.

The order is causal: stages and posture decide where events fall; events decide arousals and
desaturations; all of them shape the signals. The truth is what was put in, and desaturations are
measured on the quantised oximeter, so that the scoring never claims what no channel shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from scipy.signal import butter, resample_poly, sosfiltfilt

from sleeplm.errors import QueryError
from sleeplm.scoring import EPOCH_S, RESPIRATORY_KINDS, STAGES, Event, Scorer, Scoring
from train.simulate.breathing import (
    Placement,
    RespiratoryEvent,
    breathe,
    draw_breaths,
    place_events,
)
from train.simulate.eeg import RATE_HZ, moment_stages, simulate_brain, smooth_gate
from train.simulate.eyes import eye_movements
from train.simulate.heart import beat_times, electrocardiogram, pulse_rate
from train.simulate.hypnogram import SleepProfile, simulate_stages
from train.simulate.muscle import chin_muscle
from train.simulate.oximetry import (
    Circulation,
    Desaturation,
    draw_circulation,
    draw_dips,
    find_desaturations,
    saturation,
)

__all__ = ["CHANNELS", "CONDITIONS", "SimulatedNight", "simulate_night"]

CHANNELS = (
    "ECG", "ABD", "THX", "AF", "EOG_L", "EOG_R", "EEG_C3_A2", "EEG_C4_A1", "EMG_CHIN", "POS",
    "SPO2", "HR",
)  # fmt: skip
HOUSE_RATE_HZ = 64
# What is not said otherwise: apneas and hypopneas an hour of sleep, by condition.
CONDITIONS = {
    "healthy": 2.0,
    "osa": 20.0,
    "central": 20.0,
    "rem_related": 12.0,
    "supine_related": 18.0,
    "insomnia": 3.0,
}
RIGHT, LEFT, SUPINE, PRONE = 0, 1, 2, 3
AROUSAL_SHARE = {
    "obstructive_apnea": 0.75,
    "central_apnea": 0.4,
    "mixed_apnea": 0.7,
    "hypopnea": 0.5,
}
CONVENTIONS = (
    "Times are seconds from the start of the recording. Respiratory events run from the first "
    "affected breath to the first recovered one and touch no epoch of wake. Hypopneas reduce "
    "flow by 40-75 % and have a desaturation of 3 % or more or an arousal. Desaturations are "
    "measured on the whole percents of a 1-Hz oximeter: onset at the last second of the highest "
    "value before the fall, end where two thirds are regained."
)


@dataclass
class SimulatedNight:
    """Signals and truth of a night.

    Parameters
    ----------
    signals : dict of float32 arrays [n_epochs · 1920]
        By house channel name, 64 Hz; EEG, EOG and EMG in µV, ECG in mV, belts and flow in
        arbitrary units, SPO2 in %, HR in bpm, POS as codes.
    scoring : Scoring
        The truth.
    start : datetime
        Clock time of the first sample.
    meta : dict
        Seed, request, achieved counts and conventions.
    native : dict of (rate_hz, array)
        The same channels at the rate at which they are recorded, for export.
    r_peaks_s : array
        Times of the heart beats.
    """

    signals: dict[str, np.ndarray]
    scoring: Scoring
    start: datetime
    meta: dict[str, Any]
    native: dict[str, tuple[float, np.ndarray]] = field(repr=False, default_factory=dict)
    r_peaks_s: np.ndarray = field(repr=False, default_factory=lambda: np.zeros(0))


def simulate_night(
    seed: int,
    *,
    hours: float = 8.0,
    ahi: float | None = None,
    condition: str | None = None,
    start: datetime | None = None,
    missing: Sequence[str] = (),
    variety: float = 1.0,
) -> SimulatedNight:
    """A whole polysomnography with known truth, the same bytes for the same arguments.

    Parameters
    ----------
    seed : int
        Not negative.
    hours : float
        0.08 (five minutes) to 24; rounded to whole epochs.
    ahi : float, optional
        Apneas and hypopneas an hour of sleep, 0–150; the condition's own where not given
        (20 without a condition). Reached to the nearest whole event.
    condition : str, optional
        One of :data:`CONDITIONS`.
    start : datetime, optional
        Clock time of the first sample; drawn between 21:30 and 23:30 where not given.
    missing : sequence of str
        Channels that were not recorded. Events that only they would show leave the truth.
    variety : float
        Factor on how EEG spectra differ between nights and change within one, 0–3; 1 is as
        measured on real nights, more is for training, so that what learns here carries over.

    Raises
    ------
    QueryError
        An argument is out of range or unknown.
    """
    ahi = _checked(seed, hours, ahi, condition, missing)
    if not 0 <= variety <= 3:
        raise QueryError(f"variety {variety} is out of range; use 0 to 3")
    # A generator for each part: a change in one leaves the others as they were.
    parts = ("plan", "stages", "breaths", "events", "oxygen", "breathing", "brain", "eyes",
             "muscle", "heart", "ecg")  # fmt: skip
    rng = dict(
        zip(
            parts,
            (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(len(parts))),
            strict=True,
        )
    )
    if start is None:
        start = datetime(2001, 1, 1, 21, 30) + timedelta(
            minutes=int(rng["plan"].integers(0, 121)), seconds=int(rng["plan"].integers(0, 60))
        )
    n_epochs = max(1, round(hours * 3600 / EPOCH_S))
    stages = simulate_stages(rng["stages"], n_epochs, _profile(condition, ahi))
    position, changes = _posture(rng["plan"], stages, condition)
    breaths = draw_breaths(rng["breaths"], stages)
    sleep_h = float(np.sum(stages > 0)) * EPOCH_S / 3600
    events = place_events(
        rng["events"], stages, position == SUPINE, breaths, round(ahi * sleep_h),
        _placement(condition, ahi),
    )  # fmt: skip
    circulation = draw_circulation(rng["oxygen"], ahi)
    spo2_pct, dips = _oxygen(rng["oxygen"], stages, events, circulation)
    arousals_s, movements_s = _arousals(rng["events"], stages, events, dips, changes, condition)
    native, beats_s = _record(
        rng, stages, position, breaths, events, arousals_s, movements_s, variety
    )
    native["SPO2"] = (1.0, spo2_pct.astype(np.float32))
    for name in missing:
        native.pop(name)

    truth, scored_kinds = _truth_events(events, dips, arousals_s, missing)
    counted = [event for event in truth if "apnea" in event.kind or event.kind == "hypopnea"]
    meta: dict[str, Any] = {
        "seed": seed,
        "hours": n_epochs * EPOCH_S / 3600,
        "ahi": ahi,
        "condition": condition,
        "missing": sorted(missing),
        "variety": variety,
        "conventions": CONVENTIONS,
        "sleep_h": sleep_h,
        "ahi_achieved": len(counted) / sleep_h if sleep_h else None,
        "counts": {
            kind: sum(event.kind == kind for event in truth)
            for kind in sorted({event.kind for event in truth})
        },
    }
    scoring = Scoring(
        tuple(STAGES[code] for code in stages),
        tuple(truth),
        Scorer("expert", "simulator truth", "1"),
        start=start,
        scored_kinds=scored_kinds,
        meta=meta,
    )
    return SimulatedNight(_house_signals(native), scoring, start, meta, native, beats_s)


def _checked(
    seed: int, hours: float, ahi: float | None, condition: str | None, missing: Sequence[str]
) -> float:
    """The AHI to reach; refuses what makes no night."""
    if seed < 0:
        raise QueryError(f"seed {seed} is negative; use 0 or more")
    if not 0.08 <= hours <= 24:
        raise QueryError(f"hours {hours} is out of range; a night has 0.1 to 24 hours")
    if condition is not None and condition not in CONDITIONS:
        raise QueryError(
            f"condition {condition!r} is not known; use one of {', '.join(CONDITIONS)}"
        )
    unknown = [name for name in missing if name not in CHANNELS]
    if unknown:
        raise QueryError(
            f"missing channel {unknown[0]!r} is not known; use names of {', '.join(CHANNELS)}"
        )
    if len(set(missing)) == len(CHANNELS):
        raise QueryError("missing names every channel; leave at least one")
    if ahi is None:
        ahi = CONDITIONS.get(condition or "osa", 20.0)
    if not 0 <= ahi <= 150:
        raise QueryError(f"ahi {ahi} is out of range; use 0 to 150 events an hour of sleep")
    return float(ahi)


def _profile(condition: str | None, ahi: float) -> SleepProfile:
    """Breathing events fragment sleep and cost deep sleep; insomnia delays and breaks it."""
    if condition == "insomnia":
        return SleepProfile(sleep_onset_min=38, fragmentation=1.7, deep_sleep=0.8, wake_bout=2.5)
    return SleepProfile(
        sleep_onset_min=11, fragmentation=1 + ahi / 90, deep_sleep=1 / (1 + ahi / 90)
    )


def _placement(condition: str | None, ahi: float) -> Placement:
    """Kinds and places of events; obstructive apneas gain on hypopneas with severity."""
    if condition == "central":
        return Placement((0.10, 0.58, 0.10, 0.22), (0, 1.2, 1.0, 0.4, 0.3), 1.5)
    if condition == "rem_related":
        return Placement((0.30, 0.03, 0.02, 0.65), (0, 0.5, 0.5, 0.15, 14.0), 1.4)
    severe = min(ahi / 50.0, 1.0)
    shares = (0.25 + 0.25 * severe, 0.05, 0.03 + 0.04 * severe, 0.67 - 0.29 * severe)
    return Placement(
        shares, (0, 1.2, 1.0, 0.35, 1.6), 12.0 if condition == "supine_related" else 2.0
    )


def _posture(
    rng: np.random.Generator, stages: np.ndarray, condition: str | None
) -> tuple[np.ndarray, list[int]]:
    """Position code of every epoch, and the epochs at whose start it changes.

    People turn over in wake where there is some within ten minutes, else with an arousal.
    """
    shares = np.array([0.26, 0.26, 0.40, 0.08])
    if condition == "supine_related":
        shares = np.array([0.25, 0.25, 0.45, 0.05])
    n = len(stages)
    position = np.empty(n, dtype=np.int8)
    current = int(rng.choice(4, p=shares)) if n > 240 else SUPINE
    changes: list[int] = []
    at = 0
    while True:
        following = at + max(10, int(2 * 38 * np.exp(0.6 * rng.standard_normal())))
        wake = np.flatnonzero(stages[at + 8 : n] == 0) + at + 8
        if len(wake) and following < n:
            nearest = int(wake[np.argmin(np.abs(wake - following))])
            if abs(nearest - following) <= 20:
                following = nearest
        position[at : min(following, n)] = current
        if following >= n - 2:
            position[at:] = current
            return position, changes
        weights = shares.copy()
        weights[current] = 0.0
        current = int(rng.choice(4, p=weights / weights.sum()))
        changes.append(following)
        at = following


def _oxygen(
    rng: np.random.Generator,
    stages: np.ndarray,
    events: list[RespiratoryEvent],
    circulation: Circulation,
) -> tuple[np.ndarray, list[Desaturation]]:
    """SpO2 and its desaturations; none of these begins or has its middle in wake."""
    draw_dips(rng, events, circulation)
    seed = int(rng.integers(2**32))
    n_seconds = len(stages) * 30
    for _ in range(4):
        spo2_pct = saturation(np.random.default_rng(seed), n_seconds, events, circulation)
        dips = find_desaturations(spo2_pct, events, circulation)
        awake = [
            dip for dip in dips
            if stages[min(int(dip.onset_s // 30), len(stages) - 1)] == 0
            or stages[min(int((dip.onset_s + dip.end_s) / 60), len(stages) - 1)] == 0
        ]  # fmt: skip
        if not awake:
            return spo2_pct, dips
        for dip in awake:
            events[dip.event].dip_pct = min(1.2, 0.4 * events[dip.event].dip_pct)
    return spo2_pct, [dip for dip in dips if dip not in awake]


def _arousals(
    rng: np.random.Generator,
    stages: np.ndarray,
    events: list[RespiratoryEvent],
    dips: list[Desaturation],
    changes: list[int],
    condition: str | None,
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Arousals (all in sleep) and body movements, as spans in seconds."""
    desaturating = {dip.event for dip in dips}
    wake = stages == 0
    spans: list[tuple[float, float]] = []

    def add(start_s: float, length_s: float, apart_s: float) -> bool:
        """Add an arousal if the greater part lies in sleep and no other is near."""
        epoch = int(start_s // 30)
        if epoch >= len(stages) or wake[epoch]:
            return False
        run_end = epoch
        while run_end < len(stages) and not wake[run_end]:
            run_end += 1
        length_s = min(length_s, 1.8 * (run_end * 30 - start_s), len(stages) * 30 - start_s)
        clear = all(
            start_s > e + apart_s or start_s + length_s < s - apart_s for s, e in spans[-40:]
        )
        if length_s < 3.0 or not clear:
            return False
        spans.append((round(start_s, 2), round(start_s + length_s, 2)))
        return True

    for number, event in enumerate(events):
        needed = event.kind == "hypopnea" and number not in desaturating
        share = AROUSAL_SHARE[event.kind] * (0.8 if event.stage == 4 else 1.0)
        if needed or rng.random() < share:
            length_s = float(np.clip(5.5 * np.exp(0.4 * rng.standard_normal()), 3.2, 14.0))
            onset_s = event.end_s - rng.uniform(0.3, 1.5)
            if number + 1 < len(events):
                length_s = min(length_s, max(3.2, events[number + 1].onset_s + 2 - onset_s))
            event.arousal = add(onset_s, length_s, 1.0)
            if needed and not event.arousal:
                # No room for the arousal that would make it a hypopnea: the airway closes instead.
                event.kind, event.flow_share = "obstructive_apnea", 0.04
    busy = [(event.onset_s - 15, event.end_s + 15) for event in events]
    movements: list[tuple[float, float]] = []
    taken = sorted(spans)
    for epoch in changes:
        at = epoch * 30.0 + rng.uniform(0.5, 3.0)
        length_s = float(rng.uniform(4, 9))
        if not wake[epoch] and not any(s < at + 12 and e > at - 12 for s, e in taken):
            taken.append((round(at, 2), round(at + length_s, 2)))
        movements.append((at, at + length_s))
    per_hour = 14.0 if condition == "insomnia" else 9.0
    sleep = np.flatnonzero(~wake)
    for epoch in sleep[rng.random(len(sleep)) < per_hour / 120].tolist():
        at = epoch * 30 + rng.uniform(2, 24)
        calm = not any(s < at + 18 and e > at for s, e in busy)
        alone = not any(s < at + 25 and e > at - 12 for s, e in taken)
        settled = (
            epoch > 0 and not wake[epoch - 1] and epoch + 1 < len(wake) and not wake[epoch + 1]
        )
        if calm and alone and settled:
            length_s = float(np.clip(6.5 * np.exp(0.4 * rng.standard_normal()), 3.2, 14.0))
            taken.append((round(at, 2), round(at + length_s, 2)))
    for epoch in np.flatnonzero(wake).tolist():  # restlessness while awake
        if rng.random() < 0.12:
            at = epoch * 30 + rng.uniform(0, 22)
            movements.append((at, at + rng.uniform(2, 7)))
    return sorted(taken), sorted(movements)


def _record(
    rng: dict[str, np.random.Generator],
    stages: np.ndarray,
    position: np.ndarray,
    breaths: Any,
    events: list[RespiratoryEvent],
    arousals_s: list[tuple[float, float]],
    movements_s: list[tuple[float, float]],
    variety: float,
) -> tuple[dict[str, tuple[float, np.ndarray]], np.ndarray]:
    """Every channel but the oximeter at its native rate, and the beats."""
    n_seconds = len(stages) * 30
    n = n_seconds * RATE_HZ
    seconds, brain_seconds = moment_stages(rng["brain"], stages)
    brain = simulate_brain(rng["brain"], brain_seconds, arousals_s, variety)
    left, right = eye_movements(rng["eyes"], seconds)
    sway = _sway(rng["muscle"], n, movements_s)
    chin = chin_muscle(rng["muscle"], seconds, arousals_s, movements_s)
    air = breathe(rng["breathing"], n_seconds * HOUSE_RATE_HZ, breaths, events, arousals_s)
    phase = air.pop("phase")
    beats_s = beat_times(rng["heart"], stages, phase, arousals_s, events)
    fast = float(RATE_HZ)
    restless = sway[::2] / 60.0
    native = {
        "ECG": (fast, electrocardiogram(rng["ecg"], n, beats_s, phase) + 0.002 * sway),
        "ABD": (64.0, air["ABD"] + 1.2 * restless),
        "THX": (64.0, air["THX"] + restless),
        "AF": (64.0, air["AF"] + 0.3 * restless),
        "EOG_L": (fast, brain.eye_left + left + sway),
        "EOG_R": (fast, brain.eye_right + right + 0.8 * sway),
        "EEG_C3_A2": (fast, brain.c3 + 0.7 * sway),
        "EEG_C4_A1": (fast, brain.c4 + 0.8 * sway),
        "EMG_CHIN": (fast, chin),
        "POS": (1.0, np.repeat(position, 30)),
        "HR": (1.0, pulse_rate(n_seconds, beats_s)),
    }
    return {
        name: (rate, signal.astype(np.float32)) for name, (rate, signal) in native.items()
    }, beats_s


def _sway(rng: np.random.Generator, n: int, movements_s: list[tuple[float, float]]) -> np.ndarray:
    """Slow sway of electrodes and belts during body movements, SD about 60 µV."""
    gate = smooth_gate(n, movements_s, rng.uniform(30, 90, len(movements_s)), 0.5)
    if not len(movements_s):
        return gate
    band = butter(2, [0.5, 2.5], "bandpass", fs=RATE_HZ, output="sos")
    noise = sosfiltfilt(band, rng.standard_normal(n))
    return (gate * noise / noise.std()).astype(np.float32)


def _truth_events(
    events: list[RespiratoryEvent],
    dips: list[Desaturation],
    arousals_s: list[tuple[float, float]],
    missing: Sequence[str],
) -> tuple[list[Event], tuple[str, ...]]:
    """The events that at least one recorded channel shows, and the kinds that could be shown.

    Legs are not simulated: their kinds were not looked for, which is not the same as none.
    """
    gone = set(missing)
    truth: list[Event] = []
    kinds: list[str] = []
    if not {"AF", "THX", "ABD"} <= gone:
        kinds += (*RESPIRATORY_KINDS, "rera")
        shown_on = next(name for name in ("AF", "THX", "ABD") if name not in gone)
        truth += [
            Event(
                event.kind,
                round(event.onset_s, 2),
                round(event.duration_s, 2),
                shown_on,
                evidence={"flow_reduction_pct": round(100 * (1 - event.flow_share), 1)},
            )
            for event in events
        ]
    if "SPO2" not in gone:
        kinds.append("desaturation")
        truth += [
            Event(
                "desaturation",
                dip.onset_s,
                dip.end_s - dip.onset_s,
                "SPO2",
                evidence={"baseline_pct": dip.baseline_pct, "nadir_pct": dip.nadir_pct},
            )
            for dip in dips
        ]
    brain = [name for name in ("EEG_C3_A2", "EEG_C4_A1") if name not in gone]
    if brain:
        kinds.append("arousal")
        truth += [
            Event("arousal", start_s, round(end_s - start_s, 2), brain[0])
            for start_s, end_s in arousals_s
        ]
    return truth, tuple(kinds)


def _house_signals(native: dict[str, tuple[float, np.ndarray]]) -> dict[str, np.ndarray]:
    """Every channel at 64 Hz: fast ones filtered and halved, 1-Hz ones held."""
    signals = {}
    for name in CHANNELS:
        if name not in native:
            continue
        rate_hz, signal = native[name]
        if rate_hz > HOUSE_RATE_HZ:
            signal = resample_poly(signal, HOUSE_RATE_HZ, int(rate_hz)).astype(np.float32)
        elif rate_hz < HOUSE_RATE_HZ:
            signal = np.repeat(signal, HOUSE_RATE_HZ // int(rate_hz))
        signals[name] = np.ascontiguousarray(signal, dtype=np.float32)
    return signals
