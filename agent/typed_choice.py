"""Tools for a language model that cannot call them: it fills in a typed choice instead.

The model is asked for JSON of a schema (which tools, with which arguments), which the server's
grammar enforces; then for an answer in words, with the results in front of it. To LangChain this
looks like a model that calls tools.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr

__all__ = ["TypedChoiceModel"]

MOST_CALLS = 3
#: Characters of one tool result that a small model is shown.
RESULT_CHARACTERS = 2400
#: Earlier questions and answers that are repeated to it.
TURNS_KEPT = 4
_CHOOSE = (
    "Choose the tools that answer the question, as JSON. Tools:\n{tools}\n"
    "Give an empty list only for small talk."
)
_FILL_IN = (
    "Fill in the arguments of {tool} for the question, as JSON. {description} Leave out what the "
    "question does not ask for."
)
#: Of a part of the night, what can be chosen from a list; free numbers invite invention.
_PARTS_CHOSEN = ("stage", "part", "position")
_ANSWER = (
    "Results of the tools:\n{results}\n\nAnswer the question in two or three sentences: {question}"
)


class TypedChoiceModel(BaseChatModel):
    """Wraps a chat model that answers by JSON schema.

    Parameters
    ----------
    inner : BaseChatModel
        With ``with_structured_output(…, method="json_schema")``.
    """

    inner: BaseChatModel
    _tools: list[dict[str, Any]] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "typed-choice"

    @property
    def model_name(self) -> str:
        """The wrapped model's name."""
        return str(getattr(self.inner, "model_name", self.inner._llm_type))

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> TypedChoiceModel:
        """Remember the tools; their schemas become the choice's."""
        bound = TypedChoiceModel(inner=self.inner)
        bound._tools = [convert_to_openai_tool(tool)["function"] for tool in tools]
        return bound

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **options: Any,
    ) -> ChatResult:
        start = _last_question(messages)
        asked, since = HumanMessage(str(messages[start].text)), messages[start + 1 :]
        results = [message for message in since if isinstance(message, ToolMessage)]
        if self._tools and not results:
            calls = self._chosen(messages, asked, start)
            if calls:
                return _result(AIMessage("", tool_calls=calls))
        return _result(self._worded(messages, asked, since, start, results))

    def _chosen(
        self, messages: Sequence[BaseMessage], asked: HumanMessage, start: int
    ) -> list[dict[str, Any]]:
        """The calls that the model chooses; none where it fills the schema in with nothing."""
        by_name = {tool["name"]: tool for tool in self._tools}
        listed = "\n".join(f"- {name}: {_first(tool)}" for name, tool in by_name.items())
        talk: list[AnyMessage] = [*_talk(messages[:start]), asked]
        names = self._filled(
            _choice_of_tools(list(by_name)), [SystemMessage(_CHOOSE.format(tools=listed)), *talk]
        ).get("tools", [])
        calls = []
        for number, name in enumerate(list(dict.fromkeys(names))[:MOST_CALLS]):
            if name not in by_name:
                continue
            schema = _choice_of_arguments(by_name[name])
            told = SystemMessage(_FILL_IN.format(tool=name, description=_first(by_name[name])))
            arguments = self._filled(schema, [told, *talk]) if schema["properties"] else {}
            identifier = f"choice_{len(messages)}_{number}"
            calls.append(
                {"name": name, "args": _given(arguments), "id": identifier, "type": "tool_call"}
            )
        return calls

    def _filled(self, schema: dict[str, Any], told: list[AnyMessage]) -> dict[str, Any]:
        """What the model fills into a schema; nothing where it came to no end."""
        model = self.inner.with_structured_output(schema, method="json_schema", include_raw=True)
        try:
            choice = model.invoke(told)
        except Exception as error:
            # openai raises where the JSON was not closed within the tokens allowed.
            if type(error).__name__ != "LengthFinishReasonError":
                raise
            return {}
        found = choice.get("parsed") if isinstance(choice, dict) else None
        return found if isinstance(found, dict) else {}

    def _worded(
        self,
        messages: Sequence[BaseMessage],
        asked: HumanMessage,
        since: Sequence[BaseMessage],
        start: int,
        results: Sequence[ToolMessage],
    ) -> AIMessage:
        system = [message for message in messages if isinstance(message, SystemMessage)]
        question = str(asked.text)
        if results:
            texts = "\n\n".join(f"{one.name}:\n{one.text[:RESULT_CHARACTERS]}" for one in results)
            question = _ANSWER.format(results=texts, question=asked.text)
        # A repair request follows the draft that it is about.
        drafts = [m for m in since if not isinstance(m, ToolMessage) and m.text]
        reply = self.inner.invoke(
            [*system, *_talk(messages[:start]), HumanMessage(question), *drafts]
        )
        return AIMessage(reply.text, id=reply.id)


