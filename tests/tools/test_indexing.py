"""Indexing many nights: resumed, parallel, on Ray, and not stopped by a bad file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tools.indexing as indexing
from sleeplm.errors import QueryError, StoreError
from tools.cases import open_store
from tools.indexing import index_nights, rebuild_store, recordings_in, remove_nights


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nights of six minutes, one file that is no recording, and a cache of their own."""
    from train.simulate import simulate_night, write_night

    folder = tmp_path_factory.mktemp("nights")
    for seed in (1, 2):
        write_night(simulate_night(seed, hours=0.1, ahi=20.0), folder / f"night{seed}.edf")
    (folder / "broken.edf").write_bytes(b"this is no EDF")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLEEPLM_CACHE", str(folder / "cache"))
        yield folder


def test_nights_are_kept_once_and_a_bad_one_is_named(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    first = index_nights(tmp_path, [recordings], progress=lambda words, share: told.append(words))
    assert first.held == {"nights": 2, "epochs": 24}
    assert [one["added"] for one in first.nights.values()] == [True, True]
    assert list(first.failed) == ["broken.edf"]
    assert told[-1] == "kept 3 of 3 nights"
    # Unchanged nights are not read by the model again.
    with monkeypatch.context() as patch:
        patch.setattr(indexing, "night_rows", lambda session: pytest.fail("read again"))
        second = index_nights(tmp_path, [recordings])
    assert [one["added"] for one in second.nights.values()] == [False, False]
    assert second.held == first.held
    gone = next(iter(first.nights))
    assert remove_nights(tmp_path, [gone, "night-00000000"]) == {gone: 13, "night-00000000": 0}
    assert rebuild_store(tmp_path).held == {"nights": 1, "epochs": 12}
    # What was taken out is read again when it is asked for.
    third = index_nights(tmp_path, [recordings])
    assert [one["added"] for one in third.nights.values()].count(True) == 1


def test_sources_are_checked_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(QueryError, match="holds no recording"):
        recordings_in([tmp_path / "empty"])
    with pytest.raises(StoreError, match="no case store"):
        remove_nights(tmp_path / "nowhere", ["night-00000000"])
    (tmp_path / "a-Hypnogram.edf").write_bytes(b"")
    (tmp_path / "a.EDF").write_bytes(b"")
    assert recordings_in([tmp_path, tmp_path / "a.EDF"]) == [tmp_path / "a.EDF"]


@pytest.mark.slow
@pytest.mark.parametrize("ray_address", [None, "local"])
def test_processes_and_ray_keep_what_one_process_keeps(
    recordings: Path, tmp_path: Path, ray_address: str | None
) -> None:
    if ray_address is not None:
        pytest.importorskip("ray", reason="Ray is not installed (extra `cluster`)")
    alone, spread = tmp_path / "alone", tmp_path / "spread"
    one = index_nights(alone, [recordings])
    many = index_nights(spread, [recordings], workers=2, ray_address=ray_address)
    assert many.held == one.held == {"nights": 2, "epochs": 24}
    assert sorted(many.nights) == sorted(one.nights)
    assert list(many.failed) == ["broken.edf"]
    reader = indexing._reader(None)
    with open_store(alone, reader) as left, open_store(spread, reader) as right:
        assert left.known() == right.known()
        query = np.ones(reader.embed_dim)
        both = [
            [(hit.night, hit.epoch, round(hit.similarity, 3)) for hit in store.search(query, 24)]
            for store in (left, right)
        ]
        assert both[0] == both[1]
