"""A suggestion from the first telling to its end: its states, and which state follows from what is known now."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from schemas.base import Event
from schemas.codes import Code
from schemas.members import MemberKind
from schemas.suggestions import (
    LapseReason,
    Offer,
    OfferDocument,
    Party,
    Request,
    SuggestionLapsed,
    SuggestionMade,
)
from services.matcher.domain.change import materially_different
from services.matcher.domain.decisions import Weighing, suggestion_id
from services.matcher.domain.directory import Directory
from services.matcher.domain.evidence import Source, evidence
from services.matcher.domain.holding import slot
from services.matcher.domain.known import KnownMember
from services.matcher.domain.pairing import Pair, Pairing, carriers
from services.matcher.domain.requests import Ask, Document
from services.matcher.index import ANALYSER_VERSION, ENGINE_VERSION, Match, Vote

DOCUMENTS_TOLD: Final = 5
"""Documents of the answering side in a suggestion: more are not read, and an event has a largest size."""

LEAST_PART_SHOWN: Final = 0.4
"""Part of the best document's score from which another is worth reading beside it."""

CODES_TOLD: Final = 50
"""Codes of activities of each side, those of the need or of the documents first, without the words of their lists."""

ENGINE: Final = f"{ENGINE_VERSION}+analyser-{ANALYSER_VERSION}"


@dataclass(frozen=True, slots=True)
class Told:
    """A suggestion as it was last told: one row of the store, and the event that tells it.

    Attributes:
        rev: counts the states; grows with each event on the topic.
        revision: counts the tellings that are worth a reader's time.
        ask: key of the request; empty once erased.
        known: `rev` of the answering member and of the needs that it offered, by key, when it was told; none: unknown.
        slot: of the asking member.
        made: what was told; none: erased, and nothing but the numbers is left.
        lapsed: why it does not stand any more; none while it does.
        carriers: the words that carry it, as they are compared.
    """

    id: UUID
    rev: int
    revision: int
    at: datetime
    lineage: str = ""
    ask: str = ""
    known: Mapping[str, int] | None = None
    slot: int = 0
    made: SuggestionMade | None = None
    lapsed: LapseReason | None = None
    carriers: tuple[str, ...] = ()
    traceparent: str | None = None

    @property
    def event(self) -> Event | None:
        """The event that tells this state; none: the record that erases the suggestion."""
        if self.made is None:
            return None
        if self.lapsed is not None:
            return SuggestionLapsed(suggestion_id=self.id, rev=self.rev, lapsed_at=self.at, reason=self.lapsed)
        return self.made

    @property
    def stands(self) -> bool:
        """Whether it is worth acting on."""
        return self.made is not None and self.lapsed is None

    def lapse(self, reason: LapseReason, now: datetime) -> "Told":
        """Return the state in which it does not stand any more."""
        return replace(self, rev=self.rev + 1, at=now, lapsed=reason, traceparent=None)

    def erase(self, now: datetime) -> "Told":
        """Return the state in which nothing is left but the numbers that keep it from coming back."""
        return Told(id=self.id, rev=self.rev + 1, revision=self.revision, at=now, slot=self.slot)

    def forget_city(self, city: str, now: datetime) -> "Told":
        """Return the state without the name of an innovation city that was erased."""
        if self.made is None:
            return self
        request, offer = self.made.request, self.made.offer
        made = self.made.model_copy(
            update={
                "rev": self.rev + 1,
                "request": request.model_copy(update={"party": _without_city(request.party, city)}),
                "offer": offer.model_copy(update={"party": _without_city(offer.party, city)}),
            }
        )
        return replace(self, rev=self.rev + 1, at=now, made=made)


