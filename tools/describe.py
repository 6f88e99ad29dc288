"""``describe_system``: what the model writes and what is measured, apart and named."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from sleeplm.errors import CaptionError, WeightsError
from sleeplm.physiology.fields import FIELDS, FIELDS_OF_SYSTEM
from sleeplm.scoring import EPOCH_S, RESPIRATORY_KINDS, UNSCORED
from tools.arguments import DescribeArguments, System
from tools.artifacts import (
    Description,
    EpochCaption,
    EpochValue,
    Evidence,
    MeasuredField,
    ScoredView,
    StageShare,
)
from tools.calling import sleep_tool
from tools.facts import NightFacts
from tools.failures import CannotAnswer
from tools.stated import compare_caption
from tools.witnesses import (
    KINDS_OF_SYSTEM,
    counts_text,
    scored_view,
    scorings_at_hand,
    share_text,
    shares,
    stage_differences,
)

if TYPE_CHECKING:
    from sleeplm.scoring import Event, Scoring
    from tools.session import Session
    from tools.when import Scope

__all__ = ["describe", "describe_system"]

#: Captions cost a model pass each; more epochs than this are represented by three of them.
MOST_CAPTIONS = 3
#: A third of fewer epochs than this says nothing about a trend.
LEAST_FOR_TREND = 9
#: A trend is a change between the medians of the first and last third of at least this share …
TREND_SHARE = 0.10
#: … or, of a saturation, of this many percentage points.
TREND_SPO2_POINTS = 1.0
#: An outlier lies this many robust standard deviations (1.4826 MAD) off the median, in a scope of
#: at least so many epochs; the farthest few are named.
OUTLIER_DEVIATIONS = 5.0
LEAST_FOR_OUTLIERS = 20
MOST_OUTLIERS = 3
#: Disagreements of the captions that the text lists; the artifact holds all.
MOST_DISAGREEMENTS = 4

_OXIMETRY = ("spo2_mean_pct", "spo2_min_pct")
_LABELS = {
    "ecg_rate_bpm": "heart rate (ECG)",
    "ecg_rmssd_ms": "RMSSD (ECG)",
    "hr_min_bpm": "lowest pulse rate per epoch",
    "hr_max_bpm": "highest pulse rate per epoch",
    "hr_mean_bpm": "mean pulse rate per epoch",
    "spo2_min_pct": "lowest SpO2 per epoch",
    "spo2_mean_pct": "mean SpO2 per epoch",
    "abd_rate_bpm": "breathing rate (abdomen)",
    "abd_interval_sd_s": "spread of breath intervals (abdomen)",
    "thx_rate_bpm": "breathing rate (thorax)",
    "thx_interval_sd_s": "spread of breath intervals (thorax)",
    "af_rate_bpm": "breathing rate (airflow)",
    "af_flatness": "inspiratory flatness of the airflow (0-1)",
    "af_reduction_pct": "reduction of inspiratory flow (least 10 s of each epoch)",
    "thx_abd_phase_deg": "phase angle between thorax and abdomen",
    "thx_abd_phase_max_deg": "largest phase angle between thorax and abdomen per epoch",
    "spo2_baseline_pct": "resting SpO2 (2 minutes before and in the epoch)",
    "eeg_c3_spindle_count": "spindles per epoch (C3)",
    "eeg_c4_spindle_count": "spindles per epoch (C4)",
    "eeg_c3_slow_wave_count": "slow waves per epoch (C3)",
    "eeg_c4_slow_wave_count": "slow waves per epoch (C4)",
    "eog_rem_count": "rapid eye movements per epoch",
    "eog_rem_burst_count": "bursts of rapid eye movements per epoch",
    "emg_median_hz": "median frequency of the chin EMG",
    "emg_burst_ratio": "burst ratio of the chin EMG",
    "emg_burst_rate_hz": "burst rate of the chin EMG",
}
#: Left and right see nearly the same; the text states one side, the artifact holds both.
_TWINS = (("eeg_c3_", "eeg_c4_"), ("eog_l_", "eog_r_"), ("thx_", "abd_"))


@dataclass(frozen=True)
class _Column:
    """One measured field over the epochs in scope: epoch indices and their known values."""

    name: str
    epochs: np.ndarray
    values: np.ndarray


def describe(session: Session, arguments: DescribeArguments) -> Description:
    """Describe one system of the session's night.

    Parameters
    ----------
    session : Session
        Holds the night and the choice of scoring.
    arguments : DescribeArguments
        System and part of the night.

    Returns
    -------
    Description
        Up to three model captions (every epoch of a short part; of a long one the most typical
        epoch of each third); measured medians, ranges, trends and outliers over all epochs in
        scope; what each scoring at hand holds for the same epochs; and where the captions say
        something else. A scoring is made only where the question needs one (a stage in ``when``,
        or the system ``stage_event``).

    Raises
    ------
    TryAgain, CannotAnswer
        The part is not in the night, or none of the system's channels was recorded.
    """
    system = arguments.system
    if system == "stage_event":
        # Events, which may need the model's whole reading, matter to one system only.
        facts = NightFacts.of(session, RESPIRATORY_KINDS)
    elif arguments.when is not None and arguments.when.needs_stages:
        facts = NightFacts.of(session)
    else:
        facts = NightFacts.at_hand(session)
    scope = facts.scope(arguments.when)
    columns = _columns(facts, scope, system)
    missing = _missing(facts, system)
    if system != "stage_event" and not columns and _all_missing(facts, system):
        raise CannotAnswer(
            f"the {system} system was not recorded in this night: no {', '.join(missing)}"
        )
    try:
        captions = _captions(facts, scope, system, columns)
    except (CaptionError, WeightsError):
        # What is measured needs no model.
        captions = []
    witnesses = scorings_at_hand(session)
    if system == "stage_event":
        # Where an expert scored stages only, the events are another witness's.
        others = {kind: one for kind, one in witnesses.items() if kind != facts.event_source}
        witnesses = {facts.event_source: facts.scoring, **others}
    scored = [_scored(facts, scope, system, *witness) for witness in witnesses.items()]
    sources = ["model"] * bool(captions) + ["measured"] * (system != "stage_event")
    result = Description(
        source=", ".join(dict.fromkeys([*sources, *(view.source for view in scored)])),
        night=facts.night.id,
        text="",
        scope=facts.view(scope),
        system=system,
        captions=captions,
        measured=[_measured(column) for column in columns],
        missing=missing,
        scored=scored,
    )
    for caption in captions:
        compared, differing = compare_caption(caption, facts, witnesses, _label)
        result.stated_numbers += compared
        result.disagreements += differing
    if system == "stage_event":
        result.shares, result.shares_source = _stage_shares(facts, scope), facts.stage_source
    elif system == "somatic" and any(facts.positions):
        result.shares, result.shares_source = _position_shares(facts, scope), "measured"
    result.evidence = [_caption_evidence(caption) for caption in result.captions]
    result.evidence += [_measured_evidence(facts, field) for field in result.measured]
    result.evidence += [_share_evidence(share, result.shares_source) for share in result.shares]
    result.evidence += [_scored_evidence(view) for view in scored]
    differences = stage_differences(witnesses, scope.epochs)
    result.text = "\n".join(_lines(facts, scope, result, differences))
    return result


def _lines(
    facts: NightFacts, scope: Scope, result: Description, differences: list[str]
) -> list[str]:
    """The text for the LLM: measured, scored and the model's words, each under its name."""
    system = result.system
    lines = [f"{_title(system)} in {scope.text} ({_epoch_count(len(scope.epochs))})."]
    others = result.scored
    if system == "stage_event":
        own, *others = result.scored
        lines.append(f"Stages [{facts.stage_source}]: {share_text(result.shares)}.")
        lines.append(
            f"Events that begin here [{facts.event_source}]: "
            f"{_event_counts(own)}; {own.sleep_hours:.2f} h of sleep."
        )
    elif result.shares:
        lines.append(f"Body position [measured]: {share_text(result.shares)}.")
    if result.measured:
        lines.append("Measured over these epochs:")
        lines += [f"- {_measured_text(facts, field)}" for field in _stated(result.measured)]
    for view in others:
        lines.append(f"Scored for the same epochs [{view.source}]: {view.text}.")
    if not result.scored:
        lines.append("No scoring is at hand, and none was made for a description.")
    lines += [f"{difference}." for difference in differences]
    if result.captions:
        chosen = "each epoch" if len(scope.epochs) <= MOST_CAPTIONS else "the most typical epochs"
        lines.append(f"The model's own words on {chosen} [model]:")
        lines += [f"- {_caption_line(caption)}" for caption in result.captions]
        lines += _comparison_lines(result)
    else:
        lines.append("The model's own words are not available.")
    if result.missing:
        lines.append(f"Not recorded: {', '.join(result.missing)}.")
    return lines


