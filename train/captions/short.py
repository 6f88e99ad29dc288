"""What people type when they look for an epoch: short, partial, without numbers.

A short text is made of claims (:class:`ShortFields`), each true of the epoch, so that it exists in
fields and in words alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sleeplm.captions import CaptionFields
from sleeplm.prompts import EVENT_PHRASES
from train.captions.words import choose

__all__ = ["SIGNS", "ShortFields", "read_short", "render_short", "short_fields", "short_form"]

_STAGES = {
    "W": ("wake", "wakefulness"),
    "N1": ("N1", "N1 sleep", "drowsy light sleep"),
    "N2": ("N2", "N2 sleep", "stable light sleep", "stage N2"),
    "N3": ("N3", "deep sleep", "slow-wave sleep", "N3 sleep"),
    "R": ("REM", "REM sleep", "dream sleep", "rapid eye movement sleep"),
}
_POSITIONS = {
    "supine": ("on the back", "supine"),
    "left": ("on the left side",),
    "right": ("on the right side",),
    "prone": ("on the stomach", "prone"),
    "upright": ("sitting up", "upright"),
}
_QUIET = ("quiet {}", "undisturbed {}", "{} without events", "{}, nothing happens", "calm {}")
_WITH_STAGE = ("{} in {}", "{} during {}", "{}, {}", "{} while in {}")
_ASKED = (
    "epochs with {}",
    "show me {}",
    "where is {}",
    "an epoch with {}",
    "find {}",
    "{}",
    "{}",
    "{}",
    "{}",
)
_ASKED_OF_EVENTS = (*_ASKED, "when did {} happen", "is there {}")
_UNSCORED = "unscored epoch"
_ANY = tuple(_STAGES)
_SLEEP = ("N1", "N2", "N3", "R")


def _between(
    name: str, low: float, high: float, stages: tuple[str, ...] = _ANY
) -> Callable[[CaptionFields], bool]:
    return lambda fields: fields.stage in stages and low < fields.values.get(name, np.nan) < high


def _deep(low: float, high: float = np.inf) -> Callable[[CaptionFields], bool]:
    def true(fields: CaptionFields) -> bool:
        depth = fields.context.desaturation_depth_pct
        return depth is not None and low <= depth < high

    return true


def _cover(low_s: float, kinds: tuple[str, ...]) -> Callable[[CaptionFields], bool]:
    """Whether an event of the kinds lasts at least so long within the epoch."""
    return lambda fields: any(
        event.kind in kinds and event.end_s - event.start_s >= low_s for event in fields.events
    )


_APNEAS = ("obstructive_apnea", "central_apnea", "mixed_apnea")
#: Sign → (its rule, how people say it). A rule is wide of the ordinary. A share of delta is called
#: slow waves only in deep enough sleep, one of sigma spindles only in sleep: awake both are
#: artefact.
SIGNS: dict[str, tuple[Callable[[CaptionFields], bool], tuple[str, ...]]] = {
    "slow_waves": (
        lambda fields: (
            _between("eeg_c3_delta_pct", 75.0, np.inf, ("N2", "N3"))(fields)
            or _between("eeg_c3_slow_wave_count", 7.5, np.inf, ("N2", "N3"))(fields)
        ),
        ("slow waves", "slow-wave activity", "big slow waves"),
    ),
    "delta": (_between("eeg_c3_delta_pct", 75.0, np.inf), ("strong delta activity",)),
    "alpha_rhythm": (_between("eeg_c3_alpha_pct", 25.0, np.inf, ("W", "N1")), ("alpha rhythm",)),
    "alpha": (_between("eeg_c3_alpha_pct", 25.0, np.inf), ("strong alpha activity",)),
    "spindles": (
        lambda fields: (
            _between("eeg_c3_sigma_pct", 8.0, np.inf, ("N2", "N3"))(fields)
            or _between("eeg_c3_spindle_count", 1.5, np.inf, ("N2", "N3"))(fields)
        ),
        ("sleep spindles", "spindle activity", "spindles"),
    ),
    "beta": (
        _between("eeg_c3_beta_pct", 15.0, np.inf),
        ("fast EEG activity", "much beta activity"),
    ),
    "rolling_eyes": (
        _between("eog_l_slow_pct", 60.0, np.inf, ("W", "N1")),
        ("slow eye movements", "rolling eyes"),
    ),
    "darting_eyes": (
        _between("eog_rem_count", 4.5, np.inf, ("R",)),
        ("rapid eye movements", "phasic REM", "darting eyes"),
    ),
    "still_eyes": (_between("eog_rem_count", -0.5, 0.5, ("R",)), ("tonic REM", "eyes at rest")),
    "low_oxygen": (
        _between("spo2_min_pct", -np.inf, 88.0),
        ("low oxygen saturation", "hypoxemia", "little oxygen"),
    ),
    "deep_fall": (_deep(10.0), ("a deep desaturation", "a big drop in oxygen")),
    "slight_fall": (_deep(0.0, 4.0), ("a slight desaturation", "a small dip in oxygen")),
    "slow_heart": (_between("hr_mean_bpm", -np.inf, 50.0), ("a slow heart", "a slow pulse")),
    "fast_heart": (_between("hr_mean_bpm", 90.0, np.inf), ("a fast heart", "a racing pulse")),
    "fast_breathing": (_between("af_rate_bpm", 22.0, np.inf), ("fast breathing",)),
    "slow_breathing": (_between("af_rate_bpm", -np.inf, 10.0), ("slow breathing",)),
    "irregular_breathing": (
        _between("thx_interval_sd_s", 1.2, np.inf),
        ("irregular breathing", "uneven breathing"),
    ),
    "flat_flow": (
        _between("af_flatness", 0.85, np.inf, _SLEEP),
        ("flow limitation", "flattened breaths"),
    ),
    "paradox": (
        _between("thx_abd_phase_max_deg", 120.0, np.inf, _SLEEP),
        ("paradoxical breathing", "chest and belly out of step"),
    ),
    "broken_breathing": (
        lambda fields: fields.stage in _SLEEP and fields.context.in_cluster is True,
        ("broken breathing", "one breathing event after another", "a cluster of apneas"),
    ),
    "long_apnea": (_cover(20.0, _APNEAS), ("a long apnea", "a long pause in breathing")),
    "muscle_bursts": (_between("emg_burst_ratio", 6.0, np.inf), ("bursts of muscle activity",)),
    "twitches": (_between("emg_burst_ratio", 8.0, np.inf, ("R",)), ("twitches in REM",)),
}


@dataclass(frozen=True)
class ShortFields:
    """What a short text claims; all of it is optional.

    Parameters
    ----------
    stage : str or None
    kinds : tuple of str
        Event kinds, in the order in which they are named.
    quiet : bool
        Nothing was scored in the epoch.
    sign : str or None
        A key of :data:`SIGNS`.
    position : str or None
    in_order : bool
        The first kind ends before the second begins.
    """

    stage: str | None = None
    kinds: tuple[str, ...] = ()
    quiet: bool = False
    sign: str | None = None
    position: str | None = None
    in_order: bool = False


def short_fields(fields: CaptionFields, rng: np.random.Generator) -> ShortFields:
    """Some of what is true of an epoch, as somebody would ask for it."""
    kinds = list(dict.fromkeys(event.kind for event in fields.events))
    if len(kinds) > 1 and rng.random() >= 0.7:
        kinds = [choose(rng, kinds)]
    kinds = kinds[:3]
    signs = [name for name, (rule, _) in SIGNS.items() if rule(fields)]
    scored = fields.stage in _STAGES
    return ShortFields(
        stage=fields.stage if scored and (not kinds or rng.random() < 0.7) else None,
        kinds=tuple(kinds),
        quiet=not kinds and scored and fields.no_event and bool(rng.random() < 0.6),
        sign=choose(rng, signs) if signs and rng.random() < 0.6 else None,
        position=fields.position if fields.position in _POSITIONS and rng.random() < 0.25 else None,
        in_order=_in_order(fields, kinds),
    )


def render_short(short: ShortFields, rng: np.random.Generator) -> str:
    """A claim in words: ``"show me obstructive apnea with a deep desaturation in REM"`` …"""
    stage = choose(rng, _STAGES[short.stage]) if short.stage else None
    if short.kinds:
        names = [choose(rng, EVENT_PHRASES[kind][:2]) for kind in short.kinds]
        text = names[0]
        if len(names) > 1:
            links = (" with ", " and ", " followed by ") if short.in_order else (" with ", " and ")
            text += choose(rng, links) + " and ".join(names[1:])
        text += _with_sign(short, rng)
        if stage is not None:
            text = choose(rng, _WITH_STAGE).format(text, stage)
    elif stage is not None:
        text = choose(rng, _QUIET).format(stage) if short.quiet else stage
        text += _with_sign(short, rng)
    elif short.sign is None and short.position is None:
        return _UNSCORED
    else:
        text = _UNSCORED + _with_sign(short, rng)
    if short.position is not None:
        text += " " + choose(rng, _POSITIONS[short.position])
    return choose(rng, _ASKED_OF_EVENTS if short.kinds else _ASKED).format(text)


def _with_sign(short: ShortFields, rng: np.random.Generator) -> str:
    if short.sign is None:
        return ""
    return choose(rng, (", ", " with ")) + choose(rng, SIGNS[short.sign][1])


def short_form(fields: CaptionFields, rng: np.random.Generator) -> str:
    """A short text that fits the epoch: stage, event kinds, position, what stands out.

    Parameters
    ----------
    fields : CaptionFields
        Of all systems.
    rng : numpy Generator
        Decides what is named and how.

    Returns
    -------
    str
        ``"obstructive apnea with oxygen desaturation in REM sleep"``,
        ``"quiet N2 with spindles"`` …; true of the epoch, never complete.
    """
    return render_short(short_fields(fields, rng), rng)


_WORDS: list[tuple[str, str, str]] = sorted(
    (
        *((words.lower(), "stage", key) for key, forms in _STAGES.items() for words in forms),
        *((words, "position", key) for key, forms in _POSITIONS.items() for words in forms),
        *((words.lower(), "sign", key) for key, (_, forms) in SIGNS.items() for words in forms),
        *(
            (words, "kinds", kind)
            for kind, phrases in EVENT_PHRASES.items()
            for words in phrases[:2]
        ),
    ),
    key=lambda entry: -len(entry[0]),
)
_QUIET_WORDS = ("quiet", "undisturbed", "without events", "nothing happens", "calm")


def read_short(text: str) -> ShortFields:
    """The claims of a text of :func:`render_short`; ``in_order`` where it says "followed by"."""
    rest = f" {text.lower().replace(',', ' , ')} "
    found: dict[str, list[tuple[int, str]]] = {}
    for words, name, key in _WORDS:
        place = rest.find(f" {words} ")
        while place >= 0:
            found.setdefault(name, []).append((place, key))
            rest = rest[: place + 1] + "_" * len(words) + rest[place + 1 + len(words) :]
            place = rest.find(f" {words} ")
    keys = {name: [key for _, key in sorted(places)] for name, places in found.items()}
    return ShortFields(
        stage=_only(keys.get("stage", ())),
        kinds=tuple(keys.get("kinds", ())),
        quiet=any(words in rest for words in _QUIET_WORDS),
        sign=_only(keys.get("sign", ())),
        position=_only(keys.get("position", ())),
        in_order=" followed by " in rest,
    )


def _only(keys: Sequence[str]) -> str | None:
    return keys[0] if keys else None


def _in_order(fields: CaptionFields, kinds: Sequence[str]) -> bool:
    """Whether the first kind ends before the second starts, so that "followed by" is true."""
    if len(kinds) != 2:
        return False
    first, second = ([event for event in fields.events if event.kind == kind] for kind in kinds)
    return max(event.end_s for event in first) <= min(event.start_s for event in second)
