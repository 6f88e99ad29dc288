"""What a question comes back as: an answer, and the events on the way to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from tools.artifacts import Evidence

__all__ = [
    "Answer",
    "CalledTool",
    "Finished",
    "StreamEvent",
    "Token",
    "ToolFinished",
    "ToolStarted",
]


class CalledTool(BaseModel):
    """A tool call as it was made: the tool's name and the arguments that the model chose."""

    name: str
    args: dict[str, Any] = Field(default_factory=dict)


class Answer(BaseModel):
    """A checked answer.

    ``model_dump_json()`` holds ``answer``, ``tool_calls``, ``evidence`` and ``unverified``;
    the typed artifacts (for plots) and the next questions are for the screen only.

    Parameters
    ----------
    answer : str
        Two to six sentences; a number that no tool result holds is followed by "(unverified)".
    tool_calls : list of CalledTool
        In the order in which they were made for this question.
    evidence : list of Evidence
        What the tools found for this question; what the answer cites comes first.
    unverified : list of str
        The numbers of the answer, as written, that no tool result holds.
    artifacts : list of BaseModel
        One per tool that succeeded, in the order of ``tool_calls``.
    next_questions : list of str
        Up to three questions that follow on from this one.
    """

    answer: str
    tool_calls: list[CalledTool] = Field(default_factory=list)
    evidence: list[Evidence] = Field(default_factory=list)
    unverified: list[str] = Field(default_factory=list)
    artifacts: list[Any] = Field(default_factory=list, exclude=True, repr=False)
    next_questions: list[str] = Field(default_factory=list, exclude=True)


@dataclass(frozen=True)
class ToolStarted:
    """A tool is about to run; ``id`` is that of its :class:`ToolFinished`."""

    name: str
    args: dict[str, Any]
    id: str


@dataclass(frozen=True)
class ToolFinished:
    """A tool has run.

    ``text`` is what the language model sees; ``artifact`` is the typed result for the screen
    (None after an error); ``error`` is the one line that says what went wrong, else None.
    """

    id: str
    name: str
    text: str
    artifact: Any
    duration_s: float
    error: str | None = None


@dataclass(frozen=True)
class Token:
    """A piece of the answer's text. Its numbers are checked already.

    A language model may still be asked to correct what follows, so the text of
    :class:`Finished` replaces what the tokens built up.
    """

    text: str


@dataclass(frozen=True)
class Finished:
    """The last event of a question."""

    answer: Answer


StreamEvent = ToolStarted | ToolFinished | Token | Finished
