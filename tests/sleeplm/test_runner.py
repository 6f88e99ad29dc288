"""Many tasks: in processes and on Ray, with failures that stop nothing but themselves."""

import importlib.util
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import runner_tasks as work

from sleeplm.errors import SleepLMError
from sleeplm.runner import Outcome, run_tasks


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spawned processes find the tasks of this folder."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def test_results_come_in_the_order_of_the_tasks_and_progress_counts_them() -> None:
    seen: list[tuple[str, int, int]] = []
    found = run_tasks(
        work.doubled,
        {f"night {n}": n for n in range(5)},
        workers=2,
        progress=lambda outcome, done, of: seen.append((outcome.key, done, of)),
    )
    assert [outcome.result for outcome in found.values()] == [0, 2, 4, 6, 8]
    assert list(found) == [f"night {n}" for n in range(5)]
    assert [entry[1:] for entry in seen] == [(n, 5) for n in range(1, 6)]


def test_a_wrong_file_is_reported_once_and_the_others_are_done() -> None:
    found = run_tasks(work.refused, {str(n): n for n in range(4)}, workers=2, retries=3)
    assert found["2"] == Outcome("2", None, "night 2 has no stages; give a scoring", 1)
    assert [found[key].result for key in "013"] == [0, 1, 3]


def test_a_passing_fault_is_tried_again(tmp_path: Path) -> None:
    found = run_tasks(work.once_in_two, {"one": str(tmp_path / "one")}, retries=1)
    assert found["one"] == Outcome("one", "done", None, 2)
    found = run_tasks(work.once_in_two, {"two": str(tmp_path / "two")}, retries=0)
    assert found["two"].error == "RuntimeError: a disk was slow"


def test_a_task_that_kills_its_process_costs_only_itself() -> None:
    found = run_tasks(work.killed, {str(n): n for n in range(4)}, workers=2, retries=1)
    assert [found[key].result for key in "023"] == [0, 2, 3]
    assert found["1"].result is None
    assert found["1"].error == "its process died (out of memory?)"


def test_no_tasks_are_no_work() -> None:
    assert run_tasks(work.doubled, {}) == {}


@pytest.mark.skipif(
    importlib.util.find_spec("ray") is not None, reason="Ray is installed: nothing to refuse"
)
def test_ray_that_is_not_installed_is_named_with_the_remedy() -> None:
    with pytest.raises(SleepLMError, match=r"sleeplm\[cluster\]"):
        run_tasks(work.doubled, {"a": 1}, ray_address="local")


@pytest.mark.slow
def test_a_local_ray_gives_the_same_outcomes_as_processes() -> None:
    pytest.importorskip("ray", reason="Ray is not installed (extra `cluster`)")
    tasks = {str(n): n for n in range(4)}
    assert run_tasks(work.refused, tasks, workers=2, ray_address="local") == run_tasks(
        work.refused, tasks, workers=2
    )
