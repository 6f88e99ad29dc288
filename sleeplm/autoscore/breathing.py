"""Events by ``psgscoring`` (Rombaut et al., BSD-3): breathing, arousals, limb movements.

Its channels are handed over under neutral names with an explicit map, so that its guessing from
labels finds nothing to guess. Its codes become the words of the house; none of its sentences (in
part Dutch) leaves this module. Not taken from it: body position (unknown codes become quintiles),
snoring (its threshold is the night's own percentile), tachycardia (it counts samples), and
desaturations (it measures a fall against the saturation *after* it; ours, from the peak before,
tells an expert's apnea minutes as well or better: ``docs/witnesses.md``).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sleeplm.autoscore.channels import Usable
from sleeplm.autoscore.legs import LegEmg
from sleeplm.physiology.oximetry import desaturations, per_second
from sleeplm.recording import Recording
from sleeplm.scoring import EPOCH_S, RESPIRATORY_KINDS, Event

__all__ = ["PROFILES", "Events", "score_events"]

PROFILES = ("aasm_v3_breath_dual", "aasm_v3_rec", "cms_medicare", "mesa_shhs")
"""Rule profiles that may be asked for; the first is psgscoring's reference deployment."""
RATE_HZ = 64.0
DESATURATION_PCT = 3.0
DESATURATION_RULE = "fall_of_3_points_from_its_peak"
_DEPTH_TOLERANCE_PCT = 0.05
_AROUSAL_OF_EVENT_S = 15.0
"""psgscoring's own window for an arousal that belongs to an event, after its end."""
_ROLES = {
    "AF": "flow",
    "THX": "thorax",
    "ABD": "abdomen",
    "SPO2": "spo2",
    "HR": "pulse",
    "ECG": "ecg",
    "EMG_CHIN": "emg",
}
_KINDS = {
    "obstructive": "obstructive_apnea",
    "central": "central_apnea",
    "mixed": "mixed_apnea",
    "hypopnea": "hypopnea",
    "hypopnea_obstructive": "hypopnea",
    "hypopnea_central": "hypopnea",
    "hypopnea_mixed": "hypopnea",
}
_UNTYPED = ("uncertain", "apnea")
_HYPOPNEA_TYPES = {"hypopnea_obstructive": 0.0, "hypopnea_central": 1.0}
_CENTRAL = ("central", "hypopnea_central")
_CYCLE_S = (40.0, 120.0)
"""AASM VIII.G asks for cycles of 40 s at least; psgscoring looks for them up to 120 s."""
_LEAST_CYCLES = 3
_DETECTORS = ("unet_v1", "unet_v2", "lgbm")
_STEPS = {
    "1": "breathing by psgscoring: apneas and hypopneas",
    "1a": "breathing by psgscoring: comparing rule profiles",
    "2": "breathing by psgscoring: saturation",
    "7": "arousals by psgscoring",
    "7b": "breathing by psgscoring: breath by breath",
    "9": "breathing by psgscoring: periodic breathing",
}
_SHARES = {"1": 0.0, "1a": 0.25, "2": 0.6, "7": 0.65, "7b": 0.8, "9": 0.95}


@dataclass
class Events:
    """What was found, and what could not be looked for.

    Attributes
    ----------
    scored_kinds : list of str
        Kinds that were looked for.
    why_not : dict of kind to str
        Why the others were not.
    details : dict
        ``ahi_range``, ``hypoxic_burden``, ``arousal_detector``, ``periodic_breathing``,
        ``untyped_apneas``: numbers with the method that they come from.
    """

    events: list[Event] = field(default_factory=list)
    untyped_apneas: list[tuple[float, float]] = field(default_factory=list)
    scored_kinds: list[str] = field(default_factory=list)
    why_not: dict[str, str] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)


