"""Parts of the night: ranges, clock times over midnight, stages, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sleeplm.night import Night
from tools.facts import NightFacts
from tools.failures import CannotAnswer, TryAgain
from tools.session import Session
from tools.when import When, resolve


def epochs(night: Night, **fields: Any) -> tuple[int, int, int]:
    """First and last epoch number in scope, and how many."""
    scope = NightFacts.of(Session.of(night)).scope(When(**fields))
    return scope.epochs[0] + 1, scope.epochs[-1] + 1, len(scope.epochs)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"epochs": [21, 40]}, (21, 40, 20)),
        ({"epochs": 7}, (7, 7, 1)),
        ({"epochs": "100-110"}, (100, 110, 11)),
        # The recording runs from 23:00:00 to 01:00:00.
        ({"clock_from": "23:30", "clock_to": "00:30"}, (61, 180, 120)),
        ({"clock_from": "00:30"}, (181, 240, 60)),
        ({"clock_to": "23:10:30"}, (1, 21, 21)),
        ({"clock_from": "22:00", "clock_to": "23:05"}, (1, 10, 10)),
        ({"clock_from": "20:00"}, (1, 240, 240)),
        ({"clock_to": "07:00"}, (1, 240, 240)),
        ({"clock_from": "11 pm", "clock_to": "12 am"}, (1, 120, 120)),
        ({"clock_from": "+00:10:00", "clock_to": "+00:20:00"}, (21, 40, 20)),
        ({"clock_from": "00:00:10", "clock_to": "00:00:10"}, (121, 121, 1)),
        ({"part": "first_half"}, (1, 120, 120)),
        ({"part": "second_half"}, (121, 240, 120)),
        ({"part": "first_third"}, (1, 80, 80)),
        ({"part": "last_third"}, (161, 240, 80)),
        ({"part": "first_hour"}, (1, 120, 120)),
        ({"part": "last_hour"}, (121, 240, 120)),
        ({"stage": "R"}, (141, 180, 40)),
        ({"stage": "sleep"}, (21, 220, 200)),
        ({"stage": "rem", "clock_from": ""}, (141, 180, 40)),
        ({"stage": "n3", "position": "back"}, (101, 120, 20)),
        ({"stage": "NREM", "part": "second_half"}, (121, 220, 60)),
        ({"position": "left", "stage": "N3"}, (121, 140, 20)),
        ({}, (1, 240, 240)),
    ],
)
def test_parts_resolve_to_epochs(
    night: Night, fields: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    assert epochs(night, **fields) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"epochs": [230, 241]},
        {"epochs": [0, 3]},
        {"epochs": [9, 3]},
        {"clock_from": "03:00", "clock_to": "04:00"},
        {"clock_from": "08:00"},
        {"clock_from": "25:00"},
        {"clock_to": "midnight"},
        {"epochs": [1, 10], "part": "second_half"},
    ],
)
def test_a_part_outside_the_night_is_refused_with_the_allowed_range(
    night: Night, fields: dict[str, Any]
) -> None:
    with pytest.raises(TryAgain, match=r"1 to 240"):
        epochs(night, **fields)


def test_clock_times_of_a_night_without_a_start_are_refused(hand_made: Any) -> None:
    timeless = hand_made.night(hand_made.scoring(start=None), start=None)
    with pytest.raises(TryAgain, match=r"start time of this recording is unknown.*\+00:00:00"):
        epochs(timeless, clock_from="23:30")
    assert epochs(timeless, clock_from="+01:00:00") == (121, 240, 120)


def test_a_stage_that_does_not_occur_is_a_false_premise_for_the_user(night: Night) -> None:
    with pytest.raises(CannotAnswer, match="no N1"):
        epochs(night, stage="N1")
    with pytest.raises(CannotAnswer, match="no REM in epochs 181-240"):
        epochs(night, stage="R", clock_from="00:30")


def test_positions_that_were_not_recorded_cannot_be_asked_for(hand_made: Any) -> None:
    night = hand_made.night(hand_made.scoring(), SPO2=hand_made.signals()["SPO2"])
    with pytest.raises(CannotAnswer, match="position was not recorded"):
        epochs(night, position="supine")


def test_an_object_written_as_text_is_read() -> None:
    assert When.model_validate('{"epochs": ["3", "9"]}').epochs == [3, 9]
    with pytest.raises(ValidationError):
        When.model_validate("tonight")


def test_rem_periods_join_short_breaks_and_are_counted_from_one(hand_made: Any) -> None:
    # REM in epochs 11-30, 41-50 (5 min of N2 between) and 101-120 (25 min between).
    stages = ["N2"] * 240
    for first, last in ((10, 30), (40, 50), (100, 120)):
        stages[first:last] = ["R"] * (last - first)
    night = hand_made.night(hand_made.scoring(stages=tuple(stages)))
    scoring = night.scoring_from("expert")

    def scope(number: int) -> list[int]:
        epochs = resolve(When(rem_period=number), night, scoring, [None] * 240).epochs
        return [epochs[0], epochs[-1]]

    assert scope(1) == [10, 49]
    assert scope(2) == [100, 119]
    with pytest.raises(CannotAnswer, match="no REM period 3: the expert scoring has 2"):
        scope(3)


def test_times_after_sleep_onset_count_from_the_first_sleep(hand_made: Any) -> None:
    night = hand_made.night(hand_made.scoring())
    scoring = night.scoring_from("expert")
    # Sleep begins in epoch index 20; 60 to 65 min later are indices 140 to 149.
    when = When(after_sleep_onset_min=[60, 65])
    assert resolve(when, night, scoring, [None] * 240).epochs == list(range(140, 150))


def test_the_epochs_before_events_hold_none_of_them(hand_made: Any) -> None:
    night = hand_made.night(hand_made.scoring())
    scoring = night.scoring_from("expert")
    # Hypopneas begin at 1500 s (index 50) and 5500 s (index 183).
    found = resolve(When(before_event="hypopnea"), night, scoring, [None] * 240)
    assert found.epochs == [49, 182]
    with pytest.raises(TryAgain, match="must name scored events"):
        resolve(When(before_event="thunder"), night, scoring, [None] * 240)
