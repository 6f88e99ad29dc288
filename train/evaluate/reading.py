"""One night read for all axes: the part of an evaluation that is done per night, anywhere.

A :class:`NightReading` holds truth, what the model read, and what methods without a model found,
as plain arrays and texts, so that it can come back from another process. Reading is the same
here, in a pool and on a cluster: chance is seeded by the night's place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sleeplm.captions import CaptionFields
from sleeplm.prompts import EVENT_PHRASES
from sleeplm.scoring import EVENT_KINDS, SLEEP_STAGES, STAGES, Event, Scoring
from train.evaluate.baselines import (
    NotMeasured,
    ruled_desaturations,
    signal_features,
    yasa_stages,
)
from train.evaluate.nights import NightSource

if TYPE_CHECKING:
    from sleeplm.night import Night
    from sleeplm.reader import SleepLM

__all__ = [
    "AXES",
    "INDICES",
    "MissingReading",
    "NightReading",
    "Reading",
    "covered_s",
    "keep_loaded",
    "read_night",
    "read_opened",
]

AXES = (
    "staging",
    "events",
    "localization",
    "probes",
    "retrieval",
    "captions",
    "targeted",
    "unseen",
    "continuity",
    "indices",
    "missing_channels",
)
#: Full-night figures that are compared: name in the summary → unit.
INDICES = {
    "ahi": "/h",
    "odi3": "/h",
    "arousal_index": "/h",
    "tst": "min",
    "sleep_efficiency": "%",
    **{f"stage_minutes.{stage}": "min" for stage in STAGES},
}
CAPTION_EPOCHS = 24
MISSING_EPOCHS, MISSING_CAPTIONS = 32, 6
#: What a recording of few channels holds; "all" is what was recorded.
CHANNEL_SETS: dict[str, tuple[str, ...] | None] = {
    "all": None,
    "one EEG": ("EEG_C3_A2",),
    "EEG and EOG": ("EEG_C3_A2", "EEG_C4_A1", "EOG_L", "EOG_R"),
    "belts alone": ("ABD", "THX"),
    "oximeter alone": ("SPO2", "HR"),
    "polygraphy": ("ABD", "THX", "AF", "POS", "SPO2", "HR"),
    "ECG alone": ("ECG",),
}
#: How many channels, drawn anew for each night, are taken away for the curve.
TAKEN_AWAY = (3, 6, 9)
AXES_WITH_CAPTIONS = ("captions", "targeted")


@dataclass(frozen=True)
class Reading:
    """What to read of a night.

    Parameters
    ----------
    source : NightSource
    model : str or None
        Weights, as ``SleepLM.from_pretrained`` takes them; the process loads them once.
    axes : tuple of str
    place : int
        Number of the night in its list; seeds its draws together with ``seed``.
    outside : bool
        Whether yasa and the whole automatic scoring are asked too, which takes minutes.
    threads : int or None
        CPU threads of torch in a process of its own.
    """

    source: NightSource
    model: str | None
    axes: tuple[str, ...]
    place: int
    seed: int = 0
    outside: bool = False
    threads: int | None = None


@dataclass
class MissingReading:
    """Some epochs read with a part of the channels."""

    channels: tuple[str, ...]
    rows: np.ndarray
    stages: list[str]
    events: dict[str, np.ndarray]
    caption_rows: list[int]
    captions: dict[str, list[str]]


@dataclass
class NightReading:
    """Truth, model and baselines of one night; per epoch unless said otherwise.

    ``fields`` is the truth of captions, ``features`` those of
    :func:`train.evaluate.baselines.signal_features`, ``located`` per event kind the seconds of each
    epoch that the model marks, ``indices`` per witness the figures of :data:`INDICES`.
    """

    name: str
    truth: Scoring
    model: Scoring
    embeddings: np.ndarray
    stage_probabilities: np.ndarray
    event_kinds: tuple[str, ...]
    event_probabilities: np.ndarray | None
    features: np.ndarray
    values: dict[str, np.ndarray]
    fields: list[CaptionFields]
    ruled: list[Event]
    present: tuple[str, ...]
    located: dict[str, np.ndarray] = field(default_factory=dict)
    spans: dict[str, list[Event]] = field(default_factory=dict)
    caption_rows: list[int] = field(default_factory=list)
    captions: dict[str, list[str]] = field(default_factory=dict)
    indices: dict[str, dict[str, float]] = field(default_factory=dict)
    missing: dict[str, MissingReading] = field(default_factory=dict)
    automatic: Scoring | None = None
    yasa: list[str] | None = None
    not_measured: dict[str, str] = field(default_factory=dict)

    @property
    def n_epochs(self) -> int:
        return len(self.embeddings)

    @property
    def scored_rows(self) -> np.ndarray:
        """Epochs to which the expert gave a stage."""
        return np.array([i for i, stage in enumerate(self.truth.stages) if stage in STAGES], int)

    def holds(self, kind: str) -> np.ndarray:
        """Per epoch, whether the truth has a second or more of the kind in it."""
        return covered_s(self.truth.events_of(kind), self.n_epochs) >= 1.0


_loaded: dict[str | None, Any] = {}


def keep_loaded(weights: str | None, model: SleepLM) -> None:
    """Spare :func:`read_night` in this process the loading of weights that are loaded already."""
    _loaded.clear()
    _loaded[weights] = model


def read_night(reading: Reading) -> NightReading:
    """Open a night, load the model (once per process), and read it: a task of its own."""
    if reading.threads is not None:
        import torch

        torch.set_num_threads(reading.threads)
    if reading.model not in _loaded:
        from sleeplm.reader import SleepLM

        keep_loaded(reading.model, SleepLM.from_pretrained(reading.model))
    night = reading.source.open(_loaded[reading.model])
    return read_opened(night, reading.axes, reading.place, reading.seed, outside=reading.outside)


def read_opened(
    night: Night,
    axes: Sequence[str] = AXES,
    place: int = 0,
    seed: int = 0,
    *,
    outside: bool = False,
) -> NightReading:
    """Read a night that is open already; see :class:`Reading`."""
    from train.captions import all_epoch_fields

    rng = np.random.default_rng([seed, place])
    model, signals = night.model, night.signals
    truth, measured = night.scorings["expert"], night.measurements()
    read = NightReading(
        name=night.id,
        truth=truth,
        model=night.scorings["model"],
        embeddings=night.embeddings(),
        stage_probabilities=night.stage_probabilities(),
        event_kinds=model.event_kinds,
        event_probabilities=model.event_probabilities(signals),
        features=signal_features(night.recording.signals, night.n_epochs),
        values=measured.values,
        fields=all_epoch_fields(measured, truth),
        ruled=ruled_desaturations(night.recording.channel("SPO2")),
        present=tuple(name for name in model.montage if name in night.recording.signals),
    )
    if {"events", "localization", "unseen"} & set(axes):
        for kind in EVENT_KINDS:
            read.spans[kind] = [
                Event(kind, where.onset_s, where.duration_s, confidence=where.score)
                for where in night.locate(EVENT_PHRASES[kind][0])
            ]
            read.located[kind] = covered_s(read.spans[kind], night.n_epochs)
    if set(AXES_WITH_CAPTIONS) & set(axes):
        read.caption_rows = _drawn(rng, read.scored_rows, CAPTION_EPOCHS)
        read.captions = model.captions(signals[read.caption_rows])
    if "indices" in axes:
        _read_indices(night, read, outside)
    if "missing_channels" in axes:
        read.missing = _with_fewer_channels(model, signals, read, rng)
    if outside:
        _ask_outside(night, read)
    return read


def _drawn(rng: np.random.Generator, rows: np.ndarray, most: int) -> list[int]:
    return sorted(int(row) for row in rng.choice(rows, min(most, len(rows)), replace=False))


def covered_s(events: Sequence[Event], n_epochs: int) -> np.ndarray:
    """Seconds of each epoch that events lie in (overlapping ones count once each), [n_epochs]."""
    covered = np.zeros(n_epochs)
    for event in events:
        first, last = int(event.onset_s // 30), int(np.ceil(event.end_s / 30))
        for epoch in range(max(first, 0), min(last, n_epochs)):
            covered[epoch] += max(
                min(event.end_s, 30.0 * (epoch + 1)) - max(event.onset_s, 30.0 * epoch), 0.0
            )
    return covered


def _read_indices(night: Night, read: NightReading, outside: bool) -> None:
    try:
        import pydantic  # noqa: F401
    except ImportError:  # a machine for training alone; summaries are pydantic models
        read.not_measured["indices"] = "pydantic is not installed"
        return
    read.indices = {
        witness: _indices(night, witness)
        for witness in ("expert", "model", *(("automatic",) if outside else ()))
        if witness in night.scorings
    }
    read.indices["SpO2 rule"] = {"odi3": _ruled_odi(read)}


def _indices(night: Night, witness: str) -> dict[str, float]:
    summary = night.summary(witness)
    found = {}
    for name in INDICES:
        first, _, rest = name.partition(".")
        held = getattr(summary, first)
        quantity = held.get(rest) if rest else held
        if quantity is not None and quantity.value is not None:
            found[name] = float(quantity.value)
    return found


def _ruled_odi(read: NightReading) -> float:
    """Ruled desaturations per hour of the model's sleep: what needs no event of the model."""
    asleep = np.isin(read.model.stages, SLEEP_STAGES)
    hours = float(asleep.sum()) * 30 / 3600
    inside = [event for event in read.ruled if read.model.in_sleep(event)]
    return len(inside) / hours if hours else float("nan")


