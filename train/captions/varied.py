"""The varied wording of our own: three levels in every system, many ways to put each thing.

``channel`` states the measurements, ``local`` the events with their seconds within the epoch,
``global`` the stage, and one sentence on the epoch's place in its night. What is said differs in
relation, connector, precision, order, and in what is left out; nothing is said that is not true.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sleeplm.captions import (
    EVENTS_OF_SYSTEM,
    QUALITY_WORDS,
    CaptionEvent,
    CaptionFields,
)
from sleeplm.physiology import FIELDS
from sleeplm.prompts import EVENT_PHRASES
from train.captions import words
from train.captions.fixed import sentence_case
from train.captions.holistic import holistic_sentence
from train.captions.words import choose

__all__ = ["LEVELS", "OWN_FIELDS_SHARE", "order", "stage_sentences", "varied_level"]

LEVELS = ("channel", "local", "global")
#: Share of items that a caption leaves out, of those in the release and of those of our own.
_DROPPED = 0.1
OWN_FIELDS_SHARE = 0.6
#: These read well with their number in front: "39 % of delta power".
_LEADING = ("_pct",)
_NOT_LEADING = ("spo2_min_pct", "spo2_mean_pct", "spo2_baseline_pct", "af_reduction_pct")
_BOTH_EOGS = ("eog_rem_count", "eog_rem_burst_count")


def _sections(system: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """(label's key, channel, fields) of a system, in the order of the fields."""
    sections: dict[tuple[str, str], list[str]] = {}
    for name, entry in FIELDS.items():
        if entry.system == system and entry.unit != "code":
            label = "BOTH_EOGS" if name in _BOTH_EOGS else entry.channel
            sections.setdefault((label, entry.channel), []).append(name)
    return [(label, channel, tuple(names)) for (label, channel), names in sections.items()]


_SECTIONS = {system: _sections(system) for system in words.NONE_OF_SYSTEM}


def varied_level(
    fields: CaptionFields,
    system: str,
    level: str,
    rng: np.random.Generator,
    released: frozenset[str],
) -> list[str]:
    """The sentences of one level of one system; none where nothing is known.

    ``released`` names the fields that the released captions state: others are said less often.
    """
    level_of: dict[str, Callable[[], list[str]]] = {
        "channel": lambda: (
            _coverage(fields)
            if system == "stage_event"
            else _measurements(fields, system, rng, released)
        ),
        "local": lambda: _events(fields, system, rng),
        "global": lambda: [
            *stage_sentences(fields, system, rng),
            *holistic_sentence(fields, system, rng),
        ],
    }
    return level_of[level]()


# ── channel ──────────────────────────────────────────────────────────────────────────────────────
def _measurements(
    fields: CaptionFields, system: str, rng: np.random.Generator, released: frozenset[str]
) -> list[str]:
    sentences = []
    for label_key, channel, names in _SECTIONS[system]:
        label = choose(rng, words.LABELS[label_key])
        if channel in fields.missing:
            if label_key == channel:
                sentences.append(label + choose(rng, words.NOT_RECORDED))
            continue
        stated = [
            _value(name, fields.values[name], rng)
            for name in names
            if name in fields.values
            and rng.random() < (1 - _DROPPED if name in released else OWN_FIELDS_SHARE)
        ]
        if rng.random() < 0.3:
            rng.shuffle(stated)
        trend = {"HR": "hr", "SPO2": "spo2"}.get(channel, "")
        if trend in fields.trends and rng.random() < 0.7:
            stated += _trends(fields.trends[trend], rng)
        if stated:
            opening = choose(rng, words.OPENINGS)
            before = choose(rng, words.BEFORE_LABEL)
            if before in ("On ", "In the ", "For the "):
                opening = choose(rng, (": ", ", "))
            sentences.append(before + label + opening + _joined(stated, rng) + ".")
        if channel == label_key and channel in fields.quality:
            faults = [QUALITY_WORDS[fault] for fault in fields.quality[channel]]
            noun = choose(rng, ("signal", "trace"))
            sentences.append(f"The {words.LABELS[channel][1]} {noun} is {' and '.join(faults)}.")
    if system == "somatic":
        sentences += _position(fields, rng)
    if rng.random() < 0.3:
        rng.shuffle(sentences)
    return sentences


def _joined(stated: list[str], rng: np.random.Generator) -> str:
    text = stated[0]
    for number, item in enumerate(stated[1:], start=1):
        last = number == len(stated) - 1
        text += choose(rng, words.LAST_CONNECTORS if last else words.CONNECTORS) + item
    return text


def _value(name: str, value: float, rng: np.random.Generator) -> str:
    unit = choose(rng, words.UNIT_FORMS[FIELDS[name].unit])
    ending = max((key for key in words.ITEMS if name.endswith(key)), key=len)
    item = choose(rng, words.ITEMS[ending])
    if name.endswith("_count"):
        return _count(round(value), words.ITEMS[ending], rng)
    rounded = rng.random() < 0.35
    digits = _digits(name, rounded, rng)
    if name.endswith(_LEADING) and name not in _NOT_LEADING and rng.random() < 0.15:
        roughly = choose(rng, words.ROUGHLY) if rounded else ""
        of = choose(rng, ("", "of ")) if "power" in item or "activity" in item else ""
        return f"{roughly}{value:.{digits}f}{unit} {of}{item}"
    relation = choose(rng, words.ROUNDED_RELATIONS if rounded else words.EXACT_RELATIONS)
    return f"{item}{relation}{value:.{digits}f}{unit}"


def _digits(name: str, rounded: bool, rng: np.random.Generator) -> int:
    if rounded:
        return 1 if name.endswith(words.ROUNDED_TO_TENTHS) else 0
    if name == "af_flatness" or name.endswith("_interval_sd_s"):
        return 2
    return 1 if name == "ecg_rate_bpm" or rng.random() < 0.4 else 2


def _count(count: int, items: Sequence[str], rng: np.random.Generator) -> str:
    item = choose(rng, items)
    if item.startswith("number of") or item.endswith(" count"):
        return f"{item}{choose(rng, (' of ', ' at ', ' is ', ' '))}{count}"
    number = words.COUNTS[count] if count < len(words.COUNTS) and rng.random() < 0.4 else count
    if count == 1:
        item = item.replace("bursts of", "burst of") if "bursts of" in item else item[:-1]
    return f"{number or 'no'} {item}"


def _trends(trends: list[tuple[str, float, float]], rng: np.random.Generator) -> list[str]:
    frame = choose(rng, words.SPANS)
    return [
        f"{choose(rng, words.DIRECTION_WORDS[direction])} {frame.format(start_s, end_s)}"
        for direction, start_s, end_s in trends
    ]


def _position(fields: CaptionFields, rng: np.random.Generator) -> list[str]:
    if "POS" in fields.missing:
        return ["Body position" + choose(rng, (" not recorded.", " was not recorded."))]
    if fields.position is None:
        return []
    frame = choose(rng, words.POSITION_FRAMES)
    if "lying" in frame:
        if fields.position not in words.LYING:
            return [f"Body position {fields.position}."]
        return [frame.format(words.LYING[fields.position])]
    return [frame.format(fields.position)]


def _coverage(fields: CaptionFields) -> list[str]:
    """What there is to measure of events: how many, and how much of the epoch they cover."""
    count, cover_s = fields.context.event_count, fields.context.event_cover_s
    if count is None or cover_s is None:
        return []
    if count == 0:
        return ["There are no events in this epoch."]
    noun = "event" if count == 1 else "events"
    return [f"There are {count} {noun} covering {cover_s:.1f} seconds of the epoch."]


# ── local ────────────────────────────────────────────────────────────────────────────────────────
def _events(fields: CaptionFields, system: str, rng: np.random.Generator) -> list[str]:
    kinds = EVENTS_OF_SYSTEM[system]
    events = [event for event in fields.events if event.kind in kinds]
    if events:
        return [_event(event, rng) for event in events]
    if system == "stage_event":
        return [choose(rng, words.NO_EVENTS)] if fields.no_event else []
    known = fields.no_event or bool(fields.events)
    return [choose(rng, words.NO_EVENT_OF).format(words.NONE_OF_SYSTEM[system])] if known else []


def _event(event: CaptionEvent, rng: np.random.Generator) -> str:
    plain = choose(rng, EVENT_PHRASES[event.kind][:2]).removeprefix("an ").removeprefix("a ")
    article = "an" if plain[0] in "aeiou" else "a"
    return choose(rng, words.EVENT_FRAMES).format(
        name=sentence_case(plain),
        plain=plain,
        article=article,
        article_start=article.capitalize(),
        span=choose(rng, words.SPANS).format(event.start_s, event.end_s),
    )


# ── global ───────────────────────────────────────────────────────────────────────────────────────
def stage_sentences(fields: CaptionFields, system: str, rng: np.random.Generator) -> list[str]:
    """The stage in one sentence; none where a system's epoch has no stage to speak of."""
    if fields.stage in words.STAGE_NAMES:
        name = choose(rng, words.STAGE_NAMES[fields.stage])
        return [sentence_case(choose(rng, words.STAGE_FRAMES).format(name))]
    return ["Stage not scored."] if system == "stage_event" or fields.stage else []


def order(levels: Sequence[str]) -> list[str]:
    """Levels from the whole to the parts, as a reader wants them."""
    return [level for level in ("global", "channel", "local") if level in levels]
