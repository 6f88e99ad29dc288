"""Simulated breathing: what each airway does must show on belts and flow."""

import functools
from itertools import pairwise

import numpy as np
import pytest

from sleeplm.physiology.respiration import inspiratory_flatness
from train.simulate.breath_shape import airflow, effort
from train.simulate.breathing import (
    Breaths,
    RespiratoryEvent,
    breathe,
    draw_breaths,
    heart_in_breathing,
    place_reras,
)
from train.simulate.cheyne_stokes import periodic_breathing

RATE_HZ = 64


def n2(n_epochs: int) -> np.ndarray:
    return np.full(n_epochs, 2, dtype=np.int8)


def one_event(kind: str, share: float, central: bool = False) -> tuple[Breaths, RespiratoryEvent]:
    breaths = draw_breaths(np.random.default_rng(3), n2(16), variability=0.3)
    first, stop = 60, 66
    onset, end = float(breaths.onset_s[first]), float(breaths.onset_s[stop])
    return breaths, RespiratoryEvent(kind, onset, end, first, stop, share, 2, central)


@functools.cache
def made(kind: str, share: float, central: bool = False) -> tuple[RespiratoryEvent, dict]:
    breaths, event = one_event(kind, share, central)
    air = breathe(np.random.default_rng(4), 16 * 1920, breaths, [event], [], snoring=0.0)
    return event, air


def lag_deg(air: dict, start_s: float, end_s: float) -> float:
    part = slice(int(start_s * RATE_HZ), int(end_s * RATE_HZ))
    thorax, abdomen = air["THX"][part], air["ABD"][part]
    return float(np.degrees(np.arccos(np.corrcoef(thorax, abdomen)[0, 1])))


def test_a_sine_is_rounder_than_a_limited_inspiration() -> None:
    within = np.linspace(0, 1.5, 1000, endpoint=False)
    ones = np.ones(1000)
    shapes = {g: airflow(within, 1.5 * ones, 0.8 * ones, g * ones, ones) for g in (0.0, 1.0, 4.0)}
    flatness = {g: shape.mean() / shape.max() for g, shape in shapes.items()}
    assert flatness[0.0] == pytest.approx(2 / np.pi, abs=0.01)
    assert flatness[0.0] < flatness[1.0] < flatness[4.0]
    assert flatness[4.0] > 0.85


def test_a_breath_fills_in_inspiration_and_ends_empty_in_a_pause() -> None:
    within = np.arange(0, 4, 1 / RATE_HZ)
    ones = np.ones(len(within))
    volume = effort(within, 1.6 * ones, 0.8 * ones)
    assert within[volume.argmax()] == pytest.approx(1.6, abs=0.05)
    assert volume[0] == 0
    assert volume[within > 3.6].max() < 0.03


def test_breaths_remember_and_sigh() -> None:
    breaths = draw_breaths(np.random.default_rng(1), n2(960))
    log_depth = np.log(breaths.depth)
    shifted = np.corrcoef(log_depth[:-20], log_depth[20:])[0, 1]
    assert shifted > 0.04
    sighs = int(np.sum(breaths.depth > 1.75))
    assert 20 <= sighs <= 110  # 8 h
    interval = np.diff(breaths.onset_s)
    assert 2.5 < np.median(interval) < 6


def test_wake_and_rem_breathe_less_regularly_than_deep_sleep() -> None:
    spread = {}
    for stage in (0, 3, 4):
        stages = np.full(240, stage, dtype=np.int8)
        interval = np.diff(draw_breaths(np.random.default_rng(2), stages).onset_s)
        spread[stage] = interval.std() / interval.mean()
    assert spread[0] > 2 * spread[3]
    assert spread[4] > 2 * spread[3]


def test_the_rate_can_be_given() -> None:
    breaths = draw_breaths(np.random.default_rng(5), n2(120), rate_bpm=12.0)
    assert 60 / np.diff(breaths.onset_s).mean() == pytest.approx(12.0, rel=0.06)


def test_effort_of_an_obstructive_apnea_grows_out_of_phase_and_no_air_moves() -> None:
    event, air = made("obstructive_apnea", 0.02)
    middle = (event.onset_s + event.end_s) / 2

    def size(name: str, start_s: float, end_s: float) -> float:
        return float(np.ptp(air[name][int(start_s * RATE_HZ) : int(end_s * RATE_HZ)]))

    assert size("THX", middle, event.end_s - 1) > 1.15 * size("THX", event.onset_s + 1, middle - 1)
    assert size("AF", event.onset_s, event.end_s) < 0.12 * size("AF", 0, event.onset_s - 20)
    assert lag_deg(air, event.onset_s + 1, event.end_s - 1) > 60
    assert lag_deg(air, 10, event.onset_s - 20) < 30


def test_a_mixed_apnea_has_no_effort_first_and_then_growing_effort() -> None:
    event, air = made("mixed_apnea", 0.02)
    belt = air["THX"]
    silent = belt[int((event.onset_s + 2.5) * RATE_HZ) : int((event.onset_s + 7) * RATE_HZ)]
    struggling = belt[int((event.end_s - 8) * RATE_HZ) : int((event.end_s - 1) * RATE_HZ)]
    assert np.ptp(struggling) > 3 * np.ptp(silent)


