"""Remarks on a night: rules with thresholds and references, each with evidence and a place.

A remark describes this recording; none is a diagnosis, which needs complaints, history and a
clinician. A rule that cannot be judged, because a channel or a scoring is missing, says why. Where
a reference gives a sign and no number, the number is this program's choice and called so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sleeplm.report import Insight, InsightSpan, NightSummary
from sleeplm.scoring import EPOCH_S, RESPIRATORY_KINDS, Event, Scoring

__all__ = [
    "INSIGHT_RULES",
    "InsightRule",
    "NightEvidence",
    "disagreement",
    "hypoxic_burden",
    "insights",
    "judged_insights",
]

CLINICAL_AHI = 5.0
RATIO = 2.0
LEAST_POSITION_MIN = 15.0
LEAST_REM_MIN = 30.0
LOW_EFFICIENCY_PCT = 74.0
MANY_AROUSALS = 25.0
SLEEP_ONSET_REM_MIN, SHORT_REM_LATENCY_MIN, LONG_REM_LATENCY_MIN = 15.0, 50.0, 150.0
LEAST_NIGHT_MIN = 240.0
FIRST_NIGHT_EFFICIENCY_PCT, FIRST_NIGHT_REM_PCT, FIRST_NIGHT_REM_LATENCY_MIN = 85.0, 15.0, 120.0
FIRST_NIGHT_ONSET_MIN, FIRST_NIGHT_SIGNS = 30.0, 3
LONG_AWAKE_MIN, INSOMNIA_EFFICIENCY_PCT = 31.0, 85.0
HIGH_BURDEN = 60.0
HYPOXEMIA_PCT, HYPOXEMIA_MIN = 88.0, 5.0
CENTRAL_INDEX, CENTRAL_SHARE = 5.0, 0.5
CSB_CYCLE_S, CSB_LEAST_CYCLES, CSB_LEAST_RECORD_MIN = (40.0, 120.0), 3, 120.0
HIGH_PLM_INDEX = 15.0
HR_RISE_BPM, HR_LEAST_AROUSALS = 10.0, 10
HR_BEFORE_S, HR_AFTER_S = 10, 15
LOW_KAPPA = 0.6
BURDEN_BASELINE_S, BURDEN_AFTER_S = 100, 45
#: A place of a remark is at most so many stretches, the longest or fullest first.
MOST_SPANS = 3
HOUR_EPOCHS = 120
_OURS = "this program's choice"


@dataclass(frozen=True)
class InsightRule:
    """A threshold that makes a remark, in the words a reader sees, and who proposed it."""

    rule: str
    source: str


INSIGHT_RULES = {
    "positional": InsightRule(
        f"AHI ≥ {CLINICAL_AHI:g}/h and supine AHI at least twice the non-supine AHI, with at least "
        f"{LEAST_POSITION_MIN:g} min of sleep in each",
        f"Cartwright, Sleep 1984;7:110 (the ratio); the least minutes are {_OURS}",
    ),
    "rem_related": InsightRule(
        f"AHI ≥ {CLINICAL_AHI:g}/h and REM AHI at least twice the NREM AHI, with at least "
        f"{LEAST_REM_MIN:g} min of REM sleep",
        "as in Oksenberg et al., J Clin Sleep Med 2010;6:343 (the ratio); the least minutes are "
        f"{_OURS}",
    ),
    "central": InsightRule(
        f"central apnea index ≥ {CENTRAL_INDEX:g}/h and at least half of the apneas central",
        "after ICSD-3, central sleep apnea syndromes",
    ),
    "cheyne_stokes": InsightRule(
        f"central apnea index ≥ {CENTRAL_INDEX:g}/h over at least {CSB_LEAST_RECORD_MIN / 60:g} h "
        f"with {CSB_LEAST_CYCLES} or more central apneas in a row, {CSB_CYCLE_S[0]:g} to "
        f"{CSB_CYCLE_S[1]:g} s from onset to onset, or a scored run of it",
        f"AASM Manual, Cheyne-Stokes breathing; the longest cycle is {_OURS}, and whether "
        "breathing swells and fades is not judged here",
    ),
    "hypoxic_burden": InsightRule(
        f"hypoxic burden ≥ {HIGH_BURDEN:g} %·min/h",
        "the measure after Azarbarzin et al., European Heart Journal 2019;40:1149, with a fixed "
        f"window; methods differ several-fold, and the limit is {_OURS}",
    ),
    "hypoxemia": InsightRule(
        f"SpO2 of {HYPOXEMIA_PCT:g} % or less for at least {HYPOXEMIA_MIN:g} min of sleep",
        "after ICSD-3, sleep related hypoxemia (adults)",
    ),
    "fragmentation": InsightRule(
        f"sleep efficiency of {LOW_EFFICIENCY_PCT:g} % or less",
        "Ohayon et al., Sleep Health 2017;3:6 (adults)",
    ),
    "arousals": InsightRule(
        f"arousal index ≥ {MANY_AROUSALS:g}/h",
        f"norms by age in Bonnet and Arand, J Clin Sleep Med 2007;3:271; the limit is {_OURS}",
    ),
    "short_rem_latency": InsightRule(
        f"REM latency below {SHORT_REM_LATENCY_MIN:g} min; within {SLEEP_ONSET_REM_MIN:g} min it "
        "is sleep-onset REM",
        f"ICSD-3 (sleep-onset REM); the limit of {SHORT_REM_LATENCY_MIN:g} min is {_OURS}",
    ),
    "long_rem_latency": InsightRule(f"REM latency above {LONG_REM_LATENCY_MIN:g} min", _OURS),
    "first_night": InsightRule(
        f"at least {FIRST_NIGHT_SIGNS} of: sleep efficiency below "
        f"{FIRST_NIGHT_EFFICIENCY_PCT:g} %, REM below {FIRST_NIGHT_REM_PCT:g} % of sleep, "
        f"REM latency above {FIRST_NIGHT_REM_LATENCY_MIN:g} min, sleep onset latency above "
        f"{FIRST_NIGHT_ONSET_MIN:g} min; at least {LEAST_NIGHT_MIN / 60:g} h in bed",
        f"signs after Agnew et al., Psychophysiology 1966;2:263; the limits are {_OURS}",
    ),
    "insomnia_pattern": InsightRule(
        f"sleep onset latency or wake after sleep onset of {LONG_AWAKE_MIN:g} min or more, with a "
        f"sleep efficiency below {INSOMNIA_EFFICIENCY_PCT:g} %; at least "
        f"{LEAST_NIGHT_MIN / 60:g} h in bed",
        "Lichstein et al., Behaviour Research and Therapy 2003;41:427 (minutes, on several "
        f"nights); the efficiency is {_OURS}",
    ),
    "plm": InsightRule(
        f"PLM index above {HIGH_PLM_INDEX:g}/h", "ICSD-3, periodic limb movement disorder (adults)"
    ),
    "hr_response": InsightRule(
        f"median rise of the heart rate with an arousal ≥ {HR_RISE_BPM:g} bpm over at least "
        f"{HR_LEAST_AROUSALS} arousals (highest of {HR_AFTER_S} s from its onset, less the mean of "
        f"{HR_BEFORE_S} s before)",
        f"the measure after Azarbarzin et al., Sleep 2014;37:645; window and limit are {_OURS}",
    ),
    "disagreement": InsightRule(
        f"Cohen's kappa of the stages below {LOW_KAPPA:g}, or another severity class",
        f"after Landis and Koch, Biometrics 1977;33:159; to remark on it is {_OURS}",
    ),
}


class NightEvidence(NamedTuple):
    """What rules need beyond the summary's figures.

    ``stages`` and ``is_sleep`` are per epoch, in bed only; ``spo2`` and ``hr`` per second with NaN
    where nothing plausible is known, None without the channel; ``positions`` are codes per second.
    """

    scoring: Scoring
    stages: np.ndarray
    is_sleep: np.ndarray
    spo2: np.ndarray | None
    hr: np.ndarray | None
    positions: np.ndarray | None


class _Unknown(Exception):
    """A rule that cannot be judged; its text says why."""


def insights(summary: NightSummary, evidence: NightEvidence | None = None) -> list[Insight]:
    """Remarks that the rules' thresholds allow; none where a needed figure is null."""
    return judged_insights(summary, evidence)[0]


