"""One spelling for the many ways of writing a word: case, accents, ligatures, Arabic letter forms."""

from __future__ import annotations

import re
import unicodedata

DECIMAL_COMMA = str.maketrans({",": "."})

LATIN_LIGATURES = {"œ": "oe", "æ": "ae"}
"""Ligatures that Unicode does not decompose, though French keyboards make writers spell them both ways."""

ARABIC_FORMS = {
    "ـ": "",  # tatweel only stretches a word
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


class _Plain(dict[int, str]):
    """By code point, what a decomposed letter is compared by: most by themselves, marks and spaces by nothing.

    Found when a letter first comes: going through all of Unicode would take a fifth of a second at each start.
    """

    def __missing__(self, point: int) -> str:
        letter = chr(point)
        if unicodedata.combining(letter) or letter.isspace():  # some Arabic forms decompose into a space with a mark
            plain = ""
        elif letter.isdecimal():  # ٢٠٢٥ is 2025
            plain = str(unicodedata.decimal(letter))
        else:
            plain = letter
        self[point] = plain
        return plain


_PLAIN = _Plain({ord(letter): plain for letter, plain in (LATIN_LIGATURES | ARABIC_FORMS).items()})

ARABIC_ARTICLES = ("وال", "بال", "كال", "فال", "لل", "ال")
"""The article, alone or fused with the proclitic before it: and, with, like, so, to."""

ARABIC_ENDINGS = ("ها", "ان", "ات", "ون", "ين", "يه", "ه", "ي")
"""Endings in the order in which they are looked for, each taken off once: her, dual, plurals, feminine, my."""

SHORTEST_ARABIC_STEM = 2
"""Letters that must remain when something is taken off: with fewer, unrelated words would fall together."""

FRENCH_ENDINGS = (
    (re.compile(r"(?<=\w{4})ite(s?)$"), r"ité\1"),  # sécurité; but not site, suite
    (re.compile(r"ee(s?)$"), r"ée\1"),
    (re.compile(r"iere(s?)$"), r"ière\1"),
    (re.compile(r"erent$"), "èrent"),
)
"""The endings that Snowball's French knows by their accent only, for words whose accents were folded away."""

BARE_FRENCH_ENDINGS = ("ite", "ites", "ee", "ees", "iere", "ieres", "erent")
"""What a word ends in that one of these may change: looking for it is cheaper than trying each."""


def fold(word: str) -> str:
    """Return `word` in compatibility form, without case, accents, vowel marks or ligatures; its letters all remain."""
    return unicodedata.normalize("NFKD", word).casefold().translate(_PLAIN)


def is_arabic(word: str) -> bool:
    """Tell whether `word`, already folded, is written in Arabic letters."""
    return any("\u0620" <= letter <= "\u06ff" for letter in word)


def light_arabic(word: str) -> str:
    """Take the conjunction, the article and the endings off a folded Arabic word.

    This is light10 (Larkey, Ballesteros and Connell, "Light stemming for Arabic information retrieval", 2007). Snowball
    alone leaves a conjunction before the article (والصناعة, "and the industry"), so that the word would not meet the
    plain one (صناعة); after light10 it still unites what light10 leaves apart.
    """
    if word.startswith("و") and len(word) > SHORTEST_ARABIC_STEM + 1:
        word = word[1:]
    for article in ARABIC_ARTICLES:
        if word.startswith(article) and len(word) - len(article) >= SHORTEST_ARABIC_STEM:
            word = word[len(article) :]
            break
    for ending in ARABIC_ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= SHORTEST_ARABIC_STEM:
            word = word[: -len(ending)]
    return word


def with_french_endings(word: str) -> str:
    """Give a folded French word the accent of its ending again: electricite → electricité, whoever wrote it how."""
    if word.endswith(BARE_FRENCH_ENDINGS):
        for ending, accented in FRENCH_ENDINGS:
            word = ending.sub(accented, word)
    return word
