"""Whether a text is in a language that the index reads, as far as its letters and function words tell."""

from __future__ import annotations

import re
from typing import Final

from services.matcher.index.text.letters import fold, is_arabic
from services.matcher.index.text.stop_words import ENGLISH, FRENCH

LOOKED_AT: Final = 2_000
"""Characters that are looked at: a text does not change its language after them."""

ENOUGH: Final = 8
"""Words in Latin letters from which on function words are expected: fewer may be a title or keywords."""

LEAST_PART: Final = 1 / 12
"""Part of them that are function words: in French and English more than a third is, in German or Turkish next to none.
Spanish and Italian share too many with French to be told from it this way."""

_WORD: Final = re.compile(r"[^\W\d_]+")
_LATIN: Final = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")


def recognised(text: str) -> bool:
    """Tell whether a text seems to be in French, Arabic or English; one that tells nothing is taken to be."""
    words = _WORD.findall(text[:LOOKED_AT])
    folded = [fold(word) for word in words]
    latin = [plain for word, plain in zip(words, folded, strict=True) if _LATIN.match(word)]
    if 2 * (len(latin) + sum(map(is_arabic, folded))) < len(words):
        return False
    if len(latin) < ENOUGH or 2 * len(latin) < len(words):
        return True
    return sum(word in FRENCH or word in ENGLISH for word in latin) >= LEAST_PART * len(latin)
