"""The path of a language model, against a loopback server that speaks the OpenAI wire format."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from langchain_core.tools import tool

from agent import Finished, Orchestrator, Token, ToolFinished, ToolStarted
from agent.guards import MODEL_CALL_BUDGET
from sleeplm.errors import LanguageModelError, SleepLMError
from sleeplm.night import Night
from tools.session import Session

Reply = dict[str, Any]
Script = Callable[[dict[str, Any]], Reply]


def text_reply(text: str) -> Reply:
    return {"content": text}


def call_reply(*calls: tuple[str, str]) -> Reply:
    """A reply that asks for tools: (name, arguments as JSON text)."""
    return {
        "content": None,
        "tool_calls": [
            {
                "id": f"id-{name}-{i}",
                "type": "function",
                "function": {"name": name, "arguments": args},
            }
            for i, (name, args) in enumerate(calls)
        ],
    }


class WireServer:
    """Answers /chat/completions by a script, streaming where the client asks for it."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.script: Script = lambda body: text_reply("Nothing.")
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(body)
                outer.headers.append({k.lower(): v for k, v in self.headers.items()})
                if outer.status != 200:
                    self._send(outer.status, b'{"error": {"message": "key sk-secret is wrong"}}')
                    return
                reply = outer.script(body)
                if body.get("stream"):
                    self._send(200, _as_events(reply), "text/event-stream")
                else:
                    self._send(200, json.dumps(_as_completion(reply)).encode())

            def _send(self, status: int, data: bytes, kind: str = "application/json") -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1"


