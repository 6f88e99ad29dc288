"""Captions of whole nights: the fields of a summary in varied words, and how people ask for one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sleeplm.night_captions import (
    NIGHT_FIELDS,
    NOTHING_MEASURED,
    PREDOMINANCES,
    SEVERITIES,
    NightFields,
    night_fields,
)
from train.captions.fixed import sentence_case
from train.captions.words import choose

__all__ = ["NIGHT_TRAITS", "night_fields", "render_night", "short_night"]

#: Share of the known quantities that a caption leaves out.
_DROPPED = 0.2
_OPENINGS = ("This night had ", "A night with ", "The recording shows ", "The night has ")
#: After an opening quantities are noun phrases; without one each may stand after a colon.
_RELATIONS = (" of ", " equal to ")
_LEVEL_RELATIONS = (" of ", " at ", " equal to ", " reaching ", " standing at ")
_ROUNDED = (" of about ", " close to ", " of roughly ", " near ")
_COLON_RELATIONS = (": ", ": ", " of ")
_COLON_ROUNDED = (": about ", " around ", ": roughly ", " near ")
_CONNECTORS = (", ", ", along with ", ", together with ", ", plus ", ", as well as ", ", and ")
_COLON_CONNECTORS = (", ", "; ")
_UNITS = {
    "min": (" min", " minutes"),
    "/h": ("/h", " per hour", " events per hour", " per hour of sleep"),
    "%": (" %", "%", " percent"),
    "bpm": (" bpm", " beats per minute"),
    "count": ("",),
}
_SECTIONS = tuple(dict.fromkeys(entry.section for entry in NIGHT_FIELDS.values()))


def render_night(fields: NightFields, rng: np.random.Generator) -> str:
    """A night in a few sentences: its severity, then its quantities by section, in varied words.

    Parameters
    ----------
    fields : NightFields
        By :func:`night_fields`.
    rng : numpy Generator
        Decides what is left out, the order, and the wording.

    Returns
    -------
    str
        Never empty; :func:`sleeplm.night_captions.parse_night` reads it back. Rounded numbers are
        within half of their last digit, times in hours and minutes within half a minute.
    """
    sentences = []
    for section in _SECTIONS:
        opening = choose(rng, (*_OPENINGS, "", ""))
        stated = [
            _quantity(name, fields.values[name], rng, listed=not opening)
            for name, entry in NIGHT_FIELDS.items()
            if entry.section == section and name in fields.values and rng.random() >= _DROPPED
        ]
        if rng.random() < 0.4:
            rng.shuffle(stated)
        if stated:
            text = stated[0]
            for number, item in enumerate(stated[1:], start=1):
                last = number == len(stated) - 1
                links = _CONNECTORS if opening else _COLON_CONNECTORS
                text += (choose(rng, (" and ", ", and ")) if last else choose(rng, links)) + item
            sentences.append(sentence_case(opening + text) + ".")
    if rng.random() < 0.4:
        rng.shuffle(sentences)
    if fields.severity is not None:
        text = choose(rng, SEVERITIES[fields.severity])
        if fields.predominance is not None:
            text += f", {choose(rng, PREDOMINANCES[fields.predominance])}"
        sentences.insert(0, sentence_case(choose(rng, (*_OPENINGS, "")) + text) + ".")
    return " ".join(sentences) or NOTHING_MEASURED


def _quantity(name: str, value: float, rng: np.random.Generator, *, listed: bool) -> str:
    entry = NIGHT_FIELDS[name]
    item = choose(rng, entry.words)
    unit = choose(rng, _UNITS[entry.unit])
    if entry.unit == "count":
        return f"{item}: {value:.0f}" if listed else f"a number of {item} of {value:.0f}"
    # Times have a length; indices, shares and rates stand at a level.
    plain = _RELATIONS if entry.unit == "min" else _LEVEL_RELATIONS
    exact, rounded = (_COLON_RELATIONS, _COLON_ROUNDED) if listed else (plain, _ROUNDED)
    if entry.unit == "min" and value >= 60.0 and rng.random() < 0.4:
        hours, minutes = divmod(round(value), 60)
        return f"{item}{choose(rng, exact)}{hours} h {minutes} min"
    if rng.random() < 0.35:
        return f"{item}{choose(rng, rounded)}{value:.0f}{unit}"
    return f"{item}{choose(rng, exact)}{value:.1f}{unit}"


def _above(name: str, limit: float) -> Callable[[NightFields], bool]:
    return lambda fields: fields.values.get(name, -np.inf) >= limit


def _below(name: str, limit: float) -> Callable[[NightFields], bool]:
    return lambda fields: fields.values.get(name, np.inf) < limit


def _share(name: str, limit: float) -> Callable[[NightFields], bool]:
    """Whether a time is at least this share of total sleep."""

    def true(fields: NightFields) -> bool:
        total = fields.values.get("tst", 0.0)
        return total > 0 and fields.values.get(name, -1.0) / total >= limit

    return true


def _twice(name: str, other: str) -> Callable[[NightFields], bool]:
    """Whether one index is at least twice another and not a mere trace (Cartwright 1984)."""

    def true(fields: NightFields) -> bool:
        one, two = fields.values.get(name), fields.values.get(other)
        return one is not None and two is not None and one >= 5.0 and one >= 2 * two

    return true


#: Trait → (its rule, how people say it). The limits are wide: a trait is plain or not said.
NIGHT_TRAITS: dict[str, tuple[Callable[[NightFields], bool], tuple[str, ...]]] = {
    "severe": (_above("ahi", 30.0), ("severe sleep apnea", "very broken breathing")),
    "few_events": (_below("ahi", 5.0), ("normal breathing", "hardly any apneas")),
    "central": (
        lambda fields: fields.predominance == "central",
        ("central apneas", "mostly central apneas"),
    ),
    "supine_related": (
        _twice("ahi_supine", "ahi_nonsupine"),
        ("apneas mostly on the back", "position-dependent apnea"),
    ),
    "rem_related": (
        _twice("ahi_rem", "ahi_nrem"),
        ("apneas mostly in REM sleep", "REM-related apnea"),
    ),
    "deep_falls": (
        _below("spo2_nadir", 80.0),
        ("deep desaturations", "very low oxygen saturation"),
    ),
    "low_oxygen": (_above("t90", 30.0), ("long times of low oxygen", "hypoxemia for long")),
    "insomnia": (_below("sleep_efficiency", 70.0), ("poor sleep efficiency", "much wakefulness")),
    "long_latency": (
        _above("sleep_onset_latency", 45.0),
        ("trouble falling asleep", "a long sleep latency"),
    ),
    "little_deep": (
        lambda fields: (
            _below("stage_minutes.N3", 15.0)(fields) and fields.values.get("tst", 0.0) >= 180.0
        ),
        ("little deep sleep", "hardly any N3"),
    ),
    "much_deep": (_share("stage_minutes.N3", 0.25), ("much deep sleep", "a lot of N3")),
    "fragmented": (_above("arousal_index", 30.0), ("fragmented sleep", "many arousals")),
    "leg_movements": (
        _above("plm_index", 15.0),
        ("periodic leg movements", "legs that move all night"),
    ),
    "on_the_back": (_share("position_minutes.supine", 0.8), ("sleep on the back throughout",)),
}
_ASKED = (
    "show me a night with {}",
    "nights with {}",
    "who had {}",
    "a night with {}",
    "{}",
    "find nights like this: {}",
)


def short_night(fields: NightFields, rng: np.random.Generator) -> str:
    """What somebody types who looks for such a night: one to three of its plain traits."""
    true = [words for rule, words in NIGHT_TRAITS.values() if rule(fields)]
    if not true:
        return choose(rng, _ASKED).format("ordinary sleep")
    kept = rng.choice(len(true), min(len(true), int(rng.integers(1, 4))), replace=False)
    return choose(rng, _ASKED).format(" and ".join(choose(rng, true[index]) for index in kept))
