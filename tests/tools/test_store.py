"""The case store: idempotent, removable, one writer, one model, seen again after reopening."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sleeplm.errors import StoreError
from tools.columns import CaseFilter, row_facts
from tools.store import CaseRow, CaseStore

DIMENSION = 8


def rows(seed: int, count: int, stage: str = "N2") -> list[CaseRow]:
    vectors = np.random.default_rng(seed).normal(size=(count, DIMENSION))
    codes = row_facts(stage=stage, position="left", events=("hypopnea",), spo2_min_pct=91.5)
    return [CaseRow(vector, {"stage": stage}, codes=codes) for vector in vectors]


def put(store: CaseStore, night: str, seed: int, count: int = 12, stage: str = "N2") -> bool:
    cases = rows(seed, count, stage)
    return store.put_night(night, cases, CaseRow(cases[0].embedding, {"ahi": 4.0}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cases"


def test_putting_a_night_twice_changes_nothing(folder: Path) -> None:
    with CaseStore(folder, "model@1", DIMENSION, write=True) as store:
        assert put(store, "night-a", 1)
        assert not put(store, "night-a", 1)
        assert (store.count("epochs"), store.count("nights")) == (12, 1)


def test_a_night_that_changed_replaces_its_rows(folder: Path) -> None:
    with CaseStore(folder, "model@1", DIMENSION, write=True) as store:
        put(store, "night-a", 1, count=12)
        assert put(store, "night-a", 1, count=9, stage="N3")
        assert store.count("epochs") == 9
        hits = store.search(rows(1, 1)[0].embedding, 20)
        assert {hit.facts["stage"] for hit in hits} == {"N3"}


def test_more_rows_than_a_batch_are_all_kept(folder: Path) -> None:
    with CaseStore(folder, "model@1", DIMENSION, write=True) as store:
        put(store, "night-a", 1, count=1203)
        assert store.count("epochs") == 1203
        wanted = rows(1, 1203)[1100].embedding
        hit = store.search(wanted, 1)[0]
        assert (hit.epoch, hit.similarity) == (1101, pytest.approx(1.0, abs=1e-5))


def test_search_ranks_by_cosine_as_numpy_does(folder: Path) -> None:
    with CaseStore(folder, "model@1", DIMENSION, write=True) as store:
        put(store, "night-a", 1, count=60)
        query = rows(9, 1)[0].embedding
        matrix = np.stack([row.embedding for row in rows(1, 60)])
        cosine = matrix @ query / np.linalg.norm(matrix, axis=1) / np.linalg.norm(query)
        hits = store.search(query, 5)
        assert [hit.epoch for hit in hits] == [int(i) + 1 for i in np.argsort(-cosine)[:5]]
        assert hits[0].similarity == pytest.approx(cosine.max(), abs=1e-5)


def test_excluded_epochs_nights_and_filters_hold(folder: Path) -> None:
    with CaseStore(folder, "model@1", DIMENSION, write=True) as store:
        put(store, "night-a", 1)
        put(store, "night-b", 2, stage="R")
        query = rows(1, 1)[0].embedding
        assert {hit.night for hit in store.search(query, 20, exclude_night="night-a")} == {
            "night-b"
        }
        assert {
            hit.facts["stage"] for hit in store.search(query, 20, filters=CaseFilter(stage="R"))
        } == {"R"}
        without = store.search(query, 3, exclude=[("night-a", 1), ("night-a", 2)])
        assert len(without) == 3
        assert not {("night-a", 1), ("night-a", 2)} & {(hit.night, hit.epoch) for hit in without}
        both = store.search(query, 20, exclude_night="night-b", filters=CaseFilter(stage="R"))
        assert both == []


def test_a_night_is_left_out_also_where_it_holds_all_the_nearest_rows(folder: Path) -> None:
    near = [CaseRow(np.eye(DIMENSION)[0] + 1e-3 * i * np.eye(DIMENSION)[1]) for i in range(200)]
    far = [CaseRow(np.eye(DIMENSION)[2])]
    with CaseStore(folder, "model@1", DIMENSION, write=True) as store:
        store.put_night("night-a", near, near[0])
        store.put_night("night-b", far, far[0])
        hits = store.search(near[0].embedding, 1, exclude_night="night-a")
        assert [(hit.night, hit.epoch) for hit in hits] == [("night-b", 1)]


def test_a_removed_night_is_gone_from_every_collection(folder: Path) -> None:
    with CaseStore(folder, "other@2", DIMENSION, write=True) as store:
        put(store, "night-a", 1)
    with CaseStore(folder, "model@1", DIMENSION, write=True) as store:
        put(store, "night-a", 1)
        put(store, "night-b", 2)
        assert store.remove("night-a") == 2 * 13
        assert store.nights() == ["night-b"]
        assert {hit.night for hit in store.search(rows(1, 1)[0].embedding, 50)} == {"night-b"}
        assert store.remove("night-a") == 0
    with CaseStore(folder, "other@2", DIMENSION) as store:
        assert store.count("epochs") == 0


def test_rows_are_there_after_reopening(folder: Path) -> None:
    with CaseStore(folder, "model@1", DIMENSION, write=True) as store:
        put(store, "night-a", 1)
    with CaseStore(folder, "model@1", DIMENSION) as store:
        assert store.nights() == ["night-a"]
        assert len(store.search(rows(1, 1)[0].embedding, 3)) == 3


def test_an_indexing_that_was_cut_off_is_taken_up_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.store.BATCH_ROWS", 5)

    def killed(phrase: str, share: float) -> None:
        raise KeyboardInterrupt

    cases = rows(1, 12)
    summary = CaseRow(cases[0].embedding)
    with CaseStore(folder, "model@1", DIMENSION, write=True) as store:
        with pytest.raises(KeyboardInterrupt):
            store.put_night("night-a", cases, summary, progress=killed)
        assert store.nights() == []
    with CaseStore(folder, "model@1", DIMENSION, write=True) as store:
        assert store.put_night("night-a", cases, summary)
        assert (store.nights(), store.count("epochs")) == (["night-a"], 12)


def test_a_second_writer_is_refused_while_readers_are_not(folder: Path) -> None:
    with CaseStore(folder, "model@1", DIMENSION, write=True) as store:
        put(store, "night-a", 1)
        with pytest.raises(StoreError, match="being written by another process"):
            CaseStore(folder, "model@1", DIMENSION, write=True)
        with CaseStore(folder, "model@1", DIMENSION) as reader:
            assert reader.nights() == ["night-a"]
            with pytest.raises(StoreError, match="open for reading"):
                reader.remove("night-a")
    CaseStore(folder, "model@1", DIMENSION, write=True).close()


def test_a_reader_sees_what_another_process_adds(folder: Path) -> None:
    with CaseStore(folder, "model@1", DIMENSION, write=True) as store:
        put(store, "night-a", 1)
    writer = (
        "import sys, numpy as np\n"
        "from tools.store import CaseRow, CaseStore\n"
        "vector = np.ones(8)\n"
        "with CaseStore(sys.argv[1], 'model@1', 8, write=True) as store:\n"
        "    store.put_night('night-b', [CaseRow(vector)], CaseRow(vector))\n"
    )
    with CaseStore(folder, "model@1", DIMENSION) as reader:
        assert reader.count("epochs") == 12
        subprocess.run([sys.executable, "-c", writer, str(folder)], check=True, timeout=120)
        assert reader.search(np.ones(DIMENSION), 1)[0].night == "night-b"
        assert reader.nights() == ["night-a", "night-b"]


def test_a_store_of_another_model_or_dimension_says_what_to_do(folder: Path) -> None:
    with CaseStore(folder, "model@1", DIMENSION, write=True) as store:
        put(store, "night-a", 1)
    with pytest.raises(StoreError, match=r"made with model@1 \(8 dimensions\).*index the nights"):
        CaseStore(folder, "model@2", DIMENSION)
    with pytest.raises(StoreError, match=r"not with model@1 \(16 dimensions\)"):
        CaseStore(folder, "model@1", 16)


def test_a_collection_whose_metadata_lie_is_refused(folder: Path) -> None:
    with CaseStore(folder, "model@1", DIMENSION, write=True) as store:
        collection = store._collections["epochs"]
        collection.modify(metadata={**collection.metadata, "model_id": "model@9"})
    with pytest.raises(StoreError, match="model_id 'model@9', expected 'model@1'"):
        CaseStore(folder, "model@1", DIMENSION)


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        (np.zeros(DIMENSION), "no direction"),
        (np.full(DIMENSION, np.nan), "no direction"),
        (np.ones(DIMENSION + 1), r"keeps \(8,\)"),
    ],
)
def test_vectors_without_direction_or_of_wrong_length_are_refused(
    folder: Path, vector: np.ndarray, reason: str
) -> None:
    good = np.ones(DIMENSION)
    with CaseStore(folder, "model@1", DIMENSION, write=True) as store:
        with pytest.raises(StoreError, match=f"night-a epoch 2.*{reason}"):
            store.put_night("night-a", [CaseRow(good), CaseRow(vector)], CaseRow(good))
        assert store.count("epochs") == 0
        with pytest.raises(StoreError, match=reason):
            store.search(vector)


def test_a_folder_without_a_store_names_the_command_that_makes_one(folder: Path) -> None:
    with pytest.raises(StoreError, match="sleeplm index"):
        CaseStore(folder, "model@1", DIMENSION)
    assert not folder.exists()


def test_a_damaged_store_is_an_error_of_one_line(folder: Path) -> None:
    folder.mkdir()
    (folder / "chroma.sqlite3").write_bytes(b"this is no database" * 200)
    with pytest.raises(StoreError, match="cannot be opened as a case store") as caught:
        CaseStore(folder, "model@1", DIMENSION)
    assert "\n" not in str(caught.value)


def test_filters_hold_and_are_ranked_as_numpy_ranks_what_they_allow(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A short look, so that what it brings is not always enough.
    monkeypatch.setattr("tools.store.LOOK_ROWS", 5)
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(60, DIMENSION))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    spo2 = rng.integers(80, 100, 60).astype(float)
    spo2[5] = np.nan
    stages = ["N2", "R", "W"]
    events = [("hypopnea",), ("hypopnea", "arousal"), ()]

    def row(i: int) -> CaseRow:
        codes = row_facts(
            stage=stages[i % 3], position=None, events=events[i // 20], spo2_min_pct=spo2[i]
        )
        return CaseRow(vectors[i], {"number": i}, codes=codes)

    cases = [row(i) for i in range(60)]
    with CaseStore(folder, "model@1", DIMENSION, write=True) as store:
        store.put_night("night-a", cases[:30], CaseRow(vectors[0], {"ahi": 31.0}))
        store.put_night("night-b", cases[30:], CaseRow(vectors[1], {}))
        index = np.arange(60)
        wanted = [
            (CaseFilter(stage="R"), index % 3 == 1),
            (CaseFilter(events=("arousal",)), index // 20 == 1),
            (CaseFilter(without_events=("hypopnea", "arousal")), index // 20 == 2),
            (CaseFilter(spo2_to_pct=90.0), spo2 <= 90),
            (CaseFilter(spo2_from_pct=85.0, spo2_to_pct=90.0), (spo2 >= 85) & (spo2 <= 90)),
            (CaseFilter(position="left"), np.zeros(60, bool)),
            (CaseFilter(), np.ones(60, bool)),
        ]
        cosine = vectors @ vectors[17]
        for filters, mask in wanted:
            hits = store.search(vectors[17], 8, filters=filters)
            best = [int(i) for i in np.argsort(-cosine) if mask[i]][:8]
            assert [hit.facts["number"] for hit in hits] == best, filters
        # Without a night's file its vectors come from Chroma.
        for path in folder.glob("vectors-*/night-a.npy"):
            path.unlink()
        store._forget()
        for filters, mask in wanted:
            hits = store.search(vectors[17], 8, filters=filters)
            best = [int(i) for i in np.argsort(-cosine) if mask[i]][:8]
            assert [hit.facts["number"] for hit in hits] == best, filters
        # An AHI that is not known keeps to no range.
        ranged = store.search(vectors[17], 60, filters=CaseFilter(nights={"ahi": (15.0, None)}))
        assert {hit.night for hit in ranged} == {"night-a"}
        assert store.search(vectors[17], 9, filters=CaseFilter(nights={"ahi": (None, 30.0)})) == []
        with pytest.raises(StoreError, match="whole night has no stage"):
            store.search(vectors[17], level="nights", filters=CaseFilter(stage="R"))


@pytest.mark.parametrize("count", [40, 1300])
def test_nothing_of_a_removed_night_is_left_in_any_file(folder: Path, count: int) -> None:
    # The index has another file layout once it has grown.
    vectors = {name: rows(seed, count) for name, seed in (("night-a", 1), ("night-b", 2))}

    def traces(name: str) -> int:
        unit = [row.embedding / np.linalg.norm(row.embedding) for row in vectors[name]]
        wanted = [name.encode(), *(vector.astype(np.float32).tobytes() for vector in unit)]
        content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        return sum(content.count(one) for one in wanted)

    with CaseStore(folder, "model@1", DIMENSION, write=True) as store:
        for name, cases in vectors.items():
            store.put_night(name, cases, CaseRow(cases[0].embedding, {"ahi": 4.0}))
    assert traces("night-a") > count
    with CaseStore(folder, "model@1", DIMENSION, write=True) as store:
        assert store.remove("night-a") == count + 1
        assert store.nights() == ["night-b"]
    assert traces("night-a") == 0
    assert traces("night-b") > 0
    with CaseStore(folder, "model@1", DIMENSION, write=True) as store:
        hits = store.search(vectors["night-b"][7].embedding, 40)
        assert len(hits) == 40
        assert hits[0].epoch == 8
        # The store is as useful as before.
        assert put(store, "night-c", 5)
        assert store.nights() == ["night-b", "night-c"]


def test_a_rebuilt_index_answers_as_before_and_drops_half_kept_nights(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(phrase: str, share: float) -> None:
        raise KeyboardInterrupt

    with CaseStore(folder, "model@1", DIMENSION, write=True) as store:
        put(store, "night-a", 1)
        put(store, "night-b", 2)
        half = rows(3, 12)
        with pytest.raises(KeyboardInterrupt):
            store.put_night("night-c", half, half[0], progress=stopped)
        query = rows(9, 1)[0].embedding
        before = [(hit.night, hit.epoch) for hit in store.search(query, 24)]
        # What was kept by half is no answer, before or after.
        assert {night for night, _ in before} == {"night-a", "night-b"}
        with pytest.raises(KeyboardInterrupt):
            store.rebuild(stopped)
    with CaseStore(folder, "model@1", DIMENSION, write=True) as store:
        assert [(hit.night, hit.epoch) for hit in store.search(query, 24)] == before
        assert store.rebuild() == 26
        # Chroma would leave the files of the old index behind.
        assert len(list(folder.glob("*/header.bin"))) == 2
        assert [(hit.night, hit.epoch) for hit in store.search(query, 24)] == before
        assert store.count("epochs") == 24
    with CaseStore(folder, "model@1", DIMENSION) as store:
        assert [(hit.night, hit.epoch) for hit in store.search(query, 24)] == before
