"""Figures of the report by their concepts, in any order: a table of words, and one of frames.

A question is read as a set of concepts. Each frame (a figure of the report) names the concepts that
it needs and those that it can explain; the frame that explains the question best is taken, unless
it leaves too much of the question unexplained: then nothing is understood, which is better than a
wrong figure.
"""
# ruff: noqa: E501  (a pattern that is broken over lines is harder to read than a long one)

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Figure", "find_figure"]

#: Concept and its words; a longer phrase stands before the words that it hides.
_CONCEPTS: tuple[tuple[str, str], ...] = (
    ("left", r"(?:on (?:his|her|their|the) )?left(?: side)?|left lateral"),
    ("right", r"(?:on (?:his|her|their|the) )?right(?: side)?|right lateral"),
    ("prone", r"(?:on (?:his|her|their|the) )?(?:stomach|belly|front)|prone"),
    ("upright", r"upright|sitting(?: up)?"),
    ("lights_on", r"(?:until |till )?(?:the )?lights? (?:came |went |were |was |go |come )?on"),
    ("lights_off", r"(?:from |after )?(?:the )?lights? (?:went |were |was )?(?:off|out)"),
    ("not_supine", r"(?:off|not on|away from) (?:his|her|their|the) back|non-? ?supine(?: position)?|not supine|outside (?:the )?supine(?: position)?"),
    ("supine", r"(?:lying |sleeping |was |is )*on (?:his|her|their|the) back|supine(?: position)?|lying face up"),
    ("nrem", r"nrem(?: sleep)?|(?:outside|not in|excluding|other than) rem(?: sleep)?"),
    ("onset", r"sleep onset|f[ae]ll(?:ing|s|en)? asleep|nod(?:ding|ded|s)? off|drop(?:ping|ped|s)? off|doz(?:e|ing|ed|es) off|drift(?:ing|ed|s)? off|(?:get|got|getting|go|went|going) to sleep|sleep (?:came|comes|began|begins|started|starts|had started|set in|had begun)|first (?:epoch|minute|sign)s? of (?:any )?sleep|initiat\w+ (?:of )?sleep|asleep for the first time"),
    ("n3", r"n3(?: sleep)?|stage (?:n-?)?(?:3|three)(?: sleep)?|(?:deep|slow[- ]wave|delta)(?: n3)? sleep|sws"),
    ("n2", r"n2(?: sleep)?|stage (?:n-?)?(?:2|two)(?: sleep)?"),
    ("n1", r"(?:light )?n1(?: sleep)?|stage (?:n-?)?(?:1|one)(?: sleep)?|drows\w+"),
    ("rem", r"(?:stage )?(?:rem|r)(?: sleep| stage)?|(?:dream\w*|paradoxical) sleep|dream\w*"),
    ("below_90", r"(?:below|under|less than|<|beneath|lower than) ?90(?: ?%| percent)?"),
    ("ahi", r"ahi|apnea ?(?:/|-|and|&|plus)? ?hypopnea ?(?:index|idx)|(?:resp(?:iratory|\.)?|breathing) events? ?(?:/ ?h(?:ou)?r?|per hour|index)|apneas? (?:and|plus|\+|&) hypopneas? (?:per|each|an|every|/) ?h(?:ou)?r?(?: of sleep)?"),
    ("rdi", r"rdi|respiratory disturbance index"),
    ("odi", r"odi|(?:oxygen )?desat(?:uration)?s? (?:index|idx|rate)"),
    ("t90", r"t ?-?90|ct90"),
    ("efficiency", r"(?:sleep )?effic\w*\.?|se"),
    ("latency", r"latenc(?:y|ies)|delay|(?:interval|time|minutes) between|interval|lag|gap|elapse[ds]?|how soon|time to(?: the)?|how long (?:until|till|before|after)|until|till|(?:takes?|took|needed)(?! up)(?: to)?|how quick\w*|how fast|quickly"),
    ("woke", r"(?:w[oa]ke|woken|waking|wakes|waken(?:ed|ing)?)(?: up)?|awakenings?|wakings|wake-?ups?"),
    ("wake", r"awake|wake(?:fulness)?"),
    ("each", r"(?:/|per|each|every|an) ?h(?:ou)?r?\b(?: of sleep)?|hourly|index|idx|rate"),
    ("share", r"percent\w*|pct|%|fraction|share|proportion|ratio|part|portion|how big a part"),
    ("begin", r"start(?:s|ed|ing)?|begin(?:s|ning)?|began|begun|appear(?:s|ed|ing)?|occur(?:s|red)?|reach(?:es|ed)?|enter(?:s|ed)?|set(?:s|ting)? in|came|comes?"),
    ("amount", r"how many (?:minutes?|mins?|hours?|hrs?)"),
    ("times", r"how many times|how many|how often|number|n|nos?|nr|count|tally|times"),
    ("amount", r"how long|how much|minutes?|mins?|hours?|hrs?|h|time|duration|amount|total|length|altogether|overall|sum|spent|spend|obtained|got|get"),
    ("after", r"after|following|since|past|once|post"),
    ("first", r"first (?:epochs?|minutes?|signs?)(?: of)?|first|1st|initial"),
    ("hr", r"heart ?rate|hr|pulse(?: rate)?|heart ?beats?|(?:heart|beats per minute|bpm)"),
    ("spo2", r"(?:blood )?(?:oxygen|spo2|o2|sats?|saturation)(?: saturation| levels?| sats?)?"),
    ("lowest", r"nadir|lowest|min(?:imum|imal)?|how low|worst|low point|bottom"),
    ("highest", r"highest|max(?:imum|imal)?|peak|fastest|top"),
    ("mean", r"mean|average|avg|typical|averaged|on average"),
    ("arousal", r"arousals?|ari"),
    ("plm", r"(?:periodic )?(?:leg|limb) movements?|plms?|plmi"),
    ("severity", r"sever(?:e|ity)|how bad|mild|moderate|class|grade|degree|category"),
    ("apnea_word", r"(?:obstructive |central )?sleep apnea|[oc]sas?|apneas?|sdb|sleep[- ]disordered breathing|breathing disorder"),
    ("position", r"(?:body |sleep(?:ing)? )?(?:position|posture)s?"),
    ("sleep", r"sleep|asleep|slept|sleeping"),
    ("bed", r"(?:in|of) (?:the )?(?:bed|night|recording)|time in bed|tib|tst|in bed"),
)  # fmt: skip
_COMPILED = tuple(
    (name, re.compile(rf"(?<![\w#])(?:{pattern})(?![\w])")) for name, pattern in _CONCEPTS
)
_TOTAL = re.compile(r"\btst\b")
_FILLERS = frozenset(
    [
        "a",
        "an",
        "and",
        "any",
        "about",
        "actually",
        "all",
        "also",
        "are",
        "as",
        "at",
        "be",
        "been",
        "being",
        "by",
        "came",
        "can",
        "come",
        "could",
        "did",
        "do",
        "does",
        "during",
        "end",
        "exactly",
        "figure",
        "for",
        "how",
        "from",
        "give",
        "given",
        "had",
        "has",
        "have",
        "he",
        "her",
        "hers",
        "him",
        "his",
        "i",
        "i'd",
        "in",
        "is",
        "it",
        "its",
        "just",
        "kindly",
        "know",
        "last",
        "like",
        "lie",
        "long",
        "looked",
        "many",
        "me",
        "mean",
        "much",
        "my",
        "need",
        "night",
        "now",
        "of",
        "off",
        "on",
        "one",
        "or",
        "our",
        "overall",
        "patient",
        "patients",
        "person",
        "please",
        "pls",
        "pt",
        "report",
        "recorded",
        "recording",
        "say",
        "she",
        "should",
        "so",
        "study",
        "subject",
        "such",
        "tell",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "they",
        "this",
        "through",
        "throughout",
        "to",
        "up",
        "us",
        "value",
        "was",
        "we",
        "were",
        "what",
        "what's",
        "when",
        "which",
        "while",
        "who",
        "whole",
        "will",
        "with",
        "would",
        "you",
        "your",
        "i.e",
        "eg",
        "e.g",
        "out",
        "lights",
        "light",
        "did",
        "get",
        "got",
        "see",
        "seen",
        "during",
        "order",
        "lying",
        "i'm",
        "im",
        "hi",
        "hello",
        "thanks",
        "entire",
        "course",
        "over",
        "lay",
        "really",
        "we'd",
        "across",
        "show",
        "compute",
        "calculate",
        "find",
        "want",
        "list",
        "provide",
        "state",
        "print",
        "display",
        "output",
        "return",
        "name",
        "please",
        "plz",
        "thx",
        "ok",
        "summed",
        "added",
        "stretches",
        "take",
        "takes",
        "took",
        "make",
        "makes",
        "big",
        "large",
        "together",
        "combined",
        "counted",
        "account",
        "accounts",
        "constitute",
        "comprise",
        "asked",
        "table",
        "into",
        "under",
        "whatever",
        "type",
        "if",
        "possible",
        "once",
        "ever",
        "lie",
        "spent",
        "side",
        "polysomnography",
        "psg",
    ]
)
_NEGATED = re.compile(
    r"\b(?:not|no|without|never|except|excluding|other than|n't|instead of|unless|if)\b|n't\b"
)
#: What an unknown word counts beside a concept.
NOISE_WEIGHT = 0.34
#: Words that name something else to ask about; they count in full.
_MEANS_ELSE = re.compile(
    r"\w*pnea\w*|snor\w*|arous\w*|desat\w*|spindles?|waves?|bursts?|cycles?|periods?|episodes?|"
    r"artifacts?|movements?|legs?|breath\w*|airflow|eeg|ecg|emg|eog|delta|theta|alpha|sigma|beta|"
    r"rmssd|hrv|ratio|median|tachy\w*|brady\w*|cheyne|rera\w*|epochs?|longest|shortest|deepest|"
    r"last|second|third|fourth|half|halves|quarter|before|between|within|normal|cost\w*|price|"
    r"events?|channels?|technician|age|name|sex|gender|weight|bmi|drink\w*|coffee|alcohol|\d+"
)
_STAGES = {"rem": "R", "nrem": "NREM", "n1": "N1", "n2": "N2", "n3": "N3"}
_PLACES = ("supine", "left", "right", "prone", "upright")
_LEAST_EXPLAINED = 0.8


