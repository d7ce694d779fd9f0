"""The score, said as plainly as possible: what the fast index must give, whatever it was told in whatever order.

Everything is computed from scratch from the words of the living offers. Nothing here is shared with the index but the
analysis of texts and the constants of `Weighting`; the tests hold the index to it. A term is a word, or the number of
two words that follow one another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from math import exp, hypot, log, sqrt
from statistics import fmean as mean
from typing import Final, NamedTuple
from zlib import crc32

from services.matcher.index.compiled.weighting import Weighting
from services.matcher.index.text.analysis import Analyser
from services.matcher.index.text.fields import read

VOTING_OFFERS: Final = 20
"""Offers of a member that count for it: its best ones."""

STANDING_OFFERS: Final = 15
"""Offers beyond which a member's name counts no more."""

Term = str | int


@dataclass(frozen=True)
class Text:
    """The words of a title and a text, in reading order."""

    title: tuple[str, ...]
    text: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """Return all words, the title's first."""
        return self.title + self.text

    @cached_property
    def terms(self) -> Counter[Term]:
        """Return how often it has each word, and each two words that follow one another."""
        return Counter[Term](self.words) + Counter[Term](map(pair, self.neighbours))

    @property
    def neighbours(self) -> list[tuple[str, str]]:
        """Return each two words that follow one another within a field."""
        return [two for field in (self.title, self.text) for two in pairwise(field)]


class Wanted(NamedTuple):
    """What a term of a request is worth, and what answers it, each as far as it counts."""

    weight: float
    forms: dict[Term, float]


@dataclass(frozen=True)
class Offer:
    """What a member offers."""

    member: str
    text: Text


