"""Why and how much more: explanations and comparisons that are made of numbers only.

An explanation states what was found together; it does not claim that one thing caused the other.
"""

from __future__ import annotations

from typing import Any

from agent.intents import Request
from agent.wording import (
    event_clause,
    failed,
    measured_clause,
    noun,
    quantity_clause,
    rate,
    scope_words,
    stage_word,
    value_words,
    witness_note,
)
from sleeplm.summary import NightSummary, Quantity
from tools.artifacts import Description, EventList, NightReport

__all__ = ["compare", "explain"]

_SIDES = {
    "halves": ("first half", "second half"),
    "thirds": ("first third", "last third"),
    "rem": ("REM", "NREM"),
    "position": ("supine", "not supine"),
}


def explain(request: Request, found: list[Any]) -> str:
    """What the tools found beside the thing that a "why" asks about."""
    report = next((a.summary for a in found if isinstance(a, NightReport)), None)
    lists = [a for a in found if isinstance(a, EventList)]
    descriptions = [a for a in found if isinstance(a, Description)]
    failures = [a for a in found if isinstance(a, str)]
    if not lists and failures:
        return failed(failures[0])
    lead = {
        "oxygen": ("t90", "spo2_nadir", "odi3"),
        "breathing": ("ahi", "ahi_supine", "ahi_nonsupine", "ahi_rem", "ahi_nrem"),
        "heart": (),
        "sleep": ("arousal_index", "awakenings", "waso"),
    }[request.subject]
    sentences: list[str] = []
    for description in descriptions:
        sentences += _described(description)
    for events in lists:
        sentences.append(_events_sentence(events))
    if report is not None:
        if request.when.get("stage") == "R":
            lead = ("ahi_rem", "ahi_nrem", *lead)
        clauses = [quantity_clause(n, report) for n in lead if report.quantity(n).value is not None]
        if clauses:
            sentences.append(f"Over the whole night: {', '.join(clauses)}.")
    if lists and (note := witness_note(lists[0].source, lists[0].other_sources)):
        sentences.append(note)
    sentences.append("These figures stand side by side; they do not prove what caused what.")
    return " ".join(sentences)


def _described(description: Description) -> list[str]:
    where = scope_words(description.scope)
    if description.system == "stage_event":
        shares = ", ".join(
            f"{stage_word(s.name)} {value_words(s.minutes, 'min')}" for s in description.shares
        )
        return [f"Time{where} [{description.shares_source}]: {shares}."]
    held = {field.field: field for field in description.measured}
    field = held.get("ecg_rate_bpm") or held.get("hr_mean_bpm")
    return [f"Over the epochs{where}: {measured_clause(field)} [measured]."] if field else []


def _events_sentence(events: EventList) -> str:
    words = noun(events.query, events.total)
    if not events.total:
        return (
            f"There were no {noun(events.query, 2)}{scope_words(events.scope)} [{events.source}]."
        )
    verb = "was" if events.total == 1 else "were"
    what = f"{events.total} {words}{scope_words(events.scope)}"
    text = f"There {verb} {what} [{events.source}]{rate(events)}"
    if events.events and events.order in ("longest", "deepest"):
        text += f"; the {events.order} is {event_clause(events.events[0])}"
    return f"{text}."


def compare(request: Request, found: list[Any]) -> str:
    """Two sides of a contrast, their numbers, and which is the larger."""
    failures = [a for a in found if isinstance(a, str)]
    if failures:
        return f"That cannot be compared: {failures[0].rstrip('.')}."
    report = next((a.summary for a in found if isinstance(a, NightReport)), None)
    if report is not None:
        return _compare_report(request, report)
    if request.contrast == "position":
        return _compare_positions(found[0])
    if request.contrast == "kinds":
        return _compare_kinds(*found[:2])
    if request.contrast in ("stages", "places"):
        return _compare_pair(request, found[0])
    descriptions = [a for a in found if isinstance(a, Description)]
    lists = [a for a in found if isinstance(a, EventList)]
    names = _SIDES[request.contrast]
    sentences: list[str] = []
    for first, second in zip(lists[::2], lists[1::2], strict=True):
        sentences.append(_compare_rates(first, second, names))
    for one, other in zip(descriptions[::2], descriptions[1::2], strict=True):
        sentences += _compare_descriptions(one, other, names)
    if lists and (note := witness_note(lists[0].source, lists[0].other_sources)):
        sentences.append(note)
    if not request.query and not request.systems:
        sentences.append("Whether that is better sleep is for you to judge; these are its figures.")
    return " ".join(sentences)


def _compare_report(request: Request, summary: NightSummary) -> str:
    fields = {"rem": ("ahi_rem", "ahi_nrem"), "position": ("ahi_supine", "ahi_nonsupine")}
    one, other = (summary.quantity(name) for name in fields[request.contrast])
    names = _SIDES[request.contrast]
    if one.value is None or other.value is None:
        unknown, name = (one, names[0]) if one.value is None else (other, names[1])
        return f"The AHI {name} is not known: {unknown.note}."
    text = (
        f"The AHI was {value_words(one.value, one.unit)} {_in(names[0])}{_note(one)} and "
        f"{value_words(other.value, other.unit)} {_in(names[1])}{_note(other)} [{one.source}]: "
        f"{_verdict(one.value, other.value, names)}."
    )
    times: dict[str, Quantity] = (
        summary.stage_minutes if request.contrast == "rem" else summary.position_minutes
    )
    known = [
        f"{stage_word(key)} {value_words(q.value, q.unit)}" for key, q in times.items() if q.value
    ]
    if known:
        lead = "Time by stage" if request.contrast == "rem" else "Sleep by position"
        text += f" {lead} [{next(iter(times.values())).source}]: {', '.join(known)}."
    return text


