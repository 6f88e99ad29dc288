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
        kept = [
            name
            for name in names
            if name in fields.values
            and rng.random() < (1 - _DROPPED if name in released else OWN_FIELDS_SHARE)
        ]
        if rng.random() < 0.3:
            rng.shuffle(kept)
        trend = {"HR": "hr", "SPO2": "spo2"}.get(channel, "")
        trends = fields.trends.get(trend, []) if rng.random() < 0.7 else []
        if kept or trends:
            sentences.append(_sentence(label, label_key, fields, kept, trends, rng))
        if channel == label_key and channel in fields.quality:
            faults = [QUALITY_WORDS[fault] for fault in fields.quality[channel]]
            noun = choose(rng, ("signal", "trace"))
            sentences.append(f"The {words.LABELS[channel][1]} {noun} is {' and '.join(faults)}.")
    if system == "somatic":
        sentences += _position(fields, rng)
    if rng.random() < 0.3:
        rng.shuffle(sentences)
    return sentences


def _sentence(
    label: str,
    label_key: str,
    fields: CaptionFields,
    names: Sequence[str],
    trends: Sequence[tuple[str, float, float]],
    rng: np.random.Generator,
) -> str:
    """A channel's sentence: noun phrases after a verb, "with" or a colon, or clauses after one."""
    way = choose(rng, ("verb", "verb", "verb", "with", "colon", "clauses", "clauses"))
    article = way in ("verb", "with") and rng.random() < 0.6
    stated = [_value(name, fields.values[name], rng, way == "clauses", article) for name in names]
    stated += _trends(trends, rng, way == "clauses")
    if way == "verb":
        plural = label_key == "BOTH_EOGS"
        if not plural and rng.random() < 0.3 and not label.startswith(("C3", "C4")):
            label = "The " + _within(label)
        opening = f" {choose(rng, words.PLURAL_VERBS if plural else words.VERBS)} "
    elif way == "with":
        opening = " with "
    else:
        on = "On " if any(word in label for word in words.TRACES) else "For "
        before = choose(rng, ("", "", "", on, "For "))
        if before:
            plain = label_key == "BOTH_EOGS" or label.startswith(("C3", "C4"))
            label = before + ("" if plain else "the ") + _within(label)
        opening = choose(rng, (": ", ", ")) if before else ": "
    text = stated[0]
    links: tuple[str, ...]
    for number, item in enumerate(stated[1:], start=1):
        last = number == len(stated) - 1
        if way == "clauses":
            links = words.LAST_CLAUSE_CONNECTORS if last else words.CLAUSE_CONNECTORS
        elif len(stated) == 2:
            links = words.PAIR_CONNECTORS
        else:
            links = words.LAST_CONNECTORS if last else words.CONNECTORS
        text += choose(rng, links) + item
    return f"{label}{opening}{text}."


def _within(words_: str) -> str:
    """Words as they stand within a sentence: acronyms and stages keep their capitals."""
    first = words_.split()[0]
    return (
        words_
        if any(letter.isupper() or letter.isdigit() for letter in first[1:])
        else (words_[0].lower() + words_[1:])
    )


