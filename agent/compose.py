"""From tool results to an answer of two to six sentences: the number first, then what it rests on.

Only values of the typed artifacts are stated, each with its unit and source; nothing is computed
here but which of two stated numbers is the larger.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from agent.explain import compare, explain
from agent.intents import Intent, Request, understand
from agent.plan import FIRST_OF, Results, calls_for, scoped_quantity, target_of
from agent.time_expressions import NightSpan
from agent.wording import (
    cite,
    event_clause,
    extreme_place,
    failed,
    join,
    measured_clause,
    noun,
    quantity_clause,
    rate,
    scope_words,
    stage_word,
    value_words,
    witness_note,
)
from sleeplm.summary import NightSummary
from tools.artifacts import (
    Definition,
    Description,
    EventList,
    Evidence,
    NightComparison,
    NightReport,
    ScoredView,
    SimilarCases,
)
from tools.witnesses import counts_text

__all__ = ["compose"]

#: Below so much sleep an answer says that rates per hour mean little.
SHORT_SLEEP_MIN = 60.0
_TABLES = ("stage_minutes", "position_minutes")
Focus = tuple[Evidence | None, list[Any]]

CAN_ASK = (
    "You can ask for counts and places of events (“How many obstructive apneas were there, and in "
    "which stage?”, “Where is the longest apnea?”), for figures of the report (“What is the "
    "AHI?”), for a description (“Describe the brain in REM”, or at any clock time or epoch), for "
    "epochs that resemble one, or for a summary (“How was the night?”)."
)
REFUSAL = (
    "I cannot answer that: SleepLM is for research use only, and gives no diagnosis, no treatment "
    "advice and no prediction. What it can show are the figures a clinician would look at: the "
    "apnea-hypopnea index by stage and position, desaturations and the lowest oxygen, arousals, "
    "sleep stages, and where each event lies in the night."
)
ELSEWHERE = (
    "I did not understand that as a question about this recording: I can speak only of the night "
    "that is open, not of other people, other recordings or later times."
)
# What each system's answer states first, where it was measured.
_HEADLINES = {
    "cardiac": ("ecg_rate_bpm", "hr_mean_bpm", "ecg_rmssd_ms"),
    "respiratory": ("thx_rate_bpm", "abd_rate_bpm", "af_rate_bpm", "spo2_mean_pct", "spo2_min_pct"),
    "brain": ("eeg_c3_delta_pct", "eeg_c3_alpha_pct", "eeg_c3_sigma_pct", "eeg_c4_delta_pct",
              "eog_l_saccade_pct"),
    "somatic": ("emg_burst_rate_hz", "emg_median_hz"),
}  # fmt: skip
_TWINS = (("thx_rate_bpm", "abd_rate_bpm", "af_rate_bpm"), ("eeg_c3_delta_pct", "eeg_c4_delta_pct"),
          ("ecg_rate_bpm", "hr_mean_bpm"))  # fmt: skip
_SYSTEM_WORDS = {
    "cardiac": "the heart",
    "respiratory": "breathing",
    "brain": "the brain",
    "somatic": "muscle and body position",
    "stage_event": "stages and events",
}


def compose(
    requests: list[Request], results: Results, focus: Focus, span: NightSpan | None = None
) -> tuple[str, list[str]]:
    """The answer to all requests of a question, and up to three next questions."""
    texts: list[str] = []
    for request in requests:
        text = _COMPOSERS[request.intent](request, results, focus)
        if request.not_heeded:
            left_out = join([f"“{word}”" for word in request.not_heeded])
            text = f"This leaves {left_out} of your question out of account: {text}"
        if request.intent is Intent.RECORDING and span is not None:
            text = f"There are {span.n_epochs} epochs, from {span.start} to {span.end}. {text}"
        if text and text not in texts:
            texts.append(text)
    return " ".join(texts), next_questions(requests)


def _found(request: Request, results: Results, focus: Focus) -> list[Any]:
    """Artifact or reason of each call, in the order of the plan."""
    found = []
    for call in calls_for(request, results, focus):
        result = results[call.key]
        found.append(
            result.artifact if result.artifact is not None else result.error or "no result"
        )
    return found


def _locate(request: Request, results: Results, focus: Focus) -> str:
    found = _found(request, results, focus)
    last = found[-1]
    if not isinstance(last, EventList):
        return failed(last)
    first = found[0]
    if isinstance(first, EventList) and first.total == 0:
        return _none_found(request, first)
    if request.statistic:
        text = _statistic(request, last)
    else:
        text = _picked(request, first, last) if request.picks else _counted(request, last)
    if request.unapplied:
        text += (
            f" The limit “{request.unapplied}” was not applied: I can limit by duration, by the "
        )
        text += "lowest SpO2 and by the depth of a fall."
    return text


def _statistic(request: Request, found: EventList) -> str:
    """Mean, median or sum of the durations of the events."""
    held = {"mean": found.mean_duration_s, "median": found.median_duration_s,
            "total": found.total_duration_s}  # fmt: skip
    value = held[request.statistic]
    what = f"{noun(request.query, found.total)}{_limits(request)}{scope_words(found.scope)}"
    if value is None:
        return _none_found(request, found)
    lead = {"mean": "The mean duration", "median": "The median duration",
            "total": "The durations together"}[request.statistic]  # fmt: skip
    verb = "were" if request.statistic == "total" else "was"
    text = f"{lead} of {found.total} {what} {verb} {value:.1f} s [{found.source}]."
    longest = max(
        (e for e in found.evidence if e.kind == "event" and e.epoch), default=None,
        key=lambda e: e.value or 0.0,
    )  # fmt: skip
    if longest is not None and longest.value is not None and found.total > 1:
        text += f" The longest lasted {longest.value:.1f} s {cite(longest.epoch, longest.clock)}."
    return _with_source_note(text, found)


def _none_found(request: Request, found: EventList) -> str:
    what = f"{noun(request.query, 2)}{_limits(request)}{scope_words(found.scope)}"
    text = f"There were no {what} [{found.source}]."
    if "perhaps they were not scored" in found.text:
        text += " The scoring holds none in the whole night; perhaps they were not scored."
    if found.reaching_in:
        event = found.reaching_in[0]
        text += f" One began before and reaches into it {cite(event.epoch, event.clock)}."
    return _with_source_note(text, found)


def _limits(request: Request) -> str:
    words = []
    if request.min_duration_s is not None:
        words.append(f" of at least {request.min_duration_s:g} s")
    if request.max_nadir_pct is not None:
        words.append(f" with SpO2 below {request.max_nadir_pct:g} %")
    if request.max_duration_s is not None:
        words.append(f" of at most {request.max_duration_s:g} s")
    if request.min_depth_pct is not None:
        words.append(f" with a fall of at least {request.min_depth_pct:g} %")
    if request.with_event:
        words.append(f" that go with {noun(request.with_event, 2)}")
    if request.without_event:
        words.append(f" without {noun(request.without_event, 2)}")
    return "".join(words)


def _with_source_note(text: str, found: EventList) -> str:
    if not found.kinds:
        return (
            f"{text} This is no kind that is scored: SleepLM searched for the words, and its "
            "scores rank the places without being probabilities."
        )
    if note := witness_note(found.source, found.other_sources):
        text += f" {note}"
    for source, count in found.other_sources.items():
        there = " there" if scope_words(found.scope) else ""
        text += f" The {source} scoring holds {count}{there} [{source}]."
    return text


def _counted(request: Request, found: EventList) -> str:
    verb = "was" if found.total == 1 else "were"
    text = (
        f"There {verb} {found.total} {noun(request.query, found.total)}{_limits(request)}"
        f"{scope_words(found.scope)} [{found.source}]{rate(found)}."
    )
    if len(found.by_kind) > 1:
        text += f" By kind: {_counts(found.by_kind)}."
    if (found.total > 1 and len(found.by_stage) > 1) or request.wants_stage:
        text += f" By stage: {_counts(found.by_stage)}."
    if request.wants_position or len(set(found.by_position) - {"unknown"}) > 1:
        text += f" By position: {_counts(found.by_position)}."
    longest = max(
        (e for e in found.evidence if e.kind == "event" and e.epoch), default=None,
        key=lambda e: e.value or 0.0,
    )  # fmt: skip
    if found.total == 1 and found.events:
        text += f" It is {event_clause(found.events[0])}."
    elif request.wants_place and found.events:
        shown = found.events[:5]
        lead = "They are at" if len(shown) == found.total else "The first are at"
        text += f" {lead} {join([cite(e.epoch, e.clock) for e in shown])}."
    elif longest is not None and longest.value:
        text += f" The longest lasted {longest.value:.1f} s {cite(longest.epoch, longest.clock)}."
    return _with_source_note(text, found)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(
        f"{stage_word(name).replace('_', ' ')} {count}" for name, count in counts.items()
    )


def _picked(request: Request, first: EventList, last: EventList) -> str:
    event = last.events[-1] if request.picks == "last" else first.events[0]
    name = f"{noun(request.query, 1)}{scope_words(first.scope)}"
    lead = request.order if request.picks == "most" else request.picks
    if request.count > 1 and len(first.events) > 1:
        shown = first.events[: request.count]
        listed = "; ".join(event_clause(one) for one in shown)
        what = f"{noun(request.query, 2)}{scope_words(first.scope)}"
        text = f"The {request.order} of {first.total} {what} [{first.source}] are {listed}."
        return _with_source_note(text, first)
    if request.order == "deepest" and event.nadir_pct is None:
        return _with_source_note(
            f"How deep the {noun(request.query, 2)}{scope_words(first.scope)} were is not known: "
            "no SpO2 was recorded with them.", first)  # fmt: skip
    if request.order == "deepest":
        depth = f"{event.nadir_pct:.1f} % SpO2 [{event.nadir_source}]"
        head = f"The deepest {name} reached {depth}"
    elif request.picks == "most":
        head = f"The {lead} {name} lasted {event.duration_s:.1f} s [{event.source}]"
    else:
        head = f"The {lead} {name} began at {event.clock} [{event.source}]"
    text = f"{head}: {event_clause(event, with_duration=request.picks != 'most')}."
    if first.total > 1:
        text += f" It is one of {first.total} {noun(request.query, first.total)}{rate(first)}."
    return _with_source_note(text, first)


def _quantity(request: Request, results: Results, focus: Focus) -> str:
    if request.when:
        return _quantities_of_part(request, results)
    report, *places = _found(request, results, focus)
    if not isinstance(report, NightReport):
        return failed(report)
    summary: NightSummary = report.summary
    if request.suppose:
        return _supposed(request, report)
    sentences = []
    if request.unapplied:
        sentences.append(
            f"How long the saturation was {request.unapplied} is not in the report, which holds "
            "the time below 90 %."
        )
    for name in request.quantities:
        if name in ("stage_minutes", "position_minutes"):
            sentences.append(_shares(name, summary, request.focus))
            continue
        sentence = f"The {quantity_clause(name, summary, verb='was')}"
        held = summary.quantity(name)
        if held.value is not None:
            if held.note:
                note = held.note.replace(" (", "; ").replace(")", "")  # no brackets in brackets
                sentence += f" ({note})"
            if request.wants_place and name in ("spo2_nadir", "hr_max", "hr_min"):
                place = _place_of(name, places)
                sentence += f", at {place}" if place else ""
            if request.wants_place and name in FIRST_OF and (place := _begin_of(name, places)):
                what = stage_word(FIRST_OF[name])
                sentence += f"; {what} begins at {place}"
        sentences.append(f"{sentence}.")
    if "ahi" in request.quantities and summary.severity.word:
        sentences.append(_severity(summary))
    sentences += _rests_on(request, summary)
    if request.wants_margin and report.margin:
        sentences.insert(1, report.margin)
    if request.wants_share and "t90" in request.quantities and summary.tst.value is not None:
        total = value_words(summary.tst.value, summary.tst.unit)
        sentences.append(f"It is a part of {total} of sleep [{summary.tst.source}].")
    if any(summary.quantity(n).unit == "/h" for n in request.quantities if n not in _TABLES):
        sentences += _short_sleep(summary)
    sentences += _others_say(request, report)
    if warning := witness_note(summary.scorer["kind"]):
        sentences.append(warning)
    return " ".join(sentences)


def _short_sleep(summary: NightSummary) -> list[str]:
    """That a rate per hour of minutes of sleep says little."""
    sleep = summary.tst.value
    if sleep is None or sleep >= SHORT_SLEEP_MIN:
        return []
    return [f"With only {sleep:.1f} min of sleep, rates per hour say little."]


def _supposed(request: Request, report: NightReport) -> str:
    """Figures under a what-if, beside those without it."""
    clauses = [quantity_clause(n, report.summary, verb="would be") for n in request.quantities
               if n not in ("stage_minutes", "position_minutes")]  # fmt: skip
    text = f"Supposing {join(report.supposed)}: the {', the '.join(clauses)}."
    known = [
        f"{words} {report.as_it_is[name]:.1f}{unit}"
        for name, words, unit in (("ahi", "AHI", "/h"), ("odi3", "ODI 3 %", "/h"),
                                  ("arousal_index", "arousal index", "/h"),
                                  ("tst", "total sleep time", " min"))
        if name in report.as_it_is and name in request.quantities
    ]  # fmt: skip
    if known:
        text += f" As it is, {join(known)} [{report.summary.scorer['kind']}]."
    if "ahi" in request.quantities and report.summary.severity.word:
        text += f" {_severity(report.summary)}"
    return text


def _others_say(request: Request, report: NightReport) -> list[str]:
    """What another scoring at hand makes of the figures asked for, where that is different."""
    names = {"ahi": "the AHI is", "odi3": "the ODI3 is", "arousal_index": "the arousal index is",
             "tst": "the total sleep time is"}  # fmt: skip
    wanted = [words for name, words in names.items() if name in request.quantities]
    return [one for one in report.others_change if any(words in one for words in wanted)]


def _place_of(name: str, places: list[Any]) -> str:
    field, which = {
        "spo2_nadir": ("spo2_min_pct", "lowest"),
        "hr_max": ("hr_max_bpm", "highest"),
        "hr_min": ("hr_min_bpm", "lowest"),
    }[name]
    return next((where for found in places if (where := extreme_place(found, field, which))), "")


def _begin_of(name: str, places: list[Any]) -> str:
    """Where the stage that ends a latency begins: its first epoch was described for that."""
    named = stage_word(FIRST_OF[name])
    views = [found.scope for found in places if isinstance(found, Description) and found.scope]
    whole = next((view for view in views if view.text == named), None)
    first = next(
        (v for v in views if v.n_epochs == 1 and whole and v.first_epoch == whole.first_epoch), None
    )
    return scope_words(first).removeprefix(" at ") if first else ""


def _severity(summary: NightSummary) -> str:
    severity = summary.severity
    kind = f"; apneas are predominantly {severity.predominance}" if severity.predominance else ""
    return f"Its range is called {severity.word} by {severity.rule}{kind} ({severity.source})."


def _rests_on(request: Request, summary: NightSummary) -> list[str]:
    """What an index stands on: the events and the hours."""
    if not {"ahi", "oahi", "cai", "apnea_index", "hypopnea_index", "rdi"} & set(request.quantities):
        return []
    counts = [
        f"{quantity.value:.0f} {noun(kind, round(quantity.value))}"
        for kind, quantity in summary.event_counts.items()
        if quantity.value and kind in ("obstructive_apnea", "central_apnea", "mixed_apnea",
                                       "hypopnea")
    ]  # fmt: skip
    if not counts or summary.tst.value is None or summary.ahi.value is None:
        return []
    sleep = value_words(summary.tst.value, "min")
    return [
        f"It rests on {join(counts)} in the recording and {sleep} of sleep [{summary.tst.source}]."
    ]


def _shares(name: str, summary: NightSummary, focus: str) -> str:
    held = getattr(summary, name)
    known = {key: q for key, q in held.items() if q.value is not None}
    if not known:
        note = next(iter(held.values())).note if held else "it was not recorded"
        what = "stage" if name == "stage_minutes" else "position"
        return f"The time by {what} is not known: {note}."
    words = []
    for key, quantity in sorted(known.items(), key=lambda item: item[0] != focus):
        text = f"{stage_word(key)} {value_words(quantity.value, quantity.unit)}"
        percent = summary.stage_percent.get(key) if name == "stage_minutes" else None
        if percent is not None and percent.value is not None:
            share = f"{percent.value:.1f} %"
            text += f" ({share} of sleep)" if key == focus else f" ({share})"
        words.append(text)
    source = next(iter(known.values())).source
    if focus in known:
        rest = f" The others: {', '.join(words[1:])}." if len(words) > 1 else ""
        where = stage_word(focus) if name == "stage_minutes" else f"sleep in the {focus} position"
        return f"There were {words[0].split(' ', 1)[1]} of {where} [{source}].{rest}"
    lead = "Time by stage" if name == "stage_minutes" else "Sleep by position"
    return f"{lead} [{source}]: {', '.join(words)}."


def _quantities_of_part(request: Request, results: Results) -> str:
    sentences: list[str] = []
    for name in request.quantities:
        way = scoped_quantity(name, request.when)
        if way is None:
            sentences.append(_only_for_the_night(name, request, results))
            continue
        how, call = way
        result = results[call.key]
        found = result.artifact
        if found is None:
            sentences.append(failed(result.error or "no result"))
        elif isinstance(found, NightReport):
            sentences.append(
                f"The {quantity_clause(how.partition(':')[2], found.summary, verb='was')}."
            )
        elif isinstance(found, EventList):
            number = "not known, as there was no sleep" if found.per_hour is None else (
                f"{found.per_hour:.1f}/h [{found.source}]")  # fmt: skip
            sentences.append(
                f"The rate of {noun(found.query, 2)}{scope_words(found.scope)} was {number}, from "
                f"{found.in_sleep} in {found.sleep_hours:.2f} h of sleep."
            )
        elif isinstance(found, Description):
            sentences.append(_measured_part(name, found))
    return " ".join(dict.fromkeys(sentences))


def _only_for_the_night(name: str, request: Request, results: Results) -> str:
    for result in results.values():
        if isinstance(result.artifact, NightReport):
            clause = quantity_clause(name, result.artifact.summary, verb="was")
            return f"For the whole night the {clause}; it is not split by parts of the night."
    return failed("this figure is not split by parts of the night")


def _measured_part(name: str, found: Description) -> str:
    if found.system == "stage_event":
        return f"{_stage_shares(found)}."
    if found.system == "somatic":
        shares = _position_shares(found) or "not recorded"
        return f"The body position{scope_words(found.scope)} was {shares} [measured]."
    fields = {"hr_mean": ("hr_mean_bpm", "ecg_rate_bpm"), "hr_min": ("hr_min_bpm", "ecg_rate_bpm"),
              "hr_max": ("hr_max_bpm", "ecg_rate_bpm"), "spo2_mean": ("spo2_mean_pct",),
              "spo2_nadir": ("spo2_min_pct",)}[name]  # fmt: skip
    held = {field.field: field for field in found.measured}
    field = next((held[wanted] for wanted in fields if wanted in held), None)
    if field is None:
        return failed(f"this was not recorded{scope_words(found.scope)}")
    if name.endswith("mean") and field.mean is not None:
        what = "SpO2" if name == "spo2_mean" else "heart rate"
        return (
            f"The mean {what}{scope_words(found.scope)} was {value_words(field.mean, field.unit)} "
            f"[measured]; {measured_clause(field)}."
        )
    if name.endswith("mean"):
        return f"Over the epochs{scope_words(found.scope)}, {measured_clause(field)} [measured]."
    which, value = (
        ("lowest", field.low) if name in ("hr_min", "spo2_nadir") else ("highest", field.high)
    )
    what = "SpO2" if name == "spo2_nadir" else "heart rate"
    place = extreme_place(found, field.field, which)
    amount = value_words(value, field.unit)
    return f"The {which} {what}{scope_words(found.scope)} was {amount} [measured] {place}."


def _describe(request: Request, results: Results, focus: Focus) -> str:
    found = _found(request, results, focus)
    if request.focus and len(found) == 1 and isinstance(found[0], Description):
        field = next((f for f in found[0].measured if f.field == request.focus), None)
        if field is not None:
            lead = f"{scope_words(found[0].scope).strip()}, {measured_clause(field)} [measured]. "
            lead = lead.removeprefix(", ")
            rest = found[0].model_copy(update={"measured": []})
            return f"{lead[0].upper()}{lead[1:]}{_descriptions([rest])}"
    return _descriptions(found)


def _descriptions(found: list[Any]) -> str:
    described = [artifact for artifact in found if isinstance(artifact, Description)]
    failures = list(dict.fromkeys(reason for reason in found if isinstance(reason, str)))
    if not described:
        return failed(failures[0])
    if len(described) == 1:
        return " ".join([_one_description(described[0]), *map(failed, failures)])
    place = scope_words(described[0].scope).strip()
    lead = f"{place[0].upper()}{place[1:]}: " if place else ""
    texts = [_brief_description(artifact, len(described) < 3) for artifact in described]
    return lead + " ".join([*filter(None, texts), *map(failed, failures)])


def _one_description(found: Description) -> str:
    """A system over a part of the night, in full."""
    where = scope_words(found.scope)
    name = _SYSTEM_WORDS[found.system]
    sentences: list[str] = []
    if found.system == "stage_event":
        sentences += [f"{_stage_shares(found)}.", _events_line(found)]
    elif found.system == "somatic" and found.shares:
        sentences.append(f"Body position{where} [measured]: {_position_shares(found)}.")
    if clauses := _headline_clauses(found, 3):
        lead = f"{name[0].upper()}{name[1:]}{where}"
        sentences.append(f"{lead}: {'; '.join(clauses)} [measured].")
    if found.system != "stage_event":
        sentences += [_scored_sentence(view, found) for view in found.scored]
    else:
        sentences += [
            f"The {v.source} scoring there: {v.text} [{v.source}]." for v in found.scored[1:]
        ]
    if found.captions:
        sentences.append(f"SleepLM writes {_caption(found)} [model].")
    if found.disagreements:
        sentences.append(f"Its words differ from other sources at {found.disagreements[0].text}.")
    if found.missing:
        sentences.append(f"Not recorded: {', '.join(found.missing)}.")
    return " ".join(filter(None, sentences))


def _scored_sentence(view: ScoredView, found: Description) -> str:
    """What a witness scored there: its events, or the stage of a single epoch."""
    counts = counts_text(view) if any(view.counts.values()) else ""
    stage = ""
    if found.scope is not None and found.scope.n_epochs == 1 and view.stages:
        stage = f"stage {stage_word(view.stages[0].name)}"
    told = ", ".join(filter(None, (stage, counts)))
    return f"Scored there: {told} [{view.source}]." if told else ""


def _brief_description(found: Description, with_caption: bool) -> str:
    """One of several systems: its first figures, and the model's words where there is room."""
    if found.system == "stage_event":
        is_one = found.scope is not None and found.scope.n_epochs == 1 and bool(found.shares)
        stage = (
            f"stage {stage_word(found.shares[0].name)} [{found.shares_source}]" if is_one else ""
        )
        events = _events_line(found).partition(";")[0].rstrip(".")
        return f"{stage or _stage_shares(found, short=True)}. {events}."
    clauses = _headline_clauses(found, 2)
    if found.system == "somatic" and found.shares:
        clauses.insert(0, f"position {_position_shares(found)}")
    name = _SYSTEM_WORDS[found.system]
    sentences = []
    if clauses:
        sentences.append(f"{name[0].upper()}{name[1:]}: {'; '.join(clauses[:2])} [measured].")
    if found.captions and with_caption:
        sentences.append(f"SleepLM writes on {name} {_caption(found)} [model].")
    return " ".join(sentences)


