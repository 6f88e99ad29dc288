"""Oximetry: dips that follow breathing events late, read by a 1-Hz oximeter in whole percent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from train.simulate.breathing import RespiratoryEvent
from train.simulate.eeg import slow_noise

__all__ = ["Desaturation", "draw_dips", "find_desaturations", "saturation"]

LEAST_DROP_PCT = 3.0


@dataclass(frozen=True)
class Desaturation:
    """A fall of ≥ 3 % that the oximeter shows, by whole seconds, and which event caused it."""

    onset_s: float
    end_s: float
    baseline_pct: float
    nadir_pct: float
    event: int


@dataclass(frozen=True)
class Circulation:
    """One sleeper's oximetry: resting saturation and the delay from lung to finger."""

    resting_pct: float
    lag_s: float
    sensitivity: float


def draw_circulation(rng: np.random.Generator, ahi: float) -> Circulation:
    """Resting saturation falls, and dips deepen, with severity."""
    return Circulation(
        float(np.clip(rng.normal(96.3 - 0.015 * ahi, 0.8), 93.0, 98.0)),
        float(rng.uniform(13.0, 20.0)),
        float(np.exp(0.25 * rng.standard_normal()) * (0.9 + 0.004 * ahi)),
    )


def draw_dips(
    rng: np.random.Generator, events: list[RespiratoryEvent], circulation: Circulation
) -> None:
    """Give each event the depth (%) of the fall that follows it: longer and apneic fall more."""
    for event in events:
        kind = 0.85 if event.kind == "hypopnea" else 1.3
        depth = 4.2 * kind * (event.duration_s / 20.0) ** 0.8 * circulation.sensitivity
        depth *= 1.25 if event.stage == 4 else 1.0
        event.dip_pct = float(np.clip(depth * np.exp(0.35 * rng.standard_normal()), 0.6, 32.0))


def saturation(
    rng: np.random.Generator,
    n_seconds: int,
    events: list[RespiratoryEvent],
    circulation: Circulation,
) -> np.ndarray:
    """SpO2 in whole percent, one value a second [n_seconds]."""
    second = np.arange(n_seconds, dtype=float)
    level = circulation.resting_pct + 0.55 * slow_noise(rng, n_seconds, 900.0).clip(-1.6, 1.6)
    level = level + 0.06 * slow_noise(rng, n_seconds, 6.0)
    for event in events:
        begin = event.onset_s + circulation.lag_s
        nadir = event.end_s + circulation.lag_s - rng.uniform(0.0, 3.0)
        recovered = nadir + rng.uniform(9.0, 16.0)
        first, last = max(0, int(begin)), min(n_seconds, int(recovered) + 1)
        if last <= first:
            continue
        here = second[first:last]
        fall = 0.5 - 0.5 * np.cos(np.pi * np.clip((here - begin) / (nadir - begin), 0, 1))
        rise = 0.5 + 0.5 * np.cos(np.pi * np.clip((here - nadir) / (recovered - nadir), 0, 1))
        level[first:last] -= event.dip_pct * np.minimum(fall, rise)
    return np.clip(np.round(level), 50, 100)


def find_desaturations(
    spo2_pct: np.ndarray, events: list[RespiratoryEvent], circulation: Circulation
) -> list[Desaturation]:
    """Falls of ≥ 3 % after each event, measured on what the oximeter shows.

    The baseline is the highest value between the event's onset and the nadir (after the last
    recovery); the onset the last second at it; the end where two thirds of the fall are regained,
    or the next fall begins.
    """
    found = []
    floor = 0
    for number, event in enumerate(events):
        first = int(event.onset_s + circulation.lag_s - 4)
        last = min(int(event.end_s + circulation.lag_s + 4), len(spo2_pct))
        first = max(first, floor, 0)
        if last - first < 3:
            continue
        nadir_at = first + int(np.argmin(spo2_pct[first:last]))
        # Blood that reaches the finger now left the lung before the event: its own baseline.
        begin = max(floor, first - 8, int(event.onset_s) + 1)
        before = spo2_pct[begin : nadir_at + 1]
        baseline = before.max()
        onset = begin + int(np.flatnonzero(before == baseline)[-1])
        nadir = spo2_pct[nadir_at]
        if baseline - nadir < LEAST_DROP_PCT or nadir_at == onset:
            continue
        limit = len(spo2_pct)
        if number + 1 < len(events):
            limit = min(limit, int(events[number + 1].onset_s + circulation.lag_s) + 1)
        after = spo2_pct[nadir_at : max(limit, nadir_at + 1)]
        regained = np.flatnonzero(after >= nadir + (baseline - nadir) * 2 / 3)
        end = nadir_at + (int(regained[0]) if len(regained) else len(after))
        found.append(
            Desaturation(
                float(onset + 1),
                float(max(end, nadir_at + 1)),
                float(baseline),
                float(nadir),
                number,
            )
        )
        floor = end
    return found
