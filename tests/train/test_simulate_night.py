"""Simulated nights: the truth must be visible in the signals by simple independent measures."""

import functools
import hashlib
import itertools
import subprocess
import sys
from datetime import datetime

import numpy as np
import pytest
from scipy.signal import find_peaks, welch

from sleeplm.errors import QueryError, SleepLMError
from sleeplm.scoring import RESPIRATORY_KINDS, SLEEP_STAGES, Event, Scoring
from train.simulate import CONDITIONS, SimulatedNight, simulate_night

RATE_HZ = 64
CHANNELS = {
    "ECG", "ABD", "THX", "AF", "EOG_L", "EOG_R", "EEG_C3_A2", "EEG_C4_A1", "EMG_CHIN", "POS",
    "SPO2", "HR",
}  # fmt: skip
NIGHTS: dict[int, SimulatedNight] = {}


@pytest.fixture(scope="module")
def night() -> SimulatedNight:
    NIGHTS[7] = simulate_night(7, hours=3, ahi=30)
    return NIGHTS[7]


@pytest.fixture(scope="module")
def central_night() -> SimulatedNight:
    NIGHTS[3] = simulate_night(3, hours=2, ahi=25, condition="central")
    return NIGHTS[3]


def span(night: SimulatedNight, channel: str, start_s: float, end_s: float) -> np.ndarray:
    return night.signals[channel][max(0, int(start_s * RATE_HZ)) : int(end_s * RATE_HZ)]


def swing(samples: np.ndarray) -> float:
    """Breathing amplitude: the 5th-to-95th percentile range, deaf to slow drift of short spans."""
    low, high = np.percentile(samples, [5, 95])
    return float(high - low)


def epochs_of(night: SimulatedNight, channel: str, stage: str) -> np.ndarray:
    chosen = np.array(night.scoring.stages) == stage
    return night.signals[channel].reshape(-1, 30 * RATE_HZ)[chosen]


def digest(night: SimulatedNight) -> str:
    parts = hashlib.sha256()
    for name in sorted(night.signals):
        parts.update(night.signals[name].tobytes())
    parts.update(night.scoring.to_json().encode())
    return parts.hexdigest()


@functools.cache
def quiet_swings(seed: int, channel: str) -> tuple[tuple[int, float], ...]:
    """(start_s, swing) of 10-s spans in sleep that no event or its recovery touches."""
    night = NIGHTS[seed]
    busy = [e for e in night.scoring.events if e.kind in (*RESPIRATORY_KINDS, "arousal")]
    return tuple(
        (start, swing(span(night, channel, start, start + 10)))
        for start in range(0, night.scoring.n_epochs * 30 - 10, 10)
        if night.scoring.stage_at(start) != "W"
        and not any(e.onset_s - 2 < start + 10 and e.end_s + 20 > start for e in busy)
    )


def quiet_reference(night: SimulatedNight, event: Event, channel: str) -> float:
    """Median swing of quiet breathing within 20 minutes of the event."""
    swings = quiet_swings(night.meta["seed"], channel)
    return float(np.median([size for at, size in swings if abs(at - event.onset_s) < 1200]))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    first, second = simulate_night(11, hours=0.5), simulate_night(11, hours=0.5)
    assert digest(first) == digest(second)
    assert digest(first) != digest(simulate_night(12, hours=0.5))


def test_all_twelve_channels_are_float32_at_64_hz(night: SimulatedNight) -> None:
    assert set(night.signals) == CHANNELS
    for name, signal in night.signals.items():
        assert signal.dtype == np.float32, name
        assert signal.shape == (3 * 120 * 1920,), name
        assert np.isfinite(signal).all(), name
    assert set(np.unique(night.signals["POS"])) <= {0, 1, 2, 3}
    assert night.signals["SPO2"].min() >= 50
    assert night.signals["SPO2"].max() <= 100


