"""Layouts: in which labels, rates, units and references a cohort or a recorder writes its nights.

Labels are those that the reader's alias table names for the cohort; rates are those of the
montage tables that NSRR publishes with each cohort (github.com/nsrr, COHORT-documentation,
"Montage and Sampling Rate Information"). Legs keep a rate that shows an EMG where a cohort stores
a piezo sensor at 64 Hz (MrOS, CFS). Where a cohort stores electrodes against a common reference
(C3, A2, LOC, ECG1 …), the file holds the electrodes, and the channels come back as differences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.signal import resample_poly

from sleeplm.errors import QueryError
from train.simulate.night import SimulatedNight

__all__ = ["LAYOUTS", "Layout", "Lead", "layout_named", "leads_of"]

Range = tuple[float, float]
EEG_UV, EMG_UV, ECG_MV = (-500.0, 500.0), (-300.0, 300.0), (-3.0, 3.0)
BELT, PERCENT, BPM, CODE = (-5.0, 5.0), (0.0, 100.0), (0.0, 250.0), (-1.0, 4.0)
STEPPED = ("POS", "SPO2", "HR")
HELD_LEVELS = ("POS_ANGLE", "ELEVATION")


@dataclass(frozen=True)
class Lead:
    """One signal of a file.

    Parameters
    ----------
    label : str
    source : str
        A channel of the night, or an electrode made from it: ``C3 C4 A1 A2 E1 E2`` and, split in
        two, ``CHIN+ CHIN- ECG+ ECG-``; ``POS_ANGLE`` and ``ELEVATION`` are the posture in degrees
        and the trunk's pull in g.
    rate_hz : float
    unit : str
    extent : (float, float)
        Physical range; that of a voltage or a belt is widened where the signal would clip.
    factor : float
        From µV (ECG: mV) to the unit.
    """

    label: str
    source: str
    rate_hz: float
    unit: str
    extent: Range
    factor: float = 1.0


@dataclass(frozen=True)
class Layout:
    """The signals of a cohort's files, and the form of its scoring."""

    leads: tuple[Lead, ...]
    scoring_format: str = "nsrr"


def _split_reference(
    rates_hz: Mapping[str, float], electrodes: Mapping[str, str]
) -> tuple[Lead, ...]:
    """Electrodes against a common reference; ``electrodes`` maps what they are to their labels."""
    leads = []
    for source, label in electrodes.items():
        kind = "ECG" if source.startswith("ECG") else "CHIN" if source.startswith("CHIN") else "EEG"
        unit, extent = ("mV", ECG_MV) if kind == "ECG" else ("uV", EEG_UV)
        leads.append(Lead(label, source, rates_hz[kind], unit, extent))
    return tuple(leads)


def _shhs(eeg_hz: float, ecg_hz: float, eog_hz: float, breath_hz: float) -> Layout:
    return Layout(
        (
            Lead("SaO2", "SPO2", 1.0, "%", PERCENT),
            Lead("H.R.", "HR", 1.0, "bpm", BPM),
            Lead("EEG(sec)", "EEG_C3_A2", eeg_hz, "uV", EEG_UV),
            Lead("ECG", "ECG", ecg_hz, "mV", ECG_MV),
            Lead("EMG", "EMG_CHIN", eeg_hz, "uV", EMG_UV),
            Lead("EOG(L)", "EOG_L", eog_hz, "uV", EEG_UV),
            Lead("EOG(R)", "EOG_R", eog_hz, "uV", EEG_UV),
            Lead("EEG", "EEG_C4_A1", eeg_hz, "uV", EEG_UV),
            Lead("THOR RES", "THX", breath_hz, "", BELT),
            Lead("ABDO RES", "ABD", breath_hz, "", BELT),
            Lead("POSITION", "POS", 1.0, "", CODE),
            Lead("NEW AIR", "AF", breath_hz, "", BELT),
        )
    )


def _compumedics(
    electrodes: Mapping[str, str], rates_hz: Mapping[str, float], rest: tuple[Lead, ...]
) -> tuple[Lead, ...]:
    return (*_split_reference(rates_hz, electrodes), *rest)


