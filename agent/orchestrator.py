"""The orchestrator: a chat model, the tools and the guards, wired into one conversation."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.answer import Answer, Finished, StreamEvent
from agent.models import choose_model, language_model_error
from sleeplm.errors import QueryError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.tools import BaseTool

    from tools.session import Session

__all__ = ["Orchestrator"]

# LangChain would send every run to its makers' tracing service where these are set.
for _variable in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING", "LANGSMITH_TRACING_V2",
                  "LANGCHAIN_TRACING_V2"):  # fmt: skip
    os.environ[_variable] = "false"

QUESTION_LIMIT = 4000


class Orchestrator:
    """Answers questions about the open night of a session.

    Parameters
    ----------
    llm : str, BaseChatModel or None
        None: the offline planner. ``"provider:model"``: a language model through LangChain.
    base_url : str or None
        Address of an OpenAI-compatible or named provider's server.
    tools : sequence of BaseTool or None
        None: the tools of :mod:`tools`.
    memory : path or None
        A SQLite file that keeps conversations over a restart, readable by its owner only. None:
        they end with the program.
    show_prompts : callable or None
        Called with the text of each request that is sent to a language model.
    typed_choice : bool
        The language model cannot call tools: it is asked for a choice by JSON schema instead.

    Raises
    ------
    LanguageModelError
        The language model is not known, or its key is missing.
    """

    def __init__(
        self,
        llm: str | BaseChatModel | None = None,
        base_url: str | None = None,
        *,
        tools: Sequence[BaseTool] | None = None,
        memory: str | Path | None = None,
        typed_choice: bool = False,
        show_prompts: Callable[[str], None] | None = None,
    ) -> None:
        self.model = choose_model(llm, base_url, typed_choice=typed_choice)
        self._tools = tools
        self._show_prompts = show_prompts
        self._memory = None if memory is None else Path(memory)
        self._lock = threading.Lock()
        self._wired: Any = None

    @property
    def is_outside(self) -> bool:
        """Whether questions and tool results leave this machine."""
        return self.model.is_outside

    @property
    def description(self) -> str:
        """Who answers, in one line for the page."""
        return self.model.description

    def warm_up(self) -> None:
        """Load what the first question needs (a second or two), so that it is answered at once."""
        self._agent()

    def ask(self, question: str, session: Session, thread: str = "default") -> Answer:
        """The answer to one question; a thread remembers what was asked about a night before.

        Raises
        ------
        SleepLMError
            An empty question, no open night, or a language model that cannot answer.
        """
        answer = None
        for event in self.stream(question, session, thread):
            if isinstance(event, Finished):
                answer = event.answer
        assert answer is not None
        return answer

    def stream(
        self, question: str, session: Session, thread: str = "default"
    ) -> Iterator[StreamEvent]:
        """Tool steps, pieces of checked text, and at last the :class:`Finished` answer."""
        from langchain.agents.middleware.model_call_limit import ModelCallLimitExceededError
        from langchain_core.messages import HumanMessage

        from agent.run import Run

        question = question.strip()
        if not question:
            raise QueryError("the question is empty; ask something like: What is the AHI?")
        if len(question) > QUESTION_LIMIT:
            raise QueryError(f"the question is longer than {QUESTION_LIMIT} characters; shorten it")
        # Each night has its own conversation, so no number of another night can answer for it.
        config: dict[str, Any] = {
            "configurable": {"thread_id": f"{thread}/{session.night.id}"},
            # One tool at a time, so runs repeat exactly; LangGraph's stream holds the other thread.
            "max_concurrency": 2,
            "recursion_limit": 100,
        }
        if self._show_prompts is not None:
            from agent.shown_prompts import ShownPrompts

            config["callbacks"] = [ShownPrompts(self._show_prompts)]
        agent = self._agent()
        run = Run(agent, config, session, streams_early=self.model.is_offline)
        try:
            yield from run.events(HumanMessage(question))
        except ModelCallLimitExceededError:
            yield Finished(run.out_of_budget())
        except Exception as error:
            known = language_model_error(error, self.model)
            if known is None:
                raise
            raise known from None
        finally:
            run.close()

    def _agent(self) -> Any:
        with self._lock:
            if self._wired is None:
                from langchain.agents import create_agent

                from agent.grounding import GroundingMiddleware
                from agent.guards import guards, short_memory
                from agent.prompts import system_prompt
                from tools import TOOLS
                from tools.session import Session

                self._wired = create_agent(
                    self.model.chat,
                    tools=list(TOOLS if self._tools is None else self._tools),
                    middleware=[
                        *guards(),
                        *([] if self.model.is_offline else [short_memory()]),
                        GroundingMiddleware(repairs=not self.model.is_offline),
                        system_prompt,
                    ],
                    context_schema=Session,
                    checkpointer=self._checkpointer(),
                )
            return self._wired

    def _checkpointer(self) -> Any:
        if self._memory is None:
            from langgraph.checkpoint.memory import InMemorySaver

            return InMemorySaver()
        import sqlite3

        from langgraph.checkpoint.sqlite import SqliteSaver

        try:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            # Made private before anything is written: answers are about a patient's night.
            self._memory.touch(mode=0o600)
            saver = SqliteSaver(sqlite3.connect(self._memory, check_same_thread=False))
            saver.setup()
        except (OSError, sqlite3.Error) as error:
            raise QueryError(
                f"{self._memory.name}: conversations cannot be kept there "
                f"({type(error).__name__}); name another file"
            ) from error
        return saver
