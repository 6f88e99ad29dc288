"""Automatic scoring beside the page: told in words, waited for, cancelled, and never in the way."""

import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any, ClassVar

import numpy as np
import pytest

from agent.answer import Answer, Finished, ToolFinished, ToolStarted
from sleeplm import Night
from sleeplm.errors import ScoringCancelled
from sleeplm.recording import Recording
from sleeplm.scoring import Event, Scorer, Scoring
from ui.app import FirstNights, _Page
from ui.sessions import OpenNight, PageSession

N_EPOCHS = 62
SCORED = Scoring(
    ("N2",) * N_EPOCHS,
    (Event("hypopnea", 100, 20),),
    scorer=Scorer("automatic", "stub"),
    start=datetime(2024, 3, 1, 23, 0),
)


class Slow:
    """Stands where the scoring process does; ends when it is let go or cancelled."""

    made: ClassVar[list["Slow"]] = []

    def __init__(self, recording: Recording, progress: Any) -> None:
        self.progress = progress
        self.may_end = threading.Event()
        self.cancelled = False
        Slow.made.append(self)

    def run(self) -> Scoring:
        self.progress("breathing by psgscoring", 0.4)
        assert self.may_end.wait(30)
        if self.cancelled:
            raise ScoringCancelled("automatic scoring was cancelled; choose automatic or model")
        return SCORED

    def cancel(self) -> None:
        self.cancelled = True
        self.may_end.set()


@pytest.fixture(autouse=True)
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Slow]]:
    Slow.made = []
    monkeypatch.setattr("sleeplm.autoscore.process.ScoringProcess", Slow)
    yield Slow.made
    for process in Slow.made:
        process.may_end.set()


@pytest.fixture
def night() -> Night:
    """31 minutes that nobody scored."""
    return recorded(N_EPOCHS)


def recorded(n_epochs: int) -> Night:
    eeg = np.random.default_rng(2).normal(0, 20, n_epochs * 1920).astype(np.float32)
    recording = Recording.from_signals({"EEG_C4_A1": eeg}, start=datetime(2024, 3, 1, 23, 0))
    return Night.from_recording(recording)


class Voice:
    """Answers "quick" without any scoring, everything else with one."""

    is_outside = False
    description = "planner"

    def stream(self, question: str, session: Any, thread: str) -> Iterator[Any]:
        yield ToolStarted(name="locate_events", args={"query": question}, id="1")
        text = "no scoring needed" if question == "quick" else session.scored().scorer.kind
        yield ToolFinished(
            id="1", name="locate_events", text=text, artifact=None, duration_s=0.1, error=None
        )
        yield Finished(Answer(answer=text))


class Opened:
    """A page whose loading runs in a thread, as in a browser."""

    def __init__(self, night: Night) -> None:
        self.page = _Page(FirstNights(lambda tell: [night]), Voice(), None, None)  # type: ignore[arg-type]
        self.steps: list[Any] = []
        self.thread = threading.Thread(target=self._load, daemon=True)
        self.thread.start()

    def _load(self) -> None:
        for step in self.page.load(""):
            self.steps.append(step)

    @property
    def key(self) -> str:
        return str(self.steps[-1][0])

    def until(self, holds: Any) -> Any:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for step in list(self.steps):
                if holds(step[1]):
                    return step[1]
            time.sleep(0.02)
        raise AssertionError([step[1].get("words") for step in self.steps])

    def at_rest(self) -> Any:
        self.thread.join(30)
        assert not self.thread.is_alive()
        return self.steps[-1][1]


def test_the_header_says_what_is_being_scored_and_then_who_scored_it(
    night: Night, slow: list[Slow]
) -> None:
    opened = Opened(night)
    header = opened.until(lambda header: header["words"] == "breathing by psgscoring")
    assert header["share"] == 0.4
    assert header["cancellable"]
    assert not any(step[1]["cancellable"] for step in opened.steps if "nights" not in step[1])
    slow[0].may_end.set()
    header = opened.at_rest()
    assert (header["scorer"], header["words"], header["cancellable"]) == ("automatic", "", False)
    assert opened.steps[-1][2]["scorer"] == "automatic"
    assert len(slow) == 1


