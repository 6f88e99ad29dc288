"""``locate_events``: find, count and list events, scored ones by name and others by description."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from sleeplm.errors import SleepLMError
from sleeplm.hypopneas import DEPTH_TOLERANCE_PCT
from sleeplm.night import SCORING_CHOICES
from sleeplm.scoring import EPOCH_S, EVENT_KINDS, RESPIRATORY_KINDS, Event
from tools.arguments import LocateArguments, Order
from tools.artifacts import EventList, Evidence, FoundEvent
from tools.calling import sleep_tool
from tools.company import LEG_KINDS, Company, by_company, company_line
from tools.facts import NightFacts, counted, event_evidence, event_words, kind_words, place
from tools.failures import CannotAnswer, TryAgain
from tools.measured import MeasuredEvent, MeasuredEvents, measured_events
from tools.terms import explained
from tools.vocabulary import APNEAS, MEASURED_ONLY, EventQuery, read_query

if TYPE_CHECKING:
    from sleeplm.night import Located
    from sleeplm.scoring import Scoring
    from tools.session import Session
    from tools.when import Scope

__all__ = ["OPEN_VOCABULARY", "locate", "locate_events"]

#: Kind of an event that only the words of the query name.
OPEN_VOCABULARY = "described"
#: Events that are measured one by one where that is asked for.
MOST_EXPLAINED = 20


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
    limits = _Limits.of(arguments, query)
    facts = NightFacts.of(session, query.kinds)
    scope = facts.scope(arguments.when)
    found = _search(facts, scope, arguments.query, query)
    words, note = found.words, found.note
    inside = [event for event in found.inside if limits.allow(event)]
    reaching = [event for event in found.reaching if limits.allow(event)]
    if limits.need_spo2 and facts.night.recording.channel("SPO2") is None:
        note += " SpO2 was not recorded, so only events with a scored depth could be compared."
    if query.kinds and query.unused:
        note += f" Words of the query that were not used: {', '.join(query.unused)}."
    kinds = tuple(kind for kind in query.kinds if kind in EVENT_KINDS)
    others = {} if words or len(kinds) < len(query.kinds) else _other_scorings(facts, kinds)
    theirs = {
        source: _their_events(facts, scope, scoring, source, kinds, limits)
        for source, scoring in others.items()
    }
    everywhere = {source: scoring.events_of(kinds) for source, scoring in others.items()}
    inside = [_witnessed(event, everywhere) for event in inside]
    if arguments.seen_by is not None:
        inside = _by_witnesses(inside, everywhere, arguments.seen_by)
    company = Company.of(session, arguments)
    if company.words or arguments.seen_by is not None:
        # The others' counts are of all their events: beside these they would mislead.
        theirs = {}
    inside = [event for event in inside if company.allow(event)]
    reaching = [event for event in reaching if company.allow(event)]
    note = " ".join(filter(None, (note, company.note)))
    sleep = facts.is_sleep() & scope.mask
    in_sleep = [event for event in inside if event.in_sleep]
    sleep_hours = float(sleep.sum() * EPOCH_S / 3600)
    listed = _ordered(inside, arguments.order)[: arguments.limit]
    if arguments.explain:
        listed = [explained(facts.night, event) for event in listed[:MOST_EXPLAINED]]
    result = EventList(
        source=inside[0].source if inside else ("model" if words else found.source),
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
        per_hour=round(len(in_sleep) / sleep_hours, 4) if sleep_hours else None,
        by_kind=_counts(event.kind for event in inside),
        by_stage=_counts(event.stage for event in inside),
        by_position=_counts(event.position or "unknown" for event in inside),
        per_hour_by_stage=_rates(in_sleep, sleep, facts, "stage"),
        per_hour_by_position=_rates(in_sleep, sleep, facts, "position"),
        other_sources={source: events.total for source, events in theirs.items()},
        only_there=_only_there(everywhere, facts.scoring.events_of(kinds), scope)
        if arguments.seen_by == "one"
        else {},
        other_per_hour={
            source: events.per_hour
            for source, events in theirs.items()
            if events.per_hour is not None
        },
        by_hour=_by_hour(facts, in_sleep),
        by_company=by_company(session, inside) if query.kinds == ("arousal",) else {},
        events=listed,
        reaching_in=reaching,
    )
    _add_durations(result, inside)
    extremes = _extremes(inside)
    witnessed = Counter(source for event in inside for source in event.also_seen_by)
    thresholds = " and ".join(filter(None, (limits.words(), company.words, _seen(arguments))))
    result.text = _text(result, words, thresholds, extremes, witnessed, note)
    result.evidence = _evidence(result, words, thresholds, listed + extremes)
    return result


@dataclass(frozen=True)
class _Limits:
    """Limits of duration and depth, from the arguments, else from the words of the query."""

    min_duration_s: float | None = None
    max_duration_s: float | None = None
    max_nadir_pct: float | None = None
    min_depth_pct: float | None = None

    @classmethod
    def of(cls, arguments: LocateArguments, query: EventQuery) -> _Limits:
        names = [field.name for field in fields(cls)]
        given = {name: getattr(arguments, name) for name in names}
        worded = {name: getattr(query, name) for name in names}
        chosen = {name: worded[name] if given[name] is None else given[name] for name in names}
        return cls(**chosen)

    @property
    def need_spo2(self) -> bool:
        return self.max_nadir_pct is not None or self.min_depth_pct is not None

    def allow(self, event: FoundEvent) -> bool:
        """Whether an event keeps to all limits; one of unknown depth keeps to no limit of depth."""
        if self.min_duration_s is not None and event.duration_s < self.min_duration_s:
            return False
        if self.max_duration_s is not None and event.duration_s > self.max_duration_s:
            return False
        nadir, depth = event.nadir_pct, event.depth_pct
        if self.max_nadir_pct is not None and (nadir is None or nadir >= self.max_nadir_pct):
            return False
        least = self.min_depth_pct
        return least is None or (depth is not None and depth >= least - DEPTH_TOLERANCE_PCT)

    def words(self) -> str:
        words = []
        if self.min_duration_s is not None:
            words.append(f"at least {self.min_duration_s:g} s long")
        if self.max_duration_s is not None:
            words.append(f"at most {self.max_duration_s:g} s long")
        if self.min_depth_pct is not None:
            words.append(f"with a fall of SpO2 of at least {self.min_depth_pct:g} %")
        if self.max_nadir_pct is not None:
            words.append(f"with SpO2 below {self.max_nadir_pct:g} %")
        return " and ".join(words)


@dataclass(frozen=True)
class _Found:
    """What a search came back with: events in scope and reaching in, whose, and what to say."""

    inside: list[FoundEvent]
    reaching: list[FoundEvent]
    source: str
    words: str | None
    note: str


@dataclass(frozen=True)
class _Theirs:
    """The count of another witness in the same part."""

    total: int
    per_hour: float | None


def _by_hour(facts: NightFacts, in_sleep: list[FoundEvent]) -> dict[str, int]:
    """Events in sleep by hours of the recording, named by the clock at which each begins."""
    hours = range(int(np.ceil(facts.night.duration_s / 3600)))
    if len(hours) < 2:
        return {}
    counts = Counter(int(event.onset_s // 3600) for event in in_sleep)
    return {facts.night.clock(3600.0 * hour): counts[hour] for hour in hours}


def _by_witnesses(
    events: list[FoundEvent], others: dict[str, tuple[Event, ...]], seen_by: str
) -> list[FoundEvent]:
    if not others:
        raise CannotAnswer("only one scoring of these events is at hand, so none can be compared")
    if seen_by == "all":
        return [event for event in events if len(event.also_seen_by) == len(others)]
    return [event for event in events if not event.also_seen_by]


def _only_there(
    others: dict[str, tuple[Event, ...]], own: tuple[Event, ...], scope: Scope
) -> dict[str, int]:
    """How many events of each other witness overlap none of ours, among those that begin here."""

    def is_here(event: Event) -> bool:
        return any(start <= event.onset_s < end for start, end in scope.spans)

    return {
        source: sum(
            is_here(event) and not any(mine.overlaps(event.onset_s, event.end_s) for mine in own)
            for event in events
        )
        for source, events in others.items()
    }


def _seen(arguments: LocateArguments) -> str:
    words = {"all": "seen by every scoring at hand", "one": "seen by no other scoring"}
    return words.get(arguments.seen_by or "", "")


def _search(facts: NightFacts, scope: Scope, text: str, query: EventQuery) -> _Found:
    """Events by the scoring that answers rest on, by measurement, or by the model's search."""
    unscored = [kind for kind in query.kinds if kind in MEASURED_ONLY]
    if len(query.kinds) == 1 and unscored:
        measured = measured_events(facts.night, unscored[0])
        if measured is not None:
            return _measured_search(facts, scope, measured)
        if unscored == ["position_change"]:
            raise CannotAnswer("the body position was not recorded in this night")
    if query.kinds and not unscored and not _unread(facts, query.kinds):
        events = _scored(facts, query.kinds)
        inside, reaching = _in_scope(facts, scope, events, None)
        note = _source_note(facts, query.kinds)
        return _Found(inside, reaching, facts.event_source, None, note)
    if query.kinds and len(unscored) < len(query.kinds) and unscored:
        raise TryAgain(
            f"ask for {kind_words(unscored[0], 2)} by themselves: they are not scored like "
            "breathing events, arousals and desaturations"
        )
    located = facts.night.locate(text, scope.epochs)
    inside, reaching = _in_scope(facts, scope, _described(facts, located), text.strip())
    why = "the model scores no such kind" if query.kinds else "this is no scored kind of event"
    if unscored:
        why = "these are not measured in this night"
    note = (
        f"'{text.strip()}': {why}, so the model searched for the words. "
        "Scores rank its finds and are no probabilities."
    )
    return _Found(inside, reaching, "model", text.strip(), note)


