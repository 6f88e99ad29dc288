"""Who has spoken of a night: the scorings at hand, and what each of them says of a part of it.

Nothing here makes a scoring: a witness that has not spoken yet is not asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from sleeplm.errors import SleepLMError
from sleeplm.night import SCORING_CHOICES
from sleeplm.scoring import EPOCH_S, EVENT_KINDS, RESPIRATORY_KINDS, SLEEP_STAGES, STAGES, UNSCORED
from tools.artifacts import ScoredView, StageShare

if TYPE_CHECKING:
    from sleeplm.scoring import Event, Scoring
    from tools.session import Session

__all__ = [
    "KINDS_OF_SYSTEM",
    "counts_text",
    "scored_view",
    "scorings_at_hand",
    "share_text",
    "shares",
    "stage_differences",
]

#: Which scored events belong to the description of a system.
KINDS_OF_SYSTEM: dict[str, tuple[str, ...]] = {
    "brain": ("arousal",),
    "cardiac": ("bradycardia", "tachycardia"),
    "respiratory": (*RESPIRATORY_KINDS, "rera", "desaturation", "snore", "cheyne_stokes"),
    "somatic": ("limb_movement", "plm"),
    "stage_event": EVENT_KINDS,
}
#: Pairs of witnesses that disagree about fewer epochs than this are not worth a sentence.
LEAST_DIFFERENT_EPOCHS = 1


def scorings_at_hand(session: Session) -> dict[str, Scoring]:
    """The scorings of the session's night that exist already, the preferred one first."""
    night = session.night
    chosen = session.scoring or night.choice
    order = [chosen] if chosen else []
    order += [kind for kind in SCORING_CHOICES if kind != chosen]
    found = {}
    for kind in order:
        if not night.at_hand(kind):
            continue
        try:
            found[kind] = night.scorings[kind]
        except SleepLMError:
            # A damaged cache entry is no witness; who asks for it by name is told why.
            continue
    return found


def shares(counts: Mapping[str, int]) -> list[StageShare]:
    """Epoch counts by name as minutes and percent."""
    total = sum(counts.values())
    return [
        StageShare(name=name, minutes=count * EPOCH_S / 60, percent=round(100.0 * count / total, 1))
        for name, count in counts.items()
    ]


def share_text(parts: Iterable[StageShare]) -> str:
    """ "N2 40.0 min (80.0 %), R 10.0 min (20.0 %)"."""
    return ", ".join(
        f"{share.name} {share.minutes:.1f} min ({share.percent:.1f} %)" for share in parts
    )


def scored_view(
    source: str,
    scoring: Scoring,
    epochs: Sequence[int],
    kinds: Sequence[str],
    events: Iterable[Event],
) -> ScoredView:
    """What a witness scored in some epochs.

    Parameters
    ----------
    source : str
        Whose the events are: expert, automatic or model.
    scoring : Scoring
        Stages and events.
    epochs : sequence of int
        Epoch indices in scope.
    kinds : sequence of str
        Kinds of event that matter here.
    events : iterable of Event
        The witness's events that begin in scope.
    """
    stages = Counter(scoring.stage_at(epoch * EPOCH_S) for epoch in epochs)
    staged = shares({name: stages[name] for name in (*STAGES, UNSCORED) if stages[name]})
    sought = [kind for kind in kinds if scoring.looked_for(kind)]
    found = Counter(event.kind for event in events)
    counts = {kind: found[kind] for kind in sought}
    asleep = sum(stages[stage] for stage in SLEEP_STAGES)
    view = ScoredView(
        source=source,
        stages=staged,
        counts=counts,
        not_looked_for=[kind for kind in kinds if kind not in sought],
        sleep_hours=round(asleep * EPOCH_S / 3600, 3),
        text="",
    )
    view.text = f"stages {share_text(staged)}; {counts_text(view)}"
    return view


def counts_text(view: ScoredView) -> str:
    """The counts of a view in words: what there is, and what was looked for in vain."""
    from tools.facts import counted, kind_words

    present = [counted(count, kind) for kind, count in view.counts.items() if count]
    absent = [kind_words(kind, 2) for kind, count in view.counts.items() if not count]
    if present:
        return ", ".join(present)
    if len(absent) > 4:
        return "no event"
    if absent:
        return f"no {' or '.join(absent)}"
    return "it did not look for such events"


def stage_differences(scorings: Mapping[str, Scoring], epochs: Sequence[int]) -> list[str]:
    """For each pair of witnesses that both staged: of how many epochs they differ, in words."""
    names = list(scorings)
    sentences = []
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            pairs = [
                (
                    scorings[one].stage_at(epoch * EPOCH_S),
                    scorings[other].stage_at(epoch * EPOCH_S),
                )
                for epoch in epochs
            ]
            both = [pair for pair in pairs if UNSCORED not in pair]
            different = sum(mine != theirs for mine, theirs in both)
            if different >= LEAST_DIFFERENT_EPOCHS:
                sentences.append(
                    f"[{one}] and [{other}] stage {different} of {len(both)} epochs differently"
                )
    return sentences
