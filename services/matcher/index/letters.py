"""One spelling for the many ways of writing a word: case, accents, ligatures, Arabic letter forms."""

from __future__ import annotations

import unicodedata

LATIN_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae"})
"""Ligatures that Unicode does not decompose, though French keyboards make writers spell them both ways."""

DECIMAL_COMMA = str.maketrans({",": "."})

ARABIC_FORMS = str.maketrans(
    {
        "ـ": None,  # tatweel only stretches a word
        "ٱ": "ا",  # alef wasla has no decomposition; the alefs with hamza or madda do
        "ى": "ي",
        "ة": "ه",  # many writers leave the dots off
        # Letters of Persian keyboards, and of Maghrebi spelling for g, p and v (أڭادير for أكادير).
        "ی": "ي",
        "ک": "ك",
        "گ": "ك",
        "ڭ": "ك",
        "ݣ": "ك",
        "پ": "ب",
        "ڤ": "ف",
    }
)

ARABIC_ARTICLES = ("ال", "بال", "كال", "فال", "لل")
"""The article, alone or fused with the proclitic before it: with, like, so, to."""

SHORTEST_ARABIC_STEM = 2
"""Letters that must remain when a proclitic is taken off: with fewer, unrelated words would fall together."""


def fold(word: str) -> str:
    """Return `word` in compatibility form, without case, accents, vowel marks or ligatures; its letters all remain."""
    decomposed = unicodedata.normalize("NFKD", word).casefold()
    # Some Arabic presentation forms decompose into a space that carries a mark.
    bare = "".join(letter for letter in decomposed if not (unicodedata.combining(letter) or letter.isspace()))
    return _western_digits(bare.translate(LATIN_LIGATURES).translate(ARABIC_FORMS))


def is_arabic(word: str) -> bool:
    """Tell whether `word`, already folded, is written in Arabic letters."""
    return any("\u0620" <= letter <= "\u06ff" for letter in word)


def without_proclitics(word: str) -> str:
    """Take the conjunction and the article off a folded Arabic word.

    Snowball leaves a conjunction before the article (والصناعة, "and the industry"), so that the word would not meet the
    plain one (صناعة), and keeps an ending when it has taken a fused article off. The list is that of light10 (Larkey,
    Ballesteros and Connell, "Light stemming for Arabic information retrieval", 2007) without its endings: Snowball
    knows them better.
    """
    if word.startswith("و") and len(word) > SHORTEST_ARABIC_STEM + 1:
        word = word[1:]
    for article in ARABIC_ARTICLES:
        if word.startswith(article) and len(word) - len(article) >= SHORTEST_ARABIC_STEM:
            return word[len(article) :]
    return word


def _western_digits(word: str) -> str:
    """Write every decimal digit as 0-9, so that ٢٠٢٥ is 2025."""
    if word.isascii():
        return word
    return "".join(str(unicodedata.decimal(letter)) if letter.isdecimal() else letter for letter in word)
