"""Heart: beats that follow stage, breath, arousals and apneas; the ECG and the pulse rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from train.simulate.breathing import RespiratoryEvent
from train.simulate.eeg import RATE_HZ, slow_noise

__all__ = ["add_ectopic", "beat_times", "electrocardiogram", "pulse_rate"]

GRID_HZ = 8
# Rate relative to N2, and respiratory sinus arrhythmia (relative), by stage W N1 N2 N3 R.
STAGE_RATE = np.array([1.13, 1.05, 1.0, 0.98, 1.07])
SINUS_ARRHYTHMIA = np.array([0.022, 0.026, 0.032, 0.036, 0.018])
SLOW_SD = np.array([0.05, 0.05, 0.038, 0.02, 0.06])
MAYER = np.array([0.025, 0.022, 0.018, 0.006, 0.022])
# Kinds of beats.
SINUS, ATRIAL, VENTRICULAR = 0, 1, 2
# A premature beat comes after this share of the interval; the pause after an atrial one is less
# than compensatory, after a ventricular one the sinus beat is lost and the next is on time.
PREMATURE = {ATRIAL: (0.62, 0.82), VENTRICULAR: (0.52, 0.75)}
# Wide, without P, and with a T wave against it: amplitude (mV), delay (s), width (s).
VENTRICULAR_WAVES = ((-0.25, -0.07, 0.022), (1.35, 0.0, 0.034), (-0.5, 0.075, 0.03),
                     (-0.42, 0.27, 0.055))  # fmt: skip
# Amplitude (mV), delay from R (s), width (s) of P, Q, R, S, T.
WAVES = (
    (0.11, -0.165, 0.022),
    (-0.10, -0.030, 0.0085),
    (1.0, 0.0, 0.0105),
    (-0.20, 0.030, 0.0100),
    (0.26, 0.265, 0.048),
)
BEAT_BEFORE_S, BEAT_AFTER_S = 0.27, 0.47


def beat_times(
    rng: np.random.Generator,
    stages: np.ndarray,
    phase: np.ndarray,
    arousals_s: Sequence[tuple[float, float]],
    events: list[RespiratoryEvent],
    *,
    resting_bpm: float | None = None,
    fibrillation: bool = False,
    movements_s: Sequence[tuple[float, float]] = (),
) -> np.ndarray:
    """Times of the R peaks in seconds.

    Arousals and movements raise the rate for about ten seconds; an apnea slows the heart and its
    end speeds it up; breath and slow (Mayer) waves of about 0.1 Hz swing it.

    Parameters
    ----------
    stages : int array [n_epochs]
    phase : array
        The breath cycle (0–1) at 64 Hz.
    arousals_s, movements_s : spans in seconds
    events : list of RespiratoryEvent
    resting_bpm : float, optional
        Rate in N2; drawn around 62 where not given.
    fibrillation : bool
        Intervals as in atrial fibrillation: irregular without order, and faster.
    """
    n = len(stages) * 30 * GRID_HZ
    time_s = np.arange(n) / GRID_HZ
    stage = np.repeat(stages, 30 * GRID_HZ)
    smooth = np.ones(8 * GRID_HZ) / (8 * GRID_HZ)
    base = np.convolve(np.pad(STAGE_RATE[stage], 4 * GRID_HZ, mode="edge"), smooth, "same")
    base = base[4 * GRID_HZ : 4 * GRID_HZ + n]
    log_rate = np.log(base)
    own = float(np.exp(0.3 * rng.standard_normal()))
    log_rate += SLOW_SD[stage] * own * slow_noise(rng, n, 25.0 * GRID_HZ)
    log_rate += 0.5 * SLOW_SD[stage] * own * slow_noise(rng, n, 4.0 * GRID_HZ)
    log_rate += 0.02 * slow_noise(rng, n, 1800.0 * GRID_HZ)
    # Mayer waves: a narrow rhythm near 0.1 Hz that comes and goes, least in deep sleep.
    swing = np.cumsum(0.1 + 0.012 * slow_noise(rng, n, 20.0 * GRID_HZ)) / GRID_HZ
    log_rate += (
        MAYER[stage] * own * np.sin(2 * np.pi * swing) * np.abs(slow_noise(rng, n, 30.0 * GRID_HZ))
    )
    breath = phase[:: 64 // GRID_HZ][:n]
    sinus = SINUS_ARRHYTHMIA[stage] * float(
        np.clip(np.exp(0.45 * rng.standard_normal()), 0.25, 1.8)
    )
    sinus = sinus * np.exp(0.25 * slow_noise(rng, n, 60.0 * GRID_HZ))
    log_rate += sinus * np.sin(2 * np.pi * (breath - 0.1))
    for start_s, end_s in arousals_s:
        _add_bump(log_rate, time_s, start_s - 0.5, 2.5, end_s - start_s, rng.uniform(0.08, 0.24))
    for start_s, end_s in movements_s:
        _add_bump(log_rate, time_s, start_s, 3.0, end_s - start_s, rng.uniform(0.02, 0.12))
    for event in events:
        if event.kind == "rera":
            continue
        slower = 0.003 * min(event.duration_s, 45) * rng.uniform(0.2, 1.4)
        first, last = (int(edge * GRID_HZ) for edge in (event.onset_s, event.end_s))
        last = min(last, n)
        log_rate[first:last] -= slower * np.linspace(0, 1, max(last - first, 0))
        # Without the rebound the rate comes back over some seconds, not in a step.
        tail = np.arange(last, min(last + 8 * GRID_HZ, n))
        log_rate[tail] -= slower * np.exp(-(tail - last) / (2.0 * GRID_HZ))
        _add_bump(log_rate, time_s, event.end_s, 4.0, 3.0, rng.uniform(0.03, 0.14))
    drawn = float(np.clip(rng.normal(65, 9), 46, 88))
    resting = drawn if resting_bpm is None else resting_bpm
    if fibrillation:
        log_rate = 0.5 * log_rate + np.log(1.2)
    beats_per_s = np.clip(resting * np.exp(log_rate), 38, 150) / 60
    count = np.concatenate([[0.0], np.cumsum(beats_per_s) / GRID_HZ]) + rng.uniform(0, 1)
    whole = np.arange(np.ceil(count[0]), np.floor(count[-1]) + 1)
    if fibrillation:
        steps = rng.gamma(1 / 0.22**2, 0.22**2, len(whole)).clip(0.45, 2.2)
        whole = whole[0] + np.cumsum(steps) - steps[0]
        whole = whole[whole <= count[-1]]
    beats = np.interp(whole, count, np.arange(n + 1) / GRID_HZ)
    return np.asarray(beats + 0.004 * rng.standard_normal(len(beats)).clip(-2.5, 2.5))


def add_ectopic(
    rng: np.random.Generator, beats_s: np.ndarray, *, pac_per_h: float, pvc_per_h: float
) -> tuple[np.ndarray, np.ndarray]:
    """Premature beats: atrial ones that reset the sinus, ventricular ones with a full pause.

    Returns
    -------
    beats_s : array
        As many beats as were given: each premature one takes the place of a sinus beat.
    kinds : int8 array
        0 sinus, 1 atrial, 2 ventricular.

    Raises
    ------
    ValueError
        A rate is negative.
    """
    if pac_per_h < 0 or pvc_per_h < 0:
        raise ValueError("pac_per_h and pvc_per_h must not be negative")
    beats = np.array(beats_s, dtype=float)
    kinds = np.zeros(len(beats), dtype=np.int8)
    if len(beats) < 10:
        return beats, kinds
    hours = (beats[-1] - beats[0]) / 3600
    for kind, per_hour in ((ATRIAL, pac_per_h), (VENTRICULAR, pvc_per_h)):
        for place in rng.integers(2, len(beats) - 3, rng.poisson(per_hour * hours)).tolist():
            if kinds[max(place - 2, 0) : place + 3].any():
                continue
            before = beats[place - 1]
            interval = beats[place] - before
            early = interval * rng.uniform(*PREMATURE[kind])
            kinds[place] = kind
            beats[place] = before + max(early, 0.36)
            if kind == ATRIAL:
                # The sinus starts anew: every later beat comes early by what was gained, until
                # the rate has made up for it over the next beats.
                gained = interval - (beats[place] - before)
                after = np.arange(place + 1, min(place + 7, len(beats)))
                beats[after] -= 0.6 * gained * np.linspace(1, 0, len(after), endpoint=False)
    return beats, kinds


def _add_bump(
    log_rate: np.ndarray,
    time_s: np.ndarray,
    start_s: float,
    rise_s: float,
    hold_s: float,
    size: float,
) -> None:
    """Add a rise, a plateau and an exponential fall (τ 6 s) to the log rate, in place."""
    first = max(0, int(start_s * GRID_HZ))
    last = min(len(log_rate), int((start_s + rise_s + hold_s + 25) * GRID_HZ))
    if last <= first:
        return
    since = time_s[first:last] - start_s
    up = np.clip(since / rise_s, 0, 1)
    down = np.exp(-np.clip(since - rise_s - 0.5 * hold_s, 0, None) / 6.0)
    log_rate[first:last] += size * up * down


def electrocardiogram(
    rng: np.random.Generator,
    n: int,
    beats_s: np.ndarray,
    phase: np.ndarray,
    *,
    kinds: np.ndarray | None = None,
    fibrillation: bool = False,
) -> np.ndarray:
    """ECG in mV at 128 Hz [n]: P-QRS-T at each beat, breathing in its amplitude, noise.

    Parameters
    ----------
    kinds : int8 array [n_beats], optional
        From :func:`add_ectopic`; ventricular beats are wide and without P.
    fibrillation : bool
        No P waves but small f waves of 5–7 Hz.
    """
    amplitude = rng.uniform(0.7, 1.3)
    scale = np.array([rng.uniform(0.7, 1.3) for _ in WAVES])
    scale[2] = 1.0
    interval = np.diff(beats_s, append=beats_s[-1:] + 1.0) if len(beats_s) else np.zeros(0)
    previous = np.concatenate([interval[:1], interval[:-1]])
    stretch = np.sqrt(np.clip(previous, 0.45, 1.5) / 0.95)
    breath = phase[np.clip((beats_s * 64).astype(int), 0, len(phase) - 1)]
    gain = amplitude * (
        1 + 0.07 * np.sin(2 * np.pi * breath) + 0.015 * rng.standard_normal(len(beats_s))
    )
    before, after = int(BEAT_BEFORE_S * RATE_HZ), int(BEAT_AFTER_S * RATE_HZ)
    start = np.floor(beats_s * RATE_HZ).astype(int)
    time_s = (start[:, None] + np.arange(-before, after)) / RATE_HZ - beats_s[:, None]
    wave = np.zeros_like(time_s)
    for (height, delay_s, width_s), factor in zip(WAVES, scale, strict=True):
        late = delay_s * (stretch[:, None] if delay_s > 0.1 else 1.0)
        wave += factor * height * np.exp(-0.5 * ((time_s - late) / width_s) ** 2)
    if fibrillation:
        height, delay_s, width_s = WAVES[0]
        wave -= scale[0] * height * np.exp(-0.5 * ((time_s - delay_s) / width_s) ** 2)
    if kinds is not None and (kinds == VENTRICULAR).any():
        wide = kinds == VENTRICULAR
        wave[wide] = sum(
            height * np.exp(-0.5 * ((time_s[wide] - delay_s) / width_s) ** 2)
            for height, delay_s, width_s in VENTRICULAR_WAVES
        )
    wave *= gain[:, None]
    trace = np.zeros(n + before + after + RATE_HZ)
    index = start[:, None] + np.arange(0, before + after)
    keep = (start >= 0) & (start < n)
    np.add.at(trace, index[keep], wave[keep])
    ecg = trace[before : before + n]
    breath_fast = np.repeat(phase, 2)[:n]
    ecg = ecg + 0.05 * np.sin(2 * np.pi * breath_fast) + 0.012 * rng.standard_normal(n)
    wander = slow_noise(rng, n // RATE_HZ + 2, 8.0)
    ecg += 0.04 * np.interp(np.arange(n) / RATE_HZ, np.arange(len(wander)), wander)
    if fibrillation:
        turns = np.cumsum(6.0 + 0.5 * slow_noise(rng, n, 0.5 * RATE_HZ)) / RATE_HZ
        ecg += 0.04 * np.sin(2 * np.pi * turns)
    return np.asarray(ecg.astype(np.float32))


def pulse_rate(n_seconds: int, beats_s: np.ndarray, average_s: float = 4.0) -> np.ndarray:
    """Heart rate as an oximeter shows it: mean over the last four seconds, whole bpm, 1 Hz."""
    middle = 0.5 * (beats_s[1:] + beats_s[:-1])
    rate = 60.0 / np.diff(beats_s)
    grid = np.arange(0, n_seconds, 0.25)
    instant = np.interp(grid, middle, rate)
    steps = int(average_s * 4)
    total = np.concatenate([np.full(steps, instant[0]), instant])
    mean = np.convolve(total, np.ones(steps) / steps, "valid")[1 : len(instant) + 1]
    return np.round(mean[::4][:n_seconds])
