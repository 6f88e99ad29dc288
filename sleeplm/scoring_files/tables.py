"""Hypnograms and event lists as text tables: CSV, TSV, semicolons, Noxturnal's event export.

Numbers as stages: 0 W, 1 N1, 2 N2, 3 N3, 4 R (YASA), or, where a 5 occurs, 4 N3 and 5 R
(Rechtschaffen & Kales); −2, −1, 6, 9 are unscored (YASA unscored and artefact, R&K movement,
unscored).
"""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from datetime import datetime, timedelta

from sleeplm.errors import ScoringError
from sleeplm.scoring import EPOCH_S, UNSCORED, Scoring
from sleeplm.scoring_files.vocabulary import (
    Draft,
    column_of,
    is_known_name,
    meaning_of,
    normalised,
)

__all__ = ["decoded", "read_table"]

YASA_CODES = {0: "W", 1: "N1", 2: "N2", 3: "N3", 4: "R"}
RK_CODES = {0: "W", 1: "N1", 2: "N2", 3: "N3", 4: "N3", 5: "R"}
UNSCORED_CODES = {-2, -1, 6, 9}
OTHER_EPOCHS_S = (10, 15, 20, 60)
_CLOCK_FORMATS = (
    "%d/%m/%Y %H:%M:%S",
    "%d.%m.%Y %H:%M:%S",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%m/%d/%Y %I:%M:%S %p",
    "%H:%M:%S",
    "%I:%M:%S %p",
)


