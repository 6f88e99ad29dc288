"""Sleep stages by YASA (Vallat & Walker, eLife 2021;10:e70092), with the probability of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sleeplm.autoscore.channels import Usable
from sleeplm.errors import ScoringError
from sleeplm.scoring import STAGES, UNSCORED

if TYPE_CHECKING:
    import mne

__all__ = ["LEAST_STAGING_S", "stage"]

LEAST_STAGING_S = 1800.0
"""YASA normalises by the recording itself. On excerpts of the ``prerau-dynamo`` night its accuracy
falls as low as 0.20 to 0.35 in 10 to 20 minutes, and stays at 0.70 or more from 30 minutes on."""
STAGING_RATE_HZ = 100
"""YASA works at 100 Hz and refuses less than 80 Hz."""
_OWN_WORDS = {"WAKE": "W", "REM": "R", "N1": "N1", "N2": "N2", "N3": "N3"}


def stage(
    usable: Usable, metadata: Mapping[str, float] | None = None
) -> tuple[tuple[str, ...], np.ndarray]:
    """Stage every epoch in which the EEG measures anything.

    The 64-Hz signals are brought to the 100 Hz that the classifier was made for. What they lack is
    the band above 32 Hz, which its filter (0.4–30 Hz) takes out anyway: on the real
    ``prerau-dynamo`` night κ with the expert is 0.82 this way and 0.78 from the file's own 100 Hz.

    Parameters
    ----------
    usable : Usable
        With an ``eeg``; the EOG and chin EMG are used where they are good for most of the night.
    metadata : mapping, optional
        ``age`` in years and ``male`` (1 or 0), as YASA takes them.

    Returns
    -------
    stages : tuple of str [n_epochs]
        ``unscored`` where the EEG is flat, clipped or detached.
    probabilities : float32 array [n_epochs, 5]
        In the order of :data:`sleeplm.scoring.STAGES`; NaN where unscored.

    Raises
    ------
    ScoringError
        The metadata are not an age and a sex.
    """
    import pandas as pd
    import yasa

    assert usable.eeg is not None
    eog = next((name for name in ("EOG_L", "EOG_R") if _mostly_good(usable, name)), None)
    emg = "EMG_CHIN" if _mostly_good(usable, "EMG_CHIN") else None
    if eog is None:
        # YASA has a classifier with EEG and EOG, but none with EEG and EMG alone.
        emg = None
    names = [name for name in (usable.eeg, eog, emg) if name is not None]
    staging = yasa.SleepStaging(
        _raw_at_staging_rate(usable, names),
        eeg_name=usable.eeg,
        eog_name=eog,
        emg_name=emg,
        metadata=_checked(metadata),
    )
    hypnogram = staging.predict()
    table: pd.DataFrame = hypnogram.proba.rename(columns=_OWN_WORDS)
    probabilities = table[list(STAGES)].to_numpy(dtype=np.float32)
    n_epochs = len(usable.good[usable.eeg])
    if len(probabilities) != n_epochs:
        raise ScoringError(
            f"staging gave {len(probabilities)} epochs for a recording of {n_epochs}; "
            "report this recording's length"
        )
    good = usable.good[usable.eeg]
    probabilities = np.where(good[:, None], probabilities, np.float32(np.nan))
    best = np.where(good[:, None], probabilities, 0).argmax(axis=1)
    stages = tuple(
        STAGES[index] if fine else UNSCORED for index, fine in zip(best, good, strict=True)
    )
    return stages, probabilities


def _mostly_good(usable: Usable, name: str) -> bool:
    return name in usable.signals and float(usable.good[name].mean()) >= 0.5


def _raw_at_staging_rate(usable: Usable, names: list[str]) -> mne.io.BaseRaw:
    """The channels in volts, as MNE keeps them, at the rate of the classifier."""
    import mne
    from scipy.signal import resample_poly

    data = np.stack(
        [resample_poly(usable.signals[name].astype(np.float64), 25, 16) * 1e-6 for name in names]
    )
    kinds = [{"EEG": "eeg", "EOG": "eog", "EMG": "emg"}[name.partition("_")[0]] for name in names]
    return mne.io.RawArray(
        data, mne.create_info(names, float(STAGING_RATE_HZ), kinds), verbose="ERROR"
    )


def _checked(metadata: Mapping[str, float] | None) -> dict[str, Any] | None:
    if not metadata:
        return None
    age, male = metadata.get("age"), metadata.get("male")
    if set(metadata) != {"age", "male"} or age is None or male is None:
        raise ScoringError("metadata for staging need both: age (years) and male (1 or 0)")
    if not 0 < age < 120 or male not in (0, 1):
        raise ScoringError(f"age {age} and male {male} are not usable; age in years, male 1 or 0")
    return {"age": int(age), "male": int(male)}
