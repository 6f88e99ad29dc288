"""Who has what open in the page: each browser session its own nights, folder and conversation.

A night is reached by a random token that only its owner's page was given, so that one user's traces
are never another's. Nothing here is written to disk but the files that a user uploads, and those go
with the session.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sleeplm.errors import QueryError, RecordingError
from tools.session import Session
from ui.views import Scale, channel_scales

if TYPE_CHECKING:
    from sleeplm.night import Night

__all__ = ["OpenNight", "PageSession", "Sessions"]

IDLE_LIMIT_S = 6 * 3600.0
SESSION_LIMIT = 64


@dataclass
class OpenNight:
    """A night on the page: its token, and the lanes of its traces, worked out once.

    ``own`` nights were opened by this session alone; what is read of them ends with it.
    """

    night: Night
    token: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    own: bool = False
    _scales: dict[str, Scale] | None = None

    @property
    def scales(self) -> dict[str, Scale]:
        if self._scales is None:
            self._scales = channel_scales(self.night.recording)
        return self._scales


class PageSession:
    """One browser session.

    Attributes
    ----------
    key : str
        Random; kept by the browser tab, so that a reload finds its session again.
    session : Session
        What the tools see: the open nights, and which one questions are about.
    nights : dict of str to OpenNight
        By token, in the order in which they were opened.
    history : list of dict
        The conversation as messages, brought back after a reload.
    """

    def __init__(self) -> None:
        self.key = secrets.token_urlsafe(18)
        self.session = Session()
        self.nights: dict[str, OpenNight] = {}
        self.current = ""
        self.histories: dict[str, list[dict[str, Any]]] = {}
        self.last_used = time.monotonic()
        self._conversation = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def thread(self) -> str:
        """Name of the conversation for the orchestrator; a cleared one begins anew."""
        return f"{self.key}/{self._conversation}"

    def clear(self) -> None:
        """Put the conversation about the current night away."""
        self.histories.pop(self.current, None)
        self._conversation += 1

    @property
    def history(self) -> list[dict[str, Any]]:
        """The conversation about the current night."""
        return self.histories.setdefault(self.current, [])

    @property
    def open_night(self) -> OpenNight:
        """The night that questions are about.

        Raises
        ------
        QueryError
            No night is open.
        """
        if self.current not in self.nights:
            raise QueryError("no night is open; open a recording first")
        return self.nights[self.current]

    def add(self, opened: OpenNight) -> None:
        """Open a night and turn to it; one that is open already is turned to."""
        for known in self.nights.values():
            if known.night.id == opened.night.id:
                known.night = opened.night
                opened = known
                break
        self.nights[opened.token] = opened
        self.session.nights[opened.night.id] = opened.night
        self.turn_to(opened.token)

    def turn_to(self, token: str) -> None:
        """Make another open night the one that questions are about.

        Raises
        ------
        QueryError
            No open night has this token.
        """
        if token not in self.nights:
            raise QueryError("this night is not open any more; open its file again")
        self.current = token
        self.session.night_id = self.nights[token].night.id
        self.session.scoring = None

    def keep(self, uploaded: str, received_in: Path, name: str) -> Path:
        """Move an uploaded file into the session's own folder under a plain name.

        Raises
        ------
        RecordingError
            The path was not written by an upload to this page.
        """
        source = Path(uploaded).resolve()
        if not source.is_relative_to(received_in.resolve()) or not source.is_file():
            raise RecordingError("the file was not received by this page; open it once more")
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="sleeplm-session-")
        folder = Path(tempfile.mkdtemp(dir=self._folder.name))
        target = folder / f"{name}{source.suffix.lower()}"
        shutil.move(source, target)
        return target

    def close(self) -> None:
        """Forget the nights, stop what is being read of them, and remove the uploaded files."""
        for opened in self.nights.values():
            if opened.own:
                opened.night.cancel_scoring()
        self.nights.clear()
        self.session.nights.clear()
        if self._folder is not None:
            self._folder.cleanup()


class Sessions:
    """All browser sessions of one server; the longest idle ones are closed."""

    def __init__(self, idle_limit_s: float = IDLE_LIMIT_S, limit: int = SESSION_LIMIT) -> None:
        self._sessions: dict[str, PageSession] = {}
        self._lock = threading.Lock()
        self._idle_limit_s = idle_limit_s
        self._limit = limit

    def get(self, key: str | None) -> PageSession | None:
        """The session of a key, or None where it is unknown or was closed."""
        with self._lock:
            found = self._sessions.get(key or "")
            if found is not None:
                found.last_used = time.monotonic()
            return found

    def start(self) -> PageSession:
        """A new session."""
        page = PageSession()
        with self._lock:
            self._sessions[page.key] = page
            now = time.monotonic()
            by_use = sorted(self._sessions.values(), key=lambda one: one.last_used)
            for index, one in enumerate(by_use):
                over = len(by_use) - index > self._limit
                if over or now - one.last_used > self._idle_limit_s:
                    self._sessions.pop(one.key).close()
        return page

    def night(self, token: str) -> OpenNight:
        """The open night of a token.

        Raises
        ------
        QueryError
            No open night has this token.
        """
        with self._lock:
            for page in self._sessions.values():
                if token in page.nights:
                    page.last_used = time.monotonic()
                    return page.nights[token]
        raise QueryError("this night is not open any more; reload the page or open its file again")

    def close(self) -> None:
        """Close every session."""
        with self._lock:
            for page in self._sessions.values():
                page.close()
            self._sessions.clear()
