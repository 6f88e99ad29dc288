"""Many nights, one task each: on this machine's cores or on a Ray cluster.

The function that does one night is the same in both places; it knows nothing of the others. A
night that fails, or that kills its process, is reported and does not stop the rest. What is
finished is the caller's to keep (an output file per night, written atomically): a second run is
given only what is still to do.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Generic, TypeVar

from sleeplm.errors import SleepLMError

__all__ = ["Outcome", "run_tasks"]

Argument = TypeVar("Argument")
Result = TypeVar("Result")
#: Libraries that count threads for themselves; one process per core wants one thread each.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """How one task ended: ``error`` is None when ``result`` holds."""

    key: str
    result: Result | None
    error: str | None
    attempts: int


def run_tasks(
    function: Callable[[Argument], Result],
    tasks: Mapping[str, Argument],
    *,
    workers: int = 1,
    ray_address: str | None = None,
    retries: int = 1,
    progress: Callable[[Outcome[Result], int, int], None] | None = None,
) -> dict[str, Outcome[Result]]:
    """Call ``function`` once per task, several at a time; never raises for a task's sake.

    Parameters
    ----------
    function : callable
        Importable by name (it is sent to other processes); takes one argument that pickles.
    tasks : mapping of str to argument
        Keys name the tasks in reports.
    workers : int
        Processes at a time on this machine; 1 does the work in this one, where a crash ends all.
    ray_address : str, optional
        ``"local"`` starts Ray here with ``workers`` cores; anything else (``"auto"``,
        ``"ray://host:port"``) joins that cluster. None uses plain processes.
    retries : int
        How often a task is tried again after a failure. Errors of this project
        (:class:`~sleeplm.errors.SleepLMError`: a wrong file stays wrong) are not tried again.
    progress : callable, optional
        Called here, in the caller's process, with each outcome, the number done and of all.

    Returns
    -------
    dict of str to Outcome
        In the order of ``tasks``.

    Raises
    ------
    SleepLMError
        Ray was asked for and is not installed, or its cluster does not answer.
    """
    if not tasks:
        return {}
    if ray_address is not None:
        ended = _on_ray(function, tasks, max(workers, 1), ray_address, retries)
    elif workers > 1:
        ended = _in_processes(function, tasks, workers, retries)
    else:
        ended = _one_by_one(function, tasks, retries)
    found: dict[str, Outcome[Result]] = {}
    for outcome in ended:
        found[outcome.key] = outcome
        if progress is not None:
            progress(outcome, len(found), len(tasks))
    return {key: found[key] for key in tasks}


def one_thread() -> None:
    """Keep numerical libraries of this process to one thread."""
    for name in THREAD_VARIABLES:
        os.environ[name] = "1"


def _said(error: BaseException) -> str:
    """One line about a failure; of a foreign error its type too, since its text may say little."""
    text = " ".join(str(error).split())
    if isinstance(error, SleepLMError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _one_by_one(
    function: Callable[[Argument], Result], tasks: Mapping[str, Argument], retries: int
) -> Iterator[Outcome[Result]]:
    for key, argument in tasks.items():
        for attempt in range(1, retries + 2):
            try:
                result = function(argument)
            except Exception as error:
                if attempt > retries or isinstance(error, SleepLMError):
                    yield Outcome(key, None, _said(error), attempt)
                    break
            else:
                yield Outcome(key, result, None, attempt)
                break


def _in_processes(
    function: Callable[[Argument], Result],
    tasks: Mapping[str, Argument],
    workers: int,
    retries: int,
) -> Iterator[Outcome[Result]]:
    waiting = deque(tasks)
    attempts = dict.fromkeys(tasks, 0)
    # After a process died, those that ran beside it go alone: so the one that kills is found.
    alone: deque[str] = deque()
    while waiting or alone:
        size = 1 if alone else workers
        queue = alone if alone else waiting
        # Spawned, not forked: a fork of a process with threads (torch, mne) can hang.
        pool = ProcessPoolExecutor(size, mp_context=get_context("spawn"), initializer=one_thread)
        running: dict[Future[Result], str] = {}
        try:
            while queue or running:
                # No more in flight than processes, so that a crash has few suspects.
                while queue and len(running) < size:
                    key = queue.popleft()
                    attempts[key] += 1
                    running[pool.submit(function, tasks[key])] = key
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                broken = False
                for future in done:
                    key = running.pop(future)
                    error = future.exception()
                    if error is None:
                        yield Outcome(key, future.result(), None, attempts[key])
                    elif isinstance(error, BrokenProcessPool):
                        broken = True
                        yield from _after_crash(key, alone, attempts, retries, size)
                    elif attempts[key] > retries or isinstance(error, SleepLMError):
                        yield Outcome(key, None, _said(error), attempts[key])
                    else:
                        queue.append(key)
                if broken:
                    for key in running.values():
                        yield from _after_crash(key, alone, attempts, retries, size)
                    break
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _after_crash(
    key: str, alone: deque[str], attempts: dict[str, int], retries: int, size: int
) -> Iterator[Outcome[Any]]:
    """A task whose pool broke: tried again by itself, or given up when it was alone already."""
    if size > 1:
        attempts[key] -= 1  # one of several suspects: not held against it
        alone.append(key)
    elif attempts[key] > retries:
        yield Outcome(key, None, "its process died (out of memory?)", attempts[key])
    else:
        alone.append(key)


def _on_ray(
    function: Callable[[Argument], Result],
    tasks: Mapping[str, Argument],
    workers: int,
    address: str,
    retries: int,
) -> Iterator[Outcome[Result]]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError as error:
        raise SleepLMError(
            "Ray is not installed; install sleeplm[cluster], or leave --ray out to use this "
            "machine's cores"
        ) from error
    own: dict[str, Any] = {}
    if address == "local":
        own = {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(address=address, log_to_driver=False, **own)
    except (ConnectionError, OSError, ValueError, RuntimeError) as error:
        raise SleepLMError(f"--ray {address}: no Ray cluster answers there; {_said(error)}") from (
            error
        )
    try:
        remote: Any = ray.remote(num_cpus=1, max_retries=0)(_guarded)
        waiting = deque(tasks)
        attempts = dict.fromkeys(tasks, 0)
        running: dict[Any, str] = {}
        in_flight = max(2 * int(ray.cluster_resources().get("CPU", workers)), 1)
        while waiting or running:
            while waiting and len(running) < in_flight:
                key = waiting.popleft()
                attempts[key] += 1
                running[remote.remote(function, tasks[key])] = key
            for reference in ray.wait(list(running), num_returns=1)[0]:
                key = running.pop(reference)
                try:
                    result, failed, final = ray.get(reference)
                except ray.exceptions.RayError as error:
                    result, failed, final = (
                        None,
                        f"its process died ({type(error).__name__})",
                        False,
                    )
                if failed is None:
                    yield Outcome(key, result, None, attempts[key])
                elif final or attempts[key] > retries:
                    yield Outcome(key, None, failed, attempts[key])
                else:
                    waiting.append(key)
    finally:
        ray.shutdown()


def _guarded(
    function: Callable[[Argument], Result], argument: Argument
) -> tuple[Result | None, str | None, bool]:
    """Result, failure in words, and whether trying again is useless: what Ray brings back."""
    one_thread()
    try:
        return function(argument), None, False
    except Exception as error:
        return None, _said(error), isinstance(error, SleepLMError)
