"""Scores computed as slowly and plainly as can be, to hold the engines to: every term is looked for in every entry."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench._corpus import Ints, Rows

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Formula:
    """A sum over the terms that request and document share: `request(count) * idf(documents, df) * part(...)`.

    Attributes:
        request: weight of a term's count in the request.
        idf: weight of a term that `df` of `n` documents hold, from `(n, df)`.
        part: weight of counts in documents, from `(counts, words of the documents, mean words of all documents)`.
    """

    request: Callable[[int], float]
    idf: Callable[[int, int], float]
    part: Callable[[Floats, Floats, float], Floats]


def lucene(k1: float, b: float) -> Formula:
    """Return BM25 as Lucene has it (without its factor k1 + 1), which is what bm25s computes by itself."""
    return Formula(
        request=float,
        idf=lambda n, df: math.log(1 + (n - df + 0.5) / (df + 0.5)),
        part=lambda counts, words, mean: counts / (counts + k1 * (1 - b + b * words / mean)),
    )


def scores(formula: Formula, rows: Rows, terms: Ints, counts: Ints) -> Floats:
    """Return the score of every document for a request, shape (documents,)."""
    found = np.zeros(len(rows))
    words = np.add.reduceat(rows.counts, rows.pointers[:-1]).astype(np.float64)
    mean = float(words.mean())
    for term, count in zip(terms.tolist(), counts.tolist(), strict=True):
        entries = np.flatnonzero(rows.terms == term)
        if not len(entries):
            continue
        holders = np.searchsorted(rows.pointers, entries, side="right") - 1
        weight = formula.request(count) * formula.idf(len(rows), len(entries))
        found[holders] += weight * formula.part(rows.counts[entries].astype(np.float64), words[holders], mean)
    return found


def worst_error(exact: Floats, found: Sequence[int], given: Sequence[float] | None = None) -> float:
    """Return how far an answer is from the best documents, relative to the best score; 0 for an exact answer.

    Compared are, place by place, the exact score of the document that was found with the exact score that belongs in
    that place (so documents of equal score may change places) and with the score that was `given`, if any.
    """
    best = np.sort(exact)[::-1][: len(found)]
    true = exact[np.asarray(found, np.int64)]
    scale = best[0] or 1.0
    errors = [np.abs(true - best).max(initial=0)]
    if given is not None:
        errors.append(np.abs(true - np.asarray(given, np.float64)).max(initial=0))
    return float(max(errors) / scale)
