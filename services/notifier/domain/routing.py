"""Whom to tell of a suggestion: the ambassadors of both clusters where either side sits, or else their desks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schemas.members import MemberKind
from schemas.suggestions import Party


@dataclass(frozen=True, slots=True)
class Seat:
    """Where one side of a suggestion stands: its cluster, and the innovation city where it sits, if any."""

    cluster: str
    city: str | None


@dataclass(frozen=True, slots=True)
class Relay:
    """Somebody who can be told. `city` is none for a cluster's desk; `deputy` is told while they are away."""

    cluster: str
    ambassador_id: str
    city: str | None
    away: bool = False
    deputy: str | None = None


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


def recipients(requesting: Seat, offering: Seat, relays: Iterable[Relay]) -> tuple[Recipient, ...]:
    """Return whom to tell, the one who leads first; empty when neither ambassador nor desk is known.

    Ambassadors are those of either cluster at either city, or whoever stands in for them. Only where there is nobody
    are the desks of the two clusters told, away or not; and where there is no desk either, the ambassadors, though
    away. The offering side's city leads, then the offering side's cluster; beyond that the order of ids decides, so
    that everybody computes the same.
    """
    clusters = {requesting.cluster, offering.cluster}
    cities = {city for city in (requesting.city, offering.city) if city is not None}
    known = {(relay.cluster, relay.ambassador_id): relay for relay in relays if relay.cluster in clusters}

    def rank(relay: Relay) -> tuple[bool, bool, str, str]:
        return relay.city != offering.city, relay.cluster != offering.cluster, relay.cluster, relay.ambassador_id

    concerned = sorted((relay for relay in known.values() if relay.city in cities), key=rank)
    told = [standing_in for relay in concerned if (standing_in := _present(relay, known))]
    if not told:
        told = sorted((relay for relay in known.values() if relay.city is None), key=rank) or concerned
    return tuple(
        Recipient(cluster=relay.cluster, ambassador_id=relay.ambassador_id, leads=place == 0)
        for place, relay in enumerate(dict.fromkeys(told))
    )


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
