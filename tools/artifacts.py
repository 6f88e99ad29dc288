"""What tools hand to the screen: typed results, each fact with its source, unit and place in time.

The text for the LLM is a field of the artifact (``text``), so the command line, the page and the
grounding check all read one object. ``onset_s`` counts from the start of the recording; ``epoch``
is the number that people see, counted from 1.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

__all__ = [
    "Artifact",
    "Case",
    "ComparedFigure",
    "Definition",
    "Description",
    "Disagreement",
    "EpochCaption",
    "EpochValue",
    "EventList",
    "EventTerms",
    "Evidence",
    "Failure",
    "FoundEvent",
    "MeasuredField",
    "NightComparison",
    "NightReport",
    "ScopeView",
    "ScoredView",
    "SimilarCases",
    "Source",
    "StageShare",
]

Source = Literal["expert", "automatic", "model", "measured"]


class Evidence(BaseModel):
    """One citable fact: what was said, by which source, and where in the night it stands."""

    kind: Literal["event", "epoch", "quantity", "caption", "case", "definition"]
    source: str = Field(description="expert, automatic, model, measured or glossary")
    text: str
    value: float | None = None
    unit: str = ""
    epoch: int | None = Field(default=None, description="epoch number, counted from 1")
    onset_s: float | None = None
    end_s: float | None = None
    clock: str | None = None
    field: str | None = Field(default=None, description="name of the quantity or the event kind")


class ScopeView(BaseModel):
    """The part of the night that a tool looked at."""

    text: str = Field(description="the scope in words, e.g. 'N2 in epochs 1-480'")
    n_epochs: int
    first_epoch: int | None = Field(default=None, description="number of the first epoch in scope")
    last_epoch: int | None = None
    onset_s: float | None = None
    end_s: float | None = None


class Artifact(BaseModel):
    """What every tool returns beside its text."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    tool: str
    source: str = Field(description="whose work the result rests on, in words of `Source`")
    night: str = Field(description="pseudonym of the night")
    text: str = Field(description="the short text that the LLM reads")
    evidence: list[Evidence] = []
    scope: ScopeView | None = None
    error: Literal["try_again", "cannot"] | None = None


class Failure(Artifact):
    """A call that gave no result: ``try_again`` says what is allowed, ``cannot`` says why not."""

    source: str = ""
    error: Literal["try_again", "cannot"]
    detail: str = Field(default="", description="the reason for the screen; may name a file")


class EpochCaption(BaseModel):
    """What the model wrote about one epoch."""

    epoch: int
    onset_s: float
    clock: str
    stage: str
    system: str
    text: str


class EpochValue(BaseModel):
    """A measured value of one epoch (number from 1), in the unit of its field."""

    epoch: int
    value: float


class MeasuredField(BaseModel):
    """One measurement over the epochs in scope; ``trend`` compares the last with the first third.

    ``lowest_epoch`` and ``highest_epoch`` are the numbers of the epochs that hold the extremes;
    ``outliers`` are the farthest of the ``n_outliers`` epochs that lie far off the median.
    """

    field: str
    label: str
    unit: str
    n_epochs: int
    median: float
    mean: float | None = None
    low: float
    high: float
    lowest_epoch: int
    highest_epoch: int
    first_third: float | None = None
    last_third: float | None = None
    trend: Literal["rising", "falling", "steady"] | None = None
    n_outliers: int = 0
    outliers: list[EpochValue] = []


class StageShare(BaseModel):
    """Time in one stage (or position) in scope."""

    name: str
    minutes: float
    percent: float


class ScoredView(BaseModel):
    """What one witness scored in the epochs in scope.

    ``counts`` holds the kinds of event that belong to the system and that the witness looked for,
    with how many of them begin in scope; ``not_looked_for`` the others.
    """

    source: str
    stages: list[StageShare] = []
    counts: dict[str, int] = {}
    not_looked_for: list[str] = []
    sleep_hours: float = 0.0
    text: str


class Disagreement(BaseModel):
    """Where the model's words on an epoch are not what was measured or scored there."""

    epoch: int
    onset_s: float
    clock: str
    field: str = Field(description="measured field, or stage, position, events")
    unit: str = ""
    stated: str = Field(description="what the model wrote, as value or word")
    found: str = Field(description="what the other source has")
    against: str = Field(description="measured, expert or automatic")
    text: str


class Description(Artifact):
    """Result of ``describe_system``: model text, measured values and scorings, apart and named."""

    tool: Literal["describe_system"] = "describe_system"
    system: str
    captions: list[EpochCaption] = []
    caption_source: str = "model"
    measured: list[MeasuredField] = []
    shares: list[StageShare] = []
    shares_source: str | None = None
    missing: list[str] = Field(default=[], description="channels that were not recorded")
    scored: list[ScoredView] = Field(
        default=[], description="each scoring at hand, for the same epochs; the preferred first"
    )
    stated_numbers: int = Field(default=0, description="numbers of the captions that were compared")
    disagreements: list[Disagreement] = []


class EventTerms(BaseModel):
    """What the signals show of one event, measured; empty where a channel is missing."""

    flow_reduction_pct: float | None = None
    thorax_effort_pct: list[float] = Field(
        default=[], description="in the first and second half, % of the effort before the event"
    )
    abdomen_effort_pct: list[float] = []
    effort: Literal["absent", "returns", "present"] | None = None
    nadir_at_s: float | None = None
    nadir_doubts: list[str] = Field(
        default=[], description="what speaks against the nadir; empty = nothing"
    )
    text: str = ""


