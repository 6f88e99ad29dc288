"""What a question asks for: intents, events, systems, quantities, contrasts, follow-ups.

Rules over normalised text. A question becomes one or several :class:`Request`; what is not
understood stays :attr:`Intent.UNKNOWN` and is said to be so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from agent import words
from agent.concepts import find_figure
from agent.heeded import unheeded
from agent.spelling import normalised
from agent.time_expressions import NightSpan, TimeScope, read_stretch, read_time
from tools.glossary import find_entry
from tools.vocabulary import MEASURED_ONLY, read_query

__all__ = ["Intent", "Request", "understand"]


class Intent(StrEnum):
    """What is wanted of the night."""

    LOCATE = "locate"
    QUANTITY = "quantity"
    DESCRIBE = "describe"
    SUMMARY = "summary"
    COMPARE = "compare"
    EXPLAIN = "explain"
    SIMILAR = "similar"
    THAT_EVENT = "that event"
    RECORDING = "recording"
    TERM = "term"
    NIGHTS = "nights"
    REM_PERIODS = "rem periods"
    ELSEWHERE = "elsewhere"
    DISPUTE = "dispute"
    CAUSE = "cause"
    NADIR = "nadir"
    WHY_CALLED = "why called"
    GREETING = "greeting"
    THANKS = "thanks"
    HELP = "help"
    REFUSAL = "refusal"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Request:
    """One part of a question, understood.

    Parameters
    ----------
    intent : Intent
    query : str
        What to locate, in words that the tools know; or the text to find similar epochs to.
    systems, quantities : tuple of str
        Systems to describe; field names of the summary.
    when : dict
        The ``when`` argument of the tools; empty is the whole night.
    order : str
        Order of listed events: ``time``, ``longest`` …
    picks : str
        ``""`` all, ``first``, ``last``, ``most``: the one event that is meant.
    count : int
        How many events are meant by "the five longest".
    unapplied : str
        A limit in the question's words that the tools cannot apply, so that it can be said.
    contrast : str
        What a comparison is between: ``halves``, ``thirds``, ``rem``, ``position``.
    subject : str
        What an explanation is of: ``sleep``, ``oxygen``, ``heart``, ``breathing``.
    focus : str
        The stage or position that a table of minutes is asked about.
    rank : int
        Which event of the last list is meant by "the second one"; 0 is the one in focus.
    epoch : int
        Epoch to find similar ones to; 0 is none.
    with_event, without_event : str
        Other events that the events must, or must not, go with.
    suppose : dict
        A what-if: ``lights_off``, ``lights_on``, ``leave_out`` of the report.
    wants_margin : bool
        How far the severity class is from the next.
    scope : str
        ``night`` or ``store``, for similar epochs; ``nights`` for whole nights.
    statistic : str
        ``mean``, ``median`` or ``total``: of the events' durations.
    pair : (str, str)
        What the contrast ``kinds``, ``stages`` or ``places`` is between.
    not_heeded : tuple of str
        Words of the question that change what is asked and that this request leaves out.
    """

    intent: Intent
    query: str = ""
    systems: tuple[str, ...] = ()
    quantities: tuple[str, ...] = ()
    when: dict[str, Any] = field(default_factory=dict)
    order: str = "time"
    picks: str = ""
    min_duration_s: float | None = None
    max_nadir_pct: float | None = None
    max_duration_s: float | None = None
    min_depth_pct: float | None = None
    with_event: str = ""
    without_event: str = ""
    suppose: dict[str, Any] = field(default_factory=dict)
    wants_margin: bool = False
    wants_count: bool = False
    wants_stage: bool = False
    wants_position: bool = False
    wants_place: bool = False
    wants_share: bool = False
    contrast: str = ""
    subject: str = ""
    count: int = 1
    unapplied: str = ""
    focus: str = ""
    rank: int = 0
    epoch: int = 0
    scope: str = "night"
    statistic: str = ""
    pair: tuple[str, str] = ("", "")
    not_heeded: tuple[str, ...] = ()


def understand(
    question: str, previous: Request | None = None, span: NightSpan | None = None
) -> list[Request]:
    """The requests in a question.

    Parameters
    ----------
    question : str
        As the user wrote it.
    previous : Request or None
        The last request of the conversation, for "and in REM?".
    span : NightSpan or None
        The open night, to place bare hours.
    """
    text = _to_the_point(normalised(question), span)
    if words.GREETING.match(text):
        return [Request(Intent.GREETING)]
    if words.HELP.search(text):
        return [Request(Intent.HELP)]
    if words.REFUSALS.search(text):
        return [Request(Intent.REFUSAL)]
    if words.ELSEWHERE.search(text):
        return [Request(Intent.ELSEWHERE)]
    if words.THANKS.match(text):
        return [Request(Intent.THANKS)]
    requests: list[Request] = []
    if re.search(r", (?:how|what)\b", text) and not re.search(r"\?.*\w|;| and (?:how|what)", text):
        # "Once asleep, how long was he awake" is one question.
        whole = _figure(text.strip(" ?."), span)
        if whole is not None and not unheeded(text, whole):
            return [whole]
    for part in _with_scopes(_parts(text), span):
        last = requests[-1] if requests else previous
        requests += _understand_part(part, last, span, is_continued=bool(requests))
    understood = [request for request in requests if request.intent is not Intent.UNKNOWN]
    return understood or [Request(Intent.UNKNOWN)]


def _parts(text: str) -> list[str]:
    """Split at question marks, semicolons, and "and" or a comma before a question word."""
    text = re.sub(r"\?\s*$", "", text)
    pieces = re.split(rf"[?;]\s+|(?:\.|,|,?\s+and)\s+(?={words.STARTERS})", text)
    parts: list[str] = []
    for piece in (piece.strip(" .,!") for piece in pieces):
        if not piece:
            continue
        # "…, and in which stage" belongs to what it asks the stage of.
        left = piece
        for pattern in (words.STAGE_TOO, words.POSITION_TOO, words.PLACE_TOO):
            left = pattern.sub(" ", left)
        if parts and not re.sub(
            r"\b(?:and|in|did|they|occur|happen|was|were|that|it|the|of|is|are)\b|\W", "", left
        ):
            parts[-1] += f" and {piece}"
        else:
            parts.append(piece)
    return parts


def _to_the_point(text: str, span: NightSpan | None) -> str:
    """The text without clauses that only say who asks, or what for."""
    clauses = re.split(r"(?<=[;.,:])\s+|\s+-\s+", text)
    if len(clauses) < 2:
        return text
    kept = [clause for clause in clauses if not _is_context(clause, span)]
    left = " ".join(kept).strip(" ,;:.")
    if not kept or len(kept) == len(clauses):
        return text
    asked = _direct(left, span)
    return left if all(request.intent is not Intent.UNKNOWN for request in asked) else text


def _is_context(clause: str, span: NightSpan | None) -> bool:
    if not words.CONTEXT.match(clause):
        return False
    plain = clause.strip(" ,;:.")
    is_figure = find_figure(plain) is not None or bool(_quantities(plain)[0])
    return not is_figure and not read_query(plain).kinds


def _with_scopes(parts: list[str], span: NightSpan | None) -> list[str]:
    """Join a part that only says when or where ("off his back, what is the AHI") to its next."""
    joined: list[str] = []
    waiting = ""
    for part in parts:
        part = f"{part} {waiting}".strip() if waiting else part
        scope = read_time(part, span)
        says_where = scope.when or scope.not_supine
        supposes = words.SHIFT.search(part) or words.LIGHTS.search(part)
        is_scope = (says_where and not _content_words(scope.rest)) or (
            supposes and not _quantities(words.SHIFT.sub(" ", part))[0]
        )
        waiting = part if is_scope else ""
        if not waiting or part is parts[-1]:
            joined.append(part)
    if waiting and waiting not in joined:
        joined.append(waiting)
    return joined


def _understand_part(
    text: str, previous: Request | None, span: NightSpan | None, is_continued: bool
) -> list[Request]:
    found = _heeding(text, _direct(text, span))
    follows = words.FOLLOW.search(text) is not None or is_continued
    bare = words.FOLLOW.sub("", text).strip(" ,")
    if referring := _referring(bare, span):
        return [referring]
    if previous is not None:
        # "in REM?" narrows the last question; "epoch 120" alone is asked to be shown.
        names_a_part = found[0].systems == _WHAT_HAPPENED and _is_bare(bare)
        if follows or found[0].intent is Intent.UNKNOWN or names_a_part:
            continued = _continued(bare, previous, span)
            if continued is not None:
                return [continued]
    return found


def _heeding(text: str, requests: list[Request]) -> list[Request]:
    """The requests, told what of the text they leave out."""
    checked = [r for r in requests if r.intent in (Intent.LOCATE, Intent.QUANTITY)]
    if not checked or len(checked) < len(requests):
        return requests
    # What one request of the part takes up is heeded.
    left = [set(unheeded(text, request)) for request in checked]
    common = set.intersection(*left)
    missed = tuple(word for word in unheeded(text, checked[0]) if word in common)
    return [replace(checked[0], not_heeded=missed), *checked[1:]] if missed else requests


def _direct(text: str, span: NightSpan | None) -> list[Request]:
    """A part by itself, without the conversation."""
    if asked := _about_terms_and_scorers(text):
        return [asked]
    if supposed := _supposition(text, span):
        return [supposed]
    time = read_time(text, span)
    if special := _special(text, time):
        return [special]
    asks_looks = re.search(r"\b(?:what|how) (?:does|do|did|is|are)\b.*\blooks? like\b", text)
    if words.SIMILAR.search(text) and not asks_looks:
        return [_similar(text, time)]
    if words.WHY.search(text) and (subject := _subject(text)):
        stage = _named_stage(text)
        when = time.when if "stage" in time.when or not stage else time.when | {"stage": stage}
        return [Request(Intent.EXPLAIN, subject=subject, when=when)]
    if contrast := _contrast(text, time):
        return [_comparison(text, contrast)]
    if figure := _figure(text, span):
        return [figure]
    requests: list[Request] = []
    quantity, left = _quantity(text, time, span)
    if quantity is not None:
        requests.append(quantity)
    if events := _events(left, quantity.when if quantity else time.when):
        requests.append(events)
    return requests or [_loosely(text, left, time)]


def _special(text: str, time: TimeScope) -> Request | None:
    """Questions whose words would mean something else to the general rules."""
    if words.REM_PERIODS.search(text):
        return Request(Intent.REM_PERIODS)
    if "rem_period" in time.when and not read_query(time.rest).kinds and not _systems(time.rest):
        names, _ = _quantities(time.rest)
        if not names or names == ("rem_latency",):
            return Request(Intent.DESCRIBE, systems=("stage_event",), when=time.when)
    if words.SIMILAR.search(text) or words.WHY.search(text):
        return None
    if pair := _pair(text):
        return pair
    kinds = read_query(time.rest).kinds
    if not kinds and re.search(r"\bmedian\b", text) and (field := _field_of(time.rest)):
        return Request(Intent.DESCRIBE, systems=_systems(time.rest), focus=field,
                       when=time.when or {"stage": "sleep"})  # fmt: skip
    limit = words.BELOW.search(text)
    if limit and not kinds and limit["limit"] != "90" and not re.search(
        r"\b(?:hr|heart|pulse|bpm|beats?)\b", text
    ) and re.search(r"\b(?:time|minutes?|long|percent\w*|share|fraction|much|proportion|spo2|"
                    r"saturation|oxygen|sats?)\b|%", text):  # fmt: skip
        return Request(
            Intent.QUANTITY, quantities=("t90", "spo2_nadir"), unapplied=limit[0].strip(" %")
        )
    if not kinds and re.search(r"\b(?:hr|heart ?rate|pulse|heart)\b", text):
        for name, pattern in (("hr_max", words.ABOVE_RATE), ("hr_min", words.BELOW_RATE)):
            if rate := pattern.search(text):
                return Request(
                    Intent.QUANTITY, quantities=(name,), when=time.when, wants_place=True,
                    count=int(rate["limit"]),
                )  # fmt: skip
    return None


def _pair(text: str) -> Request | None:
    """ "More hypopneas than apneas", "apneas in N2 vs N3", "hypopneas on the left or right"."""
    if not words.COMPARE.search(text):
        return None
    kinds = read_query(text).kinds
    for names, pattern in (
        (("N1", "N2", "N3", "R", "W"), r"n1|n2|n3|rem(?! latency)|wake"),
        (("supine", "left", "right", "prone", "upright"), r"supine|left|right|prone|upright"),
    ):
        held = list(dict.fromkeys(re.findall(rf"\b({pattern})\b", text)))
        if len(held) == 2 and kinds and not {"rem", "nrem"} >= set(held):
            pair = tuple({"rem": "R", "wake": "W"}.get(one, one.upper()) for one in held)
            is_stage = names[0] == "N1"
            chosen = pair if is_stage else tuple(held)
            return Request(Intent.COMPARE, contrast="stages" if is_stage else "places",
                           query=_query_words(kinds), pair=(chosen[0], chosen[1]))  # fmt: skip
    if match := words.MORE_OF.search(text):
        sides = [side for side in match.groupdict().values() if side]
        one, other = (read_query(side).kinds for side in sides[:2])
        if not one and other and re.fullmatch(r"(?:obstructive|central|mixed)", sides[0].strip()):
            one = read_query(f"{sides[0]} apnea").kinds
        if one and other and not set(one) & set(other):
            return Request(Intent.COMPARE, contrast="kinds",
                           pair=(_query_words(one), _query_words(other)),
                           when=read_time(text).when)  # fmt: skip
    return None


def _figure(text: str, span: NightSpan | None) -> Request | None:
    """One figure of the report, told by its concepts in whatever order they stand."""
    stretch = read_stretch(text, span)
    found = find_figure(stretch.rest)
    if found is None:
        return None
    when = {**stretch.when, **found.when}
    # The report holds these by themselves.
    names = found.names
    if names == ("ahi",) and when in ({"stage": "R"}, {"stage": "NREM"}, {"position": "supine"}):
        names = ({"R": "ahi_rem", "NREM": "ahi_nrem"}.get(when.get("stage", ""), "ahi_supine"),)
        when = {}
    return Request(
        Intent.QUANTITY,
        quantities=names,
        when=when,
        focus=found.focus,
        wants_share=re.search(r"\b(?:percent\w*|share|fraction|proportion)\b|%", text) is not None,
        wants_place=re.search(r"\b(?:when|where|what time)\b", text) is not None,
    )


def _about_terms_and_scorers(text: str) -> Request | None:
    """Questions about words, other nights, scorers, and how near a class is."""
    asked: re.Match[str] | None = words.TERM.match(text)
    if asked and (entry := find_entry(next(filter(None, asked.groups())))):
        return Request(Intent.TERM, query=entry.term)
    if words.OTHER_NIGHT.search(text) and not words.SIMILAR.search(text):
        return Request(Intent.NIGHTS)
    if words.NADIR_REAL.search(text):
        return Request(Intent.NADIR)
    if words.WHY_CALLED.search(text) and (kinds := read_query(text).kinds):
        kinds = tuple(kind for kind in kinds if kind in _BREATHING)
        if len(kinds) == 1:
            longest = re.search(r"\blongest\b", text) is not None
            return Request(
                Intent.WHY_CALLED,
                query=_query_words(kinds),
                order="longest" if longest else "time",
                when=read_time(text).when,
            )
    if words.WOKE.search(text):
        return Request(Intent.CAUSE)
    if words.DISPUTE.search(text):
        return Request(Intent.DISPUTE, query=_query_words(read_query(text).kinds or _BREATHING))
    if words.MARGIN.search(text):
        return Request(Intent.QUANTITY, quantities=("ahi",), wants_margin=True)
    return None


def _supposition(text: str, span: NightSpan | None) -> Request | None:
    """A what-if: another lights off or on, or figures without a part of the night."""
    suppose: dict[str, Any] = {}
    left = text
    for match in words.SHIFT.finditer(text):
        if match["which"] == "on":
            suppose["lights_on"] = _shifted(match, span)
        else:
            suppose["lights_off_shift_min"] = _minutes_later(match)
        left = left.replace(match[0], " ")
    for match in words.LIGHTS.finditer(left):
        name = "lights_on" if match["which"] == "on" else "lights_off"
        suppose[name] = read_time(f"at {match['time'].strip()}", span).when.get("clock_from")
        left = left.replace(match[0], " ")
    names, _ = _quantities(left)
    if not suppose and names and (without := words.LEAVE_OUT.search(text)):
        part = read_time(without["rest"], span).when
        if part and not read_query(without["rest"]).kinds:
            suppose["leave_out"] = part
            names, _ = _quantities(text[: without.start()])
    if not suppose and names and read_time(text, span).not_supine:
        suppose["leave_out"] = {"position": "supine"}
    suppose = {key: value for key, value in suppose.items() if value}
    if not suppose:
        return None
    chosen = names or ("ahi", "tst", "sleep_efficiency", "sleep_onset_latency")
    return Request(Intent.QUANTITY, quantities=chosen, suppose=suppose)


def _minutes_later(match: re.Match[str]) -> float:
    """By how many minutes lights are moved; earlier is negative."""
    counts = {"half an": 0.5, "a quarter of an": 0.25, "a": 1.0, "an": 1.0, "one": 1.0, "two": 2.0,
              "three": 3.0}  # fmt: skip
    count = counts.get(match["count"]) or float(match["count"])
    minutes = (count + (0.5 if match["more"] else 0.0)) * (60 if match["unit"][0] == "h" else 1)
    return minutes if match["way"] in ("later", "after") else -minutes


def _shifted(match: re.Match[str], span: NightSpan | None) -> str:
    """Lights on later or earlier, counted from the end of the recording."""
    minutes = round((span.n_epochs / 2 if span else 0) + _minutes_later(match))
    return f"+{max(minutes, 0) // 60:02d}:{max(minutes, 0) % 60:02d}"


def _loosely(text: str, left: str, time: TimeScope) -> Request:
    """A part that names neither a quantity nor a scored kind."""
    systems = _systems(left)
    asks_summary = words.SUMMARY.search(text) is not None
    if words.RECORDING.search(text):
        return Request(Intent.RECORDING)
    if (search := words.OPEN_SEARCH.search(left)) and (
        words.SIGNAL_WORDS.search(left) or re.match(r"find|locate|search|look", search[0])
    ):
        wanted = re.sub(r"\b(?:were|was|are|is) there\b.*", "", search["what"]).strip(" ?.!\"'")
        if wanted and wanted not in ("brain", "breathing", "heart", "the brain", "the heart"):
            return Request(Intent.LOCATE, query=wanted, when=time.when)
    if systems and not (systems == ("stage_event",) and asks_summary):
        return Request(Intent.DESCRIBE, systems=systems, when=time.when, focus=_field_of(left))
    if words.SIGNAL_WORDS.fullmatch(re.sub(r"\b(?:any|the|all)\b", "", left).strip(" ?.!")):
        return Request(Intent.LOCATE, query=left.strip(" ?.!"), when=time.when)
    if asks_summary and not time.when:
        return Request(Intent.SUMMARY)
    if re.fullmatch(
        r"(?:\W|any|all|the|how many|list|show|what|which|scored|events?|were|there|are)+", left
    ) and ("event" in left):
        return Request(Intent.DESCRIBE, systems=_WHAT_HAPPENED, when=time.when)
    if time.when and (time.is_moment or _says_happen(left) or not _content_words(left)):
        chosen = _ALL if time.is_moment else _WHAT_HAPPENED
        return Request(Intent.DESCRIBE, systems=chosen, when=time.when)
    return Request(Intent.UNKNOWN, when=time.when)


def _quantity(text: str, time: TimeScope, span: NightSpan | None) -> tuple[Request | None, str]:
    """A request for figures of the report, and the text without them."""
    # "An hour after sleep onset" asks for no latency.
    relative = words.AFTER_ONSET.search(text)
    names, left = _quantities(words.AFTER_ONSET.sub(" ", text))
    if {"ahi_1a", "ahi_1b"} & set(names) and not words.COMPARE.search(text):
        names = tuple(name for name in names if name != "ahi")
    left += f" {relative[0]}" if relative else ""
    # "How many arousals in N3" counts arousals, although "how many … N3" could be minutes.
    counts = not re.search(r"\b(?:minutes|hours|how (?:long|much)|percent\w*)\b", text)
    if "before_event" in time.when:
        return None, time.rest
    if read_query(time.rest).kinds and counts:
        names = tuple(name for name in names if name not in ("stage_minutes", "position_minutes"))
    if names == ("spo2_nadir",) and re.search(r"\bwhich\b", text) and read_query(left).kinds:
        return None, time.rest
    if not names:
        return None, time.rest
    if words.TREND.search(left) and any(name.startswith(("hr_", "spo2_")) for name in names):
        return None, time.rest
    # A stage named by the quantity itself ("REM latency", "AHI in REM") is not a scope.
    scope = read_time(left, span)
    when, focus = scope.when, ""
    if "stage_minutes" in names or "position_minutes" in names:
        asked = read_time(f"in {text}", span).when
        focus = _named_stage(text) if "stage_minutes" in names else asked.get("position", "")
        when = {key: value for key, value in when.items() if key not in ("stage", "position")}
    request = Request(
        Intent.QUANTITY,
        quantities=names,
        when=when,
        focus=focus,
        wants_place=re.search(r"\b(?:when|where|what time)\b", text) is not None,
    )
    return request, scope.rest


def _named_stage(text: str) -> str:
    """The stage that a text names, in whatever grammar; "wake" only where it is a stage."""
    match = re.search(r"\b(?:(rem)|(n[123])|(deep)|(awake))\b", text)
    if match is None:
        return ""
    return "R" if match[1] else match[2].upper() if match[2] else "N3" if match[3] else "W"


_ALL = ("stage_event", "brain", "cardiac", "respiratory", "somatic")
_WHAT_HAPPENED = ("stage_event", "respiratory")


def _field_of(text: str) -> str:
    """The measured field that a text names, for a description to begin with."""
    return next(
        (f for f, pattern in words.FIELD_WORDS if re.search(rf"\b(?:{pattern})\b", text)), ""
    )


def _says_happen(text: str) -> bool:
    return (
        re.search(r"\b(?:happen\w*|going on|what (?:is|was|did)|show|see|look)\b", text) is not None
    )


def _content_words(text: str) -> list[str]:
    fillers = {"and", "what", "about", "the", "in", "of", "how", "then", "is", "was", "it", "there",
               "show", "me", "describe", "tell", "please", "a", "at", "for", "number", "when",
               "he", "she", "they", "lies", "lying", "lay", "sleeps", "sleeping", "slept", "while",
               "only", "patient", "were", "are", "with", "on", "his", "her", "their",
               "during"}  # fmt: skip
    return [word for word in re.findall(r"[a-zäöüßáéíóúñ]+", text) if word not in fillers]


def _is_bare(text: str) -> bool:
    """Whether a follow-up names only one thing and no verb of its own: "in REM?"."""
    return len(re.findall(r"\w+", text)) <= 3 and not re.match(words.STARTERS, text)


def _systems(text: str) -> tuple[str, ...]:
    return tuple(name for name, pattern in words.SYSTEMS if re.search(rf"\b(?:{pattern})\b", text))


def _quantities(text: str) -> tuple[tuple[str, ...], str]:
    """Quantities that a text names, and the text without them."""
    found: list[str] = []
    for names, pattern in words.QUANTITIES:
        if match := re.search(rf"\b(?:{pattern})(?!\w)", text):
            found += [name for name in names if name not in found]
            text = f"{text[: match.start()]} # {text[match.end() :]}"
    return tuple(found), text


def _events(text: str, when: dict[str, Any]) -> Request | None:
    """A request to locate, where the text names scored kinds."""
    text, with_event, without_event = _company(text)
    query = read_query(text)
    if not query.kinds:
        return None
    order, picks = "time", ""
    if re.search(r"\b(?:longest|worst)\b", text):
        order, picks = "longest", "most"
    elif re.search(r"\bshortest\b", text):
        order, picks = "shortest", "most"
    elif re.search(r"\b(?:deepest|lowest|most severe|the most)\b", text) and (
        "the most" not in text or query.kinds == ("desaturation",)
    ):
        order, picks = "deepest", "most"
    elif re.search(r"\blast\b(?! (?:hour|third|half|on|in|for))", text) and not re.search(
        r"\b(?:do|did|does|would|how long)\b.*\blast\b(?:$|\W*$| (?:on|in|for|typical|about))", text
    ):
        picks = "last"
    elif re.search(r"\bfirst\b(?! (?:hour|third|half))", text):
        picks = "first"
    count = 1
    if picks == "most" and (several := words.SEVERAL.search(text)):
        word = several["count"] or several["top"]
        count = words.COUNT_WORDS.get(word) or int(word)
    kinds = query.kinds
    if kinds in (("obstructive_apnea",), ("central_apnea",)) and re.search(
        r"\b(?:mostly|mainly|predominantly|rather)\b", text
    ):
        kinds = _BREATHING[:3]
    if negated := re.search(
        r"\b(?:not|other than|except|excluding) (obstructive|central|mixed)\b", text
    ):
        kinds = tuple(kind for kind in _BREATHING[:3] if not kind.startswith(negated[1]))
    limit = words.LIMIT.search(text)
    limits = (query.min_duration_s, query.max_nadir_pct, query.max_duration_s, query.min_depth_pct)
    is_applied = any(limit is not None for limit in limits)
    return Request(
        Intent.LOCATE,
        unapplied=limit[0] if limit and not is_applied else "",
        count=max(count, 1),
        query=_query_words(kinds),
        when=when,
        order=order,
        picks=picks,
        min_duration_s=query.min_duration_s,
        max_nadir_pct=query.max_nadir_pct,
        max_duration_s=query.max_duration_s,
        min_depth_pct=query.min_depth_pct,
        with_event=with_event,
        without_event=without_event,
        statistic="" if picks else _statistic(text),
        wants_count=re.search(r"\bhow (?:many|often)\b|\bper hour\b|\brate\b", text) is not None,
        wants_stage=words.STAGE_TOO.search(text) is not None,
        wants_position=words.POSITION_TOO.search(text) is not None,
        wants_place=re.search(r"\b(?:when|where|what time|show|list|find|locate)\b", text)
        is not None,
    )


def _statistic(text: str) -> str:
    """Mean, median or sum of the events' durations, where the text asks for one of them."""
    if words.DEPTH.search(text) or re.search(r"\bper hour\b|\bindex\b|\brate\b", text):
        return ""
    chosen = next((name for name, pattern in words.STATISTIC if re.search(pattern, text)), "")
    if chosen == "total" or (chosen and words.DURATION.search(text)):
        return chosen
    return "mean" if words.LASTING.search(text) else ""


