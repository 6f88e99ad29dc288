"""``NightSummary``: the fields of a sleep report, with formulas, sources, and plain sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = [
    "FIELDS",
    "SECTIONS",
    "Agreement",
    "EventAgreement",
    "Field",
    "Insight",
    "InsightSpan",
    "NightSummary",
    "Quantity",
    "Severity",
    "Stretch",
]

AASM = "AASM Manual for the Scoring of Sleep and Associated Events"


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


class InsightSpan(BaseModel):
    """Where to look: epochs (numbers from 1) and seconds from the start of the recording."""

    epoch: int
    last_epoch: int
    onset_s: float
    end_s: float


class Insight(BaseModel):
    """A remark on the night: which rule made it, in words, and the fields that it stands on.

    ``spans`` are the stretches that show it best, in order of time; empty where it has no place.
    """

    name: str
    text: str
    evidence: dict[str, float]
    source: str
    spans: list[InsightSpan] = []


class EventAgreement(BaseModel):
    """Events of one kind by two scorers: how many each has, how many are the same, and F1."""

    first: int
    second: int
    matched: int
    f1: float | None


class Agreement(BaseModel):
    """How far two scorings agree; what is not defined is null or left out."""

    epochs: int
    agreement_percent: float | None = None
    kappa: float | None = None
    confusion: dict[str, dict[str, int]] = {}
    events: dict[str, EventAgreement] = {}
    differences: dict[str, float | None] = {}
    severity: str | None = None


class Stretch(BaseModel):
    """Epochs (numbers from 1) to look at first, and why."""

    epoch: int
    last_epoch: int
    onset_s: float
    end_s: float
    doubt: float
    why: str


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
    agreement: dict[str, Agreement] | None = None
    review_first: list[Stretch] = []
    details: dict[str, Any] = {}
    rules: dict[str, str]
    severity: Severity
    insights: list[Insight]
    not_judged: dict[str, str] = {}
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
            lines = [f"{insight.text} ({insight.source})." for insight in self.insights]
            lines += [
                f"Not judged, {name.replace('_', ' ')}: {reason}."
                for name, reason in self.not_judged.items()
            ]
            return "\n".join(lines)
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
        kind = (
            f"; apneas are predominantly {severity.predominance}" if severity.predominance else ""
        )
        return f"Severity: {severity.word} by {severity.rule}{kind} ({severity.source})."


def sentence(title: str, quantity: Quantity) -> str:
    """A quantity in words: title, value with unit, source, note."""
    if quantity.value is None:
        return f"{title}: not measured, {quantity.note}."
    digits = 0 if quantity.unit == "count" else 1
    value = f"{quantity.value:.{digits}f}"
    unit = {"count": "", "/h": "/h", "%": " %"}.get(quantity.unit, f" {quantity.unit}")
    note = f"; {quantity.note}" if quantity.note else ""
    return f"{title}: {value}{unit} ({quantity.source}{note})."
