"""Keep many nights in the case store: read in parallel, written by one.

    sleeplm index nights/*.edf --workers 4

One night is one task of :func:`sleeplm.runner.run_tasks` (this machine's processes or a Ray
cluster); the process that holds the store's lock inserts what comes back. A night that was kept
from the same recording, scoring and model is not read by the model again, and one that fails is
reported and does not stop the rest; so a run that was cut off goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sleeplm.errors import QueryError, StoreError
from sleeplm.runner import Outcome, run_tasks
from tools.cases import NightRows, made_from, night_rows, open_store, put_rows

if TYPE_CHECKING:
    from sleeplm.reader import SleepLM
    from tools.store import CaseStore

__all__ = [
    "IndexTask",
    "Indexed",
    "index_nights",
    "read_rows",
    "rebuild_store",
    "recordings_in",
    "remove_nights",
]

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class IndexTask:
    """One night to read; all that another process must know."""

    path: Path
    model: str | None = None
    scoring: str | None = None
    mapping: Mapping[str, str] | None = None
    known: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Indexed:
    """What became of the nights.

    Parameters
    ----------
    nights : dict of pseudonym → {"epochs", "added"}
        ``epochs`` is None where a kept night was not read again.
    failed : dict of file name → why
    held : dict of level → rows in the store afterwards
    """

    nights: dict[str, dict[str, int | bool | None]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)


@cache
def _reader(model: str | None) -> SleepLM:
    """The weights, loaded once in each process."""
    from sleeplm.reader import SleepLM

    return SleepLM.from_pretrained(model)


def read_rows(task: IndexTask) -> NightRows:
    """Read one night for the store; rows without arrays where it is kept already, unchanged."""
    from sleeplm.night import Night
    from tools.session import Session

    mapping = dict(task.mapping) if task.mapping is not None else None
    reader = _reader(task.model)
    night = Night.open(task.path, scoring=task.scoring, model=reader, mapping=mapping)
    session = Session.of(night)
    digest = made_from(session)
    if task.known.get(night.id) == digest:
        return NightRows(night.id, digest, reader.model_id)
    return night_rows(session)


def recordings_in(sources: Sequence[Path]) -> list[Path]:
    """Recordings in files and folders, each once, in the order given.

    Raises
    ------
    QueryError
        A folder holds no recording.
    """
    found: dict[Path, None] = {}
    for source in sources:
        if not source.is_dir():
            found[source] = None
            continue
        inside = [
            path
            for path in sorted(source.rglob("*"))
            if path.suffix.lower() in (".edf", ".bdf", ".rec")
            and not path.stem.lower().endswith("-hypnogram")
        ]
        if not inside:
            raise QueryError(f"{source}: holds no recording (.edf, .bdf, .rec)")
        found.update(dict.fromkeys(inside))
    return list(found)


def index_nights(
    folder: Path,
    paths: Sequence[Path],
    *,
    model: str | None = None,
    scoring: str | None = None,
    mapping: Mapping[str, str] | None = None,
    workers: int = 1,
    ray_address: str | None = None,
    anew: bool = False,
    progress: Progress | None = None,
) -> Indexed:
    """Keep recordings in the store of a folder.

    Parameters
    ----------
    folder : Path
        The store; made where there is none.
    paths : sequence of Path
        Recordings, or folders of them.
    model, scoring, mapping
        As for :meth:`sleeplm.night.Night.open`.
    workers, ray_address
        As for :func:`sleeplm.runner.run_tasks`.
    anew : bool
        Read and write every night, also those that are kept already, and build the index anew.
    progress : callable, optional

    Returns
    -------
    Indexed

    Raises
    ------
    StoreError
        Another process writes the folder, or its store is of another model.
    SleepLMError
        Ray was asked for and does not answer, or the weights cannot be loaded.
    """
    reader = _reader(model)
    recordings = recordings_in(paths)
    done = Indexed()
    with open_store(folder, reader, write=True) as store:
        known = {} if anew else store.known()
        tasks = {str(path): IndexTask(path, model, scoring, mapping, known) for path in recordings}

        def keep(outcome: Outcome[NightRows], finished: int, total: int) -> None:
            name = Path(outcome.key).name
            if progress is not None:
                progress(f"kept {finished} of {total} nights", finished / total)
            if outcome.result is None:
                done.failed[name] = str(outcome.error)
                return
            _keep(store, outcome.result, done, name)

        run_tasks(read_rows, tasks, workers=workers, ray_address=ray_address, progress=keep)
        if anew:
            store.rebuild(progress)
        done.held = {level: store.count(level) for level in ("nights", "epochs")}
    return done


def rebuild_store(
    folder: Path,
    *,
    model: str | None = None,
    anew: bool = True,
    progress: Progress | None = None,
) -> Indexed:
    """Build the index of a store anew from its own rows; no recording is read.

    ``anew=False`` only counts what it holds.
    """
    with open_store(_existing(folder), _reader(model), write=True) as store:
        if anew:
            store.rebuild(progress)
        held = {level: store.count(level) for level in ("nights", "epochs")}
    return Indexed(held=held)


def remove_nights(
    folder: Path, nights: Sequence[str], *, model: str | None = None
) -> dict[str, int]:
    """Take nights out of a store completely; pseudonym → how many rows went."""
    with open_store(_existing(folder), _reader(model), write=True) as store:
        return {night: store.remove(night) for night in nights}


def _existing(folder: Path) -> Path:
    if not folder.exists():
        raise StoreError(f"{folder}: there is no case store; make one with sleeplm index NIGHT…")
    return folder


def _keep(store: CaseStore, rows: NightRows, done: Indexed, name: str) -> None:
    if rows.embeddings is None:
        done.nights[rows.night] = {"epochs": None, "added": False}
        return
    count = rows.n_epochs
    try:
        added = put_rows(store, rows)
    except StoreError as error:
        done.failed[name] = str(error)
        return
    finally:
        rows.release()
    done.nights[rows.night] = {"epochs": count, "added": added}
