"""What people type when they look for an epoch: short, partial, without numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sleeplm.captions import CaptionFields
from sleeplm.prompts import EVENT_PHRASES

__all__ = ["short_form"]

_STAGES = {
    "W": ("wake", "wakefulness"),
    "N1": ("N1", "N1 sleep", "drowsy light sleep"),
    "N2": ("N2", "N2 sleep", "stable light sleep", "stage N2"),
    "N3": ("N3", "deep sleep", "slow-wave sleep", "N3 sleep"),
    "R": ("REM", "REM sleep", "dream sleep", "rapid eye movement sleep"),
}
_POSITIONS = {
    "supine": ("on the back", "supine"),
    "left": ("on the left side",),
    "right": ("on the right side",),
    "prone": ("on the stomach", "prone"),
    "upright": ("sitting up", "upright"),
}
_QUIET = ("quiet {}", "undisturbed {}", "{} without events", "{}, nothing happens", "calm {}")
_WITH_STAGE = ("{} in {}", "{} during {}", "{}, {}", "{} while in {}")
_ASKED = ("epochs with {}", "show me {}", "where is {}", "an epoch with {}", "{}", "{}", "{}")


#: (field, above, below, stages in which the words are true, words). A share of delta is called slow
#: waves only in deep enough sleep, one of sigma spindles only in sleep: awake both are artefact.
_SIGNS: tuple[tuple[str, float, float, tuple[str, ...], tuple[str, ...]], ...] = (
    ("eeg_c3_delta_pct", 75.0, np.inf, ("N2", "N3"), ("slow waves", "slow-wave activity")),
    ("eeg_c3_delta_pct", 75.0, np.inf, tuple(_STAGES), ("strong delta activity",)),
    ("eeg_c3_alpha_pct", 25.0, np.inf, ("W", "N1"), ("alpha rhythm",)),
    ("eeg_c3_alpha_pct", 25.0, np.inf, tuple(_STAGES), ("strong alpha activity",)),
    ("eeg_c3_sigma_pct", 8.0, np.inf, ("N2", "N3"), ("sleep spindles", "spindle activity")),
    ("eeg_c3_beta_pct", 15.0, np.inf, tuple(_STAGES), ("fast EEG activity", "much beta activity")),
    ("eog_l_slow_pct", 60.0, np.inf, ("W", "N1"), ("slow eye movements", "rolling eyes")),
    ("spo2_min_pct", -np.inf, 88.0, tuple(_STAGES), ("low oxygen saturation", "hypoxemia")),
    ("hr_mean_bpm", -np.inf, 50.0, tuple(_STAGES), ("a slow heart",)),
    ("hr_mean_bpm", 90.0, np.inf, tuple(_STAGES), ("a fast heart",)),
    ("af_rate_bpm", 22.0, np.inf, tuple(_STAGES), ("fast breathing",)),
    ("af_rate_bpm", -np.inf, 10.0, tuple(_STAGES), ("slow breathing",)),
    ("thx_interval_sd_s", 1.2, np.inf, tuple(_STAGES), ("irregular breathing",)),
    ("emg_burst_ratio", 6.0, np.inf, tuple(_STAGES), ("bursts of muscle activity",)),
    ("emg_burst_ratio", 8.0, np.inf, ("R",), ("twitches in REM",)),
)


def _signs(fields: CaptionFields) -> list[tuple[str, ...]]:
    """What stands out in the measurements; thresholds are wide of the ordinary."""
    return [
        words
        for name, low, high, stages, words in _SIGNS
        if fields.stage in stages and low < fields.values.get(name, np.nan) < high
    ]


def _choose(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def short_form(fields: CaptionFields, rng: np.random.Generator) -> str:
    """A short text that fits the epoch: stage, event kinds, position, what stands out.

    Parameters
    ----------
    fields : CaptionFields
        Of all systems.
    rng : numpy Generator
        Decides what is named and how.

    Returns
    -------
    str
        ``"obstructive apnea with oxygen desaturation in REM sleep"``,
        ``"quiet deep sleep, slow waves"`` …; true of the epoch, never complete.
    """
    stage = _choose(rng, _STAGES[fields.stage]) if fields.stage in _STAGES else None
    kinds = list(dict.fromkeys(event.kind for event in fields.events))
    if kinds:
        named = kinds if rng.random() < 0.7 else [_choose(rng, kinds)]
        names = [_choose(rng, EVENT_PHRASES[kind][:2]) for kind in named[:3]]
        text = names[0]
        if len(names) > 1:
            text += _choose(
                rng,
                (" with ", " and ", " followed by ")
                if _in_order(fields, named)
                else (" with ", " and "),
            ) + " and ".join(names[1:])
        if stage is not None and rng.random() < 0.7:
            text = _choose(rng, _WITH_STAGE).format(text, stage)
    elif stage is not None:
        text = (
            _choose(rng, _QUIET).format(stage) if fields.no_event and rng.random() < 0.6 else stage
        )
    else:
        text = "unscored epoch"
    signs = _signs(fields)
    if signs and rng.random() < 0.5:
        text += ", " + _choose(rng, signs[int(rng.integers(len(signs)))])
    if fields.position in _POSITIONS and rng.random() < 0.25:
        text += " " + _choose(rng, _POSITIONS[fields.position])
    return _choose(rng, _ASKED).format(text)


def _in_order(fields: CaptionFields, kinds: Sequence[str]) -> bool:
    """Whether the first kind ends before the second starts, so that "followed by" is true."""
    if len(kinds) != 2:
        return False
    first, second = ([event for event in fields.events if event.kind == kind] for kind in kinds)
    return max(event.end_s for event in first) <= min(event.start_s for event in second)
