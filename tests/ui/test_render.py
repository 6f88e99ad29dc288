"""Messages of the chat: from events alone, without a page or a night."""

import pytest

from agent.answer import Answer, CalledTool, Finished, Token, ToolFinished, ToolStarted
from tools.artifacts import EventList, Evidence, Failure, FoundEvent, ScopeView
from ui.render import answer_markdown, cited_spans, error_messages, step_title, turn_messages

QUESTION = "How many obstructive apneas?"
STARTED = ToolStarted("locate_events", {"query": "obstructive apnea"}, "call-1")


def found_event(onset_s: float, duration_s: float = 20.0, **changes: object) -> FoundEvent:
    fields: dict[str, object] = {
        "kind": "obstructive_apnea",
        "source": "expert",
        "onset_s": onset_s,
        "duration_s": duration_s,
        "epoch": int(onset_s // 30) + 1,
        "clock": "02:14:30",
        "stage": "N2",
    }
    return FoundEvent(**(fields | changes))  # type: ignore[arg-type]


def event_list(events: list[FoundEvent], total: int | None = None) -> EventList:
    return EventList(
        source="expert",
        night="night-00000000",
        text="41 obstructive apneas [expert]",
        scope=ScopeView(text="the whole night", n_epochs=960),
        query="obstructive apnea",
        total=len(events) if total is None else total,
        in_sleep=len(events) if total is None else total,
        outside_sleep=0,
        sleep_hours=6.5,
        per_hour=6.3,
        events=events,
    )


def finished(artifact: object, **changes: object) -> ToolFinished:
    fields = {"text": "text for the LLM", "duration_s": 0.3, "error": None} | changes
    return ToolFinished("call-1", "locate_events", artifact=artifact, **fields)  # type: ignore[arg-type]


def evidence(clock: str, onset_s: float, end_s: float, kind: str = "event") -> Evidence:
    return Evidence(
        kind=kind,  # type: ignore[arg-type]
        source="expert",
        text="an event",
        clock=clock,
        onset_s=onset_s,
        end_s=end_s,
        epoch=int(onset_s // 30) + 1,
        field="obstructive_apnea" if kind == "event" else None,
    )


def test_a_question_alone_is_one_message_of_the_user() -> None:
    assert turn_messages(QUESTION, []) == [{"role": "user", "content": QUESTION}]


def test_a_running_tool_is_pending_and_a_finished_one_folds_with_its_duration() -> None:
    running = turn_messages(QUESTION, [STARTED])[1]
    done = turn_messages(QUESTION, [STARTED, finished(event_list([found_event(60.0)]))])[1]
    assert running["metadata"] == {
        "title": "locate_events “obstructive apnea”",
        "status": "pending",
    }
    assert done["metadata"]["status"] == "done"
    assert done["metadata"]["duration"] == pytest.approx(0.3)


def test_tokens_before_a_tool_call_are_not_kept_as_answer() -> None:
    messages = turn_messages(QUESTION, [Token("Let me look. "), STARTED, Token("There were")])
    assert [message["content"] for message in messages if "metadata" not in message] == [
        QUESTION,
        "There were",
    ]


def test_the_finished_answer_replaces_what_the_tokens_built_up() -> None:
    events = [Token("There were 99"), Finished(Answer(answer="There were 41 [expert]."))]
    messages = turn_messages(QUESTION, events)
    assert len(messages) == 2
    assert "99" not in messages[1]["content"]
    assert "41" in messages[1]["content"]


def test_next_questions_become_options_of_the_answer() -> None:
    answer = Answer(answer="Yes.", next_questions=["And in REM?", "Off his back?"])
    message = turn_messages(QUESTION, [Finished(answer)])[-1]
    assert message["options"] == [{"value": "And in REM?"}, {"value": "Off his back?"}]


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("at [epoch 509, 02:14:30].", "at [epoch 509 · 02:14:30](#epoch-509)."),
        ("[509, 02:14:30]", "[epoch 509 · 02:14:30](#epoch-509)"),
        ("[epoch 12, +00:05:30]", "[epoch 12 · +00:05:30](#epoch-12)"),
        ("[epochs 100–110, 23:40:00]", "[epochs 100–110 · 23:40:00](#epoch-100-110)"),
        ("[epoch 7]", "[epoch 7](#epoch-7)"),
        ("a list [3] of things", "a list [3] of things"),
    ],
)
def test_citations_become_links_to_their_epochs(text: str, link: str) -> None:
    assert answer_markdown(text) == link


