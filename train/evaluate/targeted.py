"""Targeted generation: does the brain's caption speak of the brain alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sleeplm.captions import EVENTS_OF_SYSTEM, SYSTEMS, CaptionFields, parse_caption
from sleeplm.physiology import FIELDS
from train.evaluate.reading import NightReading

if TYPE_CHECKING:
    from sleeplm.reader import SleepLM

__all__ = ["statements_by_system", "targeted"]


def targeted(
    model: SleepLM, readings: Sequence[NightReading], reference: Sequence[NightReading]
) -> dict[str, Any]:
    """Per system: share of a caption's statements that belong to it, and statements a caption.

    The baseline is a caption of any system, whichever was asked for: the share of a system's
    statements among those of all captions.
    """
    counts = {system: dict.fromkeys(SYSTEMS, 0) for system in model.systems}
    captions = dict.fromkeys(model.systems, 0)
    for read in readings:
        for asked, texts in read.captions.items():
            for text in texts:
                captions[asked] += 1
                for system, count in statements_by_system(text).items():
                    counts[asked][system] += count
    everything = sum(sum(row.values()) for row in counts.values())
    result: dict[str, Any] = {"by_system": {}}
    chance = {}
    for asked, row in counts.items():
        stated = sum(row.values())
        result["by_system"][asked] = {
            "share": row[asked] / stated if stated else None,
            "statements": stated / max(captions[asked], 1),
        }
        chance[asked] = sum(other[asked] for other in counts.values()) / max(everything, 1)
    shares = [one["share"] for one in result["by_system"].values() if one["share"] is not None]
    result["share"] = float(np.mean(shares)) if shares else None
    result["baseline"] = {
        "a caption of any system": {"share": float(np.mean(list(chance.values()))), **chance}
    }
    return result


def statements_by_system(text: str) -> dict[str, int]:
    """How many statements of a text belong to each system, whatever it was asked for.

    Values belong to their field's system, the position to the somatic one; an event that a
    system's own caption may state counts for stage and events all the same where the text names a
    stage or says that there is none.
    """
    # As of all systems first: then nothing is passed over because of the system asked for.
    read: CaptionFields = parse_caption(text, "all")
    counts = dict.fromkeys(SYSTEMS, 0)
    for name in read.values:
        counts[FIELDS[name].system] += 1
    counts["somatic"] += read.position is not None and "position" not in read.values
    scored = read.stage is not None or read.no_event
    counts["stage_event"] += (read.stage is not None) + read.no_event
    for event in read.events:
        own = next(
            (s for s in SYSTEMS if s != "stage_event" and event.kind in EVENTS_OF_SYSTEM[s]),
            "stage_event",
        )
        counts["stage_event" if scored else own] += 1
    return counts
