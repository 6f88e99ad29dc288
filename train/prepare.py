"""A training corpus from folders of recordings or from simulated nights: ``sleeplm prepare``.

    sleeplm prepare nsrr/shhs nsrr/cfs --groups families.csv --out corpus --workers 16
    sleeplm prepare --simulate 48 --hours 6 --out corpus

One night is one task and one shard (:mod:`train.shards`). A shard that is there and was made from
the same file is kept, so a stopped run goes on where it was; ``manifest.json`` says which night is
in which shard, split and group, and which files failed and why. Shards and manifest do not depend
on how many processes, or which cluster, made them.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sleeplm.cache import write_atomically
from sleeplm.errors import SleepLMError
from sleeplm.runner import Outcome, run_tasks
from train.shards import FORMAT, description_of, write_shard

if TYPE_CHECKING:
    from sleeplm.scoring import Scoring

__all__ = ["SPLITS", "Manifest", "NightTask", "find_nights", "prepare", "subject_of"]

SPLITS = ("train", "validation", "test")
RECORDINGS = (".edf", ".bdf", ".rec")
MANIFEST = "manifest.json"
#: Seconds between two writings of the manifest while a run is under way.
MANIFEST_EVERY_S = 30.0

# File names of cohorts, as their data pages list them: what repeats of one person share. CFS is a
# study of families: give --groups, or relatives fall into different splits.
_COHORTS: tuple[tuple[str, str], ...] = (
    (r"shhs[12]-(\d+)", "shhs"),
    (r"mros-visit\d-([a-z]*\d+)", "mros"),
    (r"cfs-visit\d-(\d+)", "cfs"),
    (r"ccshs-trec-(\d+)", "ccshs"),
    (r"wsc-visit\d-(\d+)(?:-nsrr)?", "wsc"),
    (r"sof-visit-\d-(\d+)", "sof"),
    (r"mesa-sleep-(\d+)", "mesa"),
    (r"chat-(?:baseline|followup|nonrandomized)-(\d+)", "chat"),
    (r"sc4(\d\d)\d[a-z]\d-psg", "sleep-edf-sc"),
    (r"st7(\d\d)\d[a-z]\d-psg", "sleep-edf-st"),
)
# Where the archive keeps scorings: a tree beside `edfs` with the same folders below it.
_SCORING_TREES = (
    ("annotations-events-nsrr", "{stem}-nsrr.xml"),
    ("annotations-events-profusion", "{stem}-profusion.xml"),
)


@dataclass(frozen=True)
class NightTask:
    """One night to prepare; all that another process must know."""

    key: str
    shard: Path
    source: str
    path: Path | None = None
    scoring: Path | None = None
    simulate: dict[str, Any] | None = None
    automatic: bool = True


@dataclass
class Manifest:
    """What a corpus folder holds.

    ``nights``: key → ``{"shard", "group", "split", "epochs", "scorer"}``; ``failed``: key → why.
    """

    folder: Path
    nights: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def shards(self, split: str | None = None) -> list[Path]:
        """Shards of one split, or of all, in the order of their keys."""
        return [
            self.folder / night["shard"]
            for night in self.nights.values()
            if split is None or night["split"] == split
        ]

    def save(self) -> None:
        content = {
            "format": FORMAT,
            "nights": dict(sorted(self.nights.items())),
            "failed": dict(sorted(self.failed.items())),
        }
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        write_atomically(self.folder / MANIFEST, text)

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read a corpus folder's manifest.

        Raises
        ------
        SleepLMError
            There is none, it is damaged, or another version made it.
        """
        path = folder / MANIFEST
        try:
            content = json.loads(path.read_text("utf-8"))
            nights, failed, version = content["nights"], content["failed"], content["format"]
        except FileNotFoundError as error:
            raise SleepLMError(
                f"{folder}: holds no {MANIFEST}; make a corpus with sleeplm prepare"
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SleepLMError(
                f"{path}: is damaged; remove it and run sleeplm prepare again (shards are kept)"
            ) from error
        if version != FORMAT:
            raise SleepLMError(f"{path}: made by another version; prepare the corpus anew")
        return cls(folder, nights, failed)


# ── which nights ─────────────────────────────────────────────────────────────────────────────────
def subject_of(path: Path) -> str:
    """Whose night a recording is, by the file names of known cohorts; else the file's own name."""
    stem = path.stem.casefold()
    for pattern, cohort in _COHORTS:
        match = re.fullmatch(pattern, stem)
        if match:
            return f"{cohort}:{match.group(1)}"
    return stem


def scoring_of(path: Path) -> Path | None:
    """The scoring beside a recording, or in the archive's parallel tree of annotations."""
    from sleeplm.scoring_files import find_scoring

    for parent in path.parents:
        if parent.name.casefold() == "edfs":
            below = path.parent.relative_to(parent)
            for tree, name in _SCORING_TREES:
                candidate = parent.parent / tree / below / name.format(stem=path.stem)
                if candidate.is_file():
                    return candidate
    return find_scoring(path)


def find_nights(sources: Iterable[Path]) -> dict[str, Path]:
    """Recordings in files and folders, by their path below the source they were found in.

    Raises
    ------
    SleepLMError
        A source does not exist, holds no recording, or two sources hold the same relative path.
    """
    found: dict[str, Path] = {}
    for source in sources:
        if source.is_file():
            paths = [(source.name, source)]
        elif source.is_dir():
            paths = [
                (path.relative_to(source).as_posix(), path)
                for path in sorted(source.rglob("*"))
                if path.suffix.casefold() in RECORDINGS
                and path.is_file()
                and not path.stem.casefold().endswith("-hypnogram")
            ]
        else:
            raise SleepLMError(f"{source}: there is no such file or folder")
        if not paths:
            raise SleepLMError(f"{source}: holds no recording ({', '.join(RECORDINGS)})")
        for key, path in paths:
            if key in found:
                raise SleepLMError(
                    f"{key}: is in two sources; give their common parent folder instead"
                )
            found[key] = path
    return found


def read_groups(path: Path) -> dict[str, str]:
    """Groups (families) by subject, from a CSV with the columns ``subject`` and ``group``.

    A subject is written as in the file names, with or without its cohort (``cfs:800002`` or
    ``800002``).
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise SleepLMError(f"{path}: cannot be read ({error.strerror})") from error
    if not rows or not {"subject", "group"} <= set(rows[0]):
        raise SleepLMError(f"{path.name}: needs the columns subject and group")
    return {row["subject"].strip().casefold(): row["group"].strip() for row in rows}


def split_of(group: str, shares: Sequence[float], seed: int) -> str:
    """The split of a group: by a hash, so that it stays when other nights come or go."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    for name, share in zip(SPLITS, shares, strict=True):
        if place < share:
            return name
        place -= share
    return SPLITS[0]


# ── one night ────────────────────────────────────────────────────────────────────────────────────
def make_shard(task: NightTask) -> dict[str, Any]:
    """Prepare one night; returns its entry in the manifest without group and split."""
    from sleeplm.model.config import ModelConfig

    config = ModelConfig.embedded().input
    if task.simulate is not None:
        from train.simulate import simulate_night

        made = simulate_night(**task.simulate)
        signals, scoring, scorer = made.signals, made.scoring, "simulator"
    else:
        assert task.path is not None
        signals, scoring = _read(task)
        scorer = scoring.scorer.kind
    epochs = write_shard(task.shard, signals, scoring, config, scorer=scorer, source=task.source)
    return {"epochs": epochs, "scorer": scorer}


def _read(task: NightTask) -> tuple[dict[str, Any], Scoring]:
    from sleeplm.recording import read_recording
    from sleeplm.scoring_files import read_scoring

    assert task.path is not None
    recording = read_recording(task.path)
    recording.require_epochs()
    if task.scoring is not None:
        scoring = read_scoring(task.scoring, duration_s=recording.duration_s).aligned(
            recording.start, recording.n_epochs
        )
    elif task.automatic:
        from sleeplm.autoscore import autoscore

        scoring = autoscore(recording)
    else:
        raise SleepLMError(f"{task.path.name}: no scoring was found beside it")
    return recording.signals, scoring


def _entry_of(shard: Path, source: str) -> dict[str, Any] | None:
    """The manifest entry of a shard that was made before from the same source, or None."""
    from safetensors import SafetensorError, safe_open

    if not shard.exists():
        return None
    try:
        with safe_open(shard, framework="numpy") as file:
            described = description_of(file)
            if described is None or described["source"] != source:
                return None
            return {
                "epochs": int(file.get_slice("stages").get_shape()[0]),
                "scorer": described["scorer"],
            }
    except (OSError, SafetensorError):
        return None


# ── all of them ──────────────────────────────────────────────────────────────────────────────────
def prepare(
    out: Path,
    *,
    sources: Sequence[Path] = (),
    simulated: Sequence[dict[str, Any]] = (),
    groups: Mapping[str, str] | None = None,
    shares: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    automatic: bool = True,
    workers: int = 1,
    ray_address: str | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Manifest:
    """Make or complete a corpus.

    Parameters
    ----------
    out : Path
        Corpus folder.
    sources : sequence of Path
        Recordings and folders of recordings.
    simulated : sequence of dict
        Arguments of :func:`train.simulate.simulate_night`, one night each.
    groups : mapping, optional
        Subject → group whose nights must share a split (:func:`read_groups`); by default each
        subject is a group.
    shares : three floats
        Of the groups in train, validation and test; they add up to 1.
    seed : int
        Of the split.
    automatic : bool
        Score a night that nobody scored with :func:`sleeplm.autoscore.autoscore` (marked
        ``"automatic"``); otherwise it is left out and reported.
    workers, ray_address
        See :func:`sleeplm.runner.run_tasks`.
    progress : callable, optional
        Called with words and the share that is done.

    Returns
    -------
    Manifest
        Also written to ``out/manifest.json``. Nights that failed are in ``failed``.

    Raises
    ------
    SleepLMError
        Sources or shares cannot be used; not for a single bad recording.
    """
    if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise SleepLMError(f"splits {shares}: three shares that add up to 1 are needed")
    out.mkdir(parents=True, exist_ok=True)
    tasks: dict[str, NightTask] = {}
    group_of: dict[str, str] = {}
    for key, path in find_nights(sources).items():
        subject = subject_of(path)
        named = groups or {}
        group_of[key] = named.get(subject) or named.get(subject.rpartition(":")[2]) or subject
        state = path.stat()
        scoring = scoring_of(path)
        stamp = f"{state.st_size}:{state.st_mtime_ns}"
        if scoring is not None and scoring != path:
            stamp += f":{scoring.stat().st_size}:{scoring.stat().st_mtime_ns}"
        name = hashlib.sha256(key.encode()).hexdigest()[:16]
        tasks[key] = NightTask(
            key, out / f"{name}.safetensors", stamp, path, scoring, automatic=automatic
        )
    for entry in simulated:
        stamp = json.dumps(entry, sort_keys=True)
        key = f"simulated/{entry['seed']:06d}-{hashlib.sha256(stamp.encode()).hexdigest()[:8]}"
        group_of[key] = key
        name = key.replace("/", "-")
        tasks[key] = NightTask(key, out / f"{name}.safetensors", stamp, simulate=entry)

    manifest = Manifest(out)
    waiting: dict[str, NightTask] = {}

    def enter(key: str, entry: dict[str, Any]) -> None:
        group = group_of[key]
        manifest.nights[key] = {
            "shard": tasks[key].shard.name,
            "group": group,
            "split": split_of(group, shares, seed),
            **entry,
        }

    for key, task in tasks.items():
        known = _entry_of(task.shard, task.source)
        if known is None:
            waiting[key] = task
        else:
            enter(key, known)
    written = time.monotonic()

    def ended(outcome: Outcome[dict[str, Any]], done: int, of: int) -> None:
        nonlocal written
        if outcome.result is None:
            manifest.failed[outcome.key] = outcome.error or "failed"
        else:
            enter(outcome.key, outcome.result)
        if time.monotonic() - written > MANIFEST_EVERY_S:
            manifest.save()
            written = time.monotonic()
        if progress is not None:
            said = f"night {done} of {of}" + (
                f": {outcome.key} left out: {outcome.error}" if outcome.error else ""
            )
            progress(said, done / of)

    run_tasks(make_shard, waiting, workers=workers, ray_address=ray_address, progress=ended)
    manifest.nights = dict(sorted(manifest.nights.items()))
    manifest.save()
    return manifest