def decoded(content: bytes, name: str) -> str:
    """Text of a table: UTF-16 or UTF-8 by its byte order mark, UTF-8, else Latin-1."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return content.decode("utf-16")
        except UnicodeDecodeError as error:
            raise ScoringError(
                f"{name}: UTF-16 text that is cut off; copy the file again"
            ) from error
    if b"\0" in content:
        raise ScoringError(f"{name}: neither text, XML nor EDF; give a scoring file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def read_table(
    text: str, name: str, start: datetime | None = None, duration_s: float | None = None
) -> Scoring:
    """A scoring from the text of a table (see the module's docstring for the stage codes)."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise ScoringError(f"{name}: the file is empty; give a scoring with stages or events")
    delimiter = _delimiter(lines)
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    columns = _header(rows[0])
    draft = Draft(name, start=start)
    if columns:
        _read_columns(rows[1:], columns, draft)
    else:
        _read_bare(rows, draft, duration_s)
    return draft.scoring()


def _delimiter(lines: list[str]) -> str:
    """The separator that stands most often in the first lines; a comma where none does."""
    counts = Counter(
        {mark: sum(line.count(mark) for line in lines[:20]) for mark in ("\t", ";", ",")}
    )
    mark, count = counts.most_common(1)[0]
    if counts[";"] >= len(lines[:20]):
        return ";"  # then commas are decimal signs
    return mark if count else ","


def _header(cells: list[str]) -> dict[str, int]:
    """Column meaning → index; empty where the first line is already data."""
    columns: dict[str, int] = {}
    for index, cell in enumerate(cells):
        meaning = column_of(cell)
        if meaning is not None:
            columns.setdefault(meaning, index)
    return columns


def _read_columns(rows: list[list[str]], columns: dict[str, int], draft: Draft) -> None:
    def cell(row: list[str], meaning: str) -> str:
        index = columns.get(meaning)
        return row[index] if index is not None and index < len(row) else ""

    rows = [row for row in rows if any(row) and not _is_unit_row(row)]
    if not rows:
        raise ScoringError(
            f"{draft.name}: a header and no rows; give a scoring with stages or events"
        )
    if "stage" not in columns and "name" not in columns:
        raise ScoringError(
            f"{draft.name}: no column for the stage or the event; name one of its columns 'stage' "
            "or 'event'"
        )
    codes = _codes([cell(row, "stage") or cell(row, "name") for row in rows], draft)
    times = _times([cell(row, "onset") for row in rows], draft, rows, columns)
    if times is None:
        labels = [cell(row, "stage") or cell(row, "name") for row in rows]
        _add_epochs(labels, _epoch_indices(rows, columns), codes, draft)
        return
    ends = [_seconds(cell(row, "end")) for row in rows]
    for position, (row, onset_s) in enumerate(zip(rows, times, strict=True)):
        duration_s = _seconds(cell(row, "duration"))
        if not math.isfinite(duration_s) and "end" in columns:
            duration_s = ends[position] - onset_s
        if not math.isfinite(duration_s):
            duration_s = 0.0
            found = meaning_of(cell(row, "stage") or cell(row, "name"))
            if cell(row, "stage") or (found is not None and found[0] == "stage"):
                later = [time_s for time_s in times[position + 1 :] if time_s > onset_s]
                duration_s = later[0] - onset_s if later else EPOCH_S
        for meaning in ("stage", "name"):
            label = cell(row, meaning)
            if not label:
                continue
            stage = codes.get(label)
            if stage is not None and (meaning == "stage" or "stage" not in columns):
                draft.add_stage(stage, onset_s, duration_s)
            else:
                confidence = _seconds(cell(row, "confidence"))
                draft.add(
                    label,
                    onset_s,
                    duration_s,
                    cell(row, "channel") or None,
                    confidence=confidence if math.isfinite(confidence) else None,
                )


def _is_unit_row(row: list[str]) -> bool:
    """Noxturnal puts units ("[]", "[s]") under the header."""
    return all(re.fullmatch(r"(\[.*\])?", cell) for cell in row)


def _times(
    cells: list[str], draft: Draft, rows: list[list[str]], columns: dict[str, int]
) -> list[float] | None:
    """Onsets in seconds; None where there is no onset column.

    Clock times are turned to seconds from the first stage row (from the first row of a list without
    stages), which becomes the start of the scoring; times without a date run on over midnight.
    """
    if "onset" not in columns:
        return None
    numbers = [_seconds(cell) for cell in cells]
    if any(math.isfinite(number) for number in numbers):
        return numbers
    clocks = [_clock(cell) for cell in cells]
    if not any(clocks):
        raise ScoringError(
            f"{draft.name}: the onsets are neither seconds nor clock times; write seconds from the "
            "start of the recording"
        )
    if all(clock is None or clock.year == 1900 for clock in clocks):
        clocks = _over_midnight(clocks)
    labels = [
        " ".join(row[columns[key]] for key in ("stage", "name") if columns.get(key, 99) < len(row))
        for row in rows
    ]
    staged = [
        clock
        for clock, label in zip(clocks, labels, strict=True)
        if clock is not None and (found := meaning_of(label)) and found[0] == "stage"
    ]
    first = min(staged or [clock for clock in clocks if clock is not None])
    draft.start = first
    return [math.nan if clock is None else (clock - first).total_seconds() for clock in clocks]


def _over_midnight(clocks: list[datetime | None]) -> list[datetime | None]:
    """A clock that falls by more than half a day has passed midnight; the date is a placeholder."""
    moved: list[datetime | None] = []
    days = timedelta(days=36524)  # 1900-01-01 → 2000-01-01, the placeholder date
    last: datetime | None = None
    for clock in clocks:
        if clock is None:
            moved.append(None)
            continue
        if last is not None and (last - clock) > timedelta(hours=12):
            days += timedelta(days=1)
        last = clock
        moved.append(clock + days)
    return moved


def _clock(cell: str) -> datetime | None:
    plain = re.sub(r"(:\d\d)[.,]\d+", r"\1", cell)
    for form in _CLOCK_FORMATS:
        try:
            return datetime.strptime(plain, form)
        except ValueError:
            continue
    return None


def _seconds(cell: str) -> float:
    try:
        value = float(cell.replace(",", "."))
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _codes(labels: list[str], draft: Draft) -> dict[str, str]:
    """Stage of each numeric label, by the code that the whole column follows."""
    numbers = {
        label: int(value)
        for label in set(labels)
        if (value := _seconds(label)) == value and value.is_integer()
    }
    values = set(numbers.values())
    if not values:
        return {}
    if 5 in values and 0 not in values:
        raise ScoringError(
            f"{draft.name}: stage codes with a 5 and without a 0 follow no code known here; "
            "write the stages as names (W, N1, N2, N3, R)"
        )
    table = RK_CODES if 5 in values else YASA_CODES
    if 4 in values:
        draft.problems.append(
            "stage code 4 was read as N3 (a 5 occurs: Rechtschaffen & Kales codes)"
            if 5 in values
            else "stage code 4 was read as R (no 5 occurs: codes 0 W, 1 N1, 2 N2, 3 N3, 4 R)"
        )
    known = {label: table[value] for label, value in numbers.items() if value in table}
    known |= {label: UNSCORED for label, value in numbers.items() if value in UNSCORED_CODES}
    return known


def _epoch_indices(rows: list[list[str]], columns: dict[str, int]) -> list[int]:
    """Index of each row's epoch: its epoch column (counted from 0 or 1), or its place."""
    if "epoch" not in columns:
        return list(range(len(rows)))
    numbers = [
        _seconds(row[columns["epoch"]]) if columns["epoch"] < len(row) else math.nan for row in rows
    ]
    if not all(math.isfinite(number) and number >= 0 for number in numbers):
        return list(range(len(rows)))
    origin = 0 if min(numbers) == 0 else 1
    return [int(number) - origin for number in numbers]


def _add_epochs(labels: list[str], indices: list[int], codes: dict[str, str], draft: Draft) -> None:
    if not any(label in codes or is_known_name(label) for label in labels):
        return  # nothing of this table is known: no scoring, rather than a night of no stage
    for label, index in zip(labels, indices, strict=True):
        stage = codes.get(label)
        if stage is None:
            found = meaning_of(label)
            if found is None or found[0] not in ("stage", "stage_without_depth"):
                draft.unknown[normalised(label)] += 1
                stage = UNSCORED
            else:
                stage = found[1]
        draft.add_stage(stage, index * EPOCH_S, EPOCH_S)


def _read_bare(rows: list[list[str]], draft: Draft, duration_s: float | None) -> None:
    """No header: one stage per line, or onset, duration, label per line."""
    width = Counter(len(row) for row in rows).most_common(1)[0][0]
    if width >= 3 and _seconds(rows[0][0]) == _seconds(rows[0][0]):
        _read_columns(rows, {"onset": 0, "duration": 1, "name": 2}, draft)
        return
    labels = [row[-1] for row in rows]
    codes = _codes(labels, draft)
    if not any(label in codes or is_known_name(label) for label in labels):
        raise ScoringError(
            f"{draft.name}: no line of it is a sleep stage; give one stage per line (names or "
            "codes 0 to 5) or columns with a header (onset, duration, stage)"
        )
    if duration_s:
        epoch_s = duration_s / len(rows)
        if any(abs(epoch_s - other) < 0.5 for other in OTHER_EPOCHS_S):
            raise ScoringError(
                f"{draft.name}: {len(rows)} stages for a recording of {duration_s:g} s are epochs "
                f"of {epoch_s:.0f} s; SleepLM reads 30-s epochs: export 30-s epochs"
            )
    _add_epochs(labels, list(range(len(rows))), codes, draft)
