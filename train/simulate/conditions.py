"""Conditions by name: what makes one sleeper's night differ from another's, as one table.

Index values are typical of clinical series (AASM severity bands of the AHI: 5, 15, 30; a periodic
limb movement index above 15 is raised in adults); ages and saturations are plausible middles, not
means of a cohort. A night draws its own values around them.
"""

from __future__ import annotations

from dataclasses import dataclass

from sleeplm.errors import QueryError
from train.simulate.breathing import Placement
from train.simulate.hypnogram import SleepProfile

__all__ = ["CONDITIONS", "Condition", "condition_named"]

Weights = tuple[float, float, float, float, float]
RIGHT, LEFT, SUPINE, PRONE = 0, 1, 2, 3


@dataclass(frozen=True)
class Condition:
    """Causes of a night; stage tuples are W N1 N2 N3 R.

    Parameters
    ----------
    ahi : float
        Apneas and hypopneas an hour of sleep where none is asked for.
    age_y : float
        Age where none is asked for.
    sleep_onset_min, fragmentation, deep_sleep, wake_bout, rem_sleep : float
        See :class:`~train.simulate.hypnogram.SleepProfile`; breathing events fragment sleep and
        cost deep sleep beyond these.
    shares : tuple of 4 floats, or None
        Proportions of obstructive, central and mixed apneas and hypopneas; None lets obstructive
        apneas gain on hypopneas with the AHI.
    stage_weight, supine_weight : where events fall
        Relative rates by stage, and on the back against other postures.
    posture_shares : tuple of 4 floats
        Right, left, supine, prone.
    arousals_per_h : float
        Spontaneous arousals.
    reras_per_h : float
        Respiratory effort-related arousals that are asked for.
    periodic_breathing : bool
        Events are the troughs of Cheyne-Stokes breathing, and none besides.
    resting_bpm, pac_per_h, pvc_per_h : float
        Heart rate in N2 (drawn where None), and premature beats an hour.
    central_hypopneas : float
        Share of hypopneas in which the drive falls and not the airway.
    resting_spo2_pct, finger_lag_s, rem_fall_pct : float or None
        See :func:`~train.simulate.oximetry.draw_circulation`.
    atonia, alpha_strength : float
        See :func:`~train.simulate.muscle.chin_muscle` and
        :func:`~train.simulate.eeg.simulate_brain`.
    plm_per_h, leg_movements_per_h : float
        Periodic and single leg movements an hour of sleep.
    plm_arousal_share : float
        Periodic movements that come with an arousal.
    """

    ahi: float
    age_y: float = 35.0
    sleep_onset_min: float = 11.0
    fragmentation: float = 1.0
    deep_sleep: float = 1.0
    wake_bout: float = 1.0
    rem_sleep: float = 1.0
    shares: tuple[float, float, float, float] | None = None
    stage_weight: Weights = (0.0, 1.2, 1.0, 0.35, 1.6)
    supine_weight: float = 2.0
    posture_shares: tuple[float, float, float, float] = (0.26, 0.26, 0.40, 0.08)
    arousals_per_h: float = 9.0
    reras_per_h: float = 1.5
    central_hypopneas: float = 0.05
    periodic_breathing: bool = False
    resting_bpm: float | None = None
    pac_per_h: float = 1.0
    pvc_per_h: float = 0.5
    resting_spo2_pct: float | None = None
    finger_lag_s: float | None = None
    rem_fall_pct: float = 0.0
    atonia: float = 1.0
    alpha_strength: float = 1.0
    plm_per_h: float = 0.0
    leg_movements_per_h: float = 3.0
    plm_arousal_share: float = 0.3

    def profile(self, ahi: float, age_y: float) -> SleepProfile:
        """The hypnogram's parameters: breathing events fragment sleep and cost deep sleep."""
        return SleepProfile(
            sleep_onset_min=self.sleep_onset_min,
            fragmentation=self.fragmentation * (1 + ahi / 90),
            deep_sleep=self.deep_sleep / (1 + ahi / 90),
            wake_bout=self.wake_bout,
            age_y=age_y,
            rem_sleep=self.rem_sleep,
        )

    def placement(self, ahi: float) -> Placement:
        """Kinds and places of breathing events."""
        severe = min(ahi / 50.0, 1.0)
        shares = self.shares or (
            0.25 + 0.22 * severe,
            0.05,
            0.04 + 0.10 * severe,
            0.66 - 0.32 * severe,
        )
        return Placement(shares, self.stage_weight, self.supine_weight, self.central_hypopneas)


