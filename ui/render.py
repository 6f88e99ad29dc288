"""From a question's events to the messages of the chat. Pure: no Gradio, no night, no clock.

Each tool step becomes a titled part that folds; the answer follows, with its citations as links
that the page turns into movements of both views, its sources as badges, and what could not be
verified struck through.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

from agent.answer import Answer, Finished, StreamEvent, Token, ToolFinished, ToolStarted
from tools.artifacts import Artifact, Description, EventList, Evidence, NightReport, SimilarCases
from ui.theme import EVENT_MARKS, event_name

__all__ = [
    "answer_markdown",
    "cited_spans",
    "error_messages",
    "step_title",
    "turn_messages",
]

Message = dict[str, Any]

TABLE_ROWS = 12
CHIPS = 6
_UNVERIFIED_REASON = "no tool result of this conversation holds this number"
_CLOCK = r"\+?\d{1,3}:\d{2}(?::\d{2})?"
_CITATION = re.compile(
    r"\[(?:epochs?\s+)?(?P<first>\d+)(?:\s*[-–]\s*(?P<last>\d+))?"
    rf"(?:,\s*(?P<clock>{_CLOCK})(?:\s*[-–]\s*(?P<clock_end>{_CLOCK}))?)?\]"
)
_WITNESS = r"(?:expert|automatic|model|measured)"
_SOURCE = re.compile(rf"\[(?P<names>{_WITNESS}(?:\s*[,+/]\s*{_WITNESS})*)\]")
_UNVERIFIED = re.compile(r"(?P<number>[^\s(]+(?:\s*(?:%|/h|min|s|h|bpm))?) \(unverified\)")


def turn_messages(question: str, events: Sequence[StreamEvent], waiting: str = "") -> list[Message]:
    """Messages of one question from the events so far; call again as more arrive.

    Parameters
    ----------
    question : str
        As the user wrote it.
    events : sequence of StreamEvent
        From :meth:`agent.orchestrator.Orchestrator.stream`, in order.
    waiting : str
        What the automatic scoring is doing, shown in a step that has not finished.

    Returns
    -------
    list of dict
        Gradio messages: the user's, one for each tool step, then the answer's.
    """
    steps: dict[str, Message] = {}
    text = ""
    answer: Answer | None = None
    for event in events:
        if isinstance(event, ToolStarted):
            steps[event.id] = {
                "role": "assistant",
                "content": "",
                "metadata": {"title": step_title(event.name, event.args), "status": "pending"},
            }
            text = ""
        elif isinstance(event, ToolFinished) and event.id in steps:
            steps[event.id]["content"] = _step_markdown(event)
            steps[event.id]["metadata"] |= {
                "status": "done",
                "duration": max(round(event.duration_s, 1), 0.1),
                **({"log": "no result"} if event.error else {}),
            }
        elif isinstance(event, Token):
            text += event.text
        elif isinstance(event, Finished):
            answer = event.answer
    if waiting:
        for step in steps.values():
            if step["metadata"]["status"] == "pending":
                step["content"] = f"scoring under way: {html.escape(waiting, quote=False)}"
                step["metadata"]["log"] = waiting
    messages = [{"role": "user", "content": html.escape(question, quote=False)}, *steps.values()]
    if answer is not None:
        final: Message = {"role": "assistant", "content": _final_markdown(answer)}
        if answer.next_questions:
            final["options"] = [{"value": follow} for follow in answer.next_questions]
        messages.append(final)
    elif text:
        messages.append({"role": "assistant", "content": answer_markdown(text)})
    return messages


def error_messages(question: str, events: Sequence[StreamEvent], sentence: str) -> list[Message]:
    """The same turn, ended by a sentence that says what went wrong and what to do."""
    messages = turn_messages(question, [event for event in events if not isinstance(event, Token)])
    for message in messages:
        if message.get("metadata", {}).get("status") == "pending":
            message["metadata"] |= {"status": "done", "log": "not finished"}
    return [*messages, {"role": "assistant", "content": f"⚠ {html.escape(sentence, quote=False)}"}]


def step_title(name: str, args: dict[str, Any]) -> str:
    """A tool call in one line: ``locate_events "obstructive apnea" · stage R``."""
    subject = args.get("query") or args.get("text") or args.get("system")
    parts = [f"{name} “{subject}”" if subject else name]
    if args.get("epoch") is not None:
        parts.append(f"epoch {args['epoch']}")
    if args.get("sections"):
        parts.append(", ".join(str(section) for section in args["sections"]))
    when = args.get("when") or {}
    if when.get("epochs"):
        parts.append("epochs {}–{}".format(*when["epochs"]))
    if when.get("clock_from") or when.get("clock_to"):
        parts.append(f"{when.get('clock_from') or 'start'} to {when.get('clock_to') or 'end'}")
    parts += [
        str(when[name]).replace("_", " ")
        for name in ("stage", "part", "position")
        if when.get(name)
    ]
    if args.get("order") not in (None, "time"):
        parts.append(f"{args['order']} first")
    return " · ".join(parts)


def answer_markdown(text: str) -> str:
    """Answer text with links for citations, badges for sources, a strike for unverified numbers."""
    safe = html.escape(text, quote=False)
    safe = _UNVERIFIED.sub(
        lambda match: (
            f'<span class="s-unverified" title="{_UNVERIFIED_REASON}">{match["number"]}</span>'
            " (unverified)"
        ),
        safe,
    )
    safe = _CITATION.sub(_citation_link, safe)
    return _SOURCE.sub(
        lambda match: " ".join(_badge(name) for name in re.findall(r"[a-z]+", match["names"])), safe
    )


def cited_spans(answer: Answer) -> list[dict[str, float]]:
    """Stretches of the night that an answer names, first named first: what the views shade."""
    spans: list[dict[str, float]] = []
    for item in _placed(answer.evidence):
        named = item.clock and item.clock in answer.answer
        if named and item.onset_s is not None:
            end_s = item.end_s if item.end_s is not None else item.onset_s + 30.0
            spans.append({"start_s": item.onset_s, "end_s": end_s})
    order = {
        item.onset_s: answer.answer.find(item.clock)
        for item in answer.evidence
        if item.clock and item.onset_s is not None
    }
    spans.sort(key=lambda span: order.get(span["start_s"], 0))
    return spans


def _final_markdown(answer: Answer) -> str:
    parts = [answer_markdown(answer.answer)]
    cited = {match["clock"] for match in _CITATION.finditer(answer.answer)}
    groups: dict[str, list[Evidence]] = {}
    for item in _placed(answer.evidence):
        if item.clock not in cited:
            is_event = item.kind == "event" and item.field in EVENT_MARKS
            groups.setdefault(EVENT_MARKS[item.field].label if is_event else "See", []).append(item)  # type: ignore[index]
    for label, items in groups.items():
        more = f" · and {len(items) - CHIPS} more" if len(items) > CHIPS else ""
        chips = [f"[{_chip_text(item)}]({_span_link(item)})" for item in items[:CHIPS]]
        parts.append(f"{label}: {' · '.join(chips)}{more}")
    return "\n\n".join(parts)


def _placed(evidence: Iterable[Evidence]) -> list[Evidence]:
    """Evidence that stands at one place of this night; long scopes and other nights do not."""
    found: dict[tuple[float, float | None], Evidence] = {}
    for item in evidence:
        if item.kind in ("event", "epoch", "caption") and item.onset_s is not None and item.clock:
            found.setdefault((item.onset_s, item.end_s), item)
    return list(found.values())


def _chip_text(item: Evidence) -> str:
    if item.kind == "event" and item.field in EVENT_MARKS and item.end_s is not None:
        length = item.end_s - (item.onset_s or 0.0)
        return f"{item.clock} ({length:.0f} s)"
    return f"epoch {item.epoch}, {item.clock}" if item.epoch else str(item.clock)


def _span_link(item: Evidence) -> str:
    end_s = item.end_s if item.end_s is not None else (item.onset_s or 0.0) + 30.0
    return f"#t-{item.onset_s:.1f}-{end_s:.1f}"


def _citation_link(match: re.Match[str]) -> str:
    first, last = match["first"], match["last"]
    if match["clock"] is None and not match[0].startswith("[epoch"):
        return match[0]
    where = f"epochs {first}–{last}" if last else f"epoch {first}"
    clock = f" · {match['clock']}" if match["clock"] else ""
    if match["clock_end"]:
        clock += f"–{match['clock_end']}"
    return f"[{where}{clock}](#epoch-{first}{f'-{last}' if last else ''})"


def _badge(source: str) -> str:
    return f'<span class="s-badge {source}">{source}</span>'


def _step_markdown(step: ToolFinished) -> str:
    if step.error:
        return html.escape(step.error, quote=False)
    artifact = step.artifact
    if isinstance(artifact, EventList):
        return _event_table(artifact)
    if isinstance(artifact, Description):
        return _description(artifact)
    if isinstance(artifact, SimilarCases):
        return _case_table(artifact)
    if isinstance(artifact, NightReport):
        sections = artifact.section_texts or {"": artifact.text}
        return "\n\n".join(answer_markdown(text) for text in sections.values())
    if isinstance(artifact, Artifact):
        return answer_markdown(artifact.text)
    return answer_markdown(step.text)


def _event_table(found: EventList) -> str:
    scope = f" in {found.scope.text}" if found.scope else ""
    lines = [f"{found.in_sleep} in sleep{html.escape(scope, quote=False)} {_badge(found.source)}"]
    if found.per_hour is not None:
        lines[0] += f" · {found.per_hour:.1f} per hour of sleep"
    if found.outside_sleep:
        lines[0] += f" · {found.outside_sleep} outside sleep"
    for source, count in found.other_sources.items():
        lines.append(f"{count} by the other scoring {_badge(source)}")
    if found.events:
        rows = [
            f"| [{event.clock}](#t-{event.onset_s:.1f}-{event.end_s:.1f}) | {event.epoch} "
            f"| {event_name(event.kind) if event.kind in EVENT_MARKS else html.escape(event.kind)} "
            f"| {event.duration_s:.0f} s | {event.stage} "
            f"| {f'{event.nadir_pct:.0f} %' if event.nadir_pct is not None else ''} |"
            for event in found.events[:TABLE_ROWS]
        ]
        lines.append(
            "| at | epoch | event | length | stage | lowest SpO₂ |\n|---|--:|---|--:|---|--:|\n"
            + "\n".join(rows)
        )
        if found.total > len(rows):
            lines.append(f"{len(rows)} of {found.total} shown.")
    return "\n\n".join(lines)


def _description(found: Description) -> str:
    lines = []
    if found.scope:
        lines.append(html.escape(found.scope.text, quote=False))
    for caption in found.captions[:TABLE_ROWS]:
        link = f"[epoch {caption.epoch} · {caption.clock}](#epoch-{caption.epoch})"
        lines.append(f"{link} {_badge(found.caption_source)} {html.escape(caption.text)}")
    if found.measured:
        trends = any(one.trend for one in found.measured)
        rows = [
            f"| {html.escape(one.label)} | {one.median:.1f} | {one.low:.1f}–{one.high:.1f} "
            f"| {one.unit} |" + (f" {one.trend or ''} |" if trends else "")
            for one in found.measured
        ]
        head = "| | median | range | unit |" + (" trend |" if trends else "")
        rule = "|---|--:|--:|---|" + ("---|" if trends else "")
        lines.append("\n".join([f"{_badge('measured')}\n", head, rule, *rows]))
    if found.shares:
        shares = ", ".join(f"{one.name} {one.minutes:.1f} min" for one in found.shares)
        lines.append(f"{html.escape(shares)} {_badge(found.shares_source or found.source)}")
    if found.missing:
        lines.append(f"Not recorded: {', '.join(found.missing)}.")
    return "\n\n".join(lines) or answer_markdown(found.text)


def _case_table(found: SimilarCases) -> str:
    rows = []
    for case in found.hits[:TABLE_ROWS]:
        where = case.night
        if case.same_night and case.epoch is not None:
            where = f"[epoch {case.epoch} · {case.clock}](#epoch-{case.epoch})"
        elif case.epoch is not None:
            where = f"{case.night}, epoch {case.epoch}"
        events = ", ".join(event_name(e) if e in EVENT_MARKS else e for e in case.events)
        rows.append(f"| {where} | {case.similarity:.2f} | {case.stage or ''} | {events} |")
    head = f"{found.searched} {found.level} compared {_badge('model')}"
    if not rows:
        return head
    table = "| case | similarity | stage | events |\n|---|--:|---|---|\n" + "\n".join(rows)
    return f"{head}\n\n{table}"
