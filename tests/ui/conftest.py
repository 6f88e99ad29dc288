"""A short night, a small untrained model, and the page served with them."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def short_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half an hour with apneas, as EDF with its scoring and truth beside it."""
    from train.simulate import simulate_night, write_night

    path = tmp_path_factory.mktemp("night") / "night.edf"
    write_night(simulate_night(5, hours=0.5, ahi=40), path)
    return path


@pytest.fixture(scope="session")
def unscored_night(short_night: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same recording alone, so that only the model can read it."""
    path = tmp_path_factory.mktemp("alone") / "night.edf"
    path.write_bytes(short_night.read_bytes())
    return path


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model's shape with random weights: real code, meaningless readings."""
    import torch

    from sleeplm.model.config import ModelConfig
    from sleeplm.model.recoca import ReCoCa
    from sleeplm.model.tokenizer import SmallTokenizer
    from sleeplm.reader import SleepLM

    texts = ["the epoch is n2 sleep with delta power of 40.0 percent", "heart rate 61.0 bpm"]
    tokenizer = SmallTokenizer.train(texts * 5, vocab_size=900)
    torch.manual_seed(1)
    model = ReCoCa(ModelConfig.embedded(vocab_size=tokenizer.vocab_size))
    folder = tmp_path_factory.mktemp("model") / "untrained"
    SleepLM(model, tokenizer, "0" * 64, "cpu").save_pretrained(folder)
    return folder


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SLEEPLM_CACHE", str(folder))
    return folder
