"""Oximeters that show a new value every few seconds: their steps are no slips of the probe."""

from pathlib import Path

import numpy as np
import pytest

from sleeplm.physiology.oximetry import desaturations, plausible_spo2, update_interval_s


def falls(n: int = 15) -> np.ndarray:
    """``n`` falls from 96 to 76 % over 40 s, back in 8 s, one every 100 s."""
    times = [0, 20, 60, 68, 100]
    one = np.interp(np.arange(100), times, [96, 96, 76, 96, 96])
    return np.tile(one, n)


def held(values: np.ndarray, seconds: int) -> np.ndarray:
    return np.repeat(np.round(values[::seconds]), seconds)[: len(values)]


@pytest.mark.parametrize("interval_s", [4, 8])
def test_falls_shown_in_steps_are_all_found(interval_s: int) -> None:
    shown = held(falls(), interval_s)
    assert np.abs(np.diff(shown)).max() > 4
    assert update_interval_s(shown) == interval_s
    assert np.isfinite(plausible_spo2(shown)).all()
    found = desaturations(shown)
    assert len(found) == 15
    assert all(baseline == 96 and nadir < 80 for _, _, baseline, nadir in found)


def test_slips_of_an_oximeter_that_shows_every_second_stay_slips() -> None:
    spo2 = falls()
    assert update_interval_s(np.round(spo2)) == 1.0
    spo2[10::100] = spo2[11::100] = spo2[12::100] = 60.0
    assert np.isnan(plausible_spo2(spo2)[10::100]).all()
    assert len(desaturations(spo2)) == 15


def test_rare_slips_in_a_level_night_tell_no_update_interval() -> None:
    spo2 = np.full(6 * 3600, 96.0)
    for start in range(600, len(spo2), 600):
        spo2[start : start + 40] = 60.0
    assert update_interval_s(spo2) == 1.0
    assert desaturations(spo2) == []


def test_a_real_night_with_an_eight_second_oximeter_keeps_its_falls(shared_data: Path) -> None:
    with np.load(shared_data / "hugcdn-oxi" / "train" / "D3.npz") as night:
        spo2 = np.asarray(night["spo2_pct"], dtype=float).ravel()
        apnea_minutes = int(night["apnea_min"].sum())
    measured = (spo2 >= 50) & (spo2 <= 100)
    assert np.isnan(plausible_spo2(spo2)[measured]).mean() < 0.06
    assert len(desaturations(spo2)) > apnea_minutes
