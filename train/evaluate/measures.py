"""How good a model is, on nights whose truth is known: ``sleeplm evaluate``.

Every axis is shown beside a baseline that was computed in the same run. Nights are simulated from
seeds that no recipe trains on (:data:`HELD_OUT_SEEDS`), or recordings with a scoring beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sleeplm.captions import SYSTEMS, parse_caption
from sleeplm.errors import SleepLMError
from sleeplm.night import Night
from sleeplm.physiology import FIELDS, desaturations
from sleeplm.prompts import STAGE_PROMPTS
from sleeplm.scoring import STAGES, Event, Scoring
from train.captions import epoch_fields, joint_text

if TYPE_CHECKING:
    from sleeplm.reader import SleepLM

__all__ = ["AXES", "HELD_OUT_SEEDS", "as_markdown", "cohen_kappa", "evaluate", "held_out_nights"]

AXES = ("staging", "zero_shot", "events", "captions", "retrieval")
#: Recipes train on seeds from 1000 upwards.
HELD_OUT_SEEDS = (11, 12, 13, 14)
HELD_OUT_CONDITIONS = (("osa", 25.0), ("healthy", 2.0), ("central", 20.0), ("osa", 45.0))
CAPTION_EPOCHS = 24
RETRIEVAL_POOL = 200


def held_out_nights(
    model: SleepLM, seeds: Sequence[int] = HELD_OUT_SEEDS, hours: float = 4.0
) -> list[Night]:
    """Simulated nights that were not trained on: one of each degree of apnea, one healthy."""
    from sleeplm.recording import Recording
    from train.simulate import simulate_night

    nights = []
    for index, seed in enumerate(seeds):
        condition, ahi = HELD_OUT_CONDITIONS[index % len(HELD_OUT_CONDITIONS)]
        made = simulate_night(seed, hours=hours, ahi=ahi, condition=condition)
        recording = Recording.from_signals(made.signals, start=made.start)
        nights.append(Night.from_recording(recording, made.scoring, model))
    return nights


def evaluate(
    model: SleepLM,
    nights: Sequence[Night],
    axes: Sequence[str] = AXES,
    *,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Scores of ``model`` on ``nights``, which must carry an expert scoring.

    Returns
    -------
    dict
        ``{"model", "nights", "epochs", axis: {...}}``; each axis holds its figures and, under
        ``"baseline"``, what a method without the model reaches on the same epochs.

    Raises
    ------
    SleepLMError
        An axis is not known, or a night has no scoring to compare with.
    """
    for axis in axes:
        if axis not in AXES:
            raise SleepLMError(f"axis {axis!r} is not known; use some of {', '.join(AXES)}")
    for night in nights:
        if "expert" not in night.scorings:
            raise SleepLMError(f"{night.id}: no scoring beside it, so nothing to evaluate against")
    rng = np.random.default_rng(seed)
    result: dict[str, Any] = {
        "model": model.model_id,
        "nights": len(nights),
        "epochs": sum(night.n_epochs for night in nights),
    }
    measure = {
        "staging": lambda: _staging(nights),
        "zero_shot": lambda: _zero_shot(model, nights),
        "events": lambda: _events(nights),
        "captions": lambda: _captions(nights, rng),
        "retrieval": lambda: _retrieval(model, nights, rng),
    }
    for axis in axes:
        if progress is not None:
            progress(f"evaluating {axis}")
        result[axis] = measure[axis]()
    return result


# ── stages ───────────────────────────────────────────────────────────────────────────────────────
def cohen_kappa(truth: Sequence[str], read: Sequence[str]) -> float:
    """Cohen's κ: agreement beyond what the two distributions of labels give by chance."""
    labels = sorted(set(truth) | set(read))
    matrix = np.zeros((len(labels), len(labels)))
    for one, other in zip(truth, read, strict=True):
        matrix[labels.index(one), labels.index(other)] += 1
    matrix /= matrix.sum()
    chance = float(matrix.sum(axis=1) @ matrix.sum(axis=0))
    return float((np.trace(matrix) - chance) / (1 - chance)) if chance < 1 else 0.0


