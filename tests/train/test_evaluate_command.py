"""``sleeplm evaluate`` as it is typed."""

import json
from pathlib import Path

import pytest

from train.evaluate import run
from ui.cli import main


def test_the_command_prints_json_of_the_axes_that_were_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([
            *("evaluate", "--nights", "1", "--hours", "0.1", "--reference", "0"),
            *("--axes", "continuity, staging", "--json"),
        ])  # fmt: skip
    assert ended.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["nights"], found["epochs"], found["reference_nights"]) == (1, 12, 0)
    assert found["staging"]["baseline"]["majority"]["auroc"] == 0.5
    assert "captions" not in found


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--axes", "stages"], "axis 'stages' is not known"),
        (["--nights", "gone.edf"], "gone.edf: there is no such recording or folder"),
        (["--nights", "0"], "--nights 0"),
        (["--write", "gone.md"], "gone.md: cannot be read"),
        (["--real", "gone"], "--real gone: no such folder"),
        (["--nights", "1", "--hours", "0.1", "--model", "gone"], "gone: no such weights"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    typed: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *typed])
    assert ended.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]


def test_a_copy_outside_a_checkout_has_no_commit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run, "__file__", str(tmp_path / "a" / "b" / "run.py"))
    assert run.commit() is None