def test_a_question_that_needs_no_scoring_is_answered_meanwhile_and_one_that_does_waits(
    night: Night, slow: list[Slow]
) -> None:
    opened = Opened(night)
    opened.until(lambda header: header["cancellable"])
    quick = list(opened.page.ask("quick", opened.key))[-1][1]
    assert quick[-1]["content"] == "no scoring needed"
    assert night.scoring_step is not None
    waited = []
    for _, chat, _ in opened.page.ask("how many?", opened.key):
        waited.append(chat)
        pending = chat[-1].get("metadata", {})
        if pending.get("status") == "pending" and "psgscoring" in chat[-1]["content"]:
            slow[0].may_end.set()
    assert any("breathing by psgscoring · 40%" in str(chat[-1].get("content")) for chat in waited)
    assert waited[-1][-1]["content"] == "automatic"
    opened.at_rest()


def test_cancelling_lets_the_page_and_a_waiting_question_go_and_choosing_begins_anew(
    night: Night, slow: list[Slow]
) -> None:
    opened = Opened(night)
    opened.until(lambda header: header["cancellable"])
    told: list[Any] = []
    asking = threading.Thread(
        target=lambda: told.extend(opened.page.ask("how many?", opened.key)), daemon=True
    )
    asking.start()
    assert opened.page.cancel(opened.key)["words"] == "stopping the automatic scoring"
    asking.join(30)
    assert "was cancelled" in told[-1][1][-1]["content"]
    header = opened.at_rest()
    assert header["scorer"] == ""
    assert header["words"] == ""
    assert "was cancelled" in header["error"]
    assert header["scorers"] == ["automatic", "model"]
    assert len(slow) == 1
    steps: list[Any] = []
    again = threading.Thread(
        target=lambda: steps.extend(opened.page.scorer_chosen("automatic", opened.key)),
        daemon=True,
    )
    again.start()
    deadline = time.monotonic() + 30
    while len(slow) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    slow[1].may_end.set()
    again.join(30)
    assert steps[-1][0]["scorer"] == "automatic"


def test_a_recording_too_short_to_score_is_shown_as_the_models_from_the_first_moment(
    slow: list[Slow],
) -> None:
    page = _Page(FirstNights(lambda tell: []), Voice(), None, None)  # type: ignore[arg-type]
    session = PageSession()
    session.add(OpenNight(recorded(20)))
    header = page.header_state(session)
    assert header["scorers"] == ["model"]
    assert header["scorer"] == "model"
    assert slow == []


def test_a_scoring_that_fails_leaves_the_header_naming_who_really_scored(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = _Page(FirstNights(lambda tell: []), Voice(), None, None)  # type: ignore[arg-type]
    session = PageSession()
    session.add(OpenNight(night))
    session.session.scoring = "automatic"
    assert page.header_state(session)["scorer"] == "automatic"
    night._automatic_failure = "automatic scoring failed on this recording (IndexError)"
    assert page.header_state(session)["scorer"] == "model"


def test_a_closed_session_stops_the_scoring_of_its_own_nights_only(
    night: Night, slow: list[Slow]
) -> None:
    shared, own = night, recorded(N_EPOCHS + 1)
    threads = []
    for one in (shared, own):
        one.scores_aside = True
        threads.append(threading.Thread(target=_asked, args=(one,), daemon=True))
        threads[-1].start()
    deadline = time.monotonic() + 30
    while len(slow) < 2 or not all(one.scoring_step for one in (shared, own)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    session = PageSession()
    session.add(OpenNight(shared))
    session.add(OpenNight(own, own=True))
    session.close()
    threads[1].join(30)
    assert own.scoring_cancelled
    assert not shared.scoring_cancelled
    assert shared.scoring_step is not None


def _asked(night: Night) -> None:
    try:
        _ = night.scoring
    except ScoringCancelled:
        return
