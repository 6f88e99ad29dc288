"""The CLIP vocabulary against the authors' tokenizer; the small one against its promises."""

from __future__ import annotations

import gzip
import json
import os
import string
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleeplm.errors import WeightsError
from sleeplm.model.tokenizer import ClipTokenizer, SmallTokenizer, clean, load_tokenizer
from sleeplm.prompts import EVENT_PHRASES, POSITION_PROMPTS, STAGE_PROMPTS, event_kind_of
from sleeplm.scoring import EVENT_KINDS, STAGES

REFERENCE = Path(
    os.environ.get(
        "SLEEPLM_PARITY_DIR", Path(__file__).resolve().parents[3] / "shared" / "reference"
    )
)
VOCABULARY = REFERENCE / "bpe_simple_vocab_16e6.txt.gz"
CAPTIONS = [
    "N2 sleep. Obstructive apnea from 3.2 to 18.7 seconds. EEG C3-A2: delta 61.2 %, theta 18.0 %.",
    "REM sleep. No events.",
    "SpO2: minimum 88.0 %, mean 93.5 %. HR: minimum 58.0 bpm, maximum 101.3 bpm.",
    "EMG: median frequency 17.3 Hz, burst ratio 1.9. ECG: 64.5 bpm, RMSSD 300.0 ms.",
]


@pytest.fixture(scope="module")
def clip() -> ClipTokenizer:
    if not VOCABULARY.is_file():
        pytest.skip(f"no CLIP vocabulary at {VOCABULARY}")
    return ClipTokenizer.from_vocabulary(VOCABULARY)


@pytest.fixture(scope="module")
def cases() -> dict[str, Any]:
    path = REFERENCE / "tokenizer_cases.json"
    if not path.is_file():
        pytest.skip(f"no tokenizer cases at {path}")
    return json.loads(path.read_text())


@cache
def _small() -> SmallTokenizer:
    return SmallTokenizer.train(CAPTIONS, vocab_size=1000)


@pytest.fixture
def small() -> SmallTokenizer:
    return _small()


def test_clip_ids_rows_and_decodings_are_the_authors(
    clip: ClipTokenizer, cases: dict[str, Any]
) -> None:
    assert (clip.vocab_size, clip.sot, clip.eot, clip.pad) == tuple(
        cases[key] for key in ("vocab_size", "sot", "eot", "pad")
    )
    for case in cases["cases"]:
        text = case["text"]
        assert clip.encode(text) == [clip.sot, *case["encode"], clip.eot], text
        row = clip.batch([text], 256)[0].tolist()
        expected = case["call_256"]
        assert row == expected + [0] * (256 - len(expected)), text
        assert clip.decode_exactly(case["encode"]) == case["decode"], text
    for index, piece in cases["decoder_probe"].items():
        assert clip._inner.id_to_token(int(index)) == piece


def test_clip_survives_saving_in_a_weights_folder(clip: ClipTokenizer, tmp_path: Path) -> None:
    clip.save(tmp_path / "tokenizer.json")
    again = load_tokenizer(tmp_path, "clip")
    text = "stop!(n2) <end_of_text> SpO₂ 88 %"
    assert again.encode(text) == clip.encode(text)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "central eeg activity (c4-a1): a delta relative power equal to 39.05%, together with "
            "a theta relative power at 28.20%.",
            "Central EEG activity (C4-A1): a delta relative power equal to 39.05%, together with "
            "a theta relative power at 28.20%.",
        ),
        (
            "the arousal event is identified from 0.0 to 15.2 seconds. nothing else in n2.",
            "The arousal event is identified from 0.0 to 15.2 seconds. Nothing else in N2.",
        ),
        (
            "left eog movement: rem saccadic relative power of 57.20%. spo2 mean of 98.05.",
            "Left EOG movement: REM saccadic relative power of 57.20%. SpO2 mean of 98.05.",
        ),
    ],
)
def test_clip_pieces_become_text_a_person_reads(clip: ClipTokenizer, said: str, shown: str) -> None:
    ids = clip.encode(said)
    assert " . " in clip.decode(ids)  # what the release shows
    assert clip.readable(ids) == shown


def test_clip_reads_the_same_merges_as_other_repositories_keep_them(
    clip: ClipTokenizer, tmp_path: Path
) -> None:
    lines = gzip.decompress(VOCABULARY.read_bytes()).decode().split("\n")[: 1 + 48894]
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines[1:]) + "\n")
    again = load_tokenizer(tmp_path, "clip")
    text = "central eeg activity (c4-a1): a delta relative power equal to 39.05%"
    assert again.encode(text) == clip.encode(text)
    swapped = ["", *lines[2:3], *lines[1:2], *lines[3:]]
    (tmp_path / "merges.txt").write_text("\n".join(swapped))
    with pytest.raises(WeightsError, match=r"merges\.txt: .*its merges are others"):
        load_tokenizer(tmp_path, "clip")


