"""Reading captions in the released form, and refusing to guess."""

from __future__ import annotations

import json

import pytest

from sleeplm.captions import CaptionEvent, parse_caption
from sleeplm.errors import CaptionError

BRAIN = (
    "Left EOG Movement: slow eye movement relative power of 20.51%, along with a REM saccadic "
    "relative power of approximately 57%. Right EOG Movement includes slow eye movement relative "
    "power at 18.3%, plus REM saccadic relative power measuring 55.12%. Central EEG Activity "
    "(C3-A2) with delta relative power valued at 39.05%, theta relative power equal to 28.17%, "
    "in addition to alpha relative power around 19%, and lastly beta relative power of 9.02%. "
    "Central EEG Activity (C4-A1): delta relative power of 39.14%, accompanied by theta relative "
    "power close to 27%, as well as alpha relative power of 20.05%, beta relative power at 8.8%."
)


def test_a_brain_caption_of_the_released_form_is_read_whole() -> None:
    fields = parse_caption(BRAIN, "brain")
    assert fields.values == {
        "eog_l_slow_pct": 20.51,
        "eog_l_saccade_pct": 57.0,
        "eog_r_slow_pct": 18.3,
        "eog_r_saccade_pct": 55.12,
        "eeg_c3_delta_pct": 39.05,
        "eeg_c3_theta_pct": 28.17,
        "eeg_c3_alpha_pct": 19.0,
        "eeg_c3_beta_pct": 9.02,
        "eeg_c4_delta_pct": 39.14,
        "eeg_c4_theta_pct": 27.0,
        "eeg_c4_alpha_pct": 20.05,
        "eeg_c4_beta_pct": 8.8,
    }
    assert fields.unparsed == []


def test_lower_case_and_digits_set_apart_read_the_same() -> None:
    tokens = []
    for word in BRAIN.lower().replace("(", " ( ").replace(")", " ) ").split():
        spaced = "".join(f" {letter} " if not letter.isalpha() else letter for letter in word)
        tokens.append(spaced)
    spaced_text = " ".join(" ".join(tokens).split())
    assert "3 9 . 0 5 %" in spaced_text
    assert parse_caption(spaced_text, "brain").values == parse_caption(BRAIN, "brain").values


def test_a_heart_caption_keeps_the_three_sensors_apart() -> None:
    fields = parse_caption(
        "Electrocardiogram: an estimated beat rate of 62.1 bpm, together with ultra-short HRV "
        "(RMSSD) of 45.17 ms. Heart Rate: minimum of 58.00 bpm, maximum equal to 71.00 bpm, mean "
        "around 63 bpm, increasing from 0.0 to 12.5 seconds, and lastly stable from 12.5 to 30.0 "
        "seconds. Blood Oxygen Saturation: minimum valued at 93.02%, mean of 95.30%, decreasing "
        "from 4.0 to 30.0 seconds.",
        "cardiac",
    )
    assert fields.values == {
        "ecg_rate_bpm": 62.1,
        "ecg_rmssd_ms": 45.17,
        "hr_min_bpm": 58.0,
        "hr_max_bpm": 71.0,
        "hr_mean_bpm": 63.0,
        "spo2_min_pct": 93.02,
        "spo2_mean_pct": 95.30,
    }
    assert fields.trends == {
        "hr": [("increasing", 0.0, 12.5), ("stable", 12.5, 30.0)],
        "spo2": [("decreasing", 4.0, 30.0)],
    }
    assert fields.unparsed == []


def test_a_respiratory_caption_tells_belts_from_flow() -> None:
    fields = parse_caption(
        "Abdominal Respiration: respiratory rate of 14.71 bpm, breath interval variability of "
        "0.25 seconds. Thoracic Respiration shows respiratory rate at 13.29 bpm. Air Flow: an "
        "airflow rate equal to 14.64 bpm, along with an inspiratory flow flatness of 0.71.",
        "respiratory",
    )
    assert fields.values == {
        "abd_rate_bpm": 14.71,
        "abd_interval_sd_s": 0.25,
        "thx_rate_bpm": 13.29,
        "af_rate_bpm": 14.64,
        "af_flatness": 0.71,
    }
    assert fields.unparsed == []