def score_events(
    recording: Recording,
    usable: Usable,
    hypnogram: Sequence[str],
    left_out: Sequence[int],
    profile: str,
    tell: Callable[[str, float], None],
    legs: LegEmg,
) -> Events:
    """Score the events of a night.

    Parameters
    ----------
    hypnogram : sequence of str [n_epochs]
        ``W N1 N2 N3 R`` as psgscoring takes them; events are sought in sleep.
    left_out : sequence of int
        Epochs (from 0) without a breathing signal: no event there.
    """
    found = Events()
    _add_desaturations(found, usable)
    output = _run(recording, usable, hypnogram, left_out, profile, tell)
    arousals = _add_arousals(found, output, usable)
    _add_breathing(found, output, usable, arousals)
    _add_limb_movements(found, recording.n_epochs, legs, hypnogram)
    return found


def _run(
    recording: Recording,
    usable: Usable,
    hypnogram: Sequence[str],
    left_out: Sequence[int],
    profile: str,
    tell: Callable[[str, float], None],
) -> dict[str, Any]:
    """psgscoring's nested result; empty where there is neither flow nor EEG to give it."""
    if "AF" not in usable.signals and usable.eeg is None:
        return {}
    import mne
    from psgscoring import run_pneumo_analysis

    channel_map: dict[str, str] = {}
    data: list[np.ndarray] = []
    chosen: dict[str, str] = dict(_ROLES)
    if usable.eeg is not None:
        chosen[usable.eeg] = "eeg"
    eog = next((name for name in ("EOG_L", "EOG_R") if name in usable.signals), None)
    if eog is not None:
        chosen[eog] = "eog"
    for name, role in chosen.items():
        if name in usable.signals:
            channel_map[role] = f"q{len(data):02d}"
            in_volts = 1e-6 if name.startswith(("EEG", "EOG", "EMG")) else 1.0
            data.append(usable.signals[name].astype(np.float64) * in_volts)
    raw = mne.io.RawArray(
        np.stack(data),
        mne.create_info(list(channel_map.values()), RATE_HZ, "misc"),
        verbose="ERROR",
    )
    with _in_own_words(tell):
        output = run_pneumo_analysis(
            raw,
            list(hypnogram),
            channel_map=channel_map,
            artifact_epochs=list(left_out) or None,
            scoring_profile=profile,
        )
    used = {role: name for role, name in output["meta"]["channels_used"].items() if name != "-"}
    if used != channel_map:
        raise RuntimeError(f"psgscoring used {used} where {channel_map} was handed over")
    return dict(output)


