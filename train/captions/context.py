"""The place of every epoch in its night, from its scoring and its measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from sleeplm.caption_context import NEAR_KINDS, NEAR_S, EpochContext
from sleeplm.physiology import NightMeasurements
from sleeplm.scoring import EPOCH_S, SLEEP_STAGES, UNSCORED, Scoring

__all__ = ["epoch_contexts"]

EPOCH_MIN = EPOCH_S / 60.0
#: Periods of REM sleep are one where less than this lies between them (Feinberg & Floyd,
#: Psychophysiology 1979;16:283).
LEAST_BETWEEN_REM_MIN = 15.0
#: Epochs of known heart rate that make a night's median: half an hour.
LEAST_FOR_MEDIAN = 60


def epoch_contexts(
    measurements: NightMeasurements | None, scoring: Scoring | None
) -> list[EpochContext]:
    """Context of each epoch of a night; what neither source knows stays None.

    Parameters
    ----------
    measurements : NightMeasurements or None
    scoring : Scoring or None
        Aligned with the recording.

    Returns
    -------
    list of EpochContext
        As long as the longer of the two. ``event_count`` and ``event_cover_s`` are left to
        :func:`train.captions.epoch_fields`, which knows the epoch's events.
    """
    n_measured = measurements.n_epochs if measurements is not None else 0
    n_scored = scoring.n_epochs if scoring is not None else 0
    contexts = [EpochContext() for _ in range(max(n_measured, n_scored))]
    if scoring is not None:
        _stages(contexts, scoring.stages)
        _neighbours(contexts, scoring)
    if measurements is not None:
        _positions(contexts, measurements)
        _depths(contexts, measurements)
        _heart(contexts, measurements)
    return contexts


def _stages(contexts: list[EpochContext], stages: tuple[str, ...]) -> None:
    first = 0
    for stage, run in groupby(stages):
        length = len(list(run))
        for index in range(first, first + length):
            context = contexts[index]
            if stage != UNSCORED:
                context.in_stage_min = (index - first + 1) * EPOCH_MIN
            context.previous_stage = _scored(stages[index - 1]) if index else None
            context.next_stage = _scored(stages[index + 1]) if index + 1 < len(stages) else None
        first += length
    asleep = np.flatnonzero(np.isin(np.array(stages, dtype=object), SLEEP_STAGES))
    if not len(asleep):
        return
    onset, end = int(asleep[0]), int(asleep[-1]) + 1
    for index in range(len(stages)):
        context = contexts[index]
        if index < onset:
            context.night_part = "before_sleep"
            continue
        context.since_onset_min = (index - onset) * EPOCH_MIN
        third = 3 * (index - onset) // (end - onset)
        parts = ("first_third", "middle_third", "last_third", "after_sleep")
        context.night_part = parts[min(third, 3)]
    period, last_rem = 0, -math.inf
    for index in np.flatnonzero(np.array(stages, dtype=object) == "R").tolist():
        if (index - last_rem - 1) * EPOCH_MIN >= LEAST_BETWEEN_REM_MIN:
            period += 1
        contexts[index].rem_period = period
        last_rem = index


def _scored(stage: str) -> str | None:
    return None if stage == UNSCORED else stage


def _neighbours(contexts: list[EpochContext], scoring: Scoring) -> None:
    middle_s = (np.arange(len(contexts)) + 0.5) * EPOCH_S

    def nearby(kinds: Sequence[str]) -> np.ndarray:
        onsets_s = np.sort([event.onset_s for event in scoring.events_of(kinds)])
        first = np.searchsorted(onsets_s, middle_s - NEAR_S / 2)
        return np.searchsorted(onsets_s, middle_s + NEAR_S / 2) - first

    for group, kinds in NEAR_KINDS.items():
        if any(scoring.looked_for(kind) for kind in kinds):
            for context, count in zip(contexts, nearby(kinds).tolist(), strict=True):
                context.near[group] = count
    for kind in NEAR_KINDS["breathing"]:
        for context, count in zip(contexts, nearby((kind,)).tolist(), strict=True):
            all_kinds = context.near.get("breathing", 0)
            if all_kinds >= 2 and 2 * count > all_kinds:
                context.breathing_kind = kind


def _positions(contexts: list[EpochContext], measurements: NightMeasurements) -> None:
    names = [measurements.position(index) for index in range(measurements.n_epochs)]
    first, before = 0, None
    for name, run in groupby(names):
        length = len(list(run))
        known = name not in (None, "unknown")
        for index in range(first, first + length):
            if known:
                contexts[index].position_min = (index - first + 1) * EPOCH_MIN
                contexts[index].previous_position = before
        first += length
        before = name if known else None


def _depths(contexts: list[EpochContext], measurements: NightMeasurements) -> None:
    for onset_s, duration_s, baseline_pct, nadir_pct in measurements.desaturations:
        first = int(onset_s // EPOCH_S)
        last = min(int((onset_s + duration_s) // EPOCH_S), len(contexts) - 1)
        for context in contexts[first : last + 1]:
            depth = round(float(baseline_pct - nadir_pct), 3)
            context.desaturation_depth_pct = max(context.desaturation_depth_pct or 0.0, depth)


def _heart(contexts: list[EpochContext], measurements: NightMeasurements) -> None:
    """From the oximeter's or the monitor's rate; from the ECG's beats where there is neither."""
    for name in ("hr_mean_bpm", "ecg_rate_bpm"):
        rates = measurements.values[name]
        if np.isfinite(rates).sum() >= LEAST_FOR_MEDIAN:
            median = float(np.nanmedian(rates))
            for index in np.flatnonzero(np.isfinite(rates)):
                contexts[index].hr_vs_night_bpm = round(float(rates[index]) - median, 3)
            return