def test_the_flow_share_is_what_the_made_flow_shows() -> None:
    event, air = made("hypopnea", 0.4)
    inside = air["AF"][int((event.onset_s + 5) * RATE_HZ) : int((event.end_s - 4) * RATE_HZ)]
    before = air["AF"][int((event.onset_s - 120) * RATE_HZ) : int((event.onset_s - 15) * RATE_HZ)]
    measured = np.ptp(inside) / np.subtract(*np.percentile(before, [99, 1]))
    assert event.flow_share == pytest.approx(measured, abs=0.12)
    assert 0.25 < event.flow_share < 0.6


def test_obstructive_hypopneas_flatten_the_flow_and_central_ones_do_not() -> None:
    flatness = {}
    for central in (False, True):
        event, air = made("hypopnea", 0.5, central)
        part = air["AF"][int(event.onset_s * RATE_HZ) : int(event.end_s * RATE_HZ)]
        length = len(part) / RATE_HZ
        flatness[central] = inspiratory_flatness(part, RATE_HZ, 1, length)[0]
    assert flatness[False] > flatness[True] + 0.08


def test_breathing_wanes_before_an_event_by_less_than_a_hypopnea() -> None:
    breaths, event = one_event("central_apnea", 0.02, central=True)
    air = breathe(np.random.default_rng(4), 16 * 1920, breaths, [event], [], snoring=0.0)
    edges = (breaths.onset_s * RATE_HZ).astype(int)
    size = [np.ptp(air["AF"][a:b]) for a, b in pairwise(edges[1:76].tolist())]
    usual = np.median(size[30:55])
    assert 0.6 < size[event.first - 2] / usual < 0.97


def test_the_heart_shows_on_the_flow_of_a_central_apnea_alone() -> None:
    beats = np.arange(0, 480, 0.9)
    gained = {}
    for kind, central in (("central_apnea", True), ("obstructive_apnea", False)):
        event, air = made(kind, 0.0, central)
        moved = {name: values.copy() for name, values in air.items()}
        heart_in_breathing(np.random.default_rng(1), moved, beats, [event])
        part = slice(int((event.onset_s + 1) * RATE_HZ), int((event.end_s - 1) * RATE_HZ))
        gained[kind] = np.abs(moved["AF"][part] - air["AF"][part]).max()
        assert np.abs(moved["THX"] - air["THX"]).max() > 0
    assert gained["central_apnea"] > 0.005
    assert gained["obstructive_apnea"] == 0


def test_reras_keep_clear_of_events_and_keep_their_flow() -> None:
    stages = n2(240)
    breaths = draw_breaths(np.random.default_rng(8), stages)
    first = int(np.searchsorted(breaths.onset_s, 3000.0))
    event = RespiratoryEvent(
        "hypopnea", breaths.onset_s[first], breaths.onset_s[first + 5], first, first + 5, 0.4, 2
    )
    supine = np.zeros(240, dtype=bool)
    reras = place_reras(np.random.default_rng(9), stages, supine, breaths, [event], 6)
    assert 3 <= len(reras) <= 6
    for rera in reras:
        assert rera.kind == "rera"
        assert 10 <= rera.duration_s <= 45
        assert 0.7 < rera.flow_share < 0.95
        assert rera.end_s < event.onset_s or rera.onset_s > event.end_s


@pytest.mark.parametrize("cycle_s", [50.0, 80.0])
def test_cheyne_stokes_cycles_at_the_period_asked(cycle_s: float) -> None:
    stages = n2(120)
    breaths = draw_breaths(np.random.default_rng(6), stages)
    rng = np.random.default_rng(7)
    changed, events, spans = periodic_breathing(rng, stages, breaths, 25, cycle_s=cycle_s)
    assert len(events) == 25
    assert np.median(np.diff([event.onset_s for event in events])) == pytest.approx(
        cycle_s, rel=0.1
    )
    assert all(event.duration_s >= 10 and event.central for event in events)
    assert spans[0][0] <= events[0].onset_s
    assert spans[-1][1] >= events[-1].end_s
    air = breathe(rng, 120 * 1920, changed, events, [])
    for before, after in pairwise(events):
        loudest = np.argmax(
            np.abs(air["AF"][int(before.end_s * RATE_HZ) : int(after.onset_s * RATE_HZ)])
        )
        place = loudest / RATE_HZ / (after.onset_s - before.end_s)
        assert 0.15 < place < 0.85


def test_cheyne_stokes_leaves_wake_and_short_sleep_alone() -> None:
    stages = np.zeros(40, dtype=np.int8)
    stages[10:14] = 2
    breaths = draw_breaths(np.random.default_rng(6), stages)
    _, events, spans = periodic_breathing(np.random.default_rng(7), stages, breaths, 10)
    assert events == []
    assert spans == []
