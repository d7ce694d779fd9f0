"""An exact index of offers that answers for each request which members to meet, and why."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from services.matcher.index.collection import YOUNG, Collection
from services.matcher.index.compiled.arrays import Ints32, Ints64, UInts8, UInts32
from services.matcher.index.compiled.searching import ALL_ALLOWED, document_scores, score_named, search_named
from services.matcher.index.compiled.sharing import share_out
from services.matcher.index.compiled.weighting import Query, Statistics, Weighting, plan, standing_of
from services.matcher.index.evidence import rare, tell
from services.matcher.index.preparing import prepare
from services.matcher.index.results import Explanation, Match, Request, SharedTerm, Vote, Weighed, Worth
from services.matcher.index.size import size_bytes
from services.matcher.index.text.analysis import Analyser
from services.matcher.index.text.fields import Reading, Span, acronym, digest, read
from services.matcher.index.text.language import Language
from services.matcher.index.vocabulary import PAIRS, Passing, Vocabulary, Words, frequency_level, length_level

ENGINE_VERSION = "tfidf-3"
"""Changes whenever the same offers and request may give other scores."""

SHOWN_OFFERS = 8
"""Offers of a member that a match names, its best ones; nobody reads more. All of them vote."""

ACRONYM_TIMES = 2
"""Times that a name counts as saying its acronym: who writes that means this member and no other."""

SMALLEST = 1e-300

SHARE_DECIMALS = 12
"""Digits by which shares are ordered: those beyond are noise of sums and would decide ties at random."""


@dataclass(frozen=True, slots=True)
class _Name:
    """What a member is called: the numbers of its words in reading order, and start and end of each."""

    words: Ints32
    spans: Ints32


@dataclass(slots=True)
class _Member:
    """A member with a number, which it keeps; `documents` are those of its offers."""

    key: str
    number: int
    documents: set[int]


@dataclass(frozen=True, slots=True)
class _Offer:
    """An offer: where its words stand, and their numbers in reading order."""

    document_id: str
    member: _Member
    number: int
    reading: Reading
    words: Ints32


class OfferIndex:
    """The live offers of all members, scored by the sum of TF-IDF weights of shared words.

    `specification.py` says what a score is, in the plainest way; this index gives the same (1e-6), after any sequence
    of changes, and a change is visible to the next call. The result does not depend on the order in which offers
    arrived. Not for use by several threads at once.
    """

    def __init__(self, analyser: Analyser, weighting: Weighting | None = None, *, young: int = YOUNG) -> None:
        """`young` is the least room for young documents, see `Collection`; smaller for tests of merging."""
        self._analyser = analyser
        self.weighting = Weighting() if weighting is None else weighting
        self.vocabulary = Vocabulary()
        self._offers = Collection(self.weighting, young=young)
        self._names = Collection(self.weighting, young=young, single=True)
        self._members: dict[str, _Member] = {}
        self._by_number: list[_Member | None] = []
        self._documents: dict[str, _Offer] = {}
        self._by_document: list[_Offer | None] = []
        self._free_documents: list[int] = []
        self._free_members: list[int] = []
        self._groups: dict[Hashable, int] = {}
        self._digests = array("Q")
        self._names_by_number: list[_Name | None] = []
        self._name_digests = array("Q")
        self._group_numbers = array("i")

    def __len__(self) -> int:
        """Return the number of live offers."""
        return len(self._documents)

    @property
    def size_bytes(self) -> int:
        """Bytes of the arrays that are searched; the texts as they were read and the vocabulary come on top."""
        return size_bytes(self._offers, self._names)

    def __contains__(self, document_id: str) -> bool:
        """Tell whether there is a live offer of this id."""
        return document_id in self._documents

    def request(self, text: str, *, title: str = "", language: str | None = None) -> Request:
        """Analyse a request once; it can be scored against the offers of any later moment.

        `language` is the BCP 47 tag that its author declared, if any; it is a hint.
        """
        reading = read(self._analyser, title=title, text=text, language=language)
        return self.request_as_read(reading, title, text)

    def passing(self, text: str, *, title: str = "", language: str | None = None) -> Request:
        """Analyse a request that leaves no trace in the index: none of its words is kept.

        It has the scores and the explanation of what `request` returns, and holds until the index changes or another
        request is analysed.
        """
        reading = read(self._analyser, title=title, text=text, language=language)
        return self._request_of(reading, title, text, Passing(self.vocabulary))

    def language(self, text: str, *, title: str = "", language: str | None = None) -> Language:
        """Return the language that a request's words are read in."""
        body = self._analyser.analyse(text, language)
        return (body if body.tokens else self._analyser.analyse(title, language)).language

    def request_as_read(self, reading: Reading, title: str = "", text: str = "") -> Request:
        """Return a request of a title and a text that were read before."""
        return self._request_of(reading, title, text, self.vocabulary)

    def _request_of(self, reading: Reading, title: str, text: str, vocabulary: Words) -> Request:
        numbers = vocabulary.numbers(reading.words)
        places: dict[int, list[Span]] = {}
        for number, span in zip(numbers.tolist(), reading.all_spans(), strict=True):
            places.setdefault(number, []).append(span)
        words = tuple(places)
        where = tuple(map(tuple, places.values()))
        return Request(
            title,
            text,
            reading,
            numbers,
            words,
            where,
            tell(where, title, text),
            prepare(reading, numbers, words, vocabulary, self.weighting),
        )

    def put(self, document_id: str, member: str, text: str, *, title: str = "", language: str | None = None) -> None:
        """Insert an offer of `member`, or replace the one of this id; the next call sees it.

        One that is the same already costs nothing.
        """
        said = digest(document_id, member, title, text, language)
        known = self._documents.get(document_id)
        if known is not None and self._digests[known.number] == said:
            return
        reading = read(self._analyser, title=title, text=text, language=language)
        owner, before = self._member(member), self._take_out(document_id)
        number = self._free_documents.pop() if self._free_documents else len(self._by_document)
        if number == len(self._by_document):
            self._by_document.append(None)
            self._digests.append(0)
        self._digests[number] = said
        numbers = self.vocabulary.numbers(reading.words)
        # Numbers tell the words: a hundred thousand offers would hold millions of them once more.
        offer = _Offer(document_id, owner, number, reading._replace(words=()), numbers)
        self._documents[document_id] = self._by_document[number] = offer
        owner.documents.add(number)
        self._index(offer)
        if before is not None:
            self._forget_if_empty(before)

    def remove(self, document_id: str) -> None:
        """Remove an offer; an unknown id changes nothing.

        It is found no more, and its text is gone. What it was as numbers goes with the next merge; the words themselves
        stay in the vocabulary, attached to nothing.
        """
        before = self._take_out(document_id)
        if before is not None:
            self._forget_if_empty(before)

    def name(self, member: str, name: str, *, language: str | None = None) -> None:
        """Make `name` what a member is called; requests that say it find the member sooner. "" forgets it."""
        if not name:
            known = self._members.get(member)
            if known is not None and self._name(known) is not None:
                self._names_by_number[known.number], self._name_digests[known.number] = None, 0
                self._names.remove(known.number)
                self._forget_if_empty(known)
            return
        owner = self._member(member)
        said = digest(member, name, language)
        if self._name_digests[owner.number] == said:
            return
        reading = read(self._analyser, title="", text=name, language=language)
        numbers = self.vocabulary.numbers(reading.words)
        self._names_by_number[owner.number] = _Name(numbers, reading.spans)
        self._name_digests[owner.number] = said
        words = np.unique(numbers)
        level = length_level(words.size)
        short = {
            number
            for number, (start, end) in zip(numbers.tolist(), reading.spans.tolist(), strict=True)
            if acronym(name[start:end], name)
        }
        times = [frequency_level(ACRONYM_TIMES if number in short else 1) for number in words.tolist()]
        codes = np.array([level << 3 | each for each in times], np.uint8)
        self._names.put(owner.number, owner.number, 0, words + np.int32(PAIRS), codes)

    def group(self, member: str, group: Hashable) -> None:
        """Say which members are eligible for the same requests: those of one group (None until it is said)."""
        owner = self._member(member)
        number = self._group(group)
        if number != self._group_numbers[owner.number]:
            self._group_numbers[owner.number] = number
            # All out before any goes in: a merge that begins in between must not find the member in two groups.
            for document in owner.documents:
                self._offers.remove(document)
            for document in owner.documents:
                offer = self._by_document[document]
                if offer is not None:
                    self._index(offer)

    def search(
        self,
        request: Request,
        k: int,
        eligible: Callable[[str], bool] | Container[str] | None = None,
        groups: Callable[[Hashable], bool] | None = None,
    ) -> list[Match]:
        """Return the `k` best members that share a word with the request, best first, ties by member id.

        The answer is shorter than `k` only if fewer are eligible.

        Args:
            eligible: admits members by id (all, if None), for rules that concern single members: it is asked in the
                order of the scores.
            groups: admits groups of members (all, if None); members of the others cost nothing.
        """
        admits = eligible if callable(eligible) or eligible is None else eligible.__contains__
        wanted = k
        while True:
            found = self._best(request, wanted, ALL_ALLOWED if groups is None else self._allowed(groups))
            admitted = [each for each in found if admits is None or admits(each[1])][:k]
            if len(admitted) == k or len(found) < wanted:
                return self._matches(request, admitted)
            wanted *= 4

    def score(self, request: Request, member: str) -> Match | None:
        """Return what `search` says of one member, to the last digit; None if it has no offer."""
        known = self._members.get(member)
        if known is None or not known.documents:
            return None
        score, name = score_named(self._offers.held, self._names.held, self.query(request), known.number)
        [match] = self._matches(request, [(-score, member, name)])
        return match

    def explain(self, request: Request, match: Match) -> Explanation:
        """Return the words that make the score of a match, with their shares and the passages where they stand.

        An offer with score s brings s² / n to the root n of the sum of squares, and of that each word has the part that
        it has of s; two words that follow one another bring it half each. So the shares sum to the score (1e-9). Call
        it before the index changes: it explains the score that the member has now.
        """
        known = self._members[match.member]
        brought = self._share_out(request, known)
        spans: dict[int, dict[str, list[Span]]] = {group: {} for group, _, _ in brought}
        for vote in match.documents:
            offer = self._documents.get(vote.document_id)
            if offer is not None:
                _find(offer, request.prepared.groups, spans)
        in_name = self._in_name(request, known) if match.name > 0 else {}
        terms = [
            SharedTerm(
                term=self._word(request, group),
                share=share,
                informative=informative,
                request_spans=request.places[group],
                offer_spans={document_id: tuple(found) for document_id, found in spans[group].items()},
                name_spans=tuple(in_name.get(group, ())),
            )
            for group, share, informative in brought
        ]
        terms.sort(key=lambda term: (-round(term.share, SHARE_DECIMALS), term.term))
        return Explanation(tuple(terms))

    def worth(self, request: Request, member: str) -> Worth:
        """Return how much a request and a member have to show for their score: see `explain`."""
        brought = self._share_out(request, self._members[member])
        shares = [share for _, share, _ in brought]
        return Worth(
            informative=sum(informative for _, _, informative in brought),
            largest=max(shares, default=0.0) / max(sum(shares), SMALLEST),
        )

    def weigh(self, request: Request, *, without: str = "") -> list[Weighed]:
        """Return what each word of a request weighs, in the order in which they first come.

        Args:
            without: member whose own offers are not counted among those that hold a word.
        """
        query, statistics = self.query(request), self.statistics
        weights = plan(statistics, query, self.weighting).weights[: query.words].astype(np.float64)
        held = np.zeros(max(int(query.terms.max(initial=0)) + 1, statistics.frequencies.size), np.int64)
        held[: statistics.frequencies.size] = statistics.frequencies
        others = held.copy()
        for row in self.rows_of(without):
            others[row >> np.uint32(8)] -= 1  # in a document each term comes once
        offers, total = len(self), max(float(weights.sum()), SMALLEST)
        weighed = []
        for group in range(query.words):
            terms = query.terms[query.pointers[group] : query.pointers[group + 1]]
            telling = request.telling[group]
            weighed.append(
                Weighed(
                    places=request.places[group],
                    weight=float(weights[group]) / total,
                    telling=telling,
                    informative=telling and rare(min(int(held[terms].sum()), offers), offers),
                    others=int(others[terms].sum()),
                )
            )
        return weighed

    # For the index of requests

    @property
    def statistics(self) -> Statistics:
        """What is known of the live offers."""
        return self._offers.statistics

    def query(self, request: Request) -> Query:
        """Return a request as numbers, with the words that resemble its own now."""
        prepared, variants = request.prepared, self.vocabulary.variants
        if prepared.version != variants.version:
            if prepared.resembling != variants.resembling(request.words):
                fresh = prepare(request.reading, request.numbers, request.words, self.vocabulary, self.weighting)
                prepared.resembling, prepared.query, prepared.groups = fresh.resembling, fresh.query, fresh.groups
            prepared.version = variants.version
        return prepared.query

    def standing_of(self, member: str) -> float:
        """Return the factor of a member's name; it must have an offer."""
        return standing_of(self._offers.statistics, self.weighting, self._members[member].number)

    def rows_of(self, member: str) -> list[UInts32]:
        """Return what each offer of a member holds, `term << 8 | code`; see `Collection`."""
        known = self._members.get(member)
        return [] if known is None else [self._offers.row(document) for document in known.documents]

    def offers_of(self, member: str) -> list[str]:
        """Return the ids of the offers of a member."""
        known = self._members.get(member)
        offers = [] if known is None else [self._by_document[document] for document in known.documents]
        return [offer.document_id for offer in offers if offer is not None]

    def name_of(self, member: str) -> tuple[UInts32, Ints64]:
        """Return what a member's name holds, nothing if it has none, and how many names there are of each level."""
        known = self._members.get(member)
        row = np.zeros(0, np.uint32) if known is None or self._name(known) is None else self._names.row(known.number)
        return row, self._names.statistics.lengths

    # Members and documents by number

    def _member(self, key: str) -> _Member:
        known = self._members.get(key)
        if known is None:
            number = self._free_members.pop() if self._free_members else len(self._by_number)
            if number == len(self._by_number):
                self._by_number.append(None)
                self._names_by_number.append(None)
                self._name_digests.append(0)
                self._group_numbers.append(0)
            known = self._members[key] = self._by_number[number] = _Member(key, number, set())
            self._group_numbers[number] = self._group(None)
        return known

    def _name(self, member: _Member) -> _Name | None:
        return self._names_by_number[member.number]

    def _take_out(self, document_id: str) -> _Member | None:
        """Remove an offer; return whose it was."""
        offer = self._documents.pop(document_id, None)
        if offer is None:
            return None
        self._offers.remove(offer.number)
        self._by_document[offer.number] = None
        self._free_documents.append(offer.number)
        self._digests[offer.number] = 0  # of its text, which is to be gone
        offer.member.documents.discard(offer.number)
        return offer.member

    def _forget_if_empty(self, member: _Member) -> None:
        if not member.documents and self._name(member) is None:
            del self._members[member.key]
            self._by_number[member.number] = None
            self._group_numbers[member.number] = 0
            self._free_members.append(member.number)

    def _group(self, group: Hashable) -> int:
        return self._groups.setdefault(group, len(self._groups))

    def _index(self, offer: _Offer) -> None:
        terms, codes = self.vocabulary.row(offer.words, offer.reading.title, self.weighting.opening)
        owner = offer.member.number
        self._offers.put(offer.number, owner, self._group_numbers[owner], terms, codes)

    def _allowed(self, groups: Callable[[Hashable], bool]) -> UInts8:
        return np.fromiter(map(groups, self._groups), np.uint8, len(self._groups))

    # Scores

    def _best(self, request: Request, k: int, allowed: UInts8) -> list[tuple[float, str, float]]:
        """Return (minus score, member, score of the name) of the `k` best, best first."""
        query = self.query(request)
        members, scores, names = search_named(self._offers.held, self._names.held, query, k, allowed)
        numbers = members.tolist()
        keys = [member.key for number in numbers if (member := self._by_number[number]) is not None]
        found = zip(scores.tolist(), keys, names.tolist(), strict=True)
        return sorted((-score, key, name) for score, key, name in found if score > 0)[:k]

    def _matches(self, request: Request, found: Sequence[tuple[float, str, float]]) -> list[Match]:
        """Return what `_best` found as matches, with the offers that voted."""
        owners = [self._members[member] for _, member, _ in found]
        documents = [document for owner in owners for document in owner.documents]
        numbers = np.array(documents, np.int32)
        scores = document_scores(self._offers.held, self.query(request), *self._offers.places(numbers))
        each = zip(documents, scores.tolist(), strict=True)
        matches = []
        for owner, (minus_score, member, name) in zip(owners, found, strict=True):
            own = islice(each, len(owner.documents))
            votes = [
                Vote(offer.document_id, score)
                for document, score in own
                if score > 0 and (offer := self._by_document[document]) is not None
            ]
            votes.sort(key=lambda vote: (-vote.score, vote.document_id))
            matches.append(Match(member, -minus_score, tuple(votes[:SHOWN_OFFERS]), name))
        return matches

    # Evidence

    def _share_out(self, request: Request, member: _Member) -> list[tuple[int, float, bool]]:
        """Return each word of a request that brings something to the score of a member.

        Its place among the request's words, what it brings, and whether it is worth telling.
        """
        query, offers = self.query(request), len(self)
        found = share_out(self._offers.held, self._names.held, query, request.prepared.pairs, member.number)
        return [
            (word, share, shared and request.telling[word] and rare(min(holders, offers), offers))
            for word, share, shared, holders in zip(*(column.tolist() for column in found), strict=True)
        ]

    def _word(self, request: Request, group: int) -> str:
        number = request.words[group]
        if number < len(self.vocabulary):
            return self.vocabulary.word(number)
        place = int(np.flatnonzero(request.numbers == number)[0])
        return request.reading.words[place]  # of a passing one

    def _in_name(self, request: Request, member: _Member) -> dict[int, list[Span]]:
        """Return where each word of a request stands in the name of a member.

        Names are searched for the words themselves, without their variants.
        """
        found: dict[int, list[Span]] = {}
        name = self._name(member)
        if name is not None:
            own = {number: group for group, number in enumerate(request.words)}
            for number, (start, end) in zip(name.words.tolist(), name.spans.tolist(), strict=True):
                if number in own:
                    found.setdefault(own[number], []).append(Span("name", start, end))
        return found


def _find(offer: _Offer, groups: Mapping[int, Sequence[int]], spans: Mapping[int, dict[str, list[Span]]]) -> None:
    """Add to the spans of each word of a request those where an offer says it, or a variant of it."""
    words, title = offer.words.tolist(), offer.reading.title
    met = [place for place, number in enumerate(words) if number in groups]
    for place, (start, end) in zip(met, offer.reading.spans[met].tolist(), strict=True):
        span = Span("title" if place < title else "text", start, end)
        for group in groups[words[place]]:
            if group in spans:
                spans[group].setdefault(offer.document_id, []).append(span)
