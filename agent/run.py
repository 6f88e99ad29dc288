"""One question's run through the agent graph, as events for the screen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    HumanMessage,
    ToolMessage,
)

from agent.answer import (
    Answer,
    CalledTool,
    Finished,
    StreamEvent,
    Token,
    ToolFinished,
    ToolStarted,
)
from agent.grounding import UNVERIFIED_KEY, Facts, released
from agent.guards import MODEL_CALL_BUDGET
from agent.prompts import night_line

if TYPE_CHECKING:
    from tools.artifacts import Evidence
    from tools.session import Session

__all__ = ["Run"]

EVIDENCE_LIMIT = 60
NO_ANSWER = (
    "The language model gave no answer. Ask again in other words, or ask the offline planner."
)


class Run:
    """Turns updates of the graph into stream events, and keeps the conversation clean.

    Parameters
    ----------
    agent : compiled LangGraph graph
    config : dict
        With the thread id.
    session : Session
    streams_early : bool
        Whether text may be released before a tool has run; a language model often thinks aloud
        there.
    """

    def __init__(
        self, agent: Any, config: dict[str, Any], session: Session, streams_early: bool
    ) -> None:
        self.agent = agent
        self.config = config
        self.session = session
        self.streams_early = streams_early
        self.before = self._messages()
        self.facts = Facts.of(self.before, night_line(session))
        self.calls: dict[str, CalledTool] = {}
        self.artifacts: list[Any] = []
        self.draft = ""
        self.sent = ""
        self.since = time.perf_counter()
        self.is_complete = False

    def events(self, question: HumanMessage) -> Iterator[StreamEvent]:
        """Run the graph on a question."""
        self.facts.add_question(question.text)
        updates = self.agent.stream(
            {"messages": [question]},
            self.config,
            context=self.session,
            stream_mode=["updates", "messages"],
        )
        for mode, payload in updates:
            if mode == "messages":
                yield from self._on_chunk(*payload)
                continue
            for node, update in payload.items():
                for message in (update or {}).get("messages", []):
                    yield from self._on_message(node, message)
        answer = self._answer()
        if answer.answer.startswith(self.sent) and len(answer.answer) > len(self.sent):
            yield Token(answer.answer[len(self.sent) :])
        self.is_complete = True
        self._keep(self._messages())
        yield Finished(answer)

    def out_of_budget(self) -> Answer:
        """The answer when a language model has not come to an end within its budget."""
        return self._assembled(
            f"No answer: the language model used its budget of {MODEL_CALL_BUDGET} calls. "
            "What the tools found so far is listed below; ask a narrower question.",
            [],
        )

    def close(self) -> None:
        """Take the conversation back to where it was, if the run came to no end."""
        if not self.is_complete:
            self._keep(self.before)

    def _keep(self, messages: list[AnyMessage]) -> None:
        """Make these messages the whole thread.

        A checkpointer keeps the messages of every step of every run, with all their artifacts;
        only the last state is of use.
        """
        self.agent.checkpointer.delete_thread(self.config["configurable"]["thread_id"])
        if messages:
            self.agent.update_state(self.config, {"messages": messages}, as_node="model")

    def _messages(self) -> list[AnyMessage]:
        return list(self.agent.get_state(self.config).values.get("messages", []))

    def _on_chunk(self, chunk: Any, metadata: dict[str, Any]) -> Iterator[StreamEvent]:
        if metadata.get("langgraph_node") != "model" or not isinstance(chunk, AIMessageChunk):
            return
        self.draft += chunk.text
        if self.streams_early or self.artifacts:
            good = released(self.draft, self.facts)
            if len(good) > len(self.sent) and good.startswith(self.sent):
                yield Token(good[len(self.sent) :])
                self.sent = good

    def _on_message(self, node: str, message: Any) -> Iterator[StreamEvent]:
        if isinstance(message, AIMessage):
            self.draft = ""
            if message.tool_calls:
                self.sent = ""
            for call in message.tool_calls:
                identifier = call["id"] or ""
                self.calls[identifier] = CalledTool(name=call["name"], args=call["args"])
                self.since = time.perf_counter()
                yield ToolStarted(call["name"], call["args"], identifier)
        elif isinstance(message, ToolMessage) and message.tool_call_id in self.calls:
            now = time.perf_counter()
            self.facts.add_tool_message(message)
            failed = message.status == "error"
            # The reason for the screen may name a file; the text for the model never does.
            reason = getattr(message.artifact, "detail", "") or message.text
            if message.artifact is not None and not failed:
                self.artifacts.append(message.artifact)
            yield ToolFinished(
                message.tool_call_id,
                message.name or self.calls[message.tool_call_id].name,
                message.text,
                message.artifact,
                now - self.since,
                reason if failed else None,
            )
            self.since = now

    def _answer(self) -> Answer:
        last = self._messages()[-1]
        text = last.text.strip() if isinstance(last, AIMessage) else ""
        unverified = last.additional_kwargs.get(UNVERIFIED_KEY, [])
        answer = self._assembled(text or NO_ANSWER, list(unverified))
        answer.next_questions = list(last.additional_kwargs.get("next_questions", []))
        return answer

    def _assembled(self, text: str, unverified: list[str]) -> Answer:
        return Answer(
            answer=text,
            tool_calls=list(self.calls.values()),
            evidence=_cited_first(text, self.artifacts),
            unverified=unverified,
            artifacts=self.artifacts,
        )


def _cited_first(text: str, artifacts: list[Any]) -> list[Evidence]:
    """The evidence of all tools, what the text cites first, no more than a screen can hold."""
    found: list[Evidence] = [item for artifact in artifacts for item in artifact.evidence]
    found.sort(key=lambda item: not (item.clock and item.clock in text))
    return found[:EVIDENCE_LIMIT]
