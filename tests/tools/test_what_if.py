"""What if, why, and is it real: suppositions, measured terms of events, and what goes with what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sleeplm.scoring import Event
from tools.session import Session

RATE_HZ = 64


def breathing(seconds: int, pauses: dict[tuple[int, int], float]) -> np.ndarray:
    """A sine of 15 breaths a minute whose amplitude is multiplied between two times."""
    time_s = np.arange(seconds * RATE_HZ) / RATE_HZ
    trace = np.sin(2 * np.pi * time_s / 4.0)
    for (start, stop), factor in pauses.items():
        trace[start * RATE_HZ : stop * RATE_HZ] *= factor
    return trace.astype(np.float32)


@pytest.fixture(scope="module")
def breathed(hand_made: Any) -> Session:
    """Three apneas of 40 s: effort stays, ceases, and ceases for the first half."""
    seconds = 240 * 30
    airflow = breathing(seconds, {(1000, 1040): 0.05, (2000, 2040): 0.05, (3000, 3040): 0.05})
    belt = breathing(seconds, {(2000, 2040): 0.05, (3000, 3020): 0.05})
    signals = {**hand_made.signals(), "AF": airflow, "THX": belt, "ABD": belt}
    events = (
        Event("obstructive_apnea", 1000.0, 40.0),
        Event("central_apnea", 2000.0, 40.0),
        Event("mixed_apnea", 3000.0, 40.0),
        Event("hypopnea", 5500.0, 22.0),
    )
    return Session.of(hand_made.night(hand_made.scoring(events=events), **signals))


def test_why_an_apnea_is_central_is_measured_in_its_halves(
    breathed: Session, hand_made: Any
) -> None:
    found = hand_made.call(breathed, "locate_events", query="apnea", explain=True)
    terms = {event.kind: event.terms for event in found.artifact.events}
    assert {kind: one.effort for kind, one in terms.items()} == {
        "obstructive_apnea": "present",
        "central_apnea": "absent",
        "mixed_apnea": "returns",
    }
    # The flow falls to 5 % in each of them; effort in the second half of the mixed one is whole.
    assert terms["central_apnea"].flow_reduction_pct == pytest.approx(95.0, abs=2.0)
    assert terms["mixed_apnea"].thorax_effort_pct == pytest.approx([5.0, 100.0], abs=3.0)
    assert "effort absent throughout, as in a central event" in found.content
    plain = hand_made.call(breathed, "locate_events", query="apnea").artifact
    assert all(event.terms is None for event in plain.events)


def test_terms_that_cannot_be_measured_are_said_to_be_missing(
    hand_made: Any, session: Session
) -> None:
    # The hand-made night has no airflow and no belts.
    found = hand_made.call(session, "locate_events", query="central apnea", explain=True).artifact
    assert found.events[0].terms.effort is None
    assert "airflow not measurable here" in found.events[0].terms.text
    assert "effort not measurable here" in found.events[0].terms.text


def test_a_nadir_is_real_unless_the_signal_around_it_is_bad(
    breathed: Session, hand_made: Any
) -> None:
    good = hand_made.call(breathed, "locate_events", query="hypopnea", explain=True)
    (event,) = good.artifact.events
    assert event.nadir_pct == pytest.approx(80.0)
    assert event.terms.nadir_doubts == []
    assert "nothing in the signal speaks against" in good.content
    # A sensor that drops to 0 within the same fall makes its nadir doubtful.
    signals = hand_made.signals()
    signals["SPO2"][5521 * RATE_HZ : 5524 * RATE_HZ] = 0.0
    slipped = Session.of(hand_made.night(hand_made.scoring(), **signals))
    bad = hand_made.call(
        slipped, "locate_events", query="hypopnea", order="deepest", limit=1, explain=True
    )
    assert bad.artifact.events[0].terms.nadir_doubts
    assert "is in doubt: no plausible value for" in bad.content


def test_arousals_are_told_apart_by_what_they_go_with(hand_made: Any) -> None:
    events = (
        Event("hypopnea", 900.0, 20.0),
        Event("arousal", 922.0, 5.0),  # 2 s after the hypopnea
        Event("arousal", 1500.0, 5.0),  # in a leg movement
        Event("limb_movement", 1499.0, 3.0),
        Event("arousal", 2000.0, 5.0),  # both
        Event("obstructive_apnea", 1980.0, 19.0),
        Event("limb_movement", 2001.0, 2.0),
        Event("arousal", 2500.0, 5.0),  # neither: 6 s after the end of a hypopnea
        Event("hypopnea", 2474.0, 20.0),
    )
    session = Session.of(hand_made.night(hand_made.scoring(events=events)))
    found = hand_made.call(session, "locate_events", query="arousals")
    assert found.artifact.by_company == {"breathing": 1, "legs": 1, "both": 1, "neither": 1}
    assert "no proof of a cause" in found.content
    # Where nobody looked for leg movements, that is said.
    some = hand_made.scoring(events=events[:2], scored_kinds=("hypopnea", "arousal"))
    partly = hand_made.call(Session.of(hand_made.night(some)), "locate_events", query="arousal")
    assert partly.artifact.by_company == {"breathing": 1, "neither": 0}
    assert "leg movements were not looked for" in partly.content


def test_events_are_counted_by_the_hour(ask: Any) -> None:
    found = ask("locate_events", query="apnea or hypopnea").artifact
    # In sleep: 595, 900, 1200, 1500 and 3010 s in the first hour, 4300 and 5500 in the second.
    assert found.by_hour == {"23:00:00": 5, "00:00:00": 2}
    assert sum(found.by_hour.values()) == found.in_sleep


def test_lights_off_can_be_moved_by_minutes(ask: Any) -> None:
    found = ask("summarize_night", sections=["sleep"], lights_off_shift_min=5).artifact
    # Not stated, so from the start: 23:05; sleep begins at 23:10.
    assert found.supposed == ["lights off at 23:05:00"]
    assert found.summary.sleep_onset_latency.value == pytest.approx(5.0)
    beyond = ask("summarize_night", lights_off_shift_min=700)
    assert beyond.artifact.error == "try_again"
    assert "0 to 120 min" in beyond.content
    both = ask("summarize_night", lights_off_shift_min=5, lights_off="23:05")
    assert both.artifact.error == "try_again"


def test_the_unplugged_hour_can_be_left_out(hand_made: Any) -> None:
    signals = hand_made.signals()
    signals["SPO2"][3000 * RATE_HZ : 4200 * RATE_HZ] = 0.0  # epochs 101-140, N3
    session = Session.of(hand_made.night(hand_made.scoring(), **signals))
    found = hand_made.call(session, "summarize_night", leave_out_bad="SPO2").artifact
    assert found.summary.tst.value == pytest.approx(80.0)
    assert found.summary.ahi.value == pytest.approx(6 / (80 / 60), abs=0.01)
    assert found.as_it_is["ahi"] == pytest.approx(4.2, abs=0.01)
    for channel, reason in (("AF", "not recorded"), ("HR", "usable in every epoch")):
        message = hand_made.call(session, "summarize_night", leave_out_bad=channel)
        assert message.artifact.error == "cannot"
        assert reason in message.content
    wrong = hand_made.call(session, "summarize_night", leave_out_bad="LEG_L")
    assert wrong.artifact.error == "try_again"
    assert "'SPO2', 'AF'" in wrong.content


def test_the_events_that_hold_the_class_are_named_weakest_first(hand_made: Any) -> None:
    # 100 min of sleep: 9 events are 5.4/h (mild), 8 are 4.8/h (none): one fewer.
    events = [Event("hypopnea", 700.0 + 300 * i, 20.0 + i) for i in range(9)]
    session = Session.of(hand_made.night(hand_made.scoring(events=tuple(events))))
    found = hand_made.call(session, "summarize_night", sections=["respiratory"]).artifact
    assert "1 fewer breathing events would make it none" in found.margin
    # SpO2 is level, so the shortest is the weakest.
    assert [event.duration_s for event in found.margin_events] == [20.0]
    assert "SpO2 falls by 0.0 points" in found.text
    calm = hand_made.call(
        Session.of(hand_made.night(hand_made.scoring())), "summarize_night"
    ).artifact
    assert calm.margin_events == []


def test_a_system_is_described_around_events(ask: Any) -> None:
    found = ask("describe_system", system="cardiac", when={"around_event": "central apnea"})
    # 1200-1212 s lies in epoch 41; one on either side.
    assert (found.artifact.scope.first_epoch, found.artifact.scope.last_epoch) == (40, 42)
    assert "around 1 central apnea events" in found.content
    none = ask("describe_system", system="cardiac", when={"around_event": "mixed apnea"})
    assert none.artifact.error == "cannot"
    odd = ask("describe_system", system="cardiac", when={"around_event": "joy"})
    assert odd.artifact.error == "try_again"


def test_another_rule_and_another_denominator_are_answered(ask: Any) -> None:
    found = ask("summarize_night", sections=["respiratory"]).artifact
    # By rule 1B only the hypopnea with the fall to 80 % stays: 5 apneas in sleep and 1 in 100 min.
    assert found.summary.ahi_1b.value == pytest.approx(6 / (100 / 60), abs=0.01)
    off_back = ask("summarize_night", leave_out={"position": "supine"}).artifact
    assert off_back.summary.tst.value == pytest.approx(50.0)
    assert "without supine position" in off_back.supposed[0]


@pytest.mark.parametrize(
    ("tool", "arguments", "allowed"),
    [
        ("describe_system", {"system": "kidney"}, "'brain', 'cardiac', 'respiratory'"),
        ("describe_system", {}, "system: Field required"),
        ("describe_system", {"system": "brain", "when": {"epochs": [5, 2]}}, "from 1 to 240"),
        ("describe_system", {"system": "brain", "when": {"part": "middle"}}, "'first_half'"),
        ("describe_system", {"system": "brain", "when": {"clock_from": "noon"}}, "HH:MM"),
        ("describe_system", {"system": "brain", "when": {"clock_from": "14:00",
                                                         "clock_to": "15:00"}}, "23:00:00"),
        ("locate_events", {}, "query: Field required"),
        ("locate_events", {"query": ""}, "at least 1 character"),
        ("locate_events", {"query": "apnea", "limit": 0}, "greater than or equal to 1"),
        ("locate_events", {"query": "apnea", "order": "random"}, "'time', 'longest'"),
        ("locate_events", {"query": "apnea", "min_duration_s": -1}, "greater than or equal to 0"),
        ("locate_events", {"query": "apnea", "max_nadir_pct": 150}, "less than or equal to 100"),
        ("locate_events", {"query": "apnea", "seen_by": "two"}, "'all' or 'one'"),
        ("locate_events", {"query": "apnea", "with_event": "joy"}, "such as 'apnea or hypopnea'"),
        ("locate_events", {"query": "apnea", "when": {"rem_period": 0}}, "greater than or equal"),
        ("locate_events", {"query": "apnea", "when": {"moon": "full"}}, "not permitted"),
        ("summarize_night", {"sections": ["dreams"]}, "'recording', 'sleep'"),
        ("summarize_night", {"lights_off": "25:99"}, "59 minutes"),
        ("summarize_night", {"lights_off": "23:50", "lights_on": "23:20"}, "not after lights off"),
        ("compare_nights", {"other": "night-12345678"}, ""),
        ("explain_term", {"term": ""}, "at least 1 character"),
        ("explain_term", {"term": "hypopna"}, "did you mean hypopnea"),
        ("explain_term", {}, "term: Field required"),
    ],
)  # fmt: skip
def test_every_tool_says_what_is_allowed(
    ask: Any, tool: str, arguments: dict[str, Any], allowed: str
) -> None:
    message = ask(tool, **arguments)
    assert message.status == "error"
    again = tool != "compare_nights"
    assert message.artifact.error == ("try_again" if again else "cannot")
    lead = "Try again:" if again else "Cannot be done, tell the user why:"
    assert message.content.startswith(lead)
    assert allowed in message.content
