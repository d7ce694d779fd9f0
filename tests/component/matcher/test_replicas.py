"""Several replicas share the work: each reads everything, each answers for the requests of its members alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.base import Event
from schemas.cloudevents import Envelope
from schemas.members import MemberKind
from schemas.needs import Direction
from schemas.suggestions import SuggestionMade
from services.matcher.domain.holding import slot
from services.matcher.sharing import NotGivenError, ShareLostError
from services.matcher.store import StateGoneError
from tests.component.matcher.actors import erased_member, erased_need, grower, irrigation, member, others, soil_lab
from tests.component.matcher.conftest import System
from tests.component.matcher.log import RecordingLog, compacted
from tests.component.matcher.test_crashes import STORY


@dataclass
class Group:
    """What a group gave one replica, as a test says."""

    held: frozenset[int]
    of: int = 2
    times: int = 1
    lost: int = 0

    def lose(self) -> None:
        self.lost += 1

    def give(self, *held: int) -> None:
        self.held, self.times = frozenset(held), self.times + 1


@dataclass
class Replica:
    """One of them, and how far it has read a common log."""

    system: System
    group: Group
    read: int = 0

    async def follow(self, log: Sequence[Sequence[Envelope]]) -> None:
        """Read on as far as the log goes, from where the store says that all is done."""
        place = (await self.system.matcher.places(["log/0"])).get("log/0", self.read)
        self.read = min(self.read, place)
        while self.read < len(log):
            await self.system.matcher.take(log[self.read], {"log/0": self.read + 1})
            self.read += 1
        await self.system.relay.publish_due()

    async def die_and_start(self) -> None:
        """Be another process: what was in memory is gone, and where reading begins is what the store says."""
        self.group.times += 1
        self.read = 10_000
        await self.system.start()


@pytest.fixture
async def replicas(system: System) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two replicas on one database; each holds one share of two."""
    pair = []
    for each, held in ((system, 0), (system.beside(), 1)):
        each.given = group = Group(frozenset({held}))
        pair.append(Replica(each, group))
    for replica in pair:
        await replica.system.start()
    yield pair[0], pair[1]
    pair[1].system.leave()


@pytest.fixture(scope="module")
async def alone(mongo_url: str) -> dict[str, Event | None]:
    """What one replica tells of the story."""
    system = System(url=mongo_url, log=RecordingLog())
    await system.start()
    for batch in STORY:
        await system.give(*batch)
    await system.close()
    return compacted(system.log.take())


def said(states: dict[str, Event | None]) -> dict[str, Any]:
    """What was told, but for when."""
    return {key: None if event is None else type(event).__name__ for key, event in states.items()}


async def test_two_replicas_tell_what_one_tells(
    replicas: tuple[Replica, Replica], alone: dict[str, Event | None]
) -> None:
    one, other = replicas
    for end in range(1, len(STORY) + 1):
        await one.follow(STORY[:end])
        await other.follow(STORY[:end])
    assert said(compacted(one.system.log.take())) == said(alone)
    owners = {slot(f"atlas/{name}") % 2 for name in ("verger", "conserverie", "labo-sol", "labo-peche")}
    assert owners == {0, 1}  # or one of them had nothing to do


@pytest.mark.parametrize("lead", [0, 1])
async def test_a_share_goes_from_hand_to_hand_and_nothing_is_told_twice(
    replicas: tuple[Replica, Replica], alone: dict[str, Event | None], lead: int
) -> None:
    ahead, behind = replicas[lead], replicas[1 - lead]
    mine, yours = ahead.group.held, behind.group.held
    for end in range(1, len(STORY) + 1):
        await ahead.follow(STORY[:end])
        if end % 2:  # the one that is behind takes all over, and gives back what it did not have
            ahead.group.give()
            behind.group.give(0, 1)
            await behind.follow(STORY[:end])
            ahead.group.give(*mine)
            behind.group.give(*yours)
    await ahead.follow(STORY)
    await behind.follow(STORY)
    told = ahead.system.log.take()
    assert said(compacted(told)) == said(alone)
    assert len({(str(envelope.key), envelope.rev) for envelope in told}) == len(told)


