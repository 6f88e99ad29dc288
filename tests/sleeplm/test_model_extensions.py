"""Heads and stem beyond the release: what they see, what they give, and that they are off."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from sleeplm.errors import WeightsError
from sleeplm.model.config import ModelConfig
from sleeplm.model.extensions import DIGIT_PERIODS, log_power
from sleeplm.model.recoca import ReCoCa

CHANNELS = ModelConfig.embedded().input.montage


def small_config(**extensions: Any) -> ModelConfig:
    """The embedded shape, narrow."""
    data = ModelConfig.embedded(vocab_size=900).to_dict()
    data["embed_dim"] = 24
    data["biosignals_cfg"] |= {
        "transformer_width": 32,
        "transformer_heads": 2,
        "transformer_layers": 1,
        "conv_embed_dim": 16,
        "decoder_tokens": 4,
    }
    data["text_cfg"] |= {"width": 32, "heads": 2, "layers": 1, "context_length": 40}
    data["multimodal_cfg"] |= {"width": 32, "heads": 2, "layers": 1, "context_length": 40}
    data["generation"] = {"min_length": 4, "max_length": 40}
    data["extensions"] |= extensions
    return ModelConfig.from_dict(data)


def epochs(n: int = 3, seed: int = 0) -> torch.Tensor:
    signals = torch.randn(n, 12, 1920, generator=torch.Generator().manual_seed(seed))
    signals[:, CHANNELS.index("POS")] = 2.0
    signals[:, CHANNELS.index("SPO2")] = 0.125
    return signals


@pytest.fixture(scope="module")
def model() -> ReCoCa:
    torch.manual_seed(0)
    return ReCoCa(small_config()).eval()


def test_every_head_gives_its_shape(model: ReCoCa) -> None:
    config = model.config
    features = model.encode_signal(epochs())
    assert features.embedding.shape == (3, 24)
    torch.testing.assert_close(features.embedding.norm(dim=-1), torch.ones(3))
    assert features.latents.shape == (3, 4, 32)
    assert features.patch_tokens.shape == (3, 12, 30, 32)
    assert features.memory.shape == (3, 4 + 12 * 30 + len(config.number_names), 32)
    assert features.numbers is not None
    assert features.numbers.shape == (3, len(config.number_names))
    assert features.stage_logits is not None
    assert features.stage_logits.shape == (3, 5)
    assert features.event_logits is not None
    assert features.event_logits.shape == (3, len(config.extensions.event_kinds))
    assert features.grounding is not None
    assert features.grounding.shape == (3, 120, 24)
    phrases = model.encode_text(torch.tensor([[1, 5, 2], [1, 9, 2]]))
    assert model.ground(features.grounding, phrases).shape == (3, 120, 2)
    assert config.grounding_bin_s == 0.25


def test_every_parameter_learns_from_the_losses(model: ReCoCa) -> None:
    signals = epochs()
    signals[0, 3] = 0  # one missing channel, so that its embedding learns too
    ids = torch.tensor([[1, 5, 6, 2], [1, 7, 2, 0], [1, 8, 9, 2]])
    indices = torch.tensor([[0, -1], [1, 2], [3, 4]])
    features = model.encode_signal(signals)
    text = model.encode_text(ids)
    logits = model.decode(model.text_states(ids[:, :-1]), features.memory, indices)
    assert features.numbers is not None
    assert features.grounding is not None
    assert features.stage_logits is not None
    assert features.event_logits is not None
    loss = (
        (model.logit_scale.exp() * features.embedding @ text.T).square().sum()
        + logits.square().mean()
        + model.reconstruct(features.latents).square().mean()
        + features.numbers.square().mean()
        + features.stage_logits.square().mean()
        + features.event_logits.square().mean()
        + model.ground(features.grounding, text).square().mean()
    )
    model.zero_grad()
    loss.backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []


def test_numbers_reach_the_decoder_without_a_gradient_to_their_head(model: ReCoCa) -> None:
    features = model.encode_signal(epochs())
    model.zero_grad()
    features.memory[:, -len(model.config.number_names) :].sum().backward()
    head = model.extensions.number_head
    assert head is not None
    assert all(p.grad is None for p in head.by_channel.parameters())
    assert head.field_embedding.weight.grad is not None


def test_a_missing_channel_is_found_by_its_missing_value_only(model: ReCoCa) -> None:
    signals = epochs()
    signals[0, CHANNELS.index("AF")] = 0  # missing
    signals[1, CHANNELS.index("POS")] = 0  # code 0 is lying on the right, not missing
    signals[2, CHANNELS.index("POS")] = -1  # missing
    signals[1, CHANNELS.index("ECG"), :1919] = 0  # one sample is there
    missing = model.encode_signal(signals).missing
    assert missing is not None
    expected = np.zeros((3, 12), dtype=bool)
    expected[0, CHANNELS.index("AF")] = expected[2, CHANNELS.index("POS")] = True
    np.testing.assert_array_equal(missing.numpy(), expected)


def test_the_stem_sees_a_breathing_rate_and_the_level_of_a_flat_channel(model: ReCoCa) -> None:
    stem = model.extensions.spectral_stem
    assert stem is not None
    seconds = torch.arange(1920) / 64
    signals = epochs()
    signals[0, 1] = torch.sin(2 * math.pi * 0.25 * seconds)
    signals[0, 6] = torch.sin(2 * math.pi * 10 * seconds)
    of_patch, of_epoch = stem.features(signals)
    assert of_epoch.shape == (3, 12, 120)
    assert int(of_epoch[0, 1].argmax()) == 15  # 0.25 Hz in steps of 1/60 Hz
    spectrum = of_patch[0, 6, 15, : stem.window // 2 + 1]
    assert int(spectrum.argmax()) == 20  # 10 Hz in steps of 0.5 Hz
    level = of_patch[:, CHANNELS.index("SPO2"), :, stem.window // 2 + 1]
    torch.testing.assert_close(level, torch.full((3, 30), 0.125))
    assert float(of_patch.abs().max()) < 10
    assert bool(of_patch.isfinite().all())


def test_white_noise_of_unit_variance_has_a_log_power_near_zero() -> None:
    noise = torch.randn(200, 128, generator=torch.Generator().manual_seed(1))
    power = (log_power(noise) / 0.25).exp().mean(0)[2:-1]
    torch.testing.assert_close(power, torch.ones_like(power), atol=0.4, rtol=0)


def test_numbers_convert_to_units_and_back(model: ReCoCa) -> None:
    head = model.extensions.number_head
    assert head is not None
    place = model.config.number_names.index("spo2_min_pct")
    values = torch.full((1, len(model.config.number_names)), 88.5)
    torch.testing.assert_close(head.to_units(head.from_units(values)), values)
    assert head.from_units(values)[0, place] == pytest.approx((88.5 - 93) / 4)
    assert min(DIGIT_PERIODS) == 1.0


def test_a_channels_numbers_come_from_its_own_tokens(model: ReCoCa) -> None:
    head = model.extensions.number_head
    assert head is not None
    tokens = torch.randn(1, 12, 30, 32)
    changed = tokens.clone()
    changed[:, CHANNELS.index("SPO2")] += 1
    differs = (head(tokens) != head(changed))[0]
    names = [name for name, moved in zip(model.config.number_names, differs, strict=True) if moved]
    assert names == ["spo2_min_pct", "spo2_mean_pct"]


def test_captions_of_one_epoch_share_its_memory_exactly(model: ReCoCa) -> None:
    memory = model.encode_signal(epochs(2)).memory
    ids = torch.randint(3, 800, (6, 7), generator=torch.Generator().manual_seed(0))
    indices = torch.tensor([[0, -1], [2, -1], [4, -1]] * 2)
    states = model.text_states(ids)
    shared = model.decode(states, memory, indices)
    apart = model.decode(states, memory.repeat_interleave(3, dim=0), indices)
    torch.testing.assert_close(shared, apart, atol=1e-5, rtol=1e-5)


def test_with_every_extension_off_only_the_official_parts_are_there() -> None:
    config = small_config(
        spectral_stem=False,
        missing_embedding=False,
        decoder_memory="latents",
        number_fields={},
        stage_head=False,
        event_kinds=[],
        grounding_bins=0,
    )
    model = ReCoCa(config)
    assert not [key for key in model.state_dict() if key.startswith("extensions.")]
    features = model.encode_signal(epochs())
    assert torch.equal(features.memory, features.latents)
    assert features.numbers is None
    assert features.grounding is None
    with pytest.raises(WeightsError, match="no grounding head"):
        model.ground(features.latents, features.embedding)


def test_signals_of_another_montage_are_refused(model: ReCoCa) -> None:
    with pytest.raises(ValueError, match=r"\[epochs, 12, 1920\]"):
        model.encode_signal(torch.zeros(2, 10, 1920))


def test_rotary_tables_of_inference_serve_training_later(model: ReCoCa) -> None:
    fresh = ReCoCa(small_config())
    with torch.inference_mode():
        fresh.encode_signal(epochs(1))
    fresh.encode_signal(epochs(1)).embedding.sum().backward()
    assert fresh.biosignals.proj_to_embed.weight.grad is not None


def test_the_embedded_preset_is_small() -> None:
    with torch.device("meta"):
        model = ReCoCa(ModelConfig.embedded())
    parameters = sum(p.numel() for p in model.parameters())
    assert 2e6 < parameters < 6e6
    assert 2 * parameters < 25e6  # bytes in fp16
