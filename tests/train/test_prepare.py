"""A corpus from folders: who belongs together, what is kept, what is reported."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from sleeplm.errors import SleepLMError
from sleeplm.model.config import ModelConfig
from sleeplm.scoring import STAGES
from sleeplm.scoring_files import read_scoring
from train.corpus import Corpus
from train.prepare import Manifest, prepare, read_groups, split_of, subject_of
from train.shards import Shard
from train.simulate import simulate_night
from train.simulate.export import write_night

HOURS = 0.2


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the archive's layout: recordings and scorings in parallel trees, one bad file."""
    root = tmp_path_factory.mktemp("archive")
    recordings = root / "polysomnography" / "edfs" / "shhs1"
    scorings = root / "polysomnography" / "annotations-events-nsrr" / "shhs1"
    recordings.mkdir(parents=True)
    scorings.mkdir(parents=True)
    for number in (1, 2):
        path = recordings / f"shhs1-20000{number}.edf"
        write_night(simulate_night(number, hours=HOURS, ahi=60.0), path)
        shutil.move(recordings / f"shhs1-20000{number}-nsrr.xml", scorings)
        (recordings / f"shhs1-20000{number}.truth.json").unlink()
    (recordings / "shhs1-200003.edf").write_bytes(b"0       not an EDF at all")
    return root


@pytest.fixture(scope="module")
def corpus_folder(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus")
    prepare(out, sources=[archive], automatic=False)
    return out


def test_repeated_nights_of_one_person_share_a_subject() -> None:
    assert subject_of(Path("shhs1-200001.edf")) == subject_of(Path("shhs2-200001.edf"))
    assert subject_of(Path("mros-visit1-aa0001.edf")) == subject_of(Path("mros-visit2-aa0001.edf"))
    assert subject_of(Path("wsc-visit1-10119-nsrr.edf")) == "wsc:10119"
    assert subject_of(Path("cfs-visit5-800002.edf")) == "cfs:800002"
    assert subject_of(Path("ccshs-trec-1800001.edf")) == "ccshs:1800001"
    assert subject_of(Path("SC4011E0-PSG.edf")) == subject_of(Path("SC4012E0-PSG.edf"))
    assert subject_of(Path("Anything Else.edf")) == "anything else"


def test_splits_keep_a_group_together_and_come_near_their_shares() -> None:
    shares = (0.8, 0.1, 0.1)
    places = [split_of(f"family {n}", shares, 0) for n in range(4000)]
    assert places == [split_of(f"family {n}", shares, 0) for n in range(4000)]
    for name, share in zip(("train", "validation", "test"), shares, strict=True):
        assert places.count(name) / 4000 == pytest.approx(share, abs=0.02)


def test_scorings_in_the_parallel_tree_are_found_and_a_bad_file_is_reported(
    corpus_folder: Path, archive: Path
) -> None:
    manifest = Manifest.load(corpus_folder)
    assert sorted(Path(key).stem for key in manifest.nights) == ["shhs1-200001", "shhs1-200002"]
    (failed,) = manifest.failed.items()
    assert failed[0].endswith("shhs1-200003.edf")
    assert len(failed[1].splitlines()) == 1
    for key, night in manifest.nights.items():
        assert night["scorer"] == "expert"
        assert night["group"] == subject_of(Path(key))
        scoring = read_scoring(
            archive / "polysomnography/annotations-events-nsrr/shhs1" / f"{Path(key).stem}-nsrr.xml"
        )
        shard = Shard(corpus_folder / night["shard"], ModelConfig.embedded())
        assert [STAGES[stage] for stage in shard.stages] == list(scoring.stages)
        assert len(shard) == night["epochs"] == round(HOURS * 120)


def test_names_of_files_are_not_names_of_shards(corpus_folder: Path) -> None:
    assert not [path for path in corpus_folder.iterdir() if "shhs" in path.name]


def test_a_second_run_makes_only_what_changed(corpus_folder: Path, archive: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in corpus_folder.glob("*.safetensors")}
    changed = archive / "polysomnography" / "edfs" / "shhs1" / "shhs1-200002.edf"
    os.utime(changed, ns=(1, 1))
    manifest = prepare(corpus_folder, sources=[archive], automatic=False)
    after = {path.name: path.stat().st_mtime_ns for path in corpus_folder.glob("*.safetensors")}
    remade = {name for name in before if after[name] != before[name]}
    (key,) = (key for key in manifest.nights if key.endswith("200002.edf"))
    assert remade == {manifest.nights[key]["shard"]}


def test_an_unscored_night_is_left_out_or_scored_automatically(
    archive: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(archive / "polysomnography/edfs/shhs1/shhs1-200001.edf", bare / "a.edf")
    manifest = prepare(tmp_path / "none", sources=[bare], automatic=False)
    assert manifest.failed == {"a.edf": "a.edf: no scoring was found beside it"}
    manifest = prepare(tmp_path / "short", sources=[bare], automatic=True)
    assert "below 30 min" in manifest.failed["a.edf"]


def test_a_family_shares_a_split(tmp_path: Path) -> None:
    table = tmp_path / "families.csv"
    table.write_text("subject,group\n200001,F1\nshhs:200002,F1\n")
    groups = read_groups(table)
    assert groups == {"200001": "F1", "shhs:200002": "F1"}
    table.write_text("id,family\n1,2\n")
    with pytest.raises(SleepLMError, match="columns subject and group"):
        read_groups(table)


def test_a_model_of_fewer_channels_reads_its_own_rows(corpus_folder: Path) -> None:
    manifest = Manifest.load(corpus_folder)
    house, base = ModelConfig.embedded(), ModelConfig.base()
    path = manifest.shards()[0]
    whole, part = Shard(path, house).epoch(3), Shard(path, base).epoch(3)
    assert part.signals.shape == (10, 1920)
    for row, name in enumerate(base.input.montage):
        column = list(house.input.montage).index(name)
        np.testing.assert_array_equal(part.signals[row], whole.signals[column])


def test_automatic_nights_can_be_weighted_away(corpus_folder: Path) -> None:
    paths = Manifest.load(corpus_folder).shards()
    config = ModelConfig.embedded()
    corpus = Corpus(paths, config, automatic_weight=0.0)
    assert corpus.weights[-1] == pytest.approx(1.0)
    assert len(corpus) == 2 * round(HOURS * 120)


def test_what_cannot_be_a_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SleepLMError, match="no such file or folder"):
        prepare(tmp_path / "out", sources=[tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(SleepLMError, match="holds no recording"):
        prepare(tmp_path / "out", sources=[tmp_path / "empty"])
    with pytest.raises(SleepLMError, match="add up to 1"):
        prepare(tmp_path / "out", shares=(0.5, 0.1, 0.1))
    with pytest.raises(SleepLMError, match=r"manifest\.json; make a corpus"):
        Manifest.load(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(SleepLMError, match="damaged"):
        Manifest.load(tmp_path)


@pytest.mark.slow
def test_ray_makes_the_same_bytes_and_the_same_manifest(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (extra `cluster`)")
    plan = [{"seed": seed, "hours": 0.1, "ahi": 30.0} for seed in range(4)]
    prepare(tmp_path / "here", simulated=plan, workers=2)
    prepare(tmp_path / "ray", simulated=plan, workers=2, ray_address="local")
    here = {path.name: path.read_bytes() for path in (tmp_path / "here").iterdir()}
    there = {path.name: path.read_bytes() for path in (tmp_path / "ray").iterdir()}
    assert here == there
    assert len(json.loads(here["manifest.json"])["nights"]) == 4
