"""A night's stages: a semi-Markov process inside cycles, counted from real hypnograms.

The tables (:mod:`train.simulate.hypnogram_tables`, made by ``benchmarks/fit_hypnograms.py``) hold
moves between bouts by half of the night and third of the NREM period, bout lengths, and lengths
of NREM and R periods by cycle, for healthy adults of about 30 years and for people with sleep
apnea. The cycles put N3 in the first half of the night and R late, which a stationary chain
cannot. Age follows the meta-analysis of Ohayon et al. (Sleep 2004; 27:1255-73): N3 falls by some
2 % of sleep a decade, wake after sleep onset grows by some 10 minutes a decade.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from train.simulate.hypnogram_tables import TABLES

__all__ = ["STAGE_CODES", "SleepProfile", "simulate_stages", "waking_arousals"]

STAGE_CODES = {"W": 0, "N1": 1, "N2": 2, "N3": 3, "R": 4}
W, N1, N2, N3, R = range(5)
# Age of the healthy sleepers that the tables come from.
TABLE_AGE_Y = 30.0
# Between nights: SD of the logarithm of a sleeper's readiness to move to W, N1, N2, N3, and of
# the length of bouts; chosen so that minutes by stage vary between nights as the real ones do.
READINESS_LOG_SD = np.array([0.45, 0.3, 0.0, 0.35])
BOUT_LOG_SD = 0.2
LONGEST_EPOCHS = (40, 30, 90, 80)


@dataclass(frozen=True)
class SleepProfile:
    """What makes one sleeper's hypnogram differ from the fitted average.

    Parameters
    ----------
    sleep_onset_min : float
        Median minutes from the start to the first epoch of sleep.
    fragmentation : float
        Factor on the probability of moves to W and N1; 1 is as in healthy adults. Above 1 the
        tables move towards those of people with sleep apnea, which they equal at 2.
    deep_sleep : float
        Factor on N3.
    wake_bout : float
        Factor on the length of awakenings.
    age_y : float
        5-95 years: less N3, more W and N1, slightly less R with age, on top of the factors.
    rem_sleep : float
        Factor on the length of R periods.
    """

    sleep_onset_min: float = 10.0
    fragmentation: float = 1.0
    deep_sleep: float = 1.0
    wake_bout: float = 1.0
    age_y: float = TABLE_AGE_Y
    rem_sleep: float = 1.0


class _Sleeper:
    """The tables as they hold for one sleeper in one night."""

    def __init__(self, rng: np.random.Generator, profile: SleepProfile) -> None:
        decades = (float(np.clip(profile.age_y, 5, 95)) - TABLE_AGE_Y) / 10
        apnea = float(np.clip(profile.fragmentation - 1, 0, 1))
        healthy, broken = TABLES["healthy"], TABLES["apnea"]

        def mixed(name: str) -> np.ndarray:
            return (1 - apnea) * healthy[name] + apnea * broken[name]

        shares = [
            (table["moves"] + 0.2) / (table["moves"] + 0.2).sum(axis=-1, keepdims=True)
            for table in (healthy, broken)
        ]
        self.moves = ((1 - apnea) * shares[0] + apnea * shares[1]) * (1 - np.eye(4))
        readiness = np.exp(READINESS_LOG_SD * rng.standard_normal(4))
        # What the tables' own mixing does not hold: more than the apnea group's fragmentation.
        beyond = max(profile.fragmentation, 1.0) ** 0.4 if apnea else profile.fragmentation
        readiness[W] *= beyond * np.exp(0.13 * decades)
        readiness[N1] *= beyond * np.exp(0.06 * decades)
        deep = profile.deep_sleep * float(np.exp(-0.13 * max(decades, -1.5)))
        readiness[N3] *= deep
        self.moves[..., :] *= readiness
        self.moves /= self.moves.sum(axis=-1, keepdims=True)
        self.bouts = np.log(mixed("bout_deciles"))
        factors = np.exp(BOUT_LOG_SD * rng.standard_normal(4))
        factors[W] *= profile.wake_bout * np.exp(0.12 * max(decades, 0.0))
        factors[N2] /= max(profile.fragmentation, 0.3) ** 0.3
        factors[N3] *= np.clip(deep, 0.3, 1.6) ** 0.7
        self.bout_factors = factors
        self.rem_bouts = np.log(mixed("rem_bout_deciles"))
        self.rem_breaks = mixed("rem_breaks")
        self.break_lengths = np.log(mixed("rem_break_deciles"))
        self.nrem_min = healthy["nrem_min"]
        self.rem_min = healthy["rem_min"]
        self.rem_factor = (
            profile.rem_sleep
            * float(np.exp(0.15 * rng.standard_normal() - 0.03 * max(decades, 0.0)))
            / (1 + 0.25 * apnea)
        )
        self.rem_bout_factor = 1 / max(profile.fragmentation, 0.3) ** 0.5

    def bout(self, rng: np.random.Generator, half: int, stage: int) -> int:
        """Length of a bout of W, N1, N2 or N3 in epochs."""
        epochs = _drawn(rng, self.bouts[half, stage]) * self.bout_factors[stage]
        return int(np.clip(round(epochs), 1, LONGEST_EPOCHS[stage]))

    def nrem_epochs(self, rng: np.random.Generator, cycle: int) -> int:
        median, spread = self.nrem_min[min(cycle, len(self.nrem_min) - 1)]
        minutes = median * np.exp(spread * np.clip(rng.standard_normal(), -1.5, 1.5))
        return int(2 * np.clip(minutes, 50 if cycle == 0 else 35, 130))

    def rem_epochs(self, rng: np.random.Generator, cycle: int) -> int:
        median, spread = self.rem_min[min(cycle, len(self.rem_min) - 1)]
        minutes = median * np.exp(spread * np.clip(rng.standard_normal(), -1.6, 1.6))
        return int(np.clip(2 * minutes * self.rem_factor, 4, 120))


def simulate_stages(
    rng: np.random.Generator, n_epochs: int, profile: SleepProfile | None = None
) -> np.ndarray:
    """Stage codes (0 W, 1 N1, 2 N2, 3 N3, 4 R) of ``n_epochs`` epochs of 30 s, int8.

    Two hours or more hold W, N1, N2 and N3, and normally R (first R 50-110 minutes after sleep
    onset in most nights).
    """
    profile = profile or SleepProfile()
    sleeper = _Sleeper(rng, profile)
    latency = int(2 * profile.sleep_onset_min * np.exp(0.45 * rng.standard_normal()))
    latency = int(np.clip(latency, 1, max(1, min(140, round(0.1 * n_epochs)))))
    final_wake = int(rng.integers(3, 20)) if n_epochs >= 360 else 0
    stages: list[int] = [W] * latency
    if latency > 8 and rng.random() < 0.6:  # a first doze that does not hold
        doze = int(rng.integers(1, 3))
        stages[-3 - doze : -3] = [N1] * doze
    cycle = 0
    while len(stages) < n_epochs:
        stages += _nrem_period(rng, sleeper, cycle, n_epochs - len(stages), profile)
        if len(stages) < n_epochs:
            stages += _rem_period(rng, sleeper, cycle)
        cycle += 1
    night = np.array(stages[:n_epochs], dtype=np.int8)
    if final_wake:
        night[-final_wake:] = W
    return night


def waking_arousals(rng: np.random.Generator, stages: np.ndarray) -> list[tuple[float, float]]:
    """Arousals (start_s, end_s) that end N2, N3 or R where the next epoch is N1 or a short W.

    By the rules sleep goes back to N1 because an arousal interrupts it. The arousal lies at the
    end of the deeper bout, and is as long as one of the rules: 3 to 14 s.
    """
    stages = np.asarray(stages)
    spans: list[tuple[float, float]] = []
    for epoch in np.flatnonzero(np.diff(stages)) + 1:
        before, after = int(stages[epoch - 1]), int(stages[epoch])
        lighter = before in (N2, N3, R) and after == N1
        short_wake = before != W and after == W and np.any(stages[epoch : epoch + 3] != W)
        if not (lighter or short_wake) or (lighter and rng.random() > 0.8):
            continue
        length_s = float(np.clip(7.0 * np.exp(0.4 * rng.standard_normal()), 3.2, 14.0))
        start_s = epoch * 30.0 - 0.6 * length_s
        spans.append((round(start_s, 2), round(start_s + length_s, 2)))
    return spans


def _drawn(rng: np.random.Generator, log_deciles: np.ndarray) -> float:
    """A value from the distribution whose deciles' logarithms are given."""
    return float(np.exp(np.interp(rng.random() * 10, np.arange(11), log_deciles)))


