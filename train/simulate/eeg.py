"""Central EEG: a background with the spectrum of its stage, and the graphic elements on it.

The background is noise shaped in overlapping 4-s frames. Stage spectra are parametric fits (within
0.4 dB) to real central EEG (one PSG for N2, N3 and R; W from the median of 12 patients of the
St Vincent's / UCD database; N1 assumed between them), in dB re 1 µV²/Hz:
b − 10·log10(k^χ + f^χ) + Gaussian bumps over log2 f. On it lie alpha that comes in bursts, the
speeding-up of arousals, and the discrete waves of :mod:`train.simulate.graphoelements`, whose
power is taken out of the background, so that the sum keeps the stage's spectrum.

What varies: each night has its own gain, its own tilt in wake and in sleep (in the UCD patients W
and N3 vary between recordings by 2 to 4 dB, nearly independently of each other above 1 Hz) and
its own alpha and spindle frequency; within a night power drifts with a time constant of 90 s. The
drift is skewed: a stage is what an expert called it, and N2 with much more delta would have been
called N3, N1 with much more alpha W.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import fftconvolve, lfilter

from train.simulate.graphoelements import draw_elements

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
# Slow changes within a night in dB by stage (W N1 N2 N3 R), by range: SD of falls, of rises. In
# W of the UCD patients all bands vary between epochs by 2.3 dB and more, 0.5-1 Hz by 5.7 dB.
VARIABILITY_DB = {
    "whole": ((0.9, 0.6, 0.4, 0.3, 0.4), (1.2, 0.6, 0.4, 0.3, 0.4)),
    "slowest": ((2.5, 1.0, 0.4, 0.2, 0.8), (6.0, 1.5, 1.2, 0.3, 1.5)),
    "low": ((3.0, 2.2, 1.2, 0.7, 1.6), (3.2, 1.3, 2.2, 1.1, 1.8)),
    "theta": ((1.5, 0.8, 0.8, 0.7, 0.8), (1.8, 0.8, 0.8, 0.7, 0.8)),
    "ten": ((2.4, 2.0, 1.8, 1.4, 2.8), (1.8, 1.0, 1.2, 1.4, 1.2)),
    "high": ((2.0, 1.6, 1.4, 0.7, 1.0), (2.8, 1.4, 1.4, 0.7, 1.0)),
}
VARIABILITY_TAU_S = 90.0
# Part of a range's changes that comes and goes within seconds: its time constant, its SD against
# the whole by stage. Slow swings of W come in gusts: half of the real epochs have a kurtosis > 1.7.
FAST_CHANGES = {
    "slowest": (3.0, (0.9, 0.5, 0.3, 0.3, 0.3)),
    "low": (6.0, (0.7, 0.53, 0.53, 0.53, 0.53)),
    "ten": (4.0, (0.3, 0.4, 0.5, 0.6, 0.5)),
}
# How far the ranges rise and fall together (squared share of a common change), by stage. In real
# W, N2 and R delta and alpha go together (rank correlation of 0.3 to 0.5), in N3 they do not.
TOGETHER = (0.5, 0.5, 0.6, 0.0, 0.55)
# Between nights, SD in dB, as within one laboratory; the UCD patients differ about twice as much
# (variety 2): one gain for all; then a curve for wake and one for NREM, of
# which N1 and R have parts, at these frequencies; then one for each stage.
KNOT_HZ = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 11.0, 16.0, 24.0, 36.0])
GAIN_SD_DB = 0.5
WAKE_SD_DB = np.array([2.2, 1.9, 1.35, 0.6, 0.9, 0.9, 0.7, 1.0, 1.7])
NREM_SD_DB = np.array([1.8, 1.45, 1.0, 0.7, 1.3, 1.25, 1.35, 1.5, 1.6])
STAGE_SD_DB = 0.4
# How far a curve's neighbouring knots go together (octaves).
CURVE_OCTAVES = 1.6
# What eye movements will add to C3 below some 1.5 Hz is in the real spectra of R already.
REM_EYE_DB = 1.2
# Put on the spectra above at KNOT_HZ (dB), so that whole epochs, with drift, arousals, seconds of
# other stages and the eyes in them, come out as measured: medians of the UCD patients for W, of
# the one full night for N2 and R; N3 above 16 Hz lies between the two.
TRIM_DB = (
    (0.8, -1.3, -1.6, -0.6, 0.5, 0.5, 0.6, -0.4, -3.2),
    (1.0, 0.0, 0.3, 0.6, 0.0, -0.4, -0.8, -2.2, -3.0),
    (0.5, 0.5, 0.0, 0.0, -0.6, -0.6, -0.8, -0.8, -0.4),
    (0.8, 0.4, 0.0, 0.3, -0.2, -0.2, 0.2, 1.2, 0.8),
    (1.0, 0.9, 0.8, 0.0, -0.9, -0.4, -1.2, -1.4, -1.0),
)
# Shares of a rise and of a fall below 4 Hz that a stage keeps. N3 is where slow waves over 75 µV
# fill a fifth of the epoch, whoever sleeps: who has large ones has more N3, not larger ones in N2.
SLOW_LIMITS = ((1.0, 1.0), (0.5, 1.0), (0.35, 1.0), (1.0, 0.5), (0.8, 1.0))
# The same of a rise around 10 Hz: N1 with alpha in half of the epoch is W, and R has little.
ALPHA_LIMITS = (1.0, 0.5, 0.6, 1.0, 0.5)
# Some sleepers have theta and alpha in NREM (4 of 13 UCD recordings: 12-17 dB at 7-9 Hz in N3).
INTRUSION_SHARE, INTRUSION_DB = 0.25, (1.5, 4.5)
# Muscles of the scalp at the central leads, by stage: median density in dB re 1 µV²/Hz above
# 20 Hz, and how it varies in dB: over half a minute, and within a second. In W of the UCD patients
# one epoch of twenty has 11 dB more at 25-30 Hz than the median one.
SCALP_MUSCLE_DB = (-6.5, -16.0, -24.0, -26.0, -24.0)
SCALP_MUSCLE_SD_DB = (4.5, 3.5)
# The same with a body movement.
MOVEMENT_MUSCLE_DB = 9.0
# Seconds over which N3 casts its shadow on the N2 around it.
DEPTH_S = 240


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
    *,
    age_y: float = 35.0,
    alpha_strength: float = 1.0,
    spindle_rate: float = 1.0,
    movements_s: Sequence[tuple[float, float]] = (),
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
        Factor on the differences between nights (1 as within one laboratory, 2 as between the UCD
        recordings); its fourth root is the factor on the changes within a night.
    age_y : float
        Slow waves shrink, alpha slows and spindles become fewer with age.
    alpha_strength : float
        Factor on the amplitude of alpha in W: 0 none (one sleeper of ten), 1 usual, 2 much.
    spindle_rate : float
        Factor on how often spindles come.
    movements_s : sequence of (start_s, end_s)
        Where the body moves, and the muscles of the scalp with it.
    """
    n = len(seconds) * RATE_HZ
    n_frames = n // HOP + 1
    frame_s = np.arange(n_frames) * HOP / RATE_HZ
    weights = _frame_weights(seconds, frame_s)
    depth = _depth(seconds)

    decades = (float(np.clip(age_y, 5, 95)) - 35) / 10
    alpha_hz = float(np.clip(rng.normal(9.6, 0.6), 8.2, 11.2) - 0.12 * max(decades, 0.0))
    spindle_hz = float(rng.normal(13.4, 0.35))
    stage_db = _night_character(rng, variety, alpha_hz, max(decades, -1.5))
    elements = draw_elements(
        rng, seconds, depth, FRAME,
        delta=float(10 ** (-0.25 * max(decades, -1.5) / 20)),
        spindle_rate=spindle_rate * float(np.exp(-0.12 * max(decades, 0.0))),
        spindle_hz=spindle_hz,
    )  # fmt: skip
    background = _background_power(stage_db, elements.power)
    alpha = _alpha_power(stage_db, alpha_hz)
    background = np.maximum(background - alpha, 0.25 * background)
    alpha[[0, 1, 4]] *= alpha_strength**2

    changes = _changes(rng, weights, variety, depth, frame_s)
    shared, ours = np.sqrt(0.62), np.sqrt(0.38)
    power = _mixture(weights, background) * changes
    alpha_power = _mixture(weights, alpha) * changes
    amplitude = np.sqrt(power).astype(np.float32)
    common = _shaped_noise(rng, amplitude, n)
    alpha_amplitude = np.sqrt(alpha_power).astype(np.float32)
    bursts = _burst_modulator(rng, n)
    common_alpha = _shaped_noise(rng, alpha_amplitude, n) * bursts

    arousal = smooth_gate(n, arousals_s, rng.uniform(0.75, 1.25, len(arousals_s)), edge_s=0.5)
    fast_power = np.tile(np.sqrt(_arousal_power(stage_db[0])).astype(np.float32), (n_frames, 1))
    fast = _shaped_noise(rng, fast_power, n) * arousal
    muscle_shape = np.tile(_muscle_shape().astype(np.float32), (n_frames, 1))
    damped = 1 - 0.35 * np.minimum(arousal, 1)

    muscle = _scalp_muscle(rng, weights, n, movements_s)
    event_left = elements.trace(n, "c3")
    event_right = elements.trace(n, "c4")
    channels = []
    for event, alpha_gain in ((event_left, 1.0), (event_right, rng.uniform(0.85, 1.15))):
        own = _shaped_noise(rng, amplitude, n)
        own_alpha = _shaped_noise(rng, alpha_amplitude, n) * bursts
        wave = (shared * common + ours * own) * damped + event * damped
        wave += alpha_gain * (shared * common_alpha + ours * own_alpha) + fast
        wave += muscle * _shaped_noise(rng, muscle_shape, n)
        channels.append(wave.astype(np.float32))
    # Eye electrodes pick up the frontal EEG: half of it is what the central leads see.
    whole = np.sqrt(power + alpha_power).astype(np.float32)
    eyes = []
    half = np.sqrt(0.5)
    for _ in range(2):
        own = _shaped_noise(rng, whole, n)
        leak = half * common * damped + half * own * damped + half * 0.7 * common_alpha
        eye = 0.8 * leak + elements.trace(n, "eye") * damped + 0.6 * fast
        eyes.append(eye + muscle * _shaped_noise(rng, muscle_shape, n))
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


