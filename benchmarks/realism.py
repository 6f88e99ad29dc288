"""How real simulated nights look: ``python -m benchmarks.realism [--short] [--seed 5000]``.

Compared with the train parts of the real data: stages (minutes, bouts, moves, by cycle), band
powers of the EEG by stage (level, spread between epochs and between nights), waves (spindles, slow
waves, kurtosis), and a classifier told to tell real from simulated epochs (area under the curve,
cross-validated by recording; 0.5 is not told apart). Then the outside judge (yasa on whole nights
of 6 to 8 hours; part ``conditions``: all conditions, and layouts through the project's reader), and
the reverse: what a forest trained on simulated nights alone makes of real ones. Breathing, oximetry
and beats are measured by ``benchmarks.realism_cardio`` where present.
Prints one JSON. A part whose data are missing says so.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import itertools
import json
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.signal import resample_poly, welch

from train.evaluate.real_data import prerau_night, ucd_nights

if TYPE_CHECKING:
    from train.simulate import SimulatedNight

STAGES = ("W", "N1", "N2", "N3", "R")
EDGES_HZ = np.array([0.5, 1, 2, 4, 6, 8, 10, 12, 14, 16, 20, 25, 30])
BANDS_HZ = {"0.5-1": (0.5, 1), "1-2": (1, 2), "2-4": (2, 4), "4-8": (4, 8), "8-10": (8, 10),
            "12-14": (12, 14), "20-25": (20, 25)}  # fmt: skip
RATE_HZ = 100
LAYOUTS = ("shhs1", "shhs2", "mros", "cfs", "ccshs", "wsc", "nox")
# What the UCD recorder does to its EEG, and ours does not: steps of 0.195 µV; the third harmonic of
# 50-Hz mains, which sampling at 128 Hz folds to 150 - 128 = 22 Hz (up to 20 dB above the EEG of N3,
# in 15 of 16 recordings); an offset of 55 µV; reversed polarity (all N3 is skewed upwards).
UCD_STEP_UV = 0.1953602
UCD_LINE_HZ = 22.0


# ---- real recordings


def prerau_epochs(data: Path) -> tuple[np.ndarray, np.ndarray]:
    """(epochs [n, 3000] in µV at 100 Hz, stage words) of the one real night with all stages."""
    night = prerau_night(data)
    return night.epochs, night.stages


def ucd_epochs(data: Path, part: str) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(name, epochs at 100 Hz, stage words) of W and N3; a unit of the file is taken as 100 µV."""
    return [
        (night.name, resample_poly(night.epochs, 25, 32, axis=1), night.stages)
        for night in ucd_nights(data, part)
    ]


def as_recorded_by_ucd(epochs: np.ndarray, real: bool) -> np.ndarray:
    """Epochs as the UCD recorder would give both: without its offset and its line, one polarity.

    Simulated epochs are rounded to the recorder's steps; the band around the line is taken out of
    both, so that a classifier judges EEG and not recorders.
    """
    from scipy.signal import filtfilt, iirnotch

    epochs = -epochs if real else np.round(epochs / UCD_STEP_UV) * UCD_STEP_UV
    line = iirnotch(UCD_LINE_HZ, 12, fs=RATE_HZ)
    return filtfilt(*line, epochs - epochs.mean(axis=1, keepdims=True), axis=1)


def in_blocks(
    epochs: np.ndarray, words: np.ndarray, n_blocks: int = 4
) -> list[tuple[np.ndarray, np.ndarray]]:
    """One recording as consecutive quarters of each stage, to stand for recordings in folds."""
    order = [np.array_split(np.flatnonzero(words == stage), n_blocks) for stage in STAGES]
    blocks = [np.concatenate([parts[number] for parts in order]) for number in range(n_blocks)]
    return [(epochs[block], words[block]) for block in blocks]


