"""Descriptions: model text and measured values apart, aggregated over the scope."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sleeplm.errors import WeightsError
from sleeplm.scoring import Event, Scorer
from tools.artifacts import Description
from tools.session import Session


def field(found: Description, name: str) -> Any:
    return next(measured for measured in found.measured if measured.field == name)


def test_measured_values_are_medians_ranges_and_trends_over_the_scope(ask: Any) -> None:
    message = ask("describe_system", system="cardiac")
    pulse = field(message.artifact, "hr_mean_bpm")
    # The pulse rises evenly from 60 to 72 over 240 epochs.
    assert pulse.median == pytest.approx(66.0, abs=0.05)
    assert (pulse.low, pulse.lowest_epoch) == (pytest.approx(60.0, abs=0.05), 1)
    assert (pulse.high, pulse.highest_epoch) == (pytest.approx(72.0, abs=0.05), 240)
    assert pulse.first_third == pytest.approx(62.0, abs=0.1)
    assert pulse.last_third == pytest.approx(70.0, abs=0.1)
    assert pulse.trend == "rising"
    assert "lowest 60.0 bpm (epoch 1, 23:00:00)" in message.content
    assert "highest 72.0 bpm (epoch 240, 00:59:30)" in message.content


def test_a_steady_value_has_no_direction(ask: Any) -> None:
    found = ask("describe_system", system="respiratory", when={"epochs": [1, 100]}).artifact
    assert field(found, "spo2_mean_pct").trend == "steady"


def test_a_long_scope_is_represented_by_three_captions(ask: Any) -> None:
    found = ask("describe_system", system="cardiac", when={"stage": "N2"}).artifact
    assert len(found.captions) == 3
    assert {caption.stage for caption in found.captions} == {"N2"}
    for caption in found.captions:
        assert caption.text == f"cardiac words on index {caption.epoch - 1}"


def test_a_short_scope_is_described_epoch_by_epoch(ask: Any) -> None:
    message = ask("describe_system", system="cardiac", when={"epochs": [100, 102]})
    assert [caption.epoch for caption in message.artifact.captions] == [100, 101, 102]
    assert "cardiac words on index 99" in message.content


def test_model_text_and_measured_values_are_named_apart(ask: Any) -> None:
    message = ask("describe_system", system="cardiac", when={"epochs": [50, 50]})
    measured, _, words = message.content.partition("The model's own words")
    assert "[measured, epoch 50, 23:24:30]" in measured
    assert "[model]" in words
    assert "[measured" not in words
    sources = {(fact.kind, fact.source) for fact in message.artifact.evidence}
    assert sources == {("caption", "model"), ("quantity", "measured"), ("quantity", "expert")}


def test_stages_and_events_are_those_of_the_scoring(ask: Any) -> None:
    message = ask("describe_system", system="stage_event", when={"part": "second_half"})
    found = message.artifact
    # Epochs 121-240: 20 of N3, 40 of R, 40 of N2, 20 of W.
    assert {share.name: share.minutes for share in found.shares} == {
        "N3": 10.0,
        "R": 20.0,
        "N2": 20.0,
        "W": 10.0,
    }
    assert found.shares_source == "expert"
    assert "Events that begin here [expert]: 1 obstructive apnea, 1 hypopnea" in message.content


def test_body_position_is_measured(ask: Any) -> None:
    found = ask("describe_system", system="somatic").artifact
    assert {share.name: share.percent for share in found.shares} == {"supine": 50.0, "left": 50.0}
    assert found.missing == ["EMG_CHIN"]


def test_a_system_without_any_channel_cannot_be_described(ask: Any) -> None:
    message = ask("describe_system", system="brain")
    assert message.status == "error"
    assert message.artifact.error == "cannot"
    assert "EEG_C3_A2" in message.content


def test_only_the_epochs_shown_cost_a_caption(hand_made: Any) -> None:
    night = hand_made.night(hand_made.scoring())
    hand_made.call(Session.of(night), "describe_system", system="cardiac")
    assert len(night.model.captioned) == 3


def test_measurements_are_told_when_the_model_cannot_write(
    ask: Any, night: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise WeightsError("no weights; train them")

    monkeypatch.setattr(type(night), "captions", fail)
    message = ask("describe_system", system="cardiac")
    assert field(message.artifact, "hr_mean_bpm").median == pytest.approx(66.0, abs=0.05)
    assert message.artifact.captions == []
    assert "own words are not available" in message.content


def test_what_was_scored_stands_beside_what_was_measured(ask: Any) -> None:
    message = ask("describe_system", system="respiratory", when={"epochs": [181, 200]})
    (view,) = message.artifact.scored
    # Epochs 181-200 are N2 by hand and hold the hypopnea at 5500 s, and no desaturation.
    assert view.source == "expert"
    assert {share.name: share.minutes for share in view.stages} == {"N2": 10.0}
    assert (view.counts["hypopnea"], view.counts["obstructive_apnea"]) == (1, 0)
    line = "Scored for the same epochs [expert]: stages N2 10.0 min (100.0 %); 1 hypopnea."
    assert line in message.content


def test_each_witness_at_hand_is_named_with_its_own_events(hand_made: Any) -> None:
    night = hand_made.night(hand_made.scoring())
    other = hand_made.scoring(
        scorer=Scorer("automatic", "another"),
        stages=("W",) * 20 + ("N1",) * 200 + ("W",) * 20,
        events=(Event("hypopnea", 5400.0, 20.0), Event("hypopnea", 5600.0, 20.0)),
    )
    night._kept["automatic_scoring"] = other
    night._automatic_failure = None
    night.recording.signals["EEG_C3_A2"] = np.zeros_like(night.recording.signals["SPO2"])
    message = hand_made.call(
        Session.of(night), "describe_system", system="respiratory", when={"epochs": [181, 200]}
    )
    found = {view.source: view.counts["hypopnea"] for view in message.artifact.scored}
    assert found == {"expert": 1, "automatic": 2}
    assert "[automatic]: stages N1 10.0 min (100.0 %); 2 hypopneas" in message.content
    assert "[expert] and [automatic] stage 20 of 20 epochs differently" in message.content


def test_no_scoring_is_made_for_a_description(
    hand_made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = hand_made.night(None)

    def fail(*_: Any) -> Any:
        raise AssertionError("a scoring was made")

    monkeypatch.setattr(type(night), "_model_scoring", fail)
    monkeypatch.setattr(type(night), "_automatic_scoring", fail)
    message = hand_made.call(Session.of(night), "describe_system", system="cardiac")
    assert message.artifact.scored == []
    assert message.artifact.captions[0].stage == "unscored"
    assert "No scoring is at hand" in message.content
    assert "median 66.0 bpm" in message.content


def test_a_question_by_stage_makes_the_scoring_that_it_needs(hand_made: Any) -> None:
    signals = {name: hand_made.signals()["SPO2"] for name in ("EEG_C3_A2", "AF", "THX", "SPO2")}
    session = Session.of(hand_made.night(None, **signals), scoring="model")
    message = hand_made.call(session, "describe_system", system="brain", when={"stage": "N2"})
    assert [view.source for view in message.artifact.scored] == ["model"]


def speaking(night: Any, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(night.model, "caption", lambda signals, system: [text] * len(signals))


def test_a_number_of_the_model_that_was_measured_otherwise_is_told(
    hand_made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = hand_made.night(hand_made.scoring())
    # The pulse of epoch 100 (index 99) is 60 + 12 * 99 / 239 = 65.0 bpm, its SpO2 96 %.
    speaking(night, "Heart rate: minimum 65.0 bpm, maximum 85.2 bpm, mean 64.1 bpm.", monkeypatch)
    message = hand_made.call(
        Session.of(night), "describe_system", system="cardiac", when={"epochs": [100, 100]}
    )
    (wrong,) = message.artifact.disagreements
    assert message.artifact.stated_numbers == 3
    assert (wrong.field, wrong.stated, wrong.found) == ("hr_max_bpm", "85.2 bpm", "65.0 bpm")
    assert wrong.against == "measured"
    assert "is 85.2 bpm by the model's words [model] but 65.0 bpm [measured]" in message.content


def test_numbers_of_the_model_that_fit_are_said_to_fit(
    hand_made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = hand_made.night(hand_made.scoring())
    speaking(night, "Heart rate: minimum 65.0 bpm, maximum 66.2 bpm, mean 64.1 bpm.", monkeypatch)
    message = hand_made.call(
        Session.of(night), "describe_system", system="cardiac", when={"epochs": [100, 100]}
    )
    assert message.artifact.disagreements == []
    assert "The 3 numbers in these words that can be checked agree" in message.content


def test_a_stage_or_event_of_the_model_that_no_scorer_saw_is_told(
    hand_made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = hand_made.night(hand_made.scoring())
    # Epoch 32 (930-960 s) is N2 by hand, with an arousal, a desaturation from 920 s on, and the
    # end of no apnea (900-930 s).
    speaking(night, "The stage of this epoch is REM Sleep. No event was detected.", monkeypatch)
    message = hand_made.call(
        Session.of(night), "describe_system", system="stage_event", when={"epochs": [32, 32]}
    )
    told = {(one.field, one.stated, one.found) for one in message.artifact.disagreements}
    assert told == {("stage", "R", "N2"), ("events", "no event", "arousal, desaturation")}


def test_outlying_epochs_are_named(hand_made: Any) -> None:
    pulse = hand_made.signals()["HR"].copy()
    pulse[59 * 1920 : 60 * 1920] = 140.0
    night = hand_made.night(hand_made.scoring(), HR=pulse)
    message = hand_made.call(Session.of(night), "describe_system", system="cardiac")
    found = field(message.artifact, "hr_mean_bpm")
    assert (found.n_outliers, found.outliers[0].epoch) == (1, 60)
    assert found.outliers[0].value == pytest.approx(140.0)
    assert "1 outlying epoch, the farthest 140.0 bpm (epoch 60" in message.content
