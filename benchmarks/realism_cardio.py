"""Simulated hearts and oximeters beside real ones: ``python -m benchmarks.realism_cardio``.

* Falls of SpO2 (depth, length of the fall and of the return, slope) of simulated nights against
  ``hugcdn-oxi/train``, and of each minute its spread, number of changes and largest step.
* A random forest told to tell real from simulated stretches of 5 minutes of SpO2 from such
  figures; its AUROC, cross-validated by recording (0.5: it cannot), and that of each figure alone.
  Each real night has a simulated one of about its falls per hour; the sensor's off-times are left
  out on both sides. ``real_halves`` tells one half of the real nights from the other.
* Heart rate, SDNN and RMSSD of 30-s epochs by stage against the audited beats of
  ``slpdb-annotations``.
* Beats found in the simulated ECG by sleepecg and by wfdb (XQRS) against the true R peaks, F1.

``--short`` makes fewer nights. A part whose data are missing is left out and says so. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

STRETCH_S = 300
STAGES_OF_SLPDB = {"W": "W", "1": "N1", "2": "N2", "3": "N3", "4": "N3", "R": "R"}
BEATS_OF_SLPDB = set("NVASaJFejnEQRf/")
SLPDB_RATE_HZ = 250.0
FIRST_SEED = 5100
TOLERANCE_S = 0.1
# AHI of the nights whose beats are looked for, and of those made where no real oximetry is at hand.
BEATS_AHI = (1.0, 50.0)
CONTROL_AHI, APNEA_AHI = (1.0, 2.0, 4.0), (30.0, 50.0, 70.0, 90.0)
# Events an hour asked for, per fall of SpO2 of 3 % an hour wanted: time awake has none, and not
# every event makes a fall that the oximeter shows.
EVENTS_PER_FALL = 1.45
MATCHED_HOURS = 2.5


def quartiles(values: Sequence[float] | np.ndarray) -> list[float]:
    """10th, 25th, 50th, 75th and 90th percentile."""
    if not len(values):
        return []
    return [round(float(value), 3) for value in np.percentile(values, [10, 25, 50, 75, 90])]


def falls(spo2_pct: np.ndarray) -> np.ndarray:
    """[n, 4]: depth (%), seconds down, seconds up, slope (%/s) of the falls of 3 % and more."""
    from sleeplm.physiology.oximetry import desaturations

    rows = []
    for onset_s, duration_s, baseline_pct, nadir_pct in desaturations(spo2_pct):
        inside = spo2_pct[int(onset_s) : int(onset_s + duration_s) + 1]
        down = max(int(np.argmin(inside)), 1)
        depth = baseline_pct - nadir_pct
        rows.append((depth, down, duration_s - down, depth / down))
    return np.array(rows, dtype=float).reshape(-1, 4)


def describe_oximetry(nights: Sequence[np.ndarray]) -> dict[str, Any]:
    """Distributions over whole nights of SpO2 at 1 Hz."""
    found = [falls(night) for night in nights]
    table = np.concatenate(found)
    minutes = np.concatenate([night[: len(night) // 60 * 60].reshape(-1, 60) for night in nights])
    minutes = minutes[((minutes > 50) & (minutes <= 100)).all(axis=1)]
    steps = np.abs(np.diff(minutes, axis=1))
    return {
        "nights": len(nights),
        "falls_per_h": quartiles(
            [len(f) / len(n) * 3600 for f, n in zip(found, nights, strict=True)]
        ),
        "depth_pct": quartiles(table[:, 0]),
        "down_s": quartiles(table[:, 1]),
        "up_s": quartiles(table[:, 2]),
        "slope_pct_per_s": quartiles(table[:, 3]),
        "sd_in_minute_pct": quartiles(minutes.std(axis=1)),
        "changes_in_minute": quartiles((steps > 0).sum(axis=1)),
        "largest_step_in_minute_pct": quartiles(steps.max(axis=1)),
        "mean_pct": quartiles(minutes.mean(axis=1)),
    }


def real_nights(folder: Path, groups: Sequence[str]) -> list[np.ndarray]:
    """Whole nights of SpO2 in whole percent, of the named groups (C, D, ND)."""
    nights = []
    for path in sorted(folder.glob("*.npz")):
        if path.stem.rstrip("0123456789") in groups:
            with np.load(path) as held:
                nights.append(np.round(np.asarray(held["spo2_pct"], dtype=float)).ravel())
    return nights


def stretch_features(night: np.ndarray) -> np.ndarray:
    """[n, 12] figures of the whole 5-minute stretches of a night, less those with drop-outs."""
    stretches = night[: len(night) // STRETCH_S * STRETCH_S].reshape(-1, STRETCH_S)
    rows = []
    for stretch in stretches[((stretches > 50) & (stretches <= 100)).all(axis=1)]:
        steps = np.diff(stretch)
        own = falls(stretch)
        changes = np.flatnonzero(steps)
        dwell = np.diff(changes) if len(changes) > 1 else np.array([STRETCH_S])
        rows.append(
            [
                stretch.mean(), stretch.std(), float(np.ptp(stretch)), len(changes),
                np.abs(steps).max(), np.median(dwell), dwell.min(), (steps > 0).mean(),
                np.abs(stretch - np.median(stretch)).mean(), len(own),
                own[:, 0].max() if len(own) else 0.0, own[:, 3].max() if len(own) else 0.0,
            ]
        )  # fmt: skip
    return np.array(rows).reshape(-1, 12)


def tell_apart(real: Sequence[np.ndarray], made: Sequence[np.ndarray]) -> dict[str, Any]:
    """AUROC of a forest that tells real from simulated stretches, folds by recording."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold, cross_val_predict

    tables = [stretch_features(night) for night in (*real, *made)]
    features = np.concatenate(tables)
    group = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    label = (group >= len(real)).astype(int)
    forest = RandomForestClassifier(
        200, min_samples_leaf=5, class_weight="balanced", random_state=0, n_jobs=1
    )
    score = cross_val_predict(
        forest, features, label, groups=group, cv=GroupKFold(5), method="predict_proba"
    )[:, 1]
    forest.fit(features, label)
    names = ("mean", "sd", "range", "changes", "largest step", "median dwell", "shortest dwell",
             "rises", "deviation", "falls", "deepest", "steepest")  # fmt: skip
    best = np.argsort(forest.feature_importances_)[::-1][:4]
    alone = {
        name: round(float(roc_auc_score(label, features[:, column])), 2)
        for column, name in enumerate(names)
    }
    return {
        "auroc": round(float(roc_auc_score(label, score)), 3),
        "stretches": [int((label == 0).sum()), int((label == 1).sum())],
        "leans_on": [names[index] for index in best],
        "alone": alone,
    }


