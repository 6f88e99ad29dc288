"""Scaling of a night's channels, against hand calculation."""

from __future__ import annotations

import numpy as np
import pytest

from sleeplm.errors import MontageError, WeightsError
from sleeplm.model.config import ChannelRule, InputConfig, ModelConfig
from sleeplm.model.inputs import normalise, normalise_channel

CONFIG = ModelConfig.embedded().input
SAMPLES = 1920


def night(n_epochs: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    size = n_epochs * SAMPLES
    return {
        "EEG_C3_A2": rng.normal(10, 20, size).astype(np.float32),
        "SPO2": np.full(size, 95, dtype=np.float32),
        "HR": np.full(size, 72, dtype=np.float32),
        "POS": np.full(size, 2, dtype=np.float32),
    }


def test_zscore_is_taken_over_the_recording_and_clipped_at_six() -> None:
    signals = night()
    signals["EEG_C3_A2"][5] = 10_000
    row = CONFIG.montage.index("EEG_C3_A2")
    out = normalise(signals, CONFIG)
    x = signals["EEG_C3_A2"].astype(float)
    expected = np.clip((x - x.mean()) / x.std(), -6, 6).reshape(3, SAMPLES)
    np.testing.assert_allclose(out[:, row], expected, atol=1e-5)
    assert out[0, row, 5] == 6.0


def test_oximeter_and_heart_rate_keep_their_level_and_never_look_missing() -> None:
    out = normalise(night(), CONFIG)
    assert np.all(out[:, CONFIG.montage.index("SPO2")] == np.float32((95 - 94.5) / 4))
    assert np.all(out[:, CONFIG.montage.index("HR")] == np.float32((72 - 64.5) / 15))


def test_a_probe_that_fell_off_reads_as_not_recorded() -> None:
    signals = night()
    signals["SPO2"][:SAMPLES] = 0
    out = normalise(signals, CONFIG)[:, CONFIG.montage.index("SPO2")]
    assert np.all(out[0] == 0)
    assert np.all(out[1:] != 0)


def test_missing_channels_are_zeros_and_missing_position_is_minus_one() -> None:
    signals = night()
    del signals["POS"], signals["SPO2"]
    out = normalise(signals, CONFIG)
    assert np.all(out[:, CONFIG.montage.index("ECG")] == 0)
    assert np.all(out[:, CONFIG.montage.index("SPO2")] == 0)
    assert np.all(out[:, CONFIG.montage.index("POS")] == -1)
    assert np.all(normalise(night(), CONFIG)[:, CONFIG.montage.index("POS")] == 2)


def test_samples_that_are_not_finite_and_flat_channels_are_missing() -> None:
    samples = np.array([1, np.nan, 3, np.inf], dtype=np.float32)
    np.testing.assert_array_equal(normalise_channel(samples, ChannelRule()), [-1, 0, 1, 0])
    np.testing.assert_array_equal(normalise_channel(np.full(4, 7.0), ChannelRule()), np.zeros(4))


def test_an_incomplete_last_epoch_is_left_out() -> None:
    signals = {name: samples[: 2 * SAMPLES + 100] for name, samples in night().items()}
    assert normalise(signals, CONFIG).shape == (2, 12, SAMPLES)


def test_the_official_montage_passes_over_other_channels() -> None:
    assert normalise(night(), InputConfig()).shape == (3, 10, SAMPLES)


def test_no_usable_channel_and_unequal_lengths_are_refused() -> None:
    with pytest.raises(MontageError, match="no channel of the model's montage"):
        normalise({"EKG9": np.zeros(SAMPLES)}, CONFIG)
    with pytest.raises(MontageError, match="differ in length"):
        normalise({"ECG": np.zeros(SAMPLES), "ABD": np.zeros(5)}, CONFIG)


def test_a_config_survives_its_json_form() -> None:
    for config in (ModelConfig.base(), ModelConfig.embedded()):
        assert ModelConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("biosignals_cfg", "patch_size"), 17, "patch_size 17"),
        (("text_cfg", "heads"), 5, "text_cfg.heads 5"),
        (("text_cfg", "width"), 64, "must be equal"),
        (("biosignals_cfg", "norm_type"), "layernorm", "norm_type"),
        (("biosignals_cfg", "input_channels"), 11, "input_channels is 11"),
        (("tokenizer",), "words", "tokenizer 'words'"),
        (("extensions", "event_kinds"), ["sneeze"], "sneeze"),
        (("extensions", "decoder_memory"), "some", "decoder_memory"),
        (("input", "rate_hz"), 100, "3000 samples"),
        (("input", "normalization"), {"ECG": {"kind": "log"}}, "'log'"),
        (("text_cfg",), 3, "wrong form"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused_by_field(
    path: tuple[str, ...], value: object, named: str
) -> None:
    data = ModelConfig.embedded().to_dict()
    part = data
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(WeightsError, match=named):
        ModelConfig.from_dict(data)
