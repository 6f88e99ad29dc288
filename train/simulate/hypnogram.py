"""A night's stages: a semi-Markov process inside 90-minute cycles.

Numbers fitted offline (2026-11) to the 20 Sleep-EDF cassette hypnograms of PhysioNet (10 adults,
two nights each, R&K S3 + S4 taken as N3, from the first to the last epoch of sleep): bout lengths
as log-normal moments of the pooled bouts, transitions as counts of bout to bout, N3 and R shares
per 80 minutes as means over nights. The cycle structure puts R at the end of a cycle and N3 in
the first half of the night, which a stationary chain cannot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["STAGE_CODES", "SleepProfile", "simulate_stages"]

STAGE_CODES = {"W": 0, "N1": 1, "N2": 2, "N3": 3, "R": 4}
W, N1, N2, N3, R = range(5)

# Bout length in epochs: mean and SD of its logarithm, by stage (W N1 N2 N3 R).
BOUT_LOG_MEAN = np.array([0.77, 0.71, 1.65, 0.98, 2.22])
BOUT_LOG_SD = np.array([0.99, 0.73, 1.23, 1.24, 1.09])
# Share of moves from a bout (row) to the next (column), R left out: within a NREM period.
NREM_MOVES = np.array(
    [
        [0.000, 0.960, 0.036, 0.004],
        [0.167, 0.000, 0.830, 0.003],
        [0.120, 0.299, 0.000, 0.581],
        [0.031, 0.053, 0.916, 0.000],
    ]
)
# Share of interruptions of R by W, N1, N2.
REM_BREAKS = np.array([0.214, 0.543, 0.243])
# Length of the R period (with its interruptions) by cycle, minutes: R rose from 7 % of the first
# 80 minutes to 29 % of the last.
REM_PERIOD_MIN = (9.0, 18.0, 20.0, 24.0, 27.0, 28.0)
# How readily N2 deepens to N3, by cycle: N3 fell from 27 % of the first 80 minutes to 7 %.
DEEPENING = (1.35, 1.1, 0.8, 0.35, 0.25, 0.2)
REM_LATENCY_MIN = (62.0, 100.0)


@dataclass(frozen=True)
class SleepProfile:
    """What makes one sleeper's hypnogram differ from the fitted average.

    Parameters
    ----------
    sleep_onset_min : float
        Median minutes from the start to the first epoch of sleep.
    fragmentation : float
        Factor on the probability of moves to W and N1; 1 is the fitted average.
    deep_sleep : float
        Factor on N3.
    wake_bout : float
        Factor on the length of awakenings.
    """

    sleep_onset_min: float = 10.0
    fragmentation: float = 1.0
    deep_sleep: float = 1.0
    wake_bout: float = 1.0


def simulate_stages(
    rng: np.random.Generator, n_epochs: int, profile: SleepProfile | None = None
) -> np.ndarray:
    """Stage codes (0 W, 1 N1, 2 N2, 3 N3, 4 R) of ``n_epochs`` epochs of 30 s, int8.

    Two hours or more hold W, N1, N2 and N3, and normally R (first R 60–100 minutes after sleep
    onset).
    """
    profile = profile or SleepProfile()
    latency = int(2 * profile.sleep_onset_min * np.exp(0.45 * rng.standard_normal()))
    latency = int(np.clip(latency, 1, max(1, min(120, round(0.1 * n_epochs)))))
    final_wake = int(rng.integers(3, 20)) if n_epochs >= 360 else 0
    stages: list[int] = [W] * latency
    if latency > 8 and rng.random() < 0.6:  # a first doze that does not hold
        doze = int(rng.integers(1, 3))
        stages[-3 - doze : -3] = [N1] * doze
    cycle = 0
    while len(stages) < n_epochs:
        nrem = _nrem_epochs(rng, cycle, n_epochs - len(stages))
        stages += _nrem_period(rng, cycle, nrem, profile, opening=_opening(rng, cycle, profile))
        if len(stages) < n_epochs:
            stages += _rem_period(rng, cycle, profile)
        cycle += 1
    night = np.array(stages[:n_epochs], dtype=np.int8)
    if final_wake:
        night[-final_wake:] = W
    return night


def _nrem_epochs(rng: np.random.Generator, cycle: int, epochs_left: int) -> int:
    """Epochs of this cycle's NREM part."""
    if cycle > 0:
        rem_min = REM_PERIOD_MIN[min(cycle, len(REM_PERIOD_MIN) - 1)]
        return int(2 * np.clip(rng.normal(93 - rem_min, 11), 40, 110))
    length = int(2 * np.clip(rng.normal(80, 11), *REM_LATENCY_MIN))
    shortest = int(2 * REM_LATENCY_MIN[0])
    if epochs_left - length < 16 and epochs_left >= shortest + 16:
        length = max(shortest, epochs_left - 16)  # room for a first R period in a short night
    return length