async def test_a_replica_that_was_killed_is_replaced_by_its_neighbour(
    replicas: tuple[Replica, Replica], alone: dict[str, Event | None]
) -> None:
    one, other = replicas
    await one.follow(STORY[:3])
    await other.follow(STORY[:1])
    one.group.give(0, 1)
    await one.follow(STORY[:4])
    await other.die_and_start()
    other.group.give(1)
    one.group.give(0)
    for replica in (other, one, other):
        await replica.follow(STORY)
    assert said(compacted(one.system.log.take())) == said(alone)


async def test_who_went_on_as_if_it_had_the_share_stores_nothing(replicas: tuple[Replica, Replica]) -> None:
    one, other = replicas
    mine = slot("atlas/verger") % 2
    stale, heir = (one, other) if mine in one.group.held else (other, one)
    log = [[*others(), grower(), soil_lab()]]
    await stale.follow(log)
    heir.group.give(0, 1)
    await heir.follow(log)
    log.append([irrigation()])
    with pytest.raises(ShareLostError):
        await stale.follow(log)
    assert stale.group.lost == 1
    assert stale.system.log.take() == []
    await heir.follow(log)
    assert len(heir.system.log.made()) == 1


async def test_what_a_dying_owner_left_open_does_not_keep_its_heir_waiting(replicas: tuple[Replica, Replica]) -> None:
    one, other = replicas
    await one.follow([[*others(), grower(), soil_lab()]])
    store = one.system.matcher._store
    begun, forever = asyncio.Event(), asyncio.Event()

    async def write_and_hang(session: Any) -> None:
        await store._members.update_one({"_id": "atlas/verger"}, {"$set": {"rev": 99}}, session=session)
        await store.shares.reach(list(one.system.matcher._view.claims.values()), session)
        begun.set()
        await forever.wait()

    hanging = asyncio.create_task(store._store.transaction(write_and_hang))
    await begun.wait()
    other.group.give(0, 1)
    async with asyncio.timeout(20):  # without an heir it would be a minute
        await other.follow([[*others(), grower(), soil_lab()], [irrigation()]])
    assert len(other.system.log.made()) == 1
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)


async def test_a_need_that_expires_while_its_owner_is_away_lapses(replicas: tuple[Replica, Replica]) -> None:
    one, other = replicas
    later = timedelta(hours=1)
    log = [[*others(), grower(), soil_lab(), irrigation(deadline=one.system.now + later)]]
    for replica in replicas:
        await replica.follow(log)
    assert len(one.system.log.made()) == 1
    mine = slot("atlas/verger") % 2
    dies, lives = (one, other) if mine in one.group.held else (other, one)
    await lives.system.pass_time(2 * later)
    assert one.system.log.take() == []
    lives.group.give(0, 1)
    await lives.system.matcher.places(())
    await lives.system.pass_time(timedelta(seconds=1))
    assert len(dies.system.log.lapsed()) == 1


async def test_a_neighbour_s_member_changes_before_it_was_ever_read(
    replicas: tuple[Replica, Replica], tmp_path: Path
) -> None:
    one, other = replicas
    log = [[*others(), grower(), soil_lab(member_id="labo-sol-2")], [irrigation()]]
    for replica in replicas:
        await replica.follow(log)
    asks, has = ("atlas/verger", "atlas/labo-sol-2")
    asking, having = (one, other) if slot(asks) % 2 in one.group.held else (other, one)
    assert slot(has) % 2 in having.group.held
    asking.system.snapshot = tmp_path / "kept"
    await asking.die_and_start()
    await asking.system.matcher.keep_at_stop()
    await asking.die_and_start()  # from a snapshot: nobody is read before somebody asks
    log.append([soil_lab(rev=2, member_id="labo-sol-2", name="Institut de la serre")])
    await having.follow(log)
    asking.system.log.take()
    with pytest.raises(StateGoneError):
        await asking.follow(log)
    await asking.follow(log)  # the reader tries again
    assert asking.system.matcher._view.directory.members[has].event.name == "Institut de la serre"
    assert asking.system.log.take() == []


