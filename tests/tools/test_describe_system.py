"""Descriptions: model text and measured values apart, aggregated over the scope."""

from __future__ import annotations

from typing import Any

import pytest

from sleeplm.errors import WeightsError
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
    sources = {fact.kind: fact.source for fact in message.artifact.evidence}
    assert sources == {"caption": "model", "quantity": "measured"}


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
