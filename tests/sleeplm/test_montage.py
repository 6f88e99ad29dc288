"""Which label means which channel, in which unit, with which position codes."""

import numpy as np
import pytest

from sleeplm.errors import MontageError
from sleeplm.montage import (
    CHANNELS,
    OFFICIAL_CHANNELS,
    POSITION_CODES,
    PositionCoding,
    SignalLabel,
    channel_name,
    normalise_label,
    physical_scale,
    position_codes,
    resolve_channels,
)

SHHS = """SaO2 H.R. EEG(sec) ECG EMG EOG(L) EOG(R) EEG SOUND AIRFLOW THOR#RES ABDO#RES
    POSITION LIGHT NEW#AIR OX#stat"""
MROS = """Position Leg#L Leg#R C3 C4 A1 A2 ROC LOC ECG#L ECG#R L#Chin R#Chin Airflow Thoracic
    Abdominal SUM STAT HR SaO2 Cannula#Flow DHR"""
CFS = """C3 C4 M1 M2 LOC ROC ECG1 ECG2 EMG1 EMG2 EMG3 L#Leg R#Leg AIRFLOW THOR#EFFORT ABDO#EFFORT
    SUM SNORE POSITION OX#STATUS PULSE SpO2 NASAL#PRES PlethWV Light HRate"""
CCSHS = """C3 C4 A1 A2 LOC ROC ECG2 ECG1 EMG1 EMG2 EMG3 L#Leg R#Leg AIRFLOW THOR#EFFORT
    ABDO#EFFORT SNORE SUM POSITION OX#STATUS PULSE SpO2 NASAL#PRES PlethWV Light HRate"""
WSC = """F3_M2 Fz_M2 Cz_M2 C3_M2 C4_M1 Pz_M2 O1_M2 E1 E2 cchin_l lleg_r ECG snore flow nas_pres
    thorax abdomen sum position spo2"""
MESA = """EKG EOG-L EOG-R EMG EEG1 EEG2 EEG3 Pres Flow Snore Thor Abdo Leg Therm Pos EKG_Off
    EOG-L_Off Pleth OxStatus SpO2 HR DHR"""
SLEEP_EDF = (
    "EEG#Fpz-Cz EEG#Pz-Oz EOG#horizontal Resp#oro-nasal EMG#submental Temp#rectal Event#marker"
)


def first_choices(labels: str, **overrides: str) -> dict[str, str | None]:
    """Channel → what is used first; a difference is written with a minus."""
    signals = [SignalLabel(text.replace("#", " "), "uV", 128.0) for text in labels.split()]
    resolved = resolve_channels(signals, overrides)
    return {
        channel: (found[0].derivation or found[0].label) if found else None
        for channel, found in resolved.items()
    }


def test_the_house_has_the_official_ten_and_two_more():
    assert (
        " ".join(OFFICIAL_CHANNELS) == "ECG ABD THX AF EOG_L EOG_R EEG_C3_A2 EEG_C4_A1 EMG_CHIN POS"
    )
    assert (*OFFICIAL_CHANNELS, "SPO2", "HR") == CHANNELS
    assert POSITION_CODES == {
        "right": 0,
        "left": 1,
        "supine": 2,
        "prone": 3,
        "upright": 4,
        "unknown": -1,
    }


@pytest.mark.parametrize(
    ("cohort", "expected"),
    [
        (
            SHHS,
            "ECG|ABDO RES|THOR RES|NEW AIR|EOG(L)|EOG(R)|EEG(sec)|EEG|EMG|POSITION|SaO2|H.R.",
        ),
        (
            MROS,
            "ECG L − ECG R|Abdominal|Thoracic|Airflow|LOC − A2|ROC − A1|C3 − A2|C4 − A1|"
            "L Chin − R Chin|Position|SaO2|HR",
        ),
        (
            CFS,
            "ECG1 − ECG2|ABDO EFFORT|THOR EFFORT|AIRFLOW|LOC − M2|ROC − M1|C3 − M2|C4 − M1|"
            "EMG1 − EMG2|POSITION|SpO2|HRate",
        ),
        (
            CCSHS,
            "ECG1 − ECG2|ABDO EFFORT|THOR EFFORT|AIRFLOW|LOC − A2|ROC − A1|C3 − A2|C4 − A1|"
            "EMG1 − EMG2|POSITION|SpO2|HRate",
        ),
        (WSC, "ECG|abdomen|thorax|flow|E1|E2|C3_M2|C4_M1|cchin_l|position|spo2|-"),
        (MESA, "EKG|Abdo|Thor|Flow|EOG-L|EOG-R|-|EEG3|EMG|Pos|SpO2|HR"),
        (
            SLEEP_EDF,
            "-|-|-|Resp oro-nasal|EOG horizontal|-|EEG Fpz-Cz|-|EMG submental|-|-|-",
        ),
    ],
    ids=["SHHS", "MrOS", "CFS", "CCSHS", "WSC", "MESA", "Sleep-EDF"],
)
def test_labels_of_a_cohort_find_their_channels(cohort: str, expected: str):
    wanted = [None if text == "-" else text for text in expected.split("|")]
    assert first_choices(cohort) == dict(zip(CHANNELS, wanted, strict=True))


