"""A whole evaluation on short simulated nights, and each axis where the answer is known."""

import builtins
import dataclasses
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sleeplm.captions import CaptionEvent, CaptionFields
from sleeplm.errors import SleepLMError
from sleeplm.reader import SleepLM
from sleeplm.scoring import Event, Scoring
from train.evaluate import as_markdown, evaluate, evaluate_sources, reading
from train.evaluate.baselines import (
    NotMeasured,
    band_features,
    feature_names,
    ruled_desaturations,
    signal_features,
    standardised,
    yasa_stages,
)
from train.evaluate.captions import Tally
from train.evaluate.continuity import physiological_distance
from train.evaluate.localization import localization
from train.evaluate.nights import NightSource, held_out_sources, recording_sources
from train.evaluate.plots import plot
from train.evaluate.pool import Pool
from train.evaluate.reading import AXES, NightReading, Reading, covered_s, read_night
from train.evaluate.report import Request, chosen_nights, report
from train.evaluate.run import checked_axes, measure_axes
from train.evaluate.scaling import scaling, scaling_markdown, trained_epochs
from train.evaluate.staging import staging
from train.evaluate.table import BEGIN, END, below_baselines, rounded, write_between
from train.evaluate.targeted import statements_by_system
from train.evaluate.unseen import unseen

ROOT = Path(__file__).resolve().parents[2]
HOURS = 0.3
SOURCES = [
    NightSource(None, 11, HOURS, "osa", 40.0),
    NightSource(None, 13, HOURS, "plmd", None),
]
SHORT = [NightSource(None, 11, 0.1, "osa", 40.0), NightSource(None, 12, 0.1, "healthy", 2.0)]
REFERENCE = [NightSource(None, 41, HOURS, "osa", 30.0)]


@pytest.fixture(scope="module")
def model() -> SleepLM:
    return SleepLM.from_pretrained()


@pytest.fixture(scope="module", autouse=True)
def small_draws() -> Iterator[None]:
    """Fewer epochs where many are read again and again: seconds instead of a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "CAPTION_EPOCHS", 8)
        patch.setattr(reading, "MISSING_EPOCHS", 8)
        patch.setattr(reading, "MISSING_CAPTIONS", 2)
        patch.setattr(reading, "TAKEN_AWAY", (3,))
        few = {name: reading.CHANNEL_SETS[name] for name in ("all", "one EEG", "oximeter alone")}
        patch.setattr(reading, "CHANNEL_SETS", few)
        yield


@pytest.fixture(scope="module")
def readings(model: SleepLM) -> list[NightReading]:
    reading.keep_loaded(None, model)
    return [read_night(Reading(one, None, AXES, n)) for n, one in enumerate(SOURCES)]


@pytest.fixture(scope="module")
def result(model: SleepLM, readings: list[NightReading]) -> dict[str, Any]:
    reference = [read_night(Reading(one, None, ("indices",), 9)) for one in REFERENCE]
    return measure_axes(model, readings, reference)


# ── all of it ────────────────────────────────────────────────────────────────────────────────────
def test_every_axis_stands_beside_baselines_of_the_same_run(result: dict[str, Any]) -> None:
    assert set(AXES) <= set(result)
    for axis in AXES:
        assert result[axis]["baseline"], axis
    assert result["nights"] == 2
    assert result["epochs"] == round(2 * HOURS * 120)
    assert (
        result["staging"]["zero_shot"]["kappa"] > result["staging"]["baseline"]["majority"]["kappa"]
    )
    assert result["captions"]["relative_error"] < 1.0
    json.dumps(rounded(result), allow_nan=False)


def test_the_table_shows_each_axis_and_says_what_was_not_asked(result: dict[str, Any]) -> None:
    table = as_markdown(rounded(result), "sleeplm evaluate")
    assert result["model"] in table
    assert "    sleeplm evaluate\n" in table
    for words in ("staging", "retrieval", "captions", "continuity", "channels left", "unseen"):
        assert f"| {words}" in table, words
    assert "yasa not measured (not asked; --baselines)" in table
    assert all(line.count("|") == 5 for line in table.splitlines() if line.startswith("|"))


def test_nights_read_in_a_pool_give_the_same_figures() -> None:
    axes = ("staging", "localization", "indices")
    assert evaluate_sources(None, SHORT, axes, workers=2) == evaluate_sources(None, SHORT, axes)


@pytest.mark.slow
def test_nights_read_on_ray_give_the_same_figures() -> None:
    pytest.importorskip("ray")
    axes = ("staging", "events")
    there = evaluate_sources(None, SHORT, axes, workers=2, ray_address="local")
    assert there == evaluate_sources(None, SHORT, axes)


def test_nights_that_are_open_already_are_read_in_place(model: SleepLM) -> None:
    nights = [one.open(model) for one in SHORT]
    found = evaluate(model, nights, ("staging", "probes", "localization"))
    assert found["staging"]["head"]["epochs"] == 24
    assert "no reference nights" in found["probes"]["not_measured"]
    nights[0].scorings.expert = None  # type: ignore[attr-defined]
    with pytest.raises(SleepLMError, match="no scoring beside it"):
        evaluate(model, nights, ("staging",))


def test_a_night_that_fails_is_named_and_left_out(tmp_path: Path) -> None:
    broken = tmp_path / "broken.edf"
    broken.write_bytes(b"no edf")
    found = evaluate_sources(None, [SHORT[0], NightSource(broken)], ("staging",))
    assert found["nights"] == 1
    assert list(found["failed"]) == [str(broken)]
    with pytest.raises(SleepLMError, match="no night could be read"):
        evaluate_sources(None, [NightSource(broken)], ("staging",))


def test_a_machine_for_training_alone_can_evaluate() -> None:
    code = """