def _company(text: str) -> tuple[str, str, str]:
    """The text without "without an apnea", and what must and must not go with the events."""
    if (match := words.COMPANY.search(text)) is None or not read_query(text[: match.start()]).kinds:
        return text, "", ""
    what = match["what"]
    kinds = read_query(what).kinds
    if not kinds and re.match(r"(?:breathing |respiratory )?events?\b", what):
        kinds = _BREATHING
    if not kinds or any(kind in MEASURED_ONLY for kind in kinds):
        return text, "", ""
    if kinds == ("desaturation",) and words.LIMIT_OF_FALL.search(text[match.start() :]):
        # "with desaturations below 85 %" limits the events themselves, which hold their depth.
        without = words.FALL_OF.sub(" ", text[match.start() :], count=1)
        return f"{text[: match.start()]} {without}", "", ""
    left = f"{text[: match.start()]} {text[match.end() :]}"
    named = _query_words(kinds)
    how = match["how"]
    is_without = re.match(r"without|with no|had no|have no|has no|not|unrelated|outside", how)
    return left, "" if is_without else named, named if is_without else ""


def _query_words(kinds: tuple[str, ...]) -> str:
    """Kinds as words that :func:`tools.vocabulary.read_query` reads back as the same kinds."""
    return " and ".join(kind.replace("_", " ") for kind in kinds)