def test_case_and_punctuation_do_not_matter():
    for label in ("C3-M2", "c3:m2", "C3/M2", "EEG C3-M2", "eeg_c3_m2", "C3 M2"):
        found = first_choices(label.replace(" ", "#"))
        assert found["EEG_C3_A2"] == label


def test_accents_do_not_matter():
    assert normalise_label("Fréquence  Cardiaque") == "frequencecardiaque"


@pytest.mark.parametrize(
    ("label", "never"),
    [
        ("Pres", "HR"),
        ("Pressure", "HR"),
        ("SpO2", "EEG_C4_A1"),
        ("O2-M1", "EEG_C4_A1"),
        ("EMG LAT", "EMG_CHIN"),
        ("EMG Leg L", "EMG_CHIN"),
        ("LegL EMG", "EMG_CHIN"),
        ("EMG RAT", "EMG_CHIN"),
        ("C3 Impédance", "EEG_C3_A2"),
        ("C3-M2 (Imp)", "EEG_C3_A2"),
        ("Pulse Waveform", "HR"),
        ("Abdomen CaL", "ABD"),
        ("Flow Limitation", "AF"),
        ("SpO2 status", "SPO2"),
        ("PosX", "POS"),
    ],
)
def test_part_of_a_label_never_decides(label: str, never: str):
    found = first_choices(label.replace(" ", "#"))
    assert found[never] is None


def test_eeg2_means_different_electrodes_in_shhs_and_mesa():
    assert first_choices("EEG EEG2 EOG(L) EOG(R)")["EEG_C3_A2"] == "EEG2"
    assert first_choices("EEG1 EEG2 EEG3")["EEG_C3_A2"] is None


def test_a_lone_eeg_is_a_reported_stand_in():
    signals = [SignalLabel("EEG", "uV", 100.0)]
    candidate = resolve_channels(signals)["EEG_C4_A1"][0]
    assert candidate.note is not None
    assert "does not name" in candidate.note


def test_a_named_channel_goes_before_a_derivation_and_a_stand_in():
    found = resolve_channels([SignalLabel(t, "uV", 200) for t in ("F3-M2", "C3", "M2", "C3-M2")])
    texts = [candidate.derivation or candidate.label for candidate in found["EEG_C3_A2"]]
    assert texts == ["C3-M2", "C3 − M2", "C3", "F3-M2"]


def test_airflow_prefers_the_named_channel_then_nasal_pressure_then_belts():
    labels = ["RIP Flow", "Nasal Pressure", "Airflow"]
    found = resolve_channels([SignalLabel(t, "", 25) for t in labels])["AF"]
    assert [candidate.label for candidate in found] == ["Airflow", "Nasal Pressure", "RIP Flow"]
    assert found[-1].note == "flow derived from the effort belts"


def test_heart_rate_goes_before_pulse():
    assert first_choices("Pulse Heart#Rate")["HR"] == "Heart Rate"


@pytest.mark.parametrize("name", ["EEG_C3_A2", "C3_A2", "c3-a2", "eeg c3 a2"])
def test_override_takes_full_and_short_channel_names(name: str):
    assert channel_name(name) == "EEG_C3_A2"
    signals = [SignalLabel(text, "uV", 128) for text in ("EEG 3", "C3-A2")]
    found = resolve_channels(signals, {name: "EEG 3"})["EEG_C3_A2"]
    assert [candidate.label for candidate in found] == ["EEG 3"]


def test_override_takes_a_difference():
    found = first_choices("EEG#3 M2 C3-M2", C3_A2="EEG 3 - M2", EOG_L="C3-M2")
    assert found["EEG_C3_A2"] == "EEG 3 − M2"
    assert found["EOG_L"] == "C3-M2"


def test_override_none_leaves_a_channel_out():
    assert first_choices("ECG SpO2", SPO2="none")["SPO2"] is None


def test_override_picks_the_second_of_two_equal_labels():
    signals = [SignalLabel(text, "uV", 128) for text in ("EEG", "ECG", "EEG")]
    assert resolve_channels(signals, {"C3_A2": "EEG#2"})["EEG_C3_A2"][0].plus == 2


def test_unknown_label_names_the_nearest():
    with pytest.raises(MontageError, match=r"no signal 'EGE 3'.*'EEG 3'"):
        first_choices("EEG#3 EEG#4 ECG", C3_A2="EGE 3")


def test_unknown_channel_names_the_channels():
    with pytest.raises(MontageError, match=r"'C9_A2' is not known.*EEG_C3_A2"):
        first_choices("ECG", C9_A2="ECG")


@pytest.mark.parametrize(
    ("unit", "microvolts"),
    [("V", 1e6), ("mV", 1e3), ("uV", 1.0), ("µV", 1.0), ("μV", 1.0), ("UV", 1.0), ("nV", 1e-3)],
)
def test_units_of_voltage_are_brought_to_microvolts(unit: str, microvolts: float):
    signal_uv = 40 * np.sin(np.arange(2000) / 9)
    factor, target, problem = physical_scale("EEG_C3_A2", unit, signal_uv / microvolts)
    assert factor == pytest.approx(microvolts)
    assert (target, problem) == ("µV", None)


