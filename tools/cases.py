"""Nights as cases: what of an epoch and of a night goes into the store, and how alike two are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sleeplm.errors import StoreError
from tools.columns import row_facts
from tools.facts import NightFacts, kind_words
from tools.failures import CannotAnswer
from tools.report import quantity_of
from tools.store import CaseRow, CaseStore

if TYPE_CHECKING:
    from sleeplm.reader import SleepLM
    from tools.session import Session

__all__ = [
    "NIGHT_FIELDS",
    "NightRows",
    "compared",
    "epoch_facts",
    "index_night",
    "made_from",
    "night_facts",
    "night_rows",
    "night_vector",
    "open_store",
    "put_rows",
    "searchable_store",
]

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
#: Lowest SpO2 of two epochs that lie this close agree.
_SPO2_AGREES_PCT = 3.0
#: Bump when other facts are kept, so that ``sleeplm index`` makes old rows anew.
FACTS_VERSION = 2


@dataclass
class NightRows:
    """What the store keeps of a night, made where the night was read (another process, perhaps)."""

    night: str
    made_from: str
    model_id: str
    embeddings: np.ndarray | None = None
    facts: list[dict[str, str | int | float | bool]] = field(default_factory=list)
    codes: list[tuple[int, int, int, int]] = field(default_factory=list)
    summary_vector: np.ndarray | None = None
    summary_facts: dict[str, str | int | float | bool] = field(default_factory=dict)

    @property
    def n_epochs(self) -> int:
        return len(self.facts)

    def release(self) -> None:
        """Let the arrays go once they are in the store, so that nights do not pile up in memory."""
        self.embeddings, self.facts, self.codes = None, [], []


def open_store(
    folder: str | Path, model: SleepLM, *, write: bool = False, user: str | None = None
) -> CaseStore:
    """The case store of a folder, for a model's embeddings.

    Parameters
    ----------
    folder : path
    model : SleepLM
    write : bool
    user : str, optional
        Where several people share a folder: each has a store of its own below it, with its own
        files and lock, so that no search can find another's nights. The name is not kept.
    """
    chosen = Path(folder)
    if user is not None:
        chosen /= f"user-{hashlib.sha256(user.encode()).hexdigest()[:16]}"
    return CaseStore(chosen, model.model_id, model.embed_dim, write=write)


def made_from(session: Session) -> str:
    """Digest of what the session's rows depend on, told without reading the night by the model.

    Recording, scorer, and (for a scoring file) its content; the automatic scoring by the versions
    of its methods.
    """
    night = session.night
    wanted = session.scoring or night.choice
    if wanted is None:
        wanted = next(iter(night.scorings))
    parts = [str(FACTS_VERSION), night.recording.content_id, night.model.model_id, wanted]
    parts.append(repr(sorted(night.recording.sources.items())))
    if wanted == "expert":
        parts.append(repr(night.scoring_from("expert").to_json()))
    elif wanted == "automatic":
        from sleeplm.autoscore import method_versions

        parts.append(str(method_versions()))
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:24]


def night_rows(session: Session) -> NightRows:
    """Everything that the store keeps of the session's night; reads it with the model."""
    facts = NightFacts.of(session)
    night = session.night
    lowest = facts.measured("spo2_min_pct")
    kept = [epoch_facts(facts, epoch) for epoch in range(night.n_epochs)]
    codes = [
        row_facts(
            stage=facts.stage(epoch),
            position=facts.positions[epoch],
            events=facts.kinds_in(epoch),
            spo2_min_pct=None if lowest is None else float(lowest[epoch]),
        )
        for epoch in range(night.n_epochs)
    ]
    return NightRows(
        night=night.id,
        made_from=made_from(session),
        model_id=night.model.model_id,
        embeddings=night.embeddings(),
        facts=kept,
        codes=codes,
        summary_vector=night_vector(facts),
        summary_facts=night_facts(session),
    )


def put_rows(
    store: CaseStore, rows: NightRows, progress: Callable[[str, float], None] | None = None
) -> bool:
    """Keep a night's rows; False where they are there already, unchanged.

    Raises
    ------
    StoreError
        The store is of another model or open for reading only.
    """
    _check_model(store, rows.model_id)
    assert rows.embeddings is not None
    assert rows.summary_vector is not None
    cases = [
        CaseRow(vector, facts, number, codes)
        for number, (vector, facts, codes) in enumerate(
            zip(rows.embeddings, rows.facts, rows.codes, strict=True), start=1
        )
    ]
    summary = CaseRow(rows.summary_vector, rows.summary_facts)
    return store.put_night(rows.night, cases, summary, made_from=rows.made_from, progress=progress)


def index_night(
    store: CaseStore,
    session: Session,
    progress: Callable[[str, float], None] | None = None,
) -> bool:
    """Keep the session's night in the store; False where it is there already, unchanged.

    A night that was kept from the same recording, scoring and model is not read again.

    Raises
    ------
    StoreError
        The store is of another model or open for reading only.
    """
    _check_model(store, session.night.model.model_id)
    if store.known().get(session.night.id) == made_from(session):
        return False
    return put_rows(store, night_rows(session), progress)


def _check_model(store: CaseStore, model_id: str) -> None:
    if store.model_id != model_id:
        raise StoreError(
            f"the case store was made with {store.model_id}, the night is read with "
            f"{model_id}; open both with one model"
        )


def epoch_facts(facts: NightFacts, epoch: int) -> dict[str, str | int | float | bool]:
    """Typed facts of one epoch index: few, since each key costs the store time."""
    kept: dict[str, str | int | float | bool] = {
        "stage": facts.stage(epoch),
        "position": facts.positions[epoch] or "unknown",
        "events": ", ".join(kind_words(kind) for kind in facts.kinds_in(epoch)),
        "clock": facts.night.epoch_clock(epoch),
    }
    lowest = facts.measured("spo2_min_pct")
    if lowest is not None and np.isfinite(lowest[epoch]):
        kept["spo2_min_pct"] = round(float(lowest[epoch]), 1)
    return kept


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


def searchable_store(session: Session) -> CaseStore:
    """The session's case store, if this night can be compared with it.

    Raises
    ------
    CannotAnswer
        None is open, or it is of another model.
    """
    store = session.store
    if store is None:
        raise CannotAnswer(
            "no case store is open, so other nights cannot be searched; "
            "index nights first with: sleeplm index NIGHT --store DIR"
        )
    if store.model_id != session.night.model.model_id:
        raise CannotAnswer(
            f"the case store was made with {store.model_id} and this night is read with "
            f"{session.night.model.model_id}; their embeddings cannot be compared"
        )
    return store


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
        if "spo2_min_pct" in query and "spo2_min_pct" in hit:
            own, found = float(query["spo2_min_pct"]), float(hit["spo2_min_pct"])
            text = f"lowest SpO2 {found:.1f} % against {own:.1f} %"
            (agrees if abs(own - found) <= _SPO2_AGREES_PCT else differs).append(text)
        return agrees, differs
    for name, (unit, tolerance) in NIGHT_FIELDS.items():
        if name not in query or name not in hit:
            continue
        mine_value, other_value = float(query[name]), float(hit[name])
        words = name.replace("_", " ")
        text = f"{words} {other_value:.1f} {unit} against {mine_value:.1f} {unit}"
        (agrees if abs(mine_value - other_value) <= tolerance else differs).append(text)
    return agrees, differs
