"""The channels a model reads: names, units, and which label of a file means which channel.

Labels are matched as a whole against a table kept as data (``data/channel_aliases.json``), after
case, accents, spaces and punctuation are removed. Nothing is guessed from a part of a label:
"Pres" holds no pulse, "SpO2" no O2 electrode, a leg EMG is no chin EMG.

Choices made where several labels fit (first is best; the next is used when the first is flat):

* airflow: the channel a file names as airflow (a thermal sensor in the NSRR cohorts, as in the
  published model's data), then thermal sensors, then nasal pressure, then flow derived from belts;
* heart rate: the channel a file names as heart rate (usually from the ECG), then the oximeter's
  pulse rate;
* saturation: the oximeter's averaged value, then beat to beat.
"""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from sleeplm.errors import MontageError

__all__ = [
    "CHANNELS",
    "OFFICIAL_CHANNELS",
    "POSITION_CODES",
    "UNITS",
    "Candidate",
    "PositionCoding",
    "SignalLabel",
    "alias_table",
    "channel_name",
    "normalise_label",
    "physical_scale",
    "position_codes",
    "resolve_channels",
]

OFFICIAL_CHANNELS = (
    "ECG",
    "ABD",
    "THX",
    "AF",
    "EOG_L",
    "EOG_R",
    "EEG_C3_A2",
    "EEG_C4_A1",
    "EMG_CHIN",
    "POS",
)
CHANNELS = (*OFFICIAL_CHANNELS, "SPO2", "HR")
POSITION_CODES = {"right": 0, "left": 1, "supine": 2, "prone": 3, "upright": 4, "unknown": -1}
UNITS = {
    "ECG": "mV",
    "ABD": "",
    "THX": "",
    "AF": "",
    "EOG_L": "µV",
    "EOG_R": "µV",
    "EEG_C3_A2": "µV",
    "EEG_C4_A1": "µV",
    "EMG_CHIN": "µV",
    "POS": "code",
    "SPO2": "%",
    "HR": "bpm",
}
"""Unit of each channel; empty where the file's own (arbitrary) unit is kept."""

_VOLTS = {"v": 1.0, "mv": 1e-3, "uv": 1e-6, "nv": 1e-9}
_LARGEST_UV = {"EEG": 3000.0, "EOG": 5000.0, "EMG": 5000.0, "ECG": 30000.0}
_SMALLEST_UV = {"EEG": 1.0, "EOG": 1.0, "EMG": 0.1, "ECG": 30.0}


@dataclass(frozen=True)
class SignalLabel:
    """What a file says of one of its signals."""

    label: str
    unit: str
    rate_hz: float


@dataclass(frozen=True)
class PositionCoding:
    """What the numbers of a position channel mean.

    Parameters
    ----------
    codes : dict of int to int, or None
        The file's number → the model's code.
    angle : bool
        The channel holds degrees: 0 on the back, ±180 on the front.
    positive_side : str or None
        "left" or "right": the side of a positive angle; None where nobody says.
    upright_label : str or None
        A signal of the same file, in g, whose size is near 1 when the trunk is upright.
    """

    name: str
    codes: dict[int, int] | None = None
    angle: bool = False
    positive_side: str | None = None
    upright_label: str | None = None


@dataclass(frozen=True)
class Candidate:
    """One way to get a channel: a signal, or the difference of two.

    ``plus`` and ``minus`` are indices into the signals given to :func:`resolve_channels`.
    """

    plus: int
    minus: int | None
    label: str
    derivation: str | None = None
    note: str | None = None
    chosen_by_user: bool = False
    position: PositionCoding | None = field(default=None, compare=False)


def normalise_label(label: str) -> str:
    """Letters and digits of a label, in lower case and without accents."""
    decomposed = unicodedata.normalize("NFKD", label.casefold())
    return "".join(sign for sign in decomposed if sign.isalnum() and sign.isascii())


def channel_name(name: str) -> str:
    """The full channel name of a full or short one: ``C3_A2`` → ``EEG_C3_A2``.

    Raises
    ------
    MontageError
        No channel has this name.
    """
    wanted = normalise_label(name)
    for channel in CHANNELS:
        short = channel.partition("_")[2]
        if wanted in (normalise_label(channel), normalise_label(short) or None):
            return channel
    raise MontageError(f"channel {name!r} is not known; use one of {', '.join(CHANNELS)}")


@cache
def alias_table() -> dict[str, Any]:
    """The labels of channels, positions and legs, as stored in ``data/channel_aliases.json``."""
    text = resources.files("sleeplm").joinpath("data/channel_aliases.json").read_text("utf-8")
    table: dict[str, Any] = json.loads(text)
    return table


