"""`suggestions.v1`: pairings worth telling. Compacted; a record without a body erases the suggestion.

A suggestion is frozen as it was when made and carries all that its reader needs, except anybody's contact details.
"""

from enum import StrEnum
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from schemas.base import MAX_COUNT, Contract, Count, Event, Key, Line, Phrase, Slug, Text, UtcDatetime
from schemas.codes import Code, Country, IntellectualProperty, Language, Stage, Trl
from schemas.feedback import NotRelevantReason
from schemas.members import MemberKey, MemberKind


class Party(Contract):
    """One side of a suggestion, as it described itself when the suggestion was made."""

    cluster: Slug
    member_id: Slug
    name: Line
    kind: MemberKind
    country: Country
    locality: Phrase = ""
    languages: tuple[Language, ...] = ()
    city: Annotated[Slug | None, Field(description="`member_id` of the innovation city where it sits")] = None
    city_name: Phrase = ""
    activities: tuple[Code, ...] = ()

    @property
    def key(self) -> MemberKey:
        """The key of the member."""
        return MemberKey(cluster=self.cluster, member_id=self.member_id)


class RequestSource(StrEnum):
    """Where the request comes from: a posted need, or what a member is interested in or does at all times."""

    NEED = "need"
    INTERESTS = "interests"
    ASSETS = "assets"


class Request(Contract):
    """The asking side."""

    party: Party
    source: RequestSource
    request_id: Annotated[Slug, Field(description="`need_id`, or `member_id` where the member has posted none")]
    title: Line
    text: Text = ""
    language: Language | None = None
    deadline: UtcDatetime | None = None
    trl: Trl | None = None
    stage: Stage | None = None
    intellectual_property: IntellectualProperty | None = None
    activities: Annotated[tuple[Code, ...], Field(description="Of the need; its member's are the party's")] = ()


class OfferDocument(Contract):
    """One document of the answering side that voted for the pairing."""

    document_id: Annotated[str, Field(description="`asset_id`, or `need_id` of a need with direction `offer`")]
    title: Line
    text: Text = ""
    language: Language | None = None
    cosine: Annotated[
        float,
        Field(ge=0, description="Similarity of this document alone to the request, in units of the score, 1 at most"),
    ]
    activities: tuple[Code, ...] = ()


class Offer(Contract):
    """The answering side, through its best documents, best first."""

    party: Party
    documents: Annotated[tuple[OfferDocument, ...], Field(min_length=1)]


class Mark(Contract):
    """A shared word inside a text: characters `start` (included) to `end` (excluded), counted in code points."""

    start: Annotated[int, Field(ge=0, le=MAX_COUNT)]
    end: Count


class Passage(Contract):
    """An excerpt of one of the two texts with its shared words marked; marks count from the excerpt's start."""

    document_id: str
    text: str
    marks: tuple[Mark, ...] = ()


class SharedTerm(Contract):
    """One term that both sides use, in each side's own words, and its exact share of the score."""

    request_words: tuple[str, ...]
    offer_words: tuple[str, ...]
    share: Annotated[
        float,
        Field(gt=0, description="In units of the score, adjustments included; the shares of a suggestion sum to it"),
    ]
    informative: bool = True


class Evidence(Contract):
    """Why the two sides were paired. `terms` are complete, the largest share first."""

    terms: Annotated[tuple[SharedTerm, ...], Field(min_length=2)]
    request_passages: tuple[Passage, ...] = ()
    offer_passages: tuple[Passage, ...] = ()


class AdjustmentScope(StrEnum):
    """What it was said of: this very pairing, another request of the same asker, or others' requests in a cluster."""

    PAIRING = "pairing"
    ASKER = "asker"
    CLUSTER = "cluster"


class Adjustment(Contract):
    """Why a pairing counts for less than its two texts say: what ambassadors said not long ago."""

    reason: NotRelevantReason
    scope: AdjustmentScope
    factor: Annotated[float, Field(gt=0, le=1, description="What the score was multiplied by")]
    count: Annotated[Count, Field(description="How often it was said")] = 1
    said_at: Annotated[UtcDatetime, Field(description="When it was said last")]
    until: Annotated[UtcDatetime, Field(description="When the last of it ceases to count")]


class SuggestionKey(Key):
    """`suggestion_id`."""

    suggestion_id: UUID


class SuggestionMade(Event):
    """A pairing worth a conversation. A material change of either text makes a new `revision` under the same id."""

    event_type: ClassVar[str] = "maillage.suggestion.made.v1"

    suggestion_id: UUID
    revision: Count = 1
    made_at: UtcDatetime
    posted_at: Annotated[
        UtcDatetime | None,
        Field(description="`published_at` of what brought it about: a need or a member. None: a deadline that passed"),
    ] = None
    alerts: bool = True
    request: Request
    offer: Offer
    score: Annotated[float, Field(gt=0, description="What the texts say, times the factor of each adjustment")]
    adjustments: tuple[Adjustment, ...] = ()
    evidence: Evidence
    engine: Annotated[str, Field(description="Version of the analysis and scoring that found it")]
    corpus_size: Annotated[Count, Field(description="Offer documents among which it was found")]

    @property
    def key(self) -> SuggestionKey:
        """The record key of this event."""
        return SuggestionKey(suggestion_id=self.suggestion_id)


class LapseReason(StrEnum):
    """Why a suggestion is not worth acting on any more."""

    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    NOT_ELIGIBLE = "not_eligible"


class SuggestionLapsed(Event):
    """A suggestion that no longer stands. Carries no text of either side."""

    event_type: ClassVar[str] = "maillage.suggestion.lapsed.v1"

    suggestion_id: UUID
    lapsed_at: UtcDatetime
    reason: LapseReason

    @property
    def key(self) -> SuggestionKey:
        """The record key of this event."""
        return SuggestionKey(suggestion_id=self.suggestion_id)
