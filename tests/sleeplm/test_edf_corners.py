"""Damaged and unusual EDF files: a good small file with some bytes of its header changed."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from sleeplm.errors import RecordingError
from sleeplm.recording import Recording, read_recording

N_SIGNALS = 3
SECONDS = 65
WIDTHS = {
    "label": 16, "transducer": 80, "unit": 8, "physical_min": 8, "physical_max": 8,
    "digital_min": 8, "digital_max": 8, "prefilter": 80, "samples": 8, "reserved": 32,
}  # fmt: skip
FIELDS = {
    "version": (0, 8), "startdate": (168, 8), "starttime": (176, 8), "header_bytes": (184, 8),
    "reserved": (192, 44), "n_records": (236, 8), "record_s": (244, 8), "n_signals": (252, 4),
}  # fmt: skip


def wave(rate_hz: int, frequency_hz: float, size: float, seconds: int = SECONDS) -> np.ndarray:
    return size * np.sin(2 * np.pi * frequency_hz * np.arange(rate_hz * seconds) / rate_hz)


@pytest.fixture
def good(make_edf: Callable[..., Path]) -> Path:
    return make_edf(
        [
            ("C3-M2", "uV", 128, wave(128, 10, 40)),
            ("ECG", "mV", 128, wave(128, 1, 0.8)),
            ("SpO2", "%", 1, 95 + np.arange(SECONDS) % 3),
        ]
    )


@pytest.fixture
def clocked(make_edf: Callable[..., Path]) -> Path:
    """The same as EDF+C: each record keeps its own onset."""
    return make_edf(
        [
            ("C3-M2", "uV", 128, wave(128, 10, 40)),
            ("ECG", "mV", 128, wave(128, 1, 0.8)),
        ],
        plus=True,
        name="clocked.edf",
    )


def put(path: Path, field: str, text: str | bytes) -> None:
    """Overwrite a field of the main header."""
    begin, width = FIELDS[field]
    overwrite(path, begin, text, width)


def put_signal(path: Path, index: int, field: str, text: str | bytes) -> None:
    """Overwrite a field of one signal's header."""
    n_signals = int(path.read_bytes()[252:256])
    begin = 256
    for name, width in WIDTHS.items():
        if name == field:
            overwrite(path, begin + index * width, text, width)
            return
        begin += n_signals * width
    raise KeyError(field)


def overwrite(path: Path, begin: int, text: str | bytes, width: int) -> None:
    raw = bytearray(path.read_bytes())
    encoded = text.encode() if isinstance(text, str) else text
    raw[begin : begin + width] = encoded.ljust(width)[:width]
    path.write_bytes(raw)


def set_onsets(path: Path, onsets_s: list[float]) -> None:
    """Rewrite the time-keeping annotation of every record."""
    raw = bytearray(path.read_bytes())
    n_signals = int(raw[252:256])
    samples_at = 256 + n_signals * sum(list(WIDTHS.values())[:8])
    counts = [int(raw[samples_at + 8 * i : samples_at + 8 * i + 8]) for i in range(n_signals)]
    record_bytes = 2 * sum(counts)
    for record, onset_s in enumerate(onsets_s):
        begin = 256 * (n_signals + 1) + record * record_bytes + 2 * sum(counts[:-1])
        stamp = f"+{onset_s:.10g}\x14\x14\x00".encode()
        assert len(stamp) <= 2 * counts[-1], "annotation signal of the fixture is too small"
        raw[begin : begin + 2 * counts[-1]] = stamp.ljust(2 * counts[-1], b"\x00")
    path.write_bytes(raw)


def problems_of(recording: Recording) -> str:
    return " | ".join(recording.problems)


def test_the_good_file_is_good(good: Path):
    recording = read_recording(good)
    assert sorted(recording.signals) == ["ECG", "EEG_C3_A2", "SPO2"]
    assert recording.problems == ["the last 5 s are no complete epoch and are left out"]
    assert recording.gaps == []


