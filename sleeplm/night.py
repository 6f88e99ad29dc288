"""A night: a recording with its scorings and what the model reads in it, each made once.

A night is known through up to three witnesses: an *expert* scoring (a file), an *automatic* one,
and the *model*'s own reading. :attr:`Night.scoring` is the preferred one; whoever shows a number
says whose it is.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from sleeplm.cache import NightCache, cache_folder
from sleeplm.errors import QueryError, ScoringError
from sleeplm.scoring import EPOCH_S, STAGES, UNSCORED, Event, Scorer, Scoring

if TYPE_CHECKING:
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
_BREATHING = ("obstructive_apnea", "central_apnea", "mixed_apnea", "hypopnea")


@dataclass(frozen=True)
class Located:
    """Where the model finds a text in the night: seconds from the start, and its score (0–1)."""

    onset_s: float
    duration_s: float
    score: float


class _Scorings(Mapping[str, Scoring]):
    """The scorings at hand by witness; the model's is made when it is first asked for."""

    def __init__(self, night: Night, expert: Scoring | None) -> None:
        self._night = night
        self.expert = expert

    def __getitem__(self, kind: str) -> Scoring:
        if kind == "expert" and self.expert is not None:
            return self.expert
        if kind == "model":
            return self._night._model_scoring()
        raise KeyError(kind)

    def __iter__(self) -> Iterator[str]:
        if self.expert is not None:
            yield "expert"
        yield "model"

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Night:
    """One recording, opened.

    Use :meth:`open` for files and :meth:`from_recording` for signals in memory. Results are kept
    under the recording's content and the model's id, so a second opening reads them back.
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
            raise ScoringError(
                "automatic scoring is not built into this version; use --scoring expert or model"
            )
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
        return [*self.recording.problems, *(expert.problems if expert else ())]

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
        ScoringError
            This night has no such witness.
        """
        wanted = choice or self.choice
        if wanted is None:
            wanted = next(kind for kind in SCORING_CHOICES if kind in list(self.scorings))
        if wanted not in list(self.scorings):
            raise ScoringError(
                f"this night has no {wanted} scoring; at hand: {', '.join(self.scorings)}"
            )
        return self.scorings[wanted]

    def summary(self, source: str | None = None) -> NightSummary:
        """The night's report from one witness's scoring and from measurements."""
        from sleeplm.summary import summarize

        scoring = self.scoring_from(source)
        return self._once(
            f"summary-{scoring.scorer.kind}",
            lambda: summarize(scoring, self.recording, self.measurements()),
        )

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
        found = self.model.locate(self.signals[chosen], text)
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
            return measure_night(self.recording.signals, gaps=self.recording.gaps)

        return self._once("measurements", measure)

    # ── plumbing ─────────────────────────────────────────────────────────────────────────────
    def _once(self, name: str, make: Callable[[], T]) -> T:
        with self._lock:
            if name not in self._kept:
                self._kept[name] = make()
            return self._kept[name]  # type: ignore[return-value]

    def _cache(self) -> NightCache:
        def place() -> NightCache:
            if not self._use_cache:
                return NightCache(None)
            read = repr((sorted(self.recording.sources.items()), self.recording.gaps))
            key = hashlib.sha256(
                f"{CACHE_VERSION}|{self.recording.content_id}|{read}".encode()
            ).hexdigest()[:24]
            model = self.model.model_id.replace("/", "_")
            return NightCache(cache_folder() / "nights" / key / model)

        return self._once("cache", place)

    def _tell(self, phrase: str, share: float) -> None:
        if self.progress is not None:
            self.progress(phrase, share)

    def _check_epochs(self, epochs: Sequence[int]) -> None:
        outside = [epoch for epoch in epochs if not 0 <= epoch < self.n_epochs]
        if outside:
            raise QueryError(
                f"epoch {outside[0] + 1} is outside this night: it has epochs 1 to {self.n_epochs}"
            )


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
        (event for event in events if event.kind in _BREATHING),
        key=lambda event: -(event.confidence or 0.0),
    )
    kept: list[Event] = []
    for event in breathing:
        if not any(_overlap(event, other) > 0.5 for other in kept):
            kept.append(event)
    return [event for event in events if event.kind not in _BREATHING] + kept


def _overlap(one: Event, other: Event) -> float:
    """Shared seconds over the shorter event's."""
    shared = min(one.end_s, other.end_s) - max(one.onset_s, other.onset_s)
    return max(shared, 0.0) / max(min(one.duration_s, other.duration_s), 1e-6)
