"""From a request to tool calls: what must be known before it can be answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.intents import Intent, Request
from tools.artifacts import Artifact, Description, EventList, Evidence

__all__ = ["BREATHING", "FIRST_OF", "Call", "Result", "Results", "calls_for", "scoped_quantity"]

BREATHING = "obstructive apnea and central apnea and mixed apnea and hypopnea"
LIST_LIMIT = 20
MOST_REM_PERIODS = 12
MOST_EVENTS = 200
#: Which tool sections hold a quantity; the artifact holds the whole summary in any case.
SECTION_OF = {
    **dict.fromkeys(
        ("trt", "tib", "tst", "spt", "sleep_efficiency", "sleep_maintenance",
         "sleep_onset_latency", "rem_latency", "n3_latency", "waso", "awakenings"),
        "sleep",
    ),
    **dict.fromkeys(("stage_minutes", "stage_percent"), "stages"),
    **dict.fromkeys(("odi3", "odi4", "spo2_mean", "spo2_nadir", "t90"), "oximetry"),
    **dict.fromkeys(("hr_mean", "hr_min", "hr_max"), "cardiac"),
    "arousal_index": "arousals",
    "plm_index": "movement",
    "position_minutes": "position",
}  # fmt: skip
#: The stage whose first epoch ends a latency.
FIRST_OF = {"sleep_onset_latency": "sleep", "rem_latency": "R", "n3_latency": "N3"}
#: Limits of a request that the tool takes under the same name.
_LIMITS = ("min_duration_s", "max_duration_s", "max_nadir_pct", "min_depth_pct", "with_event",
           "without_event")  # fmt: skip
_SLEEP_FIELDS = ("tst", "waso", "awakenings", "sleep_efficiency", "stage_minutes",
                 "sleep_maintenance")  # fmt: skip


@dataclass(frozen=True)
class Call:
    """A tool call to make."""

    name: str
    args: dict[str, Any]

    @property
    def key(self) -> str:
        """The same for the same call."""
        return f"{self.name} {json.dumps(self.args, sort_keys=True)}"


@dataclass(frozen=True)
class Result:
    """What a call came back with; ``error`` is the reason without the tool's lead words."""

    artifact: Artifact | None
    text: str
    error: str | None = None


Results = dict[str, Result]


def calls_for(
    request: Request, results: Results, focus: tuple[Evidence | None, list[Any]]
) -> list[Call]:
    """All calls that a request needs, as far as that is known from the results so far.

    Parameters
    ----------
    request : Request
    results : dict
        Results of this question by :attr:`Call.key`.
    focus : (Evidence or None, list of FoundEvent)
        What the last answer was about, and the events that it listed.
    """
    planner = _PLANNERS.get(request.intent)
    return planner(request, results, focus) if planner else []


def scoped_quantity(name: str, when: dict[str, Any]) -> tuple[str, Call] | None:
    """How a quantity of a part of the night is found: (way, call); None where it cannot be.

    ``way`` is ``summary`` (a field of its own), ``rate`` (events per hour), ``measured`` or
    ``stages``.
    """
    only = {key: value for key, value in when.items() if value is not None}
    if name == "ahi" and only == {"stage": "R"}:
        return "summary:ahi_rem", _summary("ahi_rem")
    if name == "ahi" and only == {"stage": "NREM"}:
        return "summary:ahi_nrem", _summary("ahi_nrem")
    if name == "ahi" and only == {"position": "supine"}:
        return "summary:ahi_supine", _summary("ahi_supine")
    if name in ("ahi", "rdi"):
        return "rate", _locate(BREATHING, when)
    events = {"oahi": "obstructive apnea and mixed apnea and hypopnea", "cai": "central apnea",
              "odi3": "desaturation", "apnea_index": "apnea", "hypopnea_index": "hypopnea",
              "arousal_index": "arousal",
              "plm_index": "plm"}  # fmt: skip
    if name in events:
        return "rate", _locate(events[name], when)
    if name.startswith("hr_"):
        return "measured", _describe("cardiac", when)
    if name.startswith("spo2_"):
        return "measured", _describe("respiratory", when)
    if name == "position_minutes":
        return "stages", _describe("somatic", when)
    if name in _SLEEP_FIELDS:
        return "stages", _describe("stage_event", when)
    return None


def _locate(query: str, when: dict[str, Any], request: Request | None = None, **more: Any) -> Call:
    args: dict[str, Any] = {"query": query}
    if when:
        args["when"] = when
    if request is not None:
        for name in _LIMITS:
            if (value := getattr(request, name)) not in (None, ""):
                args[name] = value
    return Call("locate_events", args | more)


def _describe(system: str, when: dict[str, Any]) -> Call:
    return Call("describe_system", {"system": system} | ({"when": when} if when else {}))


