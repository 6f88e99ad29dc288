"""How an LLM's call reaches a tool, and how a refusal reaches the LLM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain.tools import ToolRuntime
from langchain_core.messages import ToolMessage
from langchain_core.tools import StructuredTool
from pydantic import BaseModel, ValidationError

from sleeplm.errors import (
    CaptionError,
    MontageError,
    QueryError,
    RecordingError,
    ScoringError,
    SleepLMError,
    StoreError,
    WeightsError,
)
from tools.artifacts import Artifact, Failure
from tools.failures import CannotAnswer, TryAgain
from tools.session import Session

__all__ = ["SleepTool", "sleep_tool"]

TRY_AGAIN = "Try again:"
CANNOT = "Cannot be done, tell the user why:"
#: These errors name files and folders, which no LLM may read; the screen gets the full sentence.
_WITHOUT_PATHS: dict[type[SleepLMError], str] = {
    MontageError: "the channels of this recording do not fit",
    RecordingError: "the recording cannot be read",
    ScoringError: "the scoring that was asked for is not there or cannot be used",
    StoreError: "the case store cannot be used",
    WeightsError: "the model's weights cannot be used",
}


class SleepTool(StructuredTool):
    """A tool whose refusals are ToolMessages with status ``error`` and a :class:`Failure`.

    Arguments that do not validate, and :class:`TryAgain`, tell the LLM what is allowed; every other
    error of the house tells it what to say to the user. Anything else is a defect and is raised.
    """

    def run(self, tool_input: Any, *args: Any, **options: Any) -> Any:
        try:
            return super().run(tool_input, *args, **options)
        except (ValidationError, SleepLMError) as error:
            return self._refused(error, tool_input, options.get("tool_call_id"))

    async def arun(self, tool_input: Any, *args: Any, **options: Any) -> Any:
        try:
            return await super().arun(tool_input, *args, **options)
        except (ValidationError, SleepLMError) as error:
            return self._refused(error, tool_input, options.get("tool_call_id"))

    def _parse_input(self, tool_input: Any, tool_call_id: str | None) -> dict[str, Any]:
        # The injected runtime is no argument of the LLM's, and the schema forbids what it does not
        # know, so the two are told apart before validation.
        given = dict(tool_input)
        runtime = given.pop("runtime", None)
        schema = self.args_schema
        assert isinstance(schema, type)
        assert issubclass(schema, BaseModel)
        return {"runtime": runtime, "arguments": schema.model_validate(given)}

    def _refused(
        self, error: ValidationError | SleepLMError, tool_input: Any, call_id: str | None
    ) -> Any:
        again = isinstance(error, (ValidationError, TryAgain)) or (
            isinstance(error, QueryError) and not isinstance(error, CannotAnswer)
        )
        reason = _reason(error)
        text = f"{TRY_AGAIN if again else CANNOT} {reason}"
        runtime = tool_input.get("runtime") if isinstance(tool_input, dict) else None
        context = getattr(runtime, "context", None)
        failure = Failure(
            tool=self.name,
            night=getattr(context, "night_id", ""),
            text=text,
            detail=reason if isinstance(error, ValidationError) else str(error),
            error="try_again" if again else "cannot",
        )
        if call_id is None:
            return text
        return ToolMessage(
            text, artifact=failure, tool_call_id=call_id, name=self.name, status="error"
        )


def sleep_tool(
    name: str,
    arguments: type[BaseModel],
    answer: Callable[[Session, Any], Artifact],
    description: str,
) -> SleepTool:
    """A LangChain tool from a function of (session, arguments).

    Parameters
    ----------
    name : str
        What the LLM calls.
    arguments : pydantic model class
        The LLM's arguments; the session is not among them.
    answer : callable
        Returns the artifact, whose ``text`` the LLM reads.
    description : str
        What the LLM knows of the tool.
    """

    def call(runtime: ToolRuntime[Session], arguments: BaseModel) -> tuple[str, Artifact]:
        artifact = answer(runtime.context, arguments)
        return artifact.text, artifact

    return SleepTool.from_function(  # type: ignore[return-value]
        func=call,
        name=name,
        description=description,
        args_schema=arguments,
        response_format="content_and_artifact",
    )


def _reason(error: ValidationError | SleepLMError) -> str:
    if isinstance(error, ValidationError):
        return _validation_text(error)
    if isinstance(error, (QueryError, CaptionError)):
        return str(error)
    words = next((_WITHOUT_PATHS[kind] for kind in type(error).mro() if kind in _WITHOUT_PATHS), "")
    return f"{words or 'the program reported an error'}; the reason is on the user's screen"


def _validation_text(error: ValidationError) -> str:
    """What is wrong with each argument, without echoing values."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(str(part) for part in problem["loc"]) or "arguments"
        lines.append(f"{where}: {problem['msg'].removeprefix('Value error, ')}")
    return "; ".join(lines)
