"""MIT-BIH Polysomnographic Database annotations (slpdb), read through wfdb.

Every 30 s one note: the stage, then what happened in that epoch (README.st of the database).
"""

from __future__ import annotations

import datetime
from pathlib import Path

from sleeplm.errors import ScoringError
from sleeplm.scoring import EPOCH_S, UNSCORED, Event, Scoring
from sleeplm.scoring_files.vocabulary import Draft

__all__ = ["read_slpdb"]

SLPDB_STAGES = {
    "W": "W",
    "1": "N1",
    "2": "N2",
    "3": "N3",
    "4": "N3",
    "R": "R",
    "M": UNSCORED,
    "MT": UNSCORED,
}
SLPDB_EVENTS: dict[str, tuple[str, ...]] = {
    "H": ("hypopnea",),
    "HA": ("hypopnea", "arousal"),
    "OA": ("obstructive_apnea",),
    "X": ("obstructive_apnea", "arousal"),
    "CA": ("central_apnea",),
    "CAA": ("central_apnea", "arousal"),
    "L": ("limb_movement",),
    "LA": ("limb_movement", "arousal"),
    "A": ("arousal",),
}
SLPDB_KINDS = (
    "obstructive_apnea",
    "central_apnea",
    "mixed_apnea",
    "hypopnea",
    "arousal",
    "limb_movement",
)


def read_slpdb(path: Path, name: str) -> Scoring:
    """A scoring from an ``.st`` annotation file and the header beside it."""
    import wfdb

    record = str(path.with_suffix(""))
    try:
        annotation = wfdb.rdann(record, "st")
        header = wfdb.rdheader(record) if path.with_suffix(".hea").is_file() else None
    except Exception as error:  # wfdb fails on damaged files in many ways
        raise ScoringError(
            f"{name}: not a wfdb sleep annotation ({type(error).__name__}); give the .st file "
            "of an slpdb record with its .hea beside it"
        ) from error
    rate_hz = annotation.fs or (header.fs if header is not None else None)
    if not rate_hz:
        raise ScoringError(
            f"{name}: the sampling rate is not known; put the record's .hea beside it"
        )
    if len(annotation.sample) != len(annotation.aux_note):
        raise ScoringError(f"{name}: marks and notes do not match; copy the file again")
    draft = Draft(name, scored_kinds=SLPDB_KINDS, keep_duplicates=True)
    if header is not None and header.base_time is not None:
        date = header.base_date or datetime.date(2000, 1, 1)
        draft.start = datetime.datetime.combine(date, header.base_time)
    for sample, note in zip(annotation.sample, annotation.aux_note, strict=True):
        # The first mark stands at sample 1, the others on the grid.
        onset_s = round(float(sample) / rate_hz / EPOCH_S) * EPOCH_S
        for token in note.replace("\0", " ").split():
            if token in SLPDB_STAGES:
                draft.add_stage(SLPDB_STAGES[token], onset_s, EPOCH_S)
                continue
            letters = list(token) if set(token) == {"L"} else [token]
            for letter in letters:
                if letter not in SLPDB_EVENTS:
                    draft.unknown[letter] += 1
                for kind in SLPDB_EVENTS.get(letter, ()):
                    draft.events.append(Event(kind, onset_s, EPOCH_S))
    if draft.events:
        draft.problems.append(
            "this database states events per 30-s epoch: an event has the epoch's onset and length"
        )
    return draft.scoring()