def test_gaps_of_a_discontinuous_file_keep_their_place(clocked: Path):
    """20 s are recorded, 100.5 s are lost, 45 s follow."""
    put(clocked, "reserved", "EDF+D")
    set_onsets(clocked, [float(s) if s < 20 else s + 100.5 for s in range(SECONDS)])
    recording = read_recording(clocked)
    assert recording.gaps == [(20.0, 120.5)]
    assert recording.duration_s == pytest.approx(165.5)
    assert recording.n_epochs == 5
    assert recording.gap_epochs == [0, 1, 2, 3, 4]
    eeg = recording.signals["EEG_C3_A2"]
    assert np.all(eeg[20 * 64 + 1 : int(120.5 * 64) - 1] == 0)
    # The second stretch goes on where its own clock says, in phase with the source.
    later = eeg[int(125.5 * 64) : int(130.5 * 64)]
    source = 40 * np.sin(2 * np.pi * 10 * (25 + np.arange(len(later)) / 64))
    assert np.abs(later - source).max() < 0.5
    assert "interrupted once (100 s" in problems_of(recording)
    assert "00:00:20" in problems_of(recording)


def test_position_is_unknown_inside_a_gap(make_edf: Callable[..., Path]):
    path = make_edf(
        [
            ("C3-M2", "uV", 128, wave(128, 10, 40)),
            ("THOR RES", "", 8, wave(8, 0.25, 1)),
            ("POSITION", "", 1, np.full(SECONDS, 2.0)),
        ],
        plus=True,
    )
    put(path, "reserved", "EDF+D")
    set_onsets(path, [float(s) if s < 40 else s + 60.0 for s in range(SECONDS)])
    position = read_recording(path).signals["POS"]
    assert set(position[: 40 * 64]) == {2}
    assert set(position[40 * 64 : 100 * 64]) == {-1}
    assert set(position[100 * 64 :]) == {2}


def test_gaps_survive_the_way_through_mne(clocked: Path):
    put(clocked, "reserved", "EDF+D")
    set_onsets(clocked, [float(s) if s < 20 else s + 100.5 for s in range(SECONDS)])
    again = Recording.from_raw(read_recording(clocked).to_raw())
    assert again.gaps == [(20.0, 120.5)]
    assert np.all(again.signals["EEG_C3_A2"][21 * 64 : 120 * 64] == 0)


def test_gaps_in_a_file_that_calls_itself_continuous_are_kept_and_said(clocked: Path):
    set_onsets(clocked, [float(s) if s < 30 else s + 10.0 for s in range(SECONDS)])
    recording = read_recording(clocked)
    assert recording.gaps == [(30.0, 40.0)]
    assert "calls itself continuous" in problems_of(recording)


def test_rounded_onsets_of_a_continuous_file_are_no_gaps(clocked: Path):
    set_onsets(clocked, [s + 0.002 * s for s in range(SECONDS)])
    recording = read_recording(clocked)
    assert recording.gaps == []
    assert recording.duration_s == SECONDS


def test_discontinuous_in_name_only_has_no_gap(clocked: Path):
    put(clocked, "reserved", "EDF+D")
    recording = read_recording(clocked)
    assert recording.gaps == []
    assert recording.duration_s == SECONDS