def beat_figures(
    beats_s: np.ndarray, stages: Sequence[str], into: dict[str, list[tuple[float, float, float]]]
) -> None:
    """Add (rate, SDNN, RMSSD) of each 30-s epoch with 15 normal intervals to its stage."""
    intervals = np.diff(beats_s)
    local = np.array([np.median(intervals[max(0, i - 5) : i + 6]) for i in range(len(intervals))])
    normal = (intervals > 0.3) & (intervals < 2) & (np.abs(intervals - local) < 0.25 * local)
    for epoch, stage in enumerate(stages):
        first, last = np.searchsorted(beats_s[:-1], [epoch * 30.0, epoch * 30.0 + 30.0])
        kept = intervals[first:last][normal[first:last]]
        if len(kept) >= 15:
            rmssd = 1000 * float(np.sqrt(np.mean(np.diff(kept) ** 2)))
            row = (60 / float(kept.mean()), 1000 * float(kept.std()), rmssd)
            into.setdefault(stage, []).append(row)


def describe_beats(figures: dict[str, list[tuple[float, float, float]]]) -> dict[str, Any]:
    """Quartiles of rate, SDNN and RMSSD by stage."""
    return {
        stage: {
            "epochs": len(figures[stage]),
            **{
                name: quartiles(np.array(figures[stage])[:, column])
                for column, name in enumerate(("rate_bpm", "sdnn_ms", "rmssd_ms"))
            },
        }
        for stage in ("W", "N1", "N2", "N3", "R")
        if stage in figures
    }


