"""EDF, EDF+ and BDF on disk: the header, the clock of the records, and the samples of some signals.

Files from real laboratories break the standard in ways that stop a strict reader (equal physical
limits, a record count of −1, labels in UTF-8) or mislead a trusting one (an EDF+D whose gaps are
closed up). This module reads what is there, names what is wrong, and reads only the signals asked
for, in one pass and in blocks, so that memory stays flat for BDF as well as for EDF.

Patient and recording fields of the header are never decoded.

Format: Kemp et al. 1992, doi 10.1016/0013-4694(92)90009-7; EDF+: Kemp and Olivan 2003,
doi 10.1016/S1388-2457(03)00123-8; BDF: the same with 24-bit samples.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path

import numpy as np

from sleeplm.errors import RecordingError

__all__ = ["EdfFile", "EdfSignal", "is_edf", "read_edf_header", "read_samples", "record_onsets"]

_MAGIC = {b"0       ": "EDF", b"\xffBIOSEMI": "BDF"}
_FIELDS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
_BLOCK_BYTES = 16 * 2**20


@dataclass(frozen=True)
class EdfSignal:
    """One signal of the header, with the unusable ones explained in ``problem``."""

    label: str
    unit: str
    physical_min: float
    physical_max: float
    digital_min: int
    digital_max: int
    samples_per_record: int
    first_sample: int
    is_annotation: bool
    problem: str | None = None

    def to_physical(self, digital: np.ndarray) -> np.ndarray:
        """Digital samples → float32 in the file's unit."""
        gain = (self.physical_max - self.physical_min) / (self.digital_max - self.digital_min)
        offset = self.physical_min - gain * self.digital_min
        physical = digital.astype(np.float32)
        physical *= np.float32(gain)
        physical += np.float32(offset)
        return physical


@dataclass(frozen=True)
class EdfFile:
    """What the header says, checked against the size of the file."""

    path: Path
    kind: str
    start: datetime | None
    discontinuous: bool
    n_records: int
    record_s: Fraction
    header_bytes: int
    signals: tuple[EdfSignal, ...]
    problems: tuple[str, ...]

    @property
    def bytes_per_sample(self) -> int:
        return 3 if self.kind == "BDF" else 2

    @property
    def samples_per_record(self) -> int:
        return sum(signal.samples_per_record for signal in self.signals)

    @property
    def record_bytes(self) -> int:
        return self.samples_per_record * self.bytes_per_sample

    def rate_hz(self, signal: EdfSignal) -> Fraction:
        return Fraction(signal.samples_per_record) / self.record_s


def is_edf(path: Path) -> bool:
    """Whether the first eight bytes are those of EDF or BDF."""
    with path.open("rb") as file:
        return file.read(8) in _MAGIC


def _text(raw: bytes) -> str:
    # The standard asks for ASCII; recorders write UTF-8 ("Impédance", "°") or Latin-1.
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return text.replace("\x00", " ").strip()


def _number(raw: bytes) -> float | None:
    try:
        value = float(_text(raw).replace(",", "."))
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _start(raw_date: bytes, raw_time: bytes) -> tuple[datetime | None, str | None]:
    """Clock time as written: no time zone. Two-digit years from 85 on are 19xx."""
    clock = re.fullmatch(r"(\d{1,2})\D(\d{1,2})\D(\d{1,2})", _text(raw_time))
    try:
        hour, minute, second = (int(group) for group in clock.groups()) if clock else (-1, 0, 0)
        start = datetime(1985, 1, 1, hour, minute, second)
    except ValueError:
        return None, "the start time in the header cannot be read: clock times are not known"
    date = re.fullmatch(r"(\d{1,2})\D(\d{1,2})\D(\d{2})", _text(raw_date))
    try:
        day, month, year = (int(group) for group in date.groups()) if date else (0, 0, 0)
        return start.replace(year + (1900 if year >= 85 else 2000), month, day), None
    except ValueError:
        return start, "the start date in the header cannot be read: only the time of day is used"


