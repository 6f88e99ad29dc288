"""``SleepLM``: a sleep-language model that encodes, describes, classifies and locates.

Every method takes signals as :meth:`SleepLM.prepare` makes them, [epochs, channels, samples], any
number of epochs; they are read in chunks. What the encoder found in the last nights is kept, so
that embeddings, stages, numbers and events of a night cost one pass.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from sleeplm.errors import CaptionError, MontageError, QueryError, WeightsError
from sleeplm.localization import (
    HOLD_PROBABILITY,
    WINDOWS_PER_EPOCH,
    Span,
    eroded,
    shifted_windows,
    spans_of,
)
from sleeplm.model import checkpoint, precision
from sleeplm.model.config import SYSTEMS, ModelConfig
from sleeplm.model.drafts import Drafts
from sleeplm.model.generation import Sampling, generate
from sleeplm.model.inputs import normalise
from sleeplm.model.recoca import ReCoCa, SignalFeatures
from sleeplm.model.tokenizer import ClipTokenizer, SmallTokenizer, find_merges, load_tokenizer
from sleeplm.prompts import (
    EVENT_PHRASES,
    NO_EVENT_PROMPTS,
    POSITION_PROMPTS,
    RELEASED_STAGE_PROMPTS,
    STAGE_PROMPTS,
    event_kind_of,
    event_prompts,
)
from sleeplm.scoring import RESPIRATORY_KINDS, STAGES

if TYPE_CHECKING:
    from sleeplm.recording import Recording

__all__ = ["Classification", "SleepLM", "convert"]

Progress = Callable[[float], None]
logger = logging.getLogger(__name__)

SAVED_FORMATS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
CAPTION_EPOCHS = 64
CACHE_BYTES = 3 * 2**29
KEPT_READINGS = 2
KEPT_TEXTS = 4096
CHUNK_BYTES = 128 * 2**20

KINDS_OF_CAPTIONS = (*RESPIRATORY_KINDS, "desaturation", "arousal")


class Classification(NamedTuple):
    """Best label per epoch, and probabilities [epochs, labels] in the order of the labels given."""

    labels: list[str]
    probabilities: np.ndarray


@dataclass(frozen=True)
class _Reading:
    """What the encoder found in some epochs; None where the weights have no such head."""

    embeddings: np.ndarray
    stage_probabilities: np.ndarray | None
    event_probabilities: np.ndarray | None
    numbers: np.ndarray | None
    grounding: torch.Tensor | None
    shifted: np.ndarray
    """Embeddings of windows that begin within an epoch and end in the next, nan until read:
    [WINDOWS_PER_EPOCH − 1, epochs − 1, embed_dim]."""


class SleepLM:
    """A model, its vocabulary and its montage, ready to read nights.

    Parameters
    ----------
    model : ReCoCa
    tokenizer : ClipTokenizer, SmallTokenizer or None
        None for weights that came without a vocabulary; whatever needs text then says so.
    weights_sha256 : str
        Of the weights file; part of :attr:`model_id`.
    device : str or torch.device, optional
        By default a GPU where there is one.

    Examples
    --------
    >>> model = SleepLM.from_pretrained()                     # doctest: +SKIP
    >>> signals = model.prepare(read_recording("night.edf"))  # doctest: +SKIP
    >>> model.caption(signals[100:101], "brain")              # doctest: +SKIP
    """

    def __init__(
        self,
        model: ReCoCa,
        tokenizer: ClipTokenizer | SmallTokenizer | None,
        weights_sha256: str,
        device: str | torch.device | None = None,
    ) -> None:
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        self.model = model.eval().requires_grad_(False).to(self.device)
        self.config: ModelConfig = model.config
        self._tokenizer = tokenizer
        if tokenizer is not None and tokenizer.vocab_size > self.config.text_cfg.vocab_size:
            raise WeightsError(
                f"{self.config.name}: the vocabulary has {tokenizer.vocab_size} tokens, the "
                f"weights {self.config.text_cfg.vocab_size}; they do not belong together"
            )
        self.weights_sha256 = weights_sha256
        self._readings: OrderedDict[bytes, _Reading] = OrderedDict()
        self._texts: dict[str, np.ndarray] = {}
        self._drafts: dict[int, Drafts] = {}  # by modality index; captions help to write others
        self._lock = threading.RLock()  # the page asks from several threads

    # ── loading and saving ───────────────────────────────────────────────────────────────────
    @classmethod
    def from_pretrained(
        cls,
        source: str | Path | None = None,
        device: str | torch.device | None = None,
        *,
        revision: str | None = None,
        sha256: str | None = None,
        vocabulary: str | Path | None = None,
        dtype: str = "fp32",
        compiled: bool = False,
        threads: int | None = None,
    ) -> SleepLM:
        """Load weights.

        Parameters
        ----------
        source : str, Path or None
            None: the small model that ships with the package. A folder with ``config.json``,
            ``model.safetensors`` and ``tokenizer.json``; an official ``.pt`` (a ``config.json``
            and the vocabulary beside it are used when there); a hub id such as
            ``yang-ai-lab/SleepLM-Base`` (``SleepLM-Base`` will do).
        device : str, optional
            ``"cpu"``, ``"cuda"`` …
        revision : str, optional
            Of a hub repository.
        sha256 : str, optional
            What the weights file must hash to; checked before anything of it is read.
        vocabulary : str or Path, optional
            ``tokenizer.json``, ``bpe_simple_vocab_16e6.txt.gz``, a folder or a hub repository
            with one of them, for weights that come without. Official weights from the hub take
            the CLIP vocabulary from there.
        dtype : {"fp32", "bf16", "int8", "auto"}
            How it computes; see :func:`sleeplm.model.precision.prepare`.
        compiled : bool
            Compile the encoder with torch.compile on first use (minutes; needs a C++ compiler).
        threads : int, optional
            CPU threads of torch, for the whole process.

        Raises
        ------
        WeightsError
            Nothing is there, it cannot be trusted, or its parts do not fit.
        """
        path = cls._locate_weights(source, revision)
        if path.is_dir():
            model, digest = checkpoint.load_folder(path, sha256)
        else:
            config = checkpoint.config_beside(path)
            model, digest = checkpoint.load_official(path, config, sha256)
        tokenizer: ClipTokenizer | SmallTokenizer | None
        kind = model.config.tokenizer
        if vocabulary is not None:
            tokenizer = load_tokenizer(checkpoint.resolve_vocabulary(vocabulary), kind)
        else:
            fetched = source is not None and not Path(source).expanduser().exists()
            tokenizer = cls._vocabulary_beside(path, kind, fetched)
        precision.prepare(model, dtype, device, threads=threads, compiled=compiled)
        return cls(model, tokenizer, digest, device)

    @staticmethod
    def _vocabulary_beside(
        path: Path, kind: str, fetched: bool
    ) -> ClipTokenizer | SmallTokenizer | None:
        """The vocabulary in the folder of the weights; of weights from the hub, the hub's."""
        folder = path if path.is_dir() else path.parent
        if (folder / checkpoint.TOKENIZER_FILE).is_file() or find_merges(folder) is not None:
            return load_tokenizer(folder, kind)
        if fetched and kind == "clip":
            try:
                return load_tokenizer(checkpoint.resolve_vocabulary(), kind)
            except WeightsError as error:
                logger.warning("%s; what needs text will not work", error)
        return None

    @staticmethod
    def _locate_weights(source: str | Path | None, revision: str | None) -> Path:
        if source is None:
            folder = Path(str(resources.files("sleeplm") / "weights"))
            if not (folder / checkpoint.WEIGHTS_FILE).is_file():
                raise WeightsError(
                    f"{folder}: this installation holds no embedded weights; train them "
                    "(sleeplm train) or name others with --model"
                )
            return folder
        path = Path(source).expanduser()
        if path.exists():
            return path
        name = str(source)
        is_hub_id = name.count("/") == 1 and not name.startswith((".", "/"))
        if isinstance(source, str) and (is_hub_id or checkpoint.official_name(name)):
            return checkpoint.resolve_hub(name, revision)
        raise WeightsError(
            f"{name}: no such weights; give a folder, a .pt file, or a hub id (owner/name)"
        )

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> str:
        """Write ``config.json``, ``model.safetensors`` and ``tokenizer.json``.

        Returns the sha256 of the weights file.

        Raises
        ------
        WeightsError
            These weights were loaded as int8, which cannot be saved.
        """
        folder = Path(folder)
        digest = checkpoint.save_folder(self.model, folder, dtype)
        if self._tokenizer is not None:
            self._tokenizer.save(folder / checkpoint.TOKENIZER_FILE)
        return digest

    # ── what it is ───────────────────────────────────────────────────────────────────────────
    @property
    def model_id(self) -> str:
        """Name and the first 8 hex digits of the weights' sha256."""
        return f"{self.config.name}@{self.weights_sha256[:8]}"

    @property
    def montage(self) -> tuple[str, ...]:
        """Channel names in the order of the signals."""
        return self.config.input.montage

    @property
    def embed_dim(self) -> int:
        return self.config.embed_dim

    @property
    def systems(self) -> tuple[str, ...]:
        """Systems that the model describes."""
        return tuple(name for name in SYSTEMS if self.config.modality_index(name) is not None)

    @property
    def event_kinds(self) -> tuple[str, ...]:
        """Event kinds that :meth:`locate` knows by name."""
        return self.config.extensions.event_kinds or KINDS_OF_CAPTIONS

    @property
    def can_reconstruct(self) -> bool:
        return self.model.signal_decoder is not None

    @property
    def needs_neighbours(self) -> bool:
        """Whether :meth:`locate` may look over the edges of epochs into those beside them."""
        return not self.config.extensions.grounding_bins

    def event_phrase(self, kind: str) -> str:
        """The phrase by which the model knows an event kind.

        Raises
        ------
        QueryError
            There is no such kind.
        """
        if kind not in EVENT_PHRASES:
            raise QueryError(f"event kind {kind!r} is not known; use {', '.join(EVENT_PHRASES)}")
        return EVENT_PHRASES[kind][0]

    @property
    def tokenizer(self) -> ClipTokenizer | SmallTokenizer:
        """The vocabulary.

        Raises
        ------
        WeightsError
            The weights came without one.
        """
        if self._tokenizer is None:
            raise WeightsError(
                f"{self.config.name}: no vocabulary beside the weights; put tokenizer.json or "
                "bpe_simple_vocab_16e6.txt.gz into their folder, or name one (vocabulary=)"
            )
        return self._tokenizer

    # ── signals ──────────────────────────────────────────────────────────────────────────────
    def prepare(self, recording: Recording) -> np.ndarray:
        """Model input of a recording, float32 [epochs, channels, samples].

        Channels are scaled by the rules of the config (z-score over the recording, clipped at ±6;
        fixed scales; plain codes); a missing channel and the gaps of a discontinuous recording
        hold the missing value.

        Raises
        ------
        MontageError
            The recording has none of the model's channels.
        """
        signals = {
            name: recording.signals[name] for name in self.montage if name in recording.signals
        }
        if recording.gaps:
            rate_hz = self.config.input.rate_hz
            signals = {name: np.array(samples, np.float32) for name, samples in signals.items()}
            for start_s, end_s in recording.gaps:
                inside = slice(math.floor(start_s * rate_hz), math.ceil(end_s * rate_hz))
                for samples in signals.values():
                    samples[inside] = np.nan
        return normalise(signals, self.config.input)

    def _check(self, signals: np.ndarray) -> np.ndarray:
        signals = np.asarray(signals, dtype=np.float32)
        expected = (len(self.montage), self.config.biosignals_cfg.signal_length)
        if signals.ndim != 3 or signals.shape[1:] != expected:
            raise MontageError(
                f"signals have shape {signals.shape}; {self.config.name} reads [epochs, "
                f"{expected[0]}, {expected[1]}] with channels {', '.join(self.montage)}"
            )
        return signals

    @property
    def _chunk(self) -> int:
        """Epochs per pass: a few copies of the widest activation stay within CHUNK_BYTES."""
        config = self.config.biosignals_cfg
        tokens = config.input_channels * config.patches
        widest = config.transformer_width * (2 * config.mlp_ratio + 6)
        return max(1, min(64, int(CHUNK_BYTES / (4 * tokens * widest))))

    def _sampling(
        self, sampling: Sampling | None, max_new_tokens: int | None, stop: Sequence[str]
    ) -> Sampling:
        """Lengths within the context, the ends of this vocabulary, and stop texts as ids."""
        if max_new_tokens is not None and max_new_tokens < 1:
            raise CaptionError(f"max_new_tokens must be at least 1, not {max_new_tokens}")
        limits, small = self.config.generation, isinstance(self.tokenizer, SmallTokenizer)
        if sampling is None:
            sampling = Sampling(limits.min_length, limits.max_length)
        length = min(sampling.max_length, self.config.text_cfg.context_length)
        if max_new_tokens is not None:
            length = min(length, 1 + max_new_tokens)
        ids = tuple(tuple(self.tokenizer.encode(text)[1:-1]) for text in stop if text.strip())
        try:
            return dataclasses.replace(
                sampling,
                min_length=min(sampling.min_length, length),
                max_length=length,
                stop_sequences=(*sampling.stop_sequences, *ids),
                stop_at_pad=sampling.stop_at_pad or (small and sampling.beams == 1),
            )
        except ValueError as error:
            raise CaptionError(f"captions: {error}") from error

    def _caption_epochs(self, systems: int, length: int) -> int:
        """Epochs per batch of captions: keys and values of all layers stay within CACHE_BYTES."""
        config = self.config
        token_bytes = 2 * 4 * config.width
        layers = config.text_cfg.layers + config.multimodal_cfg.layers
        of_caption = (length + config.prefix_len) * layers * token_bytes
        memory = config.biosignals_cfg.decoder_tokens + len(config.number_fields)
        if config.extensions.decoder_memory == "all":
            memory += config.biosignals_cfg.input_channels * config.biosignals_cfg.patches
        of_epoch = systems * of_caption + memory * config.multimodal_cfg.layers * token_bytes
        return max(1, min(CAPTION_EPOCHS, CACHE_BYTES // of_epoch))

    def _features(self, signals: np.ndarray) -> SignalFeatures:
        return self.model.encode_signal(torch.from_numpy(signals).to(self.device))

    def _read(self, signals: np.ndarray, progress: Progress | None = None) -> _Reading:
        """One pass of the encoder, kept by the content of the signals."""
        signals = np.ascontiguousarray(self._check(signals))
        key = hashlib.blake2b(signals.data, digest_size=16).digest()
        with self._lock:
            if key in self._readings:
                self._readings.move_to_end(key)
                if progress is not None:
                    progress(1.0)
            else:
                self._readings[key] = self._read_anew(signals, progress)
                while len(self._readings) > KEPT_READINGS:
                    self._readings.popitem(last=False)
            return self._readings[key]

    @torch.inference_mode()
    def _read_anew(self, signals: np.ndarray, progress: Progress | None) -> _Reading:
        parts: dict[str, list[torch.Tensor]] = {
            name: [] for name in ("embedding", "stage", "event", "numbers", "grounding")
        }
        chunk, count = self._chunk, len(signals)
        # No epochs at all still have the shapes of a result: read an empty one and drop it.
        read = signals if count else np.zeros((1, *signals.shape[1:]), dtype=np.float32)
        for start in range(0, len(read), chunk):
            features = self._features(read[start : start + chunk])
            parts["embedding"].append(features.embedding.cpu())
            if features.stage_logits is not None:
                parts["stage"].append(features.stage_logits.softmax(-1).cpu())
            if features.event_logits is not None:
                parts["event"].append(features.event_logits.sigmoid().cpu())
            if features.numbers is not None:
                parts["numbers"].append(self._numbers_in_units(features).cpu())
            if features.grounding is not None:
                parts["grounding"].append(features.grounding.half())
            if progress is not None:
                progress(min(start + chunk, len(read)) / len(read))

        def joined(name: str) -> np.ndarray | None:
            return torch.cat(parts[name])[:count].float().numpy() if parts[name] else None

        embeddings = joined("embedding")
        assert embeddings is not None
        return _Reading(
            embeddings=embeddings,
            stage_probabilities=joined("stage"),
            event_probabilities=joined("event"),
            numbers=joined("numbers"),
            grounding=torch.cat(parts["grounding"])[:count] if parts["grounding"] else None,
            shifted=np.full(
                (WINDOWS_PER_EPOCH - 1, max(count - 1, 0), self.embed_dim), np.nan, np.float32
            ),
        )

    def _numbers_in_units(self, features: SignalFeatures) -> torch.Tensor:
        """Predicted measurements [B, F]; nan for channels that were not recorded."""
        head = self.model.extensions.number_head
        assert head is not None
        assert features.numbers is not None
        numbers = head.to_units(features.numbers)
        if features.missing is not None:
            absent = features.missing[:, head.channel_of_field]
            numbers = numbers.masked_fill(absent, torch.nan)
        return numbers

    def encode(self, signals: np.ndarray, progress: Progress | None = None) -> np.ndarray:
        """Embeddings of epochs.

        Parameters
        ----------
        signals : float32 array [N, C, samples]
            From :meth:`prepare`.
        progress : callable, optional
            Called with the share done, 0–1.

        Returns
        -------
        float32 array [N, embed_dim]
            Unit length.
        """
        return self._read(signals, progress).embeddings.copy()

    @torch.inference_mode()
    def reconstruct(self, signals: np.ndarray, progress: Progress | None = None) -> np.ndarray:
        """The model's reconstruction of its input, float32 [N, C, samples].

        Raises
        ------
        WeightsError
            These weights have no signal decoder.
        """
        signals = self._check(signals)
        out = np.empty_like(signals)
        chunk = self._chunk
        for start in range(0, len(signals), chunk):
            part = slice(start, start + chunk)
            rebuilt = self.model.reconstruct(self._features(signals[part]).latents)
            out[part] = rebuilt.float().cpu().numpy()
            if progress is not None:
                progress(min(start + chunk, len(signals)) / len(signals))
        return out

    def numbers(
        self, signals: np.ndarray, progress: Progress | None = None
    ) -> dict[str, np.ndarray]:
        """Measurements as the model reads them, by field name, [N] each; nan: not recorded.

        Raises
        ------
        WeightsError
            These weights have no number head.
        """
        numbers = self._read(signals, progress).numbers
        if numbers is None:
            raise WeightsError(f"weights {self.config.name!r} predict no numbers")
        return dict(zip(self.config.number_names, numbers.T.copy(), strict=True))

    # ── text ─────────────────────────────────────────────────────────────────────────────────
    @torch.inference_mode()
    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings of texts, float32 [M, embed_dim], unit length; kept by text."""
        if isinstance(texts, str):
            texts = [texts]
        if not texts:
            return np.zeros((0, self.embed_dim), dtype=np.float32)
        with self._lock:
            # Texts of like length together: the tower runs to the longest of a batch only.
            new = sorted({text for text in texts if text not in self._texts}, key=len)
            if len(self._texts) > KEPT_TEXTS:
                self._texts = {text: self._texts[text] for text in texts if text in self._texts}
            for start in range(0, len(new), 64):
                batch = new[start : start + 64]
                ids = self.tokenizer.batch(batch, self.config.text_cfg.context_length)
                embeddings = self.model.encode_text(ids.to(self.device)).float().cpu().numpy()
                self._texts.update(zip(batch, embeddings, strict=True))
            return np.stack([self._texts[text] for text in texts])

    def caption(
        self,
        signals: np.ndarray,
        system: str,
        max_new_tokens: int | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> list[str]:
        """One text per epoch on a system: brain, cardiac, respiratory, somatic or stage_event.

        ``options`` are those of :meth:`captions`.

        Raises
        ------
        CaptionError
            The model does not describe the system.
        """
        return self.captions(signals, [system], max_new_tokens, progress, **options)[system]

    @torch.inference_mode()
    def captions(
        self,
        signals: np.ndarray,
        systems: Sequence[str] | None = None,
        max_new_tokens: int | None = None,
        progress: Progress | None = None,
        *,
        sampling: Sampling | None = None,
        stop: Sequence[str] = (),
        seed: int | None = None,
    ) -> dict[str, list[str]]:
        """Texts on several systems (by default all), each epoch encoded once.

        Parameters
        ----------
        signals : float32 array [N, C, samples]
        systems : sequence of str, optional
        max_new_tokens : int, optional
            Limit of one text, end token included; by default that of the config.
        progress : callable, optional
            Called with the share done, 0–1.
        sampling : Sampling, optional
            How tokens are chosen (beams, temperature, top_k, top_p …) and the lengths of a text;
            by default greedy with the lengths of the config. ``max_new_tokens`` still limits it.
        stop : sequence of str
            A text ends behind any of these, for example ``"seconds."``. (In the CLIP vocabulary
            ``"."`` is also the point within a number.)
        seed : int, optional
            For drawing with a temperature.

        Raises
        ------
        CaptionError
            The model does not describe a system, or the options contradict each other.
        """
        signals = self._check(signals)
        systems = list(dict.fromkeys(self.systems if systems is None else systems))
        indices = []
        for system in systems:
            index = self.config.modality_index(system)
            if index is None:
                raise CaptionError(
                    f"{self.config.name} does not describe {system!r}; use one of "
                    f"{', '.join(self.systems)}"
                )
            indices.append(index)
        sampling = self._sampling(sampling, max_new_tokens, stop)
        texts: dict[str, list[str]] = {system: [] for system in systems}
        slots = [-1] * (self.config.prefix_len - 1)
        rows_per_epoch = max(len(systems), 1) * sampling.beams
        size, chunk = self._caption_epochs(rows_per_epoch, sampling.max_length), self._chunk
        for start in range(0, len(signals), size):
            part = signals[start : start + size]
            memory = torch.cat(
                [
                    self._features(part[first : first + chunk]).memory
                    for first in range(0, len(part), chunk)
                ]
            )
            prefix = torch.tensor([[index, *slots] for _ in part for index in indices])

            def report(done: int, rows: int, start: int = start, size: int = len(part)) -> None:
                if progress is not None:
                    progress((start + size * done / rows) / len(signals))

            rows = generate(
                self.model,
                memory,
                prefix.to(self.device),
                sot=self.tokenizer.sot,
                eot=self.tokenizer.eot,
                sampling=sampling,
                seed=None if seed is None else seed + start,
                drafts=self._drafts,
                progress=report,
            )
            for place, system in enumerate(systems):
                written = rows[place :: len(systems)]
                texts[system] += [self.tokenizer.readable(ids) for ids in written]
        return texts

    # ── reading by words ─────────────────────────────────────────────────────────────────────
    def classify(
        self,
        signals: np.ndarray,
        prompts: Mapping[str, Sequence[str] | str] | str,
        progress: Progress | None = None,
    ) -> Classification:
        """Zero-shot: the label whose prompts are nearest to each epoch.

        Parameters
        ----------
        signals : float32 array [N, C, samples]
        prompts : dict of label → wordings, or "stage", "position", "event"
            The embeddings of the wordings of one label are averaged. A name takes our own
            prompts in the wording that the weights were trained with.

        Raises
        ------
        QueryError
            There is no label, or one without a prompt, or no prompts of that name.
        """
        if isinstance(prompts, str):
            prompts = self._prompts(prompts)
        if not prompts:
            raise QueryError("classify needs at least one label with a prompt")
        centers = []
        for label, wordings in prompts.items():
            wordings = [wordings] if isinstance(wordings, str) else list(wordings)
            if not wordings:
                raise QueryError(f"classify: label {label!r} has no prompt")
            centers.append(self._center(wordings))
        embeddings = torch.from_numpy(self._read(signals, progress).embeddings)
        scale = self.model.logit_scale.exp().float().cpu()
        logits = scale * (embeddings @ torch.from_numpy(np.stack(centers)).T)
        probabilities = logits.softmax(-1).numpy()
        names = list(prompts)
        return Classification([names[best] for best in probabilities.argmax(1)], probabilities)

    def _center(self, wordings: Sequence[str]) -> np.ndarray:
        """Unit mean [embed_dim] of the embeddings of several wordings."""
        mean = self.encode_text(wordings).mean(axis=0)
        return mean / np.linalg.norm(mean)

    def stage_probabilities(
        self, signals: np.ndarray, progress: Progress | None = None
    ) -> np.ndarray:
        """Probability of W, N1, N2, N3, R per epoch, float32 [N, 5].

        From the stage head; by prompts where the weights have none.
        """
        reading = self._read(signals, progress)
        if reading.stage_probabilities is not None:
            return reading.stage_probabilities.copy()
        return self.classify(signals, "stage", progress).probabilities

    def event_probabilities(
        self, signals: np.ndarray, progress: Progress | None = None
    ) -> np.ndarray | None:
        """Probability that an epoch holds each of the config's event kinds, float32 [N, K].

        From the event head; None where the weights have none.
        """
        probabilities = self._read(signals, progress).event_probabilities
        return None if probabilities is None else probabilities.copy()

    def _prompts(self, name: str) -> Mapping[str, Sequence[str]]:
        released = self.config.tokenizer == "clip"
        if name == "stage":
            stages = RELEASED_STAGE_PROMPTS if released else STAGE_PROMPTS
            return {stage: stages[stage] for stage in STAGES}
        if name == "position":
            return POSITION_PROMPTS
        if name == "event":
            kinds = {kind: self._event_prompts(kind) for kind in self.event_kinds}
            return {**kinds, "none": NO_EVENT_PROMPTS}
        raise QueryError(f"no prompts are called {name!r}; use stage, position, event or a dict")

    def _event_prompts(self, kind: str) -> tuple[str, ...]:
        return event_prompts(kind) if self.config.tokenizer == "clip" else EVENT_PHRASES[kind]

    @torch.inference_mode()
    def locate(
        self,
        signals: np.ndarray,
        text: str,
        progress: Progress | None = None,
        *,
        by: str | None = None,
    ) -> list[list[Span]]:
        """Where in each epoch something happens.

        Parameters
        ----------
        signals : float32 array [N, C, samples]
            Epochs that follow one another, where windows over their edges are to make sense.
        text : str
            An event ("obstructive apnea", any wording of :data:`sleeplm.prompts.EVENT_PHRASES`)
            or any phrase.
        progress : callable, optional
        by : {"grounding", "captions", "similarity"}, optional
            How: the grounding head; the times that stage_event captions state; or the likeness of
            text and signal in windows of 30 s shifted by 7.5 s. By default the first that the
            weights and the phrase allow.

        Returns
        -------
        list of lists of (start_s, end_s, score)
            Per epoch, seconds from its start, by onset; what crosses an edge ends at 30.0 and
            goes on at 0.0. The score is 0–1. It ranks; it is not calibrated.

            - grounding: mean probability of the head over the event.
            - captions: similarity of epoch and phrase, (1 + cos) / 2.
            - similarity: probability of the phrase against "no event", mean over the span.

        Raises
        ------
        QueryError
            The text is empty, or the way asked for cannot find it.
        """
        if not text.strip():
            raise QueryError("locate needs a phrase, for example 'obstructive apnea'")
        kind = event_kind_of(text)
        phrase = text if kind is None else EVENT_PHRASES[kind][0]
        if by is None:
            named = kind is not None and kind in self.event_kinds
            by = "captions" if named else "similarity"
            if self.config.extensions.grounding_bins:
                by = "grounding"
        if by == "captions":
            return self._locate_in_captions(signals, phrase, kind, progress)
        if by == "similarity":
            wordings = (phrase,) if kind is None else self._event_prompts(kind)
            return self._locate_by_similarity(signals, wordings, progress)
        if by != "grounding":
            raise QueryError(f"by {by!r} is not known; use grounding, captions or similarity")
        grounding = self._read(signals, progress).grounding
        if grounding is None:
            raise QueryError(
                f"{self.config.name} has no grounding head; locate by captions or similarity"
            )
        embedding = torch.from_numpy(self.encode_text([phrase])).to(grounding.device)
        bin_s = self.config.grounding_bin_s
        return [
            spans_of(row, bin_s)
            for row in self.model.ground(grounding.float(), embedding)[..., 0]
            .sigmoid()
            .cpu()
            .numpy()
        ]

    def _locate_by_similarity(
        self, signals: np.ndarray, wordings: Sequence[str], progress: Progress | None
    ) -> list[list[Span]]:
        """Spans whose every window is more like the wordings than like an epoch without event."""
        signals = self._check(signals)
        reading = self._read(signals, progress)
        contrast = self._center(wordings) - self._center(NO_EVENT_PROMPTS)
        scale = float(self.model.logit_scale.exp())

        def probability(embeddings: np.ndarray) -> np.ndarray:
            return 1.0 / (1.0 + np.exp(-scale * (embeddings @ contrast)))

        windows = np.zeros((len(signals), WINDOWS_PER_EPOCH))
        windows[:, 0] = probability(reading.embeddings)
        # An event over an edge shows in one of its two epochs: elsewhere nothing is read anew.
        near = np.flatnonzero(np.maximum(windows[:-1, 0], windows[1:, 0]) >= HOLD_PROBABILITY)
        for shift in range(1, WINDOWS_PER_EPOCH):
            known = reading.shifted[shift - 1]
            unread = near[np.isnan(known[near]).any(axis=1)]
            if len(unread):
                shifted = shifted_windows(signals, unread, shift)
                known[unread] = self._read_anew(shifted, progress).embeddings
            windows[near, shift] = probability(known[near])
        bin_s = self.config.input.epoch_s / WINDOWS_PER_EPOCH
        return [spans_of(row, bin_s) for row in eroded(windows)]

    def _locate_in_captions(
        self, signals: np.ndarray, phrase: str, kind: str | None, progress: Progress | None
    ) -> list[list[Span]]:
        """Times that the stage_event captions state for the kind."""
        from sleeplm.captions import parse_caption

        if kind is None or kind not in self.event_kinds:
            raise QueryError(
                f"the captions of {self.config.name} do not name {phrase!r}; ask for one of "
                f"{', '.join(self.event_kinds)}, or locate by similarity"
            )
        texts = self.caption(signals, "stage_event", progress=progress)
        similarity = (1 + self._read(signals).embeddings @ self.encode_text([phrase])[0]) / 2
        epoch_s = self.config.input.epoch_s
        found: list[list[Span]] = []
        for text, score in zip(texts, similarity, strict=True):
            events = parse_caption(text, "stage_event").events
            spans = [
                (max(event.start_s, 0.0), min(event.end_s, epoch_s), float(score))
                for event in events
                if event.kind == kind
            ]
            found.append(sorted(span for span in spans if span[1] > span[0]))
        return found


def convert(
    source: str | Path,
    folder: str | Path,
    dtype: str = "fp32",
    *,
    vocabulary: str | Path | None = None,
    sha256: str | None = None,
    revision: str | None = None,
) -> str:
    """Write any loadable weights as a folder of safetensors; returns their new model id.

    Raises
    ------
    WeightsError
        The weights cannot be loaded, or the format is not fp32, fp16 or bf16.
    """
    if dtype not in SAVED_FORMATS:
        raise WeightsError(f"dtype {dtype!r} is not known; use one of {', '.join(SAVED_FORMATS)}")
    model = SleepLM.from_pretrained(
        source, "cpu", vocabulary=vocabulary, sha256=sha256, revision=revision
    )
    digest = model.save_pretrained(folder, SAVED_FORMATS[dtype])
    return f"{model.config.name}@{digest[:8]}"
