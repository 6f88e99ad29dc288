"""A training run as written down: ``train/recipes/*.yaml`` (each key is explained there)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from sleeplm.errors import SleepLMError
from sleeplm.model.config import ModelConfig
from train.captions import STYLES
from train.captions.mix import TextMix
from train.corpus import Augmentation
from train.objective import LossWeights

__all__ = ["FAMILIES", "PRECISIONS", "Recipe", "load_recipe"]

FAMILIES = ("embedded", "base")
PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True)
class Recipe:
    """A training run.

    Attributes
    ----------
    family : {"embedded", "base"}
        Whose config ``model`` is laid over.
    start : str or None
        Weights to go on from: "embedded", a folder, an official ``.pt`` or a hub name. The model's
        shape is theirs, and their tokenizer is kept.
    vocabulary : int or str
        Size of a word-and-number vocabulary built from the corpus, or where the CLIP vocabulary
        is: "hub", a file or a folder.
    accumulate : int
        Parts in which a process works on its rows of a step; the contrastive batch stays whole.
    loaders : int
        Processes of each rank that word and stack batches ahead of the step; 0 does it in between.
    shard_weights : bool
        FSDP2 instead of DDP: weights, gradients and optimiser state are spread over the ranks.
    caption_style : {"fixed", "released", "varied"}
        Wording of the captions that the decoder learns; a small one learns numbers only in one
        fixed wording.
    precision : {"auto", "fp32", "bf16"}
        bf16 is autocast; "auto" takes it where the hardware has it.
    """

    name: str
    steps: int
    family: str = "embedded"
    start: str | None = None
    batch_size: int = 16
    accumulate: int = 1
    seed: int = 1
    threads: int = 2
    loaders: int = 0
    precision: str = "fp32"
    shard_weights: bool = False
    vocabulary: int | str = 1500
    model: dict[str, Any] = field(default_factory=dict)
    corpus: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    captions_per_step: int = 3
    caption_style: str = "fixed"
    loss: LossWeights = field(default_factory=LossWeights)
    augmentation: Augmentation = field(default_factory=Augmentation)
    texts: TextMix = field(default_factory=TextMix)
    checkpoint_minutes: float = 5.0
    log_every: int = 20

    def __post_init__(self) -> None:
        for key, allowed in (
            ("family", FAMILIES),
            ("precision", PRECISIONS),
            ("caption_style", STYLES),
        ):
            if getattr(self, key) not in allowed:
                raise SleepLMError(
                    f"recipe {self.name}: {key} {getattr(self, key)!r} is not known; use one of "
                    f"{', '.join(allowed)}"
                )
        if self.batch_size < 1 or self.accumulate < 1 or self.steps < 1 or self.loaders < 0:
            raise SleepLMError(
                f"recipe {self.name}: steps, batch_size and accumulate are at least 1, loaders 0"
            )

    def shape(self) -> ModelConfig:
        """The family's config with ``model`` laid over it, key by key."""
        base = (ModelConfig.base() if self.family == "base" else ModelConfig.embedded()).to_dict()
        return ModelConfig.from_dict(_laid_over(base, {"name": self.name, **self.model}))


def _laid_over(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **base,
        **{
            key: _laid_over(base.get(key, {}), value) if isinstance(value, dict) else value
            for key, value in changes.items()
        },
    }


def load_recipe(source: str | Path) -> Recipe:
    """Read a recipe by its name in the package, or from a ``.yaml`` or ``.json`` file.

    Raises
    ------
    SleepLMError
        There is no such recipe, it cannot be read, or a key is not known.
    """
    path = Path(source)
    if not path.is_file():
        path = Path(str(resources.files("train") / "recipes" / f"{source}.yaml"))
    if not path.is_file():
        known = sorted(p.stem for p in path.parent.glob("*.yaml"))
        raise SleepLMError(
            f"no recipe {str(source)!r}: give a .yaml or .json file or one of {', '.join(known)}"
        )
    data = _parsed(path)
    try:
        data["loss"] = LossWeights(**data.get("loss", {}))
        data["augmentation"] = Augmentation(**data.get("augmentation", {}))
        data["texts"] = TextMix(**data.get("texts", {}))
        return Recipe(**data)
    except (TypeError, ValueError) as error:
        raise SleepLMError(f"{path.name}: {error}; see the comments in embedded.yaml") from error


def _parsed(path: Path) -> dict[str, Any]:
    text = path.read_text("utf-8")
    try:
        if path.suffix == ".json":
            data = json.loads(text)
        else:
            try:
                import yaml
            except ImportError as error:  # a bare GPU machine
                raise SleepLMError(
                    f"{path.name}: PyYAML is not installed here; install it, or write the recipe "
                    "as .json"
                ) from error
            data = yaml.safe_load(text)
    except ValueError as error:
        raise SleepLMError(f"{path.name}: is not valid JSON ({error})") from error
    if not isinstance(data, dict):
        raise SleepLMError(f"{path.name}: is not a recipe; see embedded.yaml")
    return data
