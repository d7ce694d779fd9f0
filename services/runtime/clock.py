"""Time comes in as an argument; this is what the composition roots pass."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

Clock: TypeAlias = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the current time in UTC, to the millisecond: what MongoDB keeps, so that stored equals sent."""
    return _to_the_millisecond(datetime.now(UTC))


class DatabaseClock:
    """The time of a service's database: one clock for all its replicas, whatever their machines' clocks say.

    What is due when, and who may have a lease, is written by one replica and read by another, or by the same one after
    somebody has set its clock. Between two questions to the database the monotonic clock goes on, which nobody sets.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._began: datetime | None = None  # the database's time when the monotonic clock stood at 0

    def __call__(self) -> datetime:
        """Return the database's time; before it was asked for the first time, this machine's."""
        if self._began is None:
            return utc_now()
        return _to_the_millisecond(self._began + timedelta(seconds=self._monotonic()))

    async def set_by(self, ask: Callable[[], Awaitable[datetime]]) -> None:
        """Ask the database for its time. Raises what `ask` does."""
        before = self._monotonic()
        there = await ask()
        self._began = there - timedelta(seconds=(before + self._monotonic()) / 2)


def _to_the_millisecond(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
