"""Term frequencies of the live offers, one sparse row each, and their exact TF-IDF cosines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Number = TypeVar("Number", np.float64, np.int32)

FIRST_CAPACITY = 1024
"""Entries that a new array has room for; it doubles from there, so that an append costs a constant on average."""


class TermRows:
    """A growing sparse matrix of raw term frequencies: one row (slot) per offer, one column per term.

    idf and document norms are derived from the live document frequencies when a query follows a change, never stored
    with a row: so no row is rewritten when the corpus grows, and every answer is that of a fit from scratch. Deriving
    them reads every entry once, about 2 ns each.
    """

    def __init__(self) -> None:
        self.vocabulary: dict[str, int] = {}
        self.live = 0
        self._slots = 0
        self._dead = 0  # slots and entries
        self._pointers: Ints = np.zeros(FIRST_CAPACITY, np.int32)  # row s is the entries from pointer s to s + 1
        self._columns: Ints = np.zeros(FIRST_CAPACITY, np.int32)
        self._frequencies: Floats = np.zeros(FIRST_CAPACITY)
        self._document_frequencies: Floats = np.zeros(FIRST_CAPACITY)
        self._idf: Floats | None = None  # None: stale, as the norms then are
        self._inverse_norms: Floats = np.zeros(0)

    def append(self, counts: Mapping[str, int]) -> int:
        """Add a row of term frequencies and return its slot."""
        columns = [self.vocabulary.setdefault(term, len(self.vocabulary)) for term in counts]
        slot, start = self._slots, int(self._pointers[self._slots])
        end = start + len(columns)
        self._pointers = with_room(self._pointers, slot + 2)
        self._columns = with_room(self._columns, end)
        self._frequencies = with_room(self._frequencies, end)
        self._document_frequencies = with_room(self._document_frequencies, len(self.vocabulary))
        self._pointers[slot + 1] = end
        self._columns[start:end] = columns
        self._frequencies[start:end] = list(counts.values())
        self._document_frequencies[columns] += 1
        self._slots += 1
        self.live += 1
        self._idf = None
        return slot

    def drop(self, slot: int) -> None:
        """Empty the row of a live slot; its room is given back by `compact`."""
        start, end = self._pointers[slot : slot + 2]
        self._document_frequencies[self._columns[start:end]] -= 1
        self._frequencies[start:end] = 0.0  # scores nothing from now on
        self._columns[start:end] = 0  # nor does it tell any longer which terms it held
        self._dead += 1 + int(end - start)
        self.live -= 1
        self._idf = None

    @property
    def wasteful(self) -> bool:
        """Whether more than half of the room is dead: compacting then costs a constant per `drop` on average."""
        room = self._slots + int(self._pointers[self._slots])
        return self._dead > FIRST_CAPACITY and 2 * self._dead > room

    def document_frequency(self, term: str) -> int:
        """Return the number of live offers that hold `term`."""
        column = self.vocabulary.get(term)
        return 0 if column is None else int(self._document_frequencies[column])

    def weigh(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Return tf · idf² / |query| of each query term that a live offer holds.

        Times an offer's tf and divided by its norm, this is the term's part of their cosine. The idf is
        scikit-learn's `smooth_idf`, ln((1 + n) / (1 + df)) + 1, over the n live offers. As after
        `TfidfVectorizer.transform`, a term of no live offer is ignored: it is not in the query's norm either.
        """
        idf = self._refreshed()
        known = [(term, column) for term in counts if (column := self.vocabulary.get(term)) is not None]
        columns = np.array([column for _, column in known], np.int32)
        held = self._document_frequencies[columns] > 0
        weights = np.array([counts[term] for term, _ in known], np.float64) * idf[columns] * held
        norm = np.sqrt(np.sum(weights**2)) or 1.0
        parts = weights * idf[columns] / norm
        return {term: part for (term, _), part in zip(known, parts.tolist(), strict=True) if part > 0}

    def cosines(self, weights: Mapping[str, float], slots: list[int] | None = None) -> Floats:
        """Return the cosine of the query weighed by `weigh` with each of `slots` (all slots: shape (slots,))."""
        self._refreshed()
        query = np.zeros(len(self.vocabulary))
        query[[self.vocabulary[term] for term in weights]] = list(weights.values())
        if slots is None:
            return (self._matrix(self._frequencies) @ query) * self._inverse_norms
        return (self._matrix(self._frequencies)[slots] @ query) * self._inverse_norms[slots]

    def inverse_norm(self, slot: int) -> float:
        """Return 1 / |tf · idf| of a row, 0 for a row without terms."""
        self._refreshed()
        return float(self._inverse_norms[slot])

    def compact(self, keep: list[int]) -> None:
        """Keep the rows of `keep` (every live slot), renumbered 0, 1, ..., and the terms that they hold."""
        matrix = self._matrix(self._frequencies)[keep]
        held = self._document_frequencies[: len(self.vocabulary)] > 0
        renumbered = np.cumsum(held, dtype=np.int32) - 1
        self._pointers = matrix.indptr.astype(np.int32)
        self._columns = renumbered[matrix.indices].astype(np.int32)
        self._frequencies = matrix.data
        self._document_frequencies = self._document_frequencies[: len(self.vocabulary)][held]
        self.vocabulary = {term: int(renumbered[old]) for term, old in self.vocabulary.items() if held[old]}
        self._slots = self.live = len(keep)
        self._dead = 0
        self._idf = None

    def _refreshed(self) -> Floats:
        if self._idf is None:
            frequencies = self._document_frequencies[: len(self.vocabulary)]
            self._idf = np.log((1.0 + self.live) / (1.0 + frequencies)) + 1.0
            norms = np.sqrt(self._matrix(self._frequencies**2) @ self._idf**2)
            self._inverse_norms = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
        return self._idf

    def _matrix(self, data: Floats) -> csr_array:
        """View the rows as scipy sees them, with `data` as the entries."""
        entries = int(self._pointers[self._slots])
        parts = (data[:entries], self._columns[:entries], self._pointers[: self._slots + 1])
        return csr_array(parts, shape=(self._slots, len(self.vocabulary)))


def with_room(array: npt.NDArray[Number], size: int) -> npt.NDArray[Number]:
    """Return `array`, or a copy at least twice as long, so that it has `size` entries; new ones are zero."""
    if size <= len(array):
        return array
    return np.concatenate([array, np.zeros(max(size - len(array), len(array)), array.dtype)])