class _Labels:
    """The labels of one file, found by their normalised form."""

    def __init__(self, signals: Sequence[SignalLabel]) -> None:
        self.signals = signals
        self._by_key: dict[str, int] = {}
        for index, signal in enumerate(signals):
            self._by_key.setdefault(normalise_label(signal.label), index)

    def find(self, label: str, type_words: Sequence[str] = ()) -> int | None:
        """Index of the signal with this label, or with it after a type word ("EEG C3-A2")."""
        key = normalise_label(label)
        if not key:
            return None
        if key in self._by_key:
            return self._by_key[key]
        # "EEG 2" must not become electrode "2": a bare number keeps its type word.
        if len(key) > 1 and not key.isdigit():
            for word in type_words:
                if word.lower() + key in self._by_key:
                    return self._by_key[word.lower() + key]
        return None

    def any_of(self, labels: Sequence[str]) -> bool:
        return any(normalise_label(label) in self._by_key for label in labels)

    def nearest(self, label: str) -> str:
        texts = [signal.label for signal in self.signals]
        by_key = {normalise_label(text): text for text in texts}
        keys = difflib.get_close_matches(normalise_label(label), list(by_key), n=3, cutoff=0.4)
        return ", ".join(repr(by_key[key]) for key in keys) or ", ".join(map(repr, texts[:8]))


def _applies(entry: Mapping[str, Any], labels: _Labels) -> bool:
    if "if_any_of" in entry and not labels.any_of(entry["if_any_of"]):
        return False
    return not labels.any_of(entry.get("unless_any_of", ()))


def _candidates(channel: str, labels: _Labels) -> list[Candidate]:
    entry = alias_table()["channels"][channel]
    type_words = entry.get("type_words", ())
    found: list[Candidate] = []

    def single(group: Mapping[str, Any], note: str | None) -> None:
        for label in group["labels"]:
            index = labels.find(label, type_words)
            if index is not None and all(index != other.plus for other in found):
                found.append(Candidate(index, None, labels.signals[index].label, note=note))

    for group in entry["groups"]:
        if _applies(group, labels):
            single(group, group["note"] if group.get("stand_in") else None)
    for pair in entry.get("pairs", ()):
        plus = next((i for text in pair["plus"] if (i := labels.find(text)) is not None), None)
        minus = next((i for text in pair["minus"] if (i := labels.find(text)) is not None), None)
        if plus is not None and minus is not None and plus != minus:
            found.append(_difference(labels, plus, minus))
    for group in entry.get("stand_ins", ()):
        for label in group["labels"]:
            index = labels.find(label, type_words)
            if index is not None and not any(
                index == other.plus and other.minus is None for other in found
            ):
                found.append(
                    Candidate(index, None, labels.signals[index].label, note=group["note"])
                )
    if channel == "POS":
        found = [_with_coding(candidate, labels, None) for candidate in found]
    return found


def _difference(labels: _Labels, plus: int, minus: int, *, by_user: bool = False) -> Candidate:
    text = f"{labels.signals[plus].label} − {labels.signals[minus].label}"
    return Candidate(
        plus, minus, labels.signals[plus].label, derivation=text, chosen_by_user=by_user
    )


def _with_coding(candidate: Candidate, labels: _Labels, stated: str | None) -> Candidate:
    """The candidate with what its position numbers mean: as the user states, else by the table."""
    label = candidate.label
    coding = _stated_coding(stated) if stated else None
    table = alias_table()["position"]
    key = normalise_label(label)
    if coding is None or coding.angle:
        for entry in table["angles"]:
            if key in map(normalise_label, entry["labels"]):
                side = coding.positive_side if coding else None
                coding = PositionCoding(entry["name"], None, True, side, entry.get("upright_label"))
    if coding is None:
        for entry in table["codings"]:
            if entry.get("if_all_house_names") and not all(
                signal.label in CHANNELS for signal in labels.signals
            ):
                continue
            if "unit" in entry and labels.signals[candidate.plus].unit != entry["unit"]:
                continue
            if key in map(normalise_label, entry["labels"]) and _applies(entry, labels):
                codes = {int(code): POSITION_CODES[word] for code, word in entry["codes"].items()}
                coding = PositionCoding(entry["name"], codes)
                break
    return Candidate(
        candidate.plus,
        candidate.minus,
        label,
        candidate.derivation,
        candidate.note,
        candidate.chosen_by_user,
        coding,
    )


