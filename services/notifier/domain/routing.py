"""Whom to tell of a suggestion: the ambassadors of both clusters where either side sits, or else their desks."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, TypeAlias

from schemas.ambassadors import Concerns
from schemas.codes import Code, Scheme
from schemas.members import MemberKind
from schemas.suggestions import Party, SuggestionMade


@dataclass(frozen=True, slots=True)
class Seat:
    """Where one side of a suggestion stands: its cluster, and the innovation city where it sits, if any."""

    cluster: str
    city: str | None


@dataclass(frozen=True, slots=True)
class Subject:
    """What a suggestion is about, as far as it decides who looks after it.

    Attributes:
        kinds: of its two members.
        codes: of what is asked and of what is brought, and of the two members.
    """

    kinds: frozenset[MemberKind] = frozenset()
    codes: frozenset[Code] = frozenset()

    @classmethod
    def of(cls, made: SuggestionMade) -> "Subject":
        """Return what a suggestion is about."""
        parties = (made.request.party, made.offer.party)
        of_members = (party.activities for party in parties)
        said = (made.request.activities, *of_members, *(document.activities for document in made.offer.documents))
        return cls(frozenset(party.kind for party in parties), frozenset(code for codes in said for code in codes))


_Beginning: TypeAlias = tuple[Scheme, str]
"""What codes of a list may begin with."""

ANYTHING: Final = Subject()
ALL_ELSE: Final = Concerns()


@dataclass(frozen=True, slots=True)
class Relay:
    """Somebody who can be told. `city` is none for a cluster's desk; `deputy` is told while they are away."""

    cluster: str
    ambassador_id: str
    city: str | None
    away: bool = False
    deputy: str | None = None
    concerns: Concerns = ALL_ELSE


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody to tell. Exactly one of a suggestion's recipients leads: the others know who does."""

    cluster: str
    ambassador_id: str
    leads: bool


def seat_of(party: Party) -> Seat:
    """Return where a party stands. An innovation city sits in itself, whatever its profile says."""
    city = party.member_id if party.kind is MemberKind.INNOVATION_CITY else party.city
    return Seat(cluster=party.cluster, city=city)


def recipients(
    requesting: Seat, offering: Seat, relays: Iterable[Relay], subject: Subject = ANYTHING
) -> tuple[Recipient, ...]:
    """Return whom to tell, the one who leads first; empty when neither ambassador nor desk is known.

    Ambassadors are those of either cluster at either city, or whoever stands in for them. Of several whom one cluster
    has at one city, those whose concerns fit the subject are told; where nobody of these is there, those who said
    nothing of their concerns; and then all others. Only where there is nobody are the desks of the two clusters told,
    away or not; and where there is no desk either, the ambassadors, though away. The offering side's city leads, then
    the offering side's cluster; beyond that the order of ids decides, so that everybody computes the same.
    """
    clusters = {requesting.cluster, offering.cluster}
    cities = {city for city in (requesting.city, offering.city) if city is not None}
    known = {(relay.cluster, relay.ambassador_id): relay for relay in relays if relay.cluster in clusters}

    def rank(relay: Relay) -> tuple[bool, bool, str, str]:
        return relay.city != offering.city, relay.cluster != offering.cluster, relay.cluster, relay.ambassador_id

    concerned = sorted((relay for relay in known.values() if relay.city in cities), key=rank)
    colleagues: dict[tuple[str, str | None], list[Relay]] = {}
    for relay in concerned:
        colleagues.setdefault((relay.cluster, relay.city), []).append(relay)
    begun = _beginnings(subject.codes)  # once: there may be thousands of codes
    fitting = {relay for relay in concerned if relay.concerns and _fit(relay.concerns, begun, subject.kinds)}
    chosen = {relay for some in colleagues.values() for relay in _looking_after(fitting, some, known)}
    told = [there for relay in concerned if relay in chosen and (there := _present(relay, known))]
    if not told:
        told = sorted((relay for relay in known.values() if relay.city is None), key=rank) or concerned
    return tuple(
        Recipient(cluster=relay.cluster, ambassador_id=relay.ambassador_id, leads=place == 0)
        for place, relay in enumerate(dict.fromkeys(told))
    )


def _looking_after(
    fitting: AbstractSet[Relay], colleagues: Sequence[Relay], known: Mapping[tuple[str, str], Relay]
) -> Sequence[Relay]:
    """Return who of one cluster's ambassadors at one city are told of something, or whoever stands in for them."""
    theirs = [relay for relay in colleagues if relay in fitting]
    for_all_else = [relay for relay in colleagues if not relay.concerns]
    tiers = (theirs, for_all_else, colleagues)
    return next((tier for tier in tiers if any(_present(relay, known) for relay in tier)), ())


def _fit(concerns: Concerns, begun: AbstractSet[_Beginning], kinds: AbstractSet[MemberKind]) -> bool:
    of_kind = not concerns.kinds or not kinds.isdisjoint(concerns.kinds)
    return of_kind and (
        not concerns.themes or any((theme.scheme, _digits(theme)) in begun for theme in concerns.themes)
    )


def _beginnings(codes: Iterable[Code]) -> AbstractSet[_Beginning]:
    """Return what the codes begin with, in their lists: a theme that is one of these has one of them below it."""
    digits = {(code.scheme, _digits(code)) for code in codes}
    return {(scheme, of_code[:length]) for scheme, of_code in digits for length in range(len(of_code) + 1)}


def _digits(code: Code) -> str:
    """Return the part of a code that the codes below it begin with."""
    if code.scheme is Scheme.NACE:
        return code.code.replace(".", "")
    # The first two digits of CPV are a division, and may end in 0; later ones that are 0 say nothing.
    digits = code.code.partition("-")[0]
    return digits[:2] + digits[2:].rstrip("0")


def _present(relay: Relay, known: Mapping[tuple[str, str], Relay]) -> Relay | None:
    """Return who is told for somebody: themselves, their deputy, that one's ...; none when nobody of them is there."""
    asked = {relay}
    while relay.away:
        deputy = known.get((relay.cluster, relay.deputy or ""))
        if deputy is None or deputy in asked:
            return None
        asked.add(deputy)
        relay = deputy
    return relay
