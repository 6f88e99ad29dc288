"""By which words a model is asked: those of its own training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sleeplm.prompts import (
    EVENT_PHRASES,
    NO_EVENT_PROMPTS,
    RELEASED_STAGE_PROMPTS,
    STAGE_PROMPTS,
    event_prompts,
)

if TYPE_CHECKING:
    from sleeplm.reader import SleepLM

__all__ = ["center", "event_directions", "event_words", "stage_words"]


def stage_words(model: SleepLM) -> Mapping[str, Sequence[str]]:
    """Prompts of each stage, in the wording that the weights were trained with."""
    return RELEASED_STAGE_PROMPTS if model.config.tokenizer == "clip" else STAGE_PROMPTS


def event_words(model: SleepLM, kind: str) -> Sequence[str]:
    """Prompts of an event kind, in the wording that the weights were trained with."""
    return event_prompts(kind) if model.config.tokenizer == "clip" else EVENT_PHRASES[kind]


def center(model: SleepLM, words: Sequence[str]) -> np.ndarray:
    """Unit mean [D] of the embeddings of several wordings."""
    mean = model.encode_text(list(words)).mean(axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


def event_directions(model: SleepLM, kinds: Sequence[str]) -> np.ndarray:
    """Per kind, its prompts' centre less that of "no event": [kinds, D]; a product ranks epochs."""
    quiet = center(model, NO_EVENT_PROMPTS)
    return np.stack([center(model, event_words(model, kind)) - quiet for kind in kinds])
