"""How values, places and sources are worded, the same in every answer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from sleeplm.summary import FIELDS, NightSummary, Quantity
from tools.artifacts import Description, EventList, FoundEvent, MeasuredField, ScopeView
from tools.facts import kind_words
from tools.vocabulary import read_query

__all__ = [
    "cite",
    "event_clause",
    "extreme_place",
    "failed",
    "join",
    "measured_clause",
    "noun",
    "quantity_clause",
    "rate",
    "scope_words",
    "stage_word",
    "value_words",
    "witness_note",
]

_WITNESS_NOTES = {
    "automatic": (
        "No scoring by an expert was found for this night, so stages and events are those of the "
        "automatic scoring [automatic]."
    ),
    "model": (
        "No scoring of these was found for this night, so they come from the model's own reading "
        "[model]."
    ),
}
STAGE_WORDS = {"R": "REM", "W": "wake", "unscored": "unscored epochs"}
_ONE_EPOCH = re.compile(r"epochs? (\d+)(?:-\1)? \(([^-)]+)[-)]")
_SHORT_TITLES = {
    "ahi": "AHI",
    "ahi_1a": "AHI by rule 1A",
    "ahi_1b": "AHI by rule 1B",
    "ahi_supine": "AHI supine",
    "ahi_nonsupine": "AHI not supine",
    "odi3": "ODI 3 %",
    "odi4": "ODI 4 %",
    "rdi": "RDI",
    "t90": "time below 90 % SpO2",
}
_APNEAS = {"obstructive_apnea", "central_apnea", "mixed_apnea"}


def failed(reason: str) -> str:
    """A refusal of a tool as a sentence for the user."""
    reason = reason.strip().rstrip(".")
    if reason.startswith("there is no"):
        return f"{reason[0].upper()}{reason[1:]}."
    return f"That cannot be answered: {reason}."


def join(items: list[str]) -> str:
    """ "a, b and c"."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def stage_word(stage: str) -> str:
    """R is called REM, W wake."""
    return STAGE_WORDS.get(stage, stage)


def noun(query: str, count: int) -> str:
    """What is counted, in the number that fits the count."""
    kinds = read_query(query).kinds
    if not kinds:
        return f"{'place' if count == 1 else 'places'} for “{query}”"
    if set(kinds) == _APNEAS:
        return "apnea" if count == 1 else "apneas"
    if set(kinds) == _APNEAS | {"hypopnea"}:
        return "apnea or hypopnea" if count == 1 else "apneas and hypopneas"
    return join([kind_words(kind, count) for kind in kinds])


def cite(epoch: int | None, clock: str | None) -> str:
    """ "[epoch 509, 02:14:30]"."""
    return f"[epoch {epoch}, {clock}]"


def value_words(value: float, unit: str) -> str:
    """One decimal (counts none), the unit, and hours for long times."""
    if unit in ("count", "events"):
        return f"{value:.0f}"
    text = f"{value:.1f}{'/h' if unit == '/h' else f' {unit}' if unit else ''}"
    if unit == "min" and value >= 60:
        minutes = round(value)
        text += f" ({minutes // 60} h {minutes % 60} min)"
    return text


def rate(found: EventList) -> str:
    """ ", 9.8 per hour of sleep", with the events that lie in sleep where some do not.

    Of a part of the night the rate is per hour of the sleep in that part, which "there" says.
    """
    if found.per_hour is None:
        return ""
    inside = f", {found.in_sleep} of them in sleep" if found.outside_sleep else ""
    there = " there" if scope_words(found.scope) else ""
    return f"{inside}, {found.per_hour:.1f} per hour of sleep{there}"


def scope_words(scope: ScopeView | None) -> str:
    """ " in REM, epochs 1-480 (…)", empty for the whole recording."""
    if scope is None or scope.text == "the whole recording":
        return ""
    if scope.n_epochs == 1 and (one := _ONE_EPOCH.search(scope.text)):
        return f" at {cite(int(one[1]), one[2])}"
    text = re.sub(r"\bR\b", "REM", scope.text)
    text = re.sub(r"^W\b", "wake", text)
    text = re.sub(
        r"^((?:first|second|last) \w+) of the recording", r"the \1 of the recording", text
    )
    return f" in {text}"


def event_clause(event: FoundEvent, with_duration: bool = True) -> str:
    """ "a hypopnea of 58.0 s in N2, supine, lowest SpO2 84.0 % [measured] [epoch …]"."""
    words = "place" if event.kind == "described" else kind_words(event.kind)
    parts = [f"{'an' if words[0] in 'aeio' else 'a'} {words}"]
    if with_duration:
        parts[0] += f" of {event.duration_s:.1f} s"
    parts[0] += f" in {stage_word(event.stage)}"
    if event.position:
        parts.append(event.position)
    if event.nadir_pct is not None:
        parts.append(f"lowest SpO2 {event.nadir_pct:.1f} % [{event.nadir_source}]")
    return f"{', '.join(parts)} {cite(event.epoch, event.clock)}"


def quantity_clause(name: str, summary: NightSummary, verb: str = "") -> str:
    """ "AHI 22.4/h [expert]" ("AHI was …" with a verb), or why it is not known."""
    quantity: Quantity = summary.quantity(name)
    head, _, key = name.partition(".")
    title = _title(head) + (f" {stage_word(key)}" if key else "")
    if quantity.value is None:
        return f"{title} is not known: {quantity.note}"
    if verb and name == "awakenings":
        verb = "count was"
    words = value_words(quantity.value, quantity.unit)
    return f"{title}{f' {verb}' if verb else ''} {words} [{quantity.source}]"


def _title(name: str) -> str:
    """The name of a field as it stands within a sentence."""
    title = _SHORT_TITLES.get(name, FIELDS[name].title)
    keeps = title[:2].isupper() or title.startswith("REM") or title.startswith("N3")
    return title if keeps else title[0].lower() + title[1:]


def measured_clause(field: MeasuredField) -> str:
    """ "heart rate (ECG) 61.2 bpm, from 52.0 to 88.4 bpm" over the epochs in scope."""
    digits = 1 if field.unit else 2
    unit = f" {field.unit}" if field.unit else ""
    if field.n_epochs == 1 or field.low == field.high:
        return f"{field.label} {field.median:.{digits}f}{unit}"
    text = (
        f"{field.label} median {field.median:.{digits}f}{unit}, "
        f"from {field.low:.{digits}f} to {field.high:.{digits}f}{unit}"
    )
    if field.trend in ("rising", "falling"):
        text += (
            f", {field.trend} from {field.first_third:.{digits}f} to "
            f"{field.last_third:.{digits}f}{unit} between first and last third"
        )
    return text


def extreme_place(found: Any, field: str, which: str) -> str:
    """Where a measured field is ``lowest`` or ``highest``: "[epoch 312, 01:05:30]", or empty."""
    if not isinstance(found, Description):
        return ""
    for evidence in found.evidence:
        if evidence.field == field:
            match = re.search(rf"{which} [^(]*\(epoch (\d+), ([^)]+)\)", evidence.text)
            if match:
                return cite(int(match[1]), match[2])
            if evidence.epoch is not None:
                return cite(evidence.epoch, evidence.clock)
    return ""


def witness_note(source: str | None, others: Iterable[str] = ()) -> str | None:
    """The sentence that says whose scoring it is, where that is not an expert's.

    ``others`` are witnesses that the answer names beside it: the model's reading needs no excuse
    where another scoring stands next to it.
    """
    beside = set(others)
    if "expert" in beside or (source == "model" and beside):
        return None
    return _WITNESS_NOTES.get(source or "")