def _opening(rng: np.random.Generator, profile: SleepProfile) -> list[int]:
    """Falling asleep: N1, N2, and the first deep sleep."""
    factor = profile.deep_sleep * np.exp(-0.013 * max(profile.age_y - TABLE_AGE_Y, -15.0))
    deep = int(np.clip(20 * factor * np.exp(0.5 * rng.standard_normal()), 3, 60))
    return [N1] * int(rng.integers(2, 9)) + [N2] * int(rng.integers(8, 26)) + [N3] * deep


def _nrem_period(
    rng: np.random.Generator,
    sleeper: _Sleeper,
    cycle: int,
    epochs_left: int,
    profile: SleepProfile,
) -> list[int]:
    """Bouts of W, N1, N2 and N3 up to the next R period."""
    n_epochs = sleeper.nrem_epochs(rng, cycle)
    shortest = 110
    if cycle == 0 and epochs_left - n_epochs < 16 and epochs_left >= shortest + 16:
        n_epochs = max(shortest, epochs_left - 16)  # room for a first R period in a short night
    stages: Sequence[int] = _opening(rng, profile) if cycle == 0 else [N2] * int(rng.integers(1, 9))
    stages = list(stages)
    half = int(cycle >= 2)
    state = stages[-1]
    while len(stages) < n_epochs:
        third = min(2, 3 * len(stages) // n_epochs)
        state = int(rng.choice(4, p=sleeper.moves[half, third, state]))
        stages += [state] * sleeper.bout(rng, half, state)
    # R follows N2 or N1, seldom N3 or W: the last bout is cut where the period ends.
    stages = stages[:n_epochs]
    if stages[-1] == N3:
        stages[-2:] = [N2, N2]
    return stages


def _rem_period(rng: np.random.Generator, sleeper: _Sleeper, cycle: int) -> list[int]:
    """Bouts of R with short interruptions."""
    n_epochs = sleeper.rem_epochs(rng, cycle)
    stages: list[int] = []
    while len(stages) < n_epochs:
        stages += [R] * max(2, round(_drawn(rng, sleeper.rem_bouts) * sleeper.rem_bout_factor))
        if len(stages) < n_epochs:
            broken_by = int(rng.choice(3, p=sleeper.rem_breaks))
            stages += [broken_by] * max(1, min(8, round(_drawn(rng, sleeper.break_lengths))))
    return stages[:n_epochs]
