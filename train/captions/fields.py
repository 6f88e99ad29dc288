"""The truth of one epoch as caption fields: measurements, stage, events within the epoch."""

from __future__ import annotations

import numpy as np

from sleeplm.captions import CaptionEvent, CaptionFields
from sleeplm.physiology import NightMeasurements
from sleeplm.scoring import EPOCH_S, Scoring

__all__ = ["SHORTEST_EVENT_S", "epoch_fields"]

#: A shorter part of an event at an epoch's edge is not stated: it rounds to nothing.
SHORTEST_EVENT_S = 0.1


def epoch_fields(
    measurements: NightMeasurements | None, scoring: Scoring | None, epoch: int
) -> CaptionFields:
    """Everything that is true of one epoch, for all five systems.

    Parameters
    ----------
    measurements : NightMeasurements or None
    scoring : Scoring or None
        Aligned with the recording.
    epoch : int
        Index from 0.

    Returns
    -------
    CaptionFields
        ``system`` is ``"all"``; events are clipped to the epoch, seconds from its start.

    Raises
    ------
    IndexError
        The epoch lies outside the night.
    """
    n_epochs = measurements.n_epochs if measurements is not None else 0
    if scoring is not None:
        n_epochs = max(n_epochs, scoring.n_epochs)
    if not 0 <= epoch < n_epochs:
        raise IndexError(f"epoch index {epoch} is outside 0–{n_epochs - 1}")
    fields = CaptionFields(system="all")
    if measurements is not None and epoch < measurements.n_epochs:
        values = measurements.epoch(epoch)
        values.pop("position", None)
        fields.values = values
        fields.position = measurements.position(epoch)
        fields.missing = list(measurements.missing)
        fields.trends = {
            name: list(epochs[epoch])
            for name, epochs in measurements.trends.items()
            if epochs[epoch]
        }
    if scoring is not None and epoch < scoring.n_epochs:
        fields.stage = scoring.stages[epoch]
        fields.events = _events_within(scoring, epoch)
        fields.no_event = scoring.has_events and not fields.events
    return fields


def _events_within(scoring: Scoring, epoch: int) -> list[CaptionEvent]:
    start_s = epoch * EPOCH_S
    parts = []
    for event in scoring.events:
        if event.onset_s >= start_s + EPOCH_S:
            break
        if event.end_s <= start_s:
            continue
        first = float(np.clip(event.onset_s - start_s, 0.0, EPOCH_S))
        last = float(np.clip(event.end_s - start_s, 0.0, EPOCH_S))
        if last - first >= SHORTEST_EVENT_S:
            parts.append(CaptionEvent(event.kind, first, last))
    return sorted(parts, key=lambda part: (part.start_s, part.kind, part.end_s))
