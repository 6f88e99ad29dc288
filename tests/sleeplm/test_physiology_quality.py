"""Signal quality: every fault that is put in is found, named, and takes its values away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sleeplm.physiology import Quality, measure_night, quality_night
from sleeplm.physiology.cardiac import beat_statistics, detect_beats
from sleeplm.physiology.mains import mains_share, recorded_mains

RATE_HZ = 64.0
EPOCH = 1920


def seconds(n_epochs: int) -> np.ndarray:
    return np.arange(n_epochs * EPOCH) / RATE_HZ


@pytest.mark.parametrize("line_hz", [50.0, 60.0])
@pytest.mark.parametrize("rate_hz", [128.0, 200.0, 256.0])
def test_the_share_of_the_mains_is_its_share_of_the_power(line_hz: float, rate_hz: float) -> None:
    if line_hz == 60.0 and rate_hz == 128.0:
        pytest.skip("60 Hz is too near to half of 128 Hz")
    rng = np.random.default_rng(1)
    time_s = np.arange(round(90 * rate_hz)) / rate_hz
    eeg = 20.0 * rng.standard_normal(len(time_s))
    # The second epoch hums with a power of 100 µV² on 400 µV² of noise.
    hum = np.sqrt(200.0) * np.sin(2 * np.pi * line_hz * time_s)
    eeg += np.where((time_s >= 30) & (time_s < 60), hum, 0.0)
    share = mains_share(eeg, rate_hz)
    assert share[1] == pytest.approx(20.0, abs=2.0)
    assert share[[0, 2]] == pytest.approx(0.0, abs=1.0)


def test_where_the_rate_is_too_low_the_mains_are_not_judged() -> None:
    assert np.isnan(mains_share(np.ones(6000), 100.0)).all()
    night = quality_night({"EEG_C3_A2": np.random.default_rng(2).standard_normal(2 * EPOCH) * 20})
    assert "64 Hz" in night.not_judged["EEG_C3_A2"]
    assert not night.mains_pct


def test_hum_in_a_file_is_found_in_its_channel_and_epoch(make_edf) -> None:  # type: ignore[no-untyped-def]
    from sleeplm.recording import read_recording

    rng = np.random.default_rng(3)
    time_s = np.arange(120 * 200) / 200
    clean = 20.0 * rng.standard_normal(len(time_s))
    humming = clean + np.where(time_s < 60, 60 * np.sin(2 * np.pi * 50 * time_s), 0.0)
    slow = 15.0 * rng.standard_normal(120 * 100)
    path = make_edf(
        [
            ("C3", "uV", 200, humming),
            ("A2", "uV", 200, 0.3 * rng.standard_normal(len(time_s))),
            ("C4-A1", "uV", 200, clean),
            ("EMG Chin", "uV", 100, slow),
        ]
    )
    recording = read_recording(path)
    mains_pct, not_judged = recorded_mains(recording)
    assert mains_pct["EEG_C3_A2"][:2].min() > 50
    assert mains_pct["EEG_C3_A2"][2:].max() < 2
    assert mains_pct["EEG_C4_A1"].max() < 2
    assert "100 Hz" in not_judged["EMG_CHIN"]
    night = measure_night(recording.signals, mains=(mains_pct, not_judged))
    found = night.signal_quality.stretches("EEG_C3_A2", Quality.MAINS)
    assert [(stretch.onset_s, stretch.duration_s) for stretch in found] == [(0.0, 60.0)]
    assert found[0].words == "mains hum"
    # The filter on the way to 64 Hz takes the hum out: the values stand.
    assert np.isfinite(night.values["eeg_c3_delta_pct"]).all()


def test_a_saturated_amplifier_is_told_from_clipped_peaks() -> None:
    rng = np.random.default_rng(4)
    eeg = 20.0 * rng.standard_normal(6 * EPOCH)
    eeg[EPOCH + 300 : EPOCH + 700] = 1000.0
    night = measure_night({"EEG_C3_A2": eeg})
    flags = night.quality["EEG_C3_A2"]
    assert flags[1] & Quality.SATURATED
    assert not (flags[[0, 2, 3, 4, 5]] & Quality.SATURATED).any()
    assert np.isnan(night.values["eeg_c3_delta_pct"]).tolist() == [False, True] + [False] * 4
    assert night.signal_quality.reasons("EEG_C3_A2", 35.0, 40.0)[0] in ("saturated", "clipped")


def test_a_belt_that_came_off_is_detached_and_an_apnea_is_not() -> None:
    rng = np.random.default_rng(5)
    time_s = seconds(40)
    belt = np.sin(2 * np.pi * 0.25 * time_s) + 0.01 * rng.standard_normal(len(time_s))
    lost = (time_s >= 600) & (time_s < 900)
    apnea = (time_s >= 300) & (time_s < 345)
    shown = np.where(lost | apnea, 0.002 * rng.standard_normal(len(time_s)), belt)
    for channel, rate in (("ABD", "abd_rate_bpm"), ("THX", "thx_rate_bpm"), ("AF", "af_rate_bpm")):
        night = measure_night({channel: shown})
        detached = (night.quality[channel] & int(Quality.DETACHED)) != 0
        assert np.flatnonzero(detached).tolist() == list(range(20, 30)), channel
        assert np.isnan(night.values[rate][20:30]).all()
        assert np.isfinite(night.values[rate][np.r_[1:10, 12:20, 31:39]]).all()
        (stretch,) = night.signal_quality.stretches(channel, Quality.DETACHED)
        assert (stretch.onset_s, stretch.duration_s, stretch.words) == (600.0, 300.0, "sensor off")


def test_an_oximeter_that_slips_makes_no_real_nadir() -> None:
    spo2 = np.full(6 * EPOCH, 96.0)
    spo2[round(70.0 * RATE_HZ) : round(74.0 * RATE_HZ)] = 60.0
    spo2[3 * EPOCH : 4 * EPOCH] = 0.0
    spo2[round(150.0 * RATE_HZ) : round(165.0 * RATE_HZ)] = np.repeat(
        np.linspace(96, 88, 15), round(RATE_HZ)
    )
    quality = quality_night({"SPO2": spo2})
    assert quality.reasons("SPO2", 60.0, 80.0) != []
    assert quality.reasons("SPO2", 5.0, 55.0) == []
    assert any("sensor off" in reason for reason in quality.reasons("SPO2", 95.0, 100.0))
    assert quality.usable("SPO2").tolist() == [True, True, True, False, True, True]
    assert quality.reasons("HR", 0.0, 30.0) == ["HR was not recorded"]
    assert not quality.usable("HR").any()
    assert np.nanmin(measure_night({"SPO2": spo2}).values["spo2_min_pct"]) >= 88.0


def test_a_movement_stands_out_and_keeps_its_epoch() -> None:
    rng = np.random.default_rng(6)
    eeg = 15.0 * rng.standard_normal(30 * EPOCH)
    eeg[12 * EPOCH + 500 : 12 * EPOCH + 900] += 700.0 * np.hanning(400)
    night = measure_night({"EEG_C3_A2": eeg})
    (stretch,) = night.signal_quality.stretches()
    assert (stretch.channel, stretch.onset_s, stretch.duration_s) == ("EEG_C3_A2", 360.0, 30.0)
    assert stretch.flags == Quality.EXCURSION
    assert stretch.words == "movement or electrode pop"
    assert np.isfinite(night.values["eeg_c3_delta_pct"][12])


def test_stretches_join_equal_epochs_and_split_where_flags_change() -> None:
    eeg = 15.0 * np.random.default_rng(7).standard_normal(8 * EPOCH)
    eeg[2 * EPOCH : 4 * EPOCH] = np.nan
    eeg[4 * EPOCH : 5 * EPOCH] = 0.0
    found = quality_night({"EEG_C3_A2": eeg}).stretches()
    assert (found[0].onset_s, found[0].duration_s) == (60.0, 60.0)
    assert found[0].flags & Quality.LOST
    assert found[-1].flags & Quality.FLAT
    assert not found[-1].flags & Quality.LOST
    with pytest.raises(ValueError, match="no complete 30-s epoch"):
        quality_night({})


def ecg_of(beats_s: np.ndarray, wide: np.ndarray, n_epochs: int, seed: int) -> np.ndarray:
    """Narrow beats, and wide inverted ones where ``wide``."""
    time_s = seconds(n_epochs)
    ecg = 0.02 * np.random.default_rng(seed).standard_normal(len(time_s))
    for beat_s, is_wide in zip(beats_s, wide, strict=True):
        near = slice(max(int((beat_s - 0.2) * RATE_HZ), 0), int((beat_s + 0.2) * RATE_HZ))
        width_s, gain = (0.045, -1.4) if is_wide else (0.012, 1.0)
        ecg[near] += gain * np.exp(-0.5 * ((time_s[near] - beat_s) / width_s) ** 2)
    return ecg


@pytest.mark.parametrize("each", [5, 7])
def test_rmssd_is_withheld_among_ectopic_beats_and_the_rate_stays(each: int) -> None:
    rng = np.random.default_rng(8)
    intervals_s = 0.95 + 0.02 * rng.standard_normal(310)
    early = (np.arange(310) % each) == each - 1
    intervals_s[early] *= 0.6
    intervals_s[np.roll(early, 1)] *= 1.4
    beats_s = 0.5 + np.cumsum(intervals_s)
    beats_s, early = beats_s[beats_s < 299], early[beats_s < 299]
    values = measure_night({"ECG": ecg_of(beats_s, early, 10, 9)}).values
    assert np.isnan(values["ecg_rmssd_ms"]).all()
    known = values["ecg_rate_bpm"][np.isfinite(values["ecg_rate_bpm"])]
    assert len(known) >= 8
    assert known == pytest.approx(60 / 0.95, abs=2.5)


def test_one_ectopic_beat_leaves_the_rmssd_of_its_epoch() -> None:
    rng = np.random.default_rng(10)
    intervals_s = 0.95 + 0.02 * rng.standard_normal(64)
    true_ms = 1000 * np.sqrt(np.mean(np.square(np.diff(intervals_s[:30]))))
    intervals_s[12] *= 0.6
    intervals_s[13] *= 1.4
    beats_s = 0.5 + np.cumsum(intervals_s)
    beats_s = beats_s[beats_s < 59.5]
    wide = np.arange(len(beats_s)) == 12
    found_s, similarity = detect_beats(ecg_of(beats_s, wide, 2, 11), RATE_HZ)
    _, rmssd_ms = beat_statistics(found_s, 2, 30.0, similarity)
    assert rmssd_ms[0] == pytest.approx(true_ms, rel=0.35)


def test_the_real_recording_is_clean_and_hums_little(shared_data: Path) -> None:
    from sleeplm.recording import read_recording

    path = shared_data / "nox-a1-rsleep" / "subject1.edf"
    if not path.exists():
        pytest.skip("nox-a1-rsleep/subject1.edf is missing")
    recording = read_recording(path)
    mains_pct, not_judged = recorded_mains(recording)
    assert set(mains_pct) == {"EEG_C3_A2", "EEG_C4_A1", "EOG_L", "EOG_R", "EMG_CHIN", "ECG"}
    assert not_judged == {}
    # C3 hums by a few percent of its power in this recording, C4 does not.
    assert 1.0 < mains_pct["EEG_C3_A2"].max() < 10.0
    assert mains_pct["EEG_C4_A1"].max() < 1.0
    assert quality_night(recording.signals, mains_pct=mains_pct).stretches() == []
