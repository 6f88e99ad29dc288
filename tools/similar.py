"""``find_similar``: epochs and nights that resemble an epoch, a sentence, or a night."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from sleeplm.scoring import EPOCH_S
from tools.arguments import SimilarArguments
from tools.artifacts import Case, Evidence, SimilarCases
from tools.calling import sleep_tool
from tools.cases import compared, epoch_facts, night_facts, night_vector
from tools.facts import NightFacts
from tools.failures import CannotAnswer, TryAgain

if TYPE_CHECKING:
    from tools.session import Session
    from tools.store import CaseStore, Hit

__all__ = ["NEIGHBOUR_EPOCHS", "find_similar", "similar"]

#: Epochs this close to the query continue it rather than resemble it.
NEIGHBOUR_EPOCHS = 2


def similar(session: Session, arguments: SimilarArguments) -> SimilarCases:
    """Find what resembles an epoch, a text, or the whole night.

    Parameters
    ----------
    session : Session
        Holds the night and the user's case store.
    arguments : SimilarArguments
        One query, how many results, and where to search.

    Returns
    -------
    SimilarCases
        Nearest first, by cosine similarity of the model's embeddings; never the query itself, its
        neighbours, or, across the store, its own night.

    Raises
    ------
    TryAgain
        An epoch outside the night.
    CannotAnswer
        A search of the store where none is open, or it is of another model.
    """
    facts = NightFacts.of(session)
    n_epochs = facts.night.n_epochs
    if arguments.epoch is not None and arguments.epoch > n_epochs:
        raise TryAgain(
            f"epoch {arguments.epoch} is not in this night; its epochs run from 1 to {n_epochs}"
        )
    level: Literal["epochs", "nights"] = "nights" if arguments.night else "epochs"
    query, words, own = _query(session, facts, arguments)
    if arguments.scope == "night":
        hits, searched = _in_night(facts, query, arguments, own)
    else:
        hits, searched = _in_store(session, facts, query, arguments, own, level)
    result = SimilarCases(
        source="model",
        night=facts.night.id,
        text="",
        query=words,
        level=level,
        searched=searched,
        hits=hits,
    )
    result.text = _text(result, arguments)
    result.evidence = [_evidence(case) for case in hits]
    return result


def _query(
    session: Session, facts: NightFacts, arguments: SimilarArguments
) -> tuple[np.ndarray, str, dict[str, str | int | float | bool]]:
    """The query's vector, its name in words, and its typed facts."""
    if arguments.night:
        return night_vector(facts), "this night", night_facts(session)
    if arguments.text is not None:
        vector = facts.night.model.encode_text([arguments.text])[0]
        return np.asarray(vector), f"'{arguments.text}'", {}
    assert arguments.epoch is not None
    index = arguments.epoch - 1
    own = epoch_facts(facts, index)
    words = f"epoch {arguments.epoch} ({own['clock']}, {own['stage']})"
    return facts.night.embeddings()[index], words, own


def _in_night(
    facts: NightFacts,
    query: np.ndarray,
    arguments: SimilarArguments,
    own: dict[str, str | int | float | bool],
) -> tuple[list[Case], int]:
    similarity = facts.night.embeddings() @ query
    allowed = np.ones(len(similarity), bool)
    if arguments.epoch is not None:
        distance = np.abs(np.arange(len(similarity)) - (arguments.epoch - 1))
        allowed = distance > NEIGHBOUR_EPOCHS
    if arguments.stage is not None:
        allowed &= np.array([facts.stage(i) == arguments.stage for i in range(len(allowed))])
    ranked = [int(i) for i in np.argsort(-similarity, kind="stable") if allowed[i]]
    cases = []
    for index in ranked[: arguments.limit]:
        theirs = epoch_facts(facts, index)
        cases.append(
            _case(facts.night.id, True, index + 1, float(similarity[index]), own, theirs, "epochs")
        )
    return cases, int(allowed.sum())


def _in_store(
    session: Session,
    facts: NightFacts,
    query: np.ndarray,
    arguments: SimilarArguments,
    own: dict[str, str | int | float | bool],
    level: Literal["epochs", "nights"],
) -> tuple[list[Case], int]:
    store = _store(session)
    here = facts.night.id
    exclude_night = None if arguments.text is not None else here
    hits: list[Hit] = store.search(
        query,
        arguments.limit,
        level=level,
        exclude_night=exclude_night,
        filters={"stage": arguments.stage} if arguments.stage is not None else None,
    )
    cases = [
        _case(hit.night, hit.night == here, hit.epoch, hit.similarity, own, hit.facts, level)
        for hit in hits
    ]
    return cases, store.count(level)


def _store(session: Session) -> CaseStore:
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


def _case(
    night: str,
    same_night: bool,
    epoch: int | None,
    similarity: float,
    own: dict[str, str | int | float | bool],
    theirs: dict[str, str | int | float | bool],
    level: Literal["epochs", "nights"],
) -> Case:
    agrees, differs = compared(own, theirs, level) if own else ([], [])
    events = str(theirs.get("events", ""))
    return Case(
        night=night,
        same_night=same_night,
        epoch=epoch,
        onset_s=(epoch - 1) * EPOCH_S if epoch is not None else None,
        clock=_text_or_none(theirs.get("clock")),
        stage=_text_or_none(theirs.get("stage")),
        position=_text_or_none(theirs.get("position")),
        events=events.split(", ") if events else [],
        similarity=round(similarity, 4),
        agrees=agrees,
        differs=differs,
    )


def _text_or_none(value: str | int | float | bool | None) -> str | None:
    return None if value is None else str(value)


def _case_words(case: Case) -> str:
    where = "" if case.same_night else f"{case.night}, "
    if case.epoch is None:
        place = case.night
    else:
        place = f"{where}epoch {case.epoch}, {case.clock}, {case.stage}"
        place += f", {case.position}" if case.position not in (None, "unknown") else ""
        place += f", {', '.join(case.events)}" if case.events else ""
    why = f"; agrees: {', '.join(case.agrees)}" if case.agrees else ""
    why += f"; differs: {', '.join(case.differs)}" if case.differs else ""
    return f"{place}; similarity {case.similarity:.3f}{why}"


def _text(result: SimilarCases, arguments: SimilarArguments) -> str:
    where = "this night" if arguments.scope == "night" else "the case store"
    if arguments.stage is not None:
        where = f"{'REM' if arguments.stage == 'R' else arguments.stage} of {where}"
    if not result.hits:
        return f"Nothing to compare {result.query} with: {where} holds no other {result.level}."
    lines = [
        f"The {len(result.hits)} {result.level} most like {result.query} in {where}, by the "
        f"model's embeddings [model], of {result.searched} compared (cosine similarity; it ranks "
        "and is no probability):"
    ]
    lines += [f"{rank}. {_case_words(case)}" for rank, case in enumerate(result.hits, start=1)]
    return "\n".join(lines)


def _evidence(case: Case) -> Evidence:
    here = case.same_night and case.onset_s is not None
    return Evidence(
        kind="case",
        source="model",
        text=_case_words(case),
        value=case.similarity,
        # A place in another night is no place in the open one.
        epoch=case.epoch if here else None,
        onset_s=case.onset_s if here else None,
        end_s=(case.onset_s or 0.0) + EPOCH_S if here else None,
        clock=case.clock if here else None,
        field="similarity",
    )


find_similar = sleep_tool(
    "find_similar",
    SimilarArguments,
    similar,
    "Find epochs that resemble one epoch or a description in words, in the open night or across "
    "the user's case store, or find nights that resemble the open night. Each result says which "
    "typed facts (stage, position, events, indices) agree and differ.",
)
