"""Artefacts: what goes wrong between body and file, put on the finished channels of a night.

Every artefact is either a disturbance for some time, which the truth holds as an event of kind
``artifact`` with its channel, or a wrong connection for the whole night (swapped, turned over,
another gain), which the truth's ``meta["artefacts"]`` names. Both are listed there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.signal import butter, sosfilt

from sleeplm.errors import QueryError
from sleeplm.scoring import Event
from train.simulate.oximetry import oximeter_faults

__all__ = ["ARTEFACTS", "Disturbances", "chosen_artefacts", "disturb"]

# A channel as recorded: its rate in Hz, and its samples.
Channels = dict[str, tuple[float, np.ndarray]]
ELECTRODES = ("EEG_C3_A2", "EEG_C4_A1", "EOG_L", "EOG_R")
WIRED = (*ELECTRODES, "EMG_CHIN", "ECG")


@dataclass
class Disturbances:
    """What was done to a night: events of the truth, and a list of all of it."""

    duration_s: float
    movements_s: Sequence[tuple[float, float]] = ()
    events: list[Event] = field(default_factory=list)
    done: list[dict[str, Any]] = field(default_factory=list)

    def note(self, kind: str, channel: str, **details: float | str) -> None:
        """A change of the whole night."""
        self.done.append({"kind": kind, "channel": channel, **details})

    def mark(self, kind: str, channel: str | None, start_s: float, end_s: float) -> None:
        """A disturbance for some time; the truth shows it as an event."""
        start_s = round(max(start_s, 0.0), 2)
        length_s = round(min(end_s, self.duration_s) - start_s, 2)
        self.events.append(Event("artifact", start_s, length_s, channel))
        self.done.append(
            {"kind": kind, "channel": channel, "onset_s": start_s, "duration_s": length_s}
        )

    def hidden(self, channel: str, start_s: float, end_s: float) -> bool:
        """Whether a disturbance of ``channel`` touches [start_s, end_s]."""
        return any(
            event.channel == channel and event.overlaps(start_s, end_s) for event in self.events
        )


def _present(channels: Channels, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in channels]


def _choose(rng: np.random.Generator, channels: Channels, names: Sequence[str]) -> str | None:
    present = _present(channels, names)
    return present[int(rng.integers(len(present)))] if present else None


def _span(
    rng: np.random.Generator, done: Disturbances, least: float, most: float
) -> tuple[float, float]:
    """A stretch of ``least`` to ``most`` of the night, in whole seconds."""
    length_s = np.floor(done.duration_s * rng.uniform(least, most))
    start_s = np.floor(rng.uniform(0, done.duration_s - length_s))
    return float(start_s), float(start_s + length_s)


def _part(channels: Channels, name: str, span: tuple[float, float]) -> np.ndarray:
    """View of the samples of a stretch."""
    rate_hz, samples = channels[name]
    return samples[int(span[0] * rate_hz) : int(span[1] * rate_hz)]


def _fade(n: int, rate_hz: float, edge_s: float) -> np.ndarray:
    """0 to 1 and back over ``edge_s`` at both ends."""
    time_s = (np.arange(n) + 0.5) / rate_hz
    return np.clip(np.minimum(time_s, n / rate_hz - time_s) / edge_s, 0, 1)


def _sweat(rng: np.random.Generator, channels: Channels, done: Disturbances) -> None:
    """Slow sway of 0.1–0.5 Hz under the electrodes, largely common to them."""
    span = _span(rng, done, 0.05, 0.15)
    common = None
    for name in _present(channels, ELECTRODES):
        part = _part(channels, name, span)
        band = butter(2, [0.1, 0.5], "bandpass", fs=channels[name][0], output="sos")
        own = sosfilt(band, rng.standard_normal(len(part)))
        common = own if common is None else common
        wave = 0.8 * common + 0.6 * own
        size_uv = rng.uniform(25, 60)
        part += size_uv * wave / (wave.std() + 1e-9) * _fade(len(part), channels[name][0], 60)
        done.mark("sweat", name, *span)


def _pops(rng: np.random.Generator, channels: Channels, done: Disturbances) -> None:
    """Sudden steps of one loose electrode that fade within a second or two."""
    name = _choose(rng, channels, ELECTRODES)
    if name is None:
        return
    span = _span(rng, done, 0.1, 0.3)
    count = max(2, int((span[1] - span[0]) / 120))
    for at in np.sort(rng.uniform(span[0], span[1] - 3, count)):
        part = _part(channels, name, (at, at + 3))
        time_s = np.arange(len(part)) / channels[name][0]
        size_uv = rng.choice([-1, 1]) * rng.uniform(150, 500)
        part += size_uv * np.exp(-time_s / rng.uniform(0.2, 0.7))
        done.mark("pop", name, float(at), float(at) + 2.0)


def _movement(rng: np.random.Generator, channels: Channels, done: Disturbances) -> None:
    """Bouts of 5–20 s with sway and muscle on every electrode, and jolts of belts and flow."""
    for _ in range(max(1, round(done.duration_s / 3600 * rng.uniform(2, 6)))):
        length_s = min(float(rng.uniform(5, 20)), 0.5 * done.duration_s)
        start_s = float(rng.uniform(0, done.duration_s - length_s))
        span = (start_s, start_s + length_s)
        for name in _present(channels, (*WIRED, "THX", "ABD", "AF")):
            part = _part(channels, name, span)
            rate_hz = channels[name][0]
            sway = np.cumsum(rng.standard_normal(len(part)))
            sway -= np.linspace(sway[0], sway[-1], len(part))
            wave = sway / (sway.std() + 1e-9)
            if name in WIRED:
                wave = wave + 0.5 * rng.standard_normal(len(part))
            size = {"ECG": 0.2, "THX": 1.0, "ABD": 1.0, "AF": 0.4}.get(name, rng.uniform(60, 160))
            part += size * wave * _fade(len(part), rate_hz, 0.5)
        done.mark("movement", None, *span)


def _mains(rng: np.random.Generator, channels: Channels, done: Disturbances) -> None:
    """Hum of the mains, 50 or 60 Hz, on one or two wires with a bad contact."""
    mains_hz = float(rng.choice([50.0, 60.0]))
    for name in {_choose(rng, channels, WIRED) for _ in range(2)} - {None}:
        assert name is not None
        span = _span(rng, done, 0.3, 1.0)
        part = _part(channels, name, span)
        time_s = np.arange(len(part)) / channels[name][0]
        size = rng.uniform(5, 25) * (0.01 if name == "ECG" else 1.0)
        part += size * np.sin(2 * np.pi * mains_hz * time_s) * _fade(len(part), 1.0, 1.0)
        done.mark(f"mains_{mains_hz:g}_hz", name, *span)


def _lost_belt(rng: np.random.Generator, channels: Channels, done: Disturbances) -> None:
    """A belt slips off for part of the night: a flat line with a little noise."""
    name = _choose(rng, channels, ("THX", "ABD"))
    if name is not None:
        span = _span(rng, done, 0.15, 0.5)
        part = _part(channels, name, span)
        part[:] = 0.002 * rng.standard_normal(len(part))
        done.mark("lost_belt", name, *span)


def _lost_electrode(rng: np.random.Generator, channels: Channels, done: Disturbances) -> None:
    """An electrode comes off: the input floats and shows hum, or the amplifier shows nothing."""
    name = _choose(rng, channels, (*ELECTRODES, "EMG_CHIN"))
    if name is None:
        return
    span = _span(rng, done, 0.1, 0.4)
    part = _part(channels, name, span)
    time_s = np.arange(len(part)) / channels[name][0]
    if rng.random() < 0.5:
        part[:] = 0.0
    else:
        hum = 180 * np.sin(2 * np.pi * 50 * time_s)
        part[:] = hum + 40 * rng.standard_normal(len(part))
    done.mark("lost_electrode", name, *span)


def _oximeter(rng: np.random.Generator, channels: Channels, done: Disturbances) -> None:
    """The finger clip slips or moves: the oximeter shows 0, or a fall that is none."""
    if "SPO2" not in channels or "HR" not in channels:
        return
    spans: list[tuple[float, float]] = []
    # Drawn again until the finger slips at least once; twice in a short night is enough.
    per_h = max(1.5, 2 * 3600 / done.duration_s)
    while not spans:
        spo2_pct, pulse_bpm, spans = oximeter_faults(
            rng, channels["SPO2"][1], channels["HR"][1], done.movements_s, dropouts_per_h=per_h
        )
    for name, samples in (("SPO2", spo2_pct), ("HR", pulse_bpm)):
        channels[name] = (channels[name][0], samples.astype(np.float32))
    for start_s, end_s in spans:
        done.mark("oximeter", "SPO2", start_s, end_s)


def _swap(kind: str, one: str, other: str) -> Callable[..., None]:
    def swap(rng: np.random.Generator, channels: Channels, done: Disturbances) -> None:
        if one in channels and other in channels:
            channels[one], channels[other] = channels[other], channels[one]
            # What disturbed a wire is seen where the wire now ends.
            ends = {one: other, other: one}
            done.events = [
                replace(event, channel=ends.get(event.channel or "", event.channel))
                for event in done.events
            ]
            for entry in done.done:
                entry["channel"] = ends.get(entry["channel"], entry["channel"])
            done.note(kind, f"{one} {other}")

    return swap


def _flipped(rng: np.random.Generator, channels: Channels, done: Disturbances) -> None:
    """One to three channels are wired the wrong way round."""
    present = _present(channels, (*WIRED, "THX", "ABD", "AF"))
    count = min(len(present), int(rng.integers(1, 4)))
    for name in rng.choice(present, count, replace=False).tolist():
        rate_hz, samples = channels[name]
        channels[name] = (rate_hz, -samples)
        done.note("flipped", name)


def _gain(rng: np.random.Generator, channels: Channels, done: Disturbances) -> None:
    """Amplifiers that are not calibrated to each other."""
    for name in _present(channels, (*WIRED, "THX", "ABD", "AF")):
        spread = 0.6 if name in ("THX", "ABD", "AF") else 0.3
        factor = float(np.round(np.exp(spread * rng.standard_normal()), 3))
        rate_hz, samples = channels[name]
        channels[name] = (rate_hz, (samples * factor).astype(np.float32))
        done.note("gain", name, factor=factor)


#: Name → how, and its share among nights where all artefacts are asked for to some degree. What
#: disconnects a channel comes after what disturbs it, and wrong connections come last.
ARTEFACTS: dict[str, tuple[Callable[..., None], float]] = {
    "sweat": (_sweat, 0.4),
    "pop": (_pops, 0.5),
    "movement": (_movement, 0.9),
    "mains": (_mains, 0.5),
    "lost_belt": (_lost_belt, 0.25),
    "lost_electrode": (_lost_electrode, 0.25),
    "oximeter": (_oximeter, 0.7),
    "swapped_eyes": (_swap("swapped_eyes", "EOG_L", "EOG_R"), 0.1),
    "swapped_belts": (_swap("swapped_belts", "THX", "ABD"), 0.1),
    "flipped": (_flipped, 0.25),
    "gain": (_gain, 0.6),
}


def chosen_artefacts(rng: np.random.Generator, wanted: float | Sequence[str]) -> list[str]:
    """Names of the artefacts of a night: those named, or drawn with ``wanted`` × their share.

    Raises
    ------
    QueryError
        A name is not known, or the number is not between 0 and 1.
    """
    if isinstance(wanted, int | float):
        if not 0 <= wanted <= 1:
            raise QueryError(f"artefacts {wanted} is out of range; use 0 to 1, or names")
        return [name for name, (_, share) in ARTEFACTS.items() if rng.random() < wanted * share]
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in names:
        if name not in ARTEFACTS:
            raise QueryError(
                f"artefact {name!r} is not known; use 0 to 1, or names of {', '.join(ARTEFACTS)}"
            )
    return [name for name in ARTEFACTS if name in names]


def disturb(
    rng: np.random.Generator,
    channels: Channels,
    names: Sequence[str],
    duration_s: float,
    movements_s: Sequence[tuple[float, float]] = (),
) -> Disturbances:
    """Put the named artefacts on ``channels``, which are changed in place.

    ``movements_s`` are the body movements of the night, some of which disturb the oximeter.
    """
    done = Disturbances(duration_s, movements_s)
    for name in names:
        ARTEFACTS[name][0](rng, channels, done)
    done.events.sort(key=lambda event: event.onset_s)
    return done