def _stage_scores(truth: list[str], read: list[str]) -> dict[str, Any]:
    recall = {
        stage: round(
            float(np.mean([r == stage for t, r in zip(truth, read, strict=True) if t == stage])), 3
        )
        for stage in STAGES
        if stage in truth
    }
    f1 = []
    for stage in STAGES:
        hits = sum(t == stage == r for t, r in zip(truth, read, strict=True))
        both = sum(t == stage for t in truth) + sum(r == stage for r in read)
        if stage in truth:
            f1.append(2 * hits / both if both else 0.0)
    return {
        "kappa": round(cohen_kappa(truth, read), 3),
        "accuracy": round(float(np.mean([t == r for t, r in zip(truth, read, strict=True)])), 3),
        "macro_f1": round(float(np.mean(f1)), 3),
        "recall": recall,
    }


def _scored(nights: Sequence[Night]) -> list[tuple[Night, list[int]]]:
    return [
        (night, [i for i, stage in enumerate(night.scorings["expert"].stages) if stage in STAGES])
        for night in nights
    ]


def _truth(nights: Sequence[Night]) -> list[str]:
    return [night.scorings["expert"].stages[i] for night, rows in _scored(nights) for i in rows]


def _staging(nights: Sequence[Night]) -> dict[str, Any]:
    truth = _truth(nights)
    read = [night.scorings["model"].stages[i] for night, rows in _scored(nights) for i in rows]
    majority = max(STAGES, key=truth.count)
    return {
        **_stage_scores(truth, read),
        "baseline": {"majority": _stage_scores(truth, [majority] * len(truth))},
    }


def _zero_shot(model: SleepLM, nights: Sequence[Night]) -> dict[str, Any]:
    truth = _truth(nights)
    vectors = np.concatenate([night.embeddings()[rows] for night, rows in _scored(nights)])
    prompts = np.stack(
        [_unit(model.encode_text(list(STAGE_PROMPTS[stage])).mean(axis=0)) for stage in STAGES]
    )
    read = [STAGES[index] for index in (vectors @ prompts.T).argmax(axis=1)]
    majority = max(STAGES, key=truth.count)
    return {
        **_stage_scores(truth, read),
        "baseline": {"majority": _stage_scores(truth, [majority] * len(truth))},
    }


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


# ── events ───────────────────────────────────────────────────────────────────────────────────────
def _matched(
    truth: Sequence[Event], read: Sequence[Event], iou: float
) -> list[tuple[Event, Event]]:
    """Pairs of overlapping events, each used once, the best overlaps first."""
    pairs = []
    for one in truth:
        for other in read:
            shared = min(one.end_s, other.end_s) - max(one.onset_s, other.onset_s)
            if shared > 0:
                union = max(one.end_s, other.end_s) - min(one.onset_s, other.onset_s)
                if shared / union >= iou:
                    pairs.append((shared / union, one, other))
    matched: list[tuple[Event, Event]] = []
    used: set[int] = set()
    for _, one, other in sorted(pairs, key=lambda pair: -pair[0]):
        if id(one) not in used and id(other) not in used:
            used |= {id(one), id(other)}
            matched.append((one, other))
    return matched


def _event_scores(pairs: Sequence[tuple[Sequence[Event], Sequence[Event]]]) -> dict[str, Any]:
    """F1 over nights of (true events, read events), at IoU 0.3 and 0.5, and the onset's error."""
    n_true = sum(len(truth) for truth, _ in pairs)
    n_read = sum(len(read) for _, read in pairs)
    scores: dict[str, Any] = {"true": n_true, "read": n_read}
    for iou in (0.3, 0.5):
        matches = [match for truth, read in pairs for match in _matched(truth, read, iou)]
        scores[f"f1_iou_{iou}"] = round(2 * len(matches) / max(n_true + n_read, 1), 3)
        if iou == 0.3:
            errors = [abs(one.onset_s - other.onset_s) for one, other in matches]
            scores["onset_error_s"] = round(float(np.median(errors)), 2) if errors else None
    return scores