def _similar(text: str, time: TimeScope) -> Request:
    plain = re.sub(
        r"\b(?:are|is|were) there\b|\b(?:any|other|find|show|me|the|more|all|please|which)\b",
        " ",
        text,
    )
    wants_nights = re.search(r"\b(?:nights?|patients?|recordings?|cases?)\b", plain) is not None
    across = re.search(r"\b(?:store|cohort|database|everywhere)\b", text) is not None
    scope = "store" if wants_nights or across else "night"
    if "epochs" in time.when:
        return Request(Intent.SIMILAR, epoch=time.when["epochs"][0], scope=scope)
    if wants_nights:
        return Request(Intent.SIMILAR, scope="nights")
    if words.THAT.search(text) is not None:
        return Request(Intent.SIMILAR, scope=scope)
    if time.is_moment:
        return Request(Intent.SIMILAR, when=time.when, scope=scope)
    described = words.SIMILAR.sub(" ", plain)
    described = re.sub(r"\b(?:epochs?|to|with|that|a|an|one|this)\b", " ", described)
    described = re.sub(r"\s+", " ", described).strip(" ?.!\"'")
    return Request(Intent.SIMILAR, query=described, scope=scope)


def _subject(text: str) -> str:
    for subject, pattern in (
        ("oxygen", r"oxygen|spo2|saturation|desat\w*"),
        (
            "sleep",
            r"sleep\w*|slept|rem|n3|night|wak\w+|woke|awake|broken|fragment\w*|tired|arous\w*|restless",
        ),
        ("heart", r"heart|pulse|hr|tachy\w*|brady\w*"),
        ("breathing", r"breath\w*|apn\w*|ahi|hypop\w*|respirat\w*"),
    ):
        if re.search(rf"\b(?:{pattern})\b", text):
            return subject
    return ""