@dataclass(frozen=True)
class _Frame:
    """A figure: concepts of which one of each group is needed, and those that it can explain."""

    names: tuple[str, ...]
    needs: tuple[str, ...]
    explains: str = ""
    forbids: str = ""


@dataclass(frozen=True)
class Figure:
    """What was found.

    Parameters
    ----------
    names : tuple of str
        Fields of the summary.
    focus : str
        Stage or position that a table of minutes is asked about.
    when : dict
        Stage or position that limits the figure.
    """

    names: tuple[str, ...]
    focus: str
    when: dict[str, str]


_ANY_STAGE = "rem nrem n1 n2 n3"
_FRAMES = (
    _Frame(("sleep_onset_latency",), ("onset", "latency amount"), "sleep first times lights_off begin", f"wake woke after {_ANY_STAGE} share"),
    _Frame(("sleep_onset_latency",), ("sleep", "latency"), "amount lights_off begin", f"wake woke {_ANY_STAGE} share first"),
    _Frame(("waso",), ("wake woke", "onset", "after amount"), "amount sleep total first bed after each lights_on begin", f"times share {_ANY_STAGE}"),
    _Frame(("waso",), ("wake", "amount"), "bed sleep lights_on", f"times share onset {_ANY_STAGE}"),
    _Frame(("awakenings",), ("woke", "times"), "bed sleep wake amount", f"after onset share {_ANY_STAGE}"),
    _Frame(("sleep_efficiency",), ("efficiency",), "sleep share bed", _ANY_STAGE),
    _Frame(("sleep_efficiency",), ("share", "sleep", "bed"), "amount", f"wake woke total_sleep {_ANY_STAGE}"),
    _Frame(("tst",), ("sleep", "amount"), "bed", f"share wake woke onset latency each times spo2 hr position supine not_supine after first {_ANY_STAGE}"),
    _Frame(("tst",), ("total_sleep",), "amount bed sleep", f"share {_ANY_STAGE}"),
    _Frame(("stage_minutes",), (_ANY_STAGE, "amount share"), "sleep bed times total_sleep", "latency first each spo2 hr ahi arousal plm supine not_supine onset after"),
    _Frame(("rem_latency",), ("rem", "latency first"), "onset amount sleep after first begin lights_off", "share times each spo2"),
    _Frame(("n3_latency",), ("n3", "latency first"), "onset amount sleep after first begin lights_off", "share times each spo2"),
    _Frame(("ahi",), ("ahi",), "sleep amount times each _part bed", "share"),
    _Frame(("rdi",), ("rdi",), "sleep amount each _part"),
    _Frame(("odi3", "odi4"), ("odi",), "spo2 sleep amount each"),
    _Frame(("t90",), ("t90",), "amount spo2 share bed"),
    _Frame(("t90",), ("below_90", "amount share"), "amount share bed sleep spo2", "times lowest apnea_word"),
    _Frame(("t90",), ("below_90", "spo2"), "amount share bed sleep", "times lowest"),
    _Frame(("spo2_nadir",), ("lowest", "spo2"), "bed sleep share amount _part", "times mean below_90"),
    _Frame(("spo2_mean",), ("mean", "spo2"), "bed sleep share _part", "times lowest below_90"),
    _Frame(("hr_mean",), ("mean", "hr"), "bed sleep each _part latency", "lowest highest"),
    _Frame(("hr_min",), ("lowest", "hr"), "bed sleep each _part", "mean highest"),
    _Frame(("hr_max",), ("highest", "hr"), "bed sleep each _part", "mean lowest"),
    _Frame(("arousal_index",), ("arousal", "each"), "sleep times amount _part", "plm ahi"),
    _Frame(("plm_index",), ("plm", "each"), "sleep times amount", "arousal ahi"),
    _Frame(("ahi",), ("severity",), "ahi apnea_word sleep", f"lowest highest {_ANY_STAGE}"),
    _Frame(("position_minutes",), ("supine not_supine left right prone upright", "amount share sleep"), "sleep bed times total_sleep position amount share", f"ahi each spo2 hr arousal apnea_word latency rdi odi {_ANY_STAGE}"),
)  # fmt: skip


