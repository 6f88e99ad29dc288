"""The demo night: made once, whole, and the same for everybody."""

from pathlib import Path

from sleeplm import Night
from train.simulate.demo import demo_night


def test_the_demo_night_is_made_once_with_its_scoring(tmp_path: Path) -> None:
    told: list[str] = []

    def progress(words: str, share: float) -> None:
        told.append(words)

    made = demo_night(tmp_path, hours=0.2, progress=progress)
    written = made.stat().st_mtime_ns
    again = demo_night(tmp_path, hours=0.2, progress=progress)
    assert again == made
    assert again.stat().st_mtime_ns == written
    assert told == ["making the demo night"]
    night = Night.open(made, cache=False)
    assert night.n_epochs == 24
    assert "expert" in list(night.scorings)
    assert night.recording.missing == []


def test_a_demo_night_that_was_not_finished_is_not_taken_for_one(tmp_path: Path) -> None:
    half = tmp_path / "demo" / ".making-abc"
    half.mkdir(parents=True)
    (half / "demo.edf").write_bytes(b"half")
    made = demo_night(tmp_path, hours=0.1)
    assert made.parent != half
    assert made.stat().st_size > 10_000
