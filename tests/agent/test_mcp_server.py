"""The tools over MCP, called by the official client: over stdio and over streamable HTTP."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client
from mcp.shared.memory import create_connected_server_and_client_session

from agent.mcp_server import http_app, mcp_server
from sleeplm.night import Night
from tools.session import Session

TOOL_NAMES = [
    "describe_system",
    "locate_events",
    "find_similar",
    "summarize_night",
    "compare_nights",
    "explain_term",
]


def test_a_client_lists_the_tools_and_gets_text_and_the_typed_result(
    session: Session, simulated: Any
) -> None:
    apneas = simulated.scoring.events_of("obstructive_apnea")

    async def talk() -> None:
        async with create_connected_server_and_client_session(mcp_server(session)) as client:
            listed = await client.list_tools()
            assert [tool.name for tool in listed.tools] == TOOL_NAMES
            assert "query" in listed.tools[1].inputSchema["properties"]
            found = await client.call_tool("locate_events", {"query": "obstructive apnea"})
            assert not found.isError
            assert found.content[0].text.startswith(f"{len(apneas)} obstructive apnea")
            assert found.structuredContent["total"] == len(apneas)

    asyncio.run(talk())


def test_a_refusal_says_what_is_allowed_and_holds_no_path(scored_night: Night) -> None:
    night = Night.from_recording(
        scored_night.recording, scored_night.scorings["expert"], model="/nowhere/Jane_Doe"
    )

    async def talk() -> None:
        async with create_connected_server_and_client_session(
            mcp_server(Session.of(night))
        ) as client:
            wrong = await client.call_tool("locate_events", {"query": "apnea", "limit": 0})
            assert wrong.isError
            assert wrong.content[0].text.startswith("Try again:")
            failed = await client.call_tool("find_similar", {"epoch": 3})
            assert failed.isError
            assert failed.content[0].text.startswith("Cannot be done")
            assert "Jane_Doe" not in failed.model_dump_json()
            unknown = await client.call_tool("delete_night", {})
            assert unknown.isError
            assert "use one of describe_system" in unknown.content[0].text

    asyncio.run(talk())


@pytest.fixture
def http_port(session: Session) -> Iterator[int]:
    import uvicorn

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = uvicorn.Server(
        uvicorn.Config(http_app(session, port), host="127.0.0.1", port=port, log_level="error")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    yield port
    server.should_exit = True
    thread.join(timeout=10)


def test_streamable_http_answers_this_machine_and_refuses_other_host_names(http_port: int) -> None:
    import httpx

    url = f"http://127.0.0.1:{http_port}/mcp/"

    async def talk() -> str:
        async with (
            streamablehttp_client(url) as (read, write, _),
            ClientSession(read, write) as client,
        ):
            await client.initialize()
            found = await client.call_tool("explain_term", {"term": "AHI"})
            return str(found.content[0].text)

    assert asyncio.run(talk()).startswith("AHI: Apneas and hypopneas per hour of sleep.")
    foreign = httpx.post(url, headers={"Host": "attacker.example"}, json={})
    assert foreign.status_code in (403, 421)


def test_the_command_serves_a_file_over_stdio(simulated: Any, tmp_path: Path) -> None:
    from train.simulate import write_night

    path = tmp_path / "n.edf"
    write_night(simulated, path)
    command = StdioServerParameters(
        command=sys.executable, args=["-c", "from ui.cli import main; main()", "mcp", str(path)]
    )

    async def talk() -> dict[str, Any]:
        async with stdio_client(command) as (read, write), ClientSession(read, write) as client:
            await client.initialize()
            found = await client.call_tool("summarize_night", {"sections": ["sleep"]})
            return dict(found.structuredContent)

    found = asyncio.run(talk())
    assert found["summary"]["scorer"]["kind"] == "expert"
    assert str(tmp_path) not in str(found)
