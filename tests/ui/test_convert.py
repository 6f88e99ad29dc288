"""``sleeplm convert``: an official file in, a folder of safetensors out."""

import os
from pathlib import Path

import pytest
import torch

from sleeplm import SleepLM
from sleeplm.model.config import ModelConfig
from sleeplm.model.recoca import ReCoCa
from sleeplm.model.tokenizer import SmallTokenizer
from ui.cli import main


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    tokenizer = SmallTokenizer.train(["n2 sleep"], vocab_size=900)
    data = ModelConfig.embedded(vocab_size=900).to_dict()
    for part, heads in (
        ("biosignals_cfg", "transformer_heads"),
        ("text_cfg", "heads"),
        ("multimodal_cfg", "heads"),
    ):
        data[part] |= {"transformer_width" if "bio" in part else "width": 32, heads: 2}
    model = ReCoCa(ModelConfig.from_dict(data))
    torch.save({"state_dict": model.state_dict(), "step": 7}, folder / "model_checkpoint.pt")
    model.config.save(folder / "config.json")
    tokenizer.save(folder / "tokenizer.json")
    return folder / "model_checkpoint.pt"


def test_convert_writes_a_folder_that_loads(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("convert", source, out, "--dtype", "fp16") == 0
    loaded = SleepLM.from_pretrained(out, "cpu")
    assert loaded.model_id in capsys.readouterr().out
    assert loaded.montage[-2:] == ("SPO2", "HR")
    expected = SleepLM.from_pretrained(source, "cpu").encode_text(["n2 sleep"])
    assert float((loaded.encode_text(["n2 sleep"]) * expected).sum()) > 0.9999
    half = (out / "model.safetensors").stat().st_size
    assert half < 0.6 * source.stat().st_size


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.target}",)


def test_convert_refuses_what_would_run_and_formats_it_does_not_know(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("convert", source, tmp_path / "out", "--dtype", "int4") == 2
    assert "use one of fp32, fp16, bf16" in capsys.readouterr().err
    torch.save({"state_dict": {"x": Malicious(tmp_path / "ran")}}, source)
    assert run("convert", source, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "refused" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()