def _value(name: str, value: float, rng: np.random.Generator, clause: bool, article: bool) -> str:
    unit = choose(rng, words.UNIT_FORMS[FIELDS[name].unit])
    ending = max((key for key in words.ITEMS if name.endswith(key)), key=len)
    item = choose(rng, words.ITEMS[ending])
    if name.endswith("_count"):
        return _count(round(value), words.ITEMS[ending], rng, clause)
    rounded = rng.random() < 0.35
    digits = _digits(name, rounded, rng)
    if name.endswith(_LEADING) and name not in _NOT_LEADING and rng.random() < 0.15:
        roughly = choose(rng, words.ROUGHLY) if rounded else ""
        of = choose(rng, ("", "of ")) if "power" in item or "activity" in item else ""
        return f"{roughly}{value:.{digits}f}{unit} {of}{item}"
    relations: tuple[str, ...]
    if clause:
        relations = words.ROUNDED_CLAUSE_RELATIONS if rounded else words.EXACT_CLAUSE_RELATIONS
    else:
        relations = words.ROUNDED_RELATIONS if rounded else words.EXACT_RELATIONS
    relation = choose(rng, relations)
    if item.endswith("value") and "valued" in relation:
        relation = " of "
    if item.endswith("movements") or item == "saccades":
        # Plural: they do not equal a number, they stand at a share.
        relation = relation.replace(" is ", " are ").replace(" equals ", " at ")
    if article and (name in words.WITH_ARTICLE or not name.endswith(words.NO_ARTICLE)):
        item = f"{'an' if item[0].lower() in 'aeiou' or item == 'RMSSD' else 'a'} {item}"
    return f"{item}{relation}{value:.{digits}f}{unit}"


def _digits(name: str, rounded: bool, rng: np.random.Generator) -> int:
    if rounded:
        return 1 if name.endswith(words.ROUNDED_TO_TENTHS) else 0
    if name == "af_flatness" or name.endswith("_interval_sd_s"):
        return 2
    return 1 if name == "ecg_rate_bpm" or rng.random() < 0.4 else 2


def _count(count: int, items: Sequence[str], rng: np.random.Generator, clause: bool) -> str:
    item = choose(rng, items)
    if item.startswith("number of") or item.endswith(" count"):
        return f"{item} is {count}" if clause else f"a {item} of {count}"
    number = words.COUNTS[count] if count < len(words.COUNTS) and rng.random() < 0.4 else count
    if count == 1:
        item = item.replace("bursts of", "burst of") if "bursts of" in item else item[:-1]
    return f"{number or 'no'} {item}"


def _trends(
    trends: Sequence[tuple[str, float, float]], rng: np.random.Generator, clause: bool
) -> list[str]:
    frame = choose(rng, words.SPANS)
    forms = words.DIRECTION_WORDS if clause else words.TREND_NOUNS
    return [
        f"{choose(rng, forms[direction])} {frame.format(start_s, end_s)}"
        for direction, start_s, end_s in trends
    ]


def _position(fields: CaptionFields, rng: np.random.Generator) -> list[str]:
    if "POS" in fields.missing:
        return ["Body position" + choose(rng, (" not recorded.", " was not recorded."))]
    if fields.position is None:
        return []
    lying = words.LYING.get(fields.position)
    if lying is not None and (lying != fields.position or rng.random() < 0.4):
        return [choose(rng, words.LYING_FRAMES).format(lying)]
    return [choose(rng, words.POSITION_FRAMES).format(fields.position)]


def _coverage(fields: CaptionFields) -> list[str]:
    """What there is to measure of events: how many, and how much of the epoch they cover."""
    count, cover_s = fields.context.event_count, fields.context.event_cover_s
    if count is None or cover_s is None:
        return []
    if count == 0:
        return ["There are no events in this epoch."]
    there_are = "There is 1 event" if count == 1 else f"There are {count} events"
    return [f"{there_are} covering {cover_s:.1f} seconds of the epoch."]


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
    if fields.stage == "W":
        return [choose(rng, words.WAKE_FRAMES)]
    if fields.stage in words.STAGE_NAMES:
        frame = choose(rng, words.STAGE_FRAMES)
        name = choose(rng, words.STAGE_NAMES[fields.stage])
        if not frame.startswith("{}"):
            name = _within(name.replace("Light", "light").replace("Sleep", "sleep"))
        return [sentence_case(frame.format(name))]
    return ["Stage not scored."] if system == "stage_event" or fields.stage else []


def order(levels: Sequence[str]) -> list[str]:
    """Levels from the whole to the parts, as a reader wants them."""
    return [level for level in ("global", "channel", "local") if level in levels]
