"""Central EEG: a background with the spectrum of its stage, and the graphic elements on it.

The background is noise shaped in overlapping 4-s frames. Stage spectra are parametric fits (within
0.4 dB) to real central EEG (one PSG for N2, N3 and R; W from the median of 12 patients of the
St Vincent's / UCD database; N1 assumed between them), in dB re 1 µV²/Hz:
b − 10·log10(k^χ + f^χ) + Gaussian bumps over log2 f. On it lie slow waves, K-complexes, spindles,
alpha that comes in bursts, saw-tooth waves in R, and the speeding-up of arousals. The power of the
discrete elements is taken out of the background, so that the sum keeps the stage's spectrum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

__all__ = ["RATE_HZ", "BrainWaves", "moment_stages", "simulate_brain", "slow_noise", "smooth_gate"]

RATE_HZ = 128
FRAME = 4 * RATE_HZ
HOP = FRAME // 2
FREQUENCY_HZ = np.fft.rfftfreq(FRAME, 1 / RATE_HZ)

# b (dB), χ, k (Hz), bumps as (centre Hz, height dB, width octaves); W N1 N2 N3 R.
Bump = tuple[float, float, float]
STAGE_SPECTRA: tuple[tuple[float, float, float, tuple[Bump, ...]], ...] = (
    (19.2, 1.55, 0.6, ((0.47, 1.2, 0.75), (9.1, 5.4, 0.36), (21.0, 3.1, 0.48))),
    (23.8, 2.48, 2.0, ((0.38, 3.4, 0.75), (8.8, 6.0, 0.75), (26.0, 5.9, 0.75))),
    (26.3, 2.56, 1.8, ((0.59, 2.2, 0.75), (11.2, 7.0, 0.54), (14.1, 1.7, 0.15))),
    (30.3, 2.95, 1.5, ((0.7, 4.2, 0.59), (9.8, 2.6, 0.75), (11.4, 5.1, 0.35))),
    (28.6, 2.72, 4.3, ((0.43, 4.0, 0.75), (9.5, 3.6, 0.33), (22.8, 4.9, 0.51))),
)
# Standard deviation in dB of the slow changes within a night, by stage, in three ranges.
VARIABILITY_DB = {
    "low": (2.5, 2.0, 2.3, 1.5, 1.8),
    "ten": (2.5, 1.5, 1.3, 1.2, 1.8),
    "high": (1.6, 1.2, 0.9, 0.5, 0.7),
}
VARIABILITY_SCALE = 1.5
VARIABILITY_TAU_S = 90.0
# Slow waves, K-complexes and spindles a minute by stage (W N1 N2 N3 R).
SLOW_WAVES_PER_MIN = (0.0, 0.0, 5.0, 20.0, 0.0)
K_COMPLEXES_PER_MIN = (0.0, 0.0, 1.6, 0.3, 0.0)
SPINDLES_PER_MIN = (0.0, 0.0, 4.0, 1.5, 0.0)
SAWTOOTH_PER_MIN = (0.0, 0.0, 0.0, 0.0, 0.8)
TEMPLATE_S = 3.0


@dataclass(frozen=True)
class BrainWaves:
    """EEG and what of it reaches the eye electrodes, float32 µV at 128 Hz.

    ``c3`` and ``c4`` are C3-M2 and C4-M1; ``eye_left`` and ``eye_right`` hold the EEG part of
    E1-M2 and E2-M1.
    """

    c3: np.ndarray
    c4: np.ndarray
    eye_left: np.ndarray
    eye_right: np.ndarray


def slow_noise(rng: np.random.Generator, n: int, tau_steps: float) -> np.ndarray:
    """First-order autoregressive noise of unit SD with a time constant of ``tau_steps`` samples."""
    keep = np.exp(-1.0 / max(tau_steps, 1e-3))
    drive = rng.standard_normal(n) * np.sqrt(1 - keep**2)
    drive[0] = rng.standard_normal()
    return lfilter([1.0], [1.0, -keep], drive)


def smooth_gate(
    n: int,
    spans_s: Sequence[tuple[float, float]],
    heights: Sequence[float] | np.ndarray,
    edge_s: float,
) -> np.ndarray:
    """A curve of ``n`` samples at 128 Hz: 0, and ``height`` in each span, with raised edges."""
    gate = np.zeros(n, dtype=np.float32)
    width = max(2, int(edge_s * RATE_HZ))
    edge = (0.5 - 0.5 * np.cos(np.pi * (np.arange(width) + 0.5) / width)).astype(np.float32)
    for (start_s, end_s), height in zip(spans_s, heights, strict=True):
        first, last = max(0, round(start_s * RATE_HZ)), min(n, round(end_s * RATE_HZ))
        if last <= first:
            continue
        shape = np.ones(last - first, dtype=np.float32)
        part = min(width, (last - first) // 2)
        if part:
            shape[:part] = edge[:: max(1, width // part)][:part]
            shape[-part:] = edge[:: max(1, width // part)][:part][::-1]
        gate[first:last] = np.maximum(gate[first:last], height * shape)
    return gate


def simulate_brain(
    rng: np.random.Generator,
    seconds: np.ndarray,
    arousals_s: Sequence[tuple[float, float]],
    variety: float = 1.0,
) -> BrainWaves:
    """EEG of a night.

    Parameters
    ----------
    rng : numpy.random.Generator
    seconds : int array [n_seconds]
        Stage of every second (:func:`moment_stages`): 0 W, 1 N1, 2 N2, 3 N3, 4 R.
    arousals_s : sequence of (start_s, end_s)
        Where the EEG speeds up.
    variety : float
        Factor on the differences between nights and the changes within one; 1 is as measured.
    """
    n = len(seconds) * RATE_HZ
    n_frames = n // HOP + 1
    frame_s = np.arange(n_frames) * HOP / RATE_HZ
    weights = _frame_weights(seconds, frame_s)

    stage_db = _night_character(rng, variety)
    elements = _elements(rng, seconds)
    background = _background_power(stage_db, elements.power)
    alpha = _alpha_power(stage_db)
    background = np.maximum(background - alpha, 0.25 * background)

    changes = _changes_db(rng, weights, variety)
    shared, ours = np.sqrt(0.62), np.sqrt(0.38)
    power = _mixture(weights, background) * changes
    alpha_power = _mixture(weights, alpha) * changes
    amplitude = np.sqrt(power).astype(np.float32)
    common = _shaped_noise(rng, amplitude, n)
    alpha_amplitude = np.sqrt(alpha_power).astype(np.float32)
    bursts = _burst_modulator(rng, n)
    common_alpha = _shaped_noise(rng, alpha_amplitude, n) * bursts

    arousal = smooth_gate(n, arousals_s, rng.uniform(0.75, 1.25, len(arousals_s)), edge_s=0.5)
    fast_power = np.tile(np.sqrt(_arousal_power()).astype(np.float32), (n_frames, 1))
    fast = _shaped_noise(rng, fast_power, n) * arousal
    damped = 1 - 0.35 * np.minimum(arousal, 1)

    event_left = elements.trace(n, "c3")
    event_right = elements.trace(n, "c4")
    channels = []
    for event, alpha_gain in ((event_left, 1.0), (event_right, rng.uniform(0.85, 1.15))):
        own = _shaped_noise(rng, amplitude, n)
        own_alpha = _shaped_noise(rng, alpha_amplitude, n) * bursts
        wave = (shared * common + ours * own) * damped + event * damped
        wave += alpha_gain * (shared * common_alpha + ours * own_alpha) + fast
        channels.append(wave.astype(np.float32))
    # Eye electrodes pick up the frontal EEG: half of it is what the central leads see.
    whole = np.sqrt(power + alpha_power).astype(np.float32)
    eyes = []
    half = np.sqrt(0.5)
    for _ in range(2):
        own = _shaped_noise(rng, whole, n)
        leak = half * common * damped + half * own * damped + half * 0.7 * common_alpha
        eyes.append(0.8 * leak + elements.trace(n, "eye") * damped + 0.6 * fast)
    return BrainWaves(
        channels[0], channels[1], eyes[0].astype(np.float32), eyes[1].astype(np.float32)
    )


def moment_stages(rng: np.random.Generator, stages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stage of every second: for the whole body, and for the EEG alone.

    What an epoch is scored as holds for most of it, not for all: edges fall up to 6 s from the
    epoch's edge, and the EEG of wake has drowsy seconds, that of N1 seconds of alpha or a first
    glimpse of N2.
    """
    body = np.repeat(stages, 30).astype(np.int8)
    for epoch in np.flatnonzero(np.diff(stages)) + 1:
        shift = int(rng.integers(-6, 7))
        at = epoch * 30
        if shift > 0:
            body[at : at + shift] = stages[epoch - 1]
        elif shift < 0:
            body[at + shift : at] = stages[epoch]
    brain = body.copy()
    for stage, other, share in ((0, 1, 0.3), (1, 0, 0.3), (1, 2, 0.12)):
        for epoch in np.flatnonzero(stages == stage):
            if rng.random() < share:
                length = int(rng.integers(3, 12))
                at = epoch * 30 + int(rng.integers(0, 30 - length))
                brain[at : at + length] = other
    return body, brain


