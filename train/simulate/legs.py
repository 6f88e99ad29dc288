"""Legs: EMG of both anterior tibial muscles, single and periodic movements, and their truth.

AASM 2.6 (VII): a leg movement lasts 0.5–10 s and begins with a rise of 8 µV over the resting EMG;
movements of both legs that begin less than 5 s apart are one; one from 0.5 s before to 0.5 s after
an apnea or hypopnea is not scored; four or more in a row whose onsets lie 5–90 s apart are a
periodic series. The truth is this rule, applied to the movements that were put in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, sosfilt

from sleeplm.scoring import Event
from train.simulate.breathing import RespiratoryEvent
from train.simulate.conditions import Condition

__all__ = ["LEG_CHANNELS", "LegMovement", "leg_muscles", "leg_truth", "move_legs"]

LEG_CHANNELS = ("LEG_L", "LEG_R")
LEG_RATE_HZ = 256
LONGEST_S, SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S = 10.0, 5.0, 90.0
SHORTEST_SERIES = 4
RESPIRATORY_MARGIN_S = 0.5
# Periodic movements belong to N1 and N2 and the first half of the night; stages W N1 N2 N3 R.
SERIES_WEIGHT = np.array([0.0, 1.0, 1.0, 0.35, 0.12])
# Two movements never lie closer than this, so that each is one by any reading of the rule.
LEAST_APART_S = 6.0

Span = tuple[float, float]


@dataclass(frozen=True)
class LegMovement:
    """A movement of one or both legs: where, and its EMG (root mean square, µV) on each side."""

    onset_s: float
    end_s: float
    left_uv: float
    right_uv: float


def move_legs(
    rng: np.random.Generator,
    stages: np.ndarray,
    events: Sequence[RespiratoryEvent],
    arousals_s: Sequence[Span],
    movements_s: Sequence[Span],
    condition: Condition,
) -> tuple[list[LegMovement], list[Span]]:
    """Leg movements of a night, and the arousals that come with periodic ones.

    Series keep away from breathing events and body movements; single movements fall in sleep and
    wake; some breathing events end in a jerk of the legs, and body movements move them too.
    """
    busy = [(event.onset_s - 4, event.end_s + 4) for event in events]
    busy += [(start - 6, end + 6) for start, end in movements_s]
    busy_second = np.zeros(len(stages) * 30, dtype=bool)
    for start_s, end_s in busy:
        busy_second[max(0, int(start_s)) : max(0, int(end_s) + 1)] = True
    sleep_h = float(np.sum(stages > 0)) / 120
    made: list[LegMovement] = []
    arousals: list[Span] = []
    # The number differs between nights of one sleeper (log-SD about a quarter).
    wanted = round(condition.plm_per_h * sleep_h * np.exp(0.25 * rng.standard_normal()))
    for onsets in _series(rng, stages, busy_second, wanted):
        for onset_s in onsets:
            movement = _movement(rng, onset_s, 2.2)
            made.append(movement)
            if rng.random() < condition.plm_arousal_share:
                begin = onset_s + rng.uniform(-0.2, 0.4)
                span = (round(begin, 2), round(begin + rng.uniform(3.2, 8.0), 2))
                known = (*arousals_s, *arousals[-3:])
                clear = all(span[0] > e + 10 or span[1] < s - 10 for s, e in known)
                if clear and _asleep(stages, span):
                    arousals.append(span)
    for epoch in np.flatnonzero(rng.random(len(stages)) < _single_share(stages, condition)):
        at = epoch * 30 + rng.uniform(0, 28)
        if not busy_second[int(at)] and _free(made, at):
            made.append(_movement(rng, at, 1.8))
    for event in events:  # the jerk at the end of an event is part of its arousal
        if event.arousal and rng.random() < 0.2:
            made.append(_movement(rng, event.end_s + rng.uniform(-0.4, 0.3), 1.5))
    for start_s, end_s in movements_s:
        made.append(LegMovement(start_s, end_s, rng.uniform(25, 70), rng.uniform(25, 70)))
    return sorted(made, key=lambda movement: movement.onset_s), arousals


def _asleep(stages: np.ndarray, span: Span) -> bool:
    """Whether an arousal begins and has its middle in sleep."""
    last = len(stages) - 1
    places = (span[0], 0.5 * (span[0] + span[1]))
    return span[1] < 30 * len(stages) and all(stages[min(int(at // 30), last)] > 0 for at in places)


def _single_share(stages: np.ndarray, condition: Condition) -> np.ndarray:
    """Probability of a single movement, by epoch."""
    return condition.leg_movements_per_h / 120 * np.where(stages == 0, 2.0, 1.0)


def _free(made: Sequence[LegMovement], at_s: float) -> bool:
    return all(abs(at_s - movement.onset_s) > LEAST_APART_S + 10 for movement in made)


def _movement(rng: np.random.Generator, onset_s: float, median_s: float) -> LegMovement:
    """One movement, of both legs or of one."""
    length_s = float(np.clip(median_s * np.exp(0.4 * rng.standard_normal()), 0.8, 8.5))
    size_uv = np.clip(45 * np.exp(0.4 * rng.standard_normal(2)), 20, 200)
    sides = (1.0, 1.0) if rng.random() < 0.55 else (1.0, 0.0) if rng.random() < 0.5 else (0.0, 1.0)
    return LegMovement(
        onset_s, onset_s + length_s, float(size_uv[0] * sides[0]), float(size_uv[1] * sides[1])
    )


def _series(
    rng: np.random.Generator, stages: np.ndarray, busy_second: np.ndarray, wanted: int
) -> list[list[float]]:
    """Onsets of periodic movements, series by series, until there are about ``wanted``."""
    n_seconds = len(busy_second)
    weight = SERIES_WEIGHT[np.repeat(stages, 30)]
    weight = weight * np.linspace(1.5, 0.5, n_seconds)
    taken = busy_second.copy()
    found: list[list[float]] = []
    left = wanted
    for _ in range(40 + wanted):
        open_weight = np.where(taken, 0.0, weight)
        if left < SHORTEST_SERIES or open_weight.sum() == 0:
            break
        at = float(rng.choice(n_seconds, p=open_weight / open_weight.sum()) + rng.random())
        interval_s = float(np.clip(24 * np.exp(0.25 * rng.standard_normal()), 12, 50))
        length = min(left, SHORTEST_SERIES + int(rng.exponential(18)))
        onsets: list[float] = []
        while len(onsets) < length and at < n_seconds - 12:
            around = slice(max(0, int(at) - 1), int(at) + 11)
            if taken[around].any() or (stages[int(at // 30) : int((at + 10) // 30) + 1] == 0).any():
                break
            onsets.append(at)
            at += float(np.clip(interval_s * np.exp(0.16 * rng.standard_normal()), 8, 85))
        if onsets:
            # Series stay more than 90 s apart, or they would be one.
            edge = LONGEST_INTERVAL_S + 5 if len(onsets) >= SHORTEST_SERIES else 0
            taken[max(0, int(onsets[0] - edge)) : int(onsets[-1] + edge) + 1] = True
        if len(onsets) >= SHORTEST_SERIES:
            found.append(onsets)
            left -= len(onsets)
    return found


def leg_truth(
    movements: Sequence[LegMovement],
    stages: np.ndarray,
    events: Sequence[RespiratoryEvent],
) -> list[Event]:
    """Leg movements and periodic ones as the rule scores them; ``movements`` by onset."""
    spans = [(event.onset_s, event.end_s) for event in events]
    scored: list[LegMovement] = []
    for movement in movements:
        length_s = movement.end_s - movement.onset_s
        breathing = any(
            movement.onset_s <= end + RESPIRATORY_MARGIN_S
            and movement.end_s >= start - RESPIRATORY_MARGIN_S
            for start, end in spans
        )
        near = scored and movement.onset_s - scored[-1].onset_s < SHORTEST_INTERVAL_S
        if length_s <= LONGEST_S and not breathing and not near:
            scored.append(movement)
    asleep = [m for m in scored if stages[min(int(m.onset_s // 30), len(stages) - 1)] > 0]
    periodic: set[float] = set()
    run: list[float] = []
    for movement in [*asleep, LegMovement(np.inf, np.inf, 0.0, 0.0)]:
        if run and not movement.onset_s - run[-1] <= LONGEST_INTERVAL_S:
            periodic |= set(run) if len(run) >= SHORTEST_SERIES else set()
            run = []
        run.append(movement.onset_s)
    return [
        Event(
            "plm" if movement.onset_s in periodic else "limb_movement",
            round(movement.onset_s, 2),
            round(movement.end_s - movement.onset_s, 2),
            evidence={
                "left_uv": round(movement.left_uv, 1),
                "right_uv": round(movement.right_uv, 1),
            },
        )
        for movement in scored
    ]


def leg_muscles(
    rng: np.random.Generator, stages: np.ndarray, movements: Sequence[LegMovement]
) -> dict[str, tuple[float, np.ndarray]]:
    """EMG of both legs, float32 in µV at 256 Hz: resting tone, the movements, mains-free noise."""
    n = len(stages) * 30 * LEG_RATE_HZ
    band = butter(2, [10, 100], "bandpass", fs=LEG_RATE_HZ, output="sos").astype(np.float32)
    out = {}
    for side, name in enumerate(LEG_CHANNELS):
        rest_uv = rng.uniform(1.2, 2.6)
        noise = sosfilt(band, rng.standard_normal(n, dtype=np.float32))
        noise /= noise.std()
        tone = np.where(stages == 0, 1.3, np.where(stages == 4, 0.85, 1.0)) * rest_uv
        level = np.repeat(tone.astype(np.float32), 30 * LEG_RATE_HZ)
        for movement in movements:
            size_uv = movement.right_uv if side else movement.left_uv
            if size_uv == 0:
                continue
            first = max(0, round(movement.onset_s * LEG_RATE_HZ))
            last = min(n, round(movement.end_s * LEG_RATE_HZ))
            level[first:last] = np.hypot(level[first:last], size_uv * _burst(rng, last - first))
        out[name] = (float(LEG_RATE_HZ), (noise * level).astype(np.float32))
    return out


def _burst(rng: np.random.Generator, n: int) -> np.ndarray:
    """Course of a movement: a steep rise, jerks on a plateau, a steep end; mean about 1."""
    time = np.arange(n) / LEG_RATE_HZ
    edge = np.clip(np.minimum(time, time[-1] - time) / 0.08, 0, 1) if n else time
    jerks = 1 + 0.35 * np.sin(2 * np.pi * rng.uniform(0.5, 1.5) * time + rng.uniform(0, 6.28))
    return (edge * jerks).astype(np.float32)
