"""What the LLM sees of the tools, and how a refusal comes back to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from sleeplm.errors import WeightsError
from tools import TOOLS
from tools.artifacts import Artifact, Failure
from tools.session import Session


class ScriptedChatModel(GenericFakeChatModel):
    """Says what it is told to say, and accepts any tools."""

    def bind_tools(self, tools: Any, **options: Any) -> ScriptedChatModel:
        return self


def test_the_tools_have_their_contract_names() -> None:
    assert [tool.name for tool in TOOLS] == [
        "describe_system",
        "locate_events",
        "find_similar",
        "summarize_night",
        "compare_nights",
        "explain_term",
    ]


def test_the_llm_schema_holds_no_night_path_or_runtime() -> None:
    for tool in TOOLS:
        function = convert_to_openai_tool(tool)["function"]
        names = set(function["parameters"]["properties"])
        assert not names & {"runtime", "session", "path", "night_id", "store"}, tool.name
        assert "runtime" not in json.dumps(function)
        # The only "night" is find_similar's yes-or-no.
        assert (
            function["parameters"]["properties"].get("night", {"type": "boolean"})["type"]
            == "boolean"
        )


def test_every_argument_is_described() -> None:
    def properties(schema: dict[str, Any]) -> Any:
        yield from schema.get("properties", {}).items()
        for definition in schema.get("$defs", {}).values():
            yield from properties(definition)

    for tool in TOOLS:
        for name, value in properties(tool.args_schema.model_json_schema()):
            assert value.get("description"), f"{tool.name}.{name}"


@pytest.mark.parametrize(
    ("name", "arguments", "allowed"),
    [
        ("describe_system", {"system": "liver"}, "'brain', 'cardiac'"),
        ("describe_system", {}, "system: Field required"),
        ("locate_events", {"query": "apnea", "limit": 0}, "greater than or equal to 1"),
        ("locate_events", {"query": "apnea", "night": "x.edf"}, "night: Extra inputs"),
        ("locate_events", {"query": "apnea", "when": {"epochs": [1, 999]}}, "1 to 240"),
        ("find_similar", {"epoch": 3, "text": "deep sleep"}, "exactly one of epoch"),
        ("find_similar", {}, "exactly one of epoch"),
        ("find_similar", {"epoch": 241}, "1 to 240"),
        ("summarize_night", {"sections": ["everything"]}, "'recording', 'sleep'"),
    ],
)
def test_bad_arguments_tell_the_llm_what_is_allowed(
    ask: Any, night: Any, name: str, arguments: dict[str, Any], allowed: str
) -> None:
    message = ask(name, **arguments)
    assert message.status == "error"
    assert message.content.startswith("Try again:")
    assert allowed in message.content
    assert "\n" not in message.content
    assert isinstance(message.artifact, Failure)
    assert message.artifact.error == "try_again"
    assert message.artifact.tool == name
    assert message.artifact.night == night.id


def test_what_cannot_be_done_is_told_apart_from_bad_arguments(ask: Any) -> None:
    message = ask("locate_events", query="apnea", when={"stage": "N1"})
    assert message.status == "error"
    assert message.content.startswith("Cannot be done, tell the user why: there is no N1")
    assert message.artifact.error == "cannot"


def test_a_path_in_an_error_reaches_the_screen_but_not_the_llm(
    ask: Any, night: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise WeightsError("/home/Jane Doe/weights does not fit its config; download it again")

    monkeypatch.setattr(type(night), "locate", fail)
    message = ask("locate_events", query="K-complexes")
    assert message.artifact.error == "cannot"
    assert "the model's weights cannot be used" in message.content
    assert "Doe" not in message.content
    assert "Doe" not in message.artifact.text
    assert "/home/Jane Doe/weights does not fit" in message.artifact.detail


def test_a_defect_of_the_program_is_not_hidden(
    ask: Any, night: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise IndexError("a defect")

    monkeypatch.setattr(type(night), "captions", fail)
    with pytest.raises(IndexError, match="a defect"):
        ask("describe_system", system="cardiac")


def test_without_an_open_night_tools_say_so(hand_made: Any) -> None:
    message = hand_made.call(Session(), "summarize_night")
    assert message.status == "error"
    assert "no night is open" in message.content


def test_an_agent_gets_text_and_the_screen_gets_the_artifact(session: Session) -> None:
    request = {"name": "locate_events", "args": {"query": "hypopnea"}, "id": "1"}
    model = ScriptedChatModel(
        messages=iter([AIMessage("", tool_calls=[request]), AIMessage("There were 2.")])
    )
    agent = create_agent(model, list(TOOLS), context_schema=Session)
    state = agent.invoke({"messages": [("user", "How many?")]}, context=session)
    answer = next(m for m in state["messages"] if isinstance(m, ToolMessage))
    assert answer.content.startswith("2 hypopneas [expert]")
    assert isinstance(answer.artifact, Artifact)
    assert answer.artifact.text == answer.content
    assert state["messages"][-1].content == "There were 2."


def test_artifacts_survive_json(ask: Any) -> None:
    for name, arguments in (
        ("locate_events", {"query": "apnea"}),
        ("describe_system", {"system": "cardiac"}),
        ("find_similar", {"epoch": 100}),
        ("summarize_night", {}),
    ):
        artifact = ask(name, **arguments).artifact
        again = json.loads(artifact.model_dump_json())
        assert again["tool"] == name
        assert again["evidence"], name
