"""The scored epochs of several nights in one, as most axes want them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sleeplm.captions import CaptionFields
from sleeplm.physiology import FIELDS
from train.evaluate.linear import LogisticRegression
from train.evaluate.reading import NightReading

__all__ = ["LEAST_EPOCHS", "NO_REFERENCE", "Pool"]

#: A kind that fewer epochs hold (or lack) is not measured.
LEAST_EPOCHS = 5
NO_REFERENCE = {"not_measured": "no reference nights to learn from"}


@dataclass(frozen=True)
class Pool:
    """Epochs with an expert's stage, night after night."""

    readings: Sequence[NightReading]

    def __len__(self) -> int:
        return len(self.stages)

    def joined(self, of: Callable[[NightReading], Any]) -> np.ndarray:
        """What ``of`` gives per epoch of a night, for the scored epochs of all nights."""
        if not self.readings:
            return np.zeros(0)
        return np.concatenate([np.asarray(of(read))[read.scored_rows] for read in self.readings])

    @cached_property
    def stages(self) -> list[str]:
        return [read.truth.stages[row] for read in self.readings for row in read.scored_rows]

    @cached_property
    def night(self) -> np.ndarray:
        """Place of each epoch's night."""
        sizes = [len(read.scored_rows) for read in self.readings]
        return np.repeat(np.arange(len(sizes)), sizes)

    @cached_property
    def embeddings(self) -> np.ndarray:
        return self.joined(lambda read: read.embeddings)

    @cached_property
    def features(self) -> np.ndarray:
        return self.joined(lambda read: read.features)

    @cached_property
    def fields(self) -> list[CaptionFields]:
        return [read.fields[row] for read in self.readings for row in read.scored_rows]

    @cached_property
    def values(self) -> dict[str, np.ndarray]:
        """Measured fields by name, nan where one was withheld."""
        return {
            name: np.concatenate([read.values[name][read.scored_rows] for read in self.readings])
            for name in FIELDS
        }

    def holds(self, kind: str) -> np.ndarray:
        return self.joined(lambda read: read.holds(kind)).astype(bool)

    def kinds(self) -> list[str]:
        """Event kinds that enough epochs hold and enough lack."""
        from sleeplm.scoring import EVENT_KINDS

        kept = []
        for kind in EVENT_KINDS:
            held = int(self.holds(kind).sum()) if len(self) else 0
            if held >= LEAST_EPOCHS and len(self) - held >= LEAST_EPOCHS:
                kept.append(kind)
        return kept

    @cached_property
    def stager(self) -> LogisticRegression:
        """Band powers → stage, learned from these nights."""
        return LogisticRegression().fit(self.features, self.stages)

    def recogniser(self, kind: str) -> LogisticRegression | None:
        """Signal features → whether the epoch holds the kind; None where these nights lack it."""
        held = self.holds(kind)
        if held.sum() < 2 or (~held).sum() < 2:
            return None
        return LogisticRegression().fit(self.features, ["yes" if one else "no" for one in held])
