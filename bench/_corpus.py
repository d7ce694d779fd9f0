"""A synthetic corpus with the statistics of real offers: the same numbers at every size, on every machine.

A document has a language; a length, log-normal, about 51 words once stop words are gone; a main and a secondary topic.
Its words come partly from the language as a whole, whose frequencies follow Zipf and Mandelbrot, partly from its
topics, and some repeat an earlier word of the same document, as writers do. A request is made in the same way; every
second one is a paraphrase: it takes a third of its words from one document, its planted one.

Smaller corpora are beginnings of larger ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

LANGUAGES = ("fr", "en", "ar")
LANGUAGE_SHARES = (0.65, 0.20, 0.15)
VOCABULARIES = (100_000, 45_000, 35_000)
FIRST_TERMS = (0, 100_000, 145_000)
"""Term ids of a language begin here and go by rank: its most frequent word first."""
TERMS = sum(VOCABULARIES)

MEDIAN_WORDS, WORDS_SIGMA, WORDS_RANGE = 75.0, 0.6, (20.0, 300.0)
"""Length of a document as written: log-normal, cut at both ends."""
CONTENT_SHARE = 0.58
"""Words that are no stop words."""
LEAST_WORDS = 5

ZIPF_EXPONENT, MANDELBROT_SHIFT = 1.1, 20.0
TOPICS, TOPIC_TERMS = 300, 800
TOPIC_EXPONENT, TOPIC_SHIFT = 0.7, 5.0
"""Popularity of topics."""
TOPIC_TERM_SHIFT = 3.0
"""Frequencies of the words of a topic are Zipf's, shifted by this."""
TOPICAL_FROM_RANK = 30.0
"""The words more frequent than this belong to no topic; the others do with equal chance by logarithm of rank."""
TOPICAL, MAIN_TOPIC = 0.45, 0.7
"""Chance that a word is topical; that a topical one is of the main topic."""
REPEATED = 0.12
"""Chance that a word repeats an earlier one of the document."""

PLANTED_SHARE = 0.35
"""Words that a paraphrase takes from its planted document."""

BLOCK = 10_000
"""Documents made in one go, each block from a seed of its own: so a corpus is the beginning of each larger one."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Documents or requests as counted terms.

    Attributes:
        terms: ids, ascending within each row, shape (entries,).
        counts: how often each occurs, shape (entries,).
        pointers: row r is the entries from pointer r to r + 1, shape (rows + 1,).
        languages: place of each row's language in LANGUAGES, shape (rows,).
    """

    terms: Ints
    counts: Ints
    pointers: Longs
    languages: Ints

    def __len__(self) -> int:
        return len(self.pointers) - 1

    def row(self, number: int) -> tuple[Ints, Ints]:
        """Return term ids and counts of a row."""
        here = slice(int(self.pointers[number]), int(self.pointers[number + 1]))
        return self.terms[here], self.counts[here]

    def words(self, number: int) -> Ints:
        """Return term ids of a row, each as often as it occurs."""
        return np.repeat(*self.row(number))

    def head(self, rows: int) -> Rows:
        """Return the first rows."""
        end = int(self.pointers[rows])
        return Rows(self.terms[:end], self.counts[:end], self.pointers[: rows + 1], self.languages[:rows])

    def matrix(self) -> csr_array:
        """Return counts, shape (rows, TERMS)."""
        parts = (self.counts.astype(np.float64), self.terms, self.pointers)
        return csr_array(parts, shape=(len(self), TERMS))


def documents(count: int, *, seed: int = 1) -> Rows:
    """Return documents; the same ones for the same seed, whatever the count."""
    blocks = []
    for number, start in enumerate(range(0, count, BLOCK)):
        generator = np.random.default_rng([seed, number])
        languages = generator.choice(len(LANGUAGES), BLOCK, p=LANGUAGE_SHARES).astype(np.int32)
        blocks.append(_counted(*_words(generator, languages), languages).head(min(BLOCK, count - start)))
    return _joined(blocks)


def requests(about: Rows, count: int, *, seed: int = 99) -> tuple[Rows, Ints]:
    """Return requests, and the planted document of each: -1 for the odd ones, which have none."""
    generator = np.random.default_rng([seed])
    languages = generator.choice(len(LANGUAGES), count, p=LANGUAGE_SHARES).astype(np.int32)
    planted = np.full(count, -1, np.int32)
    planted[::2] = generator.integers(0, len(about), len(planted[::2]))
    languages[::2] = about.languages[planted[::2]]
    words, pointers = _words(generator, languages)
    taken = generator.random(len(words)) < PLANTED_SHARE
    for number in range(0, count, 2):
        here = slice(int(pointers[number]), int(pointers[number + 1]))
        source = about.words(int(planted[number]))
        words[here][taken[here]] = generator.choice(source, int(taken[here].sum()))
    return _counted(words, pointers, languages), planted


