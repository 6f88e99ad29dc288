"""Simulated oximeters and hearts: late dips, slow falls, drop-outs, ectopic beats."""

from dataclasses import replace

import numpy as np
import pytest

from train.simulate.breathing import RespiratoryEvent
from train.simulate.heart import add_ectopic, beat_times, electrocardiogram
from train.simulate.oximetry import (
    Circulation,
    draw_circulation,
    draw_dips,
    draw_rem_falls,
    find_desaturations,
    oximeter_faults,
    saturation,
)


def apneas(n: int) -> list[RespiratoryEvent]:
    return [
        RespiratoryEvent("obstructive_apnea", 100.0 + 90 * i, 130.0 + 90 * i, 0, 1, 0.0, 2)
        for i in range(n)
    ]


def test_a_slow_circulation_delays_the_dip() -> None:
    nadirs = {}
    for lag_s in (14.0, 35.0):
        circulation = draw_circulation(np.random.default_rng(1), 30, lag_s=lag_s)
        events = apneas(1)
        events[0].dip_pct = 12.0
        spo2 = saturation(np.random.default_rng(2), 300, events, circulation)
        nadirs[lag_s] = int(np.argmin(spo2))
    assert nadirs[35.0] - nadirs[14.0] == pytest.approx(21, abs=6)


def test_longer_apneas_and_a_lower_baseline_fall_deeper() -> None:
    def depth(duration_s: float, resting_pct: float) -> float:
        circulation = Circulation(resting_pct, 15.0, 1.0)
        events = [
            RespiratoryEvent("central_apnea", 100.0, 100.0 + duration_s, 0, 1, 0.0, 2)
            for _ in range(200)
        ]
        draw_dips(np.random.default_rng(3), events, circulation)
        return float(np.median([event.dip_pct for event in events]))

    assert depth(40, 96) > 1.5 * depth(15, 96)
    assert depth(20, 88) > 1.2 * depth(20, 96)


def test_hypoventilation_in_r_falls_without_events_and_is_measured() -> None:
    stages = np.full(200, 2, dtype=np.int8)
    stages[80:120] = 4
    circulation = Circulation(90.0, 15.0, 1.0, rem_fall_pct=8.0, restlessness=0.3)
    falls = draw_rem_falls(np.random.default_rng(4), stages, circulation)
    assert falls
    spo2 = saturation(np.random.default_rng(5), 6000, [], circulation, falls=falls)
    assert spo2[2400:3600].min() <= 85
    assert spo2[:2300].min() >= 88
    found = find_desaturations(spo2, [], circulation, falls=falls)
    assert found
    assert {dip.event for dip in found} == {-1}
    assert all(2400 <= dip.onset_s < 3600 for dip in found)
    assert draw_rem_falls(np.random.default_rng(4), stages, Circulation(96.0, 15.0, 1.0)) == []


def test_drop_outs_read_zero_on_both_channels_and_are_named() -> None:
    spo2, pulse = np.full(36000, 96.0), np.full(36000, 60.0)
    shown, beats, spans = oximeter_faults(
        np.random.default_rng(6), spo2, pulse, [(100.0, 104.0)], dropouts_per_h=2, motion_share=1
    )
    inside = np.zeros(36000, dtype=bool)
    for start_s, end_s in spans:
        inside[int(start_s) : int(end_s)] = True
    assert (shown == 0).any()
    assert np.array_equal(shown == 0, beats == 0)
    assert shown[101] < 96
    assert np.array_equal(shown[~inside], spo2[~inside])
    assert spo2.min() == 96


def heart(**given: object) -> np.ndarray:
    stages = np.full(60, 2, dtype=np.int8)
    phase = (np.arange(60 * 1920) / 64 / 4) % 1
    return beat_times(np.random.default_rng(7), stages, phase, [], [], **given)  # type: ignore[arg-type]


def test_the_resting_rate_can_be_given_and_breath_swings_it() -> None:
    beats = heart(resting_bpm=54.0)
    interval = np.diff(beats)
    assert 60 / interval.mean() == pytest.approx(54, rel=0.08)
    grid = np.arange(5, 1795, 0.25)
    power = np.abs(np.fft.rfft(np.interp(grid, beats[1:], interval) - interval.mean())) ** 2
    hz = np.fft.rfftfreq(len(grid), 0.25)
    near = (hz > 0.245) & (hz < 0.255)
    beside = ((hz > 0.2) & (hz < 0.24)) | ((hz > 0.26) & (hz < 0.3))
    assert power[near].max() > 20 * np.median(power[beside])


