"""Scoring files of other programs, read to a :class:`~sleeplm.scoring.Scoring` and written.

Read: NSRR XML, Profusion XML, EDF+ annotations (Sleep-EDF hypnograms among them), Noxturnal event
exports, CSV/TSV hypnograms and event lists, slpdb annotations, and the scoring JSON of the house.
Written: NSRR XML and the JSON, and for other programs those of :mod:`.writers`.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from sleeplm.errors import ScoringError
from sleeplm.scoring import Scoring
from sleeplm.scoring_files.edf_annotations import holds_scoring, read_edf_annotations
from sleeplm.scoring_files.physionet import read_slpdb
from sleeplm.scoring_files.tables import decoded, read_table
from sleeplm.scoring_files.vocabulary import signal_location
from sleeplm.scoring_files.writers import FORMATS, write_scoring
from sleeplm.scoring_files.xml_files import read_xml, write_nsrr_xml

__all__ = [
    "FORMATS",
    "find_scoring",
    "read_scoring",
    "write_nsrr_xml",
    "write_scoring",
    "write_scoring_json",
]

LARGEST_TEXT_BYTES = 100 * 2**20
_BESIDE = (
    "{stem}-nsrr.xml",
    "{stem}-profusion.xml",
    "{stem}.xml",
    "{stem}-Hypnogram.edf",
    "{stem}.scoring.json",
    "{stem}_scoring.json",
    "{stem}.st",
)
_TABLES_BESIDE = ("{stem}.csv", "{stem}.tsv")


def read_scoring(
    path: str | Path, start: datetime | None = None, duration_s: float | None = None
) -> Scoring:
    """Read a scoring file; its format is found from its content.

    Parameters
    ----------
    path : path
        NSRR or Profusion XML, EDF+ with annotations, Noxturnal export, CSV/TSV, scoring JSON, or an
        slpdb record (the ``.st`` file, or the record's path without ending).
    start : datetime, optional
        Clock time of the first epoch where the file states none.
    duration_s : float, optional
        Length of the recording, to tell 20-s from 30-s epochs in a bare list of stages.

    Returns
    -------
    Scoring
        On its own clock: times are seconds from the scoring's start. :meth:`Scoring.aligned`
        puts it on a recording's.

    Raises
    ------
    ScoringError
        No such file, not a scoring, damaged, epochs that are not 30 s long, nothing usable.
    """
    path = Path(path)
    record = path.with_name(path.name + ".st")
    if not path.exists() and record.is_file():
        path = record
    name = path.name
    if path.is_dir():
        raise ScoringError(f"{name}: this is a folder; name the scoring file in it")
    if not path.is_file():
        raise ScoringError(f"{name}: no such scoring file; check the path")
    scoring = _read_by_content(path, name, start, duration_s)
    if scoring.start is None and start is not None:
        scoring = replace(scoring, start=start)
    return scoring


def _read_by_content(
    path: Path, name: str, start: datetime | None, duration_s: float | None
) -> Scoring:
    if path.suffix.casefold() == ".st":
        return read_slpdb(path, name)
    with path.open("rb") as file:
        head = file.read(256)
    if not head.strip():
        raise ScoringError(f"{name}: the file is empty; give a scoring with stages or events")
    if re.match(rb"0 {7}|\xffBIOSEMI", head):
        return read_edf_annotations(path, name)
    size = path.stat().st_size
    if size > LARGEST_TEXT_BYTES:
        raise ScoringError(f"{name}: {size / 2**20:.0f} MB is too large for a scoring file")
    content = path.read_bytes()
    opening = head.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")
    if opening.startswith(b"<"):
        return read_xml(content, name)
    text = decoded(content, name)
    if opening.startswith((b"{", b"[")):
        return _read_json(text, name)
    return read_table(text, name, start, duration_s)


def _read_json(text: str, name: str) -> Scoring:
    scoring = Scoring.from_json(text, name)
    if not scoring.stages and not scoring.events and not scoring.untyped_apneas:
        raise ScoringError(f"{name}: no sleep stage and no event in it; give a scoring file")
    events = tuple(
        replace(event, channel=signal_location(event.channel)) for event in scoring.events
    )
    # Sentences in a file are somebody's free text: ours are made anew while reading.
    meta = {key: held for key, held in scoring.meta.items() if key not in ("why_not", "details")}
    return replace(scoring, events=events, problems=(), meta=meta)


def find_scoring(edf_path: str | Path) -> Path | None:
    """The scoring that lies beside a recording, or None.

    Looked for in this order: ``X-nsrr.xml``, ``X-profusion.xml``, ``X.xml``, ``X-Hypnogram.edf``
    (and Sleep-EDF's pairs ``SC4001E0-PSG.edf`` / ``SC4001EC-Hypnogram.edf``), ``X.scoring.json``,
    ``X_scoring.json``, ``X.st``, ``X.csv`` and ``X.tsv`` where they read as a scoring, and at last
    the recording itself, where its EDF+ annotations hold stages. A truth file is never taken.
    """
    edf_path = Path(edf_path)
    stem = edf_path.stem
    for pattern in _BESIDE:
        candidate = edf_path.with_name(pattern.format(stem=stem))
        if candidate.is_file() and candidate != edf_path:
            return candidate
    sleep_edf = re.fullmatch(r"((?:SC|ST)\d{4}).\d-PSG", stem, flags=re.IGNORECASE)
    if sleep_edf:
        pairs = sorted(edf_path.parent.glob(f"{sleep_edf.group(1)}*-Hypnogram.edf"))
        if len(pairs) == 1:
            return pairs[0]
    for pattern in _TABLES_BESIDE:
        candidate = edf_path.with_name(pattern.format(stem=stem))
        if candidate.is_file() and _reads(candidate):
            return candidate
    if edf_path.suffix.casefold() in (".edf", ".bdf", ".rec") and edf_path.is_file():
        return edf_path if holds_scoring(edf_path) else None
    return None


def _reads(path: Path) -> bool:
    try:
        read_scoring(path)
    except ScoringError:
        return False
    return True


def write_scoring_json(scoring: Scoring, path: str | Path) -> None:
    """Write the scoring JSON of the house; the file appears whole or not at all."""
    target = Path(path)
    partial = target.with_name(target.name + ".part")
    partial.write_text(scoring.to_json(), encoding="utf-8")
    os.replace(partial, target)
