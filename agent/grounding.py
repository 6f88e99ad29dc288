"""The grounding check: no number reaches a user unmarked unless a tool result holds it.

A number of an answer is good when a tool result of the conversation (text or artifact) holds the
same value, rounded as the answer rounds it and in a unit that fits; a clock time or an epoch
number must have been cited by a tool. The user's own numbers may be repeated. What does not stand
goes back to a language model once, and is then followed by "(unverified)".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import AgentMiddleware, AgentState, hook_config
from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    HumanMessage,
    RemoveMessage,
    ToolMessage,
)
from pydantic import BaseModel

from agent.named_figures import NamedFigures, figure_named_before
from agent.prompts import night_line
from tools.vocabulary import read_query

if TYPE_CHECKING:
    from langgraph.runtime import Runtime

    from tools.session import Session

__all__ = [
    "Facts",
    "GroundingMiddleware",
    "is_repair_request",
    "marked",
    "released",
    "unverified_in",
]

#: Unit of a number of events.
COUNT = "count"
UNVERIFIED_KEY = "unverified"
REPAIR_KEY = "grounding_repair"

# Unit as written → (dimension, size in the dimension's base unit).
UNITS: dict[str, tuple[str, float]] = {
    **dict.fromkeys(("%", "percent", "pct", "percentage points"), ("percent", 1.0)),
    **dict.fromkeys(
        ("/h", "/hour", "per hour", "an hour", "events/h", "events/hour", "events per hour"),
        ("per hour", 1.0),
    ),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), ("time", 1.0)),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), ("time", 60.0)),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), ("time", 3600.0)),
    **dict.fromkeys(("ms", "milliseconds"), ("time", 0.001)),
    **dict.fromkeys(
        (
            "bpm",
            "/min",
            "per minute",
            "beats/min",
            "beats per minute",
            "breaths/min",
            "breaths per minute",
        ),
        ("per minute", 1.0),
    ),
    **dict.fromkeys(("hz", "hertz"), ("frequency", 1.0)),
    **dict.fromkeys(("µv", "μv", "uv"), ("voltage", 1e-6)),
    "mv": ("voltage", 1e-3),
}
_UNIT = "|".join(re.escape(unit) for unit in sorted(UNITS, key=len, reverse=True))
_DIGITS = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_CLOCK = re.compile(
    r"(?<![\w.:])\+?(?P<hour>\d{1,3}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?"
    r"(?!\d|:\d)(?:\s*(?P<half>[ap])\.?m\b\.?)?",
    re.IGNORECASE,
)
_BARE_HOUR = re.compile(r"(?<![\w.:])(?P<hour>\d{1,2})\s*(?P<half>[ap])\.?m\b\.?", re.IGNORECASE)
_EPOCHS = re.compile(
    r"(?<!per )\b(?:epochs?|ep\.)\s*(?:numbers?|nos?\.?|#)?\s*"
    r"(\d+(?![.\d]*\d)(?:\s*(?:-|–|to|,|and|or|through)\s*(?:and\s+)?(?:epoch\s+)?"
    r"\d+(?![.:\d]*\d|\s*(?:%|s\b|min|h\b|/)))*)(?!\s*(?:%|s\b|min\b|h\b|/))",
    re.IGNORECASE,
)
_CITATION = re.compile(r"\[(\d+),\s*(?=\+?\d{1,3}:\d{2})")
# Names that hold digits (N2, C3-A2, ODI3, rule 1A, night-1a2b3c4d) are not numbers.
_NAMES = re.compile(
    r"\bnight-[0-9a-f]{8}\b|\b(?:rule\s+)?1[ab]\b|\b[A-Za-zµ]+[-_]?\d+(?:\.\d+)*(?:[-–][A-Z]\d)?\b",
    re.IGNORECASE,
)
_LIST_MARK = re.compile(r"(?m)^\s*(?:\d{1,2}[.)])(?=\s)")
_ORDINAL = re.compile(r"\b\d+(?:st|nd|rd|th)\b", re.IGNORECASE)
_HOURS_MINUTES = re.compile(
    r"(?<![\w.])(?P<hours>\d+)\s*(?:h|hr|hrs|hours?)\s*(?:and\s+)?(?P<minutes>\d{1,2})\s*"
    r"(?:min|mins|minutes?|m)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    rf"(?P<sign>(?<![\w%])[-−]\s?)?(?<![\w.])(?P<digits>{_DIGITS})"
    rf"(?P<range>\s*(?:-|–|to)\s*(?:{_DIGITS})(?=\s*-?(?:{_UNIT})(?![\w])))?"
    rf"(?:\s*-?(?P<unit>{_UNIT})(?!\w))?",
    re.IGNORECASE,
)
_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORD_VALUES = {word: value for value, word in enumerate(_SMALL)} | {
    word: 10 * value for value, word in enumerate(_TENS, start=2)
}
_COUNTED = (
    r"(?:\w+\s+){0,2}?(?:apn\w+|hypopn\w+|events?|arousals?|desaturations?|awakenings?|times|"
    r"movements?|percent|hours?|minutes?|seconds?|epochs?|episodes?|cycles?|beats?|spindles?)\b"
)
_COUNT_NOUN = re.compile(
    r"\s+(?:(?!per\b|of\b|and\b|to\b|in\b|were\b|was\b|go\b|goes\b|with\b|that\b|lie\b|lies\b|are\b|at\b)[\w-]+\s+){0,2}?"
    r"(?:apn\w+|hypopn\w+|events?|arousals?|desaturations?|awakenings?|movements?|episodes?|snores?|reras?)\b",
    re.IGNORECASE,
)
_NUMBER_WORDS = re.compile(
    rf"\b(?P<tens>{'|'.join(_TENS)})(?:[- ](?P<ones>{'|'.join(_SMALL[1:10])}))?\b"
    rf"|\b(?P<teen>{'|'.join(_SMALL[10:])})\b"
    rf"|\b(?P<small>{'|'.join(_SMALL[2:10])})\b(?=\s+{_COUNTED})",
    re.IGNORECASE,
)
_SEVERITY = re.compile(
    r"\b(mild|moderate|severe)\b(?=[^.;]{0,50}\b(?:apn|osa|sleep[- ]disordered))", re.IGNORECASE
)
# "There were no central apneas" is a count of nought, and as easily made up as any other.
_DENIAL = re.compile(
    r"\bthere (?:was|were|is|are) (?:no|not any|not a single) (?P<what>[a-z -]+?)"
    r"(?=[.,;:\[(]|\s+(?:in|at|during|on|by|from|and|but|between|after|before|of|for|with|without|"
    r"scored|found|recorded|detected|anywhere|tonight|this)\b|$)",
    re.IGNORECASE,
)
# A time of day or an epoch number is a place, not a quantity; it is collected apart.
_PLACE_FIELDS = frozenset(["onset_s", "end_s", "start_s", "epoch", "first_epoch", "last_epoch",
                           "lowest_epoch", "highest_epoch"])  # fmt: skip
_VALUE_FIELDS = frozenset(["value", "median", "low", "high", "first_third", "last_third"])
_FIELD_UNITS = (
    ("_pct", "%"), ("percent", "%"), ("per_hour", "/h"), ("per_hour_by_stage", "/h"),
    ("per_hour_by_position", "/h"), ("_index", "/h"), ("minutes", "min"),
    ("hours", "h"), ("_bpm", "bpm"), ("_ms", "ms"), ("_hz", "hz"), ("_s", "s"),
)  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """A number as an answer states it; ``start``/``end`` are its place in the text."""

    text: str
    start: int
    end: int
    value: float
    half_step: float
    unit: str | None
    noun: str = ""


@dataclass
class Facts:
    """What the tools of a conversation have said: values with units, clock times, epochs."""

    values: set[tuple[float, str | None]] = field(default_factory=set)
    clocks: set[tuple[int, ...]] = field(default_factory=set)
    epochs: set[int] = field(default_factory=set)
    severities: set[str] = field(default_factory=set)
    own_values: set[tuple[float, str | None]] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    """Kinds of event of which a tool counted none, in the night or a part of it."""
    named: NamedFigures = field(default_factory=NamedFigures)

    @classmethod
    def of(cls, messages: Iterable[AnyMessage], night: str = "") -> Facts:
        """Collect from tool messages, the user's questions and the line about the night."""
        facts = cls()
        facts.add_text(night)
        for message in messages:
            if isinstance(message, ToolMessage):
                facts.add_tool_message(message)
            elif isinstance(message, HumanMessage) and not is_repair_request(message):
                facts.add_question(message.text)
        return facts

    def add_tool_message(self, message: ToolMessage) -> None:
        """Add a tool's text and artifact; those of a message once read are remembered."""
        read = _READ.get(message.id or "")
        if read is None:
            read = Facts()
            read.add_text(message.text)
            read.named.add_text(message.text)
            for claim in _claims(message.text):
                if claim.noun:
                    read.named.add_count(claim.noun, claim.value)
                figure = figure_named_before(message.text, claim.start)
                if figure is not None:
                    read.named.add_value(figure, claim.value)
            # A checkpointer gives the artifacts of earlier questions back as plain dictionaries.
            read._add_tree(message.artifact, "")
            if message.id:
                _READ[message.id] = read
                while len(_READ) > READ_LIMIT:
                    _READ.pop(next(iter(_READ)), None)
        self.values |= read.values
        self.clocks |= read.clocks
        self.epochs |= read.epochs
        self.severities |= read.severities
        self.absent |= read.absent
        self.named.update(read.named)

    def add_text(self, text: str) -> None:
        """Add every number, clock time and epoch of a trusted text."""
        self._add_places(text)
        self.severities |= {match[1].lower() for match in re.finditer(
            r"\b(mild|moderate|severe)\b", text, re.IGNORECASE)}  # fmt: skip
        self.values |= {(claim.value, claim.unit) for claim in _claims(text)}

    def add_question(self, text: str) -> None:
        self._add_places(text)
        self.own_values |= {(claim.value, claim.unit) for claim in _claims(text)}

    def _add_places(self, text: str) -> None:
        self.clocks |= {_clock_key(match) for match in _CLOCK.finditer(text)}
        self.clocks |= {_clock_key(match) for match in _BARE_HOUR.finditer(text)}
        self.epochs |= {number for number, _, _ in _epoch_numbers(text)}

    def _add_tree(self, node: Any, name: str, unit: str | None = None) -> None:
        """Walk a dumped artifact; ``name`` is the field that says the unit of a bare number."""
        if isinstance(node, BaseModel):
            node = node.model_dump()
        if isinstance(node, dict):
            self._add_branch(node, name)
        elif isinstance(node, (list, tuple)):
            for value in node:
                self._add_tree(value, name, unit)
        elif isinstance(node, str):
            self.add_text(node)
        elif (
            isinstance(node, (int, float))
            and not isinstance(node, bool)
            and math.isfinite(node)
            and name not in _PLACE_FIELDS
        ):
            known = unit.strip().lower() if unit else None
            self.values.add((float(node), known if known in UNITS else _unit_of_field(name)))

    def _add_branch(self, node: dict[Any, Any], name: str) -> None:
        self._add_absent(node)
        self.named.add_branch(node)
        unit = node.get("unit") if isinstance(node.get("unit"), str) else None
        for key, value in node.items():
            own = str(key)
            if own in _VALUE_FIELDS:
                self._add_tree(value, str(node.get("field") or name), unit)
                continue
            # "stage_minutes": {"R": 81.5} takes the unit of the outer name.
            inherits = _unit_of_field(own) is None and _unit_of_field(name) is not None
            self._add_tree(value, name if inherits else own)
            if "epoch" in own and isinstance(value, int):
                self.epochs.add(value)

    def _add_absent(self, node: dict[Any, Any]) -> None:
        """Kinds that a list of events, a scorer's counts or a report hold none of."""
        if node.get("tool") == "locate_events":
            self.absent |= set(node.get("kinds") or ()) - set(node.get("by_kind") or ())
            if not node.get("total") and not node.get("kinds"):
                self.absent |= set(read_query(str(node.get("query", ""))).kinds)
        for name in ("counts", "event_counts"):
            held = node.get(name)
            if isinstance(held, dict):
                self.absent |= {kind for kind, count in held.items() if _amount(count) == 0}

    def denies(self, words: str) -> bool | None:
        """Whether a tool counted none of what the words name; None where they name no kind."""
        kinds = read_query(words).kinds
        return bool(self.absent & set(kinds)) if kinds else None

    def hold(self, claim: Claim) -> bool:
        """Whether a value in a fitting unit, rounded as the claim rounds it, was found."""
        return any(
            _fits(claim, value, unit) for facts in (self.values, self.own_values)
            for value, unit in facts
        )  # fmt: skip

    def hold_named(self, text: str, claim: Claim) -> bool:
        """Whether the number is what the words around it say that it is."""
        if claim.noun and not self.named.holds_count(claim.noun, claim.value):
            return False
        if not self.named.holds_label(text, claim.start, claim.value, claim.half_step):
            return False
        figure = figure_named_before(text, claim.start)
        if figure is None or (figure == "odi" and claim.text.rstrip(" %") in ("3", "4")):
            return True
        if claim.unit in ("min", "mins", "minute", "minutes", None):
            factor = 1.0
        else:
            dimension, size = UNITS.get(claim.unit, ("", 1.0))
            factor = 60.0 / size if dimension == "time" else 1.0
        return self.named.holds(figure, claim.value, claim.half_step, factor)

    def hold_clock(self, key: tuple[int, ...]) -> bool:
        """Whether a clock time was cited, to the precision at which it is repeated."""
        if key in self.clocks:
            return True
        hour, minute, *second = key
        for known in self.clocks:
            known_second = known[2] if len(known) > 2 else 0
            minutes = known[0] * 60 + known[1]
            if not second and (hour * 60 + minute) in (minutes, minutes + (known_second >= 30)):
                return True
            if second and len(known) == 2 and known == (hour, minute) and second[0] == 0:
                return True
        return False


