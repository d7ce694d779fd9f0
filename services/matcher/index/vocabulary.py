"""Numbers for words, and the numeric form of texts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, Protocol
from zlib import crc32

import numpy as np

from services.matcher.index.compiled.arrays import Ints32, UInts8, UInts32, compiled, with_room
from services.matcher.index.compiled.weighting import LEVELS, LONGEST
from services.matcher.index.variants import Variants

PAIRS: Final = 1 << 18
"""Terms that stand for two words that follow one another: all pairs share them, by hash. A dictionary of pairs would be
ten times that of words, and ranks no better; that two pairs meet in one request and one document is a rarity."""


class Resembling(Protocol):
    """Which words resemble which; see `Variants`."""

    @property
    def version(self) -> int:
        """Grows whenever a word asked for gets another variant."""

    def of(self, number: int, word: str) -> tuple[list[int], list[float]]:
        """Return the words that resemble one, and how close each is."""

    def resembling(self, words: Iterable[int]) -> int:
        """Return how many words in all resemble these."""


class Words(Protocol):
    """Numbers for words, as a request needs them."""

    @property
    def variants(self) -> Resembling:
        """Which of them resemble which."""

    def numbers(self, words: Sequence[str]) -> Ints32:
        """Return the number of each word, known or new."""

    def word(self, number: int) -> str:
        """Return the word of a number."""

    def pairs(self, numbers: Ints32, title: int) -> Ints32:
        """Return the term of each two words that follow one another in one field."""


class Vocabulary:
    """A number for each word, in the order in which they come; the term of a word is its number plus `PAIRS`.

    A number stays with its word for good: what no document holds any more costs its place and nothing else.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._words: list[str] = []
        self._hashes = np.zeros(1024, np.uint32)
        self.variants = Variants()

    def restore(self, words: list[str], hashes: UInts32) -> None:
        """Take over numbered words and their `hashes`, into a new vocabulary; their variants are restored apart."""
        self._words, self._hashes = words, with_room(hashes, 1024, 0)
        self._numbers = dict(zip(words, range(len(words)), strict=True))

    @property
    def words(self) -> list[str]:
        """All words, by number; others come behind them."""
        return self._words

    @property
    def hashes(self) -> UInts32:
        """A hash of each word."""
        return self._hashes[: len(self._words)]

    def __len__(self) -> int:
        """Return how many words have a number."""
        return len(self._words)

    def known(self, word: str) -> int | None:
        """Return the number of a word; None if it has none."""
        return self._numbers.get(word)

    def number(self, word: str) -> int:
        """Return the number of a word, known or new."""
        number = self._numbers.get(word)
        if number is None:
            number = self._numbers[word] = len(self._words)
            self._words.append(word)
            if number >= self._hashes.size:
                self._hashes = with_room(self._hashes, 2 * self._hashes.size, 0)
            self._hashes[number] = crc32(word.encode())
            self.variants.add(number, word)
        return number

    def numbers(self, words: Sequence[str]) -> Ints32:
        """Return the number of each word, known or new."""
        return np.fromiter(map(self.number, words), np.int32, len(words))

    def word(self, number: int) -> str:
        """Return the word of a number."""
        return self._words[number]

    def pairs(self, numbers: Ints32, title: int) -> Ints32:
        """Return the term of each two words that follow one another in one field; the first `title` are the title's."""
        return _pairs(numbers, title, self._hashes)

    def row(self, numbers: Ints32, title: int, opening: int) -> tuple[Ints32, UInts8]:
        """Return a document's distinct terms in ascending order, and their codes.

        Args:
            numbers: its words, in reading order, the title's first.
            title: how many of them are the title's.
            opening: how many of the first ones count twice.
        """
        return _row(numbers, title, opening, self._hashes)


class Passing:
    """A vocabulary for one request that is to leave no trace in it.

    Words that it does not know have numbers of this request's own, above all others: no offer holds them, and what they
    resemble is looked up and not noted. It holds until the vocabulary gets another word.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._own: dict[str, int] = {}
        self._words: list[str] = []
        self.variants: Resembling = _PassingVariants(vocabulary.variants)

    def numbers(self, words: Sequence[str]) -> Ints32:
        """Return the number of each word, known or the request's own."""
        return np.fromiter(map(self._number, words), np.int32, len(words))

    def word(self, number: int) -> str:
        """Return the word of a number."""
        known = len(self._vocabulary)
        return self._vocabulary.word(number) if number < known else self._words[number - known]

    def pairs(self, numbers: Ints32, title: int) -> Ints32:
        """Return what `Vocabulary.pairs` would if it knew the words."""
        own = np.fromiter((crc32(word.encode()) for word in self._words), np.uint32, len(self._words))
        return _pairs(numbers, title, np.concatenate((self._vocabulary.hashes, own)))

    def _number(self, word: str) -> int:
        known = self._vocabulary.known(word)
        if known is None:
            known = self._own.get(word)
        if known is None:
            known = self._own[word] = len(self._vocabulary) + len(self._words)
            self._words.append(word)
        return known


class _PassingVariants:
    """Looks up what resembles a word, and notes nothing."""

    def __init__(self, variants: Variants) -> None:
        self._variants = variants

    @property
    def version(self) -> int:
        return self._variants.version

    def of(self, number: int, word: str) -> tuple[list[int], list[float]]:
        return self._variants.like(number, word)

    def resembling(self, words: Iterable[int]) -> int:
        return self._variants.resembling(words)


@compiled
def length_level(words: int) -> int:
    """Return the level that stands for documents of about so many words."""
    return min(LEVELS - 1, round(math.log(max(1, words)) / math.log(LONGEST) * (LEVELS - 1)))


@compiled
def frequency_level(times: int) -> int:
    """Return the level, 0 to 7, of a number of times: 1, 2, 3, 4, 5, 6-7, 8-11, 12 and more."""
    return times - 1 if times <= 5 else 5 if times <= 7 else 6 if times <= 11 else 7


@compiled
def _pairs(numbers: Ints32, title: int, hashes: UInts32) -> Ints32:
    pairs = np.empty(max(0, numbers.size - 1), np.int32)
    count = 0
    for place in range(numbers.size - 1):
        if place + 1 != title:
            # Of the words and not of their numbers, which depend on who came first.
            first, second = np.uint64(hashes[numbers[place]]), np.uint64(hashes[numbers[place + 1]])
            mixed = (first * np.uint64(0x9E3779B97F4A7C15) + second) * np.uint64(0xD6E8FEB86659FD93)
            pairs[count] = np.int32((mixed >> np.uint64(32)) % np.uint64(PAIRS))
            count += 1
    return pairs[:count]


@compiled
def _row(numbers: Ints32, title: int, opening: int, hashes: UInts32) -> tuple[Ints32, UInts8]:
    pairs = _pairs(numbers, title, hashes)
    twice = min(opening, numbers.size)
    said = np.empty(pairs.size + numbers.size + twice, np.int32)
    said[: pairs.size] = pairs
    said[pairs.size : pairs.size + numbers.size] = numbers + PAIRS
    said[pairs.size + numbers.size :] = numbers[:twice] + PAIRS
    said.sort()
    level = length_level(numbers.size + twice)
    terms, codes = np.empty(said.size, np.int32), np.empty(said.size, np.uint8)
    count, begin = 0, 0
    for place in range(1, said.size + 1):
        if place == said.size or said[place] != said[begin]:
            terms[count] = said[begin]
            codes[count] = level << 3 | frequency_level(place - begin)
            count += 1
            begin = place
    return terms[:count], codes[:count]
