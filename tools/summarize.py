"""``summarize_night``: the night's report, by section."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sleeplm.scoring import RESPIRATORY_KINDS
from tools.arguments import SECTIONS, Section, SummarizeArguments
from tools.artifacts import Evidence, NightReport
from tools.calling import sleep_tool
from tools.facts import NightFacts, event_evidence, event_words, kind_words
from tools.report import section_evidence, section_formulas, section_text
from tools.suppose import severity_margin, supposed, weakest_events
from tools.witnesses import scorings_at_hand

if TYPE_CHECKING:
    from sleeplm.night import Night
    from sleeplm.summary import Insight, NightSummary
    from tools.session import Session

__all__ = ["COMPARED", "summarize_night", "summarize_session"]

#: Figures by which scorings are compared: field → least difference worth a sentence, in its unit.
COMPARED = {"ahi": 2.0, "odi3": 2.0, "arousal_index": 3.0, "tst": 15.0}
#: … and least difference as a share of the preferred scoring's value.
LEAST_SHARE = 0.1
_NAMES = {
    "ahi": "AHI",
    "odi3": "ODI3",
    "arousal_index": "arousal index",
    "tst": "total sleep time",
}


def summarize_session(session: Session, arguments: SummarizeArguments) -> NightReport:
    """The report of the session's night.

    Parameters
    ----------
    session : Session
        Holds the night and the choice of scoring.
    arguments : SummarizeArguments
        Sections; all where none is named.

    Returns
    -------
    NightReport
        With the whole summary, whatever the sections of the text.
    """
    night = session.night
    summary = as_it_is = night.summary(session.scoring)
    told: list[str] = []
    if arguments.supposes:
        summary, told = supposed(NightFacts.of(session), arguments)
    sections: list[Section] = list(dict.fromkeys(arguments.sections or SECTIONS))
    figures = [section for section in sections if section != "insights"]
    texts: dict[str, str] = {section: _section(night, summary, section) for section in figures}
    evidence: list[Evidence] = []
    for section in figures:
        evidence += section_evidence(summary, section)
    if {"sleep", "respiratory", "insights"} & set(sections):
        texts |= _insight_texts(night, summary, asked="insights" in sections)
        evidence += [fact for one in summary.insights for fact in _remark(night, summary, one)]
    if told:
        # A figure of a supposition must not be taken for one of the night.
        given = " and ".join(told)
        evidence = [
            e.model_copy(update={"text": f"{e.text} (supposing {given})"}) for e in evidence
        ]
    source = str(summary.scorer["kind"])
    head = f"Report of the night; stages and events by the {source} scoring."
    if told:
        head = f"What if: {' and '.join(told)}. {head}"
    result = NightReport(
        source=f"{source}, measured",
        night=night.id,
        text="",
        evidence=evidence,
        sections=list(sections),
        section_texts=texts,
        formulas={k: v for section in figures for k, v in section_formulas(section).items()},
        summary=summary,
        supposed=told,
    )
    lines = [head, *texts.values()]
    if told:
        result.as_it_is = _indices(as_it_is)
        lines.append(f"As it is, without the supposition: {_index_text(as_it_is)}.")
    else:
        _compare_witnesses(session, result)
        lines += _witness_lines(session, result, sections)
    if "respiratory" in sections:
        result.margin = severity_margin(summary.ahi, summary.tst.value)
        lines += [result.margin] if result.margin else []
        if result.margin and not told:
            facts = NightFacts.of(session)
            others = {
                source: scoring
                for source, scoring in scorings_at_hand(session).items()
                if source != summary.scorer["kind"] and scoring.looked_for(RESPIRATORY_KINDS[:1])
            }
            result.margin_events = weakest_events(facts, summary, others)
            lines += _margin_lines(result)
            result.evidence += event_evidence(result.margin_events)
    if "insights" in sections and summary.review_first and not told:
        lines.append(_review_text(night, summary))
    result.text = "\n".join(lines)
    return result


def _indices(summary: NightSummary) -> dict[str, float]:
    values = {name: summary.quantity(name).value for name in COMPARED}
    return {name: round(value, 4) for name, value in values.items() if value is not None}


def _index_text(summary: NightSummary) -> str:
    held = _indices(summary)
    return ", ".join(
        f"{_NAMES[name]} {value:.1f}{'/h' if summary.quantity(name).unit == '/h' else ' min'} "
        f"[{summary.quantity(name).source}]"
        for name, value in held.items()
    )


def _compare_witnesses(session: Session, result: NightReport) -> None:
    """Fill in what the other scorings at hand say, and where that changes the answer."""
    summary = result.summary
    for source in scorings_at_hand(session):
        if source == summary.scorer["kind"]:
            continue
        other = session.night.summary(source)
        result.others[source] = _indices(other)
        words = (summary.severity.word, other.severity.word)
        if None not in words and words[0] != words[1]:
            result.others_change.append(
                f"By the {source} scoring the AHI is {other.ahi.value:.1f}/h, which is called "
                f"{words[1]} and not {words[0]} [{source}]."
            )
        for name, least in COMPARED.items():
            mine, theirs = summary.quantity(name).value, other.quantity(name).value
            if mine is None or theirs is None or (name == "ahi" and words[0] != words[1]):
                continue
            if abs(mine - theirs) >= max(least, LEAST_SHARE * abs(mine)):
                unit = "/h" if other.quantity(name).unit == "/h" else " min"
                result.others_change.append(
                    f"By the {source} scoring the {_NAMES[name]} is {theirs:.1f}{unit} [{source}]."
                )


def _witness_lines(session: Session, result: NightReport, sections: list[Section]) -> list[str]:
    if not {"sleep", "respiratory", "oximetry", "arousals"} & set(sections):
        return []
    lines = []
    for source in result.others:
        other = session.night.summary(source)
        lines.append(f"By the {source} scoring: {_index_text(other)}.")
    return lines + result.others_change[:4]


def _section(night: Night, summary: NightSummary, section: Section) -> str:
    text = section_text(summary, section)
    severity = summary.severity
    if section == "respiratory" and severity.word:
        mostly = severity.predominance if severity.word != "none" else None
        kind = f", mostly {mostly}" if mostly else ""
        text += f" Severity by AHI: {severity.word}{kind} ({severity.rule}; {severity.source})."
    if section == "recording" and night.recording.missing:
        text += f" Channels not recorded: {', '.join(night.recording.missing)}."
    return text


def _insight_texts(night: Night, summary: NightSummary, asked: bool) -> dict[str, str]:
    """The remarks with their places; which rules could not be judged where they are asked for."""
    texts = {}
    if summary.insights:
        remarks = [
            f"{insight.text}{_places(night, insight)} ({insight.source})"
            for insight in summary.insights
        ]
        texts["insights"] = f"Remarks: {'; '.join(remarks)}."
    elif asked:
        texts["insights"] = "Remarks: no rule is met."
    if asked and summary.not_judged:
        reasons = [
            f"{name.replace('_', ' ')} ({reason})" for name, reason in summary.not_judged.items()
        ]
        texts["not_judged"] = f"Could not be judged: {'; '.join(reasons)}."
    return texts


def _margin_lines(result: NightReport) -> list[str]:
    """Which events the class hangs on, the weakest first."""
    if not result.margin_events:
        return []
    lines = [
        "The weakest of them (not seen by another scoring at hand, least fall of SpO2, shortest) "
        "that would have to go:"
    ]
    for event in result.margin_events:
        depth = "" if event.depth_pct is None else f", SpO2 falls by {event.depth_pct:.1f} points"
        lines.append(f"- {kind_words(event.kind)}, {event_words(event)}{depth} [{event.source}]")
    return lines


def _review_text(night: Night, summary: NightSummary) -> str:
    """Where the scorings at hand disagree most, so where two scorers would."""
    places = [
        f"epochs {one.epoch}-{one.last_epoch}, from {night.clock(one.onset_s)} ({one.why})"
        for one in summary.review_first[:5]
    ]
    return f"Scorers would disagree most in: {'; '.join(places)}."


def _places(night: Night, insight: Insight) -> str:
    named = [
        f"epoch {span.epoch}, {night.clock(span.onset_s)}"
        if span.last_epoch == span.epoch
        else f"epochs {span.epoch}-{span.last_epoch}, from {night.clock(span.onset_s)}"
        for span in insight.spans
    ]
    return f" [see {'; '.join(named)}]" if named else ""


def _remark(night: Night, summary: NightSummary, insight: Insight) -> list[Evidence]:
    """The remark, once for each place that shows it; once without a place where it has none."""
    fact = Evidence(
        kind="quantity",
        source=str(summary.scorer["kind"]),
        text=insight.text,
        field=f"insight.{insight.name}",
    )
    placed = [
        fact.model_copy(
            update={
                "epoch": span.epoch,
                "onset_s": span.onset_s,
                "end_s": span.end_s,
                "clock": night.clock(span.onset_s),
            }
        )
        for span in insight.spans
    ]
    return placed or [fact]


summarize_night = sleep_tool(
    "summarize_night",
    SummarizeArguments,
    summarize_session,
    "The sleep report of the open night: total sleep time, efficiency, latencies, WASO, stages, "
    "AHI and other respiratory indices, oximetry, arousals, heart rate, movements, positions. Use "
    "it for indices and totals of the whole night (AHI, ODI, TST, T90 ...), for overviews, for how "
    "near the severity class is to the next, for remarks on the night (section insights: "
    "positional or REM-related events, fragmentation, REM latency, hypoxic burden, insomnia "
    "pattern, Cheyne-Stokes suspicion, PLM, heart rate with arousals, disagreement of scorings) "
    "and for what-if questions (another lights off, or without a part of the night).",
)