def _ask_outside(night: Night, read: NightReading) -> None:
    """yasa's stages and the automatic scoring; why not, where they cannot be had."""
    from sleeplm.errors import SleepLMError

    try:
        read.yasa = yasa_stages(night.recording)
    except NotMeasured as error:
        read.not_measured["yasa"] = str(error)
    try:
        if "automatic" in night.scorings:
            read.automatic = night.scorings["automatic"]
        else:
            read.not_measured["automatic"] = night.why_not_automatic or "not at hand"
    except (SleepLMError, ImportError) as error:
        read.not_measured["automatic"] = str(error)


def _with_fewer_channels(
    model: SleepLM, signals: np.ndarray, read: NightReading, rng: np.random.Generator
) -> dict[str, MissingReading]:
    """Some epochs again and again, each time with other channels taken away."""
    rows = np.array(_drawn(rng, read.scored_rows, MISSING_EPOCHS))
    montage = list(model.montage)
    sets: dict[str, list[str]] = {
        name: [c for c in montage if c in read.present and (kept is None or c in kept)]
        for name, kept in CHANNEL_SETS.items()
    }
    order = [str(channel) for channel in rng.permutation(list(read.present))]
    for count in TAKEN_AWAY:
        if count < len(order):
            sets[f"{count} taken away"] = [c for c in montage if c in order[count:]]
    described = rows[:: max(len(rows) // MISSING_CAPTIONS, 1)][:MISSING_CAPTIONS]
    found = {}
    for name, kept in sets.items():
        if not kept:
            continue
        part = signals[rows].copy()
        for column, channel in enumerate(montage):
            if channel not in kept:
                part[:, column] = model.config.input.rule(channel).missing
        chosen = part[np.searchsorted(rows, described)]
        found[name] = MissingReading(
            channels=tuple(kept),
            rows=rows,
            stages=[STAGES[best] for best in model.stage_probabilities(part).argmax(axis=1)],
            events={
                kind: np.array(
                    [
                        sum(end_s - start_s for start_s, end_s, _ in spans)
                        for spans in model.locate(part, model.event_phrase(kind))
                    ]
                )
                for kind in model.event_kinds
            },
            caption_rows=[int(row) for row in described],
            captions=model.captions(chosen),
        )
    return found
