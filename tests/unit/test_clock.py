"""The time that services go by: their database's."""

from datetime import UTC, datetime, timedelta

import pytest

from services.runtime.clock import DatabaseClock, utc_now

THERE = datetime(2001, 2, 3, 4, 5, 6, 789_000, tzinfo=UTC)


class Monotonic:
    """A monotonic clock, set by hand."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


async def test_it_is_the_databases_time_and_goes_on_with_the_clock_that_nobody_sets() -> None:
    monotonic = Monotonic()
    clock = DatabaseClock(monotonic=monotonic)

    async def ask() -> datetime:
        monotonic.seconds += 0.5  # the answer takes half a second: it was true in the middle of it
        return THERE

    await clock.set_by(ask)
    assert clock() == THERE + timedelta(seconds=0.25)
    monotonic.seconds += 3_600
    assert clock() == THERE + timedelta(hours=1, seconds=0.25)


async def test_it_is_this_machines_time_until_the_database_has_told_its_own() -> None:
    clock = DatabaseClock()

    async def away() -> datetime:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await clock.set_by(away)
    assert abs(clock() - utc_now()) < timedelta(seconds=1)
    assert clock().microsecond % 1_000 == 0