def _depth(seconds: np.ndarray) -> np.ndarray:
    """Nearness of N3 for every second, 0 to 1: its share within some minutes."""
    width = min(2 * DEPTH_S + 1, len(seconds))
    window = np.bartlett(width + 2)[1:-1]
    deep = fftconvolve((seconds == 3).astype(float), window / window.sum(), "same")
    return np.clip(2 * deep, 0, 1)[: len(seconds)]


def _stage_power_db(alpha_hz: float) -> np.ndarray:
    """[5, n_frequencies] dB re 1 µV²/Hz; the amplifier's 0.3-Hz high-pass is in it."""
    frequency = np.maximum(FREQUENCY_HZ, 0.1)
    rows = []
    for stage, (offset_db, slope, knee_hz, bumps) in enumerate(STAGE_SPECTRA):
        row = offset_db - 10 * np.log10(knee_hz**slope + frequency**slope)
        for centre_hz, height_db, octaves in bumps:
            # The alpha peak of W, N1 and R is the sleeper's own.
            at_hz = alpha_hz * centre_hz / 9.6 if 8 < centre_hz < 10 else centre_hz
            row = row + height_db * np.exp(-0.5 * (np.log2(frequency / at_hz) / octaves) ** 2)
        row = row + 10 * np.log10(frequency**2 / (frequency**2 + 0.2**2))
        if stage == 4:
            row = row - REM_EYE_DB / (1 + (frequency / 1.6) ** 4)
        octave = np.log2(np.maximum(frequency, 0.25))
        row = row + np.interp(octave, np.log2(KNOT_HZ), TRIM_DB[stage])
        row[0] = -90.0
        rows.append(row)
    return np.stack(rows)


