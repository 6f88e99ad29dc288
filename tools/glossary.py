"""``explain_term``: what a term of sleep medicine means, from a small glossary with sources."""

from __future__ import annotations

import difflib
import json
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from tools.arguments import ExplainArguments
from tools.artifacts import Definition, Evidence
from tools.calling import sleep_tool
from tools.failures import TryAgain

if TYPE_CHECKING:
    from tools.session import Session

__all__ = ["Entry", "entries", "explain", "explain_term", "find_entry"]

SUGGESTIONS = 5


class Entry(tuple[str, tuple[str, ...], str, str]):
    """A term, its other names, its definition, and the source of the definition."""

    __slots__ = ()

    @property
    def term(self) -> str:
        return self[0]

    @property
    def aliases(self) -> tuple[str, ...]:
        return self[1]

    @property
    def definition(self) -> str:
        return self[2]

    @property
    def source(self) -> str:
        return self[3]


@cache
def entries() -> tuple[Entry, ...]:
    """All entries of the glossary."""
    data = json.loads(files("tools").joinpath("glossary.json").read_text(encoding="utf-8"))
    sources = data["sources"]
    return tuple(
        Entry((one["term"], tuple(one["aliases"]), one["definition"], sources[one["source"]]))
        for one in data["terms"]
    )


@cache
def _by_name() -> dict[str, Entry]:
    named: dict[str, Entry] = {}
    for entry in entries():
        for name in (entry.term, *entry.aliases):
            named.setdefault(_plain(name), entry)
    return named


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9%]+", " ", text.lower()).strip()


def find_entry(text: str) -> Entry | None:
    """The entry that a word or phrase names (with an article, plural or abbreviation), or None."""
    plain = re.sub(r"^(?:an?|the) ", "", _plain(text))
    named = _by_name()
    return named.get(plain) or named.get(plain.removesuffix("s")) or named.get(f"{plain}s")


def explain(session: Session, arguments: ExplainArguments) -> Definition:
    """Define a term.

    Raises
    ------
    TryAgain
        The glossary does not hold it; the nearest terms are named.
    """
    entry = find_entry(arguments.term)
    if entry is None:
        near = difflib.get_close_matches(_plain(arguments.term), list(_by_name()), SUGGESTIONS, 0.6)
        close = list(dict.fromkeys(_by_name()[name].term for name in near))
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise TryAgain(f"the glossary does not hold this term{hint}")
    text = f"{entry.term}: {entry.definition} [glossary, after {entry.source}]"
    evidence = Evidence(kind="definition", source="glossary", text=text, field=entry.term)
    return Definition(
        source="glossary",
        night=session.night_id,
        text=text,
        evidence=[evidence],
        term=entry.term,
        definition=entry.definition,
        reference=entry.source,
    )


explain_term = sleep_tool(
    "explain_term",
    ExplainArguments,
    explain,
    "What a term of sleep medicine or of this program means (AHI, hypopnea, rule 1A, WASO, RMSSD, "
    "Cheyne-Stokes ...), from a curated glossary with sources. Use it for every 'what is' or "
    "'what does ... mean' that is not about this night.",
)
