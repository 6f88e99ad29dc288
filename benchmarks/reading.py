"""Time and memory of opening one whole night.

    python -m benchmarks.reading                  # 8 h, 14 channels, mixed rates
    python -m benchmarks.reading --hours 24       # a day
    python -m benchmarks.reading --file night.edf # a file of your own

The night is read in a child process of its own, so that its peak memory is that of reading alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

CHANNELS = {
    "ECG": (256, "mV", 1.0),
    "EOG(L)": (128, "uV", 60.0),
    "EOG(R)": (128, "uV", 60.0),
    "EEG(sec)": (128, "uV", 30.0),
    "EEG": (128, "uV", 30.0),
    "EMG": (256, "uV", 15.0),
    "THOR RES": (32, "", 1.0),
    "ABDO RES": (32, "", 1.0),
    "AIRFLOW": (32, "", 1.0),
    "SOUND": (256, "", 1.0),
    "LEG/L": (128, "uV", 10.0),
    "LIGHT": (1, "", 1.0),
    "SaO2": (1, "%", 1.0),
    "POSITION": (1, "", 1.0),
}

CHILD = """
import json, pathlib, re, sys, time
import scipy.signal
from sleeplm.recording import read_recording

def peak_mb():
    # VmHWM starts anew with the program; getrusage would report the parent's peak.
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) / 1024

baseline_mb = peak_mb()
start = time.perf_counter()
recording = read_recording(sys.argv[1])
print(json.dumps({
    "seconds": time.perf_counter() - start,
    "baseline_mb": baseline_mb,
    "peak_mb": peak_mb(),
    "epochs": recording.n_epochs,
    "channels": len(recording.signals),
}))
"""


def write_night(path: Path, hours: float) -> None:
    """A file with the rates of a real night; noise, since only its size matters here."""
    import edfio

    rng = np.random.default_rng(0)
    n_seconds = round(hours * 3600)
    signals = []
    for label, (rate_hz, unit, scale) in CHANNELS.items():
        noise = rng.standard_normal(n_seconds * rate_hz, dtype=np.float32) * scale
        if label == "SaO2":
            noise = 95 + np.clip(noise, -3, 3)
        if label == "POSITION":
            noise = rng.integers(0, 4, n_seconds).astype(np.float32)
        signals.append(
            edfio.EdfSignal(noise.astype(np.float64), rate_hz, label=label, physical_dimension=unit)
        )
    edfio.Edf(signals, data_record_duration=1).write(path)


def measure(path: Path) -> dict[str, float]:
    """Seconds, and peak memory in MB, of one reading in a fresh process."""
    result = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)], check=True, capture_output=True, text=True
    )
    measured: dict[str, float] = json.loads(result.stdout)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--file", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.file or Path(folder) / "night.edf"
        if arguments.file is None:
            write_night(path, arguments.hours)
        measured = measure(path)
        print(
            f"{path.stat().st_size / 1e6:.0f} MB, {measured['epochs']:.0f} epochs, "
            f"{measured['channels']:.0f} channels: {measured['seconds']:.2f} s, peak "
            f"{measured['peak_mb']:.0f} MB (of which {measured['baseline_mb']:.0f} MB before)"
        )


if __name__ == "__main__":
    main()