import builtins, json
held = builtins.__import__
barred = {"pydantic", "mne", "yasa", "sklearn", "edfio", "pandas", "matplotlib", "typer", "rich"}
def guarded(name, *rest, **more):
    if name.split(".")[0] in barred:
        raise ImportError(name)
    return held(name, *rest, **more)
builtins.__import__ = guarded
from train.evaluate import as_markdown, evaluate_sources, reading
from train.evaluate.nights import NightSource
reading.MISSING_EPOCHS = reading.CAPTION_EPOCHS = 2
found = evaluate_sources(None, [NightSource(None, 11, 0.1, "osa", 40.0)], outside=True)
print(json.dumps([found["indices"], found["staging"]["baseline"]["yasa"]]))
assert "full-night" not in as_markdown(found)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    indices, yasa = json.loads(done.stdout)
    assert indices == {"not_measured": "pydantic is not installed"}
    assert yasa == {"not_measured": "yasa is not installed"}


def test_what_cannot_be_asked_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SleepLMError, match="axis 'stages' is not known; use some of staging"):
        checked_axes(["stages"])
    with pytest.raises(SleepLMError, match="no axis"):
        checked_axes([])
    with pytest.raises(SleepLMError, match="no such recording"):
        recording_sources([tmp_path / "gone.edf"])
    with pytest.raises(SleepLMError, match="holds no recording"):
        recording_sources([tmp_path])
    with pytest.raises(SleepLMError, match="held-out nights can be simulated"):
        held_out_sources(500)
    with pytest.raises(SleepLMError, match="--real"):
        report(Request(real=tmp_path / "nothing"))