def find_figure(text: str) -> Figure | None:
    """The figure of the report that a (normalised) question asks for, or None.

    Parameters
    ----------
    text : str
        Lower case, spellings evened out, without clock times and parts of the night.
    """
    held, n_unknown = _concepts(text)
    best: tuple[float, _Frame] | None = None
    for frame in _FRAMES:
        score = _score(frame, held, n_unknown)
        if score >= _LEAST_EXPLAINED and (best is None or score > best[0]):
            best = (score, frame)
    if best is None:
        return None
    names, when, focus = best[1].names, {}, ""
    stage = next((code for name, code in _STAGES.items() if name in held), "")
    if names == ("stage_minutes",):
        focus = stage
    elif names == ("position_minutes",):
        if "not_supine" in held:
            return None
        focus = next((name for name in _PLACES if name in held), "")
    elif "_part" in best[1].explains.split():
        if "not_supine" in held:
            if names != ("ahi",) or stage:
                return None
            names = ("ahi_nonsupine",)
        place = next((name for name in _PLACES if name in held), "")
        when = ({"stage": stage} if stage else {}) | ({"position": place} if place else {})
    return Figure(names, focus, when)


def _concepts(text: str) -> tuple[set[str], float]:
    """Concepts that a text holds, and the weight of the words that none of them explains."""
    held: set[str] = set()
    if _TOTAL.search(text) or re.search(r"\btotal(?: \w+)? sleep(?: time)?\b", text):
        held.add("total_sleep")
    for name, pattern in _COMPILED:
        if pattern.search(text):
            held.add(name)
            text = pattern.sub(" # ", text)
    if _NEGATED.search(text):
        held.add("negated")
    words = [word for word in re.findall(r"[\w']+", text) if word not in _FILLERS]
    # Who asks and what for is no part of the question; another event or measurement is.
    return held, sum(1.0 if _MEANS_ELSE.fullmatch(word) else NOISE_WEIGHT for word in words)


def _score(frame: _Frame, held: set[str], n_unknown: float) -> float:
    """The part of the question that a frame explains; 0 where a needed concept is missing."""
    if "negated" in held or held & set(frame.forbids.split()):
        return 0.0
    if any(not held & set(group.split()) for group in frame.needs):
        return 0.0
    explains = set(" ".join((*frame.needs, frame.explains)).split())
    if "_part" in explains:
        explains |= {*_STAGES, *_PLACES, "not_supine", "position"}
    unexplained = len(held - explains)
    explained = len(held & explains)
    # A frame that needs more of the question is the more specific one.
    return explained / (explained + unexplained + n_unknown) + 0.01 * len(frame.needs)
