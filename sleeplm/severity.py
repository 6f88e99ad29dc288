"""Severity words of a night, from tables with their sources. Adults only."""

from __future__ import annotations

from collections.abc import Mapping

from sleeplm.report import Quantity, Severity

__all__ = [
    "AHI_BANDS",
    "AHI_BANDS_SOURCE",
    "CENTRAL_SHARE",
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
LEAST_SLEEP_MIN = 30.0
"""Sleep from which an AHI is given a word: a few events in minutes of sleep make any rate (the
limit is this program's choice)."""


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
