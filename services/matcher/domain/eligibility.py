"""Whether one request may face one member, and if not, why not."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from schemas.members import Admission, MemberKind, MemberPublished, Reach, Visibility
from services.matcher.domain.decisions import UNDECIDED, Decisions
from services.matcher.domain.requests import Ask

_MAKERS = frozenset({MemberKind.COMPANY, MemberKind.STARTUP})
_SCIENCE = frozenset({MemberKind.LABORATORY, MemberKind.UNIVERSITY})
_CITY = frozenset({MemberKind.INNOVATION_CITY})

USUAL_KINDS: Final[Mapping[MemberKind, frozenset[MemberKind]]] = {
    MemberKind.COMPANY: _MAKERS | _SCIENCE | _CITY,
    # A startup also lives on funds.
    MemberKind.STARTUP: _MAKERS | _SCIENCE | _CITY | {MemberKind.FUNDER},
    MemberKind.LABORATORY: _MAKERS | _CITY,
    MemberKind.UNIVERSITY: _MAKERS | _CITY,
    MemberKind.INNOVATION_CITY: _MAKERS | _SCIENCE,
    # These three speak for others or serve them: whoever acts is of interest, their own kind is not.
    MemberKind.ASSOCIATION: _MAKERS | _SCIENCE | _CITY,
    MemberKind.FUNDER: _MAKERS | _SCIENCE | _CITY,
    MemberKind.PARTNER_CLUSTER: _MAKERS | _SCIENCE | _CITY,
}
"""Kinds that a request is paired with unless it names those it seeks, by the kind of the member that asks."""


class Ineligible(StrEnum):
    """Why a request does not face a member."""

    ITSELF = "itself"
    NOT_ADMITTED = "not_admitted"
    KIND_NOT_SOUGHT = "kind_not_sought"
    ASKER_NOT_SOUGHT = "asker_not_sought"
    REQUEST_NOT_VISIBLE = "request_not_visible"
    MEMBER_NOT_VISIBLE = "member_not_visible"
    COUNTRY = "country"
    LANGUAGE = "language"
    EXPIRED = "expired"
    EXCLUDED = "excluded"
    DECIDED = "decided"


@dataclass(frozen=True, slots=True)
class Traits:
    """What a member is, as far as it decides who may face it: members of equal traits are eligible for the same
    requests, but for what concerns one member alone.
    """

    cluster: str
    admission: Admission
    kind: MemberKind
    kinds_sought: tuple[MemberKind, ...]
    visibility: Visibility
    country: str
    languages: tuple[str, ...]

    @classmethod
    def of(cls, member: MemberPublished) -> "Traits":
        """Return the traits of a member."""
        return cls(
            cluster=member.cluster,
            admission=member.admission,
            kind=member.kind,
            kinds_sought=member.kinds_sought,
            visibility=member.visibility,
            country=member.country,
            languages=member.languages,
        )


Conventions = Container[tuple[str, str]]
"""(X, Y) when cluster X opens itself to Y: X has an admitted member of kind partner cluster that represents Y."""


def ineligible(
    ask: Ask,
    asker: MemberPublished,
    member: MemberPublished,
    *,
    now: datetime,
    conventions: Conventions,
    decisions: Decisions = UNDECIDED,
) -> Ineligible | None:
    """Return why `ask`, made by `asker`, must not face `member` at `now`; None if it may."""
    key = f"{member.cluster}/{member.member_id}"
    if key == ask.owner:
        return Ineligible.ITSELF
    barred = ineligible_traits(ask, asker, Traits.of(member), now=now, conventions=conventions)
    return barred or ineligible_itself(ask, key, now=now, decisions=decisions)


def ineligible_traits(
    ask: Ask, asker: MemberPublished, member: Traits, *, now: datetime, conventions: Conventions
) -> Ineligible | None:
    """Return why `ask`, made by `asker`, must not face members of such traits at `now`; None if it may."""
    if not (asker.admission is Admission.ADMITTED and member.admission is Admission.ADMITTED):
        return Ineligible.NOT_ADMITTED
    if member.kind not in (ask.kinds_sought or USUAL_KINDS[asker.kind]):
        return Ineligible.KIND_NOT_SOUGHT
    if member.kinds_sought and asker.kind not in member.kinds_sought:
        return Ineligible.ASKER_NOT_SOUGHT
    if not visible(ask.visibility, ask.cluster, member.cluster, conventions):
        return Ineligible.REQUEST_NOT_VISIBLE
    if not visible(member.visibility, member.cluster, ask.cluster, conventions):
        return Ineligible.MEMBER_NOT_VISIBLE
    if ask.countries and member.country not in ask.countries:
        return Ineligible.COUNTRY
    if ask.languages and _base(ask.languages).isdisjoint(_base(member.languages)):
        return Ineligible.LANGUAGE
    if ask.deadline is not None and ask.deadline <= now:
        return Ineligible.EXPIRED
    return None


def ineligible_itself(ask: Ask, key: str, *, now: datetime, decisions: Decisions = UNDECIDED) -> Ineligible | None:
    """Return why `ask` must not face the member of this key at `now` whatever its traits; None if it may."""
    if key == ask.owner:
        return Ineligible.ITSELF
    if key in ask.excluded:
        return Ineligible.EXCLUDED
    return Ineligible.DECIDED if decisions.settled(ask, key, now) else None


def visible(visibility: Visibility, own: str, other: str, conventions: Conventions) -> bool:
    """Whether something of cluster `own` may be seen in cluster `other`."""
    if own == other:
        return True
    match visibility.reach:
        case Reach.OWN_CLUSTER:
            return False
        case Reach.NAMED_CLUSTERS:
            return other in visibility.clusters
        case Reach.CONVENTION_PARTNERS:
            return (own, other) in conventions
        case Reach.ALL:
            return True


def _base(languages: tuple[str, ...]) -> set[str]:
    """Languages without region or script: who asks for Arabic is served by Moroccan Arabic."""
    return {language.partition("-")[0] for language in languages}
