"""A night that nobody scored: stages by YASA, events by psgscoring.

Both work offline from their wheels and were validated by their authors on real nights; see
``docs/witnesses.md``. Research use only.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from sleeplm.autoscore.channels import Usable, usable_channels
from sleeplm.autoscore.legs import LegEmg, leg_signals
from sleeplm.autoscore.staging import LEAST_STAGING_S, stage
from sleeplm.errors import ScoringError
from sleeplm.scoring import EVENT_KINDS, UNSCORED, Scorer, Scoring

if TYPE_CHECKING:
    from sleeplm.recording import Recording

__all__ = [
    "DEFAULT_PROFILE",
    "LEAST_STAGING_S",
    "METHOD_VERSION",
    "autoscore",
    "method_versions",
    "why_not",
]

DEFAULT_PROFILE = "aasm_v3_breath_dual"
METHOD_VERSION = 5
"""Bump when the same packages would give another scoring (part of the cache key)."""
SCORABLE = ("EEG_C3_A2", "EEG_C4_A1", "AF", "SPO2")
Progress = Callable[[str, float], None]


def why_not(recording: Recording) -> str | None:
    """Why a recording cannot be scored automatically, in one sentence; None where it can.

    Looks at the length and the names of the channels only, so it costs nothing.
    """
    if recording.duration_s < LEAST_STAGING_S:
        return (
            f"{recording.duration_s / 60:.1f} min are too short to score automatically: stages "
            f"are not reliable below {LEAST_STAGING_S / 60:.0f} min"
        )
    if not any(name in recording.signals for name in SCORABLE):
        return "there is no EEG, airflow or SpO2 channel to score automatically"
    return None


def autoscore(
    recording: Recording,
    *,
    profile: str = DEFAULT_PROFILE,
    metadata: Mapping[str, float] | None = None,
    progress: Progress | None = None,
    legs: LegEmg | None = None,
) -> Scoring:
    """Score a night: stages with probabilities, and events with rule, confidence and evidence.

    Without EEG there are no stages (polygraphy): indices are per hour of valid recording, which
    ``analysed`` marks. What could not be looked for is not in ``scored_kinds``, and
    ``meta["why_not"]`` says why, by kind.

    Parameters
    ----------
    recording : Recording
        At least 30 minutes; 64-Hz signals in the units of the montage.
    profile : str
        psgscoring's rule profile, one of :data:`sleeplm.autoscore.breathing.PROFILES`.
    metadata : mapping, optional
        ``age`` (years) and ``male`` (1 or 0) of the person, used by the staging.
    progress : callable, optional
        Called with a phrase and a share of 1.
    legs : LegEmg, optional
        Leg EMG; by default it is read from the recording's file, where that has any.

    Raises
    ------
    ScoringError
        The recording is too short, or holds no channel that can be scored, or an argument is
        not usable.
    """
    from sleeplm.autoscore.breathing import PROFILES, score_events

    if profile not in PROFILES:
        raise ScoringError(
            f"rule profile {profile!r} is not known; use one of {', '.join(PROFILES)}"
        )
    reason = why_not(recording)
    if reason is not None:
        raise ScoringError(reason)
    tell = progress or (lambda phrase, share: None)
    usable = usable_channels(recording)
    if not any(name in usable.signals for name in SCORABLE):
        raise ScoringError(
            "no EEG, airflow or SpO2 channel measures anything: " + "; ".join(usable.problems)
        )
    with warnings.catch_warnings():
        # Both methods warn of divisions in flat epochs, which are left out here.
        warnings.simplefilter("ignore")
        tell("staging by YASA", 0.0)
        stages: tuple[str, ...] = (UNSCORED,) * recording.n_epochs
        probabilities = None
        if usable.eeg is not None:
            stages, probabilities = stage(usable, metadata)
        analysed = _analysed(usable, recording.n_epochs)
        found = score_events(
            recording,
            usable,
            _hypnogram(stages, analysed, staged=usable.eeg is not None),
            np.flatnonzero(~analysed).tolist(),
            profile,
            lambda phrase, share: tell(phrase, 0.3 + 0.7 * share),
            leg_signals(recording.path) if legs is None else legs,
        )
    problems = list(usable.problems)
    if usable.eeg is None:
        problems.append(
            "no EEG: sleep cannot be staged; indices are per hour of valid recording (polygraphy)"
        )
    if "arousal_detector_note" in found.details:
        problems.append(str(found.details["arousal_detector_note"]))
    tell("scored", 1.0)
    return Scoring(
        stages=stages,
        events=tuple(found.events),
        scorer=Scorer("automatic", "YASA + psgscoring", method_versions()),
        start=recording.start,
        probabilities=probabilities,
        has_events=bool(found.scored_kinds),
        scored_kinds=tuple(kind for kind in EVENT_KINDS if kind in found.scored_kinds),
        untyped_apneas=tuple(found.untyped_apneas),
        problems=tuple(problems),
        analysed=tuple(bool(value) for value in analysed),
        meta={
            "profile": profile,
            "eeg": usable.eeg,
            "why_not": found.why_not,
            "details": found.details,
        },
    )


def method_versions() -> str:
    """Versions of everything that decides what the automatic scoring is."""
    return f"yasa {version('yasa')}, psgscoring {version('psgscoring')}, method {METHOD_VERSION}"


def _analysed(usable: Usable, n_epochs: int) -> np.ndarray:
    """Epochs in which breathing (or without airflow: saturation) was recorded, bool [n_epochs]."""
    for name in ("AF", "SPO2"):
        if name in usable.good:
            return usable.good[name]
    return np.ones(n_epochs, dtype=bool)


def _hypnogram(stages: tuple[str, ...], analysed: np.ndarray, *, staged: bool) -> list[str]:
    """What psgscoring is told; without stages a valid epoch is N2, its own convention."""
    if not staged:
        return ["N2" if valid else "W" for valid in analysed]
    return ["W" if name == UNSCORED else name for name in stages]
