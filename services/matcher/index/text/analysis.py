"""Text to terms, each with the place in the text where the reader sees its word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from itertools import accumulate
from operator import itemgetter
from typing import NamedTuple

import Stemmer

from services.matcher.index.text.language import DEFAULT_LANGUAGE, Language, latin_language
from services.matcher.index.text.letters import DECIMAL_COMMA, fold, is_arabic, light_arabic, with_french_endings
from services.matcher.index.text.stop_words import (
    ACRONYMS,
    ARABIC,
    BOUND_PREFIXES,
    CODE_NAMES,
    ENGLISH,
    FRENCH,
    FRENCH_IN_ENGLISH,
    SPACED_PREFIXES,
)

ANALYSER_VERSION = "2"
"""Changes whenever the same text may give other terms, so that a stored result tells which analysis it came from."""

CACHED_WORDS = 200_000
"""Words remembered: a corpus of 100,000 documents has about as many, at some 500 bytes each."""

LONGEST_CACHED = 64
"""Letters of a word that is remembered: longer ones are slips and pasted data, and never come again."""

LONGEST_CODE_NAME = 6
"""Letters of a name that a hyphen ties to a number: COVID-19, IL-6, GATA-4; a longer one is a word with a number."""

SHORTEST_BOUND_WORD = 4
"""Letters of a word that a prefix is joined to: below are inflections and abbreviations (photo-id)."""

_MARKS = "".join(re.escape(c) for c in map(chr, range(0x300, 0x10000)) if unicodedata.category(c) in {"Mn", "Mc"})
# Soft hyphen, joiners and direction marks are invisible: a word that holds one is still one word.
_INSIDE = _MARKS + "\u00ad\u200c\u200d\u200e\u200f"
_ARABIC_LETTERS = "\u0620-\u064a\u066e-\u06d3\u06d5\u06ee\u06ef\u06fa-\u06ff\u0750-\u077f\ufb50-\ufdfb\ufe70-\ufefc"
_ARABIC_WORD = rf"[{_ARABIC_LETTERS}][{_ARABIC_LETTERS}{_INSIDE}]*"
# The modifier apostrophes count as letters in Unicode; French writers use them for the elision.
_LETTERS = rf"[^\W_\u02bb\u02bc{_ARABIC_LETTERS}]+"
# A point or comma between two digits is inside a number: 3,5 and 802.11ac.
_REST = rf"(?:[{_INSIDE}]+(?:{_LETTERS})?|(?<=\d)[.,](?=\d){_LETTERS})*"
_PLAIN = _LETTERS + _REST
_HYPHEN = "[-\u2010\u2011]"
# One letter of an acronym: the C of R&D, H/F and C.N.R.S. is followed by no further letter.
_INITIAL = rf"[^\W\d_{_ARABIC_LETTERS}][{_INSIDE}]*(?![\w{_INSIDE}])"
_DOT_NET = r"\.(?<![^\W_]\.)(?:NET|Net|net)(?![^\W_])"
# Most words end at a space or apostrophe: one look at it spares the search for everything that a word may go on with.
_ENDS = "[ '\u2019](?!&)"
# What stands together without a space is read together: micro-capteurs, COVID-19, R&D, C++. One group, for split().
_WORD = re.compile(
    rf"({_LETTERS}(?:(?!{_ENDS}){_REST}(?:{_HYPHEN}{_PLAIN}|(?:[./]|[ ]?&[ ]?){_INITIAL})*(?:\+\+|\#)?)?"
    rf"|{_ARABIC_WORD}|{_DOT_NET})"
)
_PART = re.compile(_PLAIN)
_INVISIBLE = re.compile("[\u00ad\u200c-\u200f]")
_INITIALS = re.compile(r"[^\W\d_](?: ?& ?[^\W\d_])+|[^\W\d_](?:/[^\W\d_])+|[^\W\d_](?:\.[^\W\d_])+")
_PLURAL_ACRONYM = re.compile(r"[A-Za-z]*[A-Z]{2}s")  # APIs, mRNAs
_NUMBER = re.compile(r"\d[\d.,]*[^\W_]{0,3}")
_SPACES = frozenset(" \u00a0\u202f")


class Token(NamedTuple):
    """One word that counts: `text[start:end]` is the word as the reader wrote it, `term` what it is compared by."""

    term: str
    start: int
    end: int


class AnalysedText(NamedTuple):
    """The words of a text that count, in reading order, and the language its Latin words were read in.

    A compound of a single letter comes first as a whole, then without the letter: T-cell, cell. No other spans overlap.
    """

    tokens: tuple[Token, ...]
    language: Language


class _Word(NamedTuple):
    """What is known of what was written together: its tokens, counted from its start, in a French and an English text.

    `lead` is its French function words less its English ones.
    """

    # Plain tuples: Python takes them apart faster than named ones.
    french: tuple[tuple[str, int, int], ...]
    english: tuple[tuple[str, int, int], ...]
    lead: int
    arabic: bool


class _Memory(dict[str, _Word]):
    """The words that were read, at most `most`; emptied when full."""

    def __init__(self, read: Callable[[str], _Word], most: int) -> None:
        super().__init__()
        self._read = read
        self._most = most

    def __missing__(self, written: str) -> _Word:
        word = self._read(written)
        if len(written) <= LONGEST_CACHED:
            if len(self) >= self._most:
                self.clear()
            self[written] = word
        return word


def _spellings(words: frozenset[str]) -> frozenset[str]:
    """Return the folded `words` as they are written: in three cases, with and without their accents, in both forms."""
    accented = {word.replace("electro", "électro").replace("aero", "aéro") for word in words}
    composed = {spelling for word in words | accented for spelling in (word, word.capitalize(), word.upper())}
    return frozenset(composed | {unicodedata.normalize("NFD", spelling) for spelling in composed})


_BEFORE_A_NUMBER = _spellings(CODE_NAMES)
_BEFORE_A_WORD = _spellings(SPACED_PREFIXES)
_NEIGHBOURS_MATTER = _BEFORE_A_NUMBER | _BEFORE_A_WORD | ACRONYMS
_LEAD, _ARABIC = itemgetter(2), itemgetter(3)
_token = tuple.__new__  # what Token() calls, at half its cost: half of an analysis was the making of tokens


class Analyser:
    """Turns texts into terms, remembering each word it has seen.

    The same text and hint give the same terms in every process that runs the same `ANALYSER_VERSION`. Not for use by
    several threads at once: neither the stemmers nor the memory are guarded. `cached_words` bounds the memory, which is
    emptied when full.
    """

    def __init__(self, *, cached_words: int = CACHED_WORDS) -> None:
        # The stemmers' own memory is switched off: the analyser's is faster and holds the finished term.
        self._french = Stemmer.Stemmer("french", 0)
        self._english = Stemmer.Stemmer("english", 0)
        self._arabic = Stemmer.Stemmer("arabic", 0)
        self._memory = _Memory(self._read, cached_words)

    def analyse(self, text: str, language: str | None = None) -> AnalysedText:
        """Find the terms of `text` and their spans.

        `language` is the BCP 47 tag that the text's author declared, or else the language of the field beside it, if
        known. It decides when neither the text's function words nor its letters tell French or English clearly. Arabic
        words are told by their script in any text.
        """
        pieces = _WORD.split(text)  # gap, word, gap, ..., word, gap
        written = pieces[1::2]
        starts = list(accumulate(map(len, pieces)))[:-1:2]
        words = list(map(self._memory.__getitem__, written))
        if not _NEIGHBOURS_MATTER.isdisjoint(written):
            words, starts = self._with_neighbours(pieces, words, starts)
        arabic = sum(map(_ARABIC, words))
        # Arabic words are the same in both: asking for the language of the others would take longer than all the rest.
        told = (
            DEFAULT_LANGUAGE
            if words and arabic == len(words)
            else latin_language(text, words=len(words), lead=sum(map(_LEAD, words)), declared=language)
        )
        read = [word.french for word in words] if told == "fr" else [word.english for word in words]
        tokens = tuple(
            [
                _token(Token, (term, start + left, start + right))
                for of_word, start in zip(read, starts, strict=True)
                if of_word
                for term, left, right in of_word
            ]
        )
        return AnalysedText(tokens, "ar" if 2 * arabic > len(words) else told)

    def _with_neighbours(
        self, pieces: list[str], words: list[_Word], starts: list[int]
    ) -> tuple[list[_Word], list[int]]:
        """Read again what its neighbours give another sense: ISO 13485, micro capteurs, IT in capitals."""
        written = pieces[1::2]
        again: list[_Word] = []
        places: list[int] = []
        joined = False
        for number, (word, known) in enumerate(zip(written, words, strict=True)):
            if joined:
                joined = False
                continue
            following = written[number + 1] if number + 1 < len(written) else ""
            if word in ACRONYMS and not (_is_capital(following) or (number and _is_capital(written[number - 1]))):
                token = ((word.lower(), 0, len(word)),)
                known = _Word(token, token, 0, False)
            elif pieces[2 * number + 2] in _SPACES and _belongs(word, following):
                known = self._memory[f"{word}-{following}"]  # of the same length as with its space
                joined = True
            again.append(known)
            places.append(starts[number])
        return again, places

    def _read(self, written: str) -> _Word:
        folded = fold(_INVISIBLE.sub("", written))
        if is_arabic(folded):
            term = "" if folded in ARABIC or len(folded) == 1 else self._arabic.stemWord(light_arabic(folded))
            tokens = ((term, 0, len(written)),) if term else ()
            return _Word(tokens, tokens, 0, True)
        if written.isalpha():  # most are: none of what follows would find more in it than this
            french, english, lead = self._terms(_one_of(written, folded))
            of_word = ((french, 0, len(written)),) if french else (), ((english, 0, len(written)),) if english else ()
            return _Word(*of_word, lead, False)
        name = _name(_INVISIBLE.sub("", unicodedata.normalize("NFC", written)))
        if name:
            french, english, _ = self._terms(name)  # C.N.R.S. is CNRS; U.S. is no pronoun
            both = ((french or name, 0, len(written)),), ((english or name, 0, len(written)),)
            return _Word(*both, 0, False)
        parts = list(self._parts(written))
        return _Word(
            tuple((french, start, end) for french, _, _, start, end in parts if french),
            tuple((english, start, end) for _, english, _, start, end in parts if english),
            sum(lead for _, _, lead, _, _ in parts),
            False,
        )

    def _parts(self, written: str) -> Iterator[tuple[str, str, int, int, int]]:
        """Yield of each word in `written` its French and English term, its lead, its start and end."""
        found = [(match.group(), match.start(), match.end()) for match in _PART.finditer(written)]
        number = 0
        while number < len(found):
            word, start, end = found[number]
            number += 1
            folded = fold(_INVISIBLE.sub("", word))
            if number < len(found) and written[end : found[number][1]] in {"-", "\u2010", "\u2011"}:
                next_word, _, next_end = found[number]
                following = fold(_INVISIBLE.sub("", next_word))
                if folded.isalpha() and len(folded) <= LONGEST_CODE_NAME and _NUMBER.fullmatch(following):
                    yield *self._terms(folded + following), start, next_end
                    number += 1
                    continue
                if folded in BOUND_PREFIXES and _can_be_bound(following):
                    yield *self._terms(folded + following), start, next_end
                    number += 1
                    continue
                # But vis-à-vis and c'est-à-dire are no compounds.
                if len(folded) == 1 and folded != "a" and _can_be_bound(following, shortest=2):
                    yield *self._terms(folded + following), start, next_end
                    continue
            yield *self._terms(_one_of(word, folded)), start, end

    def _terms(self, word: str) -> tuple[str, str, int]:
        """Return the French and the English term of a folded Latin word, "" if it has none, and its lead."""
        lead = (word in FRENCH) - (word in ENGLISH)
        if len(word) == 1 and word.isascii() and word.isalpha():  # what is left of an elision, a possessive, an initial
            return "", "", lead
        if any(letter.isdigit() for letter in word):
            code = word.translate(DECIMAL_COMMA)
            return code, code, lead
        return (
            "" if word in FRENCH or word in ENGLISH else fold(self._french.stemWord(with_french_endings(word))),
            "" if word in ENGLISH or word in FRENCH_IN_ENGLISH else self._english.stemWord(word),
            lead,
        )


def _one_of(word: str, folded: str) -> str:
    """Return a folded word, of the plural of an acronym its singular."""
    return folded[:-1] if _PLURAL_ACRONYM.fullmatch(word) else folded


def _belongs(word: str, following: str) -> bool:
    if word in _BEFORE_A_NUMBER:
        return _NUMBER.match(following) is not None
    if word not in _BEFORE_A_WORD:
        return False
    first = _PART.match(following)
    return first is not None and _can_be_bound(fold(first.group()))


def _is_capital(written: str) -> bool:
    return len(written) > 1 and written.isupper()


def _can_be_bound(folded: str, shortest: int = SHORTEST_BOUND_WORD) -> bool:
    return len(folded) >= shortest and folded.isalpha() and folded not in FRENCH and folded not in ENGLISH


def _name(written: str) -> str:
    """Return the term of an acronym or name that is written with signs (R&D, H/F, C.N.R.S., C++, .NET), else ""."""
    folded = fold(written)
    if folded in ("c++", "c#", "f#", ".net"):
        return folded
    if not _INITIALS.fullmatch(written) or not (written.isupper() or "&" in written):
        return ""
    return folded.replace(".", "").replace(" ", "")
