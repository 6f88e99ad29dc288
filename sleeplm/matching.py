"""Which events of two lists are one and the same."""

from __future__ import annotations

from collections.abc import Sequence

from sleeplm.scoring import Event

__all__ = ["LEAST_IOU", "matched_pairs"]

LEAST_IOU = 0.3
"""Two events are one when the time they share is this part of the time that they cover together."""


def matched_pairs(
    first: Sequence[Event], second: Sequence[Event], least_iou: float = LEAST_IOU
) -> list[tuple[int, int]]:
    """Indices of events that are one and the same, each used once, the most alike first."""
    candidates = []
    begin = 0
    starts = [event.onset_s for event in second]
    longest = max((event.duration_s for event in second), default=0.0)
    for index, event in enumerate(first):
        while begin < len(second) and starts[begin] < event.onset_s - longest:
            begin += 1
        for other_index in range(begin, len(second)):
            other = second[other_index]
            if other.onset_s >= event.end_s:
                break
            shared = min(event.end_s, other.end_s) - max(event.onset_s, other.onset_s)
            covered = max(event.end_s, other.end_s) - min(event.onset_s, other.onset_s)
            if covered > 0 and shared / covered >= least_iou:
                candidates.append((shared / covered, index, other_index))
    pairs: list[tuple[int, int]] = []
    used_first: set[int] = set()
    used_second: set[int] = set()
    for _, index, other_index in sorted(candidates, reverse=True):
        if index not in used_first and other_index not in used_second:
            used_first.add(index)
            used_second.add(other_index)
            pairs.append((index, other_index))
    return pairs
