"""Requests facing members: what is offered and asked now, and which pairs a change brings among the best."""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from schemas.suggestions import RequestSource
from services.matcher.domain.eligibility import Traits
from services.matcher.domain.requests import Ask, Document
from services.matcher.index import Explanation, Match, OfferIndex, Request, RequestIndex

LEAST_SHARED: Final = 2
"""Informative terms that two sides must share to be told of each other: one alone is too often a homonym."""

MOST_FROM_ONE_WORD: Final = 0.7
"""Part of a score that one word may bring. More comes of a word of a name that means something else in the request."""

LOOKED_AT: Final = 3
"""Times as many members as may be told that are looked at: some of them share too little that is worth showing."""


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


@dataclass(frozen=True, slots=True)
class Eligibility:
    """Whom a request may face.

    Attributes:
        traits: whether it may face members of such traits.
        member: whether it may face this one, by key, as far as that is not a matter of its traits.
    """

    traits: Callable[[Ask, Traits], bool]
    member: Callable[[Ask, str], bool]


class Pairing:
    """What is offered and asked at the moment, in memory, and the scores between the two. For one thread at a time."""

    def __init__(self, *, index: OfferIndex, bar: Bar, ranked: Callable[[], None] = lambda: None) -> None:
        """`ranked` is called after each ranking: many of them may follow from one batch."""
        self.bar = bar
        self._ranked = ranked
        self.asks: dict[str, Ask] = {}
        """Requests that are open, by key."""
        self._index = index
        self._open = RequestIndex(index)
        self._documents: dict[str, dict[str, Document]] = {}
        self._requests: dict[str, Request] = {}
        self._asked_by: dict[str, set[str]] = {}  # owner → keys of its open requests

    def __len__(self) -> int:
        """Return the number of offer documents."""
        return len(self._index)

    def withdraw(self, member: str, documents: Container[str], asks: Container[str]) -> None:
        """Take out what a member offers and asks no more, before others offer or ask it under the same key."""
        known = self._documents.get(member, {})
        for key in [key for key in known if key not in documents]:
            self._index.remove(key)
            del known[key]
        for key in [key for key in self._asked_by.get(member, ()) if key not in asks]:
            self._asked_by[member].discard(key)
            del self.asks[key]
            del self._requests[key]
            self._open.remove(key)

    def offer(
        self, member: str, documents: dict[str, Document], *, name: str = "", traits: Traits | None = None
    ) -> None:
        """Make `documents` all that a member brings, `name` what it is called and `traits` what it is."""
        self.withdraw(member, documents, self._asked_by.get(member, ()))
        before = self._documents.pop(member, {})
        self._index.name(member, name if documents else "")
        if documents:
            self._index.group(member, traits)
            self._documents[member] = dict(documents)
        for key, document in documents.items():
            if before.get(key) != document:
                self._index.put(key, member, document.text, title=document.title, language=document.language)

    def documents(self, member: str) -> Mapping[str, Document]:
        """Return what a member brings, by document key."""
        return self._documents.get(member, {})

    def ask(self, member: str, asks: Mapping[str, Ask]) -> None:
        """Make `asks` all that a member asks."""
        self.withdraw(member, self._documents.get(member, {}), asks)
        self._asked_by.pop(member, None)
        for key, ask in asks.items():
            if self._text_of(self.asks.get(key)) != self._text_of(ask):
                self._requests[key] = self._index.request(ask.text, title=ask.title, language=ask.language)
                self._open.put(key, self._requests[key])
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

    def best(self, ask: Ask, eligible: Eligibility) -> list[Pair]:
        """Return the request's best members that may face it, reach the bar and share enough to be shown.

        One that shares too little gives its place to the next best.
        """
        request, ranks = self.request(ask), self.bar.ranks(ask)
        found = self._index.search(
            request,
            LOOKED_AT * ranks,
            lambda member: eligible.member(ask, member),
            lambda traits: isinstance(traits, Traits) and eligible.traits(ask, traits),
        )
        self._ranked()
        worth = (Pair(ask, match.member, match) for match in found if self._tells(request, match))
        return list(islice(worth, ranks))

    def found_by(self, members: set[str], eligible: Eligibility) -> list[Pair]:
        """Return the pairs in which one of `members` is now among the best for an open request."""
        asks = set(self.asks)
        if len(members) < len(asks):
            asks = {key for member in members for key in self._open.facing(member, self.bar.score)}
        found = (pair for key in sorted(asks) for pair in self.best(self.asks[key], eligible))
        return [pair for pair in found if pair.member in members]

    def score(self, ask: Ask, member: str) -> Match | None:
        """Return how a member answers a request, however many answer it better; None if it brings nothing."""
        return self._index.score(self.request(ask), member)

    def explain(self, ask: Ask, match: Match) -> Explanation | None:
        """Return why a match has its score; None where silence is better: below the bar, or too little to show."""
        request = self.request(ask)
        return self._index.explain(request, match) if self._tells(request, match) else None

    def _tells(self, request: Request, match: Match) -> bool:
        if not match.documents or match.score < self.bar.score:
            return False
        worth = self._index.worth(request, match.member)
        return worth.informative >= LEAST_SHARED and worth.largest <= MOST_FROM_ONE_WORD

    @staticmethod
    def _text_of(ask: Ask | None) -> tuple[str, str, str | None] | None:
        return None if ask is None else (ask.title, ask.text, ask.language)
