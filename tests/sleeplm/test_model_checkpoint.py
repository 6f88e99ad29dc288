"""Weights in and out: what is refused, and that what is taken comes back equal."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sleeplm.errors import WeightsError
from sleeplm.model import checkpoint, precision
from sleeplm.model.config import ModelConfig
from sleeplm.model.recoca import ReCoCa


def official_config(use_signal_decoder: bool = True) -> ModelConfig:
    """The released family in miniature: official montage, no extension."""
    return ModelConfig.from_dict(
        {
            "name": "mini",
            "embed_dim": 12,
            "biosignals_cfg": {
                "patch_size": 160,
                "conv_embed_dim": 8,
                "transformer_layers": 2,
                "transformer_width": 16,
                "transformer_heads": 2,
                "decoder_tokens": 3,
            },
            "text_cfg": {
                "context_length": 24,
                "vocab_size": 60,
                "layers": 1,
                "heads": 2,
                "width": 16,
            },
            "multimodal_cfg": {"width": 16, "layers": 1, "heads": 2, "context_length": 24},
            "use_signal_decoder": use_signal_decoder,
        }
    )


@pytest.fixture(scope="module")
def model() -> ReCoCa:
    torch.manual_seed(1)
    return ReCoCa(official_config()).eval()


def same(one: ReCoCa, other: ReCoCa) -> None:
    signals = torch.randn(2, 10, 1920, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[1, 5, 2], [1, 9, 2]])
    indices = torch.tensor([[0, -1], [4, -1]])
    with torch.inference_mode():
        torch.testing.assert_close(other(signals, ids, indices), one(signals, ids, indices))


def write_pt(folder: Path, content: object) -> Path:
    path = folder / "model_checkpoint.pt"
    torch.save(content, path)
    return path


def test_a_folder_comes_back_equal(model: ReCoCa, tmp_path: Path) -> None:
    digest = checkpoint.save_folder(model, tmp_path)
    again, read_digest = checkpoint.load_folder(tmp_path)
    assert read_digest == digest
    assert again.config == model.config
    same(model, again)


def test_half_precision_weights_come_back_close(model: ReCoCa, tmp_path: Path) -> None:
    checkpoint.save_folder(model, tmp_path, torch.float16)
    again, _ = checkpoint.load_folder(tmp_path)
    for key, value in again.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, model.state_dict()[key], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("wrapped", [False, True])
def test_an_official_file_loads_with_its_wrappings(
    model: ReCoCa, tmp_path: Path, prefix: str, wrapped: bool
) -> None:
    state: object = {prefix + key: value for key, value in model.state_dict().items()}
    path = write_pt(tmp_path, {"state_dict": state, "epoch": 3} if wrapped else state)
    again, _ = checkpoint.load_official(path, model.config)
    same(model, again)


def test_aliases_and_rope_buffers_may_be_left_out(model: ReCoCa, tmp_path: Path) -> None:
    state = {
        key: value
        for key, value in model.state_dict().items()
        if not key.endswith("rotary_emb.freqs")
    }
    assert len(state) == len(model.state_dict()) - 4  # two blocks: two aliases, two buffers
    again, _ = checkpoint.load_official(write_pt(tmp_path, state), model.config)
    same(model, again)


def changed(model: ReCoCa, name: str) -> dict[str, Tensor]:
    state = {key: value.clone() for key, value in model.state_dict().items()}
    if name == "missing":
        del state["text.ln_final.weight"]
    elif name == "unexpected":
        state["text.ln_extra.weight"] = torch.ones(16)
    elif name == "misshapen":
        state["channel_embeddings"] = torch.ones(12, 16)
    elif name == "alias":
        state["biosignals.transformer_blocks.1.channel_attention.rotary_emb.freqs"] += 1
    return state


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", r"missing: text\.ln_final\.weight"),
        ("unexpected", r"unexpected: text\.ln_extra\.weight"),
        ("misshapen", r"channel_embeddings \[12, 16\] instead of \[5, 16\]"),
        ("alias", r"transformer_blocks\.1\..* differs from biosignals\.shared_channel_rope"),
    ],
)
def test_keys_that_do_not_fit_are_named(
    model: ReCoCa, tmp_path: Path, name: str, message: str
) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        checkpoint.load_official(write_pt(tmp_path, changed(model, name)), model.config)
    assert "\n" not in str(caught.value)
    assert "model_checkpoint.pt" in str(caught.value)


def test_many_missing_keys_are_all_named_in_a_note(model: ReCoCa, tmp_path: Path) -> None:
    state = changed(model, "none")
    gone = [key for key in state if key.startswith("text.transformer.")]
    assert len(gone) > checkpoint.NAMED_KEYS
    for key in gone:
        del state[key]
    with pytest.raises(WeightsError) as caught:
        checkpoint.load_official(write_pt(tmp_path, state), model.config)
    assert str(caught.value).endswith(f"and {len(gone) - checkpoint.NAMED_KEYS} more")
    (note,) = caught.value.__notes__
    assert all(key in note for key in gone)


def test_an_odd_rope_buffer_is_used_as_stored_with_a_warning(
    model: ReCoCa, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = changed(model, "none")
    key = "biosignals.transformer_blocks.0.temporal_attention_layers.0.rotary_emb.freqs"
    state[key] *= 2
    with caplog.at_level(logging.WARNING):
        again, _ = checkpoint.load_official(write_pt(tmp_path, state), model.config)
    assert key in caplog.text
    assert torch.equal(again.state_dict()[key], state[key])


class Malicious:
    """Unpickling this would write a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.target}",)