@cache
def _background(language: int) -> Floats:
    """Return the cumulated frequencies of the words of a language, by rank."""
    return _cumulated(1.0 / (np.arange(VOCABULARIES[language]) + 1.0 + MANDELBROT_SHIFT) ** ZIPF_EXPONENT)


@cache
def _topics() -> Ints:
    """Return the term ids of the words of each topic, shape (languages, TOPICS, TOPIC_TERMS)."""
    generator = np.random.default_rng(7)
    made = np.empty((len(LANGUAGES), TOPICS, TOPIC_TERMS), np.int32)
    for language, (first, vocabulary) in enumerate(zip(FIRST_TERMS, VOCABULARIES, strict=True)):
        ranks = np.exp(generator.uniform(np.log(TOPICAL_FROM_RANK), np.log(vocabulary), (TOPICS, TOPIC_TERMS)))
        made[language] = first + ranks.astype(np.int32) - 1
    return made


def _cumulated(frequencies: npt.NDArray[np.floating]) -> Floats:
    cumulated: Floats = np.cumsum(frequencies, dtype=np.float64)
    cumulated /= cumulated[-1]
    return cumulated


def _drawn(generator: np.random.Generator, cumulated: Floats, count: int) -> Longs:
    """Return `count` draws from the distribution that is cumulated."""
    return np.searchsorted(cumulated[:-1], generator.random(count), side="right").astype(np.int64)


def _words(generator: np.random.Generator, languages: Ints) -> tuple[Ints, Longs]:
    """Return the words of one document for each language given, and where each document begins."""
    rows = len(languages)
    written = np.exp(generator.normal(np.log(MEDIAN_WORDS), WORDS_SIGMA, rows)).clip(*WORDS_RANGE)
    lengths = np.maximum((written * CONTENT_SHARE).astype(np.int64), LEAST_WORDS)
    pointers = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    count = int(pointers[-1])
    row = np.repeat(np.arange(rows), lengths)
    language = languages[row]

    words = np.empty(count, np.int32)
    for number, first in enumerate(FIRST_TERMS):
        here = np.flatnonzero(language == number)
        words[here] = first + _drawn(generator, _background(number), len(here))

    popularity = _cumulated(1.0 / (np.arange(TOPICS) + TOPIC_SHIFT) ** TOPIC_EXPONENT)
    within = _cumulated(1.0 / (np.arange(TOPIC_TERMS) + TOPIC_TERM_SHIFT))
    topics = _drawn(generator, popularity, 2 * rows).reshape(2, rows)  # main, secondary
    topical = np.flatnonzero(generator.random(count) < TOPICAL)
    which = (generator.random(len(topical)) >= MAIN_TOPIC).astype(np.int64)
    place = _drawn(generator, within, len(topical))
    words[topical] = _topics()[language[topical], topics[which, row[topical]], place]

    position = np.arange(count) - pointers[row]
    repeats = np.flatnonzero((generator.random(count) < REPEATED) & (position > 0))
    earlier = (generator.random(len(repeats)) * position[repeats]).astype(np.int64)
    words[repeats] = words[pointers[row[repeats]] + earlier]
    return words, pointers


def _counted(words: Ints, pointers: Longs, languages: Ints) -> Rows:
    rows = len(languages)
    row = np.repeat(np.arange(rows, dtype=np.int64), np.diff(pointers))
    keys, counts = np.unique(row * TERMS + words, return_counts=True)
    starts = np.searchsorted(keys, np.arange(rows + 1, dtype=np.int64) * TERMS).astype(np.int64)
    return Rows((keys % TERMS).astype(np.int32), counts.astype(np.int32), starts, languages)


def _joined(blocks: list[Rows]) -> Rows:
    starts = np.cumsum([0, *(len(block.terms) for block in blocks)])
    return Rows(
        np.concatenate([block.terms for block in blocks]),
        np.concatenate([block.counts for block in blocks]),
        np.concatenate(
            [[0], *(block.pointers[1:] + start for block, start in zip(blocks, starts[:-1], strict=True))]
        ).astype(np.int64),
        np.concatenate([block.languages for block in blocks]),
    )
