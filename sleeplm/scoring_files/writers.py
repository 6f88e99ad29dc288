"""Scorings written for other programs: CSV, EDF+, two XML forms, EDFbrowser, Luna, BIDS, JSON.

Times are seconds from the start of the recording. Stages are written as one row for each epoch
(as one for each run of epochs in NSRR XML), events as one row each; the names are those that the
program reads, and our own readers read every format back to the same stages and events.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from sleeplm.errors import ScoringError
from sleeplm.scoring import EPOCH_S, UNSCORED, Scoring, has_real_date
from sleeplm.scoring_files.xml_files import write_nsrr_xml, write_profusion_xml

__all__ = ["FORMATS", "format_of", "write_scoring"]

Row = tuple[float, float, str, str, float | None]
"""Onset, duration, name, channel ("" where none is named), confidence."""
UNTYPED_APNEA = "apnea"
_EDF_STAGES = {
    "W": "Sleep stage W",
    "N1": "Sleep stage N1",
    "N2": "Sleep stage N2",
    "N3": "Sleep stage N3",
    "R": "Sleep stage R",
    UNSCORED: "Sleep stage ?",
}
_LUNA_STAGES = {stage: stage for stage in ("W", "N1", "N2", "N3", "R")} | {UNSCORED: "?"}
_HOUSE_STAGES = {stage: stage for stage in (*_LUNA_STAGES,)}


def _rows(scoring: Scoring, stages: dict[str, str]) -> Iterator[Row]:
    """Stages and events by onset, the stage of an epoch before the events that begin with it."""
    rows: list[tuple[float, int, Row]] = [
        (index * EPOCH_S, 0, (index * EPOCH_S, EPOCH_S, stages[stage], "", None))
        for index, stage in enumerate(scoring.stages)
    ]
    rows += [
        (
            event.onset_s,
            1,
            (event.onset_s, event.duration_s, event.kind, event.channel or "", event.confidence),
        )
        for event in scoring.events
    ]
    rows += [
        (onset_s, 1, (onset_s, duration_s, UNTYPED_APNEA, "", None))
        for onset_s, duration_s in scoring.untyped_apneas
    ]
    for _, _, row in sorted(rows, key=lambda entry: (entry[0], entry[1])):
        yield row


def _table(header: list[str], lines: Iterator[list[str]], delimiter: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return text.getvalue()


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _csv(scoring: Scoring) -> str:
    lines = (
        [
            _number(onset_s),
            _number(duration_s),
            name,
            channel,
            "" if confidence is None else _number(confidence),
        ]
        for onset_s, duration_s, name, channel, confidence in _rows(scoring, _HOUSE_STAGES)
    )
    return _table(["onset_s", "duration_s", "event", "channel", "confidence"], lines, ",")


def _edfbrowser(scoring: Scoring) -> str:
    lines = (
        [_number(onset_s), _number(duration_s), name]
        for onset_s, duration_s, name, _, _ in _rows(scoring, _EDF_STAGES)
    )
    return _table(["Onset", "Duration", "Annotation"], lines, ",")


def _luna(scoring: Scoring) -> str:
    lines = (
        [name, ".", channel or ".", _number(onset_s), _number(onset_s + duration_s), "."]
        for onset_s, duration_s, name, channel, _ in _rows(scoring, _LUNA_STAGES)
    )
    return _table(["class", "instance", "channel", "start", "stop", "meta"], lines, "\t")


def _bids(scoring: Scoring) -> str:
    lines = (
        [_number(onset_s), _number(duration_s), name, channel or "n/a"]
        for onset_s, duration_s, name, channel, _ in _rows(scoring, _EDF_STAGES)
    )
    return _table(["onset", "duration", "trial_type", "channel"], lines, "\t")


def _write_text(make: Callable[[Scoring], str]) -> Callable[[Scoring, Path], None]:
    def write(scoring: Scoring, path: Path) -> None:
        path.write_text(make(scoring), encoding="utf-8")

    return write


def _write_edf(scoring: Scoring, path: Path) -> None:
    """An EDF+ file with annotations alone, at the clock time of the recording."""
    import edfio

    annotations = [
        edfio.EdfAnnotation(round(onset_s, 3), round(duration_s, 3), name)
        for onset_s, duration_s, name, _, _ in _rows(scoring, _EDF_STAGES)
    ]
    start = scoring.start
    dated = start is not None and has_real_date(start)
    edfio.Edf(
        [],
        recording=edfio.Recording(startdate=start.date() if start and dated else None),
        starttime=start.time() if start is not None else None,
        annotations=annotations,
    ).write(path)


def _write_nsrr(scoring: Scoring, path: Path) -> None:
    write_nsrr_xml(scoring, path)


def _write_profusion(scoring: Scoring, path: Path) -> None:
    write_profusion_xml(scoring, path)


FORMATS: dict[str, tuple[str, Callable[[Scoring, Path], None]]] = {
    "csv": (".csv", _write_text(_csv)),
    "edf": (".edf", _write_edf),
    "nsrr": (".xml", _write_nsrr),
    "profusion": ("-profusion.xml", _write_profusion),
    "edfbrowser": (".edfbrowser.csv", _write_text(_edfbrowser)),
    "luna": (".annot", _write_text(_luna)),
    "bids": ("_events.tsv", _write_text(_bids)),
    "json": (".json", _write_text(lambda scoring: scoring.to_json())),
}
"""Name of a format → the ending that chooses it, and its writer."""
_BY_ENDING = (
    *sorted(((ending, name) for name, (ending, _) in FORMATS.items()), key=lambda e: -len(e[0])),
    (".tsv", "bids"),
)


def format_of(path: str | Path, stated: str | None = None) -> str:
    """Format by its stated name, else by the ending of the file.

    Raises
    ------
    ScoringError
        Neither says one; the message lists them.
    """
    if stated is not None:
        if stated.casefold() in FORMATS:
            return stated.casefold()
        raise ScoringError(f"format {stated[:24]!r} is not known; use one of {', '.join(FORMATS)}")
    name = Path(path).name.casefold()
    for ending, found in _BY_ENDING:
        if name.endswith(ending):
            return found
    endings = ", ".join(ending for ending, _ in _BY_ENDING)
    raise ScoringError(
        f"{Path(path).name}: the ending names no format; use one of {endings}, or --format "
        f"{'|'.join(FORMATS)}"
    )


def write_scoring(scoring: Scoring, path: str | Path, stated: str | None = None) -> str:
    """Write a scoring; the file appears whole or not at all.

    Parameters
    ----------
    scoring : Scoring
        On the recording's clock.
    path : path
    stated : str, optional
        One of :data:`FORMATS`; by default the ending of the file chooses.

    Returns
    -------
    str
        The name of the format.

    Raises
    ------
    ScoringError
        The format is not known, or the folder does not exist.
    """
    target = Path(path)
    name = format_of(target, stated)
    if not target.parent.is_dir():
        raise ScoringError(f"{target}: there is no folder {target.parent}; make it first")
    ending = FORMATS[name][0]
    partial = target.with_name(f".{target.name}.part{Path(ending).suffix}")
    try:
        FORMATS[name][1](scoring, partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return name
