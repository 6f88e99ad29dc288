"""The two ways in which a tool says no, and how they reach the LLM.

``TryAgain`` says what is allowed, so that the LLM can mend its call; ``CannotAnswer`` gives the
reason that the user should hear. Both become a ToolMessage with status ``error`` whose artifact is
a :class:`tools.artifacts.Failure`, so the page can show the failed step.
"""

from __future__ import annotations

from sleeplm.errors import QueryError

__all__ = ["CannotAnswer", "TryAgain"]


class TryAgain(QueryError):
    """The arguments do not fit this night; the message names what is allowed."""


class CannotAnswer(QueryError):
    """This night, store or model cannot answer; the message says why, for the user."""
