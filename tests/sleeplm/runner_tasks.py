"""Tasks for the tests of the runner: other processes must be able to import them by name."""

import os
from pathlib import Path

from sleeplm.errors import QueryError


def doubled(number: int) -> int:
    return 2 * number


def refused(number: int) -> int:
    if number == 2:
        raise QueryError("night 2 has no stages; give a scoring")
    return number


def once_in_two(marker: str) -> str:
    """Fails the first time that it is called with a marker."""
    path = Path(marker)
    if not path.exists():
        path.write_text("tried")
        raise RuntimeError("a disk was slow")
    return "done"


def killed(number: int) -> int:
    if number == 1:
        os._exit(9)
    return number
