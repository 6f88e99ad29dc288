"""From the words of a scoring file to stages and events of the house, by explicit tables only.

Names are data (``sleeplm/data/event_names.json``). A label on no list is counted and left out;
its text is never repeated, since free text of a file may name a patient.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

from sleeplm.errors import ScoringError
from sleeplm.scoring import (
    EPOCH_S,
    STAGES,
    UNSCORED,
    Event,
    Scorer,
    Scoring,
    has_real_date,
    kinds_scored_with,
)

__all__ = ["LONGEST_S", "Draft", "StageRow", "is_known_name", "normalised", "signal_location"]

LONGEST_S = 7 * 86400.0
"""No sleep recording lasts longer than a week: a longer row is a damaged number."""


def normalised(label: str) -> str:
    """Case, accents and punctuation removed; a question mark is kept, it means "unscored"."""
    plain = unicodedata.normalize("NFKD", label.replace("ß", "ss")).casefold()
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return " ".join(re.findall(r"[^\W_]+|\?", plain))


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    text = files("sleeplm").joinpath("data/event_names.json").read_text(encoding="utf-8")
    return json.loads(text)


@lru_cache(maxsize=1)
def _meanings() -> dict[str, tuple[str, str]]:
    """Normalised name → (family, meaning); the first list that holds a name has it."""
    tables = _tables()
    meanings: dict[str, tuple[str, str]] = {}

    def add(names: Sequence[str], family: str, meaning: str) -> None:
        for name in names:
            meanings.setdefault(normalised(name), (family, meaning))

    for stage, names in tables["stages"].items():
        add(names, "stage", stage)
    add(tables["stages_without_depth"], "stage_without_depth", UNSCORED)
    for kind, names in tables["events"].items():
        add([kind, *names], "event", kind)
    for family in ("untyped_apnea", "unsure", "lights_off", "lights_on", "ignored"):
        add(tables[family], family, family)
    return meanings


def meaning_of(label: str) -> tuple[str, str] | None:
    """(family, meaning) of a label, of its part before "|", or of the part after it."""
    for candidate in (label, *label.split("|")):
        found = _meanings().get(normalised(candidate))
        if found is not None:
            return found
    return None


def is_known_name(label: str) -> bool:
    """Whether a label says something to a reader of scorings (stage, event or light mark)."""
    found = meaning_of(label)
    return found is not None and found[0] != "ignored"


@lru_cache(maxsize=1)
def _columns() -> dict[str, str]:
    return {
        normalised(name): column for column, names in _tables()["columns"].items() for name in names
    }


def column_of(header: str) -> str | None:
    """Meaning of a table's column header: onset, end, duration, stage, name, epoch, channel."""
    return _columns().get(normalised(re.sub(r"[\[(].*?[\])]", " ", header)))


@lru_cache(maxsize=1)
def _locations() -> dict[str, str]:
    return {
        normalised(name): channel
        for channel, names in _tables()["signal_locations"].items()
        for name in names
    }


def signal_location(label: str | None) -> str | None:
    """Montage channel of a scorer's signal name; None where it is not on the list."""
    return _locations().get(normalised(label)) if label else None


@dataclass(frozen=True)
class StageRow:
    """One stage over a stretch of time, as a file states it (run-length rows are long)."""

    onset_s: float
    duration_s: float
    stage: str


