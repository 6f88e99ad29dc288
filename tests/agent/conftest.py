"""A simulated night with known truth, its twin without a scoring, and a scripted reader."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sleeplm.night import Night
from sleeplm.recording import Recording
from tools.session import Session
from train.simulate import simulate_night


class ScriptedReader:
    """What tools use of a model, with answers that a test can know."""

    model_id = "scripted@00000002"
    embed_dim = 4
    montage = ("EEG_C3_A2", "AF", "THX", "SPO2")
    event_kinds = ("obstructive_apnea",)

    def prepare(self, recording: Recording) -> np.ndarray:
        return np.arange(recording.n_epochs, dtype=np.float32)[:, None, None]

    def encode(self, signals: np.ndarray, progress: Any = None) -> np.ndarray:
        angle = np.deg2rad(np.asarray(signals)[:, 0, 0])
        zeros = np.zeros_like(angle)
        return np.stack([np.cos(angle), np.sin(angle), zeros, zeros], axis=1).astype(np.float32)

    def encode_text(self, texts: list[str]) -> np.ndarray:
        return np.tile(np.array([[1.0, 0.0, 0.0, 0.0]], np.float32), (len(texts), 1))

    def caption(self, signals: np.ndarray, system: str) -> list[str]:
        return [f"A scripted text about {system}" for _ in signals]

    def locate(self, signals: np.ndarray, text: str) -> list[list[tuple[float, float, float]]]:
        """One find of 12 s in each fiftieth epoch."""
        return [[(3.0, 15.0, 0.5)] if int(index) % 50 == 30 else [] for index in signals[:, 0, 0]]

    def event_phrase(self, kind: str) -> str:
        return kind.replace("_", " ")

    def stage_probabilities(self, signals: np.ndarray, progress: Any = None) -> np.ndarray:
        return np.tile(np.array([0, 0, 1, 0, 0], np.float32), (len(signals), 1))


class ScriptedNight(Night):
    """A real night that the scripted reader reads."""

    @property
    def model(self) -> Any:
        return self._model_source


@pytest.fixture(scope="session")
def simulated() -> Any:
    """Two hours with apneas; its scoring is the truth."""
    return simulate_night(7, hours=2.0, ahi=25.0)


@pytest.fixture(scope="session")
def scored_night(simulated: Any) -> Night:
    recording = Recording.from_signals(simulated.signals, start=simulated.start)
    return ScriptedNight.from_recording(recording, simulated.scoring, model=ScriptedReader())  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def unscored_night(simulated: Any) -> Night:
    recording = Recording.from_signals(simulated.signals, start=simulated.start)
    return ScriptedNight.from_recording(recording, None, model=ScriptedReader())  # type: ignore[arg-type]


@pytest.fixture
def session(scored_night: Night) -> Session:
    return Session.of(scored_night)


@pytest.fixture
def unscored_session(unscored_night: Night) -> Session:
    return Session.of(unscored_night)
