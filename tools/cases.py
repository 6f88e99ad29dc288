"""Nights as cases: what of an epoch and of a night goes into the store, and how alike two are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sleeplm.errors import StoreError
from tools.facts import NightFacts, kind_words
from tools.report import quantity_of
from tools.store import CaseRow, CaseStore

if TYPE_CHECKING:
    from sleeplm.night import Night
    from sleeplm.reader import SleepLM
    from tools.session import Session

__all__ = ["compared", "epoch_facts", "index_night", "night_facts", "night_vector", "open_store"]

#: Night-level facts that explain and filter hits: name → how far apart still agrees.
NIGHT_FIELDS: dict[str, tuple[str, float]] = {
    "ahi": ("/h", 5.0),
    "odi3": ("/h", 5.0),
    "arousal_index": ("/h", 5.0),
    "tst": ("min", 45.0),
    "sleep_efficiency": ("%", 10.0),
    "spo2_nadir": ("%", 4.0),
}
_EPOCH_WORDS = {"stage": "stage", "position": "position", "events": "events"}


def open_store(folder: str | Path, model: SleepLM, *, write: bool = False) -> CaseStore:
    """The case store of a folder, for a model's embeddings."""
    return CaseStore(folder, model.model_id, model.embed_dim, write=write)


def index_night(
    store: CaseStore,
    session: Session,
    progress: Callable[[str, float], None] | None = None,
) -> bool:
    """Keep the session's night in the store; False where it is there already, unchanged.

    Raises
    ------
    StoreError
        The store is of another model or open for reading only.
    """
    night = session.night
    _check_model(store, night)
    facts = NightFacts.of(session)
    rows = [
        CaseRow(vector, epoch_facts(facts, epoch), epoch + 1)
        for epoch, vector in enumerate(night.embeddings())
    ]
    summary = CaseRow(night_vector(facts), night_facts(session))
    return store.put_night(night.id, rows, summary, progress=progress)


def _check_model(store: CaseStore, night: Night) -> None:
    if store.model_id != night.model.model_id:
        raise StoreError(
            f"the case store was made with {store.model_id}, the night is read with "
            f"{night.model.model_id}; open both with one model"
        )


def epoch_facts(facts: NightFacts, epoch: int) -> dict[str, str | int | float | bool]:
    """Typed facts of one epoch index: few, since each key costs the store time."""
    return {
        "stage": facts.stage(epoch),
        "position": facts.positions[epoch] or "unknown",
        "events": ", ".join(kind_words(kind) for kind in facts.kinds_in(epoch)),
        "clock": facts.night.epoch_clock(epoch),
    }


def night_facts(session: Session) -> dict[str, str | int | float | bool]:
    """Typed facts of the session's night: the indices of its report that are known."""
    summary = session.night.summary(session.scoring)
    known = {name: quantity_of(summary, name) for name in NIGHT_FIELDS}
    return {
        name: round(float(quantity["value"]), 2)
        for name, quantity in known.items()
        if quantity is not None and quantity["value"] is not None
    }


def night_vector(facts: NightFacts) -> np.ndarray:
    """A night as one unit vector: the mean of its sleep epochs (of all, where none is sleep)."""
    embeddings = facts.night.embeddings()
    sleep = facts.is_sleep()
    mean = embeddings[sleep].mean(axis=0) if sleep.any() else embeddings.mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), dtype=np.float32)


def compared(query: dict[str, Any], hit: dict[str, Any], level: str) -> tuple[list[str], list[str]]:
    """Which facts of two epochs or nights agree and which differ, in words."""
    agrees: list[str] = []
    differs: list[str] = []
    if level == "epochs":
        for name, words in _EPOCH_WORDS.items():
            mine, other = str(query.get(name, "")), str(hit.get(name, ""))
            if "unknown" in (mine, other) or "unscored" in (mine, other):
                continue
            if mine == other:
                agrees.append(f"{words} {mine or 'none'}")
            else:
                differs.append(f"{words} {other or 'none'} against {mine or 'none'}")
        return agrees, differs
    for name, (unit, tolerance) in NIGHT_FIELDS.items():
        if name not in query or name not in hit:
            continue
        mine_value, other_value = float(query[name]), float(hit[name])
        words = name.replace("_", " ")
        text = f"{words} {other_value:.1f} {unit} against {mine_value:.1f} {unit}"
        (agrees if abs(mine_value - other_value) <= tolerance else differs).append(text)
    return agrees, differs