def test_a_file_that_is_no_vocabulary_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "bpe.txt.gz"
    path.write_bytes(b"not gzip")
    with pytest.raises(WeightsError, match=r"bpe\.txt\.gz"):
        ClipTokenizer.from_vocabulary(path)
    with pytest.raises(WeightsError, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path, "small")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path, "small")


def test_small_vocabulary_spends_one_token_on_a_whole_number_and_one_on_a_decimal(
    small: SmallTokenizer,
) -> None:
    for number in range(301):
        assert len(small.encode(f"delta {number} %")) == len(small.encode("delta 1 %"))
        assert len(small.encode(f"delta {number}.5 %")) == len(small.encode("delta 1 %")) + 1
        assert len(small.encode(f"delta({number})")) == 2 + 4
    assert len(small.encode("39.1")) == 2 + 2
    assert len(small.encode("39.05")) == 2 + 3


@pytest.mark.parametrize("caption", CAPTIONS)
def test_small_vocabulary_gives_fixed_captions_back(small: SmallTokenizer, caption: str) -> None:
    ids = small.encode(caption)
    assert small.decode(ids) == caption.lower()
    assert small.readable(ids).lower() == caption.lower()
    # Nothing but whole words, numbers and signs: no letter stands alone.
    assert len(ids) - 2 <= len(caption.split()) + sum(caption.count(sign) for sign in ".,:%-")


def test_small_vocabulary_restores_names_and_sentences(small: SmallTokenizer) -> None:
    assert small.readable(small.encode(CAPTIONS[0])) == CAPTIONS[0]


@given(st.text(max_size=60))
def test_small_vocabulary_encodes_every_text_without_loss(text: str) -> None:
    small = _small()
    ids = small.encode(text)
    assert small.pad not in ids
    assert small.encode(small.decode(ids)) == ids


@given(st.text(string.printable, max_size=60))
def test_small_vocabulary_keeps_every_sign_of_plain_text(text: str) -> None:
    small = _small()
    assert small.decode(small.encode(text)) == " ".join(text.lower().split())


def test_special_names_in_a_text_stay_text_in_the_small_vocabulary(small: SmallTokenizer) -> None:
    ids = small.encode("<eot> <pad> <sot>")
    assert ids.count(small.eot) == 1
    assert ids.count(small.sot) == 1
    assert small.decode(ids) == "<eot> <pad> <sot>"


def test_rows_are_padded_with_zero_and_cut_rows_end_with_the_end_token(
    small: SmallTokenizer,
) -> None:
    rows = small.batch([CAPTIONS[1], CAPTIONS[0]], 10).tolist()
    assert rows[0][: len(small.encode(CAPTIONS[1]))] == small.encode(CAPTIONS[1])
    assert rows[0][-1] == 0
    assert rows[1] == [*small.encode(CAPTIONS[0])[:9], small.eot]


def test_small_vocabulary_survives_saving(small: SmallTokenizer, tmp_path: Path) -> None:
    small.save(tmp_path / "tokenizer.json")
    again = load_tokenizer(tmp_path, "small")
    assert again.vocab_size == small.vocab_size
    assert again.encode(CAPTIONS[0]) == small.encode(CAPTIONS[0])


def test_a_vocabulary_without_room_for_words_is_refused() -> None:
    with pytest.raises(ValueError, match="vocab_size 500"):
        SmallTokenizer.train(CAPTIONS, vocab_size=500)


def test_cleaning_is_the_releases() -> None:
    assert clean("  &amp;lt;B&amp;gt;\n bold ") == "<b> bold"


def test_prompts_cover_every_stage_and_event_kind() -> None:
    assert set(STAGE_PROMPTS) == set(STAGES)
    assert set(EVENT_PHRASES) == set(EVENT_KINDS)
    assert set(POSITION_PROMPTS) == {"supine", "left", "right", "prone", "upright"}
    for prompts in (STAGE_PROMPTS, EVENT_PHRASES, POSITION_PROMPTS):
        phrases = [phrase for group in prompts.values() for phrase in group]
        assert len(phrases) == len(set(phrases))


def test_event_kinds_are_found_by_their_phrases_and_free_text_is_not() -> None:
    for kind, phrases in EVENT_PHRASES.items():
        assert event_kind_of(kind) == kind
        for phrase in phrases:
            assert event_kind_of(phrase.upper()) == kind
    assert event_kind_of("Oxygen desaturations") == "desaturation"
    assert event_kind_of("loud breathing at night") is None