@pytest.mark.parametrize(
    ("seed", "ahi", "condition"),
    [(1, 6.0, "healthy"), (2, 25.0, None), (3, 70.0, "osa"), (4, 20.0, "central"),
     (5, 15.0, "rem_related"), (6, 20.0, "supine_related"), (8, 10.0, "insomnia")],
)  # fmt: skip
def test_the_requested_ahi_is_reached_and_events_lie_in_sleep(
    seed: int, ahi: float, condition: str | None
) -> None:
    night = simulate_night(seed, hours=2.5, ahi=ahi, condition=condition)
    scoring = night.scoring
    sleep_h = sum(stage in SLEEP_STAGES for stage in scoring.stages) / 120
    respiratory = scoring.events_of(RESPIRATORY_KINDS)
    assert len(respiratory) / sleep_h == pytest.approx(ahi, rel=0.1)
    assert night.meta["ahi_achieved"] == pytest.approx(len(respiratory) / sleep_h)
    for event in respiratory:
        assert 10 <= event.duration_s <= 60
        for at in np.arange(event.onset_s, event.end_s, 1.0):
            assert scoring.stage_at(at) in SLEEP_STAGES
    for before, after in itertools.pairwise(respiratory):
        assert before.end_s < after.onset_s
    for event in scoring.events_of(("desaturation", "arousal")):
        assert scoring.stage_at(event.onset_s) in SLEEP_STAGES
        assert scoring.stage_at(event.onset_s + event.duration_s / 2) in SLEEP_STAGES
    assert scoring.start == night.start


def test_every_hypopnea_has_a_desaturation_or_an_arousal() -> None:
    night = simulate_night(3, hours=2, ahi=60)
    dips = night.scoring.events_of("desaturation")
    arousals = night.scoring.events_of("arousal")
    for event in night.scoring.events_of("hypopnea"):
        falls = any(event.onset_s < dip.onset_s < event.end_s + 25 for dip in dips)
        wakes = any(abs(arousal.onset_s - event.end_s) < 3 for arousal in arousals)
        assert falls or wakes, event


def test_airflow_falls_in_every_event_by_as_much_as_its_kind_asks(
    night: SimulatedNight, central_night: SimulatedNight
) -> None:
    checked = 0
    for one in (night, central_night):
        for event in one.scoring.events_of(RESPIRATORY_KINDS):
            inside = swing(span(one, "AF", event.onset_s + 0.3, event.end_s - 0.3))
            share = inside / quiet_reference(one, event, "AF")
            if event.kind == "hypopnea":
                assert 0.1 < share < 0.72, event
            else:
                assert share < 0.1, event
            checked += 1
    assert checked > 80


def test_effort_goes_on_in_obstructive_and_stops_in_central_apneas(
    night: SimulatedNight, central_night: SimulatedNight
) -> None:
    obstructive = night.scoring.events_of("obstructive_apnea")
    central = central_night.scoring.events_of("central_apnea")
    assert len(obstructive) > 10
    assert len(central) > 10
    for belt in ("THX", "ABD"):
        for event in obstructive:
            inside = swing(span(night, belt, event.onset_s + 1, event.end_s - 1))
            assert inside / quiet_reference(night, event, belt) > 0.35, event
        for event in central:
            inside = swing(span(central_night, belt, event.onset_s + 1, event.end_s - 1))
            assert inside / quiet_reference(central_night, event, belt) < 0.2, event


def test_the_belts_move_against_each_other_in_obstructive_apneas(night: SimulatedNight) -> None:
    def agreement(start_s: float, end_s: float) -> float:
        return float(
            np.corrcoef(span(night, "THX", start_s, end_s), span(night, "ABD", start_s, end_s))[
                0, 1
            ]
        )

    events = night.scoring.events_of("obstructive_apnea")
    inside = [agreement(event.onset_s + 2, event.end_s - 1) for event in events]
    quiet = agreement(600, 630)
    assert np.median(inside) < -0.3
    assert quiet > 0.8


def test_desaturations_are_what_the_oximeter_shows(night: SimulatedNight) -> None:
    dips = night.scoring.events_of("desaturation")
    assert len(dips) > 20
    for dip in dips:
        inside = span(night, "SPO2", dip.onset_s - 1, dip.end_s)
        assert dip.evidence["baseline_pct"] - dip.evidence["nadir_pct"] >= 3
        assert inside[0] == dip.evidence["baseline_pct"]
        assert inside.min() == dip.evidence["nadir_pct"]
    deepest = min(dip.evidence["nadir_pct"] for dip in dips)
    assert night.signals["SPO2"].min() == pytest.approx(deepest, abs=1)


