"""A file becomes signals on the model's clock, with everything said about where they came from."""

import json
from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import edfio
import numpy as np
import pytest

from sleeplm.errors import MontageError, RecordingError
from sleeplm.montage import CHANNELS, OFFICIAL_CHANNELS
from sleeplm.recording import Recording, check_report, read_recording
from sleeplm.resampling import hold, resample
from sleeplm.scoring import Event, Scorer, Scoring

RATES = [
    512, 256, 250, 200, 128, 125, 100, 64, 50, 25, 10, 199.9, 100.3, Fraction(256_000, 1003),
    199.99973,
]  # fmt: skip


@pytest.mark.parametrize("rate", RATES)
def test_resampling_keeps_time_over_an_hour(rate: float):
    """A sine must stay in phase to the end: 1 ms late would show as a slope."""
    n = round(3600 * float(rate))
    frequency_hz = 1.7 if rate > 20 else 0.4
    wave = np.sin(2 * np.pi * frequency_hz * np.arange(n) / float(rate)).astype(np.float32)
    out = resample(wave, Fraction(rate).limit_denominator(10**9))
    truth = np.sin(2 * np.pi * frequency_hz * np.arange(len(out)) / 64)
    assert len(out) == round(n * 64 / float(rate))
    for begin in (64 * 10, 64 * 3580):
        part = slice(begin, begin + 640)
        assert np.abs(out[part] - truth[part]).max() < 5e-3
        phase = np.sum(
            out[part] * np.exp(-2j * np.pi * frequency_hz * np.arange(*part.indices(10**9)) / 64)
        )
        lag_s = -(np.angle(phase) + np.pi / 2) / (2 * np.pi * frequency_hz)
        assert abs(lag_s) < 1e-3


@pytest.mark.parametrize("rate", [256, 199.99973])
def test_resampling_lets_no_alias_through(rate: float):
    high_hz = 45.0  # would come back as 19 Hz at 64 Hz
    wave = np.sin(2 * np.pi * high_hz * np.arange(int(60 * rate)) / rate).astype(np.float32)
    out = resample(wave, rate)[640:-640]
    assert np.abs(out).max() < 0.02


def test_resampling_keeps_an_offset_to_the_edges():
    out = resample(np.full(6000, 3900.0, dtype=np.float32), 200)
    assert np.abs(out - 3900).max() < 1.0


@pytest.mark.parametrize("rate", [1, 3, 4, 10, 25, 128])
def test_held_codes_change_on_time_and_make_no_new_code(rate: int):
    codes = np.repeat([2.0, 0.0, 3.0], 100 * rate)
    out = hold(codes, rate)
    assert set(out) == {0.0, 2.0, 3.0}
    steps_s = np.flatnonzero(np.diff(out)) / 64
    assert steps_s == pytest.approx([100, 200], abs=1 / 64 + 1e-9)


def wave(rate_hz: float, seconds: float, frequency_hz: float, size: float) -> np.ndarray:
    return size * np.sin(2 * np.pi * frequency_hz * np.arange(round(rate_hz * seconds)) / rate_hz)


@pytest.fixture
def mixed_night(make_edf: Callable[..., Path]) -> Path:
    seconds = 95
    saturation = np.full(seconds, 96.0)
    saturation[40:50] = 88
    saturation[70] = 127  # Nonin's "no value"
    return make_edf(
        [
            ("ECG", "mV", 256, wave(256, seconds, 1.1, 0.9)),
            ("THOR RES", "", 10, wave(10, seconds, 0.25, 0.8)),
            ("ABDO RES", "", 10, wave(10, seconds, 0.25, 0.7)),
            ("AIRFLOW", "", 10, wave(10, seconds, 0.25, 0.5)),
            ("EOG(L)", "uV", 50, wave(50, seconds, 0.5, 120)),
            ("EOG(R)", "uV", 50, -wave(50, seconds, 0.5, 120)),
            ("EEG(sec)", "uV", 125, wave(125, seconds, 10, 40)),
            ("EEG", "mV", 125, wave(125, seconds, 12, 0.03)),
            ("EMG", "V", 125, wave(125, seconds, 22, 20e-6)),
            ("POSITION", "", 1, np.repeat([2.0, 0.0], [60, 35])),
            ("SaO2", "%", 1, saturation),
            ("H.R.", "", 1, np.full(seconds, 61.0) + np.arange(seconds) % 3),
        ]
    )