def simulated_epochs(
    seed: int, hours: float, condition: str | None, variety: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """(C3 epochs at 100 Hz, stage words) of one simulated night."""
    from train.simulate import simulate_night

    night = simulate_night(seed, hours=hours, condition=condition, variety=variety)
    rate_hz, wave = night.native["EEG_C3_A2"]
    at_100 = resample_poly(wave.astype(float), RATE_HZ, int(rate_hz))
    return at_100.reshape(-1, 30 * RATE_HZ), np.array(night.scoring.stages)


# ---- features


def band_db(epochs: np.ndarray, relative: bool = False) -> np.ndarray:
    """Mean density in 12 bands, dB [n, 12]; of their sum where ``relative``."""
    frequency, density = welch(epochs, RATE_HZ, nperseg=4 * RATE_HZ, axis=-1)
    bands = np.stack(
        [
            density[:, (frequency >= low) & (frequency < high)].mean(axis=1)
            for low, high in itertools.pairwise(EDGES_HZ)
        ],
        axis=1,
    )
    if relative:
        bands = bands / bands.sum(axis=1, keepdims=True)
    return 10 * np.log10(bands + 1e-9)


def shape_features(epochs: np.ndarray) -> np.ndarray:
    """Form without level: kurtosis, skewness, burstiness of alpha and sigma, zero crossings."""
    from scipy.signal import butter, sosfiltfilt
    from scipy.stats import kurtosis, skew

    columns = [kurtosis(epochs, axis=1), skew(epochs, axis=1)]
    for low, high in ((0.5, 4.0), (8.0, 12.0), (12.0, 15.0)):
        sos = butter(3, [low, high], "bandpass", fs=RATE_HZ, output="sos")
        power = sosfiltfilt(sos, epochs, axis=1)[:, : 30 * RATE_HZ] ** 2
        seconds = np.sqrt(power.reshape(len(epochs), 60, -1).mean(axis=2))
        columns.append(seconds.std(axis=1) / (seconds.mean(axis=1) + 1e-9))
    columns.append(np.mean(np.diff(np.sign(epochs), axis=1) != 0, axis=1))
    return np.stack(columns, axis=1)


# ---- parts


def stage_structure(data: Path, n_nights: int) -> dict[str, Any]:
    """Minutes by stage, moves an hour, bouts and moves of real healthy and simulated nights."""
    from benchmarks.fit_hypnograms import read_hypnograms
    from train.simulate.hypnogram import SleepProfile, simulate_stages

    groups = read_hypnograms(data)
    made = {
        "simulated healthy": SleepProfile(age_y=30),
        "simulated apnea": SleepProfile(fragmentation=1.5, deep_sleep=0.7, age_y=50),
    }
    for name, profile in made.items():
        nights = []
        for seed in range(n_nights):
            stages = simulate_stages(np.random.default_rng(seed), 960, profile)
            asleep = np.flatnonzero(stages > 0)
            nights.append(stages[asleep[0] : asleep[-1] + 1])
        groups[name] = nights
    return {name: _structure(nights) for name, nights in groups.items()}


def _structure(nights: Sequence[np.ndarray]) -> dict[str, Any]:
    from benchmarks.fit_hypnograms import bouts_of

    minutes = np.array([[np.sum(night == stage) / 2 for stage in range(5)] for night in nights])
    moves = np.zeros((5, 5))
    lengths: list[list[int]] = [[] for _ in range(5)]
    for night in nights:
        bouts = bouts_of(night)
        for (stage, _, length), (following, _, _) in zip(
            bouts, [*bouts[1:], bouts[-1]], strict=True
        ):
            lengths[stage].append(length)
            moves[stage, following] += stage != following
    shares = moves / np.maximum(moves.sum(axis=1, keepdims=True), 1)
    deep = [[np.mean(part == 3) for part in np.array_split(night, 3)] for night in nights]
    dream = [[np.mean(part == 4) for part in np.array_split(night, 3)] for night in nights]
    return {
        "nights": len(nights),
        "minutes_mean": dict(zip(STAGES, minutes.mean(axis=0).round(), strict=True)),
        "minutes_sd": dict(zip(STAGES, minutes.std(axis=0).round(), strict=True)),
        "moves_per_h": round(
            float(np.mean([np.mean(np.diff(night) != 0) * 120 for night in nights])), 1
        ),
        "bout_epochs_25_50_75_90": {
            stage: np.percentile(lengths[row], [25, 50, 75, 90]).round(1).tolist()
            for row, stage in enumerate(STAGES)
            if lengths[row]
        },
        "moves_share": shares.round(2).tolist(),
        "n3_share_by_third": np.mean(deep, axis=0).round(2).tolist(),
        "r_share_by_third": np.mean(dream, axis=0).round(2).tolist(),
    }


def eeg_levels(recordings: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """By stage and band: level, SD between epochs of a night and between nights, in dB."""
    result: dict[str, Any] = {}
    for stage in STAGES:
        levels, spreads, forms = [], [], []
        for epochs, words in recordings:
            chosen = epochs[words == stage]
            if len(chosen) < 5:
                continue
            frequency, density = welch(chosen, RATE_HZ, nperseg=4 * RATE_HZ, axis=-1)
            bands = np.stack(
                [
                    10 * np.log10(density[:, (frequency >= a) & (frequency <= b)].mean(axis=1))
                    for a, b in BANDS_HZ.values()
                ],
                axis=1,
            )
            levels.append(np.median(bands, axis=0))
            spreads.append(bands.std(axis=0))
            forms.append(np.median(shape_features(chosen), axis=0))
        if levels:
            form = np.mean(forms, axis=0)
            result[stage] = {
                "nights": len(levels),
                "level_db": dict(zip(BANDS_HZ, np.mean(levels, axis=0).round(1), strict=True)),
                "between_epochs_sd": np.median(spreads, axis=0).round(1).tolist(),
                "between_nights_sd": np.std(levels, axis=0).round(1).tolist(),
                "kurtosis": round(float(form[0]), 2),
                "alpha_envelope_cv": round(float(form[3]), 2),
            }
    return result


def told_apart(
    real: Sequence[tuple[np.ndarray, np.ndarray]],
    made: Sequence[tuple[np.ndarray, np.ndarray]],
    stage: str,
    per_night: int = 60,
) -> dict[str, float] | None:
    """AUC of a forest that tells real from simulated epochs of a stage, folds by recording.

    ``level`` sees absolute band powers and form, ``form`` relative powers and form.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold

    rng = np.random.default_rng(0)
    picked, labels, groups = [], [], []
    for label, recordings in ((1, real), (0, made)):
        for number, (epochs, words) in enumerate(recordings):
            chosen = np.flatnonzero(words == stage)
            if len(chosen) < 5:
                continue
            chosen = rng.permutation(chosen)[:per_night]
            picked.append(epochs[chosen])
            labels += [label] * len(chosen)
            groups += [label * 1000 + number] * len(chosen)
    truth, group = np.array(labels), np.array(groups)
    n_folds = min(5, len(set(group[truth == 1])), len(set(group[truth == 0])))
    if n_folds < 2:
        return None
    epochs = np.concatenate(picked)
    forms = shape_features(epochs)
    result = {}
    for name, bands in (("level", band_db(epochs)), ("form", band_db(epochs, relative=True))):
        features = np.column_stack([bands, forms])
        score = np.zeros(len(truth))
        folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=0)
        for train, test in folds.split(features, truth, group):
            forest = RandomForestClassifier(200, min_samples_leaf=3, random_state=0)
            forest.fit(features[train], truth[train])
            score[test] = forest.predict_proba(features[test])[:, 1]
        result[name] = round(float(roc_auc_score(truth, score)), 3)
    return result


def _judged(
    night: SimulatedNight, layout: str | None, names: Sequence[str]
) -> tuple[np.ndarray, float]:
    """The judge's channels in volts: as made, or written in a layout and read by the reader."""
    if layout is None:
        return np.stack([night.native[name][1] for name in names]).astype(float) * 1e-6, 128.0
    from sleeplm.recording import read_recording
    from train.simulate.export import write_night

    with tempfile.TemporaryDirectory() as folder:
        files = write_night(night, Path(folder) / "night.edf", layout=layout)
        recording = read_recording(files[0])
    signals = np.stack([recording.signals[name] for name in names]).astype(float) * 1e-6
    return resample_poly(signals, 25, 16, axis=1), float(RATE_HZ)


def yasa_judge(
    jobs: Sequence[tuple[int, float, str | None]], layouts: Sequence[str | None] = ()
) -> dict[str, Any]:
    """κ and recalls of yasa (EEG, EOG, chin) against the truth of whole nights.

    Jobs are (seed, hours, condition); ``layouts`` names the file layout of each, where given.
    """
    import mne
    import yasa
    from sklearn.metrics import cohen_kappa_score, recall_score

    from train.simulate import simulate_night

    codes = {"W": "W", "WAKE": "W", "N1": "N1", "N2": "N2", "N3": "N3", "R": "R", "REM": "R"}
    names = ["EEG_C3_A2", "EOG_L", "EMG_CHIN"]
    layouts = layouts or [None] * len(jobs)
    truth, found, nights = [], [], []
    kappas: list[float] = []
    for (seed, hours, condition), layout in zip(jobs, layouts, strict=True):
        night = simulate_night(seed, hours=hours, condition=condition)
        volts, rate_hz = _judged(night, layout, names)
        info = mne.create_info(names, rate_hz, ["eeg", "eog", "emg"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            raw = mne.io.RawArray(volts, info, verbose="error")
            judge = yasa.SleepStaging(raw, eeg_name=names[0], eog_name=names[1], emg_name=names[2])
            hypnogram = judge.predict()
        said = [codes[str(word)] for word in np.asarray(getattr(hypnogram, "hypno", hypnogram))]
        kappa = float(cohen_kappa_score(night.scoring.stages, said))
        kappas.append(kappa)
        nights.append({"seed": seed, "hours": hours, "condition": condition, "layout": layout,
                       "kappa": round(kappa, 3)})  # fmt: skip
        truth += list(night.scoring.stages)
        found += said
    recalls = recall_score(truth, found, labels=list(STAGES), average=None, zero_division=0)
    return {
        "kappa_mean": round(float(np.mean(kappas)), 3),
        "kappa_least": round(min(kappas), 3),
        "recall": dict(zip(STAGES, np.round(recalls, 2).tolist(), strict=True)),
        "nights": nights,
    }


def carry_over(data: Path, seed: int, n_nights: int, variety: float) -> dict[str, Any]:
    """A forest on spectra of simulated nights alone, shown real ones."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, roc_auc_score

    conditions = ("healthy", None, "insomnia", None)
    made = [
        simulated_epochs(seed + number, 3.0, conditions[number % 4], variety)
        for number in range(n_nights)
    ]
    words = np.concatenate([stages for _, stages in made])
    absolute = np.concatenate([band_db(epochs) for epochs, _ in made])
    relative = np.concatenate([band_db(epochs, relative=True) for epochs, _ in made])
    epochs, truth = prerau_epochs(data)
    result: dict[str, Any] = {"variety": variety}
    for name, features, is_relative in (
        ("prerau_kappa", absolute, False),
        ("prerau_kappa_relative", relative, True),
    ):
        stager = RandomForestClassifier(
            300, min_samples_leaf=3, class_weight="balanced_subsample", random_state=0
        ).fit(features, words)
        said = stager.predict(band_db(epochs, relative=is_relative))
        result[name] = round(float(cohen_kappa_score(truth, said)), 3)
    two = np.isin(words, ["W", "N3"])
    pair = RandomForestClassifier(
        300, min_samples_leaf=3, class_weight="balanced_subsample", random_state=0
    ).fit(relative[two], words[two] == "N3")
    for part in ("train", "dev"):
        scores, deep, by_night = [], [], {}
        for name, real, stages in ucd_epochs(data, part):
            score = pair.predict_proba(band_db(real, relative=True))[:, 1]
            scores.append(score)
            deep.append(stages == "N3")
            if len(set(stages)) == 2:
                by_night[name] = round(
                    float(balanced_accuracy_score(stages == "N3", score > 0.5)), 2
                )
        score, is_deep = np.concatenate(scores), np.concatenate(deep)
        result[f"ucd_{part}"] = {
            "auroc": round(float(roc_auc_score(is_deep, score)), 3),
            "balanced_accuracy": round(float(balanced_accuracy_score(is_deep, score > 0.5)), 3),
            "by_night": by_night,
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seed", type=int, default=5000, help="first seed; below 5000 is tuning")
    parser.add_argument("--short", action="store_true", help="about two minutes")
    parser.add_argument("--variety", type=float, default=2.0, help="of the carry-over's nights")
    parser.add_argument(
        "--parts", nargs="+", default=["stages", "eeg", "judge", "carry_over", "cardio"]
    )
    arguments = parser.parse_args()
    data, seed, short = arguments.data, arguments.seed, arguments.short
    result: dict[str, Any] = {}
    began = time.process_time()
    if not data.is_dir():
        result["missing"] = f"real data not found at {data}; only the judge is asked"
        arguments.parts = [part for part in arguments.parts if part == "judge"]
    if "stages" in arguments.parts:
        result["stages"] = stage_structure(data, 20 if short else 80)
    if "eeg" in arguments.parts:
        made = [
            simulated_epochs(seed + number, 3.0 if short else 5.0, ("healthy", "osa")[number % 2])
            for number in range(6 if short else 14)
        ]
        raw = [(epochs, words) for _, epochs, words in ucd_epochs(data, "train")]
        ucd = [(as_recorded_by_ucd(epochs, True), words) for epochs, words in raw]
        ours = [(as_recorded_by_ucd(epochs, False), words) for epochs, words in made]
        whole = prerau_epochs(data)
        result["eeg"] = {
            "real_prerau": eeg_levels([whole]),
            "real_ucd_train": eeg_levels(ucd),
            "simulated": eeg_levels(made),
            "told_apart_auc_ucd": {stage: told_apart(ucd, ours, stage) for stage in ("W", "N3")},
            "told_apart_auc_ucd_raw": {
                stage: told_apart(raw, made, stage) for stage in ("W", "N3")
            },
            "told_apart_auc_prerau": {
                stage: told_apart(in_blocks(*whole), made, stage, 40) for stage in ("N2", "N3", "R")
            },
        }
    if "judge" in arguments.parts:
        result["yasa_healthy"] = yasa_judge(
            [(seed + n, 6.0 + n % 3, "healthy") for n in range(2 if short else 8)]
        )
    if "conditions" in arguments.parts:
        from train.simulate.conditions import CONDITIONS

        result["yasa_conditions"] = yasa_judge(
            [(seed + 100 + n, 3.0 if short else 6.0, name) for n, name in enumerate(CONDITIONS)]
        )
        mixed = itertools.cycle(("healthy", "osa"))
        result["yasa_layouts"] = yasa_judge(
            [(seed + 130 + n, 3.0 if short else 6.0, next(mixed)) for n in range(len(LAYOUTS))],
            LAYOUTS,
        )
    if "carry_over" in arguments.parts:
        result["carry_over"] = carry_over(data, seed, 6 if short else 16, arguments.variety)
    if "cardio" in arguments.parts and importlib.util.find_spec("benchmarks.realism_cardio"):
        cardio = importlib.import_module("benchmarks.realism_cardio")
        result["cardio"] = cardio.measure(short)
    result["cpu_s"] = round(time.process_time() - began, 1)
    print(json.dumps(result, indent=1, default=float))


if __name__ == "__main__":
    main()
