"""Caption fields → sentences: one fixed wording to learn and read, many varied ones to match.

The fixed wording has one order and one decimal, which a small decoder learns best; the varied one
spreads over relations, connectors, precision and order, so that the contrastive text tower meets
the ways in which the released captions and people put things.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sleeplm.captions import SYSTEMS, CaptionEvent, CaptionFields
from sleeplm.errors import CaptionError
from sleeplm.physiology import FIELDS
from sleeplm.prompts import EVENT_PHRASES

__all__ = ["STYLES", "joint_text", "render"]

STYLES = ("fixed", "varied")

_STAGE_FIXED = {
    "W": "Wake",
    "N1": "Light sleep (N1)",
    "N2": "Stable light sleep (N2)",
    "N3": "Deep sleep (N3)",
    "R": "REM sleep",
    "unscored": "Stage not scored",
}
#: (channel, label, [(field, item, unit, factor)]) in the order in which they are stated.
_FIXED: dict[str, tuple[tuple[str, str, tuple[tuple[str, str, str, float], ...]], ...]] = {
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
_NOTHING_RELIABLE = "No reliable measurement."


def render(
    fields: CaptionFields,
    system: str,
    *,
    style: str = "fixed",
    rng: np.random.Generator | None = None,
) -> str:
    """The caption of one system.

    Parameters
    ----------
    fields : CaptionFields
        Of any or all systems; only what belongs to ``system`` is stated.
    system : str
        One of :data:`sleeplm.captions.SYSTEMS`.
    style : str
        ``"fixed"`` or ``"varied"``.
    rng : numpy Generator
        Decides the varied wording; needed for it, and for it alone.

    Returns
    -------
    str
        Never empty.

    Raises
    ------
    CaptionError
        Unknown system or style, or the varied style without a generator.
    """
    if system not in SYSTEMS:
        raise CaptionError(f"system {system!r} is not known; use one of {', '.join(SYSTEMS)}")
    if style not in STYLES:
        raise CaptionError(f"style {style!r} is not known; use one of {', '.join(STYLES)}")
    if style == "fixed":
        return _fixed_stage_event(fields) if system == "stage_event" else _fixed(fields, system)
    if rng is None:
        raise CaptionError("the varied style needs rng, a numpy Generator that seeds the wording")
    return (
        _varied_stage_event(fields, rng)
        if system == "stage_event"
        else _varied(fields, system, rng)
    )


def joint_text(
    fields: CaptionFields,
    rng: np.random.Generator | None = None,
    style: str = "varied",
    systems: Sequence[str] = ("stage_event", "brain"),
) -> str:
    """Captions of several systems in one text, as the text tower is trained with them."""
    return " ".join(render(fields, system, style=style, rng=rng) for system in systems)


def _fixed(fields: CaptionFields, system: str) -> str:
    sentences = []
    for channel, label, items in _FIXED[system]:
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
    return " ".join(sentences) or _NOTHING_RELIABLE


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]


def _fixed_stage_event(fields: CaptionFields) -> str:
    sentences = [f"{_STAGE_FIXED[fields.stage or 'unscored']}."]
    sentences += [
        f"{_sentence_case(EVENT_PHRASES[event.kind][0])} "
        f"from {event.start_s:.1f} to {event.end_s:.1f} seconds."
        for event in fields.events
    ]
    if not fields.events and fields.no_event:
        sentences.append("No event detected.")
    return " ".join(sentences)


# --- varied wording ---------------------------------------------------------------------------

_LABELS: dict[str, tuple[str, ...]] = {
    "EOG_L": ("Left EOG movement", "Left EOG", "Left eye movement", "Left EOG activity"),
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
_BAND = ("{} relative power", "{} power", "{} activity", "{}")


def _bands(band: str) -> tuple[str, ...]:
    return tuple(form.format(band) for form in _BAND)


_ITEMS: dict[str, tuple[str, ...]] = {
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
    "beta_pct": _bands("beta"),
    "ecg_rate_bpm": ("estimated beat rate", "beat rate", "estimated heartbeat rate"),
    "rmssd_ms": ("ultra-short HRV (RMSSD)", "RMSSD", "heart rate variability (RMSSD)"),
    "min_bpm": ("minimum", "lowest value", "minimum value"),
    "max_bpm": ("maximum", "highest value", "maximum value"),
    "mean_bpm": ("mean", "average", "mean value"),
    "min_pct": ("minimum", "lowest value", "minimum value"),
    "mean_pct": ("mean", "average", "mean value"),
    "af_rate_bpm": ("airflow rate", "breathing rate", "air flow rate"),
    "rate_bpm": ("respiratory rate", "breathing rate", "respiration rate"),
    "interval_sd_s": (
        "breath interval variability",
        "variability of breath intervals",
        "breath-to-breath variability",
    ),
    "flatness": ("inspiratory flow flatness", "inspiratory flatness", "flow flatness"),
    "median_hz": ("median frequency",),
    "burst_ratio": ("burst intensity ratio", "burst ratio"),
    "burst_rate_hz": ("burst modulation rate", "burst rate"),
}
_EXACT_RELATIONS = (" of ", " at ", " equal to ", " measuring ", " valued at ", " ")
_ROUNDED_RELATIONS = (
    " of approximately ",
    " at around ",
    " of about ",
    " close to ",
    " of roughly ",
    " near ",
    " about ",
)
_CONNECTORS = (
    ", along with ",
    ", plus ",
    ", together with ",
    ", in addition to ",
    ", accompanied by ",
    ", including ",
    ", as well as ",
    ", and ",
    ", followed by ",
    ", ",
    "; ",
)
_LAST_CONNECTORS = (", and lastly ", ", and finally ", ", and ", " and ")
_OPENINGS = (": ", " shows ", " with ", " features ", ": ", " carries ", " displays ")
_UNIT_FORMS = {
    "%": ("%", " %", " percent"),
    "bpm": (" bpm", " beats per minute", " beats/min"),
    "breaths/min": (" bpm", " breaths/min", " breaths per minute"),
    "ms": (" ms", " milliseconds"),
    "s": (" s", " seconds"),
    "Hz": (" Hz",),
    "": ("",),
}
#: Ratios and fractions of seconds are rounded to one decimal, everything else to whole numbers.
_ROUNDED_TO_TENTHS = (
    "_interval_sd_s",
    "_flatness",
    "_burst_ratio",
    "_burst_rate_hz",
)
_NOT_RECORDED = (" not recorded.", " was not recorded.", " is unavailable.", " is missing.")
_DIRECTION_WORDS = {
    "increasing": ("increasing", "rising"),
    "decreasing": ("decreasing", "falling"),
    "stable": ("stable", "steady"),
}
_SPANS = (
    "from {:.1f} to {:.1f} seconds",
    "from {:.1f} to {:.1f} s",
    "between {:.1f} and {:.1f} seconds",
)
_STAGE_NAMES = {
    "W": ("Wake", "wakefulness", "Wake"),
    "N1": ("Light sleep N1", "N1 sleep", "transitional light sleep (N1)", "light sleep (N1)"),
    "N2": ("Stable Light Sleep (N2)", "N2 sleep", "stable light sleep (N2)"),
    "N3": ("Deep Sleep (N3)", "N3 sleep", "slow-wave sleep (N3)", "deep sleep"),
    "R": ("REM Sleep", "REM sleep", "rapid eye movement sleep", "stage REM"),
}
_STAGE_FRAMES = (
    "{}.",
    "The stage of this epoch is {}.",
    "The subject is in {}.",
    "This epoch belongs to {}.",
    "{} is observed in this epoch.",
    "Sleep stage: {}.",
    "This segment is marked as {}.",
    "The epoch shows {}.",
    "{} throughout the epoch.",
)
_EVENT_FRAMES = (
    "{name} {span}.",
    "{name} detected {span}.",
    "{name} is observed {span}.",
    "There is {article} {plain} {span}.",
    "{name} occurs {span}.",
    "The epoch contains {article} {plain} {span}.",
    "{name} event {span}.",
)
_NO_EVENTS = (
    "No event detected.",
    "No events were found.",
    "Nothing detected in this epoch.",
    "The epoch is free of events.",
    "No scored event in this epoch.",
    "Without any event.",
)
_POSITION_FRAMES = (
    "Body position {}.",
    "Body position: {}.",
    "The body position is {}.",
    "The subject is lying {}.",
    "Position is {}.",
)
_LYING = {
    "supine": "supine",
    "prone": "prone",
    "left": "on the left side",
    "right": "on the right side",
}


def _choose(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _item_words(name: str) -> tuple[str, ...]:
    """The wordings of a field, by the longest ending of its name that the table knows."""
    ending = max((key for key in _ITEMS if name.endswith(key)), key=len)
    return _ITEMS[ending]


def _varied_value(name: str, value: float, rng: np.random.Generator) -> str:
    unit = _choose(rng, _UNIT_FORMS[FIELDS[name].unit])
    item = _choose(rng, _item_words(name))
    if rng.random() < 0.35:
        digits = 1 if name.endswith(_ROUNDED_TO_TENTHS) else 0
        number = f"{_choose(rng, _ROUNDED_RELATIONS)}{value:.{digits}f}"
    else:
        digits = 1 if name == "ecg_rate_bpm" or rng.random() < 0.4 else 2
        if name == "af_flatness" or name.endswith("_interval_sd_s"):
            digits = 2
        number = f"{_choose(rng, _EXACT_RELATIONS)}{value:.{digits}f}"
    return f"{item}{number}{unit}"


def _varied(fields: CaptionFields, system: str, rng: np.random.Generator) -> str:
    sentences = []
    for channel, _, items in _FIXED[system]:
        label = _choose(rng, _LABELS[channel])
        if channel in fields.missing:
            sentences.append(label + _choose(rng, _NOT_RECORDED))
            continue
        stated = [
            _varied_value(name, fields.values[name], rng)
            for name, *_ in items
            if name in fields.values and rng.random() >= 0.1
        ]
        if rng.random() < 0.3:
            rng.shuffle(stated)
        trend = {"HR": "hr", "SPO2": "spo2"}.get(channel)
        if trend in fields.trends and rng.random() < 0.7:
            stated += _varied_trends(fields.trends[trend], rng)
        if not stated:
            continue
        text = label + _choose(rng, _OPENINGS) + stated[0]
        for number, item in enumerate(stated[1:], start=1):
            last = number == len(stated) - 1
            text += _choose(rng, _LAST_CONNECTORS if last else _CONNECTORS) + item
        sentences.append(text + ".")
    if system == "somatic":
        sentences += _varied_position(fields, rng)
    if rng.random() < 0.3:
        rng.shuffle(sentences)
    return " ".join(sentences) or _NOTHING_RELIABLE


def _varied_trends(trends: list[tuple[str, float, float]], rng: np.random.Generator) -> list[str]:
    frame = _choose(rng, _SPANS)
    return [
        f"{_choose(rng, _DIRECTION_WORDS[direction])} {frame.format(start_s, end_s)}"
        for direction, start_s, end_s in trends
    ]


def _varied_position(fields: CaptionFields, rng: np.random.Generator) -> list[str]:
    if "POS" in fields.missing:
        return ["Body position" + _choose(rng, (" not recorded.", " was not recorded."))]
    if fields.position is None:
        return []
    frame = _choose(rng, _POSITION_FRAMES)
    if "lying" in frame:
        if fields.position not in _LYING:
            return [f"Body position {fields.position}."]
        return [frame.format(_LYING[fields.position])]
    return [frame.format(fields.position)]


def _varied_event(event: CaptionEvent, rng: np.random.Generator) -> str:
    plain = _choose(rng, EVENT_PHRASES[event.kind][:2])
    span = _choose(rng, _SPANS).format(event.start_s, event.end_s)
    return _choose(rng, _EVENT_FRAMES).format(
        name=_sentence_case(plain),
        plain=plain,
        article="an" if plain[0] in "aeiou" else "a",
        span=span,
    )


def _varied_stage_event(fields: CaptionFields, rng: np.random.Generator) -> str:
    sentences = []
    if fields.stage in _STAGE_NAMES:
        name = _choose(rng, _STAGE_NAMES[fields.stage])
        sentences.append(_sentence_case(_choose(rng, _STAGE_FRAMES).format(name)))
    else:
        sentences.append("Stage not scored.")
    sentences += [_varied_event(event, rng) for event in fields.events]
    if not fields.events and fields.no_event:
        sentences.append(_choose(rng, _NO_EVENTS))
    return " ".join(sentences)
