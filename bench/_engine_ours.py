"""Our engine's numeric layer as the bench uses it: the only place of the bench that knows its interface."""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench._corpus import Ints, Rows
from bench._engine_exact import Formula, scores
from bench._engine_timing import Contender, Floats

OURS = "ours"
OURS_BATCH = "ours, batch"


class Ours:
    """A collection in which each document has a member of its own, of the same number."""

    def __init__(self, collection: Any, build_seconds: float = 0.0) -> None:
        self._collection = collection
        self.build_seconds = build_seconds

    @classmethod
    def build(cls, rows: Rows) -> Ours:
        """Build the index of some documents in bulk."""
        kind = importlib.import_module("services.matcher.index.collection").Collection
        start = time.perf_counter()
        collection = kind.build(np.arange(len(rows), dtype=np.int32), rows.terms, rows.counts, rows.pointers)
        return cls(collection, time.perf_counter() - start)

    @classmethod
    def open(cls, snapshot: Path) -> Ours:
        """Open what `save` wrote."""
        kind = importlib.import_module("services.matcher.index.collection").Collection
        start = time.perf_counter()
        return cls(kind.open(snapshot), time.perf_counter() - start)

    def save(self, snapshot: Path) -> None:
        """Write a snapshot into a folder."""
        self._collection.save(snapshot)

    @property
    def size_bytes(self) -> int:
        """Bytes of the index structures."""
        return int(self._collection.nbytes)

    def search(self, terms: Ints, counts: Ints, k: int) -> tuple[Sequence[int], Sequence[float]]:
        """Return the best members, best first, and their scores."""
        members, scores = self._collection.search(terms, counts, k)
        return members, scores

    def search_many(self, requests: Sequence[tuple[Ints, Ints]], k: int) -> Sequence[Sequence[int]]:
        """Return the best members of each request, found in one call."""
        return [members for members, _ in self._collection.search_many(requests, k)]

    def put(self, document: int, terms: Ints, counts: Ints) -> None:
        """Insert a document, or replace the one of this number."""
        self._collection.put(document, document, terms, counts)


def formula() -> Formula | None:
    """Return what our scores are to be, or none if it is not known."""
    return None


def contenders(ours: Ours, rows: Rows, asked: Rows, k: int) -> list[Contender]:
    """Return our engine twice: asked one by one, and all at once."""
    requests = [asked.row(number) for number in range(len(asked))]
    known = formula()

    def scored(number: int) -> Floats:
        assert known is not None
        return scores(known, rows, *requests[number])

    exact = scored if known else None
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
            ask_all=lambda count: ours.search_many(requests[:count], k),
            answer=lambda number: ours.search_many(requests[: number + 1], k)[number],
            exact=exact,
            build_seconds=ours.build_seconds,
            size_bytes=ours.size_bytes,
        ),
    ]
