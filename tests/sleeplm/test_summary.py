"""The night's report against numbers worked out by hand, or by a second calculation here."""

import json
import math
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from sleeplm.insights import insights
from sleeplm.physiology import measure_night
from sleeplm.recording import Recording
from sleeplm.scoring import EVENT_KINDS, Event, Scorer, Scoring
from sleeplm.severity import severity_word
from sleeplm.summary import FIELDS, SECTIONS, NightSummary, Quantity, summarize

RATE_HZ = 64


def recording_of(n_epochs: int, **per_second: np.ndarray | float) -> Recording:
    """A recording of whole epochs whose channels are given per second (or as one constant)."""
    n_seconds = n_epochs * 30
    channels = {"ABD": np.zeros(n_seconds), **per_second}
    return Recording.from_signals(
        {
            name: np.repeat(np.broadcast_to(np.asarray(values, dtype=float), n_seconds), RATE_HZ)
            for name, values in channels.items()
        }
    )


def runs(*parts: tuple[str, int]) -> tuple[str, ...]:
    return tuple(stage for stage, count in parts for _ in range(count))


def desaturation(onset_s: float, depth_pct: float) -> Event:
    evidence = {"baseline_pct": 96.0, "nadir_pct": 96.0 - depth_pct}
    return Event("desaturation", onset_s, 25.0, "SPO2", None, evidence)


# One hour. Epochs:      0–9        10–13      14–43       44–63         64–65
HOUR = (
    runs(("W", 10), ("N1", 4), ("N2", 30), ("N3", 20), ("unscored", 2))
    # 66–69       70–79        80–99       100–101    102–109     110–119
    + runs(("W", 4), ("N2", 10), ("R", 20), ("W", 2), ("N2", 8), ("W", 10))
)
HOUR_EVENTS = (
    Event("obstructive_apnea", 100.0, 20.0),  # all in wake
    Event("obstructive_apnea", 295.0, 15.0),  # wake → N1: counts, in N1
    Event("central_apnea", 1000.0, 12.0),
    Event("hypopnea", 1012.0, 15.0),  # begins where the apnea ends: two events
    Event("hypopnea", 2395.0, 15.0),  # N2 → R: counts once, in N2
    Event("hypopnea", 2405.0, 20.0),
    Event("mixed_apnea", 2600.0, 15.0),
    Event("hypopnea", 3400.0, 15.0),  # all in wake, with a desaturation
    Event("rera", 3070.0, 15.0),
    Event("arousal", 1025.0, 4.0),
    Event("arousal", 1975.0, 10.0),  # unscored → wake
    Event("arousal", 3298.0, 6.0),  # N2 → wake
    Event("plm", 1500.0, 1.0),
    Event("limb_movement", 1600.0, 1.0),
    desaturation(150.0, 6.0),  # in wake
    desaturation(1030.0, 5.0),
    desaturation(2420.0, 3.0),
    desaturation(3410.0, 5.0),
)


