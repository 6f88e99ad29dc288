"""A simulated night written to files and read back through the product's own readers."""

from pathlib import Path

import numpy as np
import pytest

from sleeplm.recording import Recording, read_recording
from sleeplm.scoring import Scoring
from sleeplm.scoring_files import find_scoring, read_scoring
from train.simulate import SimulatedNight, simulate_night, write_night

Written = tuple[SimulatedNight, Path]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    night = simulate_night(4, hours=1, ahi=30)
    path = tmp_path_factory.mktemp("simulated") / "night.edf"
    assert [file.name for file in write_night(night, path)] == [
        "night.edf",
        "night-nsrr.xml",
        "night.truth.json",
    ]
    return night, path


@pytest.fixture(scope="module")
def recording(written: Written) -> Recording:
    return read_recording(written[1])


def test_every_channel_comes_back_within_the_quantisation(
    written: Written, recording: Recording
) -> None:
    night, _ = written
    assert recording.start is not None
    assert recording.start.replace(microsecond=0) == night.start
    assert recording.n_epochs == night.scoring.n_epochs
    assert recording.missing == []
    for name, made in night.signals.items():
        read = recording.signals[name]
        if night.native[name][0] == 1.0:  # held values; an edge may move by a sample
            same = np.isclose(read[: len(made)], made, atol=0.02)
            assert same.mean() > 0.99, name
            continue
        error = read[64:-64] - made[64 : len(read) - 64]
        assert np.sqrt(np.mean(error**2)) < 0.1 * made.std(), name
        assert np.corrcoef(read[64:-64], made[64 : len(read) - 64])[0, 1] > 0.995, name


def test_native_samples_in_the_file_are_exact_to_half_a_step(written: Written) -> None:
    import edfio

    night, path = written
    by_label = {signal.label: signal for signal in edfio.read_edf(path).signals}
    signal = by_label["C3-M2"]
    step = (signal.physical_max - signal.physical_min) / 65535
    made = night.native["EEG_C3_A2"][1]
    assert signal.sampling_frequency == 128
    assert np.abs(signal.data - made).max() <= 0.51 * step
    assert by_label["SpO2"].sampling_frequency == 1
    assert by_label["Thorax"].sampling_frequency == 64


def test_the_header_names_nobody(written: Written) -> None:
    header = written[1].read_bytes()[:256]
    assert header[8:88].decode("ascii").strip() == "X X X X"


def test_scoring_file_and_truth_hold_the_same_stages_and_events(written: Written) -> None:
    night, path = written
    beside = find_scoring(path)
    assert beside is not None
    assert beside.name == "night-nsrr.xml"
    scoring = read_scoring(beside)
    truth = Scoring.from_json(path.with_name("night.truth.json").read_text())
    assert truth.stages == scoring.stages == night.scoring.stages
    for kind in {event.kind for event in truth.events}:
        ours, theirs = truth.events_of(kind), scoring.events_of(kind)
        assert len(ours) == len(theirs), kind
        for one, other in zip(ours, theirs, strict=True):
            assert other.onset_s == pytest.approx(one.onset_s, abs=0.11)
            assert other.duration_s == pytest.approx(one.duration_s, abs=0.11)
    assert truth.meta["seed"] == 4


def test_a_night_without_some_channels_is_written_without_them(tmp_path: Path) -> None:
    night = simulate_night(5, hours=0.2, missing=("SPO2", "POS"))
    write_night(night, tmp_path / "part.edf")
    assert sorted(read_recording(tmp_path / "part.edf").missing) == ["POS", "SPO2"]
