"""The page: a night on the left, the talk about it on the right, everything on this machine.

Gradio carries the talk and the events; night and traces are drawn by the scripts in ``assets/``
from what :mod:`ui.views` makes. The page is bound to the loopback address, and asks no other host
for anything.
"""

from __future__ import annotations

import contextlib
import html
import logging
import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from sleeplm.errors import ScoringCancelled, SleepLMError
from sleeplm.night import SCORING_CHOICES
from sleeplm.scoring import UNSCORED, Scorer, Scoring
from ui.render import cited_spans, error_messages, turn_messages
from ui.sessions import OpenNight, PageSession, Sessions
from ui.theme import page_css, page_theme
from ui.views import night_view, trace_window

if TYPE_CHECKING:
    from agent import Orchestrator
    from sleeplm.night import Night
    from sleeplm.reader import SleepLM
    from tools.store import CaseStore

__all__ = ["EXAMPLES", "FirstNights", "build_app", "launch"]

_log = logging.getLogger(__name__)
_ASSETS = Path(__file__).parent / "assets"
POLL_S = 0.15
MAX_UPLOAD = "8gb"
EXAMPLES = (
    "How many obstructive apneas were there, and in which stage?",
    "Summarize the night.",
    "What is the heart doing in REM sleep?",
)
_LOST = "This page's session has ended on the server. Reload the page to begin again."
_DEFECT = (
    "Something went wrong inside SleepLM ({name}); this is a defect, not your input. "
    "The page goes on: ask again, or ask something else."
)

Tell = Callable[[str, float], None]


class FirstNights:
    """The nights that every new session begins with, opened once, in the background.

    Parameters
    ----------
    opener : callable
        Takes a progress function and returns the nights.
    """

    def __init__(self, opener: Callable[[Tell], Sequence[Night]]) -> None:
        self._work = _Work(opener)

    def wait(self) -> Iterator[tuple[str, float]]:
        """What is being done, until the nights are open.

        Raises
        ------
        SleepLMError
            A night could not be opened.
        """
        yield from self._work.progress()

    @property
    def nights(self) -> Sequence[Night]:
        return self._work.result


class _Work:
    """One piece of work in a thread, with its progress in words."""

    def __init__(self, work: Callable[[Tell], Any]) -> None:
        self._state: tuple[str, float] = ("", 0.0)
        self._error: BaseException | None = None
        self.result: Any = None
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[Tell], Any]) -> None:
        try:
            self.result = work(self._tell)
        except BaseException as error:
            self._error = error

    def _tell(self, words: str, share: float = 0.0) -> None:
        self._state = (words, share)

    def progress(
        self, first: Callable[[], tuple[str, float] | None] = lambda: None
    ) -> Iterator[tuple[str, float]]:
        """What is being done, each time it changes; what ``first`` tells goes before."""
        told = None
        while self._thread.is_alive():
            state = first() or self._state
            if state != told and state[0]:
                told = state
                yield told
            self._thread.join(POLL_S)
        if self._error is not None:
            raise self._error