def test_a_somatic_caption_has_position_and_muscle() -> None:
    fields = parse_caption(
        "Chin EMG Activity: median frequency of 17.34 Hz, burst intensity ratio of 1.91, burst "
        "modulation rate of about 0.9 Hz. The body position is left.",
        "somatic",
    )
    assert fields.values == {
        "emg_median_hz": 17.34,
        "emg_burst_ratio": 1.91,
        "emg_burst_rate_hz": 0.9,
    }
    assert fields.position == "left"
    assert fields.unparsed == []


@pytest.mark.parametrize(
    ("sentence", "stage"),
    [
        ("The epoch is in Wake.", "W"),
        ("The subject is in Light sleep N1.", "N1"),
        ("Stable Light Sleep (N2) is observed.", "N2"),
        ("stable light sleep ( n 2 )", "N2"),
        ("The stage is Deep Sleep (N3).", "N3"),
        ("REM Sleep.", "R"),
        ("Stage not scored.", "unscored"),
    ],
)
def test_stages_are_read_in_their_released_names(sentence: str, stage: str) -> None:
    fields = parse_caption(sentence, "stage_event")
    assert fields.stage == stage
    assert fields.unparsed == []


def test_events_are_read_with_their_seconds() -> None:
    fields = parse_caption(
        "stable light sleep (n2). obstructive apnea from 3.2 to 18.7 seconds. "
        "oxygen desaturation from 1 2 . 0 to 3 0 . 0 seconds. arousal from 18.7 to 24.0 seconds.",
        "stage_event",
    )
    assert fields.events == [
        CaptionEvent("obstructive_apnea", 3.2, 18.7),
        CaptionEvent("desaturation", 12.0, 30.0),
        CaptionEvent("arousal", 18.7, 24.0),
    ]
    assert not fields.no_event
    assert fields.unparsed == []


def test_nothing_detected_is_a_statement_of_its_own() -> None:
    assert parse_caption("Wake. No event detected.", "stage_event").no_event
    assert not parse_caption("Wake.", "stage_event").no_event


@pytest.mark.parametrize(
    ("text", "system"),
    [
        ("C3-A2: delta 61.2 bpm.", "brain"),
        ("C3-A2: delta 61.2.", "brain"),
        ("C3-A2: delta 161.2 %.", "brain"),
        ("C3-A2: delta is not 61.2 %.", "brain"),
        ("Delta 61.2 %.", "brain"),
        ("C3-A2: delta somewhat under 61.2 %.", "brain"),
        ("Heart rate: minimum 58 ms.", "cardiac"),
        ("Airflow: flatness 1.7.", "respiratory"),
        ("Airflow: rate 14.2 Hz.", "respiratory"),
        ("Chin EMG: burst ratio 2.1 Hz.", "somatic"),
        ("Obstructive apnea from 18.7 to 3.2 seconds.", "stage_event"),
        ("Obstructive apnea from 3.2 to 48.7 seconds.", "stage_event"),
        ("No obstructive apnea from 3.2 to 8.7 seconds.", "stage_event"),
        ("Obstructive apnea.", "stage_event"),
        ("Apnea from 3.2 to 8.7 seconds.", "stage_event"),
        ("Seizure from 3.2 to 8.7 seconds.", "stage_event"),
        ("Either N2 sleep or REM sleep.", "stage_event"),
        ("Light sleep.", "stage_event"),
        ("The night was long.", "stage_event"),
    ],
)
def test_what_is_not_sure_is_kept_as_text_and_not_guessed(text: str, system: str) -> None:
    fields = parse_caption(text, system)
    assert fields.unparsed == [text.lower()]
    assert not fields.values
    assert not fields.events
    assert fields.stage is None


def test_a_second_value_for_the_same_thing_does_not_replace_the_first() -> None:
    fields = parse_caption("C3-A2: delta 61.2 %, delta 33.0 %.", "brain")
    assert fields.values == {"eeg_c3_delta_pct": 61.2}
    assert len(fields.unparsed) == 1


def test_missing_channels_are_named() -> None:
    fields = parse_caption("Left EOG not recorded. C3-A2: delta 61.2 %.", "brain")
    assert fields.missing == ["EOG_L"]
    assert fields.values == {"eeg_c3_delta_pct": 61.2}
    assert parse_caption("Body position not recorded.", "somatic").missing == ["POS"]


def test_another_systems_statements_are_not_taken() -> None:
    fields = parse_caption("ECG: beat rate 61.3 bpm.", "brain")
    assert fields.values == {}
    assert fields.unparsed == ["ecg: beat rate 61.3 bpm."]


