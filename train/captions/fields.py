"""The truth of one epoch as caption fields: measurements, stage, events within the epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sleeplm.caption_context import EpochContext
from sleeplm.captions import QUALITY_WORDS, CaptionEvent, CaptionFields
from sleeplm.physiology import NightMeasurements, Quality
from sleeplm.scoring import EPOCH_S, Scoring
from train.captions.context import epoch_contexts

__all__ = ["SHORTEST_EVENT_S", "all_epoch_fields", "epoch_fields"]

#: A shorter part of an event at an epoch's edge is not stated: it rounds to nothing.
SHORTEST_EVENT_S = 0.1


def all_epoch_fields(
    measurements: NightMeasurements | None, scoring: Scoring | None
) -> list[CaptionFields]:
    """:func:`epoch_fields` of every epoch of a night, each with its place in the night."""
    contexts = epoch_contexts(measurements, scoring)
    return [
        epoch_fields(measurements, scoring, epoch, contexts=contexts)
        for epoch in range(len(contexts))
    ]


def epoch_fields(
    measurements: NightMeasurements | None,
    scoring: Scoring | None,
    epoch: int,
    *,
    contexts: Sequence[EpochContext] | None = None,
) -> CaptionFields:
    """Everything that is true of one epoch, for all five systems.

    Parameters
    ----------
    measurements : NightMeasurements or None
    scoring : Scoring or None
        Aligned with the recording.
    epoch : int
        Index from 0.
    contexts : sequence of EpochContext, optional
        Of the whole night, by :func:`train.captions.context.epoch_contexts`; worked out anew where
        it is not given, which costs a pass over the night for each call.

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
    if contexts is None:
        contexts = epoch_contexts(measurements, scoring)
    fields = CaptionFields(system="all", context=replace(contexts[epoch]))
    fields.context.near = dict(contexts[epoch].near)
    if measurements is not None and epoch < measurements.n_epochs:
        values = measurements.epoch(epoch)
        values.pop("position", None)
        fields.values = values
        fields.position = measurements.position(epoch)
        fields.missing = list(measurements.missing)
        fields.quality = _faults(measurements, epoch)
        fields.trends = {
            name: list(epochs[epoch])
            for name, epochs in measurements.trends.items()
            if epochs[epoch]
        }
    if scoring is not None and epoch < scoring.n_epochs:
        fields.stage = scoring.stages[epoch]
        fields.events = _events_within(scoring, epoch)
        fields.no_event = scoring.has_events and not fields.events
        if scoring.has_events:
            fields.context.event_count = len(fields.events)
            fields.context.event_cover_s = _covered_s(fields.events)
    return fields


def _faults(measurements: NightMeasurements, epoch: int) -> dict[str, list[str]]:
    named = [(int(flag), str(flag.name).lower()) for flag in Quality if flag]
    faults = {
        channel: [
            name for flag, name in named if int(flags[epoch]) & flag and name in QUALITY_WORDS
        ]
        for channel, flags in measurements.quality.items()
    }
    return {channel: names for channel, names in faults.items() if names}


def _covered_s(events: Sequence[CaptionEvent]) -> float:
    """Seconds that lie in any of the events, which are sorted by their start."""
    covered_s = until_s = 0.0
    for event in events:
        covered_s += max(event.end_s - max(event.start_s, until_s), 0.0)
        until_s = max(until_s, event.end_s)
    return round(covered_s, 3)


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
