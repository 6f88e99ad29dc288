"""Event words: from what people call events to the scored kinds, through an allow-list."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sleeplm.scoring import EVENT_KINDS, RESPIRATORY_KINDS

__all__ = ["APNEAS", "MEASURED_ONLY", "EventQuery", "read_query"]

APNEAS = ("obstructive_apnea", "central_apnea", "mixed_apnea")

#: Kinds that no scoring file of ours holds: they are measured, else searched by the model.
MEASURED_ONLY = ("spindle", "slow_wave", "rem_burst", "position_change")

#: Longest first: what one phrase has taken, the next no longer sees.
_PHRASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"(respiratory|breathing|apnea hypopnea|ahi|sleep disordered breathing) events?",
     RESPIRATORY_KINDS),
    (r"(respiratory|breathing|respirations?) (disturbances?|disorders?)", RESPIRATORY_KINDS),
    (r"(respiratory )?effort related arousals?|reras?", ("rera",)),
    (r"(breathing|respiratory) (pauses?|stops?|arrests?)|stopp?(ed|ing|s)? (of )?breathing|"
     r"atempausen?|atemaussetzer\w*|pausas? respiratorias?", APNEAS),
    (r"osa|oas?|obstructives?", ("obstructive_apnea",)),
    (r"csa|cas?|[cz]entrals?", ("central_apnea",)),
    (r"mas?|mixed", ("mixed_apnea",)),
    (r"hypop?noe?as?|hypopnoen?|hypopneic events?|shallow breathing|hypopneas?|hipopneas?|"
     r"hys?|hyps?",
     ("hypopnea",)),
    (r"((oxygen|o2|spo2|sao2|saturation) )*(desaturations?|desaturate[ds]?|desaturating|desats?|"
     r"(oxygen|o2|spo2|sao2|saturation) (drops?|dips?|falls?|declines?|decreases?))|odi|"
     r"(drops?|dips?|falls?) (in|of) (the )?(blood )?(oxygen|o2|spo2|sao2)( saturation)?|"
     r"entsättigungen|entsättigung|desaturación|desaturaciones|desaturacion", ("desaturation",)),
    (r"(eeg |cortical |micro ?)?arousals?|microarousals?|weckreaktion(en)?|despertares breves",
     ("arousal",)),
    (r"(periodic|rhythmic) (limb|leg) movements?|plms?|plmd|plmi", ("plm",)),
    (r"(limb|leg|legs) (movements?|jerks?|kicks?|twitches?)|lms?|beinbewegung(en)?|"
     r"movimientos? de (las )?piernas?", ("limb_movement", "plm")),
    (r"snor(e|es|ed|ing)|schnarchen|ronquidos?", ("snore",)),
    (r"bradycardias?|bradycardic episodes?|slow heart ?(rate|beat)?", ("bradycardia",)),
    (r"tachycardias?|tachycardic episodes?|fast heart ?(rate|beat)?|racing heart",
     ("tachycardia",)),
    (r"cheyne stokes( (respiration|breathing))?|csr|periodic breathing", ("cheyne_stokes",)),
    (r"arti?e?facts?|artefacts?|artefakte?|artefactos?", ("artifact",)),
    (r"(sleep |sigma )?spindles?|schlafspindeln?|spindeln|husos?( de sueño)?", ("spindle",)),
    (r"(slow|delta) waves?(?! sleep)|slow oscillations?", ("slow_wave",)),
    (r"(rem|eye movement|rapid eye movement) bursts?|bursts of (rapid )?eye movements?|"
     r"rapid eye movements", ("rem_burst",)),
    (r"(body )?(position|posture) (changes?|shifts?)|changes? of (body )?(position|posture)|"
     r"turns? over|turned over|lagewechsel|cambios? de (posición|posicion)", ("position_change",)),
)  # fmt: skip
_APNEA_NOUN = re.compile(r"\b(apno?eas?|apnoen?|apneic events?)\b")
_ADJECTIVES = (
    (re.compile(r"\bobstru[ck]tiv\w*\b"), "obstructive_apnea"),
    (re.compile(r"\b[cz]entral\w*\b"), "central_apnea"),
    (re.compile(r"\bmixed\b|\bgemischte?n?\b|\bmixtas?\b"), "mixed_apnea"),
)
_FILLER = re.compile(
    r"a|all|an|and|any|at|by|count|did|do|does|during|each|episodes?|"
    r"events?|every|find|first|for|from|had|happen|happened|have|how|in|is|"
    r"last|list|locate|long|longest|many|me|more|most|much|night|occur|"
    r"occurred|of|on|or|over|per|scored|short|shortest|show|sleep|stage|than|"
    r"that|the|there|this|times?|to|was|were|what|when|where|which|while|"
    r"whole|with|worst|deepest"
)
_PERCENT = r"\s*(?:%|percent|pct|prozent|por ciento)"
_NADIR = re.compile(
    r"(?:below|under|less than|lower than|<=?|unter|bajo|por debajo de)\s*(\d{2}(?:\.\d+)?)"
    + _PERCENT
)
_DEPTH = re.compile(
    r"(?:(?:deeper|more|greater|bigger|larger) than|at least|over|>=?|≥|of|by)\s*"
    r"(\d{1,2}(?:\.\d+)?)(?:" + _PERCENT + r"|\s*(?:points?|percentage points?))"
    r"(?:\s*(?:or more|or deeper|and more|deep))?"
)
_SECONDS = r"(\d+(?:\.\d+)?)\s*(seconds?|secs?|sekunden|segundos|s|minutes?|mins?|minuten|min)\b"
_DURATION = re.compile(
    r"(?:longer than|over|more than|above|at least|>=?|≥|länger als|mindestens|más de|"
    r"lasting more than|not shorter than)\s*" + _SECONDS
)
_SHORT = re.compile(
    r"(?:shorter than|under|less than|below|at most|<=?|≤|kürzer als|höchstens|menos de|"
    r"not longer than)\s*" + _SECONDS
)


@dataclass(frozen=True)
class EventQuery:
    """A query in words, understood.

    Parameters
    ----------
    kinds : tuple of str
        Scored kinds asked for; empty where the words name none (an open description).
    max_nadir_pct, min_duration_s, max_duration_s, min_depth_pct : float or None
        Limits found in the words.
    unused : tuple of str
        Words that named no kind and are no filler.
    """

    kinds: tuple[str, ...]
    max_nadir_pct: float | None = None
    min_duration_s: float | None = None
    max_duration_s: float | None = None
    min_depth_pct: float | None = None
    unused: tuple[str, ...] = ()


def read_query(text: str) -> EventQuery:
    """Find the scored kinds and thresholds that a query names.

    "apnea" without a qualifier is all three kinds; "respiratory events" are apneas and hypopneas;
    "leg movements" are single and periodic ones.
    """
    if text in (*EVENT_KINDS, *MEASURED_ONLY):
        return EventQuery((text,))
    plain = re.sub(r"[\s_\-–/,;()]+", " ", text.lower()).strip(" .?!\"'")
    nadir, plain = _taken(_NADIR, plain)
    duration, plain = _taken(_DURATION, plain)
    shorter, plain = _taken(_SHORT, plain)
    depth, plain = _taken(_DEPTH, plain)
    kinds: list[str] = []

    def take(pattern: re.Pattern[str], found: tuple[str, ...]) -> None:
        nonlocal plain
        if pattern.search(plain):
            plain = pattern.sub(" ", plain)
            kinds.extend(kind for kind in found if kind not in kinds)

    noun = _APNEA_NOUN.search(plain) is not None
    # "apnea-hypopnea events" is one phrase, so the respiratory phrases come before the noun.
    take(re.compile(rf"\b({_PHRASES[0][0]})\b"), _PHRASES[0][1])
    if noun and _APNEA_NOUN.search(plain):
        named = [kind for pattern, kind in _ADJECTIVES if pattern.search(plain)]
        for pattern, _ in _ADJECTIVES:
            plain = pattern.sub(" ", plain)
        take(_APNEA_NOUN, tuple(named) or APNEAS)
    for phrase, found in _PHRASES[1:]:
        take(re.compile(rf"\b({phrase.strip()})\b"), found)
    unused = tuple(word for word in plain.split() if not _FILLER.fullmatch(word))
    return EventQuery(
        kinds=tuple(kinds),
        max_nadir_pct=float(nadir[1]) if nadir is not None else None,
        min_duration_s=_seconds(duration),
        max_duration_s=_seconds(shorter),
        min_depth_pct=float(depth[1]) if depth is not None else None,
        unused=unused,
    )


def _seconds(match: re.Match[str] | None) -> float | None:
    if match is None:
        return None
    return float(match[1]) * (60.0 if match[2].startswith("min") else 1.0)


def _taken(pattern: re.Pattern[str], text: str) -> tuple[re.Match[str] | None, str]:
    match = pattern.search(text)
    return match, text if match is None else pattern.sub(" ", text, count=1)
