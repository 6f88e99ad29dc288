"""Similarity: never the query itself, filters by scope, and reasons from typed facts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tools.artifacts import SimilarCases
from tools.cases import index_night, open_store
from tools.columns import CaseFilter
from tools.session import Session


def test_an_epoch_resembles_neither_itself_nor_its_neighbours(ask: Any) -> None:
    found = ask("find_similar", epoch=100, limit=4).artifact
    assert isinstance(found, SimilarCases)
    # One degree an epoch: the nearest that are allowed lie three epochs away.
    assert {hit.epoch for hit in found.hits} == {97, 103, 96, 104}
    assert found.hits[0].similarity == pytest.approx(np.cos(np.deg2rad(3)), abs=1e-4)


def test_hits_say_which_facts_agree_and_differ(ask: Any) -> None:
    message = ask("find_similar", epoch=103, limit=8)
    hits = {hit.epoch: hit for hit in message.artifact.hits}
    assert "stage N3" in hits[106].agrees
    assert "stage N2 against N3" in hits[100].differs
    assert "position supine" in hits[100].agrees
    assert "differs: stage N2 against N3" in message.content


def test_a_stage_limits_where_is_searched(ask: Any, two_nights: Any, hand_made: Any) -> None:
    # Epoch 100 is the last of N2; N3 begins at 101, its neighbours end at 102.
    message = ask("find_similar", epoch=100, stage="N3", limit=3)
    assert [hit.epoch for hit in message.artifact.hits] == [103, 104, 105]
    assert message.artifact.searched == 38
    session = two_nights[0]
    stored = hand_made.call(session, "find_similar", epoch=100, stage="R", scope="store").artifact
    assert {hit.stage for hit in stored.hits} == {"R"}
    assert ask("find_similar", night=True, stage="R").artifact.error == "try_again"


def test_a_text_is_compared_with_every_epoch(ask: Any) -> None:
    found = ask("find_similar", text="the direction 30", limit=1).artifact
    assert [hit.epoch for hit in found.hits] == [31]
    assert found.hits[0].similarity == pytest.approx(1.0, abs=1e-6)
    assert found.source == "model"


def test_without_a_store_other_nights_cannot_be_searched(ask: Any) -> None:
    for arguments in ({"night": True}, {"epoch": 5, "scope": "store"}):
        message = ask("find_similar", **arguments)
        assert message.artifact.error == "cannot"
        assert "sleeplm index" in message.content


@pytest.fixture(scope="module")
def two_nights(hand_made: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two indexed nights; the second has no stages and another SpO2."""
    folder = tmp_path_factory.mktemp("store")
    first = hand_made.night(hand_made.scoring())
    signals = {**hand_made.signals(), "SPO2": np.full(240 * 1920, 93.0, np.float32)}
    second = hand_made.night(hand_made.scoring(), **signals)
    with open_store(folder, first.model, write=True) as store:
        for night in (first, second):
            assert index_night(store, Session.of(night))
    reader = open_store(folder, first.model)
    yield Session.of(first, reader), first, second
    reader.close()


def test_across_the_store_the_own_night_is_left_out(two_nights: Any, hand_made: Any) -> None:
    session, _first, second = two_nights
    message = hand_made.call(session, "find_similar", epoch=100, scope="store", limit=3)
    hits = message.artifact.hits
    assert {hit.night for hit in hits} == {second.id}
    assert hits[0].epoch == 100
    assert hits[0].similarity == pytest.approx(1.0, abs=1e-3)
    assert not hits[0].same_night
    # A place in another night is no evidence in the open one.
    assert all(fact.epoch is None for fact in message.artifact.evidence)


def test_nights_are_compared_by_their_indices(two_nights: Any, hand_made: Any) -> None:
    session, first, second = two_nights
    message = hand_made.call(session, "find_similar", night=True)
    assert [hit.night for hit in message.artifact.hits] == [second.id]
    assert any(reason.startswith("ahi ") for reason in message.artifact.hits[0].agrees)
    assert any(reason.startswith("spo2 nadir") for reason in message.artifact.hits[0].differs)
    assert first.id not in message.content


def test_only_pseudonyms_and_few_facts_are_kept(two_nights: Any) -> None:
    session, first, _second = two_nights
    hit = session.store.search(first.embeddings()[0], 1)[0]
    assert hit.night.startswith("night-")
    assert set(hit.facts) == {"stage", "position", "events", "clock", "spo2_min_pct"}