def _caption_line(caption: EpochCaption) -> str:
    stage = "" if caption.stage == UNSCORED else f", {caption.stage}"
    return f"epoch {caption.epoch}, {caption.clock}{stage}: {caption.text}"


def _comparison_lines(result: Description) -> list[str]:
    if result.disagreements:
        shown = result.disagreements[:MOST_DISAGREEMENTS]
        more = len(result.disagreements) - len(shown)
        lead = "Where these words are not what was measured or scored"
        lines = [f"{lead}{f' (and {more} more)' if more else ''}:"]
        return lines + [f"- {one.text}" for one in shown]
    if result.stated_numbers:
        count = result.stated_numbers
        what = "number" if count == 1 else "numbers"
        return [f"The {count} {what} in these words that can be checked agree with the measured."]
    return []


def _event_counts(view: ScoredView) -> str:
    return counts_text(view) if any(view.counts.values()) else "none"


def _scored(
    facts: NightFacts, scope: Scope, system: System, source: str, scoring: Scoring
) -> ScoredView:
    """What a witness scored in the epochs in scope; others than the preferred by time alone."""

    def begins_here(event: Event) -> bool:
        if scoring is facts.scoring:
            return scope.holds(event, scoring, facts.positions)
        index = int(event.onset_s // EPOCH_S)
        return 0 <= index < len(scope.mask) and bool(scope.mask[index])

    inside = [event for event in scoring.events if begins_here(event)]
    return scored_view(source, scoring, scope.epochs, KINDS_OF_SYSTEM[system], inside)


def _epoch_count(count: int) -> str:
    return f"{count} epoch" if count == 1 else f"{count} epochs"


def _title(system: str) -> str:
    return {"stage_event": "Stages and events"}.get(system, f"{system.capitalize()} system")


def _field_names(system: System) -> tuple[str, ...]:
    if system == "stage_event":
        return ()
    names = tuple(name for name in FIELDS_OF_SYSTEM[system] if name != "position")
    # Saturation belongs to the cardiac captions; who asks about breathing wants it too.
    return (*names, *_OXIMETRY) if system == "respiratory" else names


def _columns(facts: NightFacts, scope: Scope, system: System) -> list[_Column]:
    epochs = np.array(scope.epochs)
    columns = []
    for name in _field_names(system):
        values = facts.measured(name)
        if values is None:
            continue
        chosen = values[epochs]
        known = np.isfinite(chosen)
        if known.any():
            columns.append(_Column(name, epochs[known], chosen[known]))
    return columns


def _channels(system: System) -> list[str]:
    names = [FIELDS[name].channel for name in _field_names(system)]
    if system == "somatic":
        names.append("POS")
    return list(dict.fromkeys(names))


def _missing(facts: NightFacts, system: System) -> list[str]:
    return [name for name in _channels(system) if facts.night.recording.channel(name) is None]


def _all_missing(facts: NightFacts, system: System) -> bool:
    return len(_missing(facts, system)) == len(_channels(system))


def _captions(
    facts: NightFacts, scope: Scope, system: System, columns: list[_Column]
) -> list[EpochCaption]:
    chosen = _typical_epochs(facts, scope, columns)
    texts = facts.night.captions(chosen, system)
    return [
        EpochCaption(
            epoch=epoch + 1,
            onset_s=epoch * EPOCH_S,
            clock=facts.night.epoch_clock(epoch),
            stage=facts.stage(epoch),
            system=system,
            text=text,
        )
        for epoch, text in zip(chosen, texts, strict=True)
    ]


def _typical_epochs(facts: NightFacts, scope: Scope, columns: list[_Column]) -> list[int]:
    """All epochs of a short scope; of a long one, per third, the one nearest to its medians.

    Candidates are the epochs in the third's most frequent stage; distances are in units of each
    field's spread over the scope.
    """
    epochs = scope.epochs
    if len(epochs) <= MOST_CAPTIONS:
        return epochs
    typical = []
    for third in np.array_split(np.array(epochs), MOST_CAPTIONS):
        stages = [facts.stage(int(epoch)) for epoch in third]
        usual = Counter(stages).most_common(1)[0][0]
        candidates = third[np.array([stage == usual for stage in stages])]
        distance = np.zeros(len(candidates))
        for column in columns:
            spread = float(np.std(column.values)) or 1.0
            known = dict(zip(column.epochs.tolist(), column.values.tolist(), strict=True))
            values = np.array([known.get(int(epoch), np.nan) for epoch in candidates])
            if np.isfinite(values).any():
                gap = np.abs(values - np.nanmedian(values)) / spread
                # An epoch whose value was withheld is no good example.
                distance += np.where(np.isfinite(gap), gap, 3.0)
        # Equal distances (nothing measured) fall to the middle of the third.
        middle = np.abs(np.arange(len(candidates)) - (len(candidates) - 1) / 2)
        typical.append(int(candidates[np.lexsort((middle, distance))[0]]))
    return typical


def _measured(column: _Column) -> MeasuredField:
    values = column.values
    first = last = trend = None
    if len(values) >= LEAST_FOR_TREND:
        thirds = np.array_split(values, 3)
        first, last = float(np.median(thirds[0])), float(np.median(thirds[2]))
        trend = _trend(column.name, first, last)
    outliers = _outliers(column)
    return MeasuredField(
        field=column.name,
        label=_label(column.name),
        unit=FIELDS[column.name].unit,
        n_epochs=len(values),
        median=round(float(np.median(values)), 2),
        mean=round(float(np.mean(values)), 2),
        low=round(float(values.min()), 2),
        high=round(float(values.max()), 2),
        lowest_epoch=int(column.epochs[values.argmin()]) + 1,
        highest_epoch=int(column.epochs[values.argmax()]) + 1,
        first_third=None if first is None else round(first, 2),
        last_third=None if last is None else round(last, 2),
        trend=trend,
        n_outliers=len(outliers),
        outliers=outliers[:MOST_OUTLIERS],
    )


def _outliers(column: _Column) -> list[EpochValue]:
    """Epochs far off the median, the farthest first; none where the spread is not known."""
    if len(column.values) < LEAST_FOR_OUTLIERS:
        return []
    gap = np.abs(column.values - np.median(column.values))
    deviation = 1.4826 * float(np.median(gap))
    if deviation == 0:
        return []
    far = np.flatnonzero(gap > OUTLIER_DEVIATIONS * deviation)
    far = far[np.argsort(-gap[far], kind="stable")]
    return [
        EpochValue(epoch=int(column.epochs[i]) + 1, value=round(float(column.values[i]), 2))
        for i in far
    ]


def _trend(name: str, first: float, last: float) -> Literal["rising", "falling", "steady"]:
    least = TREND_SPO2_POINTS if name.startswith("spo2") else TREND_SHARE * abs(first)
    if abs(last - first) < least or last == first:
        return "steady"
    return "rising" if last > first else "falling"


def _label(name: str) -> str:
    if name in _LABELS:
        return _LABELS[name]
    channel, *rest = name.split("_")
    if len(rest) == 3 and channel == "eeg" and rest[-1] == "pct":
        return f"{rest[1]} power of the EEG ({rest[0].upper()}), share of 0.5-30 Hz"
    if len(rest) == 3 and channel == "eog" and rest[-1] == "pct":
        eye = "left" if rest[0] == "l" else "right"
        return f"{rest[1]} eye movement power (EOG {eye}), share"
    return " ".join([*rest, f"({channel.upper()})"])


def _stated(fields: list[MeasuredField]) -> list[MeasuredField]:
    """Of twin channels the first, where both are known."""
    names = {field.field for field in fields}
    return [
        field
        for field in fields
        if not any(
            field.field.startswith(second) and first + field.field[len(second) :] in names
            for first, second in _TWINS
        )
    ]


def _measured_text(facts: NightFacts, field: MeasuredField) -> str:
    digits = 2 if field.unit == "" else 1
    unit = f" {field.unit}" if field.unit else ""

    def where(epoch: int) -> str:
        return f"epoch {epoch}, {facts.night.epoch_clock(epoch - 1)}"

    if field.n_epochs == 1:
        place = where(field.lowest_epoch)
        return f"{field.label}: {field.median:.{digits}f}{unit} [measured, {place}]"
    text = (
        f"{field.label}: median {field.median:.{digits}f}{unit}, "
        f"mean {field.mean:.{digits}f}{unit}, "
        f"lowest {field.low:.{digits}f}{unit} ({where(field.lowest_epoch)}), "
        f"highest {field.high:.{digits}f}{unit} ({where(field.highest_epoch)})"
    )
    if field.trend is not None:
        text += (
            f", {field.trend}: {field.first_third:.{digits}f}{unit} in the first third, "
            f"{field.last_third:.{digits}f}{unit} in the last"
        )
    if field.outliers:
        named = ", ".join(
            f"{one.value:.{digits}f}{unit} ({where(one.epoch)})" for one in field.outliers
        )
        count = f"{field.n_outliers} outlying epoch{'s' if field.n_outliers != 1 else ''}"
        text += f"; {count}, the farthest {named}"
    return f"{text} [measured]"


def _stage_shares(facts: NightFacts, scope: Scope) -> list[StageShare]:
    own = scored_view(facts.stage_source, facts.scoring, scope.epochs, (), ())
    return own.stages


def _position_shares(facts: NightFacts, scope: Scope) -> list[StageShare]:
    counts = Counter(facts.positions[epoch] or "unknown" for epoch in scope.epochs)
    return shares(dict(counts.most_common()))


def _caption_evidence(caption: EpochCaption) -> Evidence:
    return Evidence(
        kind="caption",
        source="model",
        text=caption.text,
        epoch=caption.epoch,
        onset_s=caption.onset_s,
        end_s=caption.onset_s + EPOCH_S,
        clock=caption.clock,
        field=caption.system,
    )


def _measured_evidence(facts: NightFacts, field: MeasuredField) -> Evidence:
    # One number of the field: its median, placed where it is only if it is of one epoch.
    single = field.n_epochs == 1
    epoch = field.lowest_epoch if single else None
    return Evidence(
        kind="quantity",
        source="measured",
        text=_measured_text(facts, field),
        value=field.median,
        unit=field.unit,
        epoch=epoch,
        onset_s=(epoch - 1) * EPOCH_S if epoch is not None else None,
        end_s=epoch * EPOCH_S if epoch is not None else None,
        clock=facts.night.epoch_clock(epoch - 1) if epoch is not None else None,
        field=field.field,
    )


def _scored_evidence(view: ScoredView) -> Evidence:
    return Evidence(
        kind="quantity",
        source=view.source,
        text=view.text,
        value=float(sum(view.counts.values())) if view.counts else None,
        unit="events" if view.counts else "",
        field="scored",
    )


def _share_evidence(share: StageShare, source: str | None) -> Evidence:
    return Evidence(
        kind="quantity",
        source=source or "measured",
        text=f"{share.name} {share.minutes:.1f} min ({share.percent:.1f} %)",
        value=share.minutes,
        unit="min",
        field=share.name,
    )


describe_system = sleep_tool(
    "describe_system",
    DescribeArguments,
    describe,
    "Describe one system (brain, cardiac, respiratory, somatic, stage_event) of the open night, "
    "over the whole night or a part of it: the model's own words on typical epochs, measured "
    "medians, ranges, trends and outliers, what each scoring at hand holds for the same epochs, "
    "and where the model's words differ from these. Use it for what the brain, heart, breathing, "
    "muscles or position do, and for heart rate, SpO2 or band power over a part of the night.",
)
