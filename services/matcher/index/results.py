"""What the index is asked and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from services.matcher.index.fields import Span


@dataclass(frozen=True, slots=True)
class Request:
    """A request analysed once, to be scored against the offers of any later moment.

    It holds no idf: the weight of its terms is that of the offers alive when it is scored. `counts` is the term
    frequency of each term over title and text together.
    """

    title: str
    text: str
    language: str | None
    counts: Mapping[str, int] = field(compare=False, repr=False)


class Vote(NamedTuple):
    """One offer that counts for its member: its TF-IDF cosine with the request, in 0..1."""

    document_id: str
    cosine: float


@dataclass(frozen=True, slots=True)
class Match:
    """One member facing a request.

    `score` is the square root of the sum of the squared cosines of `documents`: at least the best cosine, at most
    sqrt(VOTING_OFFERS). `documents` are the offers that share a term with the request, best first, ties by id.
    """

    member: str
    score: float
    documents: tuple[Vote, ...]


@dataclass(frozen=True, slots=True)
class SharedTerm:
    """One term that a request and the matched offers share.

    `share` is the part of the score that it brings, in the score's unit. `informative` says whether it is worth telling
    an ambassador (see `evidence.informative`). `offer_spans` is keyed by document id, best document first.
    """

    term: str
    share: float
    informative: bool
    request_spans: tuple[Span, ...]
    offer_spans: Mapping[str, tuple[Span, ...]]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a match has its score: every shared term, largest share first, ties by term. The shares sum to the score."""

    terms: tuple[SharedTerm, ...]