def _amount(count: Any) -> Any:
    """A count as a number, whether it stands bare or as a quantity."""
    return count.get("value") if isinstance(count, dict) else getattr(count, "value", count)


#: Facts of tool messages by message id: a long conversation is checked after every answer.
READ_LIMIT = 512
_READ: dict[str, Facts] = {}


class GroundingMiddleware(AgentMiddleware[AgentState[Any], "Session"]):
    """Checks the final text of a run; asks once for a correction, then marks.

    Parameters
    ----------
    repairs : bool
        False for the offline planner, which would only say the same again.
    """

    def __init__(self, repairs: bool = True) -> None:
        super().__init__()
        self.repairs = repairs

    @hook_config(can_jump_to=["model"])
    def after_model(
        self, state: AgentState[Any], runtime: Runtime[Session]
    ) -> dict[str, Any] | None:
        """Pass, send back, or mark the answer that ends the run."""
        messages: Sequence[AnyMessage] = state["messages"]
        answer = messages[-1]
        if not isinstance(answer, AIMessage) or answer.tool_calls or answer.invalid_tool_calls:
            return None
        facts = Facts.of(messages[:-1], night_line(runtime.context))
        wrong = [text for text, _, _ in unverified_in(answer.text, facts)]
        request = next(
            (i for i, message in enumerate(messages) if is_repair_request(message)), None
        )
        if wrong and self.repairs and request is None:
            return {"messages": [_repair_request(wrong)], "jump_to": "model"}
        changes: list[Any] = []
        if request is not None:
            # The draft and the request to mend it are no part of the conversation.
            drafts = messages[request - 1 : request + 1]
            changes += [RemoveMessage(id=str(message.id)) for message in drafts]
        if wrong:
            changes.append(
                AIMessage(
                    content=marked(answer.text, facts),
                    id=answer.id,
                    additional_kwargs={
                        **answer.additional_kwargs,
                        UNVERIFIED_KEY: list(dict.fromkeys(wrong)),
                    },
                )
            )
        return {"messages": changes} if changes else None