def test_mixed_rates_and_units_arrive_at_64_hz_in_the_house_units(mixed_night: Path):
    recording = read_recording(mixed_night)
    assert recording.missing == []
    assert recording.n_epochs == 3
    assert recording.duration_s == 95
    assert {values.shape for values in recording.signals.values()} == {(3 * 1920,)}
    assert {values.dtype for values in recording.signals.values()} == {np.dtype(np.float32)}
    inner = slice(640, -640)
    for channel, size in [
        ("ECG", 0.9), ("EOG_L", 120), ("EEG_C3_A2", 40), ("EEG_C4_A1", 30), ("EMG_CHIN", 20),
        ("THX", 0.8),
    ]:  # fmt: skip
        peak = np.percentile(np.abs(recording.signals[channel][inner]), 99.9)
        assert peak == pytest.approx(size, rel=0.1), channel
    source = recording.sources["EEG_C4_A1"]
    assert source is not None
    assert (source.label, source.rate_hz, source.unit) == ("EEG", 125.0, "µV")
    assert any("last 5 s" in problem for problem in recording.problems)


def test_start_is_the_clock_time_as_written(mixed_night: Path):
    recording = read_recording(mixed_night)
    assert recording.start == datetime(2024, 3, 1, 22, 30, 15)
    assert recording.start_has_date


def test_saturation_keeps_its_steps_and_drops_the_no_value_mark(mixed_night: Path):
    recording = read_recording(mixed_night)
    saturation = recording.channel("SpO2")
    assert saturation is not None
    assert np.round(saturation[64 * 45]) == 88
    assert set(np.round(np.unique(saturation))) == {0, 88, 96}
    assert saturation[64 * 70 + 5] == 0


def test_position_is_read_in_the_model_codes(mixed_night: Path):
    position = read_recording(mixed_night).channel("POS")
    assert position is not None
    assert set(position[: 59 * 64]) == {2}
    assert set(position[61 * 64 :]) == {0}


def test_samples_agree_with_an_independent_reader(mixed_night: Path):
    recording = read_recording(mixed_night, {"ECG": "EEG(sec)"})
    truth = edfio.read_edf(mixed_night).get_signal("EEG(sec)").data[::125]
    ours = recording.signals["EEG_C3_A2"][::64]
    # 1 Hz grid: whole seconds fall on samples at either rate.
    assert np.abs(ours[5:85] - truth[5:85]).max() < 0.5


def test_no_header_text_of_the_patient_is_kept(mixed_night: Path):
    recording = read_recording(mixed_night)
    assert b"SECRETNAME" in mixed_night.read_bytes()
    assert "SECRET" not in repr(recording) + json.dumps(check_report(recording))


def test_content_decides_the_id_and_not_the_name(mixed_night: Path, tmp_path: Path):
    copy = tmp_path / "other-name.edf"
    copy.write_bytes(mixed_night.read_bytes())
    changed = tmp_path / "changed.edf"
    raw = bytearray(mixed_night.read_bytes())
    raw[-1] ^= 1
    changed.write_bytes(raw)
    ids = [read_recording(path).content_id for path in (mixed_night, copy, changed)]
    assert ids[0] == ids[1] != ids[2]
    assert len(ids[0]) == 16


def test_reference_is_subtracted_in_one_unit(make_edf: Callable[..., Path]):
    common = wave(128, 60, 1, 200)
    path = make_edf(
        [
            ("C3", "uV", 128, wave(128, 60, 10, 40) + common),
            ("A2", "mV", 128, common / 1000),
            ("LOC", "uV", 64, wave(64, 60, 0.5, 90) + wave(64, 60, 1, 200)),
        ]
    )
    recording = read_recording(path)
    eeg = recording.signals["EEG_C3_A2"][640:-640]
    truth = wave(64, 60, 10, 40)[640:-640]
    assert np.abs(eeg - truth).max() < 1
    eye = recording.signals["EOG_L"][640:-640]  # 64 Hz minus a reference at 128 Hz
    assert np.abs(eye - wave(64, 60, 0.5, 90)[640:-640]).max() < 1
    source = recording.sources["EOG_L"]
    assert source is not None
    assert (source.derivation, source.unit) == ("LOC − A2", "µV")


