"""Spelling of a question: even forms, words of other languages, and slips of typing."""

from __future__ import annotations

import difflib
import re

from agent import words

__all__ = ["normalised"]


def normalised(question: str) -> str:
    """A question in lower case, with even spellings, plain names and slips mended."""
    text = question.lower().strip().replace("’", "'").replace("–", "-").replace("—", " - ")
    for pattern, plain in words.SPELLINGS:
        text = re.sub(pattern, plain, text)
    if re.search(r"\bdesat|\bspo2\b|\boxygen\b|\bsaturation\b", text):
        # "desaturations below 85" are meant in percent.
        text = re.sub(
            r"\b(below|under|less than)\s*(\d{2})(?![\d.:]|\s*(?:%|p|s\b|min))", r"\1 \2 %", text
        )
    text = re.sub(r"\b[a-z]{4,}\b", lambda match: _spelled(match[0]), re.sub(r"\s+", " ", text))
    # A name of a kind that was misspelt, or that another language has, is now in its plain form.
    for pattern, reworded in words.REWORDINGS:
        text = re.sub(pattern, reworded, text)
    return text


def _spelled(word: str) -> str:
    """A word of the field that this one is a typing slip of, else the word itself."""
    if word in words.KNOWN_WORDS or word in words.ORDINARY_WORDS:
        return word
    if len(word) < 6:
        # In a short word a changed letter makes another word; only one too few, too many, or two
        # that changed places are slips.
        for known in words.KNOWN_WORDS:
            if word[0] == known[0] and _is_slip(word, known):
                return known
        return word
    near = difflib.get_close_matches(word, words.KNOWN_WORDS, n=1, cutoff=0.86)
    return near[0] if near else word


def _is_slip(word: str, known: str) -> bool:
    if len(word) == len(known):
        swapped = [i for i, (a, b) in enumerate(zip(word, known, strict=True)) if a != b]
        return (
            len(swapped) == 2
            and swapped[1] == swapped[0] + 1
            and word[swapped[0]] == known[swapped[1]]
            and word[swapped[1]] == known[swapped[0]]
        )
    short, long = sorted((word, known), key=len)
    return len(long) == len(short) + 1 and any(
        long[:i] + long[i + 1 :] == short for i in range(len(long))
    )
