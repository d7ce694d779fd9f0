"""`feedback.v1`: what ambassadors, and then both sides, did with suggestions. Not compacted: every act counts."""

from enum import StrEnum
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from schemas.base import Count, Event, Key, Slug, UtcDatetime
from schemas.members import MemberRef


class Act(StrEnum):
    """One step in the life of a suggestion after it was told."""

    TAKEN = "taken"
    NOT_RELEVANT = "not_relevant"
    PASSED = "passed"
    INTRODUCED = "introduced"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    OUTCOME = "outcome"


class NotRelevantReason(StrEnum):
    """Why an ambassador found a suggestion beside the point."""

    WRONG_TOPIC = "wrong_topic"
    ALREADY_IN_TOUCH = "already_in_touch"
    NOT_AVAILABLE = "not_available"
    OTHER = "other"


class Side(StrEnum):
    """One of the two members that a suggestion brings together."""

    REQUESTING = "requesting"
    OFFERING = "offering"


class Result(StrEnum):
    """What became of an introduction."""

    MEETING = "meeting"
    CONTRACT = "contract"
    NOTHING = "nothing"


class FeedbackKey(Key):
    """`suggestion_id`: the acts on one suggestion stay in order."""

    suggestion_id: UUID


class FeedbackGiven(Event):
    """An ambassador, or a side, acted on a suggestion or let it pass. `rev` counts the acts on that suggestion."""

    event_type: ClassVar[str] = "maillage.feedback.given.v1"

    feedback_id: UUID
    suggestion_id: UUID
    cluster: Slug
    ambassador_id: Slug
    act: Act
    revision: Annotated[
        Count | None, Field(description="Of the suggestion, as it was read; none: told by an earlier version")
    ] = None
    reason: Annotated[NotRelevantReason | None, Field(description="With `not_relevant`")] = None
    side: Annotated[Side | None, Field(description="With `accepted` and `declined`: which side did")] = None
    silent: Annotated[
        bool, Field(description="With `declined`: by no answer in time, or because no letter reached it")
    ] = False
    result: Annotated[Result | None, Field(description="With `outcome`")] = None
    requesting: MemberRef
    offering: MemberRef
    given_at: UtcDatetime

    @property
    def key(self) -> FeedbackKey:
        """The record key of this event."""
        return FeedbackKey(suggestion_id=self.suggestion_id)
