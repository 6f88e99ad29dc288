"""Breathing: effort at chest and belly and the airflow, breath by breath, and its events.

Breath onsets are drawn first; events begin and end at breath onsets, as a technologist marks
them. AASM 2.6 (VIII): apnea = flow down by ≥ 90 % for ≥ 10 s; hypopnea = ≥ 30 % with a ≥ 3 %
desaturation or an arousal; obstructive = effort goes on, central = none, mixed = none at first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter, uniform_filter1d

from train.simulate.breath_shape import airflow, belt, drift, effort, pause_constant_s
from train.simulate.eeg import slow_noise

__all__ = [
    "Breaths",
    "Placement",
    "RespiratoryEvent",
    "breathe",
    "draw_breaths",
    "heart_in_breathing",
    "place_events",
    "place_reras",
]

RATE_HZ = 64
SHORTEST_EVENT_S = 10.2
LONGEST_EVENT_S = 60.0
SHORTEST_GAP_S = 9.0
EDGE_S = 8.0
# Breath-to-breath variation (coefficient of variation) by stage W N1 N2 N3 R.
INTERVAL_CV = np.array([0.17, 0.11, 0.07, 0.04, 0.16])
DEPTH_CV = np.array([0.26, 0.15, 0.09, 0.05, 0.20])
SIGHS_PER_H = 8.0
LARGEST_BREATH = 2.4
# Time constants (breaths) whose equal sum falls off like 1/f.
MEMORY_BREATHS = (1.5, 6.0, 24.0, 96.0)
STAGE_RATE = np.array([1.06, 1.0, 0.98, 0.99, 1.06])


@dataclass(frozen=True)
class Breaths:
    """Onsets (s, one more than there are breaths: the last is the end) and relative depth."""

    onset_s: np.ndarray
    depth: np.ndarray


@dataclass
class RespiratoryEvent:
    """One apnea, hypopnea or RERA from breath ``first`` up to but not including ``stop``.

    ``periodic`` events are troughs of Cheyne-Stokes breathing: depth waxes and wanes around them,
    and their arousal comes at the height of the breathing, ``arousal_delay_s`` after their end.
    """

    kind: str
    onset_s: float
    end_s: float
    first: int
    stop: int
    flow_share: float
    stage: int
    central: bool = False
    dip_pct: float = 0.0
    arousal: bool = False
    periodic: bool = False
    arousal_delay_s: float = 0.0

    @property
    def duration_s(self) -> float:
        return self.end_s - self.onset_s


@dataclass(frozen=True)
class Placement:
    """How a condition spreads and shapes its events.

    ``shares`` are the proportions of obstructive, central and mixed apneas and hypopneas;
    ``stage_weight`` [5] and ``supine_weight`` say where they fall; ``central_hypopneas`` is the
    share of hypopneas in which drive and not the airway falls.
    """

    shares: tuple[float, float, float, float]
    stage_weight: tuple[float, float, float, float, float]
    supine_weight: float
    central_hypopneas: float = 0.05


# A stretch of sleep of one stage and posture: start_s, end_s, stage code, supine.
Piece = tuple[float, float, int, bool]
KINDS = ("obstructive_apnea", "central_apnea", "mixed_apnea", "hypopnea")


def _long_memory(rng: np.random.Generator, count: int) -> np.ndarray:
    """Noise of about unit SD whose spectrum falls like 1/f over some hundred breaths."""
    parts = [slow_noise(rng, count, tau) for tau in MEMORY_BREATHS]
    return np.asarray(sum(parts) / np.sqrt(len(parts)))


def draw_breaths(
    rng: np.random.Generator,
    stages: np.ndarray,
    *,
    rate_bpm: float | None = None,
    variability: float = 1.0,
) -> Breaths:
    """Breath onsets of a night, with the variability of its stages.

    Intervals and depths have a long memory (1/f); in sleep some breaths are sighs, which a pause
    and shallower breaths follow; phasic REM has runs of quick, shallow breaths.

    Parameters
    ----------
    stages : int array [n_epochs]
    rate_bpm : float, optional
        The sleeper's rate in N2; drawn around 14.5 a minute where not given.
    variability : float
        Factor on the variation from breath to breath.
    """
    duration_s = len(stages) * 30.0
    drawn = float(np.clip(rng.normal(14.5, 1.8), 11, 19))
    mean_s = 60.0 / (drawn if rate_bpm is None else rate_bpm)
    count = int(duration_s / mean_s * 1.6) + 40
    wobbles = np.clip(
        0.75 * _long_memory(rng, count) + 0.66 * rng.standard_normal(count), -2.5, 2.5
    )
    # A quick breath tends to be shallow.
    depths = np.clip(
        0.65 * _long_memory(rng, count) + 0.6 * rng.standard_normal(count) + 0.45 * wobbles,
        -2.4,
        2.2,
    )
    phasic = slow_noise(rng, count, 3.0) > 1.1
    sigh = rng.random(count) < SIGHS_PER_H * mean_s / 3600
    onset = np.empty(count + 1)
    onset[0] = -rng.uniform(0, mean_s)
    depth = np.empty(count)
    n = since_sigh = 0
    since_sigh = 99
    while n < count and onset[n] < duration_s + 2:
        stage = int(stages[min(max(int(onset[n] // 30), 0), len(stages) - 1)])
        interval = (
            mean_s / STAGE_RATE[stage] * np.exp(variability * INTERVAL_CV[stage] * wobbles[n])
        )
        depth[n] = np.exp(variability * DEPTH_CV[stage] * depths[n])
        since_sigh += 1
        if stage == 4 and phasic[n]:
            interval *= 0.85
            depth[n] *= 0.72
        elif stage > 0 and sigh[n] and since_sigh > 40:
            interval *= 1.35
            depth[n] *= 2.1
            since_sigh = 0
        elif since_sigh <= 2:
            interval *= 1.12
            depth[n] *= 0.8
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
        weight = weight * rng.gamma(2.0, 1.0, len(pieces))
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
    median_s = np.array([22.0, 18.0, 26.0, 24.0])[kinds] * (1.25 if stage == 4 else 1.0)
    duration_s = np.clip(
        median_s * np.exp(0.36 * rng.standard_normal(count)), SHORTEST_EVENT_S, LONGEST_EVENT_S - 5
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
        share = rng.uniform(0.0, 0.05) if kind != "hypopnea" else rng.uniform(0.25, 0.55)
        central = kind == "central_apnea" or (
            kind == "hypopnea" and rng.random() < placement.central_hypopneas
        )
        events.append(_event(breaths, kind, first, stop, share, stage, central))
        at = max(at + duration_s[number] + 4.0, breaths.onset_s[stop]) + SHORTEST_GAP_S
        earliest = stop + 2
    return events


def _event(
    breaths: Breaths, kind: str, first: int, stop: int, share: float, stage: int, central: bool
) -> RespiratoryEvent:
    onset_s, end_s = float(breaths.onset_s[first]), float(breaths.onset_s[stop])
    return RespiratoryEvent(kind, onset_s, end_s, first, stop, share, stage, central)


def place_reras(
    rng: np.random.Generator,
    stages: np.ndarray,
    supine: np.ndarray,
    breaths: Breaths,
    events: list[RespiratoryEvent],
    count: int,
) -> list[RespiratoryEvent]:
    """Up to ``count`` RERAs in the spans of N1, N2 and R that ``events`` leave free.

    A RERA is a run of breaths of at least 10 s with flattened flow and rising effort that is no
    hypopnea and ends in an arousal (AASM 2.6, VIII.F): the caller places that arousal.
    """
    spans = [
        piece
        for piece in _free_spans(_pieces(stages, supine), events)
        if piece[2] in (1, 2, 4) and piece[1] - piece[0] > 45.0
    ]
    found: list[RespiratoryEvent] = []
    for index in rng.permutation(len(spans)).tolist()[: max(count, 0)]:
        start_s, end_s, stage, _ = spans[index]
        length_s = float(np.clip(21.0 * np.exp(0.4 * rng.standard_normal()), 12.0, 40.0))
        at = rng.uniform(start_s + 12.0, max(end_s - length_s - 6.0, start_s + 12.1))
        first = int(np.searchsorted(breaths.onset_s, at))
        stop = int(np.searchsorted(breaths.onset_s, at + length_s))
        if stop >= len(breaths.depth) or breaths.onset_s[stop] > end_s:
            continue
        if breaths.onset_s[stop] - breaths.onset_s[first] >= 10.0:
            found.append(_event(breaths, "rera", first, stop, rng.uniform(0.76, 0.9), stage, False))
    return sorted(found, key=lambda event: event.onset_s)


def breathe(
    rng: np.random.Generator,
    n: int,
    breaths: Breaths,
    events: list[RespiratoryEvent],
    arousals_s: Sequence[tuple[float, float]],
    *,
    stages: np.ndarray | None = None,
    position: np.ndarray | None = None,
    snoring: float | None = None,
) -> dict[str, np.ndarray]:
    """Thorax, abdomen and airflow, float32 [n] at 64 Hz, arbitrary units, about ±1.

    Also ``"phase"``: the place in the breath cycle, 0–1, which the heart follows. The flow share
    of each event is set to what its breaths show against those of the two minutes before.

    Parameters
    ----------
    stages : int array [n_epochs], optional
        With it, wake has stretches of speech and R moves the belly more than the chest.
    position : int array [n_epochs], optional
        With it, belts change their level and gain where the posture changes.
    snoring : float, optional
        0–1: how much the airway limits flow between events; drawn where not given.
    """
    count = len(breaths.depth)
    stage = np.ones(count, dtype=int)
    if stages is not None:
        epoch = np.clip(breaths.onset_s[:-1] // 30, 0, len(stages) - 1).astype(int)
        stage = stages[epoch].astype(int)
    if snoring is None:
        snoring = float(rng.beta(1.2, 2.0))
    wake = (stage == 0) & (stages is not None)
    speech = wake & (slow_noise(rng, count, 5.0) > 1.8)
    plan = _plan(rng, breaths, events, arousals_s, snoring)
    interval_s = np.diff(breaths.onset_s)
    share = 0.41 + 0.025 * slow_noise(rng, count, 40.0) + 0.02 * rng.standard_normal(count)
    share = np.where(speech, 0.2, share + 0.05 * np.tanh(plan.limitation / 3))
    inspiration_s = np.minimum(share.clip(0.18, 0.52) * interval_s, 3.2)
    own_decay_s = rng.uniform(0.6, 0.95)
    decay_s = np.where(speech, 3.0, own_decay_s * np.exp(0.1 * rng.standard_normal(count)))
    decay_s = pause_constant_s(interval_s - inspiration_s, decay_s)
    skew = np.exp(-0.12 + 0.1 * slow_noise(rng, count, 8.0)).clip(0.65, 1.25)

    time_s = np.arange(n) / RATE_HZ
    index = np.clip(np.searchsorted(breaths.onset_s, time_s, side="right") - 1, 0, count - 1)
    within_s = np.clip(time_s - breaths.onset_s[index], 0.0, interval_s[index])
    phase = within_s / interval_s[index]

    def along(values: np.ndarray, smooth_s: float) -> np.ndarray:
        return uniform_filter1d(values[index], max(1, int(smooth_s * RATE_HZ)), mode="nearest")

    chest_gain = np.where(stage == 4, 0.8, 1.0) * np.exp(0.06 * slow_noise(rng, count, 30.0))
    inspiration, decay = inspiration_s[index], decay_s[index]
    thorax = along(plan.chest * chest_gain, 0.5) * effort(within_s, inspiration, decay)
    # The belly follows the chest a little late; the more so, the harder it works against a
    # narrow airway.
    late = ((phase - along(plan.asynchrony, 1.5) - 0.015) % 1.0) * interval_s[index]
    abdomen = along(plan.belly, 0.5) * effort(late, inspiration, decay)
    flow = plan.flow[index] * airflow(
        within_s, inspiration, decay, plan.limitation[index], skew[index]
    )
    if speech.any():
        voice = 0.6 + 0.3 * slow_noise(rng, n, 0.12 * RATE_HZ).clip(-2, 2)
        flow *= np.where(speech[index], voice, 1.0)
    _measure_flow(breaths, events, flow)
    signals = {
        "THX": belt(rng, n, 2.0 * thorax - 0.75, position),
        "ABD": belt(rng, n, rng.uniform(1.6, 2.5) * abdomen - 0.75, position),
        "AF": flow + 0.007 * rng.standard_normal(n) + drift(rng, n, 0.02),
    }
    out = {name: signal.astype(np.float32) for name, signal in signals.items()}
    out["phase"] = phase.astype(np.float32)
    return out


@dataclass(frozen=True)
class _Plan:
    """What each breath does: flow and belt amplitudes, lag of the belly, limitation of the flow."""

    flow: np.ndarray
    chest: np.ndarray
    belly: np.ndarray
    asynchrony: np.ndarray
    limitation: np.ndarray


def _plan(
    rng: np.random.Generator,
    breaths: Breaths,
    events: list[RespiratoryEvent],
    arousals_s: Sequence[tuple[float, float]],
    snoring: float,
) -> _Plan:
    """Every breath's amplitudes, from its own depth, the events and what follows them."""
    count = len(breaths.depth)
    depth = breaths.depth.copy()
    taken = np.zeros(count, dtype=bool)
    for event in events:
        taken[event.first : event.stop] = True
    for start_s, end_s in arousals_s:
        first = int(np.searchsorted(breaths.onset_s, start_s))
        woken = np.arange(first, int(np.searchsorted(breaths.onset_s, end_s)) + 1)
        woken = woken[woken < count]
        woken = woken[~taken[woken]]
        depth[woken] = np.maximum(depth[woken], breaths.depth[woken] * rng.uniform(1.1, 1.5))
    for event in events:
        if not event.periodic and event.kind != "rera":
            _recover(rng, event, depth, taken)
            _taper(rng, event, depth, taken)
    # Inside events breaths are measured against those around them, and vary less.
    level = median_filter(breaths.depth, size=31, mode="nearest")
    steady = np.where(taken, level * np.clip(breaths.depth / level, 0.88, 1.12), depth)
    if any(event.periodic for event in events):
        steady = np.where(taken, np.clip(breaths.depth, 0.88, 1.12), depth)
    flow, chest, belly = (np.ones(count) for _ in range(3))
    asynchrony = np.abs(0.012 * slow_noise(rng, count, 20.0))
    habit = 0.4 + 2.2 * snoring * slow_noise(rng, count, 60.0).clip(0, None)
    limitation = habit * np.exp(0.35 * rng.standard_normal(count))
    for event in events:
        here = slice(event.first, event.stop)
        length = event.stop - event.first
        ramp = np.linspace(0.0, 1.0, length) if length > 1 else np.ones(1)
        _shape(rng, event, here, ramp, (flow, chest, belly, asynchrony, limitation))
    after = np.zeros(count, dtype=bool)
    for event in events:
        after[event.stop : event.stop + 3] = True
    limitation[after & ~taken] = np.minimum(limitation[after & ~taken], 0.6)
    return _Plan(steady * flow, steady * chest, steady * belly, asynchrony, limitation)


