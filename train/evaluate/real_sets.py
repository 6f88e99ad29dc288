"""A model on recordings of real sleepers, of which it is given one or two channels.

* ``ucd``: wake against N3 from one EEG channel, patients of a sleep clinic.
* ``prerau``: five stages from one EEG channel, one healthy adult.
* ``oximetry``: minutes with apnea from SpO2 and heart rate, clinic patients and controls.

Every other channel holds the model's missing value. Probes and baselines learn from the train
parts or from simulated nights; the parts that figures are of are only measured on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sleeplm.errors import SleepLMError
from sleeplm.physiology import desaturations
from sleeplm.prompts import EVENT_PHRASES, NO_EVENT_PROMPTS
from sleeplm.resampling import resample
from sleeplm.scoring import RESPIRATORY_KINDS, STAGES
from train.evaluate.asking import event_words, stage_words
from train.evaluate.baselines import NotMeasured, band_features, yasa_stages
from train.evaluate.linear import LogisticRegression
from train.evaluate.real_data import (
    EegNight,
    OximetryNight,
    hugcdn_nights,
    prerau_night,
    ucd_nights,
)
from train.evaluate.scores import auroc, class_scores

if TYPE_CHECKING:
    from sleeplm.reader import SleepLM
    from sleeplm.recording import Recording

__all__ = ["REAL_SETS", "measure_real_sets"]

REAL_SETS = ("ucd", "prerau", "oximetry")
RATE_HZ = 64
#: Of a night: what keeps the reading of ten thousand epochs within minutes.
DEV_MINUTES, TRAIN_MINUTES, TRAIN_EPOCHS = 120, 20, 100
UCD_CHANNEL = "EEG_C3_A2"
PRERAU_CHANNELS = ("EEG_C3_A2", "EEG_C4_A1")


def measure_real_sets(
    model: SleepLM,
    data: Path,
    sets: Sequence[str] = REAL_SETS,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Figures of each set beside its baselines; a set that is not there says so.

    Parameters
    ----------
    data : path
        The folder that holds ``ucddb-eeg``, ``prerau-dynamo`` and ``hugcdn-oxi``.
    """
    measure = {"ucd": _ucd, "prerau": _prerau, "oximetry": _oximetry}
    result: dict[str, Any] = {}
    for name in sets:
        if progress is not None:
            progress(f"evaluating the real set {name}")
        try:
            result[name] = measure[name](model, data)
        except SleepLMError as error:
            result[name] = {"not_measured": str(error)}
    return result


# ── one EEG channel ──────────────────────────────────────────────────────────────────────────────
def _recording(night: EegNight, channel: str) -> Recording:
    """The epochs one after another, at 64 Hz, as a recording of one channel."""
    from sleeplm.recording import Recording

    return Recording.from_signals({channel: np.concatenate([
        resample(epoch.astype(np.float32), night.rate_hz) for epoch in night.epochs
    ])})  # fmt: skip


def _thinned(night: EegNight, most: int) -> EegNight:
    """Up to ``most`` epochs of each stage, spread over the night."""
    rows: list[int] = []
    for stage in np.unique(night.stages):
        of_stage = np.flatnonzero(night.stages == stage)
        rows += list(
            of_stage[np.linspace(0, len(of_stage) - 1, min(most, len(of_stage)), dtype=int)]
        )
    kept = np.sort(rows)
    return EegNight(
        night.name, night.epochs[kept], night.stages[kept], night.index[kept], night.rate_hz
    )


