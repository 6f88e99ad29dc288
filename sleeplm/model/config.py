"""The shape of a ReCoCa and of its input, as it stands in ``config.json`` beside the weights.

The nested keys are those of the authors' release (``biosignals_cfg``, ``text_cfg``,
``multimodal_cfg`` …). Our additions are ``name``, ``version``, ``input``, ``modalities``,
``tokenizer``, ``generation`` and ``extensions``; without them a config means the official
10-channel montage with every extension off.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sleeplm.errors import WeightsError
from sleeplm.scoring import EVENT_KINDS

__all__ = [
    "MODALITIES",
    "SYSTEMS",
    "BiosignalsConfig",
    "ChannelRule",
    "ExtensionsConfig",
    "GenerationConfig",
    "InputConfig",
    "ModelConfig",
    "MultimodalConfig",
    "NumberField",
    "TextConfig",
]

OFFICIAL_MONTAGE = (
    "ECG",
    "ABD",
    "THX",
    "AF",
    "EOG_L",
    "EOG_R",
    "EEG_C3_A2",
    "EEG_C4_A1",
    "EMG_CHIN",
    "POS",
)
MODALITIES = ("brain", "heart", "respiratory", "position_muscle", "stage_event")
SYSTEMS = ("brain", "cardiac", "respiratory", "somatic", "stage_event")
"""The house's names of the modalities, in the order of their index."""

TOKENIZERS = ("clip", "small")
SCOPES = ("recording", "epoch")
POSITION_CODES = {"right": 0, "left": 1, "supine": 2, "prone": 3, "upright": 4, "unknown": -1}
DECODER_MEMORIES = ("latents", "all")


@dataclass(frozen=True)
class BiosignalsConfig:
    """Signal encoder: ``biosignals_cfg`` of the release (Base values as defaults)."""

    input_channels: int = 10
    signal_length: int = 1920
    patch_size: int = 16
    conv_embed_dim: int = 256
    num_temporal_layers: int = 1
    transformer_layers: int = 3
    transformer_width: int = 768
    transformer_heads: int = 12
    mlp_ratio: float = 3.0
    dropout: float = 0.1
    decoder_tokens: int = 32
    architecture: str = "pure_transformer"
    activation: str = "swiglu"
    norm_type: str = "rmsnorm"
    mlp_bias: bool = False
    share_channel_rope: bool = True
    pool_type: str = "attn"

    @property
    def patches(self) -> int:
        return self.signal_length // self.patch_size


@dataclass(frozen=True)
class TextConfig:
    """Text tower: ``text_cfg`` of the release."""

    context_length: int = 256
    vocab_size: int = 49408
    layers: int = 12
    heads: int = 12
    width: int = 768
    embed_cls: bool = True
    output_tokens: bool = True


@dataclass(frozen=True)
class MultimodalConfig:
    """Caption decoder: ``multimodal_cfg`` of the release."""

    width: int = 768
    context_length: int = 256
    mlp_ratio: float = 4
    layers: int = 12
    heads: int = 12


@dataclass(frozen=True)
class ChannelRule:
    """How one channel's samples become model input.

    Parameters
    ----------
    kind : {"zscore", "fixed", "code"}
        z-score; ``(x − center) / scale`` with fixed numbers, so that the absolute level is seen;
        or the plain code.
    center, scale : float
        For ``fixed``, in the channel's unit.
    clip : float or None
        The result is clipped to ± this.
    missing : float
        The value of every sample of a channel that was not recorded.
    valid_range : (float, float) or None
        Samples outside (a fallen-off oximeter reads 0) are taken as not recorded.
    scope : {"recording", "epoch"}
        Over what a z-score takes its mean and standard deviation.
    """

    kind: str = "zscore"
    center: float = 0.0
    scale: float = 1.0
    clip: float | None = 6.0
    missing: float = 0.0
    valid_range: tuple[float, float] | None = None
    scope: str = "recording"

    def __post_init__(self) -> None:
        if self.kind not in ("zscore", "fixed", "code"):
            raise WeightsError(
                f"config.json: normalization kind {self.kind!r} is not known; "
                "use zscore, fixed or code"
            )
        if self.scope not in SCOPES:
            raise WeightsError(
                f"config.json: normalization scope {self.scope!r} is not known; use recording or "
                "epoch"
            )
        if self.scale <= 0:
            raise WeightsError(f"config.json: normalization scale {self.scale} must be above 0")