def _events(nights: Sequence[Night]) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    scorings: list[tuple[Scoring, Scoring]] = [
        (night.scorings["expert"], night.scorings["model"]) for night in nights
    ]
    kinds = sorted(
        {event.kind for truth, read in scorings for event in (*truth.events, *read.events)}
    )
    for kind in kinds:
        scores[kind] = _event_scores(
            [(truth.events_of(kind), read.events_of(kind)) for truth, read in scorings]
        )
    indices = []
    for night in nights:
        true, read = (night.summary(source).ahi.value for source in ("expert", "model"))
        if true is not None and read is not None:
            indices.append((true, read))
    if indices:
        differences = [read - true for true, read in indices]
        scores["ahi"] = {
            "true_and_read": [[round(t, 1), round(r, 1)] for t, r in indices],
            "mean_absolute_error": round(float(np.mean(np.abs(differences))), 2),
            "bias": round(float(np.mean(differences)), 2),
        }
    scores["baseline"] = {"desaturation by a 3 % rule": _event_scores(_ruled(nights))}
    return scores


def _ruled(nights: Sequence[Night]) -> list[tuple[Sequence[Event], Sequence[Event]]]:
    pairs: list[tuple[Sequence[Event], Sequence[Event]]] = []
    for night in nights:
        spo2 = night.recording.channel("SPO2")
        if spo2 is not None:
            read = [
                Event("desaturation", drop[0], drop[1])
                for drop in desaturations(spo2, rate_hz=64.0)
            ]
            pairs.append((night.scorings["expert"].events_of("desaturation"), read))
    return pairs


# ── captions ─────────────────────────────────────────────────────────────────────────────────────
def _captions(nights: Sequence[Night], rng: np.random.Generator) -> dict[str, Any]:
    """Fields of generated captions against what was measured and scored in the same epochs."""
    recalled = stated = unparsed = distinct = epochs_seen = stage_right = invented = 0
    errors: dict[str, list[float]] = {}
    spread: dict[str, list[float]] = {}
    for night in nights:
        measured = night.measurements()
        chosen = sorted(
            int(i)
            for i in rng.choice(night.n_epochs, min(CAPTION_EPOCHS, night.n_epochs), replace=False)
        )
        texts = {system: night.captions(chosen, system) for system in SYSTEMS}
        for row, epoch in enumerate(chosen):
            truth = epoch_fields(measured, night.scorings["expert"], epoch)
            epochs_seen += 1
            distinct += len({texts[system][row] for system in SYSTEMS}) == len(SYSTEMS)
            for system in SYSTEMS:
                read = parse_caption(texts[system][row], system)
                unparsed += len(read.unparsed)
                stated += len(read.values)
                known = {
                    name: value
                    for name, value in truth.values.items()
                    if FIELDS[name].system == system
                }
                invented += len(set(read.values) - set(known))
                if system == "stage_event":
                    stage_right += read.stage == truth.stage
                for name, value in known.items():
                    recalled += name in read.values
                    spread.setdefault(name, []).append(value)
                    if name in read.values:
                        errors.setdefault(name, []).append(abs(read.values[name] - value))
    asked = sum(len(values) for values in spread.values())
    relative = {
        name: float(np.median(errors[name])) / deviation
        for name in errors
        if (deviation := float(np.median(np.abs(np.array(spread[name]) - np.median(spread[name])))))
        > 0
    }
    return {
        "epochs": epochs_seen,
        "field_recall": round(recalled / max(asked, 1), 3),
        "not_in_truth": round(invented / max(stated, 1), 3),
        "unparsed_sentences": unparsed,
        "systems_distinct": round(distinct / max(epochs_seen, 1), 3),
        "stage_right": round(stage_right / max(epochs_seen, 1), 3),
        "median_error": {
            name: round(float(np.median(values)), 2) for name, values in errors.items()
        },
        "relative_error": round(float(np.mean(list(relative.values()))), 3) if relative else None,
        "baseline": {"always the median": {"relative_error": 1.0}},
    }


