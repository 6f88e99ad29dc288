"""``--show-prompts``: every message that is sent to a language model, as it is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage

__all__ = ["ShownPrompts"]


class ShownPrompts(BaseCallbackHandler):
    """Writes each request to a language model out: its messages and the tools that it offers.

    Parameters
    ----------
    write : callable
        Takes one text for each request.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self.write = write
        self.count = 0

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], **options: Any
    ) -> None:
        """Called by LangChain right before a request is made."""
        from agent.planner import OfflinePlanner

        if str((serialized or {}).get("name")) == OfflinePlanner.__name__:
            return  # answers in this process; nothing is sent
        self.count += 1
        parameters = options.get("invocation_params") or {}
        tools = [tool.get("function", tool).get("name") for tool in parameters.get("tools") or ()]
        lines = [f"── request {self.count} ──"]
        if tools:
            lines.append(f"tools offered: {', '.join(map(str, tools))}")
        for message in (one for batch in messages for one in batch):
            lines.append(f"[{message.type}] {message.text}")
            if isinstance(message, AIMessage):
                lines += [f"  call {c['name']} {json.dumps(c['args'])}" for c in message.tool_calls]
        self.write("\n".join(lines))
