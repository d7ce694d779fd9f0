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
        "ة": "ه",
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

ARABIC_ARTICLES = ("وال", "بال", "كال", "فال", "ال", "لل")
"""The article, alone or fused with the proclitic before it (and, with, like, so, to); no entry begins another."""

ARABIC_SUFFIXES = ("ها", "ان", "ات", "ون", "ين", "يه", "ه", "ي")
"""Feminine, dual, plural, relative and possessive endings, in the order in which light10 takes them off."""

SHORTEST_ARABIC_STEM = 2
"""Letters that must remain when an affix is taken off (light10): fewer and unrelated words fall together."""


def fold(word: str) -> str:
    """Return `word` in compatibility form, without case, accents, vowel marks or ligatures; its letters all remain."""
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    bare = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return _western_digits(bare.translate(LATIN_LIGATURES).translate(ARABIC_FORMS))


def is_arabic(word: str) -> bool:
    """Tell whether `word`, already folded, is written in Arabic letters."""
    return any("\u0620" <= letter <= "\u06ff" for letter in word)


def arabic_light_stem(word: str) -> str:
    """Take conjunction, article and light endings off a folded Arabic word.

    Snowball alone leaves a fused conjunction before the article (والصناعة, "and the industry"), so that the word
    would not meet the plain one (صناعة). The method is light10: Larkey, Ballesteros and Connell, "Light stemming for
    Arabic information retrieval", 2007.
    """
    if word.startswith("و") and len(word) > SHORTEST_ARABIC_STEM + 1:
        word = word[1:]
    for article in ARABIC_ARTICLES:
        if word.startswith(article) and len(word) - len(article) >= SHORTEST_ARABIC_STEM:
            word = word[len(article) :]
            break
    for suffix in ARABIC_SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= SHORTEST_ARABIC_STEM:
            word = word[: -len(suffix)]
    return word


def _western_digits(word: str) -> str:
    """Write every decimal digit as 0-9, so that ٢٠٢٥ is 2025."""
    if word.isascii():
        return word
    return "".join(str(unicodedata.decimal(letter)) if letter.isdecimal() else letter for letter in word)
