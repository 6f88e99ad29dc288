"""From scores over time to spans of events within epochs (numpy only)."""

from __future__ import annotations

import numpy as np

__all__ = ["WINDOWS_PER_EPOCH", "Span", "eroded", "shifted_windows", "spans_of"]

Span = tuple[float, float, float]
"""(start_s, end_s, score 0–1) within an epoch."""

#: Windows of one epoch's length begin at so many places of each epoch.
WINDOWS_PER_EPOCH = 4

# An event starts where its probability reaches the first, and lasts as long as the second.
ONSET_PROBABILITY = 0.5
HOLD_PROBABILITY = 0.3
CLOSED_GAP_S = 1.0
SHORTEST_EVENT_S = 1.0


def shifted_windows(signals: np.ndarray, epochs: np.ndarray, shift: int) -> np.ndarray:
    """Windows [len(epochs), C, samples] that begin ``shift`` parts into each of the epochs.

    Parameters
    ----------
    signals : array [N, C, samples]
        Epochs that follow one another.
    epochs : int array
        Indices, none of them the last epoch.
    shift : int
        1 … WINDOWS_PER_EPOCH − 1 parts of an epoch.
    """
    offset = signals.shape[-1] * shift // WINDOWS_PER_EPOCH
    return np.concatenate(
        (signals[epochs][..., offset:], signals[epochs + 1][..., :offset]), axis=-1
    )


def eroded(windows: np.ndarray) -> np.ndarray:
    """Scores of the parts of epochs from the scores of the windows that cover them.

    A window scores high wherever in it the event lies, so a part holds the event only if *every*
    window over it does: the minimum over them.

    Parameters
    ----------
    windows : array [N, WINDOWS_PER_EPOCH]
        Score of the window that begins at each part; behind the start of the last epoch none do.

    Returns
    -------
    array [N, WINDOWS_PER_EPOCH]
    """
    if not len(windows):
        return windows.copy()
    parts = windows.shape[1]
    begins = windows.ravel()[: (len(windows) - 1) * parts + 1]
    # Part t is covered by the windows that begin at t − parts + 1 … t, where there are such.
    padded = np.pad(begins, parts - 1, constant_values=np.inf)
    covering = np.lib.stride_tricks.sliding_window_view(padded, parts)
    return covering.min(axis=1).reshape(windows.shape)


def spans_of(probabilities: np.ndarray, bin_s: float) -> list[Span]:
    """Events in the probabilities [bins] of one epoch, by onset.

    Hysteresis: an event needs one bin at ONSET_PROBABILITY and lasts over its neighbours at
    HOLD_PROBABILITY. Gaps below CLOSED_GAP_S are closed. What is shorter than SHORTEST_EVENT_S is
    dropped unless it touches an edge of the epoch, where it may go on.
    """
    held = np.concatenate(([False], probabilities >= HOLD_PROBABILITY, [False]))
    edges = np.flatnonzero(held[1:] != held[:-1]).reshape(-1, 2)
    runs = [
        [int(first), int(last)]
        for first, last in edges
        if probabilities[first:last].max() >= ONSET_PROBABILITY
    ]
    joined: list[list[int]] = []
    for first, last in runs:
        if joined and (first - joined[-1][1]) * bin_s < CLOSED_GAP_S:
            joined[-1][1] = last
        else:
            joined.append([first, last])
    return [
        (first * bin_s, last * bin_s, float(probabilities[first:last].mean()))
        for first, last in joined
        if (last - first) * bin_s >= SHORTEST_EVENT_S or first == 0 or last == len(probabilities)
    ]