def _stated_coding(text: str) -> PositionCoding:
    """Read "0=supine, 1=left" or "positive=right" (for an angle)."""
    codes: dict[int, int] = {}
    positive: str | None = None
    for part in text.split(","):
        left, separator, right = (piece.strip().lower() for piece in part.partition("="))
        if left == "positive" and right in ("left", "right"):
            positive = right
        elif separator and re.fullmatch(r"-?\d+", left) and right in POSITION_CODES:
            codes[int(left)] = POSITION_CODES[right]
        else:
            raise MontageError(
                f"position coding {part.strip()!r} is not understood; write 0=supine, 1=left … "
                f"with {', '.join(POSITION_CODES)}, or positive=left for an angle"
            )
    if positive is not None:
        return PositionCoding("stated by the user", None, True, positive)
    return PositionCoding("stated by the user", codes)


def _override(channel: str, text: str, labels: _Labels) -> Candidate | None:
    """The candidate that a user's ``CHANNEL=text`` names; None for ``CHANNEL=none``."""
    label, _, coding = text.partition(";")
    label = label.strip()
    exact = {signal.label: index for index, signal in reversed(list(enumerate(labels.signals)))}
    numbered = re.fullmatch(r"(.+)#(\d+)", label)
    if label not in exact and numbered is not None:
        same = [i for i, s in enumerate(labels.signals) if s.label == numbered[1].strip()]
        index = same[int(numbered[2]) - 1] if 0 < int(numbered[2]) <= len(same) else None
    else:
        index = exact.get(label, labels.find(label))
    # "C3 - M2" with spaces asks for the difference even where "C3-M2" is a label too.
    difference = _find_difference(label, labels)
    candidate: Candidate | None = None
    if difference is not None and label not in exact and (index is None or " " in label):
        candidate = _difference(labels, *difference, by_user=True)
    elif index is not None:
        candidate = Candidate(index, None, labels.signals[index].label, chosen_by_user=True)
    elif label.lower() in ("none", ""):
        return None
    if candidate is None:
        raise MontageError(
            f"{channel}: the file has no signal {label!r}; nearest labels: {labels.nearest(label)}"
        )
    if channel == "POS":
        return _with_coding(candidate, labels, coding.strip() or None)
    return candidate


def _find_difference(text: str, labels: _Labels) -> tuple[int, int] | None:
    """Indices of the two signals of "A - B", wherever the minus has to stand."""
    for match in re.finditer(r"\s*[-−–]\s*", text):
        plus = labels.find(text[: match.start()])
        minus = labels.find(text[match.end() :])
        if plus is not None and minus is not None:
            return plus, minus
    return None


def resolve_channels(
    signals: Sequence[SignalLabel], overrides: Mapping[str, str] | None = None
) -> dict[str, list[Candidate]]:
    """Ways to get each channel from a file's signals, best first.

    Parameters
    ----------
    signals : sequence of SignalLabel
        The file's ordinary signals, in file order.
    overrides : mapping of str to str, optional
        Channel (``"EEG_C3_A2"`` or ``"C3_A2"``) → a label of the file (``"EEG#2"`` is the second
        of the same name), a difference (``"C3 - M2"``), or ``"none"``. For the position, what its
        numbers mean may follow after a semicolon: ``"Body; 0=supine, 1=left, 2=right, 3=prone"``.

    Returns
    -------
    dict
        All of :data:`CHANNELS` → candidates; an empty list where the file holds nothing fit.

    Raises
    ------
    MontageError
        An override names an unknown channel or label; the message lists the nearest labels.
    """
    labels = _Labels(signals)
    resolved = {channel: _candidates(channel, labels) for channel in CHANNELS}
    for name, text in (overrides or {}).items():
        channel = channel_name(name)
        chosen = _override(channel, text, labels)
        resolved[channel] = [chosen] if chosen is not None else []
    return resolved


def _kind(channel: str) -> str:
    return channel.partition("_")[0]


