"""The report's text states the summary's own numbers with unit and source."""

from __future__ import annotations

from typing import Any

import pytest

from sleeplm.scoring import Event
from sleeplm.summary import NightSummary
from tools.session import Session


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
