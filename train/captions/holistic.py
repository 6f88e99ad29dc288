"""One sentence on an epoch in its context: its stage among others, its time, what surrounds it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sleeplm.caption_context import (
    CLUSTER_COUNT,
    CONTEXT_STAGES,
    GROUPS,
    KINDS_IN_PLURAL,
    NIGHT_PARTS,
    ORDINALS,
    PLACES,
)
from sleeplm.captions import CaptionFields
from train.captions.words import choose

__all__ = ["VIEWS", "holistic_sentence"]

#: A fall of this many points is called deep, one below the second shallow.
DEEP_PCT, SHALLOW_PCT = 10.0, 4.0
#: Which clauses a system's sentence draws from: its own view of the same night.
VIEWS: dict[str, tuple[str, ...]] = {
    "brain": ("stages", "in_stage", "since_onset", "part", "rem_period", "arousal"),
    "cardiac": ("hr", "depth", "desaturation", "part", "since_onset"),
    "respiratory": ("breathing", "depth", "position", "stages", "part", "since_onset"),
    "somatic": ("position", "limb", "part", "stages", "since_onset"),
    "stage_event": (
        "stages",
        "in_stage",
        "since_onset",
        "part",
        "rem_period",
        "breathing",
        "depth",
        "arousal",
        "position",
        "limb",
        "hr",
    ),
}
_OPENINGS = ("This epoch comes ", "The epoch lies ", "It is an epoch ", "The epoch stands ")
_MOST_CLAUSES = 5
#: Ways to name the stages of the epochs before and after.
_BESIDE = (
    ("after", "before"),
    ("coming from", "leading into"),
    ("following", "ahead of"),
    ("preceded by", "followed by"),
)


def holistic_sentence(fields: CaptionFields, system: str, rng: np.random.Generator) -> list[str]:
    """One sentence of two to five clauses, or none where nothing of the context is known."""
    clauses = []
    for name in VIEWS[system]:
        clause = _CLAUSES.get(name, _near(name))(fields, rng)
        if clause:
            clauses.append(clause)
    if not clauses:
        return []
    most = min(len(clauses), int(rng.integers(2, _MOST_CLAUSES + 1)))
    kept = sorted(rng.choice(len(clauses), most, replace=False).tolist())
    if rng.random() < 0.5:
        rng.shuffle(kept)
    stated = [clauses[index] for index in kept]
    text = ", ".join(stated[:-1]) + choose(rng, (", and ", ", ")) + stated[-1]
    if most == 1:
        text = stated[0]
    return [f"{choose(rng, _OPENINGS)}{text}."]


def _minutes(value: float, rng: np.random.Generator) -> str:
    if value >= 60.0 and rng.random() < 0.5:
        hours, minutes = divmod(round(value), 60)
        return f"{hours} h {minutes} min"
    return f"{value:.1f} {choose(rng, ('minutes', 'min'))}"


def _stages(fields: CaptionFields, rng: np.random.Generator) -> str:
    context = fields.context
    before, after = (
        choose(rng, CONTEXT_STAGES[stage]) if stage in CONTEXT_STAGES else None
        for stage in (context.previous_stage, context.next_stage)
    )
    if context.previous_stage == context.next_stage:
        after = before
    if before and after and before != after and rng.random() < 0.4:
        return f"between {before} and {after}"
    came, went = choose(rng, _BESIDE)
    parts = [f"{came} {before}"] if before else []
    if after:
        parts.append(f"{went} {after}")
    return " and ".join(parts)


def _in_stage(fields: CaptionFields, rng: np.random.Generator) -> str:
    value = fields.context.in_stage_min
    if value is None:
        return ""
    frame = choose(
        rng,
        (
            "{} into this bout of the stage",
            "{} into the current run",
            "{} without a change of stage",
        ),
    )
    return frame.format(_minutes(value, rng))


def _since_onset(fields: CaptionFields, rng: np.random.Generator) -> str:
    value = fields.context.since_onset_min
    if value is None:
        return ""
    frame = choose(rng, ("{} after sleep onset", "{} from falling asleep", "{} since sleep onset"))
    return frame.format(_minutes(value, rng))


def _part(fields: CaptionFields, rng: np.random.Generator) -> str:
    part = fields.context.night_part
    return choose(rng, NIGHT_PARTS[part]) if part else ""


def _rem_period(fields: CaptionFields, rng: np.random.Generator) -> str:
    number = fields.context.rem_period
    if number is None:
        return ""
    if number > len(ORDINALS) or rng.random() < 0.3:
        return f"in REM period {number}"
    return f"in the {ORDINALS[number - 1]} REM period"


def _position(fields: CaptionFields, rng: np.random.Generator) -> str:
    context, position = fields.context, fields.position
    if position not in PLACES or context.position_min is None:
        return ""
    way = choose(rng, ("lying ", "resting ", "")) if position != "upright" else ""
    who = choose(rng, ("the sleeper", "the patient", "the subject"))
    text = (
        f"with {who} {way}{choose(rng, PLACES[position])} for {_minutes(context.position_min, rng)}"
    )
    if context.previous_position in PLACES and rng.random() < 0.6:
        turned = choose(rng, ("having turned", "after turning", "turned"))
        text += f", {turned} over from lying {choose(rng, PLACES[context.previous_position])}"
    return text


def _depth(fields: CaptionFields, rng: np.random.Generator) -> str:
    depth = fields.context.desaturation_depth_pct
    if depth is None:
        return ""
    how = "deep " if depth >= DEEP_PCT else "shallow " if depth < SHALLOW_PCT else ""
    noun = choose(rng, ("desaturation", "fall in saturation", "drop in oxygen saturation"))
    unit = choose(rng, ("points", "percentage points"))
    return f"with a {how}{noun} of {depth:.1f} {unit}"


def _hr(fields: CaptionFields, rng: np.random.Generator) -> str:
    change = fields.context.hr_vs_night_bpm
    if change is None:
        return ""
    side = "above" if change >= 0 else "below"
    median = choose(rng, ("the night's median", "the median of the night"))
    return f"with the heart rate {abs(change):.1f} bpm {side} {median}"


def _near(group: str) -> Callable[[CaptionFields, np.random.Generator], str]:
    def clause(fields: CaptionFields, rng: np.random.Generator) -> str:
        count = fields.context.near.get(group)
        if count is None:
            return ""
        one, many = choose(rng, GROUPS[group])
        window = choose(rng, ("within ten minutes", "within 10 minutes"))
        if count < 2:
            return f"with {'1 ' + one if count else 'no ' + many} {window}"
        crowd = ("as part of a cluster of", "in a cluster of") if count >= CLUSTER_COUNT else ()
        lead = choose(rng, (*crowd, "in a series of", "among", "with"))
        text = f"{lead} {count} {many} {window}"
        kind = fields.context.breathing_kind
        if group == "breathing" and kind is not None:
            text += f", {choose(rng, ('mostly', 'mainly'))} {KINDS_IN_PLURAL[kind]}"
        return text

    return clause


_CLAUSES: dict[str, Callable[[CaptionFields, np.random.Generator], str]] = {
    "stages": _stages,
    "in_stage": _in_stage,
    "since_onset": _since_onset,
    "part": _part,
    "rem_period": _rem_period,
    "position": _position,
    "depth": _depth,
    "hr": _hr,
}
