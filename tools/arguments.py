"""The arguments that an LLM fills in: plain JSON types, each with a description.

The night is not among them: it comes from the :class:`tools.session.Session` of the runtime.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tools.when import When

__all__ = [
    "SECTIONS",
    "SYSTEMS",
    "CompareArguments",
    "DescribeArguments",
    "ExplainArguments",
    "IndexRange",
    "LocateArguments",
    "Order",
    "Section",
    "SimilarArguments",
    "SummarizeArguments",
    "System",
    "When",
]

System = Literal["brain", "cardiac", "respiratory", "somatic", "stage_event"]
Section = Literal[
    "recording",
    "sleep",
    "stages",
    "respiratory",
    "oximetry",
    "arousals",
    "cardiac",
    "movement",
    "position",
    "insights",
]
Order = Literal["time", "longest", "shortest", "deepest", "confidence"]
SYSTEMS: tuple[System, ...] = ("brain", "cardiac", "respiratory", "somatic", "stage_event")
#: What a whole report holds; remarks follow those on sleep and breathing by themselves.
SECTIONS: tuple[Section, ...] = (
    "recording",
    "sleep",
    "stages",
    "respiratory",
    "oximetry",
    "arousals",
    "cardiac",
    "movement",
    "position",
)


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DescribeArguments(_Arguments):
    """Describe one physiological system in words and measurements."""

    system: System = Field(
        description="brain (EEG, EOG), cardiac (ECG, heart rate), respiratory (airflow, effort, "
        "SpO2), somatic (body position, chin EMG), stage_event (sleep stage, scored events)"
    )
    when: When | None = Field(None, description="part of the night; omit for the whole night")


class LocateArguments(_Arguments):
    """Find, list and count events."""

    query: str = Field(
        min_length=1,
        max_length=200,
        description="what to find, in words, e.g. 'obstructive apnea', 'desaturation', 'arousal', "
        "'tachycardia', 'position change', 'spindle'; any other description is searched by the "
        "model",
    )
    when: When | None = Field(None, description="part of the night; omit for the whole night")
    limit: int = Field(20, ge=1, le=200, description="how many events to list; counts cover all")
    order: Order = Field("time", description="order of the listed events; deepest = lowest SpO2")
    min_duration_s: float | None = Field(
        None, ge=0, description="only events at least this long, in seconds"
    )
    with_event: str | None = Field(
        None,
        max_length=200,
        description="only events that go with such another event, in words, e.g. arousals with "
        "'leg movement'; an arousal goes with what ended up to 5 s before it, a desaturation with "
        "what ended up to 45 s before it",
    )
    without_event: str | None = Field(
        None,
        max_length=200,
        description="only events that go with no such other event, e.g. desaturations without "
        "'apnea or hypopnea'",
    )
    seen_by: Literal["all", "one"] | None = Field(
        None,
        description="all: only events that every other scoring at hand holds too; one: only those "
        "that no other scoring holds (where scorers disagree)",
    )
    max_duration_s: float | None = Field(
        None, gt=0, description="only events at most this long, in seconds"
    )
    min_depth_pct: float | None = Field(
        None, gt=0, le=100, description="only events with a fall of SpO2 of at least these points"
    )
    max_nadir_pct: float | None = Field(
        None, gt=0, le=100, description="only events whose lowest SpO2 is below this, in %"
    )
    explain: bool = Field(
        False,
        description="true: measure each listed event (at most 20): airflow, effort in both halves "
        "(why central, mixed or obstructive), and whether its SpO2 nadir is real",
    )


class IndexRange(_Arguments):
    """Bounds of one figure of a night, both included."""

    field: Literal["ahi", "odi3", "arousal_index", "tst", "sleep_efficiency", "spo2_nadir"] = Field(
        description="ahi, odi3, arousal_index (per hour), tst (min), sleep_efficiency (%), "
        "spo2_nadir (%)"
    )
    low: float | None = Field(None, description="at least this")
    high: float | None = Field(None, description="at most this")

    @model_validator(mode="after")
    def _some_bound(self) -> IndexRange:
        if self.low is None and self.high is None:
            raise ValueError("give low, high or both")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("low must not be above high")
        return self


class SimilarArguments(_Arguments):
    """Find epochs or nights that resemble an epoch, an event, a text, or this night.

    Give exactly one of epoch, event, text and night.
    """

    epoch: int | None = Field(None, ge=1, description="number of the epoch to compare with")
    event: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="an event of this night to compare with, in words, e.g. 'obstructive apnea'; "
        "event_order and event_rank say which of them",
    )
    event_order: Order = Field(
        "longest", description="order in which the events are ranked; deepest = lowest SpO2"
    )
    event_rank: int = Field(1, ge=1, le=1000, description="which of them in this order, from 1")
    text: str | None = Field(
        None, min_length=1, max_length=400, description="a description in words to compare with"
    )
    night: bool = Field(False, description="true: find nights that resemble this whole night")
    stage: Literal["W", "N1", "N2", "N3", "R"] | None = Field(
        None, description="only epochs of this sleep stage (R is REM)"
    )
    position: Literal["supine", "left", "right", "prone", "upright"] | None = Field(
        None, description="only epochs in this body position"
    )
    with_event: str | None = Field(
        None, max_length=200, description="only epochs that such an event touches, in words"
    )
    without_event: str | None = Field(
        None, max_length=200, description="only epochs that no such event touches, in words"
    )
    min_spo2_pct: float | None = Field(
        None, gt=0, le=100, description="only epochs whose lowest SpO2 is at least this, in %"
    )
    max_spo2_pct: float | None = Field(
        None, gt=0, le=100, description="only epochs whose lowest SpO2 is at most this, in %"
    )
    indices: list[IndexRange] | None = Field(
        None,
        max_length=6,
        description="only nights, or epochs of nights, whose figures lie in these ranges, e.g. "
        "[{'field': 'ahi', 'low': 15, 'high': 30}]; searches the case store",
    )
    limit: int = Field(5, ge=1, le=50, description="how many results")
    scope: Literal["night", "store"] = Field(
        "night", description="search in this night, or across all nights in the case store"
    )

    @model_validator(mode="after")
    def _one_query(self) -> SimilarArguments:
        given = [
            self.epoch is not None,
            self.event is not None,
            self.text is not None,
            self.night,
        ]
        if sum(given) != 1:
            raise ValueError("give exactly one of epoch, event, text, or night=true")
        low, high = self.min_spo2_pct, self.max_spo2_pct
        if low is not None and high is not None and low > high:
            raise ValueError("min_spo2_pct must not be above max_spo2_pct")
        if self.night:
            of_epochs = (self.stage, self.position, self.with_event, self.without_event, low, high)
            if any(value is not None for value in of_epochs):
                raise ValueError(
                    "stage, position, events and SpO2 limit epochs; of whole nights use indices"
                )
            self.scope = "store"
        if self.indices:
            self.scope = "store"
        return self


class SummarizeArguments(_Arguments):
    """The sleep report of the night."""

    sections: list[Section] | None = Field(
        None, description="sections to report; omit for all of them"
    )
    lights_off: str | None = Field(
        None, description="what if lights off had been at this clock time (HH:MM)"
    )
    lights_on: str | None = Field(
        None, description="what if lights on had been at this clock time (HH:MM)"
    )
    lights_off_shift_min: float | None = Field(
        None,
        ge=-720,
        le=720,
        description="what if lights off had been so many minutes later (negative: earlier) than "
        "stated in the scoring, or than the start of the recording",
    )
    leave_out_bad: Literal["SPO2", "AF", "THX", "ABD", "HR", "ECG", "EEG_C3_A2", "EEG_C4_A1"] | (
        None
    ) = Field(
        None,
        description="what if the epochs in which this channel was lost or unusable stood in no "
        "count and no denominator (the unplugged hour)",
    )
    leave_out: When | None = Field(
        None,
        description="what if this part stood in no count and no denominator, e.g. "
        "{'position': 'supine'} or a clock interval in which a sensor was off",
    )

    @model_validator(mode="after")
    def _one_lights_off(self) -> SummarizeArguments:
        if self.lights_off is not None and self.lights_off_shift_min is not None:
            raise ValueError("give lights_off or lights_off_shift_min, not both")
        return self

    @property
    def supposes(self) -> bool:
        """Whether anything is supposed."""
        held = (
            self.lights_off,
            self.lights_on,
            self.leave_out,
            self.lights_off_shift_min,
            self.leave_out_bad,
        )
        return any(one is not None for one in held)


class CompareArguments(_Arguments):
    """Compare the night with another one, or with the nights that resemble it."""

    other: str | None = Field(
        None,
        max_length=40,
        description="pseudonym of another open night, or of one in the case store; omit where only "
        "one other is open",
    )
    neighbours: int | None = Field(
        None,
        ge=3,
        le=50,
        description="instead of one night: the median of so many nights of the case store that "
        "resemble this one most",
    )

    @model_validator(mode="after")
    def _one_other(self) -> CompareArguments:
        if self.other is not None and self.neighbours is not None:
            raise ValueError("give other or neighbours, not both")
        return self


class ExplainArguments(_Arguments):
    """Explain a term."""

    term: str = Field(
        min_length=1, max_length=80, description="the term, e.g. 'hypopnea' or 'rule 1A'"
    )