def test_flat_airflow_gives_way_to_nasal_pressure_and_is_reported(make_edf: Callable[..., Path]):
    path = make_edf(
        [
            ("Airflow", "", 32, np.full(60 * 32, 0.25)),
            ("Nasal Pressure", "cmH2O", 32, wave(32, 60, 0.25, 0.5)),
            ("EEG C3-A2", "uV", 128, wave(128, 60, 10, 40)),
        ]
    )
    recording = read_recording(path)
    source = recording.sources["AF"]
    assert source is not None
    assert source.label == "Nasal Pressure"
    assert any("AF: 'Airflow'" in text and "flat" in text for text in recording.problems)


def test_flat_reference_is_not_subtracted(make_edf: Callable[..., Path]):
    path = make_edf(
        [
            ("C3", "uV", 128, wave(128, 60, 10, 40)),
            ("M2", "uV", 128, np.full(60 * 128, 3.0)),
        ]
    )
    recording = read_recording(path)
    source = recording.sources["EEG_C3_A2"]
    assert source is not None
    assert (source.label, source.derivation) == ("C3", None)
    said = " ".join(recording.problems)
    assert "the reference 'M2' is flat" in said
    assert "a reference that the file does not name" in said


def test_a_sensor_that_falls_off_is_reported_with_its_share(make_edf: Callable[..., Path]):
    breath = wave(32, 300, 0.25, 0.5)
    breath[120 * 32 :] = 0.1
    path = make_edf([("Airflow", "", 32, breath), ("C3-M2", "uV", 64, wave(64, 300, 10, 40))])
    recording = read_recording(path)
    assert "AF" in recording.signals
    assert any("AF: no signal for" in text for text in recording.problems)


def test_a_day_is_read_whole(make_edf: Callable[..., Path]):
    day = 24 * 3600
    eeg = np.tile(wave(64, 60, 10, 40), 24 * 60)
    path = make_edf([("C3-M2", "uV", 64, eeg), ("SpO2", "%", 1, 95 + np.arange(day) % 3)])
    recording = read_recording(path)
    assert recording.n_epochs == 2880
    last = recording.epoch_slice(2879)["EEG_C3_A2"][0]
    assert np.abs(last - wave(64, 30, 10, 40)).max() < 0.1


def test_saturation_flat_all_night_is_missing_but_steady_minutes_are_not(
    make_edf: Callable[..., Path],
):
    eeg = ("C3-A2", "uV", 64, wave(64, 1200, 10, 40))
    night = make_edf([eeg, ("SpO2", "%", 1, np.full(1200, 97.0))], name="night.edf")
    assert "SPO2" in read_recording(night).missing
    eeg = ("C3-A2", "uV", 64, wave(64, 60, 10, 40))
    minute = make_edf([eeg, ("SpO2", "%", 1, np.full(60, 97.0))], name="minute.edf")
    assert "SPO2" not in read_recording(minute).missing


def test_a_pulse_wave_is_not_taken_for_a_pulse_rate(make_edf: Callable[..., Path]):
    path = make_edf(
        [
            ("C3-A2", "uV", 64, wave(64, 60, 10, 40)),
            ("Pulse", "", 64, wave(64, 60, 1.1, 0.8)),
        ]
    )
    recording = read_recording(path)
    assert "HR" in recording.missing
    assert any("not those of a heart rate" in text for text in recording.problems)


def test_mapping_overrides_the_table(mixed_night: Path):
    recording = read_recording(mixed_night, {"C3_A2": "EEG"})
    source = recording.sources["EEG_C3_A2"]
    assert source is not None
    assert source.label == "EEG"
    with pytest.raises(MontageError, match="nearest labels"):
        read_recording(mixed_night, {"C3_A2": "EGG(sec)"})


def test_bdf_is_read_like_edf(make_edf: Callable[..., Path]):
    path = make_edf([("C3-A2", "uV", 128, wave(128, 60, 10, 40))], bdf=True, name="night.bdf")
    eeg = read_recording(path).signals["EEG_C3_A2"]
    assert np.abs(eeg[640:-640] - wave(64, 60, 10, 40)[640:-640]).max() < 0.1