def test_saturation_falls_late(night: SimulatedNight) -> None:
    events = night.scoring.events_of("obstructive_apnea")
    lags = []
    for event in events:
        after = span(night, "SPO2", event.onset_s, event.end_s + 40)[::RATE_HZ]
        lags.append(np.argmin(after) - event.duration_s)
    assert 8 < np.median(lags) < 28


def test_arousals_speed_up_the_eeg_and_raise_the_chin(night: SimulatedNight) -> None:
    arousals = [a for a in night.scoring.events_of("arousal") if a.onset_s > 12]
    faster, stronger = 0, 0
    for arousal in arousals:
        during = span(night, "EEG_C3_A2", arousal.onset_s, arousal.end_s)
        before = span(night, "EEG_C3_A2", arousal.onset_s - 10, arousal.onset_s - 1)
        faster += _fast_power(during) > 1.4 * _fast_power(before)
        chin = span(night, "EMG_CHIN", arousal.onset_s, arousal.end_s).std()
        stronger += (
            chin > 1.3 * span(night, "EMG_CHIN", arousal.onset_s - 10, arousal.onset_s - 1).std()
        )
    assert faster / len(arousals) > 0.9
    assert stronger / len(arousals) > 0.85


def _fast_power(samples: np.ndarray) -> float:
    frequency_hz, power = welch(samples, RATE_HZ, nperseg=min(128, len(samples)))
    return float(power[(frequency_hz >= 8) & (frequency_hz <= 30)].sum())


def test_delta_is_largest_in_n3_then_n2_then_wake(night: SimulatedNight) -> None:
    share = {}
    for stage in ("W", "N2", "N3", "R"):
        frequency_hz, power = welch(epochs_of(night, "EEG_C3_A2", stage), RATE_HZ, nperseg=256)
        power = np.median(power, axis=0)
        delta = power[(frequency_hz >= 0.5) & (frequency_hz < 4)].sum()
        share[stage] = delta / power[(frequency_hz >= 0.5) & (frequency_hz < 30)].sum()
    assert share["N3"] > share["N2"] > share["R"]
    assert share["N2"] > share["W"]
    n3_delta_uv = epochs_of(night, "EEG_C3_A2", "N3").std()
    assert 15 < n3_delta_uv < 60


def test_chin_tone_falls_from_wake_to_r(night: SimulatedNight) -> None:
    tone = {
        stage: np.median(epochs_of(night, "EMG_CHIN", stage).std(axis=1))
        for stage in ("W", "N2", "R")
    }
    assert tone["W"] > 1.5 * tone["N2"]
    assert tone["N2"] > 1.5 * tone["R"]


def test_eyes_move_out_of_phase_in_r_and_in_phase_with_slow_waves(night: SimulatedNight) -> None:
    def between_eyes(stage: str) -> float:
        left, right = (epochs_of(night, name, stage) for name in ("EOG_L", "EOG_R"))
        return float(np.median([np.corrcoef(a, b)[0, 1] for a, b in zip(left, right, strict=True)]))

    assert between_eyes("R") < -0.2
    assert between_eyes("N3") > 0.3


def test_heart_rate_channel_agrees_with_the_beats_of_the_ecg(night: SimulatedNight) -> None:
    ecg = night.signals["ECG"]
    peaks, _ = find_peaks(ecg, height=0.5 * np.percentile(ecg, 99.5), distance=int(0.33 * RATE_HZ))
    beats_s = peaks / RATE_HZ
    end_s = night.scoring.n_epochs * 30
    truth_s = night.r_peaks_s[(night.r_peaks_s > 1) & (night.r_peaks_s < end_s - 1)]
    following = np.searchsorted(beats_s, truth_s).clip(1, len(beats_s) - 1)
    distance_s = np.minimum(
        np.abs(beats_s[following] - truth_s), np.abs(beats_s[following - 1] - truth_s)
    )
    assert np.mean(distance_s < 0.03) > 0.99
    assert len(beats_s) == pytest.approx(len(night.r_peaks_s), rel=0.01)
    for start in range(60, 1200, 60):
        counted = np.sum((beats_s >= start) & (beats_s < start + 30)) * 2
        shown = span(night, "HR", start, start + 30).mean()
        assert shown == pytest.approx(counted, abs=4)


