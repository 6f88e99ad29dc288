"""Measurements against signals whose answer is known by construction."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import signal

from sleeplm.physiology import FIELDS, Quality, desaturations, measure_night
from sleeplm.physiology.cardiac import beat_statistics, detect_beats
from sleeplm.physiology.oximetry import plausible_spo2, trend_segments
from sleeplm.physiology.respiration import breath_statistics, breath_times

RATE_HZ = 64.0
EPOCH = 1920
#: a6.edf is record a06 from minute 60.5 on (its SOURCES.md).
A06_EXCERPT_START_S = 3630.0


def seconds(n_epochs: int) -> np.ndarray:
    return np.arange(n_epochs * EPOCH) / RATE_HZ


def impulses(beats_s: np.ndarray, n_epochs: int, width_s: float = 0.012) -> np.ndarray:
    """An ECG-like trace: a narrow positive wave and a wide small one at each beat."""
    time_s = seconds(n_epochs)
    ecg = np.zeros_like(time_s)
    for beat in beats_s:
        near = slice(max(int((beat - 0.1) * RATE_HZ), 0), int((beat + 0.5) * RATE_HZ))
        ecg[near] += np.exp(-0.5 * ((time_s[near] - beat) / width_s) ** 2)
        ecg[near] += 0.2 * np.exp(-0.5 * ((time_s[near] - beat - 0.25) / 0.05) ** 2)
    return ecg


def test_band_shares_of_a_sine_mixture_are_the_squared_amplitudes() -> None:
    time_s = seconds(3)
    tones = {"delta": (2.0, 4.0), "theta": (6.0, 3.0), "alpha": (10.0, 2.0)}
    tones |= {"sigma": (13.5, 1.0), "beta": (20.0, 1.5)}
    eeg = sum(10 * gain * np.sin(2 * np.pi * hz * time_s) for hz, gain in tones.values())
    total = sum(gain**2 for _, gain in tones.values())
    values = measure_night({"EEG_C3_A2": eeg, "EEG_C4_A1": -0.5 * eeg}).values
    for side in ("c3", "c4"):
        for band, (_, gain) in tones.items():
            assert values[f"eeg_{side}_{band}_pct"] == pytest.approx(100 * gain**2 / total, abs=0.5)


def test_slow_rolls_and_saccades_are_told_apart_by_frequency() -> None:
    time_s = seconds(2)
    rolls = 60 * np.sin(2 * np.pi * 0.5 * time_s)
    values = measure_night({"EOG_L": rolls, "EOG_R": 60 * np.sin(2 * np.pi * 3 * time_s)}).values
    assert (values["eog_l_slow_pct"] > 95).all()
    assert (values["eog_l_saccade_pct"] < 5).all()
    assert (values["eog_r_slow_pct"] < 5).all()
    assert (values["eog_r_saccade_pct"] > 95).all()


@pytest.mark.parametrize("gain", [1.0, -0.7])
def test_beat_rate_and_rmssd_are_right_whichever_way_the_lead_points(gain: float) -> None:
    rng = np.random.default_rng(4)
    beats = np.cumsum(60 / 61.3 + 0.03 * rng.standard_normal(620))
    beats = beats[beats < 599]
    ecg = gain * impulses(beats, 20) + 0.02 * rng.standard_normal(20 * EPOCH)
    values = measure_night({"ECG": ecg}).values
    for epoch in range(19):
        inside = beats[(beats >= 30 * epoch) & (beats < 30 * epoch + 30)]
        intervals = np.diff(inside)
        rmssd_ms = 1000 * np.sqrt(np.mean(np.square(np.diff(intervals))))
        assert values["ecg_rate_bpm"][epoch] == pytest.approx(60 / intervals.mean(), abs=0.6)
        assert values["ecg_rmssd_ms"][epoch] == pytest.approx(rmssd_ms, abs=2.0)


def test_a_regular_heart_has_an_rmssd_below_the_sampling_grid() -> None:
    # On the 15.6-ms grid a perfectly regular heart would show about 9 ms.
    beats = np.arange(0.4, 299, 60 / 61.3)
    values = measure_night({"ECG": impulses(beats, 10)}).values
    assert (values["ecg_rmssd_ms"] < 2.0).all()


def test_rmssd_is_withheld_where_beats_are_drowned_in_noise() -> None:
    rng = np.random.default_rng(5)
    beats = np.arange(0.4, 299, 1.0)
    ecg = impulses(beats, 10)
    ecg[5 * EPOCH :] += 1.5 * rng.standard_normal(5 * EPOCH)
    rmssd_ms = measure_night({"ECG": ecg}).values["ecg_rmssd_ms"]
    assert np.isfinite(rmssd_ms[:4]).all()
    assert np.isnan(rmssd_ms[6:]).all()


def test_one_missed_beat_does_not_halve_the_rate_of_an_epoch() -> None:
    beats = np.delete(np.arange(0.5, 60, 1.0), 10)
    rate_bpm, rmssd_ms = beat_statistics(beats, 2)
    assert rate_bpm == pytest.approx([60.0, 60.0])
    assert rmssd_ms == pytest.approx([0.0, 0.0], abs=1e-6)


def test_no_beats_are_found_in_a_flat_trace() -> None:
    times_s, similarity = detect_beats(np.zeros(4 * EPOCH), RATE_HZ)
    assert len(times_s) == len(similarity) == 0


def test_breathing_rate_and_variability_follow_the_breaths() -> None:
    rng = np.random.default_rng(6)
    lengths_s = 60 / 14.7 + 0.4 * rng.standard_normal(400)
    starts = np.concatenate([[0.0], np.cumsum(lengths_s)])
    time_s = seconds(40)
    phase = np.interp(time_s, starts, np.arange(len(starts)))
    belt = -np.cos(2 * np.pi * phase)
    values = measure_night({"ABD": 3 * belt, "THX": belt, "AF": belt}).values
    # The belt peaks half way through each breath.
    rate_bpm, interval_sd_s = breath_statistics(starts[:-1] + lengths_s / 2, 40)
    assert np.nanmean(rate_bpm) == pytest.approx(14.7, abs=0.2)
    assert values["abd_rate_bpm"] == pytest.approx(rate_bpm, abs=0.1)
    assert values["abd_interval_sd_s"] == pytest.approx(interval_sd_s, abs=0.02)
    assert values["thx_rate_bpm"] == pytest.approx(values["abd_rate_bpm"], abs=0.05)
    regular = measure_night({"ABD": np.sin(2 * np.pi * 14.7 / 60 * time_s)}).values
    assert regular["abd_rate_bpm"] == pytest.approx(14.7, abs=0.05)
    assert (regular["abd_interval_sd_s"] < 0.05).all()


def test_an_apnea_is_a_pause_and_no_long_breath() -> None:
    time_s = seconds(10)
    flow = np.sin(2 * np.pi * 0.25 * time_s)
    flow[(time_s > 134) & (time_s < 149)] *= 0.02
    rate_bpm, _ = breath_statistics(breath_times(flow, RATE_HZ), 10)
    assert rate_bpm[4] == pytest.approx(15.0, abs=1.0)
    silent = flow.copy()
    silent[(time_s > 115) & (time_s < 155)] *= 0.02
    rate_bpm, _ = breath_statistics(breath_times(silent, RATE_HZ), 10)
    assert np.isnan(rate_bpm[4])


def test_flatness_of_inspiration_is_mean_over_peak() -> None:
    phase = (seconds(10) * 0.25) % 1.0
    sine = np.sin(2 * np.pi * phase)
    plateau = np.where(phase < 0.5, np.minimum(1.6 * np.sin(2 * np.pi * phase), 0.8), sine)
    triangle = np.where(phase < 0.5, 1 - np.abs(4 * phase - 1), sine)
    measured = {
        name: np.median(measure_night({"AF": flow}).values["af_flatness"])
        for name, flow in (("sine", sine), ("plateau", plateau), ("triangle", triangle))
    }
    assert measured["sine"] == pytest.approx(2 / np.pi, abs=0.02)
    assert measured["triangle"] == pytest.approx(0.5, abs=0.05)
    assert measured["plateau"] > measured["sine"] + 0.08


def test_chin_emg_bursts_raise_the_ratio_and_their_rate_is_found() -> None:
    rng = np.random.default_rng(7)
    time_s = seconds(4)
    noise = rng.standard_normal(len(time_s))
    quiet = measure_night({"EMG_CHIN": 5 * noise}).values
    bursts = 5 * noise * (1 + 6 * (np.sin(2 * np.pi * 0.5 * time_s) > 0.5))
    bursty = measure_night({"EMG_CHIN": bursts}).values
    assert ((quiet["emg_burst_ratio"] > 1.4) & (quiet["emg_burst_ratio"] < 2.6)).all()
    assert (bursty["emg_burst_ratio"] > 3 * quiet["emg_burst_ratio"]).all()
    assert bursty["emg_burst_rate_hz"] == pytest.approx(0.5, abs=0.2)
    tone = measure_night({"EMG_CHIN": 9 * np.sin(2 * np.pi * 17.3 * time_s)}).values
    assert tone["emg_median_hz"] == pytest.approx(17.3, abs=0.3)


def test_heart_rate_extremes_ignore_a_sensor_that_reads_zero() -> None:
    heart_rate = np.full(2 * EPOCH, 60.0)
    heart_rate[640:704] = 72.0
    heart_rate[128:192] = 0.0
    values = measure_night({"HR": heart_rate}).values
    assert values["hr_min_bpm"] == pytest.approx([60.0, 60.0])
    assert values["hr_max_bpm"] == pytest.approx([72.0, 60.0])
    assert values["hr_mean_bpm"][0] == pytest.approx(60 + 12 / 29, abs=0.01)


def test_saturation_of_an_unplugged_sensor_is_missing_not_low() -> None:
    spo2 = np.full(3 * EPOCH, 96.0)
    spo2[EPOCH : 2 * EPOCH] = 0.0
    night = measure_night({"SPO2": spo2})
    assert night.values["spo2_min_pct"][[0, 2]] == pytest.approx([96.0, 96.0])
    assert np.isnan(night.values["spo2_min_pct"][1])
    assert night.desaturations == []
    assert night.quality["SPO2"][1] & Quality.IMPLAUSIBLE


def ramp(*levels: tuple[float, int]) -> np.ndarray:
    """Saturation at 1 Hz through (level, seconds to reach it)."""
    trace = [levels[0][0]] * levels[0][1]
    for level, length in levels[1:]:
        trace += list(np.linspace(trace[-1], level, length + 1)[1:])
    return np.round(np.array(trace, dtype=float))


def test_desaturations_have_their_onset_depth_and_end() -> None:
    spo2 = ramp((97, 60), (92, 20), (92, 5), (97, 10), (97, 60), (94, 15), (97, 8), (97, 40))
    found = desaturations(spo2)
    assert [(baseline, nadir) for _, _, baseline, nadir in found] == [(97.0, 92.0), (97.0, 94.0)]
    (first, length, *_), (second, *_) = found
    assert first == pytest.approx(61, abs=3)
    assert first + length == pytest.approx(93, abs=3)
    assert second == pytest.approx(156, abs=3)
    assert [nadir for *_, nadir in desaturations(spo2, drop_pct=4)] == [92.0]


@pytest.mark.parametrize(
    "spo2",
    [
        ramp((97, 60), (95, 20), (97, 20), (97, 60)),
        ramp((98, 60), (92, 900), (92, 60)),
        np.where(np.arange(300) % 2, 96.0, 97.0),
        np.full(300, 88.0),
        np.concatenate([np.full(100, 97.0), np.full(30, 60.0), np.full(100, 97.0)]),
        np.full(300, np.nan),
        np.zeros(0),
    ],
    ids=["2 points", "slow drift", "flicker", "low but level", "probe slips", "lost", "empty"],
)
def test_what_is_no_desaturation_is_not_counted(spo2: np.ndarray) -> None:
    assert desaturations(spo2) == []


def test_a_fall_of_three_points_counts_when_the_file_rounds_it() -> None:
    spo2 = np.concatenate([np.full(60, 96.0), np.full(20, 93.0), np.full(60, 96.0)])
    # 16 bits over 0–200 %, off the whole percents.
    step = 200 / 65535
    stored = np.round((spo2 + 0.0013) / step) * step
    assert 2.99 < stored[0] - stored[70] != 3.0
    assert len(desaturations(spo2)) == len(desaturations(stored)) == 1
    assert desaturations(np.where(spo2 < 96, 93.1, 96.0)) == []


def test_desaturations_refuse_a_drop_that_flicker_reaches() -> None:
    with pytest.raises(ValueError, match="drop_pct is 1"):
        desaturations(np.full(100, 96.0), drop_pct=1)


def test_the_baseline_is_what_saturation_holds_between_the_falls() -> None:
    dips = ((97, 50), (89, 20), (97, 10)) * 6
    spo2 = np.repeat(np.concatenate([ramp(*dips), np.full(60, 93.0)]), 64)[: 18 * EPOCH]
    night = measure_night({"SPO2": spo2})
    baseline = night.values["spo2_baseline_pct"]
    assert baseline[2:14] == pytest.approx(97.0, abs=0.5)
    # The resting level that fell is the new baseline after two minutes.
    level = np.repeat(np.concatenate([np.full(300, 97.0), np.full(240, 92.0)]), 64)
    moved = measure_night({"SPO2": level}).values["spo2_baseline_pct"]
    assert moved[[5, 9]] == pytest.approx(97.0)
    assert moved[[15, 17]] == pytest.approx(92.0)


def test_falls_of_three_and_of_four_points_are_told_apart() -> None:
    spo2 = ramp((97, 60), (92, 20), (97, 15), (97, 60), (94, 15), (97, 8), (97, 62))
    night = measure_night({"SPO2": np.repeat(spo2, 64)})
    assert len(night.desaturations) == len(night.falls_of(3.0)) == 2
    assert [nadir for *_, nadir in night.falls_of(4.0)] == [92.0]


def test_the_trends_of_a_night_are_those_of_each_epoch() -> None:
    rate = np.concatenate([np.full(40, 60.0), np.linspace(60, 75, 12), np.full(38, 75.0)])
    spo2 = np.concatenate([np.full(65, 96.0), np.linspace(96, 90, 15), np.full(10, 90.0)])
    night = measure_night({"HR": np.repeat(rate, 64), "SPO2": np.repeat(spo2, 64)})
    directions = [[name for name, *_ in epoch] for epoch in night.trends["hr"]]
    assert directions == [["stable"], ["stable", "increasing", "stable"], ["stable"]]
    assert night.trends["hr"][1][1][1:] == pytest.approx((10.0, 22.0), abs=2.5)
    assert [name for name, *_ in night.trends["spo2"][2]] == ["stable", "decreasing", "stable"]
    assert night.trends["spo2"][0] == [("stable", 0.0, 30.0)]


def test_plausible_saturation_keeps_fast_true_falls() -> None:
    spo2 = ramp((96, 20), (78, 12), (95, 8), (95, 20))
    assert np.isfinite(plausible_spo2(spo2)).all()


def test_trends_name_direction_and_times() -> None:
    course = np.concatenate([np.full(10, 60.0), np.linspace(60, 72, 12), np.full(8, 72.0)])
    trends = trend_segments(course, least_slope=0.4, least_change=3.0)
    assert [direction for direction, *_ in trends] == ["stable", "increasing", "stable"]
    assert trends[1][1] == pytest.approx(10, abs=2)
    assert trends[1][2] == pytest.approx(22, abs=2)
    assert trends[0][1] == 0.0
    assert trends[-1][2] == 30.0
    assert trend_segments(np.full(30, 61.0), 0.4, 3.0) == [("stable", 0.0, 30.0)]
    assert trend_segments(np.full(30, np.nan), 0.4, 3.0) == []


def test_position_is_the_code_that_most_of_the_epoch_carries() -> None:
    codes = np.concatenate([np.full(EPOCH, 2.0), np.full(1200, 1.0), np.full(720, 0.0)])
    codes = np.concatenate([codes, np.full(EPOCH, 7.0)])
    night = measure_night({"POS": codes})
    assert [night.position(epoch) for epoch in range(3)] == ["supine", "left", "unknown"]


def test_a_missing_channel_is_nan_everywhere_and_named() -> None:
    night = measure_night({"EEG_C3_A2": 20 * np.sin(seconds(4) * 12)})
    for name, column in night.values.items():
        assert np.isnan(column).all() == (FIELDS[name].channel != "EEG_C3_A2"), name
    assert "AF" in night.missing
    assert "EEG_C3_A2" not in night.missing
    assert night.position(0) is None


@pytest.mark.parametrize(
    ("spoil", "flag"),
    [
        (lambda eeg: np.zeros_like(eeg), Quality.FLAT),
        (lambda eeg: np.full_like(eeg, np.nan), Quality.LOST),
        (lambda eeg: 1e5 * eeg, Quality.IMPLAUSIBLE),
        (lambda eeg: np.clip(eeg, -5, 5), Quality.CLIPPED),
    ],
    ids=["flat", "lost", "volts", "clipped"],
)
def test_a_damaged_epoch_is_flagged_and_its_neighbours_are_not(
    spoil: Callable[[np.ndarray], np.ndarray], flag: Quality
) -> None:
    rng = np.random.default_rng(8)
    eeg = 20 * rng.standard_normal(4 * EPOCH)
    eeg[EPOCH : 2 * EPOCH] = spoil(eeg[EPOCH : 2 * EPOCH])
    night = measure_night({"EEG_C3_A2": eeg})
    assert night.quality["EEG_C3_A2"][1] & flag
    assert (night.quality["EEG_C3_A2"][[0, 2, 3]] == 0).all()
    delta = night.values["eeg_c3_delta_pct"]
    assert np.isfinite(delta[[0, 2, 3]]).all()
    assert np.isnan(delta[1]) == (flag != Quality.CLIPPED)


def test_a_gap_is_lost_whatever_its_samples_hold() -> None:
    rng = np.random.default_rng(13)
    signals = {"EEG_C3_A2": 20 * rng.standard_normal(4 * EPOCH), "SPO2": np.full(4 * EPOCH, 96.0)}
    signals["SPO2"][64 * 40 : 64 * 58] = 0.0
    night = measure_night(signals, gaps=[(40.0, 58.0)])
    for name in ("eeg_c3_delta_pct", "spo2_min_pct"):
        assert np.isnan(night.values[name][1]), name
        assert np.isfinite(night.values[name][[0, 2, 3]]).all(), name
    assert night.quality["EEG_C3_A2"][1] & Quality.LOST
    assert night.desaturations == []


def test_a_slow_belt_interpolated_from_10_hz_is_not_flat() -> None:
    time_s = seconds(4)
    steps = np.interp(time_s, np.arange(0, 121, 0.1), np.sin(np.arange(0, 121, 0.1) * 1.6))
    assert (measure_night({"ABD": steps}).quality["ABD"] == 0).all()


@pytest.mark.parametrize("rate_hz", [32.0, 64.0, 200.0])
@pytest.mark.parametrize("n_epochs", [1, 3])
@pytest.mark.parametrize("kind", ["noise", "zeros", "lost", "level", "integers", "spikes"])
def test_any_signal_at_any_rate_is_measured_without_a_warning(
    rate_hz: float, n_epochs: int, kind: str
) -> None:
    rng = np.random.default_rng(14)
    length = round(30 * rate_hz) * n_epochs
    trace = {
        "noise": 20 * rng.standard_normal(length),
        "zeros": np.zeros(length),
        "lost": np.full(length, np.nan),
        "level": np.full(length, 7.0),
        "integers": rng.integers(0, 100, length),
        "spikes": 1e6 * (rng.random(length) > 0.999),
    }[kind]
    channels = {entry.channel for entry in FIELDS.values()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = measure_night(dict.fromkeys(channels, trace), rate_hz=rate_hz).values
    for name, column in values.items():
        assert column.shape == (n_epochs,)
        if kind in ("zeros", "lost", "level") and name != "position":
            assert np.isnan(column).all(), name


def test_bad_input_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="different lengths"):
        measure_night({"ECG": np.zeros(EPOCH), "HR": np.zeros(EPOCH + 1)})
    with pytest.raises(ValueError, match="no complete 30-s epoch"):
        measure_night({"ECG": np.zeros(100)})
    with pytest.raises(ValueError, match="no complete 30-s epoch"):
        measure_night({})


def test_audited_beats_of_real_nights_give_their_rate(shared_data: Path) -> None:
    wfdb = pytest.importorskip("wfdb")
    records = sorted((shared_data / "slpdb-annotations").glob("*.ecg"))
    if not records:
        pytest.skip("slpdb-annotations holds no beats")
    for record in records[:6]:
        annotation = wfdb.rdann(str(record.with_suffix("")), "ecg")
        normal = np.isin(annotation.symbol, list("NLRAVSFJ/fQ"))
        beats_s = annotation.sample[normal] / annotation.fs
        n_epochs = int(beats_s[-1] // 30)
        rate_bpm, rmssd_ms = beat_statistics(beats_s, n_epochs)
        counted = 2.0 * np.histogram(beats_s, np.arange(n_epochs + 1) * 30.0)[0]
        known = np.isfinite(rate_bpm)
        assert known.mean() > 0.9, record.name
        assert np.median(np.abs(rate_bpm[known] - counted[known])) < 2.0, record.name
        reliable = rmssd_ms[np.isfinite(rmssd_ms)]
        assert 5 < np.median(reliable) < 150, record.name


def test_beats_of_a_real_ecg_are_those_of_its_annotation(shared_data: Path) -> None:
    wfdb = pytest.importorskip("wfdb")
    edfio = pytest.importorskip("edfio")
    folder = shared_data / "apnea-ecg-excerpts"
    if not (folder / "a6.edf").exists():
        pytest.skip("apnea-ecg-excerpts is missing")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ecg = edfio.read_edf(folder / "a6.edf").signals[0].data
    annotation = wfdb.rdann(str(folder / "a06"), "qrs")
    true_s = annotation.sample[np.array(annotation.symbol) == "N"] / 100 - A06_EXCERPT_START_S
    true_s = true_s[(true_s > 0) & (true_s < 1200)]
    found_s, similarity = detect_beats(signal.resample_poly(ecg, 16, 25), RATE_HZ)
    distance_s = np.abs(found_s[:, None] - true_s[None])
    assert (distance_s.min(axis=0) < 0.1).mean() >= 0.99
    assert (distance_s.min(axis=1) < 0.1).mean() >= 0.99
    rate_bpm, rmssd_ms = beat_statistics(found_s, 40, 30.0, similarity)
    true_bpm, true_ms = beat_statistics(true_s, 40)
    both = np.isfinite(rmssd_ms) & np.isfinite(true_ms)
    assert both.sum() > 20
    assert np.nanmax(np.abs(rate_bpm - true_bpm)) < 1.0
    assert np.median(np.abs(rmssd_ms - true_ms)[both]) < 3.0


def test_desaturations_of_real_nights_come_with_apneas(shared_data: Path) -> None:
    rates = {}
    for name in ("D13", "D8", "C1", "C8"):
        path = shared_data / "hugcdn-oxi" / "train" / f"{name}.npz"
        if not path.exists():
            pytest.skip("hugcdn-oxi is missing")
        night = np.load(path)
        spo2 = night["spo2_pct"].astype(float)
        with_fall = np.zeros(len(spo2), dtype=bool)
        for onset_s, duration_s, *_ in desaturations(spo2.ravel()):
            with_fall[min(int((onset_s + duration_s / 2) // 60), len(spo2) - 1)] = True
        apnea = night["apnea_min"][: len(spo2)] == 1
        rates[name] = (with_fall[apnea].mean(), with_fall[~apnea].mean())
    for name in ("D13", "D8"):
        assert rates[name][0] > 0.8, name
        assert rates[name][1] < 0.25, name
    for name in ("C1", "C8"):
        assert rates[name][1] < 0.05, name


def test_two_minutes_of_a_real_recording_measure_like_a_human(shared_data: Path) -> None:
    from sleeplm.recording import read_recording

    path = shared_data / "nox-a1-rsleep" / "subject1.edf"
    if not path.exists():
        pytest.skip("nox-a1-rsleep/subject1.edf is missing")
    night = measure_night(read_recording(path).signals)
    values = night.values
    # The oximeter and the ECG, and the belts and the flow, see the same heart and lungs.
    assert values["ecg_rate_bpm"] == pytest.approx(values["hr_mean_bpm"], abs=1.5)
    assert values["abd_rate_bpm"] == pytest.approx(values["thx_rate_bpm"], abs=0.5)
    assert values["af_rate_bpm"] == pytest.approx(values["abd_rate_bpm"], abs=1.0)
    for name, low, high in (
        ("spo2_mean_pct", 93, 97),
        ("ecg_rmssd_ms", 8, 80),
        ("abd_interval_sd_s", 0.1, 1.6),
        ("af_flatness", 0.45, 0.75),
        ("emg_median_hz", 14, 21),
        ("emg_burst_ratio", 1.5, 6),
        ("emg_burst_rate_hz", 0.4, 1.2),
    ):
        assert ((values[name] > low) & (values[name] < high)).all(), name
    for side in ("c3", "c4"):
        four = sum(values[f"eeg_{side}_{band}_pct"] for band in ("delta", "theta", "alpha", "beta"))
        assert ((four > 94) & (four < 99)).all()


def test_the_module_needs_only_numpy_and_scipy() -> None:
    script = (
        "import sys, sleeplm.physiology, sleeplm.captions, train.captions\n"
        "heavy = {'torch', 'mne', 'yasa', 'pydantic', 'pandas', 'gradio', 'langchain'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_a_whole_night_takes_seconds() -> None:
    rng = np.random.default_rng(9)
    n_epochs = 960
    noise = rng.standard_normal(n_epochs * EPOCH).astype(np.float32)
    breathing = np.sin(1.5 * seconds(n_epochs)).astype(np.float32)
    signals = dict.fromkeys(("EEG_C3_A2", "EEG_C4_A1", "EOG_L", "EOG_R", "EMG_CHIN"), 20 * noise)
    signals |= dict.fromkeys(("ABD", "THX", "AF"), breathing)
    signals |= {"ECG": noise, "SPO2": 90 + 3 * breathing, "HR": 60 + 5 * breathing}
    started = time.perf_counter()
    night = measure_night(signals)
    assert time.perf_counter() - started < 20
    assert night.n_epochs == n_epochs
