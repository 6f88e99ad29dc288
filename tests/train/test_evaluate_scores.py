"""Scores of the evaluation against values worked out by hand."""

import math

import numpy as np
import pytest

from sleeplm.scoring import Event
from train.evaluate.linear import LogisticRegression
from train.evaluate.probes import drawn_share
from train.evaluate.retrieval import ranked
from train.evaluate.scores import (
    auroc,
    bland_altman,
    class_scores,
    cohen_kappa,
    event_scores,
    f1_binary,
    rouge_l,
    spearman,
)


def test_kappa_of_a_worked_table() -> None:
    # Observed agreement .7 (20 + 15 of 50), by chance .5: Cohen's κ is .4.
    truth = ["a"] * 25 + ["b"] * 25
    read = ["a"] * 20 + ["b"] * 5 + ["a"] * 10 + ["b"] * 15
    assert math.isclose(cohen_kappa(truth, read), 0.4)
    assert cohen_kappa(["a", "b"], ["a", "b"]) == 1.0
    assert cohen_kappa(["a", "a"], ["a", "a"]) == 0.0


def test_class_scores_are_means_over_the_labels_that_are_there() -> None:
    scores = class_scores(["W", "W", "N2", "R"], ["W", "N2", "N2", "N2"])
    assert scores["recall"] == {"W": 0.5, "N2": 1.0, "R": 0.0}
    assert math.isclose(scores["balanced_accuracy"], 0.5)
    # F1 of W 2·1/3, of N2 2·1/4, of R 0.
    assert math.isclose(scores["macro_f1"], (2 / 3 + 1 / 2 + 0) / 3)
    assert scores["accuracy"] == 0.5


def test_auroc_counts_ties_half() -> None:
    truth = np.array([1, 1, 0, 0])
    assert auroc(truth, np.array([4.0, 3.0, 2.0, 1.0])) == 1.0
    assert auroc(truth, np.array([1.0, 1.0, 1.0, 1.0])) == 0.5
    # Pairs: 3>2, 3>1, 2=2 (half), 2>1: 3.5 of 4.
    assert auroc(truth, np.array([3.0, 2.0, 2.0, 1.0])) == 0.875
    assert auroc(np.ones(3), np.arange(3.0)) is None
    assert auroc(truth, np.array([4.0, np.nan, 2.0, 1.0])) == 1.0


def test_f1_of_nothing_true_and_nothing_read_is_not_defined() -> None:
    assert f1_binary(np.zeros(3), np.zeros(3)) is None
    assert f1_binary(np.array([1, 1, 0]), np.array([1, 0, 1])) == 0.5


def test_spearman_follows_order_and_not_size() -> None:
    assert math.isclose(spearman(np.array([1, 2, 3, 4]), np.array([1, 10, 100, 1e6])) or 0, 1.0)
    assert math.isclose(spearman(np.array([1, 2, 3]), np.array([3, 2, 1])) or 0, -1.0)
    # Ranks 1 2 3 4 5 and 2 1 4 3 5: ρ = 1 − 6·4 / (5·24) = 0.8.
    found = spearman(np.array([1, 2, 3, 4, 5]), np.array([2, 1, 4, 3, 5]))
    assert found is not None
    assert math.isclose(found, 0.8)
    assert spearman(np.ones(4), np.arange(4.0)) is None


def test_bland_altman_of_three_nights() -> None:
    found = bland_altman([10.0, 20.0, 30.0], [12.0, 21.0, 33.0])
    assert found is not None
    assert math.isclose(found.bias, 2.0)
    assert math.isclose(found.mean_absolute_error, 2.0)
    # Differences 2, 1, 3: standard deviation 1.
    assert found.low is not None
    assert found.high is not None
    assert math.isclose(found.low, 0.04)
    assert math.isclose(found.high, 3.96)
    assert found.r is not None
    assert 0.99 < found.r < 1.0


def test_bland_altman_leaves_out_what_is_not_known() -> None:
    one = bland_altman([1.0, float("nan")], [2.0, 3.0])
    assert one is not None
    assert (one.n, one.bias, one.low, one.r) == (1, 1.0, None, None)
    assert bland_altman([float("nan")], [1.0]) is None


