"""Whole questions to the offline planner and the real tools, on a simulated night with truth."""

from __future__ import annotations

import re
from typing import Any

import pytest

from agent import Answer, Finished, Orchestrator, Token, ToolStarted
from sleeplm.errors import QueryError
from sleeplm.scoring import RESPIRATORY_KINDS, SLEEP_STAGES
from tools.session import Session


@pytest.fixture(scope="module")
def orchestrator() -> Orchestrator:
    return Orchestrator()


@pytest.fixture
def ask(orchestrator: Orchestrator, session: Session, request: pytest.FixtureRequest) -> Any:
    """Ask in a thread of this test's own."""
    return lambda question: orchestrator.ask(question, session, request.node.name)


def names_of(answer: Answer) -> list[str]:
    return [call.name for call in answer.tool_calls]


def test_apneas_are_counted_as_in_the_truth_with_stage_source_and_citation(
    ask: Any, simulated: Any
) -> None:
    truth = simulated.scoring
    apneas = truth.events_of("obstructive_apnea")
    answer = ask("How many obstructive apneas were there, and in which stage?")
    assert f"{len(apneas)} obstructive apneas [expert]" in answer.answer
    stages = [truth.sleep_stage_of(event) for event in apneas]
    assert f"N2 {stages.count('N2')}" in answer.answer
    assert f"REM {stages.count('R')}" in answer.answer
    assert names_of(answer) == ["locate_events"]
    longest = max(apneas, key=lambda event: event.duration_s)
    assert f"[epoch {int(longest.onset_s // 30) + 1}, " in answer.answer
    assert answer.unverified == []


@pytest.mark.parametrize("witness", ["automatic", "model"])
def test_without_a_scoring_the_answer_says_whose_reading_it_is(
    orchestrator: Orchestrator, unscored_session: Session, witness: str
) -> None:
    unscored_session.scoring = witness
    for question in ("How many obstructive apneas were there?", "What is the AHI?"):
        answer = orchestrator.ask(question, unscored_session)
        assert f"[{witness}]" in answer.answer
        # Whose it is stands in words too: alone, or beside the scoring that would be preferred.
        assert "No scoring" in answer.answer or "The automatic scoring holds" in answer.answer
        assert "[expert]" not in answer.answer


def test_the_ahi_is_that_of_the_truth(ask: Any, simulated: Any) -> None:
    truth = simulated.scoring
    hours = sum(stage in SLEEP_STAGES for stage in truth.stages) * 30 / 3600
    in_sleep = [e for e in truth.events_of(RESPIRATORY_KINDS) if truth.in_sleep(e)]
    answer = ask("What is the AHI?")
    assert f"AHI was {len(in_sleep) / hours:.1f}/h [expert]" in answer.answer
    assert answer.unverified == []


def test_the_longest_apnea_is_named_with_its_place(ask: Any, simulated: Any) -> None:
    kinds = ("obstructive_apnea", "central_apnea", "mixed_apnea")
    longest = max(simulated.scoring.events_of(kinds), key=lambda event: event.duration_s)
    answer = ask("Where is the longest apnea?")
    assert f"lasted {longest.duration_s:.1f} s" in answer.answer
    assert f"[epoch {int(longest.onset_s // 30) + 1}, " in answer.answer


def test_the_lowest_oxygen_is_given_with_when(ask: Any) -> None:
    answer = ask("What was the lowest oxygen, and when?")
    assert re.search(r"lowest SpO2 was \d+\.\d % \[measured\].*\[epoch \d+, \d\d:", answer.answer)


@pytest.mark.parametrize(
    ("question", "tools", "words"),
    [
        ("What is the heart doing?", ["describe_system"], "bpm"),
        ("How was the night?", ["summarize_night"], "Total sleep time"),
        ("Describe the brain in N2", ["describe_system"], "SleepLM writes"),
        ("Compare REM and NREM", ["summarize_night"], "in REM"),
        ("Is it worse on his back?", ["summarize_night"], "supine"),
        ("Are there epochs like epoch 120?", ["find_similar"], "most similar"),
        ("Find K-complexes in N2", ["locate_events"], "searched for the words"),
        ("How many spindles are in N2?", ["locate_events"], "[measured]"),
        ("How much REM sleep was there?", ["summarize_night"], "of REM"),
        ("mean heart rate in N3", ["describe_system"], "in N3"),
        ("What is the AHI in the second half?", ["locate_events"], "second half"),
    ],
)
def test_each_kind_of_question_is_answered_from_its_tool(
    ask: Any, question: str, tools: list[str], words: str
) -> None:
    answer = ask(question)
    assert names_of(answer) == tools
    assert words in answer.answer
    assert answer.unverified == []
    assert answer.evidence
    assert len(answer.artifacts) == len(tools)


def test_why_is_answered_by_numbers_and_no_cause(ask: Any) -> None:
    answer = ask("why is the REM sleep so broken?")
    assert re.search(r"arousals? in REM", answer.answer)
    assert re.search(r"apneas? (?:and|or) hypopneas? in REM", answer.answer)
    assert "do not prove" in answer.answer
    assert answer.unverified == []


def test_halves_are_compared_with_both_numbers(ask: Any) -> None:
    answer = ask("Did she sleep better in the second half of the night?")
    assert answer.answer.count("in the second half") >= 2
    assert "higher in the" in answer.answer or "the same in both" in answer.answer
    assert answer.unverified == []


