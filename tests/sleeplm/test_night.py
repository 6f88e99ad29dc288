"""A night: which witness speaks, on which clock, and that finished work is read back."""

import threading
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from sleeplm.errors import QueryError, ScoringError
from sleeplm.night import Located, Night, _joined, _one_breathing_event_at_a_time
from sleeplm.physiology import Quality
from sleeplm.recording import Recording
from sleeplm.scoring import Event, Scorer, Scoring

START = datetime(2024, 3, 1, 23, 58, 0)


class ScriptedModel:
    """Stands where a model does, with known answers, and keeps what it was asked."""

    model_id = "scripted@00000000"
    montage = ("EEG_C3_A2", "SPO2", "AF", "THX")
    event_kinds = ("obstructive_apnea", "central_apnea", "desaturation", "limb_movement")

    def __init__(self) -> None:
        self.asked: list[str] = []

    def prepare(self, recording: Recording) -> np.ndarray:
        return np.zeros((recording.n_epochs, len(self.montage), 1920), np.float32)

    def encode(self, signals: np.ndarray, progress: object = None) -> np.ndarray:
        self.asked.append("encode")
        return np.eye(len(signals), 8, dtype=np.float32)

    def stage_probabilities(self, signals: np.ndarray, progress: object = None) -> np.ndarray:
        self.asked.append("stages")
        return np.tile(np.array([[0.1, 0.1, 0.6, 0.1, 0.1]], np.float32), (len(signals), 1))

    def caption(self, signals: np.ndarray, system: str) -> list[str]:
        self.asked.append(f"caption {system} {len(signals)}")
        return [f"{system} text"] * len(signals)

    def event_phrase(self, kind: str) -> str:
        return kind.replace("_", " ")

    def locate(self, signals: np.ndarray, text: str) -> list[list[tuple[float, float, float]]]:
        self.asked.append(f"locate {text}")
        found: list[list[tuple[float, float, float]]] = [[] for _ in signals]
        if text == "obstructive apnea":
            found[0], found[1] = [(22.0, 30.0, 0.9)], [(0.0, 6.0, 0.7), (20.0, 24.0, 0.8)]
        if text == "central apnea":
            found[0], found[1] = [(24.0, 30.0, 0.6)], [(0.0, 5.0, 0.6)]
        return found


def recording(names: tuple[str, ...] = ("EEG_C3_A2", "SPO2", "AF", "THX")) -> Recording:
    rng = np.random.default_rng(0)
    signals = {name: rng.normal(size=4 * 1920).astype(np.float32) for name in names}
    if "SPO2" in signals:
        signals["SPO2"] = np.full(4 * 1920, 95.0, np.float32) + (np.arange(4 * 1920) % 2)
    return Recording.from_signals(signals, start=START)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> ScriptedModel:
    monkeypatch.setattr("sleeplm.reader.SleepLM", ScriptedModel)
    return ScriptedModel()


EXPERT = Scoring(("W", "N2", "N2", "R"), (Event("hypopnea", 40, 12),), start=START)


def test_the_expert_speaks_first_and_the_model_of_a_night_too_short_to_score(
    scripted: ScriptedModel,
) -> None:
    with_file = Night.from_recording(recording(), EXPERT, scripted)
    assert list(with_file.scorings) == ["expert", "model"]
    assert with_file.scoring.scorer.kind == "expert"
    assert scripted.asked == []
    alone = Night.from_recording(recording(), None, scripted)
    assert list(alone.scorings) == ["model"]
    assert alone.scoring.scorer.kind == "model"
    assert alone.scoring.stages == ("N2",) * 4
    with pytest.raises(ScoringError, match="no expert scoring; at hand: model"):
        alone.scoring_from("expert")


def test_the_model_reads_each_breath_once_and_joins_events_over_the_edge(
    scripted: ScriptedModel,
) -> None:
    events = Night.from_recording(recording(), None, scripted).scorings["model"].events
    # The central apnea overlaps a surer obstructive one; the 4-s span is no apnea by AASM.
    assert [(e.kind, e.onset_s, e.duration_s) for e in events] == [
        ("obstructive_apnea", 22.0, 14.0)
    ]
    assert "locate limb movement" not in scripted.asked


def test_what_no_channel_shows_is_not_read_and_said_so(scripted: ScriptedModel) -> None:
    night = Night.from_recording(recording(("AF", "THX")), None, scripted)
    scoring = night.scorings["model"]
    assert scoring.stages == ("unscored",) * 4
    assert "stages" not in scripted.asked
    assert "locate desaturation" not in scripted.asked
    assert any("no EEG" in problem for problem in scoring.problems)
    assert any(problem.startswith("desaturation: not read") for problem in scoring.problems)


