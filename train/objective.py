"""The unified objective: L = λ_con·L_con + λ_rec·L_rec + λ_cap·L_cap, and what small models need.

The paper (arXiv 2602.23605) trains ReCoCa on three terms: a contrastive one between signal and
text, a reconstruction of the signal, and a caption conditioned on the modality token [m]. Two more
are added where the model has the heads for them: grounding (where in the epoch an event phrase is
true, from event times) and auxiliary targets (stage, event kinds, measured numbers).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from sleeplm.model.recoca import ReCoCa

__all__ = ["Batch", "LossWeights", "losses"]


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term; 0 leaves a term out and saves its cost."""

    contrastive: float = 1.0
    reconstruction: float = 0.5
    caption: float = 1.0
    grounding: float = 1.0
    auxiliary: float = 0.5


@dataclass
class Batch:
    """One step's epochs with their truth.

    Attributes
    ----------
    signals : float32 [B, C, 1920]
        Model input after augmentation; a dropped channel holds its missing value.
    clean : float32 [B, C, 1920]
        What reconstruction aims at: the same before noise was added.
    present : bool [B, C]
        Channels that were recorded and not dropped.
    text : int64 [B, S]
        Contrastive text.
    same_text : bool [B, B]
        Whether two epochs carry the same text: then each is a right answer for the other.
    captions : int64 [B·n, S], channel_indices : int64 [B·n, 2]
        n captions to learn of each epoch, neighbours in the batch, and their modality prefixes.
    stage : int64 [B]
        Index into STAGES, −1 where unknown.
    kinds : float32 [B, K]
        1 where an event of the kind lies in the epoch; nan where it cannot be known.
    phrases : int64 [K, S]
        A phrase for each kind.
    grounding : float32 [B, bins, K]
        Share of each bin that the kind covers; nan where it cannot be known.
    numbers : float32 [B, F]
        Measured values, scaled by the number head's centre and scale; nan where withheld.
    """

    signals: Tensor
    clean: Tensor
    present: Tensor
    text: Tensor
    same_text: Tensor
    captions: Tensor
    channel_indices: Tensor
    stage: Tensor
    kinds: Tensor
    phrases: Tensor
    grounding: Tensor
    numbers: Tensor


def losses(model: ReCoCa, batch: Batch, weights: LossWeights) -> dict[str, Tensor]:
    """The terms that have a weight, unweighted, and their weighted sum as ``"total"``."""
    features = model.encode_signal(batch.signals)
    parts: dict[str, Tensor] = {}
    if weights.contrastive:
        text = model.encode_text(batch.text)
        scale = model.logit_scale.exp().clamp(max=100.0)
        parts["contrastive"] = contrastive_loss(
            scale * features.embedding @ text.T, batch.same_text
        )
    if weights.reconstruction:
        rebuilt = model.reconstruct(features.latents)
        parts["reconstruction"] = reconstruction_loss(rebuilt, batch.clean, batch.present)
    if weights.caption:
        parts["caption"] = caption_loss(model, features.memory, batch)
    if weights.grounding and features.grounding is not None:
        phrases = model.encode_text(batch.phrases)
        logits = model.ground(features.grounding, phrases)
        parts["grounding"] = masked_bce(logits, batch.grounding, positive_weight=2.0)
    if weights.auxiliary:
        terms = []
        if features.stage_logits is not None:
            terms.append(F.cross_entropy(features.stage_logits, batch.stage, ignore_index=-1))
        if features.event_logits is not None:
            terms.append(masked_bce(features.event_logits, batch.kinds))
        if features.numbers is not None:
            terms.append(number_loss(features.numbers, batch.numbers))
        if terms:
            parts["auxiliary"] = torch.stack(terms).sum()
    # An empty term (no labelled epoch in the batch) is a nan mean: it teaches nothing.
    parts = {name: part for name, part in parts.items() if torch.isfinite(part)}
    parts["total"] = torch.stack(
        [getattr(weights, name) * part for name, part in parts.items()]
    ).sum()
    return parts


def contrastive_loss(logits: Tensor, same_text: Tensor) -> Tensor:
    """Symmetric InfoNCE over [B, B] logits whose targets are spread over equal texts.

    Thousands of epochs are all "quiet N2": counting an equal text as a wrong answer would teach the
    model to tell apart what is the same.
    """
    targets = same_text.float()
    by_signal = targets / targets.sum(dim=1, keepdim=True)
    by_text = (targets / targets.sum(dim=0, keepdim=True)).T
    return 0.5 * (F.cross_entropy(logits, by_signal) + F.cross_entropy(logits.T, by_text))


def reconstruction_loss(rebuilt: Tensor, signals: Tensor, present: Tensor) -> Tensor:
    """Mean squared error over the channels that are there."""
    error = (rebuilt - signals).square().mean(dim=2)
    return (error * present).sum() / present.sum().clamp(min=1)


def caption_loss(model: ReCoCa, memory: Tensor, batch: Batch) -> Tensor:
    """Token cross-entropy of the captions, each conditioned on its modality prefix."""
    states = model.text_states(batch.captions[:, :-1])
    logits = model.decode(states, memory, batch.channel_indices)
    return F.cross_entropy(
        logits.flatten(0, 1).float(), batch.captions[:, 1:].flatten(), ignore_index=0
    )


def masked_bce(logits: Tensor, targets: Tensor, positive_weight: float = 1.0) -> Tensor:
    """Binary cross-entropy over the targets that are not nan."""
    known = torch.isfinite(targets)
    return F.binary_cross_entropy_with_logits(
        logits[known], targets[known], pos_weight=logits.new_tensor(positive_weight)
    )


def number_loss(predicted: Tensor, scaled: Tensor) -> Tensor:
    """Smooth L1 (β 0.05) over the numbers that were measured."""
    known = torch.isfinite(scaled)
    return F.smooth_l1_loss(predicted[known], scaled[known], beta=0.05)