def test_sources_become_badges_with_the_word_in_them() -> None:
    text = answer_markdown("41 [expert] and 39 [model, measured]")
    assert '<span class="s-badge expert">expert</span>' in text
    assert '<span class="s-badge model">model</span>' in text
    assert '<span class="s-badge measured">measured</span>' in text


def test_an_unverified_number_is_struck_and_says_why() -> None:
    text = answer_markdown("There were 41 (unverified) apneas, 12.5 % (unverified) of all.")
    assert text.count('class="s-unverified"') == 2
    assert ">41</span> (unverified)" in text
    assert ">12.5 %</span> (unverified)" in text
    assert "no tool result" in text


def test_markup_of_a_question_or_a_model_is_shown_and_not_run() -> None:
    assert "<script" not in answer_markdown("<script>alert(1)</script>")
    user = turn_messages("<img src=x onerror=alert(1)>", [])[0]
    assert "<img" not in user["content"]


def test_an_event_list_shows_a_limited_table_and_says_how_many_there_are() -> None:
    events = [found_event(60.0 * index, nadir_pct=84.0) for index in range(20)]
    step = turn_messages(QUESTION, [STARTED, finished(event_list(events, total=41))])[1]["content"]
    rows = [line for line in step.splitlines() if line.startswith("| [02:14:30]")]
    assert len(rows) == 12
    assert "12 of 41 shown" in step
    assert "84 %" in rows[0]
    assert "(#t-60.0-80.0)" in rows[1]
    assert "6.3 per hour of sleep" in step


def test_a_refused_tool_shows_its_reason() -> None:
    failure = Failure(
        tool="locate_events", night="", text="Cannot be done: no SpO2", error="cannot"
    )
    step = turn_messages(QUESTION, [STARTED, finished(failure, error="Cannot be done: no SpO2")])[1]
    assert step["content"] == "Cannot be done: no SpO2"
    assert step["metadata"]["log"] == "no result"


def test_an_error_ends_the_turn_with_its_sentence_and_leaves_no_spinner() -> None:
    messages = error_messages(QUESTION, [STARTED], "ollama does not answer; start it")
    assert messages[-1]["content"] == "⚠ ollama does not answer; start it"
    assert messages[1]["metadata"]["status"] == "done"


def test_what_the_answer_names_comes_first_and_is_shaded() -> None:
    answer = Answer(
        answer="The longest at [epoch 3, 22:01:00], then [epoch 9, 22:04:00].",
        evidence=[
            evidence("22:04:00", 240.0, 262.0),
            evidence("22:30:00", 1800.0, 1820.0),
            evidence("22:01:00", 60.0, 118.0),
        ],
    )
    assert cited_spans(answer) == [
        {"start_s": 60.0, "end_s": 118.0},
        {"start_s": 240.0, "end_s": 262.0},
    ]


def test_evidence_that_the_answer_does_not_name_is_offered_as_links() -> None:
    items = [
        evidence(f"22:{minute:02d}:00", 60.0 * minute, 60.0 * minute + 20) for minute in range(9)
    ]
    answer = Answer(answer="9 [expert].", evidence=items, tool_calls=[CalledTool(name="x")])
    content = turn_messages(QUESTION, [Finished(answer)])[-1]["content"]
    assert "[22:00:00 (20 s)](#t-0.0-20.0)" in content
    assert "and 3 more" in content


def test_a_quantity_of_the_whole_night_is_no_place_to_jump_to() -> None:
    whole = Evidence(kind="quantity", source="measured", text="x", onset_s=0.0, clock="22:00:00")
    answer = Answer(answer="62 bpm [measured].", evidence=[whole])
    assert cited_spans(answer) == []
    assert "#t-" not in turn_messages(QUESTION, [Finished(answer)])[-1]["content"]


@pytest.mark.parametrize(
    ("name", "args", "title"),
    [
        ("summarize_night", {}, "summarize_night"),
        ("summarize_night", {"sections": ["sleep", "stages"]}, "summarize_night · sleep, stages"),
        (
            "describe_system",
            {"system": "cardiac", "when": {"epochs": [100, 110], "stage": "R"}},
            "describe_system “cardiac” · epochs 100–110 · R",
        ),
        (
            "locate_events",
            {"query": "arousal", "when": {"clock_from": "02:00"}, "order": "longest"},
            "locate_events “arousal” · 02:00 to end · longest first",
        ),
        ("find_similar", {"epoch": 120}, "find_similar · epoch 120"),
    ],
)
def test_a_step_title_says_what_was_asked_of_the_tool(
    name: str, args: dict[str, object], title: str
) -> None:
    assert step_title(name, args) == title
