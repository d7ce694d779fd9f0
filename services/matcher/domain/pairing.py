"""Requests facing members: what is offered and asked now, and which pairs a change brings among the best."""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Final, NamedTuple

from schemas.suggestions import Adjustment, RequestSource
from services.matcher.domain.decisions import CARRIERS, UNDECIDED, Weighing, factor_of
from services.matcher.domain.eligibility import Traits
from services.matcher.domain.holding import NONE, Holding
from services.matcher.domain.known import Gone, Later
from services.matcher.domain.requests import Ask, Document
from services.matcher.domain.seats import Seats
from services.matcher.index import Explanation, Match, OfferIndex, Request, RequestIndex, Weighed

LEAST_SHARED: Final = 2
"""Informative terms that two sides must share to be told of each other: one alone is too often a homonym."""

MOST_FROM_ONE_WORD: Final = 0.7
"""Part of a score that one word may bring. More comes of a word of a name that means something else in the request."""

WORDS_LOOKED_UP: Final = 60
"""Words of a request that is only looked at: each costs a search."""

LOOKED_AT: Final = 3
"""Times as many members as may be told that are looked at: some of them share too little that is worth showing."""


UNWEIGHED: Final = Weighing(UNDECIDED.sayings, datetime.max.replace(tzinfo=UTC))
"""What weighs where nobody said anything."""


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
    """A request facing a member.

    Attributes:
        match: how their texts match.
        adjustments: why the pair counts for less than its texts.
    """

    ask: Ask
    member: str
    match: Match
    adjustments: Sequence[Adjustment] = ()

    @property
    def factor(self) -> float:
        """What the score of the texts is multiplied by."""
        return factor_of(self.adjustments)

    @property
    def score(self) -> float:
        """The score by which the pair is told, or is not."""
        return self.match.score * self.factor


class Looked(NamedTuple):
    """What was found for a request that is not asked yet.

    Attributes:
        told: the pairs that would be told if it were, best first.
        others: pairs that come near without being told, best first.
        words: what each of its words weighs.
    """

    request: Request
    told: list[Pair]
    others: list[Pair]
    words: list[Weighed]


@dataclass(frozen=True, slots=True)
class Eligibility:
    """Whom a request may face.

    Attributes:
        traits: whether it may face members of such traits.
        member: whether it may face this one, by key, as far as that is not a matter of its traits.
        weighing: what was said that makes members count for less.
    """

    traits: Callable[[Ask, Traits], bool]
    member: Callable[[Ask, str], bool]
    weighing: Weighing = UNWEIGHED


class Asks(Mapping[str, Ask]):
    """Open requests by key, each read when it is first asked for."""

    def __init__(self, askers: Mapping[str, str]) -> None:
        """`askers` tells the member behind each open request; what they ask is to be adopted before it is read."""
        self._askers = dict(askers)
        self._of: dict[str, set[str]] = {}
        self._read: dict[str, Later[dict[str, Ask]]] = {}
        for key, member in self._askers.items():
            self._of.setdefault(member, set()).add(key)

    @property
    def askers(self) -> Mapping[str, str]:
        """Key of the member that asks, by key of request."""
        return self._askers

    def __len__(self) -> int:
        return len(self._askers)

    def __iter__(self) -> Iterator[str]:
        return iter(self._askers)

    def __getitem__(self, key: str) -> Ask:
        return self._read[self._askers[key]]()[key]

    def of(self, member: str) -> set[str]:
        """Return the keys of what a member asks."""
        return set(self._of.get(member, ()))

    def known(self, key: str) -> Ask | None:
        """Return a request if it is open, what its member asks was adopted or put, and it can still be read."""
        read = self._read.get(self._askers.get(key, ""))
        try:
            return None if read is None else read().get(key)
        except Gone:
            return None

    def adopt(self, member: str, asks: Later[dict[str, Ask]]) -> None:
        """Take over a member's requests, whose keys are known."""
        self._read[member] = asks

    def keep(self, member: str, keys: Container[str]) -> None:
        """Forget a member's requests but for these."""
        kept = {key for key in self._of.get(member, ()) if key in keys}
        for key in self._of.pop(member, set()) - kept:
            del self._askers[key]
        if kept:
            self._of[member] = kept

    def put(self, member: str, asks: dict[str, Ask]) -> None:
        """Make `asks` all that a member asks."""
        self.keep(member, ())
        self._read.pop(member, None)
        if asks:
            self._askers |= dict.fromkeys(asks, member)
            self._of[member] = set(asks)
            self._read[member] = Later.of(asks)


