"""Short texts and questions: each is made of claims that are true and can be read back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sleeplm.caption_context import EpochContext
from sleeplm.captions import CaptionEvent, CaptionFields
from train.captions.mix import TextMix, contrastive_text, left_to_see
from train.captions.short import (
    SIGNS,
    ShortFields,
    read_short,
    render_short,
    short_fields,
    short_form,
)

KINDS = ("obstructive_apnea", "central_apnea", "hypopnea", "desaturation", "arousal", "plm")


@pytest.mark.parametrize("seed", range(3))
def test_a_short_text_reads_back_as_its_claims(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(400):
        kinds = tuple(rng.choice(KINDS, int(rng.integers(0, 3)), replace=False).tolist())
        stage = str(rng.choice(["W", "N1", "N2", "N3", "R"])) if not kinds else None
        short = ShortFields(
            stage=stage,
            kinds=kinds,
            quiet=not kinds and bool(rng.random() < 0.5),
            sign=str(rng.choice(list(SIGNS))) if rng.random() < 0.6 else None,
            position=str(rng.choice(["supine", "left", "right", "upright"])),
        )
        text = render_short(short, rng)
        assert read_short(text) == short, text


def apnea(depth_pct: float | None, near: int = 1) -> CaptionFields:
    return CaptionFields(
        stage="R",
        position="supine",
        events=[CaptionEvent("obstructive_apnea", 2.0, 27.0)],
        context=EpochContext(desaturation_depth_pct=depth_pct, near={"breathing": near}),
    )


def texts(fields: CaptionFields, times: int = 300) -> str:
    rng = np.random.default_rng(8)
    return " | ".join(short_form(fields, rng) for _ in range(times)).lower()


def test_people_find_an_apnea_by_the_depth_of_its_desaturation() -> None:
    deep, slight = texts(apnea(14.0)), texts(apnea(3.5))
    assert "obstructive apnea with a deep desaturation" in deep
    assert "slight" not in deep
    assert "deep desaturation" not in slight
    assert "a slight desaturation" in slight
    assert "desaturation" not in texts(apnea(None))


def test_people_find_rem_with_broken_breathing_and_quiet_sleep_with_spindles() -> None:
    assert "broken breathing" in texts(apnea(None, near=6))
    assert "broken breathing" not in texts(apnea(None, near=4))
    quiet = CaptionFields(stage="N2", no_event=True, values={"eeg_c3_spindle_count": 3.0})
    assert "quiet n2 with spindles" in texts(quiet, 2000)
    assert "spindle" not in texts(replace(quiet, values={"eeg_c3_spindle_count": 1.0}))
    assert "spindle" not in texts(replace(quiet, stage="W"))


def test_every_claim_is_true_of_the_epoch() -> None:
    rng = np.random.default_rng(5)
    fields = apnea(12.0, near=9)
    for _ in range(200):
        short = short_fields(fields, rng)
        assert short.stage in (None, "R")
        assert set(short.kinds) <= {"obstructive_apnea"}
        assert short.position in (None, "supine")
        assert not short.quiet
        assert short.sign is None or SIGNS[short.sign][0](fields)


def test_a_question_is_turned_into_what_it_looks_for() -> None:
    rng = np.random.default_rng(6)
    asked = {render_short(ShortFields(kinds=("arousal",)), rng) for _ in range(300)}
    assert {"show me arousal", "arousal", "where is arousal", "when did arousal happen"} <= asked


MEASURED = CaptionFields(
    stage="N2",
    no_event=True,
    values={"eeg_c3_delta_pct": 61.0, "eeg_c3_spindle_count": 3.0, "thx_abd_phase_deg": 20.0},
    context=EpochContext(desaturation_depth_pct=5.0, since_onset_min=60.0, near={"breathing": 2}),
)


def mixed(mix: TextMix, times: int = 400) -> list[str]:
    rng = np.random.default_rng(12)
    return [contrastive_text(MEASURED, rng, mix) for _ in range(times)]


def test_a_mix_keeps_its_shares_and_leaves_own_fields_out_unless_asked() -> None:
    plain = mixed(TextMix(joint=1.0, stage_event=0.0, prompts=0.0))
    assert not any("spindle" in text or "asynchrony" in text for text in plain)
    assert not any("onset" in text for text in plain)
    own = mixed(TextMix(joint=1.0, stage_event=0.0, prompts=0.0, own_fields=True, context=0.5))
    assert 0.1 < np.mean(["spindle" in text for text in own]) < 0.2
    assert any("sleep onset" in text for text in own)
    released = mixed(TextMix(joint=1.0, stage_event=0.0, prompts=0.0, released=1.0))
    assert any("Central EEG Activity (C3-A2)" in text for text in released)
    prompts = mixed(TextMix(joint=0.0, stage_event=0.0, prompts=1.0))
    assert set(prompts) <= {
        "N2 sleep.",
        "The stage of this epoch is Stable Light Sleep (N2).",
        "The subject is in Stable Light Sleep (N2) in this epoch.",
        "This epoch is scored as Stable Light Sleep (N2).",
    }
    with pytest.raises(TypeError, match="add to 1 at most"):
        TextMix(joint=0.9, stage_event=0.2)


def test_a_dropped_channel_hides_what_needs_it() -> None:
    left = left_to_see(MEASURED, {"ABD", "SPO2"}, {"desaturation"})
    assert left.values.keys() == {"eeg_c3_delta_pct", "eeg_c3_spindle_count"}
    assert left.missing == ["ABD", "SPO2"]
    assert left.context.desaturation_depth_pct is None
    assert left.context.near == {"breathing": 2}
    assert MEASURED.context.desaturation_depth_pct == 5.0
    unseen = left_to_see(MEASURED, {"ABD", "THX", "AF"}, set())
    assert unseen.context.near == {}
