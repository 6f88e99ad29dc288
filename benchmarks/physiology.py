"""Time and memory of measuring one whole night, and how near the measurements are to the truth.

    python -m benchmarks.physiology                    # a simulated night of 8 h, and real ones
    python -m benchmarks.physiology --hours 24
    python -m benchmarks.physiology --file night.edf   # a file of your own
    python -m benchmarks.physiology --data ../shared/data

Every figure is taken in a child process of its own, so that the peak memory is that of measuring
alone; what stood in memory before (libraries and signals) is stated apart.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy import signal

RATE_HZ = 64
GROUPS = {
    "brain": ("EEG_C3_A2", "EEG_C4_A1"),
    "eyes": ("EOG_L", "EOG_R"),
    "heart": ("ECG", "HR"),
    "oxygen": ("SPO2",),
    "breathing": ("ABD", "THX", "AF"),
    "chin": ("EMG_CHIN",),
    "position": ("POS",),
}

CHILD = """
import json, pathlib, re, sys, time
import numpy as np
import scipy.signal, scipy.ndimage, scipy.fft
from sleeplm.physiology import measure_night
from sleeplm.physiology.fields import FIELDS

def peak_mb():
    # VmHWM starts anew with the program; getrusage would report the parent's peak.
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) / 1024

wanted = sys.argv[2].split(",")
with np.load(sys.argv[1]) as stored:
    signals = {name: stored[name] for name in stored.files if name in wanted}
