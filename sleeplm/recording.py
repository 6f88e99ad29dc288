"""A night's signals on the model's clock: what was read, from which label, and what is missing.

EDF, EDF+ and BDF are read at each channel's own rate, only the channels that are needed, and each
is brought to 64 Hz by itself; every other format goes through MNE. All times are seconds from the
start of the recording; the clock is the one written in the file, with no time zone.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sleeplm.edf_header import (
    EdfFile,
    is_edf,
    read_edf_header,
    read_samples,
    record_onsets,
    start_with_fraction,
)
from sleeplm.errors import RecordingError
from sleeplm.montage import (
    CHANNELS,
    POSITION_CODES,
    UNITS,
    Candidate,
    SignalLabel,
    channel_name,
    physical_scale,
    position_codes,
    resolve_channels,
)
from sleeplm.resampling import RATE_HZ, hold, resample
from sleeplm.scoring import EPOCH_S

if TYPE_CHECKING:
    from mne.io import BaseRaw

    from sleeplm.scoring import Scoring

__all__ = [
    "EPOCH_SAMPLES",
    "RATE_HZ",
    "ChannelSource",
    "Recording",
    "check_report",
    "read_recording",
]

EPOCH_SAMPLES = int(EPOCH_S * RATE_HZ)
_LOWEST_RATE_HZ = {"EEG": 40.0, "EOG": 20.0, "EMG": 40.0, "ECG": 40.0}
_STEPPED = ("POS", "SPO2", "HR")
_LONGEST_S = 7 * 86400.0
_NO_DATE = datetime(1985, 1, 1).date()

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class ChannelSource:
    """Where a channel came from: the file's label, the difference taken, its own rate, its unit."""

    label: str
    derivation: str | None
    rate_hz: float
    unit: str


