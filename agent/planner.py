"""The offline planner: a chat model that needs no key, no network and no weights.

It reads a question with rules, asks for the tools that the question needs, and composes the answer
from their typed artifacts. The same conversation always gives the same answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from agent.compose import compose
from agent.intents import Intent, Request, understand
from agent.plan import Call, Result, Results, calls_for
from agent.time_expressions import NightSpan
from tools.artifacts import Artifact, EventList, Evidence, Failure

__all__ = ["OfflinePlanner"]

# The lead words by which tools tell a language model what to do with a refusal.
_LEADS = ("Try again: ", "Cannot be done, tell the user why: ")
_WITHOUT_TOPIC = (Intent.GREETING, Intent.THANKS, Intent.HELP, Intent.REFUSAL, Intent.UNKNOWN,
                  Intent.ELSEWHERE, Intent.THAT_EVENT)  # fmt: skip
NEXT_QUESTIONS_KEY = "next_questions"


@dataclass
class _Conversation:
    """What the messages of a thread say: earlier requests, what they found, and what is asked."""

    requests: list[Request] = field(default_factory=list)
    results: Results = field(default_factory=dict)
    focus: tuple[Evidence | None, list[Any]] = (None, [])
    call_number: int = 0
    span: NightSpan | None = None


class OfflinePlanner(BaseChatModel):
    """Plans tool calls by rules and composes answers from what the tools find."""

    @property
    def _llm_type(self) -> str:
        return "offline-planner"

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> OfflinePlanner:
        """The planner knows the tools of this package by name; nothing has to be bound."""
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **options: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._reply(messages))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **options: Any,
    ) -> Iterator[ChatGenerationChunk]:
        reply = self._reply(messages)
        chunks = [
            AIMessageChunk(
                content="",
                tool_call_chunks=[
                    tool_call_chunk(
                        name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=index
                    )
                ],
            )
            for index, call in enumerate(reply.tool_calls)
        ]
        chunks += [AIMessageChunk(content=word) for word in re.findall(r"\S+\s*", reply.text)]
        chunks.append(AIMessageChunk(content="", additional_kwargs=reply.additional_kwargs))
        for chunk in chunks:
            if run_manager and chunk.text:
                run_manager.on_llm_new_token(chunk.text)
            yield ChatGenerationChunk(message=chunk)

    def _reply(self, messages: Sequence[BaseMessage]) -> AIMessage:
        """The next message: tool calls while something is missing, else the answer."""
        talk = _read(messages)
        missing: dict[str, Call] = {}
        for request in talk.requests:
            for call in calls_for(request, talk.results, talk.focus):
                if call.key not in talk.results:
                    missing[call.key] = call
        if missing:
            return AIMessage(
                content="",
                tool_calls=[
                    {
                        "name": call.name,
                        "args": call.args,
                        "id": f"call_{talk.call_number + number}",
                        "type": "tool_call",
                    }
                    for number, call in enumerate(missing.values(), start=1)
                ],
            )
        text, next_questions = compose(talk.requests, talk.results, talk.focus, talk.span)
        return AIMessage(content=text, additional_kwargs={NEXT_QUESTIONS_KEY: next_questions})


def _read(messages: Sequence[BaseMessage]) -> _Conversation:
    """Fold the messages: each question is understood in the light of those before it."""
    span = next(
        (NightSpan.from_prompt(m.text) for m in messages if isinstance(m, SystemMessage)), None
    )
    talk = _Conversation(span=span)
    topic: Request | None = None
    calls: dict[str, Call] = {}
    artifacts: list[Artifact] = []
    answer = ""
    for message in messages:
        if isinstance(message, HumanMessage):
            talk.focus = _focus(artifacts, answer, talk.focus)
            talk.requests = understand(message.text, topic, span)
            topic = next(
                (r for r in reversed(talk.requests) if r.intent not in _WITHOUT_TOPIC), topic
            )
            talk.results, artifacts, answer = {}, [], ""
        elif isinstance(message, AIMessage):
            calls |= {str(c["id"]): Call(c["name"], c["args"]) for c in message.tool_calls}
            talk.call_number += len(message.tool_calls)
            answer = f"{message.text}" or answer
        elif isinstance(message, ToolMessage) and message.tool_call_id in calls:
            result = _result(message)
            talk.results[calls[message.tool_call_id].key] = result
            if result.artifact is not None:
                artifacts.append(result.artifact)
    return talk


def _result(message: ToolMessage) -> Result:
    if message.status == "error":
        reason: str = message.text
        for lead in _LEADS:
            reason = reason.removeprefix(lead)
        # What a language model must not read may stand in an answer that stays on this machine.
        if isinstance(message.artifact, Failure) and message.artifact.detail:
            reason = message.artifact.detail
        return Result(None, message.text, reason)
    return Result(_artifact(message.artifact), message.text)


def _artifact(held: Any) -> Artifact | None:
    """An artifact of this question, or of an earlier one, which a checkpointer keeps as a dict."""
    if isinstance(held, Artifact) or held is None:
        return held
    kind = EventList if held.get("tool") == "locate_events" else Artifact
    return kind.model_validate(held)


def _focus(
    artifacts: list[Artifact], answer: str, before: tuple[Evidence | None, list[Any]]
) -> tuple[Evidence | None, list[Any]]:
    """The first place that an answer cites, and the events that it listed."""
    if not artifacts:
        return before
    placed = [e for artifact in artifacts for e in artifact.evidence if e.epoch and e.clock]
    cited = [(answer.find(f"[epoch {e.epoch}, {e.clock}]"), e) for e in placed]
    cited = [(place, e) for place, e in cited if place >= 0]
    shown = min(cited, key=lambda pair: pair[0])[1] if cited else None
    lists = [artifact.events for artifact in artifacts if isinstance(artifact, EventList)]
    events = next((listed for listed in lists if listed), before[1])
    if shown is None and events:
        first = events[0]
        shown = next((e for e in placed if e.onset_s == first.onset_s), None)
    return shown or before[0], list(events)
