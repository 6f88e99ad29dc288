"""The tools over a real SleepLM (narrow, random weights) and a simulated half hour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sleeplm.model.config import ModelConfig
from sleeplm.model.recoca import ReCoCa
from sleeplm.model.tokenizer import SmallTokenizer
from sleeplm.night import Night
from sleeplm.prompts import EVENT_PHRASES, STAGE_PROMPTS
from sleeplm.reader import SleepLM
from sleeplm.recording import Recording
from tools.cases import index_night, open_store
from tools.session import Session
from train.simulate import simulate_night


@pytest.fixture(scope="module")
def model() -> SleepLM:
    texts = [
        phrase
        for phrases in (*EVENT_PHRASES.values(), *STAGE_PROMPTS.values())
        for phrase in phrases
    ]
    tokenizer = SmallTokenizer.train(texts, vocab_size=1100)
    data = ModelConfig.embedded(vocab_size=tokenizer.vocab_size).to_dict()
    narrow = {"width": 32, "heads": 2, "layers": 1, "context_length": 40}
    data["embed_dim"] = 24
    data["biosignals_cfg"] |= {
        "transformer_width": 32,
        "transformer_heads": 2,
        "transformer_layers": 1,
        "decoder_tokens": 4,
    }
    data["text_cfg"] |= narrow
    data["multimodal_cfg"] |= narrow
    data["generation"] = {"min_length": 4, "max_length": 12}
    torch.manual_seed(5)
    return SleepLM(ReCoCa(ModelConfig.from_dict(data)), tokenizer, "cd" * 32, "cpu")


def opened(model: SleepLM, seed: int, scored: bool = True) -> Night:
    simulated = simulate_night(seed, hours=0.5, ahi=30.0)
    recording = Recording.from_signals(simulated.signals, start=simulated.start)
    return Night.from_recording(recording, simulated.scoring if scored else None, model=model)


@pytest.fixture(scope="module")
def night(model: SleepLM) -> Night:
    return opened(model, 1)


@pytest.mark.parametrize("system", ["brain", "cardiac", "respiratory", "somatic", "stage_event"])
def test_every_system_is_described_by_the_model(night: Night, hand_made: Any, system: str) -> None:
    found = hand_made.call(
        Session.of(night), "describe_system", system=system, when={"epochs": [10, 12]}
    ).artifact
    assert [caption.epoch for caption in found.captions] == [10, 11, 12]
    assert [caption.text for caption in found.captions] == night.captions([9, 10, 11], system)


def test_similar_epochs_are_those_of_a_matrix_product(night: Night, hand_made: Any) -> None:
    found = hand_made.call(Session.of(night), "find_similar", epoch=30, limit=5).artifact
    cosine = night.embeddings() @ night.embeddings()[29]
    far = [index for index in np.argsort(-cosine) if abs(index - 29) > 2]
    assert [hit.epoch for hit in found.hits] == [int(index) + 1 for index in far[:5]]
    text = hand_made.call(Session.of(night), "find_similar", text="deep sleep", limit=50).artifact
    scores = [hit.similarity for hit in text.hits]
    assert len(scores) == 50
    assert scores == sorted(scores, reverse=True)
    assert all(-1.0 <= score <= 1.0 for score in scores)


def test_free_words_are_located_inside_the_scope(night: Night, hand_made: Any) -> None:
    message = hand_made.call(
        Session.of(night), "locate_events", query="K-complexes", when={"epochs": [5, 20]}
    )
    assert message.status == "success"
    assert message.artifact.source == "model"
    assert all(120.0 <= event.onset_s < 600.0 for event in message.artifact.events)


def test_an_unscored_night_is_read_by_the_model_where_it_is_chosen(
    model: SleepLM, hand_made: Any
) -> None:
    session = Session.of(opened(model, 2, scored=False), scoring="model")
    located = hand_made.call(session, "locate_events", query="respiratory events")
    assert located.artifact.source == "model"
    report = hand_made.call(session, "summarize_night", sections=["sleep"])
    assert "by the model scoring" in report.content


def test_a_case_in_the_store_is_found_from_another_night(
    model: SleepLM, night: Night, hand_made: Any, tmp_path: Path
) -> None:
    other = opened(model, 3)
    with open_store(tmp_path, model, write=True) as store:
        assert index_night(store, Session.of(other))
        assert index_night(store, Session.of(night))
        assert not index_night(store, Session.of(night))
        session = Session.of(night, store)
        epochs = hand_made.call(session, "find_similar", epoch=30, scope="store").artifact
        nights = hand_made.call(session, "find_similar", night=True).artifact
    assert {hit.night for hit in epochs.hits} == {other.id}
    best = float((other.embeddings() @ night.embeddings()[29]).max())
    assert epochs.hits[0].similarity == pytest.approx(best, abs=1e-3)
    assert [hit.night for hit in nights.hits] == [other.id]


@pytest.mark.parametrize("query", ["spindles", "slow waves", "REM bursts", "artifacts"])
def test_waves_and_artifacts_are_measured_and_say_by_what_rule(
    night: Night, hand_made: Any, query: str
) -> None:
    found = hand_made.call(Session.of(night), "locate_events", query=query).artifact
    assert found.source == "measured"
    assert "These are measured:" in found.text or "so these are measured" in found.text
    assert all(event.source == "measured" for event in found.events)


def test_counted_spindles_are_those_of_the_measurements(night: Night, hand_made: Any) -> None:
    waves = night.measurements().spindles["EEG_C3_A2"]
    found = hand_made.call(Session.of(night), "locate_events", query="spindles", limit=200).artifact
    assert found.total == len(waves) > 0
    assert found.events[0].onset_s == pytest.approx(waves[0].onset_s, abs=0.01)
