"""What the page draws: the night view and windows of traces, held to signals with known answers."""

import base64
import json
from datetime import datetime

import numpy as np
import pytest

from sleeplm.errors import QueryError
from sleeplm.night import Night
from sleeplm.recording import Recording
from sleeplm.scoring import Event, Scorer, Scoring
from ui.theme import EVENT_MARKS
from ui.views import channel_scales, minmax_pairs, night_view, trace_window

RATE_HZ = 64
N_EPOCHS = 20
START = datetime(2020, 1, 1, 23, 50, 0)


def signals() -> dict[str, np.ndarray]:
    time_s = np.arange(N_EPOCHS * 30 * RATE_HZ) / RATE_HZ
    made = {
        "EEG_C3_A2": 40 * np.sin(2 * np.pi * 2 * time_s) + 1000,
        "ECG": np.where(np.arange(len(time_s)) % RATE_HZ == 7, 1.2, 0.0),
        "THX": np.sin(2 * np.pi * 0.25 * time_s),
        "SPO2": np.full(len(time_s), 96.0),
        "POS": np.where(time_s < 300, 2.0, 1.0),
    }
    made["SPO2"][100 * RATE_HZ : 110 * RATE_HZ] = 84.0
    made["SPO2"][200 * RATE_HZ : 210 * RATE_HZ] = 0.0
    return {name: values.astype(np.float32) for name, values in made.items()}


@pytest.fixture(scope="module")
def recording() -> Recording:
    return Recording.from_signals(signals(), start=START)


@pytest.fixture(scope="module")
def scoring() -> Scoring:
    events = (Event("obstructive_apnea", 90.0, 25.0), Event("arousal", 114.0, 5.0))
    stages = ("W",) * 2 + ("N2",) * 10 + ("unscored",) + ("R",) * 7
    return Scoring(stages, events, scorer=Scorer("expert"), start=START)


@pytest.fixture(scope="module")
def night(recording: Recording, scoring: Scoring) -> Night:
    return Night.from_recording(recording, scoring)


def values_of(channel: dict[str, object]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(str(channel["values"])), dtype="<f4")


def test_the_night_view_is_plain_json(night: Night, scoring: Scoring) -> None:
    assert json.loads(json.dumps(night_view(night, scoring), allow_nan=False))["n_epochs"] == 20


def test_stages_are_coded_in_their_order_and_unscored_is_minus_one(
    night: Night, scoring: Scoring
) -> None:
    view = night_view(night, scoring)
    assert view["stage_names"] == ["W", "N1", "N2", "N3", "R"]
    assert view["stages"] == [0, 0, *[2] * 10, -1, *[4] * 7]
    assert view["start_s"] == 23 * 3600 + 50 * 60


def test_only_kinds_that_were_scored_get_a_lane(night: Night, scoring: Scoring) -> None:
    view = night_view(night, scoring)
    assert [kind["kind"] for kind in view["kinds"]] == ["obstructive_apnea", "arousal"]
    assert view["events"] == [[90.0, 25.0, 0], [114.0, 5.0, 1]]


def test_saturation_keeps_its_lowest_value_and_a_lost_probe_is_a_gap(
    night: Night, scoring: Scoring
) -> None:
    series = next(one for one in night_view(night, scoring)["series"] if one["name"] == "SPO2")
    at = [int(second / series["bin_s"]) for second in (105, 205)]
    assert series["lowest"][at[0]] == 84.0
    assert series["lowest"][at[1]] is None
    assert min(value for value in series["lowest"] if value is not None) == 84.0
    assert series["low"] <= 84.0


def test_position_is_named_in_runs(night: Night, scoring: Scoring) -> None:
    assert night_view(night, scoring)["positions"] == [
        [0.0, 300.0, "supine"],
        [300.0, 300.0, "left"],
    ]


def test_heart_rate_from_the_ecg_stands_in_for_a_missing_channel(
    night: Night, scoring: Scoring
) -> None:
    measured = np.full(N_EPOCHS, 60.0, dtype=np.float32)
    measured[3] = np.nan
    view = night_view(night, scoring, heart_rate_bpm=measured)
    series = next(one for one in view["series"] if one["name"] == "HR")
    assert series["label"] == "HR (ECG)"
    assert series["lowest"][3] is None
    assert series["lowest"][4] == 60.0


def test_a_short_window_sends_the_samples_as_they_are(recording: Recording) -> None:
    window = trace_window(recording, 60.0, 30.0, 1200)
    ecg = next(channel for channel in window["channels"] if channel["name"] == "ECG")
    np.testing.assert_array_equal(values_of(ecg), recording.channel("ECG")[60 * 64 : 90 * 64])