@pytest.fixture(scope="module")
def hour() -> NightSummary:
    return summarize(Scoring(HOUR, HOUR_EVENTS), recording_of(120))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("trt", 60.0),
        ("tib", 60.0),
        ("tst", 46.0),
        ("spt", 50.0),
        ("sleep_efficiency", 100 * 46 / 59),  # one minute is unscored
        ("sleep_maintenance", 100 * 46 / 49),
        ("sleep_onset_latency", 5.0),
        ("rem_latency", 35.0),  # from sleep onset, not 40 min from the start
        ("n3_latency", 17.0),
        ("waso", 8.0),
        ("awakenings", 2.0),
        ("stage_minutes.W", 13.0),
        ("stage_minutes.N1", 2.0),
        ("stage_minutes.N2", 24.0),
        ("stage_minutes.N3", 10.0),
        ("stage_minutes.R", 10.0),
        ("stage_percent.N1", 100 * 2 / 46),
        ("stage_percent.N2", 100 * 24 / 46),
        ("stage_percent.N3", 100 * 10 / 46),
        ("stage_percent.R", 100 * 10 / 46),
        ("ahi", 6 * 60 / 46),
        ("apnea_index", 3 * 60 / 46),
        ("hypopnea_index", 3 * 60 / 46),
        ("cai", 60 / 46),
        ("oahi", 5 * 60 / 46),
        ("rdi", 7 * 60 / 46),
        ("ahi_rem", 2 * 60 / 10),
        ("ahi_nrem", 4 * 60 / 36),
        ("ahi_1a", 6 * 60 / 46),
        ("ahi_1b", 4 * 60 / 46),
        ("odi3", 2 * 60 / 46),
        ("odi4", 60 / 46),
        ("arousal_index", 2 * 60 / 46),
        ("plm_index", 60 / 46),
        ("event_counts.obstructive_apnea", 2.0),
        ("event_counts.arousal", 3.0),
        ("event_counts.hypopnea", 4.0),
        ("event_counts.snore", 0.0),
    ],
)
def test_an_hour_worked_out_by_hand(hour, name, expected):
    assert hour.quantity(name).value == pytest.approx(expected)


def test_every_quantity_names_source_and_unit(hour):
    for name, quantity in hour.quantities().items():
        assert quantity.unit == FIELDS[name.partition(".")[0]].unit
        assert quantity.source in ("expert", "measured")
    assert hour.trt.source == "measured"
    assert hour.ahi.source == "expert"
    other = summarize(Scoring(HOUR, HOUR_EVENTS, Scorer("model", "SleepLM")), recording_of(120))
    assert other.tst.source == other.ahi.source == "model"
    assert other.scorer == {"kind": "model", "name": "SleepLM", "version": None}


def test_latencies_name_their_origin(hour):
    assert "start of the recording" in hour.sleep_onset_latency.note
    assert hour.rem_latency.note == "from sleep onset"
    lit = summarize(Scoring(HOUR, HOUR_EVENTS, lights_off_s=90.0), recording_of(120))
    assert lit.sleep_onset_latency.value == pytest.approx(3.5)
    assert lit.sleep_onset_latency.note == "from lights off"
    assert lit.rem_latency.value == pytest.approx(35.0)


def test_time_in_bed_runs_from_lights_off_to_lights_on():
    lit = summarize(
        Scoring(HOUR, HOUR_EVENTS, lights_off_s=120.0, lights_on_s=3390.0), recording_of(120)
    )
    assert lit.tib.value == pytest.approx(54.5)
    # 4 epochs before lights off and 7 after lights on fall away, all wake.
    assert lit.sleep_efficiency.value == pytest.approx(100 * 46 / (59 - 5.5))
    assert lit.waso.value == pytest.approx(8.0 - 3.5)
    assert lit.trt.value == pytest.approx(60.0)


def test_lights_off_within_an_epoch_of_sleep_gives_a_latency_of_zero() -> None:
    asleep = Scoring(("N2",) * 120, (), lights_off_s=312.0)
    latency = summarize(asleep, recording_of(120)).sleep_onset_latency
    assert latency.value == 0.0


def test_lights_that_enclose_nothing_are_not_used():
    summary = summarize(Scoring(HOUR, (), lights_off_s=900.0, lights_on_s=800.0), recording_of(120))
    assert summary.tib.value == pytest.approx(60.0)
    assert any("lights" in sentence and "not used" in sentence for sentence in summary.missing)