def _as_completion(reply: Reply) -> dict[str, Any]:
    reason = "tool_calls" if reply.get("tool_calls") else "stop"
    message = {"role": "assistant", **reply}
    return {
        "id": "c1", "object": "chat.completion", "created": 1, "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }  # fmt: skip


def _as_events(reply: Reply) -> bytes:
    """Server-sent events: the text in pieces of seven characters, each call in two."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    text = reply.get("content") or ""
    deltas += [{"content": text[i : i + 7]} for i in range(0, len(text), 7)]
    for index, call in enumerate(reply.get("tool_calls", [])):
        function = call["function"]
        half = len(function["arguments"]) // 2
        begun = {"name": function["name"], "arguments": function["arguments"][:half]}
        ended = {"arguments": function["arguments"][half:]}
        deltas.append({"tool_calls": [{**call, "index": index, "function": begun}]})
        deltas.append({"tool_calls": [{"index": index, "function": ended}]})
    reason = "tool_calls" if reply.get("tool_calls") else "stop"
    chunks = [{"delta": delta, "finish_reason": None} for delta in deltas]
    chunks.append({"delta": {}, "finish_reason": reason})
    lines = [
        "data: " + json.dumps({"id": "c1", "object": "chat.completion.chunk", "created": 1,
                               "model": "scripted", "choices": [{"index": 0, **chunk}]})
        for chunk in chunks
    ]  # fmt: skip
    return ("\n\n".join([*lines, "data: [DONE]"]) + "\n\n").encode()


@pytest.fixture
def server() -> Iterator[WireServer]:
    wire = WireServer()
    yield wire
    wire.server.shutdown()
    wire.server.server_close()


@pytest.fixture
def orchestrator(server: WireServer, monkeypatch: pytest.MonkeyPatch) -> Orchestrator:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-the-users-own-key")
    return Orchestrator("openai:scripted", server.url)


def tool_results(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [message for message in body["messages"] if message["role"] == "tool"]


def after_tool(name: str, arguments: str, answer: str) -> Script:
    """First the tool, then the answer."""
    return lambda body: text_reply(answer) if tool_results(body) else call_reply((name, arguments))


def count_of(session: Session, kind: str) -> int:
    return len(session.scored().events_of(kind))


LOCATE = '{"query": "obstructive apnea"}'


def test_a_server_on_this_machine_is_not_outside_and_a_provider_is(
    orchestrator: Orchestrator,
) -> None:
    assert not orchestrator.is_outside
    assert "on this machine" in orchestrator.description
    outside = Orchestrator("openai:gpt-4o")
    assert outside.is_outside
    assert "leave this machine" in outside.description
    assert not Orchestrator().is_outside


def test_an_answer_made_of_tool_numbers_passes_and_streams(
    orchestrator: Orchestrator, server: WireServer, session: Session
) -> None:
    count = count_of(session, "obstructive_apnea")
    text = f"There were {count} obstructive apneas [expert]. That is what the scoring holds."
    server.script = after_tool("locate_events", LOCATE, text)
    events = list(orchestrator.stream("How many obstructive apneas?", session))
    started = next(e for e in events if isinstance(e, ToolStarted))
    finished = next(e for e in events if isinstance(e, ToolFinished))
    assert (started.name, started.args) == ("locate_events", {"query": "obstructive apnea"})
    assert started.id == finished.id
    assert finished.artifact.total == count
    assert finished.error is None
    tokens = [e.text for e in events if isinstance(e, Token)]
    assert len(tokens) > 1
    assert "".join(tokens) == text
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.answer.answer == text
    assert last.answer.unverified == []
    assert last.answer.evidence


def test_a_false_number_is_sent_back_once_and_a_mended_answer_stands(
    orchestrator: Orchestrator, server: WireServer, session: Session
) -> None:
    count = count_of(session, "obstructive_apnea")

    def script(body: dict[str, Any]) -> Reply:
        if "Check your last answer" in str(body["messages"][-1]["content"]):
            return text_reply(f"There were {count} obstructive apneas [expert].")
        return after_tool("locate_events", LOCATE, "There were 977 obstructive apneas.")(body)

    server.script = script
    events = list(orchestrator.stream("How many obstructive apneas?", session))
    answer = events[-1].answer  # type: ignore[union-attr]
    assert answer.answer == f"There were {count} obstructive apneas [expert]."
    assert answer.unverified == []
    assert not any("977" in event.text for event in events if isinstance(event, Token))
    # Neither the false draft nor our request stays in the conversation.
    server.script = lambda body: text_reply("Yes.")
    orchestrator.ask("Sure?", session)
    assert "977" not in json.dumps(server.requests[-1])
    assert "Check your last answer" not in json.dumps(server.requests[-1])


def test_a_model_that_goes_on_lying_is_marked_and_listed(
    orchestrator: Orchestrator, server: WireServer, session: Session
) -> None:
    server.script = after_tool(
        "locate_events", LOCATE, "There were 977 obstructive apneas, 41.7 % of them at 03:33:33."
    )
    answer = orchestrator.ask("How many obstructive apneas?", session)
    assert answer.unverified == ["977", "41.7 %", "03:33:33"]
    assert "977 (unverified)" in answer.answer
    assert "03:33:33 (unverified)" in answer.answer
    assert len(server.requests) == 3


def test_a_number_without_any_tool_call_is_marked(
    orchestrator: Orchestrator, server: WireServer, session: Session
) -> None:
    server.script = lambda body: text_reply("The AHI is 12.5/h, which is moderate sleep apnea.")
    answer = orchestrator.ask("What is the AHI?", session)
    assert answer.unverified == ["12.5/h", "moderate"]


def test_the_request_holds_no_path_no_file_name_and_no_other_providers_key(
    orchestrator: Orchestrator, server: WireServer, session: Session
) -> None:
    night = session.night
    night.recording.path = "/secret/place/Jane_Doe.edf"  # type: ignore[assignment]
    try:
        server.script = after_tool("summarize_night", "{}", "Done.")
        orchestrator.ask("How was the night?", session)
    finally:
        night.recording.path = None
    sent = json.dumps(server.requests)
    assert "summarize_night" in sent
    for secret in ("/secret", "Jane", ".edf", "sk-the-users-own-key"):
        assert secret not in sent
    assert all("sk-the-users-own-key" not in str(headers) for headers in server.headers)
    # The runtime, and with it the night, is no argument of a tool.
    names = {
        t["function"]["name"]: t["function"]["parameters"] for t in server.requests[0]["tools"]
    }
    assert set(names) == {
        "describe_system",
        "locate_events",
        "find_similar",
        "summarize_night",
        "compare_nights",
        "explain_term",
    }
    assert all("runtime" not in schema.get("properties", {}) for schema in names.values())


def test_arguments_that_are_not_json_are_sent_back_and_mended(
    orchestrator: Orchestrator, server: WireServer, session: Session
) -> None:
    count = count_of(session, "obstructive_apnea")

    def script(body: dict[str, Any]) -> Reply:
        results = tool_results(body)
        if not results:
            return call_reply(("locate_events", "query=obstructive"))
        if len(results) == 1:
            assert "not valid JSON" in results[0]["content"]
            return call_reply(("locate_events", LOCATE))
        return text_reply(f"There were {count}.")

    server.script = script
    answer = orchestrator.ask("How many?", session)
    assert answer.answer == f"There were {count}."
    assert answer.unverified == []


def test_arguments_that_do_not_fit_the_schema_come_back_as_an_error_step(
    orchestrator: Orchestrator, server: WireServer, session: Session
) -> None:
    server.script = after_tool("describe_system", '{"system": "liver"}', "I cannot say.")
    events = list(orchestrator.stream("What does the liver do?", session))
    step = next(event for event in events if isinstance(event, ToolFinished))
    assert step.error is not None
    assert "system" in step.error
    assert events[-1].answer.answer == "I cannot say."  # type: ignore[union-attr]


def test_an_endless_tool_loop_ends_with_the_budget_and_the_thread_lives_on(
    orchestrator: Orchestrator, server: WireServer, session: Session
) -> None:
    server.script = lambda body: call_reply(("locate_events", LOCATE))
    answer = orchestrator.ask("How many?", session)
    assert "budget" in answer.answer
    assert len(server.requests) == MODEL_CALL_BUDGET
    assert answer.tool_calls
    server.script = lambda body: text_reply("Hello.")
    assert orchestrator.ask("Hello?", session).answer == "Hello."
    assert not tool_results(server.requests[-1])


def test_an_empty_reply_is_said_to_be_none(
    orchestrator: Orchestrator, server: WireServer, session: Session
) -> None:
    server.script = lambda body: text_reply("")
    assert "gave no answer" in orchestrator.ask("How many?", session).answer


@pytest.mark.parametrize(
    ("status", "words"), [(401, "refused the key"), (404, "does not know"), (500, "HTTP 500")]
)
def test_an_error_of_the_server_is_one_line_without_its_text(
    orchestrator: Orchestrator, server: WireServer, session: Session, status: int, words: str
) -> None:
    server.status = status
    with pytest.raises(LanguageModelError, match=words) as caught:
        orchestrator.ask("How many?", session)
    assert "\n" not in str(caught.value)
    assert "sk-" not in str(caught.value)
    server.status = 200
    server.script = lambda body: text_reply("Hello.")
    assert orchestrator.ask("Hello?", session).answer == "Hello."
    assert "How many?" not in json.dumps(server.requests[-1])


def test_a_failed_question_leaves_the_conversation_before_it_whole(
    orchestrator: Orchestrator, server: WireServer, session: Session
) -> None:
    server.script = after_tool("locate_events", LOCATE, "I have looked.")
    orchestrator.ask("Look for apneas", session)
    server.status = 500
    with pytest.raises(LanguageModelError):
        orchestrator.ask("Look again", session)
    server.status = 200
    server.script = lambda body: text_reply("Hello.")
    assert orchestrator.ask("Hello?", session).answer == "Hello."
    roles = [message["role"] for message in server.requests[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]


def test_a_server_that_is_not_there_is_one_line(session: Session) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    orchestrator = Orchestrator("openai:scripted", f"http://127.0.0.1:{port}/v1")
    with pytest.raises(SleepLMError, match="cannot be reached"):
        orchestrator.ask("How many?", session)


def test_a_missing_key_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(LanguageModelError, match="OPENAI_API_KEY"):
        Orchestrator("openai:gpt-4o")


@pytest.mark.parametrize("name", ["gpt-4o", "openai:", "nobody:model", "OpenAI:gpt"])
def test_a_name_that_is_no_provider_and_model_is_refused(name: str) -> None:
    with pytest.raises(LanguageModelError, match="provider"):
        Orchestrator(name)


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "file:///etc", "http://"])
def test_an_address_that_is_no_url_is_refused(address: str) -> None:
    with pytest.raises(LanguageModelError, match="http"):
        Orchestrator("openai:x", address)


@pytest.mark.parametrize(
    ("llm", "address", "is_outside"),
    [
        ("ollama:qwen3", None, False),
        ("ollama:gpt-oss:120b-cloud", None, True),
        ("ollama:qwen3", "http://10.0.0.5:11434", True),
        ("openai:x", "http://[::1]:8000/v1", False),
        ("openai:x", "https://localhost.example.org/v1", True),
    ],
)
def test_only_loopback_addresses_count_as_this_machine(
    llm: str, address: str | None, is_outside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OLLAMA_HOST", raising=False)
    assert Orchestrator(llm, address).is_outside is is_outside


def test_an_own_server_is_sent_only_its_own_key(
    server: WireServer, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.setenv("SLEEPLM_LLM_API_KEY", "own-key")
    server.script = lambda body: text_reply("Hello.")
    Orchestrator("openai:scripted", server.url).ask("Hello?", session)
    assert server.headers[-1]["authorization"] == "Bearer own-key"


def test_a_tool_that_breaks_shows_its_kind_of_error_and_no_path(
    server: WireServer, session: Session
) -> None:
    @tool
    def locate_events(query: str) -> str:
        """Find events."""
        raise RuntimeError(f"cannot open /secret/place/{query}.edf")

    orchestrator = Orchestrator("openai:scripted", server.url, tools=[locate_events])
    server.script = after_tool("locate_events", LOCATE, "It could not be found out.")
    events = list(orchestrator.stream("How many?", session))
    step = next(event for event in events if isinstance(event, ToolFinished))
    assert step.error is not None
    assert "RuntimeError" in step.error
    assert "/secret" not in json.dumps(server.requests)
    assert events[-1].answer.answer == "It could not be found out."  # type: ignore[union-attr]


def test_a_path_in_an_error_is_for_the_screen_and_not_for_the_model(
    orchestrator: Orchestrator, server: WireServer, scored_night: Night
) -> None:
    night = Night.from_recording(
        scored_night.recording, scored_night.scorings["expert"], model="/nowhere/Jane_Doe"
    )
    session = Session.of(night)
    server.script = after_tool("find_similar", '{"epoch": 120}', "It cannot be said.")
    events = list(orchestrator.stream("Epochs like epoch 120?", session, "screen"))
    step = next(event for event in events if isinstance(event, ToolFinished))
    assert step.error is not None
    assert "Jane_Doe" in step.error
    assert "Jane_Doe" not in json.dumps(server.requests)
    offline = Orchestrator().ask("Are there epochs like epoch 120?", session)
    assert "cannot be answered" in offline.answer
    assert "Jane_Doe" in offline.answer


def test_what_is_sent_is_shown_and_holds_no_path_name_or_header(
    server: WireServer, session: Session
) -> None:
    shown: list[str] = []
    orchestrator = Orchestrator("openai:scripted", server.url, show_prompts=shown.append)
    night = session.night
    night.recording.path = "/secret/place/Jane_Doe.edf"  # type: ignore[assignment]
    try:
        server.script = after_tool("summarize_night", "{}", "Done.")
        orchestrator.ask("How was the night?", session)
    finally:
        night.recording.path = None
    assert len(shown) == len(server.requests) == 2
    for text, request in zip(shown, server.requests, strict=True):
        # Each message that went over the wire stands in what was shown.
        for message in request["messages"]:
            if message["content"]:
                assert str(message["content"]) in text
        assert "tools offered: describe_system, locate_events" in text
    for secret in ("/secret", "Jane", ".edf", "sk-"):
        assert secret not in "".join(shown)


def test_the_offline_planner_sends_and_so_shows_nothing(session: Session) -> None:
    shown: list[str] = []
    Orchestrator(show_prompts=shown.append).ask("What is the AHI?", session)
    assert shown == []
