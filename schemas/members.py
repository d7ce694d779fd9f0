"""`members.v1`: organisations and what they bring. Compacted; a record without a body erases the member."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from schemas.base import Contract, Event, Key, Line, Phrase, Slug, Text, UtcDatetime
from schemas.codes import Code, Country, IntellectualProperty, Language, Stage, Trl


class MemberKind(StrEnum):
    """What an organisation is to its cluster."""

    COMPANY = "company"
    STARTUP = "startup"
    LABORATORY = "laboratory"
    UNIVERSITY = "university"
    ASSOCIATION = "association"
    INNOVATION_CITY = "innovation_city"
    FUNDER = "funder"
    PARTNER_CLUSTER = "partner_cluster"


class Admission(StrEnum):
    """Whether the cluster has admitted the member. Only admitted members are paired."""

    CANDIDATE = "candidate"
    ADMITTED = "admitted"
    SUSPENDED = "suspended"
    LEFT = "left"


class Reach(StrEnum):
    """How far beyond its own cluster something may be seen."""

    OWN_CLUSTER = "own_cluster"
    NAMED_CLUSTERS = "named_clusters"
    CONVENTION_PARTNERS = "convention_partners"
    ALL = "all"


class Visibility(Contract):
    """Who may see a member or a need. `clusters` matters with `named_clusters` only."""

    reach: Reach = Reach.CONVENTION_PARTNERS
    clusters: tuple[Slug, ...] = ()


class MemberRef(Contract):
    """Names one member: its cluster and its id there."""

    cluster: Slug
    member_id: Slug


class AssetKind(StrEnum):
    """What sort of thing a member brings."""

    COMPETENCE = "competence"
    PROJECT = "project"
    PRODUCT = "product"
    SERVICE = "service"
    EQUIPMENT = "equipment"
    FACILITY = "facility"
    HOSTING = "hosting"
    FUND = "fund"


class Asset(Contract):
    """One thing that a member brings: a document of its own, matched on its own."""

    asset_id: Slug
    kind: AssetKind = AssetKind.COMPETENCE
    title: Line
    text: Text = ""
    language: Language | None = None
    activities: tuple[Code, ...] = ()
    trl: Trl | None = None
    stage: Stage | None = None
    intellectual_property: IntellectualProperty | None = None


class MemberProfile(Contract):
    """What an organisation says of itself."""

    name: Line
    kind: MemberKind
    admission: Admission = Admission.CANDIDATE
    label: Annotated[Phrase, Field(max_length=120, description="Distinction awarded by the cluster, if any")] = ""
    summary: Text = ""
    languages: tuple[Language, ...] = ()
    country: Country = "MA"
    locality: Annotated[Phrase, Field(max_length=120, description="Town where the member sits")] = ""
    city: Annotated[
        Slug | None,
        Field(description="`member_id` of the innovation city where the member sits; a city sits in itself"),
    ] = None
    activities: tuple[Code, ...] = ()
    interests: Annotated[tuple[Line, ...], Field(description="Standing interests, matched while no need is open")] = ()
    kinds_sought: Annotated[tuple[MemberKind, ...], Field(description="Empty: the usual kinds for this kind")] = ()
    visibility: Visibility = Visibility()
    represents: Annotated[
        Slug | None, Field(description="Partner clusters: the cluster with which there is a convention")
    ] = None
    assets: Annotated[tuple[Asset, ...], Field(max_length=2_000)] = ()


class MemberKey(Key):
    """`cluster/member_id`."""

    cluster: Slug
    member_id: Slug


class MemberPublished(Event, MemberProfile):
    """A member's profile, whole, as of `rev`."""

    event_type: ClassVar[str] = "maillage.member.published.v1"

    cluster: Slug
    member_id: Slug
    published_at: UtcDatetime
    alerts: Annotated[bool, Field(description="False: pair, but alert nobody (a first census)")] = True

    @property
    def key(self) -> MemberKey:
        """The record key of this event."""
        return MemberKey(cluster=self.cluster, member_id=self.member_id)