LAYOUTS: dict[str, Layout] = {
    # The labels of this project's own files; the rates at which a night is made.
    "house": Layout(
        (
            Lead("ECG", "ECG", 128.0, "mV", ECG_MV),
            Lead("Abdomen", "ABD", 64.0, "", BELT),
            Lead("Thorax", "THX", 64.0, "", BELT),
            Lead("Airflow", "AF", 64.0, "", BELT),
            Lead("E1-M2", "EOG_L", 128.0, "uV", EEG_UV),
            Lead("E2-M1", "EOG_R", 128.0, "uV", EEG_UV),
            Lead("C3-M2", "EEG_C3_A2", 128.0, "uV", EEG_UV),
            Lead("C4-M1", "EEG_C4_A1", 128.0, "uV", EEG_UV),
            Lead("Chin EMG", "EMG_CHIN", 128.0, "uV", EMG_UV),
            # Unit "code" tells the reader that the numbers are the house's own position codes.
            Lead("POS", "POS", 1.0, "code", (0.0, 4.0)),
            Lead("SpO2", "SPO2", 1.0, "%", PERCENT),
            Lead("Heart Rate", "HR", 1.0, "bpm", BPM),
            Lead("Left Leg", "LEG_L", 256.0, "uV", EMG_UV),
            Lead("Right Leg", "LEG_R", 256.0, "uV", EMG_UV),
        )
    ),
    "shhs1": _shhs(125.0, 125.0, 50.0, 10.0),
    "shhs2": _shhs(128.0, 256.0, 64.0, 8.0),
    "mros": Layout(
        _compumedics(
            {"C3": "C3", "C4": "C4", "A1": "A1", "A2": "A2", "E1": "LOC", "E2": "ROC",
             "CHIN+": "L Chin", "CHIN-": "R Chin", "ECG+": "ECG L", "ECG-": "ECG R"},
            {"EEG": 256.0, "CHIN": 256.0, "ECG": 512.0},
            (
                Lead("Leg L", "LEG_L", 256.0, "uV", EMG_UV),
                Lead("Leg R", "LEG_R", 256.0, "uV", EMG_UV),
                Lead("Airflow", "AF", 16.0, "", BELT),
                Lead("Thoracic", "THX", 16.0, "", BELT),
                Lead("Abdominal", "ABD", 16.0, "", BELT),
                Lead("Position", "POS", 4.0, "", CODE),
                Lead("HR", "HR", 1.0, "bpm", BPM),
                Lead("SaO2", "SPO2", 1.0, "%", PERCENT),
            ),
        )
    ),
    "cfs": Layout(
        _compumedics(
            {"C3": "C3", "C4": "C4", "A1": "M1", "A2": "M2", "E1": "LOC", "E2": "ROC",
             "ECG+": "ECG1", "ECG-": "ECG2", "CHIN+": "EMG1", "CHIN-": "EMG2"},
            {"EEG": 128.0, "CHIN": 256.0, "ECG": 256.0},
            (
                Lead("L-Leg", "LEG_L", 256.0, "uV", EMG_UV),
                Lead("R-Leg", "LEG_R", 256.0, "uV", EMG_UV),
                Lead("AIRFLOW", "AF", 32.0, "", BELT),
                Lead("THOR EFFORT", "THX", 32.0, "", BELT),
                Lead("ABDO EFFORT", "ABD", 32.0, "", BELT),
                Lead("POSITION", "POS", 1.0, "", CODE),
                Lead("SpO2", "SPO2", 1.0, "%", PERCENT),
                Lead("PULSE", "HR", 1.0, "bpm", BPM),
            ),
        ),
        "profusion",
    ),
    "ccshs": Layout(
        _compumedics(
            {"C3": "C3", "C4": "C4", "A1": "A1", "A2": "A2", "E1": "LOC", "E2": "ROC",
             "ECG+": "ECG1", "ECG-": "ECG2", "CHIN+": "EMG1", "CHIN-": "EMG2"},
            {"EEG": 128.0, "CHIN": 128.0, "ECG": 256.0},
            (
                Lead("L Leg", "LEG_L", 256.0, "uV", EMG_UV),
                Lead("R Leg", "LEG_R", 256.0, "uV", EMG_UV),
                Lead("AIRFLOW", "AF", 32.0, "", BELT),
                Lead("THOR EFFORT", "THX", 32.0, "", BELT),
                Lead("ABDO EFFORT", "ABD", 32.0, "", BELT),
                Lead("POSITION", "POS", 1.0, "", CODE),
                Lead("SpO2", "SPO2", 1.0, "%", PERCENT),
                Lead("HRate", "HR", 1.0, "bpm", BPM),
            ),
        ),
        "profusion",
    ),
    # No heart rate among its signals.
    "wsc": Layout(
        (
            Lead("C3_M2", "EEG_C3_A2", 200.0, "uV", EEG_UV),
            Lead("C4_M1", "EEG_C4_A1", 200.0, "uV", EEG_UV),
            Lead("E1", "EOG_L", 200.0, "uV", EEG_UV),
            Lead("E2", "EOG_R", 200.0, "uV", EEG_UV),
            Lead("chin", "EMG_CHIN", 200.0, "uV", EMG_UV),
            Lead("ECG", "ECG", 200.0, "mV", ECG_MV),
            Lead("lat", "LEG_L", 200.0, "uV", EMG_UV),
            Lead("rat", "LEG_R", 200.0, "uV", EMG_UV),
            Lead("flow", "AF", 200.0, "", BELT),
            Lead("thorax", "THX", 200.0, "", BELT),
            Lead("abdomen", "ABD", 200.0, "", BELT),
            Lead("position", "POS", 1.0, "", CODE),
            Lead("spo2", "SPO2", 1.0, "%", PERCENT),
        )
    ),
    "nox": Layout(
        (
            Lead("C3-M2", "EEG_C3_A2", 200.0, "V", (-5e-4, 5e-4), 1e-6),
            Lead("C4-M1", "EEG_C4_A1", 200.0, "V", (-5e-4, 5e-4), 1e-6),
            Lead("E1-M2", "EOG_L", 200.0, "V", (-5e-4, 5e-4), 1e-6),
            Lead("E2-M1", "EOG_R", 200.0, "V", (-5e-4, 5e-4), 1e-6),
            Lead("1-2", "EMG_CHIN", 200.0, "V", (-3e-4, 3e-4), 1e-6),
            Lead("1-F", "EMG_CHIN", 200.0, "V", (-3e-4, 3e-4), 0.8e-6),
            Lead("ECG", "ECG", 200.0, "V", (-3e-3, 3e-3), 1e-3),
            Lead("Left Leg", "LEG_L", 200.0, "V", (-3e-4, 3e-4), 1e-6),
            Lead("Right Leg", "LEG_R", 200.0, "V", (-3e-4, 3e-4), 1e-6),
            Lead("Airflow", "AF", 200.0, "cmH2O", BELT),
            Lead("Chest", "THX", 25.0, "V", BELT),
            Lead("Abdomen", "ABD", 25.0, "V", BELT),
            Lead("Saturation", "SPO2", 3.0, "%", PERCENT),
            Lead("Heart Rate", "HR", 3.0, "bpm", BPM),
            Lead("PosAngle", "POS_ANGLE", 20.0, "deg", (-180.0, 180.0)),
            Lead("Elevation", "ELEVATION", 20.0, "g", (-2.0, 2.0)),
        ),
        "edf",
    ),
}  # fmt: skip
# Rotation about the body's long axis, 0 on the back; here a positive angle is the left side.
ANGLES = {0: -90.0, 1: 90.0, 2: 0.0, 3: 175.0, 4: 0.0}


