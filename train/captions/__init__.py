"""Captions of simulated and real epochs: typed truth, and the sentences that state it."""

from sleeplm.prompts import EVENT_PHRASES
from train.captions.fields import epoch_fields
from train.captions.short import short_form
from train.captions.wording import joint_text, render

__all__ = ["EVENT_PHRASES", "epoch_fields", "joint_text", "render", "short_form"]
