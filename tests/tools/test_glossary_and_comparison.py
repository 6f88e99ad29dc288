"""Definitions from the glossary, and two nights side by side."""

from __future__ import annotations

from typing import Any

import pytest

from sleeplm.scoring import Event
from tools.glossary import entries, find_entry
from tools.session import Session


def test_every_entry_has_a_source_and_no_name_means_two_things() -> None:
    assert len(entries()) >= 60
    names = [name.lower() for entry in entries() for name in (entry.term, *entry.aliases)]
    assert len(names) == len(set(names))
    assert all(entry.source and entry.definition.endswith(".") for entry in entries())


@pytest.mark.parametrize(
    ("words", "term"),
    [
        ("AHI", "AHI"),
        ("a hypopnea", "hypopnea"),
        ("hypopneas", "hypopnea"),
        ("the 4 % rule", "rule 1B"),
        ("K complex", "K-complex"),
        ("deep sleep", "N3"),
        ("sleep spindles", "sleep spindle"),
    ],
)
def test_terms_are_found_by_their_names(words: str, term: str) -> None:
    entry = find_entry(words)
    assert entry is not None
    assert entry.term == term


def test_a_definition_names_its_source(ask: Any) -> None:
    message = ask("explain_term", term="WASO")
    assert message.content.startswith("WASO: Minutes of wake between sleep onset and lights on.")
    assert "AASM Manual" in message.content
    assert message.artifact.evidence[0].kind == "definition"


def test_a_term_that_is_not_held_is_not_made_up(ask: Any) -> None:
    message = ask("explain_term", term="hypopnae")
    assert message.artifact.error == "try_again"
    assert "hypopnea" in message.content
    assert ask("explain_term", term="flux capacitor").artifact.error == "try_again"


def test_two_nights_are_compared_with_the_direction_of_change(hand_made: Any) -> None:
    first = hand_made.night(hand_made.scoring())
    signals = hand_made.signals()
    signals["HR"] = signals["HR"] + 10
    calm = hand_made.scoring(events=(Event("hypopnea", 1500.0, 40.0),))
    second = hand_made.night(calm, **signals)
    session = Session({first.id: first, second.id: second}, first.id)
    found = hand_made.call(session, "compare_nights").artifact
    figures = {figure.field: figure for figure in found.figures}
    # 7 against 1 breathing event in 100 min of sleep: 4.2 and 0.6 per hour.
    ahi = figures["ahi"]
    assert (ahi.first, ahi.second) == (pytest.approx(4.2), pytest.approx(0.6))
    assert (ahi.difference, ahi.direction) == (pytest.approx(-3.6), "lower")
    assert (figures["tst"].direction, figures["hr_mean"].direction) == ("same", "higher")
    assert "AHI as scored: 4.2/h [expert] and 0.6/h [expert], lower in the second by 3.6/h" in (
        found.text
    )


def test_one_open_night_has_nothing_to_be_compared_with(ask: Any) -> None:
    message = ask("compare_nights")
    assert message.artifact.error == "cannot"
    assert "only one night is open" in message.content


def test_a_night_that_is_not_open_is_not_found(hand_made: Any) -> None:
    first = hand_made.night(hand_made.scoring())
    session = Session({first.id: first, "night-00000001": first}, first.id)
    message = hand_made.call(session, "compare_nights", other="night-99999999")
    assert message.artifact.error == "try_again"
    assert "night-00000001" in message.content
