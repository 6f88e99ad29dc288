"""Fixtures that every part shares."""

import os
from collections.abc import Callable
from datetime import date, time
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real recordings: SLEEPLM_DATA_DIR, or shared/data beside the repository."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("SLEEPLM_DATA_DIR", default))
    if not folder.is_dir():
        pytest.skip(f"real recordings are not here ({folder}); set SLEEPLM_DATA_DIR")
    return folder


@pytest.fixture
def make_edf(tmp_path: Path) -> Callable[..., Path]:
    """Write a small EDF: ``make_edf([(label, unit, rate_hz, values), …], plus=True)``.

    ``plus`` writes an EDF+C whose records carry their own clock. The file is made by edfio, an
    independent writer.
    """

    def write(
        signals: list[tuple[str, str, float, np.ndarray]],
        *,
        name: str = "night.edf",
        plus: bool = False,
        record_s: float = 1.0,
        bdf: bool = False,
        start: tuple[int, int, int] = (22, 30, 15),
    ) -> Path:
        import edfio

        signal_type: Any = edfio.BdfSignal if bdf else edfio.EdfSignal
        file_type: Any = edfio.Bdf if bdf else edfio.Edf
        made = []
        for label, unit, rate_hz, values in signals:
            # Two digits: the header has eight characters for a number.
            extent = float(f"{1.06 * max(np.abs(values).max(), 1e-9):.1e}")
            made.append(
                signal_type(
                    np.asarray(values, dtype=np.float64),
                    rate_hz,
                    label=label,
                    physical_dimension=unit,
                    physical_range=(-extent, extent),
                )
            )
        edf = file_type(
            made,
            recording=edfio.Recording(startdate=date(2024, 3, 1)),
            patient=edfio.Patient(code="SECRETCODE", name="SECRETNAME"),
            starttime=time(*start),
            data_record_duration=record_s,
            # The text makes room for onsets of any length in each record.
            annotations=[edfio.EdfAnnotation(1, None, "room for onsets")] if plus else None,
        )
        path = tmp_path / name
        edf.write(path)
        return path

    return write
