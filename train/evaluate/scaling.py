"""Figures of several models against their size and the epochs that they were trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from train.evaluate.table import rounded

__all__ = ["SCALING_AXES", "scaling", "scaling_markdown", "trained_epochs"]

#: What is asked of every model unless axes are named.
SCALING_AXES = ("staging", "events", "localization", "retrieval", "captions")
FIGURES: dict[str, tuple[str, ...]] = {
    "zero_shot_kappa": ("staging", "zero_shot", "kappa"),
    "event_auroc": ("events", "auroc"),
    "localization_f1": ("localization", "f1_iou_0.3"),
    "text_to_signal_recall_at_10_of_200": (
        "retrieval", "pools", "200", "text_to_signal", "recall_at_10",
    ),
    "caption_error": ("captions", "relative_error"),
    "probe_kappa_at_10_percent": ("probes", "embeddings", "10 %", "kappa"),
    "continuity": ("continuity", "spearman"),
}  # fmt: skip


def scaling(results: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """One line per model.

    Parameters
    ----------
    results : dict of weights folder → result of an evaluation on the same nights

    Returns
    -------
    dict
        ``models``: name, parameters, trained epochs (None where not recorded) and the figures;
        ``figures``: the names of those that any model has.
    """
    models = []
    for weights, result in results.items():
        line: dict[str, Any] = {
            "weights": Path(weights).name if weights else "embedded",
            "model": result["model"],
            "parameters": result["parameters"],
            "trained_epochs": trained_epochs(Path(weights)) if weights else None,
        }
        for name, path in FIGURES.items():
            node: Any = result
            for step in path:
                node = node.get(step) if isinstance(node, dict) else None
            if isinstance(node, float):
                line[name] = node
        models.append(line)
    models.sort(key=lambda one: (one["parameters"], one["trained_epochs"] or 0))
    return {"models": models, "figures": [n for n in FIGURES if any(n in one for one in models)]}


def trained_epochs(weights: Path) -> int | None:
    """Epochs of 30 s that a model was trained on, where its folder or its run says so.

    ``training.json`` beside the weights or in the folder above (the run), key ``epochs``; else the
    last line of the run's ``log.jsonl``, where that has ``epochs``.
    """
    for folder in (weights, weights.parent):
        try:
            told = json.loads((folder / "training.json").read_text("utf-8"))
            return int(told["epochs"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    try:
        last = (weights.parent / "log.jsonl").read_text("utf-8").splitlines()[-1]
        return int(json.loads(last)["epochs"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None


def scaling_markdown(found: dict[str, Any]) -> str:
    """A table, one line per model by size."""
    names: Sequence[str] = found["figures"]
    heads = ["model", "parameters, M", "trained epochs", *(n.replace("_", " ") for n in names)]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for one in found["models"]:
        told = one["trained_epochs"]
        cells = [
            f"`{one['model']}`",
            f"{one['parameters'] / 1e6:.2f}",
            "not recorded" if told is None else f"{told:,}",
            *(str(rounded(one.get(name), 3)) if name in one else "–" for name in names),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
