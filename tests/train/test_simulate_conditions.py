"""Conditions, legs and artefacts of simulated nights: the truth against what the signals show."""

import hashlib

import numpy as np
import pytest

from sleeplm.errors import QueryError
from sleeplm.scoring import RESPIRATORY_KINDS, SLEEP_STAGES
from train.simulate import ARTEFACTS, CONDITIONS, SimulatedNight, simulate_night
from train.simulate.hypnogram import simulate_stages
from train.simulate.legs import LegMovement, leg_truth

LEG_HZ = 256


@pytest.fixture(scope="module")
def restless() -> SimulatedNight:
    return simulate_night(3, hours=2, condition="plmd")


def envelope(night: SimulatedNight, name: str) -> np.ndarray:
    """Root mean square of a leg in windows of 125 ms, µV."""
    rate_hz, samples = night.native[name]
    assert rate_hz == LEG_HZ
    return np.sqrt((samples.reshape(-1, LEG_HZ // 8) ** 2).mean(axis=1))


def test_every_condition_makes_a_night_that_holds_its_truth() -> None:
    for name in CONDITIONS:
        night = simulate_night(2, hours=0.25, condition=name)
        assert night.meta["condition"] == name
        assert night.meta["age_y"] == CONDITIONS[name].age_y
        assert all(event.end_s <= 900 + 1e-6 for event in night.scoring.events_of("arousal"))
        assert {"LEG_L", "LEG_R"} <= set(night.native)
        assert night.scoring.looked_for(("plm", "limb_movement", "rera"))


def test_leg_movements_rise_8_uv_over_the_resting_leg(restless: SimulatedNight) -> None:
    legs = {"left_uv": envelope(restless, "LEG_L"), "right_uv": envelope(restless, "LEG_R")}
    events = restless.scoring.events_of(("plm", "limb_movement"))
    assert len(events) > 30
    for event in events:
        assert 0.5 <= event.duration_s <= 10
        for side, level in legs.items():
            if event.evidence[side] == 0:
                continue
            inside = level[int(event.onset_s * 8) + 1 : int(event.end_s * 8)]
            assert np.median(inside) > np.percentile(level, 10) + 8, event


def test_quiet_legs_stay_under_8_uv(restless: SimulatedNight) -> None:
    for name in ("LEG_L", "LEG_R"):
        level = envelope(restless, name)
        quiet = np.ones(len(level), dtype=bool)
        for event in restless.scoring.events_of(("plm", "limb_movement")):
            quiet[int(event.onset_s * 8) - 2 : int(event.end_s * 8) + 3] = False
        assert np.mean(level[quiet] < 8) > 0.98


def test_periodic_movements_come_in_series_of_four_in_sleep(restless: SimulatedNight) -> None:
    onsets = np.array([event.onset_s for event in restless.scoring.events_of("plm")])
    assert all(restless.scoring.stage_at(at) in SLEEP_STAGES for at in onsets)
    breaks = np.flatnonzero(np.diff(onsets) > 90)
    runs = np.diff(np.concatenate([[-1], breaks, [len(onsets) - 1]]))
    assert runs.min() >= 4
    assert np.diff(onsets).min() >= 5


def test_some_periodic_movements_come_with_an_arousal(restless: SimulatedNight) -> None:
    arousals = restless.scoring.events_of("arousal")
    woken = [
        any(abs(arousal.onset_s - event.onset_s) <= 0.5 for arousal in arousals)
        for event in restless.scoring.events_of("plm")
    ]
    assert 0.05 < np.mean(woken) < 0.6


def test_the_rule_for_periodic_movements_by_hand() -> None:
    def moves(*onsets: float, length_s: float = 2.0) -> list[LegMovement]:
        return [LegMovement(at, at + length_s, 40.0, 0.0) for at in onsets]

    asleep = np.full(40, 2, dtype=np.int8)

    def kinds(made: list[LegMovement], stages: np.ndarray = asleep) -> list[str]:
        return [event.kind for event in leg_truth(made, stages, [])]

    assert kinds(moves(10, 40, 70)) == ["limb_movement"] * 3
    assert kinds(moves(10, 40, 70, 159)) == ["plm"] * 4
    assert kinds(moves(10, 40, 70, 161)) == ["limb_movement"] * 4
    assert kinds(moves(10, 12, 40, 70, 100)) == ["plm"] * 4
    assert kinds(moves(10, 40, 70, 100, length_s=10.5)) == []
    awake = asleep.copy()
    awake[0] = 0
    assert kinds(moves(10, 40, 70, 100), awake) == ["limb_movement"] * 4


def test_psgscoring_finds_about_as_many_periodic_movements() -> None:
    psgscoring = pytest.importorskip("psgscoring")
    night = simulate_night(5, hours=2, condition="plmd")
    result = psgscoring.analyze_plm(
        night.native["LEG_L"][1].astype(float),
        night.native["LEG_R"][1].astype(float),
        LEG_HZ,
        list(night.scoring.stages),
        resp_events=[
            {"onset_s": event.onset_s, "duration_s": event.duration_s}
            for event in night.scoring.events_of(RESPIRATORY_KINDS)
        ],
        leg_unit="uV",
        offset_aasm=True,
    )
    truth = len(night.scoring.events_of("plm"))
    assert truth > 15
    assert result["summary"]["n_plm"] == pytest.approx(truth, rel=0.25)


def test_rem_without_atonia_keeps_the_chin_tense_in_r() -> None:
    tone = {}
    for name in ("healthy", "rbd"):
        night = simulate_night(6, hours=1.8, condition=name, age_y=60)
        in_r = np.repeat(np.array(night.scoring.stages) == "R", 1920)
        in_n2 = np.repeat(np.array(night.scoring.stages) == "N2", 1920)
        chin = night.signals["EMG_CHIN"]
        tone[name] = chin[in_r].std() / chin[in_n2].std()
    assert tone["rbd"] > 1.8 * tone["healthy"]


def test_lung_disease_rests_low_and_cheyne_stokes_comes_in_cycles() -> None:
    copd = simulate_night(4, hours=1.5, condition="copd")
    assert 86 <= np.median(copd.signals["SPO2"]) <= 93
    night = simulate_night(4, hours=2, condition="cheyne_stokes")
    spans = night.scoring.events_of("cheyne_stokes")
    assert spans
    troughs = night.scoring.events_of(("central_apnea", "hypopnea"))
    inside = [e for e in troughs if any(s.onset_s - 1 <= e.onset_s < s.end_s for s in spans)]
    assert len(inside) > 0.8 * len(troughs)
    gaps = np.diff([event.onset_s for event in inside])
    assert 40 <= np.median(gaps[gaps < 120]) <= 95


def test_age_is_asked_for_or_comes_with_the_condition() -> None:
    share = {}
    for age_y in (20, 75):
        assert simulate_night(1, hours=0.1, age_y=age_y).meta["age_y"] == age_y
        profile = CONDITIONS["healthy"].profile(0.0, age_y)
        stages = np.concatenate(
            [simulate_stages(np.random.default_rng(seed), 480, profile) for seed in range(20)]
        )
        share[age_y] = np.mean(stages[stages > 0] == 3)
    assert share[20] > 1.3 * share[75]


def changed(name: str, seed: int = 8) -> tuple[SimulatedNight, SimulatedNight]:
    return (
        simulate_night(seed, hours=0.5, ahi=20),
        simulate_night(seed, hours=0.5, ahi=20, artefacts=[name]),
    )


@pytest.mark.parametrize(
    "name",
    ["sweat", "pop", "movement", "mains", "lost_belt", "lost_electrode", "oximeter"],
)
def test_a_passing_artefact_is_where_the_truth_says_and_nowhere_else(name: str) -> None:
    clean, night = changed(name)
    marks = night.scoring.events_of("artifact")
    assert marks
    assert {entry["kind"].partition("_")[0] for entry in night.meta["artefacts"]} == {
        name.partition("_")[0]
    }
    for channel, (rate_hz, samples) in night.native.items():
        touched = np.flatnonzero(samples != clean.native[channel][1]) / rate_hz
        here = [m for m in marks if m.channel in (channel, None) or channel == "HR"]
        covered = np.zeros(len(touched), dtype=bool)
        for mark in here:
            covered |= (touched >= mark.onset_s - 0.1) & (touched <= mark.end_s + 1.1)
        assert covered.all(), channel
    for mark in marks:
        assert mark.end_s <= 1800.01
    assert night.scoring.looked_for("artifact")
    assert not clean.scoring.events_of("artifact")


def test_a_desaturation_that_the_oximeter_did_not_see_leaves_the_truth() -> None:
    for seed in range(4):
        night = simulate_night(seed, hours=0.7, ahi=60, artefacts=["oximeter"])
        lost = night.scoring.events_of("artifact")
        for dip in night.scoring.events_of("desaturation"):
            assert not any(mark.overlaps(dip.onset_s, dip.end_s) for mark in lost)


def test_swaps_flips_and_gains_are_named_and_done() -> None:
    clean, night = changed("swapped_belts")
    assert np.array_equal(night.native["THX"][1], clean.native["ABD"][1])
    clean, night = changed("swapped_eyes")
    assert np.array_equal(night.signals["EOG_L"], clean.signals["EOG_R"])
    clean, night = changed("flipped")
    for entry in night.meta["artefacts"]:
        name = entry["channel"]
        assert np.array_equal(night.native[name][1], -clean.native[name][1])
    clean, night = changed("gain")
    for entry in night.meta["artefacts"]:
        ours, theirs = night.native[entry["channel"]][1], clean.native[entry["channel"]][1]
        assert ours.std() / theirs.std() == pytest.approx(entry["factor"], rel=1e-3)
    assert not night.scoring.events_of("artifact")


def test_what_disturbed_a_belt_is_marked_where_the_swapped_belt_ends() -> None:
    for seed in range(4):
        night = simulate_night(seed, hours=0.3, artefacts=["lost_belt", "swapped_belts"])
        (mark,) = night.scoring.events_of("artifact")
        part = night.signals[str(mark.channel)][int(mark.onset_s) * 64 : int(mark.end_s) * 64]
        assert part.std() < 0.01


def test_a_likelihood_draws_more_artefacts_the_higher_it_is() -> None:
    def count(share: float) -> int:
        nights = [simulate_night(seed, hours=0.1, artefacts=share) for seed in range(5)]
        return sum(len({entry["kind"] for entry in night.meta["artefacts"]}) for night in nights)

    assert simulate_night(1, hours=0.1).meta["artefacts"] == []
    assert 0 < count(0.3) < count(1.0)


def test_artefacts_leave_the_sleeper_alone_and_are_the_same_by_seed() -> None:
    def digest(night: SimulatedNight) -> str:
        parts = hashlib.sha256(night.scoring.to_json().encode())
        for _, (_, samples) in sorted(night.native.items()):
            parts.update(samples.tobytes())
        return parts.hexdigest()

    every = list(ARTEFACTS)
    first = simulate_night(9, hours=0.3, condition="plmd", artefacts=every)
    again = simulate_night(9, hours=0.3, condition="plmd", artefacts=every)
    clean = simulate_night(9, hours=0.3, condition="plmd")
    assert digest(first) == digest(again)
    assert first.scoring.stages == clean.scoring.stages
    kinds = (*RESPIRATORY_KINDS, "arousal", "plm", "limb_movement")
    assert first.scoring.events_of(kinds) == clean.scoring.events_of(kinds)


def test_a_leg_that_was_not_recorded_takes_its_movements_along() -> None:
    whole = simulate_night(3, hours=1, condition="plmd")
    one = simulate_night(3, hours=1, condition="plmd", missing=("LEG_L",))
    none = simulate_night(3, hours=1, condition="plmd", missing=("LEG_L", "LEG_R"))
    assert 0 < len(one.scoring.events_of("plm")) < len(whole.scoring.events_of("plm"))
    assert all(event.evidence["right_uv"] > 0 for event in one.scoring.events_of("plm"))
    assert not none.scoring.looked_for("plm")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [({"artefacts": 1.5}, "1.5"), ({"artefacts": ["rain"]}, "rain"), ({"age_y": 2}, "age"),
     ({"age_y": float("nan")}, "age"), ({"artefacts": float("nan")}, "nan")],
)  # fmt: skip
def test_wrong_artefacts_and_ages_are_refused_in_one_line(arguments: dict, word: str) -> None:
    with pytest.raises(QueryError, match=word) as refused:
        simulate_night(1, hours=0.1, **arguments)
    assert "\n" not in str(refused.value)