def test_short_nights_hold_sleep_and_two_hours_hold_every_stage() -> None:
    short = simulate_night(1, hours=5 / 60)
    assert short.scoring.n_epochs == 10
    assert any(stage in SLEEP_STAGES for stage in short.scoring.stages)
    for seed in range(2):
        stages = simulate_night(seed, hours=2, missing=("EEG_C3_A2",)).scoring.stages
        assert set(stages) == {"W", "N1", "N2", "N3", "R"}


def test_insomnia_costs_sleep() -> None:
    awake = {
        name: simulate_night(3, hours=3, condition=name).scoring.stages.count("W")
        for name in ("healthy", "insomnia")
    }
    assert awake["insomnia"] > 1.3 * awake["healthy"]


def test_a_condition_brings_its_own_ahi() -> None:
    for name in ("healthy", "osa"):
        assert simulate_night(1, hours=0.5, condition=name).meta["ahi"] == CONDITIONS[name].ahi
    assert simulate_night(1, hours=0.5).meta["ahi"] == 20


def test_conditions_place_events_where_their_name_says() -> None:
    rem = simulate_night(5, hours=3, ahi=15, condition="rem_related").scoring
    r_h = rem.stages.count("R") / 120
    nrem_h = sum(stage in ("N1", "N2", "N3") for stage in rem.stages) / 120
    stage_of = [rem.stage_at(event.onset_s) for event in rem.events_of(RESPIRATORY_KINDS)]
    in_r = stage_of.count("R")
    assert in_r / r_h > 3 * (len(stage_of) - in_r) / nrem_h

    night = simulate_night(6, hours=4, ahi=15, condition="supine_related")
    on_back = night.signals["POS"][:: 30 * RATE_HZ] == 2
    asleep = np.array(night.scoring.stages) != "W"
    assert (on_back & asleep).any()
    assert (~on_back & asleep).any()
    counts = [on_back[int(e.onset_s // 30)] for e in night.scoring.events_of(RESPIRATORY_KINDS)]
    rate_back = sum(counts) / (on_back & asleep).sum()
    rate_side = (len(counts) - sum(counts)) / (~on_back & asleep).sum()
    assert rate_back > 3 * rate_side


def test_a_missing_channel_takes_with_it_the_events_that_only_it_shows() -> None:
    whole = simulate_night(9, hours=1, ahi=30)
    night = simulate_night(9, hours=1, ahi=30, missing=("SPO2", "EEG_C3_A2", "EEG_C4_A1"))
    assert "SPO2" not in night.signals
    assert night.scoring.events_of("desaturation") == ()
    assert night.scoring.events_of("arousal") == ()
    assert night.scoring.events_of(RESPIRATORY_KINDS) == whole.scoring.events_of(RESPIRATORY_KINDS)
    assert np.array_equal(night.signals["AF"], whole.signals["AF"])


@pytest.mark.parametrize(
    ("arguments", "word"),
    [({"hours": 0.01}, "hours"), ({"hours": 25}, "hours"), ({"hours": float("nan")}, "hours"),
     ({"ahi": -1}, "ahi"), ({"ahi": 151}, "ahi"), ({"condition": "narcolepsy"}, "narcolepsy"),
     ({"missing": ("FOO",)}, "FOO"), ({"missing": tuple(CHANNELS)}, "every")],
)  # fmt: skip
def test_nonsense_is_refused_in_one_line(arguments: dict, word: str) -> None:
    with pytest.raises(QueryError, match=word) as refused:
        simulate_night(1, **arguments)
    assert "\n" not in str(refused.value)
    assert isinstance(refused.value, SleepLMError)


def test_start_time_and_truth_survive_the_json(night: SimulatedNight) -> None:
    start = datetime(2001, 5, 4, 22, 15, 30)
    made = simulate_night(2, hours=0.5, start=start)
    again = Scoring.from_json(made.scoring.to_json())
    assert again.start == start
    assert again.stages == made.scoring.stages
    assert again.events == made.scoring.events


def test_the_simulator_needs_numpy_and_scipy_alone() -> None:
    code = (
        "import sys; import train.simulate; "
        "print([m for m in ('torch','mne','edfio','pandas','pydantic','yasa') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
