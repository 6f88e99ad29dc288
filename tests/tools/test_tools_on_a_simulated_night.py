"""The tools against the truth of a simulated night, counted here by other code."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from sleeplm.night import Night
from sleeplm.recording import Recording
from tools.session import Session
from train.simulate import SimulatedNight, simulate_night


@pytest.fixture(scope="module")
def simulated() -> SimulatedNight:
    return simulate_night(11, hours=1.5, ahi=40.0)


@pytest.fixture(scope="module")
def simulated_session(simulated: SimulatedNight, hand_made: Any) -> Session:
    recording = Recording.from_signals(simulated.signals, start=simulated.start)
    scripted = type(hand_made.night(None))
    night: Night = scripted.from_recording(
        recording, simulated.scoring, model=hand_made.night(None).model
    )
    return Session.of(night)


@pytest.mark.parametrize(
    "kind", ["obstructive_apnea", "central_apnea", "hypopnea", "desaturation", "arousal"]
)
def test_counts_and_stages_are_the_truths(
    simulated: SimulatedNight, simulated_session: Session, hand_made: Any, kind: str
) -> None:
    found = hand_made.call(simulated_session, "locate_events", query=kind, limit=200).artifact
    truth = [event for event in simulated.scoring.events if event.kind == kind]
    assert found.total == len(truth)
    assert [event.onset_s for event in found.events] == [
        pytest.approx(event.onset_s, abs=0.01) for event in truth
    ]
    stages: Counter[str] = Counter()
    for event in truth:
        first, last = int(event.onset_s // 30), int((event.onset_s + event.duration_s - 1e-9) // 30)
        under = simulated.scoring.stages[first : last + 1]
        stages[next((stage for stage in under if stage != "W"), under[0])] += 1
    assert found.by_stage == dict(stages)


def test_an_index_of_the_report_equals_the_rate_of_the_located_events(
    simulated_session: Session, hand_made: Any
) -> None:
    found = hand_made.call(simulated_session, "locate_events", query="respiratory events").artifact
    report = hand_made.call(simulated_session, "summarize_night").artifact
    assert found.total > 10
    assert found.per_hour == pytest.approx(report.summary.ahi.value, abs=0.01)


def test_every_system_is_described_with_plausible_measurements(
    simulated_session: Session, hand_made: Any
) -> None:
    ranges = {
        "brain": ("eeg_c3_delta_pct", 5, 95),
        "cardiac": ("ecg_rate_bpm", 40, 110),
        "respiratory": ("thx_rate_bpm", 8, 25),
        "somatic": ("emg_median_hz", 0, 32),
    }
    for system, (field, low, high) in ranges.items():
        found = hand_made.call(simulated_session, "describe_system", system=system).artifact
        medians = {measured.field: measured.median for measured in found.measured}
        assert low < medians[field] < high, system
        assert not found.missing
