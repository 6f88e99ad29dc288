"""Every caption states what is true, and can be read back as fields."""

from __future__ import annotations

import re

import numpy as np
import pytest

from sleeplm.captions import SYSTEMS, CaptionEvent, CaptionFields, parse_caption
from sleeplm.errors import CaptionError
from sleeplm.physiology import FIELDS, measure_night
from sleeplm.scoring import EVENT_KINDS, STAGES, Event, Scoring
from train.captions import RELEASED_FIELDS, epoch_fields, joint_text, render, short_form
from train.simulate import simulate_night

#: Half a unit of the last digit stated: tenths for ratios and seconds, units for all else.
TENTHS = ("_interval_sd_s", "_flatness", "_burst_ratio", "_burst_rate_hz")


def random_fields(rng: np.random.Generator) -> CaptionFields:
    channels = sorted({entry.channel for entry in FIELDS.values()})
    missing = [channel for channel in channels if rng.random() < 0.1]
    values = {
        name: float(rng.uniform(max(entry.low, 0.0), entry.high))
        for name, entry in FIELDS.items()
        if name != "position" and entry.channel not in missing and rng.random() < 0.85
    }
    events = []
    for _ in range(rng.integers(0, 4)):
        start_s, end_s = np.sort(rng.uniform(0, 30, 2).round(1))
        events.append(CaptionEvent(str(rng.choice(EVENT_KINDS)), float(start_s), float(end_s)))
    events.sort(key=lambda event: (event.start_s, event.kind, event.end_s))
    positions = ("left", "right", "supine", "prone", "upright", "unknown")
    return CaptionFields(
        stage=str(rng.choice([*STAGES, "unscored"])),
        position=None if "POS" in missing else str(rng.choice(positions)),
        events=events,
        no_event=not events,
        values=values,
        trends={
            name: [("stable", 0.0, 12.0), ("decreasing", 12.0, 23.0), ("increasing", 23.0, 30.0)]
            for name, channel in (("hr", "HR"), ("spo2", "SPO2"))
            if channel not in missing
        },
        missing=missing,
    )


def of_system(fields: CaptionFields, system: str) -> tuple[dict[str, float], list[str]]:
    values = {name: value for name, value in fields.values.items() if FIELDS[name].system == system}
    channels = {entry.channel for entry in FIELDS.values() if entry.system == system}
    return values, sorted(channels & set(fields.missing))


@pytest.mark.parametrize("seed", range(6))
def test_the_fixed_wording_gives_every_field_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(100):
        fields = random_fields(rng)
        for system in SYSTEMS:
            text = render(fields, system)
            read = parse_caption(text, system)
            values, missing = of_system(fields, system)
            values = {name: value for name, value in values.items() if name in RELEASED_FIELDS}
            assert read.unparsed == [], text
            assert read.values.keys() == values.keys(), text
            for name, value in values.items():
                assert read.values[name] == pytest.approx(value, abs=0.0501), text
            assert sorted(read.missing) == missing, text
            if system == "stage_event":
                assert (read.stage, read.events) == (fields.stage, fields.events), text
                assert read.no_event == fields.no_event, text
            if system == "somatic":
                assert read.position == fields.position, text