def test_the_heart_slows_in_an_apnea_and_races_after_it() -> None:
    stages = np.full(80, 2, dtype=np.int8)
    phase = (np.arange(80 * 1920) / 64 / 4) % 1
    events = apneas(24)
    beats = beat_times(np.random.default_rng(8), stages, phase, [], events)

    def rate(start_s: float, end_s: float) -> float:
        inside = beats[(beats >= start_s) & (beats < end_s)]
        return 60 / float(np.diff(inside).mean())

    late = np.array([rate(event.end_s - 8, event.end_s) for event in events])
    after = np.array([rate(event.end_s + 3, event.end_s + 11) for event in events])
    assert np.median(after / late) > 1.08


def test_premature_beats_come_early_and_a_pause_follows() -> None:
    beats = np.arange(0, 3600, 0.95)
    moved, kinds = add_ectopic(np.random.default_rng(9), beats, pac_per_h=20, pvc_per_h=20)
    assert len(moved) == len(beats)
    assert (np.diff(moved) > 0.3).all()
    for kind in (1, 2):
        places = np.flatnonzero(kinds == kind)
        assert 8 < len(places) < 35
        assert (moved[places] - moved[places - 1] < 0.85 * 0.95).all()
    wide = np.flatnonzero(kinds == 2)
    assert np.allclose(moved[wide + 1] - moved[wide - 1], 1.9, atol=0.01)
    with pytest.raises(ValueError, match="pac_per_h"):
        add_ectopic(np.random.default_rng(9), beats, pac_per_h=-1, pvc_per_h=0)


def test_a_ventricular_beat_is_wider_than_a_sinus_beat() -> None:
    beats = np.arange(1, 58, 0.95)
    kinds = np.zeros(len(beats), dtype=np.int8)
    kinds[30] = 2
    ecg = electrocardiogram(
        np.random.default_rng(1), 60 * 128, beats, np.zeros(60 * 64), kinds=kinds
    )

    def width(beat_s: float) -> int:
        part = ecg[int((beat_s - 0.1) * 128) : int((beat_s + 0.1) * 128)]
        return int(np.sum(part > 0.5 * part.max()))

    assert width(beats[30]) > 2 * width(beats[20])


def test_fibrillation_is_irregular_without_memory() -> None:
    intervals = np.diff(heart(fibrillation=True))
    steady = np.diff(heart())
    assert intervals.std() / intervals.mean() > 0.14
    assert steady.std() / steady.mean() < 0.12
    assert abs(np.corrcoef(intervals[1:], intervals[:-1])[0, 1]) < 0.2


def test_a_polled_oximeter_holds_its_value_between_the_moments_it_is_asked() -> None:
    prompt = Circulation(94.0, 15.0, 1.0)
    polled = replace(prompt, poll_s=9.2, live_s=1.0)
    seen = [saturation(np.random.default_rng(8), 7200, [], who) for who in (prompt, polled)]
    apart_s = [np.diff(np.flatnonzero(np.diff(spo2_pct))) for spo2_pct in seen]
    assert (apart_s[0] < 7).mean() > 0.3
    assert (apart_s[1] >= 7).all()
    assert np.abs(seen[0] - seen[1]).mean() < 0.5


def test_nobody_shows_more_than_their_oximeter_can() -> None:
    who = Circulation(99.0, 15.0, 1.0, highest_pct=98.0)
    assert saturation(np.random.default_rng(9), 3600, [], who).max() == 98


def test_a_fall_without_an_event_is_in_the_truth_as_a_scorer_would_mark_it() -> None:
    spo2 = np.full(300, 96.0)
    spo2[100:104] = [95, 94, 93, 92]
    spo2[104:120] = 92
    spo2[120:124] = [93, 94, 95, 96]
    spo2[200:220] = 94  # 2 % are none
    circulation = draw_circulation(np.random.default_rng(1), 5.0)
    (fall,) = find_desaturations(spo2, [], circulation)
    assert (fall.onset_s, fall.baseline_pct, fall.nadir_pct, fall.event) == (99.0, 96.0, 92.0, -1)
    assert fall.end_s == 122.0  # 94.7 is two thirds of the way back
