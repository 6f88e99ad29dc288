"""Every cohort's layout, read back by the product's own check and summary to the truth."""

from pathlib import Path

import numpy as np
import pytest

from sleeplm.autoscore.legs import leg_signals
from sleeplm.errors import QueryError
from sleeplm.night import Night
from sleeplm.recording import check_report
from sleeplm.scoring_files import find_scoring, read_scoring
from sleeplm.summary import summarize
from train.simulate import (
    LAYOUTS,
    SCORING_FORMATS,
    SimulatedNight,
    simulate_night,
    write_night,
)

DERIVED = {
    "mros": {"ECG": "ECG L − ECG R", "EMG_CHIN": "L Chin − R Chin", "EEG_C3_A2": "C3 − A2",
             "EEG_C4_A1": "C4 − A1", "EOG_L": "LOC − A2", "EOG_R": "ROC − A1"},
    "cfs": {"ECG": "ECG1 − ECG2", "EMG_CHIN": "EMG1 − EMG2", "EEG_C3_A2": "C3 − M2",
            "EEG_C4_A1": "C4 − M1", "EOG_L": "LOC − M2", "EOG_R": "ROC − M1"},
    "ccshs": {"ECG": "ECG1 − ECG2", "EMG_CHIN": "EMG1 − EMG2", "EEG_C3_A2": "C3 − A2",
              "EEG_C4_A1": "C4 − A1", "EOG_L": "LOC − A2", "EOG_R": "ROC − A1"},
}  # fmt: skip
WITHOUT = {"wsc": ["HR"]}
NO_LEGS = ("shhs1", "shhs2")
CODED = ("house", "shhs1", "shhs2")


@pytest.fixture(scope="module")
def made() -> SimulatedNight:
    return simulate_night(7, hours=0.7, ahi=25, condition="plmd")


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_read_back_to_the_truth(
    name: str, made: SimulatedNight, tmp_path: Path
) -> None:
    files = write_night(made, tmp_path / "night.edf", layout=name)
    assert find_scoring(files[0]) == files[1]
    night = Night.open(files[0], cache=False)
    recording, expert = night.recording, night.scorings["expert"]
    assert recording.missing == WITHOUT.get(name, [])
    found = {
        channel: source.derivation
        for channel, source in recording.sources.items()
        if source is not None and source.derivation is not None
    }
    assert found == DERIVED.get(name, {})
    for channel, samples in recording.signals.items():
        if channel == "POS":
            continue
        truth = made.signals[channel][640:-640]
        read = samples[640 : 640 + len(truth)]
        assert np.corrcoef(read, truth)[0, 1] > 0.98, channel
        if channel.startswith(("EEG", "EOG", "EMG", "ECG")):
            assert read.std() == pytest.approx(truth.std(), rel=0.05), channel
    if name in CODED:
        assert set(np.unique(recording.signals["POS"])) == set(np.unique(made.signals["POS"]))
    problems = check_report(recording, expert)["problems"]
    assert all("position" in problem for problem in problems), problems

    assert expert.stages == made.scoring.stages
    kinds = {event.kind for event in made.scoring.events}
    for kind in kinds:
        assert len(expert.events_of(kind)) == len(made.scoring.events_of(kind)), kind
    ours, theirs = summarize(expert, recording), summarize(made.scoring, recording)
    assert ours.ahi.value == pytest.approx(made.meta["ahi_achieved"])
    for field in ("tst", "waso", "ahi", "arousal_index", "plm_index", "odi3", "cai"):
        assert getattr(ours, field).value == getattr(theirs, field).value, field

    legs = leg_signals(files[0])
    assert sorted(legs.signals) == ([] if name in NO_LEGS else ["left", "right"])
    if legs.signals:
        rate_hz, leg_l = made.native["LEG_L"]
        # At half the rate the upper half of the band is gone.
        tolerance = 0.1 if legs.rate_hz > 0.7 * rate_hz else 0.3
        assert legs.signals["left"].std() == pytest.approx(leg_l.std(), rel=tolerance)


@pytest.mark.parametrize("form", SCORING_FORMATS)
def test_every_scoring_format_lies_where_it_is_found(
    form: str, made: SimulatedNight, tmp_path: Path
) -> None:
    files = write_night(made, tmp_path / "night.edf", scoring_format=form)
    assert files[1].name == "night" + SCORING_FORMATS[form]
    assert find_scoring(files[0]) == files[1]
    back = read_scoring(files[1]).aligned(made.start, made.scoring.n_epochs)
    assert back.stages == made.scoring.stages
    assert len(back.events) == len(made.scoring.events)


def test_the_same_arguments_write_the_same_bytes(tmp_path: Path) -> None:
    written = []
    for attempt in ("a", "b"):
        night = simulate_night(4, hours=0.1, condition="rbd", artefacts=0.8)
        files = write_night(night, tmp_path / attempt / "night.edf", layout="mros")
        written.append([path.read_bytes() for path in files])
    assert written[0] == written[1]


def test_a_layout_leaves_out_what_was_not_recorded(tmp_path: Path) -> None:
    night = simulate_night(4, hours=0.1, missing=("EEG_C3_A2", "SPO2", "LEG_L", "POS"))
    files = write_night(night, tmp_path / "night.edf", layout="cfs")
    recording = Night.open(files[0], cache=False).recording
    assert sorted(recording.missing) == ["EEG_C3_A2", "POS", "SPO2"]
    assert list(leg_signals(files[0]).signals) == ["right"]


def test_unknown_layouts_and_formats_are_refused(made: SimulatedNight, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="polyman"):
        write_night(made, tmp_path / "night.edf", layout="polyman")
    with pytest.raises(QueryError, match="xls"):
        write_night(made, tmp_path / "night.edf", scoring_format="xls")
    assert list(tmp_path.iterdir()) == []
