"""Caption fields → sentences, in one of three styles.

``fixed`` has one order and one decimal, which a small decoder learns best; ``released`` is the form
of the authors' captions; ``varied`` is our own, with more ways to put things, more fields and three
levels, so that the contrastive text tower meets the ways in which captions and people put things.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sleeplm.captions import SYSTEMS, CaptionFields
from sleeplm.errors import CaptionError
from train.captions.fixed import NOTHING_RELIABLE, NOTHING_SCORED, fixed_caption
from train.captions.released import RELEASED_FIELDS, released_caption
from train.captions.varied import LEVELS, order, stage_sentences, varied_level

__all__ = ["LEVELS", "STYLES", "joint_text", "render"]

STYLES = ("fixed", "released", "varied")


def render(
    fields: CaptionFields,
    system: str,
    *,
    style: str = "fixed",
    rng: np.random.Generator | None = None,
    levels: Sequence[str] | None = None,
) -> str:
    """The caption of one system.

    Parameters
    ----------
    fields : CaptionFields
        Of any or all systems; only what belongs to ``system`` is stated.
    system : str
        One of :data:`sleeplm.captions.SYSTEMS`.
    style : str
        One of :data:`STYLES`.
    rng : numpy Generator
        Decides the wording of every style but the fixed one; needed for them.
    levels : sequence of str, optional
        Of the varied style: any of :data:`LEVELS`. By default what the released caption of the
        system holds: measurements, or stage and events.

    Returns
    -------
    str
        Never empty.

    Raises
    ------
    CaptionError
        Unknown system, style or level; levels of another style; a style that lacks its generator.
    """
    if system not in SYSTEMS:
        raise CaptionError(f"system {system!r} is not known; use one of {', '.join(SYSTEMS)}")
    if style not in STYLES:
        raise CaptionError(f"style {style!r} is not known; use one of {', '.join(STYLES)}")
    if levels is not None and style != "varied":
        raise CaptionError(f"the {style} style has no levels; use style 'varied'")
    for level in levels or ():
        if level not in LEVELS:
            raise CaptionError(f"level {level!r} is not known; use one of {', '.join(LEVELS)}")
    if style == "fixed":
        return fixed_caption(fields, system)
    if rng is None:
        raise CaptionError(f"the {style} style needs rng, a numpy Generator that seeds the wording")
    if style == "released":
        return released_caption(fields, system, rng)
    if levels is None:
        return _as_released(fields, system, rng)
    sentences = [
        sentence
        for level in order(levels)
        for sentence in varied_level(fields, system, level, rng, RELEASED_FIELDS)
    ]
    measured = "channel" in levels and system != "stage_event"
    return " ".join(sentences) or (NOTHING_RELIABLE if measured else NOTHING_SCORED)


def _as_released(fields: CaptionFields, system: str, rng: np.random.Generator) -> str:
    """The varied caption of a system with the contents of the release's."""
    if system != "stage_event":
        sentences = varied_level(fields, system, "channel", rng, RELEASED_FIELDS)
        return " ".join(sentences) or NOTHING_RELIABLE
    stage = stage_sentences(fields, system, rng)
    return " ".join([*stage, *varied_level(fields, system, "local", rng, RELEASED_FIELDS)])


def joint_text(
    fields: CaptionFields,
    rng: np.random.Generator | None = None,
    style: str = "varied",
    systems: Sequence[str] = ("stage_event", "brain"),
    levels: Sequence[str] | None = None,
) -> str:
    """Captions of several systems in one text, as the text tower is trained with them."""
    return " ".join(
        render(fields, system, style=style, rng=rng, levels=levels) for system in systems
    )
