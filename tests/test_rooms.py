"""The plan of the house: who may import whom, and what stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("sleeplm", "tools", "agent", "ui", "train")
MAY_IMPORT = {
    "sleeplm": {"sleeplm"},
    "tools": {"tools", "sleeplm"},
    "agent": {"agent", "tools", "sleeplm"},
    "ui": {"ui", "agent", "tools", "sleeplm"},
    "train": {"train", "sleeplm"},
}
#: The command line alone reaches the training, when one of its commands is called.
EXCEPTIONS = {("ui/cli.py", "train")}


def imported_rooms(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names & set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_imports_leftwards(room: str) -> None:
    wrong = [
        (name, other)
        for path in sorted((ROOT / room).rglob("*.py"))
        for other in sorted(imported_rooms(path) - MAY_IMPORT[room])
        if ((name := path.relative_to(ROOT).as_posix()), other) not in EXCEPTIONS
    ]
    assert wrong == []


def modules_after(statement: str) -> set[str]:
    listing = f"import sys; {statement}; print(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return {name.split(".")[0] for name in done.stdout.split()}


def test_import_of_the_package_is_light() -> None:
    heavy = {"torch", "mne", "gradio", "langchain", "langchain_core", "chromadb", "pydantic"}
    assert modules_after("import sleeplm") & heavy == set()


def test_checking_a_night_needs_no_model_no_llm_and_no_page() -> None:
    loaded = modules_after("import ui.cli, sleeplm.recording, sleeplm.scoring_files")
    assert loaded & {"torch", "gradio", "langchain", "langchain_core", "chromadb"} == set()


def test_simulating_and_captioning_need_numpy_and_scipy_alone() -> None:
    loaded = modules_after("import train.simulate, train.captions, sleeplm.physiology")
    assert loaded & {"torch", "mne", "yasa", "pandas", "pydantic", "edfio", "sklearn"} == set()