def _stage_power_db() -> np.ndarray:
    """[5, n_frequencies] dB re 1 µV²/Hz; the amplifier's 0.3-Hz high-pass is in it."""
    frequency = np.maximum(FREQUENCY_HZ, 0.1)
    rows = []
    for offset_db, slope, knee_hz, bumps in STAGE_SPECTRA:
        row = offset_db - 10 * np.log10(knee_hz**slope + frequency**slope)
        for centre_hz, height_db, octaves in bumps:
            row = row + height_db * np.exp(-0.5 * (np.log2(frequency / centre_hz) / octaves) ** 2)
        row = row + 10 * np.log10(frequency**2 / (frequency**2 + 0.2**2))
        row[0] = -90.0
        rows.append(row)
    return np.stack(rows)


def _smooth_db(rng: np.random.Generator, sd_db: float) -> np.ndarray:
    """A random smooth curve over log frequency: knots at 0.5, 2, 8, 16, 40 Hz."""
    knots = np.log2([0.5, 2.0, 8.0, 16.0, 40.0])
    return np.interp(np.log2(np.maximum(FREQUENCY_HZ, 0.25)), knots, sd_db * rng.standard_normal(5))


def _night_character(rng: np.random.Generator, variety: float) -> np.ndarray:
    """This sleeper's stage spectra in dB [5, n_frequencies]."""
    common = variety * _smooth_db(rng, 1.7)
    return np.stack([row + common + variety * _smooth_db(rng, 0.65) for row in _stage_power_db()])


