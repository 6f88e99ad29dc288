"""Guards: the same call twice, time, memory on disk, and events that are denied."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from agent import Orchestrator
from agent.grounding import Facts, marked, unverified_in
from agent.guards import ASKED_ALREADY, OUT_OF_TIME, TimeBudgetMiddleware
from sleeplm.errors import QueryError
from tools.session import Session


class Scripted(FakeMessagesListChatModel):
    """Says what it is told to say, and accepts any tools."""

    def bind_tools(self, tools: Any, **options: Any) -> Scripted:
        return self


def calling(number: int, query: str = "apnea") -> AIMessage:
    call = {"name": "locate_events", "args": {"query": query}, "id": f"c{number}"}
    return AIMessage("", tool_calls=[call])


def test_a_call_that_was_made_already_is_not_made_again(session: Session) -> None:
    script = [calling(1), calling(2), calling(3, "arousal"), AIMessage("Done.")]
    orchestrator = Orchestrator(Scripted(responses=script))
    events = list(orchestrator.stream("How many?", session))
    finished = [event for event in events if type(event).__name__ == "ToolFinished"]
    assert [event.error is None for event in finished] == [True, False, True]
    assert finished[1].text == ASKED_ALREADY
    assert len(events[-1].answer.artifacts) == 2


def test_the_same_call_for_the_next_question_is_made(session: Session) -> None:
    script = [calling(1), AIMessage("Done."), calling(2), AIMessage("Done.")]
    orchestrator = Orchestrator(Scripted(responses=script))
    orchestrator.ask("How many?", session)
    assert len(orchestrator.ask("Again, please: how many?", session).artifacts) == 1


def test_no_turn_begins_after_the_time_is_up() -> None:
    guard = TimeBudgetMiddleware(budget_s=0.0)
    started = guard.before_agent({"messages": []}, None)  # type: ignore[arg-type]
    ended = guard.before_model({"messages": [], **started}, None)  # type: ignore[arg-type, typeddict-item]
    assert ended is not None
    assert ended["jump_to"] == "end"
    assert ended["messages"][0].content == OUT_OF_TIME
    patient = TimeBudgetMiddleware(budget_s=60.0)
    assert patient.before_model({"messages": [], **started}, None) is None  # type: ignore[arg-type, typeddict-item]


def test_a_conversation_goes_on_after_a_restart(session: Session, tmp_path: Path) -> None:
    file = tmp_path / "talk" / "memory.sqlite"
    Orchestrator(memory=file).ask("How many obstructive apneas were there?", session)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = Orchestrator(memory=file).ask("and in REM?", session)
    assert again.tool_calls[0].args == {
        "query": "obstructive apnea",
        "when": {"stage": "R"},
        "limit": 20,
    }
    assert again.unverified == []


def test_a_memory_that_cannot_be_opened_is_told_in_one_line(
    session: Session, tmp_path: Path
) -> None:
    with pytest.raises(QueryError, match="cannot be kept there"):
        Orchestrator(memory=tmp_path).ask("How was the night?", session)


def facts_of(**result: Any) -> Facts:
    artifact = {"tool": "locate_events", "query": "", "total": 0, "by_kind": {}, **result}
    message = ToolMessage("", tool_call_id="1", artifact=artifact, id=None)
    return Facts.of([HumanMessage("How many?"), message])


def test_a_denial_that_no_tool_made_is_marked() -> None:
    some = facts_of(kinds=["central_apnea"], total=4, by_kind={"central_apnea": 4})
    text = "There were no central apneas in this night."
    assert marked(text, some) == "There were no central apneas (unverified) in this night."
    none = facts_of(kinds=["central_apnea"])
    assert unverified_in(text, none) == []


def test_a_denial_of_another_kind_is_no_ground() -> None:
    none = facts_of(kinds=["central_apnea"])
    assert unverified_in("There were no hypopneas.", none)
    assert unverified_in("There was no problem with the night.", none) == []


def test_a_kind_that_is_missing_from_a_mixed_list_was_counted_as_none() -> None:
    mixed = facts_of(kinds=["central_apnea", "hypopnea"], total=3, by_kind={"hypopnea": 3})
    assert unverified_in("There were no central apneas.", mixed) == []
    assert unverified_in("There were no hypopneas.", mixed)
