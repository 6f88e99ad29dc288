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
from scipy.ndimage import uniform_filter1d
from scipy.signal import resample_poly

from sleeplm.errors import QueryError
from sleeplm.scoring import EPOCH_S, STAGES, Scorer, Scoring
from train.simulate.artefacts import chosen_artefacts, disturb
from train.simulate.breathing import (
    Breaths,
    RespiratoryEvent,
    breathe,
    draw_breaths,
    heart_in_breathing,
    place_events,
    place_reras,
)
from train.simulate.cheyne_stokes import periodic_breathing
from train.simulate.conditions import CONDITIONS, SUPINE, Condition, condition_named
from train.simulate.eeg import RATE_HZ, moment_stages, simulate_brain
from train.simulate.eyes import eye_movements, eye_spread
from train.simulate.heart import add_ectopic, beat_times, electrocardiogram, pulse_rate
from train.simulate.hypnogram import simulate_stages, waking_arousals
from train.simulate.legs import LEG_CHANNELS, leg_muscles, leg_truth, move_legs
from train.simulate.muscle import chin_muscle
from train.simulate.oximetry import (
    Circulation,
    Desaturation,
    draw_circulation,
    draw_dips,
    draw_rem_falls,
    find_desaturations,
    saturation,
)
from train.simulate.restlessness import (
    arousals_and_movements,
    end_in_arousals,
    posture,
    sway,
    with_others,
)
from train.simulate.truth import truth_events

__all__ = ["CHANNELS", "CONDITIONS", "SimulatedNight", "simulate_night"]

