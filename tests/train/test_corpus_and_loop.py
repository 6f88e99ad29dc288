"""From simulated nights to a trained folder: shards, augmentation, and a run that resumes."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from sleeplm.errors import SleepLMError
from sleeplm.model.config import ModelConfig
from sleeplm.model.tokenizer import SmallTokenizer
from sleeplm.scoring import STAGES
from train.corpus import EVIDENCE, Augmentation, Corpus, augment, make_batch
from train.loop import train
from train.prepare import prepare
from train.recipe import load_recipe

PLAN = [{"seed": 5, "hours": 0.5, "ahi": 40.0, "condition": "osa", "variety": 1.0}]
TINY = {
    "name": "test",
    "seed": 3,
    "model": {
        "biosignals_cfg": {
            "transformer_width": 32,
            "transformer_heads": 2,
            "transformer_layers": 1,
            "conv_embed_dim": 32,
            "decoder_tokens": 4,
        },
        "text_cfg": {"width": 32, "heads": 2, "layers": 1},
        "multimodal_cfg": {"width": 32, "heads": 2, "layers": 1},
        "embed_dim": 32,
        "extensions": {"event_kinds": ["obstructive_apnea", "hypopnea", "desaturation", "arousal"]},
    },
    "corpus": {"nights": 1, "hours": 0.5, "first_seed": 5, "workers": 1},
    "vocabulary": 1000,
    "steps": 6,
    "batch_size": 4,
    "threads": 1,
    "captions_per_step": 2,
    "optimizer": {
        "lr": 0.002,
        "final_share": 0.1,
        "warmup_steps": 2,
        "betas": [0.9, 0.98],
        "weight_decay": 0.05,
        "clip": 1.0,
    },
    "augmentation": {"channel_dropout": 0.5, "gain": 0.2, "noise": 0.05, "flip": 0.3},
    "checkpoint_minutes": 100,
    "log_every": 1,
}


@pytest.fixture(scope="module")
def config() -> ModelConfig:
    return ModelConfig.embedded()


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (path,) = prepare(tmp_path_factory.mktemp("shards"), simulated=PLAN).shards()
    return path


@pytest.fixture(scope="module")
def corpus(shard: Path, config: ModelConfig) -> Corpus:
    return Corpus([shard], config)


def test_a_shard_holds_the_truth_of_the_night_it_was_made_from(corpus: Corpus) -> None:
    from train.simulate import simulate_night

    night = simulate_night(5, hours=0.5, ahi=40.0, condition="osa")
    assert [STAGES[epoch.stage] for epoch in map(corpus.epoch, range(len(corpus)))] == list(
        night.scoring.stages
    )
    seconds = sum(
        end - start
        for epoch in map(corpus.epoch, range(len(corpus)))
        for kind, start, end in epoch.events
        if kind == "arousal"
    )
    expected = sum(event.duration_s for event in night.scoring.events_of("arousal"))
    assert seconds == pytest.approx(expected, abs=0.5)


def test_shards_that_are_there_are_not_made_again(shard: Path) -> None:
    before = shard.stat().st_mtime_ns
    assert prepare(shard.parent, simulated=PLAN).shards() == [shard]
    assert shard.stat().st_mtime_ns == before


def test_a_dropped_channel_is_missing_in_signal_text_and_targets(
    corpus: Corpus, config: ModelConfig
) -> None:
    rng = np.random.default_rng(0)
    tokenizer = SmallTokenizer.train(["a b"], 1000)
    batch = make_batch(
        corpus.draw(rng, 32), (0,), config, tokenizer, Augmentation(channel_dropout=1.0)
    )
    montage = list(config.input.montage)
    for row in range(32):
        gone = [name for name, there in zip(montage, batch.present[row], strict=True) if not there]
        assert 1 <= len(gone) <= 4
        for name in gone:
            samples = batch.signals[row, montage.index(name)]
            assert (samples == config.input.rule(name).missing).all()
    names = list(config.number_names)
    spo2 = ~batch.present[:, montage.index("SPO2")]
    assert spo2.any()
    assert torch.isnan(batch.numbers[spo2, names.index("spo2_mean_pct")]).all()
    kinds = list(config.extensions.event_kinds)
    assert torch.isnan(batch.kinds[spo2, kinds.index("desaturation")]).all()


def test_grounding_targets_cover_each_event_second_by_second(
    corpus: Corpus, config: ModelConfig
) -> None:
    epochs = [epoch for epoch in map(corpus.epoch, range(len(corpus))) if epoch.events][:8]
    batch = make_batch(
        epochs, (1,), config, SmallTokenizer.train(["a"], 1000), Augmentation(), n_systems=1
    )
    kinds = list(config.extensions.event_kinds)
    for row, epoch in enumerate(epochs):
        for kind in {kind for kind, _, _ in epoch.events} & set(EVIDENCE):
            covered_s = float(batch.grounding[row, :, kinds.index(kind)].sum()) * 0.25
            expected = sum(end - start for name, start, end in epoch.events if name == kind)
            assert covered_s == pytest.approx(expected, abs=0.3)


def test_augmentation_leaves_absolute_channels_alone(corpus: Corpus, config: ModelConfig) -> None:
    clean = np.stack([corpus.epoch(index).signals for index in range(4)]).astype(np.float32)
    signals, present = augment(
        clean.copy(),
        [np.random.default_rng(row) for row in range(4)],
        config,
        Augmentation(gain=0.5, noise=0.2, flip=1.0),
    )
    assert present.all()
    for name in ("SPO2", "HR", "POS"):
        column = list(config.input.montage).index(name)
        assert np.array_equal(signals[:, column], clean[:, column])


def test_a_run_that_was_stopped_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(TINY))
    whole = train(recipe, tmp_path / "whole", progress=lambda _: None)
    (tmp_path / "parts").mkdir()
    (tmp_path / "whole" / "shards").rename(tmp_path / "parts" / "shards")
    # A kill after the third step leaves what the checkpoint wrote; the schedule still ends at six.
    stopped = Stop(after=3)
    with pytest.raises(KeyboardInterrupt):
        train(
            _with(recipe, checkpoint_minutes=-1),
            tmp_path / "parts",
            progress=stopped,
        )
    resumed = train(recipe, tmp_path / "parts", progress=lambda _: None)
    from safetensors.torch import load_file

    one, other = load_file(whole / "model.safetensors"), load_file(resumed / "model.safetensors")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


class Stop:
    """A progress callback that stops the run, as Ctrl-C would, at its n-th step."""

    def __init__(self, after: int) -> None:
        self.after = after

    def __call__(self, line: str) -> None:
        if line.startswith(f"step {self.after}/"):
            raise KeyboardInterrupt


def _with(recipe: Path, **changes: object) -> Path:
    path = recipe.with_name("changed.yaml")
    path.write_text(yaml.safe_dump({**TINY, **changes}))
    return path


@pytest.mark.parametrize("name", ["embedded", "tiny-cpu"])
def test_every_recipe_in_the_package_can_be_read(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.steps > 0
    assert recipe.corpus["nights"] > 0


def test_an_unknown_recipe_or_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(SleepLMError, match=r"embeded.*embedded, finetune, tiny-cpu"):
        load_recipe("embeded")
    path = tmp_path / "r.yaml"
    path.write_text("name: x\nsteps: 1\nstepz: 2\n")
    with pytest.raises(SleepLMError, match="stepz"):
        load_recipe(path)
