"""Figures told by their concepts, whatever the order of the words, and what must not be read."""

from __future__ import annotations

import pytest

from agent.concepts import find_figure
from agent.intents import Intent, understand


@pytest.mark.parametrize(
    ("text", "name", "focus"),
    [
        ("minutes it took until he dozed off", "sleep_onset_latency", ""),
        ("until dozing off, how long in minutes", "sleep_onset_latency", ""),
        ("percentage of the night asleep", "sleep_efficiency", ""),
        ("wake minutes following sleep onset", "waso", ""),
        ("rem, total minutes", "stage_minutes", "R"),
        ("sws share", "stage_minutes", "N3"),
        ("saturation, lowest", "spo2_nadir", ""),
        ("first rem: latency", "rem_latency", ""),
    ],
)
def test_the_order_of_the_words_does_not_matter(text: str, name: str, focus: str) -> None:
    figure = find_figure(text)
    assert figure is not None
    assert (figure.names, figure.focus) == ((name,), focus)


def test_an_index_is_limited_to_the_stage_and_position_that_are_named() -> None:
    figure = find_figure("arousal index in nrem")
    assert figure is not None
    assert figure.when == {"stage": "NREM"}
    figure = find_figure("ahi off his back")
    assert figure is not None
    assert figure.names == ("ahi_nonsupine",)


@pytest.mark.parametrize(
    "text",
    [
        "how many minutes was he not asleep",
        "sleep time in lane 4 of the motorway",
        "how long does the battery of the pulse meter last",
        "",
    ],
)
def test_what_is_mostly_unexplained_or_negated_is_no_figure(text: str) -> None:
    assert find_figure(text) is None


@pytest.mark.parametrize(
    "question",
    [
        "what was the AHI of the patient in room 4",
        "Compare him with my previous patient",
        "AHI of Mrs. Miller?",
        "what was the sleep efficiency last year",
        "how many apneas does his wife have",
    ],
)
def test_other_people_and_other_times_are_turned_away(question: str) -> None:
    assert [request.intent for request in understand(question)] == [Intent.ELSEWHERE]


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("slep effcieny", "sleep_efficiency"),
        ("apnea index", "apnea_index"),
        ("AHI without hypopneas", "apnea_index"),
        ("Einschlaflatenz?", "sleep_onset_latency"),
        ("niedrigste Sauerstoffsättigung", "spo2_nadir"),
        ("¿Cuánto durmió el paciente?", "tst"),
        ("latencia REM", "rem_latency"),
    ],
)
def test_slips_german_and_spanish_reach_the_figure(question: str, name: str) -> None:
    request = understand(question)[0]
    assert request.intent is Intent.QUANTITY
    assert request.quantities == (name,)