def _measured_search(facts: NightFacts, scope: Scope, measured: MeasuredEvents) -> _Found:
    def found(one: MeasuredEvent) -> FoundEvent:
        carrier = Event("artifact", one.onset_s, one.duration_s, one.channel or None)
        event = facts.found(carrier, one.kind, one.detail)
        return event.model_copy(update={"source": "measured"})

    inside, reaching = [], []
    for one in measured.events:
        carrier = Event("artifact", one.onset_s, one.duration_s)
        if scope.holds(carrier, facts.scoring, facts.positions):
            inside.append(found(one))
        elif scope.is_reached_by(carrier, facts.scoring, facts.positions):
            reaching.append(found(one))
    return _Found(inside, reaching, "measured", None, f"These are measured: {measured.rule}.")


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


def _add_durations(result: EventList, events: list[FoundEvent]) -> None:
    """Mean, median and sum of the durations; none where there are no events."""
    lengths_s = [event.duration_s for event in events]
    if lengths_s:
        result.mean_duration_s = round(float(np.mean(lengths_s)), 2)
        result.median_duration_s = round(float(np.median(lengths_s)), 2)
        result.total_duration_s = round(float(np.sum(lengths_s)), 2)


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
        name: round(events[name] / (count * EPOCH_S / 3600), 4)
        for name, count in epochs.most_common()
    }


