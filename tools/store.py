"""The case store: embeddings of epochs and nights, searched across nights with Chroma, in process.

One folder belongs to one user. Rows carry pseudonyms, epoch numbers and scored facts; no path, name
or header. Two processes that write one folder corrupt it without a word, so a store is opened for
writing behind a file lock; readers notice a writer's changes and open the folder again.

Filters are answered by :class:`tools.columns.EpochColumns` in memory, and what they allow is
ranked exactly (:mod:`tools.vectors`): Chroma's own filters are slow, and its index finds too few of
the rows that a narrow filter allows. A search that allows most rows asks the index.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from sleeplm.errors import StoreError
from sleeplm.scoring import UNSCORED
from tools.columns import COLUMNS_KEY, CaseFilter, EpochColumns, pack, row_facts
from tools.scrub import scrub
from tools.vectors import NightVectors, remove_vectors

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["CaseFilter", "CaseRow", "CaseStore", "Hit"]

LEVELS = ("epochs", "nights")
#: Chroma takes 5,461 rows at most; a few hundred are fastest and keep memory small.
BATCH_ROWS = 500
#: The index is brought up to date and written out after so many rows; Chroma's own 100 and 1,000
#: halve the speed of indexing (``python -m benchmarks.store``).
HNSW = {"space": "cosine", "batch_size": 1000, "sync_threshold": 10_000}
#: Where most rows are allowed, the index is asked for so many more than are wanted.
LOOK_ROWS = 200
_LOCK_NAME = "writer.lock"
_GENERATION_NAME = "generation"
_SCHEMA = 2
_NO_FILTER = CaseFilter()
#: Codes of an epoch of which nothing is known.
NO_CODES = row_facts(stage=UNSCORED, position=None, events=(), spo2_min_pct=None)
#: Suffixes of a collection while it is rebuilt, and when it is whole but not yet in its place.
_REBUILDING, _REBUILT = "-rebuilding", "-rebuilt"
#: Facts of a night's row that are the store's own and no answer.
_OWN_KEYS = ("night", "epoch", "digest", "made_from", COLUMNS_KEY)
_SHORTEST_VECTOR = 1e-6


@dataclass(frozen=True)
class CaseRow:
    """One epoch or night to keep.

    ``facts`` are the few typed fields that explain a hit: stage, position, events …; ``codes`` are
    those of an epoch that filters read (:func:`tools.columns.row_facts`).
    """

    embedding: np.ndarray
    facts: dict[str, str | int | float | bool] = field(default_factory=dict)
    epoch: int | None = None
    codes: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Hit:
    """One similar row: cosine ``similarity`` and its facts; ``epoch`` is a number from 1."""

    night: str
    epoch: int | None
    similarity: float
    facts: dict[str, Any]


class CaseStore:
    """Embeddings of indexed nights in one folder, for one model.

    Parameters
    ----------
    folder : path
        The store; made when it is opened for writing.
    model_id : str
        Whose embeddings; with the dimension it names the collections.
    dimension : int
        Length of an embedding.
    write : bool
        Open for writing: takes the folder's lock until :meth:`close`.

    Raises
    ------
    StoreError
        Another writer holds the folder, the folder has no such store, or it was made with another
        model.
    """

    def __init__(
        self, folder: str | Path, model_id: str, dimension: int, *, write: bool = False
    ) -> None:
        self.folder = Path(folder)
        self.model_id = model_id
        self.dimension = int(dimension)
        self._lock: BaseFileLock | None = None
        self._client: Any = None
        self._columns: EpochColumns | None = None
        self._matrices: dict[str, np.ndarray] = {}
        if write:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = self._locked()
        elif not (self.folder / "chroma.sqlite3").exists():
            raise StoreError(
                f"{self.folder} holds no case store; make one with: sleeplm index NIGHT --store DIR"
            )
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    # ── opening and closing ──────────────────────────────────────────────────────────────────
    def __enter__(self) -> CaseStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def writable(self) -> bool:
        return self._lock is not None

    def close(self) -> None:
        """Let the folder go; a closed store answers nothing."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _locked(self) -> BaseFileLock:
        from filelock import FileLock, Timeout

        lock = FileLock(self.folder / _LOCK_NAME, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise StoreError(
                f"{self.folder} is being written by another process; wait until it is done"
            ) from None
        return lock

    def _open(self) -> None:
        import chromadb
        from chromadb.config import Settings

        # Its telemetry client logs errors even when it is switched off.
        logging.getLogger("chromadb.telemetry.product.posthog").setLevel(logging.CRITICAL)
        self._generation = self._read_generation()
        self._forget()
        try:
            self._client = chromadb.PersistentClient(
                path=str(self.folder), settings=Settings(anonymized_telemetry=False)
            )
            self._collections = {level: self._collection(level) for level in LEVELS}
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(
                f"{self.folder} cannot be opened as a case store ({type(error).__name__}); "
                "name another folder, or delete it and index again"
            ) from error

    def _model_name(self) -> str:
        digest = hashlib.sha256(self.model_id.encode()).hexdigest()[:12]
        return f"{digest}-{self.dimension}"

    def _name(self, level: str) -> str:
        return f"{level}-{self._model_name()}"

    def _collection(self, level: str) -> Any:
        name = self._name(level)
        if self.writable:
            self._finish_rebuilding(name)
        existing = {collection.name: collection for collection in self._client.list_collections()}
        expected = {
            "model_id": self.model_id,
            "dimension": self.dimension,
            "level": level,
            "schema": _SCHEMA,
        }
        if name in existing:
            known = existing[name].metadata or {}
            differing = [key for key, value in expected.items() if known.get(key) != value]
            if differing:
                raise StoreError(
                    f"{self.folder}: collection {name} says {differing[0]} "
                    f"{known.get(differing[0])!r}, expected {expected[differing[0]]!r}; "
                    "index the nights again in a new folder"
                )
            return self._client.get_collection(name, embedding_function=None)
        if self.writable:
            return self._client.create_collection(
                name,
                metadata=expected,
                embedding_function=None,
                configuration={"hnsw": HNSW},
            )
        others = sorted(
            {
                f"{(collection.metadata or {}).get('model_id')} "
                f"({(collection.metadata or {}).get('dimension')} dimensions)"
                for collection in existing.values()
            }
        )
        raise StoreError(
            f"{self.folder} was made with {', '.join(others) or 'no model'}, not with "
            f"{self.model_id} ({self.dimension} dimensions); open it with that model, or index the "
            "nights again with this one"
        )

    # ── writing ──────────────────────────────────────────────────────────────────────────────
    def put_night(
        self,
        night: str,
        epochs: Sequence[CaseRow],
        summary: CaseRow,
        *,
        made_from: str = "",
        progress: Callable[[str, float], None] | None = None,
    ) -> bool:
        """Keep a night; a night that is already kept unchanged costs nothing.

        The night's own row is written last, so an indexing that was cut off is taken up again.

        Parameters
        ----------
        night : str
            Pseudonym.
        epochs : sequence of CaseRow
            In order; row i is epoch number i + 1 where a row names none.
        summary : CaseRow
            The night as one row.
        made_from : str
            Digest of the recording, scoring and model that the rows come from, for
            :meth:`known`.

        Returns
        -------
        bool
            False where the night was there already and unchanged.

        Raises
        ------
        StoreError
            The store is read-only, or an embedding has the wrong length or is zero.
        """
        self._require_writer()
        numbers = [row.epoch or index for index, row in enumerate(epochs, start=1)]
        vectors = [
            self._vector(row.embedding, f"{night} epoch {number}")
            for number, row in zip(numbers, epochs, strict=True)
        ]
        night_vector = self._vector(summary.embedding, night)
        digest = _digest(vectors, [row.facts for row in epochs], summary.facts)
        kept = self._collections["nights"].get(ids=[night], include=["metadatas"])
        if kept["ids"] and kept["metadatas"][0].get("digest") == digest:
            return False
        with self._changing():
            if kept["ids"]:
                self._collections["nights"].delete(ids=[night])
            ids = [f"{night}:{number}" for number in numbers]
            for start in range(0, len(ids), BATCH_ROWS):
                part = slice(start, start + BATCH_ROWS)
                self._collections["epochs"].upsert(
                    ids=ids[part],
                    embeddings=vectors[part],
                    metadatas=[
                        {**row.facts, "night": night, "epoch": number}
                        for row, number in zip(epochs[part], numbers[part], strict=True)
                    ],
                )
                if progress is not None:
                    progress(f"indexing {night}", min(1.0, (start + BATCH_ROWS) / len(ids)))
            # Rows are written in order, so those of a longer version begin right after the last;
            # to look for them by a filter would cost more than writing a night.
            last = max(numbers, default=0)
            if self._collections["epochs"].get(ids=[f"{night}:{last + 1}"], include=[])["ids"]:
                self._collections["epochs"].delete(
                    where={"$and": [{"night": night}, {"epoch": {"$gt": last}}]}
                )
            NightVectors(self.folder, self._model_name()).save(
                night, np.array(vectors).reshape(-1, self.dimension), night_vector
            )
            self._collections["nights"].upsert(
                ids=[night],
                embeddings=[night_vector],
                metadatas=[
                    {
                        **summary.facts,
                        "night": night,
                        "n_epochs": len(ids),
                        "digest": digest,
                        "made_from": made_from,
                        COLUMNS_KEY: pack(numbers, [row.codes or NO_CODES for row in epochs]),
                    }
                ],
            )
        return True

    def remove(self, night: str) -> int:
        """Remove a night from every collection in the folder, also those of other models.

        Nothing of it stays in the folder's files: the rows are overwritten before they are deleted,
        the index and the log are written anew, and the database's free pages are given up.

        Returns
        -------
        int
            How many rows went.
        """
        self._require_writer()
        gone = 0
        touched: list[str] = []
        with self._changing():
            remove_vectors(self.folder, night)
            for collection in self._client.list_collections():
                bare = self._client.get_collection(collection.name, embedding_function=None)
                ids = bare.get(where={"night": night}, include=[])["ids"]
                if not ids:
                    continue
                for start in range(0, len(ids), BATCH_ROWS):
                    part = ids[start : start + BATCH_ROWS]
                    # A deleted vector stays in the index's file until its place is used again.
                    bare.update(ids=part, embeddings=_meaningless(bare, len(part)))
                    bare.delete(ids=part)
                gone += len(ids)
                touched.append(collection.name)
            if touched:
                self._purge(touched)
        return gone

    def _purge(self, names: Sequence[str]) -> None:
        """Have Chroma write out the index and empty its log, then clear what is unused."""
        for name in names:
            self._client.get_collection(name, embedding_function=None).modify(
                configuration={"hnsw": {"batch_size": 2, "sync_threshold": 2}}
            )
        self._reopen()  # a collection that is loaded keeps the thresholds that it began with
        for name in names:
            bare = self._client.get_collection(name, embedding_function=None)
            for vector in _meaningless(bare, 3):
                bare.upsert(ids=["purge"], embeddings=[vector], metadatas=[{"night": "purge"}])
                bare.delete(ids=["purge"])
            thresholds = {key: HNSW[key] for key in ("batch_size", "sync_threshold")}
            bare.modify(configuration={"hnsw": thresholds})
        self._scrub()

    def _scrub(self) -> None:
        self._client.close()
        try:
            scrub(self.folder)
        finally:
            self._open()

    def rebuild(self, progress: Callable[[str, float], None] | None = None) -> int:
        """Build the index anew from the rows of the nights that are kept completely.

        For an index that has grown slow or was damaged in part; no recording is needed. A
        rebuilding that is cut off leaves the store as it was.

        Returns
        -------
        int
            How many rows the new index holds.
        """
        self._require_writer()
        whole = set(self.nights())
        kept = 0
        with self._changing():
            for level in LEVELS:
                old, name = self._collections[level], self._name(level)
                new = self._client.create_collection(
                    name + _REBUILDING,
                    metadata=old.metadata,
                    embedding_function=None,
                    configuration={"hnsw": HNSW},
                )
                total = max(old.count(), 1)
                for start in range(0, total, BATCH_ROWS):
                    rows = old.get(
                        include=["embeddings", "metadatas"], limit=BATCH_ROWS, offset=start
                    )
                    chosen = [
                        i for i, facts in enumerate(rows["metadatas"]) if facts["night"] in whole
                    ]
                    if chosen:
                        new.add(
                            ids=[rows["ids"][i] for i in chosen],
                            embeddings=[rows["embeddings"][i] for i in chosen],
                            metadatas=[rows["metadatas"][i] for i in chosen],
                        )
                    kept += len(chosen)
                    if progress is not None:
                        progress(f"rebuilding {level}", min(1.0, (start + BATCH_ROWS) / total))
                new.modify(name=name + _REBUILT)
                self._client.delete_collection(name)
                self._finish_rebuilding(name)
                self._collections[level] = self._client.get_collection(
                    name, embedding_function=None
                )
            self._scrub()
        return kept

    def _finish_rebuilding(self, name: str) -> None:
        """Drop a half-built index; put a whole one whose place is free into it."""
        names = {collection.name for collection in self._client.list_collections()}
        if name + _REBUILDING in names:
            self._client.delete_collection(name + _REBUILDING)
        if name + _REBUILT not in names:
            return
        if name in names:
            self._client.delete_collection(name)
        whole = self._client.get_collection(name + _REBUILT, embedding_function=None)
        whole.modify(name=name)

    def _reopen(self) -> None:
        self._client.close()
        self._client = None
        self._open()

    def _vector(self, embedding: np.ndarray, name: str) -> np.ndarray:
        vector = np.asarray(embedding, dtype=np.float32)
        if vector.shape != (self.dimension,):
            raise StoreError(
                f"{name}: embedding of shape {vector.shape}, the store keeps ({self.dimension},)"
            )
        length = float(np.linalg.norm(vector))
        if not np.isfinite(length) or length < _SHORTEST_VECTOR:
            raise StoreError(f"{name}: the embedding is zero or not finite and has no direction")
        return vector / length

    def _require_writer(self) -> None:
        if not self.writable:
            raise StoreError(f"{self.folder} is open for reading; open it with write=True")

    # ── reading ──────────────────────────────────────────────────────────────────────────────
    def nights(self) -> list[str]:
        """Pseudonyms of the nights that are kept completely."""
        self._refresh()
        return sorted(self._collections["nights"].get(include=[])["ids"])

    def count(self, level: str) -> int:
        """How many epochs or nights are kept."""
        self._refresh()
        return int(self._collections[level].count())

    def known(self) -> dict[str, str]:
        """Night → digest of what it was made from, of the nights that are kept completely."""
        self._refresh()
        held = self._collections["nights"].get(include=["metadatas"])
        return {
            night: str(facts.get("made_from", ""))
            for night, facts in zip(held["ids"], held["metadatas"], strict=True)
        }

    def columns(self) -> EpochColumns:
        """Typed facts of all epochs, read once for each change of the store."""
        self._refresh()
        if self._columns is None:
            held = self._collections["nights"].get(include=["metadatas"])
            self._columns = EpochColumns(zip(held["ids"], held["metadatas"], strict=True))
        return self._columns

    def search(
        self,
        embedding: np.ndarray,
        limit: int = 5,
        *,
        level: str = "epochs",
        exclude_night: str | None = None,
        exclude: Sequence[tuple[str, int]] = (),
        filters: CaseFilter = _NO_FILTER,
    ) -> list[Hit]:
        """The nearest rows by cosine similarity, nearest first.

        Parameters
        ----------
        embedding : float array [dimension]
        limit : int
        level : "epochs" or "nights"
        exclude_night : str or None
            A night that is no answer.
        exclude : sequence of (night, epoch number)
            Epochs that are no answer, such as the query and its neighbours.
        filters : CaseFilter
            Which rows may be found.

        Raises
        ------
        StoreError
            An embedding of another length or without direction, an unknown level, or a filter of
            epochs on nights.
        """
        if level not in LEVELS:
            raise StoreError(f"level {level!r} is not known; use epochs or nights")
        vector = self._vector(embedding, "query")
        columns = self.columns()
        if level == "nights":
            if filters.limits_epochs:
                raise StoreError("a whole night has no stage, position, event or SpO2 to filter by")
            mask = columns.nights_allowed(filters, exclude_night)
        else:
            mask = columns.allowed(filters, exclude_night, exclude)
        return self._nearest(level, vector, limit, mask)

    def _nearest(self, level: str, vector: np.ndarray, limit: int, mask: np.ndarray) -> list[Hit]:
        """The nearest of the rows that ``mask`` allows: by the index, or exactly."""
        columns = self.columns()
        collection = self._collections[level]
        allowed = int(mask.sum())
        ranked: list[tuple[float, str]] = []
        if allowed and 2 * allowed >= len(mask):
            row_of = columns.row_of(level)
            look = self._query(collection, vector, limit + LOOK_ROWS)
            # Rows of a night that was cut off are in the index and in no column.
            ranked = [one for one in look if mask[row_of.get(one[1], -1)] and one[1] in row_of]
        if len(ranked) < min(limit, allowed):
            ranked = self._exact(level, vector, limit, mask)
        ranked = ranked[:limit]
        if not ranked:
            return []
        held = collection.get(ids=[row for _, row in ranked], include=["metadatas"])
        facts_of = dict(zip(held["ids"], held["metadatas"], strict=True))
        return [_hit(facts_of[row], 1.0 - distance) for distance, row in ranked if row in facts_of]

    def _exact(
        self, level: str, vector: np.ndarray, limit: int, mask: np.ndarray
    ) -> list[tuple[float, str]]:
        """Distance and id of the nearest allowed rows, by a matrix product."""
        rows = np.flatnonzero(mask)
        if not len(rows):
            return []
        matrix = self._matrix(level)
        # Taking rows out costs more than multiplying those that are not wanted.
        few = 5 * len(rows) < len(mask)
        similarity = matrix[rows] @ vector if few else (matrix @ vector)[rows]
        best = np.arange(len(rows))
        if len(rows) > limit:
            best = np.argpartition(-similarity, limit - 1)[:limit]
        best = best[np.argsort(-similarity[best], kind="stable")]
        ids = self.columns().ids_of(level)
        return [(1.0 - float(similarity[i]), str(ids[rows[i]])) for i in best]

    def _matrix(self, level: str) -> np.ndarray:
        """All vectors of a level, in the order of the columns."""
        if not self._matrices:
            columns = self.columns()
            counts = np.bincount(columns.night, minlength=len(columns.names)).tolist()
            epochs, nights = NightVectors(self.folder, self._model_name()).load(
                zip(columns.names, counts, strict=True), self._vectors_of, self.dimension
            )
            self._matrices = {"epochs": epochs, "nights": nights}
        return self._matrices[level]

    def _vectors_of(self, night: str, count: int) -> np.ndarray:
        """A night's rows from Chroma, where its file is gone."""
        columns = self.columns()
        index = columns.names.index(night)
        ids = columns.ids[columns.night == index].tolist()
        rows: dict[str, np.ndarray] = {}
        for start in range(0, count, BATCH_ROWS):
            held = self._collections["epochs"].get(
                ids=ids[start : start + BATCH_ROWS], include=["embeddings"]
            )
            rows.update(zip(held["ids"], held["embeddings"], strict=True))
        own = self._collections["nights"].get(ids=[night], include=["embeddings"])["embeddings"][0]
        return np.array([*(rows[one] for one in ids), own], dtype=np.float32)

    def _forget(self) -> None:
        self._columns, self._matrices = None, {}

    @staticmethod
    def _query(collection: Any, vector: np.ndarray, limit: int) -> list[tuple[float, str]]:
        """Distance and id of the nearest rows; facts are read later, for the few that are kept."""
        found = collection.query(
            query_embeddings=[vector],
            n_results=min(limit, max(collection.count(), 1)),
            include=["distances"],
        )
        return list(zip(found["distances"][0], found["ids"][0], strict=True))

    # ── readers and a writer ─────────────────────────────────────────────────────────────────
    def _read_generation(self) -> str:
        path = self.folder / _GENERATION_NAME
        return path.read_text() if path.exists() else ""

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Tell readers that rows changed, also when the change was cut off."""
        try:
            yield
        finally:
            known = self._read_generation()
            self._forget()
            self._generation = str(int(known) + 1 if re.fullmatch(r"\d+", known) else 1)
            (self.folder / _GENERATION_NAME).write_text(self._generation)

    def _refresh(self) -> None:
        if self._client is None:
            raise StoreError(f"{self.folder}: this store was closed; open it again")
        if not self.writable and self._read_generation() != self._generation:
            self._reopen()


def _hit(facts: dict[str, Any], similarity: float) -> Hit:
    return Hit(
        night=str(facts["night"]),
        epoch=int(facts["epoch"]) if "epoch" in facts else None,
        similarity=similarity,
        facts={key: value for key, value in facts.items() if key not in _OWN_KEYS},
    )


def _meaningless(collection: Any, count: int) -> list[np.ndarray]:
    """Drawn unit vectors of the collection's length (equal ones would make a poor graph)."""
    length = int((collection.metadata or {})["dimension"])
    drawn = np.random.default_rng().normal(size=(count, length)).astype(np.float32)
    return list(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def _digest(
    vectors: Sequence[np.ndarray],
    facts: Sequence[dict[str, Any]],
    summary: dict[str, Any],
) -> str:
    digest = hashlib.sha256()
    for vector in vectors:
        # The last bits differ between machines and thread counts.
        digest.update(np.round(vector, 3).astype(np.float32).tobytes())
    digest.update(repr([sorted(row.items()) for row in facts]).encode())
    digest.update(repr(sorted(summary.items())).encode())
    return digest.hexdigest()[:24]
