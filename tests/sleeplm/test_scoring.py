"""The Scoring type: alignment by the clock, attribution of events, JSON."""

from datetime import datetime

import numpy as np
import pytest

from sleeplm.errors import ScoringError
from sleeplm.scoring import (
    EVENT_KINDS,
    Event,
    Scorer,
    Scoring,
    has_real_date,
    kinds_scored_with,
)

START = datetime(2024, 3, 1, 22, 0, 0)


def test_stage_that_is_not_on_the_list_is_refused_with_its_epoch():
    with pytest.raises(ScoringError, match="epoch 2: stage 'S2'"):
        Scoring(("W", "S2"))


@pytest.mark.parametrize(
    ("kind", "onset_s", "duration_s"),
    [("apnea", 1.0, 1.0), ("hypopnea", float("nan"), 1.0), ("hypopnea", 1.0, -1.0)],
)
def test_events_that_hold_nonsense_are_refused(kind, onset_s, duration_s):
    with pytest.raises(ScoringError):
        Event(kind, onset_s, duration_s)


def test_an_event_across_a_stage_edge_belongs_to_the_first_sleep_epoch_it_touches():
    scoring = Scoring(("W", "N2", "R"))
    assert scoring.sleep_stage_of(Event("hypopnea", 25.0, 10.0)) == "N2"
    assert scoring.sleep_stage_of(Event("hypopnea", 55.0, 10.0)) == "N2"
    assert scoring.sleep_stage_of(Event("hypopnea", 60.0, 10.0)) == "R"


def test_an_event_that_ends_on_the_edge_of_sleep_is_not_in_sleep():
    scoring = Scoring(("W", "N2", "W"))
    assert not scoring.in_sleep(Event("hypopnea", 20.0, 10.0))
    assert scoring.in_sleep(Event("hypopnea", 20.0, 10.1))
    assert not scoring.in_sleep(Event("hypopnea", 60.0, 12.0))
    assert scoring.in_sleep(Event("arousal", 30.0, 0.0))


def test_alignment_moves_stages_by_epochs_and_events_exactly():
    scoring = Scoring(
        ("N2", "R"),
        (Event("hypopnea", 10.0, 12.0),),
        start=datetime(2024, 3, 1, 22, 1, 2),
        lights_off_s=0.0,
    )
    moved = scoring.aligned(START, 5)
    assert moved.stages == ("unscored", "unscored", "N2", "R", "unscored")
    assert moved.events[0].onset_s == 72.0
    assert moved.lights_off_s == 62.0
    assert moved.offset_s == 62.0
    assert any("1.0 min after" in problem for problem in moved.problems)


def test_a_scoring_that_began_before_the_recording_loses_what_lies_before_it_and_says_so():
    scoring = Scoring(
        ("W", "N1", "N2", "R"),
        (Event("hypopnea", 10.0, 12.0), Event("arousal", 100.0, 3.0)),
        start=datetime(2024, 3, 1, 21, 59, 0),
    )
    moved = scoring.aligned(START, 2)
    assert moved.stages == ("N2", "R")
    assert [event.onset_s for event in moved.events] == [40.0]
    assert any("2 before its start" in problem for problem in moved.problems)
    assert any("1 scored events lie outside" in problem for problem in moved.problems)


def test_alignment_crosses_midnight():
    scoring = Scoring(("R",), start=datetime(2024, 3, 2, 0, 0, 30))
    assert scoring.aligned(START, 300).stages.index("R") == 241


def test_another_date_is_another_night():
    scoring = Scoring(("N2",) * 100, start=datetime(2024, 3, 5, 22, 0, 0))
    with pytest.raises(ScoringError, match="another night"):
        scoring.aligned(START, 100)


def test_a_placeholder_date_leaves_only_the_clock_time_to_align_by():
    scoring = Scoring(("N2",), start=datetime(1985, 1, 1, 22, 2, 0))
    assert not has_real_date(scoring.start)
    assert scoring.aligned(START, 6).stages.index("N2") == 4
    after_midnight = Scoring(("N2",), start=datetime(2000, 1, 1, 0, 0, 0))
    assert after_midnight.aligned(START, 300).stages.index("N2") == 240


def test_without_a_clock_a_scoring_much_longer_than_the_recording_is_of_another_night():
    with pytest.raises(ScoringError, match="no clock time"):
        Scoring(("N2",) * 121).aligned(START, 100)


