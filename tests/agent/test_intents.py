"""What questions are understood to ask for."""

from __future__ import annotations

from typing import Any

import pytest

from agent.intents import Intent, Request, understand
from agent.time_expressions import NightSpan

SPAN = NightSpan(960, "22:30:00", "06:30:00")
APNEAS = "obstructive apnea and central apnea and mixed apnea"


def one(question: str, previous: Request | None = None) -> Request:
    requests = understand(question, previous, SPAN)
    assert len(requests) == 1, requests
    return requests[0]


@pytest.mark.parametrize(
    ("question", "intent"),
    [
        ("Hello", Intent.GREETING),
        ("thanks!", Intent.THANKS),
        ("What can I ask?", Intent.HELP),
        ("Should he use CPAP?", Intent.REFUSAL),
        ("Does she have sleep apnea?", Intent.REFUSAL),
        ("Will he die of this?", Intent.REFUSAL),
        ("Which medication would help?", Intent.REFUSAL),
        ("asdf", Intent.UNKNOWN),
        ("What is the weather in Paris?", Intent.UNKNOWN),
        ("How was the night?", Intent.SUMMARY),
        ("Give me a summary", Intent.SUMMARY),
        ("Are there nights like this one?", Intent.SIMILAR),
        ("Why is the REM sleep so broken?", Intent.EXPLAIN),
        ("Did she sleep better in the second half of the night?", Intent.COMPARE),
        ("Is it worse on his back?", Intent.COMPARE),
        ("Compare the first and the last third", Intent.COMPARE),
        ("Is the apnea dangerous?", Intent.REFUSAL),
        ("what does the EEG look like in N3", Intent.DESCRIBE),
        ("which channels are missing?", Intent.RECORDING),
        ("What is the AHI?", Intent.QUANTITY),
        ("What is the heart doing?", Intent.DESCRIBE),
        ("Where is the longest apnea?", Intent.LOCATE),
    ],
)
def test_the_intent_of_a_question(question: str, intent: Intent) -> None:
    assert one(question).intent is intent


@pytest.mark.parametrize(
    ("question", "query"),
    [
        ("How many OSA?", "obstructive apnea"),
        ("CSA?", "central apnea"),
        ("obstuctive apnoeas", "obstructive apnea"),
        ("How many apnoeas were there", APNEAS),
        ("How many desats?", "desaturation"),
        ("How often did she stop breathing?", APNEAS),
        ("How many PLMs?", "plm"),
        ("Wie viele zentrale Apnoen gab es?", "central apnea"),
        ("¿Cuántas apneas hubo?", APNEAS),
        ("how many hypopneas and central apneas?", "central apnea and hypopnea"),
        ("How many arousals in N3?", "arousal"),
    ],
)
def test_events_are_found_under_their_many_names(question: str, query: str) -> None:
    request = one(question)
    assert request.intent is Intent.LOCATE
    assert request.query == query


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("AHI", ("ahi",)),
        ("What is the AHI and the ODI?", ("ahi", "odi3", "odi4")),
        ("How long did it take to fall asleep?", ("sleep_onset_latency",)),
        ("SOL?", ("sleep_onset_latency",)),
        ("What was the REM latency?", ("rem_latency",)),
        ("T90", ("t90",)),
        ("lowest SpO2", ("spo2_nadir",)),
        ("mean heart rate", ("hr_mean",)),
        ("How much N3 did he get?", ("stage_minutes",)),
        ("How long was he on his back?", ("position_minutes",)),
        ("What was the sleep efficiency?", ("sleep_efficiency",)),
        ("WASO", ("waso",)),
        ("How many times did she wake up?", ("awakenings",)),
        ("AHI by the 4 % rule", ("ahi_1b",)),
        ("What is the AHI in REM?", ("ahi_rem",)),
        ("arousal index", ("arousal_index",)),
        ("Wie viel REM-Schlaf hatte er?", ("stage_minutes",)),
    ],
)
def test_figures_are_found_under_their_many_names(question: str, names: tuple[str, ...]) -> None:
    request = one(question)
    assert request.intent is Intent.QUANTITY
    assert request.quantities == names


def test_a_question_of_two_parts_gives_two_requests() -> None:
    requests = understand("What was the TST, and where is the longest desaturation?", None, SPAN)
    assert [request.intent for request in requests] == [Intent.QUANTITY, Intent.LOCATE]
    assert requests[1].order == "longest"


def test_which_stage_belongs_to_the_count_before_it() -> None:
    request = one("How many obstructive apneas were there, and in which stage?")
    assert request.intent is Intent.LOCATE
    assert request.wants_stage


def test_thresholds_are_read() -> None:
    request = one("How many apneas after 3 am longer than 30 seconds?")
    assert request.min_duration_s == 30.0
    assert request.when == {"clock_from": "03:00"}
    assert one("desaturations below 85%").max_nadir_pct == 85.0


