"""One size of corpus: every engine in the same process, on the same requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bench._corpus import documents, requests
from bench._engine_exact import worst_error
from bench._engine_ours import OURS, OURS_BATCH, Ours, contenders
from bench._engine_timing import Contender, Floats, Latency, interleaved, latency, ratio
from bench._peers import peers

K = 10
CHECKED, CHECKED_IF_LARGE, LARGE = 20, 6, 200_000
"""Requests whose answers are checked; fewer in a large corpus, where a slow check takes a second each."""

TOLERANCE = 1e-4
"""Of the best score: what sums of 32-bit numbers may differ by."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One engine at one size.

    Attributes:
        asked: requests that it answered, the first ones.
        batch: whether in one call; then every request counts as its share of the call.
        ratio: its time over that of ours asked in the same way (one by one, or in one call), on the requests in common.
        error: farthest that a checked answer is from the best by the engine's own formula, relative to the best score;
            none where there is nothing to check by.
        common: share of the documents found that ours finds too, on the checked requests.
        planted: share of the checked paraphrases whose planted document was found.
        seconds: of each request, the fastest round.
    """

    name: str
    asked: int
    batch: bool
    latency: Latency
    ratio: float
    build_seconds: float
    bytes_per_document: float
    error: float | None
    common: float
    planted: float
    notes: Mapping[str, Any]
    seconds: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Size:
    """Every engine at one size.

    Attributes:
        terms_per_document, terms_per_request: distinct ones, mean.
        postings_per_request: entries that an engine without shortcuts reads, mean.
    """

    documents: int
    terms_per_document: float
    terms_per_request: float
    postings_per_request: float
    rows: Sequence[Row]

    @property
    def ratios(self) -> dict[str, float]:
        """Return the ratio of each engine."""
        return {row.name: row.ratio for row in self.rows}

    @property
    def wrong(self) -> list[str]:
        """Return the engines whose answers were not what their own formula says."""
        return [row.name for row in self.rows if row.error is not None and row.error > TOLERANCE]


def speed(size: int, asked: int, rounds: int, tell: Callable[[str], None]) -> Size:
    """Build every engine with the same documents and ask all of them the same requests."""

    def say(text: str) -> None:
        tell(f"{size:,} documents: {text}")

    say("making the corpus")
    rows = documents(size)
    queries, planted = requests(rows, asked)
    with TemporaryDirectory(prefix="maillage-engine-") as folder:
        say("building ours")
        entered = contenders(Ours.build(rows), rows, queries, K) + peers(rows, queries, K, Path(folder), say)
        best = interleaved(entered, asked, rounds, say)
        say("checking answers")
        checked = min(asked, CHECKED_IF_LARGE if size > LARGE else CHECKED)
        ours = [set(_plain(entered[0].answer(number))) for number in range(checked)]
        found = [_row(contender, best, ours, planted[:checked].tolist(), size) for contender in entered]
    frequencies = np.bincount(rows.terms)
    known = queries.terms[queries.terms < len(frequencies)]
    return Size(
        documents=size,
        terms_per_document=len(rows.terms) / size,
        terms_per_request=len(queries.terms) / asked,
        postings_per_request=float(frequencies[known].sum() / asked),
        rows=found,
    )


def _row(
    contender: Contender, best: Mapping[str, Floats], ours: Sequence[set[int]], planted: Sequence[int], size: int
) -> Row:
    seconds = best[contender.name]
    batch = contender.ask_all is not None
    answers = [_plain(contender.answer(number)) for number in range(len(ours))]
    exact = contender.exact
    paraphrases = [number for number, document in enumerate(planted) if document >= 0]
    return Row(
        name=contender.name,
        asked=len(seconds),
        batch=batch,
        latency=latency(seconds),
        ratio=ratio(seconds, best[OURS_BATCH if batch else OURS]),
        build_seconds=contender.build_seconds,
        bytes_per_document=contender.size_bytes / size,
        error=None
        if exact is None
        else max(worst_error(exact(number), answer, K) for number, answer in enumerate(answers)),
        common=sum(len(ours[number].intersection(answer)) for number, answer in enumerate(answers))
        / sum(len(answer) for answer in answers),
        planted=sum(planted[number] in answers[number] for number in paraphrases) / len(paraphrases),
        notes=contender.notes,
        seconds=seconds.tolist(),
    )


def _plain(numbers: Sequence[int]) -> list[int]:
    return [int(number) for number in numbers]
