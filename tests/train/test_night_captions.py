"""Nights in words: every number that is stated can be read back, and none is made up."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from sleeplm.night_captions import (
    NIGHT_FIELDS,
    PREDOMINANCES,
    SEVERITIES,
    NightFields,
    night_fields,
    parse_night,
)
from sleeplm.report import FIELDS
from train.captions.nights import NIGHT_TRAITS, render_night, short_night


def random_night(rng: np.random.Generator) -> NightFields:
    values = {
        name: float(np.round(rng.uniform(entry.low, entry.high), 2))
        for name, entry in NIGHT_FIELDS.items()
        if rng.random() < 0.8
    }
    if "awakenings" in values:
        values["awakenings"] = float(round(values["awakenings"]))
    severity = None if rng.random() < 0.2 else str(rng.choice(list(SEVERITIES)))
    predominance = None
    if severity is not None and rng.random() < 0.6:
        predominance = str(rng.choice(list(PREDOMINANCES)))
    return NightFields(values, severity, predominance)


@pytest.mark.parametrize("seed", range(4))
def test_a_night_reads_back_within_its_rounding(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stated = offered = 0
    for _ in range(75):
        fields = random_night(rng)
        text = render_night(fields, rng)
        for form in (text, text.lower()):
            read = parse_night(form)
            assert read.unparsed == [], text
            assert (read.severity, read.predominance) == (fields.severity, fields.predominance)
            for name, value in read.values.items():
                assert value == pytest.approx(fields.values[name], abs=0.501), (name, text)
        stated += len(read.values)
        offered += len(fields.values)
    assert 0.75 < stated / offered < 0.85


def test_units_are_those_of_the_summary() -> None:
    for name, entry in NIGHT_FIELDS.items():
        assert entry.unit == FIELDS[name.partition(".")[0]].unit, name


def test_the_wording_is_seeded_and_varies() -> None:
    fields = random_night(np.random.default_rng(9))

    def texts(seed: int) -> list[str]:
        rng = np.random.default_rng(seed)
        return [render_night(fields, rng) for _ in range(25)]

    assert texts(1) == texts(1)
    assert len(set(texts(1) + texts(2))) == 50


def quantity(value: float | None) -> SimpleNamespace:
    return SimpleNamespace(value=value, unit="", source="expert", note="")


def test_fields_come_from_a_summary_and_from_its_json_alike() -> None:
    summary = SimpleNamespace(
        tst=quantity(401.5),
        ahi=quantity(23.4),
        rem_latency=quantity(None),
        stage_minutes={"N3": quantity(62.0)},
        severity=SimpleNamespace(word="moderate", predominance="obstructive"),
    )
    data = {
        "tst": {"value": 401.5},
        "ahi": {"value": 23.4},
        "rem_latency": {"value": None},
        "stage_minutes": {"N3": {"value": 62.0}},
        "severity": {"word": "moderate", "predominance": "obstructive"},
    }
    expected = NightFields(
        {"tst": 401.5, "ahi": 23.4, "stage_minutes.N3": 62.0}, "moderate", "obstructive"
    )
    assert night_fields(summary) == night_fields(data) == expected
    assert night_fields({}) == NightFields()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("AHI of 23.4/h.", {"ahi": 23.4}),
        ("The supine AHI was 41 per hour.", {"ahi_supine": 41.0}),
        ("Total sleep time 6 h 12 min.", {"tst": 372.0}),
        ("Time in N3 sleep: 62.5 minutes, AHI at 3.0/h.", {"stage_minutes.N3": 62.5, "ahi": 3.0}),
        ("Time below 90 % SpO2 of 12.5 min.", {"t90": 12.5}),
    ],
)
def test_sentences_about_a_night_are_read(text: str, values: dict[str, float]) -> None:
    read = parse_night(text)
    assert (read.values, read.unparsed) == (values, [])


@pytest.mark.parametrize(
    "text",
    [
        "AHI of 23.4 minutes.",
        "AHI of 900/h.",
        "Sleep efficiency of 140 %.",
        "The AHI was not 23.4/h.",
        "He slept well.",
        "Lowest SpO2 of 84.",
    ],
)
def test_what_is_not_sure_of_a_night_is_kept_as_text(text: str) -> None:
    read = parse_night(text)
    assert (read.values, read.unparsed) == ({}, [text.lower()])


def test_short_words_for_a_night_name_its_traits_alone() -> None:
    rng = np.random.default_rng(3)
    fields = NightFields({"ahi": 42.0, "ahi_rem": 70.0, "ahi_nrem": 20.0, "spo2_nadir": 74.0})
    texts = {short_night(fields, rng) for _ in range(200)}
    joined = " | ".join(texts)
    assert len(texts) > 30
    for words in ("severe sleep apnea", "REM-related apnea", "deep desaturations"):
        assert words in joined
    for trait in ("few_events", "central", "supine_related", "insomnia", "leg_movements"):
        assert not any(words in joined for words in NIGHT_TRAITS[trait][1]), trait
    assert "ordinary sleep" in short_night(NightFields({"ahi": 8.0}), rng)


def test_a_night_of_which_nothing_is_known_says_so() -> None:
    text = render_night(NightFields(), np.random.default_rng(1))
    assert text == "Nothing was measured in this night."
    assert parse_night(text) == NightFields()
