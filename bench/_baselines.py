"""What the production engine is measured beside: plain, well-known rankings of the same texts.

A  scikit-learn's `TfidfVectorizer` with its defaults, cosine
B  our analyser's terms and pairs of neighbours, sublinear term frequency, TF-IDF cosine
C  BM25 on our analyser's terms
E  voting BM25: a member's score is the sum over its past projects among those most similar to the request
P  the members with the most past projects first, whatever is asked

A, B and C know a member by one text; E and P are for sets with past projects, the others get C for E.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

Floats = npt.NDArray[np.float64]
Terms = Sequence[str]
Ranking = dict[str, dict[str, float]]
"""Query → doc → score, of the best docs."""

K1: Final = 1.2
B: Final = 0.75
"""BM25's usual constants, those of Lucene."""

VOTING_PROJECTS: Final = 50
"""Most similar past projects whose participants are voted for: so many are common in the search for experts."""

DEPTH: Final = 100
"""Docs kept of each ranking, as many as of the production engine's."""

NAMES: Final = {
    "A": "A: TF-IDF, scikit-learn's defaults",
    "B": "B: TF-IDF, our terms, pairs",
    "C": "C: BM25, our terms",
    "E": "E: voting BM25",
    "P": "P: number of past projects",
}


@dataclass(frozen=True, kw_only=True)
class Texts:
    """A set as its author wrote it, and the same texts as our analyser's terms.

    Attributes:
        docs, queries: id → text.
        doc_terms, query_terms: id → terms in reading order.
        project_terms: terms of each past project.
        project_docs: ids of the docs that took part in each past project.
    """

    docs: Mapping[str, str]
    queries: Mapping[str, str]
    doc_terms: Mapping[str, Terms]
    query_terms: Mapping[str, Terms]
    project_terms: Sequence[Terms]
    project_docs: Sequence[Sequence[str]]


def baselines(texts: Texts) -> dict[str, Ranking | None]:
    """Return each baseline's ranking by its letter; none where it is not defined."""
    docs, queries = sorted(texts.docs), list(texts.queries)
    doc_terms = [texts.doc_terms[doc] for doc in docs]
    query_terms = [texts.query_terms[query] for query in queries]

    def ranking(scores: Floats) -> Ranking:
        return ranked(scores, queries, docs)

    by_bm25 = ranking(bm25(doc_terms, query_terms))
    voted = popular = None
    if texts.project_terms:
        taking_part = participation(texts.project_docs, docs)
        voted = ranking(votes(bm25(texts.project_terms, query_terms), taking_part))
        popular = ranking(np.tile(np.asarray(taking_part.sum(axis=0), np.float64), (len(queries), 1)))
    return {
        "A": ranking(tf_idf([texts.docs[doc] for doc in docs], [texts.queries[query] for query in queries])),
        "B": ranking(tf_idf(doc_terms, query_terms, analyzer=with_pairs, sublinear_tf=True)),
        "C": by_bm25,
        "E": voted or by_bm25,
        "P": popular,
    }


def tf_idf(docs: Sequence[Any], queries: Sequence[Any], **options: Any) -> Floats:
    """Return cosines, shape (queries, docs), of `TfidfVectorizer` with some options, fitted on the docs."""
    vectorizer = TfidfVectorizer(**options)
    offered = vectorizer.fit_transform(docs)
    return _dense(csr_array(vectorizer.transform(queries)) @ csr_array(offered).T)


def with_pairs(terms: Terms) -> list[str]:
    """Return terms, and each two that follow one another."""
    return [*terms, *(f"{left} {right}" for left, right in pairwise(terms))]


def bm25(docs: Sequence[Terms], queries: Sequence[Terms]) -> Floats:
    """Return BM25 scores, shape (queries, docs).

    The sum over the words of the query, repeated ones as often as they occur, of
    idf · tf (k1 + 1) / (tf + k1 (1 - b + b length / mean length)), with idf = ln(1 + (N - df + ½) / (df + ½))
    (Robertson and Zaragoza, 2009; the idf is Lucene's, which is never below 0).
    """
    vectorizer = CountVectorizer(analyzer=_same)
    held = csr_array(vectorizer.fit_transform(docs), dtype=np.float64)
    asked = csr_array(vectorizer.transform(queries), dtype=np.float64)
    lengths = np.array([len(terms) for terms in docs], np.float64)
    holding = np.bincount(held.indices, minlength=held.shape[1])
    idf = np.log(1 + (len(docs) - holding + 0.5) / (holding + 0.5))
    damping = np.repeat(K1 * (1 - B + B * lengths / lengths.mean()), np.diff(held.indptr))
    held.data = held.data * (K1 + 1) / (held.data + damping) * idf[held.indices]
    return _dense(asked @ held.T)


def participation(project_docs: Sequence[Sequence[str]], docs: Sequence[str]) -> csr_array:
    """Return who took part, 1 or 0, shape (projects, docs)."""
    place = {doc: number for number, doc in enumerate(docs)}
    pairs = sorted({(project, place[doc]) for project, took in enumerate(project_docs) for doc in took if doc in place})
    rows, columns = np.array(pairs, np.int64).reshape(-1, 2).T
    return csr_array((np.ones(len(pairs)), (rows, columns)), shape=(len(project_docs), len(docs)))


def votes(scores: Floats, taking_part: csr_array, voting: int = VOTING_PROJECTS) -> Floats:
    """Return each member's sum of the scores of its projects among the best `voting` of each query.

    Args:
        scores: shape (queries, projects).
        taking_part: shape (projects, docs).
    """
    if scores.shape[1] > voting:
        # Sorted wholly and stably, so that the first project of equal ones is always the one that votes.
        left_out = np.argsort(-scores, axis=1, kind="stable")[:, voting:]
        scores = scores.copy()
        np.put_along_axis(scores, left_out, 0.0, axis=1)
    return _dense(csr_array(scores) @ taking_part)


def ranked(scores: Floats, queries: Sequence[str], docs: Sequence[str]) -> Ranking:
    """Return the best docs of each query with a score above 0; of equal ones the first of `docs`.

    Args:
        scores: shape (queries, docs).
    """
    found: Ranking = {}
    for query, row in zip(queries, scores, strict=True):
        best = [int(number) for number in np.argsort(-row, kind="stable")[:DEPTH] if row[number] > 0]
        found[query] = {docs[number]: float(row[number]) for number in best}
    return found


def _same(terms: Terms) -> Terms:
    return terms


def _dense(matrix: csr_array) -> Floats:
    return np.asarray(matrix.toarray(), np.float64)