@dataclass(eq=False)
class Recording:
    """Signals of one night at 64 Hz.

    Parameters
    ----------
    path : Path or None
        The file; None for signals that were made.
    start : datetime or None
        Clock time of the first sample as the file writes it, without time zone.
    duration_s : float
        Whole length in seconds, gaps and the incomplete last epoch included.
    signals : dict of str to float32 array [n_epochs · 1920]
        Channels that are present, in the units of :data:`sleeplm.montage.UNITS`. Inside a gap
        waveforms, saturation and heart rate are 0 and the position is −1. Saturation and heart
        rate are 0 wherever the sensor gave no valid value.
    sources : dict of str to ChannelSource or None
        For all twelve channels; None where the channel is missing.
    problems : list of str
        What a reader of the results should know, one sentence each.
    gaps : list of (start_s, end_s)
        Pauses of a discontinuous recording.
    content_id : str
        First 16 hex digits of the SHA-256 of the content: a name for caches and pseudonyms.
    """

    path: Path | None
    start: datetime | None
    duration_s: float
    signals: dict[str, np.ndarray]
    sources: dict[str, ChannelSource | None]
    problems: list[str] = field(default_factory=list)
    gaps: list[tuple[float, float]] = field(default_factory=list)
    content_id: str = ""

    @property
    def n_epochs(self) -> int:
        """Number of complete 30-s epochs."""
        return _complete_epochs(self.duration_s)

    @property
    def missing(self) -> list[str]:
        """Channels of the house that this recording lacks."""
        return [name for name in CHANNELS if name not in self.signals]

    def require_epochs(self) -> None:
        """Refuse a recording that is shorter than one epoch, for whoever reads by epochs.

        Raises
        ------
        RecordingError
            Not one complete epoch was recorded.
        """
        if self.n_epochs == 0:
            name = self.path.name if self.path is not None else "recording"
            raise RecordingError(
                f"{name}: {self.duration_s:.1f} s were recorded; one epoch of {EPOCH_S:.0f} s is "
                "needed at least"
            )

    @property
    def start_has_date(self) -> bool:
        """False where the file was anonymised to 1 January 1985, or its date is unreadable."""
        return self.start is not None and self.start.date() != _NO_DATE

    @property
    def gap_epochs(self) -> list[int]:
        """Indices of the epochs that a gap touches."""
        touched: set[int] = set()
        for start_s, end_s in self.gaps:
            last = int(np.ceil(end_s / EPOCH_S))
            touched.update(range(int(start_s // EPOCH_S), min(last, self.n_epochs)))
        return sorted(touched)

    def channel(self, name: str) -> np.ndarray | None:
        """One channel by its full or short name, or None where it is missing.

        Raises
        ------
        MontageError
            There is no such channel in the house.
        """
        return self.signals.get(channel_name(name))

    def epoch_slice(self, epochs: slice | range | int) -> dict[str, np.ndarray]:
        """Signals of some epochs (counted from 0).

        Returns
        -------
        dict of str to float32 array [number of epochs, 1920]
        """
        if isinstance(epochs, int):
            epochs = range(epochs, epochs + 1)
        wanted = list(range(self.n_epochs)[epochs] if isinstance(epochs, slice) else epochs)
        if any(not 0 <= index < self.n_epochs for index in wanted):
            raise RecordingError(
                f"epochs {wanted[0] + 1}–{wanted[-1] + 1} are not all in the recording; "
                f"it has epochs 1–{self.n_epochs}"
            )
        return {
            name: values.reshape(-1, EPOCH_SAMPLES)[wanted] for name, values in self.signals.items()
        }

    @classmethod
    def from_signals(
        cls, signals: Mapping[str, np.ndarray], *, start: datetime | None = None
    ) -> Recording:
        """A recording from arrays at 64 Hz that already have the house's names and units.

        Raises
        ------
        MontageError
            A name is not a channel.
        RecordingError
            There are no signals, or their lengths differ.
        """
        arrays = {
            channel_name(name): np.asarray(values, dtype=np.float32).ravel()
            for name, values in signals.items()
        }
        lengths = {len(values) for values in arrays.values()}
        if len(lengths) != 1:
            raise RecordingError(f"signals must be of one length, got lengths {sorted(lengths)}")
        duration_s = lengths.pop() / RATE_HZ
        kept = _complete_epochs(duration_s) * EPOCH_SAMPLES
        digest = hashlib.sha256(str(start).encode())
        for name in sorted(arrays):
            digest.update(name.encode() + arrays[name].tobytes())
        return cls(
            path=None,
            start=start,
            duration_s=duration_s,
            signals={name: arrays[name][:kept] for name in CHANNELS if name in arrays},
            sources={
                name: ChannelSource(name, None, float(RATE_HZ), UNITS[name])
                if name in arrays
                else None
                for name in CHANNELS
            },
            problems=_length_problems(duration_s),
            content_id=digest.hexdigest()[:16],
        )

    def to_raw(self) -> BaseRaw:
        """The recording as an MNE ``Raw`` at 64 Hz: voltages in volts, all else as it is.

        Complete epochs only; gaps become ``BAD_ACQ_SKIP`` annotations.

        Raises
        ------
        RecordingError
            There is not one complete epoch.
        """
        if self.n_epochs == 0:
            raise RecordingError("the recording has no complete 30-s epoch to hand to MNE")
        import mne

        kinds = {"ECG": "ecg", "EOG": "eog", "EEG": "eeg", "EMG": "emg"}
        info = mne.create_info(
            list(self.signals),
            float(RATE_HZ),
            [kinds.get(name.partition("_")[0], "misc") for name in self.signals],
        )
        data = np.stack(
            [values.astype(np.float64) / _per_volt(name) for name, values in self.signals.items()]
        )
        raw = mne.io.RawArray(data, info, verbose="ERROR")
        if self.start is not None:
            # MNE insists on a zone; the clock time is kept as written and called UTC.
            raw.set_meas_date(self.start.replace(tzinfo=UTC))
        length_s = self.n_epochs * EPOCH_S
        gaps = [(begin, min(end, length_s)) for begin, end in self.gaps if begin < length_s]
        raw.set_annotations(
            mne.Annotations(
                [begin for begin, _ in gaps],
                [end - begin for begin, end in gaps],
                "BAD_ACQ_SKIP",
                orig_time=raw.info["meas_date"],
            )
        )
        return raw

    @classmethod
    def from_raw(cls, raw: BaseRaw, mapping: Mapping[str, str] | None = None) -> Recording:
        """A recording from an MNE ``Raw``; channels are found as in a file."""
        return _build(_RawReader(raw), None, mapping, None)


def _complete_epochs(duration_s: float) -> int:
    return int(duration_s / EPOCH_S + 1e-6)


def _per_volt(channel: str) -> float:
    return {"µV": 1e6, "mV": 1e3}.get(UNITS[channel], 1.0)


def _length_problems(duration_s: float) -> list[str]:
    n_epochs = _complete_epochs(duration_s)
    rest_s = duration_s - n_epochs * EPOCH_S
    if n_epochs == 0:
        return [f"the recording is {duration_s:.3g} s long: there is not one complete 30-s epoch"]
    if rest_s > 0.01:
        return [f"the last {rest_s:.3g} s are no complete epoch and are left out"]
    return []


@dataclass(frozen=True)
class _Segment:
    """An unbroken stretch: where it begins, and which share of the samples it holds."""

    onset_s: float
    first_s: float
    duration_s: float


class _Reader(Protocol):
    """A file's signals, one at a time."""

    labels: list[SignalLabel]
    start: datetime | None
    duration_s: float
    segments: list[_Segment]
    problems: list[str]

    def load(self, indices: Iterable[int], progress: Progress | None) -> None: ...

    def values(self, index: int) -> np.ndarray: ...

    def rate(self, index: int) -> Fraction: ...

    def fault(self, index: int) -> str | None: ...

    def release(self, index: int) -> None: ...

    def content_id(self) -> str: ...


class _EdfReader:
    def __init__(self, path: Path) -> None:
        self._edf: EdfFile = read_edf_header(path)
        self._ordinary = [
            index for index, signal in enumerate(self._edf.signals) if not signal.is_annotation
        ]
        self.labels = [
            SignalLabel(
                self._edf.signals[index].label,
                self._edf.signals[index].unit,
                float(self._edf.rate_hz(self._edf.signals[index])),
            )
            for index in self._ordinary
        ]
        self.problems = list(self._edf.problems)
        self.start = self._edf.start
        self._digital: dict[int, np.ndarray] = {}
        self._digest: hashlib._Hash | None = None
        self._place_records()

    def _place_records(self) -> None:
        """Segments from the records' own clock; one segment for a file without gaps."""
        record_s = float(self._edf.record_s)
        n_records = self._edf.n_records
        onsets = record_onsets(self._edf)
        self._refuse_endless(n_records * record_s)
        plain = [_Segment(0.0, 0.0, n_records * record_s)]
        if onsets is None:
            self.segments, self.duration_s = plain, n_records * record_s
            return
        if 0 <= onsets[0] < 86400:
            self.start = start_with_fraction(self.start, float(onsets[0]))
        onsets = onsets - onsets[0]
        # A continuous file may round its onsets; a discontinuous one means every millisecond.
        tolerance_s = 0.5 / RATE_HZ if self._edf.discontinuous else 0.5
        self.segments = []
        first = 0
        for record in range(1, n_records + 1):
            expected_s = onsets[first] + (record - first) * record_s
            if record < n_records and abs(onsets[record] - expected_s) < tolerance_s:
                continue
            if record < n_records and onsets[record] < expected_s - 0.5 * record_s:
                raise RecordingError(
                    f"{self._edf.path.name}: data record {record + 1} begins before the one ahead "
                    "of it ends; export the recording again"
                )
            self.segments.append(
                _Segment(float(onsets[first]), first * record_s, (record - first) * record_s)
            )
            first = record
        last = self.segments[-1]
        self.duration_s = last.onset_s + last.duration_s
        self._refuse_endless(self.duration_s)
        if len(self.segments) > 1 and not self._edf.discontinuous:
            self.problems.append("the file calls itself continuous, but its records leave gaps")

    def _refuse_endless(self, duration_s: float) -> None:
        """A damaged duration or onset must not ask for the memory of years."""
        if duration_s > _LONGEST_S:
            raise RecordingError(
                f"{self._edf.path.name}: its records span {duration_s / 86400:.0f} days; "
                "export one night"
            )

    def load(self, indices: Iterable[int], progress: Progress | None) -> None:
        wanted = [self._ordinary[index] for index in indices]
        wanted = [
            index
            for index in wanted
            if index not in self._digital and not self._edf.signals[index].problem
        ]
        digest = None
        if self._digest is None:
            digest = self._digest = hashlib.sha256()
        elif not wanted:
            return
        report = (lambda done: progress("reading", done)) if progress is not None else None
        self._digital |= read_samples(self._edf, wanted, digest=digest, progress=report)

    def values(self, index: int) -> np.ndarray:
        self.load([index], None)
        place = self._ordinary[index]
        return self._edf.signals[place].to_physical(self._digital[place].reshape(-1))

    def rate(self, index: int) -> Fraction:
        return self._edf.rate_hz(self._edf.signals[self._ordinary[index]])

    def fault(self, index: int) -> str | None:
        return self._edf.signals[self._ordinary[index]].problem

    def release(self, index: int) -> None:
        self._digital.pop(self._ordinary[index], None)

    def content_id(self) -> str:
        if self._digest is None:
            self.load([], None)
        assert self._digest is not None
        return self._digest.hexdigest()[:16]


class _RawReader:
    """Any format that MNE reads; all channels of a ``Raw`` share one rate."""

    def __init__(self, raw: BaseRaw) -> None:
        from mne.io.constants import FIFF

        self._raw = raw
        original = getattr(raw, "_orig_units", None) or {}
        self.labels = [
            SignalLabel(
                name,
                "V" if entry["unit"] == FIFF.FIFF_UNIT_V else str(original.get(name, "")),
                float(raw.info["sfreq"]),
            )
            for name, entry in zip(raw.ch_names, raw.info["chs"], strict=True)
        ]
        date = raw.info["meas_date"]
        self.start = None if date is None else date.replace(tzinfo=None)
        self.duration_s = raw.n_times / float(raw.info["sfreq"])
        self.problems: list[str] = []
        self.segments = self._unbroken()

    def _unbroken(self) -> list[_Segment]:
        skips = sorted(
            (max(float(onset) - self._raw.first_time, 0.0), float(duration))
            for onset, duration, text in zip(
                self._raw.annotations.onset,
                self._raw.annotations.duration,
                self._raw.annotations.description,
                strict=True,
            )
            if str(text).upper() == "BAD_ACQ_SKIP"
        )
        segments: list[_Segment] = []
        begin = 0.0
        for onset, duration in [*skips, (self.duration_s, 0.0)]:
            if onset > begin:
                segments.append(_Segment(begin, begin, onset - begin))
            begin = max(begin, onset + duration)
        return segments

    def load(self, indices: Iterable[int], progress: Progress | None) -> None:
        if progress is not None:
            progress("reading", 1.0)

    def values(self, index: int) -> np.ndarray:
        values = self._raw.get_data(picks=[index])[0]
        return np.nan_to_num(values).astype(np.float32)

    def rate(self, index: int) -> Fraction:
        return Fraction(float(self._raw.info["sfreq"])).limit_denominator(10**9)

    def fault(self, index: int) -> str | None:
        return None

    def release(self, index: int) -> None:
        pass

    def content_id(self) -> str:
        digest = hashlib.sha256(",".join(self._raw.ch_names).encode())
        for index in range(len(self.labels)):
            digest.update(self.values(index).tobytes())
        return digest.hexdigest()[:16]


def read_recording(
    path: str | Path,
    mapping: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Recording:
    """Read a night from EDF, EDF+, BDF, or any format that MNE reads.

    Parameters
    ----------
    path : path
        The recording.
    mapping : mapping of str to str, optional
        Channel → label, where the alias table is wrong or silent; see
        :func:`sleeplm.montage.resolve_channels`.
    progress : callable, optional
        Is told what is being done and which fraction of it is done.

    Returns
    -------
    Recording

    Raises
    ------
    RecordingError
        The file cannot be read, or holds no usable channel.
    MontageError
        The mapping names a channel or label that does not exist.
    """
    path = Path(path)
    if not path.exists():
        raise RecordingError(f"{path}: no such file; check the name")
    if path.is_dir():
        if path.suffix.lower() not in (".mff", ".ds"):
            raise RecordingError(f"{path}: is a folder; give the recording itself")
    elif path.stat().st_size == 0:
        raise RecordingError(f"{path.name}: the file is empty; copy it again")
    try:
        if not path.is_dir() and is_edf(path):
            return _build(_EdfReader(path), path, mapping, progress)
        return _build(_RawReader(_open_with_mne(path)), path, mapping, progress)
    except OSError as error:
        raise RecordingError(f"{path.name}: cannot be read ({error.strerror or error})") from error


def _open_with_mne(path: Path) -> BaseRaw:
    if path.suffix.lower() in (".edf", ".bdf", ".rec", ".hyp", ""):
        raise RecordingError(f"{path.name}: not an EDF or BDF file; choose a polysomnography")
    import mne

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return mne.io.read_raw(path, preload=False, verbose="ERROR")
    except Exception as error:  # every reader of MNE fails in its own way
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        if reason.startswith("Unsupported file type"):
            reason = "neither EDF nor BDF by its content, nor another known format by its name"
        raise RecordingError(
            f"{path.name}: not a recording that can be read ({reason}); use EDF or BDF"
        ) from error


def _build(
    reader: _Reader, path: Path | None, mapping: Mapping[str, str] | None, progress: Progress | None
) -> Recording:
    """Find, read, check and resample every channel."""
    resolved = resolve_channels(reader.labels, mapping)
    needs = Counter(
        index for found in resolved.values() if found for index in _indices(found[0], reader)
    )
    reader.load(list(needs), progress)
    problems = list(reader.problems)
    signals: dict[str, np.ndarray] = {}
    sources: dict[str, ChannelSource | None] = dict.fromkeys(CHANNELS)
    for number, (channel, candidates) in enumerate(resolved.items(), start=1):
        for candidate in candidates:
            outcome = _read_channel(channel, candidate, reader)
            problems += outcome.problems
            if outcome.values is not None:
                signals[channel] = outcome.values
                sources[channel] = outcome.source
                break
        for index in _indices(candidates[0], reader) if candidates else ():
            needs[index] -= 1
            if needs[index] == 0:
                reader.release(index)
        if progress is not None:
            progress("resampling", number / len(CHANNELS))
    if not signals:
        shown = ", ".join(repr(signal.label) for signal in reader.labels[:12])
        raise RecordingError(
            f"{path.name if path else 'recording'}: no usable channel among {shown}; "
            'name them with --map, for example --map C3_A2="EEG 3"'
        )
    gaps = _gaps(reader)
    return Recording(
        path=path,
        start=reader.start,
        duration_s=reader.duration_s,
        signals=signals,
        sources=sources,
        problems=[
            *problems,
            *_duplicate_problems(reader.labels, sources),
            *_gap_problems(gaps),
            *_length_problems(reader.duration_s),
        ],
        gaps=gaps,
        content_id=reader.content_id(),
    )


def _indices(candidate: Candidate, reader: _Reader) -> list[int]:
    indices = [candidate.plus]
    if candidate.minus is not None:
        indices.append(candidate.minus)
    upright = _upright_index(candidate, reader)
    return indices if upright is None else [*indices, upright]


def _upright_index(candidate: Candidate, reader: _Reader) -> int | None:
    wanted = candidate.position.upright_label if candidate.position else None
    if wanted is None:
        return None
    return next(
        (
            index
            for index, signal in enumerate(reader.labels)
            if signal.label == wanted and signal.unit == "g"
        ),
        None,
    )


@dataclass(frozen=True)
class _Outcome:
    values: np.ndarray | None
    source: ChannelSource | None
    problems: list[str]


def _rejected(channel: str, label: str, reason: str) -> _Outcome:
    return _Outcome(None, None, [f"{channel}: {label!r} is not used, {reason}"])


def _read_channel(channel: str, candidate: Candidate, reader: _Reader) -> _Outcome:
    """One way to get one channel, or why it is no good."""
    kind = channel.partition("_")[0]
    for index in _indices(candidate, reader):
        fault = reader.fault(index)
        if fault is not None:
            return _rejected(channel, reader.labels[index].label, fault)
    rate = reader.rate(candidate.plus)
    lowest = _LOWEST_RATE_HZ.get(kind, 0.0)
    if rate < lowest:
        return _rejected(
            channel,
            candidate.label,
            f"it is stored at {float(rate):g} Hz, too slow for {kind} (an envelope or a trend?)",
        )
    values = reader.values(candidate.plus)
    if channel != "POS" and _is_flat(channel, values, reader.duration_s):
        return _rejected(channel, candidate.label, "it is flat all the time: sensor off?")
    if candidate.minus is not None:
        reference = reader.values(candidate.minus)
        if _is_flat(channel, reference, reader.duration_s):
            name = reader.labels[candidate.minus].label
            return _rejected(
                channel, candidate.derivation or "", f"the reference {name!r} is flat all the time"
            )
    unit = reader.labels[candidate.plus].unit
    problems: list[str] = []
    if candidate.note:
        problems.append(f"{channel}: {candidate.label!r} is used, {candidate.note}")
    if channel in _STEPPED:
        return _read_stepped(channel, candidate, reader, values, problems)
    if candidate.minus is None:
        factor, unit, problem = physical_scale(channel, unit, values)
        values *= np.float32(factor)
        placed = _placed(values, rate, reader, resample)
    else:
        placed, unit, problem = _read_difference(channel, candidate, reader, values)
        if not np.any(placed):
            return _rejected(channel, candidate.derivation or "", "the two signals are the same")
    idle = _idle_share(placed)
    if idle > 0.2:
        problems.append(f"{channel}: no signal for {100 * idle:.0f} % of the recording")
    if kind in ("ABD", "THX", "AF") and rate < 4:
        problems.append(
            f"{channel}: {candidate.label!r} is stored at {float(rate):g} Hz: "
            "breaths can be counted, their shape is coarse"
        )
    if problem:
        problems.append(problem)
    source = ChannelSource(candidate.label, candidate.derivation, float(rate), unit)
    return _Outcome(placed, source, problems)


def _is_flat(channel: str, values: np.ndarray, duration_s: float) -> bool:
    if len(values) == 0 or values.min() != values.max():
        return len(values) == 0
    # A steady 97 % over a few minutes is a measurement; a steady number all night is none.
    steady = channel in ("SPO2", "HR") and duration_s < 600 and 20 < float(values[0]) <= 100
    return not steady


def _idle_share(values: np.ndarray) -> float:
    """Share of the epochs in which a waveform moves by less than 0.5 % of its usual size."""
    if len(values) == 0:
        return 0.0
    low, high = np.percentile(values[::16], (1, 99))
    rows = values.reshape(-1, EPOCH_SAMPLES)
    return float(np.mean(rows.max(axis=1) - rows.min(axis=1) <= 5e-3 * (high - low)))


def _read_difference(
    channel: str, candidate: Candidate, reader: _Reader, plus: np.ndarray
) -> tuple[np.ndarray, str, str | None]:
    """Subtract the reference: at the own rate where both share it, else at 64 Hz."""
    assert candidate.minus is not None
    minus = reader.values(candidate.minus)
    unit, other_unit = (reader.labels[i].unit for i in (candidate.plus, candidate.minus))
    rate, other_rate = reader.rate(candidate.plus), reader.rate(candidate.minus)
    problem: str | None = None
    if unit != other_unit:
        factor, scaled, problem = physical_scale(channel, unit, plus)
        plus *= np.float32(factor)
        factor, scaled, other_problem = physical_scale(channel, other_unit, minus)
        minus *= np.float32(factor)
        unit, problem = scaled, problem or other_problem
        if rate == other_rate:
            return _placed(plus - minus, rate, reader, resample), unit, problem
        return (
            _placed(plus, rate, reader, resample) - _placed(minus, other_rate, reader, resample),
            unit,
            problem,
        )
    if rate == other_rate:
        plus -= minus
        factor, unit, problem = physical_scale(channel, unit, plus)
        plus *= np.float32(factor)
        return _placed(plus, rate, reader, resample), unit, problem
    difference = _placed(plus, rate, reader, resample)
    difference -= _placed(minus, other_rate, reader, resample)
    factor, unit, problem = physical_scale(channel, unit, difference)
    difference *= np.float32(factor)
    return difference, unit, problem


def _read_stepped(
    channel: str, candidate: Candidate, reader: _Reader, values: np.ndarray, problems: list[str]
) -> _Outcome:
    """Position, saturation, heart rate: numbers that are held, never filtered."""
    rate = reader.rate(candidate.plus)
    unit = reader.labels[candidate.plus].unit
    if unit == "V" and isinstance(reader, _RawReader) and np.abs(values).max() < 1e-2:
        values = values * np.float32(1e6)  # MNE took the file's numbers for microvolts
    source = ChannelSource(candidate.label, None, float(rate), UNITS[channel])
    if channel == "POS":
        upright = _upright_index(candidate, reader)
        held = _placed(values, rate, reader, hold)
        standing = (
            _placed(reader.values(upright), reader.rate(upright), reader, hold)
            if upright is not None
            else None
        )
        codes, problem = position_codes(held, candidate.position, standing)
        problem = problem.replace("LABEL", candidate.label) if problem else None
        for start_s, end_s in _gaps(reader):
            codes[_sample(start_s) : _sample(end_s)] = POSITION_CODES["unknown"]
        return _Outcome(codes, source, [*problems, *([problem] if problem else [])])
    factor, _, problem = physical_scale(channel, unit, values)
    values = values * np.float32(factor)
    low, high = (20.0, 100.5) if channel == "SPO2" else (20.0, 250.0)
    valid = (values >= low) & (values <= high)
    if np.mean(valid) < 0.02:
        what = "a saturation in %" if channel == "SPO2" else "a heart rate per minute"
        return _rejected(channel, candidate.label, f"its values are not those of {what}")
    lost = 1 - float(np.mean(valid))
    values[~valid] = 0.0
    if lost > 0.01:
        problems = [*problems, f"{channel}: no valid value for {100 * lost:.0f} % of the recording"]
    if problem:
        problems = [*problems, problem]
    return _Outcome(_placed(values, rate, reader, hold), source, problems)


def _sample(time_s: float) -> int:
    return round(time_s * RATE_HZ)


def _placed(
    values: np.ndarray,
    rate: Fraction,
    reader: _Reader,
    method: Callable[[np.ndarray, Fraction], np.ndarray],
) -> np.ndarray:
    """Values at 64 Hz on the recording's clock, complete epochs only, zeros inside gaps."""
    kept = _complete_epochs(reader.duration_s) * EPOCH_SAMPLES
    if len(reader.segments) == 1 and reader.segments[0].onset_s == 0:
        whole = method(values, rate)
        if len(whole) < kept:
            whole = np.pad(whole, (0, kept - len(whole)), mode="edge")
        return whole[:kept]
    placed = np.zeros(kept, dtype=np.float32)
    for segment in reader.segments:
        first = round(segment.first_s * rate)
        part = values[first : first + round(segment.duration_s * rate)]
        if len(part) == 0:
            continue
        begin = _sample(segment.onset_s)
        piece = method(part, rate)[: max(kept - begin, 0)]
        placed[begin : begin + len(piece)] = piece
    return placed


def _gaps(reader: _Reader) -> list[tuple[float, float]]:
    edges = [(segment.onset_s, segment.onset_s + segment.duration_s) for segment in reader.segments]
    gaps = [(end, begin) for (_, end), (begin, _) in pairwise(edges) if begin - end > 0.5 / RATE_HZ]
    if edges and edges[0][0] > 0:
        gaps.insert(0, (0.0, edges[0][0]))
    if edges and reader.duration_s - edges[-1][1] > 0.5 / RATE_HZ:
        gaps.append((edges[-1][1], reader.duration_s))
    return gaps


def _gap_problems(gaps: Sequence[tuple[float, float]]) -> list[str]:
    if not gaps:
        return []
    total_s = sum(end - begin for begin, end in gaps)
    at_s = round(gaps[0][0])
    first = f"{at_s // 3600:02d}:{at_s // 60 % 60:02d}:{at_s % 60:02d}"
    times = "once" if len(gaps) == 1 else f"{len(gaps)} times"
    return [
        f"the recording was interrupted {times} ({total_s:.3g} s in all, first {first} after its "
        "start): clock times are kept, the signals are empty there"
    ]


def _duplicate_problems(
    labels: Sequence[SignalLabel], sources: Mapping[str, ChannelSource | None]
) -> list[str]:
    counts = Counter(signal.label for signal in labels)
    return [
        f"{channel}: the label {source.label!r} stands {counts[source.label]} times in the file; "
        f'the first is used (choose another with --map {channel}="{source.label}#2")'
        for channel, source in sources.items()
        if source is not None and counts[source.label] > 1
    ]


def check_report(recording: Recording, scoring: Scoring | None = None) -> dict[str, Any]:
    """What was read, mapped and missed, as plain values for ``check --json``.

    Returns
    -------
    dict
        ``duration_s``, ``channels`` (name → label, derivation, rate_hz, unit; null where
        missing), ``scoring`` (or null), ``problems``.
    """
    problems = list(recording.problems)
    described: dict[str, Any] | None = None
    if scoring is not None:
        described = {
            "source": scoring.scorer.kind,
            "scorer": {
                "kind": scoring.scorer.kind,
                "name": scoring.scorer.name,
                "version": scoring.scorer.version,
            },
            "n_epochs": scoring.n_epochs,
            "n_events": len(scoring.events),
            "has_events": scoring.has_events,
            "start": scoring.start.isoformat() if scoring.start else None,
            "offset_s": scoring.offset_s,
        }
        problems += [text for text in scoring.problems if text not in problems]
    return {
        "duration_s": recording.duration_s,
        "channels": {
            name: None
            if (source := recording.sources.get(name)) is None
            else {
                "label": source.label,
                "derivation": source.derivation,
                "rate_hz": source.rate_hz,
                "unit": source.unit,
            }
            for name in CHANNELS
        },
        "scoring": described,
        "problems": problems,
    }
