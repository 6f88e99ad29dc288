"""``NightSummary``: the numbers of a sleep report, each with its unit, source, and formula.

Every field that cannot be measured is null, with the reason in its ``note``: never 0 or NaN, and no
denominator has a floor. :data:`FIELDS` holds the formulas and where they come from.

Counting rule of events: an event counts when any part of it lies in an epoch scored as sleep, once,
for the first sleep epoch that it touches; ``event_counts`` are of the whole recording. Unscored
epochs stand in no denominator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from sleeplm.physiology.oximetry import desaturations, per_second, plausible_spo2
from sleeplm.scoring import (
    EPOCH_S,
    EVENT_KINDS,
    RESPIRATORY_KINDS,
    SLEEP_STAGES,
    STAGES,
    UNSCORED,
    Event,
    Scoring,
)
from sleeplm.severity import (
    AHI_BANDS_SOURCE,
    CENTRAL_SHARE,
    INSIGHT_RULES,
    severity_word,
)

if TYPE_CHECKING:
    from sleeplm.physiology import NightMeasurements
    from sleeplm.recording import Recording

__all__ = [
    "FIELDS",
    "SECTIONS",
    "Field",
    "Insight",
    "NightSummary",
    "Quantity",
    "Severity",
    "summarize",
]

AASM = "AASM Manual for the Scoring of Sleep and Associated Events"
RATE_HZ = 64.0
APNEA_KINDS = ("obstructive_apnea", "central_apnea", "mixed_apnea")
POSITIONS = {"right": 0, "left": 1, "supine": 2, "prone": 3, "upright": 4}
PLAUSIBLE_HR_BPM = (20.0, 250.0)
DESATURATION_WINDOW_S = 45.0
"""A hypopnea's desaturation is looked for until this long after its end (circulation delay)."""
BASELINE_BEFORE_S = 30.0
BASELINE_INTO_S = 10.0
AROUSAL_AFTER_S = 5.0
"""An arousal belongs to a hypopnea when it starts within it or this soon after its end."""
DEPTH_TOLERANCE_PCT = 0.05
"""16-bit files keep 3 % as 2.99 …"""


@dataclass(frozen=True)
class Field:
    """What a field is: its title, unit, formula, and whose definition that is."""

    title: str
    unit: str
    formula: str
    source: str


FIELDS: dict[str, Field] = {
    "trt": Field("Total recording time", "min", "length of the recording", AASM),
    "tib": Field("Time in bed", "min", "lights off to lights on; whole recording if unknown", AASM),
    "tst": Field("Total sleep time", "min", "epochs of N1, N2, N3, R × 0.5", AASM),
    "spt": Field(
        "Sleep period time", "min", "sleep onset to the end of the last sleep epoch", "Iber 2007"
    ),
    "sleep_efficiency": Field("Sleep efficiency", "%", "TST / scored time in bed × 100", AASM),
    "sleep_maintenance": Field(
        "Sleep maintenance", "%", "TST / scored sleep period × 100", "Iber 2007"
    ),
    "sleep_onset_latency": Field(
        "Sleep onset latency", "min", "lights off to the first epoch of any sleep", AASM
    ),
    "rem_latency": Field("REM latency", "min", "sleep onset to the first epoch of R", AASM),
    "n3_latency": Field("N3 latency", "min", "sleep onset to the first epoch of N3", AASM),
    "waso": Field(
        "Wake after sleep onset", "min", "epochs of W from sleep onset to lights on × 0.5", AASM
    ),
    "awakenings": Field(
        "Awakenings", "count", "runs of W between sleep onset and the last sleep epoch", AASM
    ),
    "stage_minutes": Field("Time in stage", "min", "epochs of the stage × 0.5", AASM),
    "stage_percent": Field("Share of stage", "%", "stage / TST × 100", AASM),
    "ahi": Field("Apnea-hypopnea index", "/h", "apneas and hypopneas as scored / h of sleep", AASM),
    "ahi_1a": Field(
        "AHI, rule 1A",
        "/h",
        "apneas and hypopneas with ≥ 3 % desaturation or arousal / h of sleep",
        f"{AASM}, rule 1A",
    ),
    "ahi_1b": Field(
        "AHI, rule 1B",
        "/h",
        "apneas and hypopneas with ≥ 4 % desaturation / h of sleep",
        f"{AASM}, rule 1B",
    ),
    "rdi": Field(
        "Respiratory disturbance index",
        "/h",
        "apneas, hypopneas as scored and RERAs / h of sleep",
        AASM,
    ),
    "oahi": Field(
        "Obstructive AHI", "/h", "obstructive and mixed apneas and hypopneas / h of sleep", AASM
    ),
    "cai": Field("Central apnea index", "/h", "central apneas / h of sleep", AASM),
    "hypopnea_index": Field("Hypopnea index", "/h", "hypopneas as scored / h of sleep", AASM),
    "apnea_index": Field("Apnea index", "/h", "apneas of any type / h of sleep", AASM),
    "ahi_rem": Field("AHI in REM sleep", "/h", "apneas and hypopneas in R / h of R", AASM),
    "ahi_nrem": Field(
        "AHI in NREM sleep", "/h", "apneas and hypopneas in N1, N2, N3 / h of N1, N2, N3", AASM
    ),
    "ahi_supine": Field(
        "AHI, supine",
        "/h",
        "apneas and hypopneas that start supine / h of supine sleep",
        "Cartwright 1984",
    ),
    "ahi_nonsupine": Field(
        "AHI, not supine",
        "/h",
        "apneas and hypopneas that start in another known position / h of sleep there",
        "Cartwright 1984",
    ),
    "odi3": Field(
        "Oxygen desaturation index 3 %", "/h", "desaturations of ≥ 3 % / h of sleep", AASM
    ),
    "odi4": Field(
        "Oxygen desaturation index 4 %", "/h", "desaturations of ≥ 4 % / h of sleep", AASM
    ),
    "arousal_index": Field("Arousal index", "/h", "arousals / h of sleep", AASM),
    "plm_index": Field(
        "Periodic limb movement index", "/h", "periodic limb movements / h of sleep", AASM
    ),
    "event_counts": Field("Events scored", "count", "events of the kind in the recording", AASM),
    "spo2_mean": Field("Mean SpO2", "%", "mean of plausible seconds in sleep", AASM),
    "spo2_nadir": Field("Lowest SpO2", "%", "lowest plausible second in sleep", AASM),
    "t90": Field("Time below 90 % SpO2", "min", "plausible seconds below 90 % in sleep", AASM),
    "hr_mean": Field("Mean heart rate", "bpm", "mean of plausible seconds in sleep", AASM),
    "hr_min": Field("Lowest heart rate", "bpm", "lowest plausible second in sleep", AASM),
    "hr_max": Field("Highest heart rate", "bpm", "highest plausible second in sleep", AASM),
    "position_minutes": Field(
        "Sleep by position", "min", "seconds of sleep in the position / 60", AASM
    ),
}
SECTIONS: dict[str, tuple[str, ...]] = {
    "sleep": (
        "trt",
        "tib",
        "tst",
        "spt",
        "sleep_efficiency",
        "sleep_maintenance",
        "sleep_onset_latency",
        "rem_latency",
        "n3_latency",
        "waso",
        "awakenings",
    ),
    "stages": ("stage_minutes", "stage_percent"),
    "breathing": (
        "ahi",
        "ahi_1a",
        "ahi_1b",
        "rdi",
        "oahi",
        "cai",
        "hypopnea_index",
        "apnea_index",
        "ahi_rem",
        "ahi_nrem",
    ),
    "oxygen": ("odi3", "odi4", "spo2_mean", "spo2_nadir", "t90"),
    "arousals": ("arousal_index",),
    "limbs": ("plm_index",),
    "events": ("event_counts",),
    "heart": ("hr_mean", "hr_min", "hr_max"),
    "position": ("position_minutes", "ahi_supine", "ahi_nonsupine"),
    "severity": ("severity",),
    "insights": ("insights",),
    "missing": ("missing",),
}
"""Parts of a summary that can be shown by themselves: name → fields."""