def test_field_names_are_the_contract(hour):
    names = set(FIELDS) | {
        *("scorer", "agreement", "rules", "severity", "insights", "missing"),
        *("review_first", "details", "not_judged"),
    }
    assert set(FIELDS) == {
        *("trt", "tib", "tst", "spt", "sleep_efficiency", "sleep_maintenance", "waso"),
        *("sleep_onset_latency", "rem_latency", "n3_latency", "awakenings"),
        *("stage_minutes", "stage_percent", "event_counts", "position_minutes"),
        *("ahi", "ahi_1a", "ahi_1b", "rdi", "oahi", "cai", "hypopnea_index", "apnea_index"),
        *("ahi_rem", "ahi_nrem", "ahi_supine", "ahi_nonsupine", "odi3", "odi4"),
        *("arousal_index", "plm_index", "spo2_mean", "spo2_nadir", "t90"),
        *("hr_mean", "hr_min", "hr_max"),
    }
    data = json.loads(hour.model_dump_json())
    assert set(data) == names
    assert set(data["tst"]) == {"value", "unit", "source", "note"}
    assert set(data["stage_minutes"]) == {"W", "N1", "N2", "N3", "R"}
    assert set(data["stage_percent"]) == {"N1", "N2", "N3", "R"}
    assert set(data["event_counts"]) == set(EVENT_KINDS)
    assert set(data["position_minutes"]) == {"supine", "left", "right", "prone", "upright"}
    assert NightSummary.model_validate_json(hour.model_dump_json()) == hour


# ── nights that lack something ─────────────────────────────────────────────────────────────────

ODD_NIGHTS = {
    "no REM": Scoring(runs(("W", 4), ("N2", 30), ("W", 6)), HOUR_EVENTS[:4]),
    "no sleep": Scoring(("W",) * 40, HOUR_EVENTS[:2]),
    "nothing scored": Scoring(("unscored",) * 40, HOUR_EVENTS[:2]),
    "no stages at all": Scoring((), HOUR_EVENTS[:2]),
    "one epoch of wake": Scoring(("W",)),
    "one epoch of sleep": Scoring(("N2",), (Event("hypopnea", 3.0, 12.0),)),
    "stages only": Scoring(runs(("W", 4), ("N2", 30), ("R", 6)), has_events=False),
    "arousals only": Scoring(
        ("N2",) * 40, (Event("arousal", 1025.0, 4.0),), scored_kinds=("arousal",)
    ),
    "REM only": Scoring(("R",) * 40, ()),
}


@pytest.mark.parametrize("name", ODD_NIGHTS)
@pytest.mark.parametrize("channels", [{}, {"SPO2": 95.0, "HR": 60.0, "POS": 2.0},
                                      {"SPO2": 0.0, "HR": 0.0, "POS": -1.0}])  # fmt: skip
def test_odd_nights_have_a_number_or_a_reason_in_every_field(name, channels):
    scoring = ODD_NIGHTS[name]
    summary = summarize(scoring, recording_of(max(scoring.n_epochs, 1), **channels))
    json.loads(summary.model_dump_json(), parse_constant=lambda text: pytest.fail(text))
    for field, quantity in summary.quantities().items():
        if quantity.value is None:
            assert quantity.note, field
            assert any(field in sentence for sentence in summary.missing), field
        else:
            assert math.isfinite(quantity.value), field
            assert quantity.value >= 0, field
    for section in SECTIONS:
        assert "nan" not in summary.section(section).split()
    assert "None" not in summary.to_text()


def test_without_sleep_no_index_is_given_and_no_severity():
    summary = summarize(ODD_NIGHTS["no sleep"], recording_of(40))
    assert summary.tst.value == 0
    assert summary.sleep_efficiency.value == 0
    for name in ("ahi", "odi3", "arousal_index", "rem_latency", "waso", "spt", "ahi_rem"):
        assert summary.quantity(name).value is None, name
    assert summary.severity.word is None
    assert summary.event_counts["obstructive_apnea"].value == 2


def test_without_stages_nothing_is_counted_as_wake_or_sleep():
    summary = summarize(ODD_NIGHTS["nothing scored"], recording_of(40))
    assert summary.tst.value is None
    assert summary.stage_minutes["W"].value is None
    assert summary.ahi.value is None
    assert "no epoch has a sleep stage" in summary.ahi.note


def test_a_night_without_rem_has_no_rem_index_but_zero_minutes():
    summary = summarize(ODD_NIGHTS["no REM"], recording_of(40))
    assert summary.stage_minutes["R"].value == 0
    assert summary.stage_percent["R"].value == 0
    assert summary.rem_latency.value is None
    assert summary.ahi_rem.value is None
    assert summary.ahi_rem.note == "no REM sleep"
    assert summary.ahi_nrem.value == summary.ahi.value


