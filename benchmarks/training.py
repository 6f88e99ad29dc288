"""What the parts of the training do: ``python -m benchmarks.training --out DIR``.

Small models are trained on the same simulated nights and shown the same held-out ones:

* ablation: each term of the loss, and each augmentation, left out;
* scaling: fewer nights, fewer steps, a narrower and a wider model;
* unseen: a model that never met an epoch with a central apnea is asked for one in words, beside one
  that was trained with them.

One seed each, so small differences are noise. Runs are kept in ``--out`` and not made again.
``--write docs/evaluation.md`` renews the part of that page below its marker.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml

from train.prepare import Manifest

LEFT_OUT = "central_apnea"
WIDTHS = {
    "narrow": {"width": 32, "heads": 2, "layers": 1},
    "middle": {"width": 64, "heads": 2, "layers": 2},
    "wide": {"width": 128, "heads": 4, "layers": 2},
}
KINDS = ("obstructive_apnea", "central_apnea", "mixed_apnea", "hypopnea", "desaturation", "arousal")
AXES = ("staging", "events", "localization", "captions", "retrieval", "unseen", "missing_channels")
HOURS = 2.0
MARKER = "<!-- training runs -->"
#: Heading of a column → where the figure stands in a result.
FIGURES: dict[str, tuple[str, ...]] = {
    "zero-shot κ": ("staging", "zero_shot", "kappa"),
    "event AUROC": ("events", "auroc"),
    "location F1": ("localization", "f1_iou_0.3"),
    "caption error": ("captions", "relative_error"),
    "R@10 of 200": ("retrieval", "pools", "200", "text_to_signal", "recall_at_10"),
    "κ, one EEG": ("missing_channels", "by_set", "one EEG", "kappa"),
    "central apnea: AUROC by words": ("events", "by_kind", LEFT_OUT, "auroc"),
    "… where unseen": ("unseen", "by_kind", LEFT_OUT, "auroc"),
}


def recipe(steps: int, *, width: str = "middle", kinds: tuple[str, ...] = KINDS) -> dict[str, Any]:
    """The embedded recipe at a size that trains in minutes."""
    shape = WIDTHS[width]
    encoder = {f"transformer_{key}": value for key, value in shape.items()}
    return {
        "name": f"study-{width}",
        "steps": steps,
        "threads": 1,
        "vocabulary": 1500,
        "model": {
            "biosignals_cfg": {**encoder, "decoder_tokens": 8},
            "text_cfg": {**shape, "layers": 1},
            "multimodal_cfg": {**shape, "layers": 1},
            "embed_dim": shape["width"],
            "extensions": {"event_kinds": list(kinds)},
        },
        "corpus": {"rare_events": 4.0},
        "optimizer": {"lr": 0.0015, "final_share": 0.05, "warmup_steps": 40,
                      "betas": [0.9, 0.98], "weight_decay": 0.05, "clip": 1.0},
        "loss": {"contrastive": 1.0, "reconstruction": 0.5, "caption": 1.0, "grounding": 1.0,
                 "auxiliary": 0.5},
        "augmentation": {"channel_dropout": 0.3, "alone": 0.2, "gain": 0.25, "noise": 0.05,
                         "flip": 0.3, "time_mask": 0.1},
        "checkpoint_minutes": 5,
        "log_every": 50,
    }  # fmt: skip


def variants(steps: int, nights: int) -> dict[str, tuple[dict[str, Any], int]]:
    """(recipe, nights) by name."""
    whole = recipe(steps)
    made: dict[str, tuple[dict[str, Any], int]] = {"all": (whole, nights)}
    for term in ("contrastive", "reconstruction", "caption", "grounding", "auxiliary"):
        made[f"without {term}"] = ({**whole, "loss": {**whole["loss"], term: 0.0}}, nights)
    whole_signals = {**whole["augmentation"], "channel_dropout": 0.0, "alone": 0.0}
    made["all channels always"] = ({**whole, "augmentation": whole_signals}, nights)
    made["a quarter of the nights"] = (whole, max(nights // 4, 1))
    made["a third of the steps"] = (recipe(steps // 3), nights)
    for width in ("narrow", "wide"):
        made[width] = (recipe(steps, width=width), nights)
    blind = recipe(steps, kinds=tuple(kind for kind in KINDS if kind != LEFT_OUT))
    blind["corpus"] = {**blind["corpus"], "without": [LEFT_OUT]}
    made[f"never shown a {LEFT_OUT.replace('_', ' ')}"] = (blind, nights)
    return made


def run(
    out: Path, corpus: Path, only: list[str], steps: int, nights: int
) -> dict[str, dict[str, Any]]:
    """Train and evaluate what is not there yet; results by name."""
    from train.evaluate import evaluate_sources, held_out_sources, reference_sources
    from train.loop import train

    known = variants(steps, nights)
    unknown = set(only) - set(known)
    if unknown:
        raise SystemExit(f"no run {sorted(unknown)}: choose from {list(known)}")
    results: dict[str, dict[str, Any]] = {}
    for name, (settings, n_nights) in known.items():
        folder = out / name.replace(" ", "-")
        path = folder / "result.json"
        if not path.exists():
            if only and name not in only:
                continue
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "recipe.yaml").write_text(yaml.safe_dump(settings), "utf-8")
            print(f"— {name}", file=sys.stderr, flush=True)
            weights = train(
                folder / "recipe.yaml",
                folder / "run",
                corpus=_part(corpus, folder / "corpus", n_nights),
                progress=lambda line: print(line, file=sys.stderr, flush=True),
            )
            found = evaluate_sources(
                str(weights), held_out_sources(4, HOURS), AXES, reference=reference_sources(1.0, 2)
            )
            path.write_text(json.dumps(found, default=float), "utf-8")
        results[name] = json.loads(path.read_text("utf-8"))
    return results


def _part(corpus: Path, folder: Path, n_nights: int) -> Path:
    """A corpus of the first nights of another one, whose shards stay where they are."""
    whole = Manifest.load(corpus)
    taken = {
        key: {**entry, "shard": str((corpus / entry["shard"]).resolve()), "split": "train"}
        for key, entry in sorted(whole.nights.items())[:n_nights]
    }
    Manifest(folder, taken).save()
    return folder


def table(results: dict[str, dict[str, Any]], steps: int) -> str:
    """Markdown: a line per run."""
    heads = ["run", "parameters, M", *FIGURES]
    lines = [
        f"`python -m benchmarks.training --steps {steps} …`; four held-out nights of {HOURS:g} h.",
        "",
        "| " + " | ".join(heads) + " |",
        "|" + " --- |" * len(heads),
    ]
    for name, found in results.items():
        cells = [name, f"{found['parameters'] / 1e6:.2f}"]
        for path in FIGURES.values():
            node: Any = found
            for step in path:
                node = node.get(step) if isinstance(node, dict) else None
            cells.append(f"{node:.2f}" if isinstance(node, int | float) else "–")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="where runs are kept")
    parser.add_argument("--corpus", type=Path, required=True, help="made by sleeplm prepare")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--nights", type=int, default=24)
    parser.add_argument("--only", nargs="*", default=[], help="runs to make; others are shown")
    parser.add_argument("--write", type=Path, help="page whose table is renewed")
    arguments = parser.parse_args()
    results = run(
        arguments.out, arguments.corpus, arguments.only, arguments.steps, arguments.nights
    )
    text = table(results, arguments.steps)
    print(text)
    if arguments.write:
        before, found, after = arguments.write.read_text("utf-8").partition(MARKER)
        if not found:
            raise SystemExit(f"{arguments.write}: holds no line {MARKER}")
        rest = after.partition("\n## ")
        arguments.write.write_text(f"{before}{MARKER}\n\n{text}\n{''.join(rest[1:])}", "utf-8")


if __name__ == "__main__":
    main()