def _summary(*names: str) -> Call:
    sections = list(dict.fromkeys(SECTION_OF.get(name, "respiratory") for name in names))
    return Call("summarize_night", {"sections": sections})


def _for_locate(request: Request, results: Results, focus: Any) -> list[Call]:
    if request.picks == "most":
        limit = max(request.count, 5)
        return [_locate(request.query, request.when, request, order=request.order, limit=limit)]
    if request.picks != "last":
        return [_locate(request.query, request.when, request, limit=LIST_LIMIT)]
    call = _locate(request.query, request.when, request, limit=MOST_EVENTS)
    calls = [call]
    # Beyond the limit of one list, go on from where it ended.
    while (found := _events_of(results.get(call.key))) and found.total > len(found.events):
        later = {key: value for key, value in request.when.items() if key in ("stage", "position")}
        until = request.when.get("clock_to")
        later |= {"clock_from": found.events[-1].clock} | ({"clock_to": until} if until else {})
        call = _locate(request.query, later, request, limit=MOST_EVENTS)
        if call in calls:
            break
        calls.append(call)
    return calls


def _events_of(result: Result | None) -> EventList | None:
    found = result.artifact if result else None
    return found if isinstance(found, EventList) else None


def _for_term(request: Request, results: Results, focus: Any) -> list[Call]:
    return [Call("explain_term", {"term": request.query})]


def _for_nights(request: Request, results: Results, focus: Any) -> list[Call]:
    return [Call("compare_nights", {})]


def _for_dispute(request: Request, results: Results, focus: Any) -> list[Call]:
    return [
        _locate(request.query, request.when, request, seen_by="one", limit=LIST_LIMIT),
        _summary("ahi", "tst"),
    ]


def _for_nadir(request: Request, results: Results, focus: Any) -> list[Call]:
    """The lowest saturation, where it is, and what the signals and scorers hold around it."""
    place = _describe("respiratory", {"stage": "sleep"})
    found = results.get(place.key)
    calls = [_summary("spo2_nadir"), place]
    if found and isinstance(found.artifact, Description):
        held = {field.field: field for field in found.artifact.measured}
        if "spo2_min_pct" in held:
            epoch = held["spo2_min_pct"].lowest_epoch
            around = {"epochs": [max(epoch - 2, 1), epoch]}
            calls += [
                _locate("artifact", around, limit=10),
                _locate("desaturation", around, order="deepest", limit=3),
                _locate(BREATHING, around, limit=5),
            ]
    return calls


def _for_why_called(request: Request, results: Results, focus: Any) -> list[Call]:
    return [
        _locate(request.query, request.when, order=request.order, limit=1),
        Call("explain_term", {"term": request.query}),
    ]


def _for_cause(request: Request, results: Results, focus: Any) -> list[Call]:
    return [
        _locate("arousal", request.when, limit=1),
        _locate("arousal", request.when, with_event=BREATHING, limit=5),
        _locate("arousal", request.when, with_event="leg movement", limit=5),
    ]


def _for_quantity(request: Request, results: Results, focus: Any) -> list[Call]:
    if request.suppose:
        call = _summary(*request.quantities)
        return [Call(call.name, call.args | request.suppose)]
    if request.when:
        ways = [scoped_quantity(name, request.when) for name in request.quantities]
        calls = [way[1] for way in ways if way is not None]
        if any(way is None for way in ways):
            calls.append(_summary(*request.quantities))
        return list({call.key: call for call in calls}.values())
    calls = [_summary(*request.quantities)]
    if request.wants_place:
        if "spo2_nadir" in request.quantities:
            calls.append(_describe("respiratory", {"stage": "sleep"}))
        if {"hr_max", "hr_min"} & set(request.quantities):
            calls.append(_describe("cardiac", {"stage": "sleep"}))
        for name, stage in FIRST_OF.items():
            if name in request.quantities:
                calls += _first_epoch(stage, results)
    return calls


def _first_epoch(stage: str, results: Results) -> list[Call]:
    """Find the first epoch of a stage, then describe it, for its clock time."""
    whole = _describe("stage_event", {"stage": stage})
    found = results.get(whole.key)
    scope = found.artifact.scope if found and found.artifact else None
    if scope is None or scope.first_epoch is None:
        return [whole]
    return [whole, _describe("stage_event", {"epochs": [scope.first_epoch, scope.first_epoch]})]


def _for_describe(request: Request, results: Results, focus: Any) -> list[Call]:
    return [_describe(system, request.when) for system in request.systems]


def _for_summary(request: Request, results: Results, focus: Any) -> list[Call]:
    return [Call("summarize_night", {})]


def _for_recording(request: Request, results: Results, focus: Any) -> list[Call]:
    return [Call("summarize_night", {"sections": ["recording"]})]


def _for_rem_periods(request: Request, results: Results, focus: Any) -> list[Call]:
    # No night has so many: the refusal says how many there are.
    return [_describe("stage_event", {"rem_period": MOST_REM_PERIODS})]