before_mb = peak_mb()
wall_s, cpu_s = time.perf_counter(), time.process_time()
night = measure_night(signals)
print(json.dumps({
    "seconds": time.perf_counter() - wall_s,
    "cpu_seconds": time.process_time() - cpu_s,
    "before_mb": before_mb,
    "peak_mb": peak_mb(),
    "epochs": night.n_epochs,
    "fields": sum(bool(np.isfinite(column).any()) for column in night.values.values()),
}))
"""


def measured(path: Path, channels: list[str]) -> dict[str, float]:
    """Seconds, and peak memory in MB, of measuring some channels in a fresh process."""
    result = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), ",".join(channels)],
        check=True,
        capture_output=True,
        text=True,
    )
    figures: dict[str, float] = json.loads(result.stdout)
    return figures


def report(title: str, signals: dict[str, np.ndarray], folder: Path) -> None:
    """Print the table of one night."""
    path = folder / "night.npz"
    stored: dict[str, Any] = {name: np.asarray(trace) for name, trace in signals.items()}
    np.savez(path, **stored)
    print(title)
    print(f"  {'group':<10} {'seconds':>8} {'CPU s':>7} {'peak MB':>8} {'before':>7} {'fields':>7}")
    rows = {
        **{group: [n for n in names if n in signals] for group, names in GROUPS.items()},
        "all": list(signals),
    }
    for group, channels in rows.items():
        if not channels:
            continue
        row = measured(path, channels)
        print(
            f"  {group:<10} {row['seconds']:8.2f} {row['cpu_seconds']:7.2f} {row['peak_mb']:8.0f} "
            f"{row['before_mb']:7.0f} {row['fields']:7.0f}"
        )
    print(f"  {row['epochs']:.0f} epochs")


def against_truth(signals: dict[str, np.ndarray], r_peaks_s: np.ndarray) -> None:
    """Print the heart's measurements against the simulator's own beats."""
    from sleeplm.physiology.cardiac import beat_statistics, detect_beats

    n_epochs = len(signals["ECG"]) // (30 * RATE_HZ)
    found_s, similarity = detect_beats(signals["ECG"].astype(float), RATE_HZ)
    rate_bpm, rmssd_ms = beat_statistics(found_s, n_epochs, 30.0, similarity)
    true_bpm, true_ms = beat_statistics(r_peaks_s, n_epochs)
    rate_error = np.abs(rate_bpm - true_bpm)
    rmssd_error = np.abs(rmssd_ms - true_ms)
    print(
        f"  against its beats: rate off by {np.nanmean(rate_error):.2f} bpm in the mean "
        f"({np.nanpercentile(rate_error, 99):.2f} at the 99th percentile), RMSSD by "
        f"{np.nanmedian(rmssd_error):.1f} ms in the median; RMSSD withheld in "
        f"{100 * np.isnan(rmssd_ms).mean():.0f} % of the epochs"
    )


def against_breaths(seeds: range, hours: float) -> None:
    """Print the breathing rates against the simulator's own breaths, outside events and in them.

    The truth of an epoch is the rate of its breaths outside apneas, by the rule that the
    measurement follows: intervals within the epoch that fill a third of it.
    """
    from sleeplm.physiology.respiration import breath_statistics, breath_times
    from sleeplm.scoring import RESPIRATORY_KINDS
    from train.simulate import simulate_night

    errors: dict[tuple[str, str], list[np.ndarray]] = {}
    for seed, (condition, ahi) in zip(
        seeds, ((None, 2), (None, 30), ("central", 25), ("severe_osa", 60)), strict=False
    ):
        night = simulate_night(seed, hours=hours, condition=condition, ahi=ahi)
        n_epochs = len(night.scoring.stages)
        quiet = np.ones(n_epochs, dtype=bool)
        breaths_s = night.breaths_s
        paused = np.zeros(len(breaths_s), dtype=bool)
        for event in night.scoring.events_of(RESPIRATORY_KINDS):
            quiet[int(event.onset_s // 30) : int((event.end_s + 5) // 30) + 1] = False
            if "apnea" in event.kind:
                paused |= (breaths_s > event.onset_s + 0.5) & (breaths_s < event.end_s - 0.5)
        true_bpm, _ = breath_statistics(breaths_s[~paused], n_epochs)
        asleep = np.array([stage != "W" for stage in night.scoring.stages])
        for channel in ("ABD", "THX", "AF"):
            times_s = breath_times(night.signals[channel].astype(float), RATE_HZ)
            rate_bpm, _ = breath_statistics(times_s, n_epochs)
            for name, where in (
                ("quiet sleep", quiet & asleep),
                ("events", ~quiet & asleep),
                ("wake", ~asleep),
            ):
                errors.setdefault((channel, name), []).append((rate_bpm - true_bpm)[where])
    print("  breathing rate against its breaths (breaths/min):")
    for (channel, name), parts in errors.items():
        error = np.concatenate(parts)
        given = np.isfinite(error)
        print(
            f"    {channel:<4} {name:<12} mean |error| {np.abs(error[given]).mean():.2f}, "
            f"90th percentile {np.percentile(np.abs(error[given]), 90):.2f}; "
            f"both known in {100 * given.mean():.0f} % of {len(error)} epochs"
        )


def real_nights(data: Path) -> dict[str, dict[str, np.ndarray]]:
    """What real recordings there are: a whole night of SpO2, 84 minutes of EEG, 2 of everything."""
    found = {}
    oximetry = data / "hugcdn-oxi" / "train" / "D13.npz"
    if oximetry.exists():
        seconds = np.load(oximetry)["spo2_pct"].astype(np.float32).ravel()
        found["real: HuGCDN2014 D13, whole night of SpO2"] = {"SPO2": np.repeat(seconds, RATE_HZ)}
    brain = data / "prerau-dynamo" / "segment_data.csv"
    if brain.exists():
        eeg = signal.resample_poly(np.loadtxt(brain), 16, 25).astype(np.float32)
        found["real: prerau-dynamo, 84 min of EEG"] = {"EEG_C3_A2": eeg}
    whole = data / "nox-a1-rsleep" / "subject1.edf"
    if whole.exists():
        found["real: Nox A1 subject1, 2 min of all channels"] = recorded(whole)
    return found


def recorded(path: Path) -> dict[str, np.ndarray]:
    from sleeplm.recording import read_recording

    return read_recording(path).signals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--file", type=Path, help="a recording of your own instead")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(__file__).resolve().parents[2] / "shared" / "data",
        help="folder of the real recordings; left out where missing",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.file is not None:
            report(arguments.file.name, recorded(arguments.file), folder)
            return
        from train.simulate import simulate_night

        night = simulate_night(arguments.seed, hours=arguments.hours, ahi=25)
        report(f"simulated: {arguments.hours:g} h, seed {arguments.seed}", night.signals, folder)
        against_truth(night.signals, night.r_peaks_s)
        against_breaths(range(71, 75), min(arguments.hours, 2.0))
        for title, signals in real_nights(arguments.data).items():
            report(title, signals, folder)


if __name__ == "__main__":
    main()