def test_what_nobody_scored_is_null_and_not_zero():
    stages_only = summarize(ODD_NIGHTS["stages only"], recording_of(40))
    arousals_only = summarize(ODD_NIGHTS["arousals only"], recording_of(40))
    for summary in (stages_only, arousals_only):
        for name in ("ahi", "plm_index", "rdi", "event_counts.hypopnea"):
            assert summary.quantity(name).value is None, name
        assert summary.severity.word is None
    assert stages_only.arousal_index.value is None
    assert arousals_only.arousal_index.value == pytest.approx(60 / 20)
    looked = summarize(Scoring(("N2",) * 80), recording_of(80))
    assert looked.ahi.value == 0
    assert looked.severity.word == "none"


def test_a_few_minutes_of_sleep_give_a_rate_but_no_severity():
    apnea = (Event("obstructive_apnea", 30.0, 15.0),)
    short = summarize(Scoring(("N2",) * 59, apnea), recording_of(59))
    assert short.ahi.value == pytest.approx(60 / 29.5)
    assert short.severity.word is None
    assert "less than 30 min of sleep" in short.severity.note
    assert summarize(Scoring(("N2",) * 60, apnea), recording_of(60)).severity.word == "none"


def test_apneas_that_a_scorer_cannot_tell_are_named_and_not_zero():
    kinds = ("obstructive_apnea", "hypopnea")
    events = (Event("obstructive_apnea", 100.0, 12.0), Event("hypopnea", 200.0, 12.0))
    scoring = Scoring(("N2",) * 120, events, Scorer("model"), scored_kinds=kinds)
    summary = summarize(scoring, recording_of(120))
    assert summary.ahi.value == pytest.approx(2.0)
    assert "central apneas and mixed apneas were not looked for" in summary.ahi.note
    assert summary.cai.value is None
    assert summary.rdi.value is None
    assert summary.event_counts["central_apnea"].value is None
    assert summary.severity.predominance is None


def test_short_nights_are_divided_by_their_true_length():
    summary = summarize(ODD_NIGHTS["one epoch of sleep"], recording_of(1))
    assert summary.ahi.value == pytest.approx(120.0)


def test_unscored_epochs_before_sleep_leave_the_latency_in_doubt():
    scoring = Scoring(runs(("unscored", 4), ("W", 4), ("N2", 32)))
    assert (
        "4 epochs before it are unscored"
        in summarize(scoring, recording_of(40)).sleep_onset_latency.note
    )


def test_wake_cut_by_an_unscored_epoch_is_one_awakening():
    scoring = Scoring(runs(("N2", 5), ("W", 2), ("unscored", 1), ("W", 2), ("N2", 5), ("W", 5)))
    assert summarize(scoring, recording_of(20)).awakenings.value == 1


def test_apneas_without_a_type_count_in_the_ahi_and_in_no_type():
    scoring = Scoring(("N2",) * 120, untyped_apneas=((100.0, 12.0), (200.0, 12.0)))
    summary = summarize(scoring, recording_of(120))
    assert summary.ahi.value == summary.apnea_index.value == pytest.approx(2.0)
    assert summary.cai.value == summary.oahi.value == 0
    assert "without a type" in summary.ahi.note
    assert summary.severity.predominance is None


# ── hypopnea rules ─────────────────────────────────────────────────────────────────────────────


def spo2_with_dips(n_epochs: int, *dips: tuple[int, float]) -> np.ndarray:
    """96 % with falls: from each second down over 15 s by so many points, 10 s low, 15 s back."""
    seconds = np.full(n_epochs * 30, 96.0)
    for start, depth in dips:
        shape = np.concatenate([np.linspace(0, 1, 16)[1:], np.ones(10), np.linspace(1, 0, 16)[1:]])
        seconds[start : start + len(shape)] -= depth * shape
    return seconds


