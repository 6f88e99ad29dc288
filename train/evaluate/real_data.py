"""Readers of the public excerpts of real recordings that models are measured on.

Each reader takes the folder that holds them all. Nothing of a file but signals and labels is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sleeplm.errors import SleepLMError

__all__ = ["EegNight", "OximetryNight", "hugcdn_nights", "prerau_night", "ucd_nights"]

#: The first sample of the Prerau night's 30-s grid.
_PRERAU_FIRST_S = 10.0
_PRERAU_STAGES = {1: "N3", 2: "N2", 3: "N1", 4: "R", 5: "W"}
#: Rechtschaffen & Kales as the UCD files code them; 8 is undefined.
_UCD_STAGES = {0: "W", 1: "R", 2: "N1", 3: "N2", 4: "N3", 5: "N3"}
#: The files are not calibrated: a unit is taken as 100 µV (an outside stager agrees best so).
_UCD_UNIT_UV = 100.0


@dataclass(frozen=True)
class EegNight:
    """Epochs of one EEG channel with an expert's stages.

    ``epochs`` [n, 30 · rate_hz] in µV, ``stages`` one word each, ``index`` of each in its night.
    """

    name: str
    epochs: np.ndarray
    stages: np.ndarray
    index: np.ndarray
    rate_hz: int


@dataclass(frozen=True)
class OximetryNight:
    """SpO2 (%, nan where the sensor was off) and heart rate (bpm, from RR intervals) at 1 Hz.

    ``apnea`` and ``valid`` are per minute; both signals have 60 samples per minute.
    """

    name: str
    spo2_pct: np.ndarray
    rate_bpm: np.ndarray
    apnea: np.ndarray
    valid: np.ndarray


def prerau_night(data: Path) -> EegNight:
    """84 minutes of a healthy adult at 100 Hz, all five stages (``prerau-dynamo``)."""
    folder = _folder(data, "prerau-dynamo")
    rate_hz = 100
    samples = np.loadtxt(folder / "segment_data.csv", delimiter=",").ravel()
    changes = np.genfromtxt(folder / "segment_stages.csv", delimiter=",", skip_header=1)
    n = int((len(samples) / rate_hz - _PRERAU_FIRST_S) // 30)
    epochs = samples[int(_PRERAU_FIRST_S * rate_hz) :][: n * 30 * rate_hz].reshape(n, -1)
    middle_s = _PRERAU_FIRST_S + 30 * np.arange(n) + 15
    rows = np.searchsorted(changes[:, 0], middle_s) - 1
    stages = np.array([_PRERAU_STAGES[int(changes[row, 1])] for row in rows])
    return EegNight("prerau-dynamo", epochs, stages, np.arange(n), rate_hz)


def ucd_nights(data: Path, part: str) -> list[EegNight]:
    """W and N3 epochs at 128 Hz, one night per patient (``ucddb-eeg``, part train or dev).

    Epochs with the sensor off, or mostly of one value, are left out.
    """
    nights = []
    for path in sorted(_folder(data, f"ucddb-eeg/{part}").glob("*.npz")):
        with np.load(path) as held:
            epochs = held["eeg"].astype(float) * float(held["lsb"]) * _UCD_UNIT_UV
            index = np.asarray(held["epoch"])
            codes = held["stage_code"][index]
        good = (epochs.std(axis=1) > 0) & (np.mean(np.diff(epochs, axis=1) == 0, axis=1) < 0.3)
        good &= np.isin(codes, [0, 4, 5])
        words = np.array([_UCD_STAGES[int(code)] for code in codes[good]])
        nights.append(EegNight(path.stem, epochs[good], words, index[good], 128))
    return nights


def hugcdn_nights(data: Path, part: str) -> list[OximetryNight]:
    """Whole nights of SpO2 and heart rate (``hugcdn-oxi``, part train or dev)."""
    nights = []
    for path in sorted(_folder(data, f"hugcdn-oxi/{part}").glob("*.npz")):
        with np.load(path) as held:
            minutes = np.asarray(held["spo2_pct"], dtype=float)
            valid = np.asarray(held["minute_valid"], dtype=bool)
            apnea = np.asarray(held["apnea_min"]) > 0
            rr_ms, rr_minute = np.asarray(held["rr_ms"], float), np.asarray(held["rr_minute"])
        n = min(len(minutes), len(valid), len(apnea))
        seconds = minutes[:n].ravel()
        spo2_pct = np.where((seconds >= 50) & (seconds <= 100), seconds, np.nan)
        rate_bpm = heart_rate(rr_ms, rr_minute, n)
        nights.append(OximetryNight(path.stem, spo2_pct, rate_bpm, apnea[:n], valid[:n]))
    return nights


def heart_rate(rr_ms: np.ndarray, rr_minute: np.ndarray, n_minutes: int) -> np.ndarray:
    """Heart rate (bpm) at 1 Hz from RR intervals with the minute of each; nan where none is."""
    rate_bpm = np.full(60 * n_minutes, np.nan)
    possible = (rr_ms >= 300) & (rr_ms <= 2000)
    for minute in range(n_minutes):
        intervals = rr_ms[(rr_minute == minute) & possible]
        if len(intervals) < 10:
            continue
        ends_s = np.cumsum(intervals) / 1000
        rate_bpm[60 * minute : 60 * (minute + 1)] = np.interp(
            np.arange(60) + 0.5, ends_s, 60_000 / intervals
        )
    return rate_bpm


def _folder(data: Path, name: str) -> Path:
    folder = data / name
    if not folder.is_dir():
        raise SleepLMError(f"{folder}: not here; it is one of the real sets of the data folder")
    return folder
