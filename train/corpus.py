"""Training epochs drawn from shards, and batches with their truth.

Captions are rendered when a batch is made, so that wording varies from one visit of an epoch to
the next; nothing but the stage and the weight of each epoch is held in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sleeplm.captions import SYSTEMS
from sleeplm.errors import SleepLMError
from sleeplm.prompts import STAGE_PROMPTS
from sleeplm.scoring import EPOCH_S, EVENT_KINDS, STAGES
from train.captions import LEVELS, joint_text, render, short_form
from train.captions.event_wordings import WORDINGS
from train.captions.mix import TextMix, contrastive_text, left_to_see
from train.objective import Batch
from train.shards import Epoch, ShardReader

if TYPE_CHECKING:
    from sleeplm.model.config import ModelConfig
    from sleeplm.model.tokenizer import Tokenizer

__all__ = [
    "Augmentation",
    "Corpus",
    "augment",
    "caption_sample",
    "make_batch",
    "simulation_plan",
]

#: Conditions of training nights; common sleep apnea of any severity comes more often.
CONDITIONS = (
    "osa",
    "healthy",
    "central",
    "osa",
    "rem_related",
    "insomnia",
    "osa",
    "supine_related",
    "healthy_old",
    "severe_osa",
    "cheyne_stokes",
    "plmd",
    "osa",
    "copd",
    "healthy_young",
    "moderate_osa",
    "rbd",
    "mild_osa",
)
#: How likely artefacts are in every third night.
ARTEFACTS = 0.5
#: An event kind cannot be known in an epoch that lacks all of these channels; other kinds (legs,
#: artefacts) not from these twelve channels at all.
EVIDENCE = {
    "obstructive_apnea": ("AF", "THX", "ABD"),
    "central_apnea": ("AF", "THX", "ABD"),
    "mixed_apnea": ("AF", "THX", "ABD"),
    "hypopnea": ("AF", "THX", "ABD"),
    "desaturation": ("SPO2",),
    "arousal": ("EEG_C3_A2", "EEG_C4_A1"),
}
DEFAULT_MIX = TextMix()
#: What a recording of few channels holds: an oximeter, breathing alone, an EEG headband, a Holter.
ALONE = (
    ("EEG_C3_A2",),
    ("EEG_C4_A1",),
    ("EEG_C3_A2", "EEG_C4_A1", "EOG_L", "EOG_R", "EMG_CHIN"),
    ("SPO2", "HR"),
    ("SPO2", "HR", "POS", "THX", "ABD", "AF"),
    ("THX", "ABD", "AF"),
    ("ECG",),
)
#: Their sign is a matter of wiring; airflow is left out, since its shape upward is measured.
_FLIPPED = ("ECG", "THX", "ABD")


@dataclass(frozen=True)
class Augmentation:
    """How an epoch is changed each time that it is drawn; see the recipes for the meanings."""

    channel_dropout: float = 0.0
    alone: float = 0.0
    gain: float = 0.0
    noise: float = 0.0
    flip: float = 0.0
    time_mask: float = 0.0


class Corpus:
    """All epochs of a corpus, with draws that do not favour quiet sleep.

    Stages are drawn with the square root of their frequency, so that N1 and REM are seen more often
    than a night shows them.

    Parameters
    ----------
    paths : sequence of Path
        Shards.
    config : ModelConfig
        Whose montage and number fields the epochs are to have.
    automatic_weight : float
        How often an epoch that only the automatic scoring knows is drawn, against one that an
        expert scored; 0 leaves such nights out.
    rare_events : float
        How much more often, at most, an epoch with a rare kind of event is drawn: by the root of
        how much rarer its rarest kind is than the most frequent one. 1 draws all alike.
    without : sequence of str
        Kinds of events whose epochs are never drawn: what such a model makes of them shows how it
        meets what it has not seen.

    Raises
    ------
    SleepLMError
        There is no epoch to draw, a kind of event is not known, or a shard does not fit the
        config.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        config: ModelConfig,
        *,
        automatic_weight: float = 1.0,
        rare_events: float = 1.0,
        without: Sequence[str] = (),
    ) -> None:
        self.paths = list(paths)
        self._read = ShardReader(config)
        event_kinds = config.extensions.event_kinds or tuple(EVIDENCE)
        unknown = set(without) - set(EVENT_KINDS)
        if unknown:
            raise SleepLMError(
                f"corpus: without: {', '.join(sorted(unknown))} is no kind of event; use some of "
                f"{', '.join(EVENT_KINDS)}"
            )
        stages, trust, events = [], [], []
        for path in self.paths:
            shard = self._read(path)
            stages.append(shard.stages)
            weight = automatic_weight if shard.scorer == "automatic" else 1.0
            trust.append(np.full(len(shard), weight, np.float32))
            events.append(shard.kinds_by_epoch(event_kinds))
            trust[-1][shard.kinds_by_epoch(tuple(without)).any(axis=1)] = 0.0
        self.stages = np.concatenate(stages) if stages else np.zeros(0, np.int8)
        if not len(self.stages):
            raise SleepLMError("the corpus holds no epoch; prepare more nights")
        #: Index of the first epoch of each shard.
        self.first = np.cumsum([0, *map(len, stages)])[:-1]
        counts = np.bincount(self.stages[self.stages >= 0], minlength=len(STAGES)).astype(float)
        share = np.where(self.stages >= 0, 1 / np.sqrt(counts[self.stages].clip(min=1)), 1e-4)
        share *= np.concatenate(trust)
        if rare_events > 1:
            share *= _rarity(np.concatenate(events), rare_events)
        if not share.sum():
            raise SleepLMError(
                "no epoch has a weight: automatic_weight 0 or without leaves out all there are"
            )
        self.weights = np.cumsum(share / share.sum())

    def __len__(self) -> int:
        return len(self.stages)

    def epoch(self, index: int) -> Epoch:
        """One epoch, read from its shard."""
        shard = int(np.searchsorted(self.first, index, side="right")) - 1
        return self._read(self.paths[shard]).epoch(index - int(self.first[shard]))

    def draw(self, rng: np.random.Generator, size: int, rows: range | None = None) -> list[Epoch]:
        """``size`` epochs, with replacement; of these only ``rows`` are read and returned."""
        chosen = np.searchsorted(self.weights, rng.random(size)).clip(max=len(self) - 1)
        return [self.epoch(int(chosen[row])) for row in rows or range(size)]