class Specification:
    """The living offers and the names of all members."""

    def __init__(self, analyser: Analyser, weighting: Weighting | None = None) -> None:
        self._analyser = analyser
        self.weighting = weighting or Weighting()
        self.offers: dict[str, Offer] = {}
        self.names: dict[str, dict[str, int]] = {}  # how often a name counts as saying each of its words
        self.groups: dict[str, Hashable] = {}

    def read(self, text: str, title: str = "", language: str | None = None) -> Text:
        """Return the words of an offer, a request or a name."""
        reading = read(self._analyser, title=title, text=text, language=language)
        return Text(reading.words[: reading.title], reading.words[reading.title :])

    def put(self, offer: str, member: str, text: Text) -> None:
        """Insert an offer, or replace the one of this id."""
        before = self.offers.get(offer)
        self.offers[offer] = Offer(member, text)
        if before is not None:
            self._forget_group_if_gone(before.member)

    def remove(self, offer: str) -> None:
        """Remove an offer."""
        before = self.offers.pop(offer, None)
        if before is not None:
            self._forget_group_if_gone(before.member)

    def name(self, member: str, name: str) -> None:
        """Say what a member is called; "" forgets it. A name counts as saying its acronym twice."""
        if name:
            reading = read(self._analyser, title="", text=name, language=None)
            written = [name[start:end] for start, end in reading.spans.tolist()]
            acronyms = {word for word, form in zip(reading.words, written, strict=True) if acronym(form, name)}
            self.names[member] = {word: 2 if word in acronyms else 1 for word in reading.words}
        elif self.names.pop(member, None) is not None:
            self._forget_group_if_gone(member)

    def _forget_group_if_gone(self, member: str) -> None:
        if member not in self.names and all(offer.member != member for offer in self.offers.values()):
            self.groups.pop(member, None)

    # The request side: what each of its terms is worth.

    def held(self, term: Term) -> int:
        """Return how many offers have a term."""
        return sum(term in offer.text.terms for offer in self.offers.values())

    def holders(self, word: Term) -> int:
        """Return how many members have an offer with a word."""
        return len({offer.member for offer in self.offers.values() if word in offer.text.terms})

    @property
    def members(self) -> int:
        """Return how many members have an offer."""
        return len({offer.member for offer in self.offers.values()})

    def burstiness(self, word: str) -> float:
        """Return how many times more offers would have a word if it were scattered at random; 1 at least."""
        if not self.held(word):
            return 1.0
        occurrences = sum(about_times(self.times(offer)[word]) for offer in self.offers.values())
        scattered = len(self.offers) * (1 - exp(-occurrences / len(self.offers)))
        return max(1.0, scattered / self.held(word))

    def variants(self, term: Term) -> dict[Term, float]:
        """Return what answers a request for a term, and how much each counts: itself, and the words like it."""
        if isinstance(term, int) or self.weighting.variant == 0:
            return {term: 1.0}
        known = {other for offer in self.offers.values() for other in offer.text.words}
        like = {other: closeness(term, other) for other in known - {term}}
        itself: dict[Term, float] = {term: 1.0}
        return itself | {other: about(self.weighting.variant * close) for other, close in like.items() if close >= 0.5}

    def group_idf(self, term: Term) -> float:
        """Return the idf of a word and its variants among members, or of a pair among offers: 0 if none has any.

        As if the geometric mean of two numbers of members had it: those that have the word, and those that have it or
        a variant (one with three of them counts three times). If none has the word itself, the latter number.
        """
        if isinstance(term, int):
            return idf(len(self.offers), self.held(term)) if self.held(term) else 0.0
        own, every = self.holders(term), min(self.members, sum(map(self.holders, self.variants(term))))
        return idf(self.members, sqrt(own * every) if own else every) if every else 0.0

    def wanted(self, request: Text) -> dict[Term, Wanted]:
        """Return what each word and each pair of words of a request is worth."""
        words = set(request.words)
        r = len(words) / (len(words) + self.weighting.c)
        power = 1 + self.weighting.rarity * r
        emphasis = {term: 1 + log(times) for term, times in request.terms.items()}
        emphasis |= {word: emphasis[word] * self.burstiness(word) ** (self.weighting.burst * r) for word in words}
        # A word counts here without its variants, unless they alone make it known.
        alone = {
            word: idf(self.members, self.holders(word)) if self.held(word) else self.group_idf(word) for word in words
        }
        norm = sqrt(sum((emphasis[word] * alone[word] ** power) ** 2 for word in words))
        scale = self.weighting.text / norm if norm else 0.0
        wanted = {}
        for term, said in emphasis.items():
            weight = scale * said * self.group_idf(term) ** power
            wanted[term] = Wanted(
                weight if isinstance(term, str) else self.weighting.bigram * weight, self.variants(term)
            )
        return wanted

    # The offer side: how much of each weight an offer earns.

    def length(self, offer: Offer) -> float:
        """Return about how many words an offer has, those of its opening counted twice."""
        return about_length(len(offer.text.words) + len(offer.text.words[: self.weighting.opening]))

    def times(self, offer: Offer) -> Counter[Term]:
        """Return how often an offer has each term, its opening words counted twice."""
        return offer.text.terms + Counter[Term](offer.text.words[: self.weighting.opening])

    def parts(self, wanted: Mapping[Term, Wanted], offer: Offer) -> dict[Term, float]:
        """Return what each term of a request brings to the score of an offer; the sum is the score.

        `half` is the frequency at which a term earns half of the most that it can, `size` about how large the vector of
        an offer is. The more words of a request are known, the more it is compared like a document, by the cosine, and
        the less like a query.
        """
        w = self.weighting
        lengths = [self.length(each) for each in self.offers.values()]

        def half(length: float) -> float:
            return w.k1 * (1 - w.b + w.b * length / mean(lengths))

        def size(length: float) -> float:
            return sqrt(length) / (1 + half(length))

        length = self.length(offer)
        times = self.times(offer)
        known = sum(isinstance(term, str) and each.weight > 0 for term, each in wanted.items())
        r = known / (known + w.c)
        penalty = 1 - r + r * size(length) / mean(map(size, lengths))
        parts = {}
        for term, (weight, forms) in wanted.items():
            frequency = sum(close * about_times(times[form]) for form, close in forms.items())
            saturated = (w.k1 + 1) * frequency / (frequency + half(length)) if frequency else 0.0
            parts[term] = weight * saturated / penalty
        return parts

    # Members.

    def offers_of(self, member: str) -> dict[str, Offer]:
        """Return a member's offers by id."""
        return {key: offer for key, offer in self.offers.items() if offer.member == member}

    def votes(self, wanted: Mapping[Term, Wanted], member: str) -> list[dict[Term, float]]:
        """Return the parts of the offers that count for a member."""
        parts = [self.parts(wanted, offer) for offer in self.offers_of(member).values()]
        return sorted(parts, key=lambda each: sum(each.values()), reverse=True)[:VOTING_OFFERS]

    def name_parts(self, request: Text, member: str) -> dict[str, float]:
        """Return what each word of a request brings to the score because the member is called so.

        The more a member offers, the more it is one that is called by its name.
        """
        if member not in self.names or not self.offers:
            return {}
        lengths = {each: about_length(len(words)) for each, words in self.names.items()}
        size, most = sqrt(lengths[member] * mean(lengths.values())), log(1 + len(self.offers))
        standing: float = min(len(self.offers_of(member)), STANDING_OFFERS) ** self.weighting.standing
        weight = self.weighting.name * standing / size
        return {
            word: weight
            * self.names[member][word]
            * (1 + log(times))
            * (idf(len(self.offers), self.held(word)) / most) ** 2
            for word, times in Counter(request.words).items()
            if word in self.names[member]
        }

    def score(self, request: Text, member: str) -> float:
        """Return the score of a member that has offers: the l2 norm of those that count, and what its name brings."""
        votes = self.votes(self.wanted(request), member)
        return hypot(*(sum(parts.values()) for parts in votes)) + sum(self.name_parts(request, member).values())

    def scores(self, request: Text, admits: Callable[[Hashable], bool] = lambda _: True) -> dict[str, float]:
        """Return the score of each member that has offers and is of an admitted group."""
        members = {offer.member for offer in self.offers.values()}
        return {each: self.score(request, each) for each in members if admits(self.groups.get(each))}

    def shares(self, request: Text, member: str) -> dict[str, float]:
        """Return what each word of a request brings to a member's score; they sum to it.

        An offer of score s brings s² / norm to the norm; a term has the same part of that as of s, and a pair leaves
        half of its own to each of its words.
        """
        shares = dict.fromkeys(request.words, 0.0) | self.name_parts(request, member)
        votes = self.votes(self.wanted(request), member)
        norm = hypot(*(sum(parts.values()) for parts in votes))
        first = {pair(two): two for two in reversed(request.neighbours)}
        for parts in votes:
            for term, part in parts.items():
                words = (term,) if isinstance(term, str) else first[term]
                for word in words:
                    shares[word] += part * sum(parts.values()) / norm / len(words) if norm else 0.0
        return shares

    def findings(self, word: str) -> int:
        """Return in how many offers a reader would find a word or a variant, for `evidence.informative`."""
        return min(len(self.offers), sum(map(self.held, self.variants(word))))


