"""Captions as typed fields, and the parser that reads them back from text.

Three forms are read: the fixed form that the embedded model speaks, the varied form that it is
trained with, and the form of the released captions (also lower-cased, with digits set apart as
the official tokenizer leaves them: ``3 9 . 0 5 %``). What does not parse is kept as text in
:attr:`CaptionFields.unparsed`; nothing is guessed. A number is taken only with the unit that its
field has and within the range that is possible at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from sleeplm import caption_grammar as grammar
from sleeplm.caption_context import EpochContext, context_statements
from sleeplm.caption_grammar import QUALITY_WORDS
from sleeplm.errors import CaptionError
from sleeplm.physiology.fields import FIELDS
from sleeplm.scoring import EVENT_KINDS

__all__ = [
    "EVENTS_OF_SYSTEM",
    "QUALITY_WORDS",
    "RELEASED_SYSTEMS",
    "SYSTEMS",
    "CaptionEvent",
    "CaptionFields",
    "parse_caption",
]

SYSTEMS = ("brain", "cardiac", "respiratory", "somatic", "stage_event")
#: The release's names for two of them.
RELEASED_SYSTEMS = {"heart": "cardiac", "position_muscle": "somatic"}
#: The events that a system's own caption may state beside its measurements.
EVENTS_OF_SYSTEM: dict[str, tuple[str, ...]] = {
    "brain": ("arousal",),
    "cardiac": ("desaturation", "bradycardia", "tachycardia"),
    "respiratory": (
        "obstructive_apnea",
        "central_apnea",
        "mixed_apnea",
        "hypopnea",
        "rera",
        "snore",
        "cheyne_stokes",
    ),
    "somatic": ("limb_movement", "plm"),
    "stage_event": EVENT_KINDS,
}

_EPOCH_S = 30.0


@dataclass(frozen=True)
class CaptionEvent:
    """An event's part within one epoch, seconds from the start of the epoch (0.0–30.0)."""

    kind: str
    start_s: float
    end_s: float


