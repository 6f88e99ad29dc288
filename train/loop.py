"""Train a SleepLM from a recipe: ``sleeplm train embedded --out runs/embedded``.

    sleeplm train tiny-cpu --out runs/tiny            minutes: shows that everything works
    sleeplm train embedded --out runs/embedded        the model that ships
    sleeplm train embedded --out runs/embedded        again after a kill: goes on where it stood

The run folder holds ``shards/`` (simulated nights), ``state.pt`` (to resume), ``log.jsonl`` and, at
the end, ``model/`` (config.json, model.safetensors, tokenizer.json).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from sleeplm.cache import write_atomically
from sleeplm.errors import SleepLMError
from sleeplm.model.checkpoint import save_folder
from sleeplm.model.config import ModelConfig
from sleeplm.model.recoca import ReCoCa
from sleeplm.model.tokenizer import SmallTokenizer
from train.captions.mix import TextMix
from train.corpus import Augmentation, Corpus, caption_sample, simulation_plan
from train.objective import LossWeights, losses
from train.prepare import prepare

__all__ = ["Recipe", "load_recipe", "train"]


@dataclass(frozen=True)
class Recipe:
    """A training run, as written in ``train/recipes/*.yaml`` (each key is explained there)."""

    name: str
    steps: int
    batch_size: int = 16
    seed: int = 1
    threads: int = 2
    vocabulary: int = 1500
    model: dict[str, Any] = field(default_factory=dict)
    corpus: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    captions_per_step: int = 3
    loss: LossWeights = field(default_factory=LossWeights)
    augmentation: Augmentation = field(default_factory=Augmentation)
    texts: TextMix = field(default_factory=TextMix)
    checkpoint_minutes: float = 5.0
    log_every: int = 20


def load_recipe(source: str | Path) -> Recipe:
    """Read a recipe by its name in the package or by its path.

    Raises
    ------
    SleepLMError
        There is no such recipe, or a key is not known.
    """
    path = Path(source)
    if not path.is_file():
        path = Path(str(resources.files("train") / "recipes" / f"{source}.yaml"))
    if not path.is_file():
        known = sorted(p.stem for p in path.parent.glob("*.yaml"))
        raise SleepLMError(
            f"no recipe {str(source)!r}: give a .yaml file or one of {', '.join(known)}"
        )
    data = yaml.safe_load(path.read_text("utf-8"))
    try:
        data["loss"] = LossWeights(**data.get("loss", {}))
        data["augmentation"] = Augmentation(**data.get("augmentation", {}))
        data["texts"] = TextMix(**data.get("texts", {}))
        return Recipe(**data)
    except TypeError as error:
        raise SleepLMError(f"{path.name}: {error}; see the comments in embedded.yaml") from error


def train(
    source: str | Path,
    out: str | Path,
    *,
    resume: bool = True,
    steps: int | None = None,
    progress: Callable[[str], None] = print,
) -> Path:
    """Run a recipe to its end; returns the folder of the trained model.

    Parameters
    ----------
    source : str or path
        Recipe name or file.
    out : path
        Run folder. A run found there is continued when ``resume`` is true.
    steps : int, optional
        Instead of the recipe's number of steps.
    progress : callable
        Gets one line of text at a time.

    Raises
    ------
    SleepLMError
        The recipe is unknown, or the folder holds a run of another recipe.
    """
    recipe = load_recipe(source)
    steps = steps or recipe.steps
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(recipe.threads)

    shape = _shape(recipe)
    plan = simulation_plan(
        recipe.corpus["nights"], recipe.corpus["first_seed"], recipe.corpus["hours"]
    )
    manifest = prepare(
        out / "shards",
        simulated=plan,
        shares=(1.0, 0.0, 0.0),
        workers=recipe.corpus.get("workers", 1),
        progress=lambda words, share: progress(words),
    )
    corpus = Corpus(manifest.shards("train"), shape)
    progress(f"{len(corpus)} epochs from {len(manifest.nights)} nights")

    tokenizer = _vocabulary(out / "tokenizer.json", corpus, recipe)
    config = replace(shape, text_cfg=replace(shape.text_cfg, vocab_size=tokenizer.vocab_size))
    torch.manual_seed(recipe.seed)
    model = ReCoCa(config).train()
    settings = recipe.optimizer
    optimizer = torch.optim.AdamW(
        _parameter_groups(model, settings["weight_decay"]),
        lr=settings["lr"],
        betas=tuple(settings["betas"]),
    )
    state_path = out / "state.pt"
    first = 0
    if resume and state_path.exists():
        first = _load_state(state_path, recipe, model, optimizer)
        progress(f"continuing at step {first}")
    progress(f"{sum(p.numel() for p in model.parameters()):,} parameters, {steps} steps")

    began = saved = time.monotonic()
    for step in range(first, steps):
        # Each step draws from its own generator, so a resumed run sees what it would have seen.
        rng = np.random.default_rng((recipe.seed, step))
        batch = corpus.batch(
            rng,
            recipe.batch_size,
            config,
            tokenizer,
            recipe.augmentation,
            recipe.captions_per_step,
            recipe.texts,
        )
        rate = settings["lr"] * _schedule(step, steps, settings)
        for group in optimizer.param_groups:
            group["lr"] = rate
        parts = losses(model, batch, recipe.loss)
        optimizer.zero_grad(set_to_none=True)
        parts["total"].backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip"])
        if torch.isfinite(norm):
            optimizer.step()
        if step % recipe.log_every == 0 or step == steps - 1:
            elapsed_s = time.monotonic() - began
            speed = (step - first + 1) * recipe.batch_size / elapsed_s
            left_s = (steps - step - 1) * recipe.batch_size / speed
            record = {
                "step": step,
                "lr": rate,
                "norm": float(norm),
                "epochs_per_s": round(speed, 2),
                **{name: round(float(part.detach()), 4) for name, part in parts.items()},
            }
            with (out / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(record) + "\n")
            terms = "  ".join(f"{name} {record[name]:.3f}" for name in parts)
            progress(
                f"step {step}/{steps}  {terms}  {speed:.1f} epochs/s  {left_s / 60:.0f} min left"
            )
        if time.monotonic() - saved > recipe.checkpoint_minutes * 60:
            _save_state(state_path, recipe, model, optimizer, step + 1)
            _save_model(out / "model", model, tokenizer)
            saved = time.monotonic()
    _save_state(state_path, recipe, model, optimizer, steps)
    _save_model(out / "model", model, tokenizer)
    progress(f"trained: {out / 'model'}")
    return out / "model"


def _shape(recipe: Recipe) -> ModelConfig:
    """The embedded model's config with the recipe's changes laid over it, key by key."""

    def laid_over(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
        return {
            **base,
            **{
                key: laid_over(base[key], value) if isinstance(value, dict) else value
                for key, value in changes.items()
            },
        }

    base = ModelConfig.embedded().to_dict()
    return ModelConfig.from_dict(laid_over(base, {"name": recipe.name, **recipe.model}))


def _vocabulary(path: Path, corpus: Corpus, recipe: Recipe) -> SmallTokenizer:
    """The run's tokenizer: built from its own captions once, then read back."""
    if path.exists():
        return SmallTokenizer.load(path)
    rng = np.random.default_rng(recipe.seed)
    tokenizer = SmallTokenizer.train(caption_sample(corpus, rng, 3000), recipe.vocabulary)
    write_atomically(path, tokenizer.save)
    return tokenizer


def _schedule(step: int, steps: int, settings: dict[str, Any]) -> float:
    """Linear warm-up, then one cosine down to ``final_share``."""
    warmup = settings["warmup_steps"]
    if step < warmup:
        return (step + 1) / warmup
    share = (step - warmup) / max(steps - warmup, 1)
    final = float(settings["final_share"])
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * share))


def _parameter_groups(model: ReCoCa, weight_decay: float) -> list[dict[str, Any]]:
    """Weight matrices decay; biases, norms, embeddings' scales and single vectors do not."""
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _save_model(folder: Path, model: ReCoCa, tokenizer: SmallTokenizer) -> None:
    """The model as it is loaded: half precision, its config and its tokenizer."""
    save_folder(model, folder, torch.float16)
    tokenizer.save(folder / "tokenizer.json")


def _save_state(
    path: Path, recipe: Recipe, model: ReCoCa, optimizer: torch.optim.Optimizer, step: int
) -> None:
    state = {
        "recipe": recipe.name,
        "step": step,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "torch_rng": torch.get_rng_state(),
    }
    write_atomically(path, lambda temporary: torch.save(state, temporary))


def _load_state(path: Path, recipe: Recipe, model: ReCoCa, optimizer: torch.optim.Optimizer) -> int:
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["recipe"] != recipe.name:
        raise SleepLMError(
            f"{path.parent}: holds a run of {state['recipe']!r}, not of {recipe.name!r}; "
            "choose another --out folder"
        )
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["torch_rng"])
    return int(state["step"])
