"""A night: a recording with its scorings and what the model reads in it, each made once.

A night is known through up to three witnesses: an *expert* scoring (a file), an *automatic* one
(:mod:`sleeplm.autoscore`), and the *model*'s own reading. :attr:`Night.scoring` is the preferred
one; whoever shows a number says whose it is.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from sleeplm.cache import NightCache, cache_folder
from sleeplm.errors import (
    QueryError,
    RecordingError,
    ScoringCancelled,
    ScoringError,
    SleepLMError,
)
from sleeplm.scoring import (
    EPOCH_S,
    RESPIRATORY_KINDS,
    STAGES,
    UNSCORED,
    Event,
    Scorer,
    Scoring,
)

if TYPE_CHECKING:
    from sleeplm.autoscore.process import ScoringProcess
    from sleeplm.physiology import NightMeasurements
    from sleeplm.reader import SleepLM
    from sleeplm.recording import Recording
    from sleeplm.summary import NightSummary

__all__ = ["SCORING_CHOICES", "Located", "Night", "Progress"]

T = TypeVar("T")
Progress = Callable[[str, float], None]
SCORING_CHOICES = ("expert", "automatic", "model")
#: Bump when the way a cached result is made changes without the model changing.
CACHE_VERSION = 1
#: An epoch's event that ends this close to the edge continues in one that begins as close to it.
EDGE_S = 0.75
#: AASM: respiratory events last 10 s at least; what the model reads is blurred by about a second.
MINIMUM_DURATION_S = {
    "obstructive_apnea": 9.0,
    "central_apnea": 9.0,
    "mixed_apnea": 9.0,
    "hypopnea": 9.0,
    "desaturation": 5.0,
    "arousal": 2.0,
}
#: What the model must see for a kind to be read at all: one channel of each group.
NEEDED_CHANNELS = {
    "obstructive_apnea": (("AF",), ("THX", "ABD")),
    "central_apnea": (("AF",), ("THX", "ABD")),
    "mixed_apnea": (("AF",), ("THX", "ABD")),
    "hypopnea": (("AF", "THX", "ABD"),),
    "desaturation": (("SPO2",),),
    "arousal": (("EEG_C3_A2", "EEG_C4_A1"),),
}


@dataclass(frozen=True)
class Located:
    """Where the model finds a text in the night: seconds from the start, and its score (0–1)."""

    onset_s: float
    duration_s: float
    score: float


class _Scorings(Mapping[str, Scoring]):
    """The scorings that can be had by witness; all but the expert's are made on first use.

    Listing them and asking whether one is in makes none.
    """

    def __init__(self, night: Night, expert: Scoring | None) -> None:
        self._night = night
        self.expert = expert

    def __getitem__(self, kind: str) -> Scoring:
        if kind == "expert" and self.expert is not None:
            return self.expert
        if kind == "automatic" and kind in self:
            return self._night._automatic_scoring()
        if kind == "model":
            return self._night._model_scoring()
        raise KeyError(kind)

    def __contains__(self, kind: object) -> bool:
        return kind in list(self)

    def __iter__(self) -> Iterator[str]:
        if self.expert is not None:
            yield "expert"
        if self._night.why_not_automatic is None:
            yield "automatic"
        yield "model"

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Night:
    """One recording, opened.

    Use :meth:`open` for files and :meth:`from_recording` for signals in memory. Results are kept
    under the recording's content and the model's id, so a second opening reads them back.

    Attributes
    ----------
    scores_aside : bool
        Whether the automatic scoring runs in a process of its own, which :meth:`cancel_scoring`
        ends at once. A page sets it; a program that waits for the result anyway need not.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        expert: Scoring | None = None,
        model: SleepLM | str | Path | None = None,
        choice: str | None = None,
        progress: Progress | None = None,
        cache: bool = True,
    ) -> None:
        self.recording = recording
        self.choice = choice
        self.progress = progress
        self._model_source = model
        self._use_cache = cache
        self._lock = threading.RLock()
        # Minutes of scoring must not hold up what needs no scoring.
        self._automatic_lock = threading.Lock()
        self._automatic_failure: str | None = None
        self.scores_aside = False
        self._scoring_process: ScoringProcess | None = None
        self._scoring_step: tuple[str, float] | None = None
        self._scoring_cancelled = False
        self._kept: dict[str, object] = {}
        self.scorings: Mapping[str, Scoring] = _Scorings(self, expert)

    @classmethod
    def open(
        cls,
        path: str | Path,
        scoring: str | Path | None = None,
        model: SleepLM | str | Path | None = None,
        mapping: dict[str, str] | None = None,
        progress: Progress | None = None,
        cache: bool = True,
    ) -> Night:
        """Open a recording and its scoring.

        Parameters
        ----------
        path : path
            EDF, EDF+, BDF, or anything that mne reads.
        scoring : path or str, optional
            A scoring file, or which witness to prefer: ``"expert"``, ``"automatic"``, ``"model"``.
            By default a scoring file beside the recording is found by itself.
        model : SleepLM, folder, hub id or None
            Loaded when first needed; None is the embedded model.
        mapping : dict, optional
            Channel → label overrides, e.g. ``{"EEG_C3_A2": "EEG 3"}``.
        progress : callable, optional
            Called with a phrase ("reading 14 channels") and a share of 1.

        Raises
        ------
        RecordingError, MontageError, ScoringError
            Each with one line that names the file and what to do.
        """
        from sleeplm.recording import read_recording
        from sleeplm.scoring_files import find_scoring, read_scoring

        recording = read_recording(path, mapping=mapping, progress=progress)
        recording.require_epochs()
        choice = str(scoring) if scoring in SCORING_CHOICES else None
        given = scoring is not None and choice is None
        found = Path(str(scoring)) if given else find_scoring(Path(path))
        expert = None
        if choice == "automatic":
            from sleeplm.autoscore import why_not

            reason = why_not(recording)
            if reason is not None:
                raise ScoringError(f"{Path(path).name}: {reason}; use --scoring model")
        if found is not None:
            expert = read_scoring(found, duration_s=recording.duration_s).aligned(
                recording.start, recording.n_epochs
            )
        elif choice == "expert":
            raise ScoringError(
                f"no scoring file was found beside {Path(path).name}; name one with --scoring FILE"
            )
        return cls(
            recording, expert=expert, model=model, choice=choice, progress=progress, cache=cache
        )

    @classmethod
    def from_recording(
        cls,
        recording: Recording,
        scoring: Scoring | None = None,
        model: SleepLM | str | Path | None = None,
        cache: bool = False,
    ) -> Night:
        """A night from signals in memory, with a scoring on the same clock."""
        if scoring is not None:
            scoring = scoring.aligned(recording.start, recording.n_epochs)
        return cls(recording, expert=scoring, model=model, cache=cache)

    # ── identity and time ────────────────────────────────────────────────────────────────────
    @property
    def id(self) -> str:
        """Pseudonym: from the signals' content, never from a name."""
        return f"night-{self.recording.content_id[:8]}"

    @property
    def n_epochs(self) -> int:
        return self.recording.n_epochs

    @property
    def start(self) -> datetime | None:
        return self.recording.start

    @property
    def duration_s(self) -> float:
        """Seconds covered by complete epochs."""
        return self.n_epochs * EPOCH_S

    @property
    def problems(self) -> list[str]:
        """What was wrong or missing in the files, one sentence each."""
        expert = self.scorings.expert if isinstance(self.scorings, _Scorings) else None
        automatic = self._kept.get("automatic_scoring")
        found = [*self.recording.problems, *(expert.problems if expert else ())]
        if isinstance(automatic, Scoring):
            found += [f"automatic scoring: {problem}" for problem in automatic.problems]
        if self._automatic_failure is not None:
            found.append(self._automatic_failure)
        return found

    def clock(self, time_s: float) -> str:
        """Clock time ``02:14:30``, or ``+01:46:00`` since the start where no clock is known."""
        whole = round(time_s)
        if self.start is not None:
            return (self.start + timedelta(seconds=whole)).strftime("%H:%M:%S")
        return f"+{whole // 3600:02d}:{whole % 3600 // 60:02d}:{whole % 60:02d}"

    def epoch_clock(self, epoch: int) -> str:
        """Clock time at which epoch index ``epoch`` (from 0) begins."""
        return self.clock(epoch * EPOCH_S)

    # ── scorings ─────────────────────────────────────────────────────────────────────────────
    @property
    def scoring(self) -> Scoring:
        """The preferred scoring: the chosen witness, else expert, else automatic, else model."""
        return self.scoring_from(None)

    def scoring_from(self, choice: str | None) -> Scoring:
        """The scoring of one witness; None for the preferred.

        Raises
        ------
        ScoringCancelled
            The automatic scoring is wanted and was cancelled.
        ScoringError
            This night has no such witness.
        """
        wanted = choice or self.choice
        if wanted is None:
            wanted = next(kind for kind in SCORING_CHOICES if kind in self.scorings)
            if wanted == "automatic":
                try:
                    return self.scorings[wanted]
                except ScoringCancelled:
                    # Who stopped one long reading did not ask for another.
                    raise
                except ScoringError as error:
                    self._automatic_failure = str(error)
                    wanted = "model"
        if wanted not in self.scorings:
            reason = f" ({self.why_not_automatic})" if wanted == "automatic" else ""
            raise ScoringError(
                f"this night has no {wanted} scoring{reason}; at hand: {', '.join(self.scorings)}"
            )
        return self.scorings[wanted]

    @property
    def why_not_automatic(self) -> str | None:
        """Why this night cannot be scored automatically; None where it can (or was not tried)."""
        from sleeplm.autoscore import why_not

        return self._automatic_failure or why_not(self.recording)

    def at_hand(self, kind: str) -> bool:
        """Whether a witness has spoken already, so that its scoring costs no time.

        Parameters
        ----------
        kind : str
            ``expert``, ``automatic`` or ``model``.
        """
        if kind not in self.scorings:
            return False
        if kind == "expert" or f"{kind}_scoring" in self._kept:
            return True
        if kind == "automatic":
            return self._automatic_cache().load_json("automatic_scoring") is not None
        folder = self._night_folder()
        if folder is None or not any(folder.glob("*/model_scoring.json")):
            return False
        return self._cache().load_json("model_scoring") is not None

    @property
    def scoring_step(self) -> tuple[str, float] | None:
        """What the automatic scoring does just now, and its share of 1; None while it rests."""
        return self._scoring_step

    @property
    def scoring_cancelled(self) -> bool:
        """Whether the automatic scoring was stopped, and not asked for again."""
        return self._scoring_cancelled and not self.at_hand("automatic")

    def cancel_scoring(self) -> None:
        """Stop the automatic scoring, and begin none until :meth:`permit_scoring`.

        Who waits for it gets :class:`~sleeplm.errors.ScoringCancelled`. Only what runs aside
        (:attr:`scores_aside`) ends at once.
        """
        self._scoring_cancelled = True
        process = self._scoring_process
        if process is not None:
            process.cancel()

    def permit_scoring(self) -> None:
        """Let the automatic scoring begin again after :meth:`cancel_scoring`."""
        self._scoring_cancelled = False

    def summary(self, source: str | None = None, *, compare: bool = False) -> NightSummary:
        """The night's report from one witness's scoring and from measurements.

        Its ``agreement`` compares the witnesses that have spoken already; ``compare`` asks all
        that can be had.
        """
        from sleeplm.summary import summarize

        scoring = self.scoring_from(source)
        others = [kind for kind in self.scorings if kind != scoring.scorer.kind]
        compared: list[Scoring] = []
        silent: list[str] = []
        for kind in others:
            if not compare and not self.at_hand(kind):
                continue
            try:
                compared.append(self.scorings[kind])
            except SleepLMError as error:
                silent.append(f"agreement with the {kind} scoring: {error}.")
        names = "-".join(other.scorer.kind for other in compared)
        summary = self._once(
            f"summary-{scoring.scorer.kind}-{names}",
            lambda: summarize(scoring, self.recording, self.measurements(), others=compared),
        )
        if compare and self.why_not_automatic is not None:
            silent.append(f"automatic scoring: {self.why_not_automatic}.")
        if silent:
            summary = summary.model_copy(update={"missing": [*summary.missing, *silent]})
        return summary

    def _automatic_scoring(self) -> Scoring:
        with self._automatic_lock:
            kept = self._kept.get("automatic_scoring")
            if not isinstance(kept, Scoring):
                try:
                    kept = self._kept["automatic_scoring"] = self._score_automatically()
                finally:
                    self._scoring_step = self._scoring_process = None
            return kept

    def _score_automatically(self) -> Scoring:
        cache = self._automatic_cache()
        stored = cache.load_json("automatic_scoring")
        if stored is not None:
            try:
                scoring = Scoring.from_json(stored, "cached automatic scoring")
                if scoring.n_epochs == self.n_epochs:
                    return scoring
            except ScoringError:
                pass
        if self._scoring_cancelled:
            from sleeplm.autoscore.process import CANCELLED

            raise ScoringCancelled(CANCELLED)
        self._scoring_step = ("automatic scoring begins", 0.0)
        try:
            scoring = self._aside() if self.scores_aside else self._here()
        except SleepLMError:
            raise
        except Exception as error:  # others' code on data that it never saw
            raise ScoringError(
                f"automatic scoring failed on this recording ({type(error).__name__}); "
                "use --scoring model"
            ) from error
        cache.save_json("automatic_scoring", scoring.to_json())
        return scoring

    def _here(self) -> Scoring:
        from sleeplm.autoscore import autoscore

        return autoscore(self.recording, progress=self._tell_scoring)

    def _aside(self) -> Scoring:
        from sleeplm.autoscore.process import ScoringProcess

        process = self._scoring_process = ScoringProcess(self.recording, self._tell_scoring)
        if self._scoring_cancelled:
            process.cancel()
        return process.run()

    def _tell_scoring(self, phrase: str, share: float) -> None:
        self._scoring_step = (phrase, share)
        self._tell(phrase, share)

    # ── what the model reads ─────────────────────────────────────────────────────────────────
    @property
    def model(self) -> SleepLM:
        """The model, loaded on first use."""
        from sleeplm.reader import SleepLM

        with self._lock:
            if not isinstance(self._model_source, SleepLM):
                self._tell("loading the model", 0.0)
                source = self._model_source
                self._model_source = SleepLM.from_pretrained(
                    str(source) if source is not None else None
                )
            return self._model_source

    @property
    def signals(self) -> np.ndarray:
        """Model input, float32 [n_epochs, n_channels, 1920]."""
        return self._once("signals", lambda: self.model.prepare(self.recording))

    def embeddings(self) -> np.ndarray:
        """Unit vectors, float32 [n_epochs, embed_dim]."""
        return self._once(
            "embeddings",
            lambda: self._cache().array(
                "embeddings",
                lambda: self.model.encode(
                    self.signals, progress=lambda share: self._tell("SleepLM reads epochs", share)
                ),
            ),
        )

    def captions(self, epochs: Sequence[int], system: str) -> list[str]:
        """The model's text on a system for each epoch index.

        Raises
        ------
        QueryError
            An epoch lies outside the night.
        CaptionError
            The model does not describe the system.
        """
        self._check_epochs(epochs)
        with self._lock:
            name = f"captions-{system}"
            known: dict[str, str] = self._once(name, lambda: self._cache().load_json(name) or {})
            wanted = [epoch for epoch in dict.fromkeys(epochs) if str(epoch) not in known]
            if wanted:
                self._tell(f"SleepLM describes {len(wanted)} epochs", 0.0)
                texts = self.model.caption(self.signals[wanted], system)
                known.update({str(epoch): text for epoch, text in zip(wanted, texts, strict=True)})
                self._cache().save_json(name, known)
            return [known[str(epoch)] for epoch in epochs]

    def locate(self, text: str, epochs: Sequence[int] | None = None) -> list[Located]:
        """Where the model finds ``text``, by time, joined over the edges of epochs.

        Raises
        ------
        QueryError
            An epoch lies outside the night.
        """
        chosen = list(range(self.n_epochs)) if epochs is None else sorted(set(epochs))
        self._check_epochs(chosen)
        # Weights that look over the edges of epochs need those that really follow one another.
        together = [chosen]
        if getattr(self.model, "needs_neighbours", False):
            together = _consecutive(chosen)
        found = [spans for run in together for spans in self.model.locate(self.signals[run], text)]
        return _joined(
            [
                (epoch * EPOCH_S + start_s, epoch * EPOCH_S + end_s, score)
                for epoch, spans in zip(chosen, found, strict=True)
                for start_s, end_s, score in spans
            ]
        )

    def stage_probabilities(self) -> np.ndarray:
        """The model's probability of W, N1, N2, N3, R: float32 [n_epochs, 5]."""
        return self._once(
            "stage_probabilities",
            lambda: self._cache().array(
                "stage_probabilities",
                lambda: self.model.stage_probabilities(
                    self.signals, progress=lambda share: self._tell("SleepLM stages", share)
                ),
            ),
        )

    def _model_scoring(self) -> Scoring:
        return self._once("model_scoring", self._read_model_scoring)

    def _read_model_scoring(self) -> Scoring:
        cache = self._cache()
        stored = cache.load_json("model_scoring")
        if stored is not None:
            try:
                return Scoring.from_json(stored, "cached model scoring")
            except ScoringError:
                pass
        present = {name for name in self.model.montage if self.recording.channel(name) is not None}
        problems = []
        probabilities = None
        stages = [UNSCORED] * self.n_epochs
        if present & {"EEG_C3_A2", "EEG_C4_A1"}:
            probabilities = self.stage_probabilities()
            stages = [STAGES[index] for index in probabilities.argmax(axis=1)]
        else:
            problems.append("no EEG was recorded, so the model does not stage this night")
        read: list[Event] = []
        sought: list[str] = []
        kinds = [kind for kind in self.model.event_kinds if kind in NEEDED_CHANNELS]
        for number, kind in enumerate(kinds):
            self._tell(f"SleepLM looks for {kind.replace('_', ' ')}s", number / len(kinds))
            if not all(set(group) & present for group in NEEDED_CHANNELS[kind]):
                problems.append(f"{kind.replace('_', ' ')}: not read, its channels are missing")
                continue
            sought.append(kind)
            read.extend(
                Event(kind, where.onset_s, where.duration_s, confidence=where.score)
                for where in self.locate(self.model.event_phrase(kind))
                if where.duration_s >= MINIMUM_DURATION_S[kind]
            )
        scoring = Scoring(
            stages=tuple(stages),
            events=tuple(_one_breathing_event_at_a_time(read)),
            scorer=Scorer("model", "SleepLM", self.model.model_id),
            start=self.start,
            probabilities=probabilities,
            problems=tuple(problems),
            scored_kinds=tuple(sought),
        )
        cache.save_json("model_scoring", scoring.to_json())
        return scoring

    # ── what is measured ─────────────────────────────────────────────────────────────────────
    def measurements(self) -> NightMeasurements:
        """Measured values per epoch (not read by any model)."""
        from sleeplm.physiology import measure_night

        def measure() -> NightMeasurements:
            self._tell("measuring the signals", 0.0)
            return measure_night(
                self.recording.signals, gaps=self.recording.gaps, mains=_mains(self.recording)
            )

        return self._once("measurements", measure)

    # ── plumbing ─────────────────────────────────────────────────────────────────────────────
    def _once(self, name: str, make: Callable[[], T]) -> T:
        with self._lock:
            if name not in self._kept:
                self._kept[name] = make()
            return self._kept[name]  # type: ignore[return-value]

    def _night_folder(self) -> Path | None:
        """Where everything cached of this night lies; None without a cache."""
        if not self._use_cache:
            return None
        read = repr((sorted(self.recording.sources.items()), self.recording.gaps))
        key = hashlib.sha256(
            f"{CACHE_VERSION}|{self.recording.content_id}|{read}".encode()
        ).hexdigest()[:24]
        return cache_folder() / "nights" / key

    def _cache(self) -> NightCache:
        """What the model read of this night."""

        def place() -> NightCache:
            folder = self._night_folder()
            if folder is None:
                return NightCache(None)
            return NightCache(folder / self.model.model_id.replace("/", "_"))

        return self._once("cache", place)

    def _automatic_cache(self) -> NightCache:
        """The automatic scoring, under the versions of its methods; it needs no model."""
        from sleeplm.autoscore import method_versions

        folder = self._night_folder()
        name = re.sub(r"[^a-z0-9.]+", "-", f"automatic {method_versions()}")
        return NightCache(None if folder is None else folder / name)

    def _tell(self, phrase: str, share: float) -> None:
        if self.progress is not None:
            self.progress(phrase, share)

    def _check_epochs(self, epochs: Sequence[int]) -> None:
        outside = [epoch for epoch in epochs if not 0 <= epoch < self.n_epochs]
        if outside:
            raise QueryError(
                f"epoch {outside[0] + 1} is outside this night: it has epochs 1 to {self.n_epochs}"
            )