CHANNELS = (
    "ECG", "ABD", "THX", "AF", "EOG_L", "EOG_R", "EEG_C3_A2", "EEG_C4_A1", "EMG_CHIN", "POS",
    "SPO2", "HR",
)  # fmt: skip
HOUSE_RATE_HZ = 64
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
    breaths_s : array
        Times at which breaths begin; in an apnea those that would have been.
    """

    signals: dict[str, np.ndarray]
    scoring: Scoring
    start: datetime
    meta: dict[str, Any]
    native: dict[str, tuple[float, np.ndarray]] = field(repr=False, default_factory=dict)
    r_peaks_s: np.ndarray = field(repr=False, default_factory=lambda: np.zeros(0))
    breaths_s: np.ndarray = field(repr=False, default_factory=lambda: np.zeros(0))


def simulate_night(
    seed: int,
    *,
    hours: float = 8.0,
    ahi: float | None = None,
    condition: str | None = None,
    start: datetime | None = None,
    missing: Sequence[str] = (),
    variety: float = 1.0,
    age_y: float | None = None,
    artefacts: float | Sequence[str] = 0.0,
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
        (that of ``osa`` without a condition). Reached to the nearest whole event.
    condition : str, optional
        One of :data:`CONDITIONS`.
    start : datetime, optional
        Clock time of the first sample; drawn between 21:30 and 23:30 where not given.
    missing : sequence of str
        Channels that were not recorded, legs (``LEG_L``, ``LEG_R``) among them. Events that only
        they would show leave the truth.
    variety : float
        Factor on how EEG spectra differ between nights and change within one, 0–3; 1 is as
        measured on real nights, more is for training, so that what learns here carries over.
    age_y : float, optional
        Age in years, 5–95; the condition's own where not given.
    artefacts : float or sequence of str
        How likely artefacts are, 0 (none) to 1, or names of
        :data:`~train.simulate.artefacts.ARTEFACTS` to have for certain.

    Raises
    ------
    QueryError
        An argument is out of range or unknown.
    """
    who = condition_named(condition)
    ahi = who.ahi if ahi is None else float(ahi)
    age_y = who.age_y if age_y is None else float(age_y)
    _check(seed, hours, ahi, age_y, missing)
    if not 0 <= variety <= 3:
        raise QueryError(f"variety {variety} is out of range; use 0 to 3")
    # A generator for each part: a change in one leaves the others as they were.
    parts = ("plan", "stages", "breaths", "events", "oxygen", "breathing", "brain", "eyes",
             "muscle", "heart", "ecg", "legs", "artefacts", "waking", "reras", "pulse",
             "ectopic")  # fmt: skip
    rng = dict(
        zip(
            parts,
            (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(len(parts))),
            strict=True,
        )
    )
    wrong = chosen_artefacts(rng["artefacts"], artefacts)
    if start is None:
        start = datetime(2001, 1, 1, 21, 30) + timedelta(
            minutes=int(rng["plan"].integers(0, 121)), seconds=int(rng["plan"].integers(0, 60))
        )
    n_epochs = max(1, round(hours * 3600 / EPOCH_S))
    stages = simulate_stages(rng["stages"], n_epochs, who.profile(ahi, age_y))
    position, changes = posture(rng["plan"], stages, who)
    breaths = draw_breaths(rng["breaths"], stages)
    sleep_h = float(np.sum(stages > 0)) * EPOCH_S / 3600
    count = round(ahi * sleep_h)
    periodic_s: list[tuple[float, float]] = []
    if who.periodic_breathing:
        breaths, events, periodic_s = periodic_breathing(rng["events"], stages, breaths, count)
    else:
        events = place_events(
            rng["events"], stages, position == SUPINE, breaths, count, who.placement(ahi)
        )
    circulation = draw_circulation(
        rng["oxygen"], ahi, resting_pct=who.resting_spo2_pct, lag_s=who.finger_lag_s,
        rem_fall_pct=who.rem_fall_pct,
    )  # fmt: skip
    spo2_pct, dips = _oxygen(rng["oxygen"], stages, events, circulation)
    arousals_s, movements_s = arousals_and_movements(
        rng["events"], stages, events, dips, changes, who
    )
    reras = place_reras(
        rng["reras"], stages, position == SUPINE, breaths, events, round(who.reras_per_h * sleep_h)
    )
    reras, arousals_s = end_in_arousals(rng["reras"], reras, arousals_s, stages)
    arousals_s = with_others(arousals_s, waking_arousals(rng["waking"], stages), 10.0)
    steps, more_s = move_legs(rng["legs"], stages, events, arousals_s, movements_s, who)
    arousals_s = sorted([*arousals_s, *more_s])
    limited = sorted([*events, *reras], key=lambda event: event.onset_s)
    native, beats_s = _record(
        rng, stages, position, breaths, limited, arousals_s, movements_s, variety, who, age_y
    )
    native["SPO2"] = (1.0, spo2_pct.astype(np.float32))
    native |= leg_muscles(rng["legs"], stages, steps)
    for name in missing:
        native.pop(name, None)
    disturbed = (
        disturb(rng["artefacts"], native, wrong, n_epochs * EPOCH_S, movements_s)
        if artefacts
        else None
    )

    legs = leg_truth(steps, stages, events)
    truth, scored_kinds = truth_events(
        limited, dips, arousals_s, periodic_s, legs, disturbed, missing
    )
    counted = [event for event in truth if "apnea" in event.kind or event.kind == "hypopnea"]
    meta: dict[str, Any] = {
        "seed": seed,
        "hours": n_epochs * EPOCH_S / 3600,
        "ahi": ahi,
        "condition": condition,
        "missing": sorted(missing),
        "variety": variety,
        "age_y": age_y,
        "artefacts": disturbed.done if disturbed else [],
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
    begin_s = breaths.onset_s
    begin_s = begin_s[(begin_s >= 0) & (begin_s < n_epochs * EPOCH_S)]
    return SimulatedNight(_house_signals(native), scoring, start, meta, native, beats_s, begin_s)


def _check(seed: int, hours: float, ahi: float, age_y: float, missing: Sequence[str]) -> None:
    """Refuse what makes no night."""
    if seed < 0:
        raise QueryError(f"seed {seed} is negative; use 0 or more")
    if not 0.08 <= hours <= 24:
        raise QueryError(f"hours {hours} is out of range; a night has 0.1 to 24 hours")
    if not 5 <= age_y <= 95:
        raise QueryError(f"age {age_y:g} is out of range; use 5 to 95 years")
    names = (*CHANNELS, *LEG_CHANNELS)
    unknown = [name for name in missing if name not in names]
    if unknown:
        raise QueryError(
            f"missing channel {unknown[0]!r} is not known; use names of {', '.join(names)}"
        )
    if set(CHANNELS) <= set(missing):
        raise QueryError("missing names every channel; leave at least one")
    if not 0 <= ahi <= 150:
        raise QueryError(f"ahi {ahi} is out of range; use 0 to 150 events an hour of sleep")


def _oxygen(
    rng: np.random.Generator,
    stages: np.ndarray,
    events: list[RespiratoryEvent],
    circulation: Circulation,
) -> tuple[np.ndarray, list[Desaturation]]:
    """SpO2 and its desaturations; none of these begins or has its middle in wake."""
    draw_dips(rng, events, circulation)
    falls = draw_rem_falls(rng, stages, circulation)
    seed = int(rng.integers(2**32))
    n_seconds = len(stages) * 30
    asleep = uniform_filter1d(np.repeat(stages != 0, 30).astype(float), 60, mode="nearest")
    for _ in range(4):
        spo2_pct = saturation(
            np.random.default_rng(seed), n_seconds, events, circulation, falls=falls, asleep=asleep
        )
        dips = find_desaturations(spo2_pct, events, circulation, falls=falls)
        awake = [
            dip for dip in dips
            if stages[min(int(dip.onset_s // 30), len(stages) - 1)] == 0
            or stages[min(int((dip.onset_s + dip.end_s) / 60), len(stages) - 1)] == 0
        ]  # fmt: skip
        if not awake:
            return spo2_pct, dips
        for dip in awake:
            if dip.event >= 0:
                events[dip.event].dip_pct = min(1.2, 0.4 * events[dip.event].dip_pct)
    return spo2_pct, [dip for dip in dips if dip not in awake]


def _record(
    rng: dict[str, np.random.Generator],
    stages: np.ndarray,
    position: np.ndarray,
    breaths: Breaths,
    events: list[RespiratoryEvent],
    arousals_s: list[tuple[float, float]],
    movements_s: list[tuple[float, float]],
    variety: float,
    who: Condition,
    age_y: float,
) -> tuple[dict[str, tuple[float, np.ndarray]], np.ndarray]:
    """Every channel but the oximeter at its native rate, and the beats."""
    n_seconds = len(stages) * 30
    n = n_seconds * RATE_HZ
    seconds, brain_seconds = moment_stages(rng["brain"], stages)
    brain = simulate_brain(
        rng["brain"], brain_seconds, arousals_s, variety, age_y=age_y,
        alpha_strength=who.alpha_strength, movements_s=movements_s,
    )  # fmt: skip
    left, right = eye_movements(rng["eyes"], seconds)
    seen_left, seen_right = eye_spread(rng["eyes"], left, right)
    moved = sway(rng["muscle"], n, movements_s)
    chin = chin_muscle(rng["muscle"], seconds, arousals_s, movements_s, atonia=who.atonia)
    air = breathe(
        rng["breathing"], n_seconds * HOUSE_RATE_HZ, breaths, events, arousals_s,
        stages=stages, position=position,
    )  # fmt: skip
    phase = air.pop("phase")
    beats_s = beat_times(
        rng["heart"], stages, phase, arousals_s, events,
        resting_bpm=who.resting_bpm, movements_s=movements_s,
    )  # fmt: skip
    beats_s, kinds = add_ectopic(
        rng["ectopic"], beats_s, pac_per_h=who.pac_per_h, pvc_per_h=who.pvc_per_h
    )
    heart_in_breathing(rng["pulse"], air, beats_s, events)
    fast = float(RATE_HZ)
    restless = moved[::2] / 60.0
    native = {
        "ECG": (
            fast,
            electrocardiogram(rng["ecg"], n, beats_s, phase, kinds=kinds) + 0.002 * moved,
        ),
        "ABD": (64.0, air["ABD"] + 1.2 * restless),
        "THX": (64.0, air["THX"] + restless),
        "AF": (64.0, air["AF"] + 0.3 * restless),
        "EOG_L": (fast, brain.eye_left + left + moved),
        "EOG_R": (fast, brain.eye_right + right + 0.8 * moved),
        "EEG_C3_A2": (fast, brain.c3 + seen_left + 0.7 * moved),
        "EEG_C4_A1": (fast, brain.c4 + seen_right + 0.8 * moved),
        "EMG_CHIN": (fast, chin),
        "POS": (1.0, np.repeat(position, 30)),
        "HR": (1.0, pulse_rate(n_seconds, beats_s)),
    }
    return {
        name: (rate, signal.astype(np.float32)) for name, (rate, signal) in native.items()
    }, beats_s


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
