"""Nights on disk for training: one safetensors file per night, read epoch by epoch.

A shard holds the model input of the house's twelve channels as float16, the stage of each epoch,
the events, and the typed fields of each epoch's captions as JSON behind an offset table; captions
are rendered when a batch is made, so that wording can vary from one visit of an epoch to the next.
Files are mapped, not read: a corpus of any size costs about ten bytes of memory per epoch.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sleeplm.cache import write_atomically
from sleeplm.captions import CaptionFields
from sleeplm.errors import SleepLMError
from sleeplm.scoring import EPOCH_S, STAGES, Scoring
from train.captions import all_epoch_fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sleeplm.model.config import InputConfig, ModelConfig

__all__ = ["Epoch", "Shard", "ShardReader", "write_shard"]

FORMAT = "sleeplm-shard-2"
ENTRY = "sleeplm"
#: Mapped files held open at a time.
OPEN_FILES = 256


@dataclass(frozen=True)
class Epoch:
    """One training epoch: model input float16 [C, 1920] and its truth.

    ``events`` are (kind, start_s, end_s) within the epoch; ``looked_for`` the kinds whose absence
    means none (None: all).
    """

    signals: np.ndarray
    numbers: np.ndarray
    stage: int
    events: tuple[tuple[str, float, float], ...]
    fields: CaptionFields
    looked_for: frozenset[str] | None = None


def write_shard(
    path: Path,
    signals: Mapping[str, np.ndarray],
    scoring: Scoring,
    config: InputConfig,
    *,
    scorer: str | None = None,
    source: str = "",
) -> int:
    """Measure a night and write it; returns its number of epochs.

    Parameters
    ----------
    path : Path
        Appears whole or not at all.
    signals : mapping of channel name to array
        In physical units at 64 Hz.
    scoring : Scoring
        Aligned with the recording.
    config : InputConfig
        Montage and scaling that are stored; a model whose channels are a part of these and are
        scaled alike can be trained on the shard.
    scorer : str, optional
        ``"expert"``, ``"automatic"`` or ``"simulator"``; the scoring's own kind by default.
    source : str
        What tells whether the night changed since (size and time of its files).
    """
    from safetensors.numpy import save_file

    from sleeplm.model.inputs import normalise
    from sleeplm.physiology import measure_night

    inputs = normalise(signals, config).astype(np.float16)
    n_epochs = min(len(inputs), scoring.n_epochs)
    measurements = measure_night(dict(signals))
    texts = [
        json.dumps(fields.to_dict(), separators=(",", ":"))
        for fields in all_epoch_fields(measurements, scoring)[:n_epochs]
    ]
    encoded = [text.encode() for text in texts]
    kinds = sorted({event.kind for event in scoring.events})
    arrays: dict[str, np.ndarray] = {
        "signals": inputs[:n_epochs],
        "stages": np.array(
            [STAGES.index(s) if s in STAGES else -1 for s in scoring.stages[:n_epochs]], np.int8
        ),
        "event_kind": np.array([kinds.index(e.kind) for e in scoring.events], np.int8),
        "event_onset_s": np.array([e.onset_s for e in scoring.events], np.float64),
        "event_end_s": np.array([e.end_s for e in scoring.events], np.float64),
        "fields": np.frombuffer(b"".join(encoded), np.uint8),
        "field_offsets": np.cumsum([0, *map(len, encoded)]).astype(np.int64),
    }
    looked_for = scoring.scored_kinds if scoring.has_events else ()
    description = {
        "format": FORMAT,
        "montage": list(config.montage),
        "rules": {name: asdict(config.rule(name)) for name in config.montage},
        "kinds": kinds,
        "looked_for": None if looked_for is None else sorted(looked_for),
        "scorer": scorer or scoring.scorer.kind,
        "source": source,
    }
    # One entry: the order in which safetensors writes several differs from process to process.
    metadata = {ENTRY: json.dumps(description, sort_keys=True)}
    write_atomically(path, lambda temporary: save_file(arrays, temporary, metadata=metadata))
    return n_epochs


def description_of(file: Any) -> dict[str, Any] | None:
    """What an open safetensors file says of itself; None where it is no shard of this format."""
    try:
        described: dict[str, Any] = json.loads((file.metadata() or {}).get(ENTRY, "{}"))
    except ValueError:
        return None
    return described if described.get("format") == FORMAT else None


class Shard:
    """One mapped night, seen with the montage and the number fields of a model's config.

    Raises
    ------
    SleepLMError
        The file is no shard of this format, lacks a channel of the montage, or holds one that is
        scaled by another rule.
    """

    def __init__(self, path: Path, config: ModelConfig) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            self._file = safe_open(path, framework="numpy")
        except (OSError, SafetensorError) as error:
            raise SleepLMError(f"{path.name}: not a readable shard; prepare it anew") from error
        described = description_of(self._file)
        if described is None:
            raise SleepLMError(f"{path.name}: made by another version; prepare the corpus anew")
        montage, rules = described["montage"], described["rules"]
        for name in config.input.montage:
            if name not in montage:
                raise SleepLMError(f"{path.name}: holds no channel {name}; prepare with it")
            # Through JSON and back, so that tuples and lists compare alike.
            if rules[name] != json.loads(json.dumps(asdict(config.input.rule(name)))):
                raise SleepLMError(
                    f"{path.name}: {name} is scaled by another rule than the model's config names; "
                    "prepare the corpus with this recipe"
                )
        self._rows = [montage.index(name) for name in config.input.montage]
        self._whole = self._rows == list(range(len(montage)))
        self._number_names = config.number_names
        self._kinds_kept = set(config.extensions.event_kinds)
        self._kinds: list[str] = described["kinds"]
        looked_for = described["looked_for"]
        self._looked_for = None if looked_for is None else frozenset(looked_for)
        self.scorer: str = described["scorer"]
        self.stages: np.ndarray = self._file.get_tensor("stages")
        self._event_kind = self._file.get_tensor("event_kind")
        self._event_onset_s = self._file.get_tensor("event_onset_s")
        self._event_end_s = self._file.get_tensor("event_end_s")
        self._offsets = self._file.get_tensor("field_offsets")
        self._signals = self._file.get_slice("signals")
        self._fields = self._file.get_slice("fields")

    def __len__(self) -> int:
        return len(self.stages)

    def kinds_by_epoch(self, kinds: Sequence[str]) -> np.ndarray:
        """Which epochs hold a part of an event of which kind, bool [n_epochs, len(kinds)]."""
        there = np.zeros((len(self), len(kinds)), bool)
        for code, onset_s, end_s in zip(
            self._event_kind.tolist(), self._event_onset_s, self._event_end_s, strict=True
        ):
            if self._kinds[code] in kinds:
                first, last = int(onset_s // EPOCH_S), int(np.ceil(end_s / EPOCH_S))
                there[max(first, 0) : max(last, first + 1), kinds.index(self._kinds[code])] = True
        return there

    def epoch(self, index: int) -> Epoch:
        """Read one epoch from the disk."""
        signals = self._signals[index : index + 1][0]
        first, last = int(self._offsets[index]), int(self._offsets[index + 1])
        fields = CaptionFields.from_dict(json.loads(bytes(self._fields[first:last])))
        start_s = index * EPOCH_S
        inside = np.flatnonzero(
            (self._event_onset_s < start_s + EPOCH_S) & (self._event_end_s > start_s)
        )
        return Epoch(
            signals=signals if self._whole else signals[self._rows],
            numbers=np.array(
                [fields.values.get(name, np.nan) for name in self._number_names], np.float32
            ),
            stage=int(self.stages[index]),
            events=tuple(
                (
                    kind,
                    max(float(self._event_onset_s[i]) - start_s, 0.0),
                    min(float(self._event_end_s[i]) - start_s, EPOCH_S),
                )
                for i in inside.tolist()
                if (kind := self._kinds[self._event_kind[i]]) in self._kinds_kept
            ),
            fields=fields,
            looked_for=self._looked_for,
        )


@dataclass
class ShardReader:
    """Shards by path, the most recently used ones kept mapped."""

    config: ModelConfig
    _open: OrderedDict[Path, Shard] = field(default_factory=OrderedDict)

    def __call__(self, path: Path) -> Shard:
        shard = self._open.pop(path, None) or Shard(path, self.config)
        self._open[path] = shard
        if len(self._open) > OPEN_FILES:
            self._open.popitem(last=False)
        return shard
