"""``python -m train.captions``: captions of an epoch or a night, the fields, how wording varies.

python -m train.captions epoch NIGHT.edf --epoch 300     captions of every system and level
python -m train.captions epoch --simulate 31 --epoch 90  the same for a simulated night
python -m train.captions night --simulate 31             the night itself, in words
python -m train.captions fields                          the table of typed fields
python -m train.captions variety                         distinct texts of 1,000 epochs
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import numpy as np

from sleeplm.captions import SYSTEMS, CaptionFields
from sleeplm.errors import SleepLMError
from sleeplm.physiology import FIELDS, measure_night
from train.captions import (
    LEVELS,
    RELEASED_FIELDS,
    all_epoch_fields,
    joint_text,
    night_fields,
    render,
    render_night,
    short_form,
    short_night,
)
from train.simulate import simulate_night

VARIETY_EPOCHS = 1000


def main(arguments: list[str] | None = None) -> int:
    """Run one of the commands; 0, or 2 with one line for what cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m train.captions", description=__doc__)
    parser.add_argument("command", choices=("epoch", "night", "fields", "variety"))
    parser.add_argument("night", nargs="?", help="an EDF; its scoring is looked for beside it")
    parser.add_argument("--simulate", type=int, metavar="SEED", help="a simulated night instead")
    parser.add_argument("--hours", type=float, default=8.0, help="length of the simulated night")
    parser.add_argument("--ahi", type=float, default=25.0, help="of the simulated night")
    parser.add_argument("--epoch", type=int, default=1, help="number of the epoch, from 1")
    parser.add_argument("--seed", type=int, default=1, help="of the wording")
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(options.seed)
    try:
        if options.command == "fields":
            lines = fields_table()
        elif options.command == "night":
            lines = _night(options, rng)
        else:
            fields = _fields(options)
            if options.command == "variety":
                lines = variety(fields, rng)
            elif 1 <= options.epoch <= len(fields):
                lines = epoch_captions(fields[options.epoch - 1], rng)
            else:
                raise SleepLMError(
                    f"--epoch {options.epoch} is not in this night; use 1–{len(fields)}"
                )
    except SleepLMError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


def _fields(options: argparse.Namespace) -> list[CaptionFields]:
    if options.night is None:
        seed = options.simulate if options.simulate is not None else 31
        night = simulate_night(seed, hours=options.hours, ahi=options.ahi)
        return all_epoch_fields(measure_night(night.signals), night.scoring)
    from sleeplm.recording import read_recording
    from sleeplm.scoring_files import find_scoring, read_scoring

    recording = read_recording(options.night)
    measured = measure_night(recording.signals, gaps=recording.gaps)
    path = find_scoring(options.night)
    scoring = None
    if path is not None:
        scoring = read_scoring(path, recording.start).aligned(recording.start, recording.n_epochs)
    return all_epoch_fields(measured, scoring)


def _night(options: argparse.Namespace, rng: np.random.Generator) -> list[str]:
    from sleeplm.recording import Recording
    from sleeplm.summary import summarize

    seed = options.simulate if options.simulate is not None else 31
    made = simulate_night(seed, hours=options.hours, ahi=options.ahi)
    recording = Recording.from_signals(made.signals, start=made.start)
    fields = night_fields(summarize(made.scoring, recording))
    return [
        f"- {render_night(fields, rng)}",
        f"- {render_night(fields, rng)}",
        *(f"- {short_night(fields, rng)}" for _ in range(4)),
    ]


def epoch_captions(fields: CaptionFields, rng: np.random.Generator) -> list[str]:
    """Markdown lines: every system in every style, each level by itself, some short texts."""
    lines = []
    for system in SYSTEMS:
        lines += [f"**{system}**", ""]
        lines.append(f"- fixed: {render(fields, system)}")
        for style in ("released", "varied"):
            lines.append(f"- {style}: {render(fields, system, style=style, rng=rng)}")
        for level in LEVELS:
            text = render(fields, system, style="varied", rng=rng, levels=(level,))
            lines.append(f"- {level} level: {text}")
        lines.append("")
    lines += ["**short texts and questions**", ""]
    lines += [f"- {text}" for text in dict.fromkeys(short_form(fields, rng) for _ in range(6))]
    return lines


def fields_table() -> list[str]:
    """Markdown table of the measurements: name, channel, system, unit, range, released or own."""
    lines = ["| field | channel | system | unit | range | stated by |", "|" + " --- |" * 6]
    for name, entry in FIELDS.items():
        if name == "position":
            by = "all styles, as a word"
        else:
            by = "all styles" if name in RELEASED_FIELDS else "varied"
        unit = entry.unit or "–"
        lines.append(
            f"| `{name}` | {entry.channel} | {entry.system} | {unit} "
            f"| {entry.low:g}–{entry.high:g} | {by} |"
        )
    return lines


def variety(fields: list[CaptionFields], rng: np.random.Generator) -> list[str]:
    """Markdown table: distinct texts among those of 1,000 epochs, distinct once numbers are struck
    out, and mean length in words."""
    rows = rng.choice(len(fields), VARIETY_EPOCHS, replace=len(fields) < VARIETY_EPOCHS)
    kinds: dict[str, Callable[[CaptionFields], str]] = {}
    for system in SYSTEMS:
        kinds[f"{system}, fixed"] = lambda one, system=system: render(one, system)  # type: ignore[misc]
        for style in ("released", "varied"):
            kinds[f"{system}, {style}"] = lambda one, system=system, style=style: render(  # type: ignore[misc]
                one, system, style=style, rng=rng
            )
        kinds[f"{system}, all levels"] = lambda one, system=system: render(  # type: ignore[misc]
            one, system, style="varied", rng=rng, levels=LEVELS
        )
    kinds["stage and brain joined"] = lambda one: joint_text(one, rng)
    kinds["short texts and questions"] = lambda one: short_form(one, rng)
    lines = [
        "| text | distinct of 1,000 | distinct wordings (numbers struck out) | mean words |",
        "|" + " --- |" * 4,
    ]
    for name, make in kinds.items():
        texts = [make(fields[row]) for row in rows]
        frames = {_frame(text) for text in texts}
        words = np.mean([len(text.split()) for text in texts])
        lines.append(f"| {name} | {len(set(texts))} | {len(frames)} | {words:.0f} |")
    return lines


def _frame(text: str) -> str:
    return "".join("#" if letter.isdigit() else letter for letter in text)


if __name__ == "__main__":
    raise SystemExit(main())
