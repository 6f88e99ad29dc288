"""Which chat model answers: the offline planner, or a language model that the user names."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sleeplm.errors import LanguageModelError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

__all__ = ["ChosenModel", "choose_model", "language_model_error"]

KEY_VARIABLES = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "google_genai": "GOOGLE_API_KEY",
    "mistralai": "MISTRAL_API_KEY",
    "groq": "GROQ_API_KEY",
    "deepseek": "DEEPSEEK_API_KEY",
    "xai": "XAI_API_KEY",
}
# A server named by URL never gets the key of a provider: only this variable is sent to it.
OWN_SERVER_KEY_VARIABLE = "SLEEPLM_LLM_API_KEY"
# Where each library looks for a server address when none is given to it.
URL_VARIABLES = {
    "openai": ("OPENAI_API_BASE", "OPENAI_BASE_URL"),
    "anthropic": ("ANTHROPIC_API_URL", "ANTHROPIC_BASE_URL"),
    "ollama": ("OLLAMA_HOST",),
}
REQUEST_TIMEOUT_S = 120.0
#: A model on this machine's own processor may think for long.
LOCAL_TIMEOUT_S = 600.0
#: Keeps a very small model from saying one sentence again and again.
LOCAL_FREQUENCY_PENALTY = 0.4
LIBRARY_ROOTS = frozenset(
    (
        *("openai", "anthropic", "ollama", "httpx", "httpcore", "requests", "google", "groq"),
        *("grpc", "mistralai", "langchain", "langchain_core", "langchain_openai"),
        *("langchain_anthropic", "langchain_ollama"),
    )
)


@dataclass(frozen=True)
class ChosenModel:
    """A chat model and what a user must know about it.

    ``is_outside`` is True unless it is the offline planner or a server on this machine.
    """

    chat: BaseChatModel
    name: str
    is_offline: bool
    is_outside: bool

    @property
    def description(self) -> str:
        """One line for the page, such as ``offline planner``."""
        if self.is_offline:
            return "offline planner"
        if self.is_outside:
            return f"{self.name} — questions and tool results leave this machine"
        return f"{self.name} — on this machine"


def choose_model(
    llm: str | BaseChatModel | None = None,
    base_url: str | None = None,
    *,
    typed_choice: bool = False,
) -> ChosenModel:
    """Make the chat model that ``llm`` names.

    Parameters
    ----------
    llm : str, BaseChatModel or None
        None or ``"offline"``: the planner of this package. ``"provider:model"``: any provider
        of LangChain's ``init_chat_model``. ``"gguf:FILE"``: a file that is run in this process. A
        chat model of LangChain is taken as it is.
    base_url : str or None
        An OpenAI-compatible server, or the address of the named provider's server. It is sent
        the key in ``SLEEPLM_LLM_API_KEY``, where that is set, and never a provider's key.
    typed_choice : bool
        The model cannot call tools: ask it for a choice by JSON schema instead.

    Raises
    ------
    LanguageModelError
        No such provider, its package or key is missing, or the address is not an http(s) URL.
    """
    if llm is None or llm == "offline":
        if base_url is not None:
            raise LanguageModelError(
                "an LLM address needs a model name too: give --llm openai:MODEL with it"
            )
        from agent.planner import OfflinePlanner

        return ChosenModel(OfflinePlanner(), "offline planner", True, False)
    if not isinstance(llm, str):
        return _given_model(llm)
    if llm.startswith("gguf:"):
        return _local_model(llm.removeprefix("gguf:"), base_url)
    provider, name = _split(llm, has_url=base_url is not None)
    if base_url is not None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise LanguageModelError(
                f"LLM address {base_url!r} is not an http(s) URL; "
                "give one like http://127.0.0.1:8000/v1"
            )
    options = _options(provider, base_url)
    from langchain.chat_models import init_chat_model

    try:
        chat = init_chat_model(name, model_provider=provider, **options)
    except ImportError as error:
        package = f"langchain-{provider.replace('_', '-')}"
        raise LanguageModelError(f"LLM {llm!r}: pip install {package} first") from error
    except ValueError as error:
        raise LanguageModelError(
            f"LLM {llm!r}: provider {provider!r} is not known; "
            "use openai:MODEL, anthropic:MODEL or ollama:MODEL"
        ) from error
    except Exception as error:
        raise LanguageModelError(
            f"LLM {llm!r} could not be set up ({type(error).__name__}); check its name and key"
        ) from error
    address = base_url or _address_from_environment(provider)
    # Ollama passes the models that it names "…-cloud" on to its own servers.
    leaves = provider == "ollama" and name.endswith("-cloud")
    if provider == "ollama" and address is None:
        address = "http://127.0.0.1:11434"
    if typed_choice:
        from agent.typed_choice import TypedChoiceModel

        chat = TypedChoiceModel(inner=chat)
    return ChosenModel(chat, f"{provider}:{name}", False, leaves or not _is_loopback(address))


def _local_model(file: str, base_url: str | None) -> ChosenModel:
    """A GGUF file, served to this process alone."""
    from pathlib import Path

    if base_url is not None:
        raise LanguageModelError("a GGUF file runs in this process: leave the LLM address away")
    if not file:
        raise LanguageModelError("gguf: names no file; give --llm gguf:FILE")
    from agent.local import ANSWER_TOKENS, start_local_model

    local = start_local_model(Path(file).expanduser())
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    from agent.typed_choice import TypedChoiceModel

    chat: BaseChatModel = ChatOpenAI(
        model=local.name,
        base_url=local.url,
        api_key=SecretStr(local.key),
        timeout=LOCAL_TIMEOUT_S,
        max_retries=0,
        temperature=0.0,
        frequency_penalty=LOCAL_FREQUENCY_PENALTY,
        max_completion_tokens=ANSWER_TOKENS,
    )
    if not local.calls_tools:
        chat = TypedChoiceModel(inner=chat)
    return ChosenModel(chat, f"gguf:{local.name}", False, False)


def language_model_error(error: BaseException, model: ChosenModel) -> LanguageModelError | None:
    """The one line that a user sees for an error of the language model, else None.

    The server's own text is left out: it may repeat a key, or what was sent.
    """
    if type(error).__module__.split(".")[0] not in LIBRARY_ROOTS and not isinstance(
        error, ConnectionError
    ):
        return None
    status = getattr(error, "status_code", None)
    if status is None:
        status = getattr(getattr(error, "response", None), "status_code", None)
    provider = model.name.split(":")[0]
    key = f"{KEY_VARIABLES.get(provider, 'its key')} (or {OWN_SERVER_KEY_VARIABLE} for an own URL)"
    if status in (401, 403):
        what = f"the server refused the key (HTTP {status}); set {key} in the environment"
    elif status == 404:
        what = "the server does not know this model or address (HTTP 404); check both"
    elif status == 429:
        what = "the server refuses more requests for now (HTTP 429); wait, or check your quota"
    elif status is not None:
        what = f"the server answered HTTP {status}; try again, or ask without --llm"
    elif "timeout" in type(error).__name__.lower():
        what = "the server did not answer in time; try again, or ask without --llm"
    elif "connect" in type(error).__name__.lower():
        what = "the server cannot be reached; start it or check its address, or ask without --llm"
    else:
        what = f"the request failed ({type(error).__name__}); try again, or ask without --llm"
    return LanguageModelError(f"{model.name}: {what}")


def _split(llm: str, has_url: bool) -> tuple[str, str]:
    provider, colon, name = llm.partition(":")
    if not colon and has_url:
        return "openai", llm
    if not colon or not name or not re.fullmatch(r"[a-z][a-z0-9_-]*", provider):
        raise LanguageModelError(
            f"LLM {llm!r} is not of the form provider:model, such as openai:gpt-4o or ollama:qwen3"
        )
    return provider.replace("-", "_"), name


def _options(provider: str, base_url: str | None) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if provider != "ollama":
        options |= {"timeout": REQUEST_TIMEOUT_S, "max_retries": 1}
        if base_url is not None:
            options["api_key"] = os.environ.get(OWN_SERVER_KEY_VARIABLE) or "no-key"
        elif (variable := KEY_VARIABLES.get(provider)) and not os.environ.get(variable):
            raise LanguageModelError(
                f"no key for {provider}: set {variable} in the environment, "
                "or ask without --llm (the offline planner needs none)"
            )
    if base_url is not None:
        options["base_url"] = base_url
    return options


def _given_model(chat: BaseChatModel) -> ChosenModel:
    from agent.planner import OfflinePlanner

    if isinstance(chat, OfflinePlanner):
        return ChosenModel(chat, "offline planner", True, False)
    name = getattr(chat, "model_name", None) or getattr(chat, "model", None) or chat._llm_type
    addresses = (
        getattr(chat, field, None)
        for field in ("openai_api_base", "base_url", "anthropic_api_url", "endpoint")
    )
    address = next((str(value) for value in addresses if value), None)
    return ChosenModel(chat, f"{chat._llm_type}:{name}", False, not _is_loopback(address))


def _address_from_environment(provider: str) -> str | None:
    variables = URL_VARIABLES.get(provider, ())
    return next((os.environ[name] for name in variables if os.environ.get(name)), None)


def _is_loopback(address: str | None) -> bool:
    if address is None:
        return False
    host = urlsplit(address if "//" in address else f"//{address}").hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
