"""What is done when nobody does anything: a reminder, then somebody else is told, the deputy first, then the desk."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

REMINDED_AFTER: Final = timedelta(days=7)
"""A suggestion that nobody has touched is told once more, in the next letter."""

DEPUTY_AFTER: Final = timedelta(days=14)
DESK_AFTER: Final = timedelta(days=21)
"""About when half of an introduction's usual time has gone by without anybody."""


class Chase(StrEnum):
    """What is due of a suggestion that nobody has touched; each includes those before it."""

    REMIND = "remind"
    DEPUTY = "deputy"
    DESK = "desk"


_AFTER: Final = {Chase.REMIND: REMINDED_AFTER, Chase.DEPUTY: DEPUTY_AFTER, Chase.DESK: DESK_AFTER}


def due_chases(told_at: datetime, now: datetime) -> tuple[Chase, ...]:
    """Return what is due by now, whether it was done or not."""
    return tuple(chase for chase, after in _AFTER.items() if now >= told_at + after)


def next_chase(told_at: datetime, now: datetime) -> datetime | None:
    """Return when more will be due; none: there is no more."""
    return min((told_at + after for after in _AFTER.values() if told_at + after > now), default=None)
