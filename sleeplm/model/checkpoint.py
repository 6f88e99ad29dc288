"""Weights in and out: a folder of safetensors, an official ``.pt``, a hub id.

Nothing in a weights file is ever run: safetensors, or ``torch.load(weights_only=True)``. Every key
is accounted for; one that is missing, unexpected or misshapen is an error that names it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from sleeplm.errors import WeightsError
from sleeplm.model.config import ModelConfig
from sleeplm.model.encoder import rope_frequencies
from sleeplm.model.extensions import Extensions
from sleeplm.model.recoca import ReCoCa
from sleeplm.model.tokenizer import CLIP_VOCABULARY_FILE, MERGES_FILE

__all__ = [
    "CONFIG_FILE",
    "TOKENIZER_FILE",
    "WEIGHTS_FILE",
    "config_beside",
    "file_sha256",
    "load_folder",
    "load_official",
    "load_state_dict",
    "official_name",
    "resolve_hub",
    "resolve_vocabulary",
    "save_folder",
]

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
TOKENIZER_FILE = "tokenizer.json"
OFFICIAL_HUB_ID = "yang-ai-lab/SleepLM-Base"
OFFICIAL_FILE = "model_checkpoint.pt"
CLIP_HUB_ID = "openai/clip-vit-base-patch32"
"""Where the hub keeps the CLIP vocabulary; its content is checked against a fixed hash."""
WRAPPER_PREFIXES = ("module.", "_orig_mod.")
SHARED_ROPE = "biosignals.shared_channel_rope.freqs"
NAMED_KEYS = 8
#: What torch raises on a file that is no checkpoint, or on a pickle that names something to run.
REFUSALS = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ImportError,
)

logger = logging.getLogger(__name__)


def _is_alias(key: str) -> bool:
    return key.endswith(".channel_attention.rotary_emb.freqs")


def _is_rope_buffer(key: str) -> bool:
    return ".temporal_attention_layers." in key and key.endswith(".rotary_emb.freqs")


def _some(keys: list[str]) -> str:
    more = f" and {len(keys) - NAMED_KEYS} more" if len(keys) > NAMED_KEYS else ""
    return ", ".join(keys[:NAMED_KEYS]) + more


def load_state_dict(model: ReCoCa, state: Mapping[str, Tensor], source: str) -> None:
    """Put ``state`` into ``model``; ``source`` stands in the error messages.

    The aliases of the shared channel rope and the rope buffers may be left out. Aliases that
    differ from the shared vector are an error; buffers that differ from their formula are used as
    stored, with a warning.

    Raises
    ------
    WeightsError
        Keys are missing, unexpected or of another shape. The line names the first of each sort,
        a note (``__notes__``) all of them.
    """
    state = dict(state)
    own = model.state_dict()
    for key in [key for key in state if _is_alias(key) and key in own]:
        alias = state.pop(key)
        shared = state.get(SHARED_ROPE)
        if shared is not None and not torch.equal(alias.float(), shared.float()):
            raise WeightsError(f"{source}: {key} differs from {SHARED_ROPE}, which it must repeat")
    needed = {key: value for key, value in own.items() if not _is_alias(key)}
    missing = [key for key in needed if key not in state and not _is_rope_buffer(key)]
    unexpected = [key for key in state if key not in needed]
    misshapen = [
        f"{key} {list(state[key].shape)} instead of {list(needed[key].shape)}"
        for key in needed
        if key in state and state[key].shape != needed[key].shape
    ]
    faults = {"missing": missing, "unexpected": unexpected, "misshapen": misshapen}
    if any(faults.values()):
        some = "; ".join(f"{name}: {_some(keys)}" for name, keys in faults.items() if keys)
        error = WeightsError(f"{source}: weights do not fit their config; {some}")
        for name, keys in faults.items():
            if len(keys) > NAMED_KEYS:
                error.add_note(f"all {len(keys)} {name}: {', '.join(keys)}")
        raise error
    for key, value in state.items():
        if _is_rope_buffer(key):
            formula = rope_frequencies(2 * len(value))
            if not torch.allclose(value.float().cpu(), formula, rtol=1e-3, atol=1e-6):
                logger.warning("%s: %s is not 10000^(-2j/d); used as stored", source, key)
    model.load_state_dict(state, strict=False)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a safetensors file ({error})") from error


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checked_sha256(path: Path, expected: str | None) -> str:
    """Hash of a weights file, checked before anything of it is read."""
    try:
        digest = file_sha256(path)
    except FileNotFoundError as error:
        raise WeightsError(
            f"{path}: no such file; a weights folder holds {CONFIG_FILE}, {WEIGHTS_FILE} and "
            f"{TOKENIZER_FILE}"
        ) from error
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    if expected is not None and digest != expected.lower():
        raise WeightsError(f"{path}: sha256 is {digest}, expected {expected}")
    return digest


def load_folder(folder: Path | str, sha256: str | None = None) -> tuple[ReCoCa, str]:
    """Model of a weights folder, in float32 and eval mode, and the sha256 of its weights.

    Raises
    ------
    WeightsError
        A file is missing or damaged, not the one with ``sha256``, or weights and config do not
        fit.
    """
    folder = Path(folder)
    path = folder / WEIGHTS_FILE
    config = ModelConfig.load(folder / CONFIG_FILE)
    digest = _checked_sha256(path, sha256)
    state = {key: value.float() for key, value in _read_safetensors(path).items()}
    with torch.device("meta"):
        model = ReCoCa(config)
    model.to_empty(device="cpu")
    _restore_buffers(model)
    load_state_dict(model, state, str(path))
    return model.eval(), digest


def load_official(
    path: Path | str, config: ModelConfig | None = None, sha256: str | None = None
) -> tuple[ReCoCa, str]:
    """Model of an official ``.pt``, and the sha256 of the file.

    A plain state dict, or one under ``state_dict``; prefixes of DataParallel and torch.compile are
    stripped. The signal decoder is built when its keys are there.

    Raises
    ------
    WeightsError
        Not such a file, not the one with ``sha256``, it would run code, or its keys do not fit
        the config.
    """
    path = Path(path)
    digest = _checked_sha256(path, sha256)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    except REFUSALS as error:
        raise WeightsError(
            f"{path}: refused, it is not a plain checkpoint of tensors "
            f"({(str(error).strip().splitlines() or ['empty'])[0]})"
        ) from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in loaded.items()
    ):
        raise WeightsError(f"{path}: holds no state dict (names to tensors)")
    state: dict[str, Tensor] = {}
    for key, value in loaded.items():
        if _unwrapped(key) in state:
            raise WeightsError(f"{path}: holds {_unwrapped(key)} twice, with and without a prefix")
        state[_unwrapped(key)] = value.float()
    reconstructs = any(key.startswith("signal_decoder.") for key in state)
    if config is None:
        config = ModelConfig.base(use_signal_decoder=reconstructs)
    with torch.device("meta"):
        model = ReCoCa(config)
    model.to_empty(device="cpu")
    _restore_buffers(model)
    load_state_dict(model, state, str(path))
    return model.eval(), digest


def config_beside(path: Path) -> ModelConfig | None:
    """The ``config.json`` beside an official ``.pt``, where it is one of ours.

    The release's own file does not fit its weights (12 caption channels and prefix 1 for 5 and
    2): a config without our ``input`` block is passed over.
    """
    try:
        data = json.loads((path.parent / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return ModelConfig.from_dict(data) if isinstance(data, dict) and "input" in data else None


def _unwrapped(key: str) -> str:
    while key.startswith(WRAPPER_PREFIXES):
        for prefix in WRAPPER_PREFIXES:
            key = key.removeprefix(prefix)
    return key


def _restore_buffers(model: ReCoCa) -> None:
    """Fixed buffers of a model that was built without memory."""
    constants = dict(Extensions(model.config).named_buffers(prefix="extensions"))
    for name, buffer in model.named_buffers():
        if _is_rope_buffer(name):
            buffer.copy_(rope_frequencies(2 * len(buffer)))
        else:
            buffer.copy_(constants[name])


def save_folder(model: ReCoCa, folder: Path | str, dtype: torch.dtype | None = None) -> str:
    """Write ``config.json`` and ``model.safetensors``; returns the sha256 of the weights.

    Aliases are left out; ``dtype`` casts the weights on their way (rope buffers stay float32).
    """
    from safetensors.torch import save_file

    if any(not isinstance(value, Tensor) for value in model.state_dict().values()):
        raise WeightsError(f"{model.config.name}: int8 weights cannot be saved; load them as fp32")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        key: (value if dtype is None or _is_rope_buffer(key) else value.to(dtype))
        .detach()
        .cpu()
        .contiguous()
        for key, value in model.state_dict().items()
        if not _is_alias(key)
    }
    partial = folder / f"{WEIGHTS_FILE}.partial"
    save_file(state, partial, metadata={"format": "pt", "model": model.config.name})
    partial.replace(folder / WEIGHTS_FILE)
    model.config.save(folder / CONFIG_FILE)
    return file_sha256(folder / WEIGHTS_FILE)


def official_name(name: str) -> str | None:
    """The hub id of the authors' weights where ``name`` means them, in any case of letters."""
    known = (OFFICIAL_HUB_ID.lower(), OFFICIAL_HUB_ID.split("/")[1].lower())
    return OFFICIAL_HUB_ID if name.lower() in known else None


