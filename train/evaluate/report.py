"""What ``sleeplm evaluate`` does: choose nights, measure, and write JSON, table and pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sleeplm.cache import write_atomically
from sleeplm.errors import SleepLMError
from train.evaluate.nights import (
    HELD_OUT_HOURS,
    NightSource,
    held_out_sources,
    recording_sources,
    reference_sources,
)
from train.evaluate.plots import plot
from train.evaluate.reading import AXES
from train.evaluate.run import Say, evaluate_sources
from train.evaluate.scaling import SCALING_AXES, scaling, scaling_markdown
from train.evaluate.table import as_markdown, rounded, write_between

__all__ = ["Request", "chosen_nights", "report"]

#: From so many recordings on, every other one teaches the probes where no reference is named.
LEAST_TO_HALVE = 4


@dataclass(frozen=True)
class Request:
    """What is to be measured and where it is to be written.

    Parameters
    ----------
    model : str or None
        Weights; None are those that ship.
    models : sequence of str
        Several weights to compare by size, instead of one.
    nights, reference : sequence of str
        One number (of simulated nights), or recordings and folders of them; none are the
        simulated held-out and reference nights.
    hours : float
        Of each simulated night.
    axes : sequence of str
    real : Path or None
        Folder of the real sets.
    outside : bool
        Ask yasa and the automatic scoring on every night.
    out : Path or None
        Folder for ``evaluation.json``, ``evaluation.md`` and pictures.
    page : Path or None
        A page whose table between the markers is renewed.
    command : str or None
        Shown above the table.
    """

    model: str | None = None
    models: Sequence[str] = ()
    nights: Sequence[str] = ()
    reference: Sequence[str] = ()
    hours: float = HELD_OUT_HOURS
    axes: Sequence[str] = ()
    real: Path | None = None
    outside: bool = False
    workers: int = 1
    ray_address: str | None = None
    seed: int = 0
    out: Path | None = None
    page: Path | None = None
    command: str | None = None


def chosen_nights(
    nights: Sequence[str], reference: Sequence[str], hours: float
) -> tuple[list[NightSource], list[NightSource]]:
    """Which nights are measured, and which the probes and learned baselines learn from.

    Simulated nights come with simulated reference nights. Of recordings, every other one teaches
    where there are four or more; ``--reference 0`` leaves probes out.

    Raises
    ------
    SleepLMError
        A number is out of range, or a path is not there.
    """
    if len(nights) <= 1 and all(one.isdecimal() for one in nights):
        measured = held_out_sources(int(nights[0]) if nights else None, hours)
        simulated = True
    else:
        measured = recording_sources([Path(one) for one in nights])
        simulated = False
    if list(reference) == ["0"]:
        return measured, []
    if reference and not (len(reference) == 1 and reference[0].isdecimal()):
        return measured, recording_sources([Path(one) for one in reference])
    if simulated or reference:
        learned = reference_sources(min(hours, 2.0), int(reference[0]) if reference else None)
        return measured, learned
    if len(measured) >= LEAST_TO_HALVE:
        return measured[::2], measured[1::2]
    return measured, []


def report(request: Request, say: Say | None = None) -> tuple[dict[str, Any], str]:
    """Measure what is asked; returns the result, ready for JSON, and its Markdown.

    Raises
    ------
    SleepLMError
        Something asked for is unknown or not there.
    """
    if request.page is not None:
        write_between(request.page, "", check_only=True)  # before minutes of work
    if request.real is not None and not request.real.is_dir():
        raise SleepLMError(f"--real {request.real}: no such folder")
    measured, learned = chosen_nights(request.nights, request.reference, request.hours)
    if request.models:
        result, text = _several(request, measured, learned, say)
    else:
        result = _one(request, request.model, request.axes or AXES, measured, learned, say)
        text = as_markdown(result, request.command)
    if request.out is not None:
        request.out.mkdir(parents=True, exist_ok=True)
        written = json.dumps(result, ensure_ascii=False, indent=1) + "\n"
        write_atomically(request.out / "evaluation.json", written)
        write_atomically(request.out / "evaluation.md", text + "\n")
        if not plot(result, request.out) and say is not None:
            say("no pictures: matplotlib is not installed, or nothing can be drawn")
    if request.page is not None:
        write_between(request.page, text)
    return result, text


def _one(
    request: Request,
    weights: str | None,
    axes: Sequence[str],
    measured: Sequence[NightSource],
    learned: Sequence[NightSource],
    say: Say | None,
) -> dict[str, Any]:
    result = evaluate_sources(
        weights,
        measured,
        axes,
        reference=learned,
        seed=request.seed,
        outside=request.outside,
        workers=request.workers,
        ray_address=request.ray_address,
        progress=say,
    )
    if request.real is not None:
        from sleeplm.reader import SleepLM
        from train.evaluate.real_sets import measure_real_sets

        model = SleepLM.from_pretrained(weights)
        result["real"] = measure_real_sets(model, request.real, progress=say)
    return dict(rounded(result))


def _several(
    request: Request,
    measured: Sequence[NightSource],
    learned: Sequence[NightSource],
    say: Say | None,
) -> tuple[dict[str, Any], str]:
    """The same nights for several weights, and their figures by size."""
    axes = tuple(request.axes) or SCALING_AXES
    results = {}
    for weights in request.models:
        if say is not None:
            say(f"evaluating {weights}")
        source = None if weights == "embedded" else weights
        results[weights] = _one(request, source, axes, measured, learned, say)
    found = rounded(scaling({"" if w == "embedded" else w: r for w, r in results.items()}))
    tables = [scaling_markdown(found)]
    if request.command:
        tables.insert(0, f"    {request.command}")
    tables += [as_markdown(result) for result in results.values()]
    return {"scaling": found, "evaluations": results}, "\n\n".join(tables)