class _Page:
    """The event handlers of one server's page."""

    def __init__(
        self,
        first: FirstNights,
        orchestrator: Orchestrator,
        model: SleepLM | None,
        store: CaseStore | None,
    ) -> None:
        self.first = first
        self.orchestrator = orchestrator
        self.model = model
        self.store = store
        self.sessions = Sessions()
        self.received_in = Path()
        self._asking = threading.Lock()

    # ── what the header shows ────────────────────────────────────────────────────────────────
    def header_state(
        self,
        page: PageSession | None,
        words: str = "",
        share: float = 0.0,
        error: str | None = None,
    ) -> dict[str, Any]:
        """The header's value, plain data for ``assets/header.js``."""
        state: dict[str, Any] = {
            "nights": [],
            "words": words,
            "share": share,
            "error": error,
            "cancellable": False,
            "outside": self.orchestrator.description if self.orchestrator.is_outside else "",
            "at": time.monotonic(),
        }
        if page is None or not page.nights:
            return state
        night = page.open_night.night
        hours = night.duration_s / 3600
        length = f"{hours:.1f} h" if hours >= 1 else f"{night.duration_s / 60:.0f} min"
        state |= {
            "nights": [
                {"token": token, "label": opened.night.id} for token, opened in page.nights.items()
            ],
            "current": page.current,
            "span": f"{night.clock(0)} – {night.clock(night.duration_s)} · {length} · "
            f"{night.n_epochs} epochs",
            "scorers": list(night.scorings),
            "scorer": _witness(page),
            "cancellable": night.scores_aside and night.scoring_step is not None,
        }
        return state

    # ── events ───────────────────────────────────────────────────────────────────────────────
    def load(self, key: str) -> Iterator[tuple[Any, ...]]:
        """A page is opened or reloaded: (key, header, views, chat)."""
        page = self.sessions.get(key)
        if page is None:
            page = self.sessions.start()
            page.session.store = self.store
        if not page.nights:
            yield page.key, self.header_state(None, "opening the night"), {}, []
            try:
                for words, share in self.first.wait():
                    yield page.key, self.header_state(None, words, share), {}, []
                for night in reversed(self.first.nights):
                    night.scores_aside = True
                    page.add(OpenNight(night))
            except SleepLMError as error:
                yield page.key, self.header_state(page, error=str(error)), {}, []
                return
        for header, views, chat in self._turned_to(page):
            yield page.key, header, views, chat

    def opened(self, recording: str, scoring: str | None, key: str) -> Iterator[tuple[Any, ...]]:
        """Uploaded files are opened as a night: (header, views, chat)."""
        page = self.sessions.get(key)
        if page is None:
            yield self.header_state(None, error=_LOST), _unchanged(), _unchanged()
            return
        try:
            work = _Work(lambda tell: self._open(page, recording, scoring, tell))
            for words, share in work.progress():
                yield self.header_state(page, words, share), _unchanged(), _unchanged()
            page.add(OpenNight(work.result, own=True))
        except SleepLMError as error:
            yield self.header_state(page, error=str(error)), _unchanged(), _unchanged()
            return
        except Exception as error:
            yield self.header_state(page, error=_defect(error)), _unchanged(), _unchanged()
            return
        yield from self._turned_to(page)

    def _open(self, page: PageSession, recording: str, scoring: str | None, tell: Tell) -> Night:
        from sleeplm.night import Night

        signals = page.keep(recording, self.received_in, "recording")
        stages = page.keep(scoring, self.received_in, "scoring") if scoring else None
        tell("reading the recording", 0.0)
        night = Night.open(signals, scoring=stages, model=self.model, progress=tell)
        night.scores_aside = True
        return night

    def night_chosen(self, token: str, key: str) -> Iterator[tuple[Any, ...]]:
        """Another open night is turned to: (header, views, chat)."""
        page = self.sessions.get(key)
        if page is None:
            yield self.header_state(None, error=_LOST), _unchanged(), _unchanged()
            return
        try:
            page.turn_to(token)
        except SleepLMError as error:
            yield self.header_state(page, error=str(error)), _unchanged(), _unchanged()
            return
        yield from self._turned_to(page)

    def scorer_chosen(self, scorer: str, key: str) -> Iterator[tuple[Any, ...]]:
        """Another witness is used from now on: (header, views)."""
        page = self.sessions.get(key)
        if page is None:
            yield self.header_state(None, error=_LOST), _unchanged()
            return
        before = page.session.scoring
        page.session.scoring = scorer
        if scorer == "automatic":
            page.open_night.night.permit_scoring()
        try:
            yield from self._drawn(page, strict=True)
        except SleepLMError as error:
            page.session.scoring = before
            yield self.header_state(page, error=str(error)), _unchanged()

    def cancel(self, key: str) -> dict[str, Any]:
        """The automatic scoring of the current night is stopped: header."""
        page = self.sessions.get(key)
        if page is None:
            return self.header_state(None, error=_LOST)
        page.open_night.night.cancel_scoring()
        return self.header_state(page, "stopping the automatic scoring")

    def ask(self, question: str, key: str) -> Iterator[tuple[Any, ...]]:
        """A question: (question box, chat, what is cited)."""
        question = question.strip()
        page = self.sessions.get(key)
        if page is None:
            lost = [{"role": "assistant", "content": _LOST}]
            yield "", lost, _unchanged()
            return
        if not question:
            yield "", _unchanged(), _unchanged()
            return
        history = page.history
        events: list[Any] = []
        before = list(history)
        yield "", [*before, *turn_messages(question, events)], _unchanged()
        spans: list[dict[str, float]] = []
        try:
            drawn_at = 0.0
            waiting = told = ""
            night = page.open_night.night if page.nights else None
            for event in _arriving(
                lambda: self.orchestrator.stream(question, page.session, thread=page.thread)
            ):
                if event is not None:
                    events.append(event)
                step = night.scoring_step if night is not None else None
                waiting = f"{step[0]} · {step[1]:.0%}" if step is not None else ""
                if event is None and waiting == told:
                    continue
                # Tokens come faster than a page can draw them.
                if event is None or time.monotonic() - drawn_at > 0.05:
                    drawn_at, told = time.monotonic(), waiting
                    yield "", [*before, *turn_messages(question, events, waiting)], _unchanged()
            turn = turn_messages(question, events)
            answer = getattr(events[-1], "answer", None) if events else None
            spans = cited_spans(answer) if answer is not None else []
        except SleepLMError as error:
            turn = error_messages(question, events, str(error))
        except Exception as error:
            turn = error_messages(question, events, _defect(error))
        history.extend(turn)
        cites = {"spans": spans, "at": time.monotonic()} if spans else _unchanged()
        yield "", list(history), cites

    def clear(self, key: str) -> None:
        """The conversation about the current night is put away."""
        page = self.sessions.get(key)
        if page is not None:
            page.clear()

    # ── what the views show ──────────────────────────────────────────────────────────────────
    def _turned_to(self, page: PageSession) -> Iterator[tuple[Any, Any, Any]]:
        """The current night and, once, its conversation: an answer may be under way later."""
        chat: Any = list(page.history)
        for header, views in self._drawn(page):
            yield header, views, chat
            chat = _unchanged()

    def _drawn(self, page: PageSession, strict: bool = False) -> Iterator[tuple[Any, Any]]:
        """The current night for the page: at once what is known, then what has to be read.

        ``strict`` passes on that the chosen witness cannot be had, instead of drawing without it.
        """
        opened = page.open_night
        night = opened.night
        choice = page.session.scoring
        quick = _witness(page) == "expert"
        if quick:
            yield (
                self.header_state(page, "measuring the signals"),
                night_view(night, night.scoring_from(choice), token=opened.token),
            )
        elif not strict:
            blank = Scoring(
                (UNSCORED,) * night.n_epochs, scorer=Scorer("automatic"), has_events=False
            )
            yield (
                self.header_state(page, "reading the night"),
                night_view(night, blank, token=opened.token) | {"scorer": ""},
            )
        error = None
        try:
            work = _Work(lambda tell: self._read(night, choice, tell))
            for words, share in work.progress(lambda: night.scoring_step):
                if page.current != opened.token:
                    return
                yield self.header_state(page, words, share), _unchanged()
            scoring, events_by, heart_rate = work.result
            view = night_view(
                night,
                scoring,
                token=opened.token,
                heart_rate_bpm=heart_rate,
                events_by=events_by,
            )
        except ScoringCancelled as failed:
            # The user's own wish: what is drawn stays, and no witness is in use.
            error, view = str(failed), _unchanged()
        except SleepLMError as failed:
            if strict:
                raise
            error, view = str(failed), _unchanged()
        except Exception as failed:
            error, view = _defect(failed), _unchanged()
        if page.current == opened.token and page.session.scoring == choice:
            yield self.header_state(page, error=error), view
        threading.Thread(target=_warm, args=(night,), daemon=True).start()

    def _read(
        self, night: Night, choice: str | None, tell: Tell
    ) -> tuple[Scoring, Scoring | None, Any]:
        """Scoring, whose events where it has none, and heart rate from the ECG.

        The measurements are made here, so that the first answer does not wait for them.
        """
        night.progress = tell
        tell("measuring the signals", 0.0)
        if night.scores_aside:
            # The other process scores while this one measures.
            threading.Thread(target=_begin_scoring, args=(night, choice), daemon=True).start()
        heart_rate = night.measurements().values.get("ecg_rate_bpm")
        scoring = night.scoring_from(choice)
        events_by = None
        if not scoring.has_events and scoring.scorer.kind != "model":
            # Answers about events then rest on the model's reading, and so does the picture.
            events_by = night.scoring_from(
                "automatic" if "automatic" in night.scorings else "model"
            )
        return scoring, events_by, heart_rate

    def traces(
        self, token: str, start_s: float, duration_s: float, width_px: int
    ) -> dict[str, Any]:
        """A window of traces for the page; an error is a sentence under ``error``."""
        try:
            opened = self.sessions.night(str(token))
            return trace_window(
                opened.night.recording,
                float(start_s),
                float(duration_s),
                int(width_px),
                opened.scales,
            )
        except (SleepLMError, ValueError, TypeError) as error:
            return {"error": str(error)}