def _contrast(text: str, time: TimeScope) -> str:
    """Between what a question compares; empty where it does not compare."""
    if not words.COMPARE.search(text):
        return ""
    if re.search(r"\b(?:longer|more|less|greater|lower|fewer|higher) than \d", text):
        return ""
    if re.search(r"\bthirds\b|\bfirst\b.*\blast third\b", text):
        return "thirds"
    if time.when.get("part") in ("first_half", "second_half") or re.search(
        r"\bhalf|halves\b", text
    ):
        return "halves"
    if re.search(r"\brem\b", text):
        return "rem"
    if time.not_supine or time.when.get("position") or re.search(r"positional|position", text):
        return "position"
    return ""


def _comparison(text: str, contrast: str) -> Request:
    kinds = read_query(text).kinds
    systems = _systems(text) if not kinds else ()
    if "respiratory" in systems or re.search(r"\bahi\b", text):
        systems, kinds = (), kinds or _BREATHING
    if contrast not in ("halves", "thirds") and not systems:
        kinds = kinds or _BREATHING
    return Request(
        Intent.COMPARE,
        contrast=contrast,
        query=_query_words(kinds) if kinds else "",
        systems=tuple(name for name in systems if name in ("cardiac", "brain")),
    )


_BREATHING = ("obstructive_apnea", "central_apnea", "mixed_apnea", "hypopnea")


