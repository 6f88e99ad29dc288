"""Parts beyond the released ReCoCa, each a switch in ``config.json`` (``extensions``).

They are what let a model of a few million parameters read numbers and times: spectra beside the
patch convolution, a token of its own for a channel that was not recorded, numbers predicted from
each channel's own tokens and handed to the caption decoder, and a head that compares every
quarter second with a phrase. The official weights have none of them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sleeplm.model.config import ModelConfig
from sleeplm.scoring import STAGES

__all__ = ["Extensions", "GroundingHead", "NumberHead", "PooledHead", "SpectralStem"]

PATCH_WINDOW_S = 2.0
SLOW_BINS = 120
SLOW_LIMIT_HZ = 2.0
LOG_FLOOR = 1e-4
LOG_SCALE = 0.25
# Periods, in a field's own unit, at which the digits of a number repeat.
DIGIT_PERIODS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)


def perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))


def log_power(windows: Tensor, bins: int | None = None, fft_samples: int | None = None) -> Tensor:
    """0.25 · log of the Hann-windowed power spectrum over the last axis, mean removed.

    Divided by the window's energy, so that white noise of unit variance lies at 0 for any
    length; the factor and the floor keep inputs within about ±2.5.
    """
    taper = torch.hann_window(windows.shape[-1], device=windows.device)
    windows = (windows - windows.mean(-1, keepdim=True)) * taper
    spectrum = torch.fft.rfft(windows, n=fft_samples)[..., :bins]
    power = (spectrum.real.square() + spectrum.imag.square()) / taper.square().sum()
    return LOG_SCALE * torch.log(power + LOG_FLOOR)


class SpectralStem(nn.Module):
    """Spectra and levels of the input, added to the patch tokens.

    Per patch: the log spectrum of 2 s centred on it, its mean and standard deviation (the
    absolute level of SpO2, heart rate and position). Per channel: the log spectrum of the whole
    epoch from 0 to 2 Hz in 120 bins (zero-padded to 1/60 Hz), where breathing and slow waves lie.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        rate_hz = config.input.rate_hz
        self.patch_size = config.biosignals_cfg.patch_size
        window = max(round(PATCH_WINDOW_S * rate_hz), self.patch_size)
        self.margin = (window - self.patch_size) // 2
        self.window = self.patch_size + 2 * self.margin
        self.slow_samples = round(SLOW_BINS * rate_hz / SLOW_LIMIT_HZ)
        width = config.width
        self.of_patch = perceptron(self.window // 2 + 1 + 3, width, width)
        self.of_epoch = perceptron(SLOW_BINS, width, width)

    def features(self, signals: Tensor) -> tuple[Tensor, Tensor]:
        """Per patch [B, C, T, window / 2 + 4] and per channel [B, C, 120], in float32."""
        signals = signals.float()
        padded = F.pad(signals, (self.margin, self.margin), mode="reflect")
        patches = signals.unflatten(-1, (-1, self.patch_size))
        mean = patches.mean(-1, keepdim=True)
        spread = patches.std(-1, correction=0, keepdim=True)
        spectra = log_power(padded.unfold(-1, self.window, self.patch_size))
        of_patch = torch.cat(
            (spectra, mean, spread, LOG_SCALE * torch.log(spread.square() + LOG_FLOOR)), dim=-1
        )
        return of_patch, log_power(signals, SLOW_BINS, self.slow_samples)

    def forward(self, signals: Tensor) -> Tensor:
        """[B, C, samples] → [B, C, T, D]."""
        with torch.no_grad(), torch.autocast(signals.device.type, enabled=False):
            of_patch, of_epoch = self.features(signals)
        dtype = next(self.of_patch.parameters()).dtype
        return self.of_patch(of_patch.to(dtype)) + self.of_epoch(of_epoch.to(dtype))[:, :, None]


class MissingChannels(nn.Module):
    """A learned token in place of all tokens of a channel that was not recorded."""

    missing_values: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        montage = config.input.montage
        self.token = nn.Parameter(torch.empty(len(montage), config.width).normal_(std=0.02))
        values = [config.input.rule(channel).missing for channel in montage]
        self.register_buffer("missing_values", torch.tensor(values), persistent=False)

    def find(self, signals: Tensor) -> Tensor:
        """True [B, C] where all samples of [B, C, samples] equal the channel's missing value."""
        return (signals == self.missing_values[:, None]).all(dim=-1)

    def forward(self, tokens: Tensor, missing: Tensor) -> Tensor:
        """Tokens [B, C, T, D] with those of missing channels replaced."""
        return torch.where(missing[..., None, None], self.token[:, None].to(tokens.dtype), tokens)


class NumberHead(nn.Module):
    """Each channel's own tokens → that channel's measurements, and these as memory tokens.

    Numbers are in scaled units, ``(value − center) / scale`` of their field. As memory they are
    detached: the decoder learns to read them, not to bend them.
    """

    centers: Tensor
    scales: Tensor
    channel_of_field: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, montage = config.width, config.input.montage
        by_channel = config.extensions.number_fields
        self.channels = [channel for channel in montage if by_channel.get(channel)]
        self.rows = [montage.index(channel) for channel in self.channels]
        self.by_channel = nn.ModuleDict(
            {
                channel: perceptron(width, width, len(by_channel[channel]))
                for channel in self.channels
            }
        )
        fields = config.number_fields
        self.value_embedding = perceptron(1 + 2 * len(DIGIT_PERIODS), width, width)
        self.field_embedding = nn.Embedding(len(fields), width)
        self.absent = nn.Parameter(torch.empty(width).normal_(std=0.02))
        nn.init.normal_(self.field_embedding.weight, std=0.5)

        def buffer(name: str, values: list[float] | list[int]) -> None:
            self.register_buffer(name, torch.tensor(values), persistent=False)

        buffer("centers", [float(number.center) for number in fields])
        buffer("scales", [float(number.scale) for number in fields])
        buffer(
            "channel_of_field",
            [
                row
                for channel, row in zip(self.channels, self.rows, strict=True)
                for _ in by_channel[channel]
            ],
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Encoder tokens [B, C, T, D] → scaled numbers [B, F], in the order of the config."""
        pooled = tokens.mean(dim=2)
        return torch.cat(
            [
                self.by_channel[channel](pooled[:, row])
                for channel, row in zip(self.channels, self.rows, strict=True)
            ],
            dim=-1,
        ).float()

    def to_units(self, numbers: Tensor) -> Tensor:
        """Scaled numbers [..., F] → values in the fields' units."""
        return numbers * self.scales + self.centers

    def from_units(self, values: Tensor) -> Tensor:
        """Values in the fields' units [..., F] → scaled numbers; nan stays nan."""
        return (values - self.centers) / self.scales

    def memory(self, numbers: Tensor, missing: Tensor | None) -> Tensor:
        """Scaled numbers [B, F] → memory tokens [B, F, D]; a missing channel's say "absent"."""
        numbers = numbers.detach()
        periods = torch.tensor(DIGIT_PERIODS, device=numbers.device)
        phases = self.to_units(numbers)[..., None] * (2 * math.pi / periods)
        features = torch.cat((numbers[..., None], phases.sin(), phases.cos()), dim=-1)
        values = self.value_embedding(features.to(self.absent.dtype))
        if missing is not None:
            absent = missing[:, self.channel_of_field][..., None]
            values = torch.where(absent, self.absent.to(values.dtype), values)
        return values + self.field_embedding.weight.to(values.dtype)


class PooledHead(nn.Module):
    """Mean and maximum of the latents → logits."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.mlp = perceptron(2 * width, width, outputs)

    def forward(self, latents: Tensor) -> Tensor:
        """[B, K, D] → [B, outputs] in float32."""
        return self.mlp(torch.cat((latents.mean(dim=1), latents.amax(dim=1)), dim=-1)).float()


class GroundingHead(nn.Module):
    """All channels of one patch → a few time bins in the space of the text embeddings."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.bins = config.extensions.grounding_bins
        width, channels = config.width, config.biosignals_cfg.input_channels
        self.mlp = perceptron(channels * width, 2 * width, self.bins * config.embed_dim)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = nn.Parameter(torch.tensor(-4.0))  # events are rare: start from "none"

    def forward(self, tokens: Tensor) -> Tensor:
        """Encoder tokens [B, C, T, D] → unit vectors [B, T · bins, E] in order of time."""
        by_patch = tokens.transpose(1, 2).flatten(2)  # [B, T, C·D]
        bins = self.mlp(by_patch).unflatten(-1, (self.bins, -1)).flatten(1, 2)
        return F.normalize(bins.float(), dim=-1)

    def logits(self, grounding: Tensor, phrases: Tensor) -> Tensor:
        """Unit vectors [B, bins, E] and unit text embeddings [M, E] → logits [B, bins, M]."""
        with torch.autocast(grounding.device.type, enabled=False):
            cosines = grounding.float() @ phrases.float().T
            return self.log_scale.exp() * cosines + self.bias


class Extensions(nn.Module):
    """The parts that a config switches on; None where off."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        wanted = config.extensions
        width = config.width
        self.spectral_stem = SpectralStem(config) if wanted.spectral_stem else None
        self.missing_channels = MissingChannels(config) if wanted.missing_embedding else None
        self.number_head = NumberHead(config) if config.number_fields else None
        self.stage_head = PooledHead(width, len(STAGES)) if wanted.stage_head else None
        kinds = len(wanted.event_kinds)
        self.event_head = PooledHead(width, kinds) if kinds else None
        self.grounding_head = GroundingHead(config) if wanted.grounding_bins else None