def _headline_clauses(found: Description, limit: int) -> list[str]:
    held = {field.field: field for field in found.measured}
    chosen = [wanted for wanted in _HEADLINES.get(found.system, ()) if wanted in held]
    for twins in _TWINS:
        known = [one for one in twins if one in held]
        chosen = [one for one in chosen if one not in known[1:]]
    return [measured_clause(held[one]) for one in chosen[:limit]]


def _caption(found: Description) -> str:
    caption = found.captions[len(found.captions) // 2]
    words = caption.text.strip().rstrip(".")
    return f"{cite(caption.epoch, caption.clock)}: “{words}”"


def _events_line(found: Description) -> str:
    line = next((line for line in found.text.splitlines() if line.startswith("Events")), "")
    return line if not line or line.endswith(".") else f"{line}."


def _position_shares(found: Description) -> str:
    if len(found.shares) == 1:
        return found.shares[0].name
    return ", ".join(f"{s.name} {value_words(s.minutes, 'min')}" for s in found.shares)


def _stage_shares(found: Description, short: bool = False) -> str:
    shares = ", ".join(
        f"{stage_word(s.name)} {value_words(s.minutes, 'min')} ({s.percent:.1f} %)"
        for s in found.shares
    )
    where = "" if short else scope_words(found.scope)
    return f"Stages{where} [{found.shares_source}]: {shares}"


def _summary(request: Request, results: Results, focus: Focus) -> str:
    (report,) = _found(request, results, focus)
    if not isinstance(report, NightReport):
        return failed(report)
    s: NightSummary = report.summary

    def known(*names: str) -> str:
        return ", ".join(quantity_clause(n, s) for n in names if s.quantity(n).value is not None)

    sentences = []
    if s.tst.value is not None:
        sleep = known("tst", "sleep_efficiency", "sleep_onset_latency", "waso")
        sentences.append(f"{sleep[0].upper()}{sleep[1:]}.")
    if any(q.value is not None for q in s.stage_minutes.values()):
        sentences.append(_shares("stage_minutes", s, ""))
    breathing = known("ahi", "odi3")
    if breathing:
        sentence = f"Breathing: {breathing}"
        if s.severity.word:
            sentence += f"; severity {s.severity.word} by {s.severity.rule}"
        sentences.append(f"{sentence}.")
    for lead, names in (("Oxygen", ("spo2_mean", "spo2_nadir", "t90")),
                        ("Arousals and heart", ("arousal_index", "hr_mean"))):  # fmt: skip
        if clause := known(*names):
            sentences.append(f"{lead}: {clause}.")
    sentences += [f"{insight.text.rstrip('.')}." for insight in s.insights[:1]]
    sentences += [one for one in report.others_change if "is called" in one]
    sentences += _short_sleep(s)
    if not sentences:
        return failed("nothing of this night could be measured")
    if note := witness_note(s.scorer["kind"]):
        sentences.append(note)
    return " ".join(sentences)


def _similar(request: Request, results: Results, focus: Focus) -> str:
    found = _found(request, results, focus)
    if not found:
        return "Say which epoch it should be like, for example “Are there epochs like epoch 120?”."
    texts = []
    for artifact in found:
        if isinstance(artifact, Description):
            continue
        if not isinstance(artifact, SimilarCases):
            texts.append(failed(artifact))
            continue
        if not artifact.hits:
            texts.append(f"Nothing similar was found among {artifact.searched} {artifact.level}.")
            continue
        hits = [
            (f"{cite(hit.epoch, hit.clock)} " if hit.same_night else f"{hit.night} "
             + (cite(hit.epoch, hit.clock) + " " if hit.epoch else ""))
            + f"(similarity {hit.similarity:.2f}, {stage_word(hit.stage or 'unscored')})"
            for hit in artifact.hits[:3]
        ]  # fmt: skip
        best = artifact.hits[0]
        among = f"{artifact.searched} {artifact.level}"
        text = f"The most similar of {among} compared [model]: {join(hits)}."
        if best.agrees:
            text += f" The first agrees in {join(best.agrees[:4])}"
            text += f" and differs in {join(best.differs[:3])}." if best.differs else "."
        texts.append(text)
    return " ".join(texts)


def _that_event(request: Request, results: Results, focus: Focus) -> str:
    target = target_of(request, focus)
    if target is None:
        if focus[1] and request.rank:
            return "The last answer listed fewer events than that; name another one of them."
        return (
            "No event has been named yet; ask for one first, for example “Where is the longest "
            "apnea?”."
        )
    lead = f"{cite(target.epoch, target.clock)}: "
    if hasattr(target, "duration_s"):
        lead = f"That is {event_clause(target)}. "
    return lead + _descriptions(_found(request, results, focus))


def _recording(request: Request, results: Results, focus: Focus) -> str:
    (report,) = _found(request, results, focus)
    if not isinstance(report, NightReport):
        return failed(report)
    text = report.section_texts.get("recording", report.text)
    missing = "" if "not recorded" in text else " No channel of the montage is missing."
    text = " ".join(line.strip() for line in text.splitlines() if line.strip())
    return f"{text}{missing} Stages and events are by the {report.summary.scorer['kind']} scoring."


def _rem_periods(request: Request, results: Results, focus: Focus) -> str:
    (found,) = _found(request, results, focus)
    if isinstance(found, str) and (held := re.search(r"the (\w+) scoring has (\d+)", found)):
        if held[2] == "0":
            return f"There were no REM periods [{held[1]}]."
        plural = "period" if held[2] == "1" else "periods"
        verb = "is" if held[2] == "1" else "are"
        return (
            f"There {verb} {held[2]} REM {plural} [{held[1]}]; REM epochs that lie close together "
            "belong to one period."
        )
    return failed(found) if isinstance(found, str) else _descriptions([found])


def _term(request: Request, results: Results, focus: Focus) -> str:
    (found,) = _found(request, results, focus)
    if not isinstance(found, Definition):
        return failed(found)
    return f"{found.term}: {found.definition} [glossary, after {found.reference}]"


def _nights(request: Request, results: Results, focus: Focus) -> str:
    (found,) = _found(request, results, focus)
    if not isinstance(found, NightComparison):
        return failed(found)
    lines = {one.field: text for one, text in zip(found.figures, found.evidence, strict=True)}
    changed = [lines[one.field].text for one in found.figures if one.direction != "same"]
    same = [one.label for one in found.figures if one.direction == "same"]
    text = f"This night and {found.second}: {'; '.join(changed[:6])}." if changed else ""
    if same:
        text += f" About the same: {join(same)}."
    return f"{text} {found.note}".strip()


def _dispute(request: Request, results: Results, focus: Focus) -> str:
    alone, report = _found(request, results, focus)
    if not isinstance(alone, EventList):
        return failed(alone)
    what = noun(request.query, alone.total)
    text = (
        f"{alone.total} {what} of the {alone.source} scoring are seen by no other [{alone.source}]."
    )
    if alone.events:
        text += f" The first are at {join([cite(e.epoch, e.clock) for e in alone.events[:5]])}."
    for source, count in alone.only_there.items():
        text += f" The {source} scoring holds {count} that overlap none of these [{source}]."
    if isinstance(report, NightReport):
        text += "".join(f" {one}" for one in report.others_change[:2])
    return text


def _nadir(request: Request, results: Results, focus: Focus) -> str:
    report, place, *around = _found(request, results, focus)
    if not isinstance(report, NightReport):
        return failed(report)
    quantity = report.summary.quantity("spo2_nadir")
    text = f"The {quantity_clause('spo2_nadir', report.summary, verb='was')}"
    where = extreme_place(place, "spo2_min_pct", "lowest")
    if quantity.value is None or not where or not around:
        return f"{text}."
    text += f" {where}."
    artifacts, falls, breathing = around
    faults = [e for e in getattr(artifacts, "events", []) if e.channel in (None, "SPO2")]
    if not isinstance(artifacts, EventList):
        text += " The quality of the signal around it is not known."
    elif faults:
        text += (
            f" The quality check refuses {noun('artifact', 1)} there: {event_clause(faults[0])}."
        )
    else:
        text += " The quality check found nothing wrong with the oximeter there [measured]."
    for found, what in ((falls, "desaturation"), (breathing, "breathing event")):
        if isinstance(found, EventList):
            near = [*found.events, *found.reaching_in]
            text += (
                f" With it goes {event_clause(near[0])}, by [{near[0].source}]."
                if near
                else f" No {what} lies there [{found.source}], which speaks for a second look."
            )
    return f"{text} Whether it is real is for you to judge on the trace."


def _why_called(request: Request, results: Results, focus: Focus) -> str:
    found, term = _found(request, results, focus)
    if not isinstance(found, EventList):
        return failed(found)
    if not found.events:
        return f"There were no {noun(request.query, 2)}{scope_words(found.scope)} [{found.source}]."
    event = found.events[0]
    text = f"That is {event_clause(event)}, scored so by [{event.source}]."
    text += (
        f" Its measured terms: {event.detail} [{event.source}]."
        if event.detail
        else f" The {event.source} scoring keeps no measured terms with it, so its own reason is "
        "not known."
    )
    if event.also_seen_by:
        text += f" It is also seen by {join([f'[{source}]' for source in event.also_seen_by])}."
    if isinstance(term, Definition):
        text += f" By definition: {term.definition} [glossary, after {term.reference}]"
    return text


def _cause(request: Request, results: Results, focus: Focus) -> str:
    every, breathing, legs = _found(request, results, focus)
    if not isinstance(every, EventList):
        return failed(every)
    text = f"Of {every.total} {noun('arousal', every.total)} [{every.source}]"
    parts = []
    for found, words in ((breathing, "apneas and hypopneas"), (legs, "leg movements")):
        if isinstance(found, EventList):
            parts.append(f"{found.total} go with {words}")
    text += f", {join(parts)}." if parts else "."
    for found in (breathing, legs):
        if not isinstance(found, EventList):
            text += f" {failed(found)}"
    return (
        f"{text} Going together means overlapping or following within seconds; it does not prove "
        "what caused what."
    )


def _fixed(text: str) -> Callable[[Request, Results, Focus], str]:
    return lambda request, results, focus: text


def _explained(request: Request, results: Results, focus: Focus) -> str:
    return explain(request, _found(request, results, focus))


def _compared(request: Request, results: Results, focus: Focus) -> str:
    return compare(request, _found(request, results, focus))


_COMPOSERS: dict[Intent, Callable[[Request, Results, Focus], str]] = {
    Intent.LOCATE: _locate,
    Intent.QUANTITY: _quantity,
    Intent.DESCRIBE: _describe,
    Intent.SUMMARY: _summary,
    Intent.COMPARE: _compared,
    Intent.EXPLAIN: _explained,
    Intent.SIMILAR: _similar,
    Intent.THAT_EVENT: _that_event,
    Intent.RECORDING: _recording,
    Intent.REM_PERIODS: _rem_periods,
    Intent.TERM: _term,
    Intent.NIGHTS: _nights,
    Intent.DISPUTE: _dispute,
    Intent.CAUSE: _cause,
    Intent.NADIR: _nadir,
    Intent.WHY_CALLED: _why_called,
    Intent.GREETING: _fixed(f"Hello. A night is open and can be asked about. {CAN_ASK}"),
    Intent.THANKS: _fixed("You are welcome. Ask on whenever you like."),
    Intent.HELP: _fixed(CAN_ASK),
    Intent.REFUSAL: _fixed(REFUSAL),
    Intent.ELSEWHERE: _fixed(ELSEWHERE),
    Intent.UNKNOWN: _fixed(f"I did not understand that. {CAN_ASK}"),
}


def next_questions(requests: list[Request]) -> list[str]:
    """Up to three questions that follow on; none that asks the same again."""
    intent = requests[-1].intent
    offers = _OFFERS.get(intent, ()) + _ALWAYS
    asked = [_essence(request) for request in requests]
    fresh = []
    for offer in dict.fromkeys(offers):
        understood = understand(offer, requests[-1])
        if all(_essence(request) not in asked for request in understood):
            fresh.append(offer)
    return fresh[:3]


def _essence(request: Request) -> tuple[Any, ...]:
    """What makes two requests the same question."""
    return (request.intent, request.query, request.systems, request.quantities, request.picks,
            request.order, request.contrast, repr(sorted(request.when.items())))  # fmt: skip


_OFFERS: dict[Intent, tuple[str, ...]] = {
    Intent.LOCATE: ("And in REM?", "Which was the longest?"),
    Intent.QUANTITY: ("How was the night?", "Is it worse on the back?",
                      "Where is the longest apnea?"),
    Intent.DESCRIBE: ("And in REM?", "What is the heart doing?", "What is the breathing doing?"),
    Intent.SUMMARY: ("Where is the longest apnea?", "What was the lowest oxygen, and when?",
                     "Did sleep get better in the second half of the night?"),
    Intent.COMPARE: ("Why?", "Where is the longest apnea?"),
    Intent.EXPLAIN: ("Is it worse on the back?", "Compare REM and NREM"),
    Intent.SIMILAR: ("Show me that epoch",),
    Intent.THAT_EVENT: ("The next one", "Are there epochs like that one?"),
    Intent.TERM: ("What is the AHI?", "How was the night?"),
    Intent.CAUSE: ("Which desaturations had no apnea or hypopnea?",),
    Intent.REFUSAL: ("What is the AHI?", "What was the lowest oxygen, and when?"),
}  # fmt: skip
_ALWAYS = ("How was the night?", "What is the AHI?", "What is the heart doing?",
           "How close is the AHI to the next severity class?")  # fmt: skip