def test_epoch_slice_gives_epochs_as_rows(mixed_night: Path):
    recording = read_recording(mixed_night)
    some = recording.epoch_slice(range(1, 3))
    assert some["ECG"].shape == (2, 1920)
    assert np.array_equal(some["ECG"][0], recording.signals["ECG"][1920:3840])
    assert recording.epoch_slice(slice(None))["ECG"].shape == (3, 1920)
    with pytest.raises(RecordingError, match="epochs 1–3"):
        recording.epoch_slice(range(2, 5))


def test_raw_and_back_again(mixed_night: Path):
    recording = read_recording(mixed_night)
    raw = recording.to_raw()
    assert raw.info["sfreq"] == 64
    # MNE keeps volts.
    assert np.abs(raw.get_data(picks=["EEG_C3_A2"])).max() < 1e-4
    again = Recording.from_raw(raw)
    assert again.start == recording.start
    assert again.missing == []
    for name in CHANNELS:
        assert np.allclose(again.signals[name], recording.signals[name], atol=1e-3), name


def test_what_mne_reads_agrees_with_what_we_read(mixed_night: Path):
    import mne

    ours = read_recording(mixed_night)
    theirs = Recording.from_raw(mne.io.read_raw_edf(mixed_night, verbose="ERROR"))
    assert theirs.missing == []
    for name in ("ECG", "EEG_C3_A2", "EEG_C4_A1", "EMG_CHIN"):
        correlation = np.corrcoef(ours.signals[name], theirs.signals[name])[0, 1]
        assert correlation > 0.98, name
        assert np.std(theirs.signals[name]) == pytest.approx(np.std(ours.signals[name]), rel=0.1)
    # MNE has raised the slow channels to 256 Hz, which rings at steps: compare the levels.
    for name in ("SPO2", "HR", "POS"):
        assert np.median(theirs.signals[name]) == pytest.approx(
            np.median(ours.signals[name]), abs=1
        )


def test_fif_is_read_through_mne(mixed_night: Path, tmp_path: Path):
    recording = read_recording(mixed_night)
    path = tmp_path / "night_raw.fif"
    recording.to_raw().save(path, verbose="ERROR")
    again = read_recording(path)
    assert np.allclose(again.signals["EEG_C4_A1"], recording.signals["EEG_C4_A1"], atol=1e-2)
    assert np.array_equal(again.signals["POS"], recording.signals["POS"])


def test_from_signals_takes_the_house_names():
    recording = Recording.from_signals(
        {"C3_A2": np.ones(4000), "SPO2": np.full(4000, 95)}, start=datetime(2024, 1, 1, 23)
    )
    assert recording.n_epochs == 2
    assert recording.signals["EEG_C3_A2"].shape == (3840,)
    assert recording.missing == [n for n in CHANNELS if n not in ("EEG_C3_A2", "SPO2")]
    with pytest.raises(RecordingError, match="one length"):
        Recording.from_signals({"ECG": np.ones(10), "HR": np.ones(11)})
    with pytest.raises(MontageError, match="O2"):
        Recording.from_signals({"O2": np.ones(10)})


def test_progress_runs_from_reading_to_the_end(mixed_night: Path):
    told: list[tuple[str, float]] = []
    read_recording(mixed_night, progress=lambda what, done: told.append((what, done)))
    assert {what for what, _ in told} == {"reading", "resampling"}
    assert told[-1] == ("resampling", 1.0)


def test_check_report_is_plain_json(mixed_night: Path):
    recording = read_recording(mixed_night, {"HR": "none"})
    scoring = Scoring(
        stages=("W", "N1"),
        events=(Event("hypopnea", 3, 12),),
        scorer=Scorer("expert", "NSRR XML"),
        start=datetime(2024, 3, 1, 22, 30, 45),
    ).aligned(recording.start, recording.n_epochs)
    report = json.loads(json.dumps(check_report(recording, scoring)))
    assert set(report) == {"duration_s", "channels", "scoring", "problems"}
    assert list(report["channels"]) == list(CHANNELS)
    assert report["channels"]["ECG"] == {
        "label": "ECG", "derivation": None, "rate_hz": 256.0, "unit": "mV",
    }  # fmt: skip
    assert report["channels"]["HR"] is None
    assert report["scoring"]["offset_s"] == 30.0
    assert report["scoring"]["n_epochs"] == 3
    assert report["scoring"]["scorer"]["kind"] == "expert"
    assert check_report(recording)["scoring"] is None


