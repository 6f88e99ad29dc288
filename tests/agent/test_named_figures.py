"""A true number under another name is marked like an invented one."""

from __future__ import annotations

import pytest
from langchain_core.messages import HumanMessage, ToolMessage

from agent.grounding import Facts, unverified_in
from tools.arguments import LocateArguments, SummarizeArguments
from tools.locate import locate
from tools.session import Session
from tools.summarize import summarize_session


@pytest.fixture
def facts(session: Session) -> Facts:
    """What a report and a list of obstructive apneas state."""
    report = summarize_session(session, SummarizeArguments())
    events = locate(session, LocateArguments(query="obstructive apnea"))
    return Facts.of(
        [
            HumanMessage("Is the AHI 20?"),
            ToolMessage(report.text, artifact=report, tool_call_id="1", id="named-1"),
            ToolMessage(events.text, artifact=events, tool_call_id="2", id="named-2"),
        ]
    )


def wrong_in(text: str, facts: Facts) -> list[str]:
    return [found for found, _, _ in unverified_in(text, facts)]


def test_a_figure_must_have_its_own_value(facts: Facts, session: Session) -> None:
    summary = session.night.summary()
    ahi, index = summary.ahi.value, summary.arousal_index.value
    assert round(ahi, 1) != round(index, 1)
    assert wrong_in(f"The AHI was {ahi:.1f}/h.", facts) == []
    assert wrong_in(f"The arousal index was {index:.1f}/h.", facts) == []
    assert wrong_in(f"The AHI was {index:.1f}/h.", facts) == [f"{index:.1f}/h"]
    assert wrong_in("The AHI was 2.", facts) == ["2"]


def test_what_the_user_supposed_is_no_proof(facts: Facts) -> None:
    assert wrong_in("Yes, the AHI is 20/h.", facts) == ["20/h"]
    assert wrong_in("You asked about 20.", facts) == []


def test_a_count_belongs_to_its_kind(facts: Facts, session: Session) -> None:
    scoring = session.scored()
    obstructive = len(scoring.events_of("obstructive_apnea"))
    hypopneas = len(scoring.events_of("hypopnea"))
    assert obstructive != hypopneas
    assert wrong_in(f"There were {obstructive} obstructive apneas.", facts) == []
    assert wrong_in(f"There were {hypopneas} obstructive apneas.", facts) == [str(hypopneas)]


def test_a_stage_has_its_own_minutes(facts: Facts, session: Session) -> None:
    minutes = session.night.summary().stage_minutes
    n2, n3 = minutes["N2"].value, minutes["N3"].value
    assert wrong_in(f"By stage: N2 {n2:.1f} min.", facts) == []
    assert wrong_in(f"By stage: N3 {n2:.1f} min.", facts) == ([f"{n2:.1f} min"] if n2 != n3 else [])


def test_a_limit_and_a_definition_are_no_values(facts: Facts) -> None:
    assert wrong_in("An AHI of 5 to 15 is called mild.", facts) in ([], ["15"])
    assert wrong_in("The AHI is above 5/h.", facts) in ([], ["5/h"])


def test_events_are_whole_so_a_broken_number_of_them_is_a_rate(
    facts: Facts, session: Session
) -> None:
    ahi = session.night.summary().ahi.value
    assert wrong_in(f"{ahi:.1f} breathing events an hour", facts) == []
    nadir = session.night.summary().spo2_nadir.value
    assert wrong_in(f"It fell to {nadir:.1f} %.", facts) == []
    assert wrong_in(f"It had {nadir:.1f} apneas.", facts) == [f"{nadir:.1f}"]
