"""Our engine's numeric layer as the bench uses it: the only place of the bench that knows its interface."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench._corpus import Ints, Rows
from bench._engine_exact import Saturation, our_scores
from bench._engine_timing import Contender, Floats

OURS = "ours"
OURS_BATCH = "ours, batch"

MOST_WORDS = 1_000
"""More than any document of the corpus has, and more than any of its words occurs in one."""

MERGED_AFTER = 10_000
"""Inserts after which every engine with room for young documents has merged them."""


class _Layer:
    """The parts of the numeric layer, and tables of its codes; found when they are needed, so that corpus and peers
    can be used, and tested, without it.
    """

    def __getattr__(self, name: str) -> Any:
        return importlib.import_module(f"services.matcher.index.{name}")

    @cached_property
    def plain(self) -> Any:
        """Plain words, as every engine gets them: no bigrams, no variants, no names."""
        return self.weighting.Weighting(text=1.0)

    @cached_property
    def levels(self) -> Any:
        """Length level of each number of words."""
        return np.array([self.vocabulary.length_level(words) for words in range(MOST_WORDS)], np.uint8)

    @cached_property
    def codes(self) -> Any:
        """Frequency level of each number of times."""
        return np.array([self.vocabulary.frequency_level(max(1, times)) for times in range(MOST_WORDS)], np.uint8)


_layer = _Layer()
_EMPHASIS = np.array([1 + np.log(max(1, times)) for times in range(MOST_WORDS)], np.float32)
_ONES, _PLACES = np.ones(MOST_WORDS, np.float32), np.arange(MOST_WORDS, dtype=np.int32)
_EVERY_GROUP = np.zeros(0, np.uint8)
_NO_MEMBERS, _NO_BONUSES = np.zeros(0, np.int32), np.zeros(0, np.float32)


class Ours:
    """A collection in which each document has a member of its own, of the same number, all in one group."""

    def __init__(self, collection: Any, build_seconds: float = 0.0) -> None:
        self._collection = collection
        self._search = _layer.searching.search
        self._query = _layer.weighting.Query
        self.build_seconds = build_seconds

    @classmethod
    def build(cls, rows: Rows) -> Ours:
        """Build the index of some documents in bulk."""
        layer = _layer
        levels_of, codes_of = layer.levels, layer.codes
        start = time.perf_counter()
        levels = levels_of[np.add.reduceat(rows.counts, rows.pointers[:-1])]
        codes = np.repeat(levels << 3, np.diff(rows.pointers)) | codes_of[rows.counts]
        numbers = np.arange(len(rows), dtype=np.int32)
        entries = rows.terms.astype(np.uint32) << np.uint32(8) | codes
        collection = layer.collection.Collection(layer.plain)
        documents = layer.base.Documents(numbers, np.zeros_like(numbers), numbers, rows.pointers, entries)
        collection.build(documents, levels)
        return cls(collection, time.perf_counter() - start)

    @classmethod
    def open(cls, snapshot: Path) -> Ours:
        """Open what `save` wrote."""
        return cls(_layer.collection.Collection.open(snapshot))

    def save(self, snapshot: Path) -> bool:
        """Write a snapshot, and tell whether there is such a thing."""
        if not hasattr(self._collection, "save"):
            return False
        self._collection.save(snapshot)
        return True

    @property
    def size_bytes(self) -> int:
        """Bytes of the index structures, with the room that is kept for documents to come."""
        return _bytes(vars(self._collection).values())

    def search(self, terms: Ints, counts: Ints, k: int) -> tuple[Sequence[int], Sequence[float]]:
        """Return the best members, best first, and their scores."""
        size = len(terms)
        query = self._query(terms, _ONES[:size], _PLACES[: size + 1], _EMPHASIS[counts], size)
        members, scores = self._search(self._collection.held, query, k, _EVERY_GROUP, _NO_MEMBERS, _NO_BONUSES)
        best = (-scores).argsort()[:k]
        return members[best], scores[best]

    def search_many(self, requests: Rows, k: int) -> Sequence[Sequence[int]]:
        """Return the best members of each request, found in one call."""
        size = len(requests.terms)
        ones, places = np.ones(size, np.float32), np.arange(size + 1, dtype=np.int32)
        queries = self._query(requests.terms, ones, places, _EMPHASIS[requests.counts], size)
        members = np.empty((len(requests), k), np.int32)
        scores = np.empty((len(requests), k))
        _layer.searching.search_many(self._collection.held, queries, requests.pointers, members, scores)
        return members  # type: ignore[return-value]

    def put(self, document: int, terms: Ints, counts: Ints) -> None:
        """Insert a document, or replace the one of this number."""
        level = int(_layer.levels[counts.sum()])
        self._collection.put(document, document, 0, terms, _layer.codes[counts] | np.uint8(level << 3), level)


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
    plain = _layer.plain
    by = Saturation(
        k1=plain.k1,
        b=plain.b,
        c=plain.c,
        rarity=plain.rarity,
        scale=plain.text,
        levels=_layer.weighting.LEVELS,
        longest=_layer.weighting.LONGEST,
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


def _bytes(parts: Iterable[object]) -> int:
    """Return the bytes of all arrays, those in tuples included."""
    return sum(
        part.nbytes if isinstance(part, np.ndarray) else _bytes(part) if isinstance(part, tuple) else 0
        for part in parts
    )
