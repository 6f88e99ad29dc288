"""The open nights of one user: the runtime context that tools read and the LLM never sees."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sleeplm.errors import QueryError

if TYPE_CHECKING:
    from sleeplm.night import Night
    from sleeplm.scoring import Scoring
    from tools.store import CaseStore

__all__ = ["Session"]


@dataclass
class Session:
    """What a conversation is about.

    Parameters
    ----------
    nights : dict of str to Night
        Open nights by pseudonym.
    night_id : str
        The night that questions are about.
    store : CaseStore or None
        This user's case store, for search across nights.
    scoring : str or None
        ``expert``, ``automatic`` or ``model``; None takes the night's preferred scoring.
    """

    nights: dict[str, Night] = field(default_factory=dict)
    night_id: str = ""
    store: CaseStore | None = None
    scoring: str | None = None

    @classmethod
    def of(
        cls, night: Night, store: CaseStore | None = None, scoring: str | None = None
    ) -> Session:
        """A session about one night."""
        return cls({night.id: night}, night.id, store, scoring)

    @property
    def night(self) -> Night:
        """The night that questions are about.

        Raises
        ------
        QueryError
            No night is open.
        """
        if self.night_id not in self.nights:
            raise QueryError("no night is open; open a recording first")
        return self.nights[self.night_id]

    def add(self, night: Night) -> None:
        """Open a night and make it the one that questions are about."""
        self.nights[night.id] = night
        self.night_id = night.id

    def scored(self) -> Scoring:
        """The scoring that answers rest on: the user's choice, else the night's preferred one."""
        return self.night.scoring_from(self.scoring)