def test_ecg_is_brought_to_millivolts():
    beat_uv = 900 * np.sin(np.arange(2000) / 9)
    assert physical_scale("ECG", "uV", beat_uv)[:2] == (pytest.approx(1e-3), "mV")
    assert physical_scale("ECG", "V", beat_uv / 1e6)[:2] == (pytest.approx(1e3), "mV")


@pytest.mark.parametrize(("made_uv_per_unit", "read_as"), [(1.0, "µV"), (1e3, "mV"), (1e6, "V")])
def test_missing_unit_is_judged_by_the_signal(made_uv_per_unit: float, read_as: str):
    eeg = 40 * np.sin(np.arange(2000) / 9) / made_uv_per_unit
    factor, _, problem = physical_scale("EEG_C3_A2", "", eeg)
    assert factor == pytest.approx(made_uv_per_unit)
    assert problem is not None
    assert f"read as {read_as}" in problem


def test_a_unit_that_makes_an_impossible_signal_is_not_believed():
    eeg_uv = 40 * np.sin(np.arange(2000) / 9)
    factor, _, problem = physical_scale("EEG_C3_A2", "V", eeg_uv)
    assert factor == pytest.approx(1.0)
    assert problem is not None
    assert "cannot be right" in problem


def test_a_dead_electrode_is_not_blown_up():
    factor, _, problem = physical_scale("EEG_C3_A2", "uV", 0.01 * np.sin(np.arange(2000)))
    assert factor == 1.0
    assert problem is not None
    assert "electrode off" in problem


def test_saturation_as_a_fraction_becomes_percent():
    assert physical_scale("SPO2", "", np.full(100, 0.97))[:2] == (100.0, "%")
    assert physical_scale("SPO2", "%", np.full(100, 97.0)) == (1.0, "%", None)


def coding_of(labels: str, override: str | None = None) -> PositionCoding | None:
    signals = [SignalLabel(text.replace("#", " "), "", 1.0) for text in labels.split()]
    resolved = resolve_channels(signals, {"POS": override} if override else None)
    return resolved["POS"][0].position


def test_shhs_position_codes_follow_its_documentation():
    # NSRR, Technical Notes on SHHS1: 0 right, 1 left, 2 back, 3 front.
    codes, problem = position_codes(np.array([0.0, 1, 2, 3]), coding_of(SHHS))
    words = [next(w for w, c in POSITION_CODES.items() if c == code) for code in codes]
    assert words == ["right", "left", "supine", "prone"]
    assert problem is None


def test_unknown_position_coding_is_unknown_and_said():
    codes, problem = position_codes(np.array([0.0, 1, 2, 3, 4]), coding_of("Body EEG ECG"))
    assert set(codes) == {-1}
    assert problem is not None
    assert "0, 1, 2, 3, 4" in problem


def test_the_same_label_in_another_cohort_is_not_read_with_shhs_codes():
    assert coding_of(CFS) is None
    assert coding_of(MROS) is None


def test_labels_without_latin_letters_do_not_match_anything():
    signals = [SignalLabel("脑电", "uV", 128), SignalLabel("心电", "mV", 128)]
    assert not any(resolve_channels(signals).values())
    assert resolve_channels(signals, {"ECG": "心电"})["ECG"][0].plus == 1


def test_a_pair_whose_reference_comes_first_in_the_file_keeps_its_stand_in():
    signals = [SignalLabel(text, "uV", 128) for text in ("M2", "C3")]
    found = resolve_channels(signals)["EEG_C3_A2"]
    assert [candidate.derivation for candidate in found] == ["C3 − M2", None]


def test_user_states_a_position_coding():
    coding = coding_of("Body EEG", "Body; 1=supine, 2=left, 3=right")
    codes, problem = position_codes(np.array([1.0, 2, 3]), coding)
    assert list(codes) == [2, 1, 0]
    assert problem is None


def test_nonsense_position_coding_is_refused():
    with pytest.raises(MontageError, match="sideways"):
        coding_of("Body EEG", "Body; 1=sideways")


def test_position_angle_knows_back_and_front_but_not_the_side():
    angle = np.array([0.0, 30, -44, 179, -170, 90, -90])
    codes, problem = position_codes(angle, coding_of("PosAngle ECG"))
    assert list(codes) == [2, 2, 2, 3, 3, -1, -1]
    assert problem is not None
    assert "which sign is left" in problem


def test_position_angle_with_a_stated_side():
    coding = coding_of("PosAngle ECG", "PosAngle; positive=left")
    codes, problem = position_codes(np.array([0.0, 90, -90, 180]), coding)
    assert list(codes) == [2, 1, 0, 3]
    assert problem is None


def test_standing_trunk_is_upright_whatever_the_angle():
    codes, _ = position_codes(
        np.array([0.0, 0.0]), coding_of("PosAngle ECG"), np.array([0.1, 0.95])
    )
    assert list(codes) == [2, 4]