def test_a_pickle_with_code_in_it_is_refused_and_does_not_run(tmp_path: Path) -> None:
    target = tmp_path / "ran"
    path = write_pt(tmp_path, {"state_dict": {"logit_scale": Malicious(target)}})
    with pytest.raises(WeightsError, match="refused") as caught:
        checkpoint.load_official(path)
    assert not target.exists()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 broken zip"])
def test_a_file_that_is_no_checkpoint_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model_checkpoint.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"model_checkpoint\.pt"):
        checkpoint.load_official(path)


def test_a_checkpoint_without_tensors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="holds no state dict"):
        checkpoint.load_official(write_pt(tmp_path, {"epoch": 3}))


def test_folders_with_missing_or_damaged_parts_are_refused(model: ReCoCa, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"config\.json"):
        checkpoint.load_folder(tmp_path)
    checkpoint.save_folder(model, tmp_path)
    weights = tmp_path / checkpoint.WEIGHTS_FILE
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    with pytest.raises(WeightsError, match="not a safetensors file"):
        checkpoint.load_folder(tmp_path)
    weights.unlink()
    with pytest.raises(WeightsError, match="no such file"):
        checkpoint.load_folder(tmp_path)
    weights.write_bytes(whole)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="not JSON"):
        checkpoint.load_folder(tmp_path)


def test_a_config_with_another_width_than_its_weights_is_refused(
    model: ReCoCa, tmp_path: Path
) -> None:
    checkpoint.save_folder(model, tmp_path)
    path = tmp_path / "config.json"
    data = json.loads(path.read_text())
    data["embed_dim"] = 20
    path.write_text(json.dumps(data))
    with pytest.raises(WeightsError, match=r"proj_to_embed\.weight \[12, 16\] instead of"):
        checkpoint.load_folder(tmp_path)


def test_a_hub_name_that_is_not_to_be_had_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import huggingface_hub

    def offline(*_: object, **__: object) -> str:
        raise OSError("no route to host\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(WeightsError, match=r"someone/weights: .*no route to host\)$"):
        checkpoint.resolve_hub("someone/weights")


