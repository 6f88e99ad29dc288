"""Parts of a night: epoch ranges, clock times over midnight, stages, thirds, body positions.

A :class:`When` is what an LLM fills in; :func:`resolve` turns it into a :class:`Scope` of one
night. Events belong to a scope by their onset (and, for stages, by the first sleep epoch that they
touch), so the halves of a night add up to the whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sleeplm.scoring import EPOCH_S, SLEEP_STAGES
from tools.failures import CannotAnswer, TryAgain

if TYPE_CHECKING:
    from sleeplm.night import Night
    from sleeplm.scoring import Event, Scoring

__all__ = ["Part", "Scope", "When", "moment_s", "resolve"]

DAY_S = 86400.0
#: REM epochs closer than this belong to one REM period (after Feinberg and Floyd, Psychophysiology
#: 1979;16:283: 15 min without REM part two periods). How long a period lasts is not asked here.
REM_GAP_MIN = 15.0
NREM_STAGES = ("N1", "N2", "N3")
_CLOCK = re.compile(
    r"(?P<sign>\+?)(?P<hour>\d{1,3})(?::(?P<minute>\d{2}))?(?::(?P<second>\d{2}))?\s*(?P<half>am|pm)?",
    re.IGNORECASE,
)

_SYNONYMS = {
    "rem": "R",
    "rem sleep": "R",
    "wake": "W",
    "awake": "W",
    "deep": "N3",
    "deep sleep": "N3",
    "sws": "N3",
    "nrem": "NREM",
    "non-rem": "NREM",
    "asleep": "sleep",
    "back": "supine",
    "on the back": "supine",
    "left side": "left",
    "right side": "right",
    "stomach": "prone",
    "first half": "first_half",
    "second half": "second_half",
    "first third": "first_third",
    "last third": "last_third",
    "first hour": "first_hour",
    "last hour": "last_hour",
    "whole night": "whole",
}

Part = Literal[
    "whole", "first_half", "second_half", "first_third", "last_third", "first_hour", "last_hour"
]


class When(BaseModel):
    """A part of the night; several fields together mean their intersection."""

    model_config = ConfigDict(extra="forbid")

    epochs: list[int] | None = Field(
        None,
        min_length=2,
        max_length=2,
        description="first and last epoch number, both included; epochs are 30 s, counted from 1",
    )
    clock_from: str | None = Field(
        None,
        description="clock time HH:MM or HH:MM:SS (24 h) to begin at; +HH:MM:SS counts from the "
        "start of the recording",
    )
    clock_to: str | None = Field(
        None, description="clock time to end at; may lie past midnight", examples=["02:30"]
    )
    stage: Literal["W", "N1", "N2", "N3", "R", "sleep", "NREM"] | None = Field(
        None, description="only epochs of this sleep stage (R is REM)"
    )
    part: Part | None = Field(None, description="part of the recording")
    position: Literal["supine", "left", "right", "prone", "upright"] | None = Field(
        None, description="only epochs in this body position"
    )
    rem_period: int | None = Field(
        None, ge=1, le=12, description="only this REM period, counted from 1"
    )
    after_sleep_onset_min: list[float] | None = Field(
        None,
        min_length=2,
        max_length=2,
        description="from and to, in minutes after sleep onset, e.g. [60, 90]",
    )

    before_event: str | None = Field(
        None,
        max_length=120,
        description="only the epochs just before those in which such scored events begin, in "
        "words, e.g. 'arousal'",
    )
    around_event: str | None = Field(
        None,
        max_length=120,
        description="only the epochs that such scored events touch and one on either side, in "
        "words, e.g. 'obstructive apnea'",
    )

    @property
    def needs_stages(self) -> bool:
        """Whether this part cannot be found without a scoring."""
        held = (
            self.stage,
            self.rem_period,
            self.after_sleep_onset_min,
            self.before_event,
            self.around_event,
        )
        return any(part is not None for part in held)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        """LLMs also write the object as JSON text, and nothing as an empty text."""
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                return value
        if isinstance(value, dict):
            return {name: None if part in ("", []) else part for name, part in value.items()}
        return value

    @field_validator("stage", "position", "part", mode="before")
    @classmethod
    def _as_known(cls, value: Any) -> Any:
        """Say R for "rem", supine for "on the back", first_half for "first half"."""
        if not isinstance(value, str):
            return value
        words = value.strip().lower()
        if words in _SYNONYMS:
            return _SYNONYMS[words]
        return value.strip().upper() if words in ("w", "n1", "n2", "n3", "r") else value

    @field_validator("epochs", mode="before")
    @classmethod
    def _as_range(cls, value: Any) -> Any:
        """LLMs also write 120, [120] and "100-110"."""
        if isinstance(value, str):
            value = [part for part in re.split(r"[^0-9]+", value) if part]
        if isinstance(value, int):
            value = [value]
        return [*value, *value] if isinstance(value, list) and len(value) == 1 else value


@dataclass(frozen=True)
class Scope:
    """The epochs of one night that a question is about.

    Parameters
    ----------
    mask : bool array [n_epochs]
        Epochs in scope.
    spans : tuple of (start_s, end_s)
        Stretches of the recording in scope by time alone, before stage and position.
    stages : frozenset of str or None
        Stages in scope; None is any.
    position : str or None
        Body position in scope; None is any.
    text : str
        The scope in words.
    timed : bool array [n_epochs] or None
        Epochs in scope by time and position, whatever their stage.
    """

    mask: np.ndarray
    spans: tuple[tuple[float, float], ...]
    stages: frozenset[str] | None
    position: str | None
    text: str
    timed: np.ndarray | None = None

    def mask_by(self, scoring: Scoring) -> np.ndarray:
        """The epochs of the same times and position, with the stages of another scorer."""
        if self.stages is None or self.timed is None:
            return self.mask
        stages = np.array(_padded(scoring.stages, len(self.mask)))
        return self.timed & np.isin(stages, list(self.stages))

    @property
    def epochs(self) -> list[int]:
        """Indices (from 0) of the epochs in scope."""
        return [int(index) for index in np.flatnonzero(self.mask)]

    @property
    def is_whole(self) -> bool:
        return bool(self.mask.all()) and self.stages is None and self.position is None

    def stage_of(self, event: Event, scoring: Scoring) -> str:
        """Stage that an event is counted under: its first sleep epoch, else where it begins."""
        return scoring.sleep_stage_of(event) or scoring.stage_at(event.onset_s)

    def holds(self, event: Event, scoring: Scoring, positions: list[str | None]) -> bool:
        """Whether the event begins in this scope."""
        if not any(start <= event.onset_s < end for start, end in self.spans):
            return False
        return self._fits(event, scoring, positions)

    def is_reached_by(self, event: Event, scoring: Scoring, positions: list[str | None]) -> bool:
        """Whether the event began before a stretch of this scope and reaches into it."""
        reaches = any(event.onset_s < start and event.end_s > start for start, _ in self.spans)
        begins_inside = any(start <= event.onset_s < end for start, end in self.spans)
        return reaches and not begins_inside and self._fits(event, scoring, positions)

    def _fits(self, event: Event, scoring: Scoring, positions: list[str | None]) -> bool:
        if self.stages is not None and self.stage_of(event, scoring) not in self.stages:
            return False
        index = int(event.onset_s // EPOCH_S)
        return self.position is None or (
            0 <= index < len(positions) and positions[index] == self.position
        )


def resolve(
    when: When | None, night: Night, scoring: Scoring, positions: list[str | None]
) -> Scope:
    """Turn a ``When`` into the epochs of one night.

    Parameters
    ----------
    when : When or None
        None is the whole night.
    night : Night
        For its length and clock.
    scoring : Scoring
        Whose stages a stage filter means.
    positions : list of str or None
        Body position of each epoch, None where unknown.

    Raises
    ------
    TryAgain
        A range outside the recording, or nothing left after the intersection.
    CannotAnswer
        Stages or positions that this night does not know.
    """
    n_epochs = night.n_epochs
    end_s = n_epochs * EPOCH_S
    if when is None:
        return Scope(np.ones(n_epochs, bool), ((0.0, end_s),), None, None, "the whole recording")
    spans = [(0.0, end_s)]
    words: list[str] = []
    if when.part is not None and when.part != "whole":
        part = _part_span(when.part, n_epochs)
        spans = _intersect(spans, [part])
        words.append(f"{when.part.replace('_', ' ')} of the recording")
    if when.epochs is not None:
        spans = _intersect(spans, [_epoch_span(when.epochs, n_epochs)])
    if when.clock_from is not None or when.clock_to is not None:
        spans = _intersect(spans, _clock_spans(when.clock_from, when.clock_to, night, end_s))
    if when.rem_period is not None:
        spans = _intersect(spans, [_rem_period_span(when.rem_period, scoring)])
        words.append(f"REM period {when.rem_period}")
    if when.after_sleep_onset_min is not None:
        first_min, last_min = when.after_sleep_onset_min
        onset_s = _sleep_onset_s(scoring)
        spans = _intersect(spans, [(onset_s + first_min * 60, onset_s + last_min * 60)])
        words.append(f"{first_min:g} to {last_min:g} min after sleep onset")
    if when.before_event is not None:
        before = _before_spans(when.before_event, scoring)
        spans = _intersect(spans, before)
        words.append(f"the epochs before {len(before)} {when.before_event} epochs")
    if when.around_event is not None:
        around, count = _around_spans(when.around_event, scoring, n_epochs)
        spans = _intersect(spans, around)
        words.append(f"the epochs around {count} {when.around_event} events")
    if not spans:
        raise TryAgain(
            "these parts of the night do not overlap: "
            f"{when.model_dump(exclude_none=True)}; {_allowed(night)}"
        )
    middles_s = (np.arange(n_epochs) + 0.5) * EPOCH_S
    mask = np.zeros(n_epochs, bool)
    for start, stop in spans:
        mask |= (middles_s + EPOCH_S / 2 > start) & (middles_s - EPOCH_S / 2 < stop)
    timed = mask.copy()
    stages = _stage_set(when.stage)
    if stages is not None:
        if all(stage not in SLEEP_STAGES and stage != "W" for stage in scoring.stages):
            raise CannotAnswer("no epoch of this night has a stage, so it cannot be split by stage")
        mask &= np.isin(np.array(_padded(scoring.stages, n_epochs)), list(stages))
        words.append("REM" if when.stage == "R" else str(when.stage))
    if when.position is not None:
        if all(position is None for position in positions):
            raise CannotAnswer("the body position was not recorded in this night")
        placed = np.array([position == when.position for position in positions], dtype=bool)
        mask &= placed
        timed &= placed
        words.append(f"{when.position} position")
    if not mask.any():
        raise CannotAnswer(
            f"there is no {' and '.join(words) or 'epoch'} "
            f"in {_span_text(spans, night)} (by the {scoring.scorer.kind} scoring)"
        )
    limited = when.epochs is not None or when.clock_from is not None or when.clock_to is not None
    limited = limited or when.rem_period is not None or when.after_sleep_onset_min is not None
    if when.before_event is not None or when.around_event is not None:
        limited = False  # hundreds of single epochs are counted, not listed
    if limited or (when.part not in (None, "whole")):
        words.append(_span_text(spans, night))
    return Scope(
        mask,
        tuple(spans),
        stages,
        when.position,
        ", ".join(words) or "the whole recording",
        timed,
    )


def _sleep_onset_s(scoring: Scoring) -> float:
    for index, stage in enumerate(scoring.stages):
        if stage in SLEEP_STAGES:
            return index * EPOCH_S
    raise CannotAnswer(f"there is no sleep by the {scoring.scorer.kind} scoring")


def _rem_period_span(number: int, scoring: Scoring) -> tuple[float, float]:
    """The n-th REM period: REM epochs with less than :data:`REM_GAP_MIN` between them."""
    rem = [index for index, stage in enumerate(scoring.stages) if stage == "R"]
    periods: list[list[int]] = []
    for index in rem:
        if periods and (index - periods[-1][1] - 1) * EPOCH_S < REM_GAP_MIN * 60:
            periods[-1][1] = index
        else:
            periods.append([index, index])
    if number > len(periods):
        raise CannotAnswer(
            f"there is no REM period {number}: the {scoring.scorer.kind} scoring has {len(periods)}"
        )
    first, last = periods[number - 1]
    return first * EPOCH_S, (last + 1) * EPOCH_S


def _named_events(field: str, text: str, scoring: Scoring) -> tuple[Event, ...]:
    """Scored events that words name.

    Raises
    ------
    TryAgain
        The words name none.
    CannotAnswer
        They were not looked for, or there are none.
    """
    from tools.vocabulary import read_query

    kinds = read_query(text).kinds
    if not kinds:
        raise TryAgain(f"{field} must name scored events, such as 'arousal' or 'apnea'")
    if not any(scoring.looked_for(kind) for kind in kinds):
        raise CannotAnswer(f"the {scoring.scorer.kind} scoring did not look for these events")
    events = scoring.events_of(kinds)
    if not events:
        raise CannotAnswer(f"there is no such event by the {scoring.scorer.kind} scoring")
    return events


def _before_spans(text: str, scoring: Scoring) -> list[tuple[float, float]]:
    """The epoch before each epoch in which such an event begins, each once."""
    events = _named_events("before_event", text, scoring)
    begins = {int(event.onset_s // EPOCH_S) for event in events}
    before = sorted({index - 1 for index in begins} - begins - {-1})
    if not before:
        raise CannotAnswer("every epoch before such an event holds one itself")
    return [(index * EPOCH_S, (index + 1) * EPOCH_S) for index in before]


def _around_spans(
    text: str, scoring: Scoring, n_epochs: int
) -> tuple[list[tuple[float, float]], int]:
    """The epochs that such events touch and one on either side, and how many events these are."""
    events = _named_events("around_event", text, scoring)
    touched: set[int] = set()
    for event in events:
        first = int(event.onset_s // EPOCH_S)
        last = max(int(np.ceil(event.end_s / EPOCH_S)) - 1, first)
        touched.update(range(first - 1, last + 2))
    inside = sorted(index for index in touched if 0 <= index < n_epochs)
    return [(index * EPOCH_S, (index + 1) * EPOCH_S) for index in inside], len(events)


def _stage_set(stage: str | None) -> frozenset[str] | None:
    if stage is None:
        return None
    groups: Mapping[str, tuple[str, ...]] = {"sleep": SLEEP_STAGES, "NREM": NREM_STAGES}
    return frozenset(groups.get(stage, (stage,)))


def _padded(stages: tuple[str, ...], n_epochs: int) -> list[str]:
    return [stages[index] if index < len(stages) else "unscored" for index in range(n_epochs)]


def _part_span(part: str, n_epochs: int) -> tuple[float, float]:
    # Whole epochs, so that no epoch belongs to both halves.
    hour = min(n_epochs, round(3600 / EPOCH_S))
    first, last = {
        "first_half": (0, n_epochs // 2 or n_epochs),
        "second_half": (n_epochs // 2, n_epochs),
        "first_third": (0, n_epochs // 3 or n_epochs),
        "last_third": (n_epochs - (n_epochs // 3 or n_epochs), n_epochs),
        "first_hour": (0, hour),
        "last_hour": (n_epochs - hour, n_epochs),
    }[part]
    return first * EPOCH_S, last * EPOCH_S


def _epoch_span(epochs: list[int], n_epochs: int) -> tuple[float, float]:
    first, last = epochs
    if first > last or first < 1 or last > n_epochs:
        raise TryAgain(
            f"epochs {first}-{last} are not in this night; its epochs run from 1 to {n_epochs}, "
            "first number not above the last"
        )
    return (first - 1) * EPOCH_S, last * EPOCH_S


def _clock_spans(
    clock_from: str | None, clock_to: str | None, night: Night, end_s: float
) -> list[tuple[float, float]]:
    start = _offset_s(clock_from, night) if clock_from is not None else None
    stop = _offset_s(clock_to, night) if clock_to is not None else None
    relative = (clock_from or clock_to or "").startswith("+")
    if start is not None and stop is not None:
        if relative and stop < start:
            raise TryAgain(f"{clock_to} lies before {clock_from}; {_allowed(night)}")
        length = (stop - start) % DAY_S
        if length == 0:  # one moment: the epoch that holds it
            start, length = start // EPOCH_S * EPOCH_S, EPOCH_S
        wanted = [(start + k * DAY_S, start + length + k * DAY_S) for k in (-1, 0, 1)]
    elif start is not None:
        # A time of day outside the recording is before it or after it, whichever is nearer.
        before = start >= end_s and not relative and start - end_s > DAY_S - start
        wanted = [(0.0 if before else start, end_s)]
    else:
        assert stop is not None
        if stop > end_s and not relative and stop - end_s > DAY_S - stop:
            stop = 0.0
        wanted = [(0.0, stop)]
    spans = _intersect([(0.0, end_s)], wanted)
    if not spans:
        raise TryAgain(
            f"{clock_from or 'the start'} to {clock_to or 'the end'} is not in this night; "
            f"{_allowed(night)}"
        )
    return spans


def moment_s(text: str, night: Night) -> float:
    """Seconds from the start of the recording to a clock time within it.

    Raises
    ------
    TryAgain
        Not a clock time, or outside the recording.
    """
    seconds = _offset_s(text, night)
    if not 0 <= seconds <= night.n_epochs * EPOCH_S:
        raise TryAgain(f"{text} is not in this night; {_allowed(night)}")
    return seconds


def _offset_s(text: str, night: Night) -> float:
    """Seconds from the start of the recording to the next such time of day (or ``+H:M:S``)."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        raise TryAgain(f"clock time {text!r} is not HH:MM or HH:MM:SS; {_allowed(night)}")
    hour = int(match["hour"])
    minute, second = int(match["minute"] or 0), int(match["second"] or 0)
    if match["half"]:
        hour = hour % 12 + (12 if match["half"].lower() == "pm" else 0)
    if minute > 59 or second > 59:
        raise TryAgain(f"clock time {text!r} has more than 59 minutes or seconds")
    seconds = hour * 3600.0 + minute * 60 + second
    if match["sign"]:
        return seconds
    if hour > 24 or seconds > DAY_S:
        raise TryAgain(f"clock time {text!r} is not a time of day; {_allowed(night)}")
    if night.start is None:
        raise TryAgain(
            f"the start time of this recording is unknown, so {text!r} has no place in it; "
            f"{_allowed(night)}"
        )
    midnight = night.start.replace(hour=0, minute=0, second=0, microsecond=0)
    return (seconds - (night.start - midnight) / timedelta(seconds=1)) % DAY_S


def _intersect(
    left: list[tuple[float, float]], right: list[tuple[float, float]]
) -> list[tuple[float, float]]:
    pairs = ((max(a, c), min(b, d)) for a, b in left for c, d in right)
    return sorted((start, end) for start, end in pairs if end > start)


def _span_text(spans: list[tuple[float, float]], night: Night) -> str:
    texts = []
    for start, end in spans:
        first, last = int(start // EPOCH_S) + 1, int(np.ceil(end / EPOCH_S))
        numbers = f"epochs {first}-{last}" if last > first else f"epoch {first}"
        texts.append(f"{numbers} ({night.clock(start)}-{night.clock(end)})")
    return " and ".join(texts)


def _allowed(night: Night) -> str:
    end_s = night.n_epochs * EPOCH_S
    return (
        f"the recording runs from {night.clock(0.0)} to {night.clock(end_s)}, "
        f"epochs 1 to {night.n_epochs}"
    )
