"""Stages and events of one night, by a named scorer.

Times are seconds from the start of the *recording* once a scoring is aligned
(:meth:`Scoring.aligned`), and from the scoring's own start before that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np

from sleeplm.errors import ScoringError

__all__ = [
    "EPOCH_S",
    "EVENT_FAMILIES",
    "EVENT_KINDS",
    "RESPIRATORY_KINDS",
    "SLEEP_STAGES",
    "STAGES",
    "UNSCORED",
    "Event",
    "Scorer",
    "Scoring",
    "has_real_date",
    "kinds_scored_with",
]

EPOCH_S = 30.0
STAGES = ("W", "N1", "N2", "N3", "R")
SLEEP_STAGES = ("N1", "N2", "N3", "R")
UNSCORED = "unscored"
EVENT_KINDS = (
    "obstructive_apnea",
    "central_apnea",
    "mixed_apnea",
    "hypopnea",
    "rera",
    "desaturation",
    "arousal",
    "limb_movement",
    "plm",
    "snore",
    "bradycardia",
    "tachycardia",
    "cheyne_stokes",
    "artifact",
)
RESPIRATORY_KINDS = ("obstructive_apnea", "central_apnea", "mixed_apnea", "hypopnea")
SCORER_KINDS = ("expert", "automatic", "model")
EVENT_FAMILIES = (
    (*RESPIRATORY_KINDS, "rera"),
    ("desaturation",),
    ("arousal",),
    ("limb_movement", "plm"),
    ("snore",),
    ("bradycardia", "tachycardia"),
    ("cheyne_stokes",),
    ("artifact",),
)
"""Kinds scored together: where one of a family is in a file, its others were looked for."""
_RULE_CODE = re.compile(r"[a-z0-9_]{1,40}")
MISMATCH_S = 600.0
"""A stated length that differs by more than this from the recording is of another night."""
PLACEHOLDER_DATES = ((1985, 1, 1), (2000, 1, 1), (1970, 1, 1), (1900, 1, 1), (1901, 1, 1))
"""Dates that stand for "unknown" in de-identified files (EDF+ asks for 01.01.85)."""


def has_real_date(start: datetime) -> bool:
    """Whether the date says something; that of a de-identified file does not."""
    return (start.year, start.month, start.day) not in PLACEHOLDER_DATES


def kinds_scored_with(seen: Iterable[str]) -> tuple[str, ...]:
    """All kinds of the families of which one kind was seen, in the order of the allow-list."""
    found = set(seen)
    scored = {kind for family in EVENT_FAMILIES if found & set(family) for kind in family}
    return tuple(kind for kind in EVENT_KINDS if kind in scored)


@dataclass(frozen=True)
class Event:
    """One scored event.

    Parameters
    ----------
    kind : str
        One of :data:`EVENT_KINDS`.
    onset_s, duration_s : float
        Seconds; the duration is never negative.
    channel : str or None
        A montage channel name (``"AF"``, ``"SPO2"``, …) where the scoring names one.
    confidence : float or None
        0–1; ranks events of one scorer, and is a probability only where the scorer says so.
    evidence : dict
        Typed measurements that belong to the event: ``baseline_pct``, ``nadir_pct`` of a
        desaturation, ``flow_reduction_pct`` … No free text of a file.
    rule : str or None
        Code of the rule that admitted the event, such as ``aasm_1a_graded``; never a sentence.

    Raises
    ------
    ScoringError
        The kind is not on the allow-list, or a time is not finite or negative in length.
    """

    kind: str
    onset_s: float
    duration_s: float
    channel: str | None = None
    confidence: float | None = None
    evidence: dict[str, float] = field(default_factory=dict, compare=False)
    rule: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in EVENT_KINDS:
            raise ScoringError(
                f"event kind {str(self.kind)[:24]!r} is not known; "
                f"use one of {', '.join(EVENT_KINDS)}"
            )
        if not np.isfinite(self.onset_s) or not np.isfinite(self.duration_s):
            raise ScoringError(f"{self.kind}: onset and duration must be finite numbers of seconds")
        if self.duration_s < 0:
            raise ScoringError(f"{self.kind} at {self.onset_s} s: negative duration")
        if self.rule is not None and not _RULE_CODE.fullmatch(self.rule):
            raise ScoringError(f"{self.kind} at {self.onset_s} s: its rule is no code of a rule")

    @property
    def end_s(self) -> float:
        return self.onset_s + self.duration_s

    def overlaps(self, start_s: float, end_s: float) -> bool:
        """Whether any part of the event lies in [start_s, end_s)."""
        return self.onset_s < end_s and max(self.end_s, self.onset_s + 1e-6) > start_s


@dataclass(frozen=True)
class Scorer:
    """Whose scoring it is: ``kind`` expert, automatic or model, with a name and a version."""

    kind: str
    name: str = ""
    version: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in SCORER_KINDS:
            raise ScoringError(
                f"scorer kind {self.kind!r} is not known; use one of {', '.join(SCORER_KINDS)}"
            )


@dataclass(frozen=True)
class Scoring:
    """Stages and events of one night.

    Parameters
    ----------
    stages : tuple of str
        One per 30-s epoch: ``W N1 N2 N3 R`` or ``unscored``.
    events : tuple of Event
        Sorted by onset.
    scorer : Scorer
        Whose work it is.
    start : datetime or None
        Clock time of the first epoch, without a time zone, as EDF keeps it.
    offset_s : float
        Seconds from the start of the recording to the first scored epoch of the file; 0 until
        the scoring is aligned with a recording.
    lights_off_s, lights_on_s : float or None
        Seconds, where the scoring states them.
    probabilities : array [n_epochs, 5] or None
        Per epoch, in the order of :data:`STAGES`.
    has_events : bool
        False where the source holds stages only (a hypnogram), so that "no events" is not
        mistaken for "no apneas".
    scored_kinds : tuple of str or None
        Kinds that the scorer looked for, so that none of them means none; None means all. Readers
        of files that do not state it name the families of which they saw an event.
    untyped_apneas : tuple of (onset_s, duration_s)
        Apneas whose type the scorer did not say: they count in the AHI and as no type.
    problems : tuple of str
        What was left out while reading, in one sentence each.
    analysed : tuple of bool or None
        Per epoch, whether breathing was recorded well enough to be scored: respiratory indices are
        per hour of sleep among these epochs, or per hour of these epochs where nothing is staged
        (polygraphy). None where the scorer does not say.
    """

    stages: tuple[str, ...]
    events: tuple[Event, ...] = ()
    scorer: Scorer = Scorer("expert")
    start: datetime | None = None
    offset_s: float = 0.0
    lights_off_s: float | None = None
    lights_on_s: float | None = None
    probabilities: np.ndarray | None = field(default=None, compare=False)
    has_events: bool = True
    scored_kinds: tuple[str, ...] | None = None
    untyped_apneas: tuple[tuple[float, float], ...] = ()
    problems: tuple[str, ...] = ()
    analysed: tuple[bool, ...] | None = None
    meta: dict[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        known = (*STAGES, UNSCORED)
        for number, stage in enumerate(self.stages, start=1):
            if stage not in known:
                raise ScoringError(
                    f"epoch {number}: stage {str(stage)[:12]!r} is not known; "
                    f"use one of {', '.join(known)}"
                )
        ordered = tuple(sorted(self.events, key=lambda event: (event.onset_s, event.kind)))
        object.__setattr__(self, "events", ordered)
        if self.probabilities is not None and self.probabilities.shape != (
            len(self.stages),
            len(STAGES),
        ):
            raise ScoringError(
                f"stage probabilities have shape {self.probabilities.shape}, "
                f"expected {(len(self.stages), len(STAGES))}"
            )
        if self.analysed is not None and len(self.analysed) != len(self.stages):
            raise ScoringError(
                f"analysed has {len(self.analysed)} epochs, the stages {len(self.stages)}"
            )

    @property
    def n_epochs(self) -> int:
        return len(self.stages)

    def stage_at(self, time_s: float) -> str:
        """Stage of the epoch that holds ``time_s``; ``unscored`` outside the scoring."""
        index = int(time_s // EPOCH_S)
        return self.stages[index] if 0 <= index < len(self.stages) else UNSCORED

    def events_of(self, kinds: str | Iterable[str]) -> tuple[Event, ...]:
        """Events of one or several kinds, by onset."""
        wanted = {kinds} if isinstance(kinds, str) else set(kinds)
        return tuple(event for event in self.events if event.kind in wanted)

    def looked_for(self, kinds: str | Iterable[str]) -> bool:
        """Whether the scorer looked for these kinds (all of them), so that none means none."""
        wanted = {kinds} if isinstance(kinds, str) else set(kinds)
        return self.has_events and (self.scored_kinds is None or wanted <= set(self.scored_kinds))

    def in_sleep(self, event: Event) -> bool:
        """Whether any part of the event lies in an epoch that is scored as sleep (AASM)."""
        return self.sleep_stage_of(event) is not None

    def sleep_stage_of(self, event: Event) -> str | None:
        """Stage of the first sleep epoch that the event touches; None for one all in wake.

        Attribution by the first sleep epoch counts an event across a stage edge once.
        """
        return self.sleep_stage_between(event.onset_s, event.end_s)

    def sleep_stage_between(self, start_s: float, end_s: float) -> str | None:
        """Stage of the first sleep epoch that touches [start_s, end_s); None where none does."""
        stages = self._stages_under(start_s, end_s)
        return next((stage for stage in stages if stage in SLEEP_STAGES), None)

    def _stages_under(self, start_s: float, end_s: float) -> Iterator[str]:
        first = int(start_s // EPOCH_S)
        last = int(np.ceil(max(end_s, start_s + 1e-6) / EPOCH_S))
        for index in range(max(first, 0), min(last, len(self.stages))):
            yield self.stages[index]

    def aligned(self, start: datetime | None, n_epochs: int) -> Scoring:
        """The same scoring on a recording's clock: ``n_epochs`` epochs from its start.

        With clock times on both sides the scoring is moved by their difference: stages by whole
        epochs (nearest), events exactly; where either date is a placeholder, by the nearest
        difference of the clock times. Without them both are taken to start together.

        Raises
        ------
        ScoringError
            Scoring and recording are of different nights: they do not overlap, or the recording
            length that the scoring states is more than ten minutes off, or (without clock times)
            the scored epochs run on for more than ten minutes after the recording ends.
        """
        offset_s = 0.0
        clocked = start is not None and self.start is not None
        if start is not None and self.start is not None:
            offset_s = (self.start - start).total_seconds()
            if not (has_real_date(start) and has_real_date(self.start)):
                offset_s -= round(offset_s / 86400) * 86400
        shift = round(offset_s / EPOCH_S)
        if self.stages and (shift >= n_epochs or shift + len(self.stages) <= 0):
            raise ScoringError(
                f"the scoring (from {self.start}, {len(self.stages)} epochs) does not overlap the "
                f"recording (from {start}, {n_epochs} epochs): it is of another night; "
                "name the right file with --scoring"
            )
        problems = [*self.problems, *self._length_problems(shift, n_epochs, clocked)]
        stages = [UNSCORED] * n_epochs
        probabilities = None
        if self.probabilities is not None:
            probabilities = np.full((n_epochs, len(STAGES)), np.nan, dtype=np.float32)
        for index, stage in enumerate(self.stages):
            if 0 <= index + shift < n_epochs:
                stages[index + shift] = stage
                if probabilities is not None and self.probabilities is not None:
                    probabilities[index + shift] = self.probabilities[index]
        analysed = None
        if self.analysed is not None:
            analysed = [False] * n_epochs
            for index, valid in enumerate(self.analysed):
                if 0 <= index + shift < n_epochs:
                    analysed[index + shift] = valid
        end_s = n_epochs * EPOCH_S
        events = tuple(
            replace(event, onset_s=event.onset_s + offset_s)
            for event in self.events
            if 0 <= event.onset_s + offset_s < end_s
        )
        if len(self.events) > len(events):
            problems.append(
                f"{len(self.events) - len(events)} scored events lie outside the recording"
            )

        def moved(time_s: float | None) -> float | None:
            return None if time_s is None else time_s + offset_s

        return replace(
            self,
            stages=tuple(stages),
            events=events,
            start=start if start is not None else self.start,
            offset_s=offset_s,
            lights_off_s=moved(self.lights_off_s),
            lights_on_s=moved(self.lights_on_s),
            probabilities=probabilities,
            untyped_apneas=tuple(
                (onset_s + offset_s, duration_s)
                for onset_s, duration_s in self.untyped_apneas
                if 0 <= onset_s + offset_s < end_s
            ),
            problems=tuple(dict.fromkeys(problems)),
            analysed=None if analysed is None else tuple(analysed),
        )

    def _length_problems(self, shift: int, n_epochs: int, clocked: bool) -> list[str]:
        """What does not fit between the lengths of scoring and recording; raises on a misfit."""
        problems = []
        stated_s = self.meta.get("recording_duration_s")
        length_s = n_epochs * EPOCH_S
        if stated_s is not None and abs(stated_s - length_s) > MISMATCH_S:
            raise ScoringError(
                f"the scoring is of a recording of {stated_s / 60:.1f} min, this one lasts "
                f"{length_s / 60:.1f} min: it is of another night; "
                "name the right file with --scoring"
            )
        scored = [index + shift for index, stage in enumerate(self.stages) if stage != UNSCORED]
        beyond = sum(index >= n_epochs for index in scored)
        before = sum(index < 0 for index in scored)
        if not clocked and beyond * EPOCH_S > MISMATCH_S:
            raise ScoringError(
                f"the scoring has {len(self.stages)} epochs, the recording {n_epochs}, and no "
                "clock time says how they lie: it is of another night; "
                "name the right file with --scoring"
            )
        if beyond + before:
            problems.append(
                f"{beyond + before} scored epochs lie outside the recording ({before} before its "
                f"start, {beyond} after its end) and were left out"
            )
        if (
            self.stages
            and (missing := n_epochs - sum(0 <= index < n_epochs for index in scored)) > 1
        ):
            problems.append(f"{missing} of {n_epochs} epochs of the recording are not scored")
        if shift:
            problems.append(
                f"the scoring starts {abs(shift * EPOCH_S) / 60:.1f} min "
                f"{'after' if shift > 0 else 'before'} the recording; "
                "it was moved by its clock time"
            )
        return problems

    def to_json(self) -> str:
        """The scoring JSON of the house: epoch_s, start, stages, events, scorer, meta and more."""
        return json.dumps(
            {
                "epoch_s": EPOCH_S,
                "start": self.start.isoformat() if self.start else None,
                "stages": list(self.stages),
                "events": [
                    {
                        "kind": event.kind,
                        "onset_s": event.onset_s,
                        "duration_s": event.duration_s,
                        "channel": event.channel,
                        **(
                            {"confidence": event.confidence} if event.confidence is not None else {}
                        ),
                        **({"evidence": event.evidence} if event.evidence else {}),
                        **({"rule": event.rule} if event.rule is not None else {}),
                    }
                    for event in self.events
                ],
                "scorer": {
                    "kind": self.scorer.kind,
                    "name": self.scorer.name,
                    "version": self.scorer.version,
                },
                "lights_off_s": self.lights_off_s,
                "lights_on_s": self.lights_on_s,
                "has_events": self.has_events,
                "scored_kinds": None if self.scored_kinds is None else list(self.scored_kinds),
                "untyped_apneas": [list(apnea) for apnea in self.untyped_apneas],
                "problems": list(self.problems),
                "analysed": None if self.analysed is None else list(self.analysed),
                "probabilities": self._probability_rows(),
                "meta": self.meta,
            },
            indent=1,
        )

    def _probability_rows(self) -> list[list[float] | None] | None:
        """Rows for JSON, which knows no NaN: an epoch without probabilities is null."""
        if self.probabilities is None:
            return None
        return [
            [round(float(value), 5) for value in row] if np.isfinite(row).all() else None
            for row in self.probabilities
        ]

    @classmethod
    def from_json(cls, text: str, name: str = "scoring JSON") -> Scoring:
        """Read :meth:`to_json`; ``name`` stands in the error messages.

        Raises
        ------
        ScoringError
            Not JSON, a field is missing, or epochs are not 30 s long.
        """
        try:
            data = json.loads(text)
            if float(data.get("epoch_s", EPOCH_S)) != EPOCH_S:
                raise ScoringError(f"epoch_s is {data['epoch_s']}; write the stages in 30-s epochs")
            scorer = data.get("scorer") or {"kind": "expert"}
            if isinstance(scorer, str):
                scorer = {"kind": scorer if scorer in SCORER_KINDS else "expert", "name": scorer}
            return cls(
                stages=tuple(data["stages"]),
                events=tuple(
                    Event(
                        entry["kind"],
                        float(entry["onset_s"]),
                        float(entry["duration_s"]),
                        entry.get("channel"),
                        entry.get("confidence"),
                        dict(entry.get("evidence") or {}),
                        entry.get("rule"),
                    )
                    for entry in data.get("events", [])
                ),
                scorer=Scorer(scorer["kind"], scorer.get("name", ""), scorer.get("version")),
                start=datetime.fromisoformat(data["start"]) if data.get("start") else None,
                lights_off_s=data.get("lights_off_s"),
                lights_on_s=data.get("lights_on_s"),
                has_events=bool(data.get("has_events", True)),
                scored_kinds=_allowed_kinds(data.get("scored_kinds")),
                untyped_apneas=tuple(
                    (float(onset_s), float(duration_s))
                    for onset_s, duration_s in data.get("untyped_apneas") or []
                ),
                problems=tuple(str(problem) for problem in data.get("problems") or []),
                analysed=_flags(data.get("analysed")),
                probabilities=_probabilities(data.get("probabilities")),
                meta=dict(data.get("meta") or {}),
            )
        except ScoringError as error:
            raise ScoringError(f"{name}: {error}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ScoringError(
                f"{name}: not a scoring JSON ({error!r}); it needs stages and events"
            ) from error


def _probabilities(rows: list[list[float] | None] | None) -> np.ndarray | None:
    if rows is None:
        return None
    nothing = [np.nan] * len(STAGES)
    return np.array([nothing if row is None else row for row in rows], dtype=np.float32)


def _flags(values: list[Any] | None) -> tuple[bool, ...] | None:
    return None if values is None else tuple(bool(value) for value in values)


def _allowed_kinds(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(kind for kind in EVENT_KINDS if kind in names)
