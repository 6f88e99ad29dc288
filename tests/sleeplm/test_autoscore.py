"""Automatic scoring: what is scored, what is refused or named; no foreign word gets out."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sleeplm.agreement import event_agreement, stage_agreement
from sleeplm.autoscore import autoscore, why_not
from sleeplm.autoscore.breathing import (
    Events,
    _add_limb_movements,
    _add_periodic_breathing,
)
from sleeplm.autoscore.channels import usable_channels
from sleeplm.autoscore.legs import leg_signals
from sleeplm.errors import ScoringError
from sleeplm.recording import Recording, read_recording
from sleeplm.scoring import EVENT_KINDS, Scoring
from sleeplm.summary import summarize

HOUR = 120
PER_EPOCH = 1920


@pytest.fixture(scope="module")
def night() -> tuple[Recording, Scoring]:
    from train.simulate import simulate_night

    made = simulate_night(5, hours=1.0, ahi=40)
    return Recording.from_signals(made.signals, start=made.start), made.scoring


@pytest.fixture(scope="module")
def told() -> list[tuple[str, float]]:
    return []


@pytest.fixture(scope="module")
def scored(night: tuple[Recording, Scoring], told: list[tuple[str, float]]) -> Scoring:
    return autoscore(night[0], progress=lambda phrase, share: told.append((phrase, share)))


def only(recording: Recording, *names: str) -> Recording:
    return Recording.from_signals({name: recording.signals[name] for name in names})


def with_part(
    recording: Recording, name: str, epochs: slice, change: Callable[[np.ndarray], np.ndarray]
) -> Recording:
    signals = {key: values.copy() for key, values in recording.signals.items()}
    rows = signals[name].reshape(-1, PER_EPOCH)
    rows[epochs] = change(rows[epochs])
    return Recording.from_signals(signals, start=recording.start)


def test_a_simulated_hour_is_staged_and_its_events_are_found(
    night: tuple[Recording, Scoring], scored: Scoring
) -> None:
    truth = night[1]
    agreed = stage_agreement(truth, scored)
    assert agreed.kappa is not None
    assert agreed.kappa > 0.5
    for kinds, least in ((("desaturation",), 0.9), (("hypopnea", "obstructive_apnea"), 0.5)):
        found = event_agreement(replace(truth, scored_kinds=None), scored, kinds)
        assert found is not None
        assert found.f1 is not None
        assert found.f1 > least


def test_the_scorer_names_its_methods_and_says_what_it_looked_for(scored: Scoring) -> None:
    assert scored.scorer.kind == "automatic"
    assert scored.scorer.name == "YASA + psgscoring"
    assert "psgscoring 0.37.0" in str(scored.scorer.version)
    assert scored.looked_for(("obstructive_apnea", "hypopnea", "arousal", "desaturation", "rera"))
    assert not any(scored.looked_for(kind) for kind in ("plm", "snore", "tachycardia"))
    assert scored.meta["why_not"]["plm"] == "no leg EMG channel"
    assert scored.meta["details"]["arousal_detector"] == "unet_v1"
    reach = scored.meta["details"]["ahi_range"]
    assert reach["lowest"] <= reach["highest"]
    assert set(reach["by_profile"]) >= {"aasm_v3_breath_dual", "aasm_v3_rec"}


def test_probabilities_stand_in_the_order_of_the_stages(scored: Scoring) -> None:
    assert scored.probabilities is not None
    assert scored.probabilities.shape == (HOUR, 5)
    assert np.allclose(scored.probabilities.sum(axis=1), 1, atol=1e-3)
    names = ("W", "N1", "N2", "N3", "R")
    assert [names[i] for i in scored.probabilities.argmax(axis=1)] == list(scored.stages)


def test_every_breathing_event_keeps_rule_confidence_and_evidence(scored: Scoring) -> None:
    breathing = scored.events_of(("obstructive_apnea", "central_apnea", "mixed_apnea", "hypopnea"))
    assert breathing
    for event in breathing:
        assert event.rule is not None
        assert event.rule.startswith("aasm_")
        assert event.confidence is not None
        assert 0 <= event.confidence <= 1
        assert event.evidence["flow_reduction_pct"] > 20
        assert event.evidence["arousal"] in (0.0, 1.0)
        assert all(isinstance(value, float) for value in event.evidence.values())


def test_no_sentence_or_log_line_of_the_methods_gets_out(
    night: tuple[Recording, Scoring],
    scored: Scoring,
    told: list[tuple[str, float]],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with caplog.at_level(logging.DEBUG):
        autoscore(only(night[0], "EEG_C3_A2"))
    assert not [entry for entry in caplog.records if entry.name.startswith("psgscoring")]
    assert capsys.readouterr().out == ""
    assert told[0][0] == "staging by YASA"
    assert all("by psgscoring" in phrase for phrase, _ in told[1:-1])
    assert any(phrase.startswith("breathing by psgscoring") for phrase, _ in told)
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    text = scored.to_json().casefold()
    for word in ("geen ", "slaap", "ademhaling", "kanaal", "niet ", "waarschuwing", "overweeg"):
        assert word not in text
    assert logging.getLogger("psgscoring").propagate


def test_a_scoring_survives_being_written_and_read(scored: Scoring) -> None:
    back = Scoring.from_json(scored.to_json())
    assert back == scored
    assert [event.rule for event in back.events] == [event.rule for event in scored.events]
    assert back.meta == scored.meta


def test_ten_minutes_are_too_short_and_say_so(night: tuple[Recording, Scoring]) -> None:
    short = Recording.from_signals(
        {name: values[: 20 * PER_EPOCH] for name, values in night[0].signals.items()}
    )
    assert "10.0 min are too short" in str(why_not(short))
    with pytest.raises(ScoringError, match="not reliable below 30 min"):
        autoscore(short)


def test_the_two_minutes_of_a_real_recording_are_refused(shared_data) -> None:  # type: ignore[no-untyped-def]
    path = shared_data / "nox-a1-rsleep" / "subject1.edf"
    assert "too short" in str(why_not(read_recording(path)))
    legs = leg_signals(path)
    assert legs.reason is None
    assert set(legs.signals) == {"left", "right"}
    assert legs.rate_hz == 200.0
    # Stated in volts; a leg at rest makes microvolts to some hundreds of them.
    assert (
        0.1 < float(np.median(np.abs(legs.signals["left"] - np.median(legs.signals["left"])))) < 500
    )


@pytest.mark.parametrize(
    ("labels", "sides"),
    [
        (("PLMl", "PLMr"), {"left", "right"}),
        (("Leg 1", "Leg 2"), {"left", "right"}),
        (("LLEG", "RLEG"), {"left", "right"}),
        (("EMG LAT", "EMG RAT"), {"left", "right"}),
        (("EMG Tib Ant",), {"left"}),
        (("RLEG1-RLEG2",), {"right"}),
        (("Legato", "Plethysm"), set()),
        (("LEFT LEG1", "LEFT LEG2"), {"left"}),
    ],
)
def test_legs_are_found_by_the_labels_in_use(
    make_edf: Callable[..., Path], labels: tuple[str, ...], sides: set[str]
) -> None:
    time_s = np.arange(200 * 60) / 200
    traces = [20.0 * (index + 1) * np.sin(40 * time_s) for index in range(len(labels))]
    path = make_edf(
        [(label, "uV", 200.0, trace) for label, trace in zip(labels, traces, strict=True)]
    )
    found = leg_signals(path)
    assert set(found.signals) == sides
    if labels[0] == "LEFT LEG1":  # two electrodes over one muscle: their difference
        np.testing.assert_allclose(found.signals["left"], traces[0] - traces[1], atol=0.1)


def test_eeg_alone_gives_stages_and_arousals_and_no_breathing(
    night: tuple[Recording, Scoring],
) -> None:
    recording = only(night[0], "EEG_C4_A1")
    scoring = autoscore(recording)
    assert set(scoring.stages) <= {"W", "N1", "N2", "N3", "R"}
    assert scoring.scored_kinds == ("arousal",)
    assert scoring.meta["details"]["arousal_detector"] == "lgbm"
    assert any("not its U-Net: no EOG and no chin EMG" in text for text in scoring.problems)
    summary = summarize(scoring, recording)
    assert summary.tst.value is not None
    assert summary.ahi.value is None
    assert summary.ahi.note == "no usable airflow channel"
    assert summary.event_counts["desaturation"].note == "no usable SpO2 channel"


def test_saturation_alone_gives_desaturations_per_hour_of_valid_recording(
    night: tuple[Recording, Scoring],
) -> None:
    recording = with_part(only(night[0], "SPO2"), "SPO2", slice(60, 80), np.zeros_like)
    scoring = autoscore(recording)
    assert scoring.stages == ("unscored",) * HOUR
    assert scoring.scored_kinds == ("desaturation",)
    assert scoring.analysed is not None
    assert sum(scoring.analysed) == HOUR - 20
    summary = summarize(scoring, recording)
    assert summary.tst.value is None
    assert summary.odi3.value == pytest.approx(len(scoring.events) / (100 * 30 / 3600))
    assert "without EEG it is not per hour of sleep" in summary.odi3.note
    assert summary.ahi.value is None


def test_a_flat_or_detached_eeg_is_not_staged_and_is_named(
    night: tuple[Recording, Scoring],
) -> None:
    def off(rows: np.ndarray) -> np.ndarray:
        return np.random.default_rng(1).normal(0, 0.1, rows.shape).astype(np.float32)

    flat = usable_channels(with_part(night[0], "EEG_C4_A1", slice(None), np.zeros_like))
    assert flat.eeg == "EEG_C3_A2"
    assert any(text.startswith("EEG_C4_A1 is flat, clipped or detached") for text in flat.problems)
    half = usable_channels(with_part(night[0], "EEG_C4_A1", slice(60, None), off))
    assert half.eeg == "EEG_C3_A2"
    recording = with_part(only(night[0], "EEG_C4_A1"), "EEG_C4_A1", slice(90, None), off)
    scoring = autoscore(recording)
    assert set(scoring.stages[90:]) == {"unscored"}
    assert "unscored" not in scoring.stages[:90]
    assert any("15.0 min, which are not scored" in text for text in scoring.problems)


def test_a_belt_that_comes_off_is_named_and_the_other_takes_its_place(
    night: tuple[Recording, Scoring],
) -> None:
    usable = usable_channels(with_part(night[0], "THX", slice(60, None), np.zeros_like))
    assert any(text.startswith("THX is flat") and "30.0 min" in text for text in usable.problems)
    thorax = usable.signals["THX"].reshape(-1, PER_EPOCH)
    abdomen = night[0].signals["ABD"].reshape(-1, PER_EPOCH)
    assert np.corrcoef(thorax[70], abdomen[70])[0, 1] == pytest.approx(1)
    assert np.array_equal(thorax[10], night[0].signals["THX"].reshape(-1, PER_EPOCH)[10])
    assert usable.effort(HOUR).all()


def test_an_apnea_is_not_taken_for_a_lost_sensor(night: tuple[Recording, Scoring]) -> None:
    still = usable_channels(with_part(night[0], "AF", slice(50, 52), np.zeros_like))
    assert still.good["AF"].all()
    lost = usable_channels(with_part(night[0], "AF", slice(50, 60), np.zeros_like))
    assert not lost.good["AF"][50:60].any()
    assert lost.good["AF"].sum() == HOUR - 10


def test_the_unit_of_a_breathing_signal_does_not_matter(night: tuple[Recording, Scoring]) -> None:
    scaled = with_part(night[0], "AF", slice(None), lambda rows: rows * np.float32(1e-6))
    assert np.array_equal(usable_channels(scaled).good["AF"], usable_channels(night[0]).good["AF"])


def test_arguments_that_cannot_be_used_are_named(night: tuple[Recording, Scoring]) -> None:
    with pytest.raises(ScoringError, match="rule profile 'mine' is not known; use one of aasm"):
        autoscore(night[0], profile="mine")
    with pytest.raises(ScoringError, match="need both: age"):
        autoscore(only(night[0], "EEG_C3_A2"), metadata={"age": 40})
    with pytest.raises(ScoringError, match="no EEG, airflow or SpO2 channel to score"):
        autoscore(only(night[0], "ECG"))


def test_only_kinds_of_the_allow_list_are_made(scored: Scoring) -> None:
    assert {event.kind for event in scored.events} <= set(EVENT_KINDS)
    end_s = HOUR * 30
    assert all(0 <= event.onset_s < end_s for event in scored.events)


@pytest.mark.slow
def test_breathing_without_eeg_is_polygraphy_and_without_belts_has_no_types(
    night: tuple[Recording, Scoring],
) -> None:
    recording = only(night[0], "AF", "SPO2")
    scoring = autoscore(recording)
    assert scoring.stages == ("unscored",) * HOUR
    assert not scoring.looked_for("obstructive_apnea")
    assert scoring.untyped_apneas
    summary = summarize(scoring, recording)
    assert summary.ahi.value is not None
    assert summary.ahi.value > 10
    assert "valid recording" in summary.ahi.note
    assert summary.oahi.value is None
    assert "no usable effort belt" in summary.oahi.note
    assert summary.rdi.value is None


@pytest.mark.slow
def test_a_night_without_sleep_has_no_breathing_events_and_no_index(
    night: tuple[Recording, Scoring], monkeypatch: pytest.MonkeyPatch
) -> None:
    sure = np.tile(np.array([1, 0, 0, 0, 0], np.float32), (HOUR, 1))
    monkeypatch.setattr("sleeplm.autoscore.stage", lambda usable, metadata: (("W",) * HOUR, sure))
    recording = only(night[0], "EEG_C4_A1", "AF", "THX", "SPO2")
    scoring = autoscore(recording)
    assert scoring.events_of(("obstructive_apnea", "central_apnea", "hypopnea", "rera")) == ()
    summary = summarize(scoring, recording)
    assert summary.ahi.value is None
    assert summary.ahi.note == "no epoch is scored as sleep"
    assert "ahi_range" not in summary.details


@pytest.mark.slow
def test_a_recording_of_14_hours_is_scored() -> None:
    from train.simulate import simulate_night

    made = simulate_night(2, hours=14.0, ahi=5)
    names = ("EEG_C4_A1", "EOG_L", "EMG_CHIN", "AF", "THX", "ABD", "SPO2")
    long = Recording.from_signals({name: made.signals[name] for name in names})
    scoring = autoscore(long)
    assert scoring.n_epochs == 14 * 120
    assert summarize(scoring, long).ahi.value is not None


def central(onset_s: float, **others: object) -> dict[str, object]:
    return {"type": "central", "onset_s": onset_s, "duration_s": 22.0, **others}


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        # Four cycles of 60 s; then two, which are too few; then a row at 30 s, which is too fast.
        (
            [central(60.0 * n) for n in range(10, 14)]
            + [central(1500.0), central(1560.0)]
            + [central(2000.0 + 30 * n) for n in range(5)],
            [(600.0, 202.0)],
        ),
        # An obstructive apnea in the row ends it.
        (
            [
                central(600.0),
                central(660.0),
                central(720.0) | {"type": "obstructive"},
                central(780.0),
                central(840.0),
                central(900.0) | {"type": "hypopnea_central"},
            ],
            [(780.0, 142.0)],
        ),
        ([], []),
    ],
)
def test_cheyne_stokes_is_a_row_of_central_events_a_cycle_apart(
    entries: list[dict[str, object]], expected: list[tuple[float, float]]
) -> None:
    output = {
        "cheyne_stokes": {"success": True, "periodicity_s": 60.0, "criteria_met": True},
        "respiratory": {"success": True, "events": entries},
    }
    found = Events()
    _add_periodic_breathing(found, output)
    assert [(event.onset_s, event.duration_s) for event in found.events] == expected
    assert {event.rule for event in found.events} <= {"aasm_cheyne_stokes"}
    assert found.details["periodic_breathing"]["cycle_s"] == 60.0
    assert found.scored_kinds == ["cheyne_stokes"]


def test_without_the_criteria_no_row_is_cheyne_stokes_and_a_failure_is_named() -> None:
    entries = [central(60.0 * n, csr_flagged=True) for n in range(10, 20)]
    found = Events()
    unmet = {"success": True, "periodicity_s": None, "criteria_met": False}
    _add_periodic_breathing(found, {"cheyne_stokes": unmet, "respiratory": {"events": entries}})
    assert found.events == []
    assert found.scored_kinds == ["cheyne_stokes"]
    failed = Events()
    _add_periodic_breathing(failed, {"cheyne_stokes": {"success": False}})
    assert failed.scored_kinds == []
    assert failed.why_not == {"cheyne_stokes": "periodic breathing could not be looked for"}


def test_a_night_of_periodic_leg_movements_keeps_its_index_through_the_file(tmp_path: Path) -> None:
    from train.simulate import simulate_night, write_night

    made = simulate_night(11, hours=1.5, condition="plmd")
    path = tmp_path / "legs.edf"
    write_night(made, path)
    recording = read_recording(path)
    legs = leg_signals(path)
    assert set(legs.signals) == {"left", "right"}
    found = Events()
    _add_limb_movements(found, recording.n_epochs, legs, list(made.scoring.stages))
    scored = replace(made.scoring, events=tuple(found.events))
    agreed = event_agreement(made.scoring, scored, ("plm",))
    assert agreed is not None
    assert agreed.f1 is not None
    assert agreed.f1 > 0.9
    true, judged = summarize(made.scoring, recording), summarize(scored, recording)
    assert judged.plm_index.value == pytest.approx(true.plm_index.value, rel=0.1)
    assert true.plm_index.value is not None
    assert true.plm_index.value > 20