@dataclass
class Draft:
    """A scoring while its file is being read: rows, events, and what had to be left out."""

    name: str
    epoch_s: float | None = None
    start: datetime | None = None
    recording_duration_s: float | None = None
    rows: list[StageRow] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    untyped_apneas: list[tuple[float, float]] = field(default_factory=list)
    lights_off_s: float | None = None
    lights_on_s: float | None = None
    scored_kinds: tuple[str, ...] | None = None
    keep_duplicates: bool = False
    problems: list[str] = field(default_factory=list)
    scorer_name: str = ""
    unknown: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def add(
        self,
        label: str,
        onset_s: float,
        duration_s: float,
        channel: str | None = None,
        evidence: dict[str, float] | None = None,
        confidence: float | None = None,
    ) -> None:
        """Take in one row by the meaning of its label."""
        found = meaning_of(label)
        if found is None:
            self.unknown[normalised(label)] += 1
            return
        family, meaning = found
        if family == "ignored":
            return
        if family == "unsure":
            self.left_out["events marked as unsure were left out"] += 1
            return
        if not self._usable(onset_s, duration_s):
            return
        if family == "lights_off":
            self.lights_off_s = onset_s if self.lights_off_s is None else self.lights_off_s
        elif family == "lights_on":
            self.lights_on_s = onset_s
        elif family in ("stage", "stage_without_depth"):
            if family == "stage_without_depth":
                self.left_out["stage rows say sleep without its depth and are unscored"] += 1
            self.add_stage(meaning, onset_s, duration_s)
        elif family == "untyped_apnea":
            self.untyped_apneas.append((onset_s, duration_s))
        else:
            self.events.append(
                Event(
                    meaning,
                    onset_s,
                    duration_s,
                    signal_location(channel),
                    confidence,
                    evidence or {},
                )
            )

    def add_stage(self, stage: str, onset_s: float, duration_s: float) -> None:
        """Take in one row of a stage that is known."""
        if self._usable(onset_s, duration_s):
            self.rows.append(StageRow(onset_s, duration_s, stage))

    def _usable(self, onset_s: float, duration_s: float) -> bool:
        usable = math.isfinite(onset_s) and math.isfinite(duration_s) and duration_s >= 0
        if not usable:
            self.left_out["rows without a usable time were left out"] += 1
        return usable

    def scoring(self) -> Scoring:
        """The finished scoring; raises :class:`ScoringError` where nothing usable was found."""
        if not self.rows and not self.events and not self.untyped_apneas:
            what = f" ({self.unknown.total()} labels are unknown)" if self.unknown else ""
            raise ScoringError(
                f"{self.name}: no sleep stage and no known event in it{what}; give a scoring file "
                "(NSRR or Profusion XML, EDF+ annotations, CSV/TSV, Noxturnal export or JSON)"
            )
        self._check_epoch_length()
        stages = self._stages()
        events = self._without_duplicates()
        seen = {event.kind for event in events}
        if self.untyped_apneas:
            seen |= {"obstructive_apnea"}
        kinds = self.scored_kinds if self.scored_kinds is not None else kinds_scored_with(seen)
        self._report()
        meta: dict[str, Any] = {}
        if self.start is not None:
            meta["start_has_date"] = has_real_date(self.start)
        if self.recording_duration_s is not None:
            meta["recording_duration_s"] = self.recording_duration_s
        return Scoring(
            stages=tuple(stages),
            events=tuple(events),
            scorer=Scorer("expert", self.scorer_name),
            start=self.start,
            lights_off_s=self.lights_off_s,
            lights_on_s=self.lights_on_s,
            has_events=bool(kinds),
            scored_kinds=kinds,
            untyped_apneas=tuple(sorted(self.untyped_apneas)),
            problems=tuple(self.problems),
            meta=meta,
        )

    def _check_epoch_length(self) -> None:
        """Refuse epochs that are not 30 s long, stated or evident from the rows."""
        length_s = self.epoch_s
        if length_s is None and len(self.rows) >= 5:
            common_s, count = Counter(row.duration_s for row in self.rows).most_common(1)[0]
            whole = all(float(row.duration_s).is_integer() for row in self.rows)
            divisor_s = math.gcd(*(int(row.duration_s) for row in self.rows)) if whole else 0
            if 0 < common_s < EPOCH_S and count > len(self.rows) / 2:
                length_s = common_s
            elif divisor_s in (10, 20):
                length_s = float(divisor_s)
        if length_s is not None and abs(length_s - EPOCH_S) > 1e-6:
            raise ScoringError(
                f"{self.name}: epochs of {length_s:g} s; SleepLM reads 30-s epochs: export the "
                "hypnogram with 30-s epochs"
            )

    def _stages(self) -> list[str]:
        """Rows laid on the 30-s grid; each epoch gets the stage that fills most of it.

        A row is taken at its own time, so one row may fill fifty epochs. Seconds that no row
        covers count as unscored.
        """
        if not self.rows:
            return []
        if max(row.onset_s + row.duration_s for row in self.rows) > LONGEST_S:
            raise ScoringError(
                f"{self.name}: a stage row ends after more than 7 days; the times are damaged"
            )
        end_s = max(row.onset_s + row.duration_s for row in self.rows)
        n_epochs = max(math.ceil(end_s / EPOCH_S - 1e-6), 0)
        names = (*STAGES, UNSCORED)
        seconds = np.zeros((n_epochs, len(names)))
        off_grid = before = 0
        for row in self.rows:
            start_s, stop_s = row.onset_s, row.onset_s + row.duration_s
            if abs(start_s / EPOCH_S - round(start_s / EPOCH_S)) * EPOCH_S > 0.5:
                off_grid += 1
            if start_s < 0:
                before += 1
                start_s = 0.0
            for index in range(int(start_s // EPOCH_S), n_epochs):
                overlap = min(stop_s, (index + 1) * EPOCH_S) - max(start_s, index * EPOCH_S)
                if overlap <= 0:
                    break
                seconds[index, names.index(row.stage)] += overlap
        covered = seconds.sum(axis=1)
        if off_grid:
            self.problems.append(
                f"{off_grid} stage rows do not start on the 30-s grid; each epoch has the stage "
                "that fills most of it"
            )
        if before:
            self.problems.append(f"{before} stage rows start before the scoring does and were cut")
        overlapping = int((covered > EPOCH_S + 0.5).sum())
        if overlapping:
            self.problems.append(
                f"{overlapping} epochs have more than one stage row; the longer one counts"
            )
        seconds[:, -1] += np.clip(EPOCH_S - covered, 0, None)
        holes = int((covered < 0.5).sum())
        if holes:
            self.problems.append(f"{holes} epochs between the stage rows have no stage: unscored")
        stages = [names[index] for index in seconds.argmax(axis=1)]
        if n_epochs and covered[-1] < EPOCH_S - 0.5 and stages[-1] == UNSCORED:
            stages.pop()
        return stages

    def _without_duplicates(self) -> list[Event]:
        if self.keep_duplicates:
            return self.events
        first: dict[tuple[str, float, float, str | None], Event] = {}
        for event in self.events:
            first.setdefault((event.kind, event.onset_s, event.duration_s, event.channel), event)
        if len(first) < len(self.events):
            self.problems.append(
                f"{len(self.events) - len(first)} events stand in the file twice and count once"
            )
        return list(first.values())

    def _report(self) -> None:
        if self.unknown:
            self.problems.append(
                f"{self.unknown.total()} rows with {len(self.unknown)} different unknown labels "
                "were left out"
            )
        for what, count in self.left_out.items():
            self.problems.append(f"{count} {what}")
        if self.untyped_apneas:
            self.problems.append(
                f"{len(self.untyped_apneas)} apneas have no type; they count in the AHI and as "
                "no type of apnea"
            )
