"""Fixtures that every part shares."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real recordings: SLEEPLM_DATA_DIR, or shared/data beside the repository."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("SLEEPLM_DATA_DIR", default))
    if not folder.is_dir():
        pytest.skip(f"real recordings are not here ({folder}); set SLEEPLM_DATA_DIR")
    return folder
