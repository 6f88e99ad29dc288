"""Breathing: effort at chest and belly and the airflow, breath by breath, and its events.

Breath onsets are drawn first; events begin and end at breath onsets, as a technologist marks
them. AASM 2.6 (VIII): apnea = flow down by ≥ 90 % for ≥ 10 s; hypopnea = ≥ 30 % with a ≥ 3 %
desaturation or an arousal; obstructive = effort goes on, central = none, mixed = none at first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from train.simulate.eeg import slow_noise

__all__ = ["Breaths", "Placement", "RespiratoryEvent", "breathe", "draw_breaths", "place_events"]

RATE_HZ = 64
SHORTEST_EVENT_S = 10.2
LONGEST_EVENT_S = 60.0
SHORTEST_GAP_S = 9.0
EDGE_S = 8.0
# Breath-to-breath variation (coefficient of variation) by stage W N1 N2 N3 R.
INTERVAL_CV = np.array([0.16, 0.10, 0.065, 0.035, 0.15])
DEPTH_CV = np.array([0.22, 0.14, 0.08, 0.045, 0.20])
STAGE_RATE = np.array([1.06, 1.0, 0.98, 0.99, 1.06])


@dataclass(frozen=True)
class Breaths:
    """Onsets (s, one more than there are breaths: the last is the end) and relative depth."""

    onset_s: np.ndarray
    depth: np.ndarray


@dataclass
class RespiratoryEvent:
    """One apnea or hypopnea from breath ``first`` up to but not including breath ``stop``."""

    kind: str
    onset_s: float
    end_s: float
    first: int
    stop: int
    flow_share: float
    stage: int
    dip_pct: float = 0.0
    arousal: bool = False

    @property
    def duration_s(self) -> float:
        return self.end_s - self.onset_s


@dataclass(frozen=True)
class Placement:
    """How a condition spreads and shapes its events.

    ``shares`` are the proportions of obstructive, central and mixed apneas and hypopneas;
    ``stage_weight`` [5] and ``supine_weight`` say where they fall.
    """

    shares: tuple[float, float, float, float]
    stage_weight: tuple[float, float, float, float, float]
    supine_weight: float


# A stretch of sleep of one stage and posture: start_s, end_s, stage code, supine.
Piece = tuple[float, float, int, bool]
KINDS = ("obstructive_apnea", "central_apnea", "mixed_apnea", "hypopnea")


def draw_breaths(rng: np.random.Generator, stages: np.ndarray) -> Breaths:
    """Breath onsets of a night, with the variability of its stages."""
    duration_s = len(stages) * 30.0
    mean_s = 60.0 / float(np.clip(rng.normal(14.5, 1.8), 11, 19))
    count = int(duration_s / mean_s * 1.6) + 40
    # The stage at a breath is looked up at its nominal time: intervals then sum to the night.
    slow, fast = slow_noise(rng, count, 12.0), rng.standard_normal(count)
    depth_noise = 0.7 * slow_noise(rng, count, 5.0) + 0.7 * rng.standard_normal(count)
    onset = np.empty(count + 1)
    onset[0] = -rng.uniform(0, mean_s)
    depth = np.empty(count)
    n = 0
    while n < count and onset[n] < duration_s + 2:
        stage = int(stages[min(max(int(onset[n] // 30), 0), len(stages) - 1)])
        wobble = np.clip(0.6 * slow[n] + 0.8 * fast[n], -2.5, 2.5)
        interval = mean_s / STAGE_RATE[stage] * np.exp(INTERVAL_CV[stage] * wobble)
        depth[n] = np.exp(DEPTH_CV[stage] * np.clip(depth_noise[n], -2.2, 2.2))
        onset[n + 1] = onset[n] + interval
        n += 1
    return Breaths(onset[: n + 1], depth[:n])


def place_events(
    rng: np.random.Generator,
    stages: np.ndarray,
    supine: np.ndarray,
    breaths: Breaths,
    count: int,
    placement: Placement,
) -> list[RespiratoryEvent]:
    """Spread ``count`` events over sleep, none touching an epoch of wake.

    Sleep is cut into pieces of one stage and posture, at most ten minutes long; each piece gets
    events by its weight (and a random one, so that events cluster in time) up to what fits.
    """
    pieces = _pieces(stages, supine)
    if count == 0 or not pieces:
        return []
    cycle_s = SHORTEST_EVENT_S + 4.0 + SHORTEST_GAP_S
    events: list[RespiratoryEvent] = []
    for _ in range(4):  # breaths are not cut: what did not fit goes where there is still room
        start_s = np.array([piece[0] for piece in pieces])
        length_s = np.array([piece[1] for piece in pieces]) - start_s
        stage = np.array([piece[2] for piece in pieces])
        room = np.floor((length_s + SHORTEST_GAP_S) / cycle_s).astype(int).clip(0)
        weight = length_s * np.array(placement.stage_weight)[stage]
        on_back = np.array([piece[3] for piece in pieces])
        weight = weight * np.where(on_back, placement.supine_weight, 1.0)
        weight = weight * rng.gamma(1.3, 1.0, len(pieces))
        allotted = _allot(rng, count - len(events), weight, room)
        for index in np.flatnonzero(allotted):
            events += _fill(
                rng, breaths, start_s[index], length_s[index], int(stage[index]),
                int(allotted[index]), placement,
            )  # fmt: skip
        pieces = _free_spans(pieces, events)
        if len(events) >= count or not pieces:
            break
    return sorted(events, key=lambda event: event.onset_s)


def _free_spans(pieces: list[Piece], events: list[RespiratoryEvent]) -> list[Piece]:
    """What is left of each piece between its events, a few breaths away from them."""
    left: list[Piece] = []
    for start_s, end_s, stage, supine in pieces:
        inside = sorted(
            (event.onset_s, event.end_s)
            for event in events
            if event.onset_s < end_s and event.end_s > start_s
        )
        edges = [start_s, *(edge for pair in inside for edge in pair), end_s]
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            first = begin + (SHORTEST_GAP_S if begin > start_s else 0.0)
            last = end - (SHORTEST_GAP_S if end < end_s else 0.0)
            if last - first > SHORTEST_EVENT_S:
                left.append((first, last, stage, supine))
    return left


def _pieces(stages: np.ndarray, supine: np.ndarray) -> list[Piece]:
    """(start_s, end_s, stage, supine) of sleep, the last seconds before wake left out."""
    pieces: list[Piece] = []
    key = stages.astype(int) * 2 + supine
    first = 0
    for epoch in range(1, len(stages) + 1):
        if epoch < len(stages) and key[epoch] == key[first] and epoch - first < 20:
            continue
        if stages[first] != 0:
            start = first * 30.0 + 1.0
            end = epoch * 30.0 - (EDGE_S if epoch == len(stages) or stages[epoch] == 0 else 3.0)
            pieces.append((start, end, int(stages[first]), bool(supine[first])))
        first = epoch
    return pieces


def _allot(
    rng: np.random.Generator, count: int, weight: np.ndarray, room: np.ndarray
) -> np.ndarray:
    """Whole numbers of events per piece, by weight, never more than there is room for."""
    allotted = np.zeros(len(weight), dtype=int)
    left = min(count, int(room.sum()))
    while left > 0:
        open_weight = np.where(allotted < room, weight + 1e-9, 0.0)
        drawn = rng.multinomial(left, open_weight / open_weight.sum())
        allotted = np.minimum(allotted + drawn, room)
        left = min(count, int(room.sum())) - int(allotted.sum())
    return allotted


def _fill(
    rng: np.random.Generator,
    breaths: Breaths,
    start_s: float,
    length_s: float,
    stage: int,
    count: int,
    placement: Placement,
) -> list[RespiratoryEvent]:
    """``count`` events inside one piece, at breath onsets."""
    kinds = rng.choice(4, count, p=np.array(placement.shares) / sum(placement.shares))
    median_s = np.array([20.0, 18.0, 24.0, 22.0])[kinds] * (1.25 if stage == 4 else 1.0)
    duration_s = np.clip(
        median_s * np.exp(0.32 * rng.standard_normal(count)), SHORTEST_EVENT_S, LONGEST_EVENT_S - 5
    )
    spare = length_s - count * (4.0 + SHORTEST_GAP_S) + SHORTEST_GAP_S
    if duration_s.sum() > spare:
        shrink = (spare - count * SHORTEST_EVENT_S) / max(
            duration_s.sum() - count * SHORTEST_EVENT_S, 1e-6
        )
        duration_s = SHORTEST_EVENT_S + (duration_s - SHORTEST_EVENT_S) * max(shrink, 0.0)
    free = max(spare - duration_s.sum(), 0.0)
    gaps = free * rng.dirichlet(np.full(count + 1, 1.5))
    events = []
    at = start_s
    earliest = int(np.searchsorted(breaths.onset_s, start_s - 0.9))
    last = int(np.searchsorted(breaths.onset_s, start_s + length_s, side="right")) - 1
    for number in range(count):
        at += gaps[number]
        first = max(int(np.searchsorted(breaths.onset_s, at - 2.0)), earliest)
        if first >= last:
            break
        stop = int(np.searchsorted(breaths.onset_s, breaths.onset_s[first] + duration_s[number]))
        stop = min(stop, last)
        if breaths.onset_s[stop] - breaths.onset_s[first] < 10.0:
            break
        kind = KINDS[kinds[number]]
        share = rng.uniform(0.0, 0.05) if kind != "hypopnea" else rng.uniform(0.25, 0.6)
        events.append(
            RespiratoryEvent(
                kind,
                float(breaths.onset_s[first]),
                float(breaths.onset_s[stop]),
                first,
                stop,
                share,
                stage,
            )
        )
        at = max(at + duration_s[number] + 4.0, breaths.onset_s[stop]) + SHORTEST_GAP_S
        earliest = stop + 2
    return events


def breathe(
    rng: np.random.Generator,
    n: int,
    breaths: Breaths,
    events: list[RespiratoryEvent],
    arousals_s: list[tuple[float, float]],
) -> dict[str, np.ndarray]:
    """Thorax, abdomen and airflow, float32 [n] at 64 Hz, arbitrary units, about ±1.

    Also ``"phase"``: the place in the breath cycle, 0–1, which the heart follows.
    """
    count = len(breaths.depth)
    flow, chest, belly = (np.ones(count) for _ in range(3))
    paradox, flatness = np.zeros(count), np.zeros(count)
    deeper = np.ones(count)
    for start_s, end_s in arousals_s:
        first = int(np.searchsorted(breaths.onset_s, start_s))
        stop = int(np.searchsorted(breaths.onset_s, end_s)) + 1
        deeper[first:stop] = np.maximum(deeper[first:stop], rng.uniform(1.1, 1.5))
    taken = np.zeros(count, dtype=bool)
    for event in events:
        taken[event.first : event.stop] = True
    for event in events:
        here = slice(event.first, event.stop)
        length = event.stop - event.first
        ramp = np.linspace(0.0, 1.0, length) if length > 1 else np.ones(1)
        deeper[here] = 1.0
        flow[here] = event.flow_share
        if event.kind == "obstructive_apnea":
            chest[here] = 0.45 + 0.45 * ramp
            belly[here] = 0.45 + 0.5 * ramp
            paradox[here] = 0.3 + 0.18 * ramp
        elif event.kind == "central_apnea":
            chest[here] = belly[here] = 0.02
        elif event.kind == "mixed_apnea":
            silent = max(1, length // 2)
            effort = np.concatenate(
                [np.full(silent, 0.02), np.linspace(0.4, 0.9, max(length - silent, 1))]
            )[:length]
            chest[here], belly[here] = effort, effort
            paradox[here] = np.where(effort > 0.1, 0.42, 0.0)
        else:
            chest[here] = belly[here] = 0.55 + 0.2 * event.flow_share + 0.1 * ramp
            paradox[here] = 0.08 + 0.12 * ramp
            flatness[here] = rng.uniform(0.5, 0.95)
        recovery = (
            np.array([0.75, 1.1, 1.3, 1.15])
            if event.kind == "central_apnea"
            else 1 + rng.uniform(0.3, 0.9) * np.array([1.0, 0.8, 0.5, 0.2])
        )
        for step, gain in enumerate(recovery):
            breath = event.stop + step
            if breath >= count or taken[breath]:
                break
            deeper[breath] = gain
    # Depth varies around each breath's own share, but a closed airway stays closed.
    depth = breaths.depth * deeper
    steady = np.where(taken, np.clip(breaths.depth, 0.85, 1.15), depth)

    time_s = np.arange(n) / RATE_HZ
    index = np.clip(np.searchsorted(breaths.onset_s, time_s, side="right") - 1, 0, count - 1)
    start = breaths.onset_s[index]
    phase = np.clip((time_s - start) / (breaths.onset_s[index + 1] - start), 0.0, 1.0)

    def along(values: np.ndarray, smooth_s: float) -> np.ndarray:
        return uniform_filter1d(values[index], max(1, int(smooth_s * RATE_HZ)), mode="nearest")

    shift = along(paradox, 1.5)
    thorax = along(steady * chest, 0.5) * _effort(phase)
    abdomen = along(steady * belly, 0.5) * _effort((phase - shift - 0.03) % 1.0)
    airflow = (steady * flow)[index] * _airflow(phase, flatness[index])
    # The heart moves the chest wall a little, and belts drift.
    signals = {
        "THX": thorax + 0.012 * rng.standard_normal(n) + _drift(rng, n, 0.08),
        "ABD": rng.uniform(0.8, 1.25) * abdomen
        + 0.012 * rng.standard_normal(n)
        + _drift(rng, n, 0.08),
        "AF": airflow + 0.010 * rng.standard_normal(n) + _drift(rng, n, 0.01),
    }
    out = {name: signal.astype(np.float32) for name, signal in signals.items()}
    out["phase"] = phase.astype(np.float32)
    return out


def _effort(phase: np.ndarray) -> np.ndarray:
    """Belt signal over a breath: up in the first 42 %, down in the rest; mean about 0."""
    rise = 0.42
    warped = np.where(phase < rise, 0.5 * phase / rise, 0.5 + 0.5 * (phase - rise) / (1 - rise))
    return -np.cos(2 * np.pi * warped) + 0.12 * np.sin(4 * np.pi * warped)


def _airflow(phase: np.ndarray, flatness: np.ndarray) -> np.ndarray:
    """Nasal pressure over a breath: inspiration up (flat-topped if limited), expiration down."""
    rise = 0.42
    into = np.sin(np.pi * np.clip(phase / rise, 0, 1))
    plateau = np.minimum(into, 0.62) / 0.62
    inspiration = (1 - flatness) * into + flatness * plateau
    out = np.clip((phase - rise) / (1 - rise), 0, 1)
    expiration = -1.05 * np.sin(np.pi * out**0.62) * (1 - 0.55 * out)
    return np.where(phase < rise, inspiration, expiration)


def _drift(rng: np.random.Generator, n: int, sd: float) -> np.ndarray:
    """Slow wander of a sensor's base line."""
    coarse = slow_noise(rng, n // RATE_HZ + 2, 40.0)
    return sd * np.interp(np.arange(n) / RATE_HZ, np.arange(len(coarse)), coarse)
