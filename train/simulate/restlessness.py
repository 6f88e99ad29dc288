"""Restlessness: posture and its changes, arousals, body movements and the sway they leave."""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, sosfiltfilt

from train.simulate.breathing import RespiratoryEvent
from train.simulate.conditions import SUPINE, Condition
from train.simulate.eeg import RATE_HZ, smooth_gate
from train.simulate.oximetry import Desaturation

__all__ = ["arousals_and_movements", "end_in_arousals", "posture", "sway", "with_others"]

AROUSAL_SHARE = {
    "obstructive_apnea": 0.75,
    "central_apnea": 0.4,
    "mixed_apnea": 0.7,
    "hypopnea": 0.5,
}


def posture(
    rng: np.random.Generator, stages: np.ndarray, condition: Condition
) -> tuple[np.ndarray, list[int]]:
    """Position code of every epoch, and the epochs at whose start it changes.

    People turn over in wake where there is some within ten minutes, else with an arousal.
    """
    shares = np.array(condition.posture_shares)
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


def arousals_and_movements(
    rng: np.random.Generator,
    stages: np.ndarray,
    events: list[RespiratoryEvent],
    dips: list[Desaturation],
    changes: list[int],
    condition: Condition,
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
            onset_s = event.end_s + event.arousal_delay_s - rng.uniform(0.3, 1.5)
            if number + 1 < len(events):
                length_s = min(length_s, max(3.2, events[number + 1].onset_s + 2 - onset_s))
            event.arousal = add(onset_s, length_s, 1.0)
            if needed and not event.arousal:
                # No room for the arousal that would make it a hypopnea: breathing stops instead.
                event.kind = "central_apnea" if event.central else "obstructive_apnea"
                event.flow_share = 0.04
    busy = [(event.onset_s - 15, event.end_s + 15) for event in events]
    movements: list[tuple[float, float]] = []
    taken = sorted(spans)
    for epoch in changes:
        at = epoch * 30.0 + rng.uniform(0.5, 3.0)
        length_s = float(rng.uniform(4, 9))
        if not wake[epoch] and not any(s < at + 12 and e > at - 12 for s, e in taken):
            taken.append((round(at, 2), round(at + length_s, 2)))
        movements.append((at, at + length_s))
    sleep = np.flatnonzero(~wake)
    for epoch in sleep[rng.random(len(sleep)) < condition.arousals_per_h / 120].tolist():
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
        if rng.random() < 0.22:
            at = epoch * 30 + rng.uniform(0, 22)
            movements.append((at, at + rng.uniform(1, 7)))
    return sorted(taken), sorted(movements)


def end_in_arousals(
    rng: np.random.Generator,
    reras: list[RespiratoryEvent],
    spans: list[tuple[float, float]],
    stages: np.ndarray,
) -> tuple[list[RespiratoryEvent], list[tuple[float, float]]]:
    """The RERAs whose end leaves room for their arousal, and all arousals by onset.

    An effort that wakes nobody is none (AASM 2.6, VIII.F).
    """
    kept = []
    taken = sorted(spans)
    for event in reras:
        start_s = round(event.end_s - rng.uniform(0.3, 1.5), 2)
        end_s = round(
            start_s + float(np.clip(5.5 * np.exp(0.4 * rng.standard_normal()), 3.2, 12)), 2
        )
        asleep = end_s < 30 * len(stages) and stages[int(end_s // 30)] > 0
        if asleep and all(start_s > e + 10 or end_s < s - 10 for s, e in taken):
            event.arousal = True
            kept.append(event)
            taken.append((start_s, end_s))
    return kept, sorted(taken)


def with_others(
    spans: list[tuple[float, float]], others: list[tuple[float, float]], apart_s: float
) -> list[tuple[float, float]]:
    """``spans`` and those of ``others`` that lie ``apart_s`` from them, by onset.

    AASM: an arousal follows at least ten seconds of sleep.
    """
    taken = sorted(spans)
    for start_s, end_s in others:
        if all(start_s > e + apart_s or end_s < s - apart_s for s, e in taken):
            taken.append((round(start_s, 2), round(end_s, 2)))
    return sorted(taken)


def sway(rng: np.random.Generator, n: int, movements_s: list[tuple[float, float]]) -> np.ndarray:
    """Slow sway of electrodes and belts during body movements, SD about 60 µV."""
    heights = np.clip(50 * np.exp(0.5 * rng.standard_normal(len(movements_s))), 15, 160)
    gate = smooth_gate(n, movements_s, heights, 0.5)
    if not len(movements_s):
        return gate
    band = butter(2, [0.5, 2.5], "bandpass", fs=RATE_HZ, output="sos")
    noise = sosfiltfilt(band, rng.standard_normal(n))
    return (gate * noise / noise.std()).astype(np.float32)
