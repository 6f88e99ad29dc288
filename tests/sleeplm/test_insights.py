"""Remarks on a night: each rule on both sides of its threshold, its place, and what is unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sleeplm.insights import INSIGHT_RULES, NightEvidence, hypoxic_burden
from sleeplm.recording import Recording
from sleeplm.report import Insight, NightSummary
from sleeplm.scoring import Event, Scorer, Scoring
from sleeplm.summary import summarize

SUPINE, LEFT = 2.0, 1.0


def runs(*parts: tuple[str, int]) -> tuple[str, ...]:
    return tuple(stage for stage, count in parts for _ in range(count))


def recording_of(n_epochs: int, **per_second: np.ndarray) -> Recording:
    """A recording whose named channels hold one value a second."""
    signals = {
        name: np.repeat(values, 64).astype(np.float32) for name, values in per_second.items()
    }
    signals.setdefault("AF", np.zeros(n_epochs * 1920, np.float32))
    return Recording.from_signals(signals)


def night(
    stages: tuple[str, ...],
    events: list[Event] | tuple[Event, ...] = (),
    others: tuple[Scoring, ...] = (),
    **per_second: np.ndarray,
) -> NightSummary:
    recording = recording_of(len(stages), **per_second)
    return summarize(Scoring(stages, tuple(events)), recording, others=others)


def remark(summary: NightSummary, name: str) -> Insight | None:
    return next((one for one in summary.insights if one.name == name), None)


def every(kind: str, count: int, first_s: float, step_s: float, length_s: float) -> list[Event]:
    return [Event(kind, first_s + step_s * i, length_s) for i in range(count)]


#: Eight hours: sleep from the fifth minute, REM after 100 min, 90 % efficient.
GOOD = runs(("W", 10), ("N2", 200), ("R", 60), ("N2", 500), ("R", 130), ("W", 60))
HOURS = 8


def at_night(**changes: Any) -> NightSummary:
    return night(GOOD, **changes)


@pytest.mark.parametrize(("on_side", "expected"), [(10, True), (11, False)])
def test_positional_needs_twice_the_events_on_the_back(on_side: int, expected: bool) -> None:
    # An hour on the back with 20 events, an hour on the side with 10 or 11.
    position = np.r_[np.full(3600, SUPINE), np.full(3600, LEFT)]
    events = every("hypopnea", 20, 10, 170, 12) + every("hypopnea", on_side, 3610, 300, 12)
    found = remark(night(("N2",) * 240, events, POS=position), "positional")
    assert (found is not None) == expected
    if found is not None:
        assert [(span.epoch, span.last_epoch) for span in found.spans] == [(1, 120)]
        assert found.evidence["ahi_supine"] == pytest.approx(20.0)


def test_positional_is_not_judged_with_minutes_in_a_position_or_without_the_channel() -> None:
    position = np.r_[np.full(6600, SUPINE), np.full(600, LEFT)]
    events = every("hypopnea", 30, 10, 200, 12)
    short = night(("N2",) * 240, events, POS=position)
    assert remark(short, "positional") is None
    assert "only 10.0 min" in short.not_judged["positional"]
    assert "no position channel" in night(("N2",) * 240, events).not_judged["positional"]


@pytest.mark.parametrize(("in_nrem", "expected"), [(10, True), (11, False)])
def test_rem_related_needs_twice_the_events_in_rem(in_nrem: int, expected: bool) -> None:
    events = every("hypopnea", in_nrem, 10, 300, 12) + every("hypopnea", 20, 3610, 170, 12)
    found = remark(night(runs(("N2", 120), ("R", 120)), events), "rem_related")
    assert (found is not None) == expected
    if found is not None:
        assert [(span.epoch, span.last_epoch) for span in found.spans] == [(121, 240)]


@pytest.mark.parametrize(
    ("central", "obstructive", "expected"),
    [(10, 10, True), (10, 11, False), (9, 0, False)],
)
def test_central_needs_five_an_hour_and_half_of_the_apneas(
    central: int, obstructive: int, expected: bool
) -> None:
    # Two hours of sleep: ten central apneas are 5.0 an hour.
    events = every("central_apnea", central, 30, 200, 15)
    events += every("obstructive_apnea", obstructive, 3700, 200, 15)
    found = remark(night(("N2",) * 240, events), "central")
    assert (found is not None) == expected
    if found is not None:
        assert found.spans[0].epoch == 1


@pytest.mark.parametrize(
    ("cycle_s", "expected"), [(39.0, False), (40.0, True), (120.0, True), (121.0, False)]
)
def test_cheyne_stokes_is_suspected_from_cycles_of_40_to_120_s(
    cycle_s: float, expected: bool
) -> None:
    summary = night(("N2",) * 240, every("central_apnea", 12, 600, cycle_s, 15))
    found = remark(summary, "cheyne_stokes")
    assert (found is not None) == expected
    if found is not None:
        assert found.spans[0].epoch == 21
        assert "suspected" in found.text


def test_two_central_apneas_in_a_row_are_no_cheyne_stokes_breathing() -> None:
    pairs = [e for i in range(6) for e in every("central_apnea", 2, 300 + 600 * i, 60, 15)]
    obstructive = [Event("obstructive_apnea", 430.0 + 600 * i, 15.0) for i in range(6)]
    summary = night(("N2",) * 240, pairs + obstructive)
    assert summary.cai.value == pytest.approx(6.0)
    assert remark(summary, "cheyne_stokes") is None
    short = night(("N2",) * 239, every("central_apnea", 12, 600, 60, 15))
    assert remark(short, "cheyne_stokes") is None
    assert "120 min" in short.not_judged["cheyne_stokes"]


def spo2_with_falls(seconds: int, onsets: list[int], depth: float, length_s: int) -> np.ndarray:
    trace = np.full(seconds, 96.0)
    for onset in onsets:
        for step in range(length_s):
            # Slopes of 2 points a second at both ends, as blood does.
            trace[onset + step] -= min(depth, 2.0 * (step + 1), 2.0 * (length_s - step))
    return trace


def test_the_hypoxic_burden_is_the_area_under_the_falls_by_hand() -> None:
    # One hour, one hypopnea of 20 s; a fall of 10 points over 40 s that begins 10 s into it:
    # 40 s at 10 points, less the slopes (5 s each at 2, 4, 6, 8, 10 instead of 10 points): 360.
    trace = spo2_with_falls(3600, [610], 10.0, 40)
    scoring = Scoring(("N2",) * 120, (Event("hypopnea", 600.0, 20.0),))
    evidence = NightEvidence(
        scoring, np.array(scoring.stages), np.ones(120, bool), trace, None, None
    )
    found = hypoxic_burden(evidence)
    assert found is not None
    assert found[0] == pytest.approx(360 / 60)
    assert hypoxic_burden(evidence._replace(spo2=None)) is None
    assert hypoxic_burden(evidence._replace(is_sleep=np.zeros(120, bool))) is None


@pytest.mark.parametrize(("count", "expected"), [(10, True), (9, False)])
def test_a_burden_of_60_is_remarked_at_its_worst_events(count: int, expected: bool) -> None:
    onsets = [600 + 200 * i for i in range(count)]
    events = [Event("hypopnea", onset - 10.0, 20.0) for onset in onsets]
    found = remark(
        night(("N2",) * 120, events, SPO2=spo2_with_falls(3600, onsets, 10.0, 40)), "hypoxic_burden"
    )
    assert (found is not None) == expected
    if found is not None:
        assert found.evidence["hypoxic_burden"] == pytest.approx(60.0, rel=1e-3)
        assert len(found.spans) == 3


@pytest.mark.parametrize(("seconds", "expected"), [(300, True), (299, False)])
def test_hypoxemia_needs_five_minutes_at_88(seconds: int, expected: bool) -> None:
    # A second each at 92 and 90 % on the way down and up.
    trace = np.full(3600, 94.0)
    trace[900 : 900 + seconds] = 88.0
    for step, value in enumerate((92.0, 90.0)):
        trace[898 + step] = value
        trace[900 + seconds + 1 - step] = value
    summary = night(("N2",) * 120, every("hypopnea", 1, 60, 10, 12), SPO2=trace)
    found = remark(summary, "hypoxemia")
    assert (found is not None) == expected
    if found is not None:
        assert [(span.epoch, span.last_epoch) for span in found.spans] == [(31, 40)]


def test_without_spo2_its_rules_are_not_judged() -> None:
    summary = night(("N2",) * 120, every("hypopnea", 10, 60, 100, 12))
    assert "SpO2" in summary.not_judged["hypoxic_burden"]
    assert "no SpO2 channel" in summary.not_judged["hypoxemia"]
    assert "Not judged, hypoxemia: " in summary.section("insights")


@pytest.mark.parametrize(("awake", "expected"), [(26, True), (25, False)])
def test_fragmentation_begins_at_an_efficiency_of_74(awake: int, expected: bool) -> None:
    stages = runs(("N2", 50), ("W", awake), ("N2", 50 - awake))
    found = remark(night(stages), "fragmentation")
    assert (found is not None) == expected
    if found is not None:
        assert [(span.epoch, span.last_epoch) for span in found.spans] == [(51, 76)]


@pytest.mark.parametrize(("count", "expected"), [(25, True), (24, False)])
def test_many_arousals_begin_at_25_an_hour(count: int, expected: bool) -> None:
    found = remark(night(("N2",) * 120, every("arousal", count, 60, 100, 5)), "arousals")
    assert (found is not None) == expected


@pytest.mark.parametrize(
    ("epochs", "short", "long", "words"),
    [
        (30, True, False, "sleep-onset REM"),
        (31, True, False, "15.5 min"),
        (99, True, False, "49.5 min"),
        (100, False, False, ""),
        (300, False, False, ""),
        (301, False, True, "150.5 min"),
    ],
)
def test_rem_latency_is_short_below_50_and_long_above_150_min(
    epochs: int, short: bool, long: bool, words: str
) -> None:
    summary = night(runs(("N2", epochs), ("R", 20), ("N2", 100)))
    early, late = remark(summary, "short_rem_latency"), remark(summary, "long_rem_latency")
    assert (early is not None, late is not None) == (short, long)
    for one in (early, late):
        if one is not None:
            assert words in one.text
            assert one.spans[0].epoch == epochs + 1
    if epochs == 31:
        assert early is not None
        assert "sleep-onset" not in early.text
    assert "no epoch of R" in night(("N2",) * 100).not_judged["long_rem_latency"]


def test_three_signs_make_a_first_night_and_two_do_not() -> None:
    # Eight hours: 31 min to fall asleep, REM after 130 min; efficiency 84 or 86 %.
    def stages(awake_late: int) -> tuple[str, ...]:
        asleep = 960 - 62 - awake_late
        return runs(("W", 62), ("N2", 260), ("R", 150), ("N2", asleep - 410), ("W", awake_late))

    assert remark(night(stages(92)), "first_night") is not None
    two = night(stages(73))
    assert two.sleep_efficiency.value is not None
    assert two.sleep_efficiency.value > 85
    assert remark(two, "first_night") is None
    short = night(stages(92)[:400])
    assert "200 min in bed" in short.not_judged["first_night"]


@pytest.mark.parametrize(("late", "expected"), [(83, True), (82, False)])
def test_an_insomnia_pattern_needs_an_efficiency_below_85(late: int, expected: bool) -> None:
    # 31 min until sleep onset, and wake in the morning: 816 of 960 epochs asleep are 85.0 %.
    summary = night(runs(("W", 62), ("N2", 898 - late), ("W", late)))
    assert (remark(summary, "insomnia_pattern") is not None) == expected


def test_an_insomnia_pattern_needs_31_min_awake() -> None:
    # Four hours in bed, 30.5 min to sleep onset and 30 min after it: 74.8 %, yet no stretch of 31.
    stages = runs(("W", 61), ("N2", 359), ("W", 60))
    summary = night(stages)
    assert summary.sleep_efficiency.value == pytest.approx(100 * 359 / 480)
    assert remark(summary, "insomnia_pattern") is None
    longer = night(runs(("W", 62), ("N2", 358), ("W", 60)))
    assert remark(longer, "insomnia_pattern") is not None


@pytest.mark.parametrize(("count", "expected"), [(31, True), (30, False)])
def test_plm_are_frequent_above_15_an_hour(count: int, expected: bool) -> None:
    found = remark(night(("N2",) * 240, every("plm", count, 60, 30, 2)), "plm")
    assert (found is not None) == expected
    if found is not None:
        assert found.spans[0].epoch == 1


@pytest.mark.parametrize(
    ("rise", "count", "expected"), [(10.0, 10, True), (9.9, 10, False), (10.0, 9, None)]
)
def test_the_heart_answers_ten_arousals_by_ten_beats(
    rise: float, count: int, expected: bool | None
) -> None:
    onsets = [300 + 120 * i for i in range(count)]
    rate = np.full(3600, 60.0)
    for onset in onsets:
        rate[onset + 2 : onset + 8] += rise
    summary = night(("N2",) * 120, [Event("arousal", float(o), 5.0) for o in onsets], HR=rate)
    found = remark(summary, "hr_response")
    assert (found is not None) == bool(expected)
    assert ("hr_response" in summary.not_judged) == (expected is None)
    without = night(("N2",) * 120, [Event("arousal", float(o), 5.0) for o in onsets])
    assert "no heart rate" in without.not_judged["hr_response"]


@pytest.mark.parametrize(("swapped", "expected"), [(20, False), (40, True)])
def test_scorings_that_disagree_are_remarked_with_what_to_review(
    swapped: int, expected: bool
) -> None:
    # Half N2 and half R; kappa is 1 - swapped / 60 where equally many of each are exchanged.
    own = runs(("N2", 60), ("R", 60))
    half = swapped // 2
    theirs = runs(("R", half), ("N2", 60 - half), ("N2", half), ("R", 60 - half))
    other = Scoring(theirs, (), Scorer("automatic", "another"))
    summary = night(own, others=(other,))
    found = remark(summary, "disagreement")
    assert (found is not None) == expected
    if found is not None:
        assert found.evidence["kappa.automatic"] == pytest.approx(1 - swapped / 60, abs=1e-6)
        assert found.spans
    assert remark(night(own), "disagreement") is None


def test_another_severity_class_is_a_disagreement_at_equal_stages() -> None:
    own = every("hypopnea", 10, 60, 100, 12)
    other = Scoring(
        ("N2",) * 120, tuple(every("hypopnea", 20, 60, 100, 12)), Scorer("automatic", "another")
    )
    found = remark(night(("N2",) * 120, own, others=(other,)), "disagreement")
    assert found is not None
    assert "severity class" in found.text


def test_a_good_night_is_not_remarked_on_and_every_rule_has_a_source() -> None:
    summary = at_night(SPO2=np.full(HOURS * 3600, 96.0), HR=np.full(HOURS * 3600, 58.0))
    assert summary.insights == []
    assert all(rule.rule and rule.source for rule in INSIGHT_RULES.values())
    events = every("hypopnea", 30, 700, 100, 12)
    for one in at_night(events=events).insights:
        assert one.source.startswith(INSIGHT_RULES[one.name].rule)