def test_joined_captions_are_read_as_all() -> None:
    fields = parse_caption(
        "REM sleep. Arousal from 3.0 to 9.5 seconds. C3-A2: delta 41.2 %. ECG: beat rate 61.3 bpm. "
        "Body position supine.",
        "all",
    )
    assert fields.stage == "R"
    assert fields.events == [CaptionEvent("arousal", 3.0, 9.5)]
    assert fields.values == {"eeg_c3_delta_pct": 41.2, "ecg_rate_bpm": 61.3}
    assert fields.position == "supine"
    assert fields.unparsed == []


@pytest.mark.parametrize("text", ["", "   ", ". . .", "%", "🫀", "from to seconds", "C3-A2:"])
def test_odd_texts_do_not_fail(text: str) -> None:
    fields = parse_caption(text, "all")
    assert fields.values == {}
    assert fields.events == []


@pytest.mark.parametrize(
    ("released", "own", "text"),
    [
        ("heart", "cardiac", "Electrocardiogram: an estimated beat rate of 56.7 bpm."),
        ("position_muscle", "somatic", "The body position is left for the epoch."),
    ],
)
def test_the_releases_names_of_systems_are_taken(released: str, own: str, text: str) -> None:
    fields = parse_caption(text, released)
    assert fields == parse_caption(text, own)
    assert fields.system == own
    assert fields.values or fields.position
    assert fields.unparsed == []


def test_an_unknown_system_is_named() -> None:
    with pytest.raises(CaptionError, match="'liver' is not known"):
        parse_caption("Wake.", "liver")


def test_fields_are_plain_json() -> None:
    fields = parse_caption("N2 sleep. Arousal from 3.0 to 9.5 seconds.", "stage_event")
    data = json.loads(json.dumps(fields.to_dict()))
    assert data["stage"] == "N2"
    assert data["events"] == [{"kind": "arousal", "start_s": 3.0, "end_s": 9.5}]


@pytest.mark.parametrize(
    "text",
    [
        "heart rate: minimum value of 64.07, in addition to maximum value of 65.63, plus a mean "
        "of 65.00, an increasing behavior from 14.1 to 18.8 seconds, and a decreasing interval "
        "from 25.3 to 30.0 seconds. blood oxygen saturation: mean of 98.05.",
        "heart rate : minimum value of 6 4 . 0 7 , in addition to maximum value of 6 5 . 6 3 , "
        "plus a mean of 6 5 . 0 0 , an increasing behavior from 1 4 . 1 to 1 8 . 8 seconds , and "
        "a decreasing interval from 2 5 . 3 to 3 0 . 0 seconds . blood oxygen saturation : mean "
        "of 9 8 . 0 5 .",
    ],
)
def test_heart_rate_and_saturation_are_read_without_units_as_the_release_states_them(
    text: str,
) -> None:
    fields = parse_caption(text, "cardiac")
    assert fields.values == {
        "hr_min_bpm": 64.07,
        "hr_max_bpm": 65.63,
        "hr_mean_bpm": 65.0,
        "spo2_mean_pct": 98.05,
    }
    assert fields.trends == {"hr": [("increasing", 14.1, 18.8), ("decreasing", 25.3, 30.0)]}
    assert fields.unparsed == []
    assert parse_caption("Electrocardiogram: beat rate of 62.1.", "cardiac").values == {}


@pytest.mark.parametrize(
    ("text", "stage", "events"),
    [
        ("The patient exhibits N2 features in this segment.", "N2", []),
        (
            "wake is observed. the arousal event is identified from 0.0 to 15.2 seconds.",
            "W",
            [CaptionEvent("arousal", 0.0, 15.2)],
        ),
        (
            "This epoch is characterized by REM Sleep. Oxygen Desaturation takes place from 3.0 "
            "to 30.0 seconds.",
            "R",
            [CaptionEvent("desaturation", 3.0, 30.0)],
        ),
        ("The subject enters Deep Sleep. No significant events were identified.", "N3", []),
        ("Deep Sleep (N3) is maintained. There were no notable events.", "N3", []),
    ],
)
def test_stage_sentences_with_other_verbs_are_understood_whole(
    text: str, stage: str, events: list[CaptionEvent]
) -> None:
    fields = parse_caption(text, "stage_event")
    assert (fields.stage, fields.events, fields.unparsed) == (stage, events, [])
