"""An outside stager, trained on thousands of real nights, must recognise simulated sleep."""

import warnings

import numpy as np
import pytest

from sleeplm.scoring import STAGES
from train.simulate import simulate_night


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "ahi", "condition"), [(21, 2.0, "healthy"), (25, 10.0, None)])
def test_yasa_stages_a_simulated_night_as_it_was_made(
    seed: int, ahi: float, condition: str | None
) -> None:
    yasa = pytest.importorskip("yasa")
    import mne

    night = simulate_night(seed, hours=4, ahi=ahi, condition=condition)
    names = ["EEG_C3_A2", "EOG_L", "EMG_CHIN"]
    volts = np.stack([night.native[name][1] for name in names]).astype(float) * 1e-6
    info = mne.create_info(names, 128, ["eeg", "eog", "emg"])
    raw = mne.io.RawArray(volts, info, verbose="error")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        predicted = yasa.SleepStaging(raw, eeg_name=names[0], eog_name=names[1], emg_name=names[2])
        hypnogram = predicted.predict()
    labels = getattr(hypnogram, "hypno", hypnogram)
    codes = {"W": 0, "WAKE": 0, "N1": 1, "N2": 2, "N3": 3, "R": 4, "REM": 4}
    found = np.array([codes[str(label)] for label in np.asarray(labels)])
    truth = np.array([STAGES.index(stage) for stage in night.scoring.stages])
    table = np.zeros((5, 5))
    np.add.at(table, (truth, found), 1)
    table /= table.sum()
    chance = float(table.sum(axis=0) @ table.sum(axis=1))
    assert (np.trace(table) - chance) / (1 - chance) >= 0.65
