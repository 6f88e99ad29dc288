"""The place of an epoch in its night as typed fields, and how sentences state it.

The words here are closed sets that the parser and the renderer share, so that whatever is said of
an epoch's surroundings can be read back. What a sentence does not say stays None.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from sleeplm.prompts import EVENT_PHRASES

__all__ = [
    "CLUSTER_COUNT",
    "CONTEXT_STAGES",
    "GROUPS",
    "KINDS_IN_PLURAL",
    "NEAR_KINDS",
    "NEAR_S",
    "NIGHT_PARTS",
    "ORDINALS",
    "PLACES",
    "EpochContext",
    "context_statements",
]

#: What lies within ten minutes, five to each side of the epoch's middle, is near.
NEAR_S = 600.0
#: Five in ten minutes are thirty an hour, the rate of severe apnea: a cluster.
CLUSTER_COUNT = 5
NEAR_KINDS: dict[str, tuple[str, ...]] = {
    "breathing": ("obstructive_apnea", "central_apnea", "mixed_apnea", "hypopnea"),
    "desaturation": ("desaturation",),
    "arousal": ("arousal",),
    "limb": ("limb_movement", "plm"),
}
#: Group → (one, many) in several wordings.
GROUPS: dict[str, tuple[tuple[str, str], ...]] = {
    "breathing": (
        ("breathing event", "breathing events"),
        ("apnea or hypopnea", "apneas and hypopneas"),
        ("respiratory event", "respiratory events"),
    ),
    "desaturation": (
        ("desaturation", "desaturations"),
        ("oxygen desaturation", "oxygen desaturations"),
        ("fall in saturation", "falls in saturation"),
    ),
    "arousal": (("arousal", "arousals"), ("EEG arousal", "EEG arousals")),
    "limb": (("leg movement", "leg movements"), ("limb movement", "limb movements")),
}
KINDS_IN_PLURAL = {kind: EVENT_PHRASES[kind][0] + "s" for kind in NEAR_KINDS["breathing"]}
CONTEXT_STAGES: dict[str, tuple[str, ...]] = {
    "W": ("wake", "wakefulness"),
    "N1": ("N1 sleep", "light sleep (N1)"),
    "N2": ("N2 sleep", "stable light sleep (N2)"),
    "N3": ("N3 sleep", "deep sleep (N3)", "slow-wave sleep (N3)"),
    "R": ("REM sleep", "rapid eye movement sleep"),
}
NIGHT_PARTS: dict[str, tuple[str, ...]] = {
    "before_sleep": ("before sleep onset", "before sleep begins"),
    "first_third": ("in the first third of the night", "early in the night"),
    "middle_third": ("in the middle third of the night", "in the middle of the night"),
    "last_third": ("in the last third of the night", "late in the night"),
    "after_sleep": ("after the final awakening", "after the last sleep of the night"),
}
#: Position → how one lies there.
PLACES: dict[str, tuple[str, ...]] = {
    "supine": ("supine", "on the back"),
    "left": ("on the left side",),
    "right": ("on the right side",),
    "prone": ("prone", "on the stomach"),
    "upright": ("upright",),
}
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


@dataclass
class EpochContext:
    """Where an epoch stands in its night; None is unknown or not stated.

    Parameters
    ----------
    previous_stage, next_stage : str or None
        Of the epochs beside it.
    in_stage_min : float or None
        Minutes in this stage without a break, this epoch included.
    since_onset_min : float or None
        From the first epoch of sleep to the start of this one; None before it.
    night_part : str or None
        A key of :data:`NIGHT_PARTS`; thirds are of the time from the first to the last sleep.
    rem_period : int or None
        For an epoch of REM sleep its period, from 1; less than 15 min of other stages do not part
        two periods.
    position_min : float or None
        Minutes in this position without a break, this epoch included.
    previous_position : str or None
        The position before that.
    near : dict of group of :data:`NEAR_KINDS` → count
        Events that begin in the ten minutes around the epoch's middle, its own included.
    breathing_kind : str or None
        The kind that more than half of the breathing events nearby are of.
    desaturation_depth_pct : float or None
        Points of the deepest measured fall of saturation that touches the epoch.
    hr_vs_night_bpm : float or None
        Mean heart rate less the night's median.
    event_count : int or None
        Events that touch the epoch.
    event_cover_s : float or None
        Seconds of the epoch that lie in any event.
    """

    previous_stage: str | None = None
    next_stage: str | None = None
    in_stage_min: float | None = None
    since_onset_min: float | None = None
    night_part: str | None = None
    rem_period: int | None = None
    position_min: float | None = None
    previous_position: str | None = None
    near: dict[str, int] = field(default_factory=dict)
    breathing_kind: str | None = None
    desaturation_depth_pct: float | None = None
    hr_vs_night_bpm: float | None = None
    event_count: int | None = None
    event_cover_s: float | None = None

    @property
    def in_cluster(self) -> bool | None:
        """Whether breathing events crowd around the epoch; None where they were not counted."""
        count = self.near.get("breathing")
        return None if count is None else count >= CLUSTER_COUNT

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; what is unknown is left out."""
        return {name: value for name, value in asdict(self).items() if value not in (None, {})}


def _either(words: dict[str, tuple[str, ...]]) -> str:
    spelled = {word.lower() for forms in words.values() for word in forms}
    longest_first = sorted(spelled, key=lambda word: (-len(word), word))
    return "|".join(re.escape(word) for word in longest_first)


def _key_of(words: dict[str, tuple[str, ...]]) -> dict[str, str]:
    return {word.lower(): key for key, forms in words.items() for word in forms}


