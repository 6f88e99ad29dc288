"""The system prompt of a language model: a file, and one line about the open night."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import dynamic_prompt

if TYPE_CHECKING:
    from langchain.agents.middleware import ModelRequest

    from tools.session import Session

__all__ = ["night_line", "system_prompt"]


def night_line(session: Session | None) -> str:
    """The open night in one line: pseudonym, epochs, clock span; nothing else of its file."""
    if session is None or session.night_id not in session.nights:
        return "No night is open."
    night = session.night
    return (
        f"Open night: {night.id}, {night.n_epochs} epochs of 30 s, "
        f"from {night.clock(0.0)} to {night.clock(night.n_epochs * 30.0)}."
    )


@cache
def _rules() -> str:
    return files("agent").joinpath("prompt.md").read_text(encoding="utf-8")


@dynamic_prompt
def system_prompt(request: ModelRequest[Any]) -> str:
    """The rules of ``prompt.md`` with the line about the night."""
    return f"{_rules()}\n\n{night_line(request.runtime.context)}"
