"""A whole evaluation: nights are read one by one, anywhere; then every axis is measured here."""

from __future__ import annotations

import importlib
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sleeplm.errors import SleepLMError
from train.evaluate import reading as night_reading
from train.evaluate.nights import NightSource
from train.evaluate.reading import AXES, NightReading, Reading, read_night, read_opened

if TYPE_CHECKING:
    from sleeplm.night import Night
    from sleeplm.reader import SleepLM

__all__ = ["checked_axes", "commit", "evaluate", "evaluate_sources", "measure_axes"]

Say = Callable[[str], None]
#: What of the reference nights is read: embeddings, features and truth come with any axis.
REFERENCE_AXES = ("probes", "indices")
#: Reference nights draw from other streams than those that are measured.
REFERENCE_PLACE = 1000


def checked_axes(axes: Sequence[str]) -> tuple[str, ...]:
    """The axes, in the order of :data:`AXES`.

    Raises
    ------
    SleepLMError
        One is not known, or there is none.
    """
    for axis in axes:
        if axis not in AXES:
            raise SleepLMError(f"axis {axis!r} is not known; use some of {', '.join(AXES)}")
    if not axes:
        raise SleepLMError(f"no axis to measure; use some of {', '.join(AXES)}")
    return tuple(axis for axis in AXES if axis in axes)


def commit() -> str | None:
    """Commit of the checkout that this code lies in, marked where it was changed; else None."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def evaluate(
    model: SleepLM,
    nights: Sequence[Night],
    axes: Sequence[str] = AXES,
    *,
    reference: Sequence[Night] = (),
    seed: int = 0,
    outside: bool = False,
    progress: Say | None = None,
) -> dict[str, Any]:
    """Scores of ``model`` on nights that are open, which must carry an expert scoring.

    Parameters
    ----------
    model : SleepLM
    nights : sequence of Night
    axes : sequence of str
        Some of :data:`AXES`.
    reference : sequence of Night
        What linear probes and learned baselines learn from: other sleepers. Without any, these
        are not measured.
    seed : int
        Of the draws of epochs.
    outside : bool
        Ask yasa and the automatic scoring too, which takes minutes.

    Returns
    -------
    dict
        ``{"model", "commit", "nights", "epochs", axis: {...}}``; each axis holds its figures and,
        under ``"baseline"``, what methods without the model reach on the same epochs.

    Raises
    ------
    SleepLMError
        An axis is not known, or a night has no scoring to compare with.
    """
    chosen = checked_axes(axes)
    for night in (*nights, *reference):
        if "expert" not in night.scorings:
            raise SleepLMError(f"{night.id}: no scoring beside it, so nothing to evaluate against")
    readings, learned = [], []
    for place, night in enumerate(nights):
        _say(progress, f"reading night {place + 1} of {len(nights)}")
        readings.append(read_opened(night, chosen, place, seed, outside=outside))
    for place, night in enumerate(reference):
        learned.append(read_opened(night, REFERENCE_AXES, REFERENCE_PLACE + place, seed))
    return measure_axes(model, readings, learned, chosen, progress)


def evaluate_sources(
    weights: str | None,
    sources: Sequence[NightSource],
    axes: Sequence[str] = AXES,
    *,
    reference: Sequence[NightSource] = (),
    seed: int = 0,
    outside: bool = False,
    workers: int = 1,
    ray_address: str | None = None,
    progress: Say | None = None,
) -> dict[str, Any]:
    """:func:`evaluate` with one task per night, here, in a pool or on a Ray cluster.

    A night that fails is named under ``"failed"`` and left out; the figures do not depend on where
    nights are read.

    Raises
    ------
    SleepLMError
        An axis is not known, the weights cannot be loaded, or no night could be read.
    """
    from sleeplm.reader import SleepLM
    from sleeplm.runner import run_tasks

    chosen = checked_axes(axes)
    model = SleepLM.from_pretrained(weights)
    threads = 1 if workers > 1 or ray_address is not None else None
    if threads is None:
        night_reading.keep_loaded(weights, model)
    tasks = {
        f"{place:04d} {source.key}": Reading(source, weights, chosen, place, seed, outside, threads)
        for place, source in enumerate(sources)
    }
    tasks |= {
        f"reference {place:04d} {source.key}": Reading(
            source, weights, REFERENCE_AXES, REFERENCE_PLACE + place, seed, False, threads
        )
        for place, source in enumerate(reference)
    }
    outcomes = run_tasks(
        read_night,
        tasks,
        workers=workers,
        ray_address=ray_address,
        progress=lambda outcome, done, count: _say(progress, f"read {done} of {count} nights"),
    )
    read = {key: one.result for key, one in outcomes.items() if one.result is not None}
    failed = {key.split(" ", 1)[1]: one.error for key, one in outcomes.items() if one.error}
    readings = [night for key, night in read.items() if not key.startswith("reference ")]
    learned = [night for key, night in read.items() if key.startswith("reference ")]
    if not readings:
        raise SleepLMError(f"no night could be read: {next(iter(failed.values()), 'none given')}")
    result = measure_axes(model, readings, learned, chosen, progress)
    if failed:
        result["failed"] = failed
    return result


def measure_axes(
    model: SleepLM,
    readings: Sequence[NightReading],
    reference: Sequence[NightReading],
    axes: Sequence[str] = AXES,
    progress: Say | None = None,
) -> dict[str, Any]:
    """Every axis on nights that were read already; see :func:`evaluate`."""
    at = commit()
    result: dict[str, Any] = {
        "model": model.model_id,
        "parameters": sum(weight.numel() for weight in model.model.parameters()),
        **({"commit": at} if at is not None else {}),
        "nights": len(readings),
        "epochs": sum(read.n_epochs for read in readings),
        "reference_nights": len(reference),
    }
    for axis in axes:
        _say(progress, f"evaluating {axis.replace('_', ' ')}")
        measure = getattr(importlib.import_module(f"train.evaluate.{axis}"), axis)
        result[axis] = measure(model, readings, reference)
    return result


def _say(progress: Say | None, words: str) -> None:
    if progress is not None:
        progress(words)