def _result(message: AIMessage) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=message)])


def _last_question(messages: Sequence[BaseMessage]) -> int:
    """Where the user's latest question stands; our own requests to mend an answer are none."""
    return max(
        (
            index
            for index, message in enumerate(messages)
            if isinstance(message, HumanMessage) and not message.additional_kwargs
        ),
        default=len(messages) - 1,
    )


def _talk(messages: Sequence[BaseMessage]) -> list[AnyMessage]:
    """The latest earlier questions and answers, without calls and results."""
    said: list[AnyMessage] = [
        message
        for message in messages
        if isinstance(message, HumanMessage | AIMessage) and message.text
    ]
    return said[-TURNS_KEPT:]


def _given(arguments: Any) -> dict[str, Any]:
    """Arguments that were filled in; an empty one is none."""
    if not isinstance(arguments, dict):
        return {}
    return {name: value for name, value in arguments.items() if value not in (None, "", [], {})}


def _first(tool: dict[str, Any]) -> str:
    """The first sentence of a tool's description."""
    return str(tool["description"]).partition(". ")[0].rstrip(".") + "."


def _choice_of_tools(names: list[str]) -> dict[str, Any]:
    tools = {"type": "array", "items": {"enum": names}, "maxItems": MOST_CALLS}
    return _object("ToolChoice", "Which tools to call.", {"tools": tools}, ["tools"])


def _choice_of_arguments(tool: dict[str, Any]) -> dict[str, Any]:
    """What a tool must be given, and the part of the night where it takes one.

    Optional limits are left out: a small model fills in whatever it is offered.
    """
    parameters = tool["parameters"]
    fields: dict[str, Any] = {}
    for name in parameters.get("required", []):
        fields[name] = _bare(parameters["properties"][name])
    if "sections" in parameters["properties"]:
        fields["sections"] = _bare(parameters["properties"]["sections"])
    required = list(fields)
    when = parameters["properties"].get("when")
    if when is not None:
        held = _bare(when).get("properties", {})
        chosen = {name: held[name] for name in _PARTS_CHOSEN if name in held}
        fields["when"] = _object("When", "Part of the night.", chosen, [])
    description = f"Arguments of {tool['name']}."
    return _object("Arguments", description, fields, required)


def _object(
    title: str, description: str, properties: dict[str, Any], required: list[str]
) -> dict[str, Any]:
    return {
        "title": title,
        "description": description,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _bare(schema: Any) -> Any:
    """A schema without titles, limits and "or null", which a grammar pays for dearly."""
    if isinstance(schema, list):
        return [_bare(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    options = [one for one in schema.get("anyOf", []) if one.get("type") != "null"]
    if len(options) == 1:
        return _bare(options[0])
    kept = ("type", "enum", "items", "properties", "anyOf", "required", "const")
    return {
        name: {key: _bare(one) for key, one in value.items()}
        if name == "properties"
        else _bare(value)
        for name, value in schema.items()
        if name in kept
    }
