"""``compare_nights``: the figures of two nights side by side, with the direction of change.

The other is an open night, one of the case store, or the median of the stored nights that resemble
this one most.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.arguments import CompareArguments
from tools.artifacts import ComparedFigure, Evidence, NightComparison
from tools.calling import sleep_tool
from tools.cases import NIGHT_FIELDS, searchable_store
from tools.failures import CannotAnswer, TryAgain
from tools.report import quantity_of

if TYPE_CHECKING:
    from tools.session import Session
    from tools.store import CaseStore

__all__ = ["FIGURES", "compare", "compare_nights"]

#: Field → (name for people, least difference that is called one, in the field's unit). The least
#: differences are this program's choice: nights of one person differ by more than these anyway.
FIGURES: dict[str, tuple[str, float]] = {
    "tst": ("total sleep time", 15.0),
    "sleep_efficiency": ("sleep efficiency", 5.0),
    "sleep_onset_latency": ("sleep onset latency", 10.0),
    "rem_latency": ("REM latency", 20.0),
    "waso": ("wake after sleep onset", 15.0),
    "stage_percent.N3": ("N3, share of sleep", 5.0),
    "stage_percent.R": ("REM, share of sleep", 5.0),
    "arousal_index": ("arousal index", 3.0),
    "ahi": ("AHI as scored", 2.0),
    "ahi_supine": ("AHI supine", 2.0),
    "odi3": ("ODI3", 2.0),
    "spo2_mean": ("mean SpO2", 1.0),
    "spo2_nadir": ("lowest SpO2", 2.0),
    "t90": ("time below 90 % SpO2", 5.0),
    "hr_mean": ("mean heart rate", 3.0),
    "plm_index": ("PLM index", 3.0),
}


def compare(session: Session, arguments: CompareArguments) -> NightComparison:
    """The night in question against another one, or against those that resemble it.

    Raises
    ------
    CannotAnswer
        No second night is open, or no case store is where one is needed.
    TryAgain
        No night has the pseudonym that was given, or several could be meant.
    """
    if arguments.neighbours is not None:
        return _with_neighbours(session, arguments.neighbours)
    night = session.night
    others = [name for name in session.nights if name != session.night_id]
    if arguments.other is not None and arguments.other not in others and session.store is not None:
        kept = stored_facts(session.store)
        if arguments.other in kept and arguments.other != night.id:
            facts = kept[arguments.other]
            return _against(session, facts, arguments.other, "kept in the case store")
    if not others:
        raise CannotAnswer("only one night is open; open a second one to compare it with")
    chosen = arguments.other
    if chosen is None:
        if len(others) > 1:
            raise TryAgain(f"several nights are open; name one of {', '.join(sorted(others))}")
        chosen = others[0]
    if chosen not in others:
        raise TryAgain(f"no such other night is open; open are {', '.join(sorted(others))}")
    mine = night.summary(session.scoring)
    other = session.nights[chosen]
    choice = session.scoring if session.scoring in other.scorings else None
    theirs = other.summary(choice)
    figures, unknown = [], []
    for name, (words, least) in FIGURES.items():
        one, two = quantity_of(mine, name), quantity_of(theirs, name)
        if one is None or two is None or one["value"] is None or two["value"] is None:
            unknown.append(words)
            continue
        difference = two["value"] - one["value"]
        figures.append(
            ComparedFigure(
                field=name,
                label=words,
                unit=one["unit"],
                first=round(one["value"], 4),
                second=round(two["value"], 4),
                difference=round(difference, 4),
                direction="same" if abs(difference) < least else _direction(difference),
                first_source=one["source"],
                second_source=two["source"],
            )
        )
    scorers = (str(mine.scorer["kind"]), str(theirs.scorer["kind"]))
    note = ""
    if scorers[0] != scorers[1]:
        note = (
            f"The first night is scored by {scorers[0]}, the second by {scorers[1]}: part of a "
            "difference may be the scorer's."
        )
    return _finished(night.id, chosen, figures, unknown, note, list(scorers))


def _finished(
    first: str,
    second: str,
    figures: list[ComparedFigure],
    unknown: list[str],
    note: str,
    scorers: list[str],
) -> NightComparison:
    result = NightComparison(
        source=", ".join(dict.fromkeys([*scorers, "measured"])),
        night=first,
        text="",
        first=first,
        second=second,
        figures=figures,
        unknown=unknown,
        note=note,
    )
    lines = [f"{first} against {second}:"]
    lines += [f"- {_figure_text(figure)}" for figure in figures]
    if unknown:
        lines.append(f"Not known in both nights: {', '.join(unknown)}.")
    lines += [note] if note else []
    result.text = "\n".join(lines)
    result.evidence = [
        Evidence(
            kind="quantity",
            source=figure.second_source,
            text=_figure_text(figure),
            value=figure.difference,
            unit=figure.unit,
            field=figure.field,
        )
        for figure in figures
    ]
    return result


def stored_facts(store: CaseStore) -> dict[str, Mapping[str, Any]]:
    """Pseudonym → indices of each night that a store keeps."""
    columns = store.columns()
    return dict(zip(columns.names, columns.night_facts, strict=True))


def _with_neighbours(session: Session, count: int) -> NightComparison:
    """Against the median of the stored nights that resemble this one most."""
    from tools.cases import night_vector
    from tools.facts import NightFacts

    store = searchable_store(session)
    vector = night_vector(NightFacts.of(session))
    hits = store.search(vector, count, level="nights", exclude_night=session.night_id)
    if not hits:
        raise CannotAnswer("the case store holds no other night to compare with")
    medians: dict[str, float] = {}
    for name in NIGHT_FIELDS:
        values = [float(hit.facts[name]) for hit in hits if name in hit.facts]
        if values:
            medians[name] = float(np.median(values))
    nights = "night" if len(hits) == 1 else "nights"
    name = f"the median of {len(hits)} similar {nights}"
    note = f"the {nights} of the case store that resemble this one most by the model's embeddings"
    result = _against(session, medians, name, note)
    result.neighbours = [hit.night for hit in hits]
    return result


def _against(session: Session, theirs: Mapping[str, Any], name: str, note: str) -> NightComparison:
    """This night against indices that the store keeps."""
    night = session.night
    mine = night.summary(session.scoring)
    figures, unknown = [], []
    for field, (unit, tolerance) in NIGHT_FIELDS.items():
        words, least = FIGURES.get(field, (field.replace("_", " "), tolerance))
        one = quantity_of(mine, field)
        if one is None or one["value"] is None or field not in theirs:
            unknown.append(words)
            continue
        difference = float(theirs[field]) - one["value"]
        figures.append(
            ComparedFigure(
                field=field,
                label=words,
                unit=unit,
                first=round(one["value"], 4),
                second=round(float(theirs[field]), 4),
                difference=round(difference, 4),
                direction="same" if abs(difference) < least else _direction(difference),
                first_source=one["source"],
                second_source="stored",
            )
        )
    scorer = str(mine.scorer["kind"])
    return _finished(night.id, name, figures, unknown, f"{note[:1].upper()}{note[1:]}.", [scorer])


def _direction(difference: float) -> str:
    return "higher" if difference > 0 else "lower"


def _figure_text(figure: ComparedFigure) -> str:
    unit = figure.unit if figure.unit.startswith("/") else f" {figure.unit}"
    verdict = (
        "about the same"
        if figure.direction == "same"
        else f"{figure.direction} in the second by {abs(figure.difference):.1f}{unit}"
    )
    return (
        f"{figure.label}: {figure.first:.1f}{unit} [{figure.first_source}] and "
        f"{figure.second:.1f}{unit} [{figure.second_source}], {verdict}"
    )


compare_nights = sleep_tool(
    "compare_nights",
    CompareArguments,
    compare,
    "Compare the night with another open night of the user (sleep, stages, breathing, oxygen, "
    "arousals, heart, each with its difference and direction), with a night of the case store, or "
    "with the median of the stored nights that resemble it most.",
)
