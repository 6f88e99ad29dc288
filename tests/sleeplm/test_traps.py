"""Wrong numbers that other sleep software has shown: what would have caught each of them here."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sleeplm.autoscore import autoscore
from sleeplm.autoscore.breathing import Events, _add_indices, _apart_from_apneas, score_events
from sleeplm.autoscore.channels import usable_channels
from sleeplm.autoscore.legs import LegEmg, leg_signals
from sleeplm.autoscore.staging import _raw_at_staging_rate
from sleeplm.errors import ScoringError
from sleeplm.night import Night
from sleeplm.recording import Recording, read_recording
from sleeplm.scoring import Event, Scorer, Scoring
from sleeplm.scoring_files import read_scoring, write_scoring
from sleeplm.summary import summarize

START = datetime(2024, 3, 30, 23, 30)
PER_EPOCH = 1920
RATE_HZ = 64.0


def breathing(n_epochs: int, apneas_s: tuple[int, ...], still_s: int = 25) -> dict[str, np.ndarray]:
    """Airflow and belts at 15 breaths a minute that stop together at each apnea: central ones."""
    time_s = np.arange(n_epochs * PER_EPOCH) / RATE_HZ
    rng = np.random.default_rng(4)
    flow = np.sin(2 * np.pi * 0.25 * time_s)
    for onset_s in apneas_s:
        flow[(time_s >= onset_s) & (time_s < onset_s + still_s)] = 0
    noise = rng.normal(0, 0.01, (3, len(flow)))
    return {
        name: (flow + noise[row]).astype(np.float32)
        for row, name in enumerate(("AF", "THX", "ABD"))
    }


def saturation(n_epochs: int, falls_s: tuple[int, ...]) -> np.ndarray:
    seconds = np.arange(n_epochs * 30)
    spo2 = np.full(len(seconds), 96.0)
    for nadir_s in falls_s:
        spo2 -= 8.0 * np.clip(1 - np.abs(seconds - nadir_s) / 20, 0, None)
    return np.repeat(np.round(spo2), 64).astype(np.float32)


def noise_eeg(n_epochs: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 20, n_epochs * PER_EPOCH).astype(np.float32)


def recorded(**signals: np.ndarray) -> Recording:
    return Recording.from_signals(signals, start=START)


# ── time and denominators ────────────────────────────────────────────────────────────────────────
def test_the_clock_of_the_events_does_not_drift_by_the_morning() -> None:
    onsets_s = (600, 3600, 8700)
    recording = recorded(**breathing(300, onsets_s))
    found = score_events(
        recording, usable_channels(recording), ["N2"] * 300, [], "aasm_v3_rec", _silent, LegEmg()
    )
    events = sorted(event.onset_s for event in found.events if event.kind.endswith("apnea"))
    assert len(events) == 3
    # A breath of four seconds begins where it began; 2.3 % of the clock would be 200 s here.
    assert events == pytest.approx(onsets_s, abs=5)


def test_what_comes_after_a_gap_keeps_its_time_and_the_gap_stands_in_no_denominator() -> None:
    spo2 = saturation(120, (600, 3300))
    spo2[1000 * 64 : 2200 * 64] = 0
    scoring = autoscore(recorded(SPO2=spo2))
    assert [event.onset_s for event in scoring.events] == pytest.approx([583, 3283], abs=5)
    assert summarize(scoring, recorded(SPO2=spo2)).odi3.value == pytest.approx(2 / (81 / 120), 0.02)


def test_the_start_of_a_scoring_is_the_clock_of_the_file_in_no_time_zone(tmp_path: Path) -> None:
    scoring = autoscore(recorded(SPO2=saturation(60, (600,))))
    assert scoring.start == START
    assert scoring.start.tzinfo is None
    for ending in ("xml", "json", "edf"):
        back = read_scoring(Path(write_and_name(scoring, tmp_path / f"a.{ending}")))
        assert back.start is not None
        assert (back.start.hour, back.start.minute) == (23, 30)


def write_and_name(scoring: Scoring, path: Path) -> Path:
    write_scoring(scoring, path)
    return path


def test_events_of_two_kinds_that_touch_stay_two_and_each_counts_once(tmp_path: Path) -> None:
    scoring = Scoring(
        ("N2",) * 120,
        (Event("obstructive_apnea", 20, 20), Event("hypopnea", 40, 35)),
        start=START,
    )
    back = read_scoring(write_and_name(scoring, tmp_path / "a.xml"))
    assert [(event.kind, event.onset_s) for event in back.events] == [
        ("obstructive_apnea", 20),
        ("hypopnea", 40),
    ]
    summary = summarize(scoring, recorded(SPO2=saturation(120, ())))
    # The hypopnea spans two epochs, and is one event of the hour.
    assert summary.ahi.value == pytest.approx(2.0)
    assert summary.event_counts["hypopnea"].value == 1


def test_81_events_in_a_night_without_sleep_are_no_index() -> None:
    events = tuple(Event("hypopnea", 20.0 * number, 15) for number in range(81))
    summary = summarize(Scoring(("W",) * 120, events), recorded(SPO2=saturation(120, ())))
    assert summary.ahi.value is None
    assert summary.severity.word is None
    assert summary.event_counts["hypopnea"].value == 81


def test_a_scoring_that_was_corrected_is_summed_up_anew_beside_a_kept_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLEEPLM_CACHE", str(tmp_path / "cache"))
    recording = recorded(SPO2=saturation(120, (600, 1200, 1800)))
    asleep = Scoring(("N2",) * 120, start=START, has_events=False)
    first = Night(recording, expert=asleep)
    assert first.summary().odi3.value == pytest.approx(3.0)
    _ = first.scorings["automatic"]
    restaged = replace(asleep, stages=("N2",) * 30 + ("W",) * 90)
    again = Night(recording, expert=restaged).summary()
    assert again.tst.value == 15
    # Of the three falls one touches the sleep that is left: quarter of an hour.
    assert again.odi3.value == pytest.approx(4.0)


# ── signals and units ────────────────────────────────────────────────────────────────────────────
def test_the_stager_gets_volts_and_an_empty_unit_is_judged_by_the_signal(
    make_edf: Callable[..., Path],
) -> None:
    eeg = noise_eeg(62).astype(float)
    read = read_recording(make_edf([("EEG C3-A2", "", 64.0, eeg)]))
    assert np.std(read.signals["EEG_C3_A2"]) == pytest.approx(20, rel=0.1)
    usable = usable_channels(read)
    raw = _raw_at_staging_rate(usable, ["EEG_C3_A2"])
    assert 5e-6 < float(raw.get_data().std()) < 25e-6
    scoring = autoscore(read)
    assert scoring.meta["eeg"] == "EEG_C3_A2"
    assert "unscored" not in scoring.stages


def test_a_method_that_takes_another_channel_than_it_was_given_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: dict[str, Any] = {}

    def guessing(raw: Any, stages: Any, *, channel_map: dict[str, str], **rest: Any) -> Any:
        given.update(channel_map)
        given["names"] = raw.ch_names
        return {"meta": {"channels_used": channel_map | {"flow": channel_map["spo2"]}}}

    monkeypatch.setattr("psgscoring.run_pneumo_analysis", guessing)
    signals = breathing(62, ()) | {"SPO2": saturation(62, ()), "POS": np.zeros(62 * PER_EPOCH)}
    night = Night.from_recording(recorded(**signals))
    with pytest.raises(ScoringError, match="automatic scoring failed"):
        _ = night.scorings["automatic"]
    # Under names that say nothing, and without what is not taken from it.
    assert all(name.startswith("q") for name in given.pop("names"))
    assert set(given) == {"flow", "thorax", "abdomen", "spo2"}


@pytest.mark.parametrize("attached", [0, 9], ids=["never on", "off after some minutes"])
def test_a_detached_thermistor_gives_no_ahi_of_zero(attached: int) -> None:
    signals = breathing(62, (300, 700, 1100)) | {"SPO2": saturation(62, (330, 730, 1130))}
    noise = np.random.default_rng(1).normal(0, 1e-3, 62 * PER_EPOCH).astype(np.float32)
    signals["AF"][attached * PER_EPOCH :] = noise[attached * PER_EPOCH :]
    recording = recorded(**signals)
    scoring = autoscore(recording)
    summary = summarize(scoring, recording)
    assert summary.ahi.value is None
    assert summary.ahi.note == "no usable airflow channel"
    assert any(text.startswith("AF is flat, clipped or detached") for text in scoring.problems)
    assert summary.odi3.value is not None


def test_staging_that_fails_is_said_and_never_becomes_sleep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(usable: object, metadata: object) -> Any:
        raise ValueError("no data")

    monkeypatch.setattr("sleeplm.autoscore.stage", fails)
    night = Night.from_recording(recorded(EEG_C4_A1=noise_eeg(62)))
    with pytest.raises(ScoringError, match=r"automatic scoring failed on this recording \(Value"):
        _ = night.scorings["automatic"]


# ── damaged channels ─────────────────────────────────────────────────────────────────────────────
def test_a_clipped_eeg_is_not_staged_and_is_named() -> None:
    clipped = np.clip(noise_eeg(62) * 40, -100, 100)
    recording = recorded(EEG_C4_A1=clipped, SPO2=saturation(62, (600,)))
    scoring = autoscore(recording)
    assert set(scoring.stages) == {"unscored"}
    assert any(
        text.startswith("EEG_C4_A1 is flat, clipped or detached for 100 %")
        for text in scoring.problems
    )
    assert summarize(scoring, recording).tst.value is None
    assert scoring.meta["why_not"]["arousal"] == "no usable EEG channel"


def test_airflow_that_comes_off_halfway_has_no_apnea_there_and_shortens_the_denominator() -> None:
    signals = breathing(122, (300, 900))
    for name in ("AF", "THX", "ABD"):
        signals[name][61 * PER_EPOCH :] = 0
    recording = recorded(**signals)
    scoring = autoscore(recording)
    apneas = [event for event in scoring.events if event.kind.endswith("apnea")]
    assert len(apneas) + len(scoring.untyped_apneas) == 2
    assert all(event.end_s < 61 * 30 for event in scoring.events)
    assert any("AF is flat" in text and "30.5 min" in text for text in scoring.problems)
    summary = summarize(scoring, recording)
    assert summary.ahi.value == pytest.approx(2 / (61 / 120), rel=0.03)
    assert "without EEG it is not per hour of sleep" in summary.ahi.note


# ── limbs ────────────────────────────────────────────────────────────────────────────────────────
def legs(every_s: float, n: int, unit: str) -> list[tuple[str, str, float, np.ndarray]]:
    """A quiet leg EMG at 200 Hz with bursts of 1.5 s, and a saturation beside it."""
    rng = np.random.default_rng(5)
    emg = rng.normal(0, 1.5, 62 * 30 * 200)
    for number in range(n):
        first = int((200 + every_s * number) * 200)
        emg[first : first + 300] = rng.normal(0, 40, 300)
    scale = 1.0 if unit in ("uV", "") else 1e-3
    spo2 = saturation(62, (600,))[::64].astype(float)
    return [("LAT", unit, 200.0, emg * scale), ("SpO2", "%", 1.0, spo2)]


@pytest.mark.parametrize("unit", ["uV", "mV"])
def test_limb_movements_in_a_row_are_periodic_whatever_the_unit(
    make_edf: Callable[..., Path], unit: str
) -> None:
    recording = read_recording(make_edf(legs(30, 20, unit)))
    scoring = autoscore(recording)
    periodic = scoring.events_of("plm")
    assert len(periodic) == 20
    assert [event.onset_s for event in periodic] == pytest.approx(
        [200 + 30 * number for number in range(20)], abs=0.6
    )
    assert {event.rule for event in periodic} == {"aasm_plm"}
    assert summarize(scoring, recording).plm_index.value == pytest.approx(20 / (62 / 120), 0.01)


def test_limb_movements_far_apart_are_not_periodic(make_edf: Callable[..., Path]) -> None:
    scoring = autoscore(read_recording(make_edf(legs(150, 8, "uV"))))
    assert scoring.events_of("plm") == ()
    assert len(scoring.events_of("limb_movement")) == 8
    summary = summarize(scoring, recorded(SPO2=saturation(62, ())))
    assert summary.plm_index.value == 0


def test_leg_emg_without_a_unit_is_no_leg_emg_at_rest(make_edf: Callable[..., Path]) -> None:
    path = make_edf(legs(30, 20, ""))
    assert leg_signals(path).reason == "leg EMG has no unit of voltage, and its rule is in µV"
    scoring = autoscore(read_recording(path))
    assert not scoring.looked_for("plm")
    summary = summarize(scoring, recorded(SPO2=saturation(62, ())))
    assert summary.plm_index.value is None
    assert "no unit of voltage" in summary.plm_index.note


# ── rules and words ──────────────────────────────────────────────────────────────────────────────
def test_a_confidence_of_an_event_is_in_no_probability() -> None:
    events = (Event("hypopnea", 100, 20, confidence=0.9),)
    scoring = Scoring(("N2",) * 120, events, scorer=Scorer("automatic", "x"))
    text = summarize(scoring, recorded(SPO2=saturation(120, ()))).to_text()
    assert "0.9" not in text
    assert "probab" not in text


def test_a_sequence_that_holds_an_apnea_is_no_rera_and_is_not_counted_twice() -> None:
    found = Events(
        events=[Event("hypopnea", 200, 20), Event("arousal", 400, 4)],
        untyped_apneas=[(600.0, 15.0)],
    )
    reras = [Event("rera", onset_s, 60) for onset_s in (100, 190, 380, 590)]
    assert [rera.onset_s for rera in _apart_from_apneas(reras, found)] == [100, 380]


def test_the_hypoxic_burden_names_its_method_and_the_ahi_its_reach() -> None:
    found = Events()
    _add_indices(
        found,
        {
            "respiratory": {"summary": {"indices_computable": True, "ahi_total": 12.0}},
            "meta": {"scoring_profile": "aasm_v3_breath_dual"},
            "ahi_interval": {"strict": {"ahi": 9.0}, "sensitive": {"ahi": 15.0}},
            "hypoxic_burden": {"hypoxic_burden": 40.0, "baseline_method": "Geen idee, sorry"},
        },
    )
    assert found.details["ahi_range"]["lowest"] == 9.0
    assert found.details["ahi_range"]["highest"] == 15.0
    burden = found.details["hypoxic_burden"]
    assert burden["unit"] == "%·min/h"
    assert burden["method"].startswith("psgscoring, baseline not named")


def test_the_desaturation_index_names_the_rule_of_its_falls() -> None:
    recording = recorded(SPO2=saturation(120, (600, 1800)))
    for scoring in (
        autoscore(recording),
        Scoring(("N2",) * 120, start=START, has_events=False),
    ):
        summary = summarize(scoring, recording)
        assert "from the peak in the minute before" in summary.odi3.note
        assert summary.odi3.value == pytest.approx(2.0)
    assert "Karhu" in summary.rules["desaturation"]


def _silent(phrase: str, share: float) -> None:
    return None
