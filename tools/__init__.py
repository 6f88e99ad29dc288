"""The tools over an open night, the session they read, and the store of cases.

``TOOLS`` is what an agent is given; it is made on first use, since it needs LangChain.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tools.calling import SleepTool
    from tools.session import Session

    TOOLS: tuple[SleepTool, ...]

__all__ = ["TOOLS", "Session"]

_TOOL_HOMES = {
    "describe_system": "describe",
    "locate_events": "locate",
    "find_similar": "similar",
    "summarize_night": "summarize",
    "compare_nights": "compare",
    "explain_term": "glossary",
}


def __getattr__(name: str) -> Any:
    if name == "TOOLS":
        tools = tuple(
            getattr(import_module(f"tools.{home}"), tool) for tool, home in _TOOL_HOMES.items()
        )
        globals()[name] = tools
        return tools
    if name == "Session":
        from tools.session import Session

        return Session
    raise AttributeError(f"module 'tools' has no attribute {name!r}")
