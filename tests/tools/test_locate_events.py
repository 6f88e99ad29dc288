"""Counts, order, depth and scope of located events against a scoring counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sleeplm.scoring import Event, Scorer
from tools.artifacts import EventList
from tools.session import Session
from tools.vocabulary import read_query


def test_counts_equal_those_made_by_hand(ask: Any) -> None:
    message = ask("locate_events", query="obstructive apneas")
    found = message.artifact
    assert isinstance(found, EventList)
    assert message.status == "success"
    assert (found.total, found.in_sleep, found.outside_sleep) == (5, 4, 1)
    assert found.by_stage == {"N2": 2, "W": 1, "N3": 1, "R": 1}
    assert found.by_position == {"supine": 4, "left": 1}
    # 200 of 240 epochs are sleep: 100 minutes.
    assert found.sleep_hours == pytest.approx(100 / 60, abs=1e-3)
    assert found.per_hour == pytest.approx(4 / (100 / 60), abs=0.01)
    assert found.per_hour_by_stage["N3"] == pytest.approx(3.0)  # 1 in 20 min
    assert found.source == "expert"


def test_the_text_states_every_count_with_source_epoch_and_clock(ask: Any) -> None:
    text = ask("locate_events", query="OA").content
    assert "5 obstructive apneas [expert]" in text
    assert "4 during sleep, 2.4 per hour of sleep (1.67 h of sleep); 1 outside sleep" in text
    assert "Longest 58.0 s at 23:50:10 (epoch 101, N3)" in text


def test_evidence_carries_epoch_numbers_from_one(ask: Any) -> None:
    found = ask("locate_events", query="arousal").artifact
    assert [event.epoch for event in found.events] == [32]
    cited = next(fact for fact in found.evidence if fact.kind == "event")
    assert (cited.epoch, cited.onset_s, cited.end_s, cited.clock) == (32, 940.0, 945.0, "23:15:40")


@pytest.mark.parametrize(
    ("query", "total"),
    [
        ("apneas", 6),
        ("respiratory events", 8),
        ("apneas and hypopneas", 8),
        ("breathing pauses", 6),
        ("hypopnoea", 2),
        ("CA", 1),
        ("desats", 1),
        ("leg movements", 0),
    ],
)
def test_words_and_abbreviations_name_kinds(ask: Any, query: str, total: int) -> None:
    assert ask("locate_events", query=query).artifact.total == total


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ("obstructive and central apneas", ("obstructive_apnea", "central_apnea")),
        (
            "apnea-hypopnea events",
            ("obstructive_apnea", "central_apnea", "mixed_apnea", "hypopnea"),
        ),
        ("respiratory effort-related arousals", ("rera",)),
        ("periodic leg movements", ("plm",)),
        ("limb_movement", ("limb_movement",)),
        ("oxygen saturation drops", ("desaturation",)),
        ("OSA", ("obstructive_apnea",)),
        ("Entsättigungen", ("desaturation",)),
        ("sleep spindles", ("spindle",)),
        ("changes of position", ("position_change",)),
        ("slow wave sleep", ()),
        ("cardiac arrest", ()),
    ],
)
def test_query_words_map_through_the_allow_list(query: str, kinds: tuple[str, ...]) -> None:
    assert read_query(query).kinds == kinds


def test_thresholds_in_words_act_like_arguments(ask: Any) -> None:
    worded = ask("locate_events", query="obstructive apneas of at least 25 s").artifact
    stated = ask("locate_events", query="obstructive apnea", min_duration_s=25).artifact
    assert worded.total == stated.total == 3
    deep = ask("locate_events", query="respiratory events below 85 %").artifact
    assert {(event.kind, event.nadir_pct) for event in deep.events} == {
        ("obstructive_apnea", 84.0),
        ("hypopnea", 80.0),
    }


def test_nadir_comes_from_the_scored_desaturation_else_from_the_oximeter(ask: Any) -> None:
    found = ask("locate_events", query="respiratory events", order="deepest").artifact
    first, second = found.events[:2]
    assert (first.kind, first.nadir_pct, first.nadir_source) == ("hypopnea", 80.0, "measured")
    assert (second.onset_s, second.nadir_pct, second.nadir_source) == (900.0, 84.0, "expert")


def test_order_and_limit_shape_the_list_but_not_the_counts(ask: Any) -> None:
    found = ask("locate_events", query="obstructive apnea", order="longest", limit=2).artifact
    assert [event.duration_s for event in found.events] == [58.0, 30.0]
    assert found.total == 5


def test_halves_add_up_to_the_whole(ask: Any) -> None:
    totals = [
        ask("locate_events", query="respiratory events", when={"part": part}).artifact.total
        for part in ("first_half", "second_half", "whole")
    ]
    assert totals == [6, 2, 8]


def test_an_event_that_began_before_the_range_is_named_and_not_counted(ask: Any) -> None:
    message = ask("locate_events", query="obstructive apnea", when={"epochs": [21, 31]})
    assert message.artifact.total == 1
    assert [event.onset_s for event in message.artifact.reaching_in] == [595.0]
    assert "1 more began before this part" in message.content


def test_stage_filter_counts_an_event_under_its_first_sleep_stage(ask: Any) -> None:
    found = ask("locate_events", query="obstructive apnea", when={"stage": "N2"}).artifact
    assert [event.onset_s for event in found.events] == [595.0, 900.0]
    assert found.sleep_hours == pytest.approx(1.0)  # 120 epochs of N2


def test_position_filter_takes_measured_positions(ask: Any) -> None:
    found = ask("locate_events", query="obstructive apnea", when={"position": "left"}).artifact
    assert [event.onset_s for event in found.events] == [4300.0]


def test_other_words_are_searched_by_the_model_and_say_so(ask: Any) -> None:
    message = ask("locate_events", query="sleep spindles", when={"epochs": [1, 100]})
    found = message.artifact
    assert found.source == "model"
    assert found.kinds == []
    assert [(event.epoch, event.kind) for event in found.events] == [
        (31, "described"),
        (81, "described"),
    ]
    assert "[model]" in message.content
    assert "no probabilities" in message.content


def test_a_hypnogram_without_events_leaves_events_to_the_model(hand_made: Any) -> None:
    signals = {name: hand_made.signals()["SPO2"] for name in ("SPO2", "AF", "THX")}
    night = hand_made.night(hand_made.scoring(events=(), has_events=False), **signals)
    message = hand_made.call(Session.of(night), "locate_events", query="obstructive apnea")
    found = message.artifact
    assert found.source == "model"
    assert found.total == 5  # indices 30, 80, 130, 180, 230
    assert found.by_stage == {"N2": 3, "N3": 1, "W": 1}  # the expert's stages
    assert "expert scoring did not look for obstructive apneas" in message.content


def test_desaturations_nobody_looked_for_are_measured(hand_made: Any) -> None:
    night = hand_made.night(hand_made.scoring(events=(), has_events=False))
    message = hand_made.call(Session.of(night), "locate_events", query="desaturation")
    found = message.artifact
    assert (found.source, found.total) == ("measured", 1)
    assert 5500 < found.events[0].onset_s < 5518
    assert (found.events[0].nadir_pct, found.events[0].nadir_source) == (80.0, "measured")
    assert "falls of SpO2 by at least 3 points" in message.content


def test_the_models_events_say_which_of_them_the_expert_saw(hand_made: Any) -> None:
    signals = {name: hand_made.signals()["SPO2"] for name in ("EEG_C3_A2", "AF", "THX")}
    night = hand_made.night(hand_made.scoring(), **signals)
    session = Session.of(night, scoring="model")
    message = hand_made.call(session, "locate_events", query="obstructive apnea")
    found = message.artifact
    # The model finds 903-915, 2403-2415, 3903-3915, 5403-5415, 6903-6915 s.
    seen = [(event.onset_s, event.also_seen_by) for event in found.events if event.also_seen_by]
    assert seen == [(903.0, ["expert"])]
    assert found.other_sources == {"expert": 5}
    assert (
        "The expert scoring has 5 here (2.4 per hour of its sleep) [expert]; 1 of the 5 overlap"
        in message.content
    )
    assert "not the expert's" in message.content


def test_a_night_nobody_scored_is_answered_by_the_model_and_says_so(hand_made: Any) -> None:
    signals = {name: hand_made.signals()["SPO2"] for name in ("EEG_C3_A2", "AF", "THX")}
    message = hand_made.call(
        Session.of(hand_made.night(None, **signals)), "locate_events", query="obstructive apnea"
    )
    assert message.artifact.source == "model"
    assert "Nobody scored this night" in message.content


def test_leg_movements_that_nobody_scored_cannot_be_read(hand_made: Any) -> None:
    signals = {name: hand_made.signals()["SPO2"] for name in ("EEG_C3_A2", "AF", "THX")}
    session = Session.of(hand_made.night(None, **signals))
    message = hand_made.call(session, "locate_events", query="leg movements")
    assert message.artifact.error == "cannot"
    assert "no leg channel" in message.content


def test_events_whose_channels_are_missing_cannot_be_read(hand_made: Any) -> None:
    night = hand_made.night(None, EEG_C3_A2=hand_made.signals()["SPO2"])
    message = hand_made.call(Session.of(night), "locate_events", query="obstructive apnea")
    assert message.status == "error"
    assert message.artifact.error == "cannot"
    assert message.content.startswith("Cannot be done, tell the user why:")
    assert "AF" in message.content


def test_zero_of_an_unscored_kind_is_not_called_none(hand_made: Any) -> None:
    scoring = hand_made.scoring(scored_kinds=("obstructive_apnea", "plm"))
    session = Session.of(hand_made.night(scoring))
    message = hand_made.call(session, "locate_events", query="leg movements")
    assert "Not looked for by this scoring: limb movements" in message.content


def test_limits_of_duration_and_depth_are_counted_by_hand(ask: Any) -> None:
    short = ask("locate_events", query="obstructive apnea", max_duration_s=20).artifact
    assert sorted(event.duration_s for event in short.events) == [15.0, 20.0]
    between = ask("locate_events", query="apnea", min_duration_s=15, max_duration_s=25).artifact
    assert sorted(event.duration_s for event in between.events) == [15.0, 20.0, 25.0]
    # SpO2 rests at 96 % and falls to 80 % with the hypopnea at 5500 s only.
    deep = ask("locate_events", query="hypopnea", min_depth_pct=10).artifact
    assert [(event.onset_s, event.depth_pct) for event in deep.events] == [(5500.0, 16.0)]
    assert "with a fall of SpO2 of at least 10 %" in deep.text


@pytest.mark.parametrize(
    ("query", "limits"),
    [
        ("apneas shorter than 15 s", (None, 15.0, None, None)),
        ("apneas longer than half", (None, None, None, None)),
        ("apneas of at least 1 min", (60.0, None, None, None)),
        ("desaturations below 85 %", (None, None, 85.0, None)),
        ("desaturations of at least 4 %", (None, None, None, 4.0)),
        ("desaturations deeper than 10 points", (None, None, None, 10.0)),
    ],
)
def test_limits_in_words(query: str, limits: tuple[float | None, ...]) -> None:
    read = read_query(query)
    found = (read.min_duration_s, read.max_duration_s, read.max_nadir_pct, read.min_depth_pct)
    assert found == limits


def test_position_changes_are_measured(ask: Any) -> None:
    found = ask("locate_events", query="position change").artifact
    # Supine for 120 epochs, then on the left.
    assert [(event.onset_s, event.detail) for event in found.events] == [
        (3600.0, "from supine to left")
    ]
    assert found.source == "measured"
    assert "held for at least 15 s" in found.text


def test_a_fast_heart_is_measured_where_nobody_looked_for_it(hand_made: Any) -> None:
    signals = hand_made.signals()
    pulse = signals["HR"].copy()
    pulse[3000 * 64 : 3040 * 64] = 110.0  # 40 s: sustained
    pulse[4000 * 64 : 4020 * 64] = 120.0  # 20 s: not
    night = hand_made.night(
        hand_made.scoring(scored_kinds=("obstructive_apnea", "hypopnea")),
        **{**signals, "HR": pulse},
    )
    found = hand_made.call(Session.of(night), "locate_events", query="tachycardia").artifact
    assert [(event.onset_s, event.duration_s) for event in found.events] == [(3000.0, 40.0)]
    assert found.events[0].detail == "rate 110.0 bpm"
    assert found.source == "measured"
    slow = hand_made.call(Session.of(night), "locate_events", query="bradycardia").artifact
    assert (slow.total, slow.source) == (0, "measured")


def test_without_a_position_channel_changes_of_it_cannot_be_counted(hand_made: Any) -> None:
    night = hand_made.night(hand_made.scoring(), SPO2=hand_made.signals()["SPO2"])
    message = hand_made.call(Session.of(night), "locate_events", query="position changes")
    assert message.artifact.error == "cannot"


def test_a_flat_channel_is_an_artifact(hand_made: Any) -> None:
    signals = hand_made.signals()
    eeg = np.random.default_rng(0).normal(0, 20, len(signals["HR"])).astype(np.float32)
    eeg[10 * 1920 : 12 * 1920] = 0.0
    night = hand_made.night(
        hand_made.scoring(scored_kinds=("hypopnea",)), EEG_C3_A2=eeg, SPO2=signals["SPO2"]
    )
    found = hand_made.call(Session.of(night), "locate_events", query="artifacts").artifact
    flat = [event for event in found.events if event.channel == "EEG_C3_A2"]
    assert [(event.onset_s, event.duration_s) for event in flat] == [(300.0, 60.0)]


def test_another_witness_is_counted_in_the_same_part_with_the_same_limits(hand_made: Any) -> None:
    night = hand_made.night(hand_made.scoring())
    night.recording.signals["EEG_C3_A2"] = np.zeros_like(night.recording.signals["SPO2"])
    night._kept["automatic_scoring"] = hand_made.scoring(
        scorer=Scorer("automatic", "another"),
        events=(
            Event("obstructive_apnea", 905.0, 28.0),  # overlaps the expert's at 900 s, in N2
            Event("obstructive_apnea", 2000.0, 12.0),  # too short for the limit
            Event("obstructive_apnea", 4300.0, 30.0),  # in R
        ),
    )
    found = hand_made.call(
        Session.of(night),
        "locate_events",
        query="obstructive apnea",
        when={"stage": "N2"},
        min_duration_s=20,
    ).artifact
    assert found.other_sources == {"automatic": 1}
    assert [event.also_seen_by for event in found.events] == [["automatic"]]


def test_events_with_and_without_another_are_told_apart_by_time(ask: Any) -> None:
    # The arousal at 940 s follows the apnea of 900-930 s by 10 s: too late to go with it.
    assert ask("locate_events", query="arousal", with_event="apnea").artifact.total == 0
    assert ask("locate_events", query="arousal", without_event="apnea").artifact.total == 1
    # The desaturation at 920 s begins within the apnea.
    found = ask("locate_events", query="desaturation", with_event="apnea").artifact
    assert found.total == 1
    assert "with obstructive apneas, central apneas, mixed apneas [expert]" in found.text
    assert "no proof of a cause" in found.text
    # Of five obstructive apneas the one at 900 s has a desaturation.
    alone = ask("locate_events", query="obstructive apnea", without_event="desaturation").artifact
    assert [event.onset_s for event in alone.events] == [100.0, 595.0, 3010.0, 4300.0]


def test_company_that_is_no_scored_event_is_sent_back(ask: Any) -> None:
    message = ask("locate_events", query="arousal", with_event="a loud noise")
    assert message.artifact.error == "try_again"
    assert "must name scored events" in message.content


def test_events_that_one_scorer_alone_holds(hand_made: Any) -> None:
    night = hand_made.night(hand_made.scoring())
    night.recording.signals["EEG_C3_A2"] = np.zeros_like(night.recording.signals["SPO2"])
    night._kept["automatic_scoring"] = hand_made.scoring(
        scorer=Scorer("automatic", "another"), events=(Event("hypopnea", 1505.0, 30.0),)
    )
    session = Session.of(night)
    alone = hand_made.call(session, "locate_events", query="hypopnea", seen_by="one").artifact
    assert [event.onset_s for event in alone.events] == [5500.0]
    both = hand_made.call(session, "locate_events", query="hypopnea", seen_by="all").artifact
    assert [event.onset_s for event in both.events] == [1500.0]


def test_one_scoring_cannot_disagree_with_itself(ask: Any) -> None:
    message = ask("locate_events", query="hypopnea", seen_by="one")
    assert message.artifact.error == "cannot"
