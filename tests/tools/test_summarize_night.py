"""The report's text states the summary's own numbers with unit and source."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sleeplm.scoring import Event, Scorer
from sleeplm.summary import NightSummary, Quantity
from tools.session import Session
from tools.suppose import severity_margin


def test_sections_state_numbers_counted_by_hand(ask: Any) -> None:
    message = ask("summarize_night", sections=["sleep", "stages", "respiratory"])
    text = message.content
    assert "100.0 min" in text  # 200 sleep epochs
    assert "sleep efficiency 83.3 %" in text  # of 120 min
    assert "N3 20.0 min" in text
    # 8 apneas and hypopneas, 7 of them touch sleep, in 100 minutes.
    assert "AHI, apneas + hypopneas as scored 4.2/h" in text
    assert "Oximetry" not in text
    assert message.artifact.sections == ["sleep", "stages", "respiratory"]


def test_the_artifact_holds_the_whole_summary(ask: Any) -> None:
    found = ask("summarize_night", sections=["cardiac"]).artifact
    assert isinstance(found.summary, NightSummary)
    assert found.summary.ahi.value == pytest.approx(7 / (100 / 60), abs=0.01)
    assert {fact.field for fact in found.evidence} >= {"hr_mean", "hr_min", "hr_max"}


def test_without_sections_the_report_is_complete(ask: Any) -> None:
    found = ask("summarize_night").artifact
    assert list(found.section_texts) == [
        "recording",
        "sleep",
        "stages",
        "respiratory",
        "oximetry",
        "arousals",
        "cardiac",
        "movement",
        "position",
    ]
    assert "supine 50.0 min" in found.section_texts["position"]
    assert "by the expert scoring" in found.text


def test_what_is_not_known_is_named_with_its_reason(hand_made: Any) -> None:
    scoring = hand_made.scoring(stages=("N2",) * 240, events=())
    night = hand_made.night(scoring, HR=hand_made.signals()["HR"])
    found = hand_made.call(Session.of(night), "summarize_night").artifact
    assert "Not known" in found.section_texts["oximetry"]
    assert "no SpO2" in found.section_texts["oximetry"]
    assert "REM latency" in found.section_texts["sleep"].partition("Not known")[2]
    assert not [fact for fact in found.evidence if fact.field == "spo2_nadir"]


def test_remarks_on_the_night_come_with_their_rule(hand_made: Any) -> None:
    # Ten hypopneas in 50 min of supine sleep (12/h), none in 50 min on the left side.
    events = tuple(Event("hypopnea", 700.0 + 200 * i, 20.0) for i in range(10))
    session = Session.of(hand_made.night(hand_made.scoring(events=events)))
    found = hand_made.call(session, "summarize_night", sections=["respiratory"]).artifact
    assert "supine" in found.section_texts["insights"]
    assert any(fact.field == "insight.positional" for fact in found.evidence)
    other = hand_made.call(session, "summarize_night", sections=["cardiac"]).artifact
    assert "insights" not in other.section_texts


def test_kinds_that_the_model_does_not_read_are_not_reported_as_none(hand_made: Any) -> None:
    signals = {name: hand_made.signals()["SPO2"] for name in ("EEG_C3_A2", "AF", "THX")}
    session = Session.of(hand_made.night(None, **signals))
    found = hand_made.call(session, "summarize_night", sections=["movement"]).artifact
    assert found.summary.plm_index.value is None
    assert found.summary.event_counts["plm"].value is None
    assert not found.evidence


def test_another_lights_off_moves_the_latency_and_leaves_the_events(ask: Any) -> None:
    found = ask("summarize_night", lights_off="23:05").artifact
    # Sleep begins at 23:10:00; the apnea in wake before 23:05 counted nowhere anyway.
    assert found.summary.sleep_onset_latency.value == pytest.approx(5.0)
    assert found.summary.ahi.value == pytest.approx(7 / (100 / 60), abs=0.01)
    assert found.supposed == ["lights off at 23:05:00"]
    assert found.text.startswith("What if: lights off at 23:05:00.")
    assert all("supposing lights off" in fact.text for fact in found.evidence)


def test_a_part_left_out_is_in_no_count_and_no_denominator(ask: Any) -> None:
    found = ask("summarize_night", leave_out={"stage": "N3"}).artifact
    # 200 sleep epochs less 40 of N3; one of the seven events in sleep begins in N3.
    assert found.summary.tst.value == pytest.approx(80.0)
    assert found.summary.ahi.value == pytest.approx(6 / (80 / 60), abs=0.01)
    assert found.as_it_is["ahi"] == pytest.approx(4.2, abs=0.01)
    assert "As it is, without the supposition: AHI 4.2/h [expert]" in found.text


def test_a_supposition_outside_the_night_is_sent_back(ask: Any) -> None:
    message = ask("summarize_night", lights_off="14:00")
    assert message.artifact.error == "try_again"
    assert "the recording runs from 23:00:00" in message.content


def test_how_far_the_class_is_from_the_next_is_counted(ask: Any) -> None:
    # 7 events in 100 min of sleep are 4.2/h; 9 would be 5.4/h, 8 are 4.8/h: two more.
    text = ask("summarize_night", sections=["respiratory"]).content
    assert "7 events in 1.67 h of sleep: 2 more would make it mild" in text


@pytest.mark.parametrize(
    ("count", "sentence"),
    [
        # 1.5 h: 23 events are 15.33/h (moderate); 22 are 14.67/h (mild); 45 are 30/h (severe).
        (23, "1 fewer breathing events would make it mild and 22 more would make it severe"),
        # 45 events are 30.0/h, which is severe: one fewer makes it moderate.
        (45, "1 fewer breathing events would make it moderate"),
        # 15.0/h is moderate already, as the bound is no part of the milder band.
        (8, "1 fewer breathing events would make it none and 15 more would make it moderate"),
    ],
)
def test_the_margin_of_a_class_is_exact_at_its_bounds(count: int, sentence: str) -> None:
    ahi = Quantity(value=count / 1.5, unit="/h", source="expert")
    assert sentence in str(severity_margin(ahi, 90.0))


def test_another_scoring_that_changes_the_class_is_named(hand_made: Any) -> None:
    night = hand_made.night(hand_made.scoring())
    night.recording.signals["EEG_C3_A2"] = np.zeros_like(night.recording.signals["SPO2"])
    more = tuple(Event("hypopnea", 700.0 + 100 * n, 15.0) for n in range(30))
    night._kept["automatic_scoring"] = hand_made.scoring(
        scorer=Scorer("automatic", "another"), events=more
    )
    found = hand_made.call(Session.of(night), "summarize_night").artifact
    assert found.others["automatic"]["ahi"] == pytest.approx(30 / (100 / 60), abs=0.01)
    assert (
        "By the automatic scoring the AHI is 18.0/h, which is called moderate and not none"
        in found.text
    )


def test_remarks_name_the_epochs_to_look_at_and_what_could_not_be_judged(hand_made: Any) -> None:
    events = tuple(Event("hypopnea", 700.0 + 200 * i, 20.0) for i in range(10))
    session = Session.of(hand_made.night(hand_made.scoring(events=events)))
    found = hand_made.call(session, "summarize_night", sections=["insights"]).artifact
    # Supine is epochs 1-120, sleep begins in epoch 21.
    assert "[see epochs 21-120, from 23:10:00]" in found.section_texts["insights"]
    placed = [fact for fact in found.evidence if fact.field == "insight.positional"]
    assert [(fact.epoch, fact.onset_s, fact.clock) for fact in placed] == [(21, 600.0, "23:10:00")]
    assert "hr response" in found.section_texts["not_judged"]
    assert "rem related (only 20.0 min of REM sleep" in found.section_texts["not_judged"]
    assert set(found.section_texts) == {"insights", "not_judged"}
    # Asked for sleep alone, only what is remarkable is added.
    short = hand_made.call(session, "summarize_night", sections=["sleep"]).artifact
    assert "not_judged" not in short.section_texts


def test_each_field_of_a_section_has_its_formula_and_source(ask: Any) -> None:
    found = ask("summarize_night", sections=["respiratory", "sleep"]).artifact
    assert found.formulas["ahi_1b"] == (
        "apneas and hypopneas with ≥ 4 % desaturation / h of sleep (AASM Manual for the Scoring of "
        "Sleep and Associated Events, rule 1B)"
    )
    paths = {fact.field.partition(".")[0] for fact in found.evidence if "insight" not in fact.field}
    assert paths <= {*found.formulas, *(event.kind for event in found.margin_events)}