def test_hypopneas_are_judged_by_the_signal_and_by_arousals():
    events = (
        Event("hypopnea", 600.0, 20.0),  # falls 5 points
        Event("hypopnea", 1200.0, 20.0),  # falls 3 points
        Event("hypopnea", 1800.0, 20.0),  # falls 2 points, arousal
        Event("hypopnea", 2400.0, 20.0),  # falls 2 points, no arousal
        Event("hypopnea", 3000.0, 20.0),  # an arousal that comes too late
        Event("arousal", 1822.0, 5.0),
        Event("arousal", 3027.0, 5.0),
    )
    spo2 = spo2_with_dips(120, (615, 5.0), (1215, 3.0), (1815, 2.0), (2415, 2.0))
    summary = summarize(Scoring(("N2",) * 120, events), recording_of(120, SPO2=spo2))
    assert summary.ahi.value == pytest.approx(5.0)
    assert summary.ahi_1a.value == pytest.approx(3.0)
    assert summary.ahi_1b.value == pytest.approx(1.0)
    # No desaturation is scored: measured from the signal.
    assert summary.odi3.value == pytest.approx(2.0)
    assert summary.odi4.value == pytest.approx(1.0)
    assert summary.odi3.source == "measured"


def test_a_fall_that_the_files_16_bits_round_down_still_counts():
    events = (Event("hypopnea", 600.0, 20.0),)
    spo2 = spo2_with_dips(120, (615, 2.998))
    summary = summarize(Scoring(("N2",) * 120, events), recording_of(120, SPO2=spo2))
    assert summary.ahi_1a.value == pytest.approx(1.0)
    assert summary.odi3.value == pytest.approx(1.0)


def test_a_hypopnea_that_cannot_be_judged_makes_the_rule_null_with_the_reason():
    events = (Event("hypopnea", 600.0, 20.0), Event("hypopnea", 900.0, 20.0))
    kinds = ("obstructive_apnea", "central_apnea", "mixed_apnea", "hypopnea", "rera", "arousal")
    scoring = Scoring(("N2",) * 120, (*events, Event("arousal", 610.0, 5.0)), scored_kinds=kinds)
    summary = summarize(scoring, recording_of(120))
    assert summary.ahi.value == pytest.approx(2.0)
    assert summary.ahi_1a.value is None
    assert "1 of 2 hypopneas cannot be judged" in summary.ahi_1a.note
    assert "2 of 2 hypopneas cannot be judged" in summary.ahi_1b.note
    assert summary.odi3.value is None


def test_without_scored_arousals_a_shallow_hypopnea_is_not_ruled_out():
    kinds = ("obstructive_apnea", "central_apnea", "mixed_apnea", "hypopnea", "rera")
    scoring = Scoring(("N2",) * 120, (Event("hypopnea", 600.0, 20.0),), scored_kinds=kinds)
    summary = summarize(scoring, recording_of(120, SPO2=96.0))
    assert summary.ahi_1a.value is None
    assert "arousals were not scored" in summary.ahi_1a.note
    assert summary.ahi_1b.value == 0


def test_scored_desaturations_without_depth_take_it_from_the_signal_or_are_null():
    scoring = Scoring(("N2",) * 120, (Event("desaturation", 612.0, 40.0),))
    spo2 = spo2_with_dips(120, (615, 3.5))
    measured = summarize(scoring, recording_of(120, SPO2=spo2))
    assert measured.odi3.value == pytest.approx(1.0)
    assert measured.odi4.value == 0
    unknown = summarize(scoring, recording_of(120))
    assert unknown.odi3.value is None
    assert "no depth" in unknown.odi3.note


# ── oxygen, heart, position ────────────────────────────────────────────────────────────────────