@dataclass
class CaptionFields:
    """What a caption states.

    Parameters
    ----------
    system : str
        One of :data:`SYSTEMS`, or ``"all"``.
    stage : str or None
        ``W N1 N2 N3 R unscored``; None where the caption does not say.
    position : str or None
        ``right left supine prone upright unknown``; None where the caption does not say.
    events : list of CaptionEvent
        By onset.
    no_event : bool
        The caption says that nothing was detected, or the truth is that nothing was.
    values : dict of field name (:data:`sleeplm.physiology.FIELDS`) → value in the field's unit
    trends : dict ``"hr"``, ``"spo2"`` → list of (direction, start_s, end_s)
    missing : list of str
        Channels that were not recorded.
    quality : dict of channel → list of keys of :data:`QUALITY_WORDS`
        What is wrong with the signal; channels without a fault are not in it.
    context : EpochContext
        The epoch's place in its night.
    unparsed : list of str
        Statements that were not understood, as written.
    """

    system: str = "all"
    stage: str | None = None
    position: str | None = None
    events: list[CaptionEvent] = field(default_factory=list)
    no_event: bool = False
    values: dict[str, float] = field(default_factory=dict)
    trends: dict[str, list[tuple[str, float, float]]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    quality: dict[str, list[str]] = field(default_factory=dict)
    context: EpochContext = field(default_factory=EpochContext)
    unparsed: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and dicts, ready for JSON."""
        return {
            "system": self.system,
            "stage": self.stage,
            "position": self.position,
            "events": [
                {"kind": event.kind, "start_s": event.start_s, "end_s": event.end_s}
                for event in self.events
            ],
            "no_event": self.no_event,
            "values": dict(self.values),
            "trends": {name: [list(part) for part in parts] for name, parts in self.trends.items()},
            "missing": list(self.missing),
            "quality": {channel: list(faults) for channel, faults in self.quality.items()},
            "context": self.context.to_dict(),
            "unparsed": list(self.unparsed),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> CaptionFields:
        """The fields from what :meth:`to_dict` gave, or from less of it."""
        return cls(
            **{
                **data,
                "events": [CaptionEvent(**event) for event in data.get("events", [])],
                "trends": {
                    name: [(way, first, last) for way, first, last in parts]
                    for name, parts in data.get("trends", {}).items()
                },
                "context": EpochContext(**data.get("context", {})),
            }
        )


def parse_caption(text: str, system: str) -> CaptionFields:
    """Read a caption's statements.

    Parameters
    ----------
    text : str
        A caption in the fixed, the varied or the released form.
    system : str
        One of :data:`SYSTEMS`, or its name in the release (``heart``, ``position_muscle``): only
        this system's statements are taken. ``"all"`` takes every system's, for captions that
        were joined.

    Returns
    -------
    CaptionFields

    Raises
    ------
    CaptionError
        The system is not known.
    """
    system = RELEASED_SYSTEMS.get(system, system)
    if system != "all" and system not in SYSTEMS:
        raise CaptionError(
            f"system {system!r} is not known; use one of {', '.join(SYSTEMS)} or all"
        )
    fields = CaptionFields(system=system)
    section: grammar.Section | None = None
    for sentence in _sentences(text):
        section = _Reader(fields, sentence, section).read()
    fields.events.sort(key=lambda event: (event.start_s, event.kind, event.end_s))
    return fields


_COUNTED = re.compile(
    r"\b(no|one|two|three|four|five|six|seven|eight|nine|ten) "
    r"(?=(?:sleep )?spindles?\b|slow waves?\b|rapid eye movements?\b(?! sleep)"
    r"|bursts? of rapid\b|(?:rapid )?eye movement bursts?\b)"
)
_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def _normalised(text: str) -> str:
    """Lower case, single spaces, and numbers in one piece whatever way they were set."""
    plain = " ".join(text.lower().split())
    number = r"(?<![a-z0-9.])\d(?: ?\d)*(?:(?: \. |\.)\d(?: ?\d)*)?(?![a-z0-9])"
    plain = re.sub(number, lambda match: match.group().replace(" ", ""), plain)
    plain = _COUNTED.sub(lambda match: f"{_COUNTS.index(match.group(1))} ", plain)
    return re.sub(r" ([.,;:)])", r"\1", plain)


def _sentences(text: str) -> list[str]:
    return [part for part in re.split(r"(?<=[.;!?])\s+|\n+", _normalised(text)) if part.strip(" .")]


class _Reader:
    """Reads one sentence into the fields and keeps account of what was understood."""

    def __init__(
        self, fields: CaptionFields, sentence: str, section: grammar.Section | None
    ) -> None:
        self.fields = fields
        self.sentence = sentence
        self.section = section
        self.understood = [False] * len(sentence)

    def read(self) -> grammar.Section | None:
        """Take what the sentence states; return the section that it ends in."""
        system = self.fields.system
        if grammar.NOTHING_TO_SAY.search(self.sentence):
            return self.section
        self._context()
        self._missing_channels()
        self._quality()
        self._unscored()
        if self._no_event():
            self._stage()
        elif self._negated():
            pass
        else:
            self._measurements()
            if system in ("somatic", "all"):
                self._position()
            self._events()
            self._stage()
        rest = "".join(
            " " if taken else letter
            for letter, taken in zip(self.sentence, self.understood, strict=True)
        )
        words = re.findall(r"[a-z0-9%]+", rest)
        if any(word not in grammar.FILLER for word in words):
            self.fields.unparsed.append(self.sentence.strip())
        return self.section

    def _take(self, start: int, end: int) -> None:
        self.understood[start:end] = [True] * (end - start)

    def _free(self, start: int, end: int) -> bool:
        return not any(self.understood[start:end])

    def _context(self) -> None:
        context = self.fields.context
        for start, end, stated in context_statements(self.sentence):
            if not self._free(start, end):
                continue
            near = stated.pop("near", {})
            position = stated.pop("position", self.fields.position)
            known = {**vars(context), "position": self.fields.position}
            fits = all(known[name] in (None, value) for name, value in stated.items())
            fits &= known["position"] in (None, position)
            if fits and not near.keys() & context.near.keys():
                self.fields.position = position
                context.near.update(near)
                for name, value in stated.items():
                    setattr(context, name, value)
                self._take(start, end)

    def _quality(self) -> None:
        """ "The C3-A2 signal is flat and clipped": the faults of a channel."""
        for match in grammar.FAULTS.finditer(self.sentence):
            before = [entry for entry in self._labels() if entry[1] <= match.start()]
            if before and not self.sentence[before[-1][1] : match.start()].strip():
                start, _, section = before[-1]
                faults = [
                    grammar.FAULT_NAMES[word] for word in re.findall(grammar.FAULT, match["faults"])
                ]
                self.fields.quality[section.channel] = faults
                self._take(start, match.end())

    def _negated(self) -> bool:
        """Whether the sentence denies something beyond what was understood so far."""
        return any(self._free(*match.span()) for match in grammar.NEGATION.finditer(self.sentence))

    def _labels(self) -> list[tuple[int, int, grammar.Section]]:
        found = []
        for section in grammar.SECTIONS:
            if self.fields.system in (section.system, "all"):
                found += [
                    (*match.span(), section) for match in section.label.finditer(self.sentence)
                ]
        return sorted(found, key=lambda entry: entry[0])

    def _missing_channels(self) -> None:
        for match in grammar.NOT_RECORDED.finditer(self.sentence):
            before = [entry for entry in self._labels() if entry[1] <= match.start()]
            if before and not self.sentence[before[-1][1] : match.start()].strip(" :,"):
                start, _, section = before[-1]
                self.fields.missing.append(section.channel)
                self._take(start, match.end())
            elif self.fields.system in ("somatic", "all") and re.search(
                r"\b(?:body )?position[ :,]*$", self.sentence[: match.start()]
            ):
                self.fields.missing.append("POS")
                self._take(self.sentence.rindex("position", 0, match.start()), match.end())

    def _measurements(self) -> None:
        labels = [entry for entry in self._labels() if self._free(entry[0], entry[1])]
        for start, end, _ in labels:
            self._take(start, end)
        starts = [0, *(end for _, end, _ in labels)]
        ends = [*(start for start, _, _ in labels), len(self.sentence)]
        owners = [self.section, *(section for _, _, section in labels)]
        for start, end, section in zip(starts, ends, owners, strict=True):
            if section is not None:
                self._items(section, start, end)
                self.section = section

    def _items(self, section: grammar.Section, start: int, end: int) -> None:
        part = self.sentence[:end]
        for pattern, name in section.leading:
            for match in pattern.finditer(part, start):
                # "delta 39 % theta 28 %" states no 39 % of theta.
                leads = self._free(*match.span()) and not grammar.NUMBER_NEXT.match(
                    part, match.end()
                )
                if leads and self._accept(name, match.group(1), match.group(2)):
                    self._take(*match.span())
        for pattern, name in section.items:
            for match in pattern.finditer(part, start):
                if not self._free(*match.span()):
                    continue
                value = grammar.VALUE.match(part, match.end())
                if value and self._accept(name, value.group(1), value.group(2)):
                    self._take(match.start(), value.end())
        if section.trend is None:
            return
        trends = [
            match for match in grammar.TREND.finditer(part, start) if self._free(*match.span())
        ]
        for number, match in enumerate(trends):
            until = trends[number + 1].start() if number + 1 < len(trends) else end
            for span in grammar.SPAN.finditer(part, match.end(), until):
                times = _epoch_times(span)
                if times and self._free(*span.span()):
                    direction = grammar.DIRECTIONS.get(match.group(1)[:3], "stable")
                    self.fields.trends.setdefault(section.trend, []).append((direction, *times))
                    self._take(*match.span())
                    self._take(*span.span())

    def _accept(self, name: str, number: str, unit: str | None) -> bool:
        """Take a value if its unit and range are the field's and it is not stated already."""
        entry = FIELDS[name]
        value = float(number)
        if name == "af_flatness" and unit is not None and re.fullmatch(grammar.UNITS["%"], unit):
            value, unit = value / 100.0, None
        wanted = grammar.UNITS.get(entry.unit)
        fits = (
            (unit is None)
            if wanted is None or (unit is None and name in grammar.MAY_LACK_UNIT)
            else (unit is not None and re.fullmatch(wanted, unit) is not None)
        )
        if not fits or not entry.low <= value <= entry.high or name in self.fields.values:
            return False
        self.fields.values[name] = value
        return True

    def _position(self) -> None:
        for match in grammar.POSITION.finditer(self.sentence):
            if not self._free(*match.span()):
                continue
            word = match.group(1) or match.group(2)
            position = grammar.POSITION_WORDS.get(word, word)
            if self.fields.position in (None, position):
                self.fields.position = position
                self._take(*match.span())
                side = re.match(r" sides?\b", self.sentence[match.end() :])
                if side:
                    self._take(match.end(), match.end() + side.end())

    def _no_event(self) -> bool:
        found = (m for m in grammar.NO_EVENT.finditer(self.sentence) if self._free(*m.span()))
        match = next(found, None)
        if match is not None:
            # One system's quiet is no quiet epoch.
            if match["of"] is None or self.fields.system != "all":
                self.fields.no_event = True
            self._take(*match.span())
        return match is not None

    def _events(self) -> None:
        names = [
            match for match in grammar.EVENT.finditer(self.sentence) if self._free(*match.span())
        ]
        kinds = EVENTS_OF_SYSTEM.get(self.fields.system, EVENT_KINDS)
        for number, match in enumerate(names):
            if grammar.EVENT_KIND[match.group(1)] not in kinds:
                continue
            end = names[number + 1].start() if number + 1 < len(names) else len(self.sentence)
            for span in grammar.SPAN.finditer(self.sentence, match.end(), end):
                times = _epoch_times(span)
                if times and self._free(*span.span()):
                    self.fields.events.append(
                        CaptionEvent(grammar.EVENT_KIND[match.group(1)], *times)
                    )
                    self._take(*match.span())
                    self._take(*span.span())

    def _unscored(self) -> None:
        match = grammar.UNSCORED.search(self.sentence)
        if match and self.fields.stage is None:
            self.fields.stage = "unscored"
            self._take(*match.span())

    def _stage(self) -> None:
        found = [
            match for match in grammar.STAGE.finditer(self.sentence) if self._free(*match.span())
        ]
        stages = {match.lastgroup for match in found}
        if len(stages) == 1 and self.fields.stage in (None, *stages):
            self.fields.stage = stages.pop()
            for match in found:
                self._take(*match.span())


def _epoch_times(span: re.Match[str]) -> tuple[float, float] | None:
    start_s, end_s = float(span.group(1)), float(span.group(2))
    return (start_s, end_s) if 0.0 <= start_s <= end_s <= _EPOCH_S else None
