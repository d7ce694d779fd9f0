"""One famous laboratory is not suggested to everybody: the next best comes in its place, and it waits for its turn."""

from collections import Counter
from datetime import timedelta

import pytest

from schemas.cloudevents import Envelope
from schemas.suggestions import SuggestionMade
from services.matcher.domain.holding import slot
from services.matcher.domain.pairing import Bar
from services.runtime.errors import TransientError
from tests.component.matcher.actors import SOIL_ASSET, irrigation, member, others, soil_lab
from tests.component.matcher.conftest import System
from tests.component.matcher.test_replicas import Replica, replicas

__all__ = ["replicas"]  # a fixture

THE_BEST = Bar(score=0.1, posted=1, standing=1)
SECOND = member("labo-second", "laboratory", {**SOIL_ASSET, "text": "Banc d’étalonnage de tensiomètres."})


def growers(*names: str) -> list[Envelope]:
    return [member(name, "company") for name in names]


def asks(name: str, rev: int = 1) -> Envelope:
    return irrigation(rev, need_id=f"besoin-{name}", member_id=name)


def told(system: System) -> list[tuple[str, str]]:
    return [(made.request.party.member_id, made.offer.party.member_id) for made in system.log.made()]


async def test_who_was_told_of_often_gives_place_to_the_next_best_and_is_told_of_later(system: System) -> None:
    await system.start(bar=THE_BEST, most=2)
    await system.give(*others(), soil_lab(), SECOND, *growers("a", "b", "c", "d"))
    await system.give(asks("a"))
    await system.pass_time(timedelta(days=1))
    await system.give(asks("b"), asks("c"))  # there is room for one of the two
    assert Counter(lab for _, lab in told(system)) == {"labo-sol": 2, "labo-second": 1}
    await system.start(bar=THE_BEST, most=2)
    await system.give(asks("d"), asks("a", rev=2))
    assert told(system) == [("d", "labo-second")]
    await system.pass_time(timedelta(days=6))  # the first telling is a week old
    [first] = told(system)
    await system.pass_time(timedelta(days=1))  # the second one is, too
    [second] = told(system)
    assert {first[1], second[1]} == {"labo-sol"}
    assert first[0] != second[0]
    await system.pass_time(timedelta(days=14))
    assert told(system) == []


async def test_what_a_limit_held_back_is_told_though_there_is_none_any_more(system: System) -> None:
    await system.start(bar=THE_BEST, most=1)
    await system.give(*others(), soil_lab(), SECOND, *growers("a", "b", "c"), asks("a"), asks("b"), asks("c"))
    system.log.take()
    await system.start(bar=THE_BEST)
    await system.pass_time(timedelta(days=8))
    assert [lab for _, lab in told(system)] == ["labo-sol", "labo-sol"]


async def test_two_replicas_together_keep_to_the_limit(replicas: tuple[Replica, Replica]) -> None:
    one, other = replicas
    for replica in replicas:
        await replica.system.start(bar=THE_BEST, most=1)
        replica.read = 0
    names = [f"verger-{number}" for number in range(9)]
    mine = next(name for name in names if slot(f"atlas/{name}") % 2 in one.group.held)
    yours = next(name for name in names if slot(f"atlas/{name}") % 2 in other.group.held)
    log = [[*others(), soil_lab(), SECOND, *growers(mine, yours)]]
    for replica in replicas:
        await replica.follow(log)
    log.append([asks(mine), asks(yours)])
    one.system.store.between["before commit"] = lambda: other.follow(log)  # at the same time
    with pytest.raises(TransientError):
        await one.follow(log)
    await one.follow(log)  # the reader tries again
    made = [envelope.value for envelope in one.system.log.take() if isinstance(envelope.value, SuggestionMade)]
    assert {(each.request.party.member_id, each.offer.party.member_id) for each in made} == {
        (yours, "labo-sol"),
        (mine, "labo-second"),
    }
