"""What goes with an event in time: arousals with breathing or legs, falls of SpO2 with apneas.

Two events go together when they overlap, or one begins soon after the other ended. That is no proof
of a cause, and whoever states it says so.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sleeplm.hypopneas import AROUSAL_AFTER_S, DESATURATION_WINDOW_S
from sleeplm.scoring import RESPIRATORY_KINDS, Event
from tools.arguments import LocateArguments
from tools.artifacts import FoundEvent
from tools.facts import kind_words
from tools.failures import CannotAnswer, TryAgain
from tools.vocabulary import MEASURED_ONLY, read_query
from tools.witnesses import scorings_at_hand

if TYPE_CHECKING:
    from tools.session import Session

__all__ = ["LEG_KINDS", "Company", "by_company", "company_line"]

LEG_KINDS = {"limb_movement", "plm"}
#: How long after one event another still goes with it: arousals follow what ends within seconds,
#: saturation falls with the circulation's delay.
_FOLLOWS_S = {"arousal": AROUSAL_AFTER_S, "desaturation": DESATURATION_WINDOW_S}


@dataclass(frozen=True)
class Company:
    """Which other events an event must, and must not, go with."""

    wanted: tuple[Event, ...] | None = None
    unwanted: tuple[Event, ...] | None = None
    words: str = ""
    note: str = ""

    @classmethod
    def of(cls, session: Session, arguments: LocateArguments) -> Company:
        held: dict[str, tuple[Event, ...] | None] = {"with": None, "without": None}
        words, notes = [], []
        for how, text in (("with", arguments.with_event), ("without", arguments.without_event)):
            if not text:
                continue
            kinds = read_query(text).kinds
            if not kinds or any(kind in MEASURED_ONLY for kind in kinds):
                raise TryAgain(
                    f"{how}_event must name scored events, such as 'apnea or hypopnea', 'arousal', "
                    "'desaturation' or 'leg movement'"
                )
            # A second scoring is not made for company: minutes of work for a side remark.
            session.scored()
            known = scorings_at_hand(session)
            source = next((s for s in known if any(map(known[s].looked_for, kinds))), None)
            if source is None:
                raise CannotAnswer(
                    f"{kind_words(kinds[0], 2)} were not looked for by any scoring at hand, so "
                    "events with or without them cannot be told apart"
                )
            held[how] = known[source].events_of(kinds)
            named = ", ".join(kind_words(kind, 2) for kind in kinds)
            words.append(f"{how} {named} [{source}]")
            notes.append(
                "Two events go together when they overlap, or one begins within "
                f"{AROUSAL_AFTER_S:g} s (arousal) or {DESATURATION_WINDOW_S:g} s (desaturation) "
                "after the other ended; that is no proof of a cause."
            )
        return cls(held["with"], held["without"], " and ".join(words), "".join(notes[:1]))

    def allow(self, event: FoundEvent) -> bool:
        if self.wanted is not None and not _goes_with(event, self.wanted):
            return False
        return self.unwanted is None or not _goes_with(event, self.unwanted)


def _goes_with(event: FoundEvent, others: tuple[Event, ...]) -> bool:
    """Whether an event overlaps another, or one of the two follows the other's end in time."""
    later_s = _FOLLOWS_S.get(event.kind, 0.0)
    for other in others:
        if other.kind == event.kind and other.onset_s == event.onset_s:
            continue
        if other.overlaps(event.onset_s, max(event.end_s, event.onset_s + 1e-6)):
            return True
        if 0 <= event.onset_s - other.end_s <= later_s:
            return True
        if 0 <= other.onset_s - event.end_s <= _FOLLOWS_S.get(other.kind, 0.0):
            return True
    return False


def by_company(session: Session, arousals: list[FoundEvent]) -> dict[str, int]:
    """How many arousals go with a breathing event, a leg movement, both, or neither.

    Only what some scoring at hand looked for is told apart; empty where none did.
    """
    known = scorings_at_hand(session)
    held: dict[str, tuple[Event, ...]] = {}
    for name, kinds in (
        ("breathing", (*RESPIRATORY_KINDS, "rera")),
        ("legs", tuple(sorted(LEG_KINDS))),
    ):
        source = next((s for s in known if any(map(known[s].looked_for, kinds))), None)
        if source is not None:
            held[name] = known[source].events_of(kinds)
    if not held:
        return {}
    counts: Counter[str] = Counter()
    for event in arousals:
        with_ = [name for name, events in held.items() if _goes_with(event, events)]
        counts["both" if len(with_) == 2 else with_[0] if with_ else "neither"] += 1
    names = [*held, *(["both"] if len(held) == 2 else []), "neither"]
    return {name: counts[name] for name in names}


def company_line(counts: dict[str, int]) -> str:
    words = {
        "breathing": "with a breathing event alone",
        "legs": "with a leg movement alone",
        "both": "with both",
        "neither": "with neither",
    }
    if "both" not in counts:
        words |= {"breathing": "with a breathing event", "legs": "with a leg movement"}
    told = ", ".join(f"{count} {words[name]}" for name, count in counts.items())
    lacking = {"breathing": "breathing events", "legs": "leg movements"}
    missing = [text for name, text in lacking.items() if name not in counts]
    unknown = f"; {missing[0]} were not looked for" if missing else ""
    return f"What they go with in time, no proof of a cause: {told}{unknown}."