# ── retrieval ────────────────────────────────────────────────────────────────────────────────────
def _retrieval(model: SleepLM, nights: Sequence[Night], rng: np.random.Generator) -> dict[str, Any]:
    """Rank of an epoch among ``RETRIEVAL_POOL`` for its own text, and the other way round."""
    vectors: list[np.ndarray] = []
    texts: list[str] = []
    for night in nights:
        measured = night.measurements()
        share = min(RETRIEVAL_POOL // len(nights), night.n_epochs)
        for epoch in rng.choice(night.n_epochs, share, replace=False):
            fields = epoch_fields(measured, night.scorings["expert"], int(epoch))
            texts.append(joint_text(fields, rng))
            vectors.append(night.embeddings()[int(epoch)])
    similarity = np.stack(vectors) @ model.encode_text(texts).T
    scores: dict[str, Any] = {"pool": len(texts)}
    for name, table in (("text_to_signal", similarity.T), ("signal_to_text", similarity)):
        rank = (table > np.diag(table)[:, None]).sum(axis=1)
        scores[name] = {
            **{f"recall_at_{k}": round(float(np.mean(rank < k)), 3) for k in (1, 5, 10)},
            "median_rank": float(np.median(rank) + 1),
        }
    scores["baseline"] = {
        "chance": {f"recall_at_{k}": round(k / len(texts), 3) for k in (1, 5, 10)}
    }
    return scores


def as_markdown(result: dict[str, Any]) -> str:
    """The result as one table: axis, figure, model, baseline."""
    rows = [f"Model `{result['model']}`, {result['nights']} nights, {result['epochs']} epochs.", ""]
    rows += ["| axis | figure | model | baseline |", "| --- | --- | --- | --- |"]

    def add(axis: str, figure: str, value: Any, baseline: Any = "–") -> None:
        rows.append(f"| {axis} | {figure} | {value} | {baseline} |")

    for axis in ("staging", "zero_shot"):
        if axis in result:
            scores = result[axis]
            majority = scores["baseline"]["majority"]
            for figure in ("kappa", "accuracy", "macro_f1"):
                add(axis, figure, scores[figure], f"{majority[figure]} (majority)")
    if "events" in result:
        rule = result["events"]["baseline"]["desaturation by a 3 % rule"]
        for kind, scores in result["events"].items():
            if kind == "ahi":
                add("events", "AHI, mean absolute error", scores["mean_absolute_error"])
            elif kind != "baseline":
                beside = f"{rule['f1_iou_0.3']} (3 % rule)" if kind == "desaturation" else "–"
                add("events", f"{kind}: F1 at IoU 0.3", scores["f1_iou_0.3"], beside)
    if "captions" in result:
        scores = result["captions"]
        add("captions", "fields stated", scores["field_recall"])
        add("captions", "stage right", scores["stage_right"])
        add("captions", "error relative to always saying the median", scores["relative_error"], 1.0)
        add("captions", "all five systems differ", scores["systems_distinct"])
    if "retrieval" in result:
        chance = result["retrieval"]["baseline"]["chance"]
        for way in ("text_to_signal", "signal_to_text"):
            for k in (1, 10):
                figure = f"recall_at_{k}"
                name = f"{way.replace('_', ' ')}: R@{k} of {result['retrieval']['pool']}"
                add(
                    "retrieval",
                    name,
                    result["retrieval"][way][figure],
                    f"{chance[figure]} (chance)",
                )
    return "\n".join(rows)
