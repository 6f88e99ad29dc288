"""The vectors of a store's nights as files beside Chroma, so that a filtered search is exact.

A graph index finds few of the rows that a narrow filter allows; a matrix product finds all of them,
in milliseconds at the sizes of a laboratory. One file a night holds its epochs' unit vectors in
order, and the night's own vector as the last row.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

__all__ = ["NightVectors", "remove_vectors"]

_PREFIX = "vectors-"


class NightVectors:
    """The files of one model's nights.

    Parameters
    ----------
    folder : Path
        The store's folder.
    name : str
        Of the model and dimension, as the collections have it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder / f"{_PREFIX}{name}"

    def save(self, night: str, epochs: np.ndarray, own: np.ndarray) -> None:
        """Keep a night's vectors, float32 [n_epochs, dimension] and [dimension]."""
        self.folder.mkdir(exist_ok=True)
        unfinished = self.folder / f"{night}.unfinished.npy"
        np.save(unfinished, np.vstack([epochs, own[None, :]]).astype(np.float32))
        os.replace(unfinished, self.folder / f"{night}.npy")

    def load(
        self,
        nights: Iterable[tuple[str, int]],
        otherwise: Callable[[str, int], np.ndarray],
        dimension: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """All epochs and all nights, float32 [n, dimension], in the order given.

        Parameters
        ----------
        nights : iterable of (pseudonym, number of epochs)
        otherwise : callable
            Gives a night's rows where its file is missing or of another length.
        dimension : int
        """
        epochs: list[np.ndarray] = [np.zeros((0, dimension), np.float32)]
        own: list[np.ndarray] = [np.zeros((0, dimension), np.float32)]
        for night, count in nights:
            rows = self._read(night)
            if rows is None or rows.shape != (count + 1, dimension):
                rows = otherwise(night, count)
            epochs.append(rows[:-1])
            own.append(rows[-1:])
        return np.concatenate(epochs), np.concatenate(own)

    def _read(self, night: str) -> np.ndarray | None:
        try:
            return np.asarray(np.load(self.folder / f"{night}.npy"))
        except (OSError, ValueError):
            return None


def remove_vectors(folder: Path, night: str) -> None:
    """Delete a night's files of every model."""
    for path in folder.glob(f"{_PREFIX}*/{night}.*npy"):
        path.unlink()