def _mains(recording: Recording) -> tuple[Mapping[str, np.ndarray], Mapping[str, str]]:
    """Hum of the mains at the file's own rate; nothing where the file went since it was read."""
    from sleeplm.physiology.mains import recorded_mains

    try:
        return recorded_mains(recording)
    except (RecordingError, OSError):
        return {}, {}


def _consecutive(epochs: list[int]) -> list[list[int]]:
    """Sorted epoch indices in runs that follow one another."""
    runs: list[list[int]] = []
    for epoch in epochs:
        if runs and epoch == runs[-1][-1] + 1:
            runs[-1].append(epoch)
        else:
            runs.append([epoch])
    return runs


def _joined(spans: list[tuple[float, float, float]]) -> list[Located]:
    """Spans (start, end, score) with those that touch across an epoch's edge made one."""
    joined: list[list[float]] = []
    for start_s, end_s, score in sorted(spans):
        if joined:
            last = joined[-1]
            edge_s = round(last[1] / EPOCH_S) * EPOCH_S
            if abs(last[1] - edge_s) <= EDGE_S and 0 <= start_s - edge_s <= EDGE_S:
                last[2] = max(last[2], score)
                last[1] = end_s
                continue
        joined.append([start_s, end_s, score])
    return [Located(start_s, end_s - start_s, score) for start_s, end_s, score in joined]


def _one_breathing_event_at_a_time(events: list[Event]) -> list[Event]:
    """Of apneas and hypopneas that overlap by half, keep the one the model is surest of.

    The model is asked for one kind after the other, and one stretch of quiet breathing resembles
    several; counting each would double the AHI.
    """
    breathing = sorted(
        (event for event in events if event.kind in RESPIRATORY_KINDS),
        key=lambda event: -(event.confidence or 0.0),
    )
    kept: list[Event] = []
    for event in breathing:
        if not any(_overlap(event, other) > 0.5 for other in kept):
            kept.append(event)
    return [event for event in events if event.kind not in RESPIRATORY_KINDS] + kept


def _overlap(one: Event, other: Event) -> float:
    """Shared seconds over the shorter event's."""
    shared = min(one.end_s, other.end_s) - max(one.onset_s, other.onset_s)
    return max(shared, 0.0) / max(min(one.duration_s, other.duration_s), 1e-6)
