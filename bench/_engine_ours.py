"""Our engine's numeric layer as the bench uses it: the only place of the bench that knows its interface."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bench._corpus import Ints, Rows
from bench._engine_exact import Saturation, our_scores
from bench._engine_timing import Contender, Floats
from services.matcher.index.collection import Collection
from services.matcher.index.compiled.arrays import compiled
from services.matcher.index.compiled.base import Documents
from services.matcher.index.compiled.held import Held
from services.matcher.index.compiled.plans import FREQUENCIES
from services.matcher.index.compiled.searching import ALL_ALLOWED, NO_NORMS, matches, search, search_many
from services.matcher.index.compiled.weighting import LEVELS, LONGEST, Query, Weighting, reverse_plan
from services.matcher.index.size import size_bytes
from services.matcher.index.vocabulary import frequency_level, length_level

OURS = "ours"
OURS_BATCH = "ours, batch"

MOST_WORDS = 1_000
"""More than any document of the corpus has, and more than any of its words occurs in one."""

MERGED_AFTER = 10_000
"""Inserts after which every engine with room for young documents has merged them."""

PLAIN = Weighting(text=1.0, burst=0.0)
"""Plain words, as every engine gets them: no bigrams, no variants, no names, no second statistic beside idf."""

_LEVELS = np.array([length_level(words) for words in range(MOST_WORDS)], np.uint8)
_CODES = np.array([frequency_level(max(1, times)) for times in range(MOST_WORDS)], np.uint8)
_EMPHASIS = np.array([1 + np.log(max(1, times)) for times in range(MOST_WORDS)], np.float32)


class Ours:
    """A collection in which each document has a member of its own, of the same number."""

    def __init__(self, collection: Collection, build_seconds: float = 0.0) -> None:
        self._collection = collection
        self.build_seconds = build_seconds

    @classmethod
    def build(cls, rows: Rows, groups: int = 1) -> Ours:
        """Build the index of some documents in bulk; their members are in so many groups of about one size."""
        start = time.perf_counter()
        levels = _LEVELS[np.add.reduceat(rows.counts, rows.pointers[:-1])]
        codes = np.repeat(levels << 3, np.diff(rows.pointers)) | _CODES[rows.counts]
        numbers = np.arange(len(rows), dtype=np.int32)
        entries = rows.terms.astype(np.uint32) << np.uint32(8) | codes
        collection = Collection(PLAIN, single=True)
        documents = Documents(numbers, group_of(len(rows), groups), numbers, rows.pointers.astype(np.int32), entries)
        collection.build(documents)
        return cls(collection, time.perf_counter() - start)

    @property
    def size_bytes(self) -> int:
        """Bytes of the index structures, with the room that is kept for documents to come."""
        return size_bytes(self._collection)

    def search(self, terms: Ints, counts: Ints, k: int) -> tuple[Sequence[int], Sequence[float]]:
        """Return the best members, best first, and their scores."""
        return _search(self._collection.held, terms, counts, k, ALL_ALLOWED)  # type: ignore[return-value]

    def search_among(
        self, terms: Ints, counts: Ints, k: int, allowed: npt.NDArray[np.uint8] = ALL_ALLOWED
    ) -> Sequence[int]:
        """Return the best members of the groups for which `allowed` is 1, of all if it is empty; best first."""
        return _search(self._collection.held, terms, counts, k, allowed)[0]  # type: ignore[return-value]

    def search_many(self, requests: Rows, k: int) -> Sequence[Sequence[int]]:
        """Return the best members of each request, found in one call."""
        size = len(requests.terms)
        ones, places = np.ones(size, np.float32), np.arange(size + 1, dtype=np.int32)
        queries = Query(requests.terms, ones, places, _EMPHASIS[requests.counts], size)
        members = np.empty((len(requests), k), np.int32)
        scores = np.empty((len(requests), k))
        search_many(self._collection.held, queries, requests.pointers, members, scores)
        return members  # type: ignore[return-value]

    def facing(self, offers: Ours, terms: Ints, counts: Ints, least: float) -> tuple[Ints, Any]:
        """Return those of these requests that give an offer at least the score `least`, and the scores.

        As production does for a new offer: weights are those among `offers`, and a request's length is its own.
        """
        level = int(_LEVELS[counts.sum()])
        planned = reverse_plan(
            offers._collection.statistics,
            self._collection.statistics.lengths,
            _query(terms, np.ones_like(counts)),
            FREQUENCIES[_CODES[counts]],
            level,
            PLAIN,
        )
        return matches(self._collection.held, planned, least, NO_NORMS, 1.0)

    def put(self, document: int, terms: Ints, counts: Ints) -> None:
        """Insert a document, or replace the one of this number."""
        level = int(_LEVELS[counts.sum()])
        self._collection.put(document, document, 0, terms, _CODES[counts] | np.uint8(level << 3))


def group_of(members: int, groups: int) -> Ints:
    """Return the group of each member."""
    return (np.arange(members, dtype=np.int64) * groups // members).astype(np.int32)


@compiled
def _query(terms: Ints, counts: Ints) -> Query:
    """Return counted terms as a request, each a group of its own: what production does once when it reads a text."""
    size = terms.size
    emphasis = np.empty(size, np.float32)
    for place in range(size):
        emphasis[place] = 1 + np.log(max(1, counts[place]))
    return Query(terms, np.ones(size, np.float32), np.arange(size + 1).astype(np.int32), emphasis, size)


@compiled
def _search(
    held: Held, terms: Ints, counts: Ints, k: int, allowed: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.int32], Floats]:
    no_members, no_scores = np.empty(0, np.int32), np.empty(0, np.float64)
    members, scores, _ = search(held, _query(terms, counts), k, allowed, no_members, no_scores)
    return members[:k], scores[:k]


def warm_up(rows: Rows) -> None:
    """Run everything that compiles, merges and replacements included, on an index that is thrown away.

    What compiling costs is the business of the cold start, not of the insert that happens to be the first.
    """
    settled = rows.head(min(len(rows), MERGED_AFTER))
    ours = Ours.build(settled)
    for number in range(MERGED_AFTER):
        new = number % 2 == 0
        document = len(settled) + number if new else number % len(settled)
        ours.put(document, *settled.row(number % len(settled)))
        if number % 100 == 0:
            ours.search(*settled.row(0), 10)


def exact_scores(rows: Rows, terms: Ints, counts: Ints) -> Floats:
    """Return the score that each document is to have, computed without the engine."""
    by = Saturation(
        k1=PLAIN.k1,
        b=PLAIN.b,
        c=PLAIN.c,
        rarity=PLAIN.rarity,
        scale=PLAIN.text,
        levels=LEVELS,
        longest=LONGEST,
        frequencies=(0, 1, 2, 3, 4, 5, 6.5, 6.5, 9.5, 9.5, 9.5, 9.5, 14),
    )
    return our_scores(rows, terms, counts, by)


def contenders(ours: Ours, rows: Rows, asked: Rows, k: int) -> list[Contender]:
    """Return our engine twice: asked one by one, and all at once."""
    requests = [asked.row(number) for number in range(len(asked))]

    def exact(number: int) -> Floats:
        return exact_scores(rows, *requests[number])

    return [
        Contender(
            name=OURS,
            ask=lambda number: ours.search(*requests[number], k),
            answer=lambda number: ours.search(*requests[number], k)[0],
            exact=exact,
            build_seconds=ours.build_seconds,
            size_bytes=ours.size_bytes,
        ),
        Contender(
            name=OURS_BATCH,
            ask_all=lambda count: ours.search_many(asked.head(count), k),
            answer=lambda number: ours.search_many(asked.head(number + 1), k)[number],
            exact=exact,
            build_seconds=ours.build_seconds,
            size_bytes=ours.size_bytes,
        ),
    ]
