"""How far two scorings of one night agree."""

from __future__ import annotations

from sleeplm.scoring import STAGES, UNSCORED, Scoring

__all__ = ["stage_agreement"]


def stage_agreement(first: Scoring, second: Scoring) -> dict[str, float]:
    """Agreement of the stages over the epochs that both have scored.

    Returns
    -------
    dict
        ``epochs`` (how many were compared), ``agreement_percent``, and ``kappa`` (Cohen 1960), each
        only where it is defined: no shared epoch leaves ``epochs`` alone, and two scorings of one
        and the same single stage have no κ.
    """
    pairs = [
        (mine, theirs)
        for mine, theirs in zip(first.stages, second.stages, strict=False)
        if UNSCORED not in (mine, theirs)
    ]
    found = {"epochs": float(len(pairs))}
    if not pairs:
        return found
    same = sum(mine == theirs for mine, theirs in pairs) / len(pairs)
    found["agreement_percent"] = 100 * same
    chance = sum(
        sum(mine == stage for mine, _ in pairs) * sum(theirs == stage for _, theirs in pairs)
        for stage in STAGES
    ) / (len(pairs) ** 2)
    if chance < 1:
        found["kappa"] = (same - chance) / (1 - chance)
    return found
