"""What the page draws, as plain data: the night at a glance, and one window of traces.

Pure functions of a night and a scoring; the canvas scripts in ``assets/`` draw what is here.
Samples travel as min/max pairs of at most twice the pixels, never as every n-th sample, so that no
alias is drawn as a rhythm.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sleeplm.errors import QueryError
from sleeplm.scoring import EPOCH_S, STAGES, UNSCORED, Scoring
from ui.theme import EVENT_MARKS

if TYPE_CHECKING:
    from sleeplm.night import Night
    from sleeplm.recording import Recording

__all__ = [
    "TRACE_CHANNELS",
    "WINDOW_LIMITS_S",
    "Scale",
    "channel_scales",
    "minmax_pairs",
    "night_view",
    "trace_window",
]

RATE_HZ = 64
#: Shortest and longest window of traces, in seconds.
WINDOW_LIMITS_S = (5.0, 1800.0)
_NIGHT_BINS = 1200
_PIXEL_LIMITS = (64, 4000)

#: The clinic's order from the top, with the label of each lane.
TRACE_CHANNELS: dict[str, str] = {
    "EOG_L": "EOG-L",
    "EOG_R": "EOG-R",
    "EEG_C3_A2": "C3-M2",
    "EEG_C4_A1": "C4-M1",
    "EMG_CHIN": "Chin",
    "ECG": "ECG",
    "AF": "Flow",
    "THX": "Thorax",
    "ABD": "Abdomen",
    "SPO2": "SpO₂",
    "HR": "HR",
}
#: Values outside are a probe off the finger or a lost pulse, drawn as a gap.
_CREDIBLE = {"SPO2": (50.0, 100.5), "HR": (20.0, 250.0)}
#: Half a lane in µV: sensitivities of the clinic, kept unless the signal is far from them.
_USUAL_HALF = {"EOG_L": 150.0, "EOG_R": 150.0, "EEG_C3_A2": 75.0, "EEG_C4_A1": 75.0}
_POSITIONS = {0: "right", 1: "left", 2: "supine", 3: "prone", 4: "upright"}


@dataclass(frozen=True)
class Scale:
    """How a channel fills its lane: values from ``low`` to ``high``.

    ``centred`` lanes are drawn around the window's median (EEG, belts); the others keep their axis
    (SpO2, HR).
    """

    low: float
    high: float
    centred: bool


def night_view(
    night: Night,
    scoring: Scoring,
    *,
    token: str = "",
    heart_rate_bpm: np.ndarray | None = None,
    events_by: Scoring | None = None,
) -> dict[str, Any]:
    """The night at a glance: hypnogram, event lanes, position, SpO2 and heart rate.

    Parameters
    ----------
    night : Night
    scoring : Scoring
        Aligned with the recording; whose stages and events are drawn.
    token : str
        Handed back by the page when it asks for traces.
    heart_rate_bpm : array [n_epochs], optional
        Rate measured from the ECG, drawn where no heart-rate channel was recorded.
    events_by : Scoring, optional
        Whose events are drawn where ``scoring`` holds stages only.

    Returns
    -------
    dict
        JSON-ready. Stage codes index :data:`sleeplm.scoring.STAGES`, −1 is unscored. Times are
        seconds from the start of the recording; ``start_s`` is the start in seconds of the day.
    """
    codes = {stage: index for index, stage in enumerate(STAGES)} | {UNSCORED: -1}
    confidence = None
    if scoring.probabilities is not None:
        best = np.nan_to_num(np.asarray(scoring.probabilities).max(axis=1), nan=0.0)
        confidence = [round(float(value), 2) for value in best]
    event_scoring = scoring if events_by is None else events_by
    kinds = [kind for kind in EVENT_MARKS if event_scoring.events_of(kind)]
    start = night.start
    return {
        "token": token,
        "id": night.id,
        "n_epochs": night.n_epochs,
        "epoch_s": EPOCH_S,
        "start_s": start.hour * 3600 + start.minute * 60 + start.second if start else None,
        "scorer": scoring.scorer.kind,
        "events_by": None if events_by is None else events_by.scorer.kind,
        "stage_names": list(STAGES),
        "stages": [codes[stage] for stage in scoring.stages[: night.n_epochs]],
        "confidence": confidence,
        "kinds": [
            {
                "kind": kind,
                "label": EVENT_MARKS[kind].label,
                "short": EVENT_MARKS[kind].short,
                "colour": EVENT_MARKS[kind].colour,
                "channels": list(EVENT_MARKS[kind].channels),
            }
            for kind in kinds
        ],
        "events": [
            [round(event.onset_s, 2), round(event.duration_s, 2), kinds.index(event.kind)]
            for event in event_scoring.events
        ],
        "positions": _position_runs(night.recording),
        "series": _series(night.recording, heart_rate_bpm),
        "gaps": [[round(start_s, 1), round(end_s, 1)] for start_s, end_s in night.recording.gaps],
        "channels": [name for name in TRACE_CHANNELS if night.recording.channel(name) is not None],
    }


def trace_window(
    recording: Recording,
    start_s: float,
    duration_s: float,
    width_px: int,
    scales: dict[str, Scale] | None = None,
) -> dict[str, Any]:
    """One window of traces as min/max pairs.

    Parameters
    ----------
    recording : Recording
    start_s, duration_s : float
        Seconds from the start of the recording; the window is moved inside the recording.
    width_px : int
        Pixels that a lane has; at most twice as many values are sent for each channel.
    scales : dict, optional
        From :func:`channel_scales`, so that it is worked out once for a night.

    Returns
    -------
    dict
        ``start_s``, ``duration_s`` and ``channels``; each channel has ``values``, little-endian
        float32 in base64, evenly spaced over the window.

    Raises
    ------
    QueryError
        A time is not a finite number.
    """
    if not (math.isfinite(start_s) and math.isfinite(duration_s)):
        raise QueryError("a window of traces needs a start and a length in seconds")
    recorded_s = max((len(s) for s in recording.signals.values()), default=0) / RATE_HZ
    duration_s = min(max(duration_s, WINDOW_LIMITS_S[0]), WINDOW_LIMITS_S[1], recorded_s)
    start_s = min(max(start_s, 0.0), max(recorded_s - duration_s, 0.0))
    width_px = min(max(int(width_px), _PIXEL_LIMITS[0]), _PIXEL_LIMITS[1])
    scales = channel_scales(recording) if scales is None else scales
    first = round(start_s * RATE_HZ)
    last = first + round(duration_s * RATE_HZ)
    channels = []
    for name, label in TRACE_CHANNELS.items():
        signal = recording.channel(name)
        if signal is None:
            continue
        window = np.asarray(signal[first:last], dtype=np.float32)
        if name in _CREDIBLE:
            window = _credible(window, name)
        scale = scales[name]
        centre = float(np.nanmedian(window)) if scale.centred and window.size else 0.0
        values = minmax_pairs(window, width_px) - np.float32(centre)
        source = recording.sources.get(name)
        channels.append(
            {
                "name": name,
                "label": label,
                "unit": source.unit if source else "",
                "low": scale.low,
                "high": scale.high,
                "centred": scale.centred,
                "values": base64.b64encode(values.astype("<f4").tobytes()).decode("ascii"),
            }
        )
    return {"start_s": start_s, "duration_s": duration_s, "channels": channels}


def minmax_pairs(samples: np.ndarray, width_px: int) -> np.ndarray:
    """At most ``2 · width_px`` values that keep every extreme; the samples themselves where few.

    NaN marks a gap and stays one. Uses tsdownsample's MinMax (Van Der Donckt et al. 2022).
    """
    limit = 2 * width_px
    if len(samples) <= limit:
        return np.asarray(samples, dtype=np.float32)
    from tsdownsample import NaNMinMaxDownsampler

    contiguous = np.ascontiguousarray(samples, dtype=np.float32)
    return contiguous[NaNMinMaxDownsampler().downsample(contiguous, n_out=limit)]


def channel_scales(recording: Recording) -> dict[str, Scale]:
    """The lane of each recorded channel, from the usual sensitivity or from the night's own range.

    The range is the median over 30-s pieces of each piece's 99th percentile around its median, so
    that a movement does not flatten the night.
    """
    scales: dict[str, Scale] = {}
    for name in TRACE_CHANNELS:
        signal = recording.channel(name)
        if signal is None:
            continue
        if name in _CREDIBLE:
            scales[name] = _fixed_scale(name, _credible(np.asarray(signal), name))
            continue
        spread = _typical_spread(np.asarray(signal))
        half = _USUAL_HALF.get(name)
        if half is None or not half / 20 <= spread <= half * 4:
            half = _round_up(spread * 1.15)
        scales[name] = Scale(-half, half, centred=True)
    return scales


def _fixed_scale(name: str, values: np.ndarray) -> Scale:
    finite = values[np.isfinite(values)]
    if name == "SPO2":
        lowest = float(np.percentile(finite, 0.1)) if finite.size else 90.0
        return Scale(min(85.0, math.floor(lowest / 5) * 5.0), 100.0, centred=False)
    low, high = np.percentile(finite, [0.1, 99.9]) if finite.size else (50.0, 100.0)
    return Scale(
        min(50.0, math.floor(low / 10) * 10.0), max(90.0, math.ceil(high / 10) * 10.0), False
    )


def _typical_spread(signal: np.ndarray) -> float:
    piece = int(EPOCH_S * RATE_HZ)
    n_pieces = max(len(signal) // piece, 1)
    chosen = np.unique(np.linspace(0, n_pieces - 1, min(n_pieces, 60)).astype(int))
    spreads = []
    for index in chosen:
        window = signal[index * piece : (index + 1) * piece]
        window = window[np.isfinite(window)]
        if window.size:
            spreads.append(np.percentile(np.abs(window - np.median(window)), 99))
    positive = [spread for spread in spreads if spread > 0]
    return float(np.median(positive)) if positive else 1.0


def _round_up(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 5, 7.5 · 10^k, so that a scale bar has a plain number."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(
        (step * power for step in (1, 1.5, 2, 3, 5, 7.5, 10) if step * power >= value * 0.999),
        10 * power,
    )


def _credible(values: np.ndarray, name: str) -> np.ndarray:
    low, high = _CREDIBLE[name]
    return np.where((values >= low) & (values <= high), values, np.nan).astype(np.float32)


def _position_runs(recording: Recording) -> list[list[Any]]:
    """Runs of one position as [onset_s, length_s, name], by the commonest code of an epoch."""
    signal = recording.channel("POS")
    if signal is None:
        return []
    samples = int(EPOCH_S * RATE_HZ)
    runs: list[list[Any]] = []
    for epoch in range(recording.n_epochs):
        codes, counts = np.unique(
            np.round(signal[epoch * samples : (epoch + 1) * samples]), return_counts=True
        )
        code = codes[counts.argmax()]
        name = _POSITIONS.get(int(code), "unknown") if np.isfinite(code) else "unknown"
        if runs and runs[-1][2] == name:
            runs[-1][1] += EPOCH_S
        else:
            runs.append([epoch * EPOCH_S, EPOCH_S, name])
    return runs if any(run[2] != "unknown" for run in runs) else []


def _series(recording: Recording, heart_rate_bpm: np.ndarray | None) -> list[dict[str, Any]]:
    """SpO2 and heart rate over the night as lowest and highest of each bin; None is a gap."""
    found = []
    for name, label, unit in (("SPO2", "SpO₂", "%"), ("HR", "Heart rate", "bpm")):
        signal = recording.channel(name)
        if signal is not None:
            values, step_s = _credible(np.asarray(signal), name), 1 / RATE_HZ
        elif name == "HR" and heart_rate_bpm is not None and np.isfinite(heart_rate_bpm).any():
            values, step_s = np.asarray(heart_rate_bpm, dtype=np.float32), EPOCH_S
            label = "HR (ECG)"
        else:
            continue
        if not np.isfinite(values).any():
            continue
        size = max(1, math.ceil(len(values) / _NIGHT_BINS))
        padded = np.full(math.ceil(len(values) / size) * size, np.nan, dtype=np.float32)
        padded[: len(values)] = values
        bins = padded.reshape(-1, size)
        empty: np.ndarray = np.logical_not(np.isfinite(bins).any(axis=1))
        lowest = np.nanmin(np.where(empty[:, None], 0, bins), axis=1)
        highest = np.nanmax(np.where(empty[:, None], 0, bins), axis=1)
        scale = _fixed_scale(name, values)
        found.append(
            {
                "name": name,
                "label": label,
                "unit": unit,
                "low": scale.low,
                "high": scale.high,
                "bin_s": size * step_s,
                "lowest": _rounded(lowest, empty),
                "highest": _rounded(highest, empty),
            }
        )
    return found


def _rounded(values: np.ndarray, empty: np.ndarray) -> list[float | None]:
    return [
        None if gap else round(float(value), 1) for value, gap in zip(values, empty, strict=True)
    ]