@pytest.mark.parametrize("seed", range(6))
def test_the_varied_wording_states_nothing_that_is_not_true(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    stated = offered = 0
    for _ in range(100):
        fields = random_fields(rng)
        for system in SYSTEMS:
            text = render(fields, system, style="varied", rng=rng)
            for form in (text, text.lower()):
                read = parse_caption(form, system)
                values, missing = of_system(fields, system)
                assert read.unparsed == [], text
                for name, value in read.values.items():
                    tolerance = 0.0501 if name.endswith(TENTHS) else 0.501
                    assert value == pytest.approx(values[name], abs=tolerance), text
                assert sorted(read.missing) == missing, text
                for name, trends in read.trends.items():
                    assert trends == fields.trends[name], text
                if system == "stage_event":
                    assert (read.stage, read.events) == (fields.stage, fields.events), text
                    assert read.no_event == fields.no_event, text
                if system == "somatic":
                    assert read.position == fields.position, text
            stated += len(read.values.keys() & RELEASED_FIELDS)
            offered += len(values.keys() & RELEASED_FIELDS)
    assert 0.85 < stated / offered < 0.95


def test_the_varied_wording_is_seeded_and_varies() -> None:
    fields = random_fields(np.random.default_rng(3))

    def texts(seed: int) -> list[str]:
        rng = np.random.default_rng(seed)
        return [render(fields, "brain", style="varied", rng=rng) for _ in range(20)]

    assert texts(1) == texts(1)
    assert len(set(texts(1) + texts(2))) == 40


def test_a_fixed_caption_is_short() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        fields = random_fields(rng)
        fields.events = fields.events[:2]
        for system in SYSTEMS:
            text = render(fields, system)
            assert len(re.findall(r"[A-Za-z]+\d?|\d+|\.\d", text)) <= 60, text


def test_a_missing_channel_is_said_and_a_withheld_value_left_out() -> None:
    fields = CaptionFields(values={"ecg_rate_bpm": 61.34}, missing=["HR", "SPO2", "POS"])
    assert render(fields, "cardiac") == (
        "ECG: beat rate 61.3 bpm. Heart rate not recorded. Oxygen saturation not recorded."
    )
    assert render(fields, "somatic") == "Body position not recorded."
    assert render(fields, "brain") == "No reliable measurement."


def test_an_unscored_night_does_not_claim_that_nothing_happened() -> None:
    hypnogram = Scoring(("N2",), has_events=False)
    assert render(epoch_fields(None, hypnogram, 0), "stage_event") == "Stable light sleep (N2)."
    assert render(epoch_fields(None, Scoring(("N2",)), 0), "stage_event") == (
        "Stable light sleep (N2). No event detected."
    )


def test_events_are_clipped_to_the_epoch() -> None:
    scoring = Scoring(
        ("N2", "N2", "R"),
        (
            Event("obstructive_apnea", 23.25, 20.0),
            Event("arousal", 43.25, 3.04),
            Event("desaturation", 50.0, 40.0),
            Event("hypopnea", 60.0, 12.0),
            Event("snore", 29.97, 10.0),
        ),
    )
    captions = [render(epoch_fields(None, scoring, epoch), "stage_event") for epoch in range(3)]
    assert captions[0] == "Stable light sleep (N2). Obstructive apnea from 23.2 to 30.0 seconds."
    assert captions[1] == (
        "Stable light sleep (N2). Obstructive apnea from 0.0 to 13.2 seconds. "
        "Snore from 0.0 to 10.0 seconds. Arousal from 13.2 to 16.3 seconds. "
        "Oxygen desaturation from 20.0 to 30.0 seconds."
    )
    assert captions[2] == (
        "REM sleep. Oxygen desaturation from 0.0 to 30.0 seconds. "
        "Hypopnea from 0.0 to 12.0 seconds."
    )


def test_measurements_reach_the_caption_of_their_own_epoch() -> None:
    time_s = np.arange(2 * 1920) / 64.0
    belt = np.where(time_s < 30, np.sin(2 * np.pi * 0.2 * time_s), np.sin(2 * np.pi * 0.3 * time_s))
    position = np.where(time_s < 30, 2.0, 0.0)
    night = measure_night({"ABD": belt, "POS": position})
    first, second = (epoch_fields(night, None, epoch) for epoch in (0, 1))
    assert first.values["abd_rate_bpm"] == pytest.approx(12.0, abs=0.5)
    assert second.values["abd_rate_bpm"] == pytest.approx(18.0, abs=0.5)
    assert "Body position supine." in render(first, "somatic")
    assert "Body position right." in render(second, "somatic")
    assert "Thorax not recorded." in render(first, "respiratory")
    with pytest.raises(IndexError, match="epoch index 2 is outside 0–1"):
        epoch_fields(night, None, 2)


def test_a_simulated_night_is_captioned_truly_and_its_falls_are_found() -> None:
    night = simulate_night(21, hours=1.0, ahi=30.0)
    measured = measure_night(night.signals)
    assert measured.n_epochs == night.scoring.n_epochs == 120
    for epoch in range(0, 120, 7):
        fields = epoch_fields(measured, night.scoring, epoch)
        assert fields.stage == night.scoring.stages[epoch]
        for system in SYSTEMS:
            text = render(fields, system)
            assert parse_caption(text, system).unparsed == [], text
    true = night.scoring.events_of("desaturation")
    found = [(onset_s, onset_s + length_s) for onset_s, length_s, *_ in measured.desaturations]
    hit = [any(a < event.end_s and b > event.onset_s for a, b in found) for event in true]
    assert len(true) > 5
    assert np.mean(hit) > 0.9
    assert len(found) <= 1.1 * len(true) + 1
    plausible = {
        "eeg_c3_delta_pct": (30, 95),
        "ecg_rate_bpm": (40, 100),
        "abd_rate_bpm": (10, 24),
        "spo2_mean_pct": (85, 100),
        "af_flatness": (0.5, 0.8),
    }
    for name, (low, high) in plausible.items():
        assert low < np.nanmedian(measured.values[name]) < high, name


def test_short_forms_name_only_what_the_epoch_holds() -> None:
    rng = np.random.default_rng(11)
    fields = CaptionFields(
        stage="R",
        position="supine",
        events=[
            CaptionEvent("obstructive_apnea", 2.0, 17.0),
            CaptionEvent("desaturation", 15.0, 30.0),
        ],
        values={"spo2_min_pct": 84.0},
    )
    texts = {short_form(fields, rng) for _ in range(300)}
    assert len(texts) > 40
    joined = " | ".join(texts).lower()
    for present in ("obstructive apn", "desaturation", "rem", "supine"):
        assert present in joined
    for absent in ("central", "hypopnea", "arousal", "deep", "n2", "left", "quiet", "followed by"):
        assert absent not in joined, absent


def test_short_forms_call_no_artefact_a_sign_of_sleep() -> None:
    rng = np.random.default_rng(15)
    values = {"eeg_c3_delta_pct": 90.0, "eeg_c3_sigma_pct": 12.0}

    def texts(stage: str) -> str:
        fields = CaptionFields(stage=stage, no_event=True, values=values)
        return " | ".join(short_form(fields, rng) for _ in range(200)).lower()

    for words in ("slow wave", "spindle"):
        assert words in texts("N2")
        assert words not in texts("W")
    assert "delta" in texts("W")


def test_joined_text_holds_stage_and_brain() -> None:
    fields = random_fields(np.random.default_rng(12))
    text = joint_text(fields, style="fixed")
    assert text == f"{render(fields, 'stage_event')} {render(fields, 'brain')}"
    varied = joint_text(fields, np.random.default_rng(1))
    assert parse_caption(varied, "all").stage == fields.stage


@pytest.mark.parametrize(
    ("system", "style", "message"),
    [
        ("heart", "fixed", "system 'heart' is not known"),
        ("brain", "free", "style 'free' is not known"),
        ("brain", "varied", "needs rng"),
    ],
)
def test_bad_requests_are_named(system: str, style: str, message: str) -> None:
    with pytest.raises(CaptionError, match=message):
        render(CaptionFields(), system, style=style)
