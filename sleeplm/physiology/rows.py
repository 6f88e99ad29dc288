"""Statistics by row of tables with gaps, all rows at once."""

from __future__ import annotations

import numpy as np

__all__ = ["row_percentile"]


def row_percentile(ordered: np.ndarray, share: float) -> np.ndarray:
    """A percentile of the known values of each row, interpolated linearly between them.

    Parameters
    ----------
    ordered : array [n_rows, n_columns]
        Each row ascending with its nan last, as :func:`numpy.sort` leaves them.
    share : float
        0–1; 0.5 is the median.

    Returns
    -------
    array [n_rows], nan where a row holds no value.
    """
    known = np.isfinite(ordered).sum(axis=1)
    place = share * np.maximum(known - 1, 0)
    below = place.astype(int)
    above = np.minimum(below + 1, np.maximum(known - 1, 0))
    rows = np.arange(len(ordered))
    low, high = ordered[rows, below], ordered[rows, above]
    return np.asarray(low + (place - below) * (high - low))