def build_app(
    first: FirstNights,
    orchestrator: Orchestrator,
    *,
    model: SleepLM | None = None,
    store: CaseStore | None = None,
) -> gr.Blocks:
    """The page as Gradio blocks; :func:`launch` opens it.

    Parameters
    ----------
    first : FirstNights
        The nights that a new session begins with.
    orchestrator : agent.Orchestrator
        Who answers.
    model : SleepLM or None
        What reads uploaded nights; None is the embedded model.
    store : tools.store.CaseStore, optional
        Cases that ``find_similar`` may search across nights.
    """
    page = _Page(first, orchestrator, model, store)

    def traces(request: list[Any]) -> dict[str, Any]:
        return page.traces(*request)

    with gr.Blocks(title="SleepLM", fill_width=True, fill_height=True) as app:
        key = gr.Textbox(visible=False)
        with gr.Column(elem_id="page"):
            header = gr.HTML(
                page.header_state(None, "opening the night"),
                html_template=_asset("header.html"),
                js_on_load=_asset("header.js"),
                apply_default_css=False,
                elem_id="header",
            )
            with gr.Row(elem_id="body"):
                with gr.Column(elem_id="left"):
                    views = gr.HTML(
                        {},
                        html_template=_asset("views.html"),
                        js_on_load="\n".join(
                            _asset(name)
                            for name in ("shared.js", "night.js", "trace.js", "mount.js")
                        ),
                        apply_default_css=False,
                        elem_id="views",
                        server_functions=[traces],
                    )
                with gr.Column(elem_id="right"):
                    chat = gr.Chatbot(
                        [],
                        elem_id="chat",
                        show_label=False,
                        label="Conversation",
                        buttons=[],
                        layout="panel",
                        height="100%",
                        placeholder="**Ask about this night.**  \nEvery number names its source.",
                        examples=[{"text": example} for example in EXAMPLES],
                        feedback_options=None,
                    )
                    question = gr.Textbox(
                        elem_id="question",
                        show_label=False,
                        label="question",
                        placeholder="Ask about this night…   ( / )",
                        submit_btn=True,
                        max_lines=4,
                        autofocus=False,
                    )
            cites = gr.HTML(
                {},
                html_template="<i></i>",
                js_on_load="watch('value', () => window.sleeplm?.cite(props.value?.spans));",
                elem_id="cites",
            )
            gr.HTML(
                html_template='<p class="s-footer"><b>Research use only, not a medical device.</b>'
                f"<span>answers by: {_plain(orchestrator.description)}</span>"
                f"<span>·</span><span>model: {_plain(_model_name(model))}</span>"
                "<span>·</span><span>nothing leaves this machine</span></p>"
                if not orchestrator.is_outside
                else '<p class="s-footer"><b>Research use only, not a medical device.</b>'
                f"<span>answers by: {_plain(orchestrator.description)}</span>"
                f"<span>·</span><span>model: {_plain(_model_name(model))}</span></p>",
                js_on_load=None,
                apply_default_css=False,
                elem_id="footer",
            )

        def on_opened(key: str, event: gr.EventData) -> Iterator[tuple[Any, ...]]:
            yield from page.opened(event.recording, event.scoring, key)

        def on_night(key: str, event: gr.EventData) -> Iterator[tuple[Any, ...]]:
            yield from page.night_chosen(event.token, key)

        def on_scorer(key: str, event: gr.EventData) -> Iterator[tuple[Any, ...]]:
            yield from page.scorer_chosen(event.scorer, key)

        def on_cancel(key: str) -> dict[str, Any]:
            return page.cancel(key)

        def on_example(key: str, event: gr.SelectData) -> Iterator[tuple[Any, ...]]:
            text = event.value["text"] if isinstance(event.value, dict) else event.value
            yield from page.ask(str(text), key)

        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        app.load(
            page.load,
            key,
            [key, header, views, chat],
            js="() => [sessionStorage.getItem('sleeplm') ?? '']",
            **quiet,
        )
        key.change(None, key, None, js="(key) => sessionStorage.setItem('sleeplm', key)", **quiet)
        header.opened(on_opened, key, [header, views, chat], **quiet)
        header.night(on_night, key, [header, views, chat], **quiet)
        header.scorer(on_scorer, key, [header, views], **quiet)
        header.cancel(on_cancel, key, header, **quiet)
        asked = [question, chat, cites]
        question.submit(page.ask, [question, key], asked, **quiet)
        chat.example_select(on_example, key, asked, **quiet)
        chat.option_select(on_example, key, asked, **quiet)
        chat.clear(page.clear, key, None, **quiet)

    from gradio.utils import get_upload_folder

    page.received_in = Path(get_upload_folder())
    app.queue(default_concurrency_limit=8)
    return app


