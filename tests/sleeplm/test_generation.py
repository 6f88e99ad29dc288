"""How captions are chosen, ended and shared; the ids themselves are held by the parity tests."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from sleeplm.model.config import ModelConfig
from sleeplm.model.drafts import Drafts
from sleeplm.model.encoder import affine
from sleeplm.model.generation import Sampling, generate
from sleeplm.model.precision import one_thread_for, prepare
from sleeplm.model.recoca import ReCoCa

SOT, EOT = 1, 10
VOCABULARY = 12


@pytest.fixture(scope="module")
def model() -> ReCoCa:
    torch.manual_seed(5)
    config = ModelConfig.from_dict(
        {
            "name": "mini",
            "embed_dim": 12,
            "biosignals_cfg": {
                "patch_size": 160,
                "conv_embed_dim": 8,
                "transformer_layers": 1,
                "transformer_width": 16,
                "transformer_heads": 2,
                "decoder_tokens": 3,
            },
            "text_cfg": {
                "context_length": 24,
                "vocab_size": VOCABULARY,
                "layers": 2,
                "heads": 2,
                "width": 16,
            },
            "multimodal_cfg": {"width": 16, "layers": 2, "heads": 2, "context_length": 24},
        }
    )
    model = ReCoCa(config).eval()
    for weight in model.parameters():  # livelier than fresh weights: captions differ
        if weight.ndim == 2:
            weight.data.normal_(std=0.5)
    return model


@pytest.fixture(scope="module")
def memory() -> torch.Tensor:
    return torch.randn(4, 3, 16, generator=torch.Generator().manual_seed(0))


def prefixes(epochs: int, systems: int = 1) -> torch.Tensor:
    return torch.tensor([[m, -1] for _ in range(epochs) for m in range(systems)])


def write(model: ReCoCa, memory: torch.Tensor, systems: int = 1, **options: Any) -> list[list[int]]:
    seed = options.pop("seed", None)
    return generate(
        model,
        memory,
        prefixes(len(memory), systems),
        sot=SOT,
        eot=EOT,
        sampling=Sampling(**options),
        seed=seed,
    )


@torch.inference_mode()
def probabilities(model: ReCoCa, memory: torch.Tensor, ids: list[int]) -> torch.Tensor:
    """Log-probability of every next token by the model without any cache."""
    states = model.text_states(torch.tensor([ids]))
    return model.decode(states, memory, prefixes(1))[0].log_softmax(-1)


def test_captions_that_share_text_have_the_ids_of_each_alone(
    model: ReCoCa, memory: torch.Tensor
) -> None:
    options = {"min_length": 10, "max_length": 20}
    together = write(model, memory, systems=5, **options)
    alone = [
        generate(
            model,
            memory[epoch : epoch + 1],
            torch.tensor([[system, -1]]),
            sot=SOT,
            eot=EOT,
            sampling=Sampling(**options),  # type: ignore[arg-type]
        )[0]
        for epoch in range(4)
        for system in range(5)
    ]
    assert together == alone
    starts = {tuple(text[:3]) for text in together}
    assert 1 < len(starts) < len(together)  # some begin alike, some do not


def test_a_wide_beam_finds_the_most_probable_caption(model: ReCoCa, memory: torch.Tensor) -> None:
    """Every text of two tokens is tried by hand."""
    row = memory[:1]
    expected = []
    for text in itertools.product(range(VOCABULARY), repeat=2):
        if EOT in text:
            continue
        ids = [SOT, *text]
        steps = probabilities(model, row, ids)
        total = sum(float(steps[place, index]) for place, index in enumerate(text))
        expected.append((total, ids))
    best = max(expected)[1]
    found = write(model, row, min_length=3, max_length=3, beams=VOCABULARY, length_penalty=0.0)
    assert found == [best]


def test_one_beam_in_each_group_is_greedy(model: ReCoCa, memory: torch.Tensor) -> None:
    lengths = {"min_length": 5, "max_length": 14}
    greedy = write(model, memory, **lengths)
    assert write(model, memory, beams=3, beam_groups=3, raw_scores=True, **lengths) == greedy


def test_drawing_follows_the_seed_and_the_model(model: ReCoCa, memory: torch.Tensor) -> None:
    lengths = {"min_length": 1, "max_length": 2}
    row = memory[:1].expand(500, -1, -1)
    drawn = write(model, row, temperature=1.0, seed=1, **lengths)
    assert drawn == write(model, row, temperature=1.0, seed=1, **lengths)
    assert drawn != write(model, row, temperature=1.0, seed=2, **lengths)
    expected = probabilities(model, memory[:1], [SOT])[0].exp()
    counts = torch.bincount(torch.tensor([text[1] for text in drawn]), minlength=VOCABULARY)
    torch.testing.assert_close(counts / 500, expected, atol=0.08, rtol=0)


def test_top_k_and_top_p_leave_only_likely_tokens(model: ReCoCa, memory: torch.Tensor) -> None:
    lengths = {"min_length": 1, "max_length": 2}
    row = memory[:1].expand(200, -1, -1)
    order = probabilities(model, memory[:1], [SOT])[0].exp().sort(descending=True)
    drawn = write(model, row, temperature=1.0, top_k=2, seed=1, **lengths)
    assert {text[1] for text in drawn} == set(order.indices[:2].tolist())
    reached = float(order.values[:3].sum()) - 1e-4
    drawn = write(model, row, temperature=1.0, top_p=reached, seed=1, **lengths)
    assert {text[1] for text in drawn} == set(order.indices[:3].tolist())
    drawn = write(model, row, temperature=1.0, top_p=1e-6, seed=1, **lengths)
    assert {text[1] for text in drawn} == {int(order.indices[0])}


def test_a_caption_ends_behind_a_stop_sequence(model: ReCoCa, memory: torch.Tensor) -> None:
    whole = write(model, memory, min_length=12, max_length=16)
    for text in whole:
        for size in (1, 2):
            stop = tuple(text[4 : 4 + size])
            (cut,) = write(
                model,
                memory[whole.index(text)][None],
                min_length=2,
                max_length=16,
                stop_sequences=(stop,),
            )
            first = next(
                place for place in range(1, len(text)) if tuple(text[place : place + size]) == stop
            )
            if EOT in cut[:-1]:
                continue
            assert cut == text[: first + size] or cut[-1] == EOT


def test_finished_captions_leave_the_batch_and_the_rest_go_on(
    model: ReCoCa, memory: torch.Tensor
) -> None:
    many = memory.repeat(4, 1, 1) + 0.1 * torch.randn(
        16, 3, 16, generator=torch.Generator().manual_seed(1)
    )
    together = write(model, many, min_length=2, max_length=24)
    assert len({len(text) for text in together}) > 1
    alone = [write(model, row[None], min_length=2, max_length=24)[0] for row in many]
    assert together == alone


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beams": 4, "beam_groups": 3}, "4 beams do not divide into 3 groups"),
        ({"beams": 2, "temperature": 0.5}, "beam search takes no temperature"),
        ({"top_k": 0}, "top_k must be at least 1"),
        ({"top_p": 0.0}, "top_p must lie above 0"),
        ({"min_length": 9, "max_length": 8}, "min_length 9 exceeds max_length 8"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Sampling(**options)


def plain_and_drafted(
    model: ReCoCa, memory: torch.Tensor, drafts: dict[int, Drafts], system: int = 0, **options: Any
) -> tuple[list[int], list[int]]:
    """One caption without drafts, and with what ``drafts`` learnt from captions before."""

    def one(**more: Any) -> list[int]:
        (ids,) = generate(
            model,
            memory,
            torch.tensor([[system, -1]]),
            sot=SOT,
            eot=EOT,
            sampling=Sampling(**options, **more.pop("also", {})),
            **more,
        )
        return ids

    return one(also={"drafted": False}), one(drafts=drafts)


class Loose(Drafts):
    """Runs all its guesses, right or wrong."""

    def draft(self, ids: Sequence[int], most: int) -> list[int]:
        return self.follow(ids, most)[0]


@pytest.mark.parametrize(
    "options",
    [
        {"min_length": 2, "max_length": 24},
        {"min_length": 16, "max_length": 16},
        {"min_length": 12, "max_length": 20, "stop_at_pad": True, "end_at_limit": True},
        {"min_length": 4, "max_length": 24, "repetition_penalty": 1.3},
        {"min_length": 4, "max_length": 24, "stop_sequences": ((3,), (5, 6), (7, 2))},
    ],
)
def test_drafts_never_change_the_ids_of_a_caption(
    model: ReCoCa, memory: torch.Tensor, options: dict[str, Any]
) -> None:
    drafts: dict[int, Drafts] = {system: Loose(16) for system in range(3)}
    for epoch in range(2):
        for system in range(3):
            for _ in range(2):  # the second time its own text is known
                plain, drafted = plain_and_drafted(
                    model, memory[epoch : epoch + 1], drafts, system, **options
                )
                assert drafted == plain
    passes = sum(table.passes for table in drafts.values())
    written = sum(table.written for table in drafts.values())
    assert written > 1.3 * passes  # many guesses were kept, and many were not
    assert written < 10 * passes


def test_wrong_drafts_with_pads_inside_a_text_change_nothing(
    model: ReCoCa, memory: torch.Tensor
) -> None:
    """An id 0 hides the column behind it, also when it was only guessed."""

    class Wrong(Drafts):
        def draft(self, ids: Sequence[int], most: int) -> list[int]:
            return [(place * 5) % VOCABULARY for place in range(min(most, 4))]

    def favour_pads(model: ReCoCa) -> ReCoCa:
        model = copy.deepcopy(model)
        projection = model.text_decoder.text_projection
        projection.data[:, 0] = 1.5 * projection.data[:, 3]
        return model

    with_pads = favour_pads(model)
    seen = 0
    for epoch in range(2):
        for system in range(5):
            plain, drafted = plain_and_drafted(
                with_pads,
                memory[epoch : epoch + 1],
                {system: Wrong(16)},
                system,
                min_length=24,
                max_length=24,
            )
            assert drafted == plain
            seen += 0 in plain[1:-1]
    assert seen


def test_a_batch_teaches_the_drafts_of_the_next_caption(
    model: ReCoCa, memory: torch.Tensor
) -> None:
    drafts: dict[int, Drafts] = {}
    options = {"min_length": 20, "max_length": 20}
    together = generate(
        model,
        memory,
        prefixes(4),
        sot=SOT,
        eot=EOT,
        sampling=Sampling(**options),  # type: ignore[arg-type]
        drafts=drafts,
    )
    assert set(drafts) == {0}
    assert len(drafts[0])
    assert drafts[0].passes == 0  # a batch itself runs no drafts
    alone = generate(
        model,
        memory[2:3],
        prefixes(1),
        sot=SOT,
        eot=EOT,
        sampling=Sampling(**options),  # type: ignore[arg-type]
        drafts=drafts,
    )
    assert alone == together[2:3]
    assert drafts[0].written == 19


def test_quantized_weights_run_no_drafts(model: ReCoCa, memory: torch.Tensor) -> None:
    """Their activations are scaled over all rows of a pass: guesses would change the ids."""
    coarse = copy.deepcopy(model)
    prepare(coarse, "int8", "cpu")
    drafts: dict[int, Drafts] = {0: Loose(16)}
    for _ in range(2):
        plain, drafted = plain_and_drafted(coarse, memory[:1], drafts, min_length=20, max_length=20)
        assert drafted == plain
    assert drafts[0].passes == 0


def test_small_passes_take_one_thread_and_put_the_others_back() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        within = []

        def fail() -> None:
            with one_thread_for(1, 768, torch.device("cpu")):
                within.append(torch.get_num_threads())
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        assert within == [1]
        assert torch.get_num_threads() == 2
        with one_thread_for(64, 768, torch.device("cpu")):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("rows", [1, 2, 5, 8, 9])
def test_a_few_rows_give_the_product_of_many(rows: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    weight = torch.randn(24, 40, generator=generator)
    bias = torch.randn(24, generator=generator)
    x = torch.randn(1, rows, 40, generator=generator)
    expected = (x.double() @ weight.double().T + bias.double()).float()
    torch.testing.assert_close(affine(x, weight, bias), expected, atol=2e-5, rtol=0)


def test_drafts_follow_the_longest_context_and_stop_where_they_pay_no_more() -> None:
    drafts = Drafts(16)
    drafts.learn([1, 5, 6, 7, 8, 9])
    drafts.learn([1, 4, 6, 3, 8])
    assert drafts.follow([1, 5, 6], 3)[0] == [7, 8, 9]
    assert drafts.follow([1, 4, 6], 1)[0] == [3]
    assert drafts.follow([11], 3)[0] == []
    for _ in range(40):  # always right: long drafts pay
        drafts.learn([1, 5, 6, 7, 8, 9, 2, 5, 6, 7, 8, 9])
    assert len(drafts.draft([1, 5, 6], 20)) > 3
    fickle = Drafts(16)
    for token in range(200):  # never right: none pays
        fickle.learn([1, 5, 100 + token])
    assert fickle.draft([1, 5], 20) == []
