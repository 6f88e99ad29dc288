"""``summarize_night``: the night's report, by section."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.arguments import SECTIONS, Section, SummarizeArguments
from tools.artifacts import Evidence, NightReport
from tools.calling import sleep_tool
from tools.report import section_evidence, section_text

if TYPE_CHECKING:
    from sleeplm.night import Night
    from sleeplm.summary import Insight, NightSummary
    from tools.session import Session

__all__ = ["summarize_night", "summarize_session"]


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
    summary = night.summary(session.scoring)
    sections: list[Section] = list(dict.fromkeys(arguments.sections or SECTIONS))
    texts: dict[str, str] = {section: _section(night, summary, section) for section in sections}
    evidence: list[Evidence] = []
    for section in sections:
        evidence += section_evidence(summary, section)
    if summary.insights and {"sleep", "respiratory"} & set(sections):
        remarks = [f"{insight.text} ({insight.source})" for insight in summary.insights]
        texts["insights"] = f"Remarks: {'; '.join(remarks)}."
        evidence += [_remark(summary, insight) for insight in summary.insights]
    source = summary.scorer["kind"]
    head = f"Report of the night; stages and events by the {source} scoring"
    return NightReport(
        source=f"{source}, measured",
        night=night.id,
        text="\n".join([f"{head}.", *texts.values()]),
        evidence=evidence,
        sections=list(sections),
        section_texts=texts,
        summary=summary,
    )


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


def _remark(summary: NightSummary, insight: Insight) -> Evidence:
    return Evidence(
        kind="quantity",
        source=str(summary.scorer["kind"]),
        text=insight.text,
        field=f"insight.{insight.name}",
    )


summarize_night = sleep_tool(
    "summarize_night",
    SummarizeArguments,
    summarize_session,
    "The sleep report of the open night: total sleep time, efficiency, latencies, WASO, stages, "
    "AHI and other respiratory indices, oximetry, arousals, heart rate, movements, positions. Use "
    "it for indices and totals of the whole night (AHI, ODI, TST, T90 ...) and for overviews.",
)
