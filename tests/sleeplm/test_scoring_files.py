"""Scoring files of other programs against counts made without our readers."""

import csv
import random
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from sleeplm.errors import ScoringError
from sleeplm.scoring import EVENT_KINDS, Event, Scoring
from sleeplm.scoring_files import (
    find_scoring,
    read_scoring,
    write_nsrr_xml,
    write_scoring_json,
)

NSRR = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<PSGAnnotation>
<SoftwareVersion>Compumedics</SoftwareVersion>
<EpochLength>30</EpochLength>
<ScoredEvents>
<ScoredEvent>
<EventType/>
<EventConcept>Recording Start Time</EventConcept>
<Start>0</Start>
<Duration>1800.0</Duration>
<ClockTime>01.01.85 23.28.38</ClockTime>
</ScoredEvent>
<ScoredEvent><EventType>Stages|Stages</EventType><EventConcept>Wake|0</EventConcept>
<Start>0</Start><Duration>1500.0</Duration></ScoredEvent>
<ScoredEvent><EventType>Stages|Stages</EventType><EventConcept>Stage 2 sleep|2</EventConcept>
<Start>1500.0</Start><Duration>90.0</Duration></ScoredEvent>
<ScoredEvent><EventType>Stages|Stages</EventType><EventConcept>Stage 4 sleep|4</EventConcept>
<Start>1590.0</Start><Duration>60.0</Duration></ScoredEvent>
<ScoredEvent><EventType>Stages|Stages</EventType><EventConcept>REM sleep|5</EventConcept>
<Start>1650.0</Start><Duration>120.0</Duration></ScoredEvent>
<ScoredEvent><EventType>Stages|Stages</EventType><EventConcept>Unscored|9</EventConcept>
<Start>1770.0</Start><Duration>30.0</Duration></ScoredEvent>
<ScoredEvent><EventType>Respiratory|Respiratory</EventType>
<EventConcept>Obstructive apnea|Obstructive Apnea</EventConcept><Start>1510.5</Start>
<Duration>22.1</Duration><SignalLocation>ABDO RES</SignalLocation></ScoredEvent>
<ScoredEvent><EventType>Respiratory|Respiratory</EventType>
<EventConcept>SpO2 desaturation|SpO2 desaturation</EventConcept><Start>1530.0</Start>
<Duration>31.0</Duration><SignalLocation>SaO2</SignalLocation><SpO2Nadir>90.0</SpO2Nadir>
<SpO2Baseline>95.0</SpO2Baseline></ScoredEvent>
<ScoredEvent><EventType>Arousals|Arousals</EventType>
<EventConcept>ASDA arousal|Arousal (ASDA)</EventConcept><Start>1533.2</Start>
<Duration>4.0</Duration></ScoredEvent>
<ScoredEvent><EventType>Limb Movement|Limb Movement</EventType>
<EventConcept>Limb movement - left|Limb Movement (Left)</EventConcept><Start>1700.0</Start>
<Duration>1.5</Duration></ScoredEvent>
<ScoredEvent><EventType>Limb Movement|Limb Movement</EventType>
<EventConcept>Periodic leg movement - right|PLM (Right)</EventConcept><Start>1720.0</Start>
<Duration>1.5</Duration></ScoredEvent>
<ScoredEvent><EventType>Respiratory|Respiratory</EventType>
<EventConcept>Unsure|Unsure</EventConcept><Start>1600.0</Start>
<Duration>15.0</Duration></ScoredEvent>
<ScoredEvent><EventType/><EventConcept>John Doe says hello</EventConcept><Start>1600.0</Start>
<Duration>15.0</Duration></ScoredEvent>
</ScoredEvents>
</PSGAnnotation>
"""

PROFUSION = """<?xml version="1.0" encoding="utf-8"?>
<CMPStudyConfig>
<EpochLength>30</EpochLength>
<ScoredEventSettings><ScoredEventSetting><Name>Mixed Apnea</Name></ScoredEventSetting>
</ScoredEventSettings>
<ScoredEvents>
<ScoredEvent><Name>Central Apnea</Name><Start>65.5</Start><Duration>14.0</Duration>
<Input>NEW AIR</Input></ScoredEvent>
<ScoredEvent><LowestSpO2>88</LowestSpO2><Desaturation>4</Desaturation>
<Name>SpO2 desaturation</Name><Start>70.0</Start><Duration>30.0</Duration>
<Input>SaO2</Input></ScoredEvent>
<ScoredEvent><Name>Arousal (ARO RES)</Name><Start>79.0</Start><Duration>5.0</Duration>
<Input>EEG</Input></ScoredEvent>
</ScoredEvents>
<SleepStages><SleepStage>0</SleepStage><SleepStage>1</SleepStage><SleepStage>2</SleepStage>
<SleepStage>3</SleepStage><SleepStage>4</SleepStage><SleepStage>5</SleepStage>
<SleepStage>9</SleepStage><SleepStage>7</SleepStage></SleepStages>
</CMPStudyConfig>
"""


@pytest.fixture
def written(tmp_path: Path):
    """Write a text (or bytes) as a file and give its path."""

    def write(text: str | bytes, name: str = "night.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return path

    return write


def refusal(path: Path, **options) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(ScoringError) as error:
        read_scoring(path, **options)
    message = str(error.value)
    assert "\n" not in message
    assert path.name in message
    return message


# ── NSRR and Profusion XML ─────────────────────────────────────────────────────────────────────


def test_nsrr_stage_rows_are_run_lengths_and_one_may_last_1500_s(written):
    scoring = read_scoring(written(NSRR, "night-nsrr.xml"))
    assert scoring.stages == (("W",) * 50 + ("N2",) * 3 + ("N3",) * 2 + ("R",) * 4 + ("unscored",))


def test_nsrr_events_have_kind_time_channel_and_saturation(written):
    scoring = read_scoring(written(NSRR, "night-nsrr.xml"))
    assert [(event.kind, event.onset_s, event.duration_s) for event in scoring.events] == [
        ("obstructive_apnea", 1510.5, 22.1),
        ("desaturation", 1530.0, 31.0),
        ("arousal", 1533.2, 4.0),
        ("limb_movement", 1700.0, 1.5),
        ("plm", 1720.0, 1.5),
    ]
    assert scoring.events[0].channel == "ABD"
    assert scoring.events[1].channel == "SPO2"
    assert scoring.events[1].evidence == {"baseline_pct": 95.0, "nadir_pct": 90.0}


def test_nsrr_start_clock_and_recording_length_are_kept(written):
    scoring = read_scoring(written(NSRR, "night-nsrr.xml"))
    assert scoring.start == datetime(1985, 1, 1, 23, 28, 38)
    assert scoring.aligned(datetime(1985, 1, 1, 23, 28, 38), 60).n_epochs == 60
    with pytest.raises(ScoringError, match="another night"):
        scoring.aligned(datetime(1985, 1, 1, 23, 28, 38), 120)


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        ("00.00.00 22.14.00", datetime(2000, 1, 1, 22, 14)),
        ("00.00.00 22:14:00", datetime(2000, 1, 1, 22, 14)),
        ("2000-01-01 22:14:00", datetime(2000, 1, 1, 22, 14)),
        ("2019-07-31T01:02:03", datetime(2019, 7, 31, 1, 2, 3)),
        ("31.12.99 23.59.59", datetime(1999, 12, 31, 23, 59, 59)),
        ("22:14:00", datetime(2000, 1, 1, 22, 14)),
        ("soon after dinner", None),
        ("99.99.99 99.99.99", None),
    ],
)
def test_nsrr_clock_forms(written, clock, expected):
    scoring = read_scoring(written(NSRR.replace("01.01.85 23.28.38", clock), "night.xml"))
    assert scoring.start == expected


def test_unknown_labels_are_counted_and_never_repeated(written):
    problems = " ".join(read_scoring(written(NSRR, "night-nsrr.xml")).problems)
    assert "1 rows with 1 different unknown labels" in problems
    assert "1 events marked as unsure" in problems
    assert "John" not in problems


def test_profusion_codes_and_saturation(written):
    scoring = read_scoring(written(PROFUSION, "night-profusion.xml"))
    assert scoring.stages == ("W", "N1", "N2", "N3", "N3", "R", "unscored", "unscored")
    assert any("1 epochs have a stage code" in problem for problem in scoring.problems)
    assert [(event.kind, event.onset_s, event.channel) for event in scoring.events] == [
        ("central_apnea", 65.5, "AF"),
        ("desaturation", 70.0, "SPO2"),
        ("arousal", 79.0, "EEG_C4_A1"),
    ]
    assert scoring.events[1].evidence == {"nadir_pct": 88.0, "baseline_pct": 92.0}
    assert scoring.start is None


def test_xml_with_entities_is_refused(written):
    bomb = (
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
        "<PSGAnnotation><ScoredEvents>&b;</ScoredEvents></PSGAnnotation>"
    )
    assert "entities" in refusal(written(bomb, "bomb.xml"))


@pytest.mark.parametrize("length", [30, 400, 1200])
def test_truncated_xml_is_refused(written, length):
    assert "cut off" in refusal(written(NSRR[:length], "cut.xml"))


def test_xml_of_another_kind_is_refused(written):
    assert "another kind" in refusal(written("<html><body/></html>", "page.xml"))


def test_xml_without_stages_or_events_is_refused(written):
    empty = "<PSGAnnotation><EpochLength>30</EpochLength><ScoredEvents/></PSGAnnotation>"
    assert "no sleep stage" in refusal(written(empty, "empty.xml"))


@pytest.mark.parametrize("text", [NSRR, PROFUSION])
def test_a_stated_epoch_length_other_than_30_s_is_refused(written, text):
    changed = text.replace("<EpochLength>30", "<EpochLength>20")
    assert "epochs of 20 s" in refusal(written(changed, "night.xml"))


def test_a_stage_row_that_ends_after_a_week_is_refused(written):
    changed = NSRR.replace("<Duration>1500.0", "<Duration>1e12")
    assert "damaged" in refusal(written(changed, "night.xml"))


def test_an_apnea_without_a_type_is_kept_apart_and_not_called_obstructive(written):
    changed = NSRR.replace("Obstructive apnea|Obstructive Apnea", "Apnea|Apnea")
    scoring = read_scoring(written(changed, "night.xml"))
    assert not scoring.events_of("obstructive_apnea")
    assert scoring.untyped_apneas == ((1510.5, 22.1),)
    assert scoring.looked_for("hypopnea")


def test_an_event_that_stands_twice_counts_once(written):
    row = NSRR[NSRR.index("<ScoredEvent><EventType>Arousals") :]
    row = row[: row.index("</ScoredEvent>") + len("</ScoredEvent>")]
    scoring = read_scoring(written(NSRR.replace(row, row + row), "night.xml"))
    assert len(scoring.events_of("arousal")) == 1
    assert any("twice" in problem for problem in scoring.problems)


# ── round trips ────────────────────────────────────────────────────────────────────────────────


def night_of_every_kind() -> Scoring:
    channels = (None, "AF", "SPO2", "EEG_C3_A2")
    events = tuple(
        Event(
            kind,
            10.5 + 37.123456789 * index,
            3.1 + index,
            channels[index % len(channels)],
            evidence={"baseline_pct": 96.0, "nadir_pct": 90.5} if kind == "desaturation" else {},
        )
        for index, kind in enumerate(EVENT_KINDS)
    )
    return Scoring(
        ("W", "N1", "N2", "N2", "N3", "R", "unscored", "W") * 3,
        events,
        start=datetime(2024, 3, 1, 22, 14, 5),
        lights_off_s=12.5,
        lights_on_s=700.0,
        untyped_apneas=((5.0, 11.0),),
    )


@pytest.mark.parametrize("write", [write_nsrr_xml, write_scoring_json])
def test_what_is_written_reads_back_the_same(tmp_path, write):
    scoring = night_of_every_kind()
    path = tmp_path / "night.scoring"
    write(scoring, path)
    back = read_scoring(path)
    assert back.stages == scoring.stages
    assert back.events == scoring.events
    assert [event.evidence for event in back.events] == [event.evidence for event in scoring.events]
    assert back.start == scoring.start
    assert (back.lights_off_s, back.lights_on_s) == (12.5, 700.0)
    assert back.untyped_apneas == scoring.untyped_apneas
    assert all(back.looked_for(kind) for kind in EVENT_KINDS)
    assert [path.name for path in tmp_path.iterdir()] == ["night.scoring"]


def test_sentences_in_a_scoring_json_are_not_repeated(tmp_path):
    path = tmp_path / "night.json"
    write_scoring_json(Scoring(("N2",), problems=("John Doe coughs",)), path)
    assert read_scoring(path).problems == ()


def test_a_quiet_night_keeps_that_events_were_looked_for(tmp_path):
    path = tmp_path / "night-nsrr.xml"
    write_nsrr_xml(Scoring(("N2",) * 4), path)
    assert read_scoring(path).looked_for("obstructive_apnea")
    write_nsrr_xml(Scoring(("N2",) * 4, has_events=False), path)
    assert not read_scoring(path).has_events
    write_nsrr_xml(Scoring(("N2",) * 4, scored_kinds=("arousal",)), path)
    assert read_scoring(path).scored_kinds == ("arousal",)


# ── EDF+ annotations ───────────────────────────────────────────────────────────────────────────


def test_all_sleep_edf_hypnograms_agree_with_mne_and_with_the_stated_totals(shared_data):
    import mne

    files = sorted((shared_data / "sleep-edf-hypnograms").glob("*-Hypnogram.edf"))
    assert len(files) == 20
    names = {
        "Sleep stage W": "W",
        "Sleep stage 1": "N1",
        "Sleep stage 2": "N2",
        "Sleep stage 3": "N3",
        "Sleep stage 4": "N3",
        "Sleep stage R": "R",
        "Sleep stage ?": "unscored",
        "Movement time": "unscored",
    }
    total: Counter[str] = Counter()
    for path in files:
        scoring = read_scoring(path)
        annotations = mne.read_annotations(path)
        expected = [
            names[row["description"]]
            for row in annotations
            for _ in range(round(row["duration"] / 30))
        ]
        assert list(scoring.stages) == expected, path.name
        assert not scoring.has_events
        assert scoring.start is not None
        total.update(scoring.stages)
    stated = {"W": 37115, "N1": 1689, "N2": 8927, "N3": 1700 + 1374, "R": 3693}
    assert {stage: total[stage] for stage in stated} == stated
    assert total["unscored"] >= 3070


def edf_with(path: Path, notes: list[tuple[float, float | None, str]], signals: bool) -> Path:
    import edfio
    import numpy as np

    traces = [edfio.EdfSignal(np.sin(np.arange(6400) / 9.0), 64, label="C3")] if signals else []
    edf = edfio.Edf(
        traces,
        starttime=datetime(2024, 3, 1, 22, 0, 0).time(),
        recording=edfio.Recording(startdate=datetime(2024, 3, 1).date()),
        annotations=[edfio.EdfAnnotation(*note) for note in notes],
    )
    edf.write(path)
    return path


NOTES = [
    (0.0, 30.0, "Sleep stage W"),
    (30.0, 30.0, "Sleep stage N1"),
    (60.0, 60.0, "Sleep stage N2"),
    (65.0, 12.0, "Hypopnea"),
    (75.0, 4.0, "EEG arousal"),
    (12.0, None, "Lights off"),
    (120.0, 30.0, "Sleep stage ?"),
    (130.0, None, "Mrs. Miller coughs"),
]


@pytest.mark.parametrize("signals", [True, False])
def test_edf_annotations_carry_stages_events_and_lights(tmp_path, signals):
    scoring = read_scoring(edf_with(tmp_path / "night.edf", NOTES, signals))
    assert scoring.stages == ("W", "N1", "N2", "N2", "unscored")
    assert [(event.kind, event.onset_s) for event in scoring.events] == [
        ("hypopnea", 65.0),
        ("arousal", 75.0),
    ]
    assert scoring.lights_off_s == 12.0
    assert scoring.start == datetime(2024, 3, 1, 22, 0, 0)
    assert "Miller" not in " ".join(scoring.problems)
    assert scoring.looked_for("arousal")
    assert not scoring.looked_for("plm")


def test_stage_marks_without_a_duration_hold_until_the_next(tmp_path):
    notes = [(0.0, None, "W"), (60.0, None, "N2"), (150.0, None, "R")]
    scoring = read_scoring(edf_with(tmp_path / "night.edf", notes, False))
    assert scoring.stages == ("W", "W", "N2", "N2", "N2", "R")
    assert any("hold" in problem for problem in scoring.problems)


def test_a_recording_without_stages_given_as_scoring_is_refused(shared_data, tmp_path):
    assert "recording with signals" in refusal(shared_data / "nox-a1-rsleep" / "subject1.edf")
    assert "recording with signals" in refusal(edf_with(tmp_path / "p.edf", [], True))


# ── tables ─────────────────────────────────────────────────────────────────────────────────────


def test_noxturnal_export_agrees_with_a_count_by_the_csv_module(shared_data):
    path = shared_data / "nox-a1-rsleep" / "noxturnal_events_example_unicode.csv"
    with path.open(encoding="utf-16", newline="") as file:
        rows = list(csv.reader(file))[2:]
    counted = Counter(row[2] for row in rows)
    scoring = read_scoring(path)
    stages = Counter(scoring.stages)
    assert stages["W"] == counted["Éveil"] == 213
    assert stages["N1"] == counted["N1"] == 66
    assert stages["N2"] == counted["N2"] == 466
    assert stages["N3"] == counted["N3"] == 364
    assert stages["R"] == counted["REM"] == 249
    assert Counter(event.kind for event in scoring.events) == {"arousal": counted["Micro-éveil"]}
    assert scoring.start == datetime(2016, 1, 15, 22, 30, 0)
    first = next(row for row in rows if row[2] == "Micro-éveil")
    onset = datetime.strptime(first[0], "%d/%m/%Y %H:%M:%S")
    assert scoring.events[0].onset_s == (onset - scoring.start).total_seconds()
    assert not scoring.looked_for("obstructive_apnea")


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("Start Time,End Time,Event,Duration,", ("Wake", "N2", "A. Obstructive", "Arousal")),
        ("Startzeit;Endzeit;Ereignis;Dauer;", ("Wach", "N2", "A. obstruktiv", "Weckreaktion")),
    ],
)
def test_noxturnal_names_in_english_and_german(written, header, names):
    mark = ";" if ";" in header else ","
    times = [("22:59:30", "23:00:00", 30), ("23:00:00", "23:00:30", 30)]
    times += [("23:00:05", "23:00:17", 12), ("23:00:17", "23:00:20", 3)]
    lines = [header] + [
        mark.join(["16.01.2016 " + on, "16.01.2016 " + off, name, str(length), ""])
        for (on, off, length), name in zip(times, names, strict=True)
    ]
    scoring = read_scoring(written("\r\n".join(lines), encoding="utf-16"))
    assert scoring.stages == ("W", "N2")
    assert [(event.kind, event.onset_s) for event in scoring.events] == [
        ("obstructive_apnea", 35.0),
        ("arousal", 47.0),
    ]


def test_clock_times_without_a_date_run_on_over_midnight(written):
    lines = "time,duration,stage\n23:59:30,30,W\n00:00:00,30,N1\n00:00:30,30,N2\n"
    scoring = read_scoring(written(lines))
    assert scoring.stages == ("W", "N1", "N2")
    assert scoring.aligned(datetime(2024, 5, 6, 23, 59, 0), 4).stages[1] == "W"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0\n1\n2\n3\n4\n", ("W", "N1", "N2", "N3", "R")),
        ("0\n1\n2\n3\n4\n5\n", ("W", "N1", "N2", "N3", "N3", "R")),
        ("0\n2\n-1\n9\n", ("W", "N2", "unscored", "unscored")),
        ("stage\nWAKE\nN1\nREM\nART\n", ("W", "N1", "R", "unscored")),
        ("W\nS1\nS4\nMT\n", ("W", "N1", "N3", "unscored")),
        ("epoch,stage\n1,W\n2,N2\n4,R\n", ("W", "N2", "unscored", "R")),
        ("epoch\tstage\n0\tW\n1\tN2\n", ("W", "N2")),
        ("onset;duration;stage\n0,0;60,0;W\n60,0;30,0;N3\n", ("W", "W", "N3")),
        ("onset,duration,description\n0,90,Sleep stage 2\n", ("N2", "N2", "N2")),
        ("0.0,30.0,W\n30.0,60.0,REM\n", ("W", "R", "R")),
        ("\ufeffstage\nW\nN2\n", ("W", "N2")),
    ],
)
def test_hypnogram_tables(written, text, expected):
    scoring = read_scoring(written(text))
    assert scoring.stages == expected
    assert not scoring.has_events


def test_the_meaning_taken_for_code_4_is_said(written):
    assert any("4 was read as R" in line for line in read_scoring(written("0\n4\n")).problems)
    problems = read_scoring(written("0\n4\n5\n")).problems
    assert any("4 was read as N3" in line for line in problems)


def test_codes_that_follow_no_known_code_are_refused(written):
    assert "no code known" in refusal(written("Time,Stage\n0,5\n300,3\n400,2\n500,4\n"))


def test_event_tables(written):
    text = "onset_s,duration_s,kind,channel\n100.5,12,obstructive_apnea,AF\n200,3,arousal,\n"
    scoring = read_scoring(written(text))
    assert [(event.kind, event.onset_s, event.channel) for event in scoring.events] == [
        ("obstructive_apnea", 100.5, "AF"),
        ("arousal", 200.0, None),
    ]
    assert scoring.stages == ()


def test_stage_rows_off_the_grid_give_the_stage_that_fills_most_of_an_epoch(written):
    text = "onset,duration,stage\n0,40,W\n40,35,N1\n75,75,N2\n"
    scoring = read_scoring(written(text))
    # epochs: 30 s W | 10 s W, 20 s N1 | 15 s N1, 15 s N2 | N2 | N2
    assert scoring.stages[:2] == ("W", "N1")
    assert scoring.stages[3:] == ("N2", "N2")
    assert any("grid" in problem for problem in scoring.problems)


def test_20_s_epochs_are_refused_from_rows_and_from_the_recording_length(written):
    rows = "".join(f"{20 * index},20,N2\n" for index in range(30))
    assert "epochs of 20 s" in refusal(written("onset,duration,stage\n" + rows))
    runs = "onset,duration,stage\n0,40,W\n40,100,N2\n140,60,R\n200,80,N2\n280,20,W\n"
    assert "epochs of 20 s" in refusal(written(runs))
    assert "epochs of 20 s" in refusal(written("N2\n" * 90), duration_s=1800.0)
    assert read_scoring(written("N2\n" * 60), duration_s=1800.0).n_epochs == 60


@pytest.mark.parametrize(
    ("content", "name", "why"),
    [
        (b"", "empty.csv", "empty"),
        (b"\n\n", "blank.csv", "empty"),
        (b"onset,duration,stage\n", "header.csv", "no rows"),
        (b"onset,duration\n0,30\n", "nameless.csv", "no column for the stage"),
        (b"onset,stage\nnow,W\nlater,N2\n", "times.csv", "neither seconds nor clock"),
        (b"Dear all,\nplease find the report\n", "letter.txt", "sleep stage"),
        (b"PK\x03\x04\0\0\0\0rest", "archive.csv", "neither text"),
        (b"\xff\xfeW", "cut16.csv", "UTF-16"),
        (b"{", "night.json", "not a scoring JSON"),
        (b'{"stages": [], "events": []}', "none.json", "no sleep stage"),
        (b"0       " + b"x" * 100, "damaged.edf", "cannot be read"),
    ],
)
def test_files_that_are_no_scoring_get_one_line(written, content, name, why):
    assert why in refusal(written(content, name))


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    assert "no such scoring file" in refusal(tmp_path / "none.xml")
    assert "folder" in refusal(tmp_path)


# ── slpdb ──────────────────────────────────────────────────────────────────────────────────────


def test_slpdb_counts_agree_with_the_stated_totals(shared_data):
    files = sorted((shared_data / "slpdb-annotations").glob("slp*.st"))
    assert len(files) == 18
    stages: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for path in files:
        scoring = read_scoring(path)
        stages.update(scoring.stages)
        kinds.update(event.kind for event in scoring.events)
    expected = {"W": 3115, "N1": 1815, "N2": 3887, "N3": 483 + 181, "R": 700}
    assert {stage: stages[stage] for stage in expected} == expected
    # Tokens counted from the notes: OA 616, X 1617, H 272, HA 754, CA 56, CAA 181; A 33, LA 226;
    # L 299, LL 5, LLL 1, LLLL 1.
    assert kinds == {
        "obstructive_apnea": 616 + 1617,
        "hypopnea": 272 + 754,
        "central_apnea": 56 + 181,
        "arousal": 1617 + 754 + 181 + 226 + 33,
        "limb_movement": 299 + 226 + 2 * 5 + 3 + 4,
    }


def test_an_slpdb_record_can_be_named_without_its_ending(shared_data):
    folder = shared_data / "slpdb-annotations"
    assert read_scoring(folder / "slp01a") == read_scoring(folder / "slp01a.st")
    assert "wfdb" in refusal(folder / "README.st")


# ── finding ────────────────────────────────────────────────────────────────────────────────────


def test_the_scoring_beside_a_recording_is_found_in_order(tmp_path):
    recording = edf_with(tmp_path / "night.edf", [], True)
    assert find_scoring(recording) is None
    (tmp_path / "night.truth.json").write_text(Scoring(("W",)).to_json())
    (tmp_path / "night.csv").write_text("name,dose\nx,3\n")
    assert find_scoring(recording) is None
    for name in ("night.csv", "night.scoring.json", "night.xml", "night-nsrr.xml"):
        (tmp_path / name).write_text("W\nN2\n")
        assert find_scoring(recording) == tmp_path / name


def test_sleep_edf_pairs_are_found_by_their_common_number(tmp_path):
    recording = edf_with(tmp_path / "SC4001E0-PSG.edf", [], True)
    (tmp_path / "SC4002EC-Hypnogram.edf").write_bytes(b"other night")
    assert find_scoring(recording) is None
    (tmp_path / "SC4001EC-Hypnogram.edf").write_bytes(b"this night")
    assert find_scoring(recording) == tmp_path / "SC4001EC-Hypnogram.edf"


def test_stages_inside_the_recording_itself_are_found(tmp_path):
    recording = edf_with(tmp_path / "night.edf", NOTES, True)
    assert find_scoring(recording) == recording


# ── damage ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["night-nsrr.xml", "night.json", "night.csv", "night.edf"])
def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path, name):
    source = tmp_path / "whole"
    if name.endswith("xml"):
        write_nsrr_xml(night_of_every_kind(), source)
    elif name.endswith("json"):
        write_scoring_json(night_of_every_kind(), source)
    elif name.endswith("edf"):
        edf_with(source, NOTES, False)
    else:
        source.write_text("time,duration,event\n" + "23:59:30,30,N2\n00:10:00,12.5,Hypopnea\n" * 9)
    whole = source.read_bytes()
    chance = random.Random(3)
    outcomes = Counter()
    for _ in range(120):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 3, 20))):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        if chance.random() < 0.3:
            damaged = damaged[: chance.randrange(len(damaged))]
        path = tmp_path / name
        path.write_bytes(damaged)
        try:
            read_scoring(path)
            outcomes["read"] += 1
        except ScoringError as error:
            outcomes["refused"] += 1
            outcomes["lines"] += 1 + str(error).count("\n")
    assert outcomes["refused"] > 0
    assert outcomes["lines"] == outcomes["refused"]