def _alpha_power(stage_db: np.ndarray) -> np.ndarray:
    """Power of the alpha rhythm that comes in bursts (W, some in N1) [5, n_frequencies]."""
    frequency = np.maximum(FREQUENCY_HZ, 0.1)
    band = np.exp(-0.5 * (np.log2(frequency / 9.3) / 0.2) ** 2)
    share = np.array([0.72, 0.25, 0.0, 0.0, 0.15])[:, None]
    return 10 ** (stage_db / 10) * band * share


def _arousal_power() -> np.ndarray:
    """Added power of an arousal: alpha and beta over the sleeping background."""
    frequency = np.maximum(FREQUENCY_HZ, 0.1)
    alpha_db = 12.5 * np.exp(-0.5 * (np.log2(frequency / 9.5) / 0.25) ** 2)
    beta_db = 6.5 * np.exp(-0.5 * (np.log2(frequency / 20.0) / 0.55) ** 2)
    power = 10 ** (alpha_db / 10) + 10 ** (beta_db / 10) - 2
    return np.where(frequency > 4, np.maximum(power, 0.0), 0.0)


def _background_power(stage_db: np.ndarray, element_power: np.ndarray) -> np.ndarray:
    """Stage power less the power of the discrete elements, at least a fifth of it."""
    power = 10 ** (stage_db / 10)
    return np.maximum(power - element_power, 0.2 * power)


def _frame_weights(seconds: np.ndarray, frame_s: np.ndarray) -> np.ndarray:
    """Share of each stage in each 4-s frame [n_frames, 5]."""
    one_hot = (seconds[:, None] == np.arange(5)).astype(np.float32)
    total = np.concatenate([np.zeros((1, 5), np.float32), np.cumsum(one_hot, axis=0)])
    first = np.clip((frame_s - 2).astype(int), 0, len(seconds) - 1)
    last = np.clip((frame_s + 2).astype(int), first + 1, len(seconds))
    return (total[last] - total[first]) / (last - first)[:, None]


def _mixture(weights: np.ndarray, power: np.ndarray) -> np.ndarray:
    """weights [n, 5] · power [5, F], summed in a fixed order (the same bytes on any BLAS)."""
    mixed = weights[:, :1] * power[:1].astype(np.float32)
    for stage in range(1, 5):
        mixed = mixed + weights[:, stage : stage + 1] * power[stage : stage + 1].astype(np.float32)
    return mixed