def test_oxygen_counts_sleep_only_and_leaves_out_a_probe_that_is_off():
    spo2 = np.full(3600, 94.0)
    spo2[:300] = 80.0  # in wake
    spo2[600:720] = 88.0
    spo2[1000:1010] = 90.0  # 90 is not below 90
    spo2[2000:2100] = 0.0  # off
    stages = runs(("W", 10), ("N2", 110))
    summary = summarize(Scoring(stages), recording_of(120, SPO2=spo2))
    # The program takes out two more seconds at each edge of the hole and of sudden steps
    # of more than 4 points; here 94 → 0 → 94 (2 + 2) and 80 → 94 (in wake and 2–3 s of sleep).
    assert summary.t90.value == pytest.approx(2.0, abs=0.15)
    assert summary.spo2_nadir.value == pytest.approx(88.0)
    assert summary.spo2_mean.value == pytest.approx((94 * (3300 - 230) + 88 * 120 + 900) / 3200,
                                                    abs=0.02)  # fmt: skip
    assert "sensor off" in summary.spo2_mean.note
    assert summary.spo2_mean.source == "measured"


def test_90_percent_that_the_file_keeps_as_89_999_is_not_below_90():
    summary = summarize(Scoring(("N2",) * 4), recording_of(4, SPO2=89.999))
    assert summary.t90.value == 0


def test_heart_rate_is_of_sleep_and_of_plausible_seconds():
    heart = np.full(3600, 60.0)
    heart[:300] = 110.0  # in wake
    heart[1000:1030] = 48.0
    heart[2000:2060] = 90.0
    heart[3000:3100] = 0.0  # lost
    stages = runs(("W", 10), ("N2", 110))
    summary = summarize(Scoring(stages), recording_of(120, HR=heart))
    assert summary.hr_min.value == pytest.approx(48.0)
    assert summary.hr_max.value == pytest.approx(90.0)
    expected = (60 * (3300 - 30 - 60 - 100) + 48 * 30 + 90 * 60) / 3200
    assert summary.hr_mean.value == pytest.approx(expected)


def test_heart_rate_from_ecg_beats_is_a_fallback_that_says_so():
    rates = np.array([100.0, 60.0, np.nan, 64.0], dtype=np.float32)
    measured = replace(measure_night(recording_of(4).signals), values={"ecg_rate_bpm": rates})
    summary = summarize(Scoring(("W", "N2", "N2", "R")), recording_of(4), measured)
    assert summary.hr_mean.value == pytest.approx(62.0)
    assert "ECG beats" in summary.hr_mean.note


def test_positions_are_of_sleep_and_events_belong_to_the_position_of_their_onset():
    position = np.full(3600, 2.0)
    position[1800:3000] = 0.0
    position[3000:] = -1.0
    stages = runs(("W", 10), ("N2", 110))
    events = (
        Event("obstructive_apnea", 600.0, 20.0),
        Event("hypopnea", 1790.0, 20.0),  # begins supine
        Event("hypopnea", 2000.0, 20.0),
        Event("hypopnea", 3200.0, 20.0),  # position not known: in neither
    )
    summary = summarize(Scoring(stages, events), recording_of(120, POS=position))
    minutes = {name: held.value for name, held in summary.position_minutes.items()}
    assert minutes == {"supine": 25.0, "right": 20.0, "left": 0.0, "prone": 0.0, "upright": 0.0}
    assert "10.0 min in an unknown position" in summary.position_minutes["supine"].note
    assert summary.ahi_supine.value == pytest.approx(2 / (25 / 60))
    assert summary.ahi_nonsupine.value == pytest.approx(1 / (20 / 60))


# ── words ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("ahi", "word"),
    [(0, "none"), (4.99, "none"), (5, "mild"), (14.99, "mild"), (15, "moderate"),
     (29.99, "moderate"), (30, "severe"), (120, "severe")],
)  # fmt: skip
def test_severity_bands_include_their_lower_edge(ahi, word):
    assert severity_word(ahi) == word


def test_severity_of_nonsense_is_refused():
    with pytest.raises(ValueError, match="AHI"):
        severity_word(float("nan"))


