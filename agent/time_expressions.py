"""Parts of a night as people say them → the ``when`` argument of the tools.

"between 1 and 2:30", "after 3 am", "epochs 100-110", "the first two hours", "in REM",
"on his back". A bare hour is read as the one that lies in the recording.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from agent import words
from sleeplm.scoring import EPOCH_S
from tools.vocabulary import read_query

__all__ = ["NightSpan", "TimeScope", "read_stretch", "read_time"]

_EPOCHS_PER_HOUR = round(3600 / EPOCH_S)
# Half the window that "around 3 am" means.
AROUND_MIN = 5
_NIGHT_LINE = re.compile(
    r"Open night: (?P<night>\S+), (?P<epochs>\d+) epochs of 30 s, "
    r"from (?P<start>\+?[\d:]+) to (?P<end>\+?[\d:]+)"
)
_TIME = (
    r"(?:\+\d{1,3}:\d{2}(?::\d{2})?|\d{1,2}[:.]\d{2}(?::\d{2})?(?!\d|\s*%)\s*(?:[ap]\.?m\.?(?!\w))?"
    r"|\d{1,2}\s*(?:[ap]\.?m\.?(?!\w)|o'?clock|uhr|hrs?(?=\s|$|\?))"
    r"|\d{1,2}(?![\d:.]*\d)(?!\s*(?:%|/|[a-z]*apn|percent|min|sec|s\b|h\b|hour|epoch|events?|times"
    r"|bpm|hypop|arous|desat|most|long|deep|short|nights?|similar|of|or)))"
)
_RANGE = re.compile(
    rf"\b(?:between|from|zwischen|entre)\s+(?P<first>{_TIME})\s*(?:and|to|until|till|und|y|-|–)"
    rf"\s*(?P<last>{_TIME})",
)
_DASHED = re.compile(
    r"(?<![\d:])(?P<first>\d{1,2}:\d{2}(?::\d{2})?)\s*(?:-|–|to|until|till)\s*"
    r"(?P<last>\d{1,2}:\d{2}(?::\d{2})?)(?![\d:])"
)
_SINGLE = re.compile(
    rf"\b(?P<how>after|since|past|from|before|until|till|by|at|around|about|near|nach|vor|um|gegen)"
    rf"\s+(?:about\s+|around\s+)?(?P<time>{_TIME})",
)
_PLAIN = re.compile(
    r"(?<![\d:+])(?P<time>\+?\d{1,2}:\d{2}(?::\d{2})?\s*(?:[ap]\.?m\.?(?!\w))?"
    r"|\d{1,2}\s*[ap]\.?m\.?(?!\w))"
)
_EPOCH_RANGE = re.compile(
    r"\b(?:epochs?|epochen?)\s*(?:nos?\.?|numbers?|#)?\s*(\d+)"
    r"\s*(?:-|–|to|through|until|till|bis|and)\s*(?:epoch\s*)?(\d+)\b"
)
_EPOCH = re.compile(
    r"\b(?P<around>(?:around|near)\s+)?(?:the\s+)?(?:epochs?|epoche)\s*(?:no\.?|number|#)?"
    r"\s*(?P<number>\d+)\b"
)
_HOUR_NAMES = (
    *("one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)
_NUMBER_WORDS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "an": 1, "a": 1, "half an": 0.5,
}  # fmt: skip
_BESIDE_EPOCH = re.compile(
    r"\b(?P<one>(?:epoch|one)(?: right| just)? )?(?P<side>before|after) epoch (?P<number>\d+)\b"
)
_STRETCH = re.compile(
    r"\b(?P<end>first|last|final)\s+(?P<count>\d+(?:\.\d+)?|one|two|three|four|five|six|half an)\s*"
    r"(?P<unit>hours?|h|minutes?|min|epochs?)\b"
)
_PARTS: tuple[tuple[str, str], ...] = (
    ("first_half", r"(?:first|1st|early) half|erste[nr]? (?:nacht)?hälfte|primera mitad"),
    ("second_half", r"(?:second|2nd|last|latter|other|late) half|zweite[nr]? (?:nacht)?hälfte"
     r"|segunda mitad"),
    ("first_third", r"first third|beginning of the (?:night|recording)|start of the night"
     r"|early in the night|early night|early part"),
    ("last_third", r"(?:last|final) third|end of the (?:night|recording)|late in the night"
     r"|towards? (?:the )?morning|early morning|late night|late part"),
    ("first_hour", r"first hour|1st hour"),
    ("last_hour", r"(?:last|final) hour"),
    ("whole", r"(?:whole|entire|all|complete) (?:of the )?(?:night|recording)|all night"
     r"|over the night"),
)  # fmt: skip
_MIDDLE = re.compile(r"\b(?:middle (?:third|part)?\s*of the night|middle third|second third)\b")
_QUARTER = re.compile(r"\b(first|second|third|fourth|last) quarter\b")
_STAGES: tuple[tuple[str, str], ...] = (
    ("NREM", r"n-?rem|non[- ]?rem(?: sleep)?"),
    ("R", r"rem(?:[- ]sleep|-?schlaf)?|stage r|dream(?:ing)?(?: sleep)?|paradoxical sleep"),
    ("N3", r"n3|stage 3|deep sleep|slow[- ]wave sleep|sws|tiefschlaf|sueño profundo"),
    ("N2", r"n2|stage 2"),
    ("N1", r"n1|stage 1|drowsiness"),
    ("W", r"wake(?:fulness)?(?! up| after)|awake|while awake|stage w"),
    ("sleep", r"during sleep|while (?:he |she |they )?(?:was |were )?(?:asleep|sleeping)|in sleep"),
)
_STAGE_LEAD = (
    r"(?:(?:was|is|were) there(?: any)?|any|no|in|during|within|while in|of|for|about|im|en"
    r"|throughout)\s+(?:the\s+|stage\s+)?"
)
#: "REM apneas", "N2 arousals".
_KIND_BEHIND = (
    r" (?:(?:obstructive|central|mixed) )?(?:apneas?|hypopneas?|arousals?|desaturations?)\b"
)
_POSITIONS: tuple[tuple[str, str], ...] = (
    (
        "supine",
        r"on (?:(?:his|her|their|the|your) )?back|supine|rückenlage|boca arriba|lying face up",
    ),
    ("prone", r"on (?:his|her|their|the) (?:stomach|belly|front)|prone|bauchlage"),
    ("left", r"on (?:his|her|their|the) left(?: side)?|left side|left lateral"),
    ("right", r"on (?:his|her|their|the) right(?: side)?|right side|right lateral"),
    ("upright", r"upright|sitting|sitting up"),
)
_NOT_SUPINE = re.compile(
    r"\b(?:off (?:his|her|their|the) back|non-?supine"
    r"|not (?:on (?:his|her|their|the) back|supine))\b"
)


@dataclass(frozen=True)
class NightSpan:
    """Length and clock of the open night, as the system prompt states them."""

    n_epochs: int
    start: str
    end: str

    @classmethod
    def from_prompt(cls, prompt: str) -> NightSpan | None:
        """Read the line about the open night; None where there is none."""
        match = _NIGHT_LINE.search(prompt)
        return cls(int(match["epochs"]), match["start"], match["end"]) if match else None

    def holds(self, minutes: int) -> bool:
        """Whether a time of day (minutes from midnight) lies in the recording."""
        if self.start.startswith("+"):
            return False
        start, end = _minutes_of(self.start), _minutes_of(self.end)
        return (minutes - start) % 1440 <= (end - start) % 1440


@dataclass
class TimeScope:
    """What a text says about when.

    Parameters
    ----------
    when : dict
        The ``when`` argument; empty is the whole night.
    rest : str
        The text without the words that were understood.
    is_moment : bool
        One clock time or one epoch, not a stretch.
    not_supine : bool
        "Off his back", which the tools count as a contrast, not as a part.
    """

    when: dict[str, Any] = field(default_factory=dict)
    rest: str = ""
    is_moment: bool = False
    not_supine: bool = False


def read_time(text: str, span: NightSpan | None = None) -> TimeScope:
    """Understand when a (lower-case) question is about.

    Parameters
    ----------
    text : str
        Lower-case question.
    span : NightSpan or None
        The open night, to place bare hours and "the last two hours".
    """
    scope = TimeScope(rest=_in_digits(text))
    _read_relative(scope)
    _read_epochs(scope, span)
    if "epochs" not in scope.when:
        _read_clock(scope, span)
    _read_part(scope, span)
    _read_position(scope)
    _read_stage(scope)
    scope.rest = re.sub(r"\s+", " ", scope.rest).strip()
    return scope


def read_stretch(text: str, span: NightSpan | None = None) -> TimeScope:
    """Like :func:`read_time`, but stages and positions are left in the text."""
    scope = TimeScope(rest=_in_digits(text))
    _read_epochs(scope, span)
    if "epochs" not in scope.when:
        _read_clock(scope, span)
    _read_part(scope, span)
    scope.rest = re.sub(r"\s+", " ", scope.rest).strip()
    return scope


_RANKS = {"first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4,
          "4th": 4, "fifth": 5, "5th": 5, "sixth": 6, "6th": 6}  # fmt: skip
#: How long a moment after sleep onset is looked at.
MOMENT_MIN = 5.0


def _read_relative(scope: TimeScope) -> None:
    """Times that a scoring places: the second REM period, an hour after sleep onset, not in REM."""
    match = words.REM_PERIOD.search(scope.rest)
    if match and match["rank"] != "last":
        number = _RANKS[match["rank"]] if match["rank"] else int(match["number"])
        scope.when["rem_period"] = number
        _cut(scope, match)
    if match := words.AFTER_ONSET.search(scope.rest):
        count = _NUMBER_WORDS.get(match["count"]) or float(match["count"])
        minutes = float(count * (60 if match["unit"][0] == "h" else 1))
        first = 0.0 if match["span"] else minutes
        last = minutes if match["span"] else minutes + MOMENT_MIN
        scope.when["after_sleep_onset_min"] = [first, last]
        _cut(scope, match)
    match = words.BEFORE_EVENT.search(scope.rest)
    if match and (kinds := read_query(match["what"]).kinds):
        scope.when["before_event"] = " and ".join(kind.replace("_", " ") for kind in kinds)
        _cut(scope, match)
    if match := words.NOT_STAGE.search(scope.rest):
        # Events and sleep outside REM are those of NREM; outside wake, those of sleep.
        stage = {"rem": "NREM", "nrem": "R", "wake": "sleep"}[match["stage"]]
        scope.when["stage"] = stage
        _cut(scope, match)


def _in_digits(text: str) -> str:
    """Spoken times in digits: midnight, noon, half past two."""
    text = re.sub(r"\bmidnight\b|\bmitternacht\b|\bmedianoche\b", "00:00", text)
    text = re.sub(r"\b(?:noon|midday)\b", "12:00", text)
    for hour, name in enumerate(_HOUR_NAMES, start=1):
        text = re.sub(rf"\b(half|quarter) past {name}\b", rf"\1 past {hour}", text)
        text = re.sub(rf"\bquarter to {name}\b", f"quarter to {hour}", text)
        text = re.sub(rf"\b{name}(?= (?:am|pm|o'?clock)\b)", str(hour), text)
    text = re.sub(r"\bhalf past (\d{1,2})\b", r"\1:30", text)
    text = re.sub(r"\bquarter past (\d{1,2})\b", r"\1:15", text)
    return re.sub(r"\bquarter to (\d{1,2})\b", lambda match: f"{(int(match[1]) - 1) % 12}:45", text)


def _cut(scope: TimeScope, match: re.Match[str]) -> None:
    scope.rest = f"{scope.rest[: match.start()]} {scope.rest[match.end() :]}"


def _read_epochs(scope: TimeScope, span: NightSpan | None) -> None:
    if match := _BESIDE_EPOCH.search(scope.rest):
        _read_beside(scope, match, span)
    elif match := _EPOCH_RANGE.search(scope.rest):
        scope.when["epochs"] = [int(match[1]), int(match[2])]
        _cut(scope, match)
    elif match := _EPOCH.search(scope.rest):
        number = int(match["number"])
        if match["around"]:
            last = number + 2 if span is None else min(number + 2, span.n_epochs)
            scope.when["epochs"] = [max(number - 2, 1), max(last, number)]
        else:
            scope.when["epochs"] = [number, number]
        scope.is_moment = True
        _cut(scope, match)


def _read_beside(scope: TimeScope, match: re.Match[str], span: NightSpan | None) -> None:
    """ "The epoch before epoch 29" is one epoch; "before epoch 29" is all up to it."""
    number, is_after = int(match["number"]), match["side"] == "after"
    if match["one"]:
        beside = number + 1 if is_after else number - 1
        scope.when["epochs"] = [beside, beside]
        scope.is_moment = True
    elif is_after:
        scope.when["epochs"] = [number + 1, span.n_epochs if span else number + 1]
    else:
        scope.when["epochs"] = [1, number - 1]
    _cut(scope, match)


def _read_clock(scope: TimeScope, span: NightSpan | None) -> None:
    if match := _RANGE.search(scope.rest) or _DASHED.search(scope.rest):
        first, last = match["first"], match["last"]
        half = re.search(r"[ap]\.?m", last)
        if half and not re.search(r"[ap]\.?m", first):
            # "between 1 and 2:30 am": the half of the day holds for both, unless that runs back.
            with_half = _clock(f"{first} {half[0]}", span)
            if _minutes_of(with_half) <= _minutes_of(_clock(last, span)):
                first = f"{first} {half[0]}"
        scope.when |= {"clock_from": _clock(first, span), "clock_to": _clock(last, span)}
        _cut(scope, match)
        return
    # "after 1 and before 3" has two ends.
    while match := _SINGLE.search(scope.rest):
        how, time = match["how"], _clock(match["time"], span)
        if how in ("after", "since", "past", "from", "nach"):
            scope.when["clock_from"] = time
        elif how in ("before", "until", "till", "by", "vor"):
            scope.when["clock_to"] = time
        else:
            _set_moment(scope, time, around=how in ("around", "about", "near", "gegen"))
        _cut(scope, match)
    if "clock_from" in scope.when or "clock_to" in scope.when:
        return
    if match := _PLAIN.search(scope.rest):
        _set_moment(scope, _clock(match["time"], span), around=False)
        _cut(scope, match)


def _set_moment(scope: TimeScope, time: str, around: bool) -> None:
    scope.is_moment = True
    margin = AROUND_MIN if around else 0
    if margin == 0 or time.startswith("+"):
        scope.when |= {"clock_from": time, "clock_to": time}
        return
    minutes = _minutes_of(time)
    scope.when |= {
        "clock_from": _clock_text((minutes - margin) % 1440),
        "clock_to": _clock_text((minutes + margin) % 1440),
    }


def _clock(text: str, span: NightSpan | None) -> str:
    """HH:MM or HH:MM:SS; a bare hour or a 12-h time is placed in the recording where it can be."""
    text = text.strip().replace(".", ":") if not re.search(r"[ap]\.m", text) else text.strip()
    if text.startswith("+"):
        return text
    digits = [int(part) for part in re.findall(r"\d+", text)]
    hour, minute = digits[0], digits[1] if len(digits) > 1 else 0
    second = f":{digits[2]:02d}" if len(digits) > 2 else ""
    half = re.search(r"([ap])[:.]?m", text)
    if half:
        hour = hour % 12 + (12 if half[1] == "p" else 0)
    elif hour <= 12 and not re.match(r"0\d", text):
        early, late = hour % 12 * 60 + minute, hour % 12 * 60 + 720 + minute
        if span is not None and not span.start.startswith("+"):
            inside = [minutes for minutes in (early, late) if span.holds(minutes)]
            hour = (inside[0] if inside else hour * 60) // 60
        else:
            hour = hour % 12 + (12 if 9 <= hour <= 11 else 0)
    return f"{hour:02d}:{minute:02d}{second}"


def _minutes_of(clock: str) -> int:
    hour, minute = clock.lstrip("+").split(":")[:2]
    return int(hour) * 60 + int(minute)


def _clock_text(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _read_part(scope: TimeScope, span: NightSpan | None) -> None:
    if span is not None and _read_stretch(scope, span.n_epochs):
        return
    for part, pattern in _PARTS:
        if match := re.search(rf"\b(?:(?:in|during|for|of|over)\s+)?(?:the\s+)?(?:{pattern})\b"
                              r"(?:\s+of the (?:night|recording))?", scope.rest):  # fmt: skip
            if part != "whole":
                scope.when["part"] = part
            _cut(scope, match)
            return


def _read_stretch(scope: TimeScope, n_epochs: int) -> bool:
    """ "The last two hours", "the middle of the night", as a range of epochs."""
    if match := _STRETCH.search(scope.rest):
        count = _NUMBER_WORDS.get(match["count"]) or float(match["count"])
        size = {"h": _EPOCHS_PER_HOUR, "m": _EPOCHS_PER_HOUR / 60, "e": 1}[match["unit"][0]]
        wanted = min(max(round(count * size), 1), n_epochs)
        first = 1 if match["end"] == "first" else n_epochs - wanted + 1
        scope.when["epochs"] = [first, first + wanted - 1]
    elif match := _MIDDLE.search(scope.rest):
        scope.when["epochs"] = [n_epochs // 3 + 1, n_epochs - n_epochs // 3]
    elif match := _QUARTER.search(scope.rest):
        number = {"first": 0, "second": 1, "third": 2, "fourth": 3, "last": 3}[match[1]]
        first, last = number * n_epochs // 4 + 1, (number + 1) * n_epochs // 4
        scope.when["epochs"] = [first, max(last, first)]
    else:
        return False
    _cut(scope, match)
    return True


def _read_stage(scope: TimeScope) -> None:
    if "stage" in scope.when:
        return
    for stage, pattern in _STAGES:
        lead = "" if stage in ("W", "sleep") else _STAGE_LEAD
        # "in REM", or the stage at the very end: "and N3?", "apneas, supine REM"
        tail = rf"|(?:(?<=\s)|^)(?:{pattern})(?=\s*\??$|{_KIND_BEHIND})"
        if match := re.search(rf"\b(?:{lead}(?:{pattern}))\b{tail}", scope.rest):
            scope.when["stage"] = stage
            _cut(scope, match)
            return


def _read_position(scope: TimeScope) -> None:
    if match := _NOT_SUPINE.search(scope.rest):
        scope.not_supine = True
        _cut(scope, match)
        return
    for position, pattern in _POSITIONS:
        if match := re.search(rf"\b(?:while |when |in )?(?:{pattern})\b", scope.rest):
            scope.when["position"] = position
            _cut(scope, match)
            return