def _curve(rng: np.random.Generator, sd_db: np.ndarray) -> np.ndarray:
    """A random smooth curve over log frequency with the given SD at the knots."""
    octave = np.log2(KNOT_HZ)
    kernel = np.exp(-0.5 * ((octave[:, None] - octave) / CURVE_OCTAVES) ** 2)
    root = np.linalg.cholesky(kernel + 1e-6 * np.eye(len(octave)))
    values = sd_db * np.sum(root * rng.standard_normal(len(octave)), axis=1)
    return np.interp(np.log2(np.maximum(FREQUENCY_HZ, 0.25)), octave, values)


def _night_character(
    rng: np.random.Generator, variety: float, alpha_hz: float, decades: float
) -> np.ndarray:
    """This sleeper's stage spectra in dB [5, n_frequencies]."""
    gain_db = GAIN_SD_DB * rng.standard_normal()
    wake, nrem = _curve(rng, WAKE_SD_DB), _curve(rng, NREM_SD_DB)
    mixed = ((1.0, 0.0), (0.45, 0.55), (0.0, 1.0), (0.0, 1.0), (0.3, 0.7))
    slow = 1 / (1 + np.exp((np.log2(np.maximum(FREQUENCY_HZ, 0.25)) - 2) * 3))
    intrusion = float(rng.uniform(*INTRUSION_DB)) * (rng.random() < INTRUSION_SHARE)
    octaves = np.log2(np.maximum(FREQUENCY_HZ, 0.25) / (alpha_hz - 1.4))
    bump = intrusion * np.exp(-0.5 * (octaves / 0.35) ** 2)
    near_ten = np.exp(-0.5 * (np.log2(np.maximum(FREQUENCY_HZ, 0.25) / 10) / 0.45) ** 2)
    rows = []
    for stage, row in enumerate(_stage_power_db(alpha_hz)):
        of_wake, of_nrem = mixed[stage]
        own = _curve(rng, np.full(len(KNOT_HZ), STAGE_SD_DB))
        offset = variety * (gain_db + of_wake * wake + of_nrem * nrem + own)
        if stage in (2, 3):
            offset = offset - 0.25 * decades * slow
        rises, falls = SLOW_LIMITS[stage]
        kept = 1 - slow * (1 - np.where(offset > 0, rises, falls))
        kept = np.where(offset > 0, kept * (1 - near_ten * (1 - ALPHA_LIMITS[stage])), kept)
        rows.append(row + offset * kept + (variety * bump if stage in (2, 3) else 0.0))
    return np.stack(rows)


