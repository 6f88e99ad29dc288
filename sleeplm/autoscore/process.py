"""Automatic scoring in a process of its own, so that it can be cancelled and a page stays quick.

The signals travel through a pipe: no path, label or header text of a file is handed over or stands
in a command line. The process ends by itself when its parent closes the pipe or dies.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from sleeplm.autoscore.legs import LegEmg, leg_signals
from sleeplm.errors import ScoringCancelled, ScoringError, SleepLMError
from sleeplm.scoring import Scoring

if TYPE_CHECKING:
    from sleeplm.recording import Recording

__all__ = ["CANCELLED", "ScoringProcess"]

Progress = Callable[[str, float], None]
CANCELLED = (
    "automatic scoring was cancelled; choose automatic to begin it again, or model for SleepLM's "
    "own reading"
)
#: What a user's own questions need comes first on the cores that both share.
_NICENESS = 5
_running: weakref.WeakSet[ScoringProcess] = weakref.WeakSet()


class ScoringProcess:
    """One automatic scoring in another process.

    Parameters
    ----------
    recording : Recording
    progress : callable, optional
        Called with a phrase and a share of 1, in the thread of :meth:`run`.
    """

    def __init__(self, recording: Recording, progress: Progress | None = None) -> None:
        self._recording = recording
        self._progress = progress or (lambda phrase, share: None)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._cancelled = False

    @property
    def pid(self) -> int | None:
        """Of the process while it runs."""
        return None if self._process is None else self._process.pid

    def cancel(self) -> None:
        """End the process; :meth:`run` then raises. Safe from any thread, at any time."""
        with self._lock:
            self._cancelled = True
            if self._process is not None:
                self._process.kill()

    def run(self) -> Scoring:
        """Score and wait for the result.

        Raises
        ------
        ScoringCancelled
            :meth:`cancel` was called.
        ScoringError
            The recording cannot be scored, or the process ended without a result.
        """
        legs = leg_signals(self._recording.path)
        with self._lock:
            if self._cancelled:
                raise ScoringCancelled(CANCELLED)
            self._process = _started()
            _running.add(self)
        try:
            told = self._talk(self._process, legs)
        finally:
            with self._lock:
                process, self._process = self._process, None
                process.kill()
            _running.discard(self)
            _close(process)
        if self._cancelled:
            raise ScoringCancelled(CANCELLED)
        if "scoring" in told:
            return Scoring.from_json(told["scoring"], "automatic scoring")
        if "refused" in told:
            raise ScoringError(str(told["refused"]))
        why = told.get("failed") or f"its process ended with code {process.returncode}"
        raise ScoringError(
            f"automatic scoring failed on this recording ({why}); use --scoring model"
        )

    def _talk(self, process: subprocess.Popen[bytes], legs: LegEmg) -> dict[str, Any]:
        """Hand the signals over and follow the progress to the result; empty without one."""
        assert process.stdin is not None
        assert process.stdout is not None
        # One that has gone already is heard all the same: its last words say why.
        with contextlib.suppress(OSError):
            _send(process.stdin, self._recording, legs)
        for line in process.stdout:
            told: dict[str, Any] = json.loads(line)
            if "phrase" not in told:
                return told
            self._progress(str(told["phrase"]), float(told["share"]))
        return {}


def _started() -> subprocess.Popen[bytes]:
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return subprocess.Popen(
        [sys.executable, "-c", "from sleeplm.autoscore.process import main; main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"},
    )


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    process.wait()


def _send(pipe: IO[bytes], recording: Recording, legs: LegEmg) -> None:
    """One line of JSON, then the samples of each signal, float32."""
    head = {
        "start": recording.start.isoformat() if recording.start else None,
        "duration_s": recording.duration_s,
        "signals": {name: len(values) for name, values in recording.signals.items()},
        "legs": {name: len(values) for name, values in legs.signals.items()},
        "leg_rate_hz": legs.rate_hz,
        "leg_reason": legs.reason,
    }
    pipe.write(json.dumps(head).encode() + b"\n")
    for values in (*recording.signals.values(), *legs.signals.values()):
        pipe.write(np.ascontiguousarray(values, dtype="<f4").tobytes())
    pipe.flush()


def _received(pipe: IO[bytes]) -> tuple[Recording, LegEmg]:
    from sleeplm.recording import Recording

    head = json.loads(pipe.readline())

    def samples(lengths: dict[str, int]) -> dict[str, np.ndarray]:
        found = {}
        for name, length in lengths.items():
            # frombuffer is read-only; nothing here writes into what it was given.
            found[name] = np.frombuffer(pipe.read(4 * length), dtype="<f4")
        return found

    recording = Recording(
        path=None,
        start=datetime.fromisoformat(head["start"]) if head["start"] else None,
        duration_s=float(head["duration_s"]),
        signals=samples(head["signals"]),
        sources={},
    )
    legs = LegEmg(
        {name: values.astype(np.float64) for name, values in samples(head["legs"]).items()},
        float(head["leg_rate_hz"]),
        head["leg_reason"],
    )
    return recording, legs


def main() -> None:
    """The process itself: signals from standard input, progress and scoring on standard output."""
    from sleeplm.autoscore import autoscore

    answer = os.fdopen(os.dup(1), "wb")
    # What libraries print must not stand between the answers.
    os.dup2(2, 1)
    if hasattr(os, "nice"):
        os.nice(_NICENESS)

    def say(**told: Any) -> None:
        answer.write(json.dumps(told).encode() + b"\n")
        answer.flush()

    def end_with_parent() -> None:
        sys.stdin.buffer.read(1)
        os._exit(1)

    recording, legs = _received(sys.stdin.buffer)
    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        scoring = autoscore(
            recording, legs=legs, progress=lambda phrase, share: say(phrase=phrase, share=share)
        )
        say(scoring=scoring.to_json())
    except SleepLMError as error:
        say(refused=str(error))
    except Exception as error:  # others' code on data that it never saw
        say(failed=type(error).__name__)
    answer.flush()
    os._exit(0)


@atexit.register
def _end_all() -> None:
    for process in list(_running):
        process.cancel()
