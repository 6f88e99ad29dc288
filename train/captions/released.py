"""The form of the released captions: their labels, items, order, units and digits.

What varies there varies here: the relation before a value, the connector before an item, articles,
a rounded value after "approximately", verbs around stage and events. Facts about the release, not
its sentences, are what this follows (Xu et al. 2026).
"""

from __future__ import annotations

import numpy as np

from sleeplm.captions import CaptionEvent, CaptionFields
from sleeplm.prompts import EVENT_PHRASES, RELEASED_STAGE_PROMPTS, STAGE_PHRASES
from train.captions.fixed import NOTHING_RELIABLE, SECTIONS
from train.captions.words import choose

__all__ = ["RELEASED_FIELDS", "released_caption"]

_LABELS = {
    "EOG_L": "Left EOG Movement",
    "EOG_R": "Right EOG Movement",
    "EEG_C3_A2": "Central EEG Activity (C3-A2)",
    "EEG_C4_A1": "Central EEG Activity (C4-A1)",
    "ECG": "Electrocardiogram",
    "HR": "Heart Rate",
    "SPO2": "Blood Oxygen Saturation",
    "ABD": "Abdominal Respiration",
    "THX": "Thoracic Respiration",
    "AF": "Air Flow",
    "EMG_CHIN": "Chin EMG Activity",
}
#: Ending of a field → (item, article, digits, unit); the longest ending counts.
_ITEMS: dict[str, tuple[str, str, int, str]] = {
    "slow_pct": ("slow eye movement relative power", "a", 2, "%"),
    "saccade_pct": ("REM saccadic relative power", "a", 2, "%"),
    "delta_pct": ("delta relative power", "a", 2, "%"),
    "theta_pct": ("theta relative power", "a", 2, "%"),
    "alpha_pct": ("alpha relative power", "an", 2, "%"),
    "beta_pct": ("beta relative power", "a", 2, "%"),
    "ecg_rate_bpm": ("estimated beat rate", "an", 1, " bpm"),
    "rmssd_ms": ("ultra-short HRV (RMSSD)", "an", 2, " ms"),
    "min_bpm": ("minimum", "a", 2, " bpm"),
    "max_bpm": ("maximum", "a", 2, " bpm"),
    "mean_bpm": ("mean", "a", 2, " bpm"),
    "min_pct": ("minimum", "a", 2, "%"),
    "mean_pct": ("mean", "a", 2, "%"),
    "rate_bpm": ("respiratory rate", "a", 2, " bpm"),
    "interval_sd_s": ("breath interval variability", "a", 2, " seconds"),
    "af_rate_bpm": ("airflow rate", "an", 2, " bpm"),
    "flatness": ("inspiratory flow flatness", "an", 2, ""),
    "median_hz": ("median frequency", "a", 2, " Hz"),
    "burst_ratio": ("burst intensity ratio", "a", 2, ""),
    "burst_rate_hz": ("burst modulation rate", "a", 2, " Hz"),
}
#: The only fields that the release states.
RELEASED_FIELDS = frozenset(
    name for sections in SECTIONS.values() for *_, items in sections for name, *_ in items
)
_RELATIONS = ("of", "at", "equal to", "measuring", "valued at")
_ROUNDED = ("of approximately", "around", "close to", "of roughly")
_CONNECTORS = (
    "along with",
    "plus",
    "together with",
    "in addition to",
    "accompanied by",
    "including",
    "as well as",
)
_OPENINGS = (": ", " includes ", " with ", " shows ")
_SMALL_NUMBERS = ("flatness", "interval_sd_s", "burst_ratio", "burst_rate_hz")
_TREND_WORDS = ("{} from", "{} behavior from", "{} interval from", "{} trend from")
_EVENT_FRAMES = (
    "{name} from {span}.",
    "The {name} event is identified from {span}.",
    "{name} is observed from {span}.",
    "{name} is detected from {span}.",
    "{name} takes place from {span}.",
)
_NO_EVENTS = (
    "No significant events were identified.",
    "No events were detected in this epoch.",
    "No event was detected.",
)


def released_caption(fields: CaptionFields, system: str, rng: np.random.Generator) -> str:
    """A caption as the authors' own: nothing that the release does not state is stated."""
    if system == "stage_event":
        return _stage_event(fields, rng)
    sentences = []
    for channel, _, items in SECTIONS[system]:
        names = [name for name, *_ in items if name in fields.values]
        stated = [_item(name, fields.values[name], rng) for name in names]
        trend = {"HR": "hr", "SPO2": "spo2"}.get(channel, "")
        stated += [_trend(part, rng) for part in fields.trends.get(trend, [])]
        if stated and channel not in fields.missing:
            sentences.append(_LABELS[channel] + choose(rng, _OPENINGS) + _joined(stated, rng) + ".")
    if system == "somatic" and fields.position is not None:
        frames = ("The body position is {}.", "Body position is {}.", "The position is {}.")
        sentences.append(choose(rng, frames).format(fields.position))
    return " ".join(sentences) or NOTHING_RELIABLE


def _item(name: str, value: float, rng: np.random.Generator) -> str:
    ending = max((key for key in _ITEMS if name.endswith(key)), key=len)
    item, article, digits, unit = _ITEMS[ending]
    if name.startswith(("hr_", "spo2_")):
        item += choose(rng, ("", " value"))
        # The release leaves the unit out in places where the label says it.
        unit = choose(rng, (unit, ""))
    if rng.random() < 0.3:
        item = f"{article} {item}"
    if rng.random() < 0.3:
        digits = 1 if name.endswith(_SMALL_NUMBERS) else 0
        return f"{item} {choose(rng, _ROUNDED)} {value:.{digits}f}{unit}"
    relation = choose(rng, _RELATIONS)
    if relation == "valued at" and item.endswith("value"):
        relation = "of"
    return f"{item} {relation} {value:.{digits}f}{unit}"


def _trend(part: tuple[str, float, float], rng: np.random.Generator) -> str:
    direction, start_s, end_s = part
    words = choose(rng, _TREND_WORDS).format(direction)
    return f"{words} {start_s:.1f} to {end_s:.1f} seconds"


def _joined(stated: list[str], rng: np.random.Generator) -> str:
    text = stated[0]
    for number, item in enumerate(stated[1:], start=1):
        last = number == len(stated) - 1
        connector = "and lastly" if last and rng.random() < 0.5 else choose(rng, _CONNECTORS)
        text += f", {connector} {item}"
    return text


def _event(event: CaptionEvent, rng: np.random.Generator) -> str:
    name = EVENT_PHRASES[event.kind][0].title()
    return choose(rng, _EVENT_FRAMES).format(
        name=name, span=f"{event.start_s:.1f} to {event.end_s:.1f} seconds"
    )


def _stage_event(fields: CaptionFields, rng: np.random.Generator) -> str:
    if fields.stage in RELEASED_STAGE_PROMPTS:
        prompts = RELEASED_STAGE_PROMPTS[fields.stage]
        sentences = [choose(rng, (*prompts, f"{STAGE_PHRASES[fields.stage]}."))]
    else:
        sentences = ["Stage not scored."]
    sentences += [_event(event, rng) for event in fields.events]
    if not fields.events and fields.no_event:
        sentences.append(choose(rng, _NO_EVENTS))
    return " ".join(sentences)