def _rarity(there: np.ndarray, most: float) -> np.ndarray:
    """Factor on the draw of each epoch, 1 to ``most``; ``there`` is bool [n_epochs, kinds]."""
    counts = there.sum(axis=0)
    factor = np.sqrt(counts.max(initial=1) / counts.clip(min=1)).clip(1.0, most)
    return np.where(there, factor, 1.0).max(axis=1)


def make_batch(
    epochs: Sequence[Epoch],
    seed: Sequence[int],
    config: ModelConfig,
    tokenizer: Tokenizer,
    augmentation: Augmentation,
    n_systems: int = len(SYSTEMS),
    mix: TextMix = DEFAULT_MIX,
    rows: range | None = None,
    caption_style: str = "fixed",
) -> Batch:
    """The tensors of a step; text is worded anew, and what a dropped channel hides is left out.

    ``n_systems`` captions are learned of each epoch, the same systems for all of a step. What is
    drawn for an epoch depends on ``seed`` and its row in the step alone, so that several processes
    (``rows``: whose rows ``epochs`` are) make of a step what one would.
    """
    rng = np.random.default_rng([*seed, 0])
    row_rngs = [np.random.default_rng([*seed, 1 + row]) for row in rows or range(len(epochs))]
    systems = sorted(rng.choice(len(SYSTEMS), n_systems, replace=False).tolist())
    montage = list(config.input.montage)
    clean = np.stack([epoch.signals for epoch in epochs]).astype(np.float32)
    signals, present = augment(clean, row_rngs, config, augmentation)
    kinds = list(config.extensions.event_kinds)
    n_bins = config.biosignals_cfg.patches * config.extensions.grounding_bins
    numbers = np.stack([epoch.numbers for epoch in epochs])
    number_channels = [
        channel for channel in montage for _ in config.extensions.number_fields.get(channel, ())
    ]
    kind_targets = np.zeros((len(epochs), len(kinds)), np.float32)
    bins = np.zeros((len(epochs), len(kinds), n_bins), np.float32)
    texts: list[str] = []
    captions: list[str] = []
    prefixes: list[tuple[int, int]] = []
    for row, epoch in enumerate(epochs):
        seen = {name for name, there in zip(montage, present[row], strict=True) if there}
        for column, channel in enumerate(number_channels):
            if channel not in seen:
                numbers[row, column] = np.nan
        known = set(kinds) if epoch.looked_for is None else epoch.looked_for
        known = known | {kind for kind, _, _ in epoch.events}
        hidden = {
            kind for kind in kinds if kind not in known or not seen & set(EVIDENCE.get(kind, ()))
        }
        for column, kind in enumerate(kinds):
            if kind in hidden:
                kind_targets[row, column] = np.nan
                bins[row, column] = np.nan
                continue
            spans = [(start, end) for name, start, end in epoch.events if name == kind]
            kind_targets[row, column] = float(bool(spans))
            for start, end in spans:
                bins[row, column] = np.maximum(bins[row, column], _coverage(start, end, n_bins))
        fields = left_to_see(epoch.fields, set(montage) - seen, hidden)
        texts.append(contrastive_text(fields, row_rngs[row], mix))
        for index in systems:
            captions.append(render(fields, SYSTEMS[index], style=caption_style, rng=row_rngs[row]))
            prefixes.append((index, -1))
    phrases = [
        WORDINGS[kind][rng.integers(len(WORDINGS[kind])) if rng.random() < 0.6 else 0]
        for kind in kinds
    ]
    length = config.text_cfg.context_length
    return Batch(
        signals=torch.from_numpy(signals),
        clean=torch.from_numpy(clean),
        present=torch.from_numpy(present),
        text=_trimmed(tokenizer.batch(texts, length)),
        text_key=torch.tensor([_key(text) for text in texts]),
        captions=_trimmed(tokenizer.batch(captions, length)),
        channel_indices=torch.tensor(prefixes),
        stage=torch.tensor([epoch.stage for epoch in epochs]),
        kinds=torch.from_numpy(kind_targets),
        phrases=_trimmed(tokenizer.batch(phrases, length)),
        grounding=torch.from_numpy(bins.transpose(0, 2, 1).copy()),
        numbers=torch.from_numpy(_scaled(numbers, config)),
    )


