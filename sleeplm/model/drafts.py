"""Drafts of the next tokens of a caption, taken from texts like it.

Writing one caption alone, a machine mostly waits for the weights: running a few tokens in one
pass costs little more than running one. So likely next tokens are guessed from what was written
before (captions repeat themselves and each other), run together, and kept as far as the model
itself would have chosen them. The guesses decide how fast a caption is written, never its ids.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Drafts"]

LONGEST_CONTEXT = 6
LONGEST_DRAFT = 15
KEPT_CONTEXTS = 200_000

# Cost of a pass of n ≥ 2 tokens in passes of one: first + second · n. Measured on a CPU with AVX2:
# of the Base shape one row streams the weights at full speed, and any product of several is slower
# (2.4 of 2 rows, 2.7 of 4, 3.3 of 8, 3.6 of 16); a small model's passes are all alike.
LARGE_MODEL_COST = (2.3, 0.09)
SMALL_MODEL_COST = (1.1, 0.02)
LARGE_WIDTH = 384


class Drafts:
    """Remembers which token followed the last few tokens, and how often that came true.

    A guess is what last followed the longest known context of 1 … 6 tokens. How much guesses
    from contexts of each length are worth is counted at every token written, drafted or not.

    Parameters
    ----------
    width : int
        Of the model that will check the guesses: what a pass costs.

    Examples
    --------
    >>> drafts = Drafts(768)
    >>> drafts.learn([1, 5, 6, 7, 8, 9, 2])
    >>> drafts.follow([1, 5, 6], 2)[0]
    [7, 8]
    """

    def __init__(self, width: int) -> None:
        self._cost = LARGE_MODEL_COST if width >= LARGE_WIDTH else SMALL_MODEL_COST
        self._next: dict[tuple[int, ...], int] = {}
        # Right guesses and guesses by length of the context: mostly wrong to begin with.
        self._right = [1.0] * (LONGEST_CONTEXT + 1)
        self._guessed = [4.0] * (LONGEST_CONTEXT + 1)
        self.passes = 0
        """Passes through the model."""
        self.written = 0
        """Tokens that these passes gave."""
        self.run = 0
        """Guessed tokens that were run in these passes, kept or not."""

    def __len__(self) -> int:
        return len(self._next)

    def _guess(self, ids: Sequence[int]) -> tuple[int | None, int]:
        """The token that last followed the longest known end of ids, and the length of that."""
        for size in range(min(LONGEST_CONTEXT, len(ids)), 0, -1):
            token = self._next.get(tuple(ids[-size:]))
            if token is not None:
                return token, size
        return None, 0

    def add(self, ids: Sequence[int], token: int) -> None:
        """Learn that ``token`` was written behind ``ids``."""
        guess, size = self._guess(ids)
        if guess is not None:
            self._guessed[size] += 1
            self._right[size] += guess == token
        if len(self._next) > KEPT_CONTEXTS:
            self._next.clear()
        for size in range(1, min(LONGEST_CONTEXT, len(ids)) + 1):
            self._next[tuple(ids[-size:])] = token

    def learn(self, ids: Sequence[int]) -> None:
        """Learn a whole text, from its start token on."""
        for place in range(1, len(ids)):
            self.add(ids[:place][-LONGEST_CONTEXT:], ids[place])

    def follow(self, ids: Sequence[int], most: int) -> tuple[list[int], list[float]]:
        """Up to ``most`` guessed tokens behind ids, and the worth (0–1) of each."""
        text, worths = list(ids[-LONGEST_CONTEXT:]), []
        known = len(text)
        for _ in range(most):
            token, size = self._guess(text)
            if token is None:
                break
            text.append(token)
            worths.append(self._right[size] / self._guessed[size])
        return text[known:], worths

    def draft(self, ids: Sequence[int], most: int) -> list[int]:
        """The guesses worth running: most tokens to be expected per cost of the pass."""
        tokens, worths = self.follow(ids, min(most, LONGEST_DRAFT))
        first, second = self._cost
        best, length = 1.0, 0
        expected, reached = 1.0, 1.0
        for count, worth in enumerate(worths, start=1):
            reached *= worth
            expected += reached
            rate = expected / (first + second * (count + 1))
            if rate > best:
                best, length = rate, count
        return tokens[:length]
