"""Agreement of two scorers against hand counts, and what to review first."""

import numpy as np
import pytest

from sleeplm.agreement import event_agreement, matched_pairs, review_first, stage_agreement
from sleeplm.recording import Recording
from sleeplm.scoring import Event, Scorer, Scoring
from sleeplm.summary import summarize


def test_kappa_and_confusion_match_a_hand_count() -> None:
    first = Scoring(("W", "W", "N2", "N2", "N2", "R", "unscored", "N3"))
    second = Scoring(("W", "N2", "N2", "N2", "N3", "R", "N2", "unscored"))
    agreed = stage_agreement(first, second)
    # 6 shared epochs, 4 the same; by chance (2·1 + 3·3 + 0·1 + 1·1) / 36 = 1/3.
    assert agreed.epochs == 6
    assert agreed.agreement_percent == pytest.approx(100 * 4 / 6)
    assert agreed.kappa == pytest.approx((4 / 6 - 1 / 3) / (1 - 1 / 3))
    assert agreed.confusion["N2"] == {"W": 0, "N1": 0, "N2": 2, "N3": 1, "R": 0}


def test_scorings_without_a_shared_epoch_have_no_kappa() -> None:
    agreed = stage_agreement(Scoring(("W", "unscored")), Scoring(("unscored", "W")))
    assert (agreed.epochs, agreed.kappa, agreed.agreement_percent) == (0, None, None)
    assert stage_agreement(Scoring(("W", "W")), Scoring(("W", "W"))).kappa is None


def test_each_event_is_matched_once_to_the_most_alike() -> None:
    first = [Event("hypopnea", 100, 20), Event("hypopnea", 200, 20), Event("hypopnea", 300, 10)]
    second = [
        Event("hypopnea", 95, 20),  # IoU with the first: 15 / 25
        Event("hypopnea", 104, 16),  # IoU with the first: 16 / 20, which is more
        Event("hypopnea", 216, 20),  # IoU with the second: 4 / 36
        Event("hypopnea", 303, 10),  # IoU with the third: 7 / 13
    ]
    assert sorted(matched_pairs(first, second)) == [(0, 1), (2, 3)]
    agreed = event_agreement(Scoring((), tuple(first)), Scoring((), tuple(second)), ["hypopnea"])
    assert agreed is not None
    assert (agreed.first, agreed.second, agreed.matched) == (3, 4, 2)
    assert agreed.f1 == pytest.approx(2 * 2 / 7)


def test_kinds_that_one_did_not_look_for_are_not_compared() -> None:
    sought = Scoring((), (Event("arousal", 5, 4),))
    unsought = Scoring((), scored_kinds=("hypopnea",))
    assert event_agreement(sought, unsought, ["arousal"]) is None


def scored(kind: str, n_hypopneas: int, stages: tuple[str, ...] = ("N2",) * 120) -> Scoring:
    events = tuple(Event("hypopnea", 60.0 + 90 * index, 20.0) for index in range(n_hypopneas))
    return Scoring(stages, events, scorer=Scorer(kind, kind))


def test_a_difference_that_changes_the_severity_class_is_said() -> None:
    recording = Recording.from_signals({"AF": np.ones(120 * 1920, np.float32)})
    summary = summarize(scored("expert", 10), recording, others=[scored("automatic", 20)])
    assert summary.agreement is not None
    agreed = summary.agreement["automatic"]
    assert agreed.differences["ahi"] == pytest.approx(-10.0)
    assert agreed.severity == (
        "The difference changes the severity class of the AHI: "
        "expert 10.0/h (mild) against automatic 20.0/h (moderate)."
    )
    same = summarize(scored("expert", 10), recording, others=[scored("model", 11)])
    assert same.agreement is not None
    assert same.agreement["model"].severity is None
    assert same.agreement["model"].events["hypopnea"].matched == 10


def test_three_witnesses_are_compared_in_pairs() -> None:
    recording = Recording.from_signals({"AF": np.ones(120 * 1920, np.float32)})
    others = [scored("automatic", 20), scored("model", 30)]
    summary = summarize(scored("expert", 10), recording, others=others)
    assert summary.agreement is not None
    assert set(summary.agreement) == {"automatic", "model", "automatic/model"}
    assert summary.agreement["automatic/model"].differences["ahi"] == pytest.approx(-10.0)


def test_the_stretch_where_witnesses_differ_comes_first_with_its_reason() -> None:
    other = ("N2",) * 40 + ("W",) * 10 + ("N2",) * 70
    found = review_first({"expert": scored("expert", 0), "model": scored("model", 0, other)})
    assert [(stretch.epoch, stretch.last_epoch) for stretch in found] == [(41, 50)]
    assert (found[0].onset_s, found[0].end_s) == (1200.0, 1500.0)
    assert found[0].why == "stages differ in 100 % of the comparisons"


def test_low_confidence_alone_is_a_reason_to_look() -> None:
    sure = np.tile(np.array([0.02, 0.02, 0.92, 0.02, 0.02], np.float32), (120, 1))
    sure[60:75] = (0.1, 0.3, 0.4, 0.1, 0.1)
    sure[90] = np.nan
    scoring = Scoring(("N2",) * 120, scorer=Scorer("automatic"), probabilities=sure)
    found = review_first({"automatic": scoring})
    assert found[0].epoch in range(61, 67)
    assert "probability of 0.40" in found[0].why
    assert review_first({"automatic": scored("automatic", 0)}) == []