def resolve_hub(name: str, revision: str | None = None) -> Path:
    """Fetch a hub repository's weights and return the local folder or official ``.pt``.

    ``SleepLM-Base`` alone means the authors' repository. Of a repository that holds several
    ``.pt`` files the official name is taken.

    Raises
    ------
    WeightsError
        No such repository, no network, or nothing loadable in it.
    """
    wanted = [CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FILE, "*.pt", "*.txt.gz"]
    folder = _from_hub(official_name(name) or name, revision, wanted)
    if (folder / WEIGHTS_FILE).is_file():
        return folder
    checkpoints = sorted(
        folder.rglob("*.pt"), key=lambda path: (path.name != OFFICIAL_FILE, str(path))
    )
    if not checkpoints:
        raise WeightsError(f"{name}: the repository holds neither {WEIGHTS_FILE} nor a .pt file")
    return checkpoints[0]


def resolve_vocabulary(name: str | Path = CLIP_HUB_ID) -> Path:
    """A vocabulary file or folder here, or the folder of a hub repository's.

    Raises
    ------
    WeightsError
        There is none, or no network.
    """
    path = Path(name).expanduser()
    if path.exists():
        return path
    return _from_hub(str(name), None, [CLIP_VOCABULARY_FILE, MERGES_FILE])


def _from_hub(name: str, revision: str | None, wanted: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except Exception as error:  # the hub client raises many kinds; all mean "not to be had"
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"{name}: not a folder or file here, and not to be had from the hub ({reason})"
        ) from error