def _note(quantity: Quantity) -> str:
    return f" ({quantity.note})" if quantity.note else ""


def _in(name: str) -> str:
    return name if name in ("supine", "not supine") else f"in {name}"


def _verdict(one: float, other: float, names: tuple[str, str]) -> str:
    if round(one, 1) == round(other, 1):
        return "the same in both"
    return f"higher {_in(names[0] if one > other else names[1])}"


def _compare_positions(events: EventList) -> str:
    rates = {
        name: value for name, value in events.per_hour_by_position.items() if name != "unknown"
    }
    if not rates:
        return "That cannot be compared: the body position was not recorded in this night."
    listed = ", ".join(
        f"{name} {events.by_position.get(name, 0)} ({value:.1f}/h of sleep)"
        for name, value in rates.items()
    )
    return f"{noun(events.query, 2).capitalize()} by position [{events.source}]: {listed}."


def _compare_kinds(one: EventList, other: EventList) -> str:
    """Two kinds of events, their counts, and which are more."""
    names = noun(one.query, 2), noun(other.query, 2)
    text = (
        f"There were {one.total} {noun(one.query, one.total)} and {other.total} "
        f"{noun(other.query, other.total)}{scope_words(one.scope)} [{one.source}]: "
    )
    if one.total == other.total:
        text += "as many of one as of the other."
    else:
        text += f"more {names[0] if one.total > other.total else names[1]}."
    if one.per_hour is not None and other.per_hour is not None:
        text += (
            f" Per hour of sleep: {one.per_hour:.1f} {names[0]} and {other.per_hour:.1f} "
            f"{names[1]} [{one.source}]."
        )
    if note := witness_note(one.source, one.other_sources):
        text += f" {note}"
    return text


def _compare_pair(request: Request, events: EventList) -> str:
    """Events in two stages or positions: counts, rates, and where the rate is higher."""
    by_count, by_rate = (
        (events.by_stage, events.per_hour_by_stage)
        if request.contrast == "stages"
        else (events.by_position, events.per_hour_by_position)
    )
    what = noun(events.query, 2)
    sides, rates = [], []
    for name in request.pair:
        word = stage_word(name)
        if name not in by_rate and not by_count.get(name):
            sides.append(f"{word} no sleep")
            continue
        hourly = f" ({by_rate[name]:.1f} per hour of sleep there)" if name in by_rate else ""
        sides.append(f"{word} {by_count.get(name, 0)}{hourly}")
        rates += [(word, by_rate[name])] if name in by_rate else []
    text = f"{what[0].upper()}{what[1:]} [{events.source}]: {sides[0]}, {sides[1]}"
    if len(rates) == 2:
        (one, first), (other, second) = rates
        is_same = round(first, 1) == round(second, 1)
        more = one if first > second else other
        text += ": the same rate in both" if is_same else f": a higher rate in {more}"
    return f"{text}."


def _compare_rates(first: EventList, second: EventList, names: tuple[str, str]) -> str:
    what = noun(first.query, 2)
    if first.per_hour is None or second.per_hour is None:
        return f"The {what} cannot be compared: there is no sleep in one of the two parts."
    return (
        f"{what[0].upper()}{what[1:]} per hour of sleep: {first.per_hour:.1f} in {_the(names[0])} "
        f"({first.in_sleep}) and {second.per_hour:.1f} in {_the(names[1])} ({second.in_sleep}) "
        f"[{first.source}], {_rate_verdict(first.per_hour, second.per_hour, names)}."
    )


def _the(name: str) -> str:
    return f"the {name}" if name.endswith(("half", "third")) else name


def _rate_verdict(one: float, other: float, names: tuple[str, str]) -> str:
    if round(one, 1) == round(other, 1):
        return "the same in both"
    return f"higher in {_the(names[0] if one > other else names[1])}"


def _compare_descriptions(
    first: Description, second: Description, names: tuple[str, str]
) -> list[str]:
    if first.system == "stage_event":
        sides = []
        for description, name in ((first, names[0]), (second, names[1])):
            shares = ", ".join(
                f"{stage_word(s.name)} {s.minutes:.1f} min ({s.percent:.1f} %)"
                for s in description.shares
            )
            sides.append(f"{name}: {shares}")
        return [f"Stages [{first.shares_source}], {'; '.join(sides)}."]
    held = {field.field: field for field in second.measured}
    sentences = []
    for field in first.measured:
        other = held.get(field.field)
        if other is None or field.field not in ("ecg_rate_bpm", "hr_mean_bpm", "ecg_rmssd_ms",
                                                "eeg_c3_delta_pct"):  # fmt: skip
            continue
        sentences.append(
            f"The median {field.label} was {value_words(field.median, field.unit)} in "
            f"{_the(names[0])} and {value_words(other.median, other.unit)} in "
            f"{_the(names[1])} [measured]: "
            f"{_rate_verdict(field.median, other.median, names)}."
        )
    return sentences[:2]