def _ucd(model: SleepLM, data: Path) -> dict[str, Any]:
    """Wake against N3. Each of two scores per epoch ranks N3 above wake; 0.5 divides."""
    prompts: list[np.ndarray] = []
    head: list[np.ndarray] = []
    embeddings: list[np.ndarray] = []
    features: list[np.ndarray] = []
    truth: list[np.ndarray] = []
    own = {stage: stage_words(model)[stage] for stage in ("W", "N3")}
    for night in ucd_nights(data, "dev"):
        signals = model.prepare(_recording(night, UCD_CHANNEL))
        prompts.append(model.classify(signals, own).probabilities[:, 1])
        stages = model.stage_probabilities(signals)
        wake, deep = stages[:, STAGES.index("W")], stages[:, STAGES.index("N3")]
        head.append(deep / np.maximum(wake + deep, 1e-9))
        embeddings.append(model.encode(signals))
        features.append(band_features(night.epochs, night.rate_hz))
        truth.append(night.stages == "N3")
    is_deep = np.concatenate(truth)
    learned, learned_features, labels = [], [], []
    for night in ucd_nights(data, "train"):
        learned_features.append(band_features(night.epochs, night.rate_hz))
        thin = _thinned(night, TRAIN_EPOCHS // 2)
        # Normalised over all of the night, as those that are measured on.
        signals = model.prepare(_recording(night, UCD_CHANNEL))
        kept = np.isin(night.index, thin.index)
        learned.append(model.encode(signals[kept]))
        learned_features[-1] = learned_features[-1][kept]
        labels += list(thin.stages)
    probe = LogisticRegression().fit(np.concatenate(learned), labels)
    bands = LogisticRegression().fit(np.concatenate(learned_features), labels)
    column = probe.labels.index("N3")
    return {
        "channel": UCD_CHANNEL,
        "nights": len(truth),
        "epochs": len(is_deep),
        "prompts": _two_way(is_deep, np.concatenate(prompts), truth),
        "stage_head": _two_way(is_deep, np.concatenate(head), truth),
        "linear_probe": _two_way(
            is_deep, probe.probabilities(np.concatenate(embeddings))[:, column], truth
        ),
        "baseline": {
            "majority": {"auroc": 0.5, "balanced_accuracy": 0.5},
            "band power + logistic regression": _two_way(
                is_deep, bands.probabilities(np.concatenate(features))[:, column], truth
            ),
        },
    }


def _two_way(
    is_deep: np.ndarray, score: np.ndarray, nights: Sequence[np.ndarray]
) -> dict[str, Any]:
    """AUROC and balanced accuracy over all epochs, and the mean AUROC within nights."""
    said = score >= 0.5
    within = []
    first = 0
    for night in nights:
        value = auroc(night, score[first : first + len(night)])
        first += len(night)
        if value is not None:
            within.append(value)
    return {
        "auroc": auroc(is_deep, score),
        "auroc_within_nights": float(np.mean(within)) if within else None,
        "balanced_accuracy": float(np.mean([said[is_deep].mean(), (~said[~is_deep]).mean()])),
    }


def _prerau(model: SleepLM, data: Path) -> dict[str, Any]:
    """Five stages of one night by prompts and by the stage head, the EEG given as either side's."""
    night = prerau_night(data)
    truth = list(night.stages)
    result: dict[str, Any] = {"epochs": len(truth)}
    for channel in PRERAU_CHANNELS:
        signals = model.prepare(_recording(night, channel))
        head = [STAGES[best] for best in model.stage_probabilities(signals).argmax(axis=1)]
        result[f"as {channel}"] = {
            "prompts": class_scores(truth, model.classify(signals, "stage").labels),
            "stage_head": class_scores(truth, head),
        }
    majority = max(STAGES, key=truth.count)
    baseline: dict[str, Any] = {"majority": class_scores(truth, [majority] * len(truth))}
    try:
        said = yasa_stages(_recording(night, PRERAU_CHANNELS[1]))
        baseline["yasa"] = class_scores(truth, said)
    except NotMeasured as error:
        baseline["yasa"] = {"not_measured": str(error)}
    result["baseline"] = baseline
    return result


# ── oximetry ─────────────────────────────────────────────────────────────────────────────────────
def _chosen_minutes(night: OximetryNight, most: int) -> np.ndarray:
    """Valid minutes, spread over the night."""
    valid = np.flatnonzero(night.valid)
    return valid[np.linspace(0, len(valid) - 1, min(most, len(valid)), dtype=int)]


def _minutes_read(model: SleepLM, night: OximetryNight, minutes: np.ndarray) -> np.ndarray:
    """Model input of the two epochs of each minute: [2 · minutes, C, samples]."""
    from sleeplm.recording import Recording

    recording = Recording.from_signals(
        {
            "SPO2": np.repeat(night.spo2_pct, RATE_HZ),
            "HR": np.repeat(night.rate_bpm, RATE_HZ),
        }
    )
    rows = np.stack([2 * minutes, 2 * minutes + 1], axis=1).ravel()
    return model.prepare(recording)[rows]


def _by_minute(values: np.ndarray) -> np.ndarray:
    """The larger of a minute's two epochs."""
    return values.reshape(-1, 2).max(axis=1)


def _pair(embeddings: np.ndarray) -> np.ndarray:
    """Mean and larger of the two embeddings of a minute, beside each other."""
    halves = embeddings.reshape(len(embeddings) // 2, 2, -1)
    return np.concatenate([halves.mean(axis=1), halves.max(axis=1)], axis=1)


def _range_pct(night: OximetryNight) -> np.ndarray:
    """Range of the known SpO2 within each minute; 0 where none is known."""
    minutes = night.spo2_pct.reshape(-1, 60)
    low = np.where(np.isfinite(minutes), minutes, np.inf).min(axis=1)
    high = np.where(np.isfinite(minutes), minutes, -np.inf).max(axis=1)
    return np.where(np.isfinite(low), high - low, 0.0)


def _fall_pct(night: OximetryNight) -> np.ndarray:
    """The deepest desaturation (3 points and more) that any part of each minute lies in."""
    depth = np.zeros(len(night.valid))
    for onset_s, duration_s, baseline_pct, nadir_pct in desaturations(night.spo2_pct):
        part = depth[int(onset_s // 60) : int((onset_s + duration_s) // 60) + 1]
        np.maximum(part, baseline_pct - nadir_pct, out=part)
    return depth


def _oximetry(model: SleepLM, data: Path) -> dict[str, Any]:
    """Each minute's score, the larger of its two epochs', against the expert's apnea minutes."""
    dev, train = hugcdn_nights(data, "dev"), hugcdn_nights(data, "train")
    kinds = list(model.config.extensions.event_kinds)
    breathing = [kinds.index(kind) for kind in RESPIRATORY_KINDS if kind in kinds]
    asked = {
        "desaturation": event_words(model, "desaturation"),
        "none": NO_EVENT_PROMPTS,
    }
    ways: dict[str, list[np.ndarray]] = {}
    rules: dict[str, list[np.ndarray]] = {}
    truth: list[np.ndarray] = []
    vectors: list[np.ndarray] = []
    for night in dev:
        minutes = _chosen_minutes(night, DEV_MINUTES)
        signals = _minutes_read(model, night, minutes)
        found = {
            "prompts (desaturation against no event)": model.classify(signals, asked).probabilities[
                :, 0
            ],
            "located desaturation": np.array(
                [
                    sum((end - start) * score for start, end, score in spans)
                    for spans in model.locate(signals, EVENT_PHRASES["desaturation"][0])
                ]
            ),
        }
        heads = model.event_probabilities(signals)
        if heads is not None and "desaturation" in kinds:
            found["event head (desaturation)"] = heads[:, kinds.index("desaturation")]
        if heads is not None and breathing:
            found["event head (apnea or hypopnea)"] = heads[:, breathing].max(axis=1)
        for name, values in found.items():
            ways.setdefault(name, []).append(_by_minute(values))
        vectors.append(_pair(model.encode(signals)))
        rules.setdefault("SpO2 range in the minute", []).append(_range_pct(night)[minutes])
        rules.setdefault("desaturation rule (3 %)", []).append(_fall_pct(night)[minutes])
        truth.append(night.apnea[minutes])
    learned, labels = [], []
    for night in train:
        minutes = _chosen_minutes(night, TRAIN_MINUTES)
        learned.append(_pair(model.encode(_minutes_read(model, night, minutes))))
        labels += ["apnea" if apnea else "none" for apnea in night.apnea[minutes]]
    probe = LogisticRegression().fit(np.concatenate(learned), labels)
    is_apnea = np.concatenate(truth)
    score = probe.probabilities(np.concatenate(vectors))[:, probe.labels.index("apnea")]
    return {
        "nights": len(dev),
        "minutes": len(is_apnea),
        "apnea_minutes": int(is_apnea.sum()),
        **{name: {"auroc": auroc(is_apnea, np.concatenate(v))} for name, v in ways.items()},
        "linear_probe": {"auroc": auroc(is_apnea, score)},
        "baseline": {
            "chance": {"auroc": 0.5},
            **{name: {"auroc": auroc(is_apnea, np.concatenate(v))} for name, v in rules.items()},
        },
    }