def _spread(values: np.ndarray) -> float:
    """Distance between the 1st and the 99th percentile of (a sample of) the values."""
    step = max(1, len(values) // 200_000)
    low, high = np.percentile(values[::step], (1, 99))
    return float(high - low)


def physical_scale(channel: str, unit: str, values: np.ndarray) -> tuple[float, str, str | None]:
    """Factor that brings a signal to the channel's unit, judged by unit and by signal.

    A stated unit of voltage is believed unless the signal it makes is far larger than a body can
    be; without a stated unit the one that makes a plausible signal is taken.

    Parameters
    ----------
    channel : str
        One of :data:`CHANNELS`.
    unit : str
        The file's unit, perhaps empty.
    values : array
        The signal in the file's unit.

    Returns
    -------
    factor : float
    unit : str
        The unit after the factor; the file's own for effort and airflow.
    problem : str or None
        One sentence where unit and signal disagree.
    """
    kind = _kind(channel)
    if kind in _LARGEST_UV:
        return _voltage_scale(channel, kind, unit, values)
    if channel == "SPO2":
        present = values[(values > 0.05) & np.isfinite(values)]
        if len(present) and float(np.median(present)) <= 1.05:
            problem = None
            if unit.strip() == "%":
                problem = "SPO2 is labelled % but holds fractions of 1: multiplied by 100"
            return 100.0, "%", problem
        return 1.0, "%", None
    if channel in ("HR", "POS"):
        return 1.0, UNITS[channel], None
    return 1.0, unit, None


def _voltage_scale(
    channel: str, kind: str, unit: str, values: np.ndarray
) -> tuple[float, str, str | None]:
    target = UNITS[channel]
    per_microvolt = 1e-3 if target == "mV" else 1.0
    spread = _spread(values)
    stated = _VOLTS.get(normalise_label(unit.replace("µ", "u").replace("μ", "u")))
    if stated is not None:
        spread_uv = spread * stated * 1e6
        if spread_uv <= 20 * _LARGEST_UV[kind]:
            problem = None
            if 0 < spread_uv < _SMALLEST_UV[kind] / 10:
                problem = (
                    f"{channel} is very small ({spread_uv:.2g} µV): electrode off, or a wrong unit"
                )
            return stated * 1e6 * per_microvolt, target, problem
    # Largest unit first: of several that fit, the file's numbers are the more likely µV last.
    for name, volts in (("µV", 1e-6), ("mV", 1e-3), ("V", 1.0)):
        if _SMALLEST_UV[kind] <= spread * volts * 1e6 <= _LARGEST_UV[kind]:
            why = f"its unit {unit!r} cannot be right" if stated else "the file states no unit"
            problem = f"{channel}: {why}; read as {name} by the size of the signal"
            return volts * 1e6 * per_microvolt, target, problem
    problem = f"{channel}: unit {unit!r} and size of the signal fit no voltage; scale is unknown"
    return (stated or 1e-6) * 1e6 * per_microvolt, target, problem


def position_codes(
    values: np.ndarray, coding: PositionCoding | None, upright_g: np.ndarray | None = None
) -> tuple[np.ndarray, str | None]:
    """The model's position codes from a file's numbers.

    Parameters
    ----------
    values : array
        The file's position signal.
    coding : PositionCoding or None
        What the numbers mean; None makes every sample unknown (−1).
    upright_g : array, optional
        Acceleration along the body in g, of the same length: above 0.7 in size the trunk stands
        more than 45° upright, and the angle about its axis says nothing.

    Returns
    -------
    codes : float32 array
        0 right, 1 left, 2 supine, 3 prone, 4 upright, −1 unknown.
    problem : str or None
    """
    codes = np.full(len(values), POSITION_CODES["unknown"], dtype=np.float32)
    if coding is None:
        numbers = np.unique(np.round(values[:: max(1, len(values) // 100_000)]))
        shown = ", ".join(f"{number:g}" for number in numbers[:8])
        return codes, (
            f"what the body position numbers mean ({shown}) is not known for this recorder: "
            'position is unknown; state it with --map POS="LABEL; 0=supine, 1=left, …"'
        )
    if coding.angle:
        return _codes_of_angle(values, coding, upright_g)
    whole = np.round(values)
    for number, code in (coding.codes or {}).items():
        codes[(whole == number) & (np.abs(values - whole) < 0.2)] = code
    unknown = float(np.mean(codes == -1))
    if unknown > 0.01:
        return codes, f"body position: {100 * unknown:.0f} % of the values have no known meaning"
    return codes, None


def _codes_of_angle(
    values: np.ndarray, coding: PositionCoding, upright_g: np.ndarray | None
) -> tuple[np.ndarray, str | None]:
    angle = np.mod(values + 180.0, 360.0) - 180.0
    codes = np.full(len(values), POSITION_CODES["unknown"], dtype=np.float32)
    codes[np.abs(angle) <= 45] = POSITION_CODES["supine"]
    codes[np.abs(angle) >= 135] = POSITION_CODES["prone"]
    lateral = (np.abs(angle) > 45) & (np.abs(angle) < 135)
    if coding.positive_side is not None:
        other = "left" if coding.positive_side == "right" else "right"
        codes[lateral & (angle > 0)] = POSITION_CODES[coding.positive_side]
        codes[lateral & (angle < 0)] = POSITION_CODES[other]
    if upright_g is not None:
        codes[np.abs(upright_g) > np.sqrt(0.5)] = POSITION_CODES["upright"]
    side_unknown = float(np.mean(lateral & (codes == -1)))
    if side_unknown > 0:
        return codes, (
            f"body position: on one side for {100 * side_unknown:.0f} % of the recording, but the "
            "file does not say which sign is left: kept as unknown; state it with "
            '--map POS="LABEL; positive=left"'
        )
    return codes, None