def _for_compare(request: Request, results: Results, focus: Any) -> list[Call]:
    if request.contrast == "kinds":
        return [_locate(query, request.when, limit=LIST_LIMIT) for query in request.pair]
    if request.contrast in ("stages", "places"):
        return [_locate(request.query, {}, limit=LIST_LIMIT)]
    sides: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "halves": ({"part": "first_half"}, {"part": "second_half"}),
        "thirds": ({"part": "first_third"}, {"part": "last_third"}),
        "rem": ({"stage": "R"}, {"stage": "NREM"}),
    }
    if request.contrast == "position":
        if request.query == BREATHING:
            return [_summary("ahi", "position_minutes")]
        return [_locate(request.query or BREATHING, {}, limit=LIST_LIMIT)]
    both = sides[request.contrast]
    if request.systems:
        return [_describe(system, when) for system in request.systems for when in both]
    if request.query == BREATHING and request.contrast == "rem":
        return [_summary("ahi", "stage_minutes")]
    if request.query:
        return [_locate(request.query, when, limit=LIST_LIMIT) for when in both]
    return [
        *(_describe("stage_event", when) for when in both),
        *(_locate("arousal", when, limit=1) for when in both),
        *(_locate(BREATHING, when, limit=1) for when in both),
    ]


def _for_explain(request: Request, results: Results, focus: Any) -> list[Call]:
    if request.subject == "oxygen":
        return [
            _summary("t90", "ahi"),
            _locate("desaturation", request.when, order="deepest", limit=3),
            _locate(BREATHING, request.when, limit=1),
        ]
    if request.subject == "heart":
        return [_describe("cardiac", request.when), _locate("arousal", request.when, limit=1)]
    if request.subject == "breathing":
        return [
            _summary("ahi", "position_minutes", "odi3"),
            _locate(BREATHING, request.when, order="longest", limit=3),
        ]
    return [
        _summary("tst", "stage_minutes", "arousal_index", "ahi"),
        _describe("stage_event", request.when),
        _locate("arousal", request.when, order="longest", limit=3),
        _locate(BREATHING, request.when, order="longest", limit=3),
    ]


def _for_similar(request: Request, results: Results, focus: Any) -> list[Call]:
    if request.scope == "nights":
        return [Call("find_similar", {"night": True})]
    if request.query:
        return [Call("find_similar", {"text": request.query})]
    epoch = request.epoch
    calls: list[Call] = []
    if not epoch and request.when:
        place = _describe("stage_event", request.when)
        calls.append(place)
        found = results.get(place.key)
        scope = found.artifact.scope if found and found.artifact else None
        epoch = (scope.first_epoch or 0) if scope else 0
    elif not epoch:
        epoch = (focus[0].epoch or 0) if focus[0] else 0
    if epoch:
        scopes = ("night", "store") if request.scope == "store" else ("night",)
        calls += [Call("find_similar", {"epoch": epoch, "scope": scope}) for scope in scopes]
    return calls


def _for_that_event(request: Request, results: Results, focus: Any) -> list[Call]:
    target = target_of(request, focus)
    if target is None:
        return []
    when = {"epochs": [target.epoch, target.epoch]}
    systems = request.systems or ("stage_event", "respiratory", "brain", "cardiac")
    return [_describe(system, when) for system in systems]


def target_of(request: Request, focus: tuple[Evidence | None, list[Any]]) -> Any:
    """The event that "the second one" or "that epoch" means, or None."""
    shown, listed = focus
    if request.rank == 0:
        return shown if shown is not None and shown.epoch else None
    rank = request.rank
    if rank == -2:
        here = next((i for i, event in enumerate(listed) if shown and event.epoch == shown.epoch
                     and event.clock == shown.clock), 0)  # fmt: skip
        rank = here + 2
    index = len(listed) - 1 if rank == -1 else rank - 1
    return listed[index] if 0 <= index < len(listed) else None


_PLANNERS: dict[Intent, Callable[[Request, Results, Any], list[Call]]] = {
    Intent.LOCATE: _for_locate,
    Intent.QUANTITY: _for_quantity,
    Intent.DESCRIBE: _for_describe,
    Intent.SUMMARY: _for_summary,
    Intent.RECORDING: _for_recording,
    Intent.REM_PERIODS: _for_rem_periods,
    Intent.COMPARE: _for_compare,
    Intent.EXPLAIN: _for_explain,
    Intent.SIMILAR: _for_similar,
    Intent.THAT_EVENT: _for_that_event,
    Intent.TERM: _for_term,
    Intent.NIGHTS: _for_nights,
    Intent.DISPUTE: _for_dispute,
    Intent.CAUSE: _for_cause,
    Intent.NADIR: _for_nadir,
    Intent.WHY_CALLED: _for_why_called,
}