@pytest.mark.parametrize(
    ("central", "obstructive", "predominance"),
    [(5, 5, "central"), (4, 6, "obstructive"), (0, 10, "obstructive"), (10, 0, "central")],
)
def test_central_apneas_are_not_called_obstructive(central, obstructive, predominance):
    kinds = ["central_apnea"] * central + ["obstructive_apnea"] * obstructive
    events = tuple(Event(kind, 60.0 + 100 * i, 12.0) for i, kind in enumerate(kinds))
    summary = summarize(Scoring(("N2",) * 120, events), recording_of(120))
    assert summary.severity.predominance == predominance
    assert f"predominantly {predominance}" in summary.section("severity")


def test_hypopneas_alone_name_no_predominance():
    events = tuple(Event("hypopnea", 60.0 + 100 * i, 12.0) for i in range(10))
    summary = summarize(Scoring(("N2",) * 120, events), recording_of(120))
    assert summary.severity.word == "mild"
    assert summary.severity.predominance is None


def test_positional_and_rem_remarks_stand_on_their_numbers():
    stages = runs(("N2", 160), ("R", 80))
    position = np.r_[np.full(3600, 2.0), np.full(3600, 1.0)]
    supine = tuple(Event("hypopnea", 100.0 + 60 * i, 12.0) for i in range(20))
    summary = summarize(Scoring(stages, supine), recording_of(240, POS=position))
    assert [insight.name for insight in summary.insights] == ["positional"]
    assert summary.insights[0].evidence["ahi_supine"] == pytest.approx(20.0)
    in_rem = tuple(Event("hypopnea", 4830.0 + 60 * i, 12.0) for i in range(20))
    summary = summarize(Scoring(stages, in_rem), recording_of(240))
    assert [insight.name for insight in summary.insights] == ["rem_related"]
    assert summary.insights[0].evidence["ahi_nrem"] == 0
    short_rem = runs(("N2", 200), ("R", 40))
    summary = summarize(Scoring(short_rem, in_rem[-15:]), recording_of(240))
    assert insights(summary) == []


def test_a_broken_night_is_remarked_and_a_night_without_sleep_is_not():
    broken = summarize(Scoring(runs(("N2", 60), ("W", 60))), recording_of(120))
    assert [insight.name for insight in broken.insights] == ["fragmentation"]
    assert summarize(Scoring(("W",) * 120), recording_of(120)).insights == []


def test_sections_say_value_unit_source_and_reason(hour):
    text = hour.section("sleep")
    assert "Total sleep time: 46.0 min (expert" in text
    assert "REM latency: 35.0 min (expert; from sleep onset)." in text
    assert "Mean SpO2: not measured, no SpO2 channel." in hour.section("oxygen")
    assert "rule" in hour.section("breathing")
    assert hour.to_text(["heart"]) == hour.section("heart")
    with pytest.raises(KeyError, match="no section 'dreams'"):
        hour.section("dreams")
    with pytest.raises(KeyError, match="dreams"):
        hour.quantity("dreams")


def test_agreement_of_two_scorings_is_stated():
    mine = Scoring(runs(("W", 10), ("N2", 30)))
    theirs = Scoring(runs(("W", 20), ("N2", 19), ("unscored", 1)), scorer=Scorer("model"))
    summary = summarize(mine, recording_of(40), others=[theirs])
    # 39 shared epochs, 10 W–W, 10 N2–W, 19 N2–N2: po = 29/39, pe = (10·20 + 29·19)/39².
    observed, chance = 29 / 39, (10 * 20 + 29 * 19) / 39**2
    assert summary.agreement["model"].agreement_percent == pytest.approx(100 * observed)
    assert summary.agreement["model"].kappa == pytest.approx((observed - chance) / (1 - chance))
    assert summarize(mine, recording_of(40)).agreement is None


def test_a_quantity_cannot_be_changed_after_it_was_stated(hour):
    with pytest.raises(ValueError, match="frozen"):
        hour.tst.value = 3.0
    assert isinstance(hour.tst, Quantity)


# ── a whole night, from its files ──────────────────────────────────────────────────────────────