def _recover(
    rng: np.random.Generator, event: RespiratoryEvent, depth: np.ndarray, taken: np.ndarray
) -> None:
    """Breaths after an event: large ones after an arousal, a slow return after a central one."""
    if event.central:
        gains = np.array([0.8, 1.05, 1.2, 1.1])
    elif event.arousal:
        gains = 1 + rng.uniform(0.3, 0.9) * np.array([1.0, 0.85, 0.5, 0.2])
    else:
        gains = 1 + rng.uniform(0.0, 0.4) * np.array([0.7, 1.0, 0.6, 0.2])
    for step, gain in enumerate(gains):
        breath = event.stop + step
        if breath >= len(depth) or taken[breath]:
            break
        depth[breath] = min(depth[breath] * gain, LARGEST_BREATH)


def _taper(
    rng: np.random.Generator, event: RespiratoryEvent, depth: np.ndarray, taken: np.ndarray
) -> None:
    """One to three breaths wane before an event, none of them by as much as a hypopnea's 30 %."""
    steps = int(rng.integers(1, 4))
    for back, share in enumerate(np.linspace(rng.uniform(0.74, 0.88), 0.97, steps)):
        breath = event.first - 1 - back
        if breath < 0 or taken[breath] or taken[max(breath - 1, 0)]:
            break
        depth[breath] *= share


