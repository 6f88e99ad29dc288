"""Severity words and remarks on a night, from tables with their sources. Adults only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sleeplm.report import Insight, NightSummary, Quantity, Severity

__all__ = [
    "AHI_BANDS",
    "AHI_BANDS_SOURCE",
    "CENTRAL_SHARE",
    "INSIGHT_RULES",
    "InsightRule",
    "insights",
    "judged",
    "severity_word",
]

AHI_BANDS: tuple[tuple[float, str], ...] = (
    (5.0, "none"),
    (15.0, "mild"),
    (30.0, "moderate"),
    (float("inf"), "severe"),
)
"""Upper bound of each band (not part of it), events per hour of sleep."""
AHI_BANDS_SOURCE = "AASM Task Force, Sleep 1999;22:667 (adults)"
CENTRAL_SHARE = 0.5
"""Share of central among typed apneas from which the apnea is called central (after ICSD-3)."""
CLINICAL_AHI = 5.0
RATIO = 2.0
LEAST_POSITION_MIN = 15.0
LEAST_REM_MIN = 30.0
LOW_EFFICIENCY_PCT = 74.0
LEAST_SLEEP_MIN = 30.0
"""Sleep from which an AHI is given a word: a few events in minutes of sleep make any rate (the
limit is this program's choice)."""


@dataclass(frozen=True)
class InsightRule:
    """A threshold that makes a remark, in the words a reader sees, and who proposed it."""

    rule: str
    source: str


INSIGHT_RULES = {
    "positional": InsightRule(
        f"AHI ≥ {CLINICAL_AHI:g}/h and supine AHI at least twice the non-supine AHI, with at least "
        f"{LEAST_POSITION_MIN:g} min of sleep in each",
        "Cartwright, Sleep 1984;7:110 (the ratio); the least minutes are this program's choice",
    ),
    "rem_related": InsightRule(
        f"AHI ≥ {CLINICAL_AHI:g}/h and REM AHI at least twice the NREM AHI, with at least "
        f"{LEAST_REM_MIN:g} min of REM sleep",
        "Haba-Rubio et al., Chest 2005;128:3350 (the ratio); the least minutes are this "
        "program's choice",
    ),
    "fragmentation": InsightRule(
        f"sleep efficiency of {LOW_EFFICIENCY_PCT:g} % or less",
        "Ohayon et al., Sleep Health 2017;3:6 (adults)",
    ),
}


def severity_word(ahi: float) -> str:
    """Band of an AHI (events per hour of sleep, adults): none, mild, moderate or severe."""
    if not ahi >= 0:
        raise ValueError(f"AHI is {ahi}; it must be a number of 0 or more")
    return next(word for upper, word in AHI_BANDS if ahi < upper)


def judged(ahi: Quantity, tst: Quantity, typed_apneas: Mapping[str, int]) -> Severity:
    """Severity of an AHI and whether the apneas are mostly central.

    Parameters
    ----------
    ahi : Quantity
        Apneas and hypopneas as scored, per hour of sleep.
    tst : Quantity
        Total sleep time, minutes; the AHI gets no word below :data:`LEAST_SLEEP_MIN`.
    typed_apneas : mapping of kind → number in sleep
        Obstructive, central and mixed apneas; empty where central ones were not told apart.
    """
    rule = "the AHI as scored (apneas and hypopneas per hour of sleep)"
    if ahi.value is None:
        return Severity(
            word=None,
            predominance=None,
            rule=rule,
            source=AHI_BANDS_SOURCE,
            note=f"the AHI is not known: {ahi.note}",
        )
    if tst.value is None or tst.value < LEAST_SLEEP_MIN:
        return Severity(
            word=None,
            predominance=None,
            rule=rule,
            source=AHI_BANDS_SOURCE,
            note=f"less than {LEAST_SLEEP_MIN:g} min of sleep: too little to name a severity",
        )
    total = sum(typed_apneas.values())
    predominance, note = None, "no typed apnea: central or obstructive is not judged"
    if total:
        central = typed_apneas.get("central_apnea", 0)
        predominance = "central" if central / total >= CENTRAL_SHARE else "obstructive"
        note = f"{central} of {total} typed apneas in sleep are central"
    return Severity(
        word=severity_word(ahi.value),
        predominance=predominance,
        rule=rule,
        source=AHI_BANDS_SOURCE,
        note=note,
    )


def insights(summary: NightSummary) -> list[Insight]:
    """Remarks that the tables' thresholds allow; none where a needed field is null."""
    found = [_positional(summary), _rem_related(summary), _fragmentation(summary)]
    return [insight for insight in found if insight is not None]


def _remark(summary: NightSummary, name: str, text: str, fields: tuple[str, ...]) -> Insight:
    rule = INSIGHT_RULES[name]
    values = {field: summary.quantity(field).value for field in fields}
    return Insight(
        name=name,
        text=text,
        evidence={field: value for field, value in values.items() if value is not None},
        source=f"{rule.rule}; {rule.source}",
    )


def _positional(summary: NightSummary) -> Insight | None:
    ahi, supine, other = (
        summary.quantity(name).value for name in ("ahi", "ahi_supine", "ahi_nonsupine")
    )
    if ahi is None or supine is None or other is None:
        return None
    minutes = {name: held.value or 0.0 for name, held in summary.position_minutes.items()}
    shortest = min(minutes["supine"], sum(minutes.values()) - minutes["supine"])
    if ahi < CLINICAL_AHI or supine < RATIO * other or shortest < LEAST_POSITION_MIN:
        return None
    return _remark(
        summary,
        "positional",
        f"Breathing events depend on position: {supine:.1f}/h supine against {other:.1f}/h in "
        "other positions",
        ("ahi", "ahi_supine", "ahi_nonsupine", "position_minutes.supine"),
    )


def _rem_related(summary: NightSummary) -> Insight | None:
    ahi, rem, nrem, minutes = (
        summary.quantity(name).value for name in ("ahi", "ahi_rem", "ahi_nrem", "stage_minutes.R")
    )
    if ahi is None or rem is None or nrem is None or minutes is None:
        return None
    if ahi < CLINICAL_AHI or rem < RATIO * nrem or minutes < LEAST_REM_MIN:
        return None
    return _remark(
        summary,
        "rem_related",
        f"Breathing events gather in REM sleep: {rem:.1f}/h in REM against {nrem:.1f}/h in NREM",
        ("ahi", "ahi_rem", "ahi_nrem", "stage_minutes.R"),
    )


def _fragmentation(summary: NightSummary) -> Insight | None:
    efficiency, waso = summary.sleep_efficiency.value, summary.waso.value
    if efficiency is None or waso is None or efficiency > LOW_EFFICIENCY_PCT:
        return None
    return _remark(
        summary,
        "fragmentation",
        f"Sleep is poorly consolidated: efficiency {efficiency:.1f} %, {waso:.1f} min awake after "
        "sleep onset",
        ("sleep_efficiency", "waso", "awakenings"),
    )