def carriers(explanation: Explanation) -> tuple[str, ...]:
    """Return the informative shared words that bring most of a score, as they are compared."""
    return tuple(term.term for term in explanation.terms if term.informative)[:CARRIERS]


class Pairing:
    """What is offered and asked at the moment, in memory, and the scores between the two. For one thread at a time."""

    def __init__(
        self,
        *,
        index: OfferIndex,
        bar: Bar,
        ranked: Callable[[], None] = lambda: None,
        requests: RequestIndex | None = None,
        askers: Mapping[str, str] | None = None,
        marks: Mapping[str, bytes] | None = None,
        holding: Holding = NONE,
        clock: datetime | None = None,
    ) -> None:
        """`ranked` is called after each ranking: many of them may follow from one batch.

        All that follows it is of the pairing that the index was part of, when it was kept.
        """
        self.bar = bar
        self.index = index
        self.requests = RequestIndex(index) if requests is None else requests
        self.asks = Asks(askers or {})
        """Requests that are open, by key."""
        self.marks = dict(marks or {})
        """What each member that was brought in was then known by; see `Directory.mark`."""
        self.holding = holding
        """Whose requests are here."""
        self.seats = Seats()
        """What members are and where, to be counted."""
        self.clock = clock
        """When it was last looked whether deadlines had passed."""
        self._ranked = ranked
        self._documents: dict[str, Later[dict[str, Document]]] = {}

    def __len__(self) -> int:
        """Return the number of offer documents."""
        return len(self.index)

    @property
    def size_bytes(self) -> int:
        """Bytes of the arrays that are searched, of offers and of requests."""
        return self.index.size_bytes + self.requests.size_bytes

    def adopt(self, member: str, documents: Later[dict[str, Document]], asks: Later[dict[str, Ask]]) -> None:
        """Take over what a member brings and asks where the index holds just that already."""
        self._documents[member] = documents
        self.asks.adopt(member, asks)
        self.seats.adopt(member)

    def withdraw(self, member: str, documents: Container[str], asks: Container[str]) -> None:
        """Take out what a member offers and asks no more, before others offer or ask it under the same key."""
        self.marks.pop(member, None)
        for key in self.index.offers_of(member):
            if key not in documents:
                self.index.remove(key)
        for key in self.asks.of(member):
            if key not in asks:
                self.requests.remove(key)
        self.asks.keep(member, asks)

    def offer(
        self, member: str, documents: dict[str, Document], *, name: str = "", traits: Traits | None = None
    ) -> None:
        """Make `documents` all that a member brings, `name` what it is called and `traits` what it is."""
        self.withdraw(member, documents, self.asks.of(member))
        self._documents.pop(member, None)
        self.index.name(member, name if documents else "")
        if documents:
            self.index.group(member, traits)
            self._documents[member] = Later.of(documents)
        for key, document in documents.items():
            self.index.put(key, member, document.text, title=document.title, language=document.language)

    def documents(self, member: str) -> Mapping[str, Document]:
        """Return what a member brings, by document key."""
        known = self._documents.get(member)
        return {} if known is None else known()

    def ask(self, member: str, asks: dict[str, Ask]) -> None:
        """Make `asks` all that a member asks."""
        self.withdraw(member, set(self.index.offers_of(member)), asks)
        for key, ask in asks.items():
            if self._text_of(self.asks.known(key)) != self._text_of(ask):
                self.requests.put(key, self.index.request(ask.text, title=ask.title, language=ask.language))
        self.asks.put(member, asks)

    def request(self, ask: Ask) -> Request:
        """Return a request as the index reads it."""
        if self._text_of(self.asks.get(ask.key)) == self._text_of(ask):
            return self.requests.request(ask.key, title=ask.title, text=ask.text)
        return self.index.request(ask.text, title=ask.title, language=ask.language)

    def best(self, ask: Ask, eligible: Eligibility) -> list[Pair]:
        """Return the request's best members that may face it, reach the bar and share enough to be shown.

        One that shares too little gives its place to the next best.
        """
        request = self.request(ask)
        pairs = self._nearest(request, ask, eligible)
        self._ranked()
        return list(islice((pair for pair in pairs if self._tells(request, pair)), self.bar.ranks(ask)))

    def look(self, ask: Ask, eligible: Eligibility) -> Looked:
        """Return what `best` would find for a request that is not asked yet; nothing of it is kept."""
        words = self._weighed(ask, eligible)  # first: it analyses other requests, one for each word
        request = self._passing(ask)
        told, others = list[Pair](), list[Pair]()
        for pair in self._nearest(request, ask, eligible):
            (told if self._tells(request, pair) else others).append(pair)
            if len(told) == self.bar.ranks(ask):
                break
        return Looked(request, told, others, words)

    def _passing(self, ask: Ask) -> Request:
        return self.index.passing(ask.text, title=ask.title, language=ask.language)

    def _weighed(self, ask: Ask, eligible: Eligibility) -> list[Weighed]:
        """Return what the first words of a request weigh that tell something.

        Of others that use a word only those count whom the request may face, and as one: what nobody may see of a
        member is not to be learned by asking for its words, one after the other.
        """
        request = self._passing(ask)
        telling = [word for word in self.index.weigh(request, without=ask.owner) if word.telling][:WORDS_LOOKED_UP]
        language = self.index.language(ask.text, title=ask.title, language=ask.language)
        written = [request.written(word.places[0]) for word in telling]
        used = [
            word.others > 0 and self._is_used(one, language, ask, eligible)
            for word, one in zip(telling, written, strict=True)
        ]
        return [word._replace(others=int(is_used)) for word, is_used in zip(telling, used, strict=True)]

    def _is_used(self, word: str, language: str | None, ask: Ask, eligible: Eligibility) -> bool:
        request = self.index.passing(word, title="", language=language)
        return bool(
            self.index.search(
                request,
                1,
                lambda member: eligible.member(ask, member),
                lambda traits: isinstance(traits, Traits) and eligible.traits(ask, traits),
            )
        )

    def _nearest(self, request: Request, ask: Ask, eligible: Eligibility) -> list[Pair]:
        """Return the request's nearest members that may face it, best first: more of them than may be told."""
        adjusted, looked_at = eligible.weighing.concerned(ask), LOOKED_AT * self.bar.ranks(ask)
        found = self.index.search(
            request,
            looked_at + adjusted,  # each of these may leave its place to another
            lambda member: eligible.member(ask, member),
            lambda traits: isinstance(traits, Traits) and eligible.traits(ask, traits),
        )
        pairs = [self._pair(request, ask, match, eligible.weighing) for match in found]
        if adjusted:
            pairs = sorted(pairs, key=lambda pair: (-pair.score, pair.member))[:looked_at]
        return pairs

    def found_by(self, members: Mapping[str, Traits], eligible: Eligibility) -> list[Pair]:
        """Return the pairs in which one of `members`, who are of these traits, is now among the best for a request."""
        asks = set(self.asks)
        if len(members) < len(asks):
            asks = {
                key
                for member, traits in members.items()
                for key in self.requests.facing(member, self.bar.score)
                if eligible.traits(self.asks[key], traits)
            }
        found = (pair for key in sorted(asks) for pair in self.best(self.asks[key], eligible))
        return [pair for pair in found if pair.member in members]

    def pair(self, ask: Ask, member: str, weighing: Weighing = UNWEIGHED) -> Pair | None:
        """Return a request facing a member, however many answer it better; None if that brings nothing."""
        request = self.request(ask)
        match = self.index.score(request, member)
        return self._pair(request, ask, match, weighing) if match is not None and match.documents else None

    def explain(self, pair: Pair) -> Explanation | None:
        """Return why the texts of a pair match; None where silence is better: below the bar, or too little to show."""
        request = self.request(pair.ask)
        return self.index.explain(request, pair.match) if self._tells(request, pair) else None

    def _pair(self, request: Request, ask: Ask, match: Match, weighing: Weighing) -> Pair:
        def carried() -> frozenset[str]:
            return frozenset(carriers(self.index.explain(request, match)))

        return Pair(ask, match.member, match, weighing.adjustments(ask, match.member, carried))

    def _tells(self, request: Request, pair: Pair) -> bool:
        if not pair.match.documents or pair.score < self.bar.score:
            return False
        worth = self.index.worth(request, pair.member)
        return worth.informative >= LEAST_SHARED and worth.largest <= MOST_FROM_ONE_WORD

    @staticmethod
    def _text_of(ask: Ask | None) -> tuple[str, str, str | None] | None:
        return None if ask is None else (ask.title, ask.text, ask.language)
