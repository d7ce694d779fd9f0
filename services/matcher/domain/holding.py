"""Which members' requests a replica answers for: several matchers share the work, each knows what all members bring."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Final
from zlib import crc32

SLOTS: Final = 1024
"""Members are spread over so many slots for good, and slots over the shares of the day: their number may change."""


def slot(member: str) -> int:
    """Return the slot of a member: all that it asks, and what is stored of it, is in one hand."""
    return crc32(member.encode()) % SLOTS


@dataclass(frozen=True, slots=True)
class Holding:
    """The shares that a replica holds, of so many.

    Attributes:
        shares: numbers below `of`.
        of: how many shares there are; at least 1.
    """

    shares: Set[int] = frozenset()
    of: int = 1

    def __contains__(self, member: str) -> bool:
        return slot(member) % self.of in self.shares

    @property
    def whole(self) -> bool:
        """Whether there is nobody else."""
        return len(self.shares) == self.of

    @property
    def slots(self) -> list[int]:
        """The slots of its members."""
        return [number for number in range(SLOTS) if number % self.of in self.shares]


NONE: Final = Holding()
