"""Breathing against breaths whose times, depth and phase are known."""

from __future__ import annotations

import numpy as np
import pytest

from sleeplm.physiology import measure_night
from sleeplm.physiology.airflow import flow_reduction, inspirations
from sleeplm.physiology.asynchrony import phase_angles, seems_inverted
from sleeplm.physiology.respiration import breath_statistics

RATE_HZ = 64.0
EPOCH = 1920


def seconds(n_epochs: int) -> np.ndarray:
    return np.arange(n_epochs * EPOCH) / RATE_HZ


def shown(starts_s: np.ndarray, depth: np.ndarray, n_epochs: int, seed: int) -> np.ndarray:
    """A belt: quick up, slow down, a pause; it drifts, and the heart moves it."""
    rng = np.random.default_rng(seed)
    time_s = seconds(n_epochs)
    index = np.clip(np.searchsorted(starts_s, time_s, side="right") - 1, 0, len(starts_s) - 2)
    phase = (time_s - starts_s[index]) / np.diff(starts_s)[index]
    shape = np.where(
        phase < 0.4,
        0.5 - 0.5 * np.cos(np.pi * phase / 0.4),
        np.clip(1 - (phase - 0.4) / 0.45, 0, 1) ** 1.3,
    )
    drift = np.cumsum(rng.standard_normal(len(time_s))) / 800
    heart = 0.02 * np.sin(2 * np.pi * 1.1 * time_s)
    return depth[index] * shape + drift + heart + 0.02 * rng.standard_normal(len(time_s))


@pytest.mark.parametrize(
    ("rate_bpm", "spread_s"), [(8.0, 0.4), (12.0, 0.4), (16.5, 0.3), (24.0, 0.2)]
)
def test_breathing_rate_is_right_at_any_pace(rate_bpm: float, spread_s: float) -> None:
    rng = np.random.default_rng(1)
    lengths_s = 60 / rate_bpm + spread_s * rng.standard_normal(2000)
    starts_s = np.concatenate([[0.0], np.cumsum(lengths_s)])
    depth = np.exp(0.2 * rng.standard_normal(len(starts_s)))
    belt = shown(starts_s, depth, 60, seed=2)
    values = measure_night({"ABD": belt}).values["abd_rate_bpm"]
    peaks_s = starts_s[:-1] + 0.4 * lengths_s
    true_bpm, _ = breath_statistics(peaks_s, 60)
    both = np.isfinite(values) & np.isfinite(true_bpm)
    assert both.mean() > 0.9
    assert np.median(np.abs(values - true_bpm)[both]) < 0.15
    assert np.mean(np.abs(values - true_bpm)[both]) < 0.4


def test_rates_stay_the_sleepers_own_in_a_night_full_of_apneas() -> None:
    rng = np.random.default_rng(3)
    lengths_s = 60 / 15 + 0.3 * rng.standard_normal(1000)
    starts_s = np.concatenate([[0.0], np.cumsum(lengths_s)])
    depth = np.ones(len(starts_s))
    in_apnea = (np.arange(len(starts_s)) % 13) < 6
    flow = shown(starts_s, np.where(in_apnea, 0.01, depth), 60, seed=4)
    values = measure_night({"AF": flow}).values["af_rate_bpm"]
    known = values[np.isfinite(values)]
    assert len(known) > 10
    assert (np.abs(known - 15.0) < 2.5).all()
    # Where breaths fill less than a third of an epoch, there is no rate to tell.
    few = np.concatenate([np.arange(0.0, 9.0, 3.0), np.arange(30.0, 60.0, 4.0)])
    assert np.isnan(breath_statistics(few, 2)[0]).tolist() == [True, False]


@pytest.mark.parametrize("share", [0.7, 0.5, 0.2, 0.02])
def test_flow_that_falls_to_a_share_is_reduced_by_the_rest(share: float) -> None:
    time_s = seconds(14)
    flow = np.sin(2 * np.pi * 0.25 * time_s)
    flow[(time_s >= 300) & (time_s < 330)] *= share
    reduction = measure_night({"AF": flow}).values["af_reduction_pct"]
    assert reduction[10] == pytest.approx(100 * (1 - share), abs=4)
    assert (reduction[[2, 3, 4, 5, 6, 7, 8, 13]] < 5).all()
    assert np.isnan(reduction[0])


