"""Captions of simulated and real epochs: typed truth, and the sentences that state it."""

from sleeplm.prompts import EVENT_PHRASES
from train.captions.context import epoch_contexts
from train.captions.fields import all_epoch_fields, epoch_fields
from train.captions.nights import night_fields, render_night, short_night
from train.captions.released import RELEASED_FIELDS
from train.captions.short import short_form
from train.captions.wording import LEVELS, STYLES, joint_text, render

__all__ = [
    "EVENT_PHRASES",
    "LEVELS",
    "RELEASED_FIELDS",
    "STYLES",
    "all_epoch_fields",
    "epoch_contexts",
    "epoch_fields",
    "joint_text",
    "night_fields",
    "render",
    "render_night",
    "short_form",
    "short_night",
]
