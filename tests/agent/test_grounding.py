"""What counts as a number that a tool has said."""

from __future__ import annotations

import pytest
from langchain_core.messages import HumanMessage, ToolMessage

from agent.grounding import Facts, marked, released, unverified_in
from tools.artifacts import EventList, FoundEvent

TOOL_TEXT = (
    "41 obstructive apneas [expert], 9.83 per hour of sleep. Longest 58.4 s at 02:14:30 "
    "(epoch 509, N2). SpO2 88-91 %. TST 412.5 min. ODI3 12.0/h. Severity: moderate "
    "sleep apnea. Heart 61 bpm."
)


@pytest.fixture
def facts() -> Facts:
    return Facts.of(
        [
            HumanMessage("Were there more than 30 apneas after 3 am?"),
            ToolMessage(TOOL_TEXT, tool_call_id="1", id="grounding-test-1"),
        ],
        "Open night: night-1a2b3c4d, 960 epochs of 30 s, from 22:30:00 to 06:30:00.",
    )


def wrong(text: str, facts: Facts) -> list[str]:
    return [found for found, _, _ in unverified_in(text, facts)]


@pytest.mark.parametrize(
    "text",
    [
        "There were 41 obstructive apneas, 9.8 per hour of sleep.",
        "Forty-one apneas.",
        "10 per hour, rounded.",
        "The longest lasted 58 s [epoch 509, 02:14:30], at about 02:14.",
        "SpO2 was between 88 and 91 %, that is 88–91 %.",
        "TST was 412.5 min, 6 h 53 min.",
        "More than 30, as you asked, and after 03:00.",
        "The night night-1a2b3c4d has 960 epochs and ends at 06:30.",
        "In N2 and N3, by rule 1A, ODI3, C3-A2: the 2nd of them.",
        "1. The first thing.\n2. The second thing.",
        "By the scoring this is moderate sleep apnea.",
    ],
)
def test_what_a_tool_the_user_or_the_night_has_said_passes(text: str, facts: Facts) -> None:
    assert wrong(text, facts) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("There were 42 apneas.", ["42"]),
        ("There were forty-two apneas.", ["forty-two"]),
        ("There were three arousals.", ["three"]),
        ("41 % of the night", ["41 %"]),
        ("41 bpm", ["41 bpm"]),
        ("There were 61 obstructive apneas.", ["61"]),
        ("sixty-one arousals", ["sixty-one"]),
        ("12 central apneas", ["12"]),
        ("9.9 per hour of sleep", ["9.9 per hour"]),
        ("The longest lasted 58.4 min.", ["58.4 min"]),
        ("at 02:15:30", ["02:15:30"]),
        ("in epoch 510", ["510"]),
        ("[epoch 509, 02:14:31]", ["02:14:31"]),
        ("epochs 509-512", ["512"]),
        ("SpO2 from 85 to 91 %", ["85"]),
        ("30 % of them", ["30 %"]),
        ("This is severe sleep apnea.", ["severe"]),
        ("7 h 10 min of sleep", ["7 h 10 min"]),
    ],
)
def test_what_nobody_has_said_is_found(text: str, expected: list[str], facts: Facts) -> None:
    assert wrong(text, facts) == expected


def test_marks_stand_behind_the_number_and_its_unit(facts: Facts) -> None:
    assert marked("AHI 22.0/h, 41 apneas, 43 arousals.", facts) == (
        "AHI 22.0/h (unverified), 41 apneas, 43 (unverified) arousals."
    )


def test_a_growing_text_is_released_by_whole_sentences_up_to_the_first_false_one(
    facts: Facts,
) -> None:
    text = "There were 41 apneas. The longest lasted 59 s. They ended."
    assert released(text, facts) == "There were 41 apneas. "
    assert released("There were 4", facts) == ""


def test_numbers_of_an_artifact_count_with_the_unit_of_their_field() -> None:
    event = FoundEvent(
        kind="hypopnea", source="expert", onset_s=7777.0, duration_s=33.4, epoch=260,
        clock="00:39:37", stage="N1", nadir_pct=81.5,
    )  # fmt: skip
    artifact = EventList(
        source="expert", night="night-00000000", text="", query="hypopnea", total=17, in_sleep=16,
        outside_sleep=1, sleep_hours=6.5, per_hour=2.46, events=[event],
    )  # fmt: skip
    facts = Facts.of([ToolMessage("", artifact=artifact, tool_call_id="1", id="grounding-test-2")])
    assert wrong("17 hypopneas, 2.5/h; one of 33.4 s fell to 81.5 % in epoch 260.", facts) == []
    assert wrong("33.4 % and 81.5 s", facts) == ["33.4 %", "81.5 s"]
    # Where an event lies is a place, not a quantity that an answer could be made of.
    assert wrong("7777 apneas", facts) == ["7777"]


def test_a_dumped_artifact_counts_as_the_artifact_does() -> None:
    dumped = {"tool": "summarize_night", "summary": {"t90": {"value": 4.5, "unit": "min"}}}
    facts = Facts.of([ToolMessage("", artifact=dumped, tool_call_id="1", id="grounding-test-3")])
    assert wrong("4.5 min below", facts) == []
    assert wrong("4.5 %", facts) == ["4.5 %"]


def test_a_clock_time_before_a_colon_is_a_place_and_no_number(facts: Facts) -> None:
    assert wrong("Lights off at 02:14:30: as cited.", facts) in ([], ["02:14:30"])
    assert wrong("Lights off at 02:14:31: not cited.", facts) == ["02:14:31"]
