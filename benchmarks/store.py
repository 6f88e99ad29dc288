"""Speed and recall of the case store at the sizes that a laboratory reaches.

    python -m benchmarks.store                                # 100,000 epochs, 10,000 nights
    python -m benchmarks.store --dimension 512 --epochs 20000
    python -m benchmarks.store --markdown                     # the table of docs/store.md

The embeddings are drawn, not read: 100 nights of so many epochs by the embedded model would take
hours. They lie as real ones do in what an index feels: a few intrinsic dimensions, clusters by
stage, a shift of each night, and neighbours in time that resemble each other. ``--check NIGHT``
prints the same figures of a recording's own embeddings, to compare. Facts follow the shares of a
night of moderate apnea. Recall is against the exact product over the rows that a filter allows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tools.columns import COLUMNS_KEY, CaseFilter, pack, row_facts
from tools.store import BATCH_ROWS, NO_CODES, CaseRow, CaseStore
from tools.vectors import NightVectors

STAGES = ("W", "N1", "N2", "N3", "R")
STAGE_SHARES = (0.2, 0.06, 0.44, 0.13, 0.17)
POSITIONS = ("supine", "left", "right")
INTRINSIC = 24
RUN_EPOCHS = 16
EVENT_SHARES = {"hypopnea": 0.14, "obstructive_apnea": 0.09, "arousal": 0.12, "desaturation": 0.15}
QUERIES = 60
LIMIT = 10
INSERT_BAR, FILTERED_BAR_MS, NIGHTS_BAR_MS = 300.0, 100.0, 20.0


@dataclass
class Made:
    """Drawn nights: unit vectors [n, dimension] and their facts."""

    vectors: np.ndarray
    night: np.ndarray
    stage: np.ndarray
    position: np.ndarray
    events: list[tuple[str, ...]]
    spo2: np.ndarray
    ahi: np.ndarray

    def case(self, index: int) -> CaseRow:
        stage = STAGES[self.stage[index]]
        position = POSITIONS[self.position[index]]
        facts: dict[str, str | int | float | bool] = {
            "stage": stage,
            "position": position,
            "events": ", ".join(self.events[index]),
            "clock": "01:46:00",
            "spo2_min_pct": float(self.spo2[index]),
        }
        codes = row_facts(
            stage=stage,
            position=position,
            events=self.events[index],
            spo2_min_pct=self.spo2[index],
        )
        return CaseRow(self.vectors[index], facts, codes=codes)


def draw(n_nights: int, per_night: int, dimension: int, seed: int = 1) -> Made:
    """Nights of epochs with clusters by stage, runs in time, and a shift of each night."""
    rng = np.random.default_rng(seed)
    count = n_nights * per_night
    spread = rng.normal(size=(INTRINSIC, dimension)) / np.sqrt(INTRINSIC)
    centres = 1.2 * rng.normal(size=(len(STAGES), INTRINSIC))
    shifts = 0.35 * rng.normal(size=(n_nights, INTRINSIC))
    runs = rng.choice(len(STAGES), size=count // RUN_EPOCHS + 1, p=STAGE_SHARES)
    stage = np.repeat(runs, RUN_EPOCHS)[:count]
    night = np.repeat(np.arange(n_nights), per_night)
    # Epochs that follow one another share most of what is not of their stage.
    slow = np.repeat(rng.normal(size=(count // 4 + 1, INTRINSIC)), 4, axis=0)[:count]
    inner = centres[stage] + shifts[night] + 0.18 * slow + 0.13 * rng.normal(size=slow.shape)
    vectors = (inner @ spread).astype(np.float32)
    vectors += rng.normal(scale=0.05, size=vectors.shape).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    present = {kind: rng.random(count) < share for kind, share in EVENT_SHARES.items()}
    events = [tuple(kind for kind, held in present.items() if held[i]) for i in range(count)]
    return Made(
        vectors=vectors,
        night=night,
        stage=stage,
        position=(np.arange(count) // 150 + night) % len(POSITIONS),
        events=events,
        spo2=np.round(np.clip(95 - rng.gamma(2.0, 1.6, size=count), 60, 100), 1),
        ahi=np.round(rng.gamma(1.5, 12.0, size=n_nights), 1),
    )


def name_of(night: int) -> str:
    return f"night-{night:08x}"


def likeness(vectors: np.ndarray, stage: np.ndarray) -> dict[str, float]:
    """Cosines that say how an index feels the rows: of neighbours, within and between stages."""
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, len(vectors), size=(20_000, 2))
    cosine = np.einsum("ij,ij->i", vectors[pairs[:, 0]], vectors[pairs[:, 1]])
    same = stage[pairs[:, 0]] == stage[pairs[:, 1]]
    following = np.einsum("ij,ij->i", vectors[:-1], vectors[1:])
    values = np.linalg.svd(vectors[:4000] - vectors[:4000].mean(axis=0), compute_uv=False) ** 2
    return {
        "next epoch": float(np.median(following)),
        "same stage": float(np.median(cosine[same])),
        "other stage": float(np.median(cosine[~same])),
        "dimensions that hold 95 % of the variance": float(
            np.searchsorted(np.cumsum(values) / values.sum(), 0.95) + 1
        ),
    }


def timed(search: Callable[[int], list[Any]], queries: np.ndarray) -> tuple[list[Any], np.ndarray]:
    found, seconds = [], []
    for query in queries:
        start = time.perf_counter()
        found.append(search(int(query)))
        seconds.append(time.perf_counter() - start)
    return found, 1000 * np.array(seconds)


class _Rows(list[dict[str, Any]]):
    """Results, each told on standard error as it is there: a run takes minutes."""

    def append(self, row: dict[str, Any]) -> None:
        print(json.dumps(row), file=sys.stderr, flush=True)
        super().append(row)


FILTERS: dict[str, CaseFilter] = {
    "no filter": CaseFilter(),
    "stage REM": CaseFilter(stage="R"),
    "stage N2": CaseFilter(stage="N2"),
    "obstructive apnea": CaseFilter(events=("obstructive_apnea",)),
    "no arousal": CaseFilter(without_events=("arousal",)),
    "supine": CaseFilter(position="supine"),
    "lowest SpO2 at most 85 %": CaseFilter(spo2_to_pct=85.0),
    "AHI 15 to 30": CaseFilter(nights={"ahi": (15.0, 30.0)}),
    "REM, supine, hypopnea, SpO2 at most 92 %": CaseFilter(
        stage="R", position="supine", events=("hypopnea",), spo2_to_pct=92.0
    ),
}


def measure_epochs(folder: Path, made: Made) -> list[dict[str, Any]]:
    dimension = made.vectors.shape[1]
    n_nights = len(made.ahi)
    per_night = len(made.vectors) // n_nights
    rows = _Rows()
    with CaseStore(folder, "drawn@1", dimension, write=True) as store:
        spent, cpu_s = 0.0, time.process_time()
        for night in range(n_nights):
            part = range(night * per_night, (night + 1) * per_night)
            cases = [made.case(i) for i in part]
            centre = made.vectors[part.start : part.stop].mean(axis=0)
            summary = CaseRow(centre, {"ahi": float(made.ahi[night])})
            begin = time.perf_counter()
            store.put_night(name_of(night), cases, summary)
            spent += time.perf_counter() - begin
        begin = time.perf_counter()
    spent += time.perf_counter() - begin
    cpu_s = time.process_time() - cpu_s
    rows.append(
        {
            "what": f"insert {len(made.vectors):,} epochs",
            "value": len(made.vectors) / spent,
            "unit": "/s",
            "bar": INSERT_BAR,
            "reached": len(made.vectors) / spent >= INSERT_BAR,
            "note": f"{spent:.0f} s ({cpu_s:.0f} s of CPU), "
            f"{sum(f.stat().st_size for f in folder.rglob('*') if f.is_file()) / 1e6:.0f} MB",
        }
    )
    queries = np.random.default_rng(5).choice(len(made.vectors), QUERIES, replace=False)
    with CaseStore(folder, "drawn@1", dimension) as store:
        begin = time.perf_counter()
        store.search(made.vectors[0], LIMIT)
        first_s = time.perf_counter() - begin
        columns = store.columns()
        where = {row_id: i for i, row_id in enumerate(columns.ids)}
        place = np.array(
            [
                where[f"{name_of(int(made.night[i]))}:{i % per_night + 1}"]
                for i in range(len(made.vectors))
            ]
        )
        for name, filters in FILTERS.items():

            def search(query: int, filters: CaseFilter = filters) -> list[Any]:
                return store.search(
                    made.vectors[query],
                    LIMIT,
                    exclude_night=name_of(int(made.night[query])),
                    filters=filters,
                )

            found, spent_ms = timed(search, queries)
            recall = []
            for query, hits in zip(queries, found, strict=True):
                mask = columns.allowed(filters, name_of(int(made.night[query])))[place]
                cosine = np.where(mask, made.vectors @ made.vectors[query], -2.0)
                best = set(np.argpartition(-cosine, LIMIT)[:LIMIT].tolist())
                got = {
                    int(hit.night.removeprefix("night-"), 16) * per_night + hit.epoch - 1
                    for hit in hits
                }
                recall.append(len(best & got) / LIMIT)
            rows.append(
                {
                    "what": f"top {LIMIT} of epochs, {name}",
                    "value": float(np.median(spent_ms)),
                    "p95": float(np.percentile(spent_ms, 95)),
                    "unit": "ms",
                    "bar": FILTERED_BAR_MS,
                    "reached": float(np.median(spent_ms)) <= FILTERED_BAR_MS,
                    "recall": float(np.mean(recall)),
                    "note": f"{100 * float(columns.allowed(filters).mean()):.1f} % of rows fit",
                }
            )
        rows.append(
            {"what": "first search of a process", "value": 1000 * first_s, "unit": "ms", "note": ""}
        )
    with CaseStore(folder, "drawn@1", dimension, write=True) as store:
        begin = time.perf_counter()
        store.remove(name_of(0))
        rows.append(
            {
                "what": f"remove a night of {per_night} epochs without a trace",
                "value": time.perf_counter() - begin,
                "unit": "s",
                "note": "",
            }
        )
    return rows


def measure_nights(folder: Path, n_nights: int, dimension: int) -> list[dict[str, Any]]:
    """A store of many nights of two epochs each: only the level of nights is searched.

    The rows are written in batches: 10,000 commits of one night measure the disk, and a real night
    takes a minute to read before it is committed.
    """
    made = draw(n_nights, 2, dimension, seed=2)
    centres = made.vectors.reshape(n_nights, 2, -1).mean(axis=1)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    with CaseStore(folder, "drawn@1", dimension, write=True) as store:
        files = NightVectors(folder, store._model_name())
        for first in range(0, n_nights, BATCH_ROWS):
            part = range(first, min(first + BATCH_ROWS, n_nights))
            for night in part:
                files.save(name_of(night), made.vectors[2 * night : 2 * night + 2], centres[night])
            store._collections["nights"].upsert(
                ids=[name_of(night) for night in part],
                embeddings=[centres[night] for night in part],
                metadatas=[
                    {
                        "ahi": float(made.ahi[night]),
                        "night": name_of(night),
                        COLUMNS_KEY: pack([1, 2], [NO_CODES, NO_CODES]),
                    }
                    for night in part
                ],
            )
    queries = np.random.default_rng(6).choice(n_nights, QUERIES, replace=False)
    rows = _Rows()
    with CaseStore(folder, "drawn@1", dimension) as store:
        store.search(centres[0], LIMIT, level="nights")
        for name, filters in (
            ("no filter", CaseFilter()),
            ("AHI 15 to 30", CaseFilter(nights={"ahi": (15.0, 30.0)})),
        ):

            def search(query: int, filters: CaseFilter = filters) -> list[Any]:
                return store.search(
                    centres[query],
                    LIMIT,
                    level="nights",
                    exclude_night=name_of(query),
                    filters=filters,
                )

            found, spent_ms = timed(search, queries)
            recall = []
            low, high = filters.nights.get("ahi", (None, None))
            for query, hits in zip(queries, found, strict=True):
                fits = (made.ahi >= (low or 0.0)) & (made.ahi <= (high or np.inf))
                fits[query] = False
                cosine = np.where(fits, centres @ centres[query], -2.0)
                best = {name_of(int(i)) for i in np.argpartition(-cosine, LIMIT)[:LIMIT]}
                recall.append(len(best & {hit.night for hit in hits}) / LIMIT)
            rows.append(
                {
                    "what": f"top {LIMIT} of {n_nights:,} nights, {name}",
                    "value": float(np.median(spent_ms)),
                    "p95": float(np.percentile(spent_ms, 95)),
                    "unit": "ms",
                    "bar": NIGHTS_BAR_MS,
                    "reached": float(np.median(spent_ms)) <= NIGHTS_BAR_MS,
                    "recall": float(np.mean(recall)),
                    "note": "",
                }
            )
    return rows


def as_markdown(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| measured | p50 | p95 | bar | reached | recall@10 | |",
        "| --- | ---: | ---: | ---: | --- | ---: | --- |",
    ]
    for row in rows:
        digits = 0 if row["unit"] == "/s" else 1
        p95 = f"{row['p95']:.{digits}f} {row['unit']}" if "p95" in row else ""
        sign = "≥" if row["unit"] == "/s" else "≤"
        bar = f"{sign} {row['bar']:.0f} {row['unit']}" if "bar" in row else ""
        reached = {True: "yes", False: "**no**"}.get(row.get("reached"), "")  # type: ignore[arg-type]
        recall = f"{row['recall']:.3f}" if "recall" in row else ""
        value = f"{row['value']:.{digits}f} {row['unit']}"
        lines.append(
            f"| {row['what']} | {value} | {p95} | {bar} | {reached} | {recall} | {row['note']} |"
        )
    return "\n".join(lines)


def check(path: Path) -> None:
    """Print how the embeddings of a recording, and drawn ones, lie."""
    from sleeplm.night import Night

    night = Night.open(path)
    stages = np.array([night.scoring.stage_at(30.0 * i) for i in range(night.n_epochs)])
    print("recording", json.dumps(likeness(night.embeddings(), stages), indent=1))
    made = draw(1, night.n_epochs, night.embeddings().shape[1])
    print("drawn", json.dumps(likeness(made.vectors, made.stage), indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and recall of the case store.")
    parser.add_argument("--epochs", type=int, default=100_000, help="0 leaves them out")
    parser.add_argument("--nights", type=int, default=10_000, help="0 leaves them out")
    parser.add_argument("--per-night", type=int, default=1000)
    parser.add_argument("--dimension", type=int, default=128, help="128 embedded, 512 official")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--check", type=Path, metavar="NIGHT")
    chosen = parser.parse_args()
    if chosen.check is not None:
        check(chosen.check)
        return
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        if chosen.epochs:
            n_nights = max(chosen.epochs // chosen.per_night, 2)
            made = draw(n_nights, chosen.per_night, chosen.dimension)
            rows += measure_epochs(Path(folder) / "epochs", made)
        if chosen.nights:
            rows += measure_nights(Path(folder) / "nights", chosen.nights, chosen.dimension)
    if chosen.markdown:
        load = f", load {os.getloadavg()[0]:.0f}" if hasattr(os, "getloadavg") else ""
        cores = f"{os.cpu_count()} cores ({platform.machine()}{load})"
        print(f"{chosen.dimension} dimensions, {cores}.\n")
        print(as_markdown(rows))
    else:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
