"""One real and one simulated epoch of each stage: ``python -m benchmarks.stage_figure OUT.png``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.realism import STAGES, as_recorded_by_ucd, prerau_epochs, ucd_epochs

TRACES = (("EEG_C3_A2", 0), ("EOG_L", -160), ("EOG_R", -280), ("EMG_CHIN", -380))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seed", type=int, default=5003)
    arguments = parser.parse_args()
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from train.simulate import simulate_night

    night = simulate_night(arguments.seed, hours=4, condition="healthy")
    stages = np.array(night.scoring.stages)
    arousals = night.scoring.events_of(("arousal",))
    calm = np.ones(len(stages), dtype=bool)
    for arousal in arousals:
        calm[int(arousal.onset_s // 30) : int(arousal.end_s // 30) + 1] = False
    real, words = prerau_epochs(arguments.data)
    _, other, other_words = ucd_epochs(arguments.data, "train")[2]
    other = as_recorded_by_ucd(other, real=True)
    rng = np.random.default_rng(arguments.seed)
    figure, axes = plt.subplots(10, 1, figsize=(11, 14), height_ratios=[2, 4.2] * 5)
    for row, stage in enumerate(STAGES):
        pool = other[other_words == "W"] if stage == "W" else real[words == stage]
        # Of the middle half by size, so that neither side is an exception.
        size = pool.std(axis=1)
        usual = np.flatnonzero(
            (size >= np.quantile(size, 0.25)) & (size <= np.quantile(size, 0.75))
        )
        epoch = pool[usual[len(usual) // 2]]
        above, below = axes[2 * row : 2 * row + 2]
        above.plot(np.arange(3000) / 100, epoch - epoch.mean(), lw=0.5, color="#222222")
        above.set_ylabel(f"{stage} real\nEEG", fontsize=8)
        chosen = np.flatnonzero((stages == stage) & calm)
        chosen = chosen if len(chosen) else np.flatnonzero(stages == stage)
        at = int(chosen[rng.integers(len(chosen))])
        for name, shift in TRACES:
            rate_hz, wave = night.native[name]
            part = wave[int(at * 30 * rate_hz) : int((at + 1) * 30 * rate_hz)]
            time_s = np.arange(len(part)) / rate_hz
            below.plot(time_s, part + shift, lw=0.5, color="#005a9c")
        below.set_ylabel(f"{stage} simulated\nC3 E1 E2 chin", fontsize=8)
        above.set_ylim(-110, 110)
        below.set_ylim(-430, 110)
        for axis in (above, below):
            axis.set(xlim=(0, 30), yticks=(-75, 0, 75))
            axis.tick_params(labelsize=6)
            axis.grid(axis="both", lw=0.3)
    figure.tight_layout(h_pad=0.2)
    figure.savefig(arguments.out, dpi=66)
    # Few colours are enough for lines, and a page should load fast.
    from PIL import Image

    Image.open(arguments.out).convert("RGB").quantize(16).save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
