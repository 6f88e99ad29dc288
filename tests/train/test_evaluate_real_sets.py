"""The real sets: what their readers give, and that a set which is not there says so."""

from pathlib import Path

import numpy as np
import pytest

from sleeplm.errors import SleepLMError
from sleeplm.reader import SleepLM
from train.evaluate import real_sets
from train.evaluate.real_data import heart_rate, hugcdn_nights, prerau_night, ucd_nights
from train.evaluate.real_sets import measure_real_sets
from train.evaluate.scores import auroc
from train.evaluate.table import as_markdown, rounded


def test_heart_rate_comes_from_the_intervals_of_its_minute() -> None:
    rr_ms = np.concatenate([np.full(60, 1000.0), np.full(120, 500.0), np.full(3, 1000.0)])
    minute = np.repeat([0, 1, 3], [60, 120, 3])
    rate_bpm = heart_rate(rr_ms, minute, 4)
    assert np.allclose(rate_bpm[:60], 60.0)
    assert np.allclose(rate_bpm[60:120], 120.0)
    assert np.isnan(rate_bpm[120:]).all()  # no interval, then too few
    wild = np.concatenate([np.full(30, 1000.0), [9000.0, 10.0], np.full(28, 1000.0)])
    assert np.allclose(heart_rate(wild, np.zeros(60), 1), 60.0)


def test_the_night_with_all_stages_has_its_published_minutes(shared_data: Path) -> None:
    night = prerau_night(shared_data)
    assert night.epochs.shape == (167, 3000)
    minutes = {stage: float(np.sum(night.stages == stage)) / 2 for stage in np.unique(night.stages)}
    # As the source's notes count them from the change points: N2 47.5, N3 18.5, REM 13.3.
    assert abs(minutes["N2"] - 47.5) <= 0.5
    assert abs(minutes["N3"] - 18.5) <= 0.5
    assert abs(minutes["R"] - 13.3) <= 0.5


def test_patients_measured_on_are_not_those_learned_from(shared_data: Path) -> None:
    dev = {night.name for night in ucd_nights(shared_data, "dev")}
    train = {night.name for night in ucd_nights(shared_data, "train")}
    assert len(dev) == 4
    assert not dev & train
    night = ucd_nights(shared_data, "dev")[0]
    assert set(night.stages) <= {"W", "N3"}
    assert night.epochs.shape == (len(night.stages), 3840)
    assert 5 < np.median(np.abs(night.epochs)) < 200  # µV of a scalp


def test_the_range_of_saturation_tells_apnea_minutes_as_published(shared_data: Path) -> None:
    nights = hugcdn_nights(shared_data, "dev")
    truth = np.concatenate([night.apnea[night.valid] for night in nights])
    ranges = np.concatenate([real_sets._range_pct(night)[night.valid] for night in nights])
    area = auroc(truth, ranges)
    assert area is not None
    assert abs(area - 0.93) < 0.015


def test_a_set_that_is_not_there_gives_its_reason(tmp_path: Path) -> None:
    with pytest.raises(SleepLMError, match="prerau-dynamo: not here"):
        prerau_night(tmp_path)
    found = measure_real_sets(SleepLM.from_pretrained(), tmp_path)
    assert set(found) == {"ucd", "prerau", "oximetry"}
    assert all("not here" in scores["not_measured"] for scores in found.values())
    shown = as_markdown({"model": "m", "nights": 0, "epochs": 0, "real": found})
    assert shown.count("not measured (") == 3


def test_a_model_reads_wake_and_deep_sleep_from_one_real_eeg(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = {part: ucd_nights(shared_data, part)[:1] for part in ("dev", "train")}
    thin = {part: [real_sets._thinned(nights[0], 25)] for part, nights in one.items()}
    monkeypatch.setattr(real_sets, "ucd_nights", lambda data, part: thin[part])
    found = measure_real_sets(SleepLM.from_pretrained(), shared_data, ["ucd"])["ucd"]
    assert (found["nights"], found["epochs"]) == (1, 50)
    for way in ("prompts", "stage_head", "linear_probe"):
        assert 0.5 < found[way]["auroc"] <= 1.0, way
    assert found["baseline"]["band power + logistic regression"]["auroc"] > 0.5
    shown = as_markdown({"model": "m", "nights": 0, "epochs": 0, "real": {"ucd": rounded(found)}})
    assert "| real: W against N3, one EEG | prompts, balanced accuracy |" in shown
    assert "| prompts, AUROC |" in shown