def is_repair_request(message: AnyMessage) -> bool:
    """Whether a message is our request to mend an answer, not a question of the user."""
    return isinstance(message, HumanMessage) and REPAIR_KEY in message.additional_kwargs


def unverified_in(text: str, facts: Facts) -> list[tuple[str, int, int]]:
    """What of a text no fact holds: (as written, start, end), in the order of the text."""
    wrong: list[tuple[str, int, int]] = []
    for match in (*_CLOCK.finditer(text), *_BARE_HOUR.finditer(text)):
        if not facts.hold_clock(_clock_key(match)):
            wrong.append((match[0].strip(), match.start(), match.end()))
    for number, start, end in _epoch_numbers(text):
        if number not in facts.epochs:
            wrong.append((text[start:end], start, end))
    for claim in _claims(text):
        if not facts.hold(claim) or not facts.hold_named(text, claim):
            wrong.append((claim.text, claim.start, claim.end))
    for match in _SEVERITY.finditer(text):
        if match[1].lower() not in facts.severities:
            wrong.append((match[1], match.start(1), match.end(1)))
    for match in _DENIAL.finditer(text):
        if facts.denies(match["what"]) is False:
            wrong.append((match[0].strip(), match.start(), match.end()))
    return sorted(wrong, key=lambda found: found[1])


