"""The words and patterns by which captions state their fields, for :mod:`sleeplm.captions`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sleeplm.prompts import EVENT_PHRASES

__all__ = [
    "DIRECTIONS",
    "EVENT",
    "EVENT_KIND",
    "FAULT",
    "FAULTS",
    "FAULT_NAMES",
    "FILLER",
    "MAY_LACK_UNIT",
    "NEGATION",
    "NOTHING_TO_SAY",
    "NOT_RECORDED",
    "NO_EVENT",
    "NUMBER",
    "NUMBER_NEXT",
    "POSITION",
    "POSITION_WORDS",
    "QUALITY_WORDS",
    "SECTIONS",
    "SPAN",
    "STAGE",
    "TREND",
    "UNITS",
    "UNSCORED",
    "VALUE",
    "Section",
]

#: What is wrong with a channel (a name of :class:`sleeplm.physiology.Quality`) → in words.
QUALITY_WORDS: dict[str, str] = {
    "lost": "partly lost",
    "flat": "flat",
    "clipped": "clipped",
    "saturated": "saturated",
    "mains": "overlaid with mains hum",
    "implausible": "implausible in amplitude",
    "detached": "detached from the body",
    "excursion": "swinging far beyond its surroundings",
}
NUMBER = r"\d+(?:\.\d+)?"
_ANY_UNIT = r"%|percent|bpm|breaths\s*/\s*min|beats\s*/\s*min|(?:beats|breaths)\s+per\s+minute"
_ANY_UNIT += r"|milliseconds?|ms|seconds?|sec|s|hertz|hz|degrees?|deg|°"


@dataclass(frozen=True)
class Section:
    """The part of a caption about one channel: how it is announced, what it states."""

    system: str
    channel: str
    label: re.Pattern[str]
    items: tuple[tuple[re.Pattern[str], str], ...]
    leading: tuple[tuple[re.Pattern[str], str], ...]
    trend: str | None = None


def _section(
    system: str, channel: str, label: str, items: dict[str, str], trend: str | None = None
) -> Section:
    return Section(
        system,
        channel,
        re.compile(rf"\b(?:{label})(?![a-z0-9])"),
        tuple((re.compile(rf"\b(?:{words})(?![a-z0-9])"), name) for name, words in items.items()),
        tuple(
            (
                re.compile(
                    rf"(?<![a-z0-9.])({NUMBER})\s*(?:({_ANY_UNIT})(?![a-z]))?\s*(?:of\s+)?"
                    rf"(?:{words})(?![a-z0-9])"
                ),
                name,
            )
            for name, words in items.items()
        ),
        trend,
    )


_POWER = r"(?:\s+(?:band|wave|activity))?(?:\s+relative)?(?:\s+power)?"
_RATE = r"(?:estimated\s+)?(?:respiratory|respiration|breathing|airflow|air\s+flow)\s+rate|rate"
_VARIABILITY = (
    r"(?:breath(?:ing)?[\s-]+)?intervals?\s+variability|breath-to-breath\s+variability"
    r"|variability\s+of\s+(?:the\s+)?(?:breath(?:ing)?\s+)?intervals?"
)


def _eog(side: str, letter: str, names: str) -> Section:
    return _section(
        "brain",
        f"EOG_{letter.upper()}",
        rf"(?:{side}\s+(?:eog|eye|electrooculogram)|{names})(?:\s+movements?)?(?:\s+activity)?",
        {
            f"eog_{letter}_slow_pct": r"slow(?:[\s-]+(?:rolling\s+)?eye)?(?:[\s-]+movements?)?"
            + _POWER,
            f"eog_{letter}_saccade_pct": r"(?:rem\s+)?saccad(?:es?|ic)(?:\s+movements?)?" + _POWER,
        },
    )


def _eeg(side: str, label: str) -> Section:
    return _section(
        "brain",
        f"EEG_{label}",
        r"(?:(?:central\s+)?eeg(?:\s+activity)?\s*\(?\s*)?"
        + label.replace("_", r"\s*[-–−]\s*")
        .replace("3", r"\s*3")
        .replace("4", r"\s*4")
        .replace("A2", r"[am]\s*2")
        .replace("A1", r"[am]\s*1")
        .lower()
        + r"(?:\s*\))?",
        {
            **{
                f"eeg_{side}_{band}_pct": band + _POWER
                for band in ("delta", "theta", "alpha", "sigma", "beta")
            },
            f"eeg_{side}_spindle_count": r"(?:number\s+of\s+)?(?:sleep\s+)?spindles?"
            r"(?:\s+count)?",
            f"eeg_{side}_slow_wave_count": r"(?:number\s+of\s+)?slow\s+waves?(?:\s+count)?",
        },
    )


def _breathing(channel: str, label: str, items: dict[str, str] | None = None) -> Section:
    prefix = channel.lower()
    return _section(
        "respiratory",
        channel,
        label,
        {
            f"{prefix}_rate_bpm": _RATE,
            f"{prefix}_interval_sd_s": _VARIABILITY,
            **(items or {}),
        },
    )


_ASYNCHRONY = r"thoraco-?\s?abdominal\s+(?:asynchrony|phase(?:\s+angle)?)|asynchrony\s+of\s+effort"
SECTIONS = (
    _eog("left", "l", "e1"),
    _eog("right", "r", "e2"),
    _section(
        "brain",
        "EOG_L",
        r"both\s+(?:eogs|eyes)|eogs\s+together",
        {
            "eog_rem_burst_count": r"(?:number\s+of\s+)?(?:bursts?\s+of\s+rapid\s+eye\s+movements?"
            r"|rapid\s+eye\s+movement\s+bursts?|eye\s+movement\s+bursts?)",
            "eog_rem_count": r"(?:number\s+of\s+)?rapid\s+eye\s+movements?(?!\s+(?:sleep|burst))"
            r"(?:\s+count)?",
        },
    ),
    _eeg("c3", "C3_A2"),
    _eeg("c4", "C4_A1"),
    _section(
        "cardiac",
        "ECG",
        r"electrocardiogram|ecg|ekg",
        {
            "ecg_rate_bpm": r"(?:estimated\s+)?(?:heart\s*)?beat\s+rate",
            "ecg_rmssd_ms": r"(?:ultra[\s-]*short\s+)?(?:hrv|heart\s+rate\s+variability)"
            r"(?:\s*\(?\s*rmssd\s*\)?)?|rmssd",
        },
    ),
    _section(
        "cardiac",
        "HR",
        r"heart\s+rate(?!\s+variability)(?:\s*\(?\s*hr(?:\s+channel)?\s*\)?)?",
        {
            "hr_min_bpm": r"minimum|lowest|min",
            "hr_max_bpm": r"maximum|highest|max",
            "hr_mean_bpm": r"mean|average",
        },
        "hr",
    ),
    _section(
        "cardiac",
        "SPO2",
        r"(?:blood\s+)?oxygen\s+saturation(?:\s*\(?\s*spo\s*2\s*\)?)?|spo\s*2",
        {
            "spo2_min_pct": r"minimum|lowest|min",
            "spo2_mean_pct": r"mean|average",
            "spo2_baseline_pct": r"(?:resting\s+)?baseline",
        },
        "spo2",
    ),
    _breathing("ABD", r"abdominal\s+(?:respiration|belt|effort|breathing)|abdomen"),
    _breathing(
        "THX",
        r"thoracic\s+(?:respiration|belt|effort|breathing)|thorax|chest",
        {
            "thx_abd_phase_max_deg": rf"(?:largest|greatest|maximum)\s+(?:{_ASYNCHRONY})",
            "thx_abd_phase_deg": rf"(?<!largest )(?<!greatest )(?<!maximum )(?:{_ASYNCHRONY})",
        },
    ),
    _section(
        "respiratory",
        "AF",
        r"air\s*flow(?!\s+(?:rate|reduction))",
        {
            "af_rate_bpm": _RATE,
            "af_flatness": r"(?:inspiratory\s+)?(?:flow\s+)?flatness",
            "af_reduction_pct": r"(?:air\s*)?flow\s+reduction|reduction\s+of\s+(?:the\s+)?flow",
        },
    ),
    _section(
        "somatic",
        "EMG_CHIN",
        r"chin\s+(?:emg|muscle)(?:\s+activity)?",
        {
            "emg_median_hz": r"median\s+frequency",
            "emg_burst_ratio": r"burst\s+(?:intensity\s+)?ratio",
            "emg_burst_rate_hz": r"burst\s+(?:modulation\s+)?rate",
        },
    ),
)

UNITS = {
    "%": r"%|percent",
    "bpm": r"bpm|beats\s*/\s*min|beats\s+per\s+minute",
    "breaths/min": r"bpm|breaths\s*/\s*min|breaths\s+per\s+minute",
    "ms": r"ms|milliseconds?",
    "s": r"s|sec|seconds?",
    "Hz": r"hz|hertz",
    "deg": r"degrees?|deg|°",
}
#: The released captions state these without their unit ("minimum value of 64.07").
MAY_LACK_UNIT = frozenset(
    ("hr_min_bpm", "hr_max_bpm", "hr_mean_bpm", "spo2_min_pct", "spo2_mean_pct")
)
_RELATION = (
    r"(?:[\s,:=]|\b(?:of|at|is|are|was|with|a|an|the|to|equal|equals|equalling|measuring|measured|valued|"
    r"value|reaching|standing|stands|lying|lies|running|approximately|around|about|close|roughly|"
    r"near|nearly|some|estimated)\b)*"
)
VALUE = re.compile(rf"{_RELATION}({NUMBER})\s*((?:{_ANY_UNIT})(?![a-z]))?")
NUMBER_NEXT = re.compile(rf"\s+(?:(?:of|at|is|was|equal\s+to)\s+)?{NUMBER}")
SPAN = re.compile(
    rf"(?:from|between|at)\s+({NUMBER})\s*(?:s\b|seconds?\b)?\s*(?:to|and|until|till|[-–])\s*"
    rf"({NUMBER})\s*(?:s|sec|seconds?)\b"
)
TREND = re.compile(
    r"\b(increas(?:ing|e|es)|ris(?:ing|es?)|decreas(?:ing|e|es)|fall(?:ing|s)?|stable|steady)\b"
)
DIRECTIONS = {"inc": "increasing", "ris": "increasing", "dec": "decreasing", "fal": "decreasing"}
NOT_RECORDED = re.compile(
    r"\b(?:(?:is|was|were)\s+)?(?:not\s+(?:recorded|available)|unavailable|missing)\b"
)
FAULT_NAMES = {words: name for name, words in QUALITY_WORDS.items()}
FAULT = "|".join(re.escape(words) for words in FAULT_NAMES)
FAULTS = re.compile(
    rf"(?:signal|trace) (?:is|was) (?P<faults>(?:{FAULT})(?:(?:,| and) (?:{FAULT}))*)"
)
NO_EVENT = re.compile(
    r"\b(?:no|without(?:\s+any)?)\s+(?:(?P<of>brain|cardiac|respiratory|movement)\s+events?\b"
    r"|(?:(?:respiratory\s+or\s+arousal|arousal\s+or\s+respiratory|scored|notable|significant"
    r"|abnormal|specific|discrete|sleep)\s+)*events?\b)"
    r"|\bnothing\s+(?:of\s+note\s+)?(?:was\s+)?detected\b|\bfree\s+of\s+events\b|\bevent-free\b"
)
NEGATION = re.compile(r"\b(?:no|not|without|never|neither|nor|absent|unlikely)\b")
NOTHING_TO_SAY = re.compile(r"\bno\s+reliable\s+measurements?\b|\bnothing\s+was\s+scored\b")
POSITION = re.compile(
    r"\b(?:body\s+position|position|lying|lies|posture|on|remains|stays)\b[\s:]*"
    r"(?:(?:is|was|remains|stays|of|the|in|a|on|to|his|her|their|body|sleeping)\s+)*"
    r"(right|left|supine|back|prone|stomach|belly|upright|unknown|not\s+recorded)\b"
    r"|\b(right|left|supine|prone|upright)\s+(?:body\s+)?(?:position|posture)\b"
)
POSITION_WORDS = {"back": "supine", "stomach": "prone", "belly": "prone"}
_STAGES = (
    ("unscored", r"stage\s+(?:is\s+)?not\s+scored|unscored(?:\s+epoch)?"),
    (
        "N1",
        r"(?:transitional\s+)?light\s+sleep\s*\(?\s*n\s*1\s*\)?|(?:stage\s+)?n\s*1(?:\s+sleep)?",
    ),
    ("N2", r"stable\s+light\s+sleep(?:\s*\(?\s*n\s*2\s*\)?)?|(?:stage\s+)?n\s*2(?:\s+sleep)?"),
    (
        "N3",
        r"(?:deep|slow[\s-]wave)\s+sleep(?:\s*\(?\s*(?:stage\s+)?n\s*3\s*\)?)?"
        r"|(?:stage\s+)?n\s*3(?:\s+sleep)?",
    ),
    ("R", r"rem(?!\s+(?:saccad|period))(?:\s+sleep|\s+stage)?|rapid[\s-]eye[\s-]movement\s+sleep"),
    ("W", r"wake(?:fulness)?|awake"),
)
UNSCORED = re.compile(r"\bstage\s+(?:is\s+|was\s+)?not\s+scored\b|\bunscored\b")
STAGE = re.compile("|".join(rf"(?P<{name}>\b(?:{words})(?![a-z]))" for name, words in _STAGES))
_EVENT_NAMES = sorted(
    (
        (phrase.lower(), kind)
        for kind, phrases in EVENT_PHRASES.items()
        for phrase in {*phrases[:3], kind.replace("_", " ")}
    ),
    key=lambda entry: -len(entry[0]),
)
EVENT_KIND = dict(_EVENT_NAMES)
EVENT = re.compile(r"\b(" + "|".join(re.escape(phrase) for phrase, _ in _EVENT_NAMES) + r")s?\b")
#: Words that join statements and carry none themselves.
FILLER = frozenset(
    """
    a about accompanied across activity addition along also an and appears approximately are
    around as asleep at background balanced based beat behavior behaviour being belongs body
    both breath breathing by captured carries channel character characterised characterized
    class close comes comprises contains continues corresponds course covers described detected
    display displays dominates during each eeg enters epoch epochs event events evident exhibit
    exhibits feature features finally followed following for found from further given has have
    here hr identified in includes including indicates individual interval is it its joined
    lastly lies lists maintained maintains marked marks measured measures more moreover next
    noted observed occurring occurs of off on once one over part patient pattern period person
    place plus portion position positioned power present reading readings reads record recorded
    recording registers relative remains report reported reports roughly s seconds seen segment
    segments show shows signal signals sleep sleeper sleeping spans stage stands state
    statistics stays subject system taken takes that the then there this throughout time to
    together trace trend trending under values was well were which while whose window with
    within
    """.split()  # noqa: SIM905
)