def test_many_gaps_are_counted(clocked: Path):
    put(clocked, "reserved", "EDF+D")
    set_onsets(clocked, [s + 5.0 * (s // 10) for s in range(SECONDS)])
    recording = read_recording(clocked)
    assert [round(begin) for begin, _ in recording.gaps] == [10, 25, 40, 55, 70, 85]
    assert "interrupted 6 times (30 s" in problems_of(recording)


def test_discontinuous_without_onsets_is_refused(good: Path):
    put(good, "reserved", "EDF+D")
    with pytest.raises(RecordingError, match="do not say when they begin"):
        read_recording(good)


def test_records_out_of_order_are_refused(clocked: Path):
    put(clocked, "reserved", "EDF+D")
    set_onsets(clocked, [float(s) if s < 30 else s - 10.0 for s in range(SECONDS)])
    with pytest.raises(RecordingError, match="data record 31 begins before"):
        read_recording(clocked)


def test_a_gap_of_weeks_is_refused_and_not_filled(clocked: Path):
    put(clocked, "reserved", "EDF+D")
    set_onsets(clocked, [float(s) if s < 60 else s + 9e6 for s in range(SECONDS)])
    with pytest.raises(RecordingError, match="span 104 days"):
        read_recording(clocked)


def test_fraction_of_a_second_in_the_first_onset_belongs_to_the_start(clocked: Path):
    set_onsets(clocked, [s + 0.5 for s in range(SECONDS)])
    recording = read_recording(clocked)
    assert recording.start == datetime(2024, 3, 1, 22, 30, 15, 500_000)
    assert recording.gaps == []


def test_equal_physical_limits_skip_the_channel_and_say_so(good: Path):
    put_signal(good, 1, "physical_min", "0")
    put_signal(good, 1, "physical_max", "0")
    recording = read_recording(good)
    assert "ECG" in recording.missing
    assert "EEG_C3_A2" in recording.signals
    assert "ECG: 'ECG' is not used, its physical minimum and maximum are equal" in problems_of(
        recording
    )


def test_equal_digital_limits_skip_the_channel(good: Path):
    put_signal(good, 1, "digital_min", "100")
    put_signal(good, 1, "digital_max", "100")
    assert "digital minimum and maximum are equal" in problems_of(read_recording(good))


def test_unreadable_limits_skip_the_channel(good: Path):
    put_signal(good, 1, "physical_max", "?.??")
    recording = read_recording(good)
    assert "ECG" in recording.missing
    assert "limits cannot be read" in problems_of(recording)


def test_swapped_physical_limits_turn_the_signal_over(good: Path):
    """Some recorders write the polarity so; it is legal."""
    upright = read_recording(good).signals["EEG_C3_A2"]
    raw = good.read_bytes()
    begin = 256 + N_SIGNALS * (16 + 80 + 8)
    low = raw[begin : begin + 8]
    high = raw[begin + 8 * N_SIGNALS : begin + 8 * N_SIGNALS + 8]
    put_signal(good, 0, "physical_min", high)
    put_signal(good, 0, "physical_max", low)
    assert np.allclose(read_recording(good).signals["EEG_C3_A2"], -upright, atol=0.01)


def test_record_count_minus_one_is_taken_from_the_size(good: Path):
    put(good, "n_records", "-1")
    recording = read_recording(good)
    assert recording.duration_s == SECONDS
    assert "does not state the number of data records; 65 were found" in problems_of(recording)


def test_truncated_file_gives_what_is_there(good: Path):
    raw = good.read_bytes()
    record_bytes = 2 * (128 + 128 + 1)
    good.write_bytes(raw[: 256 * (N_SIGNALS + 1) + 40 * record_bytes + 77])
    recording = read_recording(good)
    assert recording.duration_s == 40
    assert recording.n_epochs == 1
    assert "truncated: 40 of 65 data records" in problems_of(recording)


def test_truncated_before_the_first_record_is_refused(good: Path):
    good.write_bytes(good.read_bytes()[: 256 * (N_SIGNALS + 1) + 100])
    with pytest.raises(RecordingError, match=r"night\.edf: holds no complete data record"):
        read_recording(good)


@pytest.mark.parametrize("length", [9, 200, 300, 1000])
def test_truncated_inside_the_header_is_refused(good: Path, length: int):
    good.write_bytes(good.read_bytes()[:length])
    with pytest.raises(RecordingError, match=r"night\.edf: the header"):
        read_recording(good)


def test_more_records_than_stated_are_all_read(good: Path):
    put(good, "n_records", "30")
    recording = read_recording(good)
    assert recording.duration_s == SECONDS
    assert "its header states 30" in problems_of(recording)


def test_duplicate_labels_use_the_first_and_say_so(good: Path):
    put_signal(good, 1, "label", "C3-M2")
    recording = read_recording(good)
    assert "the label 'C3-M2' stands 2 times" in problems_of(recording)
    peak_uv = np.percentile(np.abs(recording.signals["EEG_C3_A2"]), 99)
    assert peak_uv == pytest.approx(40, rel=0.05)
    second = read_recording(good, {"C3_A2": "C3-M2#2"}).signals["EEG_C3_A2"]
    assert np.percentile(np.abs(second), 99) == pytest.approx(800, rel=0.05)  # 0.8 mV


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_labels_that_are_not_ascii_are_read(good: Path, encoding: str):
    put_signal(good, 1, "label", "Körperlage".encode(encoding))
    put_signal(good, 0, "unit", "µV".encode(encoding))
    recording = read_recording(good)
    source = recording.sources["POS"]
    assert source is not None
    assert source.label == "Körperlage"
    assert np.percentile(np.abs(recording.signals["EEG_C3_A2"]), 99) == pytest.approx(40, rel=0.05)


def test_a_file_of_seconds_is_readable_and_has_no_epoch(make_edf: Callable[..., Path]):
    recording = read_recording(make_edf([("ECG", "mV", 128, wave(128, 1, 0.8, 5))]))
    assert (recording.n_epochs, recording.duration_s) == (0, 5)
    assert recording.signals["ECG"].shape == (0,)
    assert "not one complete 30-s epoch" in problems_of(recording)
    with pytest.raises(RecordingError, match="no complete 30-s epoch"):
        recording.to_raw()


def test_fractional_record_duration_keeps_the_rate(make_edf: Callable[..., Path]):
    path = make_edf([("C3-M2", "uV", 200, wave(200, 10, 40, 90))], record_s=0.1)
    recording = read_recording(path)
    source = recording.sources["EEG_C3_A2"]
    assert source is not None
    assert source.rate_hz == 200
    assert recording.n_epochs == 3


def test_comma_as_decimal_point_is_understood(good: Path):
    put(good, "record_s", "1,0")
    assert read_recording(good).duration_s == SECONDS


def test_year_85_is_1985_and_an_anonymised_date_is_only_a_time(good: Path):
    put(good, "startdate", "01.01.85")
    recording = read_recording(good)
    assert recording.start == datetime(1985, 1, 1, 22, 30, 15)
    assert not recording.start_has_date
    put(good, "startdate", "31.12.84")
    assert read_recording(good).start == datetime(2084, 12, 31, 22, 30, 15)


def test_unreadable_date_keeps_the_time_of_day(good: Path):
    put(good, "startdate", "00.00.00")
    recording = read_recording(good)
    assert recording.start is not None
    assert recording.start.time().isoformat() == "22:30:15"
    assert not recording.start_has_date
    assert "start date in the header cannot be read" in problems_of(recording)


def test_unreadable_time_leaves_the_clock_unknown(good: Path):
    put(good, "starttime", "99.99.99")
    recording = read_recording(good)
    assert recording.start is None
    assert "clock times are not known" in problems_of(recording)


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("n_signals", "lots", "number of signals is 'lots'"),
        ("n_signals", "-3", "number of signals is '-3'"),
        ("record_s", "soon", "record duration is 'soon'"),
        ("record_s", "0", "record duration is '0'"),
        ("record_s", "-1", "record duration is '-1'"),
        ("record_s", "1e999999", "record duration is '1e999999'"),
        ("record_s", "900000", "span 677 days"),
        ("version", "7", "not an EDF or BDF file"),
    ],
)
def test_garbage_in_the_header_names_the_field(good: Path, field: str, text: str, said: str):
    put(good, field, text)
    with pytest.raises(RecordingError, match=said):
        read_recording(good)


def test_garbage_in_the_sample_count_names_the_signal(good: Path):
    put_signal(good, 1, "samples", "many")
    with pytest.raises(RecordingError, match="samples per record of signal 2 is 'many'"):
        read_recording(good)


def test_wrong_header_length_is_mended_and_said(good: Path):
    put(good, "header_bytes", "9999")
    recording = read_recording(good)
    assert recording.duration_s == SECONDS
    assert "wrong length of itself" in problems_of(recording)


def test_random_bytes_in_the_header_never_crash(good: Path):
    """Every outcome is a recording or a RecordingError."""
    original = good.read_bytes()
    rng = np.random.default_rng(5)
    outcomes = set()
    for _ in range(150):
        raw = bytearray(original)
        for place in rng.integers(8, 256 * (N_SIGNALS + 1), size=rng.integers(1, 40)):
            raw[place] = rng.integers(0, 256)
        good.write_bytes(raw)
        try:
            outcomes.add(type(read_recording(good)).__name__)
        except RecordingError:
            outcomes.add("RecordingError")
    assert outcomes == {"Recording", "RecordingError"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.edf", b"", "the file is empty"),
        ("text.edf", b"Dear patient, " * 50, "not an EDF or BDF file"),
        ("image.edf", b"\x89PNG\r\n\x1a\n" + bytes(500), "not an EDF or BDF file"),
        ("image.png", b"\x89PNG\r\n\x1a\n" + bytes(500), "not a recording that can be read"),
        ("notes.txt", b"hello", "not a recording that can be read"),
        ("broken.vhdr", b"not brain vision", "not a recording that can be read"),
        ("broken.set", b"not eeglab", "not a recording that can be read"),
    ],
)
def test_what_is_no_recording_is_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes, said: str
):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=said) as caught:
        read_recording(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder_are_refused(tmp_path: Path):
    with pytest.raises(RecordingError, match="no such file"):
        read_recording(tmp_path / "nowhere.edf")
    with pytest.raises(RecordingError, match="is a folder"):
        read_recording(tmp_path)


def test_no_usable_channel_lists_the_labels(make_edf: Callable[..., Path]):
    path = make_edf([("Temp rectal", "DegC", 1, np.full(60, 37.0) + np.arange(60) % 2)])
    with pytest.raises(RecordingError, match="no usable channel among 'Temp rectal'"):
        read_recording(path)
