"""Small guards around a run: call budgets, tools that fail, tool calls that are not JSON."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NotRequired

from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    ClearToolUsesEdit,
    ContextEditingMiddleware,
    ModelCallLimitMiddleware,
    ToolCallLimitMiddleware,
    ToolErrorMiddleware,
    hook_config,
)
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage

from sleeplm.errors import CaptionError, QueryError

if TYPE_CHECKING:
    from langchain.agents.middleware import ToolCallRequest
    from langgraph.runtime import Runtime
    from langgraph.types import Command

__all__ = [
    "MODEL_CALL_BUDGET",
    "TIME_BUDGET_S",
    "TOOL_CALL_BUDGET",
    "DuplicateCallMiddleware",
    "MalformedCallMiddleware",
    "TimeBudgetMiddleware",
    "guards",
    "short_memory",
]

MODEL_CALL_BUDGET = 8
TOOL_CALL_BUDGET = 16
#: A language model gets no further turn after this long; a tool that runs is let finish.
TIME_BUDGET_S = 600.0
#: A language model sees the latest tool results whole, older ones only by their call, once the
#: conversation is longer than so many tokens. Nothing is forgotten by the grounding check.
MEMORY_TOKENS = 12_000
RESULTS_KEPT = 6
FORGOTTEN = "[an older result, left out here; call the tool again if you need it]"
ASKED_ALREADY = (
    "You have made this very call already; its result stands above. Answer with it, or call "
    "something else."
)
OUT_OF_TIME = "No answer: the language model used its time. Ask a narrower question."

logger = logging.getLogger(__name__)


def guards() -> list[AgentMiddleware[Any, Any]]:
    """The guards of one orchestrator, outermost first."""
    return [
        ModelCallLimitMiddleware(run_limit=MODEL_CALL_BUDGET, exit_behavior="error"),
        ToolCallLimitMiddleware(run_limit=TOOL_CALL_BUDGET, exit_behavior="continue"),
        ToolErrorMiddleware(tool_failure),
        MalformedCallMiddleware(),
        DuplicateCallMiddleware(),
        TimeBudgetMiddleware(),
    ]


def short_memory() -> AgentMiddleware[Any, Any]:
    """Leaves older tool results out of what a language model is sent."""
    return ContextEditingMiddleware(
        edits=[ClearToolUsesEdit(trigger=MEMORY_TOKENS, keep=RESULTS_KEPT, placeholder=FORGOTTEN)]
    )


def tool_failure(error: Exception, request: ToolCallRequest) -> str:
    """What a language model reads when a tool fails: a sentence without a path, or no details."""
    if isinstance(error, QueryError | CaptionError):
        return str(error)
    # The message of a foreign error may hold a path; its type and place are enough for a log.
    logger.warning("tool %s failed: %s", request.tool_call["name"], type(error).__name__)
    logger.debug("tool failure", exc_info=error)
    return (
        f"{request.tool_call['name']} stopped with an internal error ({type(error).__name__}), so "
        "this part is left open"
    )


class DuplicateCallMiddleware(AgentMiddleware[AgentState[Any], Any]):
    """Answers a call that was made for this question already without making it again."""

    def wrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]],
    ) -> ToolMessage | Command[Any]:
        """Run a call the first time that it is asked for."""
        call = request.tool_call
        if _made_before(request.state["messages"], call):
            return ToolMessage(
                content=ASKED_ALREADY,
                tool_call_id=call["id"] or "",
                name=call["name"],
                status="error",
            )
        return handler(request)


def _made_before(messages: Sequence[AnyMessage], call: Any) -> bool:
    """Whether the same call stands earlier among the calls for the latest question."""
    wanted = (call["name"], json.dumps(call["args"], sort_keys=True, default=str))
    start = max(
        (
            i
            for i, m in enumerate(messages)
            if isinstance(m, HumanMessage) and not m.additional_kwargs
        ),
        default=0,
    )
    for message in messages[start:]:
        if not isinstance(message, AIMessage):
            continue
        for made in message.tool_calls:
            if made["id"] == call["id"]:
                return False
            if (made["name"], json.dumps(made["args"], sort_keys=True, default=str)) == wanted:
                return True
    return False


class _TimedState(AgentState[Any]):
    started_s: NotRequired[float]


class TimeBudgetMiddleware(AgentMiddleware[_TimedState, Any]):
    """Ends a run whose language model has used its time.

    Parameters
    ----------
    budget_s : float
    """

    state_schema = _TimedState

    def __init__(self, budget_s: float = TIME_BUDGET_S) -> None:
        super().__init__()
        self.budget_s = budget_s

    def before_agent(self, state: _TimedState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Start the clock."""
        return {"started_s": time.monotonic()}

    @hook_config(can_jump_to=["end"])
    def before_model(self, state: _TimedState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """End the run instead of another turn after the time is up."""
        if time.monotonic() - state.get("started_s", time.monotonic()) < self.budget_s:
            return None
        return {"messages": [AIMessage(OUT_OF_TIME)], "jump_to": "end"}


class MalformedCallMiddleware(AgentMiddleware[AgentState[Any], Any]):
    """Sends back tool calls whose arguments are not JSON, instead of ending without an answer."""

    @hook_config(can_jump_to=["model"])
    def after_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Answer each malformed call with an error, and let the model try again."""
        message = state["messages"][-1]
        if not isinstance(message, AIMessage) or not message.invalid_tool_calls:
            return None
        complaints = [
            ToolMessage(
                content="try again: the arguments are not valid JSON of this tool's schema",
                tool_call_id=call["id"] or "",
                name=call["name"],
                status="error",
            )
            for call in message.invalid_tool_calls
        ]
        # Good calls of the same message still run; the loop returns to the model by itself.
        return {"messages": complaints} | ({} if message.tool_calls else {"jump_to": "model"})
