"""The truth of a night: the events that at least one recorded channel shows."""

from __future__ import annotations

from collections.abc import Sequence

from sleeplm.scoring import RESPIRATORY_KINDS, Event
from train.simulate.breathing import RespiratoryEvent
from train.simulate.oximetry import Desaturation

__all__ = ["truth_events"]


def truth_events(
    events: list[RespiratoryEvent],
    dips: list[Desaturation],
    arousals_s: list[tuple[float, float]],
    missing: Sequence[str],
) -> tuple[list[Event], tuple[str, ...]]:
    """The events that at least one recorded channel shows, and the kinds that could be shown.

    Legs are not simulated: their kinds were not looked for, which is not the same as none.
    """
    gone = set(missing)
    truth: list[Event] = []
    kinds: list[str] = []
    if not {"AF", "THX", "ABD"} <= gone:
        kinds += (*RESPIRATORY_KINDS, "rera")
        shown_on = next(name for name in ("AF", "THX", "ABD") if name not in gone)
        truth += [
            Event(
                event.kind,
                round(event.onset_s, 2),
                round(event.duration_s, 2),
                shown_on,
                evidence={"flow_reduction_pct": round(100 * (1 - event.flow_share), 1)},
            )
            for event in events
        ]
    if "SPO2" not in gone:
        kinds.append("desaturation")
        truth += [
            Event(
                "desaturation",
                dip.onset_s,
                dip.end_s - dip.onset_s,
                "SPO2",
                evidence={"baseline_pct": dip.baseline_pct, "nadir_pct": dip.nadir_pct},
            )
            for dip in dips
        ]
    brain = [name for name in ("EEG_C3_A2", "EEG_C4_A1") if name not in gone]
    if brain:
        kinds.append("arousal")
        truth += [
            Event("arousal", start_s, round(end_s - start_s, 2), brain[0])
            for start_s, end_s in arousals_s
        ]
    return truth, tuple(kinds)