def test_nox_recording_maps_every_channel_with_plausible_values(shared_data: Path):
    recording = read_recording(shared_data / "nox-a1-rsleep" / "subject1.edf")
    assert recording.missing == []
    assert recording.start == datetime(2018, 2, 6, 1, 36, 50)
    assert (recording.duration_s, recording.n_epochs) == (120.0, 4)
    labels = {name: source.label for name, source in recording.sources.items() if source}
    assert labels == {
        "ECG": "ECG", "ABD": "Abdomen", "THX": "Chest", "AF": "Airflow", "EOG_L": "E1-M2",
        "EOG_R": "E2-M1", "EEG_C3_A2": "C3-M2", "EEG_C4_A1": "C4-M1", "EMG_CHIN": "1-2",
        "POS": "PosAngle", "SPO2": "Saturation", "HR": "Heart Rate",
    }  # fmt: skip
    assert set(OFFICIAL_CHANNELS) < set(labels)
    signals = recording.signals

    def spread(name: str) -> float:
        return float(np.subtract(*np.percentile(signals[name], (75, 25))))

    assert 10 < spread("EEG_C3_A2") < 100
    assert 10 < spread("EEG_C4_A1") < 150
    assert 10 < spread("EOG_L") < 200
    assert 1 < spread("EMG_CHIN") < 50
    assert 0.3 < np.ptp(signals["ECG"]) < 5
    assert 90 < signals["SPO2"].min() <= signals["SPO2"].max() <= 100
    assert 50 < signals["HR"].min() <= signals["HR"].max() < 90
    # Lying at −53°: on a side, and the export does not say on which.
    assert set(signals["POS"]) == {-1}
    said = next(text for text in recording.problems if "which sign is left" in text)
    assert 'POS="PosAngle; positive=left"' in said
    side = read_recording(
        shared_data / "nox-a1-rsleep" / "subject1.edf", {"POS": "PosAngle; positive=right"}
    )
    assert set(side.signals["POS"]) == {1}


def test_nox_derivations_agree_with_the_recorder(shared_data: Path):
    """C3 and M2 alone must give what the recorder stored as C3-M2."""
    path = shared_data / "nox-a1-rsleep" / "subject1.edf"
    stored = read_recording(path)
    derived = read_recording(path, {"C3_A2": "C3 - M2", "EOG_R": "E2 - M1"})
    source = derived.sources["EEG_C3_A2"]
    assert source is not None
    assert source.derivation == "C3 − M2"
    for name in ("EEG_C3_A2", "EOG_R"):
        # The recorder stores every signal in steps of 0.1 µV, rounded by itself.
        assert np.abs(derived.signals[name] - stored.signals[name]).max() < 3.5


def test_nox_heart_rate_agrees_with_its_ecg(shared_data: Path):
    recording = read_recording(shared_data / "nox-a1-rsleep" / "subject1.edf")
    ecg = recording.signals["ECG"] - np.median(recording.signals["ECG"])
    slope = np.abs(np.diff(ecg))
    beats = [i for i in range(20, len(slope) - 20) if slope[i] == slope[i - 20 : i + 21].max()]
    beats = [i for i in beats if slope[i] > 0.35 * np.percentile(slope, 99.5)]
    rate_bpm = 60 * 64 / np.median(np.diff(beats))
    assert rate_bpm == pytest.approx(np.median(recording.signals["HR"]), abs=4)


def test_sleep_edf_excerpt_is_honest_about_its_leads(shared_data: Path):
    recording = read_recording(shared_data / "sleep-edf-short" / "short_psg.edf")
    assert recording.n_epochs == 10
    assert recording.start == datetime(1989, 4, 24, 16, 13)
    assert sorted(recording.signals) == ["AF", "EEG_C3_A2", "EOG_L"]
    said = " ".join(recording.problems)
    assert "'EEG Fpz-Cz' is used, a frontal midline lead" in said
    assert "'EOG horizontal' is used" in said
    assert "'EMG submental' is not used, it is stored at 1 Hz" in said


def test_a_hypnogram_given_as_recording_is_named_as_such(shared_data: Path):
    hypnograms = sorted((shared_data / "sleep-edf-hypnograms").glob("*Hypnogram.edf"))
    with pytest.raises(RecordingError, match="holds annotations only"):
        read_recording(hypnograms[0])
