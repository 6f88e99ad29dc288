"""The command line: what it prints, where, and how it ends."""

import json
import subprocess
import sys
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sleeplm import Scoring, read_scoring
from ui.cli import main

COMMANDS = (
    *("chat", "ask", "describe", "locate", "similar", "summarize", "index", "check", "simulate"),
    *("train", "evaluate"),
)
Run = Any


@pytest.fixture
def run(own_cache: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line here; gives (exit code, standard output, standard error)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return call


@pytest.fixture(scope="module")
def truth(short_night: Path) -> Scoring:
    return Scoring.from_json(short_night.with_name("night.truth.json").read_text())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"Usage: sleeplm {command}" in out


def test_without_arguments_the_commands_are_listed(run: Run) -> None:
    code, out, _ = run()
    assert code == 0
    assert all(command in out for command in COMMANDS)


def test_help_and_check_load_no_heavy_package(short_night: Path) -> None:
    script = (
        "import sys; sys.argv = sys.argv[:1]\n"
        "from ui.cli import main\n"
        "try: main({arguments})\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {{'torch', 'gradio', 'langchain', 'chromadb', 'yasa'}} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    for arguments in (["--help"], ["check", str(short_night), "--json"]):
        done = subprocess.run(
            [sys.executable, "-c", script.format(arguments=arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_check_names_the_label_of_every_channel_and_the_scoring(
    run: Run, short_night: Path, truth: Scoring
) -> None:
    code, out, err = run("check", short_night, "--json")
    report = json.loads(out)
    assert (code, err) == (0, "")
    assert report["duration_s"] == 1800.0
    assert report["channels"]["EEG_C3_A2"]["label"] == "C3-M2"
    assert list(report["channels"]) == [
        *("ECG", "ABD", "THX", "AF", "EOG_L", "EOG_R", "EEG_C3_A2", "EEG_C4_A1", "EMG_CHIN"),
        *("POS", "SPO2", "HR"),
    ]
    assert report["scoring"]["n_events"] == len(truth.events)
    assert "C3-M2" in run("check", short_night)[1]


def test_check_reads_the_channel_that_the_user_names(run: Run, short_night: Path) -> None:
    _, out, _ = run("check", short_night, "--map", "EEG_C3_A2=C4-M1", "--json")
    assert json.loads(out)["channels"]["EEG_C3_A2"]["label"] == "C4-M1"


def test_locate_counts_what_the_truth_holds(run: Run, short_night: Path, truth: Scoring) -> None:
    asleep = [event for event in truth.events_of("obstructive_apnea") if truth.in_sleep(event)]
    code, out, err = run("locate", short_night, "obstructive apnea", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["in_sleep"] == len(asleep) > 0
    assert found["source"] == "expert"
    onsets = sorted(event["onset_s"] for event in found["events"])
    assert onsets == pytest.approx(sorted(event.onset_s for event in asleep), abs=0.02)


def test_locate_keeps_to_the_epochs_named_counted_from_one(
    run: Run, short_night: Path, truth: Scoring
) -> None:
    event = truth.events_of("obstructive_apnea")[0]
    number = int(event.onset_s // 30) + 1
    _, out, _ = run("locate", short_night, "obstructive apnea", "--epochs", number, "--json")
    found = json.loads(out)
    assert [one["epoch"] for one in found["events"]] == [number]
    assert found["scope"]["first_epoch"] == number


def test_summarize_prints_quantities_and_the_notice(
    run: Run, short_night: Path, truth: Scoring
) -> None:
    slept = sum(stage in ("N1", "N2", "N3", "R") for stage in truth.stages)
    summary = json.loads(run("summarize", short_night, "--json")[1])
    assert summary["tst"] | {"note": ""} == {
        "value": slept / 2,
        "unit": "min",
        "source": "expert",
        "note": "",
    }
    assert summary["scorer"]["kind"] == "expert"
    _, shown, _ = run("summarize", short_night)
    assert "Research use only, not a medical device" in shown
    assert "sleep_onset_latency" in shown


def test_ask_answers_with_tools_and_evidence(run: Run, short_night: Path, truth: Scoring) -> None:
    asleep = [event for event in truth.events_of("obstructive_apnea") if truth.in_sleep(event)]
    question = "How many obstructive apneas were there, and in which stage?"
    code, out, err = run("ask", short_night, question, "--json")
    answer = json.loads(out)
    assert (code, err) == (0, "")
    assert set(answer) == {"answer", "tool_calls", "evidence", "unverified"}
    assert f"{len(asleep)} obstructive apnea" in answer["answer"]
    assert "[expert]" in answer["answer"]
    assert [call["name"] for call in answer["tool_calls"]] == ["locate_events"]
    assert answer["unverified"] == []
    _, shown, _ = run("ask", short_night, question)
    assert "offline planner" in shown
    assert "Research use only, not a medical device" in shown


def test_describe_measures_and_reads(run: Run, short_night: Path, model_folder: Path) -> None:
    code, out, _ = run(
        *("describe", short_night, "--system", "cardiac", "--epochs", "10-11"),
        *("--model", model_folder, "--json"),
    )
    described = json.loads(out)
    assert code == 0
    assert {caption["epoch"] for caption in described["captions"]} <= {10, 11}
    assert any(field["unit"] == "bpm" for field in described["measured"])


def test_without_a_scoring_the_night_is_scored_automatically_and_the_answer_says_so(
    run: Run, unscored_night: Path, model_folder: Path, tmp_path: Path
) -> None:
    question = ["ask", unscored_night, "How much REM was there?", "--model", model_folder]
    code, out, _ = run(*question, "--json")
    assert code == 0
    assert "[automatic]" in json.loads(out)["answer"]
    code, out, _ = run(*question, "--scoring", "model", "--json")
    assert code == 0
    assert "[model]" in json.loads(out)["answer"]
    written = tmp_path / "night.annot"
    code, out, _ = run("score", unscored_night, "--out", written, "--json")
    assert code == 0
    assert json.loads(out)["scorer"]["kind"] == "automatic"
    assert json.loads(out)["format"] == "luna"
    assert read_scoring(written).n_epochs == 60


def test_similar_and_index_search_within_a_night_and_across(
    run: Run, short_night: Path, model_folder: Path, tmp_path: Path
) -> None:
    model = ("--model", model_folder)
    code, out, _ = run("similar", short_night, "--epoch", 20, "--limit", 3, *model, "--json")
    assert code == 0
    hits = json.loads(out)["hits"]
    assert len(hits) == 3
    assert all(abs(hit["epoch"] - 20) > 2 for hit in hits)
    store = tmp_path / "store"
    _, out, _ = run("index", short_night, "--store", store, *model, "--json")
    held = json.loads(out)
    assert held["held"] == {"nights": 1, "epochs": 60}
    code, out, _ = run("similar", short_night, "--night", "--store", store, *model, "--json")
    assert code == 0
    assert json.loads(out)["hits"] == []
    code, out, err = run("similar", short_night, "--epoch", 20, "--spo2", "low", *model)
    assert (code, out) == (2, "")
    assert "--spo2 'low': write it as LOW-HIGH" in err
    # A night that cannot be read is named and stops no other.
    broken = tmp_path / "broken.edf"
    broken.write_bytes(b"no recording")
    code, out, err = run("index", broken, short_night, "--store", store, *model)
    assert code == 0
    assert err.startswith("! broken.edf: ")
    assert "was there already" in out
    night = held["indexed"][0]["night"]
    code, out, _ = run("index", "--remove", night, "--store", store, *model, "--json")
    assert json.loads(out)["removed"] == {night: 61}
    assert json.loads(out)["held"] == {"nights": 0, "epochs": 0}
    code, out, err = run("index", "--store", store, *model)
    assert code == 2
    assert "nothing to do" in err


def test_a_mistyped_witness_is_not_taken_for_a_file_only(run: Run, short_night: Path) -> None:
    for command in (("describe", short_night), ("check", short_night), ("index", short_night)):
        code, out, err = run(*command, "--scoring", "autmatic")
        assert (code, out) == (2, "")
        assert "no such file; name a scoring file, or expert, automatic or model" in err


def test_simulate_writes_the_same_night_for_the_same_seed(run: Run, tmp_path: Path) -> None:
    made = []
    for name in ("a.edf", "b.edf"):
        code, out, err = run(
            "simulate", tmp_path / name, "--seed", 3, "--hours", 0.1, "--ahi", 10, "--json"
        )
        assert (code, err) == (0, "")
        files = json.loads(out)["files"]
        assert {Path(path).suffix for path in files} == {".edf", ".xml", ".json"}
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1]


def test_simulate_writes_a_cohorts_layout_that_check_and_summarize_read(
    run: Run, tmp_path: Path
) -> None:
    edf = tmp_path / "night.edf"
    options = ["--condition", "plmd", "--layout", "cfs", "--artefacts", "pop,gain", "--age", 60]
    code, out, err = run(
        "simulate", edf, "--hours", 0.5, "--seed", 2, *options, "--missing", "SPO2", "--json"
    )
    assert (code, err) == (0, "")
    assert [Path(path).name for path in json.loads(out)["files"]] == [
        "night.edf",
        "night-profusion.xml",
        "night.truth.json",
    ]
    truth = json.loads((tmp_path / "night.truth.json").read_text())
    assert truth["meta"]["age_y"] == 60
    assert {entry["kind"] for entry in truth["meta"]["artefacts"]} == {"pop", "gain"}
    code, out, _ = run("check", edf, "--json")
    assert code == 0
    channels = json.loads(out)["channels"]
    assert channels["EEG_C3_A2"]["derivation"] == "C3 − M2"
    assert [name for name, source in channels.items() if source is None] == ["SPO2"]
    code, out, _ = run("summarize", edf, "--json")
    assert code == 0
    summary = json.loads(out)
    asleep = sum(stage != "W" for stage in truth["stages"])
    assert summary["tst"]["value"] == asleep / 2
    arousals = [event for event in truth["events"] if event["kind"] == "arousal"]
    assert summary["event_counts"]["arousal"]["value"] == len(arousals)


BAD_INPUTS = (
    *("missing", "not-edf", "truncated", "other-night", "no-scoring-file"),
    *("automatic-too-short", "score-ending", "score-format", "score-itself"),
    *("mapping-form", "mapping-label", "epochs-form", "epochs-zero", "epochs-outside", "order"),
    *("system", "weights", "two-queries", "no-store", "llm", "empty-question", "condition"),
    *("age", "layout", "artefacts", "artefact-share", "missing-channel", "scoring-format"),
    *("hours", "recipe", "chat", "option", "command"),
)


@cache
def ten_minutes() -> bytes:
    """A recording that is too short to be scored automatically."""
    import tempfile

    from train.simulate import simulate_night, write_night

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ten.edf"
        write_night(simulate_night(3, hours=1 / 6, ahi=0), path)
        return path.read_bytes()


def bad_inputs(tmp_path: Path, night: Path) -> dict[str, list[object]]:
    text = tmp_path / "notes.edf"
    text.write_text("this is not a recording\n" * 50)
    short = tmp_path / "short.edf"
    short.write_bytes(night.read_bytes()[:300])
    ten = tmp_path / "ten.edf"
    ten.write_bytes(ten_minutes())
    other = tmp_path / "other.json"
    other.write_text(Scoring(("N2",) * 10, start=datetime(1999, 1, 1)).to_json())
    return {
        "missing": ["summarize", tmp_path / "none.edf"],
        "not-edf": ["summarize", text],
        "truncated": ["summarize", short],
        "other-night": ["summarize", night, "--scoring", other],
        "no-scoring-file": ["summarize", night, "--scoring", tmp_path / "none.xml"],
        "automatic-too-short": ["summarize", ten, "--scoring", "automatic"],
        "score-ending": ["score", night, "--out", tmp_path / "night.doc"],
        "score-format": ["score", night, "--out", tmp_path / "night.csv", "--format", "word"],
        "score-itself": ["score", night, "--out", night, "--format", "edf"],
        "mapping-form": ["check", night, "--map", "ECG"],
        "mapping-label": ["check", night, "--map", "ECG=nothing of this name"],
        "epochs-form": ["locate", night, "arousal", "--epochs", "ten"],
        "epochs-zero": ["locate", night, "arousal", "--epochs", "0-4"],
        "epochs-outside": ["locate", night, "arousal", "--epochs", "5000"],
        "order": ["locate", night, "arousal", "--order", "loudest"],
        "system": ["describe", night, "--system", "liver"],
        "weights": ["describe", night, "--model", tmp_path / "no-weights"],
        "two-queries": ["similar", night, "--epoch", "3", "--text", "spindles"],
        "no-store": ["similar", night, "--night", "--store", tmp_path / "no-store"],
        "llm": ["ask", night, "How was the night?", "--llm", "nobody:nothing"],
        "empty-question": ["ask", night, "  "],
        "condition": ["simulate", tmp_path / "x.edf", "--condition", "unheard-of"],
        "age": ["simulate", tmp_path / "x.edf", "--age", "200"],
        "layout": ["simulate", tmp_path / "x.edf", "--layout", "polyman"],
        "artefacts": ["simulate", tmp_path / "x.edf", "--artefacts", "rain,pop"],
        "artefact-share": ["simulate", tmp_path / "x.edf", "--artefacts", "1.5"],
        "missing-channel": ["simulate", tmp_path / "x.edf", "--missing", "EEG_O9"],
        "scoring-format": ["simulate", tmp_path / "x.edf", "--scoring-format", "docx"],
        "hours": ["simulate", tmp_path / "x.edf", "--hours", "-1"],
        "recipe": ["train", "no-such-recipe", "--out", tmp_path / "run"],
        "chat": ["chat", text, "--no-browser"],
        "option": ["check", night, "--colour", "red"],
        "command": ["dream", night],
    }


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input_ends_with_code_2_and_one_line(
    run: Run, tmp_path: Path, short_night: Path, case: str
) -> None:
    code, out, err = run(*bad_inputs(tmp_path, short_night)[case])
    assert code == 2
    assert out == ""
    assert err.startswith("sleeplm: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert len(err) > 30


def test_long_work_is_told_to_a_log_and_quick_work_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ui import cli

    clock = iter([0.0, 1.0, 12.0, 13.0, 30.0])
    monkeypatch.setattr(cli.time, "monotonic", lambda: next(clock))
    tell = cli._plain_teller()
    for words, share in (("a", 0.0), ("SleepLM stages", 0.25), ("b", 0.5), ("c", 0.0)):
        tell(words, share)
    assert capsys.readouterr().err == "SleepLM stages 25%\nc\n"