def test_a_simulated_night_from_its_files_equals_a_calculation_from_the_truth(tmp_path):
    from sleeplm.recording import read_recording
    from sleeplm.scoring_files import find_scoring, read_scoring
    from train.simulate import simulate_night, write_night

    edf = tmp_path / "night.edf"
    write_night(simulate_night(7, hours=2.0, ahi=25.0), edf)
    recording = read_recording(edf)
    found = find_scoring(edf)
    assert found == tmp_path / "night-nsrr.xml"
    summary = summarize(read_scoring(found).aligned(recording.start, recording.n_epochs), recording)
    truth = json.loads((tmp_path / "night.truth.json").read_text())
    stages = np.array(truth["stages"])
    asleep = np.isin(stages, ["N1", "N2", "N3", "R"])
    hours = asleep.sum() / 120

    def count(*kinds: str, **limits) -> int:
        found = 0
        for event in truth["events"]:
            depth = event.get("evidence", {}).get("baseline_pct", 0) - event.get(
                "evidence", {}
            ).get("nadir_pct", 0)
            end = event["onset_s"] + event["duration_s"]
            epochs = asleep[int(event["onset_s"] // 30) : math.ceil(end / 30)]
            deep = depth >= limits.get("depth", -1) - 0.05
            found += event["kind"] in kinds and bool(epochs.any()) and deep
        return found

    apneas = ("obstructive_apnea", "central_apnea", "mixed_apnea")
    onset = int(np.flatnonzero(asleep)[0])
    assert hours > 0.5
    assert summary.tst.value == pytest.approx(60 * hours)
    assert summary.sleep_efficiency.value == pytest.approx(100 * asleep.mean())
    lights_off_s = truth.get("lights_off_s") or 0.0
    assert summary.sleep_onset_latency.value == pytest.approx(onset / 2 - lights_off_s / 60)
    assert summary.waso.value == pytest.approx((stages[onset:] == "W").sum() / 2)
    for stage in ("W", "N1", "N2", "N3", "R"):
        assert summary.stage_minutes[stage].value == pytest.approx((stages == stage).sum() / 2)
    if (stages == "R").any():
        first = int(np.flatnonzero(stages == "R")[0])
        assert summary.rem_latency.value == pytest.approx((first - onset) / 2)
    assert count(*apneas, "hypopnea") > 5
    assert summary.ahi.value == pytest.approx(count(*apneas, "hypopnea") / hours)
    assert summary.arousal_index.value == pytest.approx(count("arousal") / hours)
    assert summary.odi3.value == pytest.approx(count("desaturation", depth=3) / hours)
    for kind in EVENT_KINDS:
        total = sum(event["kind"] == kind for event in truth["events"])
        known = kind in truth["scored_kinds"]
        assert summary.event_counts[kind].value == (total if known else None)
        assert known or summary.event_counts[kind].note
    # Signals: the channels as read, by a calculation of its own.
    seconds = np.repeat(asleep, 30)
    spo2 = recording.channel("SPO2").reshape(-1, 64).mean(axis=1)[: len(seconds)]
    heart = recording.channel("HR").reshape(-1, 64).mean(axis=1)[: len(seconds)]
    good = seconds[: len(spo2)] & (spo2 >= 50) & (spo2 <= 100.5)
    assert summary.spo2_mean.value == pytest.approx(spo2[good].mean(), abs=0.1)
    assert summary.spo2_nadir.value == pytest.approx(spo2[good].min(), abs=0.6)
    assert summary.t90.value == pytest.approx((spo2[good] < 89.95).sum() / 60, abs=0.2)
    beating = seconds[: len(heart)] & (heart > 20)
    assert summary.hr_mean.value == pytest.approx(heart[beating].mean(), abs=0.2)
    position = recording.channel("POS").reshape(-1, 64)[:, 32].round()[: len(seconds)]
    for name, code in {"right": 0, "left": 1, "supine": 2, "prone": 3, "upright": 4}.items():
        minutes = (position[seconds[: len(position)]] == code).sum() / 60
        assert summary.position_minutes[name].value == pytest.approx(minutes)
    assert recording.start is None or isinstance(recording.start, datetime)