@dataclass(frozen=True)
class InputConfig:
    """The montage that the weights read and how its channels are scaled.

    ``normalization`` holds a rule by channel name; a channel without one follows
    ``default_rule``: z-scored over the recording and clipped at ±6, as the released figures show.
    ``position_codes`` says what the plain codes of POS mean.
    """

    montage: tuple[str, ...] = OFFICIAL_MONTAGE
    rate_hz: float = 64.0
    epoch_s: float = 30.0
    normalization: dict[str, ChannelRule] = field(
        default_factory=lambda: {"POS": ChannelRule("code", clip=None, missing=-1.0)}
    )
    default_rule: ChannelRule = ChannelRule()
    position_codes: dict[str, int] = field(default_factory=lambda: dict(POSITION_CODES))

    def rule(self, channel: str) -> ChannelRule:
        return self.normalization.get(channel, self.default_rule)


@dataclass(frozen=True)
class NumberField:
    """A measurement that the number head predicts as ``(value − center) / scale``."""

    name: str
    center: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class GenerationConfig:
    """Length of captions in tokens, counting the start token (the released demo: 16 to 256)."""

    min_length: int = 16
    max_length: int = 256


@dataclass(frozen=True)
class ExtensionsConfig:
    """Parts that the official weights do not have; every one is off by default.

    Parameters
    ----------
    spectral_stem : bool
        Log spectra (2 s per patch, 0–2 Hz per epoch) and levels added to the patch tokens.
    missing_embedding : bool
        A learned token in place of every token of a channel that was not recorded.
    decoder_memory : {"latents", "all"}
        What the caption decoder attends to: the pooled latents, or these and all encoder tokens.
    number_fields : dict
        Fields of the number head by channel; empty is off.
    stage_head : bool
        Stage logits from the latents, in the order of ``sleeplm.scoring.STAGES``.
    event_kinds : tuple of str
        Kinds of the event head; empty is off.
    grounding_bins : int
        Time bins per patch of the grounding head; 0 is off.
    """

    spectral_stem: bool = False
    missing_embedding: bool = False
    decoder_memory: str = "latents"
    number_fields: dict[str, tuple[NumberField, ...]] = field(default_factory=dict)
    stage_head: bool = False
    event_kinds: tuple[str, ...] = ()
    grounding_bins: int = 0

    def __post_init__(self) -> None:
        if self.decoder_memory not in DECODER_MEMORIES:
            raise WeightsError(
                f"config.json: extensions.decoder_memory {self.decoder_memory!r} is not known; "
                f"use one of {', '.join(DECODER_MEMORIES)}"
            )
        for kind in self.event_kinds:
            if kind not in EVENT_KINDS:
                raise WeightsError(
                    f"config.json: extensions.event_kinds {kind!r} is not known; "
                    f"use {', '.join(EVENT_KINDS)}"
                )


def _embedded_number_fields() -> dict[str, tuple[NumberField, ...]]:
    """The fields of the physiology module that each channel's own tokens can tell.

    Centres and scales are plain mid-range values of adult sleep; they only set the units in which
    the head learns.
    """

    def eeg(prefix: str) -> tuple[NumberField, ...]:
        return (
            NumberField(f"{prefix}_delta_pct", 50, 20),
            NumberField(f"{prefix}_theta_pct", 20, 8),
            NumberField(f"{prefix}_alpha_pct", 12, 8),
            NumberField(f"{prefix}_sigma_pct", 6, 5),
            NumberField(f"{prefix}_beta_pct", 8, 7),
        )

    def eog(prefix: str) -> tuple[NumberField, ...]:
        return (
            NumberField(f"{prefix}_slow_pct", 35, 20),
            NumberField(f"{prefix}_saccade_pct", 40, 20),
        )

    def belt(prefix: str) -> tuple[NumberField, ...]:
        return (
            NumberField(f"{prefix}_rate_bpm", 15, 4),
            NumberField(f"{prefix}_interval_sd_s", 0.8, 0.7),
        )

    return {
        "ECG": (NumberField("ecg_rate_bpm", 64, 12), NumberField("ecg_rmssd_ms", 45, 30)),
        "ABD": belt("abd"),
        "THX": belt("thx"),
        "AF": (NumberField("af_rate_bpm", 15, 4), NumberField("af_flatness", 0.6, 0.15)),
        "EOG_L": eog("eog_l"),
        "EOG_R": eog("eog_r"),
        "EEG_C3_A2": eeg("eeg_c3"),
        "EEG_C4_A1": eeg("eeg_c4"),
        "EMG_CHIN": (
            NumberField("emg_median_hz", 18, 4),
            NumberField("emg_burst_ratio", 2.8, 1.2),
            NumberField("emg_burst_rate_hz", 0.7, 0.3),
        ),
        "SPO2": (NumberField("spo2_min_pct", 93, 4), NumberField("spo2_mean_pct", 95, 3)),
        "HR": (
            NumberField("hr_min_bpm", 60, 12),
            NumberField("hr_max_bpm", 68, 12),
            NumberField("hr_mean_bpm", 64, 12),
        ),
    }