def test_after_recovery_breaths_the_baseline_is_that_of_the_three_largest() -> None:
    # Breathing that swells and sinks is not stable: AASM compares with its largest breaths.
    time_s = seconds(20)
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * time_s / 50)
    flow = swell * np.sin(2 * np.pi * 0.25 * time_s)
    reduction_pct, grid_hz = flow_reduction(flow, RATE_HZ)
    late = reduction_pct[round(200 * grid_hz) :]
    assert np.nanmin(late) < 5
    assert np.nanmax(late) > 75


def test_a_sigh_and_a_movement_do_not_make_the_breaths_after_them_reduced() -> None:
    time_s = seconds(12)
    flow = np.sin(2 * np.pi * 0.25 * time_s)
    flow[(time_s >= 120) & (time_s < 124)] *= 2.5
    flow[(time_s >= 240) & (time_s < 242)] *= 30.0
    reduction = measure_night({"AF": flow}).values["af_reduction_pct"]
    # The filter needs some seconds to recover from a swing of thirty times a breath.
    assert (reduction[[2, 3, 5, 6, 9, 10]] < 10).all()


def test_inspirations_have_their_onset_and_length() -> None:
    breaths = inspirations(2.0 * np.sin(2 * np.pi * 0.2 * seconds(2)), RATE_HZ)
    assert breaths.onset_s[:10] == pytest.approx(np.arange(5.0, 55.0, 5.0), abs=0.05)
    assert breaths.duration_s[1:8] == pytest.approx(2.5, abs=0.05)
    assert breaths.peak[1:8] == pytest.approx(2.0, abs=0.05)
    assert len(inspirations(np.zeros(4 * EPOCH), RATE_HZ).peak) == 0


@pytest.mark.parametrize("lag_deg", [0, 30, 60, 90, 120, 180])
@pytest.mark.parametrize("leader", ["thorax", "abdomen"])
def test_belts_that_lag_show_the_angle_of_their_lag(lag_deg: float, leader: str) -> None:
    rng = np.random.default_rng(6)
    time_s = seconds(6)
    first = np.sin(2 * np.pi * 0.27 * time_s) + 0.05 * rng.standard_normal(len(time_s))
    second = 0.4 * np.sin(2 * np.pi * 0.27 * time_s - np.radians(lag_deg))
    second += 0.02 * rng.standard_normal(len(time_s))
    belts = (first, second) if leader == "thorax" else (second, first)
    values = measure_night(dict(zip(("THX", "ABD"), belts, strict=True))).values
    assert values["thx_abd_phase_deg"][1:-1] == pytest.approx(lag_deg, abs=3)
    assert values["thx_abd_phase_max_deg"][1:-1] == pytest.approx(lag_deg, abs=5)


def test_paradox_of_twelve_seconds_is_the_most_of_its_epoch_and_not_the_whole() -> None:
    time_s = seconds(10)
    phase = 2 * np.pi * 0.25 * time_s
    paradox = (time_s >= 159) & (time_s < 171)
    belts = {"THX": np.sin(phase), "ABD": np.where(paradox, np.sin(phase + np.pi), np.sin(phase))}
    values = measure_night(belts).values
    assert values["thx_abd_phase_max_deg"][5] > 150
    assert values["thx_abd_phase_deg"][5] < 60
    assert (values["thx_abd_phase_max_deg"][[1, 2, 3, 7, 8]] < 5).all()


def test_without_effort_or_relation_there_is_no_angle() -> None:
    rng = np.random.default_rng(7)
    time_s = seconds(10)
    effort = np.sin(2 * np.pi * 0.25 * time_s)
    silent = np.where((time_s > 115) & (time_s < 185), 0.01, 1.0) * effort
    noise = 0.003 * rng.standard_normal(len(time_s))
    typical_deg, most_deg = phase_angles(effort + noise, silent + noise, RATE_HZ, 10)
    assert np.isnan(typical_deg[[4, 5]]).all()
    assert np.isnan(most_deg[[4, 5]]).all()
    assert typical_deg[[1, 2, 8]] == pytest.approx(0, abs=2)
    assert np.isnan(measure_night({"THX": effort}).values["thx_abd_phase_deg"]).all()


def test_belts_that_oppose_each_other_all_night_are_said_to_be_swapped_in_sign() -> None:
    belt = np.sin(2 * np.pi * 0.25 * seconds(130))
    night = measure_night({"THX": belt, "ABD": -belt})
    assert np.isnan(night.values["thx_abd_phase_deg"]).all()
    assert "wired the other way" in night.problems[0]
    assert not seems_inverted(np.full(100, 180.0))
    assert not seems_inverted(np.full(500, np.nan))
    assert measure_night({"THX": belt, "ABD": belt}).problems == []
