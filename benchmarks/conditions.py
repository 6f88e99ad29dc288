"""What the simulator's conditions look like by their truth: ``python -m benchmarks.conditions``.

Prints a Markdown table: the mean over a few seeds of indices and stage shares of each condition,
by the summary of the truth; where legs move periodically, also psgscoring's PLM index.
"""

from __future__ import annotations

import argparse

import numpy as np

from sleeplm.recording import Recording
from sleeplm.report import NightSummary
from sleeplm.scoring import RESPIRATORY_KINDS
from sleeplm.summary import summarize
from train.simulate import CONDITIONS, SimulatedNight, simulate_night

FIELDS = ("ahi", "cai", "rdi", "odi3", "arousal_index", "plm_index", "spo2_mean", "spo2_nadir")
STAGES = ("N1", "N2", "N3", "R")
HEADER = (
    "condition", "AHI", "CAI", "RDI", "ODI3", "arousals/h", "PLM/h", "PLM/h by psgscoring",
    "SpO2 mean", "SpO2 nadir", "sleep efficiency", *(f"{stage} %" for stage in STAGES),
)  # fmt: skip


def measured_plm_index(night: SimulatedNight) -> float:
    """psgscoring's PLM index from the leg EMG, with the true stages and breathing events."""
    from psgscoring import analyze_plm

    result = analyze_plm(
        night.native["LEG_L"][1].astype(float),
        night.native["LEG_R"][1].astype(float),
        night.native["LEG_L"][0],
        list(night.scoring.stages),
        resp_events=[
            {"onset_s": event.onset_s, "duration_s": event.duration_s}
            for event in night.scoring.events_of(RESPIRATORY_KINDS)
        ],
        leg_unit="uV",
        offset_aasm=True,
    )
    return float(result["summary"]["plm_index"])


def row(name: str, seeds: int, hours: float) -> list[str]:
    """One condition's line: means over ``seeds`` nights."""
    nights = [simulate_night(seed, hours=hours, condition=name) for seed in range(1, seeds + 1)]
    summaries = [summarize(n.scoring, Recording.from_signals(n.signals)) for n in nights]

    def mean(path: str) -> str:
        return f"{np.mean([_value(summary, path) for summary in summaries]):.1f}"

    legs = "–"
    if CONDITIONS[name].plm_per_h > 0:
        legs = f"{np.mean([measured_plm_index(night) for night in nights]):.1f}"
    values = [mean(field) for field in FIELDS]
    return [
        name, *values[:6], legs, *values[6:], mean("sleep_efficiency"),
        *(mean(f"stage_percent.{stage}") for stage in STAGES),
    ]  # fmt: skip


def _value(summary: NightSummary, path: str) -> float:
    """A quantity by its dotted name; NaN where it is withheld."""
    first, _, rest = path.partition(".")
    quantity = getattr(summary, first)
    value = (quantity[rest] if rest else quantity).value
    return float("nan") if value is None else float(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--hours", type=float, default=4.0)
    arguments = parser.parse_args()
    print("| " + " | ".join(HEADER) + " |")
    print("|" + " --- |" * len(HEADER))
    for name in CONDITIONS:
        print("| " + " | ".join(row(name, arguments.seeds, arguments.hours)) + " |", flush=True)


if __name__ == "__main__":
    main()
