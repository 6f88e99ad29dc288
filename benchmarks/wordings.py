"""What is right for each of the wordings in the CSV files, from a night's truth and signals.

The wordings were written apart from the planner's rules. All that stand in this folder have been
used to mend the rules since ("tuned"); only a file that is named on the command line is held out.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from benchmarks.agent import Truth

__all__ = ["right_answer", "wordings"]

RATE_HZ = 64
SLEEP = ("N1", "N2", "N3", "R")
APNEAS = ("obstructive_apnea", "central_apnea", "mixed_apnea")
BREATHING = (*APNEAS, "hypopnea")
KINDS = {"apnea": APNEAS, "hypopnea": ("hypopnea",), "desaturation": ("desaturation",),
         "arousal": ("arousal",)}  # fmt: skip
SUPINE = 2
REPORT, LOCATE = "summarize_night", "locate_events"


FILES = ("wordings.csv", "wordings_new.csv")


def wordings(
    extra: Path | None = None, extra_name: str = "held out"
) -> Iterator[tuple[str, str, str]]:
    """(set, key of the truth, wording) of each line of this folder's files and of one more.

    Parameters
    ----------
    extra : Path or None
        A CSV with the columns truth and wording.
    extra_name : str
        What its set is called.
    """
    for name in FILES:
        with Path(__file__).with_name(name).open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                yield row["set"], row["truth"], row["wording"]
    if extra is not None:
        with extra.open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                yield extra_name, row["truth"], row["wording"]


def right_answer(key: str, truth: Truth, signals: dict[str, np.ndarray]) -> tuple[str, str]:
    """(tools that may be called, pattern of the answer); no tool is called for what is refused.

    Parameters
    ----------
    key : str
        First column of the wordings, as ``minutes:N3``.
    truth : benchmarks.agent.Truth
    signals : dict
        SPO2 (%), HR (bpm) and POS (codes) of the recording at 64 Hz.
    """
    head, *more = key.split(":")
    if head in _PATTERNS:
        return _PATTERNS[head]
    if head in ("longest", "deepest", "first", "last", "third", "half", "stage", "long"):
        return f"{LOCATE}|{REPORT}", _of_events(head, more, truth)
    if head == "compare":
        return f"{LOCATE}|{REPORT}", _comparison(more[0], truth)
    if head == "dominance":
        n_obstructive = len(truth.of(("obstructive_apnea",)))
        kind = _dominant(truth)
        return f"{LOCATE}|{REPORT}", (
            rf"predominantly {kind}|obstructive apneas? {n_obstructive}\b"
            rf"|\b{n_obstructive} obstructive"
        )
    if head == "severity":
        bands = ((5, "none"), (15, "mild"), (30, "moderate"), (1e9, "severe"))
        word = next(word for upper, word in bands if truth.per_hour(BREATHING) < upper)
        return REPORT, rf"\b{word}\b"
    if head == "position":
        return f"{REPORT}|describe_system", _of_positions(truth, signals)
    value = _figure(head, more, truth, signals)
    if value is None:
        return f"{REPORT}|{LOCATE}|describe_system", r"not known|[Tt]here (?:is|was|were) no\b"
    decimals = 0 if head == "awakenings" else 1
    # A half may be rounded either way.
    low, high = (f"{value + shift:.{decimals}f}" for shift in (-1e-6, 1e-6))
    if head == "t90":
        # Seconds at the edge of what the oximeter could not follow may be left out or not.
        low = f"{_t90_plausible(truth, signals['SPO2']):.1f}"
    tools = f"{REPORT}|{LOCATE}" if head not in ("hr", "position", "nadir") else (
        f"{REPORT}|describe_system")  # fmt: skip
    return tools, rf"(?<![\d.])(?:{re.escape(low)}|{re.escape(high)})(?!\.?\d)"


_PATTERNS = {
    "why": (f"{REPORT}|{LOCATE}", r"per hour of sleep|\d"),
    "summary": (REPORT, r"(?i)AHI|total sleep time"),
    "similar": ("find_similar", r"epoch \d+|similar|model"),
    "term": ("explain_term", r"^[^:]{2,60}: .{30,}"),
    "plm_index": (
        f"{REPORT}|{LOCATE}",
        r"(?:PLM|limb movement) index.*(?:not known|\d)|(?:no|\d) periodic limb movements",
    ),
    "refuse": ("", "research use only|did not understand"),
    "unknown": ("", "research use only|did not understand"),
}


def _epochs(truth: Truth, samples: np.ndarray) -> np.ndarray:
    """Samples at one per second, in rows of an epoch, of the sleep epochs only."""
    seconds = samples[::RATE_HZ][: len(truth.stages) * 30].reshape(-1, 30)
    asleep = np.array([stage in SLEEP for stage in truth.stages[: len(seconds)]])
    return np.asarray(seconds[asleep])


def _figure(
    head: str, more: list[str], truth: Truth, signals: dict[str, np.ndarray]
) -> float | None:
    stages, onset = truth.stages, truth.onset()
    tst = truth.minutes(SLEEP)
    last = max(i for i, stage in enumerate(stages) if stage in SLEEP)
    if head == "ahi" and more:
        return _ahi_of_part(more[0], truth, signals["POS"])
    if head in ("minutes", "percent"):
        minutes = truth.minutes((more[0],))
        return minutes if head == "minutes" else 100 * minutes / tst
    if head == "remlat":
        return (stages.index("R") - onset) / 2 if "R" in stages else None
    if head in ("nadir", "t90", "hr", "position"):
        name = {"hr": "HR", "position": "POS"}.get(head, "SPO2")
        values = _epochs(truth, signals[name])
        return float(
            {
                "nadir": values.min(),
                "t90": np.sum(values < 90) / 60,
                "hr": values.mean(),
                "position": np.sum(values == SUPINE) / 60,
            }[head]
        )
    rates = {
        "ahi": BREATHING,
        "rdi": (*BREATHING, "rera"),
        "oai": ("obstructive_apnea",),
        "cai": ("central_apnea",),
        "hi": ("hypopnea",),
        "arousal_index": ("arousal",),
    }
    if head in rates:
        return truth.per_hour(rates[head])
    if head == "odi":
        return truth.per_hour(("desaturation",))
    inside = stages[onset : last + 1]
    wakings = sum(a != "W" and b == "W" for a, b in pairwise(inside))
    return {
        "sol": onset / 2,
        "se": 100 * tst / (len(stages) / 2),
        "tst": tst,
        "waso": sum(stage == "W" for stage in stages[onset:]) / 2,
        "awakenings": float(wakings),
    }[head]


def _ahi_of_part(part: str, truth: Truth, position: np.ndarray) -> float | None:
    """Apneas and hypopneas per hour of sleep in REM, NREM, or a position where they start."""
    events = [event for event in truth.of(BREATHING) if truth.sleep_stage(event)]
    if part in ("R", "N"):
        stages = ("R",) if part == "R" else ("N1", "N2", "N3")
        hours = truth.minutes(stages) / 60
        found = sum(truth.sleep_stage(event) in stages for event in events)
        return found / hours if hours else None
    codes = position[::RATE_HZ]
    is_in = (codes == SUPINE) if part == "supine" else (codes >= 0) & (codes != SUPINE)
    asleep = np.repeat([stage in SLEEP for stage in truth.stages], 30)[: len(codes)]
    hours = np.sum(is_in[: len(asleep)] & asleep) / 3600
    found = sum(bool(is_in[int(event["onset_s"])]) for event in events)
    return found / hours if hours else None


def _of_events(head: str, more: list[str], truth: Truth) -> str:
    """Pattern of an answer about counts and places of events."""
    if head == "deepest":
        falls = [event["evidence"]["nadir_pct"] for event in truth.of(("desaturation",))]
        return rf"(?<![\d.]){min(falls):.1f}(?!\.?\d)" if falls else "no desaturations"
    kinds = KINDS[more[0] if head in ("longest", "first", "last", "long") else more[1]] if (
        head != "half" and head != "third") else KINDS[more[-1]]  # fmt: skip
    events = truth.of(kinds)
    none = r"[Tt]here (?:were|was|is) no\b"
    if head in ("longest", "first", "last"):
        if not events:
            return none
        if head == "longest":
            return rf"(?<![\d.]){max(event['duration_s'] for event in events):.1f}(?!\.?\d)"
        return truth.clock(events[0 if head == "first" else -1]["onset_s"])
    if head == "stage":
        found = truth.in_stage(kinds, more[0])
    elif head == "long":
        found = sum(event["duration_s"] >= float(more[1]) for event in events)
    else:
        n_parts = 3 if head == "third" else 2
        n_epochs = len(truth.stages)
        size = n_epochs // n_parts
        first, last = {
            "first": (0, size),
            "second": (size, 2 * size if n_parts == 3 else n_epochs),
            "last": (n_epochs - size, n_epochs),
        }[more[0]]
        found = sum(first * 30.0 <= event["onset_s"] < last * 30.0 for event in events)
    return rf"(?<![\d.]){found}(?!\.?\d)" if found else none


def _comparison(between: str, truth: Truth) -> str:
    """Which side has more apneas per hour of its sleep; both counts where the rates agree."""
    half = len(truth.stages) // 2
    sides: list[float] = []
    for side in (True, False):
        if between == "half":
            asleep = sum(s in SLEEP and (i < half) == side for i, s in enumerate(truth.stages))
            found = sum(
                truth.sleep_stage(e) is not None and (e["onset_s"] < half * 30.0) == side
                for e in truth.of(APNEAS)
            )
        else:
            stages = ("R",) if side else ("N1", "N2", "N3")
            asleep = sum(stage in stages for stage in truth.stages)
            found = sum(truth.sleep_stage(event) in stages for event in truth.of(APNEAS))
        sides.append(found / asleep if asleep else float("nan"))
    if any(np.isnan(sides)):
        return r"cannot be compared|not known|[Tt]here is no"
    names = ("the first half", "the second half") if between == "half" else ("REM", "NREM")
    if f"{sides[0] * 120:.1f}" == f"{sides[1] * 120:.1f}":
        return "the same in both"
    return rf"higher in {names[0] if sides[0] > sides[1] else names[1]}"


def _t90_plausible(truth: Truth, samples: np.ndarray) -> float:
    """Minutes below 90 % in sleep without what no blood could do.

    Left out are values outside 50 to 100 %, steps of more than 4 points within one second, and
    the two seconds on each side: the definition that the report states.
    """
    seconds = samples[::RATE_HZ][: len(truth.stages) * 30].astype(float)
    bad = (seconds < 50) | (seconds > 100)
    bad |= np.abs(np.diff(seconds, prepend=seconds[:1])) > 4
    near = np.convolve(bad, np.ones(5), mode="same") > 0
    asleep = np.repeat([stage in SLEEP for stage in truth.stages], 30)[: len(seconds)]
    return float(np.sum((seconds < 90) & ~near & asleep)) / 60


def _of_positions(truth: Truth, signals: dict[str, np.ndarray]) -> str:
    """Minutes of sleep on the back, as a number; beside them stands every other position."""
    minutes = _figure("position", [], truth, signals)
    return rf"(?<![\d.]){minutes:.1f}(?!\.?\d)"


def _dominant(truth: Truth) -> str:
    counts: dict[str, Any] = {kind: len(truth.of((kind,))) for kind in APNEAS}
    return max(counts, key=lambda kind: counts[kind]).removesuffix("_apnea")
