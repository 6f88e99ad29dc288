"""SleepLM as users call it, on a narrow model with random weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sleeplm.errors import CaptionError, MontageError, QueryError, WeightsError
from sleeplm.localization import spans_of
from sleeplm.model.config import ModelConfig
from sleeplm.model.generation import Sampling
from sleeplm.model.recoca import ReCoCa
from sleeplm.model.tokenizer import SmallTokenizer
from sleeplm.night import Night
from sleeplm.prompts import EVENT_PHRASES, NO_EVENT_PROMPTS, POSITION_PROMPTS, STAGE_PROMPTS
from sleeplm.reader import SleepLM, _Reading
from sleeplm.recording import Recording

TEXTS = ["N2 sleep. Obstructive apnea from 3.2 to 18.7 seconds."] + [
    phrase for phrases in (*EVENT_PHRASES.values(), *STAGE_PROMPTS.values()) for phrase in phrases
]


def make(**changes: Any) -> SleepLM:
    tokenizer = SmallTokenizer.train(TEXTS, vocab_size=1100)
    data = ModelConfig.embedded(vocab_size=tokenizer.vocab_size).to_dict()
    data["embed_dim"] = 24
    data["biosignals_cfg"] |= {
        "transformer_width": 32,
        "transformer_heads": 2,
        "transformer_layers": 1,
        "decoder_tokens": 4,
    }
    data["text_cfg"] |= {"width": 32, "heads": 2, "layers": 1, "context_length": 40}
    data["multimodal_cfg"] |= {"width": 32, "heads": 2, "layers": 1, "context_length": 40}
    data["generation"] = {"min_length": 4, "max_length": 12}
    data |= changes
    torch.manual_seed(3)
    return SleepLM(ReCoCa(ModelConfig.from_dict(data)), tokenizer, "ab" * 32, "cpu")


@pytest.fixture(scope="module")
def model() -> SleepLM:
    return make()


@pytest.fixture(scope="module")
def recording() -> Recording:
    rng = np.random.default_rng(0)
    size = 5 * 1920
    signals = {
        name: rng.normal(size=size).astype(np.float32)
        for name in ("ECG", "ABD", "THX", "AF", "EOG_L", "EOG_R", "EEG_C3_A2", "EEG_C4_A1")
    }
    signals["EMG_CHIN"] = rng.normal(size=size).astype(np.float32)
    signals["SPO2"] = np.full(size, 96, dtype=np.float32)
    return Recording.from_signals(signals)


@pytest.fixture(scope="module")
def signals(model: SleepLM, recording: Recording) -> np.ndarray:
    return model.prepare(recording)


def test_prepare_follows_the_config(model: SleepLM, signals: np.ndarray) -> None:
    assert signals.shape == (5, 12, 1920)
    assert signals.dtype == np.float32
    assert np.all(signals[:, model.montage.index("POS")] == -1)
    assert np.all(signals[:, model.montage.index("HR")] == 0)
    assert np.all(signals[:, model.montage.index("SPO2")] == np.float32(1.5 / 4))
    ecg = signals[:, model.montage.index("ECG")]
    assert abs(float(ecg.mean())) < 1e-3
    assert float(ecg.std()) == pytest.approx(1, abs=1e-2)


def test_a_gap_of_the_recording_reads_as_not_recorded(model: SleepLM, recording: Recording) -> None:
    gapped = dataclasses.replace(recording, gaps=[(30.0, 60.0)])
    prepared = model.prepare(gapped)
    assert np.all(prepared[1, :9] == 0)
    assert np.any(prepared[0, 0] != 0)
    assert not np.any(np.isnan(prepared))
    assert not np.any(np.isnan(recording.signals["ECG"]))  # the recording itself is untouched


def test_embeddings_are_unit_vectors_whatever_the_chunks(
    model: SleepLM, signals: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    whole = model.encode(signals, progress=told.append)
    assert whole.shape == (5, model.embed_dim)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)
    assert told[-1] == 1.0
    told.clear()
    model.encode(signals, progress=told.append)  # known by now
    assert told == [1.0]
    fresh = make()
    monkeypatch.setattr(SleepLM, "_chunk", 2)
    np.testing.assert_allclose(fresh.encode(signals), whole, atol=1e-5)


def test_what_was_read_is_kept_by_content_and_not_by_array(
    model: SleepLM, signals: np.ndarray
) -> None:
    first = model.encode(signals)
    changed = signals.copy()
    changed[0] = changed[1]
    second = model.encode(changed)
    assert not np.allclose(first[0], second[0])
    np.testing.assert_allclose(second[0], second[1], atol=1e-5)
    first[:] = 0  # a caller's copy
    np.testing.assert_allclose(np.linalg.norm(model.encode(signals), axis=1), 1, atol=1e-5)


def test_captions_have_one_text_per_epoch_and_change_with_the_system(
    model: SleepLM, signals: np.ndarray
) -> None:
    alone = model.caption(signals, "brain")
    assert len(alone) == 5
    together = model.captions(signals)
    assert tuple(together) == ("brain", "cardiac", "respiratory", "somatic", "stage_event")
    assert together["brain"] == alone
    assert len({texts[0] for texts in together.values()}) > 1
    assert model.caption(signals[:0], "brain") == []


def test_a_caption_is_no_longer_than_asked(model: SleepLM, signals: np.ndarray) -> None:
    short = model.caption(signals, "brain", max_new_tokens=1)
    for text, whole in zip(short, model.caption(signals, "brain"), strict=True):
        assert whole.lower().startswith(text.lower())
        assert len(model.tokenizer.encode(text)) <= 3


def test_an_unknown_system_is_refused_with_the_known_ones(
    model: SleepLM, signals: np.ndarray
) -> None:
    with pytest.raises(CaptionError, match=r"'liver'.*brain, cardiac"):
        model.caption(signals, "liver")
    with pytest.raises(CaptionError, match="max_new_tokens"):
        model.caption(signals, "brain", max_new_tokens=0)


def test_zero_shot_probabilities_are_the_softmax_of_mean_prompts(
    model: SleepLM, signals: np.ndarray
) -> None:
    result = model.classify(signals, {"awake": ["Wake."], "asleep": ["N2 sleep.", "N3 sleep."]})
    embeddings = model.encode(signals)
    wake, n2, n3 = model.encode_text(["Wake.", "N2 sleep.", "N3 sleep."])
    asleep = (n2 + n3) / np.linalg.norm(n2 + n3)
    logits = np.stack([embeddings @ wake, embeddings @ asleep], axis=1) / 0.07
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(result.probabilities, expected, atol=1e-4)
    assert result.labels == [("awake", "asleep")[best] for best in expected.argmax(axis=1)]
    with pytest.raises(QueryError, match="at least one label"):
        model.classify(signals, {})
    with pytest.raises(QueryError, match="'awake' has no prompt"):
        model.classify(signals, {"awake": []})


def test_stages_come_from_the_head_and_else_from_prompts(signals: np.ndarray) -> None:
    with_head = make()
    probabilities = with_head.stage_probabilities(signals)
    features = with_head.model.encode_signal(torch.from_numpy(signals))
    assert features.stage_logits is not None
    np.testing.assert_allclose(probabilities, features.stage_logits.softmax(-1), atol=1e-5)
    extensions = with_head.config.to_dict()["extensions"] | {"stage_head": False}
    without = make(extensions=extensions)
    by_prompts = without.classify(signals, STAGE_PROMPTS)
    np.testing.assert_allclose(without.stage_probabilities(signals), by_prompts.probabilities)


def test_numbers_have_units_and_are_nan_where_nothing_was_recorded(
    model: SleepLM, signals: np.ndarray
) -> None:
    numbers = model.numbers(signals)
    assert set(numbers) == set(model.config.number_names)
    assert np.all(np.isnan(numbers["hr_mean_bpm"]))  # no HR channel
    assert np.all(np.abs(numbers["spo2_mean_pct"] - 95) < 30)  # untrained: near its centre


def test_locating_gives_spans_within_the_epoch(model: SleepLM, signals: np.ndarray) -> None:
    model.model.extensions.grounding_head.bias.data.fill_(0.0)  # type: ignore[union-attr]
    found = model.locate(signals, "Obstructive Apnoeas")
    assert len(found) == 5
    for spans in found:
        for start_s, end_s, score in spans:
            assert 0 <= start_s < end_s <= 30
            assert 0 < score < 1
    assert any(found)
    assert found == model.locate(signals, "obstructive apnea")
    assert len(model.locate(signals, "loud breathing")) == 5  # any phrase
    with pytest.raises(QueryError, match="needs a phrase"):
        model.locate(signals, "  ")


def test_spans_follow_the_probabilities() -> None:
    p = np.full(120, 0.05)
    p[8:40] = 0.6  # 2–10 s
    p[20:22] = 0.1  # a gap of half a second
    p[60:64] = 0.4  # never sure: no event
    p[80:82] = 0.9  # half a second: too short
    p[100:103] = 0.4
    p[103:110] = 0.8  # held from 25 s on
    p[118:] = 0.7  # touches the edge: goes on in the next epoch
    spans = spans_of(p, 0.25)
    assert [(start, end) for start, end, _ in spans] == [(2.0, 10.0), (25.0, 27.5), (29.5, 30.0)]
    assert spans[0][2] == pytest.approx(p[8:40].mean())
    assert spans_of(np.zeros(120), 0.25) == []
    assert spans_of(np.ones(120), 0.25) == [(0.0, 30.0, 1.0)]


def test_without_a_grounding_head_times_come_from_captions(
    signals: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make()
    extensions = plain.config.to_dict()["extensions"] | {"grounding_bins": 0, "event_kinds": []}
    model = make(extensions=extensions)
    said = "N2 sleep. Obstructive apnea from 3.2 to 18.7 seconds."
    monkeypatch.setattr(
        SleepLM, "caption", lambda self, signals, system, progress=None: [said] * len(signals)
    )
    spans = model.locate(signals, "obstructive apnea")
    assert [[span[:2] for span in epoch] for epoch in spans] == [[(3.2, 18.7)]] * 5
    assert all(0 <= span[2] <= 1 for epoch in spans for span in epoch)
    assert model.locate(signals, "central apnea") == [[]] * 5
    with pytest.raises(QueryError, match="do not name 'loud breathing'"):
        model.locate(signals, "loud breathing", by="captions")
    with pytest.raises(QueryError, match="has no grounding head"):
        model.locate(signals, "loud breathing", by="grounding")
    with pytest.raises(QueryError, match="'guessing' is not known"):
        model.locate(signals, "loud breathing", by="guessing")


class Burst:
    """Stands in for trained weights: a window with a burst is like its phrase, else like none."""

    def __init__(self, model: SleepLM, start_s: float, end_s: float) -> None:
        self.model, self.edges = model, (round(start_s * 64), round(end_s * 64))
        self.read = 0

    def night(self, epochs: int) -> np.ndarray:
        signals = np.zeros((len(self.model.montage), epochs * 1920), dtype=np.float32)
        signals[:, self.edges[0] : self.edges[1]] = 1
        return np.ascontiguousarray(signals.reshape(len(signals), epochs, 1920).transpose(1, 0, 2))

    def read_anew(self, signals: np.ndarray, progress: Any = None) -> _Reading:
        self.read += len(signals)
        inside = (signals.mean(axis=1) > 0).sum(axis=1) >= 2 * 64  # two seconds of it
        embeddings = np.zeros((len(signals), 24), dtype=np.float32)
        embeddings[:, 0], embeddings[:, 1] = inside, ~inside
        shifted = np.full((3, max(len(signals) - 1, 0), 24), np.nan, dtype=np.float32)
        return _Reading(embeddings, None, None, None, None, shifted)

    def center(self, wordings: Any) -> np.ndarray:
        return np.eye(24, dtype=np.float32)[int(wordings is NO_EVENT_PROMPTS)]


@pytest.fixture
def burst(monkeypatch: pytest.MonkeyPatch) -> Burst:
    extensions = make().config.to_dict()["extensions"] | {"grounding_bins": 0, "event_kinds": []}
    model = make(extensions=extensions)
    burst = Burst(model, 53.0, 74.0)  # the last 7 s of epoch 1, the first 14 s of epoch 2
    monkeypatch.setattr(model, "_read_anew", burst.read_anew)
    monkeypatch.setattr(model, "_center", burst.center)
    return burst


def test_free_text_is_located_by_likeness_in_shifted_windows(burst: Burst) -> None:
    signals = burst.night(20)
    found = burst.model.locate(signals, "loud breathing")
    assert [[span[:2] for span in spans] for spans in found] == [
        [],
        [(22.5, 30.0)],
        [(0.0, 15.0)],
        *[[]] * 17,
    ]
    assert all(0.9 < span[2] <= 1 for spans in found for span in spans)
    # Only windows beside an epoch that shows something are read, and only once.
    assert burst.read == 20 + 3 * 3
    assert burst.model.locate(signals, "snorting") == found
    assert burst.read == 20 + 3 * 3


def test_what_windows_find_over_an_edge_is_one_event_of_the_night(burst: Burst) -> None:
    samples = burst.night(20).transpose(1, 0, 2).reshape(len(burst.model.montage), -1)
    recording = Recording.from_signals(dict(zip(burst.model.montage, samples, strict=True)))
    night = Night.from_recording(recording, model=burst.model)
    burst.model.prepare = lambda recording: burst.night(20)  # type: ignore[method-assign]
    (event,) = night.locate("loud breathing")
    assert (event.onset_s, event.onset_s + event.duration_s) == (52.5, 75.0)
    # Epochs that do not follow one another are not read as if they did.
    apart = night.locate("loud breathing", epochs=[2, 9])
    assert [(span.onset_s, span.duration_s) for span in apart] == [(60.0, 30.0)]


def test_our_own_prompts_are_asked_by_name(model: SleepLM, signals: np.ndarray) -> None:
    by_name = model.classify(signals, "stage")
    np.testing.assert_allclose(
        by_name.probabilities, model.classify(signals, STAGE_PROMPTS).probabilities
    )
    assert set(model.classify(signals, "position").labels) <= set(POSITION_PROMPTS)
    assert model.classify(signals, "event").probabilities.shape == (5, len(EVENT_PHRASES) + 1)
    with pytest.raises(QueryError, match="no prompts are called 'mood'"):
        model.classify(signals, "mood")


def test_captions_can_be_drawn_searched_and_stopped(model: SleepLM, signals: np.ndarray) -> None:
    drawn = Sampling(4, 12, temperature=2.0)
    one = model.captions(signals, ["brain"], sampling=drawn, seed=1)
    assert one == model.captions(signals, ["brain"], sampling=drawn, seed=1)
    assert one != model.captions(signals, ["brain"], sampling=drawn, seed=2)
    searched = model.caption(signals, "brain", sampling=Sampling(4, 12, beams=3))
    assert len(searched) == 5
    whole = model.caption(signals, "brain")[0]
    word = whole.split()[2]
    stopped = model.caption(signals, "brain", stop=[word])[0]
    assert len(stopped) < len(whole)
    assert whole.lower().startswith(stopped.lower())
    with pytest.raises(CaptionError, match="beam search takes no"):
        model.caption(signals, "brain", sampling=Sampling(4, 12, beams=3), stop=["a"])


def test_reconstruction_has_the_shape_of_its_input_and_says_when_it_cannot(
    model: SleepLM, signals: np.ndarray
) -> None:
    rebuilt = model.reconstruct(signals)
    assert rebuilt.shape == signals.shape
    assert np.isfinite(rebuilt).all()
    without = make(use_signal_decoder=False)
    assert not without.can_reconstruct
    with pytest.raises(WeightsError, match="no signal decoder"):
        without.reconstruct(signals)


def test_signals_of_another_shape_are_refused(model: SleepLM) -> None:
    with pytest.raises(MontageError, match=r"shape \(2, 10, 1920\).*ECG"):
        model.encode(np.zeros((2, 10, 1920), dtype=np.float32))


def test_no_epochs_give_empty_results(model: SleepLM) -> None:
    none = np.zeros((0, 12, 1920), dtype=np.float32)
    assert model.encode(none).shape == (0, model.embed_dim)
    assert model.stage_probabilities(none).shape == (0, 5)
    assert model.locate(none, "arousal") == []
    assert model.encode_text([]).shape == (0, model.embed_dim)


def test_a_saved_model_comes_back_with_its_answers(
    model: SleepLM, signals: np.ndarray, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    }
    again = SleepLM.from_pretrained(tmp_path, "cpu")
    np.testing.assert_allclose(again.encode(signals), model.encode(signals), atol=1e-5)
    assert again.caption(signals, "somatic") == model.caption(signals, "somatic")
    name, digest = again.model_id.split("@")
    assert name == "sleeplm-embedded"
    assert again.weights_sha256.startswith(digest)
    assert len(digest) == 8
    assert SleepLM.from_pretrained(tmp_path, sha256=again.weights_sha256)
    with pytest.raises(WeightsError, match="sha256 is"):
        SleepLM.from_pretrained(tmp_path, sha256="0" * 64)


def test_an_official_file_without_vocabulary_encodes_but_says_so_for_text(
    tmp_path: Path,
) -> None:
    base = make()
    torch.save(base.model.state_dict(), tmp_path / "weights.pt")
    base.config.save(tmp_path / "config.json")
    loaded = SleepLM.from_pretrained(tmp_path / "weights.pt", "cpu")
    assert loaded.encode(np.zeros((1, 12, 1920), dtype=np.float32)).shape == (1, 24)
    with pytest.raises(WeightsError, match="no vocabulary"):
        loaded.encode_text(["Wake."])


def test_weights_that_are_nowhere_are_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="no such weights"):
        SleepLM.from_pretrained(tmp_path / "nowhere")
    monkeypatch.setattr("sleeplm.reader.resources.files", lambda package: tmp_path)
    with pytest.raises(WeightsError, match="holds no embedded weights"):
        SleepLM.from_pretrained()


def test_a_vocabulary_larger_than_the_weights_is_refused() -> None:
    tokenizer = SmallTokenizer.train(TEXTS, vocab_size=1100)
    config = ModelConfig.embedded(vocab_size=tokenizer.vocab_size - 1)
    with torch.device("meta"):
        model = ReCoCa(config)
    with pytest.raises(WeightsError, match="do not belong together"):
        SleepLM(model, tokenizer, "00", "meta")


@pytest.mark.gpu
def test_a_gpu_gives_the_same_embeddings_and_captions(
    model: SleepLM, signals: np.ndarray, tmp_path: Path
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model.save_pretrained(tmp_path)
    on_gpu = SleepLM.from_pretrained(tmp_path, "cuda")
    np.testing.assert_allclose(on_gpu.encode(signals), model.encode(signals), atol=1e-4)
    assert on_gpu.caption(signals, "brain") == model.caption(signals, "brain")
