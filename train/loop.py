"""Train a SleepLM from a recipe: ``sleeplm train embedded --out runs/embedded``.

    sleeplm train tiny-cpu --out runs/tiny            minutes: shows that everything works
    sleeplm train embedded --out runs/embedded        the model that ships
    sleeplm train embedded --out runs/embedded        again after a kill: goes on where it stood
    torchrun --nproc-per-node 8 -m ui.cli train base --corpus CORPUS --out runs/base

The run folder holds ``shards/`` (simulated nights, where no corpus is given), ``state.pt`` (to
resume), ``log.jsonl`` and, at the end, ``model/`` (config.json, model.safetensors,
tokenizer.json) and ``curves.png``.

Each step draws from its own generator, so that a resumed run, or one on another number of
processes, sees what it would have seen.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sleeplm.cache import write_atomically
from sleeplm.errors import SleepLMError
from sleeplm.model.checkpoint import save_folder
from sleeplm.model.recoca import ReCoCa
from sleeplm.model.tokenizer import ClipTokenizer, SmallTokenizer, load_tokenizer
from train.corpus import Corpus, caption_sample, make_batch, simulation_plan
from train.distributed import Ranks, all_sum, joined
from train.objective import Batch, Objective, contrastive_pull
from train.prepare import Manifest, prepare
from train.recipe import Recipe, load_recipe

__all__ = ["train"]

Say = Callable[[str], None]


def train(
    source: str | Path,
    out: str | Path,
    *,
    corpus: str | Path | None = None,
    start: str | None = None,
    resume: bool = True,
    steps: int | None = None,
    progress: Say = print,
) -> Path:
    """Run a recipe to its end; returns the folder of the trained model.

    Parameters
    ----------
    source : str or path
        Recipe name or file.
    out : path
        Run folder. A run found there is continued when ``resume`` is true.
    corpus : path, optional
        A folder made by ``sleeplm prepare``, of which the train split is used; else the recipe's
        simulated nights are made in the run folder.
    start : str, optional
        Weights to go on from, instead of the recipe's ``start``.
    steps : int, optional
        Instead of the recipe's number of steps.
    progress : callable
        Gets one line of text at a time.

    Raises
    ------
    SleepLMError
        The recipe or the corpus cannot be used, or the folder holds a run of another recipe.
    """
    recipe = load_recipe(source)
    if start is not None:
        recipe = replace(recipe, start=start)
    ranks = joined()
    say: Say = progress if ranks.leads else (lambda line: None)
    return _Run(recipe, Path(out), ranks, say, None if corpus is None else Path(corpus)).go(
        steps or recipe.steps, resume
    )


class _Run:
    """One recipe on one corpus, from step to step."""

    def __init__(
        self, recipe: Recipe, out: Path, ranks: Ranks, say: Say, corpus: Path | None
    ) -> None:
        self.recipe, self.out, self.ranks, self.say = recipe, out, ranks, say
        out.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(recipe.threads)
        try:
            self.rows = ranks.rows(recipe.batch_size)
        except ValueError as error:
            raise SleepLMError(f"recipe {recipe.name}: {error}") from error
        torch.manual_seed(recipe.seed)
        if recipe.start is None:
            shape, model, tokenizer = recipe.shape(), None, None
        else:
            model, tokenizer = _started(recipe.start)
            shape = model.config
        if ranks.leads:
            paths = _shards(recipe, out, corpus, say)
        ranks.wait()  # the others read what the first has made
        if not ranks.leads:
            paths = _shards(recipe, out, corpus, say)
        draw = {
            key: recipe.corpus[key]
            for key in ("automatic_weight", "rare_events", "without")
            if key in recipe.corpus
        }
        self.corpus = Corpus(paths, shape, **draw)
        say(f"{len(self.corpus)} epochs from {len(paths)} nights")
        if model is None or tokenizer is None:
            if ranks.leads:
                tokenizer = _vocabulary(out, self.corpus, recipe)
            ranks.wait()
            if not ranks.leads:
                tokenizer = _vocabulary(out, self.corpus, recipe)
            assert tokenizer is not None
            text = replace(shape.text_cfg, vocab_size=tokenizer.vocab_size)
            model = ReCoCa(replace(shape, text_cfg=text))
        self.tokenizer = tokenizer
        self.model = model.requires_grad_(True).train().to(ranks.device)
        self.objective = Objective(self.model, recipe.loss)
        self.wrapped: nn.Module = self.objective
        self.whole: list[nn.Parameter] = []
        if ranks.world > 1:
            self.wrapped = self._spread()
        settings = recipe.optimizer
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(self.model, settings["weight_decay"]),
            lr=settings["lr"],
            betas=tuple(settings["betas"]),
        )
        self.bf16 = recipe.precision == "bf16" or (
            recipe.precision == "auto"
            and ranks.device.type == "cuda"
            and torch.cuda.is_bf16_supported()
        )

    def _spread(self) -> nn.Module:
        if not self.recipe.shard_weights:
            devices = [self.ranks.device.index] if self.ranks.device.type == "cuda" else None
            # A term whose weight is 0 leaves its part of the model without a gradient.
            return nn.parallel.DistributedDataParallel(
                self.objective, device_ids=devices, find_unused_parameters=True
            )
        from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

        blocks = [
            block
            for stack in (
                self.model.biosignals.transformer_blocks,
                self.model.text.transformer.resblocks,
                self.model.text_decoder.resblocks,
                self.model.text_decoder.cross_attn,
            )
            for block in stack
        ]
        names = self.model.named_parameters(remove_duplicate=False)
        uses = Counter(parameter for _, parameter in names)
        # Scalars and what blocks share (the channel rope) cannot be spread: every rank keeps them,
        # and their gradients are averaged here.
        self.whole = [p for p in self.model.parameters() if p.ndim == 0 or uses[p] > 1]
        for module in (*blocks, self.objective):
            fully_shard(module, ignored_params=set(self.whole))
        for cross in self.model.text_decoder.cross_attn:
            register_fsdp_forward_method(cross, "memory_keys_values")
        return self.objective

    # ── a step ───────────────────────────────────────────────────────────────────────────────
    def batches(self, step: int) -> list[Batch]:
        """This rank's rows of a step, in ``accumulate`` parts."""
        return [batch.to(self.ranks.device) for batch in self._drawn(step)]

    def _drawn(self, step: int) -> list[Batch]:
        recipe = self.recipe
        rng = np.random.default_rng((recipe.seed, step))
        drawn = self.corpus.draw(rng, recipe.batch_size, self.rows)
        parts = np.array_split(np.arange(len(self.rows)), min(recipe.accumulate, len(self.rows)))
        return [
            make_batch(
                [drawn[i] for i in part],
                (recipe.seed, step),
                self.model.config,
                self.tokenizer,
                recipe.augmentation,
                recipe.captions_per_step,
                recipe.texts,
                rows=range(self.rows[part[0]], self.rows[part[-1]] + 1),
                caption_style=recipe.caption_style,
            )
            for part in parts
        ]

    def _prefetched(self, first: int, steps: int) -> Iterator[list[Batch]]:
        """The batches of all steps in order, made by ``loaders`` processes ahead of their use."""
        loader = torch.utils.data.DataLoader(
            _Steps(self._drawn, first, steps),
            batch_size=None,
            num_workers=self.recipe.loaders,
            # Its own: a draw from the global generator would shift the dropout of a resumed run.
            generator=torch.Generator(),
        )
        for batches in loader:
            yield [batch.to(self.ranks.device) for batch in batches]

    def gradients(self, batches: list[Batch]) -> dict[str, Tensor]:
        """Leave a step's gradients in the parameters; returns the terms of the loss."""
        self.optimizer.zero_grad(set_to_none=True)
        autocast = torch.autocast(self.ranks.device.type, torch.bfloat16, enabled=self.bf16)
        if len(batches) == 1:
            with autocast:
                parts: dict[str, Tensor] = self.wrapped(batches[0])
            parts["total"].backward()
            self._average_whole()
            return {name: part.detach() for name, part in parts.items()}
        weight = self.recipe.loss.contrastive
        states: list[tuple[Tensor, Tensor | None]] = []
        if weight:
            made = []
            with torch.no_grad(), autocast:
                for batch in batches:
                    states.append(_random_states(self.ranks.device))
                    made.append(self.objective.embed(batch))
            pulls, by_scale, loss = contrastive_pull(made, self.model.logit_scale)
        sums: dict[str, Tensor] = {}
        for number, batch in enumerate(batches):
            last = number == len(batches) - 1
            if weight:
                # Dropout must draw the same again, or gradients would be of other embeddings.
                _set_random_states(self.ranks.device, states[number])
            with self._without_exchange() if not last else nullcontext(), autocast:
                parts = self.wrapped(batch, pulls[number] if weight else None, 1 / len(batches))
                # One exchange of gradients, with the last part.
                parts["total"].backward()
            for name, part in parts.items():
                sums[name] = sums.get(name, torch.zeros_like(part)) + part.detach() / len(batches)
        self._average_whole()
        if weight:
            scale = self.model.logit_scale
            pull = weight * all_sum(by_scale) / self.ranks.world
            scale.grad = pull if scale.grad is None else scale.grad + pull
            sums["contrastive"] = loss
        sums["total"] = torch.stack(
            [
                getattr(self.recipe.loss, name) * part
                for name, part in sums.items()
                if name != "total"
            ]
        ).sum()
        return sums

    def _average_whole(self) -> None:
        for parameter in self.whole:
            if parameter.grad is not None:
                parameter.grad = all_sum(parameter.grad) / self.ranks.world

    @contextmanager
    def _without_exchange(self) -> Iterator[None]:
        if isinstance(self.wrapped, nn.parallel.DistributedDataParallel):
            with self.wrapped.no_sync():
                yield
            return
        from torch.distributed.fsdp import FSDPModule

        sharded = self.wrapped if isinstance(self.wrapped, FSDPModule) else None
        if sharded is not None:
            sharded.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            if sharded is not None:
                sharded.set_requires_gradient_sync(True)

    # ── all of them ──────────────────────────────────────────────────────────────────────────
    def go(self, steps: int, resume: bool) -> Path:
        """Train up to ``steps``; returns the folder of the model."""
        recipe, settings, say = self.recipe, self.recipe.optimizer, self.say
        state_path = self.out / "state.pt"
        first = 0
        if resume and state_path.exists():
            first = self._load(state_path)
            say(f"continuing at step {first}")
        if self.ranks.leads:
            _cut_log(self.out / "log.jsonl", first)
        count = sum(p.numel() for p in self.model.parameters())
        say(f"{count:,} parameters, {steps} steps, {self.ranks.world} × {self.ranks.device}")
        flops, peak = self._cost(first) if first < steps else (0.0, 1.0)
        began = saved = time.monotonic()
        for step, batches in zip(range(first, steps), self._prefetched(first, steps), strict=True):
            rate = settings["lr"] * _schedule(step, steps, settings)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            parts = self.gradients(batches)
            norm = nn.utils.clip_grad_norm_(self.model.parameters(), settings["clip"])
            norm_value = float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)
            if math.isfinite(norm_value):
                self.optimizer.step()
            if step % recipe.log_every == 0 or step == steps - 1:
                speed = (step - first + 1) * recipe.batch_size / (time.monotonic() - began)
                # Every rank's terms are scaled so that their mean is that of the global batch.
                shown = {
                    name: round(float(all_sum(part)) / self.ranks.world, 4)
                    for name, part in parts.items()
                }
                record = {
                    "step": step,
                    "epochs": (step + 1) * recipe.batch_size,
                    "lr": rate,
                    "norm": norm_value,
                    "epochs_per_s": round(speed, 2),
                    "mfu": round(flops * speed / recipe.batch_size / peak, 4),
                    "memory_gb": round(self._memory_gb(), 2),
                    **shown,
                }
                self._tell(record, shown, steps)
            if time.monotonic() - saved > recipe.checkpoint_minutes * 60:
                self._save(state_path, step + 1)
                saved = time.monotonic()
        self._save(state_path, steps)
        if self.ranks.leads:
            _draw_curves(self.out)
        say(f"trained: {self.out / 'model'}")
        return self.out / "model"

    def _tell(self, record: dict[str, Any], shown: dict[str, float], steps: int) -> None:
        if not self.ranks.leads:
            return
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")
        terms = "  ".join(f"{name} {value:.3f}" for name, value in shown.items())
        speed, step = record["epochs_per_s"], record["step"]
        left_min = (steps - step - 1) * self.recipe.batch_size / speed / 60
        self.say(
            f"step {step}/{steps}  {terms}  {speed:.1f} epochs/s  MFU {record['mfu']:.0%}  "
            f"{record['memory_gb']:.1f} GB  {left_min:.0f} min left"
        )

    def _cost(self, step: int) -> tuple[float, float]:
        """FLOPs of one step of all ranks, counted, and FLOP/s that all of them reach in a product.

        The share of the second that training uses is its model FLOPs utilisation (MFU); the
        reference is measured here, not taken from a data sheet.
        """
        from torch.utils.flop_counter import FlopCounterMode

        counter = FlopCounterMode(display=False)
        before = _random_states(self.ranks.device)
        with counter:
            self.gradients(self.batches(step))
        self.optimizer.zero_grad(set_to_none=True)
        _set_random_states(self.ranks.device, before)
        device, size = self.ranks.device, 4096 if self.ranks.device.type == "cuda" else 1024
        dtype = torch.bfloat16 if self.bf16 else torch.float32
        one = torch.randn(size, size, device=device, dtype=dtype)
        seconds = []
        for _ in range(4):
            began = time.perf_counter()
            product = one @ one
            float(product[0, 0])  # waits for the device
            seconds.append(time.perf_counter() - began)
        return counter.get_total_flops() * self.ranks.world, (
            2 * size**3 / min(seconds) * self.ranks.world
        )

    def _memory_gb(self) -> float:
        if self.ranks.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 1e9
        import resource
        import sys

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9

    # ── what is kept ─────────────────────────────────────────────────────────────────────────
    def _states(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Whole weights and optimiser state, gathered where they are spread."""
        if not (self.recipe.shard_weights and self.ranks.world > 1):
            return self.model.state_dict(), self.optimizer.state_dict()
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict

        whole = StateDictOptions(full_state_dict=True, cpu_offload=True)
        weights, optimizer = get_state_dict(self.model, self.optimizer, options=whole)
        return weights, optimizer

    def _save(self, path: Path, step: int) -> None:
        weights, optimizer = self._states()
        if self.ranks.leads:
            state = {
                "recipe": self.recipe.name,
                "step": step,
                "model": weights,
                "optimizer": optimizer,
                "torch_rng": torch.get_rng_state(),
            }
            write_atomically(path, lambda temporary: torch.save(state, temporary))
            model = ReCoCa(self.model.config)
            model.load_state_dict(weights)
            save_folder(model, self.out / "model", torch.float16)
            self.tokenizer.save(self.out / "model" / "tokenizer.json")
        self.ranks.wait()

    def _load(self, path: Path) -> int:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["recipe"] != self.recipe.name:
            raise SleepLMError(
                f"{path.parent}: holds a run of {state['recipe']!r}, not of {self.recipe.name!r}; "
                "choose another --out folder"
            )
        if self.recipe.shard_weights and self.ranks.world > 1:
            from torch.distributed.checkpoint.state_dict import StateDictOptions, set_state_dict

            set_state_dict(
                self.model,
                self.optimizer,
                model_state_dict=state["model"],
                optim_state_dict=state["optimizer"],
                options=StateDictOptions(full_state_dict=True),
            )
        else:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["torch_rng"])
        return int(state["step"])


class _Steps(torch.utils.data.Dataset[list[Batch]]):
    """Steps as items, so that torch's loader can make them in other processes."""

    def __init__(self, make: Callable[[int], list[Batch]], first: int, steps: int) -> None:
        self.make, self.first, self.steps = make, first, steps

    def __len__(self) -> int:
        return self.steps - self.first

    def __getitem__(self, index: int) -> list[Batch]:
        return self.make(self.first + index)


def _started(source: str) -> tuple[ReCoCa, SmallTokenizer | ClipTokenizer]:
    """Model and tokenizer of weights to go on from."""
    from sleeplm.reader import SleepLM

    reader = SleepLM.from_pretrained(None if source == "embedded" else source)
    return reader.model, reader.tokenizer


def _shards(recipe: Recipe, out: Path, corpus: Path | None, say: Say) -> list[Path]:
    """The shards to train on, made first where no corpus is given."""
    if corpus is not None:
        paths = Manifest.load(corpus).shards("train")
        if not paths:
            raise SleepLMError(f"{corpus}: no night is in the train split")
        return paths
    if "nights" not in recipe.corpus:
        raise SleepLMError(
            f"recipe {recipe.name} names no simulated nights; give --corpus, a folder made by "
            "sleeplm prepare"
        )
    plan = simulation_plan(
        recipe.corpus["nights"], recipe.corpus["first_seed"], recipe.corpus["hours"]
    )
    return prepare(
        out / "shards",
        simulated=plan,
        shares=(1.0, 0.0, 0.0),
        workers=recipe.corpus.get("workers", 1),
        progress=lambda words, share: say(words),
    ).shards("train")


def _vocabulary(out: Path, corpus: Corpus, recipe: Recipe) -> SmallTokenizer | ClipTokenizer:
    """The run's tokenizer: built from its own captions once, then read back; or CLIP's."""
    if isinstance(recipe.vocabulary, str):
        if recipe.vocabulary == "hub":
            from sleeplm.model.checkpoint import resolve_vocabulary

            return load_tokenizer(resolve_vocabulary(), "clip")
        return load_tokenizer(recipe.vocabulary, "clip")
    path = out / "tokenizer.json"
    if path.exists():
        return SmallTokenizer.load(path)
    rng = np.random.default_rng(recipe.seed)
    sample = caption_sample(corpus, rng, min(3000, 5 * len(corpus)))
    tokenizer = SmallTokenizer.train(sample, recipe.vocabulary)
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


def _random_states(device: torch.device) -> tuple[Tensor, Tensor | None]:
    on_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return torch.get_rng_state(), on_device


def _set_random_states(device: torch.device, states: tuple[Tensor, Tensor | None]) -> None:
    torch.set_rng_state(states[0])
    if states[1] is not None:
        torch.cuda.set_rng_state(states[1], device)


def _cut_log(path: Path, first: int) -> None:
    """Leave out what a killed run logged after the checkpoint from which it goes on."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text("utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the line that was being written
        if record["step"] < first:
            kept.append(line + "\n")
    write_atomically(path, "".join(kept))


def _draw_curves(out: Path) -> None:
    """Every term of the loss over the steps, as ``curves.png``."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return  # a machine for training alone: the numbers are in log.jsonl
    records = [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()]
    beside = {"step", "epochs", "lr", "norm", "epochs_per_s", "mfu", "memory_gb"}
    terms = [name for name in records[-1] if name not in beside]
    figure = Figure(figsize=(3.2 * len(terms), 2.6), layout="constrained")
    for place, name in enumerate(terms, start=1):
        axes = figure.add_subplot(1, len(terms), place)
        known = [(record["step"], record[name]) for record in records if name in record]
        axes.plot(*zip(*known, strict=True), linewidth=1)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=7)
    figure.savefig(out / "curves.png", dpi=110)
