"""The tools over the Model Context Protocol, for any client that speaks it.

The server holds one session (the nights that were opened for it); a client sees the tools and their
results, no path and no header. Over HTTP it listens on this machine only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from mcp.types import CallToolResult
    from starlette.applications import Starlette

    from tools.session import Session

__all__ = ["HTTP_PATH", "call", "http_app", "mcp_server", "serve_http", "serve_stdio"]

HTTP_PATH = "/mcp"
LOOPBACK = "127.0.0.1"
INSTRUCTIONS = (
    "Tools over one night of polysomnography that the user has opened. Every result names its "
    "source (expert, automatic, model, measured) and unit; copy numbers, do not compute them. "
    "Research use only, not a medical device: no diagnosis, no treatment advice."
)


def mcp_server(session: Session) -> Server[Any, Any]:
    """A server whose tools answer about the session's night."""
    from mcp.server.lowlevel import Server
    from mcp.types import Tool

    from agent.prompts import night_line
    from sleeplm import __version__
    from tools import TOOLS

    server: Server[Any, Any] = Server(
        "sleeplm", version=__version__, instructions=f"{INSTRUCTIONS} {night_line(session)}"
    )
    # A night is read by one call at a time, as in a conversation.
    turn = asyncio.Lock()

    @server.list_tools()
    async def list_tools() -> list[Tool]:
        return [
            Tool(
                name=tool.name,
                description=tool.description,
                inputSchema=tool.args_schema.model_json_schema(),  # type: ignore[union-attr]
            )
            for tool in TOOLS
        ]

    # Arguments are validated by the tools, whose refusals say what is allowed.
    @server.call_tool(validate_input=False)
    async def call_tool(name: str, arguments: dict[str, Any]) -> CallToolResult:
        async with turn:
            return await asyncio.to_thread(call, session, name, arguments)

    return server


def call(session: Session, name: str, arguments: dict[str, Any]) -> CallToolResult:
    """Run a tool and word its result for a client: text, and the typed artifact as JSON."""
    from mcp.types import CallToolResult, TextContent

    from tools import TOOLS

    tool = next((tool for tool in TOOLS if tool.name == name), None)
    if tool is None:
        text = f"Try again: no tool {name[:40]!r}; use one of {', '.join(t.name for t in TOOLS)}"
        return CallToolResult(content=[TextContent(type="text", text=text)], isError=True)
    given = {key: value for key, value in arguments.items() if key != "runtime"}
    try:
        message = tool.run(
            {**given, "runtime": SimpleNamespace(context=session)}, tool_call_id="mcp"
        )
    except Exception as error:
        # A foreign error's text may hold a path; its type is enough for a client.
        text = f"Cannot be done, tell the user why: {name} stopped ({type(error).__name__})"
        return CallToolResult(content=[TextContent(type="text", text=text)], isError=True)
    # `detail` is the reason for the user's own screen and may name a file.
    artifact = json.loads(message.artifact.model_dump_json(exclude={"detail"}))
    return CallToolResult(
        content=[TextContent(type="text", text=str(message.content))],
        structuredContent=artifact,
        isError=message.status == "error",
    )


def serve_stdio(session: Session) -> None:
    """Serve one client over standard input and output until it hangs up."""
    from mcp.server.stdio import stdio_server

    async def serve() -> None:
        server = mcp_server(session)
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    asyncio.run(serve())


def http_app(session: Session, port: int) -> Starlette:
    """The streamable-HTTP application; requests that name another host are refused."""
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp.server.transport_security import TransportSecuritySettings
    from starlette.applications import Starlette
    from starlette.routing import Mount

    names = [f"{host}:{port}" for host in (LOOPBACK, "localhost")]
    manager = StreamableHTTPSessionManager(
        app=mcp_server(session),
        security_settings=TransportSecuritySettings(
            enable_dns_rebinding_protection=True,
            allowed_hosts=names,
            allowed_origins=[f"http://{name}" for name in names],
        ),
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with manager.run():
            yield

    return Starlette(routes=[Mount(HTTP_PATH, app=manager.handle_request)], lifespan=lifespan)


def serve_http(session: Session, port: int) -> None:
    """Serve clients of this machine over streamable HTTP until interrupted."""
    import uvicorn

    uvicorn.run(http_app(session, port), host=LOOPBACK, port=port, log_level="warning")