async def test_a_neighbour_writes_while_a_replica_starts(replicas: tuple[Replica, Replica]) -> None:
    one, other = replicas
    log = [[*others(), grower(), soil_lab(member_id="labo-sol-2"), irrigation()]]
    for replica in replicas:
        await replica.follow(log)
    starting, writing = (other, one) if slot("atlas/labo-sol-2") % 2 in one.group.held else (one, other)
    log.append([soil_lab(rev=2, member_id="labo-sol-2", name="Institut de la serre"), irrigation(rev=2, text="")])
    starting.system.matcher._view.spoil()
    starting.system.store.between["before read_ahead"] = lambda: writing.follow(log)
    await starting.system.matcher.places(())
    known = starting.system.matcher._view.directory
    assert known.members["atlas/labo-sol-2"].event.name == "Institut de la serre"
    assert starting.system.store.between == {}


@pytest.mark.parametrize("end", [erased_need("irrigation", 2), irrigation(rev=2, member_id="labo-sol-2")])
async def test_a_neighbour_s_need_goes_while_a_replica_starts(replicas: tuple[Replica, Replica], end: Envelope) -> None:
    one, other = replicas
    log = [[*others(), grower(), soil_lab(member_id="labo-sol-2"), irrigation()]]
    for replica in replicas:
        await replica.follow(log)
    starting, writing = (other, one) if slot("atlas/verger") % 2 in one.group.held else (one, other)
    log.append([end])
    starting.system.matcher._view.spoil()
    starting.system.store.between["before read_ahead"] = lambda: writing.follow(log)
    await starting.follow(log)
    known = starting.system.matcher._view.directory
    assert known.needs_of("atlas/verger") == []
    assert starting.system.store.between == {}


async def test_a_neighbour_s_need_is_erased_before_it_was_ever_read(
    replicas: tuple[Replica, Replica], tmp_path: Path
) -> None:
    one, other = replicas
    mine = next(name for name in (f"verger-{n}" for n in range(9)) if slot(f"atlas/{name}") % 2 in one.group.held)
    yours = next(name for name in (f"labo-{n}" for n in range(9)) if slot(f"atlas/{name}") % 2 in other.group.held)
    offer = irrigation(need_id="banc", member_id=yours, direction=Direction.OFFER)
    log = [[*others(), member(mine, MemberKind.COMPANY), member(yours), offer]]
    for replica in replicas:
        await replica.follow(log)
    one.system.snapshot = tmp_path / "kept"
    await one.die_and_start()
    await one.system.matcher.keep_at_stop()
    await one.die_and_start()  # from a snapshot: nobody is read before somebody asks
    log += [[irrigation(need_id="demande", member_id=mine)], [erased_need("banc", 2)]]
    await other.follow(log)
    with pytest.raises(StateGoneError):
        await one.follow(log)
    await one.follow(log)  # the reader tries again
    assert one.system.matcher._view.directory.needs_of(f"atlas/{yours}") == []
    assert not [state for state in compacted(one.system.log.take()).values() if isinstance(state, SuggestionMade)]


async def test_a_neighbour_s_need_passes_to_another_member_before_it_was_ever_read(
    replicas: tuple[Replica, Replica], tmp_path: Path
) -> None:
    one, other = replicas
    names = [f"verger-{number}" for number in range(20)]
    left, right = [name for name in names if slot(f"atlas/{name}") % 2 in other.group.held][:2]
    growers = [member(name, MemberKind.COMPANY) for name in (left, right)]
    log = [[*others(), soil_lab(), *growers, irrigation(member_id=left)]]
    for replica in replicas:
        await replica.follow(log)
    one.system.snapshot = tmp_path / "kept"
    await one.die_and_start()
    await one.system.matcher.keep_at_stop()
    await one.die_and_start()  # from a snapshot: nobody is read before somebody asks
    log.append([irrigation(rev=2, member_id=right)])
    await other.follow(log)
    with pytest.raises(StateGoneError):
        await one.follow(log)
    await one.follow(log)  # the reader tries again
    known = one.system.matcher._view.directory
    assert known.needs["atlas/irrigation"].owner == f"atlas/{right}"
    assert known.needs["atlas/irrigation"].since == 1  # its words are what they were
    assert known.needs_of(f"atlas/{left}") == []