def judged_insights(
    summary: NightSummary, evidence: NightEvidence | None = None
) -> tuple[list[Insight], dict[str, str]]:
    """Remarks, and the rules that could not be judged with the reason.

    Parameters
    ----------
    summary : NightSummary
    evidence : NightEvidence, optional
        Without it only the rules on the summary's own figures are judged, and no remark has a
        place.
    """
    found: list[Insight] = []
    unknown: dict[str, str] = {}
    for name, judge in _JUDGES.items():
        try:
            remark = judge(summary, evidence)
        except _Unknown as reason:
            unknown[name] = str(reason)
            continue
        if remark is not None:
            found.append(remark)
    return found, unknown


def _value(summary: NightSummary, name: str) -> float:
    quantity = summary.quantity(name)
    if quantity.value is None:
        raise _Unknown(f"{name.replace('_', ' ')}: {quantity.note or 'not known'}")
    return quantity.value


def _remark(
    name: str,
    text: str,
    evidence: dict[str, float],
    spans: Sequence[InsightSpan] = (),
) -> Insight:
    rule = INSIGHT_RULES[name]
    return Insight(
        name=name,
        text=text,
        evidence=evidence,
        source=f"{rule.rule}; {rule.source}",
        spans=list(spans),
    )


# ── places ───────────────────────────────────────────────────────────────────────────────────────
def _span(first: int, stop: int) -> InsightSpan:
    return InsightSpan(
        epoch=first + 1, last_epoch=stop, onset_s=first * EPOCH_S, end_s=stop * EPOCH_S
    )


