"""The case store: embeddings of epochs and nights, searched across nights with Chroma, in process.

One folder belongs to one user. Rows carry pseudonyms, epoch numbers and scored facts; no path, name
or header. Two processes that write one folder corrupt it without a word, so a store is opened for
writing behind a file lock; readers notice a writer's changes and open the folder again.
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

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["CaseRow", "CaseStore", "Hit"]

LEVELS = ("epochs", "nights")
#: Chroma takes 5,461 rows at most; a few hundred are fastest and keep memory small.
BATCH_ROWS = 500
#: How many rows of the night that is left out a search passes over before it filters.
SPARE_ROWS = 50
_LOCK_NAME = "writer.lock"
_GENERATION_NAME = "generation"
_SCHEMA = 1
_SHORTEST_VECTOR = 1e-6


@dataclass(frozen=True)
class CaseRow:
    """One epoch or night to keep.

    ``facts`` are the few typed fields that explain and filter a hit: stage, position, events …
    """

    embedding: np.ndarray
    facts: dict[str, str | int | float | bool] = field(default_factory=dict)
    epoch: int | None = None


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

    def _name(self, level: str) -> str:
        digest = hashlib.sha256(self.model_id.encode()).hexdigest()[:12]
        return f"{level}-{digest}-{self.dimension}"

    def _collection(self, level: str) -> Any:
        name = self._name(level)
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
                configuration={"hnsw": {"space": "cosine"}},
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
            self._collections["epochs"].delete(
                where={"$and": [{"night": night}, {"epoch": {"$gt": max(numbers, default=0)}}]}
            )
            self._collections["nights"].upsert(
                ids=[night],
                embeddings=[night_vector],
                metadatas=[
                    {**summary.facts, "night": night, "n_epochs": len(ids), "digest": digest}
                ],
            )
        return True

    def remove(self, night: str) -> int:
        """Remove a night from every collection in the folder, also those of other models.

        Returns
        -------
        int
            How many rows went.
        """
        self._require_writer()
        gone = 0
        with self._changing():
            for collection in self._client.list_collections():
                bare = self._client.get_collection(collection.name, embedding_function=None)
                ids = bare.get(where={"night": night}, include=[])["ids"]
                for start in range(0, len(ids), BATCH_ROWS):
                    bare.delete(ids=ids[start : start + BATCH_ROWS])
                gone += len(ids)
        return gone

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

    def search(
        self,
        embedding: np.ndarray,
        limit: int = 5,
        *,
        level: str = "epochs",
        exclude_night: str | None = None,
        exclude: Sequence[tuple[str, int]] = (),
        filters: dict[str, Any] | None = None,
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
        filters : dict or None
            Facts that must be equal, e.g. ``{"stage": "N3"}``.

        Raises
        ------
        StoreError
            An embedding of another length or without direction, or an unknown level.
        """
        if level not in LEVELS:
            raise StoreError(f"level {level!r} is not known; use epochs or nights")
        vector = self._vector(embedding, "query")
        self._refresh()
        collection = self._collections[level]
        conditions: list[dict[str, Any]] = [{key: value} for key, value in (filters or {}).items()]
        barred = set(exclude)

        def allowed(hits: list[Hit]) -> list[Hit]:
            return [
                hit
                for hit in hits
                if hit.night != exclude_night and (hit.night, hit.epoch) not in barred
            ][:limit]

        # A filter costs Chroma far more than rows too many, so the night is left out afterwards
        # as long as that leaves enough.
        spare = SPARE_ROWS if exclude_night is not None else 0
        hits = allowed(self._query(collection, vector, limit + len(exclude) + spare, conditions))
        if len(hits) < limit and exclude_night is not None:
            conditions = [*conditions, {"night": {"$ne": exclude_night}}]
            hits = allowed(self._query(collection, vector, limit + len(exclude), conditions))
        return hits

    def _query(
        self, collection: Any, vector: np.ndarray, limit: int, conditions: list[dict[str, Any]]
    ) -> list[Hit]:
        where = {"$and": conditions} if len(conditions) > 1 else next(iter(conditions), None)
        found = collection.query(
            query_embeddings=[vector],
            n_results=min(limit, max(collection.count(), 1)),
            where=where,
            include=["metadatas", "distances"],
        )
        return [
            Hit(
                night=str(facts["night"]),
                epoch=int(facts["epoch"]) if "epoch" in facts else None,
                similarity=1.0 - float(distance),
                facts={
                    key: value
                    for key, value in facts.items()
                    if key not in ("night", "epoch", "digest")
                },
            )
            for facts, distance in zip(found["metadatas"][0], found["distances"][0], strict=True)
        ]

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
            self._generation = str(int(known) + 1 if re.fullmatch(r"\d+", known) else 1)
            (self.folder / _GENERATION_NAME).write_text(self._generation)

    def _refresh(self) -> None:
        if self._client is None:
            raise StoreError(f"{self.folder}: this store was closed; open it again")
        if not self.writable and self._read_generation() != self._generation:
            self._client.close()
            self._client = None
            self._open()


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
