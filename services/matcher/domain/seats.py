"""How many members there are of each sort at each innovation city: to be counted without reading all of them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from schemas.members import MemberKind, MemberPublished
from services.matcher.domain.eligibility import Traits


class Seat(NamedTuple):
    """What a member is, and at which innovation city of its cluster; none: at no city."""

    traits: Traits
    city: str | None

    @classmethod
    def of(cls, member: MemberPublished) -> "Seat":
        """Return the seat of a member; a city sits in itself."""
        itself = member.member_id if member.kind is MemberKind.INNOVATION_CITY else None
        return cls(Traits.of(member), member.city or itself)


class Seats:
    """The seat of each member, and how many members share each."""

    def __init__(self) -> None:
        self._of: dict[str, Seat] = {}
        self._counts: Counter[Seat] = Counter()
        self._unseen: dict[str, None] = {}

    @property
    def counts(self) -> Mapping[Seat, int]:
        """How many members have each seat, but for those that are unseen."""
        return self._counts

    @property
    def unseen(self) -> Iterator[str]:
        """Keys of the members whose seat nobody has looked at yet."""
        return iter(self._unseen)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys of the members whose seat is known."""
        return iter(self._of)

    def get(self, member: str) -> Seat | None:
        """Return the seat of a member; None if it is not known."""
        return self._of.get(member)

    def adopt(self, member: str) -> None:
        """Note that there is a member, whatever it is."""
        if member not in self._of:
            self._unseen[member] = None

    def put(self, member: str, event: MemberPublished | None) -> None:
        """Seat a member as its latest state says; None: there is none of this key."""
        self._unseen.pop(member, None)
        before = self._of.pop(member, None)
        if before is not None:
            self._counts[before] -= 1
            if not self._counts[before]:
                del self._counts[before]
        if event is not None:
            self._of[member] = Seat.of(event)
            self._counts[self._of[member]] += 1
