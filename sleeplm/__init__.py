"""SleepLM: read a night of polysomnography, measure it, read it with the model, sum it up.

Nothing heavy is imported until it is used: ``import sleeplm`` loads no torch, LLM, UI or database.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sleeplm.night import Night
    from sleeplm.reader import SleepLM
    from sleeplm.recording import Recording, read_recording
    from sleeplm.scoring import Event, Scorer, Scoring
    from sleeplm.scoring_files import read_scoring
    from sleeplm.summary import NightSummary

__version__ = "0.1.0"
_HOMES = {
    "Event": "scoring",
    "Night": "night",
    "NightSummary": "summary",
    "Recording": "recording",
    "Scorer": "scoring",
    "Scoring": "scoring",
    "SleepLM": "reader",
    "read_recording": "recording",
    "read_scoring": "scoring_files",
}
__all__ = [
    "Event",
    "Night",
    "NightSummary",
    "Recording",
    "Scorer",
    "Scoring",
    "SleepLM",
    "__version__",
    "read_recording",
    "read_scoring",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"sleeplm.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'sleeplm' has no attribute {name!r}")
