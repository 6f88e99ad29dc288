"""Which figure a number is said to be: "the AHI was 2" needs an AHI of 2, not any 2.

A true number under another name is as false as an invented one. Where an answer names a figure of
the report right before a number, or a kind of event right behind it, a tool must have stated that
value for that figure or that kind.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tools.vocabulary import APNEAS, read_query

__all__ = ["NamedFigures", "figure_named_before"]

_FIGURES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"AHI|apnea[- ]hypopnea index", ("ahi",)),
    (r"RDI|respiratory disturbance index", ("rdi",)),
    (r"ODI ?[34]?(?: %)?|(?:oxygen )?desaturation index", ("odi",)),
    (r"arousal index", ("arousal_index",)),
    (r"TST|total sleep time", ("tst",)),
    (r"sleep efficiency", ("sleep_efficiency",)),
    (r"WASO|wake after sleep onset", ("waso",)),
    (r"sleep onset latency|sleep latency|SOL", ("sleep_onset_latency",)),
    (r"REM latency", ("rem_latency",)),
    (r"N3 latency", ("n3_latency",)),
    (r"PLM index|PLMI|periodic limb movement index", ("plm_index",)),
    (r"T90|time below 90 % SpO2", ("t90",)),
)
_BEFORE = re.compile(
    r"(?P<article>\ban? )?\b(?P<name>" + "|".join(pattern for pattern, _ in _FIGURES) + r")\b"
    r"(?P<between>[^.;:\d\n\[\]]{0,40}?(?:rule 1[AB])?[^.;:\d\n\[\]]{0,20})$",
    re.IGNORECASE,
)
#: Words after which the number is a limit, not the figure's value.
_LIMIT = re.compile(
    r"\b(?:below|above|under|over|than|least|most|limit|threshold|cut-?offs?|range|between|band|"
    r"until|fewer|more|less|per|every|rule|by|from|if|would)\b|[<>≥≤]"
)
_FIELDS = frozenset(
    ["rdi", "arousal_index", "tst", "sleep_efficiency", "waso", "sleep_onset_latency",
     "rem_latency", "n3_latency", "plm_index", "t90"]
)  # fmt: skip
#: What the rate of such events is called.
_RATES: dict[frozenset[str], str] = {
    frozenset((*APNEAS, "hypopnea")): "ahi",
    frozenset(("desaturation",)): "odi",
    frozenset(("arousal",)): "arousal_index",
    frozenset(("plm",)): "plm_index",
    frozenset((*APNEAS, "hypopnea", "rera")): "rdi",
}
_COUNTED_FIELDS = ("total", "in_sleep", "outside_sleep")
_COUNTS_BY = ("by_stage", "by_position", "other_sources", "only_there")
_RATES_BY = ("per_hour_by_stage", "per_hour_by_position", "other_per_hour")


_STAGE_LABELS = {"R": "rem", "W": "wake", "N1": "n1", "N2": "n2", "N3": "n3"}
_LABELS = ("rem", "n1", "n2", "n3", "wake", "supine", "left", "right", "prone", "upright")
_LABEL_BEFORE = re.compile(rf"\b({'|'.join(_LABELS)}) $", re.IGNORECASE)
_LABELLED = re.compile(rf"\b({'|'.join(_LABELS)}) (\d+(?:\.\d+)?)", re.IGNORECASE)
_KIND_BEFORE = re.compile(
    r"\b((?:(?:obstructive|central|mixed) )?apneas?|hypopneas?|desaturations?|arousals?) $",
    re.IGNORECASE,
)


@dataclass
class NamedFigures:
    """Values by the figure that they were stated for, and counts by the kinds of event."""

    values: dict[str, set[float]] = field(default_factory=dict)
    counts: set[tuple[frozenset[str], float]] = field(default_factory=set)
    labelled: dict[str, set[float]] = field(default_factory=dict)

    def update(self, other: NamedFigures) -> None:
        """Add what another holds."""
        for name, values in other.values.items():
            self.values.setdefault(name, set()).update(values)
        self.counts |= other.counts
        for label, values in other.labelled.items():
            self.labelled.setdefault(label, set()).update(values)

    def add_text(self, text: str) -> None:
        """Take "N2 14" and "supine 46.5 min" from a tool's text."""
        for match in _LABELLED.finditer(text):
            self.labelled.setdefault(match[1].lower(), set()).add(float(match[2]))

    def add_branch(self, node: dict[Any, Any]) -> None:
        """Take the named values of one level of a dumped artifact."""
        for key, value in node.items():
            self._add(str(key), value)
            label = _STAGE_LABELS.get(str(key), str(key))
            if label in _LABELS and (number := _number(value)) is not None:
                self.labelled.setdefault(label, set()).add(number)
        name = _STAGE_LABELS.get(str(node.get("name")), str(node.get("name")))
        if name in _LABELS:
            shares = [_number(node.get(part)) for part in ("minutes", "percent")]
            known = {share for share in shares if share is not None}
            self.labelled.setdefault(name, set()).update(known)
        if isinstance(node.get("field"), str):
            for name in ("value", "first", "second", "difference"):
                self._add(node["field"], node.get(name))
        if node.get("tool") == "locate_events":
            # What the model searched for in words has no kinds of its own.
            kinds = node.get("kinds") or read_query(str(node.get("query", ""))).kinds
            if kinds:
                self._add_events(frozenset(kinds), node)
        for name in ("counts", "event_counts", "by_kind"):
            held = node.get(name)
            if isinstance(held, dict):
                for kind, count in held.items():
                    if (value := _number(count)) is not None:
                        self.counts.add((frozenset([str(kind)]), value))

    def add_value(self, figure: str, value: float) -> None:
        """A figure that a tool's text states: "TST 412.5 min"."""
        self.values.setdefault(figure, set()).add(value)

    def add_count(self, words: str, value: float) -> None:
        """A count that a tool's text states: "46 apneas"."""
        if kinds := read_query(words).kinds:
            self.counts.add((frozenset(kinds), value))

    def holds_count(self, words: str, value: float) -> bool:
        """Whether such a count of such events was stated; True where the words name no kind."""
        kinds = frozenset(read_query(words).kinds)
        return not kinds or any(kinds & named and value == count for named, count in self.counts)

    def holds(self, figure: str, value: float, half_step: float, factor: float) -> bool:
        """Whether the figure has the value, rounded as it is stated and in its unit."""
        return any(
            abs(abs(value) - abs(known * factor)) <= half_step * (1 + 1e-9) + 1e-9
            for known in self.values.get(figure, ())
        )

    def holds_label(self, text: str, start: int, value: float, half_step: float) -> bool:
        """Whether a number right behind a stage, a position or a kind was stated for it."""
        before = text[max(start - 40, 0) : start]
        if match := _LABEL_BEFORE.search(before):
            return any(
                abs(value - known) <= half_step * (1 + 1e-9) + 1e-9
                for known in self.labelled.get(match[1].lower(), ())
            )
        if half_step >= 0.5 and (match := _KIND_BEFORE.search(before)):
            return self.holds_count(match[1], value)
        return True

    def _add(self, name: str, value: Any) -> None:
        figure = "ahi" if name.startswith("ahi") else "odi" if name.startswith("odi") else name
        number = _number(value)
        if number is not None and (figure in _FIELDS or figure in ("ahi", "odi")):
            self.values.setdefault(figure, set()).add(number)

    def _add_events(self, kinds: frozenset[str], node: dict[Any, Any]) -> None:
        counts = [node.get(name) for name in _COUNTED_FIELDS]
        counts += [count for name in _COUNTS_BY for count in (node.get(name) or {}).values()]
        self.counts |= {(kinds, float(count)) for count in counts if count is not None}
        figure = _RATES.get(kinds)
        if figure is not None:
            rates = [node.get("per_hour")]
            rates += [rate for name in _RATES_BY for rate in (node.get(name) or {}).values()]
            self.values.setdefault(figure, set()).update(
                float(rate) for rate in rates if rate is not None
            )


def figure_named_before(text: str, start: int) -> str | None:
    """The figure that the words right before a number name; None where they name none.

    Parameters
    ----------
    text : str
    start : int
        Where the number begins.
    """
    match = _BEFORE.search(text[max(start - 110, 0) : start])
    if match is None:
        return None
    between = match["between"]
    plain = re.sub(r"\bby (?:the )?rule 1[AB]\b", "", between, flags=re.IGNORECASE)
    if match["article"] or _LIMIT.search(plain.lower()) or "(" in plain:
        return None
    name = match["name"]
    return next(
        fields[0] for pattern, fields in _FIGURES if re.fullmatch(pattern, name, re.IGNORECASE)
    )


def _number(value: Any) -> float | None:
    if isinstance(value, dict):
        value = value.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)