def test_events_positions_and_saturation_limit_the_search(ask: Any) -> None:
    # By hand: apneas touch epochs 4, 20-21, 31, 101-103, 144-145 (obstructive) and 41 (central).
    found = ask("find_similar", epoch=60, with_event="apnea", limit=20).artifact
    assert {hit.epoch for hit in found.hits} == {4, 20, 21, 31, 41, 101, 102, 103, 144, 145}
    assert found.filters == ["with obstructive apneas or central apneas or mixed apneas"]
    without = ask("find_similar", epoch=33, without_event="apnea", limit=50).artifact
    assert not {hit.epoch for hit in without.hits} & {4, 20, 21, 31, 41}
    left = ask("find_similar", epoch=60, position="left", limit=3).artifact
    assert [hit.epoch for hit in left.hits] == [121, 122, 123]
    # SpO2 is 96 % but in epoch 184 (from 5510 s), where it falls to 80 %.
    low = ask("find_similar", epoch=150, max_spo2_pct=85, limit=5).artifact
    assert [(hit.epoch, hit.spo2_min_pct) for hit in low.hits] == [(184, 80.0), (185, 80.0)]
    assert "lowest SpO2 80.0 % against 96.0 %" in low.hits[0].differs
    assert ask("find_similar", epoch=150, min_spo2_pct=90, max_spo2_pct=95).artifact.hits == []


def test_an_event_is_compared_by_the_epochs_that_it_touches(ask: Any) -> None:
    # The longest apnea, 3010-3068 s, lies in epochs 101 (20 s), 102 (30 s) and 103 (8 s).
    found = ask("find_similar", event="obstructive apnea", limit=6).artifact
    assert "58.0 s" in found.query
    assert {hit.epoch for hit in found.hits} == {98, 97, 96, 106, 107, 108}
    shortest = ask("find_similar", event="obstructive apnea", event_order="shortest", limit=2)
    assert {hit.epoch for hit in shortest.artifact.hits} == {17, 24}
    beyond = ask("find_similar", event="obstructive apnea", event_rank=9)
    assert beyond.artifact.error == "try_again"
    assert "from 1 to 5" in beyond.content
    none = ask("find_similar", event="mixed apnea")
    assert none.artifact.error == "cannot"


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        ({}, "exactly one of epoch, event, text, or night=true"),
        ({"epoch": 5, "text": "deep sleep"}, "exactly one of"),
        ({"epoch": 9999}, "from 1 to 240"),
        ({"epoch": 0}, "greater than or equal to 1"),
        ({"epoch": 5, "with_event": "happiness"}, "must name scored events"),
        ({"epoch": 5, "with_event": "spindles"}, "must name scored events"),
        ({"epoch": 5, "min_spo2_pct": 95, "max_spo2_pct": 90}, "must not be above"),
        ({"night": True, "position": "left"}, "of whole nights use indices"),
        ({"night": True, "indices": [{"field": "age", "low": 50}]}, "'ahi', 'odi3'"),
        ({"night": True, "indices": [{"field": "ahi"}]}, "give low, high or both"),
        ({"epoch": 5, "stage": "N4"}, "'W', 'N1', 'N2', 'N3' or 'R'"),
        ({"epoch": 5, "limit": 500}, "less than or equal to 50"),
        ({"epoch": 5, "colour": "red"}, "not permitted"),
    ],
)
def test_wrong_arguments_come_back_with_what_is_allowed(
    ask: Any, arguments: dict[str, Any], allowed: str
) -> None:
    message = ask("find_similar", **arguments)
    assert (message.status, message.artifact.error) == ("error", "try_again")
    assert allowed in message.content


def test_what_was_not_recorded_cannot_limit_a_search(hand_made: Any) -> None:
    bare = hand_made.night(hand_made.scoring(), HR=hand_made.signals()["HR"])
    session = Session.of(bare)
    for arguments in ({"max_spo2_pct": 85}, {"position": "left"}):
        message = hand_made.call(session, "find_similar", epoch=5, **arguments)
        assert message.artifact.error == "cannot"
        assert "not recorded" in message.content