class FoundEvent(BaseModel):
    """One event, scored or found by the model."""

    kind: str
    source: str
    onset_s: float
    duration_s: float
    epoch: int
    clock: str
    stage: str
    position: str | None = None
    in_sleep: bool = True
    nadir_pct: float | None = Field(default=None, description="lowest SpO2 of the event")
    nadir_source: str | None = None
    confidence: float | None = None
    channel: str | None = None
    detail: str | None = Field(default=None, description="typed terms of the event, in words")
    depth_pct: float | None = Field(default=None, description="fall of SpO2 in points")
    also_seen_by: list[str] = Field(
        default=[], description="other scorings at hand with an overlapping event of the kind"
    )
    terms: EventTerms | None = Field(default=None, description="measured, where asked for")

    @property
    def end_s(self) -> float:
        return self.onset_s + self.duration_s


class EventList(Artifact):
    """Result of ``locate_events``; ``events`` is the shown part, the counts are of all."""

    tool: Literal["locate_events"] = "locate_events"
    query: str
    kinds: list[str] = Field(default=[], description="scored kinds; empty = open vocabulary")
    order: str = "time"
    total: int
    in_sleep: int
    outside_sleep: int
    sleep_hours: float
    per_hour: float | None = Field(default=None, description="events in sleep per hour of sleep")
    mean_duration_s: float | None = Field(default=None, description="of all events that fit")
    median_duration_s: float | None = None
    total_duration_s: float | None = None
    by_kind: dict[str, int] = {}
    by_stage: dict[str, int] = {}
    by_position: dict[str, int] = {}
    per_hour_by_stage: dict[str, float] = {}
    per_hour_by_position: dict[str, float] = {}
    other_sources: dict[str, int] = Field(
        default={}, description="counts by other scorings in the same part, with the same limits"
    )
    only_there: dict[str, int] = Field(
        default={}, description="events of the other scorings that the own one does not hold"
    )
    other_per_hour: dict[str, float] = Field(
        default={}, description="their events in sleep per hour of their own sleep there"
    )
    by_hour: dict[str, int] = Field(
        default={}, description="events in sleep by the hour that they begin in, from its clock"
    )
    by_company: dict[str, int] = Field(
        default={}, description="arousals: how many go with breathing, legs, both or neither"
    )
    events: list[FoundEvent] = []
    reaching_in: list[FoundEvent] = Field(
        default=[], description="events that began before the scope and reach into it; not counted"
    )


class Case(BaseModel):
    """One similar epoch or night."""

    night: str
    same_night: bool
    epoch: int | None = None
    onset_s: float | None = None
    clock: str | None = None
    stage: str | None = None
    position: str | None = None
    events: list[str] = []
    spo2_min_pct: float | None = Field(default=None, description="lowest SpO2 of the epoch, %")
    similarity: float
    agrees: list[str] = []
    differs: list[str] = []


class SimilarCases(Artifact):
    """Result of ``find_similar``."""

    tool: Literal["find_similar"] = "find_similar"
    query: str
    level: Literal["epochs", "nights"]
    searched: int = Field(description="how many epochs or nights were compared")
    filters: list[str] = Field(default=[], description="what limits the search, in words")
    hits: list[Case] = []


class NightReport(Artifact):
    """Result of ``summarize_night``; ``summary`` is the whole NightSummary."""

    tool: Literal["summarize_night"] = "summarize_night"
    sections: list[str]
    section_texts: dict[str, str] = {}
    formulas: dict[str, str] = Field(
        default={}, description="field of the sections → formula and whose definition it is"
    )
    supposed: list[str] = Field(default=[], description="what was supposed, in words; empty = none")
    as_it_is: dict[str, float] = Field(
        default={}, description="the indices without the supposition, where one was made"
    )
    others: dict[str, dict[str, float]] = Field(
        default={}, description="indices by the other scorings at hand: source → field → value"
    )
    others_change: list[str] = Field(
        default=[], description="where another scoring changes the answer, one sentence each"
    )
    margin: str | None = Field(
        default=None, description="how many events move the severity class, in words"
    )
    margin_events: list[FoundEvent] = Field(
        default=[], description="the weakest events, without which the class would be milder"
    )
    summary: SerializeAsAny[Any] = Field(description="sleeplm.summary.NightSummary")


class ComparedFigure(BaseModel):
    """One figure of two nights; ``difference`` is the second less the first."""

    field: str
    label: str
    unit: str
    first: float
    second: float
    difference: float
    direction: str = Field(description="higher, lower or same, of the second night")
    first_source: str
    second_source: str


class NightComparison(Artifact):
    """Result of ``compare_nights``."""

    tool: Literal["compare_nights"] = "compare_nights"
    first: str
    second: str
    figures: list[ComparedFigure] = []
    neighbours: list[str] = Field(
        default=[], description="pseudonyms of the nights whose median is compared with"
    )
    unknown: list[str] = []
    note: str = ""


class Definition(Artifact):
    """Result of ``explain_term``."""

    tool: Literal["explain_term"] = "explain_term"
    term: str
    definition: str
    reference: str