def test_every_other_of_many_recordings_teaches(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.edf").write_bytes(b"")
    measured, learned = chosen_nights([str(tmp_path)], [], 1.0)
    assert [one.path.name for one in measured if one.path] == ["0.edf", "2.edf", "4.edf"]
    assert [one.path.name for one in learned if one.path] == ["1.edf", "3.edf"]
    measured, learned = chosen_nights([str(tmp_path)], ["0"], 1.0)
    assert (len(measured), len(learned)) == (5, 0)
    held_out, taught = chosen_nights([], [], 1.0)
    assert not {one.seed for one in held_out} & {one.seed for one in taught}
    assert max(one.seed for one in held_out + taught) < 1000


# ── what is written ──────────────────────────────────────────────────────────────────────────────
def test_a_page_keeps_all_but_its_table(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", "utf-8")
    write_between(page, "new")
    write_between(page, "newer")
    assert page.read_text("utf-8") == f"before\n{BEGIN}\n\nnewer\n\n{END}\nafter\n"
    page.write_text("no markers", "utf-8")
    with pytest.raises(SleepLMError, match="put the lines"):
        write_between(page, "new")


def test_json_table_and_pictures_are_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n", "utf-8")
    told: list[str] = []
    request = Request(
        nights=["1"], reference=["1"], hours=0.1, axes=["probes"], out=tmp_path / "out", page=page
    )
    found, text = report(request, told.append)
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text("utf-8")) == found
    assert text in page.read_text("utf-8")
    pytest.importorskip("matplotlib")
    assert (tmp_path / "out" / "probes.png").read_bytes().startswith(b"\x89PNG")


def test_models_are_set_beside_each_other_by_size(tmp_path: Path) -> None:
    weights = tmp_path / "run" / "model"
    weights.mkdir(parents=True)
    assert trained_epochs(weights) is None
    (tmp_path / "run" / "log.jsonl").write_text('{"step": 1}\n{"step": 2, "epochs": 48}\n')
    assert trained_epochs(weights) == 48
    (weights / "training.json").write_text('{"epochs": 96}')
    assert trained_epochs(weights) == 96
    large = {"model": "large", "parameters": 2_000_000, "staging": {"zero_shot": {"kappa": 0.5}}}
    small = {"model": "small", "parameters": 1_000_000, "captions": {"relative_error": 0.25}}
    found = scaling({str(weights): large, "": small})
    assert [one["model"] for one in found["models"]] == ["small", "large"]
    assert found["figures"] == ["zero_shot_kappa", "caption_error"]
    lines = scaling_markdown(found).splitlines()
    assert lines[2] == "| `small` | 1.00 | not recorded | – | 0.25 |"
    assert lines[3] == "| `large` | 2.00 | 96 | 0.5 | – |"
    pytest.importorskip("matplotlib")
    drawn = plot({"scaling": found}, tmp_path)
    assert [path.name for path in drawn] == ["scaling.png", "scaling_by_epochs.png"]


def test_where_a_baseline_is_better_is_said() -> None:
    scores = {"kappa": 0.5, "macro_f1": 0.4, "balanced_accuracy": 0.6, "auroc": 0.7}
    other = {**scores, "kappa": 0.8, "macro_f1": 0.3}
    staged = {"zero_shot": scores, "head": {**scores, "kappa": 0.9}, "baseline": {"yasa": other}}
    night = {"n": 3, "r": None, "bias": 1.0, "low": None, "high": None, "unit": "/h"}
    counted = {
        "by_index": {
            "ahi": {**night, "mean_absolute_error": 2.0},
            "odi3": {**night, "mean_absolute_error": 2.0},
        },
        "baseline": {
            "rule": {
                "ahi": {**night, "mean_absolute_error": 3.0},
                "odi3": {**night, "mean_absolute_error": 1.0},
            }
        },
    }
    found = below_baselines({"staging": staged, "indices": counted})
    assert len(found) == 2
    assert found[0] == "staging, zero-shot by prompts: κ: 0.500 against 0.800 (yasa)"
    assert "odi3" in found[1]
    assert found[1].endswith("(rule)")


# ── axes whose answer is known ───────────────────────────────────────────────────────────────────
def test_a_model_that_reads_the_truth_locates_all_and_chance_does_not(
    model: SleepLM, readings: list[NightReading]
) -> None:
    perfect = [dataclasses.replace(read, model=read.truth) for read in readings]
    found = localization(model, perfect, [])
    for kind, scores in found["by_kind"].items():
        assert scores["f1_iou_0.5"] == 1.0, kind
        assert scores["onset_error_s"] == 0.0
    moved = found["baseline"]["moved by chance"]
    assert np.mean([scores["f1_iou_0.3"] for scores in moved.values()]) < 0.3
    assert "not_measured" in found["baseline"]["automatic scoring"]


def test_stages_that_yasa_gave_are_compared_where_they_are(
    model: SleepLM, readings: list[NightReading]
) -> None:
    told = dataclasses.replace(readings[0], yasa=list(readings[0].truth.stages))
    silent = dataclasses.replace(
        readings[1], yasa=None, not_measured={"yasa": "yasa is not installed"}
    )
    by_yasa = staging(model, [told, silent], [])["baseline"]["yasa"]
    assert (by_yasa["accuracy"], by_yasa["nights"]) == (1.0, 1)
    assert staging(model, [silent], [])["baseline"]["yasa"] == {
        "not_measured": "yasa is not installed"
    }


def test_a_missing_library_is_a_reason_and_no_crash(
    monkeypatch: pytest.MonkeyPatch, model: SleepLM
) -> None:
    real_import: Callable[..., Any] = builtins.__import__

    def without_yasa(name: str, *rest: Any, **more: Any) -> Any:
        if name == "yasa":
            raise ImportError(name)
        return real_import(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_yasa)
    with pytest.raises(NotMeasured, match="yasa is not installed"):
        yasa_stages(SOURCES[0].open(model).recording)


def test_a_concept_counts_as_unseen_when_the_model_does_not_name_it(
    model: SleepLM, readings: list[NightReading]
) -> None:
    found = unseen(model, readings, [])
    assert "limb_movement" in found["by_kind"]
    assert not set(found["by_kind"]) & set(model.event_kinds)
    quiet = [dataclasses.replace(read, truth=Scoring(read.truth.stages)) for read in readings]
    assert "hold no event kind" in unseen(model, quiet, [])["not_measured"]


def test_statements_are_counted_for_the_system_that_they_belong_to() -> None:
    brain = "C3-A2: delta 60.0 %, theta 10.0 %."
    assert statements_by_system(brain)["brain"] == 2
    heart = statements_by_system("ECG: beat rate 57.9 bpm, RMSSD 39.9 ms.")
    assert (heart["cardiac"], sum(heart.values())) == (2, 2)
    mixed = statements_by_system(f"{brain} Body position supine. Deep sleep (N3).")
    assert (mixed["brain"], mixed["somatic"], mixed["stage_event"]) == (2, 1, 1)


def test_captions_are_tallied_by_field() -> None:
    truth = CaptionFields(
        stage="N2",
        events=[CaptionEvent("hypopnea", 1.0, 12.0)],
        values={"ecg_rate_bpm": 60.0, "spo2_mean_pct": 95.0},
    )
    tally = Tally()
    cardiac = CaptionFields(values={"ecg_rate_bpm": 64.0, "hr_mean_bpm": 61.0})
    staged = CaptionFields(stage="N2", events=[CaptionEvent("arousal", 0.0, 4.0)])
    tally.add(truth, {"cardiac": cardiac, "stage_event": staged})
    found = tally.scores({"ecg_rate_bpm": 8.0, "spo2_mean_pct": 1.0})
    assert found["field_recall"] == 0.5  # the rate of two known fields
    assert found["not_in_truth"] == 0.5  # the mean heart rate is in no truth
    assert (found["stage_right"], found["events_right"]) == (1.0, 0.0)
    assert found["median_error"] == {"ecg_rate_bpm": {"value": 4.0, "unit": "bpm"}}
    assert found["relative_error"] == 0.5
    assert found["event_f1_by_kind"] == {"hypopnea": 0.0}


def test_physiological_distance_needs_shared_fields() -> None:
    values = np.tile(np.array([[0.0], [2.0], [4.0]]), (1, 6))
    distance = physiological_distance(values)
    # z-scores −1.22, 0, 1.22: neighbours are one and a quarter apart, the ends twice that.
    assert math.isclose(distance[0, 1], math.sqrt(1.5))
    assert math.isclose(distance[0, 2], 2 * math.sqrt(1.5))
    values[2, :3] = np.nan
    assert np.isnan(physiological_distance(values)[0, 2])


def test_seconds_of_an_event_are_shared_out_to_its_epochs() -> None:
    covered = covered_s([Event("arousal", 28.0, 5.0), Event("arousal", 85.0, 10.0)], 3)
    assert list(covered) == [2.0, 3.0, 5.0]


def test_fewer_channels_are_read_as_missing_and_nothing_is_said_of_them(
    readings: list[NightReading],
) -> None:
    alone = readings[0].missing["oximeter alone"]
    assert alone.channels == ("SPO2", "HR")
    assert set(readings[0].missing) == {"all", "one EEG", "oximeter alone", "3 taken away"}
    assert len(readings[0].missing["3 taken away"].channels) == len(readings[0].present) - 3
    assert alone.stages != readings[0].missing["all"].stages
    assert not any("delta" in text for text in alone.captions["brain"])


# ── features without a model ─────────────────────────────────────────────────────────────────────
def test_band_features_see_shape_and_not_gain() -> None:
    seconds = np.arange(1920) / 64
    epochs = np.stack([np.sin(2 * np.pi * 10 * seconds), np.sin(2 * np.pi * 2.5 * seconds)])
    found = band_features(epochs)
    assert list(found[:, :9].argmax(axis=1)) == [5, 3]  # 8–12 Hz, 2–4 Hz
    assert np.allclose(found, band_features(1000 * epochs))


def test_features_of_missing_channels_are_zero_and_named() -> None:
    rng = np.random.default_rng(0)
    spo2 = np.full(3840, 95.0)
    spo2[1920:2000] = 90.0
    found = signal_features({"EEG_C3_A2": rng.normal(size=3840), "SPO2": spo2}, 2)
    names = feature_names()
    assert found.shape == (2, len(names))
    assert found[1, names.index("SPO2:range")] == 5.0
    assert not found[:, [names.index(name) for name in feature_names(["ECG"])]].any()
    assert np.abs(standardised(found, found)).max() <= 5.0


def test_the_rule_finds_a_fall_of_saturation() -> None:
    seconds = np.full(300, 96.0)
    seconds[100:130] = np.concatenate([np.linspace(96, 90, 20), np.linspace(90, 96, 10)])
    found = ruled_desaturations(np.repeat(seconds, 64))
    assert len(found) == 1
    assert 95 <= found[0].onset_s <= 106
    assert ruled_desaturations(None) == []


def test_a_pool_holds_scored_epochs_alone(readings: list[NightReading]) -> None:
    first = readings[0]
    stages = ("unscored", *first.truth.stages[1:])
    part = dataclasses.replace(first, truth=dataclasses.replace(first.truth, stages=stages))
    pool = Pool([part, readings[1]])
    assert len(pool) == first.n_epochs + readings[1].n_epochs - 1
    assert len(pool.embeddings) == len(pool.features) == len(pool.fields) == len(pool)
    assert list(np.unique(pool.night)) == [0, 1]