def _shape(
    rng: np.random.Generator,
    event: RespiratoryEvent,
    here: slice,
    ramp: np.ndarray,
    parts: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Write one event into the plan of its breaths, by what the airway and the drive do."""
    flow, chest, belly, asynchrony, limitation = parts
    length = len(ramp)
    flow[here] = event.flow_share * np.exp(0.12 * rng.standard_normal(length))
    if event.kind == "obstructive_apnea":
        start, end = rng.uniform(0.35, 0.6), rng.uniform(0.85, 1.15)
        chest[here] = start + (end - start) * ramp**1.3
        belly[here] = chest[here] * rng.uniform(0.95, 1.15)
        asynchrony[here] = rng.uniform(0.26, 0.36) + 0.14 * ramp
    elif event.kind == "central_apnea":
        chest[here] = belly[here] = rng.uniform(0.02, 0.06)
    elif event.kind == "mixed_apnea":
        # No drive at first (for less than the 10 s of a central apnea), then efforts that grow
        # against the closed airway, and chest and belly that come apart only as they do.
        silent = round(length * rng.uniform(0.42, 0.52))
        silent = min(max(silent, 1), max(int(9.5 * length / event.duration_s), 1), length - 1)
        grown = np.linspace(rng.uniform(0.35, 0.55), rng.uniform(0.9, 1.2), length - silent)
        chest[here] = belly[here] = np.concatenate([np.full(silent, 0.03), grown])
        asynchrony[here] = np.concatenate(
            [np.zeros(silent), np.linspace(0.03, rng.uniform(0.08, 0.22), length - silent)]
        )
    elif event.central:
        chest[here] = belly[here] = flow[here] * np.exp(0.05 * rng.standard_normal(length))
        limitation[here] = 0.4
    else:
        first = np.array([0.35, 0.12])[:length] * rng.uniform(0.2, 1.0)
        if event.kind == "hypopnea" and length >= 4:
            flow[here][: len(first)] *= 1 + first
            chest[here] = belly[here] = 0.55 + 0.2 * event.flow_share + 0.15 * ramp
            asynchrony[here] = 0.04 + rng.uniform(0.06, 0.16) * ramp
        elif event.kind == "hypopnea":
            chest[here] = belly[here] = 0.7
        else:
            # A RERA: the effort grows while a narrow airway lets ever less of it through.
            chest[here] = belly[here] = 0.95 + rng.uniform(0.2, 0.45) * ramp
            flow[here] *= 1.04 - 0.08 * ramp
            asynchrony[here] = 0.02 + 0.1 * ramp
        limitation[here] = rng.uniform(1.8, 4.5) * (0.75 + 0.5 * ramp)


def _measure_flow(breaths: Breaths, events: list[RespiratoryEvent], flow: np.ndarray) -> None:
    """Set each event's flow share from the flow made: its breaths against 2 minutes before it."""
    starts = np.clip((breaths.onset_s[:-1] * RATE_HZ).astype(int), 0, len(flow) - 1)
    size = np.maximum.reduceat(flow, starts) - np.minimum.reduceat(flow, starts)
    taken = np.zeros(len(size), dtype=bool)
    for event in events:
        taken[event.first : event.stop] = True
    for event in events:
        begin = int(np.searchsorted(breaths.onset_s, event.onset_s - 120.0))
        before = np.arange(begin, event.first)
        before = before[~taken[before]]
        if len(before) < 3:
            before = np.flatnonzero(~taken)[:40]
        reference = float(np.median(size[before])) if len(before) else 2.0
        share = float(np.median(size[event.first : event.stop])) / reference
        event.flow_share = min(share, 1.0)


def heart_in_breathing(
    rng: np.random.Generator,
    air: dict[str, np.ndarray],
    beats_s: np.ndarray,
    events: list[RespiratoryEvent],
) -> None:
    """Add what the beating heart moves, in place: belts always, flow where the airway is open.

    Cardiogenic oscillations show on the flow of central apneas in some sleepers and hardly in
    others, and not on a closed airway: a thermistor is slow, and nasal pressure goes with the
    square of the flow, so that both shrink what is small and quick.
    """
    n = len(air["AF"])
    beat = np.interp(np.arange(n) / RATE_HZ, beats_s, np.arange(len(beats_s)))
    wave = np.sin(2 * np.pi * beat) + 0.4 * np.sin(4 * np.pi * beat + 0.7)
    air["THX"] += (rng.uniform(0.006, 0.02) * wave).astype(np.float32)
    air["ABD"] += (rng.uniform(0.004, 0.012) * wave).astype(np.float32)
    size = float(np.clip(0.007 * np.exp(0.6 * rng.standard_normal()), 0.002, 0.025))
    for event in events:
        if event.central:
            first, last = int(event.onset_s * RATE_HZ), int(event.end_s * RATE_HZ)
            edge = np.clip(
                np.minimum(np.arange(last - first), np.arange(last - first)[::-1]), 0, 64
            )
            part = wave[first:last]
            air["AF"][first:last] += (size * part * edge[: len(part)] / 64).astype(np.float32)