CONDITIONS: dict[str, Condition] = {
    "healthy": Condition(ahi=2.0),
    "healthy_young": Condition(ahi=1.0, age_y=22.0, deep_sleep=1.1, leg_movements_per_h=2.0),
    "healthy_old": Condition(
        ahi=4.0, age_y=72.0, plm_per_h=5.0, plm_arousal_share=0.15, pac_per_h=6.0, pvc_per_h=3.0
    ),
    "mild_osa": Condition(ahi=9.0, age_y=42.0),
    "moderate_osa": Condition(ahi=21.0, age_y=50.0),
    "severe_osa": Condition(ahi=52.0, age_y=55.0, supine_weight=1.5, leg_movements_per_h=5.0),
    "osa": Condition(ahi=20.0),
    "rem_related": Condition(
        ahi=12.0,
        shares=(0.30, 0.03, 0.02, 0.65),
        stage_weight=(0.0, 0.5, 0.5, 0.15, 14.0),
        supine_weight=1.4,
    ),
    "supine_related": Condition(
        ahi=18.0, supine_weight=12.0, posture_shares=(0.25, 0.25, 0.45, 0.05)
    ),
    "central": Condition(
        ahi=20.0,
        shares=(0.10, 0.50, 0.18, 0.22),
        stage_weight=(0.0, 1.2, 1.0, 0.4, 0.3),
        supine_weight=1.5,
        central_hypopneas=0.8,
    ),
    "insomnia": Condition(
        ahi=3.0,
        sleep_onset_min=38.0,
        fragmentation=1.7,
        deep_sleep=0.8,
        wake_bout=2.5,
        arousals_per_h=14.0,
        alpha_strength=1.4,
    ),
    "copd": Condition(
        ahi=6.0,
        age_y=64.0,
        fragmentation=1.2,
        rem_sleep=0.85,
        shares=(0.05, 0.05, 0.0, 0.90),
        stage_weight=(0.0, 0.8, 0.8, 0.5, 3.0),
        supine_weight=1.3,
        resting_spo2_pct=90.5,
        rem_fall_pct=6.0,
        resting_bpm=76.0,
        pac_per_h=6.0,
        pvc_per_h=4.0,
    ),
    "cheyne_stokes": Condition(
        ahi=30.0,
        age_y=68.0,
        fragmentation=1.2,
        deep_sleep=0.7,
        rem_sleep=0.85,
        periodic_breathing=True,
        pac_per_h=8.0,
        pvc_per_h=15.0,
        finger_lag_s=30.0,
    ),
    "plmd": Condition(
        ahi=3.0, age_y=55.0, fragmentation=1.25, plm_per_h=32.0, leg_movements_per_h=6.0
    ),
    "rbd": Condition(
        ahi=5.0,
        age_y=66.0,
        atonia=0.1,
        plm_per_h=10.0,
        leg_movements_per_h=6.0,
        plm_arousal_share=0.2,
    ),
}


def condition_named(name: str | None) -> Condition:
    """The condition of this name; sleep apnea of the common kind where none is named.

    Raises
    ------
    QueryError
        No condition has this name.
    """
    if name is None:
        return CONDITIONS["osa"]
    if name not in CONDITIONS:
        raise QueryError(f"condition {name!r} is not known; use one of {', '.join(CONDITIONS)}")
    return CONDITIONS[name]
