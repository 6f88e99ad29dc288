"""Stages, EEG, eyes and chin of simulated nights against what is known of real ones."""

import numpy as np
import pytest
from scipy.signal import butter, hilbert, resample_poly, sosfiltfilt, welch

from train.simulate.eeg import RATE_HZ, simulate_brain
from train.simulate.eyes import eye_movements, eye_spread
from train.simulate.hypnogram import SleepProfile, simulate_stages, waking_arousals
from train.simulate.hypnogram_tables import TABLES
from train.simulate.muscle import chin_muscle

W, N1, N2, N3, R = range(5)


def asleep(seed: int, profile: SleepProfile | None = None) -> np.ndarray:
    stages = simulate_stages(np.random.default_rng(seed), 960, profile)
    sleep = np.flatnonzero(stages > 0)
    return stages[sleep[0] : sleep[-1] + 1]


def minutes(profile: SleepProfile | None, n_nights: int = 40) -> np.ndarray:
    nights = [asleep(seed, profile) for seed in range(n_nights)]
    return np.array([[np.sum(night == stage) / 2 for stage in range(5)] for night in nights])


def one_stage(stage: int, n_minutes: int = 20, seed: int = 0, **arguments: float) -> np.ndarray:
    seconds = np.full(60 * n_minutes, stage)
    return simulate_brain(np.random.default_rng(seed), seconds, (), **arguments).c3


def level_db(wave: np.ndarray, low_hz: float, high_hz: float) -> float:
    frequency, density = welch(wave, RATE_HZ, nperseg=512)
    return float(10 * np.log10(density[(frequency >= low_hz) & (frequency < high_hz)].mean()))


def test_minutes_by_stage_are_those_of_the_sleep_edf_nights() -> None:
    # Means of the 20 Sleep-EDF cassette hypnograms, first to last epoch of sleep: 31 42 223 77 92.
    made = minutes(None).mean(axis=0)
    assert np.all(np.abs(made - [31, 42, 223, 77, 92]) < [14, 12, 30, 18, 20])


def test_nights_differ_from_each_other_as_real_ones_do() -> None:
    spread = minutes(None).std(axis=0)
    assert 8 < spread[N1] < 30
    assert 18 < spread[N3] < 50
    assert 12 < spread[R] < 35


def test_deep_sleep_comes_early_and_rem_late() -> None:
    thirds = [np.array_split(asleep(seed), 3) for seed in range(30)]
    deep = np.mean([[np.mean(part == N3) for part in night] for night in thirds], axis=0)
    dream = np.mean([[np.mean(part == R) for part in night] for night in thirds], axis=0)
    assert deep[0] > 2 * deep[2]
    assert dream[2] > 1.7 * dream[0]


def test_age_costs_deep_sleep_and_brings_wake() -> None:
    young, old = (minutes(SleepProfile(age_y=age)).mean(axis=0) for age in (25, 70))
    assert 0.3 < old[N3] / young[N3] < 0.7  # about 2 % of sleep a decade
    assert 15 < old[W] - young[W] < 60  # about 10 minutes a decade


def test_fragmentation_moves_sleep_towards_the_apnea_group() -> None:
    calm, broken = minutes(None), minutes(SleepProfile(fragmentation=2.0))
    assert broken[:, W].mean() > 1.8 * calm[:, W].mean()
    assert broken[:, N3].mean() < 0.8 * calm[:, N3].mean()


def test_tables_are_shares_and_rising_deciles() -> None:
    for table in TABLES.values():
        assert np.all(np.diagonal(table["moves"], axis1=2, axis2=3) == 0)
        assert np.all(np.diff(table["bout_deciles"], axis=-1) >= 0)
        assert table["rem_breaks"].sum() == pytest.approx(1, abs=0.02)


