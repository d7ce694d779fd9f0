"""Text to terms, each with the place in the text where the reader sees its word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, NamedTuple

import Stemmer

from services.matcher.index.letters import DECIMAL_COMMA, fold, is_arabic, without_proclitics
from services.matcher.index.stop_words import ARABIC, ENGLISH, FRENCH, FRENCH_IN_ENGLISH

Language = Literal["fr", "en", "ar"]

ANALYSER_VERSION = "1"
"""Changes whenever the same text may give other terms, so that a stored result tells which analysis it came from."""

DEFAULT_LANGUAGE: Language = "fr"
"""The working language of the clusters, for a text without function words or hint."""

CLEAR_LEAD = 2
"""Function words by which one language must lead to overrule the hint: one alone may stand in a quoted name."""

CACHED_WORDS = 200_000
"""Words remembered: a corpus of 100,000 documents has about as many, at some 200 bytes each."""

_MARKS = "".join(re.escape(c) for c in map(chr, range(0x300, 0x10000)) if unicodedata.category(c) in {"Mn", "Mc"})
# Soft hyphen, joiners and direction marks are invisible: a word that holds one is still one word.
_INSIDE = _MARKS + "\u00ad\u200c\u200d\u200e\u200f"
_ARABIC_LETTERS = "\u0620-\u064a\u066e-\u06d3\u06d5\u06ee\u06ef\u06fa-\u06ff\u0750-\u077f\ufb50-\ufdfb\ufe70-\ufefc"
# The modifier apostrophes count as letters in Unicode; French writers use them for the elision.
_LETTERS = rf"[^\W_\u02bb\u02bc{_ARABIC_LETTERS}]+"
_WORD = re.compile(
    rf"[{_ARABIC_LETTERS}][{_ARABIC_LETTERS}{_INSIDE}]*"
    # A point or comma between two digits is inside a number: 3,5 and 802.11ac.
    rf"|{_LETTERS}(?:[{_INSIDE}]+(?:{_LETTERS})?|(?<=\d)[.,](?=\d){_LETTERS})*"
)
_INVISIBLE = re.compile("[\u00ad\u200c-\u200f]")


class Token(NamedTuple):
    """One word that counts: `text[start:end]` is the word as the reader wrote it, `term` what it is compared by."""

    term: str
    start: int
    end: int


class AnalysedText(NamedTuple):
    """The words of a text that count, in reading order, and the language its Latin words were read in."""

    tokens: tuple[Token, ...]
    language: Language


class _Word(NamedTuple):
    """What is known of a word: its term in a French and in an English text, "" if it has none."""

    french: str
    english: str
    lead: int  # +1: a French function word, -1: an English one, 0: neither or both
    arabic: bool


class Analyser:
    """Turns texts into terms, remembering each word it has seen.

    The same text and hint give the same terms in every process that runs the same `ANALYSER_VERSION`. Not for use by
    several threads at once: neither the stemmers nor the memory are guarded. `cached_words` bounds the memory, which is
    emptied when full.
    """

    def __init__(self, *, cached_words: int = CACHED_WORDS) -> None:
        self._cached_words = cached_words
        # The stemmers' own memory is switched off: the analyser's is faster and holds the finished term.
        self._french = Stemmer.Stemmer("french", 0)
        self._english = Stemmer.Stemmer("english", 0)
        self._arabic = Stemmer.Stemmer("arabic", 0)
        self._memory: dict[str, _Word] = {}

    def analyse(self, text: str, language: str | None = None) -> AnalysedText:
        """Find the terms of `text` and their spans.

        `language` is the BCP 47 tag that the text's author declared, if any. It decides when the text's own function
        words do not lead clearly to French or English. Arabic words are told by their script in any text.
        """
        words = [(self._word(match.group()), match.start(), match.end()) for match in _WORD.finditer(text)]
        latin = _latin_language([word for word, _, _ in words], language)
        tokens = tuple(_tokens(words, french=latin == "fr"))
        arabic = 2 * sum(word.arabic for word, _, _ in words) > len(words)
        return AnalysedText(tokens, "ar" if arabic else latin)

    def _word(self, written: str) -> _Word:
        known = self._memory.get(written)
        if known is None:
            if len(self._memory) >= self._cached_words:
                self._memory.clear()
            known = self._memory[written] = self._read(written)
        return known

    def _read(self, written: str) -> _Word:
        visible = _INVISIBLE.sub("", written)
        word = fold(visible)
        if is_arabic(word):
            term = "" if word in ARABIC or len(word) == 1 else self._arabic.stemWord(without_proclitics(word))
            return _Word(term, term, 0, True)
        if any(letter.isdigit() for letter in word):
            code = word.translate(DECIMAL_COMMA)
            return _Word(code, code, 0, False)
        if len(word) == 1 and word.isascii():  # what is left of an elision, a possessive or an initial
            return _Word("", "", 0, False)
        if any(left.islower() and right.isupper() for left, right in pairwise(visible)):  # a name: LoRa, IoT
            return _Word(word, word, 0, False)
        return _Word(
            "" if word in FRENCH or word in ENGLISH else self._french.stemWord(word),
            "" if word in ENGLISH or word in FRENCH_IN_ENGLISH else self._english.stemWord(word),
            (word in FRENCH) - (word in ENGLISH),
            False,
        )


def _latin_language(words: list[_Word], hint: str | None) -> Language:
    lead = sum(word.lead for word in words)
    declared = (hint or "").partition("-")[0].lower()
    if declared in ("fr", "en") and abs(lead) < CLEAR_LEAD:
        return "fr" if declared == "fr" else "en"
    if lead == 0:
        return DEFAULT_LANGUAGE
    return "fr" if lead > 0 else "en"


def _tokens(words: list[tuple[_Word, int, int]], *, french: bool) -> Iterator[Token]:
    for word, start, end in words:
        term = word.french if french else word.english
        if term:
            yield Token(term, start, end)
