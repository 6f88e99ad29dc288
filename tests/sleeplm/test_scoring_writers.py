"""Scorings written for other programs come back the same, through our readers, mne and yasa."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from sleeplm.errors import ScoringError
from sleeplm.scoring import Event, Scorer, Scoring
from sleeplm.scoring_files import FORMATS, read_scoring, write_scoring
from sleeplm.scoring_files.writers import format_of

NAMES = {
    "csv": "night.csv",
    "edf": "night.edf",
    "nsrr": "night-nsrr.xml",
    "profusion": "night-profusion.xml",
    "edfbrowser": "night.edfbrowser.csv",
    "luna": "night.annot",
    "bids": "sub-1_task-sleep_events.tsv",
    "json": "night.scoring.json",
}
SCORING = Scoring(
    stages=("W", "W", "N1", "N2", "unscored", "N2", "N3", "R", "W"),
    events=(
        Event("obstructive_apnea", 61.25, 14.5, "AF", 0.75, rule="aasm_apnea"),
        Event("hypopnea", 95.0, 22.125, "AF", 0.5),
        Event("rera", 130.0, 12.0),
        Event("desaturation", 100.0, 31.0, "SPO2", evidence={"baseline_pct": 96, "nadir_pct": 90}),
        Event("arousal", 117.5, 4.0, "EEG_C4_A1"),
        Event("limb_movement", 150.0, 1.5),
        Event("plm", 185.0, 2.0),
        Event("cheyne_stokes", 200.0, 60.0),
        Event("central_apnea", 215.0, 11.0),
        Event("mixed_apnea", 240.0, 13.0),
    ),
    untyped_apneas=((255.0, 12.0),),
    scorer=Scorer("automatic", "YASA + psgscoring", "1"),
    start=datetime(2024, 3, 1, 22, 30, 15),
)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_reads_back_to_the_same_stages_and_events(name: str, tmp_path: Path) -> None:
    path = tmp_path / NAMES[name]
    assert write_scoring(SCORING, path) == name
    back = read_scoring(path)
    assert back.stages == SCORING.stages
    assert [(e.kind, e.onset_s, e.duration_s) for e in back.events] == [
        (e.kind, e.onset_s, e.duration_s) for e in SCORING.events
    ]
    assert back.untyped_apneas == SCORING.untyped_apneas
    if name in ("edf", "nsrr", "json"):
        assert back.start == SCORING.start
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_mne_reads_the_stages_and_events_of_the_edf_file(tmp_path: Path) -> None:
    import mne

    path = tmp_path / "night.edf"
    write_scoring(SCORING, path)
    read = mne.read_annotations(path)
    stages = [
        (float(onset), str(text))
        for onset, text in zip(read.onset, read.description, strict=True)
        if str(text).startswith("Sleep stage")
    ]
    assert stages[:4] == [
        (0.0, "Sleep stage W"),
        (30.0, "Sleep stage W"),
        (60.0, "Sleep stage N1"),
        (90.0, "Sleep stage N2"),
    ]
    index = list(read.description).index("obstructive_apnea")
    assert (read.onset[index], read.duration[index]) == (61.25, 14.5)


def test_yasa_takes_the_stages_of_the_csv_file(tmp_path: Path) -> None:
    import pandas as pd
    import yasa

    path = tmp_path / "night.csv"
    write_scoring(SCORING, path)
    table = pd.read_csv(path)
    stages = table[table["event"].isin(["W", "N1", "N2", "N3", "R", "unscored"])]["event"]
    names = {"W": "WAKE", "R": "REM", "unscored": "UNS"}
    hypnogram = yasa.Hypnogram([names.get(stage, stage) for stage in stages], freq="30s")
    assert hypnogram.n_epochs == 9
    assert hypnogram.sleep_statistics()["TST"] == pytest.approx(2.5)


def test_yasa_reads_the_profile_of_stages_from_json(tmp_path: Path) -> None:
    import json

    import yasa

    path = tmp_path / "night.json"
    write_scoring(SCORING, path)
    stages = json.loads(path.read_text())["stages"]
    codes = {"W": 0, "N1": 1, "N2": 2, "N3": 3, "R": 4, "unscored": -2}
    hypnogram = yasa.Hypnogram.from_integers(np.array([codes[stage] for stage in stages]))
    assert list(hypnogram.hypno.astype(str))[-2:] == ["REM", "WAKE"]


def test_an_event_kept_its_rule_in_the_json_and_a_sentence_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "night.json"
    write_scoring(SCORING, path)
    assert read_scoring(path).events[0].rule == "aasm_apnea"
    path.write_text(path.read_text().replace("aasm_apnea", "Vraag de arts"))
    with pytest.raises(ScoringError, match="rule is no code"):
        read_scoring(path)


def test_a_file_cannot_bring_sentences_into_a_summary(tmp_path: Path) -> None:
    path = tmp_path / "night.json"
    meta = {"why_not": {"rera": "Jan Jansen"}, "details": {"note": "Jan Jansen"}, "kept": 1}
    write_scoring(Scoring(("N2",), scorer=Scorer("automatic"), meta=meta), path)
    assert read_scoring(path).meta == {"kept": 1}


def test_an_unknown_ending_or_format_or_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScoringError, match=r"night\.doc: the ending names no format; use one of"):
        write_scoring(SCORING, tmp_path / "night.doc")
    with pytest.raises(ScoringError, match="format 'word' is not known; use one of csv"):
        write_scoring(SCORING, tmp_path / "night.csv", "word")
    with pytest.raises(ScoringError, match="there is no folder"):
        write_scoring(SCORING, tmp_path / "none" / "night.csv")
    assert format_of("a.tsv") == "bids"
    assert format_of("a.csv", "Luna") == "luna"
