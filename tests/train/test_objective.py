"""The loss terms against values worked out by hand."""

import math

import torch

from train.objective import contrastive_loss, masked_bce, number_loss, reconstruction_loss


def test_contrastive_loss_of_equal_logits_is_the_log_of_the_batch() -> None:
    loss = contrastive_loss(torch.zeros(4, 4), torch.eye(4, dtype=torch.bool))
    assert math.isclose(float(loss), math.log(4), rel_tol=1e-6)


def test_an_equal_text_is_a_right_answer_and_not_a_wrong_one() -> None:
    same = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    alike = torch.tensor([[5.0, 5.0, -5.0], [5.0, 5.0, -5.0], [-5.0, -5.0, 5.0]])
    # Both equal texts share the probability: −log ½ for two rows, about 0 for the third.
    assert math.isclose(float(contrastive_loss(alike, same)), 2 / 3 * math.log(2), rel_tol=1e-3)
    only_own = contrastive_loss(alike, torch.eye(3, dtype=torch.bool))
    apart = alike.clone()
    apart[0, 1] = apart[1, 0] = -5.0
    assert float(contrastive_loss(apart, same)) > float(contrastive_loss(alike, same))
    assert float(contrastive_loss(apart, torch.eye(3, dtype=torch.bool))) < float(only_own)


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