def real_beats(folder: Path) -> dict[str, Any]:
    """The audited beats of slpdb by its stages; a record that wfdb cannot read is named."""
    import wfdb

    figures: dict[str, list[tuple[float, float, float]]] = {}
    unread = []
    for path in sorted(folder.glob("*.ecg")):
        record = str(path.with_suffix(""))
        try:
            stages, beats = wfdb.rdann(record, "st"), wfdb.rdann(record, "ecg")
        except (OSError, ValueError):
            unread.append(path.stem)
            continue
        kept = [symbol in BEATS_OF_SLPDB for symbol in beats.symbol]
        of_epoch = {
            int(sample / SLPDB_RATE_HZ // 30): STAGES_OF_SLPDB.get(note.split()[0].strip("\0"), "?")
            for sample, note in zip(stages.sample, stages.aux_note, strict=True)
            if note.strip("\0 ")
        }
        names = [of_epoch.get(epoch, "?") for epoch in range(max(of_epoch) + 1)]
        beat_figures(beats.sample[kept] / SLPDB_RATE_HZ, names, figures)
    return {"unread": unread, **describe_beats(figures)}


def beat_f1(true_s: np.ndarray, found_s: np.ndarray) -> float:
    """F1 of beats found within 0.1 s of a true one, each counted once."""
    if not len(found_s) or not len(true_s):
        return 0.0
    nearest = np.searchsorted(true_s, found_s).clip(1, len(true_s) - 1)
    nearest -= np.abs(true_s[nearest - 1] - found_s) < np.abs(true_s[nearest] - found_s)
    close = np.abs(true_s[nearest] - found_s) <= TOLERANCE_S
    hits = len(np.unique(nearest[close]))
    return round(2 * hits / (len(true_s) + len(found_s)), 4)


def find_beats(night: Any) -> dict[str, float]:
    """F1 of the installed detectors on the ECG at 64, 128 and 256 Hz."""
    from importlib.util import find_spec

    import wfdb.processing
    from scipy.signal import resample_poly

    detectors = {"wfdb_xqrs": partial(wfdb.processing.xqrs_detect, verbose=False)}
    if find_spec("sleepecg"):
        import sleepecg

        detectors["sleepecg"] = sleepecg.detect_heartbeats
    native_hz, native = night.native["ECG"]
    scores = {}
    for name, ecg, rate_hz in (
        ("64", night.signals["ECG"], 64),
        (f"{native_hz:.0f}", native, int(native_hz)),
        ("256", resample_poly(native, 256, int(native_hz)), 256),
    ):
        trace = np.asarray(ecg, dtype=float)
        truth = night.r_peaks_s[
            (night.r_peaks_s > 2) & (night.r_peaks_s < len(trace) / rate_hz - 2)
        ]
        for tool, detect in detectors.items():
            found = np.asarray(detect(trace, rate_hz)) / rate_hz
            found = found[(found > 2) & (found < len(trace) / rate_hz - 2)]
            scores[f"{tool}_{name}_hz"] = beat_f1(truth, found)
    return scores


def wanted_ahi(night: np.ndarray) -> float:
    """Events an hour that give a simulated night about this night's falls per hour."""
    return float(np.clip(EVENTS_PER_FALL * len(falls(night)) / len(night) * 3600, 0.5, 110.0))


def measure(short: bool = False) -> dict[str, Any]:
    """Every comparison that there are data for."""
    from train.simulate import simulate_night

    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    data = Path(os.environ.get("SLEEPLM_DATA_DIR", default))
    oximetry = data / "hugcdn-oxi" / "train"
    every = 4 if short else 1
    real = {
        name: real_nights(oximetry, group)[::every] if oximetry.is_dir() else []
        for name, group in (("controls", "C"), ("apnea", "D"))
    }
    wanted = {
        name: [wanted_ahi(night) for night in nights] or list(fallback)
        for (name, nights), fallback in zip(real.items(), (CONTROL_AHI, APNEA_AHI), strict=True)
    }
    made: dict[str, list[np.ndarray]] = {"controls": [], "apnea": []}
    figures: dict[str, list[tuple[float, float, float]]] = {}
    result: dict[str, Any] = {"beats_f1": {}}
    seed = FIRST_SEED
    for group, all_ahi in wanted.items():
        for ahi in all_ahi:
            night = simulate_night(seed, hours=MATCHED_HOURS, ahi=ahi)
            made[group].append(np.asarray(night.native["SPO2"][1], dtype=float))
            beat_figures(night.r_peaks_s, night.scoring.stages, figures)
            seed += 1
    for ahi in BEATS_AHI:
        result["beats_f1"][str(ahi)] = find_beats(simulate_night(seed, hours=2.0, ahi=ahi))
        seed += 1
    result["simulated_beats"] = describe_beats(figures)
    result["simulated_spo2"] = {name: describe_oximetry(nights) for name, nights in made.items()}
    if all(real.values()):
        result["real_spo2"] = {name: describe_oximetry(nights) for name, nights in real.items()}
        result["told_apart"] = {name: tell_apart(real[name], made[name]) for name in made}
        result["real_halves"] = {
            name: tell_apart(nights[::2], nights[1::2])["auroc"] for name, nights in real.items()
        }
    else:
        result["real_spo2"] = "no data here: set SLEEPLM_DATA_DIR"
    beats = data / "slpdb-annotations"
    result["real_beats"] = real_beats(beats) if beats.is_dir() else "no data: set SLEEPLM_DATA_DIR"
    return result


def main() -> None:
    """Print what there are data for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer and shorter nights")
    print(json.dumps(measure(parser.parse_args().short), indent=1))


if __name__ == "__main__":
    main()
