"""An exact TF-IDF index of offers that answers for each request which members to meet, and why."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np

from services.matcher.index.analysis import Analyser
from services.matcher.index.evidence import informative
from services.matcher.index.fields import Span, occurrences
from services.matcher.index.results import Explanation, Match, Request, SharedTerm, Vote
from services.matcher.index.rows import FIRST_CAPACITY, Floats, Ints, TermRows, with_room

ENGINE_VERSION = "tfidf-1"
"""Changes whenever the same offers and request may give other scores."""

VOTING_OFFERS = 20
"""Offers of a member that count for it, its best ones: beyond them, many weak resemblances would outweigh a good one.

On public partner-search sets several votes rank clearly better than the best alone, and more than twenty no better.
"""

SCORE_DECIMALS = 12
"""Digits that cosines and scores keep: those beyond are noise of sums and would decide ties at random."""


@dataclass(frozen=True, slots=True)
class _Offer:
    member: str
    title: str
    text: str
    language: str | None


class OfferIndex:
    """The live offers of all members, scored by TF-IDF cosine.

    The cosine of a request and an offer is that of scikit-learn's `TfidfVectorizer` (raw term frequency, `smooth_idf`,
    l2 norm) fitted on the live offers alone with the analyser's terms; terms of the request that no live offer holds
    are ignored. It is exact after any sequence of changes (1e-12), and a change is visible to the next call.

    A member's score is the root of the sum of the squared cosines of its own `VOTING_OFFERS` best offers. The cut is
    within the member, not among all offers: so no filter, no k and no other member's offer takes a vote away, and
    `score` and `search` give the same numbers while `score` reads the member's offers only.

    The result does not depend on the order in which offers arrived. Not for use by several threads at once.
    """

    def __init__(self, analyser: Analyser) -> None:
        self._analyser = analyser
        self._rows = TermRows()
        self._offers: dict[str, _Offer] = {}
        self._slots: dict[str, int] = {}  # of each live document
        self._owners: Ints = np.zeros(FIRST_CAPACITY, np.int32)  # the member's number, of each slot
        self._members: dict[str, set[str]] = {}  # the live documents of each live member
        self._numbers: dict[str, int] = {}  # of each member, numbered as they first came

    def __len__(self) -> int:
        """Return the number of live offers."""
        return len(self._offers)

    def request(self, text: str, *, title: str = "", language: str | None = None) -> Request:
        """Analyse a request once; it can be scored against the offers of any later moment.

        `language` is the BCP 47 tag that its author declared, if any; it is a hint.
        """
        found = occurrences(self._analyser, title=title, text=text, language=language)
        return Request(title, text, language, {term: len(spans) for term, spans in found.items()})

    def put(self, document_id: str, member: str, text: str, *, title: str = "", language: str | None = None) -> None:
        """Insert an offer of `member`, or replace the one of this id; the next call sees it."""
        found = occurrences(self._analyser, title=title, text=text, language=language)
        self.remove(document_id)
        slot = self._rows.append({term: len(spans) for term, spans in found.items()})
        self._offers[document_id] = _Offer(member, title, text, language)
        self._members.setdefault(member, set()).add(document_id)
        self._slots[document_id] = slot
        self._owners = with_room(self._owners, slot + 1)
        self._owners[slot] = self._numbers.setdefault(member, len(self._numbers))

    def remove(self, document_id: str) -> None:
        """Remove an offer; an unknown id changes nothing.

        Its text and the link from it to its terms are gone at once. A term that no other offer holds stays in the
        vocabulary, attached to nothing, until enough offers are removed for the index to be compacted.
        """
        offer = self._offers.pop(document_id, None)
        if offer is None:
            return
        self._members[offer.member].discard(document_id)
        if not self._members[offer.member]:
            del self._members[offer.member]
        self._rows.drop(self._slots.pop(document_id))
        if self._rows.wasteful:
            self._compact()

    def search(
        self, request: Request, k: int, eligible: Callable[[str], bool] | Container[str] | None = None
    ) -> list[Match]:
        """Return the `k` best members, best first, ties by member id.

        `eligible` admits members by id (all, if None); it is asked in the order of the scores, until `k` have passed.
        Members that share no term with the request follow with a score of 0: the answer is shorter than `k` only if
        fewer are eligible.
        """
        admits = eligible if callable(eligible) or eligible is None else eligible.__contains__
        cosines = np.round(self._rows.cosines(self._rows.weigh(request.counts)), SCORE_DECIMALS)
        slots = np.flatnonzero(cosines)
        scores = _scores(cosines[slots], self._owners[slots], len(self._numbers))
        admitted = (ranked for ranked in self._ranked(scores) if admits is None or admits(ranked[0]))
        matches = []
        for member, score in islice(admitted, k):
            documents = self._members[member]
            matches.append(_match(member, score, {name: float(cosines[self._slots[name]]) for name in documents}))
        return matches

    def score(self, request: Request, member: str) -> Match | None:
        """Return what `search` says of one member, to the last digit; None if it has no offer."""
        documents = list(self._members.get(member, ()))
        if not documents:
            return None
        slots = [self._slots[document] for document in documents]
        cosines = np.round(self._rows.cosines(self._rows.weigh(request.counts), slots), SCORE_DECIMALS)
        [score] = _scores(cosines, np.zeros(len(documents), np.int32), 1).tolist()
        return _match(member, score, dict(zip(documents, cosines.tolist(), strict=True)))

    def explain(self, request: Request, match: Match) -> Explanation:
        """Return the terms that make the score of a match, with their shares and the passages where they stand.

        The score is sqrt(sum of cosine²), so a term that brings the part p of an offer's cosine c brings p · c / score
        of the score: the shares sum to it (1e-9). Call it before the index changes: it explains the score that the
        offers of the match have now, leaving out those removed since.
        """
        asked = occurrences(self._analyser, title=request.title, text=request.text, language=request.language)
        weights = self._rows.weigh(request.counts)
        shares: dict[str, float] = {}  # in squared score, until divided by it
        passages: dict[str, dict[str, tuple[Span, ...]]] = {}
        for document_id, _ in match.documents:
            offer = self._offers.get(document_id)
            if offer is None:
                continue
            offered = occurrences(self._analyser, title=offer.title, text=offer.text, language=offer.language)
            inverse_norm = self._rows.inverse_norm(self._slots[document_id])
            parts = {term: weights[term] * len(offered[term]) * inverse_norm for term in weights if term in offered}
            cosine = sum(parts.values())
            for term, part in parts.items():
                shares[term] = shares.get(term, 0.0) + part * cosine
                passages.setdefault(term, {})[document_id] = tuple(offered[term])
        score = math.sqrt(sum(shares.values()))
        return Explanation(
            tuple(
                SharedTerm(
                    term=term,
                    share=share / score,
                    informative=self._informative(request, asked[term][0], term),
                    request_spans=tuple(asked[term]),
                    offer_spans=passages[term],
                )
                for term, share in sorted(shares.items(), key=lambda item: (-round(item[1], SCORE_DECIMALS), item[0]))
            )
        )

    def _informative(self, request: Request, span: Span, term: str) -> bool:
        written = (request.title if span.field == "title" else request.text)[span.start : span.end]
        return informative(written, self._rows.document_frequency(term), len(self))

    def _ranked(self, scores: Floats) -> Iterator[tuple[str, float]]:
        """Yield every live member with its score, best first, ties by id; `scores` is by member number."""
        names, values = list(self._numbers), scores.tolist()
        order = np.argsort(-scores, kind="stable").tolist()
        for score, tied in groupby(order, key=values.__getitem__):
            for member in sorted(names[number] for number in tied):
                if member in self._members:
                    yield member, score

    def _compact(self) -> None:
        # A new offer gets the highest slot and the last place in the dictionary: both are in the same order.
        self._rows.compact(list(self._slots.values()))
        self._slots = {document_id: slot for slot, document_id in enumerate(self._slots)}
        self._numbers = {member: number for number, member in enumerate(self._members)}
        self._owners = np.array([self._numbers[self._offers[document].member] for document in self._slots], np.int32)


def _scores(cosines: Floats, owners: Ints, members: int) -> Floats:
    """Return the score of each member number, shape (members,), from cosines of offers and the owners of each."""
    # The best first within each member, so that the sum of squares does not depend on the order of the offers.
    order = np.lexsort((-cosines, owners))
    cosines, owners = cosines[order], owners[order]
    place = np.arange(len(owners)) - np.searchsorted(owners, owners)
    voting = place < VOTING_OFFERS
    scores: Floats = np.sqrt(np.bincount(owners[voting], weights=cosines[voting] ** 2, minlength=members))
    return np.round(scores, SCORE_DECIMALS)


def _match(member: str, score: float, cosines: dict[str, float]) -> Match:
    votes = [Vote(document_id, cosine) for document_id, cosine in cosines.items() if cosine > 0]
    votes.sort(key=lambda vote: (-vote.cosine, vote.document_id))
    return Match(member, score, tuple(votes[:VOTING_OFFERS]))
