"""What the index is asked and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.matcher.index.compiled.arrays import Ints32
from services.matcher.index.compiled.weighting import Query
from services.matcher.index.text.fields import Reading, Span


@dataclass(frozen=True, slots=True)
class Request:
    """A request analysed once, to be scored against the offers of any later moment.

    It holds no idf: the weight of its words is that of the offers alive when it is scored.
    """

    title: str
    text: str
    reading: Reading = field(compare=False, repr=False)
    numbers: Ints32 = field(compare=False, repr=False)
    """Numbers of all its words, in reading order."""
    words: tuple[int, ...] = field(compare=False, repr=False)
    """Numbers of its distinct words, in the order in which they first come."""
    places: tuple[tuple[Span, ...], ...] = field(compare=False, repr=False)
    """Of each of those words, where it stands."""
    telling: tuple[bool, ...] = field(compare=False, repr=False)
    """Whether each of them is a word that tells something, as it is written where it first comes."""
    prepared: Prepared = field(compare=False, repr=False)

    def written(self, span: Span) -> str:
        """Return the words of a span as the author wrote them."""
        return (self.title if span.field == "title" else self.text)[span.start : span.end]


@dataclass(slots=True)
class Prepared:
    """A request as numbers, which hold until a word like one of its own comes into the vocabulary.

    Attributes:
        version: of the variants when it was last known to hold.
        resembling: how many words resemble its own, in all.
        query: what is searched for.
        pairs: of each group after the words: which two words follow one another, shape (pairs, 2).
        times: of each group: how often the request says it.
        groups: of each word and variant: the groups that it stands in.
    """

    version: int
    resembling: int
    query: Query
    pairs: Ints32
    times: tuple[int, ...]
    groups: Mapping[int, Sequence[int]]


class Vote(NamedTuple):
    """One offer that counts for its member: its own score with the request, above 0."""

    document_id: str
    score: float


@dataclass(frozen=True, slots=True)
class Match:
    """One member facing a request.

    `score` is `name`, what the member's name gives, and on top the root of the sum of the squared scores of its
    `VOTING_OFFERS` best offers. `documents` are the best of them, best first, ties by id, `SHOWN_OFFERS` at most.
    """

    member: str
    score: float
    documents: tuple[Vote, ...]
    name: float = 0.0


@dataclass(frozen=True, slots=True)
class SharedTerm:
    """One word that a request and the matched member share, perhaps each in a form of its own.

    `term` is what the request's form is compared by. `share` is the part of the score that it brings, in the score's
    unit, `informative` says whether it is worth telling an ambassador (see `evidence.informative`). `offer_spans` is
    keyed by document id, best document first; `name_spans` lie in the member's name.
    """

    term: str
    share: float
    informative: bool
    request_spans: tuple[Span, ...]
    offer_spans: Mapping[str, tuple[Span, ...]]
    name_spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a match has its score: every shared term, largest share first, ties by term. The shares sum to the score."""

    terms: tuple[SharedTerm, ...]


class Weighed(NamedTuple):
    """One word of a request, by itself.

    Attributes:
        places: where it stands.
        weight: the part that it has of what all words of the request weigh, 0 to 1.
        telling: whether it says something as it is written.
        informative: whether it would be worth telling if it were shared.
        others: how often offers hold it or a variant; one with several of them counts several times.
    """

    places: tuple[Span, ...]
    weight: float
    telling: bool
    informative: bool
    others: int


class Worth(NamedTuple):
    """How much there is to show for a score.

    Attributes:
        informative: shared words that are worth telling.
        largest: part of the score that one word brings, 0 to 1.
    """

    informative: int
    largest: float
