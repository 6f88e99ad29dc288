"""What of a question the planner's reading leaves out: numbers and words that change what is asked.

Rules read what they know and pass over the rest. That is right for "could you be so kind", and
wrong for "spontaneous" or "below 88 %". Here every number of a question, and every word that limits
or changes a figure, must be accounted for by the request that was read from it; what is not is said
to the user in front of the answer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.intents import Request

__all__ = ["unheeded"]

_STAGE_OF = {"rem": "R", "nrem": "NREM", "n1": "N1", "n2": "N2", "n3": "N3"}
_NUMBER = re.compile(r"(?<![\w.:+])\d+(?:[.:]\d+)*(?:\s*(?:%|percent))?(?![\w:])")
#: Digits that are part of a name.
_NAMED = re.compile(
    r"\bn[123]\b|\brule 1[ab]\b|\b1[ab]\b|\b[34] ?%|\b[34] (?:percent|per cent)|\bodi[ -]?[34]\b|"
    r"\b[tc]t? ?-?90\b|\b90\b|\bstage [123]\b|\bspo2\b|\bo2\b|\b1st\b|\b2nd\b|\b3rd\b|"
    r"\bc3\b|\bc4\b|\ba1\b|\ba2\b|\b30 ?-?s(?:ec\w*)? epochs?\b"
)
#: Words that no tool can take into account, or that only the named part of a request does.
_NEVER = re.compile(
    r"\b(?:spontaneous\w*|continuous\w*|uninterrupted|consecutive\w*|in a row|back[- ]to[- ]back|"
    r"clusters?|standard deviation|sd|variance|correlat\w*|ratio|histogram|percentile|quartiles?|"
    r"per minute|per epoch|per cycle|slope|for (?:his|her|their) age|age[- ]matched|"
    r"compared (?:to|with) (?:normal|others|average|healthy)|norms?|reference (?:range|value)s?|"
    r"technician|manual(?:ly)?|false|true positives?|subcortical|isolated|major|minor|prolonged|"
    r"severe(?= (?:apnea|desat|hypopnea))|mild(?= (?:apnea|desat))|loud|sharp|clinically|"
    r"biggest|smallest|fastest|slowest|slower|faster)\b"
)
_STATISTIC = re.compile(r"\b(?:average|averaged|mean|median|typical(?:ly)?|usual(?:ly)?|avg)\b")
_SHARE = re.compile(r"\b(?:percent\w*|fraction|proportion|share|what part)\b")
_LEFT_OUT = re.compile(
    r"\b(?:without|except(?:ing)?|excluding|exclude[sd]?|other than|apart from|ignoring|minus|"
    r"not counting|unrelated|besides|aside from|instead of)\b"
)
_RELATION = re.compile(
    r"\b(?:after|before|following|followed by|preceding|preceded by|prior to|within|"
    r"right before|leading to|led to|caused by|causing|triggered by|because of|due to|"
    r"associated with|accompanied by|ending in|terminated by)\b"
)
_POSITION = re.compile(r"\b(?:supine|prone|left|right|lateral|upright)\b")
_STAGE = re.compile(r"\b(?:rem|nrem|n[123])\b")
_ONE = re.compile(r"\b(?:longest|shortest|deepest|second|third|fourth)\b")


def unheeded(text: str, request: Request) -> list[str]:
    """Words and numbers of a (normalised) question that a request does not reflect.

    Parameters
    ----------
    text : str
        The part of the question that the request was read from.
    request : Request
        A request for events or figures; other requests are shown whole.
    """
    told = _told(request)
    is_events = bool(request.query)
    found: list[str] = []
    for match in _NUMBER.finditer(_NAMED.sub(lambda name: " " * len(name[0]), text)):
        if not _is_used(match[0], told):
            found.append(match[0])
    found += [match[0] for match in _NEVER.finditer(text)]
    if not request.statistic and not any(name.endswith("_mean") for name in request.quantities):
        found += [match[0] for match in _STATISTIC.finditer(text) if is_events]
    if is_events and "%" not in text and not request.contrast:
        found += [match[0] for match in _SHARE.finditer(text)]
    left_out = request.without_event or request.suppose or "nonsupine" in str(request.quantities)
    if not left_out and "stage" not in request.when and request.query != "rera":
        found += [match[0] for match in _LEFT_OUT.finditer(text)]
    related = bool(left_out or request.with_event or request.when or request.contrast)
    related = related or bool(request.max_nadir_pct or request.min_depth_pct)
    if not related and not any("latency" in n or n == "waso" for n in request.quantities):
        found += [match[0] for match in _RELATION.finditer(text)]
    if not request.contrast:
        found += [m[0] for m in _POSITION.finditer(text) if m[0] not in told]
        found += [
            match[0]
            for match in _STAGE.finditer(text)
            if _STAGE_OF[match[0]].lower() not in told.split() and match[0] not in told
        ]
    if is_events and request.picks == "" and not request.when and not request.statistic:
        found += [match[0] for match in _ONE.finditer(text)]
    return list(dict.fromkeys(found))


def _told(request: Request) -> str:
    """All that a request carries, as one text to look words and numbers up in."""
    values: list[Any] = [
        request.query, request.quantities, request.when, request.with_event, request.without_event,
        request.suppose, request.focus, request.order, request.contrast, request.systems,
        request.min_duration_s, request.max_duration_s, request.max_nadir_pct,
        request.min_depth_pct, request.count, request.epoch, request.rank, request.unapplied,
    ]  # fmt: skip
    words = " ".join(str(value) for value in values if value not in (None, "", (), {}))
    words = words.lower().replace("ahi_nonsupine", "ahi_nonsupine lateral supine")
    return re.sub(r"[^\w.:%+-]+|_", " ", words)


def _is_used(number: str, told: str) -> bool:
    """Whether a number of the question stands in the request, as it is or in other units."""
    digits = number.rstrip("% ").removesuffix("percent").strip()
    if re.search(rf"(?<![\d.]){re.escape(digits)}(?!\d)", told):
        return True
    if ":" in digits or digits.count(".") > 1:
        # A clock time: its minutes are kept, its hour may have been placed in the night.
        return re.search(rf":{digits.split(':')[1][:2]}\b", told) is not None
    try:
        value = float(digits)
    except ValueError:
        return False
    held = [float(one) for one in re.findall(r"(?<![\d.:])\d+(?:\.\d+)?(?![\d:])", told)]
    hours = {int(hour) % 12 for hour in re.findall(r"(?<!\d)(\d{1,2}):\d\d", told)}
    return (
        any(abs(one - value * size) < 1e-6 for one in held for size in (1, 60, 120, 2))
        or value % 12 in hours
        or "epochs" in told
    )
