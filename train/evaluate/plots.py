"""Pictures of an evaluation: PNG files by matplotlib, without a display."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot"]


def plot(result: dict[str, Any], folder: Path) -> list[Path]:
    """Draw what was measured into ``folder``; returns the files, none without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    drawings: dict[str, Callable[[Axes, dict[str, Any]], None]] = {
        "probes": _probes,
        "localization": _localization,
        "captions": _captions,
        "indices": _indices,
        "missing_channels": _missing,
        "retrieval": _retrieval,
        "scaling": _by_parameters,
        "scaling by epochs": _by_epochs,
    }
    written = []
    for name, draw in drawings.items():
        axis = name.partition(" ")[0]
        if axis not in result or "not_measured" in result[axis]:
            continue
        figure = Figure(figsize=(7.0, 4.5), dpi=120, layout="constrained")
        axes = figure.subplots()
        draw(axes, result[axis])
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
        figure.suptitle(str(result.get("model", "")), fontsize=8, x=0.99, ha="right")
        path = folder / f"{name.replace(' ', '_')}.png"
        figure.savefig(path)
        written.append(path)
    return written


def _probes(axes: Axes, found: dict[str, Any]) -> None:
    curves = {"embeddings": found["embeddings"], **found["baseline"]}
    for name, curve in curves.items():
        shares = [float(share.removesuffix(" %")) for share in curve]
        for figure, style in (("kappa", "-"), ("event_auroc", "--")):
            values = [scores.get(figure, np.nan) for scores in curve.values()]
            color = "tab:blue" if name == "embeddings" else "tab:gray"
            title = "stages, κ" if figure == "kappa" else "event kinds, AUROC"
            axes.plot(shares, values, style, color=color, marker="o", label=f"{name}: {title}")
    axes.set(xscale="log", xlabel="labels used, %", ylabel="score", ylim=(0, 1.02))


def _localization(axes: Axes, found: dict[str, Any]) -> None:
    kinds = list(found["by_kind"])
    series = {"model": found["by_kind"], **found["baseline"]}
    series = {n: table for n, table in series.items() if "not_measured" not in table}
    width = 0.8 / len(series)
    for place, (name, table) in enumerate(series.items()):
        heights = [table.get(kind, {}).get("f1_iou_0.3", 0.0) for kind in kinds]
        axes.bar(np.arange(len(kinds)) + place * width, heights, width, label=name)
    axes.set_xticks(np.arange(len(kinds)) + 0.4 - width / 2, [k.replace("_", "\n") for k in kinds])
    axes.set(ylabel="F1 at IoU 0.3", ylim=(0, 1.05))


def _captions(axes: Axes, found: dict[str, Any]) -> None:
    usual = found["baseline"]["always the median"]["median_error"]
    shares = {
        name: error["value"] / usual[name]["value"]
        for name, error in found["median_error"].items()
        if usual.get(name, {}).get("value")
    }
    names = sorted(shares, key=lambda name: shares[name])
    axes.barh(names, [shares[name] for name in names], color="tab:blue")
    axes.axvline(1.0, color="tab:gray", linewidth=1, label="always the median")
    axes.tick_params(axis="y", labelsize=6)
    axes.set(xlabel="median error ÷ that of always saying the median")


def _indices(axes: Axes, found: dict[str, Any]) -> None:
    pairs = np.array([p for p in found["pairs"]["ahi"] if None not in p], float).reshape(-1, 2)
    scores = found["by_index"]["ahi"]
    axes.scatter(pairs.mean(axis=1), pairs[:, 1] - pairs[:, 0], color="tab:blue")
    if scores is not None:
        for name in ("bias", "low", "high"):
            if scores[name] is not None:
                style = "-" if name == "bias" else "--"
                axes.axhline(scores[name], color="tab:gray", linestyle=style, linewidth=1)
    axes.set(xlabel="AHI, mean of model and truth, /h", ylabel="model − truth, /h")


def _missing(axes: Axes, found: dict[str, Any]) -> None:
    names = list(found["by_set"])
    for place, (figure, title) in enumerate(
        (("kappa", "staging κ"), ("event_f1", "event macro-F1"), ("relative_error", "number error"))
    ):
        heights = [found["by_set"][name][figure] or 0.0 for name in names]
        axes.bar(np.arange(len(names)) + 0.27 * place, heights, 0.27, label=title)
    axes.set_xticks(np.arange(len(names)) + 0.27, [n.replace(" ", "\n", 1) for n in names])
    axes.tick_params(axis="x", labelsize=7)
    axes.set(ylabel="score (number error: 1 is always the median)")


def _retrieval(axes: Axes, found: dict[str, Any]) -> None:
    sizes = list(found["pools"])
    for way, style in (("text_to_signal", "-"), ("signal_to_text", "--")):
        for k, color in ((1, "tab:blue"), (10, "tab:orange")):
            values = [found["pools"][size][way][f"recall_at_{k}"] for size in sizes]
            label = f"{way.replace('_', ' ')}, R@{k}"
            axes.plot(sizes, values, style, color=color, marker="o", label=label)
    chance = [found["baseline"]["chance"][size]["recall_at_10"] for size in sizes]
    axes.plot(sizes, chance, ":", color="tab:gray", label="chance, R@10")
    axes.set(xlabel="epochs in the pool", ylabel="recall", ylim=(0, 1.02))


def _by_parameters(axes: Axes, found: dict[str, Any]) -> None:
    _scaling(axes, found, "parameters", 1e6, "parameters, millions")


def _by_epochs(axes: Axes, found: dict[str, Any]) -> None:
    _scaling(axes, found, "trained_epochs", 1e3, "training epochs of 30 s, thousands")


def _scaling(axes: Axes, found: dict[str, Any], size: str, unit: float, title: str) -> None:
    for figure in found["figures"]:
        points = [
            (one[size] / unit, one[figure])
            for one in found["models"]
            if one.get(size) and one.get(figure) is not None
        ]
        if points:
            x, y = zip(*sorted(points), strict=True)
            axes.plot(x, y, marker="o", label=figure.replace("_", " "))
    axes.set(xscale="log", xlabel=title, ylabel="score")
