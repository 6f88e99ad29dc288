"""``find_similar``: epochs and nights that resemble an epoch, an event, a sentence, or a night."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from sleeplm.scoring import EPOCH_S, EVENT_KINDS
from tools.arguments import LocateArguments, SimilarArguments
from tools.artifacts import Case, Evidence, SimilarCases
from tools.calling import sleep_tool
from tools.cases import (
    NIGHT_FIELDS,
    compared,
    epoch_facts,
    night_facts,
    night_vector,
    searchable_store,
)
from tools.columns import CaseFilter
from tools.facts import NightFacts, event_words, kind_words
from tools.failures import CannotAnswer, TryAgain
from tools.vocabulary import read_query

if TYPE_CHECKING:
    from tools.session import Session
    from tools.store import Hit

__all__ = ["NEIGHBOUR_EPOCHS", "find_similar", "similar"]

#: Epochs this close to the query continue it rather than resemble it.
NEIGHBOUR_EPOCHS = 2
Facts = dict[str, str | int | float | bool]


@dataclass(frozen=True)
class _Query:
    """What is compared with: its vector, name and facts, and the epoch indices that it covers."""

    vector: np.ndarray
    words: str
    facts: Facts
    epochs: tuple[int, ...] = ()


def similar(session: Session, arguments: SimilarArguments) -> SimilarCases:
    """Find what resembles an epoch, an event, a text, or the whole night.

    Parameters
    ----------
    session : Session
        Holds the night and the user's case store.
    arguments : SimilarArguments
        One query, filters, how many results, and where to search.

    Returns
    -------
    SimilarCases
        Nearest first, by cosine similarity of the model's embeddings; never the query itself, its
        neighbours, or, across the store, its own night. Within the night every epoch is compared;
        a scoring is made only where a filter or an event needs one.

    Raises
    ------
    TryAgain
        An epoch or event that is not in the night, or a filter that names no scored event.
    CannotAnswer
        A search of the store where none is open, or it is of another model; or a filter on what was
        not recorded or scored.
    """
    wanted = _filter(arguments)
    facts = _facts(session, arguments, wanted)
    n_epochs = facts.night.n_epochs
    if arguments.epoch is not None and arguments.epoch > n_epochs:
        raise TryAgain(
            f"epoch {arguments.epoch} is not in this night; its epochs run from 1 to {n_epochs}"
        )
    level: Literal["epochs", "nights"] = "nights" if arguments.night else "epochs"
    if arguments.scope == "store":
        searchable_store(session)  # before minutes of reading
    query = _query(session, facts, arguments)
    if arguments.scope == "night":
        hits, searched = _in_night(facts, query, arguments.limit, wanted)
    else:
        hits, searched = _in_store(session, facts, query, arguments.limit, level, wanted)
    result = SimilarCases(
        source="model",
        night=facts.night.id,
        text="",
        query=query.words,
        level=level,
        searched=searched,
        hits=hits,
        filters=_filter_words(arguments),
    )
    result.text = _text(result, arguments)
    result.evidence = [_evidence(case) for case in hits]
    return result


def _filter(arguments: SimilarArguments) -> CaseFilter:
    kinds = {}
    for name in ("with_event", "without_event"):
        text = getattr(arguments, name)
        found = read_query(text).kinds if text else ()
        if text and (not found or any(kind not in EVENT_KINDS for kind in found)):
            raise TryAgain(
                f"{name} must name scored events, such as 'apnea', 'hypopnea', 'desaturation', "
                "'arousal' or 'leg movement'"
            )
        kinds[name] = tuple(found)
    return CaseFilter(
        stage=arguments.stage,
        position=arguments.position,
        events=kinds["with_event"],
        without_events=kinds["without_event"],
        spo2_from_pct=arguments.min_spo2_pct,
        spo2_to_pct=arguments.max_spo2_pct,
        nights={one.field: (one.low, one.high) for one in arguments.indices or ()},
    )


def _filter_words(arguments: SimilarArguments) -> list[str]:
    words: list[str] = []
    if arguments.stage is not None:
        words.append("REM" if arguments.stage == "R" else arguments.stage)
    if arguments.position is not None:
        words.append(f"{arguments.position} position")
    for how, text in (("with", arguments.with_event), ("without", arguments.without_event)):
        if text:
            named = " or ".join(kind_words(kind, 2) for kind in read_query(text).kinds)
            words.append(f"{how} {named}")
    low, high = arguments.min_spo2_pct, arguments.max_spo2_pct
    if low is not None or high is not None:
        words.append(f"lowest SpO2 {_range_words(low, high)} %")
    for one in arguments.indices or ():
        unit = NIGHT_FIELDS[one.field][0]
        words.append(f"{one.field.replace('_', ' ')} {_range_words(one.low, one.high)} {unit}")
    return words


def _range_words(low: float | None, high: float | None) -> str:
    if low is None:
        return f"at most {high:g}"
    return f"at least {low:g}" if high is None else f"{low:g} to {high:g}"


def _facts(session: Session, arguments: SimilarArguments, wanted: CaseFilter) -> NightFacts:
    """By the scoring at hand; one is made only where the question cannot do without."""
    kinds = [*wanted.events, *wanted.without_events]
    in_this_night = arguments.scope == "night"
    if in_this_night and kinds:
        facts = NightFacts.of(session, kinds)
        unsought = [kind for kind in kinds if not facts.scoring.looked_for(kind)]
        if set(unsought) == set(kinds):
            raise CannotAnswer(
                f"{kind_words(unsought[0], 2)} were not looked for by the {facts.event_source} "
                "scoring, so epochs with or without them cannot be told apart"
            )
    elif (in_this_night and wanted.stage) or arguments.night:
        facts = NightFacts.of(session)
    else:
        facts = NightFacts.at_hand(session)
    if in_this_night:
        bounds = (wanted.spo2_from_pct, wanted.spo2_to_pct)
        if any(bound is not None for bound in bounds) and facts.measured("spo2_min_pct") is None:
            raise CannotAnswer("SpO2 was not recorded in this night, so it cannot limit a search")
        if wanted.position is not None and not any(facts.positions):
            raise CannotAnswer("the body position was not recorded in this night")
    return facts


def _query(session: Session, facts: NightFacts, arguments: SimilarArguments) -> _Query:
    if arguments.night:
        return _Query(night_vector(facts), "this night", night_facts(session))
    if arguments.text is not None:
        vector = facts.night.model.encode_text([arguments.text])[0]
        return _Query(np.asarray(vector), f"'{arguments.text}'", {})
    if arguments.event is not None:
        return _event_query(session, facts, arguments)
    assert arguments.epoch is not None
    index = arguments.epoch - 1
    own = epoch_facts(facts, index)
    words = f"epoch {arguments.epoch} ({own['clock']}, {own['stage']})"
    return _Query(facts.night.embeddings()[index], words, own, (index,))


def _event_query(session: Session, facts: NightFacts, arguments: SimilarArguments) -> _Query:
    """The epochs that an event touches, each by the seconds that it covers."""
    from tools.locate import locate

    rank, order = arguments.event_rank, arguments.event_order
    listed = locate(
        session,
        LocateArguments.model_validate(
            {"query": arguments.event, "order": order, "limit": min(rank, 200)}
        ),
    )
    if listed.total < rank or len(listed.events) < rank:
        held = min(listed.total, 200)
        if not held:
            raise CannotAnswer(
                f"there is no {arguments.event} in this night [{listed.source}] to compare with"
            )
        raise TryAgain(f"event_rank runs from 1 to {held} for these events")
    event = listed.events[rank - 1]
    first = int(event.onset_s // EPOCH_S)
    last = min(max(int(np.ceil(event.end_s / EPOCH_S)), first + 1), facts.night.n_epochs)
    epochs = tuple(range(first, last))
    shares = [
        max(min(event.end_s, (i + 1) * EPOCH_S) - max(event.onset_s, i * EPOCH_S), 1e-3)
        for i in epochs
    ]
    mean = np.average(facts.night.embeddings()[list(epochs)], axis=0, weights=shares)
    vector = mean / max(float(np.linalg.norm(mean)), 1e-12)
    own = epoch_facts(facts, first)
    words = f"the {kind_words(event.kind)} [{event.source}] {event_words(event)}"
    return _Query(vector.astype(np.float32), words, own, epochs)


def _in_night(
    facts: NightFacts, query: _Query, limit: int, wanted: CaseFilter
) -> tuple[list[Case], int]:
    similarity = facts.night.embeddings() @ query.vector
    allowed = np.ones(len(similarity), bool)
    for epoch in query.epochs:
        allowed &= np.abs(np.arange(len(similarity)) - epoch) > NEIGHBOUR_EPOCHS
    allowed &= _fitting(facts, wanted)
    ranked = [int(i) for i in np.argsort(-similarity, kind="stable") if allowed[i]]
    cases = []
    for index in ranked[:limit]:
        theirs = epoch_facts(facts, index)
        found = float(similarity[index])
        cases.append(_case(facts.night.id, True, index + 1, found, query.facts, theirs, "epochs"))
    return cases, int(allowed.sum())


def _fitting(facts: NightFacts, wanted: CaseFilter) -> np.ndarray:
    """bool [n_epochs]: epochs of the open night that keep to the filter."""
    n_epochs = facts.night.n_epochs
    mask = np.ones(n_epochs, bool)
    if wanted.stage is not None:
        mask &= np.array([facts.stage(i) == wanted.stage for i in range(n_epochs)])
    if wanted.position is not None:
        mask &= np.array([position == wanted.position for position in facts.positions])
    for kinds, must in ((wanted.events, True), (wanted.without_events, False)):
        if kinds:
            touched = [bool(set(kinds) & set(facts.kinds_in(i))) for i in range(n_epochs)]
            mask &= np.array(touched) == must
    lowest = facts.measured("spo2_min_pct")
    if lowest is not None:
        # The store keeps tenths, so both searches judge the same value.
        tenths = np.round(lowest[:n_epochs], 1)
        with np.errstate(invalid="ignore"):
            if wanted.spo2_from_pct is not None:
                mask &= tenths >= wanted.spo2_from_pct
            if wanted.spo2_to_pct is not None:
                mask &= tenths <= wanted.spo2_to_pct
    return mask


def _in_store(
    session: Session,
    facts: NightFacts,
    query: _Query,
    limit: int,
    level: Literal["epochs", "nights"],
    wanted: CaseFilter,
) -> tuple[list[Case], int]:
    store = searchable_store(session)
    here = facts.night.id
    is_text = level == "epochs" and not query.epochs
    hits: list[Hit] = store.search(
        query.vector,
        limit,
        level=level,
        exclude_night=None if is_text else here,
        filters=wanted,
    )
    cases = [
        _case(
            hit.night, hit.night == here, hit.epoch, hit.similarity, query.facts, hit.facts, level
        )
        for hit in hits
    ]
    return cases, store.count(level)


def _case(
    night: str,
    same_night: bool,
    epoch: int | None,
    similarity: float,
    own: Facts,
    theirs: Facts,
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
        spo2_min_pct=_number_or_none(theirs.get("spo2_min_pct")),
        events=events.split(", ") if events else [],
        similarity=round(similarity, 4),
        agrees=agrees,
        differs=differs,
    )


def _text_or_none(value: str | int | float | bool | None) -> str | None:
    return None if value is None else str(value)


def _number_or_none(value: str | int | float | bool | None) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


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
    if result.filters:
        where += f" (only {', '.join(result.filters)})"
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
    "Find epochs that resemble an epoch, an event or a description in words, in the open night or "
    "across the user's case store, or find nights that resemble the open night; limited by stage, "
    "position, events, SpO2 or the night's indices (AHI ...). Each result says which typed facts "
    "(stage, position, events, SpO2, indices) agree and differ.",
)
