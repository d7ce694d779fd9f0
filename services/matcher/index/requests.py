"""Open requests, indexed so that a new member finds those it may answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final, NamedTuple, Protocol, TypeAlias

import numpy as np

from services.matcher.index.collection import Collection
from services.matcher.index.compiled.arrays import Floats32, Floats64, Ints32, UInts32, with_room
from services.matcher.index.compiled.base import Base
from services.matcher.index.compiled.plans import FREQUENCIES
from services.matcher.index.compiled.searching import NO_NORMS, matches
from services.matcher.index.compiled.weighting import Query, l2_norm, reverse_name_plan, reverse_plan
from services.matcher.index.evidence import tell
from services.matcher.index.offers import OfferIndex
from services.matcher.index.results import Request
from services.matcher.index.size import size_bytes
from services.matcher.index.text.fields import Reading
from services.matcher.index.vocabulary import PAIRS, frequency_level, length_level

MARGIN: Final = 0.6
"""Part of a score from which a request is worth scoring exactly: what is computed here is near the score, not it."""

DRIFT: Final = 0.2
"""Part by which the number of offers may have changed before a norm is computed again where it matters: a fifth more
offers are .18 more for an idf of six or so, far within the margin."""

ROUND: Final = 0.1
"""Part of the offers that come while every norm is computed again, needed or not, as far as that is not too many."""

MOST_REFRESHED: Final = 64
"""Norms that are computed again with one look, at the most; where there are no more of them, all."""

Text: TypeAlias = tuple[Ints32, Ints32, int]
"""The numbers of a text's words in reading order, start and end of each, and how many of them are the title's."""

NO_WORDS: Final[Text] = (np.zeros(0, np.int32), np.zeros((0, 2), np.int32), 0)


class Readings(Protocol):
    """Texts as they were read, by number."""

    def words_of(self, number: int) -> Ints32:
        """Return the numbers of a text's words, in reading order."""

    def reading(self, number: int) -> Reading:
        """Return a text as it was read."""

    def places(self, number: int) -> Reading:
        """Return where the words of a text stand, without the words."""


class RequestsImage(NamedTuple):
    """Open requests at one moment, by number. It shares nothing that a change of theirs changes.

    Attributes:
        frequencies: of each term, how many of them hold it.
        keys: "" where there is none.
        free: the numbers without a request, the next to be taken last.
        norms: l2 norm of each, infinite where there is none.
        asked: those that were read, None elsewhere.
        restored: the others, if there are any.
        base: waits for the base of their terms; see `Collection.settle`.
    """

    frequencies: Ints32
    keys: list[str]
    free: list[int]
    norms: Floats64
    asked: list[Request | None]
    restored: Readings | None
    base: Callable[[], Base]

    def texts(self) -> Iterator[Text]:
        """Yield the text of each."""
        for number, request in enumerate(self.asked):
            if request is not None:
                yield request.numbers, request.reading.spans, request.reading.title
            elif self.restored is None or not self.keys[number]:
                yield NO_WORDS
            else:
                places = self.restored.places(number)
                yield self.restored.words_of(number), places.spans, places.title


