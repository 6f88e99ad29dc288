"""A simulated night as files: EDF at mixed native rates, NSRR XML, and the truth as JSON."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from train.simulate.night import CHANNELS, SimulatedNight

__all__ = ["write_night"]

# House name → label in the file, unit, least half-range (or the range of a channel in plain units).
LABELS: dict[str, tuple[str, str, tuple[float, float]]] = {
    "ECG": ("ECG", "mV", (-3.0, 3.0)),
    "ABD": ("Abdomen", "", (-5.0, 5.0)),
    "THX": ("Thorax", "", (-5.0, 5.0)),
    "AF": ("Airflow", "", (-5.0, 5.0)),
    "EOG_L": ("E1-M2", "uV", (-500.0, 500.0)),
    "EOG_R": ("E2-M1", "uV", (-500.0, 500.0)),
    "EEG_C3_A2": ("C3-M2", "uV", (-500.0, 500.0)),
    "EEG_C4_A1": ("C4-M1", "uV", (-500.0, 500.0)),
    "EMG_CHIN": ("Chin EMG", "uV", (-300.0, 300.0)),
    # Unit "code" tells the reader that the numbers are the house's own position codes.
    "POS": ("POS", "code", (0.0, 4.0)),
    "SPO2": ("SpO2", "%", (0.0, 100.0)),
    "HR": ("Heart Rate", "bpm", (0.0, 250.0)),
}


def write_night(night: SimulatedNight, path: str | Path) -> list[Path]:
    """Write ``OUT.edf``, ``OUT-nsrr.xml`` and ``OUT.truth.json`` for ``path`` = ``OUT.edf``.

    EEG, EOG, EMG and ECG are written at 128 Hz, belts and airflow at 64 Hz, position, SpO2 and
    heart rate at 1 Hz. Ranges are widened where a signal would clip. The header holds no person.

    Returns
    -------
    list of Path
        The files written.
    """
    import edfio

    from sleeplm.scoring_files import write_nsrr_xml

    edf_path = Path(path)
    if edf_path.suffix.lower() != ".edf":
        edf_path = edf_path.with_name(edf_path.name + ".edf")
    signals = []
    for name in CHANNELS:
        if name not in night.native:
            continue
        rate_hz, samples = night.native[name]
        label, unit, (low, high) = LABELS[name]
        extent = float(np.abs(samples).max()) if len(samples) else 0.0
        if low < 0 and extent > high:
            high = float(np.ceil(extent * 1.01))
            low = -high
        signals.append(
            edfio.EdfSignal(
                samples.astype(np.float64),
                rate_hz,
                label=label,
                physical_dimension=unit,
                physical_range=(low, high),
            )
        )
    edf_path.parent.mkdir(parents=True, exist_ok=True)
    edf = edfio.Edf(
        signals,
        patient=edfio.Patient(code="X", name="X"),
        recording=edfio.Recording(startdate=night.start.date()),
        starttime=night.start.time(),
        data_record_duration=1.0,
    )
    edf.write(edf_path)
    xml_path = edf_path.with_name(edf_path.stem + "-nsrr.xml")
    write_nsrr_xml(night.scoring, xml_path)
    truth_path = edf_path.with_name(edf_path.stem + ".truth.json")
    truth_path.write_text(night.scoring.to_json() + "\n", encoding="utf-8")
    return [edf_path, xml_path, truth_path]
