"""The truth of a night: the events that at least one recorded channel shows."""

from __future__ import annotations

from collections.abc import Sequence

from sleeplm.scoring import RESPIRATORY_KINDS, Event
from train.simulate.artefacts import Disturbances
from train.simulate.breathing import RespiratoryEvent
from train.simulate.legs import LEG_CHANNELS
from train.simulate.oximetry import Desaturation

__all__ = ["truth_events"]


def truth_events(
    events: list[RespiratoryEvent],
    dips: list[Desaturation],
    arousals_s: list[tuple[float, float]],
    periodic_s: Sequence[tuple[float, float]],
    legs: Sequence[Event],
    disturbed: Disturbances | None,
    missing: Sequence[str],
) -> tuple[list[Event], tuple[str, ...]]:
    """The events that at least one recorded channel shows, and the kinds that could be shown.

    ``periodic_s`` are runs of Cheyne-Stokes breathing, ``legs`` are the scored leg movements; a
    desaturation that a silent oximeter hides is none. Artifacts count as looked for where some
    were asked for.
    """
    gone = set(missing)
    truth: list[Event] = []
    kinds: list[str] = []
    if not {"AF", "THX", "ABD"} <= gone:
        kinds += (*RESPIRATORY_KINDS, "rera", "cheyne_stokes")
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
        truth += [
            Event("cheyne_stokes", round(start_s, 2), round(end_s - start_s, 2), shown_on)
            for start_s, end_s in periodic_s
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
            if disturbed is None or not disturbed.hidden("SPO2", dip.onset_s - 1, dip.end_s)
        ]
    brain = [name for name in ("EEG_C3_A2", "EEG_C4_A1") if name not in gone]
    if brain:
        kinds.append("arousal")
        truth += [
            Event("arousal", start_s, round(end_s - start_s, 2), brain[0])
            for start_s, end_s in arousals_s
        ]
    if not set(LEG_CHANNELS) <= gone:
        kinds += ["limb_movement", "plm"]
        truth += [event for event in legs if _leg_recorded(event, gone)]
    if disturbed is not None:
        kinds.append("artifact")
        truth += disturbed.events
    return truth, tuple(kinds)


def _leg_recorded(event: Event, gone: set[str]) -> bool:
    """Whether a leg that moved was recorded."""
    return any(
        event.evidence[key] > 0
        for key, name in zip(("left_uv", "right_uv"), LEG_CHANNELS, strict=True)
        if name not in gone
    )
