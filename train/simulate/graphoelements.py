"""The discrete waves of sleep: slow waves, K-complexes, vertex waves, spindles, saw-tooth trains.

Rates, sizes and durations are as scorers and detectors find them in real central EEG: 14 slow
waves over 75 µV a minute in N3 and 3.6 in N2, K-complexes 1.6 a minute, spindles of 0.76 s two a
minute in N2. Slow waves come in trains; in N2 they gather where N3 is near, which is why an expert
called it N2 there and N3 a little later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Elements", "draw_elements"]

RATE_HZ = 128
# Per minute by stage (W N1 N2 N3 R).
SLOW_WAVES_PER_MIN = (0.0, 0.0, 4.2, 21.0, 0.0)
K_COMPLEXES_PER_MIN = (0.0, 0.0, 1.6, 0.2, 0.0)
VERTEX_WAVES_PER_MIN = (0.0, 1.6, 0.3, 0.0, 0.0)
SPINDLES_PER_MIN = (0.0, 0.0, 4.6, 1.5, 0.0)
SAWTOOTH_PER_MIN = (0.0, 0.0, 0.0, 0.0, 0.9)
TEMPLATE_S = 3.0


@dataclass
class Elements:
    """Templates of the discrete elements, where they begin, and their gain by site.

    ``power`` [5, n_frequencies] is the density that they add in each stage, in µV²/Hz.
    """

    onset: np.ndarray
    shapes: np.ndarray
    gains: dict[str, np.ndarray]
    power: np.ndarray

    def trace(self, n: int, site: str) -> np.ndarray:
        """All elements as one site ("c3", "c4", "eye") sees them, n samples."""
        trace = np.zeros(n + self.shapes.shape[1], dtype=np.float32)
        index = self.onset[:, None] + np.arange(self.shapes.shape[1])
        np.add.at(trace, index, self.shapes * self.gains[site][:, None])
        return trace[:n]


def draw_elements(
    rng: np.random.Generator,
    seconds: np.ndarray,
    depth: np.ndarray,
    frame: int,
    *,
    delta: float = 1.0,
    spindle_rate: float = 1.0,
    spindle_hz: float = 13.4,
) -> Elements:
    """All elements of a night.

    Parameters
    ----------
    rng : numpy.random.Generator
    seconds : int array [n_seconds]
        Stage of every second, 0 W, 1 N1, 2 N2, 3 N3, 4 R.
    depth : array [n_seconds]
        Nearness of N3, 0 to 1.
    frame : int
        Samples of the window whose frequencies ``power`` has.
    delta : float
        Factor on the amplitude of slow waves and K-complexes.
    spindle_rate, spindle_hz : float
        Factor on how often spindles come; their mean frequency.
    """
    length = int(TEMPLATE_S * RATE_HZ)
    onsets: list[np.ndarray] = []
    shapes: list[np.ndarray] = []
    gains: dict[str, list[np.ndarray]] = {"c3": [], "c4": [], "eye": []}
    power = np.zeros((5, frame // 2 + 1))
    fluctuation = np.exp(0.5 * np.interp(
        np.arange(len(seconds)), np.arange(0, len(seconds) + 50, 50),
        rng.standard_normal(len(np.arange(0, len(seconds) + 50, 50))),
    ))  # fmt: skip

    def add(stage: int, per_min: float, weight: np.ndarray, kind: str) -> None:
        where = np.flatnonzero(seconds == stage)
        count = int(rng.poisson(per_min * len(where) / 60)) if len(where) else 0
        if not count:
            return
        chance = weight[where]
        at = rng.choice(where, count, p=chance / chance.sum()) + rng.random(count)
        if kind == "slow":
            at = _in_trains(rng, at, seconds, stage, mean_length=3.0 if stage == 3 else 1.3)
            shape = delta * _slow_waves(rng, len(at), stage)
        elif kind == "k":
            shape = delta * _k_complexes(rng, len(at), spindle_hz)
        elif kind == "vertex":
            shape = _vertex_waves(rng, len(at))
        elif kind == "spindle":
            shape = _spindles(rng, len(at), spindle_hz)
        else:
            shape = _sawtooth(rng, len(at))
        eye_gain = {"slow": 0.75, "k": 0.75, "vertex": 0.45, "spindle": 0.3, "saw": 0.5}[kind]
        onsets.append((at * RATE_HZ).astype(int))
        shapes.append(shape)
        gains["c3"].append(rng.uniform(0.85, 1.15, len(at)))
        gains["c4"].append(rng.uniform(0.75, 1.15, len(at)))
        gains["eye"].append(eye_gain * rng.uniform(0.7, 1.2, len(at)))
        spectrum = np.abs(np.fft.rfft(shape, frame, axis=1)) ** 2
        power[stage] += 2 * len(at) / len(where) * spectrum.mean(axis=0) / RATE_HZ**2

    even = np.ones(len(seconds))
    for stage in (2, 3):
        near = 0.35 + 2.0 * depth if stage == 2 else np.sqrt(fluctuation)
        add(stage, SLOW_WAVES_PER_MIN[stage], near, "slow")
        add(stage, K_COMPLEXES_PER_MIN[stage], even, "k")
        add(stage, spindle_rate * SPINDLES_PER_MIN[stage], fluctuation, "spindle")
    for stage in (1, 2):
        add(stage, VERTEX_WAVES_PER_MIN[stage], fluctuation, "vertex")
    add(4, SAWTOOTH_PER_MIN[4], fluctuation, "saw")
    if not onsets:
        empty = np.zeros(0)
        return Elements(
            np.zeros(0, int), np.zeros((0, length), np.float32), dict.fromkeys(gains, empty), power
        )
    return Elements(
        np.concatenate(onsets),
        np.concatenate(shapes).astype(np.float32),
        {site: np.concatenate(parts) for site, parts in gains.items()},
        power,
    )


def _in_trains(
    rng: np.random.Generator, at: np.ndarray, seconds: np.ndarray, stage: int, mean_length: float
) -> np.ndarray:
    """The same number of waves, gathered into trains with a wave every 1.1 to 1.5 s."""
    first = np.sort(rng.permutation(at)[: max(1, round(len(at) / mean_length))])
    times: list[np.ndarray] = []
    left = len(at)
    for begin, length in zip(first, rng.geometric(1 / mean_length, len(first)), strict=True):
        members = begin + np.concatenate([[0.0], np.cumsum(rng.uniform(1.1, 1.5, length - 1))])
        times.append(members[: max(left, 0)])
        left -= length
    together = np.concatenate(times)
    together = together[together < len(seconds)]
    return together[seconds[together.astype(int)] == stage]


def _template_time(count: int) -> np.ndarray:
    return np.tile(np.arange(int(TEMPLATE_S * RATE_HZ)) / RATE_HZ, (count, 1))


def _biphasic(
    time_s: np.ndarray, down_s: np.ndarray, up_s: np.ndarray, up_share: np.ndarray
) -> np.ndarray:
    """A negative half wave of height 1 and a positive one of ``up_share``."""
    down, up = down_s[:, None], up_s[:, None]
    first = -np.sin(np.pi * np.clip(time_s / down, 0, 1))
    second = np.sin(np.pi * np.clip((time_s - down) / up, 0, 1))
    return first + up_share[:, None] * second


def _slow_waves(rng: np.random.Generator, count: int, stage: int) -> np.ndarray:
    """Half waves of about 0.54 and 0.68 s; 85 µV peak to peak (median), smaller in N2."""
    median = 85.0 if stage == 3 else 66.0
    peak_to_peak = median * np.exp(0.42 * rng.standard_normal(count))
    up_share = rng.uniform(0.55, 1.0, count)
    wave = _biphasic(
        _template_time(count),
        0.54 * np.exp(0.17 * rng.standard_normal(count)),
        0.68 * np.exp(0.17 * rng.standard_normal(count)),
        up_share,
    )
    return wave * (peak_to_peak / (1 + up_share))[:, None]


def _k_complexes(rng: np.random.Generator, count: int, spindle_hz: float) -> np.ndarray:
    """A sharp negative wave and a slower positive one, 80–220 µV, some with a spindle behind."""
    time_s = _template_time(count)
    peak_to_peak = rng.uniform(80, 220, count)
    up_share = rng.uniform(0.5, 0.9, count)
    wave = _biphasic(time_s, rng.uniform(0.25, 0.4, count), rng.uniform(0.5, 0.85, count), up_share)
    wave *= (peak_to_peak / (1 + up_share))[:, None]
    follows = rng.random(count) < 0.4
    centre = rng.uniform(1.0, 1.4, count)[:, None]
    spindle = np.exp(-0.5 * ((time_s - centre) / 0.22) ** 2) * np.sin(
        2 * np.pi * spindle_hz * time_s
    )
    return wave + spindle * (follows * rng.uniform(8, 18, count))[:, None]


def _vertex_waves(rng: np.random.Generator, count: int) -> np.ndarray:
    """Sharp negative waves of 0.1–0.2 s and 30–90 µV with a smaller positive wave behind."""
    up_share = rng.uniform(0.2, 0.45, count)
    wave = _biphasic(
        _template_time(count), rng.uniform(0.1, 0.2, count), rng.uniform(0.2, 0.35, count), up_share
    )
    return wave * rng.uniform(30, 90, count)[:, None] / (1 + up_share[:, None])


def _spindles(rng: np.random.Generator, count: int, mean_hz: float) -> np.ndarray:
    """Waxing and waning, ± 0.4 Hz, 14 µV at the peak, 0.85 s long, slowing slightly."""
    time_s = _template_time(count)
    hz = rng.normal(mean_hz, 0.4, count)[:, None]
    span = np.clip(0.85 * np.exp(0.25 * rng.standard_normal(count)), 0.5, 2.2)[:, None]
    peak = 14.0 * np.exp(0.3 * rng.standard_normal(count))[:, None]
    envelope = np.sin(np.pi * np.clip(time_s / span, 0, 1)) ** 1.3
    drift = 2 * np.pi * (hz * time_s - 0.3 * time_s**2)
    return peak * envelope * np.sin(drift + rng.uniform(0, 2 * np.pi, count)[:, None])


def _sawtooth(rng: np.random.Generator, count: int) -> np.ndarray:
    """Trains of notched 2–4 Hz triangles of 20–45 µV that rise steeply and fall slowly."""
    time_s = _template_time(count)
    hz = rng.uniform(2.2, 4.0, count)[:, None]
    phase = (hz * time_s + 0.08 * np.sin(2 * np.pi * 0.7 * time_s)) % 1.0
    triangle = np.where(phase < 0.3, phase / 0.3, (1 - phase) / 0.7) - 0.5
    span = rng.uniform(1.2, 2.8, count)[:, None]
    envelope = np.sin(np.pi * np.clip(time_s / span, 0, 1)) ** 0.5
    return rng.uniform(20, 45, count)[:, None] * envelope * triangle
