"""Who has what open: nights, files and conversations of one browser session stay its own."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sleeplm.errors import QueryError, RecordingError
from ui.sessions import OpenNight, PageSession, Sessions


def night(name: str) -> Any:
    return SimpleNamespace(id=name)


def test_a_night_is_reached_by_its_token_only() -> None:
    sessions = Sessions()
    page = sessions.start()
    opened = OpenNight(night("night-a"))
    page.add(opened)
    assert sessions.night(opened.token) is opened
    with pytest.raises(QueryError, match="not open any more"):
        sessions.night("night-a")


def test_two_sessions_hold_different_nights() -> None:
    sessions = Sessions()
    one, other = sessions.start(), sessions.start()
    one.add(OpenNight(night("night-a")))
    assert one.key != other.key
    assert other.session.nights == {}
    with pytest.raises(QueryError, match="no night is open"):
        _ = other.open_night


def test_the_same_night_opened_twice_is_listed_once() -> None:
    page = PageSession()
    page.add(OpenNight(night("night-a")))
    page.add(OpenNight(night("night-b")))
    page.add(OpenNight(night("night-a")))
    assert [opened.night.id for opened in page.nights.values()] == ["night-a", "night-b"]
    assert page.open_night.night.id == "night-a"
    assert page.session.night_id == "night-a"


def test_another_night_has_another_conversation_and_no_chosen_scorer() -> None:
    page = PageSession()
    page.add(OpenNight(night("night-a")))
    first = page.current
    page.history.append({"role": "user", "content": "hello"})
    page.session.scoring = "model"
    page.add(OpenNight(night("night-b")))
    assert page.history == []
    assert page.session.scoring is None
    page.turn_to(first)
    assert page.history == [{"role": "user", "content": "hello"}]


def test_a_cleared_conversation_begins_anew_for_the_orchestrator_too() -> None:
    page = PageSession()
    page.add(OpenNight(night("night-a")))
    page.history.append({"role": "user", "content": "hello"})
    before = page.thread
    page.clear()
    assert page.history == []
    assert page.thread != before


def test_an_uploaded_file_is_moved_under_a_plain_name_and_removed_with_the_session(
    tmp_path: Path,
) -> None:
    uploaded = tmp_path / "abc" / "Jane Doe.EDF"
    uploaded.parent.mkdir()
    uploaded.write_bytes(b"0")
    page = PageSession()
    kept = page.keep(str(uploaded), tmp_path, "recording")
    assert kept.name == "recording.edf"
    assert "Jane" not in str(kept)
    assert not uploaded.exists()
    page.close()
    assert not kept.exists()


@pytest.mark.parametrize("path", ["/etc/hostname", "../outside.edf", "missing.edf"])
def test_a_path_that_was_not_uploaded_is_refused(tmp_path: Path, path: str) -> None:
    received = tmp_path / "received"
    received.mkdir()
    (tmp_path / "outside.edf").write_bytes(b"0")
    with pytest.raises(RecordingError, match="not received by this page"):
        PageSession().keep(str(received / path), received, "recording")
    assert (tmp_path / "outside.edf").exists()


def test_the_session_unused_for_longest_is_closed_when_there_are_too_many() -> None:
    sessions = Sessions(limit=2)
    first, second = sessions.start(), sessions.start()
    assert sessions.get(first.key) is first
    third = sessions.start()
    assert sessions.get(second.key) is None
    assert sessions.get(first.key) is first
    assert sessions.get(third.key) is third


def test_idle_sessions_are_closed() -> None:
    sessions = Sessions(idle_limit_s=-1.0)
    page = sessions.start()
    assert sessions.get(page.key) is None
