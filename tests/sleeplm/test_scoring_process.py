"""Automatic scoring in its own process: same result, told in words, ended when it must end."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from sleeplm.autoscore import autoscore
from sleeplm.autoscore.process import ScoringProcess
from sleeplm.errors import ScoringCancelled, ScoringError
from sleeplm.night import Night
from sleeplm.recording import Recording

START = datetime(2024, 3, 1, 23, 0)
N_EPOCHS = 60


def saturation_only(n_epochs: int = N_EPOCHS) -> Recording:
    """Saturation with a fall of ten points every three minutes: scored in a second."""
    seconds = np.arange(n_epochs * 30)
    spo2 = 96.0 - 10.0 * np.clip(1 - np.abs(seconds % 180 - 90) / 20, 0, None)
    return Recording.from_signals({"SPO2": np.repeat(spo2, 64).astype(np.float32)}, start=START)


def brain_only() -> Recording:
    """An hour of noise as EEG: it takes seconds, so that there is time to stop it."""
    rng = np.random.default_rng(0)
    eeg = np.cumsum(rng.normal(size=120 * 1920)).astype(np.float32)
    return Recording.from_signals({"EEG_C4_A1": (eeg - eeg.mean()) / eeg.std() * 20}, start=START)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def gone_within(pid: int, limit_s: float = 10.0) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if not is_alive(pid):
            return True
        time.sleep(0.05)
    return False


def test_the_other_process_gives_the_scoring_that_this_one_gives() -> None:
    recording = saturation_only()
    told: list[tuple[str, float]] = []
    scoring = ScoringProcess(recording, lambda *step: told.append(step)).run()
    assert scoring == autoscore(recording)
    assert len(scoring.events) == 10
    assert scoring.start == START
    assert told[0] == ("staging by YASA", 0.0)
    assert told[-1] == ("scored", 1.0)


def test_why_a_recording_cannot_be_scored_comes_back_in_the_same_words() -> None:
    with pytest.raises(ScoringError, match=r"10\.0 min are too short to score automatically"):
        ScoringProcess(saturation_only(20)).run()


def test_a_process_that_dies_is_a_failed_scoring_and_no_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def killed_at_once(*_: object) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        code = "import os; os.kill(os.getpid(), 9)"
        return subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe)

    monkeypatch.setattr("sleeplm.autoscore.process._started", killed_at_once)
    with pytest.raises(ScoringError, match="its process ended with code -9"):
        ScoringProcess(saturation_only()).run()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into /proc")
def test_a_cancelled_night_lets_go_of_all_who_wait_and_begins_again_only_when_permitted() -> None:
    night = Night.from_recording(brain_only())
    night.scores_aside = True
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            _ = night.scoring
        except ScoringCancelled as error:
            caught.append(error)

    waiting = [threading.Thread(target=wait) for _ in range(2)]
    for thread in waiting:
        thread.start()
    deadline = time.monotonic() + 30
    while night.scoring_step is None or night._scoring_process is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    while (pid := night._scoring_process.pid) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert is_alive(pid)
    assert Path(f"/proc/{pid}/cmdline").read_bytes().count(b"edf") == 0
    night.cancel_scoring()
    for thread in waiting:
        thread.join(10)
    assert len(caught) == 2
    assert gone_within(pid)
    assert night.scoring_step is None
    assert night.scoring_cancelled
    with pytest.raises(ScoringCancelled, match="choose automatic to begin it again, or model"):
        _ = night.scoring
    assert list(night.scorings) == ["automatic", "model"]
    night.permit_scoring()
    assert not night.scoring_cancelled


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into /proc")
@pytest.mark.parametrize("how", ["killed", "left"])
def test_no_process_is_left_when_its_parent_ends(how: str, tmp_path: Path) -> None:
    """Killed without a word, or ended as a program ends while a thread still scores."""
    code = f"""
import sys, threading, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_scoring_process import brain_only
from sleeplm.autoscore.process import ScoringProcess
running = ScoringProcess(brain_only(), lambda phrase, share: None)
threading.Thread(target=running.run, daemon=True).start()
while running.pid is None:
    time.sleep(0.02)
print(running.pid, flush=True)
time.sleep({60 if how == "killed" else 0.5})
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        if how == "killed":
            parent.kill()
        parent.wait(30)
    assert gone_within(pid)
    # The signals went through a pipe, and not through a file.
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_during_automatic_scoring_ends_with_one_line_and_leaves_nothing(
    make_edf: Callable[..., Path], tmp_path: Path
) -> None:
    eeg = brain_only().signals["EEG_C4_A1"].astype(np.float64)
    path = make_edf([("C4-A1", "uV", 64, eeg)])
    script = """
import sys
from sleeplm.night import Night
tell = Night._tell_scoring
def told(self, phrase, share):
    print(phrase, file=sys.__stdout__, flush=True)
    tell(self, phrase, share)
Night._tell_scoring = told
from ui.cli import main
main(sys.argv[1:])
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, "score", str(path), "--out", str(tmp_path / "out.csv")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"SLEEPLM_CACHE_DIR": str(tmp_path / "cache")},
        start_new_session=True,
    )
    assert process.stdout is not None
    assert "staging" in process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.splitlines() == ["sleeplm: stopped by Ctrl-C"]
    assert not (tmp_path / "out.csv").exists()
    # Its session had no other member left: nothing that it started lives on.
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