class Quantity(BaseModel):
    """A number with its unit and source; null where it could not be measured, ``note`` says why."""

    model_config = ConfigDict(frozen=True)

    value: float | None
    unit: str
    source: str
    note: str = ""


class Severity(BaseModel):
    """A word for the AHI from :data:`sleeplm.severity.AHI_BANDS`; null where the AHI is null."""

    word: str | None
    predominance: str | None
    rule: str
    source: str
    note: str = ""


class Insight(BaseModel):
    """A remark on the night: which rule made it, in words, and the fields that it stands on."""

    name: str
    text: str
    evidence: dict[str, float]
    source: str


class NightSummary(BaseModel):
    """Every field of the report of one night, from one scorer (see :data:`FIELDS`)."""

    trt: Quantity
    tib: Quantity
    tst: Quantity
    spt: Quantity
    sleep_efficiency: Quantity
    sleep_maintenance: Quantity
    sleep_onset_latency: Quantity
    rem_latency: Quantity
    n3_latency: Quantity
    waso: Quantity
    awakenings: Quantity
    stage_minutes: dict[str, Quantity]
    stage_percent: dict[str, Quantity]
    ahi: Quantity
    ahi_1a: Quantity
    ahi_1b: Quantity
    rdi: Quantity
    oahi: Quantity
    cai: Quantity
    hypopnea_index: Quantity
    apnea_index: Quantity
    ahi_rem: Quantity
    ahi_nrem: Quantity
    ahi_supine: Quantity
    ahi_nonsupine: Quantity
    odi3: Quantity
    odi4: Quantity
    arousal_index: Quantity
    plm_index: Quantity
    event_counts: dict[str, Quantity]
    spo2_mean: Quantity
    spo2_nadir: Quantity
    t90: Quantity
    hr_mean: Quantity
    hr_min: Quantity
    hr_max: Quantity
    position_minutes: dict[str, Quantity]
    scorer: dict[str, str | None]
    agreement: dict[str, dict[str, float]] | None = None
    rules: dict[str, str]
    severity: Severity
    insights: list[Insight]
    missing: list[str]

    def quantity(self, name: str) -> Quantity:
        """A quantity by its dotted name: ``"tst"``, ``"stage_minutes.N2"``.

        Raises
        ------
        KeyError
            No field of this name.
        """
        head, _, key = name.partition(".")
        if head not in FIELDS:
            raise KeyError(f"no field {name!r} in a summary")
        held = getattr(self, head)
        return held[key] if key else held

    def quantities(self, section: str | None = None) -> dict[str, Quantity]:
        """Dotted name → quantity, of one section of :data:`SECTIONS` or of all."""
        names = SECTIONS[section] if section is not None else tuple(FIELDS)
        found: dict[str, Quantity] = {}
        for name in names:
            if name not in FIELDS:
                continue
            held = getattr(self, name)
            if isinstance(held, Quantity):
                found[name] = held
            else:
                found.update({f"{name}.{key}": quantity for key, quantity in held.items()})
        return found

    def section(self, name: str) -> str:
        """One section of :data:`SECTIONS` in plain sentences, one a line, each with its source."""
        if name not in SECTIONS:
            raise KeyError(f"no section {name!r}; use one of {', '.join(SECTIONS)}")
        if name == "severity":
            return self._severity_text()
        if name == "insights":
            return "\n".join(f"{insight.text} ({insight.source})." for insight in self.insights)
        if name == "missing":
            return "\n".join(self.missing)
        lines = []
        for field, quantity in self.quantities(name).items():
            head, _, key = field.partition(".")
            title = FIELDS[head].title + (f" {key.replace('_', ' ')}" if key else "")
            lines.append(sentence(title, quantity))
        return "\n".join(lines)

    def to_text(self, sections: Sequence[str] | None = None) -> str:
        """The summary, or some sections of it, in plain sentences."""
        texts = (self.section(name) for name in (sections if sections is not None else SECTIONS))
        return "\n".join(text for text in texts if text)

    def _severity_text(self) -> str:
        severity = self.severity
        if severity.word is None:
            return f"Severity: not judged, {severity.note}."
        kind = f", predominantly {severity.predominance}" if severity.predominance else ""
        word = "no sleep apnea" if severity.word == "none" else f"{severity.word} sleep apnea{kind}"
        return f"Severity: {word} by {severity.rule} ({severity.source})."


