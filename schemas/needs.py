"""`needs.v1`: what members ask for or put on offer, for a time. Compacted; a record without a body erases the need."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from schemas.base import Contract, Event, Key, Line, Slug, Text, UtcDatetime
from schemas.codes import Code, Country, IntellectualProperty, Language, Stage, Trl
from schemas.members import MemberKey, MemberKind, MemberRef, Visibility


class Direction(StrEnum):
    """Whether the member asks or offers."""

    REQUEST = "request"
    OFFER = "offer"


class NeedStatus(StrEnum):
    """Whether the need still stands. Past its deadline an open need is expired without an event."""

    OPEN = "open"
    WITHDRAWN = "withdrawn"


class NeedProfile(Contract):
    """What a member asks for or offers."""

    member_id: Annotated[Slug, Field(description="The member whose need it is, in the same cluster")]
    direction: Direction = Direction.REQUEST
    title: Line
    text: Text = ""
    language: Language | None = None
    activities: tuple[Code, ...] = ()
    trl: Trl | None = None
    stage: Stage | None = None
    intellectual_property: IntellectualProperty | None = None
    kinds_sought: Annotated[
        tuple[MemberKind, ...], Field(description="Empty: the usual kinds for the member's kind")
    ] = ()
    countries: Annotated[tuple[Country, ...], Field(description="Where the partner should be; empty: anywhere")] = ()
    languages: Annotated[tuple[Language, ...], Field(description="One of these must be spoken; empty: any")] = ()
    excluded: Annotated[tuple[MemberRef, ...], Field(description="Members never to be suggested for this need")] = ()
    visibility: Visibility = Visibility()
    deadline: Annotated[UtcDatetime | None, Field(description="After this the need is not paired any more")] = None


class NeedKey(Key):
    """`cluster/need_id`."""

    cluster: Slug
    need_id: Slug


class NeedPublished(Event, NeedProfile):
    """A need, whole, as of `rev`."""

    event_type: ClassVar[str] = "maillage.need.published.v1"

    cluster: Slug
    need_id: Slug
    status: NeedStatus = NeedStatus.OPEN
    published_at: UtcDatetime
    alerts: Annotated[bool, Field(description="False: pair, but alert nobody (a first census)")] = True

    @property
    def key(self) -> NeedKey:
        """The record key of this event."""
        return NeedKey(cluster=self.cluster, need_id=self.need_id)

    @property
    def owner(self) -> MemberKey:
        """The key of the member whose need it is."""
        return MemberKey(cluster=self.cluster, member_id=self.member_id)