_GROUP_WORDS = {
    group: tuple(word for pair in forms for word in pair) for group, forms in GROUPS.items()
}
_STAGE_OF = _key_of(CONTEXT_STAGES)
_PART_OF = _key_of(NIGHT_PARTS)
_PLACE_OF = _key_of(PLACES)
_GROUP_OF = _key_of(_GROUP_WORDS)
_KIND_OF = {plural: kind for kind, plural in KINDS_IN_PLURAL.items()}
_STAGE = rf"(?:{_either(CONTEXT_STAGES)})(?![a-z])"
_PLACE = rf"(?:{_either(PLACES)})"
_NUMBER = r"\d+(?:\.\d+)?"
_MINUTES = rf"(?:(?P<h>\d+) h (?P<m>\d+) min|(?P<minutes>{_NUMBER}) min(?:utes)?)(?![a-z])"
_FORMS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(rf"(?<![a-z0-9-]){pattern}"))
    for name, pattern in (
        ("stages", rf"(?:between|with) (?P<previous>{_STAGE}) (?:before )?and (?P<next>{_STAGE})"),
        ("previous_stage", rf"(?:after|coming from|following|preceded by) (?P<stage>{_STAGE})"),
        ("next_stage", rf"(?:before|leading into|followed by|ahead of) (?P<stage>{_STAGE})"),
        (
            "in_stage_min",
            rf"{_MINUTES} (?:into (?:this|the current) (?:bout|run)(?: of the stage)?"
            r"|without a change of stage)",
        ),
        ("since_onset_min", rf"{_MINUTES} (?:after|since|from) (?:sleep onset|falling asleep)"),
        ("night_part", rf"(?P<part>{_either(NIGHT_PARTS)})(?![a-z])"),
        ("rem_period", rf"(?:in|of) the (?P<ordinal>{'|'.join(ORDINALS)}) rem period"),
        ("rem_period", r"(?:in )?rem period (?:number )?(?P<number>\d+)"),
        (
            "near",
            r"(?:(?:part of|within|in) a (?:cluster|series|run) of|one of|among|with|alongside) "
            rf"(?P<count>\d+|no) (?P<group>{_either(_GROUP_WORDS)}) "
            r"(?:within|in|over) (?:ten|10) minutes",
        ),
        (
            "breathing_kind",
            rf"(?:mostly|mainly|predominantly) (?P<kind>{'|'.join(_KIND_OF)})(?![a-z])",
        ),
        ("position_min", rf"(?:lying |resting )?(?P<place>{_PLACE}) for {_MINUTES}"),
        (
            "previous_position",
            rf"(?:having turned|after turning|turned) over from lying (?P<place>{_PLACE})",
        ),
        (
            "desaturation_depth_pct",
            r"(?:with )?(?:a |an )?(?:deep |shallow |marked )?(?:desaturation|"
            rf"(?:fall|drop) in (?:oxygen )?saturation) (?:of|by) (?P<value>{_NUMBER}) "
            r"(?:percentage )?points",
        ),
        (
            "hr_vs_night_bpm",
            rf"(?:with )?(?:the |a )?heart rate (?P<value>{_NUMBER}) bpm (?P<side>above|below) "
            r"the (?:night's median|median of the night)",
        ),
        (
            "events",
            rf"(?P<count>\d+|no) events? (?:covering|that covers?) (?P<seconds>{_NUMBER}) "
            r"(?:s|seconds) of the epoch",
        ),
    )
)


def context_statements(sentence: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Every statement of an epoch's place that a sentence holds.

    Parameters
    ----------
    sentence : str
        In lower case.

    Yields
    ------
    (start, end, fields)
        Where it stands in the sentence and what it states: names of :class:`EpochContext`, and
        ``"position"`` where a position is named with its minutes.
    """
    for name, form in _FORMS:
        for match in form.finditer(sentence):
            yield match.start(), match.end(), _stated(name, match)


def _count(word: str) -> int:
    return 0 if word == "no" else int(word)


def _minutes(match: re.Match[str]) -> float:
    if match["minutes"] is not None:
        return float(match["minutes"])
    return 60.0 * int(match["h"]) + int(match["m"])


def _stated(name: str, match: re.Match[str]) -> dict[str, Any]:
    if name == "stages":
        return {
            "previous_stage": _STAGE_OF[match["previous"]],
            "next_stage": _STAGE_OF[match["next"]],
        }
    if name in ("previous_stage", "next_stage"):
        return {name: _STAGE_OF[match["stage"]]}
    if name in ("in_stage_min", "since_onset_min"):
        return {name: _minutes(match)}
    if name == "night_part":
        return {name: _PART_OF[match["part"]]}
    if name == "rem_period":
        groups = match.groupdict()
        if groups.get("number") is not None:
            return {name: int(match["number"])}
        return {name: ORDINALS.index(match["ordinal"]) + 1}
    if name == "near":
        return {name: {_GROUP_OF[match["group"]]: _count(match["count"])}}
    if name == "breathing_kind":
        return {name: _KIND_OF[match["kind"]]}
    if name == "position_min":
        return {name: _minutes(match), "position": _PLACE_OF[match["place"]]}
    if name == "previous_position":
        return {name: _PLACE_OF[match["place"]]}
    if name == "hr_vs_night_bpm":
        sign = 1.0 if match["side"] == "above" else -1.0
        return {name: sign * float(match["value"])}
    if name == "events":
        return {"event_count": _count(match["count"]), "event_cover_s": float(match["seconds"])}
    return {name: float(match["value"])}