def sentence(title: str, quantity: Quantity) -> str:
    """A quantity in words: title, value with unit, source, note."""
    if quantity.value is None:
        return f"{title}: not measured, {quantity.note}."
    digits = 0 if quantity.unit == "count" else 1
    value = f"{quantity.value:.{digits}f}"
    unit = {"count": "", "/h": "/h", "%": " %"}.get(quantity.unit, f" {quantity.unit}")
    note = f"; {quantity.note}" if quantity.note else ""
    return f"{title}: {value}{unit} ({quantity.source}{note})."


def summarize(
    scoring: Scoring,
    recording: Recording,
    measurements: NightMeasurements | None = None,
    *,
    others: Sequence[Scoring] = (),
) -> NightSummary:
    """Sum up one night by one scorer.

    Parameters
    ----------
    scoring : Scoring
        On the recording's clock (:meth:`Scoring.aligned`).
    recording : Recording
        Its SPO2, HR and POS channels are measured; its length is the recording time.
    measurements : NightMeasurements, optional
        Heart rate from ECG beats, used where the recording has no HR channel.
    others : sequence of Scoring
        Other scorings of the same night, to state how far they agree on stages.

    Returns
    -------
    NightSummary
        Complete for any night: one without REM, sleep, SpO2, stages or events has nulls with notes.
    """
    return _Summarizer(scoring, recording, measurements).run(others)


