"""Which text an epoch is matched with in contrastive training: joined captions, short ones, …"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sleeplm.caption_context import EpochContext
from sleeplm.captions import SYSTEMS, CaptionFields
from sleeplm.physiology import FIELDS
from sleeplm.prompts import STAGE_PROMPTS
from train.captions.released import RELEASED_FIELDS
from train.captions.short import short_form
from train.captions.wording import LEVELS, joint_text, render

__all__ = ["CHANNELS_OF", "TextMix", "contrastive_text", "left_to_see"]

#: Field → the channels without which it cannot be known.
CHANNELS_OF: dict[str, frozenset[str]] = {
    name: frozenset((entry.channel,)) for name, entry in FIELDS.items()
}
for _name in ("eog_rem_count", "eog_rem_burst_count"):
    CHANNELS_OF[_name] = frozenset(("EOG_L", "EOG_R"))
for _name in ("thx_abd_phase_deg", "thx_abd_phase_max_deg"):
    CHANNELS_OF[_name] = frozenset(("THX", "ABD"))


@dataclass(frozen=True)
class TextMix:
    """Shares of the kinds of text, and what the captions among them hold.

    Parameters
    ----------
    joint : float
        Stage and events together with one other system's caption.
    stage_event : float
        Stage and events alone.
    prompts : float
        A bare prompt of the stage, as zero-shot reading asks; an epoch without a stage gets a short
        text. The rest are short texts and questions.
    released : float
        Share of the captions in the released form; the others are varied.
    own_fields : bool
        Whether varied captions state the measurements that the release does not.
    context : float
        Share of the joint texts with all three levels, the epoch's place in its night among them,
        which no model can see in the epoch alone: little of it teaches words, much of it is noise.
    """

    joint: float = 0.5
    stage_event: float = 0.2
    prompts: float = 0.15
    released: float = 0.0
    own_fields: bool = False
    context: float = 0.0

    def __post_init__(self) -> None:
        shares = (self.joint, self.stage_event, self.prompts, self.released, self.context)
        if min(shares) < 0 or max(shares) > 1 or sum(shares[:3]) > 1 + 1e-9:
            raise TypeError("texts: shares lie in 0–1, those of the kinds add to 1 at most")


def contrastive_text(fields: CaptionFields, rng: np.random.Generator, mix: TextMix) -> str:
    """A text that is true of the epoch, of one of the kinds of ``mix``."""
    stated = fields
    if not mix.own_fields:
        values = {name: value for name, value in fields.values.items() if name in RELEASED_FIELDS}
        stated = replace(fields, values=values, quality={})
    draw = rng.random()
    style = "released" if mix.released and rng.random() < mix.released else "varied"
    if draw < mix.joint:
        systems = ("stage_event", SYSTEMS[rng.integers(4)])
        if style == "varied" and mix.context and rng.random() < mix.context:
            return joint_text(stated, rng, systems=systems, levels=LEVELS)
        return joint_text(stated, rng, style, systems)
    if draw < mix.joint + mix.stage_event:
        return render(stated, "stage_event", style=style, rng=rng)
    if draw < mix.joint + mix.stage_event + mix.prompts and fields.stage in STAGE_PROMPTS:
        return str(rng.choice(STAGE_PROMPTS[fields.stage]))
    return short_form(fields, rng)


def left_to_see(fields: CaptionFields, dropped: set[str], hidden: set[str]) -> CaptionFields:
    """The fields that are still true to say when channels were dropped.

    Parameters
    ----------
    fields : CaptionFields
    dropped : set of str
        Channels that are not seen.
    hidden : set of str
        Event kinds that cannot be known without them.
    """
    events = [event for event in fields.events if event.kind not in hidden]
    return replace(
        fields,
        position=None if "POS" in dropped else fields.position,
        events=events,
        no_event=not events,
        values={
            name: value for name, value in fields.values.items() if not CHANNELS_OF[name] & dropped
        },
        trends={
            name: parts for name, parts in fields.trends.items() if name.upper() not in dropped
        },
        missing=sorted({*fields.missing, *dropped}),
        quality={
            channel: faults for channel, faults in fields.quality.items() if channel not in dropped
        },
        context=_context_left(fields.context, dropped) if dropped else fields.context,
    )


def _context_left(context: EpochContext, dropped: set[str]) -> EpochContext:
    kept = replace(context, near=dict(context.near), event_count=None, event_cover_s=None)
    if "POS" in dropped:
        kept.position_min = kept.previous_position = None
    if "SPO2" in dropped:
        kept.desaturation_depth_pct = None
        kept.near.pop("desaturation", None)
    if dropped & {"HR", "ECG"}:
        kept.hr_vs_night_bpm = None
    if dropped >= {"AF", "THX", "ABD"}:
        kept.breathing_kind = None
        kept.near.pop("breathing", None)
    if dropped >= {"EEG_C3_A2", "EEG_C4_A1"}:
        kept.near.pop("arousal", None)
    return kept