def idf(number: int, held: float) -> float:
    """Return the weight of what so many of a number have: BM25's, as Lucene has it."""
    return log(1 + max(0.0, number - held + 0.5) / (held + 0.5))


def pair(two: tuple[str, str]) -> int:
    """Return the number of two words that follow one another: a hash, so two pairs may rarely share one."""
    first, second = (crc32(word.encode()) for word in two)
    mixed = (first * 0x9E3779B97F4A7C15 + second) * 0xD6E8FEB86659FD93 % 2**64
    return (mixed >> 32) % 2**18


def acronym(written: str, name: str) -> bool:
    """Tell whether a name has a word as its acronym: in capitals, three at least, where most letters are small."""
    small, capital = (sum(map(kind, name)) for kind in (str.islower, str.isupper))
    return len(written) >= 3 and written[0].isalpha() and written.isupper() and small > capital


def about_times(times: int) -> float:
    """Return a number of times as roughly as it is kept."""
    return times if times <= 5 else 6.5 if times <= 7 else 9.5 if times <= 11 else 14


def about_length(words: int) -> float:
    """Return a number of words as roughly as it is kept: the nearest of 32 lengths from 1 to 6000, each 32 % longer."""
    level = min(31, round(31 * log(max(1, words)) / log(6000)))
    length: float = 6000 ** (level / 31)
    return length


def about(closeness: float) -> float:
    """Return a closeness as roughly as it is kept: in parts of 1024."""
    return round(closeness * 1024) / 1024


@cache
def closeness(one: str, other: str) -> float:
    """Return how far two words resemble one another: the cosine of their sets of pieces of four letters."""
    ones, others = pieces(one), pieces(other)
    return len(ones & others) / sqrt(len(ones) * len(others)) if ones and others else 0.0


def pieces(word: str) -> set[str]:
    """Return the pieces of a word and its two ends; none of a code or a short word."""
    marked = f"_{word}_"
    return {marked[i : i + 4] for i in range(len(marked) - 3)} if word.isalpha() and 4 <= len(word) <= 64 else set()


def ranking(scores: Mapping[str, float]) -> list[str]:
    """Return the members with a score, best first, ties by id."""
    return sorted((member for member in scores if scores[member] > 0), key=lambda member: (-scores[member], member))
