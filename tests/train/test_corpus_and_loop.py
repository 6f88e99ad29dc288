"""From simulated nights to a trained folder: shards, augmentation, and a run that resumes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from sleeplm.errors import SleepLMError
from sleeplm.model.config import ModelConfig
from sleeplm.model.tokenizer import SmallTokenizer
from sleeplm.scoring import EVENT_KINDS, STAGES
from train.captions.event_wordings import UNSEEN, WORDINGS
from train.corpus import ALONE, EVIDENCE, Augmentation, Corpus, augment, make_batch
from train.loop import train
from train.prepare import prepare
from train.recipe import load_recipe
from train.shards import ShardReader

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


@pytest.mark.parametrize("name", ["embedded", "finetune", "tiny-cpu"])
def test_every_recipe_of_simulated_nights_can_be_read(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.steps > 0
    assert recipe.corpus["nights"] > 0


def test_the_base_recipe_has_the_shape_of_the_paper() -> None:
    from sleeplm.model.recoca import ReCoCa

    recipe = load_recipe("base")
    with torch.device("meta"):
        model = ReCoCa(recipe.shape())
    assert model.signal_decoder is not None  # the released weights come without it
    released = set(model.parameters()) - set(model.signal_decoder.parameters())
    assert sum(parameter.numel() for parameter in released) / 1e6 == pytest.approx(385.4, abs=0.1)


def test_a_model_without_heads_learns_from_the_released_captions(
    tmp_path: Path, shard: Path
) -> None:
    plain = {key: value for key, value in TINY["model"].items() if key != "extensions"}  # type: ignore[attr-defined]
    base = load_recipe("base")
    recipe = tmp_path / "base.yaml"
    changes = {"family": "base", "model": plain, "caption_style": base.caption_style, "steps": 2}
    loss = {"grounding": base.loss.grounding, "auxiliary": base.loss.auxiliary}
    recipe.write_text(yaml.safe_dump({**TINY, **changes, "loss": loss}))
    train(recipe, tmp_path / "out", corpus=shard.parent, progress=lambda _: None)
    record = json.loads((tmp_path / "out" / "log.jsonl").read_text().splitlines()[-1])
    assert {"contrastive", "caption", "total"} <= set(record)
    # Neither have weights like the released ones a decoder for signals, unless it is asked for.
    assert not {"reconstruction", "grounding", "auxiliary"} & set(record)
    assert np.isfinite(record["total"])


def test_batches_made_in_other_processes_are_the_same(tmp_path: Path, shard: Path) -> None:
    logs = []
    for loaders in (0, 2):
        recipe = tmp_path / f"{loaders}.yaml"
        recipe.write_text(yaml.safe_dump({**TINY, "steps": 3, "loaders": loaders}))
        out = tmp_path / str(loaders)
        train(recipe, out, corpus=shard.parent, progress=lambda _: None)
        lines = (out / "log.jsonl").read_text().splitlines()
        logs.append([json.loads(line)["total"] for line in lines])
    assert len(logs[0]) == 3
    assert logs[0] == logs[1]


def test_some_epochs_keep_what_a_small_recording_has(corpus: Corpus, config: ModelConfig) -> None:
    clean = np.stack([corpus.epoch(index).signals for index in range(40)]).astype(np.float32)
    rngs = [np.random.default_rng(row) for row in range(40)]
    _, present = augment(clean, rngs, config, Augmentation(alone=1.0))
    montage = list(config.input.montage)
    kept = {
        tuple(name for name, there in zip(montage, row, strict=True) if there) for row in present
    }
    assert {tuple(sorted(names, key=montage.index)) for names in ALONE} == kept


def test_epochs_with_rare_events_are_drawn_more_often(shard: Path, config: ModelConfig) -> None:
    plain, balanced = Corpus([shard], config), Corpus([shard], config, rare_events=4.0)
    kinds = config.extensions.event_kinds
    there = ShardReader(config)(shard).kinds_by_epoch(kinds)
    counts = there.sum(axis=0)
    rarest = int(np.argmin(np.where(counts > 0, counts, counts.max() + 1)))

    def share(of: Corpus) -> float:
        return float(np.diff(of.weights, prepend=0.0)[there[:, rarest]].sum())

    factor = min(4.0, float(np.sqrt(counts.max() / counts[rarest])))
    odds = share(balanced) / (1 - share(balanced)) * (1 - share(plain)) / share(plain)
    assert 1.0 < odds <= factor + 1e-6
    own = [any(kind == kinds[rarest] for kind, _, _ in corpus_epoch.events)
           for corpus_epoch in map(plain.epoch, range(len(plain)))]  # fmt: skip
    assert own == there[:, rarest].tolist()


def test_wordings_kept_for_the_evaluation_are_not_trained_on() -> None:
    trained = {words.lower() for wordings in WORDINGS.values() for words in wordings}
    kept = [words.lower() for wordings in UNSEEN.values() for words in wordings]
    assert not trained & set(kept)
    assert set(UNSEEN) <= set(EVENT_KINDS)


def test_an_unknown_recipe_or_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(SleepLMError, match=r"embeded.*base, embedded, finetune, tiny-cpu"):
        load_recipe("embeded")
    path = tmp_path / "r.yaml"
    path.write_text("name: x\nsteps: 1\nstepz: 2\n")
    with pytest.raises(SleepLMError, match="stepz"):
        load_recipe(path)
