"""Questions about a night: the orchestrator, its offline planner, and the grounding check."""

from agent.answer import (
    Answer,
    CalledTool,
    Finished,
    StreamEvent,
    Token,
    ToolFinished,
    ToolStarted,
)
from agent.orchestrator import Orchestrator

__all__ = [
    "Answer",
    "CalledTool",
    "Finished",
    "Orchestrator",
    "StreamEvent",
    "Token",
    "ToolFinished",
    "ToolStarted",
]