def augment(
    clean: np.ndarray,
    rngs: Sequence[np.random.Generator],
    config: ModelConfig,
    augmentation: Augmentation,
) -> tuple[np.ndarray, np.ndarray]:
    """Signals after channel dropout, gain, sign and noise, and which channels are still there.

    ``clean`` [B, C, 1920] is changed where gain and sign apply, so that reconstruction aims at the
    same signal without the noise.
    """
    montage = list(config.input.montage)
    missing_value = np.array([config.input.rule(name).missing for name in montage], np.float32)
    present = ~(clean == missing_value[None, :, None]).all(axis=2)
    free = np.array([config.input.rule(name).kind == "zscore" for name in montage])
    signals = np.empty(clean.shape, np.float32)
    for row, rng in enumerate(rngs):
        if rng.random() < augmentation.alone:
            kept = ALONE[int(rng.integers(len(ALONE)))]
            left = present[row] & np.array([name in kept for name in montage])
            if left.any():  # a channel that this recording lacks cannot stand alone
                present[row] = left
        elif rng.random() < augmentation.channel_dropout:
            dropped = rng.choice(len(montage), size=int(rng.integers(1, 5)), replace=False)
            present[row, dropped] = False
        if augmentation.gain:
            gain = np.exp(rng.normal(0, augmentation.gain, len(montage))).astype(np.float32)
            clean[row] *= np.where(free, gain, 1.0)[:, None]
        if rng.random() < augmentation.flip:
            turned = [name in _FLIPPED and rng.random() < 0.5 for name in montage]
            clean[row, turned] *= -1
        noise = rng.standard_normal(clean[row].shape, np.float32) * np.float32(augmentation.noise)
        signals[row] = clean[row] + noise * free[:, None]
        if rng.random() < augmentation.time_mask:
            # Reconstruction still aims at what was there: it has to be told from the rest.
            masked = int(rng.integers(len(montage)))
            length = int(rng.integers(clean.shape[2] // 30, clean.shape[2] // 6))
            first = int(rng.integers(clean.shape[2] - length))
            signals[row, masked, first : first + length] = missing_value[masked]
    signals = np.where(present[:, :, None], signals, missing_value[None, :, None])
    return signals.astype(np.float32), present


def _key(text: str) -> int:
    """A number for a text, the same in every process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)


def _coverage(start_s: float, end_s: float, n_bins: int) -> np.ndarray:
    """Share of each of ``n_bins`` equal bins of an epoch that lies in [start_s, end_s)."""
    edges = np.linspace(0, EPOCH_S, n_bins + 1)
    shared = np.minimum(edges[1:], end_s) - np.maximum(edges[:-1], start_s)
    return (shared.clip(min=0) / (EPOCH_S / n_bins)).astype(np.float32)


def _scaled(numbers: np.ndarray, config: ModelConfig) -> np.ndarray:
    """Measured values in the number head's units; what lies 6 units out would only pull at it."""
    centers = np.array([number.center for number in config.number_fields])
    scales = np.array([number.scale for number in config.number_fields])
    return ((numbers - centers) / scales).clip(-6, 6).astype(np.float32)


def _trimmed(ids: torch.Tensor) -> torch.Tensor:
    """Token rows cut to the longest one, plus the pad that the text tower's mask can see."""
    longest = int((ids != 0).sum(dim=1).amax()) if len(ids) else 0
    return ids[:, : min(longest + 1, ids.shape[1])]


def caption_sample(corpus: Corpus, rng: np.random.Generator, size: int) -> Iterator[str]:
    """Texts of every form, for building a vocabulary."""
    for epoch in corpus.draw(rng, size):
        for system in SYSTEMS:
            yield render(epoch.fields, system)
        yield joint_text(epoch.fields, rng, systems=SYSTEMS)
        yield joint_text(epoch.fields, rng, systems=SYSTEMS, levels=LEVELS)
        yield short_form(epoch.fields, rng)
    for phrases in (*WORDINGS.values(), *STAGE_PROMPTS.values()):
        yield from phrases


# ── what to simulate ──────────────────────────────────────────────────────────────────────────────
def simulation_plan(n_nights: int, first_seed: int, hours: float) -> list[dict[str, Any]]:
    """What to simulate: seeds with conditions and an AHI spread over none to severe.

    Every other night has twice the variety of EEG within and between nights: a model must see more
    than what it will be judged on (a forest trained on such nights reads real EEG better). Some
    nights have artefacts, which their truth marks.
    """
    from train.simulate import CONDITIONS as KNOWN

    plan = []
    for seed in range(first_seed, first_seed + n_nights):
        rng = np.random.default_rng(seed)
        condition = CONDITIONS[seed % len(CONDITIONS)]
        ahi = KNOWN[condition].ahi * rng.uniform(0.4, 1.6)
        if condition == "osa":
            ahi = rng.choice([8, 18, 35, 55]) * rng.uniform(0.8, 1.2)
        plan.append(
            {
                "seed": seed,
                "hours": hours,
                "ahi": round(float(ahi), 1),
                "condition": condition,
                "variety": 1.0 + seed // len(CONDITIONS) % 2,
                "artefacts": ARTEFACTS if rng.random() < 1 / 3 else 0.0,
            }
        )
    return plan
