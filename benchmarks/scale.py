"""What one night costs from file to shard and to the store, and 100,000 hours by that.

    python -m benchmarks.scale                 # one simulated night of 8 h
    python -m benchmarks.scale --hours 2       # shorter; costs are scaled to 8 h

Every step is the command that a user would run, as a process of its own, with one thread, so that
its CPU seconds and its peak memory are its own. A night is one task and tasks share nothing, so
N cores do N nights at a time; reading from a slow disk and a cluster's own cost come on top.
Prints one JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

CORPUS_HOURS = 100_000
NIGHT_HOURS = 8.0
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def cost(arguments: list[str], cache: Path) -> dict[str, float]:
    """CPU seconds and peak memory (MB) of one ``sleeplm`` command and the processes it starts."""
    environment = {**os.environ, **dict.fromkeys(THREADS, "1"), "SLEEPLM_CACHE": str(cache)}
    command = [sys.executable, "-m", "ui.cli", *arguments]
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    child = os.posix_spawn(sys.executable, command, environment, file_actions=quiet)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"sleeplm {' '.join(arguments)} failed")
    unit = 1024 if sys.platform != "darwin" else 1
    return {
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mb": round(usage.ru_maxrss * unit / 1e6),
    }


def measure(hours: float) -> dict[str, Any]:
    """Costs of one night, by step, and of a corpus."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scored, bare = folder / "scored", folder / "bare"
        scored.mkdir()
        bare.mkdir()
        night = scored / "night.edf"
        simulate = ["simulate", str(night), "--seed", "5200", "--hours", str(hours), "--ahi", "20"]
        steps: dict[str, dict[str, float]] = {}
        steps["simulate, write EDF"] = cost(simulate, folder / "cache")
        os.link(night, bare / "night.edf")
        for path in scored.glob("*.truth.json"):
            path.unlink()
        corpus = folder / "corpus"
        steps["prepare, scored by an expert"] = cost(
            ["prepare", str(scored), "--out", str(corpus)], folder / "cache"
        )
        steps["prepare, scored here"] = cost(
            ["prepare", str(bare), "--out", str(folder / "other")], folder / "cache"
        )
        steps["index (the embedded model reads it)"] = cost(
            ["index", str(night), "--store", str(folder / "store")], folder / "cache"
        )
        shard_bytes = sum(path.stat().st_size for path in corpus.glob("*.safetensors"))
        edf_bytes = night.stat().st_size
    nights = CORPUS_HOURS / NIGHT_HOURS
    for step in steps.values():
        # With the start of Python and its libraries, which a worker pays once for many nights.
        per_night_s = step["cpu_s"] * NIGHT_HOURS / hours
        step["cpu_s_per_8_h"] = round(per_night_s, 1)
        step["core_hours_per_100k_h"] = round(per_night_s * nights / 3600)
    return {
        "hours": hours,
        "steps": steps,
        "shard_mb_per_hour": round(shard_bytes / 1e6 / hours, 2),
        "shards_gb_per_100k_h": round(shard_bytes / 1e9 / hours * CORPUS_HOURS),
        "edf_mb_per_hour": round(edf_bytes / 1e6 / hours, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--hours", type=float, default=NIGHT_HOURS)
    print(json.dumps(measure(parser.parse_args().hours), indent=1))


if __name__ == "__main__":
    main()
