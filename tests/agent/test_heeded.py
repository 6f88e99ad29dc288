"""What of a question a reading leaves out is told, and what it takes up is not."""

from __future__ import annotations

from typing import Any

import pytest

from agent.intents import Intent, understand
from agent.time_expressions import NightSpan

SPAN = NightSpan(240, "22:00:00", "00:00:00")


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("How many isolated apneas were there?", "isolated"),
        ("How many consecutive hypopneas were there?", "consecutive"),
        ("arousals per minute", "per minute"),
        ("what percentage of the apneas were central", "percentage"),
    ],
)
def test_a_word_that_changes_the_question_and_is_not_used_is_told(question: str, word: str) -> None:
    assert word in understand(question, None, SPAN)[0].not_heeded


@pytest.mark.parametrize(
    "question",
    [
        "What is the AHI?", "How many apneas longer than 20 s?", "apneas after midnight",
        "How many desaturations below 85 %?", "time in N2", "AHI by the 4 % rule", "T90",
        "the five longest apneas", "hypopneas between 22:30 and 23:15", "REM latency",
        "arousals without an apnea", "AHI without the first hour", "ODI 3 %",
        "apneas in the second REM period", "stage 2 apneas", "mean duration of the hypopneas",
    ],
)  # fmt: skip
def test_what_is_taken_up_is_not_said_to_be_left_out(question: str) -> None:
    requests = understand(question, None, SPAN)
    assert requests[0].intent is not Intent.UNKNOWN
    assert requests[0].not_heeded == ()


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("how bad is the OSA", {"quantities": ("ahi",)}),
        ("average apnea duration", {"statistic": "mean"}),
        ("how long do the hypopneas last", {"statistic": "mean", "picks": ""}),
        ("total time in apnea", {"statistic": "total"}),
        ("spontaneous arousals", {"query": "arousal"}),
        ("apneas with desaturation below 85%", {"max_nadir_pct": 85.0, "with_event": ""}),
        ("apneas that led to a desaturation of more than 4%", {"min_depth_pct": 4.0}),
        ("time on his stomach", {"quantities": ("position_minutes",), "focus": "prone"}),
        ("how many REM periods", {"intent": Intent.REM_PERIODS}),
        ("more hypopneas than obstructive apneas?", {"contrast": "kinds"}),
        ("apneas in N2 versus N3", {"contrast": "stages", "pair": ("N2", "N3")}),
        ("off his back, what is the AHI", {"quantities": ("ahi_nonsupine",)}),
        ("TST with lights off an hour earlier", {"suppose": {"lights_off_shift_min": -60.0}}),
        ("TST if lights on was 30 minutes earlier", {"suppose": {"lights_on": "+01:30"}}),
        ("hypopneas of 30 sec or longer", {"min_duration_s": 30.0}),
        ("Entsättigungen im ersten Drittel der Nacht", {"when": {"part": "first_third"}}),
        ("what's waking him up", {"intent": Intent.CAUSE}),
        ("My boss needs a number: AHI", {"quantities": ("ahi",)}),
    ],
)
def test_turns_of_phrase_reach_their_request(question: str, expected: dict[str, Any]) -> None:
    request = understand(question, None, SPAN)[0]
    assert {name: getattr(request, name) for name in expected} == expected


def test_a_saturation_limit_that_the_report_does_not_hold_is_said_so() -> None:
    request = understand("time below 88%", None, SPAN)[0]
    assert request.unapplied == "below 88"
    assert "t90" in request.quantities


def test_off_his_back_goes_on_from_the_index_before_it() -> None:
    before = understand("How bad is the OSA?", None, SPAN)[0]
    assert understand("And off his back?", before, SPAN)[0].quantities == ("ahi_nonsupine",)
