"""Members and needs in their latest states, each read when it is first asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Generic, TypeVar

from schemas.members import MemberKind, MemberPublished
from schemas.needs import NeedPublished

T = TypeVar("T")


def mark(event: MemberPublished | NeedPublished) -> bytes:
    """Return a digest of all that an event says."""
    return sha256(event.model_dump_json().encode()).digest()  # processors have instructions for it


class Gone(Exception):  # noqa: N818 # what it is, not what went wrong
    """What was to be read when it is first asked for is not there any more."""


class Later(Generic[T]):
    """Something that is made when it is first asked for: a start does not wait for thousands that nobody asks for."""

    __slots__ = ("_made", "_make")
    _made: T

    def __init__(self, make: Callable[[], T]) -> None:
        self._make: Callable[[], T] | None = make

    @classmethod
    def of(cls, made: T) -> "Later[T]":
        """Return something that is there already."""
        later = cls(lambda: made)
        later()
        return later

    @property
    def made(self) -> bool:
        """Whether it is there."""
        return self._make is None

    def __call__(self) -> T:
        """Return it. Raises what making it raises."""
        if self._make is not None:
            self._made, self._make = self._make(), None
        return self._made


@dataclass(frozen=True, slots=True)
class Arrival:
    """When something was published, and whether it may alert anybody.

    Members and needs come on different topics, so which is read first is chance. A need posted after a census must
    alert although the census is read after it: what counts is when each was published.
    """

    at: datetime
    alerts: bool


@dataclass(frozen=True, slots=True)
class KnownMember:
    """A member.

    Attributes:
        read: gives its latest state.
        since: for each asset the `rev` with which it came or became materially another.
        mark: tells this state from any other.
    """

    rev: int
    kind: MemberKind
    read: Later[MemberPublished]
    since: dict[str, int]
    mark: bytes

    @classmethod
    def of(cls, event: MemberPublished, since: dict[str, int]) -> "KnownMember":
        """Return a member as an event tells it."""
        return cls(event.rev, event.kind, Later.of(event), since, mark(event))

    @property
    def event(self) -> MemberPublished:
        """Its latest state."""
        return self.read()

    @property
    def arrival(self) -> Arrival:
        """When this state of the member came."""
        return Arrival(self.event.published_at, self.event.alerts)


@dataclass(frozen=True, slots=True)
class KnownNeed:
    """A need.

    Attributes:
        owner: key of the member whose need it is.
        seq: counts the needs of one member in the order in which they came to be known.
        since: as for an asset of a member.
        lineage: its own key, or that of the need that it repeats.
        mark: as of a member.
    """

    rev: int
    owner: str
    deadline: datetime | None
    seq: int
    since: int
    lineage: str
    read: Later[NeedPublished]
    mark: bytes

    @classmethod
    def of(cls, event: NeedPublished, seq: int, since: int, lineage: str) -> "KnownNeed":
        """Return a need as an event tells it."""
        return cls(event.rev, str(event.owner), event.deadline, seq, since, lineage, Later.of(event), mark(event))

    @property
    def event(self) -> NeedPublished:
        """Its latest state."""
        return self.read()

    @property
    def arrival(self) -> Arrival:
        """When this state of the need came."""
        return Arrival(self.event.published_at, self.event.alerts)
