"""The phrases by which stages, events and positions are asked of the model.

Zero-shot reading averages the text embeddings of several wordings of one thing, so every entry is
a tuple of phrases and the first is the canonical one: the wording that captions and the grounding
head are trained with. The wordings follow the released captions (Xu et al. 2026).
"""

from __future__ import annotations

__all__ = [
    "EVENT_PHRASES",
    "NO_EVENT_PROMPTS",
    "POSITION_PROMPTS",
    "RELEASED_STAGE_PROMPTS",
    "STAGE_PHRASES",
    "STAGE_PROMPTS",
    "event_kind_of",
    "event_prompts",
]

STAGE_PHRASES: dict[str, str] = {
    "W": "Wake",
    "N1": "Light sleep N1",
    "N2": "Stable Light Sleep (N2)",
    "N3": "Deep Sleep (N3)",
    "R": "REM Sleep",
}

STAGE_PROMPTS: dict[str, tuple[str, ...]] = {
    "W": (
        "Wake.",
        "The stage of this epoch is Wake.",
        "The subject is awake in this epoch.",
        "This epoch is scored as Wake.",
    ),
    "N1": (
        "N1 sleep.",
        "The stage of this epoch is Light sleep N1.",
        "The subject is in Light sleep N1 in this epoch.",
        "This epoch is scored as Light sleep N1.",
    ),
    "N2": (
        "N2 sleep.",
        "The stage of this epoch is Stable Light Sleep (N2).",
        "The subject is in Stable Light Sleep (N2) in this epoch.",
        "This epoch is scored as Stable Light Sleep (N2).",
    ),
    "N3": (
        "N3 sleep.",
        "The stage of this epoch is Deep Sleep (N3).",
        "The subject is in Deep Sleep (N3) in this epoch.",
        "This epoch is scored as Deep Sleep (N3).",
    ),
    "R": (
        "REM sleep.",
        "The stage of this epoch is REM Sleep.",
        "The subject is in REM Sleep in this epoch.",
        "This epoch is scored as REM Sleep.",
    ),
}

RELEASED_STAGE_PROMPTS: dict[str, tuple[str, ...]] = {
    stage: (
        f"The patient exhibits {phrase} features in this segment.",
        f"The stage of this epoch is {phrase}.",
        f"This epoch shows {phrase}.",
        f"The segment is characterized by {phrase}.",
        f"{phrase} is observed throughout the epoch.",
    )
    for stage, phrase in STAGE_PHRASES.items()
}
"""Whole sentences as the released captions word the stage, for the official weights."""

NO_EVENT_PROMPTS: tuple[str, ...] = (
    "No event was detected in this epoch.",
    "No events were detected.",
    "Nothing was detected in this segment.",
)
"""What an epoch without the thing asked for would be called: the other side of a comparison."""

EVENT_PHRASES: dict[str, tuple[str, ...]] = {
    "obstructive_apnea": (
        "obstructive apnea",
        "obstructive apnoea",
        "an obstructive apnea event",
        "airflow stops while the effort to breathe goes on",
    ),
    "central_apnea": (
        "central apnea",
        "central apnoea",
        "a central apnea event",
        "airflow and the effort to breathe both stop",
    ),
    "mixed_apnea": (
        "mixed apnea",
        "mixed apnoea",
        "a mixed apnea event",
        "an apnea that starts central and ends obstructive",
    ),
    "hypopnea": (
        "hypopnea",
        "hypopnoea",
        "a hypopnea event",
        "airflow is reduced but does not stop",
    ),
    "rera": (
        "respiratory effort related arousal",
        "rera",
        "a respiratory effort-related arousal",
        "flow limitation that ends in an arousal",
    ),
    "desaturation": (
        "oxygen desaturation",
        "desaturation",
        "an oxygen desaturation event",
        "a fall in oxygen saturation",
    ),
    "arousal": (
        "arousal",
        "an arousal event",
        "eeg arousal",
        "a brief awakening of the brain",
    ),
    "limb_movement": (
        "limb movement",
        "leg movement",
        "a limb movement event",
        "a movement of the leg",
    ),
    "plm": (
        "periodic limb movement",
        "periodic leg movement",
        "plm",
        "a periodic limb movement event",
    ),
    "snore": ("snore", "snoring", "a snoring event", "snoring sound in the airflow"),
    "bradycardia": (
        "bradycardia",
        "slow heart rate",
        "a bradycardia event",
        "the heart beats too slowly",
    ),
    "tachycardia": (
        "tachycardia",
        "fast heart rate",
        "a tachycardia event",
        "the heart beats too fast",
    ),
    "cheyne_stokes": (
        "cheyne-stokes breathing",
        "cheyne-stokes respiration",
        "waxing and waning breathing",
        "crescendo and decrescendo breathing with central pauses",
    ),
    "artifact": ("artifact", "signal artifact", "an artifact in the signal", "signal loss"),
}

POSITION_PROMPTS: dict[str, tuple[str, ...]] = {
    "supine": (
        "Supine position.",
        "The subject lies on the back.",
        "The body position is supine.",
    ),
    "left": (
        "Left position.",
        "The subject lies on the left side.",
        "The body position is left.",
    ),
    "right": (
        "Right position.",
        "The subject lies on the right side.",
        "The body position is right.",
    ),
    "prone": (
        "Prone position.",
        "The subject lies on the stomach.",
        "The body position is prone.",
    ),
    "upright": (
        "Upright position.",
        "The subject is upright.",
        "The body position is upright.",
    ),
}


def event_prompts(kind: str) -> tuple[str, ...]:
    """Sentences by which the released captions state an event, at several times of the epoch."""
    name = EVENT_PHRASES[kind][0]
    return (
        f"The {name} event is identified from 0.0 to 30.0 seconds.",
        f"The {name} event is identified from 5.0 to 20.0 seconds.",
        f"{name.capitalize()} is observed from 0.0 to 15.2 seconds.",
        f"{name.capitalize()} is detected from 14.5 to 30.0 seconds.",
    )


def event_kind_of(text: str) -> str | None:
    """The event kind that a phrase names, whatever its case, or None for free text.

    Parameters
    ----------
    text : str
        ``"obstructive apnea"``, ``"Obstructive_Apnea"``, ``"oxygen desaturations"`` …
    """
    plain = " ".join(text.lower().replace("_", " ").split()).strip(" .")
    for kind, phrases in EVENT_PHRASES.items():
        names = {kind.replace("_", " "), *phrases}
        if plain in names or plain.removesuffix("s") in names:
            return kind
    return None
