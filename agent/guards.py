"""Small guards around a run: call budgets, tools that fail, tool calls that are not JSON."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    ModelCallLimitMiddleware,
    ToolCallLimitMiddleware,
    ToolErrorMiddleware,
    hook_config,
)
from langchain_core.messages import AIMessage, ToolMessage

from sleeplm.errors import CaptionError, QueryError

if TYPE_CHECKING:
    from langchain.agents.middleware import ToolCallRequest
    from langgraph.runtime import Runtime

__all__ = ["MODEL_CALL_BUDGET", "TOOL_CALL_BUDGET", "MalformedCallMiddleware", "guards"]

MODEL_CALL_BUDGET = 8
TOOL_CALL_BUDGET = 16

logger = logging.getLogger(__name__)


def guards() -> list[AgentMiddleware[Any, Any]]:
    """The guards of one orchestrator, outermost first."""
    return [
        ModelCallLimitMiddleware(run_limit=MODEL_CALL_BUDGET, exit_behavior="error"),
        ToolCallLimitMiddleware(run_limit=TOOL_CALL_BUDGET, exit_behavior="continue"),
        ToolErrorMiddleware(tool_failure),
        MalformedCallMiddleware(),
    ]


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
