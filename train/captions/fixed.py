"""The fixed wording, which a small decoder learns: one order, whole words, one decimal.

The shipped weights speak it and their vocabulary holds its words: it does not change.
"""

from __future__ import annotations

from sleeplm.captions import CaptionFields
from sleeplm.prompts import EVENT_PHRASES

__all__ = ["NOTHING_RELIABLE", "NOTHING_SCORED", "SECTIONS", "fixed_caption", "sentence_case"]

NOTHING_RELIABLE = "No reliable measurement."
NOTHING_SCORED = "Nothing was scored here."
_STAGE_FIXED = {
    "W": "Wake",
    "N1": "Light sleep (N1)",
    "N2": "Stable light sleep (N2)",
    "N3": "Deep sleep (N3)",
    "R": "REM sleep",
    "unscored": "Stage not scored",
}
#: (channel, label, [(field, item, unit, factor)]) in the order in which they are stated.
SECTIONS: dict[str, tuple[tuple[str, str, tuple[tuple[str, str, str, float], ...]], ...]] = {
    "brain": (
        *(
            (
                f"EOG_{side}",
                label,
                (
                    (f"eog_{side.lower()}_slow_pct", "slow eye movement power", " %", 1.0),
                    (f"eog_{side.lower()}_saccade_pct", "saccadic power", " %", 1.0),
                ),
            )
            for side, label in (("L", "Left EOG"), ("R", "Right EOG"))
        ),
        *(
            (
                f"EEG_{label.replace('-', '_')}",
                label,
                tuple(
                    (f"eeg_{side}_{band}_pct", band, " %", 1.0)
                    for band in ("delta", "theta", "alpha", "beta")
                ),
            )
            for side, label in (("c3", "C3-A2"), ("c4", "C4-A1"))
        ),
    ),
    "cardiac": (
        (
            "ECG",
            "ECG",
            (
                ("ecg_rate_bpm", "beat rate", " bpm", 1.0),
                ("ecg_rmssd_ms", "RMSSD", " ms", 1.0),
            ),
        ),
        (
            "HR",
            "Heart rate",
            (
                ("hr_min_bpm", "minimum", " bpm", 1.0),
                ("hr_max_bpm", "maximum", " bpm", 1.0),
                ("hr_mean_bpm", "mean", " bpm", 1.0),
            ),
        ),
        (
            "SPO2",
            "Oxygen saturation",
            (
                ("spo2_min_pct", "minimum", " %", 1.0),
                ("spo2_mean_pct", "mean", " %", 1.0),
            ),
        ),
    ),
    "respiratory": (
        *(
            (
                channel,
                label,
                (
                    (f"{channel.lower()}_rate_bpm", "rate", " breaths/min", 1.0),
                    (f"{channel.lower()}_interval_sd_s", "interval variability", " s", 1.0),
                ),
            )
            for channel, label in (("ABD", "Abdomen"), ("THX", "Thorax"))
        ),
        (
            "AF",
            "Airflow",
            (
                ("af_rate_bpm", "rate", " breaths/min", 1.0),
                # In percent, since one decimal of 0–1 would say too little.
                ("af_flatness", "flatness", " %", 100.0),
            ),
        ),
    ),
    "somatic": (
        (
            "EMG_CHIN",
            "Chin EMG",
            (
                ("emg_median_hz", "median frequency", " Hz", 1.0),
                ("emg_burst_ratio", "burst ratio", "", 1.0),
                ("emg_burst_rate_hz", "burst rate", " Hz", 1.0),
            ),
        ),
    ),
}


def fixed_caption(fields: CaptionFields, system: str) -> str:
    """The caption of one system in the one wording that there is for it."""
    return (
        _fixed_stage_event(fields)
        if system == "stage_event"
        else _fixed_measurements(fields, system)
    )


def _fixed_measurements(fields: CaptionFields, system: str) -> str:
    sentences = []
    for channel, label, items in SECTIONS[system]:
        if channel in fields.missing:
            sentences.append(f"{label} not recorded.")
            continue
        stated = [
            f"{item} {fields.values[name] * factor:.1f}{unit}"
            for name, item, unit, factor in items
            if name in fields.values
        ]
        if stated:
            sentences.append(f"{label}: {', '.join(stated)}.")
    if system == "somatic":
        if "POS" in fields.missing:
            sentences.append("Body position not recorded.")
        elif fields.position is not None:
            sentences.append(f"Body position {fields.position}.")
    return " ".join(sentences) or NOTHING_RELIABLE


def sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]


def _fixed_stage_event(fields: CaptionFields) -> str:
    sentences = [f"{_STAGE_FIXED[fields.stage or 'unscored']}."]
    sentences += [
        f"{sentence_case(EVENT_PHRASES[event.kind][0])} "
        f"from {event.start_s:.1f} to {event.end_s:.1f} seconds."
        for event in fields.events
    ]
    if not fields.events and fields.no_event:
        sentences.append("No event detected.")
    return " ".join(sentences)
