"""Severity words and the thresholds behind insights, each with its source. Adults only."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AHI_BANDS", "AHI_BANDS_SOURCE", "INSIGHT_RULES", "InsightRule", "severity_word"]

AHI_BANDS: tuple[tuple[float, str], ...] = (
    (5.0, "none"),
    (15.0, "mild"),
    (30.0, "moderate"),
    (float("inf"), "severe"),
)
"""Upper bound of each band (not part of it), events per hour of sleep."""
AHI_BANDS_SOURCE = "AASM Task Force, Sleep 1999;22:667 (adults)"
CENTRAL_SHARE = 0.5
"""Share of central apneas from which an apnea syndrome is called central (ICSD-3)."""


@dataclass(frozen=True)
class InsightRule:
    """A threshold that makes a remark, in the words a reader sees, and who proposed it."""

    name: str
    rule: str
    source: str


INSIGHT_RULES = {
    rule.name: rule
    for rule in (
        InsightRule(
            "positional",
            "AHI ≥ 5/h and supine AHI at least twice the non-supine AHI, with at least 15 min of "
            "sleep in each",
            "Cartwright, Sleep 1984;7:110; the 15 min are this program's",
        ),
        InsightRule(
            "rem_related",
            "AHI ≥ 5/h and REM AHI at least twice the NREM AHI, with at least 30 min of REM sleep",
            "Mokhlesi et al., Chest 2012;142:440 on the ratio and the 30 min",
        ),
        InsightRule(
            "fragmentation",
            "sleep efficiency of 74 % or less",
            "Ohayon et al., Sleep Health 2017;3:6 (adults)",
        ),
    )
}


def severity_word(ahi: float) -> str:
    """Band of an AHI (events per hour of sleep, adults): none, mild, moderate or severe."""
    if not ahi >= 0:
        raise ValueError(f"AHI is {ahi}; it must be a number of 0 or more")
    return next(word for upper, word in AHI_BANDS if ahi < upper)
