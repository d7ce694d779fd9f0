"""The engines that ours is measured against, each used as its authors advise, with one thread.

* tantivy: terms as text that its whitespace tokenizer reads, one segment, no counting of hits, so that it may prune.
* bm25s with its numba backend: one request a call, and all requests in one call.
* sparse_dot_topn: all requests in one call, float32, against the transposed TF-IDF matrix.
* scikit-learn: `linear_kernel` with the TF-IDF matrix, and a sort.

The first two rank by BM25 and the others by TF-IDF cosine, so their lists differ; the work that is compared is the
ten best of the same OR request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import bm25s  # type: ignore[import-untyped]
import numpy as np
import sparse_dot_topn  # type: ignore[import-untyped]
import tantivy
from scipy.sparse import csr_array, csr_matrix
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.metrics.pairwise import linear_kernel

from bench._corpus import TERMS, Rows
from bench._engine_exact import lucene_scores
from bench._engine_timing import Contender, Floats

TANTIVY = "tantivy"
BM25S = "bm25s numba"
BM25S_BATCH = "bm25s numba, batch"
TOPN_BATCH = "sparse_dot_topn, batch"
LINEAR_KERNEL = "linear_kernel and a sort"

WRITER_BYTES = 1_000_000_000
"""Room of tantivy's writer: enough that a million documents become one segment without a merge."""


def word(term: int) -> str:
    """Return a term as text."""
    return f"t{term}"


class Tantivy:
    """A tantivy index of pre-tokenised documents, on disk if given a folder, otherwise in memory."""

    def __init__(self, rows: Rows, folder: Path | None = None, *, writable: bool = False) -> None:
        builder = tantivy.SchemaBuilder()
        builder.add_text_field("body", stored=False, tokenizer_name="whitespace", index_option="freq")
        builder.add_unsigned_field("id", stored=False, indexed=True, fast=True)
        self._schema = builder.build()
        self._index = tantivy.Index(self._schema, path=str(folder) if folder else None)
        self._names = np.array([word(term) for term in range(TERMS)], dtype=object)
        self._folder = folder
        start = time.perf_counter()
        self._writer: tantivy.IndexWriter | None = self._index.writer(WRITER_BYTES, 1)
        for number in range(len(rows)):
            self._writer.add_document(self._document(number, rows.words(number).tolist()))
        self._writer.commit()
        if not writable:
            self._writer.wait_merging_threads()
            self._writer = None
        self.build_seconds = time.perf_counter() - start
        self._reload()

    @property
    def size_bytes(self) -> int:
        """Bytes of its files; 0 in memory."""
        return sum(path.stat().st_size for path in self._folder.iterdir()) if self._folder else 0

    @property
    def segments(self) -> int:
        """Segments that a search reads."""
        return self._searcher.num_segments

    def insert(self, number: int, terms: Sequence[int]) -> None:
        """Add a document and make it visible to the next search."""
        assert self._writer is not None
        self._writer.add_document(self._document(number, terms))
        self._writer.commit()
        self._reload()

    def close(self) -> None:
        """Wait for what the writer still does in the background."""
        if self._writer is not None:
            self._writer.wait_merging_threads()
            self._writer = None

    def weighted(self, terms: Sequence[int], counts: Sequence[int]) -> list[tuple[str, float]]:
        """Return terms as text, each with its weight."""
        return [(word(term), float(count)) for term, count in zip(terms, counts, strict=True)]

    def search(self, request: Sequence[tuple[str, float]], k: int) -> Sequence[Any]:
        """Return score and address of the best documents, best first."""
        clauses = []
        for term, weight in request:
            query = tantivy.Query.term_query(self._schema, "body", term, "freq")
            clauses.append((tantivy.Occur.Should, query if weight == 1 else tantivy.Query.boost_query(query, weight)))
        return self._searcher.search(tantivy.Query.boolean_query(clauses), k, count=False).hits

    def ids(self, hits: Sequence[Any]) -> list[int]:
        """Return the numbers of the documents that were found."""
        addresses = [address for _, address in hits]
        return [int(number or 0) for number in self._searcher.fast_field_values("id", addresses)]

    def _document(self, number: int, terms: Sequence[int]) -> tantivy.Document:
        document = tantivy.Document()
        document.add_text("body", " ".join(self._names[terms]))
        document.add_unsigned("id", number)
        return document

    def _reload(self) -> None:
        self._index.reload()
        self._searcher = self._index.searcher()


