"""Captions: fields against what was measured and scored in the same epochs, then words.

The fields are primary: which of the true ones a caption states, how far its numbers are off in
their units, whether stage and events are right. ROUGE-L and the cosine of text embeddings come
second; the cosine is of the model's own text tower (BERTScore-like in spirit, with another
encoder), so it favours what that tower cannot tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sleeplm.captions import SYSTEMS, CaptionFields, parse_caption
from sleeplm.physiology import FIELDS, FIELDS_OF_SYSTEM
from train.captions import render
from train.evaluate.baselines import standardised
from train.evaluate.pool import Pool
from train.evaluate.reading import NightReading
from train.evaluate.scores import rouge_l

if TYPE_CHECKING:
    from sleeplm.reader import SleepLM

__all__ = ["Tally", "captions", "medians"]


@dataclass
class Tally:
    """Counts over epochs of one describer's captions, given as fields by system."""

    stated: int = 0
    invented: int = 0
    epochs: int = 0
    stage_right: int = 0
    events_right: int = 0
    unparsed: int = 0
    known: dict[str, int] = field(default_factory=dict)
    errors: dict[str, list[float]] = field(default_factory=dict)
    event_counts: dict[str, list[int]] = field(default_factory=dict)

    def add(self, truth: CaptionFields, said: Mapping[str, CaptionFields]) -> None:
        """Compare one epoch's captions with its truth."""
        self.epochs += 1
        for system, read in said.items():
            self.unparsed += len(read.unparsed)
            self.stated += len(read.values)
            for name in FIELDS_OF_SYSTEM.get(system, ()):
                value = truth.values.get(name)
                if value is None:
                    self.invented += name in read.values
                    continue
                self.known[name] = self.known.get(name, 0) + 1
                if name in read.values:
                    self.errors.setdefault(name, []).append(abs(read.values[name] - value))
        if "stage_event" in said:
            read = said["stage_event"]
            self.stage_right += read.stage == truth.stage
            true_kinds = {event.kind for event in truth.events}
            said_kinds = {event.kind for event in read.events}
            self.events_right += true_kinds == said_kinds
            for kind in true_kinds | said_kinds:
                counts = self.event_counts.setdefault(kind, [0, 0, 0])
                counts[0] += kind in true_kinds and kind in said_kinds
                counts[1] += kind in true_kinds
                counts[2] += kind in said_kinds

    def scores(self, usual: Mapping[str, float] | None = None) -> dict[str, Any]:
        """The figures; ``usual`` is the median error of always saying the median, by field.

        ``relative_error`` is the mean over fields of median error ÷ that; 1 has learned nothing.
        """
        recalled = sum(len(values) for values in self.errors.values())
        median = {name: float(np.median(values)) for name, values in self.errors.items()}
        kinds = {k: 2 * c[0] / (c[1] + c[2]) for k, c in self.event_counts.items() if c[1]}
        found: dict[str, Any] = {
            "epochs": self.epochs,
            "field_recall": recalled / max(sum(self.known.values()), 1),
            "not_in_truth": self.invented / max(self.stated, 1),
            "stage_right": self.stage_right / max(self.epochs, 1),
            "events_right": self.events_right / max(self.epochs, 1),
            "event_f1": float(np.mean(list(kinds.values()))) if kinds else None,
            "event_f1_by_kind": kinds,
            "unparsed_statements": self.unparsed,
            "median_error": {
                name: {"value": value, "unit": FIELDS[name].unit} for name, value in median.items()
            },
        }
        if usual is not None:
            shares = {
                name: value / usual[name] for name, value in median.items() if usual.get(name)
            }
            found["relative_error"] = float(np.mean(list(shares.values()))) if shares else None
            found["relative_error_by_system"] = {
                system: float(np.mean([shares[name] for name in names if name in shares]))
                for system, names in FIELDS_OF_SYSTEM.items()
                if any(name in shares for name in names)
            }
        return found


def captions(
    model: SleepLM, readings: Sequence[NightReading], reference: Sequence[NightReading]
) -> dict[str, Any]:
    """The model's captions, always the median, and the caption of the nearest known epoch."""
    known = Pool(reference)
    middle = medians(known if reference else Pool(readings))
    rows = [(read, place, row) for read in readings for place, row in enumerate(read.caption_rows)]
    told, always = Tally(), Tally()
    systems = [system for system in SYSTEMS if system in model.systems]
    texts: list[tuple[str, str]] = []
    distinct = 0
    for read, place, row in rows:
        truth = read.fields[row]
        said = {system: read.captions[system][place] for system in systems}
        told.add(truth, {system: parse_caption(text, system) for system, text in said.items()})
        always.add(truth, dict.fromkeys(systems, middle))
        texts += [(render(truth, system), text) for system, text in said.items()]
        distinct += len(set(said.values())) == len(said)
    usual = {name: float(np.median(errors)) for name, errors in always.errors.items()}
    result = {
        **told.scores(usual),
        "systems_distinct": distinct / max(len(rows), 1),
        **_wording(model, texts),
    }
    median_texts = [
        (render(read.fields[row], system), render(middle, system))
        for read, _, row in rows
        for system in systems
    ]
    result["baseline"] = {
        "always the median": {**always.scores(usual), **_wording(model, median_texts)}
    }
    if reference:
        places = {
            "1-nearest neighbour by embedding": _nearest_by_embedding(known, rows),
            "1-nearest neighbour by band power": _nearest_by_features(known, rows),
        }
        for name, nearest in places.items():
            tally = Tally()
            near_texts = []
            for (read, _, row), place in zip(rows, nearest, strict=True):
                tally.add(read.fields[row], dict.fromkeys(systems, known.fields[place]))
                near_texts += [
                    (render(read.fields[row], system), render(known.fields[place], system))
                    for system in systems
                ]
            result["baseline"][name] = {**tally.scores(usual), **_wording(model, near_texts)}
    return result


def medians(pool: Pool) -> CaptionFields:
    """What somebody says who does not look: the median of each field, the commonest stage."""
    values = {
        name: float(np.nanmedian(column))
        for name, column in pool.values.items()
        if np.isfinite(column).any()
    }
    return CaptionFields(
        stage=max(set(pool.stages), key=pool.stages.count), no_event=True, values=values
    )


def _wording(model: SleepLM, texts: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Mean ROUGE-L and mean cosine in the model's own text tower of (truth, text) pairs."""
    if not texts:
        return {}
    # One call for each side: both are kept by text, and most texts come more than once.
    true = model.encode_text([truth for truth, _ in texts])
    said = model.encode_text([text for _, text in texts])
    return {
        "rouge_l": float(np.mean([rouge_l(truth, text) for truth, text in texts])),
        "own_text_cosine": float(np.mean((true * said).sum(axis=1))),
    }


def _nearest_by_embedding(known: Pool, rows: Sequence[tuple[NightReading, int, int]]) -> np.ndarray:
    asked = np.stack([read.embeddings[row] for read, _, row in rows])
    return (asked @ known.embeddings.T).argmax(axis=1)


def _nearest_by_features(known: Pool, rows: Sequence[tuple[NightReading, int, int]]) -> np.ndarray:
    held = standardised(known.features, known.features)
    asked = standardised(np.stack([read.features[row] for read, _, row in rows]), known.features)
    # |a − b|² without |a|², which is the same for all.
    return ((held**2).sum(axis=1) - 2 * asked @ held.T).argmin(axis=1)
