"""NSRR and Compumedics Profusion scoring XML, read and written.

XML is parsed by defusedxml: entity declarations and external references are refused.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from sleeplm.cache import write_atomically
from sleeplm.errors import ScoringError
from sleeplm.scoring import EPOCH_S, EVENT_KINDS, UNSCORED, Event, Scoring
from sleeplm.scoring_files.vocabulary import Draft

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["read_xml", "write_nsrr_xml", "write_profusion_xml"]

PROFUSION_STAGES = {
    0: "W",
    1: "N1",
    2: "N2",
    3: "N3",
    4: "N3",
    5: "R",
    6: UNSCORED,
    9: UNSCORED,
}
"""Profusion stage codes: Rechtschaffen & Kales, stage 4 read as N3; 6 movement, 9 unscored."""

NSRR_STAGES = {
    "W": "Wake|0",
    "N1": "Stage 1 sleep|1",
    "N2": "Stage 2 sleep|2",
    "N3": "Stage 3 sleep|3",
    "R": "REM sleep|5",
    UNSCORED: "Unscored|9",
}
NSRR_EVENTS = {
    "obstructive_apnea": ("Respiratory|Respiratory", "Obstructive apnea|Obstructive Apnea"),
    "central_apnea": ("Respiratory|Respiratory", "Central apnea|Central Apnea"),
    "mixed_apnea": ("Respiratory|Respiratory", "Mixed apnea|Mixed Apnea"),
    "hypopnea": ("Respiratory|Respiratory", "Hypopnea|Hypopnea"),
    "rera": ("Respiratory|Respiratory", "Respiratory effort related arousal|RERA"),
    "desaturation": ("Respiratory|Respiratory", "SpO2 desaturation|SpO2 desaturation"),
    "arousal": ("Arousals|Arousals", "Arousal|Arousal ()"),
    "limb_movement": ("Limb Movement|Limb Movement", "Limb movement|Limb Movement"),
    "plm": ("Limb Movement|Limb Movement", "Periodic leg movement|PLM"),
    "snore": ("Respiratory|Respiratory", "Snoring|Snoring"),
    "bradycardia": ("Arrhythmia|Arrhythmia", "Bradycardia|Bradycardia"),
    "tachycardia": ("Arrhythmia|Arrhythmia", "Tachycardia|Tachycardia"),
    "cheyne_stokes": ("Respiratory|Respiratory", "Cheyne Stokes breathing|Cheyne Stokes"),
    "artifact": ("Artifact|Artifact", "Signal artifact|SIGNAL-ARTIFACT"),
}
PROFUSION_CODES = {"W": 0, "N1": 1, "N2": 2, "N3": 3, "R": 5, UNSCORED: 9}
PROFUSION_EVENTS = {
    "obstructive_apnea": "Obstructive Apnea",
    "central_apnea": "Central Apnea",
    "mixed_apnea": "Mixed Apnea",
    "hypopnea": "Hypopnea",
    "rera": "RERA",
    "desaturation": "SpO2 desaturation",
    "arousal": "Arousal (Standard)",
    "limb_movement": "Limb Movement",
    "plm": "PLM",
    "snore": "Snore",
    "bradycardia": "Bradycardia",
    "tachycardia": "Tachycardia",
    "cheyne_stokes": "Cheyne Stokes Breathing",
    "artifact": "SIGNAL-ARTIFACT",
}
_UNTYPED = ("Respiratory|Respiratory", "Apnea|Apnea")


def read_xml(content: bytes, name: str) -> Scoring:
    """A scoring from the bytes of an NSRR or Profusion XML file."""
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        root = fromstring(content)
    except DefusedXmlException as error:
        raise ScoringError(
            f"{name}: the XML declares entities or external references, which are never loaded; "
            "remove its DOCTYPE"
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        raise ScoringError(
            f"{name}: not well-formed XML ({error}); it may be cut off: copy the file again"
        ) from error
    tag = root.tag.rsplit("}", 1)[-1]
    if tag == "PSGAnnotation":
        return _read_nsrr(root, name)
    if tag == "CMPStudyConfig":
        return _read_profusion(root, name)
    raise ScoringError(
        f"{name}: XML of another kind; SleepLM reads NSRR (PSGAnnotation) and Profusion "
        "(CMPStudyConfig) scorings"
    )


def _text(element: Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()


def _number(element: Element, tag: str) -> float:
    """Number in a child element; NaN where it is missing or not a number."""
    try:
        return float(_text(element, tag).replace(",", "."))
    except ValueError:
        return math.nan


def _epoch_s(root: Element) -> float | None:
    length_s = _number(root, "EpochLength")
    return length_s if math.isfinite(length_s) else None


def _read_nsrr(root: Element, name: str) -> Scoring:
    draft = Draft(name, epoch_s=_epoch_s(root))
    for row in root.iterfind("./ScoredEvents/ScoredEvent"):
        concept = _text(row, "EventConcept")
        if concept.casefold().startswith("recording start time"):
            draft.start = _clock(_text(row, "ClockTime"))
            duration_s = _number(row, "Duration")
            draft.recording_duration_s = duration_s if duration_s > 0 else None
            continue
        duration_s = _number(row, "Duration")
        evidence = {
            key: value
            for key, tag in (("baseline_pct", "SpO2Baseline"), ("nadir_pct", "SpO2Nadir"))
            if math.isfinite(value := _number(row, tag))
        }
        draft.add(
            concept,
            _number(row, "Start"),
            duration_s if math.isfinite(duration_s) else 0.0,
            _text(row, "SignalLocation") or None,
            evidence,
        )
    stated = root.findtext("ScoredKinds")
    if stated is not None:
        draft.scored_kinds = tuple(kind for kind in EVENT_KINDS if kind in stated.split())
    return draft.scoring()


def _read_profusion(root: Element, name: str) -> Scoring:
    draft = Draft(name, epoch_s=_epoch_s(root))
    unknown = 0
    for index, element in enumerate(root.iterfind("./SleepStages/SleepStage")):
        code = (element.text or "").strip()
        stage = PROFUSION_STAGES.get(int(code)) if code.isdigit() else None
        unknown += stage is None
        draft.add_stage(stage or UNSCORED, index * EPOCH_S, EPOCH_S)
    if unknown:
        draft.problems.append(f"{unknown} epochs have a stage code that is not known: unscored")
    for row in root.iterfind("./ScoredEvents/ScoredEvent"):
        nadir_pct, depth_pct = _number(row, "LowestSpO2"), _number(row, "Desaturation")
        evidence = {}
        if math.isfinite(nadir_pct):
            evidence["nadir_pct"] = nadir_pct
            if math.isfinite(depth_pct):
                evidence["baseline_pct"] = nadir_pct + depth_pct
        elif math.isfinite(depth_pct):
            evidence["depth_pct"] = depth_pct
        draft.add(
            _text(row, "Name") or _text(row, "EventConcept"),
            _number(row, "Start"),
            _number(row, "Duration"),
            _text(row, "Input") or None,
            evidence,
        )
    return draft.scoring()


def _clock(text: str) -> datetime | None:
    """Start clock of an NSRR row: "2000-01-01 22:14:00", "01.01.85 22.14.00" (day first).

    "00.00.00" stands for an unknown date and becomes 1 January 2000, a placeholder date.
    """
    iso = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)[ T](\d\d)[:.](\d\d)[:.](\d\d)(?:\.\d+)?", text)
    dotted = re.fullmatch(
        r"(\d\d?)[./-](\d\d?)[./-](\d{2,4})\s+(\d\d?)[:.](\d\d)[:.](\d\d)(?:\.\d+)?", text
    )
    bare = re.fullmatch(r"(\d\d?)[:.](\d\d)[:.](\d\d)", text)
    try:
        if iso:
            year, month, day, hour, minute, second = (int(part) for part in iso.groups())
            return datetime(year, month, day, hour, minute, second)
        if dotted:
            day, month, year, hour, minute, second = (int(part) for part in dotted.groups())
            if day == 0 or month == 0:
                return datetime(2000, 1, 1, hour, minute, second)
            if year < 100:
                year += 1900 if year >= 85 else 2000  # EDF's two-digit years
            return datetime(year, month, day, hour, minute, second)
        if bare:
            hour, minute, second = (int(part) for part in bare.groups())
            return datetime(2000, 1, 1, hour, minute, second)
    except ValueError:
        return None
    return None


def write_nsrr_xml(scoring: Scoring, path: str | Path) -> None:
    """Write a scoring as NSRR XML; :func:`sleeplm.read_scoring` reads the same back.

    Beside the NSRR elements stands ``ScoredKinds``, the kinds that the scorer looked for, so that
    "none" stays apart from "not scored". The file appears whole or not at all.
    """
    rows = [_start_row(scoring)]
    onset = 0
    for stage, run in groupby(scoring.stages):
        count = len(list(run))
        rows.append(_row("Stages|Stages", NSRR_STAGES[stage], onset * EPOCH_S, count * EPOCH_S))
        onset += count
    for time_s, concept in (
        (scoring.lights_off_s, "Lights off|Lights Off"),
        (scoring.lights_on_s, "Lights on|Lights On"),
    ):
        if time_s is not None:
            rows.append(_row("", concept, time_s, 0.0))
    rows.extend(_event_row(event) for event in scoring.events)
    rows.extend(_row(*_UNTYPED, *apnea) for apnea in scoring.untyped_apneas)
    kinds = scoring.scored_kinds if scoring.scored_kinds is not None else EVENT_KINDS
    stated = " ".join(kinds) if scoring.has_events else ""
    text = "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8" standalone="no"?>',
            "<PSGAnnotation>",
            "<SoftwareVersion>SleepLM</SoftwareVersion>",
            f"<EpochLength>{EPOCH_S:g}</EpochLength>",
            f"<ScoredKinds>{stated}</ScoredKinds>",
            "<ScoredEvents>",
            *rows,
            "</ScoredEvents>",
            "</PSGAnnotation>",
            "",
        ]
    )
    write_atomically(Path(path), text)


def write_profusion_xml(scoring: Scoring, path: str | Path) -> None:
    """Write a scoring as Compumedics Profusion XML; the file appears whole or not at all.

    This form has no clock, and holds neither which kinds were looked for nor lights off and on.
    """
    rows = [_profusion_row(event) for event in scoring.events]
    rows += [
        f"<ScoredEvent><Name>Apnea</Name><Start>{float(onset_s)!r}</Start>"
        f"<Duration>{float(duration_s)!r}</Duration></ScoredEvent>"
        for onset_s, duration_s in scoring.untyped_apneas
    ]
    stages = "".join(
        f"<SleepStage>{PROFUSION_CODES[stage]}</SleepStage>" for stage in scoring.stages
    )
    write_atomically(
        Path(path),
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
        f"<CMPStudyConfig>\n<EpochLength>{EPOCH_S:g}</EpochLength>\n<ScoredEvents>\n"
        + "\n".join(rows)
        + f"\n</ScoredEvents>\n<SleepStages>{stages}</SleepStages>\n</CMPStudyConfig>\n",
    )


def _profusion_row(event: Event) -> str:
    extra = f"<Input>{escape(event.channel)}</Input>" if event.channel else ""
    if "nadir_pct" in event.evidence:
        nadir_pct = float(event.evidence["nadir_pct"])
        extra += f"<LowestSpO2>{nadir_pct!r}</LowestSpO2>"
        if "baseline_pct" in event.evidence:
            depth_pct = float(event.evidence["baseline_pct"]) - nadir_pct
            extra += f"<Desaturation>{depth_pct!r}</Desaturation>"
    return (
        f"<ScoredEvent><Name>{PROFUSION_EVENTS[event.kind]}</Name>"
        f"<Start>{float(event.onset_s)!r}</Start><Duration>{float(event.duration_s)!r}</Duration>"
        f"{extra}</ScoredEvent>"
    )


def _start_row(scoring: Scoring) -> str:
    duration_s = scoring.meta.get("recording_duration_s", scoring.n_epochs * EPOCH_S)
    clock = f"<ClockTime>{scoring.start:%Y-%m-%d %H:%M:%S}</ClockTime>" if scoring.start else ""
    return _row("", "Recording Start Time", 0.0, float(duration_s), clock)


def _event_row(event: Event) -> str:
    extra = f"<SignalLocation>{escape(event.channel)}</SignalLocation>" if event.channel else ""
    for key, tag in (("nadir_pct", "SpO2Nadir"), ("baseline_pct", "SpO2Baseline")):
        if key in event.evidence:
            extra += f"<{tag}>{float(event.evidence[key])!r}</{tag}>"
    return _row(*NSRR_EVENTS[event.kind], event.onset_s, event.duration_s, extra)


def _row(kind: str, concept: str, onset_s: float, duration_s: float, extra: str = "") -> str:
    return (
        f"<ScoredEvent><EventType>{kind}</EventType><EventConcept>{concept}</EventConcept>"
        f"<Start>{float(onset_s)!r}</Start><Duration>{float(duration_s)!r}</Duration>{extra}"
        "</ScoredEvent>"
    )