def test_an_arousal_marks_the_step_back_to_n1() -> None:
    stages = np.array([N2] * 20 + [N1] * 3 + [N2] * 20 + [R] * 10 + [W] + [R] * 10)
    spans = waking_arousals(np.random.default_rng(1), stages)
    assert len(spans) == 2
    for (start_s, end_s), edge_s in zip(spans, (600, 1590), strict=True):
        assert start_s < edge_s < end_s
        assert 3 <= end_s - start_s <= 14
    assert waking_arousals(np.random.default_rng(1), np.full(20, N2)) == []


def test_delta_separates_n3_from_n2_and_n2_from_rem() -> None:
    delta = {
        stage: np.mean([level_db(one_stage(stage, seed=seed), 0.5, 2) for seed in range(6)])
        for stage in (N2, N3, R)
    }
    # The real night: 21.3, 29.4 and 13.5 dB at 0.75 Hz.
    assert 4 < delta[N3] - delta[N2] < 11
    assert 4 < delta[N2] - delta[R] < 12


def test_recordings_differ_in_level_and_variety_scales_it() -> None:
    def spread(variety: float) -> float:
        levels = [level_db(one_stage(N3, 6, s, variety=variety), 16, 25) for s in range(10)]
        return float(np.std(levels))

    assert 0.7 < spread(1.0) < 3.5
    assert spread(2.5) > 1.5 * spread(1.0)
    assert spread(0.0) < 0.7


