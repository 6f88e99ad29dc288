"""Fit the tables of the hypnogram simulator to real hypnograms.

    python -m benchmarks.fit_hypnograms > train/simulate/hypnogram_tables.py

Two groups: "healthy" (Sleep-EDF cassettes, 10 adults of 25-34 years and two nights each, and the
one night of prerau-dynamo) and "apnea" (the train part of the St Vincent's / UCD database, and
the MIT-BIH Polysomnographic Database). R&K stages 3 and 4 are N3. A night is cut into cycles: R
bouts less than 15 minutes apart are one R period. Counted are, within NREM periods, moves from
bout to bout by half of the night's cycles (the first two, the later ones) and third of the
period; bout lengths as deciles; within R periods, what breaks them and for how long; and the
lengths of the periods by cycle (the fourth stands for all later ones).
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np

STAGES = ("W", "N1", "N2", "N3", "R")
W, N1, N2, N3, R = range(5)
#: R bouts nearer than this are one R period.
MERGE_EPOCHS = 30
DECILES = np.linspace(0, 100, 11)
N_CYCLES = 4


def read_hypnograms(data: Path) -> dict[str, list[np.ndarray]]:
    """Stage codes from the first to the last epoch of sleep, by group; −1 is unscored."""
    import mne
    import wfdb

    mne.set_log_level("ERROR")

    healthy, apnea = [], []
    words = {"W": W, "1": N1, "2": N2, "3": N3, "4": N3, "R": R}
    for path in sorted((data / "sleep-edf-hypnograms").glob("*-Hypnogram.edf")):
        notes = mne.read_annotations(path)
        healthy.append(
            np.concatenate(
                [
                    np.full(int(length // 30), words.get(text.split()[-1], -1))
                    for length, text in zip(notes.duration, notes.description, strict=True)
                ]
            )
        )
    changes = np.genfromtxt(
        data / "prerau-dynamo" / "night_stages.csv", delimiter=",", skip_header=1
    )
    codes = {1: N3, 2: N2, 3: N1, 4: R, 5: W}
    at = np.arange(changes[0, 0] + 15, changes[-1, 0], 30)
    rows = np.searchsorted(changes[:, 0], at) - 1
    healthy.append(np.array([codes.get(int(changes[row, 1]), -1) for row in rows]))
    rk_codes = {0: W, 1: R, 2: N1, 3: N2, 4: N3, 5: N3}
    for path in sorted((data / "ucddb-eeg" / "train").glob("*.npz")):
        with np.load(path) as night:
            apnea.append(np.array([rk_codes.get(int(code), -1) for code in night["stage_code"]]))
    folder = data / "slpdb-annotations"
    for record in (folder / "RECORDS").read_text().split():
        notes = wfdb.rdann(str(folder / record), "st")
        stages = np.full(int(notes.sample[-1]) // 7500 + 1, -1)
        for sample, text in zip(notes.sample, notes.aux_note, strict=True):
            stages[int(sample) // 7500] = words.get(text.strip("\x00 ").split()[0], -1)
        apnea.append(stages)
    return {"healthy": [_asleep(one) for one in healthy], "apnea": [_asleep(one) for one in apnea]}


def _asleep(stages: np.ndarray) -> np.ndarray:
    """The part between the first and the last epoch of sleep."""
    asleep = np.flatnonzero(stages > 0)
    return stages[asleep[0] : asleep[-1] + 1]


def bouts_of(stages: np.ndarray) -> list[tuple[int, int, int]]:
    """(stage, start, length) of each run of one stage; unscored runs are left out."""
    edges = np.concatenate([[0], np.flatnonzero(np.diff(stages)) + 1, [len(stages)]])
    return [
        (int(stages[a]), int(a), int(b - a)) for a, b in itertools.pairwise(edges) if stages[a] >= 0
    ]


def rem_periods(stages: np.ndarray) -> list[tuple[int, int]]:
    """(start, end) of R periods, with their interruptions; single epochs of R are none."""
    periods: list[tuple[int, int]] = []
    for stage, start, length in bouts_of(stages):
        if stage != R:
            continue
        if periods and start - periods[-1][1] < MERGE_EPOCHS:
            periods[-1] = (periods[-1][0], start + length)
        else:
            periods.append((start, start + length))
    return [(start, end) for start, end in periods if end - start >= 4]


def fit(nights: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The tables of one group of nights."""
    moves = np.zeros((2, 3, 4, 4))
    lengths: dict[tuple[int, int], list[int]] = {(half, s): [] for half in (0, 1) for s in range(4)}
    rem_bouts: list[int] = []
    breaks = np.zeros(3)
    break_lengths: list[int] = []
    nrem_min: list[list[float]] = [[] for _ in range(N_CYCLES)]
    rem_min: list[list[float]] = [[] for _ in range(N_CYCLES)]
    for stages in nights:
        start = 0
        for cycle, (first, last) in enumerate(rem_periods(stages)):
            half, at = int(cycle >= 2), min(cycle, N_CYCLES - 1)
            nrem_min[at].append((first - start) / 2)
            rem_min[at].append((last - first) / 2)
            period = bouts_of(stages[start:first])
            for (stage, onset, length), following in zip(
                period, [*period[1:], (R, 0, 0)], strict=True
            ):
                if stage == R:
                    continue
                lengths[half, stage].append(length)
                if following[0] not in (R, stage):
                    third = min(2, 3 * (onset + length) // max(first - start, 1))
                    moves[half, third, stage, following[0]] += 1
            for stage, _, length in bouts_of(stages[first:last]):
                if stage == R:
                    rem_bouts.append(length)
                elif stage < N3:
                    breaks[stage] += 1
                    break_lengths.append(length)
            start = last
    deciles = np.stack(
        [
            [np.percentile(lengths[half, stage], DECILES) for stage in range(4)]
            for half in (0, 1)
        ]
    )  # fmt: skip
    return {
        "moves": moves,
        "bout_deciles": deciles,
        "rem_bout_deciles": np.percentile(rem_bouts, DECILES),
        "rem_breaks": breaks / breaks.sum(),
        "rem_break_deciles": np.percentile(break_lengths, DECILES),
        "nrem_min": np.array([_centre_and_spread(values) for values in nrem_min]),
        "rem_min": np.array([_centre_and_spread(values) for values in rem_min]),
    }


def _centre_and_spread(values: list[float]) -> tuple[float, float]:
    """Median, and SD of the logarithm by way of the quartiles (robust against a missed R)."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return float(median), float(np.log(high / low) / 1.349)


def _written(value: np.ndarray) -> str:
    text = np.array2string(
        np.round(value, 2), separator=", ", threshold=10_000, max_line_width=90,
        formatter={"float_kind": lambda number: f"{number:g}"},
    )  # fmt: skip
    return f"np.array(\n{text}\n)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    data = parser.parse_args().data
    print('"""What was counted in real hypnograms; made by ``benchmarks/fit_hypnograms.py``."""\n')
    print("import numpy as np\n\n__all__ = ['TABLES']\n")
    print("#: moves [half, third of the period, from, to], bout_deciles [half, stage, decile] in")
    print("#: epochs, nrem_min and rem_min [cycle, (median, SD of the logarithm)], W N1 N2 N3.")
    print("TABLES: dict[str, dict[str, np.ndarray]] = {")
    for name, nights in read_hypnograms(data).items():
        print(f"'{name}': {{  # {len(nights)} nights")
        for key, value in fit(nights).items():
            print(f"'{key}': {_written(value)},")
        print("},")
    print("}")


if __name__ == "__main__":
    main()
