"""Spindles, slow waves and rapid eye movements: injected ones are found, YASA's on a real night."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import signal

from sleeplm.physiology import Wave, measure_night
from sleeplm.physiology.waves import (
    bursts,
    count_by_epoch,
    rapid_eye_movements,
    slow_waves,
    spindles,
)

RATE_HZ = 64.0
EPOCH = 1920


def background(n_epochs: int, seed: int, sd_uv: float = 12.0) -> np.ndarray:
    """EEG-like noise whose power falls with the square of the frequency, 0.5–30 Hz."""
    rng = np.random.default_rng(seed)
    n = n_epochs * EPOCH
    frequencies_hz = np.fft.rfftfreq(n, 1 / RATE_HZ)
    spectrum = rng.standard_normal(len(frequencies_hz)) + 1j * rng.standard_normal(
        len(frequencies_hz)
    )
    spectrum[1:] /= frequencies_hz[1:]
    spectrum[(frequencies_hz < 0.5) | (frequencies_hz > 30)] = 0.0
    noise = np.fft.irfft(spectrum, n)
    return sd_uv * noise / noise.std()


def with_bursts(
    eeg: np.ndarray, onsets_s: np.ndarray, length_s: float, hz: float, uv: float
) -> np.ndarray:
    out = eeg.copy()
    count = round(length_s * RATE_HZ)
    wave = uv * np.hanning(count) * np.sin(2 * np.pi * hz * np.arange(count) / RATE_HZ)
    for onset_s in onsets_s:
        first = round(onset_s * RATE_HZ)
        out[first : first + count] += wave
    return out


def overlaps(found: list[Wave], onset_s: float, end_s: float) -> bool:
    return any(wave.onset_s < end_s and wave.end_s > onset_s for wave in found)


@pytest.mark.parametrize("hz", [12.3, 13.5, 14.6])
def test_injected_spindles_are_found_with_their_time_and_frequency(hz: float) -> None:
    onsets_s = np.arange(7.0, 590.0, 12.7)
    eeg = with_bursts(background(20, 1), onsets_s, 1.2, hz, 30.0)
    found = spindles(eeg, RATE_HZ)
    hit = [overlaps(found, onset_s, onset_s + 1.2) for onset_s in onsets_s]
    assert np.mean(hit) > 0.9
    assert sum(any(abs(w.onset_s - o) < 1.3 for o in onsets_s) for w in found) >= 0.9 * len(found)
    assert np.median([wave.frequency_hz for wave in found]) == pytest.approx(hz, abs=0.5)
    assert np.median([wave.duration_s for wave in found]) == pytest.approx(0.8, abs=0.3)
    values = measure_night({"EEG_C3_A2": eeg}).values
    assert values["eeg_c3_spindle_count"].sum() == len(found)


def test_noise_and_waking_alpha_hold_hardly_any_spindle() -> None:
    assert len(spindles(background(20, 2), RATE_HZ)) <= 10
    alpha = with_bursts(background(20, 3), np.arange(2.0, 590.0, 4.0), 2.5, 9.5, 40.0)
    assert len(spindles(alpha, RATE_HZ)) <= 5


def test_spindles_are_not_sought_where_the_signal_cannot_be_trusted() -> None:
    eeg = with_bursts(background(20, 1), np.arange(7.0, 590.0, 12.7), 1.2, 13.5, 30.0)
    usable = np.arange(len(eeg)) < 10 * EPOCH
    found = spindles(eeg, RATE_HZ, usable)
    assert len(found) > 15
    assert max(wave.end_s for wave in found) <= 300.5
    assert spindles(eeg, RATE_HZ, np.zeros(len(eeg), dtype=bool)) == []
    assert spindles(eeg[::2], RATE_HZ / 2) == []


def test_slow_waves_have_the_size_and_length_of_those_injected() -> None:
    onsets_s = np.arange(5.0, 590.0, 6.1)
    eeg = background(20, 4, sd_uv=4.0)
    time_s = np.arange(round(1.2 * RATE_HZ)) / RATE_HZ
    for onset_s in onsets_s:
        first = round(onset_s * RATE_HZ)
        eeg[first : first + len(time_s)] -= 60.0 * np.sin(2 * np.pi * time_s / 1.2)
    found = slow_waves(eeg, RATE_HZ)
    hit = [overlaps(found, onset_s, onset_s + 1.2) for onset_s in onsets_s]
    assert np.mean(hit) > 0.95
    assert len(found) <= 1.1 * len(onsets_s)
    assert np.median([wave.amplitude_uv for wave in found]) == pytest.approx(110, abs=15)
    assert np.median([wave.frequency_hz for wave in found]) == pytest.approx(1 / 1.2, abs=0.15)
    values = measure_night({"EEG_C4_A1": eeg}).values
    assert values["eeg_c4_slow_wave_count"].sum() == len(found)
    assert np.isnan(values["eeg_c3_slow_wave_count"]).all()
    assert slow_waves(0.5 * eeg, RATE_HZ) == []


def test_the_eyes_count_when_they_move_oppositely_and_the_brain_does_not() -> None:
    rng = np.random.default_rng(5)
    n = 4 * EPOCH
    kernel = signal.windows.tukey(40, 0.9)
    movement = np.zeros(n)
    onsets_s = np.concatenate([np.arange(10.0, 14.0, 1.0), np.arange(30.0, 118.0, 8.0)])
    for onset_s in onsets_s:
        movement[round(onset_s * RATE_HZ) :][:40] += 110.0 * kernel
    noise = 6.0 * rng.standard_normal((2, n))
    found = rapid_eye_movements(movement + noise[0], -movement + noise[1], RATE_HZ)
    assert len(found) == pytest.approx(len(onsets_s), abs=2)
    assert all(min(abs(wave.onset_s - onsets_s)) < 0.7 for wave in found)
    # A blink or a slow wave moves both traces the same way.
    assert rapid_eye_movements(movement + noise[0], movement + noise[1], RATE_HZ) == []
    values = measure_night({"EOG_L": movement + noise[0], "EOG_R": noise[1] - movement}).values
    assert values["eog_rem_count"].sum() == len(found)
    assert values["eog_rem_burst_count"].tolist() == [1.0, 0.0, 0.0, 0.0]
    assert np.isnan(measure_night({"EOG_L": movement}).values["eog_rem_count"]).all()


def test_eye_movements_of_every_size_are_those_of_yasa() -> None:
    yasa = pytest.importorskip("yasa")
    rng = np.random.default_rng(12)
    n = 20 * EPOCH
    gaze = np.zeros(n)
    for onset_s in np.cumsum(rng.exponential(4.0, 140)):
        first = round(onset_s * RATE_HZ)
        gaze[first:] += rng.uniform(-150, 150) * np.exp(-np.arange(len(gaze[first:])) / 60)
    gaze = np.asarray(signal.sosfiltfilt(signal.butter(2, 8.0, fs=RATE_HZ, output="sos"), gaze))
    left, right = (sign * gaze + 5.0 * rng.standard_normal(n) for sign in (1, -0.9))
    found = rapid_eye_movements(left, right, RATE_HZ)
    theirs = yasa.rem_detect(left, right, RATE_HZ, verbose=False).summary()
    middle_s = np.array([wave.onset_s + wave.duration_s / 2 for wave in found])
    their_middle_s = ((theirs["Start"] + theirs["End"]) / 2).to_numpy()
    apart_s = np.abs(middle_s[:, None] - their_middle_s[None])
    assert len(theirs) > 30
    assert (apart_s.min(axis=0) < 0.4).mean() > 0.9
    assert (apart_s.min(axis=1) < 0.4).mean() > 0.9


def test_bursts_are_runs_of_movements_close_together() -> None:
    movements = [Wave(onset_s, 0.5, 80.0, 2.0) for onset_s in (1.0, 2.0, 2.9, 6.0, 20.0, 21.0)]
    assert bursts(movements) == [(1.0, pytest.approx(2.4)), (20.0, pytest.approx(1.5))]
    assert bursts(movements, least=3) == [(1.0, pytest.approx(2.4))]
    assert bursts([]) == []


def test_waves_are_counted_in_the_epoch_in_which_they_begin() -> None:
    assert count_by_epoch(np.array([0.0, 29.9, 30.0, 89.0, 95.0]), 3).tolist() == [2, 1, 1]
    assert count_by_epoch(np.zeros(0), 2).tolist() == [0, 0]


def matched(ours: list[Wave], starts_s: np.ndarray, ends_s: np.ndarray) -> int:
    """Pairs that share 30 % of their union, each used once."""
    free = np.ones(len(starts_s), dtype=bool)
    count = 0
    for wave in ours:
        shared = np.minimum(ends_s, wave.end_s) - np.maximum(starts_s, wave.onset_s)
        union = np.maximum(ends_s, wave.end_s) - np.minimum(starts_s, wave.onset_s)
        best = int(np.argmax(np.where(free, shared / union, -1.0)))
        if free[best] and shared[best] > 0.3 * union[best]:
            free[best] = False
            count += 1
    return count


@pytest.fixture(scope="module")
def real_eeg(shared_data: Path) -> np.ndarray:
    """84 minutes of a healthy adult at 100 Hz, µV."""
    path = shared_data / "prerau-dynamo" / "segment_data.csv"
    if not path.exists():
        pytest.skip("prerau-dynamo/segment_data.csv is missing")
    return np.loadtxt(path)


@pytest.mark.parametrize("kind", ["spindles", "slow waves"])
def test_on_a_real_night_the_waves_are_those_of_yasa(real_eeg: np.ndarray, kind: str) -> None:
    yasa = pytest.importorskip("yasa")
    if kind == "spindles":
        theirs = yasa.spindles_detect(real_eeg, 100.0, verbose=False).summary()
        ours_of, limit = spindles, 0.85
    else:
        theirs = yasa.sw_detect(real_eeg, 100.0, verbose=False).summary()
        ours_of, limit = slow_waves, 0.95
    starts_s, ends_s = theirs["Start"].to_numpy(), theirs["End"].to_numpy()
    for rate_hz, trace in ((100.0, real_eeg), (64.0, signal.resample_poly(real_eeg, 16, 25))):
        ours = ours_of(trace, rate_hz)
        score = 2 * matched(ours, starts_s, ends_s) / (len(ours) + len(starts_s))
        assert score > limit, (rate_hz, score)


def test_on_a_real_night_waves_lie_in_the_stages_where_they_belong(real_eeg: np.ndarray) -> None:
    trace = signal.resample_poly(real_eeg, 16, 25)
    n_epochs = len(trace) // EPOCH
    values = measure_night({"EEG_C3_A2": trace[: n_epochs * EPOCH]}).values
    delta = values["eeg_c3_delta_pct"]
    deep = delta > np.nanpercentile(delta, 80)
    slow_wave_count = values["eeg_c3_slow_wave_count"]
    assert slow_wave_count[deep].mean() > 3 * slow_wave_count[~deep].mean()
    # An adult has one to a few spindles a minute of N2, which fills more than half of this night.
    assert 0.2 < np.nanmean(values["eeg_c3_spindle_count"]) < 3.0