def test_clock_goes_over_midnight_and_counts_from_the_start_without_one() -> None:
    night = Night.from_recording(recording(), EXPERT)
    assert night.clock(0) == "23:58:00"
    assert night.epoch_clock(3) == "23:59:30"
    assert night.clock(150) == "00:00:30"
    unknown = Recording.from_signals({"AF": np.random.default_rng(1).normal(size=1920)})
    assert Night.from_recording(unknown).clock(3725) == "+01:02:05"


def test_a_scoring_that_starts_later_is_moved_and_one_of_another_night_refused() -> None:
    later = Scoring(("N2", "N3"), (Event("arousal", 5, 4),), start=START + timedelta(seconds=60))
    scoring = Night.from_recording(recording(), later).scoring
    assert scoring.stages == ("unscored", "unscored", "N2", "N3")
    assert (scoring.offset_s, scoring.events[0].onset_s) == (60.0, 65.0)
    other = Scoring(("N2", "N3"), start=START + timedelta(days=3))
    with pytest.raises(ScoringError, match="of another night"):
        Night.from_recording(recording(), other)


def test_finished_work_is_read_back_by_content_and_model(
    scripted: ScriptedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLEEPLM_CACHE", str(tmp_path))
    first = Night(recording(), model=scripted)  # type: ignore[arg-type]
    first.embeddings()
    first.captions([1, 2], "brain")
    events = first.scorings["model"].events
    asked = list(scripted.asked)
    again = Night(recording(), model=scripted)  # type: ignore[arg-type]
    assert np.array_equal(again.embeddings(), first.embeddings())
    assert again.captions([2, 1], "brain") == ["brain text"] * 2
    assert again.scorings["model"].events == events
    assert scripted.asked == asked
    again.captions([0, 1], "brain")
    assert scripted.asked[-1] == "caption brain 1"
    other = Night(recording(("EEG_C3_A2", "AF", "THX")), model=scripted)  # type: ignore[arg-type]
    other.embeddings()
    assert scripted.asked[-1] == "encode"


def test_a_damaged_cache_entry_is_made_anew(
    scripted: ScriptedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLEEPLM_CACHE", str(tmp_path))
    Night(recording(), model=scripted).embeddings()  # type: ignore[arg-type]
    for entry in tmp_path.rglob("*.npy"):
        entry.write_bytes(b"half a file")
    night = Night(recording(), model=scripted)  # type: ignore[arg-type]
    assert night.embeddings().shape == (4, 8)


def test_an_epoch_outside_the_night_is_named_with_the_range(scripted: ScriptedModel) -> None:
    night = Night.from_recording(recording(), None, scripted)
    with pytest.raises(QueryError, match="epoch 5 is outside this night: it has epochs 1 to 4"):
        night.captions([4], "brain")


def test_spans_apart_stay_apart() -> None:
    assert _joined(
        [(20.0, 29.8, 0.5), (30.4, 33.0, 0.6), (40.0, 45.0, 0.9), (60.0, 62.0, 0.4)]
    ) == [
        Located(20.0, 13.0, 0.6),
        Located(40.0, 5.0, 0.9),
        Located(60.0, 2.0, 0.4),
    ]
    assert len(_joined([(5.0, 10.0, 0.5), (10.2, 14.0, 0.5)])) == 2


def test_other_kinds_may_lie_within_a_breathing_event() -> None:
    events = [
        Event("hypopnea", 0, 20, confidence=0.5),
        Event("obstructive_apnea", 5, 12, confidence=0.6),
        Event("arousal", 15, 5, confidence=0.9),
        Event("hypopnea", 40, 15, confidence=0.4),
    ]
    kept = sorted(_one_breathing_event_at_a_time(events), key=lambda event: event.onset_s)
    assert [event.kind for event in kept] == ["obstructive_apnea", "arousal", "hypopnea"]


AUTOMATIC = Scoring(
    ("N2",) * 60,
    (Event("obstructive_apnea", 100, 20, rule="aasm_apnea"),),
    scorer=Scorer("automatic", "stub"),
    start=START,
)


def half_hour() -> Recording:
    rng = np.random.default_rng(3)
    signals = {"EEG_C3_A2": rng.normal(size=60 * 1920).astype(np.float32)}
    return Recording.from_signals(signals, start=START)


@pytest.fixture
def scored_by(monkeypatch: pytest.MonkeyPatch) -> list[Recording]:
    """Stands where YASA and psgscoring do, and keeps what it was given."""
    given: list[Recording] = []

    def score(recording: Recording, *, progress: object = None) -> Scoring:
        given.append(recording)
        return AUTOMATIC

    monkeypatch.setattr("sleeplm.autoscore.autoscore", score)
    return given


def test_a_night_without_a_file_is_scored_automatically_and_only_when_asked(
    scripted: ScriptedModel, scored_by: list[Recording]
) -> None:
    night = Night.from_recording(half_hour(), None, scripted)
    assert list(night.scorings) == ["automatic", "model"]
    assert "automatic" in night.scorings
    assert night.at_hand("automatic") is night.at_hand("model") is night.at_hand("expert") is False
    assert scored_by == []
    assert night.scoring.scorer.kind == "automatic"
    assert night.scoring.events_of("obstructive_apnea")[0].rule == "aasm_apnea"
    assert len(scored_by) == 1
    assert night.at_hand("automatic")
    assert scripted.asked == []
    assert night.scoring_from("model").scorer.kind == "model"


def test_an_automatic_scoring_is_read_back_without_a_model_being_loaded(
    scored_by: list[Recording], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLEEPLM_CACHE", str(tmp_path))
    first = Night(half_hour(), model="/no/such/weights").scoring
    again = Night(half_hour(), model="/no/such/weights")
    assert again.at_hand("automatic")
    assert again.scoring == first
    assert len(scored_by) == 1
    monkeypatch.setattr("sleeplm.autoscore.method_versions", lambda: "yasa 9")
    assert not Night(half_hour(), model="/no/such/weights").at_hand("automatic")


def test_where_automatic_scoring_fails_the_model_speaks_and_the_reason_is_kept(
    scripted: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(recording: Recording, *, progress: object = None) -> Scoring:
        raise IndexError("boundary index out of range")

    monkeypatch.setattr("sleeplm.autoscore.autoscore", fail)
    night = Night.from_recording(half_hour(), None, scripted)
    assert night.scoring.scorer.kind == "model"
    assert list(night.scorings) == ["model"]
    assert any("failed on this recording (IndexError)" in problem for problem in night.problems)
    with pytest.raises(ScoringError, match=r"no automatic scoring \(automatic scoring failed"):
        night.scoring_from("automatic")


def test_a_summary_compares_the_witnesses_that_have_spoken_and_all_when_asked_to(
    scripted: ScriptedModel, scored_by: list[Recording]
) -> None:
    expert = Scoring(("W",) * 20 + ("N2",) * 40, start=START)
    night = Night.from_recording(half_hour(), expert, scripted)
    assert night.summary().agreement is None
    assert scored_by == []
    agreement = night.summary(compare=True).agreement
    assert agreement is not None
    assert set(agreement) == {"automatic", "model", "automatic/model"}
    assert agreement["automatic"].agreement_percent == pytest.approx(100 * 40 / 60)
    assert night.summary("automatic").scorer["kind"] == "automatic"


def test_a_question_that_needs_no_scoring_does_not_wait_for_one(
    scripted: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slow(recording: Recording, *, progress: object = None) -> Scoring:
        begun.set()
        assert may_end.wait(20)
        return AUTOMATIC

    monkeypatch.setattr("sleeplm.autoscore.autoscore", slow)
    night = Night.from_recording(half_hour(), None, scripted)
    worker = threading.Thread(target=lambda: night.scoring)
    worker.start()
    assert begun.wait(20)
    assert night.captions([0], "brain") == ["brain text"]
    assert night.embeddings().shape == (60, 8)
    may_end.set()
    worker.join(20)
    assert night.at_hand("automatic")


def test_hum_of_the_mains_is_measured_from_the_file_as_it_was_recorded(make_edf) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(3)
    time_s = np.arange(120 * 200) / 200
    eeg = 20.0 * rng.standard_normal(len(time_s))
    eeg += np.where(time_s < 60, 60 * np.sin(2 * np.pi * 50 * time_s), 0.0)
    path = make_edf([("C4-A1", "uV", 200, eeg)])
    night = Night.open(path, cache=False)
    found = night.measurements().signal_quality.stretches("EEG_C4_A1", Quality.MAINS)
    assert [(stretch.onset_s, stretch.duration_s) for stretch in found] == [(0.0, 60.0)]
    gone = Night.open(path, cache=False)
    path.unlink()
    assert "EEG_C4_A1" in gone.measurements().signal_quality.not_judged
