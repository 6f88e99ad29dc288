"""What is known of each epoch and event of a night, and by whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sleeplm.errors import ScoringError
from sleeplm.hypopneas import fall_with, fall_within, stated_depth
from sleeplm.scoring import (
    EPOCH_S,
    EVENT_KINDS,
    RESPIRATORY_KINDS,
    SLEEP_STAGES,
    UNSCORED,
    Event,
    Scoring,
)
from tools.artifacts import Evidence, FoundEvent, ScopeView
from tools.measured import measured_events
from tools.when import Scope, When, resolve
from tools.witnesses import scorings_at_hand

if TYPE_CHECKING:
    from sleeplm.night import Night
    from tools.session import Session

__all__ = [
    "NightFacts",
    "counted",
    "event_evidence",
    "event_words",
    "kind_words",
    "number",
    "place",
]

#: The fall in saturation follows a breathing event by the time blood takes from lung to finger.
DESATURATION_DELAY_S = 30.0
SIGNAL_RATE_HZ = 64.0
#: Terms of an event that may be told: name in its evidence → (words, unit).
_TERMS: dict[str, tuple[str, str]] = {
    "flow_reduction_pct": ("flow reduced by", " %"),
    "desaturation_pct": ("desaturation", " %"),
    "effort_ratio": ("effort ratio", ""),
    "phase_angle_deg": ("phase between the belts", " degrees"),
    "rate_bpm": ("rate", " bpm"),
}


@dataclass(frozen=True)
class NightFacts:
    """One night as one scoring sees it.

    Parameters
    ----------
    night : Night
        The night.
    scoring : Scoring
        Stages and events that answers rest on.
    event_source, stage_source : str
        Whose they are; they differ where an expert scored stages only.
    """

    night: Night
    scoring: Scoring
    event_source: str
    stage_source: str

    @classmethod
    def of(cls, session: Session, kinds: Sequence[str] | None = None) -> NightFacts:
        """Facts by the session's scoring.

        Where events of ``kinds`` are asked for and the scorer looked for none of them (a hypnogram
        holds no events at all), what the signals show by a rule is measured, other events are the
        automatic scoring's where that looked for them, else the model's; stages stay the scorer's.
        """
        night, scoring = session.night, session.scored()
        source = scoring.scorer.kind
        kinds = [kind for kind in kinds or () if kind in EVENT_KINDS]
        if kinds and not any(scoring.looked_for(kind) for kind in kinds):
            measured = measured_events(night, kinds[0]) if len(kinds) == 1 else None
            if measured is not None:
                falls = replace(
                    scoring,
                    events=tuple(
                        Event(e.kind, e.onset_s, e.duration_s, e.channel, None, e.evidence)
                        for e in measured.events
                    ),
                    has_events=True,
                    scored_kinds=tuple(kinds),
                )
                return cls(night, falls, "measured", source)
            if source == "model":
                return cls(night, scoring, source, source)
            read = _who_looked_for(night, kinds, source)
            merged = replace(
                scoring, events=read.events, has_events=True, scored_kinds=read.scored_kinds
            )
            return cls(night, merged, read.scorer.kind, source)
        return cls(night, scoring, source, source)

    @classmethod
    def at_hand(cls, session: Session) -> NightFacts:
        """Facts by the preferred scoring that exists already; where none does, without stages.

        A description needs no scoring, so none is made for it.
        """
        night = session.night
        for source, scoring in scorings_at_hand(session).items():
            return cls(night, scoring, source, source)
        unstaged = Scoring(stages=(UNSCORED,) * night.n_epochs, has_events=False)
        return cls(night, unstaged, "", "")

    @cached_property
    def positions(self) -> list[str | None]:
        """Body position of each epoch as measured; None where unknown."""
        from sleeplm.montage import POSITION_CODES

        names = {code: name for name, code in POSITION_CODES.items() if code >= 0}
        codes = self.measured("position")
        if codes is None:
            return [None] * self.night.n_epochs
        return [names.get(int(code)) if np.isfinite(code) else None for code in codes]

    def measured(self, field: str) -> np.ndarray | None:
        """A measured field, one value per epoch (nan = withheld), or None where there is none."""
        values = self.night.measurements().values.get(field)
        if values is None or not np.isfinite(values).any():
            return None
        return np.asarray(values, dtype=float)

    def scope(self, when: When | None) -> Scope:
        """Resolve a ``When`` on this night; body positions are measured only if it asks."""
        positions: list[str | None] = [None] * self.night.n_epochs
        if when is not None and when.position is not None:
            positions = self.positions
        return resolve(when, self.night, self.scoring, positions)

    def view(self, scope: Scope) -> ScopeView:
        """The scope for the screen."""
        epochs = scope.epochs
        return ScopeView(
            text=scope.text,
            n_epochs=len(epochs),
            first_epoch=epochs[0] + 1,
            last_epoch=epochs[-1] + 1,
            onset_s=epochs[0] * EPOCH_S,
            end_s=(epochs[-1] + 1) * EPOCH_S,
        )

    def stage(self, epoch: int) -> str:
        """Stage of an epoch index."""
        return self.scoring.stage_at(epoch * EPOCH_S)

    def kinds_in(self, epoch: int) -> list[str]:
        """Kinds of the scored events that touch an epoch index, each once."""
        start_s = epoch * EPOCH_S
        touching = (e.kind for e in self.scoring.events if e.overlaps(start_s, start_s + EPOCH_S))
        return sorted(set(touching))

    def is_sleep(self) -> np.ndarray:
        """bool [n_epochs]: scored as sleep."""
        return np.array([self.stage(i) in SLEEP_STAGES for i in range(self.night.n_epochs)], bool)

    def found(self, event: Event, kind: str | None = None, detail: str = "") -> FoundEvent:
        """A scored event with its stage, position and depth."""
        epoch = min(int(event.onset_s // EPOCH_S), self.night.n_epochs - 1)
        nadir_pct, nadir_source = self._nadir(event)
        stage = self.scoring.sleep_stage_of(event)
        return FoundEvent(
            kind=kind or event.kind,
            source=self.event_source,
            onset_s=round(event.onset_s, 2),
            duration_s=round(event.duration_s, 2),
            epoch=epoch + 1,
            clock=self.night.clock(event.onset_s),
            stage=stage or self.scoring.stage_at(event.onset_s),
            position=self.positions[epoch],
            in_sleep=stage is not None,
            nadir_pct=nadir_pct,
            nadir_source=nadir_source,
            confidence=event.confidence,
            channel=event.channel,
            detail=detail or self._terms(event),
            depth_pct=self._depth(event),
        )

    @staticmethod
    def _terms(event: Event) -> str | None:
        """The measured terms that the scorer kept with the event, from an allow-list."""
        known = [
            f"{words} {event.evidence[name]:.1f}{unit}"
            for name, (words, unit) in _TERMS.items()
            if name in event.evidence and np.isfinite(event.evidence[name])
        ]
        return ", ".join(known) or None

    def _depth(self, event: Event) -> float | None:
        """Fall of SpO2 in points: as scored with a desaturation, else measured around the event."""
        if event.kind == "desaturation":
            stated = stated_depth(event)
            if stated is None:
                stated = fall_within(event, self._spo2_pct if self._spo2_pct.size else None)
            return None if stated is None else round(stated, 1)
        if event.kind in (*RESPIRATORY_KINDS, "rera"):
            fall = fall_with(event, self._spo2_pct if self._spo2_pct.size else None)
            return None if fall is None else round(fall, 1)
        return None

    def _nadir(self, event: Event) -> tuple[float | None, str | None]:
        """Lowest SpO2 of a desaturation, or of the one that follows a breathing event.

        The scorer's own nadir where it gives one; else the lowest second of the oximeter during the
        event (and up to 30 s after a breathing event).
        """
        if event.kind not in (*RESPIRATORY_KINDS, "rera", "desaturation"):
            return None, None
        if "nadir_pct" in event.evidence:
            return float(event.evidence["nadir_pct"]), self.event_source
        end_s = event.end_s
        if event.kind != "desaturation":
            end_s += DESATURATION_DELAY_S
            for fall in self._desaturations:
                if event.onset_s <= fall.onset_s < end_s:
                    return self._nadir(fall)
        part = self._spo2_pct[max(int(event.onset_s), 0) : int(np.ceil(end_s))]
        part = part[np.isfinite(part)]
        return (round(float(part.min()), 1), "measured") if part.size else (None, None)

    @cached_property
    def _spo2_pct(self) -> np.ndarray:
        """Saturation per second, nan where the oximeter reads nothing plausible."""
        from sleeplm.physiology.oximetry import per_second, plausible_spo2

        samples = self.night.recording.channel("SPO2")
        if samples is None:
            return np.zeros(0)
        return plausible_spo2(per_second(samples, SIGNAL_RATE_HZ))

    @cached_property
    def _desaturations(self) -> tuple[Event, ...]:
        return self.scoring.events_of("desaturation")


def _who_looked_for(night: Night, kinds: Sequence[str], source: str) -> Scoring:
    """The automatic scoring where it looked for the kinds, else the model's reading."""
    if source != "automatic" and "automatic" in night.scorings:
        try:
            scoring = night.scoring_from("automatic")
        except ScoringError:
            return night.scoring_from("model")
        if any(scoring.looked_for(kind) for kind in kinds):
            return scoring
    return night.scoring_from("model")


