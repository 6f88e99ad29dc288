"""The demo night: simulated from a fixed seed on first use, and kept in the cache folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from sleeplm.cache import cache_folder
from train.simulate.export import write_night
from train.simulate.night import simulate_night

__all__ = ["demo_night"]

SEED = 7
HOURS = 8.0
AHI = 18.0
CONDITION = "supine_related"
#: Names what makes the night; a change of it makes a new one.
VERSION = 3
_FILE = "demo.edf"


def demo_night(
    folder: Path | None = None,
    *,
    hours: float = HOURS,
    progress: Callable[[str, float], None] | None = None,
) -> Path:
    """The demo night's EDF file, with its scoring beside it; made if it is not there yet.

    Parameters
    ----------
    folder : path, optional
        Where demo nights are kept; the cache folder by default.
    hours : float
        Length of the recording.
    progress : callable, optional
        Called with what is being done, and a share of 1.
    """
    root = (folder or cache_folder()) / "demo"
    home = root / f"v{VERSION}-{SEED}-{hours:g}h"
    if (home / _FILE).exists():
        return home / _FILE
    if progress is not None:
        progress("making the demo night", 0.0)
    root.mkdir(parents=True, exist_ok=True)
    # Made whole under another name, then moved: a kill leaves no half night behind.
    made = Path(tempfile.mkdtemp(dir=root, prefix=".making-"))
    try:
        night = simulate_night(SEED, hours=hours, ahi=AHI, condition=CONDITION)
        write_night(night, made / _FILE)
        try:
            os.replace(made, home)
        except OSError:
            # Another process was quicker; its night is the same.
            if not (home / _FILE).exists():
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return home / _FILE
