"""A night's channels → what a model reads, by the rules of its config (numpy only)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sleeplm.errors import MontageError
from sleeplm.model.config import ChannelRule, InputConfig

__all__ = ["normalise", "normalise_channel"]

FLAT_SD = 1e-12


def normalise(signals: Mapping[str, np.ndarray], config: InputConfig) -> np.ndarray:
    """Scale a recording's channels and cut them into epochs.

    Parameters
    ----------
    signals : dict of channel name → array
        Physical units (µV, mV, %, bpm, position codes) at ``config.rate_hz``, from the start of
        the recording; channels outside the montage are passed over.
    config : InputConfig

    Returns
    -------
    float32 array [N, C, samples]
        N complete epochs in the order of ``config.montage``. A missing channel holds its missing
        value (0, for the position code −1), and so does every sample that is not finite.

    Raises
    ------
    MontageError
        None of the montage's channels is there, or their lengths differ.
    """
    present = {name: signals[name] for name in config.montage if name in signals}
    if not present:
        raise MontageError(
            f"no channel of the model's montage was found; it reads {', '.join(config.montage)}: "
            "map labels with --map NAME=LABEL"
        )
    lengths = {name: len(samples) for name, samples in present.items()}
    if len(set(lengths.values())) > 1:
        raise MontageError(f"channels differ in length (samples: {lengths})")
    epoch_samples = round(config.rate_hz * config.epoch_s)
    n_epochs = next(iter(lengths.values())) // epoch_samples
    used = n_epochs * epoch_samples
    out = np.empty((n_epochs, len(config.montage), epoch_samples), dtype=np.float32)
    for row, name in enumerate(config.montage):
        rule = config.rule(name)
        if name not in present:
            out[:, row] = rule.missing
        else:
            samples = np.asarray(present[name])[:used].reshape(n_epochs, epoch_samples)
            if rule.kind == "zscore" and rule.scope == "epoch":
                for epoch in range(n_epochs):
                    out[epoch, row] = normalise_channel(samples[epoch], rule)
            else:
                out[:, row] = normalise_channel(samples, rule)
    return out


def normalise_channel(samples: np.ndarray, rule: ChannelRule) -> np.ndarray:
    """One channel's samples as float32 model input; what is not valid gets the missing value.

    A z-score uses mean and standard deviation of all valid samples given, so give all of the
    rule's scope. A channel that never changes is taken as not recorded there.
    """
    samples = np.asarray(samples, dtype=np.float32)
    valid = np.isfinite(samples)
    if rule.valid_range is not None:
        low, high = rule.valid_range
        with np.errstate(invalid="ignore"):
            valid &= (samples >= low) & (samples <= high)
    center, scale = rule.center, rule.scale
    if rule.kind == "zscore":
        known = samples[valid]
        center = float(known.mean(dtype=np.float64)) if known.size else 0.0
        scale = float(known.std(dtype=np.float64)) if known.size else 0.0
        if scale <= FLAT_SD * max(1.0, abs(center)):
            return np.full(samples.shape, rule.missing, dtype=np.float32)
    if rule.kind != "code":
        samples = (samples - np.float32(center)) / np.float32(scale)
    if rule.clip is not None:
        samples = np.clip(samples, -rule.clip, rule.clip)
    return np.where(valid, samples, np.float32(rule.missing)).astype(np.float32, copy=False)