def tantivy_contender(rows: Rows, asked: Rows, k: int, folder: Path) -> Contender:
    """Build tantivy's index in a folder; a request is timed from terms as text to hits."""
    peer = Tantivy(rows, folder)
    requests = [peer.weighted(*(part.tolist() for part in asked.row(number))) for number in range(len(asked))]
    return Contender(
        name=TANTIVY,
        ask=lambda number: peer.search(requests[number], k),
        answer=lambda number: peer.ids(peer.search(requests[number], k)),
        build_seconds=peer.build_seconds,
        size_bytes=peer.size_bytes,
        notes={"segments": peer.segments},
    )


def bm25s_contenders(rows: Rows, asked: Rows, k: int) -> list[Contender]:
    """Build one index of bm25s and return it twice: asked one by one, and all at once."""
    shared = np.array(list(range(TERMS)), dtype=object)  # one Python int for each term, not for each word
    corpus = bm25s.tokenization.Tokenized(
        ids=[shared[rows.words(number)].tolist() for number in range(len(rows))],
        vocab={word(term): term for term in range(TERMS)},
    )
    index = bm25s.BM25(backend="numba")
    start = time.perf_counter()
    index.index(corpus, show_progress=False)
    seconds = time.perf_counter() - start
    size = sum(part.nbytes for part in index.scores.values() if isinstance(part, np.ndarray))
    requests = [[word(term) for term in asked.words(number).tolist()] for number in range(len(asked))]

    def retrieve(some: list[list[str]]) -> Any:
        return index.retrieve(some, k=k, show_progress=False, n_threads=0).documents

    def exact(number: int) -> Floats:
        return lucene_scores(rows, *asked.row(number), index.k1, index.b)

    return [
        Contender(
            name=BM25S,
            ask=lambda number: retrieve([requests[number]]),
            answer=lambda number: retrieve([requests[number]])[0],
            exact=exact,
            build_seconds=seconds,
            size_bytes=size,
        ),
        Contender(
            name=BM25S_BATCH,
            ask_all=lambda count: retrieve(requests[:count]),
            answer=lambda number: retrieve(requests[: number + 1])[number],
            exact=exact,
            build_seconds=seconds,
            size_bytes=size,
        ),
    ]


def tfidf_contenders(rows: Rows, asked: Rows, k: int) -> list[Contender]:
    """Fit TF-IDF as `TfidfVectorizer` has it by itself, and return the two that rank by its cosine."""
    counts = csr_matrix(rows.matrix())
    start = time.perf_counter()
    transformer = TfidfTransformer()
    matrix = transformer.fit_transform(counts)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    transposed = matrix.astype(np.float32).T.tocsr()
    transposed_seconds = seconds + time.perf_counter() - start
    requests = transformer.transform(csr_matrix(asked.matrix()))
    each = [requests[number] for number in range(len(asked))]
    single = requests.astype(np.float32)

    def kernel(number: int) -> Sequence[int]:
        scores = linear_kernel(each[number], matrix).ravel()
        return scores.argsort()[::-1][:k]  # type: ignore[no-any-return]

    def topn(rows: Any) -> Any:
        return sparse_dot_topn.sp_matmul_topn(rows, transposed, top_n=k, n_threads=1, sort=True)

    def exact(number: int) -> Floats:
        return linear_kernel(each[number], matrix).ravel()  # type: ignore[no-any-return]

    return [
        Contender(
            name=TOPN_BATCH,
            ask_all=lambda count: topn(single[:count]),
            answer=lambda number: topn(single[number]).indices,
            exact=exact,
            build_seconds=transposed_seconds,
            size_bytes=_bytes(transposed),
        ),
        Contender(
            name=LINEAR_KERNEL,
            ask=kernel,
            answer=kernel,
            exact=exact,
            build_seconds=seconds,
            size_bytes=_bytes(matrix),
        ),
    ]


def peers(rows: Rows, asked: Rows, k: int, folder: Path, tell: Callable[[str], None]) -> list[Contender]:
    """Build every peer with the same documents."""
    tell("building tantivy")
    built = [tantivy_contender(rows, asked, k, folder)]
    tell("building bm25s")
    built += bm25s_contenders(rows, asked, k)
    tell("building TF-IDF")
    return built + tfidf_contenders(rows, asked, k)


def _bytes(matrix: csr_array | csr_matrix) -> int:
    return int(matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes)
