"""Requests facing members: what is offered and asked now, and which pairs a change brings among the best."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from schemas.suggestions import RequestSource
from services.matcher.domain.requests import Ask, Document
from services.matcher.index import Explanation, Match, OfferIndex, Request

LEAST_SHARED: Final = 2
"""Informative terms that two sides must share to be told of each other: one alone is too often a homonym."""

FEW_MEMBERS: Final = 8
"""Up to so many changed members it is cheaper to look for the requests they may answer than to rank all members for
every open request."""


@dataclass(frozen=True, slots=True)
class Bar:
    """What a pairing must reach to be told.

    Attributes:
        score: least score.
        posted: best members told for a posted request.
        standing: best members told for a standing request: nobody is waiting for an answer to it.
    """

    score: float
    posted: int
    standing: int

    def ranks(self, ask: Ask) -> int:
        """Return how many members a request is told of."""
        return self.posted if ask.source is RequestSource.NEED else self.standing


@dataclass(frozen=True, slots=True)
class Pair:
    """A request facing a member that is among the best for it."""

    ask: Ask
    member: str
    match: Match


Admits = Callable[[Ask, str], bool]


class Pairing:
    """What is offered and asked at the moment, in memory, and the scores between the two. For one thread at a time."""

    def __init__(self, *, index: OfferIndex, bar: Bar, ranked: Callable[[], None] = lambda: None) -> None:
        """`ranked` is called after each ranking: many of them may follow from one batch."""
        self.bar = bar
        self._ranked = ranked
        self.asks: dict[str, Ask] = {}
        """Requests that are open, by key."""
        self._index = index
        self._documents: dict[str, dict[str, Document]] = {}
        self._requests: dict[str, Request] = {}
        self._asking: dict[str, set[str]] = {}  # term → keys of the requests that hold it
        self._asked_by: dict[str, set[str]] = {}  # owner → keys of its open requests

    def __len__(self) -> int:
        """Return the number of offer documents."""
        return len(self._index)

    def offer(self, member: str, documents: dict[str, Document]) -> None:
        """Make `documents` all that a member brings."""
        before = self._documents.pop(member, {})
        for key in before.keys() - documents.keys():
            self._index.remove(key)
        for key, document in documents.items():
            if before.get(key) != document:
                self._index.put(key, member, document.text, title=document.title, language=document.language)
        if documents:
            self._documents[member] = documents

    def documents(self, member: str) -> Mapping[str, Document]:
        """Return what a member brings, by document key."""
        return self._documents.get(member, {})

    def ask(self, member: str, asks: Mapping[str, Ask]) -> None:
        """Make `asks` all that a member asks."""
        for key in self._asked_by.pop(member, set()) - asks.keys():
            del self.asks[key]
            self._forget(key)
        for key, ask in asks.items():
            if self._text_of(self.asks.get(key)) != self._text_of(ask):
                self._forget(key)
                request = self._requests[key] = self.request(ask)
                for term in request.counts:
                    self._asking.setdefault(term, set()).add(key)
            self.asks[key] = ask
        if asks:
            self._asked_by[member] = set(asks)

    def asked_by(self, member: str) -> Iterable[str]:
        """Return the keys of a member's open requests."""
        return self._asked_by.get(member, ())

    def request(self, ask: Ask) -> Request:
        """Return a request as the index reads it."""
        known = self._requests.get(ask.key)
        if known is not None and self._text_of(self.asks.get(ask.key)) == self._text_of(ask):
            return known
        return self._index.request(ask.text, title=ask.title, language=ask.language)

    def best(self, ask: Ask, admits: Admits) -> list[Pair]:
        """Return the request's best members that may face it and reach the score of the bar."""
        found = self._index.search(self.request(ask), self.bar.ranks(ask), lambda member: admits(ask, member))
        self._ranked()
        return [Pair(ask, match.member, match) for match in found if self._reaches(match)]

    def found_by(self, members: set[str], admits: Admits) -> list[Pair]:
        """Return the pairs in which one of `members` is now among the best for an open request."""
        few = len(members) <= FEW_MEMBERS
        pairs: list[Pair] = []
        for key in sorted(self._sharing_terms(members) if few else self.asks):
            ask = self.asks[key]
            if not few or any(admits(ask, member) and self._reaches(self.score(ask, member)) for member in members):
                pairs += [pair for pair in self.best(ask, admits) if pair.member in members]
        return pairs

    def score(self, ask: Ask, member: str) -> Match | None:
        """Return how a member answers a request, however many answer it better; None if it brings nothing."""
        return self._index.score(self.request(ask), member)

    def explain(self, ask: Ask, match: Match) -> Explanation | None:
        """Return why a match has its score; None where silence is better: below the bar, or too little to show."""
        if not self._reaches(match):
            return None
        explanation = self._index.explain(self.request(ask), match)
        told = sum(term.informative and term.share > 0 for term in explanation.terms)
        return explanation if told >= LEAST_SHARED else None

    def _reaches(self, match: Match | None) -> bool:
        return match is not None and match.score > 0 and match.score >= self.bar.score

    def _sharing_terms(self, members: set[str]) -> set[str]:
        """Return the open requests that share enough terms with what `members` bring for a pairing to be told."""
        terms: set[str] = set()
        for member in members:
            for document in self._documents.get(member, {}).values():
                terms |= self._index.request(
                    document.text, title=document.title, language=document.language
                ).counts.keys()
        shared: Counter[str] = Counter()
        for term in terms:
            shared.update(self._asking.get(term, ()))
        return {key for key, count in shared.items() if count >= LEAST_SHARED}

    def _forget(self, key: str) -> None:
        request = self._requests.pop(key, None)
        for term in request.counts if request is not None else ():
            keys = self._asking[term]
            keys.discard(key)
            if not keys:
                del self._asking[term]

    @staticmethod
    def _text_of(ask: Ask | None) -> tuple[str, str, str | None] | None:
        return None if ask is None else (ask.title, ask.text, ask.language)