def kind_words(kind: str, count: int = 1) -> str:
    """``obstructive_apnea`` → "obstructive apnea", in the plural where ``count`` is not 1."""
    words = {
        "plm": "periodic limb movement",
        "rera": "RERA",
        "cheyne_stokes": "Cheyne-Stokes run",
        "rem_burst": "REM burst",
    }
    text = words.get(kind, kind.replace("_", " "))
    if count == 1:
        return text
    if kind in ("bradycardia", "tachycardia"):
        return f"{text} episodes"
    return f"{text}s"


def counted(count: int, kind: str) -> str:
    """ "41 obstructive apneas"."""
    return f"{count} {kind_words(kind, count)}"


def number(value: float, unit: str = "") -> str:
    """A value with one decimal and its unit."""
    return f"{value:.1f} {unit}".rstrip()


def place(clock: str, epoch: int, stage: str | None = None) -> str:
    """ "at 02:14:30 (epoch 509, N2)"."""
    return f"at {clock} (epoch {epoch}{f', {stage}' if stage and stage != UNSCORED else ''})"


def event_words(event: FoundEvent) -> str:
    """One line about an event."""
    parts = [
        f"{event.clock} epoch {event.epoch} {event.stage}",
        event.position or "",
        f"{event.duration_s:.1f} s",
    ]
    if event.nadir_pct is not None:
        parts.append(f"lowest SpO2 {event.nadir_pct:.1f} % [{event.nadir_source}]")
    if event.detail:
        parts.append(event.detail)
    if event.confidence is not None:
        parts.append(f"score {event.confidence:.2f}")
    return ", ".join(part for part in parts if part)


def event_evidence(events: Sequence[FoundEvent], words: str | None = None) -> list[Evidence]:
    """Citable facts of events."""
    return [
        Evidence(
            kind="event",
            source=event.source,
            text=f"{words or kind_words(event.kind)}, {event_words(event)}",
            value=event.duration_s,
            unit="s",
            epoch=event.epoch,
            onset_s=event.onset_s,
            end_s=event.end_s,
            clock=event.clock,
            field=event.kind,
        )
        for event in events
    ]
