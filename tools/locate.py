"""``locate_events``: find, count and list events, scored ones by name and others by description."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from sleeplm.errors import SleepLMError
from sleeplm.scoring import EPOCH_S, RESPIRATORY_KINDS, Event
from tools.arguments import LocateArguments, Order
from tools.artifacts import EventList, Evidence, FoundEvent
from tools.calling import sleep_tool
from tools.facts import NightFacts, counted, event_evidence, event_words, kind_words, place
from tools.failures import CannotAnswer
from tools.vocabulary import APNEAS, read_query

if TYPE_CHECKING:
    from sleeplm.night import Located
    from tools.session import Session
    from tools.when import Scope

__all__ = ["OPEN_VOCABULARY", "locate", "locate_events"]

#: Kind of an event that only the words of the query name.
OPEN_VOCABULARY = "described"
LEG_KINDS = {"limb_movement", "plm"}


def locate(session: Session, arguments: LocateArguments) -> EventList:
    """Find events in the session's night.

    Parameters
    ----------
    session : Session
        Holds the night and the choice of scoring.
    arguments : LocateArguments
        Query, scope, thresholds and order.

    Returns
    -------
    EventList
        Counts of all events that fit, and the first ``limit`` of them in the order asked for.

    Raises
    ------
    TryAgain
        A scope outside the recording.
    CannotAnswer
        Nothing recorded or read that could answer.
    """
    query = read_query(arguments.query)
    facts = NightFacts.of(session, query.kinds)
    unread = _unread(facts, query.kinds)
    scope = facts.scope(arguments.when)
    if query.kinds and not unread:
        events, words = _scored(facts, query.kinds), None
        note = _source_note(facts, query.kinds)
    else:
        located = facts.night.locate(arguments.query, scope.epochs)
        events, words = _described(facts, located), arguments.query.strip()
        why = "the model scores no such kind" if query.kinds else "this is no scored kind of event"
        note = (
            f"'{words}': {why}, so the model searched for the words. "
            "Scores rank its finds and are no probabilities."
        )
    min_duration_s = _stated(arguments.min_duration_s, query.min_duration_s)
    max_nadir_pct = _stated(arguments.max_nadir_pct, query.max_nadir_pct)
    inside, reaching = _in_scope(facts, scope, events, words)
    inside = _by_threshold(inside, min_duration_s, max_nadir_pct)
    reaching = _by_threshold(reaching, min_duration_s, max_nadir_pct)
    if max_nadir_pct is not None and facts.night.recording.channel("SPO2") is None:
        note += " SpO2 was not recorded, so only events with a scored nadir could be compared."
    if query.kinds and query.unused:
        note += f" Words of the query that were not used: {', '.join(query.unused)}."
    others = {} if words else _other_events(facts, query.kinds)
    inside = [_witnessed(event, others) for event in inside]
    sleep = facts.is_sleep() & scope.mask
    in_sleep = [event for event in inside if event.in_sleep]
    sleep_hours = float(sleep.sum() * EPOCH_S / 3600)
    listed = _ordered(inside, arguments.order)[: arguments.limit]
    result = EventList(
        source=inside[0].source if inside else ("model" if words else facts.event_source),
        night=facts.night.id,
        text="",
        scope=facts.view(scope),
        query=arguments.query,
        kinds=[] if words else list(query.kinds),
        order=arguments.order,
        total=len(inside),
        in_sleep=len(in_sleep),
        outside_sleep=len(inside) - len(in_sleep),
        sleep_hours=round(sleep_hours, 3),
        per_hour=round(len(in_sleep) / sleep_hours, 2) if sleep_hours else None,
        by_kind=_counts(event.kind for event in inside),
        by_stage=_counts(event.stage for event in inside),
        by_position=_counts(event.position or "unknown" for event in inside),
        per_hour_by_stage=_rates(in_sleep, sleep, facts, "stage"),
        per_hour_by_position=_rates(in_sleep, sleep, facts, "position"),
        other_sources={name: len(events) for name, events in others.items()},
        events=listed,
        reaching_in=reaching,
    )
    extremes = _extremes(inside)
    witnessed = Counter(source for event in inside for source in event.also_seen_by)
    thresholds = _threshold_words(min_duration_s, max_nadir_pct)
    result.text = _text(result, words, thresholds, extremes, witnessed, note)
    result.evidence = _evidence(result, words, thresholds, listed + extremes)
    return result


def _stated(argument: float | None, in_words: float | None) -> float | None:
    return in_words if argument is None else argument


def _scored(facts: NightFacts, kinds: tuple[str, ...]) -> list[Event]:
    return list(facts.scoring.events_of(kinds))


def _described(facts: NightFacts, located: list[Located]) -> list[Event]:
    # The allow-list of kinds has no entry for free words; "artifact" carries them until they are
    # told apart as OPEN_VOCABULARY in `_in_scope`.
    return [
        Event("artifact", where.onset_s, where.duration_s, confidence=where.score)
        for where in located
    ]


def _unread(facts: NightFacts, kinds: tuple[str, ...]) -> bool:
    """Whether the events are the model's and it does not score these kinds.

    Raises
    ------
    CannotAnswer
        It would, but the channels were not recorded; or no channel of the model shows them.
    """
    if facts.event_source != "model" or not kinds:
        return False
    from sleeplm.night import NEEDED_CHANNELS

    known = [kind for kind in kinds if kind in facts.night.model.event_kinds]
    known = [kind for kind in known if kind in NEEDED_CHANNELS]
    if not known and set(kinds) <= LEG_KINDS:
        raise CannotAnswer(
            f"{kind_words(kinds[0], 2)} were not scored in this night, and the model has no leg "
            "channel to see them in"
        )
    if not known:
        return True
    recording = facts.night.recording
    lacking = [
        " or ".join(group)
        for kind in known
        for group in NEEDED_CHANNELS[kind]
        if all(recording.channel(channel) is None for channel in group)
    ]
    if lacking:
        raise CannotAnswer(
            f"{kind_words(known[0], 2)} cannot be read in this night: it has no expert events and "
            f"no usable {', '.join(dict.fromkeys(lacking))} channel"
        )
    return False


def _in_scope(
    facts: NightFacts, scope: Scope, events: list[Event], words: str | None
) -> tuple[list[FoundEvent], list[FoundEvent]]:
    positions = facts.positions
    kind = OPEN_VOCABULARY if words else None

    def found(event: Event) -> FoundEvent:
        result = facts.found(event, kind)
        return result.model_copy(update={"source": "model"}) if words else result

    inside = [found(e) for e in events if scope.holds(e, facts.scoring, positions)]
    reaching = [found(e) for e in events if scope.is_reached_by(e, facts.scoring, positions)]
    return inside, reaching


def _by_threshold(
    events: list[FoundEvent], min_duration_s: float | None, max_nadir_pct: float | None
) -> list[FoundEvent]:
    if min_duration_s is not None:
        events = [event for event in events if event.duration_s >= min_duration_s]
    if max_nadir_pct is not None:
        events = [e for e in events if e.nadir_pct is not None and e.nadir_pct < max_nadir_pct]
    return events


def _ordered(events: list[FoundEvent], order: Order) -> list[FoundEvent]:
    keys = {
        "time": lambda event: event.onset_s,
        "longest": lambda event: -event.duration_s,
        "shortest": lambda event: event.duration_s,
        "deepest": lambda event: np.inf if event.nadir_pct is None else event.nadir_pct,
        "confidence": lambda event: -(event.confidence or 0.0),
    }
    return sorted(events, key=keys[order])


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _rates(
    in_sleep: list[FoundEvent], sleep: np.ndarray, facts: NightFacts, by: str
) -> dict[str, float]:
    """Events in sleep per hour of sleep, in each stage or position that sleep was spent in."""
    names = (
        [facts.stage(int(index)) for index in np.flatnonzero(sleep)]
        if by == "stage"
        else [facts.positions[index] or "unknown" for index in np.flatnonzero(sleep)]
    )
    epochs = Counter(names)
    events = Counter(
        event.stage if by == "stage" else (event.position or "unknown") for event in in_sleep
    )
    return {
        name: round(events[name] / (count * EPOCH_S / 3600), 2)
        for name, count in epochs.most_common()
    }


def _other_events(facts: NightFacts, kinds: tuple[str, ...]) -> dict[str, tuple[Event, ...]]:
    """Events of the other witnesses, where they sought the kinds.

    Those that have spoken already are named. Where no expert did, the model is asked too: two
    machines that disagree are what a reader of the count has to know.
    """
    others = {}
    for source in ("expert", "automatic", "model"):
        asked = source == "model" and facts.event_source == "automatic"
        if source == facts.event_source or not (asked or facts.night.at_hand(source)):
            continue
        try:
            scoring = facts.night.scorings[source]
        except SleepLMError:
            # A second witness that cannot speak (no weights) must not silence the first.
            continue
        if scoring.looked_for(kinds):
            others[source] = scoring.events_of(kinds)
    return others


def _witnessed(event: FoundEvent, others: dict[str, tuple[Event, ...]]) -> FoundEvent:
    """The event with the other scorings that hold one of the kinds asked for at its time."""
    seen_by = [
        source
        for source, events in others.items()
        if any(other.overlaps(event.onset_s, event.end_s) for other in events)
    ]
    return event.model_copy(update={"also_seen_by": seen_by}) if seen_by else event


def _source_note(facts: NightFacts, kinds: tuple[str, ...]) -> str:
    notes = []
    if facts.event_source != facts.stage_source:
        names = ", ".join(kind_words(kind, 2) for kind in kinds)
        instead = (
            "these are measured: falls of SpO2 by at least 3 points"
            if facts.event_source == "measured"
            else f"the events are the {facts.event_source}'s"
            if facts.event_source == "model"
            else "the events are those of the automatic scoring"
        )
        notes.append(f"The {facts.stage_source} scoring did not look for {names}, so {instead}.")
    elif facts.event_source == "model":
        notes.append(
            "These are the model's own stages and events, not the expert's."
            if "expert" in facts.night.scorings
            else "Nobody scored this night, so stages and events are the model's own reading."
        )
    elif facts.event_source == "automatic" and "expert" not in facts.night.scorings:
        notes.append(
            "Nobody scored this night by hand; stages and events are scored automatically (YASA "
            "and psgscoring)."
        )
    unsought = [kind for kind in kinds if not facts.scoring.looked_for(kind)]
    if unsought:
        names = ", ".join(kind_words(kind, 2) for kind in unsought)
        notes.append(f"Not looked for by this scoring: {names}.")
    if set(kinds) >= set(APNEAS) and facts.scoring.untyped_apneas:
        count = len(facts.scoring.untyped_apneas)
        notes.append(f"{count} further apneas were scored without a type and are not counted here.")
    if not facts.scoring.events_of(kinds):
        notes.append("This scoring holds none in the whole night.")
    return " ".join(notes)


def _extremes(events: list[FoundEvent]) -> list[FoundEvent]:
    if not events:
        return []
    picked = [max(events, key=lambda event: event.duration_s)]
    deep = [event for event in events if event.nadir_pct is not None]
    if deep:
        picked.append(min(deep, key=lambda event: event.nadir_pct or 0.0))
    return picked


def _threshold_words(min_duration_s: float | None, max_nadir_pct: float | None) -> str:
    words = []
    if min_duration_s is not None:
        words.append(f"at least {min_duration_s:g} s long")
    if max_nadir_pct is not None:
        words.append(f"with SpO2 below {max_nadir_pct:g} %")
    return " and ".join(words)


def _headline(result: EventList, words: str | None, thresholds: str) -> str:
    if words:
        name = f"{result.total} {'place' if result.total == 1 else 'places'} for '{words}'"
    elif len(result.kinds) == 1:
        name = counted(result.total, result.kinds[0])
    elif set(result.kinds) == set(RESPIRATORY_KINDS):
        name = f"{result.total} apneas and hypopneas"
    else:
        name = f"{result.total} events ({', '.join(kind_words(k, 2) for k in result.kinds)})"
    return f"{name}{' ' + thresholds if thresholds else ''} [{result.source}]"


def _text(
    result: EventList,
    words: str | None,
    thresholds: str,
    extremes: list[FoundEvent],
    witnessed: Counter[str],
    note: str,
) -> str:
    assert result.scope is not None
    lines = [f"{_headline(result, words, thresholds)} in {result.scope.text}."]
    if result.total:
        rate = (
            f", {result.per_hour:.1f} per hour of sleep ({result.sleep_hours:.2f} h of sleep)"
            if result.per_hour is not None
            else ""
        )
        lines.append(f"{result.in_sleep} during sleep{rate}; {result.outside_sleep} outside sleep.")
        if len(result.by_kind) > 1:
            lines.append(
                "By kind: " + _pairs({kind_words(k, 2): n for k, n in result.by_kind.items()})
            )
        lines.append("By stage: " + _pairs(result.by_stage, result.per_hour_by_stage))
        if set(result.by_position) - {"unknown"}:
            lines.append("By position: " + _pairs(result.by_position, result.per_hour_by_position))
        durations = [event.duration_s for event in extremes]
        longest = extremes[0]
        lines.append(
            f"Longest {durations[0]:.1f} s {place(longest.clock, longest.epoch, longest.stage)}."
        )
        if len(extremes) > 1:
            deepest = extremes[1]
            lines.append(
                f"Lowest SpO2 {deepest.nadir_pct:.1f} % [{deepest.nadir_source}] "
                f"{place(deepest.clock, deepest.epoch, deepest.stage)}."
            )
        order = {"time": "in order of time"}.get(result.order, f"{result.order} first")
        lines.append(f"Listed: {len(result.events)} of {result.total}, {order}:")
        several = len(result.by_kind) > 1
        for rank, event in enumerate(result.events, start=1):
            kind = f"{kind_words(event.kind)}, " if several else ""
            lines.append(f"{rank}. {kind}{event_words(event)}")
    if result.reaching_in:
        begun = ", ".join(f"{e.clock} epoch {e.epoch}" for e in result.reaching_in[:5])
        lines.append(
            f"{len(result.reaching_in)} more began before this part and reach into it "
            f"(not counted): {begun}."
        )
    for source, count in result.other_sources.items():
        lines.append(
            f"The {source} scoring has {count} in the whole night; {witnessed[source]} of the "
            f"{result.total} overlap one of them."
        )
    if note:
        lines.append(note)
    return "\n".join(lines)


def _pairs(counts: dict[str, int], rates: dict[str, float] | None = None) -> str:
    parts = []
    for name, count in counts.items():
        rate = (rates or {}).get(name)
        parts.append(
            f"{name} {count}" if rate is None else f"{name} {count} ({rate:.1f}/h of sleep)"
        )
    return ", ".join(parts) + "."


def _evidence(
    result: EventList, words: str | None, thresholds: str, events: list[FoundEvent]
) -> list[Evidence]:
    name = words or ("+".join(result.kinds) if result.kinds else result.query)
    facts = [
        Evidence(
            kind="quantity",
            source=result.source,
            text=_headline(result, words, thresholds),
            value=float(result.total),
            unit="events",
            field=name,
        )
    ]
    if result.per_hour is not None:
        facts.append(
            Evidence(
                kind="quantity",
                source=result.source,
                text=f"{result.per_hour:.1f} per hour of sleep",
                value=result.per_hour,
                unit="/h",
                field=f"{name} per hour of sleep",
            )
        )
    unique = {(event.kind, event.onset_s): event for event in events}
    return facts + event_evidence(list(unique.values()), words)


locate_events = sleep_tool(
    "locate_events",
    LocateArguments,
    locate,
    "Find, count and list events of the open night: apneas (obstructive, central, mixed), "
    "hypopneas, desaturations, arousals, limb movements, snoring, heart rate events, or anything "
    "else described in words. Returns counts (total, per hour of sleep, by stage and position), "
    "the longest and the deepest, and a list with clock times and epoch numbers. Use it for every "
    "question about how many, when, where, the longest, or the deepest.",
)