def _changes_db(rng: np.random.Generator, weights: np.ndarray, variety: float) -> np.ndarray:
    """Slow changes of power within the night, as a factor [n_frames, n_frequencies]."""
    n_frames = len(weights)
    step_s = HOP / RATE_HZ
    octave = np.log2(np.maximum(FREQUENCY_HZ, 0.25))
    shape = {
        "low": 1 / (1 + np.exp((octave - np.log2(3.2)) * 3)),
        "ten": np.exp(-0.5 * ((octave - np.log2(10.0)) / 0.55) ** 2),
        "high": 1 / (1 + np.exp(-(octave - np.log2(16.0)) * 4)),
    }
    total = np.zeros((n_frames, len(FREQUENCY_HZ)), dtype=np.float32)
    for name, sd_db in VARIABILITY_DB.items():
        sd = _mixture(weights, np.array(sd_db)[:, None])[:, 0] * VARIABILITY_SCALE * variety
        noise = slow_noise(rng, n_frames, VARIABILITY_TAU_S / step_s)
        if name == "low":  # delta also swells and fades within seconds
            noise = 0.85 * noise + 0.53 * slow_noise(rng, n_frames, 6.0 / step_s)
        total += (sd * noise).astype(np.float32)[:, None] * shape[name].astype(np.float32)
    return np.exp(total * np.float32(np.log(10) / 10))