def _longest(mask: np.ndarray) -> list[InsightSpan]:
    """The longest runs of True, in order of time."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    runs = sorted(edges.reshape(-1, 2).tolist(), key=lambda run: run[0] - run[1])[:MOST_SPANS]
    return [_span(first, stop) for first, stop in sorted(runs)]


def _fullest_hour(events: Sequence[Event], n_epochs: int) -> list[InsightSpan]:
    """The hour in which most events begin."""
    begins = np.zeros(n_epochs)
    for event in events:
        if 0 <= event.onset_s < n_epochs * EPOCH_S:
            begins[int(event.onset_s // EPOCH_S)] += 1
    if not begins.any():
        return []
    width = min(HOUR_EPOCHS, n_epochs)
    sums = np.convolve(begins, np.ones(width), "valid")
    first = int(sums.argmax())
    return [_span(first, first + width)]


def _around(event: Event, n_epochs: int) -> InsightSpan:
    first = int(min(max(event.onset_s // EPOCH_S, 0), n_epochs - 1))
    stop = int(min(max(np.ceil(event.end_s / EPOCH_S), first + 1), n_epochs))
    return _span(first, stop)


# ── breathing ────────────────────────────────────────────────────────────────────────────────────
def _positional(summary: NightSummary, evidence: NightEvidence | None) -> Insight | None:
    ahi, supine, other = (_value(summary, name) for name in ("ahi", "ahi_supine", "ahi_nonsupine"))
    minutes = {name: held.value or 0.0 for name, held in summary.position_minutes.items()}
    shortest = min(minutes["supine"], sum(minutes.values()) - minutes["supine"])
    if shortest < LEAST_POSITION_MIN:
        raise _Unknown(
            f"only {shortest:.1f} min of sleep on the back or off it; the rule needs "
            f"{LEAST_POSITION_MIN:g} min of each"
        )
    if ahi < CLINICAL_AHI or supine < RATIO * other:
        return None
    spans: list[InsightSpan] = []
    if evidence is not None and evidence.positions is not None:
        from sleeplm.montage import POSITION_CODES

        codes = evidence.positions[: len(evidence.is_sleep) * int(EPOCH_S)]
        whole = codes[: len(codes) // int(EPOCH_S) * int(EPOCH_S)].reshape(-1, int(EPOCH_S))
        on_back = np.zeros(len(evidence.is_sleep), bool)
        on_back[: len(whole)] = np.median(whole, axis=1) == POSITION_CODES["supine"]
        spans = _longest(on_back & evidence.is_sleep)
    return _remark(
        "positional",
        f"Breathing events depend on position: {supine:.1f}/h supine against {other:.1f}/h in "
        "other positions",
        {
            "ahi": ahi,
            "ahi_supine": supine,
            "ahi_nonsupine": other,
            "position_minutes.supine": minutes["supine"],
        },
        spans,
    )


def _rem_related(summary: NightSummary, evidence: NightEvidence | None) -> Insight | None:
    ahi, rem, nrem, minutes = (
        _value(summary, name) for name in ("ahi", "ahi_rem", "ahi_nrem", "stage_minutes.R")
    )
    if minutes < LEAST_REM_MIN:
        raise _Unknown(f"only {minutes:.1f} min of REM sleep; the rule needs {LEAST_REM_MIN:g} min")
    if ahi < CLINICAL_AHI or rem < RATIO * nrem:
        return None
    return _remark(
        "rem_related",
        f"Breathing events gather in REM sleep: {rem:.1f}/h in REM against {nrem:.1f}/h in NREM",
        {"ahi": ahi, "ahi_rem": rem, "ahi_nrem": nrem, "stage_minutes.R": minutes},
        _longest(evidence.stages == "R") if evidence is not None else (),
    )


def _central(summary: NightSummary, evidence: NightEvidence | None) -> Insight | None:
    cai, apneas = _value(summary, "cai"), _value(summary, "apnea_index")
    if cai < CENTRAL_INDEX or cai < CENTRAL_SHARE * apneas:
        return None
    events = evidence.scoring.events_of("central_apnea") if evidence is not None else ()
    return _remark(
        "central",
        f"Most apneas are central: {cai:.1f} of {apneas:.1f} apneas per hour",
        {"cai": cai, "apnea_index": apneas},
        _fullest_hour(events, len(evidence.stages)) if evidence is not None else (),
    )


def _cheyne_stokes(summary: NightSummary, evidence: NightEvidence | None) -> Insight | None:
    cai, recorded = _value(summary, "cai"), _value(summary, "trt")
    if recorded < CSB_LEAST_RECORD_MIN:
        raise _Unknown(
            f"the recording lasts {recorded:.0f} min; the rule needs {CSB_LEAST_RECORD_MIN:g} min"
        )
    if evidence is None or cai < CENTRAL_INDEX:
        return None
    scored = list(evidence.scoring.events_of("cheyne_stokes"))
    runs = scored or _central_runs(evidence.scoring)
    if not runs:
        return None
    minutes = sum(run.duration_s for run in runs) / 60
    longest = sorted(runs, key=lambda run: -run.duration_s)[:MOST_SPANS]
    spans = [_around(run, len(evidence.stages)) for run in longest]
    return _remark(
        "cheyne_stokes",
        f"Cheyne-Stokes breathing is suspected: central apneas {cai:.1f}/h, {len(runs)} "
        f"{'run' if len(runs) == 1 else 'runs'} of them in cycles, {minutes:.1f} min together",
        {"cai": cai, "runs": float(len(runs)), "minutes": minutes},
        sorted(spans, key=lambda span: span.onset_s),
    )


def _central_runs(scoring: Scoring) -> list[Event]:
    """Central apneas in a row with a cycle of Cheyne-Stokes breathing, each run as one event."""
    shortest_s, longest_s = CSB_CYCLE_S
    rows: list[list[Event]] = [[]]
    for event in scoring.events_of(RESPIRATORY_KINDS):
        if event.kind != "central_apnea":
            rows.append([])
            continue
        row = rows[-1]
        if row and not shortest_s <= event.onset_s - row[-1].onset_s <= longest_s:
            rows.append([])
        rows[-1].append(event)
    return [
        Event("cheyne_stokes", row[0].onset_s, row[-1].end_s - row[0].onset_s)
        for row in rows
        if len(row) >= CSB_LEAST_CYCLES
    ]


def hypoxic_burden(evidence: NightEvidence) -> tuple[float, list[tuple[float, Event]]] | None:
    """Area under the falls of SpO2 that go with breathing events, in %·min per hour of sleep.

    Of each apnea and hypopnea in sleep: the baseline is the highest SpO2 of the 100 s before its
    end; the area lies between the baseline and the signal, from its onset to 45 s after its end or
    to the onset of the next, whichever comes first (Azarbarzin et al. take a window of each
    patient's own).

    Returns
    -------
    (burden, areas) or None
        ``areas`` are (%·min, event). None without SpO2 or sleep.
    """
    hours = float(evidence.is_sleep.sum()) * EPOCH_S / 3600
    if evidence.spo2 is None or not hours:
        return None
    events = [
        event
        for event in evidence.scoring.events_of(RESPIRATORY_KINDS)
        if evidence.scoring.in_sleep(event)
    ]
    areas = []
    for index, event in enumerate(events):
        start, end = int(event.onset_s), int(event.end_s)
        stop = end + BURDEN_AFTER_S
        if index + 1 < len(events):
            stop = min(stop, max(int(events[index + 1].onset_s), end))
        before = evidence.spo2[max(end - BURDEN_BASELINE_S, 0) : end + 1]
        window = evidence.spo2[start:stop]
        if not np.isfinite(before).any() or not np.isfinite(window).any():
            continue
        fall = np.clip(np.nanmax(before) - window, 0.0, None)
        areas.append((float(np.nansum(fall)) / 60, event))
    return sum(area for area, _ in areas) / hours, areas


def _burden(summary: NightSummary, evidence: NightEvidence | None) -> Insight | None:
    _value(summary, "ahi")
    if evidence is None:
        return None
    found = hypoxic_burden(evidence)
    if found is None:
        raise _Unknown("no usable SpO2 channel, or no sleep")
    burden, areas = found
    if burden < HIGH_BURDEN:
        return None
    worst = sorted(areas, key=lambda one: -one[0])[:MOST_SPANS]
    spans = [_around(event, len(evidence.stages)) for _, event in worst]
    return _remark(
        "hypoxic_burden",
        f"The hypoxic burden is high: {burden:.1f} %·min per hour of sleep",
        {"hypoxic_burden": burden, "events": float(len(areas))},
        sorted(spans, key=lambda span: span.onset_s),
    )


def _hypoxemia(summary: NightSummary, evidence: NightEvidence | None) -> Insight | None:
    _value(summary, "spo2_mean")
    if evidence is None or evidence.spo2 is None:
        return None
    asleep = np.repeat(evidence.is_sleep, int(EPOCH_S))
    length = min(len(asleep), len(evidence.spo2))
    with np.errstate(invalid="ignore"):
        low = asleep[:length] & (evidence.spo2[:length] <= HYPOXEMIA_PCT + 0.05)
    minutes = float(low.sum()) / 60
    if minutes < HYPOXEMIA_MIN:
        return None
    per_epoch = np.zeros(len(evidence.is_sleep), bool)
    whole = length // int(EPOCH_S)
    per_epoch[:whole] = low[: whole * int(EPOCH_S)].reshape(whole, -1).any(axis=1)
    return _remark(
        "hypoxemia",
        f"SpO2 stays at {HYPOXEMIA_PCT:g} % or less for {minutes:.1f} min of sleep",
        {"minutes": minutes},
        _longest(per_epoch),
    )


# ── sleep ────────────────────────────────────────────────────────────────────────────────────────
def _fragmentation(summary: NightSummary, evidence: NightEvidence | None) -> Insight | None:
    efficiency, waso = _value(summary, "sleep_efficiency"), _value(summary, "waso")
    if efficiency > LOW_EFFICIENCY_PCT:
        return None
    return _remark(
        "fragmentation",
        f"Sleep is poorly consolidated: efficiency {efficiency:.1f} %, {waso:.1f} min awake after "
        "sleep onset",
        {
            "sleep_efficiency": efficiency,
            "waso": waso,
            "awakenings": _value(summary, "awakenings"),
        },
        _wake_after_onset(evidence),
    )


def _wake_after_onset(evidence: NightEvidence | None) -> list[InsightSpan]:
    if evidence is None or not evidence.is_sleep.any():
        return []
    awake = evidence.stages == "W"
    awake[: int(np.argmax(evidence.is_sleep))] = False
    return _longest(awake)


def _arousals(summary: NightSummary, evidence: NightEvidence | None) -> Insight | None:
    index = _value(summary, "arousal_index")
    if index < MANY_AROUSALS:
        return None
    spans: list[InsightSpan] = []
    if evidence is not None:
        spans = _fullest_hour(evidence.scoring.events_of("arousal"), len(evidence.stages))
    return _remark(
        "arousals",
        f"Sleep is broken by arousals: {index:.1f} per hour of sleep",
        {"arousal_index": index},
        spans,
    )


def _rem_onset(evidence: NightEvidence | None) -> list[InsightSpan]:
    if evidence is None:
        return []
    rem = np.flatnonzero(evidence.stages == "R")
    return [_span(int(rem[0]), int(rem[0]) + 1)] if len(rem) else []


def _short_rem_latency(summary: NightSummary, evidence: NightEvidence | None) -> Insight | None:
    latency = _value(summary, "rem_latency")
    if latency >= SHORT_REM_LATENCY_MIN:
        return None
    onset = " (sleep-onset REM)" if latency <= SLEEP_ONSET_REM_MIN else ""
    return _remark(
        "short_rem_latency",
        f"REM sleep comes early: {latency:.1f} min after sleep onset{onset}",
        {"rem_latency": latency},
        _rem_onset(evidence),
    )


def _long_rem_latency(summary: NightSummary, evidence: NightEvidence | None) -> Insight | None:
    latency = _value(summary, "rem_latency")
    if latency <= LONG_REM_LATENCY_MIN:
        return None
    return _remark(
        "long_rem_latency",
        f"REM sleep comes late: {latency:.1f} min after sleep onset",
        {"rem_latency": latency},
        _rem_onset(evidence),
    )


def _enough_night(summary: NightSummary) -> None:
    minutes = _value(summary, "tib")
    if minutes < LEAST_NIGHT_MIN:
        raise _Unknown(f"{minutes:.0f} min in bed; the rule needs {LEAST_NIGHT_MIN:g} min")


def _first_night(summary: NightSummary, evidence: NightEvidence | None) -> Insight | None:
    _enough_night(summary)
    efficiency, rem, onset = (
        _value(summary, name)
        for name in ("sleep_efficiency", "stage_percent.R", "sleep_onset_latency")
    )
    signs: dict[str, float] = {}
    if efficiency < FIRST_NIGHT_EFFICIENCY_PCT:
        signs["sleep_efficiency"] = efficiency
    if rem < FIRST_NIGHT_REM_PCT:
        signs["stage_percent.R"] = rem
    latency = summary.rem_latency.value
    if latency is not None and latency > FIRST_NIGHT_REM_LATENCY_MIN:
        signs["rem_latency"] = latency
    if onset > FIRST_NIGHT_ONSET_MIN:
        signs["sleep_onset_latency"] = onset
    if len(signs) < FIRST_NIGHT_SIGNS:
        return None
    words = {
        "sleep_efficiency": f"efficiency {efficiency:.1f} %",
        "stage_percent.R": f"REM {rem:.1f} % of sleep",
        "rem_latency": f"REM latency {latency or 0.0:.1f} min",
        "sleep_onset_latency": f"sleep onset latency {onset:.1f} min",
    }
    listed = ", ".join(words[name] for name in signs)
    return _remark(
        "first_night",
        f"Sleep looks as it often does on a first night in a laboratory: {listed}; one night "
        "cannot tell this from a habit",
        signs,
        _wake_after_onset(evidence),
    )


def _insomnia(summary: NightSummary, evidence: NightEvidence | None) -> Insight | None:
    _enough_night(summary)
    efficiency, onset, waso = (
        _value(summary, name) for name in ("sleep_efficiency", "sleep_onset_latency", "waso")
    )
    if efficiency >= INSOMNIA_EFFICIENCY_PCT or max(onset, waso) < LONG_AWAKE_MIN:
        return None
    return _remark(
        "insomnia_pattern",
        f"Much of the night was spent awake: {onset:.1f} min until sleep onset and {waso:.1f} min "
        "after it; a pattern also seen in insomnia, which one night cannot tell",
        {"sleep_onset_latency": onset, "waso": waso, "sleep_efficiency": efficiency},
        _wake_after_onset(evidence),
    )


# ── movement and heart ───────────────────────────────────────────────────────────────────────────
def _plm(summary: NightSummary, evidence: NightEvidence | None) -> Insight | None:
    index = _value(summary, "plm_index")
    if index <= HIGH_PLM_INDEX:
        return None
    spans: list[InsightSpan] = []
    if evidence is not None:
        spans = _fullest_hour(evidence.scoring.events_of("plm"), len(evidence.stages))
    return _remark(
        "plm",
        f"Periodic limb movements are frequent: {index:.1f} per hour of sleep",
        {"plm_index": index},
        spans,
    )


def _hr_response(summary: NightSummary, evidence: NightEvidence | None) -> Insight | None:
    _value(summary, "arousal_index")
    if evidence is None:
        return None
    if evidence.hr is None:
        raise _Unknown("no heart rate channel and no ECG beats")
    rises = []
    for event in evidence.scoring.events_of("arousal"):
        at = int(event.onset_s)
        before = evidence.hr[max(at - HR_BEFORE_S, 0) : at]
        after = evidence.hr[at : at + HR_AFTER_S]
        known = np.isfinite(before).sum() >= HR_BEFORE_S / 2
        if evidence.scoring.in_sleep(event) and known and np.isfinite(after).any():
            rises.append((float(np.nanmax(after) - np.nanmean(before)), event))
    if len(rises) < HR_LEAST_AROUSALS:
        raise _Unknown(
            f"{len(rises)} arousals in sleep with a heart rate around them; the rule needs "
            f"{HR_LEAST_AROUSALS}"
        )
    median = float(np.median([rise for rise, _ in rises]))
    if median < HR_RISE_BPM:
        return None
    largest = sorted(rises, key=lambda one: -one[0])[:MOST_SPANS]
    spans = [_around(event, len(evidence.stages)) for _, event in largest]
    return _remark(
        "hr_response",
        f"The heart answers arousals strongly: its rate rises by {median:.1f} bpm (median of "
        f"{len(rises)} arousals)",
        {"median_rise_bpm": median, "arousals": float(len(rises))},
        sorted(spans, key=lambda span: span.onset_s),
    )


def disagreement(summary: NightSummary) -> Insight | None:
    """The remark that the witnesses disagree, from the agreement of the summary; None else."""
    evidence: dict[str, float] = {}
    words: list[str] = []
    for name, agreement in (summary.agreement or {}).items():
        if "/" in name:
            continue  # two others: not about the scoring that answers rest on
        if agreement.kappa is not None and agreement.kappa < LOW_KAPPA:
            evidence[f"kappa.{name}"] = agreement.kappa
            words.append(f"kappa {agreement.kappa:.2f} with the {name} scoring")
        if agreement.severity is not None:
            difference = agreement.differences.get("ahi")
            if difference is not None:
                evidence[f"ahi_difference.{name}"] = difference
            words.append(agreement.severity[:1].lower() + agreement.severity[1:].rstrip("."))
    if not words:
        return None
    spans = [
        InsightSpan(
            epoch=one.epoch, last_epoch=one.last_epoch, onset_s=one.onset_s, end_s=one.end_s
        )
        for one in summary.review_first[:MOST_SPANS]
    ]
    return _remark("disagreement", f"The scorings disagree: {'; '.join(words)}", evidence, spans)


_Judge = Callable[[NightSummary, "NightEvidence | None"], "Insight | None"]
_JUDGES: dict[str, _Judge] = {
    "positional": _positional,
    "rem_related": _rem_related,
    "central": _central,
    "cheyne_stokes": _cheyne_stokes,
    "hypoxic_burden": _burden,
    "hypoxemia": _hypoxemia,
    "fragmentation": _fragmentation,
    "arousals": _arousals,
    "short_rem_latency": _short_rem_latency,
    "long_rem_latency": _long_rem_latency,
    "first_night": _first_night,
    "insomnia_pattern": _insomnia,
    "plm": _plm,
    "hr_response": _hr_response,
}
