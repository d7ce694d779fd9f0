"""While one process takes over from another, whoever arrives second still finds the other."""

from collections.abc import AsyncIterator

import pytest

from schemas.ids import derived_id
from tests.component.matcher.actors import grower, irrigation, others, soil_lab
from tests.component.matcher.conftest import System

SUGGESTION = derived_id("suggestion", "atlas/irrigation", "atlas/labo-sol")


@pytest.fixture
async def successor(system: System) -> AsyncIterator[System]:
    """Another process on the same database and log, started while the first still runs."""
    other = system.beside()
    await other.start()
    yield other
    other.leave()


async def test_what_the_one_stored_is_known_to_the_other(system: System, successor: System) -> None:
    await system.give(*others(), grower(), irrigation())
    await successor.give(soil_lab())
    assert SUGGESTION in {made.suggestion_id for made in system.log.made()}


async def test_they_may_take_turns(system: System, successor: System) -> None:
    await system.give(*others(), grower())
    await successor.give(soil_lab())
    await system.give(irrigation())
    await successor.give(irrigation(need_id="encore"))
    assert [made.suggestion_id for made in system.log.made()] == [SUGGESTION]


async def test_what_is_stored_while_the_other_works_is_seen_by_one_of_them(system: System, successor: System) -> None:
    await system.give(*others(), grower())

    system.store.between["before commit"] = lambda: successor.give(irrigation())
    await system.give(soil_lab())
    assert SUGGESTION in {made.suggestion_id for made in system.log.made()}
    assert not system.store.between


async def test_a_store_that_goes_away_while_it_is_read_anew_makes_nobody_forgotten(
    system: System, successor: System
) -> None:
    await system.give(*others(), grower(), irrigation(), soil_lab())
    await successor.give(soil_lab(member_id="labo-sol-2"))
    system.log.take()

    async def go_away() -> None:
        raise ConnectionError

    system.store.between["before restore"] = go_away
    with pytest.raises(ConnectionError):
        await system.give(soil_lab(rev=2))
    await system.give(soil_lab(rev=2))
    assert [envelope.value for envelope in system.log.take()] == []