def test_without_a_clock_a_slightly_longer_scoring_is_cut_and_reported():
    moved = Scoring(("N2",) * 105).aligned(None, 100)
    assert moved.n_epochs == 100
    assert any("5 after its end" in problem for problem in moved.problems)
    unscored_tail = Scoring(("N2",) * 100 + ("unscored",) * 90).aligned(None, 100)
    assert unscored_tail.problems == ()


def test_a_stated_recording_length_that_does_not_fit_is_of_another_night():
    scoring = Scoring(("N2",) * 120, start=START, meta={"recording_duration_s": 3600.0})
    assert scoring.aligned(START, 120).problems == ()
    with pytest.raises(ScoringError, match=r"60\.0 min, this one lasts 90\.0 min"):
        scoring.aligned(START, 180)


def test_epochs_that_nobody_scored_are_reported():
    moved = Scoring(("N2",) * 50).aligned(None, 100)
    assert any("50 of 100 epochs" in problem for problem in moved.problems)


def test_aligning_twice_changes_nothing():
    scoring = Scoring(
        ("N2", "R"), (Event("hypopnea", 10.0, 12.0),), start=datetime(2024, 3, 1, 22, 1, 0)
    )
    once = scoring.aligned(START, 6)
    twice = once.aligned(START, 6)
    assert (twice.stages, twice.events, twice.start) == (once.stages, once.events, once.start)


def test_probabilities_and_untyped_apneas_move_with_the_stages():
    scoring = Scoring(
        ("N2",),
        start=datetime(2024, 3, 1, 22, 0, 30),
        probabilities=np.array([[0, 0, 1, 0, 0]], dtype=np.float32),
        untyped_apneas=((5.0, 12.0), (500.0, 12.0)),
    )
    moved = scoring.aligned(START, 3)
    assert np.isnan(moved.probabilities[0]).all()
    assert moved.probabilities[1, 2] == 1
    assert moved.untyped_apneas == ((35.0, 12.0),)


def test_kinds_of_one_family_are_scored_together():
    assert kinds_scored_with({"hypopnea"}) == (
        "obstructive_apnea",
        "central_apnea",
        "mixed_apnea",
        "hypopnea",
        "rera",
    )
    assert kinds_scored_with(set()) == ()
    assert set(kinds_scored_with(EVENT_KINDS)) == set(EVENT_KINDS)


def test_none_of_a_kind_means_none_only_where_it_was_looked_for():
    assert Scoring(("N2",)).looked_for("plm")
    assert not Scoring(("N2",), has_events=False).looked_for("plm")
    assert not Scoring(("N2",), scored_kinds=("arousal",)).looked_for(("arousal", "plm"))


def test_json_keeps_everything():
    scoring = Scoring(
        ("W", "N2", "unscored"),
        (
            Event("desaturation", 31.5, 20.25, "SPO2", 0.75, {"baseline_pct": 96, "nadir_pct": 91}),
            Event("arousal", 40.0, 3.0),
        ),
        scorer=Scorer("automatic", "someone", "2"),
        start=START,
        lights_off_s=3.0,
        lights_on_s=80.0,
        scored_kinds=("desaturation", "arousal"),
        untyped_apneas=((33.0, 12.0),),
        problems=("one thing was left out",),
        probabilities=np.array([[1, 0, 0, 0, 0], [0, 0, 0.5, 0.25, 0.25], [np.nan] * 5]),
        meta={"seed": 7},
    )
    back = Scoring.from_json(scoring.to_json())
    assert back == scoring
    assert back.meta == scoring.meta
    assert back.problems == scoring.problems
    np.testing.assert_array_equal(back.probabilities, scoring.probabilities)
    assert back.events[0].evidence == scoring.events[0].evidence


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"stages": "W"',
        '{"stages": 3, "events": []}',
        '{"stages": ["W"], "events": [{"kind": "hypopnea"}]}',
        '{"stages": ["W"], "epoch_s": 20}',
        '{"stages": ["W"], "untyped_apneas": [3]}',
        '{"stages": ["asleep"]}',
    ],
)
def test_json_that_is_no_scoring_gets_one_line_with_its_name(text):
    with pytest.raises(ScoringError) as error:
        Scoring.from_json(text, "night.json")
    assert str(error.value).startswith("night.json: ")
    assert "\n" not in str(error.value)