def _opening(rng: np.random.Generator, cycle: int, profile: SleepProfile) -> list[int]:
    """How a NREM period begins: falling asleep (first cycle), or the way back from R."""
    if cycle > 0:
        return [N1] * int(rng.integers(0, 3)) + [N2] * int(rng.integers(4, 16))
    deep = int(np.clip(26 * profile.deep_sleep * np.exp(0.4 * rng.standard_normal()), 6, 60))
    return [N1] * int(rng.integers(2, 8)) + [N2] * int(rng.integers(8, 24)) + [N3] * deep


def _nrem_period(
    rng: np.random.Generator, cycle: int, n_epochs: int, profile: SleepProfile, opening: list[int]
) -> list[int]:
    """Bouts of W, N1, N2 and N3 for ``n_epochs`` epochs."""
    stages = list(opening)
    state = stages[-1]
    deepening = DEEPENING[min(cycle, len(DEEPENING) - 1)] * profile.deep_sleep
    while len(stages) < n_epochs:
        moves = NREM_MOVES[state].copy()
        moves[W] *= profile.fragmentation
        moves[N1] *= profile.fragmentation if state != W else 1.0
        # Sleep is deepest in the middle of the period and lightens towards R.
        phase = len(stages) / n_epochs
        moves[N3] *= deepening * 1.6 * max(np.sin(np.pi * min(phase + 0.15, 1.0)), 0.0)
        state = int(rng.choice(4, p=moves / moves.sum()))
        stages += [state] * _bout(rng, state, profile, deepening)
    return stages[: max(n_epochs, 1)]


def _rem_period(rng: np.random.Generator, cycle: int, profile: SleepProfile) -> list[int]:
    """Bouts of R with short interruptions."""
    minutes = REM_PERIOD_MIN[min(cycle, len(REM_PERIOD_MIN) - 1)] * np.exp(
        0.3 * rng.standard_normal()
    )
    n_epochs = int(np.clip(2 * minutes, 6, 100))
    stages: list[int] = []
    while len(stages) < n_epochs:
        stages += [R] * max(2, round(_bout(rng, R, profile, 1.0) / profile.fragmentation**0.5))
        if len(stages) < n_epochs:
            broken_by = int(rng.choice(3, p=REM_BREAKS))
            stages += [broken_by] * int(rng.integers(1, 4))
    return stages[:n_epochs]


def _bout(rng: np.random.Generator, state: int, profile: SleepProfile, deepening: float) -> int:
    """Length of a bout in epochs."""
    epochs = np.exp(BOUT_LOG_MEAN[state] + BOUT_LOG_SD[state] * rng.standard_normal())
    if state == W:
        epochs = min(epochs, 20) * profile.wake_bout
    elif state == N2:
        epochs = min(epochs, 40) / profile.fragmentation
    elif state == N3:
        epochs = min(epochs, 50) * (0.6 + 0.8 * min(deepening, 1.3))
    else:
        epochs = min(epochs, 60)
    return max(1, round(epochs))
