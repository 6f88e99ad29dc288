"""Where finished work is kept between runs, and how it is written so that a kill loses nothing.

The folder is ``$SLEEPLM_CACHE`` when set, else the user's cache folder. Entries are keyed by what
was read (content, channel mapping, gaps) and by what read it (model id), never by a file name, so a
result of an earlier analysis cannot be shown for another. They hold numbers and the model's own
text, no header and no annotation of the file.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["NightCache", "cache_folder", "write_atomically"]


def cache_folder() -> Path:
    """The cache folder, not necessarily existing yet."""
    chosen = os.environ.get("SLEEPLM_CACHE")
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "sleeplm"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "sleeplm"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sleeplm"


def write_atomically(path: Path, content: str | Callable[[Path], None]) -> None:
    """Write a temporary file beside ``path`` and move it there when it is complete.

    Parameters
    ----------
    path : Path
    content : str or callable
        The text, or a function that writes to the path it is given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        if isinstance(content, str):
            temporary.write_text(content, "utf-8")
        else:
            content(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class NightCache:
    """Arrays and JSON of one night read by one model; ``folder`` None keeps nothing.

    A damaged or unreadable entry counts as absent: the work is done again.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def array(self, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """The stored array ``name``, made and stored on first use."""
        if self.folder is None:
            return make()
        path = self.folder / f"{name}.npy"
        if path.exists():
            try:
                return np.asarray(np.load(path, allow_pickle=False))
            except (OSError, ValueError):
                pass
        array = make()
        self._write(path, lambda temporary: np.save(temporary, array))
        return array

    def load_json(self, name: str) -> Any | None:
        """The stored JSON ``name``, or None."""
        if self.folder is None:
            return None
        try:
            return json.loads((self.folder / f"{name}.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def save_json(self, name: str, value: Any) -> None:
        """Store ``value`` as JSON under ``name``."""
        if self.folder is not None:
            self._write(self.folder / f"{name}.json", json.dumps(value))

    def _write(self, path: Path, content: str | Callable[[Path], None]) -> None:
        try:
            # What was read of a patient is nobody else's to see on a shared machine.
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(path, content)
        except OSError:
            # A full or read-only disk must not stop the analysis: the cache only saves time.
            self.folder = None
