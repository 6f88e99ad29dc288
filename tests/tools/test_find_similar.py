"""Similarity: never the query itself, filters by scope, and reasons from typed facts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tools.artifacts import SimilarCases
from tools.cases import index_night, open_store
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
    assert set(hit.facts) == {"stage", "position", "events", "clock"}