def read_edf_header(path: Path) -> EdfFile:
    """Read and check the header of an EDF, EDF+ or BDF file.

    Raises
    ------
    RecordingError
        The file is not EDF/BDF, its header is damaged, or it holds no complete data record.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(256)
        kind = _MAGIC.get(head[:8])
        if kind is None:
            raise RecordingError(f"{path.name}: not an EDF or BDF file; choose a polysomnography")
        if len(head) < 256:
            raise RecordingError(
                f"{path.name}: the header ends after {len(head)} bytes; copy the file again"
            )
        count = _number(head[252:256])
        if count is None or not 1 <= count <= 2048 or count % 1:
            raise RecordingError(
                f"{path.name}: damaged header (number of signals is "
                f"{_text(head[252:256])!r}); export the recording again"
            )
        n_signals = int(count)
        table = file.read(256 * n_signals)
    if len(table) < 256 * n_signals:
        raise RecordingError(
            f"{path.name}: the header is cut off (it should describe {n_signals} signals); "
            "copy the file again"
        )
    problems: list[str] = []
    header_bytes = 256 * (n_signals + 1)
    if _number(head[184:192]) != header_bytes:
        problems.append("the header states a wrong length of itself; the right one was computed")
    duration = _text(head[244:252]).replace(",", ".")
    as_float = _number(head[244:252])
    if as_float is None or as_float < 0 or 0 < as_float < 1e-6:
        raise RecordingError(
            f"{path.name}: damaged header (record duration is {duration!r}); "
            "export the recording again"
        )
    # As written, not as a float: 0.1 s must give exactly the rate that was meant.
    record_s = Fraction(duration)
    signals = _signals(path, table, n_signals, f"{kind} Annotations")
    ordinary = [signal for signal in signals if not signal.is_annotation]
    if not ordinary:
        raise RecordingError(
            f"{path.name}: holds annotations only, no signals; it looks like a scoring: "
            "open the recording and give this file with --scoring"
        )
    if record_s == 0:
        raise RecordingError(
            f"{path.name}: damaged header (record duration is {duration!r}); "
            "export the recording again"
        )
    start, problem = _start(head[168:176], head[176:184])
    if problem:
        problems.append(problem)
    record_bytes = sum(s.samples_per_record for s in signals) * (3 if kind == "BDF" else 2)
    n_records = _n_records(path, head[236:244], size - header_bytes, record_bytes, problems)
    return EdfFile(
        path,
        kind,
        start,
        head[192:197] == f"{kind}+D".encode(),
        n_records,
        record_s,
        header_bytes,
        signals,
        tuple(problems),
    )


def _n_records(
    path: Path, raw: bytes, data_bytes: int, record_bytes: int, problems: list[str]
) -> int:
    """Number of complete records on disk; what the header states is only compared."""
    on_disk = max(data_bytes, 0) // record_bytes if record_bytes else 0
    stated = _number(raw)
    if on_disk < 1:
        raise RecordingError(
            f"{path.name}: holds no complete data record (truncated file); copy the file again"
        )
    if stated is None or stated < 0:
        problems.append(
            f"the header does not state the number of data records; {on_disk} were found"
        )
    elif stated > on_disk:
        problems.append(
            f"the file is truncated: {on_disk} of {int(stated)} data records are there; "
            "the end of the recording is missing"
        )
    elif stated < on_disk:
        problems.append(
            f"the file holds {on_disk} data records, its header states {int(stated)}; all are read"
        )
    return int(on_disk)


def _signals(path: Path, table: bytes, n: int, annotation_label: str) -> tuple[EdfSignal, ...]:
    columns: list[list[bytes]] = []
    position = 0
    for width in _FIELDS:
        columns.append([table[position + i * width : position + (i + 1) * width] for i in range(n)])
        position += n * width
    signals: list[EdfSignal] = []
    first = 0
    for index in range(n):
        label = _text(columns[0][index])
        limits = [_number(columns[column][index]) for column in (3, 4, 5, 6)]
        samples = _number(columns[8][index])
        if samples is None or samples < 0 or samples % 1:
            # Without it the place of every later sample is unknown.
            raise RecordingError(
                f"{path.name}: damaged header (samples per record of signal {index + 1} is "
                f"{_text(columns[8][index])!r}); export the recording again"
            )
        annotation = label == annotation_label
        problem = None
        if not annotation:
            if any(limit is None for limit in limits):
                problem = "its physical or digital limits cannot be read"
            elif limits[0] == limits[1]:
                problem = "its physical minimum and maximum are equal"
            elif limits[2] == limits[3]:
                problem = "its digital minimum and maximum are equal"
            elif samples == 0:
                problem = "it has no samples"
        physical_min, physical_max, digital_min, digital_max = (limit or 0.0 for limit in limits)
        signals.append(
            EdfSignal(
                label,
                _text(columns[2][index]),
                physical_min,
                physical_max,
                int(digital_min),
                int(digital_max),
                int(samples),
                first,
                annotation,
                problem,
            )
        )
        first += int(samples)
    return tuple(signals)


def _blocks(edf: EdfFile) -> int:
    return max(1, _BLOCK_BYTES // edf.record_bytes)


def read_samples(
    edf: EdfFile,
    wanted: Sequence[int],
    *,
    digest: hashlib._Hash | None = None,
    progress: Callable[[float], None] | None = None,
) -> dict[int, np.ndarray]:
    """Digital samples of the wanted signals (indices into ``edf.signals``), in one pass.

    Parameters
    ----------
    digest : hashlib object, optional
        Is fed every byte of the file that passes (the header too).
    progress : callable, optional
        Is told the fraction that is read.

    Returns
    -------
    dict of int to array [n_records, samples_per_record]
        int16 for EDF, int32 for BDF.
    """
    dtype = np.int32 if edf.kind == "BDF" else np.dtype("<i2")
    samples = {
        index: np.empty((edf.n_records, edf.signals[index].samples_per_record), dtype)
        for index in wanted
    }
    width = edf.bytes_per_sample
    with edf.path.open("rb") as file:
        header = file.read(edf.header_bytes)
        if digest is not None:
            digest.update(header)
        per_block = _blocks(edf)
        for first in range(0, edf.n_records, per_block):
            count = min(per_block, edf.n_records - first)
            raw = file.read(count * edf.record_bytes)
            if len(raw) < count * edf.record_bytes:
                raise RecordingError(f"{edf.path.name}: the file changed while it was read")
            if digest is not None:
                digest.update(raw)
            block = np.frombuffer(raw, np.uint8).reshape(count, edf.record_bytes)
            for index, target in samples.items():
                signal = edf.signals[index]
                begin = signal.first_sample * width
                part = block[:, begin : begin + signal.samples_per_record * width]
                target[first : first + count] = _decode(np.ascontiguousarray(part), width)
            if progress is not None:
                progress((first + count) / edf.n_records)
    return samples


def _decode(part: np.ndarray, width: int) -> np.ndarray:
    if width == 2:
        return part.view("<i2")
    bytes_of = part.reshape(len(part), -1, 3).astype(np.int32)
    value = bytes_of[..., 0] | (bytes_of[..., 1] << 8) | (bytes_of[..., 2] << 16)
    return np.where(value >= 1 << 23, value - (1 << 24), value)


def record_onsets(edf: EdfFile) -> np.ndarray | None:
    """Seconds from the file's start time to each record, as the record itself keeps it.

    Returns
    -------
    float64 array [n_records] or None
        None for a file without annotation signal (plain EDF: records follow each other).

    Raises
    ------
    RecordingError
        The file calls itself discontinuous, but a record does not say when it begins.
    """
    annotation = next((s for s in edf.signals if s.is_annotation), None)
    unreadable = RecordingError(
        f"{edf.path.name}: a discontinuous recording (EDF+D) whose records do not say when they "
        "begin; export it as continuous EDF"
    )
    if annotation is None or annotation.samples_per_record == 0:
        if edf.discontinuous:
            raise unreadable
        return None
    width = edf.bytes_per_sample
    length = annotation.samples_per_record * width
    onsets = np.empty(edf.n_records)
    with edf.path.open("rb") as file:
        for record in range(edf.n_records):
            file.seek(
                edf.header_bytes + record * edf.record_bytes + annotation.first_sample * width
            )
            # The first annotation of a record is its time-keeper: +onset, then an empty text.
            match = re.match(rb"([+-]\d+(?:\.\d*)?)(?:\x15[\d.]*)?\x14", file.read(min(length, 64)))
            if match is None:
                if edf.discontinuous:
                    raise unreadable
                return None
            onsets[record] = float(match.group(1))
    return onsets


def start_with_fraction(start: datetime | None, onset_s: float) -> datetime | None:
    """The start of the first record: EDF+ keeps fractions of a second in its first onset."""
    return None if start is None else start + timedelta(seconds=onset_s)