def _referring(text: str, span: NightSpan | None) -> Request | None:
    """ "The second one", "show me that epoch": an event of the last answer."""
    systems = _systems(text)
    if match := words.ONE_OF_THEM.search(text):
        word = match["word"] or match["number"]
        digits = re.match(r"\d+", word)
        rank = int(digits[0]) if digits else words.ORDINALS[word]
        return Request(Intent.THAT_EVENT, rank=rank, systems=systems)
    if (
        words.THAT.search(text)
        and not words.SIMILAR.search(text)
        and not read_time(text, span).when
    ):
        return Request(Intent.THAT_EVENT, systems=systems)
    return None


def _continued(text: str, previous: Request, span: NightSpan | None) -> Request | None:
    """A follow-up that changes one thing of the previous request; None where it changes none."""
    direct = _direct(text, span)[0]
    if direct.intent in (Intent.SUMMARY, Intent.SIMILAR, Intent.COMPARE, Intent.EXPLAIN):
        return None
    if re.fullmatch(r"why(?: is that| was that| so)?\W*", text):
        return Request(Intent.EXPLAIN, subject=_subject_of(previous), when=previous.when)
    keeps = {} if previous.intent in (Intent.QUANTITY, Intent.SUMMARY) else previous.when
    if direct.intent is Intent.QUANTITY:
        return direct if direct.when else replace(direct, when={})
    if direct.intent is Intent.LOCATE:
        return direct if direct.when else replace(direct, when=keeps)
    if direct.intent is Intent.DESCRIBE and _systems(text):
        return direct if direct.when else replace(direct, when=keeps)
    scope = read_time(text, span)
    if scope.not_supine and not _content_words(scope.rest):
        if "ahi" in previous.quantities:
            return Request(Intent.QUANTITY, quantities=("ahi_nonsupine",))
        if previous.intent is Intent.LOCATE:
            return Request(Intent.COMPARE, contrast="position", query=previous.query)
    when = scope.when
    changes: dict[str, Any] = {}
    if when:
        changes["when"] = when
    if order := re.search(r"\b(longest|shortest|deepest|first|last)\b", read_time(text, span).rest):
        picks = order[1] if order[1] in ("first", "last") else "most"
        changes |= {"picks": picks, "order": order[1] if picks == "most" else "time"}
    if words.STAGE_TOO.search(text):
        changes["wants_stage"] = True
    if words.POSITION_TOO.search(text):
        changes["wants_position"] = True
    if words.PLACE_TOO.search(text):
        changes["wants_place"] = True
    if not changes or previous.intent in (
        Intent.GREETING,
        Intent.HELP,
        Intent.UNKNOWN,
        Intent.REFUSAL,
    ):
        return None
    if when and previous.intent in (Intent.SUMMARY, Intent.EXPLAIN, Intent.COMPARE):
        return Request(Intent.DESCRIBE, systems=_WHAT_HAPPENED, when=when)
    return replace(previous, **changes)


def _subject_of(request: Request) -> str:
    if request.intent is Intent.LOCATE:
        return "oxygen" if "desaturation" in request.query else "breathing"
    if request.systems == ("cardiac",) or any(
        name.startswith("hr_") for name in request.quantities
    ):
        return "heart"
    if any(name.startswith(("spo2", "t90", "odi")) for name in request.quantities):
        return "oxygen"
    return "breathing" if "ahi" in request.quantities else "sleep"