def test_what_was_not_there_is_said_not_to_have_been(ask: Any, simulated: Any) -> None:
    first_rem = simulated.scoring.stages.index("R")
    answer = ask(f"Any REM in epochs 1-{first_rem}?")
    assert answer.answer.startswith("There is no REM")


def test_a_time_outside_the_recording_is_answered_with_the_range(ask: Any) -> None:
    answer = ask("Describe the brain at 15:00")
    assert "the recording runs from" in answer.answer
    assert answer.unverified == []


@pytest.mark.parametrize("question", ["Should he use CPAP?", "asdf", "Hello"])
def test_small_talk_refusals_and_noise_call_no_tool(ask: Any, question: str) -> None:
    answer = ask(question)
    assert answer.tool_calls == []
    assert answer.unverified == []
    assert answer.next_questions


def test_a_refusal_says_what_can_be_shown(ask: Any) -> None:
    answer = ask("Should he use CPAP?").answer
    assert "research use only" in answer
    assert "apnea-hypopnea index" in answer


def test_a_thread_remembers_and_another_does_not(
    orchestrator: Orchestrator, session: Session
) -> None:
    orchestrator.ask("How many obstructive apneas were there?", session, "first")
    follow = orchestrator.ask("and in REM?", session, "first")
    assert follow.tool_calls[0].args["when"] == {"stage": "R"}
    assert "obstructive apnea" in follow.answer
    other = orchestrator.ask("the second one", session, "second")
    assert "No event has been named" in other.answer


def test_that_epoch_is_the_one_the_last_answer_cited(ask: Any) -> None:
    place = re.search(r"\[epoch (\d+),", ask("Where is the longest apnea?").answer)
    assert place is not None
    follow = ask("show me that epoch")
    assert follow.tool_calls[0].args["when"] == {"epochs": [int(place[1])] * 2}
    assert follow.unverified == []


def test_the_second_one_is_the_second_of_the_list(ask: Any, simulated: Any) -> None:
    ask("List the obstructive apneas")
    second = simulated.scoring.events_of("obstructive_apnea")[1]
    follow = ask("the second one")
    epoch = int(second.onset_s // 30) + 1
    assert follow.tool_calls[0].args["when"] == {"epochs": [epoch, epoch]}
    assert f"{second.duration_s:.1f} s" in follow.answer


def test_another_night_starts_afresh(
    orchestrator: Orchestrator, session: Session, unscored_session: Session
) -> None:
    both = Session({**session.nights}, session.night_id)
    other = unscored_session.night
    other_id = "night-00000000"
    both.nights[other_id] = type(other).from_recording(
        _shortened(other.recording), None, model=other.model
    )
    orchestrator.ask("How many obstructive apneas were there?", both, "switching")
    both.night_id = other_id
    assert "No event has been named" in orchestrator.ask("the second one", both, "switching").answer


def _shortened(recording: Any) -> Any:
    from sleeplm.recording import Recording

    half = {name: signal[: len(signal) // 2] for name, signal in recording.signals.items()}
    return Recording.from_signals(half, start=recording.start)


def test_the_stream_builds_up_the_answer(orchestrator: Orchestrator, session: Session) -> None:
    events = list(orchestrator.stream("What is the AHI?", session, "stream"))
    assert isinstance(events[0], ToolStarted)
    last = events[-1]
    assert isinstance(last, Finished)
    text = "".join(event.text for event in events if isinstance(event, Token))
    assert text == last.answer.answer


def test_the_same_question_gives_the_same_answer(
    orchestrator: Orchestrator, session: Session
) -> None:
    answers = {
        orchestrator.ask("How was the night?", session, f"same-{i}").answer for i in range(3)
    }
    assert len(answers) == 1


def test_an_abandoned_question_leaves_no_trace(
    orchestrator: Orchestrator, session: Session
) -> None:
    stream = orchestrator.stream("Where is the longest apnea?", session, "abandoned")
    next(stream)
    stream.close()
    assert "No event" in orchestrator.ask("the second one", session, "abandoned").answer


def test_a_long_talk_keeps_one_state_and_not_one_for_each_step(session: Session) -> None:
    orchestrator = Orchestrator()
    for _ in range(3):
        orchestrator.ask("Where is the longest apnea?", session, "long")
    config = {"configurable": {"thread_id": f"long/{session.night.id}"}}
    assert len(list(orchestrator._agent().get_state_history(config))) == 1
    state = orchestrator._agent().get_state(config).values["messages"]
    assert len(state) == 3 * 4


def test_where_sleep_begins_is_given_by_the_clock(ask: Any, simulated: Any) -> None:
    first = next(i for i, s in enumerate(simulated.scoring.stages) if s in SLEEP_STAGES)
    answer = ask("When did the patient fall asleep?")
    assert f"sleep begins at [epoch {first + 1}, " in answer.answer
    assert answer.unverified == []


def test_several_are_listed_where_several_are_asked_for(ask: Any) -> None:
    answer = ask("List the three longest hypopneas")
    assert answer.answer.count("[epoch ") == 3
    assert answer.unverified == []


def test_json_holds_exactly_the_four_parts(ask: Any) -> None:
    assert set(ask("What is the AHI?").model_dump()) == {
        "answer", "tool_calls", "evidence", "unverified",
    }  # fmt: skip


def test_an_empty_question_and_a_session_without_night_are_refused(
    orchestrator: Orchestrator, session: Session
) -> None:
    with pytest.raises(QueryError, match="empty"):
        orchestrator.ask("  ", session)
    with pytest.raises(QueryError, match="no night is open"):
        orchestrator.ask("What is the AHI?", Session())
