"""The comparison of real and simulated EEG sees EEG, and not the recorder."""

import numpy as np
from scipy.signal import welch

from benchmarks.realism import RATE_HZ, STAGES, as_recorded_by_ucd, in_blocks, told_apart


def noise(seed: int, n_epochs: int = 12) -> np.ndarray:
    return 10 * np.random.default_rng(seed).standard_normal((n_epochs, 30 * RATE_HZ))


def test_offset_and_line_of_the_recorder_are_taken_out() -> None:
    line = 5 * np.sin(2 * np.pi * 22 * np.arange(30 * RATE_HZ) / RATE_HZ)
    cleaned = as_recorded_by_ucd(noise(0) + 55 + line, real=True)
    frequency, density = welch(cleaned, RATE_HZ, nperseg=400)
    mean = density.mean(axis=0)
    assert np.abs(cleaned.mean()) < 0.1
    assert mean[np.argmin(np.abs(frequency - 22))] < mean[np.argmin(np.abs(frequency - 30))]


def test_the_same_epochs_from_two_recorders_are_not_told_apart_but_other_epochs_are() -> None:
    words = np.full(12, "N3")
    line = 5 * np.sin(2 * np.pi * 22 * np.arange(30 * RATE_HZ) / RATE_HZ)
    real = [(as_recorded_by_ucd(noise(s) + 55 + line, real=True), words) for s in range(4)]
    made = [(as_recorded_by_ucd(noise(s), real=False), words) for s in range(10, 14)]
    raw = [(noise(s) + 55 + line, words) for s in range(4)]
    same, other = told_apart(real, made, "N3"), told_apart(raw, made, "N3")
    assert same is not None
    assert other is not None
    assert same["form"] < 0.75
    assert other["form"] > 0.95


def test_blocks_hold_each_epoch_once() -> None:
    words = np.repeat(np.array(STAGES), 8)
    epochs = np.arange(40.0)[:, None]
    blocks = in_blocks(epochs, words)
    assert sorted(np.concatenate([part[:, 0] for part, _ in blocks])) == list(range(40))
    assert all(set(stages) == set(STAGES) for _, stages in blocks)
