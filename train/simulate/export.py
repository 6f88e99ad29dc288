"""A simulated night as files: EDF in a cohort's layout, a scoring file, and the truth as JSON."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sleeplm.errors import QueryError
from train.simulate.layouts import Layout, Lead, layout_named, leads_of
from train.simulate.night import SimulatedNight

__all__ = ["SCORING_FORMATS", "checked_format", "write_night"]

#: Name of a scoring format → the ending with which it lies beside ``OUT.edf`` and is found there.
SCORING_FORMATS = {
    "nsrr": "-nsrr.xml",
    "profusion": "-profusion.xml",
    "edf": "-Hypnogram.edf",
    "csv": ".csv",
    "json": ".scoring.json",
}


def write_night(
    night: SimulatedNight,
    path: str | Path,
    *,
    layout: str | None = None,
    scoring_format: str | None = None,
) -> list[Path]:
    """Write the recording, its scoring and ``OUT.truth.json`` for ``path`` = ``OUT.edf``.

    Ranges are widened where a signal would clip. The header holds no person.

    Parameters
    ----------
    night : SimulatedNight
    path : path
    layout : str, optional
        One of :data:`~train.simulate.layouts.LAYOUTS`; the project's own labels (EEG, EOG, EMG and
        ECG at 128 Hz, legs at 256 Hz, belts and airflow at 64 Hz, the rest at 1 Hz) by default.
    scoring_format : str, optional
        One of :data:`SCORING_FORMATS`; the layout's own by default.

    Returns
    -------
    list of Path
        The files written: recording, scoring, truth.

    Raises
    ------
    QueryError
        The layout or the format is not known.
    """
    import edfio

    from sleeplm.scoring_files import write_scoring

    chosen = layout_named(layout)
    form = checked_format(chosen, scoring_format)
    edf_path = Path(path)
    if edf_path.suffix.lower() != ".edf":
        edf_path = edf_path.with_name(edf_path.name + ".edf")
    edf_path.parent.mkdir(parents=True, exist_ok=True)
    edf = edfio.Edf(
        [
            edfio.EdfSignal(
                samples.astype(np.float64),
                lead.rate_hz,
                label=lead.label,
                physical_dimension=lead.unit,
                physical_range=_physical_range(lead, samples),
            )
            for lead, samples in leads_of(night, chosen)
        ],
        patient=edfio.Patient(code="X", name="X"),
        recording=edfio.Recording(startdate=night.start.date()),
        starttime=night.start.time(),
        data_record_duration=1.0,
    )
    edf.write(edf_path)
    scoring_path = edf_path.with_name(edf_path.stem + SCORING_FORMATS[form])
    write_scoring(night.scoring, scoring_path, form)
    truth_path = edf_path.with_name(edf_path.stem + ".truth.json")
    truth_path.write_text(night.scoring.to_json() + "\n", encoding="utf-8")
    return [edf_path, scoring_path, truth_path]


def checked_format(layout: Layout, scoring_format: str | None) -> str:
    """The name of the scoring's format: the one asked for, else the layout's.

    Raises
    ------
    QueryError
        The format is not known.
    """
    form = scoring_format or layout.scoring_format
    if form not in SCORING_FORMATS:
        raise QueryError(
            f"scoring format {form!r} is not known; use one of {', '.join(SCORING_FORMATS)}"
        )
    return form


def _physical_range(lead: Lead, samples: np.ndarray) -> tuple[float, float]:
    """The lead's range, wider where a signal that swings around 0 would clip."""
    low, high = lead.extent
    extent = float(np.abs(samples).max()) if len(samples) else 0.0
    if low == -high and extent > high:
        # Two digits, so that the header's eight characters hold it.
        scale = 10.0 ** (np.floor(np.log10(extent)) - 1)
        high = float(f"{np.ceil(extent * 1.01 / scale) * scale:.2g}")
        low = -high
    return low, high
