"""The page's handlers without a browser: what they hand to the page, in good times and bad."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from agent.answer import Answer, Finished, Token
from sleeplm import Night
from sleeplm.errors import LanguageModelError, RecordingError
from tools.artifacts import Evidence
from ui.app import FirstNights, _Page, build_app


class Voice:
    """An orchestrator of which the test says what it answers."""

    def __init__(self, *events: Any, outside: bool = False) -> None:
        self.events = events
        self.is_outside = outside
        self.description = "openai:gpt — questions leave this machine" if outside else "planner"
        self.asked: list[tuple[str, str]] = []

    def stream(self, question: str, session: Any, thread: str) -> Iterator[Any]:
        self.asked.append((question, thread))
        for event in self.events:
            if isinstance(event, Exception):
                raise event
            yield event


@pytest.fixture(scope="module")
def night(short_night: Path) -> Night:
    return Night.open(short_night, cache=False)


def page_of(voice: Voice, *nights: Night) -> _Page:
    return _Page(FirstNights(lambda tell: nights), voice, None, None)  # type: ignore[arg-type]


def loaded(page: _Page) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Key, header and views when the page has come to rest."""
    steps = list(page.load(""))
    drawn = [views for _, _, views, _ in steps if "stages" in views]
    return steps[-1][0], steps[-1][1], drawn[-1] if drawn else {}


def test_a_new_page_draws_the_night_and_comes_to_rest(night: Night) -> None:
    key, header, views = loaded(page_of(Voice(), night))
    assert key
    assert header["nights"][0]["label"] == night.id
    assert header["scorer"] == "expert"
    assert header["words"] == ""
    assert header["error"] is None
    assert header["outside"] == ""
    assert views["n_epochs"] == 60
    assert views["scorer"] == "expert"


def test_a_reload_finds_its_session_and_a_stranger_gets_a_new_one(night: Night) -> None:
    page = page_of(Voice(Finished(Answer(answer="Yes."))), night)
    key, header, _ = loaded(page)
    list(page.ask("Really?", key))
    again = list(page.load(key))
    assert again[0][0] == key
    assert [message["content"] for message in again[0][3]] == ["Really?", "Yes."]
    stranger = list(page.load("a key of another server"))[-1]
    assert stranger[0] != key
    assert stranger[1]["current"] != header["current"]


def test_first_nights_that_cannot_be_opened_say_why() -> None:
    def opener(tell: Any) -> list[Night]:
        raise RecordingError("demo.edf: no such file; check the name")

    page = _Page(FirstNights(opener), Voice(), None, None)  # type: ignore[arg-type]
    _, header, _ = loaded(page)
    assert header["error"] == "demo.edf: no such file; check the name"


def test_an_answer_streams_and_shades_what_it_cites(night: Night) -> None:
    item = Evidence(
        kind="event", source="expert", text="x", clock="22:10:00", onset_s=90.0, end_s=120.0
    )
    answer = Answer(answer="One, at [epoch 4, 22:10:00].", evidence=[item])
    page = page_of(Voice(Token("One"), Finished(answer)), night)
    key, *_ = loaded(page)
    steps = list(page.ask("How many?", key))
    assert steps[0][1] == [{"role": "user", "content": "How many?"}]
    box, chat, cites = steps[-1]
    assert box == ""
    assert "(#epoch-4)" in chat[-1]["content"]
    assert cites["spans"] == [{"start_s": 90.0, "end_s": 120.0}]


def test_a_typed_error_is_a_sentence_in_the_chat_and_the_next_question_is_answered(
    night: Night,
) -> None:
    voice = Voice(LanguageModelError("ollama does not answer; start it"))
    page = page_of(voice, night)
    key, *_ = loaded(page)
    chat = list(page.ask("How many?", key))[-1][1]
    assert chat[-1]["content"] == "⚠ ollama does not answer; start it"
    voice.events = (Finished(Answer(answer="Three.")),)
    chat = list(page.ask("And now?", key))[-1][1]
    assert [message["content"] for message in chat][-2:] == ["And now?", "Three."]


def test_a_defect_is_owned_and_shows_neither_trace_nor_values(night: Night) -> None:
    page = page_of(Voice(ValueError("secret value 42")), night)
    key, *_ = loaded(page)
    text = list(page.ask("How many?", key))[-1][1][-1]["content"]
    assert "this is a defect, not your input" in text
    assert "ValueError" in text
    assert "secret" not in text


def test_an_outside_language_model_is_named_in_the_header(night: Night) -> None:
    _, header, _ = loaded(page_of(Voice(outside=True), night))
    assert header["outside"] == "openai:gpt — questions leave this machine"


def test_a_session_that_has_ended_is_told_to_reload(night: Night) -> None:
    page = page_of(Voice(), night)
    assert "Reload the page" in list(page.ask("Hello?", "gone"))[-1][1][0]["content"]
    assert "Reload the page" in list(page.opened("x", None, "gone"))[-1][0]["error"]


def test_an_upload_from_elsewhere_on_the_disk_is_refused(night: Night, tmp_path: Path) -> None:
    page = page_of(Voice(), night)
    page.received_in = tmp_path / "received"
    page.received_in.mkdir()
    secret = tmp_path / "secret.edf"
    secret.write_bytes(b"0")
    key, before, _ = loaded(page)
    header = list(page.opened(str(secret), None, key))[-1][0]
    assert "not received by this page" in header["error"]
    assert header["current"] == before["current"]
    assert secret.exists()


def test_an_uploaded_night_is_opened_beside_the_first(
    night: Night, short_night: Path, tmp_path: Path
) -> None:
    page = page_of(Voice(), night)
    page.received_in = tmp_path
    uploaded = tmp_path / "recording.edf"
    # One sample of the signals differs, so it is another night.
    changed = bytearray(short_night.read_bytes())
    changed[-2:] = b"\x01\x00"
    uploaded.write_bytes(changed)
    scoring = tmp_path / "scoring.xml"
    scoring.write_bytes(short_night.with_name("night-nsrr.xml").read_bytes())
    key, *_ = loaded(page)
    header, *_ = list(page.opened(str(uploaded), str(scoring), key))[-1]
    assert header["error"] is None
    assert len(header["nights"]) == 2
    assert header["scorer"] == "expert"
    first = header["nights"][0]["token"]
    header, *_ = list(page.night_chosen(first, key))[-1]
    assert header["current"] == first
    assert "not open any more" in list(page.night_chosen("x", key))[-1][0]["error"]


def test_a_witness_that_cannot_be_had_leaves_the_one_in_use(night: Night) -> None:
    page = page_of(Voice(), night)
    key, *_ = loaded(page)
    header, views = list(page.scorer_chosen("nobody", key))[-1]
    assert "no nobody scoring" in header["error"]
    assert header["scorer"] == "expert"
    assert "stages" not in views


def test_traces_of_an_unknown_token_are_an_error_and_not_a_night(night: Night) -> None:
    page = page_of(Voice(), night)
    _, header, _ = loaded(page)
    assert page.traces(header["current"], 0.0, 30.0, 800)["channels"]
    assert "not open any more" in page.traces("night-1", 0.0, 30.0, 800)["error"]
    assert "error" in page.traces(header["current"], "x", 30.0, 800)  # type: ignore[arg-type]


def test_the_page_is_built_without_anything_from_another_host(night: Night) -> None:
    from ui.theme import page_css, page_theme

    app = build_app(FirstNights(lambda tell: [night]), Voice())  # type: ignore[arg-type]
    assert isinstance(app, gr.Blocks)
    assert "http" not in page_css()
    assert page_theme()._stylesheets == []