@dataclass(frozen=True, slots=True)
class Cause:
    """An arrival that may bring suggestions about: when it was published, and its W3C trace context."""

    at: datetime
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Scribe:
    """Writes suggestions of what is known at one moment."""

    directory: Directory
    pairing: Pairing
    now: datetime
    causes: Mapping[str, Cause] = field(default_factory=dict)
    """What just arrived, by key of request, offer or member."""

    @property
    def weighing(self) -> Weighing:
        """What was said that makes members count for less now."""
        return Weighing(self.directory.decisions.sayings, self.now)

    def write(
        self, pair: Pair, before: Told | None = None, *, revision: int = 1, below_the_bar: bool = False
    ) -> Told | None:
        """Return the suggestion of a pair, following `before` if it was told; None where silence is better.

        Args:
            below_the_bar: it stands already, and does not end for what was said: its texts alone are to reach the bar.
        """
        explanation = self.pairing.explain(replace(pair, adjustments=()) if below_the_bar else pair)
        if explanation is None:
            return None
        ask, member = pair.ask, self.directory.members[pair.member]
        documents = self.pairing.documents(pair.member)
        sources = {
            vote.document_id: Source(
                documents[vote.document_id].told_as,
                documents[vote.document_id].title,
                documents[vote.document_id].text,
            )
            for vote in pair.match.documents
        }
        shown = _worth_showing(pair.match)
        of_ask, of_asker = _codes_told(ask.activities, self.directory.members[ask.owner].event.activities)
        said = (documents[vote.document_id].activities for vote in shown)
        *of_documents, of_member = _codes_told(*said, member.event.activities)
        cause = self._cause(pair)
        rev = 1 if before is None else before.rev + 1
        told_id = UUID(suggestion_id(ask.lineage, pair.member))
        made = SuggestionMade(
            suggestion_id=told_id,
            rev=rev,
            revision=revision,
            made_at=self.now,
            posted_at=None if cause is None else cause.at,
            alerts=self.directory.came(ask, pair.member, self.now).alerts,
            request=self._request(ask, of_ask, of_asker),
            offer=Offer(
                party=self._party(member, of_member),
                documents=tuple(
                    OfferDocument(
                        document_id=documents[vote.document_id].told_as,
                        title=documents[vote.document_id].title,
                        text=documents[vote.document_id].text,
                        language=documents[vote.document_id].language,
                        cosine=min(1.0, vote.score),
                        activities=codes,
                    )
                    for vote, codes in zip(shown, of_documents, strict=True)
                ),
            ),
            score=pair.score,
            adjustments=tuple(pair.adjustments),
            evidence=evidence(
                explanation,
                Source(ask.request_id, ask.title, ask.text),
                sources,
                name=member.event.name,
                quoted=len(shown),
                factor=pair.factor,
            ),
            engine=ENGINE,
            corpus_size=len(self.pairing),
        )
        return Told(
            id=told_id,
            rev=rev,
            revision=revision,
            at=self.now,
            lineage=ask.lineage,
            ask=ask.key,
            known=self.directory.revs(pair.member, self.now),
            slot=slot(ask.owner),
            made=made,
            carriers=carriers(explanation),
            traceparent=None if cause is None else cause.traceparent,
        )

    def _cause(self, pair: Pair) -> Cause | None:
        """Return the latest arrival among what a pair is made of, since only then could it be found; None: no arrival.

        Such as a deadline, which makes room for others.
        """
        parts = (pair.ask.key, pair.ask.owner, pair.member, *(vote.document_id for vote in pair.match.documents))
        came = [self.causes[part] for part in parts if part in self.causes]
        return max(came, key=lambda cause: cause.at, default=None)

    def _request(self, ask: Ask, codes: tuple[Code, ...], of_asker: tuple[Code, ...]) -> Request:
        return Request(
            party=self._party(self.directory.members[ask.owner], of_asker),
            source=ask.source,
            request_id=ask.request_id,
            title=ask.title,
            text=ask.text,
            language=ask.language,
            deadline=ask.deadline,
            trl=ask.trl,
            stage=ask.stage,
            intellectual_property=ask.intellectual_property,
            activities=codes,
        )

    def _party(self, known: KnownMember, codes: tuple[Code, ...]) -> Party:
        event = known.event
        city = event.city or (event.member_id if event.kind is MemberKind.INNOVATION_CITY else None)
        seat = self.directory.members.get(f"{event.cluster}/{city}")
        return Party(
            cluster=event.cluster,
            member_id=event.member_id,
            name=event.name,
            kind=event.kind,
            country=event.country,
            locality=event.locality,
            languages=event.languages,
            city=city,
            city_name="" if seat is None else seat.event.name,
            activities=codes,
        )


def _codes_told(*said: tuple[Code, ...]) -> list[tuple[Code, ...]]:
    """Return the first codes of one side, list by list: of thousands nothing follows but that an event is too large."""
    told, room = list[tuple[Code, ...]](), CODES_TOLD
    for codes in said:
        told.append(tuple(code.model_copy(update={"label": ""}) for code in codes[:room]))
        room -= len(told[-1])
    return told


def _worth_showing(match: Match) -> Sequence[Vote]:
    """Return the documents that make the pairing: the best, and others that bring a fair part of the score."""
    best, *others = match.documents[:DOCUMENTS_TOLD]
    return [best, *(vote for vote in others if vote.score >= LEAST_PART_SHOWN * best.score)]


def materially_changed(
    told: Told, pair: Pair, documents: Mapping[str, Document], is_news: Callable[[str], bool]
) -> bool:
    """Whether what stands behind a suggestion is materially another than what was told.

    It is when the request is another text, when a told document is gone or another text, or when the best document now
    is one that came after the telling. Scores and ranks that moved with other members' offers are no change.

    Args:
        documents: what the member brings now, by document key.
        is_news: tells whether a document came, or became materially another, after the telling.
    """
    made = told.made
    if made is None or str(made.request.party.key) != pair.ask.owner:
        return True
    if materially_different(_joined(made.request.title, made.request.text), _joined(pair.ask.title, pair.ask.text)):
        return True
    current = {document.told_as: _joined(document.title, document.text) for document in documents.values()}
    for document in made.offer.documents:
        now = current.get(document.document_id)
        if now is None or materially_different(_joined(document.title, document.text), now):
            return True
    best = pair.match.documents[0].document_id
    known = {document.document_id for document in made.offer.documents}
    return documents[best].told_as not in known and is_news(best)


def cities(made: SuggestionMade) -> set[str]:
    """Return the keys of the innovation cities that a suggestion names."""
    parties = (made.request.party, made.offer.party)
    return {f"{party.cluster}/{party.city}" for party in parties if party.city is not None}


def _joined(title: str, text: str) -> str:
    return f"{title}\n{text}"


def _without_city(party: Party, city: str) -> Party:
    return party.model_copy(update={"city_name": ""}) if f"{party.cluster}/{party.city}" == city else party
