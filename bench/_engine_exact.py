"""Scores computed as slowly and plainly as can be, to hold the engines to: every term is looked for in every entry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench._corpus import Ints, Longs, Rows

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Saturation:
    """The constants of our score, as the engine has them.

    Attributes:
        k1, b: of BM25.
        c: known terms from which on a request is compared more like a document than like a query.
        rarity: how much more rare words count in a long request.
        scale: what the request's weights are multiplied with.
        levels: lengths that are told apart; `longest`: words of the last one.
        frequencies: the frequency that counts for each number of times, from 0 on; the last one for all above.
    """

    k1: float
    b: float
    c: float
    rarity: float
    scale: float
    levels: int
    longest: float
    frequencies: tuple[float, ...]


def lucene_scores(rows: Rows, terms: Ints, counts: Ints, k1: float, b: float) -> Floats:
    """Return BM25 as Lucene has it, without its factor k1 + 1; it is what bm25s computes by itself.

    Returns:
        The score of every document, shape (documents,).
    """
    words = _words(rows)
    halves = k1 * (1 - b + b * words / words.mean())
    found = np.zeros(len(rows))
    for term, count in zip(terms.tolist(), counts.tolist(), strict=True):
        holders, times = _holders(rows, term)
        found[holders] += count * _idf(len(rows), len(holders)) * times / (times + halves[holders])
    return found


def our_scores(rows: Rows, terms: Ints, counts: Ints, by: Saturation) -> Floats:
    """Return our score of every document, each of a member of its own, shape (documents,).

    BM25 with the request's weights in l2 norm, frequencies and lengths in levels, and a document's share divided by how
    large a vector of its length is, the more so the longer the request.
    """
    levels = np.round(np.log(np.maximum(1, _words(rows))) / math.log(by.longest) * (by.levels - 1))
    lengths = by.longest ** (np.minimum(levels, by.levels - 1) / (by.levels - 1))
    halves = by.k1 * (1 - by.b + by.b * lengths / lengths.mean())
    sizes = np.sqrt(lengths) / (1 + halves)
    frequencies = np.array(by.frequencies)
    held = [_holders(rows, term) for term in terms.tolist()]
    power = 1 + by.rarity * len(terms) / (len(terms) + by.c)
    weights = np.array(
        [
            (1 + math.log(count)) * _idf(len(rows), len(holders)) ** power if len(holders) else 0.0
            for count, (holders, _) in zip(counts.tolist(), held, strict=True)
        ]
    )
    weights *= by.scale / (math.sqrt((weights**2).sum()) or 1.0)
    known = int((weights > 0).sum())
    part = known / (known + by.c)
    found = np.zeros(len(rows))
    for weight, (holders, times) in zip(weights.tolist(), held, strict=True):
        frequency = frequencies[np.minimum(times, len(frequencies) - 1).astype(np.int64)]
        found[holders] += weight * (by.k1 + 1) * frequency / (frequency + halves[holders])
    found /= 1 - part + part * sizes / sizes.mean()
    return found


def _words(rows: Rows) -> Floats:
    return np.add.reduceat(rows.counts, rows.pointers[:-1]).astype(np.float64)


def _idf(documents: int, frequency: int) -> float:
    return math.log(1 + (documents - frequency + 0.5) / (frequency + 0.5))


def _holders(rows: Rows, term: int) -> tuple[Longs, Floats]:
    """Return the documents that hold a term, and how often each does."""
    entries = np.flatnonzero(rows.terms == term)
    return np.searchsorted(rows.pointers, entries, side="right") - 1, rows.counts[entries].astype(np.float64)


def worst_error(exact: Floats, found: Sequence[int], k: int) -> float:
    """Return how far an answer is from the `k` best documents, relative to the best score; 0 for an exact answer.

    Compared are, place by place, the exact score of the document that was found and the exact score that belongs in
    that place: so documents of equal score may change places. Infinite if a document stands there twice, or if there
    are more documents with a score than were found.
    """
    if len(found) < min(k, int(np.count_nonzero(exact))) or len(set(found)) < len(found):
        return math.inf
    best = np.sort(exact)[::-1][: len(found)]
    if not len(best) or best[0] == 0:
        return 0.0
    return float(np.abs(exact[np.asarray(found, np.int64)] - best).max() / best[0])
