"""Sections of a night's report as short text, each number with its unit and source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sleeplm.scoring import RESPIRATORY_KINDS
from tools.artifacts import Evidence

if TYPE_CHECKING:
    from sleeplm.summary import NightSummary

__all__ = ["SECTION_FIELDS", "quantity_of", "section_evidence", "section_formulas", "section_text"]

_STAGES = ("W", "N1", "N2", "N3", "R")
_POSITIONS = ("supine", "left", "right", "prone", "upright")

#: Section → (field of the summary, what it is called).
SECTION_FIELDS: dict[str, tuple[tuple[str, str], ...]] = {
    "recording": (("trt", "recording time"), ("tib", "time in bed")),
    "sleep": (
        ("tst", "total sleep time (TST)"),
        ("sleep_efficiency", "sleep efficiency"),
        ("sleep_onset_latency", "sleep onset latency"),
        ("rem_latency", "REM latency"),
        ("n3_latency", "N3 latency"),
        ("waso", "wake after sleep onset (WASO)"),
        ("awakenings", "awakenings"),
        ("spt", "sleep period"),
        ("sleep_maintenance", "sleep maintenance"),
    ),
    "stages": (
        *((f"stage_minutes.{stage}", f"{'REM' if stage == 'R' else stage}") for stage in _STAGES),
        *(
            (f"stage_percent.{stage}", f"{'REM' if stage == 'R' else stage} of sleep time")
            for stage in _STAGES[1:]
        ),
    ),
    "respiratory": (
        ("ahi", "AHI, apneas + hypopneas as scored"),
        ("ahi_1a", "AHI by rule 1A"),
        ("ahi_1b", "AHI by rule 1B"),
        ("rdi", "RDI"),
        ("apnea_index", "apnea index"),
        ("hypopnea_index", "hypopnea index"),
        ("oahi", "obstructive AHI"),
        ("cai", "central apnea index"),
        ("ahi_rem", "AHI in REM"),
        ("ahi_nrem", "AHI in NREM"),
        ("ahi_supine", "AHI supine"),
        ("ahi_nonsupine", "AHI not supine"),
        *(
            (f"event_counts.{kind}", f"{kind.replace('_', ' ')}s")
            for kind in (*RESPIRATORY_KINDS, "rera")
        ),
    ),
    "oximetry": (
        ("spo2_mean", "mean SpO2"),
        ("spo2_nadir", "lowest SpO2"),
        ("t90", "time below 90 % (T90)"),
        ("odi3", "ODI3"),
        ("odi4", "ODI4"),
        ("event_counts.desaturation", "desaturations"),
    ),
    "arousals": (("arousal_index", "arousal index"), ("event_counts.arousal", "arousals")),
    "cardiac": (
        ("hr_mean", "mean heart rate"),
        ("hr_min", "lowest heart rate"),
        ("hr_max", "highest heart rate"),
        ("event_counts.bradycardia", "bradycardias"),
        ("event_counts.tachycardia", "tachycardias"),
    ),
    "movement": (
        ("plm_index", "PLM index"),
        ("event_counts.plm", "periodic limb movements"),
        ("event_counts.limb_movement", "limb movements"),
    ),
    "position": tuple((f"position_minutes.{name}", name) for name in _POSITIONS),
}


def quantity_of(summary: NightSummary, path: str) -> dict[str, Any] | None:
    """A quantity ``{"value", "unit", "source", "note"}`` of a summary by its dotted name.

    A bare number (a count) becomes a quantity of the scorer; None where there is no such field.
    """
    node: Any = summary
    for name in path.split("."):
        node = node.get(name) if isinstance(node, dict) else getattr(node, name, None)
        if node is None:
            return None
    if isinstance(node, (int, float)):
        return {"value": float(node), "unit": "", "source": str(summary.scorer["kind"]), "note": ""}
    return {
        "value": node.value,
        "unit": node.unit or "",
        "source": node.source or "",
        "note": node.note or "",
    }


def section_text(summary: NightSummary, section: str) -> str:
    """One paragraph: known quantities with source, then what is not known and why."""
    known: dict[str, list[str]] = {}
    unknown: list[str] = []
    for path, words in SECTION_FIELDS[section]:
        quantity = quantity_of(summary, path)
        if quantity is None:
            continue
        note = f" ({quantity['note']})" if quantity["note"] else ""
        if quantity["value"] is None:
            unknown.append(f"{words}{note}")
        else:
            known.setdefault(quantity["source"], []).append(f"{_stated(words, quantity)}{note}")
    parts = [f"{'; '.join(items)} [{source}]" for source, items in known.items()]
    text = ". ".join(parts) or "nothing known"
    if unknown:
        text += f". Not known: {'; '.join(unknown)}"
    return f"{section.capitalize()}: {text}."


def section_evidence(summary: NightSummary, section: str) -> list[Evidence]:
    """The known quantities of a section as citable facts."""
    facts = []
    for path, words in SECTION_FIELDS[section]:
        quantity = quantity_of(summary, path)
        if quantity is None or quantity["value"] is None:
            continue
        facts.append(
            Evidence(
                kind="quantity",
                source=quantity["source"],
                text=_stated(words, quantity),
                value=quantity["value"],
                unit=quantity["unit"],
                field=path,
            )
        )
    return facts


def section_formulas(section: str) -> dict[str, str]:
    """Formula and source of each field of a section."""
    from sleeplm.report import FIELDS

    heads = dict.fromkeys(path.partition(".")[0] for path, _ in SECTION_FIELDS[section])
    return {head: f"{FIELDS[head].formula} ({FIELDS[head].source})" for head in heads}


def _stated(words: str, quantity: dict[str, Any]) -> str:
    value, unit = float(quantity["value"]), quantity["unit"]
    is_count = unit in ("", "count", "events") and value == round(value)
    number = f"{value:.0f}" if is_count else f"{value:.1f}"
    unit = "" if is_count else unit
    return f"{words} {number}{'' if unit.startswith('/') or not unit else ' '}{unit}"