def test_rouge_l_of_lins_example() -> None:
    # Lin 2004: the common subsequence of both is "police the gunman" / "the gunman police".
    truth = "police killed the gunman"
    assert math.isclose(rouge_l(truth, "police kill the gunman"), 3 / 4)
    assert math.isclose(rouge_l(truth, "the gunman kill police"), 2 / 4)
    assert rouge_l(truth, truth.upper()) == 1.0
    assert rouge_l(truth, "") == 0.0
    # Three of five said, three of four true: F1 is 2/3.
    assert math.isclose(rouge_l(truth, "police soon kill the gunman"), 2 / 3)


def test_events_are_matched_once_and_by_overlap() -> None:
    truth = [Event("hypopnea", 0.0, 10.0), Event("hypopnea", 100.0, 20.0)]
    # IoU 8/12 of the first, 7/20 of the second; the third has no partner.
    read = [
        Event("hypopnea", 2.0, 10.0),
        Event("hypopnea", 100.0, 7.0),
        Event("hypopnea", 200.0, 5.0),
    ]
    scores = event_scores([(truth, read)])
    assert (scores["true"], scores["read"]) == (2, 3)
    assert math.isclose(scores["f1_iou_0.3"], 4 / 5)
    assert math.isclose(scores["f1_iou_0.5"], 2 / 5)
    assert math.isclose(scores["iou"], (8 / 12 + 7 / 20) / 2)
    assert math.isclose(scores["onset_error_s"], 1.0)
    assert event_scores([(truth, [])])["onset_error_s"] is None


def test_the_probe_separates_what_is_separable_and_knows_no_more() -> None:
    rng = np.random.default_rng(0)
    centers = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]])
    labels = [("N1", "N2", "N3")[row % 3] for row in range(300)]
    rows = np.stack([centers[row % 3] + rng.normal(size=2) for row in range(300)])
    probe = LogisticRegression().fit(rows[:150], labels[:150])
    read = probe.predict(rows[150:])
    assert np.mean([a == b for a, b in zip(read, labels[150:], strict=True)]) > 0.95
    assert np.allclose(probe.probabilities(rows).sum(axis=1), 1.0)
    noise = rng.normal(size=(400, 2))
    words = ["yes" if one else "no" for one in rng.random(400) < 0.5]
    blind = LogisticRegression().fit(noise[:200], words[:200])
    said = blind.probabilities(noise[200:])[:, 1]
    area = auroc(np.array(words[200:]) == "yes", said)
    assert area is not None
    assert 0.38 < area < 0.62


def test_the_probe_agrees_with_an_independent_one() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(200, 3))
    truth = rows @ np.array([1.0, -2.0, 0.0]) + rng.normal(size=200) > 0
    words = np.where(truth, "yes", "no")
    mine = LogisticRegression(strength=1e-2).fit(rows, list(words))
    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    # Weights ±v/2 of two classes: strength/4·|v|² here, |v|²/(2·C·n) there.
    other = linear_model.LogisticRegression(
        C=1 / (0.5e-2 * 200), class_weight="balanced", tol=1e-8
    ).fit(scaled, words)
    mine_said, other_said = mine.probabilities(rows)[:, 1], other.predict_proba(scaled)[:, 1]
    assert np.abs(mine_said - other_said).max() < 0.01


def test_the_probe_refuses_what_is_not_finite() -> None:
    with pytest.raises(ValueError, match="finite"):
        LogisticRegression().fit(np.array([[np.nan]]), ["a"])


def test_a_share_of_labels_keeps_every_class() -> None:
    labels = ["N2"] * 96 + ["N1"] * 4
    rows = drawn_share(labels, 0.01, np.random.default_rng(0))
    assert sorted(labels[row] for row in rows) == ["N1", "N2"]
    assert len(drawn_share(labels, 0.5, np.random.default_rng(0))) == 50
    assert list(drawn_share(labels, 1.0, np.random.default_rng(0))) == list(range(100))


def test_equal_texts_do_not_all_come_first() -> None:
    # Row 0 finds its own alone; rows 1 and 2 cannot tell their texts apart: both are 1.5th.
    similarity = np.array([[0.9, 0.1, 0.1], [0.2, 0.7, 0.7], [0.2, 0.6, 0.6]])
    assert list(ranked(similarity)) == [1.0, 1.5, 1.5]
    assert list(ranked(np.array([[0.1, 0.5], [0.9, 0.2]]))) == [2.0, 2.0]