def _alpha_power(stage_db: np.ndarray, alpha_hz: float) -> np.ndarray:
    """Power of the alpha that comes in bursts, most of it in W [5, n_frequencies]."""
    frequency = np.maximum(FREQUENCY_HZ, 0.1)
    band = np.exp(-0.5 * (np.log2(frequency / alpha_hz) / 0.2) ** 2)
    share = np.array([0.75, 0.35, 0.35, 0.4, 0.25])[:, None]
    return 10 ** (stage_db / 10) * band * share


def _arousal_power(wake_db: np.ndarray) -> np.ndarray:
    """Added power of an arousal: the sleeper's own fast activity of wake, and more of it.

    3 dB above relaxed wake around 9.5 Hz and 2 dB above 16 Hz, where the muscles of the scalp
    join in.
    """
    frequency = np.maximum(FREQUENCY_HZ, 0.1)
    more_db = 3.0 * np.exp(-0.5 * (np.log2(frequency / 9.5) / 0.4) ** 2)
    more_db = more_db + 2.0 / (1 + np.exp(-6 * (np.log2(frequency) - 4)))
    fast = 1 / (1 + np.exp(-8 * (np.log2(frequency) - np.log2(6.5))))
    return fast * 10 ** ((wake_db + more_db) / 10)


def _muscle_shape() -> np.ndarray:
    """Root of the density of scalp muscle: it rises to 20 Hz and stays, 1 µV²/Hz there."""
    return 1 / np.sqrt(1 + (14.0 / np.maximum(FREQUENCY_HZ, 0.5)) ** 4)


