"""The unified objective: L = λ_con·L_con + λ_rec·L_rec + λ_cap·L_cap, and what small models need.

The paper (arXiv 2602.23605) trains ReCoCa on three terms: a contrastive one between signal and
text, a reconstruction of the signal, and a caption conditioned on the modality token [m]. Two more
are added where the model has the heads for them: grounding (where in the epoch an event phrase is
true, from event times) and auxiliary targets (stage, event kinds, measured numbers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.distributed import gathered, mean_over_ranks

if TYPE_CHECKING:
    from sleeplm.model.recoca import ReCoCa

__all__ = ["Batch", "Embeddings", "LossWeights", "Objective", "contrastive_pull"]


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
    text_key : int64 [B]
        Equal where two epochs carry the same text: then each is a right answer for the other.
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
    text_key: Tensor
    captions: Tensor
    channel_indices: Tensor
    stage: Tensor
    kinds: Tensor
    phrases: Tensor
    grounding: Tensor
    numbers: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self)}
        return replace(self, **moved)


@dataclass
class Embeddings:
    """The contrastive pair of some epochs, [B, D] each, and the keys of their texts [B]."""

    signal: Tensor
    text: Tensor
    key: Tensor


class Objective(nn.Module):
    """A model with its losses, as one module whose forward is a training step's forward.

    Everything that learns passes through ``forward``, as DDP and FSDP need. Means are over the
    global batch of all ranks (:func:`train.distributed.mean_over_ranks`), so that a run on several
    processes follows the curve of one process with the same batch.
    """

    def __init__(self, model: ReCoCa, weights: LossWeights) -> None:
        super().__init__()
        self.model = model
        self.weights = weights

    def embed(self, batch: Batch) -> Embeddings:
        """Both embeddings of a batch, nothing else."""
        return Embeddings(
            self.model.encode_signal(batch.signals).embedding,
            self.model.encode_text(batch.text),
            batch.text_key,
        )

    def forward(
        self, batch: Batch, pull: Embeddings | None = None, share: float = 1.0
    ) -> dict[str, Tensor]:
        """The terms that have a weight and a part in the model, and their weighted sum ("total").

        Parameters
        ----------
        batch : Batch
            This rank's rows.
        pull : Embeddings, optional
            Gradients of the contrastive loss by the embeddings of these rows, when that loss is
            over more rows than these (accumulation, :func:`contrastive_pull`): then the term is
            replaced by its first-order equal, which has the same gradient.
        share : float
            Of the step's rows that these are; scales the other terms.
        """
        model, weights = self.model, self.weights
        features = model.encode_signal(batch.signals)
        parts: dict[str, Tensor] = {}
        scales: dict[str, float] = {}
        if weights.contrastive:
            text = model.encode_text(batch.text)
            mine = Embeddings(features.embedding, text, batch.text_key)
            if pull is None:
                parts["contrastive"] = contrastive_loss(mine, model.logit_scale)
            else:
                parts["contrastive"] = (mine.signal * pull.signal).sum() + (
                    mine.text * pull.text
                ).sum()
                scales["contrastive"] = 1.0
        if weights.reconstruction and model.signal_decoder is not None:
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
                terms.append(stage_loss(features.stage_logits, batch.stage))
            if features.event_logits is not None:
                terms.append(masked_bce(features.event_logits, batch.kinds))
            if features.numbers is not None:
                terms.append(number_loss(features.numbers, batch.numbers))
            if terms:
                parts["auxiliary"] = torch.stack(terms).sum()
        parts["total"] = torch.stack(
            [
                getattr(weights, name) * scales.get(name, share) * part
                for name, part in parts.items()
            ]
        ).sum()
        return parts


def contrastive_pull(
    made: Sequence[Embeddings], logit_scale: Tensor
) -> tuple[list[Embeddings], Tensor, Tensor]:
    """Gradients of the contrastive loss over all micro-batches of a step, by their embeddings.

    A contrastive batch cannot be cut into parts whose losses are added: every row is a negative
    for every other. So all embeddings are ``made`` first without a graph, the loss is taken over
    all of them, and each part is then run again with the gradient of its own rows (gradient
    caching: Gao et al. 2021, arXiv 2101.06983).

    Returns
    -------
    list of Embeddings
        Gradients, one entry per micro-batch.
    Tensor
        Gradient by ``logit_scale``.
    Tensor
        The loss.
    """
    whole = Embeddings(
        torch.cat([one.signal for one in made]).float().requires_grad_(),
        torch.cat([one.text for one in made]).float().requires_grad_(),
        torch.cat([one.key for one in made]),
    )
    scale = logit_scale.detach().clone().requires_grad_()
    loss = contrastive_loss(whole, scale)
    loss.backward()
    assert whole.signal.grad is not None
    assert whole.text.grad is not None
    assert scale.grad is not None
    sizes = [len(one.key) for one in made]
    pulls = [
        Embeddings(signal, text, one.key)
        for signal, text, one in zip(
            whole.signal.grad.split(sizes), whole.text.grad.split(sizes), made, strict=True
        )
    ]
    return pulls, scale.grad, loss.detach()


def contrastive_loss(mine: Embeddings, logit_scale: Tensor) -> Tensor:
    """Symmetric InfoNCE of this rank's rows against those of all ranks.

    Targets are spread over equal texts: thousands of epochs are all "quiet N2", and counting an
    equal text as a wrong answer would teach the model to tell apart what is the same.
    """
    signal, text, key = gathered(mine.signal), gathered(mine.text), gathered(mine.key)
    scale = logit_scale.exp().clamp(max=100.0)
    targets = (mine.key[:, None] == key[None, :]).to(mine.signal.dtype)
    targets = targets / targets.sum(dim=1, keepdim=True)
    by_signal = F.cross_entropy(scale * mine.signal @ text.T, targets)
    by_text = F.cross_entropy(scale * mine.text @ signal.T, targets)
    return 0.5 * (by_signal + by_text)


def reconstruction_loss(rebuilt: Tensor, signals: Tensor, present: Tensor) -> Tensor:
    """Mean squared error over the channels that are there."""
    error = (rebuilt - signals).square().mean(dim=2)
    return mean_over_ranks((error * present).sum(), present.sum())


def caption_loss(model: ReCoCa, memory: Tensor, batch: Batch) -> Tensor:
    """Token cross-entropy of the captions, each conditioned on its modality prefix."""
    states = model.text_states(batch.captions[:, :-1])
    logits = model.decode(states, memory, batch.channel_indices)
    wanted = batch.captions[:, 1:].flatten()
    total = F.cross_entropy(logits.flatten(0, 1).float(), wanted, ignore_index=0, reduction="sum")
    return mean_over_ranks(total, (wanted != 0).sum())


def stage_loss(logits: Tensor, stage: Tensor) -> Tensor:
    """Cross-entropy over the epochs whose stage is known."""
    total = F.cross_entropy(logits, stage, ignore_index=-1, reduction="sum")
    return mean_over_ranks(total, (stage >= 0).sum())


def masked_bce(logits: Tensor, targets: Tensor, positive_weight: float = 1.0) -> Tensor:
    """Binary cross-entropy over the targets that are not nan."""
    known = torch.isfinite(targets)
    total = F.binary_cross_entropy_with_logits(
        logits[known],
        targets[known],
        pos_weight=logits.new_tensor(positive_weight),
        reduction="sum",
    )
    return mean_over_ranks(total, known.sum())


def number_loss(predicted: Tensor, scaled: Tensor) -> Tensor:
    """Smooth L1 (β 0.05) over the numbers that were measured."""
    known = torch.isfinite(scaled)
    total = F.smooth_l1_loss(predicted[known], scaled[known], beta=0.05, reduction="sum")
    return mean_over_ranks(total, known.sum())