def test_limits_are_applied_and_not_merely_mentioned() -> None:
    assert one("apneas shorter than 15 seconds").max_duration_s == 15.0
    assert one("apneas shorter than 15 seconds").unapplied == ""
    assert one("desaturations under 80%").unapplied == ""


def test_the_epoch_before_and_all_before_are_told_apart() -> None:
    assert one("what happened in the epoch before epoch 29").when == {"epochs": [28, 28]}
    assert one("apneas after epoch 900").when == {"epochs": [901, 960]}


def test_german_articles_are_not_taken_for_dying() -> None:
    request = one("Wo ist die längste Apnoe?")
    assert (request.intent, request.order) == (Intent.LOCATE, "longest")


def test_follow_ups_change_one_thing_of_the_last_request() -> None:
    first = one("How many obstructive apneas were there after 3 am?")
    assert one("and in REM?", first).when == {"stage": "R"}
    assert one("and in REM?", first).query == "obstructive apnea"
    central = one("and central ones?", first)
    assert (central.query, central.when) == ("central apnea", {"clock_from": "03:00"})
    heart = one("and the heart then?", first)
    assert (heart.systems, heart.when) == (("cardiac",), {"clock_from": "03:00"})
    assert one("which was the longest?", first).order == "longest"
    assert one("the second one", first).rank == 2
    assert one("show me that epoch", first).intent is Intent.THAT_EVENT
    assert one("why?", first).intent is Intent.EXPLAIN


def test_a_new_question_takes_nothing_from_the_last_one() -> None:
    first = one("How many obstructive apneas were there in REM?")
    assert one("How many hypopneas?", first).when == {}
    assert one("last arousal", first).when == {}


@pytest.mark.parametrize(
    ("question", "intent", "query"),
    [
        ("What is a hypopnea?", Intent.TERM, "hypopnea"),
        ("what does T90 mean?", Intent.TERM, "T90"),
        ("Define RERA", Intent.TERM, "RERA"),
        ("Was ist eine Hypopnoe?", Intent.TERM, "hypopnea"),
        ("Compare this with the other night", Intent.NIGHTS, ""),
        ("Did his legs or his breathing wake him up?", Intent.CAUSE, ""),
        ("Is the lowest oxygen real or an artifact?", Intent.NADIR, ""),
        ("Why was the longest central apnea scored as central?", Intent.WHY_CALLED,
         "central apnea"),
    ],
)  # fmt: skip
def test_terms_nights_causes_and_doubts_have_intents_of_their_own(
    question: str, intent: Intent, query: str
) -> None:
    asked = one(question)
    assert (asked.intent, asked.query) == (intent, query)


@pytest.mark.parametrize(
    ("question", "suppose"),
    [
        ("What if lights off was 23:10?", {"lights_off": "23:10"}),
        ("AHI if lights on had been at 6 am", {"lights_on": "06:00"}),
        ("AHI without the hour from 1 to 2", {"leave_out": {"clock_from": "01:00",
                                                           "clock_to": "02:00"}}),
        ("What is the AHI off his back?", {"leave_out": {"position": "supine"}}),
        ("What is the ODI excluding REM?", {"leave_out": {"stage": "R"}}),
        ("What is the AHI?", {}),
    ],
)  # fmt: skip
def test_a_what_if_is_a_supposition_and_no_part_of_the_night(
    question: str, suppose: dict[str, Any]
) -> None:
    asked = one(question)
    assert asked.intent is Intent.QUANTITY
    assert asked.suppose == suppose


@pytest.mark.parametrize(
    ("question", "with_event", "without_event"),
    [
        ("arousals with leg movements", "limb movement and plm", ""),
        ("What desaturates without an apnea?", "",
         "obstructive apnea and central apnea and mixed apnea"),
        ("hypopneas followed by an arousal", "arousal", ""),
        ("apneas with SpO2 below 80 %", "", ""),
    ],
)  # fmt: skip
def test_events_in_company_are_told_from_the_company(
    question: str, with_event: str, without_event: str
) -> None:
    asked = one(question)
    assert (asked.with_event, asked.without_event) == (with_event, without_event)


@pytest.mark.parametrize(
    ("question", "when"),
    [
        ("apneas in the second REM period", {"rem_period": 2}),
        ("describe the brain an hour after sleep onset", {"after_sleep_onset_min": [60.0, 65.0]}),
        ("arousals in the first 30 minutes after sleep onset",
         {"after_sleep_onset_min": [0.0, 30.0]}),
        ("what does the heart do before each apnea",
         {"before_event": "obstructive apnea and central apnea and mixed apnea"}),
        ("how many hypopneas not in REM", {"stage": "NREM"}),
    ],
)  # fmt: skip
def test_times_that_a_scoring_places(question: str, when: dict[str, Any]) -> None:
    assert one(question).when == when


def test_all_but_one_kind_of_apnea() -> None:
    assert one("apneas that were not obstructive").query == "central apnea and mixed apnea"