@dataclass(frozen=True)
class ModelConfig:
    """Everything that is needed to build a ReCoCa and to feed it.

    The defaults are SleepLM-Base (385.4 M parameters). ``prefix_len`` and
    ``num_caption_channels`` are those with which the released weights load (2 and 5), not those
    of the released JSON (1 and 12).

    Raises
    ------
    WeightsError
        A value that this implementation cannot build, or parts that do not fit together; the
        message names the field.
    """

    name: str = "sleeplm-base"
    version: str = "1"
    embed_dim: int = 512
    biosignals_cfg: BiosignalsConfig = BiosignalsConfig()
    text_cfg: TextConfig = TextConfig()
    multimodal_cfg: MultimodalConfig = MultimodalConfig()
    prefix_len: int = 2
    num_caption_channels: int = 5
    decoder_type: str = "cross_attention"
    use_signal_decoder: bool = False
    input: InputConfig = field(default_factory=InputConfig)
    modalities: tuple[str, ...] = MODALITIES
    tokenizer: str = "clip"
    generation: GenerationConfig = GenerationConfig()
    extensions: ExtensionsConfig = ExtensionsConfig()

    def __post_init__(self) -> None:
        signals, text, decoder = self.biosignals_cfg, self.text_cfg, self.multimodal_cfg
        fixed = {
            "biosignals_cfg.architecture": (signals.architecture, "pure_transformer"),
            "biosignals_cfg.activation": (signals.activation, "swiglu"),
            "biosignals_cfg.norm_type": (signals.norm_type, "rmsnorm"),
            "biosignals_cfg.mlp_bias": (signals.mlp_bias, False),
            "biosignals_cfg.share_channel_rope": (signals.share_channel_rope, True),
            "biosignals_cfg.pool_type": (signals.pool_type, "attn"),
            "text_cfg.embed_cls": (text.embed_cls, True),
            "decoder_type": (self.decoder_type, "cross_attention"),
        }
        for name, (value, only) in fixed.items():
            if value != only:
                raise WeightsError(f"config.json: {name} is {value!r}; only {only!r} can be built")
        widths = {signals.transformer_width, text.width, decoder.width}
        if len(widths) > 1:
            raise WeightsError(
                "config.json: transformer_width, text_cfg.width and multimodal_cfg.width must be "
                f"equal, not {sorted(widths)}"
            )
        for name, heads in (
            ("biosignals_cfg.transformer_heads", signals.transformer_heads),
            ("text_cfg.heads", text.heads),
            ("multimodal_cfg.heads", decoder.heads),
        ):
            if heads < 1 or text.width % heads:
                raise WeightsError(
                    f"config.json: {name} {heads} does not divide width {text.width}"
                )
        if signals.transformer_width // signals.transformer_heads % 2:
            raise WeightsError(
                "config.json: the encoder's head dimension must be even for its rope"
            )
        if signals.signal_length % signals.patch_size:
            raise WeightsError(
                f"config.json: patch_size {signals.patch_size} does not divide signal_length "
                f"{signals.signal_length}"
            )
        if len(self.input.montage) != signals.input_channels:
            raise WeightsError(
                f"config.json: input.montage names {len(self.input.montage)} channels, "
                f"biosignals_cfg.input_channels is {signals.input_channels}"
            )
        samples = round(self.input.rate_hz * self.input.epoch_s)
        if samples != signals.signal_length:
            raise WeightsError(
                f"config.json: input.rate_hz × input.epoch_s is {samples} samples, "
                f"biosignals_cfg.signal_length is {signals.signal_length}"
            )
        if self.tokenizer not in TOKENIZERS:
            raise WeightsError(
                f"config.json: tokenizer {self.tokenizer!r} is not known; use clip or small"
            )
        if len(self.modalities) > self.num_caption_channels:
            raise WeightsError(
                f"config.json: {len(self.modalities)} modalities for num_caption_channels "
                f"{self.num_caption_channels}"
            )
        unknown = set(self.extensions.number_fields) - set(self.input.montage)
        if unknown:
            raise WeightsError(
                f"config.json: extensions.number_fields names channels outside the montage: "
                f"{', '.join(sorted(unknown))}"
            )

    @property
    def width(self) -> int:
        return self.text_cfg.width

    @property
    def number_fields(self) -> tuple[NumberField, ...]:
        """All fields of the number head in the order of its output, channel after channel."""
        by_channel = self.extensions.number_fields
        return tuple(f for channel in self.input.montage for f in by_channel.get(channel, ()))

    @property
    def number_names(self) -> tuple[str, ...]:
        return tuple(number.name for number in self.number_fields)

    @property
    def grounding_bin_s(self) -> float:
        """Seconds of one bin of the grounding head."""
        bins = self.biosignals_cfg.patches * self.extensions.grounding_bins
        return self.input.epoch_s / bins if bins else 0.0

    def modality_index(self, system: str) -> int | None:
        """Row of the modality embedding for ``brain cardiac respiratory somatic stage_event``.

        The official names (``heart``, ``position_muscle``) are taken too; None if unknown.
        """
        official = dict(zip(SYSTEMS, MODALITIES, strict=True)).get(system, system)
        return self.modalities.index(official) if official in self.modalities else None

    @classmethod
    def base(cls, *, use_signal_decoder: bool = False) -> ModelConfig:
        """SleepLM-Base as released."""
        return cls(use_signal_decoder=use_signal_decoder)

    @classmethod
    def embedded(cls, vocab_size: int = 1536) -> ModelConfig:
        """The small model that ships with the package: 12 channels, patches of 1 s.

        SpO2 and heart rate keep their absolute level. Their centres lie between whole numbers so
        that a steady reading never equals the 0 of a missing channel.
        """
        width, heads = 128, 4
        return cls(
            name="sleeplm-embedded",
            version="0.1",
            embed_dim=128,
            biosignals_cfg=BiosignalsConfig(
                input_channels=12,
                patch_size=64,
                conv_embed_dim=128,
                transformer_layers=3,
                transformer_width=width,
                transformer_heads=heads,
                mlp_ratio=2.0,
                dropout=0.0,
                decoder_tokens=32,
            ),
            text_cfg=TextConfig(
                context_length=128, vocab_size=vocab_size, layers=2, heads=heads, width=width
            ),
            multimodal_cfg=MultimodalConfig(width=width, context_length=128, layers=2, heads=heads),
            use_signal_decoder=True,
            input=InputConfig(
                montage=(*OFFICIAL_MONTAGE, "SPO2", "HR"),
                normalization={
                    "POS": ChannelRule("code", clip=None, missing=-1.0),
                    "SPO2": ChannelRule("fixed", 94.5, 4.0, valid_range=(40.0, 101.0)),
                    "HR": ChannelRule("fixed", 64.5, 15.0, valid_range=(20.0, 250.0)),
                },
            ),
            tokenizer="small",
            generation=GenerationConfig(min_length=4, max_length=128),
            extensions=ExtensionsConfig(
                spectral_stem=True,
                missing_embedding=True,
                decoder_memory="all",
                number_fields=_embedded_number_fields(),
                stage_head=True,
                event_kinds=EVENT_KINDS,
                grounding_bins=4,
            ),
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelConfig:
        """Read the JSON form; keys that the release carries without effect are passed over."""
        try:
            return _build(cls, data)
        except WeightsError:
            raise
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise WeightsError(f"config.json: a field has the wrong form ({error})") from error

    @classmethod
    def load(cls, path: Path | str) -> ModelConfig:
        """Read a ``config.json``."""
        path = Path(path)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise WeightsError(
                f"{path}: cannot be read ({error.strerror}); a weights folder needs a config.json"
            ) from error
        except ValueError as error:
            raise WeightsError(f"{path}: not JSON ({error})") from error
        if not isinstance(data, dict):
            raise WeightsError(f"{path}: not a JSON object")
        return cls.from_dict(data)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, every field written out."""
        data = dataclasses.asdict(self)
        return json.loads(json.dumps(data))  # tuples become lists, as a reader of the file sees it

    def save(self, path: Path | str) -> None:
        Path(path).write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")


_NESTED: dict[str, Any] = {
    "biosignals_cfg": BiosignalsConfig,
    "text_cfg": TextConfig,
    "multimodal_cfg": MultimodalConfig,
    "input": InputConfig,
    "generation": GenerationConfig,
    "extensions": ExtensionsConfig,
}


def _build(cls: Any, data: Mapping[str, Any]) -> Any:
    """A config dataclass from its JSON form; unknown keys are left out."""
    if not isinstance(data, Mapping):
        raise TypeError(f"expected an object for {cls.__name__}, got {type(data).__name__}")
    values: dict[str, Any] = {}
    for entry in dataclasses.fields(cls):
        if entry.name not in data:
            continue
        value = data[entry.name]
        if entry.name in _NESTED:
            value = _build(_NESTED[entry.name], value)
        elif entry.name == "default_rule":
            value = _build(ChannelRule, value)
        elif entry.name == "position_codes":
            value = {name: int(code) for name, code in value.items()}
        elif entry.name == "normalization":
            value = {channel: _build(ChannelRule, rule) for channel, rule in value.items()}
        elif entry.name == "number_fields":
            value = {
                channel: tuple(_build(NumberField, number) for number in numbers)
                for channel, numbers in value.items()
            }
        elif isinstance(value, list):
            value = tuple(value)
        values[entry.name] = value
    return cls(**values)
