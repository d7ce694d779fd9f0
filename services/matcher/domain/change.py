"""When a text has changed so much that what was told about it has to be told anew."""

import re
from collections import Counter
from fractions import Fraction
from typing import Final

from rapidfuzz.distance import OSA

from services.matcher.index.text.letters import fold
from services.matcher.index.text.stop_words import ARABIC, ENGLISH, FRENCH

MATERIAL_SHARE: Final = Fraction(1, 12)
"""Share of a text's words that must be others: one other word in a title is another subject (wheat for rice), one in a
paragraph is a correction. A dozen is where the one ends and the other begins."""

FUZZY_LETTERS: Final = 4
"""Shortest word in which a slip is taken for one: below, one letter makes another word (sol, sel)."""

TWO_SLIPS_LETTERS: Final = 8
"""Shortest word that may hold two slips, or a plural and a slip."""

MOST_SLIPS: Final = 300
"""Changed words beyond which nobody made slips: the text is another one, and comparing each with each would be slow."""

# A word goes on over accents written apart, Arabic vowel marks and tatweel, which `\w` leaves out.
_WORD = re.compile(r"[^\W_](?:[^\W_]|[\u0300-\u036f\u0640\u064b-\u0652])*")
_FUNCTION_WORDS = FRENCH | ENGLISH | ARABIC


def materially_different(before: str, after: str) -> bool:
    """Whether one text is another than before, not the same one corrected.

    Words are compared without regard to case, accents, order and function words. A word that has become one within a
    slip of the pen of it (one letter added, lost, replaced, or two exchanged; two slips from 8 letters) is the same
    word; numbers and codes have no slips. The texts differ materially when at least one in twelve of the longer one's
    words is in one text only.
    """
    if before == after:
        return False
    old, new = _words(before), _words(after)
    gone, come = old - new, new - old
    total = max(old.total(), new.total())
    if total == 0:  # nothing but function words and signs
        return before.split() != after.split()
    if max(gone.total(), come.total()) < total * MATERIAL_SHARE:
        return False
    if gone.total() > MOST_SLIPS:
        return True
    return max(_unmatched(gone, come)) >= total * MATERIAL_SHARE


def _words(text: str) -> Counter[str]:
    words = (fold(word) for word in _WORD.findall(text))
    return Counter(word for word in words if word not in _FUNCTION_WORDS)


def _unmatched(gone: Counter[str], come: Counter[str]) -> tuple[int, int]:
    """Count what remains of both sides once each slip has found its word."""
    left, others = come.copy(), sorted(come)
    for word in sorted(gone.elements()):
        twin = next((other for other in others if left[other] and _slip(word, other)), None)
        if twin is not None:
            left[twin] -= 1
    matched = come.total() - left.total()
    return gone.total() - matched, left.total()


def _slip(word: str, other: str) -> bool:
    shortest = min(len(word), len(other))
    if shortest < FUZZY_LETTERS or not (word.isalpha() and other.isalpha()):
        return False
    allowed = 2 if shortest >= TWO_SLIPS_LETTERS else 1
    return OSA.distance(word, other, score_cutoff=allowed) <= allowed
