"""A hand-made night of two hours, over midnight, and a scripted model to read it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from sleeplm.night import Night
from sleeplm.recording import Recording
from sleeplm.scoring import Event, Scorer, Scoring
from tools import TOOLS
from tools.session import Session

START_TIME = datetime(2026, 1, 5, 23, 0, 0)
STAGES = ("W",) * 20 + ("N2",) * 80 + ("N3",) * 40 + ("R",) * 40 + ("N2",) * 40 + ("W",) * 20
SAMPLES = 240 * 1920
#: (kind, onset_s, duration_s): by hand, one of them in wake, one across the edge W → N2.
EVENTS = (
    ("obstructive_apnea", 100.0, 20.0),  # epoch 4, W only
    ("obstructive_apnea", 595.0, 15.0),  # begins in epoch 20 (W), reaches epoch 21 (N2)
    ("obstructive_apnea", 900.0, 30.0),  # epoch 31, N2, supine
    ("obstructive_apnea", 3010.0, 58.0),  # epoch 101, N3
    ("obstructive_apnea", 4300.0, 25.0),  # epoch 144, R, left side
    ("central_apnea", 1200.0, 12.0),  # epoch 41, N2
    ("hypopnea", 1500.0, 40.0),  # epoch 51, N2
    ("hypopnea", 5500.0, 22.0),  # epoch 184, N2
    ("arousal", 940.0, 5.0),  # epoch 32, N2
)


class ScriptedModel:
    """What tools use of a model, with answers that a test can know."""

    model_id = "scripted@00000001"
    embed_dim = 4
    montage = ("EEG_C3_A2", "AF", "THX", "SPO2")
    event_kinds = ("obstructive_apnea", "desaturation")

    def __init__(self) -> None:
        self.captioned: list[tuple[str, int]] = []

    def prepare(self, recording: Recording) -> np.ndarray:
        return np.arange(recording.n_epochs, dtype=np.float32)[:, None, None]

    def encode(self, signals: np.ndarray, progress: Any = None) -> np.ndarray:
        """Epoch i points to the angle i degrees, so neighbours in time are neighbours in angle."""
        angle = np.deg2rad(np.asarray(signals)[:, 0, 0])
        zeros = np.zeros_like(angle)
        return np.stack([np.cos(angle), np.sin(angle), zeros, zeros], axis=1).astype(np.float32)

    def encode_text(self, texts: list[str]) -> np.ndarray:
        angle = np.deg2rad([float(text.split()[-1]) for text in texts])
        zeros = np.zeros_like(angle)
        return np.stack([np.cos(angle), np.sin(angle), zeros, zeros], axis=1).astype(np.float32)

    def caption(self, signals: np.ndarray, system: str) -> list[str]:
        epochs = [int(value) for value in signals[:, 0, 0]]
        self.captioned += [(system, epoch) for epoch in epochs]
        return [f"{system} words on index {epoch}" for epoch in epochs]

    def locate(self, signals: np.ndarray, text: str) -> list[list[tuple[float, float, float]]]:
        """One find of 12 s in each fiftieth epoch."""
        return [[(3.0, 15.0, 0.5)] if int(index) % 50 == 30 else [] for index in signals[:, 0, 0]]

    def event_phrase(self, kind: str) -> str:
        return kind.replace("_", " ")

    def stage_probabilities(self, signals: np.ndarray, progress: Any = None) -> np.ndarray:
        return np.tile(np.array([0, 0, 1, 0, 0], np.float32), (len(signals), 1))


class ScriptedNight(Night):
    """A real night that the scripted model reads."""

    @property
    def model(self) -> Any:
        return self._model_source


def hand_scoring(**changes: Any) -> Scoring:
    events = tuple(Event(kind, onset, duration) for kind, onset, duration in EVENTS)
    desaturation = Event("desaturation", 920.0, 30.0, "SPO2", None, {"nadir_pct": 84.0})
    given = {
        "stages": STAGES,
        "events": (*events, desaturation),
        "scorer": Scorer("expert", "by hand"),
        "start": START_TIME,
    }
    return Scoring(**{**given, **changes})


def hand_signals() -> dict[str, np.ndarray]:
    """SpO2 96 % but 80 % at 5510-5520 s; pulse rises from 60 to 72; supine, then left."""
    spo2 = np.full(SAMPLES, 96.0, np.float32)
    for step, value in enumerate(range(94, 79, -2)):
        spo2[(5510 + step) * 64 : (5511 + step) * 64] = value
    spo2[5518 * 64 : 5526 * 64] = 80.0
    for step, value in enumerate(range(82, 96, 2)):
        spo2[(5526 + step) * 64 : (5527 + step) * 64] = value
    pulse = np.repeat(np.linspace(60.0, 72.0, 240), 1920).astype(np.float32)
    position = np.full(SAMPLES, 2.0, np.float32)
    position[120 * 1920 :] = 1.0
    return {"SPO2": spo2, "HR": pulse, "POS": position}


def make_night(
    scoring: Scoring | None, start: datetime | None = START_TIME, **signals: np.ndarray
) -> Night:
    recording = Recording.from_signals(signals or hand_signals(), start=start)
    return ScriptedNight.from_recording(recording, scoring, model=ScriptedModel())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def night() -> Night:
    return make_night(hand_scoring())


@pytest.fixture
def session(night: Night) -> Session:
    return Session.of(night)


def call(session: Session, name: str, **arguments: Any) -> ToolMessage:
    """Call a tool as an agent does: an AI message through LangGraph's ToolNode."""
    graph = StateGraph(MessagesState, context_schema=Session)
    graph.add_node("tools", ToolNode(list(TOOLS)))
    graph.add_edge(START, "tools")
    request = AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": "call-1"}])
    state = graph.compile().invoke({"messages": [request]}, context=session)
    message = state["messages"][-1]
    assert isinstance(message, ToolMessage)
    return message


@pytest.fixture
def ask(session: Session) -> Any:
    """``ask("locate_events", query="apnea")`` on the hand-made night."""
    return lambda name, **arguments: call(session, name, **arguments)


@pytest.fixture(scope="session")
def hand_made() -> Any:
    """The builders of this file, for tests that need another night."""

    class Builders:
        night = staticmethod(make_night)
        scoring = staticmethod(hand_scoring)
        signals = staticmethod(hand_signals)
        call = staticmethod(call)

    return Builders
