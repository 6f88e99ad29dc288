"""Oximetry: dips that follow breathing events late, read by a 1-Hz oximeter in whole percent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from train.simulate.breathing import RespiratoryEvent
from train.simulate.eeg import slow_noise

__all__ = [
    "Circulation",
    "Desaturation",
    "Fall",
    "draw_circulation",
    "draw_dips",
    "draw_rem_falls",
    "find_desaturations",
    "oximeter_faults",
    "saturation",
]

LEAST_DROP_PCT = 3.0
#: The baseline of a fall without an event is looked for so far back, and its end so far on.
BASELINE_S, LONGEST_S = 60, 120
REM = 4
# How a recorder asks its oximeter: a value every second, or values for a moment (s) once in so
# many seconds, held in between. Periods and moments as found in the HuGCDN2014 recordings, one
# steady period for each (14, 14, 17 and 12 of 57 nights).
POLLS = ((1.0, 1.0), (4.42, 1.15), (5.32, 1.2), (9.2, 2.4), (18.6, 6.0))
POLL_SHARES = (0.25, 0.19, 0.18, 0.22, 0.16)


@dataclass(frozen=True)
class Desaturation:
    """A fall of ≥ 3 % that the oximeter shows, by whole seconds, and which event caused it.

    ``event`` is −1 for a fall without a breathing event (hypoventilation in R).
    """

    onset_s: float
    end_s: float
    baseline_pct: float
    nadir_pct: float
    event: int


@dataclass(frozen=True)
class Fall:
    """A slow fall of saturation without apnea, as in the hypoventilation of REM sleep."""

    onset_s: float
    end_s: float
    dip_pct: float


@dataclass(frozen=True)
class Circulation:
    """One sleeper's oximetry.

    Resting saturation (%), the delay from lung to finger (s), how deep dips are, how far
    saturation falls in R without apneas (%), how restless it is, over how many seconds of pulses
    the oximeter averages, the highest value it shows, and how the recorder asks it: every
    ``poll_s`` seconds it takes values for ``live_s`` seconds and holds the last one until then.
    """

    resting_pct: float
    lag_s: float
    sensitivity: float
    rem_fall_pct: float = 0.0
    restlessness: float = 1.0
    average_s: int = 4
    return_s: float = 14.0
    highest_pct: float = 100.0
    poll_s: float = 1.0
    live_s: float = 1.0


def draw_circulation(
    rng: np.random.Generator,
    ahi: float,
    *,
    resting_pct: float | None = None,
    lag_s: float | None = None,
    rem_fall_pct: float = 0.0,
) -> Circulation:
    """Resting saturation falls, and dips deepen, with severity.

    Parameters
    ----------
    ahi : float
        Apneas and hypopneas an hour.
    resting_pct, lag_s : float, optional
        Drawn where not given; a slow circulation (heart failure) delays the finger by 25–40 s,
        lung disease rests at 87–92 %.
    rem_fall_pct : float
        Typical depth of falls in R without apneas; 0 for none.
    """
    drawn_pct = float(np.clip(rng.normal(96.5 - 0.025 * ahi, 1.2), 91.0, 98.3))
    drawn_s = float(rng.uniform(13.0, 20.0))
    poll_s, live_s = POLLS[int(rng.choice(len(POLLS), p=POLL_SHARES))]
    return Circulation(
        drawn_pct if resting_pct is None else resting_pct,
        drawn_s if lag_s is None else lag_s,
        float(np.exp(0.4 * rng.standard_normal()) * (0.48 + 0.0135 * ahi)),
        rem_fall_pct,
        float(np.exp(0.3 * rng.standard_normal())),
        int(rng.integers(2, 7)),
        float(rng.uniform(8.0, 18.0)),
        float(rng.choice([98.0, 98.0, 99.0, 100.0])),
        poll_s * (float(rng.uniform(0.98, 1.03)) if poll_s > 1 else 1.0),
        live_s,
    )


def draw_dips(
    rng: np.random.Generator, events: list[RespiratoryEvent], circulation: Circulation
) -> None:
    """Give each event the depth (%) of the fall that follows it: longer and apneic fall more.

    From a low resting saturation it falls further: the dissociation curve is steep there.
    """
    steep = 1 + 0.07 * max(95.0 - circulation.resting_pct, 0.0)
    for event in events:
        kind = 0.85 if event.kind == "hypopnea" else 1.3
        depth = 4.2 * kind * (event.duration_s / 20.0) ** 0.9 * circulation.sensitivity * steep
        depth *= 1.25 if event.stage == REM else 1.0
        event.dip_pct = float(np.clip(depth * np.exp(0.4 * rng.standard_normal()), 0.6, 35.0))


def draw_rem_falls(
    rng: np.random.Generator, stages: np.ndarray, circulation: Circulation
) -> list[Fall]:
    """Falls of one to five minutes in R, for a sleeper who hypoventilates there."""
    if circulation.rem_fall_pct <= 0:
        return []
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (stages == REM).astype(int), [0]])))
    falls: list[Fall] = []
    for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        at = first * 30.0 + rng.uniform(20, 90)
        while True:
            length_s = float(np.clip(110 * np.exp(0.4 * rng.standard_normal()), 50, 300))
            if at + length_s + 20 > stop * 30.0:
                break
            depth = circulation.rem_fall_pct * float(np.exp(0.3 * rng.standard_normal()))
            falls.append(Fall(at, at + length_s, min(depth, 25.0)))
            at += length_s + rng.uniform(60, 240)
    return falls


def saturation(
    rng: np.random.Generator,
    n_seconds: int,
    events: list[RespiratoryEvent],
    circulation: Circulation,
    *,
    falls: Sequence[Fall] = (),
    asleep: np.ndarray | None = None,
) -> np.ndarray:
    """SpO2 in whole percent, one value a second [n_seconds].

    ``asleep``, by the second, 0 to 1: awake, breathing keeps what falls short of events small.
    """
    second = np.arange(n_seconds, dtype=float)
    wander = (
        0.7 * slow_noise(rng, n_seconds, 1500.0).clip(-1.8, 1.8)
        + 0.42 * slow_noise(rng, n_seconds, 150.0)
        + 0.34 * slow_noise(rng, n_seconds, 25.0)
    )
    # Near full saturation the dissociation curve is flat: little is seen to move there.
    flat = float(np.clip((99.3 - circulation.resting_pct) / 3.0, 0.35, 1.5))
    restless = circulation.restlessness * flat
    level = circulation.resting_pct + restless * wander
    # Breathing that waxes and wanes short of an event moves whoever falls easily.
    swing = slow_noise(rng, n_seconds, 18.0) * slow_noise(rng, n_seconds, 120.0).clip(-2, 2)
    swing = np.abs(uniform_filter1d(swing, 7)) * (1.0 if asleep is None else 0.2 + 0.8 * asleep)
    level -= 0.45 * restless * circulation.sensitivity * swing
    for event in events:
        begin = event.onset_s + circulation.lag_s
        nadir = event.end_s + circulation.lag_s - rng.uniform(0.0, 3.0)
        recovered = nadir + float(
            np.clip(circulation.return_s * np.exp(0.35 * rng.standard_normal()), 4, 30)
        )
        fall_power, rise_power = rng.uniform(1.0, 2.4), rng.uniform(1.0, 2.6)
        first, last = max(0, int(begin)), min(n_seconds, int(recovered) + 1)
        if last <= first:
            continue
        here = second[first:last]
        fall = np.clip((here - begin) / (nadir - begin), 0, 1) ** fall_power
        rise = np.clip((recovered - here) / (recovered - nadir), 0, 1) ** rise_power
        level[first:last] -= event.dip_pct * np.minimum(fall, rise)
    for slow in falls:
        first, last = max(0, int(slow.onset_s)), min(n_seconds, int(slow.end_s))
        place = np.linspace(0, 1, max(last - first, 0))
        level[first:last] -= slow.dip_pct * np.sin(np.pi * place**1.4) ** 1.2
    level = uniform_filter1d(level, circulation.average_s, mode="nearest")
    shown = np.minimum(np.round(level), circulation.highest_pct)
    if circulation.poll_s > 1:
        # The recorder's own clock slips by some tenths of a second.
        asked = np.arange(0.0, n_seconds, circulation.poll_s)
        asked += 0.35 * rng.standard_normal(len(asked)).clip(-2, 2)
        latest = (np.searchsorted(asked, second, side="right") - 1).clip(0)
        live = second - asked[latest] < circulation.live_s
        shown = shown[np.maximum.accumulate(np.where(live, second, 0.0)).astype(int)]
    return np.asarray(np.clip(shown, 50, 100))


def oximeter_faults(
    rng: np.random.Generator,
    spo2_pct: np.ndarray,
    pulse_bpm: np.ndarray,
    movements_s: Sequence[tuple[float, float]],
    *,
    dropouts_per_h: float = 0.3,
    motion_share: float = 0.1,
) -> tuple[np.ndarray, np.ndarray, list[tuple[float, float]]]:
    """Drop-outs (both channels read 0) and falls that a movement of the finger feigns.

    Parameters
    ----------
    spo2_pct, pulse_bpm : arrays [n_seconds]
        At 1 Hz; not changed.
    movements_s : spans in seconds
        ``motion_share`` of them disturb the probe.

    Returns
    -------
    spo2_pct, pulse_bpm : arrays [n_seconds]
    spans_s : list of (start_s, end_s)
        What is not to be believed: a desaturation that touches it has no truth.
    """
    spo2, pulse = np.array(spo2_pct, dtype=float), np.array(pulse_bpm, dtype=float)
    n = len(spo2)
    spans: list[tuple[float, float]] = []
    for start_s, end_s in movements_s:
        if rng.random() >= motion_share:
            continue
        first, last = max(0, int(start_s)), min(n, int(end_s) + int(rng.integers(2, 9)))
        if last <= first:
            continue
        spo2[first:last] = (spo2[first:last] - rng.integers(2, 12)).clip(50, 100)
        pulse[first:last] = (pulse[first:last] + rng.integers(-15, 35)).clip(30, 200)
        spans.append((float(first), float(last)))
    for _ in range(rng.poisson(dropouts_per_h * n / 3600)):
        first = int(rng.integers(0, n))
        last = min(n, first + int(np.clip(9 * np.exp(0.7 * rng.standard_normal()), 2, 90)))
        spo2[first:last], pulse[first:last] = 0.0, 0.0
        spans.append((float(first), float(last)))
    return spo2, pulse, sorted(spans)


def find_desaturations(
    spo2_pct: np.ndarray,
    events: list[RespiratoryEvent],
    circulation: Circulation,
    *,
    falls: Sequence[Fall] = (),
) -> list[Desaturation]:
    """Falls of ≥ 3 % that the oximeter shows, by order of onset.

    First those after each event and in each slow fall: the baseline is the highest value between
    the event's onset and the nadir (after the last recovery); the onset the last second at it; the
    end where two thirds of the fall are regained, or the next fall begins. Then those that
    breathing short of an event has caused: a scorer sees and marks them too (event −1), from the
    highest value of the minute before.
    """
    found = []
    floor = 0
    # Onset and end of what lowers the saturation, at the finger, and the event that it is.
    lag = circulation.lag_s
    causes = [(e.onset_s + lag, e.end_s + lag, number) for number, e in enumerate(events)]
    causes = sorted(causes + [(fall.onset_s, fall.end_s, -1) for fall in falls])
    for place, (onset_s, end_s, number) in enumerate(causes):
        first = int(onset_s - 4)
        last = min(int(end_s + 4), len(spo2_pct))
        first = max(first, floor, 0)
        if last - first < 3:
            continue
        nadir_at = first + int(np.argmin(spo2_pct[first:last]))
        # Blood that reaches the finger now left the lung before the event: its own baseline.
        begin = max(floor, first - 8, int(onset_s - lag) + 1)
        before = spo2_pct[begin : nadir_at + 1]
        baseline = before.max()
        onset = begin + int(np.flatnonzero(before == baseline)[-1])
        nadir = spo2_pct[nadir_at]
        if baseline - nadir < LEAST_DROP_PCT or nadir_at == onset:
            continue
        limit = len(spo2_pct)
        if place + 1 < len(causes):
            limit = min(limit, int(causes[place + 1][0]) + 1)
        after = spo2_pct[nadir_at : max(limit, nadir_at + 1)]
        regained = np.flatnonzero(after >= nadir + (baseline - nadir) * 2 / 3)
        end = nadir_at + (int(regained[0]) if len(regained) else len(after))
        found.append(
            Desaturation(
                float(onset),
                float(max(end, nadir_at + 1)),
                float(baseline),
                float(nadir),
                number,
            )
        )
        floor = end
    return sorted([*found, *_other_falls(spo2_pct, found)], key=lambda fall: fall.onset_s)


def _other_falls(spo2_pct: np.ndarray, known: Sequence[Desaturation]) -> list[Desaturation]:
    taken = np.zeros(len(spo2_pct), bool)
    for fall in known:
        taken[int(fall.onset_s) : int(fall.end_s)] = True
    found = []
    second = floor = 0
    while second < len(spo2_pct):
        if taken[second]:
            floor = second + 1
        begin = max(floor, second - BASELINE_S)
        before = spo2_pct[begin : second + 1]
        if taken[second] or before.max() - spo2_pct[second] < LEAST_DROP_PCT:
            second += 1
            continue
        baseline = before.max()
        onset = begin + int(np.flatnonzero(before == baseline)[-1])
        nadir, end = spo2_pct[second], second
        while end < min(len(spo2_pct), onset + LONGEST_S) and not taken[end]:
            nadir = min(nadir, spo2_pct[end])
            if spo2_pct[end] >= nadir + (baseline - nadir) * 2 / 3:
                break
            end += 1
        if not taken[min(end, len(taken) - 1)]:  # else it is the beginning of the next known one
            found.append(Desaturation(float(onset), float(end), float(baseline), float(nadir), -1))
        floor = second = max(end, second + 1)
    return found