def _other_scorings(facts: NightFacts, kinds: tuple[str, ...]) -> dict[str, Scoring]:
    """The other witnesses that sought the kinds.

    Those that have spoken already are named. Where no expert did, the model is asked too: two
    machines that disagree are what a reader of the count has to know.
    """
    others = {}
    for source in SCORING_CHOICES:
        asked = source == "model" and facts.event_source == "automatic"
        if source == facts.event_source or not (asked or facts.night.at_hand(source)):
            continue
        try:
            scoring = facts.night.scorings[source]
        except SleepLMError:
            # A second witness that cannot speak (no weights) must not silence the first.
            continue
        if scoring.looked_for(kinds):
            others[source] = scoring
    return others


def _their_events(
    facts: NightFacts,
    scope: Scope,
    scoring: Scoring,
    source: str,
    kinds: tuple[str, ...],
    limits: _Limits,
) -> _Theirs:
    """How many another witness has in the same part, by its own stages and the same limits."""
    theirs = NightFacts(facts.night, scoring, source, source)
    events = [
        theirs.found(event)
        for event in scoring.events_of(kinds)
        if scope.holds(event, scoring, facts.positions)
    ]
    kept = [event for event in events if limits.allow(event)]
    asleep = theirs.is_sleep() & scope.mask_by(scoring)
    hours = float(asleep.sum() * EPOCH_S / 3600)
    in_sleep = sum(event.in_sleep for event in kept)
    return _Theirs(len(kept), round(in_sleep / hours, 4) if hours else None)


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
            f"these are measured: {_rule(facts, kinds)}"
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


def _rule(facts: NightFacts, kinds: tuple[str, ...]) -> str:
    measured = measured_events(facts.night, kinds[0])
    return measured.rule if measured is not None else "by rule"


def _extremes(events: list[FoundEvent]) -> list[FoundEvent]:
    if not events:
        return []
    picked = [max(events, key=lambda event: event.duration_s)]
    deep = [event for event in events if event.nadir_pct is not None]
    if deep:
        picked.append(min(deep, key=lambda event: event.nadir_pct or 0.0))
    return picked


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
        if len(result.by_hour) > 1:
            lines.append("In sleep, by the hour that begins at: " + _pairs(result.by_hour))
        if result.by_company:
            lines.append(company_line(result.by_company))
        durations = [event.duration_s for event in extremes]
        longest = extremes[0]
        if longest.duration_s > 0:  # a change of position takes no time
            where = place(longest.clock, longest.epoch, longest.stage)
            lines.append(f"Longest {durations[0]:.1f} s {where}.")
            lines.append(
                f"Duration: mean {result.mean_duration_s:.1f} s, "
                f"median {result.median_duration_s:.1f} s, "
                f"together {result.total_duration_s:.1f} s."
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
            measured = f"; measured: {event.terms.text}" if event.terms else ""
            lines.append(f"{rank}. {kind}{event_words(event)}{measured}")
    if result.reaching_in:
        begun = ", ".join(f"{e.clock} epoch {e.epoch}" for e in result.reaching_in[:5])
        lines.append(
            f"{len(result.reaching_in)} more began before this part and reach into it "
            f"(not counted): {begun}."
        )
    for source, count in result.other_sources.items():
        theirs = result.other_per_hour.get(source)
        hourly = "" if theirs is None else f" ({theirs:.1f} per hour of its sleep)"
        lines.append(
            f"The {source} scoring has {count} here{hourly} [{source}]; {witnessed[source]} of the "
            f"{result.total} overlap one of them."
        )
    for source, count in result.only_there.items():
        lines.append(f"The {source} scoring has {count} that overlap none of ours [{source}].")
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
    "hypopneas, desaturations, arousals, limb movements, snoring, brady- and tachycardia, position "
    "changes, spindles, slow waves, artifacts, or anything else described in words; limited by "
    "duration, lowest SpO2 or depth of the fall. Returns counts (total, per hour of sleep, by "
    "stage and position), the longest and the deepest, and a list with clock times and epoch "
    "numbers. Use it for every question about how many, when, where, the longest, or the deepest.",
)
