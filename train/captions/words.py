"""The words of the varied captions: labels, items, relations, connectors, frames.

Everything here is read back by :func:`sleeplm.captions.parse_caption`; a test renders and reads
thousands of captions to see to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

_Option = TypeVar("_Option")

LABELS: dict[str, tuple[str, ...]] = {
    "EOG_L": ("Left EOG movement", "Left EOG", "Left eye movement", "Left EOG activity"),
    "BOTH_EOGS": ("Both EOGs", "Both eyes"),
    "EOG_R": ("Right EOG movement", "Right EOG", "Right eye movement", "Right EOG activity"),
    "EEG_C3_A2": ("Central EEG activity (C3-A2)", "C3-A2", "Central EEG C3-A2", "EEG (C3-A2)"),
    "EEG_C4_A1": ("Central EEG activity (C4-A1)", "C4-A1", "Central EEG C4-A1", "EEG (C4-A1)"),
    "ECG": ("Electrocardiogram", "ECG"),
    "HR": ("Heart rate", "Heart rate (HR channel)"),
    "SPO2": ("Blood oxygen saturation", "Oxygen saturation", "Oxygen saturation (SpO2)"),
    "ABD": ("Abdominal respiration", "Abdominal belt", "Abdominal effort", "Abdomen"),
    "THX": ("Thoracic respiration", "Thoracic belt", "Thoracic effort", "Thorax"),
    "AF": ("Air flow", "Airflow"),
    "EMG_CHIN": ("Chin EMG activity", "Chin EMG", "Chin muscle activity"),
}
BAND = ("{} relative power", "{} power", "{} activity", "{}")


def _bands(band: str) -> tuple[str, ...]:
    return tuple(form.format(band) for form in BAND)


ITEMS: dict[str, tuple[str, ...]] = {
    "slow_pct": (
        "slow eye movement relative power",
        "slow eye movement power",
        "slow rolling eye movements",
        "slow eye movements",
    ),
    "saccade_pct": (
        "REM saccadic relative power",
        "saccadic relative power",
        "saccades",
        "saccadic power",
    ),
    "delta_pct": _bands("delta"),
    "theta_pct": _bands("theta"),
    "alpha_pct": _bands("alpha"),
    "sigma_pct": _bands("sigma"),
    "beta_pct": _bands("beta"),
    "spindle_count": ("number of sleep spindles", "spindle count", "sleep spindles"),
    "slow_wave_count": ("number of slow waves", "slow wave count", "slow waves"),
    "rem_count": ("number of rapid eye movements", "rapid eye movements"),
    "rem_burst_count": (
        "number of bursts of rapid eye movements",
        "eye movement bursts",
        "bursts of rapid eye movements",
    ),
    "ecg_rate_bpm": ("estimated beat rate", "beat rate", "estimated heartbeat rate"),
    "rmssd_ms": ("ultra-short HRV (RMSSD)", "RMSSD", "heart rate variability (RMSSD)"),
    "min_bpm": ("minimum", "lowest value", "minimum value"),
    "max_bpm": ("maximum", "highest value", "maximum value"),
    "mean_bpm": ("mean", "average", "mean value"),
    "min_pct": ("minimum", "lowest value", "minimum value"),
    "mean_pct": ("mean", "average", "mean value"),
    "baseline_pct": ("baseline", "resting baseline", "baseline value"),
    "af_rate_bpm": ("airflow rate", "breathing rate", "air flow rate"),
    "rate_bpm": ("respiratory rate", "breathing rate", "respiration rate"),
    "interval_sd_s": (
        "breath interval variability",
        "variability of breath intervals",
        "breath-to-breath variability",
    ),
    "flatness": ("inspiratory flow flatness", "inspiratory flatness", "flow flatness"),
    "reduction_pct": ("flow reduction", "airflow reduction", "reduction of flow"),
    "phase_max_deg": (
        "largest thoraco-abdominal asynchrony",
        "greatest asynchrony of effort",
        "maximum thoraco-abdominal phase angle",
    ),
    "phase_deg": (
        "thoraco-abdominal asynchrony",
        "thoraco-abdominal phase angle",
        "asynchrony of effort",
    ),
    "median_hz": ("median frequency",),
    "burst_ratio": ("burst intensity ratio", "burst ratio"),
    "burst_rate_hz": ("burst modulation rate", "burst rate"),
}
#: Between an item and its number where the sentence lists noun phrases …
EXACT_RELATIONS = (
    " of ",
    " at ",
    " equal to ",
    " measuring ",
    " valued at ",
    " reaching ",
    " standing at ",
)
ROUNDED_RELATIONS = (
    " of approximately ",
    " at around ",
    " of about ",
    " close to ",
    " of roughly ",
    " near ",
    " of nearly ",
    " of some ",
    " measured at roughly ",
)
#: … and where each item is a clause of its own, after a colon.
EXACT_CLAUSE_RELATIONS = (" is ", " = ", " ", " equals ", " at ", " of ")
ROUNDED_CLAUSE_RELATIONS = (" is about ", " about ", " near ", " is close to ", " around ")
#: Before a rounded number that stands in front of its item.
ROUGHLY = ("about ", "around ", "roughly ", "approximately ", "")
CONNECTORS = (
    ", along with ",
    ", plus ",
    ", together with ",
    ", in addition to ",
    ", accompanied by ",
    ", as well as ",
    ", and ",
    ", followed by ",
    ", ",
)
LAST_CONNECTORS = (", and lastly ", ", and finally ", ", and ", " and ")
CLAUSE_CONNECTORS = (", ", "; ", ", ")
LAST_CLAUSE_CONNECTORS = (", and ", " and ", "; ", ", ")
VERBS = ("shows", "features", "displays", "exhibits", "has")
PLURAL_VERBS = ("show", "feature", "display", "exhibit", "have")
#: What one reads off, and so may open with "On the".
TRACES = ("EEG", "EOG", "ECG", "EMG", "C3", "C4", "belt", "Electrocardiogram")
#: Two items are joined by one of these.
PAIR_CONNECTORS = (" and ", ", and ", " along with ", " as well as ")
#: Items that are counted take an article after a verb; shares of power and flatness take none.
NO_ARTICLE = ("_pct", "_flatness")
WITH_ARTICLE = ("spo2_min_pct", "spo2_mean_pct", "spo2_baseline_pct", "af_reduction_pct")
UNIT_FORMS = {
    "%": ("%", " %", " percent"),
    "bpm": (" bpm", " beats per minute", " beats/min"),
    "breaths/min": (" bpm", " breaths/min", " breaths per minute"),
    "ms": (" ms", " milliseconds"),
    "s": (" s", " seconds"),
    "Hz": (" Hz",),
    "deg": (" degrees", " deg"),
    "": ("",),
}
#: Ratios and fractions of seconds are rounded to one decimal, everything else to whole numbers.
ROUNDED_TO_TENTHS = (
    "_interval_sd_s",
    "_flatness",
    "_burst_ratio",
    "_burst_rate_hz",
)
NOT_RECORDED = (" not recorded.", " was not recorded.", " is unavailable.", " is missing.")
DIRECTION_WORDS = {
    "increasing": ("increasing", "rising"),
    "decreasing": ("decreasing", "falling"),
    "stable": ("stable", "steady"),
}
TREND_NOUNS = {
    "increasing": ("an increase", "a rise", "an increasing trend"),
    "decreasing": ("a decrease", "a fall", "a decreasing trend"),
    "stable": ("a stable course", "a steady course", "a stable trend"),
}
SPANS = (
    "from {:.1f} to {:.1f} seconds",
    "from {:.1f} to {:.1f} s",
    "between {:.1f} and {:.1f} seconds",
)
STAGE_NAMES = {
    "W": ("Wake", "wakefulness", "Wake"),
    "N1": ("Light sleep N1", "N1 sleep", "transitional light sleep (N1)", "light sleep (N1)"),
    "N2": ("Stable Light Sleep (N2)", "N2 sleep", "stable light sleep (N2)"),
    "N3": ("Deep Sleep (N3)", "N3 sleep", "slow-wave sleep (N3)", "deep sleep"),
    "R": ("REM Sleep", "REM sleep", "rapid eye movement sleep", "stage REM"),
}
WAKE_FRAMES = (
    "Wake.",
    "Wakefulness.",
    "The stage of this epoch is wake.",
    "The subject is awake.",
    "The patient is awake.",
    "This epoch belongs to wakefulness.",
    "Wakefulness is observed in this epoch.",
    "Sleep stage: wake.",
    "This segment is marked as wake.",
    "The epoch shows wakefulness.",
    "Wake throughout the epoch.",
    "The sleeper is awake during this epoch.",
    "This epoch is characterized by wakefulness.",
    "Wakefulness continues throughout this period.",
)
STAGE_FRAMES = (
    "{}.",
    "The stage of this epoch is {}.",
    "The subject is in {}.",
    "This epoch belongs to {}.",
    "{} is observed in this epoch.",
    "Sleep stage: {}.",
    "This segment is marked as {}.",
    "The epoch shows {}.",
    "{} throughout the epoch.",
    "The sleeper is in {} during this epoch.",
    "This epoch is characterized by {}.",
    "The state is {}.",
    "The patient is in {}.",
    "{} continues throughout this period.",
)
EVENT_FRAMES = (
    "{name} {span}.",
    "{name} detected {span}.",
    "{name} is observed {span}.",
    "There is {article} {plain} {span}.",
    "{name} occurs {span}.",
    "The epoch contains {article} {plain} {span}.",
    "{name} event {span}.",
    "{name} takes place {span}.",
    "{article_start} {plain} was noted {span}.",
    "During this epoch, {article} {plain} is seen {span}.",
)
NO_EVENTS = (
    "No event detected.",
    "No events were found.",
    "Nothing detected in this epoch.",
    "The epoch is free of events.",
    "No scored event in this epoch.",
    "Without any event.",
)
POSITION_FRAMES = (
    "Body position {}.",
    "Body position: {}.",
    "The body position is {}.",
    "The sleeper's position is {}.",
)
#: Where the position is a side, or a way to lie.
LYING_FRAMES = (
    "Body position: {}.",
    "The subject is lying {}.",
    "The sleeper lies {}.",
    "The patient is lying {} in this epoch.",
)
LYING = {
    "supine": "supine",
    "prone": "prone",
    "left": "on the left side",
    "right": "on the right side",
}


COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
#: No event of a system while others may have happened.
NONE_OF_SYSTEM = {
    "brain": "brain",
    "cardiac": "cardiac",
    "respiratory": "respiratory",
    "somatic": "movement",
}
NO_EVENT_OF = (
    "No {} event in this epoch.",
    "No {} event was detected.",
    "This epoch shows no {} events.",
)


def choose(rng: np.random.Generator, options: Sequence[_Option]) -> _Option:
    """One of the options, all equally likely."""
    return options[int(rng.integers(len(options)))]