def marked(text: str, facts: Facts) -> str:
    """The text with "(unverified)" behind each number that no fact holds."""
    for _, _, end in reversed(unverified_in(text, facts)):
        text = f"{text[:end]} (unverified){text[end:]}"
    return text


def released(text: str, facts: Facts) -> str:
    """The leading whole sentences of a growing text whose numbers all stand."""
    end = 0
    for match in re.finditer(r"[.!?:]\s+|\n+", text):
        if unverified_in(text[: match.end()], facts):
            break
        end = match.end()
    return text[:end]


def _repair_request(wrong: list[str]) -> HumanMessage:
    listed = ", ".join(dict.fromkeys(wrong))
    return HumanMessage(
        content=(
            f"Check your last answer: no tool result holds {listed}. Write the answer again with "
            "numbers that stand in the tool results, in the units given there; call a tool if you "
            "need one; leave out what you cannot support. Do not mention this check."
        ),
        additional_kwargs={REPAIR_KEY: True},
    )


def _claims(text: str) -> Iterator[Claim]:
    """Every quantity that a text states; places, names, ordinals and list marks are left out."""
    masked = text
    for pattern in (_CLOCK, _BARE_HOUR, _EPOCHS, _CITATION, _NAMES, _LIST_MARK, _ORDINAL):
        masked = pattern.sub(lambda match: "\0" * len(match[0]), masked)
    for match in _HOURS_MINUTES.finditer(masked):
        minutes = int(match["hours"]) * 60 + int(match["minutes"])
        yield Claim(match[0], match.start(), match.end(), minutes, 0.5, "min")
    masked = _HOURS_MINUTES.sub(lambda match: "\0" * len(match[0]), masked)
    for match in _NUMBER.finditer(masked):
        yield from _number_claims(match)
    for match in _NUMBER_WORDS.finditer(masked):
        word = match["tens"] or match["teen"] or match["small"]
        value = _WORD_VALUES[word.lower()]
        if match["ones"]:
            value += _WORD_VALUES[match["ones"].lower()]
        yield Claim(match[0], match.start(), match.end(), float(value), 0.0, COUNT)