def test_a_hub_repository_gives_its_folder_or_its_checkpoint(
    model: ReCoCa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    with pytest.raises(WeightsError, match="holds neither"):
        checkpoint.resolve_hub("someone/weights")
    path = write_pt(tmp_path, model.state_dict())
    assert checkpoint.resolve_hub("someone/weights") == path
    checkpoint.save_folder(model, tmp_path)
    assert checkpoint.resolve_hub("someone/weights") == tmp_path


def test_a_key_with_and_without_a_prefix_is_refused(model: ReCoCa, tmp_path: Path) -> None:
    state = dict(model.state_dict())
    state["module.logit_scale"] = torch.tensor(1.0)
    with pytest.raises(WeightsError, match="holds logit_scale twice"):
        checkpoint.load_official(write_pt(tmp_path, state), model.config)


def test_a_wrong_hash_is_refused_before_anything_is_read(
    model: ReCoCa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_pt(tmp_path, model.state_dict())
    _, digest = checkpoint.load_official(path, model.config, sha256=checkpoint.file_sha256(path))
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("the file was read"))
    with pytest.raises(WeightsError, match=r"model_checkpoint\.pt: sha256 is"):
        checkpoint.load_official(path, model.config, sha256="0" * 64)


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
def test_an_official_file_is_converted_with_vocabulary_and_input_rules(
    model: ReCoCa, tmp_path: Path, dtype: str
) -> None:
    """As from the release: the config beside it does not fit, the vocabulary is elsewhere."""
    from sleeplm.model.tokenizer import SmallTokenizer
    from sleeplm.reader import SleepLM, convert

    tokenizer = SmallTokenizer.train(["n2 sleep"], vocab_size=1000)
    data = model.config.to_dict() | {"tokenizer": "small"}
    data["text_cfg"]["vocab_size"] = 1000
    torch.manual_seed(2)
    original = ReCoCa(ModelConfig.from_dict(data)).eval()
    source = tmp_path / "in"
    source.mkdir()
    path = write_pt(source, {f"module.{key}": v for key, v in original.state_dict().items()})
    original.config.save(source / "config.json")
    tokenizer.save(tmp_path / "vocabulary.json")
    out = tmp_path / "out"
    model_id = convert(path, out, dtype, vocabulary=tmp_path / "vocabulary.json")
    assert sorted(file.name for file in out.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    again = SleepLM.from_pretrained(out, "cpu")
    assert again.model_id == model_id
    tolerance = {"fp32": 0.0, "fp16": 1e-3, "bf16": 8e-3}[dtype]
    for key, value in again.model.state_dict().items():
        torch.testing.assert_close(
            value, original.state_dict()[key], atol=1e-3 * bool(tolerance), rtol=tolerance
        )
    assert again.can_reconstruct
    saved = json.loads((out / "config.json").read_text())
    assert saved["input"]["montage"][0] == "ECG"
    assert saved["input"]["position_codes"]["supine"] == 2
    assert saved["input"]["normalization"]["POS"]["kind"] == "code"
    rule = saved["input"]["default_rule"]
    assert (rule["kind"], rule["scope"], rule["clip"]) == ("zscore", "recording", 6.0)
    assert saved["modalities"] == [
        "brain",
        "heart",
        "respiratory",
        "position_muscle",
        "stage_event",
    ]
    with pytest.raises(WeightsError, match="'int4' is not known; use one of fp32, fp16, bf16"):
        convert(path, out, "int4")


def test_the_signal_decoder_is_built_only_when_its_keys_are_there(
    monkeypatch: pytest.MonkeyPatch, model: ReCoCa, tmp_path: Path
) -> None:
    from sleeplm.reader import SleepLM

    def small_base(*, use_signal_decoder: bool = False) -> ModelConfig:
        return official_config(use_signal_decoder)

    monkeypatch.setattr(ModelConfig, "base", staticmethod(small_base))
    state = dict(model.state_dict())
    with_decoder, _ = checkpoint.load_official(write_pt(tmp_path, state))
    assert with_decoder.signal_decoder is not None
    without = {key: v for key, v in state.items() if not key.startswith("signal_decoder.")}
    loaded = SleepLM.from_pretrained(write_pt(tmp_path, without), "cpu")
    with pytest.raises(WeightsError, match="hold no signal decoder"):
        loaded.reconstruct(np.zeros((1, 10, 1920), dtype=np.float32))


@pytest.mark.parametrize("name", ["bf16", "int8"])
def test_other_formats_stay_close_to_float32(model: ReCoCa, name: str) -> None:
    changed = copy.deepcopy(model)
    assert precision.prepare(changed, name, "cpu") == name
    signals = torch.randn(3, 10, 1920, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[1, 5, 2]])
    with torch.inference_mode():
        ours, exact = changed.encode_signal(signals), model.encode_signal(signals)
        assert float((ours.embedding * exact.embedding).sum(-1).min()) > 0.995
        text = (changed.encode_text(ids) * model.encode_text(ids)).sum()
        assert float(text) > 0.995
        indices = torch.tensor([[0, -1]] * 3)
        logits = changed.decode(changed.text_states(ids.expand(3, -1)), ours.memory, indices)
        expected = model.decode(model.text_states(ids.expand(3, -1)), exact.memory, indices)
    assert logits.dtype == torch.float32
    assert float((logits - expected).abs().max()) < 0.1 * float(expected.std())
    assert not torch.equal(logits, expected)


def test_formats_that_cannot_be_had_are_refused(model: ReCoCa, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="'fp8' is not known"):
        precision.prepare(copy.deepcopy(model), "fp8", "cpu")
    with pytest.raises(WeightsError, match="int8 computes on the CPU only"):
        precision.prepare(copy.deepcopy(model), "int8", "cuda")
    with pytest.raises(WeightsError, match="threads must be at least 1"):
        precision.prepare(copy.deepcopy(model), "fp32", "cpu", threads=0)
    with torch.device("meta"):
        embedded = ReCoCa(ModelConfig.embedded())
    with pytest.raises(WeightsError, match="without extensions"):
        precision.prepare(embedded, "bf16", "cpu")
    assert precision.prepare(embedded, "auto", "cpu") == "fp32"
    quantized = copy.deepcopy(model)
    precision.prepare(quantized, "int8", "cpu")
    with pytest.raises(WeightsError, match="int8 weights cannot be saved"):
        checkpoint.save_folder(quantized, tmp_path)


@pytest.mark.parametrize("name", ["yang-ai-lab/SleepLM-Base", "SleepLM-Base", "sleeplm-base"])
def test_official_weights_and_their_vocabulary_come_from_the_hub_by_name_revision_and_hash(
    model: ReCoCa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import huggingface_hub

    from sleeplm.reader import SleepLM

    asked = []

    def offline(name: str, revision: str | None, **_: object) -> str:
        asked.append((name, revision))
        if name.startswith("openai/"):
            raise OSError("no route to host")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    digest = checkpoint.file_sha256(write_pt(tmp_path, model.state_dict()))
    model.config.save(tmp_path / "config.json")
    loaded = SleepLM.from_pretrained(name, "cpu", revision="a1b2", sha256=digest)
    assert asked == [("yang-ai-lab/SleepLM-Base", "a1b2"), ("openai/clip-vit-base-patch32", None)]
    with pytest.raises(WeightsError, match="sha256 is"):
        SleepLM.from_pretrained(name, "cpu", revision="a1b2", sha256="0" * 64)
    with pytest.raises(WeightsError, match="no vocabulary"):
        loaded.encode_text(["n2"])


@pytest.mark.slow
def test_a_compiled_encoder_reads_as_the_plain_one(
    model: ReCoCa, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced as by torch.compile, without the C++ compiler behind it."""
    compiled, traced = copy.deepcopy(model), []

    def keep(graph: torch.fx.GraphModule, _: list[Tensor]) -> object:
        traced.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=keep))
    precision.prepare(compiled, device="cpu", compiled=True)
    montage = model.config.biosignals_cfg
    signals = torch.randn(2, montage.input_channels, montage.signal_length)
    with torch.inference_mode():
        expected, got = model.encode_signal(signals), compiled.encode_signal(signals)
    torch.testing.assert_close(got.embedding, expected.embedding, atol=1e-5, rtol=0)
    torch.testing.assert_close(got.latents, expected.latents, atol=1e-5, rtol=0)
    assert len(traced) == 1  # one whole graph
