"""More ways to name an event, beside the canonical phrases: what grounding learns to hear.

With one phrase for each kind the text tower learns six names; with many it learns that what is said
matters and how it is said does not. :data:`UNSEEN` is never trained on: it tells how well words
that are new are found on the signals (``localization`` in the evaluation).
"""

from __future__ import annotations

from sleeplm.prompts import EVENT_PHRASES

__all__ = ["UNSEEN", "WORDINGS"]

_MORE: dict[str, tuple[str, ...]] = {
    "obstructive_apnea": (
        "obstructive apneas",
        "OSA event",
        "no airflow while the chest and abdomen keep moving",
        "blocked breathing with effort against a closed airway",
        "apnea with respiratory effort",
        "the airway is obstructed",
    ),
    "central_apnea": (
        "central apneas",
        "CSA event",
        "no airflow and no movement of chest and abdomen",
        "breathing stops without any effort",
        "apnea without respiratory effort",
        "a pause in the drive to breathe",
    ),
    "mixed_apnea": (
        "mixed apneas",
        "an apnea without effort at first and with effort at the end",
        "effort returns before the airflow does",
        "central start, obstructive end",
    ),
    "hypopnea": (
        "hypopneas",
        "shallow breathing",
        "partial reduction of airflow",
        "the breaths become small for a while",
        "reduced airflow for ten seconds or more",
    ),
    "rera": ("reras", "effort rises breath by breath until an arousal"),
    "desaturation": (
        "desaturations",
        "oxygen drops",
        "a dip in SpO2",
        "SpO2 falls by three percent or more",
        "the oxygen saturation goes down",
    ),
    "arousal": (
        "arousals",
        "a sudden shift to faster EEG",
        "a short burst of alpha in sleep",
        "the sleeper is aroused",
        "abrupt speeding up of the EEG",
    ),
    "limb_movement": ("leg movements", "a leg kick"),
    "plm": ("periodic limb movements", "leg kicks that repeat every half minute"),
    "cheyne_stokes": ("breathing that swells and fades in cycles",),
}

#: Kind → every wording that grounding is trained with, the canonical phrases first.
WORDINGS: dict[str, tuple[str, ...]] = {
    kind: (*phrases, *_MORE.get(kind, ())) for kind, phrases in EVENT_PHRASES.items()
}

#: Kind → wordings that no training text holds.
UNSEEN: dict[str, tuple[str, ...]] = {
    "obstructive_apnea": (
        "breathing effort continues but no air flows",
        "an apnea in which the chest still works",
        "obstructed breathing with no airflow at all",
    ),
    "central_apnea": (
        "an apnea in which chest and abdomen are still",
        "no effort and no airflow",
        "a central pause in breathing",
    ),
    "mixed_apnea": ("an apnea that begins without effort and ends with it",),
    "hypopnea": (
        "smaller breaths than before",
        "airflow falls but goes on",
        "a partial reduction of breathing",
    ),
    "desaturation": (
        "a drop in saturation",
        "the SpO2 goes down and recovers",
        "less oxygen in the blood for a while",
    ),
    "arousal": (
        "a short awakening",
        "fast EEG activity for a few seconds in sleep",
        "an abrupt shift of the EEG frequency",
    ),
}
