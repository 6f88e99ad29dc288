"""ReCoCa: Reconstructive Contrastive Captioner (Xu et al. 2026, arXiv 2602.23605).

The model from top to bottom: signals become patch tokens, attention runs over channels and over
time, poolers make latents and an embedding; a text tower embeds text and gives token states; a
caption decoder reads these states with a modality prefix [m] and the latents; a light decoder
gives the signals back. Parameter names are those of the official release.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sleeplm.errors import WeightsError
from sleeplm.model.config import ModelConfig
from sleeplm.model.decoder import CaptionDecoder, SignalDecoder
from sleeplm.model.encoder import SignalEncoder
from sleeplm.model.extensions import Extensions
from sleeplm.model.text import TextTower

__all__ = ["ReCoCa", "SignalFeatures"]

EMPTY_SLOT = -1


@dataclass
class SignalFeatures:
    """What one pass of the encoder gives; heads that a config leaves off are None.

    Shapes: B epochs, C channels, T patches, D width, K latents, E shared embedding.
    """

    embedding: Tensor
    """[B, E], unit length."""
    latents: Tensor
    """[B, K, D]."""
    patch_tokens: Tensor
    """[B, C, T, D]."""
    memory: Tensor
    """[B, M, D], what the caption decoder attends to."""
    numbers: Tensor | None = None
    """[B, F] in scaled units, order of ``config.number_fields``."""
    stage_logits: Tensor | None = None
    """[B, 5], order of ``sleeplm.scoring.STAGES``."""
    event_logits: Tensor | None = None
    """[B, kinds], order of ``config.extensions.event_kinds``."""
    grounding: Tensor | None = None
    """[B, bins, E], unit length."""
    missing: Tensor | None = None
    """[B, C], True for a channel that was not recorded."""


class ReCoCa(nn.Module):
    """The model of ``config``, with fresh weights.

    Parameters
    ----------
    config : ModelConfig
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.channel_embeddings = nn.Parameter(torch.empty(config.num_caption_channels, width))
        self.padding_embedding = nn.Parameter(torch.empty(width))
        self.text = TextTower(config.text_cfg, config.embed_dim)
        self.biosignals = SignalEncoder(config.biosignals_cfg, config.embed_dim)
        self.text_decoder = CaptionDecoder(config.multimodal_cfg, config.text_cfg.vocab_size)
        self.signal_decoder = SignalDecoder(config) if config.use_signal_decoder else None
        self.extensions = Extensions(config)
        self._initialise()

    def _initialise(self) -> None:
        """The release's initialisation; what is not named here keeps the default of torch."""
        width = self.config.width
        text, decoder = self.text, self.text_decoder
        nn.init.normal_(self.channel_embeddings, std=0.02)
        nn.init.normal_(self.padding_embedding, std=0.02)
        nn.init.normal_(text.token_embedding.weight, std=0.02)
        nn.init.normal_(text.positional_embedding, std=0.01)
        nn.init.normal_(text.cls_emb, std=0.01)
        nn.init.normal_(text.text_projection, std=width**-0.5)
        nn.init.normal_(decoder.text_projection, std=width**-0.5)

        def initialise(blocks: nn.ModuleList, layers: int) -> None:
            residual_std = (width * 2 * layers) ** -0.5
            for block in blocks:
                nn.init.normal_(block.get_parameter("attn.in_proj_weight"), std=width**-0.5)
                nn.init.normal_(block.get_parameter("attn.out_proj.weight"), std=residual_std)
                nn.init.normal_(block.get_parameter("mlp.c_fc.weight"), std=(2 * width) ** -0.5)
                nn.init.normal_(block.get_parameter("mlp.c_proj.weight"), std=residual_std)

        initialise(text.transformer.resblocks, len(text.transformer.resblocks))
        initialise(decoder.resblocks, len(decoder.resblocks))
        initialise(decoder.cross_attn, len(decoder.cross_attn))

    def encode_signal(self, signals: Tensor) -> SignalFeatures:
        """Read epochs [B, C, samples] as ``config.input`` scales them.

        Raises
        ------
        ValueError
            The signals are not of the montage and length that the weights read.
        """
        encoder, extra, config = self.biosignals, self.extensions, self.config.biosignals_cfg
        expected = (config.input_channels, config.signal_length)
        if signals.ndim != 3 or tuple(signals.shape[1:]) != expected:
            raise ValueError(
                f"signals have shape {tuple(signals.shape)}; this model reads [epochs, "
                f"{expected[0]}, {expected[1]}] (channels {', '.join(self.config.input.montage)})"
            )
        tokens = encoder.embed(signals)
        if extra.spectral_stem is not None:
            tokens = tokens + extra.spectral_stem(signals)
        missing = None
        if extra.missing_channels is not None:
            missing = extra.missing_channels.find(signals)
            tokens = extra.missing_channels(tokens, missing)
        tokens = encoder.contextualise(tokens)
        latents, embedding = encoder.pool(tokens)
        numbers = None if extra.number_head is None else extra.number_head(tokens)
        return SignalFeatures(
            embedding=F.normalize(embedding.float(), dim=-1),
            latents=latents,
            patch_tokens=tokens,
            memory=self._memory(latents, tokens, numbers, missing),
            numbers=numbers,
            stage_logits=None if extra.stage_head is None else extra.stage_head(latents),
            event_logits=None if extra.event_head is None else extra.event_head(latents),
            grounding=None if extra.grounding_head is None else extra.grounding_head(tokens),
            missing=missing,
        )

    def _memory(
        self, latents: Tensor, tokens: Tensor, numbers: Tensor | None, missing: Tensor | None
    ) -> Tensor:
        """Latents and, where the config says so, all encoder tokens and the predicted numbers."""
        parts = [latents]
        if self.config.extensions.decoder_memory == "all":
            parts.append(tokens.flatten(1, 2))
        if numbers is not None and self.extensions.number_head is not None:
            parts.append(self.extensions.number_head.memory(numbers, missing).to(latents.dtype))
        return torch.cat(parts, dim=1) if len(parts) > 1 else latents

    def encode_text(self, ids: Tensor) -> Tensor:
        """Unit embeddings [B, E] of token ids [B, S], padded with 0 to any S."""
        return F.normalize(self.text.embedding(ids).float(), dim=-1)

    def text_states(self, ids: Tensor) -> Tensor:
        """Token states [B, S, D] for the caption decoder."""
        return self.text.states(ids)

    def prefix(self, channel_indices: Tensor | None, rows: int) -> Tensor:
        """Modality vectors [rows, P, D]; −1 is the learned empty slot, None no prefix at all."""
        if channel_indices is None:
            return self.channel_embeddings.new_zeros(rows, 0, self.config.width)
        chosen = self.channel_embeddings[channel_indices.clamp(min=0)]
        index = channel_indices[..., None]
        chosen = torch.where(index == EMPTY_SLOT, self.padding_embedding, chosen)
        return torch.where(index < EMPTY_SLOT, torch.zeros_like(chosen), chosen)

    def decode(self, states: Tensor, memory: Tensor, channel_indices: Tensor | None) -> Tensor:
        """Next-token logits [B, S, V], float32, of token states [B, S, D].

        ``memory`` [B / R, M, D]: with R captions per epoch, captions of one epoch are neighbours
        in the batch and share a row of the memory. ``channel_indices`` [B, P], usually
        ``[m, −1]``.
        """
        prefix = self.prefix(channel_indices, states.shape[0]).to(states.dtype)
        return self.text_decoder(prefix, states, memory)

    def reconstruct(self, latents: Tensor) -> Tensor:
        """Model input [B, C, samples] from latents [B, K, D].

        Raises
        ------
        WeightsError
            These weights have no signal decoder.
        """
        if self.signal_decoder is None:
            raise WeightsError(
                f"weights {self.config.name!r} hold no signal decoder (signal_decoder.*): they "
                "cannot reconstruct signals"
            )
        return self.signal_decoder(latents)

    def ground(self, grounding: Tensor, phrases: Tensor) -> Tensor:
        """Logits [B, bins, M] of phrases with unit embeddings [M, E] in every time bin.

        Raises
        ------
        WeightsError
            These weights have no grounding head.
        """
        if self.extensions.grounding_head is None:
            raise WeightsError(f"weights {self.config.name!r} hold no grounding head")
        return self.extensions.grounding_head.logits(grounding, phrases)

    def forward(
        self,
        signals: Tensor,
        ids: Tensor | None = None,
        channel_indices: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The release's forward pass, for teacher forcing.

        Parameters
        ----------
        signals : [B, C, samples]
        ids : [B, S]
            Token ids; the decoder reads ``ids[:, :-1]`` and ``labels`` are ``ids[:, 1:]``.
        channel_indices : [B, P] or None

        Returns
        -------
        dict
            ``image_features`` (unit signal embeddings) and ``image_embs`` (latents); with text
            also ``text_features``, ``logits`` [B, S − 1, V], ``labels``, ``logit_scale``
            (already exp), and with a signal decoder ``reconstructed_signal`` and
            ``original_signal``.
        """
        features = self.encode_signal(signals)
        outputs = {"image_features": features.embedding, "image_embs": features.latents}
        if ids is None:
            return outputs
        text_embedding, states = self.text(ids)
        outputs["text_features"] = text_embedding
        outputs["logits"] = self.decode(states[:, :-1], features.memory, channel_indices)
        outputs["labels"] = ids[:, 1:]
        outputs["logit_scale"] = self.logit_scale.exp()
        if self.signal_decoder is not None:
            outputs["reconstructed_signal"] = self.signal_decoder(features.latents)
            outputs["original_signal"] = signals
        return outputs