def launch(
    app: gr.Blocks, *, port: int | None = None, open_browser: bool = True
) -> tuple[str, Callable[[], None]]:
    """Serve the page on 127.0.0.1: its address, and a function that waits until it is stopped.

    Raises
    ------
    OSError
        The port is taken.
    """
    _, address, _ = app.launch(
        server_name="127.0.0.1",
        server_port=port,
        share=False,
        inbrowser=open_browser,
        quiet=True,
        theme=page_theme(),
        css=page_css(),
        ssr_mode=False,
        max_file_size=MAX_UPLOAD,
        enable_monitoring=False,
        footer_links=[],
        prevent_thread_lock=True,
    )
    return str(address), app.block_thread


def _witness(page: PageSession) -> str:
    """Whose stages and events are shown; "" where the only one in question was cancelled."""
    night = page.open_night.night
    chosen = page.session.scoring or night.choice
    # A look-up in the mapping would have the model read the night.
    at_hand = list(night.scorings)
    if chosen not in at_hand:
        chosen = next(kind for kind in SCORING_CHOICES if kind in at_hand)
    return "" if chosen == "automatic" and night.scoring_cancelled else chosen


def _begin_scoring(night: Night, choice: str | None) -> None:
    """Have the witness speak; whether it can is told to those who ask for it."""
    if (choice or night.choice or next(iter(night.scorings))) == "automatic":
        with contextlib.suppress(SleepLMError):
            night.scoring_from("automatic")