class _Summarizer:
    """The working state of one summary; each method fills a part of the fields."""

    def __init__(
        self, scoring: Scoring, recording: Recording, measurements: NightMeasurements | None
    ) -> None:
        self.recording = recording
        self.measurements = measurements
        self.n_epochs = max(recording.n_epochs, scoring.n_epochs)
        self.lights_off_s = scoring.lights_off_s
        self.lights_on_s = scoring.lights_on_s
        stages = [*scoring.stages, *[UNSCORED] * (self.n_epochs - scoring.n_epochs)]
        bed_start_s = scoring.lights_off_s or 0.0
        bed_end_s = self.n_epochs * EPOCH_S if scoring.lights_on_s is None else scoring.lights_on_s
        # An epoch belongs to the time in bed by its middle.
        in_bed = [
            stage if bed_start_s <= (index + 0.5) * EPOCH_S <= bed_end_s else UNSCORED
            for index, stage in enumerate(stages)
        ]
        self.bed_start_s = bed_start_s
        self.bed_end_s = bed_end_s
        self.scoring = replace(scoring, stages=tuple(in_bed), probabilities=None)
        self.stages = np.array(in_bed, dtype=object)
        self.is_sleep = np.isin(self.stages, SLEEP_STAGES)
        self.is_scored = self.stages != UNSCORED
        self.sleep_h = self.is_sleep.sum() * EPOCH_S / 3600
        self.source = scoring.scorer.kind
        self.any_stage = bool(self.is_scored.any())
        self.fields: dict[str, Any] = {}

    # ── building quantities ──────────────────────────────────────────────────────────────────

    def put(
        self, name: str, value: float | None, note: str = "", source: str | None = None
    ) -> None:
        """Set a field, ``name`` or ``name.key``; the unit comes from :data:`FIELDS`."""
        head, _, key = name.partition(".")
        quantity = Quantity(
            value=None if value is None else float(value),
            unit=FIELDS[head].unit,
            source=source or self.source,
            note=note,
        )
        if key:
            self.fields.setdefault(head, {})[key] = quantity
        else:
            self.fields[head] = quantity

    def value(self, name: str) -> float | None:
        return self.fields[name].value

    def no_sleep_reason(self) -> str:
        if not self.any_stage:
            return "no epoch has a sleep stage"
        return "no epoch is scored as sleep"

    def not_looked_for(self, kinds: Sequence[str], what: str) -> str | None:
        """Why these kinds cannot be counted, or None where they can."""
        if not self.scoring.has_events:
            return "the scoring holds stages only, no events"
        if not self.scoring.looked_for(kinds):
            return f"the scoring holds no {what} and does not say that they were looked for"
        return None

    # ── parts ────────────────────────────────────────────────────────────────────────────────

    def run(self, others: Sequence[Scoring]) -> NightSummary:
        self.sleep_times()
        self.stage_shares()
        self.respiratory_indices()
        self.other_indices()
        self.oxygen()
        self.heart()
        self.positions()
        severity = self.severity()
        scorer = self.scoring.scorer
        summary = NightSummary(
            **self.fields,
            scorer={"kind": scorer.kind, "name": scorer.name, "version": scorer.version},
            agreement=self.agreement(others),
            rules=self.rules(),
            severity=severity,
            insights=self.insights(),
            missing=[],
        )
        summary.missing.extend(_missing(summary, self.scoring.problems))
        return summary

    def sleep_times(self) -> None:
        minutes = EPOCH_S / 60
        n_unscored = int((~self.is_scored).sum())
        self.put("trt", self.recording.duration_s / 60, source="measured")
        known = [
            name
            for name, time_s in (("off", self.lights_off_s), ("on", self.lights_on_s))
            if time_s is not None
        ]
        if len(known) == 2:
            bed_note = "lights off to lights on"
        elif known:
            end = "start" if known == ["on"] else "end"
            bed_note = f"lights {known[0]} is known, the other end is the {end} of the recording"
        else:
            bed_note = "lights off and on are not known: the whole recording"
        bed_s = (
            self.bed_end_s if self.lights_on_s is not None else self.recording.duration_s
        ) - self.bed_start_s
        self.put("tib", bed_s / 60, bed_note, source=self.source if known else "measured")
        if not self.any_stage:
            for name in (
                "tst",
                "spt",
                "sleep_efficiency",
                "sleep_maintenance",
                "sleep_onset_latency",
                "rem_latency",
                "n3_latency",
                "waso",
                "awakenings",
            ):
                self.put(name, None, "no epoch has a sleep stage")
            return
        left_out = int(
            sum(
                1
                for index in np.flatnonzero(~self.is_scored)
                if self.bed_start_s <= (index + 0.5) * EPOCH_S <= self.bed_end_s
            )
        )
        unscored_note = f"{left_out} unscored epochs are in no denominator" if left_out else ""
        tst = self.is_sleep.sum() * minutes
        self.put("tst", tst, unscored_note if n_unscored else "")
        scored_bed = self.is_scored.sum() * minutes
        self.put("sleep_efficiency", 100 * tst / scored_bed, _joined(bed_note, unscored_note))
        asleep = np.flatnonzero(self.is_sleep)
        if not len(asleep):
            for name in (
                "spt",
                "sleep_maintenance",
                "sleep_onset_latency",
                "rem_latency",
                "n3_latency",
                "waso",
                "awakenings",
            ):
                self.put(name, None, "no epoch is scored as sleep")
            return
        onset, last = int(asleep[0]), int(asleep[-1])
        origin = "lights off" if self.lights_off_s is not None else "the start of the recording"
        latency_note = f"from {origin}"
        if self.lights_off_s is None:
            latency_note += " (lights off is not known)"
        before = int((~self.is_scored[int(self.bed_start_s // EPOCH_S) : onset]).sum())
        if before:
            latency_note += f"; {before} epochs before it are unscored, sleep may be earlier"
        self.put("sleep_onset_latency", (onset * EPOCH_S - self.bed_start_s) / 60, latency_note)
        self.put("spt", (last + 1 - onset) * minutes)
        scored_period = self.is_scored[onset : last + 1].sum() * minutes
        self.put("sleep_maintenance", 100 * tst / scored_period)
        for name, stage in (("rem_latency", "R"), ("n3_latency", "N3")):
            found = np.flatnonzero(self.stages == stage)
            if len(found):
                self.put(name, (found[0] - onset) * minutes, "from sleep onset")
            else:
                self.put(name, None, f"no epoch of {stage}")
        self.put("waso", (self.stages[onset:] == "W").sum() * minutes)
        within = [stage for stage in self.stages[onset : last + 1] if stage != UNSCORED]
        self.put("awakenings", sum(stage == "W" for stage, _ in groupby(within)))

    def stage_shares(self) -> None:
        for stage in STAGES:
            count = int((self.stages == stage).sum())
            if self.any_stage:
                self.put(f"stage_minutes.{stage}", count * EPOCH_S / 60)
            else:
                self.put(f"stage_minutes.{stage}", None, self.no_sleep_reason())
            if stage == "W":
                continue
            if self.is_sleep.any():
                self.put(f"stage_percent.{stage}", 100 * count / self.is_sleep.sum())
            else:
                self.put(f"stage_percent.{stage}", None, self.no_sleep_reason())

    def index(self, name: str, count: int, note: str = "", source: str | None = None) -> None:
        """A count in sleep over the hours of sleep."""
        if self.sleep_h == 0:
            self.put(name, None, self.no_sleep_reason(), source)
        else:
            self.put(name, count / self.sleep_h, _joined(f"{count} in sleep", note), source)

    def asleep_count(self, kinds: Sequence[str]) -> int:
        return sum(self.scoring.in_sleep(event) for event in self.scoring.events_of(kinds))

    def untyped_in_sleep(self) -> list[tuple[float, float]]:
        return [
            (onset_s, duration_s)
            for onset_s, duration_s in self.scoring.untyped_apneas
            if self.scoring.sleep_stage_between(onset_s, onset_s + duration_s) is not None
        ]

    def respiratory_indices(self) -> None:
        names = (
            "ahi",
            "ahi_1a",
            "ahi_1b",
            "rdi",
            "oahi",
            "cai",
            "hypopnea_index",
            "apnea_index",
            "ahi_rem",
            "ahi_nrem",
        )
        reason = self.not_looked_for(RESPIRATORY_KINDS, "apneas or hypopneas")
        if reason is not None:
            for name in names:
                self.put(name, None, reason)
            return
        n_untyped = len(self.untyped_in_sleep())
        untyped_note = f"{n_untyped} apneas without a type are among them" if n_untyped else ""
        apneas = self.asleep_count(APNEA_KINDS) + n_untyped
        hypopneas = self.asleep_count(["hypopnea"])
        self.index("ahi", apneas + hypopneas, _joined("hypopneas as scored", untyped_note))
        self.index("apnea_index", apneas, untyped_note)
        self.index("hypopnea_index", hypopneas, "as scored")
        self.index("cai", self.asleep_count(["central_apnea"]))
        self.index(
            "oahi",
            self.asleep_count(["obstructive_apnea", "mixed_apnea", "hypopnea"]),
            "hypopneas as scored"
            if not n_untyped
            else f"hypopneas as scored; {n_untyped} apneas without a type are not among them",
        )
        if self.scoring.looked_for("rera"):
            self.index(
                "rdi",
                apneas + hypopneas + self.asleep_count(["rera"]),
                _joined("hypopneas as scored", untyped_note),
            )
        else:
            self.put("rdi", None, "RERAs were not looked for")
        self.by_stage()
        self.by_rule(apneas)

    def by_stage(self) -> None:
        spans = [
            (event.onset_s, event.end_s) for event in self.scoring.events_of(RESPIRATORY_KINDS)
        ]
        spans += [
            (onset_s, onset_s + length_s) for onset_s, length_s in self.scoring.untyped_apneas
        ]
        touched = [self.scoring.sleep_stage_between(*span) for span in spans]
        for name, stages in (("ahi_rem", ("R",)), ("ahi_nrem", ("N1", "N2", "N3"))):
            hours = np.isin(self.stages, stages).sum() * EPOCH_S / 3600
            if hours == 0:
                what = "REM" if stages == ("R",) else "NREM"
                self.put(name, None, f"no {what} sleep")
            else:
                count = sum(stage in stages for stage in touched)
                self.put(name, count / hours, f"{count} in {hours * 60:.1f} min")

    # ── hypopnea rules ───────────────────────────────────────────────────────────────────────

    def by_rule(self, n_apneas: int) -> None:
        """AHI by AASM rule 1A and 1B, each hypopnea judged by its desaturation and arousal."""
        hypopneas = [
            event for event in self.scoring.events_of("hypopnea") if self.scoring.in_sleep(event)
        ]
        seconds = self.spo2_seconds()
        for name, limit_pct, with_arousal in (("ahi_1a", 3.0, True), ("ahi_1b", 4.0, False)):
            verdicts = [
                self.qualifies(event, limit_pct, with_arousal, seconds) for event in hypopneas
            ]
            unjudged = sum(verdict is None for verdict in verdicts)
            if unjudged:
                why = "no desaturation can be measured or is scored with its depth"
                if with_arousal and not self.scoring.looked_for("arousal"):
                    why += ", or arousals were not scored"
                self.put(
                    name, None, f"{unjudged} of {len(hypopneas)} hypopneas cannot be judged: {why}"
                )
                continue
            kept = sum(bool(verdict) for verdict in verdicts)
            rule = f"{kept} of {len(hypopneas)} hypopneas have ≥ {limit_pct:g} % desaturation"
            self.index(name, n_apneas + kept, rule + (" or an arousal" if with_arousal else ""))

    def qualifies(
        self, event: Event, limit_pct: float, with_arousal: bool, seconds: np.ndarray | None
    ) -> bool | None:
        """Whether a hypopnea meets the rule; None where that cannot be known."""
        depth_pct = self.depth_after(event.onset_s, event.end_s, seconds)
        if depth_pct is None:
            depth_pct = self.scored_depth(event)
        if depth_pct is not None and depth_pct >= limit_pct - DEPTH_TOLERANCE_PCT:
            return True
        if not with_arousal:
            return None if depth_pct is None else False
        if any(
            event.onset_s <= arousal.onset_s <= event.end_s + AROUSAL_AFTER_S
            for arousal in self.scoring.events_of("arousal")
        ):
            return True
        if depth_pct is None or not self.scoring.looked_for("arousal"):
            return None
        return False

    def depth_after(self, onset_s: float, end_s: float, seconds: np.ndarray | None) -> float | None:
        """Fall of SpO2 with an event: from the highest value around its onset to the lowest after.

        Baseline: highest plausible second from 30 s before the onset to 10 s into the event;
        nadir: lowest plausible second after it, until 45 s past the end. None where fewer than half
        of these seconds are plausible.
        """
        if seconds is None:
            return None
        first = max(int(onset_s - BASELINE_BEFORE_S), 0)
        turn = min(int(onset_s + min(BASELINE_INTO_S, end_s - onset_s)) + 1, len(seconds))
        stop = min(int(end_s + DESATURATION_WINDOW_S) + 1, len(seconds))
        window = seconds[first:stop]
        if turn <= first or not len(window) or np.isfinite(window).mean() < 0.5:
            return None
        if not np.isfinite(seconds[first:turn]).any():
            return None
        peak = first + int(np.nanargmax(seconds[first:turn]))
        after = seconds[peak:stop]
        return float(seconds[peak] - np.nanmin(after))

    def scored_depth(self, event: Event) -> float | None:
        """Depth of the desaturation that the scoring ties to an event by time; 0 where none is.

        None where desaturations were not scored, or the one found states no depth.
        """
        if not self.scoring.looked_for("desaturation"):
            return None
        linked = [
            desaturation
            for desaturation in self.scoring.events_of("desaturation")
            if event.onset_s <= desaturation.onset_s <= event.end_s + DESATURATION_WINDOW_S
        ]
        depths = [_stated_depth(desaturation) for desaturation in linked]
        if any(depth is None for depth in depths):
            return None
        return max((depth for depth in depths if depth is not None), default=0.0)

    # ── other indices ────────────────────────────────────────────────────────────────────────

    def other_indices(self) -> None:
        for name, kind, what in (
            ("arousal_index", "arousal", "arousals"),
            ("plm_index", "plm", "limb movements"),
        ):
            reason = self.not_looked_for([kind], what)
            if reason is not None:
                self.put(name, None, reason)
            else:
                self.index(name, self.asleep_count([kind]))
        for kind in EVENT_KINDS:
            reason = self.not_looked_for([kind], f"{kind.replace('_', ' ')} events")
            if reason is not None:
                self.put(f"event_counts.{kind}", None, reason)
                continue
            events = self.scoring.events_of(kind)
            note = f"{self.asleep_count([kind])} of them in sleep" if self.any_stage else ""
            self.put(f"event_counts.{kind}", len(events), note)

    # ── oxygen ───────────────────────────────────────────────────────────────────────────────

    def spo2_seconds(self) -> np.ndarray | None:
        """Plausible SpO2 per second, NaN elsewhere; None without an oximeter or usable value."""
        signal = self.recording.channel("SPO2")
        if signal is None:
            return None
        seconds = plausible_spo2(per_second(signal, RATE_HZ))
        return seconds if np.isfinite(seconds).any() else None

    def in_sleep_seconds(self, seconds: np.ndarray) -> np.ndarray:
        """The seconds that lie in sleep epochs."""
        per_epoch = int(EPOCH_S)
        asleep = np.repeat(self.is_sleep, per_epoch)
        length = min(len(asleep), len(seconds))
        return seconds[:length][asleep[:length]]

    def oxygen(self) -> None:
        seconds = self.spo2_seconds()
        names = ("spo2_mean", "spo2_nadir", "t90")
        reason = None
        if self.recording.channel("SPO2") is None:
            reason = "no SpO2 channel"
        elif seconds is None:
            reason = "SpO2 has no plausible value"
        elif not self.is_sleep.any():
            reason = self.no_sleep_reason()
        if reason is None and seconds is not None:
            asleep = self.in_sleep_seconds(seconds)
            good = asleep[np.isfinite(asleep)]
            if not len(good):
                reason = "SpO2 has no plausible value in sleep"
            else:
                lost_min = (len(asleep) - len(good)) / 60
                note = "in sleep"
                if lost_min:
                    note += (
                        f"; {lost_min:.1f} min of sleep left out (sensor off or outside "
                        "50 to 100 %)"
                    )
                self.put("spo2_mean", good.mean(), note, "measured")
                self.put("spo2_nadir", good.min(), note, "measured")
                self.put("t90", (good < 90).sum() / 60, note, "measured")
        if reason is not None:
            for name in names:
                self.put(name, None, reason, "measured")
        self.desaturation_indices(seconds)

    def desaturation_indices(self, seconds: np.ndarray | None) -> None:
        scored = self.scoring.looked_for("desaturation")
        for name, limit_pct in (("odi3", 3.0), ("odi4", 4.0)):
            if scored:
                self.scored_odi(name, limit_pct, seconds)
            elif seconds is None:
                self.put(
                    name, None, "no desaturations scored and no usable SpO2 channel", "measured"
                )
            else:
                found = [
                    onset_s
                    for onset_s, duration_s, _, _ in desaturations(seconds, limit_pct)
                    if self.scoring.sleep_stage_between(onset_s, onset_s + duration_s) is not None
                ]
                self.index(name, len(found), "falls of SpO2 from their own peak", "measured")

    def scored_odi(self, name: str, limit_pct: float, seconds: np.ndarray | None) -> None:
        events = [
            event
            for event in self.scoring.events_of("desaturation")
            if self.scoring.in_sleep(event)
        ]
        depths = [
            depth if (depth := _stated_depth(event)) is not None else _fall_within(event, seconds)
            for event in events
        ]
        unknown = sum(depth is None for depth in depths)
        if unknown:
            self.put(name, None, f"{unknown} of {len(events)} scored desaturations have no depth")
            return
        count = sum(
            depth is not None and depth >= limit_pct - DEPTH_TOLERANCE_PCT for depth in depths
        )
        self.index(name, count, "scored desaturations by their depth")

    # ── heart and position ───────────────────────────────────────────────────────────────────

    def heart(self) -> None:
        names = ("hr_mean", "hr_min", "hr_max")
        signal = self.recording.channel("HR")
        values: np.ndarray | None = None
        note = "in sleep, from the HR channel"
        if signal is not None:
            seconds = per_second(signal, RATE_HZ)
            low, high = PLAUSIBLE_HR_BPM
            values = self.in_sleep_seconds(
                np.where((seconds >= low) & (seconds <= high), seconds, np.nan)
            )
        elif self.measurements is not None and "ecg_rate_bpm" in self.measurements.values:
            rates = self.measurements.values["ecg_rate_bpm"]
            length = min(len(rates), len(self.is_sleep))
            values = rates[:length][self.is_sleep[:length]]
            note = "in sleep, from ECG beats, mean rate of each 30-s epoch (no HR channel)"
        reason = None
        if not self.is_sleep.any():
            reason = self.no_sleep_reason()
        elif values is None:
            reason = "no HR channel and no ECG beats"
        elif not np.isfinite(values).any():
            reason = "no plausible heart rate in sleep"
        for name, function in zip(names, (np.nanmean, np.nanmin, np.nanmax), strict=True):
            if reason is not None or values is None:
                self.put(name, None, reason or "", "measured")
            else:
                self.put(name, function(values), note, "measured")

    def position_seconds(self) -> np.ndarray | None:
        signal = self.recording.channel("POS")
        if signal is None:
            return None
        per = int(RATE_HZ)
        # The code in the middle of each second: a mean of codes would be another position.
        codes = np.rint(np.asarray(signal)[per // 2 :: per])
        return codes if np.isin(codes, list(POSITIONS.values())).any() else None

    def positions(self) -> None:
        codes = self.position_seconds()
        reason = None
        if self.recording.channel("POS") is None:
            reason = "no position channel"
        elif codes is None:
            reason = "the position channel holds no known position"
        elif not self.is_sleep.any():
            reason = self.no_sleep_reason()
        if reason is not None or codes is None:
            for position in ("supine", "left", "right", "prone", "upright"):
                self.put(f"position_minutes.{position}", None, reason or "", "measured")
            self.put("ahi_supine", None, reason or "")
            self.put("ahi_nonsupine", None, reason or "")
            return
        asleep = self.in_sleep_seconds(codes)
        unknown_min = (~np.isin(asleep, list(POSITIONS.values()))).sum() / 60
        note = (
            f"of sleep; {unknown_min:.1f} min in an unknown position" if unknown_min else "of sleep"
        )
        for position in ("supine", "left", "right", "prone", "upright"):
            minutes = (asleep == POSITIONS[position]).sum() / 60
            self.put(f"position_minutes.{position}", minutes, note, "measured")
        self.by_position(codes, asleep)

    def by_position(self, codes: np.ndarray, asleep: np.ndarray) -> None:
        no_events = self.not_looked_for(RESPIRATORY_KINDS, "apneas or hypopneas")
        onsets = [
            event.onset_s
            for event in self.scoring.events_of(RESPIRATORY_KINDS)
            if self.scoring.in_sleep(event)
        ]
        onsets += [onset_s for onset_s, _ in self.untyped_in_sleep()]
        at_onset = [codes[min(max(int(onset_s), 0), len(codes) - 1)] for onset_s in onsets]
        others = [code for name, code in POSITIONS.items() if name != "supine"]
        for name, wanted, what in (
            ("ahi_supine", [POSITIONS["supine"]], "supine"),
            ("ahi_nonsupine", others, "non-supine"),
        ):
            hours = np.isin(asleep, wanted).sum() / 3600
            if no_events is not None:
                self.put(name, None, no_events)
            elif hours == 0:
                self.put(name, None, f"no {what} sleep")
            else:
                count = int(np.isin(at_onset, wanted).sum())
                self.put(name, count / hours, f"{count} in {hours * 60:.1f} min of {what} sleep")

    # ── words ────────────────────────────────────────────────────────────────────────────────

    def rules(self) -> dict[str, str]:
        return {
            "counting": "an event counts when any part of it lies in an epoch scored as sleep",
            "ahi": "apneas and hypopneas as scored; the scorer's hypopnea rule is kept",
            "ahi_1a": "AASM 1A: hypopneas with ≥ 3 % desaturation or an arousal",
            "ahi_1b": "AASM 1B: hypopneas with ≥ 4 % desaturation",
            "desaturation_of_a_hypopnea": (
                "highest SpO2 from 30 s before the onset to 10 s into it, less the lowest until "
                "45 s after its end; where SpO2 is missing, the scored desaturation in that time"
            ),
            "arousal_of_a_hypopnea": "an arousal that starts within it or up to 5 s after its end",
            "latencies": self.fields["sleep_onset_latency"].note
            or "sleep onset is the first epoch of any sleep",
            "severity": f"AHI < 5 none, < 15 mild, < 30 moderate, else severe; {AHI_BANDS_SOURCE}",
        }

    def severity(self) -> Severity:
        ahi = self.value("ahi")
        rule = "the AHI as scored (apneas and hypopneas per hour of sleep)"
        if ahi is None:
            return Severity(
                word=None,
                predominance=None,
                rule=rule,
                source=AHI_BANDS_SOURCE,
                note=f"the AHI is not known: {self.fields['ahi'].note}",
            )
        typed = {kind: self.asleep_count([kind]) for kind in APNEA_KINDS}
        total = sum(typed.values())
        predominance, note = None, "no typed apnea: central or obstructive is not judged"
        if total:
            share = typed["central_apnea"] / total
            predominance = "central" if share >= CENTRAL_SHARE else "obstructive"
            note = f"{typed['central_apnea']} of {total} typed apneas in sleep are central"
        return Severity(
            word=severity_word(ahi),
            predominance=predominance,
            rule=rule,
            source=AHI_BANDS_SOURCE,
            note=note,
        )

    def insights(self) -> list[Insight]:
        found: list[Insight] = []

        def remark(name: str, text: str, *fields: str) -> None:
            values = {}
            for field in fields:
                head, _, key = field.partition(".")
                held = self.fields[head][key] if key else self.fields[head]
                values[field] = held.value
            rule = INSIGHT_RULES[name]
            found.append(
                Insight(name=name, text=text, evidence=values, source=f"{rule.rule}; {rule.source}")
            )

        ahi, supine, other = (self.value(name) for name in ("ahi", "ahi_supine", "ahi_nonsupine"))
        if ahi is not None and ahi >= 5 and supine is not None and other is not None:
            minutes = {
                key: held.value or 0 for key, held in self.fields["position_minutes"].items()
            }
            elsewhere = sum(value for key, value in minutes.items() if key != "supine")
            if supine >= 2 * other and minutes["supine"] >= 15 and elsewhere >= 15:
                remark(
                    "positional",
                    f"Breathing events are positional: {supine:.1f}/h supine against "
                    f"{other:.1f}/h in other positions",
                    "ahi",
                    "ahi_supine",
                    "ahi_nonsupine",
                    "position_minutes.supine",
                )
        rem, nrem = self.value("ahi_rem"), self.value("ahi_nrem")
        if ahi is not None and ahi >= 5 and rem is not None and nrem is not None:
            rem_minutes = self.fields["stage_minutes"]["R"].value or 0
            if rem >= 2 * nrem and rem_minutes >= 30:
                remark(
                    "rem_related",
                    f"Breathing events cluster in REM sleep: {rem:.1f}/h in REM against "
                    f"{nrem:.1f}/h in NREM sleep",
                    "ahi",
                    "ahi_rem",
                    "ahi_nrem",
                    "stage_minutes.R",
                )
        efficiency = self.value("sleep_efficiency")
        if self.is_sleep.any() and efficiency is not None and efficiency <= 74:
            remark(
                "fragmentation",
                f"Sleep is poorly consolidated: efficiency {efficiency:.1f} %, "
                f"{self.value('waso'):.1f} min awake after sleep onset",
                "sleep_efficiency",
                "waso",
                "awakenings",
            )
        return found

    def agreement(self, others: Sequence[Scoring]) -> dict[str, dict[str, float]] | None:
        """Stage agreement with each other scoring, over epochs that both have scored."""
        found = {}
        for other in others:
            pairs = [
                (mine, theirs)
                for mine, theirs in zip(self.scoring.stages, other.stages, strict=False)
                if UNSCORED not in (mine, theirs)
            ]
            if pairs:
                found[other.scorer.kind] = _agreement(pairs)
        return found or None


def _agreement(pairs: list[tuple[str, str]]) -> dict[str, float]:
    """Accuracy and Cohen's κ (Cohen 1960) of paired labels; κ is left out where undefined."""
    same = sum(mine == theirs for mine, theirs in pairs) / len(pairs)
    chance = (
        sum(
            sum(mine == stage for mine, _ in pairs) * sum(theirs == stage for _, theirs in pairs)
            for stage in STAGES
        )
        / len(pairs) ** 2
    )
    found = {"epochs": float(len(pairs)), "agreement_percent": 100 * same}
    if chance < 1:
        found["kappa"] = (same - chance) / (1 - chance)
    return found


def _stated_depth(event: Event) -> float | None:
    """Depth in points that a scored desaturation states, if it does."""
    evidence = event.evidence
    if "depth_pct" in evidence:
        return float(evidence["depth_pct"])
    if "baseline_pct" in evidence and "nadir_pct" in evidence:
        return float(evidence["baseline_pct"]) - float(evidence["nadir_pct"])
    return None


def _fall_within(event: Event, seconds: np.ndarray | None) -> float | None:
    """Highest less lowest plausible SpO2 within a scored desaturation; None without values."""
    if seconds is None:
        return None
    window = seconds[max(int(event.onset_s), 0) : int(np.ceil(event.end_s)) + 1]
    if not np.isfinite(window).any():
        return None
    peak = int(np.nanargmax(window))
    return float(window[peak] - np.nanmin(window[peak:]))


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _missing(summary: NightSummary, problems: Sequence[str]) -> list[str]:
    """What could not be judged, one sentence a reason, with the fields that it takes away."""
    by_reason: dict[str, list[str]] = {}
    for name, quantity in summary.quantities().items():
        if quantity.value is None:
            by_reason.setdefault(quantity.note, []).append(name)
    sentences = [f"{', '.join(names)}: {reason}." for reason, names in by_reason.items()]
    return sentences + [f"Scoring file: {problem}." for problem in problems]