def test_a_plain_search_makes_no_scoring(hand_made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    night = hand_made.night(None)
    monkeypatch.setattr(
        type(night), "scoring_from", lambda self, choice: pytest.fail("a scoring was made")
    )
    found = hand_made.call(Session.of(night), "find_similar", epoch=100, limit=2).artifact
    assert {hit.epoch for hit in found.hits} == {97, 103}


def test_nights_and_their_epochs_are_found_by_index_ranges(two_nights: Any, hand_made: Any) -> None:
    session, _first, second = two_nights
    # Both nights have an AHI of 4.2/h.
    within = [{"field": "ahi", "low": 4.0, "high": 5.0}]
    outside = [{"field": "ahi", "low": 5.0}]
    found = hand_made.call(session, "find_similar", night=True, indices=within).artifact
    assert [hit.night for hit in found.hits] == [second.id]
    assert hand_made.call(session, "find_similar", night=True, indices=outside).artifact.hits == []
    epochs = hand_made.call(session, "find_similar", epoch=100, indices=within, limit=2).artifact
    assert {hit.night for hit in epochs.hits} == {second.id}
    assert "ahi 4 to 5 /h" in epochs.text


def test_filters_of_the_store_agree_with_those_of_the_night(
    two_nights: Any, hand_made: Any
) -> None:
    session, _first, second = two_nights
    other = Session.of(second, session.store)
    asked = {"position": "left", "with_event": "apnea or hypopnea", "limit": 50}
    here = hand_made.call(other, "find_similar", text="towards 150", **asked).artifact
    stored = hand_made.call(session, "find_similar", text="towards 150", scope="store", **asked)
    theirs = [hit.epoch for hit in stored.artifact.hits if hit.night == second.id]
    assert theirs == [hit.epoch for hit in here.hits]
    # The apnea at 4300-4325 s and the hypopnea at 5500-5522 s, over an epoch's edge each.
    assert set(theirs) == {144, 145, 184, 185}


def test_one_users_nights_are_never_found_by_another(hand_made: Any, tmp_path: Any) -> None:
    mine = hand_made.night(hand_made.scoring())
    signals = {**hand_made.signals(), "SPO2": np.full(240 * 1920, 91.0, np.float32)}
    theirs = hand_made.night(hand_made.scoring(), **signals)
    for user, night in (("anna", mine), ("bert", theirs)):
        with open_store(tmp_path, night.model, write=True, user=user) as store:
            index_night(store, Session.of(night))
    with open_store(tmp_path, mine.model, user="anna") as store:
        assert store.nights() == [mine.id]
        hits = store.search(theirs.embeddings()[7], 500, filters=CaseFilter(position="left"))
        assert {hit.night for hit in hits} == {mine.id}
        found = hand_made.call(Session.of(mine, store), "find_similar", night=True).artifact
        assert found.hits == []
        # Two may write at one time, since nothing is shared.
        with open_store(tmp_path, mine.model, write=True, user="bert") as other:
            assert other.nights() == [theirs.id]
    names = b"".join(path.name.encode() for path in tmp_path.rglob("*"))
    assert b"anna" not in names


def test_a_kept_night_is_not_read_by_the_model_again(
    two_nights: Any, hand_made: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = hand_made.night(hand_made.scoring())
    with open_store(tmp_path, night.model, write=True) as store:
        assert index_night(store, Session.of(night))
        again = hand_made.night(hand_made.scoring())
        monkeypatch.setattr(type(again), "embeddings", lambda self: pytest.fail("read again"))
        assert not index_night(store, Session.of(again))
        monkeypatch.undo()
        # Another scoring of the same night makes other facts.
        restaged = hand_made.night(hand_made.scoring(stages=("N2",) * 240))
        assert index_night(store, Session.of(restaged))
        assert store.nights() == [night.id]
        found = store.search(night.embeddings()[3], 50, filters=CaseFilter(stage="R"))
        assert found == []


def test_a_night_is_compared_with_its_neighbours_in_the_store(
    two_nights: Any, hand_made: Any
) -> None:
    session, first, second = two_nights
    found = hand_made.call(session, "compare_nights", neighbours=3).artifact
    assert found.neighbours == [second.id]
    figures = {figure.field: figure for figure in found.figures}
    assert figures["ahi"].direction == "same"
    # 80 % falls to the level of 93 % in the second night.
    assert (figures["spo2_nadir"].first, figures["spo2_nadir"].second) == (80.0, 93.0)
    assert figures["spo2_nadir"].direction == "higher"
    stored = hand_made.call(session, "compare_nights", other=second.id).artifact
    assert [figure.second for figure in stored.figures] == [f.second for f in found.figures]
    unknown = hand_made.call(session, "compare_nights", other="night-00000000")
    assert unknown.artifact.error == "cannot"
    alone = hand_made.call(Session.of(first), "compare_nights", neighbours=5)
    assert alone.artifact.error == "cannot"
    assert "sleeplm index" in alone.content
    both = hand_made.call(session, "compare_nights", other=second.id, neighbours=5)
    assert both.artifact.error == "try_again"
