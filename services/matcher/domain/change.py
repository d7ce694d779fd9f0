"""When a text has changed so much that what was told about it has to be told anew."""

import re
from collections import Counter
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Wording:
    """A text as it is compared with others: once made, hundreds of comparisons read it no more."""

    text: str
    words: Counter[str]

    @classmethod
    def of(cls, text: str) -> "Wording":
        """Return a text without regard to case, accents, order and function words."""
        words = (fold(word) for word in _WORD.findall(text))
        return cls(text, Counter(word for word in words if word not in _FUNCTION_WORDS))

    def differs(self, other: "Wording") -> bool:
        """Whether it is another text, not the same one corrected; see `materially_different`."""
        if self.text == other.text:
            return False
        before, after = self.words.total(), other.words.total()
        if before == after == 0:  # nothing but function words and signs
            return self.text.split() != other.text.split()
        most = max(before, after) * MATERIAL_SHARE
        if abs(before - after) >= most:
            return True
        gone, come = self.words - other.words, other.words - self.words
        if max(gone.total(), come.total()) < most:
            return False
        return gone.total() > MOST_SLIPS or _remain(gone, come, most)


def materially_different(before: str, after: str) -> bool:
    """Whether one text is another than before, not the same one corrected.

    Words are compared without regard to case, accents, order and function words. A word that has become one within a
    slip of the pen of it (one letter added, lost, replaced, or two exchanged; two slips from 8 letters) is the same
    word; numbers and codes have no slips. The texts differ materially when at least one in twelve of the longer one's
    words is in one text only.
    """
    return before != after and Wording.of(before).differs(Wording.of(after))


def _remain(gone: Counter[str], come: Counter[str], most: Fraction) -> bool:
    """Whether at least `most` words remain of a side once each slip has found its word."""
    left, others, alone = come.copy(), sorted(come), 0
    for word in sorted(gone.elements()):
        twin = next((other for other in others if left[other] and _slip(word, other)), None)
        if twin is not None:
            left[twin] -= 1
        elif (alone := alone + 1) >= most:
            return True
    return left.total() >= most


def _slip(word: str, other: str) -> bool:
    shortest = min(len(word), len(other))
    if shortest < FUZZY_LETTERS or not (word.isalpha() and other.isalpha()):
        return False
    allowed = 2 if shortest >= TWO_SLIPS_LETTERS else 1
    return OSA.distance(word, other, score_cutoff=allowed) <= allowed
