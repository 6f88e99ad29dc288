"""Parts of a night in words, against what a reader would understand."""

from __future__ import annotations

from typing import Any

import pytest

from agent.time_expressions import NightSpan, read_time

SPAN = NightSpan(960, "22:30:00", "06:30:00")


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("describe the brain at 02:30", {"clock_from": "02:30", "clock_to": "02:30"}),
        ("any apneas after 3 am", {"clock_from": "03:00"}),
        ("between 1 and 2:30", {"clock_from": "01:00", "clock_to": "02:30"}),
        ("between 11 pm and 1 am", {"clock_from": "23:00", "clock_to": "01:00"}),
        ("around 3", {"clock_from": "02:55", "clock_to": "03:05"}),
        ("before 11", {"clock_to": "23:00"}),
        ("at 12", {"clock_from": "00:00", "clock_to": "00:00"}),
        ("before midnight", {"clock_to": "00:00"}),
        ("half past two", {"clock_from": "02:30", "clock_to": "02:30"}),
        ("at three o'clock", {"clock_from": "03:00", "clock_to": "03:00"}),
        ("epoch 120", {"epochs": [120, 120]}),
        ("around epoch 120", {"epochs": [118, 122]}),
        ("epochs 100-110", {"epochs": [100, 110]}),
        ("in the first half of the night", {"part": "first_half"}),
        ("the last hour", {"part": "last_hour"}),
        ("the first third", {"part": "first_third"}),
        ("the last two hours", {"epochs": [721, 960]}),
        ("the first 30 minutes", {"epochs": [1, 60]}),
        ("the middle of the night", {"epochs": [321, 640]}),
        ("during n3", {"stage": "N3"}),
        ("in deep sleep", {"stage": "N3"}),
        ("in nrem", {"stage": "NREM"}),
        ("in rem after 4 am", {"clock_from": "04:00", "stage": "R"}),
        ("on his back", {"position": "supine"}),
        ("on the left side in rem", {"stage": "R", "position": "left"}),
        ("how many apneas longer than 30 seconds", {}),
        ("desaturations below 85 %", {}),
        ("the rem latency", {}),
    ],
)
def test_a_part_of_the_night_is_read_as_it_is_meant(text: str, when: dict[str, Any]) -> None:
    assert read_time(text, SPAN).when == when


def test_an_hour_is_placed_in_the_recording_and_not_in_the_morning() -> None:
    day = NightSpan(600, "13:00:00", "18:00:00")
    assert read_time("at 3", day).when["clock_from"] == "15:00"
    assert read_time("at 3", SPAN).when["clock_from"] == "03:00"


def test_a_night_without_a_clock_takes_hours_as_of_a_night() -> None:
    unknown = NightSpan(960, "+00:00:00", "+08:00:00")
    assert read_time("at 11", unknown).when["clock_from"] == "23:00"
    assert read_time("at +01:30:00", unknown).when["clock_from"] == "+01:30:00"


def test_the_span_is_read_from_the_line_about_the_night() -> None:
    line = "Open night: night-12345678, 960 epochs of 30 s, from 22:30:00 to 06:30:00."
    assert NightSpan.from_prompt(f"Rules.\n\n{line}") == SPAN
    assert NightSpan.from_prompt("No night is open.") is None