def _scalp_muscle(
    rng: np.random.Generator,
    weights: np.ndarray,
    n: int,
    movements_s: Sequence[tuple[float, float]],
) -> np.ndarray:
    """Amplitude of scalp muscle for every sample, for noise of 1 µV²/Hz above 20 Hz."""
    level = _mixture(weights, 10 ** (np.array(SCALP_MUSCLE_DB)[:, None] / 10))[:, 0]
    per_hop = 4
    n_grid = len(weights) * per_hop
    step_s = HOP / RATE_HZ / per_hop
    slow_db, quick_db = SCALP_MUSCLE_SD_DB
    change = slow_db * slow_noise(rng, n_grid, 30.0 / step_s)
    change += quick_db * slow_noise(rng, n_grid, 0.8 / step_s)
    grid_s = np.arange(n_grid) * step_s
    tonic_db = 10 * np.log10(np.repeat(level, per_hop)) + change
    at_s = np.arange(n, dtype=np.float32) / np.float32(RATE_HZ)
    tonic = np.interp(at_s, grid_s, 10 ** (np.minimum(tonic_db, 18.0) / 20))
    heights = 10 ** ((MOVEMENT_MUSCLE_DB + 4 * rng.standard_normal(len(movements_s))) / 20)
    moving = smooth_gate(n, movements_s, heights, edge_s=0.3)
    return np.hypot(tonic, moving).astype(np.float32)


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


def _changes(
    rng: np.random.Generator,
    weights: np.ndarray,
    variety: float,
    depth: np.ndarray,
    frame_s: np.ndarray,
) -> np.ndarray:
    """Slow changes of power within the night, as a factor [n_frames, n_frequencies]."""
    n_frames = len(weights)
    step_s = HOP / RATE_HZ
    octave = np.log2(np.maximum(FREQUENCY_HZ, 0.25))
    shape = {
        "slowest": 1 / (1 + np.exp((octave - np.log2(1.2)) * 4)),
        "low": 1 / (1 + np.exp((octave - np.log2(3.2)) * 3)),
        "whole": np.ones_like(octave),
        "theta": np.exp(-0.5 * ((octave - np.log2(5.0)) / 0.5) ** 2),
        "ten": np.exp(-0.5 * ((octave - np.log2(10.0)) / 0.55) ** 2),
        "high": 1 / (1 + np.exp(-(octave - np.log2(16.0)) * 4)),
    }
    # N2 is deep near N3 and light far from it; slow-wave sleep lightens in the course of a night.
    near = np.interp(frame_s, np.arange(len(depth)), depth)
    late = frame_s / max(frame_s[-1], 4 * 3600.0)
    drift = weights[:, 2] * 3.0 * (near - 0.2) + (weights[:, 2] + weights[:, 3]) * (
        0.6 - 1.2 * late
    )
    total = drift.astype(np.float32)[:, None] * shape["low"].astype(np.float32)
    common = slow_noise(rng, n_frames, VARIABILITY_TAU_S / step_s)
    together = _mixture(weights, np.array(TOGETHER)[:, None])[:, 0]
    for name, (fall_db, rise_db) in VARIABILITY_DB.items():
        fall = _mixture(weights, np.array(fall_db)[:, None])[:, 0]
        rise = _mixture(weights, np.array(rise_db)[:, None])[:, 0]
        noise = slow_noise(rng, n_frames, VARIABILITY_TAU_S / step_s)
        noise = np.sqrt(together) * common + np.sqrt(1 - together) * noise
        if name in FAST_CHANGES:
            tau_s, shares = FAST_CHANGES[name]
            part = _mixture(weights, np.array(shares)[:, None])[:, 0]
            quick = slow_noise(rng, n_frames, tau_s / step_s)
            noise = np.sqrt(1 - part**2) * noise + part * quick
        # The mean of the skewed noise is taken off: E|x|/2 = 0.4.
        change = np.where(noise > 0, rise, fall) * noise - 0.4 * (rise - fall)
        total += (variety**0.25 * change).astype(np.float32)[:, None] * shape[name].astype(
            np.float32
        )
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
    """Waxing and waning of alpha: runs of some seconds, and beats within them; mean square 1."""
    coarse_hz = 4
    n_coarse = n * coarse_hz // RATE_HZ + 2
    runs = 1 / (1 + np.exp(-5 * (slow_noise(rng, n_coarse, 5.0 * coarse_hz) + 0.1)))
    level = (0.12 + runs) * np.exp(0.55 * slow_noise(rng, n_coarse, 0.8 * coarse_hz))
    level /= np.sqrt(np.mean(level**2))
    at = np.arange(n, dtype=np.float32) * np.float32(coarse_hz / RATE_HZ)
    return np.interp(at, np.arange(n_coarse), level).astype(np.float32)