async def test_before_the_group_has_spoken_nothing_is_done(replicas: tuple[Replica, Replica]) -> None:
    one, _ = replicas
    one.group.of = 0
    with pytest.raises(NotGivenError):
        await one.follow([[grower()]])
    await one.system.matcher.expire()


async def test_a_replica_without_a_share_tells_nothing_and_takes_over_at_once(
    replicas: tuple[Replica, Replica],
) -> None:
    one, standby = replicas
    one.group.give(0, 1)
    standby.group.give()
    log = [[*others(), grower()], [soil_lab(), erased_member("labo-tissu", 2)]]
    await standby.follow(log)
    await one.follow(log[:1])
    one.group.give()
    standby.group.give(0, 1)
    log.append([irrigation(), member("labo-sel")])
    await standby.follow(log)
    assert len(standby.system.log.made()) == 1
    assert {row["_id"] async for row in one.system.database["members"].find({"event": {"$exists": False}})} == {
        "atlas/labo-tissu"
    }


async def test_an_erasure_that_its_owner_did_not_live_to_store_is_stored_by_its_heir(
    replicas: tuple[Replica, Replica],
) -> None:
    dies, heir = replicas
    mine = slot("atlas/verger") % 3
    assert mine not in (slot("atlas/arrosage") % 3, slot("") % 3)  # nothing but its owner tells whose the need was
    for replica, held in ((dies, mine), (heir, 0)):
        replica.group.of = 3
        replica.group.give(held)
    log = [[*others(), grower(), soil_lab(), irrigation(need_id="arrosage")]]
    for replica in replicas:
        await replica.follow(log)
    assert len(dies.system.log.made()) == 1
    dies.system.log.take()
    log.append([erased_need("arrosage", 2)])
    await heir.follow(log)  # it has read it before it is its own to store
    dies.group.give()
    heir.group.give(mine)
    await heir.follow(log)
    assert [envelope.value for envelope in heir.system.log.take()] == [None]
    row = await heir.system.database["needs"].find_one({"_id": "atlas/arrosage"})
    assert row is not None
    assert "event" not in row


async def test_an_heir_that_has_read_less_than_the_owner_takes_nothing_back(
    replicas: tuple[Replica, Replica],
) -> None:
    one, other = replicas
    mine = slot("atlas/verger") % 2
    ahead, heir = (one, other) if mine in one.group.held else (other, one)
    assert slot("atlas/labo-sol-2") % 2 in heir.group.held
    log = [[*others(), grower(), irrigation()], [grower(rev=2)], [soil_lab(member_id="labo-sol-2")]]
    await heir.follow(log[:1])
    await ahead.follow(log)
    assert len(ahead.system.log.made()) == 1
    ahead.group.give()
    heir.group.give(0, 1)
    await heir.follow(log)
    assert heir.system.log.take() == []


async def test_what_was_decided_in_another_division_is_learnt(replicas: tuple[Replica, Replica]) -> None:
    one, other = replicas
    log = [[*others(), grower(), soil_lab(), irrigation()]]
    for replica in replicas:
        await replica.follow(log)
    needs = one.system.database["needs"]
    await needs.update_one({"_id": "atlas/irrigation"}, {"$set": {"lineage": "atlas/decided"}})
    for replica in replicas:
        replica.group.of = 3
    one.group.give(0, 1)
    other.group.give(2)
    for replica in replicas:
        await replica.system.matcher.places(())
    assert slot("atlas/verger") % 3 == 2
    assert other.system.matcher._view.directory.needs["atlas/irrigation"].lineage == "atlas/decided"
