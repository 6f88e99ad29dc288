"""A whole night as typed fields, and the parser of the sentences that state them.

Field names, units and meanings are those of a night's summary (``stage_minutes.N3`` …). Sentences
are rendered in training; what is needed to read them, or a summary, stands here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "NIGHT_FIELDS",
    "NOTHING_MEASURED",
    "PREDOMINANCES",
    "SEVERITIES",
    "NightField",
    "NightFields",
    "night_fields",
    "parse_night",
]

#: Severity word → how a night with it is called.
SEVERITIES: dict[str, tuple[str, ...]] = {
    "none": ("no sleep apnea", "breathing within normal limits"),
    "mild": ("mild sleep apnea", "mild sleep-disordered breathing"),
    "moderate": ("moderate sleep apnea", "moderate sleep-disordered breathing"),
    "severe": ("severe sleep apnea", "severe sleep-disordered breathing"),
}
PREDOMINANCES: dict[str, tuple[str, ...]] = {
    kind: (f"predominantly {kind}", f"mostly {kind}", f"mainly {kind}")
    for kind in ("obstructive", "central", "mixed")
}


@dataclass(frozen=True)
class NightField:
    """One quantity of a night: its unit, its possible range, and what it is called.

    ``words`` render it and are read back; the first is canonical.
    """

    unit: str
    low: float
    high: float
    words: tuple[str, ...]
    section: str


_DAY_MIN = 1440.0
NOTHING_MEASURED = "Nothing was measured in this night."


def _stage_words(stage: str) -> tuple[str, ...]:
    names = {
        "W": ("wake", "wakefulness"),
        "N1": ("N1 sleep", "light sleep (N1)"),
        "N2": ("N2 sleep", "stable light sleep (N2)"),
        "N3": ("N3 sleep", "deep sleep (N3)"),
        "R": ("REM sleep", "rapid eye movement sleep"),
    }[stage]
    return tuple(form.format(name) for name in names for form in ("{}", "time in {}"))


def _index(*words: str, section: str = "breathing") -> NightField:
    return NightField("/h", 0.0, 300.0, words, section)


NIGHT_FIELDS: dict[str, NightField] = {
    "tst": NightField("min", 0.0, _DAY_MIN, ("total sleep time", "time asleep"), "sleep"),
    "sleep_efficiency": NightField("%", 0.0, 100.0, ("sleep efficiency",), "sleep"),
    "sleep_onset_latency": NightField(
        "min", 0.0, _DAY_MIN, ("sleep onset latency", "time to fall asleep"), "sleep"
    ),
    "rem_latency": NightField("min", 0.0, _DAY_MIN, ("REM latency", "latency to REM"), "sleep"),
    "waso": NightField(
        "min", 0.0, _DAY_MIN, ("wake after sleep onset", "WASO", "time awake in the night"), "sleep"
    ),
    "awakenings": NightField("count", 0.0, 1000.0, ("awakenings",), "sleep"),
    **{
        f"stage_minutes.{stage}": NightField("min", 0.0, _DAY_MIN, _stage_words(stage), "stages")
        for stage in ("W", "N1", "N2", "N3", "R")
    },
    "ahi": _index("apnea-hypopnea index", "AHI"),
    "oahi": _index("obstructive apnea-hypopnea index", "obstructive AHI"),
    "cai": _index("central apnea index", "CAI"),
    "hypopnea_index": _index(
        "hypopnea index",
    ),
    "apnea_index": _index(
        "apnea index",
    ),
    "ahi_rem": _index("AHI in REM sleep", "REM AHI"),
    "ahi_nrem": _index("AHI in NREM sleep", "NREM AHI", "AHI outside REM sleep"),
    "ahi_supine": _index("supine AHI", "AHI on the back"),
    "ahi_nonsupine": _index("non-supine AHI", "AHI in other positions"),
    "odi3": _index("oxygen desaturation index (3 %)", "ODI3", section="oxygen"),
    "odi4": _index("oxygen desaturation index (4 %)", "ODI4", section="oxygen"),
    "spo2_mean": NightField(
        "%", 30.0, 100.0, ("mean SpO2", "mean oxygen saturation", "average saturation"), "oxygen"
    ),
    "spo2_nadir": NightField(
        "%", 30.0, 100.0, ("lowest SpO2", "lowest oxygen saturation", "SpO2 nadir"), "oxygen"
    ),
    "t90": NightField("min", 0.0, _DAY_MIN, ("time below 90 % SpO2", "T90"), "oxygen"),
    "arousal_index": _index("arousal index", section="arousals"),
    "plm_index": _index("periodic limb movement index", "PLM index", "PLMI", section="limbs"),
    "hr_mean": NightField("bpm", 20.0, 250.0, ("mean heart rate", "average heart rate"), "heart"),
    "hr_min": NightField("bpm", 20.0, 250.0, ("lowest heart rate", "minimum heart rate"), "heart"),
    "hr_max": NightField("bpm", 20.0, 250.0, ("highest heart rate", "maximum heart rate"), "heart"),
    **{
        f"position_minutes.{position}": NightField("min", 0.0, _DAY_MIN, words, "position")
        for position, words in {
            "supine": ("sleep on the back", "supine sleep"),
            "left": ("sleep on the left side", "left-sided sleep"),
            "right": ("sleep on the right side", "right-sided sleep"),
            "prone": ("sleep on the stomach", "prone sleep"),
            "upright": ("sleep sitting up", "upright sleep"),
        }.items()
    },
}


@dataclass
class NightFields:
    """What a sentence, or a summary, states of a whole night.

    Parameters
    ----------
    values : dict of a name of :data:`NIGHT_FIELDS` → value in its unit
        What is unknown is not in it.
    severity : str or None
        A key of :data:`SEVERITIES`.
    predominance : str or None
        A key of :data:`PREDOMINANCES`.
    unparsed : list of str
        Sentences with something that was not understood.
    """

    values: dict[str, float] = field(default_factory=dict)
    severity: str | None = None
    predominance: str | None = None
    unparsed: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "values": dict(self.values),
            "severity": self.severity,
            "predominance": self.predominance,
            "unparsed": list(self.unparsed),
        }


def night_fields(summary: Any) -> NightFields:
    """The fields of a night from its summary; quantities without a value are left out.

    Parameters
    ----------
    summary : NightSummary or mapping
        The object, or its JSON form as ``sleeplm summarize --json`` prints it.
    """
    fields = NightFields()
    for name in NIGHT_FIELDS:
        held: Any = summary
        for part in (*name.split("."), "value"):
            held = _part(held, part)
        if held is not None:
            fields.values[name] = float(held)
    severity = _part(summary, "severity")
    word, kind = _part(severity, "word"), _part(severity, "predominance")
    fields.severity = word if word in SEVERITIES else None
    fields.predominance = kind if kind in PREDOMINANCES else None
    return fields


def _part(held: Any, name: str) -> Any:
    return held.get(name) if isinstance(held, Mapping) else getattr(held, name, None)


_NUMBER = r"\d+(?:\.\d+)?"
_UNITS = {
    "min": r"minutes?|min",
    "/h": r"(?:events\s+)?per\s+hour(?:\s+of\s+sleep)?|/\s?h",
    "%": r"%|percent",
    "bpm": r"bpm|beats\s+per\s+minute",
    "count": r"times",
}
_ANY_UNIT = "|".join(_UNITS.values())
_RELATION = (
    r"(?:[\s,:=]|\b(?:of|at|is|was|a|an|the|to|equal|lasting|taking|for|reaching|standing|"
    r"approximately|around|about|close|roughly|near|nearly)\b)+"
)
_HOURS = rf"(?P<h>\d+)\s?h\s(?P<m>\d+)\s?min|(?P<number>{_NUMBER})\s?(?P<unit>{_ANY_UNIT})?"
#: Longest words first: "supine AHI" before "AHI".
_ITEMS = [
    (
        name,
        re.compile(
            rf"(?<![a-z0-9-]){re.escape(words.lower())}(?:{_RELATION})(?:{_HOURS})(?![a-z0-9])"
        ),
    )
    for words, name in sorted(
        ((words, name) for name, entry in NIGHT_FIELDS.items() for words in entry.words),
        key=lambda pair: -len(pair[0]),
    )
]
_JUDGED = [
    (kind, key, re.compile(rf"(?<![a-z-]){re.escape(words.lower())}(?![a-z-])"))
    for kind, table in (("severity", SEVERITIES), ("predominance", PREDOMINANCES))
    for key, forms in table.items()
    for words in forms
]
_FILLER = frozenset(
    """
    a along an and as at besides breathing finally further had has in it its lastly night number
    of plus record recording shows sleeper subject that the then there this together was well
    were whole with
    """.split()  # noqa: SIM905
)


def parse_night(text: str) -> NightFields:
    """Read the statements of a night's caption; what is not sure is kept in ``unparsed``.

    A number is taken with the unit of its field alone, within the possible range, and once.
    """
    fields = NightFields()
    plain = " ".join(text.lower().split())
    for sentence in re.split(r"(?<=[.;!?])\s+", plain):
        if sentence == NOTHING_MEASURED.lower():
            continue
        rest = _judged(sentence, fields)
        for name, pattern in _ITEMS:
            match = pattern.search(rest)
            if match is not None and _accept(name, match, fields):
                rest = _without(rest, match)
        if set(re.findall(r"[a-z0-9%]+", rest)) - _FILLER:
            fields.unparsed.append(sentence)
    return fields


def _judged(sentence: str, fields: NightFields) -> str:
    for kind, key, pattern in _JUDGED:
        match = pattern.search(sentence)
        if match is not None and getattr(fields, kind) in (None, key):
            setattr(fields, kind, key)
            sentence = _without(sentence, match)
    return sentence


def _accept(name: str, match: re.Match[str], fields: NightFields) -> bool:
    entry = NIGHT_FIELDS[name]
    unit = match["unit"]
    if match["h"] is not None:
        value, fits = 60.0 * int(match["h"]) + int(match["m"]), entry.unit == "min"
    else:
        value = float(match["number"])
        wanted = _UNITS[entry.unit]
        fits = unit is not None and re.fullmatch(wanted, unit) is not None
        fits = fits or (unit is None and entry.unit == "count")
    if not fits or not entry.low <= value <= entry.high or name in fields.values:
        return False
    fields.values[name] = value
    return True


def _without(text: str, match: re.Match[str]) -> str:
    return f"{text[: match.start()]} , {text[match.end() :]}"
