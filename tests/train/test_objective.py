"""The loss terms against values worked out by hand."""

import math

import torch

from train.objective import (
    Embeddings,
    contrastive_loss,
    contrastive_pull,
    masked_bce,
    number_loss,
    reconstruction_loss,
    stage_loss,
)


def contrastive(logits: torch.Tensor, keys: list[int]) -> float:
    """The loss of these logits [B, B]: signals that have them as likeness to unit texts."""
    rows = Embeddings(logits, torch.eye(len(logits)), torch.tensor(keys))
    return float(contrastive_loss(rows, torch.tensor(0.0)))


def test_contrastive_loss_of_equal_logits_is_the_log_of_the_batch() -> None:
    assert math.isclose(contrastive(torch.zeros(4, 4), [1, 2, 3, 4]), math.log(4), rel_tol=1e-6)


def test_an_equal_text_is_a_right_answer_and_not_a_wrong_one() -> None:
    same, own = [7, 7, 9], [1, 2, 3]
    alike = torch.tensor([[5.0, 5.0, -5.0], [5.0, 5.0, -5.0], [-5.0, -5.0, 5.0]])
    # Both equal texts share the probability: −log ½ for two rows, about 0 for the third.
    assert math.isclose(contrastive(alike, same), 2 / 3 * math.log(2), rel_tol=1e-3)
    apart = alike.clone()
    apart[0, 1] = apart[1, 0] = -5.0
    assert contrastive(apart, same) > contrastive(alike, same)
    assert contrastive(apart, own) < contrastive(alike, own)


def test_the_pull_on_embeddings_is_the_gradient_of_the_whole_batch() -> None:
    torch.manual_seed(0)
    signal, text = torch.randn(6, 4, requires_grad=True), torch.randn(6, 4, requires_grad=True)
    scale, key = torch.tensor(0.7, requires_grad=True), torch.tensor([1, 2, 2, 3, 4, 1])
    loss = contrastive_loss(Embeddings(signal, text, key), scale)
    loss.backward()
    parts = [
        Embeddings(signal.detach()[rows], text.detach()[rows], key[rows])
        for rows in (slice(0, 2), slice(2, 6))
    ]
    pulls, by_scale, value = contrastive_pull(parts, scale)
    torch.testing.assert_close(torch.cat([pull.signal for pull in pulls]), signal.grad)
    torch.testing.assert_close(torch.cat([pull.text for pull in pulls]), text.grad)
    torch.testing.assert_close(by_scale, scale.grad)
    torch.testing.assert_close(value, loss.detach())


def test_reconstruction_looks_at_recorded_channels_only() -> None:
    truth = torch.zeros(1, 2, 8)
    rebuilt = torch.stack([torch.full((8,), 2.0), torch.full((8,), 100.0)])[None]
    present = torch.tensor([[True, False]])
    assert float(reconstruction_loss(rebuilt, truth, present)) == 4.0


def test_unknown_targets_teach_nothing() -> None:
    logits = torch.tensor([0.0, 50.0], requires_grad=True)
    loss = masked_bce(logits, torch.tensor([1.0, float("nan")]))
    loss.backward()
    assert math.isclose(loss.item(), math.log(2), rel_tol=1e-6)
    assert logits.grad is not None
    assert logits.grad[1] == 0


def test_number_loss_is_linear_beyond_its_knee() -> None:
    loss = number_loss(torch.tensor([[1.0, 9.0]]), torch.tensor([[0.0, float("nan")]]))
    assert math.isclose(float(loss), 1.0 - 0.05 / 2, rel_tol=1e-6)


def test_a_batch_without_a_known_stage_teaches_none() -> None:
    logits = torch.randn(3, 5, requires_grad=True)
    loss = stage_loss(logits, torch.tensor([-1, -1, -1]))
    loss.backward()
    assert float(loss) == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()