def test_a_long_window_keeps_every_beat(recording: Recording) -> None:
    window = trace_window(recording, 0.0, 600.0, 700)
    ecg = next(channel for channel in window["channels"] if channel["name"] == "ECG")
    values = values_of(ecg)
    assert len(values) <= 1400
    # 600 beats in 700 columns: taking every n-th sample would lose nearly all of them.
    assert np.count_nonzero(values > 1.0) >= 550


def test_an_offset_does_not_push_a_signal_out_of_its_lane(recording: Recording) -> None:
    window = trace_window(recording, 0.0, 30.0, 1200)
    eeg = next(channel for channel in window["channels"] if channel["name"] == "EEG_C3_A2")
    assert np.abs(values_of(eeg)).max() == pytest.approx(40.0, abs=1.0)
    assert (eeg["low"], eeg["high"]) == (-75.0, 75.0)


def test_channels_come_in_the_order_of_the_clinic(recording: Recording) -> None:
    names = [channel["name"] for channel in trace_window(recording, 0.0, 30.0, 800)["channels"]]
    assert names == ["EEG_C3_A2", "ECG", "THX", "SPO2"]


@pytest.mark.parametrize(("asked", "given"), [(-50.0, 0.0), (1e6, 570.0), (45.0, 45.0)])
def test_a_window_is_moved_inside_the_recording(
    recording: Recording, asked: float, given: float
) -> None:
    window = trace_window(recording, asked, 30.0, 800)
    assert window["start_s"] == given
    assert window["duration_s"] == 30.0


def test_a_window_longer_than_the_recording_is_the_recording(recording: Recording) -> None:
    assert trace_window(recording, 0.0, 1800.0, 800)["duration_s"] == 600.0


def test_a_window_without_a_time_is_refused(recording: Recording) -> None:
    with pytest.raises(QueryError, match="start and a length"):
        trace_window(recording, float("nan"), 30.0, 800)


def test_an_impossible_saturation_is_a_gap_in_the_trace(recording: Recording) -> None:
    window = trace_window(recording, 190.0, 30.0, 1200)
    spo2 = next(channel for channel in window["channels"] if channel["name"] == "SPO2")
    values = values_of(spo2)
    assert np.isnan(values[11 * 64])
    assert values[5 * 64] == 96.0


def test_minmax_pairs_hold_the_extremes_of_every_column() -> None:
    samples = np.random.default_rng(1).normal(size=64_000).astype(np.float32)
    pairs = minmax_pairs(samples, 320)
    assert len(pairs) == 640
    columns = samples.reshape(320, 200)
    np.testing.assert_array_equal(np.sort(pairs.reshape(320, 2), axis=1)[:, 0], columns.min(axis=1))
    np.testing.assert_array_equal(np.sort(pairs.reshape(320, 2), axis=1)[:, 1], columns.max(axis=1))


def test_a_signal_far_from_the_usual_sensitivity_gets_a_lane_of_its_own() -> None:
    loud = signals()
    loud["EEG_C3_A2"] = (loud["EEG_C3_A2"] - 1000) * 50
    scale = channel_scales(Recording.from_signals(loud))["EEG_C3_A2"]
    assert 2000 <= scale.high <= 3000


def test_a_flat_signal_has_a_lane_too() -> None:
    flat = signals()
    flat["THX"] = np.zeros_like(flat["THX"])
    scale = channel_scales(Recording.from_signals(flat))["THX"]
    assert scale.high > scale.low


def test_a_night_without_clock_has_no_start(scoring: Scoring) -> None:
    night = Night.from_recording(Recording.from_signals(signals()), scoring)
    assert night_view(night, scoring)["start_s"] is None


def test_every_event_kind_can_be_drawn() -> None:
    from sleeplm.scoring import EVENT_KINDS
    from ui.theme import TOKENS

    assert set(EVENT_MARKS) == set(EVENT_KINDS)
    assert all(mark.colour in TOKENS for mark in EVENT_MARKS.values())


def test_events_of_another_witness_are_named_as_theirs(night: Night, scoring: Scoring) -> None:
    hypnogram = Scoring(scoring.stages, scorer=Scorer("expert"), start=START, has_events=False)
    read = Scoring(scoring.stages, (Event("hypopnea", 200.0, 15.0),), scorer=Scorer("model"))
    view = night_view(night, hypnogram, events_by=read)
    assert (view["scorer"], view["events_by"]) == ("expert", "model")
    assert view["events"] == [[200.0, 15.0, 0]]
    assert night_view(night, hypnogram)["events_by"] is None