@contextmanager
def _in_own_words(tell: Callable[[str, float], None]) -> Iterator[None]:
    """Keep psgscoring's log lines from the user; its step numbers become our own sentences."""

    class Steps(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            step = re.match(r"\[pneumo (\d+[a-z]?)[/\]]", str(record.msg))
            if step and step.group(1) in _STEPS:
                tell(_STEPS[step.group(1)], _SHARES[step.group(1)])

    logger = logging.getLogger("psgscoring")
    before = logger.level, logger.propagate, list(logger.handlers)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = [Steps()]
    try:
        yield
    finally:
        logger.level, logger.propagate, logger.handlers = before


def _add_desaturations(found: Events, usable: Usable) -> None:
    if "SPO2" not in usable.signals:
        found.why_not["desaturation"] = "no usable SpO2 channel"
        return
    found.scored_kinds.append("desaturation")
    seconds = per_second(usable.signals["SPO2"], RATE_HZ)
    for onset_s, duration_s, baseline_pct, nadir_pct in desaturations(
        seconds, DESATURATION_PCT - _DEPTH_TOLERANCE_PCT
    ):
        found.events.append(
            Event(
                "desaturation",
                float(onset_s),
                float(duration_s),
                "SPO2",
                evidence={"baseline_pct": float(baseline_pct), "nadir_pct": float(nadir_pct)},
                rule=DESATURATION_RULE,
            )
        )


def _add_arousals(found: Events, output: Mapping[str, Any], usable: Usable) -> list[Event]:
    if usable.eeg is None:
        found.why_not["arousal"] = "no usable EEG channel"
        return []
    block = output.get("arousal") or {}
    if not block.get("success"):
        found.why_not["arousal"] = "the arousal detector could not work on this recording"
        return []
    detector = str((block.get("summary") or {}).get("detector", "lgbm"))
    detector = detector if detector in _DETECTORS else "lgbm"
    found.details["arousal_detector"] = detector
    if not detector.startswith("unet"):
        lacking = [
            name
            for name, there in (
                ("EOG", any(channel.startswith("EOG") for channel in usable.signals)),
                ("chin EMG", "EMG_CHIN" in usable.signals),
            )
            if not there
        ]
        found.details["arousal_detector_note"] = (
            f"psgscoring's fallback is used, not its U-Net: no {' and no '.join(lacking)}"
            if lacking
            else "psgscoring's fallback is used, not its U-Net"
        )
    found.scored_kinds.append("arousal")
    arousals = [
        Event(
            "arousal",
            float(entry["onset_s"]),
            float(entry["duration_s"]),
            usable.eeg,
            confidence=_share(entry.get("confidence")),
            rule=f"arousal_{detector}",
        )
        for entry in block.get("events") or []
    ]
    found.events.extend(arousals)
    return arousals


def _add_breathing(
    found: Events, output: Mapping[str, Any], usable: Usable, arousals: Sequence[Event]
) -> None:
    kinds = ("obstructive_apnea", "central_apnea", "mixed_apnea", "hypopnea", "rera")
    block = output.get("respiratory") or {}
    if "AF" not in usable.signals or not block.get("success"):
        reason = (
            "no usable airflow channel"
            if "AF" not in usable.signals
            else "the breathing could not be scored on this recording"
        )
        found.why_not.update(dict.fromkeys(kinds, reason))
        return
    effort = usable.effort(len(usable.good["AF"]))
    found.scored_kinds.append("hypopnea")
    if effort.any():
        found.scored_kinds.extend(kinds[:3])
    else:
        reason = "no usable effort belt: the type of an apnea cannot be judged"
        found.why_not.update(dict.fromkeys(kinds[:3], reason))
        found.details["untyped_apneas"] = reason
    for entry in block["events"]:
        _add_breathing_event(found, entry, effort, arousals)
    _add_periodic_breathing(found, output)
    if "arousal" in found.scored_kinds:
        found.scored_kinds.append("rera")
        found.events.extend(_apart_from_apneas(_reras(block), found))
    else:
        found.why_not["rera"] = "a RERA ends in an arousal, and arousals were not scored"
    _add_indices(found, output)


def _add_breathing_event(
    found: Events, entry: Mapping[str, Any], effort: np.ndarray, arousals: Sequence[Event]
) -> None:
    onset_s, duration_s = float(entry["onset_s"]), float(entry["duration_s"])
    code = str(entry.get("type"))
    kind = _KINDS.get(code)
    epoch = min(int(onset_s // EPOCH_S), len(effort) - 1)
    if code in _UNTYPED or (kind is not None and kind != "hypopnea" and not effort[epoch]):
        found.untyped_apneas.append((onset_s, duration_s))
        return
    if kind is None:
        return
    evidence: dict[str, float] = {}
    for key, name in (
        ("flow_reduction_pct", "flow_reduction_pct"),
        ("desaturation_pct", "desaturation_pct"),
        ("min_spo2", "nadir_pct"),
    ):
        value = entry.get(key)
        if isinstance(value, int | float) and np.isfinite(value):
            evidence[name] = float(value)
    if "arousal" in found.scored_kinds:
        evidence["arousal"] = float(
            any(
                onset_s <= arousal.onset_s <= onset_s + duration_s + _AROUSAL_OF_EVENT_S
                for arousal in arousals
            )
        )
    detail = entry.get("classify_detail") or {}
    for key in ("effort_ratio", "phase_angle_deg"):
        value = detail.get(key)
        if kind != "hypopnea" and isinstance(value, int | float) and np.isfinite(value):
            evidence[key] = float(value)
    if code in _HYPOPNEA_TYPES:
        evidence["central_hypopnea"] = _HYPOPNEA_TYPES[code]
    found.events.append(
        Event(
            kind,
            onset_s,
            duration_s,
            "AF",
            confidence=_share(entry.get("confidence")),
            evidence=evidence,
            rule=_rule(kind, entry),
        )
    )


def _rule(kind: str, entry: Mapping[str, Any]) -> str:
    if kind != "hypopnea":
        return "aasm_apnea"
    if entry.get("rule1a_arousal") or entry.get("rule1b"):
        return "aasm_1a_arousal"
    if (entry.get("classify_detail") or {}).get("rule") == "1A_graded":
        return "aasm_1a_graded"
    return "aasm_1a_desaturation"


def _reras(block: Mapping[str, Any]) -> list[Event]:
    """RERAs that its RDI counts; it keeps their onsets, the lengths are found again beside them."""
    from psgscoring.pipeline import _find_flattening_sequences

    reduced = {
        round(float(entry["onset_s"]), 3): float(entry["duration_s"])
        for entry in block.get("rejected_hypopneas") or []
    }
    flattened = {
        round(float(entry["onset_s"]), 3): float(entry["duration_s"])
        for entry in _find_flattening_sequences(block.get("_breaths") or [])
    }
    events = []
    for onset in block.get("rera_onsets_s") or []:
        key = round(float(onset), 3)
        if key in reduced:
            events.append(Event("rera", key, reduced[key], "AF", rule="rera_reduced_flow"))
        elif key in flattened:
            events.append(Event("rera", key, flattened[key], "AF", rule="rera_flow_limitation"))
    return events


def _apart_from_apneas(reras: Sequence[Event], found: Events) -> list[Event]:
    """RERAs that hold no apnea or hypopnea: by AASM a sequence that meets those is no RERA.

    psgscoring's sequences of flattened breaths run over minutes and over the events in them.
    """
    spans = [
        (event.onset_s, event.end_s) for event in found.events if event.kind in RESPIRATORY_KINDS
    ]
    spans += [(onset_s, onset_s + length_s) for onset_s, length_s in found.untyped_apneas]
    return [
        rera
        for rera in reras
        if not any(onset_s < rera.end_s and rera.onset_s < end_s for onset_s, end_s in spans)
    ]


def _add_periodic_breathing(found: Events, output: Mapping[str, Any]) -> None:
    """Cheyne-Stokes breathing where its cycle and its central events (AASM VIII.G) are both met."""
    block = output.get("cheyne_stokes") or {}
    if not block.get("success"):
        found.why_not["cheyne_stokes"] = "periodic breathing could not be looked for"
        return
    found.scored_kinds.append("cheyne_stokes")
    period_s = block.get("periodicity_s")
    found.details["periodic_breathing"] = {
        "cycle_s": float(period_s) if period_s is not None else None,
        "criteria_met": bool(block.get("criteria_met")),
        "method": "psgscoring: autocorrelation of the flow envelope, 40 to 120 s",
    }
    if not block.get("criteria_met"):
        return
    found.events.extend(_cheyne_stokes_runs(output["respiratory"]["events"]))


def _cheyne_stokes_runs(entries: Sequence[Mapping[str, Any]]) -> list[Event]:
    """Three or more central apneas or central hypopneas in a row, each a cycle after the last.

    psgscoring's own mark of single events is not used: it compares the pause *between* two events
    with the length of a whole cycle, so that events of 20 s in cycles of 60 s are not marked.
    """
    shortest_s, longest_s = _CYCLE_S
    breathing = sorted(
        (entry for entry in entries if str(entry.get("type")) in (*_KINDS, *_UNTYPED)),
        key=lambda entry: float(entry["onset_s"]),
    )
    rows: list[list[tuple[float, float]]] = [[]]
    for entry in breathing:
        if entry["type"] not in _CENTRAL:
            rows.append([])
            continue
        onset_s = float(entry["onset_s"])
        last = rows[-1]
        if last and not shortest_s <= onset_s - last[-1][0] <= longest_s:
            rows.append([])
        rows[-1].append((onset_s, onset_s + float(entry["duration_s"])))
    return [
        Event("cheyne_stokes", row[0][0], row[-1][1] - row[0][0], "AF", rule="aasm_cheyne_stokes")
        for row in rows
        if len(row) >= _LEAST_CYCLES
    ]


def _add_indices(found: Events, output: Mapping[str, Any]) -> None:
    """The AHI over rule profiles, as a range, and the hypoxic burden with its method."""
    interval = output.get("ahi_interval") or {}
    by_profile = {
        name: float(interval[key]["ahi"])
        for key, name in (
            ("strict", "aasm_v3_strict"),
            ("standard", "aasm_v3_rec"),
            ("sensitive", "aasm_v3_sensitive"),
        )
        if (interval.get(key) or {}).get("ahi") is not None
    }
    summary = output["respiratory"].get("summary") or {}
    profile = str(output["meta"]["scoring_profile"])
    if summary.get("indices_computable") and summary.get("ahi_total") is not None:
        by_profile[profile] = float(summary["ahi_total"])
    if summary.get("indices_computable") and by_profile:
        found.details["ahi_range"] = {
            "lowest": min(by_profile.values()),
            "highest": max(by_profile.values()),
            "by_profile": by_profile,
            "unit": "/h",
        }
    burden = output.get("hypoxic_burden") or {}
    if isinstance(burden.get("hypoxic_burden"), int | float):
        found.details["hypoxic_burden"] = {
            "value": float(burden["hypoxic_burden"]),
            "unit": "%·min/h",
            "method": f"psgscoring, baseline {_code(burden.get('baseline_method'))}; published "
            "methods differ by a factor of 0.3 to 2.3 on one night",
        }


def _add_limb_movements(
    found: Events, n_epochs: int, legs: LegEmg, hypnogram: Sequence[str]
) -> None:
    if not legs.signals:
        reason = legs.reason or "no leg EMG channel"
        found.why_not.update({"limb_movement": reason, "plm": reason})
        return
    from psgscoring import analyze_plm

    breathing = [
        {"onset_s": event.onset_s, "duration_s": event.duration_s}
        for event in found.events
        if event.kind.endswith("apnea") or event.kind == "hypopnea"
    ]
    with _in_own_words(lambda phrase, share: None):
        result = analyze_plm(
            legs.signals.get("left"),
            legs.signals.get("right"),
            legs.rate_hz,
            list(hypnogram),
            resp_events=breathing,
            leg_unit="uV",
            event_list_cap=None,
            offset_aasm=True,
        )
    if not result.get("success"):
        reason = "the leg EMG could not be scored"
        found.why_not.update({"limb_movement": reason, "plm": reason})
        return
    found.scored_kinds.extend(("limb_movement", "plm"))
    end_s = n_epochs * EPOCH_S
    for entry in result["events"]:
        onset_s, duration_s = float(entry["onset_s"]), float(entry["duration_s"])
        if onset_s < end_s:
            kind, rule = (
                ("plm", "aasm_plm") if entry.get("is_plm") else ("limb_movement", "aasm_lm")
            )
            found.events.append(Event(kind, onset_s, duration_s, rule=rule))


def _share(value: Any) -> float | None:
    """A confidence between 0 and 1, which ranks events and is no probability."""
    if not isinstance(value, int | float) or not np.isfinite(value):
        return None
    return float(min(max(value, 0.0), 1.0))


def _code(value: Any) -> str:
    text = str(value)
    return text if re.fullmatch(r"[a-z_]{1,24}", text) else "not named"
