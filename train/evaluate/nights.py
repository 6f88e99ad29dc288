"""Which nights a model is measured on, and which it and the baselines may learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sleeplm.errors import SleepLMError

if TYPE_CHECKING:
    from sleeplm.night import Night
    from sleeplm.reader import SleepLM

__all__ = [
    "HELD_OUT_SEEDS",
    "REFERENCE_SEEDS",
    "NightSource",
    "held_out_nights",
    "held_out_sources",
    "recording_sources",
    "reference_sources",
]

#: Recipes train on seeds from 1000 upwards.
HELD_OUT_SEEDS = (11, 12, 13, 14, 15, 16)
#: Nights that linear probes and baselines learn from; no recipe trains on them either.
REFERENCE_SEEDS = (41, 42, 43, 44)
HELD_OUT_HOURS, REFERENCE_HOURS = 3.0, 2.0
HELD_OUT_CONDITIONS: tuple[tuple[str, float | None], ...] = (
    ("osa", 25.0),
    ("healthy", 2.0),
    ("central", 20.0),
    ("osa", 45.0),
    ("plmd", None),
    ("mild_osa", None),
)
SUFFIXES = (".edf", ".bdf")


@dataclass(frozen=True)
class NightSource:
    """Where a night comes from, so that another process can open it: a file, or a simulation.

    ``path`` where it is a file; else the arguments of the simulator.
    """

    path: Path | None = None
    seed: int = 0
    hours: float = HELD_OUT_HOURS
    condition: str | None = None
    ahi: float | None = None

    @property
    def key(self) -> str:
        return str(self.path) if self.path is not None else f"simulated-{self.seed}"

    def open(self, model: SleepLM | None = None) -> Night:
        """The night with its scoring.

        Raises
        ------
        SleepLMError
            A file has no scoring beside it, or cannot be read.
        """
        from sleeplm.night import Night

        if self.path is not None:
            night = Night.open(self.path, model=model)
            if "expert" not in night.scorings:
                raise SleepLMError(
                    f"{self.path.name}: no scoring beside it, so nothing to evaluate against"
                )
            return night
        from sleeplm.recording import Recording
        from train.simulate import simulate_night

        made = simulate_night(self.seed, hours=self.hours, ahi=self.ahi, condition=self.condition)
        recording = Recording.from_signals(made.signals, start=made.start)
        return Night.from_recording(recording, made.scoring, model)


def held_out_sources(
    count: int | None = None, hours: float = HELD_OUT_HOURS, first_seed: int = HELD_OUT_SEEDS[0]
) -> list[NightSource]:
    """Simulated nights that were not trained on: several degrees of apnea, one healthy, legs."""
    count = len(HELD_OUT_SEEDS) if count is None else count
    if not 1 <= count <= REFERENCE_SEEDS[0] - first_seed:
        most = REFERENCE_SEEDS[0] - first_seed
        raise SleepLMError(f"--nights {count}: 1 to {most} held-out nights can be simulated")
    return [_simulated(first_seed + index, index, hours) for index in range(count)]


def reference_sources(
    hours: float = REFERENCE_HOURS, count: int | None = None
) -> list[NightSource]:
    """Simulated nights for probes and baselines to learn from, by default one per seed."""
    count = len(REFERENCE_SEEDS) if count is None else count
    return [_simulated(REFERENCE_SEEDS[0] + index, index, hours) for index in range(count)]


def _simulated(seed: int, index: int, hours: float) -> NightSource:
    condition, ahi = HELD_OUT_CONDITIONS[index % len(HELD_OUT_CONDITIONS)]
    return NightSource(None, seed, hours, condition, ahi)


def recording_sources(paths: Sequence[Path]) -> list[NightSource]:
    """Recordings, and those in folders (EDF and BDF, at any depth), by name.

    Raises
    ------
    SleepLMError
        A path does not exist, or a folder holds no recording.
    """
    found: list[NightSource] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            if not inside:
                raise SleepLMError(f"{path}: holds no recording ({', '.join(SUFFIXES)})")
            found += [NightSource(each) for each in inside]
        elif path.exists():
            found.append(NightSource(path))
        else:
            raise SleepLMError(f"{path}: there is no such recording or folder")
    return found


def held_out_nights(
    model: SleepLM, seeds: Sequence[int] = HELD_OUT_SEEDS, hours: float = HELD_OUT_HOURS
) -> list[Night]:
    """Simulated nights that were not trained on, opened."""
    return [_simulated(seed, index, hours).open(model) for index, seed in enumerate(seeds)]