def _shaped_noise(rng: np.random.Generator, amplitude: np.ndarray, n: int) -> np.ndarray:
    """Gaussian noise whose density is ``amplitude``² (µV²/Hz) frame by frame, n samples."""
    n_frames, n_frequencies = amplitude.shape
    parts = rng.standard_normal((n_frames, n_frequencies, 2), dtype=np.float32)
    spectrum = parts.view(np.complex64)[..., 0]
    # One-sided density S: E|X|² = S·rate·FRAME/2, of which each of the two parts has half.
    spectrum *= amplitude * np.float32(np.sqrt(RATE_HZ * FRAME / 4))
    frames = np.fft.irfft(spectrum, FRAME, axis=1).astype(np.float32)
    frames *= np.sin(np.pi * (np.arange(FRAME, dtype=np.float32) + 0.5) / FRAME)
    out = np.zeros((n_frames + 1, HOP), dtype=np.float32)
    out[:-1] += frames[:, :HOP]
    out[1:] += frames[:, HOP:]
    return out.reshape(-1)[HOP // 2 : HOP // 2 + n]


def _burst_modulator(rng: np.random.Generator, n: int) -> np.ndarray:
    """Waxing and waning of alpha over about a second; mean square 1."""
    coarse_hz = 4
    n_coarse = n * coarse_hz // RATE_HZ + 2
    level = np.exp(0.65 * slow_noise(rng, n_coarse, 1.2 * coarse_hz))
    level /= np.sqrt(np.mean(level**2))
    at = np.arange(n, dtype=np.float32) * np.float32(coarse_hz / RATE_HZ)
    return np.interp(at, np.arange(n_coarse), level).astype(np.float32)


@dataclass
class _Elements:
    """Templates of the discrete elements, where they begin, and their gain by site."""

    onset: np.ndarray
    shapes: np.ndarray
    gains: dict[str, np.ndarray]
    power: np.ndarray

    def trace(self, n: int, site: str) -> np.ndarray:
        """All elements as one site sees them, n samples."""
        trace = np.zeros(n + self.shapes.shape[1], dtype=np.float32)
        index = self.onset[:, None] + np.arange(self.shapes.shape[1])
        np.add.at(trace, index, self.shapes * self.gains[site][:, None])
        return trace[:n]


def _elements(rng: np.random.Generator, seconds: np.ndarray) -> _Elements:
    """Slow waves, K-complexes, spindles and saw-tooth trains of a night."""
    length = int(TEMPLATE_S * RATE_HZ)
    minutes = np.array([np.sum(seconds == stage) / 60 for stage in range(5)])
    kinds = (
        (SLOW_WAVES_PER_MIN, _slow_waves, 0.75),
        (K_COMPLEXES_PER_MIN, _k_complexes, 0.75),
        (SPINDLES_PER_MIN, _spindles, 0.25),
        (SAWTOOTH_PER_MIN, _sawtooth, 0.5),
    )
    onsets: list[np.ndarray] = []
    shapes: list[np.ndarray] = []
    gains: dict[str, list[np.ndarray]] = {"c3": [], "c4": [], "eye": []}
    power = np.zeros((5, len(FREQUENCY_HZ)))
    for per_min, make, eye_gain in kinds:
        for stage in np.flatnonzero(per_min):
            count = int(rng.poisson(per_min[stage] * minutes[stage]))
            where = np.flatnonzero(seconds == stage)
            if not count or not len(where):
                continue
            onset = rng.choice(where, count) * RATE_HZ + rng.integers(0, RATE_HZ, count)
            shape = make(rng, count, int(stage))
            onsets.append(onset)
            shapes.append(shape)
            gains["c3"].append(rng.uniform(0.85, 1.15, count))
            gains["c4"].append(rng.uniform(0.7, 1.15, count))
            gains["eye"].append(eye_gain * rng.uniform(0.7, 1.2, count))
            spectrum = np.abs(np.fft.rfft(shape, FRAME, axis=1)) ** 2
            rate_hz = count / (minutes[stage] * 60)
            power[stage] += 2 * rate_hz * spectrum.mean(axis=0) / RATE_HZ**2
    if not onsets:
        empty = np.zeros(0)
        return _Elements(
            np.zeros(0, int), np.zeros((0, length), np.float32), dict.fromkeys(gains, empty), power
        )
    return _Elements(
        np.concatenate(onsets),
        np.concatenate(shapes).astype(np.float32),
        {site: np.concatenate(parts) for site, parts in gains.items()},
        power,
    )


def _template_time(count: int) -> np.ndarray:
    return np.tile(np.arange(int(TEMPLATE_S * RATE_HZ)) / RATE_HZ, (count, 1))


def _biphasic(
    time_s: np.ndarray, down_s: np.ndarray, up_s: np.ndarray, up_share: np.ndarray
) -> np.ndarray:
    """A negative half wave of −1 and a positive one of ``up_share``."""
    down, up = down_s[:, None], up_s[:, None]
    first = -np.sin(np.pi * np.clip(time_s / down, 0, 1))
    second = np.sin(np.pi * np.clip((time_s - down) / up, 0, 1))
    return first + up_share[:, None] * second


def _slow_waves(rng: np.random.Generator, count: int, stage: int) -> np.ndarray:
    """Half waves of about 0.5 and 0.65 s; 85 µV peak to peak (median), smaller in N2."""
    median = 85.0 if stage == 3 else 64.0
    peak_to_peak = median * np.exp(0.45 * rng.standard_normal(count))
    up_share = rng.uniform(0.55, 0.95, count)
    wave = _biphasic(
        _template_time(count),
        0.5 * np.exp(0.15 * rng.standard_normal(count)),
        0.64 * np.exp(0.15 * rng.standard_normal(count)),
        up_share,
    )
    return wave * (peak_to_peak / (1 + up_share))[:, None]


def _k_complexes(rng: np.random.Generator, count: int, stage: int) -> np.ndarray:
    """A sharp negative wave and a slower positive one, 80–200 µV, some with a spindle behind."""
    time_s = _template_time(count)
    peak_to_peak = rng.uniform(80, 200, count)
    up_share = rng.uniform(0.5, 0.9, count)
    wave = _biphasic(time_s, rng.uniform(0.25, 0.4, count), rng.uniform(0.45, 0.7, count), up_share)
    wave *= (peak_to_peak / (1 + up_share))[:, None]
    follows = rng.random(count) < 0.4
    centre = rng.uniform(1.0, 1.4, count)[:, None]
    spindle = np.exp(-0.5 * ((time_s - centre) / 0.22) ** 2) * np.sin(2 * np.pi * 13.4 * time_s)
    return wave + spindle * (follows * rng.uniform(8, 18, count))[:, None]


def _spindles(rng: np.random.Generator, count: int, stage: int) -> np.ndarray:
    """Waxing and waning 13.4 ± 0.4 Hz, 14 µV at the peak, 0.85 s long."""
    time_s = _template_time(count)
    hz = rng.normal(13.4, 0.4, count)[:, None]
    span = np.clip(0.85 * np.exp(0.25 * rng.standard_normal(count)), 0.5, 2.2)[:, None]
    peak = 14.0 * np.exp(0.3 * rng.standard_normal(count))[:, None]
    envelope = np.sin(np.pi * np.clip(time_s / span, 0, 1)) ** 0.8
    drift = 2 * np.pi * (hz * time_s - 0.3 * time_s**2)
    return peak * envelope * np.sin(drift + rng.uniform(0, 2 * np.pi, count)[:, None])


def _sawtooth(rng: np.random.Generator, count: int, stage: int) -> np.ndarray:
    """Trains of notched 2–4 Hz triangles of 20–40 µV."""
    time_s = _template_time(count)
    hz = rng.uniform(2.2, 4.0, count)[:, None]
    phase = (hz * time_s) % 1.0
    triangle = np.where(phase < 0.7, phase / 0.7, (1 - phase) / 0.3) - 0.5
    span = rng.uniform(1.2, 2.8, count)[:, None]
    envelope = np.sin(np.pi * np.clip(time_s / span, 0, 1)) ** 0.5
    return rng.uniform(20, 40, count)[:, None] * envelope * triangle
