"""Several processes follow one; a killed run goes on as if nothing had been."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from train.prepare import prepare

ROOT = Path(__file__).resolve().parents[2]
STEP = Path(__file__).with_name("gradients_of_a_step.py")
RECIPE: dict[str, Any] = {
    "name": "step",
    "seed": 3,
    "model": {
        "biosignals_cfg": {
            "transformer_width": 32,
            "transformer_heads": 2,
            "transformer_layers": 1,
            "conv_embed_dim": 32,
            "decoder_tokens": 4,
        },
        "text_cfg": {"width": 32, "heads": 2, "layers": 1},
        "multimodal_cfg": {"width": 32, "heads": 2, "layers": 1},
        "embed_dim": 32,
    },
    "vocabulary": 1000,
    "steps": 12,
    "batch_size": 8,
    "threads": 1,
    "captions_per_step": 2,
    "optimizer": {
        "lr": 0.002,
        "final_share": 0.1,
        "warmup_steps": 2,
        "betas": [0.9, 0.98],
        "weight_decay": 0.05,
        "clip": 1.0,
    },
    "augmentation": {"channel_dropout": 0.5, "gain": 0.2, "noise": 0.05, "flip": 0.3},
    "checkpoint_minutes": 0,
    "log_every": 1,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    prepare(folder, simulated=[{"seed": 5, "hours": 0.5, "ahi": 40.0}], shares=(1.0, 0.0, 0.0))
    return folder


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "recipe.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**RECIPE, **changes}))
    return path


def gradients(
    corpus: Path, folder: Path, processes: int, **changes: Any
) -> dict[str, torch.Tensor]:
    recipe = written(folder, **changes)
    target = folder / "gradients.pt"
    launch = (
        [sys.executable]
        if processes == 1
        else [
            sys.executable, "-m", "torch.distributed.run", "--standalone",
            "--nproc-per-node", str(processes),
        ]
    )  # fmt: skip
    subprocess.run(
        [*launch, str(STEP), str(recipe), str(corpus), str(folder / "run"), str(target)],
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    found: dict[str, torch.Tensor] = torch.load(target, weights_only=True)
    return found


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    # Gradients of a parameter are compared with the largest of the model: where a parameter has
    # none but rounding, its own size says nothing.
    largest = max(float(gradient.abs().max()) for gradient in one.values())
    for name, gradient in one.items():
        error = float((gradient - other[name]).abs().max())
        assert error < 1e-5 * largest + 1e-4 * float(gradient.abs().max()), name


@pytest.fixture(scope="module")
def alone(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    return gradients(corpus, tmp_path_factory.mktemp("alone"), 1)


def test_two_processes_give_the_gradients_of_one(
    corpus: Path, alone: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    assert any(float(gradient.abs().max()) > 1e-3 for gradient in alone.values())
    same(alone, gradients(corpus, tmp_path, 2))


@pytest.mark.slow
def test_weights_spread_over_two_processes_give_the_gradients_of_one(
    corpus: Path, alone: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    same(alone, gradients(corpus, tmp_path, 2, shard_weights=True))


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_contrastive_batch_in_parts_has_the_gradients_of_the_whole(
    corpus: Path, tmp_path: Path, processes: int
) -> None:
    alone = {"reconstruction": 0, "caption": 0, "grounding": 0, "auxiliary": 0}
    whole = gradients(corpus, tmp_path / "whole", 1, loss=alone)
    parts = gradients(corpus, tmp_path / "parts", processes, loss=alone, accumulate=2)
    same(whole, parts)


def losses_of(run: Path) -> list[tuple[int, float]]:
    lines = (run / "log.jsonl").read_text().splitlines()
    return [(record["step"], record["total"]) for record in map(json.loads, lines)]


def test_a_run_that_is_killed_and_resumed_follows_the_same_curve(
    corpus: Path, tmp_path: Path
) -> None:
    recipe = written(tmp_path)

    def start(run: Path) -> subprocess.Popen[bytes]:
        arguments = f"{str(recipe)!r}, {str(run)!r}, corpus={str(corpus)!r}"
        code = f"from train.loop import train; train({arguments})"
        return subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
        )

    assert start(tmp_path / "whole").wait(timeout=300) == 0
    killed = tmp_path / "killed"
    process = start(killed)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        log = killed / "log.jsonl"
        if (killed / "state.pt").exists() and log.exists() and log.read_bytes().count(b"\n") >= 4:
            break
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
    reached = len(losses_of(killed))
    assert 4 <= reached < RECIPE["steps"]
    assert start(killed).wait(timeout=300) == 0
    assert losses_of(killed) == losses_of(tmp_path / "whole")