class RequestIndex:
    """Open requests by key, facing the offers of one index.

    `facing` answers "which requests may this member answer?" in one pass over the requests' words, where asking each
    request for its best members would take as many searches as there are requests.
    """

    def __init__(self, offers: OfferIndex) -> None:
        self._offers = offers
        self._requests = Collection(offers.weighting, single=True)
        self._numbers: dict[str, int] = {}
        self._keys: list[str] = []
        self._asked: list[Request | None] = []
        self._free: list[int] = []
        self._restored: Readings | None = None
        self._norms = np.full(64, np.inf)
        """Of each, the l2 norm of its words' weights: 0 if none of them is known; infinite where there is none."""
        self._made_among = np.zeros(64, np.int32)
        """Of each, the number of offers when its norm was computed."""
        self._next_refreshed = 0

    def __len__(self) -> int:
        """Return the number of open requests."""
        return len(self._numbers)

    @property
    def size_bytes(self) -> int:
        """Bytes of the arrays that are searched."""
        return size_bytes(self._requests)

    def put(self, key: str, request: Request) -> None:
        """Insert a request, or replace the one of this key."""
        self.remove(key)
        number = self._free.pop() if self._free else len(self._keys)
        if number == len(self._keys):
            self._keys.append(key)
            self._asked.append(None)
        self._numbers[key], self._keys[number], self._asked[number] = number, key, request
        query = self._offers.query(request)
        # A request is a document whose terms are the first of each group; its length is its number of words.
        terms = query.terms[query.pointers[:-1]]
        order = np.argsort(terms)
        level = length_level(query.words)
        times = (level << 3 | frequency_level(count) for count in request.prepared.times)
        codes = np.fromiter(times, np.uint8, terms.size)
        self._requests.put(number, number, 0, terms[order], codes[order])
        if number >= self._norms.size:
            self._norms = with_room(self._norms, 2 * number, np.inf)
            self._made_among = with_room(self._made_among, 2 * number, 0)
        self._refresh(number)

    def remove(self, key: str) -> None:
        """Remove a request; an unknown key changes nothing."""
        number = self._numbers.pop(key, None)
        if number is not None:
            self._requests.remove(number)
            self._asked[number], self._keys[number], self._norms[number] = None, "", np.inf
            self._free.append(number)

    def request(self, key: str, *, title: str, text: str) -> Request:
        """Return an open request as it is read, of the title and the text that its author wrote.

        Raises:
            KeyError: there is none of this key.
        """
        number = self._numbers[key]
        request = self._request(number)
        if (request.title, request.text) != (title, text):  # restored, which it is without what its author wrote
            telling = tell(request.places, title, text)
            request = self._asked[number] = replace(request, title=title, text=text, telling=telling)
        return request

    def adopt(
        self,
        base: Base,
        *,
        keys: list[str],
        free: list[int],
        norms: Floats64,
        readings: Readings,
    ) -> None:
        """Take over what an image says, into an empty index; `readings` are read when asked for."""
        self._requests.adopt(base)
        self._keys, self._free, self._restored = keys, free, readings
        self._numbers = {key: number for number, key in enumerate(keys) if key}
        self._asked = [None] * len(keys)
        self._norms = with_room(norms, 64, np.inf)
        self._made_among = np.full(self._norms.size, len(self._offers), np.int32)

    def image(self) -> RequestsImage:
        """Return the requests as they are; begins to settle the young ones."""
        return RequestsImage(
            self._requests.statistics.frequencies.copy(),
            list(self._keys),
            list(self._free),
            self._norms[: len(self._keys)].copy(),
            list(self._asked),
            self._restored,
            self._requests.settle(),
        )

    def facing(self, member: str, least: float) -> list[str]:
        """Return the keys of the requests in which a member may have a score of at least `least`.

        They are more than do: each is to be scored. Those left out would have less.
        """
        rows, bar = self._offers.rows_of(member), MARGIN * least
        self._refresh_some(len(rows))
        # Of a score that reaches the bar, offers below this, however many, bring less than half in the square.
        least_part = bar / (2 * np.sqrt(max(1, len(rows))))
        votes, norms = np.zeros(len(self._keys), np.float64), self._norms
        lowest = float(norms.min())
        held = self._requests.held
        lengths = self._requests.statistics.lengths
        offers, weighting = self._offers.statistics, self._offers.weighting
        for row in rows:
            query, frequencies = self._answered(row)
            if frequencies.size:
                level = int(row[0] >> np.uint32(3)) & 31
                planned = reverse_plan(offers, lengths, query, frequencies, level, weighting)
                numbers, found = matches(held, planned, least_part / weighting.text, norms, lowest)
                # Put before any of its words was known: what answers it first must find it.
                # So must what finds it when the weights of its words are others than they were.
                drifted = np.abs(self._made_among[numbers] - len(self._offers)) > DRIFT * len(self._offers)
                for number in numbers[(norms[numbers] == 0) | drifted].tolist():
                    self._refresh(number)
                known = norms[numbers] > 0
                numbers, found = numbers[known], found[known]
                votes[numbers] += (weighting.text * found / norms[numbers]) ** 2
        scores = np.sqrt(votes + (bar / 2) ** 2) + self._by_name(member)
        return [self._keys[number] for number in np.flatnonzero(scores >= bar).tolist()]

    def _by_name(self, member: str) -> Floats64:
        scores = np.zeros(len(self._keys), np.float64)
        row, names = self._offers.name_of(member)
        if row.size:
            terms = (row >> np.uint32(8)).astype(np.int32)
            ones, alone = np.ones(terms.size, np.float32), np.arange(terms.size + 1, dtype=np.int32)
            said = FREQUENCIES[(row & np.uint32(7)).astype(np.int64)]  # the acronym more than once
            query = Query(terms, ones, alone, said, terms.size)  # of words alone: names know no variants
            level = int(row[0] >> np.uint32(3)) & 31
            planned = reverse_name_plan(self._offers.statistics, names, query, level, self._offers.weighting)
            numbers, found = matches(self._requests.held, planned, 0.0, NO_NORMS, 1.0)
            scores[numbers] = self._offers.standing_of(member) * found
        return scores

    def _answered(self, row: UInts32) -> tuple[Query, Floats32]:
        """Return the words asked for that a row has, or has variants of, and the frequency of each."""
        variants, weighting = self._offers.vocabulary.variants, self._offers.weighting
        frequencies: dict[int, float] = {}
        for term, code in zip((row >> np.uint32(8)).tolist(), (row & np.uint32(7)).tolist(), strict=True):
            frequency = float(FREQUENCIES[code])
            frequencies[term] = frequencies.get(term, 0.0) + frequency
            if term >= PAIRS:
                for asked, closeness in variants.asked_as(term - PAIRS):
                    asked_term = asked + PAIRS
                    frequencies[asked_term] = (
                        frequencies.get(asked_term, 0.0) + weighting.variant * closeness * frequency
                    )
        asked_for = self._requests.statistics.frequencies
        terms = [term for term in frequencies if term < asked_for.size and asked_for[term] > 0]
        return self._groups(terms), np.array([frequencies[term] for term in terms], np.float32)

    def _groups(self, terms: list[int]) -> Query:
        """Return terms as groups with their variants, which their idf depends on."""
        variants, bigram = self._offers.vocabulary.variants, self._offers.weighting.bigram
        vocabulary = self._offers.vocabulary
        members: list[int] = []
        pointers = [0]
        for term in terms:
            members.append(term)
            if term >= PAIRS:
                others, _ = variants.of(term - PAIRS, vocabulary.word(term - PAIRS))
                members += [other + PAIRS for other in others]
            pointers.append(len(members))
        emphasis = [1.0 if term >= PAIRS else bigram for term in terms]
        return Query(
            np.array(members, np.int32),
            np.ones(len(members), np.float32),
            np.array(pointers, np.int32),
            np.array(emphasis, np.float32),
            len(terms),
        )

    def _refresh_some(self, came: int) -> None:
        due = math.ceil(came * len(self._keys) / (ROUND * max(1, len(self._offers))))
        few = len(self._keys) <= MOST_REFRESHED
        for _ in range(len(self._keys) if few else min(due, MOST_REFRESHED)):
            self._next_refreshed = (self._next_refreshed + 1) % len(self._keys)
            self._refresh(self._next_refreshed)

    def _refresh(self, number: int) -> None:
        if self._keys[number]:
            query = self._offers.query(self._request(number))
            self._norms[number] = l2_norm(self._offers.statistics, query, self._offers.weighting)
            self._made_among[number] = len(self._offers)

    def _request(self, number: int) -> Request:
        request = self._asked[number]
        if request is None:
            if self._restored is None:
                raise KeyError(number)
            request = self._asked[number] = self._offers.request_as_read(self._restored.reading(number))
        return request
