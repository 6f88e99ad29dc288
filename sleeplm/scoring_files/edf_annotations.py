"""Stages and events in the annotations of an EDF+ or BDF+ file, hypnogram files among them."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path

from sleeplm.errors import ScoringError
from sleeplm.scoring import EPOCH_S, Scoring
from sleeplm.scoring_files.vocabulary import Draft, meaning_of

__all__ = ["holds_scoring", "read_edf_annotations"]

HYPNOGRAM_TAIL_S = EPOCH_S
"""Length given to a last stage mark that states none."""


def read_edf_annotations(path: Path, name: str) -> Scoring:
    """A scoring from EDF+ annotations (EDF+ standard texts, AASM and R&K names).

    Stage marks without a duration hold until the next stage mark, the last one for one epoch.
    """
    import edfio

    try:
        with path.open("rb") as file:
            is_bdf = file.read(1) == b"\xff"
        header = edfio.read_bdf(path) if is_bdf else edfio.read_edf(path)
        annotations = header.annotations
        has_signals = bool(header.signals)
    except Exception as error:  # a damaged file fails in edfio in many ways
        raise ScoringError(
            f"{name}: the EDF+ annotations cannot be read ({type(error).__name__}); the file "
            "may be cut off: copy it again"
        ) from error
    draft = Draft(name)
    try:
        draft.start = datetime.combine(header.startdate, header.starttime)
    except Exception:  # an anonymised or damaged date leaves the scoring without a clock
        draft.problems.append("the start date of the EDF+ file cannot be read")
    marks: list[tuple[float, float, str]] = []
    for annotation in annotations:
        label = annotation.text.strip()
        if not label:
            continue
        duration_s = math.nan if annotation.duration is None else float(annotation.duration)
        found = meaning_of(label)
        if found is not None and found[0] in ("stage", "stage_without_depth"):
            marks.append((float(annotation.onset), duration_s, label))
        else:
            draft.add(label, float(annotation.onset), duration_s if duration_s >= 0 else 0.0)
    _add_stage_marks(marks, draft)
    if has_signals and not draft.rows and not draft.events and not draft.untyped_apneas:
        raise ScoringError(
            f"{name}: this is a recording with signals whose annotations hold no sleep stage "
            "and no known event; give its scoring file, or none"
        )
    return draft.scoring()


def _add_stage_marks(marks: list[tuple[float, float, str]], draft: Draft) -> None:
    marks.sort(key=lambda mark: mark[0])
    open_marks = 0
    for position, (onset_s, duration_s, label) in enumerate(marks):
        if not duration_s > 0:
            open_marks += 1
            following = [later for later, _, _ in marks[position + 1 : position + 2]]
            duration_s = following[0] - onset_s if following else HYPNOGRAM_TAIL_S
        found = meaning_of(label)
        if found is not None and duration_s > 0:
            draft.add_stage(found[1], onset_s, duration_s)
    if open_marks:
        draft.problems.append(
            f"{open_marks} stage marks state no duration; each holds until the next one"
        )


def holds_scoring(path: Path) -> bool:
    """Whether the annotations inside an EDF+ file hold stages (events alone are not a scoring)."""
    with path.open("rb") as file:
        if b"DF+" not in file.read(236)[192:]:  # a plain EDF has no annotations
            return False
    try:
        return read_edf_annotations(path, path.name).n_epochs > 0
    except ScoringError:
        return False
