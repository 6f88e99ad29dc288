"""Automatic scoring against truth: ``python -m benchmarks.autoscore [--hours 2] [--seeds 7 8]``.

Simulated nights (κ of stages, event F1 at IoU 0.3 by kind, index errors, seconds, peak memory; AHI
also with the true stages given to the event scoring), the real ``prerau-dynamo`` night (κ of the
stages), and the oximetry of ``hugcdn-oxi/dev`` (falls of SpO2 in a minute against the expert's
apnea minutes, AUROC). A part whose data are missing is left out and says so. Prints one JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np


def simulated(seed: int, hours: float, ahi: float) -> dict[str, Any]:
    """One simulated night, scored from end to end and with the true stages."""
    from sleeplm.agreement import compare
    from sleeplm.autoscore import DEFAULT_PROFILE
    from sleeplm.autoscore.breathing import score_events
    from sleeplm.autoscore.channels import usable_channels
    from sleeplm.autoscore.legs import LegEmg
    from sleeplm.autoscore.process import ScoringProcess
    from sleeplm.recording import Recording
    from sleeplm.scoring import RESPIRATORY_KINDS
    from sleeplm.summary import summarize
    from train.simulate import simulate_night

    made = simulate_night(seed, hours=hours, ahi=ahi)
    recording = Recording.from_signals(made.signals, start=made.start)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    scoring = ScoringProcess(recording).run()
    wall_s, used = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    truth, found = summarize(made.scoring, recording), summarize(scoring, recording)
    agreed = compare(made.scoring, scoring, truth, found)
    given = score_events(
        recording,
        usable_channels(recording),
        made.scoring.stages,
        [],
        DEFAULT_PROFILE,
        lambda phrase, share: None,
        LegEmg(),
    )
    breathing = sum(event.kind in RESPIRATORY_KINDS for event in given.events)
    asleep_h = (truth.tst.value or 0) / 60
    return {
        "seed": seed,
        "hours": hours,
        "kappa": agreed.kappa,
        "confusion": agreed.confusion,
        "f1": {kind: agreement.f1 for kind, agreement in agreed.events.items()},
        "truth_less_automatic": agreed.differences,
        "true": {name: truth.quantity(name).value for name in ("ahi", "odi3", "arousal_index")},
        "ahi_with_true_stages": (breathing + len(given.untyped_apneas)) / asleep_h,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "peak_gb_of_its_process": used.ru_maxrss / 1e6,
    }


def real_stages(folder: Path) -> dict[str, Any]:
    """κ and accuracy on 84 minutes of a real night, one EEG channel."""
    from sleeplm.agreement import stage_agreement
    from sleeplm.autoscore import autoscore
    from sleeplm.recording import Recording
    from sleeplm.resampling import resample
    from sleeplm.scoring import EPOCH_S, Scoring

    names = {1: "N3", 2: "N2", 3: "N1", 4: "R", 5: "W"}
    samples = np.loadtxt(folder / "segment_data.csv", delimiter=",").ravel()
    changes = np.genfromtxt(folder / "segment_stages.csv", delimiter=",", skip_header=1)
    recording = Recording.from_signals({"EEG_C4_A1": resample(samples.astype(np.float32), 100)})
    middle_s = (np.arange(recording.n_epochs) + 0.5) * EPOCH_S
    rows = np.maximum(np.searchsorted(changes[:, 0], middle_s, side="right") - 1, 0)
    truth = Scoring(tuple(names[int(changes[row, 1])] for row in rows))
    agreed = stage_agreement(truth, autoscore(recording))
    return {"epochs": agreed.epochs, "kappa": agreed.kappa, "agreement": agreed.agreement_percent}


def real_oximetry(folder: Path) -> dict[str, float]:
    """AUROC of the deepest fall that begins in a minute, against the expert's apnea minutes."""
    from psgscoring import detect_desaturations
    from sklearn.metrics import roc_auc_score

    from sleeplm.physiology.oximetry import desaturations

    labels: list[np.ndarray] = []
    ours: list[np.ndarray] = []
    theirs: list[np.ndarray] = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as held:
            minutes = np.asarray(held["spo2_pct"], dtype=float)
            valid = np.asarray(held["minute_valid"], dtype=bool)
            apnea = np.asarray(held["apnea_min"])
        seconds = minutes.ravel()
        n = min(len(minutes), len(apnea), len(valid))
        depth = np.zeros(len(minutes)), np.zeros(len(minutes))
        for onset_s, duration_s, baseline, nadir in desaturations(seconds, 2.95):
            last = int((onset_s + duration_s) // 60) + 1
            part = depth[0][int(onset_s // 60) : last]
            np.maximum(part, baseline - nadir, out=part)
        plausible = np.where((seconds >= 50) & (seconds <= 100), seconds, np.nan)
        asleep = np.ones(len(seconds), dtype=bool)
        for fall in detect_desaturations(plausible, 1.0, asleep, 3.0):
            last = int((fall["onset_s"] + fall["duration_s"]) // 60) + 1
            part = depth[1][int(fall["onset_s"] // 60) : last]
            np.maximum(part, fall["drop_pct"], out=part)
        labels.append(apnea[:n][valid[:n]])
        ours.append(depth[0][:n][valid[:n]])
        theirs.append(depth[1][:n][valid[:n]])
    truth = np.concatenate(labels) > 0
    return {
        "minutes": float(len(truth)),
        "apnea_minutes": float(truth.sum()),
        "auroc_sleeplm_falls": float(roc_auc_score(truth, np.concatenate(ours))),
        "auroc_psgscoring_falls": float(roc_auc_score(truth, np.concatenate(theirs))),
    }


def main() -> None:
    """Run what there are data for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--ahi", type=float, default=25.0)
    parser.add_argument("--seeds", type=int, nargs="*", default=[7])
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    data = Path(os.environ.get("SLEEPLM_DATA_DIR", default))
    arguments = parser.parse_args()
    result: dict[str, Any] = {}
    for name, measure, folder in (
        ("prerau_dynamo", real_stages, data / "prerau-dynamo"),
        ("hugcdn_oxi_dev", real_oximetry, data / "hugcdn-oxi" / "dev"),
    ):
        result[name] = measure(folder) if folder.is_dir() else "no data here: set SLEEPLM_DATA_DIR"
    result["simulated"] = [
        simulated(seed, arguments.hours, arguments.ahi) for seed in arguments.seeds
    ]
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