def test_alpha_of_wake_comes_in_bursts() -> None:
    sos = butter(3, [8, 12], "bandpass", fs=RATE_HZ, output="sos")
    variations = []
    for seed in range(5):
        envelope = np.abs(hilbert(sosfiltfilt(sos, one_stage(W, 6, seed))))
        epochs = envelope[: len(envelope) // 3840 * 3840].reshape(-1, 3840)
        variations.append(np.median(epochs.std(axis=1) / epochs.mean(axis=1)))
    assert 0.6 < np.mean(variations) < 0.95  # real: 0.6 to 0.9; Gaussian noise: 0.52


def test_alpha_strength_is_a_factor_on_alpha_alone() -> None:
    none, usual = (one_stage(W, 10, alpha_strength=strength) for strength in (0.0, 1.0))
    assert level_db(usual, 8.5, 10.5) - level_db(none, 8.5, 10.5) > 3
    assert abs(level_db(usual, 20, 25) - level_db(none, 20, 25)) < 0.5


def test_old_sleepers_have_smaller_slow_waves() -> None:
    young, old = (
        np.mean([level_db(one_stage(N3, 8, s, age_y=age), 0.5, 2) for s in range(4)])
        for age in (20, 80)
    )
    assert 0.5 < young - old < 6


def test_slow_waves_and_spindles_are_as_many_as_real_ones() -> None:
    from sleeplm.physiology.waves import slow_waves, spindles

    light = [resample_poly(one_stage(N2, 20, seed), 1, 2) for seed in range(3)]
    deep = [resample_poly(one_stage(N3, 20, seed), 1, 2) for seed in range(3)]
    per_min = {
        "n2": np.mean([len(slow_waves(wave, 64)) / 20 for wave in light]),
        "n3": np.mean([len(slow_waves(wave, 64)) / 20 for wave in deep]),
        "spindles": np.mean([len(spindles(wave, 64)) / 20 for wave in light]),
    }
    assert 1.5 < per_min["n2"] < 6  # 3.6 in the real night
    assert 9 < per_min["n3"] < 24  # 14
    assert 1 < per_min["spindles"] < 4  # 2.1


def test_eyes_move_oppositely_and_blinks_can_be_turned_off() -> None:
    rem = eye_movements(np.random.default_rng(0), np.full(1200, R))
    assert np.corrcoef(*rem)[0, 1] < -0.8
    still = eye_movements(np.random.default_rng(0), np.full(1200, R), rem_density=0.0)
    assert np.std(still[0]) < 0.2 * np.std(rem[0])
    awake = np.full(1200, W)
    with_blinks, without = (
        eye_movements(np.random.default_rng(0), awake, blink_rate=rate)[0] for rate in (1.0, 0.0)
    )
    assert with_blinks.max() > without.max()


def test_the_central_eeg_sees_a_small_part_of_the_eyes() -> None:
    left, right = eye_movements(np.random.default_rng(0), np.full(600, R))
    seen, _ = eye_spread(np.random.default_rng(1), left, right)
    assert np.corrcoef(seen, left)[0, 1] > 0.99
    assert 0.05 < np.std(seen) / np.std(left) < 0.25


def test_chin_spectrum_has_its_median_where_real_ones_have_it() -> None:
    chin = resample_poly(chin_muscle(np.random.default_rng(0), np.full(1200, N2), (), ()), 1, 2)
    frequency, density = welch(chin, 64, nperseg=256)
    band = (frequency >= 10) & (frequency <= 31)
    total = np.cumsum(density[band])
    median_hz = frequency[band][np.searchsorted(total, total[-1] / 2)]
    assert 15 <= median_hz <= 20


def test_atonia_lost_gives_rem_tone_and_twitches() -> None:
    seconds = np.full(1800, R)
    normal, lost = (
        chin_muscle(np.random.default_rng(3), seconds, (), (), atonia=atonia)
        for atonia in (1.0, 0.0)
    )
    quiet = [np.median(one.reshape(1800, -1).std(axis=1)) for one in (normal, lost)]
    assert quiet[1] > 1.3 * quiet[0]
    busy = [np.mean(one.reshape(1800, -1).std(axis=1) > 6) for one in (normal, lost)]
    assert busy[1] > 4 * busy[0]


def test_the_same_generator_gives_the_same_waves() -> None:
    assert np.array_equal(one_stage(N2, 2, 5), one_stage(N2, 2, 5))
    assert not np.array_equal(one_stage(N2, 2, 5), one_stage(N2, 2, 6))


def test_whole_epochs_of_sleep_have_the_spectrum_that_was_measured() -> None:
    # dB re 1 µV²/Hz of the one full real night at 1.5, 5, 9, 18 and 27.5 Hz.
    measured = {
        N2: (18.2, 8.7, 8.0, -3.4, -9.7),
        N3: (23.0, 10.5, 8.0, -5.9, -11.3),
        R: (11.2, 7.6, 5.9, -1.3, -6.4),
    }
    bands = ((1.2, 1.8), (4.5, 5.5), (8.5, 9.5), (17.0, 19.0), (26.0, 29.0))
    for stage, levels in measured.items():
        nights = [
            [level_db(wave, *band) for band in bands]
            for wave in (one_stage(stage, 10, seed) for seed in range(6))
        ]
        assert np.all(np.abs(np.mean(nights, axis=0) - levels) < 3.0), stage


def test_the_muscles_of_the_scalp_join_in_when_the_body_moves() -> None:
    seconds = np.full(600, N2)
    still = simulate_brain(np.random.default_rng(3), seconds, ()).c3
    moved = simulate_brain(np.random.default_rng(3), seconds, (), movements_s=[(100.0, 130.0)]).c3
    inside, outside = slice(102 * RATE_HZ, 128 * RATE_HZ), slice(200 * RATE_HZ, 590 * RATE_HZ)
    assert level_db(moved[inside], 25, 45) > level_db(still[inside], 25, 45) + 8
    assert abs(level_db(moved[outside], 25, 45) - level_db(still[outside], 25, 45)) < 1.5
    assert abs(level_db(moved[inside], 1, 4) - level_db(still[inside], 1, 4)) < 2.5


def test_an_arousal_is_as_fast_as_the_sleepers_own_wake() -> None:
    wake, rise = [], []
    for seed in range(4):
        spans = [(float(at), at + 10.0) for at in range(20, 580, 60)]
        wave = simulate_brain(np.random.default_rng(seed), np.full(600, N2), spans).c3
        inside = np.concatenate(
            [wave[int(a + 1) * RATE_HZ : int(b - 1) * RATE_HZ] for a, b in spans]
        )
        rise.append(level_db(inside, 16, 25))
        wake.append(level_db(one_stage(W, 10, seed), 16, 25))
    assert abs(np.mean(rise) - np.mean(wake)) < 4.0
