"""Cheyne-Stokes breathing: depth that waxes and wanes, with central apneas at the troughs.

AASM 2.6 (VIII.G): three or more central apneas or hypopneas in a row, parted by a crescendo and
decrescendo of breathing, with a cycle of at least 40 s. The cycle is about twice the delay from
lung to the sensors of blood gas and long in heart failure; N3 and R damp it.
"""

from __future__ import annotations

import numpy as np

from train.simulate.breathing import Breaths, RespiratoryEvent

__all__ = ["periodic_breathing"]

SHORTEST_CYCLE_S, LONGEST_CYCLE_S = 45.0, 90.0
SHORTEST_APNEA_S = 10.2
LEAST_CYCLES = 3
# Before wake sets in, the last apnea is over and its hyperpnea has come.
EDGE_S = 12.0
LEAST_DEPTH, HIGHEST_DEPTH = 0.5, 1.45


def periodic_breathing(
    rng: np.random.Generator,
    stages: np.ndarray,
    breaths: Breaths,
    count: int,
    *,
    cycle_s: float | None = None,
) -> tuple[Breaths, list[RespiratoryEvent], list[tuple[float, float]]]:
    """Stretches of N1 and N2 with up to ``count`` central apneas and hypopneas in cycles.

    Parameters
    ----------
    stages : int array [n_epochs]
    breaths : Breaths
        Not changed.
    count : int
        Events to reach; fewer where sleep has no room for them.
    cycle_s : float, optional
        The sleeper's cycle, 45–90 s; drawn where not given.

    Returns
    -------
    breaths : Breaths
        With the depth of the hyperpneas.
    events : list of RespiratoryEvent
        The troughs, in order.
    spans_s : list of (onset_s, end_s)
        Each stretch from its first trough to the end of its last hyperpnea.
    """
    own_cycle_s = float(rng.uniform(50, 80)) if cycle_s is None else cycle_s
    own_cycle_s = float(np.clip(own_cycle_s, SHORTEST_CYCLE_S, LONGEST_CYCLE_S))
    depth = breaths.depth.copy()
    events: list[RespiratoryEvent] = []
    spans: list[tuple[float, float]] = []
    stretches = _light_sleep(stages)
    for number in rng.permutation(len(stretches)).tolist():
        left = count - len(events)
        if left <= 0:
            break
        start_s, end_s = stretches[number]
        found = _cycles(rng, stages, breaths, depth, (start_s, end_s), own_cycle_s, left)
        if found:
            spans.append((found[0].onset_s, found[-1].end_s + found[-1].arousal_delay_s * 2))
            events += found
    return (
        Breaths(breaths.onset_s, depth),
        sorted(events, key=lambda event: event.onset_s),
        sorted(spans),
    )


def _light_sleep(stages: np.ndarray) -> list[tuple[float, float]]:
    """Runs of N1 and N2, in seconds, with an edge before wake."""
    light = np.isin(stages, (1, 2)).astype(int)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], light, [0]])))
    return [
        (first * 30.0 + 2.0, stop * 30.0 - EDGE_S)
        for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    ]


def _cycles(
    rng: np.random.Generator,
    stages: np.ndarray,
    breaths: Breaths,
    depth: np.ndarray,
    span_s: tuple[float, float],
    cycle_s: float,
    most: int,
) -> list[RespiratoryEvent]:
    """Troughs of one stretch; writes the hyperpneas between them into ``depth``."""
    start_s, end_s = span_s
    if (end_s - start_s) < LEAST_CYCLES * cycle_s:
        return []
    found: list[RespiratoryEvent] = []
    share = rng.uniform(0.32, 0.45)
    first = int(np.searchsorted(breaths.onset_s, start_s))
    for _ in range(most):
        this_s = cycle_s * float(np.exp(0.05 * rng.standard_normal()))
        onset_s = float(breaths.onset_s[first])
        if onset_s + this_s > end_s:
            break
        apnea_s = max(this_s * share * float(np.exp(0.1 * rng.standard_normal())), SHORTEST_APNEA_S)
        stop = int(np.searchsorted(breaths.onset_s, onset_s + apnea_s))
        following = int(np.searchsorted(breaths.onset_s, onset_s + this_s))
        if following - stop < 4 or following >= len(depth):
            break
        apneic = rng.random() < 0.75
        # The wave rises and falls by a half sine; a damped trough keeps some flow.
        place = (np.arange(stop, following) - stop + 0.5) / (following - stop)
        wave = np.sin(np.pi * place) ** 0.9
        depth[stop:following] = (LEAST_DEPTH + (HIGHEST_DEPTH - LEAST_DEPTH) * wave) * np.exp(
            0.06 * rng.standard_normal(following - stop)
        )
        found.append(
            RespiratoryEvent(
                "central_apnea" if apneic else "hypopnea",
                onset_s,
                float(breaths.onset_s[stop]),
                first,
                stop,
                rng.uniform(0.0, 0.04) if apneic else rng.uniform(0.2, 0.35),
                int(stages[int(onset_s // 30)]),
                central=True,
                periodic=True,
                arousal_delay_s=0.45 * (this_s - apnea_s),
            )
        )
        first = following
    return found
