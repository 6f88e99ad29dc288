"""A GGUF file as the language model, run in this process: ``--llm gguf:FILE``.

xllamacpp (optional extra ``local``) brings llama.cpp's own server, which is bound to the loopback
address, on a free port, behind a key made up for this run: no other program and no web page can
use it.
"""

from __future__ import annotations

import json
import os
import secrets
import urllib.request
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sleeplm.errors import LanguageModelError

__all__ = ["LocalModel", "start_local_model"]

LOOPBACK = "127.0.0.1"
#: Room for the rules, a few tool results and the answer.
CONTEXT_TOKENS = 8192
ANSWER_TOKENS = 200
_SILENT = -1


@dataclass(frozen=True)
class LocalModel:
    """A running server.

    Parameters
    ----------
    name : str
        File name without its folder.
    url : str
        OpenAI-compatible address on the loopback interface.
    key : str
        Sent with each request; made up for this run.
    calls_tools : bool
        Whether the model's chat template knows tools.
    server : object
        Keeps the server alive.
    """

    name: str
    url: str
    key: str
    calls_tools: bool
    server: Any


@cache
def start_local_model(path: Path) -> LocalModel:
    """Load a GGUF file and serve it to this process; once per file.

    Parameters
    ----------
    path : Path

    Raises
    ------
    LanguageModelError
        No such file, no GGUF file, or the extra ``local`` is not installed.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise LanguageModelError(
            f"{path.name}: no GGUF file can be read there; check the path after gguf:"
        ) from error
    if magic != b"GGUF":
        raise LanguageModelError(
            f"{path.name}: not a GGUF file; give a language model in llama.cpp's format"
        )
    try:
        import xllamacpp
    except ImportError as error:
        raise LanguageModelError(
            "a GGUF file needs the extra local: pip install 'sleeplm[local]' first"
        ) from error
    key = secrets.token_urlsafe(24)
    settings = xllamacpp.CommonParams()
    settings.model.path = str(path)
    settings.n_ctx = CONTEXT_TOKENS
    settings.n_parallel = 1
    settings.hostnames = [LOOPBACK]
    settings.port = 0
    settings.api_keys = [key]
    settings.verbosity = _SILENT
    settings.cpuparams.n_threads = max((os.cpu_count() or 2) // 2, 1)
    try:
        server = xllamacpp.Server(settings)
    except Exception as error:
        raise LanguageModelError(
            f"{path.name}: llama.cpp cannot load it ({type(error).__name__}); is it whole, and is "
            "there memory enough?"
        ) from error
    address = str(server.listening_address)
    return LocalModel(path.name, f"{address}/v1", key, _calls_tools(address, key), server)


def _calls_tools(address: str, key: str) -> bool:
    request = urllib.request.Request(f"{address}/props", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        template = json.load(reply).get("chat_template") or ""
    return "tools" in template