def layout_named(name: str | None) -> Layout:
    """The layout of this name; the project's own where none is named.

    Raises
    ------
    QueryError
        No layout has this name.
    """
    if name is not None and name not in LAYOUTS:
        raise QueryError(f"layout {name!r} is not known; use one of {', '.join(LAYOUTS)}")
    return LAYOUTS[name or "house"]


def leads_of(night: SimulatedNight, layout: Layout) -> list[tuple[Lead, np.ndarray]]:
    """Each signal of the layout that the night holds, at the lead's rate and in its unit."""
    electrodes = _Electrodes(night)
    found = []
    for lead in layout.leads:
        made = electrodes.of(lead.source)
        if made is None:
            continue
        rate_hz, samples = made
        stepped = lead.source in (*STEPPED, *HELD_LEVELS)
        values = _held(samples, rate_hz, lead) if stepped else _at_rate(samples, rate_hz, lead)
        found.append((lead, values if lead.factor == 1 else values * np.float32(lead.factor)))
    return found


def _held(samples: np.ndarray, rate_hz: float, lead: Lead) -> np.ndarray:
    return np.repeat(samples, int(lead.rate_hz / rate_hz))


def _at_rate(samples: np.ndarray, rate_hz: float, lead: Lead) -> np.ndarray:
    if lead.rate_hz == rate_hz:
        return samples
    ratio = Fraction(lead.rate_hz / rate_hz).limit_denominator(1000)
    return resample_poly(samples, ratio.numerator, ratio.denominator)