def _number_claims(match: re.Match[str]) -> Iterator[Claim]:
    """One claim for a number, two for a range, whose ends share the unit behind it."""
    digits, tail = match["digits"], match["range"]
    if not tail:
        sign = -1.0 if match["sign"] else 1.0
        unit = match["unit"].lower() if match["unit"] else None
        noun = _COUNT_NOUN.match(match.string, match.end())
        is_count = unit is None and "." not in digits and noun is not None
        if is_count:
            unit = COUNT
        elif unit is None and noun is not None:
            # Events are whole: "18.8 apneas" can only be a rate.
            unit = "/h"
        named = noun[0] if is_count and noun is not None else ""
        yield _claim(match[0], match.start(), digits, unit, sign, named)
        return
    behind = re.match(rf"\s*-?({_UNIT})(?!\w)", match.string[match.end("range") :], re.IGNORECASE)
    unit = (match["unit"] or (behind[1] if behind else "")).lower() or None
    second = re.search(_DIGITS, tail)
    assert second is not None
    yield _claim(digits, match.start("digits"), digits, unit, 1.0)
    yield _claim(second[0], match.start("range") + second.start(), second[0], unit, 1.0)


def _claim(
    text: str, start: int, digits: str, unit: str | None, sign: float, noun: str = ""
) -> Claim:
    decimals = len(digits.partition(".")[2])
    value = sign * float(digits.replace(",", ""))
    return Claim(
        text.strip(), start, start + len(text.rstrip()), value, 0.5 * 10.0**-decimals, unit, noun
    )


def _fits(claim: Claim, value: float, unit: str | None) -> bool:
    if claim.unit == COUNT:
        # A count is exact, and 12 s are no 12 apneas.
        return unit in (None, COUNT) and abs(claim.value - value) < 1e-9
    if unit == COUNT:
        unit = None
    if claim.unit is not None:
        if unit is None:
            return False
        dimension, size = UNITS[claim.unit]
        known_dimension, known_size = UNITS[unit]
        if dimension != known_dimension:
            return False
        value *= known_size / size
    # "3 % lower" and "−3 %" say the same.
    return abs(abs(claim.value) - abs(value)) <= claim.half_step * (1 + 1e-9) + 1e-9


def _unit_of_field(name: str) -> str | None:
    return next((unit for ending, unit in _FIELD_UNITS if name.endswith(ending)), None)


def _clock_key(match: re.Match[str]) -> tuple[int, ...]:
    groups = match.groupdict()
    hour = int(groups["hour"])
    if groups.get("half"):
        hour = hour % 12 + (12 if groups["half"].lower() == "p" else 0)
    minute = int(groups.get("minute") or 0)
    second = groups.get("second")
    return (hour, minute, int(second)) if second else (hour, minute)


def _epoch_numbers(text: str) -> Iterator[tuple[int, int, int]]:
    for pattern in (_EPOCHS, _CITATION):
        for match in pattern.finditer(text):
            for digits in re.finditer(r"\d+", match[1]):
                start = match.start(1) + digits.start()
                yield int(digits[0]), start, start + len(digits[0])