def _arriving(begin: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """The events of a stream as they come, and None whenever none came for a moment."""
    arrived: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
    end = object()

    def follow() -> None:
        try:
            for event in begin():
                arrived.put((event, None))
            arrived.put((end, None))
        except BaseException as error:
            arrived.put((end, error))

    threading.Thread(target=follow, daemon=True).start()
    while True:
        try:
            event, error = arrived.get(timeout=POLL_S)
        except queue.Empty:
            yield None
            continue
        if error is not None:
            raise error
        if event is end:
            return
        yield event


def _warm(night: Night) -> None:
    """Load the model while nobody waits, so that the first description does not."""
    # Importing torch is the slow part, and holds nothing that an answer needs.
    import sleeplm.reader  # noqa: F401

    with contextlib.suppress(SleepLMError):
        _ = night.model, night.signals


def _model_name(model: SleepLM | None) -> str:
    return "embedded" if model is None else model.model_id


def _plain(text: str) -> str:
    """Text for an HTML template of Gradio, which would run ``${…}`` and ``{{…}}``."""
    return html.escape(text).replace("$", "&#36;").replace("{", "&#123;").replace("`", "&#96;")


def _defect(error: Exception) -> str:
    """A sentence for a failure that is ours; the log keeps the trace without any of the data."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown place"
    _log.error("%s at %s", type(error).__name__, where)
    return _DEFECT.format(name=f"{type(error).__name__} at {where}")


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _unchanged() -> Any:
    return gr.skip()