class _Electrodes:
    """The channels of a night taken apart into electrodes against one common reference."""

    def __init__(self, night: SimulatedNight) -> None:
        self._native = night.native
        self._rng = np.random.default_rng(night.meta["seed"])
        self._made: dict[str, np.ndarray] = {}

    def of(self, source: str) -> tuple[float, np.ndarray] | None:
        """Rate and samples of a channel or electrode; None where the night has none."""
        if source in self._native:
            return self._native[source]
        if source in HELD_LEVELS:
            return self._posture(source)
        channel, reference = {
            "C3": ("EEG_C3_A2", "A2"),
            "C4": ("EEG_C4_A1", "A1"),
            "E1": ("EOG_L", "A2"),
            "E2": ("EOG_R", "A1"),
            "A1": ("EEG_C4_A1", None),
            "A2": ("EEG_C3_A2", None),
            "CHIN+": ("EMG_CHIN", "chin"),
            "CHIN-": ("EMG_CHIN", "chin"),
            "ECG+": ("ECG", "ecg"),
            "ECG-": ("ECG", "ecg"),
        }.get(source, (source, None))
        if channel not in self._native:
            return None
        rate_hz, samples = self._native[channel]
        if source in ("A1", "A2"):
            return rate_hz, self._common(source, len(samples), 6.0)
        if source[-1] in "+-":
            size = 0.1 if channel == "ECG" else 5.0
            half = 0.5 if source[-1] == "+" else -0.5
            return rate_hz, half * samples + self._common(str(reference), len(samples), size)
        return rate_hz, samples + self._common(str(reference), len(samples), 6.0)

    def _common(self, name: str, n: int, size: float) -> np.ndarray:
        """What an electrode shares with the reference: slow drift, and a little noise."""
        if name not in self._made:
            coarse = np.cumsum(self._rng.standard_normal(n // 256 + 2))
            coarse -= np.linspace(coarse[0], coarse[-1], len(coarse))
            drift = np.interp(np.arange(n) / 256, np.arange(len(coarse)), coarse)
            noise = self._rng.standard_normal(n)
            wave = size * (drift / (coarse.std() + 1e-9) + 0.3 * noise)
            self._made[name] = wave.astype(np.float32)
        return self._made[name]

    def _posture(self, source: str) -> tuple[float, np.ndarray] | None:
        if "POS" not in self._native:
            return None
        rate_hz, codes = self._native["POS"]
        if source == "ELEVATION":
            return rate_hz, np.where(codes == 4, 0.95, 0.1).astype(np.float32)
        angle = np.zeros(len(codes), dtype=np.float32)
        for code, degrees in ANGLES.items():
            angle[codes == code] = degrees
        return rate_hz, angle
